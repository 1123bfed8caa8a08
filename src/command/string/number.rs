//! Strings that are numbers.

use super::string_in;
use crate::base::num::{self, LongDouble};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::Ttl;
use crate::store::entry::{NewValue, Value};

pub(super) const OVERFLOW: ReplyError = ReplyError::new("ERR increment or decrement would overflow");
const NEGATION_OVERFLOW: ReplyError = ReplyError::new("ERR decrement would overflow");
pub(super) const NOT_FINITE: ReplyError = ReplyError::new("ERR increment would produce NaN or Infinity");

pub(super) fn incr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    add(ctx, args.at(1), 1)
}

pub(super) fn decr(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    add(ctx, args.at(1), -1)
}

pub(super) fn incrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let increment = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    add(ctx, args.at(1), increment)
}

pub(super) fn decrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let decrement = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    add(ctx, args.at(1), decrement.checked_neg().ok_or(NEGATION_OVERFLOW)?)
}

/// Adds to the integer of a key, in place if the key is there and held as one.
fn add(ctx: &mut Ctx<'_>, key: &[u8], increment: i64) -> Outcome {
    let at = ctx.at;
    let db = ctx.db();
    let sum = if let Some(mut slot) = db.lookup_write(key, at) {
        let old = string_in(&slot)?.as_int().ok_or(ReplyError::NOT_AN_INTEGER)?;
        let sum = old.checked_add(increment).ok_or(OVERFLOW)?;
        if !slot.overwrite_int(sum) {
            slot.map(|entry| entry.with_value_only(NewValue::Int(sum)));
        }
        sum
    } else {
        db.set(key, NewValue::Int(increment), Ttl::Clear, at);
        increment
    };
    ctx.change(Change::new(EventClass::String, "incrby", key));
    ctx.reply.integer(sum);
    Ok(Next::Done)
}

pub(super) fn incrbyfloat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let db = ctx.db();
    let text = if let Some(mut slot) = db.lookup_write(key, at) {
        let text = sum_text(decimal(&string_in(&slot)?)?, args.at(2))?;
        slot.map(|entry| entry.with_value_only(NewValue::Bytes(&text)));
        text
    } else {
        let text = sum_text(LongDouble::from(0i64), args.at(2))?;
        db.set(key, NewValue::Bytes(&text), Ttl::Clear, at);
        text
    };
    ctx.change(Change::new(EventClass::String, "incrbyfloat", key));
    ctx.propagate_as(|lines| lines.push([b"SET", key, &text, b"KEEPTTL"]));
    ctx.reply.bulk(&text);
    Ok(Next::Done)
}

/// The number that a string is.
///
/// # Errors
/// It is none.
pub(super) fn decimal(value: &Value<'_>) -> Result<LongDouble, ReplyError> {
    let number = match value {
        Value::Int(n) => Some(LongDouble::from(*n)),
        Value::Inline(text) => LongDouble::parse(text),
        Value::Shared(text) => LongDouble::parse(text),
        // The digits of a number are no bits that could be held in less than their bytes.
        Value::Roaring(_) => None,
    };
    number.ok_or(ReplyError::NOT_A_FLOAT)
}

fn sum_text(old: LongDouble, increment: &[u8]) -> Result<Vec<u8>, ReplyError> {
    let increment = LongDouble::parse(increment).ok_or(ReplyError::NOT_A_FLOAT)?;
    Ok(old.checked_add(increment).ok_or(NOT_FINITE)?.to_text())
}
