//! Groups of consumers: what each group was given last, and which entries its consumers were given and have not
//! acknowledged.
//!
//! # Invariants
//! - Every pending entry belongs to a consumer of its group, whose own list names it, or to nobody: then it was released. The lists
//!   name no others.
//! - Once somebody has asked for entries by their age, or has released one, there is a `Queue` of the pending ones. Groups of which
//!   nobody asks that have none.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use slab::Slab;

use super::queue::{Age, FIRST_OWNED, Queue};
use super::{Stream, StreamId};
use crate::base::heap::{self, size_class};

/// A consumer, within its group and as long as it is not removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(u32);

impl ConsumerId {
    /// Stands for nobody.
    const NONE: ConsumerId = ConsumerId(u32::MAX);
}

/// An entry that was given to a consumer, which has not acknowledged it.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Unix time at which it was given last, in milliseconds. Of one that was released: its place among such, which is negative.
    delivered_ms: i64,
    /// How often it was given.
    pub deliveries: u64,
    consumer: ConsumerId,
    /// Its place among those that were given in the same millisecond. It may begin anew after some billions.
    place: u32,
}

impl Pending {
    /// Unix time in milliseconds at which it was given last; 0 if it was released since.
    pub fn delivered_ms(&self) -> i64 {
        if self.owner().is_some() { self.delivered_ms } else { 0 }
    }

    /// To whom it was given, unless that consumer has released it.
    pub fn owner(&self) -> Option<ConsumerId> {
        Some(self.consumer).filter(|&consumer| consumer != ConsumerId::NONE)
    }

    pub(super) fn age(&self, id: StreamId) -> Age {
        // Dumps may hold any time.
        let ms = if self.owner().is_some() { self.delivered_ms.max(0) } else { self.delivered_ms };
        (ms, self.place, id)
    }
}

/// What marks an entry that nobody is to be given any more: the most deliveries that a client can be told of.
pub const DELIVERIES_MAX: u64 = i64::MAX as u64;

