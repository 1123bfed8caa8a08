//! Writing values, in the representation that they have: packs and intsets as they are, tables element by element.

use super::{code, container, length};
use crate::base::lzf::Compressor;
use crate::base::num;
use crate::store::entry::{Entry, SharedRef, TextBuffer, Value};
use crate::store::pack::Item;
use crate::store::types::array::{Array, INDEX_MAX};
use crate::store::types::list::Part;
use crate::store::types::roaring::Roaring;
use crate::store::types::stream::parts::{NOBODY_SEEN_MS, name_of_nobody};
use crate::store::types::stream::{Producers, Remembering, StreamId};
use crate::store::types::{Collection, Hash, List, Object, Set, Stream, ZSet};

/// Strings up to this length are not compressed.
const PLAIN_BYTES_MAX: usize = 20;
/// The longest text that is looked at for being an integer of 32 bits: `-2147483648`.
const INT_DIGITS_MAX: usize = 11;
/// Before every deadline: visiting with it as the time shows due fields too.
const NEVER_MS: i64 = i64::MIN;

/// A version of the format that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 10, that of Redis 7.0: small sets of texts are written element by element, and streams do not tell when a consumer was
    /// last active.
    Redis10,
    /// 11, that of Redis 7.2 and of Valkey 7.2 and 8.
    Redis11,
    /// 12, that of Redis 7.4 to 8.2: fields of hashes may have deadlines.
    Redis12,
    /// 13, that of Redis 8.4 and 8.6: streams may remember what their producers called the entries of late.
    Redis13,
    /// 80, that of Valkey 9: fields of hashes may have deadlines, in another form than Redis's.
    Valkey80,
}

impl Version {
    /// The version of this number, if it can be written.
    pub fn of_number(number: u64) -> Option<Version> {
        match number {
            10 => Some(Version::Redis10),
            11 => Some(Version::Redis11),
            12 => Some(Version::Redis12),
            13 => Some(Version::Redis13),
            80 => Some(Version::Valkey80),
            _ => None,
        }
    }

    /// The lowest version that holds the data.
    pub fn lowest(has_element_deadlines: bool, has_producers: bool) -> Version {
        match (has_element_deadlines, has_producers) {
            (_, true) => Version::Redis13,
            (true, _) => Version::Redis12,
            _ => Version::Redis11,
        }
    }

    /// Its number.
    pub fn number(self) -> u16 {
        match self {
            Version::Redis10 => 10,
            Version::Redis11 => 11,
            Version::Redis12 => 12,
            Version::Redis13 => 13,
            Version::Valkey80 => 80,
        }
    }

    /// Whether fields of hashes may have deadlines.
    pub fn holds_field_deadlines(self) -> bool {
        matches!(self, Version::Redis12 | Version::Redis13 | Version::Valkey80)
    }
}

/// What writes values, one behind the other.
///
/// Besides whole values it writes the building blocks of the format, for who has to write a large value in pieces.
#[derive(Debug)]
pub struct Writer {
    out: Vec<u8>,
    version: Version,
    /// Values that no Redis has may be written.
    has_own_forms: bool,
    /// Strings that are held as compressed bitmaps are written as such, and not as any string.
    has_bitmaps: bool,
    /// Compresses long strings, if they are to be compressed.
    compressor: Option<Compressor>,
    /// The compressed form of one string.
    packed: Vec<u8>,
}

/// Whole values.
impl Writer {
    /// Writes the forms of a version; compresses long strings if told so.
    pub fn new(version: Version, compress: bool) -> Writer {
        let compressor = compress.then(Compressor::default);
        let packed = Vec::new();
        let writer = Writer { out: Vec::new(), version, has_own_forms: true, has_bitmaps: false, compressor, packed };
        writer.with_own_forms(true)
    }

    /// One that writes values that no Redis has, or refuses them. In Valkey's version our forms would be taken for others.
    pub fn with_own_forms(self, has_own_forms: bool) -> Writer {
        Writer { has_own_forms: has_own_forms && self.version != Version::Valkey80, ..self }
    }

