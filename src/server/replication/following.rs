//! A server as the replica of another: whom it follows, how far the link to it has come, and what of the stream counts.
//!
//! # What counts
//! A command of the stream is *run*, and counts as part of the history once nothing of it can be undone: outside of a transaction
//! at once, inside when EXEC has run, and one that goes on as a job when that has ended. What has been run and does not count
//! yet is kept in [`Following::pending`]; it is dropped with the link, and comes again.

use std::collections::VecDeque;

use super::history::History;
use super::sync::Sync;
use crate::base::clock::Now;
use crate::config::ServerAddress;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::server::Server;
use crate::server::outgoing::LinkKind;
use crate::server::propagation::push_line;
use crate::server::session::{Blocked, UnblockedBy};
use crate::sys;

/// Milliseconds after which a link that could not be made is tried again; after failures with data it is doubled each time, up to
/// the second figure.
const RETRY_MS: u64 = 1000;
const RETRY_MS_MAX: u64 = 30_000;

/// How far the link to the primary has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// Nothing is under way; it is tried again later.
    Connect,
    /// A connection is being made.
    Connecting,
    /// The two come to an understanding.
    Handshake,
    /// The data comes in as a whole.
    Sync,
    /// The stream comes in.
    Connected,
}

impl LinkState {
    /// As ROLE answers it.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Connect => "connect",
            LinkState::Connecting => "connecting",
            LinkState::Handshake => "handshake",
            LinkState::Sync => "sync",
            LinkState::Connected => "connected",
        }
    }
}

/// A reply that is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// That to PING.
    Pong,
    /// That to AUTH.
    Auth,
    /// That to a REPLCONF which a primary need not know.
    Replconf(&'static str),
    /// That to a REPLCONF which only Valkey knows.
    Version,
    /// That to PSYNC.
    Psync,
    /// Not a reply, but the length of what follows.
    Length,
}

/// Places that are remembered until they are on the disk.
const PLACES_MAX: usize = 256;

/// Which offset of the stream is on the disk when the log has come to a position of its own.
#[derive(Debug, Default)]
pub struct Logged {
    /// Positions of what was passed on to the log, with the offsets that they stand for, in order.
    places: VecDeque<(u64, u64)>,
    /// The offset that has been reached.
    pub durable: u64,
}

impl Logged {
    /// All up to an offset is in what was passed on up to a position. O(1).
    fn note(&mut self, position: u64, offset: u64) {
        // The last place stands for those that there is no room for: they count as on the disk when it is.
        let is_last = self.places.back().is_some_and(|&(last, _)| last == position);
        if is_last || self.places.len() == PLACES_MAX {
            self.places.pop_back();
        }
        self.places.push_back((position, offset));
    }

    /// The log is on the disk up to a position.
    fn reach(&mut self, synced: u64) {
        while let Some(&(position, offset)) = self.places.front()
            && position <= synced
        {
            self.durable = offset;
            self.places.pop_front();
        }
    }
}

/// When a link was up and down, and how often it was tried, since its primary is followed. Times are monotonic milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct LinkTimes {
    /// It is up.
    pub is_up: bool,
    /// Since when it is up, or down.
    pub since_ms: u64,
    /// It has been up before.
    pub was_up: bool,
    /// For how long it was down in sum, before the present time.
    down_ms: u64,
    /// Attempts to connect since it was up last.
    pub attempts: u64,
    /// All attempts to connect.
    pub attempts_total: u64,
}

impl LinkTimes {
    /// It is tried.
    pub fn note_attempt(&mut self) {
        self.attempts += 1;
        self.attempts_total += 1;
    }

    /// It is up from now on.
    pub fn note_up(&mut self, now_ms: u64) {
        self.down_ms = self.down_total_ms(now_ms);
        (self.is_up, self.was_up, self.since_ms) = (true, true, now_ms);
    }

    /// It is down from now on, if it was not before.
    fn note_down(&mut self, now_ms: u64) {
        if std::mem::take(&mut self.is_up) {
            (self.since_ms, self.attempts) = (now_ms, 0);
        }
    }

