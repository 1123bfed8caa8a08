//! Lists. Every reply is the one that Redis 8.2.3 gives.

use aleadb::server::ctx::Next;

use crate::memory::Memory;

const OK: &str = r"+OK\r\n";
const NIL: &str = r"$-1\r\n";
const NIL_ARRAY: &str = r"*-1\r\n";
const NONE: &str = r"*0\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_AN_INTEGER: &str = r"-ERR value is not an integer or out of range\r\n";
const NOT_POSITIVE: &str = r"-ERR value is out of range, must be positive\r\n";
const OUT_OF_RANGE: &str =
    r"-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807\r\n";
const NOT_A_TIMEOUT: &str = r"-ERR timeout is not a float or out of range\r\n";
const TOO_LATE: &str = r"-ERR timeout is out of range\r\n";
const NEGATIVE: &str = r"-ERR timeout is negative\r\n";

/// Runs the rows in both protocols, which differ in what stands for nothing.
fn expect_in_both(rows: &[(&str, &str)]) {
    Memory::new().expect(rows);
    let mut m = Memory::new();
    m.run("HELLO 3");
    for (line, reply) in rows {
        assert_eq!(m.run(line), reply.replace(NIL, r"_\r\n").replace(NIL_ARRAY, r"_\r\n"), "{line}");
    }
}

#[test]
fn elements_come_and_go_at_both_ends() {
    expect_in_both(&[
        ("LPUSH l b a", r":2\r\n"),
        ("RPUSH l c 4", r":4\r\n"),
        ("LRANGE l 0 -1", r"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\n4\r\n"),
        ("LRANGE l -3 1", r"*1\r\n$1\r\nb\r\n"),
        ("LRANGE l -9223372036854775808 9223372036854775807", r"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\n4\r\n"),
        ("LINDEX l -1", r"$1\r\n4\r\n"),
        ("LINDEX l -9223372036854775808", NIL),
        ("LPUSHX l x", r":5\r\n"),
        ("RPUSHX l y z", r":7\r\n"),
        ("LPOP l", r"$1\r\nx\r\n"),
        ("RPOP l 2", r"*2\r\n$1\r\nz\r\n$1\r\ny\r\n"),
        ("LLEN l", r":4\r\n"),
        ("LPOP l 9223372036854775807", r"*4\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\n4\r\n"),
        ("EXISTS l", r":0\r\n"),
    ]);
}

#[test]
fn elements_are_found_replaced_inserted_and_removed() {
    expect_in_both(&[
        ("RPUSH l a b 3 a c a", r":6\r\n"),
        ("LPOS l a", r":0\r\n"),
        ("LPOS l 3", r":2\r\n"),
        ("LPOS l 03", NIL),
        ("LPOS l a RANK 2", r":3\r\n"),
        ("LPOS l a RANK -1", r":5\r\n"),
        ("LPOS l a RANK 4", NIL),
        ("LPOS l a COUNT 2", r"*2\r\n:0\r\n:3\r\n"),
        ("LPOS l a COUNT 0 RANK -2", r"*2\r\n:3\r\n:0\r\n"),
        ("LPOS l a COUNT 0 MAXLEN 4", r"*2\r\n:0\r\n:3\r\n"),
        ("LPOS l a RANK -1 COUNT 0 MAXLEN 3", r"*2\r\n:5\r\n:3\r\n"),
        ("LSET l -1 z", OK),
        ("LSET l 6 z", r"-ERR index out of range\r\n"),
        ("LSET l 9223372036854775807 z", r"-ERR index out of range\r\n"),
        ("LINSERT l BEFORE 3 two", r":7\r\n"),
        ("LINSERT l after z end", r":8\r\n"),
        ("LREM l -1 a", r":1\r\n"),
        ("LREM l 5 a", r":1\r\n"),
        ("LRANGE l 0 -1", r"*6\r\n$1\r\nb\r\n$3\r\ntwo\r\n$1\r\n3\r\n$1\r\nc\r\n$1\r\nz\r\n$3\r\nend\r\n"),
        ("LTRIM l 1 -2", OK),
        ("LRANGE l 0 -1", r"*4\r\n$3\r\ntwo\r\n$1\r\n3\r\n$1\r\nc\r\n$1\r\nz\r\n"),
        ("LTRIM l 2 1", OK),
        ("EXISTS l", r":0\r\n"),
    ]);
}

