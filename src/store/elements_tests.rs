use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::clock::Now;
use crate::base::prng::Prng;
use crate::store::db::Ttl;
use crate::store::hash::KeyHasher;
use crate::store::notes::{Happened, Note, Noting};
use crate::store::types::Hash;
use crate::store::types::hash::Limits;

const START_MS: i64 = 1_700_000_000_000;
const HASHER: [u8; 16] = [9; 16];

fn moment(unix_ms: i64) -> Moment {
    Moment::new(Now { mono_ns: 0, unix_ms }, false)
}

#[derive(Clone, Debug, Default, PartialEq)]
struct ModelHash {
    deadline_ms: Option<i64>,
    fields: BTreeMap<Vec<u8>, (Vec<u8>, Option<i64>)>,
}

/// A database of hashes beside a map of maps of deadlines.
struct Twins {
    db: Db,
    model: BTreeMap<Vec<u8>, ModelHash>,
    now_ms: i64,
    limits: Limits,
    seed: u64,
}

impl Twins {
    fn new(seed: u64, entries: usize) -> Twins {
        let hasher = KeyHasher::new(HASHER);
        let mut db = Db::new(hasher);
        db.set_noting(Noting { elements_expired: true, emptied: true, expired: true, ..Noting::default() });
        Twins { db, model: BTreeMap::new(), now_ms: START_MS, limits: Limits { entries, value: 64, hasher }, seed }
    }

    /// Forgets what is due, as everybody who looks has to.
    fn forget_due(&mut self) {
        let now_ms = self.now_ms;
        self.model.retain(|_, hash| {
            hash.fields.retain(|_, (_, deadline_ms)| deadline_ms.is_none_or(|ms| ms > now_ms));
            hash.deadline_ms.is_none_or(|ms| ms > now_ms) && !hash.fields.is_empty()
        });
    }

    fn set(&mut self, key: &[u8], field: &[u8], value: &[u8], keep: bool) {
        self.forget_due();
        let (at, limits) = (moment(self.now_ms), self.limits);
        let mut hash = self.db.write_or_create::<Hash>(key, at, Hash::new).expect("all are hashes");
        let was_there = hash.set(field, value, keep, at.unix_ms, &limits);
        drop(hash);
        let fields = &mut self.model.entry(key.to_vec()).or_default().fields;
        let old = fields.get(field).map(|(_, deadline_ms)| *deadline_ms);
        assert_eq!(was_there, old.is_some(), "seed {}", self.seed);
        fields.insert(field.to_vec(), (value.to_vec(), old.flatten().filter(|_| keep)));
    }

    fn set_field_deadline(&mut self, key: &[u8], field: &[u8], deadline_ms: Option<i64>) {
        self.forget_due();
        let at = moment(self.now_ms);
        let present = self.model.get_mut(key).and_then(|hash| hash.fields.get_mut(field));
        let Ok(Some(mut hash)) = self.db.write::<Hash>(key, at) else { return assert!(present.is_none()) };
        assert_eq!(hash.get(field, at.unix_ms).is_some(), present.is_some(), "seed {}", self.seed);
        if let Some((_, deadline)) = present {
            match deadline_ms {
                Some(deadline_ms) => hash.set_deadline(field, deadline_ms, KeyHasher::new(HASHER)),
                None => hash.drop_deadline(field),
            }
            *deadline = deadline_ms;
        }
    }

    fn remove_field(&mut self, key: &[u8], field: &[u8]) {
        self.forget_due();
        let at = moment(self.now_ms);
        let Ok(Some(mut hash)) = self.db.write::<Hash>(key, at) else { return };
        let removed = hash.remove(field, at.unix_ms);
        let emptied = hash.is_empty();
        drop(hash);
        let model = self.model.get_mut(key);
        assert_eq!(removed, model.is_some_and(|hash| hash.fields.remove(field).is_some()), "seed {}", self.seed);
        if emptied {
            self.db.remove(key, at);
        }
    }

    fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        self.model.remove(key);
        self.db.remove(key, moment(self.now_ms))
    }

    fn rename(&mut self, from: &[u8], to: &[u8], copy: bool) {
        self.forget_due();
        if from == to {
            return;
        }
        let model = self.model.get(from).cloned();
        let Some(entry) = self.db.lookup_write(from, moment(self.now_ms)).map(|entry| entry.copy_as(to)) else {
            return;
        };
        if !copy {
            self.remove(from);
        }
        self.remove(to);
        self.db.insert(entry, moment(self.now_ms));
        self.model.extend(model.map(|hash| (to.to_vec(), hash)));
    }

    fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>) {
        self.forget_due();
        let done = self.db.set_deadline(key, deadline_ms, moment(self.now_ms));
        if deadline_ms.is_some_and(|ms| ms <= self.now_ms) {
            self.model.remove(key);
        } else if let Some(hash) = self.model.get_mut(key).filter(|_| done) {
            hash.deadline_ms = deadline_ms;
        }
    }

    fn overwrite(&mut self, key: &[u8]) {
        let at = moment(self.now_ms);
        self.db.set(key, NewValue::Int(1), Ttl::Clear, at);
        self.db.remove(key, at);
        self.model.remove(key);
    }

    /// Expires until there is no more to do; then nothing due may be left, and everything else has to be.
    fn settle(&mut self) {
        let mut calls = 0;
        loop {
            let mut budget = 7;
            if self.db.expire(self.now_ms, &mut budget, |_| ()).done {
                break;
            }
            calls += 1;
            assert!(calls < 100_000, "seed {}: expiry does not end", self.seed);
        }
        self.forget_due();
        assert_eq!(self.db.len(), self.model.len(), "seed {}", self.seed);
        let timed = |hash: &&ModelHash| hash.fields.values().any(|(_, deadline_ms)| deadline_ms.is_some());
        assert_eq!(self.db.timed_collections(), self.model.values().filter(timed).count(), "seed {}", self.seed);
        assert_eq!(self.db.timed(), self.model.values().filter(|hash| hash.deadline_ms.is_some()).count());
        let deadlines = |hash: &ModelHash| {
            let fields = hash.fields.values().filter_map(|(_, deadline_ms)| *deadline_ms).min();
            fields.into_iter().chain(hash.deadline_ms).min()
        };
        let first = self.model.values().filter_map(deadlines).min();
        assert!(
            first.is_none_or(|first| self.db.next_tick_ms().is_some_and(|tick| tick <= first)),
            "seed {}",
            self.seed
        );
        let stored: usize = self.model.keys().map(|key| self.stored(key)).sum();
        assert_eq!(stored, self.model.values().map(|hash| hash.fields.len()).sum::<usize>(), "due fields are freed");
        self.db.check_timers();
    }

    fn stored(&self, key: &[u8]) -> usize {
        let entry = self.db.table.lookup(self.db.table.hasher().hash(key), key).expect("it is there");
        entry.into_collection::<Hash>().expect("all are hashes").len()
    }

    /// What a client can see is what the model says, whatever the wheel has done.
    fn compare(&mut self) {
        self.forget_due();
        for (key, expected) in &self.model {
            let hash = self.db.read::<Hash>(key, moment(self.now_ms)).expect("all are hashes").expect("it is there");
            let mut fields = BTreeMap::new();
            hash.visit(self.now_ms, |name, value, deadline_ms| {
                fields.insert(name.to_vec(), (value.to_vec(), deadline_ms));
            });
            assert_eq!(fields, expected.fields, "seed {}", self.seed);
        }
    }
}

