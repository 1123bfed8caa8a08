//! Compressed bitmaps: the bits of a string that is mostly holes or runs, without its bytes.
//!
//! The bits lie in chunks of 65,536, those of 8 KiB of the string; a chunk without set bits is not there. Each is one container of
//! the `roaring` crate: an array of offsets, an array of bits, or runs, whichever is smallest. The offset of a bit is the string's,
//! and the string's length in bytes is kept beside them, so all that a plain string would answer can be told.
//!
//! One chunk at a time is changed, measured and brought into its smallest form: so nothing here takes a time that grows with the
//! whole of a bitmap but what goes by all of it, and that can be done chunk by chunk.
//!
//! # Invariants
//! - No chunk is empty; `count` of a chunk and of the whole are the bits that are set in them, `heap` is the sum of `chunk_bytes`.
//! - All bits lie within `length` bytes, which are [`BYTES_MAX`] at most.
//!
//! Called by `command::bitmap`, and by whoever needs the bytes. Knows nothing of keys or replies.

use std::collections::{BTreeMap, TryReserveError};
use std::ops::Range;

use roaring::RoaringBitmap;

use super::bitmap::{self, FIELD_BYTES, Field, Op};
use crate::base::heap;

/// Bytes of the string whose bits are one chunk.
pub const CHUNK_BYTES: usize = 8 << 10;
const CHUNK_BITS: u64 = 8 * CHUNK_BYTES as u64;
const CHUNK_COUNT_MAX: u32 = CHUNK_BITS as u32;

/// Shorter strings are not compressed: there is little to be saved.
pub const BYTES_MIN: usize = 4 << 10;

/// Longer strings cannot be: an offset has 32 bits.
pub const BYTES_MAX: usize = 1 << 29;

/// A string is compressed when it becomes so many times as long as it was by a bit far behind its end: then it is mostly a hole, and to
/// look at what it was costs less than filling the hole would.
const GROWTH_MIN: usize = 8;

/// A result is compressed if it takes no more than this part of the bytes of the plain string. Once compressed, it stays so until it
/// takes more than all of them: between the two as many bits have to be set as pay for the way there and back.
const SAVING_PART: usize = 2;

/// Bits that are set or cleared in a chunk before it is looked at for a smaller form: a look goes by 8 KiB at most.
const CHANGES_MAX: u16 = 1024;

/// What a chunk takes beside its container's contents: its place in the tree, and the container's head in a block of its own.
const CHUNK_HEAD_BYTES: usize = 104;

/// The two counts of what is shared.
const ARC_COUNTS_BYTES: usize = 2 * size_of::<usize>();

/// Bytes that stand before the contents of the only container in its serialised form.
const SERIAL_HEAD_BYTES: usize = 16;

/// Bytes from which on a part of a chunk of bits is read by way of its serialised form rather than bit by bit.
const SERIAL_BYTES_MIN: usize = 512;

#[derive(Clone, Debug)]
struct Chunk {
    /// Their offsets are those in the string.
    bits: RoaringBitmap,
    /// 1 to 65,536.
    count: u32,
    /// Changes since the chunk was last brought into its smallest form.
    changes: u16,
}

/// A compressed bitmap.
#[derive(Clone, Debug, Default)]
pub struct Roaring {
    /// Bytes of the string.
    length: usize,
    chunks: BTreeMap<u16, Chunk>,
    /// Bits that are set.
    count: u64,
    /// Bytes that the chunks take.
    heap: usize,
}

/// Bytes that a chunk of these bits takes, as if its contents had grown by doubling: a half of them may be spare. O(1).
fn chunk_bytes(bits: &RoaringBitmap) -> usize {
    CHUNK_HEAD_BYTES + bits.serialized_size().saturating_sub(SERIAL_HEAD_BYTES).max(8).next_power_of_two()
}

/// Bits of the string's bytes that are one chunk, or part of it; shorter than it if the string ends there.
fn bits_of(key: u16, bytes: &[u8]) -> RoaringBitmap {
    let mut reversed = [0; CHUNK_BYTES];
    let reversed = &mut reversed[..bytes.len()];
    reversed.iter_mut().zip(bytes).for_each(|(to, from)| *to = from.reverse_bits());
    RoaringBitmap::from_lsb0_bytes(u32::from(key) << 16, reversed)
}

