//! Several fields at once, with what is to become of them: HGETEX, HSETEX and HGETDEL.

use super::lifetime::{self, Changes, named};
use super::{is_emptied, limits, open, open_or_create, remove_emptied, write_value};
use crate::base::num;
use crate::command::Command;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::Moment;
use crate::store::types::hash::Hash;

const ONE_LIFETIME: ReplyError =
    ReplyError::new("ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified");
const ONE_CONDITION: ReplyError = ReplyError::new("ERR Only one of FXX or FNX arguments can be specified");
const BAD_COUNT: ReplyError = ReplyError::new("ERR invalid number of fields");

/// What is to become of the deadlines of fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// Nothing is said of it.
    Unsaid,
    /// `KEEPTTL`: they stay.
    Keep,
    /// `PERSIST`: they go.
    Persist,
    /// A new one, in Unix milliseconds.
    Until(i64),
}

/// The milliseconds of a unit, and whether it counts from now: of the option at an index, if it names a moment.
fn unit(args: Args<'_>, index: usize) -> Option<(i64, bool)> {
    let units = [("EX", 1000, true), ("PX", 1, true), ("EXAT", 1000, false), ("PXAT", 1, false)];
    units.into_iter().find(|(name, ..)| args.is(index, name)).map(|(_, unit_ms, relative)| (unit_ms, relative))
}

/// The moment that the option at an index names together with the argument after it.
fn moment(command: &Command, args: Args<'_>, index: usize, at: Moment) -> Result<Option<i64>, ReplyError> {
    let (Some((unit_ms, relative)), Some(text)) = (unit(args, index), args.get(index + 1)) else { return Ok(None) };
    let base_ms = if relative { at.unix_ms } else { 0 };
    lifetime::deadline_ms(command, text, unit_ms, base_ms).map(Some)
}

/// The options and fields of HGETEX.
fn parse_hgetex<'a>(command: &Command, args: Args<'a>, at: Moment) -> Result<(Lifetime, Args<'a>), ReplyError> {
    if args.is(2, "PERSIST") {
        return Ok((Lifetime::Persist, named(args, 3)?));
    }
    match moment(command, args, 2, at)? {
        Some(deadline_ms) => {
            // What follows cannot name a field. Of lines as short without a deadline, the place of FIELDS is told.
            if args.len() == 5 {
                return Err(ReplyError::arity(&command.full_name));
            }
            Ok((Lifetime::Until(deadline_ms), named(args, 4)?))
        }
        None => Ok((Lifetime::Unsaid, named(args, 2)?)),
    }
}

pub(super) fn hgetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    // A key of another type is complained of first.
    let parsed = parse_hgetex(ctx.command, args, at);
    let Ctx { server, reply, db, .. } = ctx;
    let hasher = server.hasher;
    let mut hash = open(server, *db, key, at)?;
    let (lifetime, fields) = parsed?;
    if let Some(hash) = hash.as_mut().filter(|_| lifetime != Lifetime::Unsaid) {
        hash.make_timed(hasher);
    }
    let mut changes = Changes::default();
    reply.array(fields.len());
    for field in fields.iter_from(0) {
        let found = write_value(reply, hash.as_deref(), field, at.unix_ms);
        let Some(hash) = hash.as_mut().filter(|_| found) else { continue };
        match lifetime {
            Lifetime::Unsaid | Lifetime::Keep => {}
            Lifetime::Until(deadline_ms) => changes.set(hash, field, deadline_ms, at.unix_ms, hasher),
            Lifetime::Persist => {
                if hash.get(field, at.unix_ms).is_some_and(|found| found.deadline_ms().is_some()) {
                    changes.drop_deadline(hash, field);
                }
            }
        }
    }
    changes.emptied = hash.as_deref().is_some_and(is_emptied);
    drop(hash);
    changes.tell(ctx, key);
    Ok(Next::Done)
}

pub(super) fn hgetdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, fields) = (args.at(1), ctx.at, named(args, 2));
    let Ctx { server, reply, db, .. } = ctx;
    let mut hash = open(server, *db, key, at)?;
    let (fields, mut deleted) = (fields?, false);
    reply.array(fields.len());
    for field in fields.iter_from(0) {
        let found = write_value(reply, hash.as_deref(), field, at.unix_ms);
        if let Some(hash) = hash.as_mut().filter(|_| found) {
            deleted |= hash.remove(field, at.unix_ms);
        }
    }
    let emptied = hash.as_deref().is_some_and(is_emptied);
    drop(hash);
    if deleted {
        ctx.changed(EventClass::Hash, "hdel", key);
    }
    if emptied {
        remove_emptied(ctx, key);
    }
    Ok(Next::Done)
}

