//! The members of one collection, found by their keys: an unordered vector while they are few, a [`Table`] when they are
//! many.
//!
//! A table's first segment takes 8 KiB, which a small collection is not worth; a vector with one tag byte for each
//! member is searched with `memchr`, so that a lookup costs one scan of a few cache lines and one member. From
//! [`SMALL_MAX`] members on, the table bounds the work of each insert, however many there are. It never becomes a vector
//! again, as the collection has shown that it grows.
//!
//! Used by sets, hashes and sorted sets. Knows nothing of what a member holds beside its key.

use std::fmt;
use std::ops::Deref;

use super::hash::KeyHasher;
use super::table::{Entry, Lent, Occupied, Part, Table};
use crate::base::heap;

/// Members that a vector holds at most: their tags are four cache lines.
pub const SMALL_MAX: usize = 256;

/// Members that are taken out together at most.
pub const BATCH: usize = 32;

/// The members.
pub struct Members<E: Entry> {
    repr: Repr<E>,
    hasher: KeyHasher,
}

enum Repr<E: Entry> {
    Few(Few<E>),
    Many(Table<E>),
}

struct Few<E> {
    /// A byte of each member's hash, in the order of `entries`.
    tags: Vec<u8>,
    entries: Vec<E>,
}

/// A member, lent for `'m`.
pub enum Member<'m, E: Entry> {
    /// From the vector.
    Few(&'m E),
    /// From the table.
    Many(Lent<'m, E>),
}

impl<E: Entry> Deref for Member<'_, E> {
    type Target = E;
    #[inline]
    fn deref(&self) -> &E {
        match self {
            Member::Few(entry) => entry,
            Member::Many(entry) => entry,
        }
    }
}

/// A member's place, exclusively borrowed: to change, replace or remove it without a second search.
pub enum Slot<'m, E: Entry> {
    /// In the vector.
    Few(FewSlot<'m, E>),
    /// In the table.
    Many(Occupied<'m, E>),
}

/// A place in the vector.
pub struct FewSlot<'m, E> {
    few: &'m mut Few<E>,
    index: usize,
}

impl<E: Entry> Slot<'_, E> {
    /// The member, to be changed in place; its key stays.
    pub fn get_mut(&mut self) -> &mut E {
        match self {
            Slot::Few(slot) => &mut slot.few.entries[slot.index],
            Slot::Many(slot) => slot,
        }
    }

    /// Puts another entry of the same key in its place, and returns the old one.
    pub fn replace(&mut self, entry: E) -> E {
        debug_assert!(entry.key() == self.key(), "the key stays");
        match self {
            Slot::Few(slot) => std::mem::replace(&mut slot.few.entries[slot.index], entry),
            Slot::Many(slot) => {
                let mut old = None;
                slot.map(|before| {
                    old = Some(before);
                    entry
                });
                old.expect("`map` runs its function once")
            }
        }
    }

    /// Takes the member out. O(1).
    pub fn remove(self) -> E {
        match self {
            Slot::Few(FewSlot { few, index }) => few.remove(index),
            Slot::Many(slot) => slot.remove(),
        }
    }
}

impl<E: Entry> Deref for Slot<'_, E> {
    type Target = E;
    fn deref(&self) -> &E {
        match self {
            Slot::Few(slot) => &slot.few.entries[slot.index],
            Slot::Many(slot) => slot,
        }
    }
}

fn tag(hash: u64) -> u8 {
    (hash >> 40) as u8
}

impl<E: Entry> Few<E> {
    #[inline]
    fn find(&self, hash: u64, key: &[u8]) -> Option<usize> {
        memchr::memchr_iter(tag(hash), &self.tags).find(|&index| self.entries[index].key() == key)
    }

    fn remove(&mut self, index: usize) -> E {
        self.tags.swap_remove(index);
        self.entries.swap_remove(index)
    }
}

impl<E: Entry> Members<E> {
    /// No members; allocates nothing until the first.
    pub fn new(hasher: KeyHasher) -> Members<E> {
        Members { repr: Repr::Few(Few { tags: Vec::new(), entries: Vec::new() }), hasher }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match &self.repr {
            Repr::Few(few) => few.entries.len(),
            Repr::Many(table) => table.len(),
        }
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The hasher that places the keys.
    pub fn hasher(&self) -> KeyHasher {
        self.hasher
    }

    /// The member of a key. O(1).
    #[inline]
    pub fn get(&self, key: &[u8]) -> Option<Member<'_, E>> {
        let hash = self.hasher.hash(key);
        match &self.repr {
            Repr::Few(few) => few.find(hash, key).map(|index| Member::Few(&few.entries[index])),
            Repr::Many(table) => table.lookup(hash, key).map(Member::Many),
        }
    }

