//! HyperLogLogs: strings of at most 12 KiB that estimate how many different elements were added, within about 0.81 %.
//!
//! The bytes are Redis's own, in both of its encodings, so that what one server wrote the other can go on with.
//!
//! ```text
//! 0       4          5          8                          16
//! | "HYLL" | encoding | 3 unused | estimate, little-endian | registers ...
//! ```
//! - The estimate is the one of the present registers unless its highest bit is set.
//! - Encoding 0, dense: 16384 registers of 6 bits, the first in the lowest bits of the first byte.
//! - Encoding 1, sparse: runs of equal registers, see `sparse`.
//!
//! An element's hash chooses a register (14 bits) and a value for it: one more than the zeros that follow in the other 50
//! bits. A register keeps the highest value it has seen, so the same elements give the same registers in any order.
//!
//! Strings are what clients can write freely: everything here takes any bytes, finds out in time when they make no sense,
//! and does not panic. Called by `command::hyperloglog`. Knows nothing of keys or replies.

pub mod registers;
mod sparse;
mod wide;

pub use registers::Registers;

use crate::base::murmur;
use sparse::{Cursor, Run};

/// Bits of the hash that choose a register.
const INDEX_BITS: u32 = 14;
/// Number of registers.
pub const REGISTERS: usize = 1 << INDEX_BITS;
/// The highest value that a hash can give a register: all other bits zero.
const VALUE_MAX: u8 = (64 - INDEX_BITS + 1) as u8;

/// What every one begins with.
pub const MAGIC: &[u8; 4] = b"HYLL";
const HEADER_BYTES: usize = 16;
const ENCODING_AT: usize = 4;
const ESTIMATE_AT: usize = 8;
const DENSE: u8 = 0;
const SPARSE: u8 = 1;

/// Length of a string in the dense encoding.
pub const DENSE_BYTES: usize = HEADER_BYTES + REGISTERS / 8 * 6;

/// Where Redis starts its hash.
const SEED: u64 = 0xadc8_3b19;

/// The runs of a sparse string do not add up to all registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt;

/// How the registers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Each of its own, in 6 bits.
    Dense,
    /// As runs of equal ones.
    Sparse,
}

/// What an element does: it raises a register to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Index of the register.
    pub register: usize,
    /// The value, 1 to 51.
    pub value: u8,
}

impl Mark {
    /// The mark of an element. O(bytes).
    pub fn of(element: &[u8]) -> Mark {
        let hash = murmur::hash64a(element, SEED);
        let register = hash as usize % REGISTERS;
        // A one after the last bit bounds the zeros.
        let rest = hash >> INDEX_BITS | 1 << (64 - INDEX_BITS);
        Mark { register, value: rest.trailing_zeros() as u8 + 1 }
    }
}

/// A HyperLogLog without elements.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING_AT] = SPARSE;
    Run::Zeros(REGISTERS).write(&mut bytes);
    bytes
}

/// A string that has the header of a HyperLogLog, and the right length if it is dense.
#[derive(Clone, Copy, Debug)]
pub struct Hll<'b> {
    bytes: &'b [u8],
    encoding: Encoding,
}

impl<'b> Hll<'b> {
    /// Looks at the header; `None` for any other string.
    pub fn parse(bytes: &'b [u8]) -> Option<Hll<'b>> {
        if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
            return None;
        }
        let encoding = match bytes[ENCODING_AT] {
            DENSE if bytes.len() == DENSE_BYTES => Encoding::Dense,
            SPARSE => Encoding::Sparse,
            _ => return None,
        };
        Some(Hll { bytes, encoding })
    }

    /// A copy of the string.
    pub fn to_vec(self) -> Vec<u8> {
        self.bytes.to_vec()
    }

    /// How the registers are written.
    pub fn encoding(self) -> Encoding {
        self.encoding
    }

