//! Sorted sets: members with a score each, in order of score and, where scores are equal, of bytes.
//!
//! - `packed`: few members in a listpack. `big`: many, in a hash table and a tree. `tree`: that tree. `timed`: such ones some of
//!   which have a deadline; whichever gets a deadline first makes a sorted set of this kind, which it stays.
//! - `range`: ends of ranges. `iter`: members in order. `gather`: members that are found in another order.
//!
//! Every range, of whatever it is, is first made a range of ranks: [`ZSet::ranks_by_score`], [`ZSet::ranks_by_lex`]. What
//! is done with the members in it needs to know no more.
//!
//! # Due members
//! A member whose deadline has come is not there: nothing that reads or changes a sorted set shows it, as of the time for which
//! the sorted set was [looked at](Collection::look_at) last. Only [`Collection::expire`] takes it away.
//!
//! Scores are never NaN; whoever computes one checks. Used by the commands, DUMP, RESTORE, SORT and geo. Knows nothing
//! of keys, replies and settings: the thresholds come as [`Limits`].
#![allow(unsafe_code)]

mod big;
mod gather;
mod iter;
mod packed;
pub mod range;
mod timed;
mod tree;

use std::ops::Range;
use std::ptr::NonNull;

pub use gather::{Gathering, Sorter};
pub use iter::Iter;
pub use range::{LexBound, LexRange, ScoreBound, ScoreRange};
pub use tree::order;

use super::{Collection, Type, is_oversized};
use crate::base::heap::Mover;
use crate::store::hash::KeyHasher;
use crate::store::pack::{Item, Listpack, Validated, encoded_bytes};
use big::Big;
use timed::Timed;

/// The representation of sorted sets whose members may have deadlines.
pub(super) const REPR_TIMED: u8 = 2;

/// Room a score takes in a listpack at most.
const SCORE_BYTES_MAX: usize = 40;
/// Members above which removing nearly all of them is left to another thread.
const REBUILD_MIN: usize = 10_000;
/// A range that leaves at most one in so many members is removed by rebuilding from those.
const REBUILD_PART: usize = 4;

/// Up to where a sorted set is a listpack, and how members are hashed beyond.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members in a listpack at most.
    pub entries: usize,
    /// Bytes of a member in a listpack at most.
    pub value: usize,
    /// Hashes the members of big ones.
    pub hasher: KeyHasher,
}

/// A sorted set.
#[derive(Clone, Debug)]
pub struct ZSet(Repr);

#[derive(Clone, Debug)]
enum Repr {
    Pack(Listpack),
    Big(Box<Big>),
    Timed(Box<Timed>),
}

impl Default for ZSet {
    fn default() -> ZSet {
        ZSet(Repr::Pack(Listpack::new()))
    }
}

/// What [`ZSet::update`] did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The member's score before, if it was there.
    pub old: Option<f64>,
    /// The member's score now, if it is there.
    pub new: Option<f64>,
}

impl Update {
    /// True if the member is new.
    pub fn added(&self) -> bool {
        self.old.is_none() && self.new.is_some()
    }

    /// True if the member was there and its score is another one now.
    pub fn rescored(&self) -> bool {
        self.old.is_some() && self.old != self.new
    }
}

/// Making one.
impl ZSet {
    /// An empty one that is to hold so many members, the first of them `value` bytes long: it need not be converted later. O(1).
    pub fn sized(entries: usize, value: usize, limits: &Limits) -> ZSet {
        if entries <= limits.entries && value <= limits.value {
            return ZSet::default();
        }
        ZSet(Repr::Big(Box::new(Big::new(limits.hasher))))
    }

