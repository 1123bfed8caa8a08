//! Collections by key: reading one, changing one in place, creating one. A key of another type is refused.
//!
//! # Invariants
//! - A collection is owned by its entry, except while a [`Mut`] has it; the entry holds the integer 0 then.
//! - Whoever empties a collection removes its key before the command ends (asks [`Collection::is_empty`], then calls
//!   [`Db::remove`]): there are no empty collections, except of streams.
//! - Collections change only through [`Mut`], which keeps the key's timer in step with their elements' next deadline.
//! - Elements that are due leave before a collection is changed, or read by a command that changes another: the same commands
//!   come to the same elsewhere then, where nothing is due. The timer is seldom late, and who would use what it has still to see to
//!   waits, as a rule. What has to stay (a long command reads it, a replica's primary has not said that it went) is not shown.
//!
//! Called by command handlers. Knows nothing of what collections are made of; `store::expiry` takes elements out in time.

use std::ops::{Deref, DerefMut};

use super::accounting::{Accounting, Due, is_emptied};
use super::db::{Db, Moment, Ttl, live_slot};
use super::entry::{Entry, NewValue};
use super::expiry::Timers;
use super::open::Opened;
use super::table::{Occupied, Table};
use super::types::{Collection, Object, Ref};

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

const HELD: &str = "the collection is here until this is dropped";

/// A collection of a live key, open for change. Whoever empties it removes the key before the command ends.
pub struct Mut<'d, T: Collection> {
    slot: Occupied<'d, Entry>,
    /// `None` only while this is dropped.
    collection: Option<T>,
    before: Due,
    timers: &'d mut Timers,
    opened: Opened<'d>,
    key_hash: u64,
    at: Moment,
}

impl<'d, T: Collection> Mut<'d, T> {
    #[inline]
    fn new(
        mut slot: Occupied<'d, Entry>,
        timers: &'d mut Timers,
        mut opened: Opened<'d>,
        key_hash: u64,
        at: Moment,
    ) -> Result<Mut<'d, T>, WrongType> {
        if slot.type_of() != T::TYPE {
            return Err(WrongType);
        }
        opened.before_change(&mut slot);
        let before = if T::EXPIRES { Due::of(&slot) } else { Due::default() };
        let mut collection: T = slot.detach().ok_or(WrongType)?;
        collection.look_at(at.due_ms());
        Ok(Mut { slot, collection: Some(collection), before, timers, opened, key_hash, at })
    }
}

impl<T: Collection> Deref for Mut<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        self.collection.as_ref().expect(HELD)
    }
}

impl<T: Collection> DerefMut for Mut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        self.collection.as_mut().expect(HELD)
    }
}

impl<T: Collection> Drop for Mut<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let Some(mut collection) = self.collection.take() else { return };
        if let Some(sharing) = &self.opened.accounting.sharing {
            collection.settle(sharing);
        }
        let (elements_ms, size) = (collection.next_due_ms(), collection.len());
        self.slot.attach(collection);
        if T::EXPIRES && elements_ms != self.before.elements_ms {
            let Mut { slot, before, timers, opened, key_hash, at, .. } = self;
            let exact = slot.timer_exact();
            timers.reschedule(opened.accounting, slot, *key_hash, *before, exact, at.unix_ms);
        }
        self.opened.close(&mut self.slot, size);
    }
}

/// A live key that is to be changed, after due elements were taken out; `None` if it went with the last of them.
#[inline]
fn freshened<'d, T: Collection>(
    table: &'d mut Table<Entry>,
    accounting: &mut Accounting,
    hash: u64,
    key: &[u8],
    at: Moment,
) -> Option<Occupied<'d, Entry>> {
    let slot = live_slot(table, accounting, hash, key, at)?;
    if T::EXPIRES && slot.type_of() == T::TYPE { without_due(accounting, slot, at) } else { Some(slot) }
}

/// A live key after due elements were taken out; `None` if it went with the last of them. O(due elements).
#[inline]
pub(super) fn without_due<'d>(
    accounting: &mut Accounting,
    mut slot: Occupied<'d, Entry>,
    at: Moment,
) -> Option<Occupied<'d, Entry>> {
    let is_due = Due::of(&slot).elements_ms.is_some_and(|due_ms| due_ms <= at.due_ms());
    if !is_due || at.keep_due {
        return Some(slot);
    }
    accounting.expire_elements(&mut slot, at.due_ms(), usize::MAX);
    if !is_emptied(&slot) {
        return Some(slot);
    }
    let entry = slot.remove();
    accounting.expired(&entry);
    accounting.let_go(entry);
    None
}

impl Db {
    /// The collection of a live key, counted as a hit or a miss. O(1).
    #[inline]
    pub fn read<T: Collection>(&mut self, key: &[u8], at: Moment) -> Result<Option<Ref<'_, T>>, WrongType> {
        let Some(entry) = self.lookup_read(key, at) else { return Ok(None) };
        entry.into_collection().map(Some).ok_or(WrongType)
    }

    /// The collection of a live key once more, neither counted nor touched: for commands that need several at a time and
    /// have [read](Db::read) each of them before. O(1).
    pub fn reread<T: Collection>(&self, key: &[u8], at: Moment) -> Result<Option<Ref<'_, T>>, WrongType> {
        let entry = self.peek(key).filter(|entry| !at.is_due(entry));
        entry.map(|entry| entry.into_collection().ok_or(WrongType)).transpose()
    }

    /// The collection of a live key, to be changed. Due elements are taken out first. O(1), one lookup.
    #[inline]
    pub fn write<T: Collection>(&mut self, key: &[u8], at: Moment) -> Result<Option<Mut<'_, T>>, WrongType> {
        if T::EXPIRES {
            // For the nodes that the last change may have added.
            self.relieve();
        }
        let key_hash = at.hash(self.table.hasher(), key);
        let Db { table, timers, accounting, .. } = self;
        let Some(slot) = freshened::<T>(table, accounting, key_hash, key, at) else { return Ok(None) };
        Mut::new(slot, timers, Opened::new(accounting), key_hash, at).map(Some)
    }

    /// The collection of a live key, to be changed, or a new one: to which something has to be added before the command
    /// ends. O(1).
    #[inline]
    pub fn write_or_create<T: Collection>(
        &mut self,
        key: &[u8],
        at: Moment,
        create: impl FnOnce() -> T,
    ) -> Result<Mut<'_, T>, WrongType> {
        let hash = at.hash(self.table.hasher(), key);
        let Db { table, accounting, .. } = self;
        let is_there = freshened::<T>(table, accounting, hash, key, at.without_access()).is_some();
        if !is_there {
            let mut entry = Entry::new(key, NewValue::Int(0), None);
            entry.attach(create());
            self.insert(entry, at);
        }
        let mutable = self.write(key, at)?;
        Ok(mutable.expect("it was there or has just been inserted, without a deadline"))
    }

    /// Stores a collection under a key, over whatever was there, without a deadline. O(1).
    pub fn set_object(&mut self, key: &[u8], object: Object, at: Moment) {
        self.set(key, NewValue::Object(object), Ttl::Clear, at);
    }
}

#[cfg(test)]
#[path = "elements_tests.rs"]
mod tests;
