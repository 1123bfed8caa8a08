//! Runs one command: finds its row, asks the gates in Redis's order, has it run, counts.

use crate::base::clock::Now;
use crate::command::acl::permission;
use crate::command::{self, Command};
use crate::feature::acl::log::Context;
use crate::feature::client_id::ClientId;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::resp::out::{Mark, Out};
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::observer::Seen;
use crate::server::scripting::Parked;
use crate::server::session::{Blocked, ReplyMode};

use super::persistence::reload;
use super::scripting::{self, Progress};
use super::{jobs, replication, settle, transaction};
use crate::command::run::{self, Call, Ended};
use crate::command::spec::Flags;

/// Bytes that the protocol puts around an argument at most.
pub(super) const HEAD_BYTES: usize = 16;

/// Milliseconds between two log lines about web requests.
const ATTACK_LOG_MS: u64 = 60_000;

const DEBUG_REFUSED: ReplyError = ReplyError::new(
    "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local \
     connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

const LOADING: ReplyError = ReplyError::new("LOADING Redis is loading the dataset in memory");

const NOT_FOR_REPLICAS: ReplyError = ReplyError::new("ERR Replica can't interact with the keyspace");

/// What a replica may send: nothing of it is answered.
const REPLICA_COMMANDS: &[&str] = &["REPLCONF", "PSYNC", "SYNC", "QUIT"];

const NOT_IN_TRANSACTION: ReplyError = ReplyError::new("ERR Command not allowed inside a transaction");

const MODULES_REFUSED: ReplyError = ReplyError::new(
    "ERR MODULE command not allowed. If the enable-module-command option is set to \"local\", you can run it from a local \
     connection, otherwise you need to set this option in the configuration file, and then restart the server.",
);

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// It ran (or was refused), and this is what the loop has to do next.
    Now(Next),
    /// CLIENT PAUSE, a snapshot or a job holds it back, and the client is marked so: it has to be given again later. Nothing was
    /// written.
    Held,
}

/// A command line, with what was found out about it while it was parsed.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The arguments.
    pub args: Args<'a>,
    /// What `command::lookup` knows of the first.
    pub named: Option<&'static Command>,
    /// The hash of the first key, if it was computed.
    pub hash: Option<u64>,
    /// The clock need not be read after it: it is a short request, and what follows is the same command again.
    pub timed_with_next: bool,
}

/// Runs one command for a client. The reply is appended to `out`.
///
/// `time_ns` is the monotonic time at which the command began, and is moved to the time at which it ended, so that
/// consecutive commands share one clock reading. It stays where it is for a line that is timed with the next.
#[inline]
pub fn execute(
    server: &mut Server,
    client: ClientId,
    line: Line<'_>,
    out: &mut Out,
    now: Now,
    time_ns: &mut u64,
) -> Ran {
    let Line { args, named, hash, timed_with_next } = line;
    if server.clients[client].link.is_some() {
        return replication::apply::execute(server, client, line, out, now, time_ns);
    }
    let command = match command::resolve(named, args) {
        Ok(command) => command,
        Err(_) if is_of_another_protocol(args.at(0)) => {
            log_attack(server, client, now);
            server.kill(client);
            return Ran::Now(Next::Close);
        }
        Err(error) => {
            server.clients[client].last_command = None;
            refuse(server, client, out, error, None);
            return Ran::Now(Next::Done);
        }
    };
    let session = &mut server.clients[client];
    session.last_command = Some(command);
    let in_transaction = session.transaction.is_some();
    let refusal = gate(server, client, command, args, now);
    if server.config.maxmemory.bytes != 0 && server.eviction.has_evicted() {
        settle_evicted(server, client, out, now, time_ns);
    }
    if let Some(error) = refusal {
        refuse(server, client, out, error, Some(command));
        return Ran::Now(Next::Done);
    }
    let is_queued = in_transaction && !command.spec.flags.has(Flags::UNQUEUED);
    if (server.may_pause() || server.persistence.may_hold() || server.jobs.may_hold())
        && let Some(blocked) = reason_to_hold(server, client, command, args, is_queued, now)
    {
        server.clients.block(client, blocked);
        return Ran::Held;
    }
    if is_queued {
        let flags = match command.spec.flags.has(Flags::RUNS_SCRIPT) {
            true => transaction::flags(server, client, command, args),
            false => command.spec.flags,
        };
        server.queue(client, command, flags, args);
        answer(server, client, out, |reply| reply.simple("QUEUED"));
        return Ran::Now(Next::Done);
    }
    let end = out.end();
    let call = Call { hash, ..Call::of(server, client, command, args, CallOrigin::Sent) };
    let next = run(server, call, out, now, *time_ns);
    if server.propagation.is_open() && !server.scripting.is_parked() {
        server.end_unit_of(client);
    }
    let unsettled = server.is_unsettled();
    let reply_bytes = out.end().saturating_sub(end);
    let is_quick = !unsettled && next == Next::Done && server.observer.may_share_time(reply_bytes);
    if is_quick && timed_with_next {
        server.share_time(command);
    } else if !(is_quick && server.observer.is_rough() && server.count_estimated(client, command, time_ns)) {
        let seen = Seen { client, command, args, reply_bytes, is_shown: false };
        count_sent(server, seen, next, out, time_ns);
    }
    if server.watchers.caches.is_on() && !matches!(next, Next::Block | Next::Job) {
        server.end_caching(client, Some(command));
    }
    if unsettled {
        settle_for(server, client, out, now, time_ns);
    }
    Ran::Now(next)
}