fn key_of(offset: u64) -> u16 {
    (offset / CHUNK_BITS) as u16
}

/// The bits of a range that are a chunk's.
fn part_of(key: u16, range: &Range<u64>) -> Range<u64> {
    let first = u64::from(key) * CHUNK_BITS;
    range.start.max(first)..range.end.min(first + CHUNK_BITS)
}

impl Chunk {
    fn of(bits: RoaringBitmap) -> Option<Chunk> {
        let count = bits.len() as u32;
        (count > 0).then_some(Chunk { bits, count, changes: 0 })
    }

    fn iter(&self, part: &Range<u64>) -> roaring::bitmap::Iter<'_> {
        self.bits.range(part.start as u32..=(part.end - 1) as u32)
    }

    fn count(&self, part: &Range<u64>) -> u64 {
        match part.end - part.start {
            CHUNK_BITS => self.count.into(),
            _ => self.bits.range_cardinality(part.start as u32..=(part.end - 1) as u32),
        }
    }

    /// The first bit of a part that is clear.
    fn find_clear(&self, part: Range<u64>) -> Option<u64> {
        if self.count == CHUNK_COUNT_MAX {
            return None;
        }
        let (mut at, mut iter) = (part.start, self.iter(&part));
        while at < part.end {
            match iter.next_range() {
                Some(run) if u64::from(*run.start()) == at => at = u64::from(*run.end()) + 1,
                _ => return Some(at),
            }
        }
        None
    }

    /// Writes the bits of a part, of whole bytes, over zeros.
    fn copy(&self, part: &Range<u64>, out: &mut [u8]) {
        let is_plain = self.count as usize * 2 > CHUNK_BYTES && self.bits.serialized_size() > CHUNK_BYTES;
        if is_plain && out.len() >= SERIAL_BYTES_MIN {
            let mut serial = Vec::with_capacity(SERIAL_HEAD_BYTES + CHUNK_BYTES);
            if self.bits.serialize_into(&mut serial).is_ok() && serial.len() == SERIAL_HEAD_BYTES + CHUNK_BYTES {
                let first = SERIAL_HEAD_BYTES + (part.start % CHUNK_BITS / 8) as usize;
                out.iter_mut().zip(&serial[first..]).for_each(|(to, from)| *to = from.reverse_bits());
                return;
            }
        }
        let mut iter = self.iter(part);
        while let Some(run) = iter.next_range() {
            let (first, last) = (u64::from(*run.start()) - part.start, u64::from(*run.end()) - part.start);
            let (first_byte, last_byte) = ((first / 8) as usize, (last / 8) as usize);
            let (from_first, to_last) = (0xff >> (first % 8), !(0x7f_u8 >> (last % 8)));
            if first_byte == last_byte {
                out[first_byte] |= from_first & to_last;
            } else {
                out[first_byte] |= from_first;
                out[first_byte + 1..last_byte].fill(0xff);
                out[last_byte] |= to_last;
            }
        }
    }
}

impl Roaring {
    /// So many zeros: [`BYTES_MAX`] at most.
    pub fn zeros(length: usize) -> Roaring {
        debug_assert!(length <= BYTES_MAX, "offsets have 32 bits");
        Roaring { length, ..Roaring::default() }
    }

    /// The bits of a string of [`BYTES_MAX`] at most. O(bytes).
    pub fn from_bytes(bytes: &[u8]) -> Roaring {
        let mut made = Roaring::zeros(bytes.len());
        for (key, part) in bytes.chunks(CHUNK_BYTES).enumerate() {
            if part.iter().any(|byte| *byte != 0) {
                made.put(key as u16, bits_of(key as u16, part));
            }
        }
        made
    }

    /// True if a string of `old` bytes is better compressed when a bit makes it `length` bytes long. O(1).
    pub fn suits(length: usize, old: usize) -> bool {
        (BYTES_MIN..=BYTES_MAX).contains(&length) && length / GROWTH_MIN >= old
    }

