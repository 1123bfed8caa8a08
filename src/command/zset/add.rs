//! ZADD, ZINCRBY and ZADDEX.

use super::{limits, target};
use crate::base::num;
use crate::command::lifetime::{Adding, Changes, Timed};
use crate::command::pieces::{self, Answer, Plan, Within};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Collection as _;
use crate::store::types::zset::{Limits, Update, ZSet};

const NOT_A_NUMBER: ReplyError = ReplyError::new("ERR resulting score is not a number (NaN)");

/// Scores whose parsed values need no allocation: most commands bring one or a few.
const FEW: usize = 16;

/// The options, and where the scores begin.
#[derive(Clone, Copy, Default)]
struct Options {
    only_new: bool,
    only_old: bool,
    greater: bool,
    less: bool,
    count_changed: bool,
    increment: bool,
    first: usize,
}

impl Options {
    fn parse(args: Args<'_>, increment: bool) -> Result<Options, ReplyError> {
        let mut options = Options { increment, first: 2, ..Options::default() };
        while options.first < args.len() {
            let flag = match () {
                () if args.is(options.first, "NX") => &mut options.only_new,
                () if args.is(options.first, "XX") => &mut options.only_old,
                () if args.is(options.first, "CH") => &mut options.count_changed,
                () if args.is(options.first, "INCR") => &mut options.increment,
                () if args.is(options.first, "GT") => &mut options.greater,
                () if args.is(options.first, "LT") => &mut options.less,
                () => break,
            };
            *flag = true;
            options.first += 1;
        }
        options.check(args.len() - options.first)?;
        Ok(options)
    }

    fn check(&self, left: usize) -> Result<(), ReplyError> {
        if left == 0 || !left.is_multiple_of(2) {
            return Err(ReplyError::SYNTAX);
        }
        if self.only_new && self.only_old {
            return Err(ReplyError::new("ERR XX and NX options at the same time are not compatible"));
        }
        if (self.only_new && (self.greater || self.less)) || (self.greater && self.less) {
            return Err(ReplyError::new("ERR GT, LT, and/or NX options at the same time are not compatible"));
        }
        if self.increment && left > 2 {
            return Err(ReplyError::new("ERR INCR option supports a single increment-element pair"));
        }
        Ok(())
    }

    /// The score that a member gets, given the one it has; `None` to leave it alone.
    #[inline]
    fn decide(&self, given: f64, old: Option<f64>) -> Decision {
        let Some(old) = old else {
            return if self.only_old { Decision::Leave } else { Decision::Set(given) };
        };
        if self.only_new {
            return Decision::Leave;
        }
        let new = if self.increment { old + given } else { given };
        if new.is_nan() {
            return Decision::NotANumber;
        }
        if (self.less && new >= old) || (self.greater && new <= old) {
            return Decision::Leave;
        }
        Decision::Set(new)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Decision {
    Set(f64),
    Leave,
    NotANumber,
}

/// Applies one score to one member.
#[inline]
fn apply(zset: &mut ZSet, options: &Options, limits: &Limits, member: &[u8], given: f64) -> (Decision, Update) {
    let mut decision = Decision::Leave;
    let update = zset.update(member, limits, |old| {
        decision = options.decide(given, old);
        match decision {
            Decision::Set(score) => Some(score),
            Decision::Leave | Decision::NotANumber => None,
        }
    });
    (decision, update)
}

pub(super) fn zadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    add(ctx, args, false)
}

pub(super) fn zincrby(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    add(ctx, args, true)
}

fn add(ctx: &mut Ctx<'_>, args: Args<'_>, increment: bool) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Sum, |ctx, piece, part| add_piece(ctx, piece, part.expected / 2))
        .checked(|_, piece, part| check_scores(piece, part.head));
    const INCREMENT: Plan = Plan::new(2, Answer::Written, |ctx, piece, part| {
        let options = Options::parse(piece, false)?;
        increment_one(ctx, piece, &options, score_at(piece, part.head)?).map(|_| 0)
    });
    let options = Options::parse(args, increment)?;
    if !increment && ctx.is_long_line(args) {
        return pieces::begin(ctx, options.first, if options.increment { &INCREMENT } else { &LONG });
    }
    let pairs = (args.len() - options.first) / 2;
    if options.increment {
        let score = score_at(args, options.first)?;
        return increment_one(ctx, args, &options, score);
    }
    let done = add_pairs(ctx, args, &options, pairs)?;
    ctx.reply.integer(done);
    Ok(Next::Done)
}

/// The score at an index.
fn score_at(args: Args<'_>, index: usize) -> Result<f64, ReplyError> {
    num::parse_f64(args.at(index)).ok_or(ReplyError::NOT_A_FLOAT)
}

/// Refuses a piece with a score that is none.
fn check_scores(piece: Args<'_>, first: usize) -> Result<Option<i64>, ReplyError> {
    (first..piece.len()).step_by(2).try_for_each(|index| score_at(piece, index).map(drop))?;
    Ok(None)
}

/// Adds the pairs of a piece of a line, of which so many are left.
fn add_piece(ctx: &mut Ctx<'_>, piece: Args<'_>, expected: usize) -> Result<i64, ReplyError> {
    // A score is no option, so it is clear where the pairs begin.
    add_pairs(ctx, piece, &Options::parse(piece, false)?, expected)
}

