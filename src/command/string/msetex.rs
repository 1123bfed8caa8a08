//! MSETEX: many values that live for the same time.

use super::lifetime::{self, Lifetime, Unit};
use super::set::{are_all_there, is_any_there, set_pairs};
use crate::base::num;
use crate::command::spec::{Flags, Outcome};
use crate::command::{Command, lookup_own, pieces};
use crate::resp::args::{Args, Span};
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::db::Ttl;

const BAD_COUNT: ReplyError = ReplyError::new("ERR invalid numkeys value");
const BAD_PAIRS: ReplyError = ReplyError::new("ERR wrong number of key-value pairs");

/// Where the pairs begin.
const FIRST: usize = 2;

/// On what condition the values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    /// `NX`: none of the keys exists.
    IfNoneThere,
    /// `XX`: all of them do.
    IfAllThere,
}

impl Condition {
    /// Whether it is met by the keys of pairs, which go from `first` to the end.
    fn is_met(self, ctx: &mut Ctx<'_>, args: Args<'_>, first: usize) -> bool {
        match self {
            Condition::Always => true,
            Condition::IfNoneThere => !is_any_there(ctx, args, first),
            Condition::IfAllThere => are_all_there(ctx, args, first),
        }
    }
}

/// The options, which stand behind the pairs.
struct Options<'a> {
    condition: Condition,
    lifetime: Lifetime<'a>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, mut index: usize) -> Result<Options<'a>, ReplyError> {
        let mut options = Options { condition: Condition::Always, lifetime: Lifetime::Unsaid };
        while index < args.len() {
            if let Some(until) = Lifetime::until(args, index) {
                options.lifetime = options.lifetime.also(until)?;
                index += 1;
            } else if args.is(index, "KEEPTTL") {
                options.lifetime = options.lifetime.also(Lifetime::Keep)?;
            } else if args.is(index, "NX") {
                options.only(Condition::IfNoneThere)?;
            } else if args.is(index, "XX") {
                options.only(Condition::IfAllThere)?;
            } else {
                return Err(ReplyError::SYNTAX);
            }
            index += 1;
        }
        Ok(options)
    }

    fn only(&mut self, condition: Condition) -> Result<(), ReplyError> {
        if self.condition != Condition::Always && self.condition != condition {
            return Err(ReplyError::SYNTAX);
        }
        self.condition = condition;
        Ok(())
    }
}

pub(super) fn msetex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let end = end_of_pairs(args)?;
    let Options { condition, lifetime } = Options::parse(args, end)?;
    let ttl = match lifetime {
        Lifetime::Until(unit, text) => Ttl::At(lifetime::deadline_ms(ctx.command, ctx.at, unit, text)?),
        Lifetime::Keep => Ttl::Keep,
        Lifetime::Unsaid | Lifetime::Persist => Ttl::Clear,
    };
    if ctx.is_long_line(args) {
        let is_checking = condition != Condition::Always;
        return ctx.go_on_in_pieces(InPieces { end, condition, ttl, is_checking, next: FIRST });
    }
    let pairs = args.up_to(end);
    let is_met = condition.is_met(ctx, pairs, FIRST);
    if is_met {
        set_pairs(ctx, pairs, FIRST, ttl);
        let is_relative = matches!(lifetime, Lifetime::Until(Unit::Seconds | Unit::Milliseconds, _));
        if is_relative || condition != Condition::Always {
            propagate(ctx, args.at(0), pairs, FIRST, ttl);
        }
    }
    ctx.reply.integer(i64::from(is_met));
    Ok(Next::Done)
}

/// Index of the argument behind the pairs.
fn end_of_pairs(args: Args<'_>) -> Result<usize, ReplyError> {
    let pairs = num::parse_i64(args.at(1)).and_then(|pairs| i32::try_from(pairs).ok()).filter(|pairs| *pairs > 0);
    let pairs = pairs.ok_or(BAD_COUNT)? as usize;
    if pairs > (args.len() - FIRST) / 2 { Err(BAD_PAIRS) } else { Ok(FIRST + 2 * pairs) }
}

/// Has the values of pairs passed on, from `first` to the end: what was done, and not what it depended on.
fn propagate(ctx: &mut Ctx<'_>, name: &[u8], pairs: Args<'_>, first: usize, ttl: Ttl) {
    ctx.propagate_as(|lines| {
        let (mut digits, mut deadline) = (itoa::Buffer::new(), itoa::Buffer::new());
        let count = digits.format((pairs.len() - first) / 2).as_bytes();
        let (word, deadline): (Option<&[u8]>, Option<&[u8]>) = match ttl {
            Ttl::Clear => (None, None),
            Ttl::Keep => (Some(b"KEEPTTL"), None),
            Ttl::At(deadline_ms) => (Some(b"PXAT"), Some(deadline.format(deadline_ms).as_bytes())),
        };
        lines.push([name, count].into_iter().chain(pairs.iter_from(first)).chain(word).chain(deadline));
    });
}

/// MSETEX of very many keys.
#[derive(Debug)]
struct InPieces {
    /// Where the pairs end.
    end: usize,
    condition: Condition,
    ttl: Ttl,
    /// Nothing is stored before all keys have been looked at.
    is_checking: bool,
    /// The argument at which the next piece begins.
    next: usize,
}

impl Pieces for InPieces {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let (mut spans, name): (Vec<Span>, _) = (Vec::new(), ctx.command.spec.name.as_bytes());
        let is_keeping_to_snapshots = ctx.command.spec.flags.has(Flags::WRITE) && !slice.is_endless();
        loop {
            let (end, bytes) = pieces::extent(args.up_to(self.end), self.next, 2, slice.left());
            // What is left of the line is a line of MSET.
            let piece = args.pick(1, self.next..end, &mut spans);
            if self.is_checking {
                if !self.condition.is_met(ctx, piece, 1) {
                    ctx.reply.integer(0);
                    return Ok(Progress::Through);
                }
            } else {
                if is_keeping_to_snapshots && ctx.snapshot_lacks_of(mset(), piece) {
                    return Ok(Progress::Waits);
                }
                set_pairs(ctx, piece, 1, self.ttl);
                propagate(ctx, name, piece, 1, self.ttl);
            }
            let elements = (end - self.next) / 2;
            self.next = end;
            if self.next >= self.end {
                if !self.is_checking {
                    ctx.reply.integer(1);
                    return Ok(Progress::Through);
                }
                (self.is_checking, self.next) = (false, FIRST);
            }
            if !slice.spend(elements, bytes) {
                return Ok(Progress::More);
            }
        }
    }
}

/// The command whose lines the pieces are.
fn mset() -> &'static Command {
    lookup_own(b"MSET").expect("it has a row")
}
