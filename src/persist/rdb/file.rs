//! The whole dump file: every database, key by key.
//!
//! # Layout
//! ```text
//! | "REDIS" and 4 digits, or "VALKEY" and 3 | part | part | ... | 255 | CRC-64 of all before, u64 little endian |
//!
//! 250 | name | value                      an auxiliary field: who wrote the file, when, how
//! 245 | code                              a library of functions
//! 254 | number                            the database of the keys that follow; may come again
//! 251 | keys | of them with a deadline    how many keys the database has
//! 252 | time in ms                        when the key that follows expires (253: in seconds, 4 bytes)
//! 248 | seconds, 249 | u8                 how long it was idle, how often it was used
//! form | key | value                      a key
//! ```
//! Numbers and strings are those of [`super`]. Up to version 4 there is no checksum; one of 0 says that none was made.
//!
//! `write` makes such a file key by key, in pieces that its caller takes; `read` takes one apart, item by item.

mod read;
mod write;

pub use read::{Checksum, DumpReader, Fault, Item, LoadError, Loaded, MEMORY_FACTOR};
pub use write::{Accesses, CannotHold, DumpWriter, Head, Options, Origin};

/// The bytes that announce something other than a value.
pub(in crate::persist) mod opcode {
    /// What a module of Redis 8.6 keeps of a key.
    pub const KEY_META: u8 = 243;
    /// Slots that a node of Valkey is importing.
    pub const SLOT_IMPORT: u8 = 243;
    pub const SLOT_INFO: u8 = 244;
    pub const FUNCTION: u8 = 245;
    pub const FUNCTION_PRE_GA: u8 = 246;
    pub const MODULE_AUX: u8 = 247;
    pub const IDLE: u8 = 248;
    pub const FREQ: u8 = 249;
    pub const AUX: u8 = 250;
    pub const RESIZE_DB: u8 = 251;
    pub const EXPIRE_MS: u8 = 252;
    pub const EXPIRE_S: u8 = 253;
    pub const SELECT_DB: u8 = 254;
    pub const END: u8 = 255;
}

/// What a file begins with, before its version's digits.
mod magic {
    pub const REDIS: &[u8] = b"REDIS";
    pub const VALKEY: &[u8] = b"VALKEY";
    /// With the digits.
    pub const BYTES: usize = 9;
}

#[cfg(test)]
mod tests;
