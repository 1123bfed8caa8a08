//! Commands that are done piece by piece: the answers, the data and the log of the direct path, all of it or nothing for everybody
//! else, and who has to wait for whom.

use aleadb::base::clock::Clock;
use aleadb::server::jobs::Limits;
use aleadb::server::session::Blocked;
use aleadb::store::db::Moment;
use aleadb::store::entry::Entry;

use crate::generate::{Generator, Line};
use crate::memory::Memory;
use crate::rng::Rng;

/// Every line is long, and a turn does so many elements.
fn pieces(slice_elements: usize) -> Limits {
    Limits { line: 0, slice_elements, ..Limits::default() }
}

fn whole() -> Limits {
    Limits { line: usize::MAX, long: usize::MAX, ..Limits::default() }
}

/// A server on which every line is long and a turn does one element of it.
fn server() -> Memory {
    let mut m = Memory::new();
    m.run("MSET a 1 b 2 c 3");
    m.run("RPUSH list 1 2 3");
    m.run("SADD set 1 2 3 x");
    m.run("ZADD zset 1 a 2 b 3 c");
    m.run("HSET hash f 1 g 2 h 3");
    m.run("HPEXPIREAT hash 3000000000000 FIELDS 2 f h");
    m.run("SPEXPIREAT set 3000000000000 MEMBERS 2 1 x");
    m.run("ZPEXPIREAT zset 3000000000000 MEMBERS 2 a c");
    m.run("ARMSET array 0 a 1 b 2 c 9000 d");
    m.run("ARRING ring 4 1 2 3 4 5 6");
    for n in 1..=5 {
        m.run(&format!("XADD stream {n}-1 f v"));
    }
    m.run("XGROUP CREATE stream group 0");
    m.run("XREADGROUP GROUP group me COUNT 4 STREAMS stream >");
    m.server.jobs.limits = pieces(1);
    m.leaves_jobs = true;
    m
}

fn blocked(m: &mut Memory, client: usize) -> Option<Blocked> {
    m.session(client).blocked
}

/// Takes turns until a client has its answer.
fn answer(m: &mut Memory, client: usize) -> String {
    let mut sent = String::new();
    for _ in 0..10_000 {
        if m.session(client).blocked != Some(Blocked::Job) {
            return sent + &m.take_sent(client);
        }
        m.step_jobs();
        sent += &m.take_sent(client);
    }
    panic!("the job does not end");
}

/// Takes turns until a job has changed something.
fn begin_to_write(m: &mut Memory) {
    for _ in 0..10_000 {
        if m.server.jobs.are_amid_changes() {
            return;
        }
        m.step_jobs();
    }
    panic!("nothing is written");
}

/// All data, in an order of its own.
fn contents(m: &mut Memory) -> Vec<String> {
    let (limits, client) = (m.server.jobs.limits, m.client);
    m.server.jobs.limits = whole();
    m.connect();
    let now = m.clock.now().unix_ms;
    let mut all = Vec::new();
    for place in m.server.dbs.places() {
        let mut keys = Vec::new();
        let at = Moment::new(m.clock.now(), false);
        let mut cursor = 0;
        loop {
            let show = |entry: &Entry| keys.push((entry.key().to_vec(), entry.deadline_ms()));
            cursor = m.server.dbs[place].scan(cursor, at, show);
            if cursor == 0 {
                break;
            }
        }
        m.session(m.client).db = place;
        for (key, deadline_ms) in keys {
            if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now) {
                continue;
            }
            let mut value = Vec::new();
            let of_type = m.raw(&[b"TYPE", &key]);
            let lines: &[&[&[u8]]] = match &*of_type {
                b"+string\r\n" => &[&[b"GET", &key]],
                b"+list\r\n" => &[&[b"LRANGE", &key, b"0", b"-1"]],
                b"+set\r\n" => &[
                    &[b"SORT", &key, b"ALPHA"],
                    &[b"SPEXPIRETIME", &key, b"MEMBERS", b"6", b"1", b"2", b"3", b"x", b"7", b"y"],
                ],
                b"+hash\r\n" => &[
                    &[b"HGETALL", &key],
                    &[b"HPEXPIRETIME", &key, b"FIELDS", b"5", b"f", b"g", b"h", b"new", b"newer"],
                ],
                b"+zset\r\n" => &[
                    &[b"ZRANGE", &key, b"0", b"-1", b"WITHSCORES"],
                    &[b"ZPEXPIRETIME", &key, b"MEMBERS", b"5", b"a", b"b", b"c", b"new", b"newer"],
                ],
                b"+array\r\n" => &[&[b"ARSCAN", &key, b"0", b"18446744073709551614"], &[b"ARNEXT", &key]],
                b"+stream\r\n" => &[
                    &[b"XRANGE", &key, b"-", b"+"],
                    &[b"XINFO", b"GROUPS", &key],
                    &[b"XPENDING", &key, b"group", b"-", b"+", b"1000"],
                ],
                other => panic!("{}", other.escape_ascii()),
            };
            for line in lines {
                value.extend(m.raw(line));
            }
            if &*of_type == b"+hash\r\n" {
                // In whatever order.
                value.sort_unstable();
            }
            let number = m.server.dbs.number(place);
            all.push(format!("{number} {} {} {deadline_ms:?}", key.escape_ascii(), value.escape_ascii()));
        }
    }
    let last = m.client;
    m.leave(last);
    (m.server.jobs.limits, m.client) = (limits, client);
    all.sort();
    all
}

