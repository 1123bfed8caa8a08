//! Live queries: `X.WATCH` and `X.UNWATCH` for every command `X` that only reads keys, and what there is to know of them. The
//! two have no rows: the rows of those commands are what they are derived from.
//!
//! The engine evaluates the queries when keys change; who watches what is `feature::reactive`'s.

use super::keyspec::Begin;
use super::spec::{Access, Category, Flags, Group, Outcome, Spec};
use super::{Command, lookup};
use crate::feature::reactive::{Line, is_label, parse_fingerprint};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next, Way};

const WATCH: &str = ".WATCH";
const UNWATCH: &str = ".UNWATCH";
/// The version of AleaDB that brought them.
const SINCE: &str = "0.1.0";

// COMPAT: DiceDB's text, which has no code word.
const BAD_FINGERPRINT: ReplyError = ReplyError::new("invalid fingerprint");

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("WATCH.LIST", 1, LOOK, list).group(Group::Generic, Category::NONE, SINCE).doc(
        "Lists the connection's watched queries: fingerprint, database, watchers, line.",
        "O(N log N) for N queries",
        "",
    ),
    Spec::new("WATCH.STATS", 1, LOOK.with(Flags::FAST), stats).group(Group::Generic, Category::NONE, SINCE).doc(
        "Counts watched queries, those who watch them, and what was pushed.",
        "O(1)",
        "",
    ),
];

const LOOK: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);

/// The rows of a command's `.WATCH` and `.UNWATCH`, if it can be watched: it only reads, and its line names every key that it
/// reads. Called once for each row, when the names are put in order; what is made lives as long as the process.
pub(super) fn derived(spec: &'static Spec) -> Option<[&'static Spec; 2]> {
    if why_not(spec).is_some() {
        return None;
    }
    let text = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let flags = Flags::READONLY.with(Flags::NO_MULTI).with(Flags::NOSCRIPT);
    let watch = Spec::new(text(format!("{}{WATCH}", spec.name)), -spec.arity.abs(), flags, watch)
        .keys(spec.keys)
        .group(spec.group, spec.acl, SINCE)
        .doc(
            text(format!("Answers as {} does, and again whenever a key it names changes.", spec.name)),
            spec.complexity,
            text(format!("{} [label]", spec.syntax)),
        );
    let watch = match spec.find_keys {
        Some(finder) => watch.find_keys(finder),
        None => watch,
    };
    let flags = Flags::FAST.with(Flags::NOSCRIPT);
    let unwatch = Spec::new(text(format!("{}{UNWATCH}", spec.name)), 2, flags, unwatch)
        .group(spec.group, spec.acl, SINCE)
        .doc("Ends the watch of a query.", "O(1)", "fingerprint");
    Some([Box::leak(Box::new(watch)), Box::leak(Box::new(unwatch))])
}

/// Why a command cannot be watched.
fn why_not(spec: &Spec) -> Option<&'static str> {
    if !spec.subcommands.is_empty() {
        return Some("has subcommands, which cannot be watched");
    }
    if !spec.flags.has(Flags::READONLY) || spec.flags.has(Flags::WRITE) {
        return Some("is not a read-only command");
    }
    if !spec.has_keys() {
        return Some("is a command without keys, and only changes of keys are noticed");
    }
    let hidden = |keys: &super::spec::KeySpec| keys.begin == Begin::Unknown || keys.access.has(Access::INCOMPLETE);
    spec.keys.iter().any(hidden).then_some("reads keys that its arguments do not name")
}

/// The refusal of a name that would be a `.WATCH` or `.UNWATCH` of a command that cannot be watched. `None` if it is no such
/// name.
pub fn refusal(name: &[u8]) -> Option<ReplyError> {
    let ends_with = |suffix: &str| {
        let (stem, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix.as_bytes()).then_some(stem)
    };
    let command = ends_with(WATCH).or_else(|| ends_with(UNWATCH)).and_then(lookup)?;
    let reason = why_not(command.spec)?;
    Some(ReplyError::owned(format!("ERR '{}' {reason}", command.full_name)))
}

/// The arguments without the label, and the label: a UUID in the last place, if the command can do without it.
fn split_label<'a>(spec: &Spec, args: Args<'a>) -> (Args<'a>, Option<&'a [u8]>) {
    let last = args.len() - 1;
    if spec.takes(last) && is_label(args.at(last)) { (args.up_to(last), Some(args.at(last))) } else { (args, None) }
}