#[test]
fn elements_move_between_lists_and_within_one() {
    expect_in_both(&[
        ("RPUSH l 1 b c", r":3\r\n"),
        ("LMOVE l l LEFT RIGHT", r"$1\r\n1\r\n"),
        ("RPOPLPUSH l m", r"$1\r\n1\r\n"),
        ("LMOVE l m RIGHT RIGHT", r"$1\r\nc\r\n"),
        ("BLMOVE l m LEFT LEFT 0", r"$1\r\nb\r\n"),
        ("EXISTS l", r":0\r\n"),
        ("BRPOPLPUSH m m 0", r"$1\r\nc\r\n"),
        ("LRANGE m 0 -1", r"*3\r\n$1\r\nc\r\n$1\r\nb\r\n$1\r\n1\r\n"),
        ("BLMPOP 0 2 l m RIGHT COUNT 2", r"*2\r\n$1\r\nm\r\n*2\r\n$1\r\n1\r\n$1\r\nb\r\n"),
        ("LMOVE m m RIGHT LEFT", r"$1\r\nc\r\n"),
        ("LLEN m", r":1\r\n"),
    ]);
}

#[test]
fn encodings_change_at_the_limit_and_back_at_half_of_it() {
    let (pack, nodes) = (r"$8\r\nlistpack\r\n", r"$9\r\nquicklist\r\n");
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG SET list-max-listpack-size 4", OK),
        ("CONFIG GET list-max-ziplist-size", r"*2\r\n$21\r\nlist-max-ziplist-size\r\n$1\r\n4\r\n"),
        ("RPUSH l 1 2 3 4", r":4\r\n"),
        ("OBJECT ENCODING l", pack),
        ("LINSERT l BEFORE nosuch x", r":-1\r\n"),
        ("OBJECT ENCODING l", nodes),
        ("RPOP l", r"$1\r\n4\r\n"),
        ("OBJECT ENCODING l", nodes),
        ("LREM l 0 2", r":1\r\n"),
        ("OBJECT ENCODING l", pack),
        ("RPUSH l 4 5 6", r":5\r\n"),
        ("OBJECT ENCODING l", nodes),
        ("LTRIM l 0 1", OK),
        ("OBJECT ENCODING l", pack),
        ("CONFIG SET list-max-listpack-size -1", OK),
    ]);
    let (fits, does_not) = ("x".repeat(4089), "x".repeat(4090));
    for (value, encoding) in [(&fits, pack), (&does_not, nodes)] {
        m.run("DEL l");
        m.run(&format!("RPUSH l {value}"));
        m.expect(&[("OBJECT ENCODING l", encoding)]);
    }
    m.run("DEL l");
    m.run("RPUSH l small");
    m.run(&format!("LSET l 0 {}", "y".repeat(5000)));
    m.expect(&[("OBJECT ENCODING l", nodes), ("LSET l 0 small", OK), ("OBJECT ENCODING l", pack)]);
}

#[test]
fn events_come_in_redis_order() {
    let mut m = Memory::new();
    let (actor, listener) = (m.client, m.connect());
    m.run("PSUBSCRIBE __keyevent@0__:*");
    m.client = actor;
    m.run("CONFIG SET notify-keyspace-events EA");
    for (line, events) in [
        ("RPUSH l a b c", "rpush l"),
        ("LPUSHX no a", ""),
        ("LMOVE l m LEFT RIGHT", "rpush m lpop l"),
        ("RPOPLPUSH m n", "lpush n rpop m del m"),
        ("LSET l 0 z", "lset l"),
        ("LINSERT l AFTER z y", "linsert l"),
        ("LREM l 1 nosuch", ""),
        ("LREM l 1 y", "lrem l"),
        ("LTRIM l 0 -1", "ltrim l"),
        ("LPOP l 0", ""),
        ("LMPOP 1 l RIGHT COUNT 9", "rpop l del l"),
        ("BLPOP n 0", "lpop n del n"),
    ] {
        m.run(line);
        let sent = m.take_sent(listener).replace("\\r\\n", " ");
        let words: Vec<&str> = sent.split(' ').collect();
        let told = words.iter().zip(words.iter().skip(2)).filter_map(|(channel, key)| {
            Some(format!("{} {key}", channel.strip_prefix("__keyevent@0__:").filter(|event| *event != "*")?))
        });
        assert_eq!(told.collect::<Vec<_>>().join(" "), events, "{line}");
    }
}

