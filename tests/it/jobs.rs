//! Long commands as jobs: the answers of the direct path, as of one instant whatever others send meanwhile, who has to wait, and
//! what ends a job before its time.

use aleadb::config::{Access, Config};
use aleadb::server::jobs::{JOBS_MAX, Limits};
use aleadb::server::session::Blocked;

use crate::generate::{Generator, Line};
use crate::memory::Memory;
use crate::resp::{Value, decode_all};
use crate::rng::Rng;

/// Everything is long, and a turn does so many elements.
fn slices(slice_elements: usize) -> Limits {
    Limits { long: 0, slice_elements, ..Limits::default() }
}

/// A server on which everything is long and turns do one element of it, with some values of each type.
fn server() -> Memory {
    let mut m = Memory::new();
    fill(&mut m);
    m.server.jobs.limits = slices(1);
    m.leaves_jobs = true;
    m
}

pub fn fill(m: &mut Memory) {
    // More than a vector of members has.
    for n in 0..300 {
        m.run(&format!("RPUSH list element:{n}"));
        m.run(&format!("SADD set member:{n}"));
        m.run(&format!("SADD other member:{}", 2 * n));
        m.run(&format!("SADD ints {n}"));
        m.run(&format!("ZADD zset {n} member:{n}"));
        m.run(&format!("ZADD more {n} member:{}", 3 * n));
        m.run(&format!("HSET hash field:{n} value:{n}"));
        m.run(&format!("XADD stream {n}-1 field {n}"));
        m.run(&format!("RPUSH twice {}", n / 2));
        m.run(&format!("ARSET array {} {n}", n * n % 1000 * 50));
        m.run(&format!("GEOADD geo {}.{} {} place:{n}", n % 40, n % 7, (n * 7) % 80));
        m.run(&format!("PFADD hll:{} {n}", n % 9));
        if n % 3 == 0 {
            m.run(&format!("SET weight:{n} {}", n % 7));
        }
        m.run(&format!("SET key:{n} value:{n}"));
    }
    // Tables and trees as well as packs.
    for (key, line) in [("set", "SADD set"), ("other", "SADD other"), ("zset", "ZADD zset 0.5"), ("hash", "HSET hash")]
    {
        let value = if key == "hash" { " v" } else { "" };
        m.run(&format!("{line} {}{value}", "x".repeat(100)));
    }
    // Several pieces of strings.
    for (key, bits) in [("bits", [3, 5, 300_001, 700_000]), ("ones", [5, 8, 300_001, 500_000])] {
        bits.iter().for_each(|bit| _ = m.run(&format!("SETBIT {key} {bit} 1")));
    }
    let letters = |step: usize| (0..400).map(|n| char::from(b'a' + (n * n / step % 7) as u8)).collect::<String>();
    m.run(&format!("MSET text {} mirror {}", letters(3), letters(5)));
    m.run("SETBIT long 2500000 1");
    (0..100).for_each(|n| _ = m.run(&format!("RPUSH row {}{n}", "y".repeat(300))));
    m.run("BITOP NOT full bits");
    m.run("SETBIT full 3 1");
    m.run("SETBIT full 5 1");
    (0..30).for_each(|n| _ = m.run(&format!("XADD sent IDMP producer:{n} id * field {n}")));
    m.run("XADD sent IDMP producer:7 other * field 7");
    m.run(&format!("ARSET heavy 3 {}end y{0}", "x".repeat(70_000)));
    m.run("SADD small a b c");
    m.run("HSET short a 1 b 2");
    m.run("ZADD few 1 a 2 b");
}

/// Takes turns until a client has its answer.
fn answer(m: &mut Memory, client: usize) -> String {
    let mut sent = String::new();
    for _ in 0..100_000 {
        if m.session(client).blocked != Some(Blocked::Job) {
            return sent + &m.take_sent(client);
        }
        m.step_jobs();
        sent += &m.take_sent(client);
    }
    panic!("the job does not end");
}

fn blocked(m: &mut Memory, client: usize) -> Option<Blocked> {
    m.session(client).blocked
}

