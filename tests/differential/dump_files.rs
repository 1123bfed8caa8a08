//! Dump files travel: what a server has saved we load, and what we have written it loads.
//!
//! A server is filled by generated lines and saves. Its file is read into a server of ours in memory, which must hold the same:
//! key by key over the wire, and by the digest of the data where the other's is ours. What ours holds is written in the version
//! that the other reads, and put in the place of its file; when it has loaded that it must hold what it held at first.

use std::fs;

use aleadb::base::clock::Clock;
use aleadb::persist::rdb::Shapes;
use aleadb::persist::rdb::file::{DumpReader, DumpWriter, Head, Item, Options};
use aleadb::persist::rdb::write::Version;
use aleadb::persist::storage::{RealStorage, Storage};
use aleadb::server::Server as Ours;
use aleadb::store::db::Moment;
use aleadb::store::hash::KeyHasher;
use aleadb::store::types::{hash, list, set, zset};

use crate::contents::{self, Contents};
use crate::differences;
use crate::generate::Generator;
use crate::memory::{Memory, START_MS};
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value, decode_all, encode};
use crate::rng::Rng;
use crate::server::Server;
use crate::{number, stream, tables, wanted};

/// Lines of these commands fill the keys.
pub const FILLERS: &[&str] = &[
    "set",
    "append",
    "setrange",
    "incrbyfloat",
    "setbit",
    "pfadd",
    "rpush",
    "lpush",
    "linsert",
    "lset",
    "ltrim",
    "sadd",
    "srem",
    "zadd",
    "zincrby",
    "zrem",
    "hset",
    "hdel",
    "hincrby",
    "xadd",
    "xdel",
    "xtrim",
    "xgroup|create",
    "xgroup|createconsumer",
    "xreadgroup",
    "xclaim",
    "xack",
    "select",
];

const LINES: usize = 2_000;

/// Deadlines are from here on: nothing expires while a test looks, nor before what any version can hold.
const DEADLINES_FROM_MS: u64 = 3_000_000_000_000;

const LIBRARY: &str = "#!lua name=library\nredis.register_function('f', function(keys, args) return 1 end)";

/// Every other one of a server's keys gets a deadline, the others lose theirs; the same with fields. The same ones in every server
/// that holds the same.
pub fn set_deadlines(client: &mut Client, rng: &mut Rng, fields: bool) {
    for db in 0..16 {
        ask(client, &["SELECT", &db.to_string()]);
        for key in &sorted(&ask(client, &["KEYS", "*"])) {
            let deadline_ms = (DEADLINES_FROM_MS + u64::from(rng.next() as u32)).to_string();
            if rng.chance(50) {
                ask(client, &[b"PEXPIREAT".as_slice(), key, deadline_ms.as_bytes()]);
            } else {
                ask(client, &[b"PERSIST".as_slice(), key]);
            }
            let kind = ask(client, &[b"TYPE".as_slice(), key]).text();
            if kind == "zset" {
                drop_negative_zeros(client, key);
            }
            if !fields || kind != "hash" {
                continue;
            }
            for name in &sorted(&ask(client, &[b"HKEYS".as_slice(), key])) {
                if rng.chance(50) {
                    ask(client, &[b"HPEXPIREAT".as_slice(), key, deadline_ms.as_bytes(), b"FIELDS", b"1", name]);
                }
            }
        }
    }
    ask(client, &["SELECT", "0"]);
}

/// The texts of a reply, in order.
pub fn sorted(reply: &Value) -> Vec<Vec<u8>> {
    let mut texts: Vec<_> =
        reply.items().unwrap_or_default().iter().filter_map(Value::bytes).map(<[u8]>::to_vec).collect();
    texts.sort();
    texts
}

/// Removes members whose score is zero with a sign, which small sorted sets do not have and others do: a server that loads what
/// it has saved may have lost it.
fn drop_negative_zeros(client: &mut Client, key: &[u8]) {
    let zeros = ask(client, &[b"ZRANGEBYSCORE".as_slice(), key, b"0", b"0", b"WITHSCORES"]);
    for pair in zeros.items().unwrap_or_default().chunks_exact(2) {
        if pair[1].text() == "-0" {
            ask(client, &[b"ZREM".as_slice(), key, pair[0].bytes().unwrap_or_default()]);
        }
    }
}

pub fn fill(client: &mut Client, generator: &mut Generator) {
    let lines: Vec<_> = (0..LINES).map(|_| generator.line()).collect();
    for batch in lines.chunks(50) {
        let bytes: Vec<u8> = batch.iter().flat_map(|line| encode(line)).collect();
        client.send_raw(&bytes).expect("still running");
        for line in batch {
            client.read_reply().unwrap_or_else(|error| panic!("{}: {error}", stream::quoted(line)));
        }
    }
}

/// What a server holds, as far as it is data.
pub fn contents_of(client: &mut Client) -> Contents {
    plain(contents::contents_of(&mut |line| ask(client, line)))
}

