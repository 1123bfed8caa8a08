//! The clients: their sessions, who is to be disconnected, who waits and until when.
//!
//! # Invariants
//! - Every session but that of [`Clients::internal`] is in `by_number`.
//! - `paused` counts the sessions whose [`Blocked`] is `Paused`.
//! - Whoever waits until some time has a timer in `timers`; a timer may have outlived its wait, so every one that comes due is
//!   compared with the session.
//!
//! A session need not have a connection: [`Clients::internal`] has none. Connections belong to `net`, which keeps them by the slots
//! of their sessions.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};

use slab::Slab;

use super::outgoing::LinkKind;
use super::session::{Blocked, LateReply, Origin, Session, UnblockedBy};
use super::{COSTLY_TRANSACTION_MIN, Server};
use crate::base::clock::Now;
use crate::base::heap;
use crate::config::{ClientsLimit, OutputLimit};
use crate::feature::client_id::ClientId;
use crate::feature::members::Members;
use crate::timer::{Verdict, Wheel};

/// Slots of the wheel for clients' timeouts: 2^12 ticks of 1 ms, a revolution of 4 s.
const CLIENT_WHEEL_SLOTS: usize = 1 << 12;

/// A table with room for no more clients than this keeps it.
pub const ROOM_KEPT_MAX: usize = 256;

/// Bytes of replies that may wait for a client that has not said who it is, whatever the configuration allows: a few hundred
/// refusals.
const UNAUTHENTICATED_OUTPUT_BYTES_MAX: u64 = 16 * 1024;

/// All clients.
#[derive(Debug)]
pub struct Clients {
    sessions: Slab<Session>,
    /// The clients by the numbers that CLIENT ID answers, the oldest first.
    by_number: BTreeMap<u64, ClientId>,
    /// The number the next client gets.
    next_number: u64,
    /// The session of commands that no client has sent.
    internal: ClientId,
    /// Bytes that the clients take that may be disconnected to free memory, where that is limited; otherwise 0.
    counted_bytes: usize,
    /// Clients to be disconnected at the end of the turn.
    pub kills: Vec<ClientId>,
    /// Clients whose next command CLIENT PAUSE holds back.
    pub paused: usize,
    /// Clients that a snapshot has put on hold; some of them may have gone.
    pub held: Vec<ClientId>,
    /// Clients whose wait CLIENT UNBLOCK has ended, and whose reply is due this turn.
    pub unblocked: Vec<ClientId>,
    /// Clients that were served while they waited for keys, and may go on with their input.
    pub resumed: Vec<ClientId>,
    /// When blocked clients have to be looked at; payload: a session's slot. On monotonic milliseconds.
    pub timers: Wheel,
    /// The numbers of clients that subscribe, watch keys or wait for some.
    pub members: Members,
    /// Bytes of the table of their connections, which is not kept here.
    pub connections_bytes: usize,
    /// Bytes of the buffers that connections share, as they were within the last second.
    pub shared_buffers_bytes: usize,
}

impl Clients {
    /// No client but the internal one.
    pub fn new(now: Now) -> Clients {
        let mut sessions = Slab::new();
        let mut internal = Session::new(0, Origin::Internal, now.mono_ms());
        (internal.authenticated, internal.unlimited) = (true, true);
        let internal = ClientId::new(sessions.insert(internal), 0);
        Clients {
            sessions,
            by_number: BTreeMap::new(),
            next_number: 1,
            internal,
            counted_bytes: 0,
            kills: Vec::new(),
            paused: 0,
            held: Vec::new(),
            unblocked: Vec::new(),
            resumed: Vec::new(),
            timers: Wheel::new(CLIENT_WHEEL_SLOTS, now.mono_ms() as i64),
            members: Members::default(),
            connections_bytes: 0,
            shared_buffers_bytes: 0,
        }
    }

    /// The session of commands that no client has sent, such as the queries of those who may come back. No list shows it, and
    /// nothing is ever delivered to it.
    pub fn internal(&self) -> ClientId {
        self.internal
    }

    /// Bytes on the heap of the tables that clients stand in: what each has beside is in [`Session::heap_bytes`]. O(1).
    pub fn heap_bytes(&self) -> usize {
        let tables = heap::slab(&self.sessions) + heap::tree::<u64, ClientId>(self.by_number.len());
        let lists = [&self.kills, &self.held, &self.unblocked, &self.resumed].map(heap::vec).iter().sum::<usize>();
        tables
            + lists
            + self.timers.bytes()
            + self.members.heap_bytes()
            + self.connections_bytes
            + self.shared_buffers_bytes
    }

