//! Bytes in one heap block behind a thin pointer: what members of sets, fields of hashes and members of sorted sets are
//! made of.
//!
//! # Layout
//! ```text
//! | length u8 | bytes ... |                  up to 253 bytes
//! | 254 | length u32 | bytes ... |           up to 4 GiB
//! | 255 | length u64 | bytes ... |           longer: a field and its value are two arguments
//! ```
//! The block's size is the allocator's size class of header and bytes. A 12-byte member takes 16 bytes.
//!
//! [`Keyed`] makes a blob an entry of `store::table`: a [`KeyOf`] says which part of the bytes is the key.
//!
//! Knows nothing of what the bytes mean.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use super::table;
use crate::base::heap::{Mover, size_class};

const SHORT_MAX: usize = 253;
const LONG_MAX: usize = u32::MAX as usize;
const LONG: u8 = 254;
const LONG_HEADER: usize = 5;
const HUGE: u8 = 255;
const HUGE_HEADER: usize = 9;

/// The bytes, owned.
pub struct Blob(NonNull<u8>);

// SAFETY: a blob owns its block, like a `Box<[u8]>`.
unsafe impl Send for Blob {}
// SAFETY: shared access only reads the block.
unsafe impl Sync for Blob {}

fn header_bytes(len: usize) -> usize {
    if len <= SHORT_MAX {
        1
    } else if len <= LONG_MAX {
        LONG_HEADER
    } else {
        HUGE_HEADER
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(size_class(header_bytes(len) + len), 8).expect("parts that are in memory are copied once")
}

/// Writes the header of a blob of `len` bytes.
///
/// # Safety
/// The block has room for it.
unsafe fn write_header(block: NonNull<u8>, len: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        match header_bytes(len) {
            LONG_HEADER => {
                block.write(LONG);
                block.add(1).cast::<u32>().write_unaligned(len as u32);
            }
            HUGE_HEADER => {
                block.write(HUGE);
                block.add(1).cast::<u64>().write_unaligned(len as u64);
            }
            _ => block.write(len as u8),
        }
    }
}

impl Blob {
    /// A blob of these parts, one after the other. O(bytes).
    pub fn concat(parts: &[&[u8]]) -> Blob {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let layout = layout(len);
        // SAFETY: the layout is not empty.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        // SAFETY: the block has room for the header and all parts.
        unsafe {
            write_header(block, len);
            let mut at = block.add(header_bytes(len));
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at.as_ptr(), part.len());
                at = at.add(part.len());
            }
        }
        Blob(block)
    }

    /// Gives up the block; [`Blob::from_raw`] takes it back.
    pub fn into_raw(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0
    }

    /// Takes back what [`Blob::into_raw`] gave up.
    ///
    /// # Safety
    /// `block` came from [`Blob::into_raw`], and nobody else owns it.
    #[inline]
    pub unsafe fn from_raw(block: NonNull<u8>) -> Blob {
        Blob(block)
    }

    #[inline]
    fn span(&self) -> (usize, usize) {
        // SAFETY: the block begins with an initialised header, whose first byte says how long it is.
        unsafe {
            match self.0.read() {
                LONG => (LONG_HEADER, self.0.add(1).cast::<u32>().read_unaligned() as usize),
                HUGE => (HUGE_HEADER, self.0.add(1).cast::<u64>().read_unaligned() as usize),
                short => (1, short as usize),
            }
        }
    }

    /// The blob's place, for whoever finds it in another way than its owner does.
    ///
    /// # Safety
    /// What is lent must not be read once the blob has been dropped, nor may a slice that was read from it be alive while
    /// the blob changes.
    #[inline]
    pub unsafe fn lend(&self) -> LentBlob {
        LentBlob(self.0)
    }

    /// Bytes of the heap block.
    pub fn heap_bytes(&self) -> usize {
        let (header, len) = self.span();
        size_class(header + len)
    }

    /// Moves to another heap block if it should. Whoever was [lent](Blob::lend) the old one has no more use of it.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        if self.is_wanted(mover) {
            *self = self.clone();
        }
    }

    /// True if it should move to another heap block.
    pub fn is_wanted(&self, mover: &mut dyn Mover) -> bool {
        mover.wants(self.0, self.heap_bytes())
    }
}

impl Deref for Blob {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        let (header, len) = self.span();
        // SAFETY: so many initialised bytes follow the header.
        unsafe { std::slice::from_raw_parts(self.0.add(header).as_ptr(), len) }
    }
}

impl DerefMut for Blob {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        let (header, len) = self.span();
        // SAFETY: as above, and `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(header).as_ptr(), len) }
    }
}

impl Clone for Blob {
    fn clone(&self) -> Blob {
        Blob::concat(&[self])
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Blob").field(&String::from_utf8_lossy(self)).finish()
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        let (_, len) = self.span();
        // SAFETY: allocated with the layout of this length.
        unsafe { dealloc(self.0.as_ptr(), layout(len)) }
    }
}

