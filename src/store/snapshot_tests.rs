//! A snapshot under random writes, against a copy of the contents that was made when it began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Keep;
use crate::base::clock::Now;
use crate::base::prng::Prng;
use crate::store::db::{Db, Moment, Ttl};
use crate::store::entry::{Entry, NewValue, TextBuffer};
use crate::store::hash::KeyHasher;
use crate::store::types::{Object, Set};

type Contents = BTreeMap<Vec<u8>, (String, Option<i64>)>;

/// Remembers what it is given, and that nothing comes twice.
#[derive(Default)]
struct Shadow(Contents);

impl Keep for Shadow {
    fn keep(&mut self, number: usize, entry: &Entry) {
        assert_eq!(number, 3);
        let old = self.0.insert(entry.key().to_vec(), contents_of(entry));
        assert!(old.is_none(), "{entry:?} comes twice");
    }

    fn is_midway(&self, _: usize, _: &[u8]) -> bool {
        false
    }

    fn adopt(&mut self, _: usize, _: Entry) {
        unreachable!("nothing is kept in part");
    }
}

fn contents_of(entry: &Entry) -> (String, Option<i64>) {
    let text = match (entry.string(), entry.object()) {
        (Some(string), _) => String::from_utf8_lossy(string.text(&mut TextBuffer::new())).into_owned(),
        (_, Some(object)) => format!("{:?}", &*object),
        (None, None) => unreachable!("a value is a string or a collection"),
    };
    (text, entry.deadline_ms())
}

fn contents(db: &Db) -> Contents {
    let mut contents = Contents::new();
    db.table().for_each(|entry| drop(contents.insert(entry.key().to_vec(), contents_of(&entry))));
    contents
}

/// One change of some key.
fn change(db: &mut Db, prng: &mut Prng, at: Moment, keys: u64) {
    let key = format!("key:{}", prng.below(keys)).into_bytes();
    match prng.below(9) {
        0 => db.set(&key, NewValue::Int(prng.below(100) as i64), Ttl::Clear, at),
        1 => db.set(&key, NewValue::Bytes(&vec![b'v'; prng.below(3000) as usize]), Ttl::Keep, at),
        2 => db.set(&key, NewValue::Int(7), Ttl::At(at.unix_ms + prng.below(50) as i64 + 1), at),
        3 => drop(db.remove(&key, at)),
        4 => drop(db.set_deadline(&key, Some(at.unix_ms + prng.below(50) as i64 + 1), at)),
        5 => drop(db.set_deadline(&key, None, at)),
        6 => db.lookup_write(&key, at).into_iter().for_each(|mut slot| {
            slot.map(|entry| entry.with_value_only(NewValue::Bytes(b"mapped")));
        }),
        7 => db.set_object(&key, Object::Set(Set::ints()), at),
        _ => {
            if let Some(entry) = db.remove(&key, at) {
                let other = format!("key:{}", prng.below(keys)).into_bytes();
                db.remove(&other, at);
                db.insert(entry.renamed(&other), at);
            }
        }
    }
}

#[test]
fn a_snapshot_is_what_there_was_when_it_began_whatever_is_written_meanwhile() {
    for seed in 0..12 {
        let mut prng = Prng::seeded(seed);
        let mut db = Db::new(KeyHasher::new([seed as u8; 16]));
        let mut unix_ms = 1_000_000;
        let moment = |unix_ms| Moment::new(Now { mono_ns: 0, unix_ms }, true);
        let keys = *prng.pick(&[20, 1000, 4000]).expect("not empty");
        for round in 0..4 {
            for _ in 0..prng.below(2 * keys) {
                change(&mut db, &mut prng, moment(unix_ms), keys);
            }
            let shadow = Arc::new(Mutex::new(Shadow::default()));
            db.begin_snapshot(3, shadow.clone());
            let (before, began_ms) = (contents(&db), unix_ms);
            loop {
                for _ in 0..prng.below(keys / 4 + 2) {
                    change(&mut db, &mut prng, moment(unix_ms), keys);
                }
                unix_ms += prng.below(3) as i64;
                db.expire(unix_ms, &mut { 64 }, |_| ());
                let mut homes = prng.below(40);
                let done = db.walk_snapshot(
                    |entry| {
                        // Now and then the walk comes back later.
                        let now = prng.below(50) > 0;
                        if now {
                            shadow.lock().expect("no panic").keep(3, entry);
                        }
                        now
                    },
                    || {
                        homes = homes.saturating_sub(1);
                        homes > 0
                    },
                );
                if done {
                    break;
                }
            }
            let kept = &shadow.lock().expect("no panic").0;
            let wanted = |(key, value): (&Vec<u8>, &(String, Option<i64>))| {
                // What has expired meanwhile need not be there.
                let lives = value.1.is_none_or(|deadline_ms| deadline_ms > unix_ms);
                assert!(!lives || kept.contains_key(key), "seed {seed}, round {round}: {key:?} is missing");
                lives || kept.contains_key(key)
            };
            let wanted: Contents =
                before.iter().filter(|item| wanted(*item)).map(|(k, v)| (k.clone(), v.clone())).collect();
            assert_eq!(kept, &wanted, "seed {seed}, round {round}, begun at {began_ms}");
            assert!(db.snapshot_number().is_none());
            db.check_marks();
        }
    }
}

#[test]
fn an_emptied_database_takes_its_part_along() {
    let at = Moment::new(Now { mono_ns: 0, unix_ms: 1 }, true);
    let mut db = Db::new(KeyHasher::new([1; 16]));
    (0..5000).for_each(|n| db.set(format!("{n}").as_bytes(), NewValue::Int(n), Ttl::Clear, at));
    let shadow = Arc::new(Mutex::new(Shadow::default()));
    db.begin_snapshot(3, shadow.clone());
    let mut old = db.empty();
    db.set(b"new", NewValue::Int(1), Ttl::Clear, at);
    assert_eq!((db.snapshot_number(), old.snapshot_number()), (None, Some(3)));
    assert!(db.unsaved(b"new").is_none() && old.unsaved(b"17").is_some());
    old.note_kept(b"17");
    assert!(old.unsaved(b"17").is_none());
    assert!(old.walk_snapshot(
        |entry| {
            shadow.lock().expect("no panic").keep(3, entry);
            true
        },
        || true
    ));
    assert_eq!(shadow.lock().expect("no panic").0.len(), 4999);
}
