//! A big hash: a table of fields, and a queue of their deadlines.
//!
//! # Invariants
//! - `timed` counts the fields with a deadline; the queue is empty when there is none.
//! - The queue's own: every field with a deadline has an entry in it at that deadline or before.
//! - Of a renewal under way, the new queue has such an entry for every field whose address its cursor has passed.
//!
//! Used by `hash`. Asks no clock.

use super::field::{self, Field};
use super::pack;
use super::queue::{self, PLACE_BITS, Queue};
use crate::base::heap::Mover;
use crate::store::hash::KeyHasher;
use crate::store::members::{Member, Members, SMALL_MAX, Slot};
use crate::store::pack::listpack::Items;
use crate::store::table::Entry;

/// Entries of the queue that nobody needs are let be up to this number and a quarter of the fields.
const GARBAGE_ENTRIES_MAX: usize = 64;

/// Buckets of the table that a change of a deadline brings a renewal forward by: one or two microseconds of work, and far more
/// fields than the one that changed.
const RENEWAL_STEP: usize = 4;

/// Places that are looked at together.
const BATCH: usize = 16;

/// Bits of a scan's cursor: the address of `store::table`.
const CURSOR_BITS: u32 = 48;

/// The fields of a hash.
#[derive(Debug)]
pub struct Fields {
    members: Members<Field>,
    queue: Queue,
    renewal: Option<Box<Renewal>>,
    timed: usize,
}

/// A queue on its way to take the place of one that is garbage for the most part.
#[derive(Clone, Debug, Default)]
struct Renewal {
    queue: Queue,
    /// The scan of the fields that fills it.
    cursor: u64,
}

impl Fields {
    /// No fields.
    pub fn new(hasher: KeyHasher) -> Fields {
        Fields { members: Members::new(hasher), queue: Queue::default(), renewal: None, timed: 0 }
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
        self.timed
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
        if field::deadline_ms(&field).is_some() {
            self.timed -= 1;
            self.tidy();
        }
        true
    }

    /// Keeps count and queue in step with a field whose deadline was `old` and is now `new`.
    #[inline]
    fn note(&mut self, name: &[u8], old: Option<i64>, new: Option<i64>) {
        if old == new {
            return;
        }
        self.timed = self.timed + usize::from(new.is_some()) - usize::from(old.is_some());
        // A field that lives longer is looked at when it would have expired, and queued again then.
        if let Some(deadline_ms) = new.filter(|&new| old.is_none_or(|old| new < old)) {
            self.enqueue(deadline_ms, queue::place(self.members.hasher().hash(name)));
        }
        self.tidy();
    }

    fn enqueue(&mut self, deadline_ms: i64, place: u32) {
        self.queue.push(deadline_ms, place);
        if let Some(renewal) = &mut self.renewal {
            renewal.queue.push(deadline_ms, place);
        }
    }

    /// Frees the queue when nothing expires any more, and renews it, step by step, when most of it is garbage. O(1).
    fn tidy(&mut self) {
        if self.timed == 0 {
            self.forget_deadlines();
        } else if self.renewal.is_some() {
            self.renew();
        } else if self.queue.len() > 2 * self.timed + self.len() / 4 + GARBAGE_ENTRIES_MAX {
            self.renewal = Some(Box::default());
            self.renew();
        }
    }

    fn forget_deadlines(&mut self) {
        self.queue.clear();
        self.renewal = None;
    }

    /// Brings a renewal forward by a step.
    fn renew(&mut self) {
        let Some(renewal) = &mut self.renewal else { return };
        let hasher = self.members.hasher();
        for _ in 0..RENEWAL_STEP {
            let Renewal { queue, cursor } = &mut **renewal;
            *cursor = self.members.scan(*cursor, |field| {
                if let Some(deadline_ms) = field::deadline_ms(field) {
                    queue.push(deadline_ms, queue::place(hasher.hash(field.key())));
                }
            });
            if *cursor == 0 {
                self.queue = std::mem::take(queue);
                self.renewal = None;
                return;
            }
        }
    }

    /// The earliest deadline, or one before it that was someone's. `None` if no field has one. O(1).
    #[inline]
    pub fn next_due_ms(&self) -> Option<i64> {
        self.queue.next_ms()
    }

