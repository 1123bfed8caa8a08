//! The memory limit of a whole process, by the allocator's own books.

use super::process::{DEADLINE, Dir, Process};
use super::resp::{Client, Value, encode};
use super::server::wait_until;

const MIB: usize = 1 << 20;
const OOM: &str = "OOM command not allowed when used memory > 'maxmemory'.";

fn field(client: &mut Client, section: &str, name: &str) -> u64 {
    let info = client.call(&["INFO", section]).expect("a reply").value.text();
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:"))).expect("the field is there");
    line.trim().parse().expect("a number")
}

fn used(client: &mut Client) -> usize {
    field(client, "memory", "used_memory") as usize
}

/// The reply's text, be it a string, an error or a number.
fn ask(client: &mut Client, line: &[&str]) -> String {
    match client.call(line).expect("a reply").value {
        Value::Error(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::Integer(number) => number.to_string(),
        value => value.text(),
    }
}

/// Sets so many keys of a kilobyte in pipelines. How many were refused.
fn fill(client: &mut Client, prefix: &str, keys: usize) -> usize {
    let (text, mut refused) = ("v".repeat(1000), 0);
    for at in (0..keys).step_by(200) {
        let lines: Vec<u8> = (at..at + 200).flat_map(|i| encode(&["SET", &format!("{prefix}:{i}"), &text])).collect();
        client.send_raw(&lines).expect("the server reads");
        for _ in 0..200 {
            refused += usize::from(client.read_reply().expect("a reply").value.text() != "OK");
        }
    }
    refused
}

#[test]
fn memory_stays_at_the_limit_while_twice_as_much_is_written() {
    let process = Process::serving(&["--maxmemory", "40mb", "--maxmemory-policy", "allkeys-lru", "--save", ""]);
    let mut client = process.connect();
    assert_eq!(fill(&mut client, "k", 80_000), 0, "room is made for every write");
    let (used, evicted) = (used(&mut client), field(&mut client, "stats", "evicted_keys"));
    assert!((36 * MIB..=41 * MIB).contains(&used), "{used} bytes in use");
    assert!(evicted > 30_000, "{evicted}");
    // The latest are there.
    assert_eq!(ask(&mut client, &["EXISTS", "k:79999", "k:79000", "k:75000"]), "3");
}

#[test]
fn a_value_larger_than_the_limit_is_refused_and_the_server_goes_on() {
    for policy in ["noeviction", "allkeys-lru"] {
        let process = Process::serving(&["--maxmemory", "16mb", "--maxmemory-policy", policy, "--save", ""]);
        let mut client = process.connect();
        let huge = "x".repeat(64 * MIB);
        assert_eq!(ask(&mut client, &["SET", "huge", &huge]), OOM, "{policy}");
        // What it was read into is free again, if not at once.
        let mut other = process.connect();
        assert!(wait_until(DEADLINE, || ask(&mut other, &["SET", "small", "v"]) == "OK"), "{policy}");
        assert_eq!(ask(&mut client, &["GET", "small"]), "v");
    }
}

#[test]
fn values_that_wait_to_be_freed_count_as_gone() {
    const LIMIT: usize = 150 * MIB;
    let process = Process::serving(&["--maxmemory", "150mb", "--maxmemory-policy", "volatile-ttl", "--save", ""]);
    let mut client = process.connect();
    for at in 0..10 {
        let key = format!("big:{at}");
        for from in (0..100_000).step_by(1_000) {
            let members: Vec<String> = (from..from + 1_000).map(|i| format!("{at}:{i}:{}", "x".repeat(40))).collect();
            let line: Vec<&str> = ["SADD", &*key].into_iter().chain(members.iter().map(String::as_str)).collect();
            assert_eq!(ask(&mut client, &line), "1000");
        }
        ask(&mut client, &["EXPIRE", &key, &(10_000 - 500 * at).to_string()]);
    }
    let set_bytes = used(&mut client) / 10;
    // More than there is room for beside the sets, and none of these may go.
    assert_eq!(fill(&mut client, "k", 100_000), 0);
    let gone = field(&mut client, "stats", "evicted_keys") as usize;
    assert!(gone > 0 && gone < 10, "{gone} sets had to go");
    assert!(wait_until(DEADLINE, || used(&mut client) <= LIMIT + MIB), "what went is freed");
    let used = used(&mut client);
    assert!(
        used + set_bytes + 2 * MIB >= LIMIT,
        "{used} bytes in use: fewer of the sets, {set_bytes} bytes each, would have done"
    );
    // The first to fall due went first.
    let present: Vec<String> = (0..10).map(|at| ask(&mut client, &["EXISTS", &format!("big:{at}")])).collect();
    assert!(present.iter().take(10 - gone).all(|there| there == "1"), "{present:?}");
}

#[test]
fn a_dump_file_beyond_the_limit_is_loaded_and_keys_go_on_the_way() {
    let mut process = Process::serving(&["--save", ""]);
    let mut client = process.connect();
    fill(&mut client, "k", 40_000);
    assert_eq!(ask(&mut client, &["SAVE"]), "OK");
    process.signal("TERM");
    assert!(wait_until(DEADLINE, || process.has_ended()));
    let dir = Dir::new();
    std::fs::copy(process.dir.join("dump.rdb"), dir.join("dump.rdb")).expect("it was saved");
    let args = ["--maxmemory", "20mb", "--maxmemory-policy", "allkeys-lru", "--save", ""];
    let process = Process::serving_in(dir, &args, &[]);
    let mut client = process.connect();
    let mut keys = 0;
    assert!(wait_until(DEADLINE, || {
        keys = ask(&mut client, &["DBSIZE"]).parse::<u64>().unwrap_or(0);
        keys > 0
    }));
    assert!(keys < 20_000 && used(&mut client) <= 21 * MIB, "{keys} keys");
    assert_eq!(field(&mut client, "stats", "evicted_keys") + keys, 40_000);
    assert_eq!(ask(&mut client, &["SET", "new", "v"]), "OK");
}

#[test]
fn flushed_keys_count_as_gone_before_they_are_freed() {
    let process = Process::serving(&["--maxmemory", "60mb", "--maxmemory-policy", "allkeys-lru", "--save", ""]);
    let mut client = process.connect();
    fill(&mut client, "k", 60_000);
    let before = field(&mut client, "stats", "evicted_keys");
    assert_eq!(ask(&mut client, &["FLUSHALL"]), "OK");
    fill(&mut client, "n", 20_000);
    assert_eq!(ask(&mut client, &["DBSIZE"]), "20000");
    assert_eq!(field(&mut client, "stats", "evicted_keys"), before);
}
