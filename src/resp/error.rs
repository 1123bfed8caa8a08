//! Every error text that goes over the wire from more than one place. The texts are Redis's, to the byte.

use std::borrow::Cow;

/// A refusal of one command: the client's fault, the connection lives on. Holds the whole text after the `-`, its code
/// word first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyError(Cow<'static, [u8]>);

impl ReplyError {
    /// An error with a fixed text.
    pub const fn new(text: &'static str) -> ReplyError {
        ReplyError(Cow::Borrowed(text.as_bytes()))
    }

    /// An error whose text was put together. Line ends become spaces, as they would end the reply; those at the text's
    /// own end are dropped, as in Redis.
    pub fn owned(text: impl Into<Vec<u8>>) -> ReplyError {
        let mut text = text.into();
        let kept = text.iter().rposition(|b| !matches!(*b, b'\r' | b'\n')).map_or(0, |last| last + 1);
        text.truncate(kept);
        text.iter_mut().filter(|b| matches!(**b, b'\r' | b'\n')).for_each(|b| *b = b' ');
        ReplyError(Cow::Owned(text))
    }

    /// An error that repeats an argument between two pieces of text, up to its first NUL byte as Redis does.
    pub fn about(before: &str, argument: &[u8], after: &str) -> ReplyError {
        let shown = argument.split(|&byte| byte == 0).next().unwrap_or_default();
        ReplyError::owned([before.as_bytes(), shown, after.as_bytes()].concat())
    }

    /// The text after the `-`.
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// The code word the text begins with, such as `ERR`.
    pub fn code(&self) -> &[u8] {
        self.0.split(|&b| b == b' ').next().unwrap_or_default()
    }

    /// `value is not an integer or out of range`
    pub const NOT_AN_INTEGER: ReplyError = ReplyError::new("ERR value is not an integer or out of range");
    /// `value is not a valid float`
    pub const NOT_A_FLOAT: ReplyError = ReplyError::new("ERR value is not a valid float");
    /// `syntax error`
    pub const SYNTAX: ReplyError = ReplyError::new("ERR syntax error");
    /// Operation against a key of another type.
    pub const WRONG_TYPE: ReplyError =
        ReplyError::new("WRONGTYPE Operation against a key holding the wrong kind of value");
    /// `no such key`
    pub const NO_SUCH_KEY: ReplyError = ReplyError::new("ERR no such key");
    /// A result longer than `proto-max-bulk-len`.
    pub const STRING_TOO_LONG: ReplyError =
        ReplyError::new("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    /// `used memory > 'maxmemory'`
    pub const OUT_OF_MEMORY: ReplyError = ReplyError::new("OOM command not allowed when used memory > 'maxmemory'.");
    /// A password that is not the user's, whether there is such a user or not.
    pub const WRONG_PASSWORD: ReplyError =
        ReplyError::new("WRONGPASS invalid username-password pair or user is disabled.");
    /// A database index out of range.
    pub const DB_INDEX: ReplyError = ReplyError::new("ERR DB index is out of range");

    /// An argument that does not fit 32 bits.
    pub const NOT_AN_I32: ReplyError =
        ReplyError::new("ERR value is out of range, value must between -2147483648 and 2147483647");
    /// A source that is its own destination.
    pub const SAME_OBJECT: ReplyError = ReplyError::new("ERR source and destination objects are the same");

    /// `wrong number of arguments for '<command>' command`; subcommands are written `container|name`.
    pub fn arity(command: &str) -> ReplyError {
        ReplyError::owned(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// `invalid expire time in '<command>' command`
    pub fn invalid_expire(command: &str) -> ReplyError {
        ReplyError::owned(format!("ERR invalid expire time in '{command}' command"))
    }
}

/// A request that breaks the protocol: it is answered, then the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A request line of more than 64 KiB without an end.
    InlineTooBig,
    /// Quotes of a request line that do not match.
    UnbalancedQuotes,
    /// An argument count line of more than 64 KiB without an end.
    CountLineTooBig,
    /// An argument count that is no number or too large.
    InvalidCount,
    /// More than ten arguments before authentication.
    UnauthenticatedCount,
    /// A length line of more than 64 KiB without an end.
    LengthLineTooBig,
    /// Another byte where an argument's `$` should be.
    ExpectedDollar(u8),
    /// An argument length that is no number, negative or above `proto-max-bulk-len`.
    InvalidLength,
    /// An argument of more than 16 KiB before authentication.
    UnauthenticatedLength,
}

impl ProtocolError {
    /// The reply's text after the `-`.
    pub fn text(self) -> Vec<u8> {
        let reason: &str = match self {
            ProtocolError::InlineTooBig => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::CountLineTooBig => "too big mbulk count string",
            ProtocolError::InvalidCount => "invalid multibulk length",
            ProtocolError::UnauthenticatedCount => "unauthenticated multibulk length",
            ProtocolError::LengthLineTooBig => "too big bulk count string",
            ProtocolError::InvalidLength => "invalid bulk length",
            ProtocolError::UnauthenticatedLength => "unauthenticated bulk length",
            ProtocolError::ExpectedDollar(got) => {
                let mut text = b"ERR Protocol error: expected '$', got '".to_vec();
                text.push(if matches!(got, b'\r' | b'\n') { b' ' } else { got });
                text.push(b'\'');
                return text;
            }
        };
        format!("ERR Protocol error: {reason}").into_bytes()
    }
}
