//! HOTKEYS: the rows and handlers. What is counted, and how, is `server::hotkeys`'s.

use super::help;
use super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use crate::base::num;
use crate::feature::top_keys::TopKeys;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::hotkeys::{HotKeys, Wanted};

const FLAGS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT);
const TO_ONE: &[&str] = &["request_policy:special"];

/// The rows.
pub const ROWS: &[Spec] =
    &[Spec::container(
        "HOTKEYS",
        &[
            row("GET", 2, get)
                .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
                .doc("Shows the keys that take the most.", "O(K) where K is the number of keys shown", ""),
            Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
                .group(Group::Server, Category::NONE, "8.6.1")
                .doc("Lists the subcommands.", "O(1)", ""),
            row("RESET", 2, reset).doc("Forgets what was counted.", "O(1)", ""),
            row("START", -2, start).doc(
                "Begins to count which keys take the most time and bytes.",
                "O(1)",
                "METRICS count [CPU] [NET] [COUNT k] [DURATION seconds] [SAMPLE ratio] [SLOTS count slot [slot ...]]",
            ),
            row("STOP", 2, stop).doc("Ends the counting; what was counted stays.", "O(1)", ""),
        ],
    )
    .group(Group::Server, Category::NONE, "8.6.0")
    .doc("Holds the commands about the keys that take the most.", "Depends on subcommand.", "")];

const fn row(name: &'static str, arity: i32, handler: Handler) -> Spec {
    Spec::new(name, arity, FLAGS, handler).group(Group::Server, Category::NONE, "8.6.0").tips(TO_ONE)
}

/// Keys shown unless START is told.
const COUNT: usize = 10;
const COUNT_MAX: i64 = 64;
const DURATION_S_MAX: i64 = 1_000_000;
const SAMPLE_MAX: i64 = i32::MAX as i64;

const NO_METRICS: ReplyError = ReplyError::new("ERR METRICS parameter is required");
const BAD_METRICS_COUNT: ReplyError = ReplyError::new("ERR METRICS count must be > 0 and <= 2");
const NO_VALID_METRICS: ReplyError = ReplyError::new("ERR METRICS no valid metrics passed. Supported: CPU|NET");
const WRONG_METRICS_COUNT: ReplyError =
    ReplyError::new("ERR METRICS count does not match number of metric types provided");
const CPU_TWICE: ReplyError = ReplyError::new("ERR METRICS CPU defined more than once!");
const NET_TWICE: ReplyError = ReplyError::new("ERR METRICS NET defined more than once!");
const BAD_COUNT: ReplyError = ReplyError::new("ERR COUNT must be between 1 and 64");
const BAD_DURATION: ReplyError = ReplyError::new("ERR DURATION must be between 1 and 1000000");
const BAD_SAMPLE: ReplyError = ReplyError::new("ERR SAMPLE ratio must be positive");
const NO_SLOTS: ReplyError = ReplyError::new("ERR SLOTS parameter cannot be used in non-cluster mode");
const ALREADY: ReplyError = ReplyError::new("ERR hotkey tracking session already in progress");
const IN_PROGRESS: ReplyError = ReplyError::new("ERR hotkey tracking session in progress, stop tracking first");

