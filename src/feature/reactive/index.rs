//! The queries that are watched, found by their lines and by the keys they name.
//!
//! Lines are found by a keyed hash of them: their fingerprints, which clients know, can be made alike on purpose, and may be so
//! by chance.
//!
//! # Invariants
//! - A query is known while it has a subscriber or lingers, and a key while a query names it.
//! - A query that was touched is in the list of touched queries until it is taken from there, or gone.
//!
//! Called by [`super::Reactive`] alone.

use std::collections::VecDeque;

use super::history::History;
use super::keys::Keys;
use super::query::Line;
use crate::base::heap::{self, size_class};
use crate::feature::ids::{Ids, spread};
use crate::feature::shards::Shards;
use crate::feature::slots::Slots;
use crate::store::hash::KeyHasher;

/// A query's number, for as long as it is known.
pub type QueryId = u32;

/// What few queries have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    /// Milliseconds from the first change that was not pushed to the push; 0 to push each.
    pub debounce_ms: u32,
    /// Monotonic millisecond at which a change is pushed that has not been; 0 if there is none.
    pub due_ms: u64,
    /// Its versions, if anybody wants to know them.
    pub history: Option<History>,
}

/// One query, with those who watch it.
#[derive(Debug)]
pub struct Query {
    line: Line,
    /// Those who watch it, and some who have gone.
    pub(super) subscribers: Ids,
    pub(super) extra: Option<Box<Extra>>,
    pub(super) db: u32,
    fingerprint: u32,
    /// The keyed hash of its line and database.
    hash: u32,
    touched: bool,
}

impl Query {
    /// Its command line, under the name of the command's row.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Index of the database it reads.
    pub fn db(&self) -> usize {
        self.db as usize
    }

    /// The fingerprint of its line.
    pub fn fingerprint(&self) -> u32 {
        self.fingerprint
    }

    /// How many clients watch it. Those of a client that has gone may be counted for a few turns.
    pub fn watchers(&self) -> usize {
        self.subscribers.len()
    }

    /// Milliseconds for which changes are gathered before they are pushed; 0 if each is pushed at once.
    pub fn debounce_ms(&self) -> u32 {
        self.extra.as_ref().map_or(0, |extra| extra.debounce_ms)
    }

    /// The number of its present version, if anybody has wanted to know.
    pub fn revision(&self) -> Option<u64> {
        self.history().map(History::revision)
    }

    /// Bytes on the heap that change with those who watch it.
    fn heap_bytes(&self) -> usize {
        size_class(self.line.heap_bytes()) + self.subscribers.heap_bytes()
    }

    pub(super) fn history(&self) -> Option<&History> {
        self.extra.as_ref().and_then(|extra| extra.history.as_ref())
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// True if it changed and its watchers have not been told yet.
    pub(super) fn is_pending(&self) -> bool {
        self.touched || self.extra.as_ref().is_some_and(|extra| extra.due_ms > 0)
    }
}

/// All queries.
#[derive(Debug)]
pub(super) struct Index {
    hasher: KeyHasher,
    queries: Slots<Query>,
    /// Queries by the keyed hash of their lines and databases.
    by_line: Shards<QueryId>,
    keys: Keys,
    touched: VecDeque<QueryId>,
    /// What the queries have on the heap, in bytes.
    queries_bytes: usize,
}

impl Index {
    pub fn new(hasher: KeyHasher) -> Index {
        let (queries, by_line, keys, touched, queries_bytes) = Default::default();
        Index { hasher, queries, by_line, keys, touched, queries_bytes }
    }

    /// Bytes on the heap, the versions that are kept left out. O(chunks of queries and keys).
    pub fn heap_bytes(&self) -> usize {
        let tables = self.queries.heap_bytes() + self.by_line.heap_bytes() + heap::deque(&self.touched);
        tables + self.keys.heap_bytes() + self.queries_bytes
    }

    /// Panics if the running sums are not those of what there is. O(queries + keys).
    #[cfg(test)]
    pub fn check_bytes(&self) {
        assert_eq!(self.queries_bytes, self.iter().map(|(_, query)| query.heap_bytes()).sum::<usize>());
        self.keys.check_bytes();
    }

