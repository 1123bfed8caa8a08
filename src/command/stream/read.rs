//! XREAD and XREADGROUP: entries of several streams at once, now or when there are some.

use super::passing::{Passed, Place};
use super::range::Ids;
use super::{Outcome, consumer_of, ids, no_key_or_group, tell_of_consumer, write_entries, write_entry, write_id};
use crate::base::num;
use crate::command::blocking::{parse_timeout_ms, timeouts_from_ms};
use crate::command::long::Place as _;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Proto, Reply};
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::server::jobs::{Job, Step, Work};
use crate::store::db::{Db, Moment};
use crate::store::types::stream::{ConsumerId, Pending, StreamId};
use crate::store::types::{Collection, Stream};

const UNBALANCED_XREAD: ReplyError = ReplyError::new(
    "ERR Unbalanced 'xread' list of streams: for each stream key an ID, '+', or '$' must be specified.",
);
const UNBALANCED_XREADGROUP: ReplyError =
    ReplyError::new("ERR Unbalanced 'xreadgroup' list of streams: for each stream key an ID or '>' must be specified.");
const GROUP_IN_XREAD: ReplyError =
    ReplyError::new("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
const NOACK_IN_XREAD: ReplyError =
    ReplyError::new("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
const NEW_IN_XREAD: ReplyError = ReplyError::new(
    "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
);
const LAST_IN_XREADGROUP: ReplyError = ReplyError::new(
    "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying \
     a proper ID, or use the > ID to get new messages. The $ ID would just return an empty result set.",
);
const NEWEST_IN_XREADGROUP: ReplyError = ReplyError::new(
    "ERR The + ID is meaningless in the context of XREADGROUP: you want to read the history of this consumer by specifying \
     a proper ID, or use the > ID to get new messages. The + ID would just return an empty result set.",
);
const NO_GROUP_OPTION: ReplyError = ReplyError::new("ERR Missing GROUP option for XREADGROUP");

/// What a refusal of XREADGROUP says where it was refused.
const WITH_GROUP_OPTION: &str = " in XREADGROUP with GROUP option";

/// A read command line, up to the ids.
struct Line<'a> {
    /// Entries of each stream at most; 0 for all.
    count: usize,
    /// How long to wait, if at all; 0 for ever.
    block_ms: Option<u64>,
    /// The group and the consumer.
    group: Option<(&'a [u8], &'a [u8])>,
    noack: bool,
    /// Index of the first key.
    keys: usize,
    /// Number of keys, and of ids.
    streams: usize,
}

impl<'a> Line<'a> {
    fn parse(args: Args<'a>, of_group: bool, timeouts_from_ms: i64) -> Result<Line<'a>, ReplyError> {
        let mut line = Line { count: 0, block_ms: None, group: None, noack: false, keys: 0, streams: 0 };
        let mut index = 1;
        while index < args.len() {
            let more = args.len() - 1 - index;
            if more > 0 && args.is(index, "BLOCK") {
                line.block_ms = Some(parse_timeout_ms(args.at(index + 1), timeouts_from_ms)?);
                index += 2;
            } else if more > 0 && args.is(index, "COUNT") {
                let n = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
                line.count = usize::try_from(n).unwrap_or(0);
                index += 2;
            } else if more > 0 && args.is(index, "STREAMS") {
                (line.keys, line.streams) = (index + 1, more / 2);
                if !more.is_multiple_of(2) {
                    return Err(if of_group { UNBALANCED_XREADGROUP } else { UNBALANCED_XREAD });
                }
                break;
            } else if more >= 2 && args.is(index, "GROUP") {
                if !of_group {
                    return Err(GROUP_IN_XREAD);
                }
                line.group = Some((args.at(index + 1), args.at(index + 2)));
                index += 3;
            } else if args.is(index, "NOACK") {
                if !of_group {
                    return Err(NOACK_IN_XREAD);
                }
                line.noack = true;
                index += 1;
            } else {
                return Err(ReplyError::SYNTAX);
            }
        }
        if line.streams == 0 {
            return Err(ReplyError::SYNTAX);
        }
        Ok(line)
    }

    fn keys(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        args.iter_from(self.keys).take(self.streams)
    }

    fn ids(&self, args: Args<'a>) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        args.iter_from(self.keys + self.streams)
    }

    /// What to do when there is nothing to answer: to wait, or to say so. The line that runs again has an id of `from` where
    /// `$` meant the end of the stream as it is now. Whatever else was given stands: `+` means the newest entry whenever the
    /// line runs.
    fn wait_or_null(&self, ctx: &mut Ctx<'_>, args: Args<'_>, from: &[StreamId]) -> Outcome {
        let Some(timeout_ms) = self.block_ms else {
            ctx.reply.null_array();
            return Ok(Next::Done);
        };
        let mut words: Vec<Vec<u8>> = args.iter_from(0).map(<[u8]>::to_vec).collect();
        for (word, id) in words[self.keys + self.streams..].iter_mut().zip(from) {
            if word == b"$" {
                *word = id.text().as_bytes().to_vec();
            }
        }
        ctx.wait(Wait {
            keys: args.iter_from(self.keys).take(self.streams).map(Box::from).collect(),
            on: WaitFor::Stream,
            timeout_ms,
            on_timeout: NullReply::NullArray,
            args: Some(OwnedArgs::new(words.iter().map(Vec::as_slice))),
            until_deleted: self.group.is_some(),
        })
    }
}

/// Starts one stream's part of the reply: a pair in RESP2, a key with its value in RESP3.
fn open_one(reply: &mut Reply<'_>, key: &[u8]) {
    if reply.proto() == Proto::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
}

pub(super) fn xread(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (line, limits) = (Line::parse(args, false, timeouts_from_ms(ctx))?, ctx.job_limits());
    let Ctx { server, reply, db, at, .. } = &mut *ctx;
    let (db, at) = (&mut server.dbs[*db], *at);
    let mut from = Vec::with_capacity(line.streams);
    for (key, id) in line.keys(args).zip(line.ids(args)) {
        let stream = db.read::<Stream>(key, at)?;
        from.push(match id {
            b"$" => stream.map_or(StreamId::MIN, |stream| stream.last_id()),
            b"+" => stream.map_or(StreamId::MIN, |stream| before_newest(&stream)),
            b">" => return Err(NEW_IN_XREAD),
            id => ids::exact(id)?,
        });
    }
    if let Some(long) = limits.map(|limits| limits.long).filter(|&long| line.count == 0 || line.count > long)
        && let Some(job) = long_read(db, at, &line, args, &from, long)
    {
        return ctx.become_job(job);
    }
    let (mut array, mut served) = (None, 0);
    for ((key, id), &after) in line.keys(args).zip(line.ids(args)).zip(&from) {
        let Some(stream) = db.read::<Stream>(key, at)? else { continue };
        let Some(start) = after.next().filter(|&start| start <= stream.last_id()) else { continue };
        if stream.last().is_none_or(|last| last.id < start) {
            continue;
        }
        array.get_or_insert_with(|| reply.open_array(line.streams));
        served += 1;
        open_one(reply, key);
        let count = if id == b"+" { 1 } else { line.count };
        write_entries(reply, stream.range(start, StreamId::MAX), count, stream.len());
    }
    match array {
        Some(array) => reply.close_pairs(array, served),
        None => return line.wait_or_null(ctx, args, &from),
    }
    Ok(Next::Done)
}

/// XREAD as a job, if it has more than so many entries to answer.
fn long_read(db: &Db, at: Moment, line: &Line<'_>, args: Args<'_>, from: &[StreamId], long: usize) -> Option<Reading> {
    let (mut parts, mut entries) = (Vec::new(), 0);
    for ((key, id), after) in line.keys(args).zip(line.ids(args)).zip(from) {
        let found = db.peek_live(key, at);
        let Some(stream) = found.and_then(|entry| entry.into_collection::<Stream>()) else { continue };
        let Some(start) = after.next().filter(|&start| stream.last().is_some_and(|last| last.id >= start)) else {
            continue;
        };
        let count = if id == b"+" { 1 } else { Some(line.count).filter(|&count| count > 0).unwrap_or(usize::MAX) };
        entries += count.min(entries_behind(&stream, start, long));
        parts.push((Box::from(key), Ids::new(start, StreamId::MAX, count)));
    }
    (entries > long).then_some(Reading { parts, index: 0, array: None })
}

/// Nodes that are looked at to see how much there is to read.
const NODES_MAX: usize = 256;
/// Items of a node that an entry takes at least.
const ITEMS_AN_ENTRY: usize = 4;

/// About how many entries lie behind an id; enough if they are more than so many.
fn entries_behind(stream: &Stream, start: StreamId, enough: usize) -> usize {
    if stream.len() <= enough {
        return stream.len();
    }
    // The node in whose midst the id is.
    let (mut entries, mut nodes) = (1, 0);
    for (_, pack) in stream.nodes_after(Some(start)) {
        (entries, nodes) = (entries + pack.len() / ITEMS_AN_ENTRY, nodes + 1);
        if entries > enough || nodes > NODES_MAX {
            return usize::MAX;
        }
    }
    entries
}

/// XREAD of many entries.
#[derive(Debug)]
struct Reading {
    /// The keys of the streams that have some, and where each goes on.
    parts: Vec<(Box<[u8]>, Ids)>,
    index: usize,
    /// The array, once it has begun.
    array: Option<OpenArray>,
}

impl Job for Reading {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let Reading { parts, index, array } = self;
        let outer = array.take().unwrap_or_else(|| reply.open_array(parts.len()));
        while let Some((key, ids)) = parts.get_mut(*index) {
            let entry = server.dbs[*db].peek(key);
            let Some(stream) = entry.and_then(|entry| entry.into_collection::<Stream>()) else { return Step::Lost };
            if !ids.is_begun() {
                open_one(reply, key);
            }
            if !ids.go_on(&stream, reply, slice) {
                *array = Some(outer);
                return Step::More;
            }
            *index += 1;
        }
        reply.close_pairs(outer, parts.len());
        Step::Answered
    }
}

/// The id that the newest entry comes after, for `+`.
fn before_newest(stream: &Stream) -> StreamId {
    stream.last().map_or(stream.last_id(), |last| last.id.prev().unwrap_or(StreamId::MIN))
}

/// What XREADGROUP wants of one stream.
#[derive(Clone, Copy)]
enum From {
    /// Entries that the group was not given yet.
    New,
    /// The consumer's own pending ones after an id.
    History(StreamId),
}

/// A key of a stream, what is wanted of it, and its consumer.
struct Found<'a> {
    key: &'a [u8],
    from: From,
    consumer: ConsumerId,
    /// The consumer was made for it.
    made: bool,
    /// There is something to answer.
    ready: bool,
}

