//! Replies as Lua's values, and Lua's values as replies, by Redis's rules:
//!
//! | reply | Lua |
//! |---|---|
//! | integer | number |
//! | bulk string | string |
//! | null, null array | `false`; nil in RESP3 |
//! | status | `{ok=text}` |
//! | error | `{err=text}` |
//! | array | table |
//! | map, set (RESP3) | `{map={key=value}}`, `{set={member=true}}` |
//! | double, big number, boolean | `{double=number}`, `{big_number=digits}`, boolean |
//! | verbatim string | `{verbatim_string={format=.., string=..}}` |
//!
//! The other way around a number becomes an integer, `true` 1, and an array ends before its first nil.

use super::api;
use super::state::{Frame, Kind, Raised, Value};
use super::vm::{Ending, c_string};
use crate::base::num;
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Proto, Reply};

/// Pushes the value of the first reply in the bytes; returns the bytes after it.
///
/// # Errors
/// There is no memory or no room on the stack.
pub(super) fn push_reply<'r>(frame: &mut Frame<'_>, reply: &'r [u8]) -> Result<&'r [u8], Raised> {
    frame.ensure(4)?;
    if let Some((bytes, rest)) = bulk(reply) {
        frame.push_bytes(bytes);
        return Ok(rest);
    }
    let (kind, line, rest) = header(reply);
    let length = num::parse_i64(line).unwrap_or(-1);
    match kind {
        b'$' | b'=' if length >= 0 => {
            let (bytes, rest) = rest.split_at((length as usize).min(rest.len()));
            if kind == b'$' {
                frame.push_bytes(bytes)
            } else {
                push_verbatim(frame, bytes)?
            }
            return Ok(rest.get(2..).unwrap_or_default());
        }
        b'*' if length >= 0 => return push_array(frame, length as usize, rest),
        b'%' => return push_map(frame, length.max(0) as usize, rest),
        b'~' => return push_set(frame, length.max(0) as usize, rest),
        b'|' => return skip_attribute(frame, length.max(0) as usize, rest),
        b':' => frame.push_number(length_of_integer(line)),
        b'+' => push_field(frame, "ok", |frame| frame.push_bytes(line))?,
        b'-' => {
            api::push_reply_error(frame, line)?;
        }
        b',' => push_field(frame, "double", |frame| frame.push_number(double(line)))?,
        b'(' => push_field(frame, "big_number", |frame| frame.push_bytes(line))?,
        b'#' => frame.push_boolean(line == b"t"),
        b'_' => frame.push_nil(),
        // The null bulk string and the null array.
        _ => frame.push_boolean(false),
    }
    Ok(rest)
}

/// The bytes of a bulk string, if the reply is one that is not very long, and what follows it.
#[inline]
fn bulk(reply: &[u8]) -> Option<(&[u8], &[u8])> {
    const DIGITS_MAX: usize = 8;
    let digits = reply.strip_prefix(b"$")?;
    let mut length = 0;
    for (index, byte) in digits.iter().take(DIGITS_MAX).enumerate() {
        match byte {
            b'0'..=b'9' => length = length * 10 + usize::from(byte - b'0'),
            b'\r' => {
                let rest = digits.get(index + 2..)?;
                return Some((rest.get(..length)?, rest.get(length + 2..)?));
            }
            _ => return None,
        }
    }
    None
}

/// The type, the rest of the first line, and what follows it.
fn header(reply: &[u8]) -> (u8, &[u8], &[u8]) {
    let end = memchr::memchr(b'\r', reply).unwrap_or(reply.len());
    let kind = reply.first().copied().unwrap_or(b'_');
    (kind, reply.get(1..end).unwrap_or_default(), reply.get(end + 2..).unwrap_or_default())
}

fn length_of_integer(line: &[u8]) -> f64 {
    num::parse_i64(line).unwrap_or_default() as f64
}

fn double(line: &[u8]) -> f64 {
    match line {
        b"inf" => f64::INFINITY,
        b"-inf" => f64::NEG_INFINITY,
        _ => std::str::from_utf8(line).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN),
    }
}

/// Pushes a table with one field, whose value is pushed by a function.
fn push_field(frame: &mut Frame<'_>, name: &str, push: impl FnOnce(&mut Frame<'_>)) -> Result<(), Raised> {
    frame.new_table(0, 1);
    push(frame);
    frame.raw_set_name(-2, name)
}

/// Puts the value on the top into a table of its own, as its one field.
fn wrap(frame: &mut Frame<'_>, name: &str) -> Result<(), Raised> {
    frame.new_table(0, 1);
    frame.insert(-2);
    frame.raw_set_name(-2, name)
}

fn push_verbatim(frame: &mut Frame<'_>, bytes: &[u8]) -> Result<(), Raised> {
    let (format, text) = bytes.split_at(3.min(bytes.len()));
    frame.new_table(0, 2);
    frame.push_bytes(text.get(1..).unwrap_or_default());
    frame.raw_set_name(-2, "string")?;
    frame.push_bytes(format);
    frame.raw_set_name(-2, "format")?;
    wrap(frame, "verbatim_string")
}

