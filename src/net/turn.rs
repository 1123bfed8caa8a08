//! One turn of the loop, without sockets. A [`Turn`] owns the server and the connections, over whatever carries their bytes;
//! whoever drives it admits clients, notes what has become readable, and runs one turn after another:
//!
//! 1. serve ready connections: read, parse a batch, prefetch its keys, run its commands;
//! 2. timers: due keys, waiting clients, live queries, housekeeping, each within a budget; a slice of the long commands, of what
//!    is to be loaded, or of the snapshot that is being made;
//! 3. what the driver has to do before the replies say that it was done;
//! 4. append what was changed to the log;
//! 5. send the replies, one write per client, those that need not wait for the disk;
//! 6. close what has to be closed.
//!
//! What a turn leaves undone (a long pipeline, more due keys) is remembered: [`Turn::has_work`] says that the next one should
//! follow at once, [`Turn::next_due_ms`] when it should at the latest. Knows no poll, no descriptors, no listeners and no
//! signals, and takes the time only from the server's clock, so that a test or a simulation drives it as the loop does.

use crate::base::clock::{Now, TurnClock};
use crate::base::heap;
use crate::engine::cron::Cron;
use crate::engine::{jobs, links, persistence, reactive, scripting, settle, wake};
use crate::resp::out::Out;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::busy_keys::BusyKeys;
use crate::server::outgoing::{LinkKind, Wanted};
use crate::server::phases::Phase;
use crate::server::session::Blocked;

use super::batch::{BATCH_MAX, Batch, BatchEnd, Commands, Segment, parse_batch, run_batch};
use super::clients;
use super::conn::{BufferPool, Conns};
use super::input::{Filled, Source};
use super::transport::{Readiness, Transport};

pub use super::clients::Peer;
pub use crate::feature::client_id::ClientId;

/// The buffer all connections share: the most that is read from one of them in one turn.
const READ_BYTES_MAX: usize = 64 * 1024;
/// With less room than this left in it, the gathered commands run before the next connection is read.
const READ_BYTES_MIN: usize = 16 * 1024;
/// Commands one connection may run in one turn.
const COMMANDS_PER_TURN_MAX: usize = 1024;
/// Once a turn has worked this long, the connections not served yet wait for the next one.
const TURN_BUDGET_NS: u64 = 500_000;
/// Milliseconds between two walks over the clients for timeouts and soft limits.
const CLIENTS_WALK_MS: u64 = 1000;
/// Longest time without a turn, so that housekeeping never waits longer.
const SLEEP_MS_MAX: u64 = 1000;

/// The server with its connections.
#[derive(Debug)]
pub struct Turn<T> {
    /// What the commands work on.
    pub server: Server,
    cron: Cron,
    clock: TurnClock,
    pub(super) conns: Conns<T>,
    /// What connections are read into.
    pub(super) scratch: Box<[u8]>,
    /// Bytes of `scratch` that gathered segments use.
    pub(super) scratch_used: usize,
    /// Commands of the connections gathered so far, and who sent them.
    gathered: Batch,
    segments: Vec<Segment>,
    /// Commands of a long pipeline, beyond its first batch.
    batch: Batch,
    pool: BufferPool,
    /// Transports of connections that have been closed and that the driver has not taken yet.
    pub(super) closed: Vec<T>,
    clients_walked_ms: u64,
    /// When the last turn ended.
    ended: Now,
    /// Something could go on at once.
    work_left: bool,
}

impl<T: Transport> Turn<T> {
    /// A server without connections, before its first turn.
    pub fn new(server: Server) -> Turn<T> {
        Turn {
            cron: Cron::default(),
            clock: TurnClock::new(std::rc::Rc::clone(&server.clock)),
            server,
            conns: Conns::default(),
            scratch: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            scratch_used: 0,
            gathered: Batch::default(),
            segments: Vec::new(),
            batch: Batch::default(),
            pool: BufferPool::default(),
            closed: Vec::new(),
            clients_walked_ms: 0,
            ended: Now::default(),
            work_left: true,
        }
    }

