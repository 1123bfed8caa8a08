//! Streams that add an entry once though it is sent twice: IDMP and IDMPAUTO of XADD, XCFGSET and XIDMPRECORD, as Redis 8.6.2 answers.

use crate::memory::Memory;

const SYNTAX: &str = r"-ERR syntax error\r\n";
const INVALID_ID: &str = r"-ERR Invalid stream ID specified as stream command argument\r\n";
const NO_KEY: &str = r"-ERR no such key\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const ARITY: &str = r"-ERR wrong number of arguments for 'xadd' command\r\n";
const ONLY_AUTO: &str = r"-ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs\r\n";
const TWICE: &str = r"-ERR syntax error, IDMP/IDMPAUTO specified multiple times\r\n";

/// The replies of texts with an apostrophe are escaped.
fn refused(m: &mut Memory, line: &str, error: &str) {
    assert_eq!(m.run(line).replace(r"\'", "'"), error, "{line}");
}

/// What XINFO shows: seconds, ids at most, producers, ids, ids ever added, ids that came again.
fn shown(m: &mut Memory, key: &str) -> Vec<i64> {
    let info = m.run(&format!("XINFO STREAM {key}"));
    let names = ["idmp-duration", "idmp-maxsize", "pids-tracked", "iids-tracked", "iids-added", "iids-duplicates"];
    let number = |name: &&str| {
        let from = info.find(name).expect("a field") + name.len() + r"\r\n:".len();
        info[from..].split(r"\r\n").next().and_then(|number| number.parse().ok()).expect("a number")
    };
    names.iter().map(number).collect()
}

#[test]
fn an_entry_is_added_once_and_its_id_answered_again() {
    let mut m = Memory::new();
    let first = m.run("XADD s IDMP p1 i1 * a 1");
    m.advance_ms(5);
    let same = m.run("XADD s IDMP p1 i1 * b 2");
    assert_eq!(first, same);
    let auto = m.run("XADD s IDMPAUTO p1 * a 1 b 2");
    assert_ne!(auto, first);
    for line in ["XADD s IDMPAUTO p1 * b 2 a 1", "XADD s NOMKSTREAM MAXLEN 9 IDMPAUTO p1 * a 1 b 2"] {
        assert_eq!(m.run(line), auto, "{line}");
    }
    let others = ["p1 * a 1", "p1 * a 1 a 1", "p1 * ab c", "p1 * a bc", "p2 * a 1 b 2"];
    let others: Vec<String> = others.iter().map(|line| m.run(&format!("XADD s IDMPAUTO {line}"))).collect();
    assert!(
        others
            .iter()
            .all(|id| id.starts_with('$') && *id != auto && others.iter().filter(|one| *one == id).count() == 1)
    );
    assert_eq!(m.run("XLEN s"), r":7\r\n");
    assert_eq!(shown(&mut m, "s"), [100, 100, 2, 7, 7, 3]);
    // An entry that is gone is still known.
    m.run("XADD s MAXLEN 1 IDMP p1 last * a 1");
    assert_eq!(m.run("XADD s IDMP p1 i1 MAXLEN 0 * a 1"), first);
    assert_eq!(m.run("XLEN s"), r":1\r\n");
    m.expect(&[
        ("XADD new NOMKSTREAM IDMP p i * a 1", r"$-1\r\n"),
        ("EXISTS new", r":0\r\n"),
        ("XADD plain 1-1 a 1", r"$3\r\n1-1\r\n"),
    ]);
    assert_eq!(shown(&mut m, "plain"), [100, 100, 0, 0, 0, 0]);
    assert!(m.run("XINFO STREAM plain FULL").contains(r"$12\r\nidmp-maxsize\r\n:100\r\n"));
}

#[test]
fn lines_are_refused_in_the_order_of_redis() {
    let mut m = Memory::new();
    m.run("SET t x");
    for (line, error) in [
        ("XADD s IDMP p1 i2 1-1 a 1", ONLY_AUTO),
        ("XADD s IDMP p1 i2 5-* a 1", ONLY_AUTO),
        ("XADD s IDMPAUTO p1 7-1 a 1", ONLY_AUTO),
        ("XADD s LIMIT 5 IDMP p i 0-0 a", ONLY_AUTO),
        ("XADD t IDMP p1 i2 1-1 a 1", ONLY_AUTO),
        ("XADD t IDMP p1 i2 * a 1", WRONG_TYPE),
        ("XADD s IDMP p1 * a 1", INVALID_ID),
        ("XADD s IDMPAUTO * a 1", INVALID_ID),
        ("XADD s KEEPREF KEEPREF IDMP p", INVALID_ID),
        ("XADD s IDMP p1 i1 IDMPAUTO p1 * a 1", TWICE),
        ("XADD s IDMP p1 i1 IDMP p1 i2 * a 1", TWICE),
        ("XADD s IDMP p1 i1 * a", ARITY),
        ("XADD s IDMPAUTO p1 * a", ARITY),
    ] {
        refused(&mut m, line, error);
    }
    for (line, error) in [
        (&[&b"XADD"[..], b"s", b"IDMP", b"", b"i", b"1-1", b"a"][..], "IDMP requires a non-empty producer ID"),
        (&[b"XADD", b"s", b"IDMP", b"p", b"", b"*", b"a", b"1"], "IDMP requires a non-empty idempotent ID"),
        (&[b"XADD", b"s", b"LIMIT", b"5", b"IDMPAUTO", b"", b"*", b"a"], "IDMPAUTO requires a non-empty producer ID"),
    ] {
        assert_eq!(m.raw(line), format!("-ERR syntax error, {error}\r\n").as_bytes());
    }
    assert_eq!(m.run("EXISTS s"), r":0\r\n");
}

