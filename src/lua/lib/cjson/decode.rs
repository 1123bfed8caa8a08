//! JSON read into values.
//!
//! [`Reader`] finds one token after the other and knows nothing of Lua; [`Decode`] puts them together, without recursion: what
//! limits the nesting is a setting, and the room on Lua's stack.

use std::ops::Range;

use super::settings::Settings;
use super::{ARRAY_MARK, NULL, check_one_argument, parse_number};
use crate::lua::lib::steps_of;
use crate::lua::state::{Answer, Frame, Function, Raised};

/// A token.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "JSON's own words")]
pub enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    /// A string without escapes, by its place in the text.
    Plain(Range<usize>),
    /// A string with escapes; its bytes are in the reader's buffer until the next token.
    Escaped,
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    /// The end of the text, or a NUL.
    End,
    /// No token so far: the next call goes on in the midst of it.
    Unfinished,
    /// No token: what is wrong.
    Error(&'static str),
}

/// Bytes of space, or of a string with escapes, that are looked at in one call.
const CALL_BYTES: usize = 64 << 10;

impl Token {
    /// How error texts call it.
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Plain(_) | Token::Escaped => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Unfinished => "no token",
            Token::Error(text) => text,
        }
    }
}

/// Finds tokens in a text, which it does not hold: each call is given the same one.
pub struct Reader {
    /// Where the next token or the space before it begins.
    at: usize,
    /// Where the last token began, or what was wrong with it.
    token_at: usize,
    /// Whether numbers that are not JSON's are read.
    is_lenient: bool,
    /// The last token, if it was a string with escapes, or the beginning of one.
    unescaped: Vec<u8>,
    /// A string with escapes was not looked at to its end.
    is_in_string: bool,
}

impl Reader {
    /// A reader at the start of a text.
    pub fn new(is_lenient: bool) -> Reader {
        Reader { at: 0, token_at: 0, is_lenient, unescaped: Vec::new(), is_in_string: false }
    }

    /// The bytes of the last token, if it was a string with escapes.
    pub fn unescaped(&self) -> &[u8] {
        &self.unescaped
    }

