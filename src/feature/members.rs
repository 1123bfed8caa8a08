//! Numbers for the clients that take part in something: subscribe, watch keys, or wait for some.
//!
//! A client that has gone may have left very much behind, which is cleared away over several turns. Until then its number is
//! nobody else's, whatever becomes of its session's index: so what is left behind is never taken for another client's.
//!
//! # Invariant
//! Those that have gone are cleared away one after the other: the first must be done before the next begins.
//!
//! Called by the server, which gives a client its number when it first takes part and knows it from its session.

use std::collections::VecDeque;

use slab::Slab;

/// All members.
#[derive(Debug, Default)]
pub struct Members {
    /// The index of each member's session; none for those that have gone.
    sessions: Slab<Option<u32>>,
    gone: VecDeque<u32>,
}

impl Members {
    /// A number for a client.
    pub fn join(&mut self, session: usize) -> usize {
        self.sessions.insert(Some(session as u32))
    }

    /// The index of a member's session, unless it has gone.
    #[inline]
    pub fn session(&self, member: usize) -> Option<usize> {
        self.sessions.get(member)?.map(|session| session as usize)
    }

    /// Notes that a member has gone.
    pub fn leave(&mut self, member: usize) {
        self.sessions[member] = None;
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
            self.sessions.remove(member as usize);
        }
    }
}