#[test]
fn what_is_remembered_ends_with_its_time_and_is_bounded() {
    let mut m = Memory::new();
    m.expect(
        &[
            ("CONFIG SET stream-idmp-duration 0", r"*"),
            ("CONFIG SET stream-idmp-duration 1", r"+OK\r\n"),
            ("CONFIG SET stream-idmp-maxsize 2", r"+OK\r\n"),
        ][1..],
    );
    assert!(m.run("CONFIG SET stream-idmp-duration 86401").contains("must be between 1 and 86400 inclusive"));
    assert!(m.run("CONFIG SET stream-idmp-maxsize 10001").contains("must be between 1 and 10000 inclusive"));
    m.run("XGROUP CREATE s g 0 MKSTREAM");
    m.run("CONFIG SET stream-idmp-duration 100");
    m.run("CONFIG SET stream-idmp-maxsize 100");
    assert_eq!(shown(&mut m, "s"), [1, 2, 0, 0, 0, 0]);
    let ids: Vec<String> = (0..3).map(|n| m.run(&format!("XADD s IDMP p i{n} * a 1"))).collect();
    assert_eq!(m.run("XADD s IDMP p i1 * a 1"), ids[1]);
    assert_eq!(shown(&mut m, "s"), [1, 2, 1, 2, 3, 1]);
    assert_ne!(m.run("XADD s IDMP p i0 * a 1"), ids[0], "the oldest one was forgotten");
    m.advance_ms(999);
    assert_eq!(m.run("XADD s IDMP p i2 * a 1"), ids[2]);
    m.advance_ms(1);
    assert_eq!(shown(&mut m, "s"), [1, 2, 0, 0, 4, 2]);
    assert_ne!(m.run("XADD s IDMP p i2 * a 1"), ids[2]);
    assert_eq!(shown(&mut m, "s"), [1, 2, 1, 1, 5, 2]);
    // Other settings forget all, and the same ones do not.
    m.expect(&[("XCFGSET s IDMP-MAXSIZE 2 IDMP-DURATION 1", r"+OK\r\n")]);
    assert_eq!(shown(&mut m, "s"), [1, 2, 1, 1, 5, 2]);
    m.expect(&[("XCFGSET s idmp-duration 7", r"+OK\r\n")]);
    assert_eq!(shown(&mut m, "s"), [7, 2, 0, 0, 5, 2]);
}

#[test]
fn bad_settings_and_records_are_refused() {
    let mut m = Memory::new();
    m.run("SET t x");
    m.run("XADD s 1-1 a 1");
    m.run("XADD s 2-1 a 1");
    let duration = r"-ERR IDMP-DURATION must be between 1 and 86400 seconds\r\n";
    let size = r"-ERR IDMP-MAXSIZE must be between 1 and 10000 entries\r\n";
    let no_integer = r"-ERR value is not an integer or out of range\r\n";
    let no_message = r"-ERR No such message in stream\r\n";
    m.expect(&[
        ("XCFGSET s", r"-ERR At least one parameter must be specified\r\n"),
        ("XCFGSET nokey", NO_KEY),
        ("XCFGSET nokey IDMP-MAXSIZE 0 FOO", NO_KEY),
        ("XCFGSET t FOO", WRONG_TYPE),
        ("XCFGSET s IDMP-DURATION 0", duration),
        ("XCFGSET s IDMP-DURATION 86401", duration),
        ("XCFGSET s IDMP-DURATION abc", no_integer),
        ("XCFGSET s IDMP-MAXSIZE 0", size),
        ("XCFGSET s IDMP-MAXSIZE -1", size),
        ("XCFGSET s IDMP-MAXSIZE 10001", size),
        ("XCFGSET s FOO 1", SYNTAX),
        ("XCFGSET s IDMP-MAXSIZE", SYNTAX),
        ("XCFGSET s IDMP-MAXSIZE 10 IDMP-MAXSIZE 11", r"-ERR IDMP-MAXSIZE specified multiple times\r\n"),
        ("XCFGSET s IDMP-DURATION 10 IDMP-DURATION x", r"-ERR IDMP-DURATION specified multiple times\r\n"),
        ("XIDMPRECORD s p i 1-1", r"+OK\r\n"),
        ("XIDMPRECORD s p i 1-1", r"+OK\r\n"),
        ("XIDMPRECORD s p i 2-1", r"-ERR IID already exists for this producer with a different stream ID\r\n"),
        ("XIDMPRECORD s p j 3-1", no_message),
        ("XIDMPRECORD s p j abc", INVALID_ID),
        ("XIDMPRECORD nokey p i abc", INVALID_ID),
        ("XIDMPRECORD nokey p i 1-1", NO_KEY),
        ("XIDMPRECORD t p i 1-1", WRONG_TYPE),
    ]);
    assert_eq!(m.raw(&[b"XIDMPRECORD", b"nokey", b"", b"", b"1-1"]), b"-ERR producer ID must be non-empty\r\n");
    assert_eq!(m.raw(&[b"XIDMPRECORD", b"nokey", b"p", b"", b"1-1"]), b"-ERR idempotent ID must be non-empty\r\n");
    // It is as old as its entry.
    assert_eq!(shown(&mut m, "s"), [100, 100, 0, 0, 1, 0]);
}