    /// Chunks that are there.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Bytes of the string.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True for the empty string.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Blocks on the heap, about. O(1).
    pub fn blocks(&self) -> usize {
        3 * self.chunks.len()
    }

    /// Bytes on the heap, as if all had grown by doubling; what holds the chunks counts as well. O(1).
    pub fn heap_bytes(&self) -> usize {
        self.heap + heap::size_class(ARC_COUNTS_BYTES + size_of::<Roaring>())
    }

    /// True if it takes so much less than the plain string that it is better compressed. O(1).
    pub fn is_saving(&self) -> bool {
        (BYTES_MIN..=BYTES_MAX).contains(&self.length) && self.heap_bytes() <= self.length / SAVING_PART
    }

    /// True if it takes more than the plain string. O(1).
    pub fn is_wasteful(&self) -> bool {
        self.heap_bytes() > self.length
    }

    /// Makes the string at least so many bytes long, zeros at its end.
    pub fn extend(&mut self, length: usize) {
        debug_assert!(length <= BYTES_MAX, "offsets have 32 bits");
        self.length = self.length.max(length);
    }

    /// The bit at an offset; those behind the end are clear. O(log n).
    pub fn get(&self, offset: u64) -> bool {
        let is_inside = offset / 8 < self.length as u64;
        is_inside && self.chunks.get(&key_of(offset)).is_some_and(|chunk| chunk.bits.contains(offset as u32))
    }

    /// Sets or clears the bit at an offset, which must lie within the bytes. O(log n), and O(chunk).
    pub fn set(&mut self, offset: u64, on: bool) {
        debug_assert!(offset / 8 < self.length as u64, "a bit lies within the bytes");
        let key = key_of(offset);
        let Some(chunk) = self.chunks.get_mut(&key) else {
            if on {
                // One block of just the size, rather than one of the room that a growing vector gets.
                let byte = offset / 8 * 8;
                self.put(key, RoaringBitmap::from_lsb0_bytes(byte as u32, &[1 << (offset - byte)]));
            }
            return;
        };
        let before = chunk_bytes(&chunk.bits);
        let changed = if on { chunk.bits.insert(offset as u32) } else { chunk.bits.remove(offset as u32) };
        if !changed {
            return;
        }
        (self.count, chunk.count) = match on {
            true => (self.count + 1, chunk.count + 1),
            false => (self.count - 1, chunk.count - 1),
        };
        if chunk.count == 0 {
            self.chunks.remove(&key);
            self.heap -= before;
            return;
        }
        chunk.changes += 1;
        if chunk.changes == CHANGES_MAX || chunk.count == CHUNK_COUNT_MAX {
            chunk.changes = 0;
            chunk.bits.optimize();
        }
        self.heap = self.heap - before + chunk_bytes(&chunk.bits);
    }

    /// The number of a field at a bit offset; what lies beyond the end counts as zeros. O(chunk).
    pub fn field(&self, field: Field, offset: u64) -> i64 {
        field.read(&self.window(offset), offset % 8)
    }

    /// Writes a number's lowest bits at a bit offset; the bytes must be there. O(bits), and O(chunk).
    pub fn set_field(&mut self, field: Field, offset: u64, number: i64) {
        let (before, first) = (self.window(offset), offset / 8 * 8);
        let mut after = before;
        field.write(&mut after, offset % 8, number);
        for bit in offset - first..offset - first + u64::from(field.bits) {
            if bitmap::get(&before, bit) != bitmap::get(&after, bit) {
                self.set(first + bit, bitmap::get(&after, bit));
            }
        }
    }

    /// The bytes that a field at a bit offset may touch.
    fn window(&self, offset: u64) -> [u8; FIELD_BYTES] {
        let mut window = [0; FIELD_BYTES];
        let at = usize::try_from(offset / 8).unwrap_or(usize::MAX);
        let there = self.length.saturating_sub(at).min(FIELD_BYTES);
        if there > 0 {
            self.copy_over_zeros(at, &mut window[..there]);
        }
        window
    }

