//! Members in order, from either end.

use std::iter::FusedIterator;
use std::ops::Range;

use super::big::{Lent, Scored};
use super::packed::{self, Pairs};
use super::timed::Seen;
use super::tree::{Entry, Handle, Tree};
use super::{Repr, ZSet};
use crate::store::blob::KeyOf;
use crate::store::pack::Item;

/// Members of a leaf whose bytes are under way to the cache.
const AHEAD: usize = 8;

/// The members and scores of a range of ranks of a sorted set, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'z>(Source<'z>);

#[derive(Clone, Debug)]
enum Source<'z> {
    Pack { pairs: Pairs<'z>, left: usize },
    Big(Ranked<'z, Scored>),
    Timed(Seen<'z>),
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
            Repr::Timed(timed) => Source::Timed(timed.iter(ranks)),
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
            Source::Big(ranked) => ranked.next().map(shown),
            Source::Timed(seen) => seen.next().map(shown),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Pack { left, .. } => *left,
            Source::Big(ranked) => ranked.ranks.len(),
            Source::Timed(seen) => seen.left(),
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
            Source::Big(ranked) => ranked.next_back().map(shown),
            Source::Timed(seen) => seen.next_back().map(shown),
        }
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

/// The entries of a range of ranks of a tree: a leaf at a time from each end, found by rank.
#[derive(Debug)]
pub(super) struct Ranked<'t, K> {
    tree: &'t Tree<Lent<K>>,
    /// What is still to come.
    ranks: Range<usize>,
    /// Entries of one leaf from `ranks.start` on, perhaps some that have been given out from the back.
    front: &'t [Entry<Lent<K>>],
    /// Entries of one leaf up to `ranks.end`, perhaps some that have been given out from the front.
    back: &'t [Entry<Lent<K>>],
}

impl<K> Clone for Ranked<'_, K> {
    fn clone(&self) -> Self {
        Ranked { ranks: self.ranks.clone(), ..*self }
    }
}

impl<'t, K: KeyOf> Ranked<'t, K> {
    /// The range is cut to the ranks there are.
    pub fn new(tree: &'t Tree<Lent<K>>, ranks: Range<usize>) -> Ranked<'t, K> {
        let end = ranks.end.min(tree.len());
        Ranked { tree, ranks: ranks.start.min(end)..end, front: &[], back: &[] }
    }

    /// The ranks still to come.
    pub fn ranks(&self) -> &Range<usize> {
        &self.ranks
    }
}

#[inline]
fn shown<K: KeyOf>(entry: &Entry<Lent<K>>) -> (Item<'_>, f64) {
    (Item::Bytes(entry.member.bytes()), entry.score)
}

impl<'t, K: KeyOf> Iterator for Ranked<'t, K> {
    type Item = &'t Entry<Lent<K>>;

    #[inline]
    fn next(&mut self) -> Option<&'t Entry<Lent<K>>> {
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
        Some(entry)
    }
}

impl<K: KeyOf> DoubleEndedIterator for Ranked<'_, K> {
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
        Some(entry)
    }
}
