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
//! `write` knows the forms that Redis 8.2 writes, `read` those that it reads, which are more; `ziplist` turns the
//! representations of older versions into those of today.

pub mod read;
pub mod write;
mod ziplist;

use std::borrow::Cow;

use crate::store::entry::NewValue;
use crate::store::types::{Object, hash, list, set, zset};

/// The version of the format that is written: that of Redis 8.0 and 8.2, which later servers read as well.
pub const VERSION: u16 = 12;

/// The newest version that is read: that of Redis 8.4 and 8.6, whose streams may say which of their entries came from whom.
pub const VERSION_READ_MAX: u16 = 13;

/// The bytes that say of what type a value is, and in which form.
mod code {
    pub const STRING: u8 = 0;
    pub const LIST: u8 = 1;
    pub const SET: u8 = 2;
    pub const ZSET: u8 = 3;
    pub const HASH: u8 = 4;
    pub const ZSET_2: u8 = 5;
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
            Value::Object(object) => NewValue::Object(std::mem::replace(object, Object::Stream(Default::default()))),
        }
    }
}

/// The memory that reading a value may take: bytes, counted before they are allocated, as well as they can be estimated.
#[derive(Debug)]
pub struct Budget {
    left: usize,
    exceeded: bool,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Budget {
        Budget { left: bytes, exceeded: false }
    }

    /// No limit.
    pub fn unlimited() -> Budget {
        Budget::new(usize::MAX)
    }

    /// True if something has asked for more than there was.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Asks for so many bytes for a while.
    fn allows(&mut self, bytes: usize) -> Result<(), Broken> {
        self.exceeded |= bytes > self.left;
        if self.exceeded { Err(Broken) } else { Ok(()) }
    }

    /// Takes so many bytes.
    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Broken> {
        self.allows(bytes)?;
        self.left -= bytes;
        Ok(())
    }
}

/// The bytes are no value: not in a form that is known, or not consistent with themselves; or the budget is exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;
