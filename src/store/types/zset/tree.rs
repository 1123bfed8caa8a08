//! Entries in order of score and, where scores are equal, of member: a B+tree whose inner nodes count what is below them,
//! so that an entry is found by its rank as fast as by its score.
//!
//! # Invariants (`check_invariants` in tests)
//! - Entries ascend strictly; all leaves are equally deep.
//! - A child's `first` is the first entry below it, its `count` the number of entries below it, which is never 0.
//! - A node holds at most [`LEAF_MAX`] entries or [`INNER_MAX`] children. One that has lost so many that a quarter is left
//!   has been joined with a neighbour.
//!
//! Nodes grow in small steps: splitting halves them, and the memory of the empty halves would be a third of the tree.
//!
//! Used by `zset::big`. Knows members only through [`Handle`], which is why nothing here is `unsafe`, whoever owns them.

use std::cmp::Ordering;
use std::mem::size_of;
use std::ops::Range;

/// Entries in a leaf: 1 KiB.
pub(super) const LEAF_MAX: usize = 64;
/// Children of an inner node: 1.5 KiB.
const INNER_MAX: usize = 32;
/// Entries or children by which a node's memory grows and shrinks: the distance of the allocator's size classes.
const STEP: usize = 8;
/// Part of a node that bulk building leaves free, so that the first insertions after it split nothing.
const BULK_FREE: usize = 8;

/// Where a member's bytes are.
pub(super) trait Handle: Copy {
    /// The bytes.
    fn bytes(&self) -> &[u8];
}

/// A score and its member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<H> {
    pub score: f64,
    pub member: H,
}

impl<H: Handle> Entry<H> {
    /// How the entry stands to a score and a member.
    #[inline]
    fn order(&self, score: f64, member: &[u8]) -> Ordering {
        order(self.score, score).then_with(|| self.member.bytes().cmp(member))
    }

    #[inline]
    fn is_before(&self, score: f64, member: &[u8]) -> bool {
        self.order(score, member) == Ordering::Less
    }
}

/// How two scores stand to each other: numbers, never NaN, and the zeros are equal.
#[inline]
pub fn order(a: f64, b: f64) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

/// The tree.
#[derive(Debug)]
pub(super) struct Tree<H> {
    root: Node<H>,
    len: usize,
}

#[derive(Debug)]
enum Node<H> {
    Leaf(Vec<Entry<H>>),
    Inner(Vec<Child<H>>),
}

#[derive(Debug)]
struct Child<H> {
    first: Entry<H>,
    count: usize,
    node: Node<H>,
}

/// Makes room for one more, by a step.
#[inline]
fn make_room<T>(vec: &mut Vec<T>) {
    if vec.len() == vec.capacity() {
        vec.reserve_exact(STEP - vec.len() % STEP);
    }
}

/// Gives back memory once two steps are empty.
#[inline]
fn give_back<T>(vec: &mut Vec<T>) {
    if vec.capacity() >= vec.len() + 2 * STEP {
        vec.shrink_to(vec.len().next_multiple_of(STEP));
    }
}

/// Splits a node's content before `at`; both parts take no more memory than they need.
fn split<T>(vec: &mut Vec<T>, at: usize) -> Vec<T> {
    let mut right = Vec::with_capacity((vec.len() - at).next_multiple_of(STEP).max(STEP));
    right.extend(vec.drain(at..));
    give_back(vec);
    right
}

/// Moves the content of the right one of two neighbours to the left one, or evens them out if it is too much for one node.
/// Returns the right one if it is still needed.
fn join<T>(left: &mut Vec<T>, mut right: Vec<T>, max: usize) -> Option<Vec<T>> {
    let total = left.len() + right.len();
    left.reserve_exact(total.next_multiple_of(STEP) - left.len());
    left.append(&mut right);
    if total <= max {
        return None;
    }
    Some(split(left, total / 2))
}

impl<H: Handle> Child<H> {
    fn new(node: Node<H>) -> Child<H> {
        Child { first: node.first(), count: node.count(), node }
    }

    fn refresh(&mut self) {
        self.first = self.node.first();
        self.count = self.node.count();
    }
}

impl<H: Handle> Node<H> {
    /// The first entry below a node that has one.
    fn first(&self) -> Entry<H> {
        match self {
            Node::Leaf(entries) => entries[0],
            Node::Inner(children) => children[0].first,
        }
    }

