//! Runs the script that a handler has begun: its commands one after the other, each in the session of commands that no client has
//! sent, and goes on with it in later turns if it holds the server for too long.
//!
//! Until `busy-reply-threshold` the loop stands still, as in Redis: a script is one command. After that the script is parked, and
//! goes on for `SLICE_NS` in each turn. Others are served meanwhile, most of them with an error, so that somebody can end it. What
//! comes behind it in a transaction is parked with it, for that is one command as well.

use std::rc::Rc;

use super::dispatch::{self, HEAD_BYTES};
use super::{jobs, replication, transaction};
use crate::base::clock::Now;
use crate::command::acl::permission;
use crate::command::run::{Call, run_apart};
use crate::command::spec::Flags;
use crate::command::{self, Command};
use crate::feature::acl::log::Context;
use crate::lua::vm::{Asked, Ending, Exchange, Step};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::observer::{QUICK, Seen};
use crate::server::scripting::{KilledBy, Parked, READ_ONLY, Running};
use crate::server::session::Blocked;

/// Nanoseconds for which a parked script goes on in one turn. A PING that comes at the beginning of a slice waits for that one and
/// for the one of its own turn: two milliseconds at most, with what else there is to do.
const SLICE_NS: u64 = 900_000;

const UNKNOWN: ReplyError = ReplyError::new("ERR Unknown Redis command called from script");
const BAD_ARITY: ReplyError = ReplyError::new("ERR Wrong number of args calling Redis command from script");
const NOT_FROM_SCRIPT: ReplyError = ReplyError::new("ERR This Redis command is not allowed from script");
const NO_SUCH_COMMAND: ReplyError = ReplyError::new("ERR Invalid command passed to redis.acl_check_cmd()");
const BAD_ARITY_TO_CHECK: ReplyError = ReplyError::new("ERR Wrong number of args for redis.acl_check_cmd()");
const TOO_LONG: ReplyError = ReplyError::new("ERR the reply is longer than script-memory-limit allows");

/// How far a script has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Its result has been written.
    Through,
    /// It has had its time.
    Slice,
}

/// Runs the script that a handler has begun, for a command that began at this time, until it is through or has had its time. Its
/// result is appended to `out`, in the given protocol.
pub(super) fn run(
    server: &mut Server,
    command: &'static Command,
    proto: Proto,
    out: &mut Out,
    started_ns: u64,
) -> Progress {
    server.scripting.note_start(started_ns);
    go_on(server, command, proto, out)
}

/// The same for one that has been parked.
pub(super) fn go_on(server: &mut Server, command: &'static Command, proto: Proto, out: &mut Out) -> Progress {
    let mut running = server.scripting.running.take().expect("a handler has begun a script");
    let mut vm = server.scripting.take_vm(running.purpose);
    let clock = Rc::clone(&server.clock);
    let mut slice_ends_ns = next_stop_ns(server, &running);
    if let Some(killed) = running.killed {
        vm.kill(killed.text());
    }
    let progress = loop {
        let mut answerer = |asked: Asked, exchange: &mut Exchange| match asked {
            Asked::Call => call(server, &mut running, exchange, slice_ends_ns),
            Asked::MayCall => may_call(server, &running, exchange),
        };
        match vm.resume(&*clock, slice_ends_ns, &mut answerer) {
            Step::Slice if is_to_be_ended(server, &running) => {
                log::warn!("Script {} has run for longer than script-auto-kill-ms and is ended", running.name);
                running.killed = Some(KilledBy::Timeout);
                vm.kill(KilledBy::Timeout.text());
                slice_ends_ns = next_stop_ns(server, &running);
            }
            // A log is loaded to its end, and so are its scripts.
            Step::Slice if running.is_loaded => slice_ends_ns = u64::MAX,
            Step::Slice => break Progress::Slice,
            Step::Done => {
                finish(server, command, &running, vm.finish(&mut Reply::new(out, proto)), proto, out);
                break Progress::Through;
            }
        }
    };
    server.scripting.give_back_vm(running.purpose, vm);
    if progress == Progress::Slice {
        server.scripting.running = Some(running);
    }
    progress
}