/// What a consumer was given, as it is passed on.
#[derive(Default)]
struct Given {
    pending: Vec<Passed>,
    /// What the group had been given last before.
    before: StreamId,
    /// What it has been given last now, and how many entries had been added by then, if known.
    now: Option<(StreamId, Option<u64>)>,
}

/// A consumer of a group, and how it reads.
struct Reader<'a> {
    group: &'a [u8],
    consumer: ConsumerId,
    count: usize,
    noack: bool,
    now_ms: i64,
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let line = Line::parse(args, true, timeouts_from_ms(ctx))?;
    let (group, consumer) = line.group.ok_or(NO_GROUP_OPTION)?;
    let mut wanted = Vec::with_capacity(line.streams);
    for (key, id) in line.keys(args).zip(line.ids(args)) {
        let at = ctx.at;
        let stream = ctx.db().read::<Stream>(key, at)?;
        if stream.is_none_or(|stream| stream.group(group).is_none()) {
            return Err(no_key_or_group(key, group, WITH_GROUP_OPTION));
        }
        wanted.push(match id {
            b"$" => return Err(LAST_IN_XREADGROUP),
            b"+" => return Err(NEWEST_IN_XREADGROUP),
            b">" => From::New,
            // COMPAT: the last id of all stands for `>` inside redis-server, and so it does when a client names it.
            id => match ids::exact(id)? {
                StreamId::MAX => From::New,
                id => From::History(id),
            },
        });
    }
    let found = prepare(ctx, &line, args, &wanted, consumer)?;
    let ready = found.iter().filter(|found| found.ready).count();
    let array = (ready > 0).then(|| ctx.reply.open_array(ready));
    let mut answered = 0;
    for Found { key, from, consumer: id, made, ready } in found {
        let reader = Reader { group, consumer: id, count: line.count, noack: line.noack, now_ms: ctx.now.unix_ms };
        let given = if ready { serve(ctx, &reader, key, from) } else { None };
        answered += usize::from(given.is_some());
        let (place, given) = (Place { key, group }, given.unwrap_or_default());
        ctx.propagate_as(|lines| {
            if made && given.pending.is_empty() {
                place.consumer(lines, consumer);
            }
            place.pending(lines, consumer, &given.pending, given.before);
            if let Some((last_id, entries_read)) = given.now {
                place.position(lines, last_id, entries_read);
            }
        });
    }
    match array {
        Some(array) => ctx.reply.close_pairs(array, answered),
        None => return line.wait_or_null(ctx, args, &[]),
    }
    Ok(Next::Done)
}

