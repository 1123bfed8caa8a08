//! Sets: distinct strings without an order.
//!
//! # Representations
//! - `Ints`: sorted integers in an [`Intset`], while all members are integers and few.
//! - `Pack`: a [`Listpack`] in order of arrival, while members are few and short.
//! - `Table`: [`Members`], each a blob of its own: a 12-byte member takes 16 bytes and some 10 of table.
//! - `Timed`: members some of which have a deadline, see `set::timed`. Whichever gets a deadline first makes a set of this kind.
//!
//! Adding moves a set along the first three, as its [`Policy`] says, at the very points where Redis does; removing never moves
//! it back. Intset and listpack are Redis's bytes.
//!
//! # Due members
//! A member whose deadline has come is not there: nothing that reads or changes a set shows it, as of the time for which the set
//! was [looked at](Collection::look_at) last. Only [`Collection::expire`] takes it away.
//!
//! Called by the families of set commands, and whoever reads sets as input. Knows nothing of keys, time or replies.
#![allow(unsafe_code)]

mod timed;

use std::fmt;
use std::ptr::NonNull;

use super::{Collection, Type, is_oversized};
use crate::base::heap::{Mover, size_class};
use crate::base::num;
use crate::store::blob::{Blob, Keyed, Whole};
use crate::store::hash::KeyHasher;
use crate::store::members::{Members, Slot};
use crate::store::pack::{Intset, Item, Listpack, Validated, encoded_bytes};

use timed::Timed;

type Table = Members<Keyed<Whole>>;

/// The representation of sets whose members may have deadlines.
pub(super) const REPR_TIMED: u8 = 3;

/// The longest text of an integer: `-9223372036854775808`.
const INT_DIGITS_MAX: usize = 20;
/// Integers an intset holds at most whatever the policy says, as in Redis.
const INTSET_MAX: usize = 1 << 30;

/// When a set changes its representation, and how its members are hashed then.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// `set-max-intset-entries`
    pub intset_entries: usize,
    /// `set-max-listpack-entries`
    pub listpack_entries: usize,
    /// `set-max-listpack-value`, bytes.
    pub listpack_value: usize,
    /// The hasher of a table.
    pub hasher: KeyHasher,
}

/// A set.
pub enum Set {
    /// Integers, ascending.
    Ints(Box<Intset>),
    /// Few short members.
    Pack(Listpack),
    /// Any members.
    Table(Box<Table>),
    /// Any members, some of them with a deadline.
    Timed(Box<Timed>),
}

fn member(text: &[u8]) -> Keyed<Whole> {
    Keyed::new(Blob::concat(&[text]))
}

impl Set {
    /// An empty set of integers.
    pub fn ints() -> Set {
        Set::Ints(Box::default())
    }

    /// An empty set whose first member will be `first`, and which is about to get `expected` members.
    pub fn for_members(first: &[u8], expected: usize, policy: &Policy) -> Set {
        if expected <= policy.intset_entries && num::parse_i64(first).is_some() {
            Set::ints()
        } else if expected <= policy.listpack_entries {
            Set::Pack(Listpack::new())
        } else {
            Set::Table(Box::new(Table::new(policy.hasher)))
        }
    }

    /// An empty set whose members are to be a listpack's at first.
    pub fn packed() -> Set {
        Set::Pack(Listpack::new())
    }

    /// A set of an encoded listpack from outside (RESTORE, a dump file); `None` if it is empty or has a member twice. It is a
    /// table if it has more members than a listpack may hold, or takes far more bytes than those could. O(N).
    pub fn from_pack(pack: Validated<'_>, policy: &Policy) -> Option<Set> {
        if pack.is_empty() {
            return None;
        }
        let limit = policy.listpack_entries;
        if pack.len() <= limit && !is_oversized(pack.bytes(), limit, 1, policy.listpack_value) {
            return pack.are_distinct(1).then(|| Set::Pack(pack.to_pack()));
        }
        let mut table = Table::new(policy.hasher);
        let mut distinct = true;
        for item in pack.iter() {
            let mut digits = itoa::Buffer::new();
            let text = item.text(&mut digits);
            table.upsert(text, |_| distinct = false, || member(text));
            distinct.then_some(())?;
        }
        Some(Set::Table(Box::new(table)))
    }

