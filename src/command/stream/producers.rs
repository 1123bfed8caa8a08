//! Entries that are added once though they are sent twice: the options IDMP and IDMPAUTO of XADD, XCFGSET that says how long ids are
//! remembered, and XIDMPRECORD that logs bring them back with.

use xxhash_rust::xxh3::xxh3_128;

use super::{Outcome, ids};
use crate::base::num;
use crate::config::Config;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{CallOrigin, Ctx, Next};
use crate::server::propagation::Lines;
use crate::store::types::Stream;
use crate::store::types::stream::{Remembering, StreamId};

const NO_PID: ReplyError = ReplyError::new("ERR syntax error, IDMP requires a non-empty producer ID");
const NO_IID: ReplyError = ReplyError::new("ERR syntax error, IDMP requires a non-empty idempotent ID");
const NO_PID_AUTO: ReplyError = ReplyError::new("ERR syntax error, IDMPAUTO requires a non-empty producer ID");
const TWICE: ReplyError = ReplyError::new("ERR syntax error, IDMP/IDMPAUTO specified multiple times");
const NO_AUTO_ID: ReplyError =
    ReplyError::new("ERR syntax error, IDMP/IDMPAUTO can be used only with auto-generated IDs");
const NOTHING_TO_SET: ReplyError = ReplyError::new("ERR At least one parameter must be specified");
const BAD_DURATION: ReplyError = ReplyError::new("ERR IDMP-DURATION must be between 1 and 86400 seconds");
const BAD_SIZE: ReplyError = ReplyError::new("ERR IDMP-MAXSIZE must be between 1 and 10000 entries");
const DURATION_TWICE: ReplyError = ReplyError::new("ERR IDMP-DURATION specified multiple times");
const SIZE_TWICE: ReplyError = ReplyError::new("ERR IDMP-MAXSIZE specified multiple times");
const EMPTY_PID: ReplyError = ReplyError::new("ERR producer ID must be non-empty");
const EMPTY_IID: ReplyError = ReplyError::new("ERR idempotent ID must be non-empty");
const NO_SUCH_MESSAGE: ReplyError = ReplyError::new("ERR No such message in stream");
const ANOTHER_ENTRY: ReplyError =
    ReplyError::new("ERR IID already exists for this producer with a different stream ID");

/// Seconds for which ids may be remembered at most.
const DURATION_MAX: i64 = 86_400;
/// Ids of a producer that may be remembered at most.
const IDS_MAX: i64 = 10_000;

/// What XADD is told of who sends the entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub producer: &'a [u8],
    /// What the producer calls the entry; nothing, if its fields and values are to stand for it.
    id: Option<&'a [u8]>,
}

impl<'a> Sender<'a> {
    /// Reads the option at an index, if it is one of these; with the index behind it.
    pub fn option(args: Args<'a>, index: usize, before: bool) -> Result<Option<(Sender<'a>, usize)>, ReplyError> {
        let more = args.len() - 1 - index;
        let (is_named, is_auto) = (more >= 2 && args.is(index, "IDMP"), more >= 1 && args.is(index, "IDMPAUTO"));
        if !is_named && !is_auto {
            return Ok(None);
        }
        if before {
            return Err(TWICE);
        }
        let producer = args.at(index + 1);
        if producer.is_empty() {
            return Err(if is_named { NO_PID } else { NO_PID_AUTO });
        }
        let id = is_named.then(|| args.at(index + 2));
        if id.is_some_and(<[u8]>::is_empty) {
            return Err(NO_IID);
        }
        Ok(Some((Sender { producer, id }, index + 2 + usize::from(is_named))))
    }

    /// Refuses an id of the stream that is not left to the server. What a log or a primary brings has been decided there.
    pub fn check(&self, is_auto: bool, is_replayed: bool) -> Result<(), ReplyError> {
        if is_auto || is_replayed { Ok(()) } else { Err(NO_AUTO_ID) }
    }

    /// What the producer calls the entry: what it said, or what is worked out of the fields and values in any order.
    ///
    /// COMPAT: the bytes are our own; nobody is shown them, but payloads of DUMP.
    pub fn id(&self, flat: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        if let Some(id) = self.id {
            return id.to_vec();
        }
        let (mut flat, mut sum, mut text) = (flat, 0_u128, Vec::new());
        while let (Some(field), Some(value)) = (flat.next(), flat.next()) {
            text.clear();
            text.extend_from_slice(&(field.len() as u64).to_le_bytes());
            text.extend_from_slice(field);
            text.extend_from_slice(value);
            sum = sum.wrapping_add(xxh3_128(&text));
        }
        sum.to_be_bytes().to_vec()
    }
}

