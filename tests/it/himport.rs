//! HIMPORT: fieldsets of a connection and the hashes that are made by them, beside those that HSET makes.

use aleadb::config::{Access, Config};
use aleadb::feature::fieldsets::FIELDS_MAX;
use aleadb::server::jobs::Limits;

use crate::memory::Memory;
use crate::rng::Rng;

const OK: &str = r"+OK\r\n";
const NO_SUCH: &str = r"-ERR no such fieldset\r\n";
const BAD_COUNT: &str = r"-ERR the number of values does not match the fieldset\r\n";

/// The units that were passed on since the last time, their commands in words.
fn passed_on(m: &mut Memory) -> Vec<Vec<String>> {
    let line = |(_, words): &(usize, Vec<Vec<u8>>)| String::from_utf8_lossy(&words.join(&b' ')).into_owned();
    m.take_propagated().iter().map(|unit| unit.iter().map(line).collect()).collect()
}

#[test]
fn hashes_are_made_of_values_alone() {
    Memory::new().expect(&[
        ("HIMPORT PREPARE user name age city", OK),
        ("HIMPORT SET u:1 user ann 30 oslo", OK),
        ("HGETALL u:1", r"*6\r\n$4\r\nname\r\n$3\r\nann\r\n$3\r\nage\r\n$2\r\n30\r\n$4\r\ncity\r\n$4\r\noslo\r\n"),
        ("OBJECT ENCODING u:1", r"$8\r\nlistpack\r\n"),
        ("himport prepare user x", OK),
        ("himport set u:1 user 7", OK),
        ("HGETALL u:1", r"*2\r\n$1\r\nx\r\n$1\r\n7\r\n"),
        ("HIMPORT PREPARE USER y", OK),
        ("HIMPORT DISCARD user", r":1\r\n"),
        ("HIMPORT DISCARD user", r":0\r\n"),
        ("HIMPORT SET u:1 user 7", NO_SUCH),
        ("HIMPORT PREPARE \"\" \"\"", OK),
        ("HIMPORT SET e \"\" v", OK),
        ("HGET e \"\"", r"$1\r\nv\r\n"),
        ("HIMPORT DISCARDALL", r":2\r\n"),
        ("HIMPORT DISCARDALL", r":0\r\n"),
        ("HIMPORT SET u:1 USER 7", NO_SUCH),
    ]);
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k v", OK),
        ("HIMPORT", r"-ERR wrong number of arguments for \'himport\' command\r\n"),
        ("HIMPORT NONE", r"-ERR unknown subcommand \'NONE\'. Try HIMPORT HELP.\r\n"),
        ("HIMPORT PREPARE f", r"-ERR wrong number of arguments for \'himport|prepare\' command\r\n"),
        ("HIMPORT SET k f", r"-ERR wrong number of arguments for \'himport|set\' command\r\n"),
        ("HIMPORT DISCARD", r"-ERR wrong number of arguments for \'himport|discard\' command\r\n"),
        ("HIMPORT DISCARDALL f", r"-ERR wrong number of arguments for \'himport|discardall\' command\r\n"),
        ("HIMPORT SET k f 1 2", NO_SUCH),
        ("HIMPORT PREPARE f a b", OK),
        ("HIMPORT PREPARE f c d c", r"-ERR a fieldset cannot name a field twice\r\n"),
        ("HIMPORT SET k f 1", BAD_COUNT),
        ("HIMPORT SET k f 1 2 3", BAD_COUNT),
        ("GET k", r"$1\r\nv\r\n"),
        ("HIMPORT SET k f 1 2", OK),
        ("HKEYS k", r"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("COMMAND GETKEYS HIMPORT SET k f 1 2", r"*1\r\n$1\r\nk\r\n"),
    ]);
    let names: Vec<String> = (0..=FIELDS_MAX).map(|n| n.to_string()).collect();
    let line = format!("HIMPORT PREPARE f {}", names.join(" "));
    assert_eq!(m.run(&line), r"-ERR a fieldset can name 4096 fields at most\r\n");
    assert_eq!(m.run("HIMPORT SET k f 3 4"), OK);
}

#[test]
fn a_fieldset_belongs_to_its_connection() {
    let mut m = Memory::new();
    let other = m.connect();
    m.expect_of(&[
        (0, "HIMPORT PREPARE f a b", OK),
        (other, "HIMPORT SET k f 1 2", NO_SUCH),
        (other, "HIMPORT PREPARE f x", OK),
        (0, "HIMPORT SET k f 1 2", OK),
        (other, "HIMPORT SET l f 1", OK),
        (0, "SELECT 1", OK),
        (0, "HIMPORT SET k f 1 2", OK),
        // Scripts have those of the connection that runs them, and leave theirs to it.
        (0, "EVAL \"return redis.call('HIMPORT', 'SET', KEYS[1], 'f', '3', '4')\" 1 k", OK),
        (0, "HGET k b", r"$1\r\n4\r\n"),
        (0, "EVAL \"return redis.call('HIMPORT', 'PREPARE', 'g', 'z')\" 0", OK),
        (0, "HIMPORT SET k g 9", OK),
        (other, "HIMPORT SET k g 9", NO_SUCH),
        (0, "RESET", r"+RESET\r\n"),
        (0, "HIMPORT SET k f 1 2", NO_SUCH),
        (other, "HIMPORT DISCARDALL", r":1\r\n"),
    ]);
}

