use std::collections::BTreeMap;

use super::*;
use crate::base::prng::Prng;

pub(super) fn limits(entries: usize, value: usize) -> Limits {
    Limits { entries, value, hasher: KeyHasher::new([9; 16]) }
}

/// The twin: scores by member, sorted when asked.
#[derive(Clone, Default)]
pub(super) struct Twin(pub(super) BTreeMap<Vec<u8>, f64>);

impl Twin {
    pub(super) fn sorted(&self) -> Vec<(Vec<u8>, f64)> {
        let mut all: Vec<_> = self.0.iter().map(|(member, &score)| (member.clone(), score)).collect();
        all.sort_by(|a, b| a.1.partial_cmp(&b.1).expect("no NaN").then_with(|| a.0.cmp(&b.0)));
        all
    }
}

pub(super) fn listed<'z>(entries: impl Iterator<Item = (Item<'z>, f64)>) -> Vec<(Vec<u8>, f64)> {
    entries.map(|(member, score)| (member.to_vec(), score)).collect()
}

fn scanned(zset: &ZSet) -> BTreeMap<Vec<u8>, f64> {
    let (mut all, mut cursor) = (BTreeMap::new(), 0);
    loop {
        cursor = zset.scan(cursor, |member, score| assert!(all.insert(member.to_vec(), score).is_none()));
        if cursor == 0 {
            return all;
        }
    }
}

pub(super) fn agree(zset: &ZSet, twin: &Twin, prng: &mut Prng) {
    let sorted = twin.sorted();
    assert_eq!(zset.len(), sorted.len());
    assert_eq!(listed(zset.iter(0..usize::MAX)), sorted);
    assert_eq!(scanned(zset), twin.0);
    let mut backwards = listed(zset.iter(0..usize::MAX).rev());
    backwards.reverse();
    assert_eq!(backwards, sorted);
    for (rank, (member, score)) in sorted.iter().enumerate().step_by(1 + sorted.len() / 20) {
        assert_eq!(zset.rank(member), Some((rank, *score)));
        assert_eq!(zset.score(member), Some(*score));
        assert_eq!(zset.get(rank).map(|(item, score)| (item.to_vec(), score)), Some((member.clone(), *score)));
    }
    for _ in 0..10 {
        let ends = [prng.below(sorted.len() as u64 + 2) as usize, prng.below(sorted.len() as u64 + 2) as usize];
        let ranks = ends[0].min(ends[1])..ends[0].max(ends[1]);
        let cut = ranks.start.min(sorted.len())..ranks.end.min(sorted.len());
        assert_eq!(listed(zset.iter(ranks.clone())), sorted[cut.clone()]);
        // From both ends at once.
        let mut iter = zset.iter(ranks);
        let mut middle = cut;
        while !middle.is_empty() {
            let (got, expected) = if prng.chance(1, 2) {
                middle.end -= 1;
                (iter.next_back(), &sorted[middle.end])
            } else {
                middle.start += 1;
                (iter.next(), &sorted[middle.start - 1])
            };
            assert_eq!(got.map(|(item, score)| (item.to_vec(), score)), Some(expected.clone()));
            assert_eq!(iter.len(), middle.len());
        }
        assert!(iter.next().is_none() && iter.next_back().is_none());
        let bound = |prng: &mut Prng| ScoreBound { score: prng.below(60) as f64 / 2.0, exclusive: prng.chance(1, 2) };
        let range = ScoreRange { min: bound(prng), max: bound(prng) };
        let found = zset.ranks_by_score(&range);
        let inside = |score: f64| range.reaches(score) && !range.passed(score);
        assert_eq!(listed(zset.iter(found)), sorted.iter().filter(|(_, s)| inside(*s)).cloned().collect::<Vec<_>>());
    }
}

