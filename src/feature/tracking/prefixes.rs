//! Who is told of every change of keys that begin with something, and which those are that have changed since they were told.
//!
//! # Invariants
//! - A prefix is known while a client has asked for it.
//! - `lengths` counts the prefixes of each length.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::heap::{self, size_class};
use crate::feature::client_id::ClientId;

/// Who made a change; none for what nobody did, or for several.
type Author = Option<ClientId>;

#[derive(Debug, Default)]
struct Prefix {
    clients: BTreeSet<ClientId>,
    changed: BTreeMap<Box<[u8]>, Author>,
}

/// What has changed under a prefix, in the order of the keys' names, and who is to be told.
#[derive(Debug)]
pub struct Changes {
    /// Who asked for the prefix.
    pub clients: Vec<ClientId>,
    /// The keys.
    pub keys: BTreeMap<Box<[u8]>, Author>,
}

fn bytes_of(key: &[u8]) -> usize {
    size_of::<(Box<[u8]>, Author)>() + key.len()
}

/// All prefixes.
#[derive(Debug, Default)]
pub struct Prefixes {
    prefixes: BTreeMap<Box<[u8]>, Prefix>,
    lengths: BTreeMap<usize, usize>,
    /// Bytes that the keys take that have changed; not 0 if there is one.
    changed_bytes: usize,
}

impl Prefixes {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }

    /// True if nobody has asked for any.
    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Bytes that the keys take that have changed, each counted with every prefix that it has; not 0 if there is one.
    pub fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// Bytes on the heap. O(prefixes).
    pub fn heap_bytes(&self) -> usize {
        let texts = self.prefixes.keys().map(|text| size_class(text.len())).sum::<usize>();
        let clients = self.prefixes.values().map(|prefix| heap::tree::<ClientId, ()>(prefix.clients.len()));
        let tree = heap::tree::<Box<[u8]>, Prefix>(self.prefixes.len());
        tree + texts + clients.sum::<usize>() + self.changed_bytes
    }

    /// Adds a client to those who are told of a prefix. O(log n) for n prefixes.
    pub fn add(&mut self, prefix: &[u8], client: ClientId) {
        if !self.prefixes.contains_key(prefix) {
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        self.prefixes.entry(prefix.into()).or_default().clients.insert(client);
    }

    /// Takes a client out from there. O(log n) for n prefixes.
    pub fn remove(&mut self, prefix: &[u8], client: ClientId) {
        let Some(known) = self.prefixes.get_mut(prefix) else { return };
        known.clients.remove(&client);
        if !known.clients.is_empty() {
            return;
        }
        self.changed_bytes -= known.changed.keys().map(|key| bytes_of(key)).sum::<usize>();
        self.prefixes.remove(prefix);
        if let Some(count) = self.lengths.get_mut(&prefix.len()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&prefix.len());
            }
        }
    }

    /// Notes that a key has changed. O(lengths of prefixes times log n).
    // COMPAT: of several changes before anybody is told Redis knows the first author alone, and does not tell of the others'.
    pub fn note(&mut self, key: &[u8], author: Author) {
        for len in self.lengths.range(..=key.len()).map(|(len, _)| *len) {
            let Some(prefix) = self.prefixes.get_mut(&key[..len]) else { continue };
            match prefix.changed.get_mut(key) {
                Some(known) => *known = known.filter(|known| Some(*known) == author),
                None => {
                    self.changed_bytes += bytes_of(key);
                    prefix.changed.insert(key.into(), author);
                }
            }
        }
    }

    /// What has changed since this was last asked, in the order of the prefixes. O(prefixes + changed).
    pub fn take_changes(&mut self) -> Vec<Changes> {
        if self.changed_bytes == 0 {
            return Vec::new();
        }
        self.changed_bytes = 0;
        let changed = self.prefixes.values_mut().filter(|prefix| !prefix.changed.is_empty());
        let taken = |prefix: &mut Prefix| Changes {
            clients: prefix.clients.iter().copied().collect(),
            keys: std::mem::take(&mut prefix.changed),
        };
        changed.map(taken).collect()
    }
}
