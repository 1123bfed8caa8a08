//! EXPIRY and INFO's section of it, and expiry itself against a naive twin under tiny budgets and a clock that jumps.

use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use aleadb::base::clock::{Clock, Now};
use aleadb::base::prng::Prng;
use aleadb::engine::cron::Cron;

use crate::memory::{Memory, START_MS};

/// The value of a field of INFO's section.
fn field(m: &mut Memory, name: &str) -> String {
    let text = m.run("INFO expiry");
    let (_, rest) = text.split_once(&format!("{name}:")).expect("the field is there");
    rest.split_once(r"\r\n").expect("the line ends").0.to_owned()
}

#[test]
fn lag_is_that_of_the_keys_the_timers_removed() {
    let mut m = Memory::new();
    let lag = |numbers: [u32; 6]| {
        let names =
            ["8\\r\\nwindow_s", "4\\r\\nkeys", "6\\r\\np50_ms", "6\\r\\np99_ms", "6\\r\\nmax_ms", "9\\r\\nbehind_ms"];
        names.iter().zip(numbers).map(|(name, n)| format!(r"${name}\r\n:{n}\r\n")).collect::<String>()
    };
    m.expect(&[("EXPIRY LAG", &format!(r"*12\r\n{}", lag([60, 0, 0, 0, 0, 0])))]);
    for i in 0..99 {
        m.run(&format!("SET a{i} v PX 10"));
    }
    m.run("SET b v PX 5");
    m.advance_ms(12);
    m.expect(&[("EXPIRY LAG", &format!(r"*12\r\n{}", lag([60, 100, 2, 2, 7, 0])))]);
    m.run("HELLO 3");
    m.expect(&[("EXPIRY LAG", &format!(r"%6\r\n{}", lag([60, 100, 2, 2, 7, 0])))]);
    assert_eq!((field(&mut m, "expiry_lag_p99_ms").as_str(), field(&mut m, "expiry_lag_max_ms").as_str()), ("2", "7"));
    m.advance_ms(60_000);
    assert!(m.run("EXPIRY LAG").contains(&lag([60, 0, 0, 0, 0, 0])));
    m.run("SET c v PX 1");
    m.advance_ms(4);
    m.expect(&[("CONFIG RESETSTAT", r"+OK\r\n"), ("EXPIRY LAG", &format!(r"%6\r\n{}", lag([60, 0, 0, 0, 0, 0])))]);
}

/// A forecast's rows: after, until, keys.
fn forecast(m: &mut Memory, line: &str) -> Vec<(Option<i64>, Option<i64>, i64)> {
    let text = m.run(line);
    let number = |row: &str, name: &str| {
        let rest = row.split_once(&format!(r"{name}\r\n")).expect(name).1;
        let word = rest.split_once(r"\r\n").expect("the line ends").0;
        word.strip_prefix(':').map(|digits| digits.parse::<i64>().expect("digits"))
    };
    let rows = text.split(r"$7\r\nafter_s\r\n").skip(1).map(|row| format!(r"after_s\r\n{row}"));
    rows.map(|row| (number(&row, "after_s"), number(&row, "until_s"), number(&row, r"$4\r\nkeys").expect("a number")))
        .collect()
}

