//! What a command's handler may see, and what it may ask to happen after it.

use crate::base::clock::Now;
use crate::command::Command;
use crate::resp::reply::Reply;
use crate::store::db::{Db, Moment};

use super::Server;
use super::session::Session;

/// What happens after a handler has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing more.
    Done,
    /// The client's connection closes once its replies are out.
    Close,
    /// The client's next command waits until this monotonic millisecond; `+OK` is sent then.
    Sleep {
        /// Monotonic milliseconds.
        until_ms: u64,
    },
    /// The server stops. The client gets no reply (SHUTDOWN) or has got it already (ABORT).
    Shutdown,
}

/// A running command's view of the server.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The server's parts.
    pub server: &'a mut Server,
    /// Index of the client's session.
    pub client: usize,
    /// The command being run.
    pub command: &'static Command,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The time of this turn.
    pub now: Now,
    /// Index of the database selected.
    pub db: usize,
    /// The time as lookups need it.
    pub at: Moment,
}

impl<'a> Ctx<'a> {
    /// The client's session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.server.sessions[self.client]
    }

    /// The database selected.
    #[inline]
    pub fn db(&mut self) -> &mut Db {
        &mut self.server.dbs[self.db]
    }

    /// Records that a key was modified. Every mutation of the key space calls this once per key it changed: it is the one
    /// hook that counts changes.
    #[inline]
    pub fn changed(&mut self, key: &[u8]) {
        self.changed_in(self.db, key);
    }

    /// Records that a key of any database was modified, as [`Ctx::changed`] does for the selected one.
    #[inline]
    pub fn changed_in(&mut self, _db: usize, _key: &[u8]) {
        self.server.stats.dirty += 1;
    }

    /// Records that databases changed as a whole, by so many keys: flushed, or swapped.
    pub fn changed_databases(&mut self, changes: usize) {
        self.server.stats.dirty += changes as u64;
    }
}
