//! Several fields at once, with what is to become of them: HGETEX, HSETEX and HGETDEL.

use super::{is_emptied, limits, open, open_or_create, remove_emptied, write_value};
use crate::command::Command;
use crate::command::lifetime::{self, Changes, Given, Lifetime, ONE_LIFETIME_TO_SET, OTHERS_ARGUMENT, Timed, named};
use crate::command::pieces::{self, Within};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::propagation::Lines;
use crate::store::db::Moment;
use crate::store::types::hash::Hash;

const ONE_LIFETIME_TO_GET: ReplyError =
    ReplyError::new("ERR Only one of EX, PX, EXAT, PXAT or PERSIST arguments can be specified");
const ONE_CONDITION: ReplyError = ReplyError::new("ERR Only one of FXX or FNX arguments can be specified");
const BAD_COUNT: ReplyError = ReplyError::new("ERR invalid number of fields");

pub(super) fn hgetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    // A key of another type is complained of first.
    let parsed = Options::parse(Line::Get, ctx.command, args, at);
    let mut changes = Changes::new(ctx, Hash::WORDS, false);
    let Ctx { server, reply, db, .. } = ctx;
    let hasher = server.dbs.hasher;
    let mut hash = open(server, *db, key, at)?;
    let Options { lifetime, fields, .. } = parsed?;
    if let Some(hash) = hash.as_mut().filter(|_| lifetime != Lifetime::Unsaid) {
        hash.make_timed(hasher);
    }
    let passed = matches!(lifetime, Lifetime::Until(deadline_ms) if deadline_ms <= at.due_ms());
    let mut gone = Vec::new();
    reply.array(fields.len());
    for field in fields.iter_from(0) {
        let found = write_value(reply, hash.as_deref(), field, at.due_ms());
        let Some(hash) = hash.as_mut().filter(|_| found) else { continue };
        if passed {
            gone.push(field);
        }
        match lifetime {
            Lifetime::Unsaid | Lifetime::Keep => {}
            Lifetime::Until(deadline_ms) => changes.set(&mut **hash, field, deadline_ms, at.due_ms(), hasher),
            Lifetime::Persist => {
                if hash.get(field, at.due_ms()).is_some_and(|found| found.deadline_ms().is_some()) {
                    changes.drop_deadline(&mut **hash, field, hasher);
                }
            }
        }
    }
    changes.emptied = hash.as_deref().is_some_and(is_emptied);
    drop(hash);
    if changes.any() {
        ctx.propagate_as(|lines| match lifetime {
            Lifetime::Until(deadline_ms) => {
                let fields = if passed { gone } else { fields.iter_from(0).collect() };
                lifetime::propagate_deadline(
                    lines,
                    Hash::WORDS,
                    b"HPEXPIREAT",
                    key,
                    deadline_ms,
                    passed,
                    None,
                    &fields,
                );
            }
            _ => {
                let mut digits = itoa::Buffer::new();
                let line = [b"HPERSIST", key, b"FIELDS", digits.format(fields.len()).as_bytes()];
                lines.push(line.into_iter().chain(fields.iter_from(0)));
            }
        });
    }
    changes.tell(ctx, key);
    Ok(Next::Done)
}

pub(super) fn hgetdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, fields) = (args.at(1), ctx.at, named(args, 2, Hash::WORDS));
    let (is_naming, mut names) = (ctx.names_subkeys(EventClass::Hash), Vec::new());
    let Ctx { server, reply, db, .. } = ctx;
    let mut hash = open(server, *db, key, at)?;
    let (fields, mut deleted) = (fields?, false);
    reply.array(fields.len());
    for field in fields.iter_from(0) {
        let found = write_value(reply, hash.as_deref(), field, at.due_ms());
        if let Some(hash) = hash.as_mut().filter(|_| found) {
            deleted |= hash.remove(field, at.due_ms());
            if is_naming {
                names.push(field);
            }
        }
    }
    let emptied = hash.as_deref().is_some_and(is_emptied);
    drop(hash);
    if deleted {
        ctx.change(Change::new(EventClass::Hash, "hdel", key));
        ctx.notify_subkeys(EventClass::Hash, "hdel", key, names.into_iter());
        ctx.propagate_as(|lines| lines.push([b"HDEL".as_slice(), key].into_iter().chain(fields.iter_from(0))));
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

impl Condition {
    fn at(args: Args<'_>, index: usize) -> Option<Condition> {
        let names = [("FNX", Condition::NoneThere), ("FXX", Condition::AllThere)];
        names.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, condition)| condition)
    }
}

