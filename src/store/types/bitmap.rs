//! Strings as arrays of bits: single bits, counting and searching, combining whole strings, integers of any width.
//!
//! Bit 0 is the most significant bit of the first byte, and an integer's first bit is its most significant one, so integers
//! at multiples of 8 bits are big-endian. Reading beyond the end finds zeros; writing needs the bytes to be there.
//!
//! Called by `command::bitmap`. Knows nothing of keys, argument syntax or replies.

use std::collections::TryReserveError;
use std::ops::Range;

use crate::store::table::prefetch;

/// The bit at an offset. O(1).
#[inline]
pub fn get(bytes: &[u8], offset: u64) -> bool {
    byte_at(bytes, offset) & mask(offset) != 0
}

/// Sets or clears the bit at an offset, which must lie within the bytes. O(1).
#[inline]
pub fn set(bytes: &mut [u8], offset: u64, on: bool) {
    let byte = &mut bytes[(offset / 8) as usize];
    *byte = if on { *byte | mask(offset) } else { *byte & !mask(offset) };
}

fn byte_at(bytes: &[u8], offset: u64) -> u8 {
    usize::try_from(offset / 8).ok().and_then(|index| bytes.get(index)).copied().unwrap_or(0)
}

/// The bit of its byte that an offset means.
#[inline]
pub fn mask(offset: u64) -> u8 {
    0x80 >> (offset % 8)
}

/// A range of bits, cut where whole bytes begin and end.
struct Cut<'b> {
    /// The first byte, if it is not whole: its bits in the range.
    head: Option<u8>,
    /// Whole bytes.
    body: &'b [u8],
    /// The last byte, if it is not whole and not `head`: its bits in the range.
    tail: Option<u8>,
}

impl<'b> Cut<'b> {
    /// Cuts a range that lies within the bytes. Bits beside it read as `filler`.
    fn new(bytes: &'b [u8], range: &Range<u64>, filler: bool) -> Cut<'b> {
        let fill = |byte: u8, inside: u8| if filler { byte | !inside } else { byte & inside };
        let (from_start, to_end) = (0xff >> (range.start % 8), !(0xff_u8 >> (range.end % 8)));
        let (first, last) = ((range.start / 8) as usize, (range.end / 8) as usize);
        if first == last {
            return Cut { head: Some(fill(bytes[first], from_start & to_end)), body: &[], tail: None };
        }
        let head = (!range.start.is_multiple_of(8)).then(|| fill(bytes[first], from_start));
        let tail = (!range.end.is_multiple_of(8)).then(|| fill(bytes[last], to_end));
        Cut { head, body: &bytes[first + usize::from(head.is_some())..last], tail }
    }
}

/// How many bits of a range, which must lie within the bytes, are set. O(range), a word at a time.
pub fn count(bytes: &[u8], range: Range<u64>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let Cut { head, body, tail } = Cut::new(bytes, &range, false);
    [head, tail].into_iter().flatten().map(|byte| u64::from(byte.count_ones())).sum::<u64>() + count_all(body)
}

/// Words handled side by side, so that the compiler can use vector instructions.
type Lanes = [u64; 4];
const LANES_BYTES: usize = size_of::<Lanes>();
const ZERO_LANES: Lanes = [0; 4];

/// Lanes that are turned into one lane of sixteens below.
const GROUP_LANES: usize = 16;

/// Bytes of the lanes that are turned into one.
const GROUP_BYTES: usize = GROUP_LANES * LANES_BYTES;

/// Bytes that a prefetch brings.
const LINE_BYTES: usize = 64;

/// Groups by which loading is ahead of counting: where the bytes are in main memory, the processor's own prefetch ends with
/// each page.
const AHEAD: usize = 4;

/// Counts set bits with carry-save adders (Harley and Seal; Muła, Kurz and Lemire, "Faster population counts using AVX2
/// instructions", 2018): five lanes of counters stand for sixteen lanes of input, so the costly count of a word's bits is
/// made once for sixteen words. Twice as fast as to count each.
///
/// The loops here go by index, without iterators and closures: in builds without link-time optimisation some of those stay
/// calls, with everything that is in registers saved around them, which takes four times as long.
#[allow(clippy::needless_range_loop, reason = "see above")]
fn count_all(bytes: &[u8]) -> u64 {
    let (groups, rest) = bytes.as_chunks::<GROUP_BYTES>();
    let [mut ones, mut twos, mut fours, mut eights] = [ZERO_LANES; 4];
    let mut sixteens_total = 0;
    for (at, group) in groups.iter().enumerate() {
        prefetch_group(groups, at + AHEAD);
        let (lanes, _) = group.as_chunks::<LANES_BYTES>();
        let mut carries = [ZERO_LANES; 4];
        for quad in 0..carries.len() {
            let first = 4 * quad;
            let twos_a = add(&mut ones, load_lanes(&lanes[first]), load_lanes(&lanes[first + 1]));
            let twos_b = add(&mut ones, load_lanes(&lanes[first + 2]), load_lanes(&lanes[first + 3]));
            carries[quad] = add(&mut twos, twos_a, twos_b);
        }
        let eights_a = add(&mut fours, carries[0], carries[1]);
        let eights_b = add(&mut fours, carries[2], carries[3]);
        sixteens_total += count_lanes(add(&mut eights, eights_a, eights_b));
    }
    let counters = [(sixteens_total, 16), (count_lanes(eights), 8), (count_lanes(fours), 4), (count_lanes(twos), 2)];
    let in_groups = counters.into_iter().map(|(count, each)| count * each).sum::<u64>() + count_lanes(ones);
    let (words, tail) = rest.as_chunks::<8>();
    let in_words: u64 = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones())).sum();
    let in_tail: u64 = tail.iter().map(|byte| u64::from(byte.count_ones())).sum();
    in_groups + in_words + in_tail
}

