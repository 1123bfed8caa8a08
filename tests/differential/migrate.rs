//! Keys move between our server and others: what MIGRATE answers where Redis answers the same, and that what arrives is what left.

use crate::pair::{Pair, ask};
use crate::resp::Client;
use crate::server::Server;

/// A key of each type, small and large.
fn fill(client: &mut Client) {
    let line = |client: &mut Client, words: &[&str]| {
        let reply = ask(client, words);
        assert!(!reply.is_error(), "{words:?}: {reply:?}");
    };
    line(client, &["SET", "text", "v"]);
    line(client, &["SET", "number", "-12"]);
    line(client, &["SET", "long", &"abc".repeat(300_000)]);
    line(client, &["SET", "timed", "v", "PX", "100000000"]);
    line(client, &["PFADD", "hll", "a", "b", "c"]);
    line(client, &["SADD", "ints", "1", "2", "300"]);
    line(client, &["SADD", "words", "a", "b"]);
    line(client, &["XADD", "stream", "1-1", "f", "v"]);
    line(client, &["XADD", "stream", "2-1", "f", "v"]);
    line(client, &["XGROUP", "CREATE", "stream", "group", "0"]);
    line(client, &["XREADGROUP", "GROUP", "group", "consumer", "COUNT", "1", "STREAMS", "stream", ">"]);
    for (size, count) in [("small", 3), ("large", 6000)] {
        for first in (0..count).step_by(500) {
            let last = count.min(first + 500);
            for (command, key) in [("RPUSH", "list"), ("SADD", "set"), ("ZADD", "zset"), ("HSET", "hash")] {
                let mut words = vec![command.to_owned(), format!("{key}:{size}")];
                for n in first..last {
                    match command {
                        "ZADD" => words.extend([n.to_string(), format!("member:{n}")]),
                        "HSET" => words.extend([format!("field:{n}"), format!("value:{n}")]),
                        _ => words.push(format!("element:{n}")),
                    }
                }
                line(client, &words.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
    }
}

/// What there is, as any server of Redis's kind shows it.
fn contents(client: &mut Client) -> Vec<(String, String)> {
    let mut keys: Vec<String> =
        ask(client, &["KEYS", "*"]).items().unwrap_or_default().iter().map(|key| key.text()).collect();
    keys.sort();
    let shown = |client: &mut Client, key: &String| {
        let kind = ask(client, &["TYPE", key]).text();
        let words: Vec<&str> = match kind.as_str() {
            "string" => vec!["GET", key],
            "list" => vec!["LRANGE", key, "0", "-1"],
            "set" => vec!["SORT", key, "ALPHA"],
            "zset" => vec!["ZRANGE", key, "0", "-1", "WITHSCORES"],
            "hash" => vec!["HGETALL", key],
            "stream" => vec!["XRANGE", key, "-", "+"],
            other => panic!("{key} is a {other}"),
        };
        let value = ask(client, &words);
        let mut value = format!("{kind} {value:?}");
        if kind == "hash" {
            // In no particular order.
            let fields = ask(client, &["HGETALL", key]);
            let fields = fields.items().unwrap_or_default();
            let mut pairs: Vec<String> = fields.chunks(2).map(|pair| format!("{pair:?}")).collect();
            pairs.sort();
            value = pairs.concat();
        } else if kind == "stream" {
            value += &format!("{:?}", ask(client, &["XPENDING", key, "group"]));
            let consumers = ask(client, &["XINFO", "CONSUMERS", key, "group"]);
            value += &consumers.items().unwrap_or_default().len().to_string();
        }
        value += if ask(client, &["PTTL", key]).integer() == Some(-1) { "" } else { " timed" };
        value
    };
    keys.iter().map(|key| (key.clone(), shown(client, key))).collect()
}

/// Has a server move all of its keys to another.
fn move_all(from: &mut Client, to: &Server, db: &str) {
    let keys: Vec<String> =
        ask(from, &["KEYS", "*"]).items().unwrap_or_default().iter().map(|key| key.text()).collect();
    let port = to.addr().port().to_string();
    let mut line = vec!["MIGRATE", "127.0.0.1", &port, "", db, "20000", "KEYS"];
    line.extend(keys.iter().map(String::as_str));
    let reply = ask(from, &line);
    assert_eq!(reply.text(), "OK", "{reply:?}");
    assert_eq!(ask(from, &["DBSIZE"]).integer(), Some(0));
}

/// All keys go there and back.
fn travel(ours: &Server, theirs: &Server) {
    let (mut subject, mut other) = (ours.connect().expect("just started"), theirs.connect().expect("just started"));
    // Nothing before another database is chosen.
    for db in ["0", "5"] {
        ask(&mut subject, &["FLUSHALL"]);
        ask(&mut other, &["FLUSHALL"]);
        fill(&mut subject);
        let before = contents(&mut subject);
        move_all(&mut subject, theirs, db);
        ask(&mut other, &["SELECT", db]);
        assert!(contents(&mut other) == before, "what has arrived is not what left");
        move_all(&mut other, ours, "0");
        assert!(contents(&mut subject) == before, "what has come back is not what left");
        ask(&mut other, &["SELECT", "0"]);
    }
    // The other fills it.
    ask(&mut subject, &["FLUSHALL"]);
    fill(&mut other);
    let before = contents(&mut other);
    move_all(&mut other, ours, "0");
    assert!(contents(&mut subject) == before);
    move_all(&mut subject, theirs, "0");
    assert!(contents(&mut other) == before);
    // Libraries of functions have a payload of their own.
    ask(
        &mut subject,
        &["FUNCTION", "LOAD", "#!lua name=travels\nredis.register_function('travels', function() return 7 end)"],
    );
    for [from, to] in [[ours, theirs], [theirs, ours]] {
        let [mut from, mut to] = [from, to].map(|server| server.connect().expect("it runs"));
        let payload = ask(&mut from, &["FUNCTION", "DUMP"]);
        ask(&mut to, &["FUNCTION", "FLUSH"]);
        let payload = payload.bytes().expect("a payload");
        let restored = ask(&mut to, &[b"FUNCTION".as_slice(), b"RESTORE", payload]);
        assert_eq!(restored.text(), "OK");
        assert_eq!(ask(&mut to, &["FCALL", "travels", "0"]).integer(), Some(7));
    }
}

#[test]
fn keys_move_to_redis_7_and_back() {
    if let Some(pair) = Pair::start_with((7, 0, 0), &[]) {
        travel(&pair.subject, &pair.oracle);
    }
}

#[test]
fn keys_move_to_redis_8_and_back() {
    for version in [(8, 2, 0), (8, 6, 0)] {
        if let Some(pair) = Pair::start_with(version, &[]) {
            travel(&pair.subject, &pair.oracle);
        }
    }
}

#[test]
fn keys_move_to_valkey_and_back() {
    if let Some(valkey) = Pair::start_named("ALEADB_VALKEY_9", &[]) {
        travel(&Pair::start_subject(&[]), &valkey);
    }
}

/// Deadlines of fields travel to those that know them.
#[test]
fn deadlines_of_fields_move_as_well() {
    let move_fields = |ours: &Server, theirs: &Server, version: &str| {
        let (mut subject, mut other) = (ours.connect().expect("just started"), theirs.connect().expect("just started"));
        ask(&mut subject, &["CONFIG", "SET", "rdb-format-version", version]);
        for fields in [2, 3000] {
            for n in 0..fields {
                ask(&mut subject, &["HSET", "h", &format!("f{n}"), "v"]);
            }
            ask(&mut subject, &["HPEXPIREAT", "h", "4102444800000", "FIELDS", "1", "f1"]);
            move_all(&mut subject, theirs, "0");
            let deadlines = |client: &mut Client| {
                let reply = ask(client, &["HPEXPIRETIME", "h", "FIELDS", "2", "f0", "f1"]);
                reply.items().unwrap_or_default().iter().filter_map(|deadline| deadline.integer()).collect::<Vec<_>>()
            };
            assert_eq!(deadlines(&mut other), [-1, 4_102_444_800_000], "{fields}");
            assert_eq!(ask(&mut other, &["HLEN", "h"]).integer(), Some(fields));
            move_all(&mut other, ours, "0");
            assert_eq!(deadlines(&mut subject), [-1, 4_102_444_800_000], "{fields}");
            assert_eq!(ask(&mut subject, &["DEL", "h"]).integer(), Some(1));
        }
    };
    if let Some(pair) = Pair::start_with((8, 2, 0), &[]) {
        move_fields(&pair.subject, &pair.oracle, "0");
    }
    if let Some(valkey) = Pair::start_named("ALEADB_VALKEY_9", &[]) {
        move_fields(&Pair::start_subject(&[]), &valkey, "80");
    }
}

/// Both are asked the same, with a third server as the target, which each of them finds in the same state.
#[test]
fn answers_are_those_of_redis() {
    let Some(pair) = Pair::start_with((8, 2, 0), &[]) else { return };
    let target = Pair::start_subject(&["--requirepass", "secret"]);
    let mut sink = target.connect().expect("just started");
    ask(&mut sink, &["AUTH", "secret"]);
    let port = target.addr().port().to_string();
    let closed = crate::server::free_port().expect("a port is free").to_string();
    let lines: Vec<Vec<&str>> = vec![
        vec!["MIGRATE", "127.0.0.1", &port, "a", "0", "2000"],
        vec!["MIGRATE", "127.0.0.1", &port, "a", "0", "2000", "AUTH", "wrong"],
        vec!["MIGRATE", "127.0.0.1", &port, "a", "0", "2000", "AUTH2", "nobody", "secret"],
        vec!["MIGRATE", "127.0.0.1", &port, "a", "0", "2000", "AUTH2", "default", "secret"],
        vec!["MIGRATE", "127.0.0.1", &port, "a", "0", "2000", "AUTH", "secret"],
        vec!["MIGRATE", "127.0.0.1", &port, "b", "0", "0", "COPY", "AUTH", "secret"],
        vec!["MIGRATE", "127.0.0.1", &port, "b", "0", "-5", "copy", "auth", "secret"],
        vec!["MIGRATE", "127.0.0.1", &port, "b", "0", "2000", "replace", "copy", "auth", "secret"],
        vec!["MIGRATE", "127.0.0.1", &port, "", "0", "2000", "AUTH", "secret", "KEYS", "b", "none", "c"],
        vec!["MIGRATE", "127.0.0.1", &port, "", "99", "2000", "AUTH", "secret", "KEYS", "d"],
        vec!["MIGRATE", "127.0.0.1", &port, "", "1", "2000", "AUTH", "secret", "KEYS", "d", "d"],
        vec!["MIGRATE", "127.0.0.1", &port, "none", "0", "2000"],
        vec!["MIGRATE", "127.0.0.1", &port, "", "0", "2000", "KEYS"],
        vec!["MIGRATE", "127.0.0.1", &port, "e", "0", "2000", "KEYS", "e"],
        vec!["MIGRATE", "127.0.0.1", &port, "e", "x", "y", "WHAT"],
        vec!["MIGRATE", "127.0.0.1", &port, "e", "0", "y"],
        vec!["MIGRATE", "127.0.0.1", &port, "e", "x", "0"],
        vec!["MIGRATE", "127.0.0.1", &closed, "e", "0", "2000"],
        vec!["MIGRATE", "127.0.0.1", "port", "e", "0", "2000"],
        vec!["MIGRATE", "nosuch.invalid", &port, "e", "0", "2000"],
    ];
    let answers = [&pair.subject, &pair.oracle].map(|server| {
        ask(&mut sink, &["FLUSHALL"]);
        let mut client = server.connect().expect("just started");
        ask(&mut client, &["MSET", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5"]);
        let answer = |line: &Vec<&str>| {
            // A refusal that comes of a wrong password takes its time.
            let reply = client.call(line).expect("still running").raw.escape_ascii().to_string();
            let left = client.call(&["KEYS", "*"]).expect("still running").value;
            let mut left: Vec<String> = left.items().unwrap_or_default().iter().map(|key| key.text()).collect();
            left.sort();
            (line.join(" "), reply, left)
        };
        lines.iter().map(answer).collect::<Vec<_>>()
    });
    let differing: Vec<_> = answers[0].iter().zip(&answers[1]).filter(|(ours, theirs)| ours != theirs).collect();
    assert!(differing.is_empty(), "{differing:#?}");
}
