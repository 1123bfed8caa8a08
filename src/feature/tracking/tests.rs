use std::collections::{BTreeMap, BTreeSet};

use super::prefixes::Prefixes;
use super::*;
use crate::base::prng::Prng;
use crate::feature::client_id::ClientId;

type Twin = BTreeMap<Vec<u8>, BTreeSet<u32>>;

fn name(prng: &mut Prng) -> Vec<u8> {
    let number = prng.below(60);
    // Some fill a page, or more than one, and their lengths take one byte, two and three.
    let len = [0, 1, 20, 126, 127, 128, 3000, 16_370, 16_380, 40_000][number as usize % 10];
    let mut name = number.to_string().into_bytes();
    name.resize(name.len().max(len), b'.');
    name
}

fn sorted(readers: &Readers) -> BTreeSet<u32> {
    readers.iter().collect()
}

fn check(read: &KeysRead, twin: &Twin, seed: u64) {
    assert_eq!(read.keys(), twin.len(), "seed {seed}");
    assert_eq!(read.sets_bytes, read.sets.iter().map(|(_, set)| set.heap_bytes()).sum::<usize>(), "seed {seed}");
    assert_eq!(read.items(), twin.values().map(BTreeSet::len).sum::<usize>(), "seed {seed}");
    for member in 0..50 {
        let count = twin.values().filter(|readers| readers.contains(&member)).count();
        assert_eq!(read.count_of(member) as usize, count, "seed {seed}");
    }
    let mut names: Vec<Vec<u8>> = Vec::new();
    for page in 0..read.names.pages() {
        names.extend(read.names.of_page(page).map(|(place, _)| read.names.name(place).to_vec()));
    }
    names.sort();
    assert!(names.iter().eq(twin.keys()), "seed {seed}");
}

/// The twin is a map from names to sets.
#[test]
fn any_history_leaves_what_a_map_of_sets_would_hold() {
    for seed in 0..30 {
        let mut prng = Prng::seeded(seed);
        let hasher = KeyHasher::new([7; 16]);
        let (mut read, mut twin) = (KeysRead::new(hasher), Twin::new());
        for step in 0..3000 {
            let (name, member) = (name(&mut prng), prng.below(50) as u32);
            match prng.below(20) {
                // Few go at first, and more than come at last.
                0..=3 if step % 1000 < 600 => {}
                0..=5 => {
                    let taken = read.take(hasher.hash(&name), &name).map(|readers| sorted(&readers));
                    assert_eq!(taken, twin.remove(&name), "seed {seed}");
                }
                6 => {
                    let evicted = read.evict();
                    assert_eq!(evicted.is_some(), !twin.is_empty(), "seed {seed}");
                    if let Some((name, readers)) = evicted {
                        assert_eq!(Some(sorted(&readers)), twin.remove(&*name), "seed {seed}");
                    }
                }
                7 if step % 3 == 0 => {
                    // In pieces. Others who have gone may be forgotten on the way, or not.
                    let gone = |other: u32| other == member || other == (member + 1) % 50;
                    while !read.forget_some(member as usize, gone, &mut 1) {}
                    while !read.forget_some((member as usize + 1) % 50, gone, &mut 1) {}
                    twin.values_mut().for_each(|readers| readers.retain(|one| !gone(*one)));
                    twin.retain(|_, readers| !readers.is_empty());
                }
                _ => {
                    read.note(member as usize, hasher.hash(&name), &name).expect("there is room");
                    twin.entry(name).or_default().insert(member);
                }
            }
            if step % 50 == 0 {
                check(&read, &twin, seed);
            }
        }
        check(&read, &twin, seed);
        while let Some((name, readers)) = read.evict() {
            assert_eq!(Some(sorted(&readers)), twin.remove(&*name), "seed {seed}");
        }
        assert!(twin.is_empty(), "seed {seed}");
        let memory: usize = read.names.pages_bytes();
        assert!(memory <= 16 * 1024, "{memory} bytes of pages are left");
    }
}

