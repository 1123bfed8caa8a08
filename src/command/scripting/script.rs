//! SCRIPT: the cache of scripts, and the one that is running.

use super::super::help;
use super::super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use super::known;
use crate::lua::vm::Purpose;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

/// The row.
pub(super) const ROW: Spec = Spec::container(
    "SCRIPT",
    &[
        row("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text, "5.0.0").doc("Lists the subcommands.", "O(1)", ""),
        row("FLUSH", -2, Flags::NOSCRIPT, flush, "2.6.0")
            .tips(TO_ALL_NODES)
            .doc("Forgets all scripts.", "O(N) with N being the number of scripts in cache", "[ASYNC | SYNC]")
            .history(&[("6.2.0", "Added the `ASYNC` and `SYNC` flushing mode modifiers.")]),
        row("LOAD", 3, Flags::NOSCRIPT.with(Flags::STALE), load, "2.6.0").tips(TO_ALL_NODES).doc(
            "Makes a script known without running it; answers its digest.",
            "O(N) with N being the length in bytes of the script body.",
            "script",
        ),
        row("KILL", -2, Flags::NOSCRIPT.with(Flags::ALLOW_BUSY), kill, "2.6.0")
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
            .doc(
                "Ends the script that is running; FORCE ends also one that has changed data, whose changes stay.",
                "O(1)",
                "[FORCE]",
            ),
        row("EXISTS", -3, Flags::NOSCRIPT, exists, "2.6.0")
            .tips(&["request_policy:all_shards", "response_policy:agg_logical_and"])
            .doc(
                "Tells which scripts are known.",
                "O(N) with N being the number of scripts to check (so checking a single script is an O(1) operation).",
                "sha1 [sha1 ...]",
            ),
        row("DEBUG", 3, Flags::NOSCRIPT, debug, "3.2.0").doc(
            "Turns the debugger off, which is not there to be turned on.",
            "O(1)",
            "<YES | SYNC | NO>",
        ),
        row("STATS", 2, Flags::NOSCRIPT.with(Flags::STALE), stats, "0.1.0").doc(
            "Counts the runs of each script that is known, with their microseconds and the bytes of its text.",
            "O(N) with N being the number of scripts in cache",
            "",
        ),
    ],
)
.group(Group::Scripting, Category::NONE, "2.6.0")
.doc("Scripts that are known, and the one that is running.", "Depends on subcommand.", "");

const TO_ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const fn row(name: &'static str, arity: i32, flags: Flags, handler: Handler, since: &'static str) -> Spec {
    Spec::new(name, arity, flags, handler).group(Group::Scripting, Category::SCRIPTING, since)
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "SCRIPT",
        &[
            "DEBUG (YES|SYNC|NO)",
            "    Set the debug mode for subsequent scripts executed.",
            "EXISTS <sha1> [<sha1> ...]",
            "    Return information about the existence of the scripts in the script cache.",
            "FLUSH [ASYNC|SYNC]",
            "    Flush the Lua scripts cache. Very dangerous on replicas.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the scripts cache.",
            "    * SYNC: Synchronously flush the scripts cache.",
            "KILL [FORCE]",
            "    Kill the currently executing Lua script. With FORCE also one that has changed data, whose changes stay.",
            "LOAD <script>",
            "    Load a script into the scripts cache without executing it.",
            "STATS",
            "    Return the runs of each script in the cache, with their microseconds and the bytes of its text.",
        ],
    );
    Ok(Next::Done)
}

/// Has a script that is kept from now on passed on, if it is to be there after a restart.
pub(super) fn propagate(ctx: &mut Ctx<'_>, number: u32) {
    if ctx.server.config.script_persist {
        let body = ctx.server.scripting.cache.get(number).body.clone();
        // A save point is reached as by a change of data.
        ctx.server.stats.dirty += 1;
        ctx.propagate_as(|lines| lines.push([b"SCRIPT".as_slice(), b"LOAD", &body]));
    }
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (number, is_new) = ctx.server.known_script(args.at(2), true)?;
    if is_new {
        propagate(ctx, number);
    }
    let name = &ctx.server.scripting.cache.get(number).name;
    ctx.reply.bulk_str(name);
    Ok(Next::Done)
}

/// Whether a flush is to be done at once: by default the helper thread does it.
pub(super) fn is_at_once(args: Args<'_>) -> Option<bool> {
    match args.len() {
        2 => Some(false),
        3 if args.is(2, "ASYNC") => Some(false),
        3 if args.is(2, "SYNC") => Some(true),
        _ => None,
    }
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at_once = is_at_once(args).ok_or(ReplyError::new("ERR SCRIPT FLUSH only support SYNC|ASYNC option"))?;
    ctx.server.flush_scripts(at_once);
    if ctx.server.config.script_persist {
        ctx.server.stats.dirty += 1;
        ctx.propagate_as(|lines| lines.push([b"SCRIPT".as_slice(), b"FLUSH"]));
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

fn kill(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let force = match args.len() {
        2 => false,
        3 if args.is(2, "FORCE") => true,
        _ => return Err(ReplyError::arity(&ctx.command.full_name)),
    };
    ctx.server.scripting.kill(Purpose::Scripts, force)?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.reply.array(args.len() - 2);
    for digest in args.iter_from(2) {
        let is_known = known(ctx.server, digest).is_some();
        ctx.reply.integer(i64::from(is_known));
    }
    Ok(Next::Done)
}

fn debug(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.is(2, "NO") {
        ctx.reply.ok();
        return Ok(Next::Done);
    }
    // COMPAT: Redis has a debugger.
    Err(match args.is(2, "YES") || args.is(2, "SYNC") {
        true => ReplyError::new("ERR there is no debugger of scripts"),
        false => ReplyError::new("ERR Use SCRIPT DEBUG YES/SYNC/NO"),
    })
}

fn stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let mut scripts: Vec<_> = server.scripting.cache.iter().collect();
    scripts.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.name.cmp(&b.name)));
    reply.array(scripts.len());
    for script in scripts {
        reply.map(5);
        reply.bulk_str("sha1");
        reply.bulk_str(&script.name);
        reply.bulk_str("calls");
        reply.integer(script.calls as i64);
        reply.bulk_str("usec");
        reply.integer((script.ns / 1000) as i64);
        reply.bulk_str("bytes");
        reply.integer(script.body.len() as i64);
        reply.bulk_str("loaded");
        reply.integer(i64::from(script.is_kept));
    }
    Ok(Next::Done)
}
