//! A big hash: a table of fields, and their [`Deadlines`].
//!
//! Used by `hash`. Asks no clock.

use super::deadlines::{self, Deadlines, HasDeadline};
use super::field::{self, Field};
use super::pack;
use crate::base::heap::Mover;
use crate::store::hash::KeyHasher;
use crate::store::members::{Member, Members, Slot};
use crate::store::pack::listpack::Items;
use crate::store::table::Entry;

/// The fields of a hash.
#[derive(Debug)]
pub struct Fields {
    members: Members<Field>,
    deadlines: Deadlines,
}

impl HasDeadline for Field {
    #[inline]
    fn deadline_ms(&self) -> Option<i64> {
        field::deadline_ms(self)
    }
}

impl Fields {
    /// No fields.
    pub fn new(hasher: KeyHasher) -> Fields {
        Fields { members: Members::new(hasher), deadlines: Deadlines::default() }
    }

    /// Fields of encoded pairs, or with `timed` of triples; `None` if a field is there twice. O(N).
    pub fn of_distinct(mut items: Items<'_>, timed: bool, hasher: KeyHasher) -> Option<Fields> {
        let mut fields = Fields::new(hasher);
        let (mut names, mut values) = (itoa::Buffer::new(), itoa::Buffer::new());
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            let deadline_ms = if timed { pack::deadline(items.next()?) } else { None };
            if fields.set(name.text(&mut names), value.text(&mut values), |_| deadline_ms) {
                return None;
            }
        }
        Some(fields)
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Number of fields with a deadline.
    pub fn timed(&self) -> usize {
        self.deadlines.timed()
    }

    /// Starts loading the bucket of a field; the hash for [`Fields::prefetch_entry`].
    #[inline]
    pub fn prefetch_bucket(&self, name: &[u8]) -> u64 {
        self.members.prefetch_bucket(name)
    }

