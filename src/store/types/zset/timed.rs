//! A sorted set some of whose members have a deadline: a [`Big`] whose blocks have room for one, and a queue of the deadlines.
//!
//! # Layout of a block
//! ```text
//! | score f64 | lead u8 | [deadline u48] | member ... |
//! ```
//! `lead`: 1 if there is a deadline, which is a Unix time in milliseconds below `DEADLINE_END`, and 0 if not. So a member takes a
//! byte more than in a `Big`, and 14 more if it has a deadline: six here, eight in the queue.
//!
//! # The view
//! Members whose deadlines have come by `seen_ms` are not there for who reads or changes the sorted set: methods speak of the
//! ranks among those that are seen, and only `expire`, copies and files see the others. A rank in the tree is called `raw` here.
//!
//! # Invariants (`check`)
//! - `due` has the raw ranks of the members that are due at `seen_ms`, ascending, and no other.
//!
//! Used by `ZSet`. Asks no clock.

use std::ops::Range;

use super::big::{Big, Lent, SCORE_BYTES, score_of};
use super::iter::Ranked;
use super::tree::{Entry, Handle};
use crate::base::heap::{self, Mover};
use crate::store::blob::{Blob, KeyOf, Keyed};
use crate::store::hash::KeyHasher;
use crate::store::pack::Item;
use crate::store::table::Entry as _;
use crate::store::types::hash::deadlines::{Deadlines, HasDeadline, is_due};
use crate::store::types::hash::field::{DEADLINE_BYTES, deadline_bytes, deadline_of};

/// Where the deadline is in a block that has one.
const DEADLINE: Range<usize> = SCORE_BYTES + 1..SCORE_BYTES + 1 + DEADLINE_BYTES;

/// A block of a score, perhaps a deadline, and the member's bytes.
#[derive(Debug)]
pub(super) struct Dated;

impl KeyOf for Dated {
    #[inline]
    fn key(bytes: &[u8]) -> &[u8] {
        &bytes[if bytes[SCORE_BYTES] == 0 { DEADLINE.start } else { DEADLINE.end }..]
    }
}

impl HasDeadline for Keyed<Dated> {
    #[inline]
    fn deadline_ms(&self) -> Option<i64> {
        deadline_in(self.blob())
    }
}

/// The deadline in a block.
#[inline]
fn deadline_in(block: &[u8]) -> Option<i64> {
    (block[SCORE_BYTES] != 0).then(|| deadline_of(&block[DEADLINE]))
}

fn block(member: &[u8], score: f64, deadline_ms: Option<i64>) -> Blob {
    match deadline_ms {
        None => Blob::concat(&[&score.to_ne_bytes(), &[0], member]),
        Some(ms) => Blob::concat(&[&score.to_ne_bytes(), &[1], &deadline_bytes(ms), member]),
    }
}

/// The members.
#[derive(Clone, Debug)]
pub(super) struct Timed {
    big: Big<Dated>,
    deadlines: Deadlines,
    /// The Unix millisecond for which the sorted set was looked at last.
    seen_ms: i64,
    due: Vec<usize>,
}

/// Making and looking.
impl Timed {
    /// No members.
    pub fn new(hasher: KeyHasher) -> Timed {
        Timed { big: Big::new(hasher), deadlines: Deadlines::default(), seen_ms: i64::MIN, due: Vec::new() }
    }

