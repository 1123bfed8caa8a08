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

/// The oracle: a map of deadlines, and a clock that goes forth and, as on a replica, back.
#[test]
fn members_with_deadlines_are_there_until_then_and_expire_once() {
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let policy = policy(prng.below(10) as usize, prng.below(10) as usize);
        let (bound, mut now_ms) = ([8, 400, 3000][seed as usize % 3], 1000_i64);
        let (mut set, mut twin) = (Set::ints(), std::collections::BTreeMap::<Vec<u8>, Option<i64>>::new());
        for step in 0..4000 {
            set.look_at(now_ms);
            let is_there = |deadline_ms: Option<i64>| deadline_ms.is_none_or(|ms| ms > now_ms);
            let text = format!("{}", prng.below(bound)).into_bytes();
            let old = twin.get(&text).copied().filter(|old| is_there(*old));
            assert_eq!(set.deadline_ms(&text), old, "seed {seed} step {step}");
            match prng.below(10) {
                0..4 => {
                    assert_eq!(set.insert(&text, &policy), old.is_none());
                    twin.insert(text, old.flatten());
                }
                4 => {
                    assert_eq!(set.remove(&text), old.is_some());
                    old.map(|_| twin.remove(&text));
                }
                5..8 => {
                    let deadline_ms = prng.chance(4, 5).then(|| now_ms + 1 + prng.below(300) as i64);
                    assert_eq!(set.set_deadline(&text, deadline_ms, policy.hasher), old.is_some());
                    old.map(|_| twin.insert(text, deadline_ms));
                }
                8 => now_ms += prng.below(20) as i64,
                _ => {
                    let (mut gone, max) = (Vec::new(), prng.below(30) as usize);
                    let due: BTreeSet<Vec<u8>> =
                        twin.iter().filter(|(_, ms)| !is_there(**ms)).map(|(text, _)| text.clone()).collect();
                    let count = set.expire(now_ms, max, &mut |name| gone.push(name.to_vec()));
                    assert_eq!(count, gone.len());
                    assert!(
                        gone.iter().all(|name| due.contains(name) && twin.remove(name).is_some()),
                        "none early or twice"
                    );
                }
            }
            if step % 200 == 0 {
                let there: BTreeSet<Vec<u8>> = twin
                    .iter()
                    .filter(|(_, ms)| ms.is_none_or(|ms| ms > now_ms))
                    .map(|(text, _)| text.clone())
                    .collect();
                set.look_at(now_ms);
                assert_eq!(
                    (all(&set), set.len(), set.total()),
                    (there.clone(), there.len(), twin.len()),
                    "seed {seed}"
                );
                assert_eq!((set.is_empty(), set.timed()), (twin.is_empty(), twin.values().flatten().count()));
                let (copy, mut shown) = (set.clone(), BTreeSet::new());
                copy.sample(there.len() / 5, |n| prng.below(n), |item| assert!(shown.insert(item.to_vec())));
                assert!(shown.len() == there.len() / 5 && shown.is_subset(&there));
                assert_eq!(set.random(|n| prng.below(n), |item| item.to_vec()).is_some(), !there.is_empty());
                set.look_at(i64::MIN);
                assert_eq!(set.len(), twin.len(), "all are there for who asks of the time before");
            }
        }
        let (mut gone, mut turns) = (0, 0);
        while set.next_due_ms().is_some_and(|due_ms| due_ms <= i64::MAX / 2) {
            gone += set.expire(i64::MAX / 2, 20, &mut |name| assert!(twin.remove(name).is_some_and(|ms| ms.is_some())));
            turns += 1;
            assert!(turns < 100_000, "there is an end to it");
        }
        assert!(twin.values().all(Option::is_none) && set.len() == twin.len(), "none is lost: {gone}");
    }
}

#[test]
fn a_deadline_costs_a_member_of_any_length_sixteen_bytes_at_most_on_average() {
    let policy = policy(0, 0);
    let (mut plain, mut timed) = (Set::for_members(b"x", 1000, &policy), Set::for_members(b"x", 1000, &policy));
    for n in 0..100_000 {
        let text = format!("{n:0width$}", width = 6 + n as usize % 48).into_bytes();
        plain.insert(&text, &policy);
        timed.insert(&text, &policy);
        timed.set_deadline(&text, Some(1_700_000_000_000 + n * 7919 % 100_000), policy.hasher);
    }
    let (before, after) = (plain.heap_bytes(usize::MAX), timed.heap_bytes(usize::MAX));
    let each = (after as f64 - before as f64) / 100_000.0;
    assert!(each <= 16.0 && plain.timed() == 0, "{each} bytes a member: {before}, {after}");
}