fn push_array<'r>(frame: &mut Frame<'_>, count: usize, mut rest: &'r [u8]) -> Result<&'r [u8], Raised> {
    frame.new_table(count, 0);
    for index in 0..count {
        if let Some((bytes, after)) = bulk(rest) {
            frame.set_item(index + 1, bytes)?;
            rest = after;
            continue;
        }
        frame.step(1)?;
        rest = push_reply(frame, rest)?;
        frame.raw_set_index(-2, index as i32 + 1)?;
    }
    Ok(rest)
}

fn push_map<'r>(frame: &mut Frame<'_>, count: usize, mut rest: &'r [u8]) -> Result<&'r [u8], Raised> {
    frame.new_table(0, count);
    for _ in 0..count {
        frame.step(1)?;
        rest = push_reply(frame, rest)?;
        rest = push_reply(frame, rest)?;
        frame.raw_set(-3)?;
    }
    wrap(frame, "map")?;
    Ok(rest)
}

fn push_set<'r>(frame: &mut Frame<'_>, count: usize, mut rest: &'r [u8]) -> Result<&'r [u8], Raised> {
    frame.new_table(0, count);
    for _ in 0..count {
        frame.step(1)?;
        rest = push_reply(frame, rest)?;
        frame.push_boolean(true);
        frame.raw_set(-3)?;
    }
    wrap(frame, "set")?;
    Ok(rest)
}

/// Attributes are not shown to scripts: the reply after them is.
fn skip_attribute<'r>(frame: &mut Frame<'_>, count: usize, mut rest: &'r [u8]) -> Result<&'r [u8], Raised> {
    for _ in 0..2 * count {
        rest = push_reply(frame, rest)?;
        frame.pop(1);
    }
    push_reply(frame, rest)
}

/// Writes the value on the top as the reply of a script that is through. An error object is not written.
pub(super) fn write_result(frame: &mut Frame<'_>, reply: &mut Reply<'_>, script_proto: Proto) -> Ending {
    if frame.kind(-1) == Some(Kind::Table) && frame.has_fields(-1) {
        frame.raw_get_name(-1, "err");
        let is_error = frame.kind(-1) == Some(Kind::String);
        frame.pop(1);
        if is_error {
            let (text, is_counted) = error(frame);
            return Ending::Failed { text, is_counted };
        }
    }
    write_value(frame, reply, script_proto);
    Ending::Replied
}

/// The text of the error object on the top, in one line, and whether it has been counted.
fn error(frame: &mut Frame<'_>) -> (Vec<u8>, bool) {
    frame.raw_get_name(-1, "err");
    let text = ReplyError::owned(c_string(frame.bytes(-1).unwrap_or_default())).text().to_vec();
    frame.pop(1);
    frame.raw_get_name(-1, "ignore_error_stats_update");
    let is_counted = frame.boolean(-1);
    frame.pop(1);
    (text, is_counted)
}

/// A text whose line ends are spaces.
fn one_line(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

/// A table in the middle of being written, whose place on the stack is below what belongs to those after it.
enum Open {
    /// An array: the table.
    Array { array: OpenArray, expected: usize, count: usize },
    /// A map: its table, the one inside it, and the last key; above that the value, if it comes next.
    Map { has_value: bool },
    /// A set: the same, without values.
    Set,
}

/// Writes the value on the top, which is taken off, as a reply. Tables may be nested as deep as Lua's stack allows, which is
/// deeper than the machine's, so this does not call itself.
fn write_value(frame: &mut Frame<'_>, reply: &mut Reply<'_>, script_proto: Proto) {
    let mut open = Vec::new();
    loop {
        if let Some(table) = write_start(frame, reply, script_proto) {
            open.push(table);
        }
        while open.last_mut().is_some_and(|table| !table.push_next(frame, reply)) {
            if let Some(table) = open.pop() {
                table.close(frame, reply);
            }
        }
        if open.is_empty() {
            return;
        }
    }
}

/// Writes the value on the top, which is taken off; or the beginning of a table that others are in, which stays.
fn write_start(frame: &mut Frame<'_>, reply: &mut Reply<'_>, script_proto: Proto) -> Option<Open> {
    if frame.try_ensure(4) {
        match frame.kind(-1) {
            Some(Kind::String) => reply.bulk(frame.bytes(-1).unwrap_or_default()),
            Some(Kind::Number) => reply.integer(integer(frame.number(-1).unwrap_or_default())),
            Some(Kind::Boolean) => match (script_proto, frame.boolean(-1)) {
                (Proto::Resp2, true) => reply.integer(1),
                (Proto::Resp2, false) => reply.null(),
                (Proto::Resp3, truth) => reply.boolean(truth),
            },
            Some(Kind::Table) => return write_table(frame, reply),
            _ => reply.null(),
        }
    } else {
        reply.error_text(b"ERR reached lua stack limit");
    }
    frame.pop(1);
    None
}

impl Open {
    /// Pushes what is to be written next; false if there is nothing more. Elements of an array that are no tables may have been
    /// written already.
    fn push_next(&mut self, frame: &mut Frame<'_>, reply: &mut Reply<'_>) -> bool {
        match self {
            Open::Array { count, .. } => {
                // Most elements are written where they are.
                loop {
                    match frame.item(*count + 1) {
                        Value::String(bytes) => reply.bulk(bytes),
                        Value::Number(number) => reply.integer(integer(number)),
                        Value::Other => break,
                    }
                    *count += 1;
                }
                frame.raw_get_index(-1, *count as i32 + 1);
                let is_there = frame.kind(-1) != Some(Kind::Nil);
                match is_there {
                    true => *count += 1,
                    false => frame.pop(1),
                }
                is_there
            }
            Open::Map { has_value: has_value @ true } => {
                *has_value = false;
                true
            }
            Open::Map { has_value } => {
                *has_value = frame.next(-2);
                if *has_value {
                    frame.push_copy(-2);
                }
                *has_value
            }
            Open::Set => {
                let is_there = frame.next(-2);
                if is_there {
                    frame.pop(1);
                    frame.push_copy(-1);
                }
                is_there
            }
        }
    }

    /// Ends the table, which is taken off.
    fn close(self, frame: &mut Frame<'_>, reply: &mut Reply<'_>) {
        match self {
            Open::Array { array, expected, count } if count == expected => reply.keep_array(array),
            Open::Array { array, count, .. } => reply.close_array(array, count),
            Open::Map { .. } | Open::Set => frame.pop(1),
        }
        frame.pop(1);
    }
}

/// As C converts on the machines Redis runs on: what does not fit is the least integer.
fn integer(number: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&number);
    if fits { number as i64 } else { i64::MIN }
}

