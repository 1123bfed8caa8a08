//! A database against a naive model: which keys there are, until when, and what the wheel keeps of them.

use crate::base::clock::Now;
use std::collections::{BTreeSet, HashMap};

use super::*;
use crate::base::prng::Prng;
use crate::store::accounting::Timed;
use crate::store::expiry::nodes_wanted_max;
use crate::store::types::{Hash, List};
use crate::timer::{KEY_SLOTS, SweepVerdict, Wheel};

const START_MS: i64 = 1_700_000_000_000;

fn new_db() -> Db {
    Db::new(KeyHasher::new([7; 16]))
}

fn moment(unix_ms: i64) -> Moment {
    Moment::new(Now { unix_ms, mono_ns: 0 }, true)
}

fn nodes(db: &Db) -> usize {
    db.timers.wheel.as_ref().map_or(0, |wheel| wheel.len())
}

/// The naive twin: a map from keys to deadlines, and nothing else.
struct Twins {
    db: Db,
    model: HashMap<Vec<u8>, Option<i64>>,
    now_ms: i64,
    /// Due keys have to stay.
    keep_due: bool,
    seed: u64,
}

impl Twins {
    fn new(seed: u64) -> Twins {
        Twins { db: new_db(), model: HashMap::new(), now_ms: START_MS, keep_due: false, seed }
    }

    fn at(&self) -> Moment {
        let at = moment(self.now_ms);
        if self.keep_due { at.keeping_due() } else { at }
    }

    fn live(&self, key: &[u8]) -> Option<Option<i64>> {
        self.model.get(key).copied().filter(|deadline| deadline.is_none_or(|deadline_ms| deadline_ms > self.now_ms))
    }

    fn set(&mut self, key: &[u8], ttl: Ttl) {
        let deadline_ms = match ttl {
            Ttl::Clear => None,
            Ttl::Keep => self.live(key).flatten(),
            Ttl::At(deadline_ms) => Some(deadline_ms),
        };
        self.model.insert(key.to_vec(), deadline_ms);
        self.db.set(key, NewValue::compact(key), ttl, self.at());
    }

    fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>, only_if_timed: bool) {
        let (present, at) = (self.live(key), self.at());
        let change = self.db.set_deadline_if(key, deadline_ms, at, |old| {
            assert_eq!(Some(old), present);
            !only_if_timed || old.is_some()
        });
        let passed = deadline_ms.is_some_and(|deadline_ms| deadline_ms <= self.now_ms);
        match (present, change) {
            (None, DeadlineChange::NoKey) if self.keep_due => {}
            (None, DeadlineChange::NoKey) => drop(self.model.remove(key)),
            (Some(None), DeadlineChange::Refused) if only_if_timed => {}
            (Some(_), DeadlineChange::Removed(entry)) if passed => {
                assert_eq!(entry.key(), key);
                self.model.remove(key);
            }
            (Some(_), DeadlineChange::Done) if !passed => drop(self.model.insert(key.to_vec(), deadline_ms)),
            (present, change) => panic!("seed {}: {present:?} {change:?}", self.seed),
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let (present, removed) = (self.live(key), self.db.remove(key, self.at()));
        assert_eq!(removed.as_ref().map(Entry::deadline_ms), present, "seed {}", self.seed);
        if present.is_some() || !self.keep_due {
            self.model.remove(key);
        }
        removed
    }

    fn rename(&mut self, from: &[u8], to: &[u8]) {
        if from != to
            && let Some(entry) = self.remove(from)
        {
            self.remove(to);
            self.model.insert(to.to_vec(), entry.deadline_ms());
            self.db.insert(entry.copy_as(to), self.at());
        }
    }

    /// One call of `expire`; whatever it takes must have been due.
    fn expire(&mut self, mut budget: usize) -> Progress {
        let (model, now_ms, seed) = (&mut self.model, self.now_ms, self.seed);
        self.db.expire(now_ms, &mut budget, |entry| {
            let deadline = model.remove(entry.key());
            assert_eq!(deadline, Some(entry.deadline_ms()), "seed {seed}");
            assert!(entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms), "seed {seed}: too early");
        })
    }

    /// Calls `expire` until it is done; then no due key may be left.
    fn settle(&mut self) {
        let mut calls = 0;
        while !self.expire(7).done {
            calls += 1;
            assert!(calls < 1_000_000, "seed {}: expiry does not end", self.seed);
        }
        let now_ms = self.now_ms;
        self.model.retain(|key, deadline| {
            let due = deadline.is_some_and(|deadline_ms| deadline_ms <= now_ms);
            assert!(!due || self.db.table.lookup(self.db.table.hasher().hash(key), key).is_none(), "a due key is left");
            !due
        });
        assert_eq!(self.db.len(), self.model.len(), "seed {}", self.seed);
        assert_eq!(self.db.timed(), self.model.values().flatten().count(), "seed {}", self.seed);
        let first = self.model.values().flatten().min();
        assert!(first.is_none_or(|&first| self.db.next_tick_ms().is_some_and(|tick| tick <= first)));
        self.db.check_timers();
    }

    /// What a client can see is what the model says.
    fn compare(&mut self, keys: &[Vec<u8>]) {
        let mut walked = BTreeSet::new();
        let mut cursor = 0;
        loop {
            cursor = self.db.scan(cursor, moment(self.now_ms), |entry| {
                assert!(walked.insert(entry.key().to_vec()));
            });
            if cursor == 0 {
                break;
            }
        }
        let expected: BTreeSet<_> = keys.iter().filter(|key| self.live(key).is_some()).cloned().collect();
        assert_eq!(walked, expected, "seed {}", self.seed);
        for key in keys {
            let (present, at) = (self.live(key), self.at());
            assert_eq!(self.db.lookup_read(key, at).map(|entry| entry.deadline_ms()), present, "seed {}", self.seed);
        }
        if !self.keep_due {
            // Looking collected what was due.
            self.model.retain(|_, deadline| deadline.is_none_or(|deadline_ms| deadline_ms > self.now_ms));
        }
        assert_eq!(self.db.timed(), self.model.values().flatten().count());
    }
}

