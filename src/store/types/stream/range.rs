//! Finding entries: one, the first or last, or those between two ids, from either end.

use std::collections::btree_map;

use super::node::{self, Node};
use super::{Entry, Stream, StreamId};
use crate::store::pack::Listpack;

impl Stream {
    /// The live entries from `start` to `end`, both included, in order. To find the first costs O(log N), and a walk through
    /// a node; the others follow.
    pub fn range(&self, start: StreamId, end: StreamId) -> Forward<'_> {
        let nodes = &self.0.nodes;
        if start > end {
            return Forward { nodes: nodes.range(StreamId::MAX..), node: None, start, end: StreamId::MIN };
        }
        let first = nodes.range(..=start).next_back().map_or(start, |(&key, _)| key);
        Forward { nodes: nodes.range(first..=end), node: None, start, end }
    }

    /// The same entries, backwards.
    pub fn range_backward(&self, start: StreamId, end: StreamId) -> Backward<'_> {
        let nodes = &self.0.nodes;
        if start > end {
            return Backward { nodes: nodes.range(StreamId::MAX..), node: None, start: StreamId::MAX, end };
        }
        let first = nodes.range(..=start).next_back().map_or(start, |(&key, _)| key);
        Backward { nodes: nodes.range(first..=end), node: None, start, end }
    }

    /// The live entry of an id. O(log N), and a walk through a node.
    pub fn entry(&self, id: StreamId) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// True if there is a live entry of this id.
    pub fn contains(&self, id: StreamId) -> bool {
        self.entry(id).is_some()
    }

    /// The first live entry.
    pub fn first(&self) -> Option<Entry<'_>> {
        self.range(StreamId::MIN, StreamId::MAX).next()
    }

    /// The last live entry.
    pub fn last(&self) -> Option<Entry<'_>> {
        self.range_backward(StreamId::MIN, StreamId::MAX).next()
    }
}

/// Entries in order.
#[derive(Clone, Debug)]
pub struct Forward<'s> {
    nodes: btree_map::Range<'s, StreamId, Listpack>,
    node: Option<node::Forward<'s>>,
    start: StreamId,
    end: StreamId,
}

impl<'s> Iterator for Forward<'s> {
    type Item = Entry<'s>;

    fn next(&mut self) -> Option<Entry<'s>> {
        loop {
            if let Some(node) = &mut self.node {
                for found in node.by_ref() {
                    if found.entry.id > self.end {
                        return None;
                    }
                    if !found.deleted && found.entry.id >= self.start {
                        return Some(found.entry);
                    }
                }
            }
            let (&key, pack) = self.nodes.next()?;
            self.node = Some(Node::new(key, pack).forward());
        }
    }
}

/// Entries in reverse order.
#[derive(Clone, Debug)]
pub struct Backward<'s> {
    nodes: btree_map::Range<'s, StreamId, Listpack>,
    node: Option<node::Backward<'s>>,
    start: StreamId,
    end: StreamId,
}

impl<'s> Iterator for Backward<'s> {
    type Item = Entry<'s>;

    fn next(&mut self) -> Option<Entry<'s>> {
        loop {
            if let Some(node) = &mut self.node {
                for found in node.by_ref() {
                    if found.entry.id < self.start {
                        return None;
                    }
                    if !found.deleted && found.entry.id <= self.end {
                        return Some(found.entry);
                    }
                }
            }
            let (&key, pack) = self.nodes.next_back()?;
            self.node = Some(Node::new(key, pack).backward());
        }
    }
}

/// Nodes of a radix tree that holds these keys, which ascend: one where keys part (a fork), one for every run of bytes that
/// leads on without a choice, and one for every key's end. The empty tree is one node.
pub(super) fn radix_nodes(mut keys: impl Iterator<Item = [u8; 16]>) -> usize {
    let Some(mut key) = keys.next() else { return 1 };
    /// 1 if bytes lie between the fork above, which takes one itself, and a depth.
    fn run(above: Option<usize>, depth: usize) -> usize {
        usize::from(above.map_or(0, |above| above + 1) < depth)
    }
    let end = |fork| 1 + run(fork, 16);
    let mut count = 0;
    // Depths of the forks on the key's way; and the depth at which it parted from the key before it.
    let (mut forks, mut parted): (Vec<usize>, Option<usize>) = (Vec::new(), None);
    for next in keys {
        let depth = key.iter().zip(&next).take_while(|(a, b)| a == b).count();
        count += end(parted.max(Some(depth)));
        while let Some(fork) = forks.pop_if(|fork| *fork > depth) {
            count += 1 + run(forks.last().copied().max(Some(depth)), fork);
        }
        if forks.last() != Some(&depth) {
            forks.push(depth);
        }
        (key, parted) = (next, Some(depth));
    }
    count += end(parted);
    while let Some(fork) = forks.pop() {
        count += 1 + run(forks.last().copied(), fork);
    }
    count
}
