//! Watched queries from the server's side: which changes concern them, who may watch how much, how long those linger that
//! somebody may come back to, and the way of a result to its watcher's output.
//!
//! Who watches what is `feature::reactive`'s; the engine has the queries evaluated that were touched. A result is posted like
//! any message. Where a watcher's output has grown beyond `watch-output-threshold`, the result is held back instead, in the
//! place of an older one of the same query, until the client has read half of that. Who wants every result gets it
//! nevertheless, within the limits of a subscriber's output.

use std::sync::Arc;

use super::session::ReplyMode;
use super::{CLEARED_PER_ADDED, Server, Watchers};
use crate::base::clock::Now;
use crate::feature::client_id::ClientId;
use crate::feature::reactive::{Bounds, Line, QueryId, Reactive, WatchOptions};
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::store::db::Db;

const TOO_MANY_OF_CLIENT: ReplyError =
    ReplyError::new("ERR too many watches: the client has reached watch-max-per-client");
const TOO_MANY: ReplyError = ReplyError::new("ERR too many watches: the server has reached watch-max-total");

/// Keys that queries name and that are looked at in one turn, after a database was replaced: about half a millisecond's work.
const LOOKED_AT_ONCE_MAX: usize = 512;

/// Databases whose keys are not all looked at yet, at most: as many as one FLUSHALL replaces, and some more.
const REPLACED_MAX: usize = 64;

/// What a database that was replaced held before.
#[derive(Debug)]
pub(super) enum Before {
    /// This; it is empty now.
    Flushed(Box<Db>),
    /// Nothing.
    Empty,
    /// What the database of this index holds right after the change; nobody knows any more once further commands have run.
    SwappedWith(usize),
}

/// A database that was replaced.
#[derive(Debug)]
pub(super) struct Replaced {
    db: usize,
    before: Before,
    /// The part of all keys to be looked at next, round and round.
    part: usize,
    /// How many parts are still to be looked at.
    left: usize,
}

impl Server {
    /// Refuses a watch that would be beyond a limit.
    ///
    /// # Errors
    /// The client, or all of them together, watch as much as they may.
    pub fn admit_watch(&self, client: ClientId, db: usize, line: &Line) -> Result<(), ReplyError> {
        let over = |count: usize, max: u64| max > 0 && count as u64 >= max;
        let (watcher, reactive) = (self.clients[client].watcher, &self.watchers.reactive);
        let is_known = || watcher.is_some_and(|watcher| reactive.is_watched_by(watcher, db, line));
        if over(reactive.watches(), self.config.watch_max_total) && !is_known() {
            return Err(TOO_MANY);
        }
        let own = watcher.map_or(0, |watcher| reactive.count_of(watcher));
        if over(own, self.config.watch_max_per_client) && !is_known() {
            return Err(TOO_MANY_OF_CLIENT);
        }
        Ok(())
    }

    /// Makes a client watch a query of a database.
    pub fn watch_query(&mut self, client: ClientId, db: usize, line: Line, options: WatchOptions) -> QueryId {
        let (first, until_ms) = (self.watchers.reactive.is_empty(), self.lingers_until_ms());
        if self.watchers.reactive.has_gone() {
            self.watchers.reactive.clear_gone(CLEARED_PER_ADDED);
        }
        let session = &mut self.clients[client];
        let watcher = *session.watcher.get_or_insert_with(|| self.watchers.reactive.join(client));
        let id = self.watchers.reactive.watch(watcher, db, line, options, until_ms);
        session.wants_every = self.watchers.reactive.wants_every_of_any(watcher);
        if session.held_back && session.reply_mode == ReplyMode::On {
            self.watchers.reactive.forget_held(watcher, id);
            session.held_back = self.watchers.reactive.holds(watcher);
        }
        if first {
            self.note_wanted_events();
        }
        id
    }

    /// Ends a client's watches of the queries with a fingerprint.
    pub fn unwatch_query(&mut self, client: ClientId, fingerprint: u32) {
        let Some(watcher) = self.clients[client].watcher else { return };
        let until_ms = self.lingers_until_ms();
        if self.watchers.reactive.unwatch(watcher, fingerprint, until_ms) == 0 {
            return;
        }
        if self.watchers.reactive.count_of(watcher) == 0 {
            return self.forget_queries(client);
        }
        let session = &mut self.clients[client];
        session.wants_every = self.watchers.reactive.wants_every_of_any(watcher);
        session.held_back = self.watchers.reactive.holds(watcher);
    }

    /// Ends all of a client's watches of queries.
    pub fn forget_queries(&mut self, client: ClientId) {
        let session = &mut self.clients[client];
        let Some(watcher) = session.watcher.take() else { return };
        (session.wants_every, session.held_back) = (false, false);
        let until_ms = self.lingers_until_ms();
        self.watchers.reactive.forget(watcher, until_ms);
        if self.watchers.reactive.is_empty() {
            self.note_wanted_events();
        }
    }

    /// Goes on tearing down the watches of clients that have gone. True if some are left for the next turn.
    fn clear_gone_watches(&mut self) -> bool {
        if !self.watchers.reactive.has_gone() {
            return false;
        }
        let left = self.watchers.reactive.clear_gone(usize::MAX);
        if self.watchers.reactive.is_empty() {
            self.note_wanted_events();
        }
        left
    }

    /// The monotonic millisecond until which a query lingers that is left now; 0 if it goes at once.
    fn lingers_until_ms(&self) -> u64 {
        match self.config.watch_resume_seconds {
            0 => 0,
            seconds => self.clock.now().mono_ms().saturating_add(seconds.saturating_mul(1000)),
        }
    }

