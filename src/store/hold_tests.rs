use std::collections::BTreeSet;

use super::*;
use crate::base::clock::Now;
use crate::base::prng::Prng;
use crate::store::db::{DeadlineChange, Moment, Ttl};
use crate::store::entry::NewValue;
use crate::store::types::{Hash, Object};

fn at(unix_ms: i64) -> Moment {
    Moment::new(Now { mono_ns: 0, unix_ms }, true)
}

fn db() -> Db {
    Db::new(KeyHasher::new([7; 16]))
}

fn key(n: u64) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn set(db: &mut Db, n: u64, ttl: Ttl, now: Moment) {
    db.set(&key(n), NewValue::Int(n as i64), ttl, now);
}

/// The keys that a reader finds.
fn live(db: &Db, now_ms: i64) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    let mut cursor = 0;
    loop {
        cursor = db.scan(cursor, at(now_ms), |entry| _ = keys.insert(entry.key().to_vec()));
        if cursor == 0 {
            return keys;
        }
    }
}

/// Whatever comes, leaves, expires, is renamed or gets another deadline meanwhile: a walk shows the keys of its beginning.
#[test]
fn a_walk_shows_the_keys_of_its_beginning_each_once_whatever_happens_meanwhile() {
    for seed in 0..60 {
        let mut prng = Prng::seeded(seed);
        let (mut db, mut now_ms) = (db(), 1_000);
        // Few keys make and unmake segments; many split them under the walk.
        let bound = [50, 3_000, 12_000][(seed % 3) as usize];
        for n in 0..prng.below(bound) {
            let ttl = if prng.chance(1, 4) { Ttl::At(now_ms + prng.below(60) as i64) } else { Ttl::Clear };
            set(&mut db, n, ttl, at(now_ms));
        }
        now_ms += 20;
        // Two walks at different places do not disturb each other.
        let mut walks = Vec::new();
        for _ in 0..2 {
            walks.push((db.begin_walk(now_ms), live(&db, now_ms), Vec::new(), false));
            let changes = if prng.chance(1, 5) { 4 * bound } else { 40 };
            while walks.iter().any(|(.., done)| !done) {
                for (id, _, found, done) in walks.iter_mut().filter(|(.., done)| !done) {
                    let mut left = prng.below(30);
                    *done = db.go_on_walking(
                        *id,
                        |key| found.push(key.to_vec()),
                        || {
                            left = left.saturating_sub(1);
                            left > 0
                        },
                    );
                }
                let removes = prng.chance(1, 2);
                for _ in 0..prng.below(changes) {
                    let n = prng.below(2 * bound);
                    match prng.below(8) {
                        0 => _ = db.lookup_uncounted(&key(n), at(now_ms)),
                        1 => {
                            _ = db
                                .set_deadline_if(&key(n), Some(now_ms + prng.below(9) as i64 - 2), at(now_ms), |_| true)
                        }
                        2 => _ = db.set_deadline(&key(n), None, at(now_ms)),
                        3 => {
                            if let Some(entry) = db.remove(&key(n), at(now_ms)) {
                                db.remove(&key(n + 1), at(now_ms));
                                db.insert(entry.renamed(&key(n + 1)), at(now_ms));
                            }
                        }
                        _ if removes => _ = db.remove(&key(n), at(now_ms)),
                        _ => set(&mut db, n, Ttl::Keep, at(now_ms)),
                    }
                }
                now_ms += prng.below(3) as i64;
                db.expire(now_ms, &mut 1_000, |_| {});
                if prng.chance(1, 3) {
                    break;
                }
            }
        }
        for (id, expected, mut found, done) in walks {
            if !done {
                assert!(db.go_on_walking(id, |key| found.push(key.to_vec()), || true));
            }
            assert!(db.go_on_walking(id, |_| panic!("it was at its end"), || true));
            db.end_walk(id);
            let distinct: BTreeSet<Vec<u8>> = found.iter().cloned().collect();
            assert_eq!(distinct.len(), found.len(), "seed {seed}: a key twice");
            assert_eq!(distinct, expected, "seed {seed}");
        }
        assert!(!db.has_holds());
    }
}

#[test]
fn a_held_key_that_is_due_is_absent_and_stays_until_the_hold_ends() {
    let mut db = db();
    set(&mut db, 1, Ttl::At(1_010), at(1_000));
    set(&mut db, 2, Ttl::At(1_010), at(1_000));
    [Hold::Read, Hold::Target, Hold::Read].into_iter().for_each(|hold| db.hold(&key(1), hold));
    let mut expired = Vec::new();
    let mut expire = |db: &mut Db, now_ms| {
        while !db.expire(now_ms, &mut 100, |entry| expired.push(entry.key().to_vec())).done {}
        expired.clone()
    };
    assert_eq!(expire(&mut db, 1_020), [key(2)]);
    assert!(db.lookup_uncounted(&key(1), at(1_020)).is_none());
    assert!(db.peek(&key(1)).is_some(), "its holder goes on");
    let mut prng = Prng::seeded(1);
    let drawn = db.random_key(at(1_020), |n| prng.below(n));
    assert_eq!(drawn, Some(key(1)), "there is no other, and it cannot be collected");
    db.end_hold(&key(1), Hold::Read);
    db.end_hold(&key(1), Hold::Target);
    assert_eq!(expire(&mut db, 1_030), [key(2)]);
    db.end_hold(&key(1), Hold::Read);
    assert!(!db.is_held(&key(1)) && !db.has_holds());
    assert_eq!(expire(&mut db, 1_040), [key(2), key(1)], "it has a node again");
    assert!(db.is_empty() && db.timed() == 0);
}

