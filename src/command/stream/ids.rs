//! Stream ids as clients write them.

use crate::base::num;
use crate::resp::error::ReplyError;
use crate::store::types::stream::StreamId;

const INVALID: ReplyError = ReplyError::new("ERR Invalid stream ID specified as stream command argument");
const INVALID_START: ReplyError = ReplyError::new("ERR invalid start ID for the interval");
const INVALID_END: ReplyError = ReplyError::new("ERR invalid end ID for the interval");

/// The longest text that can be an id.
const TEXT_MAX: usize = 127;

/// The id that XADD is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// `*`: the next one.
    Next,
    /// `ms-*`: the next one of this millisecond.
    Within(u64),
    /// This very one.
    Exactly(StreamId),
}

/// The milliseconds, and what stands behind the dash.
fn split(text: &[u8]) -> Result<(u64, Option<&[u8]>), ReplyError> {
    if text.len() > TEXT_MAX {
        return Err(INVALID);
    }
    // Numbers are as lenient as cursors are, and the text ends at a NUL as it does for C.
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let mut parts = text.splitn(2, |&byte| byte == b'-');
    let ms = parts.next().and_then(num::parse_cursor).ok_or(INVALID)?;
    Ok((ms, parts.next()))
}

/// An id of which the second part may be missing.
pub(super) fn parse(text: &[u8], missing_seq: u64) -> Result<StreamId, ReplyError> {
    let (ms, seq) = split(text)?;
    let seq = seq.map_or(Ok(missing_seq), |seq| num::parse_cursor(seq).ok_or(INVALID))?;
    Ok(StreamId::new(ms, seq))
}

/// The id of one entry: a missing second part is 0.
pub(super) fn exact(text: &[u8]) -> Result<StreamId, ReplyError> {
    parse(text, 0)
}

/// The ids from an index of the line on.
pub(super) fn all<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Result<Vec<StreamId>, ReplyError> {
    texts.map(exact).collect()
}

/// What XADD may be told.
pub(super) fn wanted(text: &[u8]) -> Result<Wanted, ReplyError> {
    if text == b"*" {
        return Ok(Wanted::Next);
    }
    match split(text)? {
        (ms, Some(b"*")) => Ok(Wanted::Within(ms)),
        _ => exact(text).map(Wanted::Exactly),
    }
}

/// An end of a range: `-`, `+`, or an id, which a `(` in front of it excludes.
fn bound(text: &[u8], missing_seq: u64) -> Result<(StreamId, bool), ReplyError> {
    Ok(match text {
        b"-" => (StreamId::MIN, false),
        b"+" => (StreamId::MAX, false),
        [b'(', id @ ..] if !id.is_empty() => (parse(id, missing_seq)?, true),
        _ => (parse(text, missing_seq)?, false),
    })
}

/// The first id of a range.
pub(super) fn start(text: &[u8]) -> Result<StreamId, ReplyError> {
    match bound(text, 0)? {
        (id, false) => Ok(id),
        (id, true) => id.next().ok_or(INVALID_START),
    }
}

/// The last id of a range.
pub(super) fn end(text: &[u8]) -> Result<StreamId, ReplyError> {
    match bound(text, u64::MAX)? {
        (id, false) => Ok(id),
        (id, true) => id.prev().ok_or(INVALID_END),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_leniently_as_redis_reads_them() {
        type Row = (&'static [u8], Option<(u64, u64)>);
        let rows: [Row; 20] = [
            (b"5", Some((5, 7))),
            (b"5-6", Some((5, 6))),
            (b" 6", Some((6, 7))),
            (b"+8-009", Some((8, 9))),
            (b"7- -9", Some((7, 18_446_744_073_709_551_607))),
            (b"18446744073709551615-18446744073709551615", Some((u64::MAX, u64::MAX))),
            (b"18446744073709551616", None),
            (b"5-", None),
            (b"-5", None),
            (b"5--5", None),
            (b"5-6-7", None),
            (b"5-*", None),
            (b"5 ", None),
            (b"", None),
            (b"-", None),
            (b"+", None),
            (b"(5", None),
            (b"$", None),
            (b"5\0x", Some((5, 7))),
            (&[b'0'; 128], None),
        ];
        for (text, parts) in rows {
            assert_eq!(parse(text, 7).ok(), parts.map(|(ms, seq)| StreamId::new(ms, seq)), "{}", text.escape_ascii());
        }
    }
}
