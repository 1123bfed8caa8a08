//! What sets and deletes elements by their indexes.

use super::{BAD_INDEX, changed, index};
use crate::command::collection::remove_emptied;
use crate::command::pieces::{self, Answer, Plan, extent};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::array::{Array, INDEX_MAX};

/// Sets elements; how many of them were not there.
fn set_all<'v>(
    ctx: &mut Ctx<'_>,
    event: &str,
    key: &[u8],
    elements: impl Iterator<Item = (u64, &'v [u8])>,
) -> Result<i64, ReplyError> {
    let (at, mut count, mut added) = (ctx.at, 0, 0);
    let mut array = ctx.db().write_or_create(key, at, Array::default)?;
    for (index, text) in elements {
        count += 1;
        added += i64::from(array.set(index, text));
    }
    drop(array);
    changed(ctx, event, key, count);
    Ok(added)
}

/// The index from which so many elements are set.
fn first_index(text: &[u8], count: usize) -> Result<u64, ReplyError> {
    let first = index(text)?;
    first.checked_add(count as u64 - 1).filter(|last| *last <= INDEX_MAX).map(|_| first).ok_or(BAD_INDEX)
}

pub(super) fn arset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let first = first_index(args.at(2), args.len() - 3)?;
    if ctx.is_long_line(args) {
        return ctx.go_on_in_pieces(Setting { first, next: 3, added: 0 });
    }
    let added = set_all(ctx, "arset", args.at(1), (first..=INDEX_MAX).zip(args.iter_from(3)))?;
    ctx.reply.integer(added);
    Ok(Next::Done)
}

/// Very many elements that are set in a row.
#[derive(Debug)]
struct Setting {
    first: u64,
    /// The argument at which the next piece begins.
    next: usize,
    added: i64,
}

impl Pieces for Setting {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        while self.next < args.len() {
            let (end, bytes) = extent(args, self.next, 1, slice.left());
            let (count, first) = (end - self.next, self.first + (self.next - 3) as u64);
            let values = args.iter_from(self.next).take(count);
            self.added += set_all(ctx, "arset", args.at(1), (first..=INDEX_MAX).zip(values.clone()))?;
            let mut digits = itoa::Buffer::new();
            ctx.propagate_as(|lines| {
                let head = [b"ARSET".as_slice(), args.at(1), digits.format(first).as_bytes()];
                lines.push(head.into_iter().chain(values));
            });
            self.next = end;
            if !slice.spend(count, bytes) && end < args.len() {
                return Ok(Progress::More);
            }
        }
        ctx.reply.integer(self.added);
        Ok(Progress::Through)
    }
}

/// The indexes of a line, or of a piece of it, from an argument on, each so many behind the one before.
fn check_indexes(args: Args<'_>, first: usize, step: usize) -> Result<Option<i64>, ReplyError> {
    args.iter_from(first).step_by(step).try_for_each(|text| index(text).map(drop))?;
    Ok(None)
}

/// The pairs of a line, whose indexes have been looked at.
fn pairs<'a>(args: Args<'a>) -> impl Iterator<Item = (u64, &'a [u8])> {
    let indexes = args.iter_from(2).step_by(2).map(|text| index(text).unwrap_or(INDEX_MAX));
    indexes.zip(args.iter_from(3).step_by(2))
}

pub(super) fn armset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Sum, |ctx, piece, _| set_all(ctx, "armset", piece.at(1), pairs(piece)))
        .checked(|_, piece, part| check_indexes(piece, part.head, 2));
    if !args.len().is_multiple_of(2) {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    check_indexes(args, 2, 2)?;
    let added = set_all(ctx, "armset", args.at(1), pairs(args))?;
    ctx.reply.integer(added);
    Ok(Next::Done)
}

/// Tells of elements deleted, and removes the key if none is left.
fn tell(ctx: &mut Ctx<'_>, event: &str, key: &[u8], (deleted, is_emptied): (usize, bool)) {
    if deleted > 0 {
        changed(ctx, event, key, deleted);
        if is_emptied {
            remove_emptied(ctx, key);
        }
    }
}

