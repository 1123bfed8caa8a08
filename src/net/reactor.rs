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

use crate::base::clock::{Now, TurnClock};
use crate::engine::cron::Cron;
use crate::engine::{reactive, settle, wake};
use crate::feature::client_id::ClientId;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::session::{Origin, Session};
use crate::server::stats::Stats;
use crate::sys::alarm::Alarm;
use crate::sys::listen::BoundSocket;
use crate::sys::notify::{Notifier, READY_STATUS};
use crate::sys::signal::{Signal, Signals};
use crate::sys::watchdog::Watchdog;

use super::batch::{BATCH_MAX, Batch, BatchEnd, RESUME_SPANS_MAX, Segment, Source, parse_batch, run_batch};
use super::conn::{Conn, Filled, Looked};
use super::conns::Conns;
use super::listener::{Accepted, Listener};
use super::send::{BufferPool, limit_of, send_replies};

/// The buffer all connections share: the most that is read from one of them in one turn.
const READ_BYTES_MAX: usize = 64 * 1024;
/// With less room than this left in it, the gathered commands run before the next connection is read.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Commands one connection may run in one turn.
const COMMANDS_PER_TURN_MAX: usize = 1024;
/// Once a turn has worked this long, the connections not served yet wait for the next one.
const TURN_BUDGET_NS: u64 = 500_000;
/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 1024;
/// Milliseconds between two walks over the clients for timeouts and soft limits.
const CLIENTS_WALK_MS: u64 = 1000;
/// How long a client that has finished sending may take none of its last replies.
// COMPAT: Redis drops them at once. Who sends commands and closes that side, as `nc` does, shall have its answers.
const HALF_CLOSED_MS_MAX: u64 = 2_000;
/// The same for a client that is closed because of QUIT or of what it sent.
const CLOSING_MS_MAX: u64 = 60_000;
/// Buffers of a closed connection from this many bytes on are freed by the helper thread.
const FREED_APART_BYTES_MIN: usize = 256 * 1024;
/// Longest sleep, so that housekeeping never waits longer.
const SLEEP_MS_MAX: u64 = 1000;

const TOKEN_SIGNALS: Token = Token(usize::MAX);
const TOKEN_ALARM: Token = Token(usize::MAX - 1);
/// Listeners have the tokens just below.
const TOKEN_LISTENERS: usize = usize::MAX - 2;
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

