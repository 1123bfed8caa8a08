//! Numbers as text, to the byte as Redis reads and prints them.
//!
//! Owns every rule on what counts as an integer, a float, a scan cursor or a memory size when it arrives as bytes, and how
//! integers, doubles and extended doubles are printed. Where C's `strtod` family is laxer than a decimal (hexadecimal floats,
//! spelled infinities), so is this module, because stored data and clients rely on it.
//!
//! Invariants: nothing here panics on any input; what `write_*` prints reads back as the same value (integers also byte for
//! byte); every parser looks at the whole input, and a byte left over is a refusal.
//!
//! Called by commands, configuration and the store. Refuses to know what a refusal is called on the wire: parsers
//! answer `None`, and the caller words the error.

mod extended;

use rustc_apfloat::ieee::{Double, X87DoubleExtended};
use rustc_apfloat::{Float, Round};

/// The longest text read as an extended double, in bytes; anything longer is refused, as Redis's fixed buffer makes it do.
const LONG_DOUBLE_TEXT_MAX: usize = 5 * 1024 - 1;

/// The most digits a memory size may have: Redis copies them to a buffer of 128 bytes with a terminator.
const MEMORY_DIGITS_MAX: usize = 127;

/// Doubles up to this magnitude (2^62) print as integers when they have no fraction, as Redis does.
const INTEGER_TEXT_LIMIT: f64 = 4_611_686_018_427_387_904.0;

/// Reads a canonical decimal `i64`: the only text accepted for a value is the one [`write_i64`] prints for it. No plus sign, no
/// leading zero, no space, no `-0`.
#[inline]
pub fn parse_i64(b: &[u8]) -> Option<i64> {
    let Some((b'-', digits)) = b.split_first() else {
        return i64::try_from(parse_u64(b)?).ok();
    };
    let magnitude = parse_u64(digits)?;
    (1..=i64::MIN.unsigned_abs()).contains(&magnitude).then(|| magnitude.wrapping_neg() as i64)
}

/// Reads a canonical decimal `u64`, under the same rules as [`parse_i64`]; no sign at all.
#[inline]
pub fn parse_u64(b: &[u8]) -> Option<u64> {
    match b {
        [] => return None,
        [b'0', rest @ ..] => return rest.is_empty().then_some(0),
        _ => {}
    }
    // Nineteen digits cannot overflow, so only a twentieth needs checking.
    let (safe, tail) = b.split_at(b.len().min(19));
    let mut value = 0u64;
    for &byte in safe {
        value = value * 10 + u64::from(decimal_digit(byte)?);
    }
    for &byte in tail {
        value = value.checked_mul(10)?.checked_add(u64::from(decimal_digit(byte)?))?;
    }
    Some(value)
}

#[inline]
fn decimal_digit(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit <= 9).then_some(digit)
}

/// Reads the cursor of SCAN and its kin, which is looser than any other integer: the text ends at a NUL, leading white space,
/// a sign and leading zeros are fine, and a negative number wraps around. A canonical negative `i64` is nevertheless refused.
pub fn parse_cursor(b: &[u8]) -> Option<u64> {
    let text = before_nul(b);
    if let Some(value) = parse_i64(text) {
        return u64::try_from(value).ok();
    }
    let text = &text[text.iter().take_while(|&&byte| is_c_space(byte)).count()..];
    let (negative, digits) = split_sign(text);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0u64;
    for &byte in digits {
        value = value.checked_mul(10)?.checked_add(u64::from(decimal_digit(byte)?))?;
    }
    Some(if negative { value.wrapping_neg() } else { value })
}

/// Reads a double as ZADD, ZINCRBY and GEOADD do: everything C's `strtod` reads in full, so decimals with or without exponent,
/// hexadecimal floats (`0x1.8p3`) and infinities in any case.
///
/// Refused: nothing at all, leading or trailing bytes of any kind, NaN, and a number too large or too small to represent
/// (`1e400`, `1e-400`); a denormal is fine.
pub fn parse_f64(b: &[u8]) -> Option<f64> {
    // A canonical integer is by far the commonest score. Up to 2^53 the conversion is exact, past it it rounds as decimal
    // text would.
    if let Some(integer) = parse_i64(b) {
        return Some(integer as f64);
    }
    let Some(value) = std_float(b) else {
        return parse_hex::<Double>(b).map(|value| f64::from_bits(value.to_bits() as u64));
    };
    let represented = if value.is_infinite() { spells_infinity(b) } else { value != 0.0 || is_decimal_zero(b) };
    (represented && !value.is_nan()).then_some(value)
}

