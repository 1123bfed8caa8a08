//! What the families of collections share: the refusal of a key of another type, the counts of random
//! elements, and the end of an emptied one.

use std::collections::HashSet;

use crate::base::num;
use crate::config::EventClass;
use crate::resp::error::ReplyError;
use crate::server::ctx::Ctx;
use crate::store::collections::WrongType;

impl From<WrongType> for ReplyError {
    fn from(_: WrongType) -> ReplyError {
        ReplyError::WRONG_TYPE
    }
}

/// Elements that a command draws with repetitions at most: more than a reply of a gigabyte can hold.
const REPEATS_MAX: u64 = 1 << 27;

/// The count of a command that draws elements: negative for repetitions.
// COMPAT: Redis takes any negative count, and then writes a reply until memory is short.
pub(super) fn random_count(text: &[u8]) -> Result<i64, ReplyError> {
    match num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)? {
        i64::MIN => Err(ReplyError::new(
            "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        )),
        count if count < 0 && count.unsigned_abs() > REPEATS_MAX => Err(ReplyError::new("ERR value is out of range")),
        count => Ok(count),
    }
}

/// How a command that draws many elements does so slice by slice.
#[derive(Debug)]
pub(super) enum Drawing {
    /// Any ones, so many, perhaps some of them again.
    Repeated { left: usize },
    /// Different ones, few of many: those that were drawn, and how many are to be.
    Few { chosen: HashSet<Vec<u8>>, count: usize },
    /// Different ones, in their order: each is taken with the chance that the number still wanted leaves it.
    Part { wanted: usize, left: usize, place: u64 },
}

/// Elements are drawn one by one while they are less than one in so many; beyond that, all are walked.
const DRAWN_PART: usize = 3;

impl Drawing {
    /// Draws so many of `len` elements, with repetitions if the count is negative.
    pub fn new(count: i64, len: usize) -> Drawing {
        let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if count < 0 {
            Drawing::Repeated { left: wanted }
        } else if wanted < len / DRAWN_PART {
            Drawing::Few { chosen: HashSet::with_capacity(wanted), count: wanted }
        } else {
            Drawing::Part { wanted: wanted.min(len), left: len, place: 0 }
        }
    }

    /// Elements that are answered.
    pub fn answered(&self) -> usize {
        match *self {
            Drawing::Repeated { left } => left,
            Drawing::Few { count, .. } => count,
            Drawing::Part { wanted, .. } => wanted,
        }
    }

    /// Elements that are gone by.
    pub fn elements(&self) -> usize {
        match *self {
            Drawing::Part { left, wanted, .. } => {
                if wanted == 0 {
                    0
                } else {
                    left
                }
            }
            _ => self.answered(),
        }
    }
}

/// Removes a key whose collection has just been emptied, and tells of it. To be called after the event of the change that
/// emptied it.
pub(super) fn remove_emptied(ctx: &mut Ctx<'_>, key: &[u8]) {
    let at = ctx.at;
    if let Some(entry) = ctx.db().remove(key, at) {
        ctx.server.discard(entry);
        ctx.notify(EventClass::Generic, "del", key);
    }
}