    /// For how long it was down in sum since it was up first.
    pub fn down_total_ms(&self, now_ms: u64) -> u64 {
        self.down_ms + if self.is_up || !self.was_up { 0 } else { now_ms.saturating_sub(self.since_ms) }
    }
}

/// The primary that is followed, and the link to it.
#[derive(Debug)]
pub struct Following {
    /// Where it listens.
    pub primary: ServerAddress,
    /// How far the link has come.
    pub state: LinkState,
    /// The link, while there is a connection.
    pub link: Option<ClientId>,
    /// Which attempt to make one this is.
    pub attempt: u64,
    /// Monotonic milliseconds from which on the next one may be made.
    pub retry_ms: u64,
    /// How often in a row the link broke in the midst of data that was no good.
    pub failures: u32,
    /// When the link was up and down, and what was tried.
    pub times: LinkTimes,
    /// Monotonic milliseconds at which it was last said how far we are.
    pub acked_ms: u64,
    /// Monotonic milliseconds at which the attempt began.
    pub began_ms: u64,
    /// Replies that are to come.
    pub expected: VecDeque<Expected>,
    /// A line that has come in part.
    pub line: Vec<u8>,
    /// The data set that is coming in.
    pub sync: Option<Box<Sync>>,
    /// Commands that have been run and do not count yet, as they came.
    pub pending: Vec<u8>,
    /// The last of them goes on as a job though its link has gone: place of the database that is selected behind it. Nothing more
    /// is asked for until it is over.
    pub unlinked: Option<usize>,
    /// Place of the database that the stream has selected, as far as it counts.
    pub db: usize,
    /// What of the stream is on the disk.
    pub logged: Logged,
    /// Commands that answered with an error have been logged so often.
    pub errors_logged: u32,
}

impl Following {
    fn new(primary: ServerAddress, now: Now) -> Following {
        Following {
            primary,
            state: LinkState::Connect,
            link: None,
            attempt: 0,
            retry_ms: now.mono_ms(),
            failures: 0,
            times: LinkTimes { since_ms: now.mono_ms(), ..LinkTimes::default() },
            acked_ms: 0,
            began_ms: 0,
            expected: VecDeque::new(),
            line: Vec::new(),
            sync: None,
            pending: Vec::new(),
            unlinked: None,
            db: 0,
            logged: Logged::default(),
            errors_logged: 0,
        }
    }

    /// Bytes of a full synchronisation: all of them, if that is known, and those that have come.
    pub fn sync_bytes(&self) -> (Option<u64>, u64) {
        self.sync.as_ref().map_or((None, 0), |sync| (sync.total_bytes, sync.read_bytes))
    }

    /// True while the data that was there has gone and the new is not whole.
    pub fn is_without_data(&self) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.is_in_place)
    }

    /// Notes a command of the stream that is being run.
    pub fn push_pending(&mut self, args: Args<'_>) {
        push_line(&mut self.pending, args.iter_from(0));
    }
}

/// What is left of an attempt that has ended, for a helper thread to free.
fn free_sync(server: &mut Server, sync: Option<Box<Sync>>) {
    if let Some(sync) = sync {
        server.background.free(sync);
    }
}

impl Server {
    /// Follows a primary from now on. What is there stays until its data is whole, and so do replicas, which may be able to go on.
    /// Clients that wait for keys, or for replicas, are told that they wait in vain, and disconnected.
    pub fn follow(&mut self, primary: ServerAddress) {
        let now = self.clock.now();
        if let Some(link) = self.replication.following.as_ref().and_then(|following| following.link) {
            self.kill(link);
        }
        // What was passed on until now is of this history.
        self.distribute(now);
        self.config.replicaof = Some(primary.clone());
        sys::log::set_replica(true);
        let mut following = Box::new(Following::new(primary, now));
        following.db = match self.replication.loaded_db.take() {
            Some(number) => self.dbs.make(number).unwrap_or(0),
            None => self.replication.following.as_ref().map_or(0, |before| before.db),
        };
        let mut before = self.replication.following.take();
        if let Some(before) = &mut before {
            following.attempt = before.attempt;
            if before.unlinked.is_some() {
                // It is of the history that goes on.
                (following.unlinked, following.pending) = (before.unlinked, std::mem::take(&mut before.pending));
            }
        }
        self.replication.following = Some(following);
        free_sync(self, before.and_then(|before| before.sync));
        self.renew_propagation();
        self.count_good_replicas(now);
        self.end_waits_of_clients();
    }

