//! Sorted distinct integers in the narrowest of three widths, in Redis's intset format.
//!
//! # Layout
//! ```text
//! 0          4            8
//! | width u32 | length u32 | integer | integer | ...       (all little endian)
//! ```
//!
//! # Invariants
//! - `width` is 2, 4 or 8 bytes; integers are strictly ascending, `length` of them, and nothing follows.
//! - A set of our own making has the narrowest width that all integers it ever had fit in; it never narrows again, as in Redis.
//!
//! Used by the store's set type. Refuses to know when a set is too long for it.

use std::ptr::NonNull;

use crate::base::heap::{Mover, size_class};

const HEADER_BYTES: usize = 8;

/// The set: search takes a logarithmic number of steps, insertion and removal move what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intset {
    bytes: Vec<u8>,
}

impl Default for Intset {
    fn default() -> Intset {
        Intset::new()
    }
}

impl Intset {
    /// An empty set.
    pub fn new() -> Intset {
        Intset { bytes: vec![2, 0, 0, 0, 0, 0, 0, 0] }
    }

    /// Moves the bytes to another heap block if they should be.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        if mover.wants(NonNull::from(self.bytes.as_mut_slice()).cast(), size_class(self.bytes.capacity())) {
            let mut moved = Vec::with_capacity(self.bytes.capacity());
            moved.extend_from_slice(&self.bytes);
            self.bytes = moved;
        }
    }

    /// A set of bytes from outside (RESTORE, a dump file), `None` unless width, length and order are right. Wider integers than
    /// need be are fine, as in Redis. An empty set is accepted. Costs a walk and a copy.
    pub fn from_validated(bytes: &[u8]) -> Option<Intset> {
        let (header, body) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let [width, length] = fields(header);
        if !matches!(width, 2 | 4 | 8) || width.checked_mul(length)? != body.len() {
            return None;
        }
        let set = Intset { bytes: bytes.to_vec() };
        let ascending = set.iter().zip(set.iter().skip(1)).all(|(lower, upper)| lower < upper);
        ascending.then_some(set)
    }

    /// The encoded form, as DUMP shows it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of the heap block.
    pub fn heap_bytes(&self) -> usize {
        size_class(self.bytes.capacity())
    }

    /// The number of integers.
    #[inline]
    pub fn len(&self) -> usize {
        (self.bytes.len() - HEADER_BYTES) / self.width()
    }

    /// True if there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_BYTES
    }

    /// The integer at `index` in ascending order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<i64> {
        (index < self.len()).then(|| self.read(index))
    }

    /// The least integer.
    pub fn first(&self) -> Option<i64> {
        self.get(0)
    }

    /// The greatest integer.
    pub fn last(&self) -> Option<i64> {
        self.get(self.len().wrapping_sub(1))
    }

    /// True if `n` is in the set.
    #[inline]
    pub fn contains(&self, n: i64) -> bool {
        width_for(n) <= self.width() && self.search(n).is_ok()
    }

    /// All integers in ascending order, from either end.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        (0..self.len()).map(|index| self.read(index))
    }

    /// Adds `n`; false if it was there.
    pub fn insert(&mut self, n: i64) -> bool {
        if width_for(n) > self.width() {
            self.widen(width_for(n));
        }
        let Err(index) = self.search(n) else { return false };
        let (width, end) = (self.width(), self.bytes.len());
        let at = HEADER_BYTES + index * width;
        self.reserve(end + width);
        self.bytes.resize(end + width, 0);
        self.bytes.copy_within(at..end, at + width);
        self.write(index, n);
        self.state_length();
        true
    }

    /// Removes `n`; false if it was not there.
    pub fn remove(&mut self, n: i64) -> bool {
        if width_for(n) > self.width() {
            return false;
        }
        let Ok(index) = self.search(n) else { return false };
        let at = HEADER_BYTES + index * self.width();
        self.bytes.drain(at..at + self.width());
        self.bytes.shrink_to(size_class(self.bytes.len()));
        self.state_length();
        true
    }

    #[inline]
    fn width(&self) -> usize {
        usize::from(self.bytes[0])
    }

    #[inline]
    fn read(&self, index: usize) -> i64 {
        let integers = &self.bytes[HEADER_BYTES..];
        match self.width() {
            2 => i64::from(i16::from_le_bytes(element(integers, index))),
            4 => i64::from(i32::from_le_bytes(element(integers, index))),
            _ => i64::from_le_bytes(element(integers, index)),
        }
    }

    fn write(&mut self, index: usize, n: i64) {
        let width = self.width();
        // The low bytes of a number that fits the width are the number in that width.
        self.bytes[HEADER_BYTES + index * width..][..width].copy_from_slice(&n.to_le_bytes()[..width]);
    }

    /// Where `n` is, or where it would have to be.
    fn search(&self, n: i64) -> Result<usize, usize> {
        // Ascending insertion is common, and the last integer tells.
        let (mut low, mut high) = (0, self.len());
        if high > 0 && self.read(high - 1) < n {
            return Err(high);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.read(middle);
            if found == n {
                return Ok(middle);
            }
            if found < n {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Err(low)
    }

    fn widen(&mut self, width: usize) {
        let (old, length) = (self.width(), self.len());
        self.reserve(HEADER_BYTES + length * width);
        self.bytes.resize(HEADER_BYTES + length * width, 0);
        // From the last to the first, so that no integer is overwritten before it is read.
        for index in (0..length).rev() {
            self.bytes[0] = old as u8;
            let n = self.read(index);
            self.bytes[0] = width as u8;
            self.write(index, n);
        }
        self.bytes[0] = width as u8;
    }

    /// Room for `total` bytes, rounded up to what the allocator would give anyway rather than doubled: sets are many and small.
    fn reserve(&mut self, total: usize) {
        if total > self.bytes.capacity() {
            self.bytes.reserve_exact(size_class(total) - self.bytes.len());
        }
    }

    /// Brings the header's length up to date.
    fn state_length(&mut self) {
        let length = self.len() as u32;
        self.bytes[4..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
    }
}

#[inline]
fn element<const N: usize>(integers: &[u8], index: usize) -> [u8; N] {
    *integers[index * N..].first_chunk().expect("callers ask for an index below the length")
}

#[inline]
fn width_for(n: i64) -> usize {
    if i16::try_from(n).is_ok() {
        2
    } else if i32::try_from(n).is_ok() {
        4
    } else {
        8
    }
}

fn fields(header: &[u8; HEADER_BYTES]) -> [usize; 2] {
    let [a, b, c, d, e, f, g, h] = *header;
    [[a, b, c, d], [e, f, g, h]].map(|field| u32::from_le_bytes(field) as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::prng::Prng;

    fn set_of(integers: &[i64]) -> Intset {
        let mut set = Intset::new();
        for &n in integers {
            assert!(set.insert(n), "{n}");
        }
        set
    }

    fn check_invariants(set: &Intset) {
        let [width, length] = fields(set.as_bytes().first_chunk().expect("a header"));
        assert_eq!((width, length), (set.width(), set.len()));
        assert_eq!(Intset::from_validated(set.as_bytes()).as_ref(), Some(set));
        assert!(set.heap_bytes() >= set.as_bytes().len() && set.heap_bytes() <= size_class(set.as_bytes().len()));
    }

    #[test]
    fn bytes_are_those_that_redis_dumps() {
        let cases: [(&[i64], &[u8]); 3] = [
            (&[3, 1, 2], b"\x02\0\0\0\x03\0\0\0\x01\0\x02\0\x03\0"),
            (&[1, 2, 70_000, -5], b"\x04\0\0\0\x04\0\0\0\xfb\xff\xff\xff\x01\0\0\0\x02\0\0\0\x70\x11\x01\0"),
            (
                &[3, 1, 5_000_000_000],
                b"\x08\0\0\0\x03\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x00\xf2\x05\x2a\x01\0\0\0",
            ),
        ];
        for (integers, bytes) in cases {
            assert_eq!(set_of(integers).as_bytes(), bytes);
            check_invariants(&set_of(integers));
        }
    }

    #[test]
    fn the_width_follows_the_widest_integer_it_ever_had() {
        let mut set = set_of(&[-0x8000, 0x7FFF]);
        assert_eq!(set.width(), 2);
        assert!(set.insert(-0x8001) && set.insert(0x7FFF_FFFF));
        assert_eq!(set.width(), 4);
        assert!(set.insert(i64::MIN) && set.insert(0x8000_0000) && !set.insert(i64::MIN));
        assert_eq!(set.width(), 8);
        assert!(set.remove(i64::MIN) && set.remove(0x8000_0000));
        assert_eq!((set.width(), set.first(), set.last()), (8, Some(-0x8001), Some(0x7FFF_FFFF)));
        assert!(set.iter().eq([-0x8001, -0x8000, 0x7FFF, 0x7FFF_FFFF]));
    }

    #[test]
    fn a_number_wider_than_the_set_is_not_in_it() {
        let mut set = set_of(&[1, 2]);
        // Their low 16 bits are 1 and 2.
        assert!(!set.contains(0x1_0001) && !set.remove(0x1_0002) && set.contains(1));
    }

    #[test]
    fn matches_the_naive_set() {
        let mut prng = Prng::seeded(11);
        for round in 0..40 {
            let (mut set, mut naive) = (Intset::new(), BTreeSet::new());
            for step in 0..300 {
                let bits = [3, 8, 17, 34, 64][prng.below(if round % 2 == 0 { 2 } else { 5 }) as usize];
                let n = prng.next_u64() as i64 >> (64 - bits);
                match prng.below(5) {
                    0..3 => assert_eq!(set.insert(n), naive.insert(n), "{round} {step}"),
                    3 => assert_eq!(set.remove(n), naive.remove(&n), "{round} {step}"),
                    _ => assert_eq!(set.contains(n), naive.contains(&n), "{round} {step}"),
                }
                check_invariants(&set);
                assert_eq!((set.len(), set.is_empty()), (naive.len(), naive.is_empty()));
            }
            assert!(set.iter().eq(naive.iter().copied()) && set.iter().rev().eq(naive.iter().rev().copied()));
            assert_eq!((set.first(), set.last()), (naive.first().copied(), naive.last().copied()));
            assert!((0..=naive.len()).all(|index| set.get(index) == naive.iter().nth(index).copied()));
        }
    }

    #[test]
    fn bytes_that_are_no_set_are_refused() {
        let cases: [&[u8]; 9] = [
            b"",
            b"\x02\0\0\0\0\0\0",
            b"\x03\0\0\0\0\0\0\0",
            b"\x02\x01\0\0\0\0\0\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0",
            b"\x02\0\0\0\x01\0\0\0\x01\0\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\x01\0",
            b"\x02\0\0\0\x02\0\0\0\x01\0\xff\xff",
            b"\x08\0\0\0\xff\xff\xff\xff",
        ];
        for bytes in cases {
            assert_eq!(Intset::from_validated(bytes), None, "{bytes:?}");
        }
        assert_eq!(Intset::from_validated(Intset::new().as_bytes()), Some(Intset::new()));
    }
}
