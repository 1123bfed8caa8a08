//! Sorting of a part: of many items, the ones that come to stand in some places.
//!
//! Which of several equal items are among them, and their order, is that of the quicksort of Bentley and McIlroy
//! ("Engineering a Sort Function", 1993), which Redis uses: where a limit cuts through equal items, it shows in replies.
//!
//! Called by commands with limits. Knows nothing of what it sorts.

use std::cmp::Ordering;
use std::ops::Range;

use super::merge_sort::MergeSort;

/// Items below which insertion is quicker.
const FEW: usize = 7;
/// Items above which the pivot is chosen out of nine.
const MANY: usize = 40;
/// Items that are compared between two questions whether to go on.
const BATCH: usize = 32;

/// Puts those items into the places of a range that were there if all items were sorted, in order. All others end up
/// somewhere on their side of it. O(N) for N items, and O(M log M) for M places.
///
/// Inputs made to be slow for quicksort are sorted as a whole by the standard library, in O(N log N).
pub fn sort_part<T: Copy>(items: &mut [T], places: Range<usize>, compare: impl Fn(&T, &T) -> Ordering) {
    PartSort::new(items.len(), places).go_on(items, compare, |_| true);
}

/// The same some items at a time.
#[derive(Debug)]
pub struct PartSort<T> {
    places: Range<usize>,
    /// Parts that are still to be sorted, and how many rounds each may take.
    todo: Vec<(Range<usize>, u32)>,
    /// The part that is being parted by its first item.
    partition: Option<Partition>,
    /// The part that is sorted as a whole, and where it begins.
    whole: Option<(usize, MergeSort<T>)>,
}

impl<T: Copy> PartSort<T> {
    /// Sorts so many items, to have the right ones in these places. O(1).
    pub fn new(len: usize, places: Range<usize>) -> PartSort<T> {
        let rounds = 4 * (len.checked_ilog2().unwrap_or(0) + 1);
        PartSort { places, todo: vec![(0..len, rounds)], partition: None, whole: None }
    }

