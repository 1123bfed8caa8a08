//! The pool of list nodes: eight bytes each, in chunks that never move.
//!
//! Owns the memory of every node and the list of free ones. Called by the wheel alone; it does not know which list a
//! node is in. Node ids start at 1, so that 0 ends a list and a zeroed slot head is an empty list.
//!
//! ```text
//! id - 1:   | chunk (16 bits) | index in chunk (16 bits) |
//! node:     | payload: u32    | next: u32                |
//! ```
//!
//! A chunk is reserved whole and filled from the front, so growth copies nothing and a page of it is touched only once
//! nodes reach it.

use crate::base::heap;

/// The id that ends a list.
pub(super) const NONE: u32 = 0;

const CHUNK_BITS: u32 = 16;
/// 64 Ki nodes: 512 KiB, large enough that 10M nodes are 153 allocations, small enough that one is no pause.
const CHUNK: usize = 1 << CHUNK_BITS;

/// One list node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// What the owner gave.
    pub payload: u32,
    /// The next node's id, or [`NONE`].
    pub next: u32,
}

const _: () = assert!(size_of::<Node>() == 8);

/// Every node there is, in use or free.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// Each has capacity `CHUNK` from the start; all but the last are full.
    chunks: Vec<Vec<Node>>,
    /// Head of the list of freed nodes.
    free: u32,
    /// Nodes ever cut from the chunks: the highest id.
    cut: u32,
    /// Nodes in use: `used <= cut`.
    used: usize,
}

impl Nodes {
    /// Takes a node off the free list, or cuts a new one. `None` once all 2^32 - 1 ids (32 GiB) are in use. O(1).
    pub fn allocate(&mut self, payload: u32) -> Option<u32> {
        let id = if self.free != NONE {
            let id = self.free;
            let node = self.node_mut(id);
            let next = node.next;
            *node = Node { payload, next: NONE };
            self.free = next;
            id
        } else {
            self.cut_one(payload)?
        };
        self.used += 1;
        Some(id)
    }

    fn cut_one(&mut self, payload: u32) -> Option<u32> {
        let id = self.cut.checked_add(1)?;
        if (self.cut as usize).is_multiple_of(CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.last_mut().expect("a chunk was pushed when the last one was full");
        chunk.push(Node { payload, next: NONE });
        self.cut = id;
        Some(id)
    }

    /// Gives a node back. It must be in no list. O(1).
    pub fn release(&mut self, id: u32) {
        self.node_mut(id).next = self.free;
        self.free = id;
        self.used -= 1;
    }

    /// A copy of node `id`.
    #[inline]
    pub fn node(&self, id: u32) -> Node {
        let index = (id - 1) as usize;
        self.chunks[index >> CHUNK_BITS][index % CHUNK]
    }

    /// Points node `id` at `next`.
    #[inline]
    pub fn set_next(&mut self, id: u32, next: u32) {
        self.node_mut(id).next = next;
    }

    #[inline]
    fn node_mut(&mut self, id: u32) -> &mut Node {
        let index = (id - 1) as usize;
        &mut self.chunks[index >> CHUNK_BITS][index % CHUNK]
    }

    /// Nodes ever cut from the chunks: the highest id there is.
    pub fn cut(&self) -> u32 {
        self.cut
    }

    /// Nodes in use.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Bytes reserved, used or not.
    pub fn bytes(&self) -> usize {
        self.chunks.len() * CHUNK * size_of::<Node>() + heap::vec(&self.chunks)
    }

    /// Head of the free list and count of all nodes, for the invariant check.
    #[cfg(test)]
    pub fn free_and_total(&self) -> (u32, usize) {
        (self.free, self.cut as usize)
    }
}
