//! XNACK: consumers give back what they were given and cannot do, so that others may claim it at once.

use super::remove::{IDS_MISMATCH, IDS_NOT_POSITIVE};
use super::{Outcome, ids};
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Stream;
use crate::store::types::stream::{DELIVERIES_MAX, StreamId};

const BAD_COUNT: ReplyError = ReplyError::new("ERR Invalid RETRYCOUNT option argument for XNACK");

/// What becomes of the number of deliveries.
#[derive(Clone, Copy)]
enum Mode {
    /// The last one does not count.
    Silent,
    /// It counts.
    Fail,
    /// Nobody should be given the entry any more.
    Fatal,
}

/// A read command line.
struct Line<'a> {
    mode: Mode,
    /// The ids, as they are written.
    ids: Args<'a>,
    count: usize,
    /// Counts as the number of deliveries.
    deliveries: Option<u64>,
    /// Entries that are not pending become so.
    force: bool,
}

impl<'a> Line<'a> {
    fn parse(args: Args<'a>) -> Result<Line<'a>, ReplyError> {
        let modes = [("SILENT", Mode::Silent), ("FAIL", Mode::Fail), ("FATAL", Mode::Fatal)];
        let mode = modes.into_iter().find(|(word, _)| args.is(3, word)).map(|(_, mode)| mode);
        let mode = mode.filter(|_| args.is(4, "IDS")).ok_or(ReplyError::SYNTAX)?;
        let count = num::parse_i64(args.at(5)).filter(|&n| n > 0).ok_or(IDS_NOT_POSITIVE)?;
        let count = usize::try_from(count).ok().filter(|&count| count <= args.len() - 6).ok_or(IDS_MISMATCH)?;
        let mut line = Line { mode, ids: args.tail(6), count, deliveries: None, force: false };
        let mut index = 6 + count;
        while index < args.len() {
            if args.is(index, "FORCE") {
                line.force = true;
            } else if args.is(index, "RETRYCOUNT") && index + 1 < args.len() {
                index += 1;
                let n = num::parse_i64(args.at(index)).and_then(|n| u64::try_from(n).ok());
                line.deliveries = Some(n.ok_or(BAD_COUNT)?);
            } else {
                return Err(ReplyError::SYNTAX);
            }
            index += 1;
        }
        Ok(line)
    }

    /// How often an entry counts as given; `before` is how often it was, if it is pending.
    fn deliveries(&self, before: Option<u64>) -> u64 {
        match (self.deliveries, self.mode) {
            (Some(deliveries), _) => deliveries,
            (None, Mode::Silent) => before.unwrap_or(0).saturating_sub(1),
            (None, Mode::Fail) => before.unwrap_or(0),
            (None, Mode::Fatal) => DELIVERIES_MAX,
        }
    }
}

pub(super) fn xnack(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, group, at) = (args.at(1), args.at(2), ctx.at);
    let line = Line::parse(args)?;
    let ids = ids::all(line.ids.iter_from(0).take(line.count))?;
    let mut released: Vec<(StreamId, u64)> = Vec::new();
    if let Some(mut stream) = ctx.db().write::<Stream>(key, at)?.filter(|stream| stream.group(group).is_some()) {
        for id in ids {
            let before =
                stream.group(group).and_then(|group| group.pending().get(&id)).map(|pending| pending.deliveries);
            if before.is_none() && !(line.force && stream.contains(id)) {
                continue;
            }
            let deliveries = line.deliveries(before);
            stream.group_mut(group).expect("it has just been there").release(id, deliveries);
            released.push((id, deliveries));
        }
    }
    if !released.is_empty() {
        ctx.change(Change::without_event(key).beside_the_value().times(released.len()));
        // Consumers may wait for something to claim.
        ctx.look_again(key);
        ctx.propagate_as(|lines| {
            for (id, deliveries) in &released {
                let mut count = itoa::Buffer::new();
                let (id, count) = (id.text(), count.format(*deliveries).as_bytes());
                lines.push([
                    b"XNACK",
                    key,
                    group,
                    b"FAIL",
                    b"IDS",
                    b"1",
                    id.as_bytes(),
                    b"RETRYCOUNT",
                    count,
                    b"FORCE",
                ]);
            }
        });
    }
    ctx.reply.integer(released.len() as i64);
    Ok(Next::Done)
}
