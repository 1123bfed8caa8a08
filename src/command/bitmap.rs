//! Strings as bitmaps: the rows of their commands and the handlers of single bits, of counting, searching and combining.
//! `bitfield`: integers inside bitmaps. `positions`: which bits are set. `compressed`: strings that are held as compressed bitmaps.

mod bitfield;
mod compressed;
mod positions;

use std::ops::Range;
use std::sync::Arc;

use super::long::{self, PlaceInText};
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec, keyfind};
use super::string::range::{self, NO_MEMORY};
use super::string::string_in;
use crate::base::num;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Job, Slice, Step, Work};
use crate::store::db::Ttl;
use crate::store::entry::{NewValue, TextBuffer, Value};
use crate::store::types::bitmap::{self, Op};
use crate::store::types::roaring::{self, Roaring, Text};

const READ: &[KeySpec] = &[KeySpec::one(Access::RO.with(Access::ACCESS), 1)];
const READ_UPDATE: Access = Access::RW.with(Access::ACCESS).with(Access::UPDATE);
const UNITS_CAME: &[(&str, &str)] = &[("7.0.0", "Added the `BYTE|BIT` option.")];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::write("SETBIT", 4, setbit)
        .denyoom()
        .keys(&[KeySpec::one(READ_UPDATE, 1)])
        .group(Group::Bitmap, Category::BITMAP, "2.2.0")
        .doc(
            "Sets or clears one bit of a string, which grows or is created if need be, and returns the old bit.",
            "O(1), and O(N) for N bytes by which the string grows.",
            "key offset value",
        ),
    Spec::read("GETBIT", 3, getbit).fast().keys(READ).group(Group::Bitmap, Category::BITMAP, "2.2.0").doc(
        "Returns one bit of a string.",
        "O(1)",
        "key offset",
    ),
    Spec::read("BITCOUNT", -2, bitcount)
        .keys(READ)
        .group(Group::Bitmap, Category::BITMAP, "2.6.0")
        .doc(
            "Counts the bits of a string, or of part of it, that are set.",
            "O(N) for N bytes looked at.",
            "key [start [end [BYTE | BIT]]]",
        )
        .history(UNITS_CAME),
    Spec::read("BITPOS", -3, bitpos)
        .keys(READ)
        .group(Group::Bitmap, Category::BITMAP, "2.8.7")
        .doc(
            "Finds the first set or clear bit of a string, or of part of it.",
            "O(N) for N bytes looked at.",
            "key bit [start [end [BYTE | BIT]]]",
        )
        .history(UNITS_CAME),
    Spec::read("BITRANGEINTARRAY", -4, positions::bitrangeintarray)
        .keys(READ)
        .group(Group::Bitmap, Category::BITMAP, "8.12.0")
        .doc(
            "Returns the offsets of the bits of a string, or of part of it, that are set or clear.",
            "O(N+M) for N bytes looked at and M offsets returned.",
            "key start end [BYTE | BIT] [LIMIT limit] [ZEROS]",
        ),
    Spec::write("BITOP", -4, bitop)
        .denyoom()
        .keys(&[KeySpec::one(Access::OW.with(Access::UPDATE), 2), KeySpec::rest(Access::RO.with(Access::ACCESS), 3, 1)])
        .group(Group::Bitmap, Category::BITMAP, "2.6.0")
        .doc(
            "Combines strings bit by bit and stores the result.",
            "O(N) for N bytes of all strings together.",
            "<AND | OR | XOR | NOT | DIFF | DIFF1 | ANDOR | ONE> destkey key [key ...]",
        ),
    Spec::write("BITFIELD", -2, bitfield::bitfield)
        .denyoom()
        .keys(&[KeySpec::one(READ_UPDATE.with(Access::VARIABLE), 1)
            .notes("This command allows both access and modification of the key")])
        .find_keys(keyfind::bitfield)
        .group(Group::Bitmap, Category::BITMAP, "3.2.0")
        .doc(
            "Reads, writes and increments integers of any width inside a string.",
            "O(1) for each operation, and O(N) for N bytes by which the string grows.",
            "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
             <SET encoding offset value | INCRBY encoding offset increment> \
             [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] \
             <SET encoding offset value | INCRBY encoding offset increment> ...]]",
        ),
    Spec::read("BITFIELD_RO", -2, bitfield::bitfield_ro)
        .fast()
        .keys(READ)
        .group(Group::Bitmap, Category::BITMAP, "6.0.0")
        .doc(
            "Reads integers of any width inside a string.",
            "O(1) for each operation.",
            "key [GET encoding offset [GET encoding offset ...]]",
        ),
];

