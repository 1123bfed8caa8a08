//! The loop. One thread, one `Reactor::turn` after another:
//!
//! 1. wait for events, until the next timer at the latest;
//! 2. take the time, once;
//! 3. accept clients, in bounded batches;
//! 4. serve ready connections: read, parse a batch, prefetch its keys, run its commands;
//! 5. timers: due keys, sleeping clients, housekeeping, each within a budget;
//! 6. send the replies, one write per client;
//! 7. close what has to be closed.
//!
//! What a turn leaves undone (a long pipeline, more due keys) is remembered, and the next wait does not sleep.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use crate::base::clock::{Clock, Now};
use crate::command::{self, Command};
use crate::engine::cron::Cron;
use crate::engine::dispatch::{Ran, execute};
use crate::resp::args::{Args, OwnedArgs, Span};
use crate::resp::parse::{Limits, Parsed};
use crate::server::Server;
use crate::server::ctx::Next;
use crate::server::session::{Blocked, Buffers, Origin, Session};
use crate::sys::listen::BoundSocket;
use crate::sys::notify::Notifier;
use crate::sys::signal::{Signal, Signals};

use super::conn::{Conn, Filled};
use super::listener::{Accepted, Listener};

/// Bytes read from one connection in one turn, and the size of the buffer all connections share.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Commands parsed together, so that their keys' cache lines load while the earlier ones run. Enough to cover the
/// memory's latency, few enough to stay in the first-level cache.
const BATCH_MAX: usize = 32;
/// Commands one connection may run in one turn.
const COMMANDS_PER_TURN_MAX: usize = 1024;
/// Once a turn has worked this long, the connections not served yet wait for the next one.
const TURN_BUDGET_NS: u64 = 500_000;
/// Output buffers kept for reuse, and the largest that is kept.
const POOL_BUFFERS_MAX: usize = 256;
const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Milliseconds between two walks over the clients for timeouts and soft limits.
const CLIENTS_WALK_MS: u64 = 1000;
/// Longest sleep, so that housekeeping never waits longer.
const SLEEP_MS_MAX: u64 = 1000;

const TOKEN_SIGNALS: Token = Token(usize::MAX);
/// Listeners have the tokens just below.
const TOKEN_LISTENERS: usize = usize::MAX - 1;
const LISTENERS_MAX: usize = 1024;

const MAX_CLIENTS_TEXT: &[u8] = b"-ERR max number of clients reached\r\n";
const DENIED_TEXT: &[u8] = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers to Redis you may adopt one of the following solutions: 1) Just disable protected mode \
sending the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to Redis from the same host \
the server is running, however MAKE SURE Redis is not publicly accessible from internet if you do so. Use CONFIG REWRITE \
to make this change permanent. 2) Alternatively you can just disable the protected mode by editing the Redis configuration \
file, and setting the protected mode option to 'no', and then restarting the server. 3) If you started the server manually \
just for testing, restart it with the '--protected-mode no' option. 4) Set up an authentication password for the default \
user. NOTE: You only need to do one of the above things in order for the server to start accepting connections from the \
outside.\r\n";

/// One parsed command of a batch.
#[derive(Debug)]
struct Parse {
    /// Offset of its first byte.
    start: usize,
    /// Offset after its last byte.
    end: usize,
    /// Its spans in the batch's list.
    first_span: usize,
    spans: usize,
    /// Its row, if the name is known.
    command: Option<&'static Command>,
    /// The hash of its first key, if it has one.
    hash: Option<u64>,
    /// An inline command's arguments, which are not in the input.
    inline: Option<OwnedArgs>,
}

/// Working storage of step 4, reused by all connections.
#[derive(Debug, Default)]
struct Batch {
    spans: Vec<Span>,
    commands: Vec<Parse>,
}