impl Db {
    /// Panics unless sizes are counted as they are, and every key with a deadline that claims a node in the deadline's slot has it.
    /// O(keys + nodes).
    pub(in crate::store) fn check_timers(&mut self) {
        self.check_sizes();
        let Some(wheel) = self.timers.wheel.as_mut() else {
            return assert_eq!(self.accounting.timed, Timed::default());
        };
        let mut placed: HashMap<u32, Vec<i64>> = HashMap::new();
        let mut all = usize::MAX;
        // The first pass goes on where the last sweep stopped; the second sees every slot.
        wheel.sweep(&mut all, |_, _| SweepVerdict::Keep);
        wheel.sweep(&mut all, |prefix, tick| {
            placed.entry(prefix).or_default().push(tick);
            SweepVerdict::Keep
        });
        let mut cursor = 0;
        loop {
            cursor = self.table.scan(cursor, |entry| {
                let Some(deadline_ms) = Due::of(&entry).next_ms() else { return };
                let prefix = (self.table.hasher().hash(entry.key()) >> 32) as u32;
                let ticks = placed.get(&prefix).expect("a key with a deadline has a node");
                let own = |tick: &i64| Wheel::same_slot(KEY_SLOTS, *tick, deadline_ms);
                assert!(ticks.iter().any(|tick| *tick <= deadline_ms), "a node comes in time");
                assert!(!entry.timer_exact() || ticks.iter().any(own), "an exact key has its node");
            });
            if cursor == 0 {
                return;
            }
        }
    }
}

/// A deadline near or far, around now or around a revolution of the wheel.
fn some_deadline(prng: &mut Prng, now_ms: i64) -> i64 {
    let reach = [10, 1_000, 2_000_000, 40_000_000][prng.below(4) as usize];
    now_ms + prng.below(reach) as i64 - 2
}

