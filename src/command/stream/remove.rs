//! XDEL, XDELEX and XTRIM.

use super::passing::{self, Left};
use super::trimming::{self, Trimming};
use super::{Outcome, ids};
use crate::base::num;
use crate::command::pieces::{self, Answer, Plan};
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Stream;
use crate::store::types::stream::{References, StreamId};

pub(super) const IDS_NOT_POSITIVE: ReplyError = ReplyError::new("ERR Number of IDs must be a positive integer");
pub(super) const IDS_MISMATCH: ReplyError =
    ReplyError::new("ERR The `numids` parameter must match the number of arguments");

/// What XDELEX and XACKDEL answer for each id.
pub(super) mod outcome {
    /// There is no such entry, or it was not pending.
    pub const NONE: i64 = -1;
    /// The entry is gone.
    pub const GONE: i64 = 1;
    /// The entry stays, because some group is not done with it.
    pub const REFERENCED: i64 = 2;
}

/// Tells of entries that were deleted from a key. `forgotten` are those that had gone before, of which some group still
/// had a reference: a change too, but not one that has an event.
pub(super) fn deleted(ctx: &mut Ctx<'_>, event: &str, key: &[u8], removed: usize, forgotten: usize) {
    if removed > 0 {
        ctx.change(Change::new(EventClass::Stream, event, key).in_place().times(removed));
    }
    if forgotten > 0 {
        ctx.change(Change::without_event(key).beside_the_value().times(forgotten));
    }
}

pub(super) fn xdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| remove_all(ctx, piece)).checked(|ctx, piece, part| {
        let at = ctx.at;
        if ctx.db().reread::<Stream>(piece.at(1), at)?.is_some() {
            ids::all(piece.iter_from(part.head))?;
        }
        Ok(None)
    });
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let removed = remove_all(ctx, args)?;
    ctx.reply.integer(removed);
    Ok(Next::Done)
}

/// Removes the entries of the ids of a line; how many there were.
fn remove_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let (key, at) = (args.at(1), ctx.at);
    let removed = match ctx.db().write::<Stream>(key, at)? {
        Some(mut stream) => {
            let ids = ids::all(args.iter_from(2))?;
            ids.into_iter().filter(|&id| stream.remove(id)).count()
        }
        None => 0,
    };
    deleted(ctx, "xdel", key, removed, 0);
    Ok(removed as i64)
}

/// What XDELEX and XACKDEL take from an index of the line on.
pub(super) struct Chosen<'a> {
    pub references: References,
    /// The ids, as they are written.
    pub ids: Args<'a>,
    pub count: usize,
}

impl<'a> Chosen<'a> {
    pub fn parse(args: Args<'a>, first: usize) -> Result<Chosen<'a>, ReplyError> {
        let (mut references, mut ids, mut index) = (None, None, first);
        while index < args.len() {
            if references.is_none() && trimming::references(args, index).is_some() {
                references = trimming::references(args, index);
                index += 1;
            } else if args.is(index, "IDS") && index + 1 < args.len() {
                let count = num::parse_i64(args.at(index + 1)).filter(|&n| n > 0).ok_or(IDS_NOT_POSITIVE)?;
                let rest = args.len() - index - 2;
                let count = usize::try_from(count).ok().filter(|&count| count <= rest).ok_or(IDS_MISMATCH)?;
                ids = Some((args.tail(index + 2), count));
                index += 2 + count;
            } else {
                return Err(ReplyError::SYNTAX);
            }
        }
        let (ids, count) = ids.ok_or(ReplyError::SYNTAX)?;
        Ok(Chosen { references: references.unwrap_or_default(), ids, count })
    }
}

/// What XDELEX and XACKDEL have done so far.
#[derive(Default)]
pub(super) struct Deletions {
    /// Entries that went.
    pub removed: usize,
    /// Ids without an entry of which some group had a reference until now.
    pub forgotten: usize,
}

impl Deletions {
    /// Deletes an entry as both commands do; what is answered for it.
    pub fn delete(&mut self, stream: &mut Stream, id: StreamId, references: References) -> i64 {
        let mut forgotten = false;
        match references {
            References::Keep => {}
            References::Delete => forgotten = stream.forget(id),
            References::Acknowledged => {
                // COMPAT: Redis does not look first whether there is such an entry.
                if stream.is_referenced(id) {
                    return outcome::REFERENCED;
                }
            }
        }
        if stream.remove(id) {
            self.removed += 1;
            outcome::GONE
        } else {
            self.forgotten += usize::from(forgotten);
            outcome::NONE
        }
    }
}

pub(super) fn xdelex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let mut deletions = Deletions::default();
    let outcomes: Vec<i64> = {
        let stream = ctx.db().write::<Stream>(key, at)?;
        let chosen = Chosen::parse(args, 2)?;
        match stream {
            Some(mut stream) => {
                let ids = ids::all(chosen.ids.iter_from(0).take(chosen.count))?;
                ids.into_iter().map(|id| deletions.delete(&mut stream, id, chosen.references)).collect()
            }
            None => vec![outcome::NONE; chosen.count],
        }
    };
    deleted(ctx, "xdel", key, deletions.removed, deletions.forgotten);
    ctx.reply.array(outcomes.len());
    outcomes.into_iter().for_each(|outcome| ctx.reply.integer(outcome));
    Ok(Next::Done)
}

pub(super) fn xtrim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mut trimming = Trimming::default();
    let mut index = 2;
    while index < args.len() {
        index = trimming.option(args, index)?.ok_or(ReplyError::SYNTAX)?;
    }
    trimming.finish(&ctx.server.config, ctx.origin, true)?;
    let (key, at) = (args.at(1), ctx.at);
    let Some(mut stream) = ctx.db().write::<Stream>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    let trimmed = trimming.run(&mut stream);
    let left = Left::by(&trimming, &stream);
    drop(stream);
    deleted(ctx, "xtrim", key, trimmed.removed, trimmed.forgotten);
    if left.is_some() && trimmed.removed + trimmed.forgotten > 0 {
        ctx.propagate_as(|lines| passing::as_it_turned_out(lines, args, args.len(), None, left));
    }
    trimming::discard(ctx.server, trimmed.nodes);
    ctx.reply.integer(trimmed.removed as i64);
    Ok(Next::Done)
}
