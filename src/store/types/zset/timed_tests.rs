//! Sorted sets with deadlines against a map of scores and deadlines, and a clock.

use std::collections::{BTreeMap, BTreeSet};

use super::tests::{Twin, agree, limits, listed};
use super::*;
use crate::base::prng::Prng;

/// A sorted set beside a map of the same members, both seen at some time.
#[derive(Clone)]
struct Pair {
    zset: ZSet,
    model: BTreeMap<Vec<u8>, (f64, Option<i64>)>,
    limits: Limits,
    seen_ms: i64,
}

impl Pair {
    fn new(limits: Limits) -> Pair {
        Pair { zset: ZSet::default(), model: BTreeMap::new(), limits, seen_ms: i64::MIN }
    }

    fn look_at(&mut self, ms: i64) {
        self.seen_ms = ms;
        self.zset.look_at(ms);
    }

    fn seen(&self, member: &[u8]) -> Option<(f64, Option<i64>)> {
        self.model.get(member).copied().filter(|(_, deadline_ms)| deadline_ms.is_none_or(|ms| ms > self.seen_ms))
    }

    /// What is seen, as the twin of a sorted set without deadlines.
    fn twin(&self) -> Twin {
        let seen = self.model.keys().filter_map(|member| Some((member.clone(), self.seen(member)?.0)));
        Twin(seen.collect())
    }

    fn change(&mut self, member: &[u8], score: f64, prng: &mut Prng, now_ms: i64) {
        let old = self.seen(member);
        assert_eq!(self.zset.deadline_ms(member), old.map(|(_, deadline_ms)| deadline_ms));
        match prng.below(16) {
            0..6 => {
                let update = self.zset.update(member, &self.limits, |before| {
                    assert_eq!(before, old.map(|(score, _)| score));
                    Some(score)
                });
                assert_eq!(update, Update { old: old.map(|(score, _)| score), new: Some(score) });
                self.model.insert(member.to_vec(), (score, old.and_then(|(_, deadline_ms)| deadline_ms)));
            }
            6 => {
                let old = old.map(|(score, _)| score);
                assert_eq!(self.zset.update(member, &self.limits, |_| None), Update { old, new: old });
            }
            7 | 8 => {
                assert_eq!(self.zset.remove(member), old.map(|(score, _)| score));
                old.map(|_| self.model.remove(member));
            }
            9 => {
                let deadline_ms = prng.chance(1, 2).then(|| now_ms + prng.below(300) as i64 - 20);
                let is_new = !self.model.contains_key(member);
                assert_eq!(self.zset.load(member, score, deadline_ms, self.limits.hasher), is_new);
                self.model.entry(member.to_vec()).or_insert((score, deadline_ms));
            }
            10 if prng.chance(1, 4) => {
                let seen = self.twin().sorted();
                let start = prng.below(seen.len() as u64 + 1) as usize;
                let end = start + prng.below(20) as usize;
                assert!(self.zset.remove_ranks(start..end).is_none());
                seen[start..end.min(seen.len())].iter().for_each(|(member, _)| _ = self.model.remove(member));
            }
            _ => {
                let deadline_ms = prng.chance(5, 6).then(|| now_ms + prng.below(300) as i64 - 10);
                assert_eq!(self.zset.set_deadline(member, deadline_ms, self.limits.hasher), old.is_some());
                old.map(|(score, _)| self.model.insert(member.to_vec(), (score, deadline_ms)));
            }
        }
    }

    /// None early, none twice, and none before the earliest of those that stay.
    fn expire(&mut self, now_ms: i64, max: usize) -> usize {
        let mut gone = Vec::new();
        let count = self.zset.expire(now_ms, max, &mut |member| gone.push(member.to_vec()));
        assert_eq!(count, gone.len());
        for member in gone {
            let (_, deadline_ms) = self.model.remove(&member).expect("it was there, once");
            assert!(deadline_ms.is_some_and(|ms| ms <= now_ms), "none early");
        }
        count
    }

