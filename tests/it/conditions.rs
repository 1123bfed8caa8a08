//! What happens to a string only if it is as said: SET with IFEQ and its kin, DELEX, DELIFEQ; and DIGEST. What is expected here was
//! checked against Redis 8.6.2, and DELIFEQ against Valkey 9.1.2.

use aleadb::resp::reply::Proto;

use crate::memory::Memory;

const NIL: &str = r"$-1\r\n";
const OK: &str = r"+OK\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_A_DIGEST: &str = r"-ERR must be exactly 16 hexadecimal characters\r\n";
const NOT_A_STRING: &str = r"-ERR Key should be of string type if conditions are specified\r\n";
const NO_CONDITION: &str = r"-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE\r\n";
const ONE: &str = r":1\r\n";
const ZERO: &str = r":0\r\n";

/// The digest of `12`.
const TWELVE: &str = "7ecd2e572c949f74";

#[test]
fn set_compares_what_there_is_with_a_value() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k v IFEQ v", NIL),
        ("EXISTS k", ZERO),
        ("SET k 10 IFNE v", OK),
        ("SET k 11 IFEQ 010", NIL),
        ("SET k 11 ifeq 10", OK),
        ("SET k 12 IFNE 11", NIL),
        ("SET k 12 IFNE 10", OK),
        ("GET k", r"$2\r\n12\r\n"),
        // The last of equal words counts.
        ("SET k 13 IFEQ 0 IFEQ 12", OK),
        ("SET k 14 IFEQ 13 IFEQ 0", NIL),
        // A word may be a value.
        ("SET k GET IFEQ 13", OK),
        ("SET k v IFEQ GET GET", r"$3\r\nGET\r\n"),
        ("SET k IFEQ IFEQ v", OK),
        ("SET k v EX 10 IFEQ IFEQ", OK),
        ("TTL k", r":10\r\n"),
    ]);
}

#[test]
fn set_compares_the_digest() {
    let mut m = Memory::new();
    m.run("SET k 12");
    m.expect(&[
        (&format!("SET k 12 IFDNE {TWELVE}"), NIL),
        (&format!("SET k 12 IFDEQ {}", TWELVE.to_uppercase()), OK),
        (&format!("SET k 13 IFDEQ {TWELVE}"), OK),
        (&format!("SET k 14 IFDEQ {TWELVE}"), NIL),
        (&format!("SET k 14 IFDNE {TWELVE}"), OK),
        ("SET k v IFDEQ abc", NOT_A_DIGEST),
        ("SET k v IFDNE 00000000000000000", NOT_A_DIGEST),
        // One reply, where Redis 8.6 gives the old value before it.
        ("SET k v IFDNE abc GET", NOT_A_DIGEST),
        // Only the length of it is looked at, and only if there is something to compare it with.
        ("SET k v IFDEQ zzzzzzzzzzzzzzzz", NIL),
        ("SET nokey v IFDEQ abc", NIL),
        ("SET k v IFDNE zzzzzzzzzzzzzzzz", OK),
        ("SET nokey v IFDNE abc", OK),
        ("GET nokey", r"$1\r\nv\r\n"),
    ]);
}

#[test]
fn set_with_a_condition_answers_with_the_old_value_whether_it_is_stored_or_not() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k v IFEQ x GET", NIL),
        ("SET k v GET IFNE x", NIL),
        ("SET k w IFEQ x GET", r"$1\r\nv\r\n"),
        ("SET k w IFEQ v GET", r"$1\r\nv\r\n"),
        ("SET k x IFNE w GET", r"$1\r\nw\r\n"),
        ("GET k", r"$1\r\nw\r\n"),
    ]);
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[("SET nokey v IFEQ x GET", r"_\r\n"), ("SET k v IFEQ x", r"_\r\n"), ("SET k v IFEQ w", OK)]);
}

