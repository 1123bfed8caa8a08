//! Changes in the middle of lists.

use super::{changed, clamp, fill, free, index_in, parse_integer, parse_negatable};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Collection;
use crate::store::types::list::{End, List};

const INDEX: ReplyError = ReplyError::new("ERR index out of range");

pub(super) fn lset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, element, at, fill) = (args.at(1), args.at(3), ctx.at, fill(ctx.server));
    let Some(mut list) = ctx.db().write::<List>(key, at)? else { return Err(ReplyError::NO_SUCH_KEY) };
    let index = parse_integer(args, 2)?;
    // COMPAT: an index that is out of range still makes the room.
    list.make_room(fill, element.len(), 1);
    let index = index_in(index, list.len()).ok_or(INDEX)?;
    list.replace(index, element);
    list.settle(fill);
    drop(list);
    changed(ctx, "lset", key, 1, false);
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn linsert(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, pivot, element) = (args.at(1), args.at(3), args.at(4));
    let after = match args.at(2) {
        word if word.eq_ignore_ascii_case(b"AFTER") => true,
        word if word.eq_ignore_ascii_case(b"BEFORE") => false,
        _ => return Err(ReplyError::SYNTAX),
    };
    let (at, fill) = (ctx.at, fill(ctx.server));
    let Some(mut list) = ctx.db().write::<List>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    // COMPAT: a pivot that is not found still makes the room.
    list.make_room(fill, element.len(), 1);
    let is_inserted = list.insert_beside(pivot, element, after);
    let length = list.len();
    drop(list);
    if is_inserted {
        changed(ctx, "linsert", key, 1, false);
    }
    ctx.reply.integer(if is_inserted { length as i64 } else { -1 });
    Ok(Next::Done)
}

pub(super) fn lrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, element, at, fill) = (args.at(1), args.at(3), ctx.at, fill(ctx.server));
    let count = parse_negatable(args, 2)?;
    let (limit, from) = match count {
        0 => (usize::MAX, End::Head),
        1.. => (usize::try_from(count).unwrap_or(usize::MAX), End::Head),
        _ => (usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX), End::Tail),
    };
    let Some(mut list) = ctx.db().write::<List>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    let removed = list.remove_equal(element, limit, from);
    if removed > 0 {
        list.settle(fill);
        let is_emptied = list.is_empty();
        drop(list);
        changed(ctx, "lrem", key, removed, is_emptied);
    } else {
        drop(list);
    }
    ctx.reply.integer(removed as i64);
    Ok(Next::Done)
}

pub(super) fn ltrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, fill) = (args.at(1), ctx.at, fill(ctx.server));
    let (start, stop) = (parse_integer(args, 2)?, parse_integer(args, 3)?);
    let Some(mut list) = ctx.db().write::<List>(key, at)? else {
        ctx.reply.ok();
        return Ok(Next::Done);
    };
    let length = list.len();
    let kept = clamp(start, stop, length);
    let tail = list.remove_range(kept.end, length - kept.end);
    let head = list.remove_range(0, kept.start);
    list.settle(fill);
    drop(list);
    free(ctx, tail);
    free(ctx, head);
    // Of an event without a removal Redis counts no change, though it tells of one.
    changed(ctx, "ltrim", key, length - kept.len(), kept.is_empty());
    if kept.len() == length {
        ctx.propagate_as(|_| {});
    }
    ctx.reply.ok();
    Ok(Next::Done)
}