/// Lines that are done piece by piece.
const LINES: &[&str] = &[
    "DEL a nothing b a hash",
    "UNLINK a set zset",
    "EXISTS a a nothing hash",
    "TOUCH a nothing b",
    "MGET a nothing b hash a",
    "MSET a 7 new 8 hash 9 a 10",
    "MSETNX new 1 newer 2",
    "MSETNX new 1 a 2",
    "MSETNX new 1 newer 2 new 3",
    "MSETEX 4 a 7 new 8 hash 9 a 10",
    "MSETEX 3 a 7 new 8 hash 9 EX 100",
    "MSETEX 2 new 1 newer 2 NX",
    "MSETEX 2 new 1 a 2 NX",
    "MSETEX 3 a 1 b 2 hash 3 XX KEEPTTL",
    "MSETEX 2 a 1 new 2 XX PXAT 4102444800000",
    "MSETEX 3 new 1 newer 2 new 3 NX",
    "MSETEX 2 a 1 b",
    "HSET hash f 7 new 8 f 9",
    "HSET new f 7 g 8",
    "HSET a f 7 g 8",
    "HMSET hash f 7 new 8",
    "HMGET hash f nothing h",
    "HMGET nothing f g",
    "HMGET a f g",
    "HDEL hash f nothing g h",
    "HDEL hash f",
    "SADD set 1 7 x y",
    "SADD new 1 2 3",
    "SADD a 1 2",
    "SREM set 1 2 3 x y",
    "SREM set 1 y",
    "SMISMEMBER set 1 9 x",
    "SMISMEMBER a 1 9",
    "ZADD zset 5 a 6 new",
    "ZADD zset XX CH 5 a 6 new",
    "ZADD zset 5 a NX new",
    "ZADD zset 5 a six new",
    "ZADD zset NX 5 a 6 new 7 newer",
    "ZADD zset INCR 5 a",
    "ZADD zset INCR x a",
    "ZREM zset a nothing b c",
    "ZMSCORE zset a nothing c",
    "ZMOVEMEMBER zset other MEMBERS 4 a nothing c a",
    "ZMOVEMEMBER zset new NX MEMBERS 3 a b c",
    "ZMOVEMEMBER zset new XX MEMBERS 3 a b c",
    "ZMOVEMEMBER zset set MEMBERS 2 a b",
    "ZMSCORE set a b",
    "HEXPIRE hash 100 FIELDS 4 f nothing h f",
    "HPEXPIRE hash 5000 FIELDS 2 f g NX",
    "HEXPIREAT hash 1 FIELDS 3 f g h",
    "HPEXPIREAT hash 4000000000000 GT FIELDS 2 f g",
    "HEXPIRE a 100 FIELDS 2 f g",
    "HEXPIRE a x FIELDS 2 f g",
    "HEXPIRE nothing 100 FIELDS 2 f g",
    "HEXPIRE hash 100 FIELDS 3 f g",
    "HPERSIST hash FIELDS 3 f nothing g",
    "HSETEX hash FNX EX 100 FIELDS 2 new 7 newer 8",
    "HSETEX hash FNX EX 100 FIELDS 3 new 7 newer 8 f 9",
    "HSETEX hash FXX KEEPTTL FIELDS 2 f 7 h 9",
    "HSETEX hash FIELDS 2 f 7 new 9 XX PXAT 4000000000000",
    "HSETEX hash PXAT 1 FIELDS 3 f 7 g 8 h 9",
    "HSETEX new NX FIELDS 2 f 7 g 8",
    "HSETEX hash NX FIELDS 2 f 7 g 8",
    "HSETEX a FIELDS 2 f 7 g 8",
    "SEXPIRE set 100 MEMBERS 4 1 nothing x 1 LT",
    "SPEXPIREAT set 1 MEMBERS 4 1 2 3 x",
    "SPEXPIRE zset 100 MEMBERS 2 1 2",
    "SPERSIST set MEMBERS 2 1 9",
    "SADDEX set EX 100 MEMBERS 3 7 y 1",
    "SADDEX set MNX EX 100 MEMBERS 2 7 y",
    "SADDEX set MNX EX 100 MEMBERS 3 7 y 2",
    "SADDEX set MXX KEEPTTL MEMBERS 2 1 x",
    "SADDEX set MEMBERS 3 7 y 1",
    "SADDEX set MEMBERS 3 7 y 1 PXAT 1",
    "SADDEX new MEMBERS 2 1 2 EXAT 4000000000",
    "SADDEX a EX 100 MEMBERS 3 1 7 y",
    "ZEXPIREAT zset 4000000000 MEMBERS 3 a b nothing",
    "ZEXPIRE zset 0 MEMBERS 3 a b c",
    "ZPERSIST zset MEMBERS 2 a b",
    "ZADDEX zset PX 5000 MEMBERS 2 7 a 8 new",
    "ZADDEX zset MNX PX 5000 MEMBERS 2 7 a 8 new",
    "ZADDEX zset PX 5000 MEMBERS 2 7 a x new",
    "ZADDEX new MEMBERS 3 7 a 8 new 9 a",
    "ZADDEX zset MEMBERS 3 7 a 8 b 9 c EXAT 1",
    "RPUSH list 4 5 6",
    "LPUSH list 4 5 6",
    "RPUSHX list 4 5",
    "LPUSHX nothing 4 5",
    "LPUSH set 4 5",
    "PFADD hll a b c a",
    "PFADD a b c",
    "GEOADD geo 13.3 38.1 palermo 15.1 37.5 catania",
    "GEOADD geo 13.3 38.1 palermo 15.1 370 catania",
    "ARSET array 2 x y z",
    "ARSET new 18446744073709551612 x y z",
    "ARSET array 18446744073709551612 x y z v",
    "ARMSET array 1 x 7 y 1 z",
    "ARMSET array 1 x seven y",
    "ARMGET array 0 7 9000",
    "ARMGET array 0 7 x",
    "ARDEL array 0 7 9000 0",
    "ARDEL array 2 1 0 9000",
    "ARDELRANGE array 5 1 8000 10000",
    "ARDELRANGE array 10000 0",
    "ARINSERT array x y z",
    "ARINSERT set x y z",
    "ARRING ring 4 7 8 9",
    "ARRING ring 3 7 8 9 10 11",
    "ARRING ring 9 7 8 9",
    "ARRING array 2 x y z",
    "XDEL stream 1-1 7-1 2-1",
    "XDEL stream 1-1 no",
    "XDEL nothing no no",
    "XACK stream group 1-1 3-1 9-1",
    "XACK stream group 1-1 no",
    "XACK stream nobody 1-1 no",
];

