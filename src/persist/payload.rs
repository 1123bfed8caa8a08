//! A value by itself, as DUMP shows it and RESTORE takes it.
//!
//! # Layout
//! ```text
//! | form u8 | value ... | version u16 | CRC-64 of all before, u64 |        (footer little endian)
//! ```

use std::sync::Arc;

use super::dicedb;
use super::rdb::file::opcode;
use super::rdb::read::{Building, Reader};
use super::rdb::slices::Slices;
use super::rdb::write::{Version, Writer};
use super::rdb::{Broken, Budget, CHECKSUM, Dialect, RunningSum, Shapes, VERSION, Value};
use crate::store::entry::{Entry, Value as StringValue};
use crate::store::types::{Object, Stream};

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is too short for a footer, of a newer version, or not what the checksum was made of.
    Footer,
    /// Its value is broken.
    Value,
    /// Its value would take more memory than there is.
    Memory,
}

/// Strings that are longer than this are not compressed, as that would take milliseconds.
const COMPRESSED_BYTES_MAX: usize = 256 << 10;

/// True for a string that is not compressed for its length, and can be dumped piece by piece for that.
pub fn is_long_string(value: &StringValue<'_>) -> bool {
    matches!(value, StringValue::Shared(_) | StringValue::Roaring(_)) && value.len() > COMPRESSED_BYTES_MAX
}

/// True if strings of a payload are to be compressed: if told so, and the value is no very long one.
fn compresses(entry: &Entry, compress: bool) -> bool {
    compress && !entry.string().is_some_and(|value| is_long_string(&value))
}

/// The version in which an entry's payload is written: the one that was asked for, if it holds the deadlines of elements that there are,
/// or else the lowest that holds all of the value, as servers refuse payloads of versions that are newer than they are (Redis 7.0
/// knows 10, Valkey up to 11 and its own). O(consumers of a stream).
pub fn version_for(entry: &Entry, asked: Option<Version>) -> Version {
    let object = entry.object();
    let lowest = || match object.as_deref() {
        Some(Object::Stream(stream)) if stream.producers().is_some() => Version::Redis13,
        Some(Object::Stream(stream)) if has_idle_consumers(stream) => Version::Redis11,
        Some(Object::Hash(hash)) if hash.timed() > 0 => Version::Redis12,
        _ => Version::Redis10,
    };
    asked.filter(|version| Writer::new(*version, false).can_hold(entry)).unwrap_or_else(lowest)
}

/// True if some consumer was active at another time than it was last seen, which version 10 does not tell apart.
fn has_idle_consumers(stream: &Stream) -> bool {
    let mut consumers = stream.groups().flat_map(|(_, group)| group.consumers());
    consumers.any(|consumer| consumer.active_ms != Some(consumer.seen_ms))
}

/// The payload of an entry's value, in Redis 8.2's own version; strings that are long, but not very long, are compressed if told so.
/// O(bytes).
pub fn dump(entry: &Entry, compress: bool) -> Vec<u8> {
    dump_as(entry, Version::Redis12, compress)
}

/// The same in any version. In one that does not hold them the deadlines of elements are left out.
pub fn dump_as(entry: &Entry, version: Version, compress: bool) -> Vec<u8> {
    let mut writer = Writer::new(version, compresses(entry, compress));
    writer.value(entry);
    let mut out = writer.take();
    seal_as(&mut out, version.number());
    out
}

/// A payload being made piece by piece: the same as [`dump_as`] makes at once, but for the first deadline of a hash's fields, which
/// may be told earlier than it is.
#[derive(Debug)]
pub struct Dumping {
    writer: Writer,
    slices: Slices,
    sum: RunningSum,
    pieces: Vec<Arc<Vec<u8>>>,
    bytes: usize,
}

/// Bytes of which the checksum is made at once: some ten microseconds.
const SUMMED_BYTES: usize = 16 << 10;

/// Bytes from which on what was written is a piece.
const PIECE_BYTES: usize = 32 << 10;

impl Dumping {
    /// Begins a payload. O(1).
    pub fn begin(entry: &Entry, version: Version, compress: bool) -> Dumping {
        let mut writer = Writer::new(version, compresses(entry, compress));
        writer.byte(writer.form(entry));
        let slices = Slices::begin(entry, &mut writer);
        Dumping { writer, slices, sum: RunningSum::new(), pieces: Vec::new(), bytes: 0 }
    }

    /// Goes on with the same value; true at the end. Some hundred elements, or a hundred kilobytes of a string.
    pub fn go_on(&mut self, entry: &Entry) -> bool {
        let is_whole = self.slices.go_on(entry, &mut self.writer);
        if is_whole || self.writer.len() >= PIECE_BYTES {
            self.keep_piece(is_whole);
        }
        is_whole
    }

    fn keep_piece(&mut self, is_last: bool) {
        let mut piece = self.writer.take();
        if is_last {
            piece.extend_from_slice(&self.writer.version().number().to_le_bytes());
        }
        self.sum.update(&piece);
        if is_last {
            piece.extend_from_slice(&self.sum.clone().finish().to_le_bytes());
        }
        self.bytes += piece.len();
        self.pieces.push(Arc::new(piece));
    }

    /// Bytes that were made so far, about.
    pub fn bytes(&self) -> usize {
        self.bytes + self.writer.len()
    }

    /// The pieces of the whole.
    pub fn pieces(&self) -> &[Arc<Vec<u8>>] {
        &self.pieces
    }
}

/// Bytes that an entry's value takes in a dump file, without those that tell its form. O(bytes).
pub fn value_bytes(entry: &Entry, compress: bool) -> usize {
    let mut writer = Writer::new(Version::Redis12, compress);
    writer.value(entry);
    writer.len() - 1
}