/// Bytes that are gone by at once: some microseconds.
const PIECE_BYTES: u64 = 32 << 10;

const OFFSET: ReplyError = ReplyError::new("ERR bit offset is not an integer or out of range");
const NOT_A_BIT: ReplyError = ReplyError::new("ERR bit is not an integer or out of range");

/// A bit offset that lies within the longest string there may be.
fn bit_offset(text: &[u8], ctx: &Ctx<'_>) -> Result<u64, ReplyError> {
    checked_offset(num::parse_i64(text), ctx)
}

fn checked_offset(offset: Option<i64>, ctx: &Ctx<'_>) -> Result<u64, ReplyError> {
    let offset = offset.and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < ctx.server.config.proto_max_bulk_len).ok_or(OFFSET)
}

/// The bytes that hold the bits up to an offset. Offsets are limited by `proto-max-bulk-len`.
fn bytes_up_to(offset: u64) -> Result<usize, ReplyError> {
    usize::try_from(offset / 8 + 1).map_err(|_| OFFSET)
}

fn setbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let offset = bit_offset(args.at(2), ctx)?;
    let on = match num::parse_i64(args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(NOT_A_BIT),
    };
    let length = bytes_up_to(offset)?;
    let compresses = ctx.server.config.bitmap_default_roaring;
    let db = ctx.db();
    let (old, changes) = if let Some(mut slot) = db.lookup_write(key, at) {
        let (old, grows) = {
            let value = string_in(&slot)?;
            let mut buffer = TextBuffer::new();
            let text = value.held(&mut buffer);
            (text.get(offset), length > text.len())
        };
        let is_compressed = compressed::prepare(&mut slot, length, compresses)?;
        if old != on && is_compressed {
            slot.edit_roaring(|roaring| roaring.set(offset, on));
            compressed::settle(&mut slot)?;
        } else if old != on {
            slot.edit_bytes(|bytes| bitmap::set(bytes, offset, on));
        }
        (old, grows || old != on)
    } else if compresses && Roaring::suits(length, 0) {
        let mut roaring = Roaring::zeros(length);
        roaring.set(offset, on);
        compressed::insert(db, key, roaring, at);
        (false, true)
    } else {
        let mut bytes = range::zeros(length)?;
        bitmap::set(&mut bytes, offset, on);
        range::insert_raw(db, key, bytes, at);
        (false, true)
    };
    if changes {
        ctx.change(Change::new(EventClass::String, "setbit", key));
    }
    ctx.reply.integer(i64::from(old));
    Ok(Next::Done)
}

fn getbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let offset = bit_offset(args.at(2), ctx)?;
    let bit = match ctx.db().lookup_read(args.at(1), at) {
        Some(entry) => string_in(&entry)?.held(&mut TextBuffer::new()).get(offset),
        None => false,
    };
    ctx.reply.integer(i64::from(bit));
    Ok(Next::Done)
}

/// What the numbers of a range count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    fn parse(args: Args<'_>, index: usize) -> Result<Unit, ReplyError> {
        match () {
            _ if index >= args.len() || args.is(index, "BYTE") => Ok(Unit::Byte),
            _ if args.is(index, "BIT") => Ok(Unit::Bit),
            _ => Err(ReplyError::SYNTAX),
        }
    }

    /// The bits from `start` to `end`, both included and counted from the end if negative. What lies before the string
    /// means its beginning, for `end` too.
    fn bits(self, start: i64, end: i64, bytes: usize) -> Range<u64> {
        let width = if self == Unit::Bit { 1 } else { 8 };
        let total = (bytes as i64) * 8 / width;
        let from_start = |index: i64| if index < 0 { index.saturating_add(total).max(0) } else { index };
        let (start, end) = (from_start(start), from_start(end).min(total - 1));
        if start > end { 0..0 } else { (start * width) as u64..((end + 1) * width) as u64 }
    }

    /// The same for what looks at all of them.
    // COMPAT: such a range is empty even if both its ends lie before the string, unlike with BITPOS.
    fn counted_bits(self, start: i64, end: i64, bytes: usize) -> Range<u64> {
        let is_backward = start < 0 && end < 0 && start > end;
        if is_backward { 0..0 } else { self.bits(start, end, bytes) }
    }
}

fn integer(args: Args<'_>, index: usize) -> Result<i64, ReplyError> {
    num::parse_i64(args.at(index)).ok_or(ReplyError::NOT_AN_INTEGER)
}

