//! A set some of whose members have a deadline: the table of a big hash, whose fields are the members and have no values, with its
//! queue of deadlines. A member takes a byte more than in a set without deadlines, and 14 more if it has one.
//!
//! # Invariants
//! - What reads or changes members leaves out those that are due at `seen_ms`; only `expire`, copies and files see them.
//!
//! Used by `Set`. Asks no clock.

use std::cell::Cell;

use crate::base::heap::Mover;
use crate::store::hash::KeyHasher;
use crate::store::table::Entry as _;
use crate::store::types::hash::field::{self, Field};
use crate::store::types::hash::fields::{Fields, is_due};

/// Draws of a random member that may be wasted on due ones.
const RANDOM_TRIES_MAX: usize = 100;

/// The members.
#[derive(Clone, Debug)]
pub struct Timed {
    fields: Fields,
    /// The Unix millisecond for which the set was looked at last.
    seen_ms: i64,
}

impl Timed {
    /// No members.
    pub fn new(hasher: KeyHasher) -> Timed {
        Timed { fields: Fields::new(hasher), seen_ms: i64::MIN }
    }

    /// The members, due ones included.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// From now on members are due whose deadlines have come by this time.
    #[inline]
    pub fn look_at(&mut self, now_ms: i64) {
        self.seen_ms = now_ms;
    }

    fn is_there(&self, field: &Field) -> bool {
        !is_due(field, self.seen_ms)
    }

    /// Number of members that are there. O(1), but O(N) while any is due.
    pub fn len(&self) -> usize {
        if self.fields.next_due_ms().is_none_or(|due_ms| due_ms > self.seen_ms) {
            return self.fields.len();
        }
        let mut len = 0;
        self.for_each(|_| len += 1);
        len
    }

    /// Adds a member without a deadline; false if it is there, which keeps its own then. O(1).
    pub fn insert(&mut self, text: &[u8]) -> bool {
        match self.fields.get(text) {
            Some(field) if self.is_there(&field) => return false,
            Some(_) => {}
            None => {
                self.fields.insert(text, b"", None);
                return true;
            }
        }
        self.fields.set_deadline(text, None);
        true
    }

    /// Adds a member with its deadline, due or not; false if it was there.
    pub fn load(&mut self, text: &[u8], deadline_ms: Option<i64>) -> bool {
        let is_new = self.fields.get(text).is_none();
        if is_new {
            self.fields.insert(text, b"", deadline_ms);
        }
        is_new
    }

    /// Takes a member out; false if it is not there. O(1).
    pub fn remove(&mut self, text: &[u8]) -> bool {
        self.contains(text) && self.fields.remove(text)
    }

    /// True if the text is a member that is there. O(1).
    pub fn contains(&self, text: &[u8]) -> bool {
        self.fields.get(text).is_some_and(|field| self.is_there(&field))
    }

    /// The deadline of a member that is there. O(1).
    pub fn deadline_ms(&self, text: &[u8]) -> Option<Option<i64>> {
        let field = self.fields.get(text).filter(|field| self.is_there(field))?;
        Some(field::deadline_ms(&field))
    }

    /// Gives a member another deadline. O(1) amortised.
    pub fn set_deadline(&mut self, text: &[u8], deadline_ms: Option<i64>) {
        self.fields.set_deadline(text, deadline_ms);
    }

    /// Takes due members out: see [`Fields::expire`].
    pub fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        self.fields.expire(now_ms, max, gone)
    }

    /// Calls `visit` for every member that is there, in no order. O(N).
    pub fn for_each(&self, mut visit: impl FnMut(&[u8])) {
        self.fields.for_each(|field| self.show(field, &mut visit));
    }

    fn show(&self, field: &Field, visit: &mut impl FnMut(&[u8])) {
        if self.is_there(field) {
            visit(field.key());
        }
    }

    /// Walks part of the members: see [`Fields::scan`].
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(&[u8])) -> u64 {
        self.fields.scan(cursor, |field| self.show(field, &mut visit))
    }

    /// The members from a place on, until `go_on` returns false: see [`Fields::read_on`].
    pub fn read_on(&self, place: u64, mut visit: impl FnMut(&[u8]), go_on: impl FnMut() -> bool) -> Option<u64> {
        self.fields.read_on(place, |field| self.show(field, &mut visit), go_on)
    }

    /// Walks part of all members, due ones included, with their deadlines.
    pub fn scan_all(&self, cursor: u64, mut visit: impl FnMut(&[u8], Option<i64>)) -> u64 {
        self.fields.scan(cursor, |field| visit(field.key(), field::deadline_ms(field)))
    }

    /// Calls `visit` for all members, due ones included, with their deadlines. O(N).
    pub fn for_all(&self, mut visit: impl FnMut(&[u8], Option<i64>)) {
        self.fields.for_each(|field| visit(field.key(), field::deadline_ms(field)));
    }

    /// Shows a uniformly chosen member to `visit`; `None` if none is there. O(1) expected, O(N) while nearly all are due.
    pub fn random<R>(&self, mut draw: impl FnMut(u64) -> u64, visit: impl FnOnce(&[u8]) -> R) -> Option<R> {
        for _ in 0..RANDOM_TRIES_MAX {
            let field = self.fields.random(&mut draw)?;
            if self.is_there(&field) {
                return Some(visit(field.key()));
            }
        }
        let there = self.len() as u64;
        if there == 0 {
            return None;
        }
        let (left, mut chosen) = (Cell::new(draw(there)), Vec::new());
        self.for_each(|member| {
            if left.get() == 0 {
                chosen = member.to_vec();
            }
            left.set(left.get().wrapping_sub(1));
        });
        Some(visit(&chosen))
    }

    /// Copies the members of another set, due ones included, from a place on: see [`Fields::copy_on`].
    pub fn copy_on(&mut self, of: &Timed, place: u64, go_on: impl FnMut(usize, usize) -> bool) -> Option<u64> {
        self.fields.copy_on(&of.fields, place, go_on)
    }

    /// Moves the blocks of the members: see [`Fields::defragment`].
    pub fn defragment(&mut self, cursor: u64, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
        self.fields.defragment(cursor, mover, go_on)
    }
}
