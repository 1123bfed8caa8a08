//! Entries that consumers are given besides new ones: CLAIM of XREADGROUP, which waits for them as well, XNACK, which gives them back, and
//! MAXCOUNT and MAXSIZE, which bound all of it. What Redis 8.6.2 answers, and what the documents of later ones say.

use crate::memory::Memory;

const SYNTAX: &str = r"-ERR syntax error\r\n";
const NULL: &str = r"*-1\r\n";

/// An entry with one field of one letter, as it is shown.
fn entry(id: &str, name: &str, value: &str) -> String {
    format!(r"*2\r\n${}\r\n{id}\r\n*2\r\n$1\r\n{name}\r\n${}\r\n{value}\r\n", id.len(), value.len())
}

/// One that is shown with how long it was pending, and how often it was given.
fn aged(id: &str, value: &str, idle_ms: i64, deliveries: u64) -> String {
    let (id_len, len) = (id.len(), value.len());
    format!(r"*4\r\n${id_len}\r\n{id}\r\n*2\r\n$1\r\na\r\n${len}\r\n{value}\r\n:{idle_ms}\r\n:{deliveries}\r\n")
}

/// The reply of one stream.
fn of(key: &str, entries: &[String]) -> String {
    format!(r"*2\r\n${}\r\n{key}\r\n*{}\r\n{}", key.len(), entries.len(), entries.concat())
}

fn streams(each: &[String]) -> String {
    format!(r"*{}\r\n{}", each.len(), each.concat())
}

fn one(entries: &[String]) -> String {
    streams(&[of("s", entries)])
}

/// What XPENDING shows of an entry.
fn pending(id: &str, consumer: &str, idle_ms: i64, deliveries: u64) -> String {
    format!(r"*4\r\n${}\r\n{id}\r\n${}\r\n{consumer}\r\n:{idle_ms}\r\n:{deliveries}\r\n", id.len(), consumer.len())
}

/// Five entries, of which the first three are pending.
fn filled() -> Memory {
    let mut m = Memory::new();
    for n in 1..=5 {
        m.run(&format!("XADD s {n}-1 a {n}"));
    }
    m.run("XGROUP CREATE s g 0");
    m.run("XREADGROUP GROUP g c1 COUNT 3 STREAMS s >");
    m
}

#[test]
fn claimed_entries_come_before_new_ones_the_oldest_first() {
    let mut m = filled();
    m.advance_ms(50);
    m.run("XREADGROUP GROUP g c1 COUNT 1 STREAMS s 0");
    let both = [aged("2-1", "2", 50, 1), aged("3-1", "3", 50, 1), aged("4-1", "4", 0, 0), aged("5-1", "5", 0, 0)];
    m.expect(&[
        ("XREADGROUP GROUP g c2 COUNT 4 CLAIM 20 STREAMS s >", &one(&both)),
        ("XREADGROUP GROUP g c2 CLAIM 1 STREAMS s >", NULL),
    ]);
    m.advance_ms(1);
    m.expect(&[
        // It was given before the others, though in the same millisecond.
        ("XREADGROUP GROUP g c3 CLAIM 1 COUNT 1 STREAMS s >", &one(&[aged("1-1", "1", 1, 2)])),
        ("XDEL s 2-1", r":1\r\n"),
        ("XREADGROUP GROUP g c3 claim 0 COUNT 2 STREAMS s >", &one(&[aged("3-1", "3", 1, 2), aged("4-1", "4", 1, 1)])),
        // An entry that was deleted stays pending, and is claimed by nobody.
        ("XPENDING s g 2-1 2-1 10", &format!(r"*1\r\n{}", pending("2-1", "c2", 1, 2))),
        // COUNT holds for each time that a stream is named.
        (
            "XREADGROUP GROUP g c4 CLAIM 0 COUNT 1 STREAMS s s > >",
            &streams(&[of("s", &[aged("5-1", "5", 1, 1)]), of("s", &[aged("1-1", "1", 0, 3)])]),
        ),
        // Of a consumer's own entries it says nothing.
        ("XREADGROUP GROUP g c4 CLAIM 0 COUNT 1 STREAMS s 0", &one(&[entry("1-1", "a", "1")])),
        ("XREADGROUP GROUP g c4 CLAIM 9223372036854775807 STREAMS s >", NULL),
    ]);
}

