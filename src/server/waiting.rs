//! Clients that wait for keys: how a handler asks for it, what is kept of its command, and which change ends the wait.
//!
//! The queues are `feature::blocking`'s. A change of a key only notes it as ready here; the engine serves the clients once
//! the command that made the change is over, by running their commands again.

use super::Server;
use super::persistence::backup::Awaited;
use super::persistence::snapshot::CANNOT_STOP;
use super::session::Blocked;
use crate::base::clock::Now;
use crate::command::Command;
use crate::feature::blocking::{KeyId, WaitFor};
use crate::feature::client_id::ClientId;
use crate::resp::args::OwnedArgs;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::store::entry::Entry;

/// What WAITAOF is answered that asks for this server's disk, where there is no log.
pub const NO_LOG: ReplyError =
    ReplyError::new("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");

/// What a client that has waited in vain is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullReply {
    /// The absence of a value.
    Null,
    /// The absence of an array.
    NullArray,
    /// The number of replicas that have the stream up to an offset.
    Replicas {
        /// The offset.
        offset: u64,
    },
    /// The same, on their disks, after the number of servers that have on disk what the client wrote: this one, or none. An error
    /// if this one was to have it, and keeps no log any more.
    ServersAndReplicas {
        /// It was.
        local: bool,
        /// The offset.
        offset: u64,
    },
    /// What became of a backup, or of its files.
    Backup(Awaited),
    /// The server does not end.
    NoEnd,
}

impl NullReply {
    /// Writes what a client is answered.
    pub fn write(self, server: &Server, client: ClientId, reply: &mut Reply<'_>) {
        match self {
            NullReply::Null => reply.null(),
            NullReply::NullArray => reply.null_array(),
            NullReply::Replicas { offset } => reply.integer(server.replicas_with(offset, false) as i64),
            NullReply::ServersAndReplicas { local: true, .. } if !server.persistence.log.is_on() => {
                reply.error(&NO_LOG)
            }
            NullReply::ServersAndReplicas { offset, .. } => {
                reply.array(2);
                reply.integer(i64::from(server.persistence.log.is_on() && server.is_durable(client)));
                reply.integer(server.replicas_with(offset, true) as i64);
            }
            NullReply::Backup(awaited) => match server.persistence.backup.outcome_of(awaited) {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(&error),
            },
            NullReply::NoEnd => reply.error(&CANNOT_STOP),
        }
    }
}

/// What a handler says when its command cannot be answered yet.
#[derive(Debug)]
pub struct Wait {
    /// Keys of the selected database; one that changes to the awaited type, or is added to, ends the wait. Without any, only
    /// the time ends it.
    pub keys: Vec<Box<[u8]>>,
    /// The type awaited.
    pub on: WaitFor,
    /// Milliseconds until the wait ends in any case; 0 to wait for ever. A command that is run again keeps its first end.
    pub timeout_ms: u64,
    /// What is answered then.
    pub on_timeout: NullReply,
    /// The command line to run again, name included, if it is another than the one given. Kept from then on.
    pub args: Option<OwnedArgs>,
    /// The wait also ends when a key goes away or changes to another type.
    pub until_deleted: bool,
    /// The monotonic millisecond at which the command is run again though no key has changed.
    pub look_ms: Option<u64>,
}

/// What is kept of a command whose client waits for keys.
#[derive(Debug)]
pub struct Waiting {
    /// The command.
    pub command: &'static Command,
    /// Its arguments.
    pub args: OwnedArgs,
    /// Monotonic millisecond at which the wait ends, `u64::MAX` for never.
    pub until_ms: u64,
    /// The monotonic millisecond at which the command is run again though no key has changed.
    pub look_ms: Option<u64>,
    /// What is answered then.
    pub on_timeout: NullReply,
    /// CLIENT REPLY keeps the reply back.
    pub muted: bool,
}

