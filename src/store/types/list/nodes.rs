//! A long list: nodes in a row, each a pack of limited size or one large element.
//!
//! Where nodes are split, merged and left alone follows redis-server's quicklist to the letter, because it shows: a list
//! whose elements have come to lie in one small node becomes a plain pack again.
//!
//! # Invariants
//! - `len` is the number of elements in all nodes, and no node is empty. There may be no nodes at all while a command is at
//!   work on the list.
//! - Large elements (`Fill::is_large` when they came) have nodes of their own.
//! - The outermost nodes are not compressed: so many at either end as the fill says, all of them if it says nothing. Whatever is
//!   changed farther inside is expanded first, and compressed afterwards.
//!
//! Called by `List`. Knows nothing of when a list takes this form.

use std::collections::VecDeque;
use std::sync::Arc;

#[cfg(test)]
use super::compressed::Compressed;
use super::element::{Element, Elements, Needle};
use super::fill::Fill;
use super::node::Node;
use super::{End, Part, Removed};
use crate::base::heap::{self, Mover, size_class};
use crate::store::pack::DequePack;

/// A ring of nodes with fewer places is never made smaller.
const PLACES_MIN: usize = 64;

/// Nodes that a change may add, which moves as many out of those at an end.
const ADDED_MAX: usize = 2;

/// Nodes that a change at one of them may reach before it: two are merged with it.
const CHANGED_BEFORE: usize = 3;

/// The same behind it.
const CHANGED_AFTER: usize = 5;

/// The nodes of a list.
#[derive(Clone, Debug)]
pub(super) struct Nodes {
    nodes: VecDeque<Node>,
    len: usize,
    /// The limits that held when the list took this form: they stay its own.
    fill: Fill,
}

impl Nodes {
    /// A list of no nodes.
    pub fn new(fill: Fill) -> Nodes {
        Nodes { nodes: VecDeque::new(), len: 0, fill: fill.of_nodes() }
    }

    /// A copy without nodes yet, but with room for them. O(1).
    pub fn begin_copy(&self) -> Nodes {
        Nodes { nodes: VecDeque::with_capacity(self.nodes.len()), len: 0, fill: self.fill }
    }

    /// Copies the nodes that come next: see [`List::copy_on`](super::List::copy_on).
    pub fn copy_on(&mut self, of: &Nodes, mut go_on: impl FnMut(usize, usize) -> bool) -> bool {
        while let Some(node) = of.nodes.get(self.nodes.len()) {
            self.len += node.count();
            self.nodes.push_back(node.clone());
            if !go_on(1, node.heap_bytes()) {
                break;
            }
        }
        self.nodes.len() == of.nodes.len()
    }

    /// Adds a node at the tail, unless it is empty.
    pub fn push_node(&mut self, node: Node) {
        if node.count() > 0 {
            self.len += node.count();
            self.nodes.push_back(node);
            self.compress_behind(End::Tail);
        }
    }

    /// Number of elements.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap, estimated from so many nodes if there are more. O(samples).
    pub fn heap_bytes(&self, samples: usize) -> usize {
        let step = self.nodes.len().div_ceil(samples.max(1)).max(1);
        let (mut sampled, mut bytes) = (0, 0);
        for node in self.nodes.iter().step_by(step) {
            sampled += 1;
            bytes += node.heap_bytes();
        }
        let nodes = bytes as f64 / sampled.max(1) as f64 * self.nodes.len() as f64;
        size_class(size_of::<Nodes>()) + heap::deque(&self.nodes) + nodes as usize
    }

