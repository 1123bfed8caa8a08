//! What things take on the heap: the allocator's size classes, and the blocks of the standard containers.
//!
//! A block's capacity need not be stored: it follows from the bytes asked for, so leaves that keep a thin pointer to a block of
//! their own (entries, listpacks, blobs) reckon with [`size_class`] as well as whoever adds up what a part of the server takes.
//!
//! Containers are reckoned from their capacities, so that the answer takes O(1) and does not go through what they hold: what
//! their elements have on the heap is the caller's to add. Whoever cannot go through them keeps a running sum with [`change`].

use std::collections::{HashMap, VecDeque};
use std::ptr::NonNull;

use slab::Slab;

/// The size of the block that holds `bytes`: jemalloc's size classes, which are multiples of 16 up to 128 and four per
/// doubling above, so that a request is never rounded further and equal classes can be overwritten in place.
#[inline]
pub fn size_class(bytes: usize) -> usize {
    if bytes <= 128 {
        return bytes.next_multiple_of(16);
    }
    let step = bytes.next_power_of_two() / 8;
    bytes.next_multiple_of(step)
}

/// The block of a shared slice of so many bytes, behind its two counters.
pub fn arc(len: usize) -> usize {
    size_class(2 * size_of::<usize>() + len)
}

/// The block of a shared vector of bytes, and that of the bytes.
pub fn shared_vec(vec: &Vec<u8>) -> usize {
    shared_vec_head() + self::vec(vec)
}

/// The block of a shared vector without that of what is in it.
pub fn shared_vec_head() -> usize {
    size_class(2 * size_of::<usize>() + size_of::<Vec<u8>>())
}

/// Decides which heap blocks are to be moved: copied to a new block and freed.
pub trait Mover {
    /// True if this block of so many bytes, as it was allocated, is to be moved.
    fn wants(&mut self, block: NonNull<u8>, bytes: usize) -> bool;

    /// How many it has wanted so far.
    fn moved(&self) -> u64;
}

/// The block of a vector.
#[allow(clippy::ptr_arg, reason = "the capacity is what counts")]
pub fn vec<T>(vec: &Vec<T>) -> usize {
    size_class(vec.capacity() * size_of::<T>())
}

/// The block of a queue.
pub fn deque<T>(deque: &VecDeque<T>) -> usize {
    size_class(deque.capacity() * size_of::<T>())
}

/// The block of a slab.
pub fn slab<T>(slab: &Slab<T>) -> usize {
    /// As large as a slab's place: a value, or the number of the next free one.
    #[allow(dead_code, reason = "only its size is asked for")]
    enum Place<T> {
        Vacant(usize),
        Occupied(T),
    }
    size_class(slab.capacity() * size_of::<Place<T>>())
}

/// The block of a hash map: of `hashbrown`, which has a power of two of places, of which it fills seven eighths, and a byte
/// for each and for the sixteen that are read at once.
pub fn map<K, V, S>(map: &HashMap<K, V, S>) -> usize {
    let places = match map.capacity() {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        room => (room * 8 / 7).next_power_of_two(),
    };
    size_class((places * size_of::<(K, V)>()).next_multiple_of(16) + places + 16)
}

/// The nodes of a B-tree of the standard library of so many entries, which come in no particular order: eleven fit into a node,
/// which then is two thirds full. Those that come in order leave nodes behind that are half full.
pub fn tree<K, V>(len: usize) -> usize {
    const FILLED: usize = 7;
    const CHILDREN: usize = 12;
    let leaf = size_class(11 * size_of::<(K, V)>() + 2 * size_of::<usize>());
    let inner = size_class(leaf + CHILDREN * size_of::<usize>());
    if len == 0 {
        return 0;
    }
    let leaves = len.div_ceil(FILLED);
    leaves * leaf + if leaves > 1 { leaves.div_ceil(FILLED) * inner } else { 0 }
}

/// Changes a part of something larger, and keeps the sum of what all its parts have on the heap. `size` tells what one has.
pub fn change<T, R>(sum: &mut usize, part: &mut T, size: impl Fn(&T) -> usize, change: impl FnOnce(&mut T) -> R) -> R {
    let before = size(part);
    let result = change(part);
    *sum = *sum + size(part) - before;
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_are_the_allocators() {
        let classes =
            [(1, 16), (16, 16), (17, 32), (55, 64), (63, 64), (65, 80), (128, 128), (129, 160), (160, 160), (257, 320)];
        for (bytes, class) in classes.into_iter().chain([(0, 0), (512, 512), (513, 640), (1025, 1280), (4097, 5120)]) {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
    }

    #[test]
    fn a_sum_follows_its_parts() {
        let (mut parts, mut sum) = (vec![Vec::<u32>::new(); 4], 0);
        for step in 0..1000 {
            let part = &mut parts[step % 4];
            change(&mut sum, part, vec, |part| if step % 7 == 0 { *part = Vec::new() } else { part.push(1) });
            assert_eq!(sum, parts.iter().map(vec).sum::<usize>());
        }
    }

    /// A map says how much room it has, and its block is as long as `hashbrown` says of its own.
    #[test]
    fn maps_take_what_their_tables_do() {
        let mut map: HashMap<u64, u32> = HashMap::new();
        let mut twin: hashbrown::HashTable<(u64, u32)> = hashbrown::HashTable::new();
        for key in 0..5000 {
            map.insert(key, 0);
            twin.insert_unique(key, (key, 0), |(key, _)| *key);
            assert_eq!(super::map(&map), size_class(twin.allocation_size()), "{key}");
        }
    }
}