/// Reads the number of a score range's end (ZRANGEBYSCORE and kin), whose leading `(` the caller has taken off.
///
/// Redis reads these with another routine than scores, and so they differ: the text ends at a NUL, nothing means zero,
/// what is too large is infinite and what is too small is zero. Hexadecimal floats and NaN are refused.
pub fn parse_score_bound(b: &[u8]) -> Option<f64> {
    let text = before_nul(b);
    if text.is_empty() {
        return Some(0.0);
    }
    std_float(text).filter(|value| !value.is_nan())
}

/// The standard library's reading, whose grammar is that of `strtod` less leading space and hexadecimal floats.
fn std_float(b: &[u8]) -> Option<f64> {
    std::str::from_utf8(b).ok()?.parse().ok()
}

/// Whether text the float grammar accepts is an infinity spelled out, rather than digits that overflow.
fn spells_infinity(b: &[u8]) -> bool {
    matches!(split_sign(b).1.first(), Some(b'i' | b'I'))
}

/// Whether decimal text the float grammar accepts means zero, rather than digits that underflow.
fn is_decimal_zero(b: &[u8]) -> bool {
    !b.iter().take_while(|byte| !matches!(byte, b'e' | b'E')).any(|byte| matches!(byte, b'1'..=b'9'))
}

/// Reads C's hexadecimal float, `[sign]0x<digits>[.<digits>][p[sign]<digits>]`, correctly rounded. `None` on any other text, on
/// overflow, and when a number that is not zero rounds to zero.
fn parse_hex<F: Float>(b: &[u8]) -> Option<F> {
    let (negative, rest) = split_sign(b);
    let [b'0', b'x' | b'X', body @ ..] = rest else { return None };
    let split = body.iter().position(|byte| matches!(byte, b'p' | b'P'));
    let (mantissa, exponent) = match split {
        Some(at) => (&body[..at], hex_exponent(&body[at + 1..])?),
        None => (body, 0),
    };
    let (digits, shift) = hex_mantissa(mantissa)?;
    if digits.is_empty() {
        return Some(if negative { -F::ZERO } else { F::ZERO });
    }
    // The digits are at most 33, so exponents beyond twenty thousand overflow or vanish in every format read here.
    let exponent = exponent.saturating_add(shift).clamp(-20_000, 20_000);
    let text = format!("{}0x{digits}p{exponent}", if negative { "-" } else { "" });
    let value = F::from_str_r(&text, Round::NearestTiesToEven).ok()?.value;
    (value.is_finite() && !value.is_zero()).then_some(value)
}

/// The binary exponent after `p`: an optional sign and at least one digit, saturating.
fn hex_exponent(b: &[u8]) -> Option<i64> {
    let (negative, digits) = split_sign(b);
    if digits.is_empty() {
        return None;
    }
    let mut value = 0i64;
    for &byte in digits {
        value = value.saturating_mul(10).saturating_add(i64::from(decimal_digit(byte)?));
    }
    Some(if negative { -value } else { value })
}

/// The significant digits of a hexadecimal mantissa as an integer, and the binary exponent that scales it. At most 32 digits are
/// kept, and a `1` stands for any others that are not zero: more than any format holds, so rounding is unchanged.
fn hex_mantissa(b: &[u8]) -> Option<(String, i64)> {
    const KEPT: usize = 32;
    let (mut digits, mut shift) = (String::new(), 0i64);
    let (mut seen_digit, mut seen_dot, mut sticky) = (false, false, false);
    for &byte in b {
        if byte == b'.' && !seen_dot {
            seen_dot = true;
            continue;
        }
        if !byte.is_ascii_hexdigit() {
            return None;
        }
        seen_digit = true;
        let kept = digits.len() < KEPT;
        if kept && (byte != b'0' || !digits.is_empty()) {
            digits.push(char::from(byte));
        }
        sticky |= !kept && byte != b'0';
        // A digit kept after the dot scales down, one dropped before it scales up.
        shift += 4 * (i64::from(!kept) - i64::from(seen_dot));
    }
    if sticky {
        digits.push('1');
        shift -= 4;
    }
    seen_digit.then_some((digits, shift))
}

/// Appends the decimal text of `v`.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, v: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
}

/// Appends the decimal text of `v`.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(v).as_bytes());
}

/// Appends the text of a double as replies carry it: the fewest digits that read back as `v`, without exponent where that stays
/// short, and `inf`, `-inf`, `nan`, `-0`.
///
/// Redis prints digits with Grisu2, which in about one case of a thousand gives a digit too many or not the closest
/// (`9150000000000001000000` for 9.15e21); here the digits are always the shortest and closest.
pub fn write_f64(out: &mut Vec<u8>, v: f64) {
    if v.abs() <= INTEGER_TEXT_LIMIT && v == v.trunc() && !(v == 0.0 && v.is_sign_negative()) {
        return write_i64(out, v as i64);
    }
    write_f64_shortest(out, v);
}

