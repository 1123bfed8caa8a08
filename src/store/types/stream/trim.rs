//! Removing entries: one by its id, or all below a bound.

use std::ops::Bound;

use super::node::{self, Node};
use super::{Stream, StreamId};
use crate::store::pack::{Listpack, Pos};

/// What becomes of an entry that is to go and of the groups' references to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// The entry goes, the references stay.
    #[default]
    Keep,
    /// The entry goes, and the references with it.
    Delete,
    /// The entry stays unless every group has been given it and has acknowledged it.
    Acknowledged,
}

/// Which entries go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// The first ones, until so many are left.
    Length(usize),
    /// Those below an id.
    Below(StreamId),
}

/// What a trimming did.
#[derive(Debug, Default)]
pub struct Trimmed {
    /// Entries that went.
    pub removed: usize,
    /// Entries that had gone before, of which some group had a reference until now.
    pub forgotten: usize,
    /// Nodes that went, to be dropped where it does no harm.
    pub nodes: Vec<Listpack>,
}

impl Stream {
    /// Removes the entry of an id; false if there is none. O(log N), and a walk through a node.
    pub fn remove(&mut self, id: StreamId) -> bool {
        let stream = &mut *self.0;
        let Some((&key, pack)) = stream.nodes.range_mut(..=id).next_back() else { return false };
        let found = Node::new(key, pack).forward().take_while(|found| found.entry.id <= id).last();
        let Some(at) = found.filter(|found| !found.deleted && found.entry.id == id).map(|found| found.at) else {
            return false;
        };
        self.remove_at(key, &[at], true);
        let stream = &mut *self.0;
        stream.max_deleted_id = stream.max_deleted_id.max(id);
        if stream.first_id == id {
            self.find_first();
        }
        true
    }

    /// Removes the live entries of a node that begin at these places, and, if asked to, the node if no other is left in it,
    /// which is returned.
    fn remove_at(&mut self, key: StreamId, at: &[Pos], emptied: bool) -> Option<Listpack> {
        let stream = &mut *self.0;
        let pack = stream.nodes.get_mut(&key).expect("the node is there");
        let before = pack.heap_bytes();
        stream.len -= at.len();
        if emptied && Node::new(key, pack).count == at.len() {
            stream.node_bytes -= before;
            return stream.nodes.remove(&key);
        }
        node::delete(pack, at);
        stream.node_bytes = stream.node_bytes + pack.heap_bytes() - before;
        None
    }

    fn find_first(&mut self) {
        self.0.first_id = self.first().map_or(StreamId::MIN, |entry| entry.id);
    }

    /// Removes entries from the beginning on. With `whole_nodes` only nodes go of which nothing would be left, so that some
    /// entries too many may stay; unless references are simply kept, every entry is looked at anyway, and those go that
    /// should. No more than `limit` entries go (0 for no limit), counted by nodes. Linear in the nodes that go, and in one
    /// node's entries; with [`References::Acknowledged`] or [`References::Delete`], in the entries that go.
    pub fn trim(&mut self, trim: Trim, whole_nodes: bool, limit: usize, references: References) -> Trimmed {
        let mut trimmed = Trimmed::default();
        // Nodes that stay because of references are passed; no key is 0-0.
        let mut passed = StreamId::MIN;
        while let Some((&key, pack)) = self.0.nodes.range((Bound::Excluded(passed), Bound::Unbounded)).next() {
            let node = Node::new(key, pack);
            passed = key;
            let done = matches!(trim, Trim::Length(length) if self.0.len <= length);
            if done || limit > 0 && trimmed.removed + node.count > limit {
                break;
            }
            let whole = match trim {
                Trim::Length(length) => self.0.len - node.count >= length,
                Trim::Below(bound) => node.clone().backward().next().is_none_or(|last| last.entry.id < bound),
            };
            if whole && references == References::Keep {
                trimmed.removed += node.count;
                self.drop_node(key, &mut trimmed);
                continue;
            }
            if whole_nodes && references == References::Keep {
                break;
            }
            self.trim_node(key, trim, references, whole, &mut trimmed);
            if !whole {
                break;
            }
        }
        if trimmed.removed > 0 {
            self.find_first();
        }
        trimmed
    }

    fn drop_node(&mut self, key: StreamId, trimmed: &mut Trimmed) {
        let stream = &mut *self.0;
        let pack = stream.nodes.remove(&key).expect("the node is there");
        stream.node_bytes -= pack.heap_bytes();
        stream.len -= Node::new(key, &pack).count;
        trimmed.nodes.push(pack);
    }

    /// Removes entries of one node, as long as there are too many, and with the last one the node if `whole`.
    fn trim_node(&mut self, key: StreamId, trim: Trim, references: References, whole: bool, trimmed: &mut Trimmed) {
        let (mut goners, mut gone): (Vec<(StreamId, Pos)>, Vec<StreamId>) = (Vec::new(), Vec::new());
        for found in Node::new(key, &self.0.nodes[&key]).forward() {
            let id = found.entry.id;
            let enough = match trim {
                Trim::Length(length) => self.0.len - goners.len() <= length,
                Trim::Below(bound) => id >= bound,
            };
            if enough {
                break;
            }
            if found.deleted {
                gone.push(id);
            } else if references != References::Acknowledged || !self.is_referenced(id) {
                goners.push((id, found.at));
            }
        }
        if references == References::Delete {
            trimmed.forgotten += gone.into_iter().filter(|&id| self.forget(id)).count();
            goners.iter().for_each(|&(id, _)| _ = self.forget(id));
        }
        if goners.is_empty() {
            return;
        }
        let at: Vec<Pos> = goners.into_iter().map(|(_, at)| at).collect();
        trimmed.removed += at.len();
        trimmed.nodes.extend(self.remove_at(key, &at, whole));
    }
}