fn info(m: &mut Memory, field: &str) -> String {
    let text = m.run("INFO loop");
    let line = text.split(r"\r\n").find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

/// Lines that are answered slice by slice.
const LINES: &[&str] = &[
    "KEYS *",
    "KEYS *1*",
    "KEYS nothing",
    "SCAN 0 COUNT 10000",
    "SCAN 0 COUNT 10000 MATCH *1* TYPE string",
    "SCAN 0 COUNT 20",
    "SMEMBERS set",
    "SMEMBERS ints",
    "SMEMBERS small",
    "HGETALL hash",
    "HKEYS hash",
    "HVALS hash",
    "HGETALL short",
    "LRANGE list 0 -1",
    "LRANGE list 7 20",
    "LRANGE list -3 1000",
    "ZRANGE zset 0 -1",
    "ZRANGE zset 3 30 REV WITHSCORES",
    "ZRANGE few 0 -1 WITHSCORES",
    "ZREVRANGE zset 2 -2 WITHSCORES",
    "ZRANGEBYSCORE zset 3 (20 WITHSCORES LIMIT 2 9",
    "ZREVRANGEBYSCORE zset 20 3",
    "ZRANGEBYLEX few - +",
    "ZREVRANGEBYLEX few + -",
    "XRANGE stream - +",
    "XRANGE stream 7 20 COUNT 9",
    "XREVRANGE stream + -",
    "XREVRANGE stream 20 (7 COUNT 30",
    "XRANGE stream 1000 +",
    "SINTER set other",
    "SINTER set small",
    "SINTER set nothing",
    "SINTER ints ints",
    "SUNION set other small nothing",
    "SUNION ints small",
    "SUNION ints ints",
    "SDIFF set other nothing",
    "SDIFF other ints small",
    "SINTERCARD 2 set other",
    "SINTERCARD 2 set other LIMIT 7",
    "SUNIONCARD 2 set other",
    "SUNIONCARD 2 set other LIMIT 700",
    "SUNIONCARD 2 set other APPROX",
    "SDIFFCARD 2 set other",
    "SDIFFCARD 2 set other LIMIT 7",
    "ZUNION 2 zset more WITHSCORES",
    "ZUNION 3 zset set nothing WEIGHTS 2 -3 1 AGGREGATE MIN",
    "ZUNION 3 zset set more WEIGHTS 2 -3 1 AGGREGATE COUNT WITHSCORES",
    "ZINTER 2 zset more AGGREGATE COUNT WITHSCORES",
    "ZUNION 1 few WITHSCORES",
    "ZINTER 2 zset more WITHSCORES",
    "ZINTER 3 zset set other WEIGHTS 2 0.5 1 AGGREGATE MAX WITHSCORES",
    "ZINTER 2 zset nothing",
    "ZDIFF 2 zset more WITHSCORES",
    "ZDIFF 3 other nothing ints",
    "ZINTERCARD 2 zset more",
    "ZINTERCARD 2 zset set LIMIT 7",
    "SORT list ALPHA",
    "SORT list ALPHA DESC LIMIT 3 20",
    "SORT ints DESC",
    "SORT ints LIMIT 290 100",
    "SORT list",
    "SORT set BY nosort LIMIT 5 10",
    "SORT list BY nosort DESC LIMIT 5 10",
    "SORT zset BY nosort DESC GET # LIMIT 0 7",
    "SORT ints BY key:* ALPHA DESC GET # GET key:* GET hash->*",
    "SORT ints BY hash->field:* ALPHA",
    "SORT ints BY weight:* GET key:*",
    "SORT twice ALPHA BY weight:* GET # GET weight:*",
    "SORT ints BY key:*",
    "SORT_RO zset ALPHA DESC LIMIT 10 5",
    "SORT_RO list GET #",
    "GEOSEARCH geo FROMLONLAT 15 30 BYRADIUS 3000 km ASC WITHCOORD WITHDIST WITHHASH",
    "GEOSEARCH geo FROMMEMBER place:7 BYBOX 4000 9000 km DESC",
    "GEOSEARCH geo FROMLONLAT 15 30 BYRADIUS 3000 km",
    "GEOSEARCH geo FROMLONLAT 15 30 BYRADIUS 9000 km COUNT 20 WITHDIST",
    "GEOSEARCH geo FROMLONLAT 15 30 BYRADIUS 9000 km COUNT 20 ANY",
    "GEOSEARCH geo FROMLONLAT 15 30 BYRADIUS 9000 km COUNT 2000 DESC",
    "GEORADIUS geo 15 30 3000 km WITHDIST",
    "GEORADIUSBYMEMBER_RO geo place:7 5000 km COUNT 7 ASC",
    "BITCOUNT bits",
    "BITCOUNT full 3 -3",
    "BITCOUNT bits 5 300001 BIT",
    "BITRANGEINTARRAY bits 0 -1",
    "BITRANGEINTARRAY full -100 -2",
    "BITRANGEINTARRAY full 0 -1 LIMIT 200",
    "BITRANGEINTARRAY bits 3 300001 BIT ZEROS LIMIT 300",
    "BITPOS bits 1 1",
    "BITPOS bits 1 40000",
    "BITPOS bits 0",
    "BITPOS full 0",
    "BITPOS full 0 50000",
    "BITPOS bits 1 6 300000 BIT",
    "PFCOUNT hll:1 hll:2 nothing hll:3 hll:4",
    "PFCOUNT hll:1 list",
    "DUMP list",
    "DUMP set",
    "DUMP ints",
    "DUMP zset",
    "DUMP hash",
    "DUMP stream",
    "DUMP array",
    "ARGETRANGE array 0 3999",
    "ARGETRANGE array 4000 100",
    "ARSCAN array 0 1000000",
    "ARSCAN array 1000000 100 LIMIT 20",
    "ARGREP array - + MATCH 7",
    "ARGREP array + - RE ^1 GLOB *9 WITHVALUES LIMIT 9",
    "ARGREP array 100 30000 EXACT nothing",
    "ARGREP heavy - + MATCH end EXACT q GLOB yx* RE xy",
    "ARGREP heavy + - MATCH xx RE end$ GLOB x* AND",
    "ARGREP heavy - + MATCH xx RE end$ GLOB y* AND NOCASE",
    "XINFO STREAM sent",
    "XINFO STREAM sent FULL COUNT 2",
    "AROP array 0 1000000 SUM",
    "AROP array 1000000 0 XOR",
    "AROP array 0 1000000 USED",
    "ARLASTITEMS array 4000",
    "ARLASTITEMS array 300 REV",
    "ARINFO array FULL",
    "LCS text mirror",
    "LCS text mirror LEN",
    "LCS text mirror IDX WITHMATCHLEN MINMATCHLEN 2",
    "DUMP long",
    "DUMP row",
    "LPOS list element:200",
    "LPOS list nothing",
    "LPOS list nothing COUNT 0",
    "LPOS twice 70 RANK -1",
    "LPOS twice 70 RANK 2 COUNT 3",
    "LPOS twice 7 COUNT 0 RANK -2 MAXLEN 290",
    "SSCAN set 0 COUNT 1000",
    "SSCAN set 0 COUNT 100 MATCH *1*",
    "SSCAN small 0",
    "HSCAN hash 0 COUNT 1000",
    "HSCAN hash 0 COUNT 1000 NOVALUES MATCH *7*",
    "ZSCAN zset 0 COUNT 1000 NOSCORES MATCH *7*",
    "ZSCAN zset 0 COUNT 1000",
    "ZSCAN few 0 MATCH b",
    "ZRANDMEMBER zset 1000 WITHSCORES",
    "XREAD STREAMS stream 0",
    "XREAD COUNT 7 STREAMS stream nothing stream 0 0 290-1",
    "XREAD COUNT 2 STREAMS stream stream + 5",
    "GETRANGE long 5 -7",
    "GETRANGE bits 70000 80000",
];

#[test]
fn a_job_answers_what_the_direct_path_does_in_both_protocols() {
    for version in ["2", "3"] {
        let mut m = server();
        m.run(&format!("HELLO {version}"));
        for line in LINES {
            m.server.jobs.limits = Limits { long: usize::MAX, ..Limits::default() };
            let direct = m.run(line);
            assert_eq!(blocked(&mut m, 0), None, "{line}");
            for slice in [1, 2, 7, 100_000] {
                m.server.jobs.limits = slices(slice);
                let at_once = m.run(line);
                if line.contains("nothing") && (line.starts_with("SINTER ") || line.starts_with("ZINTER ")) {
                    // There is nothing to do.
                    assert_eq!(at_once, direct, "{line}");
                    continue;
                }
                assert_eq!((at_once.as_str(), blocked(&mut m, 0)), ("", Some(Blocked::Job)), "{line}");
                assert_eq!(answer(&mut m, 0), direct, "{line}");
                assert!(m.server.dbs.iter().all(|db| !db.has_holds()), "{line}");
            }
        }
    }
}

#[test]
fn short_commands_answer_at_once() {
    let mut m = Memory::new();
    fill(&mut m);
    m.leaves_jobs = true;
    for line in LINES {
        assert_ne!(m.run(line), "", "{line}");
        assert_eq!(blocked(&mut m, 0), None, "{line}");
    }
    assert_eq!(info(&mut m, "jobs_begun"), "0");
}

pub fn is_barred(name: &str, line: &Line) -> bool {
    // What concerns clients and the server itself, what ends with the process, and what waits.
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
        "randomkey",
        "spop",
        "srandmember",
        "hrandfield",
        "zrandmember",
        "time",
        "role",
        "commandlog",
        "expiry",
        "object",
    ];
    let blocking =
        ["blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "wait", "waitaof"];
    let first = name.split('|').next().unwrap_or(name);
    let watches = first.contains(".watch") || first.contains(".unwatch") || first.starts_with("watch.");
    own.contains(&first)
        || blocking.contains(&first)
        || watches
        || line.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
}

pub fn send(m: &mut Memory, line: &[Vec<u8>]) -> Vec<u8> {
    m.raw(&line.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// The answer in an order of its own where the command promises none.
fn comparable(line: &[Vec<u8>], reply: &[u8]) -> Vec<Value> {
    let mut values = decode_all(reply).expect("a whole reply");
    let name = line[0].to_ascii_lowercase();
    if let Some(Value::Array(items)) = values.first_mut()
        && name == b"keys"
    {
        items.sort_by_key(|item| format!("{item:?}"));
    }
    values
}

/// Random lines of all commands on two servers, of which one runs all that it can slice by slice.
#[test]
fn generated_lines_have_the_same_answers_slice_by_slice_as_at_once() {
    let mut begun = 0;
    for seed in 0..16 {
        let (mut direct, mut sliced) = (Memory::new(), Memory::new());
        sliced.server.jobs.limits = Limits { line: 0, ..slices(1 + (seed % 3) as usize) };
        let mut lines = Generator::new(seed, is_barred, |_| true);
        for _ in 0..1500 {
            let line = lines.line();
            let (expected, found) = (send(&mut direct, &line), send(&mut sliced, &line));
            assert_eq!(
                found.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "seed {seed}: {:?}",
                line.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>()
            );
            direct.advance_ms(1);
            sliced.advance_ms(1);
        }
        begun += sliced.server.jobs.counts.begun;
    }
    assert!(begun > 1500, "only {begun} jobs");
}

/// Jobs end, and those who were held back send their lines again, until nobody waits.
fn come_to_rest(m: &mut Memory, pending: &mut [Option<Line>]) {
    for _ in 0..100_000 {
        m.step_jobs();
        m.wake();
        for (client, pending) in pending.iter_mut().enumerate().skip(1) {
            m.client = client;
            if !m.is_waiting()
                && let Some(line) = pending.take()
            {
                send(m, &line);
                if blocked(m, client) == Some(Blocked::Hold) {
                    *pending = Some(line);
                }
            }
        }
        if pending.iter().all(Option::is_none) && m.server.jobs.running.is_empty() {
            return;
        }
    }
    panic!("somebody waits for ever");
}

/// A reader's job is made in the smallest steps, and between them others run random commands: the answer is that of the direct
/// path at the instant at which the job began. Those who are held back try again when they are told to, and in the end nobody waits.
#[test]
fn a_job_answers_as_of_its_beginning_whatever_others_send_meanwhile() {
    let (mut begun, mut held) = (0, 0);
    for seed in 0..40 {
        let mut m = Memory::new();
        m.leaves_jobs = true;
        let mut rng = Rng::new(seed);
        let mut lines = Generator::new(seed, is_barred, |_| true);
        let reads = |name: &str| {
            [
                "keys",
                "smembers",
                "hgetall",
                "hkeys",
                "hvals",
                "lrange",
                "zrange",
                "zrevrange",
                "zrangebyscore",
                "xrange",
            ]
            .contains(&name)
                || ["xrevrange", "zrangebylex", "sunion", "sinter", "sdiff", "zunion", "zinter", "zdiff", "sort_ro"]
                    .contains(&name)
        };
        let mut readers = Generator::new(seed, is_barred, reads);
        for _ in 0..3 {
            m.connect();
        }
        let mut pending: Vec<Option<Line>> = vec![None; 4];
        m.server.jobs.limits = Limits { long: usize::MAX, ..Limits::default() };
        for _ in 0..400 {
            m.client = 3;
            send(&mut m, &lines.line());
        }
        for _ in 0..60 {
            // No claim and no job of others is left that would come first.
            come_to_rest(&mut m, &mut pending);
            m.client = 0;
            let line = loop {
                let line = readers.line();
                if reads(&String::from_utf8_lossy(&line[0]).to_ascii_lowercase()) {
                    break line;
                }
            };
            m.server.jobs.limits = Limits { long: usize::MAX, ..Limits::default() };
            let expected = send(&mut m, &line);
            m.server.jobs.limits = slices(1);
            let at_once = send(&mut m, &line);
            let mut sent = at_once.escape_ascii().to_string();
            for _ in 0..100_000 {
                if m.session(0).blocked != Some(Blocked::Job) {
                    break;
                }
                for (client, pending) in pending.iter_mut().enumerate().skip(1) {
                    if !rng.chance(60) {
                        continue;
                    }
                    m.client = client;
                    if m.is_waiting() {
                        continue;
                    }
                    let line = pending.take().unwrap_or_else(|| lines.line());
                    send(&mut m, &line);
                    if blocked(&mut m, client) == Some(Blocked::Hold) {
                        *pending = Some(line);
                        held += 1;
                    }
                    m.take_sent(client);
                }
                m.step_jobs();
                sent += &m.take_sent(0);
                m.advance_ms(rng.below(3) as u64);
                m.wake();
            }
            sent += &m.take_sent(0);
            let found = unescape(&sent);
            let shown: Vec<_> = line.iter().map(|word| word.escape_ascii().to_string()).collect();
            assert_eq!(comparable(&line, &found), comparable(&line, &expected), "seed {seed}: {shown:?}");
            m.wake();
        }
        begun += m.server.jobs.counts.begun;
        come_to_rest(&mut m, &mut pending);
        assert!(m.server.jobs.running.is_empty() && m.server.jobs.waiting.is_empty(), "seed {seed}");
        assert!(m.server.dbs.iter().all(|db| !db.has_holds()), "seed {seed}");
    }
    assert!(begun > 500 && held > 100, "{begun} jobs held {held} commands back");
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        match rest.next().expect("an escape is whole") {
            b'r' => bytes.push(b'\r'),
            b'n' => bytes.push(b'\n'),
            b't' => bytes.push(b'\t'),
            b'x' => {
                let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("digits"));
            }
            other => bytes.push(other),
        }
    }
    bytes
}

#[test]
fn who_would_change_what_a_job_reads_waits_and_everybody_else_goes_on() {
    for line in [
        "SADD set x",
        "DEL key:1 set",
        "RENAME set to",
        "EXPIRE set 10",
        "SINTERSTORE set other",
        "FLUSHALL",
        "FLUSHDB",
        "SWAPDB 0 1",
        "MOVE set 1",
        "COPY other set REPLACE",
        "SET set v",
        "GETEX set EX 10",
        "EVAL return() 1 set",
    ] {
        let mut m = server();
        let direct = {
            m.server.jobs.limits.long = usize::MAX;
            let direct = m.run("SMEMBERS set");
            m.server.jobs.limits = slices(1);
            direct
        };
        m.run("SMEMBERS set");
        m.step_jobs();
        let writer = m.connect();
        assert_eq!(m.run(line), "", "{line}");
        assert_eq!(blocked(&mut m, writer), Some(Blocked::Hold), "{line}");
        let reader = m.connect();
        for others in
            ["SISMEMBER set member:1", "GET key:1", "SADD other y", "LLEN list", "TYPE set", "EVAL_RO return() 1 set"]
        {
            assert_ne!(m.run(others), "", "{others}");
            assert_eq!(blocked(&mut m, reader), None, "{others}");
        }
        assert_eq!(answer(&mut m, 0), direct, "{line}");
        let woken = m.wake();
        assert_eq!(woken, [(writer, String::new())], "{line}");
        m.client = writer;
        m.run(line);
        answer(&mut m, writer);
        assert_eq!(blocked(&mut m, writer), None, "{line}");
        assert!(m.server.jobs.waiting.is_empty());
    }
}

/// Who waits for one key may come to wait for all, some of which another has begun to take: neither waits for the other for good.
#[test]
fn who_takes_many_keys_lets_somebody_by_who_was_before_it_and_needs_the_whole_database() {
    let mut m = server();
    m.server.jobs.limits.line = 1000;
    assert_eq!(m.run("SUNIONSTORE target set other"), "");
    let sorter = m.connect();
    let sort = "SORT list BY weight:* ALPHA STORE target";
    assert_eq!(m.run(sort), "");
    let deleter = m.connect();
    let keys: Vec<String> = (0..2000).map(|n| format!("key:{n}")).collect();
    assert_eq!(m.run(&format!("DEL {}", keys.join(" "))), "");
    answer(&mut m, 0);
    assert_eq!(blocked(&mut m, deleter), Some(Blocked::Job), "it still takes its keys");
    assert_eq!(m.wake(), [(sorter, String::new())]);
    m.client = sorter;
    assert_eq!(m.run(sort), "");
    assert_eq!(blocked(&mut m, sorter), Some(Blocked::Hold), "it reads what is being taken");
    m.step_jobs();
    assert_eq!(m.wake(), [(sorter, String::new())], "and is let by");
    assert_eq!(m.run(sort), "");
    assert_eq!([answer(&mut m, sorter), answer(&mut m, deleter)], [r":300\r\n", r":300\r\n"]);
}

/// Its key counts as one that is read, as in Redis.
#[test]
fn who_would_have_a_group_given_entries_waits_for_a_job_that_reads_the_stream() {
    let mut m = server();
    m.run("XGROUP CREATE stream group 0");
    m.run("XRANGE stream - +");
    m.step_jobs();
    let reader = m.connect();
    let line = "XREADGROUP GROUP group one COUNT 1 STREAMS stream >";
    assert_eq!(m.run(line), "");
    assert_eq!(blocked(&mut m, reader), Some(Blocked::Hold));
    answer(&mut m, 0);
    assert_eq!(m.wake(), [(reader, String::new())]);
    m.client = reader;
    assert_eq!(m.run(line), "", "all is long here");
    assert!(answer(&mut m, reader).contains(r"$3\r\n0-1\r\n"));
}

#[test]
fn keys_holds_nobody_but_who_would_empty_the_database() {
    let mut m = server();
    m.server.jobs.limits.long = usize::MAX;
    let mut direct = decode_all(&m.raw(&[b"KEYS", b"*"])).expect("a reply");
    m.server.jobs.limits = slices(1);
    m.run("KEYS *");
    m.step_jobs();
    let writer = m.connect();
    for n in 0..20 {
        assert_eq!(m.run(&format!("DEL key:{n}")), r":1\r\n");
        assert_eq!(m.run(&format!("SET new:{n} v")), r"+OK\r\n");
        m.step_jobs();
    }
    let flusher = m.connect();
    assert_eq!(m.run("FLUSHDB"), "");
    assert_eq!(blocked(&mut m, flusher), Some(Blocked::Hold));
    m.client = writer;
    assert_eq!(m.run("SELECT 1"), r"+OK\r\n");
    assert_eq!(m.run("FLUSHDB"), r"+OK\r\n", "of another database");
    let mut found = decode_all(&unescape(&answer(&mut m, 0))).expect("a reply");
    for keys in [&mut direct, &mut found] {
        let Some(Value::Array(items)) = keys.first_mut() else { panic!("an array") };
        items.sort_by_key(|item| format!("{item:?}"));
    }
    assert_eq!(found, direct);
    assert_eq!(m.wake().len(), 1);
}

#[test]
fn a_transaction_with_a_held_key_waits_as_a_whole() {
    let mut m = server();
    m.run("SMEMBERS set");
    m.step_jobs();
    let writer = m.connect();
    m.expect(&[("MULTI", r"+OK\r\n"), ("SET free 1", r"+QUEUED\r\n"), ("SADD set x", r"+QUEUED\r\n"), ("EXEC", "")]);
    assert_eq!(blocked(&mut m, writer), Some(Blocked::Hold));
    m.client = 0;
    assert_ne!(answer(&mut m, 0), "");
    assert_eq!(m.run("EXISTS free"), r":0\r\n", "nothing of it has run");
    m.wake();
    m.client = writer;
    assert_eq!(m.run("EXEC"), r"*2\r\n+OK\r\n:1\r\n");
}

/// The same key of another database is another key.
#[test]
fn a_transaction_that_selects_another_database_is_judged_there() {
    let mut m = server();
    m.run("SMEMBERS set");
    m.connect();
    m.expect(&[("MULTI", r"+OK\r\n"), ("SELECT 1", r"+QUEUED\r\n"), ("SADD set x", r"+QUEUED\r\n")]);
    assert_eq!(m.run("EXEC"), r"*2\r\n+OK\r\n:1\r\n");
    m.expect(&[("MULTI", r"+OK\r\n"), ("SELECT 0", r"+QUEUED\r\n"), ("SADD set x", r"+QUEUED\r\n"), ("EXEC", "")]);
}

#[test]
fn a_job_ends_when_its_client_goes_and_lets_go_of_its_keys() {
    for by_kill in [true, false] {
        let mut m = server();
        let reader = m.connect();
        m.run("SMEMBERS set");
        m.step_jobs();
        let writer = m.connect();
        assert_eq!(m.run("SADD set x"), "");
        if by_kill {
            let id = m.session(reader).id;
            m.client = 0;
            assert_eq!(m.run(&format!("CLIENT KILL ID {id}")), r":1\r\n");
        } else {
            m.leave(reader);
        }
        assert!(m.server.jobs.running.is_empty() && !m.server.dbs[0].has_holds());
        assert_eq!(m.server.jobs.counts.cancelled, 1);
        assert_eq!(m.wake(), [(writer, String::new())]);
        m.client = writer;
        assert_eq!(m.run("SADD set x"), r":1\r\n");
    }
}

#[test]
fn a_writer_that_goes_leaves_no_claim() {
    let mut m = server();
    m.run("SMEMBERS set");
    let writer = m.connect();
    m.run("SADD set x");
    let late = m.connect();
    assert_eq!(m.run("SMEMBERS set"), "");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Hold), "the writer comes first");
    m.leave(writer);
    assert_eq!(m.wake(), [(late, String::new())]);
    assert_eq!(m.run("SMEMBERS set"), "");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Job));
}

