//! Runs the commands of a primary's stream: as any client's, by the same ways, but for the gates. What the primary has done is not
//! refused; errors are logged, for then the two differ.

use crate::base::clock::Now;
use crate::command::run::{Call, run_apart};
use crate::command::spec::Flags;
use crate::command::{self, Command};
use crate::engine::dispatch::{self, Line, Ran};
use crate::engine::jobs;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::jobs::{Asked, JOBS_MAX, Slice};
use crate::server::observer::Seen;
use crate::server::pieces::{Progress, Queue};
use crate::server::session::Blocked;
use crate::server::transaction::Transaction;

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
    if command.spec.name == "EXEC"
        && let Some(queue) = take_long_queue(server, link, now)
    {
        return begin_queue(server, link, command, line, queue, *time_ns);
    }
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
        note_divisible(server, link, command);
        count_bytes(server, link, args);
        return Ran::Now(Next::Done);
    }
    run(server, link, command, line, now, time_ns)
}

/// Commands that may use a key of another database than the one that is selected, or keys that their lines do not name.
const INDIVISIBLE: &[&str] = &["COPY", "MOVE", "SORT", "MIGRATE"];

/// Takes note of whether a transaction can still be run command by command in several turns, when a command has been queued: of all
/// its commands it has to show which keys they use, of one database.
fn note_divisible(server: &mut Server, link: ClientId, command: &Command) {
    let Some(transaction) = &mut server.clients[link].transaction else { return };
    let (spec, is_first) = (command.spec, transaction.count == 1);
    let changes_keys = spec.flags.has(Flags::WRITE)
        && !spec.flags.has(Flags::RUNS_SCRIPT)
        && spec.has_keys()
        && !INDIVISIBLE.contains(&spec.name);
    transaction.is_indivisible |= !(changes_keys || (is_first && spec.name == "SELECT"));
}

/// The queue of the link's transaction, if that is a long one and can be run in several turns; the transaction has ended then.
fn take_long_queue(server: &mut Server, link: ClientId, now: Now) -> Option<Queue> {
    let transaction = server.clients[link].transaction.as_ref()?;
    let is_long = server.jobs.limits.is_long_queue(transaction.words, transaction.arg_bytes);
    if !is_long || transaction.broken || transaction.is_indivisible || server.jobs.running.len() >= JOBS_MAX {
        return None;
    }
    let Transaction { queue, words, flags, .. } = *server.clients[link].transaction.take()?;
    let mut commands = queue.into_iter();
    if let Some(select) = commands.as_slice().first().filter(|queued| queued.command.spec.name == "SELECT") {
        let (command, args) = (select.command, select.args.as_args());
        let mut reply = Out::with_limit(REPLY_BYTES_MAX);
        run_apart(server, Call::of(server, link, command, args, CallOrigin::Queued), &mut reply, now);
        note_error_of(server, args, reply);
        commands.next();
    }
    Some(Queue { commands, words, flags })
}

/// Has a transaction run as a job: its keys are held, its commands run some at a time, and it counts when all have run.
fn begin_queue(
    server: &mut Server,
    link: ClientId,
    command: &'static Command,
    line: Line<'_>,
    queue: Queue,
    time_ns: u64,
) -> Ran {
    server.clients[link].last_command = Some(command);
    server.jobs.asked = Some(Asked::Queue(queue));
    let call = Call::of(server, link, command, line.args, CallOrigin::Sent);
    let has_begun = jobs::begin(server, call, true, time_ns);
    debug_assert!(has_begun, "there was room for a job");
    count_bytes(server, link, line.args);
    Ran::Now(Next::Block)
}

/// Goes on with such a transaction until the slice is over. It cannot be given up any more once a command has run.
pub(in crate::engine) fn go_on_with_queue(
    server: &mut Server,
    exec: Call<'_>,
    queue: &mut Queue,
    slice: &mut Slice<'_>,
    instant: Now,
) -> (Option<Progress>, bool) {
    let (mut time_ns, mut has_run) = (server.clock.mono_ns(), false);
    while let Some(next) = queue.commands.as_slice().first() {
        let is_kept = server.persistence.may_hold()
            && !slice.is_endless()
            && server.snapshot_lacks(exec.db, next.command, next.args.as_args());
        if is_kept {
            return (Some(Progress::Waits), has_run);
        }
        let Some(queued) = queue.commands.next() else { break };
        let (command, args) = (queued.command, queued.args.as_args());
        let mut reply = Out::with_limit(REPLY_BYTES_MAX);
        run_apart(server, Call { command, args, ..exec }, &mut reply, instant);
        has_run = true;
        let seen = Seen { client: exec.client, command, args, reply_bytes: 0, is_shown: false };
        let took_ns = dispatch::count_queued(server, seen, &mut time_ns);
        server.jobs.note_whole(took_ns);
        note_error_of(server, args, reply);
        if !slice.spend(args.len(), args.extent()) {
            return (Some(Progress::More), has_run);
        }
    }
    (Some(Progress::Through), has_run)
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

/// Takes note of the error that a command has answered, if it has.
fn note_error_of(server: &mut Server, args: Args<'_>, reply: Out) {
    let reply = reply.into_bytes();
    if let Some(error) = reply.strip_prefix(b"-") {
        note_error(server, args, error.split(|byte| *byte == b'\r').next().unwrap_or_default());
    }
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
