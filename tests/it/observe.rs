//! SLOWLOG, COMMANDLOG, LATENCY and MONITOR: replies, errors and what is shown are those of a running Redis 8.2.3, those of COMMANDLOG
//! of Valkey 9.1.2. Time stands still, and commands take as long as a test says.

use crate::memory::{Memory, START_MS};

const OK: &str = r"+OK\r\n";
const BAD_COUNT: &str = r"-ERR count should be greater than or equal to -1\r\n";

/// A server whose clock has moved a second, so that commands can have begun before.
fn server() -> Memory {
    let mut m = Memory::new();
    m.advance_ms(60_000);
    m
}

/// A bulk string as replies have it.
fn bulk(text: &str) -> String {
    format!(r"${}\r\n{text}\r\n", text.len())
}

/// An entry of SLOWLOG GET.
fn entry(id: u64, us: u64, args: &[&str], peer: &str, name: &str) -> String {
    let unix_s = START_MS / 1000 + 60;
    let words: String = args.iter().map(|arg| bulk(arg)).collect();
    let (peer, name, count) = (bulk(peer), bulk(name), args.len());
    format!(r"*7\r\n:{id}\r\n:{unix_s}\r\n:{us}\r\n*{count}\r\n{words}{peer}{name}:{count}\r\n")
}

