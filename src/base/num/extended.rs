//! Extended doubles made of other numbers, compared and limited.

use std::cmp::Ordering;

use rustc_apfloat::ieee::{Double, X87DoubleExtended};
use rustc_apfloat::{Float, FloatConvert, Round};

use super::LongDouble;

impl From<f64> for LongDouble {
    /// Exact: every double is an extended double.
    fn from(v: f64) -> Self {
        let mut inexact = false;
        Self(Double::from_bits(u128::from(v.to_bits())).convert(&mut inexact).value)
    }
}

impl From<i64> for LongDouble {
    /// Exact: 64 bits of precision hold every `i64`.
    fn from(v: i64) -> Self {
        Self(X87DoubleExtended::from_i128(i128::from(v)).value)
    }
}

impl PartialOrd for LongDouble {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.0.partial_cmp(&other.0)
    }
}

impl LongDouble {
    /// The largest that is finite.
    pub fn largest() -> Self {
        Self(X87DoubleExtended::largest())
    }

    /// The integer that is left without the fraction, if it is one of 64 bits.
    pub fn without_fraction(self) -> Option<i64> {
        if !self.is_finite() {
            return None;
        }
        // A number beyond 128 bits becomes the limit on its side, which is beyond 64 bits too.
        i64::try_from(self.0.to_i128_r(128, Round::TowardZero, &mut false).value).ok()
    }

    /// The number on the other side of zero.
    pub fn negated(self) -> Self {
        Self(-self.0)
    }

    /// The sum, rounded to nearest with ties to even, be it infinite; `None` when it is not a number.
    pub fn add_or_overflow(self, other: Self) -> Option<Self> {
        let sum = (self.0 + other.0).value;
        (!sum.is_nan()).then_some(Self(sum))
    }

    /// The number, or the nearest between two limits, of which `lower` is not above `upper`.
    pub fn limited(self, lower: Self, upper: Self) -> Self {
        if self < lower {
            lower
        } else if self > upper {
            upper
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> LongDouble {
        LongDouble::parse(text.as_bytes()).expect("a number")
    }

    #[test]
    fn limits_are_kept() {
        let (lower, upper) = (parse("-1.5"), parse("2"));
        for (number, expected) in [("-inf", "-1.5"), ("-1.5", "-1.5"), ("0.25", "0.25"), ("2.0001", "2"), ("inf", "2")]
        {
            assert_eq!(parse(number).limited(lower, upper), parse(expected), "{number}");
        }
    }

    #[test]
    fn fractions_are_cut_off() {
        let cases = [
            ("0.99999999999999999", Some(0)),
            ("-0.5", Some(0)),
            ("-7.9", Some(-7)),
            ("9223372036854775807.5", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("1e4900", None),
            ("-1e40", None),
            ("inf", None),
        ];
        for (number, expected) in cases {
            assert_eq!(parse(number).without_fraction(), expected, "{number}");
        }
    }

    #[test]
    fn sums_overflow_to_infinity_and_the_difference_of_infinities_is_none() {
        let largest = LongDouble::largest();
        assert!(largest.is_finite());
        assert_eq!(largest.add_or_overflow(largest), Some(parse("inf")));
        assert_eq!(largest.negated().add_or_overflow(largest.negated()), Some(parse("-inf")));
        assert_eq!(largest.add_or_overflow(largest.negated()), Some(LongDouble::from(0i64)));
        assert_eq!(parse("inf").add_or_overflow(parse("-inf")), None);
    }
}
