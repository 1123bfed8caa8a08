//! One listpack entry as bytes: encoding, data and the length that leads backwards.
//!
//! # Layout
//! ```text
//! 0xxxxxxx                          integer 0..=127
//! 10xxxxxx text                     string of up to 63 bytes
//! 110xxxxx xxxxxxxx                 integer of 13 bits, two's complement, high bits first
//! 1110xxxx xxxxxxxx text            string of up to 4095 bytes, high bits of the length first
//! 11110000 u32 text                 longer string, length in little endian
//! 11110001 .. 11110100              integer of 16, 24, 32 or 64 bits, little endian
//! ```
//! Behind each stands its length so far in groups of seven bits, most significant first, every byte but the first with its
//! high bit set: read from the end backwards, the byte without that bit is the last one.
//!
//! Invariant: what [`Encoding::write`] writes, [`item`] reads back as the same element, from either end.
//!
//! Called by `pack::listpack`, and of those functions that read forwards by what walks in one direction only and does without the
//! lengths that lead backwards. Everything but [`checked_next`] takes well-formed bytes at an
//! entry's beginning; on others it answers nonsense or panics, but reads nothing outside the slice.

use crate::base::num;

/// The byte behind the last entry.
pub const END: u8 = 0xFF;

const INT_13: u8 = 0xC0;
const TEXT_6: u8 = 0x80;
const TEXT_12: u8 = 0xE0;
const TEXT_32: u8 = 0xF0;
const INT_16: u8 = 0xF1;
const INT_24: u8 = 0xF2;
const INT_32: u8 = 0xF3;
const INT_64: u8 = 0xF4;

/// The longest canonical text of an `i64`, in bytes: 19 digits and a sign.
const INT_TEXT_MAX: usize = 20;

/// The most bytes that an element takes beyond its text: five for the length before it, and five behind it.
pub const ENCODING_BYTES_MAX: usize = 10;

/// An element as it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item<'p> {
    /// A string that is the canonical text of an integer.
    Int(i64),
    /// Any other string. In packs that came from outside it may also read as an integer, as in Redis.
    Bytes(&'p [u8]),
}

impl<'p> Item<'p> {
    /// The form in which a string is held: an integer if it is the canonical text of one.
    #[inline]
    pub fn of(text: &'p [u8]) -> Item<'p> {
        match integer(text) {
            Some(n) => Item::Int(n),
            None => Item::Bytes(text),
        }
    }

    /// The element's text, in `digits` if it is an integer.
    #[inline]
    pub fn text<'t>(self, digits: &'t mut itoa::Buffer) -> &'t [u8]
    where
        'p: 't,
    {
        match self {
            Item::Int(n) => digits.format(n).as_bytes(),
            Item::Bytes(bytes) => bytes,
        }
    }

    /// A copy of the element's text.
    pub fn to_vec(self) -> Vec<u8> {
        self.text(&mut itoa::Buffer::new()).to_vec()
    }

    /// Length of the element's text in bytes.
    #[inline]
    pub fn len(self) -> usize {
        match self {
            Item::Int(n) => {
                usize::from(n < 0) + n.unsigned_abs().checked_ilog10().map_or(1, |power| power as usize + 1)
            }
            Item::Bytes(bytes) => bytes.len(),
        }
    }

    /// True for the empty string.
    #[inline]
    pub fn is_empty(self) -> bool {
        matches!(self, Item::Bytes([]))
    }

    /// The element as an integer, if its text is the canonical text of one.
    #[inline]
    pub fn as_int(self) -> Option<i64> {
        match self {
            Item::Int(n) => Some(n),
            Item::Bytes(bytes) => integer(bytes),
        }
    }

    /// The element in the form that it has in packs of our own, so that equal texts are equal items.
    pub fn canonical(self) -> Item<'p> {
        self.as_int().map_or(self, Item::Int)
    }

    /// True if the element's text is `text`.
    #[inline]
    pub fn eq_bytes(self, text: &[u8]) -> bool {
        match self {
            Item::Int(n) => integer(text) == Some(n),
            Item::Bytes(bytes) => bytes == text,
        }
    }
}

#[inline]
fn integer(text: &[u8]) -> Option<i64> {
    if text.len() > INT_TEXT_MAX { None } else { num::parse_i64(text) }
}

