//! Parts of strings.

use std::ops::Range;

use super::{string_in, write_value};
use crate::base::num;
use crate::command::long::{self, PlaceInText};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::db::{Db, Moment, Ttl};
use crate::store::entry::{Entry, INLINE_BYTES_MAX, NewValue, TextBuffer, Value};
use crate::store::open::EntryMut;
use crate::store::types::roaring::Text;

const OFFSET: ReplyError = ReplyError::new("ERR offset is out of range");
pub(in crate::command) const NO_MEMORY: ReplyError =
    ReplyError::new("ERR insufficient memory for a string of this length");

/// Room that a growing string gets beyond what it needs: as much as it is long, but no more than this, as in Redis.
const SPARE_BYTES_MAX: usize = 1 << 20;

pub(super) fn append(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, tail, at) = (args.at(1), args.at(2), ctx.at);
    let limit = ctx.server.config.proto_max_bulk_len;
    let db = ctx.db();
    let length = if let Some(mut slot) = db.lookup_write(key, at) {
        let old = string_in(&slot)?.len();
        let length = checked_length(old as u64, tail, limit)?;
        splice(&mut slot, length, old, tail)?;
        length
    } else {
        db.set(key, NewValue::compact(tail), Ttl::Clear, at);
        tail.len()
    };
    ctx.change(Change::new(EventClass::String, "append", key));
    ctx.reply.integer(length as i64);
    Ok(Next::Done)
}

pub(super) fn setrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, patch, at) = (args.at(1), args.at(3), ctx.at);
    let offset = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let offset = u64::try_from(offset).map_err(|_| OFFSET)?;
    let limit = ctx.server.config.proto_max_bulk_len;
    let db = ctx.db();
    let length = if let Some(mut slot) = db.lookup_write(key, at) {
        let mut length = string_in(&slot)?.len();
        if !patch.is_empty() {
            length = checked_length(offset, patch, limit)?.max(length);
            splice(&mut slot, length, offset as usize, patch)?;
        }
        length
    } else if patch.is_empty() {
        0
    } else {
        let length = checked_length(offset, patch, limit)?;
        create(db, key, length, patch, at)?;
        length
    };
    if !patch.is_empty() {
        ctx.change(Change::new(EventClass::String, "setrange", key));
    }
    ctx.reply.integer(length as i64);
    Ok(Next::Done)
}

/// The length of a string that has a patch at an offset as its end.
fn checked_length(offset: u64, patch: &[u8], limit: u64) -> Result<usize, ReplyError> {
    let length = offset.checked_add(patch.len() as u64).filter(|&length| length <= limit);
    length.and_then(|length| usize::try_from(length).ok()).ok_or(ReplyError::STRING_TOO_LONG)
}

/// Puts a patch into a string at an offset and makes it `length` bytes long; zeros fill the gap, if there is one.
fn splice(slot: &mut EntryMut<'_>, length: usize, offset: usize, patch: &[u8]) -> Result<(), ReplyError> {
    expand(slot)?;
    if let Some(mut shared) = slot.shared_mut() {
        let bytes = shared.bytes();
        reserve(bytes, length)?;
        overwrite(bytes, offset, patch);
    } else if length <= INLINE_BYTES_MAX {
        let mut bytes = [0; INLINE_BYTES_MAX];
        let old = string_in(slot)?;
        let mut buffer = TextBuffer::new();
        let text = old.text(&mut buffer);
        bytes[..text.len()].copy_from_slice(text);
        bytes[offset..][..patch.len()].copy_from_slice(patch);
        slot.map(|entry| entry.with_value_only(NewValue::Bytes(&bytes[..length])));
    } else {
        let mut bytes = Vec::new();
        reserve(&mut bytes, length)?;
        bytes.extend_from_slice(string_in(slot)?.text(&mut TextBuffer::new()));
        overwrite(&mut bytes, offset, patch);
        slot.map(|entry| entry.with_value_only(NewValue::Shared(bytes.into())));
    }
    slot.set_raw();
    Ok(())
}

/// Has a string that is held as a compressed bitmap be held as its bytes; others stay as they are.
pub(in crate::command) fn expand(slot: &mut EntryMut<'_>) -> Result<(), ReplyError> {
    let Some(roaring) = slot.roaring() else { return Ok(()) };
    let bytes = roaring.to_bytes().map_err(|_| NO_MEMORY)?;
    slot.map(|entry| entry.with_value_only(NewValue::Shared(bytes.into())));
    slot.set_raw();
    Ok(())
}

/// Makes a string at least so many bytes long, zeros at its end, and holds it as bytes even if it reads as an integer: it
/// can be edited in place from then on.
pub(in crate::command) fn extend_with_zeros(slot: &mut EntryMut<'_>, length: usize) -> Result<(), ReplyError> {
    expand(slot)?;
    if let Some(mut shared) = slot.shared_mut() {
        if length > shared.len() {
            let bytes = shared.bytes();
            reserve(bytes, length)?;
            bytes.resize(length, 0);
        }
    } else {
        let value = string_in(slot)?;
        if length > value.len() || matches!(value, Value::Int(_)) {
            let length = length.max(value.len());
            splice(slot, length, length, b"")?;
        }
    }
    slot.set_raw();
    Ok(())
}

/// So many zeros.
pub(in crate::command) fn zeros(length: usize) -> Result<Vec<u8>, ReplyError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| NO_MEMORY)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