/// Whether the key has to be there for HSETEX, as in Valkey.
#[derive(Clone, Copy, PartialEq, Eq)]
enum KeyCondition {
    Always,
    /// `NX`
    IfAbsent,
    /// `XX`
    IfPresent,
}

impl KeyCondition {
    fn at(args: Args<'_>, index: usize) -> Option<KeyCondition> {
        let names = [("NX", KeyCondition::IfAbsent), ("XX", KeyCondition::IfPresent)];
        names.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, condition)| condition)
    }
}

/// Which of the two commands a line is of that take options and fields in any order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// HGETEX, whose fields have no values.
    Get,
    /// HSETEX.
    Set,
}

/// What a line of HGETEX or HSETEX asks for.
struct Options<'a> {
    condition: Condition,
    key_condition: KeyCondition,
    /// Where the words stand that say it.
    key_condition_at: Vec<usize>,
    lifetime: Lifetime,
    /// Where the word stands that says it.
    lifetime_at: usize,
    /// Fields; of HSETEX fields and values in turn.
    fields: Args<'a>,
    /// Where the first of them stands.
    first: usize,
    /// The fields are some of the line's.
    is_part: bool,
}

impl<'a> Options<'a> {
    fn parse(line: Line, command: &Command, args: Args<'a>, at: Moment) -> Result<Options<'a>, ReplyError> {
        let (mut condition, mut lifetime, mut fields, mut i) = (Condition::Always, Lifetime::Unsaid, None, 2);
        let (mut key_condition, mut key_condition_at) = (KeyCondition::Always, Vec::new());
        let (mut lifetime_at, mut first) = (0, 0);
        let (width, one_lifetime, no_lifetime) = match line {
            Line::Get => (1, ONE_LIFETIME_TO_GET, "KEEPTTL"),
            Line::Set => (2, ONE_LIFETIME_TO_SET, "PERSIST"),
        };
        while i < args.len() {
            if let Some(given) = Condition::at(args, i) {
                if line == Line::Get {
                    return Err(OTHERS_ARGUMENT);
                }
                if condition != Condition::Always {
                    return Err(ONE_CONDITION);
                }
                condition = given;
                i += 1;
            } else if let Some(given) = KeyCondition::at(args, i).filter(|_| line == Line::Set) {
                if key_condition != KeyCondition::Always && key_condition != given {
                    return Err(ReplyError::SYNTAX);
                }
                key_condition = given;
                key_condition_at.push(i);
                i += 1;
            } else if args.is(i, no_lifetime) {
                return Err(OTHERS_ARGUMENT);
            } else if let Some(given) = Given::at(args, i) {
                if lifetime != Lifetime::Unsaid {
                    return Err(one_lifetime);
                }
                lifetime_at = i;
                (lifetime, i) = given.read(command, args, i, at)?;
            } else if !args.is(i, "FIELDS") {
                return Err(lifetime::unknown(args.at(i)));
            } else if fields.is_some() {
                return Err(Hash::WORDS.again.clone());
            } else if i + 1 == args.len() {
                return Err(ReplyError::arity(&command.full_name));
            } else {
                let counted = lifetime::counted(args, i, width, BAD_COUNT)?;
                first = i + 2;
                i = first + counted.len();
                fields = Some(counted);
            }
        }
        let fields = fields.ok_or_else(|| Hash::WORDS.missing.clone())?;
        Ok(Options { condition, key_condition, key_condition_at, lifetime, lifetime_at, fields, first, is_part: false })
    }

    /// The same of some of the fields.
    fn of<'p>(self, fields: Args<'p>) -> Options<'p>
    where
        'a: 'p,
    {
        Options { fields, is_part: true, ..self }
    }

    /// Whether the key and the fields that are there let it be done.
    fn allowed(&self, hash: Option<&Hash>, now_ms: i64) -> bool {
        match (self.key_condition, hash) {
            (KeyCondition::IfAbsent, Some(_)) | (KeyCondition::IfPresent, None) => return false,
            _ => {}
        }
        let is_there = |field| hash.is_some_and(|hash| hash.get(field, now_ms).is_some());
        let mut fields = self.fields.iter_from(0).step_by(2);
        match self.condition {
            Condition::Always => true,
            Condition::NoneThere => !fields.any(is_there),
            Condition::AllThere => fields.all(is_there),
        }
    }
}

