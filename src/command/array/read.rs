//! Elements by their indexes, and what is known of an array.

use super::{POSITIONS_MAX, TOO_MANY, index};
use crate::base::num;
use crate::command::long::{self, Place};
use crate::command::pieces::{self, Answer, Plan};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::types::array::{Array, SLICE_PLACES, Slices};
use crate::store::types::{Collection, Ref};

fn array_at<'c>(ctx: &'c mut Ctx<'_>, key: &[u8]) -> Result<Option<Ref<'c, Array>>, ReplyError> {
    let at = ctx.at;
    Ok(ctx.db().read::<Array>(key, at)?)
}

fn write_element(reply: &mut Reply<'_>, element: Option<&[u8]>) {
    match element {
        Some(text) => reply.bulk(text),
        None => reply.null(),
    }
}

pub(super) fn arget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let index = index(args.at(2))?;
    let Ctx { server, reply, db, at, .. } = ctx;
    let array = server.dbs[*db].read::<Array>(args.at(1), *at)?;
    write_element(reply, array.as_ref().and_then(|array| array.get(index)));
    Ok(Next::Done)
}

/// Answers the elements of a line's indexes, one by one.
fn answer_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let Ctx { server, reply, db, at, .. } = ctx;
    let array = server.dbs[*db].read::<Array>(args.at(1), *at)?;
    for text in args.iter_from(2) {
        let index = index(text)?;
        write_element(reply, array.as_ref().and_then(|array| array.get(index)));
    }
    Ok(0)
}

/// Refuses a line or a piece of it whose indexes are not all such, or whose key is of another type.
fn check(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<Option<i64>, ReplyError> {
    let at = ctx.at;
    args.iter_from(2).try_for_each(|text| index(text).map(drop))?;
    ctx.db().reread::<Array>(args.at(1), at)?;
    Ok(None)
}

pub(super) fn armget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan =
        Plan::new(1, Answer::Array, |ctx, piece, _| answer_all(ctx, piece)).checked(|ctx, piece, _| check(ctx, piece));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    check(ctx, args)?;
    ctx.reply.array(args.len() - 2);
    answer_all(ctx, args)?;
    Ok(Next::Done)
}

/// Indexes in a row, whether they have elements or not.
#[derive(Debug)]
struct Positions {
    first: u64,
    is_descending: bool,
    /// Behind the last index of a ring comes its first; of no ring 0.
    ring: u64,
    count: usize,
    done: usize,
}

impl Positions {
    fn index(&self, nth: usize) -> u64 {
        let (first, nth) = (self.first, nth as u64);
        match (self.is_descending, self.ring) {
            (false, 0) => first + nth,
            (true, 0) => first - nth,
            (false, ring) => {
                if nth < ring - first {
                    first + nth
                } else {
                    nth - (ring - first)
                }
            }
            (true, ring) => {
                if nth <= first {
                    first - nth
                } else {
                    ring - (nth - first)
                }
            }
        }
    }

    /// Answers the next one: the bytes of the element.
    fn answer_one(&mut self, array: &Array, reply: &mut Reply<'_>) -> usize {
        if self.done == 0 {
            reply.array(self.count);
        }
        let element = array.get(self.index(self.done));
        write_element(reply, element);
        self.done += 1;
        element.map_or(0, <[u8]>::len)
    }

    /// Answers them, at once or as a job.
    fn run(mut self, ctx: &mut Ctx<'_>, key: &[u8]) -> Outcome {
        let may_become_job = ctx.may_become_job();
        let Ctx { server, reply, db, at, .. } = ctx;
        let Some(array) = server.dbs[*db].reread::<Array>(key, *at)? else { return Ok(Next::Done) };
        if may_become_job && server.jobs.limits.is_long(self.count, &*array) {
            return long::read_key(ctx, key, self);
        }
        while self.done < self.count {
            self.answer_one(&array, reply);
        }
        Ok(Next::Done)
    }
}

impl Place<Array> for Positions {
    fn go_on(&mut self, array: &Array, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        while self.done < self.count {
            let bytes = self.answer_one(array, reply);
            if !slice.spend(1, bytes) {
                break;
            }
        }
        self.done == self.count
    }
}

pub(super) fn argetrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (first, last) = (index(args.at(2))?, index(args.at(3))?);
    let is_there = array_at(ctx, args.at(1))?.is_some();
    if first.abs_diff(last) >= POSITIONS_MAX {
        return Err(TOO_MANY);
    }
    let count = first.abs_diff(last) as usize + 1;
    if !is_there {
        ctx.reply.array(count);
        ctx.reply.nulls(count);
        return Ok(Next::Done);
    }
    let is_descending = first > last;
    Positions { first, is_descending, ring: 0, count, done: 0 }.run(ctx, args.at(1))
}