#[test]
fn a_sorted_set_is_a_sorted_vector_on_both_sides_of_the_thresholds() {
    let mut prng = Prng::seeded(21);
    for (entries, names, limits) in [(64, 40u64, limits(128, 64)), (64, 200, limits(20, 8)), (0, 4000, limits(128, 64))]
    {
        let mut zset = ZSet::sized(entries, 1, &limits);
        let mut twin = Twin::default();
        for step in 0..8000u32 {
            let n = prng.below(names);
            let member = if n.is_multiple_of(3) { format!("{n}") } else { format!("m{n}") }.into_bytes();
            let score = prng.below(60) as f64 / 2.0;
            match prng.below(10) {
                0..=5 => {
                    let old = twin.0.insert(member.clone(), score);
                    assert_eq!(zset.update(&member, &limits, |_| Some(score)), Update { old, new: Some(score) });
                }
                6 => {
                    let old = twin.0.get(&member).copied();
                    assert_eq!(zset.update(&member, &limits, |_| None), Update { old, new: old });
                }
                7 if step.is_multiple_of(7) && !twin.0.is_empty() => {
                    let start = prng.below(twin.0.len() as u64) as usize;
                    let end = start + prng.below(30) as usize;
                    for (member, _) in twin.sorted().drain(start..end.min(twin.0.len())) {
                        twin.0.remove(&member);
                    }
                    assert!(zset.remove_ranks(start..end).is_none());
                }
                _ => assert_eq!(zset.remove(&member), twin.0.remove(&member)),
            }
            if step.is_multiple_of(400) {
                agree(&zset, &twin, &mut prng);
                agree(&zset.clone(), &twin, &mut prng);
                let sorted = twin.sorted();
                let items = sorted.iter().map(|(member, score)| (Item::Bytes(&member[..]), *score));
                agree(&ZSet::from_sorted(items, &limits), &twin, &mut prng);
            }
        }
    }
}

#[test]
fn members_of_one_score_are_found_by_their_bytes() {
    let mut prng = Prng::seeded(4);
    for count in [5u64, 90, 3000] {
        let limits = limits(128, 64);
        let (mut zset, mut twin) = (ZSet::default(), Twin::default());
        for _ in 0..count {
            let member = prng.below(count * 2).to_string().into_bytes();
            zset.insert(&member, 0.0, &limits);
            twin.0.insert(member, 0.0);
        }
        for _ in 0..200 {
            let ends = [prng.below(count * 2).to_string(), prng.below(count * 2).to_string()];
            let bound = |prng: &mut Prng, text| match prng.below(6) {
                0 => LexBound::First,
                1 => LexBound::Last,
                2 | 3 => LexBound::Inclusive(text),
                _ => LexBound::Exclusive(text),
            };
            let range =
                LexRange { min: bound(&mut prng, ends[0].as_bytes()), max: bound(&mut prng, ends[1].as_bytes()) };
            let inside = |member: &[u8]| range.reaches(member) && !range.passed(member);
            let expected: Vec<_> = twin.sorted().into_iter().filter(|(member, _)| inside(member)).collect();
            assert_eq!(listed(zset.iter(zset.ranks_by_lex(&range))), expected, "{range:?}");
        }
    }
}

#[test]
fn the_listpack_ends_where_the_limits_say() {
    let limits = limits(3, 4);
    let mut zset = ZSet::default();
    for member in [&b"a"[..], b"bbbb", b"c"] {
        assert!(zset.insert(member, 1.0, &limits));
        assert_eq!(zset.encoding(), "listpack");
    }
    assert!(!zset.insert(b"a", 2.0, &limits));
    assert_eq!(zset.encoding(), "listpack");
    assert!(zset.insert(b"d", 2.0, &limits));
    assert_eq!(zset.encoding(), "skiplist");
    let mut zset = ZSet::default();
    zset.insert(b"ccccc", 1.0, &limits);
    assert_eq!(zset.encoding(), "skiplist");
    assert_eq!(ZSet::sized(4, 1, &limits).encoding(), "skiplist");
    assert_eq!(ZSet::sized(3, 4, &limits).encoding(), "listpack");
    assert_eq!(ZSet::sized(3, 5, &limits).encoding(), "skiplist");
}

#[test]
fn scores_are_packed_as_redis_packs_them() {
    let limits = limits(128, 64);
    let mut zset = ZSet::default();
    let scores = [-0.0, 3.0, 1.5, f64::INFINITY, f64::NEG_INFINITY, 4e18, 5e18, 1e300];
    for (n, score) in scores.into_iter().enumerate() {
        zset.insert(format!("m{n}").as_bytes(), score, &limits);
    }
    let pack = zset.as_pack().expect("few members");
    let texts: Vec<_> = pack.iter().map(|item| String::from_utf8(item.to_vec()).expect("text")).collect();
    assert_eq!(texts.join(" "), "m4 -inf m0 0 m2 1.5 m1 3 m5 4000000000000000000 m6 5e+18 m7 1e+300 m3 inf");
    let back: Vec<f64> = zset.iter(0..9).map(|(_, score)| score).collect();
    assert_eq!(back, [f64::NEG_INFINITY, 0.0, 1.5, 3.0, 4e18, 5e18, 1e300, f64::INFINITY]);
}

