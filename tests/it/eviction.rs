//! Keys that go because memory is short: which, when, and who hears of it.
//!
//! What is in use is counted by keys here, [`KEY_BYTES`] for each, so that every run is the same whatever the allocator does.

use std::collections::BTreeMap;

use aleadb::base::prng::Prng;
use aleadb::config::{Config, MemoryLimit, MemoryPolicy};
use aleadb::server::databases::Databases;
use aleadb::server::eviction::Gauge;

use super::memory::{Memory, START_MS};

const KEY_BYTES: usize = 1000;
const OOM: &str = r"-OOM command not allowed when used memory > \'maxmemory\'.\r\n";
const OK: &str = r"+OK\r\n";
const NIL: &str = r"$-1\r\n";

const POLICIES: [MemoryPolicy; 9] = [
    MemoryPolicy::VolatileLru,
    MemoryPolicy::VolatileLfu,
    MemoryPolicy::VolatileRandom,
    MemoryPolicy::VolatileTtl,
    MemoryPolicy::VolatileLrm,
    MemoryPolicy::AllkeysLru,
    MemoryPolicy::AllkeysLfu,
    MemoryPolicy::AllkeysRandom,
    MemoryPolicy::AllkeysLrm,
];

fn count(dbs: &Databases) -> usize {
    dbs.iter().map(|db| db.len()).sum::<usize>() * KEY_BYTES
}

/// A server that may hold so many keys; one more is let in before room is made for the next.
fn room_for(keys: usize, policy: MemoryPolicy) -> Memory {
    let maxmemory = MemoryLimit::new((keys * KEY_BYTES) as u64);
    let mut m = Memory::with_config(Config { maxmemory, maxmemory_policy: policy, ..Config::default() });
    m.server.eviction.gauge = Gauge::Counted(count);
    m
}

fn len(m: &Memory) -> usize {
    m.server.dbs.iter().map(|db| db.len()).sum()
}

/// The keys of DEL and UNLINK that were passed on, with the numbers of their databases.
fn deleted(m: &mut Memory) -> Vec<(usize, Vec<u8>)> {
    let units = m.take_propagated();
    let lines = units.into_iter().flatten().filter(|(_, words)| words[0] == b"DEL" || words[0] == b"UNLINK");
    lines.map(|(number, mut words)| (number, words.remove(1))).collect()
}

/// What the model knows of a key.
#[derive(Clone, Copy, Debug)]
struct Known {
    deadline_ms: Option<i64>,
    read_ms: i64,
    written_ms: i64,
}