// COMPAT: as many positions as were asked for, and not as many as there are elements, as a later version of 8.8 has it.
pub(super) fn arlastitems(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = num::parse_i64(args.at(2)).ok_or(ReplyError::new("ERR invalid COUNT"))?;
    let is_descending = args.len() == 4 && args.is(3, "REV");
    if args.len() > 4 {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    if args.len() == 4 && !is_descending {
        return Err(ReplyError::SYNTAX);
    }
    let count = u64::try_from(count).unwrap_or(0);
    let Some(array) = array_at(ctx, args.at(1))? else {
        ctx.reply.array(0);
        return Ok(Next::Done);
    };
    let (ring, next) = (array.extent(), array.next());
    let count = count.min(ring);
    if count > POSITIONS_MAX {
        return Err(TOO_MANY);
    }
    if count == 0 {
        ctx.reply.array(0);
        return Ok(Next::Done);
    }
    // Where nothing was inserted, or the index points beyond all elements, the last element counts as the newest.
    let newest = next.and_then(|next| next.checked_sub(1)).filter(|newest| *newest < ring).unwrap_or(ring - 1);
    let back = count - 1;
    let oldest = if back <= newest { newest - back } else { ring - (back - newest) };
    let first = if is_descending { newest } else { oldest };
    Positions { first, is_descending, ring, count: count as usize, done: 0 }.run(ctx, args.at(1))
}

pub(super) fn arlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let extent = array_at(ctx, args.at(1))?.map_or(0, |array| array.extent());
    ctx.reply.unsigned(extent);
    Ok(Next::Done)
}

pub(super) fn arcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = array_at(ctx, args.at(1))?.map_or(0, |array| array.len());
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

pub(super) fn arnext(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let next = array_at(ctx, args.at(1))?.map_or(Some(0), |array| array.next());
    match next {
        Some(next) => ctx.reply.unsigned(next),
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

pub(super) fn arinfo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let is_full = args.len() == 3 && args.is(2, "FULL");
    if args.len() > 2 && !is_full {
        return Err(ReplyError::SYNTAX);
    }
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(array) = server.dbs[*db].read::<Array>(args.at(1), *at)? else {
        return Err(ReplyError::new("ERR no such key"));
    };
    if is_full && may_become_job && array.slice_count() > server.jobs.limits.long {
        return long::read_key(ctx, args.at(1), Adding::default());
    }
    let mut sum = Slices::default();
    if is_full {
        array.sum_slices(0, &mut sum, || true);
    }
    write_info(reply, &array, is_full.then_some(sum));
    Ok(Next::Done)
}

/// Adds up what is in very many slices.
#[derive(Debug, Default)]
struct Adding {
    next: u64,
    sum: Slices,
}

impl Place<Array> for Adding {
    fn go_on(&mut self, array: &Array, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let next = array.sum_slices(self.next, &mut self.sum, || slice.spend(1, 0));
        self.next = next.unwrap_or(0);
        if next.is_none() {
            write_info(reply, array, Some(self.sum));
        }
        next.is_none()
    }
}

// COMPAT: our directory has no more than the slices that there are, and no second level.
fn write_info(reply: &mut Reply<'_>, array: &Array, sum: Option<Slices>) {
    let numbers = [
        ("count", array.len() as u64),
        ("len", array.extent()),
        ("next-insert-index", array.next().unwrap_or(0)),
        ("slices", array.slice_count() as u64),
        ("directory-size", array.slice_count() as u64),
        ("super-dir-entries", 0),
        ("slice-size", SLICE_PLACES),
    ];
    reply.map(numbers.len() + if sum.is_some() { 5 } else { 0 });
    for (name, number) in numbers {
        reply.bulk_str(name);
        reply.unsigned(number);
    }
    let Some(sum) = sum else { return };
    for (name, number) in [("dense-slices", sum.dense), ("sparse-slices", sum.sparse)] {
        reply.bulk_str(name);
        reply.integer(number as i64);
    }
    let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    for (name, number) in [
        ("avg-dense-size", ratio(sum.dense_places, sum.dense)),
        ("avg-dense-fill", ratio(sum.dense_used, sum.dense_places)),
        ("avg-sparse-size", ratio(sum.sparse_used, sum.sparse)),
    ] {
        reply.bulk_str(name);
        reply.double(number);
    }
}
