//! Numbers as text: what is read, what is refused, what is printed.

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
