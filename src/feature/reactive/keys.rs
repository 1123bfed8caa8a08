//! From the keys that queries name to the queries.
//!
//! A key that one query names, and no other, takes an entry of four bytes: most do when there are many. The others, and all
//! keys of queries that name several, are crowds of their own.
//!
//! # Costs
//! A key of no query is told from the others by one word of a filter, in some 98 of 100 cases: a Bloom filter whose bits for one
//! key lie in one word (Putze, Sanders and Singler, "Cache-, hash- and space-efficient Bloom filters", 2007). The caller
//! hashes keys, which it has done anyway for the lookup.
//!
//! # Invariants
//! - A crowd has at least one query, and a query with one key stands either in an entry or in a crowd.
//! - The filter of a shard has the bits of each of its entries, and those of at most as many that are gone as its table can
//!   hold.

use super::ids::Ids;
use super::index::{Query, QueryId};
use super::shards::Shards;
use super::slots::Slots;

/// Bits of a filter for each entry that the table has room for.
const FILTER_BITS: usize = 8;

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

/// Three bits of one word for each hash of a shard's entries.
#[derive(Debug, Default)]
struct Filter {
    bits: Box<[u64]>,
    /// Removals since the bits were set anew.
    stale: usize,
}

impl Filter {
    /// The word of a hash, and its bits in it. Neither depends on the parts of the hash that choose the shard.
    fn place(&self, hash: u64) -> (usize, u64) {
        let bit = |shift: u32| 1u64 << (hash >> shift & 63);
        ((hash >> 22) as usize & (self.bits.len() - 1), bit(4) | bit(10) | bit(16))
    }

    #[inline]
    fn may_hold(&self, hash: u64) -> bool {
        if self.bits.is_empty() {
            return false;
        }
        let (word, bits) = self.place(hash);
        self.bits[word] & bits == bits
    }

    fn add(&mut self, hash: u64) {
        let (word, bits) = self.place(hash);
        self.bits[word] |= bits;
    }

    /// True if it is too small for a table, or too many of its bits mean nothing.
    fn is_unfit(&self, capacity: usize) -> bool {
        self.bits.len() != Self::words(capacity) || self.stale > capacity
    }

    fn words(capacity: usize) -> usize {
        (FILTER_BITS * capacity / 64).next_power_of_two()
    }
}

/// All keys that queries name.
#[derive(Debug, Default)]
pub(super) struct Keys {
    shards: Shards<Packed>,
    filters: Vec<Filter>,
    crowds: Slots<Crowd>,
    len: usize,
}

/// How keys are hashed.
pub(super) trait Hash: Fn(&[u8]) -> u64 {}
impl<H: Fn(&[u8]) -> u64> Hash for H {}

impl Keys {
    /// The parts that they are in.
    pub const PARTS: usize = Shards::<Packed>::COUNT;

    pub fn len(&self) -> usize {
        self.len
    }

    /// False if no query names a key of this hash. One word is looked at.
    #[inline]
    pub fn may_hold(&self, hash: u64) -> bool {
        self.filters.get(Shards::<Packed>::index(hash)).is_some_and(|filter| filter.may_hold(hash))
    }

    /// Where the word is that [`Keys::may_hold`] looks at.
    #[inline]
    pub fn filter_word(&self, hash: u64) -> Option<&u64> {
        let filter = self.filters.get(Shards::<Packed>::index(hash)).filter(|filter| !filter.bits.is_empty())?;
        Some(&filter.bits[filter.place(hash).0])
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
                    let crowd = Crowd { name: name.into(), db: query.db, queries: Ids::One(id) };
                    let crowd = self.crowds.insert(crowd);
                    self.insert(queries, hashed, Entry::Crowd(crowd), &hash);
                }
                Some(Entry::Crowd(crowd)) => {
                    let crowd = self.crowds.get_mut(crowd).expect("an entry's crowd is known");
                    crowd.queries.insert(id);
                }
                Some(entry @ Entry::Single(other)) => {
                    let mut both = Ids::One(other);
                    both.insert(id);
                    let crowd = self.crowds.insert(Crowd { name: name.into(), db: query.db, queries: both });
                    let place = self.shards.of_mut(hashed).find_mut(hashed, |own| *own == entry.into());
                    *place.expect("it was just found") = Entry::Crowd(crowd).into();
                }
            }
        }
    }

    fn insert(&mut self, queries: &Slots<Query>, hashed: u64, entry: Entry, hash: &impl Hash) {
        if self.filters.is_empty() {
            self.filters.resize_with(Shards::<Packed>::COUNT, Filter::default);
        }
        let Keys { shards, crowds, .. } = self;
        let again = |entry: &Packed| hash(name_of(*entry, queries, crowds).1);
        shards.of_mut(hashed).insert_unique(hashed, entry.into(), again);
        self.len += 1;
        self.refresh_filter(queries, hashed, hash);
        self.filters[Shards::<Packed>::index(hashed)].add(hashed);
    }

    /// Makes the filter of a shard anew if it does not fit the table any more. O(entries of the shard) then.
    fn refresh_filter(&mut self, queries: &Slots<Query>, hashed: u64, hash: &impl Hash) {
        let at = Shards::<Packed>::index(hashed);
        let Some(shard) = self.shards.of(hashed).filter(|shard| self.filters[at].is_unfit(shard.capacity())) else {
            return;
        };
        let mut filter = Filter { bits: vec![0; Filter::words(shard.capacity())].into_boxed_slice(), stale: 0 };
        shard.iter().for_each(|entry| filter.add(hash(name_of(*entry, queries, &self.crowds).1)));
        self.filters[at] = filter;
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
        let Keys { shards, crowds, filters, .. } = self;
        let shard = shards.of_mut(hashed);
        if let Ok(found) = shard.find_entry(hashed, |own| *own == entry.into()) {
            found.remove();
            self.len -= 1;
            filters[Shards::<Packed>::index(hashed)].stale += 1;
        }
        if let Entry::Crowd(number) = entry {
            crowds.remove(number);
        }
        if shard.len() < shard.capacity() / 8 {
            shard.shrink_to(2 * shard.len(), |entry| hash(name_of(*entry, queries, crowds).1));
        }
        self.refresh_filter(queries, hashed, hash);
    }
}