/// The monotonic nanosecond at which a script is to come back at the latest.
fn next_stop_ns(server: &Server, running: &Running) -> u64 {
    let after_ms = |ms: u64| match ms {
        0 => u64::MAX,
        ms => running.started_ns.saturating_add(ms.saturating_mul(1_000_000)),
    };
    let busy_ns = match server.scripting.is_parked() {
        true => server.clock.mono_ns() + SLICE_NS,
        false => after_ms(server.config.busy_reply_threshold),
    };
    let may_be_ended = !running.has_written && running.killed.is_none();
    if may_be_ended { busy_ns.min(after_ms(server.config.script_auto_kill_ms)) } else { busy_ns }
}

/// True if a script has run for longer than one that only reads may.
fn is_to_be_ended(server: &Server, running: &Running) -> bool {
    let limit_ms = server.config.script_auto_kill_ms;
    let ran_ms = server.clock.mono_ns().saturating_sub(running.started_ns) / 1_000_000;
    limit_ms > 0 && ran_ms >= limit_ms && !running.has_written && running.killed.is_none()
}

/// Runs a command that the script calls; its reply, or why it does not run, is written for the script.
fn call(server: &mut Server, running: &mut Running, exchange: &mut Exchange, slice_ends_ns: u64) {
    let Exchange { call, mark, answer, is_late, proto, replication, .. } = exchange;
    let (args, proto) = (call.as_args(), *proto);
    answer.set_limit(server.config.script_memory_limit);
    let command = match check(server, running, args, mark) {
        Ok(command) => command,
        Err((command, error)) => {
            server.stats.count_error(error.code());
            if let Some(command) = command {
                server.stats.by_command[command.id].rejected += 1;
            }
            return Reply::new(answer, proto).error(&error);
        }
    };
    let flags = command.spec.flags;
    running.has_written |= flags.has(Flags::WRITE);
    let internal = server.clients.internal();
    let session = &mut server.clients[internal];
    (session.db, session.no_touch) = (running.db, running.no_touch);
    if server.jobs.are_running() {
        jobs::make_way(server, running.db, command, args, running.now);
    }
    let origin = if running.is_loaded { CallOrigin::Loaded } else { CallOrigin::Scripted };
    let call = Call { client: internal, command, args, hash: None, origin, db: running.db, proto };
    let is_quick = flags.has(QUICK);
    let estimate_ns = match is_quick {
        true if running.is_loaded => Some(0),
        true => server.observer.estimate_scripted(command),
        false => None,
    };
    let began_ns = if estimate_ns.is_some() { None } else { Some(server.clock.mono_ns()) };
    server.propagation.set_muted(!replication.log);
    let is_restricted = server.act_for(running.client);
    server.watchers.caches.set_author(Some(running.client));
    let ended = run_apart(server, call, answer, running.now);
    server.watchers.caches.set_author(None);
    if is_restricted {
        server.act_for_nobody();
    }
    server.propagation.set_muted(false);
    debug_assert_eq!(ended.next, Next::Done, "{} asks for what a script cannot wait for", command.full_name);
    running.db = server.clients[internal].db;
    let took_ns = began_ns.map_or(estimate_ns.unwrap_or(0), |began_ns| {
        let now_ns = server.clock.mono_ns();
        *is_late = now_ns >= slice_ends_ns;
        now_ns.saturating_sub(began_ns)
    });
    server.jobs.note_whole(took_ns);
    server.stats.commands += 1;
    let counts = &mut server.stats.by_command[command.id];
    counts.calls += 1;
    counts.ns += took_ns;
    if origin == CallOrigin::Scripted {
        if began_ns.is_some() {
            server.note_scripted(command, took_ns, is_quick);
        }
        let (args, reply_bytes) = (call.args, answer.written_bytes());
        if server.observer.is_wanted(took_ns, args.extent() + HEAD_BYTES * args.len() + reply_bytes) {
            server.observe(Seen { client: internal, command, args, reply_bytes, is_shown: false }, took_ns);
        }
    }
    if answer.is_cut() {
        *answer = Out::default();
        server.stats.count_error(TOO_LONG.code());
        Reply::new(answer, proto).error(&TOO_LONG);
    }
}

