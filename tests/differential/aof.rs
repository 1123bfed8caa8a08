//! Redis with an append-only file, and what it appends to it for every line.
//!
//! Redis writes the file before it answers, so that after a reply everything the line propagated can be read. What the file
//! has and the stream of commands has not, `SELECT`, is taken out: every command comes with its database.

use crate::generate::Line;
use crate::pair::ask;
use crate::propagation::{FIRST, Outcome, Recorder, Sent};
use crate::resp::{Client, decode_all, encode};
use crate::server::{Server, wait_until};
use crate::stream::quoted;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Everything is appended as commands, nothing is rewritten meanwhile, and nobody waits for the disk.
pub const SETTINGS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "no",
    "--aof-use-rdb-preamble",
    "no",
    "--auto-aof-rewrite-percentage",
    "0",
    "--enable-debug-command",
    "yes",
];

/// How long anything may take on a busy machine.
const LONG: Duration = Duration::from_secs(20);

/// How long a client is listened to before the server is asked whether it waits.
const LISTEN_MS: u64 = 5;

/// How far the clock of a line may be from the clock read after it.
const APART_MS: i64 = 10_000;

/// A key in a database that no line uses, which shows how far the cycle that collects due keys has come.
const WITNESS: (&str, &str) = ("15", "witness");

/// Settings that lines change, and what they are at first.
const DEFAULTS: &[(&str, &str)] = &[
    ("lazyfree-lazy-expire", "no"),
    ("lazyfree-lazy-user-del", "no"),
    ("lazyfree-lazy-server-del", "no"),
    ("lazyfree-lazy-user-flush", "no"),
    ("lazyfree-lazy-eviction", "no"),
    ("stream-node-max-entries", "100"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
];

/// The file that grows, read from where it was left off.
struct AppendOnlyFile {
    dir: PathBuf,
    read_bytes: u64,
    db: usize,
}

impl AppendOnlyFile {
    /// What was appended since the last time.
    fn take(&mut self) -> Vec<Sent> {
        let mut bytes = Vec::new();
        let read = File::open(self.path()).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read_bytes))?;
            file.read_to_end(&mut bytes)
        });
        self.read_bytes += read.expect("readable") as u64;
        let mut sent = Vec::new();
        for command in decode_all(&bytes).expect("whole commands") {
            let words = command.items().expect("a command");
            let words: Line = words.iter().map(|word| word.bytes().expect("a word").to_vec()).collect();
            if words[0].eq_ignore_ascii_case(b"SELECT") {
                self.db = String::from_utf8_lossy(&words[1]).parse().expect("a number");
            } else if words == [b"MULTI"] || words == [b"EXEC"] {
                sent.push(Sent { db: 0, words });
            } else {
                sent.push(Sent { db: self.db, words });
            }
        }
        sent
    }

    /// The file of increments; there is one as long as nothing is rewritten.
    fn path(&self) -> PathBuf {
        let files = fs::read_dir(&self.dir).expect("made when the server started");
        let mut paths = files.map(|file| file.expect("readable").path());
        paths.find(|path| path.to_string_lossy().ends_with(".incr.aof")).expect("a file of increments")
    }
}

/// A client and how many replies it has been left without.
struct Actor {
    client: Client,
    owed: usize,
}

/// The server, its file and its clients by their letters.
pub struct Logged {
    server: Server,
    admin: Client,
    actors: BTreeMap<char, Actor>,
    file: AppendOnlyFile,
}

impl Logged {
    /// Takes over a server that was started with [`SETTINGS`].
    pub fn new(server: Server) -> Logged {
        let admin = server.connect().expect("just started");
        let file = AppendOnlyFile { dir: server.dir().join("appendonlydir"), read_bytes: 0, db: 0 };
        let mut logged = Logged { server, admin, actors: BTreeMap::new(), file };
        logged.reset();
        logged
    }

    /// How many clients wait for a key.
    fn waiting_count(&mut self) -> u64 {
        let info = ask(&mut self.admin, &["INFO", "clients"]).text();
        let count = info.lines().find_map(|line| line.strip_prefix("blocked_clients:"));
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("INFO answered {info}"))
    }
}

impl Recorder for Logged {
    fn reset(&mut self) {
        self.actors.clear();
        assert!(wait_until(LONG, || self.waiting_count() == 0), "clients that left still wait");
        for (name, value) in DEFAULTS {
            ask(&mut self.admin, &["CONFIG", "SET", name, value]);
        }
        ask(&mut self.admin, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        ask(&mut self.admin, &["FLUSHALL"]);
        self.file.take();
    }

    fn run(&mut self, client: char, line: &Line) -> Outcome {
        let waiting_before = if client == FIRST { u64::MAX } else { self.waiting_count() };
        let server = &self.server;
        let actor = self.actors.entry(client).or_insert_with(|| {
            let mut client = server.connect().expect("still running");
            client.set_timeout(Duration::from_millis(LISTEN_MS)).expect("a socket");
            Actor { client, owed: 0 }
        });
        actor.client.send_raw(&encode(line)).expect("still running");
        let deadline = Instant::now() + LONG;
        let reply = loop {
            let actor = self.actors.get_mut(&client).expect("added above");
            match actor.client.read_reply() {
                Ok(_) if actor.owed > 0 => actor.owed -= 1,
                Ok(reply) => break Some(reply.value),
                Err(error) if !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("{}: {error}", quoted(line))
                }
                Err(_) if self.waiting_count() > waiting_before => {
                    self.actors.get_mut(&client).expect("added above").owed += 1;
                    break None;
                }
                Err(_) => assert!(Instant::now() < deadline, "no reply to {}", quoted(line)),
            }
        };
        Outcome { reply, sent: self.file.take() }
    }

    fn pass_ms(&mut self, ms: u64) -> Vec<Sent> {
        let until = Instant::now() + Duration::from_millis(ms);
        wait_until(LONG, || Instant::now() >= until);
        self.file.take()
    }

    fn collect_due(&mut self) -> Vec<Sent> {
        let (db, key) = WITNESS;
        let mut witness = self.server.connect().expect("still running");
        ask(&mut witness, &["SELECT", db]);
        ask(&mut self.admin, &["DEBUG", "SET-ACTIVE-EXPIRE", "1"]);
        // A cycle that ran out of time goes on with the next database, so that all have had their turn between two witnesses.
        for _ in 0..2 {
            ask(&mut witness, &["SET", key, "v", "PX", "1"]);
            let gone = || ask(&mut witness, &["DBSIZE"]).integer() == Some(0);
            assert!(wait_until(LONG, gone), "due keys are not collected");
        }
        ask(&mut self.admin, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        let mut sent = self.file.take();
        sent.retain(|sent| sent.words.get(1).is_none_or(|word| word != key.as_bytes()));
        sent
    }

    fn now_ms(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn apart_ms(&self) -> i64 {
        APART_MS
    }
}
