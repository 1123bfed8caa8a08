//! The queries that are watched, found by their lines and by the keys they name.
//!
//! # Invariants
//! - A query is known while it has a subscriber, and a key while a query names it.
//! - A query holds its place among the queries of each of its keys, and the subscribers know theirs, so that every change
//!   of one query costs O(its keys), however many others there are.
//! - A query that was touched is in the list of touched queries until it is taken from there, or gone.
//!
//! Called by [`super::Reactive`] alone.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use slab::Slab;

use super::few::Few;
use super::query::Line;

/// A query's number, for as long as it is known.
pub type QueryId = u32;

/// Where a query stands among the queries of a key.
#[derive(Clone, Copy, Debug)]
struct Link {
    key: u32,
    place: u32,
}

#[derive(Debug)]
struct Key {
    name: Box<[u8]>,
    db: u32,
    /// In no particular order.
    queries: Few<QueryId>,
}

/// One query, with those who watch it.
#[derive(Debug)]
pub struct Query {
    line: Line,
    keys: Few<Link>,
    /// Clients, in no particular order.
    pub(super) subscribers: Few<u32>,
    db: u32,
    fingerprint: u32,
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

    /// The clients that watch it, by the index of their session, in no particular order. Never empty.
    pub fn subscribers(&self) -> &[u32] {
        self.subscribers.as_slice()
    }
}

/// All queries.
#[derive(Debug, Default)]
pub(super) struct Index {
    hasher: RandomState,
    queries: Slab<Query>,
    /// Queries by fingerprint.
    by_line: HashTable<QueryId>,
    keys: Slab<Key>,
    by_name: HashTable<u32>,
    touched: VecDeque<QueryId>,
}

impl Index {
    pub fn len(&self) -> usize {
        self.queries.len()
    }

    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    pub fn query(&self, id: QueryId) -> &Query {
        &self.queries[id as usize]
    }

    pub fn subscribers_mut(&mut self, id: QueryId) -> &mut Few<u32> {
        &mut self.queries[id as usize].subscribers
    }

    /// Numbers of all queries, in the order of their numbers.
    pub fn ids(&self) -> impl Iterator<Item = QueryId> {
        self.queries.iter().map(|(id, _)| id as QueryId)
    }

    /// The number of a query, if it is known.
    pub fn find(&self, db: usize, fingerprint: u32, line: &Line) -> Option<QueryId> {
        let is_it = |id: &QueryId| {
            let query = &self.queries[*id as usize];
            query.fingerprint == fingerprint && query.db == db as u32 && query.line == *line
        };
        self.by_line.find(spread(fingerprint), is_it).copied()
    }

    /// The queries with a fingerprint: one for each database in which it is watched, barring chance.
    pub fn with_fingerprint(&self, fingerprint: u32) -> Vec<QueryId> {
        let those = self.by_line.iter_hash(spread(fingerprint)).copied();
        those.filter(|id| self.queries[*id as usize].fingerprint == fingerprint).collect()
    }

    /// Adds a query that is not known yet. The caller gives it its first subscriber. O(keys).
    pub fn insert(&mut self, db: usize, fingerprint: u32, line: Line, names: &[&[u8]]) -> QueryId {
        let (db, keys, subscribers) = (db as u32, Few::None, Few::None);
        let id = self.queries.insert(Query { line, keys, subscribers, db, fingerprint, touched: false }) as QueryId;
        let queries = &self.queries;
        self.by_line.insert_unique(spread(fingerprint), id, |id| spread(queries[*id as usize].fingerprint));
        let mut links = Few::None;
        for name in names {
            let key = self.key(db, name);
            let queries = &mut self.keys[key as usize].queries;
            // A key that the line names twice has the query in the last place already.
            if queries.as_slice().last() != Some(&id) {
                links.push(Link { key, place: queries.push(id) });
            }
        }
        self.queries[id as usize].keys = links;
        id
    }