#[test]
fn a_small_database_is_forecast_exactly() {
    let mut m = Memory::new();
    for (seconds, count) in [(1, 3), (2, 5), (60, 7), (61, 2), (4_000, 11), (90_000, 13), (10_000_000, 1)] {
        for i in 0..count {
            m.run(&format!("SET k:{seconds}:{i} v EX {seconds}"));
        }
    }
    // Deadlines that moved either way, or went, count once and where they are now.
    m.run("EXPIRE k:60:0 70");
    m.run("EXPIRE k:90000:0 5");
    m.run("EXPIRE k:90000:0 9");
    m.run("PERSIST k:4000:0");
    m.run("SELECT 3");
    m.run("SET elsewhere v EX 1");
    m.run("SET plain v");
    let (n, s) = (None, Some);
    let rows = vec![
        (n, s(0), 0),
        (s(0), s(1), 4),
        (s(1), s(10), 6),
        (s(10), s(60), 6),
        (s(60), s(600), 3),
        (s(600), s(3600), 0),
        (s(3600), s(86_400), 10),
        (s(86_400), n, 13),
    ];
    assert_eq!(forecast(&mut m, "EXPIRY FORECAST"), rows);
    assert!(m.run("EXPIRY FORECAST").contains(r"$7\r\nexact_s\r\n$-1\r\n$7\r\nsampled\r\n:0\r\n"));
    assert_eq!(forecast(&mut m, "EXPIRY FORECAST 2"), [(n, s(0), 0), (s(0), s(2), 9), (s(2), n, 33)]);
    // Due and not removed, as while expiry is switched off.
    m.run("DEBUG SET-ACTIVE-EXPIRE 0");
    m.server.active_expire = false;
    m.advance_ms(2_000);
    assert_eq!(forecast(&mut m, "EXPIRY FORECAST 2"), [(n, s(0), 9), (s(0), s(2), 0), (s(2), n, 33)]);
    assert_eq!(field(&mut m, "expiry_due_keys"), "9");
    assert_ne!(field(&mut m, "expiry_due_bytes"), "0");
    assert_eq!((field(&mut m, "expiry_timed_keys"), field(&mut m, "expiry_next_ms")), ("42".into(), "7000".into()));
}

#[test]
fn a_large_database_is_estimated_beyond_what_is_counted() {
    // Some of 20,000 keys have a deadline, evenly over 1,000 seconds: all, or one in fifty.
    for every in [1, 50] {
        let mut m = Memory::new();
        for i in 0..20_000 {
            let ttl = if i % every == 0 { format!(" PX {}", 50 * i + 50) } else { String::new() };
            m.run(&format!("SET key:{i} v{ttl}"));
        }
        let (total, rows) = (20_000 / every, forecast(&mut m, "EXPIRY FORECAST 10 500"));
        assert_eq!(rows[1].2, if every == 1 { 200 } else { 4 }, "the near is counted");
        let share = rows[2].2 as f64 / total as f64;
        assert!((0.42..0.56).contains(&share), "490 of 1,000 seconds have {share} of the keys");
        assert!((rows.iter().map(|row| row.2).sum::<i64>() - total).abs() <= 2);
    }
}

#[test]
fn bad_ranges_and_unknown_subcommands_are_refused() {
    let bad = r"-ERR seconds must be positive integers in ascending order, 64 at most\r\n";
    let many = format!("EXPIRY FORECAST {}", (1..66).map(|i| i.to_string()).collect::<Vec<_>>().join(" "));
    Memory::new().expect(&[
        ("EXPIRY FORECAST 0", bad),
        ("EXPIRY FORECAST 5 5", bad),
        ("EXPIRY FORECAST 9223372036854775807", bad),
        (&many, bad),
        ("EXPIRY FORECAST x", r"-ERR value is not an integer or out of range\r\n"),
        ("EXPIRY LAG x", r"-ERR wrong number of arguments for \'expiry|lag\' command\r\n"),
        ("EXPIRY", r"-ERR wrong number of arguments for \'expiry\' command\r\n"),
        ("EXPIRY FOO", r"-ERR unknown subcommand \'FOO\'. Try EXPIRY HELP.\r\n"),
    ]);
    let help = Memory::new().run("EXPIRY HELP");
    assert!(help.contains("+EXPIRY <subcommand>") && help.contains("+LAG") && help.contains("+FORECAST"));
}

#[test]
fn the_section_is_shown_only_when_asked_for() {
    let mut m = Memory::new();
    assert!(!m.run("INFO").contains("# Expiry"));
    for asked in ["INFO all", "INFO everything", "INFO EXPIRY"] {
        assert!(m.run(asked).contains(r"# Expiry\r\nexpiry_timed_keys:0\r\nexpiry_due_keys:0\r\n"), "{asked}");
    }
    assert_eq!(field(&mut m, "expiry_next_ms"), "-1");
}

