//! Who watches which key, so that a change of it spoils their transactions.
//!
//! # Invariants
//! - A key is known while somebody watches it, and no longer.
//! - A client's record of a key holds its place among the key's watchers, and the other way round, so that to watch, to be
//!   forgotten and to find the watchers of a key cost O(1) per key.
//!
//! Called by the server, which knows clients by their numbers among the members. Knows no values and no time: whether a key
//! was there when the watch began is told, as a key that was there and is gone without a change has expired.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::base::heap;

/// Tables with room for more than this are given back when they are empty.
const ROOM_KEPT_MAX: usize = 1024;

#[derive(Debug)]
struct Key {
    db: u32,
    name: Arc<[u8]>,
    /// Clients, in no particular order.
    watchers: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    /// Place among the key's watchers.
    place: u32,
    existed: bool,
}

/// A key that a client watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watched<'w> {
    /// Index of the database.
    pub db: usize,
    /// Its name.
    pub name: &'w [u8],
    /// It was there when the watch began.
    pub existed: bool,
}

/// All watches.
#[derive(Debug, Default)]
pub struct Watches {
    keys: Slab<Key>,
    /// Keys by name, for each database in which anything was ever watched.
    by_name: Vec<HashMap<Arc<[u8]>, u32>>,
    /// For each client that watches: its keys.
    clients: HashMap<u32, HashMap<u32, Record>>,
    /// The keys that are left of the client that is being forgotten in pieces.
    going: Vec<u32>,
    /// What the keys' names and watchers and the clients' records have on the heap, in bytes.
    parts_bytes: usize,
}

impl Watches {
    /// True when nobody watches anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Number of keys that are watched, by however many.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Number of clients that watch.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Bytes on the heap. O(databases).
    pub fn heap_bytes(&self) -> usize {
        let names = self.by_name.iter().map(heap::map).sum::<usize>() + heap::vec(&self.by_name);
        heap::slab(&self.keys) + names + heap::map(&self.clients) + heap::vec(&self.going) + self.parts_bytes
    }

    /// How many keys a client watches.
    pub fn count_of(&self, client: usize) -> usize {
        self.clients.get(&(client as u32)).map_or(0, HashMap::len)
    }

