//! The payloads of DiceDB's DUMP: base64 text, so that a payload of Redis can never be taken for one.
//!
//! # Layout
//! ```text
//! | 0x09 | type u8 | body ... | 0xFF | CRC-64/XZ of all before, u64 |      (all big endian)
//! ```
//! Bodies: a string is a 32-bit length and its bytes; bytes, made by bit operations, are a 64-bit length and those; an
//! integer is 64 bits; a set is a 64-bit count of strings; a sorted set is a 64-bit count of 64-bit length, member and score.
//! The other types are none that this server has, or none that DiceDB itself can read back.

use std::borrow::Cow;

use crc::{CRC_64_XZ, Crc};

use super::rdb::{Broken, Budget, Shapes, Value};
use crate::store::types::{Collection, Object, Set, ZSet};

static CHECKSUM: Crc<u64> = Crc::<u64>::new(&CRC_64_XZ);

const BROKEN: Broken = Broken::Invalid("no value of DiceDB's");

const MAGIC: u8 = 0x09;
const END: u8 = 0xFF;

/// What an element takes beside its bytes, about.
const ELEMENT_BYTES: usize = 64;

/// The type and body of a payload, `None` unless it is one and its checksum is right. Linear.
pub fn decode(payload: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = from_base64(payload)?;
    let (summed, sum) = bytes.split_last_chunk::<8>()?;
    if summed.first() != Some(&MAGIC) || u64::from_be_bytes(*sum) != CHECKSUM.checksum(summed) {
        return None;
    }
    let end = summed.len() - 1;
    (end > 1 && summed[end] == END).then_some(())?;
    bytes.truncate(end);
    bytes.drain(..1);
    Some(bytes)
}

/// Standard base64, padded.
fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let (quads, rest) = text.as_chunks::<4>();
    if !rest.is_empty() {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    for (index, quad) in quads.iter().enumerate() {
        let padding = quad.iter().rev().take_while(|&&digit| digit == b'=').count();
        if padding > 2 || (padding > 0 && index + 1 < quads.len()) {
            return None;
        }
        let mut bits = 0;
        for &digit in &quad[..4 - padding] {
            bits = bits << 6 | base64_digit(digit)?;
        }
        bits <<= 6 * padding;
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(bytes)
}

fn base64_digit(digit: u8) -> Option<u32> {
    let value = match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

/// The value of a type and body. O(N log N).
///
/// # Errors
/// If they are no value, or of a type that is not there.
pub fn value<'p>(bytes: &[u8], shapes: &Shapes, budget: &mut Budget) -> Result<Value<'p>, Broken> {
    let (&form, mut body) = bytes.split_first().ok_or(BROKEN)?;
    budget.spend(bytes.len())?;
    let body = &mut body;
    let value = match form {
        0 => {
            let length = u64::from(u32::from_be_bytes(take(body)?));
            Value::String(Cow::Owned(slice(body, length)?.to_vec()))
        }
        4 => {
            let length = u64::from_be_bytes(take(body)?);
            Value::String(Cow::Owned(slice(body, length)?.to_vec()))
        }
        5 => Value::String(Cow::Owned(itoa::Buffer::new().format(i64::from_be_bytes(take(body)?)).as_bytes().to_vec())),
        6 => Value::Object(Object::Set(set(body, shapes, budget)?)),
        8 => Value::Object(Object::ZSet(zset(body, shapes, budget)?)),
        _ => return Err(BROKEN),
    };
    if body.is_empty() { Ok(value) } else { Err(BROKEN) }
}

fn set(body: &mut &[u8], shapes: &Shapes, budget: &mut Budget) -> Result<Set, Broken> {
    let mut set = Set::ints();
    for _ in 0..u64::from_be_bytes(take(body)?) {
        budget.spend(ELEMENT_BYTES)?;
        let length = u64::from(u32::from_be_bytes(take(body)?));
        if !set.insert(slice(body, length)?, &shapes.set) {
            return Err(BROKEN);
        }
    }
    if set.is_empty() { Err(BROKEN) } else { Ok(set) }
}

fn zset(body: &mut &[u8], shapes: &Shapes, budget: &mut Budget) -> Result<ZSet, Broken> {
    let mut zset = ZSet::default();
    for _ in 0..u64::from_be_bytes(take(body)?) {
        budget.spend(ELEMENT_BYTES)?;
        let length = u64::from_be_bytes(take(body)?);
        let (member, score) = (slice(body, length)?, f64::from_be_bytes(take(body)?));
        if score.is_nan() || !zset.insert(member, score, &shapes.zset) {
            return Err(BROKEN);
        }
    }
    if zset.is_empty() { Err(BROKEN) } else { Ok(zset) }
}

fn take<const N: usize>(body: &mut &[u8]) -> Result<[u8; N], Broken> {
    let (bytes, rest) = body.split_first_chunk::<N>().ok_or(BROKEN)?;
    *body = rest;
    Ok(*bytes)
}

fn slice<'b>(body: &mut &'b [u8], length: u64) -> Result<&'b [u8], Broken> {
    let length = usize::try_from(length).map_err(|_| BROKEN)?;
    let (bytes, rest) = body.split_at_checked(length).ok_or(BROKEN)?;
    *body = rest;
    Ok(bytes)
}
