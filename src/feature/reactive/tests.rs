//! The whole against a set of pairs: whatever clients do, those who watch are those who asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::base::prng::Prng;
use crate::resp::args::OwnedArgs;

fn line(keys: &[&[u8]]) -> Line {
    let args = OwnedArgs::new(std::iter::once(b"mget.watch".as_slice()).chain(keys.iter().copied()));
    Line::new("MGET", args.as_args(), &(1..=keys.len()).collect::<Vec<_>>())
}

/// The client of a number.
fn client_id(number: usize) -> ClientId {
    ClientId::new(number, number as u64)
}

/// The line of a GET.
pub(super) fn get(key: &[u8]) -> Line {
    Line::new("GET", OwnedArgs::new([b"GET".as_slice(), key]).as_args(), &[1])
}

/// Keys of eight bytes whose GETs have one fingerprint. FarmHash mixes a text of twelve bytes in three steps that can all be
/// undone: whatever the last four bytes are, some four in the middle lead to the number that is wanted.
pub(super) fn colliding_keys() -> impl Iterator<Item = Vec<u8>> {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    const LEN: u32 = 12;
    let scramble = |word: u32| word.wrapping_mul(C1).rotate_right(17).wrapping_mul(C2);
    let unscramble = |word: u32| word.wrapping_mul(inverse(C2)).rotate_left(17).wrapping_mul(inverse(C1));
    let mix =
        move |word: u32, hash: u32| (hash ^ scramble(word)).rotate_right(19).wrapping_mul(5).wrapping_add(0xe654_6b64);
    let before_mix = |hash: u32| hash.wrapping_sub(0xe654_6b64).wrapping_mul(inverse(5)).rotate_left(19);
    let first = u32::from_le_bytes(*b"GET ");
    (1u32..).map(move |last| {
        let hash = mix(LEN.wrapping_mul(5).wrapping_add(last), mix(LEN.wrapping_add(first), LEN * 5));
        let middle = unscramble(before_mix(0x1234_5678) ^ hash).wrapping_sub(9);
        [middle.to_le_bytes(), last.to_le_bytes()].concat()
    })
}

/// The inverse of an odd number modulo 2^32, by Newton's iteration.
fn inverse(odd: u32) -> u32 {
    (0..5).fold(odd, |x, _| x.wrapping_mul(2u32.wrapping_sub(odd.wrapping_mul(x))))
}

fn hasher() -> KeyHasher {
    KeyHasher::new([7; 16])
}

fn empty() -> Reactive {
    Reactive::new(hasher(), 0)
}

fn options(debounce_ms: u32) -> WatchOptions {
    WatchOptions { every: false, debounce_ms }
}

