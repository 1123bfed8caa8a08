//! Snapshots by the real program: the file that BGSAVE writes is read by Redis, and what the end saves is there at the next start.

use std::path::Path;

use super::process::{DEADLINE, Process, has_program, skip};
use super::resp::Client;
use super::server::{Server, wait_until};

/// Lines that make a value of each type, small and large.
fn fill(client: &mut Client) {
    let mut call = |line: &[&str]| {
        let reply = client.call(line).expect("it answers");
        assert!(!reply.raw.starts_with(b"-"), "{line:?}: {}", reply.raw.escape_ascii());
    };
    let long = "long text ".repeat(10_000);
    call(&["MSET", "number", "12345", "text", "some text", "long", &long]);
    call(&["SET", "timed", "x", "PXAT", "4102444800000"]);
    for n in 0..3000 {
        let (element, number) = (format!("element:{n}"), n.to_string());
        call(&["RPUSH", "list", &element]);
        call(&["SADD", "set", &element]);
        call(&["SADD", "numbers", &number]);
        call(&["ZADD", "zset", &number, &element]);
        call(&["HSET", "hash", &element, &number]);
        call(&["XADD", "stream", &format!("{}-1", n + 1), "field", &element]);
    }
    call(&["RPUSH", "list:small", "a", "b"]);
    call(&["SADD", "set:small", "a", "1"]);
    call(&["ZADD", "zset:small", "1.5", "a"]);
    call(&["HSET", "hash:small", "a", "b"]);
    call(&["XGROUP", "CREATE", "stream", "group", "0"]);
    call(&["XREADGROUP", "GROUP", "group", "one", "COUNT", "2000", "STREAMS", "stream", ">"]);
    call(&["SELECT", "3"]);
    call(&["SET", "elsewhere", "1"]);
    call(&["SELECT", "0"]);
}

/// Questions that tell everything of it, with replies that do not depend on the order of a table.
const QUESTIONS: &[&str] = &[
    "DBSIZE",
    "MGET number text long timed",
    "PEXPIRETIME timed",
    "LRANGE list 0 -1",
    "LRANGE list:small 0 -1",
    "SORT set ALPHA",
    "SORT numbers",
    "SORT set:small ALPHA",
    "ZRANGE zset 0 -1 WITHSCORES",
    "ZRANGE zset:small 0 -1 WITHSCORES",
    "HLEN hash",
    "HMGET hash element:0 element:1 element:777 element:2999",
    "HGETALL hash:small",
    "XRANGE stream - +",
    "XPENDING stream group",
    "XINFO GROUPS stream",
];

fn answers(client: &mut Client) -> Vec<Vec<u8>> {
    let ask = |line: &&str| {
        let words: Vec<&str> = line.split(' ').collect();
        client.call(&words).expect("it answers").raw
    };
    let mut all: Vec<Vec<u8>> = QUESTIONS.iter().map(ask).collect();
    for line in [["SELECT", "3"], ["GET", "elsewhere"], ["SELECT", "0"]] {
        all.push(client.call(&line).expect("it answers").raw);
    }
    all
}

