//! ZSCAN.

use crate::base::num;
use crate::command::scan::{self, Bucket, Scanned, Walk};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::reply::Reply;
use crate::server::ctx::Ctx;
use crate::store::types::zset::ZSet;

pub(super) fn zscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    scan::scan_key::<ZSet>(ctx, args, Walk::Scores)
}

impl Scanned for ZSet {
    fn scan_bucket(&self, cursor: u64, options: &scan::Options<'_>, _due_ms: i64, reply: &mut Reply<'_>) -> Bucket {
        let (packed, mut text, mut bucket) = (self.as_pack().is_some(), Vec::with_capacity(32), Bucket::default());
        bucket.next = self.scan(cursor, |member, score| {
            (bucket.seen, bucket.bytes) = (bucket.seen + 1, bucket.bytes + member.len());
            if options.matches(member) {
                reply.bulk(member);
                bucket.found += 1;
                if options.names_only {
                    return;
                }
                text.clear();
                // Redis shows the scores of listpacks as they are held, and others with all their digits.
                if packed {
                    num::write_f64(&mut text, score)
                } else {
                    write_all_digits(&mut text, score)
                }
                reply.bulk(&text);
                bucket.found += 1;
            }
        });
        bucket
    }
}

/// Appends the text of a double with all 17 digits that it takes to tell it from any other, trailing zeros left out: C's
/// `%.17g`. This is how Redis prints the scores of ZSCAN.
fn write_all_digits(out: &mut Vec<u8>, v: f64) {
    const DIGITS: i32 = 17;
    if !v.is_finite() || v == 0.0 {
        return num::write_f64(out, v);
    }
    let text = format!("{v:.*e}", DIGITS as usize - 1);
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the exponent is an integer");
    if (-4..DIGITS).contains(&exponent) {
        let text = format!("{v:.*}", (DIGITS - 1 - exponent) as usize);
        return out.extend_from_slice(without_zeros(&text).as_bytes());
    }
    out.extend_from_slice(without_zeros(mantissa).as_bytes());
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("e{sign}{:02}", exponent.abs()).as_bytes());
}

/// Text of a decimal without zeros at the end of its fraction.
fn without_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_digits_of_a_double_are_those_of_printf() {
        for (v, text) in [
            (0.1, "0.10000000000000001"),
            (0.3, "0.29999999999999999"),
            (-1.5, "-1.5"),
            (3.0, "3"),
            (-0.0, "-0"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e20, "1.5e+20"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            write_all_digits(&mut out, v);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
