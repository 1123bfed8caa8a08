//! What servers tell of the commands that they have run, against Redis 8.2 and 8.6, and COMMANDLOG's part of it against Valkey:
//! SLOWLOG, MONITOR, LATENCY, and the statistics of INFO by command and error. Times, ids and ports differ and are left out.

use crate::pair::{Pair, TARGET, ask};
use crate::resp::{Client, Value};
use crate::server::Server;

/// Whoever logs, logs everything; events are noted from 10 ms on.
const ARGS: &[&str] = &[
    "--slowlog-log-slower-than",
    "0",
    "--slowlog-max-len",
    "1000",
    "--latency-monitor-threshold",
    "10",
    "--enable-debug-command",
    "yes",
];

/// Both versions that can be asked.
const VERSIONS: [(u32, u32, u32); 2] = [(8, 2, 0), TARGET];

/// Lines after which every kind of command has run: those that succeed, fail, are refused, wait, are queued, and are called by
/// scripts; with what their names, texts and passwords are.
fn lines() -> Vec<Vec<Vec<u8>>> {
    let line = |text: &str| text.split(' ').map(|word| word.as_bytes().to_vec()).collect::<Vec<_>>();
    let mut lines: Vec<Vec<Vec<u8>>> = [
        "CLIENT SETNAME me",
        "SET k v",
        "set k v EX 100",
        "GETEX k PERSIST",
        "SET k",
        "NOSUCH a b",
        "LPUSH k x",
        "CLIENT NOSUCH",
        "CLIENT LIST NOSUCH",
        "INCRBYFLOAT f 1.5",
        "SPOP s",
        "CONFIG SET requirepass secret",
        "AUTH wrong",
        "AUTH default secret",
        "HELLO 2 AUTH default secret SETNAME other",
        "HELLO 2 SETNAME auth AUTH default secret",
        "ACL SETUSER bob on >pw ~* +@all",
        "ACL SETUSER bob norule",
        "ACL GETUSER bob",
        "ACL DRYRUN bob GET x",
        "ACL DELUSER bob carl",
        "CONFIG SET masteruser u hz 10 masterauth s",
        "CONFIG SET masteruser  masterauth ",
        "CONFIG SET requirepass ",
        "MULTI",
        "SET a 1",
        "LPUSH a x",
        "EXEC",
        "MULTI",
        "NOSUCH",
        "EXEC",
        "MULTI",
        "BLPOP nokey 0",
        "DISCARD",
        "BLPOP nokey 0.01",
        "SELECT 3",
        "SELECT 99",
        "PING",
        "OBJECT HELP",
        "SCRIPT LOAD x",
        "EVALSHA nosuch 0",
        "EVAL garbage 0",
    ]
    .iter()
    .map(|text| line(text))
    .collect();
    for script in [
        "redis.call('SET', 'k', 'v') return redis.call('GET', 'k')",
        "redis.pcall('LPUSH', 'k', 'x') redis.pcall('NOSUCH') redis.pcall('GET') return redis.pcall('MONITOR')",
        "return redis.call('LPUSH', 'k', 'x')",
        "redis.call('SELECT', 4) redis.call('SADD', 's', 'x') return redis.call('SPOP', 's')",
        "return redis.call('BLPOP', 'nokey', 0)",
        "for i = 1, 3 do redis.call('INCR', 'n') end",
    ] {
        lines.push(vec![b"EVAL".to_vec(), script.into(), b"0".to_vec()]);
    }
    let library = "#!lua name=lib\nredis.register_function('f', function() return redis.call('ECHO', 'x') end)";
    lines.push(vec![b"FUNCTION".to_vec(), b"LOAD".to_vec(), library.into()]);
    lines.extend(["MULTI", "FCALL f 0", "EXEC", "FCALL f 0", "FCALL nosuch 0"].map(line));
    for bytes in [127, 128, 129, 1000] {
        lines.push(vec![b"ECHO".to_vec(), vec![b'x'; bytes]]);
    }
    for keys in [30, 31, 32, 200] {
        lines
            .push(std::iter::once(b"DEL".to_vec()).chain((0..keys).map(|key| format!("{key}").into_bytes())).collect());
    }
    lines.push(vec![b"ECHO".to_vec(), b"\x00\n\r\t\x07\x08\x1b\"'\\ \xff\x7f".to_vec()]);
    lines
}