/// A blob that something else owns.
#[derive(Clone, Copy)]
pub struct LentBlob(NonNull<u8>);

// SAFETY: it only reads, what a shared reference to the blob could read as well.
unsafe impl Send for LentBlob {}

impl LentBlob {
    /// Starts loading the blob's first bytes.
    #[inline]
    pub fn prefetch(&self) {
        table::prefetch(self.0.as_ptr());
    }

    /// Bytes of the heap block.
    pub fn heap_bytes(&self) -> usize {
        ManuallyDrop::new(Blob(self.0)).heap_bytes()
    }
}

impl Deref for LentBlob {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        let (header, len) = ManuallyDrop::new(Blob(self.0)).span();
        // SAFETY: whoever called `Blob::lend` promised that the blob lives and does not change; so many initialised bytes
        // follow its header.
        unsafe { std::slice::from_raw_parts(self.0.add(header).as_ptr(), len) }
    }
}

impl fmt::Debug for LentBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LentBlob").field(&String::from_utf8_lossy(self)).finish()
    }
}

/// Which part of a blob's bytes is its key.
pub trait KeyOf {
    /// The key among the bytes of a blob of this kind. O(1).
    fn key(bytes: &[u8]) -> &[u8];
}

/// A blob that is all key.
#[derive(Debug)]
pub struct Whole;

impl KeyOf for Whole {
    #[inline]
    fn key(bytes: &[u8]) -> &[u8] {
        bytes
    }
}

/// A blob as an entry of a table, found by its key. Whoever changes its bytes leaves the key as it is.
pub struct Keyed<K> {
    blob: Blob,
    kind: PhantomData<fn() -> K>,
}

impl<K> Keyed<K> {
    /// An entry of these bytes.
    pub fn new(blob: Blob) -> Keyed<K> {
        Keyed { blob, kind: PhantomData }
    }

    /// The bytes.
    #[inline]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// The bytes, to be changed in place: not the key's.
    #[inline]
    pub fn blob_mut(&mut self) -> &mut Blob {
        &mut self.blob
    }

    /// The bytes, owned.
    pub fn into_blob(self) -> Blob {
        self.blob
    }
}

impl<K> Clone for Keyed<K> {
    fn clone(&self) -> Keyed<K> {
        Keyed::new(self.blob.clone())
    }
}

impl<K> fmt::Debug for Keyed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.blob.fmt(f)
    }
}

// SAFETY: the pointer comes from the allocator and fits 48 bits (the table checks); `from_ptr` restores it unchanged, and a
// `Keyed` is a `Blob`, which is one pointer.
unsafe impl<K: KeyOf> table::Entry for Keyed<K> {
    fn into_ptr(self) -> NonNull<u8> {
        ManuallyDrop::new(self.blob).0
    }

    unsafe fn from_ptr(ptr: NonNull<u8>) -> Self {
        Keyed::new(Blob(ptr))
    }

    #[inline]
    fn key(&self) -> &[u8] {
        K::key(&self.blob)
    }
}

const _: () = assert!(size_of::<Keyed<Whole>>() == size_of::<usize>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_what_its_parts_were_at_every_length() {
        for len in [0, 1, 15, 16, 168, 169, 170, 252, 253, 254, 255, 256, 70_000] {
            let (head, tail) = (vec![b'h'; len], vec![b't'; len / 2]);
            let mut blob = Blob::concat(&[&head, &tail]);
            assert_eq!(*blob, [head.clone(), tail].concat());
            let copy = blob.clone();
            if len > 0 {
                blob[0] = b'x';
                assert_eq!((blob[0], copy[0]), (b'x', b'h'));
            }
        }
    }

    /// A field and a value of two arguments each near the protocol's limit: only the header is looked at, for the bytes would
    /// take as much memory.
    #[test]
    fn a_length_beyond_32_bits_is_kept() {
        let lengths = [0, 253, 254, u32::MAX as usize, u32::MAX as usize + 1, 6 << 30];
        for len in lengths {
            let mut block = [0u8; HUGE_HEADER];
            let at = NonNull::from(&mut block).cast();
            // SAFETY: the block has room for every header; the blob is not dropped, and its bytes are not read.
            let span = unsafe {
                write_header(at, len);
                ManuallyDrop::new(Blob(at)).span()
            };
            assert_eq!(span, (header_bytes(len), len));
        }
    }

    #[test]
    fn a_member_of_twelve_bytes_takes_sixteen() {
        assert_eq!(Blob::concat(&[&[b'm'; 12]]).heap_bytes(), 16);
        assert_eq!(Blob::concat(&[&[b'm'; 15]]).heap_bytes(), 16);
        assert_eq!(Blob::concat(&[&[b'm'; 16]]).heap_bytes(), 32);
    }
}
