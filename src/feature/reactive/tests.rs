//! The whole against a set of pairs: whatever clients do, those who watch are those who asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::base::prng::Prng;
use crate::resp::args::OwnedArgs;

fn line(keys: &[&[u8]]) -> Line {
    let args = OwnedArgs::new(std::iter::once(b"mget.watch".as_slice()).chain(keys.iter().copied()));
    Line::new("MGET", args.as_args())
}

const NAMES: [&[u8]; 4] = [b"", b"a", b"b", b"abc"];
type Twin = BTreeSet<(usize, usize, Vec<&'static [u8]>)>;

fn check(reactive: &Reactive, twin: &Twin, seed: u64) {
    let queries: BTreeSet<_> = twin.iter().map(|(_, db, keys)| (db, keys)).collect();
    let keys: BTreeSet<_> = queries.iter().flat_map(|(db, keys)| keys.iter().map(move |key| (**db, *key))).collect();
    let own: BTreeSet<_> = reactive.watched_keys().map(|(db, key, _)| (db, key)).collect();
    assert_eq!((reactive.watches(), reactive.queries()), (twin.len(), queries.len()), "seed {seed}");
    assert_eq!((own, reactive.is_empty()), (keys, twin.is_empty()), "seed {seed}");
    for query in reactive.all() {
        let names: Vec<&[u8]> = query.line().iter().skip(1).collect();
        let mut subscribers = query.subscribers().to_vec();
        subscribers.sort_unstable();
        let expected: Vec<u32> = twin
            .iter()
            .filter(|(_, db, keys)| *db == query.db() && *keys == names)
            .map(|watch| watch.0 as u32)
            .collect();
        assert_eq!(subscribers, expected, "seed {seed}");
    }
}

#[test]
fn any_history_leaves_what_a_set_of_pairs_would_hold() {
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: usize| prng.below(n as u64) as usize;
        let (mut reactive, mut twin) = (Reactive::default(), Twin::new());
        for _ in 0..300 {
            let (client, db) = (below(5), below(2));
            let keys: Vec<&[u8]> = (0..=below(3)).map(|_| NAMES[below(4)]).collect();
            match below(8) {
                0 => {
                    let own = twin.iter().filter(|watch| watch.0 == client).count();
                    assert_eq!(reactive.forget(client), own);
                    twin.retain(|watch| watch.0 != client);
                }
                1 | 2 => {
                    let before = twin.len();
                    twin.retain(|(other, _, names)| *other != client || *names != keys);
                    assert_eq!(reactive.unwatch(client, line(&keys).fingerprint()), before - twin.len());
                }
                _ => {
                    reactive.watch(client, db, line(&keys), &keys);
                    twin.insert((client, db, keys.clone()));
                }
            }
            check(&reactive, &twin, seed);
            let touched = NAMES[below(4)];
            reactive.touch(db, touched);
            let mut evaluated = BTreeSet::new();
            while let Some(id) = reactive.take_touched() {
                let query = reactive.query(id);
                let names: Vec<Vec<u8>> = query.line().iter().skip(1).map(<[u8]>::to_vec).collect();
                assert!(evaluated.insert((query.db(), names)), "seed {seed}: twice for one change");
            }
            let concerned = twin.iter().filter(|(_, at, names)| *at == db && names.contains(&touched));
            let expected: BTreeSet<_> =
                concerned.map(|(_, db, names)| (*db, names.iter().map(|name| name.to_vec()).collect())).collect();
            assert_eq!(evaluated, expected, "seed {seed}");
        }
    }
}

#[test]
fn only_the_newest_result_of_each_query_is_held_and_the_first_to_wait_comes_first() {
    let mut reactive = Reactive::default();
    let frame = |text: &str| Arc::new(text.as_bytes().to_vec());
    let names: [&[u8]; 3] = [b"a", b"b", b"c"];
    names.iter().for_each(|name| reactive.watch(7, 0, line(&[name]), &[name]));
    let ids: BTreeMap<Vec<u8>, QueryId> =
        reactive.index.ids().map(|id| (reactive.query(id).line().iter().nth(1).expect("a key").to_vec(), id)).collect();
    let id = |name: &str| ids[name.as_bytes()];
    assert!(!reactive.hold(7, id("b"), &frame("b1")));
    assert!(!reactive.hold(7, id("a"), &frame("a1")));
    assert!(!reactive.hold(7, id("c"), &frame("c1")));
    assert!(reactive.hold(7, id("b"), &frame("b2")), "the older one is lost");
    assert!(!reactive.hold(8, id("b"), &frame("b2")), "a client that does not watch is owed nothing");
    reactive.unwatch(7, line(&[b"a"]).fingerprint());
    let taken: Vec<_> = std::iter::from_fn(|| reactive.take_held(7)).map(|frame| frame.to_vec()).collect();
    assert_eq!(taken, [b"b2", b"c1"]);
    assert!(!reactive.holds(7) && !reactive.holds(8));
    reactive.hold(7, id("c"), &frame("c2"));
    reactive.renew_held(7);
    assert_eq!((reactive.holds(7), reactive.take_touched()), (false, Some(id("c"))));
}
