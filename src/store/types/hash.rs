//! Hashes: fields with values, each with a deadline of its own if it has been given one.
//!
//! # Encodings
//! - `listpack`: fields and values in turn; small hashes none of whose fields ever had a deadline.
//! - `listpackex`: field, value and deadline in turn, 0 for none. Fields with a deadline come first, the earliest of them
//!   first of all; among equal ones, the last that was set. This is Redis's order, as DUMP shows it.
//! - `hashtable`: see `hash::fields`.
//! - `compact`: what would be a `listpack`, of so many fields as [`Sharing`] says, holds its values alone: its field names are a
//!   template's, which like hashes share. See `hash::compact` and `hash::template`. It becomes one, or a listpack again, when it has
//!   been changed. In dump files it is a listpack.
//!
//! A hash grows from the first two and the last to the third, by the limits of [`Limits`], and never back.
//!
//! # Due fields
//! A field whose deadline has come is not there: everything that reads is told the time and leaves due fields out. Only
//! [`Collection::expire`] takes them away, and only [`Collection::len`] counts them.
#![allow(unsafe_code)]

mod compact;
pub(super) mod deadlines;
pub(super) mod field;
pub(super) mod fields;
mod pack;
mod queue;
pub mod template;

use std::borrow::Cow;
use std::ptr::NonNull;

use self::compact::Compact;
use self::field::Field;
use self::fields::{Fields, is_due};
use self::template::{Names, Sharing};
use super::{Collection, Type, is_oversized};
use crate::base::heap::{Mover, size_class};
use crate::store::hash::KeyHasher;
use crate::store::members::Member;
use crate::store::pack::{Item, Listpack, Validated, encoded_bytes};
use crate::store::table::Entry;

/// Deadlines of fields are Unix times in milliseconds from 0 up to this one, which is the year 4199; Redis's limit.
pub const DEADLINE_END: i64 = 1 << 46;

/// Bytes that a deadline takes in a listpack at most.
const PACKED_DEADLINE_MAX: usize = 10;

/// Draws of a random field that may be wasted on due ones.
const RANDOM_TRIES_MAX: usize = 100;

/// A hash.
#[derive(Clone, Debug)]
pub enum Hash {
    /// Pairs in a listpack.
    Pairs(Listpack),
    /// Triples in a listpack.
    Triples(Listpack),
    /// A table.
    Fields(Box<Fields>),
    /// Values whose fields a template names.
    Compact(Compact),
}

/// What decides when a hash becomes a table, and how that is keyed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Fields that a listpack holds at most (`hash-max-listpack-entries`).
    pub entries: usize,
    /// Bytes of a field or value in a listpack at most (`hash-max-listpack-value`).
    pub value: usize,
    /// The hasher of a new table.
    pub hasher: KeyHasher,
}

/// A field that was found, lent by its hash.
pub enum Found<'h> {
    /// In a listpack.
    Packed {
        /// The value.
        value: Item<'h>,
        /// The deadline.
        deadline_ms: Option<i64>,
    },
    /// In a table.
    Field(Member<'h, Field>),
}

impl Found<'_> {
    /// The value.
    #[inline]
    pub fn value(&self) -> Item<'_> {
        match self {
            Found::Packed { value, .. } => *value,
            Found::Field(field) => Item::Bytes(field::value(field)),
        }
    }

    /// Unix time in milliseconds at which the field expires.
    #[inline]
    pub fn deadline_ms(&self) -> Option<i64> {
        match self {
            Found::Packed { deadline_ms, .. } => *deadline_ms,
            Found::Field(field) => field::deadline_ms(field),
        }
    }
}

// SAFETY: each representation is one owning pointer, given up and taken back whole.
unsafe impl Collection for Hash {
    const TYPE: Type = Type::Hash;
    const EXPIRES: bool = true;

    fn into_raw(self) -> (u8, NonNull<u8>) {
        match self {
            Hash::Pairs(pack) => (0, pack.into_raw()),
            Hash::Triples(pack) => (1, pack.into_raw()),
            Hash::Fields(fields) => (2, NonNull::from(Box::leak(fields)).cast()),
            Hash::Compact(compact) => (3, compact.into_raw()),
        }
    }

