//! Our server as the replica of Redis and Valkey: whatever these run, it comes to hold the same.
//!
//! The primary gets generated lines, of all commands that both know; the replica connects in the midst of them, and its link is
//! cut now and then. In the end what both hold has one digest.

use crate::generate::{Generator, Line};
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value, encode};
use crate::rows::full_name;
use crate::server::{Server, wait_until};
use crate::stream::{self, quoted};
use crate::{differences, number, tables, wanted};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// How long anything that has to happen may take, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// Lines of each part of a stream, between which something happens to the link.
const STEPS: u64 = 600;

/// Settings of both: full synchronisations begin at once.
const SETTINGS: &[&str] = &["--enable-debug-command", "yes", "--repl-diskless-sync-delay", "0"];

fn field(client: &mut Client, section: &str, name: &str) -> String {
    let info = ask(client, &["INFO", section]).text();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

fn follow(replica: &mut Client, primary: &Server) {
    let port = primary.addr().port().to_string();
    assert_eq!(ask(replica, &["REPLICAOF", "127.0.0.1", &port]).text(), "OK");
}

/// Waits until the replica has everything that the client of the primary has written.
fn catch_up(primary: &mut Client, replica: &Server) {
    let acknowledged = || ask(primary, &["WAIT", "1", "200"]).integer() >= Some(1);
    let log = || std::fs::read_to_string(replica.dir().join("log")).unwrap_or_default();
    assert!(wait_until(DEADLINE, acknowledged), "the replica does not acknowledge: {}", log());
}

fn digest(client: &mut Client) -> String {
    ask(client, &["DEBUG", "DIGEST"]).text()
}

/// Fields of a hash with their values and deadlines, in order.
fn fields(client: &mut Client, key: &[u8]) -> Vec<(Value, Value, Value)> {
    let all = ask(client, &[b"HGETALL", key]);
    let mut fields = Vec::new();
    for pair in all.items().unwrap_or_default().chunks(2) {
        let name = pair[0].bytes().unwrap_or_default();
        let deadline = ask(client, &[&b"HPEXPIRETIME"[..], key, b"FIELDS", b"1", name]);
        fields.push((pair[0].clone(), pair[1].clone(), deadline));
    }
    fields.sort();
    fields
}

/// Members of a sorted set with the bits of their scores, in order.
fn scores(client: &mut Client, key: &[u8]) -> Vec<(Value, u64)> {
    let all = ask(client, &[&b"ZRANGE"[..], key, b"0", b"-1", b"WITHSCORES"]);
    // Small sorted sets keep no sign of a zero, large ones do, and Redis 7 makes them large elsewhere.
    let score = |text: &Value| (text.text().parse::<f64>().expect("a score") + 0.0).to_bits();
    let pairs = all.items().unwrap_or_default().chunks(2);
    let mut scores: Vec<_> = pairs.map(|pair| (pair[0].clone(), score(&pair[1]))).collect();
    scores.sort();
    scores
}

/// The keys that differ, with what each of the two has. Valkey's digests count deadlines of fields in another way.
fn difference(primary: &mut Client, replica: &mut Client) -> String {
    let mut found = Vec::new();
    for db in 0..16 {
        let number = db.to_string();
        let mut names: Vec<Value> = Vec::new();
        for client in [&mut *primary, &mut *replica] {
            ask(client, &["SELECT", &number]);
            names.extend(ask(client, &["KEYS", "*"]).items().unwrap_or_default().to_vec());
        }
        names.sort();
        names.dedup();
        for name in names {
            let key = name.bytes().unwrap_or_default();
            let [theirs, ours] = [&mut *primary, &mut *replica].map(|client| {
                let all = [&b"DEBUG"[..], b"DIGEST-VALUE", key];
                (ask(client, &all), ask(client, &[b"DUMP", key]), ask(client, &[b"PEXPIRETIME", key]))
            });
            // Versions and checksums come last. Redis 7 writes some scores in other words.
            let payload = |of: &Value| of.bytes().map(|bytes| bytes[..bytes.len() - 10].to_vec());
            let is_zset = ask(replica, &[b"TYPE", key]).text() == "zset";
            let is_hash = ask(replica, &[b"TYPE", key]).text() == "hash";
            let is_same = theirs.0 == ours.0
                || payload(&theirs.1) == payload(&ours.1)
                || (is_zset && scores(primary, key) == scores(replica, key))
                || (is_hash && fields(primary, key) == fields(replica, key));
            if !is_same || theirs.2 != ours.2 {
                found.push(format!("db {db} {name:?}: primary {theirs:?}, replica {ours:?}"));
            }
        }
    }
    found.join("\n")
}

/// Sends lines to a primary, many at a time. Errors are its own affair.
fn send(primary: &mut Client, generator: &mut Generator, steps: u64) {
    // Numbers with a space before them are none since Redis 8.
    let has_spaced_number = |line: &Line| line.iter().any(|word| word.starts_with(b" "));
    let is_faithful =
        |line: &Line| differences::propagates_otherwise(&full_name(line), line).is_none() && !has_spaced_number(line);
    let lines: Vec<_> = (0..steps).map(|_| generator.line()).filter(is_faithful).collect();
    for part in lines.chunks(50) {
        let bytes: Vec<u8> = part.iter().flat_map(|line| encode(line)).collect();
        primary.send_raw(&bytes).expect("the primary lives");
        for line in part {
            primary.read_reply().unwrap_or_else(|error| panic!("{}: {error}", quoted(line)));
        }
    }
    // A transaction that is open goes on in nobody's sight.
    ask(primary, &["DISCARD"]);
}

/// Lines that no two servers run alike, or that concern more than the data: roles, and other servers.
const LEFT_OUT: &[&str] = &[
    "spop",
    "randomkey",
    "flushall",
    "swapdb",
    "failover",
    "replicaof",
    "slaveof",
    "psync",
    "sync",
    "replconf",
    "migrate",
];

fn streams_arrive(name: &str, primary: &Server, seed: u64) {
    let replica = Pair::start_subject(SETTINGS);
    let [ours, theirs] = [&replica, primary].map(tables::known_commands);
    // Redis 7.0 lets XSETID go below entries that were deleted, and later ones do not.
    let is_otherwise = |command: &str| LEFT_OUT.contains(&command) || (name == "Redis 7.0" && command == "xsetid");
    let takes_part = |name: &str| wanted(name) && ours.contains(name) && theirs.contains(name) && !is_otherwise(name);
    let mut generator = Generator::new(seed, differences::is_barred, takes_part);
    let mut sender = primary.connect().expect("the primary answers");
    sender.set_timeout(DEADLINE).expect("a timeout");
    let mut admin = primary.connect().expect("the primary answers");
    let mut reader = replica.connect().expect("the replica answers");
    ask(&mut admin, &["FLUSHALL"]);
    let syncs = |admin: &mut Client| {
        ["sync_full", "sync_partial_ok"].map(|name| field(admin, "stats", name).parse::<u64>().unwrap_or(0))
    };
    let before = syncs(&mut admin);
    stream::set_limits(&mut sender, seed % 2 == 1);
    stream::set_limits(&mut reader, seed % 2 == 1);
    send(&mut sender, &mut generator, STEPS);
    follow(&mut reader, primary);
    for _ in 0..3 {
        send(&mut sender, &mut generator, STEPS);
        // Only a link that has been up goes on where it was.
        catch_up(&mut sender, &replica);
        ask(&mut admin, &["CLIENT", "KILL", "TYPE", "replica"]);
    }
    send(&mut sender, &mut generator, STEPS);
    catch_up(&mut sender, &replica);
    let [theirs, ours] = [&mut admin, &mut reader].map(digest);
    let found = if ours == theirs { String::new() } else { difference(&mut admin, &mut reader) };
    assert!(found.is_empty(), "{name}, seed {seed}: {found}");
    let after = syncs(&mut admin);
    let log = |server: &Server| std::fs::read_to_string(server.dir().join("log")).unwrap_or_default();
    assert_eq!(after[0] - before[0], 1, "{name}: one full synchronisation: {}{}", log(&replica), log(primary));
    assert!(after[1] > before[1], "{name}: the link goes on where it was");
    let refused = ask(&mut reader, &["SET", "k0", "v"]);
    assert_eq!(refused, Value::Error(b"READONLY You can't write against a read only replica.".to_vec()));
}

fn streams_of(name: &str, primary: Option<Server>) {
    let Some(primary) = primary else { return };
    let first = number("ALEADB_DIFF_SEED", 1);
    (first..first + number("ALEADB_DIFF_SEEDS", 3)).for_each(|seed| streams_arrive(name, &primary, seed));
}

#[test]
fn a_replica_of_redis_7_holds_what_it_holds() {
    streams_of("Redis 7.0", Pair::start_named("ALEADB_REDIS_7", SETTINGS));
}

#[test]
fn a_replica_of_redis_8_2_holds_what_it_holds() {
    streams_of("Redis 8.2", Pair::start_named("ALEADB_REDIS_8", SETTINGS));
}

#[test]
fn a_replica_of_redis_8_6_holds_what_it_holds() {
    streams_of("Redis 8.6", Pair::start_named("ALEADB_REDIS_8_6", SETTINGS));
}

#[test]
fn a_replica_of_valkey_9_holds_what_it_holds() {
    streams_of("Valkey 9", Pair::start_named("ALEADB_VALKEY_9", SETTINGS));
}

fn any_primary(args: &[&str]) -> Option<Server> {
    Pair::start_oracle(&[SETTINGS, args].concat())
}

#[test]
fn a_password_is_sent_and_a_wrong_one_is_told_of() {
    let Some(primary) = any_primary(&["--requirepass", "secret"]) else { return };
    let replica = Pair::start_subject(&[SETTINGS, &["--masterauth", "wrong"]].concat());
    let (mut admin, mut reader) = (primary.connect().expect("it answers"), replica.connect().expect("it answers"));
    ask(&mut admin, &["AUTH", "secret"]);
    ask(&mut admin, &["SET", "k", "v"]);
    follow(&mut reader, &primary);
    let log = || std::fs::read_to_string(replica.dir().join("log")).unwrap_or_default();
    assert!(wait_until(DEADLINE, || log().contains("Unable to AUTH to MASTER: -WRONGPASS")), "{}", log());
    assert_eq!(field(&mut reader, "replication", "master_link_status"), "down");
    ask(&mut reader, &["CONFIG", "SET", "masterauth", "secret"]);
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["GET", "k"]).text() == "v"));
    ask(&mut admin, &["ACL", "SETUSER", "replica", "on", ">other", "+psync", "+replconf", "+ping"]);
    ask(&mut reader, &["CONFIG", "SET", "masteruser", "replica", "masterauth", "other"]);
    ask(&mut admin, &["CLIENT", "KILL", "TYPE", "replica"]);
    ask(&mut admin, &["SET", "k", "w"]);
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["GET", "k"]).text() == "w"));
}

