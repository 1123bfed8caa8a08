//! What a stream remembers of those who add to it, so that an entry that is sent twice is added once: of each producer the ids that it
//! gave its entries of late, and the entries that they stand for.
//!
//! An id is remembered for some seconds from the time of its entry on, and only so many of a producer, of which the oldest go first.
//! What is too old is not found, and goes when its producer adds the next ones, some at a time; of others a few are looked at each
//! time, so that those who are heard of no more are forgotten as well.
//!
//! # Invariants
//! - Of each producer that is known an id is known, and no more than are to be remembered; in the order in which they came.
//! - A stream that remembers nothing, counted nothing and has the usual settings has no such memory.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::{Stream, StreamId};
use crate::base::heap::{self, size_class};

/// Producers that are looked at beside the one that adds an entry.
const OTHERS_SWEPT: usize = 2;
/// Ids of one producer that are forgotten at a time for their age: more than are added, so that none is left at last.
const FORGOTTEN_MAX: usize = 16;

/// How long and how many ids are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remembering {
    /// Seconds from the time of an entry on.
    pub duration_s: u32,
    /// Ids of a producer.
    pub ids_max: u32,
}

impl Default for Remembering {
    fn default() -> Remembering {
        Remembering { duration_s: 100, ids_max: 100 }
    }
}

/// The ids of a producer.
#[derive(Clone, Debug, Default)]
pub struct Producer {
    entries: BTreeMap<Arc<[u8]>, StreamId>,
    order: VecDeque<Arc<[u8]>>,
}

impl Producer {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// The ids and the entries that they stand for, the oldest first.
    pub fn ids(&self) -> impl Iterator<Item = (&[u8], StreamId)> {
        self.ids_from(0)
    }

    /// The same from the one on that has so many before it.
    pub fn ids_from(&self, index: usize) -> impl Iterator<Item = (&[u8], StreamId)> {
        self.order.range(index.min(self.order.len())..).map(|id| (&**id, self.entries[id]))
    }

    fn remove_first(&mut self) -> usize {
        let Some(id) = self.order.pop_front() else { return 0 };
        self.entries.remove(&id);
        heap::arc(id.len())
    }
}

/// The producers of a stream.
#[derive(Clone, Debug, Default)]
pub struct Producers {
    remembering: Remembering,
    /// How many ids were ever remembered.
    pub added: u64,
    /// How often one came again.
    pub duplicates: u64,
    by_name: BTreeMap<Box<[u8]>, Producer>,
    /// The name up to which producers were looked at last.
    swept: Box<[u8]>,
    ids: usize,
    /// Bytes of the ids' texts.
    text_bytes: usize,
}

impl Producers {
    /// What is remembered.
    pub fn remembering(&self) -> Remembering {
        self.remembering
    }