    /// One that writes compressed bitmaps as such, if it writes values that no Redis has: a payload of one is a string, which everybody
    /// takes.
    pub fn with_bitmaps(self) -> Writer {
        Writer { has_bitmaps: self.has_own_forms, ..self }
    }

    /// A string that is to be written as a compressed bitmap.
    pub(super) fn bitmap_of<'e>(&self, entry: &'e Entry) -> Option<SharedRef<'e, Roaring>> {
        entry.roaring().filter(|_| self.has_bitmaps)
    }

    /// The version that is written.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes that were written and have not been taken.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True if all that was written has been taken.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What was written and has not been taken.
    pub fn bytes(&self) -> &[u8] {
        &self.out
    }

    /// Takes what was written.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// The value of an entry: the byte that tells its form, and the value. In a version that does not hold them the deadlines of
    /// elements are left out; see [`Writer::can_hold`]. So is what streams remember of their producers. O(bytes).
    pub fn value(&mut self, entry: &Entry) {
        self.byte(self.form(entry));
        self.body(entry);
    }

    /// Whether the version holds all there is to the value.
    pub fn can_hold(&self, entry: &Entry) -> bool {
        match entry.object().as_deref() {
            Some(Object::Hash(hash)) => self.version.holds_field_deadlines() || hash.timed() == 0,
            Some(Object::Set(set)) => self.has_own_forms || set.timed() == 0,
            Some(Object::ZSet(zset)) => self.has_own_forms || zset.timed() == 0,
            Some(Object::Array(_)) => self.has_own_forms,
            _ => true,
        }
    }

    /// The byte that tells the form in which a value is written.
    pub fn form(&self, entry: &Entry) -> u8 {
        match entry.object().as_deref() {
            None if self.bitmap_of(entry).is_some() => code::OWN_ROARING,
            None => code::STRING,
            Some(Object::List(_)) => code::LIST_QUICKLIST_2,
            Some(Object::Set(set)) => self.set_form(set),
            Some(Object::ZSet(zset)) => self.zset_form(zset),
            Some(Object::Hash(hash)) => self.hash_form(hash),
            Some(Object::Stream(stream)) if self.producers_of(stream).is_some() => code::STREAM_LISTPACKS_4,
            Some(Object::Stream(_)) if self.version == Version::Redis10 => code::STREAM_LISTPACKS_2,
            Some(Object::Stream(_)) => code::STREAM_LISTPACKS_3,
            Some(Object::Array(_)) => code::OWN_ARRAY,
        }
    }

    fn set_form(&self, set: &Set) -> u8 {
        if set.as_intset().is_some() {
            code::SET_INTSET
        } else if set.as_pack().is_some() && self.version != Version::Redis10 {
            code::SET_LISTPACK
        } else if set.timed() > 0 && self.has_own_forms {
            code::OWN_SET
        } else {
            code::SET
        }
    }

    fn zset_form(&self, zset: &ZSet) -> u8 {
        if zset.as_pack().is_some() {
            code::ZSET_LISTPACK
        } else if zset.timed() > 0 && self.has_own_forms {
            code::OWN_ZSET
        } else {
            code::ZSET_2
        }
    }

    fn hash_form(&self, hash: &Hash) -> u8 {
        match (hash.is_packed(), self.version) {
            (Some(false), _) => code::HASH_LISTPACK,
            // A hash that had deadlines once looks to Redis as one that has some; to others it is better written as the rest.
            (Some(true), Version::Redis12 | Version::Redis13) => code::HASH_LISTPACK_EX,
            (_, Version::Redis12 | Version::Redis13) if hash.timed() > 0 => code::HASH_METADATA,
            (_, Version::Valkey80) if hash.timed() > 0 => code::VALKEY_HASH_2,
            _ => code::HASH,
        }
    }

    /// The value behind the byte that tells its form. O(bytes).
    pub fn body(&mut self, entry: &Entry) {
        if let Some(roaring) = self.bitmap_of(entry) {
            self.bitmap_head(&roaring);
            let mut next = Some(0);
            while let Some(key) = next {
                next = self.bitmap_chunk(&roaring, key);
            }
            return;
        }
        match (entry.string(), entry.object()) {
            (Some(value), _) => self.text(&value),
            (None, Some(object)) => self.object(&object),
            (None, None) => unreachable!("what is no string is a collection"),
        }
    }

    fn object(&mut self, object: &Object) {
        match object {
            Object::List(list) => self.list(list),
            Object::Set(set) => self.set(set),
            Object::ZSet(zset) => self.zset(zset),
            Object::Hash(hash) => self.hash(hash),
            Object::Stream(stream) => self.stream(stream),
            Object::Array(array) => self.array(array),
        }
    }
}

