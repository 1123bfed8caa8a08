//! What a primary does for its replicas: it hands the stream over, begins the snapshots that they wait for, and lets them go if they
//! are not heard of.
//!
//! # Once a turn
//! [`Server::distribute`] takes what was passed on, once, for the log and for the backlog; [`Server::replicate`] adds what is not for
//! the log (PINGs, requests for acknowledgement) and begins a snapshot if one is due: at this moment the data is exactly what the
//! stream up to here has made of it. Then the connections of replicas are sent what they have not got.

use std::sync::Arc;

use super::acks::AckWaiter;
use super::backlog::Backlog;
use super::history::History;
use super::replica::{Abilities, LeftOut, Replica, Spool, Standing};
use crate::base::clock::Now;
use crate::config::OutputLimit;
use crate::feature::client_id::ClientId;
use crate::persist::rdb::write::Version;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::persistence::Persistence;
use crate::server::persistence::loading::{DROPPED_BYTES_MAX, LoadedOrigin};
use crate::server::persistence::snapshot::WALK_BYTES_MAX;
use crate::server::session::UnblockedBy;

/// Milliseconds between two looks at the replicas.
const LOOK_MS: u64 = 1000;
/// Most bytes of a snapshot that are kept for a replica which has to be told its length first.
pub const SPOOL_BYTES_MAX: u64 = 256 << 20;

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const GETACK: &[u8] = b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n";

const NO_GOOD_REPLICAS: ReplyError = ReplyError::new("NOREPLICAS Not enough good replicas to write.");

/// A snapshot that replicas are about to share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The version of the format.
    pub version: Version,
    /// Values that no Redis has are written, in forms of our own.
    pub has_own_forms: bool,
    /// What it leaves out.
    pub left_out: LeftOut,
}

/// The stream.
impl Server {
    /// Hands what was passed on since the last time over to the log, to replicas and to a backup. O(bytes).
    pub fn distribute(&mut self, now: Now) {
        let feeds = self.replication.backlog.is_some() && !self.replication.is_following();
        // Where there is neither, whoever has it kept takes it otherwise.
        let Persistence { log, backup, .. } = &self.persistence;
        if !self.propagation.has_some() || !(feeds || log.is_on() || backup.is_collecting()) {
            return;
        }
        let bytes = self.propagation.take();
        let position = self.propagation.position();
        if feeds {
            self.feed_replicas(&bytes);
        }
        let Persistence { log, backup, .. } = &mut self.persistence;
        backup.collect(&bytes);
        let left = if log.is_on() { log.collect(bytes, position, now) } else { bytes };
        self.propagation.give_back(left);
    }

    /// Appends to the stream that replicas are sent, and counts it in the history's offset. O(bytes).
    pub fn feed_replicas(&mut self, bytes: &[u8]) {
        let replication = &mut self.replication;
        replication.history.offset += bytes.len() as u64;
        if let Some(backlog) = &mut replication.backlog {
            backlog.push(bytes);
        }
    }

    /// The same for what is not passed on by any command.
    fn feed_beside(&mut self, bytes: &[u8]) {
        self.feed_replicas(bytes);
        self.replication.offsets.note(self.propagation.position(), self.replication.history.offset);
    }

    /// Keeps the stream from now on.
    pub fn begin_backlog(&mut self) {
        let next = self.replication.history.offset + 1;
        self.replication.backlog = Some(Backlog::new(next));
        self.renew_propagation();
        // What was passed on before, and has not been handed over, is in what every replica begins with.
        self.replication.offsets.begin(self.propagation.position(), self.replication.history.offset);
    }

    /// Has commands kept for who is told of them, if anybody is: the log, or the replicas of a primary. To be called when either
    /// of them, or the role, has changed.
    pub fn renew_propagation(&mut self) {
        let feeds = self.replication.backlog.is_some() && !self.replication.is_following();
        let is_wanted = feeds || self.persistence.log.is_on() || self.persistence.backup.is_collecting();
        if is_wanted && !self.propagation.is_wanted() {
            self.begin_propagation();
        } else if !is_wanted && self.propagation.is_wanted() {
            self.end_propagation();
        }
    }

