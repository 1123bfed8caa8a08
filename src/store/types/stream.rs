//! Streams: entries in the order of their ids, in nodes of many, and groups of consumers that read them.
//!
//! # Layout
//! A B-tree leads from the id of a node's first entry to the node, a listpack in Redis's format (`node`), which a dump holds
//! as it is. Deleted entries stay in their node, marked, until none is left alive; then the node goes.
//!
//! # Invariants
//! - Ids ascend within nodes and from one to the next; none is `0-0`. A node has a live entry, unless a trimming by id stopped
//!   at one that was deleted before: such nodes stay until the next trimming, as in Redis.
//! - `len` counts the live entries; `first_id` is the first one's id, or `0-0` if there is none.
//! - No entry's id is above `last_id`, which never goes back.
//! - A group's pending entries each belong to one of its consumers, and nobody else's list names them.
//!
//! Called by command handlers, and by whoever writes or reads dumps (`parts`). Knows nothing of keys, clients, replies and
//! the clock: the time is an argument.
#![allow(unsafe_code)]

pub mod group;
pub mod id;
mod lag;
mod node;
pub mod parts;
pub mod producers;
mod queue;
mod range;
mod trim;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;
use std::ptr::NonNull;

use super::{Collection, Type};
use crate::base::heap::{self, Mover, size_class};
use crate::store::pack::Listpack;
use crate::store::pack::listpack::{BYTES_MAX, bytes_max};

pub use group::{ConsumerId, DELIVERIES_MAX, FirstByAge, Group, Pending, once_more};
pub use id::{IdText, StreamId};
pub use node::Entry;
pub use producers::{Producers, Remembering};
pub use range::{Backward, Forward};
pub use trim::{References, Trim, Trimmed};

/// How large nodes may become.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// Bytes of a node to which no more is added; 0 for no limit.
    pub bytes: usize,
    /// Entries of a node, deleted ones too; 0 for no limit.
    pub entries: usize,
}

/// A stream. Unlike other collections it may be empty.
#[derive(Clone, Debug, Default)]
pub struct Stream(Box<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    nodes: BTreeMap<StreamId, Listpack>,
    len: usize,
    /// Bytes of all nodes' heap blocks.
    node_bytes: usize,
    first_id: StreamId,
    last_id: StreamId,
    max_deleted_id: StreamId,
    entries_added: u64,
    groups: BTreeMap<Box<[u8]>, Group>,
    /// What is remembered of those who add entries, if they ask for that.
    producers: Option<Box<Producers>>,
}

/// Copying node by node.
impl Stream {
    /// Copies what comes next of another stream, into what begins as an empty one, until `go_on` returns false, which is told how
    /// many elements of how many bytes were copied. True at the end. The pending entries of a group are copied at once, and so are
    /// the ids of producers.
    pub fn copy_on(&mut self, of: &Stream, mut go_on: impl FnMut(usize, usize) -> bool) -> bool {
        let (copy, of) = (&mut *self.0, &*of.0);
        let copied = copy.nodes.last_key_value().map_or(Bound::Unbounded, |(id, _)| Bound::Excluded(*id));
        for (id, pack) in of.nodes.range((copied, Bound::Unbounded)) {
            copy.nodes.insert(*id, pack.clone());
            if !go_on(1, pack.bytes()) {
                return false;
            }
        }
        let copied = copy.groups.last_key_value().map_or(Bound::Unbounded, |(name, _)| Bound::Excluded(name.clone()));
        for (name, group) in of.groups.range::<Box<[u8]>, _>((copied, Bound::Unbounded)) {
            copy.groups.insert(name.clone(), group.clone());
            if !go_on(1 + group.pending().len(), 0) {
                return false;
            }
        }
        let Inner { len, node_bytes, first_id, last_id, max_deleted_id, entries_added, .. } = *of;
        let (nodes, groups) = (std::mem::take(&mut copy.nodes), std::mem::take(&mut copy.groups));
        let producers = of.producers.clone();
        *copy = Inner { nodes, len, node_bytes, first_id, last_id, max_deleted_id, entries_added, groups, producers };
        true
    }
}

/// Facts.
impl Stream {
    /// The first entry's id, `0-0` if there is none.
    pub fn first_id(&self) -> StreamId {
        self.0.first_id
    }

    /// The id given out last.
    pub fn last_id(&self) -> StreamId {
        self.0.last_id
    }

    /// The highest id that was deleted other than by trimming.
    pub fn max_deleted_id(&self) -> StreamId {
        self.0.max_deleted_id
    }

    /// How many entries were ever added.
    pub fn entries_added(&self) -> u64 {
        self.0.entries_added
    }

    /// The nodes and the ids of their first entries, in order, in the form in which dumps hold them.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = (StreamId, &Listpack)> {
        self.0.nodes.iter().map(|(&key, pack)| (key, pack))
    }

    /// The nodes behind the one whose first entry has this id, all of them for `None`. O(log nodes) for the first.
    pub fn nodes_after(&self, id: Option<StreamId>) -> impl Iterator<Item = (StreamId, &Listpack)> {
        let behind = id.map_or(Bound::Unbounded, Bound::Excluded);
        self.0.nodes.range((behind, Bound::Unbounded)).map(|(&key, pack)| (key, pack))
    }

    /// How many nodes the radix tree would have in which Redis keeps this stream's nodes by their keys. O(nodes).
    pub fn radix_nodes(&self) -> usize {
        range::radix_nodes(self.0.nodes.keys().map(|key| key.to_bytes()))
    }
}