#[test]
fn random_histories_match_a_map_of_maps_of_deadlines() {
    for seed in 0..30 {
        let mut prng = Prng::seeded(seed);
        let (entries, names) = [(100, 12), (0, 12), (0, 600)][seed as usize % 3];
        let mut twins = Twins::new(seed, entries);
        let keys: Vec<Vec<u8>> = (0..8).map(|i| format!("key:{i}").into_bytes()).collect();
        for _ in 0..4_000 {
            let key = &keys[prng.below(keys.len() as u64) as usize];
            let field = format!("field:{}", prng.below(names)).into_bytes();
            let reach = [10, 1_000, 2_000_000, 40_000_000][prng.below(4) as usize];
            let deadline_ms = twins.now_ms + 1 + prng.below(reach) as i64;
            match prng.below(40) {
                0..=9 => twins.set(key, &field, &[b'v'; 30][..prng.below(30) as usize], prng.chance(1, 2)),
                10..=21 => twins.set_field_deadline(key, &field, Some(deadline_ms)),
                22 => twins.set_field_deadline(key, &field, None),
                23..=25 => twins.remove_field(key, &field),
                26 if prng.chance(1, 4) => drop(twins.remove(key)),
                27 => twins.rename(key, &keys[prng.below(8) as usize], prng.chance(1, 2)),
                28 => twins.set_deadline(key, Some(deadline_ms)),
                29 => twins.set_deadline(key, None),
                30 if prng.chance(1, 4) => twins.overwrite(key),
                31..=32 => drop(twins.db.expire(twins.now_ms, &mut (prng.below(4) as usize), |_| ())),
                33 => twins.settle(),
                34 => twins.compare(),
                35 if prng.chance(1, 10) => twins.now_ms += prng.below(5_000_000) as i64,
                _ => twins.now_ms += prng.below(200) as i64,
            }
        }
        twins.settle();
        twins.compare();
        twins.now_ms += 50_000_000;
        twins.settle();
        assert_eq!((twins.db.timed(), twins.db.timed_collections()), (0, 0), "seed {seed}");
    }
}

/// Time goes by in single milliseconds: each field leaves in its own, with a note for its hash, and the last with its key.
#[test]
fn fields_leave_on_time_and_their_leaving_is_noted() {
    for (entries, fields) in [(1_000, 100), (0, 100), (0, 2_000)] {
        let mut prng = Prng::seeded(3);
        let mut twins = Twins::new(3, entries);
        let mut due: BTreeMap<i64, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for n in 0..fields {
            let (key, field) = (format!("key:{}", n % 3).into_bytes(), format!("field:{n}").into_bytes());
            let deadline_ms = START_MS + 1 + prng.below(50) as i64;
            twins.set(&key, &field, b"v", false);
            twins.set_field_deadline(&key, &field, Some(deadline_ms));
            due.entry(deadline_ms).or_default().insert(key);
        }
        for now_ms in START_MS..START_MS + 60 {
            twins.now_ms = now_ms;
            let before: BTreeSet<_> = twins.model.keys().cloned().collect();
            twins.settle();
            let after: BTreeSet<_> = twins.model.keys().cloned().collect();
            let notes = twins.db.take_notes();
            let keys = |happened: Happened| -> BTreeSet<Vec<u8>> {
                let of_kind = notes.iter().filter(|note| note.happened == happened);
                of_kind.map(|Note { key, .. }| key.to_vec()).collect()
            };
            assert_eq!(keys(Happened::ElementsExpired), due.remove(&now_ms).unwrap_or_default());
            assert_eq!(keys(Happened::Emptied), before.difference(&after).cloned().collect());
            assert!(keys(Happened::Expired).is_empty());
        }
        assert!(twins.db.is_empty() && twins.db.stats().expired_elements == fields && twins.db.stats().expired == 0);
    }
}

