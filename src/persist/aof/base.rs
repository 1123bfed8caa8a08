//! The base of a log as commands (`aof-use-rdb-preamble no`): what is in the databases, as the commands that make it from nothing.
//!
//! | value | commands |
//! | --- | --- |
//! | string | `SET` |
//! | list, set, sorted set | `RPUSH`, `SADD`, `ZADD` of up to 64 elements |
//! | hash | `HMSET` of up to 64 fields, then `HPEXPIREAT` for each field with a deadline |
//! | array | `ARMSET` of up to 64 elements, `ARSEEK` |
//! | stream | `XADD` for each entry, `XSETID` |
//! | group of a stream | `XGROUP CREATE`; for each consumer `XGROUP CREATECONSUMER`, or `XCLAIM` for what is pending |
//! | what a group's consumers released | `XNACK` for each entry, in the order of that |
//! | producers of a stream | `XCFGSET`, `XIDMPRECORD` for each id that one gave an entry |
//! | library of functions | `FUNCTION LOAD` |
//! | script | `SCRIPT LOAD` |
//!
//! `SELECT` comes before the keys of a database, and `PEXPIREAT` behind a key with a deadline. These are the commands of Redis's
//! own rewrite, so that any Redis loads them; what they cannot say is lost as it is there: when consumers were seen, and how long
//! a key has been idle.
//!
//! # Pending entries that are gone
//! `XCLAIM` takes no entry that is not in the stream, so that in Redis a rewrite drops what consumers have not acknowledged and
//! somebody has deleted. Here such an entry is added in its place, claimed, and deleted again.
//!
//! # Pieces
//! A value is written piece by piece, of some `ELEMENTS` elements or `BYTES` bytes each: [`CommandWriter::begin`], then
//! [`CommandWriter::go_on`] until it is whole. Where the next piece begins is a place in the value and not a reference into it
//! (as in `rdb::slices`), and the value must not change meanwhile. Every piece ends with a whole command, but for those of a
//! string.

use std::ops::Bound;

use crate::base::num;
use crate::store::entry::{Entry, TextBuffer};
use crate::store::pack::Item;
use crate::store::types::array::{Array, INDEX_MAX};
use crate::store::types::roaring::Text;
use crate::store::types::stream::{Group, Producers, Remembering, StreamId};
use crate::store::types::{Collection, Hash, List, Object, Set, Stream, ZSet};

/// Elements of a command: Redis's number.
const COMMAND_ELEMENTS: usize = 64;
/// Elements of a piece.
const ELEMENTS: usize = 4 * COMMAND_ELEMENTS;
/// Nodes of a list in a piece: up to 8 KiB each by default.
const NODES: usize = 4;
/// Bytes of a piece of a string.
const BYTES: usize = 128 << 10;
/// Elements whose deadlines have passed are written as well.
const NEVER_MS: i64 = i64::MIN;

/// Writes keys as commands, one behind the other. What was written gathers until the caller takes it.
#[derive(Debug, Default)]
pub struct CommandWriter {
    out: Vec<u8>,
    /// Arguments of the next command, encoded, and how many elements they are.
    args: Vec<u8>,
    arg_count: usize,
    elements: usize,
    /// The database that was selected last.
    selected: Option<usize>,
    is_in_string: bool,
}

/// What is left to be written of a value.
#[derive(Debug)]
pub enum Rest {
    /// A string from this byte on.
    String(usize),
    /// A list from this node on.
    List(usize),
    /// A set from this cursor on.
    Set(u64),
    /// A sorted set from this rank on.
    ZSet(usize),
    /// A hash from this cursor on.
    Hash(u64),
    /// An array from this index on.
    Array(u64),
    /// A stream.
    Stream {
        /// Where it goes on.
        place: StreamPlace,
        /// Pending entries that are gone and have been added for a while.
        placeholders: u64,
        /// The last of them.
        last_placeholder: StreamId,
    },
}

/// A place in a stream as it is written.
#[derive(Clone, Debug)]
pub enum StreamPlace {
    /// The entries behind this id, and those among them that are pending and gone.
    Entries(StreamId),
    /// A group.
    Group(usize),
    /// A consumer of a group, and its pending entries behind this id; behind the last one those that were released.
    Consumer(usize, usize, StreamId),
    /// The placeholders behind this id, to be deleted.
    Placeholders(StreamId),
    /// The ids that producers gave entries: those of one of them behind so many, and of the ones behind it.
    Producers(Box<[u8]>, usize),
}

