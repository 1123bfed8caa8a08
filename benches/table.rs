//! The key table and its entries at the size they are for: 10M keys of 15 bytes with values of 32.
//!
//! `cargo bench --bench table` prints nanoseconds an operation and the longest single insert; with `--test` (or without
//! `--bench`) it runs a tiny size that only checks the answers.

use std::hint::black_box;
use std::time::Instant;

use aleadb::base::clock::Now;
use aleadb::store::db::{Db, Moment, Ttl};
use aleadb::store::entry::NewValue;
use aleadb::store::hash::KeyHasher;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VALUE: &[u8] = b"abcdefghabcdefghabcdefghabcdefgh";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let smoke = arguments.iter().any(|argument| argument == "--test")
        || !arguments.iter().any(|argument| argument == "--bench");
    let keys: u64 = if smoke { 20_000 } else { 10_000_000 };
    let at = Moment::new(Now { unix_ms: 1_700_000_000_000, mono_ns: 0 }, true);
    let mut db = Db::new(KeyHasher::new([3; 16]));
    let mut longest_ns = 0;
    measure("insert, growing from empty", keys, || {
        for index in 0..keys {
            let start = Instant::now();
            db.set(&key(index), NewValue::Bytes(VALUE), Ttl::Clear, at);
            longest_ns = longest_ns.max(start.elapsed().as_nanos());
        }
    });
    println!("{:<48} {:>10.1} us", "longest insert (a split, or the scheduler)", longest_ns as f64 / 1000.0);
    println!("{:<48} {:>10.2} bytes a key", "table, entries not counted", db.table().bytes() as f64 / keys as f64);
    measure("lookup, random, present", keys, || {
        for index in 0..keys {
            let entry = db.lookup_read(&key(scatter(index, keys)), at);
            assert_eq!(black_box(entry).expect("present").string().expect("a string").len(), 32);
        }
    });
    measure("lookup, random, prefetched 16 at a time", keys, || {
        for group in 0..keys / 16 {
            let keys: [[u8; 15]; 16] = std::array::from_fn(|i| key(scatter(group * 16 + i as u64, keys)));
            let hashes: [u64; 16] = std::array::from_fn(|i| db.prefetch_bucket(&keys[i]));
            hashes.iter().for_each(|&hash| db.prefetch_entry(hash));
            for (key, hash) in keys.iter().zip(hashes) {
                assert!(black_box(db.lookup_read(key, at.with_hash(key, hash))).is_some());
            }
        }
    });
    measure("overwrite, same size", keys, || {
        (0..keys).for_each(|i| db.set(&key(scatter(i, keys)), NewValue::Bytes(VALUE), Ttl::Clear, at));
    });
    measure("overwrite with a TTL, all different", keys, || {
        (0..keys).for_each(|i| db.set(&key(i), NewValue::Bytes(VALUE), Ttl::At(at.unix_ms + 60_000 + i as i64), at));
    });
    measure("refresh of a TTL", keys, || {
        (0..keys).for_each(|i| assert!(db.set_deadline(&key(i), Some(at.unix_ms + 90_000 + i as i64), at)));
    });
    println!("{:<48} {:>10.2} bytes a key", "wheel", db.wheel_bytes() as f64 / keys as f64);
    measure("scan of everything", keys, || {
        let (mut cursor, mut seen) = (0, 0);
        loop {
            cursor = db.scan(cursor, at, |_| seen += 1);
            if cursor == 0 {
                break;
            }
        }
        assert_eq!(seen, keys);
    });
    expire_all(&mut db, "expiry of everything, a deadline each", keys, at.unix_ms + 90_000 + keys as i64);
    let due_ms = at.unix_ms + 90_000 + keys as i64 + 1;
    (0..keys).for_each(|i| db.set(&key(i), NewValue::Bytes(VALUE), Ttl::At(due_ms), at));
    expire_all(&mut db, "expiry of everything at one instant", keys, due_ms);
}

/// Removes all keys, a chunk at a time as the server does, and says how long chunks took.
fn expire_all(db: &mut Db, name: &str, keys: u64, due_ms: i64) {
    let (mut expired, mut chunks_ns) = (0, Vec::new());
    measure(name, keys, || {
        let mut done = false;
        while !done {
            let start = Instant::now();
            done = db.expire(due_ms, &mut 64, |_| expired += 1).done;
            chunks_ns.push(start.elapsed().as_nanos());
        }
    });
    assert_eq!(expired, keys);
    assert!(db.is_empty());
    chunks_ns.sort_unstable();
    for (share, name) in [(0.5, "half"), (0.999, "99.9 %"), (1.0, "all")] {
        let longest_us = chunks_ns[((chunks_ns.len() - 1) as f64 * share) as usize] as f64 / 1000.0;
        println!("{:<48} {longest_us:>10.1} us", format!("  {name} of its chunks of 64 took at most"));
    }
}

fn key(index: u64) -> [u8; 15] {
    let mut key = *b"key:00000000000";
    let mut rest = index;
    for digit in key[4..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// A permutation-like scatter of `index` over `0..range`.
fn scatter(index: u64, range: u64) -> u64 {
    (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 16) % range
}

fn measure(name: &str, count: u64, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    println!("{name:<48} {:>10.1} ns each, {count} times", start.elapsed().as_nanos() as f64 / count as f64);
}
