//! XREAD and XREADGROUP: entries of several streams at once, now or when there are some.

mod giving;

use self::giving::Giving;
use super::passing::{Passed, Place};
use super::range::Ids;
use super::room::Room;
use super::{Outcome, consumer_of, ids, no_key_or_group, tell_of_consumer};
use super::{write_entries, write_entry, write_fields, write_id};
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
use crate::store::types::stream::{ConsumerId, Entry, FirstByAge, StreamId, once_more};
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
const CLAIM_IN_XREAD: ReplyError =
    ReplyError::new("ERR The CLAIM option is only supported by XREADGROUP. You called XREAD instead.");
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
const IDLE_NO_INTEGER: ReplyError = ReplyError::new("ERR min-idle-time is not an integer or out of range");
const IDLE_NEGATIVE: ReplyError = ReplyError::new("ERR min-idle-time must be a positive integer");
const NO_GROUP_OPTION: ReplyError = ReplyError::new("ERR Missing GROUP option for XREADGROUP");

/// A turn goes by one of so many as many pending entries as make a command long, when it brings them in the order of their ages.
const AGES_PART: usize = 4;
/// Pending entries that were deleted and are passed over, at most, to find another one to claim.
const GONE_MAX: usize = 1024;

/// What a refusal of XREADGROUP says where it was refused.
const WITH_GROUP_OPTION: &str = " in XREADGROUP with GROUP option";

/// A read command line, up to the ids.
struct Line<'a> {
    /// Entries of each stream at most; 0 for all.
    count: usize,
    /// What the reply has room for.
    room: Room,
    /// How long to wait, if at all; 0 for ever.
    block_ms: Option<u64>,
    /// Entries that are pending for so long are given as well, before new ones.
    claim_ms: Option<i64>,
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
        let mut line = Line {
            count: 0,
            room: Room::ENDLESS,
            block_ms: None,
            claim_ms: None,
            group: None,
            noack: false,
            keys: 0,
            streams: 0,
        };
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
            } else if more > 0 && line.room.option(args, index)? {
                index += 2;
            } else if more > 0 && args.is(index, "CLAIM") {
                if !of_group {
                    return Err(CLAIM_IN_XREAD);
                }
                line.claim_ms = Some(min_idle_ms(args.at(index + 1))?);
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
        line.room.check(line.count)?;
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
    /// line runs. `look_ms` is the Unix time in milliseconds at which it should run in any case.
    fn wait_or_null(&self, ctx: &mut Ctx<'_>, args: Args<'_>, from: &[StreamId], look_ms: Option<i64>) -> Outcome {
        match self.block_ms {
            Some(timeout_ms) => self.wait(ctx, args, from, timeout_ms, look_ms),
            None => {
                ctx.reply.null_array();
                Ok(Next::Done)
            }
        }
    }

    fn wait(
        &self,
        ctx: &mut Ctx<'_>,
        args: Args<'_>,
        from: &[StreamId],
        timeout_ms: u64,
        look_ms: Option<i64>,
    ) -> Outcome {
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
            look_ms: look_ms
                .map(|unix_ms| ctx.now.mono_ms().saturating_add_signed(unix_ms.saturating_sub(ctx.now.unix_ms))),
        })
    }
}

fn min_idle_ms(text: &[u8]) -> Result<i64, ReplyError> {
    let ms = num::parse_i64(text).ok_or(IDLE_NO_INTEGER)?;
    if ms < 0 { Err(IDLE_NEGATIVE) } else { Ok(ms) }
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
    let most = if line.count == 0 { usize::MAX } else { line.count };
    if let Some(long) = limits.map(|limits| limits.long).filter(|&long| most > long && line.room.entries() > long)
        && let Some(job) = long_read(db, at, &line, args, &from, long)
    {
        return ctx.become_job(job);
    }
    let (mut array, mut served, mut room) = (None, 0, line.room);
    for ((key, id), &after) in line.keys(args).zip(line.ids(args)).zip(&from) {
        let Some(stream) = db.read::<Stream>(key, at)? else { continue };
        let Some(start) = after.next().filter(|&start| start <= stream.last_id()) else { continue };
        let Some(first) = stream.range(start, StreamId::MAX).next() else { continue };
        if !room.has_for(&first) {
            break;
        }
        array.get_or_insert_with(|| reply.open_array(line.streams));
        served += 1;
        open_one(reply, key);
        let count = if id == b"+" { 1 } else { line.count };
        let entries = stream.range(start, StreamId::MAX).take_while(|entry| room.take(entry));
        write_entries(reply, entries, count, stream.len());
    }
    match array {
        Some(array) => reply.close_pairs(array, served),
        None => return line.wait_or_null(ctx, args, &from, None),
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
        entries = count.min(entries_behind(&stream, start, long)).saturating_add(entries);
        parts.push((Box::from(key), Ids::new(start, StreamId::MAX, count)));
    }
    (entries > long).then_some(Reading { parts, index: 0, room: line.room, array: None })
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
    /// What the reply has room for.
    room: Room,
    /// The array, once it has begun.
    array: Option<OpenArray>,
}

