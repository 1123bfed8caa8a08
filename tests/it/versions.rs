//! Replies that a version changed, and faults that one mended: what the newest does, by the version that brought it. The families'
//! own tests go deeper; here nothing of it gets lost.

use crate::memory::Memory;

/// Since when; the lines before; the line; its reply.
type Row = (&'static str, &'static [&'static str], &'static str, &'static str);

const FIELDS_TWICE: &str = r"-ERR FIELDS keyword specified multiple times\r\n";
const FIELDS_FEW: &str = r"-ERR Parameter `numFields` should be greater than 0\r\n";
const OFFSET: &str = r"-ERR bit offset is not an integer or out of range\r\n";
const INDEX: &str = r"-ERR index out of range\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const NO_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";
const MEMORY: &str =
    r"-ERR CONFIG SET failed (possibly related to argument \'maxmemory\') - argument must be a memory value\r\n";

const ROWS: &[Row] = &[
    ("8.2.3", &[], "HGETEX h FIELDS", r"-ERR wrong number of arguments for \'hgetex\' command\r\n"),
    (
        "8.4",
        &["XADD x 1-1 f v", "XGROUP CREATE x g 0", "XREADGROUP GROUP g c STREAMS x >"],
        "XREADGROUP GROUP g c CLAIM 0 STREAMS x >",
        r"*1\r\n*2\r\n$1\r\nx\r\n*1\r\n*4\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n:0\r\n:1\r\n",
    ),
    ("8.4.2", &[], r#"EVAL "return{err='A\\r\\n+OK'}" 0"#, r"-A  +OK\r\n"),
    ("8.4.2", &[], r#"EVAL "return{ok='A\\r\\n+OK'}" 0"#, r"+A  +OK\r\n"),
    ("8.4.2", &[], r#"EVAL "return redis.error_reply('A b\\r\\n+OK')" 0"#, r"-A b  +OK\r\n"),
    ("8.4.2", &[], r#""a\r\n+OK" b"#, r"-ERR unknown command \'a  +OK\', with args beginning with: \'b\' \r\n"),
    ("8.4.2", &[], r#"GET k "a\r\n""#, r"-ERR wrong number of arguments for \'get\' command\r\n"),
    ("8.4.2", &[], r#"CLIENT "a\r\nb""#, r"-ERR unknown subcommand \'a  b\'. Try CLIENT HELP.\r\n"),
    (
        "8.4.4",
        &["XADD x 1-1 f v", "XADD x 2-1 f v", "XGROUP CREATE x g 0", "XGROUP DESTROY x g"],
        "XDELEX x ACKED IDS 1 1-1",
        r"*1\r\n:1\r\n",
    ),
    ("8.6.2", &[], "HSETEX h FIELDS 1 a 1 FIELDS 1 b 2", FIELDS_TWICE),
    ("8.6.2", &[], "HGETEX h FIELDS 1 a FIELDS 1 a", FIELDS_TWICE),
    ("8.6.4", &["SET k v"], "SCAN 0 COUNT 9223372036854775807", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"),
    ("8.6.4", &["SET k v"], "SCAN 0 COUNT 922337203685477581", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nk\r\n"),
    ("8.6.4", &["SADD s a"], "SSCAN s 0 COUNT 9223372036854775807", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n"),
    ("8.6.4", &[], "SCAN 0 COUNT 9223372036854775808", NO_INTEGER),
    ("8.6.4", &["HSET h a 1"], "HEXPIRE h 10 FIELDS 2147483647 a", r"-ERR wrong number of arguments\r\n"),
    ("8.6.4", &["HSET h a 1"], "HEXPIRE h 10 FIELDS 2147483648 a", FIELDS_FEW),
    ("8.6.4", &["HSET h a 1"], "HPEXPIREAT h 10 NX FIELDS 4611686018427387905 a", FIELDS_FEW),
    ("8.6.4", &["HSET h a 1"], "HSETEX h FIELDS 4611686018427387905 a 1", r"-ERR invalid number of fields\r\n"),
    ("8.6.4", &[], "COMMAND GETKEYS PFMERGE d", r"*1\r\n$1\r\nd\r\n"),
    (
        "8.6.4",
        &["HELLO 3"],
        "CLIENT TRACKING ON BCAST PREFIX BAZ PREFIX FOOBAR PREFIX FOO",
        r"-ERR Prefix \'FOOBAR\' overlaps with another provided prefix \'FOO\'. Prefixes for a single client must not overlap.\r\n",
    ),
    // No digit is lost.
    (
        "8.8",
        &["ZADD z 0.500000000000000166533453693773481063544750213623046875 a"],
        "ZSCORE z a",
        r"$18\r\n0.5000000000000002\r\n",
    ),
    ("8.8", &["ZADD z 9007199254740993 a"], "ZSCORE z a", r"$16\r\n9007199254740992\r\n"),
    ("8.8", &["ZADD z 2.2250738585072011e-308 a"], "ZSCORE z a", r"$22\r\n2.225073858507201e-308\r\n"),
    ("8.10", &["SET k v"], "SET k w NX IFEQ v", SYNTAX),
    ("8.10", &["SET k v"], "SET k w IFDNE 0123456789abcdef XX", SYNTAX),
    (
        "8.10",
        &[],
        "CONFIG SET replica-read-only yes slave-read-only yes",
        r"-ERR CONFIG SET failed (possibly related to argument \'slave-read-only\') - duplicate parameter\r\n",
    ),
    ("8.10", &["RPUSH l a"], "LSET l 4294967296 b", INDEX),
    ("8.10", &["RPUSH l a"], "LSET l -4294967296 b", INDEX),
    ("8.10", &[], "BITFIELD k GET i64 #144115188075855872", OFFSET),
    ("8.10", &[], "BITFIELD_RO k GET i64 #144115188075855872", OFFSET),
    ("8.10", &[], "BITFIELD k SET u8 9223372036854775800 1", OFFSET),
    ("8.10", &[], "CONFIG SET maxmemory 18014398509481985kb", MEMORY),
    ("8.10", &[], "CONFIG SET maxmemory 17179869184gb", MEMORY),
    // Where Valkey went its own way we follow Redis.
    ("8.2", &["MULTI"], "MULTI", r"-ERR MULTI calls can not be nested\r\n"),
    ("8.2", &["MULTI", "WATCH k", "PING"], "EXEC", r"*1\r\n+PONG\r\n"),
    (
        "8.2",
        &["CONFIG SET requirepass p", "HELLO 2 AUTH default p", "RESET"],
        "NOSUCH",
        r"-ERR unknown command \'NOSUCH\'\r\n",
    ),
    (
        "8.2",
        &["CONFIG SET requirepass p", "HELLO 2 AUTH default p", "RESET"],
        "GET",
        r"-ERR wrong number of arguments for \'get\' command\r\n",
    ),
    (
        "8.2",
        &["CONFIG SET requirepass p", "HELLO 2 AUTH default p", "RESET"],
        "GET k",
        r"-NOAUTH Authentication required.\r\n",
    ),
    ("8.2", &["SET k v", "GETEX k PXAT 1"], "EXISTS k", r":0\r\n"),
];

#[test]
fn replies_are_those_of_the_newest_version() {
    for (version, before, line, reply) in ROWS {
        let mut m = Memory::new();
        for line in *before {
            m.run(line);
        }
        assert_eq!(m.run(line), *reply, "{line}, since {version}");
    }
}

/// Up to 8.6.3 the error was followed by an OK.
#[test]
fn prefixes_that_overlap_turn_no_tracking_on() {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.run("CLIENT TRACKING ON BCAST PREFIX BAZ PREFIX FOOBAR PREFIX FOO");
    m.expect(&[(
        "CLIENT TRACKINGINFO",
        r"%3\r\n$5\r\nflags\r\n~1\r\n$3\r\noff\r\n$8\r\nredirect\r\n:-1\r\n$8\r\nprefixes\r\n*0\r\n",
    )]);
}

/// Up to 8.6.3 a consumer that was given nothing existed where it was made alone.
#[test]
fn a_consumer_that_reads_nothing_is_passed_on() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    m.run("XGROUP CREATE x g $ MKSTREAM");
    m.take_propagated();
    m.run("XREADGROUP GROUP g c STREAMS x >");
    let words: Vec<String> = m
        .take_propagated()
        .into_iter()
        .flatten()
        .map(|(_, line)| line.iter().map(|word| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(words, ["XGROUP CREATECONSUMER x g c"]);
}