/// A part of a line but for some words, which Redis does not know.
fn without<'a>(args: Args<'a>, part: std::ops::Range<usize>, words: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    part.filter(|index| !words.contains(index)).map(move |index| args.at(index))
}

pub(super) fn hsetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Within = Within {
        width: 2,
        is_array: false,
        check: |ctx, line, fields| {
            let options = Options::parse(Line::Set, ctx.command, line, ctx.at)?;
            is_let_by(ctx, line.at(1), &options.of(fields))
        },
        work: |ctx, line, fields, expected| {
            let options = Options::parse(Line::Set, ctx.command, line, ctx.at)?;
            set_fields(ctx, line, options.of(fields), expected)
        },
    };
    let key = args.at(1);
    let options = Options::parse(Line::Set, ctx.command, args, ctx.at)?;
    if ctx.is_long_line(args) {
        return pieces::begin_within(ctx, options.first..options.first + options.fields.len(), &LONG);
    }
    let is_let = is_let_by(ctx, key, &options)?;
    if is_let {
        let expected = options.fields.len() / 2;
        set_fields(ctx, args, options, expected)?;
    }
    ctx.reply.integer(i64::from(is_let));
    Ok(Next::Done)
}

/// Whether the fields that are there let these be set.
fn is_let_by(ctx: &mut Ctx<'_>, key: &[u8], options: &Options<'_>) -> Result<bool, ReplyError> {
    let at = ctx.at;
    let present = open(ctx.server, ctx.db, key, at)?;
    Ok(options.allowed(present.as_deref(), at.due_ms()))
}

/// Sets fields with their deadline.
fn set_fields(ctx: &mut Ctx<'_>, args: Args<'_>, options: Options<'_>, expected: usize) -> Result<(), ReplyError> {
    let (key, at, limits) = (args.at(1), ctx.at, limits(ctx.server));
    let Options { lifetime, lifetime_at, key_condition_at, fields: pairs, is_part, .. } = options;
    let mut changes = Changes::new(ctx, Hash::WORDS, false);
    let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
    if expected > 0 {
        hash.expect_fields(expected, &limits);
    }
    // A deadline that is to be replaced stays until then.
    let keep = lifetime != Lifetime::Unsaid;
    for i in (0..pairs.len()).step_by(2) {
        hash.set(pairs.at(i), pairs.at(i + 1), keep, at.due_ms(), &limits);
    }
    if let Lifetime::Until(deadline_ms) = lifetime {
        hash.make_timed(limits.hasher);
        let mut set = |field| changes.set(&mut *hash, field, deadline_ms, at.due_ms(), limits.hasher);
        pairs.iter_from(0).step_by(2).for_each(&mut set);
    }
    changes.emptied = is_emptied(&hash);
    drop(hash);
    ctx.change(Change::new(EventClass::Hash, "hset", key));
    ctx.notify_subkeys(EventClass::Hash, "hset", key, pairs.iter_from(0).step_by(2));
    if let Lifetime::Until(deadline_ms) = lifetime {
        ctx.propagate_as(|lines| {
            if deadline_ms <= at.due_ms() {
                return lines.push([b"HDEL".as_slice(), key].into_iter().chain(pairs.iter_from(0).step_by(2)));
            }
            let mut digits = itoa::Buffer::new();
            let until = [b"PXAT".as_slice(), digits.format(deadline_ms).as_bytes()];
            if is_part {
                return propagate_pairs(lines, key, &until, pairs);
            }
            let before = without(args, 0..lifetime_at, &key_condition_at);
            let behind = without(args, lifetime_at + 2..args.len(), &key_condition_at);
            lines.push(before.chain(until).chain(behind));
        });
    } else if is_part {
        let options: &[&[u8]] = if lifetime == Lifetime::Unsaid { &[] } else { &[b"KEEPTTL"] };
        ctx.propagate_as(|lines| propagate_pairs(lines, key, options, pairs));
    } else if !key_condition_at.is_empty() {
        ctx.propagate_as(|lines| lines.push(without(args, 0..args.len(), &key_condition_at)));
    }
    changes.tell(ctx, key);
    Ok(())
}

/// Passes on that some fields of a line were set.
fn propagate_pairs(lines: &mut Lines<'_>, key: &[u8], options: &[&[u8]], pairs: Args<'_>) {
    let given = (0..pairs.len()).map(|index| pairs.at(index));
    lifetime::propagate_part(lines, Hash::WORDS, [b"HSETEX", key], options, 2, given);
}