/// Jobs that begin one after the other on a key would keep a writer from it for ever.
#[test]
fn a_writer_that_waits_goes_before_jobs_that_come_later() {
    let mut m = server();
    m.run("SMEMBERS set");
    let (writer, late) = (m.connect(), m.connect());
    m.client = writer;
    assert_eq!(m.run("SADD set x"), "");
    m.client = late;
    assert_eq!(m.run("SMEMBERS set"), "");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Hold));
    m.connect();
    assert_eq!(m.run("SISMEMBER set x"), r":0\r\n", "who only looks does not wait");
    answer(&mut m, 0);
    assert_eq!(m.wake(), [(writer, String::new()), (late, String::new())]);
    // Whoever is quicker now: the claim holds until the writer's command has run.
    m.client = late;
    assert_eq!(m.run("SMEMBERS set"), "");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Hold));
    m.client = writer;
    assert_eq!(m.run("SADD set x"), r":1\r\n");
    assert_eq!(m.wake(), [(late, String::new())]);
    m.client = late;
    m.run("SMEMBERS set");
    assert!(answer(&mut m, late).contains(r"$1\r\nx\r\n"));
}

#[test]
fn there_are_only_so_many_jobs_and_the_next_one_waits_for_its_turn() {
    let mut m = server();
    for _ in 0..JOBS_MAX {
        let client = m.connect();
        m.run("LRANGE list 0 -1");
        assert_eq!(blocked(&mut m, client), Some(Blocked::Job));
    }
    let late = m.connect();
    assert_eq!(m.run("HGETALL hash"), "");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Hold));
    assert_ne!(answer(&mut m, 1), "");
    assert_eq!(m.wake(), [(late, String::new())]);
    m.client = late;
    m.run("HGETALL hash");
    assert_ne!(answer(&mut m, late), "");
}

