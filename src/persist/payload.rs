//! A value by itself, as DUMP shows it and RESTORE takes it.
//!
//! # Layout
//! ```text
//! | form u8 | value ... | version u16 | CRC-64 of all before, u64 |        (footer little endian)
//! ```

use crc::{CRC_64_REDIS, Crc, Table};

use super::dicedb;
use super::rdb::read::Reader;
use super::rdb::write::Writer;
use super::rdb::{Broken, Budget, Shapes, VERSION, VERSION_READ_MAX, Value};
use crate::store::entry::Entry;

/// Sixteen bytes at a time: payloads may be large, and the loop waits.
static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is too short for a footer, of a newer version, or not what the checksum was made of.
    Footer,
    /// Its value is broken.
    Value,
    /// Its value would take more memory than there is.
    Memory,
}

/// The payload of an entry's value; long strings are compressed if told so. O(bytes).
pub fn dump(entry: &Entry, compress: bool) -> Vec<u8> {
    let mut out = Vec::new();
    Writer::new(&mut out, compress).value(entry);
    seal(&mut out);
    out
}

/// Bytes that an entry's value takes in a dump file, without those that tell its form. O(bytes).
pub fn value_bytes(entry: &Entry, compress: bool) -> usize {
    let mut out = Vec::new();
    Writer::new(&mut out, compress).value(entry);
    out.len() - 1
}

/// Adds the footer.
pub fn seal(out: &mut Vec<u8>) {
    out.extend_from_slice(&VERSION.to_le_bytes());
    let sum = CHECKSUM.checksum(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The value of a payload, which may be DiceDB's as well. O(N log N) in its elements at most.
///
/// # Errors
/// If it cannot be trusted, makes no value, or takes more memory than `budget` allows.
pub fn restore<'p>(payload: &'p [u8], shapes: &Shapes, mut budget: Budget) -> Result<Value<'p>, Refused> {
    let value = match sealed(payload) {
        // COMPAT: what follows the value, before the footer, is ignored, as by Redis.
        Some(value) => Reader::new(value, &mut budget).value(shapes),
        None => match dicedb::decode(payload) {
            Some(decoded) => dicedb::value(&decoded, shapes, &mut budget),
            None => return Err(Refused::Footer),
        },
    };
    value.map_err(|Broken| if budget.is_exceeded() { Refused::Memory } else { Refused::Value })
}

/// What comes before the footer, if that is right.
fn sealed(payload: &[u8]) -> Option<&[u8]> {
    let (summed, sum) = payload.split_last_chunk::<8>()?;
    let (value, version) = summed.split_last_chunk::<2>()?;
    let is_known = u16::from_le_bytes(*version) <= VERSION_READ_MAX;
    (is_known && u64::from_le_bytes(*sum) == CHECKSUM.checksum(summed)).then_some(value)
}
