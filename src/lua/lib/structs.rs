//! The library `struct`: values packed into strings as a C compiler lays out a structure, after Roberto Ierusalimschy's
//! struct 0.2.
//!
//! A format is read letter by letter up to its end or its first NUL:
//! ```text
//! < >     little or big endian (little at first)
//! ![n]    alignment, a power of two (8 if none is given; 1 at first)
//! b B     signed, unsigned 8 bits          h H  16 bits        l L  64 bits        T  64 bits, a size
//! i[n] I[n]  n bytes, up to 32 (4)
//! f d     float, double                    x    a byte of padding
//! c[n]    n bytes of a string (1); with 0 the whole string, or as many as the number before says
//! s       a string and a zero byte
//! space   nothing
//! ```

use super::{Buffer, ensure, natural, optional_integer, steps_of};
use crate::lua::state::{Answer, Frame, Function, Raised};

/// Bytes of the widest integer.
const INTEGER_BYTES_MAX: usize = 32;

/// Results for which every function has room on the stack.
const RESULTS_WITH_ROOM: usize = 16;

/// The alignment that `!` stands for without a number.
const ALIGNMENT: usize = 8;

/// Pushes the library's table.
pub(super) fn open(frame: &mut Frame<'_>) {
    frame.new_table(0, 3);
    frame.push_function::<Pack>(0);
    frame.set_own(-2, "pack");
    frame.push_function::<Unpack>(0);
    frame.set_own(-2, "unpack");
    frame.push_function::<Size>(0);
    frame.set_own(-2, "size");
}

/// What is wrong with a format.
#[derive(Debug, PartialEq)]
enum Fault {
    /// An error of the caller's.
    Error(String),
    /// An error about the format as an argument.
    Argument(Vec<u8>),
}

impl Fault {
    fn raise(self, frame: &mut Frame<'_>) -> Raised {
        match self {
            Fault::Error(text) => frame.raise_at_caller(text.as_bytes()),
            Fault::Argument(text) => frame.raise_argument(1, &text),
        }
    }
}

/// One letter of a format, with what the letters before it have set.
#[derive(Clone, Copy, Debug)]
struct Item {
    letter: u8,
    /// Bytes that it takes; 0 for what takes none, or as many as the value has.
    size: usize,
    is_little: bool,
    /// The greatest alignment.
    align: usize,
}

impl Item {
    /// Bytes of padding before it, at a position.
    fn padding(&self, at: usize) -> usize {
        if self.size == 0 || self.letter == b'c' {
            return 0;
        }
        // Sizes that are no powers of two align as the arithmetic has it.
        let mask = self.size.min(self.align) - 1;
        (mask + 1).wrapping_sub(at & mask) & mask
    }

    fn is_integer(&self) -> bool {
        matches!(self.letter, b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I')
    }
}

/// A format that is being read: the place in it, and what was set.
///
/// Invariant: each call is given the same text.
struct Format {
    at: usize,
    /// Letters read so far, modulo 2^32.
    letters: u32,
    is_little: bool,
    align: usize,
}

impl Format {
    fn new() -> Format {
        Format { at: 0, letters: 0, is_little: true, align: 1 }
    }

    /// The next letter and its size; `None` at the end.
    fn next(&mut self, format: &[u8]) -> Result<Option<Item>, Fault> {
        let Some(&letter) = format.get(self.at).filter(|&&letter| letter != 0) else { return Ok(None) };
        self.at += 1;
        let size = match letter {
            b'b' | b'B' | b'x' => 1,
            b'h' | b'H' => 2,
            b'f' => 4,
            b'l' | b'L' | b'T' | b'd' => 8,
            b'c' => self.number(format, 1)?,
            b'i' | b'I' => match self.number(format, 4)? {
                size if size > INTEGER_BYTES_MAX => {
                    let text = format!("integral size {size} is larger than limit of {INTEGER_BYTES_MAX}");
                    return Err(Fault::Error(text));
                }
                size => size,
            },
            _ => 0,
        };
        Ok(Some(Item { letter, size, is_little: self.is_little, align: self.align }))
    }

