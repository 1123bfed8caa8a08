//! A slice of an array: what is used of [`SLICE_PLACES`](super::SLICE_PLACES) places in a row.

use std::ptr::NonNull;

use super::cell::Cell;
use crate::base::heap::{self, Mover};

/// Elements below which a slice is not made dense.
const DENSE_MIN: usize = 8;
/// A slice turns dense when one of so many places is used.
const DENSE_PART: usize = 2;
/// And sparse again when less than one of so many is.
const SPARSE_PART: usize = 4;

/// A slice.
#[derive(Clone, Debug)]
pub enum Slice {
    /// Places and what is there, in order.
    Sparse(Vec<u16>, Vec<Cell>),
    /// Cells from a place on, the last of which is used, and how many of them are.
    Dense(u16, Vec<Cell>, u16),
}

impl Default for Slice {
    fn default() -> Slice {
        Slice::Sparse(Vec::new(), Vec::new())
    }
}

/// Used cells with their places, from either end.
pub enum Cells<'s> {
    Sparse(std::iter::Zip<std::slice::Iter<'s, u16>, std::slice::Iter<'s, Cell>>),
    Dense(u16, std::iter::Enumerate<std::slice::Iter<'s, Cell>>),
}

impl<'s> Iterator for Cells<'s> {
    type Item = (u16, &'s Cell);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Cells::Sparse(cells) => cells.next().map(|(place, cell)| (*place, cell)),
            Cells::Dense(first, cells) => {
                cells.find(|(_, cell)| cell.is_used()).map(|(n, cell)| (*first + n as u16, cell))
            }
        }
    }
}

impl DoubleEndedIterator for Cells<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Cells::Sparse(cells) => cells.next_back().map(|(place, cell)| (*place, cell)),
            Cells::Dense(first, cells) => {
                cells.rfind(|(_, cell)| cell.is_used()).map(|(n, cell)| (*first + n as u16, cell))
            }
        }
    }
}

impl Slice {
    /// How many places are used.
    pub fn used(&self) -> usize {
        match self {
            Slice::Sparse(places, _) => places.len(),
            Slice::Dense(_, _, used) => usize::from(*used),
        }
    }

    /// How many places a dense one has.
    pub fn dense_places(&self) -> Option<usize> {
        match self {
            Slice::Sparse(..) => None,
            Slice::Dense(_, cells, _) => Some(cells.len()),
        }
    }

    /// The last place that is used; 0 of an empty one.
    pub fn last(&self) -> u16 {
        match self {
            Slice::Sparse(places, _) => places.last().copied().unwrap_or(0),
            Slice::Dense(first, cells, _) => *first + cells.len().saturating_sub(1) as u16,
        }
    }

    /// The cell of a place that is used.
    pub fn get(&self, place: u16) -> Option<&Cell> {
        match self {
            Slice::Sparse(places, cells) => places.binary_search(&place).ok().map(|at| &cells[at]),
            Slice::Dense(first, cells, _) => {
                cells.get(usize::from(place.checked_sub(*first)?)).filter(|cell| cell.is_used())
            }
        }
    }

