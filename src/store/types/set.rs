//! Sets.
#![allow(unsafe_code)]

use std::ptr::NonNull;

use super::{Collection, Type};
use crate::store::pack::Item;

/// One of the sets.
#[derive(Clone, Debug, Default)]
pub struct Set(Box<Vec<Vec<u8>>>);

impl Set {
    /// True if a member is there.
    pub fn contains(&self, text: &[u8]) -> bool {
        self.0.iter().any(|member| member == text)
    }

    /// Calls `visit` for every member.
    pub fn for_each(&self, mut visit: impl FnMut(Item<'_>)) {
        self.0.iter().for_each(|member| visit(Item::of(member)));
    }
}

// SAFETY: one box, given up and taken back whole.
unsafe impl Collection for Set {
    const TYPE: Type = Type::Set;

    fn into_raw(self) -> (u8, NonNull<u8>) {
        (0, NonNull::from(Box::leak(self.0)).cast())
    }

    unsafe fn from_raw(_: u8, ptr: NonNull<u8>) -> Self {
        // SAFETY: the caller passes what `into_raw` returned.
        Set(unsafe { Box::from_raw(ptr.as_ptr().cast()) })
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