impl Job for Reading {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, reply, slice, db } = work;
        let Reading { parts, index, room, array } = self;
        let outer = array.take().unwrap_or_else(|| reply.open_array(parts.len()));
        while let Some((key, ids)) = parts.get_mut(*index) {
            let entry = server.dbs[*db].peek(key);
            let Some(stream) = entry.and_then(|entry| entry.into_collection::<Stream>()) else { return Step::Lost };
            if !ids.is_begun() {
                ids.room = *room;
                if !ids.has_room(&stream) {
                    break;
                }
                open_one(reply, key);
            }
            if !ids.go_on(&stream, reply, slice) {
                *array = Some(outer);
                return Step::More;
            }
            (*index, *room) = (*index + 1, ids.room);
        }
        reply.close_pairs(outer, *index);
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
    /// When there is something to be claimed.
    claimable: Claimable,
}

/// When pending entries may be claimed.
#[derive(Clone, Copy)]
enum Claimable {
    Never,
    /// From this Unix time in milliseconds on, which is in the past if one was released.
    From(i64),
    /// They are very many, and what has been seen of them does not tell.
    Unknown,
}

impl Claimable {
    fn at_ms(self) -> Option<i64> {
        if let Claimable::From(ms) = self { Some(ms) } else { None }
    }
}

/// What a consumer was given, as it is passed on.
#[derive(Default)]
struct Given {
    pending: Vec<Passed>,
    /// What the group had been given last before.
    before: StreamId,
    /// What it has been given last now, and how many entries had been added by then, if known.
    now: Option<(StreamId, Option<u64>)>,
    /// Some of it was claimed.
    claimed: bool,
}

/// A consumer of a group, and how it reads.
struct Reader<'a> {
    group: &'a [u8],
    consumer: ConsumerId,
    count: usize,
    noack: bool,
    claim_ms: Option<i64>,
    now_ms: i64,
}

/// What is wanted of each stream of XREADGROUP, all of which have to be there with the group.
fn wanted_of<'a>(ctx: &mut Ctx<'_>, line: &Line<'a>, args: Args<'a>) -> Result<Vec<From>, ReplyError> {
    let (group, _) = line.group.ok_or(NO_GROUP_OPTION)?;
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
    Ok(wanted)
}

