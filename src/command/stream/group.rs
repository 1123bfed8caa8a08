//! XGROUP: groups and their consumers come and go.

use super::{Outcome, ids, no_group, producers};
use crate::base::num;
use crate::command::help;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::collections::Mut;
use crate::store::types::Stream;
use crate::store::types::stream::{Group, Remembering, StreamId};

const NO_KEY: ReplyError = ReplyError::new(
    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM option to \
     create an empty stream automatically.",
);
const NAME_TAKEN: ReplyError = ReplyError::new("BUSYGROUP Consumer Group name already exists");
const BAD_ENTRIES_READ: ReplyError = ReplyError::new("ERR value for ENTRIESREAD must be positive or -1");

/// Pending entries from which on to free a group is left to the helper thread.
const PENDING_FREED_AT_ONCE: usize = 1000;

const HELP: &[&str] = &[
    "CREATE <key> <groupname> <id|$> [option]",
    "    Create a new consumer group. Options are:",
    "    * MKSTREAM",
    "      Create the empty stream if it does not exist.",
    "    * ENTRIESREAD entries_read",
    "      Set the group's entries_read counter (internal use).",
    "CREATECONSUMER <key> <groupname> <consumer>",
    "    Create a new consumer in the specified group.",
    "DELCONSUMER <key> <groupname> <consumer>",
    "    Remove the specified consumer.",
    "DESTROY <key> <groupname>",
    "    Remove the specified group.",
    "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
    "    Set the current group ID and entries_read counter.",
];

pub(super) fn help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(&mut ctx.reply, "XGROUP", HELP);
    Ok(Next::Done)
}

fn misused(args: Args<'_>) -> ReplyError {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    ReplyError::about(before, args.at(1), "'. Try XGROUP HELP.")
}

/// The options behind the id.
#[derive(Default)]
struct Options {
    create: bool,
    entries_read: Option<u64>,
}

impl Options {
    fn parse(args: Args<'_>, may_create: bool) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut index = 5;
        while index < args.len() {
            if may_create && args.is(index, "MKSTREAM") {
                options.create = true;
            } else if args.is(index, "ENTRIESREAD") && index + 1 < args.len() {
                index += 1;
                let n = num::parse_i64(args.at(index)).ok_or(ReplyError::NOT_AN_INTEGER)?;
                if n < -1 {
                    return Err(BAD_ENTRIES_READ);
                }
                options.entries_read = u64::try_from(n).ok();
            } else {
                return Err(misused(args));
            }
            index += 1;
        }
        Ok(options)
    }
}

/// The id that a group is told: `$` stands for the stream's last.
fn position(text: &[u8], stream: Option<&Stream>) -> Result<StreamId, ReplyError> {
    match text {
        b"$" => Ok(stream.map_or(StreamId::MIN, Stream::last_id)),
        id => ids::exact(id),
    }
}

/// The stream of the key, which has to be there.
fn stream<'c>(ctx: &'c mut Ctx<'_>, args: Args<'_>) -> Result<Mut<'c, Stream>, ReplyError> {
    let at = ctx.at;
    ctx.db().write::<Stream>(args.at(2), at)?.ok_or(NO_KEY)
}

/// Refuses more arguments than there are options, though each may be given twice: checked after all else, as in Redis.
fn check_count(args: Args<'_>, most: usize) -> Result<(), ReplyError> {
    if args.len() > most { Err(misused(args)) } else { Ok(()) }
}

/// Tells of a change that transactions need not know of.
fn told(ctx: &mut Ctx<'_>, event: &str, args: Args<'_>) {
    ctx.change(Change::new(EventClass::Stream, event, args.at(2)).beside_the_value());
}

pub(super) fn create(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, name, at) = (args.at(2), args.at(3), ctx.at);
    let options = Options::parse(args, true)?;
    let stream = ctx.db().write::<Stream>(key, at)?;
    if stream.is_none() && !options.create {
        return Err(NO_KEY);
    }
    check_count(args, 8)?;
    let last_id = position(args.at(4), stream.as_deref())?;
    let made = stream.is_none();
    drop(stream);
    let remembering = producers::remembering(&ctx.server.config, producers::is_replayed(ctx));
    let mut stream = ctx.db().write_or_create(key, at, || Stream::remembering(remembering))?;
    let entries_read = options.entries_read.map(|read| read.min(stream.entries_added()));
    if !stream.add_group(name, Group::new(last_id, entries_read)) {
        return Err(NAME_TAKEN);
    }
    drop(stream);
    let change = Change::new(EventClass::Stream, "xgroup-create", key);
    ctx.change(if made { change } else { change.beside_the_value() });
    if made && remembering != Remembering::default() {
        ctx.db().knows_producers = true;
        ctx.propagate_as(|lines| {
            lines.push(args.iter_from(0));
            producers::pass_remembering(lines, key, remembering);
        });
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn set_id(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let options = Options::parse(args, false)?;
    let mut stream = stream(ctx, args)?;
    let name = args.at(3);
    if stream.group(name).is_none() {
        return Err(no_group(args.at(2), name));
    }
    check_count(args, 7)?;
    // COMPAT: the two ends of all ids are fine here, though not for CREATE.
    let last_id = match args.at(4) {
        b"-" => StreamId::MIN,
        b"+" => StreamId::MAX,
        text => position(text, Some(&stream))?,
    };
    let entries_read = options.entries_read.map(|read| read.min(stream.entries_added()));
    let group = stream.group_mut(name).expect("it has just been there");
    (group.last_id, group.entries_read) = (last_id, entries_read);
    drop(stream);
    told(ctx, "xgroup-setid", args);
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn destroy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mut stream = stream(ctx, args)?;
    let removed = stream.remove_group(args.at(3));
    drop(stream);
    let Some(group) = removed else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    if group.pending().len() > PENDING_FREED_AT_ONCE {
        ctx.server.background.free(Box::new(group));
    }
    told(ctx, "xgroup-destroy", args);
    // Consumers that wait for the group's next entries are to be refused.
    ctx.look_again(args.at(2));
    ctx.reply.integer(1);
    Ok(Next::Done)
}

pub(super) fn create_consumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.now.unix_ms;
    let mut stream = stream(ctx, args)?;
    let group = stream.group_mut(args.at(3)).ok_or_else(|| no_group(args.at(2), args.at(3)))?;
    let made = group.find(args.at(4)).is_none();
    if made {
        group.add_consumer(args.at(4), now_ms);
    }
    drop(stream);
    if made {
        told(ctx, "xgroup-createconsumer", args);
    }
    ctx.reply.integer(i64::from(made));
    Ok(Next::Done)
}

pub(super) fn delete_consumer(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mut stream = stream(ctx, args)?;
    let group = stream.group_mut(args.at(3)).ok_or_else(|| no_group(args.at(2), args.at(3)))?;
    let removed = group.find(args.at(4)).map(|consumer| group.remove_consumer(consumer));
    drop(stream);
    if removed.is_some() {
        told(ctx, "xgroup-delconsumer", args);
    }
    ctx.reply.integer(removed.unwrap_or(0) as i64);
    Ok(Next::Done)
}