/// Adds the footer.
pub fn seal(out: &mut Vec<u8>) {
    seal_as(out, VERSION);
}

/// The same with the number of any version.
pub fn seal_as(out: &mut Vec<u8>, version: u16) {
    out.extend_from_slice(&version.to_le_bytes());
    let sum = CHECKSUM.checksum(out);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// The value of a payload, which may be DiceDB's as well. O(N log N) in its elements at most.
///
/// # Errors
/// If it cannot be trusted, makes no value, or takes more memory than `budget` allows.
pub fn restore<'p>(payload: &'p [u8], shapes: &Shapes, mut budget: Budget) -> Result<Value<'p>, Refused> {
    let value = match sealed(payload) {
        // COMPAT: what follows the value, before the footer, is ignored, as by Redis.
        Some((value, dialect)) => Reader::new(value, dialect, &mut budget).value(shapes),
        None => match dicedb::decode(payload) {
            Some(decoded) => dicedb::value(&decoded, shapes, &mut budget),
            None => return Err(Refused::Footer),
        },
    };
    value.map_err(|broken| if broken == Broken::Memory { Refused::Memory } else { Refused::Value })
}

/// A payload being read piece by piece: what [`restore`] makes of it at once.
#[derive(Debug)]
pub struct Restoring {
    sum: RunningSum,
    /// Bytes that are in the sum.
    summed: usize,
    /// What has been made of the value, and how many of its bytes have been read.
    building: Option<(Building, usize)>,
    budget: Budget,
}

/// What has come of a payload.
#[derive(Debug)]
pub enum Restored {
    /// There is more to do.
    More,
    /// The value.
    Value(Value<'static>),
    /// It cannot be divided: it is to be restored at once.
    Whole,
}

impl Restoring {
    /// Begins with the first byte. O(1).
    pub fn begin() -> Restoring {
        Restoring { sum: RunningSum::new(), summed: 0, building: None, budget: Budget::new(0) }
    }

    /// Goes on with the same payload until `go_on` returns false, which is told how many elements of how many bytes were read.
    ///
    /// # Errors
    /// As [`restore`].
    pub fn go_on(
        &mut self,
        payload: &[u8],
        shapes: &Shapes,
        budget: impl FnOnce() -> Budget,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Restored, Refused> {
        let Some((summed, sum)) = payload.split_last_chunk::<8>() else { return Ok(Restored::Whole) };
        let Some((value, version)) = summed.split_last_chunk::<2>() else { return Ok(Restored::Whole) };
        while self.summed < summed.len() {
            let piece = &summed[self.summed..summed.len().min(self.summed + SUMMED_BYTES)];
            self.sum.update(piece);
            self.summed += piece.len();
            if !go_on(1, piece.len()) && self.summed < summed.len() {
                return Ok(Restored::More);
            }
        }
        let refused = |broken| if broken == Broken::Memory { Refused::Memory } else { Refused::Value };
        if self.building.is_none() {
            let is_right = u64::from_le_bytes(*sum) == self.sum.clone().finish();
            let dialect = Dialect::of_version(u16::from_le_bytes(*version)).filter(|_| is_right);
            // It may be a payload of another kind.
            let Some(dialect) = dialect else { return Ok(Restored::Whole) };
            self.budget = budget();
            let mut reader = Reader::new(value, dialect, &mut self.budget);
            let [form] = reader.take().map_err(refused)?;
            let building = Building::begin(form, &mut reader, shapes).map_err(refused)?;
            self.building = building.map(|building| (building, value.len() - reader.rest().len()));
        }
        let Some((building, at)) = &mut self.building else { return Ok(Restored::Whole) };
        let Some(dialect) = Dialect::of_version(u16::from_le_bytes(*version)) else { return Ok(Restored::Whole) };
        let mut reader = Reader::new(&value[*at..], dialect, &mut self.budget);
        let made = building.go_on(&mut reader, shapes, go_on).map_err(refused)?;
        *at = value.len() - reader.rest().len();
        Ok(made.map_or(Restored::More, Restored::Value))
    }
}

/// The payload of libraries of functions, which every server takes that has functions: the form is the same since Redis 7.0. O(bytes).
pub fn dump_functions<'a>(codes: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    let version = Version::Redis10;
    let mut writer = Writer::new(version, compress);
    for code in codes {
        writer.byte(opcode::FUNCTION);
        writer.string(code);
    }
    let mut out = writer.take();
    seal_as(&mut out, version.number());
    out
}

/// The libraries of functions of a payload. O(bytes).
///
/// # Errors
/// If it cannot be trusted, holds anything else, or takes more memory than `budget` allows.
pub fn read_functions(payload: &[u8], mut budget: Budget) -> Result<Vec<Vec<u8>>, Refused> {
    let (value, dialect) = sealed(payload).ok_or(Refused::Footer)?;
    let mut reader = Reader::new(value, dialect, &mut budget);
    let mut codes = Vec::new();
    while !reader.rest().is_empty() {
        match reader.take() {
            Ok([opcode::FUNCTION]) => {}
            _ => return Err(Refused::Value),
        }
        match reader.string() {
            Ok(code) => codes.push(code.into_owned()),
            Err(Broken::Memory) => return Err(Refused::Memory),
            Err(_) => return Err(Refused::Value),
        }
    }
    Ok(codes)
}

/// What comes before the footer, if that is right, and whose forms it has.
fn sealed(payload: &[u8]) -> Option<(&[u8], Dialect)> {
    let (summed, sum) = payload.split_last_chunk::<8>()?;
    let (value, version) = summed.split_last_chunk::<2>()?;
    let dialect = Dialect::of_version(u16::from_le_bytes(*version))?;
    (u64::from_le_bytes(*sum) == CHECKSUM.checksum(summed)).then_some((value, dialect))
}