/// The same with as few digits for whole numbers too: `1e+8`.
pub fn write_f64_shortest(out: &mut Vec<u8>, v: f64) {
    if v.is_sign_negative() && !v.is_nan() {
        out.push(b'-');
    }
    match v.abs() {
        _ if v.is_nan() => out.extend_from_slice(b"nan"),
        f64::INFINITY => out.extend_from_slice(b"inf"),
        0.0 => out.push(b'0'),
        magnitude => Shortest::of(magnitude).write(out),
    }
}

/// A positive double as `digits x 10^exponent`, with no zero at either end of the digits.
struct Shortest {
    digits: [u8; 24],
    len: usize,
    exponent: i32,
}

impl Shortest {
    /// Takes apart the text `ryu` prints; `v` is finite and above zero.
    fn of(v: f64) -> Self {
        let mut buffer = ryu::Buffer::new();
        let text = buffer.format_finite(v).as_bytes();
        let e_at = text.iter().position(|&byte| byte == b'e').unwrap_or(text.len());
        let mut this = Shortest { digits: [0; 24], len: 0, exponent: 0 };
        let mut after_dot = false;
        for &byte in &text[..e_at] {
            if byte == b'.' {
                after_dot = true;
                continue;
            }
            this.exponent -= i32::from(after_dot);
            if this.len > 0 || byte != b'0' {
                this.digits[this.len] = byte;
                this.len += 1;
            }
        }
        while this.len > 1 && this.digits[this.len - 1] == b'0' {
            this.len -= 1;
            this.exponent += 1;
        }
        let power = text.get(e_at + 1..).and_then(parse_i64).unwrap_or(0);
        this.exponent += power as i32;
        this
    }

    /// Prints in the layout Redis chooses: plain while few zeros are needed, else scientific with a signed exponent.
    fn write(&self, out: &mut Vec<u8>) {
        let (digits, exponent) = (&self.digits[..self.len], self.exponent);
        let count = self.len as i32;
        let scientific = exponent + count - 1;
        if exponent >= 0 && scientific < count + 7 {
            out.extend_from_slice(digits);
            out.resize(out.len() + exponent as usize, b'0');
        } else if exponent < 0 && (exponent > -7 || scientific.abs() < 4) {
            write_fraction(out, digits, count + exponent);
        } else {
            out.push(digits[0]);
            if count > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.extend_from_slice(if scientific < 0 { b"e-" } else { b"e+" });
            write_i64(out, i64::from(scientific.abs()));
        }
    }
}

/// Prints `digits` with the decimal point after the first `point` of them; when `point` is not positive, zeros lead.
fn write_fraction(out: &mut Vec<u8>, digits: &[u8], point: i32) {
    if point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        let (whole, fraction) = digits.split_at(point as usize);
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

/// An 80-bit x87 extended double, the `long double` in which Redis on x86 computes INCRBYFLOAT and HINCRBYFLOAT: 64 bits of
/// precision, so sums such as 0.1 + 0.2 print without the noise a plain double would show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LongDouble(X87DoubleExtended);

impl LongDouble {
    /// Reads what C's `strtold` reads in full, in at most 5,119 bytes: decimals, hexadecimal floats, infinities in any case.
    ///
    /// Refused: nothing at all, leading or trailing bytes of any kind, NaN, overflow, and a number other than zero that rounds
    /// to zero.
    pub fn parse(b: &[u8]) -> Option<Self> {
        if b.len() > LONG_DOUBLE_TEXT_MAX {
            return None;
        }
        let Some(rough) = std_float(b) else {
            return parse_hex(b).map(Self);
        };
        if spells_infinity(b) {
            let infinity = X87DoubleExtended::INFINITY;
            return Some(Self(if rough < 0.0 { -infinity } else { infinity }));
        }
        // The standard library vouches for the grammar, of which only the spelled NaN remains to be refused.
        if rough.is_nan() {
            return None;
        }
        let text = std::str::from_utf8(b).ok()?;
        let value = X87DoubleExtended::from_str_r(text, Round::NearestTiesToEven).ok()?.value;
        (value.is_finite() && (!value.is_zero() || is_decimal_zero(b))).then_some(Self(value))
    }

    /// Whether the value is a number that can be printed in digits, as opposed to a spelled infinity.
    pub fn is_finite(self) -> bool {
        self.0.is_finite()
    }

    /// The sum, rounded to nearest with ties to even; `None` when it is infinite or not a number.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let sum = (self.0 + other.0).value;
        sum.is_finite().then_some(Self(sum))
    }

    /// A thousand times the value, rounded up to an integer; the nearest there is if it is beyond 64 bits.
    pub fn thousandfold_up(self) -> i64 {
        let thousand = X87DoubleExtended::from_u128(1000).value;
        // Where the product does not fit, the conversion gives the limit on its side.
        (self.0 * thousand).value.to_i128_r(64, Round::TowardPositive, &mut false).value as i64
    }

    /// The value with 17 decimals, correctly rounded, without trailing zeros; never `-0`, never an exponent. Up to 4,933
    /// digits for the largest values, at a cost quadratic in their number (a fraction of a millisecond).
    pub fn to_text(self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.0.is_finite() {
            let v = if self.0.is_nan() { f64::NAN } else { f64::INFINITY };
            write_f64(&mut out, if self.0.is_negative() { -v } else { v });
            return out;
        }
        let bits = self.0.to_bits();
        let significand = bits as u64;
        // The exponent of the significand taken as an integer; denormals share the smallest normal exponent.
        let biased = ((bits >> 64) & 0x7fff) as i32;
        let exponent = biased.max(1) - 16_383 - 63;
        if self.0.is_negative() {
            out.push(b'-');
        }
        if exponent > 0 {
            write_shifted(&mut out, significand, exponent as u32);
        } else {
            write_17_decimals(&mut out, significand, exponent.unsigned_abs());
        }
        if out == b"-0" {
            out.remove(0);
        }
        out
    }
}