#[test]
fn a_held_key_that_falls_due_is_absent_and_its_reader_has_it_all_the_same() {
    let mut m = server();
    m.run("CONFIG SET notify-keyspace-events Kx");
    m.run("PEXPIRE set 5");
    let listener = m.connect();
    m.run("SUBSCRIBE __keyspace@0__:set");
    m.client = 0;
    m.server.jobs.limits.long = usize::MAX;
    let direct = m.run("SMEMBERS set");
    m.server.jobs.limits = slices(1);
    m.run("SMEMBERS set");
    m.advance_ms(10);
    let other = m.connect();
    assert_eq!(m.run("EXISTS set"), r":0\r\n");
    assert_eq!(m.run("SADD set new"), "", "the old one is still read");
    assert_eq!(m.take_sent(listener), "");
    assert_eq!(answer(&mut m, 0), direct);
    m.advance_ms(2);
    assert!(m.take_sent(listener).contains("expired"));
    assert_eq!(m.wake(), [(other, String::new())]);
    m.client = other;
    assert_eq!(m.run("SADD set new"), r":1\r\n");
    assert_eq!(m.run("SCARD set"), r":1\r\n");
}

#[test]
fn a_script_that_meets_a_held_key_it_has_not_named_has_the_job_finished_first() {
    let mut m = server();
    m.server.jobs.limits.long = usize::MAX;
    let direct = m.run("SMEMBERS set");
    m.server.jobs.limits = slices(1);
    m.run("SMEMBERS set");
    m.step_jobs();
    m.connect();
    let script = "return redis.call('SADD', 'set', 'x') + redis.call('SADD', 'other', 'y')";
    assert_eq!(m.raw(&[b"EVAL", script.as_bytes(), b"0"]), b":2\r\n");
    assert_eq!(m.take_sent(0), direct);
    assert_eq!((m.server.jobs.counts.rushed, blocked(&mut m, 0)), (1, None));
}