/// The building blocks.
impl Writer {
    /// A byte.
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A length or another number.
    pub fn length(&mut self, length: u64) {
        match length {
            0..0x40 => self.byte(length as u8),
            0x40..0x4000 => self.raw(&(length as u16 | u16::from(length::BITS_14) << 8).to_be_bytes()),
            0x4000..=0xFFFF_FFFF => {
                self.byte(length::BITS_32);
                self.raw(&(length as u32).to_be_bytes());
            }
            _ => {
                self.byte(length::BITS_64);
                self.raw(&length.to_be_bytes());
            }
        }
    }

    /// A number of elements.
    pub fn count(&mut self, count: usize) {
        self.length(count as u64);
    }

    /// A time in Unix milliseconds.
    pub fn time_ms(&mut self, unix_ms: i64) {
        self.raw(&unix_ms.to_le_bytes());
    }

    /// A double.
    pub fn double(&mut self, double: f64) {
        self.raw(&double.to_le_bytes());
    }

    /// A string, as an integer if it is the text of a short one, or compressed if it is long. O(bytes).
    pub fn string(&mut self, text: &[u8]) {
        if text.len() <= INT_DIGITS_MAX && num::parse_i64(text).is_some_and(|n| self.short_integer(n)) {
            return;
        }
        if let Some(compressor) = self.compressor.as_mut().filter(|_| text.len() > PLAIN_BYTES_MAX) {
            self.packed.clear();
            if compressor.compress(text, &mut self.packed) {
                self.byte(length::LZF);
                self.count(self.packed.len());
                self.count(text.len());
                self.out.extend_from_slice(&self.packed);
                return;
            }
        }
        self.plain(text);
    }

    /// A string of so many bytes that has been compressed.
    fn compressed(&mut self, lzf: &[u8], bytes: usize) {
        self.byte(length::LZF);
        self.count(lzf.len());
        self.count(bytes);
        self.raw(lzf);
    }

    /// A string that is neither an integer nor compressed, whose bytes are still to come as [`Writer::raw`]: so many.
    pub fn plain_head(&mut self, bytes: usize) {
        self.count(bytes);
    }

    /// An element, as a string.
    pub fn item(&mut self, item: Item<'_>) {
        match item {
            Item::Int(n) => self.integer(n),
            Item::Bytes(text) => self.string(text),
        }
    }
}

/// Values by their types.
impl Writer {
    fn text(&mut self, value: &Value<'_>) {
        match value {
            // Integers that are held as such never have a text that is worth compressing.
            Value::Int(n) => self.integer(*n),
            value => self.string(value.text(&mut TextBuffer::new())),
        }
    }

    /// The beginning of a compressed bitmap.
    pub(super) fn bitmap_head(&mut self, roaring: &Roaring) {
        self.count(roaring.len());
        self.count(roaring.chunks());
    }

    /// Its first chunk of this key or behind. The key of the next one, if there may be one.
    pub(super) fn bitmap_chunk(&mut self, roaring: &Roaring, key: u16) -> Option<u16> {
        let mut bytes = Vec::new();
        let key = roaring.serialized_from(key, &mut bytes)?;
        self.string(&bytes);
        key.checked_add(1)
    }

