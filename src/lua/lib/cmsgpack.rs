//! The library `cmsgpack`: values as MessagePack, as lua-cmsgpack 0.4.0 writes and reads it.
//!
//! Every format of the specification is read but binary strings and extensions. Numbers that are integers of 64 bits are
//! written as the shortest integer, others as a float if that is exact and as a double if not. A table whose keys are 1 to
//! n is an array, any other a map. The formats are simple enough to be written out here: no library chooses among them as
//! this one does.

use std::ops::Range;

use super::{Buffer, check_integer, ensure, integer, optional_integer, steps_of};
use crate::lua::state::{Answer, Frame, Function, Kind, Raised};

/// Tables within tables that are packed; what is nested deeper becomes nil.
const NESTING_MAX: usize = 16;

/// Pushes the library's table.
pub(super) fn open(frame: &mut Frame<'_>) {
    frame.new_table(0, 8);
    frame.push_function::<Pack>(0);
    frame.set_own(-2, "pack");
    frame.push_function::<Unpack>(0);
    frame.set_own(-2, "unpack");
    frame.push_function::<UnpackOne>(0);
    frame.set_own(-2, "unpack_one");
    frame.push_function::<UnpackLimit>(0);
    frame.set_own(-2, "unpack_limit");
    for (name, value) in [
        ("_NAME", "cmsgpack"),
        ("_VERSION", "lua-cmsgpack 0.4.0"),
        ("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo"),
        ("_DESCRIPTION", "MessagePack C implementation for Lua"),
    ] {
        frame.push_bytes(value.as_bytes());
        frame.set_own(-2, name);
    }
}

struct Pack;

impl Function for Pack {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let top = frame.top();
        if top == 0 {
            return Err(frame.raise_argument(0, b"MessagePack pack needs input."));
        }
        if !frame.try_ensure(top) {
            return Err(frame.raise_argument(0, b"Too many arguments for MessagePack pack."));
        }
        let mut out = Buffer::take(frame);
        for index in 1..=top as i32 {
            ensure(frame, 1, "in function mp_check")?;
            frame.push_copy(index);
            pack(frame, &mut out, 0)?;
        }
        out.push(frame);
        Ok(1)
    }
}

/// Appends the value on the top, and takes it off. Recurses into tables, up to [`NESTING_MAX`] deep.
fn pack(frame: &mut Frame<'_>, out: &mut Buffer, level: usize) -> Result<(), Raised> {
    frame.step(1)?;
    // Room for every head and every scalar.
    out.reserve(frame, 9)?;
    match frame.kind(-1) {
        Some(Kind::String) => {
            let length = frame.raw_len(-1);
            frame.step(steps_of(length))?;
            write_string_head(&mut out.0, length);
            out.extend_from_stack(frame, -1, length)?;
        }
        Some(Kind::Boolean) => out.0.push(if frame.boolean(-1) { 0xc3 } else { 0xc2 }),
        Some(Kind::Number) => write_number(&mut out.0, frame.number(-1).unwrap_or_default()),
        Some(Kind::Table) if level < NESTING_MAX => match is_array(frame)? {
            true => pack_array(frame, out, level + 1)?,
            false => pack_map(frame, out, level + 1)?,
        },
        _ => out.0.push(0xc0),
    }
    frame.pop(1);
    Ok(())
}

/// Appends the elements of the table on the top.
fn pack_array(frame: &mut Frame<'_>, out: &mut Buffer, level: usize) -> Result<(), Raised> {
    let length = frame.raw_len(-1);
    write_head(&mut out.0, length, 15, [0x90, 0xdc, 0xdd]);
    ensure(frame, 1, "in function mp_encode_lua_table_as_array")?;
    for index in 1..=i32::try_from(length).unwrap_or(i32::MAX) {
        frame.raw_get_index(-1, index);
        pack(frame, out, level)?;
    }
    Ok(())
}

/// Appends keys and values of the table on the top.
fn pack_map(frame: &mut Frame<'_>, out: &mut Buffer, level: usize) -> Result<(), Raised> {
    ensure(frame, 3, "in function mp_encode_lua_table_as_map")?;
    let mut length = 0;
    frame.push_nil();
    while frame.next(-2) {
        frame.pop(1);
        length += 1;
        frame.step(1)?;
    }
    write_head(&mut out.0, length, 15, [0x80, 0xde, 0xdf]);
    frame.push_nil();
    while frame.next(-2) {
        frame.push_copy(-2);
        pack(frame, out, level)?;
        pack(frame, out, level)?;
    }
    Ok(())
}

