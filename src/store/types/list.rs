//! Lists: sequences with two ends.
//!
//! A short list is one pack (`listpack`). A long one is a row of nodes, each a pack of limited size or one large element
//! (`quicklist`). Ends are reached in O(1), an index by walking the nodes from the nearer end, 16 bytes for each.
//!
//! - `fill`: how much a pack may hold. `node`, `nodes`: the long form. `compressed`: nodes far from the ends, if they are to be
//!   compressed. `element`: one element, and walks over many.
//!
//! When a list takes which form is Redis's rule, and its caller's duty: [`List::make_room`] before elements are added,
//! [`List::settle`] after some were removed or replaced. Both take the present [`Fill`]; what the list does by itself keeps
//! to the fill that held when it took its long form.
//!
//! Called by command handlers. Knows nothing of keys and clients.
#![allow(unsafe_code)]

mod compressed;
mod element;
mod fill;
mod node;
mod nodes;

use std::ptr::NonNull;
use std::sync::Arc;

use super::{Collection, Type};
use crate::base::heap::Mover;
use crate::store::pack::{DequePack, Validated};
use node::Node;
use nodes::Nodes;

pub use compressed::Compressed;
pub use element::{Detached, Element, Elements, Needle};
pub use fill::Fill;

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where the first element is: left.
    Head,
    /// Where the last element is: right.
    Tail,
}

