//! How a replica takes over in an orderly way (FAILOVER), and how the end of the process waits for replicas (SHUTDOWN).
//!
//! Both stop writes, so that replicas come to exactly the offset that there is, and go on when they have. A failover ends with
//! the primary following the replica that it has waited for: it sends `PSYNC <id> <offset> FAILOVER`, at which that one becomes
//! a primary, whose history goes on from the one that both have.

use std::fmt::Write;

use super::replica::{Replica, Standing};
use crate::base::clock::Now;
use crate::config::{ServerAddress, ShutdownOn};
use crate::feature::client_id::ClientId;
use crate::server::Server;
use crate::server::session::{Session, UnblockedBy};

/// How far a failover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// A replica has to come to the offset that there is.
    WaitingForSync,
    /// It is asked to take over.
    InProgress,
}

/// A failover.
#[derive(Clone, Debug)]
pub struct Failover {
    /// How far it is.
    pub stage: Stage,
    /// Who takes over; the first that can, if nobody was named.
    pub target: Option<ServerAddress>,
    /// Monotonic milliseconds at which no more is waited.
    pub until_ms: Option<u64>,
    /// The replica that was named takes over then, whatever it lacks.
    pub is_forced: bool,
}

/// An end of the process that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// How it ends.
    pub how: ShutdownOn,
    /// Monotonic milliseconds at which no more is waited.
    pub until_ms: u64,
    /// The offset that replicas are to have.
    offset: u64,
}

impl Server {
    /// Stops or lets go on what writes, as failovers and ends that wait have it.
    fn renew_write_stop(&mut self) {
        self.writes_stop = self.replication.failover.is_some() || self.process.ending.is_some();
    }

    /// Finds the replica that listens there.
    pub fn find_replica(&self, host: &[u8], port: i64) -> Option<ClientId> {
        let listens = |client: ClientId, replica: &Replica| {
            self.replica_host(client).as_bytes() == host && i64::from(replica.port) == port
        };
        self.replicas().find(|(client, replica)| listens(*client, replica)).map(|(client, _)| client)
    }

    /// Begins a failover: writes wait from now on.
    pub fn begin_failover(&mut self, failover: Failover) {
        log::info!("FAILOVER requested: writes wait until a replica has caught up.");
        self.replication.failover = Some(Box::new(failover));
        self.renew_write_stop();
    }

    /// Gives a failover up: writes go on.
    pub fn abort_failover(&mut self, why: &str) {
        let Some(failover) = self.replication.failover.take() else { return };
        match &failover.target {
            Some(ServerAddress { host, port }) => log::info!("Aborting failover to {host}:{port}: {why}"),
            None => log::info!("Aborting failover: {why}"),
        }
        if failover.stage == Stage::InProgress {
            self.stop_following();
        }
        self.renew_write_stop();
    }

    /// The replica has taken over, and is followed.
    pub fn end_failover(&mut self) {
        if self.replication.failover.take().is_some() {
            log::info!("Failover: the new primary is followed.");
            self.renew_write_stop();
        }
    }

    /// Moves a failover on.
    pub(super) fn step_failover(&mut self, now: Now) {
        let Some(failover) = &self.replication.failover else { return };
        if failover.stage != Stage::WaitingForSync {
            return;
        }
        if failover.until_ms.is_some_and(|until_ms| now.mono_ms() >= until_ms) {
            match failover.target.clone().filter(|_| failover.is_forced) {
                Some(target) => {
                    log::info!("Failover to {}:{} time out exceeded, failing over.", target.host, target.port);
                    self.go_over_to(target);
                }
                None => self.abort_failover("Replica never caught up before timeout"),
            }
            return;
        }
        let offset = self.replication.history.offset;
        let has_all = |client: &ClientId| {
            let replica = self.clients[*client].replica.as_ref();
            replica.is_some_and(|replica| replica.standing == Standing::Online && replica.acked == offset)
        };
        let target = match &failover.target {
            Some(target) => {
                let named = self.find_replica(target.host.as_bytes(), i64::from(target.port));
                named.filter(has_all).map(|_| target.clone())
            }
            None => self.replication.replicas.iter().copied().find(has_all).and_then(|client| self.address_of(client)),
        };
        if let Some(target) = target {
            log::info!("Failover target {}:{} is synced, failing over.", target.host, target.port);
            self.go_over_to(target);
        }
    }

