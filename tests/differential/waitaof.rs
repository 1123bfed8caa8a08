//! WAITAOF beside a Redis: without a log, with one, when it goes while somebody waits, in transactions, and what it refuses.

use std::time::Duration;

use crate::logs;
use crate::pair::{Pair, ask};
use crate::resp::{Client, encode};
use crate::server::{Server, wait_until};

/// A step of the story, which both servers are told.
enum Step {
    /// The first client sends a line and gets a reply.
    Line(&'static str),
    /// It sends a line that waits.
    Waits(&'static str),
    /// What it waits for comes.
    Reply,
    /// Another client sends a line.
    Other(&'static str),
    /// All that was written is on the disk.
    Settle,
}

use Step::{Line, Other, Reply, Settle, Waits};

const STORY: &[Step] = &[
    // Without a log.
    Line("WAITAOF 0 0 0"),
    Line("WAITAOF 1 0 0"),
    Line("WAITAOF 1 1 5"),
    Line("WAITAOF 0 1 5"),
    Line("WAITAOF 2 0 0"),
    Line("WAITAOF -1 0 0"),
    Line("WAITAOF x 0 0"),
    Line("WAITAOF 0 -1 0"),
    Line("WAITAOF 0 x 0"),
    Line("WAITAOF 0 0 -1"),
    Line("WAITAOF 0 0 x"),
    Line("WAITAOF 0 0 9223372036854775807"),
    Line("WAITAOF 0 0"),
    Line("WAITAOF 0 0 0 0"),
    Line("MULTI"),
    Line("SET k 1"),
    Line("WAITAOF 1 0 0"),
    Line("WAITAOF 0 1 0"),
    Line("WAITAOF 2 0 0"),
    Line("EXEC"),
    // With one.
    Other("CONFIG SET appendonly yes"),
    Settle,
    Line("WAITAOF 1 0 0"),
    Line("SET k 1"),
    Line("WAITAOF 1 0 0"),
    Line("WAITAOF 1 0 0"),
    Line("WAITAOF 0 0 0"),
    Line("WAITAOF 2 0 0"),
    Line("WAITAOF 1 -1 0"),
    Line("WAITAOF 1 1 20"),
    Line("WAITAOF 0 1 20"),
    Line("WAITAOF 1 5 1"),
    Line("GET k"),
    Line("WAITAOF 1 0 1"),
    Line("MULTI"),
    Line("SET k 2"),
    Line("WAITAOF 1 0 0"),
    Line("WAITAOF 1 1 0"),
    Line("WAITAOF 0 1 0"),
    Line("EXEC"),
    Line("WAITAOF 1 0 0"),
    // Somebody ends the wait.
    Waits("WAITAOF 1 1 0"),
    Other("CLIENT UNBLOCK <id>"),
    Reply,
    Waits("WAITAOF 1 1 0"),
    Other("CLIENT UNBLOCK <id> ERROR"),
    Reply,
    // The log goes meanwhile.
    Waits("WAITAOF 1 1 0"),
    Other("CONFIG SET appendonly no"),
    Reply,
    Line("WAITAOF 1 0 0"),
    Line("WAITAOF 0 0 0"),
    // Without the disk's part nobody minds.
    Other("CONFIG SET appendonly yes"),
    Settle,
    Waits("WAITAOF 0 1 0"),
    Other("CONFIG SET appendonly no"),
    Other("CLIENT UNBLOCK <id>"),
    Reply,
    // Under `always` all is there at once.
    Other("CONFIG SET appendonly yes appendfsync always"),
    Settle,
    Line("SET k 3"),
    Line("WAITAOF 1 0 0"),
    Line("MULTI"),
    Line("SET k 4"),
    Line("WAITAOF 1 0 0"),
    Line("EXEC"),
    // A client that waits may go.
    Waits("WAITAOF 1 1 0"),
];

/// What a server answers to the story.
fn told(server: &Server, protocol: &str) -> Vec<String> {
    let mut client = server.connect().expect("just started");
    client.set_timeout(Duration::from_secs(20)).expect("a socket");
    let mut other = server.connect().expect("just started");
    ask(&mut client, &["HELLO", protocol]);
    let id = ask(&mut client, &["CLIENT", "ID"]).integer().expect("a number").to_string();
    let words = |line: &str| -> Vec<String> { line.split(' ').map(|word| word.replace("<id>", &id)).collect() };
    let mut replies = Vec::new();
    for step in STORY {
        match step {
            Line(line) => replies.push(format!("{line} => {}", call(&mut client, &words(line)))),
            Waits(line) => {
                client.send_raw(&encode(&words(line))).expect("still running");
                let waits = || ask(&mut other, &["INFO", "clients"]).text().contains("blocked_clients:1\r\n");
                assert!(wait_until(Duration::from_secs(20), waits), "{line} does not wait");
            }
            Reply => {
                let reply = client.read_reply().expect("still running");
                replies.push(format!("then => {}", reply.raw.escape_ascii()));
            }
            Other(line) => replies.push(format!("another: {line} => {}", call(&mut other, &words(line)))),
            Settle => {
                logs::wait_for_rewrite(&mut other);
                let is_settled = || {
                    ask(&mut client, &["WAITAOF", "1", "0", "100"])
                        .items()
                        .is_some_and(|counts| counts.first().and_then(crate::resp::Value::integer) == Some(1))
                };
                assert!(wait_until(Duration::from_secs(20), is_settled), "it does not come to the disk");
            }
        }
    }
    replies
}

fn call(client: &mut Client, words: &[String]) -> String {
    client.call(words).expect("still running").raw.escape_ascii().to_string()
}

#[test]
fn waitaof_answers_as_in_redis_8_2_in_every_situation() {
    for protocol in ["2", "3"] {
        let Some(pair) = Pair::start_with((8, 2, 0), &["--appendonly", "no", "--appendfsync", "everysec"]) else {
            return;
        };
        let [ours, theirs] = [&pair.subject, &pair.oracle].map(|server| told(server, protocol));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours, theirs);
        }
        assert_eq!(ours.len(), theirs.len());
    }
}