/// What a list is made of, as DUMP writes it.
#[derive(Clone, Copy, Debug)]
pub enum Part<'l> {
    /// Several elements.
    Pack(&'l DequePack),
    /// One large element.
    Big(&'l [u8]),
    /// One of the two, compressed.
    Compressed(&'l Compressed),
}

/// A pack from outside that takes more than this becomes several nodes: twice the largest that any [`Fill`] makes.
const LOADED_PACK_BYTES_MAX: usize = 128 << 10;

/// A list in the making, of parts as RESTORE reads them.
#[derive(Debug)]
pub struct Builder {
    nodes: Nodes,
    fill: Fill,
}

impl Builder {
    /// A list without parts.
    pub fn new(fill: Fill) -> Builder {
        Builder { nodes: Nodes::new(fill), fill }
    }

    /// Adds several elements; none at all are passed over. What is far beyond the limit of a node becomes nodes within it.
    pub fn add_pack(&mut self, pack: Validated<'_>) {
        if pack.bytes() <= LOADED_PACK_BYTES_MAX {
            return self.nodes.push_node(Node::of_pack(pack.to_pack()));
        }
        let mut digits = itoa::Buffer::new();
        pack.iter().for_each(|item| self.nodes.push(End::Tail, item.text(&mut digits)));
    }

    /// Adds one element in a node of its own.
    pub fn add_big(&mut self, text: Vec<u8>) {
        self.nodes.push_node(Node::Big(Arc::new(text)));
    }

    /// The list, in the form that Redis gives to a list it loads. O(1).
    pub fn finish(mut self) -> List {
        match self.nodes.take_pack(|bytes, count| self.fill.allows_pack(bytes, count)) {
            Some(pack) => List(Form::Pack(pack)),
            None => List(Form::Nodes(Box::new(self.nodes))),
        }
    }
}

/// Nodes that were removed as a whole, to be freed where there is time.
#[derive(Debug, Default)]
pub struct Removed(Vec<Node>);

impl Removed {
    /// Heap blocks that dropping this frees.
    pub fn blocks(&self) -> usize {
        self.0.len()
    }
}

/// A list. Never empty between commands.
#[derive(Clone, Debug)]
pub struct List(Form);

#[derive(Clone, Debug)]
enum Form {
    Pack(DequePack),
    Nodes(Box<Nodes>),
}

const REPR_PACK: u8 = 0;
const REPR_NODES: u8 = 1;

// SAFETY: each form is one pointer, given up and taken back whole under its own number.
unsafe impl Collection for List {
    const TYPE: Type = Type::List;

    #[inline]
    fn into_raw(self) -> (u8, NonNull<u8>) {
        match self.0 {
            Form::Pack(pack) => (REPR_PACK, pack.into_raw()),
            Form::Nodes(nodes) => (REPR_NODES, NonNull::from(Box::leak(nodes)).cast()),
        }
    }

    #[inline]
    unsafe fn from_raw(repr: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned, and the number says which pointer that was.
        List(unsafe {
            match repr {
                REPR_PACK => Form::Pack(DequePack::from_raw(ptr)),
                _ => Form::Nodes(Box::from_raw(ptr.as_ptr().cast())),
            }
        })
    }

    #[inline]
    fn len(&self) -> usize {
        match &self.0 {
            Form::Pack(pack) => pack.len(),
            Form::Nodes(nodes) => nodes.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self.0 {
            Form::Pack(_) => "listpack",
            Form::Nodes(_) => "quicklist",
        }
    }

    fn heap_bytes(&self, samples: usize) -> usize {
        match &self.0 {
            Form::Pack(pack) => pack.heap_bytes(),
            Form::Nodes(nodes) => nodes.heap_bytes(samples),
        }
    }

    fn blocks(&self) -> usize {
        match &self.0 {
            Form::Pack(_) => 1,
            Form::Nodes(nodes) => nodes.blocks(),
        }
    }

    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        match &mut self.0 {
            Form::Pack(pack) => {
                pack.defragment(mover);
                None
            }
            Form::Nodes(nodes) => nodes.defragment(from as usize, mover, go_on).map(|index| index as u128),
        }
    }
}

impl Default for List {
    fn default() -> List {
        List::new()
    }
}

/// Construction and form.
impl List {
    /// A list without elements, which is to get some before its command ends.
    pub fn new() -> List {
        List(Form::Pack(DequePack::new()))
    }

    /// An empty copy of a list of nodes, to be filled before its command ends; `None` for a short list. O(1).
    pub fn begin_copy(&self) -> Option<List> {
        let Form::Nodes(nodes) = &self.0 else { return None };
        Some(List(Form::Nodes(Box::new(nodes.begin_copy()))))
    }

    /// Copies the nodes of another list that come next until `go_on` returns false, which is told how many nodes of how many bytes
    /// were copied. True at the end.
    pub fn copy_on(&mut self, of: &List, go_on: impl FnMut(usize, usize) -> bool) -> bool {
        let (Form::Nodes(copy), Form::Nodes(of)) = (&mut self.0, &of.0) else { return true };
        copy.copy_on(of, go_on)
    }

    /// The parts in order: one pack for a short list.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let (pack, nodes) = match &self.0 {
            Form::Pack(pack) => (Some(Part::Pack(pack)), None),
            Form::Nodes(nodes) => (None, Some(nodes.parts())),
        };
        pack.into_iter().chain(nodes.into_iter().flatten())
    }

    /// How many parts there are. O(1).
    pub fn part_count(&self) -> usize {
        match &self.0 {
            Form::Pack(_) => 1,
            Form::Nodes(nodes) => nodes.blocks(),
        }
    }

    /// The parts from an index on. O(1) for the first of them.
    pub fn parts_from(&self, index: usize) -> impl Iterator<Item = Part<'_>> {
        let (pack, nodes) = match &self.0 {
            Form::Pack(pack) => (Some(Part::Pack(pack)).filter(|_| index == 0), None),
            Form::Nodes(nodes) => (None, Some(nodes.parts_from(index))),
        };
        pack.into_iter().chain(nodes.into_iter().flatten())
    }

    /// The elements of so many parts from an index on. O(1) for the first of them.
    pub fn elements_of_parts(&self, index: usize, parts: usize) -> Elements<'_> {
        match &self.0 {
            Form::Pack(_) if index > 0 => Elements::none(),
            Form::Pack(pack) => Elements::packed(pack.iter()),
            Form::Nodes(nodes) => nodes.elements_of_parts(index, parts),
        }
    }

    /// The pack of a short list.
    pub fn as_pack(&self) -> Option<&DequePack> {
        match &self.0 {
            Form::Pack(pack) => Some(pack),
            Form::Nodes(_) => None,
        }
    }

    /// Gives the list the long form if it will need it for `added` elements more, whose texts have so many bytes together.
    /// O(1).
    #[inline]
    pub fn make_room(&mut self, fill: Fill, bytes: usize, added: usize) {
        if let Form::Pack(pack) = &self.0
            && fill.is_exceeded(pack.bytes() + bytes, pack.len() + added)
        {
            self.lengthen(fill);
        }
    }

    #[cold]
    fn lengthen(&mut self, fill: Fill) {
        if let Form::Pack(pack) = &mut self.0 {
            let mut nodes = Nodes::new(fill);
            nodes.push_node(Node::of_pack(std::mem::take(pack)));
            self.0 = Form::Nodes(Box::new(nodes));
        }
    }

    /// Gives the list the short form if it has become short enough: one node, at no more than half of the limit. O(1).
    #[inline]
    pub fn settle(&mut self, fill: Fill) {
        if let Form::Nodes(nodes) = &mut self.0
            && let Some(pack) = nodes.take_pack(|bytes, count| fill.allows_return(bytes, count))
        {
            self.0 = Form::Pack(pack);
        }
    }
}