const NAMES: [&[u8]; 4] = [b"", b"a", b"b", b"abc"];
/// Who watches what: client, database, keys, and the debounce.
type Twin = BTreeMap<(usize, usize, Vec<&'static [u8]>), u32>;

fn check(reactive: &Reactive, twin: &Twin, seed: u64) {
    reactive.index.check_bytes();
    let queries: BTreeSet<_> = twin.iter().map(|((_, db, keys), debounce)| (db, keys, debounce)).collect();
    let keys: BTreeSet<_> = queries.iter().flat_map(|(db, keys, _)| keys.iter().map(move |key| (**db, *key))).collect();
    let own: BTreeSet<_> = reactive.watched_keys().collect();
    assert_eq!(reactive.keys(), keys.len(), "seed {seed}");
    for (db, key) in &keys {
        let watchers = twin.keys().filter(|(_, of, keys)| of == db && keys.contains(key)).count();
        assert_eq!(reactive.watchers_of(*db, key), watchers, "seed {seed}");
        assert!(reactive.may_name(hasher().hash(key)), "seed {seed}");
    }
    assert_eq!((reactive.watches(), reactive.queries()), (twin.len(), queries.len()), "seed {seed}");
    assert_eq!((own, reactive.is_empty()), (keys, twin.is_empty()), "seed {seed}");
    for query in reactive.all() {
        let names: Vec<&[u8]> = query.line().iter().skip(1).collect();
        let id = reactive.find(query.db(), query.line(), query.debounce_ms()).expect("it is known");
        let mut subscribers = reactive.receivers(id).into_iter().map(ClientId::slot).collect::<Vec<_>>();
        subscribers.sort_unstable();
        assert_eq!(query.watchers(), subscribers.len());
        let own = |((_, db, keys), debounce): &(&(_, usize, Vec<&[u8]>), &u32)| {
            *db == query.db() && *keys == names && **debounce == query.debounce_ms()
        };
        let expected: Vec<usize> = twin.iter().filter(own).map(|((client, ..), _)| *client).collect();
        assert_eq!(subscribers, expected, "seed {seed}");
    }
}

#[test]
fn any_history_leaves_what_a_set_of_pairs_would_hold() {
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: usize| prng.below(n as u64) as usize;
        let (mut reactive, mut twin) = (empty(), Twin::new());
        let mut watchers: Vec<WatcherId> = (0..5).map(|session| reactive.join(client_id(session))).collect();
        for _ in 0..300 {
            let (client, db) = (below(5), below(2));
            let keys: Vec<&[u8]> = (0..=below(3)).map(|_| NAMES[below(4)]).collect();
            match below(8) {
                0 => {
                    let own = twin.keys().filter(|watch| watch.0 == client).count();
                    assert_eq!(reactive.forget(watchers[client], 0), own);
                    watchers[client] = reactive.join(client_id(client));
                    twin.retain(|watch, _| watch.0 != client);
                }
                1 | 2 => {
                    let before = twin.len();
                    twin.retain(|(other, _, names), _| *other != client || *names != keys);
                    assert_eq!(reactive.unwatch(watchers[client], line(&keys).fingerprint(), 0), before - twin.len());
                }
                _ => {
                    let debounce = below(2) as u32;
                    reactive.watch(watchers[client], db, line(&keys), options(debounce), 0);
                    twin.insert((client, db, keys.clone()), debounce);
                }
            }
            check(&reactive, &twin, seed);
            let touched = NAMES[below(4)];
            reactive.touch(db, touched, hasher().hash(touched));
            let mut evaluated = BTreeSet::new();
            while let Some(id) = reactive.take_touched() {
                let query = reactive.query(id);
                let names: Vec<Vec<u8>> = query.line().iter().skip(1).map(<[u8]>::to_vec).collect();
                assert!(
                    evaluated.insert((query.db(), names, query.debounce_ms())),
                    "seed {seed}: twice for one change"
                );
            }
            let concerned = twin.iter().filter(|((_, at, names), _)| *at == db && names.contains(&touched));
            let owned = |names: &Vec<&[u8]>| names.iter().map(|name| name.to_vec()).collect();
            let expected: BTreeSet<_> =
                concerned.map(|((_, db, names), debounce)| (*db, owned(names), *debounce)).collect();
            assert_eq!(evaluated, expected, "seed {seed}");
        }
    }
}

#[test]
fn only_the_newest_result_of_each_query_is_held_and_the_first_to_wait_comes_first() {
    let mut reactive = empty();
    let frame = |text: &str| Arc::new(text.as_bytes().to_vec());
    let (me, other) = (reactive.join(client_id(7)), reactive.join(client_id(8)));
    let [a, b, c] = [b"a", b"b", b"c"].map(|name| reactive.watch(me, 0, line(&[name]), options(0), 0));
    assert!(!reactive.hold(me, b, &frame("b1")));
    assert!(!reactive.hold(me, a, &frame("a1")));
    assert!(!reactive.hold(me, c, &frame("c1")));
    assert!(reactive.hold(me, b, &frame("b2")), "the older one is lost");
    assert!(!reactive.hold(other, b, &frame("b2")), "a client that does not watch is owed nothing");
    reactive.unwatch(me, line(&[b"a"]).fingerprint(), 0);
    let taken: Vec<_> = std::iter::from_fn(|| reactive.take_held(me)).map(|frame| frame.to_vec()).collect();
    assert_eq!(taken, [b"b2", b"c1"]);
    assert!(!reactive.holds(me) && !reactive.holds(other));
    reactive.hold(me, c, &frame("c2"));
    reactive.renew_held(me);
    assert_eq!((reactive.holds(me), reactive.take_touched()), (false, Some(c)));
    reactive.hold(me, b, &frame("b3"));
    reactive.watch(me, 0, line(&[b"b"]), WatchOptions { every: true, debounce_ms: 0 }, 0);
    assert_eq!(reactive.take_held(me), None, "who wants every result is not sent an old one later");
    assert!(reactive.wants_every(me, b) && !reactive.wants_every(me, c) && reactive.wants_every_of_any(me));
    reactive.watch(me, 0, line(&[b"b"]), options(0), 0);
    assert!(!reactive.wants_every_of_any(me));
}

