//! What a database keeps beside its entries: counters, notes, values to be freed elsewhere, and the one gate that every
//! change of an entry passes.
//!
//! # Invariants
//! - Nothing of a database changes before [`Accounting::before_change`] has been told: entries that come or leave, whoever
//!   takes them out, other values and deadlines, elements that expire, and entries that are open for change in place.
//! - `timed` counts the entries of the table that are due some time, and `sizes` all by their sizes.
//! - While a snapshot is made, every entry that is not in it yet has another mark than `mark` (see [`super::snapshot`]).
//!
//! Used by `store::db` and what changes its entries. Knows neither the table nor the wheel.

use std::fmt;

use super::access::{AccessClock, Counting};
use super::blessed::Blessed;
use super::entry::Entry;
use super::hold::Holds;
use super::notes::{Happened, Notebook};
use super::sizes::{Counted, Sizes};
use super::snapshot::Part;
use super::types::hash::template::Sharing;
use super::types::{Collection, Hash, Set, Type, ZSet};
use crate::base::prng::Prng;

/// When an entry needs to be looked at, in Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// The key's own deadline.
    pub key_ms: Option<i64>,
    /// The first deadline of the elements of its collection, or one before it.
    pub elements_ms: Option<i64>,
}

impl Due {
    /// When this entry is due. O(1).
    #[inline]
    pub fn of(entry: &Entry) -> Due {
        let elements_ms = match entry.type_of() {
            Type::Hash => next_due_ms::<Hash>(entry),
            Type::Set => next_due_ms::<Set>(entry),
            Type::ZSet => next_due_ms::<ZSet>(entry),
            Type::String | Type::List | Type::Stream | Type::Array => None,
        };
        Due { key_ms: entry.deadline_ms(), elements_ms }
    }

    /// What comes first.
    #[inline]
    pub fn next_ms(self) -> Option<i64> {
        match (self.key_ms, self.elements_ms) {
            (Some(key_ms), Some(elements_ms)) => Some(key_ms.min(elements_ms)),
            (key_ms, elements_ms) => key_ms.or(elements_ms),
        }
    }
}

#[inline]
fn next_due_ms<T: Collection>(entry: &Entry) -> Option<i64> {
    entry.collection::<T>().and_then(|collection| collection.next_due_ms())
}

/// How many entries are due some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timed {
    /// Keys with a deadline.
    pub keys: usize,
    /// Collections with elements that have a deadline.
    pub collections: usize,
}

impl Timed {
    /// An entry's deadlines changed.
    #[inline]
    pub fn change(&mut self, old: Due, new: Due) {
        self.keys = self.keys + usize::from(new.key_ms.is_some()) - usize::from(old.key_ms.is_some());
        self.collections =
            self.collections + usize::from(new.elements_ms.is_some()) - usize::from(old.elements_ms.is_some());
    }

    /// An entry left.
    #[inline]
    pub fn leave(&mut self, due: Due) {
        self.change(due, Due::default());
    }
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
    /// Elements of collections that left because their deadline had passed.
    pub expired_elements: u64,
}

/// Values that have left the database and would take long to free here, with the bytes that they take.
#[derive(Default)]
pub(super) struct Garbage(Vec<(Box<dyn Send>, usize)>);

impl fmt::Debug for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Garbage").field(&self.0.len()).finish()
    }
}

impl Garbage {
    /// Drops an entry, or keeps it for whoever takes the garbage.
    #[inline]
    pub fn discard(&mut self, entry: Entry) {
        if entry.is_costly_to_free() {
            let bytes = entry.heap_bytes();
            self.0.push((Box::new(entry), bytes));
        }
    }

    /// Keeps the value of an entry that is about to get another, if it takes long to free.
    #[inline]
    pub fn keep_value_of(&mut self, entry: &mut Entry) {
        if entry.is_costly_to_free() {
            let bytes = entry.heap_bytes();
            self.0.extend(entry.detach_payload().map(|payload| (payload, bytes)));
        }
    }

    #[inline]
    pub fn take(&mut self) -> Option<(Box<dyn Send>, usize)> {
        self.0.pop()
    }
}

/// Why an entry is about to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// A caller of the database changes it.
    Asked,
    /// A caller holds it open for change: whether it changes shows when it is closed.
    Opened,
    /// It is due, or elements of it are.
    Expired,
}

