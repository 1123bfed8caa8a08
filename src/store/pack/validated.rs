//! Bytes from outside that have been seen to be a listpack.
//!
//! What RESTORE or a dump file brings is checked once, here; then it becomes a pack by a copy, or its elements go into another
//! representation without one.
//!
//! Invariant: the bytes of a [`Validated`] are well-formed, as `pack::listpack` describes it, and `count` are the entries.

use std::collections::HashSet;

use super::codec::{self, END};
use super::listpack::{BYTES_MAX, COUNT_UNKNOWN, EMPTY, HEADER_BYTES, Items, Pack};

/// Bytes from outside that are a pack, before they are copied into one or its elements go elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Validated<'p> {
    bytes: &'p [u8],
    count: usize,
}

impl<'p> Validated<'p> {
    /// Bytes from outside (RESTORE, a dump file), `None` unless every entry, every backward length, the total, the count and
    /// the end are right. Encodings longer than they had to be are fine, as in Redis; a count that is needlessly unknown
    /// becomes known. An empty pack is accepted. Costs a walk.
    pub fn new(bytes: &'p [u8]) -> Option<Validated<'p>> {
        well_formed(bytes).map(|count| Validated { bytes, count })
    }

    /// The bytes of a pack of our own.
    pub fn of<const ROOM: bool>(pack: &'p Pack<ROOM>) -> Validated<'p> {
        Validated { bytes: pack.as_bytes(), count: pack.len() }
    }

    /// The number of elements. O(1).
    pub fn len(self) -> usize {
        self.count
    }

    /// True if there is no element.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// Bytes of the encoded form, header and end included.
    pub fn bytes(self) -> usize {
        self.bytes.len()
    }

    /// All elements, from either end.
    pub fn iter(self) -> Items<'p> {
        Items::of(self.bytes)
    }

    /// True if no two of the elements that come first in groups of `width` are equal. O(N).
    pub fn are_distinct(self, width: usize) -> bool {
        let mut seen = HashSet::new();
        self.iter().step_by(width).all(|item| seen.insert(item.canonical()))
    }

    /// A pack of these bytes. A copy.
    pub fn to_pack<const ROOM: bool>(self) -> Pack<ROOM> {
        let mut pack = Pack::copied(self.bytes);
        pack.set_count(self.count);
        pack
    }
}

/// The number of entries, if these bytes are a pack.
fn well_formed(bytes: &[u8]) -> Option<usize> {
    let &[t0, t1, t2, t3, c0, c1] = bytes.first_chunk()?;
    let (&last, entries) = bytes.split_last()?;
    let total = u32::from_le_bytes([t0, t1, t2, t3]) as usize;
    if total != bytes.len() || !(EMPTY.len()..=BYTES_MAX).contains(&total) || last != END {
        return None;
    }
    let (mut at, mut count) = (HEADER_BYTES, 0);
    while at < entries.len() {
        at = codec::checked_next(entries, at)?;
        count += 1;
    }
    let stated = u16::from_le_bytes([c0, c1]);
    (stated == COUNT_UNKNOWN || usize::from(stated) == count).then_some(count)
}