    /// One of these members, which ascend by score and then by bytes; no score is NaN and no member is there twice. O(N).
    pub fn from_sorted<'m>(entries: impl Iterator<Item = (Item<'m>, f64)> + Clone, limits: &Limits) -> ZSet {
        let (mut count, mut longest, mut bytes) = (0usize, 0, 0usize);
        for (member, _) in entries.clone() {
            count += 1;
            longest = longest.max(member.len());
            bytes = bytes.saturating_add(member.len() + SCORE_BYTES_MAX);
        }
        let mut pack = Listpack::new();
        if count > limits.entries || longest > limits.value || !pack.fits(bytes) {
            return ZSet::big_from(entries, limits.hasher);
        }
        entries.for_each(|(member, score)| packed::push(&mut pack, member, score));
        ZSet(Repr::Pack(pack))
    }

    fn big_from<'m>(entries: impl Iterator<Item = (Item<'m>, f64)>, hasher: KeyHasher) -> ZSet {
        ZSet(Repr::Big(Box::new(Big::from_sorted(entries, hasher))))
    }

    /// A listpack from outside (RESTORE, a dump file) as a sorted set: `None` unless it consists of members and scores in
    /// ascending order, without NaN and no member twice, and has at least one. It is converted if it has more members than
    /// a listpack may hold, or takes far more bytes than those could. O(N log N).
    pub fn from_pack(pack: Validated<'_>, limits: &Limits) -> Option<ZSet> {
        let ascends = !pack.is_empty() && pack.len().is_multiple_of(2) && packed::ascends(pack.iter());
        (ascends && pack.are_distinct(2)).then_some(())?;
        if pack.len() / 2 > limits.entries || is_oversized(pack.bytes(), limits.entries, 2, limits.value) {
            return Some(ZSet::big_from(packed::Pairs::of(pack.iter()), limits.hasher));
        }
        Some(ZSet(Repr::Pack(pack.to_pack())))
    }

    /// What the members of a big one can be gathered in, to make a copy of it; `None` for a listpack, and for one whose members
    /// may have deadlines, see [`ZSet::begin_timed_copy`]. O(1).
    pub fn begin_copy(&self) -> Option<Gathering> {
        let Repr::Big(big) = &self.0 else { return None };
        let mut copy = Gathering::new(big.hasher());
        copy.reserve(big.tree().len());
        Some(copy)
    }

    /// The listpack, if it is one: members and scores in turn, as DUMP shows them.
    pub fn as_pack(&self) -> Option<&Listpack> {
        match &self.0 {
            Repr::Pack(pack) => Some(pack),
            Repr::Big(_) | Repr::Timed(_) => None,
        }
    }
}

