//! The metrics port: connections of those who ask over HTTP for the server's figures, or whether it lives. A part of the loop beside
//! its clients: what HTTP means is [`super::http`]'s business, what the page says that of [`crate::command::info::metrics`].
//!
//! # Limits
//! - `CONNS_MAX` connections. One more, and the one that has the least time left gives way.
//! - A connection has a deadline: for the next request, for the rest of one that has begun, for taking the response.
//! - One page is built in a turn of the loop, however many ask, and they take turns; a connection's next request waits until its
//!   last is answered.
//!
//! # Invariants
//! - A response is sent whole before the next request is looked at, so no connection has more than a head and a page.
//! - `is_fresh` of a connection is set while its input may hold a whole request.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;

use mio::{Interest, Registry, Token};
use slab::Slab;
use socket2::SockRef;

use crate::base::clock::Now;
use crate::base::openmetrics::Format;
use crate::command::info::metrics::page;
use crate::server::Server;
use crate::sys::listen::BoundSocket;

use super::http::{self, Code, HEAD_BYTES_MAX, Method, Parsed, Refusal, Request, Response};
use super::listener::Listeners;
use super::transport::{Link, Readiness, Received, Stream};

/// Connections at one time: some collectors, a load balancer's probes, somebody who looks.
pub(super) const CONNS_MAX: usize = 64;
/// Connections accepted in one turn.
const ACCEPTED_PER_TURN_MAX: u32 = 8;
/// Milliseconds within which a request has to be there, from its first byte or from the connection's beginning.
const HEAD_MS_MAX: u64 = 10_000;
/// Milliseconds within which a response has to be taken.
const RESPONSE_MS_MAX: u64 = 30_000;
/// Milliseconds for which a connection may stay without a request: more than the usual time between two scrapes.
const IDLE_MS_MAX: u64 = 120_000;
/// Milliseconds, and bytes, for which a connection is read to no purpose after its last response: closed before, the kernel would
/// answer what is still on its way with a reset, and that may take the response away from the peer.
const LINGER_MS_MAX: u64 = 2_000;
const LINGER_BYTES_MAX: usize = 256 * 1024;
/// Milliseconds from one look at the deadlines to the next.
const WALK_MS: u64 = 1_000;
/// Seconds of silence after which a connection is probed.
const KEEPALIVE_S: u32 = 60;

const PLAIN: &str = "text/plain; charset=utf-8";

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Requests are read and answered.
    Serves,
    /// The response that is being sent is the last one.
    Ends,
    /// Everything is sent; what comes is thrown away, and so many bytes were.
    Lingers(usize),
    /// It is to be closed.
    Over,
}

/// One connection.
#[derive(Debug)]
struct Conn {
    link: Link<Stream>,
    state: State,
    /// What has come and is not answered.
    input: Vec<u8>,
    is_fresh: bool,
    /// The response, of which so many bytes were sent.
    output: Vec<u8>,
    sent: usize,
    /// When it is closed, in monotonic milliseconds.
    deadline_ms: u64,
}

/// What connections share while they are served in one turn.
struct Service<'s> {
    server: &'s mut Server,
    now: Now,
    /// A page may be built.
    may_build: bool,
}

/// The listening sockets and the connections.
#[derive(Debug)]
pub(super) struct MetricsPort {
    /// The token of the first connection; the listening sockets have those behind the last.
    base: usize,
    listeners: Listeners,
    conns: Slab<Conn>,
    /// A connection may go on.
    has_work: bool,
    walked_ms: u64,
    /// The connection for which the last page was built.
    last_built: usize,
}

impl MetricsPort {
    /// Nothing listened on. Tokens are given from `base` upwards.
    pub fn new(base: usize) -> MetricsPort {
        let (listeners, conns) = (Listeners::default(), Slab::new());
        MetricsPort { base, listeners, conns, has_work: false, walked_ms: 0, last_built: 0 }
    }

    /// Listens on these sockets from now on; if that fails, those there are remain.
    ///
    /// # Errors
    /// When the poll cannot take one.
    pub fn listen(&mut self, sockets: Vec<BoundSocket>, registry: &Registry) -> std::io::Result<()> {
        let first = self.base + CONNS_MAX;
        self.listeners.replace(sockets, registry, |i| Token(first + i))
    }