/// Answers for one stream, unless it has nothing new any more: its key may have been named before.
fn serve(ctx: &mut Ctx<'_>, reader: &Reader<'_>, key: &[u8], from: From) -> Option<Given> {
    let Ctx { server, reply, db, at, .. } = &mut *ctx;
    let mut stream = server.dbs[*db].write::<Stream>(key, *at).ok().flatten().expect("it has just been there");
    if matches!(from, From::New) && !has_new(&stream, reader.group) {
        return None;
    }
    open_one(reply, key);
    let given = match from {
        From::New => reader.read_new(&mut stream, reply),
        From::History(after) => reader.read_history(&mut stream, reply, after),
    };
    drop(stream);
    // COMPAT: what is given once more does not count as a change.
    let changes = usize::from(given.now.is_some());
    if changes > 0 || !given.pending.is_empty() {
        ctx.change(Change::without_event(key).beside_the_value().times(changes));
    }
    Some(given)
}

/// Whether a stream has an entry that a group was not given yet. A group that is not there was given all.
fn has_new(stream: &Stream, group: &[u8]) -> bool {
    let last = stream.group(group).map_or(StreamId::MAX, |group| group.last_id);
    last < stream.last_id() && stream.last().is_some_and(|entry| entry.id > last)
}

/// Makes the consumer in every group named, and finds out which streams have something for it.
fn prepare<'a>(
    ctx: &mut Ctx<'_>,
    line: &Line<'a>,
    args: Args<'a>,
    wanted: &[From],
    consumer: &[u8],
) -> Result<Vec<Found<'a>>, ReplyError> {
    let (at, now_ms) = (ctx.at, ctx.now.unix_ms);
    let (group, _) = line.group.ok_or(NO_GROUP_OPTION)?;
    let mut all = Vec::with_capacity(wanted.len());
    for (key, &from) in line.keys(args).zip(wanted) {
        // Counted as a lookup to read, for it stands for one in Redis.
        let found = ctx.db().read::<Stream>(key, at)?.is_some();
        let Some(mut stream) = ctx.db().write::<Stream>(key, at)?.filter(|_| found) else { continue };
        let (consumer, made) = consumer_of(&mut stream, group, consumer, now_ms);
        let ready = matches!(from, From::History(_)) || has_new(&stream, group);
        drop(stream);
        if made {
            tell_of_consumer(ctx, key);
        }
        all.push(Found { key, from, consumer, made, ready });
    }
    Ok(all)
}