    /// Gives back most of the table's room when it has become far too large. O(room given back + clients) then.
    pub fn shrink(&mut self) {
        if self.sessions.capacity() > ROOM_KEPT_MAX && self.sessions.len() < self.sessions.capacity() / 4 {
            self.sessions.shrink_to_fit();
        }
    }

    /// How many clients there are, those included that are about to be disconnected.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// Takes in a client: `connect` makes its session from its number. O(log n) for n clients.
    pub fn admit(&mut self, connect: impl FnOnce(u64) -> Session) -> ClientId {
        let number = self.next_number;
        self.next_number += 1;
        let client = ClientId::new(self.sessions.insert(connect(number)), number);
        self.by_number.insert(number, client);
        client
    }

    /// A client's session, unless it has gone. O(1).
    #[inline]
    pub fn get(&self, client: ClientId) -> Option<&Session> {
        self.sessions.get(client.slot()).filter(|session| session.id as u32 == client.serial())
    }

    /// The client of a slot, unless there is none. O(1).
    #[inline]
    pub fn at_slot(&self, slot: usize) -> Option<ClientId> {
        self.sessions.get(slot).map(|session| ClientId::new(slot, session.id))
    }

    /// The client of a number, if it is there and has not been killed. O(log n) for n clients.
    pub fn find(&self, number: u64) -> Option<ClientId> {
        self.by_number.get(&number).copied().filter(|client| !self[*client].killed)
    }

    /// All clients with their sessions, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, &Session)> {
        self.by_number.values().map(|client| (*client, &self[*client]))
    }

    /// Those that have not been killed, the oldest first.
    pub fn present(&self) -> impl Iterator<Item = (ClientId, &Session)> {
        self.iter().filter(|(_, session)| !session.killed)
    }

    /// What the clients take that may be disconnected to free memory. O(1).
    pub fn counted_bytes(&self) -> usize {
        self.counted_bytes
    }

    /// Notes that a client takes so much.
    fn count_bytes(&mut self, client: ClientId, bytes: usize) {
        let before = std::mem::replace(&mut self[client].counted_bytes, bytes);
        self.counted_bytes = self.counted_bytes + bytes - before;
    }

    /// Takes out a client that has been disconnected.
    fn remove(&mut self, client: ClientId) -> Session {
        debug_assert!(self.get(client).is_some() && client != self.internal, "{client:?} is no client that can go");
        let session = self.sessions.remove(client.slot());
        self.counted_bytes -= session.counted_bytes;
        self.by_number.remove(&session.id);
        self.paused -= usize::from(session.blocked == Some(Blocked::Paused));
        session
    }

    /// Panics if the books do not agree. O(clients).
    pub fn check(&self) {
        assert_eq!(self.sessions.len(), self.by_number.len() + 1, "every session but one has a number");
        let counted_bytes: usize = self.iter().map(|(_, session)| session.counted_bytes).sum();
        assert_eq!(self.counted_bytes, counted_bytes, "bytes that clients take");
        let paused = self.iter().filter(|(_, session)| session.blocked == Some(Blocked::Paused)).count();
        assert_eq!(self.paused, paused, "clients that the pause holds back");
        for (client, session) in self.iter() {
            let until_ms = session.blocked.and_then(Blocked::until_ms);
            assert!(
                until_ms.is_none() || !self.timers.is_empty(),
                "{client:?} waits for a time that nothing tells it of"
            );
            let waits = matches!(session.blocked, Some(Blocked::Keys { .. }));
            assert!(
                !waits || session.waiting.is_some(),
                "{client:?} waits for keys, and nothing is known of its command"
            );
            let member = session.member.map(|member| self.members.client(member as usize));
            assert!(member.is_none_or(|member| member == Some(client)), "{client:?} has another's number");
        }
    }

    /// Makes a client wait: the reason it waits, the wheel and the count of those held back stay in step.
    pub fn block(&mut self, client: ClientId, blocked: Blocked) {
        self[client].blocked = Some(blocked);
        match blocked {
            Blocked::Keys { until_ms: u64::MAX } => {}
            Blocked::Sleep { until_ms, .. } | Blocked::Keys { until_ms } => {
                // A wheel's ticks are signed, and a date beyond them is as good as the last.
                let tick = i64::try_from(until_ms).unwrap_or(i64::MAX);
                self.timers.insert(client.slot() as u32, tick);
            }
            Blocked::Unblocked { .. } => self.unblocked.push(client),
            Blocked::Paused => self.paused += 1,
            Blocked::Snapshot => self.held.push(client),
            Blocked::Script | Blocked::Job | Blocked::Hold | Blocked::Link => {}
        }
    }

    /// Sets a timer for the time at which a client that waits is looked at next, which has changed.
    pub fn arm(&mut self, client: ClientId) {
        if let Some(until_ms) = self[client].wakes_ms() {
            self.timers.insert(client.slot() as u32, i64::try_from(until_ms).unwrap_or(i64::MAX));
        }
    }

    /// The clients whose time of sleep, of waiting for keys, or until their commands are run again, is over, added to `due`. Returns
    /// false if more are due than the budget allowed.
    pub fn take_due(&mut self, now: Now, budget: &mut usize, due: &mut Vec<ClientId>) -> bool {
        let sessions = &self.sessions;
        let progress = self.timers.advance(now.mono_ms() as i64, budget, |slot, tick| {
            let slot = slot as usize;
            let Some(session) = sessions.get(slot) else { return Verdict::Drop };
            let number = session.id;
            let Some(until_ms) = session.wakes_ms() else { return Verdict::Drop };
            let until_ms = i64::try_from(until_ms).unwrap_or(i64::MAX);
            if until_ms <= tick {
                due.push(ClientId::new(slot, number));
                Verdict::Drop
            } else if Wheel::same_slot(CLIENT_WHEEL_SLOTS, until_ms, tick) {
                Verdict::Again(until_ms)
            } else {
                // Left behind by an earlier time: this one has a node in its own slot.
                Verdict::Drop
            }
        });
        progress.done
    }

    /// A client's number among the members, which it gets now if it has none.
    #[inline]
    pub fn member_of(&mut self, client: ClientId) -> usize {
        let Clients { sessions, members, .. } = self;
        *sessions[client.slot()].member.get_or_insert_with(|| members.join(client) as u32) as usize
    }

    /// A client's number among the members, if it has one.
    #[inline]
    pub fn known_member(&self, client: ClientId) -> Option<usize> {
        self[client].member.map(|member| member as usize)
    }
}

