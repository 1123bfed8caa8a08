//! Commands that wait for keys, for the tests of the engine alone: they depend on no family. They wait for strings, which
//! the tests let stand for lists.

use super::spec::{Access, Flags, KeySpec, Outcome, Spec};
use crate::base::num;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};

const WAITING: Flags = Flags::WRITE.with(Flags::BLOCKING);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("TAKE", -3, WAITING, take).keys(&[KeySpec::range(Access::RW, 1, 1)]).doc(
        "Takes the first string there is, or waits.",
        "",
        "key [key ...] timeout",
    ),
    Spec::new("TAKETO", 4, WAITING, take_to).keys(&[KeySpec::range(Access::RW, 1, 2)]).doc(
        "Renames a string, or waits.",
        "",
        "source destination timeout",
    ),
    Spec::new("AWAITGONE", 3, WAITING, await_gone).keys(&[KeySpec::one(Access::RO, 1)]).doc(
        "Waits until a key is gone.",
        "",
        "key timeout",
    ),
];

fn wait(ctx: &mut Ctx<'_>, args: Args<'_>, keys: std::ops::Range<usize>, on: WaitFor) -> Outcome {
    let timeout_ms = num::parse_i64(args.at(args.len() - 1)).ok_or(ReplyError::NOT_AN_INTEGER)? as u64;
    ctx.wait(Wait {
        keys: keys.map(|i| args.at(i).into()).collect(),
        on,
        timeout_ms,
        on_timeout: if on == WaitFor::List { NullReply::NullArray } else { NullReply::Null },
        args: None,
        until_deleted: on == WaitFor::Stream,
    })
}

fn take(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    for key in args.iter_from(1).take(args.len() - 2) {
        if ctx.db().remove(key, at).is_some() {
            ctx.changed(EventClass::Generic, "del", key);
            ctx.reply.bulk(key);
            return Ok(Next::Done);
        }
    }
    wait(ctx, args, 1..args.len() - 1, WaitFor::List)
}

fn take_to(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (at, from, to) = (ctx.at, args.at(1), args.at(2));
    let Some(entry) = ctx.db().remove(from, at) else { return wait(ctx, args, 1..2, WaitFor::List) };
    ctx.db().remove(to, at);
    ctx.db().insert(entry.copy_as(to), at);
    ctx.changed(EventClass::Generic, "rename_to", to);
    ctx.reply.bulk(to);
    Ok(Next::Done)
}

fn await_gone(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    if ctx.db().lookup_read(args.at(1), at).is_none() {
        return Err(ReplyError::new("NOGROUP gone"));
    }
    wait(ctx, args, 1..2, WaitFor::Stream)
}