    /// Moves the nodes from an index on to other heap blocks where they should be, until `go_on` returns false; the index to go
    /// on from. Nodes of one large element stay.
    pub fn defragment(&mut self, from: usize, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<usize> {
        for index in from..self.nodes.len() {
            match &mut self.nodes[index] {
                Node::Packed { pack, .. } => pack.defragment(mover),
                Node::Compressed { compressed, .. } => compressed.defragment(mover),
                Node::Big(_) => {}
            }
            if !go_on() {
                return Some(index + 1);
            }
        }
        None
    }

    /// Number of nodes.
    pub fn blocks(&self) -> usize {
        self.nodes.len()
    }

    /// The nodes.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.nodes.iter().map(Node::part)
    }

    /// The nodes from an index on.
    pub fn parts_from(&self, index: usize) -> impl Iterator<Item = Part<'_>> {
        self.nodes.range(index.min(self.nodes.len())..).map(Node::part)
    }

    /// Compresses the node that has just become too far from an end, because a node was added there.
    #[inline]
    fn compress_behind(&mut self, end: End) {
        if let Some(depth) = self.fill.depth() {
            let at = match end {
                End::Head => Some(depth),
                End::Tail => self.nodes.len().checked_sub(depth + 1),
            };
            if let Some(at) = at.filter(|&at| at >= depth && at + depth < self.nodes.len()) {
                self.nodes[at].compress();
            }
        }
    }

    /// Expands and compresses what has to be after nodes from `first` on were changed, and some added or removed there.
    fn compress_around(&mut self, first: usize) {
        let Some(depth) = self.fill.depth() else { return };
        let len = self.nodes.len();
        let outer = depth + ADDED_MAX;
        let ranges =
            [0..outer, first.saturating_sub(CHANGED_BEFORE)..first + CHANGED_AFTER, len.saturating_sub(outer)..len];
        for at in ranges.into_iter().flat_map(|range| range.start.min(len)..range.end.min(len)) {
            if at >= depth && at + depth < len {
                self.nodes[at].compress();
            } else {
                self.nodes[at].expand();
            }
        }
    }

    /// The elements of so many nodes from an index on.
    pub fn elements_of_parts(&self, index: usize, parts: usize) -> Elements<'_> {
        let first = index.min(self.nodes.len());
        Elements::of_nodes(None, self.nodes.range(first..first.saturating_add(parts).min(self.nodes.len())), None)
    }

    /// The pack of the only node, if `accept` says that its bytes and elements are few enough. The list is empty then.
    pub fn take_pack(&mut self, accept: impl FnOnce(usize, usize) -> bool) -> Option<DequePack> {
        match self.nodes.front() {
            Some(Node::Packed { pack, .. }) if self.nodes.len() == 1 && accept(pack.bytes(), self.len) => {}
            _ => return None,
        }
        self.len = 0;
        match self.nodes.pop_front() {
            Some(Node::Packed { pack, .. }) => Some(pack),
            _ => unreachable!("the front was looked at"),
        }
    }
}

/// Reading.
impl Nodes {
    /// Node and index in it of the element at an index below the length. Walks the nodes from the nearer end.
    fn locate(&self, index: usize) -> (usize, usize) {
        debug_assert!(index < self.len);
        if index < self.len / 2 {
            let mut offset = index;
            for (at, node) in self.nodes.iter().enumerate() {
                match offset.checked_sub(node.count()) {
                    Some(rest) => offset = rest,
                    None => return (at, offset),
                }
            }
        } else {
            let mut from_end = self.len - index;
            for (at, node) in self.nodes.iter().enumerate().rev() {
                match node.count().checked_sub(from_end) {
                    Some(offset) => return (at, offset),
                    None => from_end -= node.count(),
                }
            }
        }
        unreachable!("the counts of the nodes add up to the length")
    }

