//! Unions, intersections and differences.

use super::slices::{Combining, Plan};
use super::source::{self, Source};
use super::{limits, open_entries, store_result, write_entry};
use crate::base::num;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::hash::KeyHasher;
use crate::store::types::zset::{Gathering, Limits, ZSet};

/// Members of a result from which on another thread frees it.
const FREE_ELSEWHERE_MIN: usize = 10_000;

/// How inputs are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Union,
    Inter,
    Diff,
}

/// What is done with the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Answer,
    Store,
    Count,
}

/// How the scores of a member in several inputs become one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Aggregate {
    Sum,
    Min,
    Max,
    /// The scores do not count, each input does, with its weight.
    Count,
}

impl Aggregate {
    /// What a score counts in an input of a weight.
    #[inline]
    pub fn weigh(self, weight: f64, score: f64) -> f64 {
        match self {
            Aggregate::Sum | Aggregate::Min | Aggregate::Max => weight * score,
            Aggregate::Count => weight,
        }
    }

    pub fn of(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs cancel out, by convention.
            Aggregate::Sum | Aggregate::Count => or_zero(a + b),
            Aggregate::Min => {
                if b < a {
                    b
                } else {
                    a
                }
            }
            Aggregate::Max => {
                if b > a {
                    b
                } else {
                    a
                }
            }
        }
    }
}

