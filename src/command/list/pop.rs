//! Taking elements from an end.

use super::{changed, fill, free, parse_end, pop_event, pop_name, write_element};
use crate::base::num;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
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
        Some(count) => pop_some(ctx, key, end, count, |_| {})?.is_some(),
    };
    match is_popped {
        true => {}
        false if args.len() == 3 => ctx.reply.null_array(),
        false => ctx.reply.null(),
    }
    Ok(Next::Done)
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
    if !Wanted::parse(args, 1)?.pop(ctx)? {
        ctx.reply.null_array();
    }
    Ok(Next::Done)
}