/// Reading.
impl ZSet {
    /// The score of a member. O(1), or a scan of the listpack.
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match &self.0 {
            Repr::Pack(pack) => packed::find(pack, member).map(|(_, score)| score),
            Repr::Big(big) => big.score(member),
            Repr::Timed(timed) => timed.score(member),
        }
    }

    /// How many members come before a member, and its score. O(log N), or a scan of the listpack.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match &self.0 {
            Repr::Pack(_) => {
                let place = |(item, _): &(Item<'_>, f64)| item.eq_bytes(member);
                let (rank, (_, score)) = self.iter(0..usize::MAX).enumerate().find(|(_, entry)| place(entry))?;
                Some((rank, score))
            }
            Repr::Big(big) => {
                let score = big.score(member)?;
                Some((big.tree().rank(score, member), score))
            }
            Repr::Timed(timed) => timed.rank(member),
        }
    }

    /// The ranks of the members whose scores are in a range. O(log N), or a scan of the listpack.
    pub fn ranks_by_score(&self, range: &ScoreRange) -> Range<usize> {
        let (start, end) = match &self.0 {
            Repr::Pack(pack) => {
                let start = self.iter(0..usize::MAX).take_while(|&(_, score)| !range.reaches(score)).count();
                let inside = packed::Pairs::new(pack, start, 0).take_while(|&(_, score)| !range.passed(score)).count();
                (start, start + inside)
            }
            Repr::Big(big) => (
                big.tree().count_before(|entry| !range.reaches(entry.score)),
                big.tree().count_before(|entry| !range.passed(entry.score)),
            ),
            Repr::Timed(timed) => (
                timed.count_before(|entry| !range.reaches(entry.score)),
                timed.count_before(|entry| !range.passed(entry.score)),
            ),
        };
        start..end.max(start)
    }

    /// The ranks of the members that are in a range, in a sorted set all of whose scores are equal; if they are not, no
    /// particular ranks. O(log N), or a scan of the listpack.
    pub fn ranks_by_lex(&self, range: &LexRange<'_>) -> Range<usize> {
        let (start, end) = match &self.0 {
            Repr::Pack(pack) => {
                let mut digits = itoa::Buffer::new();
                let before = |(item, _): &(Item<'_>, f64)| !range.reaches(item.text(&mut digits));
                let start = self.iter(0..usize::MAX).take_while(before).count();
                let mut digits = itoa::Buffer::new();
                let inside = |(item, _): &(Item<'_>, f64)| !range.passed(item.text(&mut digits));
                (start, start + packed::Pairs::new(pack, start, 0).take_while(inside).count())
            }
            Repr::Big(big) => (
                big.tree().count_before(|entry| !range.reaches(tree::Handle::bytes(&entry.member))),
                big.tree().count_before(|entry| !range.passed(tree::Handle::bytes(&entry.member))),
            ),
            Repr::Timed(timed) => (
                timed.count_before(|entry| !range.reaches(tree::Handle::bytes(&entry.member))),
                timed.count_before(|entry| !range.passed(tree::Handle::bytes(&entry.member))),
            ),
        };
        start..end.max(start)
    }

    /// The members and scores of a range of ranks, which is cut to those there are, from either end. O(log N) for each leaf
    /// of the tree, or a walk of the listpack.
    pub fn iter(&self, ranks: Range<usize>) -> Iter<'_> {
        Iter::new(self, ranks)
    }

    /// The member of a rank, and its score. O(log N), or a walk of the listpack.
    pub fn get(&self, rank: usize) -> Option<(Item<'_>, f64)> {
        self.iter(rank..rank.saturating_add(1)).next()
    }

    /// Starts loading the bucket of a member, if there are many; the hash for [`ZSet::prefetch_entry`].
    #[inline]
    pub fn prefetch_bucket(&self, member: &[u8]) -> u64 {
        match &self.0 {
            Repr::Pack(_) => 0,
            Repr::Big(big) => big.members().prefetch_bucket(member),
            Repr::Timed(timed) => timed.big().members().prefetch_bucket(member),
        }
    }

    /// Starts loading a member by its hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        match &self.0 {
            Repr::Pack(_) => {}
            Repr::Big(big) => big.members().prefetch_entry(hash),
            Repr::Timed(timed) => timed.big().members().prefetch_entry(hash),
        }
    }

    /// Calls `visit` for every member, in no order: where they are many, faster than in theirs. O(N).
    pub fn for_each(&self, mut visit: impl FnMut(Item<'_>, f64)) {
        match &self.0 {
            Repr::Pack(_) => self.iter(0..usize::MAX).for_each(|(item, score)| visit(item, score)),
            Repr::Big(big) => big.for_each(|bytes, score| visit(Item::Bytes(bytes), score)),
            Repr::Timed(timed) => timed.for_each(|bytes, score| visit(Item::Bytes(bytes), score)),
        }
    }

    /// Walks part of the members, in no order: see [`Members::scan`](crate::store::members::Members::scan) for the
    /// cursor and what it guarantees. A listpack is walked by one call.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        match &self.0 {
            Repr::Pack(_) => {
                let mut digits = itoa::Buffer::new();
                self.iter(0..usize::MAX).for_each(|(item, score)| visit(item.text(&mut digits), score));
                0
            }
            Repr::Big(big) => big.scan(cursor, visit),
            Repr::Timed(timed) => timed.scan(cursor, visit),
        }
    }

    /// Calls `visit` for the members from a place on, 0 at first, in no order, until `go_on`, which is asked after some of them,
    /// returns false. Returns the place to go on from, or `None` at the end. The sorted set must not change meanwhile. A listpack
    /// is walked by one call. O(members visited).
    pub fn read_on(
        &self,
        place: u64,
        mut visit: impl FnMut(Item<'_>, f64),
        go_on: impl FnMut() -> bool,
    ) -> Option<u64> {
        match &self.0 {
            Repr::Pack(_) => {
                self.for_each(visit);
                None
            }
            Repr::Big(big) => big.read_on(place, |bytes, score| visit(Item::Bytes(bytes), score), go_on),
            Repr::Timed(timed) => timed.read_on(place, |bytes, score| visit(Item::Bytes(bytes), score), go_on),
        }
    }
}