/// Starts loading a group, if there is one.
#[inline(always)]
fn prefetch_group(groups: &[[u8; GROUP_BYTES]], at: usize) {
    if let Some(group) = groups.get(at) {
        for line in 0..GROUP_BYTES / LINE_BYTES {
            prefetch(&raw const group[LINE_BYTES * line]);
        }
    }
}

#[allow(clippy::needless_range_loop, reason = "see `count_all`")]
#[inline(always)]
fn load_lanes(bytes: &[u8; LANES_BYTES]) -> Lanes {
    let (words, _) = bytes.as_chunks::<8>();
    let mut lanes = ZERO_LANES;
    for lane in 0..lanes.len() {
        lanes[lane] = u64::from_ne_bytes(words[lane]);
    }
    lanes
}

#[allow(clippy::needless_range_loop, reason = "see `count_all`")]
#[inline(always)]
fn count_lanes(lanes: Lanes) -> u64 {
    let mut count = 0;
    for lane in 0..lanes.len() {
        count += u64::from(lanes[lane].count_ones());
    }
    count
}

/// Adds two lanes to counters of single bits, bit by bit; returns the carries.
#[inline(always)]
fn add(sum: &mut Lanes, a: Lanes, b: Lanes) -> Lanes {
    let mut carry = ZERO_LANES;
    for lane in 0..sum.len() {
        let half = sum[lane] ^ a[lane];
        carry[lane] = (sum[lane] & a[lane]) | (half & b[lane]);
        sum[lane] = half ^ b[lane];
    }
    carry
}

/// The first bit of a range, which must lie within the bytes, that has a value. O(range), a word at a time.
pub fn find(bytes: &[u8], range: Range<u64>, value: bool) -> Option<u64> {
    if range.is_empty() {
        return None;
    }
    let Cut { head, body, tail } = Cut::new(bytes, &range, !value);
    let seek = |byte: u8| (if value { byte } else { !byte }).leading_zeros();
    if let Some(byte) = head
        && seek(byte) < 8
    {
        return Some(range.start / 8 * 8 + u64::from(seek(byte)));
    }
    let body_at = range.start.next_multiple_of(8);
    if let Some(found) = find_in(body, value) {
        return Some(body_at + found);
    }
    let byte = tail.filter(|&byte| seek(byte) < 8)?;
    Some(body_at + 8 * body.len() as u64 + u64::from(seek(byte)))
}

fn find_in(bytes: &[u8], value: bool) -> Option<u64> {
    let unwanted = if value { 0 } else { u64::MAX };
    let (words, rest) = bytes.as_chunks::<8>();
    if let Some(index) = words.iter().position(|word| u64::from_ne_bytes(*word) != unwanted) {
        let differing = u64::from_be_bytes(words[index]) ^ unwanted;
        return Some(64 * index as u64 + u64::from(differing.leading_zeros()));
    }
    let index = rest.iter().position(|byte| *byte != unwanted as u8)?;
    let differing = rest[index] ^ unwanted as u8;
    Some(8 * (8 * words.len() + index) as u64 + u64::from(differing.leading_zeros()))
}

