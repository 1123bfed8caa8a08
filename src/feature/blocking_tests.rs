use std::collections::BTreeMap;

use super::*;
use crate::base::prng::Prng;

const ONS: [WaitFor; 3] = [WaitFor::List, WaitFor::SortedSet, WaitFor::Stream];

fn queue(waits: &Waits, db: usize, name: &[u8], on: WaitFor) -> Vec<usize> {
    let Some(key) = waits.find(db, name) else { return Vec::new() };
    let (mut at, mut clients) = (waits.first(key, on), Vec::new());
    while let Some(turn) = waits.turn(at) {
        clients.push(turn.client);
        at = turn.after;
    }
    clients
}

fn begin(waits: &mut Waits, client: usize, names: &[&[u8]], on: WaitFor) {
    waits.begin(client, 0, names.iter().copied(), on, false);
}

#[test]
fn clients_stand_in_the_order_in_which_they_came_and_once_in_each_queue() {
    let mut waits = Waits::default();
    begin(&mut waits, 5, &[b"a", b"b", b"a"], WaitFor::List);
    begin(&mut waits, 3, &[b"b", b"b", b"a"], WaitFor::List);
    begin(&mut waits, 4, &[b"a"], WaitFor::SortedSet);
    assert_eq!(queue(&waits, 0, b"a", WaitFor::List), [5, 3]);
    assert_eq!(queue(&waits, 0, b"b", WaitFor::List), [5, 3]);
    assert_eq!(queue(&waits, 0, b"a", WaitFor::SortedSet), [4]);
    assert_eq!(queue(&waits, 1, b"a", WaitFor::List), []);
    assert_eq!((waits.keys(), waits.clients()), (2, 3));
    assert!(waits.end(5) && !waits.end(5));
    assert_eq!(queue(&waits, 0, b"a", WaitFor::List), [3]);
    assert!(waits.end(3));
    assert_eq!((waits.keys(), waits.find(0, b"b")), (1, None));
    assert!(waits.end(4));
    assert!(waits.is_empty());
}

#[test]
fn keys_are_ready_in_order_and_once() {
    let mut waits = Waits::default();
    begin(&mut waits, 1, &[b"a", b"b", b"c"], WaitFor::List);
    let key = |waits: &Waits, name: &[u8]| waits.find(0, name).unwrap();
    for name in [b"b", b"a", b"b", b"c"] {
        waits.note_ready(key(&waits, name));
    }
    assert_eq!(waits.take_ready(), waits.find(0, b"b"));
    waits.note_ready(key(&waits, b"b"));
    assert_eq!(waits.take_ready(), waits.find(0, b"a"));
    assert!(waits.end(1), "and what nobody waits for any more is not ready either");
    assert!(!waits.has_ready());
    assert_eq!(waits.take_ready(), None);
}

#[test]
fn a_change_concerns_those_who_wait_for_the_type_and_those_who_fear_the_end() {
    let mut waits = Waits::default();
    begin(&mut waits, 1, &[b"k"], WaitFor::List);
    let key = waits.find(0, b"k").unwrap();
    assert!(waits.concerns(key, Some(WaitFor::List)));
    assert!(!waits.concerns(key, Some(WaitFor::Stream)) && !waits.concerns(key, None));
    waits.begin(2, 0, [&b"k"[..]].into_iter(), WaitFor::Stream, true);
    for now in [None, Some(WaitFor::List), Some(WaitFor::SortedSet), Some(WaitFor::Stream)] {
        assert!(waits.concerns(key, now), "{now:?}");
    }
    assert_eq!(waits.keys_until_deleted(), 1);
    assert!(waits.end(2));
    assert_eq!(waits.keys_until_deleted(), 0);
    assert!(!waits.concerns(key, None));
}