/// The whole file.
impl CommandWriter {
    /// Bytes that were written and have not been taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True if all that was written has been taken.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Takes what was written.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// True if what was written ends with a whole command.
    pub fn is_between_commands(&self) -> bool {
        !self.is_in_string
    }

    /// Notes the time, as `aof-timestamp-enabled` asks for.
    pub fn time(&mut self, unix_s: i64) {
        self.out.extend_from_slice(b"#TS:");
        num::write_i64(&mut self.out, unix_s);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes a script that EVALSHA is to know.
    pub fn script(&mut self, body: &[u8]) {
        self.command(&[b"SCRIPT", b"LOAD", body]);
    }

    /// Writes a library of functions.
    pub fn function(&mut self, code: &[u8]) {
        self.command(&[b"FUNCTION", b"LOAD", code]);
    }

    /// Says that the keys that follow are of this database, unless that has been said.
    pub fn select(&mut self, db: usize) {
        if self.selected.replace(db) != Some(db) {
            self.command(&[b"SELECT", itoa::Buffer::new().format(db).as_bytes()]);
        }
    }

    /// Bytes of another writer follow: whatever comes next has to select its database.
    pub fn forget_selected(&mut self) {
        self.selected = None;
    }
}

/// Keys.
impl CommandWriter {
    /// Writes a key with its value and its deadline. O(bytes).
    pub fn entry(&mut self, entry: &Entry) {
        let mut rest = self.begin(entry);
        while !self.go_on(entry, &mut rest) {}
    }

    /// Begins a key, to be gone on with.
    pub fn begin(&mut self, entry: &Entry) -> Rest {
        debug_assert!(self.selected.is_some(), "a key is some database's");
        match entry.object().as_deref() {
            None => {
                let bytes = entry.string().map_or(0, |string| string.len());
                self.begin_string(entry, bytes);
                Rest::String(0)
            }
            Some(Object::List(_)) => Rest::List(0),
            Some(Object::Set(_)) => Rest::Set(0),
            Some(Object::ZSet(_)) => Rest::ZSet(0),
            Some(Object::Hash(_)) => Rest::Hash(0),
            Some(Object::Array(_)) => Rest::Array(0),
            Some(Object::Stream(_)) => {
                let place = StreamPlace::Entries(StreamId::MIN);
                Rest::Stream { place, placeholders: 0, last_placeholder: StreamId::MIN }
            }
        }
    }

    /// Begins a key with a string of so many bytes, which the caller puts behind what was written so far, before
    /// [`CommandWriter::end_string`].
    pub fn begin_string(&mut self, entry: &Entry, bytes: usize) {
        self.array(3);
        self.bulk(b"SET");
        self.bulk(entry.key());
        self.bulk_head(bytes);
        self.is_in_string = true;
    }

    /// Ends it.
    pub fn end_string(&mut self, entry: &Entry) {
        self.out.extend_from_slice(b"\r\n");
        self.is_in_string = false;
        self.attributes(entry);
    }

    /// Writes the next piece of a key; true if it was the last.
    pub fn go_on(&mut self, entry: &Entry, rest: &mut Rest) -> bool {
        let key = entry.key();
        let done = match (rest, entry.object().as_deref()) {
            (Rest::String(at), None) => {
                let (mut buffer, mut part) = (TextBuffer::new(), Vec::new());
                let string = entry.string();
                let text = string.as_ref().map_or(Text::Plain(b""), |string| string.held(&mut buffer));
                let end = text.len().min(*at + BYTES);
                self.out.extend_from_slice(text.part(*at..end, &mut part));
                *at = end;
                if end == text.len() {
                    self.end_string(entry);
                    return true;
                }
                false
            }
            (Rest::List(at), Some(Object::List(list))) => self.list_nodes(key, list, at),
            (Rest::Set(cursor), Some(Object::Set(set))) => self.set_members(key, set, cursor),
            (Rest::ZSet(rank), Some(Object::ZSet(zset))) => self.zset_members(key, zset, rank),
            (Rest::Hash(cursor), Some(Object::Hash(hash))) => self.hash_fields(key, hash, cursor),
            (Rest::Array(from), Some(Object::Array(array))) => self.array_elements(key, array, from),
            (Rest::Stream { place, placeholders, last_placeholder }, Some(Object::Stream(stream))) => {
                match self.stream_part(key, stream, place.clone(), placeholders, last_placeholder) {
                    Some(next) => {
                        *place = next;
                        false
                    }
                    None => true,
                }
            }
            _ => unreachable!("the value is of the type that it was of when it was begun"),
        };
        if done {
            self.attributes(entry);
        }
        done
    }

