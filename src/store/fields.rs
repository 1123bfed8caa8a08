//! Hashes of live keys, open for change.
//!
//! # Invariants
//! - Hashes change only through [`HashMut`], which keeps the key's timer in step with their next deadline.
//! - Fields that are due leave before a command changes a hash, up to a number; the timer sees to the others.
//!
//! Called by command handlers. Knows nothing of clients and replies; `store::expiry` takes fields out in time.

use std::ops::{Deref, DerefMut};

use super::accounting::{Due, is_emptied};
use super::collections::WrongType;
use super::db::{Db, Moment, live_slot};
use super::entry::{Entry, NewValue};
use super::expiry::Timers;
use super::open::Opened;
use super::table::Occupied;
use super::types::{Collection, Hash};

/// Due fields that a command takes out of a hash before it changes it, should the timer be late.
const FIELDS_PER_COMMAND: usize = 64;

const HELD: &str = "the hash is here until this is dropped";

/// The hash of a live key, open for change. Whoever empties it removes the key before the command ends.
pub struct HashMut<'d> {
    slot: Occupied<'d, Entry>,
    /// `None` only while this is dropped.
    hash: Option<Hash>,
    before: Due,
    timers: &'d mut Timers,
    opened: Opened<'d>,
    key_hash: u64,
    at: Moment,
}

impl<'d> HashMut<'d> {
    #[inline]
    fn new(
        mut slot: Occupied<'d, Entry>,
        timers: &'d mut Timers,
        mut opened: Opened<'d>,
        key_hash: u64,
        at: Moment,
    ) -> Result<HashMut<'d>, WrongType> {
        if slot.type_of() != Hash::TYPE {
            return Err(WrongType);
        }
        opened.before_change(&mut slot);
        let before = Due::of(&slot);
        let hash = slot.detach().ok_or(WrongType)?;
        Ok(HashMut { slot, hash: Some(hash), before, timers, opened, key_hash, at })
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
            let HashMut { slot, before, timers, opened, key_hash, at, .. } = self;
            let exact = slot.timer_exact();
            timers.reschedule(opened.accounting, slot, *key_hash, *before, exact, at.unix_ms);
        }
        self.opened.close(&self.slot);
    }
}

impl Db {
    /// The hash of a live key, to be changed. Due fields, up to some of them, are taken out first. O(1), one lookup.
    #[inline]
    pub fn write_hash(&mut self, key: &[u8], at: Moment) -> Result<Option<HashMut<'_>>, WrongType> {
        // For the nodes that the last change may have added.
        self.relieve();
        let key_hash = at.hash(self.table.hasher(), key);
        let Db { table, timers, accounting, .. } = self;
        let Some(mut slot) = live_slot(table, accounting, key_hash, key, at) else { return Ok(None) };
        if Due::of(&slot).fields_ms.is_some_and(|due_ms| due_ms <= at.due_ms()) && !at.keep_due {
            accounting.expire_fields(&mut slot, at.due_ms(), FIELDS_PER_COMMAND);
            if is_emptied(&slot) {
                let entry = slot.remove();
                accounting.expired(&entry);
                accounting.let_go(entry);
                return Ok(None);
            }
        }
        HashMut::new(slot, timers, Opened::new(accounting), key_hash, at).map(Some)
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
        let Db { table, timers, accounting, .. } = self;
        let slot = table.occupied(key_hash, key).expect("it was there or has just been inserted");
        HashMut::new(slot, timers, Opened::new(accounting), key_hash, at)
    }
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
