//! Queries whose fresh results are pushed to those who watch them, whenever a key they name changes.
//!
//! Here is who watches what, which queries a change concerns, when those are due whose changes are gathered for a while, what
//! is held back for slow readers, and which versions are kept for those who come back. The server tells of changes and
//! delivers, the engine evaluates. A client has a number here, from its first watch on, which its session keeps. Knows no
//! command and no value, and no time but what it is told.
//!
//! # Costs
//! To watch, to stop watching and to find the queries of a changed key are O(1) each per key of a query. A query costs the
//! same however many clients watch it: some 100 bytes with the place of its key, and its line. A client's watch of it takes
//! some ten bytes, with the client's place among the watchers about twenty.

mod filter;
mod history;

mod index;
mod keys;
mod query;

mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use history::Histories;
use index::Index;
use keys::Keys;
use subscription::Subscriptions;

use super::client_id::ClientId;
use crate::resp::reply::Proto;
use crate::store::hash::KeyHasher;
use crate::store::table::prefetch;
use crate::timer::{Verdict, Wheel};

pub use history::{Bounds, LINGERING_MAX};
pub use index::{Query, QueryId};
pub use query::{Line, is_label, parse_fingerprint};
pub use subscription::WatcherId;

/// Slots of the wheel for gathered changes: a revolution of a second.
const WHEEL_SLOTS: usize = 1024;
/// Watches of clients that have gone that are torn down in one turn at most: less than half a millisecond's work.
const GONE_PER_TURN_MAX: usize = 512;

/// How a query is to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Every result is sent, however slowly the client reads.
    pub every: bool,
    /// Milliseconds for which changes are gathered before the result is sent; 0 to send each. Not with `every`.
    pub debounce_ms: u32,
}

/// All watched queries.
#[derive(Debug)]
pub struct Reactive {
    index: Index,
    subscriptions: Subscriptions,
    histories: Histories,
    /// When gathered changes are due; payload: the query. On monotonic milliseconds.
    timers: Wheel,
}

impl Reactive {
    /// No query is watched yet. Keys are hashed as the databases hash them.
    pub fn new(hasher: KeyHasher, now_ms: u64) -> Reactive {
        Reactive {
            index: Index::new(hasher),
            subscriptions: Subscriptions::default(),
            histories: Histories::default(),
            timers: Wheel::new(WHEEL_SLOTS, now_ms as i64),
        }
    }

    /// True when no query is watched or lingers.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Number of queries, each counted once however many watch it. Those count that nobody watches any more, but somebody may
    /// come back to, or that have not been torn down yet.
    pub fn queries(&self) -> usize {
        self.index.len()
    }

    /// Number of queries of which versions are kept.
    pub fn resumable(&self) -> usize {
        self.histories.count()
    }

    /// Bytes of the versions kept.
    pub fn history_bytes(&self) -> u64 {
        self.histories.bytes()
    }

    /// Bytes on the heap: queries, who watches them, versions that are kept, results that are held back. O(clients that watch +
    /// chunks of queries).
    pub fn heap_bytes(&self) -> usize {
        self.index.heap_bytes()
            + self.subscriptions.heap_bytes()
            + self.histories.bytes() as usize
            + self.timers.bytes()
    }

    /// Number of keys that queries name.
    pub fn keys(&self) -> usize {
        self.index.keys().len()
    }

    /// Number of watches: pairs of a client and a query.
    pub fn watches(&self) -> usize {
        self.subscriptions.count()
    }

    /// Number of clients that watch.
    pub fn clients(&self) -> usize {
        self.subscriptions.clients()
    }

    /// How many queries a client watches.
    pub fn count_of(&self, watcher: WatcherId) -> usize {
        self.subscriptions.count_of(watcher)
    }

    /// Those who watch a query.
    pub fn receivers(&self, id: QueryId) -> Vec<ClientId> {
        self.index.query(id).subscribers.iter().filter_map(|watcher| self.subscriptions.client(watcher)).collect()
    }

    /// A query by its number; panics if it is not known.
    pub fn query(&self, id: QueryId) -> &Query {
        self.index.query(id)
    }