/// Shows the bits of a range, which must lie within the bytes, that have a value, in their order, until `show` returns false. Returns
/// where to go on then. O(range), a word at a time, and O(bits shown).
pub fn visit(bytes: &[u8], range: Range<u64>, value: bool, mut show: impl FnMut(u64) -> bool) -> Option<u64> {
    let mut first = range.start / 8 * 8;
    while first < range.end {
        let rest = &bytes[(first / 8) as usize..];
        let mut word = match rest.first_chunk::<8>() {
            Some(eight) => u64::from_be_bytes(*eight),
            None => (0..8).fold(0, |word, index| word << 8 | u64::from(rest.get(index).copied().unwrap_or(0))),
        };
        if !value {
            word = !word;
        }
        if first < range.start {
            word &= u64::MAX >> (range.start - first);
        }
        if range.end - first < 64 {
            word &= !(u64::MAX >> (range.end - first));
        }
        while word != 0 {
            let bit = u64::from(word.leading_zeros());
            word ^= 1 << 63 >> bit;
            if !show(first + bit) {
                return Some(first + bit + 1);
            }
        }
        first += 64;
    }
    None
}

/// How BITOP combines strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Bits that all strings have.
    And,
    /// Bits that any string has.
    Or,
    /// Bits that an odd number of strings have.
    Xor,
    /// Bits that the only string has not.
    Not,
    /// Bits of the first string that no other one has.
    Diff,
    /// Bits of the other strings that the first one has not.
    Diff1,
    /// Bits of the first string that any other one has too.
    AndOr,
    /// Bits that exactly one string has.
    One,
}

/// Bytes combined before the next ones are looked at: both blocks below stay in the nearest cache.
pub const BLOCK_BYTES: usize = 4096;

/// Combines strings into one as long as the longest of them; shorter ones go on as zeros.
/// [`Op::Not`] looks at the first alone. O(all bytes), a register's width at a time.
///
/// # Errors
///
/// If there is no memory for the result.
pub fn combine(op: Op, sources: &[&[u8]]) -> Result<Vec<u8>, TryReserveError> {
    let mut result = Vec::new();
    result.try_reserve_exact(combined_bytes(sources))?;
    while combine_more(op, sources, &mut result) {}
    Ok(result)
}

/// Bytes of what strings are combined into.
pub fn combined_bytes(sources: &[&[u8]]) -> usize {
    sources.iter().map(|source| source.len()).max().unwrap_or(0)
}

/// Adds the next block to a result, for which there is room. False if that was the last. O(sources).
pub fn combine_more(op: Op, sources: &[&[u8]], result: &mut Vec<u8>) -> bool {
    let (Some((first, others)), at) = (sources.split_first(), result.len()) else { return false };
    let left = combined_bytes(sources) - at;
    let count = BLOCK_BYTES.min(left);
    let (mut block, mut scratch) = ([0; BLOCK_BYTES], [0; BLOCK_BYTES]);
    let (block, scratch) = (&mut block[..count], &mut scratch[..count]);
    combine_block(op, part(first, at, count), others.iter().map(|other| part(other, at, count)), block, scratch);
    result.extend_from_slice(block);
    count < left
}

/// What a string has of a block.
fn part(source: &[u8], at: usize, count: usize) -> &[u8] {
    let rest = source.get(at..).unwrap_or_default();
    &rest[..rest.len().min(count)]
}