/// Sends a server the lines; their replies are not looked at.
fn run(client: &mut Client) {
    lines().iter().for_each(|line| _ = client.call(line).expect("still running"));
}

/// Runs a test beside each version, with a client of our server and one of the other.
fn beside_each_version(test: impl Fn(&mut Client, &mut Client, &Pair)) {
    for version in VERSIONS {
        let Some(pair) = Pair::start_with(version, ARGS) else { continue };
        let [mut ours, mut theirs] = [&pair.subject, &pair.oracle].map(connect);
        test(&mut ours, &mut theirs, &pair);
    }
}

fn connect(server: &Server) -> Client {
    server.connect().expect("just started")
}

/// An address without its port.
fn host(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

/// An entry of a log: id, arguments, address and name; its time must be one.
fn logged(entry: &Value) -> (i64, Value, String, String) {
    let parts = entry.items().expect("an entry is an array");
    let [id, unix_s, amount, args, address, name] = &parts[..6] else { panic!("{entry:?}") };
    assert!(unix_s.integer() > Some(1_600_000_000) && amount.integer() >= Some(0), "{entry:?}");
    (id.integer().expect("an id"), args.clone(), host(&address.text()).to_owned(), name.text())
}

#[test]
fn the_slow_log_has_the_entries_of_redis() {
    beside_each_version(|ours, theirs, _| {
        let [ours, theirs] = [ours, theirs].map(|client| {
            run(client);
            let all = ask(client, &["SLOWLOG", "GET", "-1"]);
            let all: Vec<Value> = all.items().expect("entries").to_vec();
            assert_eq!(ask(client, &["SLOWLOG", "GET"]).items().map(<[Value]>::len), Some(10));
            assert_eq!(ask(client, &["SLOWLOG", "GET", "3"]).items().map(<[Value]>::len), Some(3));
            ask(client, &["SLOWLOG", "RESET"]);
            let after = ask(client, &["SLOWLOG", "GET"]);
            (all, after.items().expect("entries").iter().map(logged).collect::<Vec<_>>())
        });
        for (mine, other) in ours.0.iter().zip(&theirs.0) {
            assert_eq!(logged(mine), logged(other));
            // That many arguments it had, as Redis 8.10 tells.
            let kept = mine.items().and_then(|parts| parts[3].items()).expect("arguments");
            let left_out = kept.last().expect("a name").text();
            let left_out = left_out.strip_prefix("... (").and_then(|text| text.strip_suffix(" more arguments)"));
            let count = left_out.map_or(kept.len(), |more| kept.len() - 1 + more.parse::<usize>().expect("a number"));
            assert_eq!(mine.items().and_then(|parts| parts[6].integer()), Some(count as i64), "{mine:?}");
        }
        assert_eq!(ours.0.len(), theirs.0.len());
        assert_eq!(ours.1, theirs.1, "ids go on after a reset");
    });
}

/// Sends MONITOR's lines up to that of a last command.
fn shown(server: &Server) -> Vec<String> {
    let (mut watcher, mut client) = (connect(server), connect(server));
    ask(&mut watcher, &["MONITOR"]);
    run(&mut client);
    ask(&mut client, &["ECHO", "the end"]);
    let mut shown = Vec::new();
    while !shown.last().is_some_and(|line: &String| line.ends_with("\"the end\"")) {
        let line = watcher.read_any().expect("the last line is to come").value.text();
        let (time, rest) = line.split_once(' ').expect("a time");
        let (seconds, micros) = time.split_once('.').expect("a fraction");
        assert!(seconds.len() == 10 && micros.len() == 6, "{line}");
        let (origin, command) = rest.split_once("] ").expect("an origin");
        shown.push(format!("{}] {command}", host(origin)));
    }
    shown
}

#[test]
fn monitor_shows_the_lines_of_redis() {
    beside_each_version(|_, _, pair| {
        let [ours, theirs] = [&pair.subject, &pair.oracle].map(shown);
        for (mine, other) in ours.iter().zip(&theirs) {
            assert_eq!(mine, other);
        }
        assert_eq!(ours.len(), theirs.len());
    });
}

/// The lines of a section of INFO in order, without what a time is in.
fn statistics(client: &mut Client, section: &str) -> Vec<String> {
    let text = ask(client, &["INFO", section]).text();
    let mut lines: Vec<String> = text
        .lines()
        .filter(|line| line.contains('='))
        .map(|line| {
            // Redis 8.8 is the first to count slow commands here.
            let parts = line.split(',').filter(|part| !part.starts_with("usec") && !part.starts_with("slowlog_"));
            // Of percentiles only the names.
            let is_percentile = line.starts_with("latency_percentiles");
            let shown = parts.map(|part| if is_percentile { part.rsplit_once('=').expect("a pair").0 } else { part });
            shown.collect::<Vec<_>>().join(",")
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn statistics_by_command_and_error_are_those_of_redis() {
    beside_each_version(|ours, theirs, _| {
        for client in [&mut *ours, &mut *theirs] {
            run(client);
        }
        for section in ["commandstats", "errorstats", "latencystats"] {
            let [ours, theirs] = [&mut *ours, &mut *theirs].map(|client| statistics(client, section));
            assert_eq!(ours, theirs, "{section}");
        }
        for client in [&mut *ours, &mut *theirs] {
            ask(client, &["CONFIG", "RESETSTAT"]);
        }
        for section in ["commandstats", "errorstats", "latencystats"] {
            let [ours, theirs] = [&mut *ours, &mut *theirs].map(|client| statistics(client, section));
            assert_eq!(ours, theirs, "{section} after CONFIG RESETSTAT");
        }
    });
}

#[test]
fn key_sizes_are_those_of_redis() {
    beside_each_version(|ours, theirs, _| {
        let [ours, theirs] = [ours, theirs].map(|client| {
            for (i, bytes) in [0, 1, 2, 3, 4, 7, 8, 511, 512, 1023, 1024, 1_048_575, 1_048_576].into_iter().enumerate()
            {
                ask(client, &["SET", &format!("s{i}"), &"x".repeat(bytes)]);
            }
            for line in [
                "SET i 12345",
                "APPEND a hello",
                "SETBIT b 100 1",
                "PFADD h a",
                "RPUSH l a b c",
                "SADD s a b c d",
                "SADD ints 1 2 3 4 5",
                "ZADD z 1 a",
                "HSET hash a 1 b 2",
                "XADD st * a 1",
                "SET gone x PX 1",
                "SELECT 3",
                "RPUSH l a",
                "DEL s0",
                "SELECT 0",
                "SPOP s 2",
                "DEL s1",
            ] {
                ask(client, &line.split(' ').collect::<Vec<_>>());
            }
            let elements: Vec<String> = (0..300).map(|i| i.to_string()).collect();
            ask(client, &["RPUSH", "long"].into_iter().chain(elements.iter().map(String::as_str)).collect::<Vec<_>>());
            while ask(client, &["EXISTS", "gone"]).integer() == Some(1) {}
            ask(client, &["INFO", "keysizes"]).text()
        });
        assert_eq!(ours, theirs);
    });
}

/// A histogram: how many calls, and that its octaves grow, end as Redis's do, and add up.
fn calls(histogram: &Value) -> i64 {
    let calls = histogram.field("calls").and_then(Value::integer).expect("calls");
    let octaves = histogram.field("histogram_usec").expect("a histogram");
    let octaves: Vec<(i64, i64)> = match octaves {
        Value::Map(pairs) => {
            pairs.iter().map(|(us, count)| (us.integer().unwrap(), count.integer().unwrap())).collect()
        }
        other => other
            .items()
            .expect("octaves")
            .chunks(2)
            .map(|at| (at[0].integer().unwrap(), at[1].integer().unwrap()))
            .collect(),
    };
    assert!(octaves.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1), "{octaves:?}");
    // The ends of octaves from 1,024 ns on, to the end of a step, of which an octave has 128: 1, 2, 4, 8, 16, 33, 66 and so on.
    let ends: Vec<i64> = (0..26).map(|octave| ((1024_i64 << octave) * 129 / 128 - 1) / 1000).collect();
    assert!(octaves.iter().all(|(us, _)| ends.contains(us)), "{octaves:?} of {ends:?}");
    assert_eq!(octaves.last().map(|(_, count)| *count), Some(calls));
    calls
}

#[test]
fn histograms_have_the_calls_of_redis() {
    beside_each_version(|ours, theirs, _| {
        for protocol in ["2", "3"] {
            let [ours, theirs] = [&mut *ours, &mut *theirs].map(|client| {
                ask(client, &["CONFIG", "RESETSTAT"]);
                run(client);
                ask(client, &["HELLO", protocol]);
                let reply = ask(client, &["LATENCY", "HISTOGRAM"]);
                let pairs: Vec<(String, Value)> = match reply {
                    Value::Map(pairs) => pairs.into_iter().map(|(name, of)| (name.text(), of)).collect(),
                    other => other.items().unwrap().chunks(2).map(|at| (at[0].text(), at[1].clone())).collect(),
                };
                let mut all: Vec<_> = pairs.iter().map(|(name, of)| (name.clone(), calls(of))).collect();
                all.sort();
                let some = ask(client, &["LATENCY", "HISTOGRAM", "set", "nosuch", "config"]);
                (all, matches!(some, Value::Map(_)))
            });
            assert_eq!(ours, theirs);
        }
    });
}

/// Digits differ with the times.
fn without_digits(value: &Value) -> String {
    format!("{value:?}")
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect::<String>()
        .replace("00", "0")
        .replace("00", "0")
}

#[test]
fn latency_events_are_told_as_redis_tells_them() {
    beside_each_version(|ours, theirs, _| {
        for protocol in ["2", "3"] {
            for client in [&mut *ours, &mut *theirs] {
                ask(client, &["HELLO", protocol]);
                ask(client, &["DEBUG", "SLEEP", "0.02"]);
            }
            for line in [
                ["LATENCY", "LATEST"].as_slice(),
                &["LATENCY", "HISTORY", "command"],
                &["LATENCY", "GRAPH", "command"],
                &["LATENCY", "GRAPH", "fork"],
                &["LATENCY", "RESET", "nosuch"],
                &["LATENCY", "RESET", "nosuch", "command"],
                &["LATENCY", "RESET"],
                &["LATENCY", "LATEST"],
                &["LATENCY", "HISTORY", "command"],
            ] {
                let [ours, theirs] = [&mut *ours, &mut *theirs].map(|client| without_digits(&ask(client, line)));
                assert_eq!(ours, theirs, "{line:?}");
            }
        }
    });
}

#[test]
fn the_command_log_has_the_entries_of_valkey() {
    let args = &["--commandlog-request-larger-than", "200", "--commandlog-reply-larger-than", "200"];
    let Some(valkey) = Pair::start_named("ALEADB_VALKEY_9", &[ARGS, args].concat()) else { return };
    let subject = Pair::start_subject(&[ARGS, args].concat());
    let [ours, theirs] = [&subject, &valkey].map(|server| {
        let mut client = connect(server);
        ask(&mut client, &["COMMANDLOG", "RESET", "slow"]);
        for bytes in [1, 150, 170, 171, 172, 173, 190, 200, 1000] {
            ask(&mut client, &["SET", "k", &"x".repeat(bytes)]);
            ask(&mut client, &["GET", "k"]);
        }
        for script in ["return redis.call('GET', 'k')", &format!("return '{}'", "x".repeat(300)), "return 1"] {
            ask(&mut client, &["EVAL", script, "0"]);
        }
        let mut told = Vec::new();
        for kind in ["slow", "large-request", "LARGE-reply"] {
            let log = ask(&mut client, &["COMMANDLOG", "GET", "-1", kind]);
            let entries = log.items().expect("entries");
            // What was logged before the test is not the same on both.
            let first = entries.last().map_or(0, |entry| logged(entry).0);
            for entry in entries {
                let (id, args, address, name) = logged(entry);
                let id = id - first;
                // Valkey tells whose script has called a command; here nobody is named, as in the slow log of Redis.
                let address = if address.is_empty() { "127.0.0.1".to_owned() } else { address };
                // How long the texts of logs are depends on the times in them.
                let is_exact = kind != "slow" && !format!("{args:?}").contains("COMMANDLOG");
                let parts = entry.items().expect("an entry is an array");
                told.push((
                    kind,
                    Some((parts.len(), parts[2].integer().filter(|_| is_exact))),
                    (id, args, address, name),
                ));
            }
        }
        for line in [
            "LEN slow",
            "LEN large-request",
            "GET 0 slow",
            "GET -2 slow",
            "GET x slow",
            "GET 1 nosuch",
            "GET 1",
            "RESET nosuch",
            "RESET large-reply",
            "LEN large-reply",
            "NOSUCH",
        ] {
            let words: Vec<&str> = std::iter::once("COMMANDLOG").chain(line.split(' ')).collect();
            told.push((line, None, (0, ask(&mut client, &words), String::new(), String::new())));
        }
        told
    });
    for (mine, other) in ours.iter().zip(&theirs) {
        assert_eq!(mine, other);
    }
    assert_eq!(ours.len(), theirs.len());
}
