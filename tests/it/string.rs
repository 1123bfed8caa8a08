//! Strings. What is expected here was checked against Redis 8.2.3.

use std::collections::HashMap;

use aleadb::base::clock::Clock;
use aleadb::base::prng::Prng;
use aleadb::config::Config;
use aleadb::resp::reply::Proto;
use aleadb::store::db::Moment;
use aleadb::store::entry::Entry;

use crate::memory::{Memory, START_MS};

const NIL: &str = r"$-1\r\n";
const OK: &str = r"+OK\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";
const NOT_A_FLOAT: &str = r"-ERR value is not a valid float\r\n";
const OVERFLOW: &str = r"-ERR increment or decrement would overflow\r\n";
const TOO_LONG: &str = r"-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";

fn resp3() -> Memory {
    let mut m = Memory::new();
    m.session(m.client).proto = Proto::Resp3;
    m
}

/// Looks at a key's entry.
fn entry_of<T>(m: &mut Memory, key: &str, look: impl FnOnce(&Entry) -> T) -> T {
    let at = Moment::new(m.clock.now(), false);
    let slot = m.server.dbs[0].lookup_write(key.as_bytes(), at);
    look(&slot.unwrap_or_else(|| panic!("no key {key}")))
}

/// A key's deadline in Unix milliseconds.
fn deadline_ms(m: &mut Memory, key: &str) -> Option<i64> {
    entry_of(m, key, Entry::deadline_ms)
}

/// Redis's name of how a key's value is held.
fn encoding(m: &mut Memory, key: &str) -> &'static str {
    entry_of(m, key, Entry::encoding)
}

#[test]
fn get_returns_what_set_stored() {
    let mut m = Memory::new();
    m.expect(&[
        ("GET k", NIL),
        ("SET k v", OK),
        ("GET k", r"$1\r\nv\r\n"),
        ("SET k 42", OK),
        ("GET k", r"$2\r\n42\r\n"),
        ("SET k \"\"", OK),
        ("GET k", r"$0\r\n\r\n"),
    ]);
    assert_eq!(m.server.dbs[0].stats().hits, 3);
    assert_eq!(m.server.dbs[0].stats().misses, 1);
}

#[test]
fn short_and_long_values_come_back_whole() {
    let mut m = Memory::new();
    for length in [1, 44, 45, 1023, 1024, 1025, 20_000, 300_000] {
        let value = "v".repeat(length);
        let reply = format!("${length}\\r\\n{value}\\r\\n");
        let nested = format!("*1\\r\\n{reply}");
        m.expect(&[
            (&format!("SET k {value}"), OK),
            ("GET k", &reply),
            ("MGET k", &nested),
            ("SET k - GET", &reply),
            (&format!("GETSET k {value}"), r"$1\r\n-\r\n"),
            ("GETRANGE k 0 -1", &reply),
            ("STRLEN k", &format!(":{length}\\r\\n")),
            ("GETDEL k", &reply),
            ("GET k", NIL),
        ]);
    }
}

#[test]
fn set_takes_its_options_in_any_order_and_refuses_conflicts() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k v XX", NIL),
        ("SET k v NX", OK),
        ("SET k w NX", NIL),
        ("SET k w nx NX", NIL),
        ("SET k w XX xx", OK),
        ("SET k v NX GET", r"$1\r\nw\r\n"),
        ("SET k v GET GET", r"$1\r\nw\r\n"),
        ("SET k v get EX 10 xx", r"$1\r\nv\r\n"),
        ("SET absent v XX GET", NIL),
        ("SET absent v GET", NIL),
        ("SET k v NX XX", SYNTAX),
        ("SET k v XX NX", SYNTAX),
        ("SET k v EX", SYNTAX),
        ("SET k v GET EX", SYNTAX),
        ("SET k v EX 10 PX 10", SYNTAX),
        ("SET k v EX 10 EXAT 10", SYNTAX),
        ("SET k v PXAT 10 PX 10", SYNTAX),
        ("SET k v EX 10 KEEPTTL", SYNTAX),
        ("SET k v KEEPTTL EX 10", SYNTAX),
        ("SET k v KEEPTTL KEEPTTL", OK),
        ("SET k v PERSIST", SYNTAX),
        ("SET k v 10", SYNTAX),
        // What is wrong with the options comes before what is wrong with their numbers.
        ("SET k v EX abc NX XX", SYNTAX),
        ("SET k v EX abc EX 10", OK),
        ("SET k", r"-ERR wrong number of arguments for \'set\' command\r\n"),
    ]);
}

