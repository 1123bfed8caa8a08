//! Who watches what, and the results held back for those who read slowly.
//!
//! A client that has fallen behind is not sent every result: the newest one of each query waits here until it has caught up. A
//! result is shared by all who wait for it, so what waits costs O(watches), not O(changes).
//!
//! A client that has gone is nobody at once; its watches are torn down some at a time, as there may be very many. Until then its
//! number is not another's.
//!
//! Called by [`super::Reactive`] alone.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::index::{Index, QueryId};
use crate::base::heap::{self, size_class};
use crate::feature::client_id::ClientId;
use crate::feature::ids::{Ids, Numbers};
use crate::feature::slots::Slots;

/// Results held back for one client: at most one for each query, the one that began to wait first in front.
#[derive(Debug, Default)]
struct Held {
    /// Names every result that waits, and some that do not any more: the query and its turn.
    order: VecDeque<(QueryId, u64)>,
    /// Each with its turn.
    frames: HashMap<QueryId, (u64, Arc<Vec<u8>>)>,
    turns: u64,
}

/// Names of results that do not wait any more are cleared away when there are this many more of them than of the others.
const STALE_MAX: usize = 64;

impl Held {
    /// Bytes on the heap, without the frames that others hold as well.
    fn heap_bytes(&self) -> usize {
        let own =
            |(_, frame): &(u64, Arc<Vec<u8>>)| if Arc::strong_count(frame) == 1 { heap::shared_vec(frame) } else { 0 };
        heap::deque(&self.order) + heap::map(&self.frames) + self.frames.values().map(own).sum::<usize>()
    }

    /// True if there was one in whose place the result is.
    fn keep(&mut self, query: QueryId, frame: Arc<Vec<u8>>) -> bool {
        if let Some((_, older)) = self.frames.get_mut(&query) {
            *older = frame;
            return true;
        }
        self.turns += 1;
        self.frames.insert(query, (self.turns, frame));
        self.order.push_back((query, self.turns));
        false
    }

    fn waits(&self, query: QueryId, turn: u64) -> bool {
        self.frames.get(&query).is_some_and(|(own, _)| *own == turn)
    }

    /// O(1), amortised.
    fn forget(&mut self, query: QueryId) {
        self.frames.remove(&query);
        if self.order.len() > 2 * self.frames.len() + STALE_MAX {
            let mut order = std::mem::take(&mut self.order);
            order.retain(|(query, turn)| self.waits(*query, *turn));
            self.order = order;
        }
    }

    fn take(&mut self) -> Option<Arc<Vec<u8>>> {
        loop {
            let (query, turn) = self.order.pop_front()?;
            if self.waits(query, turn) {
                return self.frames.remove(&query).map(|(_, frame)| frame);
            }
        }
    }

    /// The queries whose results wait, in their order.
    fn queries(&self) -> impl Iterator<Item = QueryId> {
        self.order.iter().filter(|(query, turn)| self.waits(*query, *turn)).map(|(query, _)| *query)
    }
}

/// What few clients have.
#[derive(Debug, Default)]
struct Extra {
    /// Those of its queries of which it wants every result.
    every: Ids,
    held: Option<Held>,
}

/// A client's queries of one fingerprint: usually one.
#[derive(Clone, Copy, Debug)]
enum Own {
    Single(QueryId),
    /// The number of a [`Group`].
    Group(u32),
}

/// The bit of a number that tells the two apart.
const GROUP: u32 = 1 << 31;

impl Own {
    fn unpack(number: u32) -> Own {
        if number & GROUP == 0 { Own::Single(number) } else { Own::Group(number ^ GROUP) }
    }

    fn pack(self) -> u32 {
        match self {
            Own::Single(query) => query,
            Own::Group(group) => group | GROUP,
        }
    }
}

/// Queries of one client that have one fingerprint.
#[derive(Debug)]
struct Group {
    fingerprint: u32,
    queries: Ids,
}