impl Reader<'_> {
    /// Gives the consumer new entries.
    fn read_new(&self, stream: &mut Stream, reply: &mut Reply<'_>) -> Given {
        let last = stream.group(self.group).map_or(StreamId::MAX, |group| group.last_id);
        let start = last.next().expect("an entry lies behind");
        let count = if self.count == 0 { usize::MAX } else { self.count };
        let mut given = Vec::new();
        let array = reply.open_array(count.min(stream.len()));
        for entry in stream.range(start, StreamId::MAX).take(count) {
            write_entry(reply, &entry);
            given.push(entry.id);
        }
        reply.close_array(array, given.len());
        for &id in &given {
            stream.advance(self.group, id);
        }
        let group = stream.group_mut(self.group).expect("the group is there");
        let now = Some((group.last_id, group.entries_read));
        if self.noack {
            return Given { pending: Vec::new(), before: last, now };
        }
        group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        given.iter().for_each(|&id| group.deliver(id, self.consumer, self.now_ms));
        let passed = |id| Passed { id, delivered_ms: self.now_ms, deliveries: 1, owner: None };
        Given { pending: given.into_iter().map(passed).collect(), before: last, now }
    }

    /// Gives the consumer once more what it has not acknowledged. What has been deleted is shown without fields.
    fn read_history(&self, stream: &mut Stream, reply: &mut Reply<'_>, after: StreamId) -> Given {
        let group = stream.group(self.group).expect("the group is there");
        let pending = group.consumer(self.consumer).pending();
        let count = if self.count == 0 { usize::MAX } else { self.count };
        let ids: Vec<StreamId> =
            after.next().map_or_else(Vec::new, |start| pending.range(start..).take(count).copied().collect());
        let mut given = Vec::with_capacity(ids.len());
        reply.array(ids.len());
        for id in ids {
            match stream.entry(id) {
                Some(entry) => {
                    write_entry(reply, &entry);
                    given.push(id);
                }
                None => {
                    reply.array(2);
                    write_id(reply, id);
                    reply.null_array();
                }
            }
        }
        let group = stream.group_mut(self.group).expect("the group is there");
        let again = |id| {
            let Pending { delivered_ms, deliveries, .. } = group.deliver_again(id, self.now_ms)?;
            Some(Passed { id, delivered_ms, deliveries, owner: None })
        };
        let pending = given.into_iter().filter_map(again).collect();
        Given { pending, before: group.last_id, now: None }
    }
}