#[test]
fn set_keeps_or_sets_or_clears_the_deadline() {
    let mut m = Memory::new();
    let rows = [
        ("SET k v EX 10", Some(START_MS + 10_000)),
        ("SET k v KEEPTTL", Some(START_MS + 10_000)),
        ("SET k v EX 10 EX 20", Some(START_MS + 20_000)),
        ("SET k v px 5", Some(START_MS + 5)),
        ("SET k v EXAT 9000000000", Some(9_000_000_000_000)),
        ("SET k v PXAT 9000000000001", Some(9_000_000_000_001)),
        ("SET k v PXAT 9223372036854775807", Some(i64::MAX)),
        ("SET k v EXAT 9223372036854775", Some(9_223_372_036_854_775_000)),
        ("SET k v", None),
        ("SET k v KEEPTTL", None),
        ("SETEX k 7 v", Some(START_MS + 7_000)),
        ("MSET k v", None),
        ("PSETEX k 7 v", Some(START_MS + 7)),
        ("SET k 1 EX 10", Some(START_MS + 10_000)),
    ];
    for (line, deadline) in rows {
        assert_eq!(m.run(line), OK, "{line}");
        assert_eq!(deadline_ms(&mut m, "k"), deadline, "{line}");
    }
    // What changes a value in place leaves the deadline alone.
    for line in ["INCR k", "INCRBYFLOAT k 0.5", "APPEND k x", "SETRANGE k 0 y", "SET k v KEEPTTL", "SETNX k v"] {
        m.run(line);
        assert_eq!(deadline_ms(&mut m, "k"), Some(START_MS + 10_000), "{line}");
    }
    m.run("GETSET k v");
    assert_eq!(deadline_ms(&mut m, "k"), None);
}

#[test]
fn expire_times_are_checked_in_every_unit() {
    for (start, end) in [("SET k v EX ", ""), ("SETEX k ", " v"), ("GETEX k EX ", "")] {
        check_times(start, end, &["0", "-1", "9223372036854775807", "9223372036854775", "9223372036854776"]);
    }
    for (start, end) in [("SET k v PX ", ""), ("PSETEX k ", " v"), ("GETEX k PX ", "")] {
        check_times(start, end, &["0", "-1", "9223372036854775807", "-9223372036854775808"]);
    }
    for start in ["SET k v EXAT ", "GETEX k EXAT "] {
        check_times(start, "", &["0", "-1", "9223372036854775807", "9223372036854776"]);
    }
    for start in ["SET k v PXAT ", "GETEX k PXAT "] {
        check_times(start, "", &["0", "-1"]);
    }
}

fn check_times(start: &str, end: &str, invalid: &[&str]) {
    let mut m = Memory::new();
    m.run("SET k old EX 100");
    let name = start.split(' ').next().expect("a word").to_ascii_lowercase();
    for time in invalid {
        let reply = format!("-ERR invalid expire time in \\'{name}\\' command\\r\\n");
        m.expect(&[(&format!("{start}{time}{end}"), &reply)]);
    }
    for time in ["abc", "1.5", "\"\"", "+1", "\" 1\"", "9223372036854775808"] {
        m.expect(&[(&format!("{start}{time}{end}"), NOT_AN_INTEGER)]);
    }
    m.expect(&[("GET k", r"$3\r\nold\r\n")]);
    assert_eq!(deadline_ms(&mut m, "k"), Some(START_MS + 100_000));
    assert_eq!(m.server.stats.dirty, 1);
}