    /// A letter that stands for no value: takes its effect.
    fn control(&mut self, format: &[u8], letter: u8) -> Result<(), Fault> {
        match letter {
            b' ' => {}
            b'<' => self.is_little = true,
            b'>' => self.is_little = false,
            b'!' => {
                let align = self.number(format, ALIGNMENT)?;
                if !align.is_power_of_two() {
                    return Err(Fault::Error(format!("alignment {align} is not a power of 2")));
                }
                self.align = align;
            }
            _ => return Err(Fault::Argument([b"invalid format option '", &[letter][..], b"'"].concat())),
        }
        Ok(())
    }

    /// The number that follows, below 2^31, or a default.
    fn number(&mut self, format: &[u8], default: usize) -> Result<usize, Fault> {
        let mut number = None;
        while let Some(digit) = format.get(self.at).filter(|digit| digit.is_ascii_digit()) {
            self.at += 1;
            let next =
                number.unwrap_or(0i32).checked_mul(10).and_then(|tens| tens.checked_add(i32::from(digit - b'0')));
            number = Some(next.ok_or_else(|| Fault::Error("integral size overflow".to_owned()))?);
        }
        Ok(number.map_or(default, |number| number as usize))
    }
}

/// Letters that are read before their steps are counted.
const LETTERS_PER_STEP: u32 = 64;

/// The next letter of the format. Counts steps.
fn next_item(frame: &mut Frame<'_>, text: &[u8], format: &mut Format) -> Result<Option<Item>, Raised> {
    format.letters = format.letters.wrapping_add(1);
    if format.letters.is_multiple_of(LETTERS_PER_STEP) {
        frame.step(LETTERS_PER_STEP)?;
    }
    format.next(text).map_err(|fault| fault.raise(frame))
}

/// A letter for which there is no value.
fn control(frame: &mut Frame<'_>, text: &[u8], format: &mut Format, letter: u8) -> Result<(), Raised> {
    format.control(text, letter).map_err(|fault| fault.raise(frame))
}

/// The format: argument 1. A copy, so that the stack can be used while it is read.
fn check_format(frame: &mut Frame<'_>) -> Result<Vec<u8>, Raised> {
    let text = frame.check_bytes(1)?;
    let bytes = text.len();
    if bytes > frame.memory_for(bytes) {
        return Err(frame.raise_memory());
    }
    frame.step(steps_of(bytes))?;
    let mut copy = frame.take_buffer();
    copy.extend_from_slice(frame.bytes(1).unwrap_or_default());
    Ok(copy)
}

/// Appends the lowest bytes of an integer, zeros beyond the eighth.
fn write_integer(out: &mut Vec<u8>, value: u64, size: usize, is_little: bool) {
    let mut bytes = [0; INTEGER_BYTES_MAX];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    if !is_little {
        bytes[..size].reverse();
    }
    out.extend_from_slice(&bytes[..size]);
}

/// An integer of up to 32 bytes, modulo 2^64.
fn read_integer(bytes: &[u8], is_little: bool, is_signed: bool) -> f64 {
    let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    let value = match is_little {
        true => bytes.iter().rev().fold(0, add),
        false => bytes.iter().fold(0, add),
    };
    if !is_signed {
        return value as f64;
    }
    // A shift of C's that is too wide is made modulo 64.
    let mask = u64::MAX.wrapping_shl((bytes.len() as u32).wrapping_mul(8).wrapping_sub(1));
    (if value & mask != 0 { value | mask } else { value }) as i64 as f64
}

struct Pack;

impl Function for Pack {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let text = check_format(frame)?;
        // COMPAT: a missing argument is nil in the error's text.
        frame.push_nil();
        let (mut format, mut argument, mut out) = (Format::new(), 2, Buffer::take(frame));
        while let Some(item) = next_item(frame, &text, &mut format)? {
            let padding = item.padding(out.0.len());
            // An integer, the padding before it, and the zero after a string.
            out.reserve(frame, padding + INTEGER_BYTES_MAX + 1)?;
            out.0.resize(out.0.len() + padding, 0);
            match item.letter {
                _ if item.is_integer() => {
                    let number = frame.check_number(argument)?;
                    let value = if number < 0.0 { super::integer(number) as u64 } else { natural(number) };
                    write_integer(&mut out.0, value, item.size, item.is_little);
                }
                b'x' => out.0.push(0),
                b'f' => {
                    let bits = (frame.check_number(argument)? as f32).to_bits();
                    write_integer(&mut out.0, u64::from(bits), 4, item.is_little);
                }
                b'd' => {
                    let bits = frame.check_number(argument)?.to_bits();
                    write_integer(&mut out.0, bits, 8, item.is_little);
                }
                b'c' | b's' => {
                    let there = frame.check_bytes(argument)?.len();
                    let bytes = if item.size == 0 { there } else { item.size };
                    if bytes > there {
                        return Err(frame.raise_argument(argument + 1, b"string too short"));
                    }
                    frame.step(steps_of(bytes))?;
                    out.extend_from_stack(frame, argument, bytes)?;
                    if item.letter == b's' {
                        out.extend(frame, &[0])?;
                    }
                }
                letter => {
                    control(frame, &text, &mut format, letter)?;
                    continue;
                }
            }
            if item.letter != b'x' {
                argument += 1;
            }
        }
        out.push(frame);
        Ok(1)
    }
}

