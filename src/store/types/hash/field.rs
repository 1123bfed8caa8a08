//! One field with its value in one block: what the table of a big hash is made of.
//!
//! # Layout of the bytes
//! ```text
//! | lead u8 | [length u32] | [deadline u48] | field ... | value ... |
//! ```
//! - `lead`: bit 7 says that there is a deadline; the others are the field's length, or 127 if `length` holds it.
//! - `deadline`: Unix time in milliseconds. Deadlines stay below [`DEADLINE_END`], so 48 bits hold them.
//! - A 15-byte field with an 8-byte value takes 25 bytes, 31 with a deadline: both are 32-byte blocks of the allocator.
//!
//! Used by `hash::fields`. Knows nothing of tables and time.

use super::DEADLINE_END;
use crate::store::blob::{Blob, KeyOf, Keyed};

const HAS_DEADLINE: u8 = 0x80;
const LONG: u8 = 0x7f;
/// Bytes of a deadline.
pub const DEADLINE_BYTES: usize = 6;

/// A field as an entry of a table.
pub type Field = Keyed<Parts>;

/// What the bytes of a field's block mean.
#[derive(Debug)]
pub struct Parts;

impl KeyOf for Parts {
    #[inline]
    fn key(bytes: &[u8]) -> &[u8] {
        let (start, len) = span(bytes);
        &bytes[start..start + len]
    }
}

/// Where the deadline is, if there is one.
#[inline]
fn deadline_at(bytes: &[u8]) -> Option<usize> {
    (bytes[0] & HAS_DEADLINE != 0).then_some(if bytes[0] & LONG == LONG { 5 } else { 1 })
}

/// Where the field begins, and its length.
#[inline]
fn span(bytes: &[u8]) -> (usize, usize) {
    let lead = bytes[0];
    let deadline = if lead & HAS_DEADLINE != 0 { DEADLINE_BYTES } else { 0 };
    match lead & LONG {
        LONG => {
            let len = u32::from_le_bytes([bytes[1], bytes[2], bytes[3], bytes[4]]);
            (5 + deadline, len as usize)
        }
        len => (1 + deadline, usize::from(len)),
    }
}

/// A field with its value. O(bytes).
pub fn make(field: &[u8], value: &[u8], deadline_ms: Option<i64>) -> Field {
    let flag = if deadline_ms.is_some() { HAS_DEADLINE } else { 0 };
    let deadline = deadline_bytes(deadline_ms.unwrap_or_default());
    let deadline: &[u8] = if deadline_ms.is_some() { &deadline } else { &[] };
    let blob = if field.len() < usize::from(LONG) {
        Blob::concat(&[&[field.len() as u8 | flag], deadline, field, value])
    } else {
        let len = u32::try_from(field.len()).expect("the protocol limits arguments to 4 GiB");
        Blob::concat(&[&[LONG | flag], &len.to_le_bytes(), deadline, field, value])
    };
    Keyed::new(blob)
}

/// A deadline's bytes in a block.
pub fn deadline_bytes(deadline_ms: i64) -> [u8; DEADLINE_BYTES] {
    debug_assert!((0..DEADLINE_END).contains(&deadline_ms), "deadlines are checked where they come in");
    let [a, b, c, d, e, f, ..] = deadline_ms.to_le_bytes();
    [a, b, c, d, e, f]
}

/// The value.
#[inline]
pub fn value(field: &Field) -> &[u8] {
    let (start, len) = span(field.blob());
    &field.blob()[start + len..]
}

/// Unix time in milliseconds at which the field expires.
#[inline]
pub fn deadline_ms(field: &Field) -> Option<i64> {
    let bytes: &[u8] = field.blob();
    deadline_at(bytes).map(|at| deadline_of(&bytes[at..]))
}

/// The deadline that bytes begin with.
#[inline]
pub fn deadline_of(bytes: &[u8]) -> i64 {
    let mut wide = [0; 8];
    wide[..DEADLINE_BYTES].copy_from_slice(&bytes[..DEADLINE_BYTES]);
    i64::from_le_bytes(wide)
}

/// Writes another value and deadline in place; false, and nothing done, if that takes another number of bytes.
#[inline]
pub fn overwrite(field: &mut Field, new: &[u8], deadline_ms: Option<i64>) -> bool {
    let (start, len) = span(field.blob());
    let at = deadline_at(field.blob());
    if at.is_some() != deadline_ms.is_some() || field.blob().len() - start - len != new.len() {
        return false;
    }
    let bytes: &mut [u8] = field.blob_mut();
    bytes[start + len..].copy_from_slice(new);
    if let (Some(at), Some(deadline_ms)) = (at, deadline_ms) {
        bytes[at..at + DEADLINE_BYTES].copy_from_slice(&deadline_bytes(deadline_ms));
    }
    true
}

/// The same field and value with another deadline.
pub fn with_deadline(field: &Field, deadline_ms: Option<i64>) -> Field {
    make(crate::store::table::Entry::key(field), value(field), deadline_ms)
}

/// Writes another deadline in place; false, and nothing done, if the field has none.
pub fn overwrite_deadline(field: &mut Field, deadline_ms: i64) -> bool {
    let Some(at) = deadline_at(field.blob()) else { return false };
    field.blob_mut()[at..at + DEADLINE_BYTES].copy_from_slice(&deadline_bytes(deadline_ms));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::table::Entry;

    #[test]
    fn a_field_is_what_it_was_made_of_at_every_length() {
        for len in [0, 1, 15, 126, 127, 128, 70_000] {
            for deadline in [None, Some(0), Some(1_700_000_000_000), Some(DEADLINE_END - 1)] {
                let (name, text) = (vec![b'f'; len], vec![b'v'; len / 3]);
                let mut field = make(&name, &text, deadline);
                assert_eq!((field.key(), value(&field), deadline_ms(&field)), (&*name, &*text, deadline));
                assert!(overwrite(&mut field, &vec![b'w'; len / 3], deadline.map(|ms| ms / 2)));
                assert!(!overwrite(&mut field, &vec![b'w'; len / 3 + 1], deadline));
                assert_eq!(overwrite_deadline(&mut field, 7), deadline.is_some());
                let other = with_deadline(&field, if deadline.is_some() { None } else { Some(9) });
                assert_eq!(deadline_ms(&other), if deadline.is_some() { None } else { Some(9) });
                assert_eq!((other.key(), value(&other)), (&*name, &*vec![b'w'; len / 3]));
            }
        }
    }

    #[test]
    fn a_field_of_fifteen_bytes_with_a_value_of_eight_takes_32() {
        for deadline in [None, Some(1_700_000_000_000)] {
            assert_eq!(make(&[b'f'; 15], &[b'v'; 8], deadline).blob().heap_bytes(), 32);
        }
    }
}