impl Index<ClientId> for Clients {
    type Output = Session;
    #[inline]
    fn index(&self, client: ClientId) -> &Session {
        let session = &self.sessions[client.slot()];
        debug_assert_eq!(session.id as u32, client.serial(), "this client has gone");
        session
    }
}

impl IndexMut<ClientId> for Clients {
    #[inline]
    fn index_mut(&mut self, client: ClientId) -> &mut Session {
        let session = &mut self.sessions[client.slot()];
        debug_assert_eq!(session.id as u32, client.serial(), "this client has gone");
        session
    }
}

impl Server {
    /// Takes in a client that has connected; it is the default user, who may have to send a password. O(log n) for n clients.
    pub fn admit(&mut self, origin: Origin, now: Now) -> ClientId {
        self.stats.connections += 1;
        let client = self.clients.admit(|number| Session::new(number, origin, now.mono_ms()));
        self.log_out(client);
        client
    }

    /// Bytes of memory that a client takes: what CLIENT LIST calls `tot-mem`. O(1).
    pub fn total_bytes_of(&self, client: ClientId) -> usize {
        self.client_bytes(client).total
    }

    /// Bytes that all clients together may take; 0 for no limit.
    #[inline]
    pub fn clients_limit_bytes(&self) -> u64 {
        match self.config.maxmemory_clients {
            ClientsLimit::Bytes(0) => 0,
            limit => limit.bytes(self.config.maxmemory.bytes),
        }
    }

    /// Counts what a client takes, where that is limited; to be called when the figures of its buffers have changed.
    #[inline]
    pub fn count_client_bytes(&mut self, client: ClientId) {
        if self.config.maxmemory_clients != ClientsLimit::Bytes(0) {
            self.recount_client_bytes(client);
        }
    }

    #[cold]
    fn recount_client_bytes(&mut self, client: ClientId) {
        let Session { no_evict, killed, is_replica, link, .. } = self.clients[client];
        let bytes = if no_evict || killed || is_replica || link.is_some() { 0 } else { self.total_bytes_of(client) };
        self.clients.count_bytes(client, bytes);
    }