/// Random commands against a map of keys: no key ever goes that is of another class than the policy's, never is more in use
/// after a command than the limit and the one key that the command made, and where the policy's order is exact it is kept: by
/// deadline always, by time of use where all keys are looked at.
#[test]
fn keys_go_by_policy_and_no_other() {
    for seed in 0..180 {
        let policy = POLICIES[seed as usize % POLICIES.len()];
        let mut prng = Prng::seeded(seed);
        let limit = [10, 30, 300][prng.below(3) as usize];
        let mut m = room_for(limit, policy);
        m.server.begin_propagation();
        let mut twin = BTreeMap::<(usize, Vec<u8>), Known>::new();
        let (mut evicted, mut db, mut refused) = (0, 0, 0);
        for step in 0..1_200 {
            m.clock.advance_ms(20);
            let now_ms = START_MS + 20 * (step + 1);
            let name = format!("k{}", prng.below(2 * limit as u64));
            let key = (db, name.clone().into_bytes());
            // Far enough away that nothing falls due here.
            let ttl_ms = 1_000_000 + prng.below(50) as i64 * 2_000_000;
            let line = match prng.below(10) {
                0 => {
                    db = prng.below(2) as usize;
                    format!("SELECT {db}")
                }
                1..=3 => format!("SET {name} v"),
                4 | 5 => format!("SET {name} v PX {ttl_ms}"),
                6 => format!("PEXPIRE {name} {ttl_ms}"),
                7 => format!("PERSIST {name}"),
                _ => format!("GET {name}"),
            };
            let reply = m.run(&line);
            let text = |what: &str| format!("seed {seed}, step {step}, {policy:?}, {line} -> {reply}: {what}");
            for gone in deleted(&mut m) {
                let known = twin.remove(&gone).unwrap_or_else(|| panic!("{}", text("a key went that was not there")));
                assert!(!policy.is_volatile() || known.deadline_ms.is_some(), "{}", text("of another class"));
                let timed = || twin.values().filter(|other| other.deadline_ms.is_some());
                // Samples are of one database at a time.
                let beside = || twin.iter().filter(|((db, _), _)| *db == gone.0).map(|(_, other)| other);
                let is_first = match policy {
                    MemoryPolicy::VolatileTtl => timed().all(|other| other.deadline_ms >= known.deadline_ms),
                    MemoryPolicy::AllkeysLru if limit <= 30 => beside().all(|other| other.read_ms >= known.read_ms),
                    MemoryPolicy::AllkeysLrm if limit <= 30 => {
                        beside().all(|other| other.written_ms >= known.written_ms)
                    }
                    _ => true,
                };
                assert!(is_first, "{}", text("another one was to go first"));
                evicted += 1;
            }
            if reply == OOM {
                refused += 1;
                let may_go = twin.values().filter(|known| !policy.is_volatile() || known.deadline_ms.is_some());
                assert_eq!(may_go.count(), 0, "{}", text("refused, and there are keys that may go"));
                assert!(line.starts_with("SET"), "{}", text("needs no memory"));
            } else if line.starts_with("SET") {
                let deadline_ms = line.contains("PX").then_some(now_ms + ttl_ms);
                twin.insert(key, Known { deadline_ms, read_ms: now_ms, written_ms: now_ms });
            } else if let Some(known) = twin.get_mut(&key) {
                match line.split(' ').next() {
                    Some("GET") => known.read_ms = now_ms,
                    Some("PEXPIRE") => {
                        *known = Known { deadline_ms: Some(now_ms + ttl_ms), read_ms: now_ms, written_ms: now_ms };
                    }
                    Some("PERSIST") => *known = Known { deadline_ms: None, read_ms: now_ms, written_ms: now_ms },
                    _ => {}
                }
            }
            assert_eq!(len(&m), twin.len(), "{}", text("other keys than the model"));
            assert!(len(&m) <= limit + 1, "{}", text("beyond the limit"));
        }
        assert_eq!(m.server.stats.evicted_keys, evicted);
        assert!(evicted > 50 || refused > 50, "seed {seed}: {evicted} evicted, {refused} refused");
    }
}

#[test]
fn writes_are_refused_where_no_key_may_go_and_all_else_goes_on() {
    for policy in [MemoryPolicy::NoEviction, MemoryPolicy::VolatileLru, MemoryPolicy::VolatileTtl] {
        let mut m = room_for(1, policy);
        m.expect(&[
            ("SET a 1", OK),
            ("SET b 1", OK),
            ("SET c 1", OOM),
            ("GET a", r"$1\r\n1\r\n"),
            ("MULTI", OK),
            ("GET a", r"+QUEUED\r\n"),
            ("SET c 1", OOM),
            ("EXEC", r"-EXECABORT Transaction discarded because of previous errors.\r\n"),
            ("EVAL \"return 7\" 0", r":7\r\n"),
        ]);
        let told = m.run("EVAL \"return redis.call('SET', 'c', '1')\" 0");
        assert!(told.starts_with(r"-OOM command not allowed when used memory > \'maxmemory\'. script: "), "{told}");
        // What frees memory is never refused.
        m.expect(&[("DEL a", r":1\r\n"), ("SET c 1", OK), ("SET d 1", OOM), ("FLUSHALL", OK), ("SET d 1", OK)]);
        assert_eq!(m.server.stats.evicted_keys, 0);
    }
}

#[test]
fn a_limit_below_what_is_in_use_takes_effect_at_once() {
    let mut m = room_for(1000, MemoryPolicy::AllkeysRandom);
    for i in 0..100 {
        m.run(&format!("SET k{i} v"));
    }
    m.expect(&[(&format!("CONFIG SET maxmemory {}", 40 * KEY_BYTES), OK)]);
    assert!(!m.evict_once(), "one turn is enough for so few");
    assert_eq!((len(&m), m.server.stats.evicted_keys), (40, 60));
    m.expect(&[("CONFIG SET maxmemory-policy noeviction maxmemory 1", OK)]);
    assert!(!m.evict_once(), "there is nothing to be done, and nothing to wait for");
    m.expect(&[("SET x 1", OOM), ("CONFIG SET maxmemory 0", OK), ("SET x 1", OK)]);
    assert!(m.run("INFO stats").contains(r"evicted_keys:60\r\n"));
}

