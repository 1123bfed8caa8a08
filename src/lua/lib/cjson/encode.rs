//! Values written as JSON, without recursion: what limits the nesting is a setting, and the room on Lua's stack.

use super::settings::Settings;
use super::{NULL, check_one_argument, is_marked_array, write_number};
use crate::lua::lib::{Buffer, small_integer, steps_of};
use crate::lua::state::{Answer, Frame, Function, Kind, Raised};

/// Bytes that a number takes at most: a sign, fourteen digits, a point and an exponent.
const NUMBER_BYTES_MAX: usize = 32;

/// `encode(value)`
pub(super) struct Encode;

impl Function for Encode {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let settings = Settings::load(frame);
        check_one_argument(frame)?;
        let out = if settings.keep_buffer { Buffer::take(frame) } else { Buffer::default() };
        let mut writer = Writer { settings, out, open: Vec::new() };
        writer.run(frame)?;
        match settings.keep_buffer {
            true => writer.out.push(frame),
            false => frame.push_bytes(&writer.out.0),
        }
        Ok(1)
    }
}

/// An array or object that is being written. Its table lies on the stack, an object's last key above it.
enum Open {
    /// Elements up to `index` are written, of `count`.
    Array {
        index: i32,
        count: i32,
    },
    Object {
        is_empty: bool,
    },
}

struct Writer {
    settings: Settings,
    out: Buffer,
    open: Vec<Open>,
}

impl Writer {
    /// Writes the value on the top, and leaves it there.
    fn run(&mut self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        loop {
            let mut is_complete = self.value(frame)?;
            loop {
                if self.open.is_empty() {
                    return Ok(());
                }
                if is_complete {
                    frame.pop(1);
                }
                if self.push_element(frame)? {
                    break;
                }
                is_complete = true;
            }
        }
    }

    /// Writes a scalar, or begins a table that is open then; false for one of these.
    fn value(&mut self, frame: &mut Frame<'_>) -> Result<bool, Raised> {
        frame.step(1)?;
        self.out.reserve(frame, NUMBER_BYTES_MAX)?;
        match frame.kind(-1) {
            Some(Kind::String) => self.string(frame, -1)?,
            Some(Kind::Number) => self.number(frame, -1)?,
            Some(Kind::Boolean) if frame.boolean(-1) => self.out.0.extend_from_slice(b"true"),
            Some(Kind::Boolean) => self.out.0.extend_from_slice(b"false"),
            Some(Kind::Table) => {
                self.table(frame)?;
                return Ok(false);
            }
            Some(Kind::Nil) => self.out.0.extend_from_slice(b"null"),
            Some(Kind::LightUserdata) if frame.light(-1) == Some(NULL) => self.out.0.extend_from_slice(b"null"),
            _ => return Err(refuse(frame, -1, "type not supported")),
        }
        Ok(true)
    }

    /// Begins the table on the top.
    fn table(&mut self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        let depth = self.open.len() + 1;
        if depth > self.settings.encode_max_depth as usize || !frame.try_ensure(3) {
            return Err(frame.raise_at_caller(format!("Cannot serialise, excessive nesting ({depth})").as_bytes()));
        }
        let (begin, open) = if is_marked_array(frame) {
            let count = i32::try_from(frame.raw_len(-1)).unwrap_or(i32::MAX);
            (b'[', Open::Array { index: 0, count })
        } else {
            match self.array_length(frame)? {
                count @ 1.. => (b'[', Open::Array { index: 0, count }),
                _ => {
                    frame.push_nil();
                    (b'{', Open::Object { is_empty: true })
                }
            }
        };
        self.out.0.push(begin);
        self.open.push(open);
        Ok(())
    }

    /// The highest index of the table on the top, or something that is not positive if it is no array. O(keys).
    fn array_length(&self, frame: &mut Frame<'_>) -> Result<i32, Raised> {
        let (mut highest, mut items) = (0i32, 0i32);
        frame.push_nil();
        while frame.next(-2) {
            frame.pop(1);
            frame.step(1)?;
            let Some(key) = frame.number(-1).filter(|&key| key >= 1.0 && key.floor() == key) else {
                frame.pop(1);
                return Ok(-1);
            };
            if key > f64::from(highest) {
                // COMPAT: an index of more than 32 bits becomes the lowest integer, and the table an object.
                highest = small_integer(key);
            }
            items = items.wrapping_add(1);
        }
        let Settings { sparse_convert, sparse_ratio, sparse_safe, .. } = self.settings;
        let is_sparse = sparse_ratio > 0 && highest > items.wrapping_mul(sparse_ratio) && highest > sparse_safe;
        match is_sparse {
            true if sparse_convert => Ok(-1),
            true => Err(refuse(frame, -1, "excessively sparse array")),
            false => Ok(highest),
        }
    }