/// Members with deadlines.
impl ZSet {
    /// True if the sorted set is of the kind whose members may have deadlines.
    pub fn is_timed(&self) -> bool {
        matches!(self.0, Repr::Timed(_))
    }

    /// Number of members with a deadline, due ones included. O(1).
    pub fn timed(&self) -> usize {
        if let Repr::Timed(timed) = &self.0 { timed.timed() } else { 0 }
    }

    /// Number of all members, due ones included. O(1).
    pub fn total(&self) -> usize {
        if let Repr::Timed(timed) = &self.0 { timed.big().tree().len() } else { self.len() }
    }

    /// The deadline of a member in Unix milliseconds, if it has one; `None` if it is not there. O(1), or a scan of the listpack.
    pub fn deadline_ms(&self, member: &[u8]) -> Option<Option<i64>> {
        match &self.0 {
            Repr::Timed(timed) => timed.deadline_ms(member),
            _ => self.score(member).map(|_| None),
        }
    }

    /// Gives a member a deadline, below [`DEADLINE_END`](super::hash::DEADLINE_END) and not before 0, or takes it away. False if it
    /// is not there. The first deadline makes the sorted set one of the kind that has them: O(N) once. O(log N).
    pub fn set_deadline(&mut self, member: &[u8], deadline_ms: Option<i64>, hasher: KeyHasher) -> bool {
        if self.score(member).is_none() {
            return false;
        }
        if deadline_ms.is_some() || self.is_timed() {
            self.become_timed(hasher).set_deadline(member, deadline_ms);
        }
        true
    }

    /// Adds a member with its deadline, due or not, as it comes from a file; false if it was there, due or not, and all stays as
    /// it is. Makes the sorted set one of the kind that has deadlines: O(N) once. O(log N).
    pub fn load(&mut self, member: &[u8], score: f64, deadline_ms: Option<i64>, hasher: KeyHasher) -> bool {
        self.become_timed(hasher).load(member, score, deadline_ms)
    }

    fn become_timed(&mut self, hasher: KeyHasher) -> &mut Timed {
        if !self.is_timed() {
            self.0 = Repr::Timed(Box::new(Timed::from_sorted(self.iter(0..usize::MAX), hasher)));
        }
        match &mut self.0 {
            Repr::Timed(timed) => timed,
            _ => unreachable!("just made a timed one"),
        }
    }

