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

use std::collections::BTreeMap;
use std::sync::Arc;

use super::api;
use super::state::{Frame, Kind, Raised, Value};
use super::vm::{Ending, c_string};
use crate::base::num;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
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

/// Bytes of a string that is copied in parts, and of such a part.
const PART_BYTES: usize = 64 << 10;

/// Elements of an array that are written between two looks at what the script may still do.
const ELEMENTS_AT_ONCE: usize = 64;

/// Bytes that a result has at least room for, or a quarter of the limit, if the script does not use them.
const EXPECTED_BYTES: usize = 16 << 20;

/// Writes the value on the top as the reply of a script, if that may take long: a table that is no error object, or a long string.
/// To be called on the script's own stack, for it counts steps, and so may be suspended. What is written may be as long as
/// the memory that the script may still use.
///
/// # Errors
/// There is no memory, or the script is to end.
pub(super) fn write_ahead(frame: &mut Frame<'_>, proto: Proto) -> Result<(), Raised> {
    let is_long = match frame.kind(-1) {
        Some(Kind::Table) => !is_error_object(frame),
        Some(Kind::String) => frame.raw_len(-1) > PART_BYTES,
        _ => false,
    };
    if !is_long {
        return Ok(());
    }
    let mut exchange = frame.context().exchange.borrow_mut();
    let (out, script_proto) = (std::mem::take(&mut exchange.result), exchange.proto);
    drop(exchange);
    // What the script has left behind is collected first if it could be in the way of a long result.
    let expected_bytes = EXPECTED_BYTES.min(frame.context().limit_bytes() / 4);
    let left_bytes = frame.memory_for(expected_bytes).max(1);
    let mut writer = Writer { out, proto, script_proto, left_bytes, errors: NestedErrors::default() };
    writer.out.set_limit(left_bytes as u64);
    writer.value(frame)?;
    let Writer { out, errors, .. } = writer;
    let mut exchange = frame.context().exchange.borrow_mut();
    (exchange.result, exchange.errors) = (out, errors);
    Ok(())
}

/// Writes the value on the top as the reply of a script that is through, unless that has been done. An error object is not
/// written.
pub(super) fn write_result(frame: &mut Frame<'_>, reply: &mut Reply<'_>) -> Ending {
    let mut exchange = frame.context().exchange.borrow_mut();
    let script_proto = exchange.proto;
    if !exchange.result.is_empty() {
        match exchange.result.as_slice() {
            Some(bytes) => {
                reply.out().push(bytes);
                exchange.result.clear();
            }
            None => {
                let chunks = std::mem::take(&mut exchange.result).into_chunks();
                chunks.for_each(|chunk| reply.out().push_shared(&chunk));
            }
        }
        return Ending::Replied { errors: std::mem::take(&mut exchange.errors) };
    }
    drop(exchange);
    if frame.kind(-1) == Some(Kind::Table) {
        let (text, is_counted) = error(frame);
        return Ending::Failed { text, is_counted };
    }
    write_plain(frame, reply, script_proto);
    Ending::Replied { errors: NestedErrors::default() }
}

