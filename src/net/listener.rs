//! Listening sockets: who of them may have clients waiting, and the accepting of one at a time.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use mio::net::{TcpListener, UnixListener};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use crate::server::session::Origin;
use crate::sys::listen::{BoundSocket, Listening};

use super::transport::Stream;
use super::turn::Peer;

/// The sockets listened on.
#[derive(Debug, Default)]
pub struct Listeners {
    listeners: Vec<Listener>,
    /// One of them may have clients waiting.
    accepting: bool,
    /// Accepting has failed, and clients may still be waiting in the kernel's queue, of whom no event will tell.
    failed: bool,
}

impl Listeners {
    /// Listens on these sockets from now on; if that fails, those there are remain. The i-th gets `token(i)`.
    ///
    /// # Errors
    /// When the poll cannot take one.
    pub fn replace(
        &mut self,
        sockets: Vec<BoundSocket>,
        registry: &Registry,
        token: impl Fn(usize) -> Token,
    ) -> io::Result<()> {
        let added = sockets.into_iter().enumerate().map(|(i, socket)| Listener::register(socket, registry, token(i)));
        let added = added.collect::<io::Result<_>>()?;
        self.listeners.iter_mut().for_each(|listener| listener.deregister(registry));
        (self.listeners, self.accepting) = (added, true);
        Ok(())
    }

    /// Notes that one may have clients waiting.
    pub fn note(&mut self, i: usize) {
        if let Some(listener) = self.listeners.get_mut(i) {
            listener.ready = true;
            self.accepting = true;
        }
    }

    /// True if clients may be waiting.
    #[inline]
    pub fn is_accepting(&self) -> bool {
        self.accepting
    }

    /// Hands over clients that have connected, up to so many of each socket.
    pub fn accept(&mut self, most: u32, keepalive_s: u32, mut admit: impl FnMut(Accepted)) {
        for listener in self.listeners.iter_mut().filter(|listener| listener.ready) {
            for _ in 0..most {
                match listener.accept(keepalive_s) {
                    Ok(Some(accepted)) => admit(accepted),
                    Ok(None) => break,
                    Err(error) => {
                        log::warn!("Accepting client connection: {error}");
                        // The waiting clients stay in the kernel's queue, until a descriptor may have become free.
                        listener.ready = false;
                        self.failed = true;
                        break;
                    }
                }
            }
        }
        self.accepting = self.listeners.iter().any(|listener| listener.ready);
    }

    /// Looks at the kernel's queues again if accepting has failed.
    pub fn retry(&mut self) {
        if std::mem::take(&mut self.failed) {
            self.listeners.iter_mut().for_each(|listener| listener.ready = true);
            self.accepting = true;
        }
    }
}

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
    pub peer: Peer,
}

/// One listening socket.
#[derive(Debug)]
struct Listener {
    socket: Socket,
    local: String,
    /// More clients may be waiting.
    ready: bool,
}

impl Listener {
    /// Takes over a bound socket and registers it.
    ///
    /// # Errors
    /// When the poll cannot take it.
    fn register(bound: BoundSocket, registry: &Registry, token: Token) -> io::Result<Listener> {
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
    fn deregister(&mut self, registry: &Registry) {
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
    fn accept(&mut self, keepalive_s: u32) -> io::Result<Option<Accepted>> {
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
        let (address, stream) = (format!("{}:0", self.local), Stream::Unix(stream));
        let peer = Peer { origin: Origin::Unix, local: address.clone(), address, fd: stream.fd() };
        Accepted { stream, peer }
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
    let stream = Stream::Tcp(stream);
    Accepted { peer: Peer { origin, address: text(peer), local, fd: stream.fd() }, stream }
}

/// An IPv4 address that arrived on an IPv6 socket, as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `ip:port`, with brackets around IPv6, as CLIENT LIST writes it.
fn text(address: SocketAddr) -> String {
    canonical(address).to_string()
}