/// Lines that take or change much of one value.
const LARGE: &[&str] = &[
    "LPOP list 2",
    "LPOP list 300",
    "RPOP list 150",
    "LPOP nothing 2",
    "LMPOP 2 nothing list LEFT COUNT 200",
    "LMPOP 2 nothing list RIGHT COUNT 1000",
    "LMPOP 1 nothing RIGHT COUNT 1000",
    "LMPOP 2 a list RIGHT COUNT 1000",
    "LREM list 0 e3",
    "LREM list 20 e3",
    "LREM list -20 e3",
    "LREM list 0 nothing",
    "LREM same 0 x",
    "LREM same -299 x",
    "LREM nothing 0 x",
    "LINSERT list BEFORE e5 new",
    "LINSERT list AFTER last new",
    "LINSERT list AFTER nothing new",
    "LINSERT nothing AFTER e5 new",
    "ZPOPMIN zset 2",
    "ZPOPMIN zset 299",
    "ZPOPMAX zset 1000",
    "ZMPOP 2 nothing zset MIN COUNT 200",
    "ZMPOP 2 nothing zset MAX COUNT 1000",
    "ZMPOP 1 nothing MAX COUNT 1000",
    "ZMOVE zset same:scores MIN COUNT 299",
    "ZMOVE zset new MAX COUNT 1000",
    "ZMOVE zset new BYSCORE (5 250",
    "ZMOVE zset set MIN COUNT 299",
    "ZREMRANGEBYRANK zset 5 200",
    "ZREMRANGEBYRANK zset 0 -2",
    "ZREMRANGEBYRANK zset 0 -1",
    "ZREMRANGEBYSCORE zset (5 250",
    "ZREMRANGEBYSCORE zset x 250",
    "ZREMRANGEBYLEX same:scores [m100 (m2",
    "ARDELRANGE array 0 250000",
    "ARDELRANGE array 1000000 0",
    "ARDELRANGE array 5000 90000 80000 200000 7 3",
    "ARRING ring 200 new",
    "ARRING ring 1000 new",
    "SPOP set 300",
    "SPOP set 1000",
];

/// The same server with larger values.
fn large_server() -> Memory {
    let mut m = Memory::new();
    m.run("SET a 1");
    for n in 0..300 {
        m.run(&format!("RPUSH list e{}{}", n % 7, if n % 50 == 0 { "x".repeat(9000) } else { String::new() }));
        m.run(&format!("RPUSH list e{}", n % 7));
        m.run("RPUSH same x");
        m.run(&format!("ZADD zset {n} m{n}"));
        m.run(&format!("ZADD same:scores 0 m{n}"));
        m.run(&format!("SADD set m{n}"));
        m.run(&format!("ARINSERT ring v{n}"));
        m.run(&format!("ARSET array {} v{n}", n * 1000));
    }
    m.run("RPUSH list last");
    m.server.jobs.limits = pieces(1);
    m.leaves_jobs = true;
    m
}

#[test]
fn much_of_one_value_is_taken_and_changed_as_at_once() {
    for (version, slice) in [("2", 7), ("3", 100)] {
        for line in LARGE {
            let (mut direct, mut sliced) = (large_server(), large_server());
            direct.server.jobs.limits = whole();
            sliced.server.jobs.limits = Limits { long: 0, ..pieces(slice) };
            compare(&mut direct, &mut sliced, large_server, version, line);
        }
    }
}

/// Lines that give very many new entries of streams.
const GIVEN: &[&str] = &[
    "XREADGROUP GROUP group me STREAMS stream >",
    "XREADGROUP GROUP group new COUNT 12 STREAMS stream >",
    "XREADGROUP GROUP group me COUNT 12 STREAMS stream read stream > > >",
    "XREADGROUP GROUP group new NOACK STREAMS read stream > >",
    "XREADGROUP GROUP group new MAXCOUNT 30 BLOCK 0 STREAMS read stream more > > >",
    "XREADGROUP GROUP group new MAXSIZE 80000 STREAMS stream more > >",
];

/// A server with streams.
fn stream_server() -> Memory {
    let mut m = Memory::new();
    for n in 1..=40 {
        m.run(&format!("XADD stream {n}-1 field {}", if n == 7 { "x".repeat(70_000) } else { n.to_string() }));
        m.run(&format!("XADD more {n}-1 field {n}"));
    }
    m.run("XADD read 1-1 field v");
    for key in ["stream", "more", "read"] {
        m.run(&format!("XGROUP CREATE {key} group 0"));
        m.run(&format!("XREADGROUP GROUP group me COUNT 1 STREAMS {key} >"));
    }
    m.server.jobs.limits = pieces(1);
    m.leaves_jobs = true;
    m
}

#[test]
fn very_many_entries_are_given_as_at_once() {
    for (version, slice) in [("2", 1), ("2", 20), ("3", 50)] {
        for line in GIVEN {
            let (mut direct, mut sliced) = (stream_server(), stream_server());
            direct.server.jobs.limits = whole();
            sliced.server.jobs.limits = Limits { long: 0, ..pieces(slice) };
            compare(&mut direct, &mut sliced, stream_server, version, line);
            assert_eq!(sliced.server.jobs.counts.begun, 1, "{line}");
        }
    }
}

