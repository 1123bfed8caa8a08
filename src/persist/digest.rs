//! A number of 160 bits that stands for the data, whatever its representations and the order of what has none: DEBUG DIGEST.
//!
//! # Algorithm
//! Redis's, of SHA-1. Data is *mixed* into a digest where its order counts, `d = SHA1(d ^ SHA1(data))`, and *added* where it does
//! not, `d ^= SHA1(data)`. A value's digest begins with its type; then
//! - a string's bytes, a list's elements, a stream's entries with their fields, and an array's elements with their indexes are mixed
//!   in, in order;
//! - a set's members are added; so are the digests of a sorted set's members with their scores, and of a hash's fields with
//!   their values, with a mark added to those with a deadline;
//! - a mark is added if the key has a deadline, and another one if it is never evicted.
//!
//! A key's digest is that of its name, mixed, and then its value's. All databases together begin at zero: the number of each that
//! has keys is mixed in, and the digests of its keys are added.
//!
//! Deadlines count by being there, not by their time; groups of streams do not count at all.
//!
//! COMPAT: equal to that of Redis 8.2 and 8.6; older versions and Valkey write scores and mark fields otherwise. The text of a
//! score is the shortest, which Redis's is but for about one of a thousand with many digits.

use sha1_smol::Sha1;

use crate::base::num;
use crate::store::entry::{Entry, TextBuffer};
use crate::store::pack::Item;
use crate::store::types::array::{Array, INDEX_MAX};
use crate::store::types::stream::StreamId;
use crate::store::types::{Hash, List, Object, Set, Stream, Type, ZSet};

const KEY_DEADLINE: &[u8] = b"!!expire!!";
/// Ours: what Redis 8.12 does about such keys is not known.
const KEY_BLESSED: &[u8] = b"!!no-evict!!";
const ELEMENT_DEADLINE: &[u8] = b"!!hexpire!!";

/// A digest. Its text is forty hexadecimal digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataDigest([u8; 20]);

impl std::fmt::Display for DataDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl DataDigest {
    /// Says that the keys that follow are of this database. Not to be said of one without keys.
    pub fn database(&mut self, number: usize) {
        self.mix(&(number as u32).to_be_bytes());
    }

    /// Adds a key with its value, as they are at this time. O(bytes).
    pub fn add_key(&mut self, entry: &Entry, now_ms: i64) {
        let mut digest = DataDigest::default();
        digest.mix(entry.key());
        digest.mix_value(entry, now_ms);
        self.add(&digest.0);
    }

    /// The digest of a value, without its key. O(bytes).
    pub fn of_value(entry: &Entry, now_ms: i64) -> DataDigest {
        let mut digest = DataDigest::default();
        digest.mix_value(entry, now_ms);
        digest
    }

    fn mix_value(&mut self, entry: &Entry, now_ms: i64) {
        self.mix(&type_number(entry.type_of()).to_be_bytes());
        match entry.object().as_deref() {
            None => {
                let value = entry.string().expect("what is no collection is a string");
                self.mix(value.text(&mut TextBuffer::new()));
            }
            Some(Object::List(list)) => self.mix_list(list),
            Some(Object::Set(set)) => self.add_set(set, now_ms),
            Some(Object::ZSet(zset)) => self.add_zset(zset, now_ms),
            Some(Object::Hash(hash)) => self.add_hash(hash, now_ms),
            Some(Object::Stream(stream)) => self.mix_stream(stream),
            Some(Object::Array(array)) => self.mix_array(array),
        }
        if entry.deadline_ms().is_some() {
            self.add(KEY_DEADLINE);
        }
        if entry.is_blessed() {
            self.add(KEY_BLESSED);
        }
    }

    fn mix_list(&mut self, list: &List) {
        for element in list.elements() {
            self.mix(element.text(&mut itoa::Buffer::new()));
        }
    }

    fn add_set(&mut self, set: &Set, now_ms: i64) {
        set.for_all(|member, deadline_ms| match deadline_ms {
            None => self.add(member.text(&mut itoa::Buffer::new())),
            Some(deadline_ms) if deadline_ms <= now_ms => {}
            Some(_) => {
                let mut digest = DataDigest::default();
                digest.mix_item(member);
                digest.add(ELEMENT_DEADLINE);
                self.add(&digest.0);
            }
        });
    }

    fn add_zset(&mut self, zset: &ZSet, now_ms: i64) {
        let mut text = Vec::new();
        for (member, score, deadline_ms) in zset.iter_all(0..usize::MAX) {
            if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
                continue;
            }
            let mut digest = DataDigest::default();
            digest.mix_item(member);
            text.clear();
            num::write_f64_shortest(&mut text, score);
            digest.mix(&text);
            if deadline_ms.is_some() {
                digest.add(ELEMENT_DEADLINE);
            }
            self.add(&digest.0);
        }
    }

    fn add_hash(&mut self, hash: &Hash, now_ms: i64) {
        hash.visit(now_ms, |name, value, deadline_ms| {
            let mut digest = DataDigest::default();
            digest.mix_item(name);
            digest.mix_item(value);
            if deadline_ms.is_some() {
                digest.add(ELEMENT_DEADLINE);
            }
            self.add(&digest.0);
        });
    }

    fn mix_stream(&mut self, stream: &Stream) {
        for entry in stream.range(StreamId::MIN, StreamId::MAX) {
            self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (field, value) in entry.pairs() {
                self.mix_item(field);
                self.mix_item(value);
            }
        }
    }

    fn mix_array(&mut self, array: &Array) {
        for (index, text) in array.range(0, INDEX_MAX) {
            self.mix(itoa::Buffer::new().format(index).as_bytes());
            self.mix(text);
        }
    }

    fn mix_item(&mut self, item: Item<'_>) {
        self.mix(item.text(&mut itoa::Buffer::new()));
    }

    /// Adds data whose order counts.
    fn mix(&mut self, data: &[u8]) {
        self.add(data);
        self.0 = sha1(&self.0);
    }

    /// Adds data whose order does not count.
    fn add(&mut self, data: &[u8]) {
        self.0.iter_mut().zip(sha1(data)).for_each(|(byte, other)| *byte ^= other);
    }
}

fn sha1(data: &[u8]) -> [u8; 20] {
    Sha1::from(data).digest().bytes()
}

/// The number that Redis has for a type.
fn type_number(type_of: Type) -> u32 {
    match type_of {
        Type::String => 0,
        Type::List => 1,
        Type::Set => 2,
        Type::ZSet => 3,
        Type::Hash => 4,
        Type::Stream => 6,
        // COMPAT: the number of a Redis that has arrays is not known here.
        Type::Array => 7,
    }
}