    /// Members in ascending order, none of them twice, without deadlines. O(N).
    pub fn from_sorted<'m>(entries: impl Iterator<Item = (Item<'m>, f64)>, hasher: KeyHasher) -> Timed {
        let mut digits = itoa::Buffer::new();
        let blocks = entries.map(|(item, score)| block(item.text(&mut digits), score, None));
        Timed { big: Big::of_blocks(blocks, hasher), ..Timed::new(hasher) }
    }

    /// The members, due ones included.
    pub fn big(&self) -> &Big<Dated> {
        &self.big
    }

    /// Number of members with a deadline, due ones included. O(1).
    pub fn timed(&self) -> usize {
        self.deadlines.timed()
    }

    /// The earliest deadline, or one before it that was someone's. O(1).
    #[inline]
    pub fn next_due_ms(&self) -> Option<i64> {
        self.deadlines.next_ms()
    }

    /// From now on members are due whose deadlines have come by this time. O(1), and O(K log N) if there are K of them.
    #[inline]
    pub fn look_at(&mut self, now_ms: i64) {
        if now_ms == self.seen_ms {
            return;
        }
        self.seen_ms = now_ms;
        if self.next_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            self.find_due();
        } else {
            self.due = Vec::new();
        }
    }

    fn find_due(&mut self) {
        let Timed { big, deadlines, seen_ms, due } = self;
        due.clear();
        deadlines.visit_due(big.members(), *seen_ms, |member| {
            due.push(big.tree().rank(score_of(member.blob()), member.key()));
        });
        due.sort_unstable();
        due.dedup();
    }

    /// True for a member that is due in the view.
    #[inline]
    fn is_hidden(&self, member: &Keyed<Dated>) -> bool {
        is_due(member, self.seen_ms)
    }

    /// The rank among those seen of what has a raw rank, or would have it.
    #[inline]
    fn seen(&self, raw: usize) -> usize {
        raw - self.due.partition_point(|&due| due < raw)
    }

    /// The raw rank of a seen one, and how many due ones come before it.
    fn raw(&self, seen: usize) -> (usize, usize) {
        let (mut low, mut high) = (0, self.due.len());
        while low < high {
            let middle = low.midpoint(high);
            // So many that are seen come before this due one.
            if self.due[middle] - middle <= seen {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        (seen + low, low)
    }

    /// The raw ranks from the first to the last of a range of seen ones, cut to those there are, and where in `due` the due
    /// ones between them are.
    fn raw_range(&self, ranks: Range<usize>) -> (Range<usize>, Range<usize>) {
        let end = ranks.end.min(self.len());
        if ranks.start >= end {
            return (0..0, 0..0);
        }
        let ((first, before), (last, until)) = (self.raw(ranks.start), self.raw(end - 1));
        (first..last + 1, before..until)
    }

    /// Keeps the view in step with a member that has come to a raw rank.
    fn note_added(&mut self, raw: usize, is_due: bool) {
        let at = self.due.partition_point(|&due| due < raw);
        self.due[at..].iter_mut().for_each(|due| *due += 1);
        if is_due {
            self.due.insert(at, raw);
        }
    }

    /// Keeps the view in step with members that have left these raw ranks, which ascend.
    fn note_taken(&mut self, ranks: &[usize]) {
        let mut before = 0;
        self.due.retain_mut(|due| {
            while ranks.get(before).is_some_and(|rank| rank < due) {
                before += 1;
            }
            let stays = ranks.get(before) != Some(due);
            *due -= before;
            stays
        });
    }
}

/// Reading what is seen.
impl Timed {
    /// Number of members. O(1).
    #[inline]
    pub fn len(&self) -> usize {
        self.big.tree().len() - self.due.len()
    }

    /// The score of a member. O(1).
    #[inline]
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        let member = self.big.get(member).filter(|member| !self.is_hidden(member))?;
        Some(score_of(member.blob()))
    }

    /// The deadline of a member. O(1).
    pub fn deadline_ms(&self, member: &[u8]) -> Option<Option<i64>> {
        let member = self.big.get(member).filter(|member| !self.is_hidden(member))?;
        Some(member.deadline_ms())
    }

    /// How many members come before one, and its score. O(log N).
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        let score = self.score(member)?;
        Some((self.seen(self.big.tree().rank(score, member)), score))
    }

    /// How many members come before all for which `before` is false. O(log N).
    pub fn count_before(&self, before: impl Fn(&Entry<Lent<Dated>>) -> bool) -> usize {
        self.seen(self.big.tree().count_before(before))
    }

    /// The members of a range of ranks, from either end.
    pub fn iter(&self, ranks: Range<usize>) -> Seen<'_> {
        let (raw, due) = self.raw_range(ranks);
        Seen { ranked: Ranked::new(self.big.tree(), raw), due: &self.due[due] }
    }

    /// Calls `visit` for every member, in no order. O(N).
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], f64)) {
        self.big.members().for_each(|member| self.show(member, &mut visit));
    }

    fn show(&self, member: &Keyed<Dated>, visit: &mut impl FnMut(&[u8], f64)) {
        if !self.is_hidden(member) {
            visit(member.key(), score_of(member.blob()));
        }
    }

    /// Walks part of the members.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        self.big.members().scan(cursor, |member| self.show(member, &mut visit))
    }

    /// Walks the members from a place on.
    pub fn read_on(&self, place: u64, mut visit: impl FnMut(&[u8], f64), go_on: impl FnMut() -> bool) -> Option<u64> {
        self.big.members().read_on(place, |member| self.show(member, &mut visit), go_on)
    }

    /// The members of a range of raw ranks, with their scores and deadlines.
    pub fn iter_all(
        &self,
        raw: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = (Item<'_>, f64, Option<i64>)> + use<'_> {
        let ranked = Ranked::new(self.big.tree(), raw);
        ranked.map(|entry| (Item::Bytes(entry.member.bytes()), entry.score, deadline_in(&entry.member)))
    }
}

/// Changing.
impl Timed {
    /// Adds a member that is not there, not even as a due one. O(log N).
    fn add(&mut self, member: &[u8], score: f64, deadline_ms: Option<i64>) {
        self.big.add(block(member, score, deadline_ms));
        self.deadlines.note(self.big.members(), member, None, deadline_ms);
        let is_due = deadline_ms.is_some_and(|ms| ms <= self.seen_ms);
        if is_due || !self.due.is_empty() {
            self.note_added(self.big.tree().rank(score, member), is_due);
        }
    }

    /// Takes out a member that is there, due or not; its score. O(log N).
    fn take(&mut self, member: &[u8]) -> Option<f64> {
        if !self.due.is_empty() {
            let score = self.big.score(member)?;
            self.note_taken(&[self.big.tree().rank(score, member)]);
        }
        let taken = self.big.take(member)?;
        self.deadlines.note(self.big.members(), member, taken.deadline_ms(), None);
        Some(score_of(taken.blob()))
    }

    /// Adds a member with its deadline; false if it was there, due or not. O(log N).
    pub fn load(&mut self, member: &[u8], score: f64, deadline_ms: Option<i64>) -> bool {
        let is_new = self.big.get(member).is_none();
        if is_new {
            self.add(member, score, deadline_ms);
        }
        is_new
    }

    /// The score that `decide` makes of a member's present one: see [`ZSet::update`](super::ZSet::update). A member keeps its
    /// deadline, and one that is due is replaced by one without. O(log N).
    pub fn update(
        &mut self,
        member: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        let Some(old) = self.score(member) else {
            let new = decide(None);
            if let Some(score) = new {
                if !self.due.is_empty() {
                    self.take(member);
                }
                self.add(member, score, None);
            }
            return (None, new);
        };
        let Some(new) = decide(Some(old)).filter(|&score| score != old) else { return (Some(old), Some(old)) };
        if self.due.is_empty() {
            self.big.rescore(member, new);
        } else {
            self.note_taken(&[self.big.tree().rank(old, member)]);
            self.big.rescore(member, new);
            self.note_added(self.big.tree().rank(new, member), false);
        }
        (Some(old), Some(new))
    }

    /// Gives a member that is there another deadline. O(log N).
    pub fn set_deadline(&mut self, member: &[u8], deadline_ms: Option<i64>) {
        let Some(old) = self.deadline_ms(member).filter(|&old| old != deadline_ms) else { return };
        let score = self.big.score(member).unwrap_or_default();
        match deadline_ms {
            Some(ms) if old.is_some() => {
                self.big.overwrite(member, |block| block[DEADLINE].copy_from_slice(&deadline_bytes(ms)));
            }
            _ => self.big.replace(member, block(member, score, deadline_ms)),
        }
        self.deadlines.note(self.big.members(), member, old, deadline_ms);
        if deadline_ms.is_some_and(|ms| ms <= self.seen_ms) {
            let raw = self.big.tree().rank(score, member);
            let at = self.due.partition_point(|&due| due < raw);
            self.due.insert(at, raw);
        }
    }

    /// Takes a member out; its score. O(log N).
    pub fn remove(&mut self, member: &[u8]) -> Option<f64> {
        self.score(member)?;
        self.take(member)
    }

    /// Takes the members of a range of ranks out. O(log N) for each leaf and each due member between, O(1) for each member.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let (raw, within) = self.raw_range(ranks);
        let removed = raw.len() - within.len();
        let (mut end, mut timed) = (raw.end, 0);
        let mut count = |block: &[u8]| timed += usize::from(deadline_in(block).is_some());
        // Piece by piece between the due ones, from the last on: what comes before keeps its rank.
        for &due in self.due[within.clone()].iter().rev() {
            self.big.remove_ranks(due + 1..end, &mut count);
            end = due;
        }
        self.big.remove_ranks(raw.start..end, &mut count);
        self.deadlines.note_removed(self.big.members(), timed);
        let kept = raw.start..;
        self.due[within.clone()].iter_mut().zip(kept).for_each(|(due, rank)| *due = rank);
        self.due[within.end..].iter_mut().for_each(|due| *due -= removed);
    }

    /// Takes out members whose deadline has come: see [`Deadlines::expire`]. O(log N) for each, and O(1) for each that is due in
    /// the view.
    pub fn expire(&mut self, now_ms: i64, max: usize, gone: &mut dyn FnMut(&[u8])) -> usize {
        let Timed { big, deadlines, due, .. } = self;
        let take = |members: &mut _, taken: &mut dyn FnMut(_)| _ = deadlines.expire(members, now_ms, max, taken);
        // Nobody need know which ranks they had unless some are due in the view.
        let (taken, ranks) = big.take_by(take, !due.is_empty());
        self.note_taken(&ranks);
        taken.iter().for_each(|member| gone(member.key()));
        taken.len()
    }

    /// Copies the members of another, due ones included, from a raw rank on until `go_on` returns false, which is told how many
    /// members of how many bytes were copied. Returns the rank to go on from, or `None` at the end. O(log N) for each.
    pub fn copy_on(&mut self, of: &Timed, from: usize, mut go_on: impl FnMut(usize, usize) -> bool) -> Option<usize> {
        let mut rank = from;
        for entry in Ranked::new(of.big.tree(), from..usize::MAX) {
            let bytes = entry.member.bytes();
            self.add(bytes, entry.score, deadline_in(&entry.member));
            rank += 1;
            if !go_on(1, bytes.len()) {
                break;
            }
        }
        (rank < of.big.tree().len()).then_some(rank)
    }
}