    /// The members of a range of ranks among all, due ones included, with their scores and deadlines: see [`ZSet::iter`].
    pub fn iter_all(
        &self,
        ranks: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (Item<'_>, f64, Option<i64>)> + use<'_> {
        let (timed, others) = match &self.0 {
            Repr::Timed(timed) => (Some(timed.iter_all(ranks)), 0..0),
            _ => (None, ranks),
        };
        let others = self.iter(others).map(|(item, score)| (item, score, None));
        timed.into_iter().flatten().chain(others)
    }

    /// An empty copy of one whose members may have deadlines, for [`ZSet::copy_on`]; `None` for the others. O(1).
    pub fn begin_timed_copy(&self) -> Option<ZSet> {
        let Repr::Timed(timed) = &self.0 else { return None };
        Some(ZSet(Repr::Timed(Box::new(Timed::new(timed.big().hasher())))))
    }

    /// Copies the members of another sorted set, due ones included, from a place on, 0 at first, until `go_on` returns false, which
    /// is told how many members of how many bytes were copied. Returns the place to go on from, or `None` at the end. Both are of
    /// the kind whose members may have deadlines. O(log N) for each member.
    pub fn copy_on(&mut self, of: &ZSet, place: u64, go_on: impl FnMut(usize, usize) -> bool) -> Option<u64> {
        let (Repr::Timed(copy), Repr::Timed(of)) = (&mut self.0, &of.0) else { return None };
        copy.copy_on(of, place as usize, go_on).map(|next| next as u64)
    }
}

/// Changing.
impl ZSet {
    /// Makes a listpack that is to hold so many members something else, if those are too many. O(N) once.
    pub fn expect(&mut self, entries: usize, limits: &Limits) {
        if entries > limits.entries && matches!(self.0, Repr::Pack(_)) {
            self.grow(limits.hasher);
        }
    }

    fn grow(&mut self, hasher: KeyHasher) -> &mut Big {
        let big = Box::new(Big::from_sorted(self.iter(0..usize::MAX), hasher));
        self.0 = Repr::Big(big);
        match &mut self.0 {
            Repr::Big(big) => big,
            _ => unreachable!("just made a big one"),
        }
    }

    /// Gives a member the score that `decide` makes of its present one, if it has one, and adds it if it has none; `None`
    /// leaves all as it is. O(log N), or a walk of the listpack.
    pub fn update(
        &mut self,
        member: &[u8],
        limits: &Limits,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Update {
        let pack = match &mut self.0 {
            Repr::Pack(pack) => pack,
            Repr::Big(big) => {
                let (old, new) = big.update(member, decide);
                return Update { old, new };
            }
            Repr::Timed(timed) => {
                let (old, new) = timed.update(member, decide);
                return Update { old, new };
            }
        };
        if let Some((pos, old)) = packed::find(pack, member) {
            let Some(new) = decide(Some(old)).filter(|&score| score != old) else {
                return Update { old: Some(old), new: Some(old) };
            };
            if pack.fits(SCORE_BYTES_MAX) {
                packed::remove(pack, pos);
                packed::insert(pack, member, new);
            } else {
                self.grow(limits.hasher).update(member, |_| Some(new));
            }
            return Update { old: Some(old), new: Some(new) };
        }
        let Some(new) = decide(None) else { return Update { old: None, new: None } };
        let room = pack.fits(encoded_bytes(member) + SCORE_BYTES_MAX);
        if member.len() <= limits.value && room && packed::len(pack) < limits.entries {
            packed::insert(pack, member, new);
            return Update { old: None, new: Some(new) };
        }
        self.grow(limits.hasher).insert(member, new);
        Update { old: None, new: Some(new) }
    }

    /// Gives a member a score, adding it if it is not there. Returns true if it was not. O(log N).
    pub fn insert(&mut self, member: &[u8], score: f64, limits: &Limits) -> bool {
        self.update(member, limits, |_| Some(score)).added()
    }

    /// Takes a member out; its score. O(log N), or a walk of the listpack.
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        match &mut self.0 {
            Repr::Pack(pack) => {
                let (pos, score) = packed::find(pack, member)?;
                packed::remove(pack, pos);
                Some(score)
            }
            Repr::Big(big) => big.remove(member),
            Repr::Timed(timed) => timed.remove(member),
        }
    }

    /// How many members [`ZSet::remove_ranks`] goes by to take out a range of those there are: those that go, or those that stay;
    /// none if it is all of them, which can leave with the set.
    pub fn removal_cost(&self, ranks: &Range<usize>) -> usize {
        let kept = self.len() - ranks.len();
        let is_rebuilt = ranks.len() >= REBUILD_MIN && kept <= ranks.len() / REBUILD_PART && !self.is_timed();
        if is_rebuilt || kept == 0 { kept } else { ranks.len() }
    }

    /// Takes the members of a range of ranks out; the range is cut to those there are. Returns what takes long to free, if
    /// something does, for another thread to do it. O(K log N) for K members removed.
    #[must_use = "what takes long to free should be freed elsewhere"]
    pub fn remove_ranks(&mut self, ranks: Range<usize>) -> Option<ZSet> {
        let len = self.len();
        let ranks = ranks.start.min(len)..ranks.end.min(len);
        let kept = len - ranks.len();
        match &mut self.0 {
            Repr::Pack(pack) => {
                pack.remove_range_index(2 * ranks.start as i64, 2 * ranks.len());
                None
            }
            Repr::Big(big) if ranks.len() < REBUILD_MIN || kept > ranks.len() / REBUILD_PART => {
                big.remove_ranks(ranks, |_| {});
                None
            }
            Repr::Timed(timed) => {
                timed.remove_ranks(ranks);
                None
            }
            Repr::Big(big) => {
                let hasher = big.hasher();
                let rest = ZSet::big_from(self.iter(0..ranks.start).chain(self.iter(ranks.end..len)), hasher);
                Some(std::mem::replace(self, rest))
            }
        }
    }
}

const PACK: u8 = 0;
const BIG: u8 = 1;

// SAFETY: the representation says which owner gave the pointer up, and the same kind of owner takes it back.
unsafe impl Collection for ZSet {
    const TYPE: Type = Type::ZSet;
    const EXPIRES: bool = true;

    #[inline]
    fn into_raw(self) -> (u8, NonNull<u8>) {
        match self.0 {
            Repr::Pack(pack) => (PACK, pack.into_raw()),
            Repr::Big(big) => (BIG, NonNull::from(Box::leak(big)).cast()),
            Repr::Timed(timed) => (REPR_TIMED, NonNull::from(Box::leak(timed)).cast()),
        }
    }

    #[inline]
    unsafe fn from_raw(repr: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned.
        unsafe {
            ZSet(match repr {
                PACK => Repr::Pack(Listpack::from_raw(ptr)),
                BIG => Repr::Big(Box::from_raw(ptr.as_ptr().cast())),
                _ => Repr::Timed(Box::from_raw(ptr.as_ptr().cast())),
            })
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match &self.0 {
            Repr::Pack(pack) => packed::len(pack),
            Repr::Big(big) => big.tree().len(),
            Repr::Timed(timed) => timed.len(),
        }
    }

    fn is_empty(&self) -> bool {
        self.total() == 0
    }

    fn encoding(&self) -> &'static str {
        match &self.0 {
            Repr::Pack(_) => "listpack",
            Repr::Big(_) | Repr::Timed(_) => "skiplist",
        }
    }

    fn heap_bytes(&self, samples: usize) -> usize {
        match &self.0 {
            Repr::Pack(pack) => pack.heap_bytes(),
            Repr::Big(big) => big.heap_bytes(samples),
            Repr::Timed(timed) => timed.heap_bytes(samples),
        }
    }

    fn blocks(&self) -> usize {
        match &self.0 {
            Repr::Pack(_) => 1,
            Repr::Big(big) => big.blocks(),
            Repr::Timed(timed) => timed.blocks(),
        }
    }

    #[inline]
    fn next_due_ms(&self) -> Option<i64> {
        if let Repr::Timed(timed) = &self.0 { timed.next_due_ms() } else { None }
    }

    fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        if let Repr::Timed(timed) = &mut self.0 { timed.expire(now_ms, max, gone) } else { 0 }
    }

    #[inline]
    fn look_at(&mut self, now_ms: i64) {
        if let Repr::Timed(timed) = &mut self.0 {
            timed.look_at(now_ms);
        }
    }

    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        match &mut self.0 {
            Repr::Pack(pack) => {
                pack.defragment(mover);
                None
            }
            Repr::Big(big) => big.defragment(from as u64, mover, go_on).map(u128::from),
            Repr::Timed(timed) => timed.defragment(from as u64, mover, go_on).map(u128::from),
        }
    }
}

#[cfg(test)]
#[path = "zset/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "zset/timed_tests.rs"]
mod timed_tests;