/// Leaves out the lag of groups, which newer servers compute otherwise. Valkey lets a group have read more entries than a stream
/// has had, which nobody takes from a file: then it is so many.
pub fn plain(mut all: Contents) -> Contents {
    for (_, answer) in &mut all {
        if let Some(added) = answer.field("entries-added").and_then(Value::integer) {
            plain_groups(answer, added);
        }
    }
    all
}

fn plain_groups(answer: &mut Value, added: i64) {
    let Value::Array(items) = answer else { return };
    for at in 0..items.len() {
        let name = at.checked_sub(1).and_then(|before| items[before].bytes()).unwrap_or_default().to_vec();
        match (&mut items[at], name.as_slice()) {
            (Value::Integer(read), b"entries-read") => *read = added.min(*read),
            (lag, b"lag") => *lag = Value::Integer(0),
            (inner, _) => plain_groups(inner, added),
        }
    }
}

/// The keys whose values have different digests.
fn differing_keys(memory: &mut Memory, client: &mut Client) -> Vec<String> {
    let mut differing = Vec::new();
    for db in 0..16 {
        let select = ["SELECT".to_owned(), db.to_string()];
        ask(client, &select);
        memory.run(&select.join(" "));
        let keys = ask(client, &["KEYS", "*"]);
        for key in keys.items().unwrap_or_default().iter().filter_map(Value::bytes) {
            let line: [&[u8]; 3] = [b"DEBUG", b"DIGEST-VALUE", key];
            let ours = decode_all(&memory.raw(&line)).expect("a reply").pop();
            if ours.as_ref() != Some(&ask(client, &line)) {
                let dumped = ask(client, &[b"DUMP".as_slice(), key]);
                differing.push(format!(
                    "[{db}] {} {}",
                    key.escape_ascii(),
                    dumped.bytes().unwrap_or_default().escape_ascii()
                ));
            }
        }
    }
    differing
}

fn shapes(server: &Ours, tight: bool) -> Shapes {
    let hasher: KeyHasher = server.dbs.hasher;
    let (entries, value) = if tight { (4, 8) } else { (128, 64) };
    Shapes {
        list: list::Fill::new(if tight { 3 } else { -2 }),
        set: set::Policy { intset_entries: entries, listpack_entries: entries, listpack_value: value, hasher },
        hash: hash::Limits { entries, value, hasher },
        zset: zset::Limits { entries, value, hasher },
    }
}

/// Reads a file into an empty server of ours; returns its libraries of functions.
fn load(memory: &mut Memory, server: &Server, tight: bool) -> Vec<Vec<u8>> {
    let file = RealStorage.open(&server.dir().join("dump.rdb")).expect("it has been saved");
    let mut reader = DumpReader::new(file, shapes(&memory.server, tight), true).expect("its length is known");
    let at = Moment::new(memory.clock.now(), false);
    let (mut functions, mut place) = (Vec::new(), 0);
    loop {
        match reader.next_item().unwrap_or_else(|error| panic!("{error}")) {
            Item::Select(number) => place = memory.server.dbs.make(number as usize).expect("a database of ours"),
            Item::Entry(loaded) => {
                memory.server.dbs[place].insert(loaded.entry, at);
                memory.server.dbs.note_timers(place);
            }
            Item::Function(code) => functions.push(code),
            Item::End(_) => return functions,
            Item::Passed(what) => panic!("{what}"),
            Item::Aux { .. } | Item::Script(_) | Item::Resize { .. } => {}
        }
    }
}

/// Names keys that are never to be evicted: what our files say of them other servers pass over.
fn bless_some(memory: &mut Memory) {
    let mut keys = Vec::new();
    for (number, db) in memory.server.dbs.with_keys() {
        db.table().for_each(|entry| keys.push((number.to_string(), entry.key().to_vec())));
    }
    for (number, key) in keys.iter().step_by(3) {
        memory.raw(&[b"SELECT", number.as_bytes()]);
        assert_eq!(memory.raw(&[b"BLESS", b"SET", key, b"NO-EVICT"]), b":1\r\n");
    }
}

/// What our server holds, as a file.
fn written(memory: &Memory, functions: &[Vec<u8>], version: Version, compress: bool) -> Vec<u8> {
    let mut writer =
        DumpWriter::new(Options { version, has_own_forms: false, compress, checksum: true, accesses: None });
    writer.begin(&Head {
        redis_version: "7.4.0",
        unix_s: 1_700_000_000,
        used_bytes: 1,
        is_aof_base: false,
        origin: None,
    });
    functions.iter().for_each(|code| writer.function(code));
    let mut file = Vec::new();
    for (number, db) in memory.server.dbs.with_keys() {
        db.table().for_each(|entry| {
            writer.select(number, db.len(), db.timed());
            writer.entry(&entry).unwrap_or_else(|refused| panic!("{refused}"));
            file.extend(writer.take());
        });
    }
    writer.end();
    file.extend(writer.take());
    file
}