    /// The number of a key, which becomes known if it is not.
    fn key(&mut self, db: u32, name: &[u8]) -> u32 {
        let Index { hasher, keys, by_name, .. } = self;
        let hash = |key: &Key| hasher.hash_one((key.db, &*key.name));
        let wanted = hasher.hash_one((db, name));
        let found = by_name.find(wanted, |id| keys[*id as usize].db == db && *keys[*id as usize].name == *name);
        if let Some(id) = found {
            return *id;
        }
        let id = keys.insert(Key { name: name.into(), db, queries: Few::None }) as u32;
        by_name.insert_unique(wanted, id, |id| hash(&keys[*id as usize]));
        id
    }

    /// Forgets a query. O(keys of the query).
    pub fn remove(&mut self, id: QueryId) {
        let Query { keys: links, fingerprint, .. } = self.queries.remove(id as usize);
        if let Ok(entry) = self.by_line.find_entry(spread(fingerprint), |other| *other == id) {
            entry.remove();
        }
        for link in links.as_slice() {
            let key = &mut self.keys[link.key as usize];
            key.queries.swap_remove(link.place);
            if let Some(moved) = key.queries.as_slice().get(link.place as usize) {
                let links = self.queries[*moved as usize].keys.as_mut_slice();
                let own = links.iter_mut().find(|other| other.key == link.key);
                own.expect("a query has a link to each of its keys").place = link.place;
            } else if key.queries.as_slice().is_empty() {
                let Key { db, name, .. } = self.keys.remove(link.key as usize);
                let hash = self.hasher.hash_one((db, &*name));
                if let Ok(entry) = self.by_name.find_entry(hash, |key| *key == link.key) {
                    entry.remove();
                }
            }
        }
    }

    /// Notes that a key has changed. O(1), and O(1) for each of its queries.
    pub fn touch(&mut self, db: usize, name: &[u8]) {
        let (db, keys) = (db as u32, &self.keys);
        let hash = self.hasher.hash_one((db, name));
        let is_it = |id: &u32| keys[*id as usize].db == db && *keys[*id as usize].name == *name;
        if let Some(&key) = self.by_name.find(hash, is_it) {
            self.touch_key(key);
        }
    }

    fn touch_key(&mut self, key: u32) {
        for &id in self.keys[key as usize].queries.as_slice() {
            let query = &mut self.queries[id as usize];
            if !std::mem::replace(&mut query.touched, true) {
                self.touched.push_back(id);
            }
        }
    }

    /// Notes that keys of a database have changed: those of which `changed` says so. O(keys that are watched).
    pub fn touch_those(&mut self, db: usize, changed: impl Fn(&[u8]) -> bool) {
        let those = self.keys.iter().filter(|(_, key)| key.db == db as u32 && changed(&key.name));
        those.map(|(id, _)| id as u32).collect::<Vec<_>>().into_iter().for_each(|key| self.touch_key(key));
    }

    pub fn touch_query(&mut self, id: QueryId) {
        let query = &mut self.queries[id as usize];
        if !std::mem::replace(&mut query.touched, true) {
            self.touched.push_back(id);
        }
    }

    /// Database, name and number of queries of each key, in no particular order.
    pub fn watched_keys(&self) -> impl Iterator<Item = (usize, &[u8], usize)> {
        self.keys.iter().map(|(_, key)| (key.db as usize, &*key.name, key.queries.as_slice().len()))
    }

    pub fn has_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// The query that was touched first, which then is not touched any more.
    pub fn take_touched(&mut self) -> Option<QueryId> {
        while let Some(id) = self.touched.pop_front() {
            let query = self.queries.get_mut(id as usize);
            if query.is_some_and(|query| std::mem::take(&mut query.touched)) {
                return Some(id);
            }
        }
        None
    }

    /// Forgets that a query was touched.
    pub fn untouch(&mut self, id: QueryId) {
        self.queries[id as usize].touched = false;
    }
}

/// A fingerprint as a hash whose upper bits differ as well.
fn spread(fingerprint: u32) -> u64 {
    u64::from(fingerprint).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