    fn body(self) -> &'b [u8] {
        &self.bytes[HEADER_BYTES..]
    }

    /// The estimate that the header keeps, if it is of the present registers.
    pub fn cached(self) -> Option<u64> {
        let (estimate, _) = self.bytes[ESTIMATE_AT..].split_first_chunk::<8>()?;
        let estimate = u64::from_le_bytes(*estimate);
        (estimate >> 63 == 0).then_some(estimate)
    }

    /// Estimates the number of elements from the registers. O(registers), O(runs) if sparse.
    pub fn count(self) -> Result<u64, Corrupt> {
        let mut histogram = [0; registers::VALUES];
        match self.encoding {
            Encoding::Dense => registers::dense_histogram(self.body(), &mut histogram),
            Encoding::Sparse => sparse::each_run(self.body(), |_, run| match run {
                Run::Zeros(count) => histogram[0] += count as u32,
                Run::Values { value, count } => histogram[value as usize] += count as u32,
            })?,
        }
        Ok(registers::estimate(&histogram))
    }

    /// Whether a mark would raise its register. O(1), O(runs) if sparse.
    pub fn is_raised_by(self, mark: Mark) -> Result<bool, Corrupt> {
        match self.encoding {
            Encoding::Dense => Ok(registers::get(self.body(), mark.register) < mark.value),
            Encoding::Sparse => sparse::is_raised_by(self.body(), mark),
        }
    }

    /// The same registers in the dense encoding. O(registers).
    pub fn to_dense(self) -> Result<Vec<u8>, Corrupt> {
        let mut dense = self.bytes.to_vec();
        if self.encoding == Encoding::Dense {
            return Ok(dense);
        }
        let mut all = Registers::default();
        all.merge(self)?;
        dense.resize(DENSE_BYTES, 0);
        dense[ENCODING_AT] = DENSE;
        all.pack(&mut dense[HEADER_BYTES..]);
        Ok(dense)
    }

    /// The runs as PFDEBUG DECODE shows them, whether they add up or not; `None` for the dense encoding.
    pub fn decode(self) -> Option<String> {
        (self.encoding == Encoding::Sparse).then(|| sparse::decode(self.body()))
    }
}

/// Raises a register of a string that is a HyperLogLog, unless it is high enough. True if it was not, and then the header's
/// estimate no longer counts. A sparse string becomes dense when a value or its own length (`sparse_bytes_max`) asks for it.
/// O(1), O(bytes) if sparse.
///
/// # Errors
///
/// [`Corrupt`] if that is found; then nothing has changed. A string without the header is corrupt too.
pub fn raise(bytes: &mut Vec<u8>, mark: Mark, sparse_bytes_max: usize) -> Result<bool, Corrupt> {
    raise_from(bytes, mark, sparse_bytes_max, &mut Cursor::default())
}

/// Raises registers to at least those of a union, in their order, which spares sparse strings the search for each.
/// O(registers), and a move of the rest of the bytes for each register raised if sparse.
///
/// # Errors
///
/// Those of [`raise`]; some registers may have been raised then.
pub fn raise_to(bytes: &mut Vec<u8>, all: &Registers, sparse_bytes_max: usize) -> Result<(), Corrupt> {
    let mut cursor = Cursor::default();
    for (register, value) in all.iter().enumerate().filter(|&(_, value)| value > 0) {
        raise_from(bytes, Mark { register, value }, sparse_bytes_max, &mut cursor)?;
    }
    Ok(())
}

fn raise_from(bytes: &mut Vec<u8>, mark: Mark, bytes_max: usize, cursor: &mut Cursor) -> Result<bool, Corrupt> {
    let hll = Hll::parse(bytes).ok_or(Corrupt)?;
    let raised = match hll.encoding {
        Encoding::Dense => raise_dense(bytes, mark),
        Encoding::Sparse => match sparse::raise(bytes, mark, bytes_max, cursor)? {
            sparse::Raised::No => false,
            sparse::Raised::Yes => true,
            sparse::Raised::NeedsDense => {
                *bytes = hll_to_dense(bytes)?;
                raise_dense(bytes, mark)
            }
        },
    };
    if raised {
        forget_estimate(bytes);
    }
    Ok(raised)
}

fn hll_to_dense(bytes: &[u8]) -> Result<Vec<u8>, Corrupt> {
    Hll::parse(bytes).ok_or(Corrupt)?.to_dense()
}

/// As [`raise`], for the bytes of a dense HyperLogLog, in place. O(1).
pub fn raise_dense(bytes: &mut [u8], mark: Mark) -> bool {
    let body = &mut bytes[HEADER_BYTES..];
    let raised = registers::get(body, mark.register) < mark.value;
    if raised {
        registers::set(body, mark.register, mark.value);
        forget_estimate(bytes);
    }
    raised
}

/// Writes all registers over those of a dense HyperLogLog, in place. O(registers).
pub fn overwrite_dense(bytes: &mut [u8], all: &Registers) {
    all.pack(&mut bytes[HEADER_BYTES..]);
    forget_estimate(bytes);
}

/// Keeps an estimate of the present registers in the header.
pub fn set_estimate(bytes: &mut [u8], estimate: u64) {
    bytes[ESTIMATE_AT..][..8].copy_from_slice(&estimate.to_le_bytes());
}

/// Marks the header's estimate as one of other registers.
pub fn forget_estimate(bytes: &mut [u8]) {
    bytes[ESTIMATE_AT + 7] |= 0x80;
}

#[cfg(test)]
#[path = "hll/tests.rs"]
mod tests;