    /// Where a replica listens, as far as it has said.
    fn address_of(&self, client: ClientId) -> Option<ServerAddress> {
        let replica = self.clients[client].replica.as_ref()?;
        let host = self.replica_host(client).to_owned();
        Some(ServerAddress { host, port: u16::try_from(replica.port).ok().filter(|port| *port > 0)? })
    }

    fn go_over_to(&mut self, target: ServerAddress) {
        if let Some(failover) = &mut self.replication.failover {
            (failover.stage, failover.target) = (Stage::InProgress, Some(target.clone()));
        }
        self.follow(target);
    }
}

/// The end of the process.
impl Server {
    /// Has the end wait for replicas that lack something, if it is to wait for them. True if it does: writes wait from now on, and
    /// the end comes by itself.
    pub fn ends_later(&mut self, how: ShutdownOn, now: Now) -> bool {
        if self.process.ending.is_some() && !how.now {
            return true;
        }
        self.process.ending = None;
        self.renew_write_stop();
        let timeout_ms = u64::from(self.config.shutdown_timeout) * 1000;
        let is_alone = self.replication.replicas.is_empty();
        if how.now || timeout_ms == 0 || is_alone || self.replication.is_following() || self.is_loading() {
            return false;
        }
        self.distribute(now);
        let offset = self.replication.history.offset;
        if self.lagging_replicas(offset) == 0 {
            return false;
        }
        log::info!("Waiting for replicas before shutting down.");
        self.process.ending = Some(Ending { how, until_ms: now.mono_ms() + timeout_ms, offset });
        self.replication.wants_acks = true;
        self.renew_write_stop();
        true
    }

    /// Replicas that have not said that they have the stream up to an offset.
    fn lagging_replicas(&self, offset: u64) -> usize {
        self.replicas().filter(|(_, replica)| replica.acked < offset).count()
    }

    /// The end that waits is given up. False if none does.
    pub fn abort_ending(&mut self) -> bool {
        if self.process.ending.take().is_none() {
            return false;
        }
        log::info!("Shutdown manually aborted.");
        self.renew_write_stop();
        self.wake_those_who_end();
        true
    }

    /// Ends the process if replicas have everything, or have had enough time. To be called once a turn.
    pub fn step_ending(&mut self, now: Now) {
        let Some(ending) = self.process.ending else { return };
        if self.lagging_replicas(ending.offset) > 0 && now.mono_ms() < ending.until_ms {
            return;
        }
        self.tell_lagging(ending.offset, now);
        self.process.ending = None;
        self.renew_write_stop();
        match self.prepare_shutdown(ending.how, now) {
            Ok(()) => self.process.stop_requested = true,
            Err(_) => self.wake_those_who_end(),
        }
    }

    fn tell_lagging(&self, offset: u64, now: Now) {
        let count = self.replication.replicas.len();
        for (client, replica) in self.replicas().filter(|(_, replica)| replica.acked < offset) {
            let mut line = format!("Lagging replica {} reported offset ", self.replica_name(client));
            // Writing to a `String` cannot fail.
            let _ = write!(line, "{} behind master, lag={}", offset - replica.acked, replica.lag_s(now.mono_ms()));
            log::warn!("{line}, state={}.", replica.state_name());
        }
        let in_sync = count - self.lagging_replicas(offset);
        log::info!("{in_sync} of {count} replicas are in sync when shutting down.");
    }

    /// Answers clients whose SHUTDOWN does not end the process.
    fn wake_those_who_end(&mut self) {
        let ends =
            |session: &Session| session.waiting.as_ref().is_some_and(|waiting| waiting.command.spec.name == "SHUTDOWN");
        let clients: Vec<ClientId> =
            self.clients.present().filter(|(_, session)| ends(session)).map(|(client, _)| client).collect();
        clients.into_iter().for_each(|client| _ = self.unblock(client, UnblockedBy::Reply));
    }
}