/// What is kept beside a database's entries.
#[derive(Debug, Default)]
pub(super) struct Accounting {
    pub timed: Timed,
    pub blessed: Blessed,
    pub sizes: Sizes,
    pub stats: DbStats,
    pub notebook: Notebook,
    pub garbage: Garbage,
    /// The mark of entries that the snapshot need not see to: it has them, or they came after it began.
    pub mark: bool,
    /// What the database has to do with the snapshot that is being made.
    pub snapshot: Option<Box<Part>>,
    /// What long readers have under way; `None` for nothing.
    pub holds: Option<Box<Holds>>,
    /// How accesses are counted, while they are.
    pub counting: Counting,
    /// Decides which of them raise the count; made for the first one.
    chance: Option<Box<Prng>>,
    /// Which hashes share the names of their fields; `None` for none.
    pub sharing: Option<Sharing>,
    /// Changes that callers have made.
    #[cfg(debug_assertions)]
    pub mutations: u64,
}

impl Accounting {
    /// Notes that an entry was accessed once more.
    #[cold]
    #[inline(never)]
    pub fn count_access(&mut self, entry: &mut Entry, clock: AccessClock) {
        let chance = self.chance.get_or_insert_with(|| Box::new(Prng::seeded(1)));
        entry.set_stamp(clock.counted_again(entry.stamp(), self.counting, chance));
    }

    /// Goes on with another's counters, and notes what that was to note.
    pub fn inherit(&mut self, other: &Accounting) {
        self.stats = other.stats;
        self.notebook.wanted = other.notebook.wanted;
        self.counting = other.counting;
        self.sharing = other.sharing.clone();
        #[cfg(debug_assertions)]
        {
            self.mutations = other.mutations;
        }
    }

    /// To be called before an entry changes or leaves. One that stays open may be announced more than once. Access times and
    /// the state of timers are no changes. O(1), and O(value) if a snapshot does not have the entry yet.
    #[inline]
    pub fn before_change(&mut self, cause: Cause, entry: &mut Entry) {
        #[cfg(debug_assertions)]
        {
            let is_free = cause == Cause::Expired || !self.is_held(entry.key());
            assert!(is_free, "a key that is held changes: {:?}", String::from_utf8_lossy(entry.key()));
            self.mutations += u64::from(cause == Cause::Asked);
        }
        if entry.mark() != self.mark {
            self.keep(cause, entry);
        }
    }

    /// To be called before an entry comes whose key, of this hash, was not there.
    #[inline]
    pub fn before_insert(&mut self, hash: u64, entry: &mut Entry) {
        #[cfg(debug_assertions)]
        {
            self.mutations += 1;
        }
        entry.set_mark(self.mark);
        self.blessed.come(entry);
        let size = entry.size();
        self.sizes.add(entry.count_as(size, self.sizes.counts_bytes()));
        if let Some(holds) = &mut self.holds {
            holds.note_born(hash);
        }
    }

    /// To be called when a value may have another size, which is told, or take other bytes.
    #[inline]
    pub fn recount(&mut self, old: Counted, entry: &mut Entry, size: usize) {
        self.sizes.change(old, entry.count_as(size, self.sizes.counts_bytes()));
    }

    /// To be called when an entry has left the table, whatever for.
    #[inline]
    pub fn leave(&mut self, entry: &Entry) {
        self.timed.leave(Due::of(entry));
        self.blessed.leave(entry);
        self.sizes.remove(entry.counted());
        if let Some(holds) = &mut self.holds {
            holds.note_left(entry);
        }
    }

    /// True if a key must not change now, nor leave.
    #[inline]
    pub fn is_held(&self, key: &[u8]) -> bool {
        self.holds.as_ref().is_some_and(|holds| holds.has(key))
    }

    /// True if a due key stays because it is held; it is noted that its node of the wheel is dropped.
    pub fn keep_held(&mut self, key: &[u8]) -> bool {
        match &mut self.holds {
            Some(holds) if holds.has(key) => {
                holds.note_untimed(key);
                true
            }
            _ => false,
        }
    }

    /// Has the snapshot keep an entry as it is. What expires need not be kept: whoever loads the file finds the same deadline
    /// passed, of a key or of an element.
    #[cold]
    fn keep(&mut self, cause: Cause, entry: &mut Entry) {
        if cause != Cause::Expired {
            if let Some(part) = &self.snapshot {
                part.keep(entry);
            }
            entry.set_mark(self.mark);
        }
    }

