//! Listening sockets: accepting in bounded batches.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::server::session::Origin;
use crate::sys::listen::{BoundSocket, Listening};

use super::conn::Stream;

/// A socket that accepts.
#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// A client that has just connected.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket.
    pub stream: Stream,
    /// Where it comes from.
    pub origin: Origin,
    /// Its address, as CLIENT LIST writes it.
    pub peer: String,
    /// Our address, as CLIENT LIST writes it.
    pub local: String,
}

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local: String,
    /// More clients may be waiting.
    pub ready: bool,
}

impl Listener {
    /// Takes over a bound socket and registers it.
    ///
    /// # Errors
    /// When the poll cannot take it.
    pub fn register(bound: BoundSocket, registry: &Registry, token: Token) -> io::Result<Listener> {
        let local = bound.address;
        let mut socket = match bound.socket {
            Listening::Tcp(listener) => Socket::Tcp(TcpListener::from_std(listener)),
            Listening::Unix(listener) => Socket::Unix(UnixListener::from_std(listener)),
        };
        match &mut socket {
            Socket::Tcp(listener) => registry.register(listener, token, Interest::READABLE)?,
            Socket::Unix(listener) => registry.register(listener, token, Interest::READABLE)?,
        }
        Ok(Listener { socket, local, ready: true })
    }

    /// Takes the socket out of the poll.
    pub fn deregister(&mut self, registry: &Registry) {
        // Closing the descriptor removes it from the poll as well, so a failure changes nothing.
        let _ = match &mut self.socket {
            Socket::Tcp(listener) => registry.deregister(listener),
            Socket::Unix(listener) => registry.deregister(listener),
        };
    }

    /// Accepts one client; `None` when nobody waits.
    ///
    /// # Errors
    /// What `accept` reports, such as too many open files; the listener stays usable.
    pub fn accept(&mut self, keepalive_s: u32) -> io::Result<Option<Accepted>> {
        loop {
            let accepted = match &self.socket {
                Socket::Tcp(listener) => listener.accept().map(|(stream, peer)| tcp(stream, peer, keepalive_s)),
                Socket::Unix(listener) => listener.accept().map(|(stream, _)| self.unix(stream)),
            };
            match accepted {
                Ok(accepted) => return Ok(Some(accepted)),
                // The client has gone again already, or a signal came: look again.
                Err(error) if matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.ready = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn unix(&self, stream: mio::net::UnixStream) -> Accepted {
        let address = format!("{}:0", self.local);
        Accepted { stream: Stream::Unix(stream), origin: Origin::Unix, peer: address.clone(), local: address }
    }
}

fn tcp(stream: mio::net::TcpStream, peer: SocketAddr, keepalive_s: u32) -> Accepted {
    // Options are a courtesy: a socket that refuses them still works, or fails at its first read.
    let _ = stream.set_nodelay(true);
    if keepalive_s > 0 {
        let interval = std::time::Duration::from_secs(u64::from(keepalive_s / 3).max(1));
        let keepalive = TcpKeepalive::new()
            .with_time(std::time::Duration::from_secs(u64::from(keepalive_s)))
            .with_interval(interval)
            .with_retries(3);
        let _ = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    }
    let local = stream.local_addr().map_or_else(|_| String::from("?:0"), text);
    let origin = if canonical(peer).ip().is_loopback() { Origin::Loopback } else { Origin::Remote };
    Accepted { peer: text(peer), local, origin, stream: Stream::Tcp(stream) }
}

/// An IPv4 address that arrived on an IPv6 socket, as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `ip:port`, with brackets around IPv6, as CLIENT LIST writes it.
fn text(address: SocketAddr) -> String {
    canonical(address).to_string()
}
