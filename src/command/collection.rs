//! What the families of collections share: the refusal of a key of another type, the counts of random
//! elements, and the end of an emptied one.

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

/// Removes a key whose collection has just been emptied, and tells of it. To be called after the event of the change that
/// emptied it.
pub(super) fn remove_emptied(ctx: &mut Ctx<'_>, key: &[u8]) {
    let at = ctx.at;
    if let Some(entry) = ctx.db().remove(key, at) {
        ctx.server.discard(entry);
        ctx.notify(EventClass::Generic, "del", key);
    }
}