/// Counts a command that has been answered, or shows one that waits. What is shown of it to the client itself, if that sees all
/// commands, follows its reply. Apart, so that the loop over quick commands keeps its registers.
#[inline(never)]
fn count_sent(server: &mut Server, seen: Seen<'_>, next: Next, out: &mut Out, time_ns: &mut u64) {
    let posted = server.outbox.len();
    if next == Next::Job {
        // It is held back, and comes again.
        return;
    }
    if next != Next::Block {
        count(server, seen, time_ns);
    } else if server.observer.has_monitors() {
        server.show_to_monitors(seen);
    }
    if server.outbox.len() > posted && server.is_listening(seen.client) {
        server.deliver_own(seen.client, posted, out);
    }
}

/// Does what a client's command has made necessary. What that sends to the client itself comes before the reply to its next
/// command.
#[cold]
pub(super) fn settle_for(server: &mut Server, client: ClientId, out: &mut Out, now: Now, time_ns: &mut u64) {
    let posted = server.outbox.len();
    settle::serve(server, now, time_ns);
    if server.outbox.len() > posted && server.is_listening(client) {
        server.deliver_own(client, posted, out);
    }
}

/// Does what has become necessary as keys had to go before a command. What that sends to its client comes before its reply.
#[cold]
fn settle_evicted(server: &mut Server, client: ClientId, out: &mut Out, now: Now, time_ns: &mut u64) {
    server.eviction.note_settled();
    if server.is_unsettled() {
        settle::serve(server, now, time_ns);
    }
    if !server.outbox.is_empty() && server.is_listening(client) {
        server.deliver_own(client, 0, out);
    }
    *time_ns = server.clock.mono_ns();
}