#[test]
fn a_deadline_in_the_past_takes_the_key_away() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k v EXAT 1", OK),
        ("GET k", NIL),
        ("SET k v", OK),
        ("SET k w PXAT 1700000000000 GET", r"$1\r\nv\r\n"),
        ("GET k", NIL),
        ("SET k v", OK),
        ("SET k w NX PXAT 1", NIL),
        ("GETEX k PXAT 1700000000000", r"$1\r\nv\r\n"),
        ("GET k", NIL),
        ("SET k v", OK),
        ("GETEX k EXAT 1", r"$1\r\nv\r\n"),
        ("GETEX k", NIL),
        ("SET k v XX PXAT 1", NIL),
    ]);
    assert_eq!(m.server.dbs[0].len(), 0);
}

#[test]
fn keys_set_for_a_time_leave_when_it_is_over() {
    let mut m = Memory::new();
    m.expect(&[("SETEX a 10 v", OK), ("PSETEX b 9999 v", OK), ("SET c v PX 10001", OK), ("SET d 5 EX 1", OK)]);
    m.clock.advance_ms(9_999);
    m.expect(&[("MGET a b c d", r"*4\r\n$1\r\nv\r\n$-1\r\n$1\r\nv\r\n$-1\r\n"), ("INCR d", r":1\r\n")]);
    m.clock.advance_ms(1);
    m.expect(&[
        ("SET a w XX", NIL),
        ("SETNX a w", r":1\r\n"),
        ("APPEND a x", r":2\r\n"),
        ("GETRANGE c 0 -1", r"$1\r\nv\r\n"),
    ]);
    assert_eq!(deadline_ms(&mut m, "a"), None);
    m.advance_ms(1);
    assert_eq!(m.server.dbs[0].len(), 2);
}

#[test]
fn setex_answers_as_documented() {
    let mut m = Memory::new();
    m.expect(&[
        ("SETEX k 10 v", OK),
        ("SETEX k 10", r"-ERR wrong number of arguments for \'setex\' command\r\n"),
        ("SETEX k 10 v w", r"-ERR wrong number of arguments for \'setex\' command\r\n"),
        ("SETEX k ten v", NOT_AN_INTEGER),
        ("SETEX k 0 v", r"-ERR invalid expire time in \'setex\' command\r\n"),
        ("PSETEX k 0 v", r"-ERR invalid expire time in \'psetex\' command\r\n"),
        ("PSETEX k 10", r"-ERR wrong number of arguments for \'psetex\' command\r\n"),
        ("GET k", r"$1\r\nv\r\n"),
    ]);
}

#[test]
fn getex_changes_only_the_deadline() {
    let mut m = Memory::new();
    m.expect(&[
        ("GETEX k", NIL),
        // Without a key Redis does not look at the number.
        ("GETEX k EX 0", NIL),
        ("GETEX k EX abc", NIL),
        ("GETEX k EX 1 PX 1", SYNTAX),
        ("SET k v", OK),
        ("GETEX k EX", SYNTAX),
        ("GETEX k EX 10 PERSIST", SYNTAX),
        ("GETEX k PERSIST EX 10", SYNTAX),
        ("GETEX k KEEPTTL", SYNTAX),
        ("GETEX k NX", SYNTAX),
        ("GETEX k EX 10 more", SYNTAX),
        ("GETEX", r"-ERR wrong number of arguments for \'getex\' command\r\n"),
    ]);
    let dirty = m.server.stats.dirty;
    let rows = [
        ("GETEX k PERSIST", None, 0),
        ("GETEX k EX 10", Some(START_MS + 10_000), 1),
        ("GETEX k", Some(START_MS + 10_000), 1),
        ("GETEX k EX 10 EX 20", Some(START_MS + 20_000), 2),
        ("GETEX k PX 20", Some(START_MS + 20), 3),
        ("GETEX k EXAT 9000000000", Some(9_000_000_000_000), 4),
        ("GETEX k PXAT 9223372036854775807", Some(i64::MAX), 5),
        ("GETEX k persist PERSIST", None, 6),
    ];
    for (line, deadline, changes) in rows {
        assert_eq!(m.run(line), r"$1\r\nv\r\n", "{line}");
        assert_eq!((deadline_ms(&mut m, "k"), m.server.stats.dirty - dirty), (deadline, changes), "{line}");
    }
}

