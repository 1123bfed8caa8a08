//! Changes in the middle of lists.

use super::{changed, clamp, fill, free, index_in, parse_integer, parse_negatable};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::list::{Element, End, List, Needle};

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
    let (at, fill, limits) = (ctx.at, fill(ctx.server), ctx.job_limits());
    let Some(mut list) = ctx.db().write::<List>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    if limits.is_some_and(|limits| limits.is_long(list.len(), &*list)) {
        drop(list);
        return ctx.go_on_in_pieces(Inserting { after, index: 0 });
    }
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
    let limits = ctx.job_limits();
    let Some(mut list) = ctx.db().write::<List>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    if limits.is_some_and(|limits| limits.is_long(list.len(), &*list)) {
        drop(list);
        return ctx.go_on_in_pieces(Removing { from, limit, passed: 0, removed: 0 });
    }
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

/// LINSERT into a long list: the pivot is looked for first.
#[derive(Debug)]
struct Inserting {
    after: bool,
    /// The element that is looked at next.
    index: usize,
}

impl Pieces for Inserting {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let (key, pivot, element) = (args.at(1), args.at(3), args.at(4));
        let (at, fill) = (ctx.at, fill(ctx.server));
        let Some(list) = ctx.server.dbs[ctx.db].reread::<List>(key, at)? else {
            ctx.reply.integer(0);
            return Ok(Progress::Through);
        };
        let (is_found, is_over) = seek(list.elements_from(self.index), pivot, &mut self.index, slice);
        if !is_found && is_over && self.index < list.len() {
            return Ok(Progress::More);
        }
        let Some(mut list) = ctx.db().write::<List>(key, at)? else { return Ok(Progress::Through) };
        list.make_room(fill, element.len(), 1);
        if is_found {
            list.insert_at(self.index, element, self.after);
        }
        let length = list.len();
        drop(list);
        if is_found {
            ctx.do_piece(args, |ctx| {
                changed(ctx, "linsert", key, 1, false);
                Ok(())
            })?;
        }
        ctx.reply.integer(if is_found { length as i64 } else { -1 });
        Ok(Progress::Through)
    }
}

/// Goes by elements until one has a text, counting those before it, or the slice is over. Whether one was found, and whether the
/// slice is over.
fn seek<'l>(
    elements: impl Iterator<Item = Element<'l>>,
    text: &[u8],
    passed: &mut usize,
    slice: &mut Slice<'_>,
) -> (bool, bool) {
    let needle = Needle::new(text);
    for element in elements {
        if needle.is(&element) {
            return (true, false);
        }
        *passed += 1;
        if !slice.spend(1, 0) {
            return (false, true);
        }
    }
    (false, false)
}

/// LREM of a long list.
#[derive(Debug)]
struct Removing {
    from: End,
    limit: usize,
    /// Parts of the list from that end on that have been gone by.
    passed: usize,
    removed: usize,
}

impl Pieces for Removing {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let (key, text, at, fill) = (args.at(1), args.at(3), ctx.at, fill(ctx.server));
        let Removing { from, limit, passed, removed } = self;
        let (mut here, mut is_through, mut is_emptied) = (0, true, false);
        if let Some(mut list) = ctx.db().write::<List>(key, at)? {
            here = list.remove_equal_on(text, *limit - *removed, *from, passed, |looked| slice.spend(looked, 0));
            *removed += here;
            is_through = *removed == *limit || *passed >= list.part_count();
            is_emptied = list.is_empty();
            if is_through && *removed > 0 {
                list.settle(fill);
            }
        }
        if here > 0 {
            changed(ctx, "lrem", key, here, is_emptied);
            ctx.propagate_as(|lines| {
                let mut digits = itoa::Buffer::new();
                let count = here as i64 * if *from == End::Head { 1 } else { -1 };
                lines.push([b"LREM".as_slice(), key, digits.format(count).as_bytes(), text]);
            });
        }
        if !is_through {
            return Ok(Progress::More);
        }
        ctx.reply.integer(*removed as i64);
        Ok(Progress::Through)
    }
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
