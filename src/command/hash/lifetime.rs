//! Deadlines of fields: setting, asking and dropping them.

use super::{is_emptied, open, remove_emptied};
use crate::base::num;
use crate::command::Command;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::propagation::Lines;
use crate::store::hash::KeyHasher;
use crate::store::types::hash::{DEADLINE_END, Hash};

/// What is answered for a field that is not there.
const NO_FIELD: i64 = -2;
/// For a field without a deadline.
const NO_DEADLINE: i64 = -1;
/// For a field whose deadline the condition protects.
const REFUSED: i64 = 0;
/// For a field whose deadline was set or dropped.
const DONE: i64 = 1;
/// For a field that is gone, since its new deadline has passed.
const REMOVED: i64 = 2;

const MS_PER_S: i64 = 1000;

const NEGATIVE: ReplyError = ReplyError::new("ERR invalid expire time, must be >= 0");
const NO_FIELDS: ReplyError = ReplyError::new("ERR Mandatory argument FIELDS is missing or not at the right position");
const BAD_COUNT: ReplyError = ReplyError::new("ERR Number of fields must be a positive integer");
const BAD_COUNT_OF_SETTER: ReplyError = ReplyError::new("ERR Parameter `numFields` should be greater than 0");
const TOO_FEW: ReplyError = ReplyError::new("ERR wrong number of arguments");
pub(super) const FIELDS_MISSING: ReplyError = ReplyError::new("ERR missing FIELDS argument");
pub(super) const FIELDS_AGAIN: ReplyError = ReplyError::new("ERR FIELDS keyword specified multiple times");
const FIELDS_ALONE: ReplyError = ReplyError::new("ERR FIELDS requires at least numfields and one field argument");
const CONDITIONS: ReplyError = ReplyError::new("ERR Multiple condition flags specified");
const COUNT_MISMATCH: ReplyError = ReplyError::new("ERR The `numfields` parameter must match the number of arguments");

/// The deadline that a number means: `unit_ms` milliseconds each, from `base_ms` on.
pub(super) fn deadline_ms(command: &Command, text: &[u8], unit_ms: i64, base_ms: i64) -> Result<i64, ReplyError> {
    let number = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    if number < 0 {
        return Err(NEGATIVE);
    }
    let deadline_ms = number.checked_mul(unit_ms).and_then(|ms| ms.checked_add(base_ms));
    deadline_ms.filter(|&ms| ms < DEADLINE_END).ok_or_else(|| ReplyError::invalid_expire(&command.full_name))
}

/// The fields that follow `FIELDS` and their number, which stand at an index.
pub(super) fn named<'a>(args: Args<'a>, index: usize) -> Result<Args<'a>, ReplyError> {
    if index >= args.len() || !args.is(index, "FIELDS") {
        return Err(NO_FIELDS);
    }
    let count = args.get(index + 1).and_then(num::parse_i64).filter(|&count| count > 0).ok_or(BAD_COUNT)?;
    let fields = args.tail(index + 2);
    if fields.len() as i64 == count { Ok(fields) } else { Err(COUNT_MISMATCH) }
}

/// The arguments that the word FIELDS at an index takes, with its number behind it: `width` for each field. More may follow.
pub(super) fn counted<'a>(
    args: Args<'a>,
    index: usize,
    width: usize,
    bad_count: ReplyError,
) -> Result<Args<'a>, ReplyError> {
    let count = num::parse_i64(args.at(index + 1)).and_then(|count| i32::try_from(count).ok());
    let taken = count.filter(|&count| count > 0).ok_or(bad_count)? as usize * width;
    let rest = args.tail(index + 2);
    if rest.len() < taken { Err(TOO_FEW) } else { Ok(rest.up_to(taken)) }
}

/// What is answered to a word that is none of the options.
pub(super) fn unknown(word: &[u8]) -> ReplyError {
    ReplyError::about("ERR unknown argument: ", word, "")
}

/// What the present deadline must be like for a new one to be set.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    None,
    Nx,
    Xx,
    Gt,
    Lt,
}

