//! One node of a long list: a pack of elements, or one element too large to share a pack, or either of them compressed.

use std::sync::Arc;

use super::compressed::Compressed;
use super::element::{Element, Needle, NodeElements};
use super::fill::Fill;
use super::{End, Part};
use crate::base::heap;
use crate::store::pack::{DequePack, Pos};

/// Bytes of a pack's header and end.
const PACK_EMPTY_BYTES: usize = 7;

/// A node; 16 bytes. Never empty while it is in a list.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Several elements. The count is kept beside the pack, which does not know it any more from 65,535 on.
    Packed { pack: DequePack, count: u32 },
    /// One element.
    Big(Arc<Vec<u8>>),
    /// One of the others, compressed.
    Compressed { compressed: Box<Compressed>, count: u32 },
}

const _: () = assert!(size_of::<Node>() == 16);

impl Node {
    /// A node for one element.
    pub fn of(text: &[u8], fill: Fill) -> Node {
        if fill.is_large(text.len()) {
            return Node::Big(Arc::new(text.to_vec()));
        }
        let mut pack = DequePack::new();
        pack.push_back(text);
        Node::Packed { pack, count: 1 }
    }

    /// A node of a pack, whose elements are counted.
    pub fn of_pack(pack: DequePack) -> Node {
        let count = pack.len() as u32;
        Node::Packed { pack, count }
    }

    /// Number of elements.
    #[inline]
    pub fn count(&self) -> usize {
        match self {
            Node::Packed { count, .. } | Node::Compressed { count, .. } => *count as usize,
            Node::Big(_) => 1,
        }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Node::Packed { pack, .. } => pack.heap_bytes(),
            Node::Big(bytes) => heap::shared_vec(bytes),
            Node::Compressed { compressed, .. } => compressed.heap_bytes(),
        }
    }

    /// What DUMP writes of it.
    pub fn part(&self) -> Part<'_> {
        match self {
            Node::Packed { pack, .. } => Part::Pack(pack),
            Node::Big(bytes) => Part::Big(bytes),
            Node::Compressed { compressed, .. } => Part::Compressed(compressed),
        }
    }

    /// Compresses it, if it is worth it.
    pub fn compress(&mut self) {
        if let Some(compressed) = Compressed::of(self) {
            *self = Node::Compressed { count: self.count() as u32, compressed: Box::new(compressed) };
        }
    }

    /// Expands it, if it is compressed: to be called before it is changed.
    pub fn expand(&mut self) {
        if let Node::Compressed { compressed, .. } = self {
            *self = compressed.expand();
        }
    }

    /// All its elements.
    #[inline]
    pub fn elements(&self) -> NodeElements<'_> {
        match self {
            Node::Packed { pack, .. } => NodeElements::Packed(pack.iter()),
            Node::Big(bytes) => NodeElements::Big(Some(bytes)),
            Node::Compressed { compressed, .. } => NodeElements::copied(compressed.expand().elements()),
        }
    }

    /// Its elements from an index on, which is below the count.
    pub fn elements_from(&self, index: usize) -> NodeElements<'_> {
        match self {
            Node::Packed { pack, .. } => NodeElements::Packed(pack.iter_from(seek(pack, index))),
            Node::Big(bytes) => NodeElements::Big(Some(bytes)),
            Node::Compressed { compressed, .. } => NodeElements::copied(compressed.expand().elements_from(index)),
        }
    }

    /// Its elements before an index.
    pub fn elements_until(&self, index: usize) -> NodeElements<'_> {
        match self {
            Node::Packed { pack, .. } if index < self.count() => {
                NodeElements::Packed(pack.iter_until(seek(pack, index)))
            }
            Node::Packed { pack, .. } => NodeElements::Packed(pack.iter()),
            Node::Big(bytes) => NodeElements::Big((index > 0).then_some(bytes)),
            Node::Compressed { compressed, .. } => NodeElements::copied(compressed.expand().elements_until(index)),
        }
    }

    /// The element at an index below the count.
    pub fn element(&self, index: usize) -> Element<'_> {
        match self {
            Node::Packed { pack, .. } => Element::Packed(pack.at(seek(pack, index))),
            Node::Big(bytes) => Element::Big(bytes),
            Node::Compressed { compressed, .. } => Element::Expanded(compressed.expand().element(index).detach()),
        }
    }

    /// The first or last element.
    #[inline]
    pub fn end(&self, end: End) -> Element<'_> {
        match self {
            Node::Packed { pack, .. } => Element::Packed(pack.at(outermost(pack, end))),
            Node::Big(bytes) => Element::Big(bytes),
            Node::Compressed { compressed, .. } => Element::Expanded(compressed.expand().end(end).detach()),
        }
    }

    /// True if one more element of so many bytes may join it.
    #[inline]
    pub fn takes(&self, bytes: usize, fill: Fill) -> bool {
        match self {
            Node::Packed { pack, count } => {
                !fill.is_large(bytes) && !fill.is_exceeded_by(bytes, pack.bytes(), *count as usize)
            }
            Node::Compressed { compressed, count } => {
                let has_room = !fill.is_exceeded_by(bytes, compressed.bytes(), *count as usize);
                !fill.is_large(bytes) && !compressed.is_big() && has_room
            }
            Node::Big(_) => false,
        }
    }

    /// True if both nodes may become one.
    pub fn may_merge(&self, other: &Node, fill: Fill) -> bool {
        let (Some(a), Some(b)) = (self.pack_bytes(), other.pack_bytes()) else { return false };
        !fill.is_exceeded(a + b - PACK_EMPTY_BYTES, self.count() + other.count())
    }

    /// The bytes of its pack, if it has one.
    fn pack_bytes(&self) -> Option<usize> {
        match self {
            Node::Packed { pack, .. } => Some(pack.bytes()),
            Node::Compressed { compressed, .. } => (!compressed.is_big()).then_some(compressed.bytes()),
            Node::Big(_) => None,
        }
    }

    /// Adds the elements of the node that follows, both being packs.
    pub fn merge(&mut self, mut next: Node) {
        self.expand();
        next.expand();
        let (pack, count) = self.packed();
        let Node::Packed { pack: other, count: added } = &next else { unreachable!("only packs are merged") };
        pack.append(other);
        *count += added;
    }

    /// The pack and its count, of a node that is known to have one, and not to be compressed.
    fn packed(&mut self) -> (&mut DequePack, &mut u32) {
        match self {
            Node::Packed { pack, count } => (pack, count),
            Node::Big(_) | Node::Compressed { .. } => {
                unreachable!("a node that takes elements, or has several, is a pack")
            }
        }
    }

    /// Gives back what it has in reserve for elements at its front.
    pub fn give_back_room(&mut self) {
        if let Node::Packed { pack, .. } = self {
            pack.give_back_room();
        }
    }

    /// Adds an element at an end. The node takes it.
    #[inline]
    pub fn push(&mut self, end: End, text: &[u8]) {
        let (pack, count) = self.packed();
        push(pack, end, text);
        *count += 1;
    }

    /// Adds an element before or after the one at an index. The node takes it.
    pub fn insert(&mut self, index: usize, text: &[u8], after: bool) {
        let (pack, count) = self.packed();
        insert(pack, seek(pack, index), text, after);
        *count += 1;
    }

    /// Replaces the element at an index of a pack. False if that would make the pack too large to be one.
    pub fn try_replace(&mut self, index: usize, text: &[u8]) -> bool {
        let Node::Packed { pack, .. } = self else { return false };
        // More than any encoding adds.
        let fits = pack.fits(text.len() + 2 * PACK_EMPTY_BYTES);
        if fits {
            pack.replace(seek(pack, index), text);
        }
        fits
    }

    /// Keeps the first `index` elements and returns a node of the others; neither part is empty.
    pub fn split_off(&mut self, index: usize) -> Node {
        let (pack, count) = self.packed();
        let tail = Node::Packed { pack: pack.split_off(index), count: *count - index as u32 };
        *count = index as u32;
        tail
    }

    /// Removes the first or last of several elements.
    #[inline]
    pub fn remove_end(&mut self, end: End) {
        let (pack, count) = self.packed();
        pack.remove(outermost(pack, end));
        *count -= 1;
    }

    /// Removes `removed` of more elements, from an index on.
    pub fn remove_range(&mut self, index: usize, removed: usize) {
        let (pack, count) = self.packed();
        pack.remove_range(seek(pack, index), removed);
        *count -= removed as u32;
    }

    /// Removes up to `limit` elements with a text, beginning at an end; returns how many there were. The node may be empty
    /// afterwards, and a big element stays for the caller to remove.
    pub fn remove_equal(&mut self, needle: &Needle<'_>, limit: usize, from: End) -> usize {
        match self {
            Node::Packed { pack, count } => {
                let removed = remove_equal(pack, needle, limit, from);
                *count -= removed as u32;
                removed
            }
            Node::Big(bytes) => usize::from(needle.is(&Element::Big(bytes))),
            Node::Compressed { .. } => unreachable!("it was expanded"),
        }
    }
}