/// The bytes an element with this text takes in a pack.
#[inline]
pub fn encoded_bytes(text: &[u8]) -> usize {
    Encoding::of(Item::of(text)).bytes()
}

/// An element ready to be written.
pub struct Encoding<'e> {
    /// The encoding byte with the length or the integer: `head_bytes` of them.
    head: [u8; 9],
    head_bytes: u8,
    body: &'e [u8],
}

impl<'e> Encoding<'e> {
    /// The shortest encoding of this element.
    #[inline]
    pub fn of(item: Item<'e>) -> Encoding<'e> {
        match item {
            Item::Int(n) => Encoding::of_int(n),
            Item::Bytes(bytes) => Encoding::of_bytes(bytes),
        }
    }

    fn of_int(n: i64) -> Encoding<'static> {
        let le = n.to_le_bytes();
        let mut head = [0; 9];
        let (lead, payload) = match n {
            0..=127 => {
                head[0] = le[0];
                return Encoding { head, head_bytes: 1, body: &[] };
            }
            -4096..=4095 => {
                head[0] = INT_13 | (le[1] & 0x1F);
                head[1] = le[0];
                return Encoding { head, head_bytes: 2, body: &[] };
            }
            -0x8000..=0x7FFF => (INT_16, 2),
            -0x80_0000..=0x7F_FFFF => (INT_24, 3),
            -0x8000_0000..=0x7FFF_FFFF => (INT_32, 4),
            _ => (INT_64, 8),
        };
        head[0] = lead;
        head[1..=payload].copy_from_slice(&le[..payload]);
        Encoding { head, head_bytes: payload as u8 + 1, body: &[] }
    }

    fn of_bytes(body: &'e [u8]) -> Encoding<'e> {
        let mut head = [0; 9];
        let head_bytes = match body.len() {
            length @ 0..64 => {
                head[0] = TEXT_6 | length as u8;
                1
            }
            length @ 64..4096 => {
                head[0] = TEXT_12 | (length >> 8) as u8;
                head[1] = length as u8;
                2
            }
            length => {
                head[0] = TEXT_32;
                // A text that does not fit 32 bits does not fit a pack either, which the pack asserts before writing.
                head[1..5].copy_from_slice(&(length as u32).to_le_bytes());
                5
            }
        };
        Encoding { head, head_bytes, body }
    }

    /// The bytes of the entry without the length that leads backwards, in two parts.
    #[inline]
    pub fn parts(&self) -> [&[u8]; 2] {
        [&self.head[..usize::from(self.head_bytes)], self.body]
    }

    #[inline]
    fn length(&self) -> usize {
        usize::from(self.head_bytes) + self.body.len()
    }

    /// Bytes of the whole entry.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.length() + backlen_bytes(self.length())
    }

    /// Writes the entry to `out`, which is [`Encoding::bytes`] long.
    #[inline]
    pub fn write(&self, out: &mut [u8]) {
        let (head, rest) = out.split_at_mut(usize::from(self.head_bytes));
        let (body, backlen) = rest.split_at_mut(self.body.len());
        head.copy_from_slice(&self.head[..head.len()]);
        body.copy_from_slice(self.body);
        write_backlen(backlen, self.length());
    }
}

/// Bytes of the backward length of an entry with `length` bytes before it.
///
/// COMPAT: the upper bounds of two bytes and more are one less than what would fit, as in redis-server, whose readers derive
/// an entry's end from this very rule.
#[inline]
fn backlen_bytes(length: usize) -> usize {
    match length {
        0..=127 => 1,
        128..16_383 => 2,
        16_383..2_097_151 => 3,
        2_097_151..268_435_455 => 4,
        _ => 5,
    }
}

#[inline]
fn write_backlen(out: &mut [u8], length: usize) {
    let mut rest = length;
    for byte in out.iter_mut().rev() {
        *byte = (rest & 0x7F) as u8 | 0x80;
        rest >>= 7;
    }
    out[0] &= 0x7F;
}

/// The backward length that ends at `end`, and `None` if it goes on for more than five bytes or beyond the beginning.
#[inline]
fn read_backlen(pack: &[u8], end: usize) -> Option<usize> {
    let mut length = 0;
    for (group, &byte) in pack[..end].iter().rev().take(5).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * group);
        if byte & 0x80 == 0 {
            return Some(length);
        }
    }
    None
}

