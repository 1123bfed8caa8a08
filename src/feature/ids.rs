//! A set of numbers that usually has one element, which then takes no memory of its own.
//!
//! Their hashes are spread, not keyed: the numbers are the server's own, counted upwards.

use hashbrown::HashTable;

use super::shards::Shards;
use crate::base::heap::size_class;

/// Elements from which a set has many tables, so that none takes long to grow.
const HUGE_MIN: usize = 16 * 1024;

/// A set; two words, whatever it holds. Everything but going through it is O(1).
#[derive(Debug, Default)]
pub(super) struct Ids(Numbers);

impl Ids {
    /// The set of one element.
    pub fn one(id: u32) -> Ids {
        Ids(Numbers::One(id))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes on the heap. O(1).
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    pub fn contains(&self, id: u32) -> bool {
        self.0.find(spread(id), |other| other == id).is_some()
    }

    /// The elements, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter()
    }

    /// The elements, in no particular order, each when it is asked for.
    pub fn drain(self) -> Box<dyn Iterator<Item = u32>> {
        self.0.drain()
    }

    /// Adds an element. False if it was there.
    pub fn insert(&mut self, id: u32) -> bool {
        let is_new = !self.contains(id);
        if is_new {
            self.0.add(id, spread);
        }
        is_new
    }

    /// Takes an element out. False if it was not there.
    pub fn remove(&mut self, id: u32) -> bool {
        self.0.take(spread(id), |other| other == id, spread).is_some()
    }
}

/// Numbers, each under a hash that the caller finds for it: the hash table behind [`Ids`], whatever the numbers stand for.
#[derive(Debug, Default)]
pub(super) enum Numbers {
    #[default]
    None,
    One(u32),
    /// One number or more: tables that have grown do not become small again before they are empty.
    Many(Box<HashTable<u32>>),
    Huge(Box<Huge>),
}

#[derive(Debug, Default)]
pub(super) struct Huge {
    shards: Shards<u32>,
    len: usize,
}

impl Numbers {
    /// Bytes on the heap. O(1).
    pub fn heap_bytes(&self) -> usize {
        match self {
            Numbers::None | Numbers::One(_) => 0,
            Numbers::Many(many) => size_class(size_of_val(&**many)) + size_class(many.allocation_size()),
            Numbers::Huge(huge) => size_class(size_of::<Huge>()) + huge.shards.heap_bytes(),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Numbers::None => 0,
            Numbers::One(_) => 1,
            Numbers::Many(many) => many.len(),
            Numbers::Huge(huge) => huge.len,
        }
    }

