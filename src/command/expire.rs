//! Deadlines of keys: setting, asking and dropping them: the rows and the handlers below.

use super::jitter::{self, Jitter};
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec};
use crate::base::num;
use crate::config::{Config, EventClass};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::DeadlineChange;

const UPDATE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::UPDATE), 1)];
const READ: &[KeySpec] = &[KeySpec::one(Access::RO.with(Access::ACCESS), 1)];
const CONDITIONS_CAME: &[(&str, &str)] = &[("7.0.0", "Added options: `NX`, `XX`, `GT` and `LT`.")];
const MINUS_TWO_CAME: &[(&str, &str)] = &[("2.8.0", "Added the -2 reply.")];

/// A command that sets a deadline.
const fn setter(name: &'static str, handler: super::spec::Handler) -> Spec {
    Spec::write(name, -3, handler).fast().keys(UPDATE).history(CONDITIONS_CAME)
}

/// A command that asks for a deadline.
const fn getter(name: &'static str, handler: super::spec::Handler) -> Spec {
    Spec::read(name, 2, handler).fast().keys(READ)
}

/// The rows.
pub const ROWS: &[Spec] = &[
    setter("EXPIRE", expire).group(Group::Generic, Category::KEYSPACE, "1.0.0").doc(
        "Lets a key expire after some seconds.",
        "O(1)",
        "key seconds [NX | XX | GT | LT] [JITTER percent]",
    ),
    setter("PEXPIRE", pexpire).group(Group::Generic, Category::KEYSPACE, "2.6.0").doc(
        "Lets a key expire after some milliseconds.",
        "O(1)",
        "key milliseconds [NX | XX | GT | LT] [JITTER percent]",
    ),
    setter("EXPIREAT", expireat).group(Group::Generic, Category::KEYSPACE, "1.2.0").doc(
        "Lets a key expire at a Unix time in seconds.",
        "O(1)",
        "key unix-time-seconds [NX | XX | GT | LT]",
    ),
    setter("PEXPIREAT", pexpireat).group(Group::Generic, Category::KEYSPACE, "2.6.0").doc(
        "Lets a key expire at a Unix time in milliseconds.",
        "O(1)",
        "key unix-time-milliseconds [NX | XX | GT | LT]",
    ),
    getter("TTL", ttl)
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Returns the seconds a key has left.", "O(1)", "key")
        .history(MINUS_TWO_CAME)
        .tips(&["nondeterministic_output"]),
    getter("PTTL", pttl)
        .group(Group::Generic, Category::KEYSPACE, "2.6.0")
        .doc("Returns the milliseconds a key has left.", "O(1)", "key")
        .history(MINUS_TWO_CAME)
        .tips(&["nondeterministic_output"]),
    getter("EXPIRETIME", expiretime).group(Group::Generic, Category::KEYSPACE, "7.0.0").doc(
        "Returns the Unix time in seconds at which a key expires.",
        "O(1)",
        "key",
    ),
    getter("PEXPIRETIME", pexpiretime).group(Group::Generic, Category::KEYSPACE, "7.0.0").doc(
        "Returns the Unix time in milliseconds at which a key expires.",
        "O(1)",
        "key",
    ),
    Spec::write("PERSIST", 2, persist).fast().keys(UPDATE).group(Group::Generic, Category::KEYSPACE, "2.2.0").doc(
        "Keeps a key for good instead of letting it expire.",
        "O(1)",
        "key",
    ),
];

const MS_PER_S: i64 = 1000;

fn expire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    set_deadline(ctx, args, MS_PER_S, Some(ctx.at.unix_ms))
}

fn pexpire(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    set_deadline(ctx, args, 1, Some(ctx.at.unix_ms))
}

fn expireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    set_deadline(ctx, args, MS_PER_S, None)
}

fn pexpireat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    set_deadline(ctx, args, 1, None)
}

