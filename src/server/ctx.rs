//! What a command's handler may see, and what it may ask to happen after it.

use crate::base::clock::Now;
use crate::command::Command;
use crate::config::EventClass;
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
    /// The reply consists of out-of-band messages, which CLIENT REPLY does not keep back.
    pub out_of_band: bool,
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

    /// Records that a key of the selected database was modified, and what the event is called. Every mutation of the key
    /// space calls this once: it is the one hook that counts changes and notifies.
    #[inline]
    pub fn changed(&mut self, class: EventClass, event: &str, key: &[u8]) {
        self.server.stats.dirty += 1;
        self.notify(class, event, key);
    }

    /// The same for a key that is gone because the deadline given to it has passed already: to Redis it was deleted, and by
    /// choice it has expired.
    pub fn changed_by_past_deadline(&mut self, key: &[u8]) {
        if self.server.config.expired_event_for_past_deadlines {
            self.changed(EventClass::Expired, "expired", key);
        } else {
            self.changed(EventClass::Generic, "del", key);
        }
    }

    /// Tells of a further event of the same change.
    #[inline]
    pub fn notify(&mut self, class: EventClass, event: &str, key: &[u8]) {
        self.server.notify(class, event, self.db, key);
    }

    /// Tells of a further event of the same change, in another database.
    pub fn notify_in(&mut self, db: usize, class: EventClass, event: &str, key: &[u8]) {
        self.server.notify(class, event, db, key);
    }

    /// Records that databases changed as a whole, by so many keys: flushed, or swapped.
    pub fn changed_databases(&mut self, changes: usize) {
        self.server.stats.dirty += changes as u64;
    }
}