/// However fields leave, by the wheel or under a command, in a listpack or a table, each is named once.
#[test]
fn notes_name_the_fields_that_expired_when_names_are_wanted() {
    for (entries, by_command) in [(1_000, false), (0, false), (1_000, true), (0, true)] {
        let mut twins = Twins::new(5, entries);
        twins.db.set_noting(Noting { element_names: true, emptied: true, ..Noting::default() });
        let names: BTreeSet<Vec<u8>> = (0..40).map(|n| n.to_string().into_bytes()).collect();
        for name in &names {
            twins.set(b"hash", name, b"v", false);
            twins.set_field_deadline(b"hash", name, Some(START_MS + 5));
        }
        twins.now_ms += 5;
        if by_command {
            assert!(matches!(twins.db.write::<Hash>(b"hash", moment(twins.now_ms)), Ok(None)));
        }
        twins.settle();
        let notes = twins.db.take_notes();
        let fields = |note: &Note| note.elements.iter().map(|field| field.to_vec()).collect::<Vec<_>>();
        let named: Vec<_> = notes.iter().flat_map(fields).collect();
        assert_eq!((named.len(), named.into_iter().collect::<BTreeSet<_>>()), (names.len(), names));
        let happened: Vec<_> = notes.iter().map(|note| note.happened).filter(|&what| what != Happened::Timed).collect();
        let (last, others) = happened.split_last().expect("something was noted");
        assert_eq!(*last, Happened::Emptied);
        assert!(others.iter().all(|&what| what == Happened::ElementsExpired));
    }
}

#[test]
fn notes_name_no_fields_when_nobody_wants_their_names() {
    let mut twins = Twins::new(5, 100);
    twins.set(b"hash", b"field", b"v", false);
    twins.set_field_deadline(b"hash", b"field", Some(START_MS + 5));
    twins.now_ms += 5;
    twins.settle();
    let notes = twins.db.take_notes();
    assert!(notes.iter().any(|note| note.happened == Happened::ElementsExpired));
    assert!(notes.iter().all(|note| note.elements.is_empty()));
}

/// Many fields that are due at once leave in pieces, all at their own tick.
#[test]
fn a_hash_of_many_due_fields_takes_several_turns_of_one_tick() {
    let mut twins = Twins::new(1, 0);
    for n in 0..5_000 {
        twins.set(b"big", format!("{n}").as_bytes(), b"v", false);
        twins.set_field_deadline(b"big", format!("{n}").as_bytes(), Some(START_MS + 1_000 + n / 4_999));
    }
    twins.now_ms = START_MS + 1_000;
    let mut calls = 0;
    loop {
        let (mut budget, before) = (64, twins.db.stats().expired_elements);
        let progress = twins.db.expire(twins.now_ms, &mut budget, |_| ());
        calls += 1;
        assert!(twins.db.stats().expired_elements - before < 64 + 256 + 40);
        if progress.done {
            break;
        }
    }
    assert!(calls > 40, "{calls}");
    assert_eq!((twins.stored(b"big"), twins.db.stats().expired_elements), (1, 4_999));
    twins.now_ms += 1;
    twins.settle();
    assert!(twins.db.is_empty());
}

/// However many collections have due elements, what a chunk of visits takes out is bounded by its budget, and all leave in the end.
#[test]
fn a_chunk_of_visits_takes_no_more_elements_than_its_budget() {
    let (Twins { mut db, limits, .. }, hashes, fields) = (Twins::new(1, 4), 40, 300);
    for key in 0..hashes {
        let key = format!("hash:{key}").into_bytes();
        let mut hash = db.write_or_create::<Hash>(&key, moment(START_MS), Hash::new).expect("it is none yet");
        for field in 0..fields {
            let name = format!("field:{field}").into_bytes();
            hash.set(&name, b"v", false, START_MS, &limits);
            hash.set_deadline(&name, START_MS + 5, limits.hasher);
        }
    }
    let (mut gone, mut calls) = (0, 0);
    loop {
        let before = db.stats().expired_elements;
        let progress = db.expire(START_MS + 5, &mut 64, |_| {});
        let taken = db.stats().expired_elements - before;
        // What is in a vector by then leaves at once.
        assert!(taken <= 64 + 256, "{taken}");
        (gone, calls) = (gone + taken, calls + 1);
        if progress.done {
            break;
        }
    }
    assert_eq!((gone, db.len()), (hashes * fields, 0));
    assert!(calls > hashes * fields / 320, "{calls}");
}