    /// Drops what of the stream is neither to be kept nor needed by a replica.
    pub fn trim_backlog(&mut self) {
        let replication = &mut self.replication;
        let Some(backlog) = &mut replication.backlog else { return };
        if backlog.len() <= self.config.repl_backlog_size {
            return;
        }
        let positions = replication.replicas.iter().filter_map(|client| self.clients[*client].replica.as_ref()?.next);
        let needed = positions.min().unwrap_or(u64::MAX);
        backlog.trim(self.config.repl_backlog_size, needed);
    }

    /// A turn's part in replication, when its commands have run and before replies leave. True if the next turn should follow at once.
    pub fn replicate(&mut self, now: Now) -> bool {
        if !self.replication.is_active() {
            return false;
        }
        self.distribute(now);
        let now_ms = now.mono_ms();
        if now_ms >= self.replication.looked_ms + LOOK_MS {
            self.replication.looked_ms = now_ms;
            self.look_after_replicas(now);
        }
        let may_feed = self.replication.failover.is_none() && !self.replication.is_following();
        if std::mem::take(&mut self.replication.wants_acks) && may_feed && !self.replication.replicas.is_empty() {
            self.feed_beside(GETACK);
        }
        if self.config.min_replicas_to_write > 0 {
            self.count_good_replicas(now);
        }
        self.step_failover(now);
        self.step_ending(now);
        let begun = self.begin_sync_if_due(now);
        begun | self.wake_for_replicas()
    }

    /// Once a second: PINGs, what keeps those alive that wait, and the end of those that are silent.
    fn look_after_replicas(&mut self, now: Now) {
        let now_ms = now.mono_ms();
        let replicas = self.replication.replicas.clone();
        let is_primary = !self.replication.is_following();
        let ping_ms = u64::from(self.config.repl_ping_replica_period) * 1000;
        if is_primary && !replicas.is_empty() && now_ms >= self.replication.pinged_ms + ping_ms {
            self.replication.pinged_ms = now_ms;
            // Whoever takes over has to come to exactly this offset.
            if self.replication.failover.is_none() {
                self.feed_beside(PING);
            }
        }
        let timeout_ms = u64::from(self.config.repl_timeout) * 1000;
        for client in replicas {
            let Some(replica) = &self.clients[client].replica else { continue };
            let is_silent = now_ms.saturating_sub(replica.heard_ms) > timeout_ms;
            match replica.standing {
                Standing::Waiting { .. } => self.post_to_replica(client, Arc::new(b"\n".to_vec())),
                Standing::Receiving if replica.spool.is_some() => {
                    self.post_to_replica(client, Arc::new(b"\n".to_vec()));
                }
                // Who has been sent all there is waits for others that share its snapshot.
                Standing::Receiving if is_silent && self.clients[client].buffers.out_bytes > 0 => {
                    self.cut_off_replica(client, "timedout", "(full sync)")
                }
                Standing::Online | Standing::Loading if is_silent && !replica.is_old => {
                    self.cut_off_replica(client, "timedout", "(streaming sync)");
                }
                _ => {}
            }
        }
        self.free_backlog_if_unused(now);
        self.count_good_replicas(now);
    }

    /// Without replicas for long, nobody comes back who could go on.
    fn free_backlog_if_unused(&mut self, now: Now) {
        let (replication, ttl_s) = (&mut self.replication, self.config.repl_backlog_ttl);
        let is_unused = replication.replicas.is_empty() && !replication.is_following() && ttl_s > 0;
        let idle_s = now.mono_ms().saturating_sub(replication.bare_since_ms) / 1000;
        if is_unused && replication.backlog.is_some() && idle_s > ttl_s {
            // COMPAT: what is written from now on is not counted, so that the offset would name another state.
            replication.begin_history();
            replication.backlog = None;
            log::info!("Replication backlog freed after {ttl_s} seconds without connected replicas.");
            self.renew_propagation();
        }
    }

