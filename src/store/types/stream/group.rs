//! Groups of consumers: what each group was given last, and which entries its consumers were given and have not
//! acknowledged.
//!
//! # Invariants
//! - Every pending entry belongs to a consumer of its group, whose own list names it; the lists name no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slab::Slab;

use super::{Stream, StreamId};
use crate::base::heap;

/// A consumer, within its group and as long as it is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(u32);

/// An entry that was given to a consumer, which has not acknowledged it.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Unix time at which it was given last, in milliseconds.
    pub delivered_ms: i64,
    /// How often it was given.
    pub deliveries: u64,
    /// To whom.
    pub consumer: ConsumerId,
}

/// One who reads.
#[derive(Clone, Debug)]
pub struct Consumer {
    name: Arc<[u8]>,
    /// Unix time at which it asked for something last, in milliseconds.
    pub seen_ms: i64,
    /// Unix time at which it was given something last, if ever.
    pub active_ms: Option<i64>,
    pending: BTreeSet<StreamId>,
}

impl Consumer {
    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The ids of the entries it has not acknowledged.
    pub fn pending(&self) -> &BTreeSet<StreamId> {
        &self.pending
    }
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The id of the entry given last, to whichever consumer.
    pub last_id: StreamId,
    /// How many entries were added to the stream up to that one, if known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    by_name: BTreeMap<Arc<[u8]>, u32>,
    consumers: Slab<Consumer>,
}

impl Group {
    /// A group that was given everything up to an id.
    pub fn new(last_id: StreamId, entries_read: Option<u64>) -> Group {
        Group { last_id, entries_read, ..Group::default() }
    }

    /// The consumer of a name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        self.by_name.get(name).map(|&id| ConsumerId(id))
    }

    /// Adds a consumer; its name must be free.
    pub fn add_consumer(&mut self, name: &[u8], seen_ms: i64) -> ConsumerId {
        let name: Arc<[u8]> = name.into();
        let consumer = Consumer { name: name.clone(), seen_ms, active_ms: None, pending: BTreeSet::new() };
        let id = self.consumers.insert(consumer) as u32;
        let replaced = self.by_name.insert(name, id);
        assert!(replaced.is_none(), "the name was free");
        ConsumerId(id)
    }

    /// Removes a consumer with all that it had not acknowledged; returns how much that was. O(N log N) in it.
    pub fn remove_consumer(&mut self, id: ConsumerId) -> usize {
        let consumer = self.consumers.remove(id.0 as usize);
        self.by_name.remove(&consumer.name);
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        consumer.pending.len()
    }

    /// A consumer.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        &self.consumers[id.0 as usize]
    }

    /// A consumer, to set its times.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        &mut self.consumers[id.0 as usize]
    }

    /// All consumers, by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> + Clone {
        self.by_name.values().map(|&id| &self.consumers[id as usize])
    }

    /// All that is not acknowledged, by id.
    pub fn pending(&self) -> &BTreeMap<StreamId, Pending> {
        &self.pending
    }

    /// Gives an entry to a consumer, as if for the first time, whoever had it before. O(log N).
    pub fn deliver(&mut self, id: StreamId, consumer: ConsumerId, now_ms: i64) {
        self.assign(id, Pending { delivered_ms: now_ms, deliveries: 1, consumer });
    }

    /// Notes that a consumer was given one of its pending entries once more; how it is pending now, if it is. O(log N).
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) -> Option<Pending> {
        let pending = self.pending.get_mut(&id)?;
        pending.delivered_ms = now_ms;
        pending.deliveries = pending.deliveries.wrapping_add(1);
        Some(*pending)
    }

    /// Gives a pending entry, or one that was nobody's, to a consumer. O(log N).
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        let before = self.pending.insert(id, pending);
        if before.is_some_and(|before| before.consumer == pending.consumer) {
            return;
        }
        if let Some(before) = before {
            self.consumers[before.consumer.0 as usize].pending.remove(&id);
        }
        self.consumers[pending.consumer.0 as usize].pending.insert(id);
    }

    /// Takes an entry off the pending ones; false if it was none. O(log N).
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.consumers[pending.consumer.0 as usize].pending.remove(&id);
        true
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // Of consumers a few stand for all.
        const SAMPLE: usize = 16;
        let consumer =
            |consumer: &Consumer| heap::arc(consumer.name.len()) + heap::tree::<StreamId, ()>(consumer.pending.len());
        let sampled: usize = self.consumers.iter().take(SAMPLE).map(|(_, one)| consumer(one)).sum();
        let consumers = sampled * self.consumers.len() / self.consumers.len().clamp(1, SAMPLE);
        heap::tree::<StreamId, Pending>(self.pending.len())
            + heap::tree::<Arc<[u8]>, u32>(self.by_name.len())
            + heap::slab(&self.consumers)
            + consumers
    }

    pub(super) fn blocks(&self) -> usize {
        /// Entries that a leaf of a B-tree holds on average.
        const PER_LEAF: usize = 7;
        1 + 2 * self.pending.len() / PER_LEAF + 2 * self.consumers.len()
    }
}

/// Groups.
impl Stream {
    /// All groups, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.0.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The group of a name.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.0.groups.get(name)
    }

    /// The group of a name, to be changed.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.0.groups.get_mut(name)
    }

    /// Adds a group; false if its name is taken.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        if self.0.groups.contains_key(name) {
            return false;
        }
        self.0.groups.insert(name.into(), group);
        true
    }

    /// Removes a group, which the caller drops where it does no harm.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        self.0.groups.remove(name)
    }

    /// Moves a group on to an entry that it is given now, unless it was given that one before.
    pub fn advance(&mut self, group: &[u8], id: StreamId) {
        let Some(found) = self.0.groups.get(group).filter(|found| id > found.last_id) else { return };
        let entries_read = self.entries_read_at(found, id);
        let found = self.0.groups.get_mut(group).expect("it was there");
        (found.last_id, found.entries_read) = (id, entries_read);
    }

    /// True if some group has not been given this entry, or has not had it acknowledged. O(groups).
    pub fn is_referenced(&self, id: StreamId) -> bool {
        self.0.groups.values().any(|group| group.last_id < id || group.pending.contains_key(&id))
    }

    /// Takes an entry off every group's pending ones; false if it was nobody's. O(groups).
    pub fn forget(&mut self, id: StreamId) -> bool {
        let mut forgotten = false;
        for group in self.0.groups.values_mut() {
            forgotten |= group.acknowledge(id);
        }
        forgotten
    }

    /// The sum of what a function says of every group, estimated from the first ones if there are many.
    pub(super) fn sample_groups(&self, of: fn(&Group) -> usize) -> usize {
        const SAMPLE: usize = 16;
        let (groups, sample) = (self.0.groups.len(), self.0.groups.len().min(SAMPLE));
        let sum: usize = self.0.groups.values().take(SAMPLE).map(of).sum();
        (sum * groups).checked_div(sample).unwrap_or(0)
    }
}
