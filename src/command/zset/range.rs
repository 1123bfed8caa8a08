//! Ranges: ZRANGE, its older kin, and ZRANGESTORE.
//!
//! Whatever a range is of, it becomes a range of ranks ([`By::ranks`]), of which LIMIT leaves a part.

use std::ops::Range;

use super::slices::CopyingRange;
use super::{NOT_A_LEX_RANGE, NOT_A_SCORE_RANGE, limits, open_entries, store_result, write_entries, write_entry};
use crate::base::num;
use crate::command::long::{self, Place};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::types::Collection;
use crate::store::types::zset::{LexBound, LexRange, ScoreBound, ScoreRange, ZSet};

/// What a range is of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rank,
    Score,
    Lex,
}

/// A range as it was asked for.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    /// First and last rank; negative ones count from the end.
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

impl<'a> By<'a> {
    pub fn ranks_of(first: &[u8], last: &[u8]) -> Result<By<'a>, ReplyError> {
        let rank = |text| num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER);
        Ok(By::Rank(rank(first)?, rank(last)?))
    }

    pub fn scores_of(min: &[u8], max: &[u8]) -> Result<By<'a>, ReplyError> {
        let bound = |text| ScoreBound::parse(text).ok_or(NOT_A_SCORE_RANGE);
        Ok(By::Score(ScoreRange { min: bound(min)?, max: bound(max)? }))
    }

    pub fn members_of(min: &'a [u8], max: &'a [u8]) -> Result<By<'a>, ReplyError> {
        let bound = |text| LexBound::parse(text).ok_or(NOT_A_LEX_RANGE);
        Ok(By::Lex(LexRange { min: bound(min)?, max: bound(max)? }))
    }

    /// The ranks it stands for, in ascending order; ranks asked for in descending order are counted from the other end.
    pub fn ranks(&self, zset: &ZSet, reversed: bool) -> Range<usize> {
        match self {
            By::Rank(first, last) => {
                let len = zset.len();
                let ranks = between(*first, *last, len);
                if reversed { len - ranks.end..len - ranks.start } else { ranks }
            }
            By::Score(range) => zset.ranks_by_score(range),
            By::Lex(range) => zset.ranks_by_lex(range),
        }
    }
}

/// The indexes from `first` to `last`, both counted from the end if negative, of `len` things.
fn between(first: i64, last: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { index.saturating_add(len) } else { index };
    let (first, last) = (from_end(first).max(0), from_end(last).min(len - 1));
    if first > last { 0..0 } else { first as usize..last as usize + 1 }
}

/// What one command asks for.
struct Query<'a> {
    by: By<'a>,
    reversed: bool,
    scores: bool,
    offset: i64,
    /// Negative for all.
    count: i64,
}

/// What a command has decided before its options.
#[derive(Clone, Copy)]
struct Fixed {
    kind: Option<Kind>,
    reversed: Option<bool>,
    stores: bool,
}

