//! Keys that go, against naive models.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::clock::Now;
use crate::store::db::{Moment, Ttl};
use crate::store::entry::NewValue;

const START_MS: i64 = 1_700_000_000_000;
/// A revolution of the wheel, in milliseconds.
const REVOLUTION_MS: i64 = 1 << 20;

fn moment(ms: i64) -> Moment {
    Moment::new(Now { unix_ms: ms, mono_ns: 0 }, true)
}

fn ordered_db() -> Db {
    let mut db = Db::new(KeyHasher::new([5; 16]));
    db.set_ordered(true);
    db
}

/// The first key to fall due, and its deadline; asks as often as it takes.
fn first(db: &mut Db) -> Option<(Vec<u8>, i64)> {
    for _ in 0..10_000 {
        match db.first_due() {
            FirstDue::Unknown => {}
            FirstDue::None => return None,
            FirstDue::Key { hash, deadline_ms } => {
                let entry = db.peek_hashed(hash).expect("it is there");
                return Some((entry.key().to_vec(), deadline_ms));
            }
        }
    }
    panic!("it is never found out");
}

/// Keys that come, go, and get other deadlines, near ones and such of later revolutions, among them many equal ones; in between
/// the first is taken. The model is a map of keys.
#[test]
fn the_first_to_fall_due_is_the_model_s_first() {
    for seed in 0..150 {
        let mut prng = Prng::seeded(seed);
        let (mut db, mut twin) = (ordered_db(), BTreeMap::<Vec<u8>, Option<i64>>::new());
        let keys = 1 + prng.below(400);
        let spread_ms = [50, 5_000, REVOLUTION_MS, 40 * REVOLUTION_MS][prng.below(4) as usize];
        let mut taken = 0;
        for step in 0..1_500 {
            let key = format!("k{}", prng.below(keys)).into_bytes();
            let deadline_ms = START_MS + 1 + prng.below(spread_ms as u64) as i64;
            let at = moment(START_MS);
            match prng.below(12) {
                0..=3 => {
                    db.set(&key, NewValue::Int(1), Ttl::At(deadline_ms), at);
                    twin.insert(key, Some(deadline_ms));
                }
                4 => {
                    db.set(&key, NewValue::Int(1), Ttl::Clear, at);
                    twin.insert(key, None);
                }
                5 | 6 => {
                    if db.set_deadline(&key, Some(deadline_ms), at) {
                        twin.insert(key, Some(deadline_ms));
                    }
                }
                7 => {
                    if db.set_deadline(&key, None, at) {
                        twin.insert(key, None);
                    }
                }
                8 => {
                    db.remove(&key, at);
                    twin.remove(&key);
                }
                9 => {
                    if let (Some(entry), true) = (db.remove(&key, at), twin.contains_key(&key)) {
                        let (other, deadline_ms) = ([&key[..], b"x"].concat(), twin.remove(&key).flatten());
                        db.remove(&other, at);
                        db.insert(entry.renamed(&other), at);
                        twin.insert(other, deadline_ms);
                    }
                }
                _ => {
                    let least = twin.values().flatten().min().copied();
                    let found = first(&mut db);
                    assert_eq!(found.as_ref().map(|(_, ms)| *ms), least, "seed {seed}, step {step}");
                    if let Some((key, deadline_ms)) = found {
                        assert_eq!(twin.remove(&key), Some(Some(deadline_ms)), "seed {seed}, step {step}");
                        db.remove(&key, at);
                        taken += 1;
                    }
                }
            }
            if step % 500 == 250 {
                // Switched off and on again, it begins with what is there.
                db.set_ordered(false);
                db.set_ordered(true);
            }
        }
        while let Some((key, deadline_ms)) = first(&mut db) {
            assert_eq!(Some(deadline_ms), twin.values().flatten().min().copied(), "seed {seed}, at the end");
            twin.remove(&key);
            db.remove(&key, moment(START_MS));
        }
        assert!(twin.values().flatten().next().is_none() && taken > 20, "seed {seed}");
    }
}

#[test]
fn an_emptied_database_goes_on_knowing_its_deadlines() {
    let mut db = ordered_db();
    db.set(b"old", NewValue::Int(1), Ttl::At(START_MS + 5), moment(START_MS));
    db.empty();
    assert_eq!(first(&mut db), None);
    db.set(b"new", NewValue::Int(1), Ttl::At(START_MS + 9), moment(START_MS));
    assert_eq!(first(&mut db), Some((b"new".to_vec(), START_MS + 9)));
}

/// Every key has its chance, whichever part of the table or of the wheel it lies in, and only keys that were asked for.
#[test]
fn samples_show_every_key_sooner_or_later_and_no_other() {
    for (keys, timed) in [(5, 2), (40, 40), (300, 3), (5_000, 50), (5_000, 2_500)] {
        let (mut db, mut prng) = (Db::new(KeyHasher::new([7; 16])), Prng::seeded(keys));
        for i in 0..keys {
            let ttl = if i < timed { Ttl::At(START_MS + 1_000 + i as i64 * 7_000) } else { Ttl::Clear };
            db.set(format!("k{i}").as_bytes(), NewValue::Int(1), ttl, moment(START_MS));
        }
        for is_timed in [false, true] {
            let (mut seen, mut shown) = (BTreeSet::new(), 0);
            let wanted = if is_timed { timed } else { keys } as usize;
            for _ in 0..200_000 {
                db.sample(is_timed, 5, &mut prng, |entry, hasher| {
                    assert!(!is_timed || entry.deadline_ms().is_some());
                    seen.insert(hasher.hash(entry.key()));
                    shown += 1;
                });
                if seen.len() == wanted {
                    break;
                }
            }
            assert_eq!(seen.len(), wanted, "{keys} keys, {timed} with a deadline, {is_timed}");
        }
    }
}

/// The share of each tenth of the keys, by the order of their hashes, in what samples show: even if some segments have split
/// and others not.
#[test]
fn samples_are_even() {
    let (mut db, mut prng) = (Db::new(KeyHasher::new([9; 16])), Prng::seeded(1));
    let hasher = KeyHasher::new([9; 16]);
    let keys = 7_000;
    (0..keys).for_each(|i| db.set(format!("k{i}").as_bytes(), NewValue::Int(1), Ttl::Clear, moment(START_MS)));
    let mut order: Vec<u64> = (0..keys).map(|i| hasher.hash(format!("k{i}").as_bytes())).collect();
    order.sort_unstable();
    let (mut parts, mut shown) = ([0_u32; 10], 0_u32);
    while shown < 200_000 {
        db.sample(false, 5, &mut prng, |entry, hasher| {
            let place = order.partition_point(|hash| *hash < hasher.hash(entry.key()));
            parts[place * 10 / keys as usize] += 1;
            shown += 1;
        });
    }
    let expected = f64::from(shown) / 10.0;
    assert!(parts.iter().all(|part| (0.9..1.1).contains(&(f64::from(*part) / expected))), "{parts:?}");
}
