//! A hash table in many parts, so that no insertion moves more than one part's share of a million entries.

use hashbrown::HashTable;

use crate::base::heap::{self, size_class};

/// Parts: at a million entries each has a thousand, which take some tens of microseconds to move.
pub(super) const SHARDS: usize = 1024;
/// Bits of the hash that choose the part: neither the lowest nor the highest, which hashbrown goes by.
const SHIFT: u32 = 40;

/// The number of the part that a hash belongs to.
#[inline]
pub(super) fn index(hash: u64) -> usize {
    (hash >> SHIFT) as usize % SHARDS
}

/// The tables; none before the first entry.
#[derive(Debug)]
pub(super) struct Shards<T>(Vec<HashTable<T>>);

impl<T> Default for Shards<T> {
    fn default() -> Shards<T> {
        Shards(Vec::new())
    }
}

impl<T> Shards<T> {
    /// Bytes on the heap. O(parts).
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.0) + self.0.iter().map(|table| size_class(table.allocation_size())).sum::<usize>()
    }

    /// The part of a hash, if there is any entry at all.
    #[inline]
    pub fn of(&self, hash: u64) -> Option<&HashTable<T>> {
        self.0.get(index(hash))
    }

    /// The part of a hash.
    pub fn of_mut(&mut self, hash: u64) -> &mut HashTable<T> {
        if self.0.is_empty() {
            self.0.resize_with(SHARDS, HashTable::new);
        }
        &mut self.0[index(hash)]
    }

    /// The entries of one part, by its number.
    pub fn part(&self, index: usize) -> impl Iterator<Item = &T> {
        self.0.get(index).into_iter().flatten()
    }

    /// All entries, each when it is asked for, in no particular order.
    pub fn drain(self) -> impl Iterator<Item = T> {
        self.0.into_iter().flatten()
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(HashTable::iter)
    }
}