fn info(client: &mut Client, field: &str) -> String {
    let text = client.call(&["INFO", "persistence"]).expect("it answers").value.text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

#[test]
fn redis_reads_the_file_that_bgsave_writes_while_others_write() {
    if !has_program("redis-server") {
        return skip("redis_reads_the_file_that_bgsave_writes", "there is no redis-server");
    }
    // The Redis that is installed may be one of 7.0.
    let process = Process::serving(&["--dir", "{dir}", "--save", "", "--rdb-format-version", "10"]);
    let mut client = process.connect();
    fill(&mut client);
    let before = answers(&mut client);
    assert_eq!(client.call(&["BGSAVE"]).expect("it answers").raw, b"+Background saving started\r\n");
    for key in ["list", "set", "zset", "hash", "stream", "long", "number", "timed", "elsewhere"] {
        client.call(&["DEL", key]).expect("it answers");
    }
    assert!(wait_until(DEADLINE, || info(&mut client, "rdb_bgsave_in_progress") == "0"));
    assert_eq!(info(&mut client, "rdb_last_bgsave_status"), "ok", "{}", process.log());
    let dir = process.dir.0.display().to_string();
    let redis =
        Server::start(Path::new("redis-server"), &["--dir", &dir, "--dbfilename", "dump.rdb"]).expect("it starts");
    let after = answers(&mut redis.connect().expect("it listens"));
    for (question, (ours, theirs)) in QUESTIONS.iter().zip(before.iter().zip(&after)) {
        assert!(ours == theirs, "{question}: {}, {}", ours.escape_ascii(), theirs.escape_ascii());
    }
    assert_eq!(before, after);
}

#[test]
fn what_the_end_saves_is_there_at_the_next_start() {
    let mut process = Process::serving(&["--dir", "{dir}", "--save", "3600 1"]);
    let mut client = process.connect();
    fill(&mut client);
    let before = answers(&mut client);
    process.signal("TERM");
    assert_eq!(process.exit_status(), Some(0));
    assert!(process.log().contains("Saving the final RDB snapshot before exiting."), "{}", process.log());
    let dir = process.dir.0.display().to_string();
    let again = Process::serving(&["--dir", &dir, "--save", ""]);
    assert_eq!(answers(&mut again.connect()), before);
}

#[test]
fn a_signal_does_not_end_a_server_that_cannot_save_and_a_forced_one_does() {
    let process = Process::serving(&["--dir", "{dir}", "--save", "3600 1"]);
    let mut process = process;
    process.connect().call(&["SET", "a", "1"]).expect("it answers");
    // The name is taken by a directory that is not empty.
    std::fs::create_dir_all(process.dir.join("dump.rdb/taken")).expect("the directory is writable");
    process.signal("TERM");
    assert!(wait_until(DEADLINE, || process.log().contains("can't exit")), "{}", process.log());
    let mut client = process.connect();
    assert_eq!(client.call(&["GET", "a"]).expect("it goes on").raw, b"$1\r\n1\r\n");
    client.call(&["CONFIG", "SET", "shutdown-on-sigterm", "force"]).expect("it answers");
    process.signal("TERM");
    assert_eq!(process.exit_status(), Some(0));
}

#[test]
fn a_pipeline_that_a_snapshot_holds_back_goes_on_in_order() {
    let process = Process::serving(&["--dir", "{dir}", "--save", ""]);
    let mut client = process.connect();
    let line = |n: usize| -> Vec<String> {
        let elements = (0..1000).map(|m| format!("element:{n}:{m}"));
        ["SADD".to_owned(), "set".to_owned()].into_iter().chain(elements).collect()
    };
    for n in 0..200 {
        assert_eq!(client.call(&line(n)).expect("it answers").raw, b":1000\r\n");
    }
    let lines = "BGSAVE\r\nDEL set\r\nSET set text\r\nMULTI\r\nAPPEND set more\r\nEXEC\r\nGET set\r\n";
    client.send_raw(lines.as_bytes()).expect("the server listens");
    let replies: Vec<Vec<u8>> = (0..7).map(|_| client.read_reply().expect("it answers").raw).collect();
    let expected: [&[u8]; 7] = [
        b"+Background saving started\r\n",
        b":1\r\n",
        b"+OK\r\n",
        b"+OK\r\n",
        b"+QUEUED\r\n",
        b"*1\r\n:8\r\n",
        b"$8\r\ntextmore\r\n",
    ];
    assert_eq!(replies, expected);
    assert!(wait_until(DEADLINE, || info(&mut client, "rdb_bgsave_in_progress") == "0"));
    let dir = process.dir.0.display().to_string();
    let again = Process::serving(&["--dir", &dir, "--save", ""]);
    let count = again.connect().call(&["SCARD", "set"]).expect("it answers").raw;
    assert_eq!(count, b":200000\r\n");
}
