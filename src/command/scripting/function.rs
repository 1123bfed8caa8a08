//! FUNCTION: libraries of functions.

use super::super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use super::super::{dump, help};
use super::script::is_at_once;
use crate::base::glob;
use crate::lua::vm::Purpose;
use crate::persist::payload::{self, Refused};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::scripting::libraries::{Library, RestorePolicy};

/// The row.
pub(super) const ROW: Spec = Spec::container(
    "FUNCTION",
    &[
        row("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text).doc("Lists the subcommands.", "O(1)", ""),
        row("LOAD", -3, CHANGES.with(Flags::DENYOOM), load).tips(TO_ALL_SHARDS).doc(
            "Makes a library of functions known.",
            "O(1) (considering compilation time is redundant)",
            "[REPLACE] function-code",
        ),
        row("DELETE", 3, CHANGES, delete).tips(TO_ALL_SHARDS).doc("Forgets a library.", "O(1)", "library-name"),
        row("FLUSH", -2, CHANGES, flush).tips(TO_ALL_SHARDS).doc(
            "Forgets all libraries.",
            "O(N) where N is the number of functions deleted",
            "[ASYNC | SYNC]",
        ),
        row("LIST", -2, Flags::NOSCRIPT, list).tips(&["nondeterministic_output_order"]).doc(
            "Lists libraries and their functions.",
            "O(N) where N is the number of functions",
            "[LIBRARYNAME library-name-pattern] [WITHCODE]",
        ),
        row("STATS", 2, Flags::NOSCRIPT.with(Flags::ALLOW_BUSY), stats)
            .tips(&["nondeterministic_output", "request_policy:all_shards", "response_policy:special"])
            .doc("Tells of the function that is running, and counts what is known.", "O(1)", ""),
        row("KILL", 2, Flags::NOSCRIPT.with(Flags::ALLOW_BUSY), kill)
            .tips(&["request_policy:all_shards", "response_policy:one_succeeded"])
            .doc("Ends the function that is running.", "O(1)", ""),
        row("DUMP", 2, Flags::NOSCRIPT, dump).doc(
            "Answers all libraries as one payload.",
            "O(N) where N is the number of functions",
            "",
        ),
        row("RESTORE", -3, CHANGES.with(Flags::DENYOOM), restore).tips(TO_ALL_SHARDS).doc(
            "Makes the libraries of a payload known.",
            "O(N) where N is the number of functions on the payload",
            "serialized-value [FLUSH | APPEND | REPLACE]",
        ),
    ],
)
.group(Group::Scripting, Category::NONE, "7.0.0")
.doc("Libraries of functions.", "Depends on subcommand.", "");

const CHANGES: Flags = Flags::WRITE.with(Flags::NOSCRIPT);
const TO_ALL_SHARDS: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];

const NO_LIBRARY: ReplyError = ReplyError::new("ERR Library not found");

const fn row(name: &'static str, arity: i32, flags: Flags, handler: Handler) -> Spec {
    Spec::new(name, arity, flags, handler).group(Group::Scripting, Category::SCRIPTING, "7.0.0")
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "FUNCTION",
        &[
            "LOAD [REPLACE] <FUNCTION CODE>",
            "    Create a new library with the given library name and code.",
            "DELETE <LIBRARY NAME>",
            "    Delete the given library.",
            "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
            "    Return general information on all the libraries:",
            "    * Library name",
            "    * The engine used to run the Library",
            "    * Functions list",
            "    * Library code (if WITHCODE is given)",
            "    It also possible to get only function that matches a pattern using LIBRARYNAME argument.",
            "STATS",
            "    Return information about the current function running:",
            "    * Function name",
            "    * Command used to run the function",
            "    * Duration in MS that the function is running",
            "    If no function is running, return nil",
            "    In addition, returns a list of available engines.",
            "KILL",
            "    Kill the current running function.",
            "FLUSH [ASYNC|SYNC]",
            "    Delete all the libraries.",
            "    When called without the optional mode argument, the behavior is determined by the",
            "    lazyfree-lazy-user-flush configuration directive. Valid modes are:",
            "    * ASYNC: Asynchronously flush the libraries.",
            "    * SYNC: Synchronously flush the libraries.",
            "DUMP",
            "    Return a serialized payload representing the current libraries, can be restored using FUNCTION RESTORE \
             command",
            "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
            "    Restore the libraries represented by the given payload, it is possible to give a restore policy to",
            "    control how to handle existing libraries (default APPEND):",
            "    * FLUSH: delete all existing libraries.",
            "    * APPEND: appends the restored libraries to the existing libraries. On collision, abort.",
            "    * REPLACE: appends the restored libraries to the existing libraries, On collision, replace the old",
            "      libraries with the new libraries (notice that even on this option there is a chance of failure",
            "      in case of functions name collision with another library).",
        ],
    );
    Ok(Next::Done)
}

