//! Members gathered in any order, as unions and the like find them, on their way to a sorted set: the blocks that they get
//! here are those of the sorted set, so that none is copied or hashed again.
//!
//! # Invariants
//! - `order` has an entry for every member and no other; its scores and its order are right only after `sort`.
//! - Blocks are freed with `members` alone, and nothing is read through `order` while a score is written.
//!
//! Called by the commands that combine sorted sets. Knows nothing of how scores are combined.

use super::big::{Big, Scored, member, score_of, write_score};
use super::tree::{Entry, Handle, Tree, order};
use super::{Limits, Repr, SCORE_BYTES_MAX, ZSet, packed};
use crate::store::blob::{Keyed, LentBlob};
use crate::store::hash::KeyHasher;
use crate::store::members::Members;
use crate::store::pack::{Item, Listpack};

/// Members whose bytes are under way to the cache while one is shown.
const AHEAD: usize = 12;

/// The members gathered so far.
#[derive(Debug)]
pub struct Gathering {
    members: Members<Keyed<Scored>>,
    order: Vec<Entry<LentBlob>>,
}

impl Gathering {
    /// No members.
    pub fn new(hasher: KeyHasher) -> Gathering {
        Gathering { members: Members::new(hasher), order: Vec::new() }
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
        self.order
            .sort_unstable_by(|a, b| order(a.score, b.score).then_with(|| a.member.bytes().cmp(b.member.bytes())));
    }

    /// The members with their scores, in order if they are sorted.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Item<'_>, f64)> {
        self.order.iter().enumerate().map(|(i, entry)| {
            if let Some(next) = self.order.get(i + AHEAD) {
                next.member.prefetch();
            }
            (Item::Bytes(entry.member.bytes()), entry.score)
        })
    }

    /// A sorted set of the members. O(N log N).
    pub fn into_zset(mut self, limits: &Limits) -> ZSet {
        self.sort();
        if self.len() <= limits.entries {
            let (mut longest, mut room) = (0, 0usize);
            for (item, _) in self.iter() {
                longest = longest.max(item.len());
                room = room.saturating_add(item.len() + SCORE_BYTES_MAX);
            }
            let mut pack = Listpack::new();
            if longest <= limits.value && pack.fits(room) {
                self.iter().for_each(|(item, score)| packed::push(&mut pack, item, score));
                return ZSet(Repr::Pack(pack));
            }
        }
        let Gathering { members, order } = self;
        ZSet(Repr::Big(Box::new(Big::from_parts(members, Tree::from_sorted(order.into_iter())))))
    }
}