    /// All queries, in the order of their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Query> {
        self.index.iter().map(|(_, query)| query)
    }

    /// A client's queries, each with whether it wants every result, in no particular order.
    pub fn of(&self, watcher: WatcherId) -> impl Iterator<Item = (&Query, bool)> {
        let ids = self.subscriptions.of(watcher);
        ids.map(move |id| (self.index.query(id), self.subscriptions.wants_every(watcher, id)))
    }

    /// How many watches there are of queries that name a key.
    pub fn watchers_of(&self, db: usize, key: &[u8]) -> usize {
        self.index.of_key(db, key).map(Query::watchers).sum()
    }

    /// Database and name of each key that queries name, in no particular order.
    pub fn watched_keys(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.index.all_keys().map(|(db, name, _)| (db as usize, name))
    }

    /// Database and name of keys that queries name, each with how many watches there are of these queries, in no particular
    /// order. Of very many keys and queries some are left out: O(most).
    pub fn watches_by_key(&self, mut most: usize) -> Vec<(usize, &[u8], usize)> {
        let mut counted = Vec::new();
        for (db, name, queries) in self.index.all_keys() {
            let (mut watches, mut seen) = (0, 1);
            for id in queries.take(most) {
                watches += self.index.query(id).watchers();
                seen += 1;
            }
            counted.push((db as usize, name, watches));
            most = most.saturating_sub(seen);
            if most == 0 {
                break;
            }
        }
        counted
    }

    /// The query of a line, if it is known.
    pub fn find(&self, db: usize, line: &Line, debounce_ms: u32) -> Option<QueryId> {
        self.index.find(db, line, debounce_ms)
    }

    /// True if a client watches a line, with whatever debounce.
    pub fn is_watched_by(&self, watcher: WatcherId, db: usize, line: &Line) -> bool {
        self.index.of_line(db, line).any(|id| self.is_watched(watcher, id))
    }

    /// True if a client that has not gone watches a query, if that is known.
    fn is_watched(&self, watcher: WatcherId, id: QueryId) -> bool {
        self.index.get(id).is_some_and(|query| query.subscribers.contains(watcher))
    }

    /// Drops the result of a query that is held back for a client: it has just been answered with one that is as new.
    pub fn forget_held(&mut self, watcher: WatcherId, query: QueryId) {
        self.subscriptions.forget_held(watcher, query);
    }

    /// True if a client wants every result of a query.
    pub fn wants_every(&self, watcher: WatcherId, query: QueryId) -> bool {
        self.subscriptions.wants_every(watcher, query)
    }

    /// True if a client wants every result of some query.
    pub fn wants_every_of_any(&self, watcher: WatcherId) -> bool {
        self.subscriptions.wants_every_of_any(watcher)
    }

    /// A number for a client that watches nothing yet.
    pub fn join(&mut self, client: ClientId) -> WatcherId {
        self.subscriptions.join(client)
    }

    /// Makes a client watch a query of a database. Once is as good as twice, and the last options counts: if there was another
    /// debounce, that watch ends as [`Reactive::leave`] says.
    pub fn watch(
        &mut self,
        watcher: WatcherId,
        db: usize,
        line: Line,
        options: WatchOptions,
        until_ms: u64,
    ) -> QueryId {
        let mut others = self.index.of_line(db, &line);
        let other = others.find(|id| {
            let query = self.index.query(*id);
            query.debounce_ms() != options.debounce_ms && query.subscribers.contains(watcher)
        });
        drop(others);
        let known = self.index.find(db, &line, options.debounce_ms);
        let id = known.unwrap_or_else(|| self.index.insert(db, line, options.debounce_ms));
        if self.index.subscribe(id, watcher) {
            self.histories.resume(self.index.query_mut(id));
            self.subscriptions.add(&self.index, watcher, id);
        }
        self.subscriptions.set_every(watcher, id, options.every);
        if let Some(other) = other {
            self.leave(watcher, other, until_ms);
        }
        id
    }

    /// Ends a client's watch of a query. One without watchers goes, or lingers until `until_ms` if versions of it are kept;
    /// 0 if none is to.
    pub fn leave(&mut self, watcher: WatcherId, id: QueryId, until_ms: u64) {
        if self.subscriptions.remove(&self.index, watcher, id) {
            self.unsubscribe(watcher, id, until_ms);
        }
    }

    /// Ends a client's watches of the queries with a fingerprint; how many there were. O(1) for each of them, however many
    /// queries of others have the same.
    pub fn unwatch(&mut self, watcher: WatcherId, fingerprint: u32, until_ms: u64) -> usize {
        let those = self.subscriptions.with_fingerprint(&self.index, watcher, fingerprint);
        those.iter().for_each(|id| self.leave(watcher, *id, until_ms));
        those.len()
    }

    /// Ends all watches of a client; how many there were. Nobody is told of their queries from now on, but many watches are
    /// torn down later, by [`Reactive::clear_gone`], and the client's number is not given again before.
    pub fn forget(&mut self, watcher: WatcherId, until_ms: u64) -> usize {
        let was_idle = !self.has_gone();
        let count = self.subscriptions.leave(watcher, until_ms);
        // Who comes behind another does not add to a turn's work.
        if was_idle {
            self.clear_gone(GONE_PER_TURN_MAX);
        }
        count
    }

    /// Takes watches apart of clients that have gone: so many at most, and no more than one turn may. True if some are left.
    pub fn clear_gone(&mut self, most: usize) -> bool {
        for _ in 0..most.min(GONE_PER_TURN_MAX) {
            let Some((watcher, id, until_ms)) = self.subscriptions.take_gone() else { return false };
            self.unsubscribe(watcher, id, until_ms);
        }
        true
    }

    /// True if watches of clients that have gone are still to be torn down.
    pub fn has_gone(&self) -> bool {
        self.subscriptions.has_gone()
    }

    fn unsubscribe(&mut self, watcher: WatcherId, id: QueryId, until_ms: u64) {
        if !self.index.unsubscribe(id, watcher) {
            return;
        }
        let query = self.index.query_mut(id);
        if until_ms == 0 || !self.histories.linger(id, query, until_ms) {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: QueryId) {
        if let Some(query) = self.index.remove(id) {
            self.histories.forget(&query);
        }
    }

    /// Forgets the queries that have lingered long enough; how many they were.
    pub fn forget_left(&mut self, now_ms: u64) -> usize {
        let mut gone = 0;
        while let Some(id) = self.histories.take_left(&self.index, now_ms) {
            self.remove(id);
            gone += 1;
        }
        gone
    }

    /// False if no query names a key of this hash: one word is looked at.
    #[inline]
    pub fn may_name(&self, hash: u64) -> bool {
        self.index.keys().may_hold(hash)
    }

    /// Starts loading what [`Reactive::may_name`] will look at.
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        if !self.is_empty()
            && let Some(word) = self.index.keys().filter_word(hash)
        {
            prefetch(word);
        }
    }

    /// Notes that a key of this hash has changed: its queries are to be evaluated.
    #[inline]
    pub fn touch(&mut self, db: usize, key: &[u8], hash: u64) {
        if self.may_name(hash) {
            self.index.touch(db, key, hash);
        }
    }

    /// Parts of all keys that queries name, for [`Reactive::touch_part`].
    pub const PARTS: usize = Keys::PARTS;

    /// Notes that keys of a database have changed: those in one part of all keys of which `changed` says so. How many there
    /// are in the part. O(these).
    pub fn touch_part(&mut self, part: usize, db: usize, changed: impl Fn(&[u8]) -> bool) -> usize {
        self.index.touch_part(part, db, changed)
    }

    /// True if queries wait to be evaluated.
    #[inline]
    pub fn has_touched(&self) -> bool {
        self.index.has_touched()
    }

    /// The query to be evaluated next.
    pub fn take_touched(&mut self) -> Option<QueryId> {
        self.index.take_touched()
    }

    /// Puts a query aside that was to be evaluated and cannot be read: it stays touched until [`Reactive::bring_back`].
    pub fn put_aside(&mut self, id: QueryId) {
        self.index.put_aside(id);
    }

    /// Has a query evaluated that was put aside, if it is still there.
    pub fn bring_back(&mut self, id: QueryId) {
        self.index.bring_back(id);
    }

    /// Forgets that a query was touched: by its own evaluation.
    pub fn untouch(&mut self, id: QueryId) {
        self.index.untouch(id);
    }

    /// True if a query has changed and its watchers have not been told yet.
    pub fn is_pending(&self, id: QueryId) -> bool {
        self.index.query(id).is_pending()
    }

    /// Puts the evaluation of a query off, if its changes are to be gathered. False if it is to be evaluated at once.
    pub fn put_off(&mut self, id: QueryId, now_ms: u64) -> bool {
        let query = self.index.query_mut(id);
        let Some(extra) = query.extra.as_mut().filter(|extra| extra.debounce_ms > 0) else { return false };
        if extra.due_ms == 0 {
            extra.due_ms = now_ms + u64::from(extra.debounce_ms);
            self.timers.insert(id, extra.due_ms as i64);
        }
        true
    }

    /// Notes that a query is evaluated, whatever was put off.
    pub fn settle(&mut self, id: QueryId) {
        let query = self.index.query_mut(id);
        if let Some(extra) = &mut query.extra {
            extra.due_ms = 0;
        }
    }

    /// The monotonic millisecond at which gathered changes are due next.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.timers.next_tick().map(|tick| tick.max(0) as u64)
    }

    /// Adds queries to `due` whose gathered changes are to be pushed, as many as the budget allows, which is lowered by what was
    /// looked at. False if there are more.
    pub fn take_due(&mut self, now_ms: u64, budget: &mut usize, due: &mut Vec<QueryId>) -> bool {
        if self.timers.is_empty() {
            return true;
        }
        let index = &mut self.index;
        let progress = self.timers.advance(now_ms as i64, budget, |id, tick| {
            let extra = index.get_mut(id).and_then(|query| query.extra.as_mut());
            let Some(extra) = extra.filter(|extra| extra.due_ms > 0) else { return Verdict::Drop };
            let due_ms = extra.due_ms as i64;
            if due_ms <= tick {
                extra.due_ms = 0;
                due.push(id);
                Verdict::Drop
            } else if Wheel::same_slot(WHEEL_SLOTS, due_ms, tick) {
                Verdict::Again(due_ms)
            } else {
                // Of a query that is gone, whose number this one has got: it has a node of its own.
                Verdict::Drop
            }
        });
        progress.done
    }

    /// Keeps versions of a query from now on, if none are kept yet; the number of the present one. `now_us` is the Unix time
    /// in microseconds.
    pub fn begin_history(&mut self, id: QueryId, now_us: u64) -> u64 {
        self.histories.begin(self.index.query_mut(id), now_us)
    }

    /// Counts a new version of a query; its number, if versions are kept.
    pub fn advance_history(&mut self, id: QueryId) -> Option<u64> {
        self.histories.advance(self.index.query_mut(id))
    }

    /// The protocols in which versions of a query are kept.
    pub fn kept_protos(&self, id: QueryId) -> [bool; 2] {
        Histories::protos(self.index.query(id))
    }

    /// True if the frame of a query's present version is kept in a protocol.
    pub fn has_present(&self, id: QueryId, proto: Proto) -> bool {
        Histories::has_present(self.index.query(id), proto)
    }

    /// Keeps the frame of the present version of a query.
    pub fn keep(&mut self, id: QueryId, proto: Proto, frame: Arc<Vec<u8>>, bounds: Bounds) {
        self.histories.keep(&mut self.index, id, proto, frame, bounds);
    }

    /// The frames of a query from a version on, if none of them is missing.
    pub fn since(&self, id: QueryId, proto: Proto, revision: u64) -> Option<Vec<Arc<Vec<u8>>>> {
        Histories::since(self.index.query(id), proto, revision)
    }

    /// True if results are held back for a client.
    pub fn holds(&self, watcher: WatcherId) -> bool {
        self.subscriptions.holds(watcher)
    }

    /// Holds a result back for a client that has fallen behind, in the place of the one held before. True if there was one,
    /// which the client will not see.
    pub fn hold(&mut self, watcher: WatcherId, query: QueryId, frame: &Arc<Vec<u8>>) -> bool {
        self.is_watched(watcher, query) && self.subscriptions.hold(watcher, query, frame)
    }

    /// The result held back for a client whose turn it is.
    pub fn take_held(&mut self, watcher: WatcherId) -> Option<Arc<Vec<u8>>> {
        self.subscriptions.take_held(watcher)
    }

    /// Drops the results held back for a client, and has their queries evaluated again: their form is not the client's any
    /// more.
    pub fn renew_held(&mut self, watcher: WatcherId) {
        for id in self.subscriptions.drop_held(watcher) {
            self.index.touch_query(id);
        }
    }
}