/// Calls a command's handler, and does with its reply what the client wants done with replies.
pub(super) fn run(server: &mut Server, call: Call<'_>, out: &mut Out, now: Now, time_ns: u64) -> Next {
    let Call { client, command, args, .. } = call;
    let session = &mut server.clients[client];
    let mute = match session.reply_mode {
        ReplyMode::On => false,
        ReplyMode::Off => true,
        ReplyMode::SkipNext => {
            session.reply_mode = ReplyMode::Skipping;
            true
        }
        ReplyMode::Skipping => unreachable!("a skipped reply ends with its command"),
    };
    let mark = if mute { out.mark_before_dropped() } else { out.mark() };
    let posted = server.outbox.len();
    if server.observer.has_monitors() {
        server.show_script(client, command, args);
    }
    let Ended { mut next, mut out_of_band } = run::run(server, call, out, now);
    match next {
        Next::Sleep { until_ms, reply } => {
            server.clients.block(client, Blocked::Sleep { until_ms, reply, muted: mute });
        }
        Next::Block => {
            let wait = *server.asked_wait.take().expect("a handler that blocks has said what for");
            server.wait_for_keys(client, command, wait, || OwnedArgs::copy(args), mute, now);
        }
        Next::RunQueue => {
            next = match transaction::run_queue(server, client, out, now, time_ns) {
                Ok(next) => next,
                Err(rest) => {
                    let (args, started_ns) = (OwnedArgs::copy(args), time_ns);
                    let (rest, out) = (Some(rest), Out::of(out.split_off(mark)));
                    let parked = Parked { client, command, args, rest, out, is_muted: mute, started_ns };
                    scripting::park(server, parked)
                }
            };
            // What its commands wrote has been kept or dropped one by one.
            out_of_band = true;
        }
        Next::RunScript => {
            let proto = server.clients[client].proto;
            next = match scripting::run(server, command, proto, out, time_ns) {
                Progress::Through => Next::Done,
                Progress::Slice => {
                    let (args, started_ns) = (OwnedArgs::copy(args), time_ns);
                    let out = Out::default();
                    let parked = Parked { client, command, args, rest: None, out, is_muted: mute, started_ns };
                    scripting::park(server, parked)
                }
            };
        }
        Next::Job => {
            // What a primary sends is not answered.
            let is_muted = mute || server.clients[client].link.is_some();
            if jobs::begin(server, call, is_muted, time_ns) {
                next = Next::Block;
            } else if server.clients[client].reply_mode == ReplyMode::Skipping {
                // The command comes again.
                server.clients[client].reply_mode = ReplyMode::SkipNext;
            }
        }
        Next::Load(asked) => {
            jobs::finish_all(server, now);
            let mut reply = Reply::new(out, server.clients[client].proto);
            match reload::run(server, asked, now) {
                Ok(()) => reply.ok(),
                Err(error) => reply.error(&error),
            }
            next = Next::Done;
        }
        Next::Done | Next::Close | Next::Shutdown => {}
    }
    if mute {
        settle_muted(server, client, out, mark, out_of_band);
    }
    if server.outbox.len() > posted && server.is_listening(client) {
        server.deliver_own(client, posted, out);
    }
    next
}

/// Counts a command that has been answered. `time_ns` is moved to the time at which it ended.
#[inline]
pub(super) fn count(server: &mut Server, seen: Seen<'_>, time_ns: &mut u64) {
    let took_ns = count_queued(server, seen, time_ns);
    server.stats.command_ns += took_ns;
}

/// The time at which a command has ended that began at another. Where a script was the end of it, the clock has been read.
#[inline]
fn end_ns(server: &mut Server, began_ns: u64) -> u64 {
    server.scripting.take_end_ns(began_ns).unwrap_or_else(|| server.clock.mono_ns())
}

