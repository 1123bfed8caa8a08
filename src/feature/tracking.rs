//! Client-side caching: which clients have read which keys, and have to be told when they change.
//!
//! A client that is told has to read the key again to be told once more, so a key leaves the table with its first change. Keys
//! are told apart by name alone, whatever database they are in, as in Redis.
//!
//! - `names`: the names, packed.
//! - [`prefixes`]: those who are told of all keys that begin with something, whether they have read them or not.
//!
//! # Memory
//! A key that one client has read takes its name and 5 bytes, and 6 to 12 in the hash table; another 24 bytes if there are
//! several clients, and 4 to 8 for each of them.
//!
//! # Invariants
//! - A key is known while somebody has read it who may have to be told. `items` counts its readers, as do `counts`.
//! - A reader's number is a member's: nobody else's until all that it has read has been forgotten.
//!
//! Called by the server, which knows who wants to be told of what and sends the messages. Knows no sessions and no values.

mod names;
pub mod prefixes;
#[cfg(test)]
mod tests;

use super::ids::Ids;
use super::shards::Shards;
use super::slots::Slots;
use crate::base::heap;
use crate::store::hash::KeyHasher;
use names::{Names, Place};

/// Readers up to which they stand in a list.
const FEW_MAX: usize = 32;
/// Set in a name's number if it is that of a set of readers, and not that of the only one.
const SET: u32 = 1 << 31;

/// Who has read a key.
#[derive(Debug)]
pub enum Readers {
    /// One.
    One(u32),
    /// Several.
    Few(Vec<u32>),
    /// Many.
    Many(ManyReaders),
}

/// Members without an order.
#[derive(Debug)]
pub struct ManyReaders(Ids);

impl Readers {
    /// The members, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let (one, few, many) = match self {
            Readers::One(one) => (Some(*one), None, None),
            Readers::Few(few) => (None, Some(few), None),
            Readers::Many(many) => (None, None, Some(many)),
        };
        let few = few.into_iter().flat_map(|few| few.iter().copied());
        one.into_iter().chain(few).chain(many.into_iter().flat_map(|many| many.0.iter()))
    }

    /// Bytes on the heap.
    fn heap_bytes(&self) -> usize {
        match self {
            Readers::One(_) => 0,
            Readers::Few(few) => heap::vec(few),
            Readers::Many(many) => many.0.heap_bytes(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Readers::One(_) => 1,
            Readers::Few(few) => few.len(),
            Readers::Many(many) => many.0.len(),
        }
    }

    /// Adds a member. False if it was there.
    fn insert(&mut self, member: u32) -> bool {
        match self {
            Readers::One(one) if *one == member => return false,
            Readers::One(one) => *self = Readers::Few(vec![*one, member]),
            Readers::Few(few) if few.contains(&member) => return false,
            Readers::Few(few) if few.len() < FEW_MAX => few.push(member),
            Readers::Few(few) => {
                let mut many = Ids::default();
                for one in few.iter().chain([&member]) {
                    many.insert(*one);
                }
                *self = Readers::Many(ManyReaders(many));
            }
            Readers::Many(many) => return many.0.insert(member),
        }
        true
    }

    fn remove(&mut self, member: u32) {
        match self {
            Readers::One(_) => {}
            Readers::Few(few) => few.retain(|one| *one != member),
            Readers::Many(many) => {
                many.0.remove(member);
            }
        }
    }
}

/// There is no room for more names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The keys that clients have read.
#[derive(Debug)]
pub struct KeysRead {
    hasher: KeyHasher,
    names: Names,
    by_name: Shards<Place>,
    sets: Slots<Readers>,
    /// What the members of `sets` have on the heap, in bytes.
    sets_bytes: usize,
    keys: usize,
    items: usize,
    /// For each member, how many keys it has read that are known.
    counts: Vec<u32>,
    /// The page that is looked at next, for what is to go.
    hand: usize,
}

impl KeysRead {
    /// None.
    pub fn new(hasher: KeyHasher) -> KeysRead {
        let (names, by_name, sets) = Default::default();
        KeysRead { hasher, names, by_name, sets, sets_bytes: 0, keys: 0, items: 0, counts: Vec::new(), hand: 0 }
    }

    /// Bytes on the heap. O(pages of names).
    pub fn heap_bytes(&self) -> usize {
        let tables = self.names.heap_bytes() + self.by_name.heap_bytes() + self.sets.heap_bytes();
        tables + self.sets_bytes + heap::vec(&self.counts)
    }

    /// How many keys are known.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many readers they have, all together.
    pub fn items(&self) -> usize {
        self.items
    }

    /// How many keys a member has read that are known.
    fn count_of(&self, member: u32) -> u32 {
        self.counts.get(member as usize).copied().unwrap_or(0)
    }

