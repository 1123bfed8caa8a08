//! What takes members from either end, and waits for something to take.

use crate::base::num;
use crate::command::blocking::{parse_timeout, timeouts_from_ms};
use crate::command::collection::remove_emptied;
use crate::command::pieces::PIECE_ELEMENTS_MAX;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{Proto, Reply};
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::zset::{Iter, ZSet};

/// Which end is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    if let Some(count) = count
        && is_long(ctx, args.at(1), count)?
    {
        return ctx.go_on_in_pieces(Popping { end, count, is_named: false, left: None });
    }
    if !take(ctx, args.at(1), end, count.unwrap_or(1), |reply, taken| match count {
        // One member is a flat pair in either protocol, a counted number of them only in RESP2.
        None => {
            reply.array(2 * taken.len());
            taken.write(reply, false);
        }
        Some(_) => {
            super::open_entries(reply, taken.len(), true);
            let nested = reply.proto() == Proto::Resp3;
            taken.write(reply, nested);
        }
    })? {
        ctx.reply.array(0);
    }
    Ok(Next::Done)
}

/// True if so many members of a sorted set are to be taken piece by piece.
fn is_long(ctx: &mut Ctx<'_>, key: &[u8], count: usize) -> Result<bool, ReplyError> {
    if !ctx.is_long(count) {
        return Ok(false);
    }
    let at = ctx.at;
    let zset = ctx.server.dbs[ctx.db].reread::<ZSet>(key, at)?;
    Ok(zset.is_some_and(|zset| ctx.server.jobs.limits.is_long(count.min(zset.len()), &*zset)))
}

/// A key, and how many of its members are still to be taken.
type Left = (Box<[u8]>, usize);

/// Very many members that are taken from an end.
#[derive(Debug)]
struct Popping {
    end: End,
    count: usize,
    /// The line is that of ZMPOP: the first of its keys that has a sorted set is named in the answer.
    is_named: bool,
    /// The key, and how many are still to be taken; `None` before the first.
    left: Option<Left>,
}

impl Popping {
    /// The key to take from, if there is one, once its answer has begun.
    fn begin(&self, ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<Option<Left>, ReplyError> {
        let many = self.is_named.then(|| Many::parse(args, 1)).transpose()?;
        let keys = many.as_ref().map_or(args.tail(1).up_to(1), |many| many.keys.up_to(many.count_of_keys));
        let at = ctx.at;
        for key in keys.iter_from(0) {
            let Some(len) = ctx.db().write::<ZSet>(key, at)?.map(|zset| zset.len()) else { continue };
            let count = self.count.min(len);
            if many.is_some() {
                ctx.reply.array(2);
                ctx.reply.bulk(key);
                ctx.reply.array(count);
            } else {
                super::open_entries(&mut ctx.reply, count, true);
            }
            return Ok(Some((key.into(), count)));
        }
        match many {
            Some(_) => ctx.reply.null_array(),
            None => ctx.reply.array(0),
        }
        Ok(None)
    }
}

impl Pieces for Popping {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        if self.left.is_none() {
            self.left = self.begin(ctx, args)?;
        }
        let (end, is_nested) = (self.end, self.is_named || ctx.reply.proto() == Proto::Resp3);
        let Some((key, left)) = &mut self.left else { return Ok(Progress::Through) };
        while *left > 0 {
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX).min(*left);
            take(ctx, key, end, count, |reply, taken| taken.write(reply, is_nested))?;
            ctx.propagate_as(|lines| lines.push([end.name(), &**key, itoa::Buffer::new().format(count).as_bytes()]));
            *left -= count;
            // To find a member's place, to answer with it and to take it out costs as much as some elements.
            if !slice.spend(2 * count, 0) && *left > 0 {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Through)
    }
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

    /// What takes members for ZMPOP, if the first key that holds something has so many that they are taken piece by piece.
    fn long(&self, ctx: &mut Ctx<'_>) -> Result<Option<Popping>, ReplyError> {
        let at = ctx.at;
        for key in self.keys() {
            if ctx.is_long(self.count) && ctx.db().reread::<ZSet>(key, at)?.is_some() {
                let popping = Popping { end: self.end, count: self.count, is_named: true, left: None };
                return Ok(is_long(ctx, key, self.count)?.then_some(popping));
            }
        }
        Ok(None)
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
    let many = Many::parse(args, 1)?;
    if let Some(popping) = many.long(ctx)? {
        return ctx.go_on_in_pieces(popping);
    }
    if !many.take(ctx)? {
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
        look_ms: None,
    })
}
