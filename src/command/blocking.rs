//! What the commands that wait have in common: how they are told for how long.

use crate::base::num::{self, LongDouble};
use crate::resp::error::ReplyError;
use crate::server::ctx::Ctx;

const NOT_A_FLOAT: ReplyError = ReplyError::new("ERR timeout is not a float or out of range");
const NEGATIVE: ReplyError = ReplyError::new("ERR timeout is negative");
const TOO_LATE: ReplyError = ReplyError::new("ERR timeout is out of range");

const NOT_AN_INTEGER: ReplyError = ReplyError::new("ERR timeout is not an integer or out of range");

/// The moment that timeouts count from: now when a command comes. When it runs again nothing counts, for the end of its wait
/// is settled, and what was given is no worse for the time that has passed.
pub(super) fn timeouts_from_ms(ctx: &Ctx<'_>) -> i64 {
    if ctx.is_rerun() { 0 } else { ctx.now.unix_ms }
}

/// A timeout given in milliseconds; 0 means for ever. It is refused if it ends after the last Unix millisecond that 64 bits
/// can hold.
pub(super) fn parse_timeout_ms(text: &[u8], from_ms: i64) -> Result<u64, ReplyError> {
    let timeout_ms = num::parse_i64(text).ok_or(NOT_AN_INTEGER)?;
    let timeout = u64::try_from(timeout_ms).map_err(|_| NEGATIVE)?;
    from_ms.checked_add(timeout_ms).map(|_| timeout).ok_or(TOO_LATE)
}

/// A timeout given in seconds, with a fraction, in whole milliseconds rounded up; 0 means for ever. It is refused if it ends
/// after the last Unix millisecond that 64 bits can hold.
pub(super) fn parse_timeout(text: &[u8], from_ms: i64) -> Result<u64, ReplyError> {
    let timeout_ms = LongDouble::parse(text).ok_or(NOT_A_FLOAT)?.thousandfold_up();
    if timeout_ms > i64::MAX - from_ms {
        return Err(TOO_LATE);
    }
    u64::try_from(timeout_ms).map_err(|_| NEGATIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_redis_reads_them() {
        let rows: [(&str, Result<u64, ReplyError>); 18] = [
            ("0", Ok(0)),
            ("1", Ok(1000)),
            ("0.05", Ok(50)),
            ("0.0001", Ok(1)),
            ("1e-400", Ok(1)),
            ("0x1p-4", Ok(63)),
            ("-0.0001", Ok(0)),
            ("9223370336854775", Ok(9_223_370_336_854_775_000)),
            ("9223370336854775.808", Err(TOO_LATE)),
            ("9223372036854775807", Err(TOO_LATE)),
            ("1e400", Err(TOO_LATE)),
            ("inf", Err(TOO_LATE)),
            ("-inf", Err(NEGATIVE)),
            ("-1", Err(NEGATIVE)),
            ("-1e30", Err(NEGATIVE)),
            ("nan", Err(NOT_A_FLOAT)),
            ("x", Err(NOT_A_FLOAT)),
            ("", Err(NOT_A_FLOAT)),
        ];
        for (text, expected) in rows {
            assert_eq!(parse_timeout(text.as_bytes(), 1_700_000_000_000), expected, "{text}");
        }
    }
}