    /// Entries below.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(entries) => entries.len(),
            Node::Inner(children) => children.iter().map(|child| child.count).sum(),
        }
    }

    /// True if so little is left that the node should be joined with a neighbour.
    fn is_sparse(&self) -> bool {
        match self {
            Node::Leaf(entries) => entries.len() < LEAF_MAX / 4,
            Node::Inner(children) => children.len() < INNER_MAX / 4,
        }
    }

    /// Adds an entry that is not there. Returns the node's right part if it had to be split. `last` is true on the way down
    /// the right edge of the tree, where entries often come in order: a full node is left full there.
    fn insert(&mut self, entry: Entry<H>, last: bool) -> Option<Node<H>> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.partition_point(|other| other.is_before(entry.score, entry.member.bytes()));
                insert_at(entries, at, entry, LEAF_MAX, last).map(Node::Leaf)
            }
            Node::Inner(children) => {
                let below = children.partition_point(|child| child.first.is_before(entry.score, entry.member.bytes()));
                let index = below.saturating_sub(1);
                let edge = last && index + 1 == children.len();
                let child = &mut children[index];
                let Some(right) = child.node.insert(entry, edge) else {
                    child.count += 1;
                    if below == 0 {
                        child.first = entry;
                    }
                    return None;
                };
                child.refresh();
                insert_at(children, index + 1, Child::new(right), INNER_MAX, edge).map(Node::Inner)
            }
        }
    }

    /// Puts another handle of the same member in the place of the one that is there.
    fn replace(&mut self, score: f64, member: H) {
        match self {
            Node::Leaf(entries) => {
                if let Ok(at) = entries.binary_search_by(|entry| entry.order(score, member.bytes())) {
                    entries[at].member = member;
                }
            }
            Node::Inner(children) => {
                let after =
                    children.partition_point(|child| child.first.order(score, member.bytes()) != Ordering::Greater);
                let child = &mut children[after.saturating_sub(1)];
                child.node.replace(score, member);
                child.first = child.node.first();
            }
        }
    }

    /// Takes an entry out.
    fn remove(&mut self, score: f64, member: &[u8]) -> Option<Entry<H>> {
        match self {
            Node::Leaf(entries) => {
                let at = entries.binary_search_by(|entry| entry.order(score, member)).ok()?;
                let removed = entries.remove(at);
                give_back(entries);
                Some(removed)
            }
            Node::Inner(children) => {
                let after = children.partition_point(|child| child.first.order(score, member) != Ordering::Greater);
                let index = after.checked_sub(1)?;
                let removed = children[index].node.remove(score, member)?;
                settle(children, index, 1);
                Some(removed)
            }
        }
    }

    /// Takes up to `count` entries from the rank `start` on out of one leaf, and returns how many.
    fn drain(&mut self, start: usize, count: usize, removed: &mut impl FnMut(Entry<H>)) -> usize {
        match self {
            Node::Leaf(entries) => {
                let end = entries.len().min(start + count);
                entries.drain(start..end).for_each(removed);
                give_back(entries);
                end - start
            }
            Node::Inner(children) => {
                let (index, start) = child_at(children, start);
                let drained = children[index].node.drain(start, count, removed);
                settle(children, index, drained);
                drained
            }
        }
    }

    /// Gives an entry another score if it keeps its place, and is neither the first nor the last of its leaf.
    fn rescore(&mut self, old: f64, new: f64, member: &[u8]) -> bool {
        match self {
            Node::Leaf(entries) => {
                let Ok(at) = entries.binary_search_by(|entry| entry.order(old, member)) else { return false };
                if at == 0 || at + 1 >= entries.len() {
                    return false;
                }
                let stays = entries[at - 1].is_before(new, member) && !entries[at + 1].is_before(new, member);
                if stays {
                    entries[at].score = new;
                }
                stays
            }
            Node::Inner(children) => {
                let after = children.partition_point(|child| child.first.order(old, member) != Ordering::Greater);
                after.checked_sub(1).is_some_and(|index| children[index].node.rescore(old, new, member))
            }
        }
    }
}