impl Condition {
    const NAMES: [(&'static str, Condition); 4] =
        [("NX", Condition::Nx), ("XX", Condition::Xx), ("GT", Condition::Gt), ("LT", Condition::Lt)];

    fn at(args: Args<'_>, index: usize) -> Option<Condition> {
        Condition::NAMES.into_iter().find(|(name, _)| args.is(index, name)).map(|(_, condition)| condition)
    }

    /// The word for it, if there is one.
    fn word(self) -> Option<&'static str> {
        Condition::NAMES.into_iter().find(|(_, condition)| *condition == self).map(|(word, _)| word)
    }

    /// No deadline counts as one that never comes.
    fn allows(self, old: Option<i64>, new: i64) -> bool {
        match self {
            Condition::None => true,
            Condition::Nx => old.is_none(),
            Condition::Xx => old.is_some(),
            Condition::Gt => old.is_some_and(|old| new > old),
            Condition::Lt => old.is_none_or(|old| new < old),
        }
    }
}

/// What HEXPIRE and its kin are asked to do.
struct Setting<'a> {
    deadline_ms: i64,
    condition: Condition,
    fields: Args<'a>,
}

impl<'a> Setting<'a> {
    fn parse(command: &Command, args: Args<'a>, unit_ms: i64, base_ms: i64) -> Result<Setting<'a>, ReplyError> {
        let deadline_ms = deadline_ms(command, args.at(2), unit_ms, base_ms)?;
        let (mut condition, mut fields, mut conflict, mut i) = (Condition::None, None, false, 3);
        while i < args.len() {
            if let Some(given) = Condition::at(args, i) {
                conflict |= condition != Condition::None && condition != given;
                condition = given;
                i += 1;
            } else if !args.is(i, "FIELDS") {
                return Err(unknown(args.at(i)));
            } else if fields.is_some() {
                return Err(FIELDS_AGAIN);
            } else if i + 2 >= args.len() {
                return Err(FIELDS_ALONE);
            } else {
                let named = counted(args, i, 1, BAD_COUNT_OF_SETTER)?;
                i += 2 + named.len();
                fields = Some(named);
            }
        }
        let fields = fields.ok_or(FIELDS_MISSING)?;
        if conflict { Err(CONDITIONS) } else { Ok(Setting { deadline_ms, condition, fields }) }
    }
}

pub(super) fn hexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    expire(ctx, args, MS_PER_S, ctx.at.unix_ms)
}

pub(super) fn hpexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    expire(ctx, args, 1, ctx.at.unix_ms)
}

pub(super) fn hexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    expire(ctx, args, MS_PER_S, 0)
}

pub(super) fn hpexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    expire(ctx, args, 1, 0)
}

/// Sets the deadline that the second argument names, in units of `unit_ms` from `base_ms` on.
fn expire(ctx: &mut Ctx<'_>, args: Args<'_>, unit_ms: i64, base_ms: i64) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    // A key of another type is complained of first.
    let setting = Setting::parse(ctx.command, args, unit_ms, base_ms);
    let Ctx { server, reply, db, .. } = ctx;
    let (hasher, is_propagated) = (server.dbs.hasher, server.propagation.is_wanted());
    let mut opened = open(server, *db, key, at)?;
    let Setting { deadline_ms, condition, fields } = setting?;
    reply.array(fields.len());
    let Some(hash) = &mut opened else {
        fields.iter_from(0).for_each(|_| reply.integer(NO_FIELD));
        return Ok(Next::Done);
    };
    hash.make_timed(hasher);
    let (mut changes, passed) = (Changes::default(), deadline_ms <= at.due_ms());
    let mut changed = Vec::new();
    for field in fields.iter_from(0) {
        let old = hash.get(field, at.due_ms()).map(|found| found.deadline_ms());
        reply.integer(match old {
            None => NO_FIELD,
            Some(old) if !condition.allows(old, deadline_ms) => REFUSED,
            Some(_) => {
                changes.set(hash, field, deadline_ms, at.due_ms(), hasher);
                if is_propagated {
                    changed.push(field);
                }
                if passed { REMOVED } else { DONE }
            }
        });
    }
    changes.emptied = is_emptied(hash);
    drop(opened);
    if changes.any() {
        // A command that says nothing of the present time stays as it was sent.
        let name = if (unit_ms, base_ms) == (1, 0) { args.at(0) } else { b"HPEXPIREAT" };
        ctx.propagate_as(|lines| {
            propagate_deadline(lines, name, key, deadline_ms, passed, condition.word(), &changed);
        });
    }
    changes.tell(ctx, key);
    Ok(Next::Done)
}