fn start(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = parse(args)?;
    if ctx.server.active_hotkeys(ctx.now).is_some() {
        return Err(ALREADY);
    }
    ctx.server.hotkeys = Some(Box::new(HotKeys::start(wanted, ctx.now)));
    ctx.server.renew_observation();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn parse(args: Args<'_>) -> Result<Wanted, ReplyError> {
    if args.len() < 4 || !args.is(2, "METRICS") {
        return Err(NO_METRICS);
    }
    let metrics = num::parse_i64(args.at(3)).filter(|count| (1..=2).contains(count)).ok_or(BAD_METRICS_COUNT)?;
    let mut wanted = Wanted { cpu: false, net: false, count: COUNT, duration_ms: None, sample_ratio: 1 };
    let mut at = 4 + metrics as usize;
    if at > args.len() {
        return Err(WRONG_METRICS_COUNT);
    }
    // COMPAT: a metric that is not known is passed over, as long as there is one that is.
    for metric in 4..at {
        if args.is(metric, "CPU") && std::mem::replace(&mut wanted.cpu, true) {
            return Err(CPU_TWICE);
        }
        if args.is(metric, "NET") && std::mem::replace(&mut wanted.net, true) {
            return Err(NET_TWICE);
        }
    }
    if !wanted.cpu && !wanted.net {
        return Err(NO_VALID_METRICS);
    }
    while at < args.len() {
        let Some(value) = args.get(at + 1) else { return Err(ReplyError::SYNTAX) };
        let number = num::parse_i64(value);
        if args.is(at, "COUNT") {
            wanted.count = number.filter(|count| (1..=COUNT_MAX).contains(count)).ok_or(BAD_COUNT)? as usize;
        } else if args.is(at, "DURATION") {
            let seconds = number.filter(|seconds| (1..=DURATION_S_MAX).contains(seconds)).ok_or(BAD_DURATION)?;
            wanted.duration_ms = Some(seconds as u64 * 1000);
        } else if args.is(at, "SAMPLE") {
            wanted.sample_ratio = number.filter(|ratio| (1..=SAMPLE_MAX).contains(ratio)).ok_or(BAD_SAMPLE)? as u64;
        } else if args.is(at, "SLOTS") {
            return Err(NO_SLOTS);
        } else {
            return Err(ReplyError::SYNTAX);
        }
        at += 2;
    }
    Ok(wanted)
}

fn stop(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let now = ctx.now;
    match ctx.server.active_hotkeys(now) {
        None => ctx.reply.null(),
        Some(hotkeys) => {
            hotkeys.stop(now);
            ctx.server.renew_observation();
            ctx.reply.ok();
        }
    }
    Ok(Next::Done)
}

fn reset(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    if ctx.server.active_hotkeys(ctx.now).is_some() {
        return Err(IN_PROGRESS);
    }
    ctx.server.hotkeys = None;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn get(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, now, .. } = ctx;
    let is_active = server.active_hotkeys(*now).is_some();
    let Some(hotkeys) = &server.hotkeys else {
        reply.null();
        return Ok(Next::Done);
    };
    let Wanted { cpu, net, count, sample_ratio, .. } = hotkeys.wanted;
    let (user, system) = hotkeys.cpu();
    reply.array(1);
    reply.map(7 + if cpu { 3 } else { 0 } + if net { 2 } else { 0 });
    field(reply, "tracking-active", i64::from(is_active));
    field(reply, "sample-ratio", sample_ratio as i64);
    reply.bulk_str("selected-slots");
    reply.array(1);
    reply.array(2);
    reply.integer(0);
    reply.integer(16_383);
    field(reply, "all-commands-all-slots-us", (hotkeys.spent_ns / 1000) as i64);
    field(reply, "net-bytes-all-commands-all-slots", hotkeys.bytes as i64);
    field(reply, "collection-start-time-unix-ms", hotkeys.started_unix_ms);
    field(reply, "collection-duration-ms", hotkeys.duration_ms(*now) as i64);
    if cpu {
        field(reply, "total-cpu-time-user-ms", user.as_millis() as i64);
        field(reply, "total-cpu-time-sys-ms", system.as_millis() as i64);
    }
    if net {
        field(reply, "total-net-bytes", hotkeys.bytes as i64);
    }
    if cpu {
        keys(reply, "by-cpu-time-us", &hotkeys.by_ns, count, 1000);
    }
    if net {
        keys(reply, "by-net-bytes", &hotkeys.by_bytes, count, 1);
    }
    Ok(Next::Done)
}

fn field(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk_str(name);
    reply.integer(value);
}

fn keys(reply: &mut Reply<'_>, name: &str, top: &TopKeys, count: usize, unit: u64) {
    let keys = top.heaviest(count);
    reply.bulk_str(name);
    reply.array(2 * keys.len());
    for (key, weight) in keys {
        reply.bulk(key);
        reply.integer((weight / unit) as i64);
    }
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "HOTKEYS",
        &[
            "START METRICS <count> [CPU] [NET] [COUNT <k>] [DURATION <seconds>] [SAMPLE <ratio>] [SLOTS <count> <slot> ...]",
            "    Begin to count keys, by the time (CPU) or the bytes (NET) of the commands that name them.",
            "    * COUNT: keys that GET shows, 10 by default.",
            "    * DURATION: seconds after which counting ends; without it, STOP ends it.",
            "    * SAMPLE: count the keys of one in <ratio> commands, 1 by default.",
            "    * SLOTS: only in a cluster, so refused.",
            "STOP",
            "    End the counting. GET goes on showing what was counted.",
            "GET",
            "    Show what was counted.",
            "RESET",
            "    Forget what was counted, after the counting has ended.",
        ],
    );
    Ok(Next::Done)
}