/// The fingerprint of a client's queries that a number stands for.
fn fingerprint_of(number: u32, index: &Index, groups: &Slots<Group>) -> u32 {
    match Own::unpack(number) {
        Own::Single(query) => index.query(query).fingerprint(),
        Own::Group(group) => groups.get(group).expect("a group is known while a client has it").fingerprint,
    }
}

/// One client that watches.
#[derive(Debug)]
struct Client {
    /// Who it is; `None` for one that has gone.
    client: Option<ClientId>,
    /// Its queries by fingerprint: an [`Own`] for each that they have, under the keyed hash of it.
    own: Numbers,
    /// How many queries these are.
    count: u32,
    extra: Option<Box<Extra>>,
}

impl Client {
    fn heap_bytes(&self) -> usize {
        let extra = self.extra.as_ref().map_or(0, |extra| {
            let held = extra.held.as_ref().map_or(0, Held::heap_bytes);
            size_class(size_of::<Extra>()) + extra.every.heap_bytes() + held
        });
        self.own.heap_bytes() + extra
    }
}

/// A client that has gone, with what is left of its watches.
struct Gone {
    watcher: WatcherId,
    own: Box<dyn Iterator<Item = u32>>,
    /// What is left of the group that is being torn down.
    group: Box<dyn Iterator<Item = QueryId>>,
    until_ms: u64,
}

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gone").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}

/// A client's number here, from its first watch until its last one has been torn down.
pub type WatcherId = u32;

/// All clients that watch.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    clients: Slots<Client>,
    groups: Slots<Group>,
    /// How many watches there are in all, without those of clients that have gone.
    count: usize,
    gone: VecDeque<Gone>,
}

impl Subscriptions {
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes on the heap. O(clients that watch + groups).
    pub fn heap_bytes(&self) -> usize {
        let clients = self.clients.iter().map(|(_, client)| client.heap_bytes()).sum::<usize>();
        let groups = self.groups.iter().map(|(_, group)| group.queries.heap_bytes()).sum::<usize>();
        self.clients.heap_bytes() + self.groups.heap_bytes() + heap::deque(&self.gone) + clients + groups
    }

    pub fn clients(&self) -> usize {
        self.clients.len() - self.gone.len()
    }

    /// The client of a number, unless it has gone.
    pub fn client(&self, watcher: WatcherId) -> Option<ClientId> {
        self.clients.get(watcher)?.client
    }

    pub fn count_of(&self, watcher: WatcherId) -> usize {
        self.clients.get(watcher).map_or(0, |client| client.count as usize)
    }

    /// A client's queries, in no particular order.
    pub fn of(&self, watcher: WatcherId) -> impl Iterator<Item = QueryId> {
        let own = self.clients.get(watcher).into_iter().flat_map(|client| client.own.iter());
        own.flat_map(|number| self.queries_of(number))
    }

    fn queries_of(&self, number: u32) -> impl Iterator<Item = QueryId> {
        let (single, group) = match Own::unpack(number) {
            Own::Single(query) => (Some(query), None),
            Own::Group(group) => (None, self.groups.get(group)),
        };
        single.into_iter().chain(group.into_iter().flat_map(|group| group.queries.iter()))
    }

    /// A client's queries with a fingerprint. O(these).
    pub fn with_fingerprint(&self, index: &Index, watcher: WatcherId, fingerprint: u32) -> Vec<QueryId> {
        let Some(client) = self.clients.get(watcher) else { return Vec::new() };
        let is = |number| fingerprint_of(number, index, &self.groups) == fingerprint;
        let own = client.own.find(index.hash_of_fingerprint(fingerprint), is);
        own.into_iter().flat_map(|number| self.queries_of(number)).collect()
    }

    fn extra(&self, watcher: WatcherId) -> Option<&Extra> {
        self.clients.get(watcher)?.extra.as_deref()
    }

    fn held_mut(&mut self, watcher: WatcherId) -> Option<&mut Held> {
        self.clients.get_mut(watcher)?.extra.as_mut()?.held.as_mut()
    }