    /// The time, to be taken once for each turn.
    #[inline]
    pub fn take_time(&mut self) -> Now {
        self.clock.now()
    }

    /// One turn, as the module header lists it. `before_replies` is the driver's part: a client that reads that a setting was
    /// changed finds it changed.
    pub fn run(&mut self, now: Now, before_replies: impl FnOnce(&mut Server)) {
        self.server.phases.pass(Phase::Wait, now.mono_ns);
        self.serve(now);
        self.run_timers(now);
        before_replies(&mut self.server);
        self.log_turn(now);
        self.deliver();
        self.queue_replicas();
        self.work_left |= self.conns.send(&mut self.server, &mut self.pool, now);
        self.server.trim_backlog();
        self.work_left |= self.server.log_turn_ends(self.conns.shut_count());
        self.evict_clients(now);
        self.close_killed();
        self.work_left |= links::may_jobs_go_on(&self.server);
        self.count_turn(now);
        debug_assert!(
            !self.server.propagation.is_open() || self.server.scripting.is_parked(),
            "what is passed on is whole when a turn is over"
        );
        if cfg!(debug_assertions) {
            self.conns.check();
        }
    }

    /// Has the log and the replicas told of what was changed. The time up to it is that of the timers.
    fn log_turn(&mut self, now: Now) {
        let is_logging = self.server.is_logging() || self.server.replication.is_active();
        if is_logging || self.server.phases.is_detailed() {
            self.end_phase(Phase::Timers);
        }
        if !is_logging {
            return;
        }
        self.work_left |= self.server.replicate(now) | self.server.log_turn(now);
        self.server.phases.lap(Phase::Log, self.clock.mono_ns());
    }

    /// A phase ends now that is measured in some turns only.
    #[cold]
    #[inline(never)]
    fn end_phase(&mut self, phase: Phase) {
        self.server.phases.pass(phase, self.clock.mono_ns());
    }

    /// To be called when the last turn is over: the log comes to the disk, and the replies that wait for that leave. Blocks.
    pub fn finish(&mut self, now: Now) {
        if let Err(error) = self.server.finish_log(now) {
            log::error!("Error {} the append-only file {}: {}", error.doing, error.path.display(), error.error);
        }
        self.conns.send(&mut self.server, &mut self.pool, now);
    }