    /// Sorts until `go_on` returns false, which is told how many items were looked at. The items are to be the same ones every
    /// time. True at the end.
    pub fn go_on(
        &mut self,
        items: &mut [T],
        compare: impl Fn(&T, &T) -> Ordering,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> bool {
        loop {
            if let Some((start, sort)) = &mut self.whole {
                if !sort.go_on(&compare, &mut go_on) {
                    return false;
                }
                items[*start..][..sort.items().len()].copy_from_slice(sort.items());
                self.whole = None;
            }
            if let Some(partition) = &mut self.partition {
                let part = &mut items[partition.range.clone()];
                if partition.go_on(part, &compare) {
                    let (less, greater) = partition.finish(part);
                    let (Range { start, end }, rounds) = (partition.range.clone(), partition.rounds - 1);
                    self.todo.extend([(start..start + less, rounds), (end - greater..end, rounds)]);
                    self.partition = None;
                }
                if !go_on(BATCH) {
                    return false;
                }
                continue;
            }
            let Some((range, rounds)) = self.todo.pop() else { return true };
            if range.len() < 2 || range.start >= self.places.end || range.end <= self.places.start {
                continue;
            }
            let part = &mut items[range.clone()];
            if part.len() < FEW {
                insert_each(part, &compare);
                if !go_on(range.len()) {
                    return false;
                }
            } else if rounds == 0 {
                self.whole = Some((range.start, MergeSort::new(part.to_vec())));
            } else {
                let pivot = pivot(part, &compare);
                part.swap(0, pivot);
                self.partition = Some(Partition::new(range, rounds));
            }
        }
    }
}

fn insert_each<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) {
    for end in 1..items.len() {
        let mut at = end;
        while at > 0 && compare(&items[at - 1], &items[at]).is_gt() {
            items.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// The index of an item that is likely somewhere in the middle.
fn pivot<T>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering) -> usize {
    let (first, middle, last) = (0, items.len() / 2, items.len() - 1);
    if items.len() == FEW {
        return middle;
    }
    let median = |a: usize, b: usize, c: usize| median(items, compare, [a, b, c]);
    if items.len() <= MANY {
        return median(first, middle, last);
    }
    let d = items.len() / 8;
    median(
        median(first, first + d, first + 2 * d),
        median(middle - d, middle, middle + d),
        median(last - 2 * d, last - d, last),
    )
}

fn median<T>(items: &[T], compare: &impl Fn(&T, &T) -> Ordering, [a, b, c]: [usize; 3]) -> usize {
    let order = |x: usize, y: usize| compare(&items[x], &items[y]);
    if order(a, b).is_lt() {
        match () {
            () if order(b, c).is_lt() => b,
            () if order(a, c).is_lt() => c,
            () => a,
        }
    } else {
        match () {
            () if order(b, c).is_gt() => b,
            () if order(a, c).is_lt() => a,
            () => c,
        }
    }
}

/// Items of a range being parted into those less than the first one, those equal to it and those greater.
///
/// # Invariants
/// Equal items gather at both ends, before `low_equal` and from `high_equal` on; `low` and `high` close in on each other. All four
/// count from the beginning of the range.
#[derive(Debug)]
struct Partition {
    range: Range<usize>,
    rounds: u32,
    low_equal: usize,
    low: usize,
    high: usize,
    high_equal: usize,
    /// `low` has its turn, and not `high`.
    is_rising: bool,
}

impl Partition {
    fn new(range: Range<usize>, rounds: u32) -> Partition {
        let len = range.len();
        Partition { range, rounds, low_equal: 1, low: 1, high: len, high_equal: len, is_rising: true }
    }

    /// Looks at some items. True at the end.
    fn go_on<T>(&mut self, items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) -> bool {
        for _ in 0..BATCH {
            if self.low >= self.high {
                return true;
            }
            if self.is_rising {
                match compare(&items[self.low], &items[0]) {
                    Ordering::Greater => {
                        self.is_rising = false;
                        continue;
                    }
                    Ordering::Equal => {
                        items.swap(self.low_equal, self.low);
                        self.low_equal += 1;
                    }
                    Ordering::Less => {}
                }
                self.low += 1;
            } else {
                match compare(&items[self.high - 1], &items[0]) {
                    Ordering::Less => {
                        items.swap(self.low, self.high - 1);
                        self.low += 1;
                        self.is_rising = true;
                    }
                    Ordering::Equal => {
                        self.high_equal -= 1;
                        items.swap(self.high - 1, self.high_equal);
                    }
                    Ordering::Greater => {}
                }
                self.high -= 1;
            }
        }
        self.low >= self.high
    }

    /// Puts the equal ones in the middle. Returns how many are less and how many greater.
    fn finish<T>(&self, items: &mut [T]) -> (usize, usize) {
        let Partition { low_equal, low, high, high_equal, .. } = *self;
        let len = items.len();
        let (less, greater) = (low - low_equal, high_equal - high);
        let moved = low_equal.min(less);
        swap_runs(items, 0, low - moved, moved);
        let moved = greater.min(len - high_equal);
        swap_runs(items, low, len - moved, moved);
        (less, greater)
    }
}

/// Exchanges two runs of items that do not overlap, one by one.
fn swap_runs<T>(items: &mut [T], a: usize, b: usize, len: usize) {
    (0..len).for_each(|n| items.swap(a + n, b + n));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn the_places_asked_for_hold_what_sorting_would_put_there() {
        let mut prng = Prng::seeded(5);
        for _ in 0..3_000 {
            let len = prng.below(90) as usize;
            let values = 1 + prng.below(100);
            let items: Vec<u64> = (0..len).map(|_| prng.below(values)).collect();
            let mut sorted = items.clone();
            sorted.sort_unstable();
            let start = prng.below(len as u64 + 2) as usize;
            let end = start + prng.below(len as u64 + 2) as usize;
            let mut part = items.clone();
            sort_part(&mut part, start..end, u64::cmp);
            let places = start.min(len)..end.min(len);
            assert_eq!(part[places.clone()], sorted[places], "{items:?} {start}..{end}");
            let (mut pieces, mut sort) = (items.clone(), PartSort::new(len, start..end));
            while !sort.go_on(&mut pieces, u64::cmp, |_| false) {}
            assert_eq!(pieces, part, "some at a time");
            part.sort_unstable();
            assert_eq!(part, sorted);
        }
    }

    #[test]
    fn hostile_inputs_stay_quick() {
        // Each comparison with the pivot is decided as late as it can be: what makes any quicksort quadratic.
        use std::cell::{Cell, RefCell};
        const LEN: usize = 5_000;
        let (values, solid, candidate) = (RefCell::new(vec![usize::MAX; LEN]), Cell::new(0), Cell::new(0));
        let comparisons = Cell::new(0usize);
        let mut items: Vec<usize> = (0..LEN).collect();
        sort_part(&mut items, 0..LEN, |&x, &y| {
            comparisons.set(comparisons.get() + 1);
            let mut values = values.borrow_mut();
            if values[x] == usize::MAX && values[y] == usize::MAX {
                values[if x == candidate.get() { x } else { y }] = solid.get();
                solid.set(solid.get() + 1);
            }
            if values[x] == usize::MAX {
                candidate.set(x);
            } else if values[y] == usize::MAX {
                candidate.set(y);
            }
            values[x].cmp(&values[y])
        });
        assert!(comparisons.get() < 100 * LEN, "{} comparisons", comparisons.get());
    }
}