/// Inserts into a node; splits a full one and returns its right part.
fn insert_at<T>(items: &mut Vec<T>, at: usize, item: T, max: usize, edge: bool) -> Option<Vec<T>> {
    if items.len() < max {
        make_room(items);
        items.insert(at, item);
        return None;
    }
    let mut right = split(items, if edge && at == max { max } else { max / 2 });
    let (part, at) = if at > items.len() || items.len() == max { (&mut right, at - items.len()) } else { (items, at) };
    make_room(part);
    part.insert(at, item);
    Some(right)
}

/// Restores what is known of a child that has lost `removed` entries, and joins it with a neighbour if little is left.
fn settle<H: Handle>(children: &mut Vec<Child<H>>, index: usize, removed: usize) {
    let child = &mut children[index];
    child.count -= removed;
    if child.count == 0 {
        children.remove(index);
        return;
    }
    if !child.node.is_sparse() || children.len() == 1 {
        children[index].first = children[index].node.first();
        return;
    }
    let left = if index + 1 < children.len() { index } else { index - 1 };
    let right = children.remove(left + 1);
    let rest = match (&mut children[left].node, right.node) {
        (Node::Leaf(left), Node::Leaf(right)) => join(left, right, LEAF_MAX).map(Node::Leaf),
        (Node::Inner(left), Node::Inner(right)) => join(left, right, INNER_MAX).map(Node::Inner),
        _ => unreachable!("all leaves are equally deep"),
    };
    children[left].refresh();
    if let Some(rest) = rest {
        children.insert(left + 1, Child::new(rest));
    }
    give_back(children);
}

/// The child below which the entry of a rank is, and its rank there. The rank is below the count of all.
#[inline]
fn child_at<H>(children: &[Child<H>], mut rank: usize) -> (usize, usize) {
    for (index, child) in children.iter().enumerate() {
        if rank < child.count {
            return (index, rank);
        }
        rank -= child.count;
    }
    unreachable!("ranks are below the number of entries")
}

/// A tree in the making, of entries that come in ascending order.
///
/// # Invariants
/// - `leaf` and every level have room for one more, and what a level holds comes before what those below it hold.
#[derive(Debug)]
pub(super) struct Builder<H> {
    leaf: Vec<Entry<H>>,
    /// The children of the next inner node, of each height, from the leaves upwards.
    levels: Vec<Vec<Child<H>>>,
    len: usize,
}

/// Entries of a leaf, and children of an inner node, as they are built.
const BUILT_LEAF: usize = LEAF_MAX - BULK_FREE;
const BUILT_INNER: usize = INNER_MAX - BULK_FREE / 2;

impl<H: Handle> Builder<H> {
    /// Nothing yet.
    pub fn new() -> Builder<H> {
        Builder { leaf: Vec::new(), levels: Vec::new(), len: 0 }
    }

    /// Number of entries. O(1).
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds an entry behind all others. O(1) amortised, O(log N) at worst.
    pub fn push(&mut self, entry: Entry<H>) {
        if self.leaf.capacity() == 0 {
            self.leaf.reserve_exact(BUILT_LEAF);
        }
        self.leaf.push(entry);
        self.len += 1;
        if self.leaf.len() == BUILT_LEAF {
            let mut child = Child::new(Node::Leaf(std::mem::take(&mut self.leaf)));
            for height in 0.. {
                if height == self.levels.len() {
                    self.levels.push(Vec::with_capacity(BUILT_INNER));
                }
                let level = &mut self.levels[height];
                level.push(child);
                if level.len() < BUILT_INNER {
                    break;
                }
                let full = std::mem::replace(level, Vec::with_capacity(BUILT_INNER));
                child = Child::new(Node::Inner(full));
            }
        }
    }

    /// The tree. O(log N).
    pub fn finish(mut self) -> Tree<H> {
        let mut last = (!self.leaf.is_empty()).then(|| {
            self.leaf.shrink_to(self.leaf.len().next_multiple_of(STEP));
            Node::Leaf(self.leaf)
        });
        let top = self.levels.len().saturating_sub(1);
        for (height, mut level) in self.levels.into_iter().enumerate() {
            level.extend(last.take().map(Child::new));
            last = match level.len() {
                0 => None,
                1 if height == top => level.pop().map(|child| child.node),
                count => {
                    level.shrink_to(count.next_multiple_of(STEP));
                    Some(Node::Inner(level))
                }
            };
        }
        last.map_or_else(Tree::new, |root| Tree { root, len: self.len })
    }
}

