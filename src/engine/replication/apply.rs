//! Runs the commands of a primary's stream: as any client's, by the same ways, but for the gates. What the primary has done is not
//! refused; errors are logged, for then the two differ.

use crate::base::clock::Now;
use crate::command::run::Call;
use crate::command::spec::Flags;
use crate::command::{self, Command};
use crate::engine::dispatch::{self, Line, Ran};
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::observer::Seen;
use crate::server::session::Blocked;

use super::acknowledge;

/// The longest reply that is looked at: only errors are.
const REPLY_BYTES_MAX: u64 = 4096;
/// Commands with errors that are logged of each link.
const ERRORS_LOGGED_MAX: u32 = 100;

/// Runs one command of the stream. What the primary wants to be told goes to `out`.
#[cold]
#[inline(never)]
pub(in crate::engine) fn execute(
    server: &mut Server,
    link: ClientId,
    line: Line<'_>,
    out: &mut Out,
    now: Now,
    time_ns: &mut u64,
) -> Ran {
    let args = line.args;
    if server.scripting.is_parked() {
        // What a script has seen must not change under its hands.
        server.clients.block(link, Blocked::Link);
        return Ran::Held;
    }
    // What went on as a job has ended.
    server.commit_stream(link);
    if args.is(0, "REPLCONF") {
        count_bytes(server, link, args);
        if args.is(1, "GETACK") {
            acknowledge(server, out, now.mono_ms());
        }
        return Ran::Now(Next::Done);
    }
    let command = match known(args) {
        Ok(command) => command,
        Err(error) => {
            note_error(server, args, error.text());
            count_bytes(server, link, args);
            return Ran::Now(Next::Done);
        }
    };
    let is_queued = server.clients[link].transaction.is_some() && !command.spec.flags.has(Flags::UNQUEUED);
    if (server.pause.is_some() || server.persistence.may_hold() || server.jobs.may_hold())
        && let Some(blocked) = dispatch::reason_to_hold(server, link, command, args, is_queued, now)
    {
        server.clients.block(link, blocked);
        return Ran::Held;
    }
    server.clients[link].last_command = Some(command);
    if is_queued {
        server.queue(link, command, command.spec.flags, args);
        count_bytes(server, link, args);
        return Ran::Now(Next::Done);
    }
    run(server, link, command, line, now, time_ns)
}

fn run(
    server: &mut Server,
    link: ClientId,
    command: &'static Command,
    line: Line<'_>,
    now: Now,
    time_ns: &mut u64,
) -> Ran {
    let args = line.args;
    let mut reply = Out::with_limit(REPLY_BYTES_MAX);
    let call = Call { hash: line.hash, ..Call::of(server, link, command, args, CallOrigin::Sent) };
    let next = dispatch::run(server, call, &mut reply, now, *time_ns);
    if server.propagation.is_open() && !server.scripting.is_parked() {
        server.end_unit_of(link);
    }
    if next == Next::Job {
        // It may not begin yet, and comes again.
        return Ran::Now(next);
    }
    if next != Next::Block {
        let seen = Seen { client: link, command, args, reply_bytes: 0, is_shown: false };
        dispatch::count(server, seen, time_ns);
        let reply = reply.into_bytes();
        // EXEC answers with those of its commands.
        let inside = memchr::memmem::find(&reply, b"\r\n-").filter(|_| command.spec.name == "EXEC");
        let error = reply.strip_prefix(b"-").or(inside.map(|at| &reply[at + 3..]));
        if let Some(error) = error.map(|error| error.split(|byte| *byte == b'\r').next().unwrap_or_default()) {
            note_error(server, args, error);
        }
    }
    count_bytes(server, link, args);
    if server.is_unsettled() {
        dispatch::settle_for(server, link, &mut Out::default(), now, time_ns);
    }
    Ran::Now(if next == Next::Block { Next::Block } else { Next::Done })
}

/// The command counts as run.
fn count_bytes(server: &mut Server, link: ClientId, args: Args<'_>) {
    if let Some(following) = &mut server.replication.following {
        following.push_pending(args);
    }
    server.commit_stream(link);
}

/// The row of a command that a primary may send.
///
/// # Errors
/// There is none, or it is none of those.
fn known(args: Args<'_>) -> Result<&'static Command, ReplyError> {
    let command = command::resolve(command::lookup_own(args.at(0)), args)?;
    if !command.spec.takes(args.len()) || command.spec.is_container() {
        return Err(ReplyError::arity(&command.full_name));
    }
    const OTHERS: &[&str] = &["SELECT", "PING", "MULTI", "EXEC", "DISCARD"];
    let is_script = args.is(0, "SCRIPT") && matches!(command.spec.name, "LOAD" | "FLUSH");
    let changes = command.spec.flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE).with(Flags::RUNS_SCRIPT));
    if changes || is_script || OTHERS.contains(&command.spec.name) {
        return Ok(command);
    }
    Err(ReplyError::new("ERR it changes no data and does not belong into the stream of a primary"))
}

/// A command could not be run as the primary has run it.
fn note_error(server: &mut Server, args: Args<'_>, error: &[u8]) {
    server.stats.unexpected_errors += 1;
    let Some(following) = &mut server.replication.following else { return };
    following.errors_logged = following.errors_logged.saturating_add(1);
    if following.errors_logged > ERRORS_LOGGED_MAX {
        return;
    }
    let (name, error) = (server.shown_in_log(args.at(0)), server.shown_in_log(error));
    log::error!(
        "== CRITICAL == This replica is sending an error to its master: '{error}' after processing the command '{name}'"
    );
}