/// Sets the deadline that the second argument names, in units of `unit_ms` from now on, or since 1970.
fn set_deadline(ctx: &mut Ctx<'_>, args: Args<'_>, unit_ms: i64, now_ms: Option<i64>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let Options { condition, jitter } = Options::parse(args, &ctx.server.config, now_ms.is_some())?;
    let amount = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let base_ms = now_ms.unwrap_or(0);
    let latest_ms = amount
        .checked_mul(unit_ms)
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(|| ReplyError::invalid_expire(&ctx.command.full_name))?;
    let deadline_ms = match jitter {
        Some(jitter) => base_ms + jitter.shorten(latest_ms - base_ms, &mut ctx.server.prng),
        None => latest_ms,
    };
    let change = ctx.db().set_deadline_if(key, Some(deadline_ms), at, |old| condition.allows(old, deadline_ms));
    let changed = match change {
        DeadlineChange::NoKey | DeadlineChange::Refused => false,
        DeadlineChange::Done => {
            ctx.change(Change::new(EventClass::Generic, "expire", key).in_place());
            if unit_ms != 1 || now_ms.is_some() {
                ctx.propagate_as(|lines| {
                    let mut digits = itoa::Buffer::new();
                    let line = [b"PEXPIREAT", key, digits.format(deadline_ms).as_bytes()];
                    // Of the options only the conditions: a deadline that was drawn is passed on as it came out.
                    let is_condition = |index: &usize| {
                        jitter.is_none() || !args.is(*index, jitter::NAME) && !args.is(*index - 1, jitter::NAME)
                    };
                    lines
                        .push(line.into_iter().chain((3..args.len()).filter(is_condition).map(|index| args.at(index))));
                });
            }
            true
        }
        DeadlineChange::Removed(entry) => {
            ctx.server.discard(entry);
            ctx.change_past_deadline(key);
            true
        }
    };
    ctx.reply.integer(i64::from(changed));
    Ok(Next::Done)
}

/// What the present deadline must be like for a new one to be set. No deadline counts as one that never comes.
#[derive(Clone, Copy, Default)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

/// What stands behind the amount.
struct Options {
    condition: Condition,
    jitter: Option<Jitter>,
}

impl Options {
    fn parse(args: Args<'_>, config: &Config, may_jitter: bool) -> Result<Options, ReplyError> {
        let (mut condition, mut jitter) = (Condition::default(), None);
        let mut index = 3;
        while index < args.len() {
            if may_jitter && Jitter::is_at(args, index, config) {
                jitter = Some(Jitter::behind(args, index)?);
                index += 2;
                continue;
            }
            let option = match () {
                _ if args.is(index, "NX") => &mut condition.nx,
                _ if args.is(index, "XX") => &mut condition.xx,
                _ if args.is(index, "GT") => &mut condition.gt,
                _ if args.is(index, "LT") => &mut condition.lt,
                _ => return Err(ReplyError::about("ERR Unsupported option ", args.at(index), "")),
            };
            *option = true;
            index += 1;
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            return Err(ReplyError::new("ERR NX and XX, GT or LT options at the same time are not compatible"));
        }
        if gt && lt {
            return Err(ReplyError::new("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(Options { condition, jitter })
    }
}

impl Condition {
    fn allows(self, old: Option<i64>, new: i64) -> bool {
        match old {
            None => !self.xx && !self.gt,
            Some(old) => !self.nx && (!self.gt || new > old) && (!self.lt || new < old),
        }
    }
}

fn ttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.at.unix_ms;
    answer_deadline(ctx, args, |deadline_ms| rounded_s(deadline_ms.saturating_sub(now_ms)))
}

fn pttl(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = ctx.at.unix_ms;
    answer_deadline(ctx, args, |deadline_ms| deadline_ms.saturating_sub(now_ms))
}

fn expiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer_deadline(ctx, args, rounded_s)
}

fn pexpiretime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer_deadline(ctx, args, |deadline_ms| deadline_ms)
}

/// Answers a figure of a key's deadline; -1 if it has none, -2 if there is no such key. Asking is no access.
fn answer_deadline(ctx: &mut Ctx<'_>, args: Args<'_>, figure: impl FnOnce(i64) -> i64) -> Outcome {
    let at = ctx.at.without_access();
    let deadline_ms = ctx.db().lookup_read(args.at(1), at).map(|entry| entry.deadline_ms());
    ctx.reply.integer(match deadline_ms {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline_ms)) => figure(deadline_ms),
    });
    Ok(Next::Done)
}

/// The nearest number of seconds; halves go up. A live key's deadline is never before 1970, nor before now.
fn rounded_s(ms: i64) -> i64 {
    ((ms.max(0) as u64 + MS_PER_S as u64 / 2) / MS_PER_S as u64) as i64
}

fn persist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let change = ctx.db().set_deadline_if(key, None, at, |old| old.is_some());
    let persisted = matches!(change, DeadlineChange::Done);
    if persisted {
        ctx.change(Change::new(EventClass::Generic, "persist", key).in_place());
    }
    ctx.reply.integer(i64::from(persisted));
    Ok(Next::Done)
}