#[test]
fn due_fields_of_a_held_hash_stay_until_the_hold_ends() {
    let mut db = db();
    let mut hash = Hash::new();
    let limits = crate::store::types::hash::Limits { entries: 4, value: 64, hasher: KeyHasher::new([7; 16]) };
    (0..100_u32).for_each(|n| _ = hash.set(&n.to_be_bytes(), b"value", false, 0, &limits));
    db.set_object(b"hash", Object::Hash(hash), at(1_000));
    for n in 0..50_u32 {
        let mut hash = db.write::<Hash>(b"hash", at(1_000)).expect("a hash").expect("is there");
        hash.set_deadline(&n.to_be_bytes(), 1_010, KeyHasher::new([7; 16]));
    }
    db.hold(b"hash", Hold::Read);
    let expire = |db: &mut Db, now_ms| while !db.expire(now_ms, &mut 100, |_| {}).done {};
    expire(&mut db, 1_020);
    assert_eq!(db.reread::<Hash>(b"hash", at(1_020)).expect("a hash").expect("is there").timed(), 50);
    db.end_hold(b"hash", Hold::Read);
    expire(&mut db, 1_030);
    assert_eq!(db.reread::<Hash>(b"hash", at(1_030)).expect("a hash").expect("is there").timed(), 0);
    assert_eq!(db.stats().expired_elements, 50);
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "a key that is held changes")]
fn to_change_a_held_key_is_noticed() {
    let mut db = db();
    set(&mut db, 1, Ttl::Clear, at(1_000));
    db.hold(&key(1), Hold::Read);
    assert!(matches!(db.set_deadline_if(&key(1), Some(2_000), at(1_000), |_| true), DeadlineChange::Done));
}

#[test]
fn a_walk_that_very_many_keys_came_ahead_of_is_crowded_until_it_has_passed_them() {
    let mut db = db();
    (0..100).for_each(|n| set(&mut db, n, Ttl::Clear, at(1_000)));
    let id = db.begin_walk(1_000);
    for n in 100..100 + BORN_MAX as u64 {
        set(&mut db, n, Ttl::Clear, at(1_000));
    }
    assert!(!db.is_walk_crowded(id));
    set(&mut db, 99 + 2 * BORN_MAX as u64, Ttl::Clear, at(1_000));
    assert!(db.is_walk_crowded(id));
    let mut found = 0;
    assert!(db.go_on_walking(id, |_| found += 1, || true));
    assert!(found == 100 && !db.is_walk_crowded(id));
    db.end_walk(id);
}

#[test]
fn a_group_holds_its_keys_against_all_but_its_own_holder() {
    let mut db = db();
    (0..3).for_each(|n| set(&mut db, n, Ttl::Clear, at(1)));
    let readers = db.begin_group(Hold::Read, 2);
    assert!(db.hold_in(readers, &key(0)) && db.hold_in(readers, &key(0)), "a key may be named twice");
    let writer = db.begin_group(Hold::Exclusive, 2);
    assert!(db.hold_in(writer, &key(1)) && !db.hold_in(writer, &key(0)), "somebody reads it");
    assert!(!db.hold_in(readers, &key(1)), "somebody writes it");
    assert_eq!(db.holders_of(&key(0)), Holders { readers: 1, ..Holders::default() });
    assert_eq!(db.holders_of(&key(1)), Holders { exclusive: 1, ..Holders::default() });
    assert!(db.is_held(&key(1)) && !db.is_held(&key(2)));
    db.act_for(Some(writer));
    assert!(!db.is_held(&key(1)) && db.is_held(&key(0)));
    set(&mut db, 1, Ttl::Clear, at(2));
    db.act_for(None);
    assert!(db.is_held(&key(1)));
    db.end_group(writer);
    assert!(db.hold_in(readers, &key(1)));
    db.end_group(readers);
    assert!(!db.has_holds());
}

#[test]
fn a_key_of_a_group_that_falls_due_leaves_when_the_group_has_ended() {
    let mut db = db();
    set(&mut db, 0, Ttl::At(100), at(1));
    set(&mut db, 1, Ttl::At(100), at(1));
    let group = db.begin_group(Hold::Exclusive, 1);
    assert!(db.hold_in(group, &key(0)));
    let expire = |db: &mut Db, now_ms: i64| {
        let mut gone = Vec::new();
        db.expire(now_ms, &mut 1000, |entry| gone.push(entry.key().to_vec()));
        gone
    };
    assert_eq!(expire(&mut db, 200), [key(1)]);
    db.end_group(group);
    assert_eq!(expire(&mut db, 300), [key(0)]);
}
