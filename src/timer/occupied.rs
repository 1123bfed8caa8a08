//! Which slots hold a node: one bit a slot, and one bit above for each word of 64 that is not zero.
//!
//! Called by the wheel alone. For 2^20 slots: 128 KiB of words under 2 KiB of summary, so the next occupied slot is found by
//! reading one word, then at most 257 words of summary, then one word. Both levels come zeroed from the allocator, so pages
//! that no slot has touched cost nothing.

/// A set of slot numbers. Invariant: summary bit `w` is set exactly when `words[w] != 0`.
#[derive(Debug)]
pub(super) struct Occupied {
    words: Vec<u64>,
    summary: Vec<u64>,
}

impl Occupied {
    /// An empty set of numbers below `slots`.
    pub fn new(slots: usize) -> Occupied {
        let words = slots.div_ceil(64);
        Occupied { words: vec![0; words], summary: vec![0; words.div_ceil(64)] }
    }

    /// Adds `slot`.
    #[inline]
    pub fn set(&mut self, slot: usize) {
        let word = slot / 64;
        self.words[word] |= 1 << (slot % 64);
        self.summary[word / 64] |= 1 << (word % 64);
    }

    /// Removes `slot`.
    #[inline]
    pub fn clear(&mut self, slot: usize) {
        let word = slot / 64;
        self.words[word] &= !(1 << (slot % 64));
        if self.words[word] == 0 {
            self.summary[word / 64] &= !(1 << (word % 64));
        }
    }

    /// The lowest member at or above `slot`, which may be past the end.
    pub fn at_or_after(&self, slot: usize) -> Option<usize> {
        let word = slot / 64;
        let here = self.words.get(word)? & (u64::MAX << (slot % 64));
        if here != 0 {
            return Some(word * 64 + here.trailing_zeros() as usize);
        }
        let word = first_bit(&self.summary, word + 1)?;
        Some(word * 64 + self.words[word].trailing_zeros() as usize)
    }

    /// Bytes reserved.
    pub fn bytes(&self) -> usize {
        (self.words.len() + self.summary.len()) * size_of::<u64>()
    }

    /// Whether `slot` is a member, after checking its summary bit.
    #[cfg(test)]
    pub fn contains(&self, slot: usize) -> bool {
        let word = slot / 64;
        let summary = self.summary[word / 64] >> (word % 64) & 1 == 1;
        assert_eq!(summary, self.words[word] != 0, "summary bit of word {word}");
        self.words[word] >> (slot % 64) & 1 == 1
    }
}

/// The lowest set bit at or above `from`.
fn first_bit(words: &[u64], from: usize) -> Option<usize> {
    let first = from / 64;
    let here = words.get(first)? & (u64::MAX << (from % 64));
    if here != 0 {
        return Some(first * 64 + here.trailing_zeros() as usize);
    }
    let beyond = words[first + 1..].iter().position(|&word| word != 0)?;
    let word = first + 1 + beyond;
    Some(word * 64 + words[word].trailing_zeros() as usize)
}
