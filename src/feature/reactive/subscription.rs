//! Who watches what, and the results held back for those who read slowly.
//!
//! A client that has fallen behind is not sent every result: the newest one of each query waits here until it has caught up. A
//! result is shared by all who wait for it, so what waits costs O(watches), not O(changes).
//!
//! Called by [`super::Reactive`] alone.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::index::QueryId;

/// Results held back for one client: at most one for each query, the one that began to wait first in front.
#[derive(Debug, Default)]
struct Held {
    order: VecDeque<QueryId>,
    frames: HashMap<QueryId, Arc<Vec<u8>>>,
}

/// One client that watches.
#[derive(Debug, Default)]
struct Client {
    /// Its queries, each with the client's place among the subscribers.
    queries: HashMap<QueryId, u32>,
    held: Option<Box<Held>>,
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
        self.clients.get(&client).into_iter().flat_map(|client| client.queries.keys().copied())
    }

    pub fn has(&self, client: u32, query: QueryId) -> bool {
        self.clients.get(&client).is_some_and(|client| client.queries.contains_key(&query))
    }

    /// Records a subscription at its place.
    pub fn set(&mut self, client: u32, query: QueryId, place: u32) {
        let own = self.clients.entry(client).or_default();
        self.count += usize::from(own.queries.insert(query, place).is_none());
    }

    /// Ends a subscription, and what is held back for it; its place.
    pub fn remove(&mut self, client: u32, query: QueryId) -> Option<u32> {
        let own = self.clients.get_mut(&client)?;
        let place = own.queries.remove(&query)?;
        if let Some(held) = &mut own.held {
            held.frames.remove(&query);
            // Its number may soon be another query's.
            held.order.retain(|other| *other != query);
        }
        if own.queries.is_empty() {
            self.clients.remove(&client);
        }
        self.count -= 1;
        Some(place)
    }

    /// Ends all subscriptions of a client, which are returned with their places.
    pub fn forget(&mut self, client: u32) -> HashMap<QueryId, u32> {
        let queries = self.clients.remove(&client).map(|client| client.queries).unwrap_or_default();
        self.count -= queries.len();
        queries
    }

    /// True if results are held back for a client.
    pub fn holds(&self, client: u32) -> bool {
        self.clients.get(&client).is_some_and(|client| client.held.is_some())
    }

    /// Holds a result back, in the place of the one held before. True if there was one.
    pub fn hold(&mut self, client: u32, query: QueryId, frame: &Arc<Vec<u8>>) -> bool {
        let Some(own) = self.clients.get_mut(&client).filter(|own| own.queries.contains_key(&query)) else {
            return false;
        };
        let held = own.held.get_or_insert_default();
        let before = held.frames.insert(query, Arc::clone(frame));
        if before.is_none() {
            held.order.push_back(query);
        }
        before.is_some()
    }

    /// The held result whose turn it is.
    pub fn take_held(&mut self, client: u32) -> Option<Arc<Vec<u8>>> {
        let own = self.clients.get_mut(&client)?;
        let held = own.held.as_mut()?;
        let frame = held.order.pop_front().and_then(|query| held.frames.remove(&query));
        if held.order.is_empty() {
            own.held = None;
        }
        frame
    }

    /// Drops what is held back for a client; the queries it was of.
    pub fn drop_held(&mut self, client: u32) -> VecDeque<QueryId> {
        let held = self.clients.get_mut(&client).and_then(|own| own.held.take());
        held.map(|held| held.order).unwrap_or_default()
    }
}
