//! Which members of a table, such as the fields of a big hash, expire next: a heap of eight bytes an entry, cleaned lazily. Each
//! entry has eight children, which lie side by side: so of a million entries seven levels are gone down, a cache line or two each.
//! The heap lies in chunks, so that no push ever moves more than one of them, however many members there are.
//!
//! An entry says only: *look at the members of this place when the deadline has come*. So one that nobody needs any more is
//! harmless, and nothing is cancelled.
//! ```text
//! | deadline: 43 bits, Unix ms | upper 18 bits of the hash | lower 3 bits of the tag |
//! ```
//! The upper bits of a hash lead to a bucket of a table of up to 1.5 million members and to some neighbouring buckets of a larger
//! one; seven of eight members of the bucket differ in their tags, and need not be loaded. What expires after the year 2248 is
//! queued for then.
//!
//! # Invariants
//! - No entry is less than its parent; all chunks but the last are full, and none is empty.
//! - For every member with a deadline there is an entry of its place with that deadline or an earlier one: its owner keeps it by
//!   [`Queue::push`].
//!
//! Used by `hash::deadlines`. Knows nothing of members.

use crate::base::heap::{self, size_class};
use crate::store::table::Part;

/// Bits of a place: of a hash, and of its tag.
const HASH_BITS: u32 = 18;
const TAG_BITS: u32 = 3;
const PLACE_BITS: u32 = HASH_BITS + TAG_BITS;

/// The last deadline that an entry holds.
const DEADLINE_MAX_MS: u64 = (1 << (u64::BITS - PLACE_BITS)) - 1;

/// Children of an entry.
const CHILDREN: usize = 8;

/// Where a member is, up to some others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(u32);

impl Place {
    /// That of a member of this hash.
    #[inline]
    pub fn of(hash: u64) -> Place {
        let tag = u32::from(Part::tag(hash)) & ((1 << TAG_BITS) - 1);
        Place(((hash >> (u64::BITS - HASH_BITS)) as u32) << TAG_BITS | tag)
    }

    /// The part of a table in which the members of the place are.
    #[inline]
    pub fn part(self) -> Part {
        let hash = u64::from(self.0 >> TAG_BITS) << (u64::BITS - HASH_BITS);
        Part::new(hash, HASH_BITS, self.0 as u8, TAG_BITS)
    }

    /// That which an entry names.
    #[inline]
    fn of_entry(entry: u64) -> Place {
        Place((entry & ((1 << PLACE_BITS) - 1)) as u32)
    }
}

/// Entries of a chunk: 8 KiB.
const CHUNK: usize = 1024;

/// The heap, earliest deadline first.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    chunks: Vec<Vec<u64>>,
}

impl Queue {
    /// Asks for a place to be looked at when a deadline (Unix ms) has come. O(log n), O(1) as a rule.
    pub fn push(&mut self, deadline_ms: i64, place: Place) {
        let entry = (deadline_ms as u64).min(DEADLINE_MAX_MS) << PLACE_BITS | u64::from(place.0);
        let mut at = self.len();
        self.append(entry);
        while at > 0 {
            let above = (at - 1) / CHILDREN;
            let parent = self.at(above);
            if parent <= entry {
                break;
            }
            self.put(at, parent);
            at = above;
        }
        self.put(at, entry);
    }

    /// The earliest deadline, in Unix milliseconds, or a time before it that is far away. O(1).
    #[inline]
    pub fn next_ms(&self) -> Option<i64> {
        Some((self.chunks.first()?.first()? >> PLACE_BITS) as i64)
    }