/// When consumers were seen and active last, which files hold and [`contents`] leaves out.
fn consumers(ask: &mut dyn FnMut(&[&[u8]]) -> Value) -> Vec<(String, i64)> {
    let mut times = Vec::new();
    let keys = ask(&[b"KEYS", b"*"]);
    let mut keys: Vec<_> = keys.items().unwrap_or_default().iter().filter_map(Value::bytes).collect();
    keys.sort();
    for key in keys {
        if ask(&[b"TYPE", key]).text() != "stream" {
            continue;
        }
        let info = ask(&[b"XINFO", b"STREAM", key, b"FULL"]);
        for group in info.field("groups").and_then(Value::items).unwrap_or_default() {
            for consumer in group.field("consumers").and_then(Value::items).unwrap_or_default() {
                for name in ["seen-time", "active-time"] {
                    let time = consumer.field(name).and_then(Value::integer);
                    times.extend(time.map(|time| (format!("{} {name}", key.escape_ascii()), time)));
                }
            }
        }
    }
    times
}

/// Exchanges files with the server that an environment variable names, in these versions of the format.
fn travel(variable: &str, versions: &[Version], same_digest: bool) {
    let args = ["--enable-debug-command", "yes"];
    let Some(server) = Pair::start_named(variable, &args) else { return };
    let known = tables::known_commands(&server);
    let mut client = server.connect().expect("just started");
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 6) {
        for &version in versions {
            let fields = matches!(version, Version::Redis12 | Version::Valkey80) && known.contains("hpexpireat");
            ask(&mut client, &["FLUSHALL"]);
            let tight = seed % 2 == 1;
            stream::set_limits(&mut client, tight);
            // Such a file tells when or how often a key was used, and is written plainly or not.
            let policy = ["noeviction", "allkeys-lru", "allkeys-lfu"][seed as usize % 3];
            ask(&mut client, &["CONFIG", "SET", "maxmemory-policy", policy, "maxmemory", "1gb"]);
            ask(&mut client, &["CONFIG", "SET", "rdbcompression", if seed % 4 < 2 { "yes" } else { "no" }]);
            let takes_part = |name: &str| FILLERS.contains(&name) && wanted(name) && known.contains(name);
            fill(&mut client, &mut Generator::new(seed, differences::is_barred, takes_part));
            set_deadlines(&mut client, &mut Rng::new(seed), fields);
            ask(&mut client, &["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
            let at = format!("{variable} seed {seed} {version:?}");
            check_both_ways(&server, &mut client, (version, seed % 3 != 0), (seed % 4 < 2, same_digest), &at);
        }
    }
}

fn check_both_ways(
    server: &Server,
    client: &mut Client,
    (version, compress): (Version, bool),
    (tight, same_digest): (bool, bool),
    at: &str,
) {
    let (held, digest) = (contents_of(client), ask(client, &["DEBUG", "DIGEST"]).text());
    let seen = consumers(&mut |line| ask(client, line));
    assert!(held.len() > 50, "{at}: hardly anything to save");
    ask(client, &["SAVE"]);
    let mut memory = Memory::with_config(aleadb::config::Config {
        enable_debug_command: aleadb::config::Access::Yes,
        ..aleadb::config::Config::default()
    });
    assert!(START_MS < DEADLINES_FROM_MS as i64);
    let functions = load(&mut memory, server, tight);
    if let Some(found) = contents::difference(&held, &plain(contents::contents(&mut memory)), 0) {
        panic!("{at}, theirs and what we read:\n{found}");
    }
    memory.server.check();
    if same_digest {
        let ours = memory.run("DEBUG DIGEST");
        assert!(ours == format!(r"+{digest}\r\n"), "{at}: {:#?}", differing_keys(&mut memory, client));
    }
    bless_some(&mut memory);
    fs::write(server.dir().join("dump.rdb"), written(&memory, &functions, version, compress)).expect("its directory");
    assert_eq!(ask(client, &["DEBUG", "RELOAD", "NOSAVE"]).text(), "OK", "{at}");
    if let Some(found) = contents::difference(&held, &contents_of(client), 0) {
        panic!("{at}, theirs before and after:\n{found}");
    }
    assert_eq!(ask(client, &["DEBUG", "DIGEST"]).text(), digest, "{at}");
    assert_eq!(functions.len(), 1, "{at}");
    let libraries = ask(client, &["FUNCTION", "LIST"]);
    assert_eq!(libraries.items().map(<[_]>::len), Some(1), "{at}");
    // Version 10 does not tell when a consumer was active.
    if version != Version::Redis10 {
        assert_eq!(consumers(&mut |line| ask(client, line)), seen, "{at}");
    }
}

#[test]
fn dump_files_travel_both_ways_with_redis_7_0() {
    travel("ALEADB_REDIS_7", &[Version::Redis10], false);
}

#[test]
fn dump_files_travel_both_ways_with_redis_8_2() {
    travel("ALEADB_REDIS_8", &[Version::Redis11, Version::Redis12], true);
}

#[test]
fn dump_files_travel_both_ways_with_redis_8_6() {
    travel("ALEADB_REDIS_8_6", &[Version::Redis10, Version::Redis12], true);
}

#[test]
fn dump_files_travel_both_ways_with_valkey_9_1() {
    travel("ALEADB_VALKEY_9", &[Version::Redis11, Version::Valkey80], false);
}