#[test]
fn those_who_wait_are_served_in_turn() {
    let mut m = Memory::new();
    let (pusher, first, second, mover) = (m.client, m.connect(), m.connect(), m.connect());
    for (client, line) in [(first, "BLPOP k l 0"), (second, "BRPOP l 0.05"), (mover, "BLMOVE src l LEFT RIGHT 0")] {
        m.client = client;
        assert_eq!((m.run(line).as_str(), m.next), ("", Next::Block), "{line}");
    }
    m.client = pusher;
    m.expect(&[("RPUSH l one", r":1\r\n")]);
    assert_eq!(m.take_sent(first), r"*2\r\n$1\r\nl\r\n$3\r\none\r\n");
    m.expect(&[("EXISTS l", r":0\r\n"), ("LPUSH src two", r":1\r\n")]);
    assert_eq!(m.take_sent(mover), r"$3\r\ntwo\r\n");
    assert_eq!(m.take_sent(second), r"*2\r\n$1\r\nl\r\n$3\r\ntwo\r\n");
    m.client = second;
    m.run("BLMOVE src l LEFT RIGHT 0.05");
    m.advance_ms(50);
    assert_eq!(m.wake()[0], (second, String::from(NIL_ARRAY)));
}

#[test]
fn pops_answer_every_line_as_redis_does() {
    expect_in_both(&[
        ("SET str v", OK),
        ("RPUSH l a b c 1 2 3 a", r":7\r\n"),
        ("LPOP", r"-ERR wrong number of arguments for \'lpop\' command\r\n"),
        ("LPOP l 1 2", r"-ERR wrong number of arguments for \'lpop\' command\r\n"),
        ("LPOP l x", NOT_POSITIVE),
        ("LPOP l -1", NOT_POSITIVE),
        ("LPOP l 9223372036854775808", NOT_POSITIVE),
        ("LPOP nokey", NIL),
        ("LPOP nokey 0", NIL_ARRAY),
        ("LPOP nokey 5", NIL_ARRAY),
        ("LPOP l 0", NONE),
        ("LPOP str", WRONG_TYPE),
        ("LPOP str 0", WRONG_TYPE),
        ("LPOP str x", NOT_POSITIVE),
        ("RPOP l -1", NOT_POSITIVE),
        ("LMPOP 0 l LEFT", r"-ERR numkeys should be greater than 0\r\n"),
        ("LMPOP x l LEFT", r"-ERR numkeys should be greater than 0\r\n"),
        ("LMPOP 2 l LEFT", SYNTAX),
        ("LMPOP 1 l UP", SYNTAX),
        ("LMPOP 1 l LEFT COUNT 0", r"-ERR count should be greater than 0\r\n"),
        ("LMPOP 1 l LEFT COUNT x", r"-ERR count should be greater than 0\r\n"),
        ("LMPOP 1 l LEFT COUNT 1 COUNT 2", SYNTAX),
        ("LMPOP 1 l LEFT COUNT", SYNTAX),
        ("LMPOP 1 l LEFT FOO 1", SYNTAX),
        ("LMPOP 1 nokey LEFT", NIL_ARRAY),
        ("LMPOP 1 str LEFT", WRONG_TYPE),
        ("LMPOP 2 nokey l LEFT COUNT 2", r"*2\r\n$1\r\nl\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("LMPOP 100 l LEFT", SYNTAX),
        ("LMPOP 9223372036854775806 l LEFT", SYNTAX),
        ("RPUSH big 1 2 3 4 5", r":5\r\n"),
        ("LPOP big 2", r"*2\r\n$1\r\n1\r\n$1\r\n2\r\n"),
        ("RPOP big 2", r"*2\r\n$1\r\n5\r\n$1\r\n4\r\n"),
        ("LMPOP 1 big RIGHT COUNT 5", r"*2\r\n$3\r\nbig\r\n*1\r\n$1\r\n3\r\n"),
        ("EXISTS big", r":0\r\n"),
    ]);
}

#[test]
fn reading_answers_every_line_as_redis_does() {
    expect_in_both(&[
        ("SET str v", OK),
        ("RPUSH l a b c 1 2 3 a", r":7\r\n"),
        ("LRANGE l x 1", NOT_AN_INTEGER),
        ("LRANGE str 0 1", WRONG_TYPE),
        ("LRANGE nokey 0 -1", NONE),
        ("LRANGE l 5 1", NONE),
        ("LRANGE l -100 100", r"*7\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\na\r\n"),
        ("LINDEX l x", NOT_AN_INTEGER),
        ("LINDEX str x", WRONG_TYPE),
        ("LINDEX nokey x", NIL),
        ("LINDEX l 100", NIL),
        ("LINDEX l -100", NIL),
        (
            "LPOS l a RANK 0",
            r"-ERR RANK can\'t be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list\r\n",
        ),
        ("LPOS l a RANK x", NOT_AN_INTEGER),
        ("LPOS l a RANK -9223372036854775808", OUT_OF_RANGE),
        ("LPOS l a COUNT -1", r"-ERR COUNT can\'t be negative\r\n"),
        ("LPOS l a COUNT x", r"-ERR COUNT can\'t be negative\r\n"),
        ("LPOS l a MAXLEN -1", r"-ERR MAXLEN can\'t be negative\r\n"),
        ("LPOS l a MAXLEN x", r"-ERR MAXLEN can\'t be negative\r\n"),
        ("LPOS l a COUNT", SYNTAX),
        ("LPOS l a FOO 1", SYNTAX),
        ("LPOS nokey a", NIL),
        ("LPOS nokey a COUNT 0", NONE),
        ("LPOS l nosuch", NIL),
        ("LPOS l nosuch COUNT 1", NONE),
        ("LPOS str a", WRONG_TYPE),
        (
            "LPOS str a RANK 0",
            r"-ERR RANK can\'t be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list\r\n",
        ),
        ("LPOS l a COUNT 0 RANK 2", r"*1\r\n:6\r\n"),
        ("LPOS l a RANK -1 COUNT 0", r"*2\r\n:6\r\n:0\r\n"),
        ("LLEN str", WRONG_TYPE),
        ("LLEN nokey", r":0\r\n"),
    ]);
}

#[test]
fn changes_in_the_middle_answer_every_line_as_redis_does() {
    expect_in_both(&[
        ("SET str v", OK),
        ("RPUSH l a b c 1 2 3 a", r":7\r\n"),
        ("LSET nokey 0 x", r"-ERR no such key\r\n"),
        ("LSET nokey x x", r"-ERR no such key\r\n"),
        ("LSET l x x", NOT_AN_INTEGER),
        ("LSET str x x", WRONG_TYPE),
        ("LSET l 100 x", r"-ERR index out of range\r\n"),
        ("LINSERT nokey XX a b", SYNTAX),
        ("LINSERT nokey before a b", r":0\r\n"),
        ("LINSERT l before nosuch b", r":-1\r\n"),
        ("LINSERT str before nosuch b", WRONG_TYPE),
        ("LREM l x a", NOT_AN_INTEGER),
        ("LREM l -9223372036854775808 a", OUT_OF_RANGE),
        ("LREM nokey x a", NOT_AN_INTEGER),
        ("LREM nokey 0 a", r":0\r\n"),
        ("LREM str x a", NOT_AN_INTEGER),
        ("LTRIM nokey 0 x", NOT_AN_INTEGER),
        ("LTRIM nokey 0 1", OK),
        ("LTRIM str 0 1", WRONG_TYPE),
    ]);
}

#[test]
fn moves_answer_every_line_as_redis_does() {
    expect_in_both(&[
        ("SET str v", OK),
        ("RPUSH l a b c 1 2 3 a", r":7\r\n"),
        ("LMOVE l m UP LEFT", SYNTAX),
        ("LMOVE nokey str LEFT LEFT", NIL),
        ("LMOVE l str LEFT LEFT", WRONG_TYPE),
        ("LMOVE str l LEFT LEFT", WRONG_TYPE),
        ("LMOVE nokey m LEFT UP", SYNTAX),
        ("RPOPLPUSH nokey m", NIL),
        ("RPOPLPUSH l str", WRONG_TYPE),
    ]);
}

#[test]
fn pushes_answer_every_line_as_redis_does() {
    expect_in_both(&[
        ("SET str v", OK),
        ("LPUSH l", r"-ERR wrong number of arguments for \'lpush\' command\r\n"),
        ("LPUSH str a", WRONG_TYPE),
        ("LPUSHX nokey a", r":0\r\n"),
        ("LPUSHX str a", WRONG_TYPE),
    ]);
}

#[test]
fn waiting_commands_refuse_what_redis_refuses() {
    expect_in_both(&[
        ("SET str v", OK),
        ("RPUSH l a b c 1 2 3 a", r":7\r\n"),
        ("BLPOP nokey x", NOT_A_TIMEOUT),
        ("BLPOP nokey -1", NEGATIVE),
        ("BLPOP nokey nan", NOT_A_TIMEOUT),
        ("BLPOP nokey inf", TOO_LATE),
        ("BLPOP nokey -inf", NEGATIVE),
        ("BLPOP nokey 1e400", TOO_LATE),
        ("BLPOP nokey 9223372036854775807", TOO_LATE),
        ("BLPOP nokey 9223372036854774", TOO_LATE),
        ("BLPOP str 0.05", WRONG_TYPE),
        ("BLPOP nokey str x", NOT_A_TIMEOUT),
        ("BLPOP nokey str 1", WRONG_TYPE),
        ("BLMOVE nokey m UP RIGHT x", SYNTAX),
        ("BLMOVE nokey m LEFT RIGHT x", NOT_A_TIMEOUT),
        ("BLMOVE str m LEFT RIGHT 0.05", WRONG_TYPE),
        ("BRPOPLPUSH nokey m x", NOT_A_TIMEOUT),
        ("BRPOPLPUSH nokey m -1", NEGATIVE),
        ("BRPOPLPUSH str m 1", WRONG_TYPE),
        ("BLMPOP x 1 nokey LEFT", NOT_A_TIMEOUT),
        ("BLMPOP x x nokey LEFT", r"-ERR numkeys should be greater than 0\r\n"),
        ("BLMPOP -1 1 nokey UP", SYNTAX),
        ("BLMPOP -1 1 nokey LEFT", NEGATIVE),
        ("BLMPOP 0.05 1 str LEFT COUNT 3", WRONG_TYPE),
        ("BLPOP nokey l 1", r"*2\r\n$1\r\nl\r\n$1\r\na\r\n"),
        ("BRPOP nokey l 1", r"*2\r\n$1\r\nl\r\n$1\r\na\r\n"),
    ]);
}

#[test]
fn nobody_waits_inside_a_transaction() {
    expect_in_both(&[
        ("MULTI", OK),
        ("BLPOP nokey 0", r"+QUEUED\r\n"),
        ("BLMOVE nokey m LEFT RIGHT 0", r"+QUEUED\r\n"),
        ("BRPOPLPUSH nokey m 0", r"+QUEUED\r\n"),
        ("BLMPOP 0 1 nokey LEFT", r"+QUEUED\r\n"),
        ("EXEC", r"*4\r\n*-1\r\n$-1\r\n$-1\r\n*-1\r\n"),
    ]);
}

#[test]
fn lset_index_beyond_32_bits_is_out_of_range() {
    let mut m = Memory::new();
    m.run("RPUSH l a b c");
    for index in
        ["4294967296", "-4294967296", "4294967295", "2147483648", "9223372036854775807", "-9223372036854775808"]
    {
        m.expect(&[(&format!("LSET l {index} X"), r"-ERR index out of range\r\n")]);
    }
    m.expect(&[("LRANGE l 0 -1", r"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"), ("LSET l -3 X", r"+OK\r\n")]);
}
