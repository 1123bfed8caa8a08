//! Bitmaps. What is expected here was answered by Redis 8.2.3.

use aleadb::config::Config;
use aleadb::resp::reply::Proto;

use crate::memory::Memory;

#[test]
fn setbit_grows_the_string_and_returns_the_old_bit() {
    let mut m = Memory::new();
    m.expect(&[
        ("SETBIT k 7 1", r":0\r\n"),
        ("SETBIT k 7 0", r":1\r\n"),
        ("SETBIT k 7 0", r":0\r\n"),
        ("GET k", r"$1\r\n\x00\r\n"),
        ("SETBIT k 20 1", r":0\r\n"),
        ("GET k", r"$3\r\n\x00\x00\x08\r\n"),
        ("GETBIT k 20", r":1\r\n"),
        ("GETBIT k 21", r":0\r\n"),
        ("GETBIT k 4294967295", r":0\r\n"),
        ("GETBIT nosuch 0", r":0\r\n"),
        ("SET n 5", r"+OK\r\n"),
        ("SETBIT n 0 0", r":0\r\n"),
        ("OBJECT ENCODING n", r"$3\r\nraw\r\n"),
        ("SETBIT n 6 1", r":0\r\n"),
        ("GET n", r"$1\r\n7\r\n"),
        ("SETBIT k 4294967296 1", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT k -1 1", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT k #1 1", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT k x 1", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT k 1 2", r"-ERR bit is not an integer or out of range\r\n"),
        ("SETBIT k 1 -1", r"-ERR bit is not an integer or out of range\r\n"),
        ("SETBIT k 1 x", r"-ERR bit is not an integer or out of range\r\n"),
        ("SETBIT k x x", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("GETBIT k 4294967296", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("GETBIT k x", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("SETBIT k 1", r"-ERR wrong number of arguments for \'setbit\' command\r\n"),
    ]);
}

#[test]
fn bitcount_counts_bytes_or_bits_of_a_range() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k foobar", r"+OK\r\n"),
        ("BITCOUNT k", r":26\r\n"),
        ("BITCOUNT k 0 0", r":4\r\n"),
        ("BITCOUNT k 1 1 BYTE", r":6\r\n"),
        ("BITCOUNT k 5 30 bit", r":17\r\n"),
        ("BITCOUNT k -2 -1", r":7\r\n"),
        ("BITCOUNT k -9 -8", r":4\r\n"),
        ("BITCOUNT k -8 -9", r":0\r\n"),
        ("BITCOUNT k 3 1", r":0\r\n"),
        ("BITCOUNT k 0 9223372036854775807", r":26\r\n"),
        ("BITCOUNT k -9223372036854775808 9223372036854775807 BIT", r":26\r\n"),
        ("BITCOUNT nosuch", r":0\r\n"),
        ("BITCOUNT nosuch 0 1 FOO", r"-ERR syntax error\r\n"),
        // A start alone is of Valkey.
        ("BITCOUNT k 0", r":26\r\n"),
        ("BITCOUNT k -2", r":7\r\n"),
        ("BITCOUNT k 100", r":0\r\n"),
        ("BITCOUNT nosuch 1", r":0\r\n"),
        ("BITCOUNT nosuch x", r"-ERR value is not an integer or out of range\r\n"),
        ("BITCOUNT k 0 BYTE", r"-ERR value is not an integer or out of range\r\n"),
        ("BITCOUNT k 0 1 BYTE BIT", r"-ERR syntax error\r\n"),
        ("BITCOUNT k a 1", r"-ERR value is not an integer or out of range\r\n"),
        ("BITCOUNT k 0 a FOO", r"-ERR value is not an integer or out of range\r\n"),
        ("SET n 12345", r"+OK\r\n"),
        ("BITCOUNT n", r":17\r\n"),
    ]);
}