#[test]
fn gathered_changes_are_due_once_when_their_time_is_over() {
    for seed in 0..20 {
        let mut prng = Prng::seeded(seed);
        let mut reactive = empty();
        let ids: Vec<QueryId> =
            (0..20u32).map(|n| reactive.watch(0, 0, line(&[&n.to_be_bytes()]), options(n * 200), 0)).collect();
        let mut twin = BTreeMap::new();
        for now_ms in 1..20_000 {
            if prng.below(20) == 0 {
                let at = prng.below(20) as usize;
                assert_eq!(reactive.put_off(ids[at], now_ms), at > 0);
                if at > 0 {
                    twin.entry(ids[at]).or_insert(now_ms + at as u64 * 200);
                }
            }
            if prng.below(500) == 0
                && let Some((id, _)) = twin.pop_first()
            {
                reactive.settle(id);
            }
            let mut due = Vec::new();
            assert!(reactive.take_due(now_ms, &mut 1024, &mut due));
            due.sort_unstable();
            let expected: Vec<_> = twin.extract_if(.., |_, due_ms| *due_ms <= now_ms).map(|(id, _)| id).collect();
            assert_eq!(due, expected, "seed {seed} at {now_ms}");
            assert!(reactive.next_due_ms().is_some() || twin.is_empty());
        }
    }
}

/// Which take minutes where queries are found by their fingerprints.
#[test]
fn very_many_queries_of_one_fingerprint_come_and_go() {
    let mut reactive = empty();
    let keys: Vec<_> = colliding_keys().take(64_000).collect();
    let fingerprint = get(&keys[0]).fingerprint();
    let (me, other) = (reactive.join(client_id(0)), reactive.join(client_id(1)));
    let own = reactive.watch(other, 0, get(&keys[0]), options(0), 0);
    for key in &keys {
        reactive.watch(me, 0, get(key), options(0), 0);
        assert!(reactive.is_watched_by(me, 0, &get(key)));
    }
    assert_eq!((reactive.queries(), reactive.watches()), (keys.len(), keys.len() + 1));
    for _ in 0..20_000 {
        assert_eq!(reactive.unwatch(other, fingerprint, 0), 1);
        assert_eq!(reactive.watch(other, 0, get(&keys[0]), options(0), 0), own);
    }
    for key in &keys[..20_000] {
        let another = reactive.watch(me, 0, get(key), options(7), 0);
        assert_eq!(reactive.query(another).debounce_ms(), 7);
    }
    assert_eq!(reactive.watches(), keys.len() + 1, "the debounce of a watch was changed");
    assert_eq!(reactive.of(me).count(), keys.len());
    assert_eq!(reactive.unwatch(me, fingerprint, 0), keys.len());
    assert_eq!((reactive.queries(), reactive.watches(), reactive.count_of(me)), (1, 1, 0));
}

/// The twin is a set of pairs. Some keys have a fingerprint with others in common and some have their own.
#[test]
fn unwatch_ends_all_watches_of_a_fingerprint_and_no_others() {
    let keys: Vec<Vec<u8>> = colliding_keys().take(6).chain([b"a".to_vec(), b"b".to_vec()]).collect();
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: usize| prng.below(n as u64) as usize;
        let (mut reactive, mut twin) = (empty(), BTreeSet::<(usize, usize, usize)>::new());
        let mut watchers: Vec<WatcherId> = (0..3).map(|session| reactive.join(client_id(session))).collect();
        for _ in 0..300 {
            let (client, db, key) = (below(3), below(2), below(keys.len()));
            let line = get(&keys[key]);
            match below(12) {
                0 => {
                    reactive.forget(watchers[client], 0);
                    watchers[client] = reactive.join(client_id(client));
                    twin.retain(|(other, ..)| *other != client);
                }
                1 | 2 => {
                    let before = twin.len();
                    let is_one = |other: usize| get(&keys[other]).fingerprint() == line.fingerprint();
                    twin.retain(|(other, _, key)| *other != client || !is_one(*key));
                    let ended = reactive.unwatch(watchers[client], line.fingerprint(), 0);
                    assert_eq!(ended, before - twin.len(), "seed {seed}");
                }
                3 => {
                    let id = reactive.find(db, &line, 0).filter(|_| twin.remove(&(client, db, key)));
                    id.into_iter().for_each(|id| reactive.leave(watchers[client], id, 0));
                }
                _ => {
                    reactive.watch(watchers[client], db, line, options(0), 0);
                    twin.insert((client, db, key));
                }
            }
            for (client, watcher) in watchers.iter().enumerate() {
                let mut own: Vec<_> = reactive.of(*watcher).map(|(query, _)| (query.db(), query.line())).collect();
                own.sort_unstable_by_key(|(db, line)| (*db, line.iter().nth(1).map(<[u8]>::to_vec)));
                let pairs = twin.iter().filter(|pair| pair.0 == client);
                let mut expected: Vec<_> = pairs.map(|(_, db, key)| (*db, keys[*key].clone())).collect();
                expected.sort_unstable();
                let own: Vec<_> =
                    own.into_iter().map(|(db, line)| (db, line.iter().nth(1).unwrap_or_default().to_vec())).collect();
                assert_eq!(own, expected, "seed {seed}");
                assert_eq!(reactive.count_of(*watcher), expected.len(), "seed {seed}");
            }
        }
    }
}

