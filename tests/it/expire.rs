//! Deadlines of keys. The replies are those of Redis 8.2.3.

use crate::keys::expect_both;
use crate::memory::{Memory, START_MS};

const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";

#[test]
fn every_unit_and_base_sets_the_same_deadline() {
    let seconds = START_MS / 1000;
    for line in [
        String::from("EXPIRE k 100"),
        String::from("PEXPIRE k 100000"),
        format!("EXPIREAT k {}", seconds + 100),
        format!("PEXPIREAT k {}", START_MS + 100_000),
    ] {
        expect_both(&[
            ("SET k v", r"+OK\r\n"),
            (&line, r":1\r\n"),
            ("TTL k", r":100\r\n"),
            ("PTTL k", r":100000\r\n"),
            ("EXPIRETIME k", &format!(r":{}\r\n", seconds + 100)),
            ("PEXPIRETIME k", &format!(r":{}\r\n", START_MS + 100_000)),
            ("PERSIST k", r":1\r\n"),
            ("PERSIST k", r":0\r\n"),
            ("TTL k", r":-1\r\n"),
            ("PTTL k", r":-1\r\n"),
            ("EXPIRETIME k", r":-1\r\n"),
            ("PEXPIRETIME k", r":-1\r\n"),
        ]);
    }
}

#[test]
fn keys_that_are_not_there_have_no_deadline() {
    expect_both(&[
        ("EXPIRE k 1", r":0\r\n"),
        ("PEXPIRE k 1", r":0\r\n"),
        ("EXPIREAT k 1", r":0\r\n"),
        ("PEXPIREAT k 1", r":0\r\n"),
        ("PERSIST k", r":0\r\n"),
        ("TTL k", r":-2\r\n"),
        ("PTTL k", r":-2\r\n"),
        ("EXPIRETIME k", r":-2\r\n"),
        ("PEXPIRETIME k", r":-2\r\n"),
    ]);
}

#[test]
fn conditions_ask_for_the_present_deadline() {
    expect_both(&[
        ("SET a v", r"+OK\r\n"),
        // No deadline counts as one that never comes.
        ("EXPIRE a 100 XX", r":0\r\n"),
        ("EXPIRE a 100 GT", r":0\r\n"),
        ("EXPIRE a 100 XX GT", r":0\r\n"),
        ("EXPIRE a 100 XX LT", r":0\r\n"),
        ("TTL a", r":-1\r\n"),
        ("EXPIRE a 100 LT", r":1\r\n"),
        ("PERSIST a", r":1\r\n"),
        ("EXPIRE a 100 nx", r":1\r\n"),
        ("EXPIRE a 200 NX", r":0\r\n"),
        ("EXPIRE a 200 NX NX", r":0\r\n"),
        ("EXPIRE a 100 XX", r":1\r\n"),
        ("EXPIRE a 100 GT", r":0\r\n"),
        ("EXPIRE a 99 GT", r":0\r\n"),
        ("EXPIRE a 200 gt", r":1\r\n"),
        ("EXPIRE a 300 LT", r":0\r\n"),
        ("EXPIRE a 200 LT", r":0\r\n"),
        ("EXPIRE a 100 LT", r":1\r\n"),
        ("EXPIRE a 300 XX GT", r":1\r\n"),
        ("EXPIRE a 250 xx lt", r":1\r\n"),
        ("PEXPIRE a 240000 LT", r":1\r\n"),
        ("TTL a", r":240\r\n"),
    ]);
}

#[test]
fn conditions_that_contradict_each_other_come_before_everything_else() {
    let nx = r"-ERR NX and XX, GT or LT options at the same time are not compatible\r\n";
    let gt = r"-ERR GT and LT options at the same time are not compatible\r\n";
    for name in ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"] {
        let rows = [
            ("a 200 NX XX", nx),
            ("a 200 NX GT", nx),
            ("a 200 NX LT", nx),
            ("a x NX XX", nx),
            ("a 200 GT LT", gt),
            ("a 200 XX GT LT", gt),
            ("a 200 FOO", r"-ERR Unsupported option FOO\r\n"),
            ("a 200 NX XX FOO", r"-ERR Unsupported option FOO\r\n"),
            ("a x FOO", r"-ERR Unsupported option FOO\r\n"),
            ("a 200 \"\"", r"-ERR Unsupported option \r\n"),
            ("a 200 \"a\\r\\nb\"", r"-ERR Unsupported option a  b\r\n"),
            ("a 200 \"a\\x00b\"", r"-ERR Unsupported option a\r\n"),
            ("a x", NOT_AN_INTEGER),
        ];
        let mut m = Memory::new();
        for (arguments, reply) in rows {
            assert_eq!(m.run(&format!("{name} {arguments}")), reply, "{name} {arguments}");
        }
    }
}

