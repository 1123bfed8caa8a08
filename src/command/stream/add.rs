//! XADD, and XSETID that sets what XADD goes on from.

use super::ids::{self, Wanted};
use super::passing::{self, Left};
use super::producers::{self, Sender};
use super::trimming::{self, Trimming};
use super::{Outcome, write_id};
use crate::base::num;
use crate::config::{Config, EventClass};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::store::types::stream::{NodeLimits, Remembering, StreamId};
use crate::store::types::{Collection, Stream};

const ZERO: ReplyError = ReplyError::new("ERR The ID specified in XADD must be greater than 0-0");
const NOT_ABOVE: ReplyError =
    ReplyError::new("ERR The ID specified in XADD is equal or smaller than the target stream top item");
const EXHAUSTED: ReplyError =
    ReplyError::new("ERR The stream has exhausted the last possible ID, unable to add more items");
const TOO_LARGE: ReplyError = ReplyError::new("ERR Elements are too large to be stored");

/// A read command line.
struct Line<'a> {
    trimming: Trimming,
    /// Who sends the entry, if it must not be added twice.
    sender: Option<Sender<'a>>,
    create: bool,
    wanted: Wanted,
    /// Index of the first field.
    fields: usize,
}

impl<'a> Line<'a> {
    fn parse(args: Args<'a>, config: &Config, origin: CallOrigin, is_replayed: bool) -> Result<Line<'a>, ReplyError> {
        let (mut trimming, mut create, mut wanted) = (Trimming::default(), true, Wanted::Next);
        let mut sender: Option<Sender<'a>> = None;
        let mut index = 2;
        while index < args.len() {
            if args.at(index) == b"*" {
                index += 1;
                break;
            }
            if let Some(next) = trimming.option(args, index)? {
                index = next;
            } else if let Some((found, next)) = Sender::option(args, index, sender.is_some())? {
                (sender, index) = (Some(found), next);
            } else if args.is(index, "NOMKSTREAM") {
                create = false;
                index += 1;
            } else {
                wanted = ids::wanted(args.at(index))?;
                index += 1;
                break;
            }
        }
        if let Some(sender) = &sender {
            sender.check(wanted == Wanted::Next, is_replayed)?;
        }
        trimming.finish(config, origin, false)?;
        let elements = args.len() - index;
        if elements < 2 || !elements.is_multiple_of(2) {
            return Err(ReplyError::arity("xadd"));
        }
        if wanted == Wanted::Exactly(StreamId::MIN) {
            return Err(ZERO);
        }
        Ok(Line { trimming, sender, create, wanted, fields: index })
    }
}

/// The id that a new entry gets.
fn new_id(wanted: Wanted, last: StreamId, next: Option<StreamId>) -> Result<StreamId, ReplyError> {
    if last == StreamId::MAX {
        return Err(EXHAUSTED);
    }
    match wanted {
        Wanted::Next => next.ok_or(EXHAUSTED),
        Wanted::Exactly(id) if id > last => Ok(id),
        Wanted::Within(ms) if ms > last.ms => Ok(StreamId::new(ms, 0)),
        Wanted::Within(ms) if ms == last.ms && last.seq < u64::MAX => Ok(StreamId::new(ms, last.seq + 1)),
        _ => Err(NOT_ABOVE),
    }
}

pub(super) fn xadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let is_replayed = producers::is_replayed(ctx);
    let line = Line::parse(args, &ctx.server.config, ctx.origin, is_replayed)?;
    let flat = args.iter_from(line.fields);
    if !Stream::can_hold(flat.clone()) {
        return Err(TOO_LARGE);
    }
    let (key, now_ms) = (args.at(1), u64::try_from(ctx.now.unix_ms).unwrap_or(0));
    let remembering = producers::remembering(&ctx.server.config, is_replayed);
    let Ctx { server, db, at, .. } = ctx;
    let limits = NodeLimits {
        bytes: usize::try_from(server.config.stream_node_max_bytes).unwrap_or(0),
        entries: usize::try_from(server.config.stream_node_max_entries).unwrap_or(0),
    };
    let db = &mut server.dbs[*db];
    if !line.create && db.write::<Stream>(key, at.without_access())?.is_none() {
        ctx.reply.null();
        return Ok(Next::Done);
    }
    let mut made = false;
    let mut stream = db.write_or_create(key, *at, || {
        made = true;
        Stream::remembering(remembering)
    })?;
    // What a primary or a log brings was new there, or not, whatever the time is here.
    let known_at = Some(now_ms).filter(|_| !is_replayed);
    let sent = line.sender.map(|sender| (sender.producer, sender.id(flat.clone())));
    if let Some((producer, id)) = &sent
        && let Some(known) = known_entry(&stream, producer, id, line.wanted, known_at)
    {
        stream.producers_mut().duplicates += 1;
        drop(stream);
        return add_again(ctx, args, &line, known);
    }
    // A new stream takes every id but the one refused above, so that none is left behind empty.
    let id = new_id(line.wanted, stream.last_id(), stream.next_id(now_ms))?;
    stream.append(id, flat, limits);
    if let Some((producer, name)) = &sent {
        // What a primary or a log brings was added at the time that its id tells, if clocks agree.
        stream.producers_mut().remember(producer, name, id, Some(now_ms.min(id.ms)));
    }
    let trimmed = line.trimming.run(&mut stream);
    let left = Left::by(&line.trimming, &stream);
    drop(stream);
    ctx.db().knows_producers |= sent.is_some() || remembering != Remembering::default();
    ctx.change(Change::new(EventClass::Stream, "xadd", key));
    let decided = Some(id).filter(|_| !matches!(line.wanted, Wanted::Exactly(_)));
    let is_unusual = made && remembering != Remembering::default();
    if decided.is_some() || left.is_some() || is_unusual {
        ctx.propagate_as(|lines| {
            passing::as_it_turned_out(lines, args, line.fields - 1, decided, left);
            if is_unusual {
                producers::pass_remembering(lines, key, remembering);
            }
        });
    }
    if trimmed.removed > 0 {
        ctx.notify(EventClass::Stream, "xtrim", key);
        trimming::discard(ctx.server, trimmed.nodes);
    }
    write_id(&mut ctx.reply, id);
    Ok(Next::Done)
}