    /// Follows nobody any more: the server is a primary, whose history goes on from that of the one it followed. Its replicas are to
    /// ask again, and go on where they were. Nothing happens to one that is a primary already.
    pub fn stop_following(&mut self) {
        let Some(link) = self.replication.following.as_ref().map(|following| following.link) else { return };
        // What the link has run is part of the history already: it goes to the log alone.
        let now = self.clock.now();
        self.distribute(now);
        if let Some(link) = link {
            self.kill(link);
        }
        let before = self.replication.following.take();
        free_sync(self, before.and_then(|before| before.sync));
        self.config.replicaof = None;
        sys::log::set_replica(false);
        self.replication.branch_history();
        self.replication.replicas.clone().into_iter().for_each(|client| self.kill(client));
        // Readers of the stream begin anew, and so does whoever looks at what is due.
        let (position, offset) = (self.propagation.position(), self.replication.history.offset);
        self.replication.offsets.begin(position, offset);
        self.renew_propagation();
        self.propagation.forget_selected();
        self.stats.dirty += 1;
        self.replication.bare_since_ms = now.mono_ms();
        self.count_good_replicas(now);
    }

    /// The data is of this history from now on: what was kept of another one's stream is of no use, and replicas of that begin anew.
    pub fn begin_history_at(&mut self, history: History) {
        self.replication.replicas.clone().into_iter().for_each(|client| self.kill(client));
        self.replication.history = history;
        self.replication.began_empty = false;
        self.replication.offsets.lose(self.propagation.position());
        self.begin_backlog();
        let (position, offset) = (self.propagation.position(), self.replication.history.offset);
        if let Some(following) = &mut self.replication.following {
            following.logged = Logged::default();
            following.logged.note(position, offset);
        }
    }

    /// The data has gone, and nothing has taken its place yet: what is here is of no history that anybody has.
    pub fn abandon_history(&mut self) {
        self.replication.replicas.clone().into_iter().for_each(|client| self.kill(client));
        self.replication.begin_history();
        self.replication.history.is_shared = false;
        self.replication.backlog = None;
        self.renew_propagation();
    }

    /// Ends the waits of clients for keys and for replicas, and their connections: what they wait for was meant of a primary.
    fn end_waits_of_clients(&mut self) {
        let waits = |blocked: Option<Blocked>| matches!(blocked, Some(Blocked::Keys { .. }));
        let waiting = self.clients.present().filter(|(_, session)| waits(session.blocked));
        let waiting: Vec<ClientId> = waiting.map(|(client, _)| client).collect();
        for client in waiting {
            self.unblock(client, UnblockedBy::Role);
        }
    }

    /// Bytes that have come from primaries.
    pub fn bytes_from_primary(&self) -> u64 {
        let link = self.replication.following.as_ref().and_then(|following| following.link);
        let present = link.and_then(|link| self.clients.get(link)).map_or(0, |session| session.net_in_bytes);
        self.replication.counts.in_bytes + present
    }

    /// True if an attempt to connect is the present one.
    pub fn is_present_attempt(&self, kind: LinkKind) -> bool {
        let LinkKind::Primary { attempt } = kind else { return false };
        self.replication
            .following
            .as_ref()
            .is_some_and(|following| following.attempt == attempt && following.link.is_none())
    }

