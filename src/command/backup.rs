//! BACKUP: the rows and handlers. What they ask for is done by `server::persistence::backup`.

use std::os::unix::ffi::OsStrExt;

use super::help;
use super::spec::{Category, Flags, Group, Handler, Outcome, Spec};
use crate::resp::args::Args;
use crate::server::ctx::{Ctx, Next, WaitFor};
use crate::server::persistence::backup::Awaited;
use crate::server::waiting::{NullReply, Wait};

const SINCE: &str = "8.10.0";
const CHANGING: Flags = Flags::ADMIN.with(Flags::NOSCRIPT);
const SHOWING: Flags = Flags::ADMIN.with(Flags::STALE);

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "BACKUP",
    &[
        row("ABORT", CHANGING, abort).doc(
            "Gives up the backup that is not sealed, and removes its files.",
            "O(N) where N is the number of files",
            "",
        ),
        row("CLEANUP", CHANGING, cleanup).doc(
            "Removes the files of a backup that is over.",
            "O(N) where N is the number of files",
            "",
        ),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Server, Category::NONE, SINCE)
            .doc("Lists the subcommands.", "O(1)", ""),
        row("LIST", SHOWING, list).doc("Shows the paths of the backup's files that are whole.", "O(1)", ""),
        row("SEAL", CHANGING, seal).doc(
            "Ends the backup with what has been written up to here, and answers when it is on the disk.",
            "O(1)",
            "",
        ),
        row("START", CHANGING, start).doc(
            "Begins a backup of the data, with all that is written until it is sealed.",
            "O(1)",
            "",
        ),
        row("STATUS", SHOWING, status).doc("Shows how far the backup is.", "O(1)", ""),
    ],
)
.group(Group::Server, Category::NONE, SINCE)
.doc("Holds the commands about backups.", "Depends on subcommand.", "")];

const fn row(name: &'static str, flags: Flags, handler: Handler) -> Spec {
    Spec::new(name, 2, flags, handler).group(Group::Server, Category::NONE, SINCE)
}

fn start(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.start_backup(ctx.now)?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn seal(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.seal_backup(ctx.now)?;
    wait_for(ctx, Awaited::Seal)
}

fn abort(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.abort_backup()?;
    wait_for(ctx, Awaited::Clear)
}

fn cleanup(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.clean_backup()?;
    wait_for(ctx, Awaited::Clear)
}

/// Has the client wait for the disk. In a transaction, where nobody waits, it is answered that it has begun.
fn wait_for(ctx: &mut Ctx<'_>, awaited: Awaited) -> Outcome {
    if ctx.may_block() {
        ctx.server.await_backup(ctx.client);
    }
    ctx.wait(Wait {
        keys: Vec::new(),
        on: WaitFor::List,
        timeout_ms: 0,
        on_timeout: NullReply::Backup(awaited),
        args: None,
        until_deleted: false,
        look_ms: None,
    })
}

fn status(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let backup = &ctx.server.persistence.backup;
    ctx.reply.map(4);
    ctx.reply.bulk(b"state");
    ctx.reply.bulk(backup.state().name().as_bytes());
    ctx.reply.bulk(b"error");
    ctx.reply.bulk(backup.error().as_bytes());
    ctx.reply.bulk(b"start_time");
    ctx.reply.integer(backup.started_unix_s());
    ctx.reply.bulk(b"end_time");
    ctx.reply.integer(backup.sealed_unix_s());
    Ok(Next::Done)
}

fn list(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let files = ctx.server.backup_files();
    ctx.reply.array(files.len());
    files.iter().for_each(|path| ctx.reply.bulk(path.as_os_str().as_bytes()));
    Ok(Next::Done)
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let lines = [
        "START",
        "    Start a new backup into the configured 'backupdirname'.",
        "SEAL",
        "    Freeze the current backup (BASE + INCR + manifest).",
        "ABORT",
        "    Cancel a backup that has not been sealed yet.",
        "CLEANUP",
        "    Remove a sealed backup's files and return to idle.",
        "STATUS",
        "    Report the current backup state.",
        "LIST",
        "    List the immutable files pinned so far.",
    ];
    help::write(&mut ctx.reply, "BACKUP", &lines);
    Ok(Next::Done)
}
