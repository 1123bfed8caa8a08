//! Storing whole values, and how long they live.

use std::sync::Arc;

use super::condition::Comparison;
use super::lifetime::{self, Lifetime, Unit};
use super::{GROUP, delete, prefetch, string_in, write_value};
use crate::command::jitter::Jitter;
use crate::command::pieces::{self, Answer, Plan};
use crate::command::spec::Outcome;
use crate::config::{Config, EventClass};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::{Lookup, Ttl};
use crate::store::entry::{Entry, NewValue, Value};

/// On what condition a value is stored.
#[derive(Clone, Copy, Debug)]
enum Condition<'a> {
    Always,
    /// `NX`
    IfAbsent,
    /// `XX`
    IfPresent,
    /// `IFEQ` and its kin.
    If(Comparison<'a>),
}

impl Condition<'_> {
    /// True if both are of one kind.
    fn is_like(&self, other: &Condition<'_>) -> bool {
        match (self, other) {
            (Condition::If(one), Condition::If(other)) => one.is_like(other),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }

    /// Whether the condition is met by what the key holds, which is shown as a string if the condition is about it.
    fn is_met(&self, is_there: bool, old: Option<&Value<'_>>) -> Result<bool, ReplyError> {
        match (self, old) {
            (Condition::Always, _) => Ok(true),
            (Condition::IfAbsent, _) => Ok(!is_there),
            (Condition::IfPresent, _) => Ok(is_there),
            (Condition::If(comparison), Some(old)) => comparison.holds(old),
            (Condition::If(comparison), None) => Ok(comparison.takes_none()),
        }
    }
}

/// The options of SET.
struct Options<'a> {
    condition: Condition<'a>,
    get: bool,
    lifetime: Lifetime<'a>,
    jitter: Option<Jitter>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, config: &Config) -> Result<Options<'a>, ReplyError> {
        let mut options =
            Options { condition: Condition::Always, get: false, lifetime: Lifetime::Unsaid, jitter: None };
        let mut index = 3;
        while index < args.len() {
            if let Some(until) = Lifetime::until(args, index) {
                options.lifetime = options.lifetime.also(until)?;
                index += 1;
            } else if args.is(index, "NX") {
                options.only(Condition::IfAbsent)?;
            } else if args.is(index, "XX") {
                options.only(Condition::IfPresent)?;
            } else if args.is(index, "GET") {
                options.get = true;
            } else if args.is(index, "KEEPTTL") {
                options.lifetime = options.lifetime.also(Lifetime::Keep)?;
            } else if let Some(comparison) = Comparison::at(args, index) {
                options.only(Condition::If(comparison))?;
                index += 1;
            } else if Jitter::is_at(args, index, config) {
                options.jitter = Some(Jitter::behind(args, index)?);
                index += 1;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            index += 1;
        }
        let counts_from_now = matches!(options.lifetime, Lifetime::Until(unit, _) if !unit.is_absolute());
        if options.jitter.is_some() && !counts_from_now {
            return Err(ReplyError::new("ERR JITTER needs EX or PX"));
        }
        Ok(options)
    }

    /// Notes a condition; of one kind the last one counts, and there may be no other.
    // COMPAT: up to 8.8 Redis accepts NX or XX behind a comparison.
    fn only(&mut self, condition: Condition<'a>) -> Result<(), ReplyError> {
        if !matches!(self.condition, Condition::Always) && !self.condition.is_like(&condition) {
            return Err(ReplyError::SYNTAX);
        }
        self.condition = condition;
        Ok(())
    }
}

/// The value that an argument becomes: a large one as it has arrived, in its own buffer.
#[inline]
fn value_of(args: Args<'_>, index: usize) -> NewValue<'_> {
    match args.shared(index) {
        Some(shared) => NewValue::Shared(Arc::clone(shared)),
        None => NewValue::compact(args.at(index)),
    }
}

pub(super) fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 3 {
        return set_with_options(ctx, args);
    }
    let at = ctx.at;
    ctx.db().set(args.at(1), value_of(args, 2), Ttl::Clear, at);
    ctx.change(Change::new(EventClass::String, "set", args.at(1)));
    ctx.reply.ok();
    Ok(Next::Done)
}