struct Unpack;

impl Function for Unpack {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let text = check_format(frame)?;
        let length = frame.check_bytes(2)?.len();
        // A negative offset wraps around and lies behind the end, if no padding brings it back.
        let mut at = optional_integer(frame, 3, 1)? as usize;
        if at == 0 {
            return Err(frame.raise_argument(3, b"offset must be 1 or greater"));
        }
        at -= 1;
        let (mut format, mut results) = (Format::new(), 0);
        while let Some(item) = next_item(frame, &text, &mut format)? {
            at = at.wrapping_add(item.padding(at));
            let mut size = item.size;
            if size > length || at > length - size {
                return Err(too_short(frame));
            }
            if results >= RESULTS_WITH_ROOM {
                // The value, and the position behind the last one.
                ensure(frame, 2, "too many results")?;
            }
            let data = frame.bytes(2).unwrap_or_default();
            let field = &data[at..at + size];
            match item.letter {
                _ if item.is_integer() => {
                    let number = read_integer(field, item.is_little, item.letter.is_ascii_lowercase());
                    frame.push_number(number);
                }
                b'x' => {
                    at += size;
                    continue;
                }
                b'f' => {
                    let bytes = [field[0], field[1], field[2], field[3]];
                    let bits = if item.is_little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) };
                    frame.push_number(f64::from(f32::from_bits(bits)));
                }
                b'd' => {
                    let mut bytes = [0; 8];
                    bytes.copy_from_slice(field);
                    let bits = if item.is_little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) };
                    frame.push_number(f64::from_bits(bits));
                }
                b'c' => {
                    if size == 0 {
                        let before = if results == 0 { None } else { frame.coerced_number(-1) };
                        let Some(before) = before else {
                            return Err(frame.raise_at_caller(b"format 'c0' needs a previous size"));
                        };
                        frame.pop(1);
                        results -= 1;
                        size = natural(before) as usize;
                        if size > length || at > length - size {
                            return Err(too_short(frame));
                        }
                    }
                    frame.step(steps_of(size))?;
                    frame.push_substring(2, at..at + size);
                }
                b's' => {
                    let Some(end) = memchr::memchr(0, &data[at..]) else {
                        return Err(frame.raise_at_caller(b"unfinished string in data"));
                    };
                    frame.step(steps_of(end))?;
                    frame.push_substring(2, at..at + end);
                    size = end + 1;
                }
                letter => {
                    control(frame, &text, &mut format, letter)?;
                    continue;
                }
            }
            results += 1;
            at += size;
        }
        frame.push_number((at as i64).wrapping_add(1) as f64);
        frame.keep_buffer(text);
        Ok(results + 1)
    }
}

fn too_short(frame: &mut Frame<'_>) -> Raised {
    frame.raise_argument(2, b"data string too short")
}

struct Size;

impl Function for Size {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let text = check_format(frame)?;
        let (mut format, mut at) = (Format::new(), 0usize);
        while let Some(item) = next_item(frame, &text, &mut format)? {
            at = at.wrapping_add(item.padding(at));
            match item.letter {
                b's' => return Err(frame.raise_argument(1, b"option 's' has no fixed size")),
                b'c' if item.size == 0 => return Err(frame.raise_argument(1, b"option 'c0' has no fixed size")),
                // COMPAT: a letter that means nothing is no error here.
                letter if !letter.is_ascii_alphanumeric() => control(frame, &text, &mut format, letter)?,
                _ => at = at.wrapping_add(item.size),
            }
        }
        frame.push_number(at as i64 as f64);
        frame.keep_buffer(text);
        Ok(1)
    }
}
