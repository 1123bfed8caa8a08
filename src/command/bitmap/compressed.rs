//! Strings that are held as compressed bitmaps: when they come to be, and when they become plain again.
//!
//! With `bitmap-default-roaring` a bit command compresses the string that it makes, or makes much longer ([`Roaring::suits`]), and the
//! result of BITOP if that saves memory ([`Roaring::is_saving`]). A string stays compressed, whatever is set, until it would take
//! less as bytes, or is written to by a command that is about bytes. No reply tells the difference, but for OBJECT ENCODING and what
//! tells of memory.

use std::sync::Arc;

use crate::command::string::range;
use crate::command::string::string_in;
use crate::resp::error::ReplyError;
use crate::store::db::{Db, Moment};
use crate::store::entry::{Entry, NewValue, TextBuffer};
use crate::store::open::EntryMut;
use crate::store::types::roaring::{BYTES_MAX, Roaring};

/// Makes a string at least so many bytes long, so that its bits can be changed in place; true if it is a compressed bitmap then, which
/// a plain one becomes if told so and that saves memory. O(1), and O(bytes) where its representation changes or a plain one grows.
pub(super) fn prepare(slot: &mut EntryMut<'_>, length: usize, compresses: bool) -> Result<bool, ReplyError> {
    if let Some(old) = slot.roaring().map(|roaring| roaring.len()) {
        if length <= BYTES_MAX {
            if length > old {
                slot.edit_roaring(|roaring| roaring.extend(length));
            }
            return Ok(true);
        }
    } else if compresses {
        let value = string_in(slot)?;
        if Roaring::suits(length, value.len()) {
            let mut roaring = Roaring::from_bytes(value.text(&mut TextBuffer::new()));
            roaring.extend(length);
            slot.map(|entry| entry.with_value_only(NewValue::Roaring(Arc::new(roaring))));
            return Ok(true);
        }
    }
    range::extend_with_zeros(slot, length)?;
    Ok(false)
}

/// Has a string that takes more as a compressed bitmap be plain. O(1), and O(bytes) if it does.
#[inline]
pub(super) fn settle(slot: &mut EntryMut<'_>) -> Result<(), ReplyError> {
    if slot.roaring().is_some_and(|roaring| roaring.is_wasteful()) {
        range::expand(slot)?;
    }
    Ok(())
}

/// Stores a compressed bitmap under a key that is not there.
pub(super) fn insert(db: &mut Db, key: &[u8], roaring: Roaring, at: Moment) {
    let mut entry = Entry::new(key, NewValue::Roaring(Arc::new(roaring)), None);
    entry.set_raw();
    db.insert(entry, at);
}
