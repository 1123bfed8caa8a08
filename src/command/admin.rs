//! The server as a whole: its time, its end, and a work of art. The rows and most handlers.

use super::lolwut::lolwut;
use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::config::ShutdownOn;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{CallOrigin, Ctx, Next, NullReply, Wait, WaitFor};

const STOPPING: Flags = Flags::ADMIN
    .with(Flags::NOSCRIPT)
    .with(Flags::LOADING)
    .with(Flags::STALE)
    .with(Flags::NO_MULTI)
    .with(Flags::ALLOW_BUSY);
const ASKING_TIME: Flags = Flags::LOADING.with(Flags::STALE).with(Flags::FAST);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("TIME", 1, ASKING_TIME, time)
        .group(Group::Server, Category::NONE, "2.6.0")
        .doc("Answers the server's time.", "O(1)", "")
        .tips(&["nondeterministic_output"]),
    Spec::new("LOLWUT", -1, Flags::READONLY.with(Flags::FAST), lolwut)
        .group(Group::Server, Category::NONE, "5.0.0")
        .doc("Shows a work of art and the server's version.", "", "[VERSION version]"),
    Spec::new("SHUTDOWN", -1, STOPPING, shutdown)
        .group(Group::Server, Category::NONE, "1.0.0")
        .doc(
            "Stops the server, after a last snapshot if there are save points.",
            "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)",
            "[NOSAVE | SAVE] [NOW] [FORCE] [SAFE] [FAILOVER] [ABORT]",
        )
        .history(&[("7.0.0", "Added `NOW`, `FORCE` and `ABORT`."), ("9.0.0", "Added Valkey's `SAFE` and `FAILOVER`.")]),
    Spec::new("ABORT", -1, STOPPING, abort).group(Group::Server, Category::NONE, "0.1.0").doc(
        "Answers OK and stops the server; data is not saved.",
        "O(1)",
        "",
    ),
];

const NO_SHUTDOWN: ReplyError = ReplyError::new("ERR No shutdown in progress.");
const NO_CLUSTER: ReplyError = ReplyError::new("ERR SHUTDOWN FAILOVER is only supported in cluster mode.");

fn time(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let now_us = match ctx.origin {
        CallOrigin::Scripted => ctx.server.script_unix_us(),
        _ => ctx.server.clock.unix_us(),
    };
    ctx.reply.array(2);
    ctx.reply.bulk_integer(now_us.div_euclid(1_000_000));
    ctx.reply.bulk_integer(now_us.rem_euclid(1_000_000));
    Ok(Next::Done)
}

fn shutdown(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let given = |word: &str| args.iter_from(1).any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let (nosave, save, now, force, abort) =
        (given("NOSAVE"), given("SAVE"), given("NOW"), given("FORCE"), given("ABORT"));
    // COMPAT: SAFE keeps a primary that has slots in a cluster from leaving it. There is no cluster, so it has nothing to refuse.
    let (safe, failover) = (given("SAFE"), given("FAILOVER"));
    let known = ["NOSAVE", "SAVE", "NOW", "FORCE", "SAFE", "FAILOVER", "ABORT"];
    let unknown = |arg: &[u8]| !known.iter().any(|word| arg.eq_ignore_ascii_case(word.as_bytes()));
    let others = nosave || save || now || force || safe || failover;
    if args.iter_from(1).any(unknown) || (nosave && save) || (abort && others) {
        return Err(ReplyError::SYNTAX);
    }
    if failover {
        return Err(NO_CLUSTER);
    }
    if abort {
        if !ctx.server.abort_ending() {
            return Err(NO_SHUTDOWN);
        }
        ctx.reply.ok();
        return Ok(Next::Done);
    }
    if ctx.server.scripting.is_parked() && !nosave {
        return Err(ctx.server.scripting.busy_error());
    }
    let save = (save || nosave).then_some(save);
    let how = ShutdownOn { save, now, force };
    if ctx.server.ends_later(how, ctx.now) {
        return ctx.wait(Wait {
            keys: Vec::new(),
            on: WaitFor::List,
            timeout_ms: 0,
            on_timeout: NullReply::NoEnd,
            args: None,
            until_deleted: false,
            look_ms: None,
        });
    }
    ctx.server.prepare_shutdown(how, ctx.now)?;
    Ok(Next::Shutdown)
}

fn abort(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.prepare_shutdown(ShutdownOn { save: Some(false), ..ShutdownOn::DEFAULT }, ctx.now)?;
    ctx.reply.ok();
    Ok(Next::Shutdown)
}
