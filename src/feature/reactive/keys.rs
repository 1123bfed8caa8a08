//! From the keys that queries name to the queries.
//!
//! A key that one query names, and no other, takes an entry of four bytes: most do when there are many. The others, and all
//! keys of queries that name several, are shared keys of their own.
//!
//! # Costs
//! A key of no query is told from the others by one word of a filter, in some 98 of 100 cases. The caller hashes keys, which it
//! has done anyway for the lookup.
//!
//! # Invariants
//! - A shared key has at least one query, and a query with one key stands either in an entry or in a shared key.
//! - The filter knows every entry.

use super::filter::Filter;
use super::index::{Query, QueryId};
use crate::base::heap::{self, size_class};
use crate::feature::ids::Ids;
use crate::feature::shards::{SHARDS, Shards};
use crate::feature::slots::Slots;

/// What stands under a key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The one key of the one query that names it.
    Single(QueryId),
    /// The number of a shared key.
    SharedKey(u32),
}

/// An entry in four bytes: the top bit tells the two kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed(u32);

const SHARED: u32 = 1 << 31;

impl Packed {
    fn entry(self) -> Entry {
        if self.0 & SHARED == 0 { Entry::Single(self.0) } else { Entry::SharedKey(self.0 ^ SHARED) }
    }
}

impl From<Entry> for Packed {
    fn from(entry: Entry) -> Packed {
        Packed(match entry {
            Entry::Single(query) => query,
            Entry::SharedKey(shared_key) => shared_key | SHARED,
        })
    }
}

/// A key with the queries that name it.
#[derive(Debug)]
struct SharedKey {
    name: Box<[u8]>,
    db: u32,
    queries: Ids,
}

impl SharedKey {
    fn heap_bytes(&self) -> usize {
        size_class(self.name.len()) + self.queries.heap_bytes()
    }
}

/// Database and name of an entry's key.
fn name_of<'a>(entry: Packed, queries: &'a Slots<Query>, shared_keys: &'a Slots<SharedKey>) -> (u32, &'a [u8]) {
    match entry.entry() {
        Entry::Single(id) => {
            let query = queries.get(id).expect("an entry's query is known");
            (query.db, query.line().keys().next().expect("it has a key"))
        }
        Entry::SharedKey(id) => {
            let shared_key = shared_keys.get(id).expect("an entry's shared key is known");
            (shared_key.db, &shared_key.name)
        }
    }
}

/// All keys that queries name.
#[derive(Debug, Default)]
pub(super) struct Keys {
    shards: Shards<Packed>,
    filter: Filter,
    shared_keys: Slots<SharedKey>,
    len: usize,
    /// What the shared keys have on the heap, in bytes.
    shared_bytes: usize,
}

/// How keys are hashed.
pub(super) trait Hash: Fn(&[u8]) -> u64 {}
impl<H: Fn(&[u8]) -> u64> Hash for H {}

impl Keys {
    /// The parts that they are in.
    pub const PARTS: usize = SHARDS;

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes on the heap. O(chunks of shared keys).
    pub fn heap_bytes(&self) -> usize {
        self.shards.heap_bytes() + self.filter.heap_bytes() + self.shared_keys.heap_bytes() + self.shared_bytes
    }

    /// Panics if the running sum is not that of what there is. O(shared keys).
    #[cfg(test)]
    pub fn check_bytes(&self) {
        assert_eq!(
            self.shared_bytes,
            self.shared_keys.iter().map(|(_, shared_key)| shared_key.heap_bytes()).sum::<usize>()
        );
    }

    fn share(&mut self, shared_key: SharedKey) -> u32 {
        self.shared_bytes += shared_key.heap_bytes();
        self.shared_keys.insert(shared_key)
    }

    /// False if no query names a key of this hash. One word is looked at.
    #[inline]
    pub fn may_hold(&self, hash: u64) -> bool {
        self.filter.may_hold(hash)
    }

    /// Where the word is that [`Keys::may_hold`] looks at.
    #[inline]
    pub fn filter_word(&self, hash: u64) -> Option<&u64> {
        self.filter.place(hash)
    }

    fn find(&self, queries: &Slots<Query>, db: u32, name: &[u8], hash: u64) -> Option<Entry> {
        let shard = self.shards.of(hash)?;
        shard.find(hash, |entry| name_of(*entry, queries, &self.shared_keys) == (db, name)).map(|entry| entry.entry())
    }

    /// The queries that name a key, in no particular order.
    pub fn queries(&self, queries: &Slots<Query>, db: u32, name: &[u8], hash: u64) -> impl Iterator<Item = QueryId> {
        let found = if self.may_hold(hash) { self.find(queries, db, name, hash) } else { None };
        self.those_of(found)
    }

    fn those_of(&self, entry: Option<Entry>) -> impl Iterator<Item = QueryId> {
        let (single, shared_key) = match entry {
            None => (None, None),
            Some(Entry::Single(id)) => (Some(id), None),
            Some(Entry::SharedKey(id)) => (None, self.shared_keys.get(id)),
        };
        single.into_iter().chain(shared_key.into_iter().flat_map(|shared_key| shared_key.queries.iter()))
    }