#[test]
fn a_client_that_is_served_from_another_key_has_the_job_finished_first() {
    let mut m = server();
    let waiter = m.connect();
    m.run("BLMOVE source list LEFT LEFT 0");
    m.client = 0;
    m.server.jobs.limits.long = usize::MAX;
    let direct = m.run("LRANGE list 0 -1");
    m.server.jobs.limits = slices(1);
    m.run("LRANGE list 0 -1");
    m.step_jobs();
    m.connect();
    assert_eq!(m.run("RPUSH source x"), r":1\r\n");
    assert_eq!(m.take_sent(waiter), r"$1\r\nx\r\n");
    assert_eq!(m.take_sent(0), direct);
}

#[test]
fn a_job_goes_on_while_clients_are_paused_and_its_client_has_its_answer() {
    let mut m = server();
    m.run("SMEMBERS set");
    m.connect();
    m.run("CLIENT PAUSE 1000 ALL");
    assert_ne!(answer(&mut m, 0), "");
}

#[test]
fn inside_a_transaction_and_a_script_and_as_a_query_commands_run_whole() {
    let mut m = server();
    m.expect(&[("MULTI", r"+OK\r\n"), ("SMEMBERS small", r"+QUEUED\r\n")]);
    assert!(m.run("EXEC").starts_with(r"*1\r\n*3\r\n"));
    assert!(m.run("EVAL \"return redis.call('SMEMBERS', KEYS[1])\" 1 small").starts_with(r"*3\r\n"));
    assert_ne!(m.run("SMEMBERS.WATCH small"), "");
    assert_eq!(info(&mut m, "jobs_begun"), "0");
}

