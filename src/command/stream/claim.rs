//! XCLAIM and XAUTOCLAIM: giving a consumer what another one has left pending.

use super::{Outcome, consumer_of, ids, no_key_or_group, tell_of_consumer, write_entry, write_id};
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Stream;
use crate::store::types::stream::{ConsumerId, Pending, StreamId};

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
    Yes,
    /// It is not pending, or not for long enough.
    No,
    /// The entry is no more; it was taken off the pending ones.
    Deleted,
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
            return if group.acknowledge(id) { Claimed::Deleted } else { Claimed::Unknown };
        }
        let too_early =
            |pending: Pending| self.idle_ms > 0 && self.now_ms.saturating_sub(pending.delivered_ms) < self.idle_ms;
        if pending.is_some_and(too_early) || pending.is_none() && !self.force {
            return Claimed::No;
        }
        let before = pending.map_or(u64::from(pending.is_none()), |pending| pending.deliveries);
        let deliveries = self.deliveries.unwrap_or(before.wrapping_add(u64::from(!self.just_id)));
        group.assign(id, Pending { delivered_ms: self.delivered_ms, deliveries, consumer: self.consumer });
        group.consumer_mut(self.consumer).active_ms = Some(self.now_ms);
        if self.just_id {
            write_id(reply, id);
        } else {
            write_entry(reply, &stream.entry(id).expect("it exists"));
        }
        Claimed::Yes
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
    let mut changes = 0;
    let found = stream.group_mut(group).expect("the group is there");
    if options.last_id > found.last_id {
        found.last_id = options.last_id;
        changes += 1;
    }
    let (consumer, made) = consumer_of(&mut stream, group, args.at(3), now_ms);
    let Options { deliveries, force, just_id, .. } = options;
    let claim = Claim { group, consumer, now_ms, idle_ms, delivered_ms, deliveries, force, just_id };
    let array = reply.open_array(ids.len());
    let mut claimed = 0;
    for id in ids {
        match claim.claim(&mut stream, id, reply) {
            Claimed::Yes => claimed += 1,
            Claimed::Deleted => changes += 1,
            Claimed::No | Claimed::Unknown => {}
        }
    }
    reply.close_array(array, claimed);
    drop(stream);
    if made {
        tell_of_consumer(ctx, key);
    }
    tell_of_claims(ctx, key, changes + claimed);
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
    let (mut claimed, mut deleted) = (0, Vec::new());
    // The cursor goes before the entries, and is known only after them.
    let array = reply.open_array(count.min(candidates.len()));
    while claimed + deleted.len() < count {
        let Some(id) = candidates.next() else { break };
        match claim.claim(&mut stream, id, reply) {
            Claimed::Yes => claimed += 1,
            Claimed::Deleted => deleted.push(id),
            Claimed::No | Claimed::Unknown => {}
        }
    }
    let cursor = candidates.next().or(after).unwrap_or(StreamId::MIN);
    reply.close_array_after(array, 3, cursor.text().as_bytes(), claimed);
    drop(stream);
    ctx.reply.array(deleted.len());
    deleted.iter().for_each(|&id| write_id(&mut ctx.reply, id));
    if made {
        tell_of_consumer(ctx, key);
    }
    tell_of_claims(ctx, key, claimed + deleted.len());
    Ok(Next::Done)
}

/// Tells of changes of a group's pending entries, if there were any.
fn tell_of_claims(ctx: &mut Ctx<'_>, key: &[u8], changes: usize) {
    if changes > 0 {
        ctx.change(Change::without_event(key).beside_the_value().times(changes));
    }
}
