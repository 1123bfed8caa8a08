//! XINFO: what a stream, its groups and their consumers look like from inside.

use super::{Outcome, no_group, write_entries, write_entry, write_id};
use crate::base::num;
use crate::command::help;
use crate::command::long::{self, Place};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::types::stream::group::Consumer;
use crate::store::types::stream::{Group, Remembering, StreamId};
use crate::store::types::{Collection, Stream};

/// Entries, and pending ones of each group and consumer, that FULL shows if it is not told.
const FULL_COUNT: usize = 10;

const HELP: &[&str] = &[
    "CONSUMERS <key> <groupname>",
    "    Show consumers of <groupname>.",
    "GROUPS <key>",
    "    Show the stream consumer groups.",
    "STREAM <key> [FULL [COUNT <count>]",
    "    Show information about the stream.",
];

pub(super) fn help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(&mut ctx.reply, "XINFO", HELP);
    Ok(Next::Done)
}

fn misused(args: Args<'_>) -> ReplyError {
    let before = "ERR unknown subcommand or wrong number of arguments for '";
    ReplyError::about(before, args.at(1), "'. Try XINFO HELP.")
}

/// `None` without FULL; how many entries to show with it, 0 for all.
fn full_count(args: Args<'_>) -> Result<Option<usize>, ReplyError> {
    match args.len() {
        3 => return Ok(None),
        4 | 6 if args.is(3, "FULL") => {}
        _ => return Err(misused(args)),
    }
    if args.len() == 4 {
        return Ok(Some(FULL_COUNT));
    }
    if !args.is(4, "COUNT") {
        return Err(misused(args));
    }
    let count = num::parse_i64(args.at(5)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    Ok(Some(usize::try_from(count).unwrap_or(FULL_COUNT)))
}

pub(super) fn stream(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let now_ms = u64::try_from(ctx.now.unix_ms).unwrap_or(0);
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = &mut *ctx;
    let stream = server.dbs[*db].read::<Stream>(args.at(2), *at)?.ok_or(ReplyError::NO_SUCH_KEY)?;
    let mut counting = Counting { full: full_count(args)?, now_ms, producers: 0, ids: 0, counted: None };
    let producers = stream.producers().map_or(0, |of| of.iter().len());
    if limits.is_some_and(|limits| producers > limits.long) {
        return long::read_key(ctx, args.at(2), counting);
    }
    counting.count(&stream, |_| true);
    counting.write(&stream, reply);
    Ok(Next::Done)
}

/// Counts what is remembered of producers, which may be very many, and answers.
#[derive(Debug)]
struct Counting {
    /// As [`full_count`] has it.
    full: Option<usize>,
    now_ms: u64,
    /// Producers of whom something is remembered, and the ids of them all.
    producers: usize,
    ids: usize,
    /// The producer that was counted last.
    counted: Option<Box<[u8]>>,
}

impl Counting {
    /// Goes on until `go_on` returns false, which is told how many elements were gone by. True at the end.
    fn count(&mut self, stream: &Stream, mut go_on: impl FnMut(usize) -> bool) -> bool {
        let Some(of) = stream.producers() else { return true };
        let counted = self.counted.take();
        for (name, producer) in of.after(counted.as_deref()) {
            let ids = of.remembered(producer, self.now_ms);
            self.producers += usize::from(ids > 0);
            self.ids += ids;
            if !go_on(1 + producer.count() - ids) {
                self.counted = Some(name.into());
                return false;
            }
        }
        true
    }

    fn write(&self, stream: &Stream, reply: &mut Reply<'_>) {
        reply.map(if self.full.is_some() { 15 } else { 16 });
        write_facts(stream, reply);
        write_producers(stream, (self.producers, self.ids), reply);
        write_contents(stream, self.full, reply);
    }
}

impl Place<Stream> for Counting {
    fn go_on(&mut self, stream: &Stream, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        if !self.count(stream, |elements| slice.spend(elements, 0)) {
            return false;
        }
        self.write(stream, reply);
        true
    }
}

/// The entries and the groups: some of them, or their number.
fn write_contents(stream: &Stream, full: Option<usize>, reply: &mut Reply<'_>) {
    match full {
        Some(count) => {
            reply.bulk_str("entries");
            write_entries(reply, stream.range(StreamId::MIN, StreamId::MAX), count, stream.len());
            reply.bulk_str("groups");
            reply.array(stream.groups().len());
            for (name, group) in stream.groups() {
                write_full_group(stream, name, group, count, reply);
            }
        }
        None => {
            reply.bulk_str("groups");
            reply.integer(stream.groups().len() as i64);
            for (name, entry) in [("first-entry", stream.first()), ("last-entry", stream.last())] {
                reply.bulk_str(name);
                match entry {
                    Some(entry) => write_entry(reply, &entry),
                    None => reply.null(),
                }
            }
        }
    }
}

/// The seven facts that both forms begin with.
fn write_facts(stream: &Stream, reply: &mut Reply<'_>) {
    let numbers = [
        ("length", stream.len() as i64),
        ("radix-tree-keys", stream.nodes().len() as i64),
        ("radix-tree-nodes", stream.radix_nodes() as i64),
    ];
    for (name, number) in numbers {
        reply.bulk_str(name);
        reply.integer(number);
    }
    for (name, id) in [("last-generated-id", stream.last_id()), ("max-deleted-entry-id", stream.max_deleted_id())] {
        reply.bulk_str(name);
        write_id(reply, id);
    }
    reply.bulk_str("entries-added");
    reply.integer(stream.entries_added() as i64);
    reply.bulk_str("recorded-first-entry-id");
    write_id(reply, stream.first_id());
}

/// What is remembered of the stream's producers: of so many, so many ids.
fn write_producers(stream: &Stream, (producers, ids): (usize, usize), reply: &mut Reply<'_>) {
    let of = stream.producers();
    let Remembering { duration_s, ids_max } = of.map_or_else(Remembering::default, |of| of.remembering());
    let (added, duplicates) = of.map_or((0, 0), |of| (of.added, of.duplicates));
    let numbers = [
        ("idmp-duration", i64::from(duration_s)),
        ("idmp-maxsize", i64::from(ids_max)),
        ("pids-tracked", producers as i64),
        ("iids-tracked", ids as i64),
        ("iids-added", added as i64),
        ("iids-duplicates", duplicates as i64),
    ];
    for (name, number) in numbers {
        reply.bulk_str(name);
        reply.integer(number);
    }
}

fn write_known(reply: &mut Reply<'_>, number: Option<u64>) {
    match number {
        Some(number) => reply.integer(number as i64),
        None => reply.null(),
    }
}

fn write_full_group(stream: &Stream, name: &[u8], group: &Group, count: usize, reply: &mut Reply<'_>) {
    let most = if count == 0 { usize::MAX } else { count };
    reply.map(8);
    reply.bulk_str("name");
    reply.bulk(name);
    reply.bulk_str("last-delivered-id");
    write_id(reply, group.last_id);
    reply.bulk_str("entries-read");
    write_known(reply, group.entries_read);
    reply.bulk_str("lag");
    write_known(reply, stream.lag(group));
    reply.bulk_str("pel-count");
    reply.integer(group.pending().len() as i64);
    reply.bulk_str("nacked-count");
    reply.integer(group.released() as i64);
    reply.bulk_str("pending");
    reply.array(group.pending().len().min(most));
    for (&id, pending) in group.pending().iter().take(most) {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(group.owner_name(pending));
        reply.integer(pending.delivered_ms());
        reply.integer(pending.deliveries as i64);
    }
    reply.bulk_str("consumers");
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        write_full_consumer(group, consumer, most, reply);
    }
}