    #[inline]
    unsafe fn from_raw(repr: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned, and the representation says which arm that was.
        unsafe {
            match repr {
                0 => Hash::Pairs(Listpack::from_raw(ptr)),
                1 => Hash::Triples(Listpack::from_raw(ptr)),
                3 => Hash::Compact(Compact::from_raw(ptr)),
                _ => Hash::Fields(Box::from_raw(ptr.as_ptr().cast())),
            }
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Hash::Pairs(pack) => pack.len() / 2,
            Hash::Triples(pack) => pack.len() / 3,
            Hash::Fields(fields) => fields.len(),
            Hash::Compact(compact) => compact.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Hash::Pairs(_) => "listpack",
            Hash::Triples(_) => "listpackex",
            Hash::Fields(_) => "hashtable",
            // COMPAT: Redis's name of it is not known.
            Hash::Compact(_) => "compact",
        }
    }

    fn heap_bytes(&self, samples: usize) -> usize {
        match self {
            Hash::Pairs(pack) | Hash::Triples(pack) => pack.heap_bytes(),
            Hash::Fields(fields) => size_class(size_of::<Fields>()) + fields.heap_bytes(samples),
            Hash::Compact(compact) => compact.heap_bytes(),
        }
    }

    fn blocks(&self) -> usize {
        match self {
            Hash::Pairs(_) | Hash::Triples(_) | Hash::Compact(_) => 1,
            Hash::Fields(fields) => fields.blocks() + 1,
        }
    }

    #[inline]
    fn next_due_ms(&self) -> Option<i64> {
        match self {
            Hash::Pairs(_) | Hash::Compact(_) => None,
            Hash::Triples(pack) => pack::first_deadline(pack),
            Hash::Fields(fields) => fields.next_due_ms(),
        }
    }

    fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        match self {
            Hash::Pairs(_) | Hash::Compact(_) => 0,
            Hash::Triples(triples) => pack::expire(triples, now_ms, gone),
            Hash::Fields(fields) => fields.expire(now_ms, max, gone),
        }
    }

    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        match self {
            Hash::Pairs(pack) | Hash::Triples(pack) => {
                pack.defragment(mover);
                None
            }
            Hash::Fields(fields) => fields.defragment(from as u64, mover, go_on).map(u128::from),
            Hash::Compact(compact) => {
                compact.defragment(mover);
                None
            }
        }
    }

    #[inline]
    fn settle(&mut self, sharing: &Sharing) {
        match self {
            Hash::Pairs(_) if self.may_share_names(sharing) => self.share_names(sharing),
            Hash::Compact(compact) if !sharing.takes(compact.len()) => self.unshare_names(),
            _ => {}
        }
    }
}

impl Default for Hash {
    fn default() -> Hash {
        Hash::new()
    }
}

/// Whole hashes.
impl Hash {
    /// A hash without fields.
    pub fn new() -> Hash {
        Hash::Pairs(Listpack::new())
    }

    /// A hash of an encoded listpack from outside (RESTORE, a dump file): of pairs, or with `timed` of triples. `None` if it
    /// is malformed or empty, has a field twice, or a deadline out of range or order. It is a table if it has more fields
    /// than a listpack may hold, or takes far more bytes than those could. O(N).
    pub fn from_pack(pack: Validated<'_>, timed: bool, limits: &Limits) -> Option<Hash> {
        let width = if timed { 3 } else { 2 };
        if pack.is_empty() || !pack.len().is_multiple_of(width) || timed && !pack::deadlines_ascend(pack.iter()) {
            return None;
        }
        if pack.len() / width > limits.entries || is_oversized(pack.bytes(), limits.entries, width, limits.value) {
            return Some(Hash::Fields(Box::new(Fields::of_distinct(pack.iter(), timed, limits.hasher)?)));
        }
        let pack = pack.are_distinct(width).then(|| pack.to_pack())?;
        Some(if timed { Hash::Triples(pack) } else { Hash::Pairs(pack) })
    }

