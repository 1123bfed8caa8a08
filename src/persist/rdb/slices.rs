//! A large value written piece by piece: the same bytes as [`Writer::body`] writes at once, but for the first deadline of a
//! hash's fields, which may be told earlier than it is.
//!
//! Each piece is some `ELEMENTS` elements, or `BYTES` bytes of a string. Where the next one begins is a place in the value
//! (an index, a cursor, a rank, an id) and not a reference into it, so the value may move in memory between two pieces. It must
//! not change.

use std::ops::Bound;

use super::code;
use super::write::Writer;
use crate::store::entry::{Entry, TextBuffer, Value};
use crate::store::types::array::INDEX_MAX;
use crate::store::types::stream::parts::{NOBODY_SEEN_MS, name_of_nobody};
use crate::store::types::stream::{Producers, StreamId};
use crate::store::types::{Collection, Hash, List, Object, SIZE_SAMPLES, Set, Stream, ZSet};

/// Elements of a piece: some 20 us.
const ELEMENTS: usize = 256;
/// Nodes of lists and streams of a piece: up to 8 KiB each by default, which are compressed.
const NODES: usize = 4;
/// Chunks of compressed bitmaps of a piece: up to 8 KiB each, which are compressed.
const CHUNKS: usize = 4;
/// Bytes of a piece of a string.
const BYTES: usize = 128 << 10;
/// Elements beyond which a value is large.
const LARGE_ELEMENTS: usize = 1024;
/// Bytes beyond which a collection is large: a millisecond of compressing.
const LARGE_BYTES: usize = 256 << 10;
/// Bytes beyond which a string is large. Shorter ones are handed over as they lie in memory, at no cost.
pub const LARGE_STRING_BYTES: usize = 4 << 20;
/// Elements whose deadlines have passed are written as well.
const NEVER_MS: i64 = i64::MIN;

/// True if a value takes too long to be written at once. O(1).
pub fn is_large(entry: &Entry) -> bool {
    match (entry.string(), entry.object()) {
        (Some(Value::Roaring(roaring)), _) => roaring.len() > LARGE_BYTES,
        (Some(string), _) => matches!(string, Value::Shared(bytes) if bytes.len() > LARGE_STRING_BYTES),
        (None, Some(object)) => object.len() > LARGE_ELEMENTS || object.heap_bytes(SIZE_SAMPLES) > LARGE_BYTES,
        (None, None) => false,
    }
}

/// What is left to be written of a value.
#[derive(Debug)]
pub enum Slices {
    /// All of it, at once: it cannot be divided.
    Whole,
    /// A string from this byte on.
    String(usize),
    /// A compressed bitmap from the chunk of this key on.
    Bitmap(u16),
    /// A list from this node on.
    List(usize),
    /// A set.
    Set {
        /// Where it goes on.
        cursor: u64,
        /// How members are written.
        form: u8,
    },
    /// A sorted set.
    ZSet {
        /// So many members, the lowest, are left.
        left: usize,
        /// How they are written.
        form: u8,
    },
    /// A hash from this cursor on.
    Hash {
        /// Where it goes on.
        cursor: u64,
        /// How fields are written.
        form: u8,
        /// The deadlines of fields count from this time.
        first_ms: i64,
    },
    /// A stream.
    Stream(StreamPlace),
    /// An array from this index on.
    Array(u64),
}

/// A place in a stream as it is written.
#[derive(Debug)]
pub enum StreamPlace {
    /// Its nodes, behind that of this id.
    Nodes(Option<StreamId>),
    /// The pending entries of a group, behind that of this id.
    Pending(usize, Option<StreamId>),
    /// Those of a consumer of a group; behind the last consumer those that were released.
    Consumer(usize, usize, Option<StreamId>),
    /// The ids of the producer of this name, behind so many of them.
    Producer(Box<[u8]>, usize),
}

