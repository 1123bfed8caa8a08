//! Moving several elements from one list to another, or within one: LMOVEM, and BLMOVEM, which waits for them.
//!
//! # Order
//! The elements form a block at an end of the source. In the destination they have the order that they had (`BULK`), or that of so
//! many single moves (`OBO`, one by one), which is the reverse if they leave and arrive at the same end. They are answered in
//! that order first. Then they are moved, a piece of the block after the other, so that what arrives at the head arrives last
//! element first; a few are one piece.

use super::push::change_or_create;
use super::{fill, free, parse_end, pop_event, push_event, wait, write_element};
use crate::base::num;
use crate::command::blocking::{parse_timeout, timeouts_from_ms};
use crate::command::collection::remove_emptied;
use crate::command::pieces::PIECE_ELEMENTS_MAX;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::list::{Detached, End, List};

const NOT_POSITIVE: ReplyError = ReplyError::new("ERR count should be greater than 0");

/// What is moved.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    from: End,
    to: End,
    count: usize,
    /// `EXACTLY`: nothing, if there are fewer.
    is_exact: bool,
    /// `BULK`
    keeps_order: bool,
}

impl Wanted {
    /// Reads `<LEFT | RIGHT> <LEFT | RIGHT>` from the fourth word on, and the other options from an index on.
    fn parse(args: Args<'_>, options: usize) -> Result<Wanted, ReplyError> {
        let (from, to) = (parse_end(args.at(3))?, parse_end(args.at(4))?);
        let one = Wanted { from, to, count: 1, is_exact: false, keeps_order: false };
        if args.len() == options {
            return Ok(one);
        }
        if args.len() != options + 3 {
            return Err(ReplyError::SYNTAX);
        }
        let is_exact = args.is(options, "EXACTLY");
        let keeps_order = args.is(options + 2, "BULK");
        if !(is_exact || args.is(options, "COUNT")) || !(keeps_order || args.is(options + 2, "OBO")) {
            return Err(ReplyError::SYNTAX);
        }
        let count = num::parse_i64(args.at(options + 1)).and_then(|count| usize::try_from(count).ok());
        let count = count.filter(|count| *count > 0).ok_or(NOT_POSITIVE)?;
        Ok(Wanted { count, is_exact, keeps_order, ..one })
    }

    /// How many are moved of a list of so many; none if there is nothing to do.
    fn of(self, len: usize) -> Option<usize> {
        if len == 0 || (self.is_exact && len < self.count) { None } else { Some(self.count.min(len)) }
    }

    /// The block has the other order in the destination.
    fn is_reversed(self) -> bool {
        !self.keeps_order && self.from == self.to
    }

    /// The block is gone through from its first element on: what comes last is to be outermost.
    fn goes_forward(self) -> bool {
        self.is_reversed() == (self.to == End::Head)
    }
}

/// What is left to be done of a move.
#[derive(Debug)]
struct Moving {
    wanted: Wanted,
    /// Index of the block's first element in the source.
    start: usize,
    /// Elements of the block that have not been answered.
    unanswered: usize,
    /// Elements that are left of it in the source.
    left: usize,
}

impl Moving {
    /// What there is to be moved. Neither key is of another type then.
    fn begin(ctx: &mut Ctx<'_>, args: Args<'_>, wanted: Wanted) -> Result<Option<Moving>, ReplyError> {
        let at = ctx.at;
        let Some(len) = ctx.db().write::<List>(args.at(1), at)?.map(|list| list.len()) else { return Ok(None) };
        ctx.db().write::<List>(args.at(2), at)?;
        let Some(count) = wanted.of(len) else { return Ok(None) };
        let start = if wanted.from == End::Head { 0 } else { len - count };
        Ok(Some(Moving { wanted, start, unanswered: count, left: count }))
    }

    /// Answers elements of the block, up to so many. O(elements).
    fn answer(&mut self, ctx: &mut Ctx<'_>, source: &[u8], count: usize) -> Result<(), ReplyError> {
        let Ctx { server, reply, db, at, .. } = ctx;
        if self.unanswered == self.left {
            reply.array(self.left);
        }
        let Some(list) = server.dbs[*db].reread::<List>(source, *at)? else { return Ok(()) };
        let done = self.left - self.unanswered;
        if self.wanted.is_reversed() {
            let elements = list.elements_until(self.start + self.unanswered).rev();
            elements.take(count).for_each(|element| write_element(reply, &element));
        } else {
            list.elements_from(self.start + done).take(count).for_each(|element| write_element(reply, &element));
        }
        self.unanswered -= count;
        Ok(())
    }

