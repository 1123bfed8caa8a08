//! Dumps travel: what either server dumps the other restores, and both hold the same then.
//!
//! One server is filled by generated lines. Each of its keys is dumped, restored in the other, dumped there and restored
//! where it came from, so that both hold values they have read: in the representations that reading gives them.

use crate::differences;
use crate::generate::Generator;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value, encode};
use crate::{number, state, stream, tables, wanted};

/// Lines of these commands fill the keys.
const FILLERS: &[&str] = &[
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
    "hpexpireat",
    "hpersist",
    "xadd",
    "xdel",
    "xgroup|create",
    "xgroup|createconsumer",
    "xreadgroup",
    "xclaim",
    "xack",
    "pexpireat",
];

const LINES: usize = 3_000;

/// What a server dumps of a key, and when the key expires: 0 for never.
fn dumped(client: &mut Client, key: &[u8]) -> (Vec<u8>, String) {
    let payload = ask(client, &[b"DUMP".as_slice(), key]);
    let deadline_ms = match ask(client, &[b"PEXPIRETIME".as_slice(), key]) {
        Value::Integer(-1) => "0".to_owned(),
        Value::Integer(deadline_ms) => deadline_ms.to_string(),
        other => panic!("PEXPIRETIME answered {other:?}"),
    };
    let payload = payload.bytes().unwrap_or_else(|| panic!("DUMP answered {payload:?}")).to_vec();
    (payload, deadline_ms)
}

fn restore(client: &mut Client, key: &[u8], payload: &[u8], deadline_ms: &str) {
    let line: [&[u8]; 6] = [b"RESTORE", key, deadline_ms.as_bytes(), payload, b"REPLACE", b"ABSTTL"];
    let reply = ask(client, &line);
    assert_eq!(reply.text(), "OK", "{} from {}", key.escape_ascii(), payload.escape_ascii());
}

fn fill(client: &mut Client, generator: &mut Generator) {
    let lines: Vec<_> = (0..LINES).map(|_| generator.line()).collect();
    for batch in lines.chunks(50) {
        let bytes: Vec<u8> = batch.iter().flat_map(|line| encode(line)).collect();
        client.send_raw(&bytes).expect("still running");
        for line in batch {
            client.read_reply().unwrap_or_else(|error| panic!("{}: {error}", stream::quoted(line)));
        }
    }
}

#[test]
fn dumps_travel_both_ways() {
    let Some(pair) = Pair::start(&[]) else { return };
    if pair.is_target_version() {
        travel(&pair);
    }
}

/// Data comes from older servers, and may have to go back to them.
#[test]
fn dumps_travel_both_ways_with_redis_8_2() {
    if let Some(pair) = Pair::start_with((8, 2, 0), &[]) {
        travel(&pair);
    }
}

/// Compressed nodes are dumped as they are held, so the length of a payload tells whether the same nodes are compressed. It differs by
/// a few bytes: what Redis finds to refer to depends on what was in its memory before.
#[test]
fn the_same_nodes_of_lists_are_compressed_and_dumped() {
    let Some(pair) = Pair::start_with((8, 2, 0), &[]) else { return };
    let mut clients = [&pair.subject, &pair.oracle].map(|server| server.connect().expect("just started"));
    for (depth, size) in [("1", "-2"), ("2", "-1"), ("3", "20")] {
        let [ours, theirs] = clients.each_mut().map(|client| {
            fill_list(client, depth, size);
            (dumped(client, b"l").0, ask(client, &["LRANGE", "l", "0", "-1"]))
        });
        assert!(ours.1 == theirs.1, "depth {depth}: other elements");
        assert!(ours.0.len().abs_diff(theirs.0.len()) * 100 < theirs.0.len(), "{} {}", ours.0.len(), theirs.0.len());
        for (client, payload) in clients.iter_mut().zip([&theirs.0, &ours.0]) {
            restore(client, b"l", payload, "0");
            assert!(ask(client, &["LRANGE", "l", "0", "-1"]) == ours.1, "depth {depth}: restored otherwise");
        }
    }
}

/// A list of many nodes, changed at its ends and in its midst.
fn fill_list(client: &mut Client, depth: &str, size: &str) {
    ask(client, &["FLUSHALL"]);
    ask(client, &["CONFIG", "SET", "list-compress-depth", depth, "list-max-listpack-size", size]);
    ask(client, &["CONFIG", "SET", "rdbcompression", "no"]);
    for n in 0..6000 {
        let text = if n % 700 == 0 { "big".repeat(9000) } else { format!("element:{n}:{}", n % 7) };
        ask(client, &[if n % 3 == 0 { "LPUSH" } else { "RPUSH" }, "l", &text]);
    }
    for line in ["LINSERT l BEFORE element:3000:4 new", "LSET l 2500 set", "LTRIM l 40 -70", "LREM l 0 element:1402:2"]
    {
        ask(client, &line.split(' ').collect::<Vec<_>>());
    }
}

fn travel(pair: &Pair) {
    let [ours, theirs] = [&pair.subject, &pair.oracle].map(tables::known_commands);
    let connect = |server: &crate::server::Server| server.connect().expect("just started");
    let (mut subject, mut oracle) = (connect(&pair.subject), connect(&pair.oracle));
    // A lower version has no form for a hash whose fields had deadlines once, which is but another representation.
    ask(&mut subject, &["CONFIG", "SET", "rdb-format-version", "12"]);
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 8) {
        for client in [&mut subject, &mut oracle] {
            ask(client, &["FLUSHALL"]);
            stream::set_limits(client, seed % 4 < 2);
        }
        let takes_part =
            |name: &str| FILLERS.contains(&name) && wanted(name) && ours.contains(name) && theirs.contains(name);
        let (from, to) = if seed % 2 == 0 { (&mut subject, &mut oracle) } else { (&mut oracle, &mut subject) };
        fill(from, &mut Generator::new(seed, differences::is_barred, takes_part));
        let keys = ask(from, &["KEYS", "*"]);
        for key in keys.items().unwrap_or_default() {
            let key = key.bytes().unwrap_or_default();
            let (payload, deadline_ms) = dumped(from, key);
            restore(to, key, &payload, &deadline_ms);
            let (payload, deadline_ms) = dumped(to, key);
            restore(from, key, &payload, &deadline_ms);
        }
        if let Some(found) = state::difference(pair) {
            panic!("seed {seed}: {found}");
        }
    }
}
