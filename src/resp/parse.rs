//! The request parser: arrays of bulk strings and inline commands, without copying and without starting over.
//!
//! The parser is fed the bytes from a command's first byte on. When the command is whole, its arguments lie in the
//! caller's span list; when it is not, the parser remembers how far it came (in offsets, so the bytes may move), and
//! the next call with more bytes goes on there. No byte is looked at twice, however small the pieces.
//!
//! # Invariants
//! - Between calls for one command the bytes already given stay the same.
//! - `State::Args` counts: spans found so far + `left` = the announced number of arguments.
//!
//! Limits and error texts are Redis's (`networking.c`, `processInlineBuffer` and `processMultibulkBuffer`).

use memchr::memchr;

use super::args::Span;
use super::error::ProtocolError;
use crate::base::{num, quote};

/// Longest line: an inline command, an argument count, an argument length.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Arguments allowed before authentication.
const UNAUTHENTICATED_ARGS_MAX: i64 = 10;
/// Bytes of an argument allowed before authentication.
const UNAUTHENTICATED_BULK_MAX: i64 = 16 * 1024;
/// Arguments of one command.
const ARGS_MAX: i64 = i32::MAX as i64;

/// What a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, in bytes.
    pub bulk_bytes_max: i64,
    /// False while the client still has to authenticate.
    pub authenticated: bool,
}

/// How far the parser came.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole command of this many bytes; its arguments have been appended to the spans.
    Command(usize),
    /// An inline command: its arguments were unquoted into bytes of their own. The request took this many bytes.
    Inline(usize, Vec<Vec<u8>>),
    /// An empty request of this many bytes, to be skipped.
    Empty(usize),
    /// More bytes are needed; at least so many in all from the command's start are certain (0: unknown).
    Incomplete(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// Reading arguments from `at` on; `bulk` is the length of the argument whose bytes come next.
    Args { at: usize, left: u32, bulk: Option<u32> },
}

/// The parser's memory of a command that has not arrived in full.
#[derive(Debug, Default)]
pub struct Parser {
    state: State,
}

/// The number of a protocol line that starts at `at`, and the offset after the line: the quick way, for lines of one or
/// two digits that have arrived with their end, which is nearly every line. `None` sends the caller down the slow path.
#[inline]
fn quick_number(bytes: &[u8], at: usize) -> Option<(i64, usize)> {
    // The byte after the carriage return must be there; a leading zero is for the slow path to refuse.
    match *bytes.get(at..)? {
        [ones @ b'0'..=b'9', b'\r', _, ..] => Some((i64::from(ones - b'0'), at + 3)),
        [tens @ b'1'..=b'9', ones @ b'0'..=b'9', b'\r', _, ..] => {
            Some((i64::from(tens - b'0') * 10 + i64::from(ones - b'0'), at + 4))
        }
        _ => None,
    }
}

impl Parser {
    /// True if nothing is remembered of a command.
    pub fn is_at_start(&self) -> bool {
        self.state == State::Start
    }

    /// The argument whose bytes come next, if its length is known: where it begins, and that length.
    pub fn pending_bulk(&self) -> Option<(usize, usize)> {
        match self.state {
            State::Args { at, bulk: Some(len), .. } => Some((at, len as usize)),
            State::Args { .. } | State::Start => None,
        }
    }

    /// Goes on as if that argument were empty: its bytes arrive elsewhere.
    pub fn divert_bulk(&mut self) {
        if let State::Args { bulk, .. } = &mut self.state {
            *bulk = Some(0);
        }
    }

    /// Forgets a partial command.
    pub fn reset(&mut self) {
        self.state = State::Start;
    }

