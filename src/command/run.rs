//! The one place a handler is called from. Whatever runs commands comes here: clients through the engine's gates, EXEC, clients
//! that waited, live queries; and whoever else will, with a [`Call`] that says for whom and why.
//!
//! It is a part of `command` and not of `engine` so that handlers may run commands too: a live query's first result is the
//! answer of another command.

use super::Command;
use super::spec::Flags;
use crate::base::clock::Now;
use crate::config::MemoryPolicy;
use crate::feature::client_id::ClientId;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::pieces::Progress;
use crate::store::db::Moment;

/// What is to be run, for whom, and why.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Whose session it runs in.
    pub client: ClientId,
    /// The command. It has a handler, and the arguments fit its arity.
    pub command: &'static Command,
    /// Its arguments, the name included.
    pub args: Args<'a>,
    /// The hash of the first key, if it was computed.
    pub hash: Option<u64>,
    /// How it came to run.
    pub origin: CallOrigin,
    /// Place of the database it runs in.
    pub db: usize,
    /// The protocol it is answered in.
    pub proto: Proto,
}

impl<'a> Call<'a> {
    /// A command in a client's own database and protocol.
    #[inline]
    pub fn of(
        server: &Server,
        client: ClientId,
        command: &'static Command,
        args: Args<'a>,
        origin: CallOrigin,
    ) -> Call<'a> {
        let session = &server.clients[client];
        Call { client, command, args, hash: None, origin, db: session.db, proto: session.proto }
    }
}

/// What a handler has left to be done.
#[derive(Debug)]
pub struct Ended {
    /// What it asks to happen: nothing after an error.
    pub next: Next,
    /// Its reply is not one that CLIENT REPLY keeps back.
    pub out_of_band: bool,
}

/// The same as [`run`], for callers off the hot path: a copy of its own, so that the one on it is compiled into its caller.
#[inline(never)]
pub fn run_apart(server: &mut Server, call: Call<'_>, out: &mut Out, now: Now) -> Ended {
    run(server, call, out, now)
}

/// Calls a command's handler; its reply, or its error, is appended to `out`. What it changed is told to everybody it concerns.
#[inline(always)]
pub fn run(server: &mut Server, call: Call<'_>, out: &mut Out, now: Now) -> Ended {
    let Call { command, args, origin, db, proto, .. } = call;
    let handler = command.spec.handler.expect("a container without a handler does not get past the gates");
    let at = moment(server, &call, now);
    #[cfg(debug_assertions)]
    server.dbs[db].reset_mutations();
    let outer_author = server.watchers.caches.is_on().then(|| note_author(server, &call));
    let mut ctx = Ctx::new(server, &call, Reply::new(out, proto), now, at);
    let outcome = handler(&mut ctx, args);
    if let Err(error) = &outcome {
        ctx.reply.error(error);
    }
    let (out_of_band, changes) = (ctx.out_of_band, ctx.changes());
    let next = match outcome {
        Ok(next) => next,
        Err(error) => {
            count_error(server, &call, &error);
            Next::Done
        }
    };
    #[cfg(debug_assertions)]
    check(server, command, db, changes > 0);
    server.report(db);
    if let Some(outer_author) = outer_author {
        // What a job reads is remembered with its answer: what is told before that would be lost.
        if next != Next::Job {
            server.remember_reads(command, args);
        }
        server.watchers.caches.set_author(outer_author);
    }
    server.clear_garbage(db);
    if server.propagation.is_wanted() && origin != CallOrigin::Loaded {
        if super::has_renamed() {
            server.propagate(db, under_own_name(command, args).as_args(), changes > 0);
        } else {
            server.propagate(db, args, changes > 0);
        }
    }
    Ended { next, out_of_band }
}

/// The moment as the handler of a call sees it.
#[inline(always)]
fn moment(server: &Server, call: &Call<'_>, now: Now) -> Moment {
    let Call { client, command, args, hash, origin, .. } = *call;
    let is_watched = origin == CallOrigin::Watched;
    let mut at = Moment::new(now, !is_watched && !server.clients[client].no_touch);
    if server.config.maxmemory_policy.changes_accesses() {
        at = under_policy(server.config.maxmemory_policy, command, at);
    }
    if let (Some(hash), Some(key)) = (hash, command.spec.first_key(args)) {
        at = at.with_hash(key, hash);
    }
    if is_watched {
        at = at.quietly();
    }
    if command.spec.flags.has(Flags::WRITE) {
        at = at.of_writer();
    }
    if matches!(origin, CallOrigin::Loaded | CallOrigin::Followed) {
        at = at.while_loading();
    } else if server.replication.is_following() {
        at = on_replica(server, client, at);
    } else if server.config.import_mode {
        at = while_importing(server, client, at);
    } else if server.may_pause() && server.is_paused(true, now) {
        at = at.keeping_due();
    }
    at
}

