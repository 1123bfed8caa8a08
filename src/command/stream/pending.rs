//! XACK, XACKDEL and XPENDING: what a group's consumers were given and have not acknowledged.

use super::remove::{Chosen, Deletions, deleted, outcome};
use super::{Outcome, ids, no_key_or_group, write_id};
use crate::base::num;
use crate::command::pieces::{self, Answer, Plan};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Stream;
use crate::store::types::stream::{Group, StreamId};

/// True if a key has a group. Counts as a lookup to read, as in Redis.
fn has_group(ctx: &mut Ctx<'_>, key: &[u8], group: &[u8]) -> Result<bool, ReplyError> {
    let at = ctx.at;
    Ok(ctx.db().read::<Stream>(key, at)?.is_some_and(|stream| stream.group(group).is_some()))
}

pub(super) fn xack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan =
        Plan::new(1, Answer::Sum, |ctx, piece, _| acknowledge_all(ctx, piece)).checked(|ctx, piece, part| {
            let at = ctx.at;
            let stream = ctx.db().reread::<Stream>(piece.at(1), at)?;
            if stream.is_some_and(|stream| stream.group(piece.at(2)).is_some()) {
                ids::all(piece.iter_from(part.head))?;
            }
            Ok(None)
        });
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 3, &LONG);
    }
    let acknowledged = acknowledge_all(ctx, args)?;
    ctx.reply.integer(acknowledged);
    Ok(Next::Done)
}

/// Acknowledges the ids of a line; how many were pending.
fn acknowledge_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let (key, group, at) = (args.at(1), args.at(2), ctx.at);
    let mut acknowledged = 0;
    if has_group(ctx, key, group)? {
        let ids = ids::all(args.iter_from(3))?;
        if let Some(mut stream) = ctx.db().write::<Stream>(key, at)? {
            let group = stream.group_mut(group).expect("it has just been there");
            acknowledged = ids.into_iter().filter(|&id| group.acknowledge(id)).count();
        }
    }
    if acknowledged > 0 {
        ctx.change(Change::without_event(key).beside_the_value().times(acknowledged));
    }
    Ok(acknowledged as i64)
}

pub(super) fn xackdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, group, at) = (args.at(1), args.at(2), ctx.at);
    let found = has_group(ctx, key, group)?;
    let chosen = Chosen::parse(args, 3)?;
    if !found {
        ctx.reply.array(chosen.count);
        (0..chosen.count).for_each(|_| ctx.reply.integer(outcome::NONE));
        return Ok(Next::Done);
    }
    let ids = ids::all(chosen.ids.iter_from(0).take(chosen.count))?;
    let mut stream = ctx.db().write::<Stream>(key, at)?.expect("it has just been there");
    let (mut acknowledged, mut deletions) = (0, Deletions::default());
    let mut outcomes = Vec::with_capacity(ids.len());
    for id in ids {
        if !stream.group_mut(group).expect("the group is there").acknowledge(id) {
            outcomes.push(outcome::NONE);
            continue;
        }
        acknowledged += 1;
        outcomes.push(match deletions.delete(&mut stream, id, chosen.references) {
            outcome::REFERENCED => outcome::REFERENCED,
            // An entry that was gone before is gone.
            _ => outcome::GONE,
        });
    }
    drop(stream);
    // Every id that counts was acknowledged, whatever else became of it.
    deleted(ctx, "xdel", key, deletions.removed, acknowledged - deletions.removed);
    ctx.reply.array(outcomes.len());
    outcomes.into_iter().for_each(|outcome| ctx.reply.integer(outcome));
    Ok(Next::Done)
}

/// What the longer form of XPENDING lists.
struct Listing<'a> {
    idle_ms: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Listing<'a> {
    /// `None` for the shorter form.
    fn parse(args: Args<'a>) -> Result<Option<Listing<'a>>, ReplyError> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(ReplyError::SYNTAX);
        }
        let (mut idle_ms, mut first) = (0, 3);
        if args.is(3, "IDLE") {
            idle_ms = num::parse_i64(args.at(4)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            if args.len() < 8 {
                return Err(ReplyError::SYNTAX);
            }
            first = 5;
        }
        let count = num::parse_i64(args.at(first + 2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        let (start, end) = (ids::start(args.at(first))?, ids::end(args.at(first + 1))?);
        let count = usize::try_from(count).unwrap_or(0);
        Ok(Some(Listing { idle_ms, start, end, count, consumer: args.get(first + 3) }))
    }

    fn write(&self, group: &Group, reply: &mut Reply<'_>, now_ms: i64) {
        if self.start > self.end {
            return reply.array(0);
        }
        match self.consumer {
            None => {
                let all = group.pending().range(self.start..=self.end).map(|(&id, _)| id);
                self.write_ids(group, all, reply, now_ms);
            }
            Some(name) => match group.find(name) {
                None => reply.array(0),
                Some(consumer) => {
                    let own = group.consumer(consumer).pending().range(self.start..=self.end).copied();
                    self.write_ids(group, own, reply, now_ms);
                }
            },
        }
    }

    fn write_ids(&self, group: &Group, ids: impl Iterator<Item = StreamId>, reply: &mut Reply<'_>, now_ms: i64) {
        let array = reply.open_array(self.count.min(group.pending().len()));
        let mut written = 0;
        for id in ids {
            if written == self.count {
                break;
            }
            let pending = group.pending()[&id];
            let idle_ms = now_ms.saturating_sub(pending.delivered_ms());
            if self.idle_ms != 0 && idle_ms < self.idle_ms {
                continue;
            }
            reply.array(4);
            write_id(reply, id);
            reply.bulk(group.owner_name(&pending));
            reply.integer(if pending.owner().is_some() { idle_ms.max(0) } else { -1 });
            reply.integer(pending.deliveries as i64);
            written += 1;
        }
        reply.close_array(array, written);
    }
}

pub(super) fn xpending(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let listing = Listing::parse(args)?;
    let (key, name, now_ms) = (args.at(1), args.at(2), ctx.now.unix_ms);
    let Ctx { server, reply, db, at, .. } = ctx;
    let stream = server.dbs[*db].read::<Stream>(key, *at)?;
    let Some(group) = stream.as_ref().and_then(|stream| stream.group(name)) else {
        return Err(no_key_or_group(key, name, ""));
    };
    match listing {
        Some(listing) => listing.write(group, reply, now_ms),
        None => write_summary(group, reply),
    }
    Ok(Next::Done)
}

/// The number of pending entries, the first and the last one, and the number of each consumer that has some.
fn write_summary(group: &Group, reply: &mut Reply<'_>) {
    let pending = group.pending();
    reply.array(4);
    reply.integer(pending.len() as i64);
    let (Some((&first, _)), Some((&last, _))) = (pending.first_key_value(), pending.last_key_value()) else {
        reply.null();
        reply.null();
        return reply.null_array();
    };
    write_id(reply, first);
    write_id(reply, last);
    let busy = group.consumers().filter(|consumer| !consumer.pending().is_empty());
    reply.array(busy.clone().count());
    for consumer in busy {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_integer(consumer.pending().len() as i64);
    }
}
