//! Who waits for which key: a queue for each key and type awaited, and the keys that have become ready.
//!
//! # Invariants
//! - A key is known while somebody waits for it, and no longer.
//! - A client has one place at most in the queues of a key, however often it named the key.
//! - Within a queue, clients stand in the order in which they began to wait; a client that is run and cannot be served
//!   keeps its place. COMPAT: Redis moves it to the end of the queues of all its keys, so that of two consumers of a group
//!   the later one may be served first. That the one who has waited longest comes first is what Redis documents.
//! - Ready keys stand in the order in which they became ready, none twice. Those that are held back stand apart.
//! - To begin to wait, to stop (from the middle of a queue too), to note a key as ready and to find the next client all
//!   cost O(1) per key named.
//!
//! Called by the server, which knows clients by their numbers among the members. Knows no commands, no values and no time: the
//! caller says when a key is worth looking at.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use slab::Slab;

use crate::base::heap;

/// Tables with room for more than this are given back when they are empty.
const ROOM_KEPT_MAX: usize = 1024;

/// What a client waits for: a key that holds a value of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitFor {
    /// A list, which is never empty.
    List,
    /// A sorted set, which is never empty.
    SortedSet,
    /// A stream, of which more than its existence matters.
    Stream,
}

impl WaitFor {
    const COUNT: usize = 3;

    /// The type that a value's name stands for, if clients can wait for it.
    pub fn of_type(name: &str) -> Option<WaitFor> {
        match name {
            "list" => Some(WaitFor::List),
            "zset" => Some(WaitFor::SortedSet),
            "stream" => Some(WaitFor::Stream),
            _ => None,
        }
    }
}

/// A client's place in a queue.
#[derive(Debug)]
struct Place {
    client: u32,
    key: u32,
    before: Option<u32>,
    after: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Queue {
    first: Option<u32>,
    last: Option<u32>,
}

#[derive(Debug)]
struct Key {
    db: u32,
    name: Arc<[u8]>,
    queues: [Queue; WaitFor::COUNT],
    /// Places in all queues.
    places: u32,
    /// Those of them whose clients want to know when the key goes away.
    until_deleted: u32,
    ready: Readiness,
}

/// Whether a key is to be looked at; with its turn among the others of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Readiness {
    No,
    Ready(u64),
    /// It is ready, but nobody is to be served for now.
    Held(u64),
}

#[derive(Debug)]
struct Client {
    on: WaitFor,
    until_deleted: bool,
    places: Vec<u32>,
}

/// A key that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(u32);

/// A client's turn: who it is, and where the queue goes on after it.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The client's number; it may have gone.
    pub client: usize,
    /// The client also wants to know that the key has gone.
    pub until_deleted: bool,
    /// Who comes after it. Good until somebody other than this client stops waiting.
    pub after: Cursor,
}

/// A position in a queue.
#[derive(Clone, Copy, Debug)]
pub struct Cursor(Option<u32>);

/// All waits for keys.
#[derive(Debug, Default)]
pub struct Waits {
    keys: Slab<Key>,
    /// Keys by name, for each database that was ever waited in.
    by_name: Vec<HashMap<Arc<[u8]>, u32>>,
    places: Slab<Place>,
    clients: HashMap<u32, Client>,
    /// Ready keys by their turns.
    ready: BTreeMap<u64, u32>,
    /// The same for those that are held back.
    held: BTreeMap<u64, u32>,
    turns: u64,
    until_deleted_keys: usize,
    /// What the keys' names and the clients' lists have on the heap, in bytes.
    parts_bytes: usize,
}

impl Waits {
    /// True when nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes on the heap. O(databases).
    pub fn heap_bytes(&self) -> usize {
        let names = self.by_name.iter().map(heap::map).sum::<usize>() + heap::vec(&self.by_name);
        let ready = heap::tree::<u64, u32>(self.ready.len()) + heap::tree::<u64, u32>(self.held.len());
        heap::slab(&self.keys) + heap::slab(&self.places) + names + heap::map(&self.clients) + ready + self.parts_bytes
    }

    /// Number of keys that are waited for.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Number of keys of which somebody wants to know when they go away.
    pub fn keys_until_deleted(&self) -> usize {
        self.until_deleted_keys
    }

