//! Keys and the wheel: every entry that is due some time has a timer, and leaves when it comes.
//!
//! A key has one timer, for whatever comes first: its own deadline or the first of its collection's elements ([`Due`]). A visit of
//! the timer takes due elements out, [`ELEMENTS_PER_VISIT`] at a time, while all visits of the turn's chunk take no more than there may
//! be visits; a collection that has more of them is overdue and goes on in the same turn, within its budget, before the wheel does.
//!
//! # Invariants
//! - Every key that is due some time ([`Due::next_ms`]) has a wheel node in the slot of that time or of an earlier tick
//!   (the owner's side of the protocol in `timer::wheel`); `Entry::timer_exact` says which.
//! - The wheel has no more nodes than a small multiple of what [`Timed`] counts, and a constant: [`Timers::expire`] frees
//!   what nobody needs within its budget, and beyond a second bound the commands that add nodes do. Nothing sweeps more
//!   than a few dozen at a time.
//! - A collection whose last element expires leaves with it.
//!
//! Used by `store::db` and what opens collections. Asks no clock, and knows nothing of who is told.

use std::cell::RefCell;

use super::accounting::{Accounting, Cause, Due, Timed, is_emptied};
use super::entry::Entry;
use super::forecast::Forecast;
use super::nearest::Nearest;
use super::notes::Happened;
use super::table::Table;
use crate::base::prng::Prng;
use crate::timer::{KEY_SLOTS, Progress, SweepVerdict, Verdict, Visitor, Wheel};

/// Elements of one collection that a visit of its timer takes out at most: a few microseconds of work.
const ELEMENTS_PER_VISIT: usize = 16;

/// Nodes of the wheel beyond twice the keys with a deadline that are left to their slots: 512 KiB of garbage. Tests allow
/// less, so that short histories meet the sweep.
const GARBAGE_NODES_MAX: usize = if cfg!(test) { 64 } else { 65_536 };

/// With this many times the garbage that is left to its slots, the commands that set deadlines sweep as well.
const GARBAGE_FACTOR_MAX: usize = 2;

/// Nodes that come before such a command sweeps, and nodes swept then: some 20 us. At least three of four nodes are garbage
/// by then, so a pass over them all frees more than the quarter of their number that comes meanwhile.
const RELIEF_NODES: usize = 32;
const RELIEF_SWEPT: usize = 4 * RELIEF_NODES;

/// The timers of one database's keys.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// Made for the first key that is due some time.
    pub wheel: Option<Box<Wheel>>,
    /// The wheel's nodes when it was last swept.
    nodes_swept: usize,
    overdue: Overdue,
    /// Which keys fall due first, if somebody wants to know.
    pub nearest: Option<Box<Nearest>>,
}

/// Collections that were left with due elements, as one visit must not take too long: the upper 32 bits of their keys' hashes.
#[derive(Debug, Default)]
struct Overdue(Vec<u32>);

