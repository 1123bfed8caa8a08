//! Which keys take the most memory. Shown by INFO hotspots.
//!
//! Nothing is noted when a key changes. A walk goes over the databases instead, some `KEYS_PER_STEP` keys in each tenth of a
//! second, so that all of a million are seen in a few minutes, and what is shown is what the last walk has found. Where there are
//! no more than `KEYS_COUNTED_AT_ONCE`, the walk is made when somebody asks, and the answer is exact.
//!
//! On its way it keeps the times of accesses readable, which their 24 bits would otherwise not be for ever (`store::access`).
//!
//! A walk is as good as SCAN: a key that is there throughout is counted, once unless its table grows meanwhile.

use super::Server;
use super::databases::Databases;
use crate::base::clock::Now;
use crate::store::access::AccessClock;
use crate::store::db::Moment;
use crate::store::entry::Entry;
use crate::store::types::Type;

/// Milliseconds from one step of the walk to the next.
const STEP_MS: u64 = 100;
/// Steps that are made together after an idle server has slept.
const STEPS_MAX: u64 = 10;
/// Keys after which a step of the walk ends: some 50 us.
const KEYS_PER_STEP: usize = 512;
/// Buckets after which a step ends, where most are empty.
const BUCKETS_PER_STEP: usize = 512;
/// Keys of all databases that are counted when somebody asks: some 300 us.
const KEYS_COUNTED_AT_ONCE: usize = 4096;
/// Big keys that are known.
const BIG_KEYS: usize = 16;
/// Bytes of the longest name of a big key that is kept.
const NAME_BYTES_MAX: usize = 1024;
/// A key that takes much memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BigKey {
    /// Bytes that it took when it was seen.
    pub bytes: usize,
    /// The place of its database.
    pub place: usize,
    /// Its name.
    pub key: Vec<u8>,
}

/// What one walk has found.
#[derive(Clone, Debug, Default)]
struct Findings {
    /// The biggest first.
    big: Vec<BigKey>,
}

impl Findings {
    fn add(&mut self, place: usize, entry: &Entry) {
        let bytes = entry.heap_bytes();
        let is_big = self.big.len() < BIG_KEYS || self.big.last().is_some_and(|least| bytes > least.bytes);
        if is_big && entry.key().len() <= NAME_BYTES_MAX {
            self.note_big(BigKey { bytes, place, key: entry.key().to_vec() });
        }
    }

    #[cold]
    fn note_big(&mut self, big: BigKey) {
        self.big.retain(|known| (known.place, &known.key) != (big.place, &big.key));
        let at = self.big.partition_point(|known| known.bytes >= big.bytes);
        self.big.insert(at, big);
        self.big.truncate(BIG_KEYS);
    }
}

/// The walk under way, and what the last one found.
#[derive(Debug, Default)]
pub struct Census {
    place: usize,
    cursor: u64,
    found: Findings,
    /// Of the last walk that came to its end.
    last: Option<Findings>,
}

impl Census {
    /// Goes on with the walk until so many keys or buckets have been seen. True if it came to its end.
    fn walk(&mut self, dbs: &mut Databases, now: Now, mut keys: usize, mut buckets: usize) -> bool {
        let (at, clock) = (Moment::new(now, false), AccessClock::at(now));
        while keys > 0 && buckets > 0 {
            if !dbs.places().contains(&self.place) {
                self.place = 0;
                self.last = Some(std::mem::take(&mut self.found));
                return true;
            }
            let (db, found, place) = (&mut dbs[self.place], &mut self.found, self.place);
            self.cursor = match db.is_empty() {
                true => 0,
                false => db.walk_home(self.cursor, at, clock, |entry| {
                    found.add(place, entry);
                    keys = keys.saturating_sub(1);
                }),
            };
            buckets -= 1;
            if self.cursor == 0 {
                self.place += 1;
            }
        }
        false
    }

    /// What is known: of the last walk, or of the first one as far as it has come.
    fn known(&self) -> &Findings {
        self.last.as_ref().unwrap_or(&self.found)
    }
}

impl Server {
    /// Goes on with the walk after so many milliseconds: a step for each tenth of a second, and no more than for one second. O(1).
    pub fn walk_census(&mut self, now: Now, passed_ms: u64) {
        let Server { census, dbs, .. } = self;
        let steps = (passed_ms / STEP_MS).clamp(1, STEPS_MAX) as usize;
        census.walk(dbs, now, steps * KEYS_PER_STEP, steps * BUCKETS_PER_STEP);
    }

    /// Counts all keys, if they are few. O(their number).
    fn renew_census(&mut self, now: Now) {
        let Server { census, dbs, .. } = self;
        if dbs.iter().map(|db| db.len()).sum::<usize>() <= KEYS_COUNTED_AT_ONCE {
            *census = Census::default();
            while !census.walk(dbs, now, usize::MAX, usize::MAX) {}
        }
    }

    /// The keys that take the most memory, with what they take now, the biggest first. O(1).
    pub fn big_keys(&mut self, now: Now) -> Vec<(BigKey, Type)> {
        self.renew_census(now);
        let known = self.census.known().big.iter().chain(&self.census.found.big);
        let mut seen: Vec<(BigKey, Type)> = Vec::new();
        for big in known {
            let Some(entry) = self.dbs[big.place].peek(&big.key) else { continue };
            if seen.iter().all(|(other, _)| (other.place, &other.key) != (big.place, &big.key)) {
                seen.push((BigKey { bytes: entry.heap_bytes(), ..big.clone() }, entry.type_of()));
            }
        }
        seen.sort_by_key(|(big, _)| std::cmp::Reverse(big.bytes));
        seen.truncate(BIG_KEYS);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::db::{Db, Ttl};
    use crate::store::entry::NewValue;
    use crate::store::hash::KeyHasher;

    const NOW: Now = Now { unix_ms: 1_000, mono_ns: 0 };

    fn databases(keys: impl Iterator<Item = (usize, usize)>) -> Databases {
        let mut dbs = Databases::new(16, KeyHasher::new([1; 16]));
        for (i, bytes) in keys {
            let db: &mut Db = &mut dbs[0];
            let value = vec![b'x'; bytes];
            db.set(format!("k{i}").as_bytes(), NewValue::Bytes(&value), Ttl::Clear, Moment::new(NOW, true));
        }
        dbs
    }

    #[test]
    fn a_walk_in_steps_finds_every_key_once_and_the_biggest() {
        let keys = 20_000;
        // A size class each for the big ones, of which there are four to a doubling.
        let big = |k: usize| (4 + k % 4) << (10 + k / 4);
        let bytes = |i: usize| if i % 1_000 == 7 { big(i / 1_000) } else { i % 9 };
        let mut dbs = databases((0..keys).map(|i| (i, bytes(i))));
        let (mut census, mut steps) = (Census::default(), 0);
        while !census.walk(&mut dbs, NOW, KEYS_PER_STEP, BUCKETS_PER_STEP) {
            steps += 1;
        }
        assert!(steps >= keys / KEYS_PER_STEP / 2, "{steps} steps");
        let found = census.last.as_ref().expect("it came to its end");
        let names: Vec<String> = found.big.iter().map(|big| String::from_utf8_lossy(&big.key).into_owned()).collect();
        let biggest: Vec<String> = (4..20).rev().map(|k| format!("k{}", k * 1_000 + 7)).collect();
        assert_eq!(names, biggest);
    }
}
