//! LZF, the compression of Redis's dump files and lists: byte-oriented LZ77 with a window of 8 KiB.
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

/// Bits of the places that a table of recent positions has: enough for short strings, and Redis's own for long ones.
const TABLE_BITS_MIN: u32 = 8;
const TABLE_BITS_MAX: u32 = 16;

/// Compresses one string after the other. The table of recent positions is made once, and not cleared for each.
#[derive(Debug, Default)]
pub struct Compressor {
    /// Where three bytes were seen last, by their hash: `base` and the position, so that what earlier strings left is below.
    recent: Vec<u32>,
    base: u32,
}

impl Compressor {
    /// Writes the compressed form behind what `out` holds; false, and nothing written, unless that is at least four bytes
    /// shorter than the data. Linear.
    pub fn compress(&mut self, data: &[u8], out: &mut Vec<u8>) -> bool {
        let start = out.len();
        let is_shorter = self.write(data, out).is_some();
        if !is_shorter {
            out.truncate(start);
        }
        is_shorter
    }

    fn write(&mut self, data: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let bytes_max = data.len().checked_sub(4).filter(|&max| max > 0)?;
        let bits = (usize::BITS - data.len().leading_zeros() + 2).clamp(TABLE_BITS_MIN, TABLE_BITS_MAX);
        let (recent, base) = self.table(bits, data.len())?;
        let place = |at: usize| {
            let three = &data[at..at + MATCH_MIN];
            let three = u32::from_be_bytes([0, three[0], three[1], three[2]]);
            ((three >> (24 - bits)).wrapping_sub(three.wrapping_mul(5)) & ((1 << bits) - 1)) as usize
        };
        let start = out.len();
        out.reserve(bytes_max);
        let (mut at, mut literals) = (0, 0);
        while at + MATCH_MIN <= data.len() {
            let before = std::mem::replace(&mut recent[place(at)], base + at as u32).checked_sub(base);
            // A match never begins at the first byte.
            let before = before.map_or(0, |before| before as usize);
            let is_match = before > 0 && at - before <= DISTANCE_MAX && data[before..before + 3] == data[at..at + 3];
            if !is_match {
                at += 1;
                continue;
            }
            write_literals(out, &data[literals..at]);
            let length = match_length(data, before, at);
            write_match(out, at - before - 1, length);
            if out.len() - start > bytes_max {
                return None;
            }
            at += length;
            literals = at;
            // Of what a match covers only its end is remembered.
            for covered in at - 2..at {
                if covered + MATCH_MIN <= data.len() {
                    recent[place(covered)] = base + covered as u32;
                }
            }
        }
        write_literals(out, &data[literals..]);
        (out.len() - start <= bytes_max).then_some(())
    }

    /// A table of so many bits for a string of so many bytes, and what is added to its positions. `None` for a string whose
    /// positions do not fit.
    fn table(&mut self, bits: u32, bytes: usize) -> Option<(&mut [u32], u32)> {
        let bytes = u32::try_from(bytes).ok()?;
        if self.recent.len() < 1 << bits {
            self.recent.resize(1 << bits, 0);
        }
        let base = self.base;
        match base.checked_add(bytes) {
            Some(next) => self.base = next,
            None => {
                self.recent.fill(0);
                self.base = bytes;
                return Some((&mut self.recent, 0));
            }
        }
        Some((&mut self.recent, base))
    }
}

/// How many bytes from `at` on are those from `before` on; three are known to be. COMPAT: the last two bytes of the data
/// are only matched by Redis if they are among the first of the match.
fn match_length(data: &[u8], before: usize, at: usize) -> usize {
    const FIRST: usize = 18;
    let left = data.len() - at;
    let first = if left > FIRST { FIRST } else { MATCH_MIN - 1 };
    let end = (left - 2).clamp(MATCH_MIN, MATCH_MAX).max(first + 1);
    equal_bytes(&data[before..before + end], &data[at..at + end])
}