    /// Pushes the next element of the innermost open table, after what stands before it in the text; or ends the table, which
    /// is on the top then, and answers false.
    fn push_element(&mut self, frame: &mut Frame<'_>) -> Result<bool, Raised> {
        self.out.reserve(frame, NUMBER_BYTES_MAX)?;
        let end = match self.open.last_mut() {
            None => return Ok(false),
            Some(Open::Array { index, count }) if *index < *count => {
                if *index > 0 {
                    self.out.0.push(b',');
                }
                *index += 1;
                frame.raw_get_index(-1, *index);
                return Ok(true);
            }
            Some(Open::Array { .. }) => b']',
            Some(Open::Object { is_empty }) => match frame.next(-2) {
                true => {
                    if !std::mem::replace(is_empty, false) {
                        self.out.0.push(b',');
                    }
                    self.key(frame)?;
                    return Ok(true);
                }
                false => b'}',
            },
        };
        self.out.0.push(end);
        self.open.pop();
        Ok(false)
    }

    /// Writes the key below the value on the top.
    fn key(&mut self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        match frame.kind(-2) {
            Some(Kind::Number) => {
                self.out.0.push(b'"');
                self.number(frame, -2)?;
                self.out.extend(frame, b"\":")
            }
            Some(Kind::String) => {
                self.string(frame, -2)?;
                self.out.extend(frame, b":")
            }
            _ => Err(refuse(frame, -2, "table key must be a number or string")),
        }
    }

    fn number(&mut self, frame: &mut Frame<'_>, index: i32) -> Result<(), Raised> {
        let number = frame.number(index).unwrap_or_default();
        self.out.reserve(frame, NUMBER_BYTES_MAX)?;
        if !number.is_finite() && self.settings.encode_invalid_numbers != 1 {
            if self.settings.encode_invalid_numbers == 0 {
                return Err(refuse(frame, index, "must not be NaN or Inf"));
            }
            self.out.0.extend_from_slice(b"null");
        } else {
            write_number(&mut self.out.0, number, self.settings.number_precision as usize);
        }
        Ok(())
    }

    fn string(&mut self, frame: &mut Frame<'_>, index: i32) -> Result<(), Raised> {
        let bytes = frame.bytes(index).unwrap_or_default();
        let length = bytes.len();
        let more_of = |bytes: &[u8]| bytes.iter().map(|&byte| usize::from(ESCAPES[usize::from(byte)])).sum::<usize>();
        if length <= PIECE_BYTES {
            let more = more_of(bytes);
            frame.step(steps_of(length))?;
            self.out.reserve(frame, length + more + 2)?;
            let (out, bytes) = (&mut self.out.0, frame.bytes(index).unwrap_or_default());
            out.push(b'"');
            write_bytes(out, bytes, more);
            out.push(b'"');
            return Ok(());
        }
        self.out.reserve(frame, length.saturating_add(2))?;
        self.out.0.push(b'"');
        for start in (0..length).step_by(PIECE_BYTES) {
            let range = start..length.min(start + PIECE_BYTES);
            let more = more_of(&frame.bytes(index).unwrap_or_default()[range.clone()]);
            frame.step(steps_of(range.len() + more) * 4)?;
            self.out.reserve(frame, range.len() + more + 1)?;
            write_bytes(&mut self.out.0, &frame.bytes(index).unwrap_or_default()[range], more);
        }
        self.out.0.push(b'"');
        Ok(())
    }
}

/// Bytes of a string that are written between two counts of steps.
const PIECE_BYTES: usize = 64 << 10;

/// Writes bytes of a string, of which so many more are written for those that are escaped.
fn write_bytes(out: &mut Vec<u8>, bytes: &[u8], more: usize) {
    if more == 0 {
        out.extend_from_slice(bytes);
    } else {
        bytes.iter().for_each(|&byte| write_byte(out, byte));
    }
}

/// By how many bytes what is written for a byte is longer than that.
const ESCAPES: [u8; 256] = {
    let mut more = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        more[byte] = match byte as u8 {
            b'"' | b'\\' | b'/' | 0x08 | b'\t' | b'\n' | 0x0c | b'\r' => 1,
            0..0x20 | 0x7f => 5,
            _ => 0,
        };
        byte += 1;
    }
    more
};

/// Writes a byte of a string. Bytes that are not UTF-8 are written as they are.
fn write_byte(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' | b'/' => byte,
        0x08 => b'b',
        b'\t' => b't',
        b'\n' => b'n',
        0x0c => b'f',
        b'\r' => b'r',
        0..0x20 | 0x7f => {
            const DIGITS: &[u8; 16] = b"0123456789abcdef";
            let digit = |nibble: u8| DIGITS[usize::from(nibble)];
            return out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

fn refuse(frame: &mut Frame<'_>, index: i32, reason: &str) -> Raised {
    let kind = frame.type_name(index);
    frame.raise_at_caller(format!("Cannot serialise {kind}: {reason}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_as_long_as_was_counted() {
        for byte in 0..=255 {
            let mut out = Vec::new();
            write_byte(&mut out, byte);
            assert_eq!(out.len(), 1 + usize::from(ESCAPES[usize::from(byte)]), "{byte}");
        }
    }
}