    /// What is kept of a key beside its value.
    fn attributes(&mut self, entry: &Entry) {
        if let Some(deadline_ms) = entry.deadline_ms() {
            self.command(&[b"PEXPIREAT", entry.key(), itoa::Buffer::new().format(deadline_ms).as_bytes()]);
        }
        if entry.is_blessed() {
            self.command(&[b"BLESS", b"SET", entry.key(), b"NO-EVICT"]);
        }
    }
}

/// Values by their types.
impl CommandWriter {
    fn list_nodes(&mut self, key: &[u8], list: &List, at: &mut usize) -> bool {
        for element in list.elements_of_parts(*at, NODES) {
            self.arg(element.text(&mut itoa::Buffer::new()));
            self.element_ends(b"RPUSH", key);
        }
        self.end_elements(b"RPUSH", key);
        *at += NODES;
        *at >= list.part_count()
    }

    fn set_members(&mut self, key: &[u8], set: &Set, cursor: &mut u64) -> bool {
        let (mut written, mut timed) = (0, Vec::new());
        while written < ELEMENTS {
            *cursor = set.scan_all(*cursor, |member, deadline_ms| {
                written += 1;
                self.item(member);
                self.element_ends(b"SADD", key);
                timed.extend(deadline_ms.map(|deadline_ms| (member.to_vec(), deadline_ms)));
            });
            if *cursor == 0 {
                break;
            }
        }
        self.end_elements(b"SADD", key);
        self.element_deadlines(b"SPEXPIREAT", key, b"MEMBERS", &timed);
        *cursor == 0
    }

    fn zset_members(&mut self, key: &[u8], zset: &ZSet, rank: &mut usize) -> bool {
        let end = zset.total().min(*rank + ELEMENTS);
        let (mut score_text, mut timed) = (Vec::new(), Vec::new());
        for (member, score, deadline_ms) in zset.iter_all(*rank..end) {
            score_text.clear();
            num::write_f64(&mut score_text, score);
            self.arg(&score_text);
            self.item(member);
            self.element_ends(b"ZADD", key);
            timed.extend(deadline_ms.map(|deadline_ms| (member.to_vec(), deadline_ms)));
        }
        self.end_elements(b"ZADD", key);
        self.element_deadlines(b"ZPEXPIREAT", key, b"MEMBERS", &timed);
        *rank = end;
        end == zset.total()
    }

    fn hash_fields(&mut self, key: &[u8], hash: &Hash, cursor: &mut u64) -> bool {
        let (mut written, mut timed) = (0, Vec::new());
        while written < ELEMENTS {
            *cursor = hash.scan(*cursor, NEVER_MS, |name, value, deadline_ms| {
                written += 1;
                self.item(name);
                self.item(value);
                self.element_ends(b"HMSET", key);
                timed.extend(deadline_ms.map(|deadline_ms| (name.to_vec(), deadline_ms)));
            });
            if *cursor == 0 {
                break;
            }
        }
        self.end_elements(b"HMSET", key);
        self.element_deadlines(b"HPEXPIREAT", key, b"FIELDS", &timed);
        *cursor == 0
    }