pub(super) fn or_zero(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

/// The options behind the keys.
struct Options {
    /// One for each key, or none where all are 1.
    weights: Vec<f64>,
    aggregate: Aggregate,
    scores: bool,
    /// Members to count at most; 0 for all.
    limit: usize,
}

impl Options {
    fn parse(
        args: Args<'_>,
        first: usize,
        keys: usize,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Options, ReplyError> {
        let mut options = Options { weights: Vec::new(), aggregate: Aggregate::Sum, scores: false, limit: 0 };
        let weighs = operation != Operation::Diff && purpose != Purpose::Count;
        let mut i = first;
        while i < args.len() {
            let behind = args.len() - i - 1;
            if weighs && behind >= keys && args.is(i, "WEIGHTS") {
                let weight = |text| num::parse_f64(text).ok_or(ReplyError::new("ERR weight value is not a float"));
                options.weights = args.iter_from(i + 1).take(keys).map(weight).collect::<Result<_, _>>()?;
                i += keys;
            } else if weighs && behind >= 1 && args.is(i, "AGGREGATE") {
                options.aggregate = match () {
                    () if args.is(i + 1, "SUM") => Aggregate::Sum,
                    () if args.is(i + 1, "MIN") => Aggregate::Min,
                    () if args.is(i + 1, "MAX") => Aggregate::Max,
                    () if args.is(i + 1, "COUNT") => Aggregate::Count,
                    () => return Err(ReplyError::SYNTAX),
                };
                i += 1;
            } else if purpose == Purpose::Answer && args.is(i, "WITHSCORES") {
                options.scores = true;
            } else if purpose == Purpose::Count && behind >= 1 && args.is(i, "LIMIT") {
                let limit = num::parse_i64(args.at(i + 1)).and_then(|limit| usize::try_from(limit).ok());
                options.limit = limit.ok_or(ReplyError::new("ERR LIMIT can't be negative"))?;
                i += 1;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            i += 1;
        }
        Ok(options)
    }
}

/// An input and the factor of its scores.
struct Input<'d, 'k> {
    key: &'k [u8],
    source: Source<'d>,
    weight: f64,
}

/// Reads the keys, whose number is at `number`, and the options. The smallest inputs come first, except for a difference,
/// which depends on the order.
fn inputs<'d, 'k>(
    ctx: &'d mut Ctx<'_>,
    args: Args<'k>,
    number: usize,
    operation: Operation,
    purpose: Purpose,
) -> Result<(Vec<Input<'d, 'k>>, Options), ReplyError> {
    let keys = num::parse_i64(args.at(number)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let Some(keys) = usize::try_from(keys).ok().filter(|&keys| keys > 0) else {
        let command = &ctx.command.full_name;
        return Err(ReplyError::owned(format!("ERR at least 1 input key is needed for '{command}' command")));
    };
    let first = number + 1;
    if keys > args.len() - first {
        return Err(ReplyError::SYNTAX);
    }
    let sources = source::all(&mut ctx.server.dbs[ctx.db], args.iter_from(first).take(keys), ctx.at)?;
    let named = args.iter_from(first);
    let options = Options::parse(args, first + keys, keys, operation, purpose)?;
    let weights = options.weights.iter().copied().chain(std::iter::repeat(1.0));
    let mut inputs: Vec<_> = sources
        .into_iter()
        .zip(weights)
        .zip(named)
        .map(|((source, weight), key)| Input { key, source, weight })
        .collect();
    if operation != Operation::Diff {
        inputs.sort_by_key(|input| input.source.len());
    }
    Ok((inputs, options))
}

/// Adds the members of all inputs.
fn union(inputs: &[Input<'_, '_>], aggregate: Aggregate, all: &mut Gathering) {
    for input in inputs {
        input.source.for_each(|member, score| {
            all.merge(member, or_zero(aggregate.weigh(input.weight, score)), |sum, score| aggregate.of(sum, score));
        });
    }
}

/// Calls `visit` for the members that all inputs have, with their scores, until it returns false.
fn intersect(inputs: &[Input<'_, '_>], aggregate: Aggregate, mut visit: impl FnMut(&[u8], f64) -> bool) {
    let [smallest, others @ ..] = inputs else { return };
    let mut going = true;
    smallest.source.for_each(|member, score| {
        if !going {
            return;
        }
        let all = others.iter().try_fold(or_zero(aggregate.weigh(smallest.weight, score)), |sum, other| {
            Some(aggregate.of(sum, aggregate.weigh(other.weight, other.source.score(member)?)))
        });
        if let Some(score) = all {
            going = visit(member, score);
        }
    });
}

/// Adds the members that only the first input has.
fn difference(inputs: &[Input<'_, '_>], left: &mut Gathering) {
    if let [first, others @ ..] = inputs {
        first.source.for_each(|member, score| {
            if others.iter().all(|other| other.source.score(member).is_none()) {
                left.push(member, score);
            }
        });
    }
}

/// The result, not sorted yet.
fn combine(inputs: &[Input<'_, '_>], operation: Operation, options: &Options, hasher: KeyHasher) -> Gathering {
    let mut result = Gathering::new(hasher);
    match operation {
        Operation::Union => union(inputs, options.aggregate, &mut result),
        Operation::Diff => difference(inputs, &mut result),
        Operation::Inter => intersect(inputs, options.aggregate, |member, score| {
            result.push(member, score);
            true
        }),
    }
    result
}

/// A combination as a job, if it goes by many members and may be one.
fn as_job(
    long: Option<usize>,
    limits: &Limits,
    inputs: &[Input<'_, '_>],
    operation: Operation,
    purpose: Purpose,
    options: &Options,
) -> Option<Combining> {
    let long = long?;
    let is_there = |input: &&Input<'_, '_>| !matches!(input.source, Source::Nothing);
    let first = inputs.first().filter(|_| operation != Operation::Inter || inputs.iter().all(|input| is_there(&input)));
    let (elements, members_max) = match operation {
        Operation::Union => {
            let sum = inputs.iter().map(|input| input.source.len()).sum();
            (sum, sum)
        }
        // The smallest comes first, of an intersection.
        Operation::Inter | Operation::Diff => {
            let members = first.filter(|first| is_there(first))?.source.len();
            (members.saturating_mul(inputs.len()), members)
        }
    };
    if elements <= long {
        return None;
    }
    let inputs = inputs.iter().filter(is_there).map(|input| (input.key.into(), input.weight)).collect();
    let Options { aggregate, scores, limit, .. } = *options;
    Some(Combining::new(Plan { operation, purpose, aggregate, scores, limit, inputs }, members_max, *limits))
}

fn answer(ctx: &mut Ctx<'_>, args: Args<'_>, operation: Operation) -> Outcome {
    let (limits, long) = (limits(ctx.server), ctx.job_limits().map(|limits| limits.long));
    let hasher = limits.hasher;
    let (inputs, options) = inputs(ctx, args, 1, operation, Purpose::Answer)?;
    if let Some(job) = as_job(long, &limits, &inputs, operation, Purpose::Answer, &options) {
        drop(inputs);
        return ctx.become_job(job);
    }
    let mut result = combine(&inputs, operation, &options, hasher);
    drop(inputs);
    result.sort();
    open_entries(&mut ctx.reply, result.len(), options.scores);
    result.iter().for_each(|entry| write_entry(&mut ctx.reply, entry, options.scores));
    if result.len() >= FREE_ELSEWHERE_MIN {
        ctx.server.background.free(Box::new(result));
    }
    Ok(Next::Done)
}

fn store(ctx: &mut Ctx<'_>, args: Args<'_>, operation: Operation, event: &str) -> Outcome {
    if let Some(result) = ctx.gathered::<ZSet>() {
        store_result(ctx, args.at(1), *result, event, 1);
        return Ok(Next::Done);
    }
    let (limits, long) = (limits(ctx.server), ctx.job_limits().map(|limits| limits.long));
    let (inputs, options) = inputs(ctx, args, 2, operation, Purpose::Store)?;
    if let Some(job) = as_job(long, &limits, &inputs, operation, Purpose::Store, &options) {
        drop(inputs);
        return ctx.become_job(job);
    }
    let result = combine(&inputs, operation, &options, limits.hasher);
    drop(inputs);
    store_result(ctx, args.at(1), result.into_zset(&limits), event, 1);
    Ok(Next::Done)
}

pub(super) fn zunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Operation::Union)
}

pub(super) fn zinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Operation::Inter)
}

pub(super) fn zdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Operation::Diff)
}

pub(super) fn zunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    store(ctx, args, Operation::Union, "zunionstore")
}

pub(super) fn zinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    store(ctx, args, Operation::Inter, "zinterstore")
}

pub(super) fn zdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    store(ctx, args, Operation::Diff, "zdiffstore")
}

pub(super) fn zintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (limits, long) = (limits(ctx.server), ctx.job_limits().map(|limits| limits.long));
    let (inputs, options) = inputs(ctx, args, 1, Operation::Inter, Purpose::Count)?;
    if let Some(job) = as_job(long, &limits, &inputs, Operation::Inter, Purpose::Count, &options) {
        drop(inputs);
        return ctx.become_job(job);
    }
    let mut count = 0;
    intersect(&inputs, options.aggregate, |_, _| {
        count += 1;
        count != options.limit
    });
    drop(inputs);
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}