#[test]
fn amounts_are_integers_that_fit_as_milliseconds() {
    let expect_invalid = |line: &str| {
        let name = line.split(' ').next().expect("a name").to_ascii_lowercase();
        let error = format!(r"-ERR invalid expire time in \'{name}\' command\r\n");
        // Refused before the key is looked for.
        expect_both(&[(line, &error), ("SET a v", r"+OK\r\n"), (line, &error), ("TTL a", r":-1\r\n")]);
    };
    expect_invalid("EXPIRE a 9223372036854775807");
    expect_invalid("EXPIRE a 9223372036854775");
    expect_invalid("EXPIRE a -9223372036854775808");
    expect_invalid("EXPIREAT a 9223372036854776");
    expect_invalid("EXPIREAT a -9223372036854776");
    expect_invalid("PEXPIRE a 9223372036854775807");
    expect_invalid(&format!("PEXPIRE a {}", i64::MAX - START_MS + 1));
    for text in ["x", "1.5", "\"\"", "\" 1\"", "+1", "01", "9223372036854775808"] {
        for name in ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"] {
            expect_both(&[(&format!("{name} a {text}"), NOT_AN_INTEGER)]);
        }
    }
    expect_both(&[
        ("SET a v", r"+OK\r\n"),
        ("EXPIREAT a 9223372036854775", r":1\r\n"),
        ("EXPIRETIME a", r":9223372036854775\r\n"),
        ("PEXPIRETIME a", r":9223372036854775000\r\n"),
        ("PEXPIREAT a 9223372036854775807", r":1\r\n"),
        ("PEXPIRETIME a", r":9223372036854775807\r\n"),
        ("EXPIRETIME a", r":9223372036854776\r\n"),
        ("EXPIRE a 100 LT", r":1\r\n"),
        (&format!("PEXPIRE a {}", i64::MAX - START_MS), r":1\r\n"),
        ("PEXPIRETIME a", r":9223372036854775807\r\n"),
    ]);
}

#[test]
fn a_deadline_that_has_passed_deletes_the_key() {
    for line in [
        "EXPIRE a 0",
        "EXPIRE a -1",
        "EXPIRE a -9223372036854775",
        "PEXPIRE a 0",
        "PEXPIRE a -9223372036854775808",
        "EXPIREAT a 1",
        "EXPIREAT a 1700000000",
        "PEXPIREAT a 0",
        "PEXPIREAT a 1700000000000",
        "PEXPIREAT a -9223372036854775808",
        "EXPIRE a -1 NX",
        "EXPIRE a -1 LT",
    ] {
        let mut m = Memory::new();
        m.expect(&[("SET a v", r"+OK\r\n"), (line, r":1\r\n"), ("EXISTS a", r":0\r\n"), ("DBSIZE", r":0\r\n")]);
        assert_eq!((m.server.stats.dirty, m.server.dbs[0].stats().expired), (2, 0), "a deletion: {line}");
    }
    expect_both(&[
        ("SET a v", r"+OK\r\n"),
        ("EXPIRE a -1 XX", r":0\r\n"),
        ("EXPIRE a -1 GT", r":0\r\n"),
        ("EXPIRE a 100", r":1\r\n"),
        ("EXPIRE a -1 GT", r":0\r\n"),
        ("EXPIRE a -1 NX", r":0\r\n"),
        ("EXISTS a", r":1\r\n"),
        ("EXPIRE a -1 XX LT", r":1\r\n"),
        ("EXISTS a", r":0\r\n"),
    ]);
}

#[test]
fn seconds_are_rounded_to_the_nearest() {
    for (ms, seconds) in [(1, 0), (499, 0), (500, 1), (1_499, 1), (1_500, 2), (100_499, 100), (100_700, 101)] {
        let (ttl, time) = (format!(r":{seconds}\r\n"), format!(r":{}\r\n", START_MS / 1000 + seconds));
        let line = format!("PEXPIRE a {ms}");
        expect_both(&[("SET a v", r"+OK\r\n"), (&line, r":1\r\n"), ("TTL a", &ttl), ("EXPIRETIME a", &time)]);
    }
}

#[test]
fn arguments_are_counted() {
    for name in ["expire", "pexpire", "expireat", "pexpireat"] {
        let error = format!(r"-ERR wrong number of arguments for \'{name}\' command\r\n");
        expect_both(&[(name, &error), (&format!("{name} a"), &error)]);
    }
    for name in ["ttl", "pttl", "expiretime", "pexpiretime", "persist"] {
        let error = format!(r"-ERR wrong number of arguments for \'{name}\' command\r\n");
        expect_both(&[(name, &error), (&format!("{name} a b"), &error)]);
    }
}

#[test]
fn keys_live_until_their_latest_deadline_and_no_longer() {
    let mut m = Memory::new();
    m.run("SET session v");
    m.run("PEXPIRE session 100");
    for _ in 0..50 {
        m.advance_ms(90);
        m.expect(&[("PTTL session", r":10\r\n"), ("PEXPIRE session 100", r":1\r\n")]);
    }
    m.expect(&[("PEXPIRE session 50", r":1\r\n")]);
    m.advance_ms(49);
    m.expect(&[("GET session", r"$1\r\nv\r\n")]);
    m.advance_ms(1);
    assert_eq!((m.server.dbs[0].len(), m.server.dbs[0].stats().expired), (0, 1));
    m.run("SET kept v");
    m.run("PEXPIRE kept 100");
    m.run("PERSIST kept");
    m.advance_ms(10_000_000);
    m.expect(&[("TTL kept", r":-1\r\n")]);
}

