//! A snapshot that goes to replicas as it comes: several share it, and none of its bytes is there twice.
//!
//! Its pieces are lent to the outputs of all of them; long strings are lent by their entries. The walk rests while the slowest output
//! holds much, but nobody who writes is held up: what they force out goes there as well, and a replica for which that becomes more
//! than its output limit allows is cut off. With the last one the snapshot is given up.

use std::sync::Arc;

use super::jobs::lock;
use super::{Outcome, Purpose, Running, Sink, WALK_BYTES_MAX};
use crate::base::clock::Now;
use crate::feature::client_id::ClientId;
use crate::persist::rdb::file::Options;
use crate::persist::rdb::write::{Version, Writer};
use crate::persist::snapshot::{Code, Form, Piece};
use crate::server::Server;
use crate::server::replication::primary::{SPOOL_BYTES_MAX, Wanted};

/// Who is sent a snapshot.
#[derive(Debug)]
pub(super) struct Feed {
    replicas: Vec<ClientId>,
    /// What comes behind it.
    mark: String,
    /// Bytes that have been sent.
    bytes: u64,
}

impl Server {
    /// Begins a snapshot of what is in the databases now, for replicas that share it. False if another one is not over.
    pub fn begin_replica_snapshot(&mut self, replicas: Vec<ClientId>, wanted: Wanted, now: Now) -> bool {
        if self.persistence.snapshots.is_running() {
            return false;
        }
        self.distribute(now);
        // Whoever begins here knows of no database that was selected.
        if !self.replication.is_following() {
            self.propagation.forget_selected();
        }
        let Wanted { version, has_own_forms, left_out } = wanted;
        let accesses = self.accesses_told(now);
        let options = Options { version, has_own_forms, compress: false, checksum: false, accesses };
        let code = match left_out.functions {
            true => Code::default(),
            false => self.scripting.code_to_keep(self.config.script_persist),
        };
        let collected = self.collector_of(Form::Dump(options), Purpose::Replicas, &code, !left_out.data, now);
        let mark = self.replication.new_mark();
        replicas.iter().for_each(|client| self.begin_sync_of(*client, &mark, now));
        let feed = Feed { replicas, mark, bytes: 0 };
        self.begin_walk(Purpose::Replicas, collected, Sink::Replicas(Box::new(feed)), !left_out.data, now);
        true
    }

    /// A replica goes, perhaps in the midst of its snapshot.
    pub(in crate::server) fn leave_snapshot(&mut self, client: ClientId) {
        let Some(running) = &mut self.persistence.snapshots.running else { return };
        let Sink::Replicas(feed) = &mut running.sink else { return };
        let before = feed.replicas.len();
        feed.replicas.retain(|other| *other != client);
        if before > 0 && feed.replicas.is_empty() && running.outcome.is_none() {
            log::info!("Diskless rdb transfer, last replica dropped, killing fork child.");
            self.cancel_snapshot(Purpose::Replicas);
        }
    }

    /// What became of a snapshot for replicas.
    pub(super) fn note_replica_snapshot(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Saved(bytes) => log::info!("Background RDB transfer terminated with success: {bytes} bytes"),
            Outcome::Failed(why) => log::error!("Background transfer error: {why}"),
            Outcome::Cancelled => log::warn!("Background transfer cancelled: no replica is left"),
        }
    }

    /// Bytes that may wait for the slowest replica before the walk rests.
    pub(super) fn replica_walk_bytes(&self) -> usize {
        match self.replica_limit().hard_bytes {
            0 => WALK_BYTES_MAX,
            limit => WALK_BYTES_MAX.min(limit as usize / 2),
        }
    }

    /// Notes how much waits for the slowest of the replicas that share a snapshot; without any it is given up.
    pub(super) fn note_replica_outputs(&mut self, running: &mut Running) {
        let Sink::Replicas(feed) = &running.sink else { return };
        if feed.replicas.is_empty() && running.outcome.is_none() {
            return self.give_up(running, Outcome::Cancelled);
        }
        let waiting = feed.replicas.iter().map(|client| {
            let session = &self.clients[*client];
            let spooled = session.replica.as_ref().and_then(|replica| replica.spool.as_ref());
            // What is kept until the length is known waits for nobody.
            if spooled.is_some() { 0 } else { session.buffers.out_bytes + session.posted_bytes as usize }
        });
        running.job_bytes = waiting.max().unwrap_or(0);
    }

    /// Hands the pieces that are whole over to the outputs of replicas.
    pub(super) fn send_pieces(&mut self, running: &mut Running, now: Now) {
        if let Some(Outcome::Failed(why)) = &running.outcome
            && let Sink::Replicas(feed) = &mut running.sink
        {
            for client in std::mem::take(&mut feed.replicas) {
                log::warn!("Disconnecting replica {}: {why}", self.replica_name(client));
                self.kill(client);
            }
        }
        if running.outcome.is_some() {
            return;
        }
        let Sink::Replicas(feed) = &mut running.sink else { return };
        loop {
            let Some(piece) = lock(&running.collector).take_piece() else { break };
            match piece {
                Piece::Bytes(bytes) | Piece::Commands(bytes) => self.send_piece(feed, Arc::new(bytes), now),
                Piece::Text(text) => {
                    let mut length = Writer::new(Version::Redis10, false);
                    length.length(text.len() as u64);
                    self.send_piece(feed, Arc::new(length.take()), now);
                    self.send_piece(feed, text, now);
                }
                // A checksum of 0 says that none was made.
                Piece::End(bytes) => {
                    self.send_piece(feed, Arc::new(bytes), now);
                    let mark = Arc::new(feed.mark.clone().into_bytes());
                    for client in std::mem::take(&mut feed.replicas) {
                        if self.clients[client].replica.as_ref().is_some_and(|replica| replica.spool.is_none()) {
                            self.post_to_replica(client, Arc::clone(&mark));
                        }
                        self.end_sync_of(client, now);
                    }
                    running.outcome = Some(Outcome::Saved(feed.bytes));
                }
            }
        }
    }

    /// Hands a piece over to all of them.
    fn send_piece(&mut self, feed: &mut Feed, piece: Arc<Vec<u8>>, now: Now) {
        feed.bytes += piece.len() as u64;
        let mut too_much = Vec::new();
        for &client in &feed.replicas {
            let Some(replica) = &mut self.clients[client].replica else { continue };
            let Some(spool) = &mut replica.spool else {
                self.post_to_replica(client, Arc::clone(&piece));
                continue;
            };
            replica.heard_ms = now.mono_ms();
            spool.bytes += piece.len();
            spool.pieces.push(Arc::clone(&piece));
            if spool.bytes as u64 > SPOOL_BYTES_MAX {
                too_much.push(client);
            }
        }
        for client in too_much {
            log::warn!(
                "Disconnecting replica {}: it has not said `REPLCONF capa eof`, and the data has more than {SPOOL_BYTES_MAX} \
                 bytes, of which it would have to be told the number first",
                self.replica_name(client)
            );
            feed.replicas.retain(|other| *other != client);
            self.kill(client);
        }
    }
}
