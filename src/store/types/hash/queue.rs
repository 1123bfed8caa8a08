//! Which members of a table, such as the fields of a big hash, expire next: a priority queue of eight bytes an entry, cleaned lazily.
//!
//! New entries gather in a small heap. When it is full it is sorted, once, and becomes a *run*, which is taken from its end; a heap
//! of the runs says whose end is least. So of a million entries what is compared is in the first-level cache, and what is read
//! lies in sequence, where one heap of them all misses the cache at each of its lower levels. It is the sequence heap of Sanders
//! (Fast priority queues for cached memory, 2000) without its merging: that would move many entries at once, and a heap of
//! thousands of runs is small still.
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
//! - The heap has fewer entries than [`RUN`]; each run has at least [`RUN_MIN`], and is sorted, the least last.
//! - For every member with a deadline there is an entry of its place with that deadline or an earlier one: its owner keeps it by
//!   [`Queue::push`].
//!
//! Used by `hash::deadlines`. Knows nothing of members.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use crate::base::heap::{self, size_class};
use crate::store::table::Part;

/// Bits of a place: of a hash, and of its tag.
const HASH_BITS: u32 = 18;
const TAG_BITS: u32 = 3;
const PLACE_BITS: u32 = HASH_BITS + TAG_BITS;

/// The last deadline that an entry holds.
const DEADLINE_MAX_MS: u64 = (1 << (u64::BITS - PLACE_BITS)) - 1;

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

/// Entries of a new run, 32 KiB: sorting them takes some 50 microseconds.
const RUN: usize = 4096;

/// Runs that become shorter go back to the heap, so that there are never many of almost nothing.
const RUN_MIN: usize = 64;

/// The entries, earliest deadline first.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    heap: BinaryHeap<Reverse<u64>>,
    runs: BinaryHeap<Run>,
    /// Entries of all runs, and the bytes that they take.
    run_entries: usize,
    run_bytes: usize,
}

/// Sorted entries, the least last.
#[derive(Clone, Debug)]
struct Run {
    least: u64,
    entries: Vec<Reverse<u64>>,
}

impl Queue {
    /// Asks for a place to be looked at when a deadline (Unix ms) has come. O(log n), O(1) as a rule; the one that fills the heap
    /// sorts it.
    pub fn push(&mut self, deadline_ms: i64, place: Place) {
        self.push_entry((deadline_ms as u64).min(DEADLINE_MAX_MS) << PLACE_BITS | u64::from(place.0));
    }

    fn push_entry(&mut self, entry: u64) {
        let (len, capacity) = (self.heap.len(), self.heap.capacity());
        if len == capacity {
            // A quarter more, rather than the doubling of the standard library: these are eight bytes for each member.
            let more = if self.runs.is_empty() { (len / 4).max(8) } else { RUN };
            self.heap.reserve_exact(more.min(RUN - len));
        }
        self.heap.push(Reverse(entry));
        if self.heap.len() == RUN {
            let mut entries = std::mem::take(&mut self.heap).into_vec();
            entries.sort_unstable();
            self.run_entries += RUN;
            self.run_bytes += heap::vec(&entries);
            self.runs.push(Run { least: entries[RUN - 1].0, entries });
        }
    }

    /// The earliest deadline, in Unix milliseconds, or a time before it that is far away. O(1).
    #[inline]
    pub fn next_ms(&self) -> Option<i64> {
        let least = self.runs.peek().map_or(u64::MAX, |run| run.least);
        let least = self.heap.peek().map_or(least, |&Reverse(entry)| entry.min(least));
        (least != u64::MAX).then_some((least >> PLACE_BITS) as i64)
    }

    /// The place to be looked at first, if its deadline has come. O(log n).
    pub fn pop_due(&mut self, now_ms: i64) -> Option<Place> {
        if self.next_ms()? > now_ms {
            return None;
        }
        let in_heap =
            self.heap.peek().is_some_and(|&Reverse(entry)| self.runs.peek().is_none_or(|run| entry < run.least));
        let entry = if in_heap { self.heap.pop()?.0 } else { self.pop_of_runs()? };
        Some(Place::of_entry(entry))
    }

