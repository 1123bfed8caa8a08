//! Sorting of a part: of many items, the ones that come to stand in some places.
//!
//! Which of several equal items are among them, and their order, is that of the quicksort of Bentley and McIlroy
//! ("Engineering a Sort Function", 1993), which Redis uses: where a limit cuts through equal items, it shows in replies.
//!
//! Called by commands with limits. Knows nothing of what it sorts.

use std::cmp::Ordering;
use std::ops::Range;

/// Items below which insertion is quicker.
const FEW: usize = 7;
/// Items above which the pivot is chosen out of nine.
const MANY: usize = 40;

/// Puts those items into the places of a range that were there if all items were sorted, in order. All others end up
/// somewhere on their side of it. O(N) for N items, and O(M log M) for M places.
///
/// Inputs made to be slow for quicksort are sorted as a whole by the standard library, in O(N log N).
pub fn sort_part<T>(items: &mut [T], places: Range<usize>, compare: impl Fn(&T, &T) -> Ordering) {
    let rounds = 4 * (items.len().checked_ilog2().unwrap_or(0) + 1);
    sort_rounds(items, places, &compare, rounds);
}

fn sort_rounds<T>(items: &mut [T], places: Range<usize>, compare: &impl Fn(&T, &T) -> Ordering, rounds: u32) {
    if places.start >= items.len() || places.is_empty() {
        return;
    }
    if items.len() < FEW {
        return insert_each(items, compare);
    }
    if rounds == 0 {
        return items.sort_by(compare);
    }
    let pivot = pivot(items, compare);
    items.swap(0, pivot);
    let (less, greater) = partition(items, compare);
    let len = items.len();
    if less > 1 {
        sort_rounds(&mut items[..less], places.clone(), compare, rounds - 1);
    }
    if greater > 1 {
        let first = len - greater;
        let places = places.start.saturating_sub(first)..places.end.saturating_sub(first);
        sort_rounds(&mut items[first..], places, compare, rounds - 1);
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

/// Parts items into those less than the first one, those equal to it and those greater. Returns how many are less and how
/// many greater.
fn partition<T>(items: &mut [T], compare: &impl Fn(&T, &T) -> Ordering) -> (usize, usize) {
    let len = items.len();
    // Equal items gather at both ends, before `low_equal` and from `high_equal` on; `low` and `high` close in on each other.
    let (mut low_equal, mut low) = (1, 1);
    let (mut high, mut high_equal) = (len, len);
    loop {
        while low < high {
            match compare(&items[low], &items[0]) {
                Ordering::Greater => break,
                Ordering::Equal => {
                    items.swap(low_equal, low);
                    low_equal += 1;
                }
                Ordering::Less => {}
            }
            low += 1;
        }
        while low < high {
            match compare(&items[high - 1], &items[0]) {
                Ordering::Less => break,
                Ordering::Equal => {
                    high_equal -= 1;
                    items.swap(high - 1, high_equal);
                }
                Ordering::Greater => {}
            }
            high -= 1;
        }
        if low >= high {
            break;
        }
        items.swap(low, high - 1);
        low += 1;
        high -= 1;
    }
    let (less, greater) = (low - low_equal, high_equal - high);
    let moved = low_equal.min(less);
    swap_runs(items, 0, low - moved, moved);
    let moved = greater.min(len - high_equal);
    swap_runs(items, low, len - moved, moved);
    (less, greater)
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