    /// Adds to those who watch a query. False if it was there.
    pub fn subscribe(&mut self, id: QueryId, watcher: u32) -> bool {
        self.change_query(id, |query| query.subscribers.insert(watcher))
    }

    /// Takes one out of those who watch a query. True if none is left.
    pub fn unsubscribe(&mut self, id: QueryId, watcher: u32) -> bool {
        self.change_query(id, |query| {
            query.subscribers.remove(watcher);
            query.subscribers.is_empty()
        })
    }

    fn change_query<R>(&mut self, id: QueryId, change: impl FnOnce(&mut Query) -> R) -> R {
        let query = self.queries.get_mut(id).expect("the query is known");
        heap::change(&mut self.queries_bytes, query, Query::heap_bytes, change)
    }

    pub fn len(&self) -> usize {
        self.queries.len()
    }

    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub fn get(&self, id: QueryId) -> Option<&Query> {
        self.queries.get(id)
    }

    pub fn query(&self, id: QueryId) -> &Query {
        self.queries.get(id).expect("the query is known")
    }

    pub fn query_mut(&mut self, id: QueryId) -> &mut Query {
        self.queries.get_mut(id).expect("the query is known")
    }

    pub fn get_mut(&mut self, id: QueryId) -> Option<&mut Query> {
        self.queries.get_mut(id)
    }

    /// All queries, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (QueryId, &Query)> {
        self.queries.iter()
    }

    /// The number of a query, if it is known. O(debounces with which the line is watched).
    pub fn find(&self, db: usize, line: &Line, debounce_ms: u32) -> Option<QueryId> {
        self.of_line(db, line).find(|id| self.query(*id).debounce_ms() == debounce_ms)
    }

    /// The queries of a line: one for each debounce with which it is watched.
    pub fn of_line(&self, db: usize, line: &Line) -> impl Iterator<Item = QueryId> {
        let hash = self.hash_of(db, line);
        let those = self.by_line.of(spread(hash)).into_iter().flat_map(move |shard| shard.iter_hash(spread(hash)));
        those.copied().filter(move |id| {
            let query = self.query(*id);
            query.hash == hash && query.db() == db && query.line == *line
        })
    }

    /// Nobody who does not know the key can make lines that have one hash.
    fn hash_of(&self, db: usize, line: &Line) -> u32 {
        self.hasher.hash(line.packed()) as u32 ^ spread(db as u32) as u32
    }

    /// The keyed hash of a fingerprint.
    pub fn hash_of_fingerprint(&self, fingerprint: u32) -> u64 {
        self.hasher.hash(&fingerprint.to_le_bytes())
    }

    /// Adds a query that is not known yet. The caller gives it its first subscriber. O(keys).
    pub fn insert(&mut self, db: usize, line: Line, debounce_ms: u32) -> QueryId {
        let (fingerprint, hash) = (line.fingerprint(), self.hash_of(db, &line));
        let extra = (debounce_ms > 0).then(|| Box::new(Extra { debounce_ms, ..Extra::default() }));
        let (subscribers, db) = (Ids::default(), db as u32);
        let query = Query { line, subscribers, extra, db, fingerprint, hash, touched: false };
        self.queries_bytes += query.heap_bytes();
        let id = self.queries.insert(query);
        let Index { hasher, queries, by_line, keys, .. } = self;
        let again = |id: &QueryId| spread(queries.get(*id).map_or(0, |query| query.hash));
        by_line.of_mut(spread(hash)).insert_unique(spread(hash), id, again);
        keys.add(queries, id, |key| hasher.hash(key));
        id
    }

    /// Forgets a query. O(its keys).
    pub fn remove(&mut self, id: QueryId) -> Option<Query> {
        let Index { hasher, queries, by_line, keys, .. } = self;
        let hash = spread(queries.get(id)?.hash);
        let shard = by_line.of_mut(hash);
        if let Ok(entry) = shard.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        if shard.len() < shard.capacity() / 8 {
            let again = |id: &QueryId| spread(queries.get(*id).map_or(0, |query| query.hash));
            shard.shrink_to(2 * shard.len(), again);
        }
        keys.remove(queries, id, |key| hasher.hash(key));
        let query = queries.remove(id)?;
        self.queries_bytes -= query.heap_bytes();
        Some(query)
    }