fn set_with_options(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Options { condition, get, lifetime, jitter } = Options::parse(args, &ctx.server.config)?;
    let ttl = match lifetime {
        Lifetime::Until(unit, text) => {
            let (latest_ms, now_ms) = (lifetime::deadline_ms(ctx.command, ctx.at, unit, text)?, ctx.at.unix_ms);
            Ttl::At(match jitter {
                Some(jitter) => now_ms + jitter.shorten(latest_ms - now_ms, &mut ctx.server.prng),
                None => latest_ms,
            })
        }
        Lifetime::Keep => Ttl::Keep,
        Lifetime::Unsaid | Lifetime::Persist => Ttl::Clear,
    };
    let stored = store(ctx, args.at(1), value_of(args, 2), ttl, condition, get)?;
    let is_comparison = matches!(condition, Condition::If(_));
    let outcome = [args.at(0), args.at(1), args.at(2)];
    if stored && let Ttl::At(deadline_ms) = ttl {
        // With PXAT the line says nothing of the present time, and is passed on as it was sent.
        if is_comparison || !matches!(lifetime, Lifetime::Until(Unit::UnixMilliseconds, _)) {
            propagate_with_deadline(ctx, outcome, deadline_ms);
        }
    } else if stored && is_comparison {
        let kept = (lifetime == Lifetime::Keep).then_some(b"KEEPTTL".as_slice());
        ctx.propagate_as(|lines| lines.push(outcome.into_iter().chain(kept)));
    } else if stored && get {
        // What a key held before is of no use to whoever is told.
        ctx.propagate_as(|lines| {
            let is_value = |index: &usize| *index < 3 || !args.is(*index, "GET");
            lines.push((0..args.len()).filter(is_value).map(|index| args.at(index)));
        });
    }
    match (get, stored) {
        (true, _) => {}
        (false, true) => ctx.reply.ok(),
        (false, false) => ctx.reply.null(),
    }
    Ok(Next::Done)
}

/// Passes on a SET whose deadline does not depend on when it is read: the name as it was sent, key and value.
fn propagate_with_deadline(ctx: &mut Ctx<'_>, set: [&[u8]; 3], deadline_ms: i64) {
    ctx.propagate_as(|lines| {
        let mut digits = itoa::Buffer::new();
        lines.push(set.into_iter().chain([b"PXAT".as_slice(), digits.format(deadline_ms).as_bytes()]));
    });
}

/// Stores a value on a condition; true if it was stored. With `get`, writes what the key held before as the reply.
///
/// A deadline that has passed is stored like any other: the key is gone for everyone at once, and expires in due course.
fn store(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    value: NewValue<'_>,
    ttl: Ttl,
    condition: Condition<'_>,
    get: bool,
) -> Result<bool, ReplyError> {
    let Ctx { server, reply, db, at, .. } = ctx;
    let db = &mut server.dbs[*db];
    let mut refusal = None;
    let is_read = get || matches!(condition, Condition::If(_));
    let lookup = match (get, is_read) {
        (true, _) => Lookup::ReadWrite,
        (false, true) => Lookup::Compare,
        (false, false) => Lookup::Write,
    };
    let mut may_store = |old: Option<&Entry>| {
        let text = old.filter(|_| is_read).map(string_in).transpose()?;
        let is_met = condition.is_met(old.is_some(), text.as_ref())?;
        match text {
            Some(text) if get => write_value(reply, &text),
            None if get => reply.null(),
            _ => {}
        }
        Ok(is_met)
    };
    let stored = db.set_if(key, value, ttl, *at, lookup, |old| {
        may_store(old).unwrap_or_else(|error| {
            refusal = Some(error);
            false
        })
    });
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    if stored {
        ctx.change(Change::new(EventClass::String, "set", key));
        if matches!(ttl, Ttl::At(_)) {
            ctx.notify(EventClass::Generic, "expire", key);
        }
    }
    Ok(stored)
}

pub(super) fn setex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    set_for(ctx, args, Unit::Seconds)
}

pub(super) fn psetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    set_for(ctx, args, Unit::Milliseconds)
}

fn set_for(ctx: &mut Ctx<'_>, args: Args<'_>, unit: Unit) -> Outcome {
    let deadline_ms = lifetime::deadline_ms(ctx.command, ctx.at, unit, args.at(2))?;
    let at = ctx.at;
    ctx.db().set(args.at(1), value_of(args, 3), Ttl::At(deadline_ms), at);
    ctx.change(Change::new(EventClass::String, "set", args.at(1)));
    ctx.notify(EventClass::Generic, "expire", args.at(1));
    propagate_with_deadline(ctx, [b"SET", args.at(1), args.at(3)], deadline_ms);
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn setnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let stored = store(ctx, args.at(1), value_of(args, 2), Ttl::Clear, Condition::IfAbsent, false)?;
    ctx.reply.integer(i64::from(stored));
    Ok(Next::Done)
}

pub(super) fn getset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    store(ctx, args.at(1), value_of(args, 2), Ttl::Clear, Condition::Always, true)?;
    ctx.propagate_as(|lines| lines.push([b"SET", args.at(1), args.at(2)]));
    Ok(Next::Done)
}