#[test]
fn slow_commands_are_logged_from_the_threshold_on_the_newest_first() {
    let mut m = server();
    m.took_ns = 9_999_999;
    m.expect(&[("SET k v", OK), ("SLOWLOG LEN", r":0\r\n"), ("SLOWLOG GET", r"*0\r\n"), ("CLIENT SETNAME me", OK)]);
    m.took_ns = 10_000_000;
    m.expect(&[
        ("SET k \"a b\"", OK),
        ("LPUSH k x", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    ]);
    m.took_ns = 0;
    let peer = "127.0.0.1:40001";
    let newest = entry(1, 10_000, &["LPUSH", "k", "x"], peer, "me");
    let both = format!(r"*2\r\n{newest}{}", entry(0, 10_000, &["SET", "k", "a b"], peer, "me"));
    m.expect(&[
        ("SLOWLOG GET", &both),
        ("slowlog get -1", &both),
        ("SLOWLOG GET 1", &format!(r"*1\r\n{newest}")),
        ("SLOWLOG GET 0", r"*0\r\n"),
        ("SLOWLOG LEN", r":2\r\n"),
        ("SLOWLOG RESET", OK),
        ("SLOWLOG LEN", r":0\r\n"),
        ("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 2", OK),
        ("PING", r"+PONG\r\n"),
        ("SLOWLOG LEN", r":2\r\n"),
        ("CONFIG SET slowlog-log-slower-than -1", OK),
        ("PING", r"+PONG\r\n"),
        ("SLOWLOG GET 1", &format!(r"*1\r\n{}", entry(4, 0, &["SLOWLOG", "LEN"], peer, "me"))),
    ]);
}

#[test]
fn slowlog_refuses_what_redis_refuses() {
    server().expect(&[
        ("SLOWLOG GET -2", BAD_COUNT),
        ("SLOWLOG GET abc", BAD_COUNT),
        ("SLOWLOG get 1 2", r"-ERR unknown subcommand or wrong number of arguments for \'get\'. Try SLOWLOG HELP.\r\n"),
        ("SLOWLOG foo", r"-ERR unknown subcommand \'foo\'. Try SLOWLOG HELP.\r\n"),
        ("SLOWLOG LEN x", r"-ERR wrong number of arguments for \'slowlog|len\' command\r\n"),
        ("COMMANDLOG GET 1 foo", r"-ERR type should be one of the following: slow, large-request, large-reply\r\n"),
        ("COMMANDLOG GET x slow", BAD_COUNT),
        ("COMMANDLOG LEN", r"-ERR wrong number of arguments for \'commandlog|len\' command\r\n"),
        ("MONITOR x", r"-ERR wrong number of arguments for \'monitor\' command\r\n"),
    ]);
}

/// Where a running Redis 8.6.2 writes `(redacted)`; it also does for users that ACL commands name.
#[test]
fn secrets_are_not_logged() {
    let mut m = server();
    m.run("CONFIG SET slowlog-log-slower-than 0");
    for (line, shown) in [
        ("AUTH a b", "AUTH # #"),
        ("AUTH a", "AUTH #"),
        ("HELLO 2 AUTH default x SETNAME me", "HELLO 2 AUTH # # SETNAME me"),
        ("HELLO 9 auth default x", "HELLO 9 auth # #"),
        ("HELLO 3 SETNAME auth AUTH a b", "HELLO 3 SETNAME auth AUTH # #"),
        ("HELLO 3 SETNAME auth", "HELLO 3 SETNAME auth"),
        ("ACL SETUSER bob on >pw ~* +@all", "ACL SETUSER # # # # #"),
        ("ACL GETUSER bob", "ACL GETUSER #"),
        ("ACL DRYRUN bob GET x", "ACL DRYRUN bob GET x"),
        ("ACL DELUSER bob carl", "ACL DELUSER # #"),
        ("CONFIG SET hz 10 RequirePass s", "CONFIG SET hz 10 RequirePass #"),
        ("CONFIG SET masteruser u hz 10 masterauth s", "CONFIG SET masteruser # hz 10 masterauth #"),
    ] {
        m.run(line);
        let words = shown.split(' ').map(|word| bulk(if word == "#" { "(redacted)" } else { word }));
        let words = format!("*{}\\r\\n{}", shown.split(' ').count(), words.collect::<String>());
        let logged = m.run("SLOWLOG GET 1");
        assert!(logged.contains(&words), "{line}: {logged}");
    }
}

#[test]
fn long_commands_are_logged_in_part_with_their_true_length() {
    let mut m = server();
    m.run("CONFIG SET slowlog-log-slower-than 0 slowlog-entry-max-argc 3 slowlog-entry-max-string-len 4");
    m.run("MSET a 12345 b 2");
    let logged = m.run("SLOWLOG GET 1");
    let words = format!("{}{}{}", bulk("MSET"), bulk("a"), bulk("... (3 more arguments)"));
    assert!(logged.contains(&words) && logged.ends_with(r":5\r\n"), "{logged}");
    m.run("ECHO 12345");
    assert!(m.run("SLOWLOG GET 1").contains(&bulk("1234... (1 more bytes)")));
}

/// As in Redis: the commands of a transaction one by one, EXEC not, and a command that waited once.
#[test]
fn transactions_are_logged_by_command_and_waits_once() {
    let mut m = server();
    m.run("CONFIG SET slowlog-log-slower-than 0");
    m.run("SLOWLOG RESET");
    ["MULTI", "SET a 1", "INCR a", "EXEC"].iter().for_each(|line| _ = m.run(line));
    let other = m.connect();
    m.run("BLPOP l 0");
    m.client = 0;
    m.run("RPUSH l x");
    m.client = other;
    m.run("CONFIG SET slowlog-log-slower-than -1");
    let logged = m.run("SLOWLOG GET -1");
    let order: Vec<&str> = ["BLPOP", "RPUSH", "INCR", "SET", "MULTI"].to_vec();
    let places: Vec<usize> = order.iter().map(|name| logged.find(&bulk(name)).expect(name)).collect();
    assert!(places.is_sorted() && !logged.contains(&bulk("EXEC")), "{logged}");
    assert_eq!(logged.matches(&bulk("BLPOP")).count(), 1);
}

#[test]
fn large_requests_and_replies_have_logs_of_their_own() {
    let mut m = server();
    m.expect(&[
        ("CONFIG SET commandlog-request-larger-than 43 commandlog-reply-larger-than 22", OK),
        ("COMMANDLOG RESET large-request", OK),
        ("SET k 0123456789012345", OK),
        ("GET k", &bulk("0123456789012345")),
        ("SET k 012345678901234", OK),
        ("CONFIG SET commandlog-request-larger-than -1 commandlog-large-reply-max-len 0", OK),
    ]);
    let amount = |m: &mut Memory, line: &str| {
        m.run(line).split(r"\r\n:").nth(3).map(|rest| rest.split('\\').next().unwrap().to_owned())
    };
    let requests = m.run("COMMANDLOG GET -1 large-request");
    // The size of what redis-cli sends, as Valkey logs it.
    assert!(requests.contains(&format!(r":43\r\n*3\r\n{}{}", bulk("SET"), bulk("k"))), "{requests}");
    assert_eq!(amount(&mut m, "COMMANDLOG GET 1 LARGE-reply").as_deref(), Some("23"));
    m.expect(&[
        ("COMMANDLOG LEN large-reply", r":1\r\n"),
        ("COMMANDLOG LEN slow", r":0\r\n"),
        ("COMMANDLOG RESET large-reply", OK),
        ("COMMANDLOG LEN large-reply", r":0\r\n"),
    ]);
}

#[test]
fn events_are_noted_from_the_threshold_on_and_forgotten_by_name() {
    let mut m = server();
    let unix_s = START_MS / 1000 + 60;
    m.took_ns = 20_000_000;
    m.expect(&[("SORT nosuch", r"*0\r\n"), ("LATENCY LATEST", r"*0\r\n")]);
    m.expect(&[("CONFIG SET latency-monitor-threshold 20", OK)]);
    m.run("SORT nosuch");
    m.took_ns = 25_000_000;
    m.run("SORT nosuch");
    m.run("GET k");
    m.took_ns = 19_000_000;
    m.run("GET k");
    let command = format!(r"*4\r\n$7\r\ncommand\r\n:{unix_s}\r\n:25\r\n:25\r\n");
    let fast = format!(r"*4\r\n$12\r\nfast-command\r\n:{unix_s}\r\n:25\r\n:25\r\n");
    m.expect(&[
        ("LATENCY LATEST", &format!(r"*2\r\n{command}{fast}")),
        ("LATENCY HISTORY command", &format!(r"*1\r\n*2\r\n:{unix_s}\r\n:25\r\n")),
        ("LATENCY HISTORY Command", r"*0\r\n"),
        ("LATENCY GRAPH nosuch", r"-ERR No samples available for event \'nosuch\'\r\n"),
        ("LATENCY RESET nosuch command", r":1\r\n"),
        ("LATENCY LATEST", &format!(r"*1\r\n{fast}")),
    ]);
    assert!(m.run("LATENCY GRAPH fast-command").contains("fast-command - high 25 ms, low 25 ms (all time high 25 ms)"));
    assert!(m.run("LATENCY DOCTOR").contains("1. fast-command: 1 seconds with such an event (mean 25 ms"));
    m.expect(&[("LATENCY RESET", r":1\r\n"), ("LATENCY RESET", r":0\r\n"), ("LATENCY LATEST", r"*0\r\n")]);
    m.run("CONFIG SET latency-monitor-threshold 0");
    assert!(m.run("LATENCY DOCTOR").contains("CONFIG SET latency-monitor-threshold"));
}

#[test]
fn histograms_count_every_command_and_stop_when_switched_off() {
    let mut m = server();
    m.took_ns = 66_000;
    m.expect(&[("SET k v", OK), ("SET k v", OK)]);
    m.took_ns = 3_000;
    m.expect(&[
        ("CLIENT ID", r":1\r\n"),
        (
            "LATENCY HISTOGRAM set nosuch",
            r"*2\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:2\r\n$14\r\nhistogram_usec\r\n*2\r\n:66\r\n:2\r\n",
        ),
        (
            "LATENCY HISTOGRAM client",
            r"*2\r\n$9\r\nclient|id\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:4\r\n:1\r\n",
        ),
        (
            "LATENCY HISTOGRAM client|id",
            r"*2\r\n$9\r\nclient|id\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n:4\r\n:1\r\n",
        ),
        ("LATENCY HISTOGRAM nosuch", r"*0\r\n"),
        ("CONFIG SET latency-tracking no", OK),
        ("CLIENT ID", r":1\r\n"),
    ]);
    assert!(m.run("INFO latencystats").ends_with(r"# Latencystats\r\n\r\n"), "Redis shows nothing while it is off");
    m.run("CONFIG SET latency-tracking yes latency-tracking-info-percentiles \"0 50 99.99\"");
    let stats = m.run("INFO latencystats");
    assert!(stats.contains(r"latency_percentiles_usec_client|id:p0=2.992,p50=3.007,p99.99=3.007\r\n"), "{stats}");
    assert!(stats.contains(r"latency_percentiles_usec_set:p0=65.536,p50=66.047,p99.99=66.047\r\n"), "{stats}");
    m.expect(&[("CONFIG RESETSTAT", OK), ("LATENCY HISTOGRAM set", r"*0\r\n"), ("HELLO 3", &m_hello())]);
    m.expect(&[("LATENCY HISTOGRAM set", r"%0\r\n")]);
}

fn m_hello() -> String {
    let mut m = server();
    m.run("HELLO 3")
}

/// What MONITOR showed to a client since the last time, without the times.
fn shown(m: &mut Memory, client: usize) -> Vec<String> {
    let sent = m.take_sent(client);
    let lines = sent.split(r"\r\n").filter(|line| !line.is_empty());
    lines
        .map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest).replace("\\\\", "\\").replace("\\\"", "\""))
        .collect()
}

