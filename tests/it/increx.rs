//! INCREX, which is of Redis 8.8: what its documents and the tests of its client libraries say, and where they say nothing what INCRBY,
//! INCRBYFLOAT and SET do.

use aleadb::resp::reply::Proto;

use crate::memory::Memory;

const SYNTAX: &str = r"-ERR syntax error\r\n";
const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";
const NOT_A_FLOAT: &str = r"-ERR value is not a valid float\r\n";
const CROSSED: &str = r"-ERR LBOUND must be less than or equal to UBOUND\r\n";
const NO_LIFETIME: &str = r"-ERR ENX flag requires an expiration\r\n";
const BAD_TIME: &str = r"-ERR invalid expire time in \'increx\' command\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

/// The reply to an addition of integers.
fn ints(sum: i64, added: i64) -> String {
    format!(r"*2\r\n:{sum}\r\n:{added}\r\n")
}

/// The same of decimal numbers.
fn floats(sum: &str, added: &str) -> String {
    format!(r"*2\r\n${}\r\n{sum}\r\n${}\r\n{added}\r\n", sum.len(), added.len())
}

fn expect(m: &mut Memory, rows: &[(&str, String)]) {
    for (line, reply) in rows {
        assert_eq!(m.run(line), *reply, "{line}");
    }
}

#[test]
fn integers_are_added_within_bounds() {
    let mut m = Memory::new();
    expect(
        &mut m,
        &[
            ("INCREX k", ints(1, 1)),
            ("INCREX k BYINT 9", ints(10, 9)),
            ("INCREX k BYINT 5 UBOUND 12", ints(10, 0)),
            ("INCREX k BYINT 5 UBOUND 12 SATURATE", ints(12, 2)),
            ("INCREX k byint -5 ubound 12", ints(7, -5)),
            ("INCREX k BYINT -10 LBOUND 0", ints(7, 0)),
            ("INCREX k BYINT -10 SATURATE LBOUND 0", ints(0, -7)),
            // Bounds hold for the sum: what was beyond them stays there, or is brought within them.
            ("INCREX k BYINT 1 LBOUND 100", ints(0, 0)),
            ("INCREX k BYINT 1 LBOUND 100 UBOUND 200 SATURATE", ints(100, 100)),
            ("INCREX k BYINT -1 UBOUND 50 SATURATE", ints(50, -50)),
            ("INCREX k LBOUND 51 UBOUND 51", ints(51, 1)),
            ("INCREX k BYINT 0", ints(51, 0)),
            ("INCREX k BYINT 1 BYINT 9", ints(60, 9)),
            // A key that is not there stays away if nothing is added.
            ("INCREX nokey BYINT 5 UBOUND 4", ints(0, 0)),
            ("EXISTS nokey", r":0\r\n".to_owned()),
            ("INCREX nokey BYINT 5 UBOUND 4 SATURATE", ints(4, 4)),
            ("GET nokey", r"$1\r\n4\r\n".to_owned()),
        ],
    );
}

#[test]
fn integers_end_at_64_bits() {
    let mut m = Memory::new();
    m.run("SET k 9223372036854775806");
    expect(
        &mut m,
        &[
            ("INCREX k BYINT 2", ints(i64::MAX - 1, 0)),
            ("INCREX k BYINT 2 SATURATE", ints(i64::MAX, 1)),
            ("INCREX k BYINT 9223372036854775807 UBOUND 10", ints(i64::MAX, 0)),
            // What would have to be taken away is more than 64 bits hold.
            ("INCREX k UBOUND -2 SATURATE", r"-ERR increment or decrement would overflow\r\n".to_owned()),
            ("GET k", r"$19\r\n9223372036854775807\r\n".to_owned()),
            ("INCREX k UBOUND 0 SATURATE", ints(0, -i64::MAX)),
            ("INCREX k BYINT -9223372036854775808", ints(i64::MIN, i64::MIN)),
            ("INCREX k BYINT -1", ints(i64::MIN, 0)),
            ("INCREX k BYINT -1 SATURATE", ints(i64::MIN, 0)),
        ],
    );
}