/// The same as [`count`] for a command of a transaction, whose time is also that of EXEC. Returns the nanoseconds since the clock
/// was last read.
#[inline]
pub(super) fn count_queued(server: &mut Server, seen: Seen<'_>, time_ns: &mut u64) -> u64 {
    let Seen { client, command, args, reply_bytes, .. } = seen;
    let ended_ns = end_ns(server, *time_ns);
    let took_ns = ended_ns.saturating_sub(*time_ns);
    *time_ns = ended_ns;
    let own_ns = server.note_duration(command, took_ns);
    server.stats.note_ran(command, took_ns);
    tally(server, client, command, own_ns);
    if server.observer.is_wanted(own_ns, args.extent() + HEAD_BYTES * args.len() + reply_bytes) {
        server.observe(seen, own_ns);
    }
    took_ns
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

/// Drops a reply that the client does not want, unless the command itself has just asked for replies again.
fn settle_muted(server: &mut Server, client: ClientId, out: &mut Out, mark: Mark, out_of_band: bool) {
    let session = &mut server.clients[client];
    match session.reply_mode {
        ReplyMode::On => {}
        ReplyMode::Skipping => {
            session.reply_mode = ReplyMode::On;
            if !out_of_band {
                out.truncate(mark);
            }
        }
        ReplyMode::Off | ReplyMode::SkipNext if out_of_band => {}
        ReplyMode::Off | ReplyMode::SkipNext => out.truncate(mark),
    }
}

/// True for the first words of lines that a browser sends when a page makes it talk to this port.
fn is_of_another_protocol(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Says, once a minute at most, that somebody sends web requests.
#[cold]
fn log_attack(server: &mut Server, client: ClientId, now: Now) {
    if server.process.attack_logged_ms.is_some_and(|then_ms| now.mono_ms() < then_ms + ATTACK_LOG_MS) {
        return;
    }
    server.process.attack_logged_ms = Some(now.mono_ms());
    log::warn!(
        "Possible SECURITY ATTACK detected: {} sends POST or Host: lines, as a web page does that makes a browser send \
         commands here. The connection is closed.",
        server.clients[client].peer
    );
}

/// The gates for a command that waited and runs again: apart, so that those of every other command are compiled into the
/// one place they are asked from.
#[cold]
#[inline(never)]
pub(super) fn gate_again(
    server: &mut Server,
    client: ClientId,
    command: &'static Command,
    args: Args<'_>,
    now: Now,
) -> Option<ReplyError> {
    gate(server, client, command, args, now)
}

/// The gates, in Redis's order. `Some` is a refusal.
#[inline(always)]
fn gate(
    server: &mut Server,
    client: ClientId,
    command: &'static Command,
    args: Args<'_>,
    now: Now,
) -> Option<ReplyError> {
    let flags = command.spec.flags;
    if !command.spec.takes(args.len()) || command.spec.is_container() {
        return Some(ReplyError::arity(&command.full_name));
    }
    if flags.has(Flags::PROTECTED.with(Flags::MODULES))
        && let Some(refused) = protection(server, client, flags)
    {
        return Some(refused);
    }
    if !server.clients[client].unlimited
        && !permission::is_plain(server, client, command, args)
        && let Some(refused) = restriction(server, client, command, args)
    {
        return Some(refused);
    }
    if flags.has(Flags::NO_MULTI) && server.clients[client].transaction.is_some() {
        return Some(NOT_IN_TRANSACTION);
    }
    if server.replication.is_following()
        && let Some(elsewhere) = replication::redirection(server, client, command, args)
    {
        return Some(elsewhere);
    }
    if server.config.maxmemory.bytes != 0
        && server.is_out_of_memory(now)
        && transaction::flags(server, client, command, args).has(Flags::DENYOOM)
    {
        return Some(ReplyError::OUT_OF_MEMORY);
    }
    if (server.persistence.is_failing() | server.replication.is_short)
        && let Some(refused) = unsaved_refusal(server, client, command, args)
    {
        return Some(refused);
    }
    if server.replication.is_following()
        && let Some(refused) = replication::refusal(server, client, command, args)
    {
        return Some(refused);
    }
    let session = &server.clients[client];
    if (session.subscribed | session.is_monitor | session.is_replica)
        && let Some(refused) = refusal_while_listening(server, client, command)
    {
        return Some(refused);
    }
    if server.replication.is_following()
        && let Some(refused) = replication::stale_refusal(server, command)
    {
        return Some(refused);
    }
    if server.is_loading() && !flags.has(Flags::LOADING) {
        return Some(LOADING);
    }
    if server.scripting.is_parked() && !flags.has(Flags::ALLOW_BUSY) {
        return Some(server.scripting.busy_error());
    }
    None
}

/// Why a client that may not do everything is refused a command, if it is: it has not said who it is, or its user may not.
#[inline(never)]
fn restriction(server: &mut Server, client: ClientId, command: &'static Command, args: Args<'_>) -> Option<ReplyError> {
    let flags = command.spec.flags;
    if !flags.has(Flags::NO_AUTH) && server.needs_auth(client) {
        return Some(ReplyError::new("NOAUTH Authentication required."));
    }
    let in_transaction = server.clients[client].transaction.is_some();
    if in_transaction && flags.has(Flags::NO_MULTI) {
        return Some(NOT_IN_TRANSACTION);
    }
    let denied = permission::check(server, client, command, args).err()?;
    let context = if in_transaction { Context::Multi } else { Context::Toplevel };
    Some(permission::refuse(server, client, command, args, denied, context))
}

/// Why a command that may change data is refused after a snapshot that could not be saved, while the log cannot be written, or for
/// want of replicas, if it is. PING tells of the former as well.
#[cold]
fn unsaved_refusal(server: &Server, client: ClientId, command: &Command, args: Args<'_>) -> Option<ReplyError> {
    let writes = transaction::flags(server, client, command, args).has(Flags::WRITE);
    if !writes && command.spec.name != "PING" {
        return None;
    }
    let replicas = || server.replicas_refusal().filter(|_| writes);
    server.unsaved_refusal().or_else(replicas)
}

/// What a client may not send that messages or commands are sent to.
#[cold]
fn refusal_while_listening(server: &mut Server, client: ClientId, command: &Command) -> Option<ReplyError> {
    let (session, flags) = (&server.clients[client], command.spec.flags);
    if session.is_replica && !REPLICA_COMMANDS.contains(&command.spec.name) {
        // Its output is the stream, in which a reply has no place.
        log::warn!("Replica generated a reply to command '{}', disconnecting it: {}", command.full_name, session.peer);
        server.kill(client);
        return Some(NOT_FOR_REPLICAS);
    }
    if session.subscribed && session.proto == Proto::Resp2 && !flags.has(Flags::SUBSCRIBED) {
        return Some(not_while_subscribed(command));
    }
    let touches_keys = flags.has(Flags::WRITE.with(Flags::READONLY).with(Flags::MAY_REPLICATE));
    (session.is_monitor && touches_keys).then_some(NOT_FOR_REPLICAS)
}

fn not_while_subscribed(command: &Command) -> ReplyError {
    ReplyError::owned(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
        command.full_name
    ))
}

/// Why a protected command is refused, if it is.
#[cold]
fn protection(server: &Server, client: ClientId, flags: Flags) -> Option<ReplyError> {
    if flags.has(Flags::MODULES) {
        return Some(MODULES_REFUSED);
    }
    let may_debug = server.clients[client].may(server.config.enable_debug_command);
    if may_debug { None } else { Some(DEBUG_REFUSED) }
}

fn refuse(server: &mut Server, client: ClientId, out: &mut Out, error: ReplyError, command: Option<&'static Command>) {
    if server.clients[client].is_replica {
        // What it is sent is the stream, where an error has no place.
        log::warn!("Disconnecting a replica that sends what is refused: {}", String::from_utf8_lossy(error.text()));
        return server.kill(client);
    }
    if server.observer.is_in_row() {
        server.end_row_early();
    }
    if server.jobs.may_hold() {
        // It may have been held back before, and will not run.
        server.jobs.stop_waiting(client);
    }
    server.end_caching(client, command);
    let error = transaction::refused(server, client, command, error);
    server.stats.count_error(error.code());
    if let Some(command) = command {
        server.stats.by_command[command.id].rejected += 1;
    }
    answer(server, client, out, |reply| reply.error(&error));
}

/// Answers a command that does not run, if the client wants an answer.
fn answer(server: &mut Server, client: ClientId, out: &mut Out, write: impl FnOnce(&mut Reply<'_>)) {
    let session = &mut server.clients[client];
    match session.reply_mode {
        ReplyMode::On => write(&mut Reply::new(out, session.proto)),
        ReplyMode::SkipNext => session.reply_mode = ReplyMode::On,
        ReplyMode::Off | ReplyMode::Skipping => {}
    }
}

/// Why a command may not run yet, if it may not. One that is only queued changes nothing that a snapshot would miss.
#[cold]
pub(super) fn reason_to_hold(
    server: &mut Server,
    client: ClientId,
    command: &'static Command,
    args: Args<'_>,
    is_queued: bool,
    now: Now,
) -> Option<Blocked> {
    if server.clients[client].is_replica {
        // It says how far it is, which others may be waiting for.
        return None;
    }
    let flags = transaction::flags(server, client, command, args);
    if (server.may_pause() || server.persistence.log.is_behind()) && holds_back(server, flags, now) {
        server.jobs.stop_waiting(client);
        return Some(Blocked::Paused);
    }
    let may_change = !is_queued && flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE));
    if !is_queued && flags.has(Flags::PIECES) && server.jobs.limits.is_long_line(args) {
        // It becomes a job, which takes what it uses piece by piece.
        return None;
    }
    if server.jobs.may_hold() {
        if command.spec.name == "SHUTDOWN" && !server.scripting.is_parked() {
            jobs::finish_writing(server, now);
        }
        let may_read = !is_queued && server.jobs.may_hold_readers();
        if (may_change || may_read) && jobs::is_held(server, client, command, args) {
            return Some(Blocked::Hold);
        }
        server.jobs.stop_waiting(client);
    }
    (may_change && server.is_held_by_snapshot(client, command, args)).then_some(Blocked::Snapshot)
}

/// CLIENT PAUSE: everything waits that the pause covers. What writes also waits while the log cannot keep up.
// COMPAT: that includes CLIENT UNPAUSE, so a pause of all commands only ends by its time, as in Redis.
pub(super) fn holds_back(server: &Server, flags: Flags, now: Now) -> bool {
    let writes = flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE));
    server.is_paused(writes, now) || (writes && server.persistence.log.is_behind())
}