    /// Parses one command from `bytes`, which begins with the command's first byte.
    ///
    /// `spans` receives the arguments; after `Incomplete` it must hold the same spans again at the next call. O(bytes
    /// not seen before).
    ///
    /// # Errors
    /// A request that breaks the protocol or a limit.
    #[inline]
    pub fn parse(&mut self, bytes: &[u8], limits: Limits, spans: &mut Vec<Span>) -> Result<Parsed, ProtocolError> {
        let (mut at, mut left, mut bulk) = match self.state {
            State::Args { at, left, bulk } => (at, left, bulk),
            State::Start => match bytes.first() {
                None => return Ok(Parsed::Incomplete(0)),
                Some(b'*') => {
                    let found = match quick_number(bytes, 1) {
                        None => number_line(bytes, 1, ARGS_MAX, ProtocolError::InvalidCount)?,
                        found => found,
                    };
                    let Some((count, next)) = found else { return Ok(Parsed::Incomplete(0)) };
                    if count > UNAUTHENTICATED_ARGS_MAX && !limits.authenticated {
                        return Err(ProtocolError::UnauthenticatedCount);
                    }
                    if count <= 0 {
                        return Ok(Parsed::Empty(next));
                    }
                    (next, count as u32, None)
                }
                Some(_) => return inline(bytes),
            },
        };
        let max = limits.bulk_bytes_max.min(i64::from(u32::MAX));
        while left > 0 {
            let len = match bulk {
                Some(len) => len,
                None => {
                    let quick = quick_number(bytes, at + 1).filter(|&(len, _)| bytes[at] == b'$' && len <= max);
                    let found = match quick {
                        None => length_line(bytes, at, max, limits)?,
                        found => found,
                    };
                    let Some((len, next)) = found else {
                        self.state = State::Args { at, left, bulk };
                        return Ok(Parsed::Incomplete(0));
                    };
                    at = next;
                    len as u32
                }
            };
            let end = at + len as usize + 2;
            // Spans count in 32 bits.
            if end > u32::MAX as usize {
                return Err(ProtocolError::InvalidLength);
            }
            if end > bytes.len() {
                self.state = State::Args { at, left, bulk: Some(len) };
                return Ok(Parsed::Incomplete(end));
            }
            spans.push(Span { start: at as u32, len });
            (at, left, bulk) = (end, left - 1, None);
        }
        self.state = State::Start;
        Ok(Parsed::Command(at))
    }
}

/// The length in the line that starts at `at`: the slow path.
#[inline(never)]
fn length_line(bytes: &[u8], at: usize, max: i64, limits: Limits) -> Result<Option<(i64, usize)>, ProtocolError> {
    let found = number_line(bytes, at, max, ProtocolError::InvalidLength)?;
    match found {
        Some((len, _)) if len > UNAUTHENTICATED_BULK_MAX && !limits.authenticated => {
            Err(ProtocolError::UnauthenticatedLength)
        }
        found => Ok(found),
    }
}

/// The number of the protocol line that starts at `at`, and the offset after the line; `None` while the line has not
/// ended. An argument's length line still has its `$`; `invalid` tells the two kinds apart.
#[inline(never)]
fn number_line(
    bytes: &[u8],
    at: usize,
    max: i64,
    invalid: ProtocolError,
) -> Result<Option<(i64, usize)>, ProtocolError> {
    let is_length = invalid == ProtocolError::InvalidLength;
    let rest = &bytes[at..];
    let unfinished = |rest: &[u8]| match (rest.len() > LINE_BYTES_MAX, is_length) {
        (false, _) => Ok(None),
        (true, true) => Err(ProtocolError::LengthLineTooBig),
        (true, false) => Err(ProtocolError::CountLineTooBig),
    };
    // The byte after the carriage return is taken for a line feed unseen, but it must be there.
    let Some(len) = memchr(b'\r', rest).filter(|len| len + 1 < rest.len()) else { return unfinished(rest) };
    let text = if is_length {
        rest[..len].strip_prefix(b"$").ok_or(ProtocolError::ExpectedDollar(rest[0]))?
    } else {
        &rest[..len]
    };
    match num::parse_i64(text) {
        Some(n) if n <= max && (n >= 0 || !is_length) => Ok(Some((n, at + len + 2))),
        // COMPAT: Redis looks for the line's end as a C string, so a NUL byte hides it and the line counts as unfinished.
        _ if memchr(0, text).is_some() => unfinished(rest),
        _ => Err(invalid),
    }
}

