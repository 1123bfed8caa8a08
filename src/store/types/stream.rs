//! Streams.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::{Collection, Type};

/// One of the streams.
#[derive(Clone, Debug, Default)]
pub struct Stream(Box<Vec<Vec<u8>>>);

// SAFETY: one box, given up and taken back whole.
unsafe impl Collection for Stream {
    const TYPE: Type = Type::Stream;

    fn into_raw(self) -> (u8, NonNull<u8>) {
        (0, NonNull::from(Box::leak(self.0)).cast())
    }

    unsafe fn from_raw(_: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned.
        Stream(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn heap_bytes(&self) -> usize {
        self.0.iter().map(Vec::capacity).sum()
    }

    fn blocks(&self) -> usize {
        self.0.len()
    }
}