#[test]
fn client_reply_keeps_back_what_a_job_answers() {
    let mut m = server();
    m.run("CLIENT REPLY SKIP");
    m.run("SMEMBERS set");
    assert_eq!(answer(&mut m, 0), "");
    assert_eq!(m.run("PING"), r"+PONG\r\n");
    m.run("CLIENT REPLY OFF");
    m.run("SMEMBERS set");
    assert_eq!(answer(&mut m, 0), "");
    // One that is held back comes again, and is the one that is skipped.
    m.run("CLIENT REPLY ON");
    m.run("SMEMBERS set");
    m.connect();
    m.run("SADD set x");
    let late = m.connect();
    m.run("CLIENT REPLY SKIP");
    assert_eq!(m.run("SMEMBERS set"), "");
    assert_eq!(blocked(&mut m, late), Some(Blocked::Hold));
    answer(&mut m, 0);
    m.leave(1);
    m.wake();
    m.run("SMEMBERS set");
    assert_eq!(answer(&mut m, late), "");
    assert_eq!(m.run("PING"), r"+PONG\r\n");
}

#[test]
fn a_job_counts_once_with_the_time_of_its_slices() {
    let mut m = server();
    m.clock.set_tick_ns(1000);
    m.run("CONFIG SET slowlog-log-slower-than 0");
    m.run("SLOWLOG RESET");
    m.run("SMEMBERS set");
    answer(&mut m, 0);
    m.clock.set_tick_ns(0);
    let stats = m.run("INFO commandstats");
    assert!(stats.contains("cmdstat_smembers:calls=1,usec="), "{stats}");
    assert_eq!(m.run("SLOWLOG GET 10").matches("SMEMBERS").count(), 1);
    assert_eq!(m.run("CLIENT UNBLOCK 1"), r":0\r\n");
}

#[test]
fn a_reply_beyond_the_output_limit_ends_the_job_and_the_connection() {
    let mut m = Memory::new();
    for _ in 0..100 {
        m.run(&format!("RPUSH list {}", "x".repeat(5_000)));
    }
    m.run("CONFIG SET client-output-buffer-limit \"normal 100000 0 0\"");
    m.server.jobs.limits = slices(1);
    m.leaves_jobs = true;
    let reader = m.connect();
    m.run("LRANGE list 0 -1");
    for _ in 0..10_000 {
        m.step_jobs();
    }
    assert!(m.session(reader).killed);
    assert!(m.server.jobs.running.is_empty() && !m.server.dbs[0].has_holds());
}

#[test]
fn debug_jobs_says_what_is_long() {
    let mut m = Memory::with_config(Config { enable_debug_command: Access::Yes, ..Config::default() });
    m.leaves_jobs = true;
    fill(&mut m);
    assert_eq!(m.run("DEBUG JOBS 2 1"), r"+OK\r\n");
    assert_eq!(m.run("SMEMBERS small"), "");
    assert_ne!(answer(&mut m, 0), "");
    assert_ne!(m.run("HGETALL short"), "", "it is no longer than that");
    assert_eq!(m.run("DEBUG JOBS x 1"), r"-ERR value is out of range, must be positive\r\n");
}

/// What a command stores is put in place in one piece when all of it has been gathered, from sources that are what they were.
#[test]
fn what_a_job_stores_is_in_place_when_its_client_is_answered_and_not_before() {
    for (store, read) in [
        ("SINTERSTORE to set other", "SINTER set other"),
        ("SUNIONSTORE to set other", "SUNION set other"),
        ("SDIFFSTORE to set other", "SDIFF set other"),
        ("SUNIONSTORE set set other", "SUNION set other"),
        ("SINTERSTORE to ints ints", "SINTER ints ints"),
    ] {
        let mut m = server();
        m.server.begin_propagation();
        let to = store.split(' ').nth(1).expect("a key").to_owned();
        m.run(&format!("SADD {to} before"));
        m.server.jobs.limits.long = usize::MAX;
        let (expected, before) = (m.run(read), m.run(&format!("SMEMBERS {to}")));
        let count = decode_all(&unescape(&expected)).expect("a reply")[0].items().expect("an array").len();
        m.take_propagated();
        m.server.jobs.limits = slices(1);
        assert_eq!(m.run(store), "", "{store}");
        m.step_jobs();
        let writer = m.connect();
        assert_eq!(m.run(&format!("SADD {to} x")), "", "{store}: the target is not changed meanwhile");
        assert_eq!(blocked(&mut m, writer), Some(Blocked::Hold));
        let reader = m.connect();
        m.server.jobs.limits.long = usize::MAX;
        assert_eq!(m.run(&format!("SMEMBERS {to}")), before, "{store}: others read it");
        m.server.jobs.limits = slices(1);
        m.run(&format!("SMEMBERS {to}"));
        assert_eq!(blocked(&mut m, reader), Some(Blocked::Hold), "{store}: but no job begins to");
        assert!(m.take_propagated().is_empty());
        assert_eq!(answer(&mut m, 0), format!(r":{count}\r\n"), "{store}");
        let told = m.take_propagated();
        let words: Vec<Vec<u8>> = store.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        let gone = vec![b"DEL".to_vec(), to.as_bytes().to_vec()];
        assert!(told == [[(0, words)]] || (count == 0 && told == [[(0, gone)]]), "{store}: {told:?}");
        m.server.jobs.limits.long = usize::MAX;
        let stored = m.run(&format!("SUNION {to}"));
        assert_eq!(stored, expected, "{store}");
    }
}

