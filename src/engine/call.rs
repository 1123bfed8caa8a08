//! The call of a handler: what it sees, what becomes of its error, and how it is counted. Everything that runs commands ends
//! here: what a client sends, what EXEC runs, and the commands of clients that waited.

use crate::base::clock::Now;
use crate::command::Command;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::out::Out;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::store::db::Moment;

/// What a handler has left to be done.
#[derive(Debug)]
pub(super) struct Called {
    /// What it asks to happen.
    pub next: Next,
    /// Its reply is not one that CLIENT REPLY keeps back.
    pub out_of_band: bool,
}

/// The same as [`call`], for all who run commands but do not carry the load: a copy of its own, so that the one that does
/// is compiled into its caller.
#[inline(never)]
pub(super) fn call_apart(
    server: &mut Server,
    client: ClientId,
    command: &'static Command,
    args: Args<'_>,
    origin: CallOrigin,
    out: &mut Out,
    now: Now,
) -> Called {
    call(server, client, command, args, None, origin, out, now)
}

/// Calls a command's handler; its reply, or its error, is appended to `out`.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "the parts of a call, each from another owner")]
pub(super) fn call(
    server: &mut Server,
    client: ClientId,
    command: &'static Command,
    args: Args<'_>,
    hash: Option<u64>,
    origin: CallOrigin,
    out: &mut Out,
    now: Now,
) -> Called {
    let session = &server.clients[client];
    let (db, proto, touch) = (session.db, session.proto, !session.no_touch);
    let handler = command.spec.handler.expect("a container without a handler does not get past `gate`");
    let mut at = Moment::new(now, touch);
    if let (Some(hash), Some(key)) = (hash, command.spec.first_key(args)) {
        at = at.with_hash(key, hash);
    }
    if server.pause.is_some() && server.is_paused(true, now) {
        at = at.keeping_due();
    }
    let reply = Reply::new(out, proto);
    let mut ctx = Ctx { server, client, command, reply, now, db, at, out_of_band: false, origin };
    let outcome = handler(&mut ctx, args);
    let out_of_band = ctx.out_of_band;
    let next = match outcome {
        Ok(next) => next,
        Err(error) => {
            ctx.reply.error(&error);
            server.stats.count_error(error.code());
            server.stats.by_command[command.id].failed += 1;
            Next::Done
        }
    };
    server.report(db);
    server.clear_garbage(db);
    Called { next, out_of_band }
}

/// Counts a command that has been answered. `started_ns` is moved to the time at which it ended.
#[inline]
pub(super) fn count(server: &mut Server, client: ClientId, command: &'static Command, started_ns: &mut u64) {
    let ended_ns = server.clock.mono_ns();
    let took_ns = ended_ns.saturating_sub(*started_ns);
    *started_ns = ended_ns;
    server.stats.command_ns += took_ns;
    tally(server, client, command, took_ns);
}

/// The same for a command of a transaction, whose time is also that of EXEC.
pub(super) fn count_queued(server: &mut Server, client: ClientId, command: &'static Command, started_ns: &mut u64) {
    let ended_ns = server.clock.mono_ns();
    let took_ns = ended_ns.saturating_sub(*started_ns);
    *started_ns = ended_ns;
    tally(server, client, command, took_ns);
}

/// Counts a command that took so long.
#[inline]
pub(super) fn tally(server: &mut Server, client: ClientId, command: &'static Command, took_ns: u64) {
    server.clients[client].commands += 1;
    server.stats.commands += 1;
    let counts = &mut server.stats.by_command[command.id];
    counts.calls += 1;
    counts.ns += took_ns;
}
