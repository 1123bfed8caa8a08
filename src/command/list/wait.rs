//! Commands that wait for an element where there is none.
//!
//! A command that waits is run again, whole, once a key has become a list; so each handler below is its command's first run
//! and all later ones.

use super::pop::{Wanted, pop_one};
use super::transfer::transfer;
use super::{parse_end, pop_name};
use crate::command::blocking::{parse_timeout, timeouts_from_ms};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::store::types::list::End;

pub(super) fn blpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop_or_wait(ctx, args, End::Head)
}

pub(super) fn brpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop_or_wait(ctx, args, End::Tail)
}

fn pop_or_wait(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Outcome {
    let timeout_ms = parse_timeout(args.at(args.len() - 1), timeouts_from_ms(ctx))?;
    let keys = || args.iter_from(1).take(args.len() - 2);
    for key in keys() {
        let name_first = |reply: &mut Reply<'_>| {
            reply.array(2);
            reply.bulk(key);
        };
        if pop_one(ctx, key, end, name_first)? {
            ctx.propagate_as(|lines| lines.push([pop_name(end), key]));
            return Ok(Next::Done);
        }
    }
    wait(ctx, keys(), timeout_ms)
}

pub(super) fn blmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = Wanted::parse(args, 2)?;
    let timeout_ms = parse_timeout(args.at(1), timeouts_from_ms(ctx))?;
    if wanted.pop(ctx)? {
        return Ok(Next::Done);
    }
    wait(ctx, wanted.keys(), timeout_ms)
}

pub(super) fn blmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (from, to) = (parse_end(args.at(3))?, parse_end(args.at(4))?);
    transfer_or_wait(ctx, b"LMOVE", args.up_to(5), from, to, args.at(5))
}

pub(super) fn brpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    transfer_or_wait(ctx, b"RPOPLPUSH", args.up_to(3), End::Tail, End::Head, args.at(3))
}

/// Moves an element or waits for one. `args` is the line without the timeout, and `name` the command that does not wait.
fn transfer_or_wait(ctx: &mut Ctx<'_>, name: &[u8], args: Args<'_>, from: End, to: End, timeout: &[u8]) -> Outcome {
    let timeout_ms = parse_timeout(timeout, timeouts_from_ms(ctx))?;
    if transfer(ctx, args.at(1), args.at(2), from, to)? {
        ctx.propagate_as(|lines| lines.push([name].into_iter().chain(args.iter_from(1))));
        return Ok(Next::Done);
    }
    if !ctx.may_block() {
        // COMPAT: not the reply of a wait that ends in vain, which is the absence of an array.
        ctx.reply.null();
        return Ok(Next::Done);
    }
    wait(ctx, args.iter_from(1).take(1), timeout_ms)
}

/// Waits until one of the keys is a list that will do.
pub(super) fn wait<'a>(ctx: &mut Ctx<'_>, keys: impl Iterator<Item = &'a [u8]>, timeout_ms: u64) -> Outcome {
    ctx.wait(Wait {
        keys: keys.map(Box::from).collect(),
        on: WaitFor::List,
        timeout_ms,
        on_timeout: NullReply::NullArray,
        args: None,
        until_deleted: false,
        look_ms: None,
    })
}
