//! Entries that are open for change in place.
//!
//! # Invariants
//! - Whoever can reach a value of the table to change it holds an `Opened`, through which the accounting is told before
//!   the first change. Debug builds compare the entry with what it was when it is closed: many a command opens one and
//!   then finds nothing to do.
//!
//! Used by `store::db`, and by what opens collections.

use std::ops::{Deref, DerefMut};

use super::accounting::{Accounting, Cause};
use super::entry::Entry;
#[cfg(debug_assertions)]
use super::fingerprint;
use super::sizes::Counted;
use super::table::Occupied;

/// Tells the accounting of what is done to one entry.
#[derive(Debug)]
pub(super) struct Opened<'d> {
    pub accounting: &'d mut Accounting,
    /// As what the value was counted before the first change, if there was one.
    counted: Option<Counted>,
    /// What the entry was before the first change, if there was one.
    #[cfg(debug_assertions)]
    before: Option<u64>,
}

impl<'d> Opened<'d> {
    #[inline]
    pub fn new(accounting: &'d mut Accounting) -> Opened<'d> {
        Opened {
            accounting,
            counted: None,
            #[cfg(debug_assertions)]
            before: None,
        }
    }

    /// To be called before each time that the entry may change. O(1).
    #[inline]
    pub fn before_change(&mut self, entry: &mut Entry) {
        #[cfg(debug_assertions)]
        if self.before.is_none() {
            self.before = Some(fingerprint::of(entry));
        }
        self.counted.get_or_insert_with(|| entry.counted());
        self.accounting.before_change(Cause::Opened, entry);
    }

    /// To be called when the entry, whose value is of a size now, will not change any more. O(1).
    #[inline]
    pub fn close(&mut self, entry: &mut Entry, size: usize) {
        if let Some(old) = self.counted.take() {
            self.accounting.recount(old, entry, size);
        }
        #[cfg(debug_assertions)]
        if self.before.take().is_some_and(|before| before != fingerprint::of(entry)) {
            self.accounting.mutations += 1;
        }
    }
}

/// The entry of a live key, which may be changed in place. Its deadline is the database's: see
/// [`Db::set_deadline_if`](super::db::Db::set_deadline_if).
pub struct EntryMut<'d> {
    slot: Occupied<'d, Entry>,
    opened: Opened<'d>,
}

impl<'d> EntryMut<'d> {
    #[inline]
    pub(super) fn new(slot: Occupied<'d, Entry>, accounting: &'d mut Accounting) -> EntryMut<'d> {
        EntryMut { slot, opened: Opened::new(accounting) }
    }

    /// Replaces the entry through a function that may reallocate it, keeping its key and deadline.
    #[inline]
    pub fn map(&mut self, change: impl FnOnce(Entry) -> Entry) {
        self.opened.before_change(&mut self.slot);
        self.slot.map(change);
        debug_assert_eq!(self.slot.mark(), self.opened.accounting.mark, "an entry keeps its mark");
    }
}

impl Deref for EntryMut<'_> {
    type Target = Entry;
    #[inline]
    fn deref(&self) -> &Entry {
        &self.slot
    }
}

impl DerefMut for EntryMut<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Entry {
        self.opened.before_change(&mut self.slot);
        &mut self.slot
    }
}

impl Drop for EntryMut<'_> {
    #[inline]
    fn drop(&mut self) {
        let size = self.slot.size();
        self.opened.close(&mut self.slot, size);
    }
}