impl Overdue {
    /// Remembers a hash. One that is here already does no harm.
    fn add(&mut self, prefix: u32) {
        self.0.push(prefix);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Timers {
    /// Keeps the wheel in step with an entry whose deadlines were `old` and are now the entry's own. O(1).
    pub fn reschedule(
        &mut self,
        accounting: &mut Accounting,
        entry: &mut Entry,
        hash: u64,
        old: Due,
        was_exact: bool,
        now_ms: i64,
    ) {
        let new = Due::of(entry);
        accounting.timed.change(old, new);
        accounting.blessed.change_deadline(entry, old.key_ms, new.key_ms);
        if let Some(nearest) = &mut self.nearest
            && let Some(deadline_ms) = new.key_ms.filter(|_| new.key_ms != old.key_ms)
        {
            nearest.note(deadline_ms, (hash >> 32) as u32);
        }
        match (old.next_ms(), new.next_ms()) {
            (None, None) => {}
            (Some(_), None) => entry.set_timer_exact(false),
            // The present node comes first: its visit will move it to the new deadline.
            (Some(old), Some(new)) if new >= old => entry.set_timer_exact(was_exact && new == old),
            (_, Some(new)) => {
                let wheel = self.wheel.get_or_insert_with(|| {
                    accounting.notebook.note(Happened::Timed, entry.key());
                    Box::new(Wheel::new(KEY_SLOTS, now_ms))
                });
                entry.set_timer_exact(wheel.insert((hash >> 32) as u32, new));
            }
        }
    }

    /// Collects what is due: see [`Db::expire`](super::db::Db::expire).
    pub fn expire(
        &mut self,
        table: &mut Table<Entry>,
        accounting: &mut Accounting,
        now_ms: i64,
        budget: &mut usize,
        expired: impl FnMut(&Entry),
    ) -> Progress {
        let Some(wheel) = self.wheel.as_mut() else { return Progress { lag_ms: 0, done: true } };
        wheel.rewind(now_ms);
        let shared = RefCell::new(&mut *accounting);
        let (overdue, elements_left) = (&mut self.overdue, *budget);
        let mut collector = Collector { table, accounting: shared, overdue, elements_left, expired };
        let progress = collector.collect(wheel, now_ms, budget);
        let swept = self.sweep_garbage(table, accounting.timed, budget);
        Progress { done: progress.done && swept, ..progress }
    }

    /// Frees nodes whose key has gone or has another node, while they greatly outnumber the keys with a deadline: until
    /// their slots come round, keys that are set and deleted again and again would leave any number of them. O(budget).
    /// True if that was enough.
    fn sweep_garbage(&mut self, table: &mut Table<Entry>, timed: Timed, budget: &mut usize) -> bool {
        let Some(wheel) = self.wheel.as_mut() else { return true };
        let (bound, last) = (nodes_wanted_max(timed), wheel.last_tick());
        if wheel.len() > bound {
            wheel.sweep(budget, |prefix, tick| sweep_verdict(table, prefix, tick, last));
        }
        self.nodes_swept = wheel.len();
        wheel.len() <= bound
    }

    /// Bounds the garbage whatever is done within a turn, and however little of it is left for [`Timers::expire`]: beyond
    /// a second bound, who adds nodes sweeps. O(1), and nearly always a comparison.
    #[inline]
    pub fn relieve(&mut self, table: &mut Table<Entry>, timed: Timed) {
        let nodes = self.wheel.as_ref().map_or(0, |wheel| wheel.len());
        if nodes >= self.nodes_swept + RELIEF_NODES && nodes > GARBAGE_FACTOR_MAX * nodes_wanted_max(timed) {
            self.sweep_garbage(table, timed, &mut { RELIEF_SWEPT });
        }
    }

    /// When the keys fall due; see [`Db::forecast`](super::db::Db::forecast).
    pub fn forecast(&self, table: &mut Table<Entry>, timed: Timed, prng: &mut Prng) -> Option<Forecast> {
        let wheel = self.wheel.as_deref()?;
        Some(Forecast::take(table, wheel, timed.keys, prng))
    }

    /// The tick at which the wheel next has something to look at.
    pub fn next_tick_ms(&self) -> Option<i64> {
        self.wheel.as_ref().and_then(|wheel| wheel.next_tick())
    }
}

/// Nodes of a wheel, garbage included, that call for no sweep.
pub(super) fn nodes_wanted_max(timed: Timed) -> usize {
    2 * (timed.keys + timed.collections) + GARBAGE_NODES_MAX
}

/// The keys, as the wheel's visits meet them.
struct Collector<'t, F> {
    table: &'t mut Table<Entry>,
    /// Shared by what judges entries and what takes those that leave.
    accounting: RefCell<&'t mut Accounting>,
    overdue: &'t mut Overdue,
    /// Elements that visits may still take out: what more of them are due is overdue, and costs the budget.
    elements_left: usize,
    expired: F,
}

impl<F: FnMut(&Entry)> Collector<'_, F> {
    /// Goes on with what is overdue, then with the wheel.
    fn collect(&mut self, wheel: &mut Wheel, now_ms: i64, budget: &mut usize) -> Progress {
        let lag_ms = self.catch_up(wheel, now_ms, budget);
        if !self.overdue.is_empty() {
            return Progress { lag_ms, done: false };
        }
        let progress = wheel.advance_with(now_ms, budget, self);
        Progress { done: progress.done && self.overdue.is_empty(), ..progress }
    }

    /// Goes on with overdue collections, at one unit of `budget` for each element or look. Returns by how many milliseconds the
    /// last one is behind, 0 if none is.
    fn catch_up(&mut self, wheel: &mut Wheel, now_ms: i64, budget: &mut usize) -> u64 {
        let mut behind_ms = 0;
        while let Some(&prefix) = self.overdue.0.last().filter(|_| *budget > 0) {
            let (next_ms, spent) = self.look_again(wheel, prefix, now_ms, *budget);
            *budget -= spent.clamp(1, *budget);
            behind_ms = next_ms.map_or(0, |next_ms| now_ms.saturating_sub(next_ms).max(0) as u64);
            if next_ms.is_none() {
                self.overdue.0.pop();
            }
        }
        behind_ms
    }

    /// Takes due elements out of the collections of this prefix. Returns the earliest of the deadlines that have come and are not dealt
    /// with, and the number of elements.
    fn look_again(&mut self, wheel: &mut Wheel, prefix: u32, now_ms: i64, max: usize) -> (Option<i64>, usize) {
        let Collector { table, accounting, expired, .. } = self;
        let (mut late_ms, mut removed) = (None, 0);
        let judge = |entry: &mut Entry| {
            if Due::of(entry).elements_ms.is_none_or(|due_ms| due_ms > now_ms)
                || accounting.borrow_mut().keep_held(entry.key())
            {
                return true;
            }
            removed += accounting.borrow_mut().expire_elements(entry, now_ms, max);
            if is_emptied(entry) {
                return false;
            }
            let due = Due::of(entry);
            match due.elements_ms {
                Some(due_ms) if due_ms <= now_ms => late_ms = Some(late_ms.map_or(due_ms, |ms: i64| ms.min(due_ms))),
                _ => {
                    let exact = due.next_ms().is_some_and(|due_ms| wheel.insert(prefix, due_ms));
                    entry.set_timer_exact(exact);
                }
            }
            true
        };
        table.retain_prefix(prefix, judge, |entry| {
            expired(&entry);
            let mut accounting = accounting.borrow_mut();
            accounting.expired(&entry);
            accounting.let_go(entry);
        });
        (late_ms, removed)
    }
}