    /// The next token. At the end of the text, and at an error, it stays where it is. O(bytes of the token), but no more than
    /// `CALL_BYTES` of what takes longer than to be copied.
    pub fn next(&mut self, text: &[u8]) -> Token {
        if self.is_in_string {
            return self.escaped_string(text);
        }
        let space_max = self.at + CALL_BYTES;
        while matches!(text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
            if self.at == space_max {
                return Token::Unfinished;
            }
        }
        self.token_at = self.at;
        let single = match text.get(self.at) {
            None | Some(0) => return Token::End,
            Some(b'{') => Token::ObjectBegin,
            Some(b'}') => Token::ObjectEnd,
            Some(b'[') => Token::ArrayBegin,
            Some(b']') => Token::ArrayEnd,
            Some(b':') => Token::Colon,
            Some(b',') => Token::Comma,
            Some(b'"') => return self.string(text),
            Some(b'-' | b'0'..=b'9') if self.is_lenient || !is_foreign_number(&text[self.at..]) => {
                return self.number(text);
            }
            Some(b'-' | b'0'..=b'9') => return Token::Error("invalid number"),
            Some(b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+') => return self.word(text),
            Some(_) => return Token::Error("invalid token"),
        };
        self.at += 1;
        single
    }

    fn word(&mut self, text: &[u8]) -> Token {
        let rest = &text[self.at..];
        for (word, token) in [("true", Token::Boolean(true)), ("false", Token::Boolean(false)), ("null", Token::Null)] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return token;
            }
        }
        match self.is_lenient && is_foreign_number(rest) {
            true => self.number(text),
            false => Token::Error("invalid token"),
        }
    }

    fn number(&mut self, text: &[u8]) -> Token {
        match parse_number(&text[self.at..]) {
            Some((number, length)) => {
                self.at += length;
                Token::Number(number)
            }
            None => Token::Error("invalid number"),
        }
    }

    fn string(&mut self, text: &[u8]) -> Token {
        let start = self.at + 1;
        let end = start + plain_length(&text[start..]);
        if text.get(end) == Some(&b'"') {
            self.at = end + 1;
            return Token::Plain(start..end);
        }
        self.unescaped.clear();
        self.unescaped.extend_from_slice(&text[start..end]);
        self.at = end;
        self.escaped_string(text)
    }

    /// Goes on with a string that has escapes.
    fn escaped_string(&mut self, text: &[u8]) -> Token {
        let (mut end, end_max) = (self.at, self.at + CALL_BYTES);
        self.is_in_string = false;
        loop {
            if end >= end_max {
                (self.at, self.is_in_string) = (end, true);
                return Token::Unfinished;
            }
            let fault = match text.get(end) {
                Some(b'"') => {
                    self.at = end + 1;
                    return Token::Escaped;
                }
                Some(b'\\') => match self.escape(&text[end + 1..]) {
                    Ok(length) => {
                        end += 1 + length;
                        let plain = plain_length(&text[end..]);
                        self.unescaped.extend_from_slice(&text[end..end + plain]);
                        end += plain;
                        continue;
                    }
                    Err(fault) => fault,
                },
                _ => "unexpected end of string",
            };
            self.token_at = end;
            return Token::Error(fault);
        }
    }

    /// Appends what the escape after a backslash stands for, and answers its length.
    fn escape(&mut self, text: &[u8]) -> Result<usize, &'static str> {
        let byte = match text.first() {
            Some(b'u') => return self.unicode_escape(text).ok_or("invalid unicode escape code"),
            Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
            Some(b'b') => 0x08,
            Some(b't') => b'\t',
            Some(b'n') => b'\n',
            Some(b'f') => 0x0c,
            Some(b'r') => b'\r',
            _ => return Err("invalid escape code"),
        };
        self.unescaped.push(byte);
        Ok(1)
    }

    /// An escape by code, or two of them that are a pair of surrogates.
    fn unicode_escape(&mut self, text: &[u8]) -> Option<usize> {
        let unit = |at: usize| {
            let digits = text.get(at..at + 4)?;
            digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
        };
        let first = unit(1)?;
        let (code, length) = match first {
            0xd800..=0xdbff => {
                if text.get(5..7) != Some(b"\\u") {
                    return None;
                }
                let second = unit(7).filter(|second| (0xdc00..0xe000).contains(second))?;
                (0x1_0000 + ((first & 0x3ff) << 10 | second & 0x3ff), 11)
            }
            _ => (first, 5),
        };
        // A low surrogate without a high one is no character.
        let character = char::from_u32(code)?;
        self.unescaped.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        Some(length)
    }
}

/// Bytes up to a quote, a backslash, a NUL or the end.
fn plain_length(text: &[u8]) -> usize {
    memchr::memchr3(b'"', b'\\', 0, text).unwrap_or(text.len())
}

/// Whether the number that begins here, if there is one, is not JSON's: with a plus sign, a leading zero, hexadecimal, an
/// infinity, or none.
fn is_foreign_number(text: &[u8]) -> bool {
    if text.first() == Some(&b'+') {
        return true;
    }
    let text = text.strip_prefix(b"-").unwrap_or(text);
    match text.first() {
        Some(b'0') => matches!(text.get(1), Some(b'x' | b'X' | b'0'..=b'9')),
        _ => text.get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")),
    }
}

/// An array or object whose end has not come.
enum Open {
    /// An array with so many elements so far.
    Array(i32),
    /// An object, whose key lies above it.
    Object,
}

/// `decode(text)`
pub(super) struct Decode;

impl Function for Decode {
    fn call(frame: &mut Frame<'_>) -> Answer {
        check_one_argument(frame)?;
        let text = frame.check_bytes(1)?;
        let length = text.len();
        if length >= 2 && text[..2].contains(&0) {
            return Err(frame.raise_at_caller(b"JSON parser does not support UTF-16 or UTF-32"));
        }
        // The longest string with escapes may be nearly as long as the text.
        if length > frame.memory_for(length) {
            return Err(frame.raise_memory());
        }
        let settings = Settings::load(frame);
        Parser { reader: Reader::new(settings.decode_invalid_numbers), settings, open: Vec::new() }.run(frame)?;
        Ok(1)
    }
}