    /// All producers, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &Producer)> {
        self.by_name.iter().map(|(name, producer)| (&**name, producer))
    }

    /// The producers behind the one of a name, or from the first one on.
    pub fn after(&self, name: Option<&[u8]>) -> impl Iterator<Item = (&[u8], &Producer)> {
        let behind = name.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_name.range::<[u8], _>((behind, Bound::Unbounded)).map(|(name, producer)| (&**name, producer))
    }

    /// A producer.
    pub fn producer(&self, name: &[u8]) -> Option<&Producer> {
        self.by_name.get(name)
    }

    fn is_old(&self, id: StreamId, now_ms: u64) -> bool {
        id.ms.saturating_add(u64::from(self.remembering.duration_s) * 1000) <= now_ms
    }

    /// How many ids of a producer are remembered at a time. O(those that are too old).
    pub fn remembered(&self, producer: &Producer, now_ms: u64) -> usize {
        producer.count() - producer.ids().take_while(|&(_, entry)| self.is_old(entry, now_ms)).count()
    }

    /// The entry that a producer's id stands for; `now_ms` is a Unix time at which it must not be too old.
    pub fn find(&self, producer: &[u8], id: &[u8], now_ms: Option<u64>) -> Option<StreamId> {
        let entry = *self.by_name.get(producer)?.entries.get(id)?;
        now_ms.is_none_or(|now_ms| !self.is_old(entry, now_ms)).then_some(entry)
    }

    /// Remembers an id of a producer, and forgets what is too old at a Unix time in milliseconds, if it is given. O(log n) and what is
    /// forgotten.
    pub fn remember(&mut self, producer: &[u8], id: &[u8], entry: StreamId, now_ms: Option<u64>) {
        if let Some(now_ms) = now_ms {
            self.sweep(producer, now_ms);
        }
        let known = match self.by_name.get_mut(producer) {
            Some(known) => known,
            None => self.by_name.entry(producer.into()).or_default(),
        };
        if known.entries.remove(id).is_some() {
            // One that came again when it was old already; it is among the first ones.
            known.order.retain(|one| **one != *id);
            self.text_bytes -= heap::arc(id.len());
            self.ids -= 1;
        }
        let id: Arc<[u8]> = id.into();
        self.text_bytes += heap::arc(id.len());
        known.entries.insert(Arc::clone(&id), entry);
        known.order.push_back(id);
        self.ids += 1;
        self.added = self.added.wrapping_add(1);
        while known.count() > self.remembering.ids_max as usize {
            self.text_bytes -= known.remove_first();
            self.ids -= 1;
        }
    }

    /// Forgets what is too old of a producer, and of a few others in turn.
    fn sweep(&mut self, producer: &[u8], now_ms: u64) {
        self.forget_old(producer, now_ms);
        for _ in 0..OTHERS_SWEPT.min(self.by_name.len()) {
            let next = self.after(Some(&self.swept).filter(|name| !name.is_empty()).map(|name| &**name)).next();
            let Some(next) = next.map(|(name, _)| Box::from(name)) else {
                self.swept = Box::default();
                continue;
            };
            self.forget_old(&next, now_ms);
            self.swept = next;
        }
    }

    fn forget_old(&mut self, name: &[u8], now_ms: u64) {
        let Some(producer) = self.by_name.get(name) else { return };
        let first = producer.ids().take(FORGOTTEN_MAX);
        let old = first.take_while(|&(_, entry)| self.is_old(entry, now_ms)).count();
        let producer = self.by_name.get_mut(name).expect("it has just been there");
        for _ in 0..old {
            self.text_bytes -= producer.remove_first();
        }
        self.ids -= old;
        if producer.count() == 0 {
            self.by_name.remove(name);
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        // Of the producers a few stand for all.
        const SAMPLE: usize = 16;
        let of = |(name, producer): (&[u8], &Producer)| {
            size_class(name.len())
                + heap::deque(&producer.order)
                + heap::tree::<Arc<[u8]>, StreamId>(producer.entries.len())
        };
        let sampled: usize = self.iter().take(SAMPLE).map(of).sum();
        let producers = sampled * self.by_name.len() / self.by_name.len().clamp(1, SAMPLE);
        let names = heap::tree::<Box<[u8]>, Producer>(self.by_name.len()) + size_class(self.swept.len());
        size_class(size_of::<Producers>()) + names + producers + self.text_bytes
    }

    pub(super) fn blocks(&self) -> usize {
        1 + 3 * self.by_name.len() + self.ids
    }
}

/// Producers.
impl Stream {
    /// An empty stream that remembers ids for so long.
    pub fn remembering(remembering: Remembering) -> Stream {
        let mut stream = Stream::default();
        stream.set_remembering(remembering);
        stream
    }

    /// What it remembers of its producers, if it does.
    pub fn producers(&self) -> Option<&Producers> {
        self.0.producers.as_deref()
    }

    /// The same, to be changed.
    pub fn producers_mut(&mut self) -> &mut Producers {
        self.0.producers.get_or_insert_default()
    }

    /// Sets how long and how many ids are remembered. If that is something else than before, all of them are forgotten, which the
    /// caller drops where it does no harm.
    pub fn set_remembering(&mut self, remembering: Remembering) -> Option<Producers> {
        if self.producers().map_or_else(Remembering::default, Producers::remembering) == remembering {
            return None;
        }
        let producers = self.producers_mut();
        let (added, duplicates) = (producers.added, producers.duplicates);
        Some(std::mem::replace(producers, Producers { remembering, added, duplicates, ..Producers::default() }))
    }