/// Any choice of members is as likely as any other.
#[test]
fn what_is_popped_in_pieces_is_drawn_evenly() {
    let mut counts = [0; 8];
    for seed in 0..400 {
        let mut m = Memory::with_seeds(Default::default(), aleadb::server::Seeds { hash: [1; 16], prng: seed });
        m.run("SADD set 0 1 2 3 4 5 6 7");
        m.server.begin_propagation();
        m.server.jobs.limits = Limits { long: 0, ..pieces(2) };
        m.leaves_jobs = true;
        m.run("SPOP set 4");
        let reply = answer(&mut m, 0);
        let mut popped: Vec<usize> = reply.split(r"\r\n").filter_map(|word| word.parse().ok()).collect();
        popped.sort_unstable();
        popped.dedup();
        assert_eq!(popped.len(), 4, "{reply}");
        popped.iter().for_each(|member| counts[*member] += 1);
        assert_eq!(m.run("SMISMEMBER set 0 1 2 3 4 5 6 7"), "");
        answer(&mut m, 0);
        let passed_on: usize = m.take_propagated().iter().flatten().map(|(_, words)| words.len() - 2).sum();
        assert_eq!(passed_on, 4);
    }
    assert!(counts.iter().all(|count| (150..250).contains(count)), "{counts:?}");
}

#[test]
fn pieces_answer_change_and_pass_on_what_the_whole_does() {
    for version in ["2", "3"] {
        for line in LINES {
            for slice in [1, 3] {
                let (mut direct, mut sliced) = (server(), server());
                direct.server.jobs.limits = whole();
                sliced.server.jobs.limits = pieces(slice);
                compare(&mut direct, &mut sliced, server, version, line);
            }
        }
    }
}

/// Runs a line on both servers, on one of them piece by piece: they answer the same, tell of the same events, hold the same data, and
/// pass on what gives that again.
fn compare(direct: &mut Memory, sliced: &mut Memory, fresh: fn() -> Memory, version: &str, line: &str) {
    let is_random = line.starts_with("SPOP");
    for m in [&mut *direct, &mut *sliced] {
        m.run(&format!("HELLO {version}"));
        m.run("CONFIG SET notify-keyspace-events KEA");
        m.connect();
        m.run("PSUBSCRIBE __key*");
        m.client = 0;
        m.server.begin_propagation();
    }
    let expected = direct.run(line);
    // What does not exist or is of another type is answered at once.
    let found = sliced.run(line) + &answer(sliced, 0);
    if !is_random {
        assert_eq!(found, expected, "{line}");
    }
    assert_eq!(sliced.take_sent(1), direct.take_sent(1), "{line}");
    if !is_random {
        assert_eq!(contents(sliced), contents(direct), "{line}");
    }
    assert!(sliced.server.dbs.iter().all(|db| !db.has_holds()), "{line}");
    let units = sliced.take_propagated();
    assert_eq!(units.len(), direct.take_propagated().len(), "{line}: one unit");
    let mut copy = fresh();
    replay(&mut copy, units);
    assert_eq!(contents(&mut copy), contents(sliced), "{line}: what was passed on");
}

/// Runs units that were passed on.
fn replay(m: &mut Memory, units: Vec<Vec<(usize, Vec<Vec<u8>>)>>) {
    m.server.jobs.limits = whole();
    m.connect();
    for (number, words) in units.into_iter().flatten() {
        m.run(&format!("SELECT {number}"));
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let reply = m.raw(&words);
        assert!(!reply.starts_with(b"-"), "{}", reply.escape_ascii());
    }
    let last = m.client;
    m.leave(last);
    m.client = 0;
}

#[test]
fn short_lines_run_at_once() {
    let mut m = server();
    m.server.jobs.limits = Limits::default();
    for line in LINES {
        assert_ne!(m.run(line), "", "{line}");
    }
    assert_eq!(m.server.jobs.counts.begun, 0);
}

#[test]
fn a_line_of_many_bytes_is_long() {
    let mut m = server();
    m.server.jobs.limits = Limits::default();
    let value = vec![b'x'; 20_000];
    let mut line: Vec<&[u8]> = vec![b"RPUSH", b"long"];
    line.extend(std::iter::repeat_n(value.as_slice(), 70));
    assert_eq!(m.raw(&line), b"");
    assert_eq!(answer(&mut m, 0), r":70\r\n");
}

/// Whoever reads or writes what is being written waits, whatever he is, and finds it whole.
#[test]
fn who_would_use_what_is_being_written_waits_and_everybody_else_goes_on() {
    for line in [
        "GET a",
        "GET c",
        "MGET b other",
        "SET a x",
        "TYPE a",
        "EXISTS c",
        "WATCH a",
        "OBJECT ENCODING a",
        "EVAL return() 1 a",
        "EVAL_RO return() 1 b",
        "DUMP a",
        "RENAME a to",
        "COPY a to",
        "COPY list a REPLACE",
        "EXPIRE b 100",
        "GET.WATCH a",
        "DBSIZE",
        "RANDOMKEY",
        "KEYS *",
        "SORT list BY w_*",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "BGSAVE",
        "SAVE",
        "MEMORY USAGE a",
        "XREAD STREAMS a 0",
        "SINTER a set",
        "BITOP AND to a b",
    ] {
        let mut m = server();
        m.run("MSET a 7 b 8 c 9 d 10");
        begin_to_write(&mut m);
        m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
        let other = m.connect();
        assert_eq!(m.run(line), "", "{line}");
        assert_eq!(blocked(&mut m, other), Some(Blocked::Hold), "{line}");
        let free = m.connect();
        for others in ["GET e", "SET f 1", "LLEN list", "MGET e f", "SADD set 9", "PING", "SCAN 0", "WATCH e", "INFO"] {
            assert_ne!(m.run(others), "", "{others}");
            assert_eq!(blocked(&mut m, free), None, "{others}");
        }
        assert_eq!(answer(&mut m, 0), r"+OK\r\n", "{line}");
        assert_eq!(m.wake(), [(other, String::new())], "{line}");
        m.client = other;
        assert_ne!(m.run(line), "", "{line}");
        assert!(m.server.jobs.waiting.is_empty());
    }
}

