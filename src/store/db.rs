//! One database: the table of its keys and the wheel of their deadlines.
//!
//! # Invariants
//! - A key whose deadline has passed does not exist for anyone, whatever the wheel has done: every lookup checks.
//! - Every key with a deadline has a wheel node in the slot of that deadline or of an earlier tick (the owner's side of
//!   the protocol in `timer::wheel`); `Entry::timer_exact` says which.
//! - `timed` counts the keys with a deadline.
//!
//! Called by command handlers. Knows nothing of clients, replies or propagation, and asks no clock: a [`Moment`] is
//! handed in.

use super::entry::{ACCESS_CLOCK_MASK, Entry, NewValue};
use super::hash::KeyHasher;
use super::table::{Lent, Occupied, Table};
use crate::base::clock::Now;
use crate::timer::{KEY_SLOTS, Progress, Verdict, Wheel};

/// The time as lookups need it.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix time in milliseconds.
    pub unix_ms: i64,
    /// Seconds on the 24-bit access clock, or `None` to leave access times alone (`CLIENT NO-TOUCH`).
    pub access: Option<u32>,
    /// Due keys are missing to lookups but stay where they are (`CLIENT PAUSE`).
    pub keep_due: bool,
}

impl Moment {
    /// The moment a command runs at; `touch` is false for clients that asked not to touch keys.
    pub fn new(now: Now, touch: bool) -> Moment {
        let access = touch.then_some(now.unix_s() as u32 & ACCESS_CLOCK_MASK);
        Moment { unix_ms: now.unix_ms, access, keep_due: false }
    }

    /// The same moment for a lookup that does not count as an access.
    pub fn untouched(self) -> Moment {
        Moment { access: None, ..self }
    }

    /// The same moment for lookups that leave due keys in place, as while CLIENT PAUSE lasts: the data must not change.
    pub fn keeping_due(self) -> Moment {
        Moment { keep_due: true, ..self }
    }

    fn is_due(self, entry: &Entry) -> bool {
        entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= self.unix_ms)
    }
}

/// What a write does to a key's time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The key will not expire.
    Clear,
    /// An existing deadline stays.
    Keep,
    /// The key expires at this Unix time in milliseconds.
    At(i64),
}

/// Counts of what lookups met.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbStats {
    /// Reading lookups that found a key.
    pub hits: u64,
    /// Reading lookups that found none.
    pub misses: u64,
    /// Keys that left because their deadline had passed.
    pub expired: u64,
}

/// One database.
#[derive(Debug)]
pub struct Db {
    table: Table<Entry>,
    wheel: Option<Box<Wheel>>,
    timed: usize,
    stats: DbStats,
}

impl Db {
    /// An empty database; allocates nothing until the first key.
    pub fn new(hasher: KeyHasher) -> Db {
        Db { table: Table::new(hasher), wheel: None, timed: 0, stats: DbStats::default() }
    }

    /// Number of keys, due ones that have not been collected yet included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True when there is no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of keys with a deadline.
    pub fn timed(&self) -> usize {
        self.timed
    }

    /// The counters of this database.
    pub fn stats(&self) -> DbStats {
        self.stats
    }

    /// Takes over another database's counters: they belong to the server's history, not to the keys.
    pub fn inherit_stats(&mut self, other: &Db) {
        self.stats = other.stats;
    }

    /// Zeroes the counters.
    pub fn reset_stats(&mut self) {
        self.stats = DbStats::default();
    }

    /// The key table, for figures about it.
    pub fn table(&self) -> &Table<Entry> {
        &self.table
    }

    /// Bytes of the wheel.
    pub fn wheel_bytes(&self) -> usize {
        self.wheel.as_ref().map_or(0, |wheel| wheel.bytes())
    }

