//! MurmurHash64A (Austin Appleby, 2008, public domain), the hash that the bytes of every HyperLogLog depend on.
//!
//! Fixed by what other servers wrote, so no other hash may take its place here; and of no use where somebody may want
//! collisions, for which see `store::hash`.

const MULTIPLIER: u64 = 0xc6a4_a793_5bd1_e995;
const SHIFT: u32 = 47;

/// Hashes bytes under a seed. O(bytes).
pub fn hash64a(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = seed ^ (bytes.len() as u64).wrapping_mul(MULTIPLIER);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let mut mixed = u64::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> SHIFT;
        hash = (hash ^ mixed.wrapping_mul(MULTIPLIER)).wrapping_mul(MULTIPLIER);
    }
    if !rest.is_empty() {
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> SHIFT;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ hash >> SHIFT
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From an implementation in another language, checked against the strings that Redis writes.
    #[test]
    fn hashes_are_those_of_the_algorithm() {
        assert_eq!(hash64a(b"", 0), 0);
        assert_eq!(hash64a(b"The quick brown fox jumps over the lazy dog", 0xadc8_3b19), 0x5160_6c5c_5b56_1ace);
    }
}
