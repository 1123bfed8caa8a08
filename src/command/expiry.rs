//! EXPIRY: how punctual the timers of keys are, and what they will have to do. AleaDB's own; INFO's section of the same name
//! shows the same figures, of all databases together.

use std::collections::BTreeMap;

use super::help;
use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::clock::Now;
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::lag::{Summary, WINDOW_S};
use crate::store::forecast::{Forecast, Share};

const PER_SHARD: &[&str] = &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "EXPIRY",
    &[
        Spec::new("FORECAST", -2, Flags::NONE, forecast)
            .group(Group::Server, Category::NONE, SINCE)
            .tips(PER_SHARD)
            .doc(
                "Tells how many keys and bytes fall due, and when.",
                "O(D) for D databases that have keys with a deadline",
                "[seconds [seconds ...]]",
            ),
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
            .group(Group::Server, Category::NONE, SINCE)
            .doc("Explains the subcommands.", "O(1)", ""),
        Spec::new("LAG", 2, Flags::NONE, lag).group(Group::Server, Category::NONE, SINCE).tips(PER_SHARD).doc(
            "Tells how late keys left in the last minute.",
            "O(1)",
            "",
        ),
    ],
)
.group(Group::Server, Category::NONE, SINCE)
.doc("Tells how punctual the timers of keys are, and what is to come.", "Depends on subcommand.", "")];

/// The version of AleaDB that this family came with.
const SINCE: &str = "0.1.0";

/// Where the ranges of a forecast end unless they are named: a second, ten, a minute, ten, an hour, a day.
pub(super) const DEFAULT_ENDS_S: &[i64] = &[1, 10, 60, 600, 3600, 86_400];
/// Ranges that may be asked for.
const ENDS_MAX: usize = 64;
/// The latest end: a thousand years.
const END_S_MAX: i64 = 31_536_000_000;

const BAD_ENDS: ReplyError = ReplyError::new("ERR seconds must be positive integers in ascending order, 64 at most");

/// When the keys of all databases fall due.
pub(super) struct Outlook {
    forecasts: Vec<Forecast>,
    /// Keys with a deadline.
    pub timed: usize,
}

impl Outlook {
    /// Looks at every database that has keys with a deadline: see `store::forecast` for cost and exactness.
    pub fn take(server: &mut Server) -> Outlook {
        let Server { dbs, prng, .. } = server;
        let timed = dbs.iter().map(|db| db.timed()).sum();
        let forecasts = dbs.iter_mut().filter(|db| db.timed() > 0).filter_map(|db| db.forecast(prng)).collect();
        Outlook { forecasts, timed }
    }

    /// What falls due after `after_ms` and until `until_ms` (Unix ms).
    pub fn between(&self, after_ms: i64, until_ms: i64) -> Share {
        let mut sum = Share::default();
        self.forecasts.iter().for_each(|forecast| sum += forecast.between(after_ms, until_ms));
        sum
    }

    /// The Unix millisecond up to which nothing is estimated.
    pub fn reach_ms(&self) -> i64 {
        self.forecasts.iter().map(Forecast::reach_ms).min().unwrap_or(i64::MAX)
    }

    /// The first deadline to come, in milliseconds from now; `None` if there is none or it is beyond the reach.
    pub fn next_in_ms(&self, now: Now) -> Option<i64> {
        let next = self.forecasts.iter().filter_map(|forecast| forecast.next_after(now.unix_ms)).min();
        next.map(|deadline_ms| deadline_ms.saturating_sub(now.unix_ms))
    }

    /// The spans of so many milliseconds in which most keys fall due, `count` at most and each with more than one, the soonest
    /// first: their ends (Unix ms), and how many keys they are.
    pub fn crowds(&self, span_ms: i64, count: usize) -> Vec<(i64, f64)> {
        let mut keys: BTreeMap<i64, f64> = BTreeMap::new();
        for (end_ms, more) in self.forecasts.iter().flat_map(|forecast| forecast.by_span(span_ms)) {
            *keys.entry(end_ms).or_default() += more;
        }
        let mut crowds: Vec<(i64, f64)> = keys.into_iter().filter(|(_, keys)| *keys > 1.0).collect();
        crowds.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        crowds.truncate(count);
        crowds.sort_by_key(|(end_ms, _)| *end_ms);
        crowds
    }