#[test]
fn several_keys_are_set_and_read_in_one_step() {
    let mut m = Memory::new();
    m.expect(&[
        ("MSET a 1 b 2 a 3", OK),
        ("MGET a b c a", r"*4\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n$1\r\n3\r\n"),
        ("MSET a 1 b", r"-ERR wrong number of arguments for \'mset\' command\r\n"),
        ("MSETNX a 1 b", r"-ERR wrong number of arguments for \'msetnx\' command\r\n"),
        ("MSETNX c 1 a 9", r":0\r\n"),
        ("GET c", NIL),
        ("MSETNX c 1 c 2", r":1\r\n"),
        ("GET c", r"$1\r\n2\r\n"),
        ("MGET", r"-ERR wrong number of arguments for \'mget\' command\r\n"),
    ]);
    assert_eq!(m.server.stats.dirty, 5);
    // More keys than are prefetched together, at every remainder.
    for count in 1..40 {
        let keys: Vec<String> = (0..count).map(|i| format!("key:{i}")).collect();
        let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {key}!")).collect();
        let replies: String = keys.iter().map(|key| format!("${}\\r\\n{key}!\\r\\n", key.len() + 1)).collect();
        m.expect(&[
            (&format!("MSET {}", pairs.join(" ")), OK),
            (&format!("MGET {}", keys.join(" ")), &format!("*{count}\\r\\n{replies}")),
        ]);
    }
}

#[test]
fn setnx_getset_and_getdel() {
    let mut m = Memory::new();
    m.expect(&[
        ("SETNX k v", r":1\r\n"),
        ("SETNX k w", r":0\r\n"),
        ("GETSET k w", r"$1\r\nv\r\n"),
        ("GETSET other w", NIL),
        ("GETDEL k", r"$1\r\nw\r\n"),
        ("GETDEL k", NIL),
        ("SETNX k", r"-ERR wrong number of arguments for \'setnx\' command\r\n"),
        ("GETSET k", r"-ERR wrong number of arguments for \'getset\' command\r\n"),
        ("GETDEL", r"-ERR wrong number of arguments for \'getdel\' command\r\n"),
    ]);
    assert_eq!(m.server.stats.dirty, 4);
    m.run("SETEX k 10 v");
    m.run("GETDEL k");
    assert_eq!(m.server.dbs[0].timed(), 0);
}

#[test]
fn counters_refuse_what_is_no_integer_and_what_overflows() {
    let mut m = Memory::new();
    m.expect(&[
        ("INCR n", r":1\r\n"),
        ("DECR n", r":0\r\n"),
        ("DECR fresh", r":-1\r\n"),
        ("INCRBY n 5", r":5\r\n"),
        ("DECRBY n -9223372036854775802", r":9223372036854775807\r\n"),
        ("INCR n", OVERFLOW),
        ("INCRBY n 1", OVERFLOW),
        ("DECRBY n -1", OVERFLOW),
        ("DECRBY n -9223372036854775808", r"-ERR decrement would overflow\r\n"),
        ("DECRBY absent -9223372036854775808", r"-ERR decrement would overflow\r\n"),
        ("DECRBY absent -9223372036854775807", r":9223372036854775807\r\n"),
        ("SET n -9223372036854775808", OK),
        ("DECR n", OVERFLOW),
        ("GET n", r"$20\r\n-9223372036854775808\r\n"),
        ("INCRBY n abc", NOT_AN_INTEGER),
        ("INCRBY n +1", NOT_AN_INTEGER),
        ("DECRBY n 9223372036854775808", NOT_AN_INTEGER),
        ("INCR", r"-ERR wrong number of arguments for \'incr\' command\r\n"),
        ("INCRBY n", r"-ERR wrong number of arguments for \'incrby\' command\r\n"),
    ]);
    for text in ["abc", "1.5", "\" 1\"", "01", "-0", "\"\"", "9223372036854775808"] {
        m.expect(&[(&format!("SET n {text}"), OK), ("INCR n", NOT_AN_INTEGER)]);
    }
    // A number put together from pieces is one as well.
    m.expect(&[("SET n 1", OK), ("APPEND n 6", r":2\r\n"), ("INCR n", r":17\r\n")]);
    assert_eq!(encoding(&mut m, "n"), "int");
}