    fn cut_off_replica(&mut self, client: ClientId, why: &str, phase: &str) {
        log::warn!("Disconnecting {why} replica {phase}: {}", self.replica_name(client));
        self.kill(client);
    }
}

/// Histories that outlive the process.
impl Server {
    /// Goes on with the history that a dump file was of: as a primary in one of its own, which has the same beginning.
    pub fn restore_history(&mut self, origin: LoadedOrigin) {
        let LoadedOrigin { id: Some(id), offset: Some(offset), stream_db, dropped, dropped_bytes } = origin else {
            return;
        };
        self.replication.loaded_db = Some(stream_db);
        if self.config.replicaof.is_some() {
            let db = self.dbs.make(stream_db).unwrap_or(0);
            if let Some(following) = &mut self.replication.following {
                following.db = db;
            }
            self.replication.history = History { offset, is_shared: true, ..History::new(id) };
            return;
        }
        if self.stats.evicted_keys > 0 {
            log::info!("Keys had to go for want of memory while the dump file was loaded: replicas have to begin anew");
            return;
        }
        if dropped_bytes > DROPPED_BYTES_MAX {
            log::info!("So many keys have expired since the dump file was saved that replicas have to begin anew");
            return;
        }
        log::info!("The data is of history {id} up to offset {offset}: its replicas may go on from there");
        self.replication.resume_history(id, offset);
        self.replication.bare_since_ms = self.clock.now().mono_ms();
        self.begin_backlog();
        dropped.iter().for_each(|(place, key)| self.propagate_apart(*place, [b"DEL".as_slice(), key]));
    }
}

/// Who the replicas are.
impl Server {
    /// How the log calls a replica: its address, with the port that it listens on.
    pub fn replica_name(&self, client: ClientId) -> String {
        let host = self.replica_host(client);
        match self.clients[client].replica.as_ref().map_or(0, |replica| replica.port) {
            0 => format!("{host}:<unknown-replica-port>"),
            port => format!("{host}:{port}"),
        }
    }

    /// The address that a replica wants to be known by; else that of its connection.
    pub fn replica_host(&self, client: ClientId) -> &str {
        let session = &self.clients[client];
        let said = session.replica.as_ref().and_then(|replica| replica.host.as_deref());
        let peer = || session.peer.rsplit_once(':').map_or(&*session.peer, |(host, _)| host);
        said.unwrap_or_else(peer).trim_matches(['[', ']'])
    }

    /// What is known of a client that may become a replica.
    pub fn announced(&mut self, client: ClientId) -> &mut Replica {
        self.clients[client].replica.get_or_insert_default()
    }

    /// Makes a replica of a client that goes on with the stream from an offset, which is there.
    pub fn attach_at(&mut self, client: ClientId, next: u64, now: Now) {
        let replica = self.announced(client);
        (replica.standing, replica.next, replica.heard_ms) = (Standing::Online, Some(next), now.mono_ms());
        // It has all that comes before.
        replica.acked = next - 1;
        self.attach(client, now);
        self.replication.counts.partial += 1;
    }

    /// Makes a replica of a client that waits for a snapshot.
    pub fn attach_waiting(&mut self, client: ClientId, now: Now) {
        let since_ms = now.mono_ms();
        let replica = self.announced(client);
        (replica.standing, replica.heard_ms) = (Standing::Waiting { since_ms }, since_ms);
        self.attach(client, now);
        self.replication.counts.full += 1;
        self.replication.history.is_shared = true;
        if self.replication.backlog.is_none() {
            if !self.replication.is_following() {
                self.replication.begin_history();
                self.replication.history.is_shared = true;
            }
            self.distribute(now);
            self.begin_backlog();
            let History { id, .. } = &self.replication.history;
            log::info!("Replication backlog created, my new replication IDs are '{id}' and '{}'", "0".repeat(40));
        }
        if self.persistence.snapshots.is_running() {
            log::info!("Waiting for next BGSAVE for SYNC");
        }
    }

    fn attach(&mut self, client: ClientId, now: Now) {
        self.clients[client].is_replica = true;
        self.replication.replicas.push(client);
        self.count_client_bytes(client);
        self.count_good_replicas(now);
    }

