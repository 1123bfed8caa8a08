//! What commands with very many arguments have in common: they do to some of their arguments what they would do to all, and go on
//! with the next ones in the next slice.

use std::ops::Range;

use super::spec::{Flags, Outcome};
use crate::resp::args::{Args, Span};
use crate::resp::error::ReplyError;
use crate::server::ctx::Ctx;
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;

/// Arguments of a piece at most: some tens of microseconds of work, and so many that what is passed on of each is no burden.
const PIECE_ARGS_MAX: usize = 64;
/// Elements of a piece at most, of a command that takes very many of one value.
pub(super) const PIECE_ELEMENTS_MAX: usize = PIECE_ARGS_MAX;
/// Bytes of a piece from which on nothing is added to it.
const PIECE_BYTES: usize = 16 * 1024;

/// What is known of a piece of a line besides its arguments: first those that all pieces share, then some of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// How many arguments it shares with the others.
    pub head: usize,
    /// How many arguments the pieces have in all, told to the first one: a value that will be large is made so at once, as by the
    /// whole line. 0 for the others.
    pub expected: usize,
}

/// What is done with one piece. What it returns becomes a part of the answer.
pub(super) type Work = fn(ctx: &mut Ctx<'_>, piece: Args<'_>, part: Part) -> Result<i64, ReplyError>;

/// Looks at a piece before anything is changed. `Some` answers the command, of which nothing is done then.
pub(super) type Check = fn(ctx: &mut Ctx<'_>, piece: Args<'_>, part: Part) -> Result<Option<i64>, ReplyError>;

/// How a command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// With the sum of what was returned for the pieces.
    Sum,
    /// With what was returned for the last piece.
    Last,
    /// With 1 if a piece returned anything but 0.
    Any,
    /// With `OK`.
    Ok,
    /// With an array of one element for each step, which the pieces write.
    Array,
    /// With what the only piece writes.
    Written,
}

/// How a command with very many arguments is done in pieces.
#[derive(Debug)]
pub(super) struct Plan {
    /// Arguments from one element to the next.
    pub step: usize,
    pub answer: Answer,
    pub check: Option<Check>,
    pub work: Work,
}

impl Plan {
    /// One that checks nothing before.
    pub const fn new(step: usize, answer: Answer, work: Work) -> Plan {
        Plan { step, answer, check: None, work }
    }

    /// One that checks all pieces before it begins with the first.
    pub const fn checked(self, check: Check) -> Plan {
        Plan { check: Some(check), ..self }
    }
}

/// Has a command go on piece by piece. All pieces begin with the first `head` arguments of the line.
///
/// # Errors
/// None.
pub(super) fn begin(ctx: &mut Ctx<'_>, head: usize, plan: &'static Plan) -> Outcome {
    let (is_checking, has_begun, next, total) = (plan.check.is_some(), false, head, 0);
    ctx.go_on_in_pieces(ByArguments { plan, head, is_checking, has_begun, next, total })
}

/// The piece of a line that begins at `next`, of elements of `step` arguments and of no more of them than `left`: where it ends, and
/// its bytes.
pub(super) fn extent(args: Args<'_>, next: usize, step: usize, left: usize) -> (usize, usize) {
    let elements_max = left.clamp(1, PIECE_ARGS_MAX / step);
    let (mut end, mut bytes) = (next, 0);
    let last = args.len().min(next.saturating_add(elements_max.saturating_mul(step)));
    while end < last && bytes < PIECE_BYTES {
        bytes += (end..end + step).filter_map(|index| args.get(index)).map(<[u8]>::len).sum::<usize>();
        end += step;
    }
    (end.min(args.len()), bytes)
}

