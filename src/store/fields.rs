//! Fields of hashes that expire: the database's side of it.
//!
//! A key has one timer, for whatever comes first: its own deadline or the first of its hash's fields (`Due`). A visit of the
//! timer takes due fields out, `PER_VISIT` at a time; a hash that has more of them is overdue and goes on in the same
//! turn, within its budget, before the wheel does.
//!
//! # Invariants
//! - Hashes change only through [`HashMut`], which keeps the timer in step with their next deadline.
//! - A hash whose last field expires leaves with it.
//!
//! Called by command handlers and by `store::db`. Knows nothing of clients and replies.

use std::ops::{Deref, DerefMut};

use super::collections::WrongType;
use super::db::{Collector, Db, DbStats, Happened, Moment, Notebook, collect_due, reschedule};
use super::entry::{Entry, NewValue};
use super::table::Occupied;
use super::types::{Collection, Hash, Type};
use crate::timer::Wheel;

/// Fields of one hash that a visit of its timer takes out at most: a few microseconds of work.
pub(super) const PER_VISIT: usize = 16;

/// Due fields that a command takes out of a hash before it changes it, should the timer be late.
const PER_COMMAND: usize = 64;

/// When an entry needs to be looked at, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The key's own deadline.
    pub key_ms: Option<i64>,
    /// The first deadline of its hash's fields, or one before it.
    pub fields_ms: Option<i64>,
}

impl Due {
    /// When this entry is due. O(1).
    #[inline]
    pub fn of(entry: &Entry) -> Due {
        let fields_ms = match entry.type_of() {
            Type::Hash => entry.collection::<Hash>().and_then(|hash| hash.next_due_ms()),
            _ => None,
        };
        Due { key_ms: entry.deadline_ms(), fields_ms }
    }

    /// What comes first.
    #[inline]
    pub fn next_ms(self) -> Option<i64> {
        match (self.key_ms, self.fields_ms) {
            (Some(key_ms), Some(fields_ms)) => Some(key_ms.min(fields_ms)),
            (key_ms, fields_ms) => key_ms.or(fields_ms),
        }
    }
}

/// How many entries have something to be done in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timed {
    /// Keys with a deadline.
    pub keys: usize,
    /// Hashes with fields that have a deadline.
    pub hashes: usize,
}

impl Timed {
    /// An entry's deadlines changed.
    #[inline]
    pub fn change(&mut self, old: Due, new: Due) {
        self.keys = self.keys + usize::from(new.key_ms.is_some()) - usize::from(old.key_ms.is_some());
        self.hashes = self.hashes + usize::from(new.fields_ms.is_some()) - usize::from(old.fields_ms.is_some());
    }

    /// An entry left.
    #[inline]
    pub fn leave(&mut self, due: Due) {
        self.change(due, Due::default());
    }
}

/// What is kept of the leaving of fields.
pub(super) struct Books<'t> {
    pub timed: &'t mut Timed,
    pub stats: &'t mut DbStats,
    pub notebook: &'t mut Notebook,
}

impl Books<'_> {
    /// Takes due fields out of a hash, some `max` at most. Returns how many. If its next deadline changes, its timer is no
    /// longer exact.
    pub fn expire_fields(&mut self, entry: &mut Entry, now_ms: i64, max: usize) -> usize {
        let old = Due::of(entry);
        let Some(mut hash) = entry.detach::<Hash>() else { return 0 };
        let removed = hash.expire(now_ms, max);
        entry.attach(hash);
        let new = Due::of(entry);
        if new != old {
            entry.set_timer_exact(false);
        }
        self.timed.change(old, new);
        self.stats.expired_fields += removed as u64;
        if removed > 0 {
            self.notebook.note(Happened::FieldsExpired, entry.key());
        }
        removed
    }

    /// Accounts for an entry that has left the table, because it was due or because its last field was.
    pub fn left(&mut self, entry: &Entry) {
        self.timed.leave(Due::of(entry));
        if is_emptied(entry) {
            self.notebook.note(Happened::Emptied, entry.key());
        } else {
            self.stats.expired += 1;
            self.notebook.note(Happened::Expired, entry.key());
        }
    }
}

/// True for a hash without fields.
pub(super) fn is_emptied(entry: &Entry) -> bool {
    entry.type_of() == Type::Hash && entry.collection::<Hash>().is_some_and(|hash| hash.is_empty())
}

/// Hashes that were left with due fields, by the upper 32 bits of their keys' hashes.
#[derive(Debug, Default)]
pub(super) struct Overdue(Vec<u32>);

