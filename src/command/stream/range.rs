//! XLEN, XRANGE and XREVRANGE.

use super::room::Room;
use super::{Outcome, ids, write_entries, write_entry};
use crate::base::num;
use crate::command::long::{self, Place};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Reply};
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Limits, Slice};
use crate::store::types::stream::{Entry, StreamId};
use crate::store::types::{Collection, Stream};

pub(super) fn xlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let len = ctx.db().read::<Stream>(args.at(1), at)?.map_or(0, |stream| stream.len());
    ctx.reply.integer(len as i64);
    Ok(Next::Done)
}

/// The value of COUNT, `None` if it is not given; negative ones are 0.
fn count(args: Args<'_>) -> Result<Option<usize>, ReplyError> {
    let mut count = None;
    for index in (4..args.len()).step_by(2) {
        if !args.is(index, "COUNT") || index + 1 == args.len() {
            return Err(ReplyError::SYNTAX);
        }
        let n = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        count = Some(usize::try_from(n).unwrap_or(0));
    }
    Ok(count)
}

pub(super) fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    range(ctx, args, args.at(2), args.at(3), false)
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    range(ctx, args, args.at(3), args.at(2), true)
}

fn range(ctx: &mut Ctx<'_>, args: Args<'_>, start: &[u8], end: &[u8], backward: bool) -> Outcome {
    let (start, end, count) = (ids::start(start)?, ids::end(end)?, count(args)?);
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    match (server.dbs[*db].read::<Stream>(args.at(1), *at)?, count) {
        (None, _) => reply.array(0),
        (Some(_), Some(0)) => reply.null_array(),
        (Some(stream), count) if may_become_job && is_long(&server.jobs.limits, &stream, count) => {
            let left = count.unwrap_or(usize::MAX);
            return long::read_key(ctx, args.at(1), Ids { backward, ..Ids::new(start, end, left) });
        }
        (Some(stream), count) if backward => {
            write_entries(reply, stream.range_backward(start, end), count.unwrap_or(0), stream.len());
        }
        (Some(stream), count) => write_entries(reply, stream.range(start, end), count.unwrap_or(0), stream.len()),
    }
    Ok(Next::Done)
}

/// True if a range may have more entries than one turn answers. Those that it has are only known at its end.
fn is_long(limits: &Limits, stream: &Stream, count: Option<usize>) -> bool {
    limits.is_long(stream.len().min(count.unwrap_or(usize::MAX)), stream)
}

/// Where a range goes on.
#[derive(Debug)]
pub(super) struct Ids {
    start: StreamId,
    end: StreamId,
    backward: bool,
    /// Entries to be answered at most.
    left: usize,
    /// The array, once it has begun.
    array: Option<OpenArray>,
    shown: usize,
    /// What the reply has room for.
    pub room: Room,
}

impl Ids {
    /// Answers so many entries of a range, the first one first.
    pub fn new(start: StreamId, end: StreamId, left: usize) -> Ids {
        Ids { start, end, backward: false, left, array: None, shown: 0, room: Room::ENDLESS }
    }

    /// Whether the reply has room for the first entry, if there is one.
    pub fn has_room(&self, stream: &Stream) -> bool {
        stream.range(self.start, self.end).next().is_none_or(|entry| self.room.has_for(&entry))
    }

    /// True between two slices.
    pub fn is_begun(&self) -> bool {
        self.array.is_some()
    }

    /// Writes entries until the slice is over; true at the end.
    fn show<'s>(
        &mut self,
        mut entries: impl Iterator<Item = Entry<'s>>,
        reply: &mut Reply<'_>,
        slice: &mut Slice<'_>,
    ) -> bool {
        while self.left > 0 {
            let Some(entry) = entries.next().filter(|entry| self.room.take(entry)) else { return true };
            let before = reply.out().end();
            write_entry(reply, &entry);
            (self.shown, self.left) = (self.shown + 1, self.left - 1);
            let next = if self.backward { entry.id.prev() } else { entry.id.next() };
            let Some(next) = next else { return true };
            *(if self.backward { &mut self.end } else { &mut self.start }) = next;
            if !slice.spend(1 + entry.len(), reply.out().end().saturating_sub(before)) {
                return false;
            }
        }
        true
    }
}

impl Place<Stream> for Ids {
    fn go_on(&mut self, stream: &Stream, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let array = self.array.take().unwrap_or_else(|| reply.open_array(self.left.min(stream.len())));
        let is_through = match self.backward {
            true => self.show(stream.range_backward(self.start, self.end), reply, slice),
            false => self.show(stream.range(self.start, self.end), reply, slice),
        };
        match is_through {
            true => reply.close_array(array, self.shown),
            false => self.array = Some(array),
        }
        is_through
    }
}
