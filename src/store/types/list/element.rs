//! One element of a list, and walks over many.

use std::collections::vec_deque;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec;

use super::node::Node;
use crate::store::pack::Item;
use crate::store::pack::listpack::Items;

/// An element as it is held.
#[derive(Clone, Debug)]
pub enum Element<'l> {
    /// In a pack, with others.
    Packed(Item<'l>),
    /// From a node that was compressed: a copy.
    Expanded(Detached),
    /// On its own. Replies may share it: it is never changed in place.
    Big(&'l Arc<Vec<u8>>),
}

impl Element<'_> {
    /// The text, in `digits` if it is an integer.
    #[inline]
    pub fn text<'t>(&'t self, digits: &'t mut itoa::Buffer) -> &'t [u8] {
        match self {
            Element::Packed(item) => item.text(digits),
            Element::Expanded(detached) => detached.text(digits),
            Element::Big(bytes) => bytes,
        }
    }

    /// Bytes that are copied where the element is answered: a big one is sent by reference.
    #[inline]
    pub fn copied_bytes(&self) -> usize {
        match self {
            Element::Packed(item) => item.len(),
            Element::Expanded(detached) => detached.counted_bytes(),
            Element::Big(_) => 0,
        }
    }

    /// A copy of the text.
    pub fn to_vec(&self) -> Vec<u8> {
        self.text(&mut itoa::Buffer::new()).to_vec()
    }

    /// The element on its own, to outlive its list; a big one is shared.
    pub fn detach(&self) -> Detached {
        match self {
            Element::Packed(Item::Int(n)) => Detached::Int(*n),
            Element::Packed(Item::Bytes(bytes)) => Detached::Bytes(bytes.to_vec()),
            Element::Expanded(detached) => detached.clone(),
            Element::Big(bytes) => Detached::Big(Arc::clone(bytes)),
        }
    }
}

/// An element that left its list.
#[derive(Clone, Debug)]
pub enum Detached {
    /// An integer.
    Int(i64),
    /// A text.
    Bytes(Vec<u8>),
    /// A text that stood on its own in the list.
    Big(Arc<Vec<u8>>),
}

impl Detached {
    /// The text, in `digits` if it is an integer.
    pub fn text<'t>(&'t self, digits: &'t mut itoa::Buffer) -> &'t [u8] {
        match self {
            Detached::Int(n) => digits.format(*n).as_bytes(),
            Detached::Bytes(bytes) => bytes,
            Detached::Big(bytes) => bytes,
        }
    }

    /// The bytes that the decision whether the next list stays a pack counts. COMPAT: Redis holds an integer that left a
    /// list as a number then, whose text it does not count.
    pub fn counted_bytes(&self) -> usize {
        match self {
            Detached::Int(_) => 0,
            Detached::Bytes(bytes) => bytes.len(),
            Detached::Big(bytes) => bytes.len(),
        }
    }
}

/// A text that elements are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Needle<'n> {
    text: &'n [u8],
    integer: Option<i64>,
}

impl<'n> Needle<'n> {
    /// Prepares a text.
    pub fn new(text: &'n [u8]) -> Needle<'n> {
        Needle { text, integer: Item::of(text).as_int() }
    }

    /// True if the element has this text.
    #[inline]
    pub fn is(&self, element: &Element<'_>) -> bool {
        match element {
            Element::Packed(item) => self.is_item(*item),
            Element::Expanded(Detached::Int(n)) => self.is_item(Item::Int(*n)),
            Element::Expanded(Detached::Bytes(bytes)) => bytes == self.text,
            Element::Expanded(Detached::Big(bytes)) => bytes.as_slice() == self.text,
            Element::Big(bytes) => bytes.as_slice() == self.text,
        }
    }

    /// True if the element of a pack has this text.
    #[inline]
    pub(super) fn is_item(&self, item: Item<'_>) -> bool {
        match item {
            Item::Int(n) => self.integer == Some(n),
            Item::Bytes(bytes) => bytes == self.text,
        }
    }
}

/// The elements of one node, from either end.
#[derive(Clone, Debug)]
pub(super) enum NodeElements<'l> {
    Packed(Items<'l>),
    Expanded(vec::IntoIter<Detached>),
    Big(Option<&'l Arc<Vec<u8>>>),
}

impl<'l> NodeElements<'l> {
    const NONE: NodeElements<'static> = NodeElements::Big(None);

    /// Copies of these.
    pub fn copied(elements: NodeElements<'_>) -> NodeElements<'static> {
        let copies: Vec<Detached> = elements.map(|element| element.detach()).collect();
        NodeElements::Expanded(copies.into_iter())
    }
}

impl<'l> Iterator for NodeElements<'l> {
    type Item = Element<'l>;

    #[inline]
    fn next(&mut self) -> Option<Element<'l>> {
        match self {
            NodeElements::Packed(items) => items.next().map(Element::Packed),
            NodeElements::Expanded(elements) => elements.next().map(Element::Expanded),
            NodeElements::Big(bytes) => bytes.take().map(Element::Big),
        }
    }
}

impl DoubleEndedIterator for NodeElements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            NodeElements::Packed(items) => items.next_back().map(Element::Packed),
            NodeElements::Expanded(elements) => elements.next_back().map(Element::Expanded),
            NodeElements::Big(bytes) => bytes.take().map(Element::Big),
        }
    }
}

/// Elements in order, from either end.
#[derive(Clone, Debug)]
pub struct Elements<'l> {
    front: NodeElements<'l>,
    between: vec_deque::Iter<'l, Node>,
    back: NodeElements<'l>,
}

impl<'l> Elements<'l> {
    /// None at all.
    pub(super) fn none() -> Elements<'l> {
        Elements { front: NodeElements::NONE, between: Default::default(), back: NodeElements::NONE }
    }

    /// Those of one pack.
    pub(super) fn packed(items: Items<'l>) -> Elements<'l> {
        Elements { front: NodeElements::Packed(items), between: Default::default(), back: NodeElements::NONE }
    }

    /// Those of part of a node, then those of whole nodes, then those of part of a node.
    pub(super) fn of_nodes(
        front: Option<NodeElements<'l>>,
        between: vec_deque::Iter<'l, Node>,
        back: Option<NodeElements<'l>>,
    ) -> Elements<'l> {
        let [front, back] = [front, back].map(|part| part.unwrap_or(NodeElements::NONE));
        Elements { front, between, back }
    }
}

impl<'l> Iterator for Elements<'l> {
    type Item = Element<'l>;

    #[inline]
    fn next(&mut self) -> Option<Element<'l>> {
        loop {
            if let Some(element) = self.front.next() {
                return Some(element);
            }
            match self.between.next() {
                Some(node) => self.front = node.elements(),
                None => return self.back.next(),
            }
        }
    }
}

impl DoubleEndedIterator for Elements<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(element) = self.back.next_back() {
                return Some(element);
            }
            match self.between.next_back() {
                Some(node) => self.back = node.elements(),
                None => return self.front.next_back(),
            }
        }
    }
}

impl FusedIterator for Elements<'_> {}