#[test]
fn policies_may_be_switched_while_keys_go() {
    let mut m = room_for(50, MemoryPolicy::NoEviction);
    for i in 0..2_000 {
        if i % 50 == 0 {
            let policy = ["allkeys-lru", "allkeys-lfu", "volatile-ttl", "allkeys-lrm", "allkeys-random"][i / 50 % 5];
            m.expect(&[(&format!("CONFIG SET maxmemory-policy {policy}"), OK)]);
        }
        m.clock.advance_ms(5);
        assert_eq!(m.run(&format!("SET k{i} v EX 1000")), OK);
        m.run(&format!("GET k{}", i / 2));
        m.evict_once();
        assert!(len(&m) <= 50);
    }
    assert!(m.server.stats.evicted_keys > 1_900);
}

#[test]
fn reads_keep_a_key_under_lru_and_not_under_lrm() {
    for (policy, kept) in [(MemoryPolicy::AllkeysLru, true), (MemoryPolicy::AllkeysLrm, false)] {
        let mut m = room_for(3, policy);
        for key in ["a", "b", "c"] {
            m.advance_ms(100);
            m.run(&format!("SET {key} 1"));
        }
        m.advance_ms(100);
        m.run("GET a");
        m.expect(&[("OBJECT IDLETIME a", r":0\r\n")]);
        m.advance_ms(100);
        m.run("SET d 1");
        m.run("SET e 1");
        m.expect(&[("EXISTS a b c d e", r":3\r\n"), ("EXISTS d e", r":2\r\n")]);
        assert_eq!(m.run("EXISTS a"), format!(r":{}\r\n", u8::from(kept)), "{policy:?}");
    }
    // Whoever asked not to touch keys keeps none.
    let mut m = room_for(3, MemoryPolicy::AllkeysLru);
    ["a", "b", "c"].iter().for_each(|key| {
        m.advance_ms(100);
        m.run(&format!("SET {key} 1"));
    });
    m.run("CLIENT NO-TOUCH ON");
    m.advance_ms(100);
    m.expect(&[("GET a", r"$1\r\n1\r\n"), ("SET d 1", OK), ("SET e 1", OK), ("GET a", NIL)]);
}

#[test]
fn the_least_frequently_used_goes_first() {
    let mut m = room_for(3, MemoryPolicy::AllkeysLfu);
    ["a", "b", "c"].iter().for_each(|key| drop(m.run(&format!("SET {key} 1"))));
    for _ in 0..50 {
        m.run("GET a");
        m.run("GET c");
    }
    m.advance_ms(3_000);
    // Of two that are new to it, the older one goes.
    m.expect(&[("OBJECT FREQ b", r":5\r\n"), ("SET d 1", OK), ("GET d", r"$1\r\n1\r\n"), ("EXISTS b", r":0\r\n")]);
    m.expect(&[("SET e 1", OK), ("GET e", NIL), ("EXISTS a c d", r":3\r\n")]);
}

#[test]
fn counts_and_idle_times_are_told_by_policy() {
    let not_timed = concat!(
        r"-ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies ",
        r"at runtime LRU and LFU data will take some time to adjust.\r\n"
    );
    let mut m = Memory::new();
    m.expect(&[
        ("SET old 1", OK),
        ("CONFIG SET maxmemory-policy allkeys-lfu", OK),
        ("SET a 1", OK),
        ("OBJECT FREQ a", r":5\r\n"),
        ("OBJECT FREQ old", r":5\r\n"),
        ("OBJECT FREQ none", NIL),
        ("OBJECT IDLETIME none", NIL),
        ("OBJECT IDLETIME a", not_timed),
        // The first access counts, the next ones less and less often; to look is none.
        ("GET a", r"$1\r\n1\r\n"),
        ("OBJECT FREQ a", r":6\r\n"),
        ("OBJECT FREQ a", r":6\r\n"),
        ("RENAME a b", OK),
        ("SET b 2 GET", r"$1\r\n1\r\n"),
    ]);
    let count: u32 = m.run("OBJECT FREQ b")[1..2].parse().expect("one digit");
    assert!((6..=8).contains(&count), "what was counted stays with the key: {count}");
    m.advance_ms(3 * 60_000);
    m.expect(&[("OBJECT FREQ b", &format!(r":{}\r\n", count - 3)), ("CONFIG SET lfu-decay-time 0", OK)]);
    m.expect(&[("OBJECT FREQ b", &format!(r":{count}\r\n")), ("CONFIG SET maxmemory-policy allkeys-lru", OK)]);
    // A count knows its time to a second or so.
    let idle = m.run("OBJECT IDLETIME b");
    assert!([r":179\r\n", r":180\r\n", r":181\r\n"].contains(&&*idle), "{idle}");
    m.expect(&[("GET b", r"$1\r\n2\r\n"), ("OBJECT IDLETIME b", r":0\r\n")]);
}

