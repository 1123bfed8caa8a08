//! Numbered things in chunks, so that a million of them grow without moving any, and without a pause.

use std::mem;

/// Things of one chunk.
const CHUNK: usize = 256;
/// The end of the list of free places.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
enum Slot<T> {
    /// The next free place.
    Free(u32),
    Used(T),
}

/// Things under small numbers, which are used again. All that names one is O(1).
#[derive(Debug)]
pub(super) struct Slots<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: u32,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { chunks: Vec::new(), free: NONE, len: 0 }
    }
}

impl<T> Slots<T> {
    pub fn len(&self) -> usize {
        self.len
    }

    fn slot(&mut self, id: u32) -> Option<&mut Slot<T>> {
        self.chunks.get_mut(id as usize / CHUNK).map(|chunk| &mut chunk[id as usize % CHUNK])
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        match self.chunks.get(id as usize / CHUNK).map(|chunk| &chunk[id as usize % CHUNK]) {
            Some(Slot::Used(thing)) => Some(thing),
            Some(Slot::Free(_)) | None => None,
        }
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        match self.slot(id) {
            Some(Slot::Used(thing)) => Some(thing),
            Some(Slot::Free(_)) | None => None,
        }
    }

    /// Adds a thing; its number.
    pub fn insert(&mut self, thing: T) -> u32 {
        if self.free == NONE {
            let first = (self.chunks.len() * CHUNK) as u32;
            let next = |at: usize| if at + 1 < CHUNK { first + at as u32 + 1 } else { NONE };
            self.chunks.push((0..CHUNK).map(|at| Slot::Free(next(at))).collect());
            self.free = first;
        }
        let id = self.free;
        let slot = self.slot(id).expect("what is in the list of free places exists");
        if let Slot::Free(next) = mem::replace(slot, Slot::Used(thing)) {
            self.free = next;
        }
        self.len += 1;
        id
    }

    /// Takes a thing out, if there is one of this number. With the last one goes the memory.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        let free = self.free;
        let slot = self.slot(id).filter(|slot| matches!(slot, Slot::Used(_)))?;
        let Slot::Used(thing) = mem::replace(slot, Slot::Free(free)) else { return None };
        (self.free, self.len) = (id, self.len - 1);
        if self.len == 0 {
            *self = Slots::default();
        }
        Some(thing)
    }

    /// All things with their numbers, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.chunks.iter().flatten().zip(0..).filter_map(|(slot, id)| match slot {
            Slot::Used(thing) => Some((id, thing)),
            Slot::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn it_is_a_map_that_chooses_its_keys() {
        for seed in 0..20 {
            let mut prng = Prng::seeded(seed);
            let (mut slots, mut twin) = (Slots::default(), BTreeMap::new());
            for step in 0..3000u64 {
                if prng.below(3000) > step {
                    let id = slots.insert(step);
                    assert_eq!(twin.insert(id, step), None, "seed {seed}: a number twice");
                } else {
                    let id = prng.below(1000) as u32;
                    assert_eq!(
                        (slots.get(id).copied(), slots.get_mut(id).copied()),
                        (twin.get(&id).copied(), twin.get(&id).copied())
                    );
                    assert_eq!(slots.remove(id), twin.remove(&id), "seed {seed}");
                }
                assert_eq!(slots.len(), twin.len());
            }
            assert!(slots.iter().eq(twin.iter().map(|(id, thing)| (*id, thing))), "seed {seed}");
        }
    }
}
