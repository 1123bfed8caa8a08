//! From the keys that queries name to the queries.
//!
//! A key that one query names, and no other, takes an entry of four bytes: most do when there are many. The others, and all
//! keys of queries that name several, are crowds of their own.
//!
//! # Costs
//! A key of no query is told from the others by one word of a filter, in some 98 of 100 cases. The caller hashes keys, which it
//! has done anyway for the lookup.
//!
//! # Invariants
//! - A crowd has at least one query, and a query with one key stands either in an entry or in a crowd.
//! - The filter knows every entry.

use super::filter::Filter;
use super::ids::Ids;
use super::index::{Query, QueryId};
use super::shards::{SHARDS, Shards};
use super::slots::Slots;

/// What stands under a key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    /// The one key of the one query that names it.
    Single(QueryId),
    /// The number of a crowd.
    Crowd(u32),
}

/// An entry in four bytes: the top bit tells the two kinds apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Packed(u32);

const CROWD: u32 = 1 << 31;

impl Packed {
    fn entry(self) -> Entry {
        if self.0 & CROWD == 0 { Entry::Single(self.0) } else { Entry::Crowd(self.0 ^ CROWD) }
    }
}

impl From<Entry> for Packed {
    fn from(entry: Entry) -> Packed {
        Packed(match entry {
            Entry::Single(query) => query,
            Entry::Crowd(crowd) => crowd | CROWD,
        })
    }
}

/// A key with the queries that name it.
#[derive(Debug)]
struct Crowd {
    name: Box<[u8]>,
    db: u32,
    queries: Ids,
}

/// Database and name of an entry's key.
fn name_of<'a>(entry: Packed, queries: &'a Slots<Query>, crowds: &'a Slots<Crowd>) -> (u32, &'a [u8]) {
    match entry.entry() {
        Entry::Single(id) => {
            let query = queries.get(id).expect("an entry's query is known");
            (query.db, query.line().keys().next().expect("it has a key"))
        }
        Entry::Crowd(id) => {
            let crowd = crowds.get(id).expect("an entry's crowd is known");
            (crowd.db, &crowd.name)
        }
    }
}

/// All keys that queries name.
#[derive(Debug, Default)]
pub(super) struct Keys {
    shards: Shards<Packed>,
    filter: Filter,
    crowds: Slots<Crowd>,
    len: usize,
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
        shard.find(hash, |entry| name_of(*entry, queries, &self.crowds) == (db, name)).map(|entry| entry.entry())
    }

    /// The queries that name a key, in no particular order.
    pub fn queries(&self, queries: &Slots<Query>, db: u32, name: &[u8], hash: u64) -> impl Iterator<Item = QueryId> {
        let found = if self.may_hold(hash) { self.find(queries, db, name, hash) } else { None };
        self.those_of(found)
    }

    fn those_of(&self, entry: Option<Entry>) -> impl Iterator<Item = QueryId> {
        let (single, crowd) = match entry {
            None => (None, None),
            Some(Entry::Single(id)) => (Some(id), None),
            Some(Entry::Crowd(id)) => (None, self.crowds.get(id)),
        };
        single.into_iter().chain(crowd.into_iter().flat_map(|crowd| crowd.queries.iter()))
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
        let (db, name) = name_of(entry, queries, &self.crowds);
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
                    let crowd = Crowd { name: name.into(), db: query.db, queries: Ids::one(id) };
                    let crowd = self.crowds.insert(crowd);
                    self.insert(queries, hashed, Entry::Crowd(crowd), &hash);
                }
                Some(Entry::Crowd(crowd)) => {
                    let crowd = self.crowds.get_mut(crowd).expect("an entry's crowd is known");
                    crowd.queries.insert(id);
                }
                Some(entry @ Entry::Single(other)) => {
                    let mut both = Ids::one(other);
                    both.insert(id);
                    let crowd = self.crowds.insert(Crowd { name: name.into(), db: query.db, queries: both });
                    let place = self.shards.of_mut(hashed).find_mut(hashed, |own| *own == entry.into());
                    *place.expect("it was just found") = Entry::Crowd(crowd).into();
                }
            }
        }
    }

    fn insert(&mut self, queries: &Slots<Query>, hashed: u64, entry: Entry, hash: &impl Hash) {
        let Keys { shards, crowds, filter, .. } = self;
        let again = |entry: &Packed| hash(name_of(*entry, queries, crowds).1);
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
            if let Entry::Crowd(number) = entry {
                let crowd = self.crowds.get_mut(number).expect("an entry's crowd is known");
                crowd.queries.remove(id);
                if !crowd.queries.is_empty() {
                    continue;
                }
            }
            self.remove_entry(queries, hashed, entry, &hash);
        }
    }

    fn remove_entry(&mut self, queries: &Slots<Query>, hashed: u64, entry: Entry, hash: &impl Hash) {
        let Keys { shards, crowds, filter, .. } = self;
        if let Entry::Crowd(number) = entry {
            crowds.remove(number);
        }
        let again = |entry: &Packed| hash(name_of(*entry, queries, crowds).1);
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