/// How often an entry was given that is given once more. One that is marked keeps its mark.
pub fn once_more(deliveries: u64) -> u64 {
    if deliveries == DELIVERIES_MAX { deliveries } else { deliveries.wrapping_add(1) }
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

/// What is found of the pending entries that stand first by their age. Entries that were deleted stay pending.
#[derive(Clone, Copy, Debug)]
pub enum FirstByAge {
    /// No entry is there.
    Nothing,
    /// This one.
    Is(Pending),
    /// It is further on.
    FurtherOn,
}

/// A group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The id of the entry given last, to whichever consumer.
    pub last_id: StreamId,
    /// How many entries were added to the stream up to that one, if known.
    pub entries_read: Option<u64>,
    pending: BTreeMap<StreamId, Pending>,
    /// Once it is asked for.
    pub(super) queue: Option<Box<Queue>>,
    /// The next entry's place among those of its millisecond.
    place: u32,
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
            let pending = self.pending.remove(id);
            if let (Some(queue), Some(pending)) = (&mut self.queue, pending) {
                queue.remove(*id, &pending);
            }
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

    /// The name of the consumer that a pending entry was given to; nothing if it was released.
    pub fn owner_name(&self, pending: &Pending) -> &[u8] {
        pending.owner().map_or(b"", |consumer| self.consumer(consumer).name())
    }

    /// Gives an entry to a consumer, as if for the first time, whoever had it before. O(log N).
    pub fn deliver(&mut self, id: StreamId, consumer: ConsumerId, now_ms: i64) {
        self.assign(id, consumer, now_ms, 1);
    }

    /// Notes that a consumer was given one of its pending entries once more; how it is pending now, if it is. O(log N).
    pub fn deliver_again(&mut self, id: StreamId, now_ms: i64) -> Option<Pending> {
        let Pending { deliveries, consumer, .. } = *self.pending.get(&id)?;
        Some(self.put(id, consumer, now_ms, once_more(deliveries)))
    }

    /// Gives a pending entry, or one that was nobody's, to a consumer: at which Unix time in milliseconds it counts as given, and as
    /// given how often. O(log N).
    pub fn assign(&mut self, id: StreamId, consumer: ConsumerId, delivered_ms: i64, deliveries: u64) -> Pending {
        self.put(id, consumer, delivered_ms, deliveries)
    }

    /// Takes an entry from the consumer that it is pending for, and puts it behind those that were released before; it need not be
    /// pending yet. O(log N).
    pub fn release(&mut self, id: StreamId, deliveries: u64) {
        let place = self.queue.get_or_insert_default().next_released();
        self.put(id, ConsumerId::NONE, place, deliveries);
    }

    /// How an entry is pending from now on.
    fn put(&mut self, id: StreamId, consumer: ConsumerId, delivered_ms: i64, deliveries: u64) -> Pending {
        let pending = Pending { delivered_ms, deliveries, consumer, place: self.place };
        self.place = self.place.wrapping_add(1);
        let before = self.pending.insert(id, pending);
        if let Some(queue) = &mut self.queue {
            if let Some(before) = before {
                queue.remove(id, &before);
            }
            queue.add(id, &pending);
        }
        if before.is_some_and(|before| before.consumer == consumer) {
            return pending;
        }
        if let Some(before) = before.and_then(|before| before.owner()) {
            self.consumers[before.0 as usize].pending.remove(&id);
        }
        if let Some(owner) = pending.owner() {
            self.consumers[owner.0 as usize].pending.insert(id);
        }
        pending
    }

    /// Takes an entry off the pending ones; false if it was none. O(log N).
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        if let Some(queue) = &mut self.queue {
            queue.remove(id, &pending);
        }
        if let Some(owner) = pending.owner() {
            self.consumers[owner.0 as usize].pending.remove(&id);
        }
        true
    }

    /// How many pending entries were released, and given to nobody since.
    pub fn released(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.released())
    }

    /// The entries that were released, in the order of that.
    pub fn released_ids(&self) -> impl Iterator<Item = StreamId> {
        self.released_after(None)
    }

    /// Those that were released after one of them. O(log N) for the first.
    pub fn released_after(&self, id: Option<StreamId>) -> impl Iterator<Item = StreamId> {
        let start = id.and_then(|id| Some(self.pending.get(&id)?.age(id)));
        let start = start.map_or(Bound::Unbounded, Bound::Excluded);
        // Those that are somebody's come behind all of them.
        let queue = self.queue.iter();
        queue.flat_map(move |queue| queue.range(start, Bound::Excluded(FIRST_OWNED))).map(|&(_, _, id)| id)
    }

    /// Has the pending entries stand in a queue by their age from now on; so many more of them at most, for they may be very many. True
    /// when all of them do.
    pub fn keep_ages(&mut self, most: usize) -> bool {
        self.queue.get_or_insert_default().go_on(&self.pending, most)
    }

    /// Whether somebody has asked for that.
    pub fn keeps_ages(&self) -> bool {
        self.queue.is_some()
    }

    /// The pending entries by their age: those that were released, and then those that were given longest ago. Without those that
    /// stand before all whose entries are there. Only those that stand in the queue.
    pub fn by_age(&self) -> impl Iterator<Item = (StreamId, Pending)> {
        let ages = self.queue.iter().flat_map(|queue| queue.range(queue.first_live(), Bound::Unbounded));
        ages.map(|&(_, _, id)| (id, self.pending[&id]))
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // Of consumers a few stand for all.
        const SAMPLE: usize = 16;
        let consumer =
            |consumer: &Consumer| heap::arc(consumer.name.len()) + heap::tree::<StreamId, ()>(consumer.pending.len());
        let sampled: usize = self.consumers.iter().take(SAMPLE).map(|(_, one)| consumer(one)).sum();
        let consumers = sampled * self.consumers.len() / self.consumers.len().clamp(1, SAMPLE);
        let queue = |queue: &Queue| size_class(size_of::<Queue>()) + heap::tree::<Age, ()>(queue.len());
        heap::tree::<StreamId, Pending>(self.pending.len())
            + self.queue.as_deref().map_or(0, queue)
            + heap::tree::<Arc<[u8]>, u32>(self.by_name.len())
            + heap::slab(&self.consumers)
            + consumers
    }

    pub(super) fn blocks(&self) -> usize {
        /// Entries that a leaf of a B-tree holds on average.
        const PER_LEAF: usize = 7;
        let queue = self.queue.as_ref().map_or(0, |queue| 1 + queue.len() / PER_LEAF);
        1 + 2 * self.pending.len() / PER_LEAF + queue + 2 * self.consumers.len()
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

    /// The pending entry of a group that stands first by its age among those whose entries are there. Looks at so many at most.
    pub fn first_by_age(&mut self, group: &[u8], most: usize) -> FirstByAge {
        let Some(found) = self.0.groups.get(group) else { return FirstByAge::Nothing };
        let (mut gone, mut first) = (None, FirstByAge::Nothing);
        for (n, (id, pending)) in found.by_age().enumerate() {
            if self.contains(id) {
                first = FirstByAge::Is(pending);
                break;
            }
            gone = Some(pending.age(id));
            if n + 1 == most {
                first = FirstByAge::FurtherOn;
                break;
            }
        }
        if let (Some(gone), Some(found)) = (gone, self.0.groups.get_mut(group)) {
            found.queue.as_mut().expect("it has been read").pass(gone);
        }
        first
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
