//! A stream from outside: the parts that a dump holds, each checked as it comes, in the order in which they stand there.

use std::collections::BTreeMap;

use super::group::ConsumerId;
use super::node::{self, Node};
use super::{Group, Remembering, Stream, StreamId};
use crate::store::pack::{Listpack, Validated};

/// What a stream says of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
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
}

/// A stream in the making. First come its nodes, then its facts, then group after group: its pending entries, then consumer after
/// consumer with the ids of those that are its own. `None` is answered to what does not fit what came before; the stream is of no
/// use then.
#[derive(Debug, Default)]
pub struct Builder {
    stream: Stream,
    /// The last id of the nodes so far, deleted entries included.
    last: Option<StreamId>,
    group: Option<GroupBuilder>,
}

/// A group in the making.
#[derive(Debug)]
struct GroupBuilder {
    name: Vec<u8>,
    group: Group,
    /// Pending entries that no consumer has named yet: when each was given last, and how often.
    unnamed: BTreeMap<StreamId, (i64, u64)>,
    consumer: Option<Owner>,
}

/// Whose pending entries are read.
#[derive(Clone, Copy, Debug)]
enum Owner {
    Consumer(ConsumerId),
    /// Nobody's: they were released.
    Nobody,
}

/// When a consumer was seen that is none, in dumps: its entries are those that were released, in the order of that. To other servers
/// it is a consumer that has been away for very long.
pub const NOBODY_SEEN_MS: i64 = -1;

/// A name for it that no consumer of a group has.
pub fn name_of_nobody(group: &Group) -> Vec<u8> {
    let mut name = Vec::new();
    while group.find(&name).is_some() {
        name.push(b'-');
    }
    name
}

impl Builder {
    /// Adds a node behind the others, by the id of its first entry: several of moderate size for one that is far too large. Costs a
    /// walk over its entries.
    pub fn add_node(&mut self, key: StreamId, pack: Validated<'_>) -> Option<()> {
        let last = node::check(key, pack)?;
        if key == StreamId::MIN || self.last.is_some_and(|before| key <= before) {
            return None;
        }
        self.last = Some(last);
        if node::is_oversized(pack) {
            // What is deleted goes; no live entry may be left, and then the node goes too.
            node::split(key, pack).into_iter().for_each(|(key, pack)| self.keep_node(key, pack));
        } else {
            self.keep_node(key, pack.to_pack());
        }
        Some(())
    }

    fn keep_node(&mut self, key: StreamId, pack: Listpack) {
        let stream = &mut *self.stream.0;
        stream.len += Node::new(key, &pack).count;
        stream.node_bytes += pack.heap_bytes();
        stream.nodes.insert(key, pack);
    }

    /// Adds the facts, once all nodes are there: as many live entries as stated, no id above the last one.
    pub fn add_facts(&mut self, facts: &Facts) -> Option<()> {
        if self.stream.0.len as u64 != facts.len || self.last.is_some_and(|last| last > facts.last_id) {
            return None;
        }
        let first_id = self.stream.first().map_or(StreamId::MIN, |entry| entry.id);
        let stream = &mut *self.stream.0;
        (stream.first_id, stream.last_id, stream.max_deleted_id) = (first_id, facts.last_id, facts.max_deleted_id);
        stream.entries_added = facts.entries_added.unwrap_or(facts.len);
        facts.first_id.is_none_or(|stated| stated == first_id).then_some(())
    }

    /// Begins a group, of whose entries so many were read: `Some(None)` if that is not known, `None` to work it out, as older dumps
    /// do not say.
    pub fn begin_group(&mut self, name: Vec<u8>, last_id: StreamId, entries_read: Option<Option<u64>>) {
        let entries_read = entries_read.unwrap_or_else(|| self.stream.entries_up_to(last_id));
        // Servers that let XSETID lower what was added dump counters above it, which would make the lag negative.
        let entries_read = entries_read.map(|read| read.min(self.stream.0.entries_added));
        let group = Group::new(last_id, entries_read);
        self.group = Some(GroupBuilder { name, group, unnamed: BTreeMap::new(), consumer: None });
    }

    /// Adds a pending entry of the group: when it was given last (Unix time in milliseconds), and how often.
    pub fn add_pending(&mut self, id: StreamId, delivered_ms: i64, deliveries: u64) -> Option<()> {
        let group = self.group.as_mut()?;
        group.unnamed.insert(id, (delivered_ms, deliveries)).is_none().then_some(())
    }

    /// Begins a consumer of the group: when it was seen last (Unix time in milliseconds), and when it was given something last, a
    /// negative time for never. One that was seen at [`NOBODY_SEEN_MS`] is none.
    pub fn begin_consumer(&mut self, name: &[u8], seen_ms: i64, active_ms: i64) -> Option<()> {
        let GroupBuilder { group, consumer, .. } = self.group.as_mut()?;
        if seen_ms == NOBODY_SEEN_MS {
            *consumer = Some(Owner::Nobody);
            return Some(());
        }
        if group.find(name).is_some() {
            return None;
        }
        let id = group.add_consumer(name, seen_ms);
        group.consumer_mut(id).active_ms = Some(active_ms).filter(|&active_ms| active_ms >= 0);
        *consumer = Some(Owner::Consumer(id));
        Some(())
    }

    /// Says that one of the group's pending entries is the consumer's.
    pub fn add_own(&mut self, id: StreamId) -> Option<()> {
        let GroupBuilder { group, unnamed, consumer, .. } = self.group.as_mut()?;
        // An entry that is named twice is no longer there the second time.
        let (delivered_ms, deliveries) = unnamed.remove(&id)?;
        match (*consumer)? {
            Owner::Consumer(consumer) => _ = group.assign(id, consumer, delivered_ms, deliveries),
            Owner::Nobody => group.release(id, deliveries),
        }
        Some(())
    }

    /// Ends the group: every pending entry is some consumer's.
    pub fn end_group(&mut self) -> Option<()> {
        let GroupBuilder { name, group, unnamed, .. } = self.group.take()?;
        (unnamed.is_empty() && self.stream.add_group(&name, group)).then_some(())
    }

    /// Says how long ids of producers are remembered, and how many; once all groups are there.
    pub fn set_remembering(&mut self, duration_s: u64, ids_max: u64) -> Option<()> {
        let (duration_s, ids_max) = (u32::try_from(duration_s).ok()?, u32::try_from(ids_max).ok()?);
        if duration_s == 0 || ids_max == 0 {
            return None;
        }
        self.stream.set_remembering(Remembering { duration_s, ids_max });
        Some(())
    }

    /// Adds an id of a producer, and the entry that it stands for. What is too much goes, the oldest first.
    pub fn add_produced(&mut self, producer: &[u8], id: &[u8], entry: StreamId) {
        self.stream.producers_mut().remember(producer, id, entry, None);
    }

    /// Says how many ids were ever remembered, and how often one came again; once all ids are there.
    pub fn end_producers(&mut self, added: u64, duplicates: u64) {
        let producers = self.stream.producers_mut();
        (producers.added, producers.duplicates) = (added, duplicates);
        self.stream.drop_empty_memory();
    }

    /// The stream.
    pub fn finish(&mut self) -> Stream {
        std::mem::take(&mut self.stream)
    }
}