#[test]
fn what_is_only_read_piece_by_piece_is_read_by_others_and_not_changed() {
    let mut m = server();
    m.run("MGET a b c nothing");
    (0..5).for_each(|_| _ = m.step_jobs());
    let other = m.connect();
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    assert_eq!(m.run("GET a"), r"$1\r\n1\r\n");
    assert_eq!(m.run("DBSIZE"), r":10\r\n");
    assert_eq!(m.run("SET a x"), "");
    assert_eq!(blocked(&mut m, other), Some(Blocked::Hold));
    assert_eq!(answer(&mut m, 0), r"*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n");
}

/// Whoever reads all keys sees one value in all of them.
#[test]
fn nobody_sees_the_half_of_what_is_written() {
    const KEYS: usize = 12;
    let keys: Vec<String> = (0..KEYS).map(|n| format!("k{n}")).collect();
    let mget = format!("MGET {}", keys.join(" "));
    for seed in 0..8 {
        let mut rng = Rng::new(seed);
        let mut m = Memory::new();
        m.leaves_jobs = true;
        let mut pending: Vec<Option<String>> = vec![None; 6];
        (0..5).for_each(|_| _ = m.connect());
        let (mut written, mut seen) = (0, 0);
        for _ in 0..600 {
            m.server.jobs.limits = pieces(1 + rng.below(4));
            let client = rng.below(6);
            m.client = client;
            let line = match rng.below(4) {
                _ if client < 3 => {
                    written += 1;
                    let mut keys = keys.clone();
                    rng.shuffle(&mut keys);
                    let pairs: Vec<String> = keys.iter().map(|key| format!("{key} {written}")).collect();
                    format!("MSET {}", pairs.join(" "))
                }
                0 => format!("EVAL \"return redis.call('MGET', unpack(KEYS))\" {KEYS} {}", keys.join(" ")),
                1 => "EVAL \"local t = {} for i = 0, 11 do t[i + 1] = redis.call('GET', 'k' .. i) end return t\" 0"
                    .into(),
                _ => mget.clone(),
            };
            let mut reply = String::new();
            if !m.is_waiting() {
                // Short readers run at once as often as not.
                if client >= 3 && rng.chance(50) {
                    m.server.jobs.limits = whole();
                }
                let line = pending[client].take().unwrap_or(line);
                reply = m.run(&line);
                if blocked(&mut m, client) == Some(Blocked::Hold) {
                    pending[client] = Some(line);
                }
            }
            m.step_jobs();
            m.wake();
            for client in 3..6 {
                let late = m.take_sent(client);
                for reply in [std::mem::take(&mut reply), late] {
                    if reply.starts_with(&format!("*{KEYS}")) {
                        let values: Vec<&str> = reply.split(r"\r\n").skip(1).collect();
                        let values: Vec<&&str> = values.iter().filter(|word| !word.starts_with('$')).collect();
                        assert!(values.windows(2).all(|pair| pair[0] == pair[1] || pair[1].is_empty()), "{reply}");
                        seen += 1;
                    }
                }
            }
        }
        assert!(seen > 20 && written > 50, "seed {seed}: {seen} of {written}");
    }
}

fn is_barred(name: &str, line: &Line) -> bool {
    let first = name.split('|').next().unwrap_or(name);
    let own = [
        "save",
        "bgsave",
        "backup",
        "bgrewriteaof",
        "shutdown",
        "abort",
        "debug",
        "sleep",
        "config",
        "client",
        "acl",
        "hello",
        "auth",
        "reset",
        "quit",
        "monitor",
        "info",
        "latency",
        "slowlog",
        "memory",
        "command",
        "lolwut",
        "hotkeys",
        "subscribe",
        "psubscribe",
        "ssubscribe",
        "commandlog",
        "expiry",
        "object",
        "wait",
        "waitaof",
        "function",
        "script",
    ];
    let blocking = ["blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop"];
    let watches = first.contains(".watch") || first.contains(".unwatch") || first.starts_with("watch.");
    own.contains(&first)
        || blocking.contains(&first)
        || watches
        || line.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
}

