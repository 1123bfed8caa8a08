//! Numbers as C reads and writes them: `strtod`, of which JSON's numbers are a part, and `%.14g`.

use std::io::Write;

/// Digits up to which the shortest text that reads back is also what rounding to more digits gives: any decimal of 15 digits
/// survives in a double.
const EXACT_DIGITS: usize = 15;

/// Appends a number as `%.{precision}g`. O(1).
pub fn write_number(out: &mut Vec<u8>, number: f64, precision: usize) {
    debug_assert!((1..=EXACT_DIGITS).contains(&precision), "a precision that cjson offers");
    if number.is_nan() {
        // COMPAT: C shows the sign as well, which depends on the platform; cjson does not.
        return out.extend_from_slice(b"nan");
    }
    if number.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = number.abs();
    if magnitude.is_infinite() {
        return out.extend_from_slice(b"inf");
    }
    // All digits of an integer that has no more than may be written.
    if magnitude < POWERS_OF_TEN[precision] && magnitude.trunc() == magnitude {
        return out.extend_from_slice(itoa::Buffer::new().format(magnitude as u64).as_bytes());
    }
    let digits = Digits::of(magnitude, precision);
    digits.write(out, precision);
}

const POWERS_OF_TEN: [f64; EXACT_DIGITS + 1] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

/// Significant digits without zeros at their end, and the decimal exponent of the first one.
struct Digits {
    text: [u8; 24],
    count: usize,
    exponent: i32,
}

impl Digits {
    /// The digits of a positive number, rounded to `precision`.
    fn of(magnitude: f64, precision: usize) -> Digits {
        // Subnormal numbers have fewer digits than others, so that the shortest text says less about the longer ones.
        if magnitude.is_normal() {
            let shortest = Digits::parse(ryu::Buffer::new().format_finite(magnitude).as_bytes());
            if shortest.count <= precision {
                return shortest;
            }
        }
        let mut text = [0; 32];
        let mut rest = &mut text[..];
        // Cannot fail: a sign, at most fifteen digits, a point and an exponent of three digits.
        let _ = write!(rest, "{magnitude:.*e}", precision - 1);
        let left = rest.len();
        Digits::parse(&text[..text.len() - left])
    }

    /// Reads digits with a point or an exponent or both.
    fn parse(number: &[u8]) -> Digits {
        let end = number.iter().position(|&byte| byte == b'e').unwrap_or(number.len());
        let exponent =
            std::str::from_utf8(number.get(end + 1..).unwrap_or_default()).ok().and_then(|text| text.parse().ok());
        let mut digits = Digits { text: [0; 24], count: 0, exponent: exponent.unwrap_or(0) - 1 };
        let mut is_fraction = false;
        for &byte in &number[..end] {
            if byte == b'.' {
                is_fraction = true;
                continue;
            }
            // Zeros before the first digit that counts only move it.
            let counts = digits.count > 0 || byte != b'0';
            digits.exponent += i32::from(counts && !is_fraction) - i32::from(!counts && is_fraction);
            if counts {
                digits.text[digits.count] = byte;
                digits.count += 1;
            }
        }
        while digits.count > 0 && digits.text[digits.count - 1] == b'0' {
            digits.count -= 1;
        }
        digits
    }

    /// Appends them as `%g` does: with an exponent if it is below -4 or not below the precision.
    fn write(&self, out: &mut Vec<u8>, precision: usize) {
        let digits = &self.text[..self.count];
        if self.exponent < -4 || self.exponent >= precision as i32 {
            out.push(digits[0]);
            if digits.len() > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            let sign = if self.exponent < 0 { '-' } else { '+' };
            // Cannot fail: writes to memory.
            let _ = write!(out, "e{sign}{:02}", self.exponent.abs());
        } else if self.exponent < 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + (-self.exponent - 1) as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            let integral = self.exponent as usize + 1;
            if digits.len() <= integral {
                out.extend_from_slice(digits);
                out.resize(out.len() + integral - digits.len(), b'0');
            } else {
                out.extend_from_slice(&digits[..integral]);
                out.push(b'.');
                out.extend_from_slice(&digits[integral..]);
            }
        }
    }
}

/// Reads the number at the start of the text as C's `strtod` does, without leading white space: its value, and its length in
/// bytes. O(length).
///
/// Decimal and hexadecimal numbers, `inf`, `infinity`, `nan` and `nan(...)`, whose letters say nothing.
pub fn parse_number(text: &[u8]) -> Option<(f64, usize)> {
    let is_negative = text.first() == Some(&b'-');
    let start = usize::from(is_negative || text.first() == Some(&b'+'));
    let rest = &text[start..];
    let (magnitude, length) = parse_hexadecimal(rest).or_else(|| parse_decimal(rest)).or_else(|| parse_word(rest))?;
    Some((if is_negative { -magnitude } else { magnitude }, start + length))
}

