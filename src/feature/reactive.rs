//! Queries whose fresh results are pushed to those who watch them, whenever a key they name changes.
//!
//! Here is who watches what, which queries a change concerns, and what is held back for slow readers. The server tells of
//! changes and delivers, the engine evaluates. Clients are known by the index of their session. Knows no command, no value
//! and no time.
//!
//! # Costs
//! To watch, to stop watching and to find the queries of a changed key are O(1) each per key of a query. A query costs the
//! same however many clients watch it, and a client's watch of it some tens of bytes.

mod few;
mod index;
mod query;
mod subscription;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use index::Index;
use subscription::Subscriptions;

pub use index::{Query, QueryId};
pub use query::{Line, is_label, parse_fingerprint};

/// All watched queries.
#[derive(Debug, Default)]
pub struct Reactive {
    index: Index,
    subscriptions: Subscriptions,
}

impl Reactive {
    /// True when nobody watches anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Number of queries, each counted once however many watch it.
    pub fn queries(&self) -> usize {
        self.index.len()
    }

    /// Number of keys that queries name.
    pub fn keys(&self) -> usize {
        self.index.keys()
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
    pub fn count_of(&self, client: usize) -> usize {
        self.subscriptions.count_of(client as u32)
    }

    /// A query by its number; panics if it is not known.
    pub fn query(&self, id: QueryId) -> &Query {
        self.index.query(id)
    }

    /// All queries, in the order of their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Query> {
        self.index.ids().map(|id| self.index.query(id))
    }

    /// A client's queries, in no particular order.
    pub fn of(&self, client: usize) -> impl Iterator<Item = &Query> {
        self.subscriptions.of(client as u32).map(|id| self.index.query(id))
    }

    /// Database, name and number of queries of each key that queries name, in no particular order.
    pub fn watched_keys(&self) -> impl Iterator<Item = (usize, &[u8], usize)> {
        self.index.watched_keys()
    }

    /// True if a client watches this very query.
    pub fn is_watched_by(&self, client: usize, db: usize, line: &Line) -> bool {
        let id = self.index.find(db, line.fingerprint(), line);
        id.is_some_and(|id| self.subscriptions.has(client as u32, id))
    }

    /// Makes a client watch a query, which reads the named keys of a database. Once is as good as twice.
    pub fn watch(&mut self, client: usize, db: usize, line: Line, keys: &[&[u8]]) {
        let (client, fingerprint) = (client as u32, line.fingerprint());
        let known = self.index.find(db, fingerprint, &line);
        let id = known.unwrap_or_else(|| self.index.insert(db, fingerprint, line, keys));
        if !self.subscriptions.has(client, id) {
            let place = self.index.subscribers_mut(id).push(client);
            self.subscriptions.set(client, id, place);
        }
    }

    /// Ends a client's watches of the queries with a fingerprint; in how many databases there was one. O(1).
    pub fn unwatch(&mut self, client: usize, fingerprint: u32) -> usize {
        let those = self.index.with_fingerprint(fingerprint);
        let mut ended = 0;
        for id in those {
            if let Some(place) = self.subscriptions.remove(client as u32, id) {
                self.leave(id, place);
                ended += 1;
            }
        }
        ended
    }

    /// Ends all watches of a client; how many there were.
    pub fn forget(&mut self, client: usize) -> usize {
        let watches = self.subscriptions.forget(client as u32);
        watches.iter().for_each(|(&id, &place)| self.leave(id, place));
        watches.len()
    }

    /// Takes a subscriber out of a query, which goes with the last one.
    fn leave(&mut self, id: QueryId, place: u32) {
        let subscribers = self.index.subscribers_mut(id);
        subscribers.swap_remove(place);
        match subscribers.as_slice() {
            [] => self.index.remove(id),
            left => {
                if let Some(&moved) = left.get(place as usize) {
                    self.subscriptions.set(moved, id, place);
                }
            }
        }
    }

    /// Notes that a key has changed: its queries are to be evaluated. One hash and one lookup if it has none.
    pub fn touch(&mut self, db: usize, key: &[u8]) {
        self.index.touch(db, key);
    }

    /// Notes that keys of a database have changed: those of which `changed` says so. O(keys that queries name).
    pub fn touch_those(&mut self, db: usize, changed: impl Fn(&[u8]) -> bool) {
        self.index.touch_those(db, changed);
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

    /// Forgets that a query was touched: by its own evaluation.
    pub fn untouch(&mut self, id: QueryId) {
        self.index.untouch(id);
    }

    /// True if results are held back for a client.
    pub fn holds(&self, client: usize) -> bool {
        self.subscriptions.holds(client as u32)
    }

    /// Holds a result back for a client that has fallen behind, in the place of the one held before. True if there was one,
    /// which the client will not see.
    pub fn hold(&mut self, client: usize, query: QueryId, frame: &Arc<Vec<u8>>) -> bool {
        self.subscriptions.hold(client as u32, query, frame)
    }

    /// The result held back for a client whose turn it is.
    pub fn take_held(&mut self, client: usize) -> Option<Arc<Vec<u8>>> {
        self.subscriptions.take_held(client as u32)
    }

    /// Drops the results held back for a client, and has their queries evaluated again: their form is not the client's any
    /// more.
    pub fn renew_held(&mut self, client: usize) {
        for id in self.subscriptions.drop_held(client as u32) {
            self.index.touch_query(id);
        }
    }
}
