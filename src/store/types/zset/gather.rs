//! Members gathered in any order, as unions and the like find them, on their way to a sorted set: the blocks that they get
//! here are those of the sorted set, so that none is copied or hashed again.
//!
//! # Invariants
//! - `order` has an entry for every member and no other; its scores and its order are right only after `sort`.
//! - Blocks are freed with `members` alone, and nothing is read through `order` while a score is written.
//! - Once its members have been taken, of a [`Sorter`] nothing is read.
//!
//! Called by the commands that combine sorted sets. Knows nothing of how scores are combined.

use super::big::{Big, Lent, Scored, member, score_of, write_score};
use super::tree::{self, Entry, Handle, Tree, order};
use super::{Limits, Repr, SCORE_BYTES_MAX, ZSet, packed};
use crate::base::merge_sort::MergeSort;
use crate::store::blob::Keyed;
use crate::store::hash::KeyHasher;
use crate::store::members::Members;
use crate::store::pack::{Item, Listpack};

/// Members whose bytes are under way to the cache while one is shown.
const AHEAD: usize = 12;

/// The members gathered so far.
#[derive(Debug)]
pub struct Gathering {
    members: Members<Keyed<Scored>>,
    order: Vec<Entry<Lent<Scored>>>,
}

impl Gathering {
    /// No members.
    pub fn new(hasher: KeyHasher) -> Gathering {
        Gathering { members: Members::new(hasher), order: Vec::new() }
    }

    /// Makes room in advance for the order of so many members, which is not moved then as it grows. O(1).
    pub fn reserve(&mut self, members: usize) {
        self.order.reserve_exact(members);
    }

    /// The hasher that places the members.
    pub fn hasher(&self) -> KeyHasher {
        self.members.hasher()
    }

    /// Number of members. O(1).
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds a member that is not there. O(1).
    pub fn push(&mut self, bytes: &[u8], score: f64) {
        let (block, entry) = member(bytes, score);
        self.members.insert(block);
        self.order.push(entry);
    }

    /// Adds a member, or gives the one that is there the score that `combine` makes of its own and this one. O(1).
    pub fn merge(&mut self, bytes: &[u8], score: f64, combine: impl FnOnce(f64, f64) -> f64) {
        let order = &mut self.order;
        self.members.upsert(
            bytes,
            |known| {
                let score = combine(score_of(known.blob()), score);
                write_score(known.blob_mut(), score);
            },
            || {
                let (block, entry) = member(bytes, score);
                order.push(entry);
                block
            },
        );
    }

    /// Puts the members in order. O(N log N).
    pub fn sort(&mut self) {
        self.order.iter_mut().for_each(|entry| entry.score = score_of(&entry.member));
        self.order.sort_unstable_by(compare);
    }

    /// The members with their scores, in order if they are sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Item<'_>, f64)> {
        shown(&self.order)
    }

    /// A sorted set of the members. O(N log N).
    pub fn into_zset(mut self, limits: &Limits) -> ZSet {
        self.sort();
        if let Some(pack) = packed(&self.order, limits) {
            return ZSet(Repr::Pack(pack));
        }
        let Gathering { members, order } = self;
        ZSet(Repr::Big(Box::new(Big::from_parts(members, Tree::from_sorted(order.into_iter())))))
    }
}

/// How two members stand to each other.
fn compare(a: &Entry<Lent<Scored>>, b: &Entry<Lent<Scored>>) -> std::cmp::Ordering {
    order(a.score, b.score).then_with(|| a.member.bytes().cmp(b.member.bytes()))
}

/// Members with their scores.
fn shown(entries: &[Entry<Lent<Scored>>]) -> impl ExactSizeIterator<Item = (Item<'_>, f64)> {
    entries.iter().enumerate().map(|(i, entry)| {
        if let Some(next) = entries.get(i + AHEAD) {
            next.member.prefetch();
        }
        (Item::Bytes(entry.member.bytes()), entry.score)
    })
}

/// A listpack of members in order, if it may hold them.
fn packed(entries: &[Entry<Lent<Scored>>], limits: &Limits) -> Option<Listpack> {
    if entries.len() > limits.entries {
        return None;
    }
    let (mut longest, mut room) = (0, 0usize);
    for (item, _) in shown(entries) {
        longest = longest.max(item.len());
        room = room.saturating_add(item.len() + SCORE_BYTES_MAX);
    }
    let mut pack = Listpack::new();
    if longest > limits.value || !pack.fits(room) {
        return None;
    }
    shown(entries).for_each(|(item, score)| packed::push(&mut pack, item, score));
    Some(pack)
}

/// Members that are put in order some at a time, and made a sorted set likewise.
#[derive(Debug)]
pub struct Sorter {
    members: Members<Keyed<Scored>>,
    sort: MergeSort<Entry<Lent<Scored>>>,
    /// Entries whose scores are those of their members.
    rescored: usize,
    tree: tree::Builder<Lent<Scored>>,
}

impl Sorter {
    /// Members that were gathered in any order. O(1).
    pub fn new(gathering: Gathering) -> Sorter {
        let Gathering { members, order } = gathering;
        Sorter { members, sort: MergeSort::new(order), rescored: 0, tree: tree::Builder::new() }
    }

    /// Members that were [pushed](Gathering::push) in order. O(1).
    pub fn sorted(gathering: Gathering) -> Sorter {
        let Gathering { members, order } = gathering;
        let rescored = order.len();
        Sorter { members, sort: MergeSort::sorted(order), rescored, tree: tree::Builder::new() }
    }

    /// Puts the members in order until `go_on` returns false, which is told how many were moved. True at the end. O(N log N) in
    /// all.
    pub fn sort(&mut self, mut go_on: impl FnMut(usize) -> bool) -> bool {
        let len = self.sort.items().len();
        while self.rescored < len {
            let end = len.min(self.rescored + AHEAD);
            let ahead = end..len.min(end + AHEAD);
            let entries = self.sort.items_mut();
            entries[ahead].iter().for_each(|entry| entry.member.prefetch());
            entries[self.rescored..end].iter_mut().for_each(|entry| entry.score = score_of(&entry.member));
            let moved = end - self.rescored;
            self.rescored = end;
            if !go_on(moved) {
                return false;
            }
        }
        self.sort.go_on(compare, go_on)
    }

    /// Number of members. O(1).
    pub fn len(&self) -> usize {
        self.sort.items().len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members from a rank on with their scores, once they are in order.
    pub fn iter_from(&self, rank: usize) -> impl ExactSizeIterator<Item = (Item<'_>, f64)> {
        shown(&self.sort.items()[rank.min(self.len())..])
    }

    /// Makes a sorted set of what is in order until `go_on` returns false, which is told how many members were added. True at the
    /// end. O(N) in all.
    pub fn build(&mut self, mut go_on: impl FnMut(usize) -> bool) -> bool {
        while let Some(entry) = self.sort.items().get(self.tree.len()) {
            self.tree.push(*entry);
            if !go_on(1) {
                break;
            }
        }
        self.tree.len() == self.len()
    }

    /// The sorted set, once it is built. What is left behind is of no more use, but may take long to free. O(log N).
    pub fn take(&mut self, limits: &Limits) -> ZSet {
        if let Some(pack) = packed(self.sort.items(), limits) {
            return ZSet(Repr::Pack(pack));
        }
        let hasher = self.members.hasher();
        let members = std::mem::replace(&mut self.members, Members::new(hasher));
        let tree = std::mem::replace(&mut self.tree, tree::Builder::new()).finish();
        ZSet(Repr::Big(Box::new(Big::from_parts(members, tree))))
    }
}