    /// Takes the least entry of the runs.
    fn pop_of_runs(&mut self) -> Option<u64> {
        let mut run = self.runs.peek_mut()?;
        let Reverse(entry) = run.entries.pop()?;
        self.run_entries -= 1;
        let len = run.entries.len();
        if len < RUN_MIN {
            let Run { entries, .. } = PeekMut::pop(run);
            self.run_entries -= len;
            self.run_bytes -= heap::vec(&entries);
            entries.into_iter().for_each(|Reverse(entry)| self.push_entry(entry));
            return Some(entry);
        }
        run.least = run.entries[len - 1].0;
        if len <= run.entries.capacity() / 2 {
            self.run_bytes -= heap::vec(&run.entries);
            run.entries.shrink_to_fit();
            self.run_bytes += heap::vec(&run.entries);
        }
        Some(entry)
    }

    /// Calls `visit` for the place of every entry whose deadline has come, for some places more than once; the entries stay.
    /// O(entries that are due).
    pub fn visit_due(&self, now_ms: i64, mut visit: impl FnMut(Place)) {
        let is_due = |entry: u64| (entry >> PLACE_BITS) as i64 <= now_ms;
        top_of_heap(self.heap.as_slice(), |&Reverse(entry)| {
            let due = is_due(entry);
            if due {
                visit(Place::of_entry(entry));
            }
            due
        });
        top_of_heap(self.runs.as_slice(), |run| {
            let due = run.entries.iter().rev().map(|&Reverse(entry)| entry).take_while(|&entry| is_due(entry));
            due.for_each(|entry| visit(Place::of_entry(entry)));
            is_due(run.least)
        });
    }

    /// Forgets everything and frees the memory.
    pub fn clear(&mut self) {
        *self = Queue::default();
    }

    /// Number of entries. O(1).
    pub fn len(&self) -> usize {
        self.heap.len() + self.run_entries
    }

    /// Bytes on the heap. O(1).
    pub fn bytes(&self) -> usize {
        let (heap, runs) = (self.heap.capacity() * size_of::<u64>(), self.runs.capacity() * size_of::<Run>());
        size_class(heap) + size_class(runs) + self.run_bytes
    }

    /// Allocations: the heap's and those of the runs.
    pub fn blocks(&self) -> usize {
        usize::from(self.heap.capacity() > 0) + self.runs.len()
    }
}

impl PartialEq for Run {
    fn eq(&self, other: &Run) -> bool {
        self.least == other.least
    }
}

impl Eq for Run {}

impl PartialOrd for Run {
    fn partial_cmp(&self, other: &Run) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The greatest is the one with the least entry: what the standard heap has at its top.
impl Ord for Run {
    fn cmp(&self, other: &Run) -> Ordering {
        other.least.cmp(&self.least)
    }
}

/// Calls `visit` for the items of a binary heap from the top, not for those below one for which it returns false.
fn top_of_heap<T>(items: &[T], mut visit: impl FnMut(&T) -> bool) {
    let mut open = vec![0];
    while let Some(at) = open.pop() {
        if items.get(at).is_some_and(&mut visit) {
            open.extend([2 * at + 1, 2 * at + 2]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn entries_come_out_as_from_the_standard_heap() {
        let mut prng = Prng::seeded(5);
        let (mut queue, mut twin) = (Queue::default(), BinaryHeap::new());
        for phase in 0..6 {
            for _ in 0..4 * RUN {
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
            }
            assert!(queue.heap.len() < RUN && (phase % 2 == 1 || queue.runs.len() > 1));
            assert!(queue.runs.iter().all(|run| run.entries.len() >= RUN_MIN && run.entries.is_sorted()));
            assert!(queue.runs.iter().all(|run| run.entries.last() == Some(&Reverse(run.least))));
            let runs = queue.runs.iter();
            let (entries, bytes) =
                runs.fold((0, 0), |(n, b), run| (n + run.entries.len(), b + heap::vec(&run.entries)));
            assert_eq!((entries, bytes), (queue.run_entries, queue.run_bytes));
        }
    }
}
