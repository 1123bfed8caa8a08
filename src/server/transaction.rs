//! The transactions of clients: what MULTI has queued, and what spoils it.
//!
//! A transaction is a part of its client's session. Who watches which key is `feature::transaction`'s; running the queue is
//! the engine's.

use super::Server;
use super::ctx::Next;
use crate::base::clock::Now;
use crate::base::heap::{self, size_class};
use crate::command::Command;
use crate::command::spec::Flags;
use crate::feature::client_id::ClientId;
use crate::resp::args::{Args, OwnedArgs};

/// A command that waits for EXEC.
#[derive(Debug)]
pub struct Queued {
    /// The command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: OwnedArgs,
}

/// What is left to be run of a queue whose run was interrupted.
#[derive(Debug)]
pub struct Rest {
    /// The commands that have not run.
    pub queue: std::vec::IntoIter<Queued>,
    /// The one that was interrupted: its script is running.
    pub current: Option<Queued>,
    /// What is to happen when all have run.
    pub next: Next,
    /// `Stats::dirty` when the first began.
    pub changes_before: u64,
}

/// What came after MULTI.
#[derive(Debug, Default)]
pub struct Transaction {
    /// The commands, in order; taken out while EXEC runs them.
    pub queue: Vec<Queued>,
    /// How many there are, or were before EXEC took them.
    pub count: usize,
    /// The flags of all of them together.
    pub flags: Flags,
    /// Bytes of their arguments, and of the lists of where each lies.
    pub arg_bytes: usize,
    /// Words of all of them.
    pub words: usize,
    /// They cannot be run one by one in several turns: of some it does not show which keys they use, and in which database.
    pub is_indivisible: bool,
    /// A command was refused, so EXEC will refuse all of them.
    pub broken: bool,
}

impl Transaction {
    /// Bytes the queue takes. They count towards `client-query-buffer-limit`, together with the input that has not been
    /// parsed: neither has run.
    // COMPAT: Redis counts the arguments alone, so that a queue of many short commands may grow to many times the limit.
    pub fn heap_bytes(&self) -> usize {
        size_class(size_of::<Transaction>()) + heap::vec(&self.queue) + self.arg_bytes
    }
}

impl Server {
    /// Queues a command, by whose flags the transaction is judged. When EXEC is bound to fail nothing is kept, as nothing will be run.
    pub fn queue(&mut self, client: ClientId, command: &'static Command, flags: Flags, args: Args<'_>) {
        let session = &mut self.clients[client];
        let Some(transaction) = session.transaction.as_mut() else { return };
        if transaction.broken || session.watch_broken {
            return;
        }
        let args = OwnedArgs::copy(args);
        transaction.arg_bytes += args.heap_bytes();
        transaction.words += args.as_args().len();
        transaction.queue.push(Queued { command, args });
        transaction.count += 1;
        transaction.flags = transaction.flags.with(flags);
    }

    /// Ends a client's transaction, if there is one, and its watches.
    pub fn discard_transaction(&mut self, client: ClientId) {
        self.clients[client].transaction = None;
        self.unwatch(client);
    }

    /// Watches a key of the client's database.
    pub fn watch(&mut self, client: ClientId, key: &[u8], now: Now) {
        let db = self.clients[client].db;
        let existed = self.is_live(db, key, now);
        self.pay_for_gone(1);
        let member = self.clients.member_of(client);
        self.watchers.watches.watch(member, db, key, existed);
        self.note_wanted_events();
    }

    /// Ends the watches of a client, and forgets what has become of them.
    pub fn unwatch(&mut self, client: ClientId) {
        if let Some(member) = self.clients.known_member(client) {
            self.watchers.watches.forget(member);
        }
        self.note_wanted_events();
        self.clients[client].watch_broken = false;
    }

    /// True if a watched key has changed or expired since.
    // COMPAT: a key that had expired before it was watched may go, in whichever way, and nothing has changed.
    pub fn has_broken_watch(&self, client: ClientId, now: Now) -> bool {
        let watched =
            || self.clients.known_member(client).into_iter().flat_map(|member| self.watchers.watches.of(member));
        let expired = || watched().any(|key| key.existed && !self.is_live(key.db, key.name, now));
        self.clients[client].watch_broken || expired()
    }

    /// Spoils the transactions of those who watch a key.
    pub(super) fn break_watches(&mut self, db: usize, key: &[u8]) {
        for member in self.watchers.watches.watchers(db, key).to_vec() {
            if let Some(client) = self.clients.members.client(member as usize) {
                self.watchers.watches.forget(member as usize);
                self.clients[client].watch_broken = true;
            }
        }
    }

    /// The watched keys of a database that are there.
    pub(super) fn live_watched(&self, db: usize, now: Now) -> Vec<std::sync::Arc<[u8]>> {
        if self.watchers.watches.is_empty() {
            return Vec::new();
        }
        self.watchers.watches.names_in(db).filter(|name| self.is_live(db, name, now)).cloned().collect()
    }

    fn is_live(&self, db: usize, key: &[u8], now: Now) -> bool {
        let entry = self.dbs[db].peek(key);
        entry.is_some_and(|entry| entry.deadline_ms().is_none_or(|deadline_ms| deadline_ms > now.unix_ms))
    }
}