    /// Forgets a replica that goes. Nothing happens if the client is none.
    pub(in crate::server) fn detach(&mut self, client: ClientId) {
        if !self.clients[client].is_replica {
            return;
        }
        self.clients[client].is_replica = false;
        log::info!("Connection with replica {} lost.", self.replica_name(client));
        self.clients[client].replica = None;
        self.replication.replicas.retain(|other| *other != client);
        let now = self.clock.now();
        if self.replication.replicas.is_empty() {
            self.replication.bare_since_ms = now.mono_ms();
        }
        self.leave_snapshot(client);
        self.count_good_replicas(now);
    }

    /// A replica says how far it is.
    pub fn note_ack(&mut self, client: ClientId, offset: u64, durable: Option<u64>, now: Now) {
        let session = &mut self.clients[client];
        let Some(replica) = session.replica.as_mut().filter(|_| session.is_replica) else { return };
        replica.acked = replica.acked.max(offset);
        replica.durable = replica.durable.max(durable.unwrap_or(0));
        replica.heard_ms = now.mono_ms();
        if replica.standing == Standing::Loading {
            replica.standing = Standing::Online;
            log::info!("Synchronization with replica {} succeeded", self.replica_name(client));
        }
        self.count_good_replicas(now);
        self.wake_for_replicas();
    }

    /// Renews whether writes are refused for want of replicas.
    pub fn count_good_replicas(&mut self, now: Now) {
        let (least, lag_s) = (self.config.min_replicas_to_write, self.config.min_replicas_max_lag);
        if least == 0 || lag_s == 0 || self.replication.is_following() {
            self.replication.is_short = false;
            return;
        }
        self.replication.is_short = self.good_replicas(now) < least as usize;
    }

    /// Replicas that are sent the stream and have said lately how far they are.
    pub fn good_replicas(&self, now: Now) -> usize {
        let lag_ms = u64::from(self.config.min_replicas_max_lag) * 1000;
        let is_good =
            |replica: &Replica| replica.standing == Standing::Online && now.mono_ms() <= replica.heard_ms + lag_ms;
        self.replicas().filter(|(_, replica)| is_good(replica)).count()
    }

    /// The monotonic millisecond at which a replica is no good one any more, if it is not heard of before.
    pub fn next_lag_due_ms(&self, now_ms: u64) -> Option<u64> {
        let lag_ms = u64::from(self.config.min_replicas_max_lag) * 1000;
        if self.config.min_replicas_to_write == 0 || self.replication.is_short || self.replication.is_following() {
            return None;
        }
        self.replicas().map(|(_, replica)| replica.heard_ms + lag_ms + 1).filter(|due_ms| *due_ms > now_ms).min()
    }

    /// The replicas, in the order in which they came.
    pub fn replicas(&self) -> impl Iterator<Item = (ClientId, &Replica)> {
        self.replication
            .replicas
            .iter()
            .filter_map(|client| Some((*client, &**self.clients[*client].replica.as_ref()?)))
    }

    /// Why a command that changes data is refused for want of replicas, if it is.
    pub fn replicas_refusal(&self) -> Option<ReplyError> {
        self.replication.is_short.then_some(NO_GOOD_REPLICAS)
    }
}

/// What replicas are sent.
impl Server {
    /// Bytes of the stream that a replica has not been sent, and may be: `None` for a client that is sent none.
    pub fn unsent_stream(&self, client: ClientId) -> Option<u64> {
        let replica = self.clients[client].replica.as_ref()?;
        let next = replica.next.filter(|_| replica.standing == Standing::Online)?;
        Some((self.replication.history.offset + 1).saturating_sub(next))
    }

