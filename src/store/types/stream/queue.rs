//! The pending entries of a group by their age: those that were released, in the order of that, and then the others by when they were
//! given last.
//!
//! A group may have very many pending entries when somebody asks for their ages first: they come to stand in the queue some at a time,
//! in the order of their ids. Those whose entries were deleted may be very many as well, and those that stand first are looked at once.
//!
//! # Invariants
//! - Every pending entry up to an id stands in the queue, and every one that was released.
//! - Before [`Queue::first_live`] stand only those whose entries are not in the stream.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::StreamId;
use super::group::Pending;

/// What a queue is ordered by.
pub(super) type Age = (i64, u32, StreamId);

/// Before the age of every entry that is somebody's, and behind that of every one that was released.
pub(super) const FIRST_OWNED: Age = (0, 0, StreamId::MIN);

/// How far the pending entries stand in the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Upto {
    #[default]
    Nothing,
    /// Those up to this id.
    Id(StreamId),
    All,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    ages: BTreeSet<Age>,
    upto: Upto,
    /// How many of them were released.
    released: usize,
    /// Where the next one stands that is released.
    next: i64,
    /// Those up to this age are known to be gone from the stream.
    gone: Option<Age>,
}

impl Queue {
    /// How many stand in it.
    pub fn len(&self) -> usize {
        self.ages.len()
    }

    /// How many of them were released.
    pub fn released(&self) -> usize {
        self.released
    }

    /// The time that stands for that of the next one that is released.
    pub fn next_released(&mut self) -> i64 {
        self.next += 1;
        i64::MIN + self.next
    }

    fn has_come_to(&self, id: StreamId) -> bool {
        match self.upto {
            Upto::Nothing => false,
            Upto::Id(upto) => id <= upto,
            Upto::All => true,
        }
    }

    /// Takes note of an entry that is pending now.
    pub fn add(&mut self, id: StreamId, pending: &Pending) {
        let is_released = pending.owner().is_none();
        if !is_released && !self.has_come_to(id) {
            return;
        }
        let age = pending.age(id);
        let is_new = self.ages.insert(age);
        self.released += usize::from(is_new && is_released);
        if self.gone.is_some_and(|gone| age <= gone) {
            self.gone = self.ages.range(..age).next_back().copied();
        }
    }

    /// Takes note of an entry that is not pending any more, or not as it was.
    pub fn remove(&mut self, id: StreamId, pending: &Pending) {
        let is_in = self.ages.remove(&pending.age(id));
        self.released -= usize::from(is_in && pending.owner().is_none());
    }

    /// Has so many more of the pending entries at most stand in it; true when all of them do.
    pub fn go_on(&mut self, pending: &BTreeMap<StreamId, Pending>, most: usize) -> bool {
        let from = match self.upto {
            Upto::Nothing => Bound::Unbounded,
            Upto::Id(upto) => Bound::Excluded(upto),
            Upto::All => return true,
        };
        let mut rest = pending.range((from, Bound::Unbounded));
        for (id, pending) in rest.by_ref().take(most) {
            self.upto = Upto::Id(*id);
            // One that was released has its place already.
            if pending.owner().is_some() {
                self.add(*id, pending);
            }
        }
        if rest.next().is_none() {
            self.upto = Upto::All;
        }
        self.upto == Upto::All
    }

    /// Those between two ages.
    pub fn range(&self, from: Bound<Age>, to: Bound<Age>) -> impl Iterator<Item = &Age> {
        self.ages.range((from, to))
    }

    /// Where those begin of which it is not known that their entries are gone.
    pub fn first_live(&self) -> Bound<Age> {
        self.gone.map_or(Bound::Unbounded, Bound::Excluded)
    }

    /// Takes note that the entries up to an age are gone from the stream.
    pub fn pass(&mut self, gone: Age) {
        self.gone = Some(gone);
    }

    /// Takes note that entries may come again that were gone.
    pub fn forget_gone(&mut self) {
        self.gone = None;
    }
}