    /// Puts a chunk where none is, in its smallest form.
    fn put(&mut self, key: u16, mut bits: RoaringBitmap) {
        bits.optimize();
        if let Some(chunk) = Chunk::of(bits) {
            self.count += u64::from(chunk.count);
            self.heap += chunk_bytes(&chunk.bits);
            let old = self.chunks.insert(key, chunk);
            debug_assert!(old.is_none(), "a chunk is put once");
        }
    }

    /// The chunks that have bits of a range, with those.
    fn parts<'a>(&'a self, range: &'a Range<u64>) -> impl Iterator<Item = (Range<u64>, &'a Chunk)> {
        let keys = key_of(range.start)..=key_of(range.end.max(range.start + 1) - 1);
        self.chunks.range(keys).map(|(key, chunk)| (part_of(*key, range), chunk)).filter(|(part, _)| !part.is_empty())
    }

    /// How many bits of a range, which must lie within the bytes, are set. O(chunks).
    pub fn count(&self, range: Range<u64>) -> u64 {
        if range == (0..8 * self.length as u64) {
            return self.count;
        }
        if range.is_empty() {
            return 0;
        }
        self.parts(&range).map(|(part, chunk)| chunk.count(&part)).sum()
    }

    /// The first bit of a range, which must lie within the bytes, that has a value. O(chunks).
    pub fn find(&self, range: Range<u64>, value: bool) -> Option<u64> {
        if range.is_empty() {
            return None;
        }
        if value {
            return self.parts(&range).find_map(|(part, chunk)| chunk.iter(&part).next()).map(u64::from);
        }
        let mut at = range.start;
        for (part, chunk) in self.parts(&range) {
            if part.start > at {
                break;
            }
            if let Some(found) = chunk.find_clear(part.clone()) {
                return Some(found);
            }
            at = part.end;
        }
        (at < range.end).then_some(at)
    }

    /// Shows the bits of a range, which must lie within the bytes, that have a value, in their order, until `show` returns false. Returns
    /// where to go on then. O(chunks), and O(bits shown).
    pub fn visit(&self, range: Range<u64>, value: bool, mut show: impl FnMut(u64) -> bool) -> Option<u64> {
        if range.is_empty() {
            return None;
        }
        let mut at = range.start;
        for (part, chunk) in self.parts(&range) {
            let mut iter = chunk.iter(&part);
            while let Some(run) = iter.next_range() {
                let run = u64::from(*run.start())..u64::from(*run.end()) + 1;
                let shown = if value { run.clone() } else { at..run.start };
                at = run.end;
                for offset in shown {
                    if !show(offset) {
                        return Some(offset + 1);
                    }
                }
            }
        }
        let rest = if value { range.end..range.end } else { at..range.end };
        rest.into_iter().find(|&offset| !show(offset)).map(|offset| offset + 1)
    }

    /// Writes bytes of the string, which must lie within it, from one on, over zeros. O(bytes).
    pub fn copy_over_zeros(&self, from: usize, out: &mut [u8]) {
        let range = 8 * from as u64..8 * (from + out.len()) as u64;
        if range.is_empty() {
            return;
        }
        for (part, chunk) in self.parts(&range) {
            let [first, end] = [part.start, part.end].map(|bit| ((bit - range.start) / 8) as usize);
            chunk.copy(&part, &mut out[first..end]);
        }
    }

    /// The string's bytes. O(bytes), which those without set bits hardly add to: the system has pages of zeros.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TryReserveError> {
        // Whether there is room is asked before the zeros are: they come without a look at them.
        Vec::<u8>::new().try_reserve_exact(self.length)?;
        Ok(self.expanded())
    }

    /// The string's bytes, for who has no way to do without. O(bytes).
    pub fn expanded(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length];
        self.copy_over_zeros(0, &mut bytes);
        bytes
    }

    /// The first set bits of a chunk from a key on, in the portable format of roaring bitmaps, and its key.
    pub fn serialized_from(&self, key: u16, out: &mut Vec<u8>) -> Option<u16> {
        let (key, chunk) = self.chunks.range(key..).next()?;
        out.clear();
        chunk.bits.serialize_into(out).ok()?;
        Some(*key)
    }

    /// Adds a chunk behind those that are there, from the portable format. `None`, and nothing added, if the bytes are anything else, or
    /// have bits that do not lie within the string.
    pub fn add_serialized(&mut self, mut bytes: &[u8]) -> Option<()> {
        let bits = RoaringBitmap::deserialize_from(&mut bytes).ok().filter(|_| bytes.is_empty())?;
        let (first, last) = (u64::from(bits.min()?), u64::from(bits.max()?));
        let (key, is_behind) =
            (key_of(first), self.chunks.last_key_value().is_none_or(|(old, _)| *old < key_of(first)));
        (key_of(last) == key && is_behind && last / 8 < self.length as u64).then(|| self.put(key, bits))
    }

    /// Panics if it is not as the module header says. O(bits).
    #[cfg(test)]
    pub fn check(&self) {
        let mut count = 0;
        for (key, chunk) in &self.chunks {
            assert_eq!(chunk.bits.len(), u64::from(chunk.count));
            assert!(chunk.count > 0 && chunk.bits.min().map(u64::from).map(key_of) == Some(*key));
            assert!(chunk.bits.max().map(u64::from).map(key_of) == Some(*key));
            count += u64::from(chunk.count);
        }
        assert_eq!(self.count, count);
        assert_eq!(self.heap, self.chunks.values().map(|chunk| chunk_bytes(&chunk.bits)).sum::<usize>());
    }
}