    /// Notes an event about one of its tokens.
    pub fn note(&mut self, token: usize, readiness: Readiness) {
        let place = token - self.base;
        if place >= CONNS_MAX {
            return self.listeners.note(place - CONNS_MAX);
        }
        let Some(conn) = self.conns.get_mut(place) else { return };
        conn.link.readable |= readiness.readable | readiness.read_closed;
        conn.link.hung_up |= readiness.read_closed;
        conn.link.writable |= readiness.writable | readiness.write_closed;
        self.has_work = true;
    }

    /// Looks for connections again that could not be accepted.
    pub fn retry(&mut self) {
        self.listeners.retry();
    }

    /// True if something can be done at once.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.has_work || self.listeners.is_accepting()
    }

    /// True if [`MetricsPort::run`] has something to do at this time.
    #[inline]
    pub fn is_due(&self, now: Now) -> bool {
        self.has_work() || (!self.conns.is_empty() && now.mono_ms() >= self.walked_ms + WALK_MS)
    }

    /// Accepts, reads, answers and closes what can be. O(connections), and one page.
    pub fn run(&mut self, server: &mut Server, registry: &Registry, now: Now) {
        self.accept(registry, now.mono_ms());
        let walks = now.mono_ms() >= self.walked_ms + WALK_MS;
        if walks {
            self.walked_ms = now.mono_ms();
        }
        let mut service = Service { server, now, may_build: true };
        let mut over = Vec::new();
        self.has_work = false;
        // Whoever got the last page has the others before it.
        let mut places: Vec<usize> = self.conns.iter().map(|(place, _)| place).collect();
        let first = places.partition_point(|place| *place <= self.last_built);
        places.rotate_left(first);
        for place in places {
            let conn = &mut self.conns[place];
            if conn.has_work() {
                let could_build = service.may_build;
                conn.go_on(&mut service);
                if could_build && !service.may_build {
                    self.last_built = place;
                }
            }
            if conn.state == State::Over || (walks && now.mono_ms() >= conn.deadline_ms) {
                over.push(place);
            } else {
                self.has_work |= conn.has_work();
            }
        }
        over.into_iter().for_each(|place| self.close(place, registry));
    }

    fn accept(&mut self, registry: &Registry, now_ms: u64) {
        let MetricsPort { base, listeners, conns, has_work, .. } = self;
        if !listeners.is_accepting() {
            return;
        }
        listeners.accept(ACCEPTED_PER_TURN_MAX, KEEPALIVE_S, |accepted| {
            if conns.len() == CONNS_MAX
                && let Some(place) = conns.iter().min_by_key(|(_, conn)| conn.deadline_ms).map(|(place, _)| place)
            {
                log::debug!("The metrics port has {CONNS_MAX} connections; one gives way to {}", accepted.peer.address);
                deregister(conns.remove(place), registry);
            }
            let entry = conns.vacant_entry();
            let token = Token(*base + entry.key());
            let mut conn = Conn::new(accepted.stream, now_ms + HEAD_MS_MAX);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = registry.register(conn.link.transport.source(), token, interest) {
                return log::warn!("Registering a connection of the metrics port: {error}");
            }
            entry.insert(conn);
            *has_work = true;
        });
    }

    fn close(&mut self, place: usize, registry: &Registry) {
        deregister(self.conns.remove(place), registry);
    }
}

fn deregister(mut conn: Conn, registry: &Registry) {
    // Closing the descriptor removes it from the poll as well, so a failure changes nothing.
    let _ = registry.deregister(conn.link.transport.source());
}

impl Conn {
    fn new(stream: Stream, deadline_ms: u64) -> Conn {
        Conn {
            link: Link::new(stream),
            state: State::Serves,
            input: Vec::new(),
            is_fresh: false,
            output: Vec::new(),
            sent: 0,
            deadline_ms,
        }
    }

    fn has_work(&self) -> bool {
        if self.output.is_empty() { self.is_fresh || self.link.readable } else { self.link.writable }
    }

    /// Sends what is to be sent; when that is out, reads once, and answers one request.
    fn go_on(&mut self, service: &mut Service<'_>) {
        let now_ms = service.now.mono_ms();
        self.send(now_ms);
        if !self.output.is_empty() {
            return;
        }
        if !self.is_fresh && self.link.readable {
            self.read(now_ms);
        }
        if self.is_fresh && self.state == State::Serves {
            self.answer_next(service);
            self.send(now_ms);
        }
    }

