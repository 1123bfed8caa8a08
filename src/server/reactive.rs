//! Watched queries from the server's side: which changes concern them, who may watch how much, and the way of a result to
//! its watcher's output.
//!
//! Who watches what is `feature::reactive`'s; the engine evaluates the queries that were touched. A result is posted like any
//! message. Where a watcher's output has grown beyond `watch-output-threshold`, the result is held back instead, in the
//! place of an older one of the same query, until the client has read half of that.

use std::sync::Arc;

use super::Server;
use crate::feature::reactive::{Line, QueryId};
use crate::resp::error::ReplyError;
use crate::resp::out::Out;

const TOO_MANY_OF_CLIENT: ReplyError =
    ReplyError::new("ERR too many watches: the client has reached watch-max-per-client");
const TOO_MANY: ReplyError = ReplyError::new("ERR too many watches: the server has reached watch-max-total");

impl Server {
    /// Refuses a watch that would be beyond a limit.
    ///
    /// # Errors
    /// The client, or all of them together, watch as much as they may.
    pub fn admit_watch(&self, client: usize, db: usize, line: &Line) -> Result<(), ReplyError> {
        let over = |count: usize, max: u64| max > 0 && count as u64 >= max;
        if over(self.reactive.watches(), self.config.watch_max_total) && !self.reactive.is_watched_by(client, db, line)
        {
            return Err(TOO_MANY);
        }
        let own = self.reactive.count_of(client);
        if over(own, self.config.watch_max_per_client) && !self.reactive.is_watched_by(client, db, line) {
            return Err(TOO_MANY_OF_CLIENT);
        }
        Ok(())
    }

    /// Makes a client watch a query, which reads the named keys of a database.
    pub fn watch_query(&mut self, client: usize, db: usize, line: Line, keys: &[&[u8]]) {
        let first = self.reactive.is_empty();
        self.reactive.watch(client, db, line, keys);
        if first {
            self.note_wanted_events();
        }
    }

    /// Ends a client's watches of the queries with a fingerprint.
    pub fn unwatch_query(&mut self, client: usize, fingerprint: u32) {
        if self.reactive.unwatch(client, fingerprint) > 0 && self.reactive.is_empty() {
            self.note_wanted_events();
        }
    }

    /// Ends all of a client's watches of queries.
    pub fn forget_queries(&mut self, client: usize) {
        if self.reactive.forget(client) > 0 && self.reactive.is_empty() {
            self.note_wanted_events();
        }
    }

    /// True if messages may be under way to a client.
    #[inline]
    pub fn is_listening(&self, client: usize) -> bool {
        self.sessions[client].subscribed || self.reactive.count_of(client) > 0
    }

    /// Notes that the keys of a database that are there changed all together. O(keys that queries name).
    pub(super) fn touch_queries_of(&mut self, db: usize) {
        let Server { reactive, dbs, .. } = self;
        if !reactive.is_empty() {
            reactive.touch_those(db, |key| dbs[db].peek(key).is_some());
        }
    }

    /// Bytes of unsent output beyond which results are held back.
    fn hold_bytes(&self, client: usize) -> usize {
        let limits = self.config.client_output_buffer_limit;
        let limit = if self.sessions[client].subscribed { limits.pubsub } else { limits.normal };
        // Nobody is disconnected for a result: limits that are lower count as well.
        let lower = [limit.hard_bytes, limit.soft_bytes].into_iter().filter(|bytes| *bytes > 0).map(|bytes| bytes / 2);
        lower.fold(self.config.watch_output_threshold, u64::min) as usize
    }

    /// Appends a result to its watcher's output, or holds it back if the output is long or others wait already.
    pub fn hand_over(&mut self, client: usize, query: QueryId, frame: &Arc<Vec<u8>>, out: &mut Out) {
        if out.len() <= self.hold_bytes(client) && !self.reactive.holds(client) {
            self.stats.watch_frames += 1;
            return out.push_shared(frame);
        }
        self.stats.watch_frames_superseded += u64::from(self.reactive.hold(client, query, frame));
        self.sessions[client].held_back = self.reactive.holds(client);
    }

    /// Appends the results held back for a client whose output has been sent, as far as there is room again.
    #[cold]
    pub fn release_held(&mut self, client: usize, out: &mut Out) {
        let most = self.hold_bytes(client);
        if out.len() > most / 2 {
            return;
        }
        while out.len() <= most {
            let Some(frame) = self.reactive.take_held(client) else { break };
            self.stats.watch_frames += 1;
            out.push_shared(&frame);
        }
        self.sessions[client].held_back = self.reactive.holds(client);
    }

    /// Drops the results held back for a client whose protocol has changed, and has them made anew.
    pub fn renew_held(&mut self, client: usize) {
        self.reactive.renew_held(client);
        self.sessions[client].held_back = false;
    }

    /// Moves one client's messages to its output: those posted since there were `from` of them. O(messages since).
    pub fn deliver_own(&mut self, client: usize, from: usize, out: &mut Out) {
        for (text, query) in self.outbox.take_of(client, from) {
            match query {
                Some(query) => self.hand_over(client, query, &text, out),
                None => out.push_shared(&text),
            }
        }
    }
}