/// Clients send random commands, all of them in pieces that can be, in the smallest steps: nobody waits for ever, and what was passed
/// on, unit after unit, gives the same data.
#[test]
fn what_random_clients_do_in_pieces_is_passed_on_in_an_order_that_gives_the_same_data() {
    let (mut begun, mut held) = (0, 0);
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut m = Memory::new();
        m.leaves_jobs = true;
        m.server.begin_propagation();
        let mut lines = Generator::new(seed, is_barred, |_| true);
        for _ in 0..3 {
            m.connect();
        }
        let mut pending: Vec<Option<Line>> = vec![None; 4];
        let mut units = Vec::new();
        for turn in 0..700 {
            m.server.jobs.limits = Limits { long: 0, ..pieces(1 + rng.below(3)) };
            for client in 0..4 {
                if turn < 650 && rng.chance(70) {
                    send(&mut m, client, &mut pending, &mut lines);
                }
            }
            m.step_jobs();
            (0..4).for_each(|client| _ = m.take_sent(client));
            m.advance_ms(rng.below(3) as u64);
            m.wake();
            units.extend(m.take_propagated());
        }
        for _ in 0..20_000 {
            m.step_jobs();
            m.wake();
            for client in 0..4 {
                if pending[client].is_some() {
                    send(&mut m, client, &mut pending, &mut lines);
                }
            }
            if pending.iter().all(Option::is_none) && m.server.jobs.running.is_empty() {
                break;
            }
        }
        units.extend(m.take_propagated());
        assert!(m.server.jobs.running.is_empty() && m.server.jobs.waiting.is_empty(), "seed {seed}: somebody waits");
        assert!(m.server.dbs.iter().all(|db| !db.has_holds()), "seed {seed}");
        begun += m.server.jobs.counts.begun;
        held += m.server.jobs.counts.held_back;
        let mut copy = Memory::new();
        // What has a deadline lives there as long as here.
        copy.clock.advance_ms((m.clock.now().unix_ms - copy.clock.now().unix_ms) as u64);
        let mut number = usize::MAX;
        for (selected, words) in units.into_iter().flatten() {
            if std::mem::replace(&mut number, selected) != selected {
                copy.run(&format!("SELECT {selected}"));
            }
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            copy.raw(&words);
        }
        let (copied, expected) = (contents(&mut copy), contents(&mut m));
        let differing: Vec<_> = copied.iter().filter(|entry| !expected.contains(entry)).collect();
        let missing: Vec<_> = expected.iter().filter(|entry| !copied.contains(entry)).collect();
        assert!(differing.is_empty() && missing.is_empty(), "seed {seed}: {differing:?} and not {missing:?}");
    }
    assert!(begun > 1000 && held > 100, "{begun} jobs held {held} commands back");
}

fn send(m: &mut Memory, client: usize, pending: &mut [Option<Line>], lines: &mut Generator) {
    m.client = client;
    if m.is_waiting() {
        return;
    }
    let line = pending[client].take().unwrap_or_else(|| lines.line());
    m.raw(&line.iter().map(Vec::as_slice).collect::<Vec<_>>());
    if blocked(m, client) == Some(Blocked::Hold) {
        pending[client] = Some(line);
    }
}

#[test]
fn a_client_that_goes_leaves_all_or_nothing() {
    for (line, is_killed) in [("MSET a 7 b 8 new 9", false), ("MSET a 7 b 8 new 9", true)] {
        for turns in 0..10 {
            let mut m = server();
            m.server.begin_propagation();
            let before = contents(&mut m);
            let writer = m.connect();
            m.run(line);
            (0..turns).for_each(|_| _ = m.step_jobs());
            let has_written = m.server.jobs.are_amid_changes() || m.server.jobs.running.is_empty();
            m.client = 0;
            if is_killed {
                let id = m.session(writer).id;
                m.run(&format!("CLIENT KILL ID {id}"));
            }
            m.leave(writer);
            m.server.check();
            (0..20).for_each(|_| _ = m.step_jobs());
            assert!(m.server.jobs.running.is_empty() && m.server.dbs.iter().all(|db| !db.has_holds()));
            let units = m.take_propagated();
            assert_eq!(units.len(), usize::from(has_written), "after {turns} turns");
            m.server.jobs.limits = whole();
            if has_written {
                assert_eq!(m.run("MGET a b new"), r"*3\r\n$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n");
            } else {
                assert_eq!(contents(&mut m), before);
                assert_eq!(m.server.jobs.counts.cancelled, 1);
            }
        }
    }
}

#[test]
fn what_is_passed_on_is_one_unit_at_the_end_with_others_in_between() {
    let mut m = server();
    m.server.begin_propagation();
    m.run("MSET a 7 b 8 c 9");
    begin_to_write(&mut m);
    m.connect();
    m.run("SELECT 3");
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    m.run("SET between 1");
    let words = |line: &str| line.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    assert_eq!(m.take_propagated(), [[(3, words("SET between 1"))]]);
    assert_eq!(answer(&mut m, 0), r"+OK\r\n");
    m.run("SET after 1");
    let unit = vec![(0, words("MSET a 7")), (0, words("MSET b 8")), (0, words("MSET c 9"))];
    assert_eq!(m.take_propagated(), [unit, vec![(3, words("SET after 1"))]]);
}

#[test]
fn a_transaction_waits_as_a_whole_and_one_that_watches_is_broken() {
    let mut m = server();
    let watcher = m.connect();
    m.server.jobs.limits = whole();
    m.run("WATCH c");
    m.client = 0;
    m.server.jobs.limits = pieces(1);
    m.run("MSET a 7 b 8 c 9");
    begin_to_write(&mut m);
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    let other = m.connect();
    m.expect(&[("MULTI", r"+OK\r\n"), ("SET e 1", r"+QUEUED\r\n"), ("GET b", r"+QUEUED\r\n"), ("EXEC", "")]);
    assert_eq!(blocked(&mut m, other), Some(Blocked::Hold));
    assert_eq!(answer(&mut m, 0), r"+OK\r\n");
    m.wake();
    m.client = other;
    assert_eq!(m.run("EXEC"), r"*2\r\n+OK\r\n$1\r\n8\r\n");
    m.client = watcher;
    m.expect(&[("MULTI", r"+OK\r\n"), ("SET e 1", r"+QUEUED\r\n"), ("EXEC", r"*-1\r\n")]);
}

#[test]
fn inside_of_a_transaction_and_a_script_lines_run_whole() {
    let mut m = server();
    m.expect(&[("MULTI", r"+OK\r\n"), ("MSET a 7 b 8", r"+QUEUED\r\n"), ("EXEC", r"*1\r\n+OK\r\n")]);
    assert_eq!(m.run("EVAL \"return redis.call('DEL', 'a', 'b')\" 0"), r":2\r\n");
    assert_eq!(m.server.jobs.counts.begun, 0);
}