    /// The number under a hash of which `is` says that it is the one.
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        match self {
            Numbers::None => None,
            Numbers::One(one) => Some(*one).filter(|one| is(*one)),
            Numbers::Many(many) => many.find(hash, |other| is(*other)).copied(),
            Numbers::Huge(huge) => huge.shards.of(hash)?.find(hash, |other| is(*other)).copied(),
        }
    }

    /// All numbers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let (one, many, huge) = match self {
            Numbers::None => (None, None, None),
            Numbers::One(one) => (Some(*one), None, None),
            Numbers::Many(many) => (None, Some(many), None),
            Numbers::Huge(huge) => (None, None, Some(huge)),
        };
        let huge = huge.into_iter().flat_map(|huge| huge.shards.iter().copied());
        one.into_iter().chain(many.into_iter().flat_map(|many| many.iter().copied())).chain(huge)
    }

    /// All numbers, in no particular order, each when it is asked for.
    pub fn drain(self) -> Box<dyn Iterator<Item = u32>> {
        match self {
            Numbers::None => Box::new(std::iter::empty()),
            Numbers::One(one) => Box::new(std::iter::once(one)),
            Numbers::Many(many) => Box::new(many.into_iter()),
            Numbers::Huge(huge) => Box::new(huge.shards.drain()),
        }
    }

    /// Adds a number that is not there.
    pub fn add(&mut self, number: u32, hash_of: impl Fn(u32) -> u64) {
        match self {
            Numbers::None => *self = Numbers::One(number),
            Numbers::One(one) => {
                let mut many = HashTable::with_capacity(2);
                for number in [*one, number] {
                    many.insert_unique(hash_of(number), number, |number| hash_of(*number));
                }
                *self = Numbers::Many(Box::new(many));
            }
            Numbers::Many(many) => {
                many.insert_unique(hash_of(number), number, |number| hash_of(*number));
                if many.len() == HUGE_MIN {
                    self.become_huge(hash_of);
                }
            }
            Numbers::Huge(huge) => {
                let hash = hash_of(number);
                huge.shards.of_mut(hash).insert_unique(hash, number, |number| hash_of(*number));
                huge.len += 1;
            }
        }
    }

    fn become_huge(&mut self, hash_of: impl Fn(u32) -> u64) {
        let mut huge = Box::new(Huge { len: self.len(), ..Huge::default() });
        for number in self.iter() {
            let hash = hash_of(number);
            huge.shards.of_mut(hash).insert_unique(hash, number, |number| hash_of(*number));
        }
        *self = Numbers::Huge(huge);
    }

    /// Puts another number, of the same hash, in the place of one.
    pub fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let place = match self {
            Numbers::None => None,
            Numbers::One(one) => Some(one),
            Numbers::Many(many) => many.find_mut(hash, |other| *other == old),
            Numbers::Huge(huge) => huge.shards.of_mut(hash).find_mut(hash, |other| *other == old),
        };
        if let Some(place) = place.filter(|place| **place == old) {
            *place = new;
        }
    }

    /// Takes out the number under a hash of which `is` says that it is the one.
    pub fn take(&mut self, hash: u64, is: impl Fn(u32) -> bool, hash_of: impl Fn(u32) -> u64) -> Option<u32> {
        let taken = match self {
            Numbers::None => return None,
            Numbers::One(one) => Some(*one).filter(|one| is(*one))?,
            Numbers::Many(many) => {
                let (taken, _) = many.find_entry(hash, |other| is(*other)).ok()?.remove();
                if !many.is_empty() && many.len() < many.capacity() / 8 {
                    many.shrink_to(2 * many.len(), |number| hash_of(*number));
                }
                if !many.is_empty() {
                    return Some(taken);
                }
                taken
            }
            Numbers::Huge(huge) => {
                let (taken, _) = huge.shards.of_mut(hash).find_entry(hash, |other| is(*other)).ok()?.remove();
                huge.len -= 1;
                if huge.len > 0 {
                    return Some(taken);
                }
                taken
            }
        };
        *self = Numbers::None;
        Some(taken)
    }
}

/// A number as a hash whose bits all differ.
pub(super) fn spread(id: u32) -> u64 {
    let mixed = u64::from(id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn it_is_a_set() {
        assert!(std::mem::size_of::<Ids>() <= 16);
        for seed in 0..20 {
            let mut prng = Prng::seeded(seed);
            let (mut ids, mut twin) = (Ids::default(), BTreeSet::new());
            for step in 0..2000 {
                // It grows at first and is emptied at last.
                let (id, adds) = (prng.below(300) as u32, prng.below(2000) > step);
                if adds {
                    assert_eq!(ids.insert(id), twin.insert(id), "seed {seed}");
                } else {
                    assert_eq!(ids.remove(id), twin.remove(&id), "seed {seed}");
                }
                assert_eq!((ids.len(), ids.is_empty()), (twin.len(), twin.is_empty()), "seed {seed}");
                assert_eq!(ids.contains(id), twin.contains(&id));
            }
            assert_eq!(ids.iter().collect::<BTreeSet<_>>(), twin, "seed {seed}");
            assert_eq!(ids.drain().collect::<BTreeSet<_>>(), twin, "seed {seed}");
        }
    }

    #[test]
    fn it_is_a_set_when_it_is_huge() {
        let mut ids = Ids::default();
        let count = 2 * HUGE_MIN as u32;
        assert!((0..count).all(|id| ids.insert(id)) && (0..count).all(|id| !ids.insert(id)));
        assert!(matches!(ids, Ids(Numbers::Huge(_))));
        assert!((0..count).all(|id| ids.contains(id)) && !ids.contains(count) && !ids.remove(count));
        assert!((0..count).step_by(2).all(|id| ids.remove(id)));
        assert!(ids.iter().collect::<BTreeSet<_>>().into_iter().eq((1..count).step_by(2)));
        assert_eq!(ids.len(), count as usize / 2);
        assert!((1..count).step_by(2).all(|id| ids.remove(id)) && ids.is_empty());
        assert!((0..count).all(|id| ids.insert(id)));
        assert_eq!(ids.drain().count(), count as usize);
    }
}