#[test]
fn decimals_are_added_in_extended_precision() {
    let mut m = Memory::new();
    m.expect(&[
        ("INCRBYFLOAT f 1.50", r"$3\r\n1.5\r\n"),
        ("SET f 0.1", OK),
        ("INCRBYFLOAT f 0.2", r"$3\r\n0.3\r\n"),
        ("SET f 3.0e3", OK),
        ("INCRBYFLOAT f 200", r"$4\r\n3200\r\n"),
        ("INCRBYFLOAT f -3201", r"$2\r\n-1\r\n"),
        ("SET f 0x10", OK),
        ("INCRBYFLOAT f 1e-20", r"$2\r\n16\r\n"),
        ("INCRBYFLOAT f abc", NOT_A_FLOAT),
        ("INCRBYFLOAT f nan", NOT_A_FLOAT),
        ("INCRBYFLOAT f 1e5000", NOT_A_FLOAT),
        ("INCRBYFLOAT f \" 1\"", NOT_A_FLOAT),
        ("INCRBYFLOAT f inf", r"-ERR increment would produce NaN or Infinity\r\n"),
        ("INCRBYFLOAT absent -inf", r"-ERR increment would produce NaN or Infinity\r\n"),
        ("GET f", r"$2\r\n16\r\n"),
        ("SET f 1e4932", OK),
        ("INCRBYFLOAT f 1e4932", r"-ERR increment would produce NaN or Infinity\r\n"),
        ("SET f \"\"", OK),
        ("INCRBYFLOAT f 1", NOT_A_FLOAT),
        ("SET f word", OK),
        ("INCRBYFLOAT f 1", NOT_A_FLOAT),
        ("INCRBYFLOAT f", r"-ERR wrong number of arguments for \'incrbyfloat\' command\r\n"),
    ]);
    assert_eq!(m.run("INCRBYFLOAT huge 1e400").len(), 401 + r"$401\r\n\r\n".len());
}

#[test]
fn ranges_are_read_and_written() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k hello", OK),
        ("GETRANGE k 1 3", r"$3\r\nell\r\n"),
        ("SUBSTR k -3 -2", r"$2\r\nll\r\n"),
        ("GETRANGE k 0 -100", r"$1\r\nh\r\n"),
        ("GETRANGE k -50 -100", r"$0\r\n\r\n"),
        ("GETRANGE absent 0 -1", r"$0\r\n\r\n"),
        ("GETRANGE absent a -1", NOT_AN_INTEGER),
        ("GETRANGE k 0 1.5", NOT_AN_INTEGER),
        ("SUBSTR k a 1", NOT_AN_INTEGER),
        ("SETRANGE k 1 ipp", r":5\r\n"),
        ("SETRANGE k 4 os", r":6\r\n"),
        ("SETRANGE k 8 !", r":9\r\n"),
        ("GET k", r"$9\r\nhippos\x00\x00!\r\n"),
        ("SETRANGE k 0 \"\"", r":9\r\n"),
        ("SETRANGE k 100 \"\"", r":9\r\n"),
        ("SETRANGE absent 5 \"\"", r":0\r\n"),
        ("SETRANGE absent -1 \"\"", r"-ERR offset is out of range\r\n"),
        ("SETRANGE k -1 x", r"-ERR offset is out of range\r\n"),
        ("SETRANGE k abc x", NOT_AN_INTEGER),
        ("GET absent", NIL),
        ("SETRANGE fresh 2 x", r":3\r\n"),
        ("GET fresh", r"$3\r\n\x00\x00x\r\n"),
        ("SET n 12345", OK),
        ("GETRANGE n 1 -2", r"$3\r\n234\r\n"),
        ("SETRANGE n 1 9", r":5\r\n"),
        ("INCR n", r":19346\r\n"),
        ("APPEND n 7", r":6\r\n"),
        ("APPEND n \"\"", r":6\r\n"),
        ("APPEND made 12", r":2\r\n"),
        ("APPEND empty \"\"", r":0\r\n"),
        ("GET empty", r"$0\r\n\r\n"),
        ("STRLEN n", r":6\r\n"),
        ("STRLEN absent", r":0\r\n"),
        ("GETRANGE k 0", r"-ERR wrong number of arguments for \'getrange\' command\r\n"),
        ("SUBSTR k 0", r"-ERR wrong number of arguments for \'substr\' command\r\n"),
        ("SETRANGE k 0", r"-ERR wrong number of arguments for \'setrange\' command\r\n"),
        ("APPEND k", r"-ERR wrong number of arguments for \'append\' command\r\n"),
        ("STRLEN", r"-ERR wrong number of arguments for \'strlen\' command\r\n"),
    ]);
}