/// The loop with everything it owns.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    events: Events,
    clock: Rc<dyn Clock>,
    server: Server,
    cron: Cron,
    listeners: Vec<Listener>,
    conns: Slab<Conn>,
    /// Connections with bytes to read or commands to run.
    ready: VecDeque<usize>,
    /// Connections with replies to send.
    flush: Vec<usize>,
    scratch: Box<[u8]>,
    batch: Batch,
    pool: Vec<Vec<u8>>,
    signals: Signals,
    notifier: Notifier,
    watchdog_ms: Option<u64>,
    watchdog_due_ms: u64,
    clients_walked_ms: u64,
    /// Timers left over from this turn.
    timers_behind: bool,
    stopping: bool,
}

impl Reactor {
    /// A loop over a server, listening on the given sockets.
    ///
    /// # Errors
    /// The kernel refuses a poll or a registration.
    pub fn new(server: Server, sockets: Vec<BoundSocket>, signals: Signals, notifier: Notifier) -> io::Result<Reactor> {
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), TOKEN_SIGNALS, Interest::READABLE)?;
        let watchdog_ms = crate::sys::notify::watchdog_interval().map(|interval| interval.as_millis() as u64);
        let mut reactor = Reactor {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            clock: Rc::clone(&server.clock),
            server,
            cron: Cron::default(),
            listeners: Vec::new(),
            conns: Slab::new(),
            ready: VecDeque::new(),
            flush: Vec::new(),
            scratch: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            batch: Batch::default(),
            pool: Vec::new(),
            signals,
            notifier,
            watchdog_ms,
            watchdog_due_ms: 0,
            clients_walked_ms: 0,
            timers_behind: false,
            stopping: false,
        };
        reactor.listen(sockets)?;
        Ok(reactor)
    }

    /// Runs turns until the server is told to stop. The service manager hears when it begins and when it ends.
    ///
    /// # Errors
    /// The poll fails; nothing can go on then.
    pub fn run(&mut self) -> io::Result<()> {
        self.tell("ready", self.notifier.status("Ready to accept connections").and_then(|()| self.notifier.ready()));
        while !self.stopping {
            self.turn()?;
        }
        self.tell("stopping", self.notifier.stopping());
        Ok(())
    }

    /// Logs a failure to reach the service manager, which no request depends on.
    fn tell(&self, what: &str, sent: io::Result<()>) {
        if let Err(error) = sent {
            log::warn!("Cannot tell the service manager that the server is {what}: {error}");
        }
    }

    /// One turn, as the module header lists it.
    fn turn(&mut self) -> io::Result<()> {
        let timeout = self.wait_time();
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = self.clock.now();
        self.note_events();
        self.accept(now);
        self.serve(now);
        self.run_timers(now);
        self.act_on_config()?;
        self.send(now);
        self.close_killed();
        self.count_turn(now);
        self.stopping |= self.server.stop_requested;
        Ok(())
    }

    fn wait_time(&self) -> Duration {
        let behind =
            self.timers_behind || !self.ready.is_empty() || self.listeners.iter().any(|listener| listener.ready);
        if behind {
            return Duration::ZERO;
        }
        let now = self.clock.now();
        let now_ms = now.mono_ms();
        let due = self.cron.next_due_ms(&self.server, now);
        let pause = self.server.pause.map(|pause| pause.until_ms);
        let watchdog = self.watchdog_ms.map(|_| self.watchdog_due_ms);
        let next = due.into_iter().chain(pause).chain(watchdog).min().unwrap_or(u64::MAX);
        // Keys fall due on whole wall-clock milliseconds; the poll rounds up to whole milliseconds as well.
        Duration::from_millis(next.saturating_sub(now_ms).min(SLEEP_MS_MAX))
    }

    fn note_events(&mut self) {
        let mut signalled = false;
        for event in &self.events {
            let Token(token) = event.token();
            if event.token() == TOKEN_SIGNALS {
                signalled = true;
            } else if token > TOKEN_LISTENERS - LISTENERS_MAX {
                if let Some(listener) = self.listeners.get_mut(TOKEN_LISTENERS - token) {
                    listener.ready = true;
                }
            } else {
                let index = token & u32::MAX as usize;
                let Some(conn) = self.conns.get_mut(index).filter(|conn| token == token_of(index, conn.id).0) else {
                    continue;
                };
                if event.is_writable() && !conn.writable {
                    conn.writable = true;
                    if !conn.flushing && !conn.out.is_empty() {
                        conn.flushing = true;
                        self.flush.push(index);
                    }
                }
                if event.is_read_closed() || event.is_error() {
                    conn.hung_up = true;
                }
                if event.is_readable() || conn.hung_up {
                    conn.readable = true;
                    if !conn.queued {
                        conn.queued = true;
                        self.ready.push_back(index);
                    }
                }
            }
        }
        if signalled {
            self.take_signals();
        }
    }

    fn take_signals(&mut self) {
        for signal in self.signals.drain() {
            match signal {
                Signal::Terminate => {
                    log::warn!("Received SIGTERM scheduling shutdown...");
                    self.stopping = true;
                }
                Signal::Interrupt => {
                    log::warn!("Received SIGINT scheduling shutdown...");
                    self.stopping = true;
                }
                Signal::Hangup => {
                    self.tell("reloading", self.notifier.reloading());
                    crate::sys::log::reopen();
                    self.tell("ready", self.notifier.ready());
                }
            }
        }
    }

    fn accept(&mut self, now: Now) {
        for i in 0..self.listeners.len() {
            if !self.listeners[i].ready {
                continue;
            }
            for _ in 0..self.server.config.max_new_connections_per_cycle {
                match self.listeners[i].accept(self.server.config.tcp_keepalive) {
                    Ok(Some(accepted)) => self.admit(accepted, now),
                    Ok(None) => break,
                    Err(error) => {
                        log::warn!("Accepting client connection: {error}");
                        // The waiting clients stay in the kernel's queue; the next one to come wakes us again.
                        self.listeners[i].ready = false;
                        break;
                    }
                }
            }
        }
    }

    fn admit(&mut self, accepted: Accepted, now: Now) {
        let Accepted { mut stream, origin, peer, local } = accepted;
        let server = &mut self.server;
        let refusal = if server.sessions.len() >= server.config.maxclients as usize {
            Some(MAX_CLIENTS_TEXT)
        } else if server.config.protected_mode && server.config.requirepass.is_empty() && origin == Origin::Remote {
            Some(DENIED_TEXT)
        } else {
            None
        };
        if let Some(text) = refusal {
            // The text fits any empty socket buffer; if it cannot be sent the client sees the close alone.
            let _ = io::Write::write(&mut stream, text);
            server.stats.rejected_connections += 1;
            return;
        }
        let id = server.next_client_id;
        let entry = self.conns.vacant_entry();
        let index = entry.key();
        let fd = stream.fd();
        match Conn::register(stream, id, self.poll.registry(), token_of(index, id)) {
            Ok(mut conn) => {
                conn.queued = true;
                entry.insert(conn);
            }
            Err(error) => return log::warn!("Registering a client's connection: {error}"),
        }
        server.next_client_id += 1;
        server.stats.connections += 1;
        let mut session = Session::new(id, origin, now.mono_ms());
        session.authenticated = server.config.requirepass.is_empty();
        (session.peer, session.local, session.fd) = (peer, local, fd);
        let session_index = server.sessions.insert(session);
        assert_eq!(index, session_index, "connections and sessions come and go together");
        log::debug!("Accepted {}", server.sessions[index].peer);
        self.ready.push_back(index);
    }

    fn serve(&mut self, now: Now) {
        let started_ns = now.mono_ns;
        let mut time_ns = started_ns;
        for _ in 0..self.ready.len() {
            if time_ns - started_ns > TURN_BUDGET_NS {
                return;
            }
            let Some(index) = self.ready.pop_front() else { return };
            let Some(conn) = self.conns.get_mut(index) else { continue };
            conn.queued = false;
            self.serve_one(index, now, &mut time_ns);
        }
    }

    /// Reads from one connection and runs what has arrived, within its share of the turn.
    fn serve_one(&mut self, index: usize, now: Now, time_ns: &mut u64) {
        let session = &self.server.sessions[index];
        if session.blocked.is_some() || session.closing {
            return self.discard_input(index);
        }
        let conn = &mut self.conns[index];
        // Commands left over from an earlier turn come before anything new.
        if !conn.input.is_empty() && !conn.partial {
            let input = std::mem::take(&mut conn.input);
            self.process(index, Source::Input(input), now, time_ns);
        } else if conn.readable {
            match conn.fill(&mut self.scratch) {
                Ok(Filled::Nothing) => {}
                Ok(Filled::End) => return self.finish_input(index),
                Ok(Filled::Scratch(count)) => {
                    self.note_input(index, count, now);
                    self.process(index, Source::Scratch(count), now, time_ns);
                }
                Ok(Filled::Input(count)) => {
                    self.note_input(index, count, now);
                    let input = std::mem::take(&mut self.conns[index].input);
                    self.process(index, Source::Input(input), now, time_ns);
                }
                Err(error) => {
                    log::debug!("Reading from client: {error}");
                    return self.kill(index);
                }
            }
        }
        self.requeue(index);
    }

    /// Puts a connection back into the ready list if it has more to read or to run.
    fn requeue(&mut self, index: usize) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let session = &self.server.sessions[index];
        let more = conn.readable || (!conn.input.is_empty() && !conn.partial);
        if more && !conn.queued && session.blocked.is_none() && !session.closing {
            conn.queued = true;
            self.ready.push_back(index);
        }
    }

    fn note_input(&mut self, index: usize, count: usize, now: Now) {
        let session = &mut self.server.sessions[index];
        session.active_ms = now.mono_ms();
        session.net_in_bytes += count as u64;
        self.server.stats.net_in_bytes += count as u64;
    }

    /// A client that waits or is about to be closed: only notice that it has gone.
    fn discard_input(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        if conn.hung_up {
            self.kill(index);
        }
    }

    /// The client will send no more: it is closed once its replies are out.
    fn finish_input(&mut self, index: usize) {
        log::debug!("Client closed connection {}", self.server.sessions[index].peer);
        self.server.sessions[index].closing = true;
        self.queue_flush(index);
    }

    fn queue_flush(&mut self, index: usize) {
        let conn = &mut self.conns[index];
        if !conn.flushing {
            conn.flushing = true;
            self.flush.push(index);
        }
    }

    fn kill(&mut self, index: usize) {
        let id = self.conns[index].id;
        self.server.kills.push(crate::server::session::ClientRef { index, id });
    }

    /// Parses and runs the commands of one input, batch by batch; keeps what is left.
    fn process(&mut self, index: usize, source: Source, now: Now, time_ns: &mut u64) {
        let Reactor { server, conns, scratch, batch, pool, .. } = self;
        let conn = &mut conns[index];
        if conn.out.is_empty()
            && let Some(buffer) = pool.pop()
        {
            conn.out = crate::resp::out::Out::with_buffer(buffer);
        }
        let bytes: &[u8] = match &source {
            Source::Scratch(count) => &scratch[..*count],
            Source::Input(input) => input,
        };
        let mut at = 0;
        let mut left = COMMANDS_PER_TURN_MAX;
        conn.partial = false;
        // Where the bytes begin that have to be kept, and whether they begin with a command whose parse goes on.
        let keep = loop {
            let authenticated = server.sessions[index].authenticated;
            let limits = Limits { bulk_bytes_max: server.config.proto_max_bulk_len as i64, authenticated };
            let most = if authenticated { BATCH_MAX.min(left) } else { 1 };
            let end = parse_batch(conn, batch, server, index, bytes, at, limits, most);
            let stopped = run_batch(server, index, batch, bytes, &mut conn.out, now, time_ns);
            left -= batch.commands.len();
            if let Some(from) = stopped {
                conn.parser.reset();
                conn.spans.clear();
                conn.needed = 0;
                break from;
            }
            match end {
                BatchEnd::Partial(from) => {
                    conn.partial = true;
                    break from;
                }
                BatchEnd::Error(error) => {
                    let text = error.text();
                    log::debug!("Protocol error from client: {}", String::from_utf8_lossy(&text));
                    let session = &mut server.sessions[index];
                    session.closing = true;
                    server.stats.count_error(b"ERR");
                    crate::resp::reply::Reply::new(&mut conn.out, session.proto).error_text(&text);
                    conn.parser.reset();
                    break bytes.len();
                }
                BatchEnd::More(from) if left == 0 => break from,
                BatchEnd::More(from) => at = from,
            }
        };
        match source {
            Source::Scratch(count) => conn.input.extend_from_slice(&scratch[keep..count]),
            Source::Input(mut input) if keep < input.len() => {
                input.drain(..keep);
                conn.input = input;
            }
            Source::Input(_) => {}
        }
        let over_query_limit = conn.input.len() as u64 > server.config.client_query_buffer_limit;
        if server.sessions[index].closing {
            (conn.input, conn.spans) = (Vec::new(), Vec::new());
            conn.readable = false;
        }
        if over_query_limit {
            log::warn!("Closing client that reached max query buffer length: {}", server.sessions[index].peer);
            server.stats.query_limit_disconnections += 1;
            self.kill(index);
        } else {
            self.queue_flush(index);
        }
    }

    fn run_timers(&mut self, now: Now) {
        self.timers_behind = self.cron.expire(&mut self.server, now);
        self.wake_clients(now);
        self.cron.run(&mut self.server, now);
        let now_ms = now.mono_ms();
        if now_ms >= self.clients_walked_ms + CLIENTS_WALK_MS {
            self.clients_walked_ms = now_ms;
            self.walk_clients(now_ms);
        }
        if let Some(interval_ms) = self.watchdog_ms
            && now_ms >= self.watchdog_due_ms
        {
            self.watchdog_due_ms = now_ms + interval_ms;
            self.tell("alive", self.notifier.watchdog());
        }
    }

    /// Wakes clients whose time has come: SLEEP is over, or the pause is.
    fn wake_clients(&mut self, now: Now) {
        let now_ms = now.mono_ms();
        let mut woken = Vec::new();
        let sessions = &self.server.sessions;
        let mut budget = COMMANDS_PER_TURN_MAX;
        let progress = self.server.client_timers.advance(now_ms as i64, &mut budget, |index, tick| {
            let index = index as usize;
            match sessions.get(index).and_then(|session| session.blocked) {
                Some(Blocked::Sleep { until_ms }) if until_ms as i64 <= tick => {
                    woken.push(index);
                    crate::timer::Verdict::Drop
                }
                Some(Blocked::Sleep { until_ms }) => crate::timer::Verdict::Again(until_ms as i64),
                _ => crate::timer::Verdict::Drop,
            }
        });
        self.timers_behind |= !progress.done;
        for index in woken {
            let session = &mut self.server.sessions[index];
            session.blocked = None;
            let proto = session.proto;
            crate::resp::reply::Reply::new(&mut self.conns[index].out, proto).ok();
            self.queue_flush(index);
            self.requeue(index);
        }
        if self.server.pause.is_some_and(|pause| now_ms >= pause.until_ms) {
            self.server.pause = None;
        }
        if self.server.pause.is_none() && self.server.held > 0 {
            self.server.held = 0;
            for index in self.conns.iter().map(|(index, _)| index).collect::<Vec<_>>() {
                let session = &mut self.server.sessions[index];
                if session.blocked == Some(Blocked::Paused) {
                    session.blocked = None;
                    self.requeue(index);
                }
            }
        }
    }

    /// Once a second: idle clients and clients over their soft output limit.
    fn walk_clients(&mut self, now_ms: u64) {
        let timeout_ms = u64::from(self.server.config.timeout) * 1000;
        let limit = self.server.config.client_output_buffer_limit.normal;
        for (index, conn) in &mut self.conns {
            let session = &self.server.sessions[index];
            let idle = timeout_ms > 0 && session.blocked.is_none() && now_ms - session.active_ms > timeout_ms;
            let soft = limit.soft_bytes > 0 && conn.out.len() as u64 > limit.soft_bytes;
            let since_ms = *conn.soft_over_ms.get_or_insert(now_ms);
            if !soft {
                conn.soft_over_ms = None;
            }
            let over = soft && now_ms - since_ms >= u64::from(limit.soft_seconds) * 1000;
            if idle {
                log::debug!("Closing idle client");
            }
            if over {
                log::warn!("Client {} closed for overcoming of output buffer limits", session.peer);
                self.server.stats.output_limit_disconnections += 1;
            }
            if idle || over {
                self.server.kills.push(crate::server::session::ClientRef { index, id: conn.id });
            }
        }
    }

    /// Settings that CONFIG SET changed and that concern the loop.
    fn act_on_config(&mut self) -> io::Result<()> {
        match self.server.new_listeners.take() {
            None => Ok(()),
            Some(sockets) => self.listen(sockets),
        }
    }

    /// Replaces the listening sockets.
    fn listen(&mut self, sockets: Vec<BoundSocket>) -> io::Result<()> {
        self.listeners.iter_mut().for_each(|listener| listener.deregister(self.poll.registry()));
        self.listeners.clear();
        for (i, socket) in sockets.into_iter().enumerate() {
            self.listeners.push(Listener::register(socket, self.poll.registry(), Token(TOKEN_LISTENERS - i))?);
        }
        Ok(())
    }

    /// One write for every client that has replies.
    fn send(&mut self, now: Now) {
        let limit = self.server.config.client_output_buffer_limit.normal;
        for index in std::mem::take(&mut self.flush) {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            conn.flushing = false;
            let session = &mut self.server.sessions[index];
            if conn.writable && !conn.out.is_empty() {
                match conn.flush() {
                    Ok(count) => {
                        session.net_out_bytes += count as u64;
                        self.server.stats.net_out_bytes += count as u64;
                    }
                    Err(error) => {
                        log::debug!("Writing to client: {error}");
                        self.server.kills.push(crate::server::session::ClientRef { index, id: conn.id });
                        continue;
                    }
                }
            }
            let left = conn.out.len();
            if left == 0 {
                let buffer = conn.out.take_buffer();
                if self.pool.len() < POOL_BUFFERS_MAX && (1..=POOL_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
                    self.pool.push(buffer);
                }
                if session.closing {
                    self.server.kills.push(crate::server::session::ClientRef { index, id: conn.id });
                }
            } else if limit.hard_bytes > 0 && left as u64 > limit.hard_bytes {
                log::warn!("Client {} closed for overcoming of output buffer limits", session.peer);
                self.server.stats.output_limit_disconnections += 1;
                self.server.kills.push(crate::server::session::ClientRef { index, id: conn.id });
            } else if conn.writable {
                // A short write: the kernel will tell when there is room again, unless it has been told already.
                conn.flushing = true;
                self.flush.push(index);
                self.timers_behind = true;
            }
            session.buffers = Buffers {
                query_bytes: conn.input.len(),
                query_free_bytes: conn.input.capacity() - conn.input.len(),
                out_bytes: left,
                out_chunks: conn.out.chunks(),
                out_heap_bytes: conn.out.heap_bytes(),
            };
        }
        let _ = now;
    }

    fn close_killed(&mut self) {
        for client in std::mem::take(&mut self.server.kills) {
            if self.conns.get(client.index).is_none_or(|conn| conn.id != client.id) {
                continue;
            }
            let mut conn = self.conns.remove(client.index);
            conn.deregister(self.poll.registry());
            self.server.sessions.remove(client.index);
        }
    }

    fn count_turn(&mut self, now: Now) {
        let took_ns = self.clock.mono_ns() - now.mono_ns;
        let stats = &mut self.server.stats;
        stats.turns += 1;
        stats.turn_ns += took_ns;
        stats.turn_ns_max = stats.turn_ns_max.max(took_ns);
    }
}

