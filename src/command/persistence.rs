//! Saving: the rows and handlers. What they ask for is done by `server::persistence`.

use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::persistence::log::Rewrite;
use crate::server::persistence::snapshot::Purpose;

const SAVING: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("SAVE", 1, SAVING.with(Flags::NO_MULTI), save).group(Group::Server, Category::NONE, "1.0.0").doc(
        "Saves the data in the dump file and answers when it is on the disk; nobody is served meanwhile.",
        "O(N) where N is the total number of keys in all databases",
        "",
    ),
    Spec::new("BGSAVE", -1, SAVING, bgsave)
        .group(Group::Server, Category::NONE, "1.0.0")
        .doc(
            "Saves the data as it is now in the dump file, a part in each turn of the loop; CANCEL gives that up.",
            "O(1)",
            "[SCHEDULE | CANCEL]",
        )
        .history(&[("3.2.2", "Added the `SCHEDULE` option."), ("8.1.0", "Added the `CANCEL` option.")]),
    Spec::new("BGREWRITEAOF", 1, SAVING, bgrewriteaof).group(Group::Server, Category::NONE, "1.0.0").doc(
        "Writes the append-only file anew, as short as it can be, a part in each turn of the loop.",
        "O(1)",
        "",
    ),
    Spec::new("LASTSAVE", 1, Flags::LOADING.with(Flags::STALE).with(Flags::FAST), lastsave)
        .group(Group::Server, Category::ADMIN.with(Category::DANGEROUS), "1.0.0")
        .doc("Answers when data was last saved, in Unix seconds; the start counts as the first time.", "O(1)", "")
        .tips(&["nondeterministic_output"]),
];

const IN_PROGRESS: ReplyError = ReplyError::new("ERR Background save already in progress");
const NOT_NOW: ReplyError = ReplyError::new(
    "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to schedule a BGSAVE \
     whenever possible.",
);
const REWRITE_IN_PROGRESS: ReplyError =
    ReplyError::new("ERR Background append only file rewriting already in progress");
const NOTHING_TO_CANCEL: ReplyError =
    ReplyError::new("ERR Background saving is currently not in progress or scheduled");

fn save(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    if ctx.server.persistence.snapshots.is_dumping() {
        return Err(IN_PROGRESS);
    }
    // COMPAT: Redis answers `-ERR` alone; what went wrong is worth telling.
    ctx.server.save_now(ctx.now).map_err(|why| ReplyError::owned(format!("ERR {why}")))?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn bgsave(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let schedule = match args.len() {
        1 => false,
        2 if args.is(1, "SCHEDULE") => true,
        2 if args.is(1, "CANCEL") => return cancel(ctx),
        _ => return Err(ReplyError::SYNTAX),
    };
    let snapshots = &mut ctx.server.persistence.snapshots;
    // In the midst of a transaction the data is not what it will be.
    let in_exec = ctx.origin == CallOrigin::Queued;
    if snapshots.is_dumping() {
        return Err(IN_PROGRESS);
    }
    if in_exec || (schedule && snapshots.is_running()) {
        snapshots.scheduled = true;
        ctx.reply.simple("Background saving scheduled");
        return Ok(Next::Done);
    }
    ctx.server.lock_directory().map_err(|refused| ReplyError::owned(format!("ERR {refused}")))?;
    ctx.server.begin_dump(ctx.now).map_err(|_| NOT_NOW)?;
    ctx.reply.simple("Background saving started");
    Ok(Next::Done)
}

fn bgrewriteaof(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    // In the midst of a transaction the data is not what it will be.
    let in_exec = ctx.origin == CallOrigin::Queued;
    match ctx.server.ask_for_rewrite(in_exec, ctx.now) {
        Rewrite::Started => ctx.reply.simple("Background append only file rewriting started"),
        Rewrite::Scheduled => ctx.reply.simple("Background append only file rewriting scheduled"),
        Rewrite::Running => return Err(REWRITE_IN_PROGRESS),
    }
    Ok(Next::Done)
}

fn cancel(ctx: &mut Ctx<'_>) -> Outcome {
    if ctx.server.cancel_snapshot(Purpose::Dump) {
        ctx.reply.simple("Background saving cancelled");
    } else if std::mem::take(&mut ctx.server.persistence.snapshots.scheduled) {
        ctx.reply.simple("Scheduled background saving cancelled");
    } else {
        return Err(NOTHING_TO_CANCEL);
    }
    Ok(Next::Done)
}

fn lastsave(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let saved = ctx.server.persistence.snapshots.saved_unix_s;
    ctx.reply.integer(saved.unwrap_or(ctx.server.process.started_unix_s));
    Ok(Next::Done)
}
