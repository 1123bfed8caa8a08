//! Transactions on their way through the engine: what EXEC is judged by, what a refusal does to a queue, and the run of
//! the queue as one unit.

use super::dispatch::count_queued;
use super::scripting::{self, Progress};
use crate::base::clock::Now;
use crate::command::acl::permission;
use crate::command::run::{Call, Ended, run_apart};
use crate::command::spec::Flags;
use crate::command::{self, Command};
use crate::feature::acl::Reason;
use crate::feature::acl::log::Context;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::observer::{QUICK, SHARED_ARGS_MAX, SHARED_BYTES_MAX, Seen};
use crate::server::session::ReplyMode;
use crate::server::transaction::{Queued, Rest};

/// What gates look at: a command's flags, those of the script that it would run, and for EXEC also those of the commands it would
/// run.
#[inline]
pub(super) fn flags(server: &Server, client: ClientId, command: &Command, args: Args<'_>) -> Flags {
    let (own, transaction) = (command.spec.flags, &server.clients[client].transaction);
    match transaction {
        _ if own.has(Flags::RUNS_SCRIPT) => command::scripting::flags_of(server, own, command.spec, args),
        Some(transaction) if is_exec(command) => {
            let run = transaction.flags;
            let of = |flag: Flags| if run.has(flag) { flag } else { Flags::NONE };
            own.with(of(Flags::WRITE)).with(of(Flags::MAY_REPLICATE)).with(of(Flags::DENYOOM))
        }
        _ => own,
    }
}

fn is_exec(command: &Command) -> bool {
    command.spec.name == "EXEC"
}

/// What becomes of a transaction when a command is refused: it will not run. If that command is EXEC it ends here, and the
/// error says so.
#[cold]
pub(super) fn refused(
    server: &mut Server,
    client: ClientId,
    command: Option<&Command>,
    error: ReplyError,
) -> ReplyError {
    if let Some(transaction) = &mut server.clients[client].transaction {
        transaction.broken = true;
    }
    if !command.is_some_and(is_exec) {
        return error;
    }
    server.discard_transaction(client);
    let reason = error.text().strip_prefix(b"ERR ").unwrap_or(error.text());
    ReplyError::owned([b"EXECABORT Transaction discarded because of: ", reason].concat())
}

/// Runs the queue of a client's transaction, and ends the transaction. Nobody else is served before it is over, unless one of its
/// scripts holds the server for too long: then what is left of it is returned.
///
/// Each command's reply is kept or dropped as CLIENT REPLY says when it has run, and nothing follows the reply of a CLIENT
/// KILL that met the client itself.
///
/// # Errors
/// What is left.
pub(super) fn run_queue(
    server: &mut Server,
    client: ClientId,
    out: &mut Out,
    now: Now,
    started_ns: u64,
) -> Result<Next, Rest> {
    let session = &mut server.clients[client];
    let queue = session.transaction.as_mut().map(|transaction| std::mem::take(&mut transaction.queue));
    let queue = queue.unwrap_or_default();
    if !is_muted(session.reply_mode) {
        Reply::new(out, session.proto).array(queue.len());
    }
    let mut rest =
        Rest { queue: queue.into_iter(), current: None, next: Next::Done, changes_before: server.stats.dirty };
    if go_on(server, client, &mut rest, out, now, started_ns) {
        return Ok(rest.next);
    }
    Err(rest)
}

/// Goes on with a queue. False if a script has had its time.
pub(super) fn go_on(
    server: &mut Server,
    client: ClientId,
    rest: &mut Rest,
    out: &mut Out,
    now: Now,
    started_ns: u64,
) -> bool {
    let mut time_ns = started_ns;
    loop {
        let (queued, is_begun) = match rest.current.take() {
            Some(queued) => (queued, true),
            None => match rest.queue.next() {
                Some(queued) => (queued, false),
                None => break,
            },
        };
        let (command, args) = (queued.command, queued.args.as_args());
        let mute = rest.next == Next::Close || is_muted(server.clients[client].reply_mode);
        let written_bytes = out.written_bytes();
        let mark = if mute { out.mark_before_dropped() } else { out.mark() };
        if out.is_cut() && command.spec.flags.has(Flags::READONLY) && !is_begun {
            // Its client is being disconnected, and will never see what it reads.
            continue;
        }
        if !is_begun {
            if let Some(error) = forbidden_meanwhile(server, client, command, args) {
                server.stats.count_error(error.code());
                Reply::new(out, server.clients[client].proto).error(&error);
                if mute {
                    out.truncate(mark);
                }
                continue;
            }
            server.show_script(client, command, args);
        }
        let Ended { next: mut asked, out_of_band } = match is_begun {
            true => Ended { next: Next::RunScript, out_of_band: false },
            false => run_apart(server, Call::of(server, client, command, args, CallOrigin::Queued), out, now),
        };
        if asked == Next::RunScript {
            let proto = server.clients[client].proto;
            let progress = match is_begun {
                true => scripting::go_on(server, command, proto, out),
                false => scripting::run(server, command, proto, out, time_ns),
            };
            if progress == Progress::Slice {
                rest.current = Some(queued);
                server.count_in_row(client);
                return false;
            }
            asked = Next::Done;
        }
        debug_assert!(matches!(asked, Next::Done | Next::Close), "nothing waits inside a transaction");
        if rest.next == Next::Close || (is_muted(server.clients[client].reply_mode) && !out_of_band) {
            out.truncate(mark);
        }
        if asked == Next::Close {
            rest.next = Next::Close;
        }
        let reply_bytes = out.written_bytes().saturating_sub(written_bytes);
        if is_timed_with(rest.queue.as_slice().first(), &queued) && server.observer.may_share_time(reply_bytes) {
            server.share_time(command);
            continue;
        }
        let took_ns = count_queued(server, Seen { client, command, args, reply_bytes, is_shown: false }, &mut time_ns);
        server.jobs.note_whole(took_ns);
    }
    server.count_in_row(client);
    server.clients[client].transaction = None;
    true
}

/// True if the clock need not be read after a command: it is quick and short, and the next is the same again.
fn is_timed_with(next: Option<&Queued>, queued: &Queued) -> bool {
    let args = queued.args.as_args();
    next.is_some_and(|next| std::ptr::eq(next.command, queued.command))
        && queued.command.spec.flags.has(QUICK)
        && args.len() <= SHARED_ARGS_MAX
        && args.extent() < SHARED_BYTES_MAX
}

/// The refusal of a queued command that its client's user, who may be another by now, has no permission for any more.
#[inline]
fn forbidden_meanwhile(
    server: &mut Server,
    client: ClientId,
    command: &'static Command,
    args: Args<'_>,
) -> Option<ReplyError> {
    if server.clients[client].unlimited {
        return None;
    }
    let denied = permission::check(server, client, command, args).err()?;
    permission::note(server, client, command, args, denied, Context::Multi);
    let reason = match denied.reason {
        Reason::Command | Reason::Auth => "no permission to execute the command or subcommand",
        Reason::Key => "no permission to touch the specified keys",
        Reason::Channel => "no permission to access one of the channels used as argument to the command",
    };
    Some(ReplyError::owned(format!(
        "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. This command is no \
         longer allowed for the following reason: {reason}"
    )))
}

fn is_muted(mode: ReplyMode) -> bool {
    matches!(mode, ReplyMode::Off | ReplyMode::Skipping)
}
