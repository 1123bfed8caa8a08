//! DUMP and RESTORE: payloads that Redis 8.2.3 made, those of older versions, of DiceDB, and broken ones.

use aleadb::base::prng::Prng;
use aleadb::persist::payload::seal;

use crate::keys::expect_both;
use crate::memory::{Memory, START_MS};

const BAD_DATA: &str = r"-ERR Bad data format\r\n";
const BAD_FOOTER: &str = r"-ERR DUMP payload version or checksum are wrong\r\n";

/// Lines that make a key `k`, and what Redis 8.2.3 dumps then.
const DUMPS: &[(&[&str], &[u8])] = &[
    (&["SET k 12"], b"\x00\xc0\x0c\x0c\x00\xf7\x5c\xcc\x91\xa6.\x22\x9c"),
    (&["SET k -3000"], b"\x00\xc1H\xf4\x0c\x00\xa5\xb6\x80\xe3\xee\xe7\xf7\xbe"),
    (&["SET k 123456789"], b"\x00\xc2\x15\xcd[\x07\x0c\x00o\xc1\xfd\xc9\x1a\xc3\xa9\xd7"),
    (&["SET k 12345678901"], b"\x00\x0b12345678901\x0c\x00\xfb8f\x17\xdd=\xfbY"),
    (&["SET k hello"], b"\x00\x05hello\x0c\x00\xa8\x04\xeb\xb6\x9f\x1e\xbeC"),
    (&["SET k \"\""], b"\x00\x00\x0c\x00\x96\xedh\x80\xf5U<\x93"),
    (
        &["SET k abababababababababababababababababababababababababababababababababababababababab"],
        b"\x00\xc3\x0a@P\x02aba\xe0B\x01\x01ab\x0c\x00_\xebk\xceK\xf4:\x0c",
    ),
    (
        &["RPUSH k a 1 -70000 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"],
        b"\x12\x01\x02\xc3\x1a@Z\x12Z\x00\x00\x00\x04\x00\x81a\x02\x01\x01\xf2\x90\xee\xfe\x04\xe0Fx\xe0<\
          \x00\x01H\xff\x0c\x00sW\xd3\x05i. \xda",
    ),
    (
        &["CONFIG SET list-max-listpack-size 2", "RPUSH k a b c d e", "CONFIG SET list-max-listpack-size -2"],
        b"\x12\x03\x02\x0d\x0d\x00\x00\x00\x02\x00\x81a\x02\x81b\x02\xff\x02\x0d\x0d\x00\x00\x00\x02\x00\
          \x81c\x02\x81d\x02\xff\x02\x0a\x0a\x00\x00\x00\x01\x00\x81e\x02\xff\x0c\x00'$\x02g\x9a\x0a?\x92",
    ),
    (
        &["SADD k 1 2 300"],
        b"\x0b\x0e\x02\x00\x00\x00\x03\x00\x00\x00\x01\x00\x02\x00,\x01\x0c\x00.f\x86N\x81\xbf\xb7\xe3",
    ),
    (
        &["SADD k 1 -5000000000"],
        b"\x0b\x18\x08\x00\x00\x00\x02\x00\x00\x00\x00\x0e\xfa\xd5\xfe\xff\xff\xff\x01\x00\x00\x00\x00\x00\
          \x00\x00\x0c\x00We\xaa\xc7\x10\x1f=7",
    ),
    (&["SADD k a 1 b"], b"\x14\x0f\x0f\x00\x00\x00\x03\x00\x81a\x02\x01\x01\x81b\x02\xff\x0c\x00\xfcJ^\xf4|r8\x9a"),
    (
        &["SADD k mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"],
        b"\x02\x01\xc3\x09@A\x01mm\xe04\x00\x01mm\x0c\x00vQT\x90~EL\x04",
    ),
    (
        &["ZADD k 1 a 2.5 b -inf c inf d"],
        b"\x11%%\x00\x00\x00\x08\x00\x81c\x02\x84-inf\x05\x81a\x02\x01\x01\x81b\x02\x832.5\x04\x81d\x02\
          \x83inf\x04\xff\x0c\x00\x8c\x8c\xac\x85J\x8d\xf6L",
    ),
    (
        &["ZADD k 1.5 mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm"],
        b"\x05\x01\xc3\x09@A\x01mm\xe04\x00\x01mm\x00\x00\x00\x00\x00\x00\xf8?\x0c\x00<\xf4\xc3\xbe\xee'Aj",
    ),
    (
        &["HSET k f1 v1 f2 2"],
        b"\x10\x15\x15\x00\x00\x00\x04\x00\x82f1\x03\x82v1\x03\x82f2\x03\x02\x01\xff\x0c\x00\x97(\x9c\xd3\
          \x04\xc6\x81\xbc",
    ),
    (
        &["HSET k f vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv"],
        b"\x04\x01\x01f\xc3\x09@A\x01vv\xe04\x00\x01vv\x0c\x00\xf6\x07\x8a\x92\xcd\xacQ\x0c",
    ),
    (
        &["HSET k f1 v1 f2 2 f3 3", "HPEXPIREAT k 1800000000000 FIELDS 1 f2"],
        b"\x19\x00P\x5c\x18\xa3\x01\x00\x00))\x00\x00\x00\x09\x00\x82f2\x03\x02\x01\xf4\x00P\x5c\x18\xa3\
          \x01\x00\x00\x09\x82f1\x03\x82v1\x03\x00\x01\x82f3\x03\x03\x01\x00\x01\xff\x0c\x005U\xb6\xe5\xf1\
          G-\xa8",
    ),
    (
        &[
            "HSET k f vvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvvv",
            "HPEXPIREAT k 1800000000000 FIELDS 1 f",
        ],
        b"\x18\x00P\x5c\x18\xa3\x01\x00\x00\x01\x01\x01f\xc3\x09@A\x01vv\xe04\x00\x01vv\x0c\x00\xabQW\xa4x\
          e?\x17",
    ),
    (
        &["XADD k 1-1 a 1 b 2", "XADD k 1-2 a 3 b 4", "XADD k 5-0 c d", "XDEL k 1-2"],
        b"\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01>>\x00\x00\x00\x19\
          \x00\x02\x01\x01\x01\x02\x01\x81a\x02\x81b\x02\x00\x01\x02\x01\x00\x01\x00\x01\x01\x01\x02\x01\
          \x05\x01\x03\x01\x00\x01\x01\x01\x03\x01\x04\x01\x05\x01\x00\x01\x04\x01\xdf\xff\x02\x01\x01\x81\
          c\x02\x81d\x02\x06\x01\xff\x02\x05\x00\x01\x01\x01\x02\x03\x00\x0c\x00\xe0F\x01\x17o\xaf\xd20",
    ),
    (
        &["XADD k 1-1 a 1", "XGROUP CREATE k g 0", "XGROUP CREATE k h $ ENTRIESREAD 1"],
        b"\x15\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x1c\x1c\x00\x00\x00\
          \x0a\x00\x01\x01\x00\x01\x01\x01\x81a\x02\x00\x01\x02\x01\x00\x01\x00\x01\x01\x01\x04\x01\xff\
          \x01\x01\x01\x01\x01\x00\x00\x01\x02\x01g\x00\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\
          \x01h\x01\x01\x01\x00\x00\x0c\x00)\xf0\xc2\xef\x9b\xf5\xea\xc1",
    ),
    (
        &["XGROUP CREATE k g $ MKSTREAM"],
        b"\x15\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x01g\x00\x00\x81\xff\xff\xff\xff\xff\xff\xff\xff\
          \x00\x00\x0c\x004[\xe7,\xcdz\xb2\xb2",
    ),
];