#[test]
fn a_lifetime_is_given_only_with_the_value() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET k v EX 100", OK),
        ("SET k w IFEQ x EX 50", NIL),
        ("TTL k", r":100\r\n"),
        ("SET k w IFEQ v KEEPTTL", OK),
        ("TTL k", r":100\r\n"),
        ("SET k x IFEQ w", OK),
        ("TTL k", r":-1\r\n"),
        ("SET k x IFEQ x PX 5000", OK),
        ("TTL k", r":5\r\n"),
        ("SET k x IFEQ x PXAT 1", OK),
        ("EXISTS k", ZERO),
    ]);
}

#[test]
fn conditions_exclude_each_other_and_other_types_are_refused() {
    let mut m = Memory::new();
    m.run("RPUSH l a");
    m.run("SET k v");
    m.expect(&[
        ("SET k v IFEQ", SYNTAX),
        ("SET k v IFDNE", SYNTAX),
        ("SET k v IFEQ v IFNE w", SYNTAX),
        ("SET k v IFEQ v IFDEQ 0000000000000000", SYNTAX),
        ("SET k v NX IFEQ v", SYNTAX),
        ("SET k v XX IFEQ v", SYNTAX),
        // As since 8.10.
        ("SET k v IFEQ v XX", SYNTAX),
        ("SET k v IFNE w NX", SYNTAX),
        // What is wrong with a number comes before what is wrong with the key.
        ("SET l v IFEQ a EX 0", r"-ERR invalid expire time in \'set\' command\r\n"),
        ("SET k v IFDEQ abc EX x", r"-ERR value is not an integer or out of range\r\n"),
        ("SET l v IFEQ a", WRONG_TYPE),
        ("SET l v IFNE a", WRONG_TYPE),
        ("SET l v IFDEQ abc", WRONG_TYPE),
        ("SET l v IFDNE 0000000000000000 GET", WRONG_TYPE),
        ("TYPE l", r"+list\r\n"),
    ]);
}

/// A value that is compared has been looked up; that there is none is no miss.
#[test]
fn comparisons_count_as_hits() {
    let mut m = Memory::new();
    m.run("SET k v IFEQ v");
    m.run("SET k v");
    m.run("SET k v IFEQ v");
    m.run("SET k v IFNE v");
    assert_eq!((m.server.dbs[0].stats().hits, m.server.dbs[0].stats().misses), (2, 0));
    m.run("SET nokey v IFEQ v GET");
    assert_eq!((m.server.dbs[0].stats().hits, m.server.dbs[0].stats().misses), (2, 1));
    m.run("DELEX nokey IFEQ v");
    m.run("DELEX k IFEQ w");
    assert_eq!((m.server.dbs[0].stats().hits, m.server.dbs[0].stats().misses), (3, 2));
    m.run("DELIFEQ nokey v");
    m.run("DELIFEQ k w");
    m.run("DELEX k");
    assert_eq!((m.server.dbs[0].stats().hits, m.server.dbs[0].stats().misses), (3, 2));
}

#[test]
fn delex_deletes_what_is_as_said() {
    let mut m = Memory::new();
    let set = |m: &mut Memory| assert_eq!(m.run("SET k 12"), OK);
    for (line, reply) in [
        ("DELEX k IFEQ 13", ZERO),
        ("DELEX k IFEQ 012", ZERO),
        ("DELEX k ifeq 12", ONE),
        ("DELEX k IFNE 12", ZERO),
        ("DELEX k IFNE 13", ONE),
        ("DELEX k IFDEQ 7ecd2e572c949f74", ONE),
        ("DELEX k IFDEQ 7ECD2E572C949F74", ONE),
        ("DELEX k IFDEQ 0000000000000000", ZERO),
        ("DELEX k IFDNE 7ecd2e572c949f74", ZERO),
        ("DELEX k IFDNE zzzzzzzzzzzzzzzz", ONE),
        ("DELEX k IFDNE abc", NOT_A_DIGEST),
        ("DELEX k FOO 12", NO_CONDITION),
        ("DELEX k", ONE),
    ] {
        set(&mut m);
        assert_eq!(m.run(line), reply, "{line}");
        assert_eq!(m.run("EXISTS k"), if reply == ONE { ZERO } else { ONE }, "{line}");
    }
    m.run("DEL k");
    m.run("RPUSH l a");
    let arity = r"-ERR wrong number of arguments for \'delex\' command\r\n";
    m.expect(&[
        ("DELEX", arity),
        ("DELEX k IFEQ", arity),
        ("DELEX k IFEQ 1 2", arity),
        ("DELEX k IFEQ 1 IFEQ 1", arity),
        // There is nothing to look at the condition for.
        ("DELEX k", ZERO),
        ("DELEX k IFNE v", ZERO),
        ("DELEX k IFDNE abc", ZERO),
        ("DELEX k FOO v", ZERO),
        ("DELEX l IFEQ a", NOT_A_STRING),
        ("DELEX l IFDNE abc", NOT_A_STRING),
        ("DELEX l FOO a", NOT_A_STRING),
        ("DELEX l", ONE),
        ("EXISTS l", ZERO),
    ]);
}