/// The entry that was added when this one was sent before. A line that has been passed on names the entry.
fn known_entry(stream: &Stream, producer: &[u8], id: &[u8], wanted: Wanted, now_ms: Option<u64>) -> Option<StreamId> {
    let known = stream.producers().and_then(|producers| producers.find(producer, id, now_ms));
    match wanted {
        Wanted::Exactly(entry) => Some(entry).filter(|&entry| entry <= stream.last_id()),
        _ => known,
    }
}

/// Answers an entry that was sent once more, and added nothing.
fn add_again(ctx: &mut Ctx<'_>, args: Args<'_>, line: &Line<'_>, known: StreamId) -> Outcome {
    ctx.change(Change::without_event(args.at(1)).beside_the_value());
    // Who hears of it may have forgotten which entry it was.
    if !matches!(line.wanted, Wanted::Exactly(_)) {
        ctx.propagate_as(|lines| passing::as_it_turned_out(lines, args, line.fields - 1, Some(known), None));
    }
    write_id(&mut ctx.reply, known);
    Ok(Next::Done)
}

const BELOW_MAX_DELETED: ReplyError =
    ReplyError::new("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
const BELOW_CURRENT_MAX_DELETED: ReplyError =
    ReplyError::new("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
const BELOW_TOP: ReplyError =
    ReplyError::new("ERR The ID specified in XSETID is smaller than the target stream top item");
const TOO_FEW_ADDED: ReplyError =
    ReplyError::new("ERR The entries_added specified in XSETID is smaller than the target stream length");
const NEGATIVE_ADDED: ReplyError = ReplyError::new("ERR entries_added must be positive");

pub(super) fn xsetid(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, last_id) = (args.at(1), ids::exact(args.at(2))?);
    let (mut added, mut max_deleted) = (None, None);
    for index in (3..args.len()).step_by(2) {
        let more = index + 1 < args.len();
        if more && args.is(index, "ENTRIESADDED") {
            let n = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            added = Some(u64::try_from(n).map_err(|_| NEGATIVE_ADDED)?);
        } else if more && args.is(index, "MAXDELETEDID") {
            let id = ids::exact(args.at(index + 1))?;
            if last_id < id {
                return Err(BELOW_MAX_DELETED);
            }
            max_deleted = Some(id);
        } else {
            return Err(ReplyError::SYNTAX);
        }
    }
    let at = ctx.at;
    let mut stream = ctx.db().write::<Stream>(key, at)?.ok_or(ReplyError::NO_SUCH_KEY)?;
    if last_id < stream.max_deleted_id() {
        return Err(BELOW_CURRENT_MAX_DELETED);
    }
    if !stream.is_empty() {
        // What was deleted at the end may lie above.
        if stream.last().is_some_and(|last| last_id < last.id) {
            return Err(BELOW_TOP);
        }
        if added.is_some_and(|added| added < stream.len() as u64) {
            return Err(TOO_FEW_ADDED);
        }
    }
    stream.set_last_id(last_id, added, max_deleted.filter(|&id| id != StreamId::MIN));
    drop(stream);
    ctx.change(Change::new(EventClass::Stream, "xsetid", key).beside_the_value());
    ctx.reply.ok();
    Ok(Next::Done)
}