#[test]
fn a_script_that_meets_what_is_being_written_and_has_not_named_it_has_it_finished_first() {
    for call in ["'GET', 'c'", "'SET', 'c', 'x'", "'DBSIZE'"] {
        for turns in 1..7 {
            let mut m = server();
            m.server.begin_propagation();
            m.run("MSET c 9 a 7 b 8");
            (0..turns).for_each(|_| _ = m.step_jobs());
            let running = m.server.jobs.running.front().and_then(|running| running.pieces());
            let has_all = running.is_some_and(|pieces| !pieces.is_before_its_instant());
            m.connect();
            m.raw(&[b"EVAL", format!("redis.call('SET', 'before', 1) return redis.call({call})").as_bytes(), b"0"]);
            if has_all {
                assert_eq!((m.take_sent(0).as_str(), blocked(&mut m, 0)), (r"+OK\r\n", None), "{call}");
                assert_eq!(m.server.jobs.counts.rushed, 1);
            }
            m.client = 0;
            answer(&mut m, 0);
            let mut copy = server();
            replay(&mut copy, m.take_propagated());
            assert_eq!(contents(&mut copy), contents(&mut m), "{call} after {turns} turns");
        }
    }
}

#[test]
fn who_waits_for_a_key_that_is_being_written_is_served_when_it_is_whole() {
    let mut m = server();
    let waiter = m.connect();
    m.run("BLPOP new 0");
    let mover = m.connect();
    m.run("BLMOVE source new LEFT RIGHT 0");
    m.client = 0;
    m.run("RPUSH new 1 2 3 4");
    begin_to_write(&mut m);
    assert_eq!(m.take_sent(waiter), "");
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    m.connect();
    // Served from a key that nobody writes, to one that is being written.
    assert_eq!(m.run("RPUSH source x"), r":1\r\n");
    assert_eq!(m.take_sent(mover), "");
    assert_eq!(answer(&mut m, 0), r":4\r\n");
    assert_eq!(m.take_sent(waiter), r"*2\r\n$3\r\nnew\r\n$1\r\n1\r\n");
    assert_eq!(m.take_sent(mover), r"$1\r\nx\r\n");
    assert_eq!(m.run("LRANGE new 0 -1"), r"*4\r\n$1\r\n2\r\n$1\r\n3\r\n$1\r\n4\r\n$1\r\nx\r\n");
    assert_eq!(m.server.jobs.counts.rushed, 0);
}

#[test]
fn a_live_query_is_told_of_the_whole_once() {
    let mut m = server();
    let watcher = m.connect();
    m.server.jobs.limits = whole();
    m.run("HELLO 3");
    m.run("MGET.WATCH a b c");
    m.take_sent(watcher);
    m.client = 0;
    m.server.jobs.limits = pieces(1);
    m.run("MSET a 7 b 8 c 9");
    begin_to_write(&mut m);
    assert_eq!(m.take_sent(watcher), "");
    assert_eq!(answer(&mut m, 0), r"+OK\r\n");
    let sent = m.take_sent(watcher);
    assert!(sent.contains(r"$1\r\n7\r\n$1\r\n8\r\n$1\r\n9\r\n"), "{sent}");
    assert_eq!(sent.matches(r"$1\r\n8").count(), 1, "{sent}");
    m.step_jobs();
    assert_eq!(m.take_sent(watcher), "");
}

#[test]
fn a_key_that_falls_due_while_it_is_written_is_live_to_its_writer_and_leaves_afterwards() {
    let mut m = server();
    m.run("CONFIG SET notify-keyspace-events Ex");
    let listener = m.connect();
    m.run("SUBSCRIBE __keyevent@0__:expired");
    m.client = 0;
    m.server.jobs.limits = whole();
    m.run("PEXPIRE hash 5");
    m.run("PEXPIRE a 5");
    m.server.jobs.limits = pieces(1);
    m.run("HSET hash f 7 new 8 newer 9");
    begin_to_write(&mut m);
    m.advance_ms(10);
    assert!(!m.take_sent(listener).contains("hash"), "it is held");
    assert_eq!(answer(&mut m, 0), r":2\r\n");
    m.advance_ms(2);
    assert!(m.take_sent(listener).contains("hash"));
    assert_eq!(m.run("EXISTS hash"), "");
    assert_eq!(answer(&mut m, 0), r":0\r\n");
    // One that was due before is none.
    m.server.jobs.limits = whole();
    m.run("SET b 1 PX 5");
    m.clock.advance_ms(10);
    m.server.jobs.limits = pieces(1);
    m.run("DEL b c");
    assert_eq!(answer(&mut m, 0), r":1\r\n");
}

#[test]
fn a_snapshot_begins_when_nothing_is_half_written() {
    let mut m = server();
    m.run("MSET a 7 b 8 c 9 d 10");
    begin_to_write(&mut m);
    m.server.persistence.snapshots.scheduled = true;
    let other = m.connect();
    m.run("MSET e 1 f 2");
    for _ in 0..3 {
        m.turn();
    }
    assert!(m.server.jobs.running.iter().any(|running| running.has_written()), "it is still written");
    assert!(!m.server.persistence.snapshots.is_running());
    for _ in 0..200 {
        m.turn();
    }
    assert!(!m.server.persistence.snapshots.scheduled);
    assert_eq!((m.take_sent(0).as_str(), m.take_sent(other).as_str()), (r"+OK\r\n", r"+OK\r\n"));
}

#[test]
fn a_command_that_has_begun_to_write_ends_while_writes_are_paused_and_one_that_has_not_waits() {
    let mut m = server();
    m.run("MSET a 7 b 8 c 9");
    begin_to_write(&mut m);
    let other = m.connect();
    m.run("MSET e 1 f 2");
    m.connect();
    m.run("CLIENT PAUSE 1000 WRITE");
    assert_eq!(answer(&mut m, 0), r"+OK\r\n");
    for _ in 0..100 {
        m.step_jobs();
    }
    assert!(!m.step_jobs(), "there is nothing to be done at once");
    assert_eq!(m.take_sent(other), "");
    m.clock.advance_ms(1001);
    m.wake();
    assert_eq!(answer(&mut m, other), r"+OK\r\n");
}