    /// Number of clients that wait.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// True if a key has become ready and has not been looked at.
    #[inline]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Puts a client, which waits for nothing yet, at the end of the queues of some keys; a key named twice counts once.
    pub fn begin<'k>(
        &mut self,
        client: usize,
        db: usize,
        names: impl Iterator<Item = &'k [u8]>,
        on: WaitFor,
        until_deleted: bool,
    ) {
        let client = client as u32;
        debug_assert!(!self.clients.contains_key(&client), "a client waits once");
        let mut places = Vec::new();
        for name in names {
            let key = self.key_of(db, name);
            // A place of this client can only be the last of its queue, as no one else has come since.
            let last = self.keys[key as usize].queues[on as usize].last;
            if last.is_none_or(|last| self.places[last as usize].client != client) {
                places.push(self.join(client, key, on, until_deleted));
            }
        }
        self.parts_bytes += heap::vec(&places);
        self.clients.insert(client, Client { on, until_deleted, places });
    }

    /// The number of a key, which is made known if it was not.
    fn key_of(&mut self, db: usize, name: &[u8]) -> u32 {
        if self.by_name.len() <= db {
            self.by_name.resize_with(db + 1, HashMap::new);
        }
        if let Some(&key) = self.by_name[db].get(name) {
            return key;
        }
        let name: Arc<[u8]> = name.into();
        self.parts_bytes += heap::arc(name.len());
        let key = Key {
            db: db as u32,
            name: Arc::clone(&name),
            queues: Default::default(),
            places: 0,
            until_deleted: 0,
            ready: Readiness::No,
        };
        let key = self.keys.insert(key) as u32;
        self.by_name[db].insert(name, key);
        key
    }

    fn join(&mut self, client: u32, key: u32, on: WaitFor, until_deleted: bool) -> u32 {
        let queue = &mut self.keys[key as usize].queues[on as usize];
        let before = queue.last;
        let place = self.places.insert(Place { client, key, before, after: None }) as u32;
        queue.last = Some(place);
        match before {
            Some(before) => self.places[before as usize].after = Some(place),
            None => queue.first = Some(place),
        }
        let key = &mut self.keys[key as usize];
        key.places += 1;
        if until_deleted {
            self.until_deleted_keys += usize::from(key.until_deleted == 0);
            key.until_deleted += 1;
        }
        place
    }

    /// Takes a client out of all queues. False if it did not wait. O(1) per key it waited for.
    pub fn end(&mut self, client: usize) -> bool {
        let waited = self.clients.contains_key(&(client as u32));
        self.end_some(client, &mut { usize::MAX });
        waited
    }

    /// Takes a client that has gone out of queues, of as many as the budget allows. True if it is in none.
    pub fn end_some(&mut self, client: usize, budget: &mut usize) -> bool {
        let client = client as u32;
        let Some(Client { on, until_deleted, places }) = self.clients.get_mut(&client) else { return true };
        let (on, until_deleted, count) = (*on, *until_deleted, places.len().min(*budget));
        let rest = places.len() - count;
        let those = heap::change(&mut self.parts_bytes, places, heap::vec, |places| places.split_off(rest));
        let is_all = rest == 0;
        *budget -= count;
        those.into_iter().for_each(|place| self.leave(place, on, until_deleted));
        if is_all {
            self.parts_bytes -= self.clients.remove(&client).map_or(0, |client| heap::vec(&client.places));
        }
        is_all
    }

    /// Removes a place.
    fn leave(&mut self, place: u32, on: WaitFor, until_deleted: bool) {
        let Place { key, before, after, .. } = self.places.remove(place as usize);
        if let Some(before) = before {
            self.places[before as usize].after = after;
        }
        if let Some(after) = after {
            self.places[after as usize].before = before;
        }
        let found = &mut self.keys[key as usize];
        let queue = &mut found.queues[on as usize];
        queue.first = if before.is_none() { after } else { queue.first };
        queue.last = if after.is_none() { before } else { queue.last };
        found.places -= 1;
        if until_deleted {
            found.until_deleted -= 1;
            self.until_deleted_keys -= usize::from(found.until_deleted == 0);
        }
        if found.places == 0 {
            self.forget_key(key);
        }
    }

    fn forget_key(&mut self, key: u32) {
        let Key { db, name, ready, .. } = self.keys.remove(key as usize);
        self.parts_bytes -= heap::arc(name.len());
        let names = &mut self.by_name[db as usize];
        names.remove(&name);
        if names.is_empty() && names.capacity() > ROOM_KEPT_MAX {
            // To go through a table takes as long as it has room.
            *names = HashMap::new();
        }
        if self.keys.is_empty() && self.keys.capacity().max(self.places.capacity()) > ROOM_KEPT_MAX {
            (self.keys, self.places) = (Slab::new(), Slab::new());
        }
        match ready {
            Readiness::No => {}
            Readiness::Ready(turn) => _ = self.ready.remove(&turn),
            Readiness::Held(turn) => _ = self.held.remove(&turn),
        }
    }

    /// The key of a name, if somebody waits for it. O(1).
    pub fn find(&self, db: usize, name: &[u8]) -> Option<KeyId> {
        self.by_name.get(db)?.get(name).copied().map(KeyId)
    }

    /// The keys of a database that somebody waits for. O(n log n) for n of these.
    ///
    /// COMPAT: they come in the order of their numbers, where Redis takes that of a hash table, which is another one in each
    /// process: when SWAPDB makes several keys ready, nobody can rely on which comes first.
    pub fn keys_of(&self, db: usize) -> Vec<KeyId> {
        let mut ids: Vec<u32> = self.by_name.get(db).into_iter().flat_map(HashMap::values).copied().collect();
        ids.sort_unstable();
        ids.into_iter().map(KeyId).collect()
    }

    /// Database and name of a key.
    pub fn name(&self, key: KeyId) -> (usize, &Arc<[u8]>) {
        let key = &self.keys[key.0 as usize];
        (key.db as usize, &key.name)
    }

    /// True if a change that leaves the key with a value of this type (`None`: of a type nobody can wait for, or without
    /// a value) concerns a client.
    pub fn concerns(&self, key: KeyId, now: Option<WaitFor>) -> bool {
        let key = &self.keys[key.0 as usize];
        let awaited = now.is_some_and(|now| key.queues[now as usize].first.is_some());
        awaited || (now != Some(WaitFor::Stream) && key.until_deleted > 0)
    }

    /// Notes a key as ready, behind those that are already. O(log n) for n ready keys.
    pub fn note_ready(&mut self, key: KeyId) {
        let found = &mut self.keys[key.0 as usize];
        match found.ready {
            Readiness::Ready(_) => return,
            Readiness::Held(turn) => _ = self.held.remove(&turn),
            Readiness::No => {}
        }
        self.turns += 1;
        found.ready = Readiness::Ready(self.turns);
        self.ready.insert(self.turns, key.0);
    }

    /// Notes the keys that a client waits for as ready. O(log n) for each.
    pub fn note_ready_of(&mut self, client: usize) {
        let Some(client) = self.clients.get(&(client as u32)) else { return };
        let keys: Vec<u32> = client.places.iter().map(|&place| self.places[place as usize].key).collect();
        keys.into_iter().for_each(|key| self.note_ready(KeyId(key)));
    }

    /// Takes the key that became ready first.
    pub fn take_ready(&mut self) -> Option<KeyId> {
        let (_, key) = self.ready.pop_first()?;
        self.keys[key as usize].ready = Readiness::No;
        Some(KeyId(key))
    }

    /// Puts a key that was taken aside, until [`Waits::release_held`] or something new makes it ready again. Somebody waits for
    /// it still.
    pub fn hold(&mut self, key: KeyId) {
        if let Some(found) = self.keys.get_mut(key.0 as usize).filter(|key| key.ready == Readiness::No) {
            self.turns += 1;
            found.ready = Readiness::Held(self.turns);
            self.held.insert(self.turns, key.0);
        }
    }

    /// True if keys are held back.
    #[inline]
    pub fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Makes the keys that were held back ready again, in the same order.
    pub fn release_held(&mut self) {
        for key in std::mem::take(&mut self.held).into_values() {
            self.keys[key as usize].ready = Readiness::No;
            self.note_ready(KeyId(key));
        }
    }

    /// Where the queue of a key for values of a type begins; nowhere, if nobody waits for the key any more.
    pub fn first(&self, key: KeyId, on: WaitFor) -> Cursor {
        Cursor(self.keys.get(key.0 as usize).and_then(|key| key.queues[on as usize].first))
    }

    /// The client at a position.
    pub fn turn(&self, at: Cursor) -> Option<Turn> {
        let place = &self.places[at.0? as usize];
        let until_deleted = self.clients[&place.client].until_deleted;
        Some(Turn { client: place.client as usize, until_deleted, after: Cursor(place.after) })
    }
}

#[cfg(test)]
#[path = "blocking_tests.rs"]
mod tests;