impl Slices {
    /// Writes the beginning of a value, whose form has been written.
    pub fn begin(entry: &Entry, writer: &mut Writer) -> Slices {
        match (entry.string(), entry.object().as_deref()) {
            (Some(Value::Shared(bytes)), _) => {
                writer.plain_head(bytes.len());
                Slices::String(0)
            }
            (Some(Value::Roaring(roaring)), _) => match writer.bitmap_of(entry) {
                Some(roaring) => {
                    writer.bitmap_head(&roaring);
                    Slices::Bitmap(0)
                }
                None => {
                    writer.plain_head(roaring.len());
                    Slices::String(0)
                }
            },
            (_, Some(Object::List(list))) => {
                writer.count(list.part_count());
                Slices::List(0)
            }
            (_, Some(Object::Set(set))) if set.as_pack().is_none() && set.as_intset().is_none() => {
                writer.count(set.total());
                Slices::Set { cursor: 0, form: writer.form(entry) }
            }
            (_, Some(Object::ZSet(zset))) if zset.as_pack().is_none() => {
                writer.count(zset.total());
                Slices::ZSet { left: zset.total(), form: writer.form(entry) }
            }
            (_, Some(Object::Hash(hash))) if hash.is_packed().is_none() => {
                let (form, first_ms) = (writer.form(entry), hash.next_due_ms().unwrap_or(0));
                if form == code::HASH_METADATA {
                    writer.time_ms(first_ms);
                }
                writer.count(hash.len());
                Slices::Hash { cursor: 0, form, first_ms }
            }
            (_, Some(Object::Stream(stream))) => {
                writer.count(stream.nodes().len());
                Slices::Stream(StreamPlace::Nodes(None))
            }
            (_, Some(Object::Array(array))) => {
                writer.array_head(array);
                Slices::Array(0)
            }
            _ => Slices::Whole,
        }
    }

    /// Writes the next piece; true if it was the last.
    pub fn go_on(&mut self, entry: &Entry, writer: &mut Writer) -> bool {
        match (&mut *self, entry.string(), entry.object().as_deref()) {
            (Slices::String(at), Some(string), _) => {
                let (mut buffer, mut part) = (TextBuffer::new(), Vec::new());
                let text = string.held(&mut buffer);
                let end = text.len().min(*at + BYTES);
                writer.raw(text.part(*at..end, &mut part));
                *at = end;
                end == text.len()
            }
            (Slices::Bitmap(from), Some(Value::Roaring(roaring)), _) => {
                for _ in 0..CHUNKS {
                    match writer.bitmap_chunk(&roaring, *from) {
                        Some(next) => *from = next,
                        None => return true,
                    }
                }
                false
            }
            (Slices::List(at), _, Some(Object::List(list))) => list_nodes(list, at, writer),
            (Slices::Set { cursor, form }, _, Some(Object::Set(set))) => set_members(set, cursor, *form, writer),
            (Slices::ZSet { left, form }, _, Some(Object::ZSet(zset))) => zset_members(zset, left, *form, writer),
            (Slices::Hash { cursor, form, first_ms }, _, Some(Object::Hash(hash))) => {
                hash_fields(hash, cursor, *form, *first_ms, writer)
            }
            (Slices::Stream(place), _, Some(Object::Stream(stream))) => match stream_part(stream, place, writer) {
                Some(next) => {
                    *place = next;
                    false
                }
                None => true,
            },
            (Slices::Array(from), _, Some(Object::Array(array))) => {
                let mut written = 0;
                for (index, text) in array.range(*from, INDEX_MAX).take(ELEMENTS) {
                    writer.array_element(index, text);
                    (written, *from) = (written + 1, index + 1);
                }
                written < ELEMENTS
            }
            _ => {
                writer.body(entry);
                true
            }
        }
    }
}

fn list_nodes(list: &List, at: &mut usize, writer: &mut Writer) -> bool {
    for part in list.parts_from(*at).take(NODES) {
        writer.list_part(part);
    }
    *at += NODES;
    *at >= list.part_count()
}

fn set_members(set: &Set, cursor: &mut u64, form: u8, writer: &mut Writer) -> bool {
    let mut written = 0;
    while written < ELEMENTS {
        *cursor = set.scan_all(*cursor, |member, deadline_ms| {
            writer.member(form, member, deadline_ms);
            written += 1;
        });
        if *cursor == 0 {
            return true;
        }
    }
    false
}

fn zset_members(zset: &ZSet, left: &mut usize, form: u8, writer: &mut Writer) -> bool {
    let first = left.saturating_sub(ELEMENTS);
    zset.iter_all(first..*left).rev().for_each(|entry| writer.scored_member(form, entry));
    *left = first;
    first == 0
}

fn hash_fields(hash: &Hash, cursor: &mut u64, form: u8, first_ms: i64, writer: &mut Writer) -> bool {
    let mut written = 0;
    while written < ELEMENTS {
        *cursor = hash.scan(*cursor, NEVER_MS, |name, value, deadline_ms| {
            written += 1;
            if form == code::HASH_METADATA {
                // One more than how much later than the first it is: 0 is for none.
                writer.length(deadline_ms.map_or(0, |ms| ms.abs_diff(first_ms) + 1));
            }
            writer.item(name);
            writer.item(value);
            if form == code::VALKEY_HASH_2 {
                writer.time_ms(deadline_ms.unwrap_or(-1));
            }
        });
        if *cursor == 0 {
            return true;
        }
    }
    false
}