#[test]
fn decimal_numbers_are_added_within_bounds() {
    let mut m = Memory::new();
    m.run("SET k 1.8");
    expect(
        &mut m,
        &[
            ("INCREX k BYFLOAT 0.7 UBOUND 2", floats("1.8", "0")),
            ("INCREX k BYFLOAT 0.7 UBOUND 2 SATURATE", floats("2", "0.2")),
            ("INCREX k BYFLOAT -0.5 LBOUND 0", floats("1.5", "-0.5")),
            ("INCREX k BYFLOAT 1e3 UBOUND inf", floats("1001.5", "1000")),
            ("INCREX k BYINT 1", NOT_AN_INTEGER.to_owned()),
            ("INCREX k BYFLOAT inf", floats("1001.5", "0")),
            ("INCREX nokey BYFLOAT 1 LBOUND 2", floats("0", "0")),
            ("EXISTS nokey", r":0\r\n".to_owned()),
            ("SET k 10", r"+OK\r\n".to_owned()),
            ("INCREX k BYFLOAT 0.1", floats("10.1", "0.1")),
            ("INCREX new BYFLOAT -inf LBOUND -3 SATURATE", floats("-3", "-3")),
        ],
    );
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[
        ("INCREX k BYFLOAT 0.2", r"*2\r\n,10.3\r\n,0.2\r\n"),
        ("SET k 1", r"+OK\r\n"),
        ("INCREX k", r"*2\r\n:2\r\n:1\r\n"),
    ]);
}

#[test]
fn decimal_numbers_end_where_extended_doubles_do() {
    let mut m = Memory::new();
    let largest =
        "118973149535723176502126385303097020516906332229462420044032373389173700552297072261641029033652888285";
    m.run("INCREX k BYFLOAT 1 SATURATE LBOUND -1");
    m.run("SET k 1e4932");
    assert!(m.run("INCREX k BYFLOAT 1e4932").contains(r"\r\n$1\r\n0\r\n"), "nothing is added");
    assert_eq!(m.run("GET k"), r"$6\r\n1e4932\r\n");
    assert!(m.run("INCREX k BYFLOAT 1e4932 SATURATE").contains(largest));
    m.run("SET k inf");
    m.expect(&[
        ("INCREX k BYFLOAT -inf", r"-ERR increment would produce NaN or Infinity\r\n"),
        ("INCREX k BYFLOAT 1 SATURATE", r"-ERR increment would produce NaN or Infinity\r\n"),
        ("GET k", r"$3\r\ninf\r\n"),
    ]);
}