    /// Starts loading a field by its hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.members.prefetch_entry(hash);
    }

    /// A field. O(1).
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Member<'_, Field>> {
        self.members.get(name)
    }

    /// Adds a field that is not there. O(1) amortised.
    pub fn insert(&mut self, name: &[u8], value: &[u8], deadline_ms: Option<i64>) {
        self.members.insert(field::make(name, value, deadline_ms));
        self.note(name, None, deadline_ms);
    }

    /// Sets the value and the deadline of a field, which `deadline` makes of the present one; adds the field if it is not
    /// there. True if it was. O(1) amortised.
    #[inline]
    pub fn set(&mut self, name: &[u8], value: &[u8], deadline: impl FnOnce(Option<i64>) -> Option<i64>) -> bool {
        let Some(mut slot) = self.members.slot(name) else {
            self.insert(name, value, deadline(None));
            return false;
        };
        let old = field::deadline_ms(&slot);
        let new = deadline(old);
        if !field::overwrite(slot.get_mut(), value, new) {
            slot.replace(field::make(name, value, new));
        }
        self.note(name, old, new);
        true
    }

    /// Sets the deadline of a field that is there. O(1) amortised.
    pub fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<i64>) {
        let Some(mut slot) = self.members.slot(name) else { return };
        let old = field::deadline_ms(&slot);
        let in_place = deadline_ms.is_some_and(|ms| field::overwrite_deadline(slot.get_mut(), ms));
        if !in_place && old != deadline_ms {
            let changed = field::with_deadline(&slot, deadline_ms);
            slot.replace(changed);
        }
        self.note(name, old, deadline_ms);
    }

    /// Takes a field out. True if it was there. O(1).
    pub fn remove(&mut self, name: &[u8]) -> bool {
        let Some(field) = self.members.slot(name).map(Slot::remove) else { return false };
        self.deadlines.note_removed(&self.members, usize::from(field::deadline_ms(&field).is_some()));
        true
    }

    #[inline]
    fn note(&mut self, name: &[u8], old: Option<i64>, new: Option<i64>) {
        self.deadlines.note(&self.members, name, old, new);
    }

    /// The earliest deadline, or one before it that was someone's. `None` if no field has one. O(1).
    #[inline]
    pub fn next_due_ms(&self) -> Option<i64> {
        self.deadlines.next_ms()
    }

    /// Takes out fields whose deadline has come, earliest first, some `max` of them at most: a few more if they lie together.
    /// Names each to `gone`, and returns how many; [`Fields::next_due_ms`] says whether more are due. O(max), and O(log n)
    /// for each entry of the queue that is of no use any more, `max` of which end the work as well.
    pub fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        self.deadlines.expire(&mut self.members, now_ms, max, &mut |field| gone(field.key()))
    }

    /// Calls `visit` for every field, due ones included, in no order. O(N).
    pub fn for_each(&self, visit: impl FnMut(&Field)) {
        self.members.for_each(visit);
    }

    /// Walks part of the fields: see `store::table` for the cursor and what it guarantees.
    pub fn scan(&self, cursor: u64, visit: impl FnMut(&Field)) -> u64 {
        self.members.scan(cursor, visit)
    }

    /// The fields from a cursor on, until `go_on` returns false: see [`Members::read_on`].
    pub fn read_on(&self, cursor: u64, visit: impl FnMut(&Field), go_on: impl FnMut() -> bool) -> Option<u64> {
        self.members.read_on(cursor, visit, go_on)
    }

    /// The hasher that places the fields.
    pub fn hasher(&self) -> KeyHasher {
        self.members.hasher()
    }

    /// Copies the fields of another hash from a cursor on: see [`Hash::copy_on`](super::Hash::copy_on).
    pub fn copy_on(&mut self, of: &Fields, cursor: u64, mut go_on: impl FnMut(usize, usize) -> bool) -> Option<u64> {
        let copied = std::cell::Cell::new((0, 0));
        let show = |field: &Field| {
            let (fields, bytes) = copied.get();
            copied.set((fields + 1, bytes + field.blob().len()));
            self.members.insert(field.clone());
            self.note(field.key(), None, field::deadline_ms(field));
        };
        of.read_on(cursor, show, || {
            let (fields, bytes) = copied.take();
            go_on(fields.max(1), bytes)
        })
    }

    /// A uniformly chosen field. O(1) expected.
    pub fn random(&self, draw: impl FnMut(u64) -> u64) -> Option<Member<'_, Field>> {
        self.members.random(draw)
    }

    /// Bytes on the heap, the fields' estimated from so many of them. O(samples).
    pub fn heap_bytes(&self, samples: usize) -> usize {
        let (mut sampled, mut bytes, mut cursor) = (0, 0, 0);
        loop {
            cursor = self.members.scan(cursor, |field| {
                sampled += 1;
                bytes += field.blob().heap_bytes();
            });
            if cursor == 0 || sampled >= samples {
                break;
            }
        }
        let each = bytes as f64 / sampled.max(1) as f64;
        self.members.bytes() + self.deadlines.bytes() + (each * self.len() as f64) as usize
    }

    /// Moves the blocks of the fields from a cursor on where they should be: see [`Members::defragment`].
    pub fn defragment(&mut self, cursor: u64, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
        self.members.defragment(cursor, |field| field.blob_mut().defragment(mover), go_on)
    }

    /// Heap blocks that dropping this frees.
    pub fn blocks(&self) -> usize {
        self.members.blocks() + self.deadlines.blocks() + 1
    }

    /// Checks the invariants. O(N).
    #[cfg(test)]
    pub fn check(&self) {
        self.deadlines.check(&self.members);
    }

    /// True while the queue is being renewed.
    #[cfg(test)]
    pub fn is_renewing(&self) -> bool {
        self.deadlines.is_renewing()
    }
}

/// True for a field whose deadline has come.
#[inline]
pub fn is_due(field: &Field, now_ms: i64) -> bool {
    deadlines::is_due(field, now_ms)
}

impl Clone for Fields {
    /// A deep copy. O(N).
    fn clone(&self) -> Fields {
        let mut members = Members::new(self.members.hasher());
        self.members.for_each(|field| members.insert(field.clone()));
        Fields { members, deadlines: self.deadlines.clone() }
    }
}