#[test]
fn a_transaction_prepares_and_sets() {
    Memory::new().expect(&[
        ("MULTI", OK),
        ("HIMPORT PREPARE f a", r"+QUEUED\r\n"),
        ("HIMPORT SET k f 1", r"+QUEUED\r\n"),
        ("HIMPORT SET k f 1 2", r"+QUEUED\r\n"),
        ("HIMPORT DISCARD f", r"+QUEUED\r\n"),
        ("EXEC", &format!(r"*4\r\n+OK\r\n+OK\r\n{BAD_COUNT}:1\r\n")),
        ("HGETALL k", r"*2\r\n$1\r\na\r\n$1\r\n1\r\n"),
        // What MULTI has queued has nothing to do with fieldsets, nor has its end.
        ("HIMPORT PREPARE f a", OK),
        ("MULTI", OK),
        ("DISCARD", OK),
        ("HIMPORT SET k f 2", OK),
    ]);
}

#[test]
fn fieldsets_count_as_memory_of_the_client() {
    let mut m = Memory::new();
    let before = m.session(0).heap_bytes().total;
    m.run(&format!("HIMPORT PREPARE f {}", "x".repeat(100_000)));
    assert!(m.session(0).heap_bytes().total > before + 100_000);
    m.run("HIMPORT DISCARD f");
    assert_eq!(m.session(0).heap_bytes().total, before);
    assert!(m.session(0).fieldsets.is_none());
}

#[test]
fn its_effect_is_passed_on_and_told_of() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    m.run("CONFIG SET notify-keyspace-events KEAocS");
    m.run("SET k v EX 100");
    m.run("HIMPORT PREPARE f a b");
    m.take_propagated();
    let listener = m.connect();
    m.run("PSUBSCRIBE __key* __sub*");
    m.take_sent(listener);
    let watcher = m.connect();
    m.run("WATCH k");
    m.expect_of(&[(0, "HIMPORT SET k f 1 2", OK), (0, "TTL k", r":-1\r\n"), (0, "HIMPORT SET new f 1 2", OK)]);
    assert_eq!(passed_on(&mut m), [vec!["DEL k", "HSET k a 1 b 2"], vec!["HSET new a 1 b 2"]]);
    m.expect_of(&[(watcher, "MULTI", OK), (watcher, "PING", r"+QUEUED\r\n"), (watcher, "EXEC", r"*-1\r\n")]);
    let told = m.take_sent(listener);
    for (channel, message) in [
        ("__keyspace@0__:k", "hset"),
        ("__keyevent@0__:hset", "k"),
        ("__keyspace@0__:k", "overwritten"),
        ("__keyspace@0__:k", "type_changed"),
        ("__keyspace@0__:new", "hset"),
        ("__subkeyspace@0__:k", "hset|1:a,1:b"),
    ] {
        let expected = format!(r"${}\r\n{channel}\r\n${}\r\n{message}\r\n", channel.len(), message.len());
        assert_eq!(told.matches(&expected).count(), 1, "{expected} in {told}");
    }
}

/// A hash of a fieldset is the one that HSET makes in its place, however it is made and represented.
#[test]
fn a_hash_is_the_one_that_hset_makes_at_once_and_piece_by_piece() {
    let mut rng = Rng::new(5);
    let mut jobs = 0;
    for (slice, entries) in [(usize::MAX, 128), (1, 128), (7, 128), (1, 3), (100, 3), (usize::MAX, 3)] {
        for round in 0..20 {
            let new = || Memory::with_config(Config { enable_debug_command: Access::Yes, ..Config::default() });
            let (mut m, mut hset, mut copy) = (new(), new(), new());
            m.server.begin_propagation();
            if slice < usize::MAX {
                m.server.jobs.limits = Limits { line: 0, slice_elements: slice, ..Limits::default() };
            }
            for memory in [&mut m, &mut hset, &mut copy] {
                memory.server.config.hash_max_listpack_entries = entries;
                memory.run(["DEL k", "SET k v", "HSET k old 1", "SADD k a"][round % 4]);
            }
            let count = 1 + rng.below(200);
            let names: Vec<String> = (0..count).map(|n| format!("f{n}")).collect();
            let values: Vec<String> = (0..count).map(|_| "v".repeat(rng.below(90))).map(|v| format!("{v}7")).collect();
            assert_eq!(m.run(&format!("HIMPORT PREPARE f {}", names.join(" "))), OK);
            m.take_propagated();
            let before = m.server.jobs.counts.begun;
            assert_eq!(m.run(&format!("HIMPORT SET k f {}", values.join(" "))), OK);
            jobs += m.server.jobs.counts.begun - before;
            let pairs: Vec<String> = names.iter().zip(&values).map(|(name, value)| format!("{name} {value}")).collect();
            hset.run("DEL k");
            hset.run(&format!("HSET k {}", pairs.join(" ")));
            let units = m.take_propagated();
            assert_eq!(units.len(), 1, "one unit");
            for (_, words) in units.concat() {
                copy.raw(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
            assert!(!hset.run("DEBUG DIGEST").starts_with('-'));
            for line in ["DEBUG DIGEST", "HLEN k", "OBJECT ENCODING k"] {
                assert_eq!(m.run(line), hset.run(line), "{line} of {count} fields, slices of {slice}");
                assert_eq!(copy.run(line), hset.run(line), "{line} of {count} fields, slices of {slice}, passed on");
            }
        }
    }
    assert!(jobs > 50, "{jobs} were done piece by piece");
}