    /// What is held against the output limit of a replica that has so many bytes of a snapshot, or of replies, to be sent: all of
    /// the stream that is kept for it as well, but not what the walk of its snapshot has put there at its own pace.
    pub fn counted_output(&self, client: ClientId, out_bytes: usize) -> u64 {
        let Some(replica) = &self.clients[client].replica else { return out_bytes as u64 };
        let stream = replica.next.map_or(0, |next| (self.replication.history.offset + 1).saturating_sub(next));
        let own_pace = if replica.is_synchronised() { 0 } else { WALK_BYTES_MAX };
        let spooled = replica.spool.as_ref().map_or(0, |spool| spool.bytes);
        stream + (out_bytes.saturating_sub(own_pace) + spooled) as u64
    }

    /// The output limit of a replica. One below the size of the backlog would cut off who could go on at once.
    pub fn replica_limit(&self) -> OutputLimit {
        let limit = self.config.client_output_buffer_limit.replica;
        let least = |bytes: u64| if bytes == 0 { 0 } else { bytes.max(self.config.repl_backlog_size) };
        OutputLimit { hard_bytes: least(limit.hard_bytes), soft_bytes: least(limit.soft_bytes), ..limit }
    }

    /// Appends to a replica's output.
    pub fn post_to_replica(&mut self, client: ClientId, text: Arc<Vec<u8>>) {
        let bytes = text.len() as u64;
        self.outbox.send(client, text);
        self.clients[client].posted_bytes += bytes;
    }

    /// So many bytes of the stream have been sent to a replica.
    pub fn note_streamed(&mut self, client: ClientId, bytes: usize) {
        if let Some(next) = self.clients[client].replica.as_mut().and_then(|replica| replica.next.as_mut()) {
            *next += bytes as u64;
        }
    }
}

/// Full synchronisations.
impl Server {
    /// Begins a snapshot for those that wait for one, if it is time and nothing is half done. True if it has begun.
    fn begin_sync_if_due(&mut self, now: Now) -> bool {
        if self.persistence.snapshots.is_running() || self.is_loading() {
            return false;
        }
        let waiting = self.replicas().filter_map(|(client, replica)| match replica.standing {
            Standing::Waiting { since_ms } => Some((client, since_ms)),
            _ => None,
        });
        let waiting: Vec<(ClientId, u64)> = waiting.collect();
        let Some(longest_ms) = waiting.iter().map(|&(_, since_ms)| now.mono_ms().saturating_sub(since_ms)).max() else {
            return false;
        };
        let most = self.config.repl_diskless_sync_max_replicas as usize;
        let is_due =
            longest_ms >= u64::from(self.config.repl_diskless_sync_delay) * 1000 || (most > 0 && waiting.len() >= most);
        if !is_due {
            return false;
        }
        if self.is_amid_unit() {
            // The data is not what it will be.
            self.jobs.is_whole_wanted = true;
            return false;
        }
        let wanted = self.wanted_by(waiting[0].0);
        let sharing = waiting.iter().map(|&(client, _)| client).filter(|client| self.wanted_by(*client) == wanted);
        let sharing: Vec<ClientId> = sharing.collect();
        log::info!("Starting BGSAVE for SYNC with target: replicas sockets");
        self.begin_replica_snapshot(sharing, wanted, now)
    }

    fn wanted_by(&self, client: ClientId) -> Wanted {
        let has_element_deadlines = self.dbs.iter().any(|db| db.timed_collections() > 0);
        let (abilities, left_out, is_rdb_only) = match &self.clients[client].replica {
            Some(replica) => (replica.abilities, replica.left_out, replica.is_rdb_only),
            None => (Abilities::default(), LeftOut::default(), false),
        };
        let forced = Version::of_number(self.config.rdb_format_version.into());
        let has_producers = self.dbs.iter().any(|db| db.knows_producers);
        let version = forced.unwrap_or(abilities.version(has_element_deadlines, has_producers));
        // Who only wants a file need not understand it.
        let has_own_forms = forced.is_none() && (abilities.own_forms || is_rdb_only);
        Wanted { version, has_own_forms, left_out }
    }