impl Server {
    /// Makes a client wait for keys. `args` is its command line, which is copied unless the wait brings another.
    pub fn wait_for_keys(
        &mut self,
        client: ClientId,
        command: &'static Command,
        wait: Wait,
        args: impl FnOnce() -> OwnedArgs,
        muted: bool,
        now: Now,
    ) {
        let until_ms = match wait.timeout_ms {
            0 => u64::MAX,
            timeout_ms => now.mono_ms().saturating_add(timeout_ms),
        };
        let session = &mut self.clients[client];
        let (db, args) = (session.db, wait.args.unwrap_or_else(args));
        let Wait { on_timeout, look_ms, .. } = wait;
        session.waiting = Some(Box::new(Waiting { command, args, until_ms, look_ms, on_timeout, muted }));
        if !wait.keys.is_empty() {
            self.pay_for_gone(wait.keys.len());
            let member = self.clients.member_of(client);
            self.watchers.waits.begin(member, db, wait.keys.iter().map(|key| &**key), wait.on, wait.until_deleted);
            self.note_wanted_events();
        }
        self.clients.block(client, Blocked::Keys { until_ms });
        if look_ms.is_some() {
            self.clients.arm(client);
        }
    }

    /// Notes that a client's command, which waits for keys, has been run again; `look_ms` is when it is to be run once more.
    pub fn waits_on(&mut self, client: ClientId, look_ms: Option<u64>) {
        if let Some(waiting) = &mut self.clients[client].waiting
            && waiting.look_ms != look_ms
        {
            waiting.look_ms = look_ms;
            self.clients.arm(client);
        }
    }

    /// Has the command of a client run again if it is time for that, in its turn among those that wait for the same keys. False if it
    /// is time for something else.
    pub fn look_now(&mut self, client: ClientId, now: Now) -> bool {
        let session = &mut self.clients[client];
        let Some(Blocked::Keys { until_ms }) = session.blocked else { return false };
        let Some(waiting) = session.waiting.as_mut().filter(|_| until_ms > now.mono_ms()) else { return false };
        if waiting.look_ms.is_none_or(|look_ms| look_ms > now.mono_ms()) {
            return false;
        }
        waiting.look_ms = None;
        self.clients.arm(client);
        if let Some(member) = self.clients.known_member(client) {
            self.watchers.waits.note_ready_of(member);
        }
        true
    }

    /// Takes a client out of the queues, if it is in any: nothing is done for it any more.
    pub fn stop_waiting(&mut self, client: ClientId) {
        if let Some(member) = self.clients.known_member(client)
            && self.watchers.waits.end(member)
        {
            self.note_wanted_events();
        }
    }

    /// True if a change has made work for the engine: clients to be served, or queries to be evaluated.
    #[inline]
    pub fn is_unsettled(&self) -> bool {
        let released = self.watchers.waits.has_held() && !self.may_pause();
        self.watchers.waits.has_ready() || self.watchers.reactive.has_touched() || released
    }

    /// Notes a key as ready if its present value concerns somebody who waits for it.
    pub(super) fn consider_ready(&mut self, key: KeyId) {
        let (db, name) = self.watchers.waits.name(key);
        let now = self.dbs[db].peek(name).and_then(|entry| awaited_type(&entry));
        if self.watchers.waits.concerns(key, now) {
            self.watchers.waits.note_ready(key);
        }
    }

    /// Looks at all keys of a database that somebody waits for, after they changed together. O(keys waited for).
    pub fn touch_all_waiters_of(&mut self, db: usize) {
        if !self.watchers.waits.is_empty() {
            self.watchers.waits.keys_of(db).into_iter().for_each(|key| self.consider_ready(key));
        }
    }

    /// The type of a key's value, if it is live and clients can wait for it.
    pub fn awaited_type_now(&self, key: KeyId, now: Now) -> Option<WaitFor> {
        let (db, name) = self.watchers.waits.name(key);
        let entry = self.dbs[db].peek(name)?;
        let due = entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now.unix_ms);
        if due { None } else { awaited_type(&entry) }
    }
}

fn awaited_type(entry: &Entry) -> Option<WaitFor> {
    WaitFor::of_type(entry.type_of().name())
}