fn write_full_consumer(group: &Group, consumer: &Consumer, most: usize, reply: &mut Reply<'_>) {
    reply.map(5);
    reply.bulk_str("name");
    reply.bulk(consumer.name());
    reply.bulk_str("seen-time");
    reply.integer(consumer.seen_ms);
    reply.bulk_str("active-time");
    reply.integer(consumer.active_ms.unwrap_or(-1));
    reply.bulk_str("pel-count");
    reply.integer(consumer.pending().len() as i64);
    reply.bulk_str("pending");
    reply.array(consumer.pending().len().min(most));
    for id in consumer.pending().iter().take(most) {
        let pending = &group.pending()[id];
        reply.array(3);
        write_id(reply, *id);
        reply.integer(pending.delivered_ms());
        reply.integer(pending.deliveries as i64);
    }
}

pub(super) fn groups(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let stream = server.dbs[*db].read::<Stream>(args.at(2), *at)?.ok_or(ReplyError::NO_SUCH_KEY)?;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups() {
        reply.map(6);
        reply.bulk_str("name");
        reply.bulk(name);
        reply.bulk_str("consumers");
        reply.integer(group.consumers().len() as i64);
        reply.bulk_str("pending");
        reply.integer(group.pending().len() as i64);
        reply.bulk_str("last-delivered-id");
        write_id(reply, group.last_id);
        reply.bulk_str("entries-read");
        write_known(reply, group.entries_read);
        reply.bulk_str("lag");
        write_known(reply, stream.lag(group));
    }
    Ok(Next::Done)
}

pub(super) fn consumers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, name, now_ms) = (args.at(2), args.at(3), ctx.now.unix_ms);
    let Ctx { server, reply, db, at, .. } = ctx;
    let stream = server.dbs[*db].read::<Stream>(key, *at)?.ok_or(ReplyError::NO_SUCH_KEY)?;
    let group = stream.group(name).ok_or_else(|| no_group(key, name))?;
    reply.array(group.consumers().len());
    for consumer in group.consumers() {
        reply.map(4);
        reply.bulk_str("name");
        reply.bulk(consumer.name());
        reply.bulk_str("pending");
        reply.integer(consumer.pending().len() as i64);
        reply.bulk_str("idle");
        reply.integer(now_ms.saturating_sub(consumer.seen_ms).max(0));
        reply.bulk_str("inactive");
        reply.integer(consumer.active_ms.map_or(-1, |active_ms| now_ms.saturating_sub(active_ms).max(0)));
    }
    Ok(Next::Done)
}
