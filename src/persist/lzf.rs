//! LZF, the compression of Redis's dump files: byte-oriented LZ77 with a window of 8 KiB.
//!
//! # Format
//! ```text
//! 000LLLLL  literals ...                          L + 1 bytes as they are
//! LLLooooo  oooooooo                              L + 2 bytes from o + 1 bytes back, L below 7
//! 111ooooo  LLLLLLLL  oooooooo                    L + 9 bytes from there
//! ```
//! A reference may overlap what it produces: that is how runs are written.
//!
//! The one crate for this is marked as deprecated by its author and clears half a megabyte for each string it compresses.

const LITERALS_MAX: usize = 32;
const DISTANCE_MAX: usize = 1 << 13;
const MATCH_MAX: usize = 264;
/// A match is a run of three bytes at least.
const MATCH_MIN: usize = 3;

/// The most that a byte of compressed data can stand for: three bytes stand for a match of the greatest length.
pub const EXPANSION_MAX: usize = MATCH_MAX / 3;

/// Bits of the places that a table of recent positions has: enough for short strings, and Redis's own for long ones.
const TABLE_BITS_MIN: u32 = 8;
const TABLE_BITS_MAX: u32 = 16;

/// The compressed form, or `None` unless it is at least four bytes shorter. Linear.
pub fn compress(data: &[u8]) -> Option<Vec<u8>> {
    let bytes_max = data.len().checked_sub(4).filter(|&max| max > 0)?;
    let bits = (usize::BITS - data.len().leading_zeros() + 2).clamp(TABLE_BITS_MIN, TABLE_BITS_MAX);
    // Positions are held in 32 bits, 0 for none: a match never begins at the first byte.
    u32::try_from(data.len()).ok()?;
    let mut recent = vec![0u32; 1 << bits];
    let place = |at: usize| {
        let three = u32::from_be_bytes([0, data[at], data[at + 1], data[at + 2]]);
        ((three >> (24 - bits)).wrapping_sub(three.wrapping_mul(5)) & ((1 << bits) - 1)) as usize
    };
    let mut out = Vec::with_capacity(bytes_max);
    let (mut at, mut literals) = (0, 0);
    while at + MATCH_MIN <= data.len() {
        let before = std::mem::replace(&mut recent[place(at)], at as u32) as usize;
        let is_match = before > 0 && at - before <= DISTANCE_MAX && data[before..before + 3] == data[at..at + 3];
        if !is_match {
            at += 1;
            continue;
        }
        write_literals(&mut out, &data[literals..at]);
        let length = match_length(data, before, at);
        write_match(&mut out, at - before - 1, length);
        if out.len() > bytes_max {
            return None;
        }
        at += length;
        literals = at;
        // Of what a match covers only its end is remembered.
        for covered in at - 2..at {
            if covered + MATCH_MIN <= data.len() {
                recent[place(covered)] = covered as u32;
            }
        }
    }
    write_literals(&mut out, &data[literals..]);
    (out.len() <= bytes_max).then_some(out)
}

/// How many bytes from `at` on are those from `before` on; three are known to be. COMPAT: the last two bytes of the data
/// are only matched by Redis if they are among the first of the match.
fn match_length(data: &[u8], before: usize, at: usize) -> usize {
    const FIRST: usize = 18;
    let left = data.len() - at;
    let first = if left > FIRST { FIRST } else { MATCH_MIN - 1 };
    let end = (left - 2).clamp(MATCH_MIN, MATCH_MAX).max(first + 1);
    (MATCH_MIN..end).find(|&length| data[before + length] != data[at + length]).unwrap_or(end)
}

fn write_literals(out: &mut Vec<u8>, literals: &[u8]) {
    for run in literals.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

/// Writes a match that begins `back + 1` bytes before.
fn write_match(out: &mut Vec<u8>, back: usize, length: usize) {
    let (length, high, low) = (length - 2, (back >> 8) as u8, back as u8);
    if length < 7 {
        out.extend_from_slice(&[high | (length as u8) << 5, low]);
    } else {
        out.extend_from_slice(&[high | 7 << 5, (length - 7) as u8, low]);
    }
}

/// What the data stands for, `None` unless that is well-formed and of just this length. Takes memory for `length` bytes,
/// but for no more than the data could stand for.
pub fn decompress(data: &[u8], length: usize) -> Option<Vec<u8>> {
    if length > data.len().saturating_mul(EXPANSION_MAX) {
        return None;
    }
    let mut out = Vec::with_capacity(length);
    let mut rest = data;
    while let Some((&control, after)) = rest.split_first() {
        rest = after;
        if control < LITERALS_MAX as u8 {
            let (literals, after) = rest.split_at_checked(usize::from(control) + 1)?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let mut count = usize::from(control >> 5) + 2;
            if count == 9 {
                let (&more, after) = rest.split_first()?;
                count += usize::from(more);
                rest = after;
            }
            let (&low, after) = rest.split_first()?;
            rest = after;
            let back = (usize::from(control & 0x1F) << 8 | usize::from(low)) + 1;
            let mut from = out.len().checked_sub(back)?;
            if count > length - out.len() {
                return None;
            }
            // What overlaps is there as soon as it is wanted.
            while count > 0 {
                let step = count.min(out.len() - from);
                out.extend_from_within(from..from + step);
                (from, count) = (from + step, count - step);
            }
        }
        if out.len() > length {
            return None;
        }
    }
    (out.len() == length).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// What Redis 8.2.3 makes of these strings.
    #[test]
    fn known_strings_become_what_redis_makes_of_them() {
        let a: &[u8] = &[0x01, b'a', b'a', 0xE0, 0x5B, 0x00, 0x01, b'a', b'a'];
        assert_eq!(compress(&[b'a'; 104]).as_deref(), Some(a));
        assert_eq!(decompress(a, 104), Some(vec![b'a'; 104]));
        assert_eq!(compress(b"abcdefghijklmnopqrstuvwxyz0123456789"), None);
    }

    #[test]
    fn what_was_compressed_comes_back() {
        let mut prng = Prng::seeded(3);
        for round in 0..400 {
            let letters = [2, 3, 26, 256][round % 4];
            let len = prng.below([30, 300, 3000, 30_000][round / 4 % 4]);
            let mut data: Vec<u8> = (0..len).map(|_| prng.below(letters) as u8).collect();
            if prng.chance(1, 2) {
                data = data.repeat(1 + prng.below(5) as usize);
            }
            if let Some(packed) = compress(&data) {
                assert!(packed.len() + 4 <= data.len());
                assert_eq!(decompress(&packed, data.len()).as_ref(), Some(&data));
                assert_eq!(decompress(&packed, data.len() + 1), None);
                assert_eq!(decompress(&packed, data.len() - 1), None);
            }
        }
    }

    #[test]
    fn damaged_data_is_refused_or_stands_for_something_else() {
        let text = b"the quick brown fox jumps over the lazy dog; the quick brown fox sleeps".repeat(9);
        let packed = compress(&text).expect("it repeats itself");
        for at in 0..packed.len() {
            for bit in 0..8 {
                let mut damaged = packed.clone();
                damaged[at] ^= 1 << bit;
                assert!(decompress(&damaged, text.len()).is_none_or(|found| found.len() == text.len()));
            }
            assert_eq!(decompress(&packed[..at], text.len()), None);
        }
        assert_eq!(decompress(&[0x20, 0x00], 3), None, "a reference to before the beginning");
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None, "an absurd length");
        assert_eq!(decompress(&[], 0), Some(Vec::new()));
    }
}