/// The heap.
impl Timed {
    /// Bytes on the heap, the members' own estimated from so many. O(samples).
    pub fn heap_bytes(&self, samples: usize) -> usize {
        let own = heap::size_class(size_of::<Timed>()) - heap::size_class(size_of::<Big<Dated>>());
        own + self.big.heap_bytes(samples) + self.deadlines.bytes() + heap::vec(&self.due)
    }

    /// Heap blocks that dropping this frees. O(1).
    pub fn blocks(&self) -> usize {
        self.big.blocks() + self.deadlines.blocks() + 1
    }

    /// Moves the blocks of the members: see [`Big::defragment`].
    pub fn defragment(&mut self, cursor: u64, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
        self.big.defragment(cursor, mover, go_on)
    }

    /// Checks the invariants. O(N).
    #[cfg(test)]
    pub fn check(&self) {
        self.deadlines.check(self.big.members());
        assert_eq!(self.big.members().len(), self.big.tree().len());
        let mut due = Vec::new();
        for (raw, entry) in Ranked::new(self.big.tree(), 0..usize::MAX).enumerate() {
            assert_eq!(self.big.score(entry.member.bytes()), Some(entry.score), "one block for both");
            if deadline_in(&entry.member).is_some_and(|ms| ms <= self.seen_ms) {
                due.push(raw);
            }
        }
        assert_eq!(self.due, due);
    }

    /// True while the queue is being renewed.
    #[cfg(test)]
    pub fn is_renewing(&self) -> bool {
        self.deadlines.is_renewing()
    }
}

/// The entries of a range of ranks, without the due ones, from either end.
#[derive(Clone, Debug)]
pub(super) struct Seen<'z> {
    ranked: Ranked<'z, Dated>,
    /// The raw ranks of the due ones that are still to come.
    due: &'z [usize],
}

impl<'z> Seen<'z> {
    /// How many are still to come.
    pub fn left(&self) -> usize {
        self.ranked.ranks().len() - self.due.len()
    }
}

impl<'z> Iterator for Seen<'z> {
    type Item = &'z Entry<Lent<Dated>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while let Some((&due, rest)) = self.due.split_first()
            && due == self.ranked.ranks().start
        {
            self.due = rest;
            self.ranked.next();
        }
        self.ranked.next()
    }
}

impl DoubleEndedIterator for Seen<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        while let Some((&due, rest)) = self.due.split_last()
            && due + 1 == self.ranked.ranks().end
        {
            self.due = rest;
            self.ranked.next_back();
        }
        self.ranked.next_back()
    }
}
