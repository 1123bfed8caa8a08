//! Who watches what, and the results held back for those who read slowly.
//!
//! A client that has fallen behind is not sent every result: the newest one of each query waits here until it has caught up. A
//! result is shared by all who wait for it, so what waits costs O(watches), not O(changes).
//!
//! Called by [`super::Reactive`] alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::ids::Ids;
use super::index::QueryId;

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
#[derive(Debug, Default)]
struct Client {
    queries: Ids,
    extra: Option<Box<Extra>>,
}

impl Client {
    fn held(&self) -> Option<&Held> {
        self.extra.as_ref()?.held.as_ref()
    }
}

/// All clients that watch.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    clients: HashMap<u32, Client>,
    /// How many there are in all.
    count: usize,
}

impl Subscriptions {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    pub fn count_of(&self, client: u32) -> usize {
        self.clients.get(&client).map_or(0, |client| client.queries.len())
    }

    /// A client's queries, in no particular order.
    pub fn of(&self, client: u32) -> impl Iterator<Item = QueryId> {
        self.clients.get(&client).into_iter().flat_map(|client| client.queries.iter())
    }

    pub fn has(&self, client: u32, query: QueryId) -> bool {
        self.clients.get(&client).is_some_and(|client| client.queries.contains(query))
    }

    /// True if a client wants every result of a query.
    pub fn wants_every(&self, client: u32, query: QueryId) -> bool {
        let extra = self.clients.get(&client).and_then(|own| own.extra.as_ref());
        extra.is_some_and(|extra| extra.every.contains(query))
    }

    /// True if a client wants every result of any query.
    pub fn wants_every_of_any(&self, client: u32) -> bool {
        let extra = self.clients.get(&client).and_then(|own| own.extra.as_ref());
        extra.is_some_and(|extra| !extra.every.is_empty())
    }

    /// Records a subscription, or what its client wants of it now.
    pub fn set(&mut self, client: u32, query: QueryId, every: bool) {
        let own = self.clients.entry(client).or_default();
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
    pub fn remove(&mut self, client: u32, query: QueryId) -> bool {
        let Some(own) = self.clients.get_mut(&client) else { return false };
        if !own.queries.remove(query) {
            return false;
        }
        if let Some(extra) = &mut own.extra {
            extra.every.remove(query);
        }
        if let Some(held) = own.extra.as_mut().and_then(|extra| extra.held.as_mut()) {
            // Its number may soon be another query's.
            held.forget(query);
        }
        if own.queries.is_empty() {
            self.clients.remove(&client);
        }
        self.count -= 1;
        true
    }

    /// Ends all subscriptions of a client, whose queries are returned.
    pub fn forget(&mut self, client: u32) -> Ids {
        let queries = self.clients.remove(&client).map(|client| client.queries).unwrap_or_default();
        self.count -= queries.len();
        queries
    }

    /// True if results are held back for a client.
    pub fn holds(&self, client: u32) -> bool {
        self.clients.get(&client).is_some_and(|client| client.held().is_some())
    }

    /// Holds a result back, in the place of the one held before. True if there was one.
    pub fn hold(&mut self, client: u32, query: QueryId, frame: &Arc<Vec<u8>>) -> bool {
        let Some(own) = self.clients.get_mut(&client).filter(|own| own.queries.contains(query)) else {
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
    pub fn take_held(&mut self, client: u32) -> Option<Arc<Vec<u8>>> {
        let extra = self.clients.get_mut(&client)?.extra.as_mut()?;
        let held = extra.held.as_mut()?;
        let frame = held.order.pop_front().and_then(|query| held.frames.remove(&query));
        if held.order.is_empty() {
            extra.held = None;
        }
        frame
    }

    /// Drops what is held back for a client; the queries it was of.
    pub fn drop_held(&mut self, client: u32) -> VecDeque<QueryId> {
        let extra = self.clients.get_mut(&client).and_then(|own| own.extra.as_mut());
        extra.and_then(|extra| extra.held.take()).map(|held| held.order).unwrap_or_default()
    }
}
