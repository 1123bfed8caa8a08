//! Collections by key: reading one, changing one in place, creating one. A key of another type is refused.
//!
//! # Invariants
//! - A collection is owned by its entry, except while a [`Mut`] has it; the entry holds the integer 0 then.
//! - Whoever empties a collection removes its key before the command ends (asks [`Collection::is_empty`], then calls
//!   [`Db::remove`]): there are no empty collections, except of streams.
//!
//! Called by command handlers. Knows nothing of what collections are made of.

use std::ops::{Deref, DerefMut};

use super::accounting::Accounting;
use super::db::{Db, Moment, Ttl, live_slot};
use super::entry::{Entry, NewValue};
use super::open::Opened;
use super::table::Occupied;
use super::types::{Collection, Object, Ref};

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

const HELD: &str = "the collection is here until this is dropped";

/// A collection of a live key, open for change.
pub struct Mut<'t, T: Collection> {
    slot: Occupied<'t, Entry>,
    /// `None` only while this is dropped.
    collection: Option<T>,
    opened: Opened<'t>,
}

impl<'t, T: Collection> Mut<'t, T> {
    #[inline]
    fn new(mut slot: Occupied<'t, Entry>, accounting: &'t mut Accounting) -> Result<Mut<'t, T>, WrongType> {
        let mut opened = Opened::new(accounting);
        if slot.type_of() != T::TYPE {
            return Err(WrongType);
        }
        opened.before_change(&mut slot);
        let collection = slot.detach().ok_or(WrongType)?;
        Ok(Mut { slot, collection: Some(collection), opened })
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
        if let Some(collection) = self.collection.take() {
            self.slot.attach(collection);
            self.opened.close(&self.slot);
        }
    }
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

    /// The collection of a live key, to be changed. O(1).
    #[inline]
    pub fn write<T: Collection>(&mut self, key: &[u8], at: Moment) -> Result<Option<Mut<'_, T>>, WrongType> {
        let hash = at.hash(self.table.hasher(), key);
        let slot = live_slot(&mut self.table, &mut self.accounting, hash, key, at);
        slot.map(|slot| Mut::new(slot, &mut self.accounting)).transpose()
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
        if self.lookup_write(key, at.without_access()).is_none() {
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