    /// A set of these integers.
    pub fn from_intset(ints: Intset) -> Set {
        Set::Ints(Box::new(ints))
    }

    /// Makes room for `expected` members to come: more than a small representation may hold make the set a table at once.
    pub fn prepare(&mut self, expected: usize, policy: &Policy) {
        let outgrown = match self {
            Set::Ints(_) => expected > policy.intset_entries,
            Set::Pack(_) => expected > policy.listpack_entries,
            Set::Table(_) | Set::Timed(_) => false,
        };
        if outgrown {
            self.become_table(policy);
        }
    }

    /// Adds a member; false if it was there. O(1) for a table, O(N) for the small representations.
    pub fn insert(&mut self, text: &[u8], policy: &Policy) -> bool {
        match self {
            Set::Table(table) => {
                let mut added = true;
                table.upsert(text, |_| added = false, || member(text));
                added
            }
            Set::Timed(timed) => timed.insert(text),
            Set::Pack(pack) => {
                if pack.find(pack.first(), text, 0).is_some() {
                    return false;
                }
                let fits = pack.len() < policy.listpack_entries && text.len() <= policy.listpack_value;
                if fits && pack.fits(encoded_bytes(text)) {
                    pack.push_back(text);
                } else {
                    self.become_table(policy).insert(member(text));
                }
                true
            }
            Set::Ints(ints) => match num::parse_i64(text) {
                Some(n) => {
                    let added = ints.insert(n);
                    if added && ints.len() > policy.intset_entries.min(INTSET_MAX) {
                        self.become_table(policy);
                    }
                    added
                }
                None => {
                    self.insert_text_among_ints(text, policy);
                    true
                }
            },
        }
    }

    fn insert_text_among_ints(&mut self, text: &[u8], policy: &Policy) {
        let Set::Ints(ints) = self else { return };
        let digits = |n: Option<i64>| n.map_or(0, |n| itoa::Buffer::new().format(n).len());
        let longest = text.len().max(digits(ints.first())).max(digits(ints.last()));
        let fits = ints.len() < policy.listpack_entries && longest <= policy.listpack_value;
        if fits && Listpack::new().fits(ints.len() * encoded_bytes(&[b'-'; INT_DIGITS_MAX]) + encoded_bytes(text)) {
            let mut pack = Listpack::new();
            ints.iter().for_each(|n| _ = pack.push_back_int(n));
            pack.push_back(text);
            *self = Set::Pack(pack);
        } else {
            self.become_table(policy).insert(member(text));
        }
    }

    /// Adds a member given as another set holds it; false if it was there.
    pub fn insert_item(&mut self, item: Item<'_>, policy: &Policy) -> bool {
        self.insert(item.text(&mut itoa::Buffer::new()), policy)
    }

    fn become_table(&mut self, policy: &Policy) -> &mut Table {
        let mut table = Table::new(policy.hasher);
        self.for_each(|item| table.insert(member(item.text(&mut itoa::Buffer::new()))));
        *self = Set::Table(Box::new(table));
        match self {
            Set::Table(table) => table,
            _ => unreachable!("it has just become one"),
        }
    }

    /// Becomes one of members with deadlines, all of which have none at first.
    fn become_timed(&mut self, hasher: KeyHasher) -> &mut Timed {
        if !matches!(self, Set::Timed(_)) {
            let mut timed = Timed::new(hasher);
            self.for_each(|item| _ = timed.insert(item.text(&mut itoa::Buffer::new())));
            *self = Set::Timed(Box::new(timed));
        }
        match self {
            Set::Timed(timed) => timed,
            _ => unreachable!("it has just become one"),
        }
    }