fn load(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let code = args.at(args.len() - 1);
    let mut is_replacing = false;
    for index in 2..args.len() - 1 {
        if !args.is(index, "REPLACE") {
            return Err(ReplyError::about("ERR Unknown option given: ", args.at(index), ""));
        }
        is_replacing = true;
    }
    let name = ctx.server.load_library(code, is_replacing)?;
    ctx.change_without_key();
    ctx.reply.bulk(&name);
    Ok(Next::Done)
}

fn delete(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if !ctx.server.forget_library(args.at(2)) {
        return Err(NO_LIBRARY);
    }
    ctx.change_without_key();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn flush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at_once = match is_at_once(args) {
        Some(at_once) => at_once,
        None if args.len() > 3 => {
            let before = "ERR unknown subcommand or wrong number of arguments for '";
            return Err(ReplyError::about(before, args.at(1), "'. Try FUNCTION HELP."));
        }
        None => return Err(ReplyError::new("ERR FUNCTION FLUSH only supports SYNC|ASYNC option")),
    };
    ctx.server.flush_functions(at_once);
    ctx.change_without_key();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (mut pattern, mut with_code, mut at) = (None, false, 2);
    while at < args.len() {
        if !with_code && args.is(at, "WITHCODE") {
            with_code = true;
        } else if pattern.is_none() && args.is(at, "LIBRARYNAME") {
            at += 1;
            pattern = Some(args.get(at).ok_or(ReplyError::new("ERR library name argument was not given"))?);
        } else {
            return Err(ReplyError::about("ERR Unknown argument ", args.at(at), ""));
        }
        at += 1;
    }
    let Ctx { server, reply, .. } = ctx;
    let is_asked = |name: &[u8]| pattern.is_none_or(|pattern| glob::matches(pattern, name, true));
    let libraries: Vec<_> = server.scripting.libraries.iter().filter(|(name, _)| is_asked(name)).collect();
    reply.array(libraries.len());
    for (name, Library { code, functions }) in libraries {
        reply.map(if with_code { 4 } else { 3 });
        reply.bulk_str("library_name");
        reply.bulk(name);
        reply.bulk_str("engine");
        reply.bulk_str("LUA");
        reply.bulk_str("functions");
        reply.array(functions.len());
        for function in functions {
            reply.map(3);
            reply.bulk_str("name");
            reply.bulk_str(&function.name);
            reply.bulk_str("description");
            match &function.description {
                Some(description) => reply.bulk(description),
                None => reply.null(),
            }
            reply.bulk_str("flags");
            let flags = function.flags.set_names();
            reply.set(flags.len());
            flags.for_each(|flag| reply.simple(flag));
        }
        if with_code {
            reply.bulk_str("library_code");
            reply.bulk(code);
        }
    }
    Ok(Next::Done)
}

fn stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let running = ctx.server.scripting.running.as_ref();
    if running.is_some_and(|running| running.purpose == Purpose::Scripts) {
        return Err(ctx.server.scripting.busy_error());
    }
    let Ctx { server, reply, .. } = ctx;
    reply.map(2);
    reply.bulk_str("running_script");
    match (&server.scripting.running, &server.scripting.parked) {
        (Some(running), Some(parked)) => {
            let duration_ms = server.clock.mono_ns().saturating_sub(running.started_ns) / 1_000_000;
            reply.map(3);
            reply.bulk_str("name");
            reply.bulk_str(&running.name);
            reply.bulk_str("command");
            let args = parked.line();
            reply.array(args.len());
            args.iter_from(0).for_each(|arg| reply.bulk(arg));
            reply.bulk_str("duration_ms");
            reply.integer(duration_ms as i64);
        }
        _ => reply.null(),
    }
    reply.bulk_str("engines");
    reply.map(1);
    reply.bulk_str("LUA");
    reply.map(2);
    reply.bulk_str("libraries_count");
    reply.integer(server.scripting.libraries.len() as i64);
    reply.bulk_str("functions_count");
    reply.integer(server.scripting.libraries.function_count() as i64);
    Ok(Next::Done)
}

fn kill(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.scripting.kill(Purpose::Functions, false)?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn dump(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let compress = ctx.server.config.rdbcompression;
    let codes = ctx.server.scripting.libraries.iter().map(|(_, library)| &*library.code);
    let payload = payload::dump_functions(codes, compress);
    ctx.reply.bulk(&payload);
    Ok(Next::Done)
}

fn restore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let policy = match args.len() {
        3 => RestorePolicy::Append,
        4 if args.is(3, "FLUSH") => RestorePolicy::Flush,
        4 if args.is(3, "APPEND") => RestorePolicy::Append,
        4 if args.is(3, "REPLACE") => RestorePolicy::Replace,
        4 => {
            return Err(ReplyError::new(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => {
            let before = "ERR unknown subcommand or wrong number of arguments for '";
            return Err(ReplyError::about(before, args.at(1), "'. Try FUNCTION HELP."));
        }
    };
    let codes = payload::read_functions(args.at(2), dump::budget(ctx)).map_err(|refused| match refused {
        Refused::Value => ReplyError::new("ERR given type is not a function"),
        refused => refused.into(),
    })?;
    ctx.server.restore_libraries(&codes, policy)?;
    ctx.change_without_key();
    ctx.reply.ok();
    Ok(Next::Done)
}