/// Commands that store, and the keys that they store to.
const STORES: &[(&str, &str)] = &[
    ("ZUNIONSTORE to 2 zset more", "to"),
    ("ZUNIONSTORE zset 3 zset set ints WEIGHTS 2 1 -1 AGGREGATE MAX", "zset"),
    ("ZINTERSTORE zset 2 zset more", "zset"),
    ("ZINTERSTORE to 2 zset ints", "to"),
    ("ZDIFFSTORE more 2 zset more", "more"),
    ("ZRANGESTORE to zset 7 200", "to"),
    ("ZRANGESTORE zset zset 20 3 BYSCORE REV LIMIT 1 5", "zset"),
    ("SORT list ALPHA DESC STORE to", "to"),
    ("SORT list ALPHA STORE list", "list"),
    ("SORT ints BY key:* ALPHA GET key:* GET hash->field:1 STORE to", "to"),
    ("SORT set ALPHA BY nosort LIMIT 3 7 STORE to", "to"),
    ("SORT ints BY weight:* LIMIT 300 7 STORE to", "to"),
    ("SORT list STORE to", "to"),
    ("GEOSEARCHSTORE to geo FROMLONLAT 15 30 BYRADIUS 3000 km", "to"),
    ("GEOSEARCHSTORE geo geo FROMLONLAT 15 30 BYRADIUS 5000 km STOREDIST COUNT 50", "geo"),
    ("GEORADIUS geo 15 30 3000 km STORE to", "to"),
    ("BITOP XOR to bits ones nothing", "to"),
    ("BITOP AND bits bits ones", "bits"),
    ("BITOP NOT to full", "to"),
    ("PFMERGE hll:1 hll:2 hll:3 nothing", "hll:1"),
    ("PFMERGE to hll:2 hll:3", "to"),
    ("PFMERGE to list", "to"),
    ("COPY row to", "to"),
    ("COPY set to", "to"),
    ("COPY zset more REPLACE", "more"),
    ("COPY hash to", "to"),
    ("COPY stream to", "to"),
];

/// All that can be told of a key.
fn shown(m: &mut Memory, key: &str) -> String {
    let limits = std::mem::replace(&mut m.server.jobs.limits.long, usize::MAX);
    let read = match m.run(&format!("TYPE {key}")).as_str() {
        r"+zset\r\n" => format!("ZRANGE {key} 0 -1 WITHSCORES"),
        r"+list\r\n" => format!("LRANGE {key} 0 -1"),
        r"+hash\r\n" => format!("HGETALL {key}"),
        r"+set\r\n" => format!("SORT {key} ALPHA"),
        r"+stream\r\n" => format!("XRANGE {key} - +"),
        _ => format!("GET {key}"),
    };
    let shown = m.run(&read) + &m.run(&format!("OBJECT ENCODING {key}")) + &m.run(&format!("PTTL {key}"));
    m.server.jobs.limits.long = limits;
    shown
}

#[test]
fn what_a_job_stores_is_what_the_direct_path_stores() {
    for (line, to) in STORES {
        let (mut direct, mut m) = (server(), server());
        direct.server.jobs.limits.long = usize::MAX;
        for m in [&mut direct, &mut m] {
            m.server.begin_propagation();
            m.run("EXPIRE list 100");
        }
        let expected = direct.run(line);
        let before = shown(&mut m, to);
        m.take_propagated();
        assert_eq!(m.run(line), "", "{line}");
        assert_eq!(blocked(&mut m, 0), Some(Blocked::Job), "{line}");
        m.step_jobs();
        let writer = m.connect();
        assert_eq!(m.run(&format!("SADD {to} x")), "", "{line}: the target is not changed meanwhile");
        assert_eq!(blocked(&mut m, writer), Some(Blocked::Hold), "{line}");
        m.connect();
        assert_eq!(shown(&mut m, to), before, "{line}: others read it");
        assert!(m.take_propagated().is_empty(), "{line}");
        assert_eq!(answer(&mut m, 0), expected, "{line}");
        assert_eq!(shown(&mut m, to), shown(&mut direct, to), "{line}");
        let told = m.take_propagated();
        assert_eq!(told, direct.take_propagated().split_off(1), "{line}");
        assert_eq!(m.server.stats.dirty, direct.server.stats.dirty, "{line}");
        assert!(m.server.dbs.iter().all(|db| !db.has_holds()), "{line}");
    }
}

/// What is drawn by lot is not the same twice, but there is as much of it, of what there is.
#[test]
fn members_are_drawn_slice_by_slice_with_and_without_repetitions() {
    let mut m = server();
    for (line, all) in [
        ("SRANDMEMBER set", "SMEMBERS set"),
        ("HRANDFIELD hash", "HKEYS hash"),
        ("ZRANDMEMBER zset", "ZRANGE zset 0 -1"),
    ] {
        m.server.jobs.limits.long = usize::MAX;
        let all = decode_all(&unescape(&m.run(all))).expect("a reply");
        let all: Vec<Vec<u8>> =
            all[0].items().expect("an array").iter().map(|item| item.bytes().expect("a string").to_vec()).collect();
        m.server.jobs.limits = slices(3);
        for count in [-1000i64, -5, 5, 40, 150, 299, 301, 1000] {
            assert_eq!(m.run(&format!("{line} {count}")), "");
            let drawn = decode_all(&unescape(&answer(&mut m, 0))).expect("a reply");
            let drawn = drawn[0].items().expect("an array");
            let mut distinct: Vec<&[u8]> = drawn.iter().map(|item| item.bytes().expect("a string")).collect();
            assert!(distinct.iter().all(|member| all.iter().any(|known| known == member)), "{line} {count}");
            distinct.sort_unstable();
            distinct.dedup();
            if count < 0 {
                assert_eq!(drawn.len() as i64, -count, "{line} {count}");
                assert!(count > -1000 || distinct.len() > 200, "{line} {count}: {}", distinct.len());
            } else {
                assert_eq!(drawn.len(), all.len().min(count as usize), "{line} {count}");
                assert_eq!(drawn.len(), distinct.len(), "{line} {count}");
            }
        }
    }
    for (line, pairs) in [("HRANDFIELD hash 200 WITHVALUES", 200), ("ZRANDMEMBER zset -50 WITHSCORES", 50)] {
        m.run(line);
        let drawn = decode_all(&unescape(&answer(&mut m, 0))).expect("a reply");
        assert_eq!(drawn[0].items().expect("an array").len(), 2 * pairs, "{line}");
    }
}