/// Which fields have to be there for HSETEX to set them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Always,
    /// `FNX`: none of them.
    NoneThere,
    /// `FXX`: all of them.
    AllThere,
}

/// What HSETEX is asked to do.
struct Setting<'a> {
    condition: Condition,
    lifetime: Lifetime,
    /// Fields and values in turn.
    pairs: Args<'a>,
}

impl<'a> Setting<'a> {
    fn parse(command: &Command, args: Args<'a>, at: Moment) -> Result<Setting<'a>, ReplyError> {
        let (mut condition, mut lifetime, mut i) = (Condition::Always, Lifetime::Unsaid, 2);
        while i < args.len() {
            let given = match () {
                _ if args.is(i, "FNX") => Some(Condition::NoneThere),
                _ if args.is(i, "FXX") => Some(Condition::AllThere),
                _ => None,
            };
            if let Some(given) = given {
                if condition != Condition::Always {
                    return Err(ONE_CONDITION);
                }
                condition = given;
                i += 1;
            } else if args.is(i, "KEEPTTL") || unit(args, i).is_some() {
                if lifetime != Lifetime::Unsaid {
                    return Err(ONE_LIFETIME);
                }
                let deadline_ms = moment(command, args, i, at)?;
                lifetime = deadline_ms.map_or(Lifetime::Keep, Lifetime::Until);
                i += if deadline_ms.is_some() { 2 } else { 1 };
            } else if args.is(i, "FIELDS") && i + 3 < args.len() {
                let count = num::parse_i64(args.at(i + 1)).filter(|&count| count > 0);
                let count = count.filter(|&count| count <= i64::from(i32::MAX)).ok_or(BAD_COUNT)?;
                let pairs = args.tail(i + 2);
                if pairs.len() as i64 != 2 * count {
                    return Err(ReplyError::arity(&command.full_name));
                }
                return Ok(Setting { condition, lifetime, pairs });
            } else if args.is(i, "FIELDS") {
                return Err(ReplyError::arity(&command.full_name));
            } else {
                return Err(ReplyError::about("ERR unknown argument: ", args.at(i), ""));
            }
        }
        Err(ReplyError::arity(&command.full_name))
    }

    /// Whether the fields that are there let it be done.
    fn allowed(&self, hash: Option<&Hash>, now_ms: i64) -> bool {
        let is_there = |field| hash.is_some_and(|hash| hash.get(field, now_ms).is_some());
        let mut fields = self.pairs.iter_from(0).step_by(2);
        match self.condition {
            Condition::Always => true,
            Condition::NoneThere => !fields.any(is_there),
            Condition::AllThere => fields.all(is_there),
        }
    }
}

pub(super) fn hsetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, limits) = (args.at(1), ctx.at, limits(ctx.server));
    let setting = Setting::parse(ctx.command, args, at)?;
    let present = open(ctx.server, ctx.db, key, at)?;
    let allowed = setting.allowed(present.as_deref(), at.unix_ms);
    drop(present);
    if !allowed {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    }
    let Setting { lifetime, pairs, .. } = setting;
    let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
    hash.expect_fields(pairs.len() / 2, &limits);
    // A deadline that is to be replaced stays until then.
    let keep = lifetime != Lifetime::Unsaid;
    for i in (0..pairs.len()).step_by(2) {
        hash.set(pairs.at(i), pairs.at(i + 1), keep, at.unix_ms, &limits);
    }
    let mut changes = Changes::default();
    if let Lifetime::Until(deadline_ms) = lifetime {
        hash.make_timed(limits.hasher);
        let mut set = |field| changes.set(&mut hash, field, deadline_ms, at.unix_ms, limits.hasher);
        pairs.iter_from(0).step_by(2).for_each(&mut set);
    }
    changes.emptied = is_emptied(&hash);
    drop(hash);
    ctx.changed(EventClass::Hash, "hset", key);
    changes.tell(ctx, key);
    ctx.reply.integer(1);
    Ok(Next::Done)
}