/// A naive server: each key's deadline, nothing else.
struct Twin {
    deadlines: HashMap<(usize, u64), Option<i64>>,
}

impl Twin {
    fn lives(&self, key: (usize, u64), now_ms: i64) -> bool {
        self.deadlines.get(&key).is_some_and(|deadline| deadline.is_none_or(|ms| ms > now_ms))
    }
}

/// Runs turns until nothing is left to do; how many it took.
fn settle(m: &mut Memory, cron: &mut Cron) -> usize {
    let now = m.clock.now();
    let mut turns = 1;
    while cron.expire(&mut m.server, now) {
        turns += 1;
        assert!(turns < 100_000, "expiry comes to an end");
    }
    turns
}

#[test]
fn any_history_agrees_with_a_naive_twin() {
    for seed in 0..40 {
        history(seed, seed % 4 == 3);
    }
}

/// Random commands, turns with tiny budgets and time that passes; with `jumps`, the wall clock also goes back and forth.
fn history(seed: u64, jumps: bool) {
    let (mut m, mut rng) = (Memory::new(), Prng::seeded(seed));
    let budget = 1 + rng.below(5) as usize;
    let mut cron = Cron::with_keys_per_turn(budget);
    let mut twin = Twin { deadlines: HashMap::new() };
    for step in 0..1_500 {
        let key = (rng.below(3) as usize, rng.below(60));
        let (db, name) = (key.0, key.1);
        let now_ms = m.clock.now().unix_ms;
        let (ttl_max_ms, pass_max_ms) = ([20, 2_000, 3_000_000], [3, 300, 2_000_000]);
        let (a, b) = (rng.below(3) as usize, rng.below(3) as usize);
        let (ttl_ms, pass_ms) = (1 + rng.below(ttl_max_ms[a]), rng.below(pass_max_ms[b]));
        let lives = twin.lives(key, now_ms);
        m.run(&format!("SELECT {db}"));
        match rng.below(10) {
            0..3 => {
                m.run(&format!("SET {name} v PX {ttl_ms}"));
                twin.deadlines.insert(key, Some(now_ms + ttl_ms as i64));
            }
            3 => {
                m.run(&format!("SET {name} v"));
                twin.deadlines.insert(key, None);
            }
            4..6 => {
                assert_eq!(m.run(&format!("PEXPIRE {name} {ttl_ms}")), format!(r":{}\r\n", u8::from(lives)));
                if lives {
                    twin.deadlines.insert(key, Some(now_ms + ttl_ms as i64));
                }
            }
            6 => {
                assert_eq!(m.run(&format!("DEL {name}")), format!(r":{}\r\n", u8::from(lives)));
                twin.deadlines.remove(&key);
            }
            7 => m.clock.advance_ms(pass_ms),
            8 if jumps => {
                // What has left is gone for good, and does not come again with an earlier time.
                settle(&mut m, &mut cron);
                twin.deadlines.retain(|_, deadline| deadline.is_none_or(|ms| ms > now_ms));
                m.clock.step_wall_ms(rng.below(4_000_000) as i64 - 2_000_000);
            }
            _ => {
                let got = m.run(&format!("EXISTS {name}"));
                assert_eq!(got, format!(r":{}\r\n", u8::from(lives)), "seed {seed}, step {step}");
            }
        }
        if rng.chance(1, 3) {
            let (now, before) = (m.clock.now(), expired(&m));
            cron.expire(&mut m.server, now);
            assert!(expired(&m) - before <= budget as u64, "no turn removes more than its budget");
        }
    }
    // An empty-handed end: everything with a deadline leaves, in turns bounded by the work, and nothing else does.
    let due = m.server.dbs.iter().map(|db| db.timed()).sum::<usize>();
    m.clock.advance_ms(100_000_000);
    let before = expired(&m);
    let turns = settle(&mut m, &mut cron);
    assert!(turns <= 2_000 + due, "{turns} turns for {due} keys");
    let left: usize = m.server.dbs.iter().map(|db| db.len()).sum();
    assert_eq!(left, twin.deadlines.values().filter(|deadline| deadline.is_none()).count(), "seed {seed}");
    let lags = m.server.stats.lags.summary(m.clock.now().mono_ms() / 1000);
    assert_eq!(lags.keys, expired(&m) - before, "the last second holds what left in it");
}