    /// Starts loading the bucket of a key, and returns the key's hash for [`Members::prefetch_entry`].
    #[inline]
    pub fn prefetch_bucket(&self, key: &[u8]) -> u64 {
        let hash = self.hasher.hash(key);
        if let Repr::Many(table) = &self.repr {
            table.prefetch_bucket(hash);
        }
        hash
    }

    /// Starts loading the member that a key of this hash probably has; reads its bucket.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        if let Repr::Many(table) = &self.repr {
            table.prefetch_entry(hash);
        }
    }

    /// Starts loading the buckets of a part of the members.
    #[inline]
    pub fn prefetch_part(&self, part: Part) {
        if let Repr::Many(table) = &self.repr {
            table.prefetch_part(part);
        }
    }

    /// Starts loading the members of a part; reads its buckets.
    #[inline]
    pub fn prefetch_part_entries(&self, part: Part) {
        if let Repr::Many(table) = &self.repr {
            table.prefetch_part_entries(part);
        }
    }

    /// Calls `visit` for the members of a part, of a vector for all. O(members visited).
    pub fn visit_part(&self, part: Part, mut visit: impl FnMut(&E)) {
        match &self.repr {
            Repr::Few(few) => few.entries.iter().for_each(visit),
            Repr::Many(table) => table.visit_part(part, |entry| visit(&entry)),
        }
    }

    /// Calls `visit` for the members of a part, of a vector for all, for some of those that stay more than once, and takes out those
    /// for which it returns false, handing them to `removed`. O(members visited).
    pub fn retain_part(&mut self, part: Part, mut visit: impl FnMut(&E) -> bool, mut removed: impl FnMut(E)) {
        match &mut self.repr {
            Repr::Few(few) => {
                for index in (0..few.entries.len()).rev() {
                    if !visit(&few.entries[index]) {
                        removed(few.remove(index));
                    }
                }
            }
            Repr::Many(table) => table.retain_part(part, |entry| visit(entry), removed),
        }
    }

    /// The place of a key's member. O(1).
    #[inline]
    pub fn slot(&mut self, key: &[u8]) -> Option<Slot<'_, E>> {
        self.slot_hashed(self.hasher.hash(key), key)
    }

    #[inline]
    fn slot_hashed(&mut self, hash: u64, key: &[u8]) -> Option<Slot<'_, E>> {
        match &mut self.repr {
            Repr::Few(few) => {
                let index = few.find(hash, key)?;
                Some(Slot::Few(FewSlot { few, index }))
            }
            Repr::Many(table) => table.occupied(hash, key).map(Slot::Many),
        }
    }

    /// Adds a member whose key is not there. O(1), and O([`SMALL_MAX`]) once, or O(segment) as a table grows.
    pub fn insert(&mut self, entry: E) {
        self.insert_hashed(self.hasher.hash(entry.key()), entry);
    }

    fn insert_hashed(&mut self, hash: u64, entry: E) {
        match &mut self.repr {
            Repr::Few(few) if few.entries.len() < SMALL_MAX => {
                debug_assert!(few.find(hash, entry.key()).is_none(), "the key is already there");
                few.tags.push(tag(hash));
                few.entries.push(entry);
            }
            Repr::Few(few) => {
                let mut table = Table::new(self.hasher);
                for entry in few.entries.drain(..).chain([entry]) {
                    table.insert(self.hasher.hash(entry.key()), entry);
                }
                self.repr = Repr::Many(table);
            }
            Repr::Many(table) => table.insert(hash, entry),
        }
    }

    /// Shows the member of a key to `known`, or adds what `make` makes, of the same key, if there is none. O(1).
    pub fn upsert(&mut self, key: &[u8], known: impl FnOnce(&mut E), make: impl FnOnce() -> E) {
        let hash = self.hasher.hash(key);
        match &mut self.repr {
            Repr::Few(few) => {
                if let Some(index) = few.find(hash, key) {
                    return known(&mut few.entries[index]);
                }
            }
            Repr::Many(table) => {
                if let Some(mut slot) = table.occupied(hash, key) {
                    return known(&mut slot);
                }
            }
        }
        self.insert_hashed(hash, make());
    }

    /// Takes the member of a key out. O(1).
    pub fn remove(&mut self, key: &[u8]) -> Option<E> {
        self.slot(key).map(Slot::remove)
    }

    /// Takes out the members of some keys, up to [`BATCH`] of them; those that are not there do no harm. Their buckets are loaded
    /// together, which makes this twice as fast as taking one after the other out of a large table. O(keys).
    pub fn remove_batch<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]> + Clone) {
        let (mut hashes, mut count) = ([0; BATCH], 0);
        for (hash, key) in hashes.iter_mut().zip(keys.clone()) {
            *hash = self.hasher.hash(key);
            if let Repr::Many(table) = &self.repr {
                table.prefetch_bucket(*hash);
            }
            count += 1;
        }
        for (&hash, key) in hashes[..count].iter().zip(keys) {
            if let Some(slot) = self.slot_hashed(hash, key) {
                slot.remove();
            }
        }
    }

    /// Walks part of the members: see [`Table::scan`] for the cursor and what it guarantees. A vector is walked by one call.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(&E)) -> u64 {
        match &self.repr {
            Repr::Few(few) => {
                few.entries.iter().for_each(visit);
                0
            }
            Repr::Many(table) => table.scan(cursor, |entry| visit(&entry)),
        }
    }

    /// Calls `visit` for the members from a cursor on, 0 at first, until `go_on`, which is asked after some of them, returns
    /// false. Returns the cursor to go on from, or `None` at the end. What does not change meanwhile is visited once. A vector
    /// is walked by one call. O(members visited).
    pub fn read_on(&self, cursor: u64, mut visit: impl FnMut(&E), go_on: impl FnMut() -> bool) -> Option<u64> {
        match &self.repr {
            Repr::Few(few) => {
                few.entries.iter().for_each(visit);
                None
            }
            Repr::Many(table) => table.read_on(cursor, |entry| visit(entry), go_on),
        }
    }

    /// Shows the members from a cursor on to `visit`, which may give one another block, until `go_on` returns false; its key
    /// stays. As [`Members::read_on`] otherwise.
    pub fn defragment(&mut self, cursor: u64, visit: impl FnMut(&mut E), go_on: impl FnMut() -> bool) -> Option<u64> {
        match &mut self.repr {
            Repr::Few(few) => {
                few.entries.iter_mut().for_each(visit);
                None
            }
            Repr::Many(table) => table.defragment(cursor, visit, go_on),
        }
    }

    /// Calls `visit` for every member, in no order. O(N).
    pub fn for_each(&self, mut visit: impl FnMut(&E)) {
        match &self.repr {
            Repr::Few(few) => few.entries.iter().for_each(visit),
            Repr::Many(table) => table.for_each(|entry| visit(&entry)),
        }
    }

    /// A uniformly chosen member. `draw(n)` must return an unbiased number below `n`. O(1) expected.
    pub fn random(&self, mut draw: impl FnMut(u64) -> u64) -> Option<Member<'_, E>> {
        match &self.repr {
            Repr::Few(few) if few.entries.is_empty() => None,
            Repr::Few(few) => Some(Member::Few(&few.entries[draw(few.entries.len() as u64) as usize])),
            Repr::Many(table) => table.random(draw).map(Member::Many),
        }
    }

    /// Bytes of vector or table, the members' own blocks not counted. O(1).
    pub fn bytes(&self) -> usize {
        match &self.repr {
            Repr::Few(few) => heap::vec(&few.tags) + heap::vec(&few.entries),
            Repr::Many(table) => table.bytes(),
        }
    }

    /// Heap blocks that dropping this frees, the members' own included.
    pub fn blocks(&self) -> usize {
        self.len() + 2
    }
}