/// Adds the pairs of a line; what is answered.
fn add_pairs(ctx: &mut Ctx<'_>, args: Args<'_>, options: &Options, expected: usize) -> Result<i64, ReplyError> {
    let pairs = (args.len() - options.first) / 2;
    let (mut few, mut many) = ([0.0; FEW], Vec::new());
    let scores = if pairs <= FEW {
        &mut few[..pairs]
    } else {
        many.resize(pairs, 0.0);
        &mut many[..]
    };
    for (n, score) in scores.iter_mut().enumerate() {
        *score = score_at(args, options.first + 2 * n)?;
    }
    add_all(ctx, args, options, scores, expected)
}

/// Runs `change` on the sorted set of the key, to which so many members are expected; it is created unless only present
/// members are to change. `None` if there is none.
fn with_target<R>(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    options: &Options,
    expected: usize,
    change: impl FnOnce(&mut ZSet, &Limits) -> R,
) -> Result<Option<R>, ReplyError> {
    let Some((mut zset, limits)) = target(ctx, args, options.first + 1, expected, options.only_old)? else {
        return Ok(None);
    };
    Ok(Some(change(&mut zset, &limits)))
}

fn add_all(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    options: &Options,
    scores: &[f64],
    expected: usize,
) -> Result<i64, ReplyError> {
    let (mut added, mut rescored) = (0, 0);
    with_target(ctx, args, options, expected, |zset, limits| {
        for (n, &score) in scores.iter().enumerate() {
            let (_, update) = apply(zset, options, limits, args.at(options.first + 2 * n + 1), score);
            added += i64::from(update.added());
            rescored += i64::from(update.rescored());
        }
    })?;
    if added + rescored > 0 {
        ctx.change(Change::new(EventClass::SortedSet, "zadd", args.at(1)));
    }
    Ok(if options.count_changed { added + rescored } else { added })
}

fn increment_one(ctx: &mut Ctx<'_>, args: Args<'_>, options: &Options, given: f64) -> Outcome {
    let member = args.at(options.first + 1);
    let done = with_target(ctx, args, options, 1, |zset, limits| apply(zset, options, limits, member, given))?;
    match done {
        Some((Decision::Set(score), update)) => {
            if update.added() || update.rescored() {
                ctx.change(Change::new(EventClass::SortedSet, "zincr", args.at(1)));
            }
            ctx.reply.double(score);
        }
        Some((Decision::NotANumber, _)) => return Err(NOT_A_NUMBER),
        Some((Decision::Leave, _)) | None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

pub(super) fn zaddex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Within = Within {
        width: 2,
        is_array: false,
        check: |ctx, line, members| {
            check_scores(members, 0)?;
            is_let_by(ctx, line.at(1), &Adding::parse(ctx, line, 2, ZSet::WORDS)?.of(members))
        },
        work: |ctx, line, members, expected| {
            add_timed(ctx, line, &Adding::parse(ctx, line, 2, ZSet::WORDS)?.of(members), expected)
        },
    };
    let key = args.at(1);
    let adding = Adding::parse(ctx, args, 2, ZSet::WORDS)?;
    if ctx.is_long_line(args) {
        return pieces::begin_within(ctx, adding.range(), &LONG);
    }
    check_scores(adding.members, 0)?;
    let is_let = is_let_by(ctx, key, &adding)?;
    if is_let {
        add_timed(ctx, args, &adding, adding.members.len() / 2)?;
    }
    ctx.reply.integer(i64::from(is_let));
    Ok(Next::Done)
}

/// Whether the members of a sorted set that are there let these be added.
fn is_let_by(ctx: &mut Ctx<'_>, key: &[u8], adding: &Adding<'_>) -> Result<bool, ReplyError> {
    let at = ctx.at;
    let present = ctx.db().write::<ZSet>(key, at)?;
    Ok(adding.is_allowed(|name| present.as_ref().is_some_and(|zset| zset.score(name).is_some())))
}

/// Adds members with their deadline.
fn add_timed(ctx: &mut Ctx<'_>, args: Args<'_>, adding: &Adding<'_>, expected: usize) -> Result<(), ReplyError> {
    let (key, at, limits) = (args.at(1), ctx.at, limits(ctx.server));
    let mut changes = Changes::new(ctx, ZSet::WORDS, false);
    let longest = adding.members.at(1).len();
    let mut zset = ctx.db().write_or_create(key, at, || ZSet::sized(expected, longest, &limits))?;
    if expected > 0 {
        zset.expect(expected, &limits);
    }
    let mut changed = false;
    for (index, name) in adding.names().enumerate() {
        let score = score_at(adding.members, 2 * index)?;
        let update = zset.update(name, &limits, |_| Some(score));
        changed |= update.added() || update.rescored();
        adding.apply(&mut changes, &mut *zset, name, !update.added(), at.due_ms(), limits.hasher);
    }
    changes.emptied = zset.is_empty();
    drop(zset);
    if changed {
        ctx.change(Change::new(EventClass::SortedSet, "zadd", key));
    }
    if changed || changes.any() {
        adding.propagate(ctx, args, ZSet::WORDS);
    }
    changes.tell(ctx, key);
    Ok(())
}