/// The twin keeps a plain list of clients for each database, key and type.
#[test]
fn any_history_leaves_the_queues_that_plain_lists_would() {
    let names: [&[u8]; 4] = [b"", b"a", b"b", b"c"];
    for seed in 0..40 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: usize| prng.below(n as u64) as usize;
        let (mut waits, mut twin, mut ready) = (Waits::default(), BTreeMap::<_, Vec<usize>>::new(), Vec::new());
        let mut waiting: BTreeMap<usize, bool> = BTreeMap::new();
        for _ in 0..500 {
            let client = below(8);
            if let std::collections::btree_map::Entry::Vacant(entry) = waiting.entry(client) {
                let (db, on, until_deleted) = (below(2), below(3), below(3) == 0);
                let keys: Vec<&[u8]> = (0..=below(4)).map(|_| names[below(4)]).collect();
                waits.begin(client, db, keys.iter().copied(), ONS[on], until_deleted);
                for key in keys {
                    let clients = twin.entry((db, key, on)).or_default();
                    if !clients.contains(&client) {
                        clients.push(client);
                    }
                }
                entry.insert(until_deleted);
            } else if below(3) > 0 {
                waits.end(client);
                twin.values_mut().for_each(|clients| clients.retain(|other| *other != client));
                twin.retain(|_, clients| !clients.is_empty());
                waiting.remove(&client);
            }
            let (db, name) = (below(2), names[below(4)]);
            if let Some(key) = waits.find(db, name) {
                waits.note_ready(key);
                if !ready.contains(&(db, name)) {
                    ready.push((db, name));
                }
            }
            ready.retain(|(db, name)| waits.find(*db, name).is_some());
            if below(4) == 0 {
                let expected = if ready.is_empty() { None } else { Some(ready.remove(0)) };
                let taken = waits.take_ready().map(|key| waits.name(key));
                assert_eq!(taken.map(|(db, name)| (db, &**name)), expected, "seed {seed}");
            }
            assert_eq!(waits.has_ready(), !ready.is_empty(), "seed {seed}");
            let names_bytes: usize = waits.keys.iter().map(|(_, key)| heap::arc(key.name.len())).sum();
            let places_bytes: usize = waits.clients.values().map(|client| heap::vec(&client.places)).sum();
            assert_eq!(waits.parts_bytes, names_bytes + places_bytes, "seed {seed}");
            let mut keys: Vec<_> = twin.keys().map(|(db, name, _)| (*db, *name)).collect();
            keys.dedup();
            assert_eq!((waits.keys(), waits.clients()), (keys.len(), waiting.len()), "seed {seed}");
            let until = |(db, name): &&(usize, &[u8])| {
                let here = twin.iter().filter(|((d, n, _), _)| d == db && n == name);
                here.flat_map(|(_, clients)| clients).any(|client| waiting[client])
            };
            assert_eq!(waits.keys_until_deleted(), keys.iter().filter(until).count(), "seed {seed}");
            for db in 0..2 {
                assert_eq!(waits.keys_of(db).len(), keys.iter().filter(|key| key.0 == db).count());
                for name in names {
                    for (on, wanted) in ONS.into_iter().enumerate() {
                        let expected = twin.get(&(db, name, on)).cloned().unwrap_or_default();
                        assert_eq!(queue(&waits, db, name, wanted), expected, "seed {seed}");
                    }
                }
            }
        }
    }
}

#[test]
fn keys_that_are_held_back_are_ready_again_in_their_order_and_forgotten_with_their_last_client() {
    let mut waits = Waits::default();
    begin(&mut waits, 1, &[b"a", b"b", b"c"], WaitFor::List);
    begin(&mut waits, 2, &[b"d"], WaitFor::List);
    let key = |waits: &Waits, name: &[u8]| waits.find(0, name).unwrap();
    for name in [b"c", b"a", b"d", b"b"] {
        waits.note_ready(key(&waits, name));
    }
    while let Some(key) = waits.take_ready() {
        waits.hold(key);
    }
    assert!(waits.has_held() && !waits.has_ready());
    waits.note_ready(key(&waits, b"a"));
    assert_eq!(waits.take_ready(), waits.find(0, b"a"), "something new has happened to it");
    assert!(waits.end(2));
    waits.release_held();
    assert!(!waits.has_held());
    let order: Vec<_> = std::iter::from_fn(|| waits.take_ready()).collect();
    assert_eq!(order, [key(&waits, b"c"), key(&waits, b"b")]);
    order.into_iter().for_each(|key| waits.hold(key));
    assert!(waits.end(1) && !waits.has_held());
}

/// Which takes minutes where each key that goes is looked for among all that are ready.
#[test]
fn a_client_of_very_many_ready_keys_leaves_in_pieces() {
    let mut waits = Waits::default();
    let names: Vec<Vec<u8>> = (0..200_000u32).map(|n| n.to_be_bytes().to_vec()).collect();
    waits.begin(1, 0, names.iter().map(Vec::as_slice), WaitFor::List, false);
    waits.begin(2, 0, names[..10].iter().map(Vec::as_slice), WaitFor::List, false);
    for name in &names {
        let key = waits.find(0, name).unwrap();
        waits.note_ready(key);
    }
    let pieces = (0..).take_while(|_| !waits.end_some(1, &mut 1000)).count();
    assert_eq!((pieces, waits.keys(), waits.clients()), (199, 10, 1));
    assert_eq!(std::iter::from_fn(|| waits.take_ready()).count(), 10);
    assert!(waits.end(2) && waits.is_empty());
}