/// Whether what runs was decided elsewhere: by a primary, or when a log was written.
pub(super) fn is_replayed(ctx: &Ctx<'_>) -> bool {
    matches!(ctx.origin, CallOrigin::Loaded | CallOrigin::Followed) || ctx.server.clients[ctx.client].link.is_some()
}

/// How long a stream that is made now remembers ids. A log or a primary says so itself if it is not the usual time.
pub(super) fn remembering(config: &Config, is_replayed: bool) -> Remembering {
    match is_replayed {
        true => Remembering::default(),
        false => Remembering { duration_s: config.stream_idmp_duration, ids_max: config.stream_idmp_maxsize },
    }
}

/// Passes on how long a stream that was made remembers ids, if that is not the usual time.
pub(super) fn pass_remembering(lines: &mut Lines<'_>, key: &[u8], remembering: Remembering) {
    if remembering != Remembering::default() {
        let (mut duration, mut most) = (itoa::Buffer::new(), itoa::Buffer::new());
        lines.push([
            b"XCFGSET".as_slice(),
            key,
            b"IDMP-DURATION",
            duration.format(remembering.duration_s).as_bytes(),
            b"IDMP-MAXSIZE",
            most.format(remembering.ids_max).as_bytes(),
        ]);
    }
}

/// The options of XCFGSET: seconds, and ids.
fn settings(args: Args<'_>) -> Result<(Option<u32>, Option<u32>), ReplyError> {
    let (mut duration, mut size) = (None, None);
    let mut index = 2;
    while index < args.len() {
        let more = index + 1 < args.len();
        let (field, most, twice, refusal) = if more && args.is(index, "IDMP-DURATION") {
            (&mut duration, DURATION_MAX, DURATION_TWICE, BAD_DURATION)
        } else if more && args.is(index, "IDMP-MAXSIZE") {
            (&mut size, IDS_MAX, SIZE_TWICE, BAD_SIZE)
        } else {
            return Err(ReplyError::SYNTAX);
        };
        if field.is_some() {
            return Err(twice);
        }
        let n = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        let n = u32::try_from(n).ok().filter(|&n| n > 0 && i64::from(n) <= most);
        *field = Some(n.ok_or(refusal)?);
        index += 2;
    }
    if duration.is_none() && size.is_none() {
        return Err(NOTHING_TO_SET);
    }
    Ok((duration, size))
}

pub(super) fn xcfgset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let mut stream = ctx.db().write::<Stream>(key, at)?.ok_or(ReplyError::NO_SUCH_KEY)?;
    let (duration_s, ids_max) = settings(args)?;
    let now = stream.producers().map_or_else(Remembering::default, |producers| producers.remembering());
    let forgotten = stream.set_remembering(Remembering {
        duration_s: duration_s.unwrap_or(now.duration_s),
        ids_max: ids_max.unwrap_or(now.ids_max),
    });
    drop(stream);
    if let Some(forgotten) = forgotten {
        ctx.server.background.free(Box::new(forgotten));
        ctx.db().knows_producers = true;
        ctx.change(Change::without_event(key).beside_the_value());
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

pub(super) fn xidmprecord(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, producer, id, at) = (args.at(1), args.at(2), args.at(3), ctx.at);
    let entry: StreamId = ids::exact(args.at(4))?;
    if producer.is_empty() {
        return Err(EMPTY_PID);
    }
    if id.is_empty() {
        return Err(EMPTY_IID);
    }
    // An id outlives the entry that it stands for, which a log brings back without.
    let is_replayed = is_replayed(ctx);
    let mut stream = ctx.db().write::<Stream>(key, at)?.ok_or(ReplyError::NO_SUCH_KEY)?;
    let was_there = is_replayed && entry <= stream.last_id();
    if !was_there && !stream.contains(entry) {
        return Err(NO_SUCH_MESSAGE);
    }
    let known = stream.producers().and_then(|producers| producers.find(producer, id, None));
    if known.is_some_and(|known| known != entry) {
        return Err(ANOTHER_ENTRY);
    }
    if known.is_none() {
        stream.producers_mut().remember(producer, id, entry, None);
    }
    drop(stream);
    if known.is_none() {
        ctx.db().knows_producers = true;
        ctx.change(Change::without_event(key).beside_the_value());
    }
    ctx.reply.ok();
    Ok(Next::Done)
}
