//! A set of numbers that usually has one element, which then takes no memory of its own.

use hashbrown::HashTable;

use super::shards::Shards;

/// Elements from which a set has many tables, so that none takes long to grow.
const HUGE_MIN: usize = 16 * 1024;

/// A set; two words, whatever it holds. Everything but going through it is O(1).
#[derive(Debug, Default)]
pub(super) enum Ids {
    #[default]
    None,
    One(u32),
    /// One element or more: sets that have grown do not become small again before they are empty.
    Many(Box<HashTable<u32>>),
    Huge(Box<Huge>),
}

#[derive(Debug, Default)]
pub(super) struct Huge {
    shards: Shards<u32>,
    len: usize,
}

impl Ids {
    pub fn len(&self) -> usize {
        match self {
            Ids::None => 0,
            Ids::One(_) => 1,
            Ids::Many(many) => many.len(),
            Ids::Huge(huge) => huge.len,
        }
    }

    pub fn is_empty(&self) -> bool {
        matches!(self, Ids::None)
    }

    pub fn contains(&self, id: u32) -> bool {
        match self {
            Ids::None => false,
            Ids::One(one) => *one == id,
            Ids::Many(many) => many.find(spread(id), |other| *other == id).is_some(),
            Ids::Huge(huge) => {
                huge.shards.of(spread(id)).is_some_and(|shard| shard.find(spread(id), |other| *other == id).is_some())
            }
        }
    }

    /// The elements, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let (one, many, huge) = match self {
            Ids::None => (None, None, None),
            Ids::One(one) => (Some(*one), None, None),
            Ids::Many(many) => (None, Some(many), None),
            Ids::Huge(huge) => (None, None, Some(huge)),
        };
        let huge = huge.into_iter().flat_map(|huge| huge.shards.iter().copied());
        one.into_iter().chain(many.into_iter().flat_map(|many| many.iter().copied())).chain(huge)
    }

    /// The elements, in no particular order, each when it is asked for.
    pub fn drain(self) -> Box<dyn Iterator<Item = u32>> {
        match self {
            Ids::None => Box::new(std::iter::empty()),
            Ids::One(one) => Box::new(std::iter::once(one)),
            Ids::Many(many) => Box::new(many.into_iter()),
            Ids::Huge(huge) => Box::new(huge.shards.drain()),
        }
    }

    /// Adds an element. False if it was there.
    pub fn insert(&mut self, id: u32) -> bool {
        match self {
            Ids::None => *self = Ids::One(id),
            Ids::One(one) if *one == id => return false,
            Ids::One(one) => {
                let mut many = HashTable::with_capacity(2);
                for id in [*one, id] {
                    many.insert_unique(spread(id), id, |id| spread(*id));
                }
                *self = Ids::Many(Box::new(many));
            }
            Ids::Many(many) => {
                if many.find(spread(id), |other| *other == id).is_some() {
                    return false;
                }
                many.insert_unique(spread(id), id, |id| spread(*id));
                if many.len() == HUGE_MIN {
                    self.become_huge();
                }
            }
            Ids::Huge(huge) => {
                let shard = huge.shards.of_mut(spread(id));
                if shard.find(spread(id), |other| *other == id).is_some() {
                    return false;
                }
                shard.insert_unique(spread(id), id, |id| spread(*id));
                huge.len += 1;
            }
        }
        true
    }

    fn become_huge(&mut self) {
        let mut huge = Box::new(Huge { len: self.len(), ..Huge::default() });
        for id in self.iter() {
            huge.shards.of_mut(spread(id)).insert_unique(spread(id), id, |id| spread(*id));
        }
        *self = Ids::Huge(huge);
    }

    /// Takes an element out. False if it was not there.
    pub fn remove(&mut self, id: u32) -> bool {
        match self {
            Ids::One(one) if *one == id => *self = Ids::None,
            Ids::None | Ids::One(_) => return false,
            Ids::Many(many) => {
                let Ok(entry) = many.find_entry(spread(id), |other| *other == id) else { return false };
                entry.remove();
                if many.is_empty() {
                    *self = Ids::None;
                } else if many.len() < many.capacity() / 8 {
                    many.shrink_to(2 * many.len(), |id| spread(*id));
                }
            }
            Ids::Huge(huge) => {
                let found = huge.shards.of_mut(spread(id)).find_entry(spread(id), |other| *other == id);
                let Ok(entry) = found else { return false };
                entry.remove();
                huge.len -= 1;
                if huge.len == 0 {
                    *self = Ids::None;
                }
            }
        }
        true
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
        assert!(matches!(ids, Ids::Huge(_)));
        assert!((0..count).all(|id| ids.contains(id)) && !ids.contains(count) && !ids.remove(count));
        assert!((0..count).step_by(2).all(|id| ids.remove(id)));
        assert!(ids.iter().collect::<BTreeSet<_>>().into_iter().eq((1..count).step_by(2)));
        assert_eq!(ids.len(), count as usize / 2);
        assert!((1..count).step_by(2).all(|id| ids.remove(id)) && ids.is_empty());
        assert!((0..count).all(|id| ids.insert(id)));
        assert_eq!(ids.drain().count(), count as usize);
    }
}