/// One block of the result, into `block`. Parts shorter than it go on as zeros.
fn combine_block<'s>(
    op: Op,
    first: &[u8],
    mut others: impl Iterator<Item = &'s [u8]>,
    block: &mut [u8],
    scratch: &mut [u8],
) {
    match op {
        Op::And => {
            load(block, first);
            others.for_each(|other| {
                zip(block, other, |a, b| a & b);
                block[other.len()..].fill(0);
            });
        }
        Op::Or => {
            load(block, first);
            others.for_each(|other| zip(block, other, |a, b| a | b));
        }
        Op::Xor => {
            load(block, first);
            others.for_each(|other| zip(block, other, |a, b| a ^ b));
        }
        Op::Not => {
            load(block, first);
            block.iter_mut().for_each(|byte| *byte = !*byte);
        }
        Op::Diff | Op::Diff1 | Op::AndOr => {
            load(block, others.next().unwrap_or_default());
            others.for_each(|other| zip(block, other, |a, b| a | b));
            load(scratch, first);
            match op {
                Op::Diff => zip(block, scratch, |any, first| first & !any),
                Op::Diff1 => zip(block, scratch, |any, first| any & !first),
                _ => zip(block, scratch, |any, first| any & first),
            }
        }
        Op::One => {
            load(block, first);
            scratch.fill(0);
            for other in others {
                // In `scratch`, the bits that more than one string has.
                for ((once, more), &byte) in block.iter_mut().zip(scratch.iter_mut()).zip(other) {
                    *more |= *once & byte;
                    *once |= byte;
                }
            }
            zip(block, scratch, |once, more| once & !more);
        }
    }
}

fn load(block: &mut [u8], bytes: &[u8]) {
    block[..bytes.len()].copy_from_slice(bytes);
    block[bytes.len()..].fill(0);
}

/// Changes each byte of the block that has a counterpart. A plain loop, which compiles to vector instructions.
#[inline(always)]
fn zip(block: &mut [u8], bytes: &[u8], change: impl Fn(u8, u8) -> u8) {
    for (a, &b) in block.iter_mut().zip(bytes) {
        *a = change(*a, b);
    }
}

/// The type of an integer inside a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Two's complement rather than unsigned.
    pub signed: bool,
    /// Width in bits: 1 to 64, to 63 if unsigned.
    pub bits: u32,
}

/// What becomes of a number that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits are kept.
    Wrap,
    /// It becomes the nearest number that fits.
    Saturate,
    /// Nothing is written.
    Fail,
}

/// Bytes that a field of 64 bits may touch.
pub(super) const FIELD_BYTES: usize = 9;

impl Field {
    /// The number at a bit offset; what lies beyond the end counts as zeros. O(1).
    pub fn read(self, bytes: &[u8], offset: u64) -> i64 {
        let at = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let there = bytes.get(at..).unwrap_or_default();
        let there = &there[..there.len().min(FIELD_BYTES)];
        let mut window = [0; 16];
        window[..there.len()].copy_from_slice(there);
        let aligned = u128::from_be_bytes(window) << (offset % 8);
        // The field's bits are the highest ones now: a shift down brings its sign along if it has one.
        let shift = 128 - self.bits;
        if self.signed { (aligned as i128 >> shift) as i64 } else { (aligned >> shift) as i64 }
    }

    /// Writes a number's lowest bits at a bit offset; the bytes must be there. O(1).
    pub fn write(self, bytes: &mut [u8], offset: u64, number: i64) {
        let at = (offset / 8) as usize;
        let there = bytes.len().min(at + FIELD_BYTES) - at;
        let mut window = [0; 16];
        window[..there].copy_from_slice(&bytes[at..][..there]);
        let shift = 128 - self.bits - (offset % 8) as u32;
        let mask = ((1_u128 << self.bits) - 1) << shift;
        let changed = u128::from_be_bytes(window) & !mask | (u128::from(number as u64) << shift & mask);
        bytes[at..][..there].copy_from_slice(&changed.to_be_bytes()[..there]);
    }

    /// The sum that is stored when a number of this field is incremented; `None` if it must not be.
    pub fn add(self, number: i64, increment: i64, overflow: Overflow) -> Option<i64> {
        self.fit(i128::from(number) + i128::from(increment), overflow)
    }

    /// The number that is stored when the field is set; `None` if it must not be.
    // COMPAT: what is too low saturates at the top where Redis's own arithmetic goes round: any negative number for an
    // unsigned field, and one so low that its distance to the highest that fits is beyond 64 bits for a signed one.
    pub fn convert(self, number: i64, overflow: Overflow) -> Option<i64> {
        if !self.signed {
            return self.fit(i128::from(number as u64), overflow);
        }
        let max = i64::MAX >> (64 - self.bits);
        if self.bits < 64 && overflow == Overflow::Saturate && max.checked_sub(number).is_none() {
            return Some(max);
        }
        self.fit(i128::from(number), overflow)
    }