/// Writes a part of a stream, and returns the place that follows.
fn stream_part(stream: &Stream, place: &StreamPlace, writer: &mut Writer) -> Option<StreamPlace> {
    match *place {
        StreamPlace::Nodes(after) => {
            let mut last = None;
            for (id, pack) in stream.nodes_after(after).take(NODES) {
                writer.string(&id.to_bytes());
                writer.string(pack.as_bytes());
                last = Some(id);
            }
            match last {
                Some(id) => Some(StreamPlace::Nodes(Some(id))),
                None => {
                    stream_facts(stream, writer);
                    begin_group(stream, 0, writer)
                }
            }
        }
        StreamPlace::Pending(index, after) => {
            let (_, group) = stream.groups().nth(index)?;
            let mut last = None;
            for (&id, pending) in group.pending().range((behind(after), Bound::Unbounded)).take(ELEMENTS) {
                writer.raw(&id.to_bytes());
                writer.time_ms(pending.delivered_ms());
                writer.length(pending.deliveries);
                last = Some(id);
            }
            match last {
                Some(id) => Some(StreamPlace::Pending(index, Some(id))),
                None => {
                    writer.count(group.consumers().len() + usize::from(group.released() > 0));
                    begin_consumer(stream, index, 0, writer)
                }
            }
        }
        StreamPlace::Consumer(index, nth, after) => {
            let (_, group) = stream.groups().nth(index)?;
            let mut last = None;
            let mut write = |id: StreamId| {
                writer.raw(&id.to_bytes());
                last = Some(id);
            };
            match group.consumers().nth(nth) {
                Some(consumer) => {
                    let own = consumer.pending().range((behind(after), Bound::Unbounded));
                    own.take(ELEMENTS).for_each(|&id| write(id));
                }
                None => group.released_after(after).take(ELEMENTS).for_each(write),
            }
            match last {
                Some(id) => Some(StreamPlace::Consumer(index, nth, Some(id))),
                None => begin_consumer(stream, index, nth + 1, writer),
            }
        }
        StreamPlace::Producer(ref name, index) => {
            let producers = stream.producers()?;
            let producer = producers.producer(name)?;
            producer.ids_from(index).take(ELEMENTS).for_each(|(id, entry)| writer.produced(id, entry));
            match index + ELEMENTS {
                index if index < producer.count() => Some(StreamPlace::Producer(name.clone(), index)),
                _ => begin_producer(producers, Some(name), writer),
            }
        }
    }
}

/// Begins the memory of producers, if the version holds it: what a stream ends with.
fn begin_producers(stream: &Stream, writer: &mut Writer) -> Option<StreamPlace> {
    let producers = writer.producers_of(stream)?;
    writer.begin_producers(producers);
    begin_producer(producers, None, writer)
}

/// Begins the producer behind the one of a name, or the first one; after the last one come the counters.
fn begin_producer(producers: &Producers, name: Option<&[u8]>, writer: &mut Writer) -> Option<StreamPlace> {
    let Some((name, producer)) = producers.after(name).next() else {
        writer.length(producers.added);
        writer.length(producers.duplicates);
        return None;
    };
    writer.string(name);
    writer.count(producer.count());
    Some(StreamPlace::Producer(name.into(), 0))
}

fn behind(id: Option<StreamId>) -> Bound<StreamId> {
    id.map_or(Bound::Unbounded, Bound::Excluded)
}

fn stream_facts(stream: &Stream, writer: &mut Writer) {
    writer.count(stream.len());
    for id in [stream.last_id(), stream.first_id(), stream.max_deleted_id()] {
        writer.length(id.ms);
        writer.length(id.seq);
    }
    writer.length(stream.entries_added());
    writer.count(stream.groups().len());
}

fn begin_group(stream: &Stream, index: usize, writer: &mut Writer) -> Option<StreamPlace> {
    let Some((name, group)) = stream.groups().nth(index) else { return begin_producers(stream, writer) };
    writer.string(name);
    writer.length(group.last_id.ms);
    writer.length(group.last_id.seq);
    writer.length(group.entries_read.unwrap_or(u64::MAX));
    writer.count(group.pending().len());
    Some(StreamPlace::Pending(index, None))
}