    /// A hash of fields whose names are distinct, as [`Hash::set`] would make it of one after another, and with a template if those
    /// are shared. O(N).
    pub fn of_distinct<'f>(
        fields: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
        limits: &Limits,
        sharing: Option<&Sharing>,
    ) -> Hash {
        let is_short = |text: &[u8]| text.len() <= limits.value;
        if fields.len() <= limits.entries && fields.clone().all(|(name, value)| is_short(name) && is_short(value)) {
            let bytes = fields.clone().map(|(name, value)| encoded_bytes(name) + encoded_bytes(value)).sum::<usize>();
            let mut pack = Listpack::new();
            if pack.fits(bytes + PACKED_DEADLINE_MAX) {
                if let Some(sharing) = sharing.filter(|sharing| sharing.takes(fields.len())) {
                    let mut names = Names::default();
                    fields.clone().for_each(|(name, _)| names.push(name));
                    if let Some(template) = sharing.template_of(names) {
                        return Hash::Compact(Compact::new(template, fields.map(|(_, value)| Item::of(value))));
                    }
                }
                for (name, value) in fields {
                    pack.push_back(name);
                    pack.push_back(value);
                }
                return Hash::Pairs(pack);
            }
        }
        let mut table = Fields::new(limits.hasher);
        fields.for_each(|(name, value)| table.insert(name, value, None));
        Hash::Fields(Box::new(table))
    }

    /// The listpack of a small hash, and whether it has deadlines in it: what DUMP shows as it is. O(1), or O(bytes) for one with a
    /// template.
    pub fn as_pack(&self) -> Option<(Cow<'_, Listpack>, bool)> {
        match self {
            Hash::Pairs(pack) => Some((Cow::Borrowed(pack), false)),
            Hash::Triples(pack) => Some((Cow::Borrowed(pack), true)),
            Hash::Compact(compact) => Some((Cow::Owned(compact.to_pack()), false)),
            Hash::Fields(_) => None,
        }
    }

    /// Whether there is such a listpack, and if so whether it has deadlines in it. O(1).
    pub fn is_packed(&self) -> Option<bool> {
        match self {
            Hash::Pairs(_) | Hash::Compact(_) => Some(false),
            Hash::Triples(_) => Some(true),
            Hash::Fields(_) => None,
        }
    }

    /// True if it holds the names of its fields itself, and may share them.
    #[inline]
    pub fn may_share_names(&self, sharing: &Sharing) -> bool {
        matches!(self, Hash::Pairs(pack) if sharing.takes(pack.len() / 2))
    }

    /// How many hashes share the names of its fields, itself included; `None` if it holds them itself.
    pub fn name_users(&self) -> Option<usize> {
        let Hash::Compact(compact) = self else { return None };
        Some(compact.template_users())
    }

    /// Gives a hash of pairs the template of its field names, unless there are too many templates. O(bytes).
    pub fn share_names(&mut self, sharing: &Sharing) {
        let Hash::Pairs(pairs) = self else { return };
        let (mut names, mut digits) = (Names::default(), itoa::Buffer::new());
        pack::pairs(pairs).for_each(|(name, _)| names.push(name.text(&mut digits)));
        if let Some(template) = sharing.template_of(names) {
            *self = Hash::Compact(Compact::new(template, pack::pairs(pairs).map(|(_, value)| value)));
        }
    }

    /// Makes a hash with a template one of pairs. O(bytes).
    pub fn unshare_names(&mut self) {
        if let Hash::Compact(compact) = self {
            *self = Hash::Pairs(compact.to_pack());
        }
    }

    /// Makes a small hash one that can hold deadlines, as the first attempt to set one does; a table, keyed by `hasher`, if
    /// a listpack has no room for them.
    pub fn make_timed(&mut self, hasher: KeyHasher) {
        self.unshare_names();
        if let Hash::Pairs(pairs) = self {
            if pairs.fits(pairs.len() / 2 * encoded_bytes(b"0")) {
                *self = Hash::Triples(pack::with_deadlines(pairs));
            } else {
                self.make_table(hasher);
            }
        }
    }

    /// Makes the hash a table. O(N).
    pub fn make_table(&mut self, hasher: KeyHasher) {
        if let Hash::Fields(_) = self {
            return;
        }
        let mut fields = Fields::new(hasher);
        let (mut names, mut values) = (itoa::Buffer::new(), itoa::Buffer::new());
        // Due fields are moved like the others: nobody has been told of their end yet.
        self.visit(i64::MIN, |name, value, deadline_ms| {
            fields.insert(name.text(&mut names), value.text(&mut values), deadline_ms);
        });
        *self = Hash::Fields(Box::new(fields));
    }

    /// Makes the hash a table if that many fields, all set by one command, would not fit a listpack even if none of them was
    /// named twice.
    pub fn expect_fields(&mut self, count: usize, limits: &Limits) {
        if count > limits.entries {
            self.make_table(limits.hasher);
        }
    }
}