/// Versions against a list of all frames ever made.
#[test]
fn kept_versions_are_the_newest_ones_without_a_gap() {
    const BOUNDS: Bounds = Bounds { bytes: 3_000, versions: 20 };
    for seed in 0..20 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: u64| prng.below(n);
        let mut reactive = empty();
        let mut me = reactive.join(client_id(0));
        let mut all: BTreeMap<(QueryId, u64), Arc<Vec<u8>>> = BTreeMap::new();
        let mut now_ms = 1;
        for _ in 0..2_000 {
            now_ms += below(5);
            let name = below(8).to_be_bytes();
            let id = match below(40) {
                0 => {
                    reactive.forget(me, now_ms + 30);
                    me = reactive.join(client_id(0));
                    continue;
                }
                1 => {
                    reactive.forget_left(now_ms);
                    continue;
                }
                _ => reactive.watch(me, 0, line(&[&name]), options(0), 0),
            };
            let first = reactive.begin_history(id, 1_000_000);
            let new = reactive.query(id).history().is_none_or(|_| !reactive.has_present(id, Proto::Resp3));
            let revision = if new { first } else { reactive.advance_history(id).expect("a history") };
            let frame = Arc::new(vec![b'x'; below(200) as usize]);
            let before = all.insert((id, revision), frame.clone());
            assert!(before.is_none() || new, "seed {seed}: {revision} twice");
            reactive.keep(id, Proto::Resp3, frame, BOUNDS);
            assert!(reactive.history_bytes() <= BOUNDS.bytes);
            let since = revision.saturating_sub(below(25));
            if let Some(frames) = reactive.since(id, Proto::Resp3, since) {
                let expected: Vec<_> =
                    all.range((id, since)..=(id, revision)).map(|(_, frame)| frame.clone()).collect();
                assert_eq!(frames, expected, "seed {seed}");
                assert!(frames.len() as u64 == revision - since + 1 && frames.len() <= BOUNDS.versions);
            }
            assert_eq!(reactive.since(id, Proto::Resp2, since), None);
            assert_eq!(reactive.since(id, Proto::Resp3, revision + 1), None);
        }
        reactive.forget(me, 0);
        reactive.forget_left(u64::MAX);
        assert_eq!((reactive.queries(), reactive.resumable(), reactive.history_bytes()), (0, 0, 0), "seed {seed}");
    }
}

#[test]
fn queries_that_linger_are_bounded_and_keep_their_numbers() {
    let mut reactive = empty();
    let (me, other) = (reactive.join(client_id(0)), reactive.join(client_id(1)));
    let id = reactive.watch(me, 0, line(&[b"k"]), options(0), 0);
    let first = reactive.begin_history(id, 500);
    assert_eq!((first, reactive.advance_history(id)), (500, Some(501)));
    reactive.leave(me, id, 100);
    assert_eq!((reactive.queries(), reactive.watches(), reactive.forget_left(99)), (1, 0, 0));
    assert_eq!(reactive.watch(other, 0, line(&[b"k"]), options(0), 0), id);
    assert_eq!((reactive.forget_left(1000), reactive.begin_history(id, 900)), (0, 501));
    reactive.leave(other, id, 2000);
    assert_eq!((reactive.forget_left(2000), reactive.is_empty()), (1, true));
    let id = reactive.watch(other, 0, line(&[b"k"]), options(0), 0);
    assert_eq!(reactive.begin_history(id, 400), 502, "no number is given twice");
    reactive.leave(other, id, 5000);
    for n in 0..LINGERING_MAX as u32 {
        let id = reactive.watch(other, 0, line(&[&n.to_be_bytes()]), options(0), 0);
        reactive.begin_history(id, 0);
        reactive.leave(other, id, 5000);
    }
    assert_eq!((reactive.forget_left(3000), reactive.queries()), (1, LINGERING_MAX));
}