/// Begins a consumer of a group, or, after its last one, the next group.
fn begin_consumer(stream: &Stream, index: usize, nth: usize, writer: &mut Writer) -> Option<StreamPlace> {
    let (_, group) = stream.groups().nth(index)?;
    match group.consumers().nth(nth) {
        Some(one) => writer.begin_consumer(one.name(), one.seen_ms, one.active_ms, one.pending().len()),
        None if nth == group.consumers().len() && group.released() > 0 => {
            writer.begin_consumer(&name_of_nobody(group), NOBODY_SEEN_MS, None, group.released());
        }
        None => return begin_group(stream, index + 1, writer),
    }
    Some(StreamPlace::Consumer(index, nth, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::persist::rdb::write::Version;
    use crate::store::entry::NewValue;
    use crate::store::hash::KeyHasher;
    use crate::store::types::list::{End, Fill};
    use crate::store::types::roaring::Roaring;
    use crate::store::types::stream::{Group, NodeLimits};
    use crate::store::types::{Array, hash, set, zset};

    /// A value of each type, with so many elements.
    fn values(count: usize) -> Vec<Entry> {
        let hasher = KeyHasher::new([5; 16]);
        let text = |n: usize| format!("element {n}").into_bytes();
        let mut list = List::new();
        let fill = Fill::default();
        let policy = set::Policy { intset_entries: 4, listpack_entries: 4, listpack_value: 64, hasher };
        let (mut members, mut ranked, mut fields) = (Set::ints(), ZSet::default(), Hash::new());
        let zlimits = zset::Limits { entries: 4, value: 64, hasher };
        let hlimits = hash::Limits { entries: 4, value: 64, hasher };
        let (mut array, mut leaving, mut leaving_ranked) = (Array::default(), Set::ints(), ZSet::default());
        let mut stream = Stream::default();
        let mut group = Group::new(StreamId { ms: 5, seq: 0 }, Some(3));
        let consumers = [group.add_consumer(b"one", 1), group.add_consumer(b"two", 2), group.add_consumer(b"idle", 3)];
        for n in 0..count {
            list.make_room(fill, text(n).len(), 1);
            list.push(End::Tail, &text(n));
            members.insert(&text(n), &policy);
            ranked.insert(&text(n), n as f64 / 3.0, &zlimits);
            array.set((n as u64) << (n % 40), &text(n));
            let deadline_ms = (n % 3 == 0).then_some(n as i64);
            leaving.load(&text(n), deadline_ms, hasher);
            leaving_ranked.load(&text(n), n as f64 / 3.0, deadline_ms, hasher);
            fields.set(&text(n), &text(n), false, 0, &hlimits);
            let id = StreamId { ms: n as u64 + 1, seq: 7 };
            let pair = [&b"field"[..], b"value"];
            stream.append(id, pair.into_iter(), NodeLimits { bytes: 0, entries: 100 });
            group.deliver(id, consumers[n % 2], n as i64);
        }
        for n in 0..2000_u64 {
            let producers = stream.producers_mut();
            producers.remember(
                if n < 1900 { b"one" } else { b"two" },
                &n.to_le_bytes(),
                StreamId { ms: n, seq: 1 },
                None,
            );
        }
        stream.add_group(b"group", group);
        stream.add_group(b"empty", Group::new(StreamId { ms: 0, seq: 0 }, None));
        let objects = [
            Object::List(list),
            Object::Set(members),
            Object::ZSet(ranked),
            Object::Hash(fields),
            Object::Stream(stream),
            Object::Array(array),
            Object::Set(leaving),
            Object::ZSet(leaving_ranked),
        ];
        let mut entries: Vec<Entry> =
            objects.into_iter().map(|object| Entry::new(b"key", NewValue::Object(object), None)).collect();
        let mut prng = Prng::seeded(1);
        let noise: Vec<u8> = (0..1000 * count).map(|_| prng.next_u64() as u8).collect();
        entries.push(Entry::new(b"key", NewValue::Bytes(&noise), None));
        let mut roaring = Roaring::zeros(1100 + 1000 * count);
        (0..count as u64).for_each(|n| roaring.set(n * 8001, true));
        entries.push(Entry::new(b"key", NewValue::Roaring(roaring.into()), None));
        entries
    }

    #[test]
    fn the_pieces_of_a_value_are_the_bytes_of_the_whole() {
        for version in [Version::Redis10, Version::Redis11, Version::Redis12, Version::Redis13, Version::Valkey80] {
            for count in [1, 3, 100, 256, 257, 3000] {
                for entry in values(count) {
                    // A string in pieces is not compressed.
                    let compress = entry.roaring().is_none();
                    let [mut whole, mut pieces] = [(), ()].map(|()| Writer::new(version, compress).with_bitmaps());
                    whole.value(&entry);
                    pieces.byte(pieces.form(&entry));
                    let mut slices = Slices::begin(&entry, &mut pieces);
                    let mut calls = 1;
                    while !slices.go_on(&entry, &mut pieces) {
                        calls += 1;
                    }
                    assert!(whole.take() == pieces.take(), "{count} elements, {slices:?}");
                    assert!(count < 3000 || calls > 1, "in one piece: {slices:?}, {version:?}");
                    assert_eq!(
                        is_large(&entry),
                        count == 3000 && (entry.string().is_none() || entry.roaring().is_some()),
                        "{slices:?}"
                    );
                }
            }
        }
    }
}
