//! What the families of collections share: the refusal of a key of another type, and the end of an emptied one.

use crate::config::EventClass;
use crate::resp::error::ReplyError;
use crate::server::ctx::Ctx;
use crate::store::collections::WrongType;

impl From<WrongType> for ReplyError {
    fn from(_: WrongType) -> ReplyError {
        ReplyError::WRONG_TYPE
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