/// Bytes that an entry takes with its share of inner nodes and of room for more, in the middle.
const ENTRY_BYTES: usize = size_of::<Entry<usize>>() + 4;
/// Entries of a leaf, in the middle.
const LEAF_ENTRIES: usize = LEAF_MAX * 3 / 4;

impl<H: Handle> Tree<H> {
    /// An empty tree.
    pub fn new() -> Tree<H> {
        Tree { root: Node::Leaf(Vec::new()), len: 0 }
    }

    /// A tree of entries in ascending order. O(N).
    pub fn from_sorted(entries: impl Iterator<Item = Entry<H>>) -> Tree<H> {
        let mut builder = Builder::new();
        entries.for_each(|entry| builder.push(entry));
        builder.finish()
    }

    /// Number of entries. O(1).
    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap, estimated. O(1).
    pub fn heap_bytes(&self) -> usize {
        self.len * ENTRY_BYTES
    }

    /// Heap blocks, estimated. O(1).
    pub fn blocks(&self) -> usize {
        1 + self.len / LEAF_ENTRIES
    }

    /// Adds an entry that is not there. O(log N).
    pub fn insert(&mut self, entry: Entry<H>) {
        self.len += 1;
        let Some(right) = self.root.insert(entry, true) else { return };
        let left = std::mem::replace(&mut self.root, Node::Leaf(Vec::new()));
        let mut children = Vec::with_capacity(STEP);
        children.extend([Child::new(left), Child::new(right)]);
        self.root = Node::Inner(children);
    }

    /// Puts another handle of the same member in the place of the one that is there. O(log N).
    pub fn replace(&mut self, score: f64, member: H) {
        self.root.replace(score, member);
    }

    /// Takes an entry out. O(log N).
    pub fn remove(&mut self, score: f64, member: &[u8]) -> Option<Entry<H>> {
        let removed = self.root.remove(score, member)?;
        self.len -= 1;
        self.flatten();
        Some(removed)
    }

    /// Takes the entries of a range of ranks out, in order. O(log N) for each leaf touched, and O(1) for each entry.
    pub fn drain(&mut self, ranks: Range<usize>, mut removed: impl FnMut(Entry<H>)) {
        let mut left = ranks.end.min(self.len).saturating_sub(ranks.start);
        while left > 0 {
            let drained = self.root.drain(ranks.start, left, &mut removed);
            left -= drained;
            self.len -= drained;
            self.flatten();
        }
    }

    /// Moves an entry to where another score belongs. O(log N).
    pub fn rescore(&mut self, old: f64, new: f64, member: &[u8]) {
        if self.root.rescore(old, new, member) {
            return;
        }
        if let Some(entry) = self.remove(old, member) {
            self.insert(Entry { score: new, ..entry });
        }
    }

    /// Replaces an inner root of one child by that child, and one of none by a leaf.
    fn flatten(&mut self) {
        while let Node::Inner(children) = &mut self.root {
            if children.len() > 1 {
                return;
            }
            self.root = children.pop().map_or_else(|| Node::Leaf(Vec::new()), |only| only.node);
        }
    }

    /// How many entries come before all for which `before` is false; it is true up to some entry and false from there on.
    /// O(log N).
    pub fn count_before(&self, before: impl Fn(&Entry<H>) -> bool) -> usize {
        let (mut node, mut count) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(entries) => return count + entries.partition_point(&before),
                Node::Inner(children) => {
                    let Some(index) = children.partition_point(|child| before(&child.first)).checked_sub(1) else {
                        return count;
                    };
                    count += children[..index].iter().map(|child| child.count).sum::<usize>();
                    node = &children[index].node;
                }
            }
        }
    }

    /// The rank of an entry that is there. O(log N).
    pub fn rank(&self, score: f64, member: &[u8]) -> usize {
        self.count_before(|entry| entry.is_before(score, member))
    }

    /// The leaf that has the entry of a rank, and where in it. O(log N).
    pub fn leaf(&self, mut rank: usize) -> Option<(&[Entry<H>], usize)> {
        if rank >= self.len {
            return None;
        }
        let mut node = &self.root;
        loop {
            match node {
                Node::Leaf(entries) => return Some((entries, rank)),
                Node::Inner(children) => {
                    let (index, rest) = child_at(children, rank);
                    (node, rank) = (&children[index].node, rest);
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