fn bitcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (start, end, unit) = match args.len() {
        2 => (0, -1, Unit::Byte),
        // As in Valkey.
        3 => (integer(args, 2)?, -1, Unit::Byte),
        4 | 5 => {
            let (start, end) = (integer(args, 2)?, integer(args, 3)?);
            (start, end, Unit::parse(args, 4)?)
        }
        _ => return Err(ReplyError::SYNTAX),
    };
    let (at, limits) = (ctx.at, ctx.job_limits());
    let count = match ctx.db().lookup_read(args.at(1), at) {
        Some(entry) => {
            let value = string_in(&entry)?;
            let mut buffer = TextBuffer::new();
            let text = value.held(&mut buffer);
            let bits = unit.counted_bits(start, end, text.len());
            if text.is_plain() && limits.is_some_and(|limits| limits.is_long_text(bytes_of(&bits))) {
                return long::read_text(ctx, args.at(1), Counting { left: bits, count: 0 });
            }
            text.count(bits)
        }
        None => 0,
    };
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

/// Bytes that some bits take.
fn bytes_of(bits: &Range<u64>) -> usize {
    usize::try_from((bits.end - bits.start) / 8).unwrap_or(usize::MAX)
}

/// The next bits that are gone by at once.
fn piece_of(left: &Range<u64>) -> Range<u64> {
    left.start..left.end.min((left.start / 8 + PIECE_BYTES) * 8)
}

/// Where BITCOUNT goes on.
#[derive(Debug)]
struct Counting {
    left: Range<u64>,
    count: u64,
}

impl PlaceInText for Counting {
    fn go_on(&mut self, text: Text<'_>, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        while !self.left.is_empty() {
            let piece = piece_of(&self.left);
            self.left.start = piece.end;
            let bytes = bytes_of(&piece);
            self.count += text.count(piece);
            if !slice.spend(1, bytes) && !self.left.is_empty() {
                return false;
            }
        }
        reply.integer(self.count as i64);
        true
    }
}

fn bitpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = match integer(args, 2)? {
        0 => false,
        1 => true,
        _ => return Err(ReplyError::new("ERR The bit argument must be 1 or 0.")),
    };
    if args.len() > 6 {
        return Err(ReplyError::SYNTAX);
    }
    let start = if args.len() > 3 { integer(args, 3)? } else { 0 };
    let unit = Unit::parse(args, 5)?;
    let end = if args.len() > 4 { Some(integer(args, 4)?) } else { None };
    let (at, limits) = (ctx.at, ctx.job_limits());
    let position = match ctx.db().lookup_read(args.at(1), at) {
        Some(entry) => {
            let value = string_in(&entry)?;
            let mut buffer = TextBuffer::new();
            let text = value.held(&mut buffer);
            let bits = unit.bits(start, end.unwrap_or(-1), text.len());
            let past_the_end = bits.end;
            // Without an end, zeros follow the string.
            let zeros_follow = !wanted && end.is_none() && !bits.is_empty();
            let otherwise = zeros_follow.then_some(past_the_end);
            if text.is_plain() && limits.is_some_and(|limits| limits.is_long_text(bytes_of(&bits))) {
                return long::read_text(ctx, args.at(1), Finding { left: bits, wanted, otherwise });
            }
            text.find(bits, wanted).or(otherwise)
        }
        // A missing key is zeros without an end.
        None => (!wanted).then_some(0),
    };
    ctx.reply.integer(position.map_or(-1, |position| position as i64));
    Ok(Next::Done)
}

/// Where BITPOS goes on.
#[derive(Debug)]
struct Finding {
    left: Range<u64>,
    wanted: bool,
    /// What is answered if there is no such bit.
    otherwise: Option<u64>,
}

impl PlaceInText for Finding {
    fn go_on(&mut self, text: Text<'_>, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let mut found = None;
        while found.is_none() && !self.left.is_empty() {
            let piece = piece_of(&self.left);
            self.left.start = piece.end;
            let bytes = bytes_of(&piece);
            found = text.find(piece, self.wanted);
            if !slice.spend(1, bytes) && found.is_none() && !self.left.is_empty() {
                return false;
            }
        }
        reply.integer(found.or(self.otherwise).map_or(-1, |position| position as i64));
        true
    }
}

/// The operations by name; whether they need a second source.
const OPS: &[(&str, Op, bool)] = &[
    ("AND", Op::And, false),
    ("OR", Op::Or, false),
    ("XOR", Op::Xor, false),
    ("NOT", Op::Not, false),
    ("DIFF", Op::Diff, true),
    ("DIFF1", Op::Diff1, true),
    ("ANDOR", Op::AndOr, true),
    ("ONE", Op::One, false),
];