/// Where the bytes to be parsed are.
enum Source {
    /// This many in the loop's buffer.
    Scratch(usize),
    /// The connection's own input, taken out of it.
    Input(Vec<u8>),
}

/// How a batch ended.
enum BatchEnd {
    /// A command is not complete; its first byte is here.
    Partial(usize),
    /// The batch is full; more may follow here.
    More(usize),
    /// The request breaks the protocol.
    Error(crate::resp::error::ProtocolError),
}

fn token_of(index: usize, id: u64) -> Token {
    // 31 bits of the id keep the token below those of listeners and signals.
    Token(index | ((id & 0x7fff_ffff) as usize) << 32)
}

/// Parses up to `most` commands from `at` on, and starts loading what they will touch.
#[allow(clippy::too_many_arguments, reason = "the loop's parts, borrowed one by one")]
fn parse_batch(
    conn: &mut Conn,
    batch: &mut Batch,
    server: &Server,
    index: usize,
    bytes: &[u8],
    mut at: usize,
    limits: Limits,
    most: usize,
) -> BatchEnd {
    batch.commands.clear();
    batch.spans.clear();
    let db = &server.dbs[server.sessions[index].db];
    // A command that was partial goes on with the arguments it already has.
    std::mem::swap(&mut batch.spans, &mut conn.spans);
    let end = loop {
        if batch.commands.len() == most {
            break BatchEnd::More(at);
        }
        let first_span =
            if batch.commands.is_empty() { 0 } else { batch.commands.last().map_or(0, |c| c.first_span + c.spans) };
        match conn.parser.parse(&bytes[at..], limits, &mut batch.spans) {
            Ok(Parsed::Command(taken)) => {
                let spans = batch.spans.len() - first_span;
                let args = Args::new(&bytes[at..], &batch.spans[first_span..]);
                let command = command::lookup(args.at(0));
                let key = command.and_then(|command| command.spec.keys.first()).and_then(|keys| args.get(keys.first));
                let hash = key.map(|key| db.prefetch_bucket(key));
                batch.commands.push(Parse {
                    start: at,
                    end: at + taken,
                    first_span,
                    spans,
                    command,
                    hash,
                    inline: None,
                });
                at += taken;
            }
            Ok(Parsed::Inline(taken, args)) => {
                let args = OwnedArgs::new(args.iter().map(Vec::as_slice));
                let command = command::lookup(args.as_args().at(0));
                let parse =
                    Parse { start: at, end: at + taken, first_span, spans: 0, command, hash: None, inline: Some(args) };
                batch.commands.push(parse);
                at += taken;
            }
            Ok(Parsed::Empty(taken)) => at += taken,
            Ok(Parsed::Incomplete(needed)) => {
                conn.needed = needed;
                conn.spans = batch.spans.split_off(first_span);
                break BatchEnd::Partial(at);
            }
            Err(error) => break BatchEnd::Error(error),
        }
    };
    if batch.commands.len() > 1 {
        batch.commands.iter().filter_map(|command| command.hash).for_each(|hash| db.prefetch_entry(hash));
    }
    end
}

/// Runs a batch. `Some(offset)` when the client has to stop there: it waits, or closes.
fn run_batch(
    server: &mut Server,
    index: usize,
    batch: &Batch,
    bytes: &[u8],
    out: &mut crate::resp::out::Out,
    now: Now,
    time_ns: &mut u64,
) -> Option<usize> {
    for parse in &batch.commands {
        let spans = &batch.spans[parse.first_span..][..parse.spans];
        let args = match &parse.inline {
            None => Args::new(&bytes[parse.start..], spans),
            Some(owned) => owned.as_args(),
        };
        match execute(server, index, parse.command, args, out, now, time_ns) {
            Ran::Now(Next::Done) => {}
            Ran::Now(Next::Close) => {
                server.sessions[index].closing = true;
                return Some(bytes.len());
            }
            Ran::Now(Next::Sleep { until_ms }) => {
                server.block(index, Blocked::Sleep { until_ms });
                return Some(parse.end);
            }
            Ran::Now(Next::Shutdown) => {
                server.stop_requested = true;
                return Some(parse.end);
            }
            Ran::Held => {
                server.held += 1;
                server.block(index, Blocked::Paused);
                return Some(parse.start);
            }
        }
    }
    None
}
