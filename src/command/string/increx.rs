//! INCREX: a number that is added to within limits, and how long it lives.

use super::lifetime::{self, Lifetime};
use super::number::{NOT_FINITE, OVERFLOW, decimal};
use super::{delete, string_in};
use crate::base::num::{self, LongDouble};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::Ttl;
use crate::store::entry::NewValue;

const NO_LIFETIME: ReplyError = ReplyError::new("ERR ENX flag requires an expiration");
const CROSSED: ReplyError = ReplyError::new("ERR LBOUND must be less than or equal to UBOUND");

/// In what it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `BYINT`
    Integer,
    /// `BYFLOAT`
    Float,
}

/// The options.
struct Options<'a> {
    by: Option<(Kind, &'a [u8])>,
    lower: Option<&'a [u8]>,
    upper: Option<&'a [u8]>,
    is_saturating: bool,
    lifetime: Lifetime<'a>,
    /// `ENX`: a lifetime that there is stays.
    is_first_lifetime: bool,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, ReplyError> {
        let (by, lower, upper, lifetime) = (None, None, None, Lifetime::Unsaid);
        let mut options = Options { by, lower, upper, is_saturating: false, lifetime, is_first_lifetime: false };
        let mut index = 2;
        while index < args.len() {
            let argument = args.get(index + 1);
            if let Some(until) = Lifetime::until(args, index) {
                options.lifetime = options.lifetime.also(until)?;
                index += 1;
            } else if args.is(index, "PERSIST") {
                options.lifetime = options.lifetime.also(Lifetime::Persist)?;
            } else if args.is(index, "ENX") {
                options.is_first_lifetime = true;
            } else if args.is(index, "SATURATE") {
                options.is_saturating = true;
            } else {
                options.take(args, index, argument.ok_or(ReplyError::SYNTAX)?)?;
                index += 1;
            }
            index += 1;
        }
        match options.lifetime {
            Lifetime::Until(..) => Ok(options),
            Lifetime::Persist if options.is_first_lifetime => Err(ReplyError::SYNTAX),
            _ if options.is_first_lifetime => Err(NO_LIFETIME),
            _ => Ok(options),
        }
    }

    /// Notes an option that has an argument. The last one of a kind counts.
    fn take(&mut self, args: Args<'a>, index: usize, argument: &'a [u8]) -> Result<(), ReplyError> {
        if args.is(index, "LBOUND") {
            self.lower = Some(argument);
            return Ok(());
        }
        if args.is(index, "UBOUND") {
            self.upper = Some(argument);
            return Ok(());
        }
        let kind = match () {
            () if args.is(index, "BYINT") => Kind::Integer,
            () if args.is(index, "BYFLOAT") => Kind::Float,
            () => return Err(ReplyError::SYNTAX),
        };
        if self.by.is_some_and(|(before, _)| before != kind) {
            return Err(ReplyError::SYNTAX);
        }
        self.by = Some((kind, argument));
        Ok(())
    }
}

/// What is added, and between what the sum has to be.
struct Step<N> {
    by: N,
    lower: N,
    upper: N,
    is_saturating: bool,
}

impl<N: PartialOrd> Step<N> {
    fn new(
        options: &Options<'_>,
        default: Step<N>,
        parse: impl Fn(&[u8]) -> Result<N, ReplyError>,
    ) -> Result<Step<N>, ReplyError> {
        let by = options.by.map_or(Ok(default.by), |(_, text)| parse(text))?;
        let lower = options.lower.map_or(Ok(default.lower), &parse)?;
        let upper = options.upper.map_or(Ok(default.upper), &parse)?;
        if lower > upper {
            return Err(CROSSED);
        }
        Ok(Step { by, lower, upper, is_saturating: options.is_saturating })
    }
}

impl Step<i64> {
    /// The sum and what was added, or none if the sum would be out of bounds.
    fn from(&self, old: i64) -> Result<Option<(i64, i64)>, ReplyError> {
        let exact = i128::from(old) + i128::from(self.by);
        let (lower, upper) = (i128::from(self.lower), i128::from(self.upper));
        if !self.is_saturating && !(lower..=upper).contains(&exact) {
            return Ok(None);
        }
        let sum = exact.clamp(lower, upper);
        let added = i64::try_from(sum - i128::from(old)).map_err(|_| OVERFLOW)?;
        Ok(Some((sum as i64, added)))
    }
}

impl Step<LongDouble> {
    /// The same.
    fn from(&self, old: LongDouble) -> Result<Option<(LongDouble, LongDouble)>, ReplyError> {
        let sum = old.add_or_overflow(self.by).ok_or(NOT_FINITE)?;
        let limited = sum.limited(self.lower, self.upper);
        if limited == sum && sum.is_finite() {
            return Ok(Some((sum, self.by)));
        }
        if !self.is_saturating {
            return Ok(None);
        }
        let largest = LongDouble::largest();
        let sum = limited.limited(largest.negated(), largest);
        let added = sum.checked_add(old.negated()).ok_or(NOT_FINITE)?;
        Ok(Some((sum, added)))
    }
}

