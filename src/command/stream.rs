//! Streams: the rows, what the handlers share, and the handlers by noun in the modules below.

mod add;
mod claim;
mod group;
mod ids;
mod info;
mod passing;
mod pending;
mod producers;
mod range;
mod read;
mod release;
mod remove;
mod room;
mod rows;
mod trimming;

use super::spec::Outcome;
use crate::config::EventClass;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::Ctx;
use crate::store::pack::Item;
use crate::store::types::Stream;
use crate::store::types::stream::{ConsumerId, Entry, StreamId};

pub use rows::ROWS;

/// Writes an id.
fn write_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(id.text().as_bytes());
}

fn write_item(reply: &mut Reply<'_>, item: Item<'_>) {
    match item {
        Item::Int(n) => reply.bulk_integer(n),
        Item::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Writes an entry: its id, and its fields and values in one array.
fn write_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    write_fields(reply, entry);
}

/// Writes the fields and values of an entry in one array.
fn write_fields(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2 * entry.len());
    for (field, value) in entry.pairs() {
        write_item(reply, field);
        write_item(reply, value);
    }
}

/// Writes an array of entries, no more than `count` (0 for all) of the `len` there may be.
fn write_entries<'s>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'s>>, count: usize, len: usize) {
    let count = if count == 0 { usize::MAX } else { count };
    let array = reply.open_array(count.min(len));
    let mut written = 0;
    for entry in entries.take(count) {
        write_entry(reply, &entry);
        written += 1;
    }
    reply.close_array(array, written);
}

/// The refusal of a group, or of the key that should have it.
fn no_key_or_group(key: &[u8], group: &[u8], end: &str) -> ReplyError {
    let [key, group] = [key, group].map(|text| text.split(|&byte| byte == 0).next().unwrap_or_default());
    let parts = [b"NOGROUP No such key '" as &[u8], key, b"' or consumer group '", group, b"'", end.as_bytes()];
    ReplyError::owned(parts.concat())
}

/// The refusal of a group of a key that is there.
fn no_group(key: &[u8], group: &[u8]) -> ReplyError {
    let [key, group] = [key, group].map(|text| text.split(|&byte| byte == 0).next().unwrap_or_default());
    ReplyError::owned([b"NOGROUP No such consumer group '" as &[u8], group, b"' for key name '", key, b"'"].concat())
}

/// The consumer of a name, made if it is not there yet; true if it was made, which [`tell_of_consumer`] has to tell.
fn consumer_of(stream: &mut Stream, group: &[u8], name: &[u8], now_ms: i64) -> (ConsumerId, bool) {
    let group = stream.group_mut(group).expect("the caller has found the group");
    match group.find(name) {
        Some(id) => {
            group.consumer_mut(id).seen_ms = now_ms;
            (id, false)
        }
        None => (group.add_consumer(name, now_ms), true),
    }
}

/// Tells that a command has made a consumer by naming it.
fn tell_of_consumer(ctx: &mut Ctx<'_>, key: &[u8]) {
    ctx.change(Change::new(EventClass::Stream, "xgroup-createconsumer", key).beside_the_value());
}