/// Reading.
impl Hash {
    /// Starts loading the bucket of a field, if they are in a table; the hash for [`Hash::prefetch_entry`].
    #[inline]
    pub fn prefetch_bucket(&self, name: &[u8]) -> u64 {
        if let Hash::Fields(fields) = self { fields.prefetch_bucket(name) } else { 0 }
    }

    /// Starts loading a field by its hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Hash::Fields(fields) = self {
            fields.prefetch_entry(hash);
        }
    }

    /// A field. O(1), or a scan of a listpack.
    #[inline]
    pub fn get(&self, name: &[u8], now_ms: i64) -> Option<Found<'_>> {
        let found = match self {
            Hash::Pairs(pack) => {
                let at = pack.find(None, name, 1)?;
                let value = pack.at(pack.next(at)?);
                return Some(Found::Packed { value, deadline_ms: None });
            }
            Hash::Compact(compact) => return Some(Found::Packed { value: compact.get(name)?, deadline_ms: None }),
            Hash::Triples(pack) => {
                let at = pack.next(pack.find(None, name, 2)?)?;
                Found::Packed { value: pack.at(at), deadline_ms: pack::deadline_after(pack, at) }
            }
            Hash::Fields(fields) => Found::Field(fields.get(name)?),
        };
        if found.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms) { None } else { Some(found) }
    }

    /// Calls `visit` for every field, with its value and deadline; in the listpack's order, or in none. O(N).
    pub fn visit(&self, now_ms: i64, mut visit: impl FnMut(Item<'_>, Item<'_>, Option<i64>)) {
        match self {
            Hash::Pairs(pack) => pack::pairs(pack).for_each(|(name, value)| visit(name, value, None)),
            Hash::Compact(compact) => {
                compact.fields().for_each(|(name, value)| visit(Item::Bytes(name), value, None));
            }
            Hash::Triples(pack) => pack::triples(pack)
                .filter(|(_, _, deadline_ms)| deadline_ms.is_none_or(|deadline_ms| deadline_ms > now_ms))
                .for_each(|(name, value, deadline_ms)| visit(name, value, deadline_ms)),
            Hash::Fields(fields) => fields.for_each(|field| show(field, now_ms, &mut visit)),
        }
    }

    /// The fields and values of a small hash, in its order; `None` for a table. O(N).
    pub fn listed(&self, now_ms: i64) -> Option<Vec<(Item<'_>, Item<'_>)>> {
        match self {
            Hash::Pairs(pack) => Some(pack::pairs(pack).collect()),
            Hash::Compact(compact) => Some(compact.fields().map(|(name, value)| (Item::Bytes(name), value)).collect()),
            Hash::Triples(pack) => {
                let live = |deadline_ms: Option<i64>| deadline_ms.is_none_or(|deadline_ms| deadline_ms > now_ms);
                let fields = pack::triples(pack).filter(|&(.., deadline_ms)| live(deadline_ms));
                Some(fields.map(|(name, value, _)| (name, value)).collect())
            }
            Hash::Fields(_) => None,
        }
    }

    /// Walks part of the fields, and returns the cursor to go on from, 0 at the end: see `store::table`. A listpack is walked
    /// by one call.
    pub fn scan(&self, cursor: u64, now_ms: i64, mut visit: impl FnMut(Item<'_>, Item<'_>, Option<i64>)) -> u64 {
        match self {
            Hash::Fields(fields) => fields.scan(cursor, |field| show(field, now_ms, &mut visit)),
            _ => {
                self.visit(now_ms, visit);
                0
            }
        }
    }

    /// Calls `visit` for the fields from a cursor on, 0 at first, in the order of [`Hash::visit`], until `go_on`, which is asked
    /// after some of them, returns false. Returns the cursor to go on from, or `None` at the end. The hash must not change
    /// meanwhile. A listpack is walked by one call. O(fields visited).
    pub fn read_on(
        &self,
        cursor: u64,
        now_ms: i64,
        mut visit: impl FnMut(Item<'_>, Item<'_>, Option<i64>),
        go_on: impl FnMut() -> bool,
    ) -> Option<u64> {
        match self {
            Hash::Fields(fields) => fields.read_on(cursor, |field| show(field, now_ms, &mut visit), go_on),
            _ => {
                self.visit(now_ms, visit);
                None
            }
        }
    }

    /// Number of fields that are not due. O(1), but O(N) while any is due.
    pub fn live_len(&self, now_ms: i64) -> usize {
        if self.next_due_ms().is_none_or(|due_ms| due_ms > now_ms) {
            return self.len();
        }
        let mut live = 0;
        self.visit(now_ms, |_, _, _| live += 1);
        live
    }

    /// Shows a uniformly chosen field with its value; false if there is none. `draw(n)` returns an unbiased number below `n`.
    /// O(1) expected, or a scan of a listpack; O(N) while nearly all fields are due.
    pub fn random(
        &self,
        now_ms: i64,
        mut draw: impl FnMut(u64) -> u64,
        mut show: impl FnMut(Item<'_>, Item<'_>),
    ) -> bool {
        if let Hash::Fields(fields) = self {
            for _ in 0..RANDOM_TRIES_MAX {
                let Some(field) = fields.random(&mut draw) else { return false };
                if !is_due(&field, now_ms) {
                    show(Item::Bytes(field.key()), Item::Bytes(field::value(&field)));
                    return true;
                }
            }
        }
        let live = self.live_len(now_ms) as u64;
        if live == 0 {
            return false;
        }
        let (chosen, mut index) = (draw(live), 0);
        self.visit(now_ms, |name, value, _| {
            if index == chosen {
                show(name, value);
            }
            index += 1;
        });
        true
    }

    /// Number of fields with a deadline. O(1), or a scan of a listpack.
    pub fn timed(&self) -> usize {
        match self {
            Hash::Pairs(_) | Hash::Compact(_) => 0,
            Hash::Triples(pack) => pack::triples(pack).take_while(|(_, _, deadline_ms)| deadline_ms.is_some()).count(),
            Hash::Fields(fields) => fields.timed(),
        }
    }
}