#[test]
fn bitpos_finds_the_first_bit_within_its_range_or_after_the_string() {
    let mut m = Memory::new();
    m.expect(&[
        (r#"SET k "\xff\xf0\x00""#, r"+OK\r\n"),
        ("BITPOS k 0", r":12\r\n"),
        ("BITPOS k 1", r":0\r\n"),
        ("BITPOS k 1 2", r":-1\r\n"),
        ("BITPOS k 1 1", r":8\r\n"),
        ("BITPOS k 0 0 0", r":-1\r\n"),
        ("BITPOS k 0 7 15 BIT", r":12\r\n"),
        ("BITPOS k 0 7 11 bit", r":-1\r\n"),
        ("BITPOS k 1 12 -1 BIT", r":-1\r\n"),
        ("BITPOS k 1 -2 -1 BYTE", r":8\r\n"),
        ("BITPOS k 0 -9 -8", r":-1\r\n"),
        ("BITPOS k 0 3", r":-1\r\n"),
        ("BITPOS nosuch 0", r":0\r\n"),
        ("BITPOS nosuch 0 5 9", r":0\r\n"),
        ("BITPOS nosuch 1", r":-1\r\n"),
        (r#"SET full "\xff\xff""#, r"+OK\r\n"),
        ("BITPOS full 0", r":16\r\n"),
        ("BITPOS full 0 1", r":16\r\n"),
        ("BITPOS full 0 2", r":-1\r\n"),
        ("BITPOS full 0 0 -1", r":-1\r\n"),
        ("BITPOS full 0 0 -1 BIT", r":-1\r\n"),
        (r#"SET empty """#, r"+OK\r\n"),
        ("BITPOS empty 0", r":-1\r\n"),
        ("BITPOS empty 1", r":-1\r\n"),
        ("BITPOS k 2", r"-ERR The bit argument must be 1 or 0.\r\n"),
        ("BITPOS k x", r"-ERR value is not an integer or out of range\r\n"),
        ("BITPOS k 1 x", r"-ERR value is not an integer or out of range\r\n"),
        ("BITPOS k 1 0 x FOO", r"-ERR syntax error\r\n"),
        ("BITPOS k 1 0 1 FOO", r"-ERR syntax error\r\n"),
        ("BITPOS k 1 0 1 BIT x", r"-ERR syntax error\r\n"),
    ]);
}

#[test]
fn bitop_combines_strings_into_one() {
    let mut m = Memory::new();
    m.expect(&[
        (r#"SET a "\xff\x0f\x33""#, r"+OK\r\n"),
        (r#"SET b "\x0f\xff""#, r"+OK\r\n"),
        (r#"SET c "\x55""#, r"+OK\r\n"),
        ("BITOP AND d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n\x05\x00\x00\r\n"),
        ("BITOP or d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n\xff\xff3\r\n"),
        ("BITOP Xor d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n\xa5\xf03\r\n"),
        ("BITOP NOT d a", r":3\r\n"),
        ("GET d", r"$3\r\n\x00\xf0\xcc\r\n"),
        ("BITOP DIFF d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n\xa0\x003\r\n"),
        ("BITOP DIFF1 d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n\x00\xf0\x00\r\n"),
        ("BITOP ANDOR d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n_\x0f\x00\r\n"),
        ("BITOP ONE d a b c", r":3\r\n"),
        ("GET d", r"$3\r\n\xa0\xf03\r\n"),
        ("BITOP AND d a nosuch", r":3\r\n"),
        ("GET d", r"$3\r\n\x00\x00\x00\r\n"),
        ("BITOP NOT a a", r":3\r\n"),
        ("GET a", r"$3\r\n\x00\xf0\xcc\r\n"),
        ("SET n 7", r"+OK\r\n"),
        ("BITOP OR d n", r":1\r\n"),
        ("GET d", r"$1\r\n7\r\n"),
        ("OBJECT ENCODING d", r"$3\r\nraw\r\n"),
        ("PEXPIRE d 100000", r":1\r\n"),
        ("BITOP OR d n", r":1\r\n"),
        ("TTL d", r":-1\r\n"),
        ("BITOP OR d nosuch nosuch", r":0\r\n"),
        ("EXISTS d", r":0\r\n"),
        ("BITOP NOT d nosuch", r":0\r\n"),
        ("BITOP FOO d a", r"-ERR syntax error\r\n"),
        ("BITOP NOT d a b", r"-ERR BITOP NOT must be called with a single source key.\r\n"),
        ("BITOP DIFF d a", r"-ERR BITOP DIFF must be called with at least two source keys.\r\n"),
        ("BITOP diff1 d a", r"-ERR BITOP DIFF1 must be called with at least two source keys.\r\n"),
        ("BITOP andor d a", r"-ERR BITOP ANDOR must be called with at least two source keys.\r\n"),
        ("BITOP ONE d", r"-ERR wrong number of arguments for \'bitop\' command\r\n"),
    ]);
}

#[test]
fn bitfield_reads_writes_and_increments_in_order() {
    let mut m = Memory::new();
    m.expect(&[
        ("BITFIELD k", r"*0\r\n"),
        ("EXISTS k", r":0\r\n"),
        ("BITFIELD k SET i8 #0 200 GET u8 #0 INCRBY u4 100 1 GET i3 5", r"*4\r\n:0\r\n:200\r\n:1\r\n:0\r\n"),
        ("GET k", r"$13\r\n\xc8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\r\n"),
        ("BITFIELD k OVERFLOW SAT INCRBY u2 8 5 INCRBY u2 8 -9 OVERFLOW FAIL INCRBY u2 8 -1 OVERFLOW WRAP INCRBY u2 8 -1", r"*4\r\n:3\r\n:0\r\n$-1\r\n:3\r\n"),
        ("BITFIELD k SET i64 0 -9223372036854775808 GET i64 0 GET u63 0 GET u63 1", r"*4\r\n:-3981182070595518464\r\n:-9223372036854775808\r\n:4611686018427387904\r\n:0\r\n"),
        ("BITFIELD k OVERFLOW SAT SET u8 0 -1 SET i8 8 1000 SET i8 8 -1000 GET i8 8", r"*4\r\n:128\r\n:0\r\n:127\r\n:-128\r\n"),
        ("BITFIELD k GET u8 4294967295", r"*1\r\n:0\r\n"),
        ("BITFIELD_RO k GET u8 0 GET i8 #1", r"*2\r\n:255\r\n:-128\r\n"),
        ("BITFIELD_RO k OVERFLOW SAT", r"*0\r\n"),
        ("BITFIELD_RO nosuch GET u8 0", r"*1\r\n:0\r\n"),
        ("BITFIELD x OVERFLOW FAIL SET u1 17 2", r"*1\r\n$-1\r\n"),
        ("GET x", r"$3\r\n\x00\x00\x00\r\n"),
        ("SET n 10", r"+OK\r\n"),
        ("BITFIELD n GET u8 0", r"*1\r\n:49\r\n"),
        ("BITFIELD n INCRBY u8 #0 1", r"*1\r\n:50\r\n"),
        ("GET n", r"$2\r\n20\r\n"),
        ("BITFIELD k GET u64 0", r"-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
        ("BITFIELD k GET i65 0", r"-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
        ("BITFIELD k GET u0 0", r"-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
        ("BITFIELD k GET U8 0", r"-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
        ("BITFIELD k GET 8 0", r"-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.\r\n"),
        ("BITFIELD k GET u8 -1", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD k GET u8 #-1", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD k GET u8 x", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD k GET u8 4294967296", r"-ERR bit offset is not an integer or out of range\r\n"),
        ("BITFIELD k SET u8 0 x", r"-ERR value is not an integer or out of range\r\n"),
        ("BITFIELD k INCRBY u8 0", r"-ERR syntax error\r\n"),
        ("BITFIELD k OVERFLOW LOSE", r"-ERR Invalid OVERFLOW type specified\r\n"),
        ("BITFIELD k OVERFLOW", r"-ERR syntax error\r\n"),
        ("BITFIELD k PUT u8 0 1", r"-ERR syntax error\r\n"),
        ("BITFIELD_RO k SET u8 0 1", r"-ERR BITFIELD_RO only supports the GET subcommand\r\n"),
        ("BITFIELD_RO k SET u8 0 x", r"-ERR value is not an integer or out of range\r\n"),
    ]);
}

#[test]
fn bitfield_answers_refused_writes_with_the_null_of_the_protocol() {
    let mut m = Memory::new();
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[("BITFIELD k OVERFLOW FAIL INCRBY u1 0 2 GET u1 0", r"*2\r\n_\r\n:0\r\n")]);
}

#[test]
fn offsets_are_limited_by_the_longest_string() {
    let mut m = Memory::with_config(Config { proto_max_bulk_len: 1 << 20, ..Config::default() });
    let refusal = r"-ERR bit offset is not an integer or out of range\r\n";
    m.expect(&[
        ("SETBIT k 8388607 1", r":0\r\n"),
        ("STRLEN k", r":1048576\r\n"),
        ("BITCOUNT k", r":1\r\n"),
        ("BITPOS k 1", r":8388607\r\n"),
        ("SETBIT k 8388608 1", refusal),
        ("GETBIT k 8388608", refusal),
        ("BITFIELD k GET u8 8388608", refusal),
        ("BITFIELD k GET u8 #1048576", refusal),
        // Where a field begins is limited, not where it ends.
        ("BITFIELD k SET u8 8388607 255", r"*1\r\n:128\r\n"),
        ("STRLEN k", r":1048577\r\n"),
        // A product beyond 64 bits is no offset, whatever would be left of it.
        ("BITFIELD k GET u4 #4611686018427387905", refusal),
    ]);
}

#[test]
fn a_line_with_an_error_changes_nothing() {
    let mut m = Memory::new();
    m.run("SET k x");
    let dirty = m.server.stats.dirty;
    for line in ["BITFIELD k SET u8 0 1 SET u8 0 x", "BITFIELD k SET u8 100 1 FOO", "SETBIT k 100 2", "BITOP NOT k a b"]
    {
        assert!(m.run(line).starts_with('-'), "{line}");
    }
    m.expect(&[("GET k", r"$1\r\nx\r\n")]);
    assert_eq!(m.server.stats.dirty, dirty);
}

#[test]
fn changes_are_counted_one_by_one_and_only_if_there_are_any() {
    let mut m = Memory::new();
    let rows = [
        ("SETBIT k 9 0", 1),
        ("SETBIT k 9 0", 0),
        ("SETBIT k 9 1", 1),
        ("BITFIELD k SET u8 0 7 SET u8 0 7 INCRBY u8 0 1", 2),
        ("BITFIELD k GET u8 0", 0),
        ("BITFIELD k SET u8 0 8", 0),
        // The string grows, so that every write counts that was not refused.
        ("BITFIELD k OVERFLOW FAIL SET u8 16 0 SET u8 24 0 SET u8 0 300", 2),
        // It grows although all writes are refused.
        ("BITFIELD k OVERFLOW FAIL SET u8 32 300", 1),
        ("BITOP NOT d k", 1),
        ("BITOP NOT d nosuch", 1),
        ("BITOP NOT d nosuch", 0),
    ];
    for (line, changes) in rows {
        let before = m.server.stats.dirty;
        m.run(line);
        assert_eq!(m.server.stats.dirty - before, changes, "{line}");
    }
}

/// The string is an integer, inline and shared in turn; a reply that still holds the old bytes keeps them.
#[test]
fn strings_of_every_form_are_written_in_place_or_copied() {
    let mut m = Memory::new();
    for length in [1, 8, 1023, 1024, 1025, 5000] {
        let value = "1".repeat(length);
        m.run(&format!("SET k {value}"));
        m.run("PEXPIRE k 100000");
        m.run("COPY k other REPLACE");
        let grown = length + 9;
        m.expect(&[
            ("SETBIT k 5 1", r":0\r\n"),
            ("BITFIELD k SET u8 8 50", &format!("*1\\r\\n:{}\\r\\n", if length > 1 { 49 } else { 0 })),
            ("GETRANGE k 0 1", r"$2\r\n52\r\n"),
            (&format!("SETBIT k {} 1", 8 * grown - 1), r":0\r\n"),
            ("STRLEN k", &format!(":{grown}\\r\\n")),
            ("GETRANGE k -8 -1", r"$8\r\n\x00\x00\x00\x00\x00\x00\x00\x01\r\n"),
            ("GET other", &format!("${length}\\r\\n{value}\\r\\n")),
            ("PTTL k", r":100000\r\n"),
        ]);
    }
}

/// A primary whose string grew without a change that counts would part from its replicas and its log.
#[test]
fn bitfield_that_only_grows_a_string_counts_and_tells() {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("PSUBSCRIBE __keyevent*");
    let listener = m.client;
    m.connect();
    m.run("CONFIG SET notify-keyspace-events KEA");
    for (line, changes) in [
        ("BITFIELD k OVERFLOW FAIL SET u8 8 300", 1),
        ("BITFIELD k OVERFLOW FAIL SET u8 8 300", 0),
        ("BITFIELD k OVERFLOW FAIL INCRBY u8 64 300 SET u8 80 300", 1),
        ("BITFIELD k OVERFLOW FAIL INCRBY u8 0 300", 0),
    ] {
        let before = m.server.stats.dirty;
        m.run(line);
        let told = m.take_sent(listener).matches("keyevent@0__:setbit").count();
        assert_eq!((m.server.stats.dirty - before, told), (changes, changes as usize), "{line}");
    }
    m.expect(&[("STRLEN k", r":11\r\n")]);
}

#[test]
fn offsets_of_bits_come_in_order_within_a_range_and_a_limit() {
    let offsets = |offsets: &[u64]| {
        let lines: String = offsets.iter().map(|offset| format!(r":{offset}\r\n")).collect();
        format!(r"*{}\r\n{lines}", offsets.len())
    };
    let syntax = r"-ERR syntax error\r\n".to_owned();
    let integer = r"-ERR value is not an integer or out of range\r\n".to_owned();
    let limit = r"-ERR LIMIT must be positive\r\n".to_owned();
    let rows = [
        ("BITRANGEINTARRAY nokey 0 -1", offsets(&[])),
        ("BITRANGEINTARRAY nokey 0 -1 ZEROS", offsets(&[])),
        // 0110 0000, 0000 0000, 1000 0001.
        ("BITRANGEINTARRAY k 0 -1", offsets(&[1, 2, 16, 23])),
        ("bitrangeintarray k 0 0 byte", offsets(&[1, 2])),
        ("BITRANGEINTARRAY k -1 -1", offsets(&[16, 23])),
        ("BITRANGEINTARRAY k 2 16 BIT", offsets(&[2, 16])),
        ("BITRANGEINTARRAY k -1 -1 BIT", offsets(&[23])),
        ("BITRANGEINTARRAY k 0 -1 LIMIT 3", offsets(&[1, 2, 16])),
        ("BITRANGEINTARRAY k 1 -1 LIMIT 1 BYTE", offsets(&[16])),
        ("BITRANGEINTARRAY k 0 -1 LIMIT 9223372036854775807", offsets(&[1, 2, 16, 23])),
        ("BITRANGEINTARRAY k 0 0 ZEROS", offsets(&[0, 3, 4, 5, 6, 7])),
        ("BITRANGEINTARRAY k 14 17 ZEROS BIT LIMIT 2", offsets(&[14, 15])),
        ("BITRANGEINTARRAY k 5 9", offsets(&[])),
        ("BITRANGEINTARRAY k 1 0", offsets(&[])),
        ("BITRANGEINTARRAY k -8 -9", offsets(&[])),
        ("BITRANGEINTARRAY k -9 -8", offsets(&[1, 2])),
        ("BITRANGEINTARRAY number 0 0", offsets(&[2, 3, 7])),
        (
            "BITRANGEINTARRAY list 0 -1",
            r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".to_owned(),
        ),
        ("BITRANGEINTARRAY k a -1", integer.clone()),
        ("BITRANGEINTARRAY k 0 1.5", integer.clone()),
        ("BITRANGEINTARRAY k 0 -1 LIMIT x", integer),
        ("BITRANGEINTARRAY k 0 -1 LIMIT 0", limit.clone()),
        ("BITRANGEINTARRAY k 0 -1 LIMIT -1", limit),
        ("BITRANGEINTARRAY k 0 -1 LIMIT", syntax.clone()),
        ("BITRANGEINTARRAY k 0 -1 BYTE BIT", syntax.clone()),
        ("BITRANGEINTARRAY k 0 -1 ZEROS ZEROS", syntax.clone()),
        ("BITRANGEINTARRAY k 0 -1 LIMIT 1 LIMIT 2", syntax.clone()),
        ("BITRANGEINTARRAY list 0 -1 FOO", syntax),
        ("BITRANGEINTARRAY k 0", r"-ERR wrong number of arguments for \'bitrangeintarray\' command\r\n".to_owned()),
        // Sixteen million offsets are answered at most, and no more are looked for than it takes to know.
        ("BITRANGEINTARRAY large 0 -1 ZEROS", r"-ERR more than 16777216 bits, use LIMIT\r\n".to_owned()),
        ("BITRANGEINTARRAY large -2 -1 LIMIT 20000000", offsets(&[16_777_224])),
    ];
    let mut m = Memory::new();
    m.raw(&[b"SET", b"k", b"\x60\x00\x81"]);
    m.run("SET number 1");
    m.run("RPUSH list a");
    m.run("SETBIT large 16777224 1");
    for (line, reply) in rows {
        assert_eq!(m.run(line), reply, "{line}");
    }
}