#[test]
fn delifeq_deletes_a_string_that_is_equal() {
    let mut m = Memory::new();
    m.run("SET k 12");
    m.run("RPUSH l a");
    m.expect(&[
        ("DELIFEQ k 13", ZERO),
        ("DELIFEQ k 12", ONE),
        ("DELIFEQ k 12", ZERO),
        ("DELIFEQ l a", WRONG_TYPE),
        ("DELIFEQ l", r"-ERR wrong number of arguments for \'delifeq\' command\r\n"),
        ("LLEN l", ONE),
    ]);
}

#[test]
fn digest_is_of_the_bytes_however_they_are_held() {
    let mut m = Memory::new();
    m.run("RPUSH l a");
    m.expect(&[
        ("DIGEST k", NIL),
        ("DIGEST l", WRONG_TYPE),
        ("SET k \"Hello world\"", OK),
        ("DIGEST k", r"$16\r\nb6acb9d84a38ff74\r\n"),
        ("SET k \"\"", OK),
        ("DIGEST k", r"$16\r\n2d06800538d394c2\r\n"),
        ("SET k 12", OK),
        ("OBJECT ENCODING k", r"$3\r\nint\r\n"),
        ("DIGEST k", r"$16\r\n7ecd2e572c949f74\r\n"),
        ("APPEND k 3", r":3\r\n"),
        ("SETRANGE k 2 \"\"", r":3\r\n"),
        ("SET k 12", OK),
        ("SETRANGE k 1 2", r":2\r\n"),
        ("DIGEST k", r"$16\r\n7ecd2e572c949f74\r\n"),
        ("DIGEST", r"-ERR wrong number of arguments for \'digest\' command\r\n"),
    ]);
    m.session(m.client).proto = Proto::Resp3;
    m.expect(&[("DIGEST nokey", r"_\r\n")]);
}

/// A string that takes long is gone by in slices, and its digest is that of the whole.
#[test]
fn the_digest_of_a_long_string_is_computed_piece_by_piece() {
    let mut m = Memory::new();
    let text = "0123456789abcdef".repeat(200_000);
    m.run(&format!("SET k {text}"));
    let expected = aleadb::base::xxh3::digits(text.as_bytes()).escape_ascii().to_string();
    m.leaves_jobs = true;
    assert_eq!(m.run("DIGEST k"), "", "it has become a job");
    let mut steps = 0;
    let mut sent = String::new();
    while sent.is_empty() {
        m.step_jobs();
        sent = m.take_sent(0);
        steps += 1;
        assert!(steps < 10_000, "the job does not end");
    }
    assert_eq!(sent, format!(r"$16\r\n{expected}\r\n"));
    m.leaves_jobs = false;
    assert_eq!(m.run(&format!("DELEX k IFDEQ {expected}")), ONE);
}

#[test]
fn a_watched_digest_is_pushed_when_the_string_changes() {
    let mut m = Memory::new();
    m.run("SET k 11");
    assert!(m.run("DIGEST.WATCH k").contains("205381dc855b977a"));
    m.connect();
    m.run("SET k 12 IFEQ 11");
    assert!(m.take_sent(0).contains(TWELVE));
}
