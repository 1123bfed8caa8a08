//! Values in the form they have in Redis's dump files: a byte for the type and representation, then the value.
//!
//! # Building blocks
//! ```text
//! 00LLLLLL                          a length below 64
//! 01LLLLLL LLLLLLLL                 a length below 16384
//! 10000000, u32 big endian          a longer one
//! 10000001, u64 big endian          a still longer one
//! 110000WW, i8 / i16 / i32          a string that is the text of an integer, little endian
//! 11000011, length, length, bytes   a string that is compressed: the bytes' number, the string's length
//! ```
//! A string is a length and its bytes, or one of the last two. Times are milliseconds in 8 bytes, doubles 8 bytes, little
//! endian.
//!
//! # Forms of our own
//! ```text
//! 224, count, next, (index, text) ...      an array
//! 225, count, (member, deadline) ...       a set whose members may have deadlines: times, -1 for none
//! 226, count, (member, score, deadline) ...  a sorted set whose members may have them
//! 227, bytes, count, string ...            a string that is held as a compressed bitmap: its length, and its chunks
//! ```
//!
//! `write` knows the forms that Redis 7.0 to 8.2 write, `read` those of every version, which are more; `ziplist` turns the
//! representations of older versions into those of today. `file` is the whole file, in which the values follow each other.

pub mod file;
pub mod read;
pub mod slices;
pub mod write;
mod ziplist;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crc::{CRC_64_REDIS, Crc, Digest, Table};

use crate::store::entry::NewValue;
use crate::store::types::roaring::Roaring;
use crate::store::types::{Object, hash, list, set, zset};

/// The checksum of dump files and payloads. Sixteen bytes at a time: they may be large, and the loop waits.
pub(super) static CHECKSUM: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A checksum under way, of bytes that come in pieces.
#[derive(Clone)]
pub(super) struct RunningSum(Digest<'static, u64, Table<16>>);

impl RunningSum {
    pub(super) fn new() -> RunningSum {
        RunningSum(CHECKSUM.digest())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> u64 {
        self.0.finalize()
    }
}

impl fmt::Debug for RunningSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RunningSum").field(&self.0.clone().finalize()).finish()
    }
}

/// The version of payloads that are written: that of Redis 8.0 and 8.2, which later servers read as well.
pub const VERSION: u16 = 12;

/// The newest version of Redis's that is read: that of Redis 8.4 and 8.6, whose streams may say which of their entries came
/// from whom.
pub const VERSION_READ_MAX: u16 = 13;

/// The version of Valkey's that is read: that of Valkey 9.0 and 9.1. Up to version 11 theirs are Redis's.
pub const VERSION_VALKEY: u16 = 80;

/// Whose forms a value has. From 22 on the bytes that tell the form mean one thing to Redis and another to Valkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Those of Redis, and of Valkey before 9.
    Redis,
    /// Those of Valkey 9.
    Valkey,
}

impl Dialect {
    /// That of a version, `None` if nothing of that version is read.
    pub fn of_version(version: u16) -> Option<Dialect> {
        match version {
            0..=VERSION_READ_MAX => Some(Dialect::Redis),
            VERSION_VALKEY => Some(Dialect::Valkey),
            _ => None,
        }
    }
}

/// The bytes that say of what type a value is, and in which form.
mod code {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
    pub const MODULE_PRE_GA: u8 = 6;
    pub const MODULE: u8 = 7;
    pub const HASH_ZIPMAP: u8 = 9;
    pub const LIST_ZIPLIST: u8 = 10;
    pub const SET_INTSET: u8 = 11;
    pub const ZSET_ZIPLIST: u8 = 12;
    pub const HASH_ZIPLIST: u8 = 13;
    pub const LIST_QUICKLIST: u8 = 14;
    pub const STREAM_LISTPACKS: u8 = 15;
    pub const HASH_LISTPACK: u8 = 16;
    pub const ZSET_LISTPACK: u8 = 17;
    pub const LIST_QUICKLIST_2: u8 = 18;
    pub const STREAM_LISTPACKS_2: u8 = 19;
    pub const SET_LISTPACK: u8 = 20;
    pub const STREAM_LISTPACKS_3: u8 = 21;
    pub const HASH_METADATA_PRE_GA: u8 = 22;
    pub const HASH_LISTPACK_EX_PRE_GA: u8 = 23;
    pub const HASH_METADATA: u8 = 24;
    pub const HASH_LISTPACK_EX: u8 = 25;
    pub const STREAM_LISTPACKS_4: u8 = 26;
    /// An array, in a form of our own: Redis's is not known here. How many elements, the index that the next one gets without naming one,
    /// then each index with its text, ascending. Far from the numbers that Redis gives to types, and from those of what is no value.
    pub const OWN_ARRAY: u8 = 224;
    /// A set whose members may have deadlines, in a form of our own.
    pub const OWN_SET: u8 = 225;
    /// A sorted set whose members may have deadlines, in a form of our own.
    pub const OWN_ZSET: u8 = 226;
    /// A string that is held as a compressed bitmap, in a form of our own: its bytes, how many chunks of 65,536 bits have set ones,
    /// and those chunks, ascending: each a roaring bitmap of one container in the portable format, of the offsets in the whole string.
    pub const OWN_ROARING: u8 = 227;
    /// Valkey's hash whose fields may have deadlines.
    pub const VALKEY_HASH_2: u8 = 22;
}

