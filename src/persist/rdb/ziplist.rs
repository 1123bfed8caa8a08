//! The packs of Redis before 7: ziplists and zipmaps, which become listpacks.
//!
//! # Layout
//! ```text
//! | total u32 | last u32 | count u16 | entry | entry | ... | 0xFF |     ziplist, little endian
//! | count u8 | length, field | length, free u8, value, free bytes | ... | 0xFF |     zipmap
//! ```
//! - A ziplist's entry begins with the length of the one before it: a byte, or 254 and 4 bytes. Then come a byte that tells
//!   the kind, the rest of a length, and the string or integer.
//! - A zipmap's length is a byte up to 253, or 254 and 4 bytes.
//! - Counts are the greatest possible when they are not known.

use super::Broken;
use crate::store::pack::{Item, Listpack, encoded_bytes};

const BROKEN: Broken = Broken::Invalid("a ziplist or zipmap that contradicts itself");

const END: u8 = 0xFF;
/// What announces 4 bytes of length where one byte is not enough.
const LONG: u8 = 254;
const ZIPLIST_HEADER_BYTES: usize = 10;

/// Takes `N` bytes off the front.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Broken> {
    let (bytes, after) = rest.split_first_chunk::<N>().ok_or(BROKEN)?;
    *rest = after;
    Ok(*bytes)
}

fn take_slice<'p>(rest: &mut &'p [u8], length: usize) -> Result<&'p [u8], Broken> {
    let (bytes, after) = rest.split_at_checked(length).ok_or(BROKEN)?;
    *rest = after;
    Ok(bytes)
}

/// Adds an element, if there is room for it.
fn push(pack: &mut Listpack, item: Item<'_>) -> Result<(), Broken> {
    if !pack.fits(encoded_bytes(item.text(&mut itoa::Buffer::new()))) {
        return Err(BROKEN);
    }
    match item {
        Item::Int(n) => pack.push_back_int(n),
        Item::Bytes(text) => pack.push_back(text),
    };
    Ok(())
}

/// The elements of a ziplist, every one of whose bytes is checked. Linear.
pub fn from_ziplist(bytes: &[u8]) -> Result<Listpack, Broken> {
    let mut rest = bytes;
    let (total, last) = (u32::from_le_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?));
    let stated = u16::from_le_bytes(take(&mut rest)?);
    let (&end, entries) = rest.split_last().ok_or(BROKEN)?;
    if total as usize != bytes.len() || end != END {
        return Err(BROKEN);
    }
    let mut pack = Listpack::new();
    let (mut rest, mut before, mut count) = (entries, 0, 0);
    let mut last_at = ZIPLIST_HEADER_BYTES;
    while !rest.is_empty() {
        last_at = bytes.len() - 1 - rest.len();
        let start = rest.len();
        if ziplist_before(&mut rest)? != before {
            return Err(BROKEN);
        }
        push(&mut pack, ziplist_item(&mut rest)?)?;
        before = start - rest.len();
        count += 1;
    }
    let counted = stated == u16::MAX || usize::from(stated) == count;
    if counted && last as usize == last_at { Ok(pack) } else { Err(BROKEN) }
}

/// The length of the entry before.
fn ziplist_before(rest: &mut &[u8]) -> Result<usize, Broken> {
    match take(rest)? {
        [LONG] => Ok(u32::from_le_bytes(take(rest)?) as usize),
        [END] => Err(BROKEN),
        [short] => Ok(usize::from(short)),
    }
}

fn ziplist_item<'p>(rest: &mut &'p [u8]) -> Result<Item<'p>, Broken> {
    let [kind] = take(rest)?;
    let n = match kind {
        0x00..0x40 => return take_slice(rest, usize::from(kind)).map(Item::Bytes),
        0x40..0x80 => {
            let [low] = take(rest)?;
            return take_slice(rest, usize::from(kind & 0x3F) << 8 | usize::from(low)).map(Item::Bytes);
        }
        0x80 => {
            let length = u32::from_be_bytes(take(rest)?) as usize;
            return take_slice(rest, length).map(Item::Bytes);
        }
        0xC0 => i64::from(i16::from_le_bytes(take(rest)?)),
        0xD0 => i64::from(i32::from_le_bytes(take(rest)?)),
        0xE0 => i64::from_le_bytes(take(rest)?),
        0xF0 => {
            let [low, middle, high] = take(rest)?;
            i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8)
        }
        0xFE => i64::from(i8::from_le_bytes(take(rest)?)),
        0xF1..=0xFD => i64::from(kind & 0x0F) - 1,
        _ => return Err(BROKEN),
    };
    Ok(Item::Int(n))
}

/// The fields and values of a zipmap in turn. Linear.
pub fn from_zipmap(bytes: &[u8]) -> Result<Listpack, Broken> {
    let mut rest = bytes;
    let [stated] = take(&mut rest)?;
    let mut pack = Listpack::new();
    let mut count = 0;
    while let Some(length) = zipmap_length(&mut rest)? {
        push(&mut pack, Item::Bytes(take_slice(&mut rest, length)?))?;
        let length = zipmap_length(&mut rest)?.ok_or(BROKEN)?;
        let [free] = take(&mut rest)?;
        push(&mut pack, Item::Bytes(take_slice(&mut rest, length)?))?;
        take_slice(&mut rest, usize::from(free))?;
        count += 1;
    }
    let counted = stated >= LONG || usize::from(stated) == count;
    if counted && rest.is_empty() { Ok(pack) } else { Err(BROKEN) }
}

/// A length, `None` at the end.
fn zipmap_length(rest: &mut &[u8]) -> Result<Option<usize>, Broken> {
    match take(rest)? {
        [END] => Ok(None),
        [LONG] => Ok(Some(u32::from_le_bytes(take(rest)?) as usize)),
        [short] => Ok(Some(usize::from(short))),
    }
}