/// A string that outlives the lookup of the next: long ones are shared, not copied.
#[derive(Debug)]
enum Source {
    Shared(Arc<Vec<u8>>),
    Roaring(Arc<Roaring>),
    Copied(Vec<u8>),
}

impl Source {
    fn new(value: &Value<'_>) -> Source {
        match value {
            Value::Shared(shared) => Source::Shared(Arc::clone(shared)),
            Value::Roaring(roaring) => Source::Roaring(Arc::clone(roaring)),
            short => Source::Copied(short.text(&mut TextBuffer::new()).to_vec()),
        }
    }

    fn text(&self) -> Text<'_> {
        match self {
            Source::Shared(bytes) => Text::Plain(bytes),
            Source::Roaring(roaring) => Text::Roaring(roaring),
            Source::Copied(bytes) => Text::Plain(bytes),
        }
    }

    /// The bytes, of one that is not compressed.
    fn bytes(&self) -> &[u8] {
        match self {
            Source::Shared(bytes) => bytes,
            Source::Roaring(_) => &[],
            Source::Copied(bytes) => bytes,
        }
    }
}

fn bitop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Some(&(name, op, needs_two)) = OPS.iter().find(|(name, ..)| args.is(1, name)) else {
        return Err(ReplyError::SYNTAX);
    };
    if op == Op::Not && args.len() != 4 {
        return Err(ReplyError::new("ERR BITOP NOT must be called with a single source key."));
    }
    if needs_two && args.len() < 5 {
        return Err(ReplyError::owned(format!("ERR BITOP {name} must be called with at least two source keys.")));
    }
    let (target, at) = (args.at(2), ctx.at);
    if let Some(result) = ctx.gathered::<Result<Combined, ReplyError>>() {
        return store(ctx, target, &mut (*result)?);
    }
    let mut sources = Vec::with_capacity(args.len() - 3);
    for key in args.iter_from(3) {
        sources.push(match ctx.db().lookup_read(key, at) {
            Some(entry) => Source::new(&string_in(&entry)?),
            None => Source::Copied(Vec::new()),
        });
    }
    let bytes = sources.iter().map(|source| source.text().len()).sum();
    let compresses = ctx.server.config.bitmap_default_roaring;
    let mut combining = Combining::new(op, sources, compresses)?;
    if ctx.job_limits().is_some_and(|limits| limits.is_long_text(bytes)) {
        return ctx.become_job(combining);
    }
    while combining.go_on()? {}
    store(ctx, target, &mut combining.take())
}

/// What strings are combined into.
#[derive(Debug)]
enum Combined {
    Plain(Vec<u8>),
    Roaring(Arc<Roaring>),
}

impl Combined {
    fn len(&self) -> usize {
        match self {
            Combined::Plain(bytes) => bytes.len(),
            Combined::Roaring(roaring) => roaring.len(),
        }
    }
}

/// BITOP under way.
#[derive(Debug)]
struct Combining {
    op: Op,
    sources: Vec<Source>,
    /// A result that saves memory is to stay compressed.
    compresses: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Bytes are combined.
    Plain(Vec<u8>),
    /// Chunks of compressed bitmaps are.
    Chunks(roaring::Combining),
    /// The result has been combined, and becomes bytes.
    Expanding { from: Roaring, bytes: Vec<u8> },
    /// It has been, and stays as it is.
    Done(Roaring),
}

impl Combining {
    /// Begins; what is compressed is combined without its bytes, and so is all if the result may be compressed.
    fn new(op: Op, mut sources: Vec<Source>, compresses: bool) -> Result<Combining, ReplyError> {
        let longest = sources.iter().map(|source| source.text().len()).max().unwrap_or(0);
        if longest > roaring::BYTES_MAX {
            // COMPAT: only where strings may be longer than Redis's own limit.
            for source in &mut sources {
                if let Source::Roaring(roaring) = source {
                    *source = Source::Copied(roaring.to_bytes().map_err(|_| NO_MEMORY)?);
                }
            }
        }
        let compresses = compresses && (roaring::BYTES_MIN..=roaring::BYTES_MAX).contains(&longest);
        let stage = if compresses || sources.iter().any(|source| !source.text().is_plain()) {
            let texts: Vec<Text<'_>> = sources.iter().map(Source::text).collect();
            Stage::Chunks(roaring::Combining::new(op, &texts))
        } else {
            Stage::Plain(room(longest)?)
        };
        Ok(Combining { op, sources, compresses, stage })
    }