pub(super) fn getex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let lifetime = getex_lifetime(args)?;
    let Some(entry) = ctx.server.dbs[ctx.db].lookup_read(key, at) else {
        ctx.reply.null();
        return Ok(Next::Done);
    };
    let value = string_in(&entry)?;
    // Only now: Redis does not look at the number when there is no string to give it to.
    let until = match lifetime {
        Lifetime::Until(unit, text) => Some((unit, lifetime::deadline_ms(ctx.command, at, unit, text)?)),
        _ => None,
    };
    let had_deadline = entry.deadline_ms().is_some();
    write_value(&mut ctx.reply, &value);
    let event = match until {
        Some((unit, deadline_ms)) if unit.is_absolute() && deadline_ms <= at.due_ms() => {
            delete(ctx, key);
            ctx.change_past_deadline(key);
            return Ok(Next::Done);
        }
        Some((_, deadline_ms)) => {
            ctx.db().set_deadline(key, Some(deadline_ms), at);
            ctx.propagate_as(|lines| {
                lines.push([b"PEXPIREAT", key, itoa::Buffer::new().format(deadline_ms).as_bytes()]);
            });
            "expire"
        }
        None if lifetime == Lifetime::Persist && had_deadline => {
            ctx.db().set_deadline(key, None, at);
            ctx.propagate_as(|lines| lines.push([b"PERSIST".as_slice(), key]));
            "persist"
        }
        None => return Ok(Next::Done),
    };
    ctx.change(Change::new(EventClass::Generic, event, key));
    Ok(Next::Done)
}

fn getex_lifetime(args: Args<'_>) -> Result<Lifetime<'_>, ReplyError> {
    let mut lifetime = Lifetime::Unsaid;
    let mut index = 2;
    while index < args.len() {
        if let Some(until) = Lifetime::until(args, index) {
            lifetime = lifetime.also(until)?;
            index += 1;
        } else if args.is(index, "PERSIST") {
            lifetime = lifetime.also(Lifetime::Persist)?;
        } else {
            return Err(ReplyError::SYNTAX);
        }
        index += 1;
    }
    Ok(lifetime)
}

pub(super) fn mset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Ok, |ctx, piece, _| {
        set_pairs(ctx, piece, 1, Ttl::Clear);
        Ok(0)
    });
    check_pairs(ctx, args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    set_pairs(ctx, args, 1, Ttl::Clear);
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Any, |ctx, piece, _| {
        set_pairs(ctx, piece, 1, Ttl::Clear);
        // A later piece may have a key again.
        ctx.propagate_as(|lines| lines.push(std::iter::once(b"MSET".as_slice()).chain(piece.iter_from(1))));
        Ok(1)
    })
    .checked(|ctx, piece, _| Ok(is_any_there(ctx, piece, 1).then_some(0)));
    check_pairs(ctx, args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    let taken = is_any_there(ctx, args, 1);
    if !taken {
        set_pairs(ctx, args, 1, Ttl::Clear);
    }
    ctx.reply.integer(i64::from(!taken));
    Ok(Next::Done)
}

/// True if there is one of the keys of pairs, which go from `first` to the end.
pub(super) fn is_any_there(ctx: &mut Ctx<'_>, args: Args<'_>, first: usize) -> bool {
    let (at, db) = (ctx.at, ctx.db());
    args.iter_from(first).step_by(2).any(|key| db.lookup_write(key, at).is_some())
}

/// True if there are all of the keys of pairs, which go from `first` to the end.
pub(super) fn are_all_there(ctx: &mut Ctx<'_>, args: Args<'_>, first: usize) -> bool {
    let (at, db) = (ctx.at, ctx.db());
    args.iter_from(first).step_by(2).all(|key| db.lookup_write(key, at).is_some())
}

fn check_pairs(ctx: &Ctx<'_>, args: Args<'_>) -> Result<(), ReplyError> {
    if args.len() % 2 == 1 { Ok(()) } else { Err(ReplyError::arity(&ctx.command.full_name)) }
}

/// Stores the values of pairs, which go from `first` to the end.
pub(super) fn set_pairs(ctx: &mut Ctx<'_>, args: Args<'_>, first: usize, ttl: Ttl) {
    let at = ctx.at;
    for first in (first..args.len()).step_by(2 * GROUP) {
        let hashes = prefetch(ctx.db(), args.iter_from(first).step_by(2));
        for (hash, index) in hashes.into_iter().zip((first..args.len()).step_by(2)) {
            let key = args.at(index);
            ctx.db().set(key, value_of(args, index + 1), ttl, at.with_hash(key, hash));
            // COMPAT: here the lifetime is told of before the value.
            if matches!(ttl, Ttl::At(_)) {
                ctx.notify(EventClass::Generic, "expire", key);
            }
            ctx.change(Change::new(EventClass::String, "set", key));
        }
    }
}