    /// Starts loading a key's bucket into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, key: &[u8]) -> u64 {
        let hash = self.table.hasher().hash(key);
        self.table.prefetch_bucket(hash);
        hash
    }

    /// Starts loading the entry of a key of this hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_entry(hash);
    }

    /// The slot of a live key. A due key is collected on the way. Counts nothing; touches the access time as told. O(1).
    #[inline]
    pub fn lookup_write(&mut self, key: &[u8], at: Moment) -> Option<Occupied<'_, Entry>> {
        let hash = self.table.hasher().hash(key);
        let mut slot = self.table.occupied(hash, key)?;
        if at.is_due(&slot) {
            if !at.keep_due {
                drop(slot.remove());
                self.timed -= 1;
                self.stats.expired += 1;
            }
            return None;
        }
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        Some(slot)
    }

    /// A live key's entry, counted as a hit or a miss. O(1).
    #[inline]
    pub fn lookup_read(&mut self, key: &[u8], at: Moment) -> Option<Lent<'_, Entry>> {
        let hash = self.table.hasher().hash(key);
        let Some(mut slot) = self.table.occupied(hash, key) else {
            self.stats.misses += 1;
            return None;
        };
        if at.is_due(&slot) {
            if !at.keep_due {
                drop(slot.remove());
                self.timed -= 1;
                self.stats.expired += 1;
            }
            self.stats.misses += 1;
            return None;
        }
        self.stats.hits += 1;
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        Some(slot.into_lent())
    }

    /// Stores a value under a key, over whatever was there. O(1), plus the bytes copied.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: NewValue<'_>, ttl: Ttl, at: Moment) {
        let hash = self.table.hasher().hash(key);
        let Some(mut slot) = self.table.occupied(hash, key) else {
            return self.insert_new(hash, key, value, ttl, at);
        };
        if at.is_due(&slot) {
            drop(slot.remove());
            self.timed -= 1;
            self.stats.expired += 1;
            return self.insert_new(hash, key, value, ttl, at);
        }
        let old = slot.deadline_ms();
        let new = match ttl {
            Ttl::Clear => None,
            Ttl::Keep => old,
            Ttl::At(deadline_ms) => Some(deadline_ms),
        };
        let was_exact = slot.timer_exact();
        slot.map(|entry| entry.with_value(value, new));
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        if old.is_some() || new.is_some() {
            let (wheel, timed) = (&mut self.wheel, &mut self.timed);
            reschedule(wheel, timed, &mut slot, hash, old, was_exact, at);
        }
    }

    fn insert_new(&mut self, hash: u64, key: &[u8], value: NewValue<'_>, ttl: Ttl, at: Moment) {
        let deadline_ms = match ttl {
            Ttl::At(deadline_ms) => Some(deadline_ms),
            Ttl::Clear | Ttl::Keep => None,
        };
        let mut entry = Entry::new(key, value, deadline_ms);
        entry.set_access(at.access.unwrap_or(0));
        self.insert_hashed(hash, entry, at);
    }

    /// Adds an entry whose key is not there (as a live key). O(1).
    pub fn insert(&mut self, entry: Entry, at: Moment) {
        let hash = self.table.hasher().hash(entry.key());
        debug_assert!(self.table.lookup(hash, entry.key()).is_none(), "the key is already there");
        self.insert_hashed(hash, entry, at);
    }

    fn insert_hashed(&mut self, hash: u64, mut entry: Entry, at: Moment) {
        entry.set_timer_exact(false);
        reschedule(&mut self.wheel, &mut self.timed, &mut entry, hash, None, false, at);
        self.table.insert(hash, entry);
    }

    /// Takes a live key out. O(1).
    pub fn remove(&mut self, key: &[u8], at: Moment) -> Option<Entry> {
        let slot = self.lookup_write(key, at.untouched())?;
        let entry = slot.remove();
        self.timed -= usize::from(entry.deadline_ms().is_some());
        Some(entry)
    }

    /// Changes a live key's deadline, `None` to keep it for good. False if there is no such key. O(1).
    pub fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>, at: Moment) -> bool {
        let hash = self.table.hasher().hash(key);
        let Some(mut slot) = self.table.occupied(hash, key).filter(|slot| !at.is_due(slot)) else { return false };
        let (old, was_exact) = (slot.deadline_ms(), slot.timer_exact());
        slot.map(|entry| entry.with_deadline(deadline_ms));
        reschedule(&mut self.wheel, &mut self.timed, &mut slot, hash, old, was_exact, at);
        true
    }

    /// Walks part of the keys, due ones left out; see [`Table::scan`].
    pub fn scan(&self, cursor: u64, at: Moment, mut visit: impl FnMut(&Entry)) -> u64 {
        self.table.scan(cursor, |entry| {
            if !at.is_due(&entry) {
                visit(&entry);
            }
        })
    }

    /// A uniformly chosen live key. `draw(n)` returns an unbiased number below `n`.
    ///
    /// Due keys that are drawn are collected, so the loop ends even if all keys are due.
    pub fn random_key(&mut self, at: Moment, mut draw: impl FnMut(u64) -> u64) -> Option<Vec<u8>> {
        loop {
            let entry = self.table.random(&mut draw)?;
            let key = entry.key().to_vec();
            if !at.is_due(&entry) {
                return Some(key);
            }
            self.lookup_write(&key, at);
        }
    }

    /// Collects due keys, in order of their deadlines, spending one unit of `budget` per timer looked at. Each collected
    /// entry is handed to `expired`.
    pub fn expire(&mut self, now_ms: i64, budget: &mut usize, mut expired: impl FnMut(Entry)) -> Progress {
        let Some(wheel) = self.wheel.as_mut() else { return Progress { lag_ms: 0, done: true } };
        let (table, timed, count) = (&mut self.table, &mut self.timed, &mut self.stats.expired);
        wheel.advance(now_ms, budget, |prefix, tick| {
            let (mut next, mut live, mut stale) = (i64::MAX, 0, false);
            table.retain_prefix(
                prefix,
                |entry| {
                    let Some(deadline_ms) = entry.deadline_ms() else { return true };
                    if deadline_ms <= tick {
                        return false;
                    }
                    let in_its_slot = Wheel::same_slot(KEY_SLOTS, deadline_ms, tick);
                    stale = entry.timer_exact() && !in_its_slot;
                    entry.set_timer_exact(true);
                    next = next.min(deadline_ms);
                    live += 1;
                    true
                },
                |entry| {
                    *timed -= 1;
                    *count += 1;
                    expired(entry);
                },
            );
            if live > 1 {
                // Keys whose hashes share 32 bits cannot tell whose node this is: it stays, for the first of them to
                // fall due, and none of them counts as exact.
                table.retain_prefix(
                    prefix,
                    |entry| {
                        entry.set_timer_exact(false);
                        true
                    },
                    drop,
                );
                return Verdict::Again(next);
            }
            if live == 0 || stale { Verdict::Drop } else { Verdict::Again(next) }
        })
    }

    /// The tick at which the wheel next has something to look at, never later than the next deadline.
    pub fn next_tick_ms(&self) -> Option<i64> {
        self.wheel.as_ref().and_then(|wheel| wheel.next_tick())
    }
}

/// Keeps the wheel in step with an entry whose deadline was `old` and is now the entry's own.
fn reschedule(
    wheel: &mut Option<Box<Wheel>>,
    timed: &mut usize,
    entry: &mut Entry,
    hash: u64,
    old: Option<i64>,
    was_exact: bool,
    at: Moment,
) {
    match (old, entry.deadline_ms()) {
        (None, None) => {}
        (Some(_), None) => {
            *timed -= 1;
            entry.set_timer_exact(false);
        }
        // The present node comes first: its visit will move it to the new deadline.
        (Some(old), Some(new)) if new >= old => entry.set_timer_exact(was_exact && new == old),
        (old, Some(new)) => {
            *timed += usize::from(old.is_none());
            let wheel = wheel.get_or_insert_with(|| Box::new(Wheel::new(KEY_SLOTS, at.unix_ms)));
            entry.set_timer_exact(wheel.insert((hash >> 32) as u32, new));
        }
    }
}
