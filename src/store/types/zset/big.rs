//! Sorted sets of many members: each has one block of score and bytes, which `Members` finds by the bytes and owns, and
//! which the tree finds by score and rank.
//!
//! # Invariants
//! - The tree has an entry for every member and no other, with the score that is in the member's block.
//! - An entry leaves the tree before its block is freed, so that no entry ever points to a block that is gone.
//!
//! `unsafe` is the lending of blocks to the tree, and nothing else. The tree has no owner of its own for members because a
//! second copy of each would cost as much as the whole index; that its order and ranks are right is tested with
//! members that are plain values (`tree`).
#![allow(unsafe_code)]

use std::ops::Range;

use super::iter::Ranked;
use super::tree::{Entry, Handle, Tree};
use crate::base::heap::{Mover, size_class};
use crate::store::blob::{Blob, KeyOf, Keyed, LentBlob};
use crate::store::hash::KeyHasher;
use crate::store::members::{BATCH, Members};
use crate::store::pack::Item;
use crate::store::table::Entry as _;

/// Bytes of the score before the member's bytes.
const SCORE_BYTES: usize = size_of::<f64>();

/// A block of a score and the member's bytes.
#[derive(Debug)]
pub(super) struct Scored;

impl KeyOf for Scored {
    #[inline]
    fn key(bytes: &[u8]) -> &[u8] {
        &bytes[SCORE_BYTES..]
    }
}

/// The score in a block.
#[inline]
pub(super) fn score_of(block: &[u8]) -> f64 {
    block.first_chunk().map_or(0.0, |bytes| f64::from_ne_bytes(*bytes))
}

impl Handle for LentBlob {
    #[inline]
    fn bytes(&self) -> &[u8] {
        Scored::key(self)
    }
}

/// The members by bytes and by score.
#[derive(Debug)]
pub(super) struct Big {
    members: Members<Keyed<Scored>>,
    tree: Tree<LentBlob>,
}

/// A new block, and the tree's entry for it.
pub(super) fn member(bytes: &[u8], score: f64) -> (Keyed<Scored>, Entry<LentBlob>) {
    let block = Blob::concat(&[&score.to_ne_bytes(), bytes]);
    // SAFETY: blocks are freed only after their entries have left the tree, and changed only by `write_score`, during
    // which nothing is read from the tree.
    let member = unsafe { block.lend() };
    (Keyed::new(block), Entry { score, member })
}

/// Writes another score into a member's block.
pub(super) fn write_score(block: &mut Blob, score: f64) {
    block[..SCORE_BYTES].copy_from_slice(&score.to_ne_bytes());
}

impl Big {
    /// No members.
    pub fn new(hasher: KeyHasher) -> Big {
        Big { members: Members::new(hasher), tree: Tree::new() }
    }