/// Puts tokens together. On Lua's stack lie the open arrays and objects, each below its elements, an object's key below its value.
struct Parser {
    reader: Reader,
    settings: Settings,
    open: Vec<Open>,
}

impl Parser {
    /// Pushes the value of the text.
    fn run(&mut self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        let mut token = self.next(frame)?;
        loop {
            token = match self.begin_value(frame, token)? {
                Some(first) => first,
                None if self.end_values(frame)? => break,
                None => self.next(frame)?,
            }
        }
        match self.next(frame)? {
            Token::End => Ok(()),
            token => Err(self.unexpected(frame, "the end", &token)),
        }
    }

    fn next(&mut self, frame: &mut Frame<'_>) -> Result<Token, Raised> {
        loop {
            let before = self.reader.at;
            let token = self.reader.next(frame.bytes(1).unwrap_or_default());
            let looked_at = self.reader.at - before;
            if token != Token::Unfinished {
                frame.step(steps_of(looked_at))?;
                return Ok(token);
            }
            // Byte by byte takes longer than a copy.
            frame.step(steps_of(looked_at) * 8)?;
        }
    }

    /// Pushes the value that a token begins. If it is an array or object that has elements, answers the token that begins the
    /// first of them.
    fn begin_value(&mut self, frame: &mut Frame<'_>, token: Token) -> Result<Option<Token>, Raised> {
        match token {
            Token::Plain(_) | Token::Escaped => self.push_string(frame, token),
            Token::Number(number) => frame.push_number(number),
            Token::Boolean(truth) => frame.push_boolean(truth),
            Token::Null => frame.push_light(NULL),
            Token::ObjectBegin => {
                self.descend(frame, 3)?;
                frame.new_table(0, 0);
                let token = self.next(frame)?;
                if token != Token::ObjectEnd {
                    self.key(frame, token)?;
                    self.open.push(Open::Object);
                    return self.next(frame).map(Some);
                }
            }
            Token::ArrayBegin => {
                self.descend(frame, 2)?;
                frame.new_table(0, 0);
                self.mark_array(frame)?;
                let token = self.next(frame)?;
                if token != Token::ArrayEnd {
                    self.open.push(Open::Array(0));
                    return Ok(Some(token));
                }
            }
            token => return Err(self.unexpected(frame, "value", &token)),
        }
        Ok(None)
    }

    /// Puts the complete value on the top where it belongs, and what that completes; true if nothing is open any more.
    fn end_values(&mut self, frame: &mut Frame<'_>) -> Result<bool, Raised> {
        loop {
            match self.open.last_mut() {
                None => return Ok(true),
                Some(Open::Object) => {
                    frame.raw_set(-3)?;
                    match self.next(frame)? {
                        Token::ObjectEnd => {}
                        Token::Comma => {
                            let token = self.next(frame)?;
                            self.key(frame, token)?;
                            return Ok(false);
                        }
                        token => return Err(self.unexpected(frame, "comma or object end", &token)),
                    }
                }
                Some(Open::Array(count)) => {
                    *count = count.saturating_add(1);
                    let index = *count;
                    frame.raw_set_index(-2, index)?;
                    match self.next(frame)? {
                        Token::ArrayEnd => {}
                        Token::Comma => return Ok(false),
                        token => return Err(self.unexpected(frame, "comma or array end", &token)),
                    }
                }
            }
            self.open.pop();
        }
    }

    /// Pushes the key that a token is, and reads the colon after it.
    fn key(&mut self, frame: &mut Frame<'_>, token: Token) -> Result<(), Raised> {
        match token {
            Token::Plain(_) | Token::Escaped => self.push_string(frame, token),
            token => return Err(self.unexpected(frame, "object key string", &token)),
        }
        match self.next(frame)? {
            Token::Colon => Ok(()),
            token => Err(self.unexpected(frame, "colon", &token)),
        }
    }

    fn push_string(&mut self, frame: &mut Frame<'_>, token: Token) {
        match token {
            Token::Plain(range) => frame.push_substring(1, range),
            _ => frame.push_bytes(self.reader.unescaped()),
        }
    }

