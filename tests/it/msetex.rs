//! MSETEX. What is expected here was checked against Redis 8.6.2.

use crate::memory::{Memory, START_MS};

const OK: &str = r"+OK\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const BAD_COUNT: &str = r"-ERR invalid numkeys value\r\n";
const BAD_PAIRS: &str = r"-ERR wrong number of key-value pairs\r\n";
const BAD_TIME: &str = r"-ERR invalid expire time in \'msetex\' command\r\n";
const ONE: &str = r":1\r\n";
const ZERO: &str = r":0\r\n";

#[test]
fn all_values_are_stored_with_one_lifetime() {
    let mut m = Memory::new();
    m.run("RPUSH l a");
    m.expect(&[
        ("MSETEX 3 a 1 b 2 l 3", ONE),
        ("MGET a b l", r"*3\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n"),
        ("MSETEX 2 a 1 a 2 EX 100", ONE),
        ("GET a", r"$1\r\n2\r\n"),
        ("TTL a", r":100\r\n"),
        ("MSETEX 2 a 3 b 4 KEEPTTL", ONE),
        ("TTL a", r":100\r\n"),
        ("TTL b", r":-1\r\n"),
        ("MSETEX 2 a 3 b 4 px 5000", ONE),
        ("TTL a", r":5\r\n"),
        ("TTL b", r":5\r\n"),
        ("MSETEX 1 a 3", ONE),
        ("TTL a", r":-1\r\n"),
        ("MSETEX 2 a 3 b 4 EXAT 4102444800", ONE),
        ("EXPIRETIME b", r":4102444800\r\n"),
        // A deadline that has passed is stored like any other.
        ("MSETEX 2 a 3 b 4 PXAT 1", ONE),
        ("EXISTS a b", ZERO),
        // Words may be keys and values.
        ("MSETEX 2 EX 10 PX 20", ONE),
        ("MGET EX PX", r"*2\r\n$2\r\n10\r\n$2\r\n20\r\n"),
    ]);
}

#[test]
fn either_all_values_are_stored_or_none() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET a 1 EX 100", OK),
        ("MSETEX 2 b 2 a 2 NX EX 5", ZERO),
        ("EXISTS b", ZERO),
        ("TTL a", r":100\r\n"),
        ("MSETEX 2 b 2 b 3 NX", ONE),
        ("GET b", r"$1\r\n3\r\n"),
        ("MSETEX 2 a 5 c 5 XX", ZERO),
        ("MSETEX 2 c 5 c 5 XX", ZERO),
        ("MSETEX 3 a 5 b 5 a 6 XX EX 7", ONE),
        ("MGET a b", r"*2\r\n$1\r\n6\r\n$1\r\n5\r\n"),
        ("TTL b", r":7\r\n"),
        ("MSETEX 1 b 2 NX NX", ZERO),
        ("MSETEX 1 b 2 xx XX", ONE),
    ]);
}

#[test]
fn lines_that_make_no_sense_change_nothing() {
    let mut m = Memory::new();
    m.run("SET a 0");
    let arity = r"-ERR wrong number of arguments for \'msetex\' command\r\n";
    m.expect(&[
        ("MSETEX", arity),
        ("MSETEX 1 a", arity),
        ("MSETEX 0 a 1", BAD_COUNT),
        ("MSETEX -1 a 1", BAD_COUNT),
        ("MSETEX x a 1", BAD_COUNT),
        ("MSETEX 01 a 1", BAD_COUNT),
        ("MSETEX 2147483648 a 1", BAD_COUNT),
        ("MSETEX 99999999999999999999 a 1", BAD_COUNT),
        ("MSETEX 2147483647 a 1", BAD_PAIRS),
        ("MSETEX 2 a 1", BAD_PAIRS),
        ("MSETEX 2 a 1 b", BAD_PAIRS),
        ("MSETEX 1 a 1 b 2", SYNTAX),
        ("MSETEX 1 a 1 FOO", SYNTAX),
        ("MSETEX 1 a 1 NX XX", SYNTAX),
        ("MSETEX 1 a 1 EX", SYNTAX),
        ("MSETEX 1 a 1 EX 10 PX 10", SYNTAX),
        ("MSETEX 1 a 1 EX 10 KEEPTTL", SYNTAX),
        ("MSETEX 1 a 1 KEEPTTL PX 10", SYNTAX),
        ("MSETEX 1 a 1 PERSIST", SYNTAX),
        ("MSETEX 1 a 1 GET", SYNTAX),
        ("MSETEX 1 a 1 IFEQ 0", SYNTAX),
        // What is wrong with the options comes before what is wrong with their numbers, and that before the condition.
        ("MSETEX 1 a 1 EX 0 FOO", SYNTAX),
        ("MSETEX 1 a 1 NX EX 0", BAD_TIME),
        ("MSETEX 1 a 1 EX -1", BAD_TIME),
        ("MSETEX 1 a 1 PX 9223372036854775807", BAD_TIME),
        ("MSETEX 1 a 1 EX 9223372036854775807", BAD_TIME),
        ("MSETEX 1 a 1 EX abc", r"-ERR value is not an integer or out of range\r\n"),
        ("GET a", r"$1\r\n0\r\n"),
    ]);
}

#[test]
fn keys_are_as_many_as_the_line_says() {
    let mut m = Memory::new();
    let invalid = r"-ERR Invalid arguments specified for command\r\n";
    m.expect(&[
        ("COMMAND GETKEYS MSETEX 2 a 1 b 2 EX 10", r"*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("COMMAND GETKEYS MSETEX 1 a 1 b 2", r"*1\r\n$1\r\na\r\n"),
        ("COMMAND GETKEYS MSETEX 3 a 1 b 2", invalid),
        ("COMMAND GETKEYS MSETEX 0 a 1 b 2", invalid),
    ]);
}

/// The deadline is that of the moment at which the command begins, for all pieces.
#[test]
fn a_long_line_has_one_lifetime() {
    let mut m = Memory::new();
    let pairs: String = (0..20_000).map(|n| format!(" k{n} v")).collect();
    m.leaves_jobs = true;
    assert_eq!(m.run(&format!("MSETEX 20000{pairs} EX 100")), "", "it has become a job");
    let mut sent = String::new();
    for _ in 0..100_000 {
        m.step_jobs();
        m.clock.advance_ms(1);
        sent = m.take_sent(0);
        if !sent.is_empty() {
            break;
        }
    }
    assert_eq!(sent, ONE);
    m.leaves_jobs = false;
    let deadline = m.run("PEXPIRETIME k0");
    assert!(m.clock_now().unix_ms > START_MS, "it has taken several turns");
    assert_eq!(m.run("PEXPIRETIME k19999"), deadline);
    assert_eq!(m.run("DBSIZE"), r":20000\r\n");
}
