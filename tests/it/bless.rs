//! BLESS: which keys are never evicted, and what becomes of that.

use aleadb::config::{Config, MemoryLimit, MemoryPolicy};
use aleadb::server::databases::Databases;
use aleadb::server::eviction::Gauge;

use crate::disk::SimulatedDisk;
use crate::keys::expect_both;
use crate::loading::{settings, try_start};
use crate::memory::Memory;

const NO_KEY: &str = r"-ERR no such key\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const NO_EVICT: &str = r"*1\r\n$8\r\nNO-EVICT\r\n";
const NONE: &str = r"*0\r\n";
const OK: &str = r"+OK\r\n";

#[test]
fn a_flag_is_set_and_taken_back_once() {
    expect_both(&[
        ("BLESS SET k NO-EVICT", NO_KEY),
        ("BLESS CLEAR k NO-EVICT", NO_KEY),
        ("BLESS GET k", NO_KEY),
        ("RPUSH k a", r":1\r\n"),
        ("BLESS GET k", NONE),
        ("BLESS CLEAR k NO-EVICT", r":0\r\n"),
        ("BLESS SET k NO-EVICT", r":1\r\n"),
        ("bless set k no-evict", r":0\r\n"),
        ("BLESS GET k", NO_EVICT),
        ("BLESS CLEAR k NO-EVICT", r":1\r\n"),
        ("BLESS CLEAR k NO-EVICT", r":0\r\n"),
        ("BLESS GET k", NONE),
        ("BLESS SET k EVICT", SYNTAX),
        ("BLESS CLEAR nokey EVICT", SYNTAX),
        ("BLESS SET k", r"-ERR wrong number of arguments for \'bless|set\' command\r\n"),
        ("BLESS GET k NO-EVICT", r"-ERR wrong number of arguments for \'bless|get\' command\r\n"),
        ("BLESS FOO k", r"-ERR unknown subcommand \'FOO\'. Try BLESS HELP.\r\n"),
    ]);
}

