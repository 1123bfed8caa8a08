//! When a key is to expire, as the options of SET and GETEX say it, and the arithmetic behind it.
//!
//! Reading the options and working out the deadline are two steps, because Redis looks at the key in between for GETEX.

use crate::base::num;
use crate::command::Command;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::store::db::Moment;

/// How a number tells a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// `EX`: seconds from now.
    Seconds,
    /// `PX`: milliseconds from now.
    Milliseconds,
    /// `EXAT`: Unix time in seconds.
    UnixSeconds,
    /// `PXAT`: Unix time in milliseconds.
    UnixMilliseconds,
}

impl Unit {
    const NAMES: [(&'static str, Unit); 4] = [
        ("EX", Unit::Seconds),
        ("PX", Unit::Milliseconds),
        ("EXAT", Unit::UnixSeconds),
        ("PXAT", Unit::UnixMilliseconds),
    ];

    /// True for the units that count from the epoch.
    pub(super) fn is_absolute(self) -> bool {
        matches!(self, Unit::UnixSeconds | Unit::UnixMilliseconds)
    }
}

/// What the options say of a key's lifetime. At most one kind of them may be given, but that one repeatedly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime<'a> {
    /// Nothing.
    Unsaid,
    /// `KEEPTTL`: what it was.
    Keep,
    /// `PERSIST`: for good.
    Persist,
    /// Until a moment, given by the text of a number.
    Until(Unit, &'a [u8]),
}

impl<'a> Lifetime<'a> {
    /// Notes one more option; the last one of a kind counts.
    ///
    /// # Errors
    /// A syntax error when another kind was given before.
    pub(super) fn also(self, other: Lifetime<'a>) -> Result<Lifetime<'a>, ReplyError> {
        let same_kind = match (self, other) {
            (Lifetime::Unsaid, _) => true,
            (Lifetime::Until(before, _), Lifetime::Until(now, _)) => before == now,
            _ => self == other,
        };
        if same_kind { Ok(other) } else { Err(ReplyError::SYNTAX) }
    }

    /// The lifetime that `EX` and its kin give at an index, if one of them stands there and an argument follows.
    pub(super) fn until(args: Args<'a>, index: usize) -> Option<Lifetime<'a>> {
        let (_, unit) = Unit::NAMES.into_iter().find(|(name, _)| args.is(index, name))?;
        Some(Lifetime::Until(unit, args.get(index + 1)?))
    }
}

/// The Unix time in milliseconds that a number means to the command being run.
///
/// # Errors
/// The text is no integer; or it is not positive, or the moment lies beyond what an `i64` can tell.
pub(super) fn deadline_ms(command: &Command, at: Moment, unit: Unit, text: &[u8]) -> Result<i64, ReplyError> {
    let number = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let scaled = match unit {
        Unit::Seconds | Unit::UnixSeconds => number.checked_mul(1000),
        Unit::Milliseconds | Unit::UnixMilliseconds => Some(number),
    };
    let base_ms = if unit.is_absolute() { 0 } else { at.unix_ms };
    scaled
        .filter(|&ms| ms > 0)
        .and_then(|ms| ms.checked_add(base_ms))
        .ok_or_else(|| ReplyError::invalid_expire(&command.full_name))
}
