//! Sorting some items at a time: merge sort from the bottom up, whose place between two runs or within two of them is a few
//! indexes.
//!
//! Stable. Takes room for as many items again, which is kept until the whole is dropped, so that nothing large is freed on the
//! way.
//!
//! Called by commands that sort very much. Knows nothing of what it sorts.

use std::cmp::Ordering;

/// Items that are sorted at once.
const RUN: usize = 32;
/// Items that are merged between two questions whether to go on.
const BATCH: usize = 32;

/// Items being sorted.
///
/// # Invariants
/// While `width` is not 0, `items` consists of sorted runs of that many, of which the last may be shorter; `merged` has what two
/// of them after the other have become. `left` and `right` are the next ones of the runs being merged.
#[derive(Debug)]
pub struct MergeSort<T> {
    items: Vec<T>,
    merged: Vec<T>,
    /// 0 while the first runs are made, up to `left`.
    width: usize,
    left: usize,
    right: usize,
}

impl<T: Copy> MergeSort<T> {
    /// Items to be sorted. O(1).
    pub fn new(items: Vec<T>) -> MergeSort<T> {
        MergeSort { items, merged: Vec::new(), width: 0, left: 0, right: 0 }
    }

    /// Items that are in order already. O(1).
    pub fn sorted(items: Vec<T>) -> MergeSort<T> {
        MergeSort { width: usize::MAX, ..MergeSort::new(items) }
    }

    /// Sorts until `go_on` returns false, which is told how many items were moved. True at the end. O(N log N) in all.
    pub fn go_on(&mut self, compare: impl Fn(&T, &T) -> Ordering, mut go_on: impl FnMut(usize) -> bool) -> bool {
        while self.width == 0 {
            let end = self.items.len().min(self.left + RUN);
            let run = &mut self.items[self.left..end];
            let moved = run.len();
            run.sort_by(&compare);
            self.left = end;
            if end == self.items.len() {
                self.begin_pass(RUN);
            }
            if !go_on(moved) {
                return self.is_sorted();
            }
        }
        while !self.is_sorted() {
            let before = self.merged.len();
            self.merge(&compare);
            let moved = self.merged.len() - before;
            if self.merged.len() == self.items.len() {
                std::mem::swap(&mut self.items, &mut self.merged);
                self.merged.clear();
                self.begin_pass(self.width.saturating_mul(2));
            }
            if !go_on(moved) {
                return self.is_sorted();
            }
        }
        true
    }

    fn begin_pass(&mut self, width: usize) {
        (self.width, self.left, self.right) = (width, 0, width.min(self.items.len()));
        if !self.is_sorted() {
            self.merged.reserve_exact(self.items.len());
        }
    }

    /// Merges some items of the two runs whose turn it is.
    fn merge(&mut self, compare: &impl Fn(&T, &T) -> Ordering) {
        let MergeSort { items, merged, width, left, right } = self;
        let start = merged.len() - merged.len() % (2 * *width);
        let (middle, end) = (items.len().min(start + *width), items.len().min(start + 2 * *width));
        for _ in merged.len()..end.min(merged.len() + BATCH) {
            let takes_left = *left < middle && (*right == end || compare(&items[*left], &items[*right]).is_le());
            let next = if takes_left { &mut *left } else { &mut *right };
            merged.push(items[*next]);
            *next += 1;
        }
        if merged.len() == end {
            (*left, *right) = (end, items.len().min(end + *width));
        }
    }

    fn is_sorted(&self) -> bool {
        self.width != 0 && self.width >= self.items.len()
    }

    /// The items: in order once they are sorted.
    pub fn items(&self) -> &[T] {
        &self.items
    }

    /// The items, to be changed before sorting has begun.
    pub fn items_mut(&mut self) -> &mut [T] {
        debug_assert!(self.width == 0 && self.left == 0, "nothing is in order yet");
        &mut self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn sorts_as_the_standard_library_does_however_often_it_is_interrupted() {
        let mut prng = Prng::seeded(11);
        for round in 0..600 {
            let len = [0, 1, 31, 32, 33, 64, 65, 100, 1000, 1025][round % 10] + prng.below(3) as usize;
            let values = 1 + prng.below(if round % 2 == 0 { 5 } else { 2000 });
            // The second number tells equal ones apart.
            let items: Vec<(u64, usize)> = (0..len).map(|n| (prng.below(values), n)).collect();
            let mut expected = items.clone();
            expected.sort_by_key(|&(value, _)| value);
            let mut sort = MergeSort::new(items);
            let mut calls = 1;
            while !sort.go_on(|a, b| a.0.cmp(&b.0), |_| prng.chance(1, 3)) {
                calls += 1;
            }
            assert_eq!(sort.items(), expected);
            assert!(calls > 1 || len < 200);
            assert!(sort.go_on(|a, b| a.0.cmp(&b.0), |_| true), "it stays at its end");
        }
    }
}
