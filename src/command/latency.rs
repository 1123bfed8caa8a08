//! LATENCY: what slow events were seen, and how long commands took. Nothing of it is recorded yet, so every report is the
//! empty one that Redis gives with `latency-monitor-threshold 0` and `latency-tracking no`.

use super::help;
use super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

const REPORTING: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::LOADING).with(Flags::STALE);
const PER_NODE: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "LATENCY",
    &[
        report("DOCTOR", 2, doctor, "2.8.13").doc("Says that latency is not monitored.", "O(1)", ""),
        report("GRAPH", 3, graph, "2.8.13").doc("Draws the samples of an event: there are none.", "O(1)", "event"),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Server, Category::NONE, "2.8.13")
            .doc("Lists the subcommands.", "O(1)", ""),
        report("HISTOGRAM", -2, histogram, "7.0.0").doc(
            "Tells how long commands took: nothing is recorded.",
            "O(N) where N is the number of commands with latency information being retrieved.",
            "[command [command ...]]",
        ),
        report("HISTORY", 3, nothing, "2.8.13").doc("Lists the samples of an event: there are none.", "O(1)", "event"),
        report("LATEST", 2, nothing, "2.8.13").doc(
            "Lists the latest sample of every event: there are none.",
            "O(1)",
            "",
        ),
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

fn nothing(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.array(0);
    Ok(Next::Done)
}

fn histogram(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.map(0);
    Ok(Next::Done)
}

fn reset(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.integer(0);
    Ok(Next::Done)
}

fn graph(_ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    Err(ReplyError::about("ERR No samples available for event '", args.at(2), "'"))
}

// COMPAT: Redis advises to set `latency-monitor-threshold` here, which would do nothing yet.
fn doctor(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let text = "I'm sorry, I can't do that. Latency is not monitored by this server. INFO commandstats tells how long \
                commands take, INFO stats and INFO expiry how long turns of the loop take and how punctual timers are.\n";
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Next::Done)
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