impl<'a> Query<'a> {
    /// Reads the ends of a range, which stand at `first`, and the options behind them.
    fn parse(args: Args<'a>, first: usize, fixed: Fixed) -> Result<Query<'a>, ReplyError> {
        let (mut kind, mut reversed) = (fixed.kind, fixed.reversed);
        let (mut scores, mut offset, mut count) = (false, 0, -1);
        let mut i = first + 2;
        while i < args.len() {
            if !fixed.stores && args.is(i, "WITHSCORES") {
                scores = true;
            } else if args.is(i, "LIMIT") && i + 2 < args.len() {
                offset = num::parse_i64(args.at(i + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
                count = num::parse_i64(args.at(i + 2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
                i += 2;
            } else if reversed.is_none() && args.is(i, "REV") {
                reversed = Some(true);
            } else if kind.is_none() && args.is(i, "BYLEX") {
                kind = Some(Kind::Lex);
            } else if kind.is_none() && args.is(i, "BYSCORE") {
                kind = Some(Kind::Score);
            } else {
                return Err(ReplyError::SYNTAX);
            }
            i += 1;
        }
        let (kind, reversed) = (kind.unwrap_or(Kind::Rank), reversed.unwrap_or(false));
        if count != -1 && kind == Kind::Rank {
            return Err(ReplyError::new(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            ));
        }
        if scores && kind == Kind::Lex {
            return Err(ReplyError::new("ERR syntax error, WITHSCORES not supported in combination with BYLEX"));
        }
        let (low, high) = (args.at(first), args.at(first + 1));
        // In descending order the upper end comes first.
        let (min, max) = if reversed { (high, low) } else { (low, high) };
        let by = match kind {
            Kind::Rank => {
                (offset, count) = (0, -1);
                By::ranks_of(low, high)?
            }
            Kind::Score => By::scores_of(min, max)?,
            Kind::Lex => By::members_of(min, max)?,
        };
        Ok(Query { by, reversed, scores, offset, count })
    }

    /// The ranks asked for, LIMIT included.
    fn ranks(&self, zset: &ZSet) -> Range<usize> {
        let all = self.by.ranks(zset, self.reversed);
        let Ok(skipped) = usize::try_from(self.offset) else { return 0..0 };
        let skipped = skipped.min(all.len());
        let taken = usize::try_from(self.count).map_or(all.len() - skipped, |count| count.min(all.len() - skipped));
        if self.reversed {
            let end = all.end - skipped;
            end - taken..end
        } else {
            let start = all.start + skipped;
            start..start + taken
        }
    }
}

/// Answers a range of one key.
fn answer(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Option<Kind>, reversed: Option<bool>) -> Outcome {
    let query = Query::parse(args, 2, Fixed { kind, reversed, stores: false })?;
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(zset) = server.dbs[*db].read::<ZSet>(args.at(1), *at)? else {
        reply.array(0);
        return Ok(Next::Done);
    };
    let ranks = query.ranks(&zset);
    if may_become_job && server.jobs.limits.is_long(ranks.len(), &*zset) {
        let Query { reversed, scores, .. } = query;
        return long::read_key(ctx, args.at(1), Ranks::new(ranks, reversed, scores));
    }
    let entries = zset.iter(ranks);
    if query.reversed {
        write_entries(reply, entries.rev(), query.scores);
    } else {
        write_entries(reply, entries, query.scores);
    }
    Ok(Next::Done)
}

/// Where a range goes on.
#[derive(Debug)]
pub(super) struct Ranks {
    left: Range<usize>,
    reversed: bool,
    scores: bool,
    is_begun: bool,
}

impl Ranks {
    /// Answers these ranks, perhaps the last one first, and perhaps with scores.
    pub fn new(ranks: Range<usize>, reversed: bool, scores: bool) -> Ranks {
        Ranks { left: ranks, reversed, scores, is_begun: false }
    }
}

impl Place<ZSet> for Ranks {
    fn go_on(&mut self, zset: &ZSet, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        if !std::mem::replace(&mut self.is_begun, true) {
            open_entries(reply, self.left.len(), self.scores);
        }
        let mut entries = zset.iter(self.left.clone());
        while let Some(entry) = if self.reversed { entries.next_back() } else { entries.next() } {
            write_entry(reply, entry, self.scores);
            if self.reversed {
                self.left.end -= 1;
            } else {
                self.left.start += 1;
            }
            if !slice.spend(1, entry.0.len()) {
                break;
            }
        }
        self.left.is_empty()
    }
}

pub(super) fn zrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, None, None)
}

pub(super) fn zrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Some(Kind::Rank), Some(true))
}

pub(super) fn zrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Some(Kind::Score), Some(false))
}

pub(super) fn zrevrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Some(Kind::Score), Some(true))
}

pub(super) fn zrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Some(Kind::Lex), Some(false))
}

pub(super) fn zrevrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    answer(ctx, args, Some(Kind::Lex), Some(true))
}

pub(super) fn zrangestore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(result) = ctx.gathered::<ZSet>() {
        store_result(ctx, args.at(1), *result, "zrangestore", 1);
        return Ok(Next::Done);
    }
    let query = Query::parse(args, 3, Fixed { kind: None, reversed: None, stores: true })?;
    let (at, limits, may_become_job) = (ctx.at, limits(ctx.server), ctx.may_become_job());
    let Ctx { server, db, .. } = ctx;
    let result = match server.dbs[*db].read::<ZSet>(args.at(2), at)? {
        Some(zset) => {
            let ranks = query.ranks(&zset);
            if may_become_job && server.jobs.limits.is_long(ranks.len(), &*zset) {
                return ctx.become_job(CopyingRange::new(args.at(2), ranks, limits));
            }
            ZSet::from_sorted(zset.iter(ranks), &limits)
        }
        None => ZSet::default(),
    };
    store_result(ctx, args.at(1), result, "zrangestore", 1);
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_counted_from_either_side_and_cut() {
        for (first, last, expected) in [
            (0, -1, 0..5),
            (1, 2, 1..3),
            (-2, -1, 3..5),
            (-100, 100, 0..5),
            (3, 2, 0..0),
            (5, 9, 0..0),
            (-1, -2, 0..0),
            (i64::MIN, i64::MAX, 0..5),
            (0, -6, 0..0),
        ] {
            assert_eq!(between(first, last, 5), expected, "{first} {last}");
        }
        assert_eq!(between(0, -1, 0), 0..0);
    }
}