/// Changes.
impl Stream {
    /// The id that an entry gets which is added now; `None` if the last one is taken.
    pub fn next_id(&self, now_ms: u64) -> Option<StreamId> {
        if now_ms > self.0.last_id.ms { Some(StreamId::new(now_ms, 0)) } else { self.0.last_id.next() }
    }

    /// True if an entry of these fields and values has room in a node.
    pub fn can_hold<'a>(flat: impl ExactSizeIterator<Item = &'a [u8]>) -> bool {
        let elements = flat.len();
        node::bytes_max_of(elements, flat.map(<[u8]>::len).sum()) <= bytes_max()
    }

    /// Adds an entry; `flat` are its fields and values in turn, at least one pair. Linear in the entry and the fields of
    /// the last node.
    ///
    /// # Panics
    /// If the id is not above the last one, or the entry cannot be held ([`Stream::can_hold`]).
    pub fn append<'a>(
        &mut self,
        id: StreamId,
        flat: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
        limits: NodeLimits,
    ) {
        let stream = &mut *self.0;
        assert!(id > stream.last_id, "ids ascend");
        let text_bytes = flat.clone().map(<[u8]>::len).sum();
        let bytes_max = node::bytes_max_of(flat.len(), text_bytes);
        match stream.nodes.last_entry() {
            Some(mut last) if has_room(last.get(), text_bytes, bytes_max, limits) => {
                let key = *last.key();
                let pack = last.get_mut();
                let before = pack.heap_bytes();
                node::append(pack, key, id, flat);
                stream.node_bytes = stream.node_bytes + pack.heap_bytes() - before;
            }
            _ => {
                let pack = node::create(flat);
                stream.node_bytes += pack.heap_bytes();
                stream.nodes.insert(id, pack);
            }
        }
        stream.len += 1;
        // A payload may have brought any count.
        stream.entries_added = stream.entries_added.wrapping_add(1);
        stream.last_id = id;
        if stream.len == 1 {
            stream.first_id = id;
        }
    }

    /// Sets what XSETID sets. The caller has seen to it that they fit the entries. No group has read more than was added.
    /// O(groups).
    pub fn set_last_id(&mut self, last_id: StreamId, entries_added: Option<u64>, max_deleted_id: Option<StreamId>) {
        let stream = &mut *self.0;
        stream.last_id = last_id;
        stream.entries_added = entries_added.unwrap_or(stream.entries_added);
        stream.max_deleted_id = max_deleted_id.unwrap_or(stream.max_deleted_id);
        for group in stream.groups.values_mut() {
            group.entries_read = group.entries_read.map(|read| read.min(stream.entries_added));
            // With a lower id than before, entries may be added that were there and are still pending.
            if let Some(queue) = &mut group.queue {
                queue.forget_gone();
            }
        }
    }
}

/// True if an entry may be added to a node, by Redis's rule and by what a pack can hold.
fn has_room(pack: &Listpack, text_bytes: usize, bytes_max: usize, limits: NodeLimits) -> bool {
    let bytes = if limits.bytes == 0 { BYTES_MAX } else { limits.bytes.min(BYTES_MAX) };
    if pack.bytes() + text_bytes >= bytes || !pack.fits(bytes_max) {
        return false;
    }
    let mut items = pack.iter();
    let mut number = || items.next().and_then(|item| item.as_int()).unwrap_or(0) as usize;
    limits.entries == 0 || number() + number() < limits.entries
}

// SAFETY: one box, given up and taken back whole.
unsafe impl Collection for Stream {
    const TYPE: Type = Type::Stream;

    fn into_raw(self) -> (u8, NonNull<u8>) {
        (0, NonNull::from(Box::leak(self.0)).cast())
    }

    unsafe fn from_raw(_: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned.
        Stream(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
    }

    fn len(&self) -> usize {
        self.0.len
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn heap_bytes(&self, _samples: usize) -> usize {
        let stream = &self.0;
        size_class(size_of::<Inner>())
            + stream.node_bytes
            + heap::tree::<StreamId, Listpack>(stream.nodes.len())
            + heap::tree::<Box<[u8]>, Group>(stream.groups.len())
            + self.sample_groups(Group::heap_bytes)
            + stream.producers.as_ref().map_or(0, |producers| producers.heap_bytes())
    }

    fn blocks(&self) -> usize {
        let producers = self.0.producers.as_ref().map_or(0, |producers| producers.blocks());
        1 + self.0.nodes.len() + self.sample_groups(Group::blocks) + producers
    }

    /// A place is an id: milliseconds and number.
    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        let from = StreamId::new((from >> 64) as u64, from as u64);
        let Inner { nodes, node_bytes, .. } = &mut *self.0;
        let mut is_over = false;
        for (id, pack) in nodes.range_mut(from..) {
            if is_over {
                return Some(u128::from(id.ms) << 64 | u128::from(id.seq));
            }
            let before = pack.heap_bytes();
            pack.defragment(mover);
            *node_bytes = *node_bytes - before + pack.heap_bytes();
            is_over = !go_on();
        }
        None
    }
}