/// The first two bits of a length, and the bytes that announce the longer ones and the special strings.
mod length {
    pub const BITS_14: u8 = 0x40;
    pub const BITS_32: u8 = 0x80;
    pub const BITS_64: u8 = 0x81;
    pub const INT_8: u8 = 0xC0;
    pub const INT_16: u8 = 0xC1;
    pub const INT_32: u8 = 0xC2;
    pub const LZF: u8 = 0xC3;
}

/// How a node of a list is held.
mod container {
    pub const PLAIN: u64 = 1;
    pub const PACKED: u64 = 2;
}

/// Which representations values get that are read.
#[derive(Clone, Copy, Debug)]
pub struct Shapes {
    /// Lists.
    pub list: list::Fill,
    /// Sets.
    pub set: set::Policy,
    /// Hashes.
    pub hash: hash::Limits,
    /// Sorted sets.
    pub zset: zset::Limits,
}

/// A value that was read.
#[derive(Debug)]
pub enum Value<'p> {
    /// A string.
    String(Cow<'p, [u8]>),
    /// A string that is held as a compressed bitmap.
    Roaring(Roaring),
    /// A collection; not empty unless it is a stream.
    Object(Object),
}

impl Value<'_> {
    /// The value as a database takes it.
    pub fn as_new(&mut self) -> NewValue<'_> {
        match self {
            Value::String(Cow::Borrowed(text)) => NewValue::compact(text),
            Value::String(Cow::Owned(text)) => match NewValue::compact(text) {
                NewValue::Int(n) => NewValue::Int(n),
                _ => NewValue::owned(text),
            },
            Value::Roaring(roaring) => NewValue::Roaring(Arc::new(std::mem::take(roaring))),
            Value::Object(object) => NewValue::Object(std::mem::replace(object, Object::Stream(Default::default()))),
        }
    }
}

/// The memory that reading a value may take: bytes, counted before they are allocated, as well as they can be estimated.
#[derive(Debug)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget { left: bytes }
    }

    /// No limit.
    pub fn unlimited() -> Budget {
        Budget::new(usize::MAX)
    }

    /// Asks for so many bytes for a while.
    fn allows(&mut self, bytes: usize) -> Result<(), Broken> {
        if bytes > self.left { Err(Broken::Memory) } else { Ok(()) }
    }

    /// Takes so many bytes.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Broken> {
        self.allows(bytes)?;
        self.left -= bytes;
        Ok(())
    }
}

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// They end before the value does: so many more belong to it at least.
    RanOut(usize),
    /// A collection without elements, which no server makes on purpose; it has been read to its end.
    Empty,
    /// The byte that tells the form is none that is known.
    Form(u8),
    /// A value of a module's type, which only the module can read: the type's number.
    Module(u64),
    /// It would take more memory than there is for it.
    Memory,
    /// It contradicts itself, or holds what no command can make.
    Invalid(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Broken::RanOut(bytes) => write!(f, "it ends early: at least {bytes} more bytes belong to it"),
            Broken::Empty => write!(f, "a collection without elements"),
            Broken::Form(form) => write!(f, "values of type {form} are not known"),
            Broken::Module(type_id) => write!(f, "a value of the module type '{}'", module_name(*type_id)),
            Broken::Memory => write!(f, "the value would take more memory than there is for it"),
            Broken::Invalid(why) => write!(f, "{why}"),
        }
    }
}

/// The name of a module's type: nine characters of six bits each, above ten bits for the version of its encoding.
pub fn module_name(type_id: u64) -> String {
    const CHARACTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9).map(|index| CHARACTERS[(type_id >> (58 - 6 * index) & 63) as usize] as char).collect()
}