    /// Forgets the queries that nobody has come back to.
    pub fn forget_left_queries(&mut self, now: Now) {
        if self.watchers.reactive.resumable() > 0
            && self.watchers.reactive.forget_left(now.mono_ms()) > 0
            && self.watchers.reactive.is_empty()
        {
            self.note_wanted_events();
        }
    }

    /// How many versions of queries are kept.
    pub fn history_bounds(&self) -> Bounds {
        Bounds { bytes: self.config.watch_resume_bytes, versions: self.config.watch_resume_versions as usize }
    }

    /// True if messages may be under way to a client.
    #[inline]
    pub fn is_listening(&self, client: ClientId) -> bool {
        let session = &self.clients[client];
        session.subscribed || session.is_monitor || session.watcher.is_some() || session.tracking.is_some()
    }

    /// Notes that a database was replaced as a whole: the queries of the keys that it held, or holds now, are to be
    /// evaluated. Where queries name very many keys, most are looked at in later turns, by [`Server::go_on_with_queries`].
    pub(super) fn touch_queries_of(&mut self, db: usize, before: Before) {
        let swapped = |other: &&mut Replaced| other.db == db && matches!(other.before, Before::SwappedWith(_));
        if matches!(before, Before::SwappedWith(_))
            && let Some(again) = self.watchers.replaced.iter_mut().find(swapped)
        {
            again.left = Reactive::PARTS;
            return;
        }
        self.watchers.replaced.push_back(Replaced { db, before, part: 0, left: Reactive::PARTS });
        while self.watchers.replaced.len() > REPLACED_MAX {
            self.look_at_replaced(false);
        }
        // What a database was swapped with is known only now, and only if this is the first to be looked at.
        self.look_at_replaced(self.watchers.replaced.len() == 1);
    }

    /// Looks at some of the keys of a database that was replaced, whether they changed. Where the database was swapped, they
    /// all count as changed unless this happens `at_once`.
    fn look_at_replaced(&mut self, at_once: bool) {
        let Server { watchers: Watchers { reactive, replaced, .. }, dbs, .. } = self;
        let Some(Replaced { db, before, part, left }) = replaced.front_mut() else { return };
        let (before, mut looked) = (&*before, 0);
        while *left > 0 && looked < LOOKED_AT_ONCE_MAX && !reactive.is_empty() {
            looked += reactive.touch_part(*part, *db, |key| match before {
                Before::Flushed(old) => old.peek(key).is_some(),
                Before::Empty => dbs[*db].peek(key).is_some(),
                Before::SwappedWith(other) => {
                    !at_once || [*db, *other].into_iter().any(|db| dbs[db].peek(key).is_some())
                }
            });
            (*part, *left) = ((*part + 1) % Reactive::PARTS, *left - 1);
        }
        if *left == 0 || reactive.is_empty() {
            let done = replaced.pop_front();
            if let Some(Replaced { before: Before::Flushed(old), .. }) = done {
                self.retire_db(*old);
            }
        }
    }

    /// Does a turn's part of what concerns very many queries. True if there is more to do.
    pub(super) fn go_on_with_queries(&mut self) -> bool {
        self.look_at_replaced(false);
        self.clear_gone_watches() | !self.watchers.replaced.is_empty()
    }

    /// Bytes of unsent output beyond which results are held back.
    fn hold_bytes(&self, client: ClientId) -> usize {
        let limit = self.output_limit_of(client);
        // Nobody is disconnected for a result that may be held back: limits that are lower count as well.
        let lower = [limit.hard_bytes, limit.soft_bytes].into_iter().filter(|bytes| *bytes > 0).map(|bytes| bytes / 2);
        lower.fold(self.config.watch_output_threshold, u64::min) as usize
    }

    /// Appends a result to its watcher's output, or holds it back if the output is long or others wait already.
    pub fn hand_over(&mut self, client: ClientId, query: QueryId, frame: &Arc<Vec<u8>>, out: &mut Out) {
        let room = !self.clients[client].held_back && out.len() <= self.hold_bytes(client);
        let watcher = self.clients[client].watcher.filter(|_| !room);
        let Some(watcher) = watcher.filter(|watcher| !self.watchers.reactive.wants_every(*watcher, query)) else {
            self.stats.watch_frames += 1;
            return if room { out.push_shared_beyond_limit(frame) } else { out.push_shared(frame) };
        };
        self.stats.watch_frames_superseded += u64::from(self.watchers.reactive.hold(watcher, query, frame));
        self.clients[client].held_back = self.watchers.reactive.holds(watcher);
    }

    /// Appends the results held back for a client whose output has been sent, as far as there is room again.
    #[cold]
    pub fn release_held(&mut self, client: ClientId, out: &mut Out) {
        let most = self.hold_bytes(client);
        let Some(watcher) = self.clients[client].watcher.filter(|_| out.len() <= most / 2) else { return };
        while out.len() <= most {
            let Some(frame) = self.watchers.reactive.take_held(watcher) else { break };
            self.stats.watch_frames += 1;
            out.push_shared_beyond_limit(&frame);
        }
        self.clients[client].held_back = self.watchers.reactive.holds(watcher);
    }

    /// Drops the results held back for a client whose frames have another form from now on, and has them made anew.
    pub fn renew_held(&mut self, client: ClientId) {
        let session = &mut self.clients[client];
        if std::mem::take(&mut session.held_back)
            && let Some(watcher) = session.watcher
        {
            self.watchers.reactive.renew_held(watcher);
        }
    }

    /// Moves one client's messages to its output: those posted since there were `from` of them. O(messages since).
    pub fn deliver_own(&mut self, client: ClientId, from: usize, out: &mut Out) {
        self.clients[client].posted_bytes = 0;
        for (text, query) in self.outbox.take_of(client, from) {
            match query {
                Some(query) => self.hand_over(client, query, &text, out),
                None => out.push_shared(&text),
            }
        }
    }
}