    /// Forgets a memory in which there is nothing.
    pub(super) fn drop_empty_memory(&mut self) {
        let is_empty = |of: &Producers| {
            of.by_name.is_empty() && (of.added, of.duplicates) == (0, 0) && of.remembering == Remembering::default()
        };
        if self.producers().is_some_and(is_empty) {
            self.0.producers = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// How many producers and ids are remembered at a time.
    fn counted(producers: &Producers, now_ms: u64) -> (usize, usize) {
        let ids: Vec<usize> = producers.iter().map(|(_, producer)| producers.remembered(producer, now_ms)).collect();
        (ids.iter().filter(|&&ids| ids > 0).count(), ids.iter().sum())
    }

    /// A naive twin: all that a producer gave, in order.
    #[test]
    fn ids_are_known_for_their_time_and_as_many_as_are_to_be_remembered() {
        let mut prng = Prng::seeded(17);
        for _ in 0..50 {
            let remembering = Remembering { duration_s: 1 + prng.below(4) as u32, ids_max: 1 + prng.below(5) as u32 };
            let mut stream = Stream::remembering(remembering);
            let mut naive: Vec<(u8, u8, StreamId)> = Vec::new();
            let mut now_ms = 1_000_000;
            for n in 0..300 {
                now_ms += prng.below(700);
                let (producer, id) = (prng.below(4) as u8, prng.below(12) as u8);
                let of_producer = |naive: &Vec<(u8, u8, StreamId)>| -> Vec<(u8, StreamId)> {
                    let own = naive.iter().filter(|(of, ..)| *of == producer).map(|&(_, id, entry)| (id, entry));
                    let live = |entry: &StreamId| entry.ms + u64::from(remembering.duration_s) * 1000 > now_ms;
                    let own: Vec<_> = own.filter(|(_, entry)| live(entry)).collect();
                    own[own.len().saturating_sub(remembering.ids_max as usize)..].to_vec()
                };
                let known = of_producer(&naive).into_iter().find(|(of, _)| *of == id).map(|(_, entry)| entry);
                let producers = stream.producers_mut();
                assert_eq!(producers.find(&[producer], &[id], Some(now_ms)), known, "step {n}");
                if known.is_none() {
                    let entry = StreamId::new(now_ms, n);
                    producers.remember(&[producer], &[id], entry, Some(now_ms));
                    naive.push((producer, id, entry));
                    let live = of_producer(&naive);
                    let kept = producers.producer(&[producer]).expect("it has just been heard of");
                    assert!(kept.ids().map(|(id, entry)| (id[0], entry)).eq(live));
                }
                let ids: usize = producers.iter().map(|(_, producer)| producer.count()).sum();
                let bytes =
                    producers.iter().flat_map(|(_, producer)| producer.ids()).map(|(id, _)| heap::arc(id.len()));
                assert_eq!((producers.ids, producers.text_bytes), (ids, bytes.sum()));
                assert!(counted(producers, now_ms).1 <= ids);
            }
        }
    }

    #[test]
    fn very_many_ids_that_are_old_at_once_are_forgotten_some_at_a_time() {
        let mut stream = Stream::remembering(Remembering { duration_s: 1, ids_max: 10_000 });
        let producers = stream.producers_mut();
        for n in 0..1000_u32 {
            producers.remember(b"p", &n.to_be_bytes(), StreamId::new(5, u64::from(n)), Some(5));
        }
        producers.remember(b"p", b"late", StreamId::new(5000, 0), Some(5000));
        assert_eq!(producers.producer(b"p").map(Producer::count), Some(1001 - FORGOTTEN_MAX));
        assert_eq!(counted(producers, 5000), (1, 1), "what is old does not count");
        assert_eq!(producers.find(b"p", &999_u32.to_be_bytes(), Some(5000)), None);
        for n in 0..100 {
            producers.remember(b"p", &[n], StreamId::new(5001, u64::from(n)), Some(5001));
        }
        assert_eq!(producers.producer(b"p").map(Producer::count), Some(101));
    }

    #[test]
    fn producers_that_are_heard_of_no_more_are_forgotten() {
        let mut stream = Stream::remembering(Remembering { duration_s: 1, ids_max: 10 });
        let producers = stream.producers_mut();
        for n in 0..100_u8 {
            producers.remember(&[1, n], b"id", StreamId::new(5, u64::from(n)), Some(5));
        }
        for n in 0..60 {
            producers.remember(b"p", &[n], StreamId::new(5000, u64::from(n)), Some(5000));
        }
        assert_eq!(producers.iter().len(), 1);
        assert_eq!(counted(producers, 5000), (1, 10));
        assert_eq!(counted(producers, 9000), (0, 0));
    }
}
