//! Arrays: texts by 64-bit indexes, of which few or many may be used.
//!
//! # Layout
//! An index is the number of a *slice* and a place in it, of which there are [`SLICE_PLACES`]. The directory has those slices alone that
//! hold something, so that an array costs what it holds, wherever that is:
//! ```text
//! directory   { number of the slice -> slice }        a B-tree
//! slice       sparse: places [u16] and cells, in order of place
//!             dense:  cells from the first place that was used on, empty ones among them
//! cell        16 bytes: a text of up to 14 bytes, or a blob of its own
//! ```
//! A slice turns dense when every second place from its first to its last one is used, and sparse again when less than every fourth is.
//!
//! # Invariants
//! - No slice is empty, and the last place of each is used.
//! - [`Array::next`] is the index that the next insertion without an index gets: `u64::MAX`, which no element has, if there is none left.
//!
//! Knows nothing of keys and replies.
#![allow(unsafe_code)]

mod cell;
mod slice;

use std::collections::BTreeMap;
use std::ptr::NonNull;

use super::{Collection, Type};
use crate::base::heap::{self, Mover, size_class};
use cell::Cell;
use slice::Slice;

/// Places of a slice.
pub const SLICE_PLACES: u64 = 1 << SLICE_BITS;
const SLICE_BITS: u32 = 12;

/// The highest index of an element.
pub const INDEX_MAX: u64 = u64::MAX - 1;

/// An array.
#[derive(Clone, Debug, Default)]
pub struct Array(Box<Inner>);

#[derive(Debug, Default)]
struct Inner {
    slices: BTreeMap<u64, Slice>,
    /// Used places.
    count: usize,
    next: u64,
    /// Bytes of the slices' blocks, and of those of the texts.
    bytes: usize,
    /// Texts with blocks of their own.
    blobs: usize,
}

/// What is in the slices of an array.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slices {
    /// Dense slices.
    pub dense: usize,
    /// The places that they have.
    pub dense_places: usize,
    /// Those of them that are used.
    pub dense_used: usize,
    /// Sparse slices.
    pub sparse: usize,
    /// The elements that they have.
    pub sparse_used: usize,
}

fn parts(index: u64) -> (u64, u16) {
    (index >> SLICE_BITS, (index % SLICE_PLACES) as u16)
}

/// Reading.
impl Array {
    /// The element of an index. O(log(slices) + log(elements of the slice)).
    pub fn get(&self, index: u64) -> Option<&[u8]> {
        let (number, place) = parts(index);
        self.0.slices.get(&number)?.get(place).map(Cell::text)
    }

    /// One more than the highest index that is used. O(log(slices)).
    pub fn extent(&self) -> u64 {
        let last = self.0.slices.last_key_value();
        last.map_or(0, |(number, slice)| (number << SLICE_BITS) + u64::from(slice.last()) + 1)
    }

    /// The index that an insertion gets which names none; `None` if there is no index left.
    pub fn next(&self) -> Option<u64> {
        (self.0.next <= INDEX_MAX).then_some(self.0.next)
    }

    /// The elements from one index to another, with their indexes, from either end. Costs what they are, whatever is between them.
    pub fn range(&self, low: u64, high: u64) -> impl DoubleEndedIterator<Item = (u64, &[u8])> {
        let ((first, low), (last, high)) = (parts(low), parts(high));
        let slices = (first <= last).then(|| self.0.slices.range(first..=last)).into_iter().flatten();
        slices.flat_map(move |(&number, slice)| {
            let from = if number == first { low } else { 0 };
            let to = if number == last { high } else { u16::MAX };
            slice.range(from, to).map(move |(place, cell)| ((number << SLICE_BITS) + u64::from(place), cell.text()))
        })
    }

    /// Number of slices.
    pub fn slice_count(&self) -> usize {
        self.0.slices.len()
    }

    /// Adds up what is in the slices from one of a number on, until `go_on` returns false, which is asked after each. The number to
    /// go on from, or `None` at the end.
    pub fn sum_slices(&self, from: u64, sum: &mut Slices, mut go_on: impl FnMut() -> bool) -> Option<u64> {
        for (&number, slice) in self.0.slices.range(from..) {
            match slice.dense_places() {
                Some(places) => {
                    (sum.dense, sum.dense_places) = (sum.dense + 1, sum.dense_places + places);
                    sum.dense_used += slice.used();
                }
                None => (sum.sparse, sum.sparse_used) = (sum.sparse + 1, sum.sparse_used + slice.used()),
            }
            if !go_on() {
                return Some(number + 1);
            }
        }
        None
    }
}