    fn integer(&mut self, n: i64) {
        if !self.short_integer(n) {
            self.plain(itoa::Buffer::new().format(n).as_bytes());
        }
    }

    /// Writes an integer of up to 32 bits; others are left to be written as text.
    fn short_integer(&mut self, n: i64) -> bool {
        if let Ok(n) = i8::try_from(n) {
            self.byte(length::INT_8);
            self.raw(&n.to_le_bytes());
        } else if let Ok(n) = i16::try_from(n) {
            self.byte(length::INT_16);
            self.raw(&n.to_le_bytes());
        } else if let Ok(n) = i32::try_from(n) {
            self.byte(length::INT_32);
            self.raw(&n.to_le_bytes());
        } else {
            return false;
        }
        true
    }

    fn plain(&mut self, text: &[u8]) {
        self.count(text.len());
        self.raw(text);
    }

    /// A node of a list.
    pub fn list_part(&mut self, part: Part<'_>) {
        match part {
            Part::Pack(pack) => {
                self.length(container::PACKED);
                self.string(pack.as_bytes());
            }
            Part::Big(text) => {
                self.length(container::PLAIN);
                self.string(text);
            }
            Part::Compressed(node) => {
                self.length(if node.is_big() { container::PLAIN } else { container::PACKED });
                self.compressed(node.lzf(), node.bytes());
            }
        }
    }

    fn list(&mut self, list: &List) {
        self.count(list.parts().count());
        for part in list.parts() {
            self.list_part(part);
        }
    }

    fn set(&mut self, set: &Set) {
        match (set.as_intset(), set.as_pack()) {
            (Some(ints), _) => self.string(ints.as_bytes()),
            (None, Some(pack)) if self.version != Version::Redis10 => self.string(pack.as_bytes()),
            _ => {
                self.count(set.total());
                let form = self.set_form(set);
                set.for_all(|member, deadline_ms| self.member(form, member, deadline_ms));
            }
        }
    }

    /// A member of a set that is written in this form.
    pub fn member(&mut self, form: u8, member: Item<'_>, deadline_ms: Option<i64>) {
        self.item(member);
        if form == code::OWN_SET {
            self.time_ms(deadline_ms.unwrap_or(-1));
        }
    }

    fn zset(&mut self, zset: &ZSet) {
        if let Some(pack) = zset.as_pack() {
            self.string(pack.as_bytes());
            return;
        }
        self.count(zset.total());
        let form = self.zset_form(zset);
        // Redis writes the highest score first, which is the fastest for it to read.
        zset.iter_all(0..usize::MAX).rev().for_each(|entry| self.scored_member(form, entry));
    }

