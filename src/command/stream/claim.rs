//! XCLAIM and XAUTOCLAIM: giving a consumer what another one has left pending.

use super::passing::{Passed, Place};
use super::{Outcome, consumer_of, ids, no_key_or_group, tell_of_consumer, write_entry, write_id};
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Stream;
use crate::store::types::stream::{ConsumerId, Pending, StreamId, once_more};

const BAD_COUNT: ReplyError = ReplyError::new("ERR COUNT must be > 0");

/// Entries that XAUTOCLAIM claims at most if it is not told.
const AUTOCLAIM_COUNT: usize = 100;
/// Pending entries it looks at for each that it may claim.
const LOOKS_PER_ENTRY: usize = 10;
/// The largest COUNT: Redis reserves the bytes of so many ids.
const COUNT_MAX: i64 = i64::MAX / 16;

/// How pending entries change hands.
struct Claim<'a> {
    group: &'a [u8],
    consumer: ConsumerId,
    now_ms: i64,
    /// How long an entry must have been left alone.
    idle_ms: i64,
    /// What counts as the time of delivery.
    delivered_ms: i64,
    /// How often it counts as delivered, if that is not to be counted on.
    deliveries: Option<u64>,
    /// Entries that are nobody's are claimed too.
    force: bool,
    /// Answer with ids alone, and do not count the delivery.
    just_id: bool,
}

/// What became of one id.
enum Claimed {
    Yes(Pending),
    /// It is not pending, or not for long enough.
    No,
    /// The entry is no more; it was taken off the pending ones.
    Deleted(Pending),
    /// The entry is no more, and it was not pending.
    Unknown,
}

impl Claim<'_> {
    /// Claims one entry, and answers with it.
    fn claim(&self, stream: &mut Stream, id: StreamId, reply: &mut Reply<'_>) -> Claimed {
        let exists = stream.contains(id);
        let group = stream.group_mut(self.group).expect("the group is there");
        let pending = group.pending().get(&id).copied();
        if !exists {
            group.acknowledge(id);
            return pending.map_or(Claimed::Unknown, Claimed::Deleted);
        }
        let too_early =
            |pending: Pending| self.idle_ms > 0 && self.now_ms.saturating_sub(pending.delivered_ms()) < self.idle_ms;
        if pending.is_some_and(too_early) || pending.is_none() && !self.force {
            return Claimed::No;
        }
        let before = pending.map_or(1, |pending| pending.deliveries);
        let deliveries = self.deliveries.unwrap_or(if self.just_id { before } else { once_more(before) });
        let pending = group.assign(id, self.consumer, self.delivered_ms, deliveries);
        group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        if self.just_id {
            write_id(reply, id);
        } else {
            write_entry(reply, &stream.entry(id).expect("it exists"));
        }
        Claimed::Yes(pending)
    }
}

fn min_idle_ms(text: &[u8], command: &str) -> Result<i64, ReplyError> {
    match num::parse_i64(text) {
        Some(ms) => Ok(ms.max(0)),
        None => Err(ReplyError::owned(format!("ERR Invalid min-idle-time argument for {command}"))),
    }
}

fn xclaim_number(text: &[u8], option: &str) -> Result<i64, ReplyError> {
    num::parse_i64(text).ok_or_else(|| ReplyError::owned(format!("ERR Invalid {option} option argument for XCLAIM")))
}

/// The options of XCLAIM.
#[derive(Default)]
struct Options {
    delivered_ms: Option<i64>,
    deliveries: Option<u64>,
    force: bool,
    just_id: bool,
    last_id: StreamId,
}

impl Options {
    fn parse(args: Args<'_>, first: usize, now_ms: i64) -> Result<Options, ReplyError> {
        let mut options = Options::default();
        let mut index = first;
        while index < args.len() {
            let more = index + 1 < args.len();
            if args.is(index, "FORCE") {
                options.force = true;
            } else if args.is(index, "JUSTID") {
                options.just_id = true;
            } else if more && args.is(index, "IDLE") {
                index += 1;
                options.delivered_ms = Some(now_ms.wrapping_sub(xclaim_number(args.at(index), "IDLE")?));
            } else if more && args.is(index, "TIME") {
                index += 1;
                options.delivered_ms = Some(xclaim_number(args.at(index), "TIME")?);
            } else if more && args.is(index, "RETRYCOUNT") {
                index += 1;
                options.deliveries = u64::try_from(xclaim_number(args.at(index), "RETRYCOUNT")?).ok();
            } else if more && args.is(index, "LASTID") {
                index += 1;
                options.last_id = ids::exact(args.at(index))?;
            } else {
                return Err(ReplyError::about("ERR Unrecognized XCLAIM option '", args.at(index), "'"));
            }
            index += 1;
        }
        Ok(options)
    }
}

pub(super) fn xclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, group, now_ms, at) = (args.at(1), args.at(2), ctx.now.unix_ms, ctx.at);
    if ctx.db().read::<Stream>(key, at)?.is_none_or(|stream| stream.group(group).is_none()) {
        return Err(no_key_or_group(key, group, ""));
    }
    let idle_ms = min_idle_ms(args.at(4), "XCLAIM")?;
    let ids: Vec<StreamId> = args.iter_from(5).map_while(|text| ids::exact(text).ok()).collect();
    let options = Options::parse(args, 5 + ids.len(), now_ms)?;
    // A delivery in the future, or before time began, is one of now.
    let delivered_ms = options.delivered_ms.filter(|ms| (0..=now_ms).contains(ms)).unwrap_or(now_ms);

    let Ctx { server, reply, db, .. } = &mut *ctx;
    let mut stream = server.dbs[*db].write::<Stream>(key, at)?.expect("it has just been there");
    let found = stream.group_mut(group).expect("the group is there");
    let moved_on = options.last_id > found.last_id;
    if moved_on {
        found.last_id = options.last_id;
    }
    let (consumer, made) = consumer_of(&mut stream, group, args.at(3), now_ms);
    let Options { deliveries, force, just_id, .. } = options;
    let claim = Claim { group, consumer, now_ms, idle_ms, delivered_ms, deliveries, force, just_id };
    let array = reply.open_array(ids.len());
    let mut claims = Claims { made, moved_on, ..Claims::default() };
    for id in ids {
        let claimed = claim.claim(&mut stream, id, reply);
        claims.add(&stream, group, id, claimed);
    }
    reply.close_array(array, claims.claimed);
    claims.group_after(&stream, group);
    drop(stream);
    claims.tell(ctx, Place { key, group }, args.at(3));
    Ok(Next::Done)
}

