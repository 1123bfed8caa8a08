//! Quoted words: the syntax of inline commands and of redis.conf lines, and the printing of bytes in that syntax.
//!
//! Invariant: what [`repr`] prints, [`split_args`] reads back as one word of the same bytes. Nothing here panics on any input.
//!
//! Called by the request parser for inline commands, by the configuration for its files, and by MONITOR and diagnostics.
//! Refuses to know what the words mean: comments and directive names are the caller's.

/// Splits a line into words at white space. A word may hold parts in double quotes, with the escapes `\n \r \t \b \a \xHH` and a
/// backslash before any other byte giving that byte, and parts in single quotes, with `\'` the only escape.
///
/// `None` when a quote is left open or its end is followed by anything but white space. The line ends at a NUL, if it has one.
/// An empty or blank line has no words.
pub fn split_args(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut rest = memchr::memchr(0, line).map_or(line, |at| &line[..at]);
    let mut words = Vec::new();
    loop {
        rest = &rest[rest.iter().take_while(|&&byte| is_space(byte)).count()..];
        if rest.is_empty() {
            return Some(words);
        }
        let mut word = Vec::new();
        rest = read_word(rest, &mut word)?;
        words.push(word);
    }
}

/// Reads a word up to the white space or quote that ends it, and gives what follows.
fn read_word<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        match rest {
            [] => return Some(rest),
            // Vertical tab and form feed separate words but do not end a bare one.
            [b' ' | b'\n' | b'\r' | b'\t', after @ ..] => return Some(after),
            [b'"', inside @ ..] => return read_double(inside, word).and_then(closed),
            [b'\'', inside @ ..] => return read_single(inside, word).and_then(closed),
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
        }
    }
}

/// What follows a closing quote, provided it is white space or nothing.
fn closed(after: &[u8]) -> Option<&[u8]> {
    after.first().is_none_or(|&byte| is_space(byte)).then_some(after)
}

/// Reads up to and including the closing double quote.
fn read_double<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'x', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                (hex_digit(*high) << 4 | hex_digit(*low), after)
            }
            [b'\\', escaped, after @ ..] => (unescape(*escaped), after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

/// Reads up to and including the closing single quote.
fn read_single<'a>(mut rest: &'a [u8], word: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (byte, after) = match rest {
            [b'\'', after @ ..] => return Some(after),
            [b'\\', b'\'', after @ ..] => (b'\'', after),
            [byte, after @ ..] => (*byte, after),
            [] => return None,
        };
        word.push(byte);
        rest = after;
    }
}

