//! Small hashes whose field names are a template's, which many like hashes share: such a hash holds its values alone.
//!
//! # Layout
//! One [`Blob`]:
//! ```text
//! | template 8 bytes | value of its first name | of its second ...
//! ```
//! - `template`: the pointer of an `Arc`, which the hash owns.
//! - Values are entries of a listpack without the lengths that lead backwards: they are read in one direction only. Ten values of 8
//!   bytes take 99 bytes with the blob's header, in a 112-byte block of the allocator.
//!
//! # Invariants
//! There are as many values as names. A field is never added or removed: a hash that gains or loses one gets another template, by
//! way of a listpack.
//!
//! Used by `hash`. The oracle of its tests is the map that all of its representations are compared with.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::template::Template;
use crate::base::heap::Mover;
use crate::store::blob::Blob;
use crate::store::pack::{Encoding, Item, Listpack, item, next_forward};

/// Bytes of the pointer in front of the values.
const TEMPLATE_BYTES: usize = size_of::<usize>();

// Whichever thread drops a hash lets go of its template, and may be the last to do so.
const _: () = {
    const fn is_shared_between_threads<T: Send + Sync>() {}
    is_shared_between_threads::<Template>();
};

/// The values of a hash, and the template that names them.
pub struct Compact(Blob);

impl Compact {
    /// A hash of these values, one for each name of the template. O(bytes).
    pub fn new<'v>(template: Arc<Template>, values: impl Iterator<Item = Item<'v>>) -> Compact {
        let mut bytes = Vec::with_capacity(16 * template.field_count());
        for value in values {
            Encoding::of(value).parts().into_iter().for_each(|part| bytes.extend_from_slice(part));
        }
        let template = Arc::into_raw(template).expose_provenance();
        Compact(Blob::concat(&[&template.to_ne_bytes(), &bytes]))
    }

    #[inline]
    fn template_ptr(&self) -> *const Template {
        let address = self.0.first_chunk().expect("the pointer comes first");
        ptr::with_exposed_provenance(usize::from_ne_bytes(*address))
    }

    #[inline]
    fn template(&self) -> &Template {
        // SAFETY: the pointer came from an `Arc` that this hash owns until it is dropped, and its provenance was exposed.
        unsafe { &*self.template_ptr() }
    }

    /// How many hashes use its template.
    pub fn template_users(&self) -> usize {
        self.template().users()
    }

    /// Number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.template().field_count()
    }

    /// Where the value at an index begins. O(index).
    #[inline]
    fn place_of(&self, index: usize) -> usize {
        (0..index).fold(TEMPLATE_BYTES, |at, _| next_forward(&self.0, at))
    }

    /// The value of a field. O(N).
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Item<'_>> {
        let index = self.template().find(name)?;
        Some(item(&self.0, self.place_of(index)))
    }

    /// The fields with their values, in the template's order.
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], Item<'_>)> {
        let (bytes, mut at) = (&*self.0, TEMPLATE_BYTES);
        self.template().names().map(move |name| {
            let value = item(bytes, at);
            at = next_forward(bytes, at);
            (name, value)
        })
    }

    /// Sets the value of a field, if there is such a field: false if not. O(bytes).
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> bool {
        let Some(index) = self.template().find(name) else { return false };
        let start = self.place_of(index);
        let end = next_forward(&self.0, start);
        let encoding = Encoding::of(Item::of(value));
        let [head, body] = encoding.parts();
        if head.len() + body.len() == end - start {
            let (in_head, in_body) = self.0[start..end].split_at_mut(head.len());
            in_head.copy_from_slice(head);
            in_body.copy_from_slice(body);
        } else {
            // The pointer is copied with the rest: the new block owns the template now, and the old one is mere bytes.
            self.0 = Blob::concat(&[&self.0[..start], head, body, &self.0[end..]]);
        }
        true
    }

    /// The same fields and values as pairs of a listpack. O(bytes).
    pub fn to_pack(&self) -> Listpack {
        let mut pack = Listpack::new();
        for (name, value) in self.fields() {
            pack.push_back(name);
            pack.push_back_item(value);
        }
        pack
    }

    /// Bytes on the heap, without the template.
    pub fn heap_bytes(&self) -> usize {
        self.0.heap_bytes()
    }

    /// Moves to another heap block if it should.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        self.0.defragment(mover);
    }

    /// Gives up the block; [`Compact::from_raw`] takes it back.
    pub fn into_raw(self) -> NonNull<u8> {
        let compact = ManuallyDrop::new(self);
        // SAFETY: what is read is not dropped, and so has one owner.
        unsafe { ptr::read(&compact.0) }.into_raw()
    }

    /// Takes back what [`Compact::into_raw`] gave up.
    ///
    /// # Safety
    /// `block` came from [`Compact::into_raw`], and nobody else owns it.
    #[inline]
    pub unsafe fn from_raw(block: NonNull<u8>) -> Compact {
        // SAFETY: the caller's promise.
        Compact(unsafe { Blob::from_raw(block) })
    }

    /// Checks the invariants.
    #[cfg(test)]
    pub fn check(&self) {
        assert_eq!(self.place_of(self.len()), self.0.len(), "as many values as names");
    }
}

impl Clone for Compact {
    fn clone(&self) -> Compact {
        // SAFETY: the pointer came from an `Arc` that this hash owns; the copy owns it once more.
        unsafe { Arc::increment_strong_count(self.template_ptr()) };
        Compact(self.0.clone())
    }
}

impl Drop for Compact {
    fn drop(&mut self) {
        // SAFETY: the pointer came from an `Arc` that this hash owns, and nobody reads it any more.
        drop(unsafe { Arc::from_raw(self.template_ptr()) });
    }
}

impl fmt::Debug for Compact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        f.debug_map().entries(self.fields().map(|(name, value)| (text(name), text(&value.to_vec())))).finish()
    }
}
