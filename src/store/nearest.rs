//! Which keys fall due first, exactly: what `volatile-ttl` goes by.
//!
//! The wheel knows what comes within its own revolution; of keys that are due later it knows only that they are worth a look once a
//! revolution. So the nearest deadlines are kept in a heap: all those before a *horizon*, with the upper 32 bits of their keys'
//! hashes. What falls due later is not in it. When the heap runs low, a walk over the table gathers the next ones, a few buckets
//! for each key that is taken, so that it has come to its end before the heap is empty. A deadline that is set meanwhile is
//! noted wherever it belongs. Nothing is ever taken out of the heap but at its top: there an item whose key has gone, or
//! has another deadline by now, or is blessed, is recognised and dropped.
//!
//! # Costs
//! Sixteen bytes for each of [`HELD_MAX`] deadlines at most; nothing where the policy is another. A key that is taken costs
//! O(log heap) and one lookup, and while a walk is under way its share of that: the walk sees all keys of the database for
//! every [`HELD_MAX`] / 2 that are taken.
//!
//! # Invariant
//! Every key with a deadline before the horizon has an item in the heap, unless it is blessed; with a walk under way, every such key
//! from the horizon on that is before the walk's own horizon and behind its cursor has one in `found`.
//!
//! Used by `store::expiry`, which tells of deadlines, and `store::evict`, which asks for keys. Knows nothing of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::entry::Entry;
use super::table::Table;

/// Deadlines that are kept at most: 1 MiB. Tests keep few, so that short histories meet the horizon.
const HELD_MAX: usize = if cfg!(test) { 32 } else { 65_536 };

/// Home buckets that one step of the walk sees at least.
const HOMES_PER_STEP: usize = 4;

/// A deadline in Unix milliseconds, and the upper 32 bits of its key's hash.
type Item = (i64, u32);

/// Behind all deadlines.
const END: Item = (i64::MAX, u32::MAX);
/// Before all of them.
const BEGINNING: Item = (i64::MIN, 0);

/// The nearest deadlines of one database.
#[derive(Debug)]
pub(super) struct Nearest {
    heap: BinaryHeap<Reverse<Item>>,
    horizon: Item,
    walk: Option<Walk>,
}

/// A walk over the table that gathers what comes from the horizon on.
#[derive(Debug)]
struct Walk {
    cursor: u64,
    found: Vec<Item>,
    /// What is found from here on is too far away.
    horizon: Item,
}

/// The key that falls due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// The key with this hash has this deadline, in Unix milliseconds.
    Key {
        /// Its hash.
        hash: u64,
        /// Its deadline.
        deadline_ms: i64,
    },
    /// That has to be found out first: ask again.
    Unknown,
    /// No key has a deadline.
    None,
}

impl Nearest {
    /// Of a database that has no key with a deadline, or some that nothing is known of yet.
    pub fn new(is_empty: bool) -> Nearest {
        Nearest { heap: BinaryHeap::new(), horizon: if is_empty { END } else { BEGINNING }, walk: None }
    }

    /// A key got this deadline. O(log heap).
    pub fn note(&mut self, deadline_ms: i64, prefix: u32) {
        let item = (deadline_ms, prefix);
        if item < self.horizon {
            self.heap.push(Reverse(item));
            if self.heap.len() > HELD_MAX {
                let mut items: Vec<Item> =
                    std::mem::take(&mut self.heap).into_iter().map(|Reverse(item)| item).collect();
                self.horizon = forget_far(&mut items);
                self.heap = items.into_iter().map(Reverse).collect();
                // What a walk has found lies behind what is forgotten.
                self.walk = None;
            }
        } else if let Some(walk) = &mut self.walk {
            walk.note(item);
        }
    }

    /// The key that falls due first. O(log heap) for it and for each item that is dropped, of which there are `stale_max` at most.
    pub fn first(&mut self, table: &mut Table<Entry>, stale_max: usize) -> First {
        if self.heap.len() < HELD_MAX / 2 && self.horizon != END {
            let share = table.buckets() / (HELD_MAX / 4);
            self.gather(table, HOMES_PER_STEP + share);
        }
        for _ in 0..=stale_max {
            let Some(&Reverse((deadline_ms, prefix))) = self.heap.peek() else {
                return if self.horizon == END { First::None } else { First::Unknown };
            };
            let (hasher, mut hash) = (table.hasher(), None);
            let look = |entry: &mut Entry| {
                if entry.deadline_ms() == Some(deadline_ms) && !entry.is_blessed() {
                    hash = Some(hasher.hash(entry.key()));
                }
                true
            };
            table.retain_prefix(prefix, look, drop);
            if let Some(hash) = hash {
                return First::Key { hash, deadline_ms };
            }
            self.heap.pop();
        }
        First::Unknown
    }

    /// Goes on with the walk for so many home buckets, or begins one. O(entries in them).
    fn gather(&mut self, table: &mut Table<Entry>, homes: usize) {
        let horizon = self.horizon;
        let walk = self.walk.get_or_insert_with(|| Walk { cursor: 0, found: Vec::new(), horizon: END });
        let (hasher, mut left) = (table.hasher(), homes);
        let Walk { cursor, found, horizon: end } = walk;
        let visit = |entry: &mut Entry| {
            // The hash is worth computing only for what may be near.
            if let Some(deadline_ms) = entry.deadline_ms().filter(|ms| (horizon.0..=end.0).contains(ms))
                && !entry.is_blessed()
            {
                let item = (deadline_ms, (hasher.hash(entry.key()) >> 32) as u32);
                if item >= horizon && item < *end {
                    found.push(item);
                    bound(found, end);
                }
            }
            true
        };
        let go_on = || {
            left = left.saturating_sub(1);
            left > 0
        };
        match table.walk(*cursor, visit, go_on) {
            Some(next) => *cursor = next,
            None => {
                self.horizon = walk.horizon;
                self.heap.extend(walk.found.drain(..).map(Reverse));
                self.walk = None;
            }
        }
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        let found = self.walk.as_ref().map_or(0, |walk| walk.found.capacity());
        size_of::<Nearest>() + (self.heap.capacity() + found) * size_of::<Item>()
    }
}

impl Walk {
    fn note(&mut self, item: Item) {
        if item < self.horizon {
            self.found.push(item);
            bound(&mut self.found, &mut self.horizon);
        }
    }
}

fn bound(items: &mut Vec<Item>, horizon: &mut Item) {
    if items.len() > HELD_MAX {
        *horizon = forget_far(items);
    }
}

/// Drops the farther half. Returns the first item that is not among what stays, nor anything behind it.
fn forget_far(items: &mut Vec<Item>) -> Item {
    let middle = items.len() / 2;
    let (_, &mut horizon, _) = items.select_nth_unstable(middle);
    if items[..middle].iter().all(|item| *item == horizon) {
        // The same item again and again, and nothing before it.
        items.sort_unstable();
        items.dedup();
        let horizon = items.get(middle).copied().unwrap_or((horizon.0, horizon.1.saturating_add(1)));
        items.retain(|item| *item < horizon);
        return horizon;
    }
    items.retain(|item| *item < horizon);
    horizon
}