    /// Reads once; what comes is kept while requests are served.
    fn read(&mut self, now_ms: u64) {
        let mut bytes = [0; HEAD_BYTES_MAX];
        // Never nothing: an input that is full has been answered, or refused.
        let room = HEAD_BYTES_MAX - self.input.len();
        match (self.link.read(&mut bytes[..room]), self.state) {
            (Ok(Received::Nothing), _) => {}
            (Ok(Received::Bytes(count)), State::Serves) => {
                if self.input.is_empty() {
                    self.deadline_ms = self.deadline_ms.min(now_ms + HEAD_MS_MAX);
                }
                self.input.extend_from_slice(&bytes[..count]);
                self.is_fresh = true;
            }
            (Ok(Received::Bytes(count)), State::Lingers(before)) if before + count <= LINGER_BYTES_MAX => {
                self.state = State::Lingers(before + count);
            }
            _ => self.state = State::Over,
        }
    }

    /// Answers the first request of the input, if it is whole.
    fn answer_next(&mut self, service: &mut Service<'_>) {
        let (request, len) = match http::parse(&self.input) {
            Parsed::Partial => {
                self.is_fresh = false;
                return;
            }
            Parsed::Request(request, len) => (request, len),
            Parsed::Bad(refusal) => {
                let code = match refusal {
                    Refusal::Malformed => Code::BadRequest,
                    Refusal::TooLong => Code::HeadTooLong,
                };
                return self.respond(service, code, PLAIN, code.text().as_bytes(), (false, false));
            }
        };
        let Request { method, keeps_alive, .. } = request;
        let how = (method == Method::Head, keeps_alive);
        match (method, request.path.as_str()) {
            (Method::Other, _) => self.respond(service, Code::MethodNotAllowed, PLAIN, b"Only GET and HEAD.\n", how),
            (_, "/metrics") => {
                if !std::mem::take(&mut service.may_build) {
                    // In the next turn.
                    return;
                }
                let format = if request.wants_openmetrics { Format::OpenMetrics } else { Format::Text };
                let text = page(service.server, service.now, format);
                self.respond(service, Code::Ok, format.content_type(), text.as_bytes(), how);
            }
            (_, "/healthz") => self.respond(service, Code::Ok, PLAIN, b"ok\n", how),
            (_, "/readyz") if service.server.is_loading() => {
                self.respond(service, Code::Unavailable, PLAIN, b"loading\n", how);
            }
            (_, "/readyz") => self.respond(service, Code::Ok, PLAIN, b"ok\n", how),
            _ => self.respond(service, Code::NotFound, PLAIN, b"There are /metrics, /healthz and /readyz.\n", how),
        }
        self.input.drain(..len);
        self.is_fresh = !self.input.is_empty();
    }

    fn respond(
        &mut self,
        service: &Service<'_>,
        code: Code,
        content_type: &'static str,
        body: &[u8],
        (is_head, keeps_alive): (bool, bool),
    ) {
        let unix_s = service.now.unix_s();
        Response { code, content_type, body, is_head, keeps_alive, unix_s }.write(&mut self.output);
        self.deadline_ms = service.now.mono_ms() + RESPONSE_MS_MAX;
        if !keeps_alive {
            self.state = State::Ends;
        }
    }

    /// Sends what the socket takes, and does what follows when all of it is out.
    fn send(&mut self, now_ms: u64) {
        if self.output.is_empty() || !self.link.writable {
            return;
        }
        match self.link.transport.write(&self.output[self.sent..]) {
            Ok(count) => self.sent += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => self.link.writable = false,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => {
                log::debug!("Writing to a connection of the metrics port: {error}");
                self.state = State::Over;
            }
        }
        if self.sent < self.output.len() {
            return;
        }
        // A page is large, and the next one far: nothing is kept meanwhile.
        (self.output, self.sent) = (Vec::new(), 0);
        self.deadline_ms = now_ms + IDLE_MS_MAX;
        if self.state == State::Ends {
            // A peer that has gone needs no end.
            let _ = SockRef::from(&self.link.transport).shutdown(Shutdown::Write);
            (self.state, self.input, self.is_fresh) = (State::Lingers(0), Vec::new(), false);
            self.deadline_ms = now_ms + LINGER_MS_MAX;
        }
    }
}