#[test]
fn restore_takes_what_the_policy_asks_for() {
    let mut m = Memory::new();
    m.run("SET a 1");
    let payload = m.raw(&[b"DUMP", b"a"]);
    let payload = payload[5..payload.len() - 2].to_vec();
    assert_eq!(payload.len(), 13, "an integer of one byte");
    let restore = |m: &mut Memory, words: &[&[u8]]| {
        let line = [&[b"RESTORE".as_slice(), b"r", b"0", &payload, b"REPLACE"], words].concat();
        m.raw(&line).escape_ascii().to_string()
    };
    assert_eq!(restore(&mut m, &[b"IDLETIME", b"5000"]), OK);
    m.expect(&[("OBJECT IDLETIME r", r":5000\r\n")]);
    assert_eq!(restore(&mut m, &[b"FREQ", b"77"]), OK);
    m.expect(&[("OBJECT IDLETIME r", r":0\r\n"), ("CONFIG SET maxmemory-policy volatile-lfu", OK)]);
    assert_eq!(restore(&mut m, &[b"FREQ", b"77"]), OK);
    m.expect(&[("OBJECT FREQ r", r":77\r\n")]);
    assert_eq!(restore(&mut m, &[b"IDLETIME", b"5000"]), OK);
    m.expect(&[("OBJECT FREQ r", r":5\r\n")]);
}

/// A server with three keys, of which `k` is the first to go once [`shrink`] says so.
fn about_to_lose_k() -> Memory {
    let mut m = room_for(1000, MemoryPolicy::AllkeysLru);
    for key in ["k", "x", "y"] {
        m.advance_ms(100);
        m.run(&format!("SET {key} 1"));
    }
    m.advance_ms(100);
    m
}

/// From now on there is room for two keys.
fn shrink(m: &mut Memory) {
    m.server.config.maxmemory = MemoryLimit::new(2 * KEY_BYTES as u64);
}

#[test]
fn everybody_hears_of_a_key_that_goes() {
    let mut m = about_to_lose_k();
    m.server.begin_propagation();
    m.run("CONFIG SET notify-keyspace-events Ee");
    let (listener, watcher, cacher, queue) = (m.connect(), m.connect(), m.connect(), m.connect());
    m.client = listener;
    m.run("SUBSCRIBE __keyevent@0__:evicted");
    m.client = watcher;
    m.expect(&[("WATCH k", OK), ("MULTI", OK), ("PING", r"+QUEUED\r\n")]);
    m.client = cacher;
    m.run("HELLO 3");
    m.expect(&[("CLIENT TRACKING ON", OK)]);
    // Looks without touching, as the key would stay otherwise.
    m.expect(&[("CLIENT NO-TOUCH ON", OK), ("GET k", r"$1\r\n1\r\n")]);
    m.client = queue;
    m.run("HELLO 3");
    m.expect(&[("CLIENT NO-TOUCH ON", OK)]);
    assert!(m.run("GET.WATCH k").contains(r"$1\r\n1\r\n"));
    m.client = 0;
    shrink(&mut m);
    m.expect(&[("PING", r"+PONG\r\n"), ("EXISTS k", r":0\r\n")]);
    assert!(m.take_sent(listener).ends_with(r"$22\r\n__keyevent@0__:evicted\r\n$1\r\nk\r\n"));
    assert_eq!(deleted(&mut m), [(0, b"k".to_vec())]);
    m.client = watcher;
    m.expect(&[("EXEC", r"*-1\r\n")]);
    let told = m.take_sent(cacher);
    assert!(told.contains(r"invalidate\r\n*1\r\n$1\r\nk\r\n"), "{told}");
    let told = m.take_sent(queue);
    assert!(told.contains(r"_\r\n"), "the query's new result is null: {told}");
}

#[test]
fn keys_that_go_are_passed_on_as_configured() {
    let mut m = about_to_lose_k();
    m.server.begin_propagation();
    m.run("CONFIG SET lazyfree-lazy-eviction yes");
    shrink(&mut m);
    m.run("SET z 1");
    let units = m.take_propagated();
    let words: Vec<Vec<String>> = units
        .iter()
        .map(|unit| unit[0].1.iter().map(|word| String::from_utf8_lossy(word).into_owned()).collect())
        .collect();
    assert_eq!(words[0], ["UNLINK", "k"]);
    assert_eq!(words.last().expect("the write itself"), &["SET", "z", "1"]);
}