#[test]
fn lifetimes_change_only_with_the_number() {
    let mut m = Memory::new();
    let ttl = |m: &mut Memory, expected: i64| assert_eq!(m.run("TTL k"), format!(r":{expected}\r\n"));
    for (line, expected) in [
        ("INCREX k EX 100", 100),
        ("INCREX k", 100),
        ("INCREX k BYFLOAT 1", 100),
        ("INCREX k EX 50 ENX", 100),
        ("INCREX k PX 50000", 50),
        ("INCREX k UBOUND 1 PERSIST", 50),
        ("INCREX k UBOUND 1 EX 7", 50),
        ("INCREX k PERSIST", -1),
        ("INCREX k PERSIST", -1),
        ("INCREX k ENX EX 20", 20),
        ("INCREX k UBOUND 1 SATURATE EX 30", 30),
        ("INCREX k BYFLOAT 0.5 PERSIST", -1),
        ("INCREX k BYFLOAT 0.5 EX 5 ENX", 5),
    ] {
        let reply = m.run(line);
        assert!(reply.starts_with("*2"), "{line}: {reply}");
        ttl(&mut m, expected);
    }
    assert_eq!(m.run("INCREX k BYFLOAT 1 EXAT 1"), floats("3", "1"));
    assert_eq!(m.run("EXISTS k"), r":0\r\n");
    assert_eq!(m.run("INCREX k PXAT 1"), ints(1, 1));
    assert_eq!(m.run("EXISTS k"), r":0\r\n");
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut m = Memory::new();
    m.run("SET k 1 EX 100");
    m.run("RPUSH l a");
    m.run("SET text abc");
    m.expect(&[
        ("INCREX", r"-ERR wrong number of arguments for \'increx\' command\r\n"),
        ("INCREX k BYINT", SYNTAX),
        ("INCREX k UBOUND", SYNTAX),
        ("INCREX k FOO", SYNTAX),
        ("INCREX k FOO 1", SYNTAX),
        ("INCREX k 1", SYNTAX),
        ("INCREX k NX", SYNTAX),
        ("INCREX k KEEPTTL", SYNTAX),
        ("INCREX k OVERFLOW FAIL", SYNTAX),
        ("INCREX k BYINT 1 BYFLOAT 1", SYNTAX),
        ("INCREX k EX 1 PX 1", SYNTAX),
        ("INCREX k EX 1 PERSIST", SYNTAX),
        ("INCREX k PERSIST ENX", SYNTAX),
        ("INCREX k ENX", NO_LIFETIME),
        ("INCREX k BYINT 1.5", NOT_AN_INTEGER),
        ("INCREX k BYINT x", NOT_AN_INTEGER),
        ("INCREX k BYINT 9223372036854775808", NOT_AN_INTEGER),
        ("INCREX k UBOUND 1.5", NOT_AN_INTEGER),
        ("INCREX k LBOUND inf", NOT_AN_INTEGER),
        ("INCREX k BYFLOAT x", NOT_A_FLOAT),
        ("INCREX k BYFLOAT nan", NOT_A_FLOAT),
        ("INCREX k BYFLOAT 1 LBOUND x", NOT_A_FLOAT),
        ("INCREX k LBOUND 2 UBOUND 1", CROSSED),
        ("INCREX k BYFLOAT 1 LBOUND 0.2 UBOUND 0.1", CROSSED),
        ("INCREX k EX 0", BAD_TIME),
        ("INCREX k PXAT -1", BAD_TIME),
        ("INCREX k EX x", NOT_AN_INTEGER),
        ("INCREX l", WRONG_TYPE),
        ("INCREX l BYFLOAT 1", WRONG_TYPE),
        ("INCREX text", NOT_AN_INTEGER),
        ("INCREX text BYFLOAT 1", NOT_A_FLOAT),
        ("GET k", r"$1\r\n1\r\n"),
        ("TTL k", r":100\r\n"),
    ]);
}

/// What is passed on depends neither on the time nor on what there was.
#[test]
fn what_came_of_it_is_passed_on() {
    let mut m = Memory::new();
    m.run("CONFIG SET notify-keyspace-events KEA");
    m.server.begin_propagation();
    m.connect();
    m.run("PSUBSCRIBE __keyevent*");
    let listener = m.client;
    m.client = 0;
    for (line, events, passed_on) in [
        ("INCREX k", "incrby", "SET k 1 KEEPTTL"),
        ("INCREX k UBOUND 0", "", ""),
        ("INCREX k PXAT 4102444800000", "incrby expire", "SET k 2 PXAT 4102444800000"),
        ("INCREX k PXAT 4102444800001 ENX", "incrby", "SET k 3 KEEPTTL"),
        ("INCREX k PERSIST", "incrby persist", "SET k 4"),
        ("INCREX k PERSIST", "incrby", "SET k 5 KEEPTTL"),
        ("INCREX k UBOUND 5 SATURATE", "incrby", "SET k 5 KEEPTTL"),
        ("INCREX k BYFLOAT 0.25", "incrbyfloat", "SET k 5.25 KEEPTTL"),
        ("INCREX k BYFLOAT 1 EXAT 1", "incrbyfloat del", "DEL k"),
    ] {
        m.run(line);
        let units = m.take_propagated();
        let lines: Vec<String> = units
            .into_iter()
            .flatten()
            .map(|(_, words)| words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines.join("; "), passed_on, "{line}");
        let sent = m.take_sent(listener);
        let told: Vec<&str> =
            sent.split("__keyevent@0__:").skip(1).filter_map(|part| part.split('\\').next()).collect();
        assert_eq!(told.join(" "), events, "{line}");
    }
}
