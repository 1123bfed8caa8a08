//! Writing values, in the representation that they have: packs and intsets as they are, tables element by element.

use super::{code, container, length};
use crate::base::num;
use crate::persist::lzf::Compressor;
use crate::store::entry::{Entry, Value};
use crate::store::pack::Item;
use crate::store::types::list::Part;
use crate::store::types::{Collection, Hash, List, Object, Set, Stream, ZSet};

/// Strings up to this length are not compressed.
const PLAIN_BYTES_MAX: usize = 20;
/// The longest text that is looked at for being an integer of 32 bits: `-2147483648`.
const INT_DIGITS_MAX: usize = 11;
/// Before every deadline: visiting with it as the time shows due fields too.
const NEVER_MS: i64 = i64::MIN;

/// What writes values to the end of a buffer.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// Compresses long strings, if they are to be compressed.
    compressor: Option<Compressor>,
    /// The compressed form of one string.
    packed: Vec<u8>,
}

impl<'o> Writer<'o> {
    /// Writes behind what the buffer holds; compresses long strings if told so.
    pub fn new(out: &'o mut Vec<u8>, compress: bool) -> Writer<'o> {
        Writer { out, compressor: compress.then(Compressor::default), packed: Vec::new() }
    }

    /// The value of an entry: the byte that tells its form, and the value. O(bytes).
    pub fn value(&mut self, entry: &Entry) {
        match entry.string() {
            Some(value) => {
                self.byte(code::STRING);
                self.text(&value);
            }
            None => {
                let object = entry.object().expect("what is no string is a collection");
                self.object(&object);
            }
        }
    }

    fn object(&mut self, object: &Object) {
        match object {
            Object::List(list) => self.list(list),
            Object::Set(set) => self.set(set),
            Object::ZSet(zset) => self.zset(zset),
            Object::Hash(hash) => self.hash(hash),
            Object::Stream(stream) => self.stream(stream),
        }
    }

    fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    fn length(&mut self, length: u64) {
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

    fn count(&mut self, count: usize) {
        self.length(count as u64);
    }

    fn time_ms(&mut self, unix_ms: i64) {
        self.raw(&unix_ms.to_le_bytes());
    }

    fn text(&mut self, value: &Value<'_>) {
        match value {
            // Integers that are held as such never have a text that is worth compressing.
            Value::Int(n) => self.integer(*n),
            value => self.string(value.text(&mut itoa::Buffer::new())),
        }
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

    fn string(&mut self, text: &[u8]) {
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

    fn item(&mut self, item: Item<'_>) {
        self.string(item.text(&mut itoa::Buffer::new()));
    }

    fn list(&mut self, list: &List) {
        self.byte(code::LIST_QUICKLIST_2);
        self.count(list.parts().count());
        for part in list.parts() {
            match part {
                Part::Pack(pack) => {
                    self.length(container::PACKED);
                    self.string(pack.as_bytes());
                }
                Part::Big(text) => {
                    self.length(container::PLAIN);
                    self.string(text);
                }
            }
        }
    }

    fn set(&mut self, set: &Set) {
        if let Some(ints) = set.as_intset() {
            self.byte(code::SET_INTSET);
            self.string(ints.as_bytes());
        } else if let Some(pack) = set.as_pack() {
            self.byte(code::SET_LISTPACK);
            self.string(pack.as_bytes());
        } else {
            self.byte(code::SET);
            self.count(set.len());
            set.for_each(|member| self.item(member));
        }
    }

    fn zset(&mut self, zset: &ZSet) {
        if let Some(pack) = zset.as_pack() {
            self.byte(code::ZSET_LISTPACK);
            self.string(pack.as_bytes());
            return;
        }
        self.byte(code::ZSET_2);
        self.count(zset.len());
        // Redis writes the highest score first, which is the fastest for it to read.
        for (member, score) in zset.iter(0..usize::MAX).rev() {
            self.item(member);
            self.raw(&score.to_le_bytes());
        }
    }

    fn hash(&mut self, hash: &Hash) {
        match hash.as_pack() {
            Some((pack, false)) => {
                self.byte(code::HASH_LISTPACK);
                self.string(pack.as_bytes());
            }
            Some((pack, true)) => {
                self.byte(code::HASH_LISTPACK_EX);
                self.time_ms(hash.next_due_ms().unwrap_or(0));
                self.string(pack.as_bytes());
            }
            None => self.hash_table(hash),
        }
    }

    fn hash_table(&mut self, hash: &Hash) {
        let mut first_ms = None;
        hash.visit(NEVER_MS, |_, _, deadline_ms| {
            first_ms = deadline_ms.map(|ms| first_ms.map_or(ms, |first: i64| first.min(ms))).or(first_ms);
        });
        match first_ms {
            Some(first_ms) => {
                self.byte(code::HASH_METADATA);
                self.time_ms(first_ms);
            }
            None => self.byte(code::HASH),
        }
        self.count(hash.len());
        hash.visit(NEVER_MS, |name, value, deadline_ms| {
            if let Some(first_ms) = first_ms {
                // One more than how much later than the first it is: 0 is for none.
                self.length(deadline_ms.map_or(0, |ms| ms.abs_diff(first_ms) + 1));
            }
            self.item(name);
            self.item(value);
        });
    }

    fn stream(&mut self, stream: &Stream) {
        self.byte(code::STREAM_LISTPACKS_3);
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
                self.time_ms(pending.delivered_ms);
                self.length(pending.deliveries);
            }
            self.count(group.consumers().len());
            for consumer in group.consumers() {
                self.string(consumer.name());
                self.time_ms(consumer.seen_ms);
                self.time_ms(consumer.active_ms.unwrap_or(-1));
                self.count(consumer.pending().len());
                consumer.pending().iter().for_each(|id| self.raw(&id.to_bytes()));
            }
        }
    }
}
