//! How many keys fall due, and when: the nearest ones counted, the rest estimated from a sample.
//!
//! # How
//! The wheel shows its next [`NODES_MAX`] nodes in the order of their ticks. A key with a deadline has a node in the slot of
//! that deadline or of an earlier tick, so every key due up to the last tick shown whole is among them: up to that tick, the
//! *reach*, the counts are exact. What lies beyond is scaled up from a sample of the keys: drawn through the wheel's nodes
//! or read from the table, whichever holds keys with a deadline more densely. A database with at most [`NODES_MAX`] nodes
//! is counted, not estimated. Of [`SAMPLE_MAX`] sampled keys an estimated share is off by two percentage points, typically.
//!
//! # Costs
//! O(1): at most `NODES_MAX + SAMPLE_MAX` keys are looked at, about half a millisecond when nothing of them is in the cache.
//!
//! Called through [`super::db::Db::forecast`]. Knows nothing of replies and of the time: ranges are Unix milliseconds.

use std::collections::BTreeMap;

use crate::base::prng::Prng;
use crate::timer::Wheel;

use super::entry::Entry;
use super::table::Table;

/// Nodes of the wheel that are followed to their keys.
pub const NODES_MAX: usize = 512;
/// Keys that are sampled.
pub const SAMPLE_MAX: usize = 512;

/// Keys prefetched at a time.
const GROUP: usize = 16;

/// A number of keys, and the bytes that they take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Keys; a fraction if it is an estimate.
    pub keys: f64,
    /// Bytes of their entries and values on the heap.
    pub bytes: f64,
}

impl std::ops::AddAssign for Share {
    fn add_assign(&mut self, other: Share) {
        self.keys += other.keys;
        self.bytes += other.bytes;
    }
}

/// A key that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    deadline_ms: i64,
    /// Where its entry is, so that a key met twice is known again.
    address: usize,
    bytes: usize,
}

/// When the keys of one database fall due.
#[derive(Debug)]
pub struct Forecast {
    /// All keys due up to the reach, by deadline.
    near: Vec<Seen>,
    reach_ms: i64,
    /// Some of the keys due later.
    sample: Vec<Seen>,
    /// How many are due later.
    far: usize,
}

impl Forecast {
    /// Looks at the keys of one database, `timed` of which have a deadline. O(1).
    pub(super) fn take(table: &mut Table<Entry>, wheel: &Wheel, timed: usize, prng: &mut Prng) -> Forecast {
        let mut prefixes = Vec::with_capacity(NODES_MAX);
        let reach_ms = wheel.preview(NODES_MAX, |prefix| prefixes.push(prefix));
        let mut near = look_up(table, &prefixes);
        near.sort_unstable();
        near.dedup();
        near.retain(|seen| seen.deadline_ms <= reach_ms);
        let far = timed - near.len().min(timed);
        let mut sample = Vec::new();
        if far > 0 {
            sample = match timed as f64 / table.len() as f64 >= wheel.density() {
                true => read_table(table),
                false => draw(table, wheel, prng),
            };
            sample.retain(|seen| seen.deadline_ms > reach_ms);
        }
        Forecast { near, reach_ms, sample, far }
    }

    /// The Unix millisecond up to which nothing is estimated; `i64::MAX` if nothing is at all.
    pub fn reach_ms(&self) -> i64 {
        if self.far == 0 { i64::MAX } else { self.reach_ms }
    }

    /// Keys that estimates are made from.
    pub fn sampled(&self) -> usize {
        self.sample.len()
    }

    /// The first deadline after a Unix millisecond, if it is within reach.
    pub fn next_after(&self, ms: i64) -> Option<i64> {
        self.near.iter().map(|seen| seen.deadline_ms).find(|&deadline_ms| deadline_ms > ms)
    }

    /// How many keys fall due in each span of so many milliseconds, by its end (Unix ms). O(keys looked at), which is bounded.
    pub fn by_span(&self, span_ms: i64) -> BTreeMap<i64, f64> {
        let mut keys = BTreeMap::new();
        let mut add = |seen: &Seen, weight: f64| {
            let end_ms = seen.deadline_ms.div_euclid(span_ms).saturating_add(1).saturating_mul(span_ms);
            *keys.entry(end_ms).or_insert(0.0) += weight;
        };
        self.near.iter().for_each(|seen| add(seen, 1.0));
        let each = self.far as f64 / self.sample.len().max(1) as f64;
        self.sample.iter().for_each(|seen| add(seen, each));
        keys
    }

    /// What falls due after `after_ms` and no later than `until_ms` (Unix ms).
    pub fn between(&self, after_ms: i64, until_ms: i64) -> Share {
        let within = |seen: &&Seen| after_ms < seen.deadline_ms && seen.deadline_ms <= until_ms;
        let sum = |share: Share, seen: &Seen| Share { keys: share.keys + 1.0, bytes: share.bytes + seen.bytes as f64 };
        let mut share = self.near.iter().filter(within).fold(Share::default(), sum);
        if !self.sample.is_empty() {
            let each = self.far as f64 / self.sample.len() as f64;
            let part = self.sample.iter().filter(within).fold(Share::default(), sum);
            share += Share { keys: part.keys * each, bytes: part.bytes * each };
        } else if until_ms == i64::MAX {
            // Nothing was met beyond the reach, so nothing is known of these but that they come.
            share.keys += self.far as f64;
        }
        share
    }
}

/// The keys with a deadline that have these upper 32 bits of their hashes.
fn look_up(table: &mut Table<Entry>, prefixes: &[u32]) -> Vec<Seen> {
    let mut seen = Vec::with_capacity(prefixes.len());
    for group in prefixes.chunks(GROUP) {
        group.iter().for_each(|&prefix| table.prefetch_bucket(u64::from(prefix) << 32));
        group.iter().for_each(|&prefix| table.prefetch_entry(u64::from(prefix) << 32));
        for &prefix in group {
            let note = |entry: &mut Entry| {
                seen.extend(note(entry));
                true
            };
            table.retain_prefix(prefix, note, drop);
        }
    }
    seen
}

fn note(entry: &Entry) -> Option<Seen> {
    let address = entry.key().as_ptr().addr();
    entry.deadline_ms().map(|deadline_ms| Seen { deadline_ms, address, bytes: entry.heap_bytes() })
}

/// The keys at the beginning of the table, where they lie in the order of their hashes and so are as good as any.
fn read_table(table: &Table<Entry>) -> Vec<Seen> {
    let (mut seen, mut cursor, mut looked_at) = (Vec::new(), 0, 0);
    while looked_at < SAMPLE_MAX {
        cursor = table.scan(cursor, |entry| {
            looked_at += 1;
            seen.extend(note(&entry));
        });
        if cursor == 0 {
            break;
        }
        // Empty buckets cost a look as well.
        looked_at += 1;
    }
    seen
}

fn draw(table: &mut Table<Entry>, wheel: &Wheel, prng: &mut Prng) -> Vec<Seen> {
    let prefixes: Vec<u32> = (0..SAMPLE_MAX).filter_map(|_| wheel.draw_payload(|n| prng.below(n))).collect();
    look_up(table, &prefixes)
}