impl<E: Entry> fmt::Debug for Members<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::prng::Prng;
    use crate::store::blob::{Blob, Keyed, Whole};

    fn all(members: &Members<Keyed<Whole>>) -> BTreeSet<Vec<u8>> {
        let mut all = BTreeSet::new();
        members.for_each(|member| assert!(all.insert(member.key().to_vec()), "visited twice"));
        all
    }

    #[test]
    fn members_are_a_set_on_both_sides_of_the_threshold() {
        let mut prng = Prng::seeded(7);
        for bound in [40u64, 2 * SMALL_MAX as u64, 4000] {
            let mut members: Members<Keyed<Whole>> = Members::new(KeyHasher::new([3; 16]));
            let mut twin = BTreeSet::new();
            for step in 0..20_000 {
                let key = format!("member:{}", prng.below(bound)).into_bytes();
                if prng.chance(3, 5) {
                    let known = members.get(&key).is_some();
                    assert_eq!(known, !twin.insert(key.clone()));
                    if known {
                        let mut slot = members.slot(&key).expect("just seen");
                        assert_eq!(slot.replace(Keyed::new(Blob::concat(&[&key]))).key(), &*key);
                    } else {
                        members.insert(Keyed::new(Blob::concat(&[&key])));
                    }
                } else if prng.chance(1, 100) {
                    let keys: Vec<_> =
                        (0..BATCH as u64).map(|n| format!("member:{}", n * bound / 20).into_bytes()).collect();
                    members.remove_batch(keys.iter().map(|key| &key[..]));
                    keys.iter().for_each(|key| _ = twin.remove(key));
                } else {
                    assert_eq!(members.remove(&key).is_some(), twin.remove(&key));
                }
                assert_eq!(members.len(), twin.len());
                if step % 1000 == 0 {
                    assert_eq!(all(&members), twin);
                    let drawn = members.random(|n| prng.below(n)).map(|member| member.key().to_vec());
                    assert_eq!(drawn.is_some(), !twin.is_empty());
                    assert!(drawn.is_none_or(|key| twin.contains(&key)));
                }
            }
        }
    }
}
