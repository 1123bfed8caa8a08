//! SORT and SORT_RO. The replies are those of Redis 8.2.3.

use crate::keys::expect_both;
use crate::memory::Memory;

const NO_SCORE: &str = r"-ERR One or more scores can\'t be converted into double\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

/// An array of short strings, as it is sent.
fn array(words: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    let elements: String = words
        .iter()
        .map(|word| if *word == "~" { String::from(r"$-1\r\n") } else { format!(r"${}\r\n{word}\r\n", word.len()) })
        .collect();
    format!(r"*{}\r\n{elements}", words.len())
}

/// Runs lines that prepare, then compares what lines answer, given as words of an array.
fn sorted(before: &[&str], rows: &[(&str, &str)]) {
    let mut m = Memory::new();
    before.iter().for_each(|line| drop(m.run(line)));
    for (line, words) in rows {
        assert_eq!(m.run(line), array(words), "{line}");
    }
}

#[test]
fn numbers_sort_by_value_and_texts_by_bytes() {
    sorted(
        &["RPUSH l 10 9 -3 1.5 1e1 inf -inf", "RPUSH w b B a ab 10 9", "SADD s 3 1 2", "ZADD z 3 1 2 2 1 3"],
        &[
            ("SORT l", "-inf -3 1.5 9 10 1e1 inf"),
            ("SORT l DESC", "inf 1e1 10 9 1.5 -3 -inf"),
            ("SORT l DESC ASC", "-inf -3 1.5 9 10 1e1 inf"),
            ("SORT_RO l ASC LIMIT 1 3", "-3 1.5 9"),
            ("SORT w ALPHA", "10 9 B a ab b"),
            ("SORT w alpha desc", "b ab a B 9 10"),
            ("SORT s", "1 2 3"),
            ("SORT s DESC", "3 2 1"),
            ("SORT z", "1 2 3"),
            ("SORT nokey", ""),
        ],
    );
}

#[test]
fn limits_are_cut_to_what_there_is() {
    sorted(
        &["RPUSH l 3 1 2"],
        &[
            ("SORT l LIMIT 0 2", "1 2"),
            ("SORT l LIMIT 1 -1", "2 3"),
            ("SORT l LIMIT -5 2", "1 2"),
            ("SORT l LIMIT 1 -7", "2 3"),
            ("SORT l LIMIT 3 1", ""),
            ("SORT l LIMIT 0 0", ""),
            ("SORT l LIMIT 9223372036854775807 9223372036854775807", ""),
            ("SORT l LIMIT 1 9223372036854775807", "2 3"),
            ("SORT l BY nosort LIMIT 1 1", "1"),
            ("SORT l BY nosort DESC LIMIT 0 2", "2 1"),
            ("SORT l LIMIT 0 1 LIMIT 1 1", "2"),
        ],
    );
}

#[test]
fn weights_come_from_keys_and_from_fields() {
    sorted(
        &[
            "RPUSH l 1 2 3 4",
            "MSET w_1 9 w_2 5 w_3 7 name_1 one name_3 three",
            "HSET h_1 f 1 g->x p",
            "HSET h_2 f 3",
            "HSET h_3 f 2",
        ],
        &[
            // What has no weight weighs 0.
            ("SORT l BY w_*", "4 2 3 1"),
            ("SORT l BY w_* DESC", "1 3 2 4"),
            ("SORT l BY h_*->f", "4 1 3 2"),
            ("SORT l BY name_* ALPHA", "2 4 1 3"),
            ("SORT l BY name_* ALPHA DESC", "3 1 2 4"),
            ("SORT l BY w_* GET #", "4 2 3 1"),
            ("SORT l GET name_*", "one ~ three ~"),
            ("SORT l GET # GET w_* GET h_*->f", "1 9 1 2 5 3 3 7 2 4 ~ ~"),
            ("SORT l LIMIT 0 1 GET h_*->g->x GET h_*-> GET w_*x GET nothing GET *", "p ~ ~ ~ ~"),
            // An arrow before the asterisk, or after which nothing comes, is part of the key.
            ("SORT l LIMIT 0 1 GET h->*", "~"),
        ],
    );
    let mut m = Memory::new();
    m.run("RPUSH l 1 2");
    m.run("RPUSH w_1 x");
    m.run("SET w_2 x");
    m.expect(&[("SORT l BY w_*", NO_SCORE), ("SORT l BY w_*->f", &array("1 2")), ("SORT l GET w_*", &array("~ x"))]);
}

#[test]
fn expired_fields_and_keys_lead_nowhere() {
    let mut m = Memory::new();
    m.expect(&[
        ("RPUSH l 1", r":1\r\n"),
        ("HSET h_1 f v g w", r":2\r\n"),
        ("HPEXPIRE h_1 5 FIELDS 1 f", r"*1\r\n:1\r\n"),
        ("SET k_1 v PX 5", r"+OK\r\n"),
        ("SORT l GET h_*->f GET k_*", &array("v v")),
    ]);
    m.clock.advance_ms(5);
    m.expect(&[("SORT l GET h_*->f GET k_* GET h_*->g", &array("~ ~ w"))]);
}