/// Whether the keys of the table on the top are the numbers from 1 to their count. O(keys).
fn is_array(frame: &mut Frame<'_>) -> Result<bool, Raised> {
    ensure(frame, 2, "in function table_is_an_array")?;
    let (mut count, mut highest) = (0i64, 0i64);
    frame.push_nil();
    while frame.next(-2) {
        frame.pop(1);
        frame.step(1)?;
        let key = frame.number(-1).filter(|&key| key > 0.0 && key.trunc() == key && key <= f64::from(i32::MAX));
        let Some(key) = key else {
            frame.pop(1);
            return Ok(false);
        };
        highest = highest.max(key as i64);
        count += 1;
    }
    Ok(highest == count)
}

fn write_number(out: &mut Vec<u8>, number: f64) {
    let whole = integer(number);
    if whole as f64 == number {
        write_integer(out, whole);
    } else if f64::from(number as f32) == number {
        out.push(0xca);
        out.extend_from_slice(&(number as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend_from_slice(&number.to_be_bytes());
    }
}

fn write_integer(out: &mut Vec<u8>, number: i64) {
    let bytes = number.to_be_bytes();
    // The first byte, and how many of the lowest bytes follow it.
    let (head, kept) = match number {
        -32..=127 => (bytes[7], 0),
        128..=0xff => (0xcc, 1),
        0x100..=0xffff => (0xcd, 2),
        0x1_0000..=0xffff_ffff => (0xce, 4),
        0x1_0000_0000.. => (0xcf, 8),
        -0x80..-32 => (0xd0, 1),
        -0x8000..-0x80 => (0xd1, 2),
        -0x8000_0000..-0x8000 => (0xd2, 4),
        ..-0x8000_0000 => (0xd3, 8),
    };
    out.push(head);
    out.extend_from_slice(&bytes[8 - kept..]);
}

fn write_string_head(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short @ 32..) => out.extend_from_slice(&[0xd9, short]),
        _ => write_head(out, length, 31, [0xa0, 0xda, 0xdb]),
    }
}

/// Appends the head of something with so many elements: of one byte up to `short_max`, or with 16 or 32 bits for the count.
fn write_head(out: &mut Vec<u8>, count: usize, short_max: u8, [short, wide, widest]: [u8; 3]) {
    if count <= usize::from(short_max) {
        out.push(short | count as u8);
    } else if let Ok(count) = u16::try_from(count) {
        out.push(wide);
        out.extend_from_slice(&count.to_be_bytes());
    } else {
        out.push(widest);
        out.extend_from_slice(&(count as u32).to_be_bytes());
    }
}

/// Why an input cannot be unpacked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// It ends too early.
    Missing,
    /// A byte that begins nothing.
    Bad,
}

/// The beginning of a value, or the whole of a scalar one.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// nil
    Nil,
    /// A boolean.
    Boolean(bool),
    /// Integers, floats and doubles.
    Number(f64),
    /// Where in the input its bytes are.
    String(Range<usize>),
    /// So many elements follow.
    Array(u32),
    /// So many pairs of key and value follow.
    Map(u32),
}

/// Reads what begins at a position, and moves it behind that. O(1): claimed lengths are compared with what is there.
///
/// # Errors
/// Nothing begins so, or the input ends before.
pub fn read_item(input: &[u8], at: &mut usize) -> Result<Item, Fault> {
    let head = take::<1>(input, at)?[0];
    Ok(match head {
        0x00..=0x7f => Item::Number(f64::from(head)),
        0xe0..=0xff => Item::Number(f64::from(head as i8)),
        0x80..=0x8f => Item::Map(u32::from(head & 0xf)),
        0x90..=0x9f => Item::Array(u32::from(head & 0xf)),
        0xa0..=0xbf => read_string(input, at, u32::from(head & 0x1f))?,
        0xc0 => Item::Nil,
        0xc2 => Item::Boolean(false),
        0xc3 => Item::Boolean(true),
        0xca => Item::Number(f64::from(f32::from_be_bytes(take(input, at)?))),
        0xcb => Item::Number(f64::from_be_bytes(take(input, at)?)),
        0xcc => Item::Number(f64::from(u8::from_be_bytes(take(input, at)?))),
        0xcd => Item::Number(f64::from(u16::from_be_bytes(take(input, at)?))),
        0xce => Item::Number(f64::from(u32::from_be_bytes(take(input, at)?))),
        // COMPAT: the unsigned integer of 64 bits becomes a signed one, as on every 64-bit build of Redis.
        0xcf | 0xd3 => Item::Number(i64::from_be_bytes(take(input, at)?) as f64),
        0xd0 => Item::Number(f64::from(i8::from_be_bytes(take(input, at)?))),
        0xd1 => Item::Number(f64::from(i16::from_be_bytes(take(input, at)?))),
        0xd2 => Item::Number(f64::from(i32::from_be_bytes(take(input, at)?))),
        0xd9 => {
            let length = u8::from_be_bytes(take(input, at)?);
            read_string(input, at, u32::from(length))?
        }
        0xda => {
            let length = u16::from_be_bytes(take(input, at)?);
            read_string(input, at, u32::from(length))?
        }
        0xdb => {
            let length = u32::from_be_bytes(take(input, at)?);
            read_string(input, at, length)?
        }
        0xdc => Item::Array(u32::from(u16::from_be_bytes(take(input, at)?))),
        0xdd => Item::Array(u32::from_be_bytes(take(input, at)?)),
        0xde => Item::Map(u32::from(u16::from_be_bytes(take(input, at)?))),
        0xdf => Item::Map(u32::from_be_bytes(take(input, at)?)),
        0xc1 | 0xc4..=0xc9 | 0xd4..=0xd8 => return Err(Fault::Bad),
    })
}