pub(super) fn xautoclaim(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, group, now_ms, at) = (args.at(1), args.at(2), ctx.now.unix_ms, ctx.at);
    // The lookup comes first, as it may be noted as a miss, and its refusal only after those of the arguments.
    let found =
        ctx.db().read::<Stream>(key, at).map(|stream| stream.is_some_and(|stream| stream.group(group).is_some()));
    let idle_ms = min_idle_ms(args.at(4), "XAUTOCLAIM")?;
    let start = ids::start(args.at(5))?;
    let (mut count, mut just_id, mut index) = (AUTOCLAIM_COUNT, false, 6);
    while index < args.len() {
        if args.is(index, "COUNT") && index + 1 < args.len() {
            let n = num::parse_i64(args.at(index + 1)).filter(|n| (1..=COUNT_MAX).contains(n)).ok_or(BAD_COUNT)?;
            count = usize::try_from(n).map_err(|_| BAD_COUNT)?;
            index += 1;
        } else if args.is(index, "JUSTID") {
            just_id = true;
        } else {
            return Err(ReplyError::SYNTAX);
        }
        index += 1;
    }
    if !found? {
        return Err(no_key_or_group(key, group, ""));
    }

    let Ctx { server, reply, db, .. } = &mut *ctx;
    let mut stream = server.dbs[*db].write::<Stream>(key, at)?.expect("it has just been there");
    let (consumer, made) = consumer_of(&mut stream, group, args.at(3), now_ms);
    let looks = count.saturating_mul(LOOKS_PER_ENTRY);
    let mut ids = stream.group(group).expect("the group is there").pending().range(start..).map(|(&id, _)| id);
    let candidates: Vec<StreamId> = ids.by_ref().take(looks).collect();
    let after = ids.next();

    let claim =
        Claim { group, consumer, now_ms, idle_ms, delivered_ms: now_ms, deliveries: None, force: false, just_id };
    let mut candidates = candidates.into_iter();
    let (mut claims, mut deleted) = (Claims { made, ..Claims::default() }, Vec::new());
    // The cursor goes before the entries, and is known only after them.
    let array = reply.open_array(count.min(candidates.len()));
    while claims.claimed + deleted.len() < count {
        let Some(id) = candidates.next() else { break };
        let claimed = claim.claim(&mut stream, id, reply);
        if matches!(claimed, Claimed::Deleted(_)) {
            deleted.push(id);
        }
        claims.add(&stream, group, id, claimed);
    }
    let cursor = candidates.next().or(after).unwrap_or(StreamId::MIN);
    reply.close_array_after(array, 3, cursor.text().as_bytes(), claims.claimed);
    claims.group_after(&stream, group);
    drop(stream);
    ctx.reply.array(deleted.len());
    deleted.iter().for_each(|&id| write_id(&mut ctx.reply, id));
    claims.tell(ctx, Place { key, group }, args.at(3));
    Ok(Next::Done)
}

/// What a command has done to the pending entries of a group.
#[derive(Default)]
struct Claims {
    /// The consumer was made for it.
    made: bool,
    /// The group counts as given entries up to a later id.
    moved_on: bool,
    /// Entries that the consumer has now.
    claimed: usize,
    /// These, and those that were found deleted, as they are passed on.
    passed: Vec<Passed>,
    /// What the group was given last, and how many entries had been added by then, if known.
    last_id: StreamId,
    entries_read: Option<u64>,
}

impl Claims {
    fn add(&mut self, stream: &Stream, group: &[u8], id: StreamId, claimed: Claimed) {
        let (pending, owner) = match claimed {
            Claimed::Yes(pending) => {
                self.claimed += 1;
                (pending, None)
            }
            Claimed::Deleted(pending) => {
                let group = stream.group(group).expect("the group is there");
                (pending, pending.owner().map(|owner| group.consumer(owner).name().into()))
            }
            Claimed::No | Claimed::Unknown => return,
        };
        self.passed.push(Passed { owner, ..Passed::of(id, &pending) });
    }

    fn group_after(&mut self, stream: &Stream, group: &[u8]) {
        let group = stream.group(group).expect("the group is there");
        (self.last_id, self.entries_read) = (group.last_id, group.entries_read);
    }

    /// Tells of what was done, if anything was.
    fn tell(self, ctx: &mut Ctx<'_>, place: Place<'_>, consumer: &[u8]) {
        if self.made {
            tell_of_consumer(ctx, place.key);
        }
        let changes = usize::from(self.moved_on) + self.passed.len();
        if changes > 0 {
            ctx.change(Change::without_event(place.key).beside_the_value().times(changes));
        }
        ctx.propagate_as(|lines| {
            if self.made && self.claimed == 0 {
                place.consumer(lines, consumer);
            }
            place.pending(lines, consumer, &self.passed, self.last_id);
            if self.moved_on && self.passed.is_empty() {
                place.position(lines, self.last_id, self.entries_read);
            }
        });
    }
}