fn watch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let command = ctx.command.spec.name.strip_suffix(WATCH).and_then(|name| lookup(name.as_bytes()));
    let command = command.expect("the row was derived from that command's");
    let (args, label) = split_label(command.spec, args);
    if !command.spec.takes(args.len()) {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    let line = Line::new(command.spec.name, args);
    let keys: Vec<&[u8]> = command.spec.keys_of(args).iter().map(|key| args.at(key.index)).collect();
    if keys.is_empty() {
        // The line makes no sense to the command either, whose error is the answer: nothing could ever change it.
        return Err(error_of(ctx, command, args).unwrap_or(ReplyError::SYNTAX));
    }
    ctx.server.admit_watch(ctx.client, ctx.db, &line)?;
    ctx.reply.array(3);
    ctx.reply.bulk(label.unwrap_or(command.spec.name.as_bytes()));
    ctx.reply.bulk_integer(i64::from(line.fingerprint()));
    answer(ctx, command, args);
    ctx.server.watch_query(ctx.client, ctx.db, line, &keys);
    Ok(Next::Done)
}

/// Ends the client's watches of a query, by its fingerprint: the second argument.
pub(super) fn unwatch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let fingerprint = parse_fingerprint(args.at(1)).ok_or(BAD_FINGERPRINT)?;
    ctx.server.unwatch_query(ctx.client, fingerprint);
    ctx.reply.ok();
    Ok(Next::Done)
}

fn list(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, client, reply, .. } = ctx;
    let mut queries: Vec<_> = server.reactive.of(*client).collect();
    queries.sort_by_cached_key(|query| (query.db(), query.line().iter().map(<[u8]>::to_vec).collect::<Vec<_>>()));
    reply.array(queries.len());
    for query in queries {
        reply.array(4);
        reply.bulk_integer(i64::from(query.fingerprint()));
        reply.integer(query.db() as i64);
        reply.integer(query.subscribers().len() as i64);
        reply.array(query.line().iter().count());
        query.line().iter().for_each(|arg| reply.bulk(arg));
    }
    Ok(Next::Done)
}

fn stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let (reactive, stats) = (&server.reactive, &server.stats);
    let rows = [
        ("clients", reactive.clients() as u64),
        ("watches", reactive.watches() as u64),
        ("queries", reactive.queries() as u64),
        ("keys", reactive.keys() as u64),
        ("evaluations", stats.watch_evaluations),
        ("frames", stats.watch_frames),
        ("frames_superseded", stats.watch_frames_superseded),
    ];
    reply.map(rows.len());
    for (name, count) in rows {
        reply.bulk_str(name);
        reply.integer(count as i64);
    }
    Ok(Next::Done)
}

/// Runs a query's command and writes what it answers, be it an error. An answer that is longer than `watch-result-bytes-max`
/// is replaced by an error which says how long it is, and what was asked.
pub fn answer(ctx: &mut Ctx<'_>, command: &'static Command, args: Args<'_>) {
    let (mark, before) = (ctx.reply.out().mark(), ctx.reply.out().len());
    if let Err(error) = run(ctx, command, args) {
        ctx.reply.error(&error);
    }
    let (bytes, most) = (ctx.reply.out().len() - before, ctx.server.config.watch_result_bytes_max);
    if most > 0 && bytes as u64 > most {
        ctx.reply.out().truncate(mark);
        let key = command.spec.keys_of(args).first().map_or(&b""[..], |key| args.at(key.index));
        let before =
            format!("TOOLONG {bytes} bytes are more than watch-result-bytes-max allows: {} ", command.spec.name);
        ctx.reply.error(&ReplyError::about(&before, key, ""));
    }
}

/// The error that a query's command answers, if it does.
fn error_of(ctx: &mut Ctx<'_>, command: &'static Command, args: Args<'_>) -> Option<ReplyError> {
    let mark = ctx.reply.out().mark();
    let error = run(ctx, command, args).err();
    ctx.reply.out().truncate(mark);
    error
}

fn run(ctx: &mut Ctx<'_>, command: &'static Command, args: Args<'_>) -> Outcome {
    let handler = command.spec.handler.expect("a container cannot be watched");
    let outer = (ctx.command, ctx.way);
    (ctx.command, ctx.way) = (command, Way::Watched);
    let outcome = handler(ctx, args);
    (ctx.command, ctx.way) = outer;
    outcome
}
