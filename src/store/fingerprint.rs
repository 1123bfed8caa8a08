//! What an entry holds, as one number: debug builds tell by it whether a value that was open for change has changed.
//!
//! Two entries of equal contents have the same fingerprint, however they are encoded. Of a big value only length, both ends
//! or some elements are looked at, so a change elsewhere may be missed; one that is seen has happened. Access times count
//! as little as the state of timers, and of streams the times at which consumers were seen.

use std::hash::{DefaultHasher, Hash as _, Hasher};

use super::entry::{Entry, TextBuffer};
use super::types::array::{Array, INDEX_MAX};
use super::types::roaring::Text;
use super::types::stream::Stream;
use super::types::{Collection, Hash, List, Object, Set, ZSet};

/// Elements that are looked at: at either end where there is an order, else in all.
const ELEMENTS_MAX: usize = 64;

/// Bytes of a string that are looked at, at either end.
const STRING_BYTES_MAX: usize = 8 << 10;

/// Scan steps that may find nothing before a sample is left as small as it is.
const SCANS_MAX: usize = 4 * ELEMENTS_MAX;

/// The fingerprint of an entry. O(1), or a walk of a listpack.
pub(super) fn of(entry: &Entry) -> u64 {
    let mut hasher = DefaultHasher::new();
    entry.deadline_ms().hash(&mut hasher);
    (entry.type_of() as u8).hash(&mut hasher);
    if let Some(string) = entry.string() {
        add_string(string.held(&mut TextBuffer::new()), &mut hasher);
    }
    if let Some(object) = entry.object() {
        // Not what is seen of it: that changes with the time.
        let len = match &*object {
            Object::Set(set) => set.total(),
            Object::ZSet(zset) => zset.total(),
            object => object.len(),
        };
        len.hash(&mut hasher);
        match &*object {
            Object::List(list) => add_list(list, &mut hasher),
            Object::Set(set) => add_set(set, &mut hasher),
            Object::ZSet(zset) => add_zset(zset, &mut hasher),
            Object::Hash(hash) => add_hash(hash, &mut hasher),
            Object::Stream(stream) => add_stream(stream, &mut hasher),
            Object::Array(array) => add_array(array, &mut hasher),
        }
    }
    hasher.finish()
}

fn add_string(text: Text<'_>, hasher: &mut DefaultHasher) {
    let (length, mut buffer) = (text.len(), Vec::new());
    length.hash(hasher);
    hasher.write(text.part(0..length.min(STRING_BYTES_MAX), &mut buffer));
    hasher.write(text.part(length.saturating_sub(STRING_BYTES_MAX)..length, &mut buffer));
}

fn add_list(list: &List, hasher: &mut DefaultHasher) {
    let tail = list.len().saturating_sub(ELEMENTS_MAX);
    let elements = list.elements().take(ELEMENTS_MAX).chain(list.elements_from(tail).take(ELEMENTS_MAX));
    elements.for_each(|element| element.text(&mut itoa::Buffer::new()).hash(hasher));
}

fn add_zset(zset: &ZSet, hasher: &mut DefaultHasher) {
    let tail = zset.total().saturating_sub(ELEMENTS_MAX);
    for (member, score, deadline_ms) in zset.iter_all(0..ELEMENTS_MAX).chain(zset.iter_all(tail..usize::MAX)) {
        member.text(&mut itoa::Buffer::new()).hash(hasher);
        (score.to_bits(), deadline_ms).hash(hasher);
    }
}

/// Adds elements without an order: their own fingerprints are summed up.
fn add_unordered(hasher: &mut DefaultHasher, mut scan: impl FnMut(u64, &mut dyn FnMut(u64)) -> u64) {
    let (mut sum, mut count, mut cursor) = (0_u64, 0, 0);
    for _ in 0..SCANS_MAX {
        cursor = scan(cursor, &mut |element| {
            sum = sum.wrapping_add(element);
            count += 1;
        });
        if cursor == 0 || count >= ELEMENTS_MAX {
            break;
        }
    }
    sum.hash(hasher);
}

fn add_set(set: &Set, hasher: &mut DefaultHasher) {
    add_unordered(hasher, |cursor, add| {
        set.scan_all(cursor, |member, deadline_ms| {
            let mut element = DefaultHasher::new();
            member.text(&mut itoa::Buffer::new()).hash(&mut element);
            deadline_ms.hash(&mut element);
            add(element.finish());
        })
    });
}

fn add_hash(hash: &Hash, hasher: &mut DefaultHasher) {
    add_unordered(hasher, |cursor, add| {
        hash.scan(cursor, i64::MIN, |name, value, deadline_ms| {
            let mut element = DefaultHasher::new();
            name.text(&mut itoa::Buffer::new()).hash(&mut element);
            value.text(&mut itoa::Buffer::new()).hash(&mut element);
            deadline_ms.hash(&mut element);
            add(element.finish());
        })
    });
}

fn add_array(array: &Array, hasher: &mut DefaultHasher) {
    array.next().hash(hasher);
    let ends = array.range(0, INDEX_MAX).take(ELEMENTS_MAX).chain(array.range(0, INDEX_MAX).rev().take(ELEMENTS_MAX));
    ends.for_each(|element| element.hash(hasher));
}

fn add_stream(stream: &Stream, hasher: &mut DefaultHasher) {
    let ids = [stream.first_id(), stream.last_id(), stream.max_deleted_id()];
    ids.iter().for_each(|id| id.to_bytes().hash(hasher));
    stream.entries_added().hash(hasher);
    if let Some(of) = stream.producers() {
        (of.remembering().duration_s, of.remembering().ids_max, of.added, of.duplicates).hash(hasher);
    }
    stream.groups().len().hash(hasher);
    for (name, group) in stream.groups().take(ELEMENTS_MAX) {
        (name, group.last_id.to_bytes(), group.entries_read).hash(hasher);
        group.consumers().len().hash(hasher);
        for consumer in group.consumers().take(ELEMENTS_MAX) {
            (consumer.name(), consumer.pending().len()).hash(hasher);
        }
        group.pending().len().hash(hasher);
        let pending = group.pending();
        for (id, pending) in pending.iter().take(ELEMENTS_MAX).chain(pending.iter().rev().take(ELEMENTS_MAX)) {
            (id.to_bytes(), pending.delivered_ms(), pending.deliveries, pending.owner().is_some()).hash(hasher);
            group.owner_name(pending).hash(hasher);
        }
        group.released_ids().take(ELEMENTS_MAX).for_each(|id| id.to_bytes().hash(hasher));
    }
}
