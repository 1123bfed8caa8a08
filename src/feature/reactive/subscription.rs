//! Who watches what, and the results held back for those who read slowly.
//!
//! A client that has fallen behind is not sent every result: the newest one of each query waits here until it has caught up. A
//! result is shared by all who wait for it, so what waits costs O(watches), not O(changes).
//!
//! A client that has gone is nobody at once; its watches are taken apart bit by bit, as there may be very many. Until then its
//! number is not another's.
//!
//! Called by [`super::Reactive`] alone.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::ids::Ids;
use super::index::QueryId;
use super::slots::Slots;

/// Results held back for one client: at most one for each query, the one that began to wait first in front.
#[derive(Debug, Default)]
struct Held {
    order: VecDeque<QueryId>,
    frames: HashMap<QueryId, Arc<Vec<u8>>>,
}

impl Held {
    fn forget(&mut self, query: QueryId) {
        if self.frames.remove(&query).is_some() {
            self.order.retain(|other| *other != query);
        }
    }
}

/// What few clients have.
#[derive(Debug, Default)]
struct Extra {
    /// Those of its queries of which it wants every result.
    every: Ids,
    held: Option<Held>,
}

/// One client that watches.
#[derive(Debug)]
struct Client {
    /// The index of its session; `None` for one that has gone.
    session: Option<u32>,
    queries: Ids,
    extra: Option<Box<Extra>>,
}

/// A client that has gone, with what is left of its watches.
struct Gone {
    watcher: WatcherId,
    queries: Box<dyn Iterator<Item = QueryId>>,
    until_ms: u64,
}

impl fmt::Debug for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gone").field("watcher", &self.watcher).finish_non_exhaustive()
    }
}

/// A client's number here, from its first watch until its last one has been taken apart.
pub type WatcherId = u32;

/// All clients that watch.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    clients: Slots<Client>,
    /// How many watches there are in all, without those of clients that have gone.
    count: usize,
    gone: VecDeque<Gone>,
}

impl Subscriptions {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn clients(&self) -> usize {
        self.clients.len() - self.gone.len()
    }

    /// A client's session, unless it has gone.
    pub fn session(&self, watcher: WatcherId) -> Option<usize> {
        self.clients.get(watcher)?.session.map(|session| session as usize)
    }

    pub fn count_of(&self, watcher: WatcherId) -> usize {
        self.clients.get(watcher).map_or(0, |client| client.queries.len())
    }

    /// A client's queries, in no particular order.
    pub fn of(&self, watcher: WatcherId) -> impl Iterator<Item = QueryId> {
        self.clients.get(watcher).into_iter().flat_map(|client| client.queries.iter())
    }

    pub fn has(&self, watcher: WatcherId, query: QueryId) -> bool {
        self.clients.get(watcher).is_some_and(|client| client.queries.contains(query))
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
    pub fn join(&mut self, session: usize) -> WatcherId {
        self.clients.insert(Client { session: Some(session as u32), queries: Ids::None, extra: None })
    }

    /// Records a subscription, or what its client wants of it now.
    pub fn set(&mut self, watcher: WatcherId, query: QueryId, every: bool) {
        let Some(own) = self.clients.get_mut(watcher) else { return };
        self.count += usize::from(own.queries.insert(query));
        if every {
            let extra = own.extra.get_or_insert_default();
            extra.every.insert(query);
            if let Some(held) = &mut extra.held {
                // Later results do not wait for it any more; the answer to the watch is as new.
                held.forget(query);
            }
        } else if let Some(extra) = &mut own.extra {
            extra.every.remove(query);
        }
    }

    /// Ends a subscription, and what is held back for it. False if there is none.
    pub fn remove(&mut self, watcher: WatcherId, query: QueryId) -> bool {
        let Some(own) = self.clients.get_mut(watcher) else { return false };
        if !own.queries.remove(query) {
            return false;
        }
        if let Some(extra) = &mut own.extra {
            extra.every.remove(query);
            if let Some(held) = &mut extra.held {
                // Its number may soon be another query's.
                held.forget(query);
            }
        }
        self.count -= 1;
        true
    }

    /// Ends all subscriptions of a client; how many there were. They are to be taken apart, as are those of others that
    /// have gone, with [`Subscriptions::take_gone`].
    pub fn leave(&mut self, watcher: WatcherId, until_ms: u64) -> usize {
        let Some(own) = self.clients.get_mut(watcher) else { return 0 };
        own.session = None;
        own.extra = None;
        let queries = std::mem::take(&mut own.queries);
        let count = queries.len();
        self.count -= count;
        self.gone.push_back(Gone { watcher, queries: queries.drain(), until_ms });
        count
    }

    /// True if there are subscriptions to be taken apart.
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The next subscription to be taken apart: the client, the query, and until when that lingers.
    pub fn take_gone(&mut self) -> Option<(WatcherId, QueryId, u64)> {
        while let Some(gone) = self.gone.front_mut() {
            if let Some(query) = gone.queries.next() {
                return Some((gone.watcher, query, gone.until_ms));
            }
            self.clients.remove(gone.watcher);
            self.gone.pop_front();
        }
        None
    }

    /// Drops the result of one query that is held back for a client.
    pub fn forget_held(&mut self, watcher: WatcherId, query: QueryId) {
        let Some(held) = self.held_mut(watcher) else { return };
        held.forget(query);
        if held.order.is_empty() {
            self.drop_held(watcher);
        }
    }

    /// True if results are held back for a client.
    pub fn holds(&self, watcher: WatcherId) -> bool {
        self.extra(watcher).is_some_and(|extra| extra.held.is_some())
    }

    /// Holds a result back, in the place of the one held before. True if there was one.
    pub fn hold(&mut self, watcher: WatcherId, query: QueryId, frame: &Arc<Vec<u8>>) -> bool {
        let Some(own) = self.clients.get_mut(watcher).filter(|own| own.queries.contains(query)) else {
            return false;
        };
        let held = own.extra.get_or_insert_default().held.get_or_insert_default();
        let before = held.frames.insert(query, Arc::clone(frame));
        if before.is_none() {
            held.order.push_back(query);
        }
        before.is_some()
    }

    /// The held result whose turn it is.
    pub fn take_held(&mut self, watcher: WatcherId) -> Option<Arc<Vec<u8>>> {
        let held = self.held_mut(watcher)?;
        let frame = held.order.pop_front().and_then(|query| held.frames.remove(&query));
        if held.order.is_empty() {
            self.drop_held(watcher);
        }
        frame
    }

    /// Drops what is held back for a client; the queries it was of.
    pub fn drop_held(&mut self, watcher: WatcherId) -> VecDeque<QueryId> {
        let extra = self.clients.get_mut(watcher).and_then(|own| own.extra.as_mut());
        extra.and_then(|extra| extra.held.take()).map(|held| held.order).unwrap_or_default()
    }
}
