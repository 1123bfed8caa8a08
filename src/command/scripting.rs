//! Scripts and functions: the rows, and the handlers of those that run one. A handler prepares the run, and the engine does it.
//! SCRIPT and FUNCTION are in files of their own.

mod function;
mod script;

use super::spec::{Access, Category, Flags, Group, Handler, KeySpec, Outcome, Spec};
use crate::base::num;
use crate::lua::vm::{Purpose, Run};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::scripting::shebang::{self, ScriptFlags};
use crate::server::scripting::{Running, cache};

const RUNS: Flags = Flags::NOSCRIPT
    .with(Flags::STALE)
    .with(Flags::SKIP_MONITOR)
    .with(Flags::NO_MANDATORY_KEYS)
    .with(Flags::RUNS_SCRIPT);
const MAY_WRITE: Flags = RUNS.with(Flags::MAY_REPLICATE);
const ONLY_READS: Flags = RUNS.with(Flags::READONLY);

/// Keys that are changed, for all that can be told.
const CHANGED: KeySpec = KeySpec::keynum(Access::RW.with(Access::ACCESS).with(Access::UPDATE), 2);
const READ: KeySpec = KeySpec::keynum(Access::RO.with(Access::ACCESS), 2);
const NOTE_CHANGED: &str = "We cannot tell how the keys will be used so we assume the worst, RW and UPDATE";
const NOTE_READ: &str = "We cannot tell how the keys will be used so we assume the worst, RO and ACCESS";

const COST: &str = "Depends on the script that is executed.";
const COST_OF_FUNCTION: &str = "Depends on the function that is executed.";

/// The rows.
pub const ROWS: &[Spec] = &[
    row("EVAL", MAY_WRITE, eval, "2.6.0").keys(&[CHANGED.notes(NOTE_CHANGED)]).doc(
        "Runs a script.",
        COST,
        "script numkeys [key [key ...]] [arg [arg ...]]",
    ),
    row("EVALSHA", MAY_WRITE, eval, "2.6.0").keys(&[CHANGED]).doc(
        "Runs a script that is known, by its digest.",
        COST,
        "sha1 numkeys [key [key ...]] [arg [arg ...]]",
    ),
    row("EVAL_RO", ONLY_READS, eval, "7.0.0").keys(&[READ.notes(NOTE_READ)]).doc(
        "Runs a script that only reads.",
        COST,
        "script numkeys [key [key ...]] [arg [arg ...]]",
    ),
    row("EVALSHA_RO", ONLY_READS, eval, "7.0.0").keys(&[READ]).doc(
        "Runs a script that only reads and is known, by its digest.",
        COST,
        "sha1 numkeys [key [key ...]] [arg [arg ...]]",
    ),
    script::ROW,
    row("FCALL", MAY_WRITE, fcall, "7.0.0").keys(&[CHANGED.notes(NOTE_CHANGED)]).doc(
        "Calls a function.",
        COST_OF_FUNCTION,
        "function numkeys [key [key ...]] [arg [arg ...]]",
    ),
    row("FCALL_RO", ONLY_READS, fcall, "7.0.0").keys(&[READ.notes(NOTE_READ)]).doc(
        "Calls a function that only reads.",
        COST_OF_FUNCTION,
        "function numkeys [key [key ...]] [arg [arg ...]]",
    ),
    function::ROW,
];

const fn row(name: &'static str, flags: Flags, handler: Handler, since: &'static str) -> Spec {
    Spec::new(name, -3, flags, handler).group(Group::Scripting, Category::SCRIPTING, since)
}

const NO_SCRIPT: ReplyError = ReplyError::new("NOSCRIPT No matching script. Please use EVAL.");
const NO_FUNCTION: ReplyError = ReplyError::new("ERR Function not found");
const BAD_NUMBER_OF_KEYS: ReplyError = ReplyError::new("ERR Bad number of keys provided");
const TOO_MANY_KEYS: ReplyError = ReplyError::new("ERR Number of keys can't be greater than number of args");
const NEGATIVE_KEYS: ReplyError = ReplyError::new("ERR Number of keys can't be negative");

/// The flags by which a line is judged that runs a script: what the script says of itself takes the place of the row's. Called for
/// rows flagged with [`Flags::RUNS_SCRIPT`], and only if something depends on it. O(body).
pub fn flags_of(server: &Server, flags: Flags, spec: &Spec, args: Args<'_>) -> Flags {
    let said = match spec.name {
        _ if args.len() < 2 => None,
        "FCALL" | "FCALL_RO" => server.scripting.libraries.function(args.at(1)).map(|function| function.flags),
        "EVAL" | "EVAL_RO" => shebang::of_script(args.at(1)).ok().and_then(|(flags, _)| flags),
        _ => known(server, args.at(1)).and_then(|number| server.scripting.cache.get(number).flags),
    };
    let Some(said) = said else { return flags };
    let unless = |said_so: bool, flag: Flags| if said_so { Flags::NONE } else { flag };
    flags
        .without(Flags::WRITE.with(Flags::DENYOOM).with(Flags::STALE).with(Flags::MAY_REPLICATE))
        .with(unless(said.has(ScriptFlags::NO_WRITES), Flags::WRITE))
        .with(unless(said.has(ScriptFlags::ALLOW_OOM.with(ScriptFlags::NO_WRITES)), Flags::DENYOOM))
        .with(unless(!said.has(ScriptFlags::ALLOW_STALE), Flags::STALE))
}

