//! LATENCY: what slow events were seen, and how long commands took. What is noted is decided by `server::observer`, and by those who
//! do the work that events are named after.

mod doctor;
mod graph;

use super::help;
use super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use super::{Command, all, lookup};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};

const REPORTING: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE);
const PER_NODE: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "LATENCY",
    &[
        report("DOCTOR", 2, doctor, "2.8.13").doc("Says in words what the slow events were.", "O(1)", ""),
        report("GRAPH", 3, graph, "2.8.13").doc("Draws the samples of an event.", "O(1)", "event"),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Server, Category::NONE, "2.8.13")
            .doc("Lists the subcommands.", "O(1)", ""),
        report("HISTOGRAM", -2, histogram, "7.0.0").doc(
            "Tells how long commands took.",
            "O(N) where N is the number of commands with latency information being retrieved.",
            "[command [command ...]]",
        ),
        report("HISTORY", 3, history, "2.8.13").doc("Lists the samples of an event.", "O(1)", "event"),
        report("LATEST", 2, latest, "2.8.13").doc("Lists the latest sample of every event.", "O(1)", ""),
        report("RESET", -2, reset, "2.8.13").tips(&["request_policy:all_nodes", "response_policy:agg_sum"]).doc(
            "Forgets the samples of events; answers of how many there were any.",
            "O(1)",
            "[event [event ...]]",
        ),
    ],
)
.group(Group::Server, Category::NONE, "2.8.13")
.doc("Tells of slow events.", "Depends on subcommand.", "")];

const fn report(name: &'static str, arity: i32, handler: Handler, since: &'static str) -> Spec {
    Spec::new(name, arity, REPORTING, handler).group(Group::Server, Category::NONE, since).tips(PER_NODE)
}

fn history(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    match server.observer.latency.of(args.at(2)) {
        None => reply.array(0),
        Some(series) => {
            reply.array(series.samples().len());
            for sample in series.samples() {
                reply.array(2);
                reply.integer(sample.unix_s);
                reply.integer(sample.ms as i64);
            }
        }
    }
    Ok(Next::Done)
}

fn latest(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    reply.array(server.observer.latency.iter().len());
    for (name, series) in server.observer.latency.iter() {
        let last = series.samples().next_back().expect("a kind of event is known by its first sample");
        reply.array(4);
        reply.bulk_str(name);
        reply.integer(last.unix_s);
        reply.integer(last.ms as i64);
        reply.integer(series.max_ms() as i64);
    }
    Ok(Next::Done)
}

fn reset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let latency = &mut ctx.server.observer.latency;
    let count =
        if args.len() == 2 { latency.clear() } else { args.iter_from(2).filter(|event| latency.forget(event)).count() };
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

fn graph(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let event = args.at(2);
    let Some(series) = ctx.server.observer.latency.of(event) else {
        return Err(ReplyError::about("ERR No samples available for event '", event, "'"));
    };
    let text = graph::draw(&String::from_utf8_lossy(event), series, ctx.now.unix_s());
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

fn doctor(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let text = doctor::report(&ctx.server.config, &ctx.server.observer.latency);
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
}

/// Those commands that were named, subcommands of named containers included, or all; of them those that have run.
fn histogram(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let with_subcommands = |command: &'static Command| std::iter::once(command).chain(&command.subcommands);
    let asked: Vec<&Command> = if args.len() == 2 {
        all().iter().chain(super::derived()).flat_map(with_subcommands).collect()
    } else {
        args.iter_from(2).filter_map(named).flat_map(with_subcommands).collect()
    };
    let Ctx { server, reply, .. } = ctx;
    server.settle_durations();
    let server: &Server = server;
    let histograms: Vec<_> =
        asked.into_iter().filter_map(|command| Some((command, server.observer.durations_of(command)?))).collect();
    reply.map(histograms.len());
    for (command, durations) in histograms {
        reply.bulk_str(&command.full_name);
        reply.map(2);
        reply.bulk_str("calls");
        reply.integer(durations.count() as i64);
        reply.bulk_str("histogram_usec");
        let octaves = durations.octaves();
        reply.map(octaves.len());
        for (us, count) in octaves {
            reply.integer(us as i64);
            reply.integer(count as i64);
        }
    }
    Ok(Next::Done)
}

/// The command of a name as statistics write it: `get`, `client|list`.
fn named(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        None => lookup(name),
        Some(at) => lookup(&name[..at])?.subcommand(&name[at + 1..]),
    }
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "LATENCY",
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "GRAPH <event>",
            "    Return an ASCII latency graph for the <event> class.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
            "HISTOGRAM [COMMAND ...]",
            "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
            "    If no commands are specified then all histograms are replied.",
        ],
    );
    Ok(Next::Done)
}
