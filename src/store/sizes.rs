//! How many values are how large: by their type, and by powers of two of their sizes, which are the bytes of strings and the elements of
//! collections; and of collections, if that is asked for, of the bytes that they take.
//!
//! # Invariants
//! - Every entry of a table is counted once, as `Entry::counted` says, which is what it was when it came,
//!   or when it was last open for change. Elements that are due count until they leave.
//!
//! Kept by `store::accounting`, whose gate every change passes. Shown by INFO keysizes.

use super::types::Type;

/// Powers of two that are told apart, and 0, and all that is larger.
pub const POWERS: usize = 49;
/// Types of values.
const TYPES: usize = 7;

/// How many values have a size of 0, from 1 up, from 2 up, from 4 up and so on.
pub type Powers = [usize; POWERS];

/// As what a value is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub kind: Type,
    /// The place of its size among [`Powers`].
    pub power: u8,
    /// The same of the bytes of a collection, if they are counted.
    pub bytes_power: u8,
}

/// The place of a size among [`Powers`].
#[inline]
pub(super) fn power_of(size: usize) -> u8 {
    (usize::BITS - size.leading_zeros()).min(POWERS as u32 - 1) as u8
}

/// Counts of each type.
type Counts = Box<[Powers; TYPES]>;

fn no_counts() -> Counts {
    Box::new([[0; POWERS]; TYPES])
}

/// The counts of a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Once a value has come.
    sizes: Option<Counts>,
    /// The same by bytes, since they were first to be counted. Entries that have not changed since then are counted as 0.
    bytes: Option<Counts>,
    /// The bytes of collections that come or change are counted.
    counts_bytes: bool,
}

impl Sizes {
    /// A value has come.
    #[inline]
    pub(super) fn add(&mut self, counted: Counted) {
        let counts = self.sizes.get_or_insert_with(no_counts);
        counts[counted.kind as usize][usize::from(counted.power)] += 1;
        if let Some(counts) = &mut self.bytes {
            counts[counted.kind as usize][usize::from(counted.bytes_power)] += 1;
        }
    }

    /// A value has left.
    #[inline]
    pub(super) fn remove(&mut self, counted: Counted) {
        if let Some(counts) = &mut self.sizes {
            counts[counted.kind as usize][usize::from(counted.power)] -= 1;
        }
        if let Some(counts) = &mut self.bytes {
            counts[counted.kind as usize][usize::from(counted.bytes_power)] -= 1;
        }
    }

    /// A value may be counted as another.
    #[inline]
    pub(super) fn change(&mut self, old: Counted, new: Counted) {
        if old != new {
            self.remove(old);
            self.add(new);
        }
    }

    /// Those of a type; `None` if there is no value of any.
    pub fn of(&self, kind: Type) -> Option<&Powers> {
        self.sizes.as_ref().map(|counts| &counts[kind as usize])
    }

    /// The same by the bytes of collections, as far as they have been counted; `None` if they never were.
    pub fn bytes_of(&self, kind: Type) -> Option<&Powers> {
        self.bytes.as_ref().map(|counts| &counts[kind as usize])
    }

    /// Whether bytes are counted.
    #[inline]
    pub fn counts_bytes(&self) -> bool {
        self.counts_bytes
    }

    /// Says whether bytes are counted from now on. Entries that are there are counted as before until they change. O(types).
    pub(super) fn set_counts_bytes(&mut self, counts_bytes: bool) {
        self.counts_bytes = counts_bytes;
        if counts_bytes && self.bytes.is_none() {
            let mut bytes = no_counts();
            for (bytes, sizes) in bytes.iter_mut().zip(self.sizes.iter().flat_map(|sizes| sizes.iter())) {
                bytes[0] = sizes.iter().sum();
            }
            self.bytes = Some(bytes);
        }
    }

    /// The same counts without any value.
    pub(super) fn empty(&self) -> Sizes {
        Sizes { sizes: None, bytes: self.bytes.as_ref().map(|_| no_counts()), counts_bytes: self.counts_bytes }
    }

    /// Counts of a database without keys, of bytes as well if that is asked for.
    pub(super) fn none(counts_bytes: bool) -> Sizes {
        Sizes { sizes: None, bytes: counts_bytes.then(no_counts), counts_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_apart_by_powers_of_two() {
        for (size, power) in [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (1023, 10), (1024, 11), (usize::MAX, 48)] {
            assert_eq!(power_of(size), power, "{size}");
        }
    }
}
