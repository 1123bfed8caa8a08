//! Sets. The replies are those of Redis 8.2.3.

use std::collections::BTreeSet;

use crate::keys::expect_both;
use crate::memory::Memory;

const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

#[test]
fn members_are_added_asked_after_and_removed() {
    expect_both(&[
        ("SADD s 3 1 2 1", r":3\r\n"),
        ("SADD s 1", r":0\r\n"),
        ("SCARD s", r":3\r\n"),
        ("SISMEMBER s 2", r":1\r\n"),
        ("SISMEMBER s 02", r":0\r\n"),
        ("SISMEMBER nokey 2", r":0\r\n"),
        ("SMISMEMBER s 3 x 1", r"*3\r\n:1\r\n:0\r\n:1\r\n"),
        ("SMISMEMBER nokey a b", r"*2\r\n:0\r\n:0\r\n"),
        ("SREM s 2 9", r":1\r\n"),
        ("SREM nokey 2", r":0\r\n"),
        ("SREM s 1 3 7", r":2\r\n"),
        ("EXISTS s", r":0\r\n"),
        ("SCARD s", r":0\r\n"),
        ("SADD s", r"-ERR wrong number of arguments for \'sadd\' command\r\n"),
    ]);
}

#[test]
fn sets_have_their_own_form_in_resp3() {
    let mut m = Memory::new();
    m.expect(&[
        ("SADD s 2 1", r":2\r\n"),
        ("SMEMBERS s", r"*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SINTER s nokey", r"*0\r\n"),
    ]);
    m.run("HELLO 3");
    m.expect(&[
        ("SMEMBERS s", r"~2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SMEMBERS nokey", r"~0\r\n"),
        ("SINTER s nokey", r"~0\r\n"),
        ("SUNION s nokey", r"~2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SDIFF s nokey", r"~2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SRANDMEMBER s 0", r"*0\r\n"),
        ("SRANDMEMBER nokey 2", r"*0\r\n"),
        ("SRANDMEMBER nokey", r"_\r\n"),
        ("SRANDMEMBER s 10", r"*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SSCAN s 0", r"*2\r\n$1\r\n0\r\n*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("SPOP s 0", r"~0\r\n"),
        ("SPOP nokey 2", r"~0\r\n"),
        ("SPOP nokey", r"_\r\n"),
        ("SPOP s 5", r"~2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("EXISTS s", r":0\r\n"),
    ]);
}

#[test]
fn encodings_are_redis_own() {
    expect_both(&[
        ("SADD ints 1 -9223372036854775808 9223372036854775807", r":3\r\n"),
        ("OBJECT ENCODING ints", r"$6\r\nintset\r\n"),
        ("SADD ints word", r":1\r\n"),
        ("OBJECT ENCODING ints", r"$8\r\nlistpack\r\n"),
        ("CONFIG SET set-max-intset-entries 2 set-max-listpack-entries 3", r"+OK\r\n"),
        ("SADD i 5 6", r":2\r\n"),
        ("OBJECT ENCODING i", r"$6\r\nintset\r\n"),
        ("SADD i 7", r":1\r\n"),
        ("OBJECT ENCODING i", r"$9\r\nhashtable\r\n"),
        ("SREM i 7", r":1\r\n"),
        ("OBJECT ENCODING i", r"$9\r\nhashtable\r\n"),
        ("SADD w a b c", r":3\r\n"),
        ("OBJECT ENCODING w", r"$8\r\nlistpack\r\n"),
        ("SADD w a a a a", r":0\r\n"),
        ("OBJECT ENCODING w", r"$9\r\nhashtable\r\n"),
        ("SADD many 1 2 3", r":3\r\n"),
        ("OBJECT ENCODING many", r"$8\r\nlistpack\r\n"),
        ("SINTERSTORE d i i", r":2\r\n"),
        ("OBJECT ENCODING d", r"$6\r\nintset\r\n"),
        ("SUNIONSTORE d i w", r":5\r\n"),
        ("OBJECT ENCODING d", r"$9\r\nhashtable\r\n"),
        ("SDIFFSTORE d i w", r":2\r\n"),
        ("OBJECT ENCODING d", r"$6\r\nintset\r\n"),
    ]);
}

#[test]
fn sets_are_compared_and_the_results_stored() {
    expect_both(&[
        ("SADD a 1 2 3 4", r":4\r\n"),
        ("SADD b 3 4 5", r":3\r\n"),
        ("SADD c 4 x", r":2\r\n"),
        ("SINTERSTORE d a b", r":2\r\n"),
        ("SINTERCARD 3 a b c", r":1\r\n"),
        ("SINTERCARD 2 a b LIMIT 1", r":1\r\n"),
        ("SINTERCARD 2 a b LIMIT 1 LIMIT 0", r":2\r\n"),
        ("SINTERCARD 2 a nokey", r":0\r\n"),
        ("SUNIONCARD 4 a b c nokey", r":6\r\n"),
        ("SUNIONCARD 2 a b LIMIT 4", r":4\r\n"),
        ("SUNIONCARD 2 a b LIMIT 0 APPROX", r":5\r\n"),
        ("SUNIONCARD 2 a b approx limit 2", r":2\r\n"),
        ("SUNIONCARD 1 nokey APPROX", r":0\r\n"),
        ("SDIFFCARD 3 a b c", r":2\r\n"),
        ("SDIFFCARD 2 a b LIMIT 1", r":1\r\n"),
        ("SDIFFCARD 2 nokey a", r":0\r\n"),
        ("SDIFFCARD 2 a a", r":0\r\n"),
        ("SUNIONSTORE d a b c", r":6\r\n"),
        ("SDIFFSTORE d a b", r":2\r\n"),
        ("SISMEMBER d 1", r":1\r\n"),
        ("SDIFFSTORE d a a", r":0\r\n"),
        ("EXISTS d", r":0\r\n"),
        ("SDIFFSTORE a a b", r":2\r\n"),
        ("SCARD a", r":2\r\n"),
        ("SET str x", r"+OK\r\n"),
        ("SINTERSTORE str b c", r":1\r\n"),
        ("TYPE str", r"+set\r\n"),
    ]);
}

#[test]
fn a_member_moves_and_keys_come_and_go_with_it() {
    expect_both(&[
        ("SADD a 1", r":1\r\n"),
        ("SMOVE a b 2", r":0\r\n"),
        ("SMOVE nokey b 2", r":0\r\n"),
        ("SMOVE a a 1", r":1\r\n"),
        ("SMOVE a a 2", r":0\r\n"),
        ("SMOVE a b 1", r":1\r\n"),
        ("EXISTS a b", r":1\r\n"),
        ("SADD a 1", r":1\r\n"),
        ("SMOVE a b 1", r":1\r\n"),
        ("SCARD b", r":1\r\n"),
        ("SET str x", r"+OK\r\n"),
        ("SMOVE nokey str 1", r":0\r\n"),
        ("SMOVE b str 1", WRONG_TYPE),
        ("SMOVE str b 1", WRONG_TYPE),
    ]);
}

#[test]
fn wrong_types_and_bad_options_are_refused() {
    let mut rows = vec![("SET str x", r"+OK\r\n"), ("SADD s 1 2", r":2\r\n")];
    for line in [
        "SADD str a",
        "SREM str a",
        "SCARD str",
        "SISMEMBER str a",
        "SMISMEMBER str a",
        "SMEMBERS str",
        "SPOP str",
        "SPOP str 1",
        "SRANDMEMBER str",
        "SRANDMEMBER str 1",
        "SINTER s str",
        "SINTER nokey str",
        "SUNION nokey str",
        "SDIFF s str",
        "SINTERSTORE d nokey str",
        "SUNIONSTORE d str",
        "SDIFFSTORE d s str",
        "SINTERCARD 1 str",
        "SSCAN str 0 FOO",
        "GET s",
        "APPEND s x",
        "INCR s",
    ] {
        rows.push((line, WRONG_TYPE));
    }
    const POSITIVE: &str = r"-ERR value is out of range, must be positive\r\n";
    const SYNTAX: &str = r"-ERR syntax error\r\n";
    rows.extend([
        ("SPOP s -1", POSITIVE),
        ("SPOP s abc", POSITIVE),
        ("SPOP nokey -1", POSITIVE),
        ("SPOP s 1 2", SYNTAX),
        ("SRANDMEMBER s 1 2", SYNTAX),
        ("SRANDMEMBER s abc", r"-ERR value is not an integer or out of range\r\n"),
        (
            "SRANDMEMBER s -9223372036854775808",
            r"-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n",
        ),
        ("SRANDMEMBER s -9223372036854775807", r"-ERR value is out of range\r\n"),
        ("SINTERCARD 0 a", r"-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD a s", r"-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD 2 s", r"-ERR Number of keys can\'t be greater than number of args\r\n"),
        ("SINTERCARD 2147483648 s", r"-ERR Number of keys can\'t be greater than number of args\r\n"),
        ("SINTERCARD 9223372036854775807 s", r"-ERR Number of keys can\'t be greater than number of args\r\n"),
        ("SINTERCARD 9223372036854775808 s", r"-ERR numkeys should be greater than 0\r\n"),
        ("SINTERCARD 1 s LIMIT -1", r"-ERR LIMIT can\'t be negative\r\n"),
        ("SINTERCARD 1 s LIMIT a", r"-ERR LIMIT can\'t be negative\r\n"),
        ("SINTERCARD 1 s LIMIT", SYNTAX),
        ("SINTERCARD 1 s FOO 1", SYNTAX),
        ("SINTERCARD 1 s APPROX", SYNTAX),
        ("SUNIONCARD 0 a", r"-ERR numkeys should be greater than 0\r\n"),
        ("SUNIONCARD 2 s", r"-ERR Number of keys can\'t be greater than number of args\r\n"),
        ("SUNIONCARD 1 s LIMIT -1", r"-ERR LIMIT can\'t be negative\r\n"),
        ("SUNIONCARD 1 s LIMIT", SYNTAX),
        ("SUNIONCARD 1 str", WRONG_TYPE),
        ("SDIFFCARD 1 s APPROX", SYNTAX),
        ("SDIFFCARD 1 s FOO", SYNTAX),
        ("SDIFFCARD 2 s str", WRONG_TYPE),
        ("SSCAN s a", r"-ERR invalid cursor\r\n"),
        ("SSCAN str a", r"-ERR invalid cursor\r\n"),
        ("SSCAN nokey 0 FOO", r"*2\r\n$1\r\n0\r\n*0\r\n"),
        ("SSCAN s 0 FOO", SYNTAX),
        ("SSCAN s 0 TYPE string", SYNTAX),
        ("SSCAN s 0 NOVALUES", r"-ERR NOVALUES option can only be used in HSCAN\r\n"),
    ]);
    expect_both(&rows);
}

/// Walks with SSCAN until the cursor is 0, doing something between the calls.
fn scan_all(m: &mut Memory, options: &str, mut between: impl FnMut(&mut Memory, usize)) -> BTreeSet<String> {
    let (mut cursor, mut members, mut calls) = (String::from("0"), BTreeSet::new(), 0);
    loop {
        let reply = m.run(&format!("SSCAN s {cursor} {options}"));
        let fields: Vec<&str> = reply.split(r"\r\n").filter(|field| !field.is_empty()).collect();
        cursor = String::from(fields[2]);
        members.extend(fields[4..].iter().skip(1).step_by(2).map(|member| String::from(*member)));
        calls += 1;
        if cursor == "0" {
            return members;
        }
        between(m, calls);
    }
}

#[test]
fn sscan_returns_every_member_that_is_there_throughout() {
    let mut m = Memory::new();
    for n in 0..3000 {
        m.run(&format!("SADD s stays:{n} goes:{n}"));
    }
    let members = scan_all(&mut m, "COUNT 50", |m, call| {
        for n in call * 100..call * 100 + 100 {
            m.run(&format!("SREM s goes:{n}"));
            m.run(&format!("SADD s comes:{n}"));
        }
    });
    assert!((0..3000).all(|n| members.contains(&format!("stays:{n}"))));
    let some = scan_all(&mut m, "MATCH stays:1?? COUNT 5000", |_, _| {});
    assert_eq!(some.len(), 100);
}

#[test]
fn popped_members_are_distinct_and_gone_however_many() {
    for (size, config) in [(200, "512"), (200, "0"), (2000, "0")] {
        for count in [1, 10, size / 2, size - 5, size - 1] {
            let mut m = Memory::new();
            m.run(&format!("CONFIG SET set-max-intset-entries {config}"));
            for n in 0..size {
                m.run(&format!("SADD s {n}"));
            }
            let reply = m.run(&format!("SPOP s {count}"));
            let popped: BTreeSet<&str> =
                reply.split(r"\r\n").skip(1).filter(|f| !f.is_empty() && !f.starts_with('$')).collect();
            assert_eq!(popped.len(), count);
            assert_eq!(m.run("SCARD s"), format!(r":{}\r\n", size - count));
            for member in popped {
                assert_eq!(m.run(&format!("SISMEMBER s {member}")), r":0\r\n");
            }
        }
    }
}

/// A count may ask for more than there is time for; what goes beyond the limit is written to nobody.
#[test]
fn draws_with_repetitions_end_when_the_client_is_over_its_limit() {
    let mut server = Memory::new();
    let small = ["SADD s a b c", "HSET h a 1 b 2", "ZADD z 1 a 2 b"].map(str::to_owned);
    let numbers = |word: &str| (0..600).map(|n| format!(" {word}{n}")).collect::<String>();
    let pairs = |word: &str| (0..600).map(|n| format!(" {n} {word}{n}")).collect::<String>();
    let large = [format!("SADD S{}", numbers("m")), format!("HSET H{}", pairs("v")), format!("ZADD Z{}", pairs("m"))];
    small.iter().chain(&large).for_each(|line| _ = server.run(line));
    server.reply_bytes_max = 100_000;
    for line in ["SRANDMEMBER s", "HRANDFIELD h", "ZRANDMEMBER z", "SRANDMEMBER S", "HRANDFIELD H", "ZRANDMEMBER Z"] {
        // Inside of a transaction, as jobs have outputs of their own.
        server.run("MULTI");
        server.run(&format!("{line} -3000000"));
        server.run("EXEC");
        let written = server.written_bytes;
        assert!((100_000..300_000).contains(&written), "{line}: {written} bytes written");
    }
}

/// The error of so many registers is 0.81 % (Flajolet et al., 2007): four times as much is seen once in tens of thousands of sets.
#[test]
fn the_number_of_members_of_a_union_is_estimated_within_its_error() {
    let mut m = Memory::new();
    for (key, from) in [("a", 0), ("b", 5_000)] {
        for number in from..from + 10_000 {
            m.run(&format!("SADD {key} member:{number}"));
        }
    }
    m.expect(&[("SUNIONCARD 2 a b", r":15000\r\n"), ("SUNIONCARD 2 a b APPROX LIMIT 7", r":7\r\n")]);
    let estimate: f64 = m.run("SUNIONCARD 2 a b APPROX")[1..].trim_end_matches(r"\r\n").parse().expect("a number");
    assert!((estimate / 15_000.0 - 1.0).abs() < 4.0 * 0.0081, "{estimate}");
    let is_the_same = |m: &mut Memory| {
        for number in 0..15_000 {
            m.run(&format!("PFADD count member:{number}"));
        }
        m.run("PFCOUNT count")
    };
    assert_eq!(is_the_same(&mut m), m.run("SUNIONCARD 2 a b APPROX"), "as PFCOUNT estimates it");
}