#[test]
fn encodings_are_those_of_redis() {
    let mut m = Memory::new();
    let rows = [
        ("SET k 12", "int"),
        ("INCRBYFLOAT k 1", "embstr"),
        ("INCR k", "int"),
        ("APPEND k \"\"", "raw"),
        ("SETRANGE k 0 1", "raw"),
        ("GETSET k 12345678901234567890", "embstr"),
        ("MSET k -9223372036854775808", "int"),
        ("SETEX k 10 7", "int"),
        ("GETDEL k", ""),
        ("SETRANGE k 0 1", "raw"),
        ("GETDEL k", ""),
        ("APPEND k 1", "int"),
        ("GETDEL k", ""),
        ("SETNX k 1", "int"),
    ];
    for (line, expected) in rows {
        m.run(line);
        if !expected.is_empty() {
            assert_eq!(encoding(&mut m, "k"), expected, "{line}");
        }
    }
}

#[test]
fn no_string_grows_beyond_the_limit() {
    let mut m = Memory::with_config(Config { proto_max_bulk_len: 2_000, ..Config::default() });
    m.expect(&[
        ("SETRANGE k 1999 x", r":2000\r\n"),
        ("SETRANGE k 2000 x", TOO_LONG),
        ("APPEND k x", TOO_LONG),
        ("APPEND k \"\"", r":2000\r\n"),
        ("SETRANGE k 5000 \"\"", r":2000\r\n"),
        ("SETRANGE absent 2000 x", TOO_LONG),
        ("SETRANGE absent 9223372036854775807 x", TOO_LONG),
        ("SETRANGE absent 9223372036854775807 \"\"", r":0\r\n"),
        ("SETRANGE short 1 x", r":2\r\n"),
        ("SETRANGE short 1999 xy", TOO_LONG),
        ("STRLEN short", r":2\r\n"),
    ]);
    assert_eq!(m.server.stats.dirty, 3);
}

#[test]
fn a_string_that_no_memory_can_hold_is_refused() {
    let mut m = Memory::with_config(Config { proto_max_bulk_len: i64::MAX as u64, ..Config::default() });
    let refusal = r"-ERR insufficient memory for a string of this length\r\n";
    m.expect(&[
        ("SETRANGE k 9223372036854775806 x", refusal),
        ("SET k v", OK),
        ("SETRANGE k 9223372036854775806 x", refusal),
        ("GET k", r"$1\r\nv\r\n"),
    ]);
}

#[test]
fn a_reply_keeps_a_long_value_that_changes_under_it() {
    let mut m = Memory::new();
    m.run(&format!("SET k {}", "v".repeat(20_000)));
    let before = m.run("GET k");
    m.expect(&[("APPEND k w", r":20001\r\n"), ("SETRANGE k 0 w", r":20001\r\n"), ("GETRANGE k 0 1", r"$2\r\nwv\r\n")]);
    assert_eq!(before, format!("$20000\\r\\n{}\\r\\n", "v".repeat(20_000)));
}