/// The moment on a replica, where keys leave when the primary says so: to clients those are absent that are due, and to what the
/// primary sends they are there.
#[cold]
fn on_replica(server: &Server, client: ClientId, at: Moment) -> Moment {
    if server.clients[client].link.is_some() { at.while_loading() } else { at.keeping_due() }
}

/// The moment while data is brought in: to those who bring it all of it is there, to others what is due is not, and it stays.
#[cold]
fn while_importing(server: &Server, client: ClientId, at: Moment) -> Moment {
    if server.clients[client].imports { at.while_loading() } else { at.keeping_due() }
}

/// Goes on with a command that is done piece by piece, whose instant was at this time: as [`run`], but for the handler. How far it
/// has come, or `None` if it has failed and its error is written; and whether it has changed something.
pub fn run_pieces(
    server: &mut Server,
    call: Call<'_>,
    out: &mut Out,
    instant: Now,
    go_on: impl FnOnce(&mut Ctx<'_>) -> Result<Progress, ReplyError>,
) -> (Option<Progress>, bool) {
    let Call { command, args, db, proto, .. } = call;
    let at = moment(server, &call, instant);
    #[cfg(debug_assertions)]
    server.dbs[db].reset_mutations();
    let outer_author = server.watchers.caches.is_on().then(|| note_author(server, &call));
    let mut ctx = Ctx::new(server, &call, Reply::new(out, proto), instant, at);
    let outcome = go_on(&mut ctx);
    if let Err(error) = &outcome {
        ctx.reply.error(error);
    }
    let has_changed = ctx.changes() > 0;
    if let Err(error) = &outcome {
        debug_assert!(!has_changed, "{} fails after it has changed something", command.full_name);
        count_error(server, &call, error);
    }
    #[cfg(debug_assertions)]
    check(server, command, db, has_changed);
    server.report(db);
    if let Some(outer_author) = outer_author {
        server.watchers.caches.set_author(outer_author);
    }
    server.clear_garbage(db);
    if server.propagation.is_wanted() {
        debug_assert!(!has_changed || server.propagation.has_named(), "{} names what it changes", command.full_name);
        server.propagate(db, args, false);
    }
    (outcome.ok(), has_changed)
}

/// The moment as a policy wants it that goes by how often keys are used, or by when they were last written.
#[cold]
fn under_policy(policy: MemoryPolicy, command: &Command, at: Moment) -> Moment {
    if policy.is_frequency() {
        at.counting()
    } else if command.spec.flags.has(Flags::WRITE) {
        at
    } else {
        at.without_access()
    }
}

/// Notes whose changes follow, and whose reads: of a client, not of a query that is evaluated for those who watch it. Whose they
/// were before.
#[cold]
fn note_author(server: &mut Server, call: &Call<'_>) -> Option<ClientId> {
    let author = match call.origin {
        CallOrigin::Sent | CallOrigin::Queued | CallOrigin::Sliced | CallOrigin::Followed | CallOrigin::Again => {
            Some(call.client)
        }
        // Whoever runs the script has said whose it is.
        CallOrigin::Scripted => server.watchers.caches.author(),
        CallOrigin::Observed | CallOrigin::Watched | CallOrigin::Loaded => None,
    };
    server.watchers.caches.set_author(author)
}

/// The line with the name that the command's row has: a log is read whatever clients know commands by.
fn under_own_name(command: &Command, args: Args<'_>) -> OwnedArgs {
    let name = command.full_name.split('|').next().unwrap_or_default().to_ascii_uppercase();
    OwnedArgs::new(std::iter::once(name.as_bytes()).chain(args.iter_from(1)))
}

/// Counts an error; that of a query belongs to whoever watches it.
#[cold]
fn count_error(server: &mut Server, call: &Call<'_>, error: &ReplyError) {
    if !matches!(call.origin, CallOrigin::Observed | CallOrigin::Watched) {
        server.stats.count_error(error.code());
        server.stats.by_command[call.command.id].failed += 1;
    }
}

/// Whoever changes data says so, and only those do that are flagged: a log, a replica or a watcher would miss it.
#[cfg(debug_assertions)]
fn check(server: &mut Server, command: &Command, db: usize, told: bool) {
    let name = &command.full_name;
    assert!(told || server.dbs[db].mutations() == 0, "{name} changed data and told nobody");
    // A command that ran another for its answer did not change what that did.
    server.dbs[db].reset_mutations();
    let may_change = command.spec.flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE).with(Flags::PROTECTED));
    assert!(!told || may_change, "{name} changed data and is not flagged as a write");
}
