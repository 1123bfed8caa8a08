//! Keys of any type, walking them, OBJECT, and databases as a whole. The replies are those of Redis 8.2.3.

use std::collections::BTreeSet;

use aleadb::resp::reply::Proto;
use aleadb::server::background::Background;

use crate::memory::Memory;

/// Sends the lines to two servers, one in each protocol, and compares the replies; absence has its own form in RESP3.
pub fn expect_both(rows: &[(&str, &str)]) {
    for resp3 in [false, true] {
        let mut m = Memory::new();
        if resp3 {
            speak_resp3(&mut m);
        }
        for (line, reply) in rows {
            let reply = if resp3 { reply.replace(r"$-1\r\n", r"_\r\n") } else { String::from(*reply) };
            assert_eq!(m.run(line), reply, "{line} (RESP3: {resp3})");
        }
    }
}

/// Runs lines in both protocols: the reply in RESP2, and in RESP3 where that is another one.
pub fn expect_each(rows: &[(&str, &str, &str)]) {
    for proto in [Proto::Resp2, Proto::Resp3] {
        let mut m = Memory::new();
        let client = m.client;
        m.session(client).proto = proto;
        for (line, resp2, resp3) in rows {
            let reply = if proto == Proto::Resp3 && !resp3.is_empty() { resp3 } else { resp2 };
            assert_eq!(m.run(line), *reply, "{line} ({proto:?})");
        }
    }
}

fn speak_resp3(m: &mut Memory) {
    let client = m.client;
    m.session(client).proto = Proto::Resp3;
}

fn select(m: &mut Memory, db: usize) {
    assert_eq!(m.run(&format!("SELECT {db}")), r"+OK\r\n");
}

/// Walks with SCAN until the cursor is 0; the keys, and how many calls it took.
fn scan_all(m: &mut Memory, options: &str) -> (Vec<String>, usize) {
    let (mut cursor, mut keys, mut calls) = (String::from("0"), Vec::new(), 0);
    loop {
        let reply = m.run(&format!("SCAN {cursor} {options}"));
        let fields: Vec<&str> = reply.split(r"\r\n").filter(|field| !field.is_empty()).collect();
        cursor = String::from(fields[2]);
        let elements: usize = fields[3][1..].parse().expect("a length");
        assert_eq!(fields.len(), 4 + 2 * elements, "{reply}");
        keys.extend(fields[4..].iter().skip(1).step_by(2).map(|key| String::from(*key)));
        calls += 1;
        assert!(calls < 100_000, "the walk does not end");
        if cursor == "0" {
            return (keys, calls);
        }
    }
}

