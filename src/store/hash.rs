//! The keyed hash of keys. SipHash-1-3 under a random 128-bit key chosen at start, so that nobody who does not know the
//! key can make keys collide (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).

use siphasher::sip::SipHasher13;

/// Hashes keys under one secret. Copyable: every database of a server uses the same secret, so that keys keep their
/// place when databases are swapped.
#[derive(Clone, Copy, Debug)]
pub struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// A hasher under the given secret. The same secret gives the same hashes.
    pub fn new(secret: [u8; 16]) -> KeyHasher {
        KeyHasher(SipHasher13::new_with_key(&secret))
    }

    /// The 64-bit hash of a key. O(key length).
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.0.hash(key)
    }
}
