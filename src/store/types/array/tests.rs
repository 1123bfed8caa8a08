//! Arrays against a naive map.

use super::*;
use crate::base::prng::Prng;

impl Array {
    /// What the header promises, and that the sums are those of the parts.
    fn check(&self) {
        let inner = &*self.0;
        let (mut count, mut bytes, mut blobs) = (0, 0, 0);
        for slice in inner.slices.values() {
            assert!(slice.used() > 0, "no slice is empty");
            assert!(slice.get(slice.last()).is_some(), "the last place is used");
            let cells: Vec<_> = slice.range(0, u16::MAX).collect();
            assert_eq!(cells.len(), slice.used());
            assert!(cells.iter().zip(cells.iter().skip(1)).all(|(a, b)| a.0 < b.0));
            let texts: usize = cells.iter().map(|(_, cell)| cell.heap_bytes()).sum();
            (count, bytes) = (count + cells.len(), bytes + texts + slice.heap_bytes());
            blobs += cells.iter().filter(|(_, cell)| cell.heap_bytes() > 0).count();
        }
        assert_eq!((inner.count, inner.bytes, inner.blobs), (count, bytes, blobs));
    }
}

/// An index near one of few places, so that slices are dense, sparse, and change from one to the other.
fn index(prng: &mut Prng, spread: u64) -> u64 {
    let base = [0, 4000, 1 << 20, 1 << 40, INDEX_MAX - 5000][prng.below(5) as usize];
    (base + prng.below(spread)).min(INDEX_MAX)
}

#[test]
fn an_array_is_a_map_whatever_its_slices_are() {
    let mut kinds = Slices::default();
    for (seed, spread) in [(1, 40), (2, 200), (3, 5000), (4, 3)] {
        let (mut prng, mut array, mut model) = (Prng::seeded(seed), Array::default(), BTreeMap::<u64, Vec<u8>>::new());
        for step in 0..6000 {
            let at = index(&mut prng, spread);
            match prng.below(if step % 2000 < 1400 { 12 } else { 3 }) {
                0 => assert_eq!(array.remove(at), model.remove(&at).is_some()),
                1 if prng.below(8) == 0 => {
                    let to = at.saturating_add(prng.below(spread)).min(INDEX_MAX);
                    let (mut gone, mut from) = (0, Some(at));
                    while let Some(next) = from {
                        let (some, after) = array.remove_some(next, to);
                        (gone, from) = (gone + some, after.filter(|after| *after <= to));
                    }
                    let before = model.len();
                    model.retain(|index, _| !(at..=to).contains(index));
                    assert_eq!(gone, before - model.len());
                }
                _ => {
                    let text = vec![b'x'; prng.below(40) as usize];
                    assert_eq!(array.set(at, &text), model.insert(at, text).is_none());
                }
            }
            assert_eq!(array.get(at), model.get(&at).map(Vec::as_slice));
            if step % 16 == 0 {
                array.check();
                assert_eq!(array.extent(), model.last_key_value().map_or(0, |(index, _)| index + 1));
                let (low, high) = (index(&mut prng, spread), index(&mut prng, spread));
                let expected: Vec<_> = model.iter().filter(|(i, _)| (low..=high).contains(*i)).collect();
                let found: Vec<_> = array.range(low, high).collect();
                assert_eq!(found.len(), expected.len(), "{low} {high}");
                assert!(found.iter().zip(&expected).all(|(a, b)| (a.0, a.1) == (*b.0, b.1.as_slice())));
                let mut back: Vec<_> = array.range(low, high).rev().collect();
                back.reverse();
                assert_eq!(back, found);
                assert_eq!(array.sum_slices(0, &mut kinds, || true), None);
            }
        }
        assert_eq!(array.len(), model.len());
        let copy = array.clone();
        copy.check();
        assert_eq!(copy.range(0, INDEX_MAX).collect::<Vec<_>>(), array.range(0, INDEX_MAX).collect::<Vec<_>>());
    }
    assert!(kinds.dense > 0 && kinds.sparse > 0, "{kinds:?}");
}

#[test]
fn what_is_far_apart_costs_what_it_is() {
    let mut far = Array::default();
    for n in 0..1000 {
        far.set(n << 50, b"x");
    }
    assert!(far.heap_bytes(0) < 1000 * 250, "{}", far.heap_bytes(0));
    let mut near = Array::default();
    for n in 0..100_000 {
        near.set(n, b"twelve bytes");
    }
    assert!(near.heap_bytes(0) < 100_000 * 21, "{}", near.heap_bytes(0));
    assert_eq!((near.len(), near.slice_count()), (100_000, 25));
}

#[test]
fn what_is_left_of_a_dense_slice_keeps_no_room_for_what_was_there() {
    let mut array = Array::default();
    (0..SLICE_PLACES).for_each(|n| _ = array.set(n, b"x"));
    (40..SLICE_PLACES).rev().for_each(|n| _ = array.remove(n));
    assert!(array.heap_bytes(0) < 6000, "{}", array.heap_bytes(0));
    (40..SLICE_PLACES).for_each(|n| _ = array.set(n, b"x"));
    assert_eq!(array.remove_some(40, INDEX_MAX).0, SLICE_PLACES as usize - 40);
    assert!(array.heap_bytes(0) < 6000, "{}", array.heap_bytes(0));
    array.check();
}

#[test]
fn blocks_are_moved_and_what_is_in_them_stays() {
    struct All(u64);
    impl Mover for All {
        fn wants(&mut self, _: NonNull<u8>, _: usize) -> bool {
            self.0 += 1;
            true
        }
        fn moved(&self) -> u64 {
            self.0
        }
    }
    let mut array = Array::default();
    for n in 0..10_000 {
        array.set(n * if n < 5000 { 1 } else { 100 }, format!("the element of the number {n}").as_bytes());
    }
    let (before, mut mover, mut from) = (array.clone(), All(0), Some(0));
    while let Some(place) = from {
        from = array.defragment(place, &mut mover, &mut || false);
    }
    array.check();
    assert!(mover.moved() > 10_000);
    assert!(before.range(0, INDEX_MAX).eq(array.range(0, INDEX_MAX)));
}
