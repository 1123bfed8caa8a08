//! Which slots hold a node: one bit a slot, under levels of one bit for each word of 64 that is not zero.
//!
//! Called by the wheel alone. For 2^20 slots the levels are 16,384, 256, 4 and 1 words (130 KiB), so the next occupied
//! slot is found by reading at most seven words: up until a level has a bit to the right, then down. All levels come
//! zeroed from the allocator, so pages that no slot has touched cost nothing.

use crate::base::heap;

/// A set of slot numbers. Invariant: bit `w` of a level is set exactly when word `w` of the level below is not zero.
#[derive(Debug)]
pub(super) struct Occupied {
    /// From one bit a slot to a single word.
    levels: Vec<Vec<u64>>,
}

impl Occupied {
    /// An empty set of numbers below `slots`.
    pub fn new(slots: usize) -> Occupied {
        let mut levels = Vec::new();
        let mut words = slots;
        while words > 1 || levels.is_empty() {
            words = words.div_ceil(64);
            levels.push(vec![0; words]);
        }
        Occupied { levels }
    }

    /// Adds `slot`. A word that was not zero before is already marked above.
    #[inline]
    pub fn set(&mut self, slot: usize) {
        let mut bit = slot;
        for level in &mut self.levels {
            let word = &mut level[bit / 64];
            let before = *word;
            *word |= 1 << (bit % 64);
            if before != 0 {
                return;
            }
            bit /= 64;
        }
    }

    /// Removes `slot`.
    #[inline]
    pub fn clear(&mut self, slot: usize) {
        let mut bit = slot;
        for level in &mut self.levels {
            let word = &mut level[bit / 64];
            *word &= !(1 << (bit % 64));
            if *word != 0 {
                return;
            }
            bit /= 64;
        }
    }

    /// The lowest member at or above `slot`, which may be past the end.
    pub fn at_or_after(&self, slot: usize) -> Option<usize> {
        let mut from = slot;
        for (height, level) in self.levels.iter().enumerate() {
            let word = from / 64;
            let bits = level.get(word)? & (u64::MAX << (from % 64));
            if bits != 0 {
                return Some(self.lowest_below(height, word * 64 + bits.trailing_zeros() as usize));
            }
            from = word + 1;
        }
        None
    }

    /// The lowest member under bit `bit` of the level at `height`, which is set.
    fn lowest_below(&self, height: usize, bit: usize) -> usize {
        let below = self.levels[..height].iter().rev();
        below.fold(bit, |bit, level| bit * 64 + level[bit].trailing_zeros() as usize)
    }

    /// Bytes reserved.
    pub fn bytes(&self) -> usize {
        heap::vec(&self.levels) + self.levels.iter().map(heap::vec).sum::<usize>()
    }

    /// Whether `slot` is a member, after checking the bits above it.
    #[cfg(test)]
    pub fn contains(&self, slot: usize) -> bool {
        let bit = |height: usize, bit: usize| self.levels[height][bit / 64] >> (bit % 64) & 1 == 1;
        let mut word = slot / 64;
        for height in 1..self.levels.len() {
            assert_eq!(bit(height, word), self.levels[height - 1][word] != 0, "bit {word} at height {height}");
            word /= 64;
        }
        bit(0, slot)
    }
}