    /// The same for all of them, after the limit was set. O(clients).
    pub(super) fn recount_clients(&mut self) {
        let is_limited = self.config.maxmemory_clients != ClientsLimit::Bytes(0);
        if !is_limited && self.clients.counted_bytes == 0 {
            return;
        }
        let clients: Vec<ClientId> = self.clients.iter().map(|(client, _)| client).collect();
        for client in clients {
            match is_limited {
                true => self.recount_client_bytes(client),
                false => self.clients.count_bytes(client, 0),
            }
        }
    }

    /// The clients that have to go so that the others take no more than they may, the largest first; none, nearly always. O(clients)
    /// if any has to.
    pub fn take_oversized(&mut self) -> Vec<ClientId> {
        let limit = self.clients_limit_bytes();
        if limit == 0 || self.clients.counted_bytes as u64 <= limit {
            return Vec::new();
        }
        let mut largest: Vec<(usize, ClientId)> =
            self.clients.present().map(|(client, session)| (session.counted_bytes, client)).collect();
        largest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut evicted = Vec::new();
        for (_, client) in largest {
            if self.clients.counted_bytes as u64 <= limit {
                break;
            }
            self.clients.count_bytes(client, 0);
            evicted.push(client);
        }
        self.stats.evicted_clients += evicted.len() as u64;
        evicted
    }

    /// Ends a client's wait before its time; its reply is due this turn. False if it does not wait, or only for the end of
    /// CLIENT PAUSE, for a snapshot or for jobs.
    pub fn unblock(&mut self, client: ClientId, by: UnblockedBy) -> bool {
        let muted = match self.clients[client].blocked {
            Some(Blocked::Sleep { reply: LateReply::WrongPassword, .. }) => return false,
            Some(Blocked::Sleep { muted, .. }) => muted,
            Some(Blocked::Keys { .. }) => false,
            Some(
                Blocked::Unblocked { .. }
                | Blocked::Paused
                | Blocked::Snapshot
                | Blocked::Job
                | Blocked::Hold
                | Blocked::Script
                | Blocked::Link,
            )
            | None => return false,
        };
        self.stop_waiting(client);
        self.clients.block(client, Blocked::Unblocked { by, muted });
        true
    }

    /// Disconnects a client at the end of the turn. Until then it runs nothing more and no list shows it.
    pub fn kill(&mut self, client: ClientId) {
        let session = &mut self.clients[client];
        (session.killed, session.closing) = (true, true);
        self.clients.kills.push(client);
        self.leave(client);
        self.forget_queries(client);
    }

    /// How many bytes of replies may wait for a client.
    #[inline]
    pub fn output_limit_of(&self, client: ClientId) -> OutputLimit {
        let session = &self.clients[client];
        if matches!(session.link, Some(LinkKind::Target { .. })) {
            // What is posted to it rests at a limit of its own.
            return OutputLimit::new(0, 0, 0);
        }
        if session.is_monitor {
            return OutputLimit::new(self.config.monitor_output_limit, 0, 0);
        }
        if session.is_replica {
            return self.replica_limit();
        }
        if !session.unlimited && self.needs_auth(client) {
            return OutputLimit::new(UNAUTHENTICATED_OUTPUT_BYTES_MAX, 0, 0);
        }
        self.config.client_output_buffer_limit.of(session.is_sent_messages())
    }

    /// Disconnects a client whose output has grown beyond its limit.
    #[cold]
    pub fn cut_off(&mut self, client: ClientId) {
        self.note_cut_off(client);
        self.kill(client);
    }

    /// Logs and counts a client that is disconnected for its output.
    pub fn note_cut_off(&mut self, client: ClientId) {
        log::warn!("Client {} closed for overcoming of output buffer limits", self.clients[client].peer);
        self.stats.output_limit_disconnections += 1;
    }

    /// Forgets a client that has been disconnected: at the end of its script, where that is not through.
    pub fn forget(&mut self, client: ClientId) {
        self.leave(client);
        self.forget_queries(client);
        if self.scripting.needs(client) {
            (self.clients[client].killed, self.clients[client].closing) = (true, true);
            return;
        }
        let session = self.clients.remove(client);
        if let Some(transaction) = session.transaction.filter(|queued| queued.count > COSTLY_TRANSACTION_MIN) {
            self.background.free(transaction);
        }
    }
}