    /// True if a client wants every result of a query.
    pub fn wants_every(&self, watcher: WatcherId, query: QueryId) -> bool {
        self.extra(watcher).is_some_and(|extra| extra.every.contains(query))
    }

    /// True if a client wants every result of any query.
    pub fn wants_every_of_any(&self, watcher: WatcherId) -> bool {
        self.extra(watcher).is_some_and(|extra| !extra.every.is_empty())
    }

    /// A number for a client that watches nothing yet.
    pub fn join(&mut self, client: ClientId) -> WatcherId {
        self.clients.insert(Client { client: Some(client), own: Numbers::None, count: 0, extra: None })
    }

    /// Records a subscription that there was not. O(1).
    pub fn add(&mut self, index: &Index, watcher: WatcherId, query: QueryId) {
        let Subscriptions { clients, groups, count, .. } = self;
        let Some(client) = clients.get_mut(watcher) else { return };
        let fingerprint = index.query(query).fingerprint();
        let hash = index.hash_of_fingerprint(fingerprint);
        match client.own.find(hash, |number| fingerprint_of(number, index, groups) == fingerprint) {
            None => {
                let hash_of = |number| index.hash_of_fingerprint(fingerprint_of(number, index, groups));
                client.own.add(Own::Single(query).pack(), hash_of);
            }
            Some(number) => match Own::unpack(number) {
                Own::Single(other) => {
                    let mut queries = Ids::one(other);
                    queries.insert(query);
                    let group = groups.insert(Group { fingerprint, queries });
                    client.own.replace(hash, number, Own::Group(group).pack());
                }
                Own::Group(group) => {
                    let group = groups.get_mut(group).expect("a group is known while a client has it");
                    group.queries.insert(query);
                }
            },
        }
        client.count += 1;
        *count += 1;
    }

    /// Records whether a client wants every result of a query it watches.
    pub fn set_every(&mut self, watcher: WatcherId, query: QueryId, every: bool) {
        let Some(client) = self.clients.get_mut(watcher) else { return };
        if every {
            let extra = client.extra.get_or_insert_default();
            extra.every.insert(query);
            // Later results do not wait for it any more; the answer to the watch is as new.
            self.forget_held(watcher, query);
        } else if let Some(extra) = &mut client.extra {
            extra.every.remove(query);
        }
    }

    /// Ends a subscription, and what is held back for it. False if there is none. O(1).
    pub fn remove(&mut self, index: &Index, watcher: WatcherId, query: QueryId) -> bool {
        let Subscriptions { clients, groups, .. } = self;
        let (Some(client), Some(known)) = (clients.get_mut(watcher), index.get(query)) else { return false };
        let fingerprint = known.fingerprint();
        let hash = index.hash_of_fingerprint(fingerprint);
        let Some(number) = client.own.find(hash, |number| fingerprint_of(number, index, groups) == fingerprint) else {
            return false;
        };
        let is_last = match Own::unpack(number) {
            Own::Single(other) if other != query => return false,
            Own::Single(_) => true,
            Own::Group(group) => {
                let group = groups.get_mut(group).expect("a group is known while a client has it");
                if !group.queries.remove(query) {
                    return false;
                }
                group.queries.is_empty()
            }
        };
        if is_last {
            let hash_of = |number| index.hash_of_fingerprint(fingerprint_of(number, index, groups));
            client.own.take(hash, |other| other == number, hash_of);
            if let Own::Group(group) = Own::unpack(number) {
                groups.remove(group);
            }
        }
        client.count -= 1;
        if let Some(extra) = &mut client.extra {
            extra.every.remove(query);
        }
        self.count -= 1;
        // Its number may soon be another query's.
        self.forget_held(watcher, query);
        true
    }

    /// Ends all subscriptions of a client; how many there were. They are to be torn down, as are those of others that
    /// have gone, with [`Subscriptions::take_gone`].
    pub fn leave(&mut self, watcher: WatcherId, until_ms: u64) -> usize {
        let Some(own) = self.clients.get_mut(watcher) else { return 0 };
        own.client = None;
        own.extra = None;
        let count = std::mem::take(&mut own.count) as usize;
        self.count -= count;
        let (own, group) = (std::mem::take(&mut own.own).drain(), Box::new(std::iter::empty()));
        self.gone.push_back(Gone { watcher, own, group, until_ms });
        count
    }

