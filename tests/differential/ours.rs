//! Our server in memory, with clients by their letters, and as a reader of what a server propagated.

use crate::generate::Line;
use crate::memory::{Memory, START_MS};
use crate::propagation::Sent;
use crate::resp::{Value, decode_all};
use crate::stream::quoted;
use std::collections::BTreeMap;

/// The client that runs what was propagated.
const READER: char = 'R';

/// How long a client of lines that say how long they wait may wait.
const WAIT_MS_MAX: u64 = 10_000;

/// The server and its clients.
pub struct Ours {
    /// The server.
    pub memory: Memory,
    clients: BTreeMap<char, usize>,
    /// The database that the reader is in.
    db: usize,
}

impl Ours {
    /// An empty server whose clock says `now_ms` since 1970.
    pub fn at_ms(now_ms: i64) -> Ours {
        let memory = Memory::new();
        memory.clock.advance_ms((now_ms - START_MS).unsigned_abs());
        Ours { memory, clients: BTreeMap::new(), db: 0 }
    }

    /// Sends a line for a client; the reply, or none if the client waits.
    pub fn send(&mut self, client: char, line: &Line) -> Option<Value> {
        let memory = &mut self.memory;
        memory.client = *self.clients.entry(client).or_insert_with(|| memory.connect());
        let words: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
        let reply = memory.raw(&words);
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

    /// Runs what another server propagated; the commands that are refused, with their replies.
    pub fn replay(&mut self, sent: &[Sent]) -> Vec<String> {
        let mut refused = Vec::new();
        for Sent { db, words } in sent {
            if *db != std::mem::replace(&mut self.db, *db) {
                self.send(READER, &vec![b"SELECT".to_vec(), db.to_string().into_bytes()]);
            }
            match self.send(READER, words) {
                Some(reply) if !reply.is_error() => {}
                reply => refused.push(format!("{}: {reply:?}", quoted(words))),
            }
        }
        refused
    }
}