/// How a command is done in pieces whose elements have a place in its line, behind options and perhaps before others: its work reads the
/// options again for each piece, which takes no longer than there are options.
#[derive(Debug)]
pub(super) struct Within {
    /// Arguments of an element.
    pub width: usize,
    /// It is answered with an array of one reply for each element, which the pieces write; or else with 1, or 0 if it was not let.
    pub is_array: bool,
    /// Whether elements of a line let all be done. Nothing is done before all have been asked.
    pub check: fn(ctx: &mut Ctx<'_>, line: Args<'_>, elements: Args<'_>) -> Result<bool, ReplyError>,
    /// Does to elements of a line, one of whose arguments is counted, what is to be done to all: see [`Part::expected`].
    pub work: fn(ctx: &mut Ctx<'_>, line: Args<'_>, elements: Args<'_>, expected: usize) -> Result<(), ReplyError>,
}

/// Has a command go on with the elements that stand in a range of its line. Its key is the first argument.
///
/// # Errors
/// None.
pub(super) fn begin_within(ctx: &mut Ctx<'_>, range: Range<usize>, plan: &'static Within) -> Outcome {
    let next = range.start;
    ctx.go_on_in_pieces(InLine { plan, range, is_checking: true, has_begun: false, next })
}

/// Looks whether the key of a command that only reads has a value of a type, which nobody changes meanwhile.
///
/// # Errors
/// It has another one.
pub(super) fn check_type<T: Collection>(
    ctx: &mut Ctx<'_>,
    piece: Args<'_>,
    _: Part,
) -> Result<Option<i64>, ReplyError> {
    let at = ctx.at;
    ctx.db().reread::<T>(piece.at(1), at)?;
    Ok(None)
}

/// A command that goes by its arguments.
#[derive(Debug)]
struct ByArguments {
    plan: &'static Plan,
    head: usize,
    /// Nothing is done before all pieces have been looked at.
    is_checking: bool,
    /// The answer has begun.
    has_begun: bool,
    /// The argument at which the next piece begins.
    next: usize,
    total: i64,
}

impl ByArguments {
    fn work(&mut self, ctx: &mut Ctx<'_>, piece: Args<'_>, part: Part) -> Result<(), ReplyError> {
        let done = ctx.do_piece(piece, |ctx| (self.plan.work)(ctx, piece, part))?;
        match self.plan.answer {
            Answer::Last => self.total = done,
            _ => self.total += done,
        }
        Ok(())
    }

    fn answer(&self, ctx: &mut Ctx<'_>) {
        match self.plan.answer {
            Answer::Sum | Answer::Last => ctx.reply.integer(self.total),
            Answer::Any => ctx.reply.integer(i64::from(self.total != 0)),
            Answer::Ok => ctx.reply.ok(),
            Answer::Array | Answer::Written => {}
        }
    }
}

impl Pieces for ByArguments {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let mut spans: Vec<Span> = Vec::new();
        let is_keeping_to_snapshots = ctx.command.spec.flags.has(Flags::WRITE) && !slice.is_endless();
        loop {
            let (end, bytes) = extent(args, self.next, self.plan.step, slice.left());
            let piece = args.pick(self.head, self.next..end, &mut spans);
            let part = Part { head: self.head, expected: if self.has_begun { 0 } else { args.len() - self.head } };
            if let Some(check) = self.plan.check.filter(|_| self.is_checking) {
                if let Some(answer) = check(ctx, piece, part)? {
                    ctx.reply.integer(answer);
                    return Ok(Progress::Through);
                }
            } else {
                if is_keeping_to_snapshots && ctx.snapshot_lacks(piece) {
                    return Ok(Progress::Waits);
                }
                if !self.has_begun && self.plan.answer == Answer::Array {
                    ctx.reply.array((args.len() - self.head).div_ceil(self.plan.step));
                }
                self.has_begun = true;
                self.work(ctx, piece, part)?;
            }
            let elements = end - self.next;
            self.next = end;
            if self.next >= args.len() {
                if !self.is_checking {
                    self.answer(ctx);
                    return Ok(Progress::Through);
                }
                (self.is_checking, self.next) = (false, self.head);
            }
            if !slice.spend(elements, bytes) {
                return Ok(Progress::More);
            }
        }
    }
}

/// Arguments that a piece of a line begins with: the command and its key.
const KEYED_HEAD: usize = 2;

/// A command that goes by elements in the midst of its line.
#[derive(Debug)]
struct InLine {
    plan: &'static Within,
    range: Range<usize>,
    /// Nothing is done before all elements have been looked at.
    is_checking: bool,
    /// The first piece has been done.
    has_begun: bool,
    /// The argument at which the next piece begins.
    next: usize,
}

impl InLine {
    /// Looks at a piece; false if it does not let the command be done.
    fn check(&self, ctx: &mut Ctx<'_>, args: Args<'_>, piece: Args<'_>) -> Result<bool, ReplyError> {
        (self.plan.check)(ctx, args, piece.tail(KEYED_HEAD))
    }

    fn work(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, piece: Args<'_>) -> Result<(), ReplyError> {
        let elements = self.range.len() / self.plan.width;
        if !self.has_begun && self.plan.is_array {
            ctx.reply.array(elements);
        }
        let expected = if self.has_begun { 0 } else { elements };
        self.has_begun = true;
        ctx.do_piece(piece, |ctx| (self.plan.work)(ctx, args, piece.tail(KEYED_HEAD), expected))
    }
}

impl Pieces for InLine {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let mut spans: Vec<Span> = Vec::new();
        let is_keeping_to_snapshots = !slice.is_endless();
        loop {
            let line = args.up_to(self.range.end);
            let (end, bytes) = extent(line, self.next, self.plan.width, slice.left());
            let piece = args.pick(KEYED_HEAD, self.next..end, &mut spans);
            if self.is_checking {
                if !self.check(ctx, args, piece)? {
                    ctx.reply.integer(0);
                    return Ok(Progress::Through);
                }
            } else if is_keeping_to_snapshots && ctx.snapshot_lacks(piece) {
                return Ok(Progress::Waits);
            } else {
                self.work(ctx, args, piece)?;
            }
            let elements = end - self.next;
            self.next = end;
            if self.next >= self.range.end {
                if !self.is_checking {
                    if !self.plan.is_array {
                        ctx.reply.integer(1);
                    }
                    return Ok(Progress::Through);
                }
                (self.is_checking, self.next) = (false, self.range.start);
            }
            if !slice.spend(elements, bytes) {
                return Ok(Progress::More);
            }
        }
    }
}