#[test]
fn a_client_with_very_many_watches_is_gone_at_once_and_taken_apart_bit_by_bit() {
    let mut reactive = empty();
    let (me, other) = (reactive.join(client_id(0)), reactive.join(client_id(1)));
    let count = 5 * GONE_PER_TURN_MAX as u32;
    let ids: Vec<_> = (0..count).map(|n| reactive.watch(me, 0, line(&[&n.to_be_bytes()]), options(0), 0)).collect();
    reactive.watch(other, 0, line(&[&0u32.to_be_bytes()]), options(0), 0);
    assert_eq!(reactive.forget(me, 0), count as usize);
    assert_eq!((reactive.watches(), reactive.clients()), (1, 1));
    let left = ids.iter().filter(|id| reactive.index.get(**id).is_some());
    assert!(left.clone().count() > 1, "not all at once");
    assert_eq!(left.flat_map(|id| reactive.receivers(*id)).collect::<Vec<_>>(), [client_id(1)], "nobody is told");
    let again = reactive.join(client_id(0));
    assert_ne!(again, me, "the number is still in use");
    reactive.watch(again, 0, line(&[&1u32.to_be_bytes()]), options(0), 0);
    let turns = (0..).take_while(|_| reactive.clear_gone(usize::MAX)).count();
    assert!((3..=5).contains(&turns), "{turns}");
    assert_eq!((reactive.queries(), reactive.watches(), reactive.has_gone()), (2, 2, false));
    assert_eq!(reactive.join(client_id(2)), me, "and now it is free");
}

#[test]
fn keys_that_no_query_names_are_told_by_the_filter() {
    let mut reactive = empty();
    let me = reactive.join(client_id(0));
    let hash = |n: u32| hasher().hash(&n.to_be_bytes());
    let mut ids = Vec::new();
    for n in 0..200_000u32 {
        ids.push(reactive.watch(me, 0, line(&[&n.to_be_bytes()]), options(0), 0));
    }
    assert!((0..200_000).all(|n| reactive.may_name(hash(n))));
    let wrong = (200_000..400_000).filter(|n| reactive.may_name(hash(*n))).count();
    assert!(wrong < 6_000, "{wrong} of 200,000");
    ids.drain(1_000..).for_each(|id| reactive.leave(me, id, 0));
    assert!((0..1_000).all(|n| reactive.may_name(hash(n))));
    let wrong = (1_000..200_000).filter(|n| reactive.may_name(hash(*n))).count();
    assert!(wrong < 20_000, "{wrong} of those that are gone");
}

#[test]
fn a_query_that_is_left_again_and_again_takes_nobody_s_place() {
    let mut reactive = empty();
    let (me, other) = (reactive.join(client_id(0)), reactive.join(client_id(1)));
    let kept = reactive.watch(me, 0, line(&[b"kept"]), options(0), 0);
    reactive.begin_history(kept, 0);
    reactive.leave(me, kept, 100);
    for until_ms in 0..2 * LINGERING_MAX as u64 {
        let id = reactive.watch(other, 0, line(&[b"again"]), options(0), 0);
        reactive.begin_history(id, 0);
        reactive.leave(other, id, 1_000 + until_ms);
    }
    assert_eq!((reactive.forget_left(99), reactive.queries()), (0, 2));
    assert_eq!((reactive.forget_left(100), reactive.queries()), (1, 1));
    assert_eq!((reactive.forget_left(u64::MAX), reactive.queries()), (1, 0));
}

#[test]
fn a_held_result_is_dropped_when_the_client_has_a_newer_answer() {
    let mut reactive = empty();
    let me = reactive.join(client_id(0));
    let [a, b] = [b"a", b"b"].map(|name| reactive.watch(me, 0, line(&[name]), options(0), 0));
    let frame = Arc::new(vec![b'x']);
    [a, b].into_iter().for_each(|id| _ = reactive.hold(me, id, &frame));
    reactive.forget_held(me, a);
    assert!(reactive.holds(me));
    reactive.forget_held(me, b);
    assert!(!reactive.holds(me) && reactive.take_held(me).is_none());
}
