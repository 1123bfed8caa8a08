//! Connections that this server has made itself: what a turn does for them, and who gets what comes over them.
//!
//! A link is a client whose session says what it is for (`Session::link`). As long as what comes are no commands, it counts as waiting
//! (`Blocked::Link`), and `net` hands what it reads to [`receive`]. The primary's is the affair of [`replication`]; what targets of
//! MIGRATE send are replies, which `server::targets` keeps for the jobs that wait for them.

use std::io;

use super::replication;
use crate::base::clock::Now;
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::outgoing::LinkKind;
use crate::server::session::Blocked;

/// What became of bytes that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Went {
    /// They are taken, and more are to come.
    On,
    /// From so many bytes on they are commands, which may have to wait.
    Streams(usize),
    /// The connection is being given up.
    Lost,
}

/// A turn's part. True if there is more to do at once.
#[inline]
pub fn step(server: &mut Server, now: Now) -> bool {
    if server.outgoing.next_due_ms().is_some() {
        note_found(server, now);
    }
    if server.targets.count() > 0 {
        server.tidy_targets(now.mono_ms());
    }
    replication::step(server, now)
}

#[cold]
fn note_found(server: &mut Server, now: Now) {
    for (kind, error) in server.outgoing.note_found(now.mono_ms()) {
        connect_failed(server, kind, &error);
    }
}

/// The monotonic millisecond at which a turn has something to do here, if nothing happens before.
pub(super) fn next_due_ms(server: &Server, now_ms: u64) -> Option<u64> {
    let own = replication::next_due_ms(server, now_ms).into_iter().chain(server.outgoing.next_due_ms());
    own.chain(server.targets.next_due_ms()).min()
}

/// True if what has just been sent, or lost, lets a job go on that waits for a link.
#[inline]
pub fn may_jobs_go_on(server: &Server) -> bool {
    server.jobs.are_running() && server.targets.count() > 0 && server.may_target_go_on()
}

/// A connection that was wanted could not be made.
pub fn connect_failed(server: &mut Server, kind: LinkKind, error: &io::Error) {
    match kind {
        LinkKind::Primary { .. } => replication::connect_failed(server, kind, error),
        LinkKind::Target { number, addresses, .. } => server.target_unreachable(number, addresses, error),
    }
}

/// A connection that was wanted is being made: its client has this session. What is to be said first goes to `out`. False if nobody
/// wants it any more.
pub fn begin(server: &mut Server, kind: LinkKind, client: ClientId, out: &mut Out) -> bool {
    let is_wanted = match kind {
        LinkKind::Primary { .. } => server.is_present_attempt(kind),
        LinkKind::Target { number, addresses, .. } => server.target_made(number, addresses, client),
    };
    if !is_wanted {
        return false;
    }
    let session = &mut server.clients[client];
    (session.authenticated, session.unlimited, session.link) = (true, true, Some(kind));
    server.clients.block(client, Blocked::Link);
    if matches!(kind, LinkKind::Primary { .. }) {
        replication::begin(server, client, out);
    }
    true
}

/// True if what follows over a link has to wait.
pub fn is_waiting(server: &Server, client: ClientId) -> bool {
    matches!(server.clients[client].link, Some(LinkKind::Primary { .. })) && replication::is_waiting(server)
}

/// Takes what has come over a link, where it is no command. What is to be said goes to `out`.
pub fn receive(server: &mut Server, client: ClientId, bytes: &[u8], out: &mut Out, now: Now) -> Went {
    match server.clients[client].link {
        Some(LinkKind::Target { number, .. }) => {
            server.receive_from_target(client, number, bytes);
            Went::On
        }
        Some(LinkKind::Primary { .. }) | None => replication::receive(server, client, bytes, out, now),
    }
}

/// The other end has closed a link, or it cannot be read any more.
pub fn closed(server: &mut Server, client: ClientId, error: Option<&io::Error>) {
    match (server.clients[client].link, error) {
        (Some(LinkKind::Target { .. }), None) => log::debug!("A target of MIGRATE has closed the connection"),
        (Some(LinkKind::Target { .. }), Some(error)) => log::debug!("Reading from a target of MIGRATE: {error}"),
        (_, None) => log::warn!("The master has closed the connection"),
        (_, Some(error)) => log::error!("Error condition on socket for SYNC: {error}"),
    }
    server.kill(client);
}