    /// Every key: its database, its name and its queries.
    pub fn iter<'a>(
        &'a self,
        queries: &'a Slots<Query>,
    ) -> impl Iterator<Item = (u32, &'a [u8], impl Iterator<Item = QueryId> + 'a)> {
        self.shards.iter().map(|entry| self.show(*entry, queries))
    }

    /// The keys of one part of all, by its number, in the same form.
    pub fn part<'a>(
        &'a self,
        queries: &'a Slots<Query>,
        index: usize,
    ) -> impl Iterator<Item = (u32, &'a [u8], impl Iterator<Item = QueryId> + 'a)> {
        self.shards.part(index).map(|entry| self.show(*entry, queries))
    }

    fn show<'a>(
        &'a self,
        entry: Packed,
        queries: &'a Slots<Query>,
    ) -> (u32, &'a [u8], impl Iterator<Item = QueryId> + 'a) {
        let (db, name) = name_of(entry, queries, &self.shared_keys);
        (db, name, self.those_of(Some(entry.entry())))
    }

    /// Adds the keys of a query. O(keys).
    pub fn add(&mut self, queries: &Slots<Query>, id: QueryId, hash: impl Hash) {
        let query = queries.get(id).expect("it was just added");
        let is_single = query.line().keys().nth(1).is_none();
        for name in query.line().keys() {
            let hashed = hash(name);
            match self.find(queries, query.db, name, hashed) {
                None if is_single => self.insert(queries, hashed, Entry::Single(id), &hash),
                None => {
                    let shared_key = SharedKey { name: name.into(), db: query.db, queries: Ids::one(id) };
                    let shared_key = self.share(shared_key);
                    self.insert(queries, hashed, Entry::SharedKey(shared_key), &hash);
                }
                Some(Entry::SharedKey(shared_key)) => {
                    let shared_key = self.shared_keys.get_mut(shared_key).expect("an entry's shared key is known");
                    heap::change(&mut self.shared_bytes, shared_key, SharedKey::heap_bytes, |shared_key| {
                        shared_key.queries.insert(id)
                    });
                }
                Some(entry @ Entry::Single(other)) => {
                    let mut both = Ids::one(other);
                    both.insert(id);
                    let shared_key = self.share(SharedKey { name: name.into(), db: query.db, queries: both });
                    let place = self.shards.of_mut(hashed).find_mut(hashed, |own| *own == entry.into());
                    *place.expect("it was just found") = Entry::SharedKey(shared_key).into();
                }
            }
        }
    }

    fn insert(&mut self, queries: &Slots<Query>, hashed: u64, entry: Entry, hash: &impl Hash) {
        let Keys { shards, shared_keys, filter, .. } = self;
        let again = |entry: &Packed| hash(name_of(*entry, queries, shared_keys).1);
        let shard = shards.of_mut(hashed);
        shard.insert_unique(hashed, entry.into(), again);
        filter.add(hashed, shard.capacity(), shard.iter().map(again));
        self.len += 1;
    }

    /// Takes out the keys of a query that is about to go. O(keys).
    pub fn remove(&mut self, queries: &Slots<Query>, id: QueryId, hash: impl Hash) {
        let query = queries.get(id).expect("it is still known");
        for name in query.line().keys() {
            let hashed = hash(name);
            // A key that the line names twice may be gone already.
            let Some(entry) = self.find(queries, query.db, name, hashed) else { continue };
            if let Entry::SharedKey(number) = entry {
                let shared_key = self.shared_keys.get_mut(number).expect("an entry's shared key is known");
                heap::change(&mut self.shared_bytes, shared_key, SharedKey::heap_bytes, |shared_key| {
                    shared_key.queries.remove(id)
                });
                if !shared_key.queries.is_empty() {
                    continue;
                }
            }
            self.remove_entry(queries, hashed, entry, &hash);
        }
    }

    fn remove_entry(&mut self, queries: &Slots<Query>, hashed: u64, entry: Entry, hash: &impl Hash) {
        let Keys { shards, shared_keys, filter, shared_bytes, .. } = self;
        if let Entry::SharedKey(number) = entry {
            *shared_bytes -= shared_keys.remove(number).map_or(0, |shared_key| shared_key.heap_bytes());
        }
        let again = |entry: &Packed| hash(name_of(*entry, queries, shared_keys).1);
        let shard = shards.of_mut(hashed);
        if let Ok(found) = shard.find_entry(hashed, |own| *own == entry.into()) {
            found.remove();
            self.len -= 1;
        }
        if shard.len() < shard.capacity() / 8 {
            shard.shrink_to(2 * shard.len(), again);
        }
        filter.remove(hashed, shard.capacity(), shard.iter().map(again));
        if self.len == 0 {
            *filter = Filter::default();
        }
    }
}
