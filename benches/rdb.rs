//! Dump files: 5M keys of 15 bytes with values of 32, a quarter of them with a deadline, and 200,000 small hashes.
//!
//! `cargo bench --bench rdb` prints nanoseconds a key and bytes a second; with `--test` (or without `--bench`) it runs a tiny size
//! that only checks the answers. `ALEADB_BENCH_DUMP` names a file to leave the dump in, so that other servers can load the same.

use std::io::{self, Read};
use std::time::Instant;

use aleadb::base::clock::Now;
use aleadb::persist::rdb::Shapes;
use aleadb::persist::rdb::file::{DumpReader, DumpWriter, Head, Item, Options};
use aleadb::persist::rdb::write::Version;
use aleadb::persist::storage::ReadFile;
use aleadb::store::db::{Db, Moment, Ttl};
use aleadb::store::entry::NewValue;
use aleadb::store::hash::KeyHasher;
use aleadb::store::types::{Hash, Object, hash, list, set, zset};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const VALUE: &[u8] = b"abcdefghabcdefgh1234567890123456";

/// A file in memory.
#[derive(Debug)]
struct MemoryFile {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for MemoryFile {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let count = (&self.bytes[self.at..]).read(buf)?;
        self.at += count;
        Ok(count)
    }
}

impl ReadFile for MemoryFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
}

fn shapes(hasher: KeyHasher) -> Shapes {
    Shapes {
        list: list::Fill::new(-2),
        set: set::Policy { intset_entries: 512, listpack_entries: 128, listpack_value: 64, hasher },
        hash: hash::Limits { entries: 512, value: 64, hasher },
        zset: zset::Limits { entries: 128, value: 64, hasher },
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let smoke = arguments.iter().any(|argument| argument == "--test")
        || !arguments.iter().any(|argument| argument == "--bench");
    let strings: u64 = if smoke { 5_000 } else { 5_000_000 };
    let hasher = KeyHasher::new([3; 16]);
    let at = Moment::new(Now { unix_ms: 1_700_000_000_000, mono_ns: 0 }, true);
    let mut db = Db::new(hasher);
    for index in 0..strings {
        let ttl = if index % 4 == 0 { Ttl::At(33_000_000_000_000 + index as i64) } else { Ttl::Clear };
        db.set(format!("key:{index:011}").as_bytes(), NewValue::Bytes(VALUE), ttl, at);
    }
    for index in 0..strings / 25 {
        let mut hash = Hash::new();
        for field in 0..8 {
            hash.set(format!("f{field:03}").as_bytes(), b"valueval", false, 0, &shapes(hasher).hash);
        }
        let value = NewValue::Object(Object::Hash(hash));
        db.set(format!("hash:{index:010}").as_bytes(), value, Ttl::Clear, at);
    }
    let mut file = Vec::new();
    let options =
        Options { version: Version::Redis11, has_own_forms: true, compress: true, checksum: true, accesses: None };
    let mut writer = DumpWriter::new(options);
    measure("write", db.len(), |_| {
        writer.begin(&Head {
            redis_version: "7.4.0",
            unix_s: 1_700_000_000,
            used_bytes: 1,
            is_aof_base: false,
            origin: None,
        });
        writer.select(0, db.len(), db.timed());
        db.table().for_each(|entry| {
            writer.entry(&entry).expect("no field has a deadline");
            if writer.len() > 1 << 18 {
                file.extend(writer.take());
            }
        });
        writer.end();
        file.extend(writer.take());
        file.len()
    });
    if let Some(path) = std::env::var_os("ALEADB_BENCH_DUMP") {
        std::fs::write(path, &file).expect("the file can be written");
    }
    measure("read, without a database", db.len(), |keys| {
        let (bytes, found) = read(file.clone(), hasher, drop);
        assert_eq!(found, keys);
        bytes
    });
    measure("read into a database", db.len(), |keys| {
        let mut loaded = Db::new(hasher);
        let (bytes, _) = read(file.clone(), hasher, |entry| loaded.insert(entry, at));
        assert_eq!((loaded.len(), loaded.timed()), (keys, db.timed()));
        bytes
    });
}

/// Hands every key of a file on; the file's length, and how many they were.
fn read(file: Vec<u8>, hasher: KeyHasher, mut each: impl FnMut(aleadb::store::entry::Entry)) -> (usize, usize) {
    let (bytes, mut keys) = (file.len(), 0);
    let mut reader =
        DumpReader::new(Box::new(MemoryFile { bytes: file, at: 0 }), shapes(hasher), true).expect("a length");
    loop {
        match reader.next_item().expect("our own file") {
            Item::Entry(loaded) => {
                keys += 1;
                each(loaded.entry);
            }
            Item::End(_) => return (bytes, keys),
            _ => {}
        }
    }
}

fn measure(what: &str, keys: usize, run: impl FnOnce(usize) -> usize) {
    let start = Instant::now();
    let bytes = run(keys);
    let seconds = start.elapsed().as_secs_f64();
    let (per_key, rate) = (seconds * 1e9 / keys as f64, bytes as f64 / seconds / 1e6);
    println!("{what:<32} {per_key:>8.1} ns a key {rate:>10.0} MB/s {seconds:>8.2} s");
}