/// Prints `significand / 2^shift` to 17 decimals, rounding half to even, and drops trailing zeros and a bare point.
fn write_17_decimals(out: &mut Vec<u8>, significand: u64, shift: u32) {
    const SCALE: u128 = 100_000_000_000_000_000;
    // 64 + 57 bits: the product cannot overflow, and a shift past that leaves less than half of the last decimal.
    let scaled = u128::from(significand) * SCALE;
    let rounded = if shift > 121 { 0 } else { shift_half_even(scaled, shift) };
    write_u64(out, (rounded / SCALE) as u64);
    let fraction = rounded % SCALE;
    if fraction != 0 {
        let text = format!(".{fraction:017}");
        out.extend_from_slice(text.trim_end_matches('0').as_bytes());
    }
}

/// `value / 2^shift` rounded to nearest, ties to even; `value` below 2^121 and `shift` at most 121.
fn shift_half_even(value: u128, shift: u32) -> u128 {
    let quotient = value >> shift;
    let twice_remainder = (value - (quotient << shift)) << 1;
    let unit = 1 << shift;
    quotient + u128::from(twice_remainder > unit || (twice_remainder == unit && quotient % 2 == 1))
}

/// Prints `significand x 2^shift` in full, by shifting a decimal number of nine-digit limbs, least significant first.
fn write_shifted(out: &mut Vec<u8>, significand: u64, shift: u32) {
    const LIMB: u64 = 1_000_000_000;
    // A limb has 30 bits, so it may be shifted by 34 at a time.
    const STEP: u32 = 34;
    let mut limbs = vec![significand % LIMB, significand / LIMB % LIMB, significand / LIMB / LIMB];
    let mut left = shift;
    while left > 0 {
        let step = left.min(STEP);
        let mut carry = 0;
        for limb in &mut limbs {
            let wide = (*limb << step) + carry;
            *limb = wide % LIMB;
            carry = wide / LIMB;
        }
        while carry > 0 {
            limbs.push(carry % LIMB);
            carry /= LIMB;
        }
        left -= step;
    }
    let text: String = limbs.iter().rev().map(|limb| format!("{limb:09}")).collect();
    let digits = text.trim_start_matches('0');
    out.extend_from_slice(if digits.is_empty() { b"0" } else { digits.as_bytes() });
}

/// Reads a size of redis.conf in bytes: digits and an optional unit in any case, where `k`, `m`, `g` are powers of 1000, `kb`,
/// `mb`, `gb` powers of 1024, and `b` is one. No digits mean zero.
///
/// Refused: any sign, space, fraction or other unit, and more than 127 digits, all as Redis; and, unlike Redis which
/// would wrap around to some other size, what does not fit a `u64`.
pub fn parse_memory(b: &[u8]) -> Option<u64> {
    let digits = b.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > MEMORY_DIGITS_MAX {
        return None;
    }
    let (number, unit) = b.split_at(digits);
    let multiplier = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let significant = &number[number.iter().take_while(|&&byte| byte == b'0').count()..];
    let value = if significant.is_empty() { 0 } else { parse_u64(significant)? };
    value.checked_mul(multiplier)
}

