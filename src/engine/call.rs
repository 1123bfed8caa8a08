//! The commands that count: their errors, their number and their time, for whoever sent them.

use crate::base::clock::Now;
use crate::command::Command;
use crate::command::run::{Call, Called, run};
use crate::feature::client_id::ClientId;
use crate::resp::out::Out;
use crate::server::Server;
use crate::server::ctx::Next;

/// What a handler has left to be done, its error counted.
#[derive(Debug)]
pub(super) struct Ended {
    /// What it asks to happen.
    pub next: Next,
    /// Its reply is not one that CLIENT REPLY keeps back.
    pub out_of_band: bool,
}

/// The same as [`call`], for callers off the hot path: a copy of its own, so that the one on it is compiled into its caller.
#[inline(never)]
pub(super) fn call_apart(server: &mut Server, call: Call<'_>, out: &mut Out, now: Now) -> Ended {
    self::call(server, call, out, now)
}

/// Runs a command, and counts its error if it answers one.
#[inline(always)]
pub(super) fn call(server: &mut Server, call: Call<'_>, out: &mut Out, now: Now) -> Ended {
    let Called { outcome, out_of_band } = run(server, call, out, now);
    let next = match outcome {
        Ok(next) => next,
        Err(error) => {
            server.stats.count_error(error.code());
            server.stats.by_command[call.command.id].failed += 1;
            Next::Done
        }
    };
    Ended { next, out_of_band }
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
