//! What follows a command, before anybody's next one: the clients are served that waited for the keys it changed.
//!
//! Key events and the marks on watched keys come first; handlers make them as they go. Then come the live queries that name
//! such keys, after this command and after each that follows from it. Then come the keys that became ready, in that order,
//! and for each its clients in the order in which they began to wait. A client is served by running its command again,
//! whole, at its place in the client's stream of commands; what that changes may make further keys ready, which come last.
//! Nothing is run for a client that is about to be disconnected: it is in no queue any more.

use super::{dispatch, jobs, reactive};
use crate::base::clock::Now;
use crate::command::run::{Call, Ended, run_apart};
use crate::feature::blocking::{KeyId, WaitFor};
use crate::resp::out::Out;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::observer::Seen;
use crate::server::session::Blocked;

/// Evaluates the queries that were touched, and serves the clients whose keys have become ready. The replies are posted to
/// the outbox, and those clients are noted as resumed.
///
/// Keys for which CLIENT PAUSE holds a client back are put aside until it is over, and so are those that a job is writing. While a
/// script is parked nobody is to see what it has changed so far.
pub fn serve(server: &mut Server, now: Now, time_ns: &mut u64) {
    if server.scripting.is_parked() {
        return;
    }
    reactive::evaluate(server, now);
    if !server.may_pause() && server.watchers.waits.has_held() {
        server.watchers.waits.release_held();
    }
    while let Some(key) = server.watchers.waits.take_ready() {
        if is_exclusive(server, key) || serve_key(server, key, now, time_ns) {
            server.watchers.waits.hold(key);
        }
    }
}

/// True if a job is writing a key: what it holds is the half of something.
fn is_exclusive(server: &Server, key: KeyId) -> bool {
    server.jobs.have_exclusive() && {
        let (db, name) = server.watchers.waits.name(key);
        server.is_exclusive(db, name)
    }
}

/// Serves the clients of one key: those who wait for what it now is, or those who want to know that it is a stream no
/// more. True if a client is held back.
fn serve_key(server: &mut Server, key: KeyId, now: Now, time_ns: &mut u64) -> bool {
    let is = server.awaited_type_now(key, now);
    let mut held = is.is_some_and(|on| serve_queue(server, key, on, now, time_ns));
    if is != Some(WaitFor::Stream) {
        let mut at = server.watchers.waits.first(key, WaitFor::Stream);
        while let Some(turn) = server.watchers.waits.turn(at) {
            at = turn.after;
            held |= turn.until_deleted && run_again(server, turn.client, now, time_ns) == Again::Held;
        }
    }
    held
}

/// Serves one queue of a key, as long as the key is what it waits for. True if a client is held back.
fn serve_queue(server: &mut Server, key: KeyId, on: WaitFor, now: Now, time_ns: &mut u64) -> bool {
    let (mut at, mut held) = (server.watchers.waits.first(key, on), false);
    while let Some(turn) = server.watchers.waits.turn(at) {
        at = turn.after;
        match run_again(server, turn.client, now, time_ns) {
            Again::Held => held = true,
            Again::Waits => {}
            // With the last client that waits for it, a key is forgotten.
            Again::Answered if server.watchers.waits.turn(at).is_none() => break,
            Again::Answered if server.awaited_type_now(key, now) != Some(on) => break,
            Again::Answered => {}
        }
    }
    held
}

/// What became of a waiting client.
#[derive(PartialEq, Eq)]
enum Again {
    /// It has its answer.
    Answered,
    /// It goes on waiting, where it was.
    Waits,
    /// CLIENT PAUSE holds its command back, or a job that is writing one of its keys.
    Held,
}

/// Runs the command of a waiting client again.
fn run_again(server: &mut Server, member: usize, now: Now, time_ns: &mut u64) -> Again {
    // One that has gone may not have been taken out of the queues yet.
    let Some(client) = server.clients.members.client(member) else { return Again::Waits };
    let Some(waiting) = server.clients[client].waiting.take() else { return Again::Waits };
    debug_assert!(!server.clients[client].killed, "a client that is being disconnected waits for nothing");
    let (command, args) = (waiting.command, waiting.args.as_args());
    let db = server.clients[client].db;
    if (server.may_pause() && dispatch::holds_back(server, command.spec.flags, now))
        || (server.jobs.have_exclusive() && jobs::meets_exclusive(server, db, command, args))
    {
        server.clients[client].waiting = Some(waiting);
        return Again::Held;
    }
    let blocked = server.clients[client].blocked.take();
    let limit = server.output_limit_of(client);
    let (mut out, posted) = (Out::with_limit(limit.hard_bytes), server.outbox.len());
    if let Some(error) = dispatch::gate_again(server, client, command, args, now) {
        server.stats.count_error(error.code());
        server.stats.by_command[command.id].rejected += 1;
        Reply::new(&mut out, server.clients[client].proto).error(&error);
    } else {
        if server.jobs.are_running() {
            jobs::make_way(server, db, command, args, now);
        }
        let call = Call::of(server, client, command, args, CallOrigin::Again);
        let Ended { next, .. } = run_apart(server, call, &mut out, now);
        server.end_unit_of(client);
        if next == Next::Block {
            let look_ms = server.asked_wait.take().and_then(|wait| wait.look_ms);
            let session = &mut server.clients[client];
            (session.waiting, session.blocked) = (Some(waiting), blocked);
            server.waits_on(client, look_ms);
            return Again::Waits;
        }
        let seen = Seen { client, command, args, reply_bytes: out.written_bytes(), is_shown: true };
        dispatch::count(server, seen, time_ns);
    }
    server.end_caching(client, Some(command));
    debug_assert!(matches!(blocked, Some(Blocked::Keys { .. })), "only those who wait for keys have a command to run");
    if waiting.muted {
        out = Out::default();
    }
    if server.outbox.len() > posted && server.is_listening(client) {
        server.deliver_own(client, posted, &mut out);
    }
    server.stop_waiting(client);
    if out.is_cut() {
        server.cut_off(client);
    } else {
        server.outbox.reply(client, out);
    }
    server.clients.resumed.push(client);
    reactive::evaluate(server, now);
    Again::Answered
}

#[cfg(test)]
#[path = "settle_tests.rs"]
mod tests;