#[test]
fn a_flag_is_the_keys_and_not_its_values() {
    // What is done to a key that is blessed, and to one that is not: whose keys are blessed then.
    for (lines, blessed) in [
        ("SET k w", "k"),
        ("SET k w PX 1000", "k"),
        ("SETRANGE k 5000 x", "k"),
        ("EXPIRE k 100; PERSIST k", "k"),
        ("GETDEL k; SET k v", ""),
        ("DEL k; SET k v", ""),
        ("PEXPIRE k -1; SET k v", ""),
        ("SADD s a; SUNIONSTORE k s", "k"),
        ("SADD s a; SUNIONSTORE k nothing; SADD k a", ""),
        ("RPUSH l 2 1; SORT l STORE k", "k"),
        ("MSET k 1 l 2", "k"),
        ("BITOP NOT k k", "k"),
        ("RENAME k l", "l"),
        ("SET l v; RENAME l k", ""),
        ("SET l v; RENAME k l", "l"),
        ("COPY k l", "k"),
        ("SET l v; COPY l k REPLACE", "k"),
        (r#"RESTORE k 0 "\x00\x05hello\x0a\x00cr\xdfve4 \x0a" REPLACE"#, "k"),
        (r#"RESTORE l 0 "\x00\x05hello\x0a\x00cr\xdfve4 \x0a""#, "k"),
        ("MOVE k 1", "1:k"),
        ("COPY k k DB 1", "k"),
        ("SWAPDB 0 1", "1:k"),
        ("FLUSHDB; SET k v", ""),
        ("SELECT 1; SET k v; FLUSHDB; SELECT 0", "k"),
    ] {
        let mut m = Memory::new();
        m.run("SET k v");
        m.run("BLESS SET k NO-EVICT");
        for line in lines.split("; ") {
            let reply = m.run(line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        let mut found = Vec::new();
        for (number, mark) in [(0, ""), (1, "1:")] {
            m.run(&format!("SELECT {number}"));
            for key in ["k", "l"].into_iter().filter(|key| m.run(&format!("BLESS GET {key}")) == NO_EVICT) {
                found.push(format!("{mark}{key}"));
            }
        }
        assert_eq!(found.join(" "), blessed, "{lines}");
    }
    // A key that has expired is another one when it comes again.
    let mut m = Memory::new();
    m.run("SET k v PX 5");
    m.run("BLESS SET k NO-EVICT");
    m.clock.advance_ms(5);
    m.expect(&[
        ("BLESS GET k", NO_KEY),
        ("SET k v", OK),
        ("BLESS GET k", NONE),
        ("BLESS SCAN 0 NO-EVICT", SCANNED_NONE),
    ]);
}

const SCANNED_NONE: &str = r"*2\r\n$1\r\n0\r\n*0\r\n";

#[test]
fn a_walk_shows_every_blessed_key_once_whatever_comes_and_goes() {
    let mut m = Memory::new();
    m.expect(&[
        ("BLESS SCAN 0 NO-EVICT", SCANNED_NONE),
        ("BLESS SCAN x NO-EVICT", r"-ERR invalid cursor\r\n"),
        ("BLESS SCAN 0 EVICT", SYNTAX),
        ("BLESS SCAN 0 NO-EVICT COUNT", SYNTAX),
        ("BLESS SCAN 0 NO-EVICT COUNT 0", SYNTAX),
        ("BLESS SCAN 0 NO-EVICT MATCH a", SYNTAX),
        ("BLESS SCAN 0 NO-EVICT COUNT x", r"-ERR value is not an integer or out of range\r\n"),
    ]);
    for n in 0..3000 {
        m.run(&format!("SET key:{n} v"));
    }
    for n in (0..3000).step_by(100) {
        m.run(&format!("BLESS SET key:{n} NO-EVICT"));
    }
    for count in ["", " COUNT 7", " COUNT 100000"] {
        let (mut cursor, mut found, mut calls) = ("0".to_owned(), Vec::new(), 0);
        loop {
            let reply = m.run(&format!("BLESS SCAN {cursor} NO-EVICT{count}"));
            let words: Vec<&str> = reply.split(r"\r\n").collect();
            cursor = words[2].to_owned();
            found.extend(words[4..].iter().filter(|word| word.starts_with("key:")).map(|word| (*word).to_owned()));
            calls += 1;
            if cursor == "0" {
                break;
            }
            // The table grows meanwhile.
            for n in 0..20 {
                m.run(&format!("SET more{count}:{calls}:{n} v"));
            }
        }
        found.sort_unstable();
        found.dedup();
        let mut expected: Vec<String> = (0..3000).step_by(100).map(|n| format!("key:{n}")).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{count}");
        let bounds = if count.ends_with('7') { 100..1000 } else { 1..6 };
        assert!(bounds.contains(&calls), "{count}: {calls}");
    }
}

fn keys(dbs: &Databases) -> usize {
    dbs.iter().map(|db| db.len()).sum::<usize>() * 1000
}

#[test]
fn blessed_keys_stay_under_every_policy() {
    for policy in [
        MemoryPolicy::VolatileLru,
        MemoryPolicy::VolatileLfu,
        MemoryPolicy::VolatileRandom,
        MemoryPolicy::VolatileTtl,
        MemoryPolicy::VolatileLrm,
        MemoryPolicy::AllkeysLru,
        MemoryPolicy::AllkeysLfu,
        MemoryPolicy::AllkeysRandom,
        MemoryPolicy::AllkeysLrm,
    ] {
        let (maxmemory, maxmemory_policy) = (MemoryLimit::new(100_000), policy);
        let mut m = Memory::with_config(Config { maxmemory, maxmemory_policy, ..Config::default() });
        m.server.eviction.gauge = Gauge::Counted(keys);
        // The first to be set, and the first to fall due.
        for n in 0..60 {
            m.run(&format!("SET blessed:{n} v PX {}", 100_000 + n));
            m.run(&format!("BLESS SET blessed:{n} NO-EVICT"));
            m.clock.advance_ms(10);
        }
        for n in 0..300 {
            assert_eq!(m.run(&format!("SET other:{n} v PX {}", 1_000_000 + n)), OK, "{policy:?}");
        }
        let held = |m: &mut Memory| (0..60).filter(|n| m.run(&format!("EXISTS blessed:{n}")) == r":1\r\n").count();
        assert_eq!(held(&mut m), 60, "{policy:?}");
        // When nothing else is left, memory is short; what frees some is not refused.
        m.run("CONFIG SET maxmemory 50000");
        let oom = r"-OOM command not allowed when used memory > \'maxmemory\'.\r\n";
        for (line, reply) in [
            ("SET new v", oom),
            ("BLESS SET blessed:0 NO-EVICT", oom),
            ("BLESS GET blessed:0", NO_EVICT),
            ("DBSIZE", r":60\r\n"),
            ("BLESS CLEAR blessed:59 NO-EVICT", r":1\r\n"),
            ("BLESS CLEAR blessed:3 NO-EVICT", r":1\r\n"),
        ] {
            assert_eq!(m.run(line), reply, "{policy:?}: {line}");
        }
        // These go before the next command, and it is refused for the others.
        assert_eq!((m.run("SET new v"), m.run("DBSIZE")), (oom.to_owned(), r":58\r\n".to_owned()), "{policy:?}");
        for n in 10..20 {
            m.run(&format!("BLESS CLEAR blessed:{n} NO-EVICT"));
        }
        assert_eq!(m.run("SET new v"), OK, "{policy:?}");
    }
}

#[test]
fn a_candidate_that_is_blessed_in_time_stays() {
    for policy in [MemoryPolicy::AllkeysLru, MemoryPolicy::VolatileTtl, MemoryPolicy::AllkeysRandom] {
        let (maxmemory, maxmemory_policy) = (MemoryLimit::new(20_000), policy);
        let mut m = Memory::with_config(Config { maxmemory, maxmemory_policy, ..Config::default() });
        m.server.eviction.gauge = Gauge::Counted(keys);
        for n in 0..23 {
            m.run(&format!("SET k:{n} v PX {}", 100_000 + n));
            m.clock.advance_ms(10);
        }
        // By now the samples have shown all that are there.
        let there: Vec<usize> = (0..23).filter(|n| m.run(&format!("TTL k:{n}")) != r":-2\r\n").collect();
        for n in &there[..10] {
            m.run(&format!("BLESS SET k:{n} NO-EVICT"));
        }
        for n in 0..40 {
            assert_eq!(m.run(&format!("SET other:{n} v PX {}", 200_000 + n)), OK, "{policy:?}");
        }
        let stayed = there[..10].iter().filter(|n| m.run(&format!("EXISTS k:{n}")) == r":1\r\n").count();
        assert_eq!(stayed, 10, "{policy:?}");
    }
}

#[test]
fn a_flag_is_saved_with_its_key_in_both_forms_of_the_log_and_in_dump_files() {
    for (appendonly, preamble) in [(false, true), (true, true), (true, false)] {
        let disk = SimulatedDisk::new();
        let config = || Config { aof_use_rdb_preamble: preamble, ..settings(appendonly) };
        let mut m = try_start(&disk, config(), 0).unwrap_or_else(|failure| panic!("{failure}"));
        let long = "x".repeat(20_000);
        for line in [
            "SET short v",
            &format!("SET long {long} EX 1000"),
            "HSET hash f v",
            "SET other v EX 1000",
            "BLESS SET short NO-EVICT",
            "BLESS SET long NO-EVICT",
            "SELECT 1",
            "SADD set a",
            "BLESS SET set NO-EVICT",
            "BLESS SET set NO-EVICT",
            "SELECT 0",
        ] {
            m.run(line);
        }
        for round in 0..2 {
            assert_eq!(m.run("DEBUG RELOAD"), OK, "{appendonly} {preamble}");
            m.expect(&[
                ("BLESS GET short", NO_EVICT),
                ("BLESS GET long", NO_EVICT),
                ("TTL long", r":1000\r\n"),
                ("BLESS GET hash", NONE),
                ("BLESS GET other", if round == 0 { NONE } else { NO_EVICT }),
                ("SELECT 1", OK),
                ("BLESS GET set", NO_EVICT),
                ("SELECT 0", OK),
                ("BLESS SET other NO-EVICT", if round == 0 { r":1\r\n" } else { r":0\r\n" }),
            ]);
        }
    }
}