    /// Becomes an intset if all members are integers and few enough; for results that were gathered otherwise.
    pub fn shrink_to_ints(&mut self, policy: &Policy) {
        if matches!(self, Set::Ints(_)) || self.len() > policy.intset_entries {
            return;
        }
        let mut ints = Intset::new();
        let mut all = true;
        self.for_each(|item| match item.as_int() {
            Some(n) => _ = ints.insert(n),
            None => all = false,
        });
        if all {
            *self = Set::Ints(Box::new(ints));
        }
    }

    /// Removes a member; false if it was not there. O(1) for a table, O(N) for the small representations.
    pub fn remove(&mut self, text: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => num::parse_i64(text).is_some_and(|n| ints.remove(n)),
            Set::Pack(pack) => match pack.find(pack.first(), text, 0) {
                Some(pos) => {
                    pack.remove(pos);
                    true
                }
                None => false,
            },
            Set::Table(table) => table.slot(text).map(Slot::remove).is_some(),
            Set::Timed(timed) => timed.remove(text),
        }
    }

    /// True if the text is a member. O(1) for a table, O(log N) among integers, O(N) in a listpack.
    pub fn contains(&self, text: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => num::parse_i64(text).is_some_and(|n| ints.contains(n)),
            Set::Pack(pack) => pack.find(pack.first(), text, 0).is_some(),
            Set::Table(table) => table.get(text).is_some(),
            Set::Timed(timed) => timed.contains(text),
        }
    }

    /// True if a member of another set is one of this too.
    pub fn contains_item(&self, item: Item<'_>) -> bool {
        match (self, item) {
            (Set::Ints(ints), Item::Int(n)) => ints.contains(n),
            _ => self.contains(item.text(&mut itoa::Buffer::new())),
        }
    }

    /// Starts loading the bucket of a member, if they are in a table; the hash for [`Set::prefetch_entry`].
    #[inline]
    pub fn prefetch_bucket(&self, text: &[u8]) -> u64 {
        match self {
            Set::Table(table) => table.prefetch_bucket(text),
            Set::Timed(timed) => timed.fields().prefetch_bucket(text),
            Set::Ints(_) | Set::Pack(_) => 0,
        }
    }

    /// Starts loading a member by its hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        match self {
            Set::Table(table) => table.prefetch_entry(hash),
            Set::Timed(timed) => timed.fields().prefetch_entry(hash),
            Set::Ints(_) | Set::Pack(_) => {}
        }
    }

    /// Calls `visit` for every member: integers ascending, those of a listpack in order of arrival. O(N).
    pub fn for_each(&self, mut visit: impl FnMut(Item<'_>)) {
        match self {
            Set::Ints(ints) => ints.iter().for_each(|n| visit(Item::Int(n))),
            Set::Pack(pack) => pack.iter().for_each(visit),
            Set::Table(table) => table.for_each(|member| visit(Item::Bytes(member.blob()))),
            Set::Timed(timed) => timed.for_each(|member| visit(Item::Bytes(member))),
        }
    }

    /// Walks part of the members: see [`Members::scan`]. The small representations are walked by one call.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Item<'_>)) -> u64 {
        match self {
            Set::Table(table) => table.scan(cursor, |member| visit(Item::Bytes(member.blob()))),
            Set::Timed(timed) => timed.scan(cursor, |member| visit(Item::Bytes(member))),
            _ => {
                self.for_each(visit);
                0
            }
        }
    }

    /// Calls `visit` for the members from a place on, 0 at first, in the order of [`Set::for_each`], until `go_on`, which is
    /// asked after some of them, returns false. Returns the place to go on from, or `None` at the end. The set must not change
    /// meanwhile. A listpack is walked by one call. O(members visited).
    pub fn read_on(&self, place: u64, mut visit: impl FnMut(Item<'_>), mut go_on: impl FnMut() -> bool) -> Option<u64> {
        match self {
            Set::Table(table) => table.read_on(place, |member| visit(Item::Bytes(member.blob())), go_on),
            Set::Timed(timed) => timed.read_on(place, |member| visit(Item::Bytes(member)), go_on),
            Set::Ints(ints) => {
                let mut index = usize::try_from(place).unwrap_or(usize::MAX);
                while let Some(n) = ints.get(index) {
                    visit(Item::Int(n));
                    index += 1;
                    if !go_on() {
                        break;
                    }
                }
                (index < ints.len()).then_some(index as u64)
            }
            Set::Pack(_) => {
                self.for_each(visit);
                None
            }
        }
    }

    /// Shows a uniformly chosen member to `visit`; `draw(n)` returns an unbiased number below `n`. O(1), O(N) in a
    /// listpack. `None` if the set is empty.
    pub fn random<R>(&self, mut draw: impl FnMut(u64) -> u64, visit: impl FnOnce(Item<'_>) -> R) -> Option<R> {
        match self {
            _ if self.len() == 0 => None,
            Set::Ints(ints) => ints.get(draw(ints.len() as u64) as usize).map(|n| visit(Item::Int(n))),
            Set::Pack(pack) => pack.item(draw(pack.len() as u64) as i64).map(visit),
            Set::Table(table) => table.random(draw).map(|member| visit(Item::Bytes(member.blob()))),
            Set::Timed(timed) => timed.random(draw, |member| visit(Item::Bytes(member))),
        }
    }

    /// Shows `count` distinct members, uniformly chosen, to `visit`: all of them if there are no more.
    ///
    /// A small part of a table is drawn one by one, what was drawn already being thrown away; otherwise the members are
    /// gone by in order, and each is taken with the chance that leaves `count` in the end (algorithm S, Knuth, The Art of
    /// Computer Programming 3.4.2). O(count), or O(N).
    pub fn sample(&self, count: usize, mut draw: impl FnMut(u64) -> u64, mut visit: impl FnMut(Item<'_>)) {
        let is_drawn_from = match self {
            Set::Table(_) => true,
            Set::Timed(timed) => timed.len() == timed.fields().len(),
            Set::Ints(_) | Set::Pack(_) => false,
        };
        if is_drawn_from && count < self.len() / 3 {
            let mut drawn = std::collections::HashSet::with_capacity(count);
            while drawn.len() < count {
                let mut show = |item: Item<'_>| {
                    if let Item::Bytes(bytes) = item
                        && drawn.insert(bytes.as_ptr())
                    {
                        visit(item);
                    }
                };
                self.random(&mut draw, &mut show).expect("there are more members than were drawn");
            }
            return;
        }
        let (mut left, mut wanted) = (self.len(), count.min(self.len()));
        self.for_each(|item| {
            if wanted > 0 && draw(left as u64) < wanted as u64 {
                wanted -= 1;
                visit(item);
            }
            left -= 1;
        });
    }

    /// Gives a member a deadline, below [`DEADLINE_END`](super::hash::DEADLINE_END) and not before 0, or takes it away. False if it
    /// is not there. The first deadline makes the set one of the kind that has them, keyed by `hasher`: O(N) once. O(1) amortised.
    pub fn set_deadline(&mut self, text: &[u8], deadline_ms: Option<i64>, hasher: KeyHasher) -> bool {
        if !self.contains(text) {
            return false;
        }
        match self {
            Set::Timed(timed) => timed.set_deadline(text, deadline_ms),
            _ if deadline_ms.is_some() => self.become_timed(hasher).set_deadline(text, deadline_ms),
            _ => {}
        }
        true
    }

    /// The deadline of a member in Unix milliseconds, if it has one; `None` if it is not there. O(1), O(N) in a listpack.
    pub fn deadline_ms(&self, text: &[u8]) -> Option<Option<i64>> {
        match self {
            Set::Timed(timed) => timed.deadline_ms(text),
            _ => self.contains(text).then_some(None),
        }
    }

    /// Adds a member with its deadline as it comes from a file; false if it was there. O(1) amortised.
    pub fn load(&mut self, text: &[u8], deadline_ms: Option<i64>, hasher: KeyHasher) -> bool {
        self.become_timed(hasher).load(text, deadline_ms)
    }

    /// True if the set is of the kind whose members may have deadlines.
    pub fn is_timed(&self) -> bool {
        matches!(self, Set::Timed(_))
    }

    /// Number of members with a deadline. O(1).
    pub fn timed(&self) -> usize {
        if let Set::Timed(timed) = self { timed.fields().timed() } else { 0 }
    }

    /// Number of all members, due ones included. O(1).
    pub fn total(&self) -> usize {
        if let Set::Timed(timed) = self { timed.fields().len() } else { self.len() }
    }

    /// Walks part of all members, due ones included, with their deadlines: see [`Set::scan`].
    pub fn scan_all(&self, cursor: u64, mut visit: impl FnMut(Item<'_>, Option<i64>)) -> u64 {
        match self {
            Set::Timed(timed) => timed.scan_all(cursor, |member, deadline_ms| visit(Item::Bytes(member), deadline_ms)),
            _ => self.scan(cursor, |item| visit(item, None)),
        }
    }

    /// Calls `visit` for all members, due ones included, with their deadlines. O(N).
    pub fn for_all(&self, mut visit: impl FnMut(Item<'_>, Option<i64>)) {
        match self {
            Set::Timed(timed) => timed.for_all(|member, deadline_ms| visit(Item::Bytes(member), deadline_ms)),
            _ => self.for_each(|item| visit(item, None)),
        }
    }

    /// The listpack, if the set is one: what DUMP writes.
    pub fn as_pack(&self) -> Option<&Listpack> {
        if let Set::Pack(pack) = self { Some(pack) } else { None }
    }

    /// The intset, if the set is one: what DUMP writes.
    pub fn as_intset(&self) -> Option<&Intset> {
        if let Set::Ints(ints) = self { Some(ints) } else { None }
    }
}

/// Copying a table member by member.
impl Set {
    /// An empty copy of a table; `None` for the small representations. O(1).
    pub fn begin_copy(&self) -> Option<Set> {
        match self {
            Set::Table(table) => Some(Set::Table(Box::new(Table::new(table.hasher())))),
            Set::Timed(timed) => Some(Set::Timed(Box::new(Timed::new(timed.fields().hasher())))),
            Set::Ints(_) | Set::Pack(_) => None,
        }
    }

    /// Copies the members of another set from a place on, 0 at first, until `go_on` returns false, which is told how many members
    /// of how many bytes were copied. Returns the place to go on from, or `None` at the end.
    pub fn copy_on(&mut self, of: &Set, place: u64, mut go_on: impl FnMut(usize, usize) -> bool) -> Option<u64> {
        if let (Set::Timed(copy), Set::Timed(of)) = (&mut *self, of) {
            return copy.copy_on(of, place, go_on);
        }
        let (Set::Table(copy), Set::Table(of)) = (self, of) else { return None };
        let copied = std::cell::Cell::new((0, 0));
        let show = |member: &Keyed<Whole>| {
            let (members, bytes) = copied.get();
            copied.set((members + 1, bytes + member.blob().len()));
            copy.insert(member.clone());
        };
        of.read_on(place, show, || {
            let (members, bytes) = copied.take();
            go_on(members.max(1), bytes)
        })
    }
}

impl Clone for Set {
    fn clone(&self) -> Set {
        match self {
            Set::Ints(ints) => Set::Ints(ints.clone()),
            Set::Pack(pack) => Set::Pack(pack.clone()),
            Set::Table(table) => {
                let mut copy = Table::new(table.hasher());
                table.for_each(|member| copy.insert(member.clone()));
                Set::Table(Box::new(copy))
            }
            Set::Timed(timed) => Set::Timed(timed.clone()),
        }
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Set").field("encoding", &self.encoding()).field("len", &self.len()).finish()
    }
}

// SAFETY: each representation is one pointer that is given up and taken back whole.
unsafe impl Collection for Set {
    const TYPE: Type = Type::Set;
    const EXPIRES: bool = true;

    #[inline]
    fn into_raw(self) -> (u8, NonNull<u8>) {
        match self {
            Set::Ints(ints) => (0, NonNull::from(Box::leak(ints)).cast()),
            Set::Pack(pack) => (1, pack.into_raw()),
            Set::Table(table) => (2, NonNull::from(Box::leak(table)).cast()),
            Set::Timed(timed) => (REPR_TIMED, NonNull::from(Box::leak(timed)).cast()),
        }
    }

    #[inline]
    unsafe fn from_raw(repr: u8, ptr: NonNull<u8>) -> Set {
        // SAFETY: the caller passes what `into_raw` returned, which says what the pointer is.
        unsafe {
            match repr {
                0 => Set::Ints(Box::from_raw(ptr.as_ptr().cast())),
                1 => Set::Pack(Listpack::from_raw(ptr)),
                2 => Set::Table(Box::from_raw(ptr.as_ptr().cast())),
                _ => Set::Timed(Box::from_raw(ptr.as_ptr().cast())),
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Pack(pack) => pack.len(),
            Set::Table(table) => table.len(),
            Set::Timed(timed) => timed.len(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Set::Timed(timed) => timed.fields().len() == 0,
            _ => self.len() == 0,
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Pack(_) => "listpack",
            Set::Table(_) | Set::Timed(_) => "hashtable",
        }
    }

    fn heap_bytes(&self, samples: usize) -> usize {
        match self {
            Set::Ints(ints) => size_class(size_of::<Intset>()) + ints.heap_bytes(),
            Set::Pack(pack) => pack.heap_bytes(),
            Set::Table(table) => {
                let (mut seen, mut bytes, mut cursor) = (0, 0, 0);
                while seen < samples {
                    cursor = table.scan(cursor, |member| {
                        seen += 1;
                        bytes += member.blob().heap_bytes();
                    });
                    if cursor == 0 {
                        break;
                    }
                }
                let members = bytes as f64 / seen.max(1) as f64 * table.len() as f64;
                size_class(size_of::<Table>()) + table.bytes() + members as usize
            }
            Set::Timed(timed) => size_class(size_of::<Timed>()) + timed.fields().heap_bytes(samples),
        }
    }

    fn blocks(&self) -> usize {
        match self {
            Set::Ints(_) => 2,
            Set::Pack(_) => 1,
            Set::Table(table) => table.blocks() + 1,
            Set::Timed(timed) => timed.fields().blocks() + 1,
        }
    }

    #[inline]
    fn next_due_ms(&self) -> Option<i64> {
        if let Set::Timed(timed) = self { timed.fields().next_due_ms() } else { None }
    }

    fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        if let Set::Timed(timed) = self { timed.expire(now_ms, max, gone) } else { 0 }
    }

    #[inline]
    fn look_at(&mut self, now_ms: i64) {
        if let Set::Timed(timed) = self {
            timed.look_at(now_ms);
        }
    }

    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        match self {
            Set::Ints(ints) => ints.defragment(mover),
            Set::Pack(pack) => pack.defragment(mover),
            Set::Table(table) => {
                let visit = |member: &mut Keyed<Whole>| member.blob_mut().defragment(mover);
                return table.defragment(from as u64, visit, go_on).map(u128::from);
            }
            Set::Timed(timed) => return timed.defragment(from as u64, mover, go_on).map(u128::from),
        }
        None
    }
}

#[cfg(test)]
#[path = "set_tests.rs"]
mod tests;