/// Whether the table on the top is an error object.
fn is_error_object(frame: &mut Frame<'_>) -> bool {
    if !frame.has_fields(-1) {
        return false;
    }
    frame.raw_get_name(-1, "err");
    let is_error = frame.kind(-1) == Some(Kind::String);
    frame.pop(1);
    is_error
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

/// The writer of a result.
struct Writer {
    out: Out,
    /// The protocol of the reply.
    proto: Proto,
    /// The protocol that the script has chosen for itself.
    script_proto: Proto,
    /// Bytes that may be written.
    left_bytes: usize,
    errors: NestedErrors,
}

impl Writer {
    fn reply(&mut self) -> Reply<'_> {
        Reply::new(&mut self.out, self.proto)
    }

    /// Writes the value on the top, which is taken off. Tables may be nested as deep as Lua's stack allows, which is deeper than the
    /// machine's, so this does not call itself.
    fn value(&mut self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        let mut open = Vec::new();
        loop {
            frame.step(1)?;
            self.check_length(frame)?;
            if let Some(table) = self.start(frame)? {
                open.push(table);
            }
            while let Some(table) = open.last_mut() {
                if self.push_next(frame, table)? {
                    break;
                }
                if let Some(table) = open.pop() {
                    table.close(frame, &mut self.reply());
                }
            }
            if open.is_empty() {
                return Ok(());
            }
        }
    }

    /// Writes the value on the top, which is taken off; or the beginning of a table that others are in, which stays.
    fn start(&mut self, frame: &mut Frame<'_>) -> Result<Option<Open>, Raised> {
        if !frame.try_ensure(4) {
            self.reply().error_text(b"ERR reached lua stack limit");
        } else if frame.kind(-1) == Some(Kind::Table) {
            return self.table(frame);
        } else if frame.kind(-1) == Some(Kind::String) && frame.raw_len(-1) > PART_BYTES {
            self.long_string(frame)?;
        } else {
            let script_proto = self.script_proto;
            write_plain(frame, &mut self.reply(), script_proto);
        }
        frame.pop(1);
        Ok(None)
    }

    /// Writes the string on the top in parts.
    fn long_string(&mut self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        let length = frame.raw_len(-1);
        if self.out.len() + length > self.left_bytes {
            return Err(frame.raise_memory());
        }
        let mut copy = Vec::with_capacity(length);
        while copy.len() < length {
            let part = copy.len()..length.min(copy.len() + PART_BYTES);
            frame.step((part.len() / 32) as u32)?;
            copy.extend_from_slice(&frame.bytes(-1).unwrap_or_default()[part]);
        }
        self.reply().bulk_shared(&Arc::new(copy));
        Ok(())
    }

    /// Writes the table on the top, which is taken off, as what one of its fields says that it is; or the beginning of a table that
    /// others are in, which stays.
    fn table(&mut self, frame: &mut Frame<'_>) -> Result<Option<Open>, Raised> {
        if !frame.has_fields(-1) {
            return Ok(Some(self.array(frame)));
        }
        if push_field_of(frame, "err", Kind::String) {
            let error = ReplyError::owned(c_string(frame.bytes(-1).unwrap_or_default()));
            frame.raw_get_name(-2, "ignore_error_stats_update");
            // COMPAT: the code word of an error of one word is ERR.
            let code = if error.text().contains(&b' ') { error.code() } else { b"ERR" };
            self.errors.note(code, frame.boolean(-1));
            frame.pop(1);
            self.reply().error(&error);
        } else if push_field_of(frame, "ok", Kind::String) {
            let text = one_line(c_string(frame.bytes(-1).unwrap_or_default()));
            self.reply().simple_text(&text);
        } else if push_field_of(frame, "double", Kind::Number) {
            self.reply().double(frame.number(-1).unwrap_or_default());
        } else if push_field_of(frame, "map", Kind::Table) {
            let keys = count_keys(frame)?;
            self.reply().map(keys);
            frame.push_nil();
            return Ok(Some(Open::Map { has_value: false }));
        } else if push_field_of(frame, "set", Kind::Table) {
            let keys = count_keys(frame)?;
            self.reply().set(keys);
            frame.push_nil();
            return Ok(Some(Open::Set));
        } else if push_field_of(frame, "big_number", Kind::String) {
            let digits = one_line(frame.bytes(-1).unwrap_or_default());
            self.reply().big_number(&String::from_utf8_lossy(&digits));
        } else if push_field_of(frame, "verbatim_string", Kind::Table) && write_verbatim(frame, &mut self.reply()) {
        } else {
            return Ok(Some(self.array(frame)));
        }
        frame.pop(2);
        Ok(None)
    }

    /// Pushes what comes next of a table; false if there is nothing more. Most elements of arrays are written where they are.
    fn push_next(&mut self, frame: &mut Frame<'_>, table: &mut Open) -> Result<bool, Raised> {
        Ok(match table {
            Open::Array { count, .. } => {
                loop {
                    let mut reply = Reply::new(&mut self.out, self.proto);
                    match frame.item(*count + 1) {
                        Value::String(bytes) if bytes.len() <= PART_BYTES => reply.bulk(bytes),
                        Value::Number(number) => reply.integer(integer(number)),
                        _ => break,
                    }
                    *count += 1;
                    if count.is_multiple_of(ELEMENTS_AT_ONCE) {
                        frame.step(ELEMENTS_AT_ONCE as u32)?;
                        self.check_length(frame)?;
                    }
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
        })
    }

    fn check_length(&self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        if self.out.is_over_limit() { Err(frame.raise_memory()) } else { Ok(()) }
    }

    fn array(&mut self, frame: &mut Frame<'_>) -> Open {
        let expected = frame.raw_len(-1);
        Open::Array { array: self.reply().open_array(expected), expected, count: 0 }
    }
}

/// Writes the value on the top, which is no table and stays.
fn write_plain(frame: &mut Frame<'_>, reply: &mut Reply<'_>, script_proto: Proto) {
    match frame.kind(-1) {
        Some(Kind::String) => reply.bulk(frame.bytes(-1).unwrap_or_default()),
        Some(Kind::Number) => reply.integer(integer(frame.number(-1).unwrap_or_default())),
        Some(Kind::Boolean) => match (script_proto, frame.boolean(-1)) {
            (Proto::Resp2, true) => reply.integer(1),
            (Proto::Resp2, false) => reply.null(),
            (Proto::Resp3, truth) => reply.boolean(truth),
        },
        _ => reply.null(),
    }
}

/// The error objects inside a result, for the error statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NestedErrors {
    /// Of those that nothing has counted yet: each code word with how often it is there.
    pub codes: BTreeMap<Vec<u8>, u64>,
    /// Those of other codes, once there are many.
    pub others: u64,
    /// Errors of commands that the script has called, which were counted then.
    pub counted: u64,
}

/// Code words that are told apart: as many as the error statistics have.
const CODES_MAX: usize = 128;

impl NestedErrors {
    fn note(&mut self, code: &[u8], is_counted: bool) {
        if is_counted {
            self.counted += 1;
        } else if let Some(count) = self.codes.get_mut(code) {
            *count += 1;
        } else if self.codes.len() < CODES_MAX {
            self.codes.insert(code.to_vec(), 1);
        } else {
            self.others += 1;
        }
    }
}

impl Open {
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

/// Keys of the table on the top.
fn count_keys(frame: &mut Frame<'_>) -> Result<usize, Raised> {
    let mut count = 0;
    frame.push_nil();
    while frame.next(-2) {
        frame.step(1)?;
        count += 1;
        frame.pop(1);
    }
    Ok(count)
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