#[test]
fn a_listpack_from_outside_is_checked() {
    let pack = |texts: &[&str]| {
        let mut pack = Listpack::new();
        texts.iter().for_each(|text| _ = pack.push_back(text.as_bytes()));
        pack
    };
    let limits = limits(2, 64);
    for bad in [
        &[][..],
        &["a"],
        &["a", "x"],
        &["a", ""],
        &["a", "nan"],
        &["a", "2", "b", "1"],
        &["b", "1", "a", "1"],
        &["a", "1", "a", "1"],
        &["a", "1", "a", "2"],
    ] {
        assert!(ZSet::from_pack(Validated::of(&pack(bad)), &limits).is_none(), "{bad:?}");
    }
    let good = ZSet::from_pack(Validated::of(&pack(&["a", "1", "b", "1.5"])), &limits).expect("well-formed");
    assert_eq!((good.encoding(), good.len(), good.score(b"b")), ("listpack", 2, Some(1.5)));
    let long =
        ZSet::from_pack(Validated::of(&pack(&["a", "1", "b", "1.5", "c", "inf"])), &limits).expect("well-formed");
    assert_eq!((long.encoding(), long.score(b"c")), ("skiplist", Some(f64::INFINITY)));
}

#[test]
fn to_remove_nearly_all_leaves_the_old_one_to_be_freed() {
    let limits = limits(128, 64);
    let members: Vec<Vec<u8>> = (0..30_000u32).map(|n| format!("{n:05}").into_bytes()).collect();
    let items = members.iter().enumerate().map(|(n, member)| (Item::Bytes(&member[..]), n as f64));
    let mut zset = ZSet::from_sorted(items, &limits);
    let copy = zset.clone();
    let old = zset.remove_ranks(100..29_950).expect("most of it is gone");
    assert_eq!(old.len(), copy.len());
    let kept: Vec<_> = listed(zset.iter(0..1000));
    assert_eq!(kept, [listed(copy.iter(0..100)), listed(copy.iter(29_950..30_000))].concat());
    assert_eq!(zset.encoding(), "skiplist");
}

#[test]
fn a_raw_pointer_is_taken_back() {
    let limits = limits(2, 64);
    let mut zset = ZSet::default();
    for n in 0..5 {
        zset.insert(format!("m{n}").as_bytes(), f64::from(n), &limits);
        let encoding = zset.encoding();
        let (repr, ptr) = zset.into_raw();
        // SAFETY: just given up.
        zset = unsafe { ZSet::from_raw(repr, ptr) };
        assert_eq!((zset.len(), zset.encoding()), (n as usize + 1, encoding));
    }
}

#[test]
fn members_gathered_in_any_order_become_the_sorted_set_of_their_twin() {
    let mut prng = Prng::seeded(71);
    for (members, entries, value) in [(1u64, 8, 64), (8, 8, 64), (9, 8, 64), (8, 8, 1), (3000, 128, 64)] {
        let limits = limits(entries, value);
        let (mut gathering, mut twin) = (Gathering::new(limits.hasher), Twin::default());
        for step in 0..3 * members {
            let member = format!("m{}", step % members).into_bytes();
            let score = prng.below(50) as f64 - 25.0;
            match twin.0.get_mut(&member) {
                None if prng.chance(1, 2) => {
                    gathering.push(&member, score);
                    twin.0.insert(member, score);
                }
                None => {
                    gathering.merge(&member, score, |_, _| panic!("the member is new"));
                    twin.0.insert(member, score);
                }
                Some(known) => {
                    gathering.merge(&member, score, |old, new| old + 2.0 * new);
                    *known += 2.0 * score;
                }
            }
        }
        gathering.sort();
        assert_eq!(listed(gathering.iter()), twin.sorted());
        let zset = gathering.into_zset(&limits);
        assert_eq!(zset.as_pack().is_some(), members <= entries as u64 && value > 1);
        let mut shown = BTreeMap::new();
        zset.for_each(|item, score| assert!(shown.insert(item.to_vec(), score).is_none()));
        assert_eq!(shown, twin.0);
        agree(&zset, &twin, &mut prng);
    }
}
