//! Hashes.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::{Collection, Type};

/// One of the hashes.
#[derive(Clone, Debug, Default)]
pub struct Hash(Box<Vec<Vec<u8>>>);

// SAFETY: one box, given up and taken back whole.
unsafe impl Collection for Hash {
    const TYPE: Type = Type::Hash;

    fn into_raw(self) -> (u8, NonNull<u8>) {
        (0, NonNull::from(Box::leak(self.0)).cast())
    }

    unsafe fn from_raw(_: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned.
        Hash(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn encoding(&self) -> &'static str {
        "hashtable"
    }

    fn heap_bytes(&self) -> usize {
        self.0.iter().map(Vec::capacity).sum()
    }

    fn blocks(&self) -> usize {
        self.0.len()
    }
}