#[test]
fn random_histories_match_a_map_of_deadlines() {
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let mut twins = Twins::new(seed);
        let keys: Vec<Vec<u8>> = (0..60).map(|i| format!("key:{i}").into_bytes()).collect();
        for _ in 0..3_000 {
            let key = &keys[prng.below(keys.len() as u64) as usize];
            let deadline_ms = some_deadline(&mut prng, twins.now_ms);
            let choice = prng.below(20);
            // Nothing expires by the wheel while due keys have to stay.
            twins.keep_due = prng.chance(1, 4) && !(15..=16).contains(&choice);
            match choice {
                0..=4 => twins.set(key, Ttl::At(deadline_ms)),
                5 => twins.set(key, Ttl::Keep),
                6 => twins.set(key, Ttl::Clear),
                7..=10 => twins.set_deadline(key, Some(deadline_ms), prng.chance(1, 4)),
                11 => twins.set_deadline(key, None, prng.chance(1, 2)),
                12..=13 => drop(twins.remove(key)),
                14 => twins.rename(key, &keys[prng.below(60) as usize]),
                15 => drop(twins.expire(prng.below(4) as usize)),
                16 => twins.settle(),
                17 => twins.compare(&keys),
                // Time passes, mostly little of it, seldom more than the wheel's revolution; and the clock may go back.
                _ => match prng.below(24) {
                    0 => twins.now_ms += prng.below(5_000_000) as i64,
                    1 => twins.now_ms -= prng.below(10_000) as i64,
                    _ => twins.now_ms += prng.below(500) as i64,
                },
            }
        }
        twins.keep_due = false;
        twins.settle();
        twins.compare(&keys);
        twins.now_ms += 50_000_000;
        twins.settle();
        assert_eq!(twins.db.timed(), 0, "seed {seed}");
    }
}

/// After a clock went back, keys are collected at their deadlines on that clock, not when it has caught up.
#[test]
fn keys_expire_in_time_after_the_clock_went_back() {
    let mut twins = Twins::new(0);
    twins.set(b"before", Ttl::At(START_MS + 3_600_000));
    twins.now_ms += 1_800_000;
    twins.settle();
    twins.now_ms = START_MS;
    twins.set(b"after", Ttl::At(START_MS + 50));
    twins.settle();
    twins.now_ms += 50;
    twins.settle();
    assert_eq!(twins.db.len(), 1);
    twins.now_ms = START_MS + 3_600_000;
    twins.settle();
    assert_eq!(twins.db.len(), 0);
}

#[test]
fn a_refresh_keeps_the_node_and_the_block() {
    let mut db = new_db();
    let at = moment(START_MS);
    db.set(b"session", NewValue::Bytes(b"data"), Ttl::At(START_MS + 1_000), at);
    let place = db.lookup_read(b"session", at).map(|entry| entry.key().as_ptr());
    for later in 2..100 {
        let change = db.set_deadline_if(b"session", Some(START_MS + later * 1_000), at, |_| true);
        assert!(matches!(change, DeadlineChange::Done));
    }
    assert_eq!(db.lookup_read(b"session", at).map(|entry| entry.key().as_ptr()), place);
    assert_eq!((nodes(&db), db.timed()), (1, 1));
}

/// What the garbage is held to, however little time the turns have for it.
fn nodes_max(db: &Db) -> usize {
    3 * nodes_wanted_max(db.accounting.timed)
}

/// Keys set and deleted with far deadlines leave a node each: any number of them in one turn, with few turns or none to
/// sweep them, at instants of any distribution.
#[test]
fn garbage_of_deleted_keys_stays_bounded() {
    for seed in 0..24 {
        let mut prng = Prng::seeded(seed);
        let mut twins = Twins::new(seed);
        let kept = [0, 10, 1_000][seed as usize % 3];
        for key in 0..kept {
            twins.set(&(key as u32).to_be_bytes(), Ttl::At(START_MS + 3_600_000 + key));
        }
        let (spread, budget) = ([1, 500, 20_000_000][seed as usize / 3 % 3], [0, 1, 64][seed as usize / 9 % 3]);
        let mut most = 0;
        for turn in 0..8u32 {
            for i in 0..1 + prng.below(8_000) as u32 {
                let key = [&b"gone"[..], &(turn * 8_000 + i).to_be_bytes()].concat();
                twins.set(&key, Ttl::At(START_MS + 3_600_000 + prng.below(spread) as i64));
                twins.remove(&key);
                most = most.max(nodes(&twins.db));
            }
            twins.now_ms += prng.below(3) as i64;
            if turn % 4 == 3 {
                let (mut left, before) = (budget, twins.db.timers.wheel.as_ref().map_or(0, |wheel| wheel.len()));
                twins.db.expire(twins.now_ms, &mut left, |_| panic!("nothing is due"));
                assert!(before - nodes(&twins.db) <= budget - left, "one unit a node");
            }
        }
        assert!(most < nodes_max(&twins.db), "seed {seed}: {most} nodes");
        twins.settle();
        assert!(nodes(&twins.db) <= nodes_wanted_max(twins.db.accounting.timed));
        twins.now_ms = START_MS + 3_600_000 + kept;
        twins.settle();
        assert_eq!((twins.db.len(), twins.db.stats().expired), (0, kept as u64));
    }
}