/// A string as it is held: what of it is asked for is found without the rest of its bytes.
#[derive(Clone, Copy, Debug)]
pub enum Text<'t> {
    /// Plain bytes.
    Plain(&'t [u8]),
    /// A compressed bitmap.
    Roaring(&'t Roaring),
}

/// What a part of a compressed bitmap costs to go by, as a part of what so many plain bytes would.
const COST_PART: usize = 64;

impl Text<'_> {
    /// Bytes of the string.
    pub fn len(&self) -> usize {
        match self {
            Text::Plain(bytes) => bytes.len(),
            Text::Roaring(roaring) => roaring.len(),
        }
    }

    /// True for the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Plain bytes that cost as much to go by as so many bytes of this do.
    pub fn cost_bytes(&self, bytes: usize) -> usize {
        if self.is_plain() { bytes } else { bytes / COST_PART }
    }

    /// True if it is held as bytes. What is not is counted and searched in some hundred microseconds at most, chunk by chunk.
    pub fn is_plain(&self) -> bool {
        matches!(self, Text::Plain(_))
    }

    /// The bit at an offset.
    #[inline]
    pub fn get(&self, offset: u64) -> bool {
        match self {
            Text::Plain(bytes) => bitmap::get(bytes, offset),
            Text::Roaring(roaring) => roaring.get(offset),
        }
    }

    /// How many bits of a range, which must lie within the bytes, are set.
    pub fn count(&self, range: Range<u64>) -> u64 {
        match self {
            Text::Plain(bytes) => bitmap::count(bytes, range),
            Text::Roaring(roaring) => roaring.count(range),
        }
    }

    /// The first bit of a range, which must lie within the bytes, that has a value.
    pub fn find(&self, range: Range<u64>, value: bool) -> Option<u64> {
        match self {
            Text::Plain(bytes) => bitmap::find(bytes, range, value),
            Text::Roaring(roaring) => roaring.find(range, value),
        }
    }

    /// Shows the bits of a range: see [`bitmap::visit`].
    pub fn visit(&self, range: Range<u64>, value: bool, show: impl FnMut(u64) -> bool) -> Option<u64> {
        match self {
            Text::Plain(bytes) => bitmap::visit(bytes, range, value, show),
            Text::Roaring(roaring) => roaring.visit(range, value, show),
        }
    }

    /// The number of a field at a bit offset; what lies beyond the end counts as zeros.
    pub fn field(&self, field: Field, offset: u64) -> i64 {
        match self {
            Text::Plain(bytes) => field.read(bytes, offset),
            Text::Roaring(roaring) => roaring.field(field, offset),
        }
    }

    /// Bytes of the string, which must lie within it: in the buffer, if they are not held as such.
    pub fn part<'p>(&'p self, range: Range<usize>, buffer: &'p mut Vec<u8>) -> &'p [u8] {
        match self {
            Text::Plain(bytes) => &bytes[range],
            Text::Roaring(roaring) => {
                buffer.clear();
                buffer.resize(range.len(), 0);
                roaring.copy_over_zeros(range.start, buffer);
                buffer
            }
        }
    }

    /// The first key from this one on of a chunk that may have set bits.
    fn key_from(&self, key: u16) -> Option<u16> {
        match self {
            Text::Plain(bytes) => (usize::from(key) * CHUNK_BYTES < bytes.len()).then_some(key),
            Text::Roaring(roaring) => roaring.chunks.range(key..).next().map(|(key, _)| *key),
        }
    }

    fn chunk(&self, key: u16) -> RoaringBitmap {
        match self {
            Text::Plain(bytes) => {
                let first = bytes.len().min(usize::from(key) * CHUNK_BYTES);
                let part = &bytes[first..bytes.len().min(first + CHUNK_BYTES)];
                if part.iter().all(|byte| *byte == 0) { RoaringBitmap::new() } else { bits_of(key, part) }
            }
            Text::Roaring(roaring) => roaring.chunks.get(&key).map(|chunk| chunk.bits.clone()).unwrap_or_default(),
        }
    }
}