    /// A member of a sorted set that is written in this form, its score and its deadline.
    pub fn scored_member(&mut self, form: u8, (member, score, deadline_ms): (Item<'_>, f64, Option<i64>)) {
        self.item(member);
        self.double(score);
        if form == code::OWN_ZSET {
            self.time_ms(deadline_ms.unwrap_or(-1));
        }
    }

    fn hash(&mut self, hash: &Hash) {
        match (hash.as_pack(), self.hash_form(hash)) {
            (Some((pack, _)), code::HASH_LISTPACK) => self.string(pack.as_bytes()),
            (Some((pack, _)), code::HASH_LISTPACK_EX) => {
                self.time_ms(hash.next_due_ms().unwrap_or(0));
                self.string(pack.as_bytes());
            }
            (_, form) => self.fields(hash, form),
        }
    }

    /// The fields of a hash one by one.
    fn fields(&mut self, hash: &Hash, form: u8) {
        let mut first_ms = 0;
        if form == code::HASH_METADATA {
            first_ms = i64::MAX;
            hash.visit(NEVER_MS, |_, _, deadline_ms| first_ms = deadline_ms.map_or(first_ms, |ms| ms.min(first_ms)));
            self.time_ms(first_ms);
        }
        self.count(hash.len());
        hash.visit(NEVER_MS, |name, value, deadline_ms| {
            if form == code::HASH_METADATA {
                // One more than how much later than the first it is: 0 is for none.
                self.length(deadline_ms.map_or(0, |ms| ms.abs_diff(first_ms) + 1));
            }
            self.item(name);
            self.item(value);
            if form == code::VALKEY_HASH_2 {
                self.time_ms(deadline_ms.unwrap_or(-1));
            }
        });
    }

    fn array(&mut self, array: &Array) {
        self.array_head(array);
        array.range(0, INDEX_MAX).for_each(|(index, text)| self.array_element(index, text));
    }

    /// What comes before the elements of an array: how many they are, and the index that the next one gets.
    pub(super) fn array_head(&mut self, array: &Array) {
        self.count(array.len());
        self.length(array.next().unwrap_or(u64::MAX));
    }

    /// An element of an array.
    pub(super) fn array_element(&mut self, index: u64, text: &[u8]) {
        self.length(index);
        self.string(text);
    }

    fn stream(&mut self, stream: &Stream) {
        self.count(stream.nodes().len());
        for (first, pack) in stream.nodes() {
            self.string(&first.to_bytes());
            self.string(pack.as_bytes());
        }
        self.count(stream.len());
        for id in [stream.last_id(), stream.first_id(), stream.max_deleted_id()] {
            self.length(id.ms);
            self.length(id.seq);
        }
        self.length(stream.entries_added());
        self.count(stream.groups().len());
        for (name, group) in stream.groups() {
            self.string(name);
            self.length(group.last_id.ms);
            self.length(group.last_id.seq);
            self.length(group.entries_read.unwrap_or(u64::MAX));
            self.count(group.pending().len());
            for (id, pending) in group.pending() {
                self.raw(&id.to_bytes());
                self.time_ms(pending.delivered_ms());
                self.length(pending.deliveries);
            }
            self.count(group.consumers().len() + usize::from(group.released() > 0));
            for consumer in group.consumers() {
                self.begin_consumer(consumer.name(), consumer.seen_ms, consumer.active_ms, consumer.pending().len());
                consumer.pending().iter().for_each(|id| self.raw(&id.to_bytes()));
            }
            if group.released() > 0 {
                self.begin_consumer(&name_of_nobody(group), NOBODY_SEEN_MS, None, group.released());
                group.released_ids().for_each(|id| self.raw(&id.to_bytes()));
            }
        }
        if let Some(producers) = self.producers_of(stream) {
            self.begin_producers(producers);
            for (name, producer) in producers.iter() {
                self.string(name);
                self.count(producer.count());
                producer.ids().for_each(|(id, entry)| self.produced(id, entry));
            }
            self.length(producers.added);
            self.length(producers.duplicates);
        }
    }

    /// What a stream remembers of its producers, if the version holds that.
    pub(super) fn producers_of<'s>(&self, stream: &'s Stream) -> Option<&'s Producers> {
        stream.producers().filter(|_| self.version == Version::Redis13)
    }

    /// What the memory of a stream's producers begins with.
    pub(super) fn begin_producers(&mut self, producers: &Producers) {
        let Remembering { duration_s, ids_max } = producers.remembering();
        self.length(duration_s.into());
        self.length(ids_max.into());
        self.count(producers.iter().len());
    }

    /// An id of a producer.
    pub(super) fn produced(&mut self, id: &[u8], entry: StreamId) {
        self.string(id);
        self.length(entry.ms);
        self.length(entry.seq);
    }

    /// What a consumer of a stream's group begins with, before the ids of so many pending entries.
    pub(super) fn begin_consumer(&mut self, name: &[u8], seen_ms: i64, active_ms: Option<i64>, pending: usize) {
        self.string(name);
        self.time_ms(seen_ms);
        if self.version != Version::Redis10 {
            self.time_ms(active_ms.unwrap_or(-1));
        }
        self.count(pending);
    }
}