    /// True if the next turn should follow at once: there are commands to run, keys to expire or bytes to send.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.work_left || self.conns.ready_count() > 0
    }

    /// The monotonic millisecond at which the next turn should be run at the latest if no connection becomes ready: that of the
    /// next timer of any kind, and no more than a second after the last turn.
    pub fn next_due_ms(&self) -> u64 {
        let due = self.cron.next_due_ms(&self.server, self.ended);
        let pause = self.server.pause.map(|pause| pause.until_ms);
        let latest = self.ended.mono_ms() + SLEEP_MS_MAX;
        due.into_iter().chain(pause).fold(latest, u64::min)
    }

    /// The monotonic clock, now; nanoseconds since the server started.
    #[inline]
    pub fn mono_ns(&self) -> u64 {
        self.clock.mono_ns()
    }

    /// When the last turn ended.
    #[inline]
    pub fn ended(&self) -> Now {
        self.ended
    }

    /// The transports of connections that have been closed since this was last asked.
    pub fn take_closed(&mut self) -> Vec<T> {
        std::mem::take(&mut self.closed)
    }

    /// The next connection that the server wants made, by [`Turn::admit_outgoing`].
    pub fn take_wanted(&mut self) -> Option<Wanted> {
        self.server.outgoing.take_wanted()
    }

    /// A connection that the server wanted could not be made.
    pub fn connect_failed(&mut self, kind: LinkKind, error: &std::io::Error) {
        links::connect_failed(&mut self.server, kind, error);
    }

    /// How many connections there are. O(clients).
    pub fn connections(&self) -> usize {
        self.conns.len()
    }

    /// The transport of a connection, if it is still there.
    pub fn transport_mut(&mut self, client: ClientId) -> Option<&mut T> {
        self.conns.get_mut(client).map(|conn| &mut conn.link.transport)
    }

    /// Notes what has become of a connection's transport. Nothing happens if the connection is gone.
    #[inline]
    pub fn note(&mut self, client: ClientId, readiness: Readiness) {
        let Some(conn) = self.conns.get_mut(client) else { return };
        let link = &mut conn.link;
        let may_send = readiness.writable && !link.writable && (!conn.out.is_empty() || conn.is_replica);
        link.writable |= readiness.writable;
        link.hung_up |= readiness.read_closed;
        link.broken |= readiness.write_closed;
        let hung_up = link.hung_up;
        if readiness.readable || hung_up {
            link.readable = true;
            self.conns.queue_ready(client);
        }
        if may_send {
            self.conns.queue_flush(client);
        }
        let is_awaited = self.server.clients[client].blocked.is_some_and(|blocked| blocked != Blocked::Link);
        if hung_up && is_awaited {
            // Nobody would take what it waits for.
            self.server.kill(client);
        }
    }

    /// Serves the ready connections, several at a time: their commands are gathered first, so that one's keys load while
    /// the next one's bytes are read.
    fn serve(&mut self, now: Now) {
        let mut time_ns = now.mono_ns;
        for _ in 0..self.conns.ready_count() {
            if time_ns - now.mono_ns > TURN_BUDGET_NS {
                break;
            }
            let Some(client) = self.conns.next_ready() else { break };
            self.gather(client, now, &mut time_ns);
        }
        self.run_gathered(now, &mut time_ns);
    }

    /// Reads from one connection and parses the first commands of what has arrived.
    fn gather(&mut self, client: ClientId, now: Now, time_ns: &mut u64) {
        let room = READ_BYTES_MAX - self.scratch_used;
        let is_full = room < READ_BYTES_MIN || self.gathered.commands.len() >= BATCH_MAX;
        if is_full || self.conns[client].input.is_long_resume() {
            self.run_gathered(now, time_ns);
        }
        let (conn, session) = (&mut self.conns[client], &self.server.clients[client]);
        if session.blocked.is_some() || session.closing {
            self.look_after(client, now);
            *time_ns = self.clock.mono_ns();
            return;
        }
        let source = if conn.input.has_held() {
            conn.input.take_held()
        } else if conn.link.readable || conn.input.is_ahead() {
            let is_counted = conn.input.is_ahead();
            let (source, count) = match conn.input.fill(&mut conn.link, &mut self.scratch, self.scratch_used) {
                Ok(Filled::Bytes(source, count)) => (source, count),
                Ok(Filled::Nothing) => return self.requeue(client),
                Ok(Filled::End) => return self.finish_input(client),
                Err(error) => return self.fail(client, &error),
            };
            if !is_counted {
                clients::note_input(&mut self.server, client, count, now);
            }
            match &source {
                Source::Scratch(range) => self.scratch_used = range.end,
                // Much may have been read, and perhaps no command runs yet that would look at the clock.
                Source::Own(_) => *time_ns = self.clock.mono_ns(),
            }
            source
        } else {
            return;
        };
        debug_assert!(
            self.segments.iter().all(|segment| segment.client != client),
            "read twice before it was processed"
        );
        let is_detailed = self.server.phases.is_detailed();
        if is_detailed {
            self.end_phase(Phase::Read);
        }
        let first = self.gathered.commands.len();
        let (bytes, input) = (source.bytes(&self.scratch), &mut self.conns[client].input);
        let end = parse_batch(input, &mut self.gathered, &self.server, client, bytes, 0, BATCH_MAX);
        let commands = first..self.gathered.commands.len();
        self.server.stats.client_events += 1;
        self.server.stats.note_parsed(commands.len());
        self.segments.push(Segment { client, source, commands, end });
        if is_detailed {
            self.end_phase(Phase::Parse);
        }
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
        if self.segments.is_empty() {
            return;
        }
        if self.server.phases.is_detailed() {
            self.count_busy_key();
        }
        // What was read and parsed is no part of the first command's time, unless that is estimated.
        let is_estimated = !self.server.phases.is_detailed()
            && self.gathered.one_quick().is_some_and(|command| self.server.observer.estimate_next(command));
        if !is_estimated {
            *time_ns = self.clock.mono_ns();
            self.server.phases.pass(Phase::Parse, *time_ns);
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
        self.server.observer.time_next();
        if self.server.observer.is_in_row() {
            self.server.end_row_early();
        }
        self.server.phases.pass(Phase::Execute, *time_ns);
    }

    /// Counts the key of one of the gathered commands, in some turns.
    #[cold]
    fn count_busy_key(&mut self) {
        let count = self.gathered.commands.len();
        let Some(chosen) = BusyKeys::choose(self.server.phases.turns(), count) else { return };
        let Some(segment) = self.segments.iter().find(|segment| segment.commands.contains(&chosen)) else { return };
        if let Some(key) = self.gathered.first_key(chosen, segment.source.bytes(&self.scratch)) {
            let Server { clients, dbs, busy_keys, .. } = &mut self.server;
            busy_keys.add(dbs.number(clients[segment.client].db), key, count);
        }
    }

    /// Runs the commands of one connection, then parses and runs what else its input holds; keeps what is left.
    fn process(&mut self, segment: Segment, now: Now, time_ns: &mut u64) {
        let Turn { server, conns, scratch, gathered, batch, pool, .. } = self;
        let Segment { client, source, commands, mut end } = segment;
        let conn = &mut conns[client];
        if server.clients[client].closing {
            // Another client has killed it after its commands were gathered.
            return conn.input.clear();
        }
        pool.lend(&mut conn.out);
        let bytes = source.bytes(scratch);
        conn.out.set_limit(server.output_limit_of(client).hard_bytes);
        let mut left = COMMANDS_PER_TURN_MAX - commands.len();
        let first = Commands { parsed: &gathered.commands[commands], spans: &gathered.spans, bytes };
        let mut stopped = run_batch(server, client, first, &mut conn.out, now, time_ns);
        // Where the bytes begin that have to be kept, and whether they are a partial command.
        let (from, is_partial) = loop {
            if let Some(from) = stopped {
                break (from, false);
            }
            let from = match end {
                BatchEnd::Partial(from) => break (from, true),
                BatchEnd::More(from) => from,
                BatchEnd::Error(error) => {
                    let text = error.text();
                    log::debug!("Protocol error from client: {}", server.shown_in_log(&text));
                    let session = &mut server.clients[client];
                    session.closing = true;
                    server.stats.count_error(b"ERR");
                    Reply::new(&mut conn.out, session.proto).error_text(&text);
                    break (bytes.len(), false);
                }
            };
            // The client is closed if what the transport takes leaves it over its limit; until then nothing is added.
            if left == 0 || conn.out.is_over_limit() {
                break (from, false);
            }
            batch.clear();
            server.observer.time_next();
            if server.observer.is_in_row() {
                server.end_row_early();
            }
            server.phases.pass(Phase::Execute, *time_ns);
            end = parse_batch(&mut conn.input, batch, server, client, bytes, from, BATCH_MAX.min(left));
            server.stats.note_parsed(batch.commands.len());
            *time_ns = server.clock.mono_ns();
            server.phases.pass(Phase::Parse, *time_ns);
            let db = &server.dbs[server.clients[client].db];
            batch.commands.iter().filter_map(|command| command.hash).for_each(|hash| db.prefetch_entry(hash));
            batch.prefetch_members(db, 0..batch.commands.len(), bytes);
            left -= batch.commands.len();
            let more = Commands { parsed: &batch.commands, spans: &batch.spans, bytes };
            stopped = run_batch(server, client, more, &mut conn.out, now, time_ns);
        };
        conn.input.keep(source, scratch, from, is_partial);
        conn.seen = server.propagation.position();
        let session = &server.clients[client];
        if conn.out.is_cut() {
            server.cut_off(client);
        } else if conn.link.hung_up && session.blocked.is_some() && session.link.is_none() {
            server.kill(client);
        } else {
            // An ordinary client, whose commands have all run, has nothing that would count.
            let has_input = !conn.input.is_empty() || session.transaction.is_some();
            conns.queue_flush(client);
            if has_input {
                self.check_query_limit(client);
            }
        }
    }

    /// Puts a connection back into the ready list if it has more to read or to run.
    #[inline]
    pub(super) fn requeue(&mut self, client: ClientId) {
        let Some(conn) = self.conns.get_mut(client) else { return };
        let session = &self.server.clients[client];
        let waits = session.blocked.is_some() || session.closing;
        let more = if waits { conn.link.readable && !session.killed } else { conn.has_more() };
        if more {
            self.conns.queue_ready(client);
        }
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
        for client in outbox.take_over_limit() {
            self.server.cut_off(client);
        }
        for (client, text, query) in outbox.posts() {
            let session = &mut self.server.clients[client];
            session.posted_bytes = 0;
            if session.closing {
                continue;
            }
            // A result that may be held back is nothing to be disconnected for.
            let held_back = query.is_some() && !session.is_sent_messages();
            let hard_bytes = if held_back { 0 } else { self.server.output_limit_of(client).hard_bytes };
            let Some(conn) = self.conns.get_mut(client) else { continue };
            self.pool.lend(&mut conn.out);
            conn.out.set_limit(hard_bytes);
            if conn.is_replica {
                // What becomes of one that does not read is seen when it is sent something.
                conn.out.push_shared_beyond_limit(text);
                self.conns.queue_flush(client);
                continue;
            }
            match query {
                Some(query) => self.server.hand_over(client, query, text, &mut conn.out),
                None => conn.out.push_shared(text),
            }
            conn.seen = self.server.propagation.position();
            if conn.out.is_over_limit() {
                self.server.cut_off(client);
            }
            self.conns.queue_flush(client);
        }
        outbox.clear();
        debug_assert!(self.server.outbox.is_empty(), "to deliver messages makes none");
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
            self.requeue(client);
        }
    }

    fn run_timers(&mut self, now: Now) {
        self.expire(now);
        if self.server.scripting.is_parked() {
            self.go_on_with_script(now);
        }
        if self.server.jobs.may_hold() {
            self.go_on_with_jobs(now);
        }
        self.evict(now);
        self.work_left |= links::step(&mut self.server, now);
        self.deliver();
        self.wake_clients(now);
        self.work_left |= !reactive::evaluate_due(&mut self.server, now) | self.go_on();
        if self.server.is_unsettled() {
            let mut time_ns = self.clock.mono_ns();
            settle::serve(&mut self.server, now, &mut time_ns);
            self.work_left |= self.server.watchers.reactive.has_touched();
        }
        self.server.tell_changes();
        self.deliver();
        self.resume();
        self.cron.run(&mut self.server, now);
        self.step_persistence(now);
        let now_ms = now.mono_ms();
        if now_ms >= self.clients_walked_ms + CLIENTS_WALK_MS {
            self.clients_walked_ms = now_ms;
            self.walk_clients(now_ms);
            self.note_buffers();
        }
    }

    /// Tells the server what connections share on the heap, and gives back what they have left behind.
    fn note_buffers(&mut self) {
        let Turn { server, conns, pool, gathered, batch, segments, .. } = self;
        conns.shrink();
        server.clients.shrink();
        server.clients.connections_bytes = conns.heap_bytes();
        let batches = gathered.heap_bytes() + batch.heap_bytes() + heap::vec(segments);
        server.clients.shared_buffers_bytes = pool.heap_bytes() + batches;
    }

    /// Removes keys that are due.
    fn expire(&mut self, now: Now) {
        let changes = self.server.stats.dirty;
        self.work_left = self.cron.expire(&mut self.server, now);
        if self.server.stats.dirty != changes {
            let took_ns = self.server.phases.lap(Phase::Expire, self.clock.mono_ns());
            self.server.note_latency("expire-cycle", took_ns);
        }
    }

    /// Lets keys go while more memory is in use than allowed.
    fn evict(&mut self, now: Now) {
        let evicted = self.server.stats.evicted_keys;
        self.work_left |= self.server.evict_in_turn(now);
        if self.server.stats.evicted_keys != evicted {
            self.server.eviction.note_settled();
            self.server.phases.lap(Phase::Free, self.clock.mono_ns());
        }
    }

    /// A slice of a script that is parked.
    #[cold]
    fn go_on_with_script(&mut self, now: Now) {
        self.server.phases.lap(Phase::Timers, self.clock.mono_ns());
        self.work_left |= scripting::step(&mut self.server, now);
        self.server.phases.lap(Phase::Execute, self.clock.mono_ns());
    }

    /// A slice of the commands that run slice by slice.
    #[cold]
    fn go_on_with_jobs(&mut self, now: Now) {
        self.server.phases.pass(Phase::Timers, self.clock.mono_ns());
        self.work_left |= jobs::step(&mut self.server, now);
        self.server.phases.lap(Phase::Jobs, self.clock.mono_ns());
        self.deliver();
        self.resume();
    }

    /// A turn's part of what takes several. True if there is more.
    fn go_on(&mut self) -> bool {
        let is_measured = self.server.clients.members.has_gone();
        if is_measured {
            self.server.phases.pass(Phase::Timers, self.clock.mono_ns());
        }
        let more = self.server.go_on();
        if is_measured {
            self.server.phases.lap(Phase::Free, self.clock.mono_ns());
        }
        more
    }

    /// A slice of a snapshot, or of what is being loaded.
    fn step_persistence(&mut self, now: Now) {
        let is_measured = self.server.persistence.snapshots.is_running() || self.server.is_loading();
        if is_measured {
            self.server.phases.pass(Phase::Timers, self.clock.mono_ns());
        }
        self.work_left |= persistence::step(&mut self.server, now);
        if is_measured {
            let took_ns = self.server.phases.lap(Phase::Snapshot, self.clock.mono_ns());
            if !self.server.is_loading() {
                self.server.note_latency("snapshot", took_ns);
            }
        }
    }

    /// Lets clients go on whose wait is over.
    fn wake_clients(&mut self, now: Now) {
        let mut due = Vec::new();
        self.work_left |= wake::due(&mut self.server, now, &mut due);
        for client in due {
            // A session without a connection is sent nothing.
            let mut nowhere = Out::default();
            let position = self.server.propagation.position();
            let out = self.conns.get_mut(client).map_or(&mut nowhere, |conn| {
                conn.seen = position;
                &mut conn.out
            });
            wake::wake(&mut self.server, client, out, now);
            self.conns.queue_flush(client);
            self.requeue(client);
        }
    }

    fn count_turn(&mut self, now: Now) {
        let ended_ns = self.clock.mono_ns();
        let took_ns = ended_ns - now.mono_ns;
        self.ended = self.clock.at(ended_ns);
        self.server.phases.end_turn(ended_ns);
        self.server.stats.note_turn(took_ns);
    }
}

#[cfg(test)]
#[path = "turn_tests.rs"]
mod tests;
