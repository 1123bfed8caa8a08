//! The libraries that scripts have beside Lua's own: `cjson`, `cmsgpack`, `struct` and `bit`. Their results are Redis's to the
//! byte, and so are their error texts.
//!
//! Invariants, whatever a script gives them: nothing panics; nothing recurses deeper than a constant; each loop whose length
//! a script chooses counts its steps; a length that is claimed is compared with what is there before anything is
//! allocated; and what is built in Rust's memory is held below the script's limit by `Buffer`.
//!
//! Integers are C's: `integer` and `natural` convert doubles as the compiled C code does on x86-64, since what comes out
//! of range shows in replies.

pub mod bit;
pub mod cjson;
pub mod cmsgpack;
pub mod structs;

use super::state::{Frame, Kind, Push, Raised};

/// The libraries, by their global names: each function pushes the library's table.
pub(super) const LIBRARIES: &[(&str, Push)] =
    &[("cjson", cjson::open), ("cmsgpack", cmsgpack::open), ("struct", structs::open), ("bit", bit::open)];

/// Steps that so many bytes copied or looked at count for, beside the step of whatever they are part of.
fn steps_of(bytes: usize) -> u32 {
    u32::try_from(bytes / 32 + 1).unwrap_or(u32::MAX)
}

const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

/// A double as a 64-bit integer: truncated, and the lowest one for what is out of range or not a number.
fn integer(number: f64) -> i64 {
    // The upper bound is the first double above all of them.
    if (-TWO_TO_63..TWO_TO_63).contains(&number) { number as i64 } else { i64::MIN }
}

/// A double as a 32-bit integer, likewise.
fn small_integer(number: f64) -> i32 {
    // Truncation comes first, so that fractions beyond the bounds are within.
    if number > -2_147_483_649.0 && number < 2_147_483_648.0 { number as i32 } else { i32::MIN }
}

/// A double as an unsigned 64-bit integer: negative ones wrap around, and what is out of range becomes what the conversion
/// by a signed one makes of it.
fn natural(number: f64) -> u64 {
    if number >= TWO_TO_63 { (integer(number - TWO_TO_63) as u64) ^ (1 << 63) } else { integer(number) as u64 }
}

/// The integer that an argument is, or reads as.
fn check_integer(frame: &mut Frame<'_>, index: i32) -> Result<i64, Raised> {
    frame.check_number(index).map(integer)
}

/// The integer that an argument is, or a default where there is none or nil.
fn optional_integer(frame: &mut Frame<'_>, index: i32, default: i64) -> Result<i64, Raised> {
    match frame.kind(index) {
        None | Some(Kind::Nil) => Ok(default),
        Some(_) => check_integer(frame, index),
    }
}

/// Makes room for values, or raises the error of Lua's `luaL_checkstack` with this text.
fn ensure(frame: &mut Frame<'_>, slots: usize, text: &str) -> Result<(), Raised> {
    match frame.try_ensure(slots) {
        true => Ok(()),
        false => Err(frame.raise_at_caller(format!("stack overflow ({text})").as_bytes())),
    }
}

/// Bytes that are being built for a script.
///
/// Invariant: grows only by [`Buffer::reserve`], and never beyond the memory that the script may still use.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl Buffer {
    /// The buffer that the last call gave back.
    fn take(frame: &mut Frame<'_>) -> Buffer {
        Buffer(frame.take_buffer())
    }

    /// Pushes the bytes as a string, and keeps the buffer for the next call.
    fn push(self, frame: &mut Frame<'_>) {
        frame.push_bytes(&self.0);
        frame.keep_buffer(self.0);
    }

    /// Makes room for `more` bytes. Amortised O(1) a byte.
    ///
    /// # Errors
    /// The script would have more memory than it may.
    fn reserve(&mut self, frame: &mut Frame<'_>, more: usize) -> Result<(), Raised> {
        if more <= self.0.capacity() - self.0.len() {
            return Ok(());
        }
        let least = self.0.len().saturating_add(more);
        // What it has is not counted by the interpreter, and is needed twice while it moves.
        let left = frame.memory_for(least);
        if least > left {
            return Err(frame.raise_memory());
        }
        let capacity = least.max(self.0.capacity().saturating_mul(2)).clamp(64, left.max(64));
        self.0.reserve_exact(capacity - self.0.len());
        Ok(())
    }

    /// Appends bytes.
    fn extend(&mut self, frame: &mut Frame<'_>, bytes: &[u8]) -> Result<(), Raised> {
        self.reserve(frame, bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends the string at an index of the stack.
    fn extend_from_stack(&mut self, frame: &mut Frame<'_>, index: i32, bytes: usize) -> Result<(), Raised> {
        self.reserve(frame, bytes)?;
        self.0.extend_from_slice(&frame.bytes(index).unwrap_or_default()[..bytes]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_become_integers_as_in_c_on_x86_64() {
        for (number, signed, unsigned) in [
            (1.9, 1, 1),
            (-1.9, -1, u64::MAX),
            (-0.5, 0, 0),
            (9_223_372_036_854_774_784.0, 9_223_372_036_854_774_784, 9_223_372_036_854_774_784),
            (9_223_372_036_854_775_808.0, i64::MIN, 1 << 63),
            (18_446_744_073_709_549_568.0, i64::MIN, 18_446_744_073_709_549_568),
            (18_446_744_073_709_551_616.0, i64::MIN, 0),
            (f64::INFINITY, i64::MIN, 0),
            (f64::NEG_INFINITY, i64::MIN, 1 << 63),
            (f64::NAN, i64::MIN, 1 << 63),
        ] {
            assert_eq!((integer(number), natural(number)), (signed, unsigned), "{number}");
        }
        for (number, expected) in [
            (2_147_483_647.9, i32::MAX),
            (2_147_483_648.0, i32::MIN),
            (-2_147_483_648.9, i32::MIN),
            (f64::NAN, i32::MIN),
            (-7.9, -7),
        ] {
            assert_eq!(small_integer(number), expected, "{number}");
        }
    }
}