#[test]
fn del_and_unlink_count_the_keys_that_were_there() {
    expect_both(&[
        ("DEL a", r":0\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("SET b 2", r"+OK\r\n"),
        ("DEL a b c a", r":2\r\n"),
        ("DBSIZE", r":0\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("UNLINK a a", r":1\r\n"),
        ("GET a", r"$-1\r\n"),
        ("DEL", r"-ERR wrong number of arguments for \'del\' command\r\n"),
        ("UNLINK", r"-ERR wrong number of arguments for \'unlink\' command\r\n"),
    ]);
}

#[test]
fn big_values_are_freed_in_the_background() {
    let mut m = Memory::new();
    m.server.background = Background::new().expect("a pair of sockets");
    let value = vec![b'x'; 1 << 20];
    for name in ["DEL", "UNLINK"] {
        m.raw(&[b"SET", b"k", &value]);
        assert_eq!(m.run(&format!("{name} k")), r":1\r\n");
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while m.server.background.pending() > 0 {
        assert!(std::time::Instant::now() < deadline, "the values are not freed");
        std::thread::yield_now();
    }
    assert_eq!(m.server.stats.dirty, 4);
}

#[test]
fn exists_type_and_touch_tell_what_is_there() {
    expect_both(&[
        ("SET a 1", r"+OK\r\n"),
        ("EXISTS a a b", r":2\r\n"),
        ("TYPE a", r"+string\r\n"),
        ("TYPE b", r"+none\r\n"),
        ("TOUCH a b a", r":2\r\n"),
        ("EXISTS", r"-ERR wrong number of arguments for \'exists\' command\r\n"),
        ("TYPE", r"-ERR wrong number of arguments for \'type\' command\r\n"),
        ("TYPE a b", r"-ERR wrong number of arguments for \'type\' command\r\n"),
        ("TOUCH", r"-ERR wrong number of arguments for \'touch\' command\r\n"),
    ]);
}

#[test]
fn lookups_count_hits_and_misses_as_redis_does() {
    let mut m = Memory::new();
    m.run("SET a 1");
    for line in ["EXISTS a b", "TYPE a", "TYPE b", "TOUCH a b", "TTL a", "PTTL b", "OBJECT ENCODING a", "COPY b c"] {
        m.run(line);
    }
    let stats = m.server.dbs[0].stats();
    assert_eq!((stats.hits, stats.misses), (5, 5));
    for line in ["DEL b", "RENAME b c", "MOVE b 1", "EXPIRE b 1", "PERSIST b", "SCAN 0", "KEYS *", "RANDOMKEY"] {
        m.run(line);
    }
    let stats = m.server.dbs[0].stats();
    assert_eq!((stats.hits, stats.misses), (5, 5));
}

#[test]
fn keys_answers_the_names_that_match() {
    expect_both(&[
        ("KEYS *", r"*0\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("KEYS *", r"*1\r\n$1\r\na\r\n"),
        ("KEYS x*", r"*0\r\n"),
        ("KEYS [a-c]", r"*1\r\n$1\r\na\r\n"),
        ("KEYS \"\"", r"*0\r\n"),
        ("SET \"\" e", r"+OK\r\n"),
        ("KEYS \"\"", r"*1\r\n$0\r\n\r\n"),
        ("KEYS **", r"*1\r\n$1\r\na\r\n"),
        ("DEL a", r":1\r\n"),
        ("KEYS *", r"*1\r\n$0\r\n\r\n"),
        ("KEYS", r"-ERR wrong number of arguments for \'keys\' command\r\n"),
        ("KEYS a b", r"-ERR wrong number of arguments for \'keys\' command\r\n"),
    ]);
}

#[test]
fn keys_of_a_large_database_are_all_there_once() {
    let mut m = Memory::new();
    let names: BTreeSet<String> = (0..12_345).map(|i| format!("key:{i}")).collect();
    names.iter().for_each(|name| drop(m.run(&format!("SET {name} 1"))));
    for (pattern, count) in [("*", 12_345), ("key:*", 12_345), ("key:1234*", 6), ("key:?", 10)] {
        let reply = m.run(&format!("KEYS {pattern}"));
        let fields: Vec<&str> = reply.split(r"\r\n").filter(|field| !field.is_empty()).collect();
        assert_eq!(fields[0], format!("*{count}"), "{pattern}");
        let found: BTreeSet<String> = fields[2..].iter().step_by(2).map(|name| String::from(*name)).collect();
        assert_eq!((found.len(), fields.len()), (count, 1 + 2 * count));
        assert!(found.is_subset(&names));
    }
}

#[test]
fn scan_reads_its_options_as_redis_does() {
    let one = r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n";
    let none = r"*2\r\n$1\r\n0\r\n*0\r\n";
    let syntax = r"-ERR syntax error\r\n";
    let cursor = r"-ERR invalid cursor\r\n";
    let integer = r"-ERR value is not an integer or out of range\r\n";
    expect_both(&[
        ("SCAN 0", none),
        ("SET a 1", r"+OK\r\n"),
        ("SCAN 0", one),
        ("SCAN \" 0\"", one),
        ("SCAN +0", one),
        ("SCAN 18446744073709551615", none),
        ("SCAN", r"-ERR wrong number of arguments for \'scan\' command\r\n"),
        ("SCAN x", cursor),
        ("SCAN -1", cursor),
        ("SCAN 1.5", cursor),
        ("SCAN 18446744073709551616", cursor),
        ("SCAN \"\"", cursor),
        ("SCAN \" 1x\"", cursor),
        ("SCAN x FOO", cursor),
        ("SCAN 0 COUNT 9223372036854775807", one),
        ("SCAN 0 COUNT", syntax),
        ("SCAN 0 COUNT 0", syntax),
        ("SCAN 0 COUNT -1", syntax),
        ("SCAN 0 COUNT x", integer),
        ("SCAN 0 COUNT 9223372036854775808", integer),
        ("SCAN 0 COUNT 0 FOO", syntax),
        ("SCAN 0 MATCH", syntax),
        ("SCAN 0 FOO", syntax),
        ("SCAN 0 FOO bar", syntax),
        ("SCAN 0 TYPE", syntax),
        ("SCAN 0 TYPE nosuch FOO", syntax),
        ("SCAN 0 TYPE string", one),
        ("SCAN 0 type STRING count 100", one),
        ("SCAN 0 TYPE list", none),
        ("SCAN 0 TYPE nosuch", none),
        ("SCAN 0 TYPE \"\"", none),
        ("SCAN 0 NOVALUES", r"-ERR NOVALUES option can only be used in HSCAN\r\n"),
        ("SCAN 0 MATCH b MATCH a COUNT 1 COUNT 100", one),
        ("SCAN 0 MATCH b", none),
        ("DEL a", r":1\r\n"),
        ("SET \"\" e", r"+OK\r\n"),
        ("SCAN 0 MATCH *", r"*2\r\n$1\r\n0\r\n*1\r\n$0\r\n\r\n"),
        ("SCAN 0 MATCH **", none),
    ]);
}

#[test]
fn scan_walks_everything_and_count_bounds_each_step() {
    let mut m = Memory::new();
    let names: BTreeSet<String> = (0..5_000).map(|i| format!("key:{i}")).collect();
    names.iter().for_each(|name| drop(m.run(&format!("SET {name} 1"))));
    for (options, count) in [("", 10), ("COUNT 1", 1), ("COUNT 100", 100), ("COUNT 1000000", 5_000)] {
        let (keys, calls) = scan_all(&mut m, options);
        assert_eq!(keys.len(), 5_000, "{options}: nothing comes twice while nothing changes");
        assert_eq!(keys.into_iter().collect::<BTreeSet<_>>(), names, "{options}");
        assert!(calls <= 5_000 / count + 1, "{options}: at least COUNT keys a call, {calls} calls");
    }
    let (matches, calls) = scan_all(&mut m, "MATCH key:123? COUNT 50");
    assert_eq!((matches.len(), calls > 1), (10, true), "COUNT is of keys looked at, not of matches");
}

#[test]
fn randomkey_draws_every_key() {
    expect_both(&[
        ("RANDOMKEY", r"$-1\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("RANDOMKEY", r"$1\r\na\r\n"),
        ("RANDOMKEY x", r"-ERR wrong number of arguments for \'randomkey\' command\r\n"),
    ]);
    let mut m = Memory::new();
    (0..20).for_each(|i| drop(m.run(&format!("SET k{i} 1"))));
    let drawn: BTreeSet<String> = (0..1_000).map(|_| m.run("RANDOMKEY")).collect();
    assert_eq!(drawn.len(), 20);
}

#[test]
fn rename_moves_value_and_deadline_over_the_target() {
    expect_both(&[
        ("RENAME a b", r"-ERR no such key\r\n"),
        ("RENAME a a", r"-ERR no such key\r\n"),
        ("RENAMENX a b", r"-ERR no such key\r\n"),
        ("RENAMENX a a", r"-ERR no such key\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("RENAME a a", r"+OK\r\n"),
        ("RENAMENX a a", r":0\r\n"),
        ("GET a", r"$1\r\n1\r\n"),
        ("RENAME a b", r"+OK\r\n"),
        ("EXISTS a b", r":1\r\n"),
        ("SET a x", r"+OK\r\n"),
        ("RENAMENX a b", r":0\r\n"),
        ("DEL b", r":1\r\n"),
        ("RENAMENX a b", r":1\r\n"),
        ("SET a y", r"+OK\r\n"),
        ("PEXPIRE a 100000", r":1\r\n"),
        ("RENAME a b", r"+OK\r\n"),
        ("GET b", r"$1\r\ny\r\n"),
        ("TTL b", r":100\r\n"),
        ("SET c z", r"+OK\r\n"),
        ("RENAME c b", r"+OK\r\n"),
        ("TTL b", r":-1\r\n"),
        ("RENAME a", r"-ERR wrong number of arguments for \'rename\' command\r\n"),
        ("RENAMENX a b c", r"-ERR wrong number of arguments for \'renamenx\' command\r\n"),
    ]);
}

#[test]
fn copy_copies_value_and_deadline_to_any_database() {
    let same = r"-ERR source and destination objects are the same\r\n";
    let syntax = r"-ERR syntax error\r\n";
    let integer = r"-ERR value is not an integer or out of range\r\n";
    let range = r"-ERR DB index is out of range\r\n";
    expect_both(&[
        ("COPY a b", r":0\r\n"),
        ("SET b v", r"+OK\r\n"),
        ("COPY b b", same),
        ("COPY b b DB 0", same),
        ("COPY zz zz", same),
        ("COPY b c", r":1\r\n"),
        ("COPY b c", r":0\r\n"),
        ("SET b w", r"+OK\r\n"),
        ("COPY b c REPLACE", r":1\r\n"),
        ("GET c", r"$1\r\nw\r\n"),
        ("COPY b c REPLACE replace", r":1\r\n"),
        ("COPY b c DB", syntax),
        ("COPY b c FOO", syntax),
        ("COPY b c DB 1 FOO", syntax),
        ("COPY b c DB x", integer),
        ("COPY b c DB 99999999999999999999", integer),
        ("COPY b c DB 99999999999", r"-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"),
        ("COPY b c DB -1", range),
        ("COPY b c DB 16", range),
        ("COPY b c DB 99 FOO", range),
        ("EXPIRE b 100", r":1\r\n"),
        ("COPY b b DB 1", r":1\r\n"),
        ("COPY b b DB 1", r":0\r\n"),
        ("COPY b b REPLACE DB 1", r":1\r\n"),
        ("COPY b d DB 1 DB 2", r":1\r\n"),
        ("COPY nokey b DB 1", r":0\r\n"),
        ("SELECT 1", r"+OK\r\n"),
        ("TTL b", r":100\r\n"),
        ("DBSIZE", r":1\r\n"),
        ("SELECT 2", r"+OK\r\n"),
        ("KEYS *", r"*1\r\n$1\r\nd\r\n"),
        ("COPY", r"-ERR wrong number of arguments for \'copy\' command\r\n"),
        ("COPY a", r"-ERR wrong number of arguments for \'copy\' command\r\n"),
    ]);
}

#[test]
fn move_takes_a_key_to_a_database_that_lacks_it() {
    let range = r"-ERR DB index is out of range\r\n";
    let same = r"-ERR source and destination objects are the same\r\n";
    expect_both(&[
        ("SET b v", r"+OK\r\n"),
        ("EXPIRE b 100", r":1\r\n"),
        ("MOVE b x", r"-ERR value is not an integer or out of range\r\n"),
        ("MOVE b 99999999999", r"-ERR value is out of range, value must between -2147483648 and 2147483647\r\n"),
        ("MOVE b -1", range),
        ("MOVE b 16", range),
        ("MOVE b 0", same),
        ("MOVE nokey 0", same),
        ("MOVE nokey 1", r":0\r\n"),
        ("MOVE b 3", r":1\r\n"),
        ("EXISTS b", r":0\r\n"),
        ("SET b w", r"+OK\r\n"),
        ("MOVE b 3", r":0\r\n"),
        ("SELECT 3", r"+OK\r\n"),
        ("GET b", r"$1\r\nv\r\n"),
        ("TTL b", r":100\r\n"),
        ("MOVE", r"-ERR wrong number of arguments for \'move\' command\r\n"),
        ("MOVE b", r"-ERR wrong number of arguments for \'move\' command\r\n"),
    ]);
}

#[test]
fn select_swapdb_and_dbsize_know_their_databases() {
    let range = r"-ERR DB index is out of range\r\n";
    let wide = r"-ERR value is out of range, value must between -2147483648 and 2147483647\r\n";
    let (first, second) = (r"-ERR invalid first DB index\r\n", r"-ERR invalid second DB index\r\n");
    expect_both(&[
        ("SELECT 16", range),
        ("SELECT -1", range),
        ("SELECT x", r"-ERR value is not an integer or out of range\r\n"),
        ("SELECT 2147483648", wide),
        ("SELECT -2147483649", wide),
        ("SELECT", r"-ERR wrong number of arguments for \'select\' command\r\n"),
        ("SELECT 1 2", r"-ERR wrong number of arguments for \'select\' command\r\n"),
        ("SELECT 15", r"+OK\r\n"),
        ("SET b v", r"+OK\r\n"),
        ("EXPIRE b 100", r":1\r\n"),
        ("SELECT 0", r"+OK\r\n"),
        ("DBSIZE", r":0\r\n"),
        ("SWAPDB x 1", first),
        ("SWAPDB x x", first),
        ("SWAPDB 99999999999 1", first),
        ("SWAPDB 1 x", second),
        ("SWAPDB 1 99999999999", second),
        ("SWAPDB 16 0", range),
        ("SWAPDB 0 16", range),
        ("SWAPDB -1 0", range),
        ("SWAPDB 0 0", r"+OK\r\n"),
        ("SWAPDB 0 15", r"+OK\r\n"),
        ("DBSIZE", r":1\r\n"),
        ("TTL b", r":100\r\n"),
        ("SWAPDB 0", r"-ERR wrong number of arguments for \'swapdb\' command\r\n"),
        ("DBSIZE x", r"-ERR wrong number of arguments for \'dbsize\' command\r\n"),
    ]);
}

#[test]
fn every_connection_selects_for_itself() {
    let mut m = Memory::new();
    select(&mut m, 5);
    m.expect(&[("SET a 1", r"+OK\r\n"), ("SELECT 99", r"-ERR DB index is out of range\r\n"), ("DBSIZE", r":1\r\n")]);
    m.connect();
    m.expect(&[("DBSIZE", r":0\r\n"), ("SWAPDB 0 5", r"+OK\r\n"), ("DBSIZE", r":1\r\n")]);
}

#[test]
fn deadlines_go_with_keys_that_are_renamed_copied_moved_or_swapped() {
    let mut m = Memory::new();
    for line in ["SET a v", "PEXPIRE a 1000", "COPY a b", "RENAME a c", "COPY c d DB 1", "COPY c e", "MOVE e 2"] {
        assert!(!m.run(line).starts_with('-'), "{line}");
    }
    m.run("SWAPDB 0 3");
    assert_eq!(m.server.dbs.iter().map(|db| db.timed()).collect::<Vec<_>>()[..4], [0, 1, 1, 2]);
    m.advance_ms(999);
    assert_eq!(m.server.dbs.iter().map(|db| db.len()).sum::<usize>(), 4);
    m.advance_ms(1);
    assert_eq!(m.server.dbs.iter().map(|db| db.len()).sum::<usize>(), 0, "the wheels know them all");
}

#[test]
fn flushes_empty_one_database_or_all() {
    let syntax = r"-ERR syntax error\r\n";
    expect_both(&[
        ("SET a 1", r"+OK\r\n"),
        ("SELECT 1", r"+OK\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("FLUSHDB foo", syntax),
        ("FLUSHDB SYNC ASYNC", syntax),
        ("FLUSHALL foo", syntax),
        ("FLUSHALL sync x", syntax),
        ("FLUSHDB async", r"+OK\r\n"),
        ("DBSIZE", r":0\r\n"),
        ("FLUSHDB Sync", r"+OK\r\n"),
        ("FLUSHDB", r"+OK\r\n"),
        ("SELECT 0", r"+OK\r\n"),
        ("DBSIZE", r":1\r\n"),
        ("SELECT 1", r"+OK\r\n"),
        ("FLUSHALL ASYNC", r"+OK\r\n"),
        ("FLUSHALL SYNC", r"+OK\r\n"),
        ("FLUSHALL", r"+OK\r\n"),
        ("SELECT 0", r"+OK\r\n"),
        ("DBSIZE", r":0\r\n"),
    ]);
    let mut m = Memory::new();
    for db in 0..3 {
        select(&mut m, db);
        m.run("SET a 1");
    }
    m.run("FLUSHALL");
    assert_eq!(m.server.stats.dirty, 6, "every key that went counts as a change");
}

/// Until the wheel has come round to it, a due key is in the table, but nobody sees it.
#[test]
fn keys_that_are_due_are_invisible_though_not_collected() {
    type Check = (&'static str, &'static str);
    let checks: [Check; 22] = [
        ("DBSIZE", r":1\r\n"),
        ("EXISTS k", r":0\r\n"),
        ("TYPE k", r"+none\r\n"),
        ("TOUCH k", r":0\r\n"),
        ("GET k", r"$-1\r\n"),
        ("DEL k", r":0\r\n"),
        ("UNLINK k", r":0\r\n"),
        ("KEYS *", r"*0\r\n"),
        ("SCAN 0", r"*2\r\n$1\r\n0\r\n*0\r\n"),
        ("RANDOMKEY", r"$-1\r\n"),
        ("RENAME k l", r"-ERR no such key\r\n"),
        ("RENAMENX k l", r"-ERR no such key\r\n"),
        ("COPY k l", r":0\r\n"),
        ("MOVE k 1", r":0\r\n"),
        ("OBJECT ENCODING k", r"$-1\r\n"),
        ("TTL k", r":-2\r\n"),
        ("PTTL k", r":-2\r\n"),
        ("EXPIRETIME k", r":-2\r\n"),
        ("PEXPIRETIME k", r":-2\r\n"),
        ("EXPIRE k 100", r":0\r\n"),
        ("EXPIRE k -1", r":0\r\n"),
        ("PERSIST k", r":0\r\n"),
    ];
    for (line, reply) in checks {
        let mut m = Memory::new();
        m.run("SET k v");
        m.run("PEXPIRE k 10");
        m.clock.advance_ms(10);
        assert_eq!(m.run(line), reply, "{line}");
        m.expect(&[("GET k", r"$-1\r\n"), ("DBSIZE", r":0\r\n")]);
        assert_eq!((m.server.dbs[0].timed(), m.server.dbs[0].stats().expired), (0, 1), "{line}");
    }
}

#[test]
fn due_targets_count_as_free() {
    for (line, reply) in
        [("RENAME a k", r"+OK\r\n"), ("RENAMENX a k", r":1\r\n"), ("COPY a k", r":1\r\n"), ("SELECT 1", r"+OK\r\n")]
    {
        let mut m = Memory::new();
        m.run("SET k v");
        m.run("PEXPIRE k 10");
        m.run("SET a new");
        m.clock.advance_ms(10);
        assert_eq!(m.run(line), reply, "{line}");
        if line.starts_with("SELECT") {
            m.expect(&[("SET k moved", r"+OK\r\n"), ("MOVE k 0", r":1\r\n"), ("SELECT 0", r"+OK\r\n")]);
            m.expect(&[("GET k", r"$5\r\nmoved\r\n")]);
        } else {
            m.expect(&[("GET k", r"$3\r\nnew\r\n")]);
        }
        m.expect(&[("TTL k", r":-1\r\n")]);
    }
}

#[test]
fn object_looks_inside_values() {
    let lfu = concat!(
        r"-ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when ",
        r"switching between policies at runtime LRU and LFU data will take some time to adjust.\r\n"
    );
    let long = format!("SET a {}", "x".repeat(45));
    expect_both(&[
        ("OBJECT ENCODING a", r"$-1\r\n"),
        ("OBJECT FREQ a", r"$-1\r\n"),
        ("OBJECT IDLETIME a", r"$-1\r\n"),
        ("OBJECT REFCOUNT a", r"$-1\r\n"),
        ("SET a 1", r"+OK\r\n"),
        ("OBJECT ENCODING a", r"$3\r\nint\r\n"),
        ("OBJECT FREQ a", lfu),
        ("OBJECT IDLETIME a", r":0\r\n"),
        ("OBJECT REFCOUNT a", r":1\r\n"),
        ("SET a xx", r"+OK\r\n"),
        ("object encoding a", r"$6\r\nembstr\r\n"),
        ("OBJECT REFCOUNT a", r":1\r\n"),
        (&long, r"+OK\r\n"),
        ("OBJECT ENCODING a", r"$3\r\nraw\r\n"),
        ("COPY a b", r":1\r\n"),
        ("OBJECT ENCODING b", r"$3\r\nraw\r\n"),
        ("OBJECT", r"-ERR wrong number of arguments for \'object\' command\r\n"),
        ("OBJECT foo", r"-ERR unknown subcommand \'foo\'. Try OBJECT HELP.\r\n"),
        ("OBJECT foo bar", r"-ERR unknown subcommand \'foo\'. Try OBJECT HELP.\r\n"),
        ("OBJECT ENCODING", r"-ERR wrong number of arguments for \'object|encoding\' command\r\n"),
        ("OBJECT ENCODING a b", r"-ERR wrong number of arguments for \'object|encoding\' command\r\n"),
        ("OBJECT HELP x", r"-ERR wrong number of arguments for \'object|help\' command\r\n"),
        (
            "OBJECT HELP",
            concat!(
                r"*15\r\n+OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n+ENCODING <key>\r\n",
                r"+    Return the kind of internal representation used in order to store the value\r\n",
                r"+    associated with a <key>.\r\n+FREQ <key>\r\n",
                r"+    Return the access frequency index of the <key>. The returned integer is\r\n",
                r"+    proportional to the logarithm of the recent access frequency of the key.\r\n",
                r"+IDLETIME <key>\r\n+    Return the idle time of the <key>, that is the approximated number of\r\n",
                r"+    seconds elapsed since the last access to the key.\r\n+REFCOUNT <key>\r\n",
                r"+    Return the number of references of the value associated with the specified\r\n",
                r"+    <key>.\r\n+HELP\r\n+    Print this help.\r\n"
            ),
        ),
    ]);
}

#[test]
fn idle_time_runs_from_the_last_access() {
    let mut m = Memory::new();
    m.run("SET a 1");
    // Looking at a key, or asking for its deadline, is no access.
    for line in ["OBJECT ENCODING a", "EXISTS a", "TYPE a", "TTL a", "KEYS *", "SCAN 0", "RANDOMKEY"] {
        m.advance_ms(5_000);
        m.run(line);
    }
    m.expect(&[("OBJECT IDLETIME a", r":35\r\n"), ("TOUCH a", r":1\r\n"), ("OBJECT IDLETIME a", r":0\r\n")]);
    for line in ["EXPIRE a 1000", "PERSIST a", "RENAME a b", "RENAME b a", "COPY a c", "GET a"] {
        m.advance_ms(7_000);
        m.run(line);
        m.expect(&[("OBJECT IDLETIME a", if line == "RENAME a b" { r"$-1\r\n" } else { r":0\r\n" })]);
    }
    // A client that asked not to touch keys still creates them anew.
    let client = m.client;
    m.session(client).no_touch = true;
    m.advance_ms(3_000);
    m.expect(&[("GET a", r"$1\r\n1\r\n"), ("OBJECT IDLETIME a", r":3\r\n")]);
    m.expect(&[("RENAME a b", r"+OK\r\n"), ("OBJECT IDLETIME b", r":0\r\n")]);
    m.expect(&[("SET new 1", r"+OK\r\n"), ("OBJECT IDLETIME new", r":0\r\n")]);
}

#[test]
fn randomkey_comes_back_while_a_pause_keeps_keys_that_are_all_due() {
    let mut m = Memory::new();
    m.expect(&[("SET k v PX 100", r"+OK\r\n"), ("CLIENT PAUSE 1000 WRITE", r"+OK\r\n")]);
    m.advance_ms(500);
    // As in Redis, the key is named although no other command finds it.
    m.expect(&[("RANDOMKEY", r"$1\r\nk\r\n"), ("EXISTS k", r":0\r\n")]);
    m.advance_ms(500);
    m.expect(&[("RANDOMKEY", r"$-1\r\n")]);
}
