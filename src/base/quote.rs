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