#[test]
fn noack_does_not_hold_for_what_is_claimed() {
    let mut m = filled();
    let all = [aged("1-1", "1", 0, 1), aged("2-1", "2", 0, 1), aged("3-1", "3", 0, 1), aged("4-1", "4", 0, 0)];
    let left = [pending("1-1", "c2", 0, 2), pending("2-1", "c2", 0, 2), pending("3-1", "c2", 0, 2)];
    m.expect(&[
        ("XREADGROUP GROUP g c2 CLAIM 0 NOACK COUNT 4 STREAMS s >", &one(&all)),
        ("XPENDING s g - + 10", &format!(r"*3\r\n{}", left.concat())),
    ]);
    m.run("HELLO 3");
    let first = aged("1-1", "1", 0, 2);
    m.expect(&[("XREADGROUP GROUP g c CLAIM 0 COUNT 1 STREAMS s >", &format!(r"%1\r\n$1\r\ns\r\n*1\r\n{first}"))]);
}

#[test]
fn bad_claims_are_refused_as_redis_refuses_them() {
    let mut m = filled();
    let in_xread = r"-ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.\r\n";
    let no_integer = r"-ERR min-idle-time is not an integer or out of range\r\n";
    m.expect(&[
        ("XREADGROUP GROUP g c CLAIM -1 STREAMS s >", r"-ERR min-idle-time must be a positive integer\r\n"),
        ("XREADGROUP GROUP g c CLAIM abc STREAMS s >", no_integer),
        ("XREADGROUP GROUP g c CLAIM 9223372036854775808 STREAMS s >", no_integer),
        ("XREADGROUP GROUP g c CLAIM 5 CLAIM x STREAMS s >", no_integer),
        ("XREAD COUNT 1 CLAIM abc STREAMS s 0", in_xread),
        ("XREAD COUNT 1 CLAIM abc", in_xread),
    ]);
}

#[test]
fn who_waits_is_given_an_entry_once_it_is_old_enough() {
    let mut m = filled();
    m.run("XREADGROUP GROUP g c1 STREAMS s >");
    let first = m.client;
    let waiting = m.connect();
    assert_eq!(m.run("XREADGROUP GROUP g c2 COUNT 4 BLOCK 0 CLAIM 100 STREAMS s >"), "");
    let last = m.connect();
    assert_eq!(m.run("XREADGROUP GROUP g c3 BLOCK 5000 CLAIM 100 STREAMS s >"), "");
    m.advance_ms(99);
    assert_eq!((m.wake(), m.take_sent(waiting)), (vec![], String::new()));
    m.advance_ms(1);
    m.wake();
    m.advance_ms(0);
    let given: Vec<String> = (1..=4).map(|n| aged(&format!("{n}-1"), &n.to_string(), 100, 1)).collect();
    // Who has waited longest comes first, and the next one takes the rest.
    assert_eq!(m.take_sent(waiting), one(&given));
    assert_eq!(m.take_sent(last), one(&[aged("5-1", "5", 100, 1)]));
    // Nobody was told in vain, and an entry that is given meanwhile is waited for anew.
    assert_eq!(m.run("XREADGROUP GROUP g c3 BLOCK 250 CLAIM 100 STREAMS s >"), "");
    m.client = first;
    m.advance_ms(60);
    assert!(m.run("XCLAIM s g c1 0 1-1 2-1 3-1 4-1 5-1 JUSTID").starts_with(r"*5\r\n"));
    m.advance_ms(60);
    m.wake();
    m.advance_ms(0);
    assert_eq!(m.take_sent(last), "");
    assert_eq!(m.run("XACK s g 1-1 2-1 3-1 4-1 5-1"), r":5\r\n");
    m.advance_ms(100);
    m.wake();
    m.advance_ms(0);
    assert_eq!(m.take_sent(last), "", "nothing is pending");
    m.advance_ms(30);
    let ended: Vec<_> = m.wake().into_iter().filter(|(_, reply)| !reply.is_empty()).collect();
    assert_eq!(ended, [(last, NULL.to_owned())], "its time is over");
    m.server.check();
}