    /// Tells a replica that a full synchronisation begins, as of the stream up to here.
    pub(in crate::server) fn begin_sync_of(&mut self, client: ClientId, mark: &str, now: Now) {
        let offset = self.replication.history.offset;
        let replica = self.announced(client);
        (replica.standing, replica.next, replica.heard_ms) = (Standing::Receiving, Some(offset + 1), now.mono_ms());
        replica.acked = 0;
        if !replica.abilities.eof {
            replica.spool = Some(Spool::default());
        }
        let (is_old, has_eof) = (replica.is_old, replica.abilities.eof);
        let mut text = Vec::new();
        if !is_old {
            text.extend_from_slice(format!("+FULLRESYNC {} {offset}\r\n", self.replication.history.id).as_bytes());
        }
        if has_eof {
            text.extend_from_slice(format!("$EOF:{mark}\r\n").as_bytes());
        }
        if !text.is_empty() {
            self.post_to_replica(client, Arc::new(text));
        }
    }

    /// All of the snapshot has been handed over to a replica.
    pub(in crate::server) fn end_sync_of(&mut self, client: ClientId, now: Now) {
        let name = self.replica_name(client);
        let replica = self.announced(client);
        replica.heard_ms = now.mono_ms();
        replica.standing = Standing::Loading;
        let spool = replica.spool.take();
        let knows_length = spool.is_some();
        if let Some(Spool { pieces, bytes }) = spool {
            self.post_to_replica(client, Arc::new(format!("${bytes}\r\n").into_bytes()));
            pieces.into_iter().for_each(|piece| self.post_to_replica(client, piece));
        }
        let replica = self.announced(client);
        if replica.is_rdb_only {
            // Its connection is closed when it has been sent everything.
            log::info!("RDB transfer completed, rdb only replica ({name}) should be disconnected asap");
        } else if replica.is_old && knows_length {
            // It tells nothing of itself. One that looks for the mark has to say that it has found it: it would not with the stream
            // behind it in the same bytes, which is so with `redis-cli --replica`.
            replica.standing = Standing::Online;
        } else {
            log::info!("Streamed the snapshot to replica {name}, waiting for REPLCONF ACK from it to enable streaming");
        }
    }
}

/// Who waits for replicas.
impl Server {
    /// The offset of all that a client has written.
    pub fn offset_written_by(&self, client: ClientId) -> u64 {
        self.replication.offsets.of(self.clients[client].wrote_upto)
    }

    /// Replicas that say they have the stream up to an offset; on their disks, if that is asked for.
    pub fn replicas_with(&self, offset: u64, durable: bool) -> usize {
        let has = |replica: &Replica| {
            let said = if durable { replica.durable } else { replica.acked };
            replica.standing == Standing::Online && said >= offset
        };
        self.replicas().filter(|(_, replica)| has(replica)).count()
    }

    /// Has a client told when replicas have what it waits for, and replicas asked how far they are.
    pub fn wait_for_acks(&mut self, waiter: AckWaiter) {
        let Server { replication, clients, .. } = self;
        // Those whose time is over are forgotten before there are very many of them.
        if replication.waiting.len() == replication.waiting.capacity() {
            replication
                .waiting
                .retain(|waiter| clients.get(waiter.client).is_some_and(|session| session.waiting.is_some()));
        }
        replication.waiting.push(waiter);
        replication.wants_acks = true;
    }

    /// Ends the waits that are over. True if there are any.
    pub fn wake_for_replicas(&mut self) -> bool {
        if self.replication.waiting.is_empty() {
            return false;
        }
        let mut waiting = std::mem::take(&mut self.replication.waiting);
        let mut any = false;
        waiting.retain(|waiter| {
            let is_waiting = self.clients.get(waiter.client).is_some_and(|session| session.waiting.is_some());
            // Who waits for a log that has gone waits in vain.
            let is_vain = waiter.local && !self.persistence.log.is_on();
            let is_local = !waiter.local || self.is_durable(waiter.client);
            let has = self.replicas_with(waiter.offset, waiter.durable) as u64;
            let is_over = is_waiting && (is_vain || (is_local && has >= waiter.replicas));
            if is_over {
                any |= self.unblock(waiter.client, UnblockedBy::Reply);
            }
            is_waiting && !is_over
        });
        self.replication.waiting = waiting;
        any
    }
}
