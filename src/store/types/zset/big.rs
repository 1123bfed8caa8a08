//! Sorted sets of many members: each has one block of score and bytes, which `Members` finds by the bytes and owns, and
//! which the tree finds by score and rank. Every block begins with the score; where the bytes of the member are in it, its
//! kind `K` says: at once behind the score in a [`Scored`] one.
//!
//! # Invariants
//! - The tree has an entry for every member and no other, with the score that is in the member's block.
//! - An entry leaves the tree before its block is freed, so that no entry ever points to a block that is gone.
//!
//! `unsafe` is the lending of blocks to the tree, and nothing else. The tree has no owner of its own for members because a
//! second copy of each would cost as much as the whole index; that its order and ranks are right is tested with
//! members that are plain values (`tree`).
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, Range};

use super::iter::Ranked;
use super::tree::{Entry, Handle, Tree};
use crate::base::heap::{Mover, size_class};
use crate::store::blob::{Blob, KeyOf, Keyed, LentBlob};
use crate::store::hash::KeyHasher;
use crate::store::members::{BATCH, Member, Members};
use crate::store::pack::Item;
use crate::store::table::Entry as _;

/// Bytes of the score that a block begins with.
pub(super) const SCORE_BYTES: usize = size_of::<f64>();

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

/// A block that the tree is lent.
pub(super) struct Lent<K> {
    block: LentBlob,
    kind: PhantomData<fn() -> K>,
}

impl<K> Clone for Lent<K> {
    #[inline]
    fn clone(&self) -> Lent<K> {
        *self
    }
}

impl<K> Copy for Lent<K> {}

impl<K> fmt::Debug for Lent<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.block.fmt(f)
    }
}

impl<K> Deref for Lent<K> {
    type Target = LentBlob;
    #[inline]
    fn deref(&self) -> &LentBlob {
        &self.block
    }
}

impl<K: KeyOf> Handle for Lent<K> {
    #[inline]
    fn bytes(&self) -> &[u8] {
        K::key(&self.block)
    }
}

/// The members by bytes and by score.
#[derive(Debug)]
pub(super) struct Big<K: KeyOf = Scored> {
    members: Members<Keyed<K>>,
    tree: Tree<Lent<K>>,
}

/// The place of a block for the tree.
fn lend<K>(block: &Blob) -> Lent<K> {
    // SAFETY: blocks are freed only after their entries have left the tree, and changed only by `write_score` and
    // `Big::overwrite`, during which nothing is read from the tree.
    Lent { block: unsafe { block.lend() }, kind: PhantomData }
}

/// A new block, and the tree's entry for it.
pub(super) fn member(bytes: &[u8], score: f64) -> (Keyed<Scored>, Entry<Lent<Scored>>) {
    entered(Blob::concat(&[&score.to_ne_bytes(), bytes]))
}

/// A block as an entry of `Members`, and the tree's entry for it.
fn entered<K>(block: Blob) -> (Keyed<K>, Entry<Lent<K>>) {
    let entry = Entry { score: score_of(&block), member: lend(&block) };
    (Keyed::new(block), entry)
}

/// Writes another score into a member's block.
pub(super) fn write_score(block: &mut Blob, score: f64) {
    block[..SCORE_BYTES].copy_from_slice(&score.to_ne_bytes());
}

impl Big {
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
}

impl<K: KeyOf> Big<K> {
    /// No members.
    pub fn new(hasher: KeyHasher) -> Big<K> {
        Big { members: Members::new(hasher), tree: Tree::new() }
    }

    /// Members of blocks in ascending order, none of them twice. O(N).
    pub fn of_blocks(blocks: impl Iterator<Item = Blob>, hasher: KeyHasher) -> Big<K> {
        let mut members = Members::new(hasher);
        let tree = Tree::from_sorted(blocks.map(|block| {
            let (member, entry) = entered(block);
            members.insert(member);
            entry
        }));
        Big { members, tree }
    }

    /// Members, and the tree of them all.
    pub fn from_parts(members: Members<Keyed<K>>, tree: Tree<Lent<K>>) -> Big<K> {
        debug_assert_eq!(members.len(), tree.len());
        Big { members, tree }
    }

    /// The members by their bytes.
    #[inline]
    pub fn members(&self) -> &Members<Keyed<K>> {
        &self.members
    }

    /// The members in order.
    pub fn tree(&self) -> &Tree<Lent<K>> {
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

    /// A member with its block. O(1).
    pub fn get(&self, bytes: &[u8]) -> Option<Member<'_, Keyed<K>>> {
        self.members.get(bytes)
    }