#[test]
fn hashes_whose_fields_have_deadlines_come_with_the_data_of_each_that_has_them() {
    for name in ["ALEADB_REDIS_8", "ALEADB_REDIS_8_6", "ALEADB_VALKEY_9"] {
        let Some(primary) = Pair::start_named(name, SETTINGS) else { continue };
        let replica = Pair::start_subject(SETTINGS);
        let (mut admin, mut reader) = (primary.connect().expect("it answers"), replica.connect().expect("it answers"));
        ask(&mut admin, &["HSET", "h", "timed", "1", "plain", "2"]);
        ask(&mut admin, &["HPEXPIREAT", "h", "4000000000000", "FIELDS", "1", "timed"]);
        follow(&mut reader, &primary);
        assert!(wait_until(DEADLINE, || ask(&mut reader, &["HLEN", "h"]).integer() == Some(2)), "{name}");
        assert_eq!(fields(&mut admin, b"h"), fields(&mut reader, b"h"), "{name}");
    }
}

#[test]
fn what_is_due_is_hidden_and_leaves_when_the_primary_says_so() {
    let Some(primary) = any_primary(&[]) else { return };
    let replica = Pair::start_subject(&[SETTINGS, &["--notify-keyspace-events", "KEA"]].concat());
    let (mut admin, mut reader) = (primary.connect().expect("it answers"), replica.connect().expect("it answers"));
    let mut listener = replica.connect().expect("it answers");
    ask(&mut listener, &["PSUBSCRIBE", "__keyevent@0__:*"]);
    ask(&mut admin, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
    follow(&mut reader, &primary);
    ask(&mut admin, &["SET", "k", "v", "PX", "300"]);
    ask(&mut admin, &["RPUSH", "l", "x"]);
    ask(&mut admin, &["PEXPIRE", "l", "300"]);
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["EXISTS", "k", "l"]).integer() == Some(2)));
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["GET", "k"]) == Value::NullBulk));
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["LLEN", "l"]).integer() == Some(0)));
    assert_eq!(ask(&mut reader, &["DBSIZE"]).integer(), Some(2), "they are there as long as the primary has them");
    // To what the primary sends they are there.
    ask(&mut admin, &["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["DBSIZE"]).integer() == Some(0)));
    let mut events = Vec::new();
    while events.last().map(String::as_str) != Some("del") || events.iter().filter(|event| *event == "del").count() < 2
    {
        let message = listener.read_reply().expect("a message").value;
        let channel = message.items().and_then(|items| items.get(2)).map(Value::text).unwrap_or_default();
        events.push(channel.rsplit(':').next().unwrap_or_default().to_owned());
    }
    assert!(!events.contains(&"expired".to_owned()), "{events:?}");
}

/// A primary by hand: it answers the dialogue up to PSYNC, and then whatever it is told to.
struct Impostor {
    listener: TcpListener,
}

impl Impostor {
    fn new() -> Impostor {
        Impostor { listener: TcpListener::bind("127.0.0.1:0").expect("a free port") }
    }

    /// Takes a replica in; what it asked for with PSYNC.
    fn accept(&self, answer: &[u8]) -> (TcpStream, String) {
        let (stream, _) = self.listener.accept().expect("a replica");
        let mut lines = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut writer = stream.try_clone().expect("a second handle");
        loop {
            let words = read_command(&mut lines);
            match words[0].as_str() {
                "PING" => writer.write_all(b"+PONG\r\n").expect("a replica"),
                "PSYNC" => {
                    writer.write_all(answer).expect("a replica");
                    return (stream, words.join(" "));
                }
                _ => writer.write_all(b"+OK\r\n").expect("a replica"),
            }
        }
    }
}

fn read_command(lines: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut line = || {
        let mut text = String::new();
        lines.read_line(&mut text).expect("a line");
        text.trim_end().to_owned()
    };
    let count: usize = line()[1..].parse().expect("a number of words");
    (0..count).map(|_| (line(), line()).1).collect()
}

#[test]
fn what_a_primary_may_send_wrong_is_told_of_and_the_data_is_kept() {
    let impostor = Impostor::new();
    let replica = Pair::start_subject(&["--repl-timeout", "2"]);
    let mut reader = replica.connect().expect("it answers");
    ask(&mut reader, &["SET", "kept", "v"]);
    let port = impostor.listener.local_addr().expect("an address").port().to_string();
    let id = "a".repeat(40);
    let full = |rest: &[u8]| [format!("+FULLRESYNC {id} 10\r\n").as_bytes(), rest].concat();
    let mark = "m".repeat(40);
    let eof = |rest: &[u8]| full(&[format!("$EOF:{mark}\r\n").as_bytes(), rest].concat());
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"+FULLRESYNC x y\r\n".to_vec(), "wrong +FULLRESYNC syntax"),
        (b"-NOMASTERLINK not now\r\n".to_vec(), "currently unable to PSYNC but should be in the future: -NOMASTERLINK"),
        (b"+NONSENSE\r\n".to_vec(), "Unexpected reply to PSYNC from master: +NONSENSE"),
        (full(b"HELLO\r\n"), "the first byte is not '$'"),
        (full(b"$20\r\nREDIS0011 and garbage"), "Failed trying to load the MASTER synchronization DB from socket"),
        (full(b"$12\r\nREDIS9999xyz"), "dump files of version REDIS9999 are not known"),
        (full(b"$12\r\nREDIS0011\xfe\x00\x00"), "the file ends early"),
        (eof(&[b"REDIS0011\xfe\x00\x00", mark.as_bytes()].concat()), "the file ends early"),
        (
            eof(b"REDIS0011\xff\0\0\0\0\0\0\0\0and more behind its end, longer than a mark would be"),
            "there are bytes behind its end",
        ),
    ];
    let log = || std::fs::read_to_string(replica.dir().join("log")).unwrap_or_default();
    for (answer, told) in cases {
        // The next one is tried at once.
        ask(&mut reader, &["REPLICAOF", "NO", "ONE"]);
        ask(&mut reader, &["REPLICAOF", "127.0.0.1", &port]);
        let (stream, _) = impostor.accept(&answer);
        assert!(wait_until(DEADLINE, || log().contains(told)), "{told}: {}", log());
        assert_eq!(ask(&mut reader, &["GET", "kept"]).text(), "v", "{told}");
        drop(stream);
    }
    // One that falls silent in the midst of it is given up.
    ask(&mut reader, &["REPLICAOF", "NO", "ONE"]);
    ask(&mut reader, &["REPLICAOF", "127.0.0.1", &port]);
    let (stream, _) = impostor.accept(&full(b"$1000\r\nREDIS0011"));
    assert!(wait_until(DEADLINE, || log().contains("Timeout receiving bulk data from MASTER")), "{}", log());
    assert_eq!(ask(&mut reader, &["GET", "kept"]).text(), "v");
    drop(stream);
}