    /// Takes out fields whose deadline has come, earliest first, some `max` of them at most: a few more if they lie together.
    /// Names each to `gone`, and returns how many; [`Fields::next_due_ms`] says whether more are due. O(max), and O(log n)
    /// for each entry of the queue that is of no use any more, `max` of which end the work as well.
    pub fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        if self.len() <= SMALL_MAX {
            let is_due = self.next_due_ms().is_some_and(|due_ms| due_ms <= now_ms);
            return if is_due { self.expire_all(now_ms, gone) } else { 0 };
        }
        let (mut removed, mut looks) = (0, 0);
        let mut batch = [0; BATCH];
        while removed < max && looks < max {
            let mut count = 0;
            while count < BATCH.min(max - looks)
                && let Some(place) = self.queue.pop_due(now_ms)
            {
                batch[count] = place;
                count += 1;
            }
            let places = &batch[..count];
            if places.is_empty() {
                break;
            }
            // Each is some cache misses: started together, those of a batch cost little more than one's.
            places.iter().for_each(|place| self.members.prefetch_bucket_at(queue::hash_of(*place)));
            places.iter().for_each(|place| self.members.prefetch_members_at(queue::hash_of(*place)));
            for &place in places {
                removed += self.expire_place(place, now_ms, gone);
            }
            looks += count;
        }
        if self.timed == 0 {
            self.forget_deadlines();
        }
        removed
    }

    /// Takes out every due field, and queues the others anew. O(N).
    fn expire_all(&mut self, now_ms: i64, gone: &mut dyn FnMut(&[u8])) -> usize {
        self.forget_deadlines();
        let (mut due, hasher) = (Vec::new(), self.members.hasher());
        self.members.for_each(|field| match field::deadline_ms(field) {
            Some(deadline_ms) if deadline_ms <= now_ms => due.push(field.key().to_vec()),
            Some(deadline_ms) => self.queue.push(deadline_ms, queue::place(hasher.hash(field.key()))),
            None => {}
        });
        self.remove_due(&due, gone);
        due.len()
    }

    fn remove_due(&mut self, due: &[Vec<u8>], gone: &mut dyn FnMut(&[u8])) {
        for name in due {
            self.members.remove(name);
            gone(name);
        }
        self.timed -= due.len();
    }

    /// Takes out the due fields of a place, and queues it again for the others. O(fields of the place and their neighbours).
    fn expire_place(&mut self, place: u32, now_ms: i64, gone: &mut dyn FnMut(&[u8])) -> usize {
        const SHIFT: u32 = CURSOR_BITS - PLACE_BITS;
        let (mut cursor, end) = (u64::from(place) << SHIFT, u64::from(place + 1) << SHIFT);
        let (mut due, mut next_ms, hasher) = (Vec::new(), i64::MAX, self.members.hasher());
        loop {
            cursor = self.members.scan(cursor, |field| match field::deadline_ms(field) {
                Some(deadline_ms) if deadline_ms <= now_ms => due.push(field.key().to_vec()),
                Some(deadline_ms) if deadline_ms < next_ms && queue::place(hasher.hash(field.key())) == place => {
                    next_ms = deadline_ms;
                }
                _ => {}
            });
            if cursor == 0 || cursor >= end {
                break;
            }
        }
        self.remove_due(&due, gone);
        if next_ms < i64::MAX {
            self.enqueue(next_ms, place);
        }
        due.len()
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
        let queues = self.queue.bytes() + self.renewal.as_ref().map_or(0, |renewal| renewal.queue.bytes());
        self.members.bytes() + queues + (each * self.len() as f64) as usize
    }

    /// Moves the blocks of the fields from a cursor on where they should be: see [`Members::defragment`].
    pub fn defragment(&mut self, cursor: u64, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
        self.members.defragment(cursor, |field| field.blob_mut().defragment(mover), go_on)
    }

    /// Heap blocks that dropping this frees.
    pub fn blocks(&self) -> usize {
        self.members.blocks()
            + self.queue.blocks()
            + self.renewal.as_ref().map_or(0, |renewal| renewal.queue.blocks())
            + 1
    }

    /// Checks the invariants. O(N).
    #[cfg(test)]
    pub fn check(&self) {
        let mut timed = 0;
        self.for_each(|field| timed += usize::from(field::deadline_ms(field).is_some()));
        assert_eq!(timed, self.timed);
        assert!(self.timed > 0 || (self.queue.len() == 0 && self.renewal.is_none()));
        self.check_queue(&self.queue, 1 << CURSOR_BITS);
        if let Some(renewal) = &self.renewal {
            self.check_queue(&renewal.queue, renewal.cursor);
        }
    }

    /// True while the queue is being renewed.
    #[cfg(test)]
    pub fn is_renewing(&self) -> bool {
        self.renewal.is_some()
    }

    /// Checks that a queue has what it needs for the fields of all addresses below one.
    #[cfg(test)]
    fn check_queue(&self, queue: &Queue, end: u64) {
        let mut queue = queue.clone();
        let mut entries = std::collections::HashMap::new();
        while let Some(due_ms) = queue.next_ms() {
            let place = queue.pop_due(i64::MAX).expect("there is one");
            entries.entry(place).or_insert(due_ms);
        }
        self.for_each(|field| {
            let Some(deadline_ms) = field::deadline_ms(field) else { return };
            let hash = self.members.hasher().hash(field.key());
            if hash >> (u64::BITS - CURSOR_BITS) >= end {
                return;
            }
            assert!(
                entries.get(&queue::place(hash)).is_some_and(|&queued_ms| queued_ms <= deadline_ms),
                "queued in time"
            );
        });
    }
}

/// True for a field whose deadline has come.
#[inline]
pub fn is_due(field: &Field, now_ms: i64) -> bool {
    field::deadline_ms(field).is_some_and(|deadline_ms| deadline_ms <= now_ms)
}

impl Clone for Fields {
    /// A deep copy. O(N).
    fn clone(&self) -> Fields {
        let mut members = Members::new(self.members.hasher());
        self.members.for_each(|field| members.insert(field.clone()));
        Fields { members, queue: self.queue.clone(), renewal: self.renewal.clone(), timed: self.timed }
    }
}