pub(super) fn xreadgroup(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let line = Line::parse(args, true, timeouts_from_ms(ctx))?;
    let (group, consumer) = line.group.ok_or(NO_GROUP_OPTION)?;
    let wanted = wanted_of(ctx, &line, args)?;
    if giving::is_long(ctx, &line, args, &wanted) {
        return ctx.go_on_in_pieces(Giving::default());
    }
    let mut found = prepare(ctx, &line, args, &wanted, consumer)?;
    let is_unknown = found.iter().any(|found| matches!(found.claimable, Claimable::Unknown));
    if is_unknown {
        found.iter_mut().for_each(|found| found.ready = false);
    }
    let ready = found.iter().filter(|found| found.ready).count();
    let array = (ready > 0).then(|| ctx.reply.open_array(ready));
    let look_ms = found.iter().filter_map(|found| found.claimable.at_ms()).min();
    let (mut answered, mut room) = (0, line.room);
    for Found { key, from, consumer: id, made, ready, .. } in found {
        let Line { count, noack, claim_ms, .. } = line;
        let reader = Reader { group, consumer: id, count, noack, claim_ms, now_ms: ctx.now.unix_ms };
        let given = if ready { serve(ctx, &reader, key, from, &mut room) } else { None };
        answered += usize::from(given.is_some());
        let (place, given) = (Place { key, group }, given.unwrap_or_default());
        ctx.propagate_as(|lines| {
            if made && (given.pending.is_empty() || given.now.is_none()) {
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
        // Whether it wants to wait or not: it goes on as soon as others have been served.
        None if is_unknown => {
            let now_ms = ctx.now.unix_ms;
            return line.wait(ctx, args, &[], line.block_ms.unwrap_or(0), Some(now_ms));
        }
        None => return line.wait_or_null(ctx, args, &[], look_ms),
    }
    Ok(Next::Done)
}

/// Answers for one stream, unless it has nothing new any more, as its key may have been named before, or the reply has no room.
fn serve(ctx: &mut Ctx<'_>, reader: &Reader<'_>, key: &[u8], from: From, room: &mut Room) -> Option<Given> {
    let Ctx { server, reply, db, at, .. } = &mut *ctx;
    let mut stream = server.dbs[*db].write::<Stream>(key, *at).ok().flatten().expect("it has just been there");
    let given = match from {
        From::New => {
            let aged = reader.aged(&stream, room);
            let new = reader.new_entries(&stream, aged.len(), room);
            if aged.is_empty() && new.is_empty() {
                return None;
            }
            open_one(reply, key);
            reply.array(aged.len() + new.len());
            reader.give(&mut stream, reply, &aged, &new)
        }
        From::History(after) => reader.read_history(&mut stream, reply, key, after, room)?,
    };
    let ages_kept = stream.group(reader.group).is_some_and(|group| group.keeps_ages());
    drop(stream);
    // COMPAT: what is given once more does not count as a change, and all that is claimed or new counts as one.
    let changes = usize::from(given.now.is_some() || given.claimed);
    if changes > 0 || !given.pending.is_empty() {
        ctx.change(Change::without_event(key).beside_the_value().times(changes));
        if ages_kept {
            // Others may wait until what is pending now has been so for long.
            ctx.look_again(key);
        }
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
    let most = if ctx.may_block() { ctx.server.jobs.limits.long.div_ceil(AGES_PART) } else { usize::MAX };
    let mut all = Vec::with_capacity(wanted.len());
    for (key, &from) in line.keys(args).zip(wanted) {
        // Counted as a lookup to read, for it stands for one in Redis.
        let found = ctx.db().read::<Stream>(key, at)?.is_some();
        let Some(mut stream) = ctx.db().write::<Stream>(key, at)?.filter(|_| found) else { continue };
        let (consumer, made) = consumer_of(&mut stream, group, consumer, now_ms);
        let is_new = matches!(from, From::New);
        let claimable = match line.claim_ms.filter(|_| is_new) {
            Some(idle_ms) => claimable(&mut stream, group, idle_ms, most),
            None => Claimable::Never,
        };
        let ready = !is_new || has_new(&stream, group) || claimable.at_ms().is_some_and(|ms| ms <= now_ms);
        drop(stream);
        if made {
            tell_of_consumer(ctx, key);
        }
        all.push(Found { key, from, consumer, made, ready, claimable });
    }
    Ok(all)
}

/// When the first entry may be claimed that is pending in a group. Goes by so many of them at most.
fn claimable(stream: &mut Stream, group: &[u8], idle_ms: i64, most: usize) -> Claimable {
    if stream.group_mut(group).is_some_and(|group| !group.keep_ages(most)) {
        return Claimable::Unknown;
    }
    // What was deleted stays pending, and is claimed by nobody.
    match stream.first_by_age(group, most) {
        FirstByAge::Is(first) if first.owner().is_none() => Claimable::From(i64::MIN),
        FirstByAge::Is(first) => Claimable::From(first.delivered_ms().saturating_add(idle_ms)),
        FirstByAge::Nothing => Claimable::Never,
        FirstByAge::FurtherOn => Claimable::Unknown,
    }
}

/// An entry that is claimed.
struct Aged {
    id: StreamId,
    idle_ms: i64,
    deliveries: u64,
}

impl Reader<'_> {
    /// The entries that have been pending for long enough, those that were released first of all.
    fn aged(&self, stream: &Stream, room: &mut Room) -> Vec<Aged> {
        let (Some(claim_ms), Some(group)) = (self.claim_ms, stream.group(self.group)) else { return Vec::new() };
        let count = if self.count == 0 { usize::MAX } else { self.count };
        let (mut aged, mut gone) = (Vec::new(), 0);
        for (id, pending) in group.by_age() {
            let idle_ms = self.now_ms.saturating_sub(pending.delivered_ms());
            if aged.len() == count || gone > GONE_MAX || (pending.owner().is_some() && idle_ms < claim_ms) {
                break;
            }
            let Some(entry) = stream.entry(id) else {
                gone += 1;
                continue;
            };
            if !room.take(&entry) {
                break;
            }
            aged.push(Aged { id, idle_ms: idle_ms.max(0), deliveries: pending.deliveries });
        }
        aged
    }

    /// The entries that the group was not given yet, as many as COUNT leaves behind those that are claimed.
    fn new_entries(&self, stream: &Stream, claimed: usize, room: &mut Room) -> Vec<StreamId> {
        let last = stream.group(self.group).map_or(StreamId::MAX, |group| group.last_id);
        let count = if self.count == 0 { usize::MAX } else { self.count - claimed };
        let Some(start) = last.next() else { return Vec::new() };
        let entries = stream.range(start, StreamId::MAX).take(count).take_while(|entry| room.take(entry));
        entries.map(|entry| entry.id).collect()
    }

    /// Gives the consumer pending entries of others, and new ones: answers with them one by one.
    fn give(&self, stream: &mut Stream, reply: &mut Reply<'_>, aged: &[Aged], new: &[StreamId]) -> Given {
        for &Aged { id, idle_ms, deliveries } in aged {
            write_parts(reply, &stream.entry(id).expect("it has just been there"));
            reply.integer(idle_ms);
            reply.integer(deliveries as i64);
        }
        for (&id, entry) in
            new.iter().zip(new.first().into_iter().flat_map(|&first| stream.range(first, StreamId::MAX)))
        {
            debug_assert_eq!(id, entry.id, "they follow each other");
            match self.claim_ms {
                None => write_entry(reply, &entry),
                Some(_) => {
                    write_parts(reply, &entry);
                    reply.integer(0);
                    reply.integer(0);
                }
            }
        }
        let group = stream.group_mut(self.group).expect("the group is there");
        let before = group.last_id;
        let claim = |aged: &Aged| {
            let pending = group.assign(aged.id, self.consumer, self.now_ms, once_more(aged.deliveries));
            Passed::of(aged.id, &pending)
        };
        let mut pending: Vec<Passed> = aged.iter().map(claim).collect();
        let claimed = !pending.is_empty();
        new.iter().for_each(|&id| stream.advance(self.group, id));
        let group = stream.group_mut(self.group).expect("the group is there");
        let now = (!new.is_empty()).then_some((group.last_id, group.entries_read));
        if claimed || !self.noack {
            group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        }
        if !self.noack {
            new.iter().for_each(|&id| group.deliver(id, self.consumer, self.now_ms));
            let passed = |&id| Passed { id, delivered_ms: self.now_ms, deliveries: 1, owner: None };
            pending.extend(new.iter().map(passed));
        }
        Given { pending, before, now, claimed }
    }

    /// Gives the consumer once more what it has not acknowledged. What has been deleted is shown without fields. Nothing, if the
    /// reply has room for none of it.
    fn read_history(
        &self,
        stream: &mut Stream,
        reply: &mut Reply<'_>,
        key: &[u8],
        after: StreamId,
        room: &mut Room,
    ) -> Option<Given> {
        let group = stream.group(self.group).expect("the group is there");
        let pending = group.consumer(self.consumer).pending();
        let count = if self.count == 0 { usize::MAX } else { self.count };
        let (mut ids, mut is_full) = (Vec::new(), room.entries() == 0);
        for &id in after.next().into_iter().flat_map(|start| pending.range(start..)).take(count) {
            is_full |= stream.entry(id).is_some_and(|entry| !room.take(&entry));
            if is_full {
                break;
            }
            ids.push(id);
        }
        if is_full && ids.is_empty() {
            return None;
        }
        open_one(reply, key);
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
        let again = |id| Some(Passed::of(id, &group.deliver_again(id, self.now_ms)?));
        let pending = given.into_iter().filter_map(again).collect();
        Some(Given { pending, before: group.last_id, now: None, claimed: false })
    }
}

/// Writes an entry that is followed by how long it has been pending, and how often it was given.
fn write_parts(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(4);
    write_id(reply, entry.id);
    write_fields(reply, entry);
}