    /// Notes that a member has read a key, whose hash this is. O(name).
    ///
    /// # Errors
    /// There is no room. Nothing was noted, so the member has to be told now.
    pub fn note(&mut self, member: usize, hash: u64, name: &[u8]) -> Result<(), Full> {
        let member = member as u32;
        let KeysRead { hasher, names, by_name, sets, sets_bytes, .. } = self;
        let found = by_name.of(hash).and_then(|shard| shard.find(hash, |place| names.name(*place) == name)).copied();
        let is_new = match found {
            Some(place) => {
                let number = names.number(place);
                if number & SET != 0 {
                    let readers = sets.get_mut(number ^ SET).expect("a name's set is there");
                    heap::change(sets_bytes, readers, Readers::heap_bytes, |readers| readers.insert(member))
                } else if number == member {
                    false
                } else {
                    let readers = Readers::Few(vec![number, member]);
                    *sets_bytes += readers.heap_bytes();
                    let set = sets.insert(readers);
                    names.set_number(place, set | SET);
                    true
                }
            }
            None => {
                let place = names.push(name, member).ok_or(Full)?;
                by_name.of_mut(hash).insert_unique(hash, place, |place| hasher.hash(names.name(*place)));
                self.keys += 1;
                true
            }
        };
        if is_new {
            self.items += 1;
            if self.counts.len() <= member as usize {
                self.counts.resize(member as usize + 1, 0);
            }
            self.counts[member as usize] += 1;
        }
        Ok(())
    }

    /// Forgets a key; its readers, if anybody has read it. O(name + readers).
    pub fn take(&mut self, hash: u64, name: &[u8]) -> Option<Readers> {
        let KeysRead { names, by_name, .. } = self;
        if self.keys == 0 {
            return None;
        }
        let entry = by_name.of_mut(hash).find_entry(hash, |place| names.name(*place) == name).ok()?;
        let (place, _) = entry.remove();
        let (readers, is_sparse) = self.drop_record(place);
        if is_sparse {
            self.compact(place);
        }
        Some(readers)
    }

    /// Forgets a key that has been taken out of the hash table. True if its page should be packed anew.
    fn drop_record(&mut self, place: Place) -> (Readers, bool) {
        let number = self.names.number(place);
        let readers = match number & SET {
            0 => Readers::One(number),
            _ => self.sets.remove(number ^ SET).expect("a name's set is there"),
        };
        self.sets_bytes -= readers.heap_bytes();
        self.keys -= 1;
        self.items -= readers.len();
        readers.iter().for_each(|member| self.counts[member as usize] -= 1);
        (readers, self.names.remove(place))
    }

    fn unlink(&mut self, place: Place) {
        let hash = self.hasher.hash(self.names.name(place));
        let entry = self.by_name.of_mut(hash).find_entry(hash, |other| *other == place);
        entry.expect("a name is found").remove();
    }

    /// Packs the page of a place anew. O(page).
    fn compact(&mut self, place: Place) {
        let KeysRead { hasher, names, by_name, .. } = self;
        let taken = names.take(place);
        for (old, number, name) in taken.records() {
            let hash = hasher.hash(name);
            let new = names.push(name, number).expect("there is room for what was there");
            *by_name.of_mut(hash).find_mut(hash, |place| *place == old).expect("a name is found") = new;
        }
        names.give_back(taken);
    }

    /// Forgets the key that has been known longest, or one of about its age, for want of room; its name and readers. O(page).
    pub fn evict(&mut self) -> Option<(Box<[u8]>, Readers)> {
        if self.keys == 0 {
            return None;
        }
        let place = loop {
            self.hand %= self.names.pages();
            if let Some((place, _)) = self.names.of_page(self.hand).next() {
                break place;
            }
            self.hand += 1;
        };
        let name: Box<[u8]> = self.names.name(place).into();
        self.unlink(place);
        // The page is the one that empties, so it is not packed anew.
        let (readers, _) = self.drop_record(place);
        Some((name, readers))
    }

    /// Forgets what a member has read that has gone, and on the way what others have that have gone, as much as the budget allows.
    /// True if nothing is left of that member; the same one has to be asked for until then.
    pub fn forget_some(&mut self, member: usize, is_gone: impl Fn(u32) -> bool, budget: &mut usize) -> bool {
        while self.count_of(member as u32) > 0 {
            if *budget == 0 {
                return false;
            }
            self.hand %= self.names.pages();
            self.sweep(self.hand, &is_gone, budget);
            self.hand += 1;
        }
        true
    }

    /// Takes those who have gone out of a page's records.
    fn sweep(&mut self, page: usize, is_gone: &impl Fn(u32) -> bool, budget: &mut usize) {
        let mut spent = 1;
        let mut ends = Vec::new();
        for (place, number) in self.names.of_page(page) {
            spent += 1;
            if number & SET == 0 {
                ends.extend(is_gone(number).then_some(place));
                continue;
            }
            let readers = self.sets.get_mut(number ^ SET).expect("a name's set is there");
            spent += readers.len();
            let gone: Vec<u32> = readers.iter().filter(|member| is_gone(*member)).collect();
            if gone.len() == readers.len() {
                ends.push(place);
                continue;
            }
            for member in gone {
                heap::change(&mut self.sets_bytes, readers, Readers::heap_bytes, |readers| readers.remove(member));
                self.items -= 1;
                self.counts[member as usize] -= 1;
            }
        }
        *budget = budget.saturating_sub(spent);
        let Some(last) = ends.last().copied() else { return };
        let mut is_sparse = false;
        for place in ends {
            self.unlink(place);
            (_, is_sparse) = self.drop_record(place);
        }
        if is_sparse {
            self.compact(last);
        }
    }
}