    fn check(&self, prng: &mut Prng) {
        let twin = self.twin();
        agree(&self.zset, &twin, prng);
        self.zset.iter(0..usize::MAX).for_each(|(item, _)| assert!(self.seen(&item.to_vec()).is_some()));
        let (mut visited, mut read) = (BTreeMap::new(), BTreeMap::new());
        self.zset.for_each(|item, score| assert!(visited.insert(item.to_vec(), score).is_none()));
        let mut place = Some(0);
        while let Some(from) = place {
            let show = |item: Item<'_>, score| assert!(read.insert(item.to_vec(), score).is_none());
            place = self.zset.read_on(from, show, || false);
        }
        assert_eq!((&visited, &read), (&twin.0, &twin.0));
        let mut all: Vec<_> = self.model.iter().map(|(name, &(score, ms))| (name.clone(), score, ms)).collect();
        all.sort_by(|(a, x, _), (b, y, _)| order(*x, *y).then_with(|| a.cmp(b)));
        let show = |(item, score, ms): (Item<'_>, f64, Option<i64>)| (item.to_vec(), score, ms);
        assert_eq!(self.zset.iter_all(0..usize::MAX).map(show).collect::<Vec<_>>(), all, "due ones too");
        let from = prng.below(all.len() as u64 + 1) as usize;
        let (back, part) = (self.zset.iter_all(0..from).rev().map(show), all[..from].iter().rev().cloned());
        assert!(back.eq(part));
        let deadlines = self.model.values().filter_map(|(_, deadline_ms)| *deadline_ms);
        assert_eq!((self.zset.total(), self.zset.timed()), (self.model.len(), deadlines.clone().count()));
        assert_eq!(self.zset.is_empty(), self.model.is_empty());
        let (first, next) = (deadlines.min(), self.zset.next_due_ms());
        assert!(next.is_some() == first.is_some() && next <= first, "{next:?} {first:?}");
        if let Repr::Timed(timed) = &self.zset.0 {
            timed.check();
        }
    }
}

#[test]
fn members_with_deadlines_are_there_until_then_and_expire_once() {
    for seed in 0..24 {
        let mut prng = Prng::seeded(seed);
        let limits = limits([0, 20, 128][prng.below(3) as usize], 64);
        let (names, scores) = ([8, 200, 1500][seed as usize % 3], [1, 10, 1000][prng.below(3) as usize]);
        let (mut pair, mut now_ms) = (Pair::new(limits), 1000_i64);
        for step in 0..4000 {
            // Now and then a look back, as on a replica, or one that is late.
            let at = if prng.chance(1, 20) { now_ms - prng.below(100) as i64 } else { now_ms };
            if !prng.chance(1, 10) {
                pair.look_at(at);
            }
            let member = format!("m{}", prng.below(names)).into_bytes();
            pair.change(&member, prng.below(scores) as f64 / 2.0, &mut prng, now_ms);
            match prng.below(12) {
                0 | 1 => now_ms += prng.below(12) as i64,
                2 => _ = pair.expire(now_ms, prng.below(30) as usize),
                _ => {}
            }
            if step % 150 == 0 {
                pair.check(&mut prng);
                pair.clone().check(&mut prng);
                let mut all = pair.clone();
                all.look_at(i64::MIN);
                all.check(&mut prng);
                assert_eq!(all.zset.len(), pair.model.len(), "all are there for who asks of the time before");
            }
        }
        while pair.zset.next_due_ms().is_some() {
            pair.expire(i64::MAX / 2, 20);
        }
        assert!(pair.model.values().all(|(_, deadline_ms)| deadline_ms.is_none()), "none is lost");
        pair.check(&mut prng);
    }
}

/// Sorted sets of `count` members, each of which has a deadline.
fn timed(count: usize, limits: &Limits, deadline_ms: impl Fn(usize) -> i64) -> ZSet {
    let mut zset = ZSet::default();
    for n in 0..count {
        zset.load(format!("member:{n:07}").as_bytes(), (n / 3) as f64, Some(deadline_ms(n)), limits.hasher);
    }
    zset
}

#[test]
fn ranks_by_bytes_leave_due_members_out() {
    let limits = limits(0, 64);
    let mut prng = Prng::seeded(3);
    for count in [100, 2000] {
        let (mut zset, mut seen) = (ZSet::default(), BTreeSet::new());
        for n in 0..count {
            let (member, deadline_ms) = (format!("{n:04}").into_bytes(), prng.chance(1, 2).then_some(n % 7));
            zset.load(&member, 1.0, deadline_ms, limits.hasher);
            if deadline_ms.is_none_or(|ms| ms > 3) {
                seen.insert(member);
            }
        }
        zset.look_at(3);
        for _ in 0..200 {
            let ends = [prng.below(count as u64), prng.below(count as u64)].map(|n| format!("{n:04}").into_bytes());
            let range = LexRange { min: LexBound::Inclusive(&ends[0]), max: LexBound::Exclusive(&ends[1]) };
            let found: Vec<_> = listed(zset.iter(zset.ranks_by_lex(&range))).into_iter().map(|(m, _)| m).collect();
            let inside = |member: &&Vec<u8>| range.reaches(member) && !range.passed(member);
            assert_eq!(found, seen.iter().filter(inside).cloned().collect::<Vec<_>>());
        }
    }
}

#[test]
fn the_earliest_expire_first_and_a_million_at_once_in_slices() {
    const COUNT: usize = 1_000_000;
    const MAX: usize = 1000;
    let mut zset = timed(COUNT, &limits(128, 64), |_| 5000);
    zset.look_at(4999);
    assert_eq!((zset.len(), zset.expire(4999, MAX, &mut |_| panic!("none is due"))), (COUNT, 0));
    let (mut gone, mut slices) = (vec![false; COUNT], 0);
    while zset.next_due_ms().is_some_and(|due_ms| due_ms <= 5000) {
        let count = zset.expire(5000, MAX, &mut |member| {
            assert!(!std::mem::replace(&mut gone[number(member)], true), "named once");
        });
        assert!(count < MAX + 200, "{count} in one slice");
        slices += 1;
    }
    assert!(gone.iter().all(|&is_gone| is_gone) && zset.is_empty() && slices >= COUNT / (MAX + 200), "{slices}");
    let mut zset = timed(20_000, &limits(128, 64), |n| (n * 7919 % 20_000) as i64);
    let mut left: BTreeSet<usize> = (0..20_000).collect();
    while let Some(&earliest) = left.first() {
        let count = zset.expire(20_000, 100, &mut |member| assert!(left.remove(&(number(member) * 7919 % 20_000))));
        // What lies at the places of the earliest goes with them.
        assert!(!left.contains(&earliest) && (1..300).contains(&count), "{earliest} {count}");
    }
    assert!(zset.is_empty());
}

/// The number in a member's name.
fn number(member: &[u8]) -> usize {
    std::str::from_utf8(&member[7..]).expect("digits").parse().expect("a number")
}

#[test]
fn a_deadline_costs_a_member_of_any_length_sixteen_bytes_at_most_on_average() {
    let limits = limits(0, 64);
    let (mut plain, mut timed) = (ZSet::default(), ZSet::default());
    let mut few = ZSet::default();
    for n in 0..100_000 {
        let member = format!("{n:0width$}", width = 6 + n as usize % 48).into_bytes();
        plain.insert(&member, n as f64, &limits);
        timed.load(&member, n as f64, Some(1_700_000_000_000 + n * 7919 % 100_000), limits.hasher);
        few.load(&member, n as f64, (n == 0).then_some(1_700_000_000_000), limits.hasher);
    }
    let [before, after, others] = [&plain, &timed, &few].map(|zset| zset.heap_bytes(usize::MAX) as f64 / 100_000.0);
    assert!(after - before <= 16.0 && plain.timed() == 0, "{before}, {after}");
    assert!(others - before <= 1.1, "{before}, {others}");
}

#[test]
fn the_queue_is_renewed_while_members_come_and_go() {
    let mut prng = Prng::seeded(23);
    let mut pair = Pair::new(limits(0, 64));
    let (mut renewed, mut was_renewing) = (0, false);
    for step in 0..30_000u64 {
        let member = format!("{}", prng.below(1500 + step / 20)).into_bytes();
        let score = prng.below(100) as f64;
        pair.change(&member, score, &mut prng, 100_000 + step as i64 * 10);
        // Ever earlier deadlines leave entries that nobody needs.
        if let Some((score, Some(ms))) = pair.seen(&member) {
            assert!(pair.zset.set_deadline(&member, Some(ms - 1), pair.limits.hasher));
            pair.model.insert(member, (score, Some(ms - 1)));
        }
        let Repr::Timed(timed) = &pair.zset.0 else { continue };
        renewed += usize::from(was_renewing && !timed.is_renewing());
        was_renewing = timed.is_renewing();
        if step % 3000 == 0 || (was_renewing && step % 100 == 0) {
            timed.check();
        }
    }
    assert!(renewed > 1, "{renewed}");
    pair.check(&mut prng);
}

#[test]
fn a_copy_in_pieces_keeps_deadlines_and_due_members() {
    for count in [3, 300, 3000] {
        let mut zset = timed(count, &limits(0, 64), |n| n as i64);
        zset.look_at(count as i64 / 2);
        let (mut copy, mut place, mut calls) = (zset.begin_timed_copy().expect("it is timed"), Some(0), 0);
        assert!(zset.begin_copy().is_none() && ZSet::default().begin_timed_copy().is_none());
        while let Some(from) = place {
            place = copy.copy_on(&zset, from, |_, _| false);
            calls += 1;
        }
        assert_eq!(calls, count);
        assert_eq!((copy.total(), copy.timed(), copy.len()), (count, count, count));
        copy.look_at(count as i64 / 2);
        assert_eq!(listed(copy.iter(0..usize::MAX)), listed(zset.iter(0..usize::MAX)));
        assert_eq!((copy.len(), copy.encoding()), (zset.len(), "skiplist"));
        let (repr, ptr) = copy.into_raw();
        assert_eq!(repr, REPR_TIMED);
        // SAFETY: just given up.
        let copy = unsafe { ZSet::from_raw(repr, ptr) };
        assert!(copy.is_timed() && copy.len() == zset.len());
    }
}

/// Wants every block moved.
struct All(u64);

impl Mover for All {
    fn wants(&mut self, _block: NonNull<u8>, _bytes: usize) -> bool {
        self.0 += 1;
        true
    }

    fn moved(&self) -> u64 {
        self.0
    }
}

#[test]
fn the_tree_follows_members_that_move_in_memory() {
    let mut prng = Prng::seeded(8);
    let mut pair = Pair::new(limits(0, 64));
    for n in 0..6000u64 {
        pair.change(format!("m{}", n % 2000).as_bytes(), prng.below(50) as f64, &mut prng, 1000);
    }
    let (mut place, mut all) = (Some(0), All(0));
    while let Some(from) = place {
        place = pair.zset.defragment(from, &mut all, &mut || false);
    }
    assert!(pair.zset.is_timed() && all.moved() == pair.model.len() as u64);
    pair.check(&mut prng);
    pair.look_at(1100);
    pair.check(&mut prng);
}
