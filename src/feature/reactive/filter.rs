//! Tells most keys that no query names from the others, by one word: a Bloom filter whose bits for one key lie in one word
//! (Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters", 2007).
//!
//! It has a part for each shard of the table of keys, all of one size and in one piece, so that no other memory has to be
//! looked at to find the word. A part is made anew when its shard's table grows, or when too many of its keys have gone; the
//! parts grow together, and what was in them is said of both halves until their own turn comes.
//!
//! # Invariant
//! A part has the bits of every key of its shard.
//!
//! Called by [`super::keys`] alone, which has the hashes.

use crate::base::heap;
use crate::feature::shards::index;

/// Bits for each key that a shard's table has room for.
const BITS_PER_KEY: usize = 8;

/// The parts of one shard.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Room of the shard's table when the part was made.
    capacity: u32,
    /// Keys that have gone since.
    stale: u32,
}

/// The filter; of no size before the first key.
#[derive(Debug, Default)]
pub(super) struct Filter {
    bits: Vec<u64>,
    /// Words of a part: a power of two, once there is one.
    words: usize,
    parts: Vec<Part>,
}

impl Filter {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.bits) + heap::vec(&self.parts)
    }

    /// The word of a hash. It depends on other bits of the hash than the shard does, and on others than the bits in it.
    #[inline]
    fn word(&self, hash: u64) -> usize {
        index(hash) * self.words + ((hash >> 22) as usize & self.words.wrapping_sub(1))
    }

    #[inline]
    fn bits(hash: u64) -> u64 {
        let bit = |shift: u32| 1u64 << (hash >> shift & 63);
        bit(4) | bit(10) | bit(16)
    }

    /// False if no key has this hash. One word is looked at.
    #[inline]
    pub fn may_hold(&self, hash: u64) -> bool {
        self.bits.get(self.word(hash)).is_some_and(|word| word & Self::bits(hash) == Self::bits(hash))
    }

    /// The word that [`Filter::may_hold`] looks at.
    #[inline]
    pub fn place(&self, hash: u64) -> Option<&u64> {
        self.bits.get(self.word(hash))
    }

    /// Adds a key to a shard whose table has so much room, and then has `all` these keys. O(these) if its part has to be made
    /// anew; O(parts) if all have to grow.
    pub fn add(&mut self, hash: u64, capacity: usize, all: impl Iterator<Item = u64>) {
        self.fit(hash, capacity, all);
        let word = self.word(hash);
        self.bits[word] |= Self::bits(hash);
    }

    /// Notes that a key is gone from a shard whose table has so much room, and `all` these keys left. O(these) at times.
    pub fn remove(&mut self, hash: u64, capacity: usize, all: impl Iterator<Item = u64>) {
        if let Some(part) = self.parts.get_mut(index(hash)) {
            part.stale += 1;
            self.fit(hash, capacity, all);
        }
    }

    fn fit(&mut self, hash: u64, capacity: usize, all: impl Iterator<Item = u64>) {
        if self.parts.is_empty() {
            self.parts = vec![Part::default(); crate::feature::shards::SHARDS];
        }
        let part = self.parts[index(hash)];
        if part.capacity as usize == capacity && part.stale as usize <= capacity {
            return;
        }
        self.grow((BITS_PER_KEY * capacity / 64).next_power_of_two());
        let first = index(hash) * self.words;
        self.bits[first..first + self.words].fill(0);
        for hash in all {
            let word = self.word(hash);
            self.bits[word] |= Self::bits(hash);
        }
        self.parts[index(hash)] = Part { capacity: capacity as u32, stale: 0 };
    }

    /// Makes all parts have so many words, if they have fewer.
    fn grow(&mut self, words: usize) {
        if words <= self.words {
            return;
        }
        let mut bits = Vec::with_capacity(words * self.parts.len());
        for part in 0..self.parts.len() {
            // A word's number in its part gets higher bits, which are not known here.
            let old = &self.bits[part * self.words..(part + 1) * self.words];
            old.iter().cycle().take(if old.is_empty() { 0 } else { words }).for_each(|word| bits.push(*word));
            bits.resize((part + 1) * words, 0);
        }
        (self.bits, self.words) = (bits, words);
    }
}
