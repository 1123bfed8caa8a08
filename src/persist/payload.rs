//! A value by itself, as DUMP shows it and RESTORE takes it.
//!
//! # Layout
//! ```text
//! | form u8 | value ... | version u16 | CRC-64 of all before, u64 |        (footer little endian)
//! ```

use super::dicedb;
use super::rdb::file::opcode;
use super::rdb::read::Reader;
use super::rdb::write::{Version, Writer};
use super::rdb::{Broken, Budget, CHECKSUM, Dialect, Shapes, VERSION, Value};
use crate::store::entry::Entry;

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

/// The payload of an entry's value; long strings are compressed if told so. O(bytes).
pub fn dump(entry: &Entry, compress: bool) -> Vec<u8> {
    let mut writer = Writer::new(Version::Redis12, compress);
    writer.value(entry);
    let mut out = writer.take();
    seal(&mut out);
    out
}

/// Bytes that an entry's value takes in a dump file, without those that tell its form. O(bytes).
pub fn value_bytes(entry: &Entry, compress: bool) -> usize {
    let mut writer = Writer::new(Version::Redis12, compress);
    writer.value(entry);
    writer.len() - 1
}

/// Adds the footer.
pub fn seal(out: &mut Vec<u8>) {
    out.extend_from_slice(&VERSION.to_le_bytes());
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

/// The payload of libraries of functions. O(bytes).
pub fn dump_functions<'a>(codes: impl Iterator<Item = &'a [u8]>, compress: bool) -> Vec<u8> {
    let mut writer = Writer::new(Version::Redis12, compress);
    for code in codes {
        writer.byte(opcode::FUNCTION);
        writer.string(code);
    }
    let mut out = writer.take();
    seal(&mut out);
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
