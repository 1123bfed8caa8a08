//! A stream from outside: the parts a dump holds, checked before they become a stream.

use std::collections::BTreeMap;

use super::group::Pending;
use super::node::{self, Node};
use super::{Group, Inner, Stream, StreamId};
use crate::store::pack::{Listpack, Validated};

/// The parts of a stream. [`Stream::nodes`], [`Stream::groups`] and the functions for the facts give them back.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// Every node with its key, the id of its first entry. The content of the packs is not trusted. See [`Parts::add_node`].
    pub nodes: Vec<(StreamId, Listpack)>,
    /// Number of live entries.
    pub len: u64,
    /// The id given out last.
    pub last_id: StreamId,
    /// The first live entry's id; `None` to find it, as older dumps do not say.
    pub first_id: Option<StreamId>,
    /// The highest id deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added; `None` for as many as there are.
    pub entries_added: Option<u64>,
    /// The groups.
    pub groups: Vec<GroupParts>,
}

/// The parts of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupParts {
    /// Its name.
    pub name: Vec<u8>,
    /// The id of the entry given last.
    pub last_id: StreamId,
    /// How many entries were read, if known; `None` to work it out, as older dumps do not say.
    pub entries_read: Option<Option<u64>>,
    /// Every pending entry: when it was given last (Unix time in milliseconds), and how often.
    pub pending: Vec<(StreamId, i64, u64)>,
    /// The consumers.
    pub consumers: Vec<ConsumerParts>,
}

/// The parts of a consumer.
#[derive(Clone, Debug, Default)]
pub struct ConsumerParts {
    /// Its name.
    pub name: Vec<u8>,
    /// When it was seen last, Unix time in milliseconds.
    pub seen_ms: i64,
    /// When it was given something last; `None` or a negative time for never.
    pub active_ms: Option<i64>,
    /// The ids of the group's pending entries that are its own.
    pub pending: Vec<StreamId>,
}

impl Parts {
    /// Adds a node after the others: several of moderate size for one that is far too large. `None` if it cannot be read.
    pub fn add_node(&mut self, key: StreamId, pack: Validated<'_>) -> Option<()> {
        if node::is_oversized(pack) {
            // What is deleted goes; no live entry may be left, and then the node goes too.
            node::check(key, pack).filter(|_| key != StreamId::MIN)?;
            self.nodes.extend(node::split(key, pack));
        } else {
            self.nodes.push((key, pack.to_pack()));
        }
        Some(())
    }
}

impl Stream {
    /// A stream of these parts, `None` unless they fit together: nodes in order whose every entry can be read, as many live
    /// entries as stated, no id above the last one, and every pending entry some consumer's. Costs a walk over all.
    pub fn from_parts(parts: Parts) -> Option<Stream> {
        let mut inner = Inner {
            last_id: parts.last_id,
            max_deleted_id: parts.max_deleted_id,
            entries_added: parts.entries_added.unwrap_or(parts.len),
            ..Inner::default()
        };
        let mut before = None;
        for (key, pack) in parts.nodes {
            let last = node::check(key, Validated::of(&pack))?;
            let count = Node::new(key, &pack).count;
            if key == StreamId::MIN || before.is_some_and(|before| key <= before) || last > parts.last_id {
                return None;
            }
            before = Some(last);
            inner.len += count;
            inner.node_bytes += pack.heap_bytes();
            inner.nodes.insert(key, pack);
        }
        (inner.len as u64 == parts.len).then_some(())?;
        let mut stream = Stream(Box::new(inner));
        stream.0.first_id = stream.first().map_or(StreamId::MIN, |entry| entry.id);
        parts.first_id.is_none_or(|stated| stated == stream.0.first_id).then_some(())?;
        for group in parts.groups {
            let entries_read = group.entries_read.unwrap_or_else(|| stream.entries_up_to(group.last_id));
            // Servers that let XSETID lower what was added dump counters above it, which would make the lag negative.
            let entries_read = entries_read.map(|read| read.min(stream.0.entries_added));
            let (name, group) = checked_group(group, entries_read)?;
            stream.add_group(&name, group).then_some(())?;
        }
        Some(stream)
    }
}

fn checked_group(parts: GroupParts, entries_read: Option<u64>) -> Option<(Vec<u8>, Group)> {
    let mut group = Group::new(parts.last_id, entries_read);
    let stated = parts.pending.len();
    let mut times: BTreeMap<StreamId, (i64, u64)> =
        parts.pending.into_iter().map(|(id, delivered_ms, deliveries)| (id, (delivered_ms, deliveries))).collect();
    (times.len() == stated).then_some(())?;
    for consumer in parts.consumers {
        if group.find(&consumer.name).is_some() {
            return None;
        }
        let id = group.add_consumer(&consumer.name, consumer.seen_ms);
        group.consumer_mut(id).active_ms = consumer.active_ms.filter(|&active_ms| active_ms >= 0);
        for entry in consumer.pending {
            // An entry that is named twice is no longer there the second time.
            let (delivered_ms, deliveries) = times.remove(&entry)?;
            group.assign(entry, Pending { delivered_ms, deliveries, consumer: id });
        }
    }
    times.is_empty().then_some((parts.name, group))
}