/// Where the element at an index is.
pub(super) fn seek(pack: &DequePack, index: usize) -> Pos {
    pack.seek(index as i64).expect("the index is below the number of elements")
}

/// Where the first or last element of a pack that is not empty is.
#[inline]
pub(super) fn outermost(pack: &DequePack, end: End) -> Pos {
    let pos = match end {
        End::Head => pack.first(),
        End::Tail => pack.last(),
    };
    pos.expect("a pack in a list is not empty")
}

/// Adds an element at an end of a pack.
#[inline]
pub(super) fn push(pack: &mut DequePack, end: End, text: &[u8]) {
    match end {
        End::Head => pack.push_front(text),
        End::Tail => pack.push_back(text),
    };
}

/// Adds an element before or after another.
pub(super) fn insert(pack: &mut DequePack, pos: Pos, text: &[u8], after: bool) {
    if after {
        pack.insert_after(pos, text);
    } else {
        pack.insert_before(pos, text);
    }
}

/// Removes up to `limit` elements with a text, beginning at an end; returns how many.
pub(super) fn remove_equal(pack: &mut DequePack, needle: &Needle<'_>, limit: usize, from: End) -> usize {
    let mut removed = 0;
    let mut at = match from {
        End::Head => pack.first(),
        End::Tail => pack.last(),
    };
    while let Some(pos) = at.filter(|_| removed < limit) {
        let is_equal = needle.is_item(pack.at(pos));
        removed += usize::from(is_equal);
        at = match (from, is_equal) {
            (End::Head, true) => pack.remove(pos),
            (End::Head, false) => pack.next(pos),
            (End::Tail, _) => {
                // What lies before the place of a removal stays where it is.
                let before = pack.prev(pos);
                if is_equal {
                    pack.remove(pos);
                }
                before
            }
        };
    }
    removed
}