/// Deadlines moved to and fro leave nodes behind that all look as if they might be the one: the sweep keeps one a key.
#[test]
fn garbage_of_moved_deadlines_stays_bounded() {
    let mut twins = Twins::new(0);
    let keys: Vec<[u8; 4]> = (0..100u32).map(u32::to_be_bytes).collect();
    keys.iter().for_each(|key| twins.set(key, Ttl::At(START_MS + 900_000)));
    let mut most = 0;
    for turn in 0..1_000i64 {
        for key in &keys {
            twins.set_deadline(key, Some(START_MS + 899_000 - turn * 100), false);
        }
        for key in &keys {
            twins.set_deadline(key, Some(START_MS + 900_000), false);
        }
        twins.expire(50);
        most = most.max(nodes(&twins.db));
    }
    assert!(most < nodes_max(&twins.db), "{most} nodes");
    twins.settle();
    twins.now_ms = START_MS + 900_000;
    twins.settle();
    assert_eq!((twins.db.len(), twins.db.stats().expired), (0, 100));
}

/// A database with one key that has been due for a millisecond, and the moment at which it has to stay.
fn with_due_key() -> (Db, Moment) {
    let mut db = new_db();
    db.set_noting(Noting { created: true, expired: true, overwritten: true, ..Noting::default() });
    db.set(b"key", NewValue::Bytes(b"old"), Ttl::At(START_MS), moment(START_MS - 1));
    db.take_notes();
    (db, moment(START_MS + 1).keeping_due())
}

#[test]
fn a_due_key_that_has_to_stay_is_absent_and_not_collected() {
    let (mut db, at) = with_due_key();
    assert!(db.lookup_read(b"key", at).is_none() && db.lookup_write(b"key", at).is_none());
    assert!(db.lookup_uncounted(b"key", at).is_none() && db.remove(b"key", at).is_none());
    assert!(matches!(db.write::<Hash>(b"key", at), Ok(None)));
    let stored = db.set_if(b"key", NewValue::Int(1), Ttl::Keep, at, Lookup::ReadWrite, |old| old.is_some());
    let change = db.set_deadline_if(b"key", None, at, |_| panic!("there is no key to ask about"));
    assert!(!stored && matches!(change, DeadlineChange::NoKey));
    let old = db.peek(b"key").map(|entry| entry.deadline_ms());
    assert_eq!((old, db.len(), db.timed()), (Some(Some(START_MS)), 1, 1));
    assert_eq!((db.stats().expired, db.stats().misses, db.take_notes()), (0, 2, Vec::new()));
    assert_eq!(db.expire(START_MS + 1, &mut 100, |_| ()).lag_ms, 0);
    assert_eq!((db.len(), db.stats().expired), (0, 1));
}

#[test]
fn a_due_key_that_has_to_stay_is_replaced_by_what_is_stored() {
    let stores: [fn(&mut Db, Moment); 4] = [
        |db, at| db.set(b"key", NewValue::Bytes(b"new"), Ttl::Keep, at),
        |db, at| db.insert(Entry::new(b"key", NewValue::Bytes(b"new"), None), at),
        |db, at| drop(db.write_or_create(b"key", at, List::new)),
        |db, at| drop(db.write_or_create(b"key", at, Hash::new)),
    ];
    for store in stores {
        let (mut db, at) = with_due_key();
        store(&mut db, at);
        assert_eq!(db.lookup_read(b"key", at).map(|entry| entry.deadline_ms()), Some(None));
        assert_eq!((db.len(), db.timed(), db.stats().expired), (1, 0, 0));
        let notes: Vec<_> = db.take_notes().into_iter().map(|note| note.happened).collect();
        assert_eq!(notes, [Happened::Created]);
        db.check_timers();
    }
}

#[test]
fn a_write_that_is_refused_is_an_access() {
    let mut db = new_db();
    db.set(b"key", NewValue::Int(1), Ttl::Clear, moment(START_MS));
    let later = moment(START_MS + 7_000);
    assert!(!db.set_if(b"key", NewValue::Int(2), Ttl::Clear, later, Lookup::Write, |old| old.is_none()));
    assert_eq!(db.peek(b"key").map(|entry| entry.stamp()), Some(later.stamp()));
}