fn take<const N: usize>(input: &[u8], at: &mut usize) -> Result<[u8; N], Fault> {
    let bytes = input.get(*at..).and_then(|rest| rest.first_chunk()).ok_or(Fault::Missing)?;
    *at += N;
    Ok(*bytes)
}

fn read_string(input: &[u8], at: &mut usize, length: u32) -> Result<Item, Fault> {
    let (start, length) = (*at, length as usize);
    if length > input.len() - start {
        return Err(Fault::Missing);
    }
    *at += length;
    Ok(Item::String(start..*at))
}

/// What an unfinished array or map waits for.
enum Open {
    /// Its next element is number `index` of `count`.
    Array { index: u32, count: u32 },
    /// So many pairs are left with the one that is being read, whose key comes next or is there.
    Map { left: u32, has_key: bool },
}

/// Unpacks the value at a position of the string in argument 1, pushes it, and moves the position behind it.
///
/// Does not recurse: what limits the nesting is the room on Lua's stack, where every open array or map holds two values.
fn unpack_value(frame: &mut Frame<'_>, at: &mut usize) -> Result<(), Raised> {
    let mut open = Vec::new();
    loop {
        let input = frame.bytes(1).unwrap_or_default();
        let (is_end, item) = (*at >= input.len(), read_item(input, at));
        if is_end {
            return Err(fault(frame, Fault::Missing));
        }
        ensure(frame, 1, "too many return values at once; use unpack_one or unpack_limit instead.")?;
        frame.step(1)?;
        match item {
            Err(kind) => return Err(fault(frame, kind)),
            Ok(Item::Nil) => frame.push_nil(),
            Ok(Item::Boolean(truth)) => frame.push_boolean(truth),
            Ok(Item::Number(number)) => frame.push_number(number),
            Ok(Item::String(range)) => {
                frame.step(steps_of(range.len()))?;
                frame.push_substring(1, range);
            }
            Ok(Item::Array(count)) => {
                frame.new_table(0, 0);
                ensure(frame, 1, "in function mp_decode_to_lua_array")?;
                if count > 0 {
                    frame.push_number(1.0);
                    open.push(Open::Array { index: 1, count });
                    continue;
                }
            }
            Ok(Item::Map(count)) => {
                frame.new_table(0, 0);
                if count > 0 {
                    open.push(Open::Map { left: count, has_key: false });
                    continue;
                }
            }
        }
        // A value is complete; it may complete what it is part of.
        loop {
            match open.last_mut() {
                None => return Ok(()),
                Some(Open::Map { has_key: has_key @ false, .. }) => {
                    *has_key = true;
                    break;
                }
                Some(Open::Map { left, has_key }) => {
                    frame.raw_set(-3)?;
                    *left -= 1;
                    *has_key = false;
                    if *left > 0 {
                        break;
                    }
                }
                Some(Open::Array { index, count }) => {
                    frame.raw_set(-3)?;
                    if index < count {
                        *index += 1;
                        frame.push_number(f64::from(*index));
                        break;
                    }
                }
            }
            open.pop();
        }
    }
}

fn fault(frame: &mut Frame<'_>, kind: Fault) -> Raised {
    frame.raise_at_caller(match kind {
        Fault::Missing => b"Missing bytes in input.",
        Fault::Bad => b"Bad data format in input.",
    })
}