#[test]
fn monitor_shows_what_has_run_as_redis_does() {
    let mut m = server();
    let watcher = m.connect();
    m.expect(&[("MONITOR", OK)]);
    // Who sees everything already is not answered.
    assert_eq!(m.run("MONITOR"), "");
    m.client = 0;
    for line in [
        "set k \"a\\n\\x01\"",
        "GET",
        "GET k",
        "LPUSH k x",
        "MULTI",
        "SET a 1",
        "INCR b",
        "EXEC",
        "AUTH x",
        "CONFIG GET port",
        "SELECT 3",
        "PING",
        "NOSUCH",
        "SLOWLOG GET",
    ] {
        m.run(line);
    }
    let expected = [
        (0, r#""set" "k" "a\n\x01""#),
        (0, r#""GET" "k""#),
        (0, r#""LPUSH" "k" "x""#),
        (0, r#""MULTI""#),
        (0, r#""SET" "a" "1""#),
        (0, r#""INCR" "b""#),
        (0, r#""EXEC""#),
        (0, r#""AUTH" "(redacted)""#),
        (3, r#""SELECT" "3""#),
        (3, r#""PING""#),
    ];
    let expected: Vec<String> = expected.iter().map(|(db, words)| format!("[{db} 127.0.0.1:40001] {words}")).collect();
    assert_eq!(shown(&mut m, watcher), expected);
}

/// A command that waits is shown when it begins to, and not again.
#[test]
fn monitor_shows_a_command_that_waits_once() {
    let mut m = server();
    let watcher = m.connect();
    m.run("MONITOR");
    let waiting = m.connect();
    m.run("BLPOP l 0");
    assert_eq!(shown(&mut m, watcher), [r#"[0 127.0.0.1:40003] "BLPOP" "l" "0""#]);
    m.client = 0;
    m.run("RPUSH l x");
    assert_eq!(shown(&mut m, watcher), [r#"[0 127.0.0.1:40001] "RPUSH" "l" "x""#]);
    assert!(m.take_sent(waiting).contains(r"$1\r\nx\r\n"));
}

#[test]
fn monitor_is_not_for_transactions_and_its_clients_do_not_touch_keys() {
    let mut m = server();
    m.expect(&[
        ("MULTI", OK),
        ("MONITOR", r"+QUEUED\r\n"),
        ("EXEC", r"*1\r\n-ERR MONITOR isn\'t allowed for DENY BLOCKING client\r\n"),
        ("MONITOR", OK),
        ("GET k", r"-ERR Replica can\'t interact with the keyspace\r\n"),
    ]);
    // What it sends is shown to itself behind the reply.
    let reply = m.run("PING");
    assert!(
        reply.starts_with(r"+PONG\r\n+1700000060.") && reply.ends_with(r#" [0 127.0.0.1:40001] \"PING\"\r\n"#),
        "{reply}"
    );
    assert!(m.run("CLIENT INFO").contains(" flags=O "));
    m.expect(&[("RESET", r"+RESET\r\n"), ("PING", r"+PONG\r\n"), ("GET k", r"$-1\r\n")]);
    assert!(!m.server.observer.has_monitors());
}

#[test]
fn a_monitor_that_goes_leaves_nothing_behind() {
    let mut m = server();
    let watcher = m.connect();
    m.run("MONITOR");
    m.leave(watcher);
    m.client = 0;
    m.run("PING");
    assert!(!m.server.observer.has_monitors() && m.server.outbox.is_empty());
}

/// What waits for it is bounded by its own limit, whatever that of ordinary clients is.
#[test]
fn a_monitor_that_does_not_read_is_disconnected_by_its_limit() {
    let mut m = server();
    m.run("CONFIG SET monitor-output-limit 1kb");
    let watcher = m.connect();
    m.run("MONITOR");
    m.client = 0;
    (0..100).for_each(|_| _ = m.run("ECHO 0123456789"));
    assert!(m.server.outbox.text_bytes() < 10 << 10);
    let over = m.server.outbox.take_over_limit();
    assert_eq!(over, [m.id(watcher)]);
    m.run("CONFIG SET monitor-output-limit 32mb");
    assert_eq!(m.server.output_limit_of(m.id(watcher)).hard_bytes, 32 << 20);
}

/// Texts of a running Redis 8.6.2.
#[test]
fn hotkeys_refuses_what_redis_refuses() {
    let mut m = server();
    for (line, reply) in [
        ("HOTKEYS START x", "ERR METRICS parameter is required"),
        ("HOTKEYS START count 5", "ERR METRICS parameter is required"),
        ("HOTKEYS START metrics 0", "ERR METRICS count must be > 0 and <= 2"),
        ("HOTKEYS START metrics x cpu", "ERR METRICS count must be > 0 and <= 2"),
        ("HOTKEYS START metrics 1 foo", "ERR METRICS no valid metrics passed. Supported: CPU|NET"),
        ("HOTKEYS START metrics 2 cpu cpu", "ERR METRICS CPU defined more than once!"),
        ("HOTKEYS START metrics 2 cpu", "ERR METRICS count does not match number of metric types provided"),
        ("HOTKEYS START metrics 1", "ERR METRICS count does not match number of metric types provided"),
        ("HOTKEYS START metrics 2 cpu count 1", "ERR syntax error"),
        ("HOTKEYS START metrics 1 count 1", "ERR METRICS no valid metrics passed. Supported: CPU|NET"),
        ("HOTKEYS START metrics 1 cpu sample 2147483648", "ERR SAMPLE ratio must be positive"),
        ("HOTKEYS START metrics 1 cpu net", "ERR syntax error"),
        ("HOTKEYS START metrics 1 cpu count 65", "ERR COUNT must be between 1 and 64"),
        ("HOTKEYS START metrics 1 cpu count x", "ERR COUNT must be between 1 and 64"),
        ("HOTKEYS START metrics 1 cpu duration 0", "ERR DURATION must be between 1 and 1000000"),
        ("HOTKEYS START metrics 1 cpu sample 0", "ERR SAMPLE ratio must be positive"),
        ("HOTKEYS START metrics 1 cpu slots 1 5", "ERR SLOTS parameter cannot be used in non-cluster mode"),
        ("HOTKEYS START metrics 1 cpu count", "ERR syntax error"),
        ("HOTKEYS START metrics 1 cpu foo 1", "ERR syntax error"),
    ] {
        assert_eq!(m.run(line), format!(r"-{reply}\r\n"), "{line}");
    }
    m.expect(&[
        ("HOTKEYS GET", r"$-1\r\n"),
        ("HOTKEYS STOP", r"$-1\r\n"),
        ("HOTKEYS RESET", OK),
        ("HOTKEYS START metrics 2 foo cpu", OK),
        ("HOTKEYS START metrics 1 cpu", r"-ERR hotkey tracking session already in progress\r\n"),
        ("HOTKEYS RESET", r"-ERR hotkey tracking session in progress, stop tracking first\r\n"),
        ("HOTKEYS STOP", OK),
        ("HOTKEYS STOP", r"$-1\r\n"),
        ("HOTKEYS RESET", OK),
        ("INFO hotkeys", r"$11\r\n# Hotkeys\r\n\r\n"),
    ]);
}

/// The bytes are those that Redis 8.6.2 counts of these commands: 37 of a SET, 41 of a longer one, 60 of MGET in two parts.
#[test]
fn hotkeys_counts_time_and_bytes_by_key() {
    let mut m = server();
    m.run("HOTKEYS START METRICS 2 cpu net COUNT 2");
    m.took_ns = 10_000;
    for line in ["SET a1 12345", "SET a2 12345", "SET a3 12345", "SET a1 123456789", "MGET a1 a2", "PING"] {
        m.run(line);
    }
    m.took_ns = 0;
    m.advance_ms(250);
    let result = m.run("HOTKEYS GET");
    for part in [
        r"*1\r\n*24\r\n$15\r\ntracking-active\r\n:1\r\n$12\r\nsample-ratio\r\n:1\r\n$14\r\nselected-slots\r\n*1\r\n*2\r\n:0\r\n:16383\r\n",
        r"all-commands-all-slots-us\r\n:50\r\n$32\r\nnet-bytes-all-commands-all-slots\r\n:212\r\n",
        r"collection-duration-ms\r\n:250\r\n",
        r"$15\r\ntotal-net-bytes\r\n:212\r\n",
        r"$14\r\nby-cpu-time-us\r\n*4\r\n$2\r\na1\r\n:25\r\n$2\r\na2\r\n:15\r\n",
        r"$12\r\nby-net-bytes\r\n*4\r\n$2\r\na1\r\n:108\r\n$2\r\na2\r\n:67\r\n",
    ] {
        assert!(result.contains(part), "{part} in {result}");
    }
    m.run("HOTKEYS STOP");
    m.advance_ms(1000);
    m.run("SET a1 x");
    let stopped = m.run("HOTKEYS GET");
    assert!(stopped.contains(r"tracking-active\r\n:0\r\n") && stopped.contains(r"collection-duration-ms\r\n:250\r\n"));
    assert!(stopped.contains(r"total-net-bytes\r\n:212\r\n"), "{stopped}");
    // A session ends by itself when its time is over.
    m.run("HOTKEYS START METRICS 1 net DURATION 2");
    m.advance_ms(3000);
    m.run("SET a1 x");
    let over = m.run("HOTKEYS GET");
    assert!(
        over.contains(r"tracking-active\r\n:0\r\n") && over.contains(r"collection-duration-ms\r\n:2000\r\n"),
        "{over}"
    );
    assert!(over.ends_with(r"by-net-bytes\r\n*0\r\n"), "{over}");
}

/// The number behind a name in `INFO commandstats`' line of GET.
fn of_get(m: &mut Memory, name: &str) -> u64 {
    let stats = m.run("INFO commandstats");
    let line = stats.split(r"\r\n").find_map(|line| line.strip_prefix("cmdstat_get:")).expect("GET has run");
    let value = line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).expect("a field");
    value.parse().expect("a number")
}

#[test]
fn commands_that_share_their_time_are_counted_at_its_mean_and_one_that_was_held_up_by_itself() {
    let mut m = server();
    let row = |m: &mut Memory, took_ns: u64| {
        m.took_ns = took_ns;
        (0..3).for_each(|_| assert_eq!(m.run_timed_with_next("GET k"), r"$-1\r\n"));
        m.run("GET k");
        m.took_ns = 0;
    };
    let get = |octaves: &str, calls: u64| {
        let count = octaves.matches(':').count();
        let head = format!(r"*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:{calls}\r\n$14\r\nhistogram_usec\r\n");
        format!(r"{head}*{count}\r\n{octaves}")
    };
    row(&mut m, 4_000);
    m.expect(&[("LATENCY HISTOGRAM get", &get(r":1\r\n:4\r\n", 4))]);
    assert_eq!((of_get(&mut m, "calls"), of_get(&mut m, "usec")), (4, 4));
    // Which one was held up is not known; that one was, is.
    row(&mut m, 20_000_000);
    m.expect(&[("LATENCY HISTOGRAM get", &get(r":1\r\n:7\r\n:33816\r\n:8\r\n", 8)), ("SLOWLOG LEN", r":1\r\n")]);
    assert_eq!((of_get(&mut m, "calls"), of_get(&mut m, "usec")), (8, 20_004));
    assert!(m.run("SLOWLOG GET").contains(r":19997\r\n"));
    // GETs, and what asked about them.
    let info = m.run("CLIENT INFO");
    assert!(info.contains(" tot-cmds=16"), "{info}");
}

#[test]
fn a_row_that_is_interrupted_loses_no_command() {
    let mut m = server();
    m.took_ns = 1_000;
    m.run("GET k");
    (0..2).for_each(|_| _ = m.run_timed_with_next("GET k"));
    m.run("GET");
    m.took_ns = 0;
    assert_eq!((of_get(&mut m, "calls"), of_get(&mut m, "usec"), of_get(&mut m, "rejected_calls")), (3, 3, 1));
    assert!(m.run("LATENCY HISTOGRAM get").contains(r"calls\r\n:3\r\n"));
}

#[test]
fn each_command_has_its_own_time_where_somebody_wants_it() {
    for line in [
        "CONFIG SET slowlog-log-slower-than 999",
        "MONITOR",
        "HOTKEYS START METRICS 1 CPU",
        "CONFIG SET commandlog-reply-larger-than 4",
    ] {
        let mut m = server();
        m.connect();
        m.run(line);
        m.client = 0;
        m.took_ns = 1_000_000;
        m.run_timed_with_next("PING");
        m.took_ns = 0;
        m.run("PING");
        assert!(
            m.run("LATENCY HISTOGRAM ping").contains(r"histogram_usec\r\n*4\r\n:1\r\n:1\r\n:1056\r\n:2\r\n"),
            "{line}"
        );
    }
}

/// A script is shown before the commands that it runs, which are the interpreter's.
#[test]
fn monitor_shows_a_script_before_its_commands() {
    let mut m = server();
    let watcher = m.connect();
    m.run("MONITOR");
    m.client = 0;
    m.run("SELECT 2");
    m.run("EVAL \"redis.call('SET', 'k', 'v') return redis.call('GET', 'k')\" 0");
    m.run("MULTI");
    m.run("EVAL \"return redis.call('PING')\" 0");
    m.run("EXEC");
    let script = r#"[2 127.0.0.1:40001] "EVAL" "redis.call('SET', 'k', 'v') return redis.call('GET', 'k')" "0""#;
    let queued = r#"[2 127.0.0.1:40001] "EVAL" "return redis.call('PING')" "0""#;
    let shown: Vec<String> = shown(&mut m, watcher).iter().map(|line| line.replace("\\'", "'")).collect();
    assert_eq!(
        shown[1..],
        [
            script,
            r#"[2 lua] "SET" "k" "v""#,
            r#"[2 lua] "GET" "k""#,
            r#"[2 127.0.0.1:40001] "MULTI""#,
            queued,
            r#"[2 lua] "PING""#,
            r#"[2 127.0.0.1:40001] "EXEC""#,
        ]
    );
}

/// The fields and their two decimals are Redis 8.8's, whose lines of commands have them from the first slow one on.
#[test]
fn info_counts_slow_commands_until_statistics_are_reset() {
    let mut m = server();
    m.run("CONFIG SET slowlog-log-slower-than 10000");
    for us in [9_999, 12_340, 50_000, 1] {
        m.took_ns = us * 1000;
        m.run("SORT nosuch");
    }
    m.took_ns = 0;
    m.run("GET k");
    let totals = |m: &mut Memory| {
        let stats = m.run("INFO stats");
        let names = ["count", "time_ms_sum", "time_ms_max"].map(|name| format!("slowlog_commands_{name}:"));
        names.map(|name| stats.split(&name).nth(1).expect(&name).split('\\').next().unwrap().to_owned())
    };
    assert_eq!(totals(&mut m), ["2", "62.34", "50.00"]);
    m.run("SLOWLOG RESET");
    assert_eq!(totals(&mut m), ["2", "62.34", "50.00"], "what the log forgets stays counted");
    let commands = m.run("INFO commandstats");
    let slow = r"failed_calls=0,slowlog_count=2,slowlog_time_ms_sum=62.34,slowlog_time_ms_max=50.00\r\n";
    assert!(commands.contains(slow), "{commands}");
    assert_eq!(commands.matches("slowlog_count").count(), 1, "{commands}");
    m.run("CONFIG RESETSTAT");
    assert_eq!(totals(&mut m), ["0", "0.00", "0.00"]);
    assert!(!m.run("INFO commandstats").contains("slowlog_count"));
}

/// Few of a script's quick commands are timed, and the others are counted as taking the same.
#[test]
fn all_commands_of_scripts_are_in_the_histograms() {
    for slow_log in ["10000", "0"] {
        let mut m = server();
        m.run(&format!("CONFIG SET slowlog-log-slower-than {slow_log}"));
        m.run("EVAL \"for i = 1, 40 do redis.call('GET', 'k') redis.call('KEYS', '*') end\" 0");
        for command in ["get", "keys"] {
            let histogram = m.run(&format!("LATENCY HISTOGRAM {command}"));
            assert!(histogram.contains(r"calls\r\n:40\r\n"), "{histogram}");
        }
        assert!(m.run("INFO commandstats").contains("cmdstat_get:calls=40,"));
        assert_eq!(m.run("SLOWLOG LEN") == r":0\r\n", slow_log != "0");
        m.run("EVAL \"redis.call('GET', 'k')\" 0");
        assert!(m.run("LATENCY HISTOGRAM get").contains(r"calls\r\n:41\r\n"));
        m.run("CONFIG RESETSTAT");
        assert_eq!(m.run("LATENCY HISTOGRAM get"), r"*0\r\n");
    }
}