impl Overdue {
    /// Remembers a hash. One that is here already does no harm.
    pub fn add(&mut self, prefix: u32) {
        self.0.push(prefix);
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<F: FnMut(Entry)> Collector<'_, F> {
    /// Goes on with overdue hashes, at one unit of `budget` for each field or look. Returns by how many milliseconds the
    /// last one is behind, 0 if none is.
    pub(super) fn catch_up(&mut self, wheel: &mut Wheel, now_ms: i64, budget: &mut usize) -> u64 {
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

    /// Takes due fields out of the hashes of this prefix. Returns the earliest of the deadlines that have come and are not dealt
    /// with, and the number of fields.
    fn look_again(&mut self, wheel: &mut Wheel, prefix: u32, now_ms: i64, max: usize) -> (Option<i64>, usize) {
        let Collector { table, books, expired, .. } = self;
        let (mut late_ms, mut removed) = (None, 0);
        let judge = |entry: &mut Entry| {
            if Due::of(entry).fields_ms.is_none_or(|due_ms| due_ms > now_ms) {
                return true;
            }
            removed += books.borrow_mut().expire_fields(entry, now_ms, max);
            if is_emptied(entry) {
                return false;
            }
            let due = Due::of(entry);
            match due.fields_ms {
                Some(due_ms) if due_ms <= now_ms => late_ms = Some(late_ms.map_or(due_ms, |ms: i64| ms.min(due_ms))),
                _ => {
                    let exact = due.next_ms().is_some_and(|due_ms| wheel.insert(prefix, due_ms));
                    entry.set_timer_exact(exact);
                }
            }
            true
        };
        table.retain_prefix(prefix, judge, |entry| {
            books.borrow_mut().left(&entry);
            expired(entry);
        });
        (late_ms, removed)
    }
}

const HELD: &str = "the hash is here until this is dropped";

/// The hash of a live key, open for change. Whoever empties it removes the key before the command ends.
pub struct HashMut<'d> {
    slot: Occupied<'d, Entry>,
    /// `None` only while this is dropped.
    hash: Option<Hash>,
    before: Due,
    wheel: &'d mut Option<Box<Wheel>>,
    timed: &'d mut Timed,
    notebook: &'d mut Notebook,
    key_hash: u64,
    at: Moment,
}

impl<'d> HashMut<'d> {
    #[inline]
    fn new(
        mut slot: Occupied<'d, Entry>,
        wheel: &'d mut Option<Box<Wheel>>,
        timed: &'d mut Timed,
        notebook: &'d mut Notebook,
        key_hash: u64,
        at: Moment,
    ) -> Result<HashMut<'d>, WrongType> {
        let before = Due::of(&slot);
        let hash = slot.detach().ok_or(WrongType)?;
        Ok(HashMut { slot, hash: Some(hash), before, wheel, timed, notebook, key_hash, at })
    }
}

impl Deref for HashMut<'_> {
    type Target = Hash;
    #[inline]
    fn deref(&self) -> &Hash {
        self.hash.as_ref().expect(HELD)
    }
}

impl DerefMut for HashMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Hash {
        self.hash.as_mut().expect(HELD)
    }
}

impl Drop for HashMut<'_> {
    #[inline]
    fn drop(&mut self) {
        let Some(hash) = self.hash.take() else { return };
        let fields_ms = hash.next_due_ms();
        self.slot.attach(hash);
        if fields_ms != self.before.fields_ms {
            let HashMut { slot, before, wheel, timed, notebook, key_hash, at, .. } = self;
            let exact = slot.timer_exact();
            reschedule(wheel, timed, notebook, slot, *key_hash, *before, exact, *at);
        }
    }
}

impl Db {
    /// The hash of a live key, to be changed. Due fields, up to some of them, are taken out first. O(1), one lookup.
    #[inline]
    pub fn write_hash(&mut self, key: &[u8], at: Moment) -> Result<Option<HashMut<'_>>, WrongType> {
        // For the nodes that the last change may have added.
        self.relieve();
        let key_hash = at.hash(self.table.hasher(), key);
        let Db { table, wheel, timed, stats, notebook, garbage, .. } = self;
        let Some(mut slot) = table.occupied(key_hash, key) else { return Ok(None) };
        if at.is_due(&slot) {
            if !at.keep_due {
                collect_due(timed, stats, notebook, garbage, slot.remove());
            }
            return Ok(None);
        }
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        if Due::of(&slot).fields_ms.is_some_and(|due_ms| due_ms <= at.unix_ms) && !at.keep_due {
            let mut books = Books { timed, stats, notebook };
            books.expire_fields(&mut slot, at.unix_ms, PER_COMMAND);
            if is_emptied(&slot) {
                let entry = slot.remove();
                books.left(&entry);
                garbage.discard(entry);
                return Ok(None);
            }
        }
        HashMut::new(slot, wheel, timed, notebook, key_hash, at).map(Some)
    }

    /// The hash of a live key, to be changed, or a new one: to which something has to be added before the command ends. O(1).
    #[inline]
    pub fn write_or_create_hash(&mut self, key: &[u8], at: Moment) -> Result<HashMut<'_>, WrongType> {
        if self.write_hash(key, at)?.is_none() {
            let mut entry = Entry::new(key, NewValue::Int(0), None);
            entry.attach(Hash::new());
            self.insert(entry, at);
        }
        let key_hash = at.hash(self.table.hasher(), key);
        let Db { table, wheel, timed, notebook, .. } = self;
        let slot = table.occupied(key_hash, key).expect("it was there or has just been inserted");
        HashMut::new(slot, wheel, timed, notebook, key_hash, at)
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
