//! What counts as a change of a database: everything that a caller changes, once, and nothing else.

use super::access::Stamp;
use super::db::{Db, Lookup, Moment, Ttl};
use super::entry::{Entry, NewValue};
use super::hash::KeyHasher;
use super::types::list::End;
use super::types::stream::{Group, StreamId};
use super::types::{Hash, List, Object, Set, Stream, ZSet, hash, set, zset};
use crate::base::clock::Now;

const NOW_MS: i64 = 1_700_000_000_000;
const SECRET: [u8; 16] = [5; 16];

fn at() -> Moment {
    Moment::new(Now { mono_ns: 0, unix_ms: NOW_MS }, true)
}

fn hash_limits(entries: usize) -> hash::Limits {
    hash::Limits { entries, value: 64, hasher: KeyHasher::new(SECRET) }
}

fn set_policy() -> set::Policy {
    set::Policy { intset_entries: 512, listpack_entries: 4, listpack_value: 64, hasher: KeyHasher::new(SECRET) }
}

fn zset_limits() -> zset::Limits {
    zset::Limits { entries: 4, value: 64, hasher: KeyHasher::new(SECRET) }
}

/// One key of every kind, some small and some big.
fn database() -> Db {
    let mut db = Db::new(KeyHasher::new(SECRET));
    let names = || (0..300).map(|n| format!("name:{n}").into_bytes());
    db.set(b"int", NewValue::Int(1), Ttl::Clear, at());
    db.set(b"text", NewValue::Bytes(b"text"), Ttl::At(NOW_MS + 1_000), at());
    db.set(b"long", NewValue::Bytes(&[b'x'; 40_000]), Ttl::Clear, at());
    for (key, count) in [(&b"list"[..], 3), (b"big list", 300)] {
        let mut list = List::new();
        names().take(count).for_each(|name| list.push(End::Tail, &name));
        db.set_object(key, Object::List(list), at());
    }
    for (key, count) in [(&b"set"[..], 3), (b"big set", 300)] {
        let mut set = Set::for_members(b"name", count, &set_policy());
        names().take(count).for_each(|name| assert!(set.insert(&name, &set_policy())));
        db.set_object(key, Object::Set(set), at());
    }
    for (key, count) in [(&b"zset"[..], 3), (b"big zset", 300)] {
        let mut zset = ZSet::default();
        names().take(count).for_each(|name| assert!(zset.insert(&name, 1.5, &zset_limits())));
        db.set_object(key, Object::ZSet(zset), at());
    }
    for (key, count) in [(&b"hash"[..], 3), (b"big hash", 300)] {
        let mut hash = Hash::new();
        names().take(count).for_each(|name| assert!(!hash.set(&name, b"v", false, NOW_MS, &hash_limits(64))));
        db.set_object(key, Object::Hash(hash), at());
    }
    let mut stream = Stream::default();
    assert!(stream.add_group(b"group", Group::new(StreamId::MIN, None)));
    db.set_object(b"stream", Object::Stream(stream), at());
    db.reset_mutations();
    db
}

type Step = fn(&mut Db);

#[test]
fn whatever_a_caller_changes_is_a_mutation() {
    let steps: &[(&str, Step)] = &[
        ("a new key", |db| db.set(b"new", NewValue::Int(1), Ttl::Clear, at())),
        ("another value", |db| db.set(b"int", NewValue::Int(1), Ttl::Keep, at())),
        ("an inserted entry", |db| db.insert(Entry::new(b"new", NewValue::Int(1), None), at())),
        ("a removed key", |db| assert!(db.remove(b"int", at()).is_some())),
        ("a deadline", |db| assert!(db.set_deadline(b"int", Some(NOW_MS + 5), at()))),
        ("a deadline taken away", |db| assert!(db.set_deadline(b"text", None, at()))),
        ("a deadline that has passed", |db| assert!(db.set_deadline(b"text", Some(NOW_MS), at()))),
        ("an integer in place", |db| assert!(db.lookup_write(b"int", at()).unwrap().overwrite_int(2))),
        ("bytes in place", |db| {
            db.lookup_write(b"text", at()).unwrap().edit_bytes(|bytes| bytes[0] = b'T');
        }),
        ("the end of a long string", |db| {
            db.lookup_write(b"long", at()).unwrap().shared_mut().unwrap().bytes().push(b'y');
        }),
        ("a moved string", |db| {
            let mut entry = db.lookup_write(b"text", at()).unwrap();
            entry.map(|entry| entry.with_value_only(NewValue::Bytes(b"a longer text, in another block of memory")));
        }),
        ("an element", |db| db.write::<List>(b"list", at()).unwrap().unwrap().replace(1, b"other")),
        ("an element of a big list", |db| db.write::<List>(b"big list", at()).unwrap().unwrap().remove_end(End::Tail)),
        ("a member", |db| assert!(db.write::<Set>(b"set", at()).unwrap().unwrap().remove(b"name:1"))),
        ("a member of a big set", |db| assert!(db.write::<Set>(b"big set", at()).unwrap().unwrap().remove(b"name:1"))),
        ("a score", |db| {
            db.write::<ZSet>(b"zset", at()).unwrap().unwrap().insert(b"name:1", 2.5, &zset_limits());
        }),
        ("a score of a big sorted set", |db| {
            db.write::<ZSet>(b"big zset", at()).unwrap().unwrap().insert(b"name:1", 2.5, &zset_limits());
        }),
        ("a field", |db| {
            assert!(db.write::<Hash>(b"hash", at()).unwrap().unwrap().set(
                b"name:1",
                b"w",
                false,
                NOW_MS,
                &hash_limits(64)
            ));
        }),
        ("a field of a big hash", |db| {
            assert!(db.write::<Hash>(b"big hash", at()).unwrap().unwrap().remove(b"name:1", NOW_MS));
        }),
        ("a field's deadline", |db| {
            db.write::<Hash>(b"hash", at()).unwrap().unwrap().set_deadline(
                b"name:1",
                NOW_MS + 5,
                KeyHasher::new(SECRET),
            );
        }),
        ("a group", |db| {
            let mut stream = db.write::<Stream>(b"stream", at()).unwrap().unwrap();
            stream.group_mut(b"group").unwrap().add_consumer(b"consumer", NOW_MS);
        }),
        ("all keys", |db| drop(db.empty())),
    ];
    for (what, step) in steps {
        let mut db = database();
        step(&mut db);
        assert_eq!(db.mutations(), 1, "{what}");
    }
}

