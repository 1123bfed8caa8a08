//! What removes members, by name or by range.

use std::ops::Range;

use super::range::By;
use crate::command::collection::remove_emptied;
use crate::command::pieces::{self, Answer, PIECE_ELEMENTS_MAX, Plan};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::zset::ZSet;

pub(super) fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| remove_all(ctx, piece));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let removed = remove_all(ctx, args)?;
    ctx.reply.integer(removed);
    Ok(Next::Done)
}

/// Removes the members of a line; how many there were.
fn remove_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let at = ctx.at;
    let (mut removed, mut emptied) = (0, false);
    if let Some(mut zset) = ctx.db().write::<ZSet>(args.at(1), at)? {
        removed = args.iter_from(2).filter(|member| zset.remove(member).is_some()).count();
        emptied = zset.is_empty();
    }
    tell(ctx, args.at(1), removed, emptied, "zrem");
    Ok(removed as i64)
}

/// Tells of members removed, and removes the key if none is left.
fn tell(ctx: &mut Ctx<'_>, key: &[u8], removed: usize, emptied: bool, event: &str) {
    if removed > 0 {
        ctx.change(Change::new(EventClass::SortedSet, event, key));
        if emptied {
            remove_emptied(ctx, key);
        }
    }
}

/// Reads the ends of a range.
type Ends = for<'a> fn(&'a [u8], &'a [u8]) -> Result<By<'a>, ReplyError>;

/// A range of very many members that is removed.
#[derive(Debug)]
struct Removing {
    by: Ends,
    event: &'static str,
    /// What is still to be removed; `None` before it is known.
    ranks: Option<Range<usize>>,
    removed: usize,
}

impl Pieces for Removing {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let (key, at) = (args.at(1), ctx.at);
        loop {
            let Some(mut zset) = ctx.db().write::<ZSet>(key, at)? else { break };
            let ranks = match self.ranks.take() {
                Some(ranks) => ranks,
                None => (self.by)(args.at(2), args.at(3))?.ranks(&zset, false),
            };
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX).min(ranks.len());
            if count == 0 {
                break;
            }
            let first = ranks.start;
            let old = zset.remove_ranks(first..first + count);
            let emptied = zset.is_empty();
            drop(zset);
            if let Some(old) = old {
                ctx.server.background.free(Box::new(old));
            }
            tell(ctx, key, count, emptied, self.event);
            ctx.propagate_as(|lines| {
                let (mut from, mut to) = (itoa::Buffer::new(), itoa::Buffer::new());
                let ends = [from.format(first).as_bytes(), to.format(first + count - 1).as_bytes()];
                lines.push([b"ZREMRANGEBYRANK".as_slice(), key].into_iter().chain(ends));
            });
            self.removed += count;
            let ranks = first..ranks.end - count;
            let is_through = ranks.is_empty();
            self.ranks = Some(ranks);
            if is_through {
                break;
            }
            if !slice.spend(count, 0) {
                return Ok(Progress::More);
            }
        }
        ctx.reply.integer(self.removed as i64);
        Ok(Progress::Through)
    }
}

fn remove_range(ctx: &mut Ctx<'_>, args: Args<'_>, ends: Ends, event: &'static str) -> Outcome {
    let (by, at, key) = (ends(args.at(2), args.at(3))?, ctx.at, args.at(1));
    let limits = ctx.job_limits();
    let Some(mut zset) = ctx.db().write::<ZSet>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    let ranks = by.ranks(&zset, false);
    let removed = ranks.len();
    if limits.is_some_and(|limits| limits.is_long(zset.removal_cost(&ranks), &*zset)) {
        drop(zset);
        return ctx.go_on_in_pieces(Removing { by: ends, event, ranks: None, removed: 0 });
    }
    // With its last member the key goes as it is: what was in it is freed elsewhere if that takes long.
    let emptied = removed == zset.len();
    let old = if emptied { None } else { zset.remove_ranks(ranks) };
    drop(zset);
    if let Some(old) = old {
        ctx.server.background.free(Box::new(old));
    }
    tell(ctx, key, removed, emptied, event);
    ctx.reply.integer(removed as i64);
    Ok(Next::Done)
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, |first, last| By::ranks_of(first, last), "zremrangebyrank")
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, |min, max| By::scores_of(min, max), "zremrangebyscore")
}

pub(super) fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, |min, max| By::members_of(min, max), "zremrangebylex")
}
