//! Moving an element from one list to another, or to the other end of the same.

use super::push::change_or_create;
use super::{fill, parse_end, pop_event, push_event, write_detached};
use crate::command::collection::remove_emptied;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Collection;
use crate::store::types::list::{End, List};

pub(super) fn lmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (from, to) = (parse_end(args.at(3))?, parse_end(args.at(4))?);
    answer(ctx, args, from, to)
}

pub(super) fn rpoplpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, End::Tail, End::Head)
}

fn answer(ctx: &mut Ctx<'_>, args: Args<'_>, from: End, to: End) -> Outcome {
    if !transfer(ctx, args.at(1), args.at(2), from, to)? {
        ctx.reply.null();
    }
    Ok(Next::Done)
}

/// Moves an element and writes it. False, and nothing written, if there is no source.
pub(super) fn transfer(
    ctx: &mut Ctx<'_>,
    source: &[u8],
    destination: &[u8],
    from: End,
    to: End,
) -> Result<bool, ReplyError> {
    let (at, fill) = (ctx.at, fill(ctx.server));
    let element = {
        let Some(list) = ctx.db().write::<List>(source, at)? else { return Ok(false) };
        let Some(element) = list.end(from) else { return Ok(false) };
        element.detach()
    };
    let add = |list: &mut List| {
        list.make_room(fill, element.counted_bytes(), 1);
        list.push_detached(to, &element);
    };
    let is_emptied = if source == destination {
        if let Some(mut list) = ctx.db().write::<List>(source, at)? {
            list.remove_end(from);
            add(&mut list);
            list.settle(fill);
        }
        false
    } else {
        // The destination may be of another type, so nothing is taken before it has been found not to be.
        change_or_create(ctx, destination, at, true, add)?;
        let mut list = ctx.db().write::<List>(source, at)?.expect("it was there, and is not the destination");
        list.remove_end(from);
        list.settle(fill);
        list.is_empty()
    };
    ctx.change(Change::new(EventClass::List, push_event(to), destination).and_key(source));
    ctx.notify(EventClass::List, pop_event(from), source);
    if is_emptied {
        remove_emptied(ctx, source);
    }
    write_detached(&mut ctx.reply, &element);
    Ok(true)
}