/// Shows a field of a table unless it is due.
#[inline]
fn show(field: &Field, now_ms: i64, visit: &mut impl FnMut(Item<'_>, Item<'_>, Option<i64>)) {
    if !is_due(field, now_ms) {
        visit(Item::Bytes(field.key()), Item::Bytes(field::value(field)), field::deadline_ms(field));
    }
}

/// Copying a table field by field.
impl Hash {
    /// An empty copy of a table; `None` for a listpack. O(1).
    pub fn begin_copy(&self) -> Option<Hash> {
        let Hash::Fields(fields) = self else { return None };
        Some(Hash::Fields(Box::new(Fields::new(fields.hasher()))))
    }

    /// Copies the fields of another hash from a cursor on, 0 at first, until `go_on` returns false, which is told how many fields
    /// of how many bytes were copied. Returns the cursor to go on from, or `None` at the end.
    pub fn copy_on(&mut self, of: &Hash, cursor: u64, go_on: impl FnMut(usize, usize) -> bool) -> Option<u64> {
        let (Hash::Fields(copy), Hash::Fields(of)) = (self, of) else { return None };
        copy.copy_on(of, cursor, go_on)
    }
}

/// Writing. Whoever changes the hash of a key does so through `Db::write`, which keeps the key's timer in step.
impl Hash {
    /// Sets a field; its deadline goes unless `keep_deadline`. True if the field was there. O(1) amortised, or a scan of a
    /// listpack.
    #[inline]
    pub fn set(&mut self, name: &[u8], value: &[u8], keep_deadline: bool, now_ms: i64, limits: &Limits) -> bool {
        self.make_room(name, value, limits);
        let kept = |old: i64| keep_deadline && old > now_ms;
        if let Hash::Compact(compact) = self {
            if compact.set(name, value) {
                return true;
            }
            self.unshare_names();
            self.make_room(name, value, limits);
        }
        let was_there = match self {
            Hash::Pairs(pairs) => pack::set_pair(pairs, name, value),
            Hash::Compact(_) => unreachable!("it has just become a hash of pairs, or a table"),
            Hash::Triples(triples) => pack::set_triple(triples, name, value, now_ms, kept),
            Hash::Fields(fields) => {
                let mut was_due = false;
                let was_there = fields.set(name, value, |old| {
                    was_due = old.is_some_and(|old| old <= now_ms);
                    old.filter(|&old| kept(old))
                });
                return was_there && !was_due;
            }
        };
        if !was_there && self.len() > limits.entries {
            self.make_table(limits.hasher);
        }
        was_there
    }

