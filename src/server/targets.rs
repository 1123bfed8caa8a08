//! Connections to other servers that keys are moved to (MIGRATE): they are made when one is needed, kept for the next time, and what
//! comes back over them are replies.
//!
//! A connection is used by one job at a time. One that nobody uses is kept for [`IDLE_MS_MAX`], so that moving many keys, one
//! after the other, costs one connection. That a job needs another one meanwhile makes another one.
//!
//! # Invariants
//! - `replies` and `expected` together are the replies that were asked for and have not been taken.
//! - A connection that nobody uses is open and owes no reply: a byte that comes over it is the end of it.
//! - `posted_bytes` are those that were handed over to the connection; its session tells how many of them have been sent.
//!
//! Knows nothing of what is sent. The engine hands over what `net` reads ([`Server::receive_from_target`]).

use std::collections::VecDeque;

use super::Server;
use super::outgoing::LinkKind;
use crate::config::ServerAddress;
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;

/// Milliseconds after which a connection is closed that nobody has used.
pub const IDLE_MS_MAX: u64 = 10_000;
/// Connections that are kept at most, those in use included. Jobs are allowed as many as they need, which are fewer.
pub const CONNECTIONS_MAX: usize = 64;
/// Bytes that may wait to be sent to a target: about what the kernel takes in two turns. Nothing is added from there on, so that
/// at most this and one value are in memory besides the data.
pub const UNSENT_BYTES_MAX: u64 = 512 * 1024;
/// Bytes of a reply: all are short lines.
const REPLY_BYTES_MAX: usize = 1024;

/// A reply of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetReply {
    /// `+OK`.
    Ok,
    /// An error, with its text.
    Error(Box<[u8]>),
}

/// How a connection was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetLost {
    /// There was none: its name has no address, or there is no way to it.
    Unreachable,
    /// Nothing of it was ever sent: it was refused, most likely.
    Refused,
    /// It broke, or what came over it was none of the replies that were asked for.
    Broken {
        /// Bytes that were to be sent and have not been.
        unsent_bytes: u64,
    },
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// Its name is being looked up, or it waits to be made.
    Wanted,
    /// It is there, or being made: what is posted leaves when it has been.
    Open(ClientId),
    /// It is gone.
    Lost(TargetLost),
}

/// A connection to a target.
#[derive(Debug)]
pub struct TargetConnection {
    number: u64,
    address: ServerAddress,
    /// AUTH was sent over it: it serves only those who send AUTH themselves.
    is_authenticated: bool,
    /// How far it has come.
    pub state: TargetState,
    /// Which of its name's addresses it is made to, and how many there are.
    nth: u32,
    addresses: u32,
    is_used: bool,
    /// Monotonic milliseconds since which nobody uses it.
    idle_since_ms: u64,
    /// The database that is selected, if that is known.
    pub selected: Option<i64>,
    posted_bytes: u64,
    expected: usize,
    line: Vec<u8>,
    replies: VecDeque<TargetReply>,
    /// Monotonic milliseconds at which its user gives up, if nothing happens before.
    pub due_ms: Option<u64>,
    /// Its user would post more, and waits until less is unsent.
    pub is_resting: bool,
}

impl TargetConnection {
    /// The next reply.
    pub fn next_reply(&mut self) -> Option<TargetReply> {
        self.replies.pop_front()
    }

    /// The next one of its name's addresses, if there are more.
    pub fn next_address(&self) -> Option<u32> {
        (self.nth + 1 < self.addresses).then_some(self.nth + 1)
    }

    /// True if a client is what it is known as.
    fn is(&self, client: ClientId) -> bool {
        self.state == TargetState::Open(client)
    }
}

/// All connections to targets.
#[derive(Debug, Default)]
pub struct Targets {
    connections: Vec<TargetConnection>,
    /// How many were ever made.
    made: u64,
    /// A job has something to look at that no event tells of.
    pub has_news: bool,
}