/// A bulk string's content.
fn bulk(reply: &[u8]) -> &[u8] {
    let start = reply.windows(2).position(|two| two == b"\r\n").expect("a line") + 2;
    &reply[start..reply.len() - 2]
}

fn dump(m: &mut Memory, key: &str) -> Vec<u8> {
    bulk(&m.raw(&[b"DUMP", key.as_bytes()])).to_vec()
}

/// Restores a payload at `k`, over what is there; the reply.
fn restore(m: &mut Memory, payload: &[u8]) -> String {
    m.raw(&[b"RESTORE", b"k", b"0", payload, b"REPLACE"]).escape_ascii().to_string()
}

fn sealed(value: &[u8]) -> Vec<u8> {
    let mut payload = value.to_vec();
    seal(&mut payload);
    payload
}

#[test]
fn dumps_are_those_of_redis_byte_by_byte_and_come_back() {
    for (lines, expected) in DUMPS {
        let mut m = Memory::new();
        m.run("CONFIG SET rdb-format-version 12");
        for line in *lines {
            let reply = m.run(line);
            assert!(!reply.starts_with('-'), "{line}: {reply}");
        }
        let ours = dump(&mut m, "k");
        assert_eq!(ours.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{lines:?}");
        let encoding = m.run("OBJECT ENCODING k");
        assert_eq!(restore(&mut m, &ours), r"+OK\r\n", "{lines:?}");
        assert_eq!(dump(&mut m, "k"), ours, "{lines:?}");
        assert_eq!(m.run("OBJECT ENCODING k"), encoding, "{lines:?}");
    }
}

/// Servers refuse payloads of versions that are newer than they are, so no more is said than needs to be.
#[test]
fn dumps_have_the_lowest_version_that_holds_the_value_or_the_one_that_was_asked_for() {
    let timed = ["HSET k f 1 g 2", "HPEXPIREAT k 1800000000000 FIELDS 1 f"];
    let rows: &[(&[&str], u8)] = &[
        (&["SET k v"], 10),
        (&["RPUSH k a b"], 10),
        (&["SADD k 1 2"], 10),
        (&["SADD k a b"], 10),
        (&["ZADD k 1 a"], 10),
        (&["HSET k f v"], 10),
        (&timed, 12),
        (&[timed[0], timed[1], "HPERSIST k FIELDS 1 f"], 10),
        (&["XADD k 1-1 a b", "XGROUP CREATE k g 0"], 10),
        (&["XADD k 1-1 a b", "XGROUP CREATE k g 0", "XREADGROUP GROUP g c STREAMS k >"], 10),
        (&["XGROUP CREATE k g 0 MKSTREAM", "XGROUP CREATECONSUMER k g c"], 11),
    ];
    for (lines, lowest) in rows {
        let mut m = Memory::new();
        for line in *lines {
            m.run(line);
        }
        let state =
            |m: &mut Memory| [m.run("XINFO STREAM k FULL"), m.run("HPEXPIRETIME k FIELDS 1 f"), m.run("SORT k ALPHA")];
        let before = state(&mut m);
        // The one that may lose something comes last.
        for asked in [0, 11, 12, 80, 10] {
            m.run(&format!("CONFIG SET rdb-format-version {asked}"));
            // What has deadlines of fields is in no version that would lose them.
            let is_timed = *lowest == 12;
            let expected = if asked == 0 || (is_timed && asked < 12) { *lowest } else { asked };
            let payload = dump(&mut m, "k");
            assert_eq!(payload[payload.len() - 10..payload.len() - 8], [expected, 0], "{lines:?} {asked}");
            assert_eq!(restore(&mut m, &payload), r"+OK\r\n", "{lines:?} {asked}");
            if asked != 10 {
                assert_eq!(state(&mut m), before, "{lines:?} {asked}");
            }
        }
    }
}

#[test]
fn tables_come_back_whole() {
    let mut m = Memory::new();
    let numbers: Vec<String> = (0..700).map(|n| n.to_string()).collect();
    let pairs: Vec<String> = (0..700).flat_map(|n| [n.to_string(), format!("m{n}")]).collect();
    m.run(&format!("SADD set x {}", numbers.join(" ")));
    m.run(&format!("ZADD zset {}", pairs.join(" ")));
    m.run(&format!("HSET hash {}", pairs.join(" ")));
    m.run(&format!("HSET timed {}", pairs.join(" ")));
    m.run("HPEXPIREAT timed 1800000000000 FIELDS 3 1 2 699");
    m.run("HPEXPIREAT timed 1800000000500 FIELDS 1 7");
    m.run(&format!("SADD left {}", numbers.join(" ")));
    m.run("SPEXPIREAT left 1800000000000 MEMBERS 2 1 699");
    m.run(&format!("ZADD ranked {}", pairs.join(" ")));
    m.run("ZPEXPIREAT ranked 1800000000000 MEMBERS 2 m1 m699");
    m.run(&format!("RPUSH list {0} {1} {0}", numbers.join(" "), "x".repeat(9_000)));
    let questions = [
        ("set", "hashtable", "SINTERCARD 2 k set"),
        ("zset", "skiplist", "ZRANGE k 0 -1 WITHSCORES"),
        ("hash", "hashtable", "HLEN k"),
        ("timed", "hashtable", "HPEXPIRETIME k FIELDS 5 1 2 3 7 699"),
        ("left", "hashtable", "SPEXPIRETIME k MEMBERS 4 1 2 699 none"),
        ("ranked", "skiplist", "ZPEXPIRETIME k MEMBERS 4 m1 m2 m699 none"),
        ("ranked", "skiplist", "ZRANGE k 0 -1 WITHSCORES"),
        ("list", "quicklist", "LRANGE k 0 -1"),
    ];
    for (key, encoding, question) in questions {
        let payload = dump(&mut m, key);
        assert_eq!(restore(&mut m, &payload), r"+OK\r\n", "{key}");
        assert_eq!(m.run("OBJECT ENCODING k"), format!(r"${}\r\n{encoding}\r\n", encoding.len()));
        assert_eq!(m.run(question), m.run(&question.replacen(" k ", &format!(" {key} "), 1)), "{question}");
        // Tables that hold the same may show it in another order, which compresses otherwise.
        m.run("CONFIG SET rdbcompression no");
        assert_eq!(dump(&mut m, "k").len(), dump(&mut m, key).len(), "{key}");
        m.run("CONFIG SET rdbcompression yes");
    }
}

#[test]
fn long_strings_are_compressed_unless_told_otherwise() {
    let mut m = Memory::new();
    m.run(&format!("SET k {}", "x".repeat(9_000)));
    assert!(dump(&mut m, "k").len() < 150);
    m.run("CONFIG SET rdbcompression no");
    assert_eq!(dump(&mut m, "k").len(), 1 + 2 + 9_000 + 10);
}

#[test]
fn lines_are_refused_as_redis_does_and_in_its_order() {
    expect_both(&[
        ("SET k v", r"+OK\r\n"),
        ("DUMP nokey", r"$-1\r\n"),
        ("RESTORE k 0 junk", r"-BUSYKEY Target key name already exists.\r\n"),
        ("RESTORE k -1 junk", r"-BUSYKEY Target key name already exists.\r\n"),
        ("RESTORE z x junk", r"-ERR value is not an integer or out of range\r\n"),
        ("RESTORE z -1 junk", r"-ERR Invalid TTL value, must be >= 0\r\n"),
        ("RESTORE z 0 junk", BAD_FOOTER),
        ("RESTORE z 0 \"\"", BAD_FOOTER),
        ("RESTORE k 0 junk REPLACE ABSTTL IDLETIME 5 IDLETIME 6", BAD_FOOTER),
        ("RESTORE k 0 junk FREQ 255 FREQ 0 REPLACE", BAD_FOOTER),
        ("RESTORE z 0 junk IDLETIME -1", r"-ERR Invalid IDLETIME value, must be >= 0\r\n"),
        ("RESTORE z 0 junk IDLETIME x", r"-ERR value is not an integer or out of range\r\n"),
        ("RESTORE z 0 junk FREQ 256", r"-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"),
        ("RESTORE z 0 junk FREQ -1", r"-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n"),
        ("RESTORE z 0 junk FREQ 1 IDLETIME 1", r"-ERR syntax error\r\n"),
        ("RESTORE z 0 junk IDLETIME 1 FREQ 1", r"-ERR syntax error\r\n"),
        ("RESTORE z 0 junk IDLETIME", r"-ERR syntax error\r\n"),
        ("RESTORE z 0 junk NOW", r"-ERR syntax error\r\n"),
        ("RESTORE z 0", r"-ERR wrong number of arguments for \'restore\' command\r\n"),
        ("DUMP", r"-ERR wrong number of arguments for \'dump\' command\r\n"),
    ]);
}

#[test]
fn times_to_live_and_idle_times_are_set() {
    let mut m = Memory::new();
    m.run("SET a v");
    let payload = dump(&mut m, "a");
    let mut restore = |key: &str, ttl: i64, options: &[&str]| {
        let ttl = ttl.to_string();
        let mut line: Vec<&[u8]> = vec![b"RESTORE", key.as_bytes(), ttl.as_bytes(), &payload];
        line.extend(options.iter().map(|option| option.as_bytes()));
        assert_eq!(m.raw(&line), b"+OK\r\n", "{key} {ttl} {options:?}");
    };
    restore("none", 0, &[]);
    restore("relative", 5_000, &[]);
    restore("absolute", START_MS + 7_000, &["absttl"]);
    restore("idle", 0, &["IDLETIME", "1000"]);
    restore("often", 0, &["FREQ", "200"]);
    restore("past", 1, &["ABSTTL"]);
    m.expect(&[
        ("PTTL none", r":-1\r\n"),
        ("PTTL relative", r":5000\r\n"),
        ("PTTL absolute", r":7000\r\n"),
        ("OBJECT IDLETIME idle", r":1000\r\n"),
        ("OBJECT IDLETIME none", r":0\r\n"),
        ("EXISTS past often", r":1\r\n"),
    ]);
    m.advance_ms(7_000);
    m.expect(&[("EXISTS relative absolute none", r":1\r\n")]);
}

#[test]
fn elements_of_restored_collections_expire() {
    for (line, question) in
        [("SADDEX a PX 50 MEMBERS 1 f", "SMEMBERS k"), ("ZADDEX a PX 50 MEMBERS 1 3 f", "ZRANGE k 0 -1")]
    {
        let mut m = Memory::new();
        m.expect(&[(line, r":1\r\n")]);
        let payload = dump(&mut m, "a");
        for later_ms in [0, 50] {
            let mut m = Memory::new();
            m.clock.advance_ms(later_ms);
            assert_eq!(restore(&mut m, &payload), r"+OK\r\n");
            m.expect(&[(question, if later_ms == 0 { r"*1\r\n$1\r\nf\r\n" } else { r"*0\r\n" })]);
            m.advance_ms(50 - later_ms);
            m.expect(&[("EXISTS k", r":0\r\n")]);
        }
    }

    let mut m = Memory::new();
    m.expect(&[("HSET a f 1 g 2", r":2\r\n"), ("HPEXPIRE a 50 FIELDS 1 f", r"*1\r\n:1\r\n")]);
    let packed = dump(&mut m, "a");
    m.run(&format!("HSET a long {}", "x".repeat(100)));
    let table = dump(&mut m, "a");
    for payload in [packed, table] {
        let mut m = Memory::new();
        assert_eq!(restore(&mut m, &payload), r"+OK\r\n");
        m.expect(&[("HPTTL k FIELDS 2 f g", r"*2\r\n:50\r\n:-1\r\n")]);
        m.advance_ms(60);
        m.expect(&[("HEXISTS k f", r":0\r\n"), ("HEXISTS k g", r":1\r\n")]);
    }
}

#[test]
fn events_are_those_of_redis() {
    let mut m = Memory::new();
    let (listener, worker) = (m.client, m.connect());
    m.expect_of(&[
        (worker, "SET a v", r"+OK\r\n"),
        (worker, "RPUSH l v", r":1\r\n"),
        (worker, "CONFIG SET notify-keyspace-events KAnoc", r"+OK\r\n"),
        (listener, "SUBSCRIBE __keyspace@0__:k", r"*3\r\n$9\r\nsubscribe\r\n$16\r\n__keyspace@0__:k\r\n:1\r\n"),
    ]);
    m.client = worker;
    let (text, list) = (dump(&mut m, "a"), dump(&mut m, "l"));
    let mut sends = |line: &[&[u8]], events: &[&str]| {
        m.client = worker;
        assert_eq!(m.raw(line), b"+OK\r\n");
        let expected: String = events
            .iter()
            .map(|event| format!(r"*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:k\r\n${}\r\n{event}\r\n", event.len()))
            .collect();
        assert_eq!(m.take_sent(listener), expected);
    };
    sends(&[b"RESTORE", b"k", b"0", &text], &["new", "restore"]);
    sends(&[b"RESTORE", b"k", b"0", &text, b"REPLACE"], &["new", "restore", "overwritten"]);
    sends(&[b"RESTORE", b"k", b"0", &list, b"REPLACE"], &["new", "restore", "overwritten", "type_changed"]);
    sends(&[b"RESTORE", b"k", b"1", &list, b"REPLACE", b"ABSTTL"], &["del"]);
    sends(&[b"RESTORE", b"k", b"1", &list, b"REPLACE", b"ABSTTL"], &[]);
}

#[test]
fn a_restored_list_is_what_others_wait_for() {
    let mut m = Memory::new();
    m.run("RPUSH a v");
    let payload = dump(&mut m, "a");
    let (worker, waiting) = (m.client, m.connect());
    m.expect(&[("BLPOP k 0", "")]);
    m.client = worker;
    assert_eq!(restore(&mut m, &payload), r"+OK\r\n");
    m.advance_ms(0);
    assert_eq!(m.take_sent(waiting), r"*2\r\n$1\r\nk\r\n$1\r\nv\r\n");
    m.client = worker;
    m.expect(&[("EXISTS k", r":0\r\n")]);
}

#[test]
fn payloads_of_dicedb_are_understood() {
    let rows = [
        ("CQAAAAADYmFy/72GUVF+ClKv", "GET k", r"$3\r\nbar\r\n"),
        ("CQUAAAAAAAAwOf8OqbusYAl2pQ==", "INCR k", r":12346\r\n"),
        ("CQQAAAAAAAAAAUD/g00L5pRbaJI=", "GETBIT k 1", r":1\r\n"),
        (
            "CQYAAAAAAAAAAwAAAANiYXIAAAADYmF6AAAABGJhenr/DSf4vHxjdYo=",
            "SMISMEMBER k bar baz bazz x",
            r"*4\r\n:1\r\n:1\r\n:1\r\n:0\r\n",
        ),
        (
            "CQgAAAAAAAAAAgAAAAAAAAADYmFyP/AAAAAAAAAAAAAAAAAABGJhenpAAAAAAAAAAP/POOElibTuYQ==",
            "ZRANGE k 0 -1 WITHSCORES",
            r"*4\r\n$3\r\nbar\r\n$1\r\n1\r\n$4\r\nbazz\r\n$1\r\n2\r\n",
        ),
    ];
    let mut m = Memory::new();
    for (payload, question, reply) in rows {
        assert_eq!(restore(&mut m, payload.as_bytes()), r"+OK\r\n", "{payload}");
        m.expect(&[(question, reply)]);
        let last = payload.len() - 5;
        assert_eq!(restore(&mut m, &payload.as_bytes()[..last]), BAD_FOOTER);
    }
    // A document, which there is no type for.
    let json = "CQMAAAAYeyJhZ2UiOjMwLCJuYW1lIjoiSm9obiJ9/6PVaIgw0n+C";
    assert_eq!(restore(&mut m, json.as_bytes()), BAD_DATA);
}

/// A ziplist with one of each kind of element.
const ZIPLIST: &[u8] = b"3\x00\x00\x00/\x00\x00\x00\x0a\x00\x00\x01a\x03\xf6\x02\xfe\x9c\x03\xc0\xb8\x0b\x04\xf0\x90\
\xee\xfe\x05\xd0\x00\xca\x9a;\x06\xe0\x00\x00\x9cXLI\x1f\xf2\x0a\xfd\x02\xf1\x02\x01b\xff";

/// Values in the forms of older versions, and what is read from them.
const OLD_FORMS: &[(&[u8], &str, &str)] = &[
    (b"\x01\x03\x01a\xc0\x05\x00", "LRANGE k 0 -1", r"*3\r\n$1\r\na\r\n$1\r\n5\r\n$0\r\n\r\n"),
    (b"\x02\x02\x01a\x01b", "SMISMEMBER k a b c", r"*3\r\n:1\r\n:1\r\n:0\r\n"),
    (
        b"\x03\x04\x01a\x031.5\x01b\xff\x01c\xfe\x01d\x04-2e3",
        "ZRANGE k 0 -1 WITHSCORES",
        r"*8\r\n$1\r\nb\r\n$4\r\n-inf\r\n$1\r\nd\r\n$5\r\n-2000\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\nc\r\n$3\r\ninf\r\n",
    ),
    (b"\x04\x01\x01f\x01v", "HGETALL k", r"*2\r\n$1\r\nf\r\n$1\r\nv\r\n"),
    (
        b"\x09\x11\x02\x01f\x01\x02v\x00\x00\x01g\x02\x0212\x00\x00\xff",
        "HGETALL k",
        r"*4\r\n$1\r\nf\r\n$1\r\nv\r\n$1\r\ng\r\n$2\r\n12\r\n",
    ),
    (
        b"\x0c\x19\x19\x00\x00\x00\x13\x00\x00\x00\x04\x00\x00\x01b\x03\xfe\xff\x03\x01a\x03\x031.5\xff",
        "ZRANGE k 0 -1 WITHSCORES",
        r"*4\r\n$1\r\nb\r\n$2\r\n-1\r\n$1\r\na\r\n$3\r\n1.5\r\n",
    ),
    (
        b"\x0d\x16\x16\x00\x00\x00\x12\x00\x00\x00\x04\x00\x00\x01f\x03\xf2\x02\x01g\x03\x01v\xff",
        "HGETALL k",
        r"*4\r\n$1\r\nf\r\n$1\r\n1\r\n$1\r\ng\r\n$1\r\nv\r\n",
    ),
    (
        b"\x0e\x01\x10\x10\x00\x00\x00\x0d\x00\x00\x00\x02\x00\x00\x01a\x03\xf2\xff",
        "LRANGE k 0 -1",
        r"*2\r\n$1\r\na\r\n$1\r\n1\r\n",
    ),
    (
        b"\x16\x01\x81\x00\x00\x01\xa3\x18\x5c\x50\x00\x01c\x01d",
        "HPEXPIRETIME k FIELDS 1 c",
        r"*1\r\n:1800000000000\r\n",
    ),
    // What follows the value is not looked at.
    (b"\x00\x01xjunk", "GET k", r"$1\r\nx\r\n"),
];

#[test]
fn forms_of_older_versions_are_read() {
    let mut m = Memory::new();
    for (value, question, reply) in OLD_FORMS {
        assert_eq!(restore(&mut m, &sealed(value)), r"+OK\r\n", "{}", value.escape_ascii());
        m.expect(&[(question, reply)]);
    }
    let list = [&[0x0a, ZIPLIST.len() as u8], ZIPLIST].concat();
    assert_eq!(restore(&mut m, &sealed(&list)), r"+OK\r\n");
    let words = ["a", "5", "-100", "3000", "-70000", "1000000000", "-1000000000000000000", "12", "0", "b"];
    let elements: String = words.iter().map(|word| format!(r"${}\r\n{word}\r\n", word.len())).collect();
    m.expect(&[("LRANGE k 0 -1", &format!(r"*10\r\n{elements}"))]);
}

#[test]
fn what_contradicts_itself_is_refused() {
    let broken: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("a module's value", b"\x07\x01x"),
        ("a form that never was", b"\x08\x01x"),
        ("a form to come", b"\x1a\x01x"),
        ("a string that is longer than the rest", b"\x00\x05abc"),
        ("a string of an unknown kind", b"\x00\xc4abc"),
        ("a length of an unknown kind", b"\x00\x82abcdefgh"),
        ("a compressed string of absurd length", b"\x00\xc3\x02\x81\x00\x00\x00\xff\x00\x00\x00\x00\x01a"),
        ("a compressed string that looks back too far", b"\x00\xc3\x03\x10\x20\x00\x00"),
        ("an empty list", b"\x01\x00"),
        ("an empty set", b"\x02\x00"),
        ("an empty sorted set", b"\x05\x00"),
        ("an empty hash", b"\x04\x00"),
        ("an absurd count", b"\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff\x01a"),
        ("a member twice", b"\x02\x02\x01a\x01a"),
        ("a field twice", b"\x04\x02\x01a\x01b\x01a\x01c"),
        ("a member with two scores", b"\x05\x02\x01a\0\0\0\0\0\0\0\0\x01a\0\0\0\0\0\0\xf0\x3f"),
        ("a score that is no number", b"\x05\x01\x01a\0\0\0\0\0\0\xf8\x7f"),
        ("a score that says so", b"\x03\x01\x01a\xfd"),
        ("a score of text", b"\x03\x01\x01a\x01x"),
        ("integers out of order", b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x05\0\x04\0"),
        ("integers twice", b"\x0b\x0c\x02\0\0\0\x02\0\0\0\x05\0\x05\0"),
        ("too few integers", b"\x0b\x0c\x02\0\0\0\x03\0\0\0\x04\0\x05\0"),
        ("no integers", b"\x0b\x08\x02\0\0\0\0\0\0\0"),
        ("an empty element by itself", b"\x12\x01\x01\x00"),
        ("an unknown container", b"\x12\x01\x03\x01x"),
        ("only empty nodes", b"\x12\x01\x02\x07\x07\0\0\0\0\0\xff"),
        ("an empty pack", b"\x14\x07\x07\0\0\0\0\0\xff"),
        ("a packed member twice", b"\x14\x0d\x0d\0\0\0\x02\0\x81a\x02\x81a\x02\xff"),
        ("a field without a value", b"\x10\x0a\x0a\0\0\0\x01\0\x81a\x02\xff"),
        ("scores out of order", b"\x11\x11\x11\0\0\0\x04\0\x81a\x02\x05\x01\x81b\x02\x01\x01\xff"),
        ("a packed member with two scores", b"\x11\x11\x11\0\0\0\x04\0\x81a\x02\x01\x01\x81a\x02\x05\x01\xff"),
        ("a zipmap without fields", b"\x09\x02\x00\xff"),
        ("a deadline beyond all", b"\x18\0\0\0\0\0\x40\0\0\x01\x01\x01c\x01d"),
        ("a stream's key of a wrong length", b"\x15\x01\x01a\x07\x07\0\0\0\0\0\xff\0\0\0\0\0\0\0\0\0"),
    ];
    let mut m = Memory::new();
    m.run("SET k old");
    for (what, value) in broken {
        assert_eq!(restore(&mut m, &sealed(value)), BAD_DATA, "{what}");
    }
    m.expect(&[("GET k", r"$3\r\nold\r\n")]);
    let mut newer = b"\x00\x01x\x0d\x00".to_vec();
    let tail = sealed(b"\x00\x01x");
    newer.extend_from_slice(&tail[tail.len() - 8..]);
    assert_eq!(restore(&mut m, &newer), BAD_FOOTER);
}

/// Lines that read all of a value, whatever its type, and change it.
const WALKS: &[&str] = &[
    "OBJECT ENCODING k",
    "MEMORY USAGE k",
    "GET k",
    "LRANGE k 0 -1",
    "LPOS k a RANK -1",
    "SMEMBERS k",
    "SSCAN k 0",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZRANGEBYSCORE k -inf +inf",
    "HGETALL k",
    "HRANDFIELD k 3 WITHVALUES",
    "HPEXPIRETIME k FIELDS 2 f1 f2",
    "XRANGE k - +",
    "XREVRANGE k + -",
    "XINFO STREAM k FULL",
    "SORT k ALPHA",
    "COPY k copy REPLACE",
    "APPEND k x",
    "LINSERT k BEFORE a z",
    "RPUSH k new",
    "LPOP k",
    "SADD k new",
    "SPOP k",
    "ZADD k 0 new",
    "ZINCRBY k 3 a",
    "ZPOPMIN k",
    "HSET k new 1 f1 2",
    "HDEL k f2",
    "XADD k * new 1",
    "XREADGROUP GROUP g c COUNT 2 STREAMS k >",
    "XREADGROUP GROUP g c2 STREAMS k 0",
    "XPENDING k g",
    "XAUTOCLAIM k g c3 0 -",
    "XACK k g 1-1",
    "XDEL k 1-1",
    "XTRIM k MAXLEN 1",
];

/// Values of which damaged ones are made: those above, the older forms, and some that have more to damage.
fn originals() -> Vec<Vec<u8>> {
    let mut m = Memory::new();
    let mut originals: Vec<Vec<u8>> = OLD_FORMS.iter().map(|(value, ..)| value.to_vec()).collect();
    originals.push([&[0x0a, ZIPLIST.len() as u8], ZIPLIST].concat());
    let value_of = |payload: &[u8]| payload[..payload.len() - 10].to_vec();
    originals.extend(DUMPS.iter().map(|(_, payload)| value_of(payload)));
    m.run("CONFIG SET rdbcompression no");
    let more: &[&[&str]] = &[
        &["SADD k a b c d e f g h 1 2 3 longer-than-others-is-this-member-and-so-there-has-to-be-a-table-of-members"],
        &["ZADD k 1 a 2 b 3 c 4 longer-than-others-is-this-member-and-so-there-has-to-be-a-table-of-members"],
        &[
            "HSET k f1 1 f2 2 f3 longer-than-others-is-this-value-and-so-there-has-to-be-a-table-of-the-fields",
            "HPEXPIREAT k 1800000000000 FIELDS 2 f1 f2",
        ],
        &[
            "XADD k 1-1 a 1",
            "XADD k 1-2 a 2 b 3",
            "XADD k 2-0 a 4",
            "XDEL k 1-2",
            "XGROUP CREATE k g 0",
            "XREADGROUP GROUP g c STREAMS k >",
            "XREADGROUP GROUP g c2 STREAMS k >",
            "XGROUP CREATE k h 1-1",
        ],
    ];
    for lines in more {
        m.run("DEL k");
        lines.iter().for_each(|line| drop(m.run(line)));
        originals.push(value_of(&dump(&mut m, "k")));
    }
    originals
}

/// Every value is damaged in many ways; what is not refused with Redis's error can be walked, changed and dumped.
#[test]
fn damaged_payloads_are_refused_or_make_sound_values() {
    let mut prng = Prng::seeded(7);
    let originals = originals();
    let (mut refused, mut taken) = (0, 0);
    let mut m = Memory::new();
    for original in &originals {
        for _ in 0..400 {
            let mut value = original.clone();
            for _ in 0..=prng.below(3) {
                damage(&mut value, &originals, &mut prng);
            }
            match restore(&mut m, &sealed(&value)).as_str() {
                BAD_DATA => refused += 1,
                r"+OK\r\n" => {
                    taken += 1;
                    walk(&mut m, &value);
                }
                other => panic!("{}: {other}", value.escape_ascii()),
            }
        }
    }
    assert!(refused > 1_000 && taken > 500, "{refused} refused, {taken} taken");
}

fn damage(value: &mut Vec<u8>, others: &[Vec<u8>], prng: &mut Prng) {
    if value.is_empty() {
        return;
    }
    let at = prng.below(value.len() as u64) as usize;
    match prng.below(8) {
        0 => value.truncate(at),
        1 => value[at] ^= 1 << prng.below(8),
        2 => value[at] = prng.below(256) as u8,
        3 => value[at] = [0, 1, 0x3F, 0x40, 0x80, 0x81, 0xC0, 0xC3, 0xFE, 0xFF][prng.below(10) as usize],
        4 => drop(value.remove(at)),
        5 => value.insert(at, prng.below(256) as u8),
        // Part of it once more, and part of another.
        6 => {
            let end = (at + prng.below(20) as usize).min(value.len());
            let part = value[at..end].to_vec();
            value.splice(at..at, part);
        }
        _ => {
            let other = &others[prng.below(others.len() as u64) as usize];
            let from = prng.below(other.len() as u64) as usize;
            value.truncate(at);
            value.extend_from_slice(&other[from..]);
        }
    }
}

fn walk(m: &mut Memory, value: &[u8]) {
    // What has fields that are due is gone before it can be looked at.
    if m.run("EXISTS k") == r":0\r\n" {
        return;
    }
    let payload = dump(m, "k");
    let reply = restore(m, &payload);
    assert_eq!(reply, r"+OK\r\n", "{} dumped as {}", value.escape_ascii(), payload.escape_ascii());
    WALKS.iter().for_each(|line| drop(m.run(line)));
    if m.run("EXISTS k") == r":1\r\n" {
        let changed = dump(m, "k");
        assert_eq!(restore(m, &changed), r"+OK\r\n", "{} dumped as {}", value.escape_ascii(), changed.escape_ascii());
    }
}

#[test]
fn restore_with_a_ttl_that_overflows_is_refused_and_keeps_the_key() {
    let mut m = Memory::new();
    m.run("SET k old");
    m.run("SET other new");
    let dumped = m.raw(&[b"DUMP", b"other"]);
    let start = dumped.iter().position(|&byte| byte == b'\n').expect("a header") + 1;
    let payload = dumped[start..dumped.len() - 2].to_vec();
    for ttl in ["9223372036854775807", "9223372036854775000"] {
        let reply = m.raw(&[b"RESTORE", b"k", ttl.as_bytes(), &payload, b"REPLACE"]);
        assert_eq!(reply, b"-ERR invalid expire time in 'restore' command\r\n", "{ttl}");
    }
    m.expect(&[("GET k", r"$3\r\nold\r\n"), ("TTL k", r":-1\r\n")]);
    assert_eq!(m.server.dbs[0].stats().expired, 0);
    // The same number is a moment that can be told.
    let reply = m.raw(&[b"RESTORE", b"k", b"9223372036854775807", &payload, b"REPLACE", b"ABSTTL"]);
    assert_eq!(reply, b"+OK\r\n");
    m.expect(&[("GET k", r"$3\r\nnew\r\n"), ("PEXPIRETIME k", r":9223372036854775807\r\n")]);
}

/// What Redis 8.6.2 dumped of a stream with one group, and of one whose producers gave their entries ids.
#[test]
fn streams_of_redis_8_6_are_restored() {
    let mut m = Memory::new();
    let with_group: &[&[u8]] = &[
        b"\x1a\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01((\x00\x00\x00\x0f\x00\x02\x01\x00\x01",
        b"\x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\x02\x01\x01\x01\x00\x01\x81v\x02\x04\x01\xff",
        b"\x02\x02\x01\x01\x01\x00\x00\x02\x01\x01g\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00",
        b"\x01\xfa\x1d\xdc\x19\xa2\x01\x00\x00\x01\x01\x01c\xfa\x1d\xdc\x19\xa2\x01\x00\x00\xfa\x1d\xdc\x19\xa2\x01\x00\x00\x01",
        b"\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01@d@d\x00\x00\x00\x0d\x00\xb9eM\xfd\xd0",
        b"\x9b-\x04",
    ];
    let with_producers: &[&[u8]] = &[
        b"\x1a\x01\x10\x00\x00\x01\xa2\x19\xdc\x1d\xfa\x00\x00\x00\x00\x00\x00\x00\x00\xc3)3\x113\x00\x00\x00\x14\x00\x03",
        b"\x01\x00\x01\x01\x01\x81f\x02\x00\x01\x02 \x0a\x05\x00\x01\x81v\x02\x04`\x0a \x15\xc0\x0a\x00\x02`\x0a",
        b"\x01\x01\xff\x03\x81\x00\x00\x01\xa2\x19\xdc\x1d\xfa\x02\x81\x00\x00\x01\xa2\x19\xdc\x1d\xfa\x00\x00\x00\x03\x00@d",
        b"@d\x02\x02pp\x01\xc0\x03\x81\x00\x00\x01\xa2\x19\xdc\x1d\xfa\x02\x09producer1\x02",
        b"\x07iid-one\x81\x00\x00\x01\xa2\x19\xdc\x1d\xfa\x00\x07iid-two\x81\x00\x00\x01",
        b"\xa2\x19\xdc\x1d\xfa\x01\x03\x00\x0d\x00\xad\xc7Q\x83\xd3\xdfp\x1d",
    ];
    for (key, payload) in [("s", with_group), ("s2", with_producers)] {
        assert_eq!(m.raw(&[b"RESTORE", key.as_bytes(), b"0", &payload.concat()]), b"+OK\r\n", "{key}");
    }
    m.expect(&[
        ("XLEN s", r":2\r\n"),
        ("XPENDING s g", r"*4\r\n:1\r\n$3\r\n1-1\r\n$3\r\n1-1\r\n*1\r\n*2\r\n$1\r\nc\r\n$1\r\n1\r\n"),
        ("XLEN s2", r":3\r\n"),
    ]);
}

/// Valkey 9 has a form of its own for hashes whose fields have deadlines, under a byte that is another form to Redis.
#[test]
fn payloads_of_valkey_9_are_restored() {
    let mut m = Memory::new();
    let timed = b"\x16\x02\x02f1\x02v1\xff\xff\xff\xff\xff\xff\xff\xff\x02f2\xc0\x02\x00P\x5c\x18\xa3\x01\x00\x00P\x00\xc3\x9cn\
                  \xb1\"\xaa\xa8\x18";
    assert_eq!(restore(&mut m, timed), r"+OK\r\n");
    m.expect(&[
        ("HGETALL k", r"*4\r\n$2\r\nf2\r\n$1\r\n2\r\n$2\r\nf1\r\n$2\r\nv1\r\n"),
        ("HPEXPIRETIME k FIELDS 2 f1 f2", r"*2\r\n:-1\r\n:1800000000000\r\n"),
    ]);
    assert_eq!(restore(&mut m, b"\x00\x05helloP\x00\xacX\x16\xe7\xfbfG\xfe"), r"+OK\r\n");
    m.expect(&[("GET k", r"$5\r\nhello\r\n")]);
}