fn expired(m: &Memory) -> u64 {
    m.server.dbs.iter().map(|db| db.stats().expired).sum()
}

#[test]
fn every_key_the_timers_remove_is_in_the_histogram_once() {
    let mut m = Memory::new();
    let mut cron = Cron::with_keys_per_turn(7);
    for i in 0..500 {
        m.run(&format!("SELECT {}", i % 5));
        m.run(&format!("SET k{i} v PX {}", 1 + i % 100));
    }
    m.clock.advance_ms(150);
    // At most 7 a turn, whatever the database.
    assert_eq!(settle(&mut m, &mut cron), 500usize.div_ceil(7));
    let summary = m.server.stats.lags.summary(0);
    assert_eq!((summary.keys, summary.max_ms), (500, 149));
    assert!((100..=128).contains(&summary.p50_ms), "the true one is 99 or 100: {summary:?}");
    assert_eq!(m.server.stats.expire_budgets_spent, 500 / 7);
}

#[test]
fn every_database_gets_its_turn() {
    let mut m = Memory::new();
    let mut cron = Cron::with_keys_per_turn(64);
    for db in 0..3 {
        m.run(&format!("SELECT {db}"));
        for i in 0..200 {
            m.run(&format!("SET k{i} v PX 5"));
        }
    }
    m.clock.advance_ms(10);
    let now = m.clock.now();
    for _ in 0..3 {
        assert!(cron.expire(&mut m.server, now));
    }
    let left: Vec<usize> = m.server.dbs.iter().take(3).map(|db| db.len()).collect();
    assert_eq!(left, [136, 136, 136]);
}

/// A clock that moves 50 us with every look at it, and counts the looks.
#[derive(Debug, Default)]
struct Ticking {
    mono_ns: Cell<u64>,
    looks: Cell<u64>,
}

impl Clock for Ticking {
    fn now(&self) -> Now {
        Now { unix_ms: START_MS + 10, mono_ns: self.mono_ns.get() }
    }
    fn mono_ns(&self) -> u64 {
        self.mono_ns.set(self.mono_ns.get() + 50_000);
        self.looks.set(self.looks.get() + 1);
        self.mono_ns.get()
    }
    fn unix_us(&self) -> i64 {
        (START_MS + 10) * 1000
    }
}

#[test]
fn the_time_of_a_slice_ends_a_turn() {
    let mut m = Memory::new();
    for i in 0..5_000 {
        m.run(&format!("SET k{i} v PX 1"));
    }
    m.server.clock = Rc::new(Ticking::default());
    let (mut cron, now) = (Cron::default(), m.server.clock.now());
    assert!(cron.expire(&mut m.server, now));
    let first = expired(&m);
    // A free chunk, then one for each 50 us of the 200.
    assert_eq!(first, 5 * 64);
    // Later the slice is longer, as the keys are later.
    let late = Now { unix_ms: now.unix_ms + 1_000, ..now };
    assert!(cron.expire(&mut m.server, late));
    let second = expired(&m) - first;
    assert!(cron.expire(&mut m.server, late));
    assert!(expired(&m) - first - second > second, "the share grows with the lag");
}

