//! Members in order, from either end.

use std::iter::FusedIterator;
use std::ops::Range;

use super::packed::{self, Pairs};
use super::tree::{Entry, Handle, Tree};
use super::{Repr, ZSet};
use crate::store::blob::LentBlob;
use crate::store::pack::Item;

/// Members of a leaf whose bytes are under way to the cache.
const AHEAD: usize = 8;

/// The members and scores of a range of ranks of a sorted set, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'z>(Source<'z>);

#[derive(Clone, Debug)]
enum Source<'z> {
    Pack { pairs: Pairs<'z>, left: usize },
    Big(Ranked<'z>),
}

impl<'z> Iter<'z> {
    pub(super) fn new(zset: &'z ZSet, ranks: Range<usize>) -> Iter<'z> {
        Iter(match &zset.0 {
            Repr::Pack(pack) => {
                let len = packed::len(pack);
                let (start, end) = (ranks.start.min(len), ranks.end.min(len));
                Source::Pack { pairs: Pairs::new(pack, start, len - end.max(start)), left: end.saturating_sub(start) }
            }
            Repr::Big(big) => Source::Big(Ranked::new(big.tree(), ranks)),
        })
    }
}

impl<'z> Iterator for Iter<'z> {
    type Item = (Item<'z>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Item<'z>, f64)> {
        match &mut self.0 {
            Source::Pack { pairs, left } => {
                *left = left.checked_sub(1)?;
                pairs.next()
            }
            Source::Big(ranked) => ranked.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Pack { left, .. } => *left,
            Source::Big(ranked) => ranked.ranks.len(),
        };
        (left, Some(left))
    }
}

impl DoubleEndedIterator for Iter<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Pack { pairs, left } => {
                *left = left.checked_sub(1)?;
                pairs.next_back()
            }
            Source::Big(ranked) => ranked.next_back(),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

/// The entries of a range of ranks of a tree: a leaf at a time from each end, found by rank.
#[derive(Clone, Debug)]
pub(super) struct Ranked<'t> {
    tree: &'t Tree<LentBlob>,
    /// What is still to come.
    ranks: Range<usize>,
    /// Entries of one leaf from `ranks.start` on, perhaps some that have been given out from the back.
    front: &'t [Entry<LentBlob>],
    /// Entries of one leaf up to `ranks.end`, perhaps some that have been given out from the front.
    back: &'t [Entry<LentBlob>],
}

impl<'t> Ranked<'t> {
    pub fn new(tree: &'t Tree<LentBlob>, ranks: Range<usize>) -> Ranked<'t> {
        let end = ranks.end.min(tree.len());
        Ranked { tree, ranks: ranks.start.min(end)..end, front: &[], back: &[] }
    }
}

fn shown(entry: &Entry<LentBlob>) -> (Item<'_>, f64) {
    (Item::Bytes(entry.member.bytes()), entry.score)
}

impl<'t> Iterator for Ranked<'t> {
    type Item = (Item<'t>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Item<'t>, f64)> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.front.is_empty() {
            let (entries, at) = self.tree.leaf(self.ranks.start)?;
            self.front = &entries[at..entries.len().min(at + self.ranks.len())];
            self.front.iter().take(AHEAD).for_each(|entry| entry.member.prefetch());
        }
        if let Some(entry) = self.front.get(AHEAD) {
            entry.member.prefetch();
        }
        let (entry, rest) = self.front.split_first()?;
        self.front = rest;
        self.ranks.start += 1;
        Some(shown(entry))
    }
}

impl DoubleEndedIterator for Ranked<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.ranks.is_empty() {
            return None;
        }
        if self.back.is_empty() {
            let (entries, at) = self.tree.leaf(self.ranks.end - 1)?;
            self.back = &entries[(at + 1).saturating_sub(self.ranks.len())..=at];
            self.back.iter().rev().take(AHEAD).for_each(|entry| entry.member.prefetch());
        }
        if let Some(entry) = self.back.len().checked_sub(AHEAD + 1).and_then(|at| self.back.get(at)) {
            entry.member.prefetch();
        }
        let (entry, rest) = self.back.split_last()?;
        self.back = rest;
        self.ranks.end -= 1;
        Some(shown(entry))
    }
}