    /// The keys a client watches, in no particular order.
    pub fn of(&self, client: usize) -> impl Iterator<Item = Watched<'_>> {
        self.clients.get(&(client as u32)).into_iter().flatten().map(|(&key, record)| {
            let key = &self.keys[key as usize];
            Watched { db: key.db as usize, name: &key.name, existed: record.existed }
        })
    }

    /// The watchers of a key, in no particular order; some may have gone. O(1).
    pub fn watchers(&self, db: usize, name: &[u8]) -> &[u32] {
        let key = self.by_name.get(db).and_then(|names| names.get(name));
        key.map_or(&[], |&key| &self.keys[key as usize].watchers)
    }

    /// The keys of a database that are watched, in no particular order. O(these).
    pub fn names_in(&self, db: usize) -> impl Iterator<Item = &Arc<[u8]>> {
        self.by_name.get(db).into_iter().flat_map(HashMap::keys)
    }

    /// Begins to watch a key; a second time changes nothing. O(1).
    pub fn watch(&mut self, client: usize, db: usize, name: &[u8], existed: bool) {
        if self.by_name.len() <= db {
            self.by_name.resize_with(db + 1, HashMap::new);
        }
        let known = self.by_name[db].get(name).copied();
        let id = known.unwrap_or_else(|| {
            let name: Arc<[u8]> = name.into();
            self.parts_bytes += heap::arc(name.len());
            let key = Key { db: db as u32, name: Arc::clone(&name), watchers: Vec::new() };
            let id = self.keys.insert(key) as u32;
            self.by_name[db].insert(name, id);
            id
        });
        let Watches { keys, clients, parts_bytes, .. } = self;
        let own = clients.entry(client as u32).or_default();
        if !own.contains_key(&id) {
            let watchers = &mut keys[id as usize].watchers;
            let record = Record { place: watchers.len() as u32, existed };
            heap::change(parts_bytes, watchers, heap::vec, |watchers| watchers.push(client as u32));
            heap::change(parts_bytes, own, heap::map, |own| own.insert(id, record));
        }
    }

    /// Ends all watches of a client. O(1) for each.
    pub fn forget(&mut self, client: usize) {
        let Some(own) = self.clients.remove(&(client as u32)) else { return };
        self.parts_bytes -= heap::map(&own);
        for (key, record) in own {
            self.end(key, record.place);
        }
    }

    /// Ends watches of a client that has gone, as many as the budget allows. True if none is left. The same client has to be
    /// asked for until then.
    pub fn forget_some(&mut self, client: usize, budget: &mut usize) -> bool {
        let client = client as u32;
        if self.going.is_empty() {
            self.going.extend(self.clients.get(&client).into_iter().flat_map(HashMap::keys));
        }
        while let Some(key) = self.going.pop() {
            if *budget == 0 {
                self.going.push(key);
                return false;
            }
            *budget -= 1;
            let own = self.clients.get_mut(&client);
            let record =
                own.and_then(|own| heap::change(&mut self.parts_bytes, own, heap::map, |own| own.remove(&key)));
            self.end(key, record.expect("it was among the client's keys").place);
        }
        self.parts_bytes -= self.clients.remove(&client).as_ref().map_or(0, heap::map);
        self.going = Vec::new();
        true
    }

    /// Takes a watcher of a key, whose record is gone, out of its place.
    fn end(&mut self, id: u32, place: u32) {
        let key = &mut self.keys[id as usize];
        key.watchers.swap_remove(place as usize);
        if let Some(moved) = key.watchers.get(place as usize) {
            let records = self.clients.get_mut(moved).and_then(|keys| keys.get_mut(&id));
            records.expect("a watcher has a record of its key").place = place;
        }
        if key.watchers.is_empty() {
            let Key { db, name, watchers } = self.keys.remove(id as usize);
            self.parts_bytes -= heap::arc(name.len()) + heap::vec(&watchers);
            let names = &mut self.by_name[db as usize];
            names.remove(&name);
            if names.is_empty() && names.capacity() > ROOM_KEPT_MAX {
                // To go through a table takes as long as it has room.
                *names = HashMap::new();
            }
            if self.keys.is_empty() && self.keys.capacity() > ROOM_KEPT_MAX {
                self.keys = Slab::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::prng::Prng;

    /// The twin is a map from client, database and key to what was told first.
    #[test]
    fn any_history_leaves_what_a_map_would_hold() {
        let names: [&[u8]; 4] = [b"", b"a", b"b", b"abc"];
        for seed in 0..40 {
            let mut prng = Prng::seeded(seed);
            let mut below = |n: usize| prng.below(n as u64) as usize;
            let (mut watches, mut twin) = (Watches::default(), BTreeMap::new());
            for _ in 0..400 {
                let (client, db, name, existed) = (below(6), below(2), names[below(4)], below(2) == 0);
                if below(5) > 0 {
                    watches.watch(client, db, name, existed);
                    twin.entry((client, db, name)).or_insert(existed);
                } else {
                    if below(2) == 0 {
                        watches.forget(client);
                    } else {
                        // In pieces, each of which leaves what it has not come to.
                        while !watches.forget_some(client, &mut 1) {}
                    }
                    twin.retain(|(other, _, _), _| *other != client);
                }
                let keys: usize =
                    watches.keys.iter().map(|(_, key)| heap::arc(key.name.len()) + heap::vec(&key.watchers)).sum();
                let records: usize = watches.clients.values().map(heap::map).sum();
                assert_eq!(watches.parts_bytes, keys + records, "seed {seed}");
                let mut own: Vec<_> = watches.of(client).map(|key| (key.db, key.name, key.existed)).collect();
                own.sort_unstable();
                let of_client = twin.iter().filter(|(key, _)| key.0 == client);
                let expected: Vec<_> = of_client.map(|((_, db, name), existed)| (*db, *name, *existed)).collect();
                assert_eq!((watches.count_of(client), own), (expected.len(), expected), "seed {seed}");
                let mut keys: Vec<_> = twin.keys().map(|(_, db, name)| (*db, *name)).collect();
                keys.sort_unstable();
                keys.dedup();
                assert_eq!((watches.keys(), watches.is_empty()), (keys.len(), keys.is_empty()), "seed {seed}");
                let mut here: Vec<_> = watches.names_in(db).map(|name| (db, &**name)).collect();
                here.sort_unstable();
                keys.retain(|key| key.0 == db);
                assert_eq!(here, keys, "seed {seed}");
                let mut watchers = watches.watchers(db, name).to_vec();
                watchers.sort_unstable();
                let of_key = twin.keys().filter(|key| (key.1, key.2) == (db, name));
                assert_eq!(watchers, of_key.map(|key| key.0 as u32).collect::<Vec<_>>(), "seed {seed}");
            }
        }
    }
}