/// Bytes of the entry at `at` without its backward length: those before a string's text, and the text or the rest.
#[inline]
fn extent(pack: &[u8], at: usize) -> Option<(usize, usize)> {
    Some(match *pack.get(at)? {
        0..TEXT_6 => (1, 0),
        lead @ TEXT_6..INT_13 => (1, usize::from(lead & 0x3F)),
        INT_13..TEXT_12 => (2, 0),
        lead @ TEXT_12..TEXT_32 => (2, usize::from(lead & 0x0F) << 8 | usize::from(*pack.get(at + 1)?)),
        TEXT_32 => (5, u32::from_le_bytes(*pack.get(at + 1..)?.first_chunk()?) as usize),
        INT_16 => (3, 0),
        INT_24 => (4, 0),
        INT_32 => (5, 0),
        INT_64 => (9, 0),
        _ => return None,
    })
}

/// The element of the entry at `at`.
#[inline]
pub fn item(pack: &[u8], at: usize) -> Item<'_> {
    let lead = pack[at];
    if lead & 0xC0 == TEXT_6 {
        return Item::Bytes(&pack[at + 1..][..usize::from(lead & 0x3F)]);
    }
    match lead {
        0..TEXT_6 => Item::Int(i64::from(lead)),
        INT_13..TEXT_12 => {
            let bits = u16::from_be_bytes([lead, pack[at + 1]]);
            // The three encoding bits leave to the left, and the sign bit that is now on top fills in again.
            Item::Int(i64::from((bits << 3) as i16 >> 3))
        }
        INT_16 => Item::Int(i64::from(i16::from_le_bytes(array(pack, at + 1)))),
        INT_24 => {
            let [low, middle, high] = array(pack, at + 1);
            Item::Int(i64::from(i32::from_le_bytes([0, low, middle, high]) >> 8))
        }
        INT_32 => Item::Int(i64::from(i32::from_le_bytes(array(pack, at + 1)))),
        INT_64 => Item::Int(i64::from_le_bytes(array(pack, at + 1))),
        _ => {
            let (head, body) = extent(pack, at).expect("an entry begins here");
            Item::Bytes(&pack[at + head..at + head + body])
        }
    }
}

#[inline]
fn array<const N: usize>(pack: &[u8], at: usize) -> [u8; N] {
    *pack[at..].first_chunk().expect("an entry lies within its pack")
}

/// Where the entry at `at` ends and the next one, or the end, begins.
#[inline]
pub fn next(pack: &[u8], at: usize) -> usize {
    let lead = pack[at];
    // The three short forms that nearly all entries have: a walk is one load after the other, and branches that are foreseen
    // cost it less than a table or the general case.
    if lead & 0xC0 == TEXT_6 {
        return at + 2 + usize::from(lead & 0x3F);
    }
    if lead < TEXT_6 {
        return at + 2;
    }
    if lead < TEXT_12 {
        return at + 3;
    }
    let (head, body) = extent(pack, at).expect("an entry begins here");
    at + head + body + backlen_bytes(head + body)
}

/// Where the next entry begins, of entries without the lengths that lead backwards.
#[inline]
pub fn next_forward(entries: &[u8], at: usize) -> usize {
    let (head, body) = extent(entries, at).expect("an entry begins here");
    at + head + body
}

/// Where the entry that ends at `end` begins.
#[inline]
pub fn prev(pack: &[u8], end: usize) -> usize {
    let length = read_backlen(pack, end).expect("an entry ends here");
    end - length - backlen_bytes(length)
}

/// As [`next()`], for bytes of any kind: `None` if no well-formed entry begins at `at`.
pub fn checked_next(pack: &[u8], at: usize) -> Option<usize> {
    let (head, body) = extent(pack, at)?;
    let length = head.checked_add(body)?;
    let end = at.checked_add(length)?.checked_add(backlen_bytes(length))?;
    let found = pack.get(at + length..end)?;
    let mut expected = [0; 5];
    let expected = &mut expected[..found.len()];
    write_backlen(expected, length);
    (found == expected).then_some(end)
}
