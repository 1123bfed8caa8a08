//! SLOWLOG and COMMANDLOG, which show the commands that were logged, and MONITOR, which shows all of them. What is logged
//! is decided by `server::observer`.

use super::help;
use super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use crate::base::num;
use crate::feature::command_log::CommandLog;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::observer::Observer;

const REPORTING: Flags = Flags::ADMIN.with(Flags::LOADING).with(Flags::STALE);
const HELPING: Flags = Flags::LOADING.with(Flags::STALE);
const OF_ALL: &[&str] = &["request_policy:all_nodes", "nondeterministic_output"];
const SUMMED: &[&str] = &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"];
const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::container(
        "SLOWLOG",
        &[
            report("GET", -2, slowlog_get, "2.2.12")
                .tips(OF_ALL)
                .doc("Shows the latest slow commands.", "O(N) where N is the number of entries returned", "[count]")
                .history(&[("4.0.0", "Entries have the client's address and name.")]),
            Spec::new("HELP", 2, HELPING, slowlog_help).group(Group::Server, Category::NONE, "6.2.0").doc(
                "Lists the subcommands.",
                "O(1)",
                "",
            ),
            report("LEN", 2, slowlog_len, "2.2.12").tips(SUMMED).doc("Counts the slow commands logged.", "O(1)", ""),
            report("RESET", 2, slowlog_reset, "2.2.12").tips(TO_ALL).doc(
                "Forgets the slow commands.",
                "O(N) where N is the number of entries in the slowlog",
                "",
            ),
        ],
    )
    .group(Group::Server, Category::NONE, "2.2.12")
    .doc("Holds the commands about slow commands.", "Depends on subcommand.", ""),
    Spec::container(
        "COMMANDLOG",
        &[
            report("GET", 4, commandlog_get, "8.1.0").tips(OF_ALL).doc(
                "Shows the latest commands that were slow, or whose request or reply was large.",
                "O(N) where N is the number of entries returned",
                "count type",
            ),
            Spec::new("HELP", 2, HELPING, commandlog_help).group(Group::Server, Category::NONE, "8.1.0").doc(
                "Lists the subcommands.",
                "O(1)",
                "",
            ),
            report("LEN", 3, commandlog_len, "8.1.0").tips(SUMMED).doc("Counts the commands logged.", "O(1)", "type"),
            report("RESET", 3, commandlog_reset, "8.1.0").tips(TO_ALL).doc(
                "Forgets the commands logged.",
                "O(N) where N is the number of entries in the commandlog",
                "type",
            ),
        ],
    )
    .group(Group::Server, Category::NONE, "8.1.0")
    .doc("Holds the commands about slow and large commands.", "Depends on subcommand.", ""),
    Spec::new("MONITOR", 1, REPORTING.with(Flags::NOSCRIPT), monitor)
        .group(Group::Server, Category::NONE, "1.0.0")
        .doc("Shows every command that the server runs from now on.", "", ""),
];

const fn report(name: &'static str, arity: i32, handler: Handler, since: &'static str) -> Spec {
    Spec::new(name, arity, REPORTING, handler).group(Group::Server, Category::NONE, since)
}

const BAD_COUNT: ReplyError = ReplyError::new("ERR count should be greater than or equal to -1");
const BAD_TYPE: ReplyError =
    ReplyError::new("ERR type should be one of the following: slow, large-request, large-reply");
const NOT_HERE: ReplyError = ReplyError::new("ERR MONITOR isn't allowed for DENY BLOCKING client");

/// Entries that SLOWLOG GET shows unless it is told.
const SHOWN: usize = 10;

/// How many entries are asked for: -1 for all.
fn count(text: &[u8]) -> Result<usize, ReplyError> {
    match num::parse_i64(text) {
        Some(-1) => Ok(usize::MAX),
        Some(count) => usize::try_from(count).map_err(|_| BAD_COUNT),
        None => Err(BAD_COUNT),
    }
}

/// The log of a type.
fn log_of<'o>(observer: &'o mut Observer, name: &[u8]) -> Result<&'o mut CommandLog, ReplyError> {
    match name.to_ascii_lowercase().as_slice() {
        b"slow" => Ok(&mut observer.slow),
        b"large-request" => Ok(&mut observer.requests),
        b"large-reply" => Ok(&mut observer.replies),
        _ => Err(BAD_TYPE),
    }
}

/// The entries, the newest first; SLOWLOG's end with the true number of arguments, as in Redis 8.10.
fn write_entries(reply: &mut Reply<'_>, log: &CommandLog, count: usize, with_args_count: bool) {
    reply.array(count.min(log.len()));
    for entry in log.iter().take(count) {
        reply.array(if with_args_count { 7 } else { 6 });
        reply.integer(entry.id as i64);
        reply.integer(entry.unix_s);
        reply.integer(entry.amount as i64);
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk_str(&entry.peer);
        reply.bulk(&entry.name);
        if with_args_count {
            reply.integer(entry.args_count as i64);
        }
    }
}

fn slowlog_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => SHOWN,
        3 => count(args.at(2))?,
        _ => {
            let text = "ERR unknown subcommand or wrong number of arguments for '";
            return Err(ReplyError::about(text, args.at(1), "'. Try SLOWLOG HELP."));
        }
    };
    write_entries(&mut ctx.reply, &ctx.server.observer.slow, count, true);
    Ok(Next::Done)
}

fn slowlog_len(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.integer(ctx.server.observer.slow.len() as i64);
    Ok(Next::Done)
}

fn slowlog_reset(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.observer.slow.clear();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn commandlog_get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = count(args.at(2))?;
    let log = log_of(&mut ctx.server.observer, args.at(3))?;
    write_entries(&mut ctx.reply, log, count, false);
    Ok(Next::Done)
}

fn commandlog_len(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let len = log_of(&mut ctx.server.observer, args.at(2))?.len();
    ctx.reply.integer(len as i64);
    Ok(Next::Done)
}

fn commandlog_reset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    log_of(&mut ctx.server.observer, args.at(2))?.clear();
    ctx.reply.ok();
    Ok(Next::Done)
}

// COMPAT: who is shown all commands already gets no reply.
fn monitor(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    if !ctx.may_block() {
        return Err(NOT_HERE);
    }
    if ctx.server.monitor(ctx.client) {
        ctx.reply.ok();
        ctx.renew_output_limit();
    } else {
        ctx.out_of_band = true;
    }
    Ok(Next::Done)
}

fn slowlog_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "SLOWLOG",
        &[
            "GET [<count>]",
            "    Show the latest <count> slow commands (default 10, -1 for all), the newest first. Each has:",
            "    id, timestamp, microseconds, arguments, the client's address and name, number of arguments.",
            "LEN",
            "    Count the slow commands that are kept.",
            "RESET",
            "    Forget them.",
        ],
    );
    Ok(Next::Done)
}

fn commandlog_help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "COMMANDLOG",
        &[
            "GET <count> <type>",
            "    Show the latest <count> commands of a type (-1 for all), the newest first. Each has:",
            "    id, timestamp, amount, arguments, the client's address and name.",
            "    Types, with what the amount is, are slow (microseconds), large-request and large-reply (bytes).",
            "LEN <type>",
            "    Count the commands of a type that are kept.",
            "RESET <type>",
            "    Forget them.",
        ],
    );
    Ok(Next::Done)
}