    fn sampled(&self) -> usize {
        self.forecasts.iter().map(Forecast::sampled).sum()
    }
}

fn lag(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Summary { keys, p50_ms, p99_ms, max_ms } = ctx.server.stats.lags.summary(ctx.now.mono_ms() / 1000);
    let behind_ms = ctx.server.stats.expire_behind_ms;
    let fields = [
        ("window_s", WINDOW_S),
        ("keys", keys),
        ("p50_ms", p50_ms),
        ("p99_ms", p99_ms),
        ("max_ms", max_ms),
        ("behind_ms", behind_ms),
    ];
    ctx.reply.map(fields.len());
    for (name, value) in fields {
        ctx.reply.bulk_str(name);
        ctx.reply.integer(value as i64);
    }
    Ok(Next::Done)
}

/// The ends of the ranges that were asked for, in seconds.
fn ends(args: Args<'_>) -> Result<Vec<i64>, ReplyError> {
    if args.len() == 2 {
        return Ok(DEFAULT_ENDS_S.to_vec());
    }
    let ends: Option<Vec<i64>> = args.iter_from(2).take(ENDS_MAX + 1).map(num::parse_i64).collect();
    let ends = ends.ok_or(ReplyError::NOT_AN_INTEGER)?;
    let ascending = ends.windows(2).all(|pair| pair[0] < pair[1]);
    let fit = ends[0] > 0 && ends[ends.len() - 1] <= END_S_MAX && ends.len() <= ENDS_MAX;
    if ascending && fit { Ok(ends) } else { Err(BAD_ENDS) }
}

fn forecast(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let ends = ends(args)?;
    let now_ms = ctx.now.unix_ms;
    let outlook = Outlook::take(ctx.server);
    let exact_s = match outlook.reach_ms() {
        i64::MAX => None,
        reach_ms => Some(reach_ms.saturating_sub(now_ms).max(0) / 1000),
    };
    let reply = &mut ctx.reply;
    reply.map(4);
    reply.bulk_str("keys");
    reply.integer(outlook.timed as i64);
    reply.bulk_str("exact_s");
    seconds(reply, exact_s);
    reply.bulk_str("sampled");
    reply.integer(outlook.sampled() as i64);
    reply.bulk_str("due");
    // What is due already, then one range for each end, then what comes after the last.
    reply.array(ends.len() + 2);
    let (mut after_s, mut after_ms) = (None, i64::MIN);
    for end in std::iter::once(Some(0)).chain(ends.into_iter().map(Some)).chain([None]) {
        let until_ms = end.map_or(i64::MAX, |end: i64| now_ms.saturating_add(end * 1000));
        let share = outlook.between(after_ms, until_ms);
        reply.map(4);
        for (name, bound) in [("after_s", after_s), ("until_s", end)] {
            reply.bulk_str(name);
            seconds(reply, bound);
        }
        for (name, value) in [("keys", share.keys), ("bytes", share.bytes)] {
            reply.bulk_str(name);
            reply.integer(value.round() as i64);
        }
        (after_s, after_ms) = (end, until_ms);
    }
    Ok(Next::Done)
}

fn seconds(reply: &mut Reply<'_>, seconds: Option<i64>) {
    match seconds {
        Some(seconds) => reply.integer(seconds),
        None => reply.null(),
    }
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "EXPIRY",
        &[
            "FORECAST [<seconds> ...]",
            "    Return how many keys of all databases fall due, and their bytes: those due",
            "    already, those due within each of the ascending <seconds> (1, 10, 60, 600,",
            "    3600 and 86400 by default) and those due later. Counted up to 'exact_s'",
            "    seconds from now (null if everything was), estimated from 'sampled' keys",
            "    beyond.",
            "LAG",
            "    Return how many milliseconds after their deadlines keys left in the last",
            "    minute, and how far behind expiry is now.",
        ],
    );
    Ok(Next::Done)
}
