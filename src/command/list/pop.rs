//! Taking elements from an end.

use super::{changed, fill, free, parse_end, pop_event, pop_name, write_element};
use crate::base::num;
use crate::command::pieces::PIECE_ELEMENTS_MAX;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::list::{End, List, Removed};

const NOT_POSITIVE: ReplyError = ReplyError::new("ERR value is out of range, must be positive");
const NO_KEYS: ReplyError = ReplyError::new("ERR numkeys should be greater than 0");
const NO_COUNT: ReplyError = ReplyError::new("ERR count should be greater than 0");

pub(super) fn lpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Head)
}

pub(super) fn rpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Tail)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Outcome {
    if args.len() > 3 {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    let key = args.at(1);
    let count = args.get(2).map(|count| {
        let count = num::parse_i64(count).and_then(|count| usize::try_from(count).ok());
        count.ok_or(NOT_POSITIVE)
    });
    let is_popped = match count.transpose()? {
        None => pop_one(ctx, key, end, |_| {})?,
        Some(count) if is_long(ctx, key, count)? => {
            return ctx.go_on_in_pieces(Popping { end, count, is_named: false, left: None });
        }
        Some(count) => pop_some(ctx, key, end, count, |_| {})?.is_some(),
    };
    match is_popped {
        true => {}
        false if args.len() == 3 => ctx.reply.null_array(),
        false => ctx.reply.null(),
    }
    Ok(Next::Done)
}

/// True if so many elements of a list are to be taken piece by piece.
fn is_long(ctx: &mut Ctx<'_>, key: &[u8], count: usize) -> Result<bool, ReplyError> {
    if !ctx.is_long(count) {
        return Ok(false);
    }
    let at = ctx.at;
    let list = ctx.server.dbs[ctx.db].reread::<List>(key, at)?;
    Ok(list.is_some_and(|list| ctx.server.jobs.limits.is_long(count.min(list.len()), &*list)))
}

/// A key, and how many of its elements are still to be taken.
type Left = (Box<[u8]>, usize);

/// Very many elements that are taken from an end.
#[derive(Debug)]
struct Popping {
    end: End,
    count: usize,
    /// The line is that of LMPOP: the first of its keys that has a list is named in the answer.
    is_named: bool,
    /// The key, and how many are still to be taken; `None` before the first.
    left: Option<Left>,
}

impl Popping {
    /// The key to take from, if there is one, once its answer has begun.
    fn begin(&self, ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<Option<Left>, ReplyError> {
        let wanted = self.is_named.then(|| Wanted::parse(args, 1)).transpose()?;
        let keys = wanted.as_ref().map_or(args.tail(1).up_to(1), |wanted| wanted.keys.up_to(wanted.numkeys));
        let at = ctx.at;
        for key in keys.iter_from(0) {
            let Some(len) = ctx.db().write::<List>(key, at)?.map(|list| list.len()) else { continue };
            if wanted.is_some() {
                ctx.reply.array(2);
                ctx.reply.bulk(key);
            }
            let count = self.count.min(len);
            ctx.reply.array(count);
            return Ok(Some((key.into(), count)));
        }
        ctx.reply.null_array();
        Ok(None)
    }
}

impl Pieces for Popping {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        if self.left.is_none() {
            self.left = self.begin(ctx, args)?;
        }
        let (end, fill) = (self.end, fill(ctx.server));
        let Some((key, left)) = &mut self.left else { return Ok(Progress::Through) };
        while *left > 0 {
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX).min(*left);
            let Ctx { server, reply, db, at, .. } = &mut *ctx;
            let Some(mut list) = server.dbs[*db].write::<List>(key, *at)? else { break };
            let removed = take(&mut list, end, count, reply);
            list.settle(fill);
            let is_emptied = list.is_empty();
            drop(list);
            free(ctx, removed);
            changed(ctx, pop_event(end), key, count, is_emptied);
            ctx.propagate_as(|lines| lines.push([pop_name(end), &**key, itoa::Buffer::new().format(count).as_bytes()]));
            *left -= count;
            if !slice.spend(count, 0) && *left > 0 {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Through)
    }
}

/// Removes the element at an end and writes it, after what `before` writes. False, and nothing written, if there is no list.
pub(super) fn pop_one(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    before: impl FnOnce(&mut Reply<'_>),
) -> Result<bool, ReplyError> {
    let fill = fill(ctx.server);
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(mut list) = server.dbs[*db].write::<List>(key, *at)? else { return Ok(false) };
    let Some(element) = list.end(end) else { return Ok(false) };
    before(reply);
    write_element(reply, &element);
    list.remove_end(end);
    list.settle(fill);
    let is_emptied = list.is_empty();
    drop(list);
    changed(ctx, pop_event(end), key, 1, is_emptied);
    Ok(true)
}

/// Removes up to so many elements at an end and writes them as an array, after what `before` writes. Returns how many; `None`,
/// and nothing written, if there is no list.
pub(super) fn pop_some(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    before: impl FnOnce(&mut Reply<'_>),
) -> Result<Option<usize>, ReplyError> {
    let fill = fill(ctx.server);
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(mut list) = server.dbs[*db].write::<List>(key, *at)? else { return Ok(None) };
    let count = count.min(list.len());
    before(reply);
    reply.array(count);
    if count == 0 {
        return Ok(Some(0));
    }
    let removed = take(&mut list, end, count, reply);
    list.settle(fill);
    let is_emptied = list.is_empty();
    drop(list);
    free(ctx, removed);
    changed(ctx, pop_event(end), key, count, is_emptied);
    Ok(Some(count))
}

/// Writes and removes so many elements, which there are.
fn take(list: &mut List, end: End, count: usize, reply: &mut Reply<'_>) -> Removed {
    let start = match end {
        End::Head => 0,
        End::Tail => list.len() - count,
    };
    match end {
        End::Head => list.elements().take(count).for_each(|element| write_element(reply, &element)),
        End::Tail => list.elements().rev().take(count).for_each(|element| write_element(reply, &element)),
    }
    list.remove_range(start, count)
}

/// What LMPOP and BLMPOP are asked for.
pub(super) struct Wanted<'a> {
    /// The keys, a line of their own.
    pub keys: Args<'a>,
    /// How many of that line are keys.
    pub numkeys: usize,
    pub end: End,
    pub count: usize,
}

impl<'a> Wanted<'a> {
    /// Reads `numkeys key [key ...] <LEFT | RIGHT> [COUNT count]` from an index on.
    pub fn parse(args: Args<'a>, index: usize) -> Result<Wanted<'a>, ReplyError> {
        let positive = |arg: &[u8]| num::parse_i64(arg).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0);
        let numkeys = positive(args.at(index)).ok_or(NO_KEYS)?;
        let keys = args.tail(index + 1);
        let options = keys.tail(numkeys);
        let end = parse_end(options.get(0).ok_or(ReplyError::SYNTAX)?)?;
        let count = match options.len() {
            1 => 1,
            length if length >= 3 && options.is(1, "COUNT") => {
                let count = positive(options.at(2)).ok_or(NO_COUNT)?;
                if length > 3 {
                    return Err(ReplyError::SYNTAX);
                }
                count
            }
            _ => return Err(ReplyError::SYNTAX),
        };
        Ok(Wanted { keys, numkeys, end, count })
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.keys.iter_from(0).take(self.numkeys)
    }

    /// What takes elements for LMPOP, if the first list there is holds so many that they are taken piece by piece.
    fn long(&self, ctx: &mut Ctx<'_>) -> Result<Option<Popping>, ReplyError> {
        let at = ctx.at;
        for key in self.keys() {
            if ctx.is_long(self.count) && ctx.db().reread::<List>(key, at)?.is_some() {
                let popping = Popping { end: self.end, count: self.count, is_named: true, left: None };
                return Ok(is_long(ctx, key, self.count)?.then_some(popping));
            }
        }
        Ok(None)
    }

    /// Answers from the first list there is. False, and nothing written, if there is none.
    pub fn pop(&self, ctx: &mut Ctx<'_>) -> Result<bool, ReplyError> {
        for key in self.keys() {
            let name_first = |reply: &mut Reply<'_>| {
                reply.array(2);
                reply.bulk(key);
            };
            if let Some(count) = pop_some(ctx, key, self.end, self.count, name_first)? {
                ctx.propagate_as(|lines| {
                    lines.push([pop_name(self.end), key, itoa::Buffer::new().format(count).as_bytes()]);
                });
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn lmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = Wanted::parse(args, 1)?;
    if let Some(popping) = wanted.long(ctx)? {
        return ctx.go_on_in_pieces(popping);
    }
    if !wanted.pop(ctx)? {
        ctx.reply.null_array();
    }
    Ok(Next::Done)
}