#[test]
fn lcs_finds_the_common_subsequence() {
    let pairs = r"*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n";
    let long = r"*1\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n";
    let counted =
        r"*2\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n*3\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n:2\r\n";
    for (mut m, map) in [(Memory::new(), "*4"), (resp3(), "%2")] {
        let answer =
            |matches: &str, length: usize| format!(r"{map}\r\n$7\r\nmatches\r\n{matches}$3\r\nlen\r\n:{length}\r\n");
        m.expect(&[
            ("MSET x ohmytext y mynewtext n 123", OK),
            ("LCS x y", r"$6\r\nmytext\r\n"),
            ("LCS x y LEN", r":6\r\n"),
            ("LCS x y len LEN", r":6\r\n"),
            ("LCS x y WITHMATCHLEN MINMATCHLEN 3", r"$6\r\nmytext\r\n"),
            ("LCS x y LEN WITHMATCHLEN MINMATCHLEN 3", r":6\r\n"),
            ("LCS x y IDX", &answer(pairs, 6)),
            ("LCS x y IDX MINMATCHLEN 4", &answer(long, 6)),
            ("LCS x y IDX MINMATCHLEN 5", &answer(r"*0\r\n", 6)),
            ("LCS x y WITHMATCHLEN IDX", &answer(counted, 6)),
            ("LCS x y IDX MINMATCHLEN -4 WITHMATCHLEN", &answer(counted, 6)),
            ("LCS absent y IDX", &answer(r"*0\r\n", 0)),
            ("LCS absent y", r"$0\r\n\r\n"),
            ("LCS x absent LEN", r":0\r\n"),
            ("LCS absent absent", r"$0\r\n\r\n"),
            ("LCS n n", r"$3\r\n123\r\n"),
            ("LCS x y IDX LEN", r"-ERR If you want both the length and indexes, please just use IDX.\r\n"),
            ("LCS x y IDX LEN FOO", SYNTAX),
            ("LCS x y MINMATCHLEN", SYNTAX),
            ("LCS x y MINMATCHLEN abc", NOT_AN_INTEGER),
            ("LCS x", r"-ERR wrong number of arguments for \'lcs\' command\r\n"),
        ]);
    }
}

#[test]
fn lcs_refuses_what_would_take_too_much_memory() {
    let mut m = Memory::with_config(Config { proto_max_bulk_len: 4_000, ..Config::default() });
    let refusal = r"-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n";
    m.expect(&[
        ("SETRANGE a 998 x", r":999\r\n"),
        ("LCS a empty LEN", r":0\r\n"),
        ("SETRANGE a 999 x", r":1000\r\n"),
        ("LCS a empty LEN", refusal),
        ("LCS empty a", refusal),
        ("LCS a a IDX", refusal),
    ]);
}

#[test]
fn resp3_has_its_own_null() {
    resp3().expect(&[
        ("GET k", r"_\r\n"),
        ("MGET k k", r"*2\r\n_\r\n_\r\n"),
        ("SET k v XX", r"_\r\n"),
        ("SET k v GET", r"_\r\n"),
        ("SET k w NX", r"_\r\n"),
        ("GETSET other v", r"_\r\n"),
        ("GETDEL absent", r"_\r\n"),
        ("GETEX absent", r"_\r\n"),
        ("GET k", r"$1\r\nv\r\n"),
        ("INCRBYFLOAT f 1.5", r"$3\r\n1.5\r\n"),
    ]);
}

/// Strings as a map would hold them.
#[derive(Default)]
struct Model(HashMap<String, Vec<u8>>);

impl Model {
    fn bulk(value: Option<&[u8]>) -> String {
        value.map_or(NIL.into(), |v| format!("${}\\r\\n{}\\r\\n", v.len(), v.escape_ascii()))
    }

