//! Fields that are numbers.

use super::{limits, open_or_create};
use crate::base::num::{self, LongDouble};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::pack::Item;

const OVERFLOW: ReplyError = ReplyError::new("ERR increment or decrement would overflow");
const NOT_FINITE: ReplyError = ReplyError::new("ERR increment would produce NaN or Infinity");
const NOT_FINITE_INCREMENT: ReplyError = ReplyError::new("ERR value is NaN or Infinity");
const FIELD_NOT_AN_INTEGER: ReplyError = ReplyError::new("ERR hash value is not an integer");
const FIELD_NOT_A_FLOAT: ReplyError = ReplyError::new("ERR hash value is not a float");

pub(super) fn hincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let increment = num::parse_i64(args.at(3)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let (key, field, at, limits) = (args.at(1), args.at(2), ctx.at, limits(ctx.server));
    // A hash that is created here has no field that could be refused, so it never stays empty.
    let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
    let old = match hash.get(field, at.due_ms()) {
        Some(found) => found.value().as_int().ok_or(FIELD_NOT_AN_INTEGER)?,
        None => 0,
    };
    let sum = old.checked_add(increment).ok_or(OVERFLOW)?;
    hash.set(field, itoa::Buffer::new().format(sum).as_bytes(), true, at.due_ms(), &limits);
    drop(hash);
    ctx.change(Change::new(EventClass::Hash, "hincrby", key));
    ctx.notify_subkeys(EventClass::Hash, "hincrby", key, std::iter::once(field));
    ctx.reply.integer(sum);
    Ok(Next::Done)
}

pub(super) fn hincrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let increment = LongDouble::parse(args.at(3)).ok_or(ReplyError::NOT_A_FLOAT)?;
    if !increment.is_finite() {
        return Err(NOT_FINITE_INCREMENT);
    }
    let (key, field, at, limits) = (args.at(1), args.at(2), ctx.at, limits(ctx.server));
    let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
    let found = hash.get(field, at.due_ms());
    let is_timed = found.as_ref().is_some_and(|found| found.deadline_ms().is_some());
    let old = match found.as_ref().map(|found| found.value()) {
        Some(Item::Int(n)) => LongDouble::from(n),
        Some(Item::Bytes(text)) => LongDouble::parse(text).ok_or(FIELD_NOT_A_FLOAT)?,
        None => LongDouble::from(0i64),
    };
    let text = old.checked_add(increment).ok_or(NOT_FINITE)?.to_text();
    hash.set(field, &text, true, at.due_ms(), &limits);
    drop(hash);
    ctx.change(Change::new(EventClass::Hash, "hincrbyfloat", key));
    ctx.notify_subkeys(EventClass::Hash, "hincrbyfloat", key, std::iter::once(field));
    // COMPAT: Redis 8 passes HSETEX on for every field. Without a deadline HSET says the same, and older servers know it.
    ctx.propagate_as(|lines| match is_timed {
        true => lines.push([b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, &text]),
        false => lines.push([b"HSET", key, field, &text]),
    });
    ctx.reply.bulk(&text);
    Ok(Next::Done)
}