#[test]
fn what_a_caller_opens_and_leaves_as_it_was_is_no_mutation() {
    let steps: &[(&str, Step)] = &[
        ("a lookup", |db| assert!(db.lookup_read(b"text", at()).is_some())),
        ("an opened entry", |db| assert!(db.lookup_write(b"text", at()).is_some())),
        ("an access time", |db| db.lookup_write(b"text", at()).unwrap().set_stamp(Stamp::new(0, 7))),
        ("the name of an encoding", |db| db.lookup_write(b"text", at()).unwrap().set_raw()),
        ("an integer held as text", |db| {
            db.lookup_write(b"int", at()).unwrap().map(|entry| entry.with_value_only(NewValue::Bytes(b"1")));
        }),
        ("a value that is refused", |db| {
            let refused = db.set_if(b"int", NewValue::Int(2), Ttl::Clear, at(), Lookup::Write, |old| old.is_none());
            assert!(!refused);
        }),
        ("a deadline that is refused", |db| drop(db.set_deadline_if(b"int", Some(NOW_MS + 5), at(), |_| false))),
        ("a deadline that was not there", |db| assert!(db.set_deadline(b"int", None, at()))),
        ("a key that is not there", |db| assert!(db.remove(b"none", at()).is_none())),
        ("a collection of another type", |db| assert!(db.write::<List>(b"set", at()).is_err())),
        ("a member that is there", |db| {
            assert!(!db.write::<Set>(b"set", at()).unwrap().unwrap().insert(b"name:1", &set_policy()));
        }),
        ("a set made a table", |db| db.write::<Set>(b"set", at()).unwrap().unwrap().prepare(500, &set_policy())),
        ("a sorted set made a tree", |db| {
            db.write::<ZSet>(b"zset", at()).unwrap().unwrap().expect(500, &zset_limits());
        }),
        ("a hash made a table", |db| {
            db.write::<Hash>(b"hash", at()).unwrap().unwrap().make_table(KeyHasher::new(SECRET));
        }),
        ("a hash made ready for deadlines", |db| {
            db.write::<Hash>(b"hash", at()).unwrap().unwrap().make_timed(KeyHasher::new(SECRET));
        }),
        ("a field that is not there", |db| {
            assert!(!db.write::<Hash>(b"big hash", at()).unwrap().unwrap().remove(b"none", NOW_MS));
        }),
        ("a stream that was looked at", |db| {
            assert!(!db.write::<Stream>(b"stream", at()).unwrap().unwrap().forget(StreamId::MIN))
        }),
        ("big collections", |db| {
            drop(db.write::<List>(b"big list", at()));
            drop(db.write::<Set>(b"big set", at()));
            drop(db.write::<ZSet>(b"big zset", at()));
        }),
    ];
    for (what, step) in steps {
        let mut db = database();
        step(&mut db);
        assert_eq!(db.mutations(), 0, "{what}");
    }
}

#[test]
fn what_expires_is_no_mutation() {
    let mut db = database();
    assert!(db.set_deadline(b"hash", Some(NOW_MS + 10), at()));
    for key in [&b"big hash"[..], b"hash"] {
        let mut hash = db.write::<Hash>(key, at()).unwrap().unwrap();
        hash.set_deadline(b"name:1", NOW_MS + 5, KeyHasher::new(SECRET));
    }
    let keys = db.len();
    db.reset_mutations();
    let later = Moment::new(Now { mono_ns: 0, unix_ms: NOW_MS + 2_000 }, true);
    assert!(db.lookup_write(b"text", later).is_none());
    drop(db.write::<Hash>(b"big hash", later));
    db.expire(NOW_MS + 2_000, &mut 1_000, |_| ());
    assert_eq!((db.stats().expired, db.len(), db.stats().expired_elements), (2, keys - 2, 2));
    assert_eq!(db.mutations(), 0);
}
