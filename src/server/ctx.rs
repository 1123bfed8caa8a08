//! What a command's handler may see, and what it may ask to happen after it.

use crate::base::clock::Now;
use crate::command::Command;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::feature::client_id::ClientId;
use crate::resp::reply::Reply;
use crate::store::db::{Db, Moment};

use super::Server;
use super::session::Session;

pub use super::waiting::{NullReply, Wait};
pub use crate::feature::blocking::WaitFor;

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
    /// The command waits for keys, as [`Ctx::wait`] has recorded. Nothing was written.
    Block,
    /// The commands that MULTI has queued run now. Nothing was written.
    RunQueue,
    /// The server stops. The client gets no reply (SHUTDOWN) or has got it already (ABORT).
    Shutdown,
}

/// How a command came to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOrigin {
    /// Its client sent it.
    Sent,
    /// EXEC runs it.
    Queued,
    /// Its client waits for keys, and one of them has changed.
    Again,
    /// It is a query, evaluated for those who watch it.
    Watched,
}

/// A running command's view of the server.
#[derive(Debug)]
pub struct Ctx<'a> {
    /// The server's parts.
    pub server: &'a mut Server,
    /// Index of the client's session.
    pub client: ClientId,
    /// The command being run.
    pub command: &'static Command,
    /// Where the reply goes.
    pub reply: Reply<'a>,
    /// The time of this turn.
    pub now: Now,
    /// Place of the database selected.
    pub db: usize,
    /// The time as lookups need it.
    pub at: Moment,
    /// The reply consists of out-of-band messages, which CLIENT REPLY does not keep back.
    pub out_of_band: bool,
    /// How the command came to run.
    pub origin: CallOrigin,
}

impl<'a> Ctx<'a> {
    /// The client's session.
    pub fn session(&mut self) -> &mut Session {
        &mut self.server.clients[self.client]
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
        self.changed_in(self.db, class, event, key);
    }

    /// The same, of a key of another database.
    #[inline]
    pub fn changed_in(&mut self, db: usize, class: EventClass, event: &str, key: &[u8]) {
        self.server.stats.dirty += 1;
        self.server.touch(db, key, &self.at);
        self.notify_in(db, class, event, key);
    }

    /// The same where nobody who waits for the key is to look at it again: it was there, stays what it is, and holds nothing
    /// that is new.
    ///
    /// More than thrift: a command that waits for several streams is answered with an error when it is run again and one of
    /// the others has become a key of another type, which Redis does not notice before an entry is added.
    pub fn changed_in_place(&mut self, class: EventClass, event: &str, key: &[u8]) {
        self.server.stats.dirty += 1;
        self.server.touch_watched(self.db, key, &self.at);
        self.notify(class, event, key);
    }

    /// Applies the output limit of the class that the client belongs to from now on.
    pub fn renew_output_limit(&mut self) {
        let is_sent_messages = self.server.clients[self.client].is_sent_messages();
        let limit = self.server.config.client_output_buffer_limit.of(is_sent_messages);
        self.reply.out().set_limit(limit.hard_bytes);
    }

    /// Records that one more key of a database was modified by the same change: renamed to, or moved to.
    pub fn touched(&mut self, db: usize, key: &[u8]) {
        self.server.touch(db, key, &self.at);
    }

    /// Lets the clients that wait for a key look at it again, though it does not count as modified.
    pub fn look_again(&mut self, key: &[u8]) {
        if !self.server.watchers.waits.is_empty() {
            self.server.touch_awaited(self.db, key);
        }
    }

    /// Records that a key of the selected database was modified in a way that has no event.
    #[inline]
    pub fn changed_quietly(&mut self, key: &[u8]) {
        self.server.stats.dirty += 1;
        self.server.touch(self.db, key, &self.at);
    }

    /// Counts the further changes that one command made to a key it has recorded as modified.
    #[inline]
    pub fn count_changes(&mut self, further: usize) {
        self.server.stats.dirty += further as u64;
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

    /// False inside a transaction and for a watched query, where a command that would wait answers at once as if it had
    /// waited in vain.
    pub fn may_block(&self) -> bool {
        matches!(self.origin, CallOrigin::Sent | CallOrigin::Again)
    }

    /// True when a command that waited runs again because one of its keys has changed.
    pub fn is_rerun(&self) -> bool {
        self.origin == CallOrigin::Again
    }

    /// Makes the client wait, to be what the handler returns; it has written nothing. The command is run again, whole, each
    /// time one of the keys changes, until it does not ask to wait any more. Where nobody may wait, it is answered at once.
    ///
    /// # Errors
    /// None.
    pub fn wait(&mut self, wait: Wait) -> Outcome {
        if !self.may_block() {
            wait.on_timeout.write(&mut self.reply);
            return Ok(Next::Done);
        }
        self.server.asked_wait = Some(Box::new(wait));
        Ok(Next::Block)
    }
}
