//! XREADGROUP of very many new entries, which are given piece by piece.

use super::*;
use crate::command::pieces::PIECE_ELEMENTS_MAX;
use crate::command::stream::room::bytes_of;
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};

/// Bytes of entries that are given at a time, but for the last of them.
const PIECE_BYTES_MAX: usize = 1 << 16;
/// To read an entry, to answer with it, to make it pending and to pass that on costs as much as some elements.
const GIVEN_COST: usize = 4;

/// True if a line asks for new entries only, and for so many that they are given piece by piece.
pub(super) fn is_long(ctx: &mut Ctx<'_>, line: &Line<'_>, args: Args<'_>, wanted: &[From]) -> bool {
    let Some(long) = ctx.job_limits().map(|limits| limits.long) else { return false };
    let Some((group, _)) = line.group.filter(|_| line.claim_ms.is_none()) else { return false };
    let most = if line.count == 0 { usize::MAX } else { line.count };
    if most.min(line.room.entries()) <= long || !wanted.iter().all(|from| matches!(from, From::New)) {
        return false;
    }
    let (at, mut entries) = (ctx.at, 0_usize);
    for key in line.keys(args) {
        let found = ctx.db().peek_live(key, at);
        let Some(stream) = found.and_then(|entry| entry.into_collection::<Stream>()) else { continue };
        let Some(start) = stream.group(group).and_then(|group| group.last_id.next()) else { continue };
        if stream.last().is_some_and(|last| last.id >= start) {
            entries = entries.saturating_add(most.min(entries_behind(&stream, start, long)));
        }
    }
    entries > long
}

/// A stream that has something new.
#[derive(Debug)]
struct Part {
    key: Box<[u8]>,
    consumer: ConsumerId,
    /// The consumer was made for it.
    made: bool,
    /// Entries that may still be given.
    left: usize,
}

/// New entries of streams.
#[derive(Debug, Default)]
pub(super) struct Giving {
    /// The streams that have some; `None` before the first piece.
    parts: Option<Vec<Part>>,
    index: usize,
    room: Option<Room>,
    /// The array of all, once it has begun, and how many streams have an answer.
    outer: Option<(OpenArray, usize)>,
    /// The array of the stream whose turn it is, once it has begun, and how many entries are in it.
    inner: Option<(OpenArray, usize)>,
}

impl Giving {
    /// Makes the consumer where it is not, and finds the streams that have something new, at the instant of the command.
    fn begin<'a>(ctx: &mut Ctx<'_>, line: &Line<'a>, args: Args<'a>) -> Result<Vec<Part>, ReplyError> {
        let (group, consumer) = line.group.ok_or(NO_GROUP_OPTION)?;
        let wanted = wanted_of(ctx, line, args)?;
        let left = if line.count == 0 { usize::MAX } else { line.count };
        let mut parts = Vec::new();
        for Found { key, consumer: id, made, ready, .. } in prepare(ctx, line, args, &wanted, consumer)? {
            if ready {
                parts.push(Part { key: key.into(), consumer: id, made, left });
            } else if made {
                ctx.propagate_as(|lines| Place { key, group }.consumer(lines, consumer));
            }
        }
        Ok(parts)
    }

    /// Ends the answer of the stream whose turn it is, if it has one.
    fn end_part(&mut self, reply: &mut Reply<'_>) {
        if let Some((array, entries)) = self.inner.take() {
            reply.close_array(array, entries);
        }
        self.index += 1;
    }
}

/// The new entries of a stream that are given next, and their bytes.
fn next_of(stream: &Stream, group: &[u8], count: usize, room: &mut Room) -> (Vec<StreamId>, usize) {
    let last = stream.group(group).map_or(StreamId::MAX, |group| group.last_id);
    let (mut ids, mut bytes) = (Vec::new(), 0);
    for entry in last.next().into_iter().flat_map(|start| stream.range(start, StreamId::MAX)).take(count) {
        if bytes > PIECE_BYTES_MAX || !room.take(&entry) {
            break;
        }
        bytes += bytes_of(&entry);
        ids.push(entry.id);
    }
    (ids, bytes)
}

impl Pieces for Giving {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let line = Line::parse(args, true, timeouts_from_ms(ctx))?;
        let (group, consumer) = line.group.ok_or(NO_GROUP_OPTION)?;
        if self.parts.is_none() {
            self.parts = Some(Giving::begin(ctx, &line, args)?);
        }
        let now_ms = ctx.now.unix_ms;
        while let Some(part) = self.parts.as_mut().and_then(|parts| parts.get_mut(self.index)) {
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX).min(part.left);
            let reader = Reader { group, consumer: part.consumer, count, noack: line.noack, claim_ms: None, now_ms };
            let Ctx { server, reply, db, at, .. } = &mut *ctx;
            let Some(mut stream) = server.dbs[*db].write::<Stream>(&part.key, *at)? else {
                debug_assert!(false, "what is held stays");
                self.index += 1;
                continue;
            };
            let (new, bytes) = next_of(&stream, group, count, self.room.get_or_insert(line.room));
            if new.is_empty() {
                drop(stream);
                if part.made && self.inner.is_none() {
                    ctx.propagate_as(|lines| Place { key: &part.key, group }.consumer(lines, consumer));
                }
                self.end_part(&mut ctx.reply);
                continue;
            }
            let is_first = self.inner.is_none();
            if is_first {
                let (_, answered) = self.outer.get_or_insert_with(|| (reply.open_array(line.streams), 0));
                *answered += 1;
                open_one(reply, &part.key);
            }
            let (_, given_before) = self.inner.get_or_insert_with(|| (reply.open_array(0), 0));
            *given_before += new.len();
            let given = reader.give(&mut stream, reply, &[], &new);
            let ages_kept = stream.group(group).is_some_and(|group| group.keeps_ages());
            drop(stream);
            ctx.change(Change::without_event(&part.key).beside_the_value().times(usize::from(is_first)));
            if ages_kept {
                ctx.look_again(&part.key);
            }
            let place = Place { key: &part.key, group };
            ctx.propagate_as(|lines| {
                if is_first && part.made && given.pending.is_empty() {
                    place.consumer(lines, consumer);
                }
                place.pending(lines, consumer, &given.pending, given.before);
                if let Some((last_id, entries_read)) = given.now {
                    place.position(lines, last_id, entries_read);
                }
            });
            part.left -= new.len();
            if part.left == 0 {
                self.end_part(&mut ctx.reply);
            }
            if !slice.spend(GIVEN_COST * new.len(), bytes) {
                return Ok(Progress::More);
            }
        }
        match self.outer.take() {
            Some((array, answered)) => ctx.reply.close_pairs(array, answered),
            // Others have been given all of it before.
            None => ctx.reply.null_array(),
        }
        Ok(Progress::Through)
    }
}