    /// Lets go of an entry that has left the table: it is dropped, or kept for whoever takes the garbage, or the snapshot takes
    /// it over that is in the midst of it.
    pub fn let_go(&mut self, entry: Entry) {
        match &self.snapshot {
            Some(part) if entry.mark() != self.mark && part.is_midway(&entry) => part.adopt(entry),
            _ => self.garbage.discard(entry),
        }
    }

    /// To be called before all keys leave at once.
    pub fn before_emptying(&mut self) {
        debug_assert!(self.holds.is_none(), "keys that are held leave");
        #[cfg(debug_assertions)]
        {
            self.mutations += 1;
        }
    }

    /// A lookup for reading found nothing.
    #[inline]
    pub fn missed(&mut self, key: &[u8], quiet: bool) {
        self.stats.misses += 1;
        if !quiet {
            self.notebook.note(Happened::Missed, key);
        }
    }

    /// Takes due elements out of a collection, some `max` at most. Returns how many. If its next deadline changes, its timer is no
    /// longer exact. A collection in whose midst a snapshot is keeps them until that is over, and so does one that is held.
    pub fn expire_elements(&mut self, entry: &mut Entry, now_ms: i64, max: usize) -> usize {
        match entry.type_of() {
            Type::Hash => self.expire_elements_of::<Hash>(entry, now_ms, max),
            Type::Set => self.expire_elements_of::<Set>(entry, now_ms, max),
            Type::ZSet => self.expire_elements_of::<ZSet>(entry, now_ms, max),
            Type::String | Type::List | Type::Stream | Type::Array => 0,
        }
    }

    fn expire_elements_of<T: Collection>(&mut self, entry: &mut Entry, now_ms: i64, max: usize) -> usize {
        if self.keeps_elements(entry) {
            return 0;
        }
        let (old, counted) = (Due::of(entry), entry.counted());
        self.before_change(Cause::Expired, entry);
        let Some(mut collection) = entry.detach::<T>() else { return 0 };
        let (named, mut names) = (self.notebook.wanted.element_names, Vec::new());
        let removed = collection.expire(now_ms, max, &mut |name| {
            if named {
                names.push(name.into());
            }
        });
        let size = collection.len();
        entry.attach(collection);
        self.recount(counted, entry, size);
        let new = Due::of(entry);
        if new != old {
            entry.set_timer_exact(false);
        }
        self.timed.change(old, new);
        self.stats.expired_elements += removed as u64;
        if removed > 0 {
            self.notebook.note_elements(entry.key(), T::TYPE, names);
        }
        removed
    }

    /// True if due elements of a collection have to stay where they are for now.
    pub fn keeps_elements(&self, entry: &Entry) -> bool {
        let is_midway = || self.snapshot.as_ref().is_some_and(|part| part.is_midway(entry));
        self.is_held(entry.key()) || (entry.mark() != self.mark && is_midway())
    }

    /// Has a collection show its elements as of a time, unless somebody who holds it sees it as of another.
    #[cold]
    pub fn look_at(&self, entry: &mut Entry, now_ms: i64) {
        fn look_at<T: Collection>(entry: &mut Entry, now_ms: i64) {
            if let Some(mut collection) = entry.detach::<T>() {
                collection.look_at(now_ms);
                entry.attach(collection);
            }
        }
        if self.is_held(entry.key()) {
            return;
        }
        match entry.type_of() {
            Type::Set => look_at::<Set>(entry, now_ms),
            Type::ZSet => look_at::<ZSet>(entry, now_ms),
            Type::String | Type::List | Type::Hash | Type::Stream | Type::Array => {}
        }
    }

    /// Accounts for an entry that has left the table because it was due, or because its last element was.
    pub fn expired(&mut self, entry: &Entry) {
        self.leave(entry);
        if is_emptied(entry) {
            self.notebook.note(Happened::Emptied, entry.key());
        } else {
            self.stats.expired += 1;
            self.notebook.note_expired(entry);
        }
    }
}

/// True for a collection whose last element has expired.
pub(super) fn is_emptied(entry: &Entry) -> bool {
    match entry.type_of() {
        Type::Hash => is_empty::<Hash>(entry),
        Type::Set => is_empty::<Set>(entry),
        Type::ZSet => is_empty::<ZSet>(entry),
        Type::String | Type::List | Type::Stream | Type::Array => false,
    }
}

fn is_empty<T: Collection>(entry: &Entry) -> bool {
    entry.collection::<T>().is_some_and(|collection| collection.is_empty())
}
