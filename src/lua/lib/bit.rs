//! The library `bit`: operations on 32-bit integers, as Lua BitOp 1.0.2 has them.
//!
//! A number counts for its value modulo 2^32, rounded to the nearest integer, ties to even: that is what adding 2^52 + 2^51
//! leaves in the low half of a double. Results are signed.

use crate::lua::state::{Answer, Frame, Function, Raised};

/// Added to a double, moves its integral part into the lowest bits.
const SHIFT: f64 = 6_755_399_441_055_744.0;

/// Digits that a 32-bit integer has in hexadecimal.
const HEX_DIGITS: usize = 8;

/// Pushes the library's table.
pub(super) fn open(frame: &mut Frame<'_>) {
    frame.new_table(0, 12);
    define::<ToBit>(frame, "tobit");
    define::<Not>(frame, "bnot");
    define::<Fold<And>>(frame, "band");
    define::<Fold<Or>>(frame, "bor");
    define::<Fold<Xor>>(frame, "bxor");
    define::<Shift<Left>>(frame, "lshift");
    define::<Shift<Right>>(frame, "rshift");
    define::<Shift<SignedRight>>(frame, "arshift");
    define::<Shift<RotateLeft>>(frame, "rol");
    define::<Shift<RotateRight>>(frame, "ror");
    define::<Swap>(frame, "bswap");
    define::<ToHex>(frame, "tohex");
}

fn define<F: Function>(frame: &mut Frame<'_>, name: &str) {
    frame.push_function::<F>(0);
    frame.set_own(-2, name);
}

/// The bits of a number.
fn bits(number: f64) -> u32 {
    (number + SHIFT).to_bits() as u32
}

/// The bits of an argument.
fn argument(frame: &mut Frame<'_>, index: i32) -> Result<u32, Raised> {
    frame.check_number(index).map(bits)
}

fn answer(frame: &mut Frame<'_>, bits: u32) -> Answer {
    frame.push_number(f64::from(bits as i32));
    Ok(1)
}

struct ToBit;

impl Function for ToBit {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let bits = argument(frame, 1)?;
        answer(frame, bits)
    }
}

struct Not;

impl Function for Not {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let bits = argument(frame, 1)?;
        answer(frame, !bits)
    }
}

struct Swap;

impl Function for Swap {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let bits = argument(frame, 1)?;
        answer(frame, bits.swap_bytes())
    }
}

/// An operation on two integers.
trait Operation {
    fn apply(left: u32, right: u32) -> u32;
}

macro_rules! operations {
    ($($name:ident: |$left:ident, $right:ident| $result:expr;)*) => {$(
        struct $name;

        impl Operation for $name {
            fn apply($left: u32, $right: u32) -> u32 {
                $result
            }
        }
    )*};
}

// Shifts take the lowest five bits of their distance.
operations! {
    And: |left, right| left & right;
    Or: |left, right| left | right;
    Xor: |left, right| left ^ right;
    Left: |bits, distance| bits.wrapping_shl(distance);
    Right: |bits, distance| bits.wrapping_shr(distance);
    SignedRight: |bits, distance| (bits as i32).wrapping_shr(distance) as u32;
    RotateLeft: |bits, distance| bits.rotate_left(distance & 31);
    RotateRight: |bits, distance| bits.rotate_right(distance & 31);
}

/// An operation on one argument or more.
struct Fold<O>(O);

impl<O: Operation> Function for Fold<O> {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let top = frame.top();
        let mut bits = argument(frame, 1)?;
        // From the last one down, so that of several arguments that are no numbers the last one is named.
        for index in (2..=top as i32).rev() {
            bits = O::apply(bits, argument(frame, index)?);
        }
        answer(frame, bits)
    }
}

/// An operation on an integer and a distance.
struct Shift<O>(O);

impl<O: Operation> Function for Shift<O> {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let bits = argument(frame, 1)?;
        let distance = argument(frame, 2)?;
        answer(frame, O::apply(bits, distance))
    }
}

struct ToHex;

impl Function for ToHex {
    fn call(frame: &mut Frame<'_>) -> Answer {
        let bits = argument(frame, 1)?;
        let digits = match frame.kind(2) {
            None => HEX_DIGITS as i32,
            Some(_) => argument(frame, 2)? as i32,
        };
        let text = match digits < 0 {
            true => format!("{bits:08X}"),
            false => format!("{bits:08x}"),
        };
        // The magnitude of the lowest integer is none of its own kind.
        let kept = (digits.unsigned_abs() as usize).min(HEX_DIGITS);
        frame.push_bytes(&text.as_bytes()[HEX_DIGITS - kept..]);
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_modulo_two_to_the_32_rounded_to_even() {
        for (number, expected) in [
            (0.5, 0),
            (1.5, 2),
            (-0.6, -1),
            (4_294_967_296.0, 0),
            (2_147_483_648.0, i32::MIN),
            (-4_294_967_295.0, 1),
            (1e15, -1_530_494_976),
            (f64::NAN, 0),
            (f64::INFINITY, 0),
        ] {
            assert_eq!(bits(number) as i32, expected, "{number}");
        }
    }
}