impl Targets {
    /// A connection that is used.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut TargetConnection> {
        self.connections.iter_mut().find(|connection| connection.number == number)
    }

    fn get(&self, number: u64) -> Option<&TargetConnection> {
        self.connections.iter().find(|connection| connection.number == number)
    }

    /// How many there are, in use or not.
    pub fn count(&self) -> usize {
        self.connections.len()
    }

    /// The monotonic millisecond at which somebody gives up waiting, if nothing happens before.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.connections.iter().filter_map(|connection| connection.due_ms).min()
    }
}

impl Server {
    /// A connection to a target for somebody who uses it alone: one that is kept, unless that is not wanted, or else a new one, to
    /// the name's address of this index. `None` if none can be made.
    pub fn use_target(&mut self, address: &ServerAddress, is_authenticated: bool, nth: Option<u32>) -> Option<u64> {
        let fits = |connection: &&mut TargetConnection| {
            !connection.is_used && connection.is_authenticated == is_authenticated && connection.address == *address
        };
        let targets = &mut self.targets;
        if nth.is_none()
            && let Some(kept) = targets.connections.iter_mut().find(fits)
        {
            kept.is_used = true;
            return Some(kept.number);
        }
        if targets.connections.len() >= CONNECTIONS_MAX {
            self.drop_idle_target();
        }
        self.targets.made += 1;
        let (number, nth) = (self.targets.made, nth.unwrap_or(0));
        let kind = LinkKind::Target { number, address: nth, addresses: 1 };
        if let Err(error) = self.outgoing.connect(&address.host, address.port, kind, &self.background) {
            log::warn!("Connecting to the target {}:{} of MIGRATE: {error}", address.host, address.port);
            return None;
        }
        self.targets.connections.push(TargetConnection {
            number,
            address: address.clone(),
            is_authenticated,
            state: TargetState::Wanted,
            nth,
            addresses: 1,
            is_used: true,
            idle_since_ms: 0,
            selected: None,
            posted_bytes: 0,
            expected: 0,
            line: Vec::new(),
            replies: VecDeque::new(),
            due_ms: None,
            is_resting: false,
        });
        Some(number)
    }

    /// Closes the connection that has not been used for the longest time.
    fn drop_idle_target(&mut self) {
        let idle = self.targets.connections.iter().filter(|connection| !connection.is_used);
        if let Some(number) = idle.min_by_key(|connection| connection.idle_since_ms).map(|connection| connection.number)
        {
            self.drop_target(number);
        }
    }

    /// Has commands sent, to which so many replies come.
    pub fn post_to_target(&mut self, number: u64, commands: Out, replies: usize) {
        let Some(connection) = self.targets.get_mut(number) else { return };
        let TargetState::Open(client) = connection.state else { return };
        connection.posted_bytes += commands.len() as u64;
        connection.expected += replies;
        self.outbox.reply(client, commands);
    }

    /// Bytes that were posted and have not been sent.
    pub fn unsent_to_target(&self, number: u64) -> u64 {
        self.targets.get(number).map_or(0, |connection| self.unsent_bytes(connection))
    }

    fn unsent_bytes(&self, connection: &TargetConnection) -> u64 {
        let sent_bytes = match connection.state {
            TargetState::Open(client) => self.clients[client].net_out_bytes,
            TargetState::Wanted | TargetState::Lost(_) => 0,
        };
        connection.posted_bytes.saturating_sub(sent_bytes)
    }

    /// Bytes that have been sent and that have come over it, which grow as long as it gets on; `None` before it was made.
    pub fn target_progress(&self, number: u64) -> Option<u64> {
        let TargetState::Open(client) = self.targets.get(number)?.state else { return None };
        let session = &self.clients[client];
        (session.net_out_bytes > 0).then_some(session.net_out_bytes + session.net_in_bytes)
    }

    /// A connection is not needed any more, and owes nothing: it is kept for the next one who wants to use it, with this database
    /// selected.
    pub fn release_target(&mut self, number: u64, selected: Option<i64>, now_ms: u64) {
        let Some(connection) = self.targets.get_mut(number) else { return };
        let owes_nothing = connection.expected == 0 && connection.replies.is_empty() && connection.line.is_empty();
        if !owes_nothing || !matches!(connection.state, TargetState::Open(_)) {
            return self.drop_target(number);
        }
        (connection.is_used, connection.idle_since_ms, connection.selected) = (false, now_ms, selected);
        (connection.due_ms, connection.is_resting) = (None, false);
    }