/// What takes its keys over several turns neither waits for those who wait for it nor is waited for in a circle.
#[test]
fn those_who_take_keys_in_different_orders_all_get_them() {
    let mut m = server();
    let lines = [
        "MSET a 1 b 1 c 1 d 1",
        "MSET d 2 c 2 b 2 a 2",
        "MGET b d a c",
        "DEL c a",
        "MSETNX d 3 e 3 a 3",
        "UNLINK b e",
        "TOUCH a e d",
        "SADD a 1 2",
    ];
    let clients: Vec<usize> = lines.iter().map(|_| m.connect()).collect();
    for (client, line) in clients.iter().zip(lines) {
        m.client = *client;
        assert_eq!(m.run(line), "");
        m.step_jobs();
    }
    for client in clients {
        assert_ne!(answer(&mut m, client), "");
    }
    assert!(!m.server.dbs[0].has_holds());
}

#[test]
fn who_was_held_back_before_a_command_comes_before_it() {
    let mut m = server();
    m.server.jobs.limits = Limits { long: 0, ..pieces(1) };
    m.run("SMEMBERS set");
    let writer = m.connect();
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    assert_eq!(m.run("SADD set new"), "");
    assert_eq!(blocked(&mut m, writer), Some(Blocked::Hold));
    let deleter = m.connect();
    m.server.jobs.limits = pieces(1);
    m.run("DEL a set b");
    assert_ne!(answer(&mut m, 0), "");
    for _ in 0..20 {
        m.step_jobs();
    }
    assert_eq!(blocked(&mut m, deleter), Some(Blocked::Job), "it waits for who was there before");
    m.wake();
    m.client = writer;
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    assert_eq!(m.run("SADD set new"), r":1\r\n");
    assert_eq!(answer(&mut m, deleter), r":3\r\n");
}

/// The simulator found it: a command that was held back and then refused, as a script was at work, kept its claim for ever.
#[test]
fn a_command_that_is_refused_after_it_was_held_back_claims_nothing() {
    let mut m = server();
    m.server.jobs.limits = Limits { long: 0, ..pieces(1) };
    m.run("SMEMBERS set");
    m.connect();
    m.server.jobs.limits = Limits { slice_elements: 1, ..whole() };
    assert_eq!(m.run("SADD set new"), "");
    assert_ne!(answer(&mut m, 0), "");
    m.wake();
    // It is refused for what has changed meanwhile.
    assert!(m.run("SADD set").starts_with("-ERR"));
    assert!(m.server.jobs.waiting.is_empty());
    let deleter = m.connect();
    m.server.jobs.limits = pieces(1);
    m.run("DEL a set b");
    assert_eq!(answer(&mut m, deleter), r":3\r\n");
}

#[test]
fn no_job_that_comes_later_takes_a_key_that_is_waited_for() {
    let mut m = server();
    m.server.jobs.limits = Limits { long: 0, ..pieces(1) };
    m.run("SMEMBERS set");
    let deleter = m.connect();
    m.run("DEL a set b");
    for _ in 0..2 {
        m.step_jobs();
    }
    let late = m.connect();
    m.run("SMEMBERS set");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Hold));
    assert_ne!(answer(&mut m, 0), "");
    assert_eq!(answer(&mut m, deleter), r":3\r\n");
    m.wake();
    m.client = late;
    assert_eq!(m.run("SMEMBERS set"), r"*0\r\n");
}

#[test]
fn a_write_that_was_begun_is_whole_in_the_log_before_the_server_ends() {
    let mut m = server();
    m.server.begin_propagation();
    m.run("MSET a 7 b 8 c 9");
    begin_to_write(&mut m);
    m.connect();
    m.run("SHUTDOWN NOSAVE");
    assert_eq!(m.take_sent(0), r"+OK\r\n");
    assert_eq!(m.take_propagated().len(), 1);
}

#[test]
fn a_cut_off_reader_ends_and_a_writer_that_is_cut_off_goes_on() {
    let mut m = Memory::new();
    let long = "x".repeat(5_000);
    let keys: Vec<String> = (0..100).map(|n| format!("k{n}")).collect();
    keys.iter().for_each(|key| assert_eq!(m.run(&format!("SET {key} {long}")), r"+OK\r\n"));
    m.run("CONFIG SET client-output-buffer-limit \"normal 100000 0 0\"");
    m.server.jobs.limits = pieces(1);
    m.leaves_jobs = true;
    let reader = m.connect();
    m.run(&format!("MGET {}", keys.join(" ")));
    for _ in 0..1_000 {
        m.step_jobs();
    }
    assert!(m.session(reader).killed);
    assert!(m.server.jobs.running.is_empty() && !m.server.dbs[0].has_holds());
}

#[test]
fn a_value_becomes_large_by_the_line_and_not_by_what_is_left_of_it() {
    let names: Vec<String> = (0..150).map(|n| format!("m{}", n % 20)).collect();
    let line = format!("SADD k {}", names.join(" "));
    let encodings = [whole(), pieces(1), pieces(7)].map(|limits| {
        let mut m = Memory::new();
        m.run("SADD k 1 2");
        m.server.jobs.limits = limits;
        assert_eq!(m.run(&line), r":20\r\n");
        m.run("OBJECT ENCODING k")
    });
    // A set of integers may have 512 of them, and only then is a listpack, of which nothing is known yet.
    assert!(encodings.iter().all(|encoding| encoding == r"$8\r\nlistpack\r\n"), "{encodings:?}");
}
