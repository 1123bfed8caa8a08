//! Numbered things in chunks, so that a million of them come and go without moving any, and without a pause.
//!
//! # Invariants
//! - `open` names every chunk that has room, once.
//! - A chunk without things has no memory but its own few words.

use std::mem;

use crate::base::heap;

/// Things of one chunk.
const CHUNK: usize = 256;

#[derive(Debug)]
enum Slot<T> {
    /// The next free place of the chunk; [`CHUNK`] after the last one.
    Free(u32),
    Used(T),
}

#[derive(Debug)]
struct Chunk<T> {
    /// None as long as there is no thing.
    slots: Vec<Slot<T>>,
    used: usize,
    /// The first free place.
    free: u32,
}

impl<T> Chunk<T> {
    fn new() -> Chunk<T> {
        Chunk { slots: Vec::new(), used: 0, free: 0 }
    }

    /// Adds a thing where there is room; its place.
    fn insert(&mut self, thing: T) -> u32 {
        if self.slots.is_empty() {
            self.slots = (1..=CHUNK as u32).map(Slot::Free).collect();
            self.free = 0;
        }
        let at = self.free;
        if let Slot::Free(next) = mem::replace(&mut self.slots[at as usize], Slot::Used(thing)) {
            self.free = next;
        }
        self.used += 1;
        at
    }

    fn remove(&mut self, at: u32) -> Option<T> {
        let slot = self.slots.get_mut(at as usize).filter(|slot| matches!(slot, Slot::Used(_)))?;
        let Slot::Used(thing) = mem::replace(slot, Slot::Free(self.free)) else { return None };
        (self.free, self.used) = (at, self.used - 1);
        if self.used == 0 {
            self.slots = Vec::new();
        }
        Some(thing)
    }
}

/// Things under small numbers, which are used again. All that names one is O(1).
#[derive(Debug)]
pub(super) struct Slots<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room, the next to be filled last.
    open: Vec<u32>,
    len: usize,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { chunks: Vec::new(), open: Vec::new(), len: 0 }
    }
}

/// The chunk of a number, and the place in it.
fn place(id: u32) -> (usize, u32) {
    (id as usize / CHUNK, id % CHUNK as u32)
}

impl<T> Slots<T> {
    /// Bytes on the heap. O(chunks).
    pub fn heap_bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(|chunk| heap::vec(&chunk.slots)).sum::<usize>();
        heap::vec(&self.chunks) + heap::vec(&self.open) + chunks
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn get(&self, id: u32) -> Option<&T> {
        let (chunk, at) = place(id);
        match self.chunks.get(chunk)?.slots.get(at as usize)? {
            Slot::Used(thing) => Some(thing),
            Slot::Free(_) => None,
        }
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        let (chunk, at) = place(id);
        match self.chunks.get_mut(chunk)?.slots.get_mut(at as usize)? {
            Slot::Used(thing) => Some(thing),
            Slot::Free(_) => None,
        }
    }

    /// Adds a thing; its number.
    pub fn insert(&mut self, thing: T) -> u32 {
        let number = self.open.last().copied().unwrap_or_else(|| {
            self.chunks.push(Chunk::new());
            self.open.push(self.chunks.len() as u32 - 1);
            self.chunks.len() as u32 - 1
        });
        let chunk = &mut self.chunks[number as usize];
        let at = chunk.insert(thing);
        if chunk.used == CHUNK {
            self.open.pop();
        }
        self.len += 1;
        number * CHUNK as u32 + at
    }

    /// Takes a thing out, if there is one of this number.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        let (number, at) = place(id);
        let chunk = self.chunks.get_mut(number)?;
        let was_full = chunk.used == CHUNK;
        let thing = chunk.remove(at)?;
        if was_full {
            self.open.push(number as u32);
        }
        self.len -= 1;
        Some(thing)
    }

    /// All things with their numbers, in the order of these.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let slots = self.chunks.iter().zip(0u32..).flat_map(|(chunk, number)| {
            chunk.slots.iter().zip(0u32..).map(move |(slot, at)| (number * CHUNK as u32 + at, slot))
        });
        slots.filter_map(|(id, slot)| match slot {
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
            let open: usize = slots.chunks.iter().filter(|chunk| chunk.used < CHUNK).count();
            assert_eq!(slots.open.len(), open, "seed {seed}");
            assert!(slots.chunks.iter().all(|chunk| chunk.slots.is_empty() == (chunk.used == 0)));
            assert!(slots.iter().eq(twin.iter().map(|(id, thing)| (*id, thing))), "seed {seed}");
        }
    }
}
