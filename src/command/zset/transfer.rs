//! Moving members with their scores from one sorted set to another: ZMOVE, BZMOVE, which waits for them, and ZMOVEMEMBER.
//!
//! A member that the destination has takes the score that it had in the source. Answered are the members alone, in the order in which
//! they were taken. Very many are moved piece by piece: those of ZMOVE are a range of ranks, of which each piece takes an end.
// COMPAT: no server that has these commands was at hand. The events are those of LMOVE: first that of what came, then that of what went.

use std::ops::Range;

use super::limits;
use super::range::By;
use crate::base::num;
use crate::command::blocking::{parse_timeout, timeouts_from_ms};
use crate::command::collection::remove_emptied;
use crate::command::pieces::{PIECE_ELEMENTS_MAX, extent};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::zset::{Limits, ZSet};

const NOT_POSITIVE: ReplyError = ReplyError::new("ERR count should be greater than 0");
const NO_MEMBERS: ReplyError = ReplyError::new("ERR Number of members must be a positive integer");
const OTHER_COUNT: ReplyError = ReplyError::new("ERR The `nummembers` parameter must match the number of arguments");

/// A number that is none of nothing.
fn positive(text: &[u8], refusal: ReplyError) -> Result<usize, ReplyError> {
    num::parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0).ok_or(refusal)
}

/// Whether there is something to take from, once neither key has another type.
fn open(ctx: &mut Ctx<'_>, source: &[u8], destination: &[u8]) -> Result<bool, ReplyError> {
    let at = ctx.at;
    if ctx.db().write::<ZSet>(source, at)?.is_none() {
        return Ok(false);
    }
    ctx.db().write::<ZSet>(destination, at)?;
    Ok(true)
}

/// A member that has left its sorted set, with the score it had there.
type Moved<M> = (M, f64);

/// Adds what has left the source to the destination, tells of it, and has the source go if nothing is left in it.
fn arrive<M: AsRef<[u8]>>(
    ctx: &mut Ctx<'_>,
    (source, is_emptied): (&[u8], bool),
    destination: &[u8],
    moved: &[Moved<M>],
) -> Result<(), ReplyError> {
    let Some((first, _)) = moved.first() else { return Ok(()) };
    let (at, limits) = (ctx.at, limits(ctx.server));
    let create = || ZSet::sized(moved.len(), first.as_ref().len(), &limits);
    let mut zset = ctx.db().write_or_create(destination, at, create)?;
    zset.expect(moved.len(), &limits);
    let is_changed = insert_all(&mut zset, &limits, moved);
    drop(zset);
    let count = moved.len();
    if is_changed {
        ctx.change(Change::new(EventClass::SortedSet, "zadd", destination).and_key(source).times(count));
        ctx.notify(EventClass::SortedSet, "zrem", source);
    } else {
        ctx.change(Change::new(EventClass::SortedSet, "zrem", source).times(count));
    }
    if is_emptied {
        remove_emptied(ctx, source);
    }
    Ok(())
}

/// Whether a sorted set was changed by giving its members these scores.
fn insert_all<M: AsRef<[u8]>>(zset: &mut ZSet, limits: &Limits, moved: &[Moved<M>]) -> bool {
    let mut is_changed = false;
    for (member, score) in moved {
        let update = zset.update(member.as_ref(), limits, |_| Some(*score));
        is_changed |= update.added() || update.rescored();
    }
    is_changed
}

/// Which members ZMOVE moves.
#[derive(Clone, Copy)]
enum Which {
    Min,
    Max,
    Score(By<'static>),
}

/// What ZMOVE is asked for.
struct Wanted {
    which: Which,
    /// `usize::MAX` for all.
    count: usize,
}

impl Wanted {
    /// Reads `<MIN | MAX>`, perhaps `BYSCORE score-min score-max`, and the count, which stands at `options` behind the former.
    fn parse(args: Args<'_>, options: usize, may_be_by_score: bool) -> Result<Wanted, ReplyError> {
        let (which, options, default) = match () {
            () if args.is(3, "MIN") => (Which::Min, options, 1),
            () if args.is(3, "MAX") => (Which::Max, options, 1),
            () if may_be_by_score && args.is(3, "BYSCORE") && args.len() >= 6 => {
                (Which::Score(By::scores_of(args.at(4), args.at(5))?), 6, usize::MAX)
            }
            () => return Err(ReplyError::SYNTAX),
        };
        let count = match args.len().checked_sub(options) {
            Some(0) => default,
            Some(2) if args.is(options, "COUNT") => positive(args.at(options + 1), NOT_POSITIVE)?,
            _ => return Err(ReplyError::SYNTAX),
        };
        Ok(Wanted { which, count })
    }