/// Payloads that are read piece by piece, or are found not to be divisible, or broken.
#[test]
fn restore_reads_payloads_as_the_direct_path_does() {
    for key in
        ["list", "row", "set", "ints", "zset", "hash", "stream", "array", "few", "short", "timed", "bits", "key:1"]
    {
        let (mut direct, mut m) = (server(), server());
        direct.server.jobs.limits.long = usize::MAX;
        let mut payload = Vec::new();
        for m in [&mut direct, &mut m] {
            for n in 0..200 {
                m.run(&format!("HSET timed field:{n} {n}"));
                m.run(&format!("HPEXPIREAT timed {} FIELDS 1 field:{n}", 4_000_000_000_000u64 + n));
            }
            m.server.begin_propagation();
            m.server.jobs.limits.long = usize::MAX;
            payload =
                decode_all(&m.raw(&[b"DUMP", key.as_bytes()])).expect("a reply")[0].bytes().expect("a string").to_vec();
            m.server.jobs.limits = slices(1);
        }
        direct.server.jobs.limits.long = usize::MAX;
        let mut broken = payload.clone();
        broken[3] ^= 1;
        for (payload, options) in [(&payload, &b"REPLACE"[..]), (&broken, b"REPLACE"), (&payload, b"ABSTTL")] {
            let ttl: &[u8] = if options == b"ABSTTL" { b"1" } else { b"5000" };
            let line: [&[u8]; 5] = [b"RESTORE", b"to", ttl, payload, options];
            let expected = direct.raw(&line).escape_ascii().to_string();
            let at_once = m.raw(&line).escape_ascii().to_string();
            let found = at_once + &answer(&mut m, 0);
            assert_eq!(found, expected, "{key}");
            assert_eq!(shown(&mut m, "to"), shown(&mut direct, "to"), "{key}");
            assert_eq!(m.take_propagated(), direct.take_propagated(), "{key}");
        }
        assert!(m.server.jobs.counts.begun >= 2, "{key}");
    }
}

#[test]
fn keys_that_a_job_looks_for_in_vain_are_told_of_as_by_the_direct_path() {
    for line in
        ["PFCOUNT hll:1 nothing hll:2 never", "PFMERGE to hll:1 nothing", "SORT ints BY weight:* GET key:* LIMIT 0 3"]
    {
        let (mut direct, mut m) = (server(), server());
        direct.server.jobs.limits.long = usize::MAX;
        let told = [&mut direct, &mut m].map(|m| {
            m.run("CONFIG SET notify-keyspace-events KEm");
            let listener = m.connect();
            m.run("PSUBSCRIBE __key*");
            m.client = 0;
            m.run(line);
            answer(m, 0);
            m.take_sent(listener)
        });
        assert!(told[0].contains("keymiss") && told[0] == told[1], "{line}: {told:?}");
    }
}

/// A sorting that follows patterns does not know in advance which keys it reads.
#[test]
fn sort_by_a_pattern_holds_its_database_against_writers() {
    let mut m = server();
    m.server.jobs.limits.long = usize::MAX;
    let line = "SORT ints BY key:* ALPHA GET key:*";
    let direct = m.run(line);
    m.server.jobs.limits = slices(1);
    m.run(line);
    m.step_jobs();
    for held in ["SET key:299 0", "DEL few", "LPUSH new x"] {
        let writer = m.connect();
        assert_eq!(m.run(held), "", "{held}");
        assert_eq!(blocked(&mut m, writer), Some(Blocked::Hold), "{held}");
        m.leave(writer);
    }
    m.connect();
    m.run("SELECT 1");
    assert_eq!(m.run("SET key:299 0"), r"+OK\r\n", "of another database");
    assert_eq!(answer(&mut m, 0), direct);
    // What is about to be written in its place comes first.
    m.client = 0;
    m.run("SUNIONSTORE key:299 set other");
    m.step_jobs();
    let sorter = m.connect();
    assert_eq!(m.run(line), "");
    assert_eq!(blocked(&mut m, sorter), Some(Blocked::Hold));
    answer(&mut m, 0);
    m.wake();
    m.client = sorter;
    m.run(line);
    assert!(answer(&mut m, sorter).contains(r"$-1\r\n"), "a set has no text");
}

#[test]
fn a_job_that_stores_puts_nothing_in_place_while_writes_are_paused() {
    let mut m = server();
    m.run("SUNIONSTORE to set other");
    m.connect();
    m.run("CLIENT PAUSE 1000 WRITE");
    for _ in 0..5_000 {
        m.step_jobs();
    }
    assert!(!m.step_jobs(), "there is nothing to be done at once");
    assert_eq!((m.run("EXISTS to"), m.take_sent(0)), (r":0\r\n".into(), String::new()));
    m.clock.advance_ms(1001);
    m.wake();
    assert_ne!(answer(&mut m, 0), "");
    assert_eq!(m.run("EXISTS to"), r":1\r\n");
}

/// The simulator found it: what was remembered as read when the job began was forgotten, and told, before the answer came, which
/// the client then kept for ever.
#[test]
fn what_a_job_reads_is_remembered_for_caches_with_its_answer() {
    let mut m = server();
    m.expect(&[("CONFIG SET tracking-table-max-keys 1", r"+OK\r\n")]);
    m.run("HELLO 3");
    m.run("CLIENT TRACKING ON");
    m.run("LRANGE list 0 -1");
    m.connect();
    m.run("HELLO 3");
    m.run("CLIENT TRACKING ON");
    for n in 0..10 {
        m.run(&format!("GET key:{n}"));
        m.go_on();
    }
    assert!(answer(&mut m, 0).starts_with(r"*300\r\n"));
    m.connect();
    m.run("RPUSH list x");
    assert!(m.take_sent(0).contains(r"invalidate\r\n*1\r\n$4\r\nlist\r\n"));
}

#[test]
fn a_transaction_can_be_given_up_while_its_keys_are_held() {
    let mut m = server();
    m.run("SMEMBERS set");
    m.connect();
    m.expect(&[("MULTI", r"+OK\r\n"), ("SADD set x", r"+QUEUED\r\n"), ("DISCARD", r"+OK\r\n")]);
}