/// Why a command may not run, and the command if there is one.
type Refused = (Option<&'static Command>, ReplyError);

/// What is held against a command of a script, in Redis's order.
fn check(server: &mut Server, running: &Running, args: Args<'_>, mark: &mut u8) -> Result<&'static Command, Refused> {
    let command = match server.scripting.called.of(*mark) {
        Some(command) => command,
        None => {
            let command = find(args).ok_or((None, UNKNOWN))?;
            // A subcommand is not told by the name alone.
            if command::lookup(args.at(0)).is_some_and(|named| named.subcommands.is_empty()) {
                *mark = server.scripting.called.mark(command);
            }
            command
        }
    };
    let refuse = |error: ReplyError| Err((Some(command), error));
    if !command.spec.takes(args.len()) || command.spec.is_container() {
        return refuse(BAD_ARITY);
    }
    let flags = command.spec.flags;
    if flags.has(Flags::NOSCRIPT) {
        return refuse(NOT_FROM_SCRIPT);
    }
    if !server.clients[running.client].unlimited
        && let Some(error) = forbidden(server, running, command, args)
    {
        return refuse(error);
    }
    if running.is_read_only && flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE)) {
        return refuse(READ_ONLY);
    }
    if flags.has(Flags::WRITE)
        && server.replication.is_following()
        && server.config.replica_read_only
        && server.clients[running.client].link.is_none()
    {
        return refuse(replication::READ_ONLY);
    }
    // A script that has changed something already cannot be stopped halfway.
    if !running.has_written {
        if flags.has(Flags::WRITE)
            && (server.persistence.is_failing() | server.replication.is_short)
            && let Some(refused) = server.unsaved_refusal().or_else(|| server.replicas_refusal())
        {
            return refuse(refused);
        }
        if running.is_short_of_memory && flags.has(Flags::DENYOOM) {
            return refuse(ReplyError::OUT_OF_MEMORY);
        }
    }
    Ok(command)
}

/// Why the user who runs the script, and may not do everything, may not run a command, if it may not.
#[inline(never)]
fn forbidden(server: &mut Server, running: &Running, command: &'static Command, args: Args<'_>) -> Option<ReplyError> {
    let client = running.client;
    let denied = permission::check(server, client, command, args).err()?;
    let error = permission::refuse(server, client, command, args, denied, Context::Script);
    let text = error.text().strip_prefix(b"NOPERM ").unwrap_or(error.text());
    Some(ReplyError::owned([b"ERR ACL failure in script: ", text].concat()))
}