#[test]
fn due_keys_go_before_live_ones() {
    let mut m = room_for(3, MemoryPolicy::AllkeysLru);
    m.expect(&[("SET live 1", OK), ("SET due 1 PX 50", OK), ("SET due2 1 PX 50", OK), ("SET other 1", OK)]);
    // The clock moves, and no turn has come since that would have removed them.
    m.clock.advance_ms(60);
    m.expect(&[("SET new 1", OK), ("EXISTS live other new", r":3\r\n")]);
    assert_eq!((m.server.stats.evicted_keys, m.server.dbs.expired()), (0, 2));
}

#[test]
fn while_client_pause_lasts_nothing_goes() {
    let mut m = about_to_lose_k();
    m.run("CLIENT PAUSE 1000 WRITE");
    shrink(&mut m);
    m.expect(&[("GET x", r"$1\r\n1\r\n"), ("EXISTS k", r":1\r\n")]);
    assert!(!m.evict_once());
    m.clock.advance_ms(1001);
    m.expect(&[("GET x", r"$1\r\n1\r\n"), ("EXISTS k", r":0\r\n")]);
}

#[test]
fn a_client_that_is_served_later_finds_what_went_gone() {
    // What EXEC runs was judged when EXEC came: what its commands add is not looked at in between.
    let mut m = room_for(2, MemoryPolicy::AllkeysLru);
    m.expect(&[("MULTI", OK), ("SET a 1", r"+QUEUED\r\n"), ("SET b 1", r"+QUEUED\r\n"), ("SET c 1", r"+QUEUED\r\n")]);
    m.expect(&[("EXEC", r"*3\r\n+OK\r\n+OK\r\n+OK\r\n"), ("DBSIZE", r":2\r\n")]);
}

#[test]
fn limits_in_percent_are_shares_of_what_there_is() {
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG SET maxmemory 50% maxmemory-clients 5%", OK),
        ("CONFIG GET maxmemory", r"*2\r\n$9\r\nmaxmemory\r\n$3\r\n50%\r\n"),
        ("CONFIG GET maxmemory-clients", r"*2\r\n$17\r\nmaxmemory-clients\r\n$2\r\n5%\r\n"),
    ]);
    let available = aleadb::sys::limits::available_memory() as u64;
    assert_eq!(m.server.config.maxmemory.bytes, available / 2);
    assert_eq!(m.server.clients_limit_bytes(), available / 2 * 5 / 100);
    assert!(m.run("INFO memory").contains(&format!(r"maxmemory:{}\r\n", available / 2)));
    let failed = |name: &str, reason: &str| {
        format!(r"-ERR CONFIG SET failed (possibly related to argument \'{name}\') - {reason}\r\n")
    };
    m.expect(&[
        ("CONFIG SET maxmemory 101%", &failed("maxmemory", "percentage argument must be less or equal to 100")),
        ("CONFIG SET maxmemory -1%", &failed("maxmemory", "argument must be a memory value")),
        (
            "CONFIG SET maxmemory-clients 101%",
            &failed("maxmemory-clients", "percentage argument must be less or equal to 100"),
        ),
        ("CONFIG SET maxmemory-clients 5x", &failed("maxmemory-clients", "argument must be a memory or percent value")),
    ]);
}

#[test]
fn times_of_excess_are_told() {
    let mut m = room_for(1, MemoryPolicy::NoEviction);
    m.expect(&[("SET a 1", OK), ("SET b 1", OK), ("SET c 1", OOM)]);
    m.advance_ms(250);
    let info = m.run("INFO stats");
    assert!(info.contains("total_eviction_exceeded_time:250") && info.contains("current_eviction_exceeded_time:250"));
    m.expect(&[("DEL a", r":1\r\n"), ("SET c 1", OK), ("DEL c", r":1\r\n"), ("PING", r"+PONG\r\n")]);
    m.advance_ms(1000);
    let info = m.run("INFO stats");
    assert!(
        info.contains("total_eviction_exceeded_time:250") && info.contains("current_eviction_exceeded_time:0"),
        "{info}"
    );
}

#[test]
fn nothing_goes_while_data_is_brought_in() {
    let mut m = room_for(2, MemoryPolicy::AllkeysLru);
    m.run("CONFIG SET import-mode yes");
    (0..10).for_each(|n| m.expect(&[(&format!("SET k{n} v"), OK)]));
    assert_eq!(len(&m), 10);
    m.expect(&[("CONFIG SET import-mode no", OK), ("SET another v", OK)]);
    assert!(len(&m) < 11, "{}", len(&m));
}