#[test]
fn who_waits_hears_of_what_becomes_pending_later() {
    let mut m = Memory::new();
    m.run("XGROUP CREATE s g 0 MKSTREAM");
    let first = m.client;
    let waiting = m.connect();
    assert_eq!(m.run("XREADGROUP GROUP g c2 BLOCK 0 CLAIM 100 STREAMS s >"), "");
    m.client = first;
    // It is pending before anybody who waits has had a turn.
    m.run("MULTI");
    m.run("XADD s 1-1 a 1");
    m.run("XREADGROUP GROUP g c1 STREAMS s >");
    m.run("EXEC");
    m.advance_ms(100);
    m.wake();
    m.advance_ms(0);
    assert_eq!(m.take_sent(waiting), one(&[aged("1-1", "1", 100, 1)]));
    m.client = waiting;
    assert_eq!(m.run("XREADGROUP GROUP g c2 BLOCK 0 CLAIM 100000 STREAMS s >"), "");
    m.client = first;
    // What is released is there at once.
    m.advance_ms(7);
    let idle_ms = m.clock_now().unix_ms;
    m.expect(&[("XNACK s g FAIL IDS 1 1-1", r":1\r\n")]);
    assert_eq!(m.take_sent(waiting), one(&[aged("1-1", "1", idle_ms, 2)]));
}

#[test]
fn released_entries_are_nobodys_and_come_first_in_their_order() {
    let mut m = filled();
    m.advance_ms(500);
    let released = [
        pending("1-1", "", -1, 1),
        pending("2-1", "c1", 500, 1),
        pending("3-1", "", -1, 0),
        pending("4-1", "", -1, 9_223_372_036_854_775_807),
    ];
    m.expect(&[
        ("XNACK s g SILENT IDS 1 3-1", r":1\r\n"),
        ("XNACK s g FAIL IDS 3 1-1 9-9 5-1", r":1\r\n"),
        ("XNACK s g FATAL IDS 2 4-1 7-7 FORCE", r":1\r\n"),
        ("XPENDING s g - + 10", &format!(r"*4\r\n{}", released.concat())),
        ("XPENDING s g - + 10 c1", &format!(r"*1\r\n{}", pending("2-1", "c1", 500, 1))),
        ("XPENDING s g", r"*4\r\n:4\r\n$3\r\n1-1\r\n$3\r\n4-1\r\n*1\r\n*2\r\n$2\r\nc1\r\n$1\r\n1\r\n"),
    ]);
    let full = m.run("XINFO STREAM s FULL");
    assert!(full.contains(r"$9\r\npel-count\r\n:4\r\n$12\r\nnacked-count\r\n:3\r\n$7\r\npending\r\n*4\r\n"), "{full}");
    let idle_ms = m.clock_now().unix_ms;
    // The order is that in which they were released, and those that are somebody's follow.
    let claimed = [
        aged("3-1", "3", idle_ms, 0),
        aged("1-1", "1", idle_ms, 1),
        aged("4-1", "4", idle_ms, 9_223_372_036_854_775_807),
        aged("2-1", "2", 500, 1),
    ];
    m.expect(&[
        ("XREADGROUP GROUP g c2 CLAIM 500 COUNT 4 STREAMS s >", &one(&claimed)),
        // What is marked stays so.
        ("XPENDING s g 4-1 4-1 1", &format!(r"*1\r\n{}", pending("4-1", "c2", 0, 9_223_372_036_854_775_807))),
        ("XNACK s g FAIL IDS 2 2-1 1-1 RETRYCOUNT 7", r":2\r\n"),
        ("XCLAIM s g c3 100000 1-1 JUSTID", r"*1\r\n$3\r\n1-1\r\n"),
        ("XAUTOCLAIM s g c3 100000 - JUSTID", r"*3\r\n$3\r\n0-0\r\n*1\r\n$3\r\n2-1\r\n*0\r\n"),
        ("XPENDING s g - 2-1 9", &format!(r"*2\r\n{}{}", pending("1-1", "c3", 0, 7), pending("2-1", "c3", 0, 7))),
        ("XNACK s g FAIL IDS 1 3-1", r":1\r\n"),
        ("XACK s g 3-1", r":1\r\n"),
        ("XNACK s g FAIL IDS 1 3-1", r":0\r\n"),
        ("XNACK s nogroup FAIL IDS 1 3-1", r":0\r\n"),
        ("XNACK nokey g FAIL IDS 1 3-1", r":0\r\n"),
    ]);
}