impl<F: FnMut(&Entry)> Visitor for Collector<'_, F> {
    /// A due key is two or three cache misses. Started together, those of a group cost little more than one.
    #[inline]
    fn ahead(&mut self, prefixes: &[u32]) {
        if prefixes.len() > 1 {
            prefixes.iter().for_each(|&prefix| self.table.prefetch_bucket(u64::from(prefix) << 32));
            prefixes.iter().for_each(|&prefix| self.table.prefetch_entry(u64::from(prefix) << 32));
        }
    }

    fn visit(&mut self, prefix: u32, tick: i64) -> Verdict {
        let Collector { table, accounting, overdue, elements_left, expired } = self;
        let (mut next, mut live, mut stale, mut late) = (i64::MAX, 0, false, false);
        let judge = |entry: &mut Entry| {
            let mut due = Due::of(entry);
            if due.next_ms().is_some_and(|due_ms| due_ms <= tick) && accounting.borrow_mut().keep_held(entry.key()) {
                // It gets another node when the hold ends.
                entry.set_timer_exact(false);
                return true;
            }
            if due.key_ms.is_some_and(|deadline_ms| deadline_ms <= tick) {
                accounting.borrow_mut().before_change(Cause::Expired, entry);
                return false;
            }
            if due.elements_ms.is_some_and(|due_ms| due_ms <= tick) {
                // What was exact until now was so for these elements: this node serves those that come next.
                let max = ELEMENTS_PER_VISIT.min(*elements_left);
                if max > 0 {
                    let removed = accounting.borrow_mut().expire_elements(entry, tick, max);
                    *elements_left = elements_left.saturating_sub(removed);
                }
                if is_emptied(entry) {
                    return false;
                }
                entry.set_timer_exact(false);
                due = Due::of(entry);
                late |= due.elements_ms.is_some_and(|due_ms| due_ms <= tick);
            }
            let Some(due_ms) = due.next_ms() else { return true };
            let in_its_slot = Wheel::same_slot(KEY_SLOTS, due_ms, tick);
            stale = entry.timer_exact() && !in_its_slot;
            entry.set_timer_exact(due_ms > tick);
            next = next.min(due_ms);
            live += 1;
            true
        };
        table.retain_prefix(prefix, judge, |entry| {
            expired(&entry);
            let mut accounting = accounting.borrow_mut();
            accounting.expired(&entry);
            accounting.let_go(entry);
        });
        if late {
            overdue.add(prefix);
        }
        if live > 1 {
            // Keys whose hashes share 32 bits cannot tell whose node this is: it stays, for the first of them to fall due,
            // and none of them counts as exact.
            let unsettle = |entry: &mut Entry| {
                entry.set_timer_exact(false);
                true
            };
            table.retain_prefix(prefix, unsettle, drop);
            return Verdict::Again(next);
        }
        if live == 0 || stale { Verdict::Drop } else { Verdict::Again(next) }
    }
}

/// What becomes of a node met by the sweep: `tick` is the next of its slot, `last` the last one visited.
fn sweep_verdict(table: &mut Table<Entry>, prefix: u32, tick: i64, last: i64) -> SweepVerdict {
    let (mut live, mut verdict) = (0, SweepVerdict::Drop);
    let judge = |entry: &mut Entry| {
        let Some(due_ms) = Due::of(entry).next_ms() else { return true };
        live += 1;
        let in_its_slot = Wheel::same_slot(KEY_SLOTS, due_ms, tick);
        verdict = match entry.timer_exact() {
            true if in_its_slot => SweepVerdict::Keep,
            true => SweepVerdict::Drop,
            // The first node of this key that is met becomes the one in its slot, and the others garbage.
            false if due_ms > last => SweepVerdict::Again(due_ms),
            false => SweepVerdict::Keep,
        };
        true
    };
    table.retain_prefix(prefix, judge, drop);
    match (live, verdict) {
        (0, _) => SweepVerdict::Drop,
        (1, SweepVerdict::Again(due_ms)) => {
            table.retain_prefix(
                prefix,
                |entry| {
                    entry.set_timer_exact(Due::of(entry).next_ms().is_some());
                    true
                },
                drop,
            );
            SweepVerdict::Again(due_ms)
        }
        (1, verdict) => verdict,
        // Whose node this is, among keys whose hashes share 32 bits, cannot be told: its slot will come.
        _ => SweepVerdict::Keep,
    }
}