#[test]
fn streams_that_remember_nothing_are_as_small_as_ever_and_others_are_counted() {
    let mut m = Memory::new();
    m.run("XADD plain * a 1");
    m.run("XADD s IDMP p i * a 1");
    let bytes = |m: &mut Memory, key: &str| -> usize {
        let reply = m.run(&format!("MEMORY USAGE {key}"));
        reply[1..].split(r"\r\n").next().and_then(|number| number.parse().ok()).expect("a number")
    };
    let (plain, before) = (bytes(&mut m, "plain"), bytes(&mut m, "s"));
    assert!(before > plain, "{before} {plain}");
    (0..50).for_each(|n| drop(m.run(&format!("XADD s MAXLEN 1 IDMP p a-name-of-some-length-{n} * a 1"))));
    assert!(bytes(&mut m, "s") > before + 50 * 40);
    m.run("XCFGSET s IDMP-MAXSIZE 5");
    assert!(bytes(&mut m, "s") <= before + 64);
}

/// The bytes are those of Redis 8.6.2, which dumped this stream.
#[test]
fn a_payload_of_redis_brings_the_memory_and_is_made_again() {
    const PAYLOAD: &[u8] = b"\x1a\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xc3!&\x10&\x00\
        \x00\x00\x0f\x00\x02\x01\x00\x01\x01\x01\x81a\x02\x00\x01@\n@\x0c\x00\x04 \t\x00\x01\x80\t\x01\x01\xff\x02\x02\x01\
        \x01\x01\x00\x00\x02\x00@d@d\x01\x02p1\x01\x02i9\x01\x01\x01\x00\r\x00\x80\xe1\x18\xcf\xa6|^E";
    let mut m = Memory::new();
    assert_eq!(m.raw(&[b"RESTORE", b"v", b"0", PAYLOAD]), b"+OK\r\n");
    assert_eq!(shown(&mut m, "v"), [100, 100, 0, 0, 1, 0], "its entry is older than it is remembered");
    // How nodes are compressed is each server's own affair.
    let dumped = m.raw(&[b"DUMP", b"v"]);
    let tail = |payload: &[u8]| payload[payload.len() - 35..payload.len() - 8].escape_ascii().to_string();
    assert_eq!(tail(&dumped[..dumped.len() - 2]), tail(PAYLOAD));
    // Older versions hold the stream without.
    for version in [10, 11, 12, 80] {
        m.run(&format!("CONFIG SET rdb-format-version {version}"));
        let dumped = m.raw(&[b"DUMP", b"v"]);
        let start = dumped.iter().position(|&byte| byte == b'\n').expect("a bulk string") + 1;
        assert_eq!(m.raw(&[b"RESTORE", b"w", b"0", &dumped[start..dumped.len() - 2], b"REPLACE"]), b"+OK\r\n");
        assert_eq!((shown(&mut m, "w")[4], m.run("XLEN w")), (0, r":2\r\n".to_owned()));
    }
}

#[test]
fn what_was_dumped_or_copied_is_known_as_before() {
    let mut m = Memory::new();
    let id = m.run("XADD s IDMP p i * a 1");
    m.run("XADD s IDMPAUTO q * a 1");
    m.run("XCFGSET other IDMP-MAXSIZE 7");
    assert_eq!(m.run("COPY s t"), r":1\r\n");
    let dumped = m.raw(&[b"DUMP", b"s"]);
    let start = dumped.iter().position(|&byte| byte == b'\n').expect("a bulk string") + 1;
    assert_eq!(m.raw(&[b"RESTORE", b"r", b"0", &dumped[start..dumped.len() - 2]]), b"+OK\r\n");
    for key in ["t", "r"] {
        assert_eq!(shown(&mut m, key), [100, 100, 2, 2, 2, 0]);
        assert_eq!(m.run(&format!("XADD {key} IDMP p i * b 2")), id);
        m.run(&format!("XADD {key} IDMPAUTO q * a 1"));
        assert_eq!(m.run(&format!("XLEN {key}")), r":2\r\n");
    }
}