#[test]
fn bad_releases_are_refused() {
    let mut m = filled();
    m.run("SET t x");
    let mismatch = r"-ERR The `numids` parameter must match the number of arguments\r\n";
    let bad_count = r"-ERR Invalid RETRYCOUNT option argument for XNACK\r\n";
    m.expect(&[
        ("XNACK s g LOUD IDS 1 1-1", SYNTAX),
        ("XNACK s g FAIL ID 1 1-1", SYNTAX),
        ("XNACK s g FAIL IDS 0 1-1", r"-ERR Number of IDs must be a positive integer\r\n"),
        ("XNACK s g FAIL IDS x 1-1", r"-ERR Number of IDs must be a positive integer\r\n"),
        ("XNACK s g FAIL IDS 2 1-1", mismatch),
        ("XNACK s g FAIL IDS 1 1-1 2-1", SYNTAX),
        ("XNACK s g FAIL IDS 1 1-1 RETRYCOUNT", SYNTAX),
        ("XNACK s g FAIL IDS 1 1-1 RETRYCOUNT -1", bad_count),
        ("XNACK s g FAIL IDS 1 1-1 RETRYCOUNT x", bad_count),
        ("XNACK s g FAIL IDS 1 x", r"-ERR Invalid stream ID specified as stream command argument\r\n"),
        ("XNACK t g FAIL IDS 1 1-1", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("XPENDING s g 1-1 1-1 1", &format!(r"*1\r\n{}", pending("1-1", "c1", 0, 1))),
    ]);
}

#[test]
fn a_payload_holds_what_was_released_in_its_order() {
    for version in [0, 10, 11, 12] {
        let mut m = filled();
        m.run(&format!("CONFIG SET rdb-format-version {version}"));
        m.run("XGROUP CREATECONSUMER s g -");
        m.run("XNACK s g FAIL IDS 3 3-1 1-1 2-1");
        let shown = m.run("XPENDING s g - + 10");
        assert_eq!(m.run("COPY s t"), r":1\r\n");
        let payload = m.raw(&[b"DUMP", b"s"]);
        let start = payload.iter().position(|&byte| byte == b'\n').expect("a bulk string") + 1;
        let restored = m.raw(&[b"RESTORE", b"r", b"0", &payload[start..payload.len() - 2]]);
        assert_eq!(restored, b"+OK\r\n");
        for key in ["t", "r"] {
            assert_eq!(m.run(&format!("XPENDING {key} g - + 10")), shown);
            let names = m.run(&format!("XINFO CONSUMERS {key} g"));
            assert!(names.starts_with(r"*2\r\n") && names.contains(r"$1\r\n-\r\n"), "nobody is no consumer: {names}");
            let idle_ms = m.clock_now().unix_ms;
            let order = [aged("3-1", "3", idle_ms, 1), aged("1-1", "1", idle_ms, 1), aged("2-1", "2", idle_ms, 1)];
            let line = format!("XREADGROUP GROUP g c2 COUNT 3 CLAIM 100000 STREAMS {key} >");
            assert_eq!(m.run(&line), streams(&[of(key, &order)]));
        }
    }
}

#[test]
fn a_reply_has_room_for_so_many_entries_and_bytes_of_all_streams_together() {
    let mut m = Memory::new();
    for key in ["s", "t"] {
        for n in 1..=3 {
            m.run(&format!("XADD {key} {n}-1 a {n}"));
        }
    }
    let shown = |n: i32| entry(&format!("{n}-1"), "a", &n.to_string());
    let bytes = shown(1).replace(r"\r\n", "..").len();
    let two = one(&[shown(1), shown(2)]);
    let both = streams(&[of("s", &[shown(1), shown(2)]), of("t", &[shown(1)])]);
    let all = streams(&[of("s", &[shown(1), shown(2), shown(3)]), of("t", &[shown(1)])]);
    let first = one(&[shown(1)]);
    m.expect(&[
        ("XREAD MAXCOUNT 2 STREAMS s t 0 0", &two),
        ("XREAD COUNT 2 MAXCOUNT 3 STREAMS s t 0 0", &both),
        ("XREAD MAXCOUNT 4 STREAMS s t 0 0", &all),
        ("XREAD MAXSIZE 1 STREAMS s t 0 0", &first),
        (&format!("XREAD MAXSIZE {} STREAMS s t 0 0", 2 * bytes - 1), &first),
        (&format!("XREAD MAXSIZE {} STREAMS s t 0 0", 2 * bytes), &two),
        (&format!("XREAD MAXSIZE {} STREAMS s t 0 0", 4 * bytes), &all),
        (&format!("XREAD MAXSIZE {} MAXCOUNT 2 STREAMS s t 0 0", 4 * bytes), &two),
        (&format!("XREAD MAXSIZE {} MAXCOUNT 3 COUNT 2 STREAMS s t 0 0", 9 * bytes), &both),
        // An endless count is no larger than any bound.
        ("XREAD COUNT 0 MAXCOUNT 2 STREAMS s t 0 0", &two),
        ("XREAD COUNT 3 MAXCOUNT 2 STREAMS s t 0 0", r"-ERR MAXCOUNT must not be smaller than COUNT\r\n"),
        ("XREAD MAXCOUNT 0 STREAMS s 0", r"-ERR MAXCOUNT must be a positive integer\r\n"),
        ("XREAD MAXCOUNT -1 STREAMS s 0", r"-ERR MAXCOUNT must be a positive integer\r\n"),
        ("XREAD MAXSIZE 0 STREAMS s 0", r"-ERR MAXSIZE must be a positive integer\r\n"),
        ("XREAD MAXSIZE x STREAMS s 0", r"-ERR value is not an integer or out of range\r\n"),
    ]);
}

#[test]
fn what_a_group_has_no_room_for_is_not_given() {
    let mut m = filled();
    m.run("XADD t 1-1 a 1");
    m.run("XGROUP CREATE t g 0");
    let bytes = entry("1-1", "a", "1").replace(r"\r\n", "..").len();
    m.expect(&[
        // Three can be claimed and two are new.
        (
            "XREADGROUP GROUP g c2 CLAIM 0 MAXCOUNT 4 STREAMS s t > >",
            &one(&[aged("1-1", "1", 0, 1), aged("2-1", "2", 0, 1), aged("3-1", "3", 0, 1), aged("4-1", "4", 0, 0)]),
        ),
        ("XPENDING t g", r"*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n"),
        ("XPENDING s g 5-1 5-1 1", r"*0\r\n"),
        ("XREADGROUP GROUP g c2 MAXCOUNT 1 STREAMS s t 0 >", &one(&[entry("1-1", "a", "1")])),
        (
            &format!("XREADGROUP GROUP g c2 MAXSIZE {} STREAMS s t > >", 2 * bytes),
            &streams(&[of("s", &[entry("5-1", "a", "5")]), of("t", &[entry("1-1", "a", "1")])]),
        ),
    ]);
}

/// A reply of many entries is written piece by piece, and says the same.
#[test]
fn a_long_reply_has_the_same_room() {
    use aleadb::server::jobs::Limits;
    let reply = |long: bool, line: &str| {
        let mut m = Memory::new();
        for key in ["s", "t"] {
            (1..=30).for_each(|n| drop(m.run(&format!("XADD {key} {n}-1 a {n}"))));
        }
        if long {
            m.server.jobs.limits = Limits { long: 0, slice_elements: 3, ..Limits::default() };
        }
        let (client, reply) = (m.client, m.run(line));
        if !m.is_waiting() {
            return reply;
        }
        while m.step_jobs() {}
        m.take_sent(client)
    };
    for line in [
        "XREAD MAXCOUNT 35 STREAMS s t 0 0",
        "XREAD MAXCOUNT 30 STREAMS s t 0 0",
        "XREAD MAXCOUNT 3 STREAMS s t 0 0",
        "XREAD MAXSIZE 1000 STREAMS s t 0 0",
        "XREAD MAXSIZE 1500 COUNT 29 STREAMS s t 0 0",
        "XREAD MAXSIZE 1 STREAMS s t 0 0",
    ] {
        assert_eq!(reply(true, line), reply(false, line), "{line}");
    }
}

/// A group in which forty entries are pending, and a turn goes by four of them.
fn crowded() -> Memory {
    let mut m = filled();
    m.server.jobs.limits.long = 16;
    for n in 6..=40 {
        m.run(&format!("XADD s {n}-1 a {n}"));
    }
    m.run("XREADGROUP GROUP g c1 STREAMS s >");
    m.run("XREADGROUP GROUP g c1 STREAMS s 0");
    m
}

/// The reply to a command that is not answered at once, and in how many turns it came.
fn later(m: &mut Memory, line: &str) -> (String, usize) {
    assert_eq!(m.run(line), "", "that takes some turns");
    for turn in 1..100 {
        m.wake();
        m.advance_ms(0);
        let reply = m.take_sent(m.client);
        if !reply.is_empty() {
            return (reply, turn);
        }
    }
    panic!("it does not go on by itself");
}

#[test]
fn very_many_pending_entries_are_brought_in_order_in_some_turns() {
    let mut m = crowded();
    m.advance_ms(10);
    // The first ones are the youngest.
    m.run("XREADGROUP GROUP g c1 COUNT 38 STREAMS s 0");
    m.advance_ms(50);
    let oldest = one(&[aged("39-1", "39", 60, 2), aged("40-1", "40", 60, 2)]);
    assert_eq!(later(&mut m, "XREADGROUP GROUP g c2 CLAIM 60 STREAMS s >"), (oldest, 9));
    m.expect(&[("XREADGROUP GROUP g c2 CLAIM 60 STREAMS s >", NULL)]);
    m.server.check();
}

#[test]
fn what_cannot_wait_has_the_entries_in_order_at_once() {
    let mut m = crowded();
    m.advance_ms(10);
    m.run("MULTI");
    m.run("XREADGROUP GROUP g c2 CLAIM 10 COUNT 1 STREAMS s >");
    assert_eq!(m.run("EXEC"), format!(r"*1\r\n{}", one(&[aged("1-1", "1", 10, 2)])));
}

#[test]
fn very_many_entries_that_were_deleted_are_passed_over_once() {
    let mut m = crowded();
    m.advance_ms(10);
    later(&mut m, "XREADGROUP GROUP g c2 CLAIM 50 STREAMS s >");
    m.run("XTRIM s MINID 31-1");
    let (reply, turns) = later(&mut m, "XREADGROUP GROUP g c2 CLAIM 1 COUNT 1 STREAMS s >");
    assert_eq!((reply, turns), (one(&[aged("31-1", "31", 10, 2)]), 7));
    m.expect(&[
        ("XREADGROUP GROUP g c2 CLAIM 1 COUNT 1 STREAMS s >", &one(&[aged("32-1", "32", 10, 2)])),
        ("XTRIM s MAXLEN 0", r":10\r\n"),
    ]);
    let (reply, _) = later(&mut m, "XREADGROUP GROUP g c2 CLAIM 1 COUNT 1 STREAMS s >");
    assert_eq!(reply, NULL);
    // One comes again under the id of one that is still pending.
    m.expect(&[("XSETID s 0-0", r"+OK\r\n"), ("XADD s 33-1 a 33", r"$4\r\n33-1\r\n")]);
    let (reply, _) = later(&mut m, "XREADGROUP GROUP g c2 CLAIM 1 COUNT 1 STREAMS s >");
    assert_eq!(reply, one(&[aged("33-1", "33", 10, 2)]));
}