    /// The place to be looked at first, if its deadline has come. O(log n).
    pub fn pop_due(&mut self, now_ms: i64) -> Option<Place> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (first, last) = (self.at(0), self.take_last()?);
        let len = self.len();
        if len > 0 {
            self.sift_down(last, len);
        }
        Some(Place::of_entry(first))
    }

    /// Calls `visit` for the place of every entry whose deadline has come, for some places more than once; the entries stay.
    /// O(entries that are due).
    pub fn visit_due(&self, now_ms: i64, mut visit: impl FnMut(Place)) {
        // What is above a due entry is due.
        let (len, mut open) = (self.len(), vec![0]);
        while let Some(at) = open.pop() {
            if at < len && (self.at(at) >> PLACE_BITS) as i64 <= now_ms {
                visit(Place::of_entry(self.at(at)));
                open.extend(CHILDREN * at + 1..CHILDREN * at + 1 + CHILDREN);
            }
        }
    }

    /// Puts an entry in the place of the first, and what is below in order again.
    fn sift_down(&mut self, entry: u64, len: usize) {
        let mut at = 0;
        while let Some((child, least)) = self.least_child(at, len).filter(|&(_, least)| least < entry) {
            self.put(at, least);
            at = child;
        }
        self.put(at, entry);
    }

    /// The least child of an entry, and where it is.
    #[inline]
    fn least_child(&self, at: usize, len: usize) -> Option<(usize, u64)> {
        let first = CHILDREN * at + 1;
        let (chunk, from) = (first / CHUNK, first % CHUNK);
        // All of them, in one chunk, as nearly always: compared without branches, which nothing would predict.
        if first + CHILDREN <= len
            && let Some(children) = self.chunks[chunk].get(from..).and_then(<[u64]>::first_chunk::<CHILDREN>)
        {
            let (mut index, mut least) = (0, children[0]);
            for (child, &entry) in children.iter().enumerate() {
                index = if entry < least { child } else { index };
                least = least.min(entry);
            }
            return Some((first + index, least));
        }
        (first..len.min(first + CHILDREN)).map(|child| (child, self.at(child))).min_by_key(|&(_, entry)| entry)
    }

    #[inline]
    fn at(&self, index: usize) -> u64 {
        self.chunks[index / CHUNK][index % CHUNK]
    }

    #[inline]
    fn put(&mut self, index: usize, entry: u64) {
        self.chunks[index / CHUNK][index % CHUNK] = entry;
    }

    fn append(&mut self, entry: u64) {
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => {
                if chunk.len() == chunk.capacity() {
                    // A quarter more, rather than the doubling that vectors choose: these are eight bytes for each member.
                    chunk.reserve_exact((chunk.len() / 4).max(8).min(CHUNK - chunk.len()));
                }
                chunk.push(entry);
            }
            last => {
                let mut chunk = Vec::with_capacity(if last.is_some() { CHUNK } else { 8 });
                chunk.push(entry);
                self.chunks.push(chunk);
            }
        }
    }

    fn take_last(&mut self) -> Option<u64> {
        let chunk = self.chunks.last_mut()?;
        let entry = chunk.pop();
        if chunk.is_empty() {
            self.chunks.pop();
        }
        entry
    }

    /// Forgets everything and frees the memory.
    pub fn clear(&mut self) {
        *self = Queue::default();
    }

    /// Number of entries. O(1).
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |last| (self.chunks.len() - 1) * CHUNK + last.len())
    }

    /// Bytes on the heap. O(1).
    pub fn bytes(&self) -> usize {
        let others = self.blocks().saturating_sub(1) * size_class(CHUNK * size_of::<u64>());
        heap::vec(&self.chunks) + self.chunks.first().map_or(0, heap::vec) + others
    }

    /// Chunks.
    pub fn blocks(&self) -> usize {
        self.chunks.len()
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn entries_come_out_as_from_the_standard_heap() {
        let mut prng = Prng::seeded(5);
        let (mut queue, mut twin) = (Queue::default(), BinaryHeap::new());
        for phase in 0..6 {
            for _ in 0..3 * CHUNK {
                if prng.chance(if phase % 2 == 0 { 4 } else { 1 }, 5) {
                    let (deadline_ms, place) = (prng.below(5000) as i64, Place(prng.below(1 << PLACE_BITS) as u32));
                    queue.push(deadline_ms, place);
                    twin.push(Reverse((deadline_ms, place)));
                } else {
                    let now_ms = prng.below(6000) as i64;
                    let due = twin.peek().is_some_and(|Reverse((deadline_ms, _))| *deadline_ms <= now_ms);
                    let mut shown = Vec::new();
                    if prng.chance(1, 100) {
                        queue.visit_due(now_ms, |place| shown.push(place));
                        let places = twin.iter().filter(|Reverse((deadline_ms, _))| *deadline_ms <= now_ms);
                        let mut places: Vec<Place> = places.map(|Reverse((_, place))| *place).collect();
                        shown.sort_unstable();
                        places.sort_unstable();
                        assert_eq!(shown, places);
                    }
                    let expected = if due { twin.pop().map(|Reverse((_, place))| place) } else { None };
                    assert_eq!(queue.pop_due(now_ms), expected);
                }
                assert_eq!(queue.len(), twin.len());
                assert_eq!(queue.next_ms(), twin.peek().map(|Reverse((deadline_ms, _))| *deadline_ms));
                assert_eq!(queue.blocks(), twin.len().div_ceil(CHUNK));
            }
        }
    }
}
