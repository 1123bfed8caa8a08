//! What takes members from either end, and waits for something to take.

use crate::base::num;
use crate::command::blocking::{parse_timeout, timeouts_from_ms};
use crate::command::collection::remove_emptied;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::store::types::Collection;
use crate::store::types::zset::{Iter, ZSet};

/// Which end is taken from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Min,
    Max,
}

impl End {
    fn event(self) -> &'static str {
        match self {
            End::Min => "zpopmin",
            End::Max => "zpopmax",
        }
    }

    /// The command that takes from this end.
    fn name(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }
}

/// Members about to be taken.
enum Taken<'z> {
    Min(Iter<'z>),
    Max(std::iter::Rev<Iter<'z>>),
}

impl Taken<'_> {
    fn len(&self) -> usize {
        match self {
            Taken::Min(entries) => entries.len(),
            Taken::Max(entries) => entries.len(),
        }
    }

    fn write(self, reply: &mut Reply<'_>, nested: bool) {
        let write = |entry| {
            if nested {
                reply.array(2);
            }
            write_pair(reply, entry);
        };
        match self {
            Taken::Min(entries) => entries.for_each(write),
            Taken::Max(entries) => entries.for_each(write),
        }
    }
}

fn write_pair(reply: &mut Reply<'_>, (member, score): (crate::store::pack::Item<'_>, f64)) {
    super::write_member(reply, member);
    reply.double(score);
}

/// Takes up to `count` members from an end, which `write` is shown before they go. False if the key holds nothing.
fn take(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    end: End,
    count: usize,
    write: impl FnOnce(&mut Reply<'_>, Taken<'_>),
) -> Result<bool, ReplyError> {
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(mut zset) = server.dbs[*db].write::<ZSet>(key, *at)? else { return Ok(false) };
    let len = zset.len();
    let ranks = match end {
        End::Min => 0..count.min(len),
        End::Max => len - count.min(len)..len,
    };
    let entries = zset.iter(ranks.clone());
    write(reply, if end == End::Min { Taken::Min(entries) } else { Taken::Max(entries.rev()) });
    let emptied = ranks.len() == len;
    let taken = ranks.len();
    let old = if emptied { None } else { zset.remove_ranks(ranks) };
    drop(zset);
    if let Some(old) = old {
        server.background.free(Box::new(old));
    }
    if taken > 0 {
        ctx.change(Change::new(EventClass::SortedSet, end.event(), key));
    }
    if emptied {
        remove_emptied(ctx, key);
    }
    Ok(true)
}

pub(super) fn zpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Min)
}

pub(super) fn zpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop(ctx, args, End::Max)
}

fn pop(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Outcome {
    const NEGATIVE: ReplyError = ReplyError::new("ERR value is out of range, must be positive");
    if args.len() > 3 {
        return Err(ReplyError::SYNTAX);
    }
    let count = match args.get(2) {
        Some(text) => Some(num::parse_i64(text).and_then(|count| usize::try_from(count).ok()).ok_or(NEGATIVE)?),
        None => None,
    };
    if !take(ctx, args.at(1), end, count.unwrap_or(1), |reply, taken| match count {
        // One member is a flat pair in either protocol, a counted number of them only in RESP2.
        None => {
            reply.array(2 * taken.len());
            taken.write(reply, false);
        }
        Some(_) => {
            super::open_entries(reply, taken.len(), true);
            let nested = reply.proto() == crate::resp::reply::Proto::Resp3;
            taken.write(reply, nested);
        }
    })? {
        ctx.reply.array(0);
    }
    Ok(Next::Done)
}

/// The arguments of ZMPOP, from the number of keys on.
struct Many<'a> {
    keys: Args<'a>,
    count_of_keys: usize,
    end: End,
    count: usize,
}

impl<'a> Many<'a> {
    fn parse(args: Args<'a>, at: usize) -> Result<Many<'a>, ReplyError> {
        let positive = |text: &[u8], refusal| {
            num::parse_i64(text).and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0).ok_or(refusal)
        };
        let keys = positive(args.at(at), ReplyError::new("ERR numkeys should be greater than 0"))?;
        let place = keys.saturating_add(at + 1);
        let end = match () {
            () if place >= args.len() => return Err(ReplyError::SYNTAX),
            () if args.is(place, "MIN") => End::Min,
            () if args.is(place, "MAX") => End::Max,
            () => return Err(ReplyError::SYNTAX),
        };
        let mut count = None;
        let mut i = place + 1;
        while i < args.len() {
            if count.is_some() || !args.is(i, "COUNT") || i + 1 >= args.len() {
                return Err(ReplyError::SYNTAX);
            }
            count = Some(positive(args.at(i + 1), ReplyError::new("ERR count should be greater than 0"))?);
            i += 2;
        }
        Ok(Many { keys: args.tail(at + 1), count_of_keys: keys, end, count: count.unwrap_or(1) })
    }

    fn keys(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.keys.iter_from(0).take(self.count_of_keys)
    }

    /// Takes from the first key that holds something. False if none does.
    fn take(&self, ctx: &mut Ctx<'_>) -> Result<bool, ReplyError> {
        for key in self.keys() {
            let mut count = 0;
            if take(ctx, key, self.end, self.count, |reply, taken| {
                count = taken.len();
                reply.array(2);
                reply.bulk(key);
                reply.array(count);
                taken.write(reply, true);
            })? {
                ctx.propagate_as(|lines| {
                    lines.push([self.end.name(), key, itoa::Buffer::new().format(count).as_bytes()]);
                });
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) fn zmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if !Many::parse(args, 1)?.take(ctx)? {
        ctx.reply.null_array();
    }
    Ok(Next::Done)
}

pub(super) fn bzmpop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let many = Many::parse(args, 2)?;
    let timeout_ms = parse_timeout(args.at(1), timeouts_from_ms(ctx))?;
    if many.take(ctx)? { Ok(Next::Done) } else { wait(ctx, many.keys(), timeout_ms) }
}

pub(super) fn bzpopmin(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop_or_wait(ctx, args, End::Min)
}

pub(super) fn bzpopmax(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    pop_or_wait(ctx, args, End::Max)
}

fn pop_or_wait(ctx: &mut Ctx<'_>, args: Args<'_>, end: End) -> Outcome {
    let last = args.len() - 1;
    let timeout_ms = parse_timeout(args.at(last), timeouts_from_ms(ctx))?;
    let keys = || args.iter_from(1).take(last - 1);
    for key in keys() {
        if take(ctx, key, end, 1, |reply, taken| {
            reply.array(3);
            reply.bulk(key);
            taken.write(reply, false);
        })? {
            ctx.propagate_as(|lines| lines.push([end.name(), key]));
            return Ok(Next::Done);
        }
    }
    wait(ctx, keys(), timeout_ms)
}

fn wait<'k>(ctx: &mut Ctx<'_>, keys: impl Iterator<Item = &'k [u8]>, timeout_ms: u64) -> Outcome {
    ctx.wait(Wait {
        keys: keys.map(Box::from).collect(),
        on: WaitFor::SortedSet,
        timeout_ms,
        on_timeout: NullReply::NullArray,
        args: None,
        until_deleted: false,
    })
}