/// Line ends inside an error text become spaces, those at its end go.
#[test]
fn an_unknown_option_is_repeated_without_line_ends() {
    let mut m = Memory::new();
    for command in ["EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT"] {
        m.expect(&[
            (&format!(r#"{command} a 1 "x\r\ny\n\r\n""#), r"-ERR Unsupported option x  y\r\n"),
            (&format!(r#"{command} a 1 "\r\n""#), r"-ERR Unsupported option \r\n"),
        ]);
    }
}

#[test]
fn only_changes_count_as_changes() {
    let mut m = Memory::new();
    m.run("SET a v");
    for (line, changes) in [
        ("EXPIRE a 100", 1),
        ("EXPIRE a 100", 1),
        ("EXPIRE a 100 NX", 0),
        ("EXPIRE b 100", 0),
        ("EXPIRE a 9223372036854775807", 0),
        ("TTL a", 0),
        ("PERSIST a", 1),
        ("PERSIST a", 0),
    ] {
        let before = m.server.stats.dirty;
        m.run(line);
        assert_eq!(m.server.stats.dirty - before, changes, "{line}");
    }
}

#[test]
fn jitter_shortens_a_lifetime_and_never_lengthens_it() {
    let number = |reply: &str| reply.trim_matches(|c: char| !c.is_ascii_digit()).parse::<i64>().expect("a number");
    let mut m = Memory::new();
    m.run("SET k v");
    for line in [
        "SET k v EX 100 JITTER 20",
        "SET k v jitter 20 px 100000 XX",
        "EXPIRE k 100 JITTER 20",
        "PEXPIRE k 100000 JITTER 20",
    ] {
        let ttls: Vec<i64> = (0..200)
            .map(|_| {
                m.run(line);
                number(&m.run("PTTL k"))
            })
            .collect();
        let (least, most) = (ttls.iter().min().expect("some"), ttls.iter().max().expect("some"));
        assert!((80_001..82_000).contains(least) && (98_000..=100_000).contains(most), "{line}: {least} to {most}");
    }
    // The conditions are asked of the deadline that came out; an amount that is over already is no matter of chance.
    m.expect(&[
        ("EXPIRE k 100 JITTER 1 NX", r":0\r\n"),
        ("PEXPIRE k 1000000 GT JITTER 50", r":1\r\n"),
        ("PEXPIRE k 100000 GT JITTER 50", r":0\r\n"),
        ("PEXPIRE k 1 JITTER 99 LT", r":1\r\n"),
        ("PTTL k", r":1\r\n"),
        ("EXPIRE k -1 JITTER 50", r":1\r\n"),
        ("EXISTS k", r":0\r\n"),
        ("SET k v EX 0 JITTER 50", r"-ERR invalid expire time in \'set\' command\r\n"),
    ]);
}

#[test]
fn jitter_is_refused_where_it_makes_no_sense() {
    let percent = r"-ERR JITTER must be an integer from 1 to 100\r\n";
    let syntax = r"-ERR syntax error\r\n";
    let unit = r"-ERR JITTER needs EX or PX\r\n";
    let option = r"-ERR Unsupported option JITTER\r\n";
    for (line, reply) in [
        ("SET k v EX 10 JITTER 0", percent),
        ("SET k v EX 10 JITTER 101", percent),
        ("SET k v EX 10 JITTER -5", percent),
        ("SET k v EX 10 JITTER 1.5", percent),
        ("SET k v EX 10 JITTER 256", percent),
        ("SET k v EX 10 JITTER", syntax),
        ("SET k v EXAT 4102444800 JITTER 10", unit),
        ("SET k v JITTER 10 PXAT 4102444800000", unit),
        ("SET k v KEEPTTL JITTER 10", unit),
        ("SET k v JITTER 10", unit),
        ("EXPIRE k 10 JITTER x", percent),
        ("PEXPIRE k 10 JITTER", syntax),
        ("EXPIREAT k 4102444800 JITTER 10", option),
        ("PEXPIREAT k 4102444800000 JITTER 10", option),
    ] {
        expect_both(&[(line, reply), ("EXISTS k", r":0\r\n")]);
    }
    // As Redis answers, as long as that is asked for.
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG SET redis-strict yes", r"+OK\r\n"),
        ("SET k v EX 10 JITTER 10", syntax),
        ("SET k v EX 10", r"+OK\r\n"),
        ("EXPIRE k 10 JITTER 10", option),
        ("PEXPIRE k 10 jitter 10", r"-ERR Unsupported option jitter\r\n"),
        ("CONFIG SET redis-strict no", r"+OK\r\n"),
        ("EXPIRE k 10 JITTER 10", r":1\r\n"),
    ]);
}
