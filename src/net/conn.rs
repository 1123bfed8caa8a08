//! The connections: each with its link, its input and its output, and lists of those that have something to do.
//!
//! [`Conns`] addresses a connection by its session's slot. A session need not have one: the server itself runs commands for a
//! session that nothing is sent to. A connection is in the ready list exactly while its `queued` is set, and in
//! the flush list while its `flushing` is; each list has it once.

use std::collections::VecDeque;
use std::ops::{Index, IndexMut};

use crate::base::clock::Now;
use crate::base::heap;
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::clients::ROOM_KEPT_MAX;
use crate::server::persistence::log::Hold;
use crate::server::session::Buffers;

use super::gate::Gate;
use super::input::Input;
use super::transport::{Link, Transport};

/// Output buffers kept for reuse, and the largest that is kept.
const POOL_BUFFERS_MAX: usize = 256;
const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;
/// Bytes sent in one turn, of all connections together, beyond which each is sent little: the kernel copies them while everybody else
/// waits.
const SENT_BYTES_MAX: usize = 1024 * 1024;
/// What each connection may be sent all the same, so that all of them go on.
const SENT_BYTES_MIN: usize = 16 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Conn<T> {
    pub link: Link<T>,
    /// Whose it is.
    pub client: ClientId,
    pub input: Input,
    /// Replies not sent yet.
    pub out: Out,
    /// In the ready list.
    pub queued: bool,
    /// In the flush list.
    pub flushing: bool,
    /// What of the output may leave.
    pub gate: Gate,
    /// In the list of those whose output waits for the disk.
    shut: bool,
    /// Its client is a replica, which is sent the stream behind its output.
    pub is_replica: bool,
    /// The position of what had been passed on when something was last appended to the output.
    pub seen: u64,
    /// Since when (monotonic ms) the output has been over the soft limit.
    pub soft_over_ms: Option<u64>,
}

impl<T: Transport> Conn<T> {
    pub fn new(transport: T, client: ClientId) -> Conn<T> {
        Conn {
            link: Link::new(transport),
            client,
            input: Input::default(),
            out: Out::default(),
            queued: false,
            flushing: false,
            gate: Gate::default(),
            shut: false,
            is_replica: false,
            seen: 0,
            soft_over_ms: None,
        }
    }