/// Timers that nobody needs any more are freed in slices of the same length, and however many a turn may leave, the wheel
/// holds no more of them than so many.
#[test]
fn a_burst_of_deleted_keys_neither_stops_the_loop_nor_grows_the_wheel() {
    let mut m = Memory::new();
    let bound = 2 * 65_536;
    for i in 0..2 * bound {
        let key = format!("k{i}");
        m.raw(&[b"SET", key.as_bytes(), b"v", b"EX", b"86400"]);
        m.raw(&[b"DEL", key.as_bytes()]);
    }
    // The nodes come in blocks of 65,536, 8 bytes each; the slots are 4 bytes and two bits.
    let nodes_bytes = m.server.dbs[0].wheel_bytes() - (1 << 20) * 4 - (1 << 20) / 4;
    assert!(nodes_bytes < (bound + bound / 2 + 65_536) * 8, "{nodes_bytes} bytes of nodes");
    let clock = Rc::new(Ticking::default());
    m.server.clock = clock.clone();
    let (mut cron, now, mut turns) = (Cron::default(), clock.now(), 1);
    while cron.expire(&mut m.server, now) {
        assert!(clock.looks.replace(0) <= 5, "no turn is longer than its slice");
        turns += 1;
        assert!(turns < 1_000, "it ends");
    }
    assert!(turns > 100, "{turns} turns for as many nodes");
}

/// Keys of all kinds of TTL, and a loop that sleeps exactly until the wheel asks to be called: each leaves at its deadline.
#[test]
fn a_loop_that_sleeps_until_the_next_timer_is_never_late() {
    for seed in 0..12 {
        let (mut m, mut rng, mut cron) = (Memory::new(), Prng::seeded(seed), Cron::default());
        let mut twin: BTreeMap<u64, i64> = BTreeMap::new();
        let mut wakes = 0;
        for _ in 0..400 {
            let (db, name, now_ms) = (rng.below(2), rng.below(50), m.clock.now().unix_ms);
            let ttl_max_ms = [200, 60_000, 2_500_000, 20_000_000][rng.below(4) as usize];
            let ttl_ms = 1 + rng.below(ttl_max_ms);
            m.run(&format!("SELECT {db}"));
            let key = db * 50 + name;
            match rng.below(4) {
                0 => {
                    m.run(&format!("DEL {name}"));
                    twin.remove(&key);
                }
                1 if twin.contains_key(&key) => {
                    assert_eq!(m.run(&format!("PEXPIRE {name} {ttl_ms}")), r":1\r\n");
                    twin.insert(key, now_ms + ttl_ms as i64);
                }
                _ => {
                    m.run(&format!("SET {name} v PX {ttl_ms}"));
                    twin.insert(key, now_ms + ttl_ms as i64);
                }
            }
            if rng.chance(1, 2) {
                // Not every turn has looked at the timers before something else is set; most have.
                cron.expire(&mut m.server, m.clock.now());
            }
            let pass_max_ms = [5, 400, 300_000][rng.below(3) as usize];
            let pass_ms = rng.below(pass_max_ms);
            let until_ms = now_ms + pass_ms as i64;
            wakes += sleep_until(&mut m, &mut cron, &mut twin, until_ms);
        }
        let last_ms = twin.values().copied().max().unwrap_or(0);
        wakes += sleep_until(&mut m, &mut cron, &mut twin, last_ms);
        assert!(twin.is_empty() && wakes > 200, "seed {seed}: {wakes} wakes");
        assert_eq!(m.server.stats.lags.summary(m.clock.now().mono_ms() / 1000).max_ms, 0);
        assert_eq!(cron.next_due_ms(&m.server, m.clock.now()), None);
    }
}