/// Stores bytes under a key that is not there; Redis reports such a string as `raw` however short.
pub(in crate::command) fn insert_raw(db: &mut Db, key: &[u8], mut bytes: Vec<u8>, at: Moment) {
    let mut entry = Entry::new(key, NewValue::owned(&mut bytes), None);
    entry.set_raw();
    db.insert(entry, at);
}

/// Makes room for a length and for some growth beyond it.
fn reserve(bytes: &mut Vec<u8>, length: usize) -> Result<(), ReplyError> {
    if length <= bytes.capacity() {
        return Ok(());
    }
    let capacity = length.saturating_add(length.min(SPARE_BYTES_MAX));
    bytes.try_reserve_exact(capacity - bytes.len()).map_err(|_| NO_MEMORY)
}

/// Writes a patch at an offset, over what is there and beyond its end.
fn overwrite(bytes: &mut Vec<u8>, offset: usize, patch: &[u8]) {
    if bytes.len() < offset {
        bytes.resize(offset, 0);
    }
    let (over, beyond) = patch.split_at(patch.len().min(bytes.len() - offset));
    bytes[offset..][..over.len()].copy_from_slice(over);
    bytes.extend_from_slice(beyond);
}

/// A new string of zeros with a patch at its end.
fn create(db: &mut Db, key: &[u8], length: usize, patch: &[u8], at: Moment) -> Result<(), ReplyError> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| NO_MEMORY)?;
    overwrite(&mut bytes, length - patch.len(), patch);
    insert_raw(db, key, bytes, at);
    Ok(())
}

/// GETRANGE and SUBSTR.
pub(super) fn getrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let start = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let end = num::parse_i64(args.at(3)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(entry) = server.dbs[*db].lookup_read(args.at(1), *at) else {
        reply.bulk(b"");
        return Ok(Next::Done);
    };
    let value = string_in(&entry)?;
    let mut buffer = TextBuffer::new();
    let text = value.held(&mut buffer);
    match bounds(text.len(), start, end) {
        whole if whole.len() == text.len() && text.is_plain() => write_value(reply, &value),
        left if limits.is_some_and(|limits| limits.is_long_text(left.len())) => {
            return long::read_text(ctx, args.at(1), Copying { left, is_begun: false });
        }
        part => reply.bulk(text.part(part, &mut Vec::new())),
    }
    Ok(Next::Done)
}

/// GET of a string of so many bytes that is held as a compressed bitmap.
#[cold]
pub(super) fn get_compressed(ctx: &mut Ctx<'_>, key: &[u8], length: usize) -> Outcome {
    if ctx.job_limits().is_some_and(|limits| limits.is_long_text(length)) {
        return long::read_text(ctx, key, Copying { left: 0..length, is_begun: false });
    }
    let Ctx { server, reply, db, .. } = ctx;
    let entry = server.dbs[*db].peek(key);
    match entry.as_deref().and_then(Entry::string) {
        Some(value) => write_value(reply, &value),
        None => reply.null(),
    }
    Ok(Next::Done)
}

/// Bytes that are answered at once: some ten microseconds.
const PIECE_BYTES: usize = 16 << 10;

/// Where GETRANGE goes on.
#[derive(Debug)]
struct Copying {
    left: Range<usize>,
    is_begun: bool,
}

impl PlaceInText for Copying {
    fn go_on(&mut self, text: Text<'_>, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let mut buffer = Vec::new();
        if !std::mem::replace(&mut self.is_begun, true) {
            reply.open_bulk(self.left.len());
        }
        while !self.left.is_empty() {
            let end = self.left.end.min(self.left.start + PIECE_BYTES);
            reply.bulk_part(text.part(self.left.start..end, &mut buffer));
            let bytes = end - self.left.start;
            self.left.start = end;
            if !slice.spend(1, bytes) && !self.left.is_empty() {
                return false;
            }
        }
        reply.close_bulk();
        true
    }
}

/// Where the bytes are from `start` to `end`, both included and counted from the end if negative, of so many. What lies before
/// the first byte means the first byte, for `end` too: `0 -100` is one byte of any string, as Redis has it.
fn bounds(length: usize, start: i64, end: i64) -> Range<usize> {
    if start < 0 && end < 0 && start > end {
        return 0..0;
    }
    let length = length as i64;
    let from_start = |index: i64| if index < 0 { index.saturating_add(length).max(0) } else { index };
    let (start, end) = (from_start(start), from_start(end).min(length - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_redis() {
        let rows: [(&str, i64, i64, &str); 16] = [
            ("hello", 0, -1, "hello"),
            ("hello", 1, 3, "ell"),
            ("hello", -3, -2, "ll"),
            ("hello", 0, -100, "h"),
            ("hello", -100, -50, "h"),
            ("hello", -50, -100, ""),
            ("hello", -5, -100, ""),
            ("hello", 0, -6, "h"),
            ("hello", 4, 100, "o"),
            ("hello", 5, 5, ""),
            ("hello", 3, 1, ""),
            ("hello", i64::MIN, i64::MAX, "hello"),
            ("hello", i64::MAX, -1, ""),
            ("", 0, 0, ""),
            ("", 0, -1, ""),
            ("", -1, -5, ""),
        ];
        for (text, start, end, expected) in rows {
            let part = &text.as_bytes()[bounds(text.len(), start, end)];
            assert_eq!(part, expected.as_bytes(), "{text:?} {start} {end}");
        }
    }
}