fn digits_at(text: &[u8], at: usize) -> usize {
    text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn parse_decimal(text: &[u8]) -> Option<(f64, usize)> {
    let integral = digits_at(text, 0);
    let mut end = integral;
    if text.get(end) == Some(&b'.') {
        let fraction = digits_at(text, end + 1);
        if integral + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if end == 0 {
        return None;
    }
    // Small integers, which are the most common numbers, need no rounding.
    const PLAIN_DIGITS: usize = 15;
    if end == integral && end <= PLAIN_DIGITS && !matches!(text.get(end), Some(b'e' | b'E')) {
        let value = text[..end].iter().fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
        return Some((value as f64, end));
    }
    end += exponent_at(text, end, b'e').map_or(0, |(_, length)| length);
    let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((number, end))
}

/// The exponent that a letter begins, saturated, and its length with the letter; `None` if there is none.
fn exponent_at(text: &[u8], at: usize, letter: u8) -> Option<(i64, usize)> {
    if !text.get(at)?.eq_ignore_ascii_case(&letter) {
        return None;
    }
    let signs = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
    let count = digits_at(text, (at + 1 + signs).min(text.len()));
    if count == 0 {
        return None;
    }
    let digits = &text[at + 1 + signs..][..count];
    let magnitude =
        digits.iter().fold(0i64, |value, byte| value.saturating_mul(10).saturating_add(i64::from(byte - b'0')));
    let is_negative = text[at + 1] == b'-';
    Some((if is_negative { -magnitude } else { magnitude }, 1 + signs + count))
}

fn parse_hexadecimal(text: &[u8]) -> Option<(f64, usize)> {
    if text.first() != Some(&b'0') || !text.get(1)?.eq_ignore_ascii_case(&b'x') {
        return None;
    }
    // The first 64 bits that count, and whether any bit after them is set. `exponent` is that of the last of them, in bits.
    let (mut mantissa, mut is_inexact, mut exponent) = (0u64, false, 0i64);
    let (mut at, mut has_digits, mut is_fraction) = (2, false, false);
    while let Some(&byte) = text.get(at) {
        if byte == b'.' && !is_fraction {
            is_fraction = true;
            at += 1;
            continue;
        }
        let Some(digit) = char::from(byte).to_digit(16) else { break };
        has_digits = true;
        if mantissa >> 60 == 0 {
            mantissa = mantissa << 4 | u64::from(digit);
            exponent -= if is_fraction { 4 } else { 0 };
        } else {
            is_inexact |= digit != 0;
            exponent += if is_fraction { 0 } else { 4 };
        }
        at += 1;
    }
    // Without a digit it is the zero before the letter.
    if !has_digits {
        return None;
    }
    // A point is part of the number also if nothing follows it.
    if let Some((power, length)) = exponent_at(text, at, b'p') {
        exponent = exponent.saturating_add(power);
        at += length;
    }
    Some((scale(mantissa, is_inexact, exponent), at))
}

/// `mantissa * 2^exponent`, rounded to the nearest double, ties to even; `is_inexact` says that the mantissa is a bit more.
fn scale(mantissa: u64, is_inexact: bool, exponent: i64) -> f64 {
    if mantissa == 0 {
        return 0.0;
    }
    let zeros = mantissa.leading_zeros();
    // The highest bit set, so that the number is between 2^top and twice that.
    let (mantissa, top) = (mantissa << zeros, exponent.saturating_add(63 - i64::from(zeros)));
    if top > 1023 {
        return f64::INFINITY;
    }
    // A double has 53 bits, and none below 2^-1074.
    let kept = (53.min(top.saturating_add(1075))).max(-1);
    if kept < 0 {
        return 0.0;
    }
    let (kept_bits, rest) = match kept {
        0 => (0, mantissa),
        kept => (mantissa >> (64 - kept), mantissa << kept),
    };
    const HALF: u64 = 1 << 63;
    let is_up = rest > HALF || (rest == HALF && (is_inexact || kept_bits & 1 == 1));
    let rounded = kept_bits + u64::from(is_up);
    // Rounding up may carry into the exponent, and from the greatest number to infinity, as the bits are laid out.
    f64::from_bits(match u64::try_from(top + 1022) {
        Ok(biased) => (biased << 52) + rounded,
        Err(_) => rounded,
    })
}

fn parse_word(text: &[u8]) -> Option<(f64, usize)> {
    let begins = |word: &[u8]| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins(b"infinity") {
        return Some((f64::INFINITY, 8));
    }
    if begins(b"inf") {
        return Some((f64::INFINITY, 3));
    }
    if !begins(b"nan") {
        return None;
    }
    let mut length = 3;
    if text.get(3) == Some(&b'(') {
        let letters = text[4..].iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        if text.get(4 + letters) == Some(&b')') {
            length = 5 + letters;
        }
    }
    Some((f64::NAN, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(number: f64, precision: usize) -> String {
        let mut out = Vec::new();
        write_number(&mut out, number, precision);
        String::from_utf8(out).expect("ASCII")
    }

    /// Printed by C's printf.
    #[test]
    fn numbers_are_written_as_printf_writes_them() {
        for (number, precision, expected) in [
            (0.0, 14, "0"),
            (-0.0, 14, "-0"),
            (1.0, 14, "1"),
            (0.1, 14, "0.1"),
            (-1.5, 14, "-1.5"),
            (1.0 / 3.0, 14, "0.33333333333333"),
            (2.0 / 3.0, 3, "0.667"),
            (99_999_999_999_999.0, 14, "99999999999999"),
            (100_000_000_000_000.0, 14, "1e+14"),
            (123_456_789_012_345.0, 14, "1.2345678901234e+14"),
            (999_999_999_999_999.0, 14, "1e+15"),
            (1e15, 14, "1e+15"),
            (9_007_199_254_740_993.0, 14, "9.007199254741e+15"),
            (0.0001, 14, "0.0001"),
            (0.00001, 14, "1e-05"),
            (0.00012345, 3, "0.000123"),
            (1e100, 14, "1e+100"),
            (1.797_693_134_862_315_7e308, 14, "1.7976931348623e+308"),
            (2.225_073_858_507_201_4e-308, 14, "2.2250738585072e-308"),
            (5e-324, 14, "4.9406564584125e-324"),
            (5e-324, 1, "5e-324"),
            (9.5, 1, "1e+01"),
            (8.5, 1, "8"),
            (0.25, 1, "0.2"),
            (0.35, 1, "0.3"),
            (1234.5678, 6, "1234.57"),
            (99.99, 3, "100"),
            (f64::INFINITY, 14, "inf"),
            (f64::NEG_INFINITY, 14, "-inf"),
        ] {
            assert_eq!(written(number, precision), expected, "%.{precision}g of {number:e}");
        }
    }

    /// The digits of the exact decimal value, which the standard library rounds, are the oracle of the shorter way.
    #[test]
    fn digits_of_the_short_way_are_the_rounded_ones() {
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let number = match state % 3 {
                0 => f64::from_bits(state),
                1 => (state >> 40) as f64 / 1000.0,
                _ => (state >> 50) as f64 * 1e10,
            };
            let precision = 1 + (state >> 20) as usize % 14;
            if !number.is_finite() || number == 0.0 {
                continue;
            }
            let oracle = Digits::parse(format!("{:.*e}", precision - 1, number.abs()).as_bytes());
            let mut expected = if number < 0.0 { vec![b'-'] } else { Vec::new() };
            oracle.write(&mut expected, precision);
            assert_eq!(written(number, precision).as_bytes(), expected, "%.{precision}g of {number:e}");
        }
    }

    #[test]
    fn numbers_are_read_as_strtod_reads_them() {
        for (text, number, length) in [
            ("0", 0.0, 1),
            ("-12x", -12.0, 3),
            ("+5", 5.0, 2),
            ("1.", 1.0, 2),
            (".5", 0.5, 2),
            ("1e", 1.0, 1),
            ("1e+", 1.0, 1),
            ("1e+2", 100.0, 4),
            ("1E5", 1e5, 3),
            ("1.5.5", 1.5, 3),
            ("007", 7.0, 3),
            ("1e999999999999999999999", f64::INFINITY, 23),
            ("1e-999999999999999999999", 0.0, 24),
            ("123456789012345678", 123_456_789_012_345_680.0, 18),
            ("0x10", 16.0, 4),
            ("0x", 0.0, 1),
            ("0x.", 0.0, 1),
            ("0x.8", 0.5, 4),
            ("0x1.", 1.0, 4),
            ("0x1p4", 16.0, 5),
            ("0x1p", 1.0, 3),
            ("0x1p-1", 0.5, 6),
            ("0x1.fffffffffffff7p0", 1.999_999_999_999_999_8, 20),
            ("0x1.fffffffffffff8p0", 2.0, 20),
            ("0x1.00000000000008p0", 1.0, 20),
            ("0x1.000000000000080000000000000001p0", 1.000_000_000_000_000_2, 36),
            ("0x1p-1074", 5e-324, 9),
            ("0x1p-1075", 0.0, 9),
            ("0x1.8p-1075", 5e-324, 11),
            ("0x1.fffffffffffffp1023", f64::MAX, 22),
            ("0x1.fffffffffffff8p1023", f64::INFINITY, 23),
            ("0x1p1024", f64::INFINITY, 8),
            ("0x1p99999999999999999999", f64::INFINITY, 24),
            ("0x1.ffffffffffffep-1023", f64::from_bits((1 << 52) - 1), 23),
            ("0x1.fffffffffffffp-1023", f64::MIN_POSITIVE, 23),
            ("0x1.8p-1000", 1.399_895_427_754_828_3e-301, 11),
            ("inf", f64::INFINITY, 3),
            ("-Infinity!", f64::NEG_INFINITY, 9),
            ("infinit", f64::INFINITY, 3),
        ] {
            assert_eq!(parse_number(text.as_bytes()), Some((number, length)), "{text}");
        }
        for (text, length) in [("nan", 3), ("-NaN", 4), ("nan(abc_1)", 10), ("nan(", 3), ("nan(-)", 3)] {
            let (number, found) = parse_number(text.as_bytes()).expect("a number");
            assert!(number.is_nan() && found == length, "{text}");
        }
        for text in ["", "-", "+", ".", "-.", "e5", "x", "in", "na", "--1"] {
            assert_eq!(parse_number(text.as_bytes()), None, "{text}");
        }
    }
}
