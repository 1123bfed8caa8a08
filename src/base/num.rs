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
mod tests;