    fn add(&mut self, key: &str, increment: i128) -> String {
        let text = self.0.get(key).map_or("0".into(), |v| String::from_utf8_lossy(v).into_owned());
        let Some(old) = text.parse::<i64>().ok().filter(|n| n.to_string() == text) else {
            return NOT_AN_INTEGER.into();
        };
        let Ok(sum) = i64::try_from(i128::from(old) + increment) else { return OVERFLOW.into() };
        self.0.insert(key.into(), sum.to_string().into());
        format!(":{sum}\\r\\n")
    }

    fn write(&mut self, key: &str, offset: Option<usize>, patch: &[u8]) -> String {
        let value = self.0.entry(key.into()).or_default();
        let offset = offset.unwrap_or(value.len());
        value.resize(value.len().max(offset + patch.len()), 0);
        value[offset..offset + patch.len()].copy_from_slice(patch);
        format!(":{}\\r\\n", value.len())
    }

    fn range(&self, key: &str, start: i64, end: i64) -> String {
        let value = self.0.get(key).map_or(&b""[..], Vec::as_slice);
        let index = |i: i64| if i < 0 { (i + value.len() as i64).max(0) } else { i };
        let crossed = start < 0 && end < 0 && start > end;
        let part: Vec<u8> = (0..)
            .zip(value)
            .filter(|(i, _)| !crossed && (index(start)..=index(end)).contains(i))
            .map(|(_, b)| *b)
            .collect();
        Model::bulk(Some(&part))
    }
}

#[test]
fn random_commands_do_what_a_map_would() {
    let (mut m, mut model, mut prng) = (Memory::new(), Model::default(), Prng::seeded(11));
    for step in 0..40_000 {
        let key = format!("k{}", prng.below(6));
        let spread = [3, 60, 1_200][prng.below(3) as usize];
        let number = prng.below(2 * spread) as i64 - spread as i64;
        let offset = prng.below(spread) as usize;
        let longest = [1, 4, 1_100][prng.below(3) as usize];
        let patch = vec![b'0' + prng.below(10) as u8; 1 + prng.below(longest) as usize];
        let text = String::from_utf8(patch.clone()).expect("digits");
        let (line, expected) = match prng.below(11) {
            0 => {
                let old = Model::bulk(model.0.insert(key.clone(), patch).as_deref());
                (format!("SET {key} {text} GET"), old)
            }
            1 => (format!("GETDEL {key}"), Model::bulk(model.0.remove(&key).as_deref())),
            2 => (format!("APPEND {key} {text}"), model.write(&key, None, &patch)),
            3 => (format!("SETRANGE {key} {offset} {text}"), model.write(&key, Some(offset), &patch)),
            4 => (format!("INCR {key}"), model.add(&key, 1)),
            5 => (format!("DECRBY {key} {number}"), model.add(&key, -i128::from(number))),
            6 => {
                (format!("INCRBY {key} {}", i64::MAX - number.abs()), model.add(&key, (i64::MAX - number.abs()).into()))
            }
            7 => {
                let end = prng.below(2 * spread) as i64 - spread as i64;
                (format!("GETRANGE {key} {number} {end}"), model.range(&key, number, end))
            }
            8 => (format!("STRLEN {key}"), format!(":{}\\r\\n", model.0.get(&key).map_or(0, Vec::len))),
            9 => {
                let absent = !model.0.contains_key(&key);
                model.0.entry(key.clone()).or_insert(patch);
                (format!("SETNX {key} {text}"), format!(":{}\\r\\n", u8::from(absent)))
            }
            _ => (format!("GET {key}"), Model::bulk(model.0.get(&key).map(Vec::as_slice))),
        };
        assert_eq!(m.run(&line), expected, "step {step}: {line}");
        // Keeps the values of a size at which everything stays interesting.
        if step % 50 == 0 {
            m.run(&format!("SET {key} {number}"));
            model.0.insert(key, number.to_string().into());
        }
    }
    assert_eq!(m.server.dbs[0].len(), model.0.len());
}