/// The number of the script of a digest.
fn known(server: &Server, digest: &[u8]) -> Option<u32> {
    server.scripting.cache.find(digest)
}

/// A checked number of keys, of those that a line may have.
fn key_count(args: Args<'_>, not_a_number: ReplyError) -> Result<usize, ReplyError> {
    let count = num::parse_i64(args.at(2)).ok_or(not_a_number)?;
    match usize::try_from(count) {
        Ok(count) if count <= args.len() - 3 => Ok(count),
        Ok(_) => Err(TOO_MANY_KEYS),
        Err(_) if count > 0 => Err(TOO_MANY_KEYS),
        Err(_) => Err(NEGATIVE_KEYS),
    }
}

fn eval(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let is_read_only = ctx.command.spec.flags.has(Flags::READONLY);
    let by_digest = ctx.command.spec.name.starts_with("EVALSHA");
    if by_digest && args.at(1).len() != cache::DIGITS {
        return Err(NO_SCRIPT);
    }
    let keys = key_count(args, ReplyError::NOT_AN_INTEGER)?;
    let number = if by_digest {
        let number = known(ctx.server, args.at(1)).ok_or(NO_SCRIPT)?;
        if ctx.server.scripting.cache.keep(number) {
            // Somebody counts on it being here.
            script::propagate(ctx, number);
        }
        number
    } else {
        let (number, _) = ctx.server.known_script(args.at(1), false)?;
        ctx.server.scripting.cache.touch(number);
        number
    };
    let flags = ctx.server.scripting.cache.get(number).flags;
    ctx.server.may_run_script(flags, is_read_only)?;
    let name = ctx.server.scripting.cache.get(number).name.clone();
    let prepared = Prepared { purpose: Purpose::Scripts, name, script: Some(number), flags, is_read_only };
    begin(ctx, prepared, args, keys)
}

fn fcall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let is_read_only = ctx.command.spec.flags.has(Flags::READONLY);
    let function = ctx.server.scripting.libraries.function(args.at(1)).ok_or(NO_FUNCTION)?;
    let (name, flags) = (function.name.clone(), function.flags);
    let keys = key_count(args, BAD_NUMBER_OF_KEYS)?;
    ctx.server.may_run_script(Some(flags), is_read_only)?;
    let prepared = Prepared { purpose: Purpose::Functions, name, script: None, flags: Some(flags), is_read_only };
    begin(ctx, prepared, args, keys)
}

/// A script that may run.
struct Prepared {
    purpose: Purpose,
    name: std::sync::Arc<str>,
    script: Option<u32>,
    flags: Option<ScriptFlags>,
    is_read_only: bool,
}

/// Hands keys and arguments to the interpreter, which the engine lets go on from there.
fn begin(ctx: &mut Ctx<'_>, prepared: Prepared, args: Args<'_>, keys: usize) -> Outcome {
    let Prepared { purpose, name, script, flags, is_read_only } = prepared;
    let has = |flag: ScriptFlags| flags.is_some_and(|flags| flags.has(flag));
    let run = Run { name: &name, memory_bytes: ctx.server.script_memory_bytes(), proto: ctx.reply.proto() };
    let (keys, arguments) = (args.up_to(3 + keys).tail(3), args.tail(3 + keys));
    let scripting = &mut ctx.server.scripting;
    match purpose {
        Purpose::Scripts => {
            let chunk = script.map(|number| &scripting.cache.get(number).chunk);
            if let (Some(vm), Some(chunk)) = (&mut scripting.eval, chunk) {
                vm.start(chunk, keys, arguments, run);
            }
        }
        Purpose::Functions => {
            let function = scripting.libraries.function(name.as_bytes());
            if let (Some(vm), Some(function)) = (&mut scripting.functions, function) {
                vm.start(&function.chunk, keys, arguments, run);
            }
        }
    }
    let running = Running {
        client: ctx.client,
        purpose,
        name,
        script,
        db: ctx.db,
        is_read_only: is_read_only || has(ScriptFlags::NO_WRITES),
        is_short_of_memory: !has(ScriptFlags::ALLOW_OOM) && ctx.server.is_short_of_memory(),
        has_written: false,
        is_loaded: ctx.origin == CallOrigin::Loaded,
        now: ctx.now,
        started_ns: ctx.now.mono_ns,
        no_touch: ctx.server.clients[ctx.client].no_touch,
        killed: None,
    };
    ctx.server.scripting.begin(running);
    Ok(Next::RunScript)
}