    /// The used cells from one place to another.
    pub fn range(&self, from: u16, to: u16) -> Cells<'_> {
        match self {
            Slice::Sparse(places, cells) => {
                let start = places.partition_point(|place| *place < from);
                let end = places.partition_point(|place| *place <= to).max(start);
                Cells::Sparse(places[start..end].iter().zip(cells[start..end].iter()))
            }
            Slice::Dense(first, cells, _) => {
                let start = usize::from(from.saturating_sub(*first)).min(cells.len());
                let end = if to < *first { 0 } else { (usize::from(to - *first) + 1).min(cells.len()) }.max(start);
                let mut all = cells[..end].iter().enumerate();
                if start > 0 {
                    all.nth(start - 1);
                }
                Cells::Dense(*first, all)
            }
        }
    }

    /// Bytes of its own blocks.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Slice::Sparse(places, cells) => heap::vec(places) + heap::vec(cells),
            Slice::Dense(_, cells, _) => heap::vec(cells),
        }
    }

    /// Puts a cell at a place; the one that was there, if that was used.
    pub fn set(&mut self, place: u16, cell: Cell) -> Option<Cell> {
        match self {
            Slice::Sparse(places, cells) => match places.binary_search(&place) {
                Ok(at) => Some(std::mem::replace(&mut cells[at], cell)),
                Err(at) => {
                    if places.is_empty() {
                        // Many slices may have one element each.
                        places.reserve_exact(1);
                        cells.reserve_exact(1);
                    }
                    places.insert(at, place);
                    cells.insert(at, cell);
                    let span = usize::from(places[places.len() - 1] - places[0]) + 1;
                    if places.len() >= DENSE_MIN && places.len() * DENSE_PART >= span {
                        self.make_dense();
                    }
                    None
                }
            },
            Slice::Dense(first, cells, used) => {
                let (old_end, count) = (*first + cells.len() as u16, usize::from(*used) + 1);
                let (start, end) = ((*first).min(place), old_end.max(place + 1));
                if usize::from(end - start) > SPARSE_PART * count.max(DENSE_MIN) {
                    self.make_sparse();
                    return self.set(place, cell);
                }
                if place < *first {
                    let gap = usize::from(*first - place);
                    cells.splice(0..0, (0..gap).map(|_| Cell::Empty));
                    *first = place;
                } else if place >= old_end {
                    cells.resize_with(usize::from(place - *first) + 1, Cell::default);
                }
                let old = std::mem::replace(&mut cells[usize::from(place - *first)], cell);
                if old.is_used() {
                    return Some(old);
                }
                *used += 1;
                None
            }
        }
    }

    /// Takes away what is at a place.
    pub fn remove(&mut self, place: u16) -> Option<Cell> {
        match self {
            Slice::Sparse(places, cells) => {
                let at = places.binary_search(&place).ok()?;
                places.remove(at);
                let old = cells.remove(at);
                self.shrink();
                Some(old)
            }
            Slice::Dense(first, cells, used) => {
                let cell = cells.get_mut(usize::from(place.checked_sub(*first)?)).filter(|cell| cell.is_used())?;
                let old = std::mem::take(cell);
                *used -= 1;
                self.settle();
                Some(old)
            }
        }
    }

    /// Takes away what is from one place to another.
    pub fn remove_range(&mut self, from: u16, to: u16) -> Vec<Cell> {
        match self {
            Slice::Sparse(places, cells) => {
                let start = places.partition_point(|place| *place < from);
                let end = places.partition_point(|place| *place <= to).max(start);
                places.drain(start..end);
                let gone = cells.drain(start..end).collect();
                self.shrink();
                gone
            }
            Slice::Dense(first, cells, used) => {
                let start = usize::from(from.saturating_sub(*first)).min(cells.len());
                let end = if to < *first { 0 } else { (usize::from(to - *first) + 1).min(cells.len()) }.max(start);
                let taken = cells[start..end].iter_mut().map(std::mem::take);
                let gone: Vec<Cell> = taken.filter(Cell::is_used).collect();
                *used -= gone.len() as u16;
                self.settle();
                gone
            }
        }
    }

    /// After something was removed of a dense one: its last place is used again, or it is sparse.
    fn settle(&mut self) {
        let Slice::Dense(_, cells, used) = self else { return };
        while cells.last().is_some_and(|cell| !cell.is_used()) {
            cells.pop();
        }
        if cells.len() > SPARSE_PART * usize::from(*used).max(DENSE_MIN) {
            self.make_sparse();
        } else if cells.capacity() > SPARSE_PART * cells.len().max(DENSE_MIN) {
            cells.shrink_to(2 * cells.len());
        }
    }

    /// Gives room back that is far too much.
    fn shrink(&mut self) {
        let Slice::Sparse(places, cells) = self else { return };
        if places.capacity() > SPARSE_PART * places.len().max(1) {
            places.shrink_to(2 * places.len());
            cells.shrink_to(2 * cells.len());
        }
    }

    fn make_dense(&mut self) {
        let Slice::Sparse(places, cells) = self else { return };
        let first = places.first().copied().unwrap_or(0);
        let span = places.last().map_or(0, |last| usize::from(*last - first) + 1);
        let used = places.len() as u16;
        let mut dense = Vec::with_capacity(span);
        for (place, cell) in places.iter().zip(cells.drain(..)) {
            dense.resize_with(usize::from(*place - first), Cell::default);
            dense.push(cell);
        }
        *self = Slice::Dense(first, dense, used);
    }

    fn make_sparse(&mut self) {
        let Slice::Dense(first, cells, used) = self else { return };
        let count = usize::from(*used);
        let (mut places, mut kept) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for (n, cell) in cells.drain(..).enumerate().filter(|(_, cell)| cell.is_used()) {
            places.push(*first + n as u16);
            kept.push(cell);
        }
        *self = Slice::Sparse(places, kept);
    }

    /// Moves blocks that should be moved.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        let cells = match self {
            Slice::Sparse(places, cells) => {
                move_block(places, mover);
                cells
            }
            Slice::Dense(_, cells, _) => cells,
        };
        move_block(cells, mover);
        cells.iter_mut().for_each(|cell| cell.defragment(mover));
    }
}

/// Moves the block of a vector, if it should be moved.
fn move_block<T>(vec: &mut Vec<T>, mover: &mut dyn Mover) {
    let block = NonNull::from(&mut **vec).cast::<u8>();
    if vec.capacity() > 0 && mover.wants(block, vec.capacity() * size_of::<T>()) {
        let mut moved = Vec::with_capacity(vec.capacity());
        moved.append(vec);
        *vec = moved;
    }
}
