//! What is passed on to logs and replicas in place of commands on streams that depend on the time, on who asks, or on how
//! entries are packed: commands that leave behind what is there now.
//!
//! The forms are Redis's own. Its replicas and logs know nothing of consumers that were made and given nothing, and nothing of
//! entries given once more; those are passed on here, so that a second instance holds the same.

use super::trimming::Trimming;
use crate::resp::args::Args;
use crate::server::propagation::Lines;
use crate::store::types::stream::{Pending, References, StreamId, Trim};
use crate::store::types::{Collection, Stream};

/// An entry that is pending now, or was until it was found deleted.
#[derive(Debug)]
pub(super) struct Passed {
    pub id: StreamId,
    pub delivered_ms: i64,
    pub deliveries: u64,
    /// Whose it was, if not the consumer's that the command is about.
    pub owner: Option<Box<[u8]>>,
}

impl Passed {
    /// An entry that is pending for the consumer that the command is about.
    pub fn of(id: StreamId, pending: &Pending) -> Passed {
        Passed { id, delivered_ms: pending.delivered_ms(), deliveries: pending.deliveries, owner: None }
    }
}

/// A group of the stream at a key.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub key: &'a [u8],
    pub group: &'a [u8],
}

impl Place<'_> {
    /// A consumer was made.
    pub fn consumer(&self, lines: &mut Lines<'_>, name: &[u8]) {
        lines.push([b"XGROUP".as_slice(), b"CREATECONSUMER", self.key, self.group, name]);
    }

    /// Entries were given to a consumer; those that are no more are taken off the pending ones when the line meets them.
    /// `last_id` is what the group was given last.
    pub fn pending(&self, lines: &mut Lines<'_>, consumer: &[u8], passed: &[Passed], last_id: StreamId) {
        for Passed { id, delivered_ms, deliveries, owner } in passed {
            let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
            lines.push([
                b"XCLAIM".as_slice(),
                self.key,
                self.group,
                owner.as_deref().unwrap_or(consumer),
                b"0",
                id.text().as_bytes(),
                b"TIME",
                time.format(*delivered_ms).as_bytes(),
                b"RETRYCOUNT",
                count.format(*deliveries as i64).as_bytes(),
                b"FORCE",
                b"JUSTID",
                b"LASTID",
                last_id.text().as_bytes(),
            ]);
        }
    }

    /// The group was given entries up to an id.
    pub fn position(&self, lines: &mut Lines<'_>, last_id: StreamId, entries_read: Option<u64>) {
        let read = entries_read.and_then(|read| i64::try_from(read).ok()).unwrap_or(-1);
        lines.push([
            b"XGROUP".as_slice(),
            b"SETID",
            self.key,
            self.group,
            last_id.text().as_bytes(),
            b"ENTRIESREAD",
            itoa::Buffer::new().format(read).as_bytes(),
        ]);
    }
}

/// What an approximate trimming has left, as an exact one is asked for it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Left {
    Entries(usize),
    /// Nothing below this id, which is that of the first entry, or of one before it that was deleted.
    From(StreamId),
}

impl Left {
    /// What a trimming has left of a stream, if it was approximate.
    pub fn by(trimming: &Trimming, stream: &Stream) -> Option<Left> {
        let (trim, references) = trimming.approximate()?;
        let first = stream.first().map_or(StreamId::MAX, |first| first.id);
        Some(match (trim, references) {
            // Whole nodes have gone.
            (Trim::Below(_), References::Keep) => {
                Left::From(stream.nodes().next().map_or(StreamId::MAX, |(first, _)| first))
            }
            (Trim::Below(_), References::Delete) => Left::From(first),
            (Trim::Below(bound), References::Acknowledged) if first >= bound => Left::From(first),
            // Entries that stay for the sake of references do not tell where the trimming has come to; their number does.
            _ => Left::Entries(stream.len()),
        })
    }
}

/// XADD or XTRIM as it turned out. `options` is the index behind their options, where XADD has the id; `id` the one that the
/// entry got, if the line left it open; `left` what an approximate trimming has left, which is passed on as an exact one. That
/// has no LIMIT: it needs none, and only loaders would accept it.
pub(super) fn as_it_turned_out(
    lines: &mut Lines<'_>,
    args: Args<'_>,
    options: usize,
    id: Option<StreamId>,
    left: Option<Left>,
) {
    let id = id.map(StreamId::text);
    let mut digits = itoa::Buffer::new();
    let first;
    let threshold = match left {
        Some(Left::Entries(len)) => digits.format(len).as_bytes(),
        Some(Left::From(id)) => {
            first = id.text();
            first.as_bytes()
        }
        None => b"",
    };
    let mut line = vec![args.at(0), args.at(1)];
    let mut index = 2;
    while index < options {
        let is_below = args.is(index, "MINID");
        if left.is_some() && (is_below || args.is(index, "MAXLEN")) {
            let by_length = matches!(left, Some(Left::Entries(_)));
            line.extend([if is_below && by_length { b"MAXLEN" } else { args.at(index) }, b"=", threshold]);
            // The sign is there, or the trimming would not be approximate.
            index += 3;
        } else if left.is_some() && args.is(index, "LIMIT") {
            index += 2;
        } else if args.is(index, "IDMP") || args.is(index, "IDMPAUTO") {
            // What follows is no option, whatever it says.
            let words = if args.is(index, "IDMP") { 3 } else { 2 };
            line.extend((index..index + words).map(|index| args.at(index)));
            index += words;
        } else {
            line.push(args.at(index));
            index += 1;
        }
    }
    let given = args.iter_from(options);
    let given_at = usize::from(id.is_some());
    line.extend(id.as_ref().map(|id| id.as_bytes()).into_iter().chain(given.skip(given_at)));
    lines.push(line);
}