#[test]
fn a_stream_that_is_cut_anywhere_goes_on_there_and_what_is_unknown_in_it_is_told_of() {
    let impostor = Impostor::new();
    let replica = Pair::start_subject(&[]);
    let mut reader = replica.connect().expect("it answers");
    let port = impostor.listener.local_addr().expect("an address").port().to_string();
    ask(&mut reader, &["REPLICAOF", "127.0.0.1", &port]);
    let id = "b".repeat(40);
    let empty = b"$18\r\nREDIS0011\xff\0\0\0\0\0\0\0\0";
    let (stream, asked) = impostor.accept(&[format!("+FULLRESYNC {id} 100\r\n").as_bytes(), empty].concat());
    assert_eq!(asked, "PSYNC ? -1");
    let set: Vec<u8> = encode(&["SET", "a", "1"]);
    let unit: Vec<u8> =
        [encode(&["MULTI"]), encode(&["INCR", "a"]), encode(&["INCR", "a"]), encode(&["EXEC"])].concat();
    let bytes = [encode(&["SELECT", "3"]), set.clone(), unit.clone()].concat();
    let whole = 100 + bytes.len() - unit.len();
    let mut writer = stream.try_clone().expect("a second handle");
    // Cut in the midst of the transaction.
    writer.write_all(&bytes[..bytes.len() - 8]).expect("a replica");
    ask(&mut reader, &["SELECT", "3"]);
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["GET", "a"]).text() == "1"));
    stream.shutdown(std::net::Shutdown::Both).expect("a connection");
    let (stream, asked) = impostor.accept(format!("+CONTINUE {}\r\n", "c".repeat(40)).as_bytes());
    assert_eq!(asked, format!("PSYNC {id} {}", whole + 1), "from the beginning of what was not whole");
    let mut writer = stream.try_clone().expect("a second handle");
    writer.write_all(&unit).expect("a replica");
    writer.write_all(&encode(&["NONSENSE", "x"])).expect("a replica");
    writer.write_all(&encode(&["SHUTDOWN", "NOSAVE"])).expect("a replica");
    writer.write_all(&encode(&["SET", "after", "x"])).expect("a replica");
    assert!(wait_until(DEADLINE, || ask(&mut reader, &["GET", "after"]).text() == "x"));
    assert_eq!(ask(&mut reader, &["GET", "a"]).text(), "3", "in the database that was selected");
    let log = std::fs::read_to_string(replica.dir().join("log")).unwrap_or_default();
    assert!(log.contains("after processing the command 'NONSENSE'") && log.contains("'SHUTDOWN'"), "{log}");
    // The new name is kept, and the offset counts on.
    let end = whole
        + unit.len()
        + encode(&["NONSENSE", "x"]).len()
        + encode(&["SHUTDOWN", "NOSAVE"]).len()
        + encode(&["SET", "after", "x"]).len();
    stream.shutdown(std::net::Shutdown::Both).expect("a connection");
    let (mut stream, asked) = impostor.accept(b"+CONTINUE\r\n");
    assert_eq!(asked, format!("PSYNC {} {}", "c".repeat(40), end + 1));
    // What is no command ends the link.
    stream.write_all(b"*1\r\nnonsense\r\n").expect("a replica");
    let mut rest = Vec::new();
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.read_to_end(&mut rest).expect("the replica closes");
    assert_eq!(ask(&mut reader, &["GET", "a"]).text(), "3");
}