    /// Adds the block of a member that is not there. O(log N).
    pub fn add(&mut self, block: Blob) {
        let (member, entry) = entered(block);
        self.members.insert(member);
        self.tree.insert(entry);
    }

    /// Gives a member that is there another score. O(log N).
    pub fn rescore(&mut self, bytes: &[u8], score: f64) {
        let Some(mut slot) = self.members.slot(bytes) else { return };
        let old = score_of(slot.blob());
        write_score(slot.get_mut().blob_mut(), score);
        self.tree.rescore(old, score, bytes);
    }

    /// Has `write` change bytes of the block of a member that is there: neither the score nor the member's own. O(1).
    pub fn overwrite(&mut self, bytes: &[u8], write: impl FnOnce(&mut [u8])) {
        if let Some(mut slot) = self.members.slot(bytes) {
            write(slot.get_mut().blob_mut());
        }
    }

    /// Puts another block of the same score and member in the place of the one that is there. O(log N).
    pub fn replace(&mut self, bytes: &[u8], block: Blob) {
        let Some(mut slot) = self.members.slot(bytes) else { return };
        debug_assert_eq!(score_of(slot.blob()), score_of(&block));
        // The tree has the new block from here on; the old one is freed at the end.
        self.tree.replace(score_of(&block), lend(&block));
        slot.replace(Keyed::new(block));
    }

    /// Takes a member out; its block. O(log N).
    pub fn take(&mut self, bytes: &[u8]) -> Option<Keyed<K>> {
        let slot = self.members.slot(bytes)?;
        self.tree.remove(score_of(slot.blob()), bytes);
        Some(slot.remove())
    }

    /// Has `take` take members out, which must hand the block of each to the function it is given, as the tree has them still.
    /// Returns the blocks in that order, and the ranks that the members had, ascending, if they are wanted. O(log N) for each.
    pub fn take_by(
        &mut self,
        take: impl FnOnce(&mut Members<Keyed<K>>, &mut dyn FnMut(Keyed<K>)),
        with_ranks: bool,
    ) -> (Vec<Keyed<K>>, Vec<usize>) {
        // The blocks live on here until their entries have left the tree.
        let mut taken: Vec<Keyed<K>> = Vec::new();
        take(&mut self.members, &mut |member| taken.push(member));
        let ranked = if with_ranks { &taken[..] } else { &[] };
        let mut ranks: Vec<_> = ranked.iter().map(|m| self.tree.rank(score_of(m.blob()), m.key())).collect();
        ranks.sort_unstable();
        for member in &taken {
            self.tree.remove(score_of(member.blob()), member.key());
        }
        (taken, ranks)
    }

    /// Takes a member out; its score. O(log N).
    pub fn remove(&mut self, bytes: &[u8]) -> Option<f64> {
        self.take(bytes).map(|member| score_of(member.blob()))
    }

    /// Takes the members of a range of ranks out, each of whose blocks is shown to `gone`. O(log N) for each leaf and O(1) for
    /// each member.
    pub fn remove_ranks(&mut self, ranks: Range<usize>, mut gone: impl FnMut(&[u8])) {
        let Big { members, tree } = self;
        let mut batch = Vec::with_capacity(BATCH);
        tree.drain(ranks, |entry| {
            entry.member.prefetch();
            batch.push(entry.member);
            if batch.len() == BATCH {
                batch.iter().for_each(|member| gone(member));
                members.remove_batch(batch.iter().map(Handle::bytes));
                batch.clear();
            }
        });
        batch.iter().for_each(|member| gone(member));
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
        size_class(size_of::<Big<K>>()) + self.members.bytes() + self.tree.heap_bytes() + blocks
    }

    /// Moves the blocks of the members from a cursor on where they should be: see [`Members::defragment`]. O(log N) for each moved.
    pub fn defragment(&mut self, cursor: u64, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u64> {
        let Big { members, tree } = self;
        let visit = |member: &mut Keyed<K>| {
            if member.blob().is_wanted(mover) {
                let blob = member.blob().clone();
                // The tree has the new block from here on, which the members own instead of the old one.
                tree.replace(score_of(&blob), lend(&blob));
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

impl<K: KeyOf> Clone for Big<K> {
    fn clone(&self) -> Big<K> {
        let blocks = Ranked::new(&self.tree, 0..self.tree.len()).map(|entry| Blob::concat(&[&entry.member]));
        Big::of_blocks(blocks, self.hasher())
    }
}