    /// The element at an index.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        (index < self.len).then(|| {
            let (at, offset) = self.locate(index);
            self.nodes[at].element(offset)
        })
    }

    /// The first or last element.
    #[inline]
    pub fn end(&self, end: End) -> Option<Element<'_>> {
        let node = match end {
            End::Head => self.nodes.front(),
            End::Tail => self.nodes.back(),
        };
        node.map(|node| node.end(end))
    }

    /// All elements.
    pub fn elements(&self) -> Elements<'_> {
        Elements::of_nodes(None, self.nodes.iter(), None)
    }

    /// The elements from an index on.
    pub fn elements_from(&self, index: usize) -> Elements<'_> {
        if index >= self.len {
            return Elements::none();
        }
        let (at, offset) = self.locate(index);
        Elements::of_nodes(Some(self.nodes[at].elements_from(offset)), self.nodes.range(at + 1..), None)
    }

    /// The elements before an index.
    pub fn elements_until(&self, index: usize) -> Elements<'_> {
        if index >= self.len {
            return self.elements();
        }
        let (at, offset) = self.locate(index);
        Elements::of_nodes(None, self.nodes.range(..at), Some(self.nodes[at].elements_until(offset)))
    }
}

/// Writing.
impl Nodes {
    /// Adds an element at an end. O(1), but for the bytes of one node.
    #[inline]
    pub fn push(&mut self, end: End, text: &[u8]) {
        let fill = self.fill;
        self.len += 1;
        let outermost = match end {
            End::Head => self.nodes.front_mut(),
            End::Tail => self.nodes.back_mut(),
        };
        match outermost {
            Some(node) if node.takes(text.len(), fill) => node.push(end, text),
            _ => self.push_own(end, Node::of(text, fill)),
        }
    }

    /// Adds a large element, which others may hold as well, at an end.
    pub fn push_shared(&mut self, end: End, bytes: Arc<Vec<u8>>) {
        if !self.fill.is_large(bytes.len()) {
            return self.push(end, &bytes);
        }
        self.len += 1;
        self.push_own(end, Node::Big(bytes));
    }

    fn push_own(&mut self, end: End, node: Node) {
        match end {
            End::Head => {
                // The node that was first is full: at its front nothing is added any more.
                self.nodes.front_mut().into_iter().for_each(Node::give_back_room);
                self.nodes.push_front(node);
            }
            End::Tail => self.nodes.push_back(node),
        }
        self.compress_behind(end);
    }

    /// Removes the first or last element, if there is one. O(1), but for the bytes of one node.
    #[inline]
    pub fn remove_end(&mut self, end: End) {
        let outermost = match end {
            End::Head => self.nodes.front_mut(),
            End::Tail => self.nodes.back_mut(),
        };
        let Some(node) = outermost else { return };
        self.len -= 1;
        if node.count() > 1 {
            return node.remove_end(end);
        }
        match end {
            End::Head => self.nodes.pop_front(),
            End::Tail => self.nodes.pop_back(),
        };
        self.expand_ends();
        self.give_back_places();
    }

    /// Expands the nodes that have come near an end because others were removed.
    fn expand_ends(&mut self) {
        if let Some(depth) = self.fill.depth() {
            let len = self.nodes.len();
            (0..depth.min(len)).chain(len.saturating_sub(depth)..len).for_each(|at| self.nodes[at].expand());
        }
    }

    /// Gives memory of the ring back when most of it is unused.
    fn give_back_places(&mut self) {
        if self.nodes.capacity() > PLACES_MIN && self.nodes.len() < self.nodes.capacity() / 4 {
            self.nodes.shrink_to(2 * self.nodes.len());
        }
    }

    /// Adds an element before or after the first that equals the pivot. False if none does.
    pub fn insert_beside(&mut self, pivot: &Needle<'_>, text: &[u8], after: bool) -> bool {
        let found = self.nodes.iter().enumerate().find_map(|(at, node)| {
            let offset = node.elements().position(|element| pivot.is(&element))?;
            Some((at, offset))
        });
        if let Some((at, offset)) = found {
            self.insert(at, offset, text, after);
            self.compress_around(at);
        }
        found.is_some()
    }

    /// Adds an element before or after the one at an index below the length.
    pub fn insert_at(&mut self, index: usize, text: &[u8], after: bool) {
        let (at, offset) = self.locate(index);
        self.insert(at, offset, text, after);
        self.compress_around(at);
    }