    /// Closes a connection, and forgets it.
    pub fn drop_target(&mut self, number: u64) {
        let Some(index) = self.targets.connections.iter().position(|connection| connection.number == number) else {
            return;
        };
        // First, so that its end is nothing to be told of.
        let connection = self.targets.connections.swap_remove(index);
        if let TargetState::Open(client) = connection.state {
            self.kill(client);
        }
    }

    /// Closes connections that nobody has used for long.
    pub fn tidy_targets(&mut self, now_ms: u64) {
        let is_old =
            |connection: &&TargetConnection| !connection.is_used && now_ms >= connection.idle_since_ms + IDLE_MS_MAX;
        let old: Vec<u64> =
            self.targets.connections.iter().filter(is_old).map(|connection| connection.number).collect();
        old.into_iter().for_each(|number| self.drop_target(number));
    }

    /// A connection is being made, and is known as this client. False if nobody wants it any more.
    pub fn target_made(&mut self, number: u64, addresses: u32, client: ClientId) -> bool {
        let Some(connection) = self.targets.get_mut(number) else { return false };
        (connection.state, connection.addresses) = (TargetState::Open(client), addresses);
        self.targets.has_news = true;
        true
    }

    /// A connection cannot be made.
    pub fn target_unreachable(&mut self, number: u64, addresses: u32, error: &std::io::Error) {
        let Some(connection) = self.targets.get_mut(number) else { return };
        let ServerAddress { host, port } = &connection.address;
        log::debug!("Connecting to the target {host}:{port} of MIGRATE: {error}");
        let is_refused = error.kind() == std::io::ErrorKind::ConnectionRefused;
        let lost = if is_refused { TargetLost::Refused } else { TargetLost::Unreachable };
        (connection.state, connection.addresses) = (TargetState::Lost(lost), addresses);
        self.targets.has_news = true;
    }

    /// A client that is a connection to a target is being disconnected.
    pub(in crate::server) fn leave_target(&mut self, client: ClientId, number: u64) {
        let Some(connection) = self.targets.get(number).filter(|connection| connection.is(client)) else { return };
        if !connection.is_used {
            return self.targets.connections.retain(|connection| connection.number != number);
        }
        let lost = match self.clients[client].net_out_bytes {
            0 => TargetLost::Refused,
            _ => TargetLost::Broken { unsent_bytes: self.unsent_bytes(connection) },
        };
        if let Some(connection) = self.targets.get_mut(number) {
            connection.state = TargetState::Lost(lost);
        }
        self.targets.has_news = true;
    }

    /// Takes what has come over a connection to a target. One that sends what is none of the replies that were asked for is given
    /// up.
    pub fn receive_from_target(&mut self, client: ClientId, number: u64, bytes: &[u8]) {
        let Some(connection) = self.targets.get_mut(number).filter(|connection| connection.is(client)) else {
            return self.kill(client);
        };
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            connection.line.extend_from_slice(piece);
            let line = &connection.line;
            let reply = match line.strip_suffix(b"\n").map(<[u8]>::trim_ascii_end) {
                _ if connection.expected == 0 || line.len() > REPLY_BYTES_MAX => None,
                None => break,
                Some(b"+OK") => Some(TargetReply::Ok),
                Some(text) => text.strip_prefix(b"-").map(|text| TargetReply::Error(text.into())),
            };
            let Some(reply) = reply else {
                let ServerAddress { host, port } = &connection.address;
                let shown = line[..line.len().min(128)].escape_ascii();
                log::warn!("The target {host}:{port} of MIGRATE sends what is no reply: '{shown}'");
                return self.kill(client);
            };
            connection.line.clear();
            connection.expected -= 1;
            connection.replies.push_back(reply);
        }
    }

    /// True if a job that uses a connection to a target could go on at once.
    pub fn may_target_go_on(&self) -> bool {
        self.targets.has_news
            || self
                .targets
                .connections
                .iter()
                .any(|connection| connection.is_resting && self.unsent_bytes(connection) < UNSENT_BYTES_MAX)
    }
}