fn inline(bytes: &[u8]) -> Result<Parsed, ProtocolError> {
    // COMPAT: as for numbers, a NUL byte hides the line's end.
    let Some(len) = memchr(b'\n', bytes).filter(|&len| memchr(0, &bytes[..len]).is_none()) else {
        return if bytes.len() > LINE_BYTES_MAX { Err(ProtocolError::InlineTooBig) } else { Ok(Parsed::Incomplete(0)) };
    };
    let text = bytes[..len].strip_suffix(b"\r").unwrap_or(&bytes[..len]);
    match quote::split_args(text) {
        None => Err(ProtocolError::UnbalancedQuotes),
        Some(args) if args.is_empty() => Ok(Parsed::Empty(len + 1)),
        Some(args) => Ok(Parsed::Inline(len + 1, args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    const LIMITS: Limits = Limits { bulk_bytes_max: 512 << 20, authenticated: true };

    /// What a request comes to when all its bytes are there: (arguments, bytes taken), or the error.
    type Outcome = Result<Vec<Vec<Vec<u8>>>, ProtocolError>;

    /// The naive twin: the grammar written down as slowly and plainly as possible, over whole input.
    fn naive(mut bytes: &[u8]) -> Outcome {
        let mut commands = Vec::new();
        'commands: while !bytes.is_empty() {
            if bytes[0] != b'*' {
                let Some(end) = bytes.iter().position(|&b| b == b'\n') else { break };
                let text = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
                let args = quote::split_args(text).ok_or(ProtocolError::UnbalancedQuotes)?;
                if !args.is_empty() {
                    commands.push(args);
                }
                bytes = &bytes[end + 1..];
                continue;
            }
            let mut rest = &bytes[1..];
            let take_line = |rest: &mut &[u8]| -> Option<Vec<u8>> {
                let end = rest.iter().position(|&b| b == b'\r').filter(|end| end + 1 < rest.len())?;
                let text = rest[..end].to_vec();
                *rest = &rest[end + 2..];
                Some(text)
            };
            let Some(text) = take_line(&mut rest) else { break };
            let count = num::parse_i64(&text).filter(|n| *n <= ARGS_MAX).ok_or(ProtocolError::InvalidCount)?;
            let mut args = Vec::new();
            for _ in 0..count.max(0) {
                let first = rest.first().copied();
                let Some(text) = take_line(&mut rest) else { break 'commands };
                if first != Some(b'$') {
                    return Err(ProtocolError::ExpectedDollar(first.unwrap_or(0)));
                }
                let len = num::parse_i64(&text[1..])
                    .filter(|n| (0..=LIMITS.bulk_bytes_max).contains(n))
                    .ok_or(ProtocolError::InvalidLength)? as usize;
                if rest.len() < len + 2 {
                    break 'commands;
                }
                args.push(rest[..len].to_vec());
                rest = &rest[len + 2..];
            }
            if !args.is_empty() {
                commands.push(args);
            }
            bytes = rest;
        }
        Ok(commands)
    }

    /// The parser, fed pieces that end at the given offsets.
    fn in_pieces(bytes: &[u8], mut ends: Vec<usize>) -> Outcome {
        ends.push(bytes.len());
        let (mut parser, mut spans, mut start, mut commands) = (Parser::default(), Vec::new(), 0, Vec::new());
        for end in ends {
            loop {
                let here = &bytes[start..end];
                match parser.parse(here, LIMITS, &mut spans)? {
                    Parsed::Incomplete(_) => break,
                    Parsed::Empty(taken) => start += taken,
                    Parsed::Inline(taken, args) => {
                        commands.push(args);
                        start += taken;
                    }
                    Parsed::Command(taken) => {
                        let arg = |s: &Span| here[s.start as usize..][..s.len as usize].to_vec();
                        commands.push(spans.iter().map(arg).collect());
                        spans.clear();
                        start += taken;
                    }
                }
            }
        }
        Ok(commands)
    }

    fn random_input(prng: &mut Prng) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..1 + prng.below(4) {
            match prng.below(8) {
                0 => bytes.extend_from_slice(
                    prng.pick(&[&b"PING\r\n"[..], b"SET k 'a b'\n", b"\r\n", b"ECHO \"x\r\n"]).expect("not empty"),
                ),
                1 => bytes.extend_from_slice(
                    prng.pick(&[&b"*0\r\n"[..], b"*-1\r\n", b"*x\r\n", b"*2\r\n$-1\r\n", b"*1\r\n:1\r\n"])
                        .expect("not empty"),
                ),
                _ => {
                    let count = prng.below(5);
                    bytes.extend_from_slice(format!("*{count}\r\n").as_bytes());
                    for _ in 0..count {
                        let len = prng.below(30) as usize;
                        bytes.extend_from_slice(format!("${len}\r\n").as_bytes());
                        bytes.extend((0..len).map(|_| prng.next_u64() as u8));
                        bytes.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
        bytes
    }

    #[test]
    fn any_split_of_the_input_parses_as_the_naive_grammar() {
        let mut prng = Prng::seeded(1);
        for _ in 0..3_000 {
            let bytes = random_input(&mut prng);
            let expected = naive(&bytes);
            assert_eq!(in_pieces(&bytes, Vec::new()), expected, "{:?}", bytes.escape_ascii().to_string());
            let mut ends: Vec<usize> =
                (0..prng.below(6)).map(|_| prng.below(bytes.len() as u64 + 1) as usize).collect();
            ends.sort_unstable();
            assert_eq!(in_pieces(&bytes, ends), expected, "{:?}", bytes.escape_ascii().to_string());
            assert_eq!(in_pieces(&bytes, (0..bytes.len()).collect()), expected);
        }
    }

    #[test]
    fn limits_have_redis_texts() {
        let whole = |bytes: &[u8], limits| {
            let error = Parser::default().parse(bytes, limits, &mut Vec::new()).expect_err("over a limit");
            String::from_utf8(error.text()).expect("ASCII")
        };
        let anonymous = Limits { authenticated: false, ..LIMITS };
        let long = vec![b'1'; LINE_BYTES_MAX + 2];
        let with = |prefix: &[u8]| [prefix, &long].concat();
        for (bytes, limits, text) in [
            (b"*11\r\n".to_vec(), anonymous, "ERR Protocol error: unauthenticated multibulk length"),
            (b"*1\r\n$16385\r\n".to_vec(), anonymous, "ERR Protocol error: unauthenticated bulk length"),
            (b"*2147483648\r\n".to_vec(), LIMITS, "ERR Protocol error: invalid multibulk length"),
            (b"*1\r\n$536870913\r\n".to_vec(), LIMITS, "ERR Protocol error: invalid bulk length"),
            (b"*1\r\n$-1\r\n".to_vec(), LIMITS, "ERR Protocol error: invalid bulk length"),
            (b"*1\r\nx\r\n".to_vec(), LIMITS, "ERR Protocol error: expected '$', got 'x'"),
            (b"a 'b\r\n".to_vec(), LIMITS, "ERR Protocol error: unbalanced quotes in request"),
            (with(b"a"), LIMITS, "ERR Protocol error: too big inline request"),
            (with(b"*"), LIMITS, "ERR Protocol error: too big mbulk count string"),
            (with(b"*1\r\n$"), LIMITS, "ERR Protocol error: too big bulk count string"),
        ] {
            assert_eq!(whole(&bytes, limits), text);
        }
    }

    #[test]
    fn a_command_ends_before_its_offsets_overflow() {
        let limits = Limits { bulk_bytes_max: i64::MAX, ..LIMITS };
        let last = u32::MAX as usize - 102;
        for (at, parsed) in
            [(last, Ok(Parsed::Incomplete(u32::MAX as usize))), (last + 1, Err(ProtocolError::InvalidLength))]
        {
            let mut parser = Parser { state: State::Args { at, left: 1, bulk: Some(100) } };
            assert_eq!(parser.parse(b"*1\r\n", limits, &mut Vec::new()), parsed);
        }
    }

    #[test]
    fn a_large_value_says_how_many_bytes_are_missing() {
        let mut spans = Vec::new();
        let head = b"*2\r\n$3\r\nGET\r\n$1000\r\nabc";
        let parsed = Parser::default().parse(head, LIMITS, &mut spans);
        assert_eq!(parsed, Ok(Parsed::Incomplete(head.len() - 3 + 1002)));
        assert_eq!(spans.len(), 1);
    }
}
