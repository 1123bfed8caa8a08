//! Which fields of a big hash expire next: a binary heap of eight bytes an entry, cleaned lazily.
//!
//! An entry `(deadline, place)` says only: *look at the fields of this place when the deadline has come*. A place is the top
//! [`PLACE_BITS`] bits of a field's hash. So an entry that nobody needs any more is harmless, and nothing is cancelled.
//!
//! # Invariant
//! For every field with a deadline there is an entry of its place with that deadline or an earlier one: its owner keeps it by
//! [`Queue::push`].
//!
//! Used by `hash::fields`. Knows nothing of fields.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::DEADLINE_END;

/// Bits of a hash that make a place.
pub const PLACE_BITS: u32 = 18;

const _: () = assert!(DEADLINE_END == 1 << (u64::BITS - PLACE_BITS), "deadline and place fill an entry");

/// The place of a field's hash.
#[inline]
pub fn place(hash: u64) -> u32 {
    (hash >> (u64::BITS - PLACE_BITS)) as u32
}

/// The heap, earliest deadline first.
#[derive(Clone, Debug, Default)]
pub struct Queue(BinaryHeap<Reverse<u64>>);

impl Queue {
    /// Asks for a place to be looked at when a deadline (Unix ms) has come. O(log n).
    pub fn push(&mut self, deadline_ms: i64, place: u32) {
        if self.0.len() == self.0.capacity() {
            // A quarter more, rather than the doubling that vectors choose: these are eight bytes for each field.
            self.0.reserve_exact((self.0.len() / 4).max(8));
        }
        self.0.push(Reverse((deadline_ms as u64) << PLACE_BITS | u64::from(place)));
    }

    /// The earliest deadline, in Unix milliseconds. O(1).
    #[inline]
    pub fn next_ms(&self) -> Option<i64> {
        self.0.peek().map(|Reverse(entry)| (entry >> PLACE_BITS) as i64)
    }

    /// The place to be looked at first, if its deadline has come. O(log n).
    pub fn pop_due(&mut self, now_ms: i64) -> Option<u32> {
        if self.next_ms()? > now_ms {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| (entry & ((1 << PLACE_BITS) - 1)) as u32)
    }

    /// Forgets everything and frees the memory.
    pub fn clear(&mut self) {
        *self = Queue::default();
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<u64>()
    }
}