    /// Adds an element before or after the one at an offset of a node.
    fn insert(&mut self, at: usize, offset: usize, text: &[u8], after: bool) {
        let fill = self.fill;
        self.len += 1;
        let node = &mut self.nodes[at];
        if node.takes(text.len(), fill) {
            node.expand();
            return node.insert(offset, text, after);
        }
        let cut = offset + usize::from(after);
        if 0 < cut && cut < node.count() {
            return self.insert_between(at, cut, text, after);
        }
        // At the edge of the node: the neighbour may take it.
        let (neighbour, near, place) =
            if after { (Some(at + 1), End::Head, at + 1) } else { (at.checked_sub(1), End::Tail, at) };
        match neighbour.and_then(|neighbour| self.nodes.get_mut(neighbour)) {
            Some(neighbour) if neighbour.takes(text.len(), fill) => {
                neighbour.expand();
                neighbour.push(near, text);
            }
            _ => self.nodes.insert(place, Node::of(text, fill)),
        }
    }

    /// Splits a node that is too full for an element, which goes to the end of the one half or the beginning of the other.
    fn insert_between(&mut self, at: usize, cut: usize, text: &[u8], after: bool) {
        self.nodes[at].expand();
        let tail = self.nodes[at].split_off(cut);
        self.nodes.insert(at + 1, tail);
        if self.fill.is_large(text.len()) {
            self.nodes.insert(at + 1, Node::of(text, self.fill));
        } else if after {
            self.nodes[at + 1].push(End::Head, text);
            self.merge_around(at);
        } else {
            self.nodes[at].push(End::Tail, text);
            self.merge_around(at + 1);
        }
    }

    /// Replaces the element at an index below the length.
    pub fn replace(&mut self, index: usize, text: &[u8]) {
        let (at, offset) = self.locate(index);
        let is_large = self.fill.is_large(text.len());
        self.nodes[at].expand();
        match &mut self.nodes[at] {
            Node::Big(bytes) if is_large => *bytes = Arc::new(text.to_vec()),
            Node::Big(_) => {
                self.insert(at, offset, text, true);
                self.nodes.remove(at);
                self.len -= 1;
            }
            node => {
                if is_large || !node.try_replace(offset, text) {
                    self.replace_by_node(at, offset, text);
                }
            }
        }
        self.compress_around(at);
    }

    /// Replaces an element of a pack by a node of its own.
    fn replace_by_node(&mut self, at: usize, offset: usize, text: &[u8]) {
        let node = &mut self.nodes[at];
        if offset + 1 < node.count() {
            let tail = node.split_off(offset + 1);
            self.nodes.insert(at + 1, tail);
        }
        self.nodes.insert(at + 1, Node::of(text, self.fill));
        if offset == 0 {
            self.nodes.remove(at);
        } else {
            self.nodes[at].remove_end(End::Tail);
            self.merge_around(at + 1);
        }
    }

    /// Merges a node and its two neighbours on either side as far as the limits allow.
    fn merge_around(&mut self, center: usize) {
        let mut center = center;
        if center >= 2 && self.merge_with_next(center - 2) {
            center -= 1;
        }
        self.merge_with_next(center + 1);
        if center >= 1 && self.merge_with_next(center - 1) {
            center -= 1;
        }
        self.merge_with_next(center);
    }

    fn merge_with_next(&mut self, at: usize) -> bool {
        let (Some(node), Some(next)) = (self.nodes.get(at), self.nodes.get(at + 1)) else { return false };
        if !node.may_merge(next, self.fill) {
            return false;
        }
        let next = self.nodes.remove(at + 1).expect("it was looked at");
        self.nodes[at].merge(next);
        true
    }