    /// What there is to be moved. Neither key is of another type then.
    fn begin(&self, ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<Option<Moving>, ReplyError> {
        // COMPAT: a key is not moved to itself, and not looked at either.
        if args.at(1) == args.at(2) || !open(ctx, args.at(1), args.at(2))? {
            return Ok(None);
        }
        let at = ctx.at;
        let Some(zset) = ctx.server.dbs[ctx.db].reread::<ZSet>(args.at(1), at)? else { return Ok(None) };
        let all = match self.which {
            Which::Min | Which::Max => 0..zset.len(),
            Which::Score(by) => by.ranks(&zset, false),
        };
        let count = self.count.min(all.len());
        let is_descending = matches!(self.which, Which::Max);
        let left = if is_descending { all.end - count..all.end } else { all.start..all.start + count };
        Ok((count > 0).then_some(Moving { left, is_descending }))
    }
}

/// What is left to be moved: ranks of the source, those at the end first if they descend.
#[derive(Debug)]
struct Moving {
    left: Range<usize>,
    is_descending: bool,
}

impl Moving {
    /// Moves up to so many members, and answers them. O(count * (log N + log M)).
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, count: usize) -> Result<(), ReplyError> {
        let (source, Range { start, end }) = (args.at(1), self.left.clone());
        let ranks = if self.is_descending { end - count..end } else { start..start + count };
        let Ctx { server, reply, db, at, .. } = ctx;
        let Some(mut zset) = server.dbs[*db].write::<ZSet>(source, *at)? else { return Ok(()) };
        let mut moved: Vec<Moved<Vec<u8>>> = Vec::with_capacity(count);
        let mut digits = itoa::Buffer::new();
        moved.extend(zset.iter(ranks.clone()).map(|(member, score)| (member.text(&mut digits).to_vec(), score)));
        if self.is_descending {
            moved.reverse();
        }
        moved.iter().for_each(|(member, _)| reply.bulk(member));
        let is_emptied = ranks.len() == zset.len();
        let old = if is_emptied { None } else { zset.remove_ranks(ranks) };
        drop(zset);
        if let Some(old) = old {
            server.background.free(Box::new(old));
        }
        // Whoever takes the lower ranks finds the others further down.
        self.left = start..end - count;
        arrive(ctx, (source, is_emptied), args.at(2), &moved)
    }
}

pub(super) fn zmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = Wanted::parse(args, 4, true)?;
    match wanted.begin(ctx, args)? {
        Some(moving) => run(ctx, args, moving, None),
        None => {
            ctx.reply.null_array();
            Ok(Next::Done)
        }
    }
}

pub(super) fn bzmove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = Wanted::parse(args, 5, false)?;
    let timeout_ms = parse_timeout(args.at(4), timeouts_from_ms(ctx))?;
    if let Some(moving) = wanted.begin(ctx, args)? {
        return run(ctx, args, moving, Some(4));
    }
    if args.at(1) == args.at(2) {
        ctx.reply.null_array();
        return Ok(Next::Done);
    }
    ctx.wait(Wait {
        keys: vec![args.at(1).into()],
        on: WaitFor::SortedSet,
        timeout_ms,
        on_timeout: NullReply::NullArray,
        args: None,
        look_ms: None,
        until_deleted: false,
    })
}

/// Moves what there is, at once or piece by piece. It is passed on by the line that does not wait: without the argument of this index.
fn run(ctx: &mut Ctx<'_>, args: Args<'_>, mut moving: Moving, timeout: Option<usize>) -> Outcome {
    let (at, count) = (ctx.at, moving.left.len());
    let is_long = ctx.is_long(count) && {
        let zset = ctx.server.dbs[ctx.db].reread::<ZSet>(args.at(1), at)?;
        zset.is_some_and(|zset| ctx.server.jobs.limits.is_long(count, &*zset))
    };
    if is_long {
        return ctx.go_on_in_pieces(InPieces { moving: None, timeout });
    }
    ctx.reply.array(count);
    moving.go_on(ctx, args, count)?;
    pass_on(ctx, args, timeout);
    Ok(Next::Done)
}

fn pass_on(ctx: &mut Ctx<'_>, args: Args<'_>, timeout: Option<usize>) {
    let words = (1..args.len()).filter(|index| Some(*index) != timeout).map(|index| args.at(index));
    ctx.propagate_as(|lines| lines.push([b"ZMOVE".as_slice()].into_iter().chain(words)));
}

/// Very many members that are moved from an end or a range.
#[derive(Debug)]
struct InPieces {
    /// What is left; `None` before the first piece.
    moving: Option<Moving>,
    timeout: Option<usize>,
}

impl Pieces for InPieces {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        if self.moving.is_none() {
            let wanted = Wanted::parse(args, self.timeout.map_or(4, |timeout| timeout + 1), self.timeout.is_none())?;
            self.moving = wanted.begin(ctx, args)?;
            match &self.moving {
                Some(moving) => ctx.reply.array(moving.left.len()),
                None => ctx.reply.null_array(),
            }
        }
        let Some(moving) = &mut self.moving else { return Ok(Progress::Through) };
        while !moving.left.is_empty() {
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX).min(moving.left.len());
            moving.go_on(ctx, args, count)?;
            if moving.left.is_empty() {
                pass_on(ctx, args, self.timeout);
            } else {
                // The whole line stands for all pieces.
                ctx.propagate_as(|_| {});
            }
            // A member is found, answered, taken out and put in.
            if !slice.spend(3 * count, 0) && !moving.left.is_empty() {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Through)
    }
}

