//! Sets against a `BTreeSet`, and the points at which their representation changes.

use std::collections::BTreeSet;

use super::*;
use crate::base::prng::Prng;

fn policy(intset_entries: usize, listpack_entries: usize) -> Policy {
    Policy { intset_entries, listpack_entries, listpack_value: 12, hasher: KeyHasher::new([5; 16]) }
}

fn all(set: &Set) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    set.for_each(|item| assert!(all.insert(item.to_vec()), "visited twice"));
    all
}

#[test]
fn a_set_is_a_set_whatever_represents_it() {
    let mut prng = Prng::seeded(11);
    for round in 0..60 {
        let policy = policy(prng.below(30) as usize, prng.below(30) as usize);
        let bound = [10, 60, 1000][round % 3];
        let mut set = Set::for_members(b"1", 1, &policy);
        let mut twin = BTreeSet::new();
        for _ in 0..800 {
            let n = prng.below(bound);
            let text = match prng.below(8) {
                0 => format!("word {n}").into_bytes(),
                1 => format!("{n:013}").into_bytes(),
                _ => format!("{}", n as i64 - 20).into_bytes(),
            };
            // Words come late, so that there are integers to convert.
            if round % 2 == 0 && num::parse_i64(&text).is_none() && twin.len() < 15 {
                continue;
            }
            if prng.chance(2, 3) {
                assert_eq!(set.insert(&text, &policy), twin.insert(text.clone()));
            } else {
                assert_eq!(set.remove(&text), twin.remove(&text));
            }
            assert_eq!((set.len(), set.contains(&text)), (twin.len(), twin.contains(&text)));
        }
        assert_eq!(all(&set), twin);
        assert_eq!(all(&set.clone()), twin);
        let (repr, ptr) = set.into_raw();
        // SAFETY: given up just now.
        let set = unsafe { Set::from_raw(repr, ptr) };
        for count in [0, 1, twin.len() / 4, twin.len() / 2, twin.len(), twin.len() + 5] {
            let mut sample = BTreeSet::new();
            set.sample(count, |n| prng.below(n), |item| assert!(sample.insert(item.to_vec()), "taken twice"));
            assert_eq!(sample.len(), count.min(twin.len()));
            assert!(sample.is_subset(&twin));
        }
    }
}

#[test]
fn representations_change_where_they_should() {
    let policy = policy(4, 6);
    let mut set = Set::for_members(b"1", 1, &policy);
    for n in 1..=4 {
        set.insert(n.to_string().as_bytes(), &policy);
    }
    assert_eq!(set.encoding(), "intset");
    let mut words = set.clone();
    set.insert(b"5", &policy);
    assert_eq!(set.encoding(), "hashtable");
    words.insert(b"a", &policy);
    assert_eq!(words.encoding(), "listpack");
    let mut long = words.clone();
    long.insert(b"thirteen byte", &policy);
    assert_eq!((long.encoding(), long.len()), ("hashtable", 6));
    words.insert(b"b", &policy);
    assert_eq!(words.encoding(), "listpack");
    words.insert(b"c", &policy);
    assert_eq!((words.encoding(), words.len()), ("hashtable", 7));
    assert_eq!(Set::for_members(b"a", 7, &policy).encoding(), "hashtable");
    assert_eq!(Set::for_members(b"a", 6, &policy).encoding(), "listpack");
}

/// The chance of every member to be drawn is the same: a sum of squares beyond 3.3 standard deviations of its
/// distribution would be a matter of one in a thousand, and the seed is fixed.
#[test]
fn random_members_are_fair_by_chi_square() {
    const MEMBERS: usize = 500;
    const DRAWS: usize = 50_000;
    for policy in [policy(MEMBERS, MEMBERS), policy(0, MEMBERS), policy(0, 0)] {
        let mut prng = Prng::seeded(21);
        let mut set = Set::for_members(b"0", 1, &policy);
        for n in 0..MEMBERS {
            set.insert(n.to_string().as_bytes(), &policy);
        }
        let mut drawn = [0u32; MEMBERS];
        for _ in 0..DRAWS {
            let n = set.random(|n| prng.below(n), |item| item.as_int().map(|n| n as usize));
            drawn[n.flatten().expect("an integer")] += 1;
        }
        fair(&drawn, DRAWS, 1.0);
        let mut sampled = [0u32; MEMBERS];
        for count in [100, 400] {
            sampled.fill(0);
            for _ in 0..DRAWS / count {
                set.sample(count, |n| prng.below(n), |item| sampled[item.as_int().expect("an integer") as usize] += 1);
            }
            fair(&sampled, DRAWS, 1.0 - count as f64 / MEMBERS as f64);
        }
    }
}

/// `spread` is the variance of one count as a part of the variance of independent draws.
fn fair(drawn: &[u32], draws: usize, spread: f64) {
    let expected = draws as f64 / drawn.len() as f64;
    let chi: f64 = drawn.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum::<f64>() / spread;
    let (mean, deviation) = (drawn.len() as f64 - 1.0, (2.0 * (drawn.len() as f64 - 1.0)).sqrt());
    assert!((chi - mean).abs() < 3.3 * deviation, "{chi}, where {mean} was expected");
}