    /// Removes `count` elements, which there must be, from an index on. Returns the nodes that only held such elements.
    pub fn remove_range(&mut self, start: usize, count: usize) -> Removed {
        if count == 0 {
            return Removed::default();
        }
        let (mut first, offset) = self.locate(start);
        self.len -= count;
        let mut left = count;
        if offset > 0 {
            let node = &mut self.nodes[first];
            node.expand();
            let removed = left.min(node.count() - offset);
            node.remove_range(offset, removed);
            left -= removed;
            first += 1;
        }
        let mut end = first;
        while let Some(whole) = self.nodes.get(end).map(Node::count).filter(|&whole| whole <= left && left > 0) {
            left -= whole;
            end += 1;
        }
        if left > 0 {
            self.nodes[end].expand();
            self.nodes[end].remove_range(0, left);
        }
        let removed = Removed(self.nodes.drain(first..end).collect());
        self.compress_around(first);
        self.give_back_places();
        removed
    }

    /// Removes up to `limit` elements with a text, beginning at an end, behind so many nodes that have been gone by; returns how many.
    /// `go_on` is told how many elements each node had, and ends it; then `passed` says where to go on. O(elements looked at), and
    /// O(nodes) if one is emptied.
    pub fn remove_equal(
        &mut self,
        needle: &Needle<'_>,
        limit: usize,
        from: End,
        passed: &mut usize,
        mut go_on: impl FnMut(usize) -> bool,
    ) -> usize {
        let mut emptied = Vec::new();
        let mut removed = 0;
        let count = self.nodes.len();
        for step in *passed..count {
            if removed == limit {
                break;
            }
            let at = if from == End::Head { step } else { count - 1 - step };
            let node = &mut self.nodes[at];
            let held = node.count();
            let was_compressed = matches!(node, Node::Compressed { .. });
            node.expand();
            let here = node.remove_equal(needle, limit - removed, from);
            if was_compressed && here < held {
                node.compress();
            }
            removed += here;
            if here == held {
                emptied.push(at);
            } else {
                *passed += 1;
            }
            if !go_on(held) {
                break;
            }
        }
        self.len -= removed;
        if !emptied.is_empty() {
            emptied.sort_unstable();
            let (mut at, mut emptied) = (0, emptied.into_iter().peekable());
            self.nodes.retain(|_| {
                at += 1;
                emptied.next_if_eq(&(at - 1)).is_none()
            });
            self.expand_ends();
            self.give_back_places();
        }
        removed
    }

    /// How many nodes are compressed, for tests.
    #[cfg(test)]
    pub fn compressed(&self) -> usize {
        self.nodes.iter().filter(|node| matches!(node, Node::Compressed { .. })).count()
    }

    #[cfg(test)]
    pub fn check_invariants(&self) {
        assert_eq!(self.nodes.iter().map(Node::count).sum::<usize>(), self.len);
        let depth = self.fill.depth().unwrap_or(usize::MAX);
        for (at, node) in self.nodes.iter().enumerate() {
            let is_outer = at < depth || at + depth.min(self.nodes.len()) >= self.nodes.len();
            let mut expanded = node.clone();
            expanded.expand();
            assert_eq!(expanded.count(), node.count());
            match node {
                Node::Compressed { .. } => assert!(!is_outer, "an outer node is compressed"),
                _ => assert!(is_outer || Compressed::of(node).is_none(), "an inner node is not compressed"),
            }
            match &expanded {
                Node::Compressed { .. } => unreachable!("it was expanded"),
                Node::Packed { pack, count } => {
                    assert!(*count > 0 && pack.iter().count() == *count as usize);
                    assert!(pack.iter().all(|item| !self.fill.is_large(item.len())));
                }
                Node::Big(bytes) => assert!(self.fill.is_large(bytes.len())),
            }
        }
    }

    /// Elements in each node, for tests.
    #[cfg(test)]
    pub fn counts(&self) -> Vec<usize> {
        self.nodes.iter().map(Node::count).collect()
    }
}