    /// True if there are subscriptions to be torn down.
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The next subscription to be torn down: the client, the query, and until when that lingers.
    pub fn take_gone(&mut self) -> Option<(WatcherId, QueryId, u64)> {
        while let Some(gone) = self.gone.front_mut() {
            if let Some(query) = gone.group.next() {
                return Some((gone.watcher, query, gone.until_ms));
            }
            match gone.own.next().map(Own::unpack) {
                Some(Own::Single(query)) => return Some((gone.watcher, query, gone.until_ms)),
                Some(Own::Group(group)) => {
                    let group = self.groups.remove(group).expect("a group is known while a client has it");
                    gone.group = group.queries.drain();
                }
                None => {
                    self.clients.remove(gone.watcher);
                    self.gone.pop_front();
                }
            }
        }
        None
    }

    /// Drops the result of one query that is held back for a client.
    pub fn forget_held(&mut self, watcher: WatcherId, query: QueryId) {
        let Some(held) = self.held_mut(watcher) else { return };
        held.forget(query);
        if held.frames.is_empty() {
            self.drop_held(watcher);
        }
    }

    /// True if results are held back for a client.
    pub fn holds(&self, watcher: WatcherId) -> bool {
        self.extra(watcher).is_some_and(|extra| extra.held.is_some())
    }

    /// Holds a result of a query that the client watches back, in the place of the one held before. True if there was one.
    /// O(1).
    pub fn hold(&mut self, watcher: WatcherId, query: QueryId, frame: &Arc<Vec<u8>>) -> bool {
        let Some(client) = self.clients.get_mut(watcher) else { return false };
        let held = client.extra.get_or_insert_default().held.get_or_insert_default();
        held.keep(query, Arc::clone(frame))
    }

    /// The held result whose turn it is. O(1), amortised.
    pub fn take_held(&mut self, watcher: WatcherId) -> Option<Arc<Vec<u8>>> {
        let held = self.held_mut(watcher)?;
        let frame = held.take();
        if held.frames.is_empty() {
            self.drop_held(watcher);
        }
        frame
    }

    /// Drops what is held back for a client; the queries it was of.
    pub fn drop_held(&mut self, watcher: WatcherId) -> Vec<QueryId> {
        let extra = self.clients.get_mut(watcher).and_then(|client| client.extra.as_mut());
        extra.and_then(|extra| extra.held.take()).map(|held| held.queries().collect()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The twin is a list that is searched from end to end.
    #[test]
    fn results_wait_in_order_whichever_are_forgotten() {
        let mut prng = crate::base::prng::Prng::seeded(1);
        let (mut held, mut twin) = (Held::default(), Vec::<(QueryId, Vec<u8>)>::new());
        for step in 0..20_000u32 {
            let query = prng.below(300) as u32;
            let at = twin.iter().position(|(other, _)| *other == query);
            match prng.below(6) {
                0..=2 => {
                    let frame = step.to_le_bytes().to_vec();
                    assert_eq!(held.keep(query, Arc::new(frame.clone())), at.is_some());
                    match at {
                        Some(at) => twin[at].1 = frame,
                        None => twin.push((query, frame)),
                    }
                }
                3 | 4 => {
                    held.forget(query);
                    at.into_iter().for_each(|at| drop(twin.remove(at)));
                }
                _ => {
                    let first = (!twin.is_empty()).then(|| twin.remove(0).1);
                    assert_eq!(held.take().map(|frame| frame.to_vec()), first);
                }
            }
            assert_eq!(held.frames.len(), twin.len());
            assert!(held.order.len() <= 2 * (twin.len() + 1) + STALE_MAX + 1, "forgotten names are cleared away");
        }
        assert!(held.queries().eq(twin.iter().map(|(query, _)| *query)));
    }
}