/// The loop with everything it owns.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    clock: TurnClock,
    server: Server,
    cron: Cron,
    listeners: Vec<Listener>,
    conns: Conns,
    /// Connections with bytes to read or commands to run.
    ready: VecDeque<ClientId>,
    /// Connections with replies to send.
    flush: Vec<ClientId>,
    scratch: Box<[u8]>,
    /// Bytes of `scratch` that gathered segments use.
    scratch_used: usize,
    /// Commands of the connections gathered so far, and who sent them.
    gathered: Batch,
    segments: Vec<Segment>,
    /// Commands of a long pipeline, beyond its first batch.
    batch: Batch,
    pool: BufferPool,
    signals: Signals,
    notifier: Notifier,
    /// From the start of the loop on, if the service manager wants to be told that it lives.
    watchdog: Option<Watchdog>,
    clients_walked_ms: u64,
    /// Accepting has failed, and clients may still be waiting in the kernel's queue, of whom no event will tell.
    accept_failed: bool,
    /// A listener may have clients waiting.
    accepting: bool,
    /// When the last turn ended.
    ended: Now,
    /// Timers left over from this turn.
    work_left: bool,
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
        let alarm = Alarm::new();
        if let Some(fd) = alarm.as_raw_fd() {
            poll.registry().register(&mut SourceFd(&fd), TOKEN_ALARM, Interest::READABLE)?;
        }
        let mut reactor = Reactor {
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            alarm,
            clock: TurnClock::new(Rc::clone(&server.clock)),
            server,
            cron: Cron::default(),
            listeners: Vec::new(),
            conns: Conns::default(),
            ready: VecDeque::new(),
            flush: Vec::new(),
            scratch: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            scratch_used: 0,
            gathered: Batch::default(),
            segments: Vec::new(),
            batch: Batch::default(),
            pool: BufferPool::default(),
            signals,
            notifier,
            watchdog: None,
            clients_walked_ms: 0,
            accept_failed: false,
            accepting: true,
            ended: Now::default(),
            work_left: true,
            stopping: false,
        };
        reactor.listen(sockets)?;
        Ok(reactor)
    }

    /// Runs turns until the server is told to stop. The service manager hears when it begins and when it ends.
    ///
    /// # Errors
    /// The poll fails, or the watchdog cannot be answered; nothing can go on then.
    pub fn run(&mut self) -> io::Result<()> {
        self.tell("ready", self.notifier.status(READY_STATUS).and_then(|()| self.notifier.ready()));
        if self.notifier.is_active() {
            self.watchdog = Watchdog::from_env(self.clock.now().mono_ms())?;
        }
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
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let now = self.clock.now();
        self.note_events();
        self.accept(now);
        self.serve(now);
        self.run_timers(now);
        self.act_on_config();
        self.send(now);
        self.close_killed();
        self.count_turn(now);
        self.stopping |= self.server.process.stop_requested;
        Ok(())
    }

    /// How long to wait for events; without end if the alarm ends the wait.
    fn wait_time(&mut self) -> Option<Duration> {
        if self.work_left || self.accepting || !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        // The last turn has just ended, so its end is now.
        let now = self.ended;
        let now_ms = now.mono_ms();
        let due = self.cron.next_due_ms(&self.server, now);
        let pause = self.server.pause.map(|pause| pause.until_ms);
        let watchdog = self.watchdog.as_ref().map(Watchdog::due_ms);
        let next = due.into_iter().chain(pause).chain(watchdog).min().unwrap_or(u64::MAX);
        // Keys fall due on whole wall-clock milliseconds; what is waited are whole milliseconds as well.
        self.alarm.wait_until(next.min(now_ms + SLEEP_MS_MAX), now_ms)
    }

    fn note_events(&mut self) {
        let mut signalled = false;
        for event in &self.events {
            let Token(token) = event.token();
            if token > TOKEN_LISTENERS {
                // The alarm has nothing to tell but that time has passed.
                signalled |= event.token() == TOKEN_SIGNALS;
            } else if token > TOKEN_LISTENERS - LISTENERS_MAX {
                if let Some(listener) = self.listeners.get_mut(TOKEN_LISTENERS - token) {
                    listener.ready = true;
                    self.accepting = true;
                }
            } else {
                let conn = self.conns.at_slot_mut(token & u32::MAX as usize);
                let Some(conn) = conn.filter(|conn| token == token_of(conn.client).0) else { continue };
                let client = conn.client;
                if event.is_writable() && !conn.writable {
                    conn.writable = true;
                    if !conn.flushing && !conn.out.is_empty() {
                        conn.flushing = true;
                        self.flush.push(client);
                    }
                }
                if event.is_read_closed() || event.is_error() {
                    conn.hung_up = true;
                }
                if event.is_write_closed() || event.is_error() {
                    conn.broken = true;
                }
                if conn.hung_up && self.server.clients[client].blocked.is_some() {
                    // Nobody would take what it waits for.
                    self.server.kill(client);
                }
                if event.is_readable() || conn.hung_up {
                    conn.readable = true;
                    if !conn.queued {
                        conn.queued = true;
                        self.ready.push_back(client);
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
        if !self.accepting {
            return;
        }
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
                        // The waiting clients stay in the kernel's queue, until a descriptor may have become free.
                        self.listeners[i].ready = false;
                        self.accept_failed = true;
                        break;
                    }
                }
            }
        }
        self.accepting = self.listeners.iter().any(|listener| listener.ready);
    }

    /// Looks at the kernel's queues again if accepting has failed.
    fn retry_accept(&mut self) {
        if std::mem::take(&mut self.accept_failed) {
            self.listeners.iter_mut().for_each(|listener| listener.ready = true);
            self.accepting = true;
        }
    }

    fn admit(&mut self, accepted: Accepted, now: Now) {
        let Accepted { mut stream, origin, peer, local } = accepted;
        let server = &mut self.server;
        let refusal = if server.clients.len() >= server.config.maxclients as usize {
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
        let client = server.admit(origin, now);
        let session = &mut server.clients[client];
        (session.peer, session.local, session.fd) = (peer, local, stream.fd());
        match Conn::register(stream, client, self.poll.registry(), token_of(client)) {
            Ok(mut conn) => {
                conn.queued = true;
                self.conns.insert(conn);
            }
            Err(error) => {
                log::warn!("Registering a client's connection: {error}");
                return server.forget(client);
            }
        }
        log::debug!("Accepted {}", server.clients[client].peer);
        self.ready.push_back(client);
    }

    /// Serves the ready connections, several at a time: their commands are gathered first, so that one's keys load while
    /// the next one's bytes are read.
    fn serve(&mut self, now: Now) {
        let mut time_ns = now.mono_ns;
        for _ in 0..self.ready.len() {
            if time_ns - now.mono_ns > TURN_BUDGET_NS {
                break;
            }
            let Some(client) = self.ready.pop_front() else { break };
            let Some(conn) = self.conns.get_mut(client) else { continue };
            conn.queued = false;
            self.gather(client, now, &mut time_ns);
        }
        self.run_gathered(now, &mut time_ns);
    }

    /// Reads from one connection and parses the first commands of what has arrived.
    fn gather(&mut self, client: ClientId, now: Now, time_ns: &mut u64) {
        let room = READ_BYTES_MAX - self.scratch_used;
        let long_resume = self.conns[client].spans.len() > RESUME_SPANS_MAX;
        if room < READ_BYTES_MIN || self.gathered.commands.len() >= BATCH_MAX || long_resume {
            self.run_gathered(now, time_ns);
        }
        let (conn, session) = (&mut self.conns[client], &mut self.server.clients[client]);
        if session.blocked.is_some() || session.closing {
            return self.look_after(client, now, time_ns);
        }
        // Commands left over from an earlier turn come before anything new.
        let source = if !conn.input.is_empty() && !conn.partial {
            Source::Input(std::mem::take(&mut conn.input))
        } else if conn.readable || conn.is_ahead() {
            let is_counted = conn.is_ahead();
            match conn.fill(&mut self.scratch[self.scratch_used..]) {
                Ok(Filled::Nothing) => return self.requeue(client),
                Ok(Filled::End) => return self.finish_input(client),
                Ok(Filled::Scratch { kept, count }) => {
                    let start = self.scratch_used;
                    self.scratch_used += kept + count;
                    if !is_counted {
                        note_input(session, &mut self.server.stats, count, now);
                    }
                    Source::Scratch(start..self.scratch_used)
                }
                Ok(Filled::Input(count)) => {
                    if !is_counted {
                        note_input(session, &mut self.server.stats, count, now);
                    }
                    // Much may have been read, and perhaps no command runs yet that would look at the clock.
                    *time_ns = self.clock.mono_ns();
                    Source::Input(std::mem::take(&mut conn.input))
                }
                Err(error) => {
                    log::debug!("Reading from client: {error}");
                    return self.kill(client);
                }
            }
        } else {
            return;
        };
        debug_assert!(
            self.segments.iter().all(|segment| segment.client != client),
            "read twice before it was processed"
        );
        let first = self.gathered.commands.len();
        let bytes = source.bytes(&self.scratch);
        let end = parse_batch(conn, &mut self.gathered, &self.server, client, bytes, 0, BATCH_MAX);
        self.segments.push(Segment { client, source, commands: first..self.gathered.commands.len(), end });
    }

    /// Runs the gathered commands, connection by connection in the order they came.
    fn run_gathered(&mut self, now: Now, time_ns: &mut u64) {
        if self.gathered.commands.len() > 1 {
            let db = |client: ClientId| &self.server.dbs[self.server.clients[client].db];
            for segment in &self.segments {
                let (db, commands) = (db(segment.client), &self.gathered.commands[segment.commands.clone()]);
                commands.iter().filter_map(|command| command.hash).for_each(|hash| db.prefetch_entry(hash));
            }
            for segment in &self.segments {
                let (commands, bytes) = (segment.commands.clone(), segment.source.bytes(&self.scratch));
                self.gathered.prefetch_members(db(segment.client), commands, bytes);
            }
        }
        let mut segments = std::mem::take(&mut self.segments);
        for segment in segments.drain(..) {
            let client = segment.client;
            self.process(segment, now, time_ns);
            // Before anybody else's next reply: what happened first is seen first.
            self.deliver();
            self.resume();
            self.requeue(client);
        }
        self.segments = segments;
        self.gathered.clear();
        self.scratch_used = 0;
    }

    /// Puts a connection back into the ready list if it has more to read or to run.
    #[inline]
    fn requeue(&mut self, client: ClientId) {
        let Some(conn) = self.conns.get_mut(client) else { return };
        let session = &self.server.clients[client];
        let waits = session.blocked.is_some() || session.closing;
        let more = if waits { conn.readable && !session.killed } else { conn.has_more() };
        if more && !conn.queued {
            conn.queued = true;
            self.ready.push_back(client);
        }
    }

    /// Reads from a client that waits or is about to be closed: behind all it has sent may come its end. What a waiting
    /// client sends is kept for later, what a closing one sends is dropped.
    #[cold]
    fn look_after(&mut self, client: ClientId, now: Now, time_ns: &mut u64) {
        let (conn, session) = (&mut self.conns[client], &mut self.server.clients[client]);
        if conn.broken {
            return self.kill(client);
        }
        if !conn.readable || session.killed {
            return;
        }
        let scratch = &mut self.scratch[self.scratch_used..];
        let looked = if session.closing { conn.discard(scratch) } else { conn.read_ahead(scratch) };
        match looked {
            Ok(Looked::Read(count)) if !session.closing => {
                note_input(session, &mut self.server.stats, count, now);
                session.buffers.query_bytes = conn.unparsed_bytes();
                self.check_query_limit(client);
            }
            Ok(Looked::Read(_) | Looked::Nothing) => {}
            // It may still be taking its last replies.
            Ok(Looked::End) if session.closing => (conn.readable, conn.hung_up) = (false, true),
            Ok(Looked::End) => self.kill(client),
            Err(error) => {
                log::debug!("Reading from client: {error}");
                self.kill(client);
            }
        }
        *time_ns = self.clock.mono_ns();
        self.requeue(client);
    }

    /// Disconnects a client that has sent more than it may before its commands have run.
    fn check_query_limit(&mut self, client: ClientId) {
        let Reactor { server, conns, .. } = self;
        let session = &server.clients[client];
        // What MULTI has queued has not run either.
        let queued_bytes = session.transaction.as_ref().map_or(0, |queued| queued.heap_bytes());
        if (conns[client].unparsed_bytes() + queued_bytes) as u64 > server.config.client_query_buffer_limit {
            log::warn!("Closing client that reached max query buffer length: {}", session.peer);
            server.stats.query_limit_disconnections += 1;
            self.kill(client);
        }
    }

    /// The client will send no more: it is closed once its replies are out.
    fn finish_input(&mut self, client: ClientId) {
        log::debug!("Client closed connection {}", self.server.clients[client].peer);
        self.server.clients[client].closing = true;
        let conn = &mut self.conns[client];
        (conn.readable, conn.hung_up) = (false, true);
        self.queue_flush(client);
    }

    /// Hands published messages, and replies to clients that waited, to the outputs of their receivers.
    #[inline]
    fn deliver(&mut self) {
        if !self.server.outbox.is_empty() {
            self.deliver_posts();
        }
    }

    #[cold]
    fn deliver_posts(&mut self) {
        let mut outbox = std::mem::take(&mut self.server.outbox);
        let limits = self.server.config.client_output_buffer_limit;
        for client in outbox.take_over_limit() {
            self.server.cut_off(client);
        }
        for (client, text, query) in outbox.posts() {
            let (conn, session) = (&mut self.conns[client], &mut self.server.clients[client]);
            session.posted_bytes = 0;
            // A result that may be held back is nothing to be disconnected for.
            let held_back = query.is_some() && !session.is_sent_messages();
            let hard_bytes = if held_back { 0 } else { limit_of(limits, session).hard_bytes };
            if session.closing {
                continue;
            }
            self.pool.lend(&mut conn.out);
            if !conn.flushing {
                conn.flushing = true;
                self.flush.push(client);
            }
            conn.out.set_limit(hard_bytes);
            match query {
                Some(query) => self.server.hand_over(client, query, text, &mut conn.out),
                None => conn.out.push_shared(text),
            }
            if conn.out.is_over_limit() {
                self.server.cut_off(client);
            }
        }
        outbox.clear();
        self.server.outbox = outbox;
    }

    /// Lets clients go on that waited for keys and have been served.
    #[inline]
    fn resume(&mut self) {
        if !self.server.clients.resumed.is_empty() {
            self.requeue_resumed();
        }
    }

    #[cold]
    fn requeue_resumed(&mut self) {
        for client in std::mem::take(&mut self.server.clients.resumed) {
            if self.conns.get(client).is_some() {
                self.requeue(client);
            }
        }
    }

    fn queue_flush(&mut self, client: ClientId) {
        let conn = &mut self.conns[client];
        if !conn.flushing {
            conn.flushing = true;
            self.flush.push(client);
        }
    }

    /// Closes a connection at the end of the turn; until then nothing is done for its client.
    fn kill(&mut self, client: ClientId) {
        self.server.kill(client);
    }

    /// Runs the commands of one connection, then parses and runs what else its input holds; keeps what is left.
    fn process(&mut self, segment: Segment, now: Now, time_ns: &mut u64) {
        let Reactor { server, conns, scratch, gathered, batch, pool, flush, .. } = self;
        let Segment { client, source, commands, mut end } = segment;
        let conn = &mut conns[client];
        if server.clients[client].closing {
            // Another client has killed it after its commands were gathered.
            return;
        }
        pool.lend(&mut conn.out);
        let bytes = source.bytes(scratch);
        conn.out.set_limit(limit_of(server.config.client_output_buffer_limit, &server.clients[client]).hard_bytes);
        let mut left = COMMANDS_PER_TURN_MAX - commands.len();
        let mut stopped = run_batch(
            server,
            client,
            &gathered.spans,
            &gathered.commands[commands],
            bytes,
            &mut conn.out,
            now,
            time_ns,
        );
        conn.partial = false;
        // Where the bytes begin that have to be kept.
        let keep = loop {
            if let Some(from) = stopped {
                conn.forget_partial();
                break from;
            }
            let from = match end {
                BatchEnd::Partial(from) => {
                    conn.partial = true;
                    break from;
                }
                BatchEnd::More(from) => from,
                BatchEnd::Error(error) => {
                    let text = error.text();
                    log::debug!("Protocol error from client: {}", String::from_utf8_lossy(&text));
                    let session = &mut server.clients[client];
                    session.closing = true;
                    server.stats.count_error(b"ERR");
                    Reply::new(&mut conn.out, session.proto).error_text(&text);
                    conn.forget_partial();
                    break bytes.len();
                }
            };
            if left == 0 {
                break from;
            }
            // The client is closed if what the kernel takes leaves it over its limit; until then nothing is added.
            if conn.out.is_over_limit() {
                break from;
            }
            batch.clear();
            end = parse_batch(conn, batch, server, client, bytes, from, BATCH_MAX.min(left));
            let db = &server.dbs[server.clients[client].db];
            batch.commands.iter().filter_map(|command| command.hash).for_each(|hash| db.prefetch_entry(hash));
            batch.prefetch_members(db, 0..batch.commands.len(), bytes);
            left -= batch.commands.len();
            stopped = run_batch(server, client, &batch.spans, &batch.commands, bytes, &mut conn.out, now, time_ns);
        };
        if keep < bytes.len() {
            match source {
                Source::Scratch(range) => conn.input.extend_from_slice(&scratch[range][keep..]),
                Source::Input(input) => conn.keep_input(input, keep),
            }
        }
        let session = &server.clients[client];
        if conn.out.is_cut() {
            server.cut_off(client);
        } else if conn.hung_up && session.blocked.is_some() {
            self.kill(client);
        } else {
            if !conn.flushing {
                conn.flushing = true;
                flush.push(client);
            }
            // An ordinary client, whose commands have all run, has nothing that would count.
            if !conn.input.is_empty() || session.transaction.is_some() {
                self.check_query_limit(client);
            }
        }
    }

    fn run_timers(&mut self, now: Now) {
        self.work_left = self.cron.expire(&mut self.server, now);
        self.deliver();
        self.wake_clients(now);
        self.work_left |= !reactive::evaluate_due(&mut self.server, now) | self.server.go_on();
        if self.server.is_unsettled() {
            let mut time_ns = self.clock.mono_ns();
            settle::serve(&mut self.server, now, &mut time_ns);
            self.work_left |= self.server.watchers.reactive.has_touched();
        }
        self.deliver();
        self.resume();
        self.cron.run(&mut self.server, now);
        let now_ms = now.mono_ms();
        if now_ms >= self.clients_walked_ms + CLIENTS_WALK_MS {
            self.clients_walked_ms = now_ms;
            self.walk_clients(now_ms);
            self.retry_accept();
        }
        if let Some(watchdog) = &mut self.watchdog {
            watchdog.mark(now_ms);
        }
    }

    /// Lets clients go on whose wait is over.
    fn wake_clients(&mut self, now: Now) {
        let mut due = Vec::new();
        self.work_left |= wake::due(&mut self.server, now, &mut due);
        for client in due {
            wake::wake(&mut self.server, client, &mut self.conns[client].out);
            self.queue_flush(client);
            self.requeue(client);
        }
    }

    /// Once a second: idle clients and clients over their soft output limit.
    fn walk_clients(&mut self, now_ms: u64) {
        let timeout_ms = u64::from(self.server.config.timeout) * 1000;
        let limits = self.server.config.client_output_buffer_limit;
        for conn in self.conns.iter_mut() {
            let client = conn.client;
            let session = &self.server.clients[client];
            let limit = limit_of(limits, session);
            let idle = timeout_ms > 0
                && !self.server.is_listening(client)
                && session.blocked.is_none()
                && now_ms - session.active_ms > timeout_ms;
            let soft = limit.soft_bytes > 0 && conn.out.len() as u64 > limit.soft_bytes;
            let since_ms = *conn.soft_over_ms.get_or_insert(now_ms);
            if !soft {
                conn.soft_over_ms = None;
            }
            let closing_ms_max = if conn.hung_up { HALF_CLOSED_MS_MAX } else { CLOSING_MS_MAX };
            let stuck = session.closing && now_ms - session.active_ms > closing_ms_max;
            let over = soft && now_ms - since_ms >= u64::from(limit.soft_seconds) * 1000;
            if idle {
                log::debug!("Closing idle client");
            }
            if stuck {
                log::debug!("Closing client that does not take its last replies");
            }
            if over {
                self.server.note_cut_off(client);
            }
            if idle || over || stuck {
                self.server.clients.kills.push(client);
            }
        }
    }

    /// Settings that CONFIG SET changed and that concern the loop.
    fn act_on_config(&mut self) {
        let Some(sockets) = self.server.process.new_listeners.take() else { return };
        let Err(error) = self.listen(sockets) else { return };
        log::error!("Listening on the new addresses: {error}; the old ones stay");
        for socket in &self.server.process.listening {
            if let Err(error) = socket.resume(self.server.config.tcp_backlog) {
                log::error!("Listening on {} again: {error}", socket.address);
            }
        }
    }

    /// Replaces the listening sockets; if that fails, those there are remain.
    fn listen(&mut self, sockets: Vec<BoundSocket>) -> io::Result<()> {
        let registry = self.poll.registry();
        let handles = sockets.iter().map(BoundSocket::try_clone).collect::<io::Result<_>>()?;
        let token = |i| Token(TOKEN_LISTENERS - i);
        let listeners =
            sockets.into_iter().enumerate().map(|(i, socket)| Listener::register(socket, registry, token(i)));
        let listeners = listeners.collect::<io::Result<_>>()?;
        self.listeners.iter_mut().for_each(|listener| listener.deregister(registry));
        (self.listeners, self.server.process.listening) = (listeners, handles);
        self.accepting = true;
        Ok(())
    }

    /// One write for every client that has replies.
    fn send(&mut self, now: Now) {
        let Reactor { server, conns, pool, flush, .. } = self;
        flush.retain(|&client| conns.get_mut(client).is_some_and(|conn| send_replies(server, client, conn, pool, now)));
        self.work_left |= !self.flush.is_empty();
    }

    fn close_killed(&mut self) {
        if self.server.clients.kills.is_empty() {
            return;
        }
        for client in std::mem::take(&mut self.server.clients.kills) {
            let Some(mut conn) = self.conns.remove(client) else { continue };
            conn.deregister(self.poll.registry());
            let (bytes, buffers) = conn.take_buffers();
            if bytes >= FREED_APART_BYTES_MIN {
                self.server.background.free(Box::new(buffers));
            }
            self.server.forget(client);
        }
        self.retry_accept();
    }

    fn count_turn(&mut self, now: Now) {
        let ended_ns = self.clock.mono_ns();
        let took_ns = ended_ns - now.mono_ns;
        self.ended = self.clock.at(ended_ns);
        let stats = &mut self.server.stats;
        stats.turns += 1;
        stats.turn_ns += took_ns;
        stats.turn_ns_max = stats.turn_ns_max.max(took_ns);
    }
}

fn note_input(session: &mut Session, stats: &mut Stats, count: usize, now: Now) {
    session.active_ms = now.mono_ms();
    session.net_in_bytes += count as u64;
    stats.net_in_bytes += count as u64;
    stats.reads += 1;
}

fn token_of(client: ClientId) -> Token {
    // 31 bits of the serial number keep the token below those of listeners and signals.
    Token(client.slot() | ((client.serial() & 0x7fff_ffff) as usize) << 32)
}

#[cfg(test)]
#[path = "reactor_tests.rs"]
mod tests;