#[test]
fn without_an_asterisk_nothing_is_sorted() {
    sorted(
        &["RPUSH l b c a", "ZADD z 1 b 2 c 3 a"],
        &[
            ("SORT l BY nosort", "b c a"),
            ("SORT l BY nosort DESC", "a c b"),
            ("SORT z BY nosort", "b c a"),
            ("SORT z BY nosort DESC", "a c b"),
            ("SORT z BY nosort LIMIT 1 5", "c a"),
            // One such pattern is enough.
            ("SORT l BY nosort BY w_*", "b c a"),
            ("SORT l BY #", "b c a"),
        ],
    );
}

#[test]
fn results_are_stored_as_lists() {
    let mut m = Memory::new();
    m.expect(&[
        ("RPUSH l 3 1 2", r":3\r\n"),
        ("SET dst x", r"+OK\r\n"),
        ("SORT l STORE dst", r":3\r\n"),
        ("LRANGE dst 0 -1", &array("1 2 3")),
        ("SET w_1 one", r"+OK\r\n"),
        ("SORT l GET w_* GET # STORE dst DESC", r":6\r\n"),
        ("LRANGE dst 0 -1", r"*6\r\n$0\r\n\r\n$1\r\n3\r\n$0\r\n\r\n$1\r\n2\r\n$3\r\none\r\n$1\r\n1\r\n"),
        ("SORT l STORE l", r":3\r\n"),
        ("LRANGE l 0 -1", &array("1 2 3")),
        ("SADD s b c a", r":3\r\n"),
        ("SORT s BY nosort STORE dst", r":3\r\n"),
        ("LRANGE dst 0 -1", &array("a b c")),
        ("SORT nokey STORE dst", r":0\r\n"),
        ("EXISTS dst", r":0\r\n"),
        ("SORT nokey STORE dst", r":0\r\n"),
        ("SORT l LIMIT 0 0 STORE l", r":0\r\n"),
        ("EXISTS l", r":0\r\n"),
    ]);
}

#[test]
fn storing_tells_of_it_and_wakes_who_waits_for_the_list() {
    let mut m = Memory::new();
    let (listener, worker) = (m.client, m.connect());
    m.expect_of(&[
        (worker, "CONFIG SET notify-keyspace-events KEA", r"+OK\r\n"),
        (listener, "SUBSCRIBE __keyspace@0__:dst", r"*3\r\n$9\r\nsubscribe\r\n$18\r\n__keyspace@0__:dst\r\n:1\r\n"),
        (worker, "RPUSH l 2 1", r":2\r\n"),
        (worker, "SORT l STORE dst", r":2\r\n"),
        (worker, "SORT nokey STORE dst", r":0\r\n"),
        (worker, "SORT nokey STORE dst", r":0\r\n"),
    ]);
    let message =
        |event: &str| format!(r"*3\r\n$7\r\nmessage\r\n$18\r\n__keyspace@0__:dst\r\n${}\r\n{event}\r\n", event.len());
    assert_eq!(m.take_sent(listener), message("sortstore") + &message("del"));
    let waiting = m.connect();
    m.expect_of(&[(waiting, "BLPOP dst 0", ""), (worker, "SORT l STORE dst", r":2\r\n")]);
    m.advance_ms(0);
    assert_eq!(m.take_sent(waiting), array("dst 1"));
}

#[test]
fn wrong_lines_are_refused() {
    expect_both(&[
        ("RPUSH l 1 x", r":2\r\n"),
        ("SET str 1", r"+OK\r\n"),
        ("HSET h f v", r":1\r\n"),
        ("SORT l", NO_SCORE),
        ("SORT l STORE dst", NO_SCORE),
        ("EXISTS dst", r":0\r\n"),
        ("SORT str", WRONG_TYPE),
        ("SORT h", WRONG_TYPE),
        ("SORT_RO h ALPHA", WRONG_TYPE),
        ("SORT l LIMIT 1", SYNTAX),
        ("SORT l LIMIT a 1", NOT_AN_INTEGER),
        ("SORT l LIMIT 1 a", NOT_AN_INTEGER),
        ("SORT l BY", SYNTAX),
        ("SORT l GET", SYNTAX),
        ("SORT l STORE", SYNTAX),
        ("SORT l UP", SYNTAX),
        ("SORT_RO l STORE dst", SYNTAX),
        ("SORT str UP", SYNTAX),
        ("SORT", r"-ERR wrong number of arguments for \'sort\' command\r\n"),
        ("SORT_RO", r"-ERR wrong number of arguments for \'sort_ro\' command\r\n"),
        ("DEL l", r":1\r\n"),
        ("RPUSH l 1 nan", r":2\r\n"),
        ("SORT l", NO_SCORE),
        ("LSET l 1 0x10", r"+OK\r\n"),
        ("SORT l", NO_SCORE),
        ("LSET l 1 1e400", r"+OK\r\n"),
        ("SORT l DESC", r"*2\r\n$5\r\n1e400\r\n$1\r\n1\r\n"),
        ("LSET l 1 \"\"", r"+OK\r\n"),
        ("SORT l", r"*2\r\n$0\r\n\r\n$1\r\n1\r\n"),
    ]);
}