/// Deletes the elements of a line's indexes; how many there were.
fn delete_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let at = ctx.at;
    let (mut deleted, mut is_emptied) = (0, false);
    if let Some(mut array) = ctx.db().write::<Array>(args.at(1), at)? {
        let indexes = args.iter_from(2).filter_map(|text| index(text).ok());
        deleted = indexes.filter(|index| array.remove(*index)).count();
        is_emptied = array.is_empty();
    }
    tell(ctx, "ardel", args.at(1), (deleted, is_emptied));
    Ok(deleted as i64)
}

pub(super) fn ardel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| delete_all(ctx, piece))
        .checked(|_, piece, part| check_indexes(piece, part.head, 1));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    check_indexes(args, 2, 1)?;
    let deleted = delete_all(ctx, args)?;
    ctx.reply.integer(deleted);
    Ok(Next::Done)
}

pub(super) fn ardelrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if !args.len().is_multiple_of(2) {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    check_indexes(args, 2, 1)?;
    let (at, key, limits) = (ctx.at, args.at(1), ctx.job_limits());
    let Some(array) = ctx.db().write::<Array>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    let mut deleting = Deleting { next: 2, from: None, deleted: 0 };
    let mut elements = 0;
    if let Some(limits) = limits.filter(|limits| array.len() > limits.long) {
        // No more are counted than it takes to be long.
        for i in (2..args.len()).step_by(2) {
            let (one, other) = (index(args.at(i))?, index(args.at(i + 1))?);
            elements +=
                array.range(one.min(other), one.max(other)).take(limits.long.saturating_add(1) - elements).count();
        }
    }
    drop(array);
    if ctx.is_long(elements) || ctx.is_long_line(args) {
        return ctx.go_on_in_pieces(deleting);
    }
    let mut gone = (0, false);
    while let Some((_, low, high)) = deleting.stretch(args) {
        let Some(mut array) = ctx.db().write::<Array>(key, at)? else { break };
        gone.0 += deleting.go_on(&mut array, low, high);
        gone.1 = array.is_empty();
    }
    tell(ctx, "ardelrange", key, gone);
    ctx.reply.integer(gone.0 as i64);
    Ok(Next::Done)
}

/// Ranges that are deleted, a slice of the array at a time.
#[derive(Debug)]
struct Deleting {
    /// The argument that is one end of the range in hand.
    next: usize,
    /// Where it goes on in that range, once it has begun.
    from: Option<u64>,
    deleted: usize,
}

impl Deleting {
    /// What is left of the range in hand: the argument where it stands, and its ends.
    fn stretch(&self, args: Args<'_>) -> Option<(usize, u64, u64)> {
        let (one, other) = (index(args.get(self.next)?).ok()?, index(args.get(self.next + 1)?).ok()?);
        Some((self.next, self.from.unwrap_or(one.min(other)), one.max(other)))
    }

    /// Deletes what is in one slice of it; how many elements.
    fn go_on(&mut self, array: &mut Array, low: u64, high: u64) -> usize {
        let (gone, after) = array.remove_some(low, high);
        self.from = after.filter(|after| *after <= high);
        if self.from.is_none() {
            self.next += 2;
        }
        gone
    }
}

impl Pieces for Deleting {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let (key, at) = (args.at(1), ctx.at);
        while let Some((_, low, high)) = self.stretch(args) {
            let Some(mut array) = ctx.db().write::<Array>(key, at)? else { break };
            let gone = Deleting::go_on(self, &mut array, low, high);
            let is_emptied = array.is_empty();
            drop(array);
            if gone > 0 {
                self.deleted += gone;
                tell(ctx, "ardelrange", key, (gone, is_emptied));
                let end = self.from.map_or(high, |from| from - 1);
                ctx.propagate_as(|lines| {
                    let (mut one, mut other) = (itoa::Buffer::new(), itoa::Buffer::new());
                    let range = [one.format(low).as_bytes(), other.format(end).as_bytes()];
                    lines.push([b"ARDELRANGE".as_slice(), key].into_iter().chain(range));
                });
            }
            if !slice.spend(gone.max(1), 0) {
                return Ok(Progress::More);
            }
        }
        ctx.reply.integer(self.deleted as i64);
        Ok(Progress::Through)
    }
}