    fn fit(self, number: i128, overflow: Overflow) -> Option<i64> {
        let (min, max) = match self.signed {
            true => (-(1_i128 << (self.bits - 1)), (1_i128 << (self.bits - 1)) - 1),
            false => (0, (1_i128 << self.bits) - 1),
        };
        if (min..=max).contains(&number) {
            return Some(number as i64);
        }
        match overflow {
            Overflow::Wrap => {
                let shift = 128 - self.bits;
                let aligned = number << shift;
                Some(if self.signed { (aligned >> shift) as i64 } else { (aligned as u128 >> shift) as i64 })
            }
            Overflow::Saturate => Some(number.clamp(min, max) as i64),
            Overflow::Fail => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn some_bytes(prng: &mut Prng, longest: u64) -> Vec<u8> {
        let length = prng.below(longest + 1);
        // Long runs of equal bits, as bitmaps have them, and noise.
        let filler = *prng.pick(&[0x00, 0xff, 0xff, 0x00, 0x10]).expect("not empty");
        (0..length).map(|_| if prng.chance(1, 8) { prng.below(256) as u8 } else { filler }).collect()
    }

    fn some_range(prng: &mut Prng, bytes: &[u8]) -> Range<u64> {
        let bits = 8 * bytes.len() as u64;
        let (a, b) = (prng.below(bits + 1), prng.below(bits + 1));
        a.min(b)..a.max(b)
    }

    #[test]
    fn counting_and_finding_agree_with_looking_at_each_bit() {
        let mut prng = Prng::seeded(1);
        for round in 0..2_000 {
            let bytes = some_bytes(&mut prng, [3, 20, 600, 3000][round % 4]);
            let range = some_range(&mut prng, &bytes);
            let bits = || range.clone().map(|offset| bytes[(offset / 8) as usize] >> (7 - offset % 8) & 1 == 1);
            let set = bits().filter(|&bit| bit).count() as u64;
            assert_eq!(count(&bytes, range.clone()), set, "{bytes:?} {range:?}");
            for value in [false, true] {
                let first = bits().position(|bit| bit == value).map(|index| range.start + index as u64);
                assert_eq!(find(&bytes, range.clone(), value), first, "{bytes:?} {range:?} {value}");
                let all =
                    bits().enumerate().filter(|(_, bit)| *bit == value).map(|(index, _)| range.start + index as u64);
                let (mut shown, mut left) = (Vec::new(), Some(range.clone()));
                while let Some(range) = left {
                    let stop_at = shown.len() + 1 + prng.below(100) as usize;
                    let next = visit(&bytes, range.clone(), value, |offset| {
                        shown.push(offset);
                        shown.len() < stop_at
                    });
                    left = next.map(|next| next..range.end);
                }
                assert_eq!(shown, all.collect::<Vec<_>>(), "{bytes:?} {range:?} {value}");
            }
        }
    }

    #[test]
    fn a_bit_is_what_was_set_and_its_neighbours_stay() {
        let mut prng = Prng::seeded(2);
        for _ in 0..500 {
            let mut bytes = vec![prng.below(256) as u8; 9];
            let (before, offset, on) = (bytes.clone(), prng.below(72), prng.chance(1, 2));
            set(&mut bytes, offset, on);
            for at in 0..80 {
                assert_eq!(get(&bytes, at), if at == offset { on } else { get(&before, at) });
            }
        }
        assert!(!get(&[0xff], u64::MAX));
    }

    /// The definition of each operation, for one bit of each string.
    fn combined_bit(op: Op, bits: &[bool]) -> bool {
        let ones = bits.iter().filter(|&&bit| bit).count();
        let any_other = bits[1..].contains(&true);
        match op {
            Op::And => ones == bits.len(),
            Op::Or => ones > 0,
            Op::Xor => ones % 2 == 1,
            Op::Not => !bits[0],
            Op::Diff => bits[0] && !any_other,
            Op::Diff1 => !bits[0] && any_other,
            Op::AndOr => bits[0] && any_other,
            Op::One => ones == 1,
        }
    }

    #[test]
    fn combining_follows_the_definitions() {
        let mut prng = Prng::seeded(3);
        let ops = [Op::And, Op::Or, Op::Xor, Op::Not, Op::Diff, Op::Diff1, Op::AndOr, Op::One];
        for round in 0..400 {
            let longest = if round % 20 == 0 { 3 * BLOCK_BYTES as u64 } else { 40 };
            let sources: Vec<Vec<u8>> = (0..1 + prng.below(5)).map(|_| some_bytes(&mut prng, longest)).collect();
            for op in ops {
                let sources = if op == Op::Not { &sources[..1] } else { &sources[..] };
                let slices: Vec<&[u8]> = sources.iter().map(Vec::as_slice).collect();
                let length = sources.iter().map(Vec::len).max().expect("not empty");
                let mut expected = vec![0; length];
                for offset in 0..8 * length as u64 {
                    let bits: Vec<bool> = slices.iter().map(|source| get(source, offset)).collect();
                    set(&mut expected, offset, combined_bit(op, &bits));
                }
                assert_eq!(combine(op, &slices).expect("little memory"), expected, "{op:?}");
            }
        }
    }

    #[test]
    fn fields_are_read_and_written_bit_by_bit() {
        let mut prng = Prng::seeded(4);
        for _ in 0..5_000 {
            let signed = prng.chance(1, 2);
            let field = Field { signed, bits: 1 + prng.below(if signed { 64 } else { 63 }) as u32 };
            let mut bytes: Vec<u8> = (0..12).map(|_| prng.below(256) as u8).collect();
            let (before, offset, number) =
                (bytes.clone(), prng.below(97 - u64::from(field.bits)), prng.next_u64() as i64);
            field.write(&mut bytes, offset, number);
            for at in 0..96 {
                let inside = (offset..offset + u64::from(field.bits)).contains(&at);
                let place = (offset + u64::from(field.bits) - 1).wrapping_sub(at);
                assert_eq!(get(&bytes, at), if inside { number >> place & 1 == 1 } else { get(&before, at) });
            }
            let low = i128::from(number) & ((1 << field.bits) - 1);
            let negative = signed && low >> (field.bits - 1) & 1 == 1;
            assert_eq!(i128::from(field.read(&bytes, offset)), if negative { low - (1 << field.bits) } else { low });
        }
        assert_eq!(Field { signed: true, bits: 64 }.read(&[0xff], u64::MAX), 0);
        assert_eq!(Field { signed: false, bits: 12 }.read(&[0xff], 0), 0xff0);
    }

    #[test]
    fn numbers_that_do_not_fit_wrap_or_stop_or_fail() {
        let [int8, uint8, int64, uint63] =
            [(true, 8), (false, 8), (true, 64), (false, 63)].map(|(signed, bits)| Field { signed, bits });
        let rows = [
            (int8, 127, 1, [Some(-128), Some(127), None]),
            (int8, -128, -1, [Some(127), Some(-128), None]),
            (int8, 100, 27, [Some(127); 3]),
            (int8, 0, i64::MIN, [Some(0), Some(-128), None]),
            (uint8, 255, 1, [Some(0), Some(255), None]),
            (uint8, 0, -1, [Some(255), Some(0), None]),
            (uint8, 10, -10, [Some(0); 3]),
            (int64, i64::MAX, 1, [Some(i64::MIN), Some(i64::MAX), None]),
            (int64, i64::MIN, -1, [Some(i64::MAX), Some(i64::MIN), None]),
            (uint63, i64::MAX, 1, [Some(0), Some(i64::MAX), None]),
        ];
        for (field, number, increment, expected) in rows {
            for (overflow, sum) in [Overflow::Wrap, Overflow::Saturate, Overflow::Fail].into_iter().zip(expected) {
                assert_eq!(field.add(number, increment, overflow), sum, "{field:?} {number} {increment} {overflow:?}");
            }
        }
        for (overflow, stored) in [(Overflow::Wrap, Some(255)), (Overflow::Saturate, Some(255)), (Overflow::Fail, None)]
        {
            assert_eq!(uint8.convert(-1, overflow), stored);
        }
        assert_eq!(int8.convert(200, Overflow::Wrap), Some(-56));
        assert_eq!(int8.convert(-200, Overflow::Saturate), Some(-128));
        assert_eq!(int8.convert(i64::MIN + 128, Overflow::Saturate), Some(-128));
        assert_eq!(int8.convert(i64::MIN + 127, Overflow::Saturate), Some(127));
        assert_eq!(int64.convert(i64::MIN, Overflow::Saturate), Some(i64::MIN));
    }
}