/// Unpacks up to `limit` values from a position on. The first result is the position behind them, or -1 at the end; if both
/// numbers are 0, all values are unpacked and nothing else.
fn unpack(frame: &mut Frame<'_>, limit: i64, offset: i64) -> Answer {
    let length = frame.check_bytes(1)?.len();
    if offset < 0 || limit < 0 {
        // COMPAT: the second number is the input's length, whatever the text says.
        let text =
            format!("Invalid request to unpack with offset of {} and limit of {}.", offset as i32, length as i32);
        return Err(frame.raise_at_caller(text.as_bytes()));
    }
    let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
    if at > length {
        let text = format!("Start offset {} greater than input length {}.", offset as i32, length as i32);
        return Err(frame.raise_at_caller(text.as_bytes()));
    }
    let takes_all = limit == 0 && offset == 0;
    let mut count = 0;
    while at < length && (takes_all || (count as i64) < limit) {
        unpack_value(frame, &mut at)?;
        count += 1;
    }
    if !takes_all {
        ensure(frame, 1, "in function mp_unpack_full")?;
        frame.push_number(if at == length { -1.0 } else { at as f64 });
        frame.insert(2);
        count += 1;
    }
    Ok(count)
}

struct Unpack;

impl Function for Unpack {
    fn call(frame: &mut Frame<'_>) -> Answer {
        unpack(frame, 0, 0)
    }
}

struct UnpackOne;

impl Function for UnpackOne {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let offset = optional_integer(frame, 2, 0)?;
        frame.set_top(frame.top().min(1));
        unpack(frame, 1, offset)
    }
}

struct UnpackLimit;

impl Function for UnpackLimit {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let limit = check_integer(frame, 2)?;
        let offset = optional_integer(frame, 3, 0)?;
        frame.set_top(1);
        unpack(frame, limit, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification's table of formats: <https://github.com/msgpack/msgpack/blob/master/spec.md>.
    #[test]
    fn integers_take_the_shortest_format() {
        for (number, bytes) in [
            (0i64, &b"\x00"[..]),
            (127, b"\x7f"),
            (128, b"\xcc\x80"),
            (255, b"\xcc\xff"),
            (256, b"\xcd\x01\x00"),
            (65_535, b"\xcd\xff\xff"),
            (65_536, b"\xce\x00\x01\x00\x00"),
            (4_294_967_295, b"\xce\xff\xff\xff\xff"),
            (4_294_967_296, b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
            (-1, b"\xff"),
            (-32, b"\xe0"),
            (-33, b"\xd0\xdf"),
            (-128, b"\xd0\x80"),
            (-129, b"\xd1\xff\x7f"),
            (-32_768, b"\xd1\x80\x00"),
            (-32_769, b"\xd2\xff\xff\x7f\xff"),
            (-2_147_483_648, b"\xd2\x80\x00\x00\x00"),
            (-2_147_483_649, b"\xd3\xff\xff\xff\xff\x7f\xff\xff\xff"),
        ] {
            let mut out = Vec::new();
            write_integer(&mut out, number);
            assert_eq!(out, bytes, "{number}");
            let mut at = 0;
            assert_eq!(read_item(&out, &mut at), Ok(Item::Number(number as f64)));
            assert_eq!(at, out.len());
        }
    }

    #[test]
    fn claimed_lengths_are_compared_with_what_is_there() {
        for input in [&b""[..], b"\xdb\xff\xff\xff\xff", b"\xda\x00\x02x", b"\xa2x", b"\xd9", b"\xcb\0\0", b"\xdd\0"] {
            assert_eq!(read_item(input, &mut 0), Err(Fault::Missing), "{input:?}");
        }
        assert_eq!(read_item(b"\xdb\0\0\0\x01x", &mut 0), Ok(Item::String(5..6)));
        assert_eq!(read_item(b"\xdd\xff\xff\xff\xff", &mut 0), Ok(Item::Array(u32::MAX)));
        assert_eq!(read_item(b"\xc7\x01\x01x", &mut 0), Err(Fault::Bad));
    }

    #[test]
    fn numbers_that_are_no_integers_are_floats_where_that_is_exact() {
        for (number, head) in [
            (0.5, 0xca),
            (0.1, 0xcb),
            (f64::INFINITY, 0xca),
            (f64::NAN, 0xcb),
            (9_223_372_036_854_775_808.0, 0xca),
            (-9_223_372_036_854_775_808.0, 0xd3),
            (1e300, 0xcb),
        ] {
            let mut out = Vec::new();
            write_number(&mut out, number);
            assert_eq!(out[0], head, "{number}");
        }
    }
}