    /// The link to the primary is gone, or could not be made. It is tried again; what of the stream does not count will come again.
    pub fn note_link_lost(&mut self, is_bad_data: bool, now_ms: u64) {
        let Some(following) = &mut self.replication.following else { return };
        if following.state == LinkState::Connected {
            log::warn!("Connection with master lost.");
        }
        if let Some(session) = following.link.and_then(|link| self.clients.get(link)) {
            self.replication.counts.in_bytes += session.net_in_bytes;
        }
        following.link = None;
        following.state = LinkState::Connect;
        following.times.note_down(now_ms);
        following.failures = if is_bad_data { following.failures.saturating_add(1) } else { 0 };
        let wait_ms = (RETRY_MS << following.failures.min(5)).min(RETRY_MS_MAX);
        following.retry_ms = now_ms.max(following.began_ms + wait_ms).min(now_ms + wait_ms);
        following.expected.clear();
        following.line = Vec::new();
        if following.unlinked.is_none() {
            following.pending = Vec::new();
        }
        let sync = following.sync.take();
        free_sync(self, sync);
    }

    /// What was run of the stream counts from now on: it is part of the history, and is passed on to replicas of this one.
    pub fn commit_stream(&mut self, link: ClientId) {
        let session = &self.clients[link];
        if session.transaction.is_some() || matches!(session.blocked, Some(Blocked::Job | Blocked::Script)) {
            return;
        }
        self.commit_pending(session.db);
    }

    /// A command is over that went on when its link had gone: it counts, and the stream may go on behind it. A server that is a
    /// primary by now has passed it on as its own.
    pub fn commit_unlinked(&mut self) {
        if let Some(db) = self.replication.following.as_mut().and_then(|following| following.unlinked.take()) {
            self.commit_pending(db);
        }
    }

    /// What was run counts, up to where the stream has selected a database.
    fn commit_pending(&mut self, db: usize) {
        let Some(following) = &mut self.replication.following else { return };
        following.db = db;
        if !following.pending.is_empty() {
            let mut bytes = std::mem::take(&mut following.pending);
            self.feed_replicas(&bytes);
            bytes.clear();
            let (position, offset) = (self.propagation.position(), self.replication.history.offset);
            let is_logged = self.persistence.log.is_on();
            if let Some(following) = &mut self.replication.following {
                following.pending = bytes;
                if is_logged {
                    following.logged.note(position, offset);
                }
            }
        }
    }

    /// The offset up to which what the primary has sent is on the disk, if there is a log.
    pub fn durable_offset(&mut self) -> Option<u64> {
        let log = &self.persistence.log;
        let synced = log.is_established().then(|| log.synced());
        let following = self.replication.following.as_mut()?;
        if let Some(synced) = synced {
            following.logged.reach(synced);
        }
        log.is_on().then_some(following.logged.durable)
    }

    /// A client that is the link to the primary is being disconnected; its command goes on without it, if it has one that does.
    pub(in crate::server) fn leave_link(&mut self, link: ClientId, goes_on: bool) {
        let db = self.clients[link].db;
        let Some(following) = &mut self.replication.following else { return };
        if following.link != Some(link) {
            return;
        }
        // It will be whole, and must not come again.
        following.unlinked = goes_on.then_some(db);
        let now_ms = self.clock.now().mono_ms();
        self.note_link_lost(false, now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// The oracle: a list of all places.
    #[test]
    fn no_offset_counts_as_on_the_disk_before_it_is_and_all_do_in_the_end() {
        for seed in 0..30 {
            let mut prng = Prng::seeded(seed);
            let (mut logged, mut all, mut synced) = (Logged::default(), Vec::new(), 1);
            let (mut position, mut offset) = (1, 100);
            for _ in 0..1_500 {
                // Some of the stream changes nothing here.
                (position, offset) = (position + prng.below(2) * 30, offset + 1 + prng.below(50));
                logged.note(position, offset);
                all.push((position, offset));
                if prng.below(60) == 0 {
                    synced = position - prng.below(position - synced + 1);
                    logged.reach(synced);
                    let last =
                        all.iter().rev().find(|(position, _)| *position <= synced).map_or(0, |(_, offset)| *offset);
                    assert!(logged.durable <= last, "seed {seed}: {} of {last}", logged.durable);
                }
            }
            logged.reach(position);
            assert_eq!(logged.durable, offset, "seed {seed}");
        }
    }
}
