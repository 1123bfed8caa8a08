//! A node of a long list whose bytes are compressed, because it lies far from both ends (`list-compress-depth`).
//!
//! The bytes are those of a pack, or of one large element, in LZF as Redis has it. Whoever wants to know or to change what is in the
//! node expands it. What has not become shorter by some bytes stays as it is, by Redis's figures.

use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;

use super::node::Node;
use crate::base::heap::{Mover, size_class};
use crate::base::lzf::{self, Compressor};
use crate::store::pack::DequePack;

/// Nodes of fewer bytes are not worth it.
const BYTES_MIN: usize = 48;
/// Nor is a form that is not shorter by this many bytes.
const SAVED_BYTES_MIN: usize = 8;
/// Longer elements stay as they are: to compress this much takes some milliseconds.
const BYTES_MAX: usize = 1 << 20;

thread_local! {
    /// The table of recent positions, and where the form is made before it is known whether it is shorter.
    static COMPRESSOR: RefCell<(Compressor, Vec<u8>)> = RefCell::default();
}

/// A compressed node.
#[derive(Clone, Debug)]
pub struct Compressed {
    lzf: Box<[u8]>,
    /// How many bytes it stands for.
    bytes: usize,
    is_big: bool,
}

impl Compressed {
    /// Moves the bytes to another heap block if they should be.
    pub(super) fn defragment(&mut self, mover: &mut dyn Mover) {
        if mover.wants(NonNull::from(&mut *self.lzf).cast(), size_class(self.lzf.len())) {
            self.lzf = self.lzf.clone();
        }
    }

    /// The compressed form of a node, if it is worth it. O(bytes).
    pub(super) fn of(node: &Node) -> Option<Compressed> {
        let (bytes, is_big) = match node {
            Node::Packed { pack, .. } => (pack.as_bytes(), false),
            Node::Big(bytes) => (bytes.as_slice(), true),
            Node::Compressed { .. } => return None,
        };
        if !(BYTES_MIN..=BYTES_MAX).contains(&bytes.len()) {
            return None;
        }
        COMPRESSOR.with_borrow_mut(|(compressor, out)| {
            out.clear();
            let is_worth_it = compressor.compress(bytes, out) && out.len() + SAVED_BYTES_MIN <= bytes.len();
            is_worth_it.then(|| Compressed { lzf: out.as_slice().into(), bytes: bytes.len(), is_big })
        })
    }

    /// The node as it was. O(bytes).
    pub(super) fn expand(&self) -> Node {
        let bytes = lzf::decompress(&self.lzf, self.bytes).expect("it was compressed here");
        if self.is_big {
            return Node::Big(Arc::new(bytes));
        }
        Node::of_pack(DequePack::from_validated(&bytes).expect("it was a pack"))
    }

    /// The compressed form.
    pub fn lzf(&self) -> &[u8] {
        &self.lzf
    }

    /// How many bytes it stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// True for one large element, false for a pack.
    pub fn is_big(&self) -> bool {
        self.is_big
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        size_class(size_of::<Compressed>()) + size_class(self.lzf.len())
    }
}