/// Changing.
impl Array {
    /// Gives an index an element. True if it had none. O(log(slices)), and a move of what is in the slice if that is sparse.
    pub fn set(&mut self, index: u64, text: &[u8]) -> bool {
        debug_assert!(index <= INDEX_MAX);
        let (number, place) = parts(index);
        let cell = Cell::new(text);
        let inner = &mut *self.0;
        inner.add_blob(&cell);
        let slice = inner.slices.entry(number).or_default();
        let before = slice.heap_bytes();
        let old = slice.set(place, cell);
        inner.bytes = inner.bytes - before + slice.heap_bytes();
        match &old {
            Some(old) => inner.remove_blob(old),
            None => inner.count += 1,
        }
        old.is_none()
    }

    /// Takes the element of an index away. True if it had one.
    pub fn remove(&mut self, index: u64) -> bool {
        let (number, place) = parts(index);
        let inner = &mut *self.0;
        let Some(slice) = inner.slices.get_mut(&number) else { return false };
        let before = slice.heap_bytes();
        let Some(old) = slice.remove(place) else { return false };
        inner.bytes = inner.bytes - before + slice.heap_bytes();
        inner.count -= 1;
        let is_empty = slice.used() == 0;
        inner.remove_blob(&old);
        if is_empty {
            inner.remove_slice(number);
        }
        true
    }

    /// Takes the elements from one index to another away, of one slice: those of the first that has any. How many they were, and from
    /// where to go on; `None` at the end. O(log(slices) + places of a slice).
    pub fn remove_some(&mut self, low: u64, high: u64) -> (usize, Option<u64>) {
        let ((first, from), (last, to)) = (parts(low), parts(high));
        let inner = &mut *self.0;
        if low > high {
            return (0, None);
        }
        let Some((&number, slice)) = inner.slices.range_mut(first..=last).next() else { return (0, None) };
        let from = if number == first { from } else { 0 };
        let to_here = if number == last { to } else { u16::MAX };
        let before = slice.heap_bytes();
        let gone = slice.remove_range(from, to_here);
        let is_empty = slice.used() == 0;
        inner.bytes = inner.bytes - before + slice.heap_bytes();
        inner.count -= gone.len();
        gone.iter().for_each(|cell| inner.remove_blob(cell));
        if is_empty {
            inner.remove_slice(number);
        }
        (gone.len(), (number < last).then(|| (number + 1) << SLICE_BITS))
    }

    /// Says which index the next insertion gets that names none; `None` if no index is left.
    pub fn seek(&mut self, next: Option<u64>) {
        self.0.next = next.unwrap_or(u64::MAX);
    }
}

impl Clone for Inner {
    /// The copies of blocks are as large as what is in them.
    fn clone(&self) -> Inner {
        let slices = self.slices.clone();
        let room = |slices: &BTreeMap<u64, Slice>| slices.values().map(Slice::heap_bytes).sum::<usize>();
        let bytes = self.bytes - room(&self.slices) + room(&slices);
        Inner { slices, bytes, ..*self }
    }
}

impl Inner {
    fn add_blob(&mut self, cell: &Cell) {
        self.bytes += cell.heap_bytes();
        self.blobs += usize::from(cell.heap_bytes() > 0);
    }

    fn remove_blob(&mut self, cell: &Cell) {
        self.bytes -= cell.heap_bytes();
        self.blobs -= usize::from(cell.heap_bytes() > 0);
    }

    fn remove_slice(&mut self, number: u64) {
        if let Some(slice) = self.slices.remove(&number) {
            self.bytes -= slice.heap_bytes();
        }
    }
}

// SAFETY: the pointer is a box's, which is taken back as one.
unsafe impl Collection for Array {
    const TYPE: Type = Type::Array;

    fn into_raw(self) -> (u8, NonNull<u8>) {
        (0, NonNull::from(Box::leak(self.0)).cast())
    }

    unsafe fn from_raw(_: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned.
        Array(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
    }

    fn len(&self) -> usize {
        self.0.count
    }

    fn encoding(&self) -> &'static str {
        "sliced-array"
    }

    fn heap_bytes(&self, _samples: usize) -> usize {
        size_class(size_of::<Inner>()) + heap::tree::<u64, Slice>(self.0.slices.len()) + self.0.bytes
    }

    fn blocks(&self) -> usize {
        1 + 2 * self.0.slices.len() + self.0.blobs
    }

    /// A place is the number of a slice.
    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        let inner = &mut *self.0;
        let mut is_over = false;
        for (number, slice) in inner.slices.range_mut(from as u64..) {
            if is_over {
                return Some(u128::from(*number));
            }
            let before = slice.heap_bytes();
            slice.defragment(mover);
            inner.bytes = inner.bytes - before + slice.heap_bytes();
            is_over = !go_on();
        }
        None
    }
}

#[cfg(test)]
#[path = "array/tests.rs"]
mod tests;