/// The value of a hexadecimal digit; the caller has checked that it is one.
fn hex_digit(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => byte - b'0',
        _ => (byte.to_ascii_lowercase() - b'a') + 10,
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// Appends `b` in double quotes, with everything outside printable ASCII escaped.
pub fn repr(out: &mut Vec<u8>, b: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in b {
        match byte {
            b'\\' | b'"' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x07 => out.extend_from_slice(b"\\a"),
            0x08 => out.extend_from_slice(b"\\b"),
            b' '..=b'~' => out.push(byte),
            _ => {
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out.extend_from_slice(b"\\x");
                out.extend_from_slice(&digits);
            }
        }
    }
    out.push(b'"');
}

/// C's `isspace` in the "C" locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// Rows tried on Redis 8.2 as inline commands.
    #[test]
    fn lines_split_into_words() {
        let rows: &[(&[u8], &[&[u8]])] = &[
            (b"", &[]),
            (b" \t\r\n", &[]),
            (b"get key", &[b"get", b"key"]),
            (b"  set\tk   v\r\n", &[b"set", b"k", b"v"]),
            (b"\"\" ''", &[b"", b""]),
            (b"\"a b\" 'c d'", &[b"a b", b"c d"]),
            (b"\"\\n\\r\\t\\b\\a\\q\\\\\\\"\"", &[b"\n\r\t\x08\x07q\\\""]),
            (b"\"\\x41\\xfF\\x4\\xzz\"", &[b"A\xffx4xzz"]),
            (b"'it\\'s' '\\n'", &[b"it's", b"\\n"]),
            (b"foo\"bar\"", &[b"foobar"]),
            (b"a\\nb", &[b"a\\nb"]),
            (b"a\x0bb \x0cc", &[b"a\x0bb", b"c"]),
            (b"\"a\"\x0bb", &[b"a", b"b"]),
            (b"a\0b c", &[b"a"]),
            (b"a \0\"", &[b"a"]),
        ];
        for (line, expected) in rows {
            let expected = expected.iter().map(|word| word.to_vec()).collect();
            assert_eq!(split_args(line), Some(expected), "{line:?}");
        }
        let unbalanced: &[&[u8]] = &[
            b"\"",
            b"'",
            b"\"a",
            b"'a",
            b"a \"b",
            b"\"a\"b",
            b"'a'b",
            b"\"a\"'b'",
            b"\"\\\"",
            b"'\\'",
            b"\"\\",
            b"\"a\0\"",
        ];
        for line in unbalanced {
            assert_eq!(split_args(line), None, "{line:?}");
        }
    }

    #[test]
    fn bytes_print_in_quotes() {
        let mut out = b"x=".to_vec();
        repr(&mut out, b"a\"b\\c\n\r\t\x07\x08\0\x1f\x7f\xff~ '");
        assert_eq!(out, b"x=\"a\\\"b\\\\c\\n\\r\\t\\a\\b\\x00\\x1f\\x7f\\xff~ '\"");
    }

    /// The twin of splitting is printing: any words, printed and joined, split into themselves.
    #[test]
    fn what_repr_prints_splits_back() {
        let mut prng = Prng::seeded(1);
        for round in 0..20_000u64 {
            let original: Vec<Vec<u8>> =
                (0..prng.below(4))
                    .map(|_| {
                        (0..prng.below(12))
                            .map(|_| {
                                if round % 2 == 0 { prng.next_u64() as u8 } else { *prng.pick(b"\\\"'xn4 \0").unwrap() }
                            })
                            .collect()
                    })
                    .collect();
            let mut line = Vec::new();
            for word in &original {
                repr(&mut line, word);
                line.push(b' ');
            }
            assert_eq!(split_args(&line), Some(original), "{line:?}");
        }
    }

    /// The twin: a state machine over one byte at a time with a sentinel at the end, in the manner of C.
    fn naive(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let at = |i: usize| line.get(i).copied().unwrap_or(0);
        let space = |byte: u8| b" \t\n\r\x0b\x0c".contains(&byte);
        let (mut i, mut found) = (0, Vec::new());
        loop {
            while space(at(i)) {
                i += 1;
            }
            if at(i) == 0 {
                return Some(found);
            }
            let (mut word, mut quote) = (Vec::new(), 0u8);
            loop {
                let byte = at(i);
                if quote != 0 && byte == 0 {
                    return None;
                } else if quote == b'"' && byte == b'\\' && at(i + 1) != 0 {
                    let hex =
                        std::str::from_utf8(&line[(i + 2).min(line.len())..(i + 4).min(line.len())]).unwrap_or("");
                    let digits = hex.len() == 2 && hex.bytes().all(|digit| digit.is_ascii_hexdigit());
                    if at(i + 1) == b'x' && digits {
                        word.push(u8::from_str_radix(hex, 16).unwrap());
                        i += 4;
                    } else {
                        let escapes = [(b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'b', 8), (b'a', 7)];
                        let escape = escapes.iter().find(|(name, _)| *name == at(i + 1));
                        word.push(escape.map_or(at(i + 1), |(_, value)| *value));
                        i += 2;
                    }
                } else if quote == b'\'' && byte == b'\\' && at(i + 1) == b'\'' {
                    word.push(b'\'');
                    i += 2;
                } else if quote != 0 && byte == quote {
                    i += 1;
                    if at(i) != 0 && !space(at(i)) {
                        return None;
                    }
                    break;
                } else if quote == 0 && (byte == 0 || b" \t\n\r".contains(&byte)) {
                    break;
                } else if quote == 0 && (byte == b'"' || byte == b'\'') {
                    quote = byte;
                    i += 1;
                } else {
                    word.push(byte);
                    i += 1;
                }
            }
            found.push(word);
        }
    }

    #[test]
    fn splitting_matches_naive() {
        let mut prng = Prng::seeded(2);
        let mut refused = 0;
        for _ in 0..200_000 {
            let line: Vec<u8> =
                (0..prng.below(12)).map(|_| *prng.pick(b"ab\"\"''\\\\x4fn  \t\x0b\0\xff").unwrap()).collect();
            let expected = naive(&line);
            refused += u32::from(expected.is_none());
            assert_eq!(split_args(&line), expected, "{line:?}");
        }
        assert!((20_000..180_000).contains(&refused), "{refused}");
    }
}