/// How many bytes two texts of equal length have in common at their beginning.
fn equal_bytes(a: &[u8], b: &[u8]) -> usize {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (index, (a, b)) in a_words.iter().zip(b_words).enumerate() {
        let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
        if differing != 0 {
            return 8 * index + differing.trailing_zeros() as usize / 8;
        }
    }
    8 * a_words.len() + a_rest.iter().zip(b_rest).take_while(|(a, b)| a == b).count()
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

/// How many bytes well-formed data stands for, whatever its references lead to. A walk over the data.
fn expanded_bytes(data: &[u8]) -> Option<usize> {
    let (mut length, mut rest) = (0usize, data);
    while let Some((&control, after)) = rest.split_first() {
        let (stands_for, taken) = if control < LITERALS_MAX as u8 {
            (usize::from(control) + 1, usize::from(control) + 1)
        } else if control < 7 << 5 {
            (usize::from(control >> 5) + 2, 1)
        } else {
            (usize::from(*after.first()?) + 9, 2)
        };
        length = length.checked_add(stands_for)?;
        rest = after.get(taken..)?;
    }
    Some(length)
}

/// What the data stands for, `None` unless that is well-formed and of just this length. Takes memory for `length` bytes
/// once the data has been seen to stand for so many.
pub fn decompress(data: &[u8], length: usize) -> Option<Vec<u8>> {
    if expanded_bytes(data)? != length {
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
            let from = out.len().checked_sub(back)?;
            if count > length - out.len() {
                return None;
            }
            // What overlaps repeats: each step doubles what there is to copy, a whole number of repetitions.
            while count > 0 {
                let step = count.min(out.len() - from);
                out.extend_from_within(from..from + step);
                count -= step;
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

    fn compress(data: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        Compressor::default().compress(data, &mut out).then_some(out)
    }

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
                assert_eq!(expanded_bytes(&packed), Some(data.len()));
                assert_eq!(decompress(&packed, data.len()).as_ref(), Some(&data));
                assert_eq!(decompress(&packed, data.len() + 1), None);
                assert_eq!(decompress(&packed, data.len() - 1), None);
            }
        }
    }

    #[test]
    fn equal_bytes_are_those_that_a_comparison_one_by_one_finds() {
        let mut prng = Prng::seeded(6);
        for _ in 0..2000 {
            let a: Vec<u8> = (0..prng.below(40)).map(|_| prng.below(2) as u8).collect();
            let mut b = a.clone();
            if let Some(byte) = prng.clone().pick(&(0..b.len()).collect::<Vec<_>>()) {
                b[*byte] ^= prng.below(2) as u8;
            }
            let naive = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            assert_eq!(equal_bytes(&a, &b), naive);
        }
    }

    /// What earlier strings left in the table is not taken for a position in a later one.
    #[test]
    fn a_string_is_compressed_alike_after_others() {
        let mut prng = Prng::seeded(4);
        let mut compressor = Compressor::default();
        for round in 0..2000 {
            if round % 500 == 499 {
                compressor.base = u32::MAX - 1000;
            }
            let (letters, len) = (2 + prng.below(3), prng.below([20, 300, 5000][round % 3]));
            let data: Vec<u8> = (0..len).map(|_| prng.below(letters) as u8).collect();
            let mut out = b"before".to_vec();
            let is_shorter = compressor.compress(&data, &mut out);
            assert_eq!(is_shorter.then(|| out[6..].to_vec()), compress(&data));
            assert!(is_shorter || out == b"before");
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
            assert!(expanded_bytes(&packed[..at]).is_none_or(|length| length < text.len()));
        }
        assert_eq!(decompress(&[0x20, 0x00], 3), None, "a reference to before the beginning");
        assert_eq!(decompress(&[0, b'a'], usize::MAX), None, "an absurd length");
        assert_eq!(decompress(&[], 0), Some(Vec::new()));
    }
}
