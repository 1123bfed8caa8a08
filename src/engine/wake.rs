//! Ends the waits of clients: SLEEP is over, no key has come in time, CLIENT UNBLOCK was sent, CLIENT PAUSE has ended, a snapshot
//! has what it held a client back for, or a job is through that was in the way.
//!
//! Owns nothing. The loop asks once a turn who is [`due`], then lets each of them [`wake`] and go on with its input. Knows
//! nothing of sockets.

use super::dispatch::count;
use crate::base::clock::Now;
use crate::feature::client_id::ClientId;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::observer::Seen;
use crate::server::session::{Blocked, LateReply, Session, UnblockedBy};

/// Sleeping clients looked at in one turn: a tenth of a millisecond of work.
const SLEEPERS_PER_TURN_MAX: usize = 1024;

const ROLE_CHANGED: ReplyError =
    ReplyError::new("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)");
const UNBLOCKED: ReplyError = ReplyError::new("UNBLOCKED client unblocked via CLIENT UNBLOCK");

/// Collects in `clients` those whose wait is over. Returns true if more are due than one turn handles. A client may come
/// twice; the second [`wake`] does nothing. O(due clients); O(clients) in the turn in which a pause ends.
pub fn due(server: &mut Server, now: Now, clients: &mut Vec<ClientId>) -> bool {
    // Nobody waits in nearly all turns.
    if server.clients.timers.is_empty()
        && server.clients.unblocked.is_empty()
        && server.pause.is_none()
        && server.clients.paused == 0
        && server.clients.held.is_empty()
        && !server.jobs.releases
    {
        return false;
    }
    let mut budget = SLEEPERS_PER_TURN_MAX;
    let all = server.clients.take_due(now, &mut budget, clients);
    for client in std::mem::take(&mut server.clients.unblocked) {
        if server.clients.get(client).is_some_and(|session| matches!(session.blocked, Some(Blocked::Unblocked { .. })))
        {
            clients.push(client);
        }
    }
    if server.pause.is_some_and(|pause| now.mono_ms() >= pause.until_ms) {
        server.pause = None;
    }
    if !server.may_pause() && !server.persistence.log.is_behind() && server.clients.paused > 0 {
        let held = server.clients.iter().filter(|(_, session)| session.blocked == Some(Blocked::Paused));
        clients.extend(held.map(|(index, _)| index));
    }
    if std::mem::take(&mut server.persistence.snapshots.releases) {
        let held = std::mem::take(&mut server.clients.held);
        let is_held = |session: &Session| session.blocked == Some(Blocked::Snapshot);
        clients.extend(held.into_iter().filter(|client| server.clients.get(*client).is_some_and(is_held)));
    }
    if std::mem::take(&mut server.jobs.releases) {
        // They keep their claims until their commands have run.
        let is_held = |client: &ClientId| server.clients[*client].blocked == Some(Blocked::Hold);
        clients.extend(server.jobs.waiting.iter().map(|waiting| waiting.client).filter(is_held));
    }
    !all
}

/// Ends a client's wait and writes the reply that was due for it; or has its command run again, if it is only time for that.
pub fn wake(server: &mut Server, client: ClientId, out: &mut Out, now: Now) {
    if server.look_now(client, now) {
        return;
    }
    let session = &mut server.clients[client];
    let (muted, by) = match session.blocked.take() {
        Some(Blocked::Paused) => return server.clients.paused -= 1,
        Some(Blocked::Snapshot | Blocked::Hold) | None => return,
        // It is no time that a script or a job ends at.
        Some(own @ (Blocked::Script | Blocked::Job | Blocked::Link)) => return session.blocked = Some(own),
        Some(Blocked::Sleep { reply: LateReply::WrongPassword, muted, .. }) => {
            return refuse_password(server, client, muted, out);
        }
        Some(Blocked::Sleep { muted, .. }) => (muted, UnblockedBy::Reply),
        Some(Blocked::Unblocked { by, muted }) => (muted, by),
        Some(Blocked::Keys { .. }) => (false, UnblockedBy::Reply),
    };
    let error = match by {
        UnblockedBy::Reply => None,
        UnblockedBy::Error => Some(&UNBLOCKED),
        UnblockedBy::Role => Some(&ROLE_CHANGED),
    };
    let waiting = session.waiting.take();
    if let Some(waiting) = &waiting {
        // It was not counted when it began to wait: a command that waits counts once, when it is over.
        let mut ended_ns = server.clock.mono_ns();
        let args = waiting.args.as_args();
        let seen = Seen { client, command: waiting.command, args, reply_bytes: 0, is_shown: true };
        count(server, seen, &mut ended_ns);
        server.stats.by_command[waiting.command.id].failed += u64::from(error.is_some());
        server.stop_waiting(client);
        server.end_caching(client, Some(waiting.command));
    }
    if let Some(error) = error {
        server.stats.count_error(error.code());
    }
    server.clients[client].closing |= by == UnblockedBy::Role;
    if muted || waiting.as_ref().is_some_and(|waiting| waiting.muted) {
        return;
    }
    let proto = server.clients[client].proto;
    match (error, waiting) {
        (Some(error), _) => Reply::new(out, proto).error(error),
        (None, Some(waiting)) => waiting.on_timeout.write(server, client, &mut Reply::new(out, proto)),
        (None, None) => Reply::new(out, proto).ok(),
    }
}

/// Tells a client that its password was wrong.
fn refuse_password(server: &mut Server, client: ClientId, muted: bool, out: &mut Out) {
    const ERROR: ReplyError = ReplyError::WRONG_PASSWORD;
    let session = &server.clients[client];
    server.stats.count_error(ERROR.code());
    if let Some(command) = session.last_command {
        server.stats.by_command[command.id].failed += 1;
    }
    if !muted {
        Reply::new(out, session.proto).error(&ERROR);
    }
}