    /// Moves elements of the block, up to so many. O(elements).
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, count: usize) -> Result<(), ReplyError> {
        let (source, destination, at, fill) = (args.at(1), args.at(2), ctx.at, fill(ctx.server));
        let Wanted { from, to, .. } = self.wanted;
        let is_forward = self.wanted.goes_forward();
        let first = if is_forward { self.start } else { self.start + self.left - count };
        let Some(mut list) = ctx.db().write::<List>(source, at)? else { return Ok(()) };
        let mut elements: Vec<Detached> =
            list.elements_from(first).take(count).map(|element| element.detach()).collect();
        if !is_forward {
            elements.reverse();
        }
        let removed = list.remove_range(first, count);
        let is_same = source == destination;
        if !is_same {
            list.settle(fill);
        }
        let is_emptied = list.is_empty() && !is_same;
        drop(list);
        free(ctx, removed);
        change_or_create(ctx, destination, at, true, |list| {
            list.make_room(fill, elements.iter().map(Detached::counted_bytes).sum(), count);
            elements.iter().for_each(|element| list.push_detached(to, element));
            if is_same {
                list.settle(fill);
            }
        })?;
        if is_same && to == End::Head {
            self.start += count;
        }
        self.left -= count;
        ctx.change(Change::new(EventClass::List, push_event(to), destination).and_key(source).times(count));
        ctx.notify(EventClass::List, pop_event(from), source);
        if is_emptied {
            remove_emptied(ctx, source);
        }
        Ok(())
    }

    /// True if nothing changes: the block comes back to where it was.
    fn is_idle(&self, args: Args<'_>) -> bool {
        args.at(1) == args.at(2) && self.wanted.keeps_order && self.wanted.from == self.wanted.to
    }
}

pub(super) fn lmovem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = Wanted::parse(args, 5)?;
    let Some(moving) = Moving::begin(ctx, args, wanted)? else {
        ctx.reply.null_array();
        return Ok(Next::Done);
    };
    run(ctx, args, moving, None)
}

pub(super) fn blmovem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = Wanted::parse(args, 6)?;
    let timeout_ms = parse_timeout(args.at(5), timeouts_from_ms(ctx))?;
    match Moving::begin(ctx, args, wanted)? {
        Some(moving) => run(ctx, args, moving, Some(5)),
        None => wait::wait(ctx, args.iter_from(1).take(1), timeout_ms),
    }
}

/// Moves what there is, at once or piece by piece. It is passed on by the line that does not wait: without the argument of this index.
fn run(ctx: &mut Ctx<'_>, args: Args<'_>, mut moving: Moving, timeout: Option<usize>) -> Outcome {
    let at = ctx.at;
    let is_long = ctx.is_long(moving.left) && {
        let list = ctx.server.dbs[ctx.db].reread::<List>(args.at(1), at)?;
        list.is_some_and(|list| ctx.server.jobs.limits.is_long(moving.left, &*list))
    };
    if is_long {
        return ctx.go_on_in_pieces(InPieces { wanted: moving.wanted, moving: None, timeout });
    }
    moving.answer(ctx, args.at(1), moving.left)?;
    if !moving.is_idle(args) {
        moving.go_on(ctx, args, moving.left)?;
        pass_on(ctx, args, timeout);
    }
    Ok(Next::Done)
}

fn pass_on(ctx: &mut Ctx<'_>, args: Args<'_>, timeout: Option<usize>) {
    let words = (1..args.len()).filter(|index| Some(*index) != timeout).map(|index| args.at(index));
    ctx.propagate_as(|lines| lines.push([b"LMOVEM".as_slice()].into_iter().chain(words)));
}

/// Very many elements that are moved.
#[derive(Debug)]
struct InPieces {
    wanted: Wanted,
    /// What is left; `None` before the first piece.
    moving: Option<Moving>,
    timeout: Option<usize>,
}

impl Pieces for InPieces {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        if self.moving.is_none() {
            self.moving = Moving::begin(ctx, args, self.wanted)?;
            if self.moving.is_none() {
                ctx.reply.null_array();
            }
        }
        let Some(moving) = &mut self.moving else { return Ok(Progress::Through) };
        let is_idle = moving.is_idle(args);
        loop {
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX);
            let done = if moving.unanswered > 0 {
                let count = count.min(moving.unanswered);
                moving.answer(ctx, args.at(1), count)?;
                count
            } else if moving.left > 0 && !is_idle {
                let count = count.min(moving.left);
                moving.go_on(ctx, args, count)?;
                if moving.left == 0 {
                    pass_on(ctx, args, self.timeout);
                } else {
                    // The whole line stands for all pieces.
                    ctx.propagate_as(|_| {});
                }
                count
            } else {
                return Ok(Progress::Through);
            };
            if !slice.spend(done, 0) {
                return Ok(Progress::More);
            }
        }
    }
}
