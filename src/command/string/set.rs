//! Storing whole values, and how long they live.

use std::sync::Arc;

use super::lifetime::{self, Lifetime, Unit};
use super::{GROUP, delete, prefetch, string_in, write_value};
use crate::command::pieces::{self, Answer, Plan};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::{Lookup, Ttl};
use crate::store::entry::NewValue;

/// On what condition a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    /// `NX`
    IfAbsent,
    /// `XX`
    IfPresent,
}

/// The options of SET.
struct Options<'a> {
    condition: Condition,
    get: bool,
    lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>) -> Result<Options<'a>, ReplyError> {
        let mut options = Options { condition: Condition::Always, get: false, lifetime: Lifetime::Unsaid };
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
            } else {
                return Err(ReplyError::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }

    fn only(&mut self, condition: Condition) -> Result<(), ReplyError> {
        if self.condition != Condition::Always && self.condition != condition {
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
    let Options { condition, get, lifetime } = Options::parse(args)?;
    let ttl = match lifetime {
        Lifetime::Until(unit, text) => Ttl::At(lifetime::deadline_ms(ctx.command, ctx.at, unit, text)?),
        Lifetime::Keep => Ttl::Keep,
        Lifetime::Unsaid | Lifetime::Persist => Ttl::Clear,
    };
    let stored = store(ctx, args.at(1), value_of(args, 2), ttl, condition, get)?;
    if stored && let Ttl::At(deadline_ms) = ttl {
        // With PXAT the line says nothing of the present time, and is passed on as it was sent.
        if !matches!(lifetime, Lifetime::Until(Unit::UnixMilliseconds, _)) {
            propagate_with_deadline(ctx, [args.at(0), args.at(1), args.at(2)], deadline_ms);
        }
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
    condition: Condition,
    get: bool,
) -> Result<bool, ReplyError> {
    let Ctx { server, reply, db, at, .. } = ctx;
    let db = &mut server.dbs[*db];
    let (mut found, mut refusal) = (false, None);
    let lookup = if get { Lookup::ReadWrite } else { Lookup::Write };
    let stored = db.set_if(key, value, ttl, *at, lookup, |old| {
        found = old.is_some();
        if get {
            match old.map(string_in) {
                Some(Ok(old)) => write_value(reply, &old),
                Some(Err(error)) => {
                    refusal = Some(error);
                    return false;
                }
                None => reply.null(),
            }
        }
        match condition {
            Condition::Always => true,
            Condition::IfAbsent => !found,
            Condition::IfPresent => found,
        }
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
        set_pairs(ctx, piece);
        Ok(0)
    });
    check_pairs(ctx, args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    set_pairs(ctx, args);
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn msetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Any, |ctx, piece, _| {
        set_pairs(ctx, piece);
        // A later piece may have a key again.
        ctx.propagate_as(|lines| lines.push(std::iter::once(b"MSET".as_slice()).chain(piece.iter_from(1))));
        Ok(1)
    })
    .checked(|ctx, piece, _| Ok(is_any_there(ctx, piece).then_some(0)));
    check_pairs(ctx, args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    let taken = is_any_there(ctx, args);
    if !taken {
        set_pairs(ctx, args);
    }
    ctx.reply.integer(i64::from(!taken));
    Ok(Next::Done)
}

/// True if there is one of the keys of a line of pairs.
fn is_any_there(ctx: &mut Ctx<'_>, args: Args<'_>) -> bool {
    let (at, db) = (ctx.at, ctx.db());
    args.iter_from(1).step_by(2).any(|key| db.lookup_write(key, at).is_some())
}

fn check_pairs(ctx: &Ctx<'_>, args: Args<'_>) -> Result<(), ReplyError> {
    if args.len() % 2 == 1 { Ok(()) } else { Err(ReplyError::arity(&ctx.command.full_name)) }
}

fn set_pairs(ctx: &mut Ctx<'_>, args: Args<'_>) {
    let at = ctx.at;
    for first in (1..args.len()).step_by(2 * GROUP) {
        let hashes = prefetch(ctx.db(), args.iter_from(first).step_by(2));
        for (hash, index) in hashes.into_iter().zip((first..args.len()).step_by(2)) {
            let key = args.at(index);
            ctx.db().set(key, value_of(args, index + 1), Ttl::Clear, at.with_hash(key, hash));
            ctx.change(Change::new(EventClass::String, "set", key));
        }
    }
}