    /// Sets the deadlines of elements by a command whose word before their names is this one.
    fn element_deadlines(&mut self, command: &[u8], key: &[u8], word: &[u8], timed: &[(Vec<u8>, i64)]) {
        for (name, deadline_ms) in timed {
            let mut digits = itoa::Buffer::new();
            let deadline_ms = digits.format(*deadline_ms).as_bytes();
            self.command(&[command, key, deadline_ms, word, b"1", name]);
        }
    }
}

/// Arrays.
impl CommandWriter {
    fn array_elements(&mut self, key: &[u8], array: &Array, from: &mut u64) -> bool {
        let mut written = 0;
        for (index, text) in array.range(*from, INDEX_MAX).take(ELEMENTS) {
            self.arg(itoa::Buffer::new().format(index).as_bytes());
            self.arg(text);
            self.element_ends(b"ARMSET", key);
            (written, *from) = (written + 1, index + 1);
        }
        self.end_elements(b"ARMSET", key);
        if written == ELEMENTS {
            return false;
        }
        if array.next() != Some(0) {
            self.command(&[b"ARSEEK", key, itoa::Buffer::new().format(array.next().unwrap_or(u64::MAX)).as_bytes()]);
        }
        true
    }
}

/// Streams.
impl CommandWriter {
    /// Writes a part of a stream, and returns the place that follows.
    fn stream_part(
        &mut self,
        key: &[u8],
        stream: &Stream,
        place: StreamPlace,
        placeholders: &mut u64,
        last_placeholder: &mut StreamId,
    ) -> Option<StreamPlace> {
        match place {
            StreamPlace::Entries(after) => {
                let Stretch { upto, gone } = Stretch::behind(after, stream);
                *placeholders += gone.len() as u64;
                *last_placeholder = gone.last().copied().unwrap_or(*last_placeholder);
                self.entries(key, stream, after, upto, &gone);
                if let Some(upto) = upto {
                    return Some(StreamPlace::Entries(upto));
                }
                if stream.is_empty() && *placeholders == 0 {
                    // A stream without entries is there nevertheless.
                    self.command(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
                }
                let added = stream.entries_added().max(stream.len() as u64 + *placeholders);
                self.set_id(key, stream, stream.last_id().max(*last_placeholder), added);
                self.next_group(key, stream, 0, *placeholders)
            }
            StreamPlace::Group(index) => {
                let (name, group) = stream.groups().nth(index)?;
                let mut digits = itoa::Buffer::new();
                let read = group.entries_read.map_or(&b"-1"[..], |read| digits.format(read).as_bytes());
                let last_id = group.last_id.text();
                self.command(&[b"XGROUP", b"CREATE", key, name, last_id.as_bytes(), b"ENTRIESREAD", read]);
                Some(StreamPlace::Consumer(index, 0, StreamId::MIN))
            }
            StreamPlace::Consumer(index, nth, after) => {
                let (name, group) = stream.groups().nth(index)?;
                let Some(consumer) = group.consumers().nth(nth) else {
                    let after = Some(after).filter(|&id| id != StreamId::MIN);
                    return match self.released(key, name, group, after) {
                        Some(id) => Some(StreamPlace::Consumer(index, nth, id)),
                        None => self.next_group(key, stream, index + 1, *placeholders),
                    };
                };
                if consumer.pending().is_empty() {
                    self.command(&[b"XGROUP", b"CREATECONSUMER", key, name, consumer.name()]);
                }
                let mut last = None;
                for &id in consumer.pending().range((Bound::Excluded(after), Bound::Unbounded)).take(ELEMENTS) {
                    self.claim(key, name, consumer.name(), group, id);
                    last = Some(id);
                }
                Some(match last {
                    Some(id) => StreamPlace::Consumer(index, nth, id),
                    None => StreamPlace::Consumer(index, nth + 1, StreamId::MIN),
                })
            }
            StreamPlace::Placeholders(after) => {
                let Stretch { upto, gone } = Stretch::behind(after, stream);
                let first = stream.first_id();
                for id in gone.into_iter().filter(|&id| !stream.is_empty() && id > first) {
                    self.arg(id.text().as_bytes());
                    self.element_ends(b"XDEL", key);
                }
                self.end_elements(b"XDEL", key);
                if let Some(upto) = upto {
                    return Some(StreamPlace::Placeholders(upto));
                }
                // Those before the first entry are trimmed and not deleted: deleting leaves a trace in the stream.
                match stream.is_empty() {
                    true => self.command(&[b"XTRIM", key, b"MAXLEN", b"0"]),
                    false => self.command(&[b"XTRIM", key, b"MINID", first.text().as_bytes()]),
                }
                self.set_id(key, stream, stream.last_id(), stream.entries_added());
                self.begin_producers(key, stream)
            }
            StreamPlace::Producers(name, at) => self.producers(key, stream.producers()?, &name, at),
        }
    }

    /// Writes how long the ids of producers are remembered, and returns where those begin.
    fn begin_producers(&mut self, key: &[u8], stream: &Stream) -> Option<StreamPlace> {
        let producers = stream.producers()?;
        let Remembering { duration_s, ids_max } = producers.remembering();
        if producers.remembering() != Remembering::default() {
            let (mut duration, mut most) = (itoa::Buffer::new(), itoa::Buffer::new());
            let (duration, most) = (duration.format(duration_s).as_bytes(), most.format(ids_max).as_bytes());
            self.command(&[b"XCFGSET", key, b"IDMP-DURATION", duration, b"IDMP-MAXSIZE", most]);
        }
        producers.iter().next().map(|(name, _)| StreamPlace::Producers(name.into(), 0))
    }

    /// Writes some of the ids that producers gave entries, from a place on. The place that follows.
    fn producers(&mut self, key: &[u8], producers: &Producers, name: &[u8], at: usize) -> Option<StreamPlace> {
        let first = producers.producer(name).map(|first| (name, first));
        let (mut at, mut left) = (at, ELEMENTS);
        for (name, producer) in first.into_iter().chain(producers.after(Some(name))) {
            if left == 0 {
                return Some(StreamPlace::Producers(name.into(), 0));
            }
            let written = left.min(producer.count() - at);
            for (id, entry) in producer.ids_from(at).take(written) {
                self.command(&[b"XIDMPRECORD", key, name, id, entry.text().as_bytes()]);
            }
            (at, left) = (at + written, left - written);
            if at < producer.count() {
                return Some(StreamPlace::Producers(name.into(), at));
            }
            at = 0;
        }
        None
    }

    fn next_group(&mut self, key: &[u8], stream: &Stream, index: usize, placeholders: u64) -> Option<StreamPlace> {
        if index < stream.groups().len() {
            Some(StreamPlace::Group(index))
        } else if placeholders > 0 {
            Some(StreamPlace::Placeholders(StreamId::MIN))
        } else {
            self.begin_producers(key, stream)
        }
    }

    /// Adds the entries behind `after`, up to `upto`, and placeholders in between.
    fn entries(&mut self, key: &[u8], stream: &Stream, after: StreamId, upto: Option<StreamId>, gone: &[StreamId]) {
        let mut gone = gone.iter().copied().peekable();
        let live = after.next().map(|first| stream.range(first, upto.unwrap_or(StreamId::MAX)));
        for entry in live.into_iter().flatten() {
            while let Some(id) = gone.next_if(|&id| id < entry.id) {
                self.placeholder(key, id);
            }
            self.arg(entry.id.text().as_bytes());
            for (name, value) in entry.pairs() {
                self.item(name);
                self.item(value);
            }
            if entry.is_empty() {
                // No command adds an entry without fields, which only a dump can hold.
                self.arg(b"");
                self.arg(b"");
            }
            self.end_command(b"XADD", key);
        }
        gone.for_each(|id| self.placeholder(key, id));
    }

    fn placeholder(&mut self, key: &[u8], id: StreamId) {
        self.command(&[b"XADD", key, id.text().as_bytes(), b"x", b"y"]);
    }

    fn set_id(&mut self, key: &[u8], stream: &Stream, last_id: StreamId, added: u64) {
        let (last_id, deleted) = (last_id.text(), stream.max_deleted_id().text());
        let mut digits = itoa::Buffer::new();
        let added = digits.format(added).as_bytes();
        self.command(&[
            b"XSETID",
            key,
            last_id.as_bytes(),
            b"ENTRIESADDED",
            added,
            b"MAXDELETEDID",
            deleted.as_bytes(),
        ]);
    }

    /// Releases some of the entries that were released after one of them; the last one of them.
    fn released(&mut self, key: &[u8], name: &[u8], group: &Group, after: Option<StreamId>) -> Option<StreamId> {
        let mut last = None;
        for id in group.released_after(after).take(ELEMENTS) {
            let mut count = itoa::Buffer::new();
            let count = count.format(group.pending()[&id].deliveries).as_bytes();
            let id_text = id.text();
            let id_text = id_text.as_bytes();
            self.command(&[b"XNACK", key, name, b"FAIL", b"IDS", b"1", id_text, b"RETRYCOUNT", count, b"FORCE"]);
            last = Some(id);
        }
        last
    }

    fn claim(&mut self, key: &[u8], name: &[u8], consumer: &[u8], group: &Group, id: StreamId) {
        let Some(pending) = group.pending().get(&id) else { return };
        let (mut time, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (time, count) = (time.format(pending.delivered_ms()), count.format(pending.deliveries));
        self.command(&[
            b"XCLAIM",
            key,
            name,
            consumer,
            b"0",
            id.text().as_bytes(),
            b"TIME",
            time.as_bytes(),
            b"RETRYCOUNT",
            count.as_bytes(),
            b"JUSTID",
            b"FORCE",
        ]);
    }
}

/// Ids of a stream that are written in one piece.
struct Stretch {
    /// The last of them; `None` if no more follow.
    upto: Option<StreamId>,
    /// Those that are pending in some group and no longer in the stream, in order.
    gone: Vec<StreamId>,
}

impl Stretch {
    /// The next ids behind one: no more than `ELEMENTS` entries, and as many pending ones of each group. O(that many, and
    /// groups).
    fn behind(after: StreamId, stream: &Stream) -> Stretch {
        let live = after.next().map(|first| stream.range(first, StreamId::MAX));
        let live: Vec<StreamId> = live.into_iter().flatten().take(ELEMENTS).map(|entry| entry.id).collect();
        let mut upto = live.last().copied().filter(|_| live.len() == ELEMENTS);
        let mut gone = Vec::new();
        for (_, group) in stream.groups() {
            let range = (Bound::Excluded(after), upto.map_or(Bound::Unbounded, Bound::Included));
            let (mut count, mut last) = (0, after);
            for &id in group.pending().range(range).map(|(id, _)| id).take(ELEMENTS) {
                (count, last) = (count + 1, id);
                if live.binary_search(&id).is_err() {
                    gone.push(id);
                }
            }
            if count == ELEMENTS {
                upto = Some(last);
            }
        }
        gone.retain(|id| upto.is_none_or(|upto| *id <= upto));
        gone.sort_unstable();
        gone.dedup();
        Stretch { upto, gone }
    }
}

/// The protocol.
impl CommandWriter {
    fn command(&mut self, args: &[&[u8]]) {
        self.array(args.len());
        args.iter().for_each(|arg| self.bulk(arg));
    }

    /// An argument of the command that is being gathered.
    fn arg(&mut self, text: &[u8]) {
        push_bulk(&mut self.args, text);
        self.arg_count += 1;
    }

    fn item(&mut self, item: Item<'_>) {
        self.arg(item.text(&mut itoa::Buffer::new()));
    }

    /// What was gathered is an element more: with the last that a command takes, that is written.
    fn element_ends(&mut self, name: &[u8], key: &[u8]) {
        self.elements += 1;
        if self.elements == COMMAND_ELEMENTS {
            self.end_command(name, key);
        }
    }

    /// Writes what was gathered, if it is anything.
    fn end_elements(&mut self, name: &[u8], key: &[u8]) {
        if self.elements > 0 {
            self.end_command(name, key);
        }
    }

    fn end_command(&mut self, name: &[u8], key: &[u8]) {
        self.array(2 + self.arg_count);
        self.bulk(name);
        self.bulk(key);
        self.out.append(&mut self.args);
        (self.arg_count, self.elements) = (0, 0);
    }

    fn array(&mut self, count: usize) {
        self.out.push(b'*');
        num::write_u64(&mut self.out, count as u64);
        self.out.extend_from_slice(b"\r\n");
    }

    fn bulk(&mut self, text: &[u8]) {
        push_bulk(&mut self.out, text);
    }

    fn bulk_head(&mut self, bytes: usize) {
        push_bulk_head(&mut self.out, bytes);
    }
}

fn push_bulk(out: &mut Vec<u8>, text: &[u8]) {
    push_bulk_head(out, text.len());
    out.extend_from_slice(text);
    out.extend_from_slice(b"\r\n");
}

fn push_bulk_head(out: &mut Vec<u8>, bytes: usize) {
    out.push(b'$');
    num::write_u64(out, bytes as u64);
    out.extend_from_slice(b"\r\n");
}
