//! Which members of a table, such as the fields of a big hash, expire next: a binary heap of eight bytes an entry, cleaned
//! lazily. It lies in chunks, so that no push ever moves more than one of them, however many members there are.
//!
//! An entry `(deadline, place)` says only: *look at the members of this place when the deadline has come*. A place is the top
//! [`PLACE_BITS`] bits of a member's hash. So an entry that nobody needs any more is harmless, and nothing is cancelled.
//!
//! # Invariants
//! - No entry is less than its parent; all chunks but the last are full, and none is empty.
//! - For every member with a deadline there is an entry of its place with that deadline or an earlier one: its owner keeps it by
//!   [`Queue::push`].
//!
//! Used by `hash::deadlines`. Knows nothing of members.

use super::DEADLINE_END;
use crate::base::heap::{self, size_class};

/// Bits of a hash that make a place.
pub const PLACE_BITS: u32 = 18;

const _: () = assert!(DEADLINE_END == 1 << (u64::BITS - PLACE_BITS), "deadline and place fill an entry");

/// The place of a member's hash.
#[inline]
pub fn place(hash: u64) -> u32 {
    (hash >> (u64::BITS - PLACE_BITS)) as u32
}

/// The least hash of a place.
#[inline]
pub fn hash_of(place: u32) -> u64 {
    u64::from(place) << (u64::BITS - PLACE_BITS)
}

/// The place that an entry names.
#[inline]
fn place_of(entry: u64) -> u32 {
    (entry & ((1 << PLACE_BITS) - 1)) as u32
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
    pub fn push(&mut self, deadline_ms: i64, place: u32) {
        let entry = (deadline_ms as u64) << PLACE_BITS | u64::from(place);
        let mut at = self.len();
        self.append(entry);
        while at > 0 {
            let parent = self.at((at - 1) / 2);
            if parent <= entry {
                break;
            }
            self.put(at, parent);
            at = (at - 1) / 2;
        }
        self.put(at, entry);
    }

    /// The earliest deadline, in Unix milliseconds. O(1).
    #[inline]
    pub fn next_ms(&self) -> Option<i64> {
        Some((self.chunks.first()?.first()? >> PLACE_BITS) as i64)
    }

    /// The place to be looked at first, if its deadline has come. O(log n).
    pub fn pop_due(&mut self, now_ms: i64) -> Option<u32> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let (first, last) = (self.at(0), self.take_last()?);
        let len = self.len();
        if len > 0 {
            self.sift_down(last, len);
        }
        Some(place_of(first))
    }

    /// Calls `visit` for the place of every entry whose deadline has come, for some places more than once; the entries stay.
    /// O(entries that are due).
    pub fn visit_due(&self, now_ms: i64, mut visit: impl FnMut(u32)) {
        // What is above a due entry is due.
        let (len, mut open) = (self.len(), vec![0]);
        while let Some(at) = open.pop() {
            if at < len && (self.at(at) >> PLACE_BITS) as i64 <= now_ms {
                visit(place_of(self.at(at)));
                open.extend([2 * at + 1, 2 * at + 2]);
            }
        }
    }

    /// Puts an entry in the place of the first, and what is below in order again.
    fn sift_down(&mut self, entry: u64, len: usize) {
        let mut at = 0;
        loop {
            let mut child = 2 * at + 1;
            if child >= len {
                break;
            }
            if child + 1 < len && self.at(child + 1) < self.at(child) {
                child += 1;
            }
            let least = self.at(child);
            if entry <= least {
                break;
            }
            self.put(at, least);
            at = child;
        }
        self.put(at, entry);
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
                    let (deadline_ms, place) = (prng.below(5000) as i64, prng.below(1 << PLACE_BITS) as u32);
                    queue.push(deadline_ms, place);
                    twin.push(Reverse((deadline_ms, place)));
                } else {
                    let now_ms = prng.below(6000) as i64;
                    let due = twin.peek().is_some_and(|Reverse((deadline_ms, _))| *deadline_ms <= now_ms);
                    let mut shown = Vec::new();
                    if prng.chance(1, 100) {
                        queue.visit_due(now_ms, |place| shown.push(place));
                        let places = twin.iter().filter(|Reverse((deadline_ms, _))| *deadline_ms <= now_ms);
                        let mut places: Vec<u32> = places.map(|Reverse((_, place))| *place).collect();
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