    /// Members in ascending order, none of them twice. O(N).
    pub fn from_sorted<'m>(entries: impl Iterator<Item = (Item<'m>, f64)>, hasher: KeyHasher) -> Big {
        let mut members = Members::new(hasher);
        let mut digits = itoa::Buffer::new();
        let tree = Tree::from_sorted(entries.map(|(item, score)| {
            let (block, entry) = member(item.text(&mut digits), score);
            members.insert(block);
            entry
        }));
        Big { members, tree }
    }

    /// Members, and the tree of them all.
    pub fn from_parts(members: Members<Keyed<Scored>>, tree: Tree<LentBlob>) -> Big {
        debug_assert_eq!(members.len(), tree.len());
        Big { members, tree }
    }

    /// The members by their bytes.
    #[inline]
    pub fn members(&self) -> &Members<Keyed<Scored>> {
        &self.members
    }

    /// The members in order.
    pub fn tree(&self) -> &Tree<LentBlob> {
        &self.tree
    }

    /// The hasher that places the members.
    pub fn hasher(&self) -> KeyHasher {
        self.members.hasher()
    }

    /// The score of a member. O(1).
    #[inline]
    pub fn score(&self, bytes: &[u8]) -> Option<f64> {
        self.members.get(bytes).map(|member| score_of(member.blob()))
    }

    /// Adds a member that is not there. O(log N).
    pub fn insert(&mut self, bytes: &[u8], score: f64) {
        let (block, entry) = member(bytes, score);
        self.members.insert(block);
        self.tree.insert(entry);
    }

    /// The score that `decide` makes of a member's present one, if it has one; `None` leaves all as it is. Returns the score
    /// before and the one after. O(log N).
    pub fn update(
        &mut self,
        bytes: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> (Option<f64>, Option<f64>) {
        let Some(mut slot) = self.members.slot(bytes) else {
            let new = decide(None);
            if let Some(score) = new {
                self.insert(bytes, score);
            }
            return (None, new);
        };
        let old = score_of(slot.blob());
        let new = decide(Some(old)).filter(|&score| score != old);
        if let Some(score) = new {
            write_score(slot.get_mut().blob_mut(), score);
            self.tree.rescore(old, score, bytes);
        }
        (Some(old), Some(new.unwrap_or(old)))
    }

    /// Takes a member out; its score. O(log N).
    pub fn remove(&mut self, bytes: &[u8]) -> Option<f64> {
        let slot = self.members.slot(bytes)?;
        let score = score_of(slot.blob());
        self.tree.remove(score, bytes);
        slot.remove();
        Some(score)
    }

    /// Takes the members of a range of ranks out. O(log N) for each leaf and O(1) for each member.
    pub fn remove_ranks(&mut self, ranks: Range<usize>) {
        let Big { members, tree } = self;
        let mut batch = Vec::with_capacity(BATCH);
        tree.drain(ranks, |entry| {
            entry.member.prefetch();
            batch.push(entry.member);
            if batch.len() == BATCH {
                members.remove_batch(batch.iter().map(Handle::bytes));
                batch.clear();
            }
        });
        members.remove_batch(batch.iter().map(Handle::bytes));
    }

    /// Walks part of the members: see [`Members::scan`].
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(&[u8], f64)) -> u64 {
        self.members.scan(cursor, |member| visit(member.key(), score_of(member.blob())))
    }

    /// Walks the members from a place on: see [`Members::read_on`].
    pub fn read_on(&self, place: u64, mut visit: impl FnMut(&[u8], f64), go_on: impl FnMut() -> bool) -> Option<u64> {
        self.members.read_on(place, |member| visit(member.key(), score_of(member.blob())), go_on)
    }

    /// Calls `visit` for every member, in no order. O(N).
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], f64)) {
        self.members.for_each(|member| visit(member.key(), score_of(member.blob())));
    }

    /// Bytes on the heap, the members' own estimated from so many. O(samples).
    pub fn heap_bytes(&self, samples: usize) -> usize {
        let (mut bytes, mut count, mut cursor) = (0, 0, 0);
        loop {
            cursor = self.members.scan(cursor, |member| {
                bytes += member.blob().heap_bytes();
                count += 1;
            });
            if cursor == 0 || count >= samples {
                break;
            }
        }
        let blocks = (bytes as f64 / count.max(1) as f64 * self.tree.len() as f64) as usize;
        size_class(size_of::<Big>()) + self.members.bytes() + self.tree.heap_bytes() + blocks
    }

    /// Moves the blocks of the members from a cursor on where they should be: see [`Members::defragment`]. O(log N) for each moved.
    pub fn defragment(&mut self, cursor: u64, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
        let Big { members, tree } = self;
        let visit = |member: &mut Keyed<Scored>| {
            if member.blob().is_wanted(mover) {
                let blob = member.blob().clone();
                // SAFETY: the tree has the new block from here on, which the members own instead of the old one.
                tree.replace(score_of(&blob), unsafe { blob.lend() });
                *member.blob_mut() = blob;
            }
        };
        members.defragment(cursor, visit, go_on)
    }

    /// Heap blocks that dropping this frees. O(1).
    pub fn blocks(&self) -> usize {
        1 + self.members.blocks() + self.tree.blocks()
    }
}

impl Clone for Big {
    fn clone(&self) -> Big {
        Big::from_sorted(Ranked::new(&self.tree, 0..self.tree.len()), self.hasher())
    }
}