    /// Makes the hash a table if a field and its value are too long for a listpack.
    #[inline]
    fn make_room(&mut self, name: &[u8], value: &[u8], limits: &Limits) {
        let too_long = name.len() > limits.value || value.len() > limits.value;
        if let Hash::Compact(_) = self
            && too_long
        {
            self.make_table(limits.hasher);
        }
        let (Hash::Pairs(pack) | Hash::Triples(pack)) = self else { return };
        if too_long || !pack.fits(encoded_bytes(name) + encoded_bytes(value) + PACKED_DEADLINE_MAX) {
            self.make_table(limits.hasher);
        }
    }

    /// Sets the deadline of a field, if the field is there: below [`DEADLINE_END`], not before 0. A listpack that has no room
    /// for it becomes a table, keyed by `hasher`. O(1) amortised, or a scan of a listpack.
    pub fn set_deadline(&mut self, name: &[u8], deadline_ms: i64, hasher: KeyHasher) {
        self.make_timed(hasher);
        if let Hash::Triples(triples) = self
            && !triples.fits(PACKED_DEADLINE_MAX)
        {
            self.make_table(hasher);
        }
        self.change_deadline(name, Some(deadline_ms));
    }

    /// Drops the deadline of a field, if there is one. O(1) amortised, or a scan of a listpack.
    pub fn drop_deadline(&mut self, name: &[u8]) {
        self.change_deadline(name, None);
    }

    fn change_deadline(&mut self, name: &[u8], deadline_ms: Option<i64>) {
        match self {
            Hash::Pairs(_) | Hash::Compact(_) => {}
            Hash::Triples(triples) => pack::set_deadline(triples, name, deadline_ms),
            Hash::Fields(fields) => fields.set_deadline(name, deadline_ms),
        }
    }

    /// Takes a field out. True if it was there; a due one is left to [`Collection::expire`]. O(1), or a scan of a listpack.
    pub fn remove(&mut self, name: &[u8], now_ms: i64) -> bool {
        if let Hash::Compact(compact) = self {
            if compact.get(name).is_none() {
                return false;
            }
            self.unshare_names();
        }
        match self {
            Hash::Compact(_) => unreachable!("it has just become a hash of pairs"),
            Hash::Pairs(pack) => {
                let Some(at) = pack.find(None, name, 1) else { return false };
                pack.remove_range(at, 2);
                true
            }
            Hash::Triples(triples) => pack::remove_triple(triples, name, now_ms),
            Hash::Fields(fields) => {
                fields.get(name).is_some_and(|field| !is_due(&field, now_ms)) && fields.remove(name)
            }
        }
    }
}

#[cfg(test)]
mod tests;
