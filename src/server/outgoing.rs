//! Connections that this server makes itself, until they are made: names are looked up on a thread of their own, and whoever
//! drives the turns makes the connections that are wanted.
//!
//! Knows nothing of sockets, and nothing of what a connection is for.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use super::background::Background;
use crate::sys::bg;

/// Milliseconds between two looks at whether a name has been found.
const LOOK_MS: u64 = 5;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// To the primary that is followed; the number tells one attempt from another.
    Primary {
        /// Counted from 1.
        attempt: u64,
    },
    /// To a server that keys are moved to.
    Target {
        /// The number of the connection; see [`super::targets`].
        number: u64,
        /// Which of its name's addresses it is made to, from 0.
        address: u32,
        /// How many addresses its name has, as far as that is known.
        addresses: u32,
    },
}

impl LinkKind {
    /// Which of so many addresses of its name a connection is made to.
    fn choose(&mut self, count: usize) -> usize {
        match self {
            LinkKind::Primary { attempt } => *attempt as usize % count.max(1),
            LinkKind::Target { address, addresses, .. } => {
                *addresses = count as u32;
                *address as usize
            }
        }
    }
}

/// A connection that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What for.
    pub kind: LinkKind,
    /// Where to.
    pub address: SocketAddr,
}

/// The name's addresses were found, or not.
#[derive(Debug)]
struct Found {
    kind: LinkKind,
    outcome: io::Result<Vec<SocketAddr>>,
}

/// Connections that are to be made.
#[derive(Debug, Default)]
pub struct Outgoing {
    wanted: VecDeque<Wanted>,
    /// The thread that looks names up; made when the first one comes.
    resolver: Option<bg::Background<Found>>,
    /// Names that are being looked up.
    looking: usize,
    /// Monotonic milliseconds of the last look at them.
    looked_ms: u64,
}

impl Outgoing {
    /// Has a connection made. A name that has several addresses gets another one with every try. O(1); the answer comes later.
    ///
    /// # Errors
    /// No thread can be had to look the name up, or it has too much to do.
    pub fn connect(&mut self, host: &str, port: u16, kind: LinkKind, beside: &Background) -> io::Result<()> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            self.wanted.push_back(Wanted { kind, address: SocketAddr::new(ip, port) });
            return Ok(());
        }
        let resolver = match &mut self.resolver {
            Some(resolver) => resolver,
            none => none.insert(beside.beside()?),
        };
        let name = host.to_owned();
        let job = move || {
            let outcome = (name.as_str(), port).to_socket_addrs().map(Iterator::collect);
            Found { kind, outcome }
        };
        resolver.submit(job).ok_or(io::ErrorKind::WouldBlock)?;
        self.looking += 1;
        Ok(())
    }

    /// The next connection that is to be made.
    pub fn take_wanted(&mut self) -> Option<Wanted> {
        self.wanted.pop_front()
    }

    /// True if any is.
    #[inline]
    pub fn has_wanted(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Takes note of the names that have been looked up: what for, and what came of those without an address.
    pub fn note_found(&mut self, now_ms: u64) -> Vec<(LinkKind, io::Error)> {
        self.looked_ms = now_ms;
        let (Some(resolver), mut failed) = (&mut self.resolver, Vec::new()) else { return Vec::new() };
        while let Some((_, Found { mut kind, outcome })) = resolver.next_completion() {
            self.looking -= 1;
            let none = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            let chosen = outcome.and_then(|addresses| {
                let index = kind.choose(addresses.len());
                addresses.get(index).copied().ok_or_else(none)
            });
            match chosen {
                Ok(address) => self.wanted.push_back(Wanted { kind, address }),
                Err(error) => failed.push((kind, error)),
            }
        }
        failed
    }

    /// The monotonic millisecond of the next look, if a name is being looked up.
    pub fn next_due_ms(&self) -> Option<u64> {
        (self.looking > 0).then_some(self.looked_ms + LOOK_MS)
    }
}