#[test]
fn the_first_to_be_read_are_the_first_to_be_evicted() {
    let hasher = KeyHasher::new([1; 16]);
    let mut read = KeysRead::new(hasher);
    for number in 0..5000u32 {
        let name = number.to_string().into_bytes();
        read.note(3, hasher.hash(&name), &name).expect("there is room");
    }
    for number in 0..5000u32 {
        let (name, readers) = read.evict().expect("some are left");
        assert_eq!((&*name, sorted(&readers)), (number.to_string().as_bytes(), BTreeSet::from([3])));
    }
}

#[test]
fn a_change_is_noted_under_every_prefix_of_its_key_and_nowhere_else() {
    let clients: Vec<ClientId> = (0..4).map(|number| ClientId::new(number, number as u64)).collect();
    for seed in 0..30 {
        let mut prng = Prng::seeded(seed);
        let mut below = |n: u64| prng.below(n) as usize;
        let words: [&[u8]; 7] = [b"", b"a", b"ab", b"abc", b"b", b"bc", b"abd"];
        let (mut prefixes, mut asked) = (Prefixes::default(), BTreeSet::new());
        let mut changed: BTreeMap<&[u8], BTreeSet<Option<ClientId>>> = BTreeMap::new();
        for _ in 0..300 {
            let (word, client) = (words[below(7)], clients[below(4)]);
            match below(10) {
                0..=1 => {
                    prefixes.add(word, client);
                    asked.insert((word, client));
                    // Who asks later is told of what has changed before.
                }
                2 => {
                    prefixes.remove(word, client);
                    asked.remove(&(word, client));
                }
                3 => {
                    for one in prefixes.take_changes() {
                        let keys: Vec<&[u8]> = one.keys.keys().map(|key| &**key).collect();
                        let those: BTreeSet<ClientId> = one.clients.iter().copied().collect();
                        let prefix = asked.iter().map(|(word, _)| *word).find(|word| {
                            let of: BTreeSet<ClientId> =
                                asked.iter().filter(|(other, _)| other == word).map(|(_, client)| *client).collect();
                            of == those && keys.iter().all(|key| key.starts_with(word))
                        });
                        assert!(prefix.is_some(), "seed {seed}: nobody has asked for these");
                        for (key, author) in &one.keys {
                            let authors = &changed[&**key];
                            assert!(authors.contains(author) || (author.is_none() && authors.len() > 1), "seed {seed}");
                        }
                    }
                    assert_eq!(prefixes.changed_bytes(), 0);
                    changed.clear();
                }
                _ => {
                    let author = (below(3) > 0).then_some(client);
                    prefixes.note(word, author);
                    changed.entry(word).or_default().insert(author);
                }
            }
            let distinct: BTreeSet<&[u8]> = asked.iter().map(|(word, _)| *word).collect();
            assert_eq!((prefixes.len(), prefixes.is_empty()), (distinct.len(), distinct.is_empty()), "seed {seed}");
        }
    }
}

/// Each of several authors has to be told of the other's change.
#[test]
fn a_key_changed_by_two_has_no_author() {
    let [one, two] = [1, 2].map(|number| ClientId::new(number, number as u64));
    let mut prefixes = Prefixes::default();
    prefixes.add(b"k", one);
    for (authors, expected) in [
        (vec![Some(one)], Some(one)),
        (vec![Some(one), Some(one)], Some(one)),
        (vec![Some(one), Some(two)], None),
        (vec![Some(one), None, Some(one)], None),
    ] {
        authors.iter().for_each(|author| prefixes.note(b"key", *author));
        prefixes.note(b"other", Some(one));
        let changes = prefixes.take_changes();
        let keys: Vec<_> = changes[0].keys.iter().map(|(key, author)| (key.to_vec(), *author)).collect();
        assert_eq!((changes.len(), keys), (1, vec![(b"key".to_vec(), expected)]));
    }
}
