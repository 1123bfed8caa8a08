//! Tests of `table`: against a hash map, and of what its walks and draws promise.

use super::*;
use std::collections::{BTreeSet, HashMap, HashSet};

/// An entry that is a boxed key with a payload.
#[derive(Debug)]
struct Item(Box<(Vec<u8>, u64)>);

// SAFETY: a thin box, whole in `into_ptr`, restored by `from_ptr`.
unsafe impl Entry for Item {
    fn into_ptr(self) -> NonNull<u8> {
        NonNull::from(Box::leak(self.0)).cast()
    }
    unsafe fn from_ptr(ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_ptr` returned.
        Item(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
    }
    fn key(&self) -> &[u8] {
        &self.0.0
    }
}

fn table() -> Table<Item> {
    Table::new(KeyHasher::new([7; 16]))
}

fn key(n: u64) -> Vec<u8> {
    format!("key:{n}").into_bytes()
}

fn insert(table: &mut Table<Item>, n: u64) {
    let hash = table.hasher().hash(&key(n));
    table.insert(hash, Item(Box::new((key(n), n))));
}

fn remove(table: &mut Table<Item>, n: u64) -> bool {
    let hash = table.hasher().hash(&key(n));
    table.occupied(hash, &key(n)).map(|slot| drop(slot.remove())).is_some()
}

fn scan_all(table: &Table<Item>) -> Vec<u64> {
    let (mut seen, mut cursor) = (Vec::new(), 0);
    loop {
        cursor = table.scan(cursor, |item| seen.push(item.0.1));
        if cursor == 0 {
            return seen;
        }
    }
}

/// A generator good enough to drive tests (SplitMix64).
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn tag_match_equals_naive() {
    let mut state = 1;
    for _ in 0..1000 {
        let line = Line(std::array::from_fn(|_| (random(&mut state) % 4) as u8));
        for tag in 0..4 {
            assert_eq!(match_tags::<9>(&line, tag), match_masked_naive::<9>(&line, u8::MAX, tag));
            assert_eq!(match_tags::<8>(&line, tag), match_masked_naive::<8>(&line, u8::MAX, tag));
        }
    }
}

#[test]
fn entries_may_be_removed_in_the_order_of_a_walk() {
    for per_step in [1, 7, 50] {
        let mut table = table();
        (0..40_000).for_each(|n| insert(&mut table, n));
        let (mut cursor, mut left) = (0, 40_000);
        loop {
            let mut seen = Vec::new();
            for _ in 0..per_step {
                cursor = table.scan(cursor, |item| seen.push(item.0.1));
                if cursor == 0 {
                    break;
                }
            }
            left -= seen.into_iter().filter(|&n| remove(&mut table, n)).count();
            assert_eq!(table.len(), left);
            if cursor == 0 {
                break;
            }
        }
        table.check_invariants();
        assert_eq!((left, table.segments), (0, 1));
    }
}

#[test]
fn behaves_as_a_hash_map_through_growth_and_shrinking() {
    let (mut table, mut model, mut state) = (table(), HashMap::new(), 3u64);
    for phase in 0..6 {
        let grow = phase % 2 == 0;
        for step in 0..12_000u64 {
            let n = random(&mut state) % 9_000;
            if random(&mut state) % 10 < if grow { 8 } else { 1 } {
                if let std::collections::hash_map::Entry::Vacant(vacant) = model.entry(n) {
                    vacant.insert(n);
                    insert(&mut table, n);
                }
            } else {
                assert_eq!(remove(&mut table, n), model.remove(&n).is_some());
            }
            assert_eq!(table.len(), model.len());
            if step % 3_000 == 0 {
                table.check_invariants();
            }
        }
        table.check_invariants();
        for n in 0..9_000 {
            let hash = table.hasher().hash(&key(n));
            assert_eq!(table.lookup(hash, &key(n)).map(|item| item.0.1), model.get(&n).copied());
        }
    }
    for n in 0..9_000 {
        remove(&mut table, n);
    }
    table.check_invariants();
    assert_eq!((table.len(), table.segments), (0, 1));
}

#[test]
fn scan_without_changes_visits_each_entry_once() {
    let mut table = table();
    for n in 0..20_000 {
        insert(&mut table, n);
    }
    let seen = scan_all(&table);
    assert_eq!(seen.len(), 20_000);
    let mut all = Vec::new();
    table.for_each(|item| all.push(item.0.1));
    assert_eq!(all, seen, "a walk over all goes in the order of a scan");
    assert_eq!(seen.into_iter().collect::<HashSet<_>>().len(), 20_000);
}

#[test]
fn scan_returns_everything_present_throughout_under_growth_and_shrinking() {
    for seed in 0..40u64 {
        let (mut table, mut state) = (table(), seed);
        let stay: HashSet<u64> = (0..2_000).collect();
        stay.iter().for_each(|&n| insert(&mut table, n));
        let (mut next, mut present): (u64, Vec<u64>) = (1_000_000, Vec::new());
        let (mut seen, mut cursor) = (HashSet::new(), 0);
        loop {
            cursor = table.scan(cursor, |item| {
                seen.insert(item.0.1);
            });
            assert!(cursor < 1 << 48);
            if cursor == 0 {
                break;
            }
            // Bursts of inserts or removals between two calls, so that segments split and merge under the scan.
            let grow = (random(&mut state) % 100) < if seed % 2 == 0 { 70 } else { 45 };
            for _ in 0..random(&mut state) % 60 {
                if grow {
                    insert(&mut table, next);
                    present.push(next);
                    next += 1;
                } else if let Some(n) = present.pop() {
                    assert!(remove(&mut table, n));
                }
            }
        }
        assert!(stay.is_subset(&seen), "seed {seed}");
        table.check_invariants();
    }
}

#[test]
fn any_cursor_is_harmless() {
    let (mut table, mut state) = (table(), 5);
    assert_eq!(table.scan(12345, |_| ()), 0);
    (0..5_000).for_each(|n| insert(&mut table, n));
    for _ in 0..2_000 {
        let next = table.scan(random(&mut state) >> (random(&mut state) % 64), |_| ());
        assert!(next < 1 << 48);
    }
    assert_eq!(table.scan(u64::MAX, |_| panic!("nothing lies beyond the last address")), 0);
}

#[test]
fn prefix_finds_every_key_by_its_hash() {
    let mut table = table();
    (0..5_000).for_each(|n| insert(&mut table, n));
    for n in 0..5_000 {
        let mut found = Vec::new();
        let prefix = (table.hasher().hash(&key(n)) >> 32) as u32;
        let keep = |item: &mut Item| {
            found.push(item.0.1);
            n % 2 == 0
        };
        table.retain_prefix(prefix, keep, |item| assert!(item.0.1 % 2 == 1));
        assert!(found.contains(&n), "{n}");
    }
    table.check_invariants();
    assert_eq!(table.len(), 2_500);
}

/// Parts as the deadlines of members use them: the upper bits of a hash and some bits of the tag, in tables that have more homes
/// than there are such bits, and fewer.
#[test]
fn a_part_has_every_entry_of_its_hashes_and_can_be_emptied() {
    for (count, bits, tag_bits) in [(300, 18, 3), (20_000, 18, 3), (20_000, 4, 8), (20_000, 7, 0), (5_000, 48, 8)] {
        let mut table = table();
        (0..count).for_each(|n| insert(&mut table, n));
        let mut left: BTreeSet<u64> = (0..count).collect();
        for n in 0..count {
            let hash = table.hasher().hash(&key(n));
            let part = Part::new(hash, bits, Part::tag(hash), tag_bits);
            let (mut shown, mut gone) = (BTreeSet::new(), Vec::new());
            table.prefetch_part(part);
            table.prefetch_part_entries(part);
            table.visit_part(part, |item| assert!(shown.insert(item.0.1), "once"));
            assert_eq!(shown.contains(&n), left.contains(&n), "{n}");
            assert!(shown.iter().all(|m| left.contains(m)));
            // Of every part the odd ones go when one of them is looked for, the others later.
            let stays = |item: &mut Item| item.0.1 % 2 != n % 2;
            table.retain_part(part, stays, |item| gone.push(item.0.1));
            assert!(gone.iter().all(|m| shown.contains(m) && left.remove(m)), "{gone:?}");
            assert!(!left.contains(&n) && table.len() == left.len());
        }
        table.check_invariants();
        assert!(left.is_empty() && table.segments <= 2, "{}", table.segments);
    }
}

#[test]
fn random_is_uniform_by_chi_square() {
    let (mut table, mut state) = (table(), 11);
    (0..1_500).for_each(|n| insert(&mut table, n));
    let mut counts = vec![0u32; 1_500];
    let draws = 150_000;
    for _ in 0..draws {
        let item = table.random(|n| random(&mut state) % n).expect("the table is not empty");
        counts[item.0.1 as usize] += 1;
    }
    let expected = f64::from(draws) / 1_500.0;
    let chi: f64 = counts.iter().map(|&c| (f64::from(c) - expected).powi(2) / expected).sum();
    // 1,499 degrees of freedom: mean 1,499, standard deviation 54.8; five deviations either way.
    assert!((1_225.0..1_773.0).contains(&chi), "chi-square {chi}");
}

#[test]
fn a_segment_fills_well_before_it_splits() {
    let mut table = table();
    let mut n = 0;
    while table.segments < 65 {
        insert(&mut table, n);
        n += 1;
    }
    // Just past the first wave of splits from 64 segments: the fill is near its highest.
    let fill = table.len() as f64 / (64 * 1127) as f64;
    assert!(fill > 0.78, "{fill}");
}
