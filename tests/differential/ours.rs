//! Our server in memory, with clients by their letters, and as a reader of what a server propagated.

use crate::generate::Line;
use crate::memory::{Memory, START_MS};
use crate::propagation::{FIRST, Outcome, Recorder, Sent};
use crate::resp::{Value, decode_all};
use crate::stream::quoted;
use aleadb::base::clock::Clock;
use aleadb::config::Config;
use aleadb::server::Seeds;
use aleadb::server::eviction::Gauge;
use aleadb::store::db::Db;
use std::collections::BTreeMap;

/// The client that runs what was propagated.
const READER: char = 'R';

/// How long a client of lines that say how long they wait may wait.
const WAIT_MS_MAX: u64 = 10_000;

/// What a key counts for where memory is limited.
const KEY_BYTES: usize = 1000;

/// The server and its clients.
pub struct Ours {
    /// The server.
    pub memory: Memory,
    clients: BTreeMap<char, usize>,
    /// The database that the reader is in.
    db: usize,
}

impl Ours {
    /// An empty server whose clock says `now_ms` since 1970, and which tells what it propagates.
    pub fn at_ms(now_ms: i64) -> Ours {
        Ours::with_seeds(now_ms, Seeds { hash: [1; 16], prng: 1 })
    }

    /// The same for one that hashes and draws by lot in its own way.
    pub fn with_seeds(now_ms: i64, seeds: Seeds) -> Ours {
        let mut memory = Memory::with_seeds(Config::default(), seeds);
        memory.server.begin_propagation();
        // The test's own allocator keeps no books. A server without keys takes something, too.
        memory.server.eviction.gauge = Gauge::Counted(|dbs| KEY_BYTES * (1 + dbs.iter().map(Db::len).sum::<usize>()));
        memory.clock.advance_ms((now_ms - START_MS).unsigned_abs());
        Ours { memory, clients: BTreeMap::new(), db: 0 }
    }

    /// Sends a line for a client; the reply, or none if the client waits.
    pub fn send(&mut self, client: char, line: &Line) -> Option<Value> {
        let memory = &mut self.memory;
        memory.client = *self.clients.entry(client).or_insert_with(|| memory.connect());
        let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let reply = memory.raw(&words);
        while memory.evict_once() {}
        decode_all(&reply).expect("whole replies").pop()
    }

    /// The same for a line that does not wait without an end.
    pub fn send_and_wait(&mut self, client: char, line: &Line) -> Value {
        if let Some(reply) = self.send(client, line) {
            return reply;
        }
        for _ in 0..WAIT_MS_MAX {
            self.memory.clock.advance_ms(1);
            if !self.memory.wake().is_empty() {
                return Value::NullArray;
            }
        }
        panic!("{} waits without an end", quoted(line));
    }

    /// Whether a client waits for a key.
    pub fn waits(&mut self, client: char) -> bool {
        let Some(&number) = self.clients.get(&client) else { return false };
        self.memory.client = number;
        self.memory.is_waiting()
    }

    /// What was propagated since the last time.
    pub fn take(&mut self) -> Vec<Sent> {
        let sent = |(db, words)| Sent { db, words };
        let units = self.memory.take_propagated().into_iter();
        units.flat_map(|unit| Sent::unit(unit.into_iter().map(sent).collect())).collect()
    }

    /// Runs what another server propagated; the commands that are refused, with their replies.
    pub fn replay(&mut self, sent: &[Sent]) -> Vec<String> {
        let mut refused = Vec::new();
        for Sent { db, words } in sent {
            if *db != std::mem::replace(&mut self.db, *db) {
                self.send(READER, &vec![b"SELECT".to_vec(), db.to_string().into_bytes()]);
            }
            let reply = self.send(READER, words);
            let has_error =
                |reply: &Value| reply.is_error() || reply.items().is_some_and(|all| all.iter().any(Value::is_error));
            if reply.as_ref().is_none_or(has_error) {
                refused.push(format!("{}: {reply:?}", quoted(words)));
            }
        }
        refused
    }
}

impl Recorder for Ours {
    fn reset(&mut self) {
        *self = Ours::at_ms(self.now_ms());
    }

    fn run(&mut self, client: char, line: &Line) -> Outcome {
        let reply = match client {
            FIRST => Some(self.send_and_wait(client, line)),
            _ => self.send(client, line),
        };
        Outcome { reply, sent: self.take() }
    }

    fn pass_ms(&mut self, ms: u64) -> Vec<Sent> {
        self.memory.clock.advance_ms(ms);
        self.memory.wake();
        self.take()
    }

    fn collect_due(&mut self) -> Vec<Sent> {
        self.memory.advance_ms(0);
        self.take()
    }

    fn now_ms(&self) -> i64 {
        self.memory.clock.now().unix_ms
    }

    fn apart_ms(&self) -> i64 {
        0
    }
}