/// What ZMOVEMEMBER asks of the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    None,
    Absent,
    Present,
}

/// The condition of ZMOVEMEMBER, and the index of its first member.
fn parse_members(args: Args<'_>) -> Result<(Condition, usize), ReplyError> {
    let (condition, word) = match () {
        () if args.is(3, "NX") => (Condition::Absent, 4),
        () if args.is(3, "XX") => (Condition::Present, 4),
        () => (Condition::None, 3),
    };
    if !args.is(word, "MEMBERS") || args.len() < word + 2 {
        return Err(ReplyError::SYNTAX);
    }
    let count = positive(args.at(word + 1), NO_MEMBERS)?;
    if args.len() - (word + 2) != count {
        return Err(OTHER_COUNT);
    }
    Ok((condition, word + 2))
}

/// Moves those members of a part of the line that may be moved; where they stand in it. O(members * (log N + log M)).
fn move_members(
    ctx: &mut Ctx<'_>,
    args: Args<'_>,
    condition: Condition,
    members: Range<usize>,
) -> Result<Vec<usize>, ReplyError> {
    let (source, destination, at) = (args.at(1), args.at(2), ctx.at);
    let mut wanted: Vec<usize> = members.collect();
    if condition != Condition::None {
        let there = ctx.db().reread::<ZSet>(destination, at)?;
        let has = |index: &usize| there.as_ref().is_some_and(|zset| zset.score(args.at(*index)).is_some());
        wanted.retain(|index| has(index) == (condition == Condition::Present));
    }
    let Some(mut zset) = ctx.db().write::<ZSet>(source, at)? else { return Ok(Vec::new()) };
    let mut moved = Vec::new();
    wanted.retain(|&index| {
        let member = args.at(index);
        zset.remove(member).inspect(|score| moved.push((member, *score))).is_some()
    });
    let is_emptied = zset.is_empty();
    drop(zset);
    arrive(ctx, (source, is_emptied), destination, &moved)?;
    Ok(wanted)
}

pub(super) fn zmovemember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (condition, first) = parse_members(args)?;
    if args.at(1) == args.at(2) || !open(ctx, args.at(1), args.at(2))? {
        ctx.reply.null_array();
        return Ok(Next::Done);
    }
    if ctx.is_long_line(args) {
        return ctx.go_on_in_pieces(ByName { condition, first, next: first, moved: Vec::new(), answered: None });
    }
    let moved = move_members(ctx, args, condition, first..args.len())?;
    if moved.is_empty() {
        ctx.reply.null_array();
    } else {
        ctx.reply.array(moved.len());
        moved.into_iter().for_each(|index| ctx.reply.bulk(args.at(index)));
    }
    Ok(Next::Done)
}

/// Very many members that are moved by their names.
#[derive(Debug)]
struct ByName {
    condition: Condition,
    first: usize,
    /// The argument at which the next piece begins.
    next: usize,
    /// Where those that were moved stand.
    moved: Vec<usize>,
    /// How many of them have been answered, once all are known.
    answered: Option<usize>,
}

impl ByName {
    /// Moves the members of a piece: how many it goes by, and their bytes.
    fn go_on_moving(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, left: usize) -> Result<(usize, usize), ReplyError> {
        let (end, bytes) = extent(args, self.next, 1, left);
        let moved = move_members(ctx, args, self.condition, self.next..end)?;
        if !moved.is_empty() {
            ctx.propagate_as(|lines| {
                let mut count = itoa::Buffer::new();
                let head = [b"ZMOVEMEMBER".as_slice(), args.at(1), args.at(2), b"MEMBERS"];
                let count = count.format(moved.len()).as_bytes();
                let members = moved.iter().map(|&index| args.at(index));
                lines.push(head.into_iter().chain([count]).chain(members));
            });
        }
        self.moved.extend(moved);
        let count = end - self.next;
        self.next = end;
        Ok((count, bytes))
    }

    /// Answers some of the members: how many, and their bytes.
    fn go_on_answering(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, answered: usize) -> (usize, usize) {
        if answered == 0 && !self.moved.is_empty() {
            ctx.reply.array(self.moved.len());
        } else if answered == 0 {
            ctx.reply.null_array();
        }
        let end = self.moved.len().min(answered + PIECE_ELEMENTS_MAX);
        let mut bytes = 0;
        for &index in &self.moved[answered..end] {
            ctx.reply.bulk(args.at(index));
            bytes += args.at(index).len();
        }
        self.answered = Some(end);
        (end - answered, bytes)
    }
}

impl Pieces for ByName {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        if self.next == self.first {
            // The keys are what they are from this instant on.
            open(ctx, args.at(1), args.at(2))?;
        }
        loop {
            let (count, bytes) = match self.answered {
                None if self.next < args.len() => self.go_on_moving(ctx, args, slice.left())?,
                answered => {
                    let spent = self.go_on_answering(ctx, args, answered.unwrap_or(0));
                    if self.answered == Some(self.moved.len()) {
                        return Ok(Progress::Through);
                    }
                    spent
                }
            };
            if !slice.spend(count, bytes) {
                return Ok(Progress::More);
            }
        }
    }
}
