//! The connections, by the slots of their clients' sessions. A session without a connection leaves its place empty.

use std::ops::{Index, IndexMut};

use super::conn::Conn;
use crate::feature::client_id::ClientId;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Conns(Vec<Option<Conn>>);

impl Conns {
    /// Takes in the connection of a client that has none.
    pub fn insert(&mut self, conn: Conn) {
        let slot = conn.client.slot();
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, || None);
        }
        debug_assert!(self.0[slot].is_none(), "this slot has a connection");
        self.0[slot] = Some(conn);
    }

    /// A client's connection, unless it has gone.
    #[inline]
    pub fn get(&self, client: ClientId) -> Option<&Conn> {
        self.0.get(client.slot())?.as_ref().filter(|conn| conn.client == client)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut Conn> {
        self.0.get_mut(client.slot())?.as_mut().filter(|conn| conn.client == client)
    }

    /// The connection of a slot, unless there is none.
    #[inline]
    pub fn at_slot_mut(&mut self, slot: usize) -> Option<&mut Conn> {
        self.0.get_mut(slot)?.as_mut()
    }

    /// Takes a client's connection out, unless it has gone.
    pub fn remove(&mut self, client: ClientId) -> Option<Conn> {
        self.get(client)?;
        self.0[client.slot()].take()
    }

    /// All connections.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conn> {
        self.0.iter_mut().flatten()
    }
}

const GONE: &str = "this client is connected";

impl Index<ClientId> for Conns {
    type Output = Conn;
    #[inline]
    fn index(&self, client: ClientId) -> &Conn {
        self.0[client.slot()].as_ref().expect(GONE)
    }
}

impl IndexMut<ClientId> for Conns {
    #[inline]
    fn index_mut(&mut self, client: ClientId) -> &mut Conn {
        self.0[client.slot()].as_mut().expect(GONE)
    }
}