/// The row of a line: that of its subcommand, where it has one.
fn find(args: Args<'_>) -> Option<&'static Command> {
    let command = command::lookup(args.at(0))?;
    match args.get(1) {
        Some(name) if !command.subcommands.is_empty() => command.subcommand(name),
        _ => Some(command),
    }
}

/// Whether the script's user may run a command.
fn may_call(server: &Server, running: &Running, exchange: &mut Exchange) {
    let Exchange { call, answer, proto, .. } = exchange;
    let mut reply = Reply::new(answer, *proto);
    let args = call.as_args();
    match find(args) {
        Some(command) if !command.spec.takes(args.len()) => reply.error(&BAD_ARITY_TO_CHECK),
        Some(command) if permission::check(server, running.client, command, args).is_ok() => reply.integer(1),
        Some(_) => reply.null(),
        None => reply.error(&NO_SUCH_COMMAND),
    }
}

/// Takes note of how a script has ended, and writes its error if it has failed.
fn finish(
    server: &mut Server,
    command: &'static Command,
    running: &Running,
    ending: Ending,
    proto: Proto,
    out: &mut Out,
) {
    server.note_script_run(running);
    match ending {
        Ending::Replied { errors } => {
            // COMPAT: a call has failed once for each error of a command that its result passes on, and once for its own.
            let is_own = !errors.codes.is_empty();
            server.stats.by_command[command.id].failed += errors.counted + u64::from(is_own);
            server.stats.error_replies += errors.others;
            errors.codes.iter().for_each(|(code, times)| server.stats.count_errors(code, *times));
        }
        Ending::Failed { text, is_counted } => {
            let error = ReplyError::owned(text);
            if !is_counted {
                server.stats.count_error(error.code());
            }
            server.stats.by_command[command.id].failed += 1;
            Reply::new(out, proto).error(&error);
        }
    }
}

/// Parks a script that has had its time, and what comes behind it: its client waits.
#[cold]
pub(super) fn park(server: &mut Server, mut parked: Parked) -> Next {
    let limit = server.output_limit_of(parked.client);
    parked.out.set_limit(limit.hard_bytes);
    let running = server.scripting.running.as_ref();
    log::warn!(
        "Slow script detected: still in execution after {} milliseconds. You can try killing the script using the SCRIPT KILL \
         or FUNCTION KILL command. Script name is: {}.",
        server.config.busy_reply_threshold,
        running.map_or("", |running| &running.name)
    );
    server.clients.block(parked.client, Blocked::Script);
    server.scripting.parked = Some(Box::new(parked));
    Next::Block
}

/// Goes on with a parked script; to be called once a turn. True if there is more to do.
pub fn step(server: &mut Server, now: Now) -> bool {
    let Some(mut parked) = server.scripting.parked.take() else { return false };
    // What follows from it is held as long as it is parked.
    let client = parked.client;
    let (mut out, proto) = (std::mem::take(&mut parked.out), server.clients[client].proto);
    let (command, mut rest) = (parked.command, parked.rest.take());
    server.scripting.parked = Some(parked);
    let is_through = match &mut rest {
        None => go_on(server, command, proto, &mut out) == Progress::Through,
        Some(rest) => {
            let started_ns = server.scripting.running.as_ref().map_or(now.mono_ns, |running| running.started_ns);
            transaction::go_on(server, client, rest, &mut out, now, started_ns)
        }
    };
    let Some(parked) = server.scripting.parked.as_mut() else { return false };
    if !is_through {
        (parked.out, parked.rest) = (out, rest);
        return true;
    }
    let next = rest.map_or(Next::Done, |rest| rest.next);
    end(server, out, next);
    if let Some(how) = server.scripting.shutdown.take() {
        jobs::finish_writing(server, now);
        server.process.stop_requested |= server.prepare_shutdown(how, now).is_ok();
    }
    false
}

/// A parked command is over: its client is answered, unless it has gone, and goes on.
fn end(server: &mut Server, out: Out, next: Next) {
    let Some(parked) = server.scripting.parked.take() else { return };
    let Parked { client, command, args, is_muted, started_ns, .. } = *parked;
    server.end_unit_of(client);
    let mut time_ns = started_ns;
    let seen = Seen { client, command, args: args.as_args(), reply_bytes: out.written_bytes(), is_shown: true };
    dispatch::count(server, seen, &mut time_ns);
    server.end_caching(client, Some(command));
    let session = &mut server.clients[client];
    session.blocked = None;
    if session.killed {
        // Its connection has gone, or goes at the end of this turn.
        if !server.clients.kills.contains(&client) {
            server.forget(client);
        }
        return;
    }
    session.closing |= next == Next::Close;
    if out.is_cut() {
        server.cut_off(client);
    } else if !is_muted {
        server.outbox.reply(client, out);
    }
    server.clients.resumed.push(client);
}