/// Reading.
impl List {
    /// The first or last element.
    #[inline]
    pub fn end(&self, end: End) -> Option<Element<'_>> {
        match &self.0 {
            Form::Pack(pack) if pack.is_empty() => None,
            Form::Pack(pack) => Some(Element::Packed(pack.at(node::outermost(pack, end)))),
            Form::Nodes(nodes) => nodes.end(end),
        }
    }

    /// The element at an index. Walks nodes and elements from the nearer end.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        match &self.0 {
            Form::Pack(pack) => pack.item(i64::try_from(index).ok()?).map(Element::Packed),
            Form::Nodes(nodes) => nodes.get(index),
        }
    }

    /// All elements.
    pub fn elements(&self) -> Elements<'_> {
        match &self.0 {
            Form::Pack(pack) => Elements::packed(pack.iter()),
            Form::Nodes(nodes) => nodes.elements(),
        }
    }

    /// The elements from an index on.
    pub fn elements_from(&self, index: usize) -> Elements<'_> {
        match &self.0 {
            Form::Pack(pack) if index < pack.len() => Elements::packed(pack.iter_from(node::seek(pack, index))),
            Form::Pack(_) => Elements::none(),
            Form::Nodes(nodes) => nodes.elements_from(index),
        }
    }

    /// The elements before an index.
    pub fn elements_until(&self, index: usize) -> Elements<'_> {
        match &self.0 {
            Form::Pack(pack) if index < pack.len() => Elements::packed(pack.iter_until(node::seek(pack, index))),
            Form::Pack(pack) => Elements::packed(pack.iter()),
            Form::Nodes(nodes) => nodes.elements_until(index),
        }
    }
}

/// Writing. Costs are those of reaching the place, and of moving the bytes of one pack or, where nodes come or go in the
/// middle, 16 bytes per node.
impl List {
    /// Adds an element at an end. [`List::make_room`] comes first.
    #[inline]
    pub fn push(&mut self, end: End, text: &[u8]) {
        match &mut self.0 {
            Form::Pack(pack) => node::push(pack, end, text),
            Form::Nodes(nodes) => nodes.push(end, text),
        }
    }

    /// Adds an element that left another list, or this one, at an end. [`List::make_room`] comes first.
    pub fn push_detached(&mut self, end: End, element: &Detached) {
        match (&mut self.0, element) {
            (Form::Nodes(nodes), Detached::Big(bytes)) => nodes.push_shared(end, Arc::clone(bytes)),
            _ => self.push(end, element.text(&mut itoa::Buffer::new())),
        }
    }

    /// Removes the first or last element, if there is one.
    #[inline]
    pub fn remove_end(&mut self, end: End) {
        match &mut self.0 {
            Form::Pack(pack) if pack.is_empty() => {}
            Form::Pack(pack) => {
                pack.remove(node::outermost(pack, end));
            }
            Form::Nodes(nodes) => nodes.remove_end(end),
        }
    }

    /// Adds an element before or after the first that has the pivot's text. False if none has. [`List::make_room`] comes
    /// first.
    pub fn insert_beside(&mut self, pivot: &[u8], text: &[u8], after: bool) -> bool {
        match &mut self.0 {
            Form::Pack(pack) => {
                let found = pack.find(None, pivot, 0);
                if let Some(pos) = found {
                    node::insert(pack, pos, text, after);
                }
                found.is_some()
            }
            Form::Nodes(nodes) => nodes.insert_beside(&Needle::new(pivot), text, after),
        }
    }

    /// Adds an element before or after the one at an index below the length. [`List::make_room`] comes first.
    pub fn insert_at(&mut self, index: usize, text: &[u8], after: bool) {
        match &mut self.0 {
            Form::Pack(pack) => node::insert(pack, node::seek(pack, index), text, after),
            Form::Nodes(nodes) => nodes.insert_at(index, text, after),
        }
    }

    /// Replaces the element at an index below the length. [`List::make_room`] comes first.
    pub fn replace(&mut self, index: usize, text: &[u8]) {
        match &mut self.0 {
            Form::Pack(pack) => {
                pack.replace(node::seek(pack, index), text);
            }
            Form::Nodes(nodes) => nodes.replace(index, text),
        }
    }

    /// Removes up to `count` elements from an index on.
    pub fn remove_range(&mut self, start: usize, count: usize) -> Removed {
        match &mut self.0 {
            Form::Pack(pack) => {
                if let Ok(start) = i64::try_from(start) {
                    pack.remove_range_index(start, count);
                }
                Removed::default()
            }
            Form::Nodes(nodes) if start < nodes.len() => nodes.remove_range(start, count.min(nodes.len() - start)),
            Form::Nodes(_) => Removed::default(),
        }
    }

    /// Removes up to `limit` elements with a text, beginning at an end; returns how many.
    pub fn remove_equal(&mut self, text: &[u8], limit: usize, from: End) -> usize {
        self.remove_equal_on(text, limit, from, &mut 0, |_| true)
    }

    /// The same as long as `go_on` says, which is told how many elements were looked at each time. It begins behind `passed`
    /// [parts](List::part_count) of the list, and moves that to where it goes on: to the number of parts, at the end.
    pub fn remove_equal_on(
        &mut self,
        text: &[u8],
        limit: usize,
        from: End,
        passed: &mut usize,
        go_on: impl FnMut(usize) -> bool,
    ) -> usize {
        let needle = Needle::new(text);
        match &mut self.0 {
            Form::Pack(_) if *passed > 0 => 0,
            Form::Pack(pack) => {
                *passed = 1;
                node::remove_equal(pack, &needle, limit, from)
            }
            Form::Nodes(nodes) => nodes.remove_equal(&needle, limit, from, passed, go_on),
        }
    }
}

#[cfg(test)]
#[path = "list/tests.rs"]
mod tests;