/// Takes off one leading sign: whether it was a minus, and the rest.
fn split_sign(b: &[u8]) -> (bool, &[u8]) {
    match b {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, b),
    }
}

/// The bytes up to the first NUL, where a C string would end.
fn before_nul(b: &[u8]) -> &[u8] {
    memchr::memchr(0, b).map_or(b, |at| &b[..at])
}

/// C's `isspace` in the "C" locale.
fn is_c_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// Random text over an alphabet, long enough to be interesting and short enough to be valid now and then.
    fn text_of(prng: &mut Prng, alphabet: &[u8], len_max: u64) -> Vec<u8> {
        (0..prng.below(len_max + 1)).map(|_| *prng.pick(alphabet).unwrap()).collect()
    }

    fn f64_text(v: f64) -> String {
        let mut out = Vec::new();
        write_f64(&mut out, v);
        String::from_utf8(out).unwrap()
    }

    fn trimmed_17_decimals(v: f64) -> String {
        let text = format!("{v:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if text == "-0" { "0".to_string() } else { text.to_string() }
    }

    #[test]
    fn integers_are_canonical() {
        for good in [0, 1, -1, 10, -10, 99, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1] {
            assert_eq!(parse_i64(good.to_string().as_bytes()), Some(good));
        }
        let refused: [&[u8]; 18] = [
            b"",
            b"-",
            b"+",
            b"+1",
            b"01",
            b"-01",
            b"00",
            b"-0",
            b" 1",
            b"1 ",
            b"1.0",
            b"1e3",
            b"--1",
            b"0x1",
            b"1\0",
            b"9223372036854775808",
            b"-9223372036854775809",
            b"100000000000000000000000",
        ];
        for text in refused {
            assert_eq!(parse_i64(text), None, "{text:?}");
        }
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_u64(b"18446744073709551616"), None);
        assert_eq!(parse_u64(b"184467440737095516150"), None);
        assert_eq!(parse_u64(b"-1"), None);
    }

    /// The twin: the standard library's reading, kept only when printing it gives the text back.
    #[test]
    fn integers_match_the_standard_library() {
        let mut prng = Prng::seeded(1);
        for round in 0..100_000u64 {
            let text = match round % 3 {
                0 => text_of(&mut prng, b"0123456789-+ ", 21),
                1 => text_of(&mut prng, b"0123456789", 21),
                _ => ((prng.next_u64() as i64) >> prng.below(64)).to_string().into_bytes(),
            };
            let shown = std::str::from_utf8(&text).unwrap();
            let signed = shown.parse::<i64>().ok().filter(|v| v.to_string() == shown);
            let unsigned = shown.parse::<u64>().ok().filter(|v| v.to_string() == shown);
            assert_eq!((parse_i64(&text), parse_u64(&text)), (signed, unsigned), "{shown:?}");
            let (Some(signed), mut out) = (signed, Vec::new()) else { continue };
            write_i64(&mut out, signed);
            assert_eq!(out, text);
        }
    }

    /// Rows tried on Redis 8.2.
    #[test]
    fn cursors_are_read_as_strtoull_would() {
        let rows: [(&[u8], Option<u64>); 22] = [
            (b"0", Some(0)),
            (b"17", Some(17)),
            (b"+5", Some(5)),
            (b"007", Some(7)),
            (b"-0", Some(0)),
            (b"-05", Some(5u64.wrapping_neg())),
            (b" 5", Some(5)),
            (b"\x0b5", Some(5)),
            (b"5\x006", Some(5)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"-18446744073709551615", Some(1)),
            (b"-9223372036854775809", Some(9_223_372_036_854_775_807)),
            (b"-1", None),
            (b"-9223372036854775808", None),
            (b"18446744073709551616", None),
            (b"-18446744073709551616", None),
            (b"", None),
            (b"\0", None),
            (b"5 ", None),
            (b"+", None),
            (b"+-5", None),
            (b"0x5", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_cursor(text), expected, "{text:?}");
        }
    }

    /// Rows tried on Redis 8.2 with ZADD.
    #[test]
    fn doubles_accept_what_strtod_accepts() {
        let accepted = [
            ("1", 1.0),
            ("+1", 1.0),
            ("00012", 12.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("+.5", 0.5),
            ("1.e5", 1e5),
            ("1E+5", 1e5),
            ("-.5e1", -5.0),
            ("1e0005", 1e5),
            ("0e-999", 0.0),
            ("5e-324", 5e-324),
            ("3e-324", 5e-324),
            ("1e-320", 1e-320),
            ("1.7976931348623157e308", f64::MAX),
            ("18446744073709551617", 18_446_744_073_709_551_616.0),
            ("inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-INF", f64::NEG_INFINITY),
            ("-Infinity", f64::NEG_INFINITY),
            ("0x10", 16.0),
            ("0x1p3", 8.0),
            ("-0x1p3", -8.0),
            ("0X1P-2", 0.25),
            ("0x.8", 0.5),
            ("0x1.8p+1", 3.0),
            ("0x0p99999999999999999999", 0.0),
            ("0x1p-1074", 5e-324),
            ("0x1.8p-1075", 5e-324),
            ("0x1.fffffffffffff7p1023", f64::MAX),
            ("0x1.00000000000008", 1.0),
            ("0x1.0000000000000800000000000000000000000001", 1.0 + f64::EPSILON),
        ];
        for (text, expected) in accepted {
            assert_eq!(parse_f64(text.as_bytes()), Some(expected), "{text}");
        }
        assert!(parse_f64(b"-0").is_some_and(|v| v == 0.0 && v.is_sign_negative()));
        assert!(parse_f64(b"-0x0").is_some_and(|v| v == 0.0 && v.is_sign_negative()));
        let refused = [
            "",
            ".",
            " 1",
            "1 ",
            "\t1",
            "1\0",
            "\x001",
            "1e",
            "1e+",
            ".e5",
            "+-1",
            "--1",
            "1d",
            "1_0",
            "infinit",
            "infx",
            "nan",
            "-nan",
            "NAN",
            "nan(1)",
            "0x",
            "0x.",
            "0x1p",
            "0x1p+",
            "0x1.1.1",
            "0xg",
            "0x1p1x",
            "1e400",
            "-1e400",
            "1e-400",
            "2e-324",
            "1.7976931348623159e308",
            "1e99999999999999999999",
            "0x1p1024",
            "0x1.fffffffffffff8p1023",
            "0x1p-1075",
            "0x1p99999999999999999999",
            "0x1p-99999999999999999999",
            "é",
        ];
        for text in refused {
            assert_eq!(parse_f64(text.as_bytes()), None, "{text:?}");
        }
    }

    /// The twin: a mantissa that fits a double, scaled by an exact power of two.
    #[test]
    fn hexadecimal_floats_match_scaling() {
        let mut prng = Prng::seeded(2);
        for _ in 0..20_000 {
            let mantissa = prng.next_u64() >> (11 + prng.below(53));
            let exponent = prng.below(1_800) as i32 - 900;
            let expected = mantissa as f64 * 2f64.powi(exponent);
            let digits = format!("{mantissa:x}");
            let (whole, fraction) = digits.split_at(prng.below(digits.len() as u64 + 1) as usize);
            let written = exponent + 4 * fraction.len() as i32;
            for text in [format!("0x{digits}p{exponent}"), format!("+0X00{whole}.{fraction}000P{written}")] {
                assert_eq!(parse_f64(text.as_bytes()), Some(expected), "{text}");
                assert_eq!(LongDouble::parse(text.as_bytes()), Some(LongDouble::from(expected)), "{text}");
            }
        }
    }

    /// Hostile text: no parser panics, and what a parser of doubles accepts, the extended one accepts too.
    #[test]
    fn no_text_panics_a_parser() {
        let mut prng = Prng::seeded(3);
        for _ in 0..100_000 {
            let text = text_of(&mut prng, b"0019.eE+-xXpPinfatyNA( \0\xff", 9);
            let _ = (parse_cursor(&text), parse_memory(&text), parse_score_bound(&text));
            let extended = LongDouble::parse(&text);
            assert!(parse_f64(&text).is_none() || extended.is_some(), "{text:?}");
            let _ = extended.map(LongDouble::to_text);
        }
    }

    /// Rows tried on Redis 8.2 with ZRANGEBYSCORE.
    #[test]
    fn score_bounds_have_their_own_rules() {
        let rows: [(&[u8], Option<f64>); 14] = [
            (b"", Some(0.0)),
            (b"\x005", Some(0.0)),
            (b"1\x002", Some(1.0)),
            (b"+1", Some(1.0)),
            (b".5", Some(0.5)),
            (b"1e400", Some(f64::INFINITY)),
            (b"-1e400", Some(f64::NEG_INFINITY)),
            (b"1e-400", Some(0.0)),
            (b"+inf", Some(f64::INFINITY)),
            (b"nan", None),
            (b" 1", None),
            (b"0x1", None),
            (b"1e", None),
            (b"-", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_score_bound(text), expected, "{text:?}");
        }
    }

    /// Rows printed by Redis 8.2 with ZINCRBY.
    #[test]
    fn doubles_print_as_redis_prints_them() {
        let rows = [
            ("0", "0"),
            ("-0", "-0"),
            ("inf", "inf"),
            ("-inf", "-inf"),
            ("100", "100"),
            ("3.14", "3.14"),
            ("-2.5", "-2.5"),
            ("1e16", "10000000000000000"),
            ("4611686018427387904", "4611686018427387904"),
            ("4611686018427388928", "4611686018427389000"),
            ("9223372036854775808", "9223372036854776000"),
            ("1e18", "1000000000000000000"),
            ("1e20", "1e+20"),
            ("123456789012345678901", "123456789012345680000"),
            ("1.5e22", "1.5e+22"),
            ("1e100", "1e+100"),
            ("-1.5e300", "-1.5e+300"),
            ("1.7976931348623157e308", "1.7976931348623157e+308"),
            ("0.1", "0.1"),
            ("0.001", "0.001"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("-0.0000001", "-1e-7"),
            ("0.0000015", "1.5e-6"),
            ("0.000012345", "1.2345e-5"),
            ("0.00012345678", "1.2345678e-4"),
            ("12345.678901", "12345.678901"),
            ("-123456.789", "-123456.789"),
            ("12345678.12345678", "1.234567812345678e+7"),
            ("99999999.99", "99999999.99"),
            ("33.333333333333336", "33.333333333333336"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("5e-324", "5e-324"),
            ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ];
        for (text, expected) in rows {
            assert_eq!(f64_text(parse_f64(text.as_bytes()).unwrap()), expected);
        }
        assert_eq!(f64_text(f64::NAN), "nan");
    }

    /// The twin: as many digits as the standard library's shortest text has, correctly rounded (its shortest text itself settles
    /// exact ties otherwise), compared free of layout; and what is printed reads back.
    #[test]
    fn doubles_print_the_shortest_digits_that_read_back() {
        let significant = |text: &str| -> String {
            let mantissa = text.split('e').next().unwrap().replace(['.', '-'], "");
            mantissa.trim_start_matches('0').trim_end_matches('0').to_string()
        };
        let mut prng = Prng::seeded(4);
        for round in 0..50_000u64 {
            let v = match round % 3 {
                0 => f64::from_bits(prng.next_u64()),
                1 => prng.below(1 << 40) as f64 / 10f64.powi(prng.below(15) as i32),
                _ => prng.next_u64() as f64 * 10f64.powi(prng.below(60) as i32 - 30),
            };
            if v.is_nan() {
                continue;
            }
            let text = f64_text(v);
            assert_eq!(parse_f64(text.as_bytes()), Some(v), "{text}");
            if v.abs() > INTEGER_TEXT_LIMIT || v.fract() != 0.0 {
                let count = significant(&format!("{v:e}")).len();
                assert_eq!(significant(&text), significant(&format!("{v:.*e}", count - 1)), "{v:e}");
            }
        }
    }

    /// Rows computed by Redis 8.2 with SET and INCRBYFLOAT.
    #[test]
    fn extended_sums_print_as_redis_prints_them() {
        let rows = [
            ("0.1", "0.2", "0.3"),
            ("3.0e3", "200", "3200"),
            ("10.50", "0.1", "10.6"),
            ("5.0e3", "2.0e2", "5200"),
            ("1", "-1", "0"),
            ("-0", "-0", "0"),
            ("1.1", "-1.1", "0"),
            ("0.3", "-0.1", "0.2"),
            ("1e-17", "0", "0.00000000000000001"),
            ("5e-18", "0", "0"),
            ("-4e-18", "0", "0"),
            ("1.5e-17", "0", "0.00000000000000002"),
            ("0x1p-58", "0", "0"),
            ("0x1.8p-57", "0", "0.00000000000000001"),
            ("0x10", "0.5", "16.5"),
            ("9007199254740993", "0", "9007199254740993"),
            ("9223372036854775807", "1", "9223372036854775808"),
            ("18446744073709551615", "0.5", "18446744073709551616"),
            ("18446744073709551615", "0.4", "18446744073709551615"),
            ("-9223372036854775808", "-0.5", "-9223372036854775808"),
            ("0.99999999999999999", "0", "0.99999999999999999"),
            ("0.999999999999999999", "0", "1"),
            ("99.99", "0.01", "100"),
            ("3.14159265358979323846", "0", "3.14159265358979324"),
            ("1e20", "1", "100000000000000000000"),
            ("1e22", "0.25", "10000000000000000000000"),
            ("123456789.123456789", "987654321.987654321", "1111111111.11111110995989293"),
            ("1e-4950", "1", "1"),
            (".5", "5.", "5.5"),
            ("+2", "-3.25", "-1.25"),
            ("1e40", "0", "9999999999999999999783686092270256259072"),
        ];
        for (a, b, expected) in rows {
            let sum = |a: &str, b: &str| {
                LongDouble::parse(a.as_bytes())?.checked_add(LongDouble::parse(b.as_bytes())?).map(LongDouble::to_text)
            };
            assert_eq!(sum(a, b).as_deref(), Some(expected.as_bytes()), "{a} + {b}");
            assert_eq!(sum(b, a).as_deref(), Some(expected.as_bytes()), "{b} + {a}");
        }
    }

    #[test]
    fn extended_doubles_have_limits() {
        let parse = |text: &str| LongDouble::parse(text.as_bytes());
        for refused in [
            "",
            " 1",
            "1 ",
            "nan",
            "-NAN",
            "1e",
            "0x",
            "1\0",
            "1.2e4932",
            "1e99999999999999999999",
            "1.8e-4951",
            "1e-99999999999999999999",
            "0x1p16384",
            "0x1p-16446",
        ] {
            assert_eq!(parse(refused), None, "{refused:?}");
        }
        for accepted in ["1.18e4932", "1.9e-4951", "0x1p16383", "0x1p-16445", "0e99999999999999999999"] {
            assert!(parse(accepted).is_some_and(LongDouble::is_finite), "{accepted}");
        }
        assert!(parse(&"0".repeat(LONG_DOUBLE_TEXT_MAX)).is_some());
        assert!(parse(&"0".repeat(LONG_DOUBLE_TEXT_MAX + 1)).is_none());

        let infinity = parse("inf").unwrap();
        assert!(!infinity.is_finite());
        assert_eq!(infinity.to_text(), b"inf");
        assert_eq!(parse("-Infinity").unwrap().to_text(), b"-inf");
        assert_eq!(infinity.checked_add(parse("1").unwrap()), None);
        assert_eq!(infinity.checked_add(parse("-inf").unwrap()), None);
        let huge = parse("1.18e4932").unwrap();
        assert_eq!(huge.checked_add(huge), None);
        let text = parse("1e4932").unwrap().to_text();
        assert_eq!(text.len(), 4_933);
        assert!(text.starts_with(b"10000000000000000000060189493879638913238377742545"));
    }

    /// The twin: the standard library prints doubles exactly at any precision, and every double and `i64` is an extended double.
    #[test]
    fn extended_text_matches_the_standard_library() {
        let mut prng = Prng::seeded(5);
        for round in 0..20_000u64 {
            let v = match round % 3 {
                0 => f64::from_bits(prng.next_u64()),
                // Few bits below the 17th decimal make exact ties likely.
                1 => prng.below(1 << 20) as f64 / 2f64.powi(prng.below(80) as i32),
                _ => -(prng.below(1 << 50) as f64) / 10f64.powi(prng.below(20) as i32),
            };
            if v.is_finite() {
                assert_eq!(LongDouble::from(v).to_text(), trimmed_17_decimals(v).into_bytes(), "{v:e}");
            }
            let integer = prng.next_u64() as i64;
            assert_eq!(LongDouble::from(integer).to_text(), integer.to_string().into_bytes());
            assert_eq!(LongDouble::parse(integer.to_string().as_bytes()), Some(LongDouble::from(integer)));
        }
    }

    /// Rows tried on Redis 8.2 with CONFIG SET, but for the overflows.
    #[test]
    fn memory_sizes_have_units() {
        let rows: [(&[u8], Option<u64>); 27] = [
            (b"0", Some(0)),
            (b"1", Some(1)),
            (b"1b", Some(1)),
            (b"1k", Some(1_000)),
            (b"1Kb", Some(1_024)),
            (b"007k", Some(7_000)),
            (b"1m", Some(1_000_000)),
            (b"1MB", Some(1_048_576)),
            (b"1g", Some(1_000_000_000)),
            (b"1gB", Some(1_073_741_824)),
            (b"", Some(0)),
            (b"kb", Some(0)),
            (b"18446744073709551615", Some(u64::MAX)),
            (b"18446744073709551616", None),
            (b"17179869183gb", Some(17_179_869_183 << 30)),
            (b"17179869184gb", None),
            (b"-1", None),
            (b"-0", None),
            (b"+1kb", None),
            (b" 1", None),
            (b"1 kb", None),
            (b"1kb ", None),
            (b"1.5gb", None),
            (b"0x10", None),
            (b"1t", None),
            (b"1bb", None),
            (b"50%", None),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_memory(text), expected, "{text:?}");
        }
        let padded = |zeros: usize| parse_memory(format!("{}1", "0".repeat(zeros)).as_bytes());
        assert_eq!(padded(126), Some(1));
        assert_eq!(padded(127), None);
    }
}