pub(super) fn increx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let options = Options::parse(args)?;
    match options.by {
        Some((Kind::Float, _)) => add_float(ctx, args.at(1), &options),
        _ => add_integer(ctx, args.at(1), &options),
    }
}

fn add_integer(ctx: &mut Ctx<'_>, key: &[u8], options: &Options<'_>) -> Outcome {
    let limits = Step { by: 1, lower: i64::MIN, upper: i64::MAX, is_saturating: false };
    let step = Step::new(options, limits, |text| num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER))?;
    let (until, at) = (deadline(ctx, options)?, ctx.at);
    let db = ctx.db();
    let (old, sum, had_deadline) = if let Some(mut slot) = db.lookup_write(key, at) {
        let old = string_in(&slot)?.as_int().ok_or(ReplyError::NOT_AN_INTEGER)?;
        let (sum, had_deadline) = (step.from(old)?, slot.deadline_ms().is_some());
        if let Some((sum, _)) = sum
            && !slot.overwrite_int(sum)
        {
            slot.map(|entry| entry.with_value_only(NewValue::Int(sum)));
        }
        (old, sum, had_deadline)
    } else {
        let sum = step.from(0)?;
        if let Some((sum, _)) = sum {
            db.set(key, NewValue::Int(sum), Ttl::Clear, at);
        }
        (0, sum, false)
    };
    let is_changed = sum.is_some();
    let (sum, added) = sum.unwrap_or((old, 0));
    if is_changed {
        ctx.change(Change::new(EventClass::String, "incrby", key));
        finish(ctx, key, itoa::Buffer::new().format(sum).as_bytes(), had_deadline, options, until);
    }
    ctx.reply.array(2);
    ctx.reply.integer(sum);
    ctx.reply.integer(added);
    Ok(Next::Done)
}

fn add_float(ctx: &mut Ctx<'_>, key: &[u8], options: &Options<'_>) -> Outcome {
    let largest = LongDouble::largest();
    let zero = LongDouble::from(0i64);
    let limits = Step { by: zero, lower: largest.negated(), upper: largest, is_saturating: false };
    let step = Step::new(options, limits, |text| LongDouble::parse(text).ok_or(ReplyError::NOT_A_FLOAT))?;
    let (until, at) = (deadline(ctx, options)?, ctx.at);
    let db = ctx.db();
    let (old, sum, had_deadline) = if let Some(mut slot) = db.lookup_write(key, at) {
        let old = decimal(&string_in(&slot)?)?;
        let (sum, had_deadline) = (step.from(old)?, slot.deadline_ms().is_some());
        if let Some((sum, _)) = sum {
            slot.map(|entry| entry.with_value_only(NewValue::Bytes(&sum.to_text())));
        }
        (old, sum, had_deadline)
    } else {
        let sum = step.from(zero)?;
        if let Some((sum, _)) = sum {
            db.set(key, NewValue::Bytes(&sum.to_text()), Ttl::Clear, at);
        }
        (zero, sum, false)
    };
    let is_changed = sum.is_some();
    let (sum, added) = sum.unwrap_or((old, zero));
    let text = sum.to_text();
    if is_changed {
        ctx.change(Change::new(EventClass::String, "incrbyfloat", key));
        finish(ctx, key, &text, had_deadline, options, until);
    }
    ctx.reply.array(2);
    ctx.reply.decimal(&text);
    ctx.reply.decimal(&added.to_text());
    Ok(Next::Done)
}

/// The deadline that the options give.
fn deadline(ctx: &Ctx<'_>, options: &Options<'_>) -> Result<Option<i64>, ReplyError> {
    match options.lifetime {
        Lifetime::Until(unit, text) => lifetime::deadline_ms(ctx.command, ctx.at, unit, text).map(Some),
        _ => Ok(None),
    }
}

/// Sees to the lifetime of a key that has its new value, and to what is passed on: what came of it all.
fn finish(ctx: &mut Ctx<'_>, key: &[u8], value: &[u8], had_deadline: bool, options: &Options<'_>, until: Option<i64>) {
    let at = ctx.at;
    let until = until.filter(|_| !(options.is_first_lifetime && had_deadline));
    match until {
        Some(deadline_ms) if deadline_ms <= at.due_ms() => {
            delete(ctx, key);
            ctx.change_past_deadline(key);
        }
        Some(deadline_ms) => {
            ctx.db().set_deadline(key, Some(deadline_ms), at);
            ctx.notify(EventClass::Generic, "expire", key);
            let mut digits = itoa::Buffer::new();
            let deadline = digits.format(deadline_ms).as_bytes();
            ctx.propagate_as(|lines| lines.push([b"SET", key, value, b"PXAT", deadline]));
        }
        None if options.lifetime == Lifetime::Persist && had_deadline => {
            ctx.db().set_deadline(key, None, at);
            ctx.notify(EventClass::Generic, "persist", key);
            ctx.propagate_as(|lines| lines.push([b"SET", key, value]));
        }
        None => ctx.propagate_as(|lines| lines.push([b"SET", key, value, b"KEEPTTL"])),
    }
}
