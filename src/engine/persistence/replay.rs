//! Runs what a log holds: as the commands would have run then, with nothing due and nobody told.
//!
//! A log holds commands that change data, SELECT, and the libraries of functions; MULTI and EXEC have done their part when a
//! unit comes here. Anything else has no place in a log and stops the load, before it could do harm. An error that a command
//! answers is logged and counted, and the load goes on, as in Redis: there too it had its error when it was written.

use std::path::Path;

use super::loading::{Failure, too_few_databases};
use crate::base::clock::Now;
use crate::base::num;
use crate::command::run::{Call, run_apart};
use crate::command::spec::Flags;
use crate::command::{self, Command};
use crate::engine::scripting::{self, Progress};
use crate::persist::aof::read::Unit;
use crate::resp::args::Args;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Next};
use crate::server::persistence::loading::{File, FileKind, Found};

/// Errors of commands that are logged for each load.
const ERRORS_LOGGED_MAX: u64 = 16;

/// The longest reply that is looked at: only errors are.
const REPLY_BYTES_MAX: u64 = 4096;

/// A command that is about to run.
struct Line<'u> {
    offset: u64,
    args: Args<'u>,
    action: Action,
    hash: Option<u64>,
}

/// Where a command stands in the log, and where it runs.
struct Place<'p> {
    path: &'p Path,
    offset: u64,
    db: usize,
    hash: Option<u64>,
}

enum Action {
    Run(&'static Command),
    Select,
    Nothing,
}

/// Runs a unit in the database at a place, which SELECT moves.
///
/// # Errors
/// It holds what does not belong into a log.
pub(super) fn run(
    server: &mut Server,
    unit: &Unit<'_>,
    db: &mut usize,
    found: &mut Found,
    path: &Path,
    now: Now,
) -> Result<(), Failure> {
    let mut lines = Vec::with_capacity(unit.len());
    for index in 0..unit.len() {
        let (offset, args) = unit.command(index);
        let action = action_of(args).map_err(|reason| refused(path, offset, args, &reason))?;
        let hash = match action {
            Action::Run(command) => command.spec.first_key(args).map(|key| server.dbs[*db].prefetch_bucket(key)),
            _ => None,
        };
        lines.push(Line { offset, args, action, hash });
    }
    lines.iter().filter_map(|line| line.hash).for_each(|hash| server.dbs[*db].prefetch_entry(hash));
    for line in lines {
        let Line { offset, args, action, hash } = line;
        found.commands += 1;
        match action {
            Action::Run(command) => {
                run_command(server, command, &Place { path, offset, db: *db, hash }, args, found, now)
            }
            Action::Select => {
                let number = args.get(1).filter(|_| args.len() == 2).and_then(num::parse_u64);
                let number = number.ok_or_else(|| refused(path, offset, args, "it names no database"))?;
                let place = usize::try_from(number).ok().and_then(|number| server.dbs.make(number));
                let file = File { path: path.to_owned(), kind: FileKind::Log { is_last: false } };
                *db = place.ok_or_else(|| too_few_databases(server, &file, number))?;
            }
            Action::Nothing => {}
        }
    }
    Ok(())
}

fn refused(path: &Path, offset: u64, args: Args<'_>, reason: &str) -> Failure {
    let name = args.at(0).escape_ascii();
    format!(
        "Can't load {}: the command '{name}' at offset {offset}: {reason}. `aleadb --recover DIR` writes a new directory from all \
         that comes before it",
        path.display()
    )
}

/// Whether a log may hold a command.
///
/// # Errors
/// Why not.
pub fn accepts(args: Args<'_>) -> Result<(), String> {
    action_of(args).map(drop)
}

/// What a line is to do.
fn action_of(args: Args<'_>) -> Result<Action, String> {
    let is = |name: &str| args.is(0, name);
    if is("SELECT") {
        return Ok(Action::Select);
    }
    // A unit has all of its transactions.
    if is("MULTI") || is("EXEC") {
        return Ok(Action::Nothing);
    }
    let Some(command) = command::lookup_own(args.at(0)) else {
        return Err("Unknown command reading the append only file".to_owned());
    };
    let command = command::resolve(Some(command), args).map_err(|error| text_of(error.text()))?;
    if !command.spec.takes(args.len()) || command.spec.is_container() {
        return Err("wrong number of arguments".to_owned());
    }
    // PFCOUNT may keep what it has counted, and is passed on then. Scripts are no data, and are known to EVALSHA again.
    let is_script = is("SCRIPT") && matches!(command.spec.name, "LOAD" | "FLUSH");
    if !is_script && !command.spec.flags.has(Flags::WRITE.with(Flags::MAY_REPLICATE)) {
        return Err("it changes no data and does not belong into a log".to_owned());
    }
    Ok(Action::Run(command))
}

fn text_of(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn run_command(
    server: &mut Server,
    command: &'static Command,
    place: &Place<'_>,
    args: Args<'_>,
    found: &mut Found,
    now: Now,
) {
    let Place { path, offset, db, hash } = *place;
    let mut out = Out::with_limit(REPLY_BYTES_MAX);
    let internal = server.clients.internal();
    let call = Call { db, hash, ..Call::of(server, internal, command, args, CallOrigin::Loaded) };
    if run_apart(server, call, &mut out, now).next == Next::RunScript {
        // Logs of old versions of Redis hold scripts in place of what they did.
        let progress = scripting::run(server, command, call.proto, &mut out, server.clock.mono_ns());
        debug_assert_eq!(progress, Progress::Through, "a script of a log is run to its end");
    }
    let reply = out.into_bytes();
    if reply.first() == Some(&b'-') {
        found.failed += 1;
        if found.failed <= ERRORS_LOGGED_MAX {
            log::error!(
                "{}: the command '{}' at offset {offset} answered with an error: {}",
                path.display(),
                server.shown_in_log(args.at(0)),
                server.shown_in_log(reply[1..].trim_ascii())
            );
        }
    }
}
