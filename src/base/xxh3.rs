//! The digests of values as Redis shows them: XXH3 of 64 bits with the seed 0, as hexadecimal text.

use std::fmt;

use xxhash_rust::xxh3;

/// Digits of a digest.
pub const DIGITS: usize = 16;

/// A digest as text: lower case, leading zeros included.
pub type Digits = [u8; DIGITS];

/// The digest of some bytes. O(bytes).
pub fn digits(bytes: &[u8]) -> Digits {
    text(xxh3::xxh3_64(bytes))
}

fn text(digest: u64) -> Digits {
    std::array::from_fn(|index| {
        let digit = (digest >> (60 - 4 * index)) as u8 & 0xf;
        if digit < 10 { b'0' + digit } else { b'a' + digit - 10 }
    })
}

/// A digest of bytes that come piece by piece.
#[derive(Default)]
pub struct Digester(xxh3::Xxh3Default);

impl Digester {
    /// Adds bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes so far.
    pub fn digits(&self) -> Digits {
        text(self.0.digest())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digester")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_redis() {
        for (bytes, expected) in [
            ("Hello world", "b6acb9d84a38ff74"),
            ("", "2d06800538d394c2"),
            ("a", "e6c632b61e964e1f"),
            ("12", "7ecd2e572c949f74"),
            ("w", "aceee8f5de193e29"),
            ("11", "205381dc855b977a"),
        ] {
            assert_eq!(digits(bytes.as_bytes()), expected.as_bytes(), "{bytes}");
        }
    }

    #[test]
    fn bytes_in_pieces_have_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..5000u32).map(|n| ((n * n) >> 3) as u8).collect();
        for piece in [1, 16, 240, 241, 1024, 4999] {
            let mut digester = Digester::default();
            bytes.chunks(piece).for_each(|piece| digester.add(piece));
            assert_eq!(digester.digits(), digits(&bytes), "pieces of {piece}");
        }
    }
}