    fn mark_array(&self, frame: &mut Frame<'_>) -> Result<(), Raised> {
        if !self.settings.mark_arrays {
            return Ok(());
        }
        frame.new_table(0, 1);
        frame.push_boolean(true);
        frame.raw_set_name(-2, ARRAY_MARK)?;
        frame.set_readonly(-1, true);
        frame.set_metatable(-2)
    }

    /// Makes room for an array or object in those that are open.
    fn descend(&mut self, frame: &mut Frame<'_>, slots: usize) -> Result<(), Raised> {
        let depth = self.open.len() + 1;
        if depth <= self.settings.decode_max_depth as usize && frame.try_ensure(slots) {
            return Ok(());
        }
        let text = format!("Found too many nested data structures ({depth}) at character {}", self.reader.at);
        Err(frame.raise_at_caller(text.as_bytes()))
    }

    fn unexpected(&self, frame: &mut Frame<'_>, expected: &str, token: &Token) -> Raised {
        let (found, place) = (token.name(), self.reader.token_at + 1);
        frame.raise_at_caller(format!("Expected {expected} but found {found} at character {place}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &[u8], is_lenient: bool) -> Vec<Token> {
        let mut reader = Reader::new(is_lenient);
        let mut tokens = Vec::new();
        loop {
            let token = reader.next(text);
            tokens.push(token.clone());
            if matches!(token, Token::End | Token::Error(_)) {
                return tokens;
            }
        }
    }

    fn unescaped(text: &str) -> Result<Vec<u8>, &'static str> {
        let mut reader = Reader::new(true);
        match reader.next(text.as_bytes()) {
            Token::Escaped => Ok(reader.unescaped().to_vec()),
            Token::Error(fault) => Err(fault),
            token => panic!("{token:?}"),
        }
    }

    #[test]
    fn a_nul_ends_the_text() {
        assert_eq!(tokens(b" [\0]", true), [Token::ArrayBegin, Token::End]);
        assert_eq!(tokens(b"\"a\0b\"", true), [Token::Error("unexpected end of string")]);
    }

    #[test]
    fn escapes_become_utf8() {
        for (text, expected) in [
            (r#""a\"\\\/\b\t\n\f\r""#, Ok(b"a\"\\/\x08\t\n\x0c\r".to_vec())),
            (r#""\u0000x\u007f""#, Ok(b"\0x\x7f".to_vec())),
            (r#""\u00E9\u20ac""#, Ok("é€".as_bytes().to_vec())),
            (r#""\ud83d\ude00!""#, Ok("😀!".as_bytes().to_vec())),
            (r#""\ude00""#, Err("invalid unicode escape code")),
            (r#""\ud83d""#, Err("invalid unicode escape code")),
            (r#""\ud83d\u0041""#, Err("invalid unicode escape code")),
            (r#""\ud83dx""#, Err("invalid unicode escape code")),
            (r#""\u12""#, Err("invalid unicode escape code")),
            (r#""\u+123""#, Err("invalid unicode escape code")),
            (r#""\x""#, Err("invalid escape code")),
            (r#""\"#, Err("invalid escape code")),
            (r#""\n"#, Err("unexpected end of string")),
        ] {
            assert_eq!(unescaped(text), expected, "{text}");
        }
    }

    #[test]
    fn numbers_that_are_not_json_are_read_only_if_that_is_set() {
        for (text, number) in [("0x10", 16.0), ("01", 1.0), ("+1", 1.0), ("-Inf", f64::NEG_INFINITY)] {
            assert_eq!(tokens(text.as_bytes(), true), [Token::Number(number), Token::End], "{text}");
            let fault = if text.starts_with('+') { "invalid token" } else { "invalid number" };
            assert_eq!(tokens(text.as_bytes(), false), [Token::Error(fault)], "{text}");
        }
        assert_eq!(tokens(b"infi", true), [Token::Number(f64::INFINITY), Token::Error("invalid token")]);
        assert_eq!(tokens(b"nope", true), [Token::Error("invalid token")]);
        assert_eq!(tokens(b"-x", true), [Token::Error("invalid number")]);
    }
}