/// Passes on that fields got a deadline, on a condition which they met; or that they are gone, if it had passed.
pub(super) fn propagate_deadline(
    lines: &mut Lines<'_>,
    name: &[u8],
    key: &[u8],
    deadline_ms: i64,
    passed: bool,
    condition: Option<&str>,
    fields: &[&[u8]],
) {
    if passed {
        return fields.iter().for_each(|field| lines.push([b"HDEL", key, *field]));
    }
    let (mut deadline, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
    let line = [name, key, deadline.format(deadline_ms).as_bytes()];
    let named = [b"FIELDS", count.format(fields.len()).as_bytes()];
    let condition = condition.map(str::as_bytes);
    lines.push(line.into_iter().chain(condition).chain(named).chain(fields.iter().copied()));
}

/// What setting and dropping deadlines has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Changes {
    /// Fields got a deadline.
    set: bool,
    /// Fields lost theirs.
    dropped: bool,
    /// Fields are gone, since the deadline had passed.
    removed: bool,
    /// No field is left.
    pub emptied: bool,
}

impl Changes {
    /// Sets the deadline of a field that is there, which is its end if the deadline has passed. `hasher` is a table's, if the
    /// hash has to become one.
    pub fn set(&mut self, hash: &mut Hash, field: &[u8], deadline_ms: i64, now_ms: i64, hasher: KeyHasher) {
        if deadline_ms <= now_ms {
            self.removed |= hash.remove(field, now_ms);
        } else {
            hash.set_deadline(field, deadline_ms, hasher);
            self.set = true;
        }
    }

    /// Drops the deadline of a field that has one.
    pub fn drop_deadline(&mut self, hash: &mut Hash, field: &[u8]) {
        hash.drop_deadline(field);
        self.dropped = true;
    }

    /// True if there was one.
    pub fn any(self) -> bool {
        self.set || self.dropped || self.removed
    }

    /// Counts the change and tells of it, unless there was none.
    pub fn tell(self, ctx: &mut Ctx<'_>, key: &[u8]) {
        let Changes { set, dropped, removed, emptied } = self;
        for (happened, event) in [(set, "hexpire"), (removed, "hdel"), (dropped, "hpersist")] {
            if happened {
                ctx.change(Change::new(EventClass::Hash, event, key));
            }
        }
        if emptied {
            remove_emptied(ctx, key);
        }
    }
}

pub(super) fn httl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.at.unix_ms;
    answer(ctx, args, |deadline_ms| rounded_up_s(deadline_ms - now_ms))
}

pub(super) fn hpttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.at.unix_ms;
    answer(ctx, args, |deadline_ms| deadline_ms - now_ms)
}

pub(super) fn hexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, rounded_up_s)
}

pub(super) fn hpexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, |deadline_ms| deadline_ms)
}

fn rounded_up_s(ms: i64) -> i64 {
    (ms + MS_PER_S - 1) / MS_PER_S
}

/// Answers a figure of each field's deadline.
fn answer(ctx: &mut Ctx<'_>, args: Args<'_>, figure: impl Fn(i64) -> i64) -> Outcome {
    let fields = named(args, 2);
    let Ctx { server, reply, db, at, .. } = ctx;
    let hash = server.dbs[*db].read::<Hash>(args.at(1), *at)?;
    let fields = fields?;
    reply.array(fields.len());
    for field in fields.iter_from(0) {
        let found = hash.as_ref().and_then(|hash| hash.get(field, at.due_ms()));
        reply.integer(match found.map(|found| found.deadline_ms()) {
            None => NO_FIELD,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline_ms)) => figure(deadline_ms),
        });
    }
    Ok(Next::Done)
}

pub(super) fn hpersist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, fields) = (args.at(1), ctx.at, named(args, 2));
    let Ctx { server, reply, db, .. } = ctx;
    let mut hash = open(server, *db, key, at)?;
    let fields = fields?;
    let mut changes = Changes::default();
    reply.array(fields.len());
    for field in fields.iter_from(0) {
        let old = hash.as_ref().and_then(|hash| hash.get(field, at.due_ms()).map(|found| found.deadline_ms()));
        reply.integer(match (old, &mut hash) {
            (Some(Some(_)), Some(hash)) => {
                changes.drop_deadline(hash, field);
                DONE
            }
            (Some(_), _) => NO_DEADLINE,
            (None, _) => NO_FIELD,
        });
    }
    drop(hash);
    changes.tell(ctx, key);
    Ok(Next::Done)
}