/// Writes the table on the top, which is taken off, as what one of its fields says that it is; or the beginning of a table that
/// others are in, which stays.
fn write_table(frame: &mut Frame<'_>, reply: &mut Reply<'_>) -> Option<Open> {
    if !frame.has_fields(-1) {
        return Some(start_array(frame, reply));
    }
    if push_field_of(frame, "err", Kind::String) {
        let text = ReplyError::owned(c_string(frame.bytes(-1).unwrap_or_default()));
        reply.error(&text);
    } else if push_field_of(frame, "ok", Kind::String) {
        let text = one_line(c_string(frame.bytes(-1).unwrap_or_default()));
        reply.simple_text(&text);
    } else if push_field_of(frame, "double", Kind::Number) {
        reply.double(frame.number(-1).unwrap_or_default());
    } else if push_field_of(frame, "map", Kind::Table) {
        reply.map(count_keys(frame));
        frame.push_nil();
        return Some(Open::Map { has_value: false });
    } else if push_field_of(frame, "set", Kind::Table) {
        reply.set(count_keys(frame));
        frame.push_nil();
        return Some(Open::Set);
    } else if push_field_of(frame, "big_number", Kind::String) {
        let digits = one_line(frame.bytes(-1).unwrap_or_default());
        reply.big_number(&String::from_utf8_lossy(&digits));
    } else if push_field_of(frame, "verbatim_string", Kind::Table) && write_verbatim(frame, reply) {
    } else {
        return Some(start_array(frame, reply));
    }
    frame.pop(2);
    None
}

fn start_array(frame: &mut Frame<'_>, reply: &mut Reply<'_>) -> Open {
    let expected = frame.raw_len(-1);
    Open::Array { array: reply.open_array(expected), expected, count: 0 }
}

/// Keys of the table on the top.
fn count_keys(frame: &mut Frame<'_>) -> usize {
    let mut count = 0;
    frame.push_nil();
    while frame.next(-2) {
        count += 1;
        frame.pop(1);
    }
    count
}

/// Pushes the field of the table on the top; only if it is of a kind.
fn push_field_of(frame: &mut Frame<'_>, name: &str, kind: Kind) -> bool {
    frame.raw_get_name(-1, name);
    let is_there = frame.kind(-1) == Some(kind);
    if !is_there {
        frame.pop(1);
    }
    is_there
}

/// Writes the table on the top as a verbatim string; false, and the table is taken off, if it is none.
fn write_verbatim(frame: &mut Frame<'_>, reply: &mut Reply<'_>) -> bool {
    let top = frame.top();
    let is_whole = push_field_of(frame, "format", Kind::String) && {
        frame.insert(-2);
        push_field_of(frame, "string", Kind::String)
    };
    if is_whole {
        let format = frame.bytes(-3).unwrap_or_default();
        let mut padded = *b"   ";
        padded.iter_mut().zip(format).for_each(|(to, from)| *to = *from);
        reply.verbatim_bytes(&padded, frame.bytes(-1).unwrap_or_default());
    }
    frame.set_top(if is_whole { top } else { top - 1 });
    is_whole
}
