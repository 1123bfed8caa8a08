//! Numbers for the clients that take part in something: subscribe, watch keys, or wait for some.
//!
//! A client that has gone may have left very much behind, which is cleared away over several turns. Until then its number is
//! nobody else's, whatever becomes of its session's slot: so what is left behind is never taken for another client's.
//!
//! # Invariant
//! Those that have gone are cleared away one after the other: the first must be done before the next begins.
//!
//! Called by the server, which gives a client its number when it first takes part and knows it from its session.

use std::collections::VecDeque;

use slab::Slab;

use super::client_id::ClientId;
use crate::base::heap;

/// All members.
#[derive(Debug, Default)]
pub struct Members {
    /// Each member's client; none for those that have gone.
    clients: Slab<Option<ClientId>>,
    gone: VecDeque<u32>,
}

impl Members {
    /// A number for a client.
    pub fn join(&mut self, client: ClientId) -> usize {
        self.clients.insert(Some(client))
    }

    /// A member's client, unless it has gone.
    #[inline]
    pub fn client(&self, member: usize) -> Option<ClientId> {
        *self.clients.get(member)?
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        heap::slab(&self.clients) + heap::deque(&self.gone)
    }

    /// How many numbers are taken, those included that are to be cleared away.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Notes that a member has gone.
    pub fn leave(&mut self, member: usize) {
        self.clients[member] = None;
        self.gone.push_back(member as u32);
    }

    /// True if members have gone that are to be cleared away.
    #[inline]
    pub fn has_gone(&self) -> bool {
        !self.gone.is_empty()
    }

    /// The member that has gone first.
    pub fn first_gone(&self) -> Option<usize> {
        self.gone.front().map(|member| *member as usize)
    }

    /// Gives the number of the member that has gone first free: it has left nothing behind.
    pub fn release_first(&mut self) {
        if let Some(member) = self.gone.pop_front() {
            self.clients.remove(member as usize);
        }
    }
}