    /// The queries that name a key.
    pub fn of_key(&self, db: usize, name: &[u8]) -> impl Iterator<Item = &Query> {
        let ids = self.keys.queries(&self.queries, db as u32, name, self.hasher.hash(name));
        ids.map(|id| self.query(id))
    }

    /// Every key: its database, its name and its queries.
    pub fn all_keys(&self) -> impl Iterator<Item = (u32, &[u8], impl Iterator<Item = QueryId>)> {
        self.keys.iter(&self.queries)
    }

    /// Notes that a key of this hash has changed. O(1), and O(1) for each of its queries.
    #[cold]
    pub fn touch(&mut self, db: usize, name: &[u8], hash: u64) {
        let those: Vec<_> = self.keys.queries(&self.queries, db as u32, name, hash).collect();
        those.into_iter().for_each(|id| self.touch_query(id));
    }

    /// Notes that keys of a database have changed: those in one part of all keys of which `changed` says so. How many there
    /// are in the part. O(these).
    pub fn touch_part(&mut self, part: usize, db: usize, changed: impl Fn(&[u8]) -> bool) -> usize {
        let (mut looked, mut those) = (0, Vec::new());
        for (of, name, queries) in self.keys.part(&self.queries, part) {
            looked += 1;
            if of == db as u32 && changed(name) {
                those.extend(queries);
            }
        }
        those.into_iter().for_each(|id| self.touch_query(id));
        looked
    }

    pub fn touch_query(&mut self, id: QueryId) {
        if !std::mem::replace(&mut self.query_mut(id).touched, true) {
            self.touched.push_back(id);
        }
    }

    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The query that was touched first, which then is not touched any more.
    pub fn take_touched(&mut self) -> Option<QueryId> {
        while let Some(id) = self.touched.pop_front() {
            let query = self.queries.get_mut(id);
            if query.is_some_and(|query| std::mem::take(&mut query.touched)) {
                return Some(id);
            }
        }
        None
    }

    /// Keeps a query touched that was taken, without its being taken again.
    pub fn put_aside(&mut self, id: QueryId) {
        self.query_mut(id).touched = true;
    }

    /// Has a query that was put aside taken again, if it is still there.
    pub fn bring_back(&mut self, id: QueryId) {
        if self.get(id).is_some_and(|query| query.touched) {
            self.touched.push_back(id);
        }
    }

    /// Forgets that a query was touched.
    pub fn untouch(&mut self, id: QueryId) {
        self.query_mut(id).touched = false;
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{colliding_keys, get};
    use super::*;

    /// The index is as fast for them as for any others: nothing is looked at but a line's own entry.
    #[test]
    fn lines_of_one_fingerprint_have_hashes_of_their_own() {
        let mut index = Index::new(KeyHasher::new([7; 16]));
        let lines: Vec<Line> = colliding_keys().take(2_000).map(|key| get(&key)).collect();
        let fingerprint = lines[0].fingerprint();
        assert!(lines.iter().all(|line| line.fingerprint() == fingerprint));
        let ids: Vec<QueryId> = lines.iter().map(|line| index.insert(3, line.clone(), 0)).collect();
        for (line, id) in lines.iter().zip(&ids) {
            assert_eq!(
                (index.find(3, line, 0), index.find(4, line, 0), index.find(3, line, 5)),
                (Some(*id), None, None)
            );
            let hash = spread(index.hash_of(3, line));
            // Bits of the hash by which the table goes may be alike by chance, and all of 32 bits of a pair or two.
            assert!(index.by_line.of(hash).is_some_and(|shard| shard.iter_hash(hash).count() <= 4));
        }
    }

    #[test]
    fn a_query_is_small() {
        assert!(std::mem::size_of::<Query>() <= 56);
    }
}