/// Lets time pass as a loop does that has nothing but timers; each wake must find what is due then, and nothing older.
fn sleep_until(m: &mut Memory, cron: &mut Cron, twin: &mut BTreeMap<u64, i64>, until_ms: i64) -> usize {
    let mut wakes = 0;
    loop {
        let now = m.clock.now();
        let left_ms = (until_ms - now.unix_ms).max(0) as u64;
        let due_ms = cron.next_due_ms(&m.server, now).map(|due_ms| due_ms.saturating_sub(now.mono_ms()));
        m.clock.advance_ms(due_ms.unwrap_or(u64::MAX).min(left_ms));
        let (now, before) = (m.clock.now(), expired(m));
        while cron.expire(&mut m.server, now) {}
        let due: Vec<u64> = twin.iter().filter(|&(_, ms)| *ms <= now.unix_ms).map(|(&key, _)| key).collect();
        for key in &due {
            assert_eq!(twin.remove(key), Some(now.unix_ms), "key {key} left late");
        }
        assert_eq!(expired(m) - before, due.len() as u64);
        wakes += 1;
        if due_ms.is_none_or(|due_ms| due_ms > left_ms) {
            return wakes;
        }
    }
}

#[test]
fn keys_due_much_later_wake_the_loop_once_in_128_ms_at_most() {
    let (mut m, mut cron) = (Memory::new(), Cron::default());
    for i in 0..30_000u64 {
        m.run(&format!("SELECT {}", i % 3));
        m.run(&format!("SET k{i} v PX {}", 86_400_000 + i * 311));
    }
    let wakes = sleep_until(&mut m, &mut cron, &mut BTreeMap::new(), START_MS + 120_000);
    assert!((120_000 / 128..=120_000 / 128 + 3).contains(&wakes), "{wakes} wakes in two minutes");
}

/// As Valkey 9.1 answers to those who bring data in and to others; when that is over, what is due leaves.
#[test]
fn nothing_leaves_while_data_is_brought_in_and_its_source_sees_all() {
    let mut m = Memory::new();
    let refused = r"-ERR Server is not in import mode\r\n";
    m.expect(&[
        ("CLIENT IMPORT-SOURCE ON", refused),
        ("CLIENT IMPORT-SOURCE x", refused),
        ("CLIENT IMPORT-SOURCE OFF", r"+OK\r\n"),
        ("CONFIG SET import-mode yes", r"+OK\r\n"),
        ("CLIENT IMPORT-SOURCE x", r"-ERR syntax error\r\n"),
        ("CLIENT IMPORT-SOURCE ON", r"+OK\r\n"),
        ("SET a v PX 20", r"+OK\r\n"),
        ("SET b v PXAT 1000", r"+OK\r\n"),
        ("HSET h f v", r":1\r\n"),
        ("HPEXPIRE h 20 FIELDS 1 f", r"*1\r\n:1\r\n"),
        ("SADDEX s PX 20 MEMBERS 1 m", r":1\r\n"),
        ("ZADDEX z PX 20 MEMBERS 1 1 m", r":1\r\n"),
    ]);
    let (source, other) = (m.client, m.connect());
    m.advance_ms(50);
    let questions = [
        ("GET a", r"$1\r\nv\r\n", r"$-1\r\n"),
        ("GET b", r"$1\r\nv\r\n", r"$-1\r\n"),
        ("HGET h f", r"$1\r\nv\r\n", r"$-1\r\n"),
        ("SCARD s", r":1\r\n", r":0\r\n"),
        ("ZCARD z", r":1\r\n", r":0\r\n"),
        ("EXISTS a b", r":2\r\n", r":0\r\n"),
        ("DBSIZE", r":5\r\n", r":5\r\n"),
    ];
    for (line, to_source, to_other) in questions.into_iter().chain(questions) {
        m.expect_of(&[(source, line, to_source), (other, line, to_other)]);
    }
    m.expect_of(&[
        (source, "EXPIRE a -5", r":1\r\n"),
        (source, "GET a", r"$1\r\nv\r\n"),
        (other, "SET a w", r"+OK\r\n"),
        (source, "GET a", r"$1\r\nw\r\n"),
        (other, "CONFIG SET import-mode no", r"+OK\r\n"),
        (source, "GET b", r"$-1\r\n"),
    ]);
    m.advance_ms(1);
    m.expect(&[("DBSIZE", r":1\r\n"), ("GET a", r"$1\r\nw\r\n")]);
}