    /// Goes on with the next some kilobytes; false if those were the last.
    fn go_on(&mut self) -> Result<bool, ReplyError> {
        match &mut self.stage {
            Stage::Plain(result) => {
                let slices: Vec<&[u8]> = self.sources.iter().map(Source::bytes).collect();
                return Ok(bitmap::combine_more(self.op, &slices, result));
            }
            Stage::Chunks(combining) => {
                let texts: Vec<Text<'_>> = self.sources.iter().map(Source::text).collect();
                if !combining.go_on(&texts) {
                    let from = combining.take();
                    self.stage = match self.compresses && from.is_saving() {
                        true => Stage::Done(from),
                        false => Stage::Expanding { bytes: room(from.len())?, from },
                    };
                }
            }
            Stage::Expanding { from, bytes } => {
                let at = bytes.len();
                bytes.resize(from.len().min(at + roaring::CHUNK_BYTES), 0);
                from.copy_over_zeros(at, &mut bytes[at..]);
                return Ok(bytes.len() < from.len());
            }
            Stage::Done(_) => return Ok(false),
        }
        Ok(true)
    }

    /// Bytes that are gone by at once.
    fn step_bytes(&self) -> usize {
        match self.stage {
            Stage::Plain(_) => bitmap::BLOCK_BYTES * self.sources.len(),
            _ => roaring::CHUNK_BYTES * self.sources.len(),
        }
    }

    /// The result, at the end.
    fn take(&mut self) -> Combined {
        match std::mem::replace(&mut self.stage, Stage::Plain(Vec::new())) {
            Stage::Plain(bytes) | Stage::Expanding { bytes, .. } => Combined::Plain(bytes),
            Stage::Chunks(mut combining) => Combined::Roaring(Arc::new(combining.take())),
            Stage::Done(roaring) => Combined::Roaring(Arc::new(roaring)),
        }
    }
}

/// Room for so many bytes.
fn room(bytes: usize) -> Result<Vec<u8>, ReplyError> {
    let mut room = Vec::new();
    room.try_reserve_exact(bytes).map_err(|_| NO_MEMORY)?;
    Ok(room)
}

impl Job for Combining {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        loop {
            match self.go_on() {
                Ok(true) => {}
                Ok(false) => return Step::Gathered(Box::new(Ok::<_, ReplyError>(self.take()))),
                Err(error) => return Step::Gathered(Box::new(Err::<Combined, _>(error))),
            }
            if !work.slice.spend(1, self.step_bytes()) {
                return Step::More;
            }
        }
    }
}

/// Stores a result over whatever the key held, and answers its length; nothing is no string but no key.
fn store(ctx: &mut Ctx<'_>, key: &[u8], result: &mut Combined) -> Outcome {
    let (at, length) = (ctx.at, result.len());
    if length > 0 {
        let db = ctx.db();
        let value = match result {
            Combined::Plain(bytes) => NewValue::owned(bytes),
            Combined::Roaring(roaring) => NewValue::Roaring(Arc::clone(roaring)),
        };
        db.set(key, value, Ttl::Clear, at);
        if let Some(mut slot) = db.lookup_write(key, at) {
            slot.set_raw();
        }
        ctx.change(Change::new(EventClass::String, "set", key));
    } else if let Some(entry) = ctx.db().remove(key, at) {
        ctx.server.discard(entry);
        ctx.change(Change::new(EventClass::Generic, "del", key));
    }
    ctx.reply.integer(length as i64);
    Ok(Next::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_redis() {
        let rows = [
            (Unit::Byte, 0, -1, 3, 0..24),
            (Unit::Byte, 1, 1, 3, 8..16),
            (Unit::Byte, -2, -1, 3, 8..24),
            (Unit::Byte, -9, -8, 3, 0..8),
            (Unit::Byte, 2, 1, 3, 0..0),
            (Unit::Byte, 0, -1, 0, 0..0),
            (Unit::Byte, 3, 9, 3, 0..0),
            (Unit::Byte, i64::MIN, i64::MAX, 3, 0..24),
            (Unit::Bit, 0, -1, 3, 0..24),
            (Unit::Bit, 5, 9, 3, 5..10),
            (Unit::Bit, -3, -1, 3, 21..24),
            (Unit::Bit, 23, i64::MAX, 3, 23..24),
            (Unit::Bit, 24, 30, 3, 0..0),
        ];
        for (unit, start, end, bytes, expected) in rows {
            assert_eq!(unit.bits(start, end, bytes), expected, "{start} {end}");
        }
    }
}