    /// True if bytes have come that have not been parsed, or may have: in memory, or in the kernel.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.link.readable || self.input.has_more()
    }

    /// Sends what a client has been answered, in one write, and does what follows when all of it is out or more is left than its
    /// limit allows: `most` bytes at most. True if the transport takes more at once.
    fn send(&mut self, server: &mut Server, pool: &mut BufferPool, now: Now, hold: Option<Hold>, most: usize) -> bool {
        let client = self.client;
        let Server { clients, stats, .. } = server;
        let session = &mut clients[client];
        self.flushing = false;
        if session.killed {
            // It is closed at the end of this turn, and gets nothing more.
            return false;
        }
        if self.is_replica {
            return self.send_to_replica(server, pool, now, most);
        }
        let out_peak_bytes = self.out.len();
        let mut free = match hold {
            None => out_peak_bytes,
            Some(hold) => self.gate.pass(out_peak_bytes, self.seen, hold),
        };
        if self.link.writable && free > 0 {
            match self.link.send(&mut self.out, free.min(most)) {
                Ok(count) => {
                    free -= count;
                    self.gate.sent(count);
                    if count > 0 {
                        session.active_ms = now.mono_ms();
                    }
                    session.net_out_bytes += count as u64;
                    stats.net_out_bytes += count as u64;
                    stats.writes += 1;
                }
                Err(error) => {
                    log::debug!("Writing to client: {error}");
                    clients.kills.push(client);
                    return false;
                }
            }
        }
        if session.held_back {
            server.release_held(client, &mut self.out);
            self.seen = server.propagation.position();
        }
        let session = &server.clients[client];
        let left = self.out.len();
        if self.out.is_cut() {
            // Bytes are missing: what is left is no reply.
            server.cut_off(client);
        } else if left == 0 {
            pool.take_back(&mut self.out);
            if session.closing {
                server.clients.kills.push(client);
            }
        } else {
            let limit = server.output_limit_of(client);
            if limit.hard_bytes > 0 && left as u64 > limit.hard_bytes {
                server.cut_off(client);
            } else {
                // A short write: an event will tell when there is room again, unless one has told already.
                // What waits for the disk is sent when that has it; what has come just now is looked at in the next turn.
                let has_new = left > out_peak_bytes;
                self.flushing = self.link.writable && (hold.is_none() || free > 0 || has_new);
            }
        }
        server.clients[client].buffers = Buffers {
            query_bytes: self.input.unparsed_bytes(),
            query_free_bytes: self.input.free_bytes(),
            out_bytes: left,
            out_peak_bytes,
            out_chunks: self.out.chunks(),
            out_heap_bytes: self.out.heap_bytes(),
        };
        server.count_client_bytes(client);
        self.flushing
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Conns<T> {
    /// By the slots of their clients' sessions.
    slots: Vec<Option<Conn<T>>>,
    /// Those with bytes to read or commands to run.
    ready: VecDeque<ClientId>,
    /// Those with replies to send.
    flush: Vec<ClientId>,
    /// Those with bytes that wait for the disk.
    shut: Vec<ClientId>,
    /// What they waited for when they were last looked at.
    hold: Option<Hold>,
    /// A list has a connection that was removed.
    is_untidy: bool,
}

impl<T> Default for Conns<T> {
    fn default() -> Conns<T> {
        Conns {
            slots: Vec::new(),
            ready: VecDeque::new(),
            flush: Vec::new(),
            shut: Vec::new(),
            hold: None,
            is_untidy: false,
        }
    }
}

const GONE: &str = "this client is connected";

impl<T> Index<ClientId> for Conns<T> {
    type Output = Conn<T>;

    /// The connection of a client that is known to have one.
    #[inline]
    fn index(&self, client: ClientId) -> &Conn<T> {
        let conn = self.slots[client.slot()].as_ref().expect(GONE);
        debug_assert_eq!(conn.client, client, "{GONE}");
        conn
    }
}

impl<T> IndexMut<ClientId> for Conns<T> {
    #[inline]
    fn index_mut(&mut self, client: ClientId) -> &mut Conn<T> {
        let conn = self.slots[client.slot()].as_mut().expect(GONE);
        debug_assert_eq!(conn.client, client, "{GONE}");
        conn
    }
}

impl<T: Transport> Conns<T> {
    /// Adds the connection of a client that has none.
    pub fn insert(&mut self, conn: Conn<T>) {
        let slot = conn.client.slot();
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        debug_assert!(self.slots[slot].is_none(), "a session has one connection");
        self.slots[slot] = Some(conn);
    }

    /// A client's connection, unless it has gone or never had one.
    #[inline]
    pub fn get_mut(&mut self, client: ClientId) -> Option<&mut Conn<T>> {
        self.slots.get_mut(client.slot())?.as_mut().filter(|conn| conn.client == client)
    }

    /// Takes out a client's connection, if it has one; [`Conns::tidy`] has to follow before another one comes into its slot.
    pub fn remove(&mut self, client: ClientId) -> Option<Conn<T>> {
        let slot = self.slots.get_mut(client.slot())?;
        let conn = slot.take_if(|conn| conn.client == client)?;
        self.is_untidy |= conn.queued || conn.flushing || conn.shut;
        Some(conn)
    }

    /// Takes connections that have been removed out of the lists, if there are any. O(lists) then.
    pub fn tidy(&mut self) {
        if std::mem::take(&mut self.is_untidy) {
            let Conns { slots, ready, flush, shut, .. } = self;
            shut.retain(|client| slots[client.slot()].is_some());
            ready.retain(|client| slots[client.slot()].is_some());
            flush.retain(|client| slots[client.slot()].is_some());
        }
    }

    /// Bytes on the heap, without what connections have of their own.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.slots) + heap::deque(&self.ready) + heap::vec(&self.flush) + heap::vec(&self.shut)
    }

    /// Gives back most of the table's room when it has become far too large. O(room given back + connections) then.
    pub fn shrink(&mut self) {
        if self.slots.capacity() > ROOM_KEPT_MAX && self.slots.last().is_some_and(Option::is_none) {
            let used = self.slots.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            if used < self.slots.capacity() / 4 {
                self.slots.truncate(used);
                self.slots.shrink_to(2 * used);
            }
        }
    }

    /// How many there are. O(slots).
    pub fn len(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Conn<T>> {
        self.slots.iter_mut().flatten()
    }

    /// Connections in the ready list.
    #[inline]
    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Takes the first connection out of the ready list.
    #[inline]
    pub fn next_ready(&mut self) -> Option<ClientId> {
        let client = self.ready.pop_front()?;
        self[client].queued = false;
        Some(client)
    }

    /// Puts a client's connection, if it has one, into the ready list.
    #[inline]
    pub fn queue_ready(&mut self, client: ClientId) {
        if let Some(conn) = self.get_mut(client)
            && !conn.queued
        {
            conn.queued = true;
            self.ready.push_back(client);
        }
    }

    /// Puts a client's connection, if it has one, into the flush list.
    #[inline]
    pub fn queue_flush(&mut self, client: ClientId) {
        if let Some(conn) = self.get_mut(client)
            && !conn.flushing
        {
            conn.flushing = true;
            self.flush.push(client);
        }
    }

    /// One write for every connection in the flush list; small ones once large ones have been made. True if some transport takes
    /// more at once.
    pub fn send(&mut self, server: &mut Server, pool: &mut BufferPool, now: Now) -> bool {
        let hold = server.persistence.log.hold();
        if !self.shut.is_empty() {
            self.reopen(hold);
        }
        let Conns { slots, flush, shut, .. } = self;
        let before_bytes = server.stats.net_out_bytes;
        flush.retain(|client| {
            let conn = slots[client.slot()].as_mut().expect(GONE);
            let sent_bytes = (server.stats.net_out_bytes - before_bytes) as usize;
            let most = SENT_BYTES_MAX.saturating_sub(sent_bytes).max(SENT_BYTES_MIN);
            let more = conn.send(server, pool, now, hold, most);
            if conn.gate.is_shut() && !conn.shut {
                conn.shut = true;
                shut.push(*client);
            }
            more
        });
        !flush.is_empty()
    }

    /// Connections with bytes that wait for the disk.
    #[inline]
    pub fn shut_count(&self) -> usize {
        self.shut.len()
    }

    /// Puts those whose bytes wait for the disk into the flush list, if it has got further.
    #[cold]
    fn reopen(&mut self, hold: Option<Hold>) {
        let before = std::mem::replace(&mut self.hold, hold);
        if before.map(|hold| hold.durable) == hold.map(|hold| hold.durable) {
            return;
        }
        for client in std::mem::take(&mut self.shut) {
            let conn = &mut self[client];
            conn.shut = false;
            if hold.is_none() {
                conn.gate.open();
            }
            self.queue_flush(client);
        }
    }

    /// The invariants. O(connections).
    pub fn check(&self) {
        let conns = || self.slots.iter().enumerate().filter_map(|(slot, conn)| Some((slot, conn.as_ref()?)));
        assert!(conns().all(|(slot, conn)| slot == conn.client.slot()));
        assert_eq!(self.ready.len(), conns().filter(|(_, conn)| conn.queued).count());
        assert_eq!(self.flush.len(), conns().filter(|(_, conn)| conn.flushing).count());
        assert_eq!(self.shut.len(), conns().filter(|(_, conn)| conn.shut).count());
        assert!(conns().all(|(_, conn)| conn.shut || !conn.gate.is_shut()), "bytes that wait are waited for");
        assert!(self.ready.iter().all(|client| self[*client].queued));
        assert!(self.flush.iter().all(|client| self[*client].flushing));
    }
}

/// Output buffers that no connection has at present: an idle one holds none.
#[derive(Debug, Default)]
pub(super) struct BufferPool(Vec<Vec<u8>>);

impl BufferPool {
    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.0) + self.0.iter().map(heap::vec).sum::<usize>()
    }

    /// Lends an output without contents a buffer, if there is one.
    #[inline]
    pub fn lend(&mut self, out: &mut Out) {
        if out.is_empty()
            && let Some(buffer) = self.0.pop()
        {
            out.give_buffer(buffer);
        }
    }

    /// Takes the buffer of an output that has been sent.
    pub(super) fn take_back(&mut self, out: &mut Out) {
        let buffer = out.take_buffer();
        if self.0.len() < POOL_BUFFERS_MAX && (1..=POOL_BUFFER_BYTES_MAX).contains(&buffer.capacity()) {
            self.0.push(buffer);
        }
    }
}