/// BITOP under way, a chunk at a time.
#[derive(Debug)]
pub struct Combining {
    op: Op,
    /// The next chunk that may have something in the result; `None` behind the last one.
    next: Option<u16>,
    made: Roaring,
}

impl Combining {
    /// Begins with sources of [`BYTES_MAX`] at most. Those of an operation that looks at the first alone are that one.
    pub fn new(op: Op, sources: &[Text<'_>]) -> Combining {
        let length = sources.iter().map(Text::len).max().unwrap_or(0);
        Combining { op, next: (length > 0).then_some(0), made: Roaring::zeros(length) }
    }

    /// Combines the next chunk of the same sources; false if that was the last. O(sources).
    pub fn go_on(&mut self, sources: &[Text<'_>]) -> bool {
        let Some(from) = self.next else { return false };
        let key = match self.op {
            // What is not there is, then.
            Op::Not => Some(from),
            _ => sources.iter().filter_map(|source| source.key_from(from)).min(),
        };
        let Some(key) = key.filter(|key| usize::from(*key) * CHUNK_BYTES < self.made.length) else {
            self.next = None;
            return false;
        };
        let mut bits = combine(self.op, key, sources);
        if self.op == Op::Not {
            let part = part_of(key, &(0..8 * self.made.length as u64));
            let mut all = RoaringBitmap::new();
            all.insert_range(part.start as u32..=(part.end - 1) as u32);
            bits = all - bits;
        }
        bits.optimize();
        // A copy has no more room than it needs.
        self.made.put(key, bits.clone());
        self.next = key.checked_add(1);
        self.next.is_some()
    }

    /// The result, at the end.
    pub fn take(&mut self) -> Roaring {
        std::mem::take(&mut self.made)
    }
}

/// One chunk of the sources; that of the first, for [`Op::Not`].
fn combine(op: Op, key: u16, sources: &[Text<'_>]) -> RoaringBitmap {
    let mut chunks = sources.iter().map(|source| source.chunk(key));
    let first = chunks.next().unwrap_or_default();
    match op {
        Op::Not => first,
        Op::And => chunks.fold(first, |all, other| all & other),
        Op::Or => chunks.fold(first, |any, other| any | other),
        Op::Xor => chunks.fold(first, |odd, other| odd ^ other),
        Op::Diff => chunks.fold(first, |left, other| left - other),
        Op::Diff1 => chunks.fold(RoaringBitmap::new(), |any, other| any | other) - first,
        Op::AndOr => chunks.fold(RoaringBitmap::new(), |any, other| any | other) & first,
        Op::One => {
            let (once, more) = chunks.fold((first, RoaringBitmap::new()), |(once, more), other| {
                let more = more | (&once & &other);
                (once | other, more)
            });
            once - more
        }
    }
}

#[cfg(test)]
#[path = "roaring_tests.rs"]
mod tests;
