//! Following a primary: what a turn does for it.
//!
//! 1. `step`, once a turn, has a connection made when it is time, gives up one that is silent, and says how far we are.
//! 2. What comes over the connection is first a dialogue (`link`), then perhaps a data set as a whole (`load`), then the stream:
//!    commands like those of any client, which are parsed by `net` and come to [`apply`] by `dispatch`.
//!
//! A link is a client whose session says so (`Session::link`). As long as it is not the stream that comes, it counts as waiting
//! (`Blocked::Link`), and what `net` reads comes to `receive` by [`links`](super::links).

pub mod apply;
mod gate;
mod link;
mod load;

use std::io;

use super::links::Went;
use crate::base::clock::Now;
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::outgoing::LinkKind;
use crate::server::replication::following::LinkState;
use crate::server::session::Blocked;

pub(super) use gate::{READ_ONLY, redirection, refusal, stale_refusal};

/// Milliseconds between two times that the primary is told how far we are.
const ACK_MS: u64 = 1000;

/// A turn's part. True if there is more to do at once.
#[inline]
pub(super) fn step(server: &mut Server, now: Now) -> bool {
    server.replication.is_following() && step_following(server, now)
}

fn step_following(server: &mut Server, now: Now) -> bool {
    let now_ms = now.mono_ms();
    if server.is_loading() {
        return false;
    }
    let timeout_ms = u64::from(server.config.repl_timeout) * 1000;
    let Some(following) = &mut server.replication.following else { return false };
    match (following.state, following.link) {
        (LinkState::Connect, _) if now_ms >= following.retry_ms && following.unlinked.is_none() => connect(server, now),
        (LinkState::Connect, _) => {}
        // The name is being looked up, or the connection has not been begun.
        (_, None) => {
            if now_ms >= following.began_ms + timeout_ms {
                log::error!("Timeout connecting to the MASTER...");
                server.note_link_lost(false, now_ms);
            }
        }
        (state, Some(link)) => {
            let is_silent = now_ms >= server.clients[link].active_ms + timeout_ms;
            if is_silent {
                match state {
                    LinkState::Connected => log::error!("MASTER timeout: no data nor PING received..."),
                    LinkState::Sync => log::error!(
                        "Timeout receiving bulk data from MASTER... If the problem persists try to set the 'repl-timeout' parameter in \
                         redis.conf to a larger value."
                    ),
                    _ => log::error!("Timeout connecting to the MASTER..."),
                }
                server.kill(link);
            } else if state == LinkState::Connected {
                step_connected(server, link, now_ms);
            } else if state == LinkState::Sync {
                return link::step_sync(server, link, now);
            }
        }
    }
    false
}

fn step_connected(server: &mut Server, link: ClientId, now_ms: u64) {
    if server.clients[link].blocked == Some(Blocked::Link) && !server.scripting.is_parked() {
        // It waited for a script.
        server.clients[link].blocked = None;
        server.clients.resumed.push(link);
    }
    server.commit_stream(link);
    let Some(following) = &mut server.replication.following else { return };
    if now_ms >= following.acked_ms + ACK_MS {
        let mut out = Out::default();
        acknowledge(server, &mut out, now_ms);
        server.outbox.reply(link, out);
    }
}

/// The monotonic millisecond at which a turn has something to do here, if nothing happens before.
pub(super) fn next_due_ms(server: &Server, now_ms: u64) -> Option<u64> {
    let failover = server.replication.failover.as_ref().and_then(|failover| failover.until_ms);
    let ending = server.process.ending.map(|ending| ending.until_ms);
    let waits = failover.into_iter().chain(ending).filter(|until_ms| *until_ms > now_ms);
    let Some(following) = &server.replication.following else {
        return waits.chain(server.next_lag_due_ms(now_ms)).min();
    };
    let own = match following.state {
        LinkState::Connect => following.unlinked.is_none().then_some(following.retry_ms),
        LinkState::Connected => Some(following.acked_ms + ACK_MS),
        _ => None,
    };
    waits.chain(own).min()
}

/// Tells the primary how far we are.
pub(in crate::engine) fn acknowledge(server: &mut Server, out: &mut Out, now_ms: u64) {
    let offset = server.replication.history.offset.to_string();
    match server.durable_offset().map(|offset| offset.to_string()) {
        Some(durable) => link::send(out, [b"REPLCONF", b"ACK", offset.as_bytes(), b"FACK", durable.as_bytes()]),
        None => link::send(out, [b"REPLCONF", b"ACK", offset.as_bytes()]),
    }
    if let Some(following) = &mut server.replication.following {
        following.acked_ms = now_ms;
    }
}

fn connect(server: &mut Server, now: Now) {
    let Server { replication, outgoing, background, .. } = server;
    let Some(following) = &mut replication.following else { return };
    following.attempt += 1;
    following.times.note_attempt();
    following.began_ms = now.mono_ms();
    following.state = LinkState::Connecting;
    let (primary, kind) = (following.primary.clone(), LinkKind::Primary { attempt: following.attempt });
    log::info!("Connecting to MASTER {}:{}", primary.host, primary.port);
    if let Err(error) = outgoing.connect(&primary.host, primary.port, kind, background) {
        connect_failed(server, kind, &error);
    }
}

/// The connection to the primary could not be made.
pub(super) fn connect_failed(server: &mut Server, kind: LinkKind, error: &io::Error) {
    if server.is_present_attempt(kind) {
        let primary = &server.replication.following.as_ref().expect("an attempt to follow").primary;
        log::error!("Unable to connect to MASTER {}:{}: {error}", primary.host, primary.port);
        let now_ms = server.clock.now().mono_ms();
        server.note_link_lost(false, now_ms);
    }
}

/// The connection to the primary is being made. What is to be said first goes to `out`.
pub(super) fn begin(server: &mut Server, client: ClientId, out: &mut Out) {
    link::begin(server, client, out);
}

/// True if what follows has to wait: a data set has not been read as far as it has come, or is whole and cannot be put in place yet.
pub(super) fn is_waiting(server: &Server) -> bool {
    // What a script has seen stays as it is.
    if server.scripting.is_parked() {
        return true;
    }
    let following = server.replication.following.as_ref();
    let sync = following.and_then(|following| following.sync.as_ref());
    sync.is_some_and(|sync| sync.has_more || sync.is_last)
}

/// Takes what has come from the primary, where it is no command. What is to be said goes to `out`.
pub(super) fn receive(server: &mut Server, client: ClientId, bytes: &[u8], out: &mut Out, now: Now) -> Went {
    link::receive(server, client, bytes, out, now)
}
