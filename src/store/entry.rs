//! One key with its value in one heap block.
//!
//! # Layout
//! ```text
//! 0        1       2          4         5        8             (8 or 16)        +4            + key length
//! | kind u8 | flags u8 | length u16 | key length u8 | access u24 | [deadline i64] | [key length u32] | key ... | value ... |
//! ```
//! - `kind`: how the value is held: bytes inline (`length` of them), an integer (8 bytes), a pointer to shared bytes or
//!   a shared compressed bitmap, or a collection: its type, its representation and one pointer. Of all but inline bytes
//!   `length` is what its size is counted as.
//! - `access`: when or how often it was accessed, with two bits of `flags` (`store::access`).
//! - `deadline` is there only for keys with a TTL; the long key length only for keys of 255 bytes and more.
//! - A 15-byte key with a 32-byte value takes 55 bytes, 63 with a TTL: both are 64-byte blocks of the allocator.
//!
//! The block's size is the allocator's size class of what the header says, so it need not be stored, and a value can be
//! overwritten in place whenever the class stays the same.
//!
//! # Invariants
//! - The block was allocated with `layout_for` of what the header says: prefix, key and value (`Entry::block_bytes`).
//! - The pointer of a `Shared` or `Roaring` value owns one count of its `Arc`; a collection's pointer owns the collection.
//! - An integer's text is its canonical decimal form.
//!
//! Made and changed by `store::db` and, where a value is changed in place, by command handlers; read by whoever is lent one.
//! The table holds it as one pointer. Asks no clock: deadlines and access times are numbers here. Knows nothing of replies,
//! nor of what collections are made of.
#![allow(unsafe_code)]

mod value;

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;

pub use value::{NewValue, SharedRef, TextBuffer, Value};
use value::{again, promote};

use super::access::{FORM_MASK, Stamp};
use super::sizes::{Counted, power_of};
use super::table;
use super::types::hash::Hash;
use super::types::hash::template::Sharing;
use super::types::roaring::Roaring;
use super::types::{self, Collection, Object, REPRS_MAX, Ref, SIZE_SAMPLES, Type};
use crate::base::heap::{self, Mover, size_class};

/// Values up to this many bytes lie in the entry's own block; longer ones are shared by reference with the replies that
/// send them. A copy of 1 KiB into the output buffer costs less than counting references and a vectored write.
pub const INLINE_BYTES_MAX: usize = 1024;

/// Collections of this many heap blocks are freed by the helper thread: some five microseconds of work.
const COSTLY_BLOCKS_MIN: usize = 64;

/// Strings up to this length are reported as `embstr`, as in Redis.
const EMBSTR_BYTES_MAX: usize = 44;

const FLAG_DEADLINE: u8 = 1;
const FLAG_TIMER_EXACT: u8 = 2;
const FLAG_RAW: u8 = 4;
const FLAG_LONG_KEY: u8 = 8;
const FLAG_MARK: u8 = 16;
const FLAG_BLESSED: u8 = 128;
const FLAGS: u8 = FLAG_DEADLINE | FLAG_TIMER_EXACT | FLAG_RAW | FLAG_LONG_KEY | FLAG_MARK | FLAG_BLESSED;
const _: () = assert!(FORM_MASK & FLAGS == 0);

const KIND_INLINE: u8 = 0;
const KIND_INT: u8 = 1;
const KIND_SHARED: u8 = 2;
const KIND_ROARING: u8 = 3;
/// The least kind of a collection; see `store::types`.
const KIND_OBJECT: u8 = REPRS_MAX;

const HEADER_BYTES: usize = size_of::<Header>();
const SHORT_KEY_MAX: usize = 254;

#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Header {
    kind: u8,
    flags: u8,
    length: u16,
    key_length: u8,
    access: [u8; 3],
}

const _: () = assert!(HEADER_BYTES == 8);

/// An owning pointer to the block.
pub struct Entry(NonNull<Header>);

// SAFETY: an entry owns its block; what it shares (`Arc<Vec<u8>>`) may be shared between threads.
unsafe impl Send for Entry {}

// SAFETY: the pointer comes from the allocator and fits 48 bits (the table checks); `from_ptr` restores it unchanged.
unsafe impl table::Entry for Entry {
    fn into_ptr(self) -> NonNull<u8> {
        ManuallyDrop::new(self).0.cast()
    }

    unsafe fn from_ptr(ptr: NonNull<u8>) -> Self {
        Entry(ptr.cast())
    }

    #[inline]
    fn key(&self) -> &[u8] {
        Entry::key(self)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &String::from_utf8_lossy(self.key()))
            .field("string", &self.string())
            .field("object", &self.object())
            .field("deadline_ms", &self.deadline_ms())
            .finish()
    }
}

fn layout_for(bytes: usize) -> Layout {
    Layout::from_size_align(size_class(bytes), 8).expect("keys and inline values are far below isize::MAX")
}

fn prefix_bytes(key_bytes: usize, deadline: bool) -> usize {
    HEADER_BYTES + if deadline { 8 } else { 0 } + if key_bytes > SHORT_KEY_MAX { 4 } else { 0 }
}

fn stored_bytes(value: &NewValue<'_>) -> usize {
    match value {
        NewValue::Int(_) | NewValue::Shared(_) | NewValue::Roaring(_) | NewValue::Object(_) => 8,
        NewValue::Bytes(bytes) => bytes.len(),
    }
}

impl Entry {
    /// A new entry. O(key + inline value).
    ///
    /// Bytes longer than [`INLINE_BYTES_MAX`] go to the heap on their own.
    pub fn new(key: &[u8], value: NewValue<'_>, deadline_ms: Option<i64>) -> Entry {
        let value = promote(value);
        let prefix = prefix_bytes(key.len(), deadline_ms.is_some());
        let layout = layout_for(prefix + key.len() + stored_bytes(&value));
        // SAFETY: the layout is not empty.
        let Some(block) = NonNull::new(unsafe { alloc(layout) }) else { handle_alloc_error(layout) };
        let mut entry = Entry(block.cast());
        let mut flags = 0;
        if deadline_ms.is_some() {
            flags |= FLAG_DEADLINE;
        }
        let long = key.len() > SHORT_KEY_MAX;
        if long {
            flags |= FLAG_LONG_KEY;
        }
        let key_length = if long { u8::MAX } else { key.len() as u8 };
        // SAFETY: the block is freshly allocated with room for prefix, key and value, and is aligned to 8.
        unsafe {
            entry.0.as_ptr().write(Header { kind: KIND_INLINE, flags, length: 0, key_length, access: [0; 3] });
            if let Some(deadline_ms) = deadline_ms {
                block.add(HEADER_BYTES).cast::<i64>().write(deadline_ms);
            }
            if long {
                let length = u32::try_from(key.len()).expect("the protocol limits keys to 512 MiB");
                block.add(prefix - 4).cast::<u32>().write_unaligned(length);
            }
            ptr::copy_nonoverlapping(key.as_ptr(), block.add(prefix).as_ptr(), key.len());
            entry.write_value(value);
        }
        entry
    }

    fn header(&self) -> Header {
        // SAFETY: the block starts with an initialised header.
        unsafe { *self.0.as_ptr() }
    }

    fn header_mut(&mut self) -> &mut Header {
        // SAFETY: the block starts with an initialised header, and `self` is exclusive.
        unsafe { self.0.as_mut() }
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: callers pass offsets within the block.
        unsafe { self.0.cast::<u8>().add(offset) }
    }

    fn prefix(&self) -> usize {
        let flags = self.header().flags;
        HEADER_BYTES + if flags & FLAG_DEADLINE != 0 { 8 } else { 0 } + if flags & FLAG_LONG_KEY != 0 { 4 } else { 0 }
    }

    fn key_bytes(&self) -> usize {
        let header = self.header();
        if header.flags & FLAG_LONG_KEY == 0 {
            return header.key_length as usize;
        }
        // SAFETY: entries with a long key keep its length in the last four bytes of the prefix.
        unsafe { self.at(self.prefix() - 4).cast::<u32>().read_unaligned() as usize }
    }

    fn stored(&self) -> usize {
        let header = self.header();
        if header.kind == KIND_INLINE { header.length as usize } else { 8 }
    }

    fn value_at(&self) -> NonNull<u8> {
        self.at(self.prefix() + self.key_bytes())
    }

    fn block_bytes(&self) -> usize {
        size_class(self.prefix() + self.key_bytes() + self.stored())
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        // SAFETY: the key's bytes follow the prefix and are initialised.
        unsafe { std::slice::from_raw_parts(self.at(self.prefix()).as_ptr(), self.key_bytes()) }
    }

    /// The value, if it is a string.
    #[inline]
    pub fn string(&self) -> Option<Value<'_>> {
        let header = self.header();
        let at = self.value_at();
        // SAFETY: the kind says what was written at the value's place.
        unsafe {
            match header.kind {
                KIND_INLINE => Some(Value::Inline(std::slice::from_raw_parts(at.as_ptr(), header.length as usize))),
                KIND_INT => Some(Value::Int(at.cast::<i64>().read_unaligned())),
                KIND_SHARED => Some(Value::Shared(self.shared())),
                KIND_ROARING => Some(Value::Roaring(self.shared())),
                _ => None,
            }
        }
    }

    /// The value, if it is a string that is held as a compressed bitmap.
    #[inline]
    pub fn roaring(&self) -> Option<SharedRef<'_, Roaring>> {
        // SAFETY: it is of that kind.
        (self.header().kind == KIND_ROARING).then(|| unsafe { self.shared() })
    }

    /// The value, if it is a collection.
    pub fn object(&self) -> Option<Ref<'_, Object>> {
        let (kind, ptr) = self.raw_object()?;
        // SAFETY: the entry owns the collection that this kind and pointer stand for, and stays borrowed.
        Some(unsafe { Ref::new(Object::from_raw(kind, ptr)) })
    }

    /// The value, if it is a collection of this type.
    #[inline]
    pub fn collection<T: Collection>(&self) -> Option<Ref<'_, T>> {
        let (kind, ptr) = self.raw_object().filter(|_| self.type_of() == T::TYPE)?;
        // SAFETY: as above; the kind's type is `T`'s.
        Some(unsafe { Ref::new(T::from_raw(kind % REPRS_MAX, ptr)) })
    }

    /// True if it holds a collection that has to be [looked at](Collection::look_at) before it is read.
    #[inline]
    pub(super) fn may_show_due(&self) -> bool {
        types::may_show_due(self.header().kind)
    }

    /// Takes a collection of this type out, to be changed and [attached](Entry::attach) again; the entry holds the integer
    /// 0 meanwhile.
    #[inline]
    pub fn detach<T: Collection>(&mut self) -> Option<T> {
        let (kind, ptr) = self.raw_object().filter(|_| self.type_of() == T::TYPE)?;
        self.overwrite_with_zero();
        // SAFETY: the entry has just given the collection up; the kind's type is `T`'s.
        Some(unsafe { T::from_raw(kind % REPRS_MAX, ptr) })
    }

    /// Takes what a string or collection holds outside the entry's own block; the entry holds the integer 0 then.
    pub fn detach_payload(&mut self) -> Option<Box<dyn Send>> {
        let payload: Box<dyn Send> = match (self.raw_object(), self.string()) {
            // SAFETY: the entry owns the object and gives it up below.
            (Some((kind, ptr)), _) => Box::new(unsafe { Object::from_raw(kind, ptr) }),
            (None, Some(Value::Shared(shared))) => Box::new(Arc::clone(&shared)),
            (None, Some(Value::Roaring(roaring))) => Box::new(Arc::clone(&roaring)),
            _ => return None,
        };
        self.release_shared();
        self.overwrite_with_zero();
        Some(payload)
    }

    /// Moves to another heap block if it should, and so does a long value that no reply holds.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        if let Some(mut shared) = self.shared_mut() {
            shared.defragment(mover);
        }
        let bytes = self.block_bytes();
        if mover.wants(self.0.cast(), bytes) {
            let layout = layout_for(bytes);
            // SAFETY: the layout is that of the old block and is not empty. The new block takes over all that the old one holds, which
            // is freed without being dropped.
            unsafe {
                let Some(block) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
                let old = self.0.cast::<u8>();
                block.copy_from_nonoverlapping(old, bytes);
                self.0 = block.cast();
                dealloc(old.as_ptr(), layout);
            }
        }
    }

    /// Lets a collection be changed, of whatever type. `None`, and nothing called, for strings.
    pub fn edit_object<R>(&mut self, edit: impl FnOnce(&mut Object) -> R) -> Option<R> {
        let (kind, ptr) = self.raw_object()?;
        self.overwrite_with_zero();
        // SAFETY: the entry has just given the object up.
        let mut object = unsafe { Object::from_raw(kind, ptr) };
        let edited = edit(&mut object);
        let (kind, ptr) = object.into_raw();
        // SAFETY: the place of an integer has room for a pointer.
        unsafe { self.value_at().cast::<NonNull<u8>>().write_unaligned(ptr) };
        self.header_mut().kind = kind;
        Some(edited)
    }

    /// Puts a collection in the place of an integer.
    #[inline]
    pub fn attach<T: Collection>(&mut self, collection: T) {
        assert!(self.header().kind == KIND_INT, "only an integer has no owner to be lost");
        let (kind, ptr) = types::into_raw(collection);
        // SAFETY: the place of an integer has room for a pointer.
        unsafe { self.value_at().cast::<NonNull<u8>>().write_unaligned(ptr) };
        self.header_mut().kind = kind;
    }

    #[inline]
    fn raw_object(&self) -> Option<(u8, NonNull<u8>)> {
        let kind = self.header().kind;
        if kind < KIND_OBJECT {
            return None;
        }
        // SAFETY: the kind says that the value's place holds a collection's pointer.
        Some((kind, unsafe { self.value_at().cast::<NonNull<u8>>().read_unaligned() }))
    }

    /// Writes 0 over a pointer that has been given up.
    fn overwrite_with_zero(&mut self) {
        // SAFETY: a pointer's place has room for an integer.
        unsafe { self.value_at().cast::<i64>().write_unaligned(0) };
        self.header_mut().kind = KIND_INT;
    }

    /// # Safety
    /// The kind must be that of shared values of this type.
    unsafe fn shared<T>(&self) -> SharedRef<'_, T> {
        // SAFETY: the place holds what `Arc::into_raw` returned, and the entry owns that count while it is borrowed.
        SharedRef::new(unsafe { Arc::from_raw(self.value_at().cast::<*const T>().read_unaligned()) })
    }

    /// Unix time in milliseconds at which the key expires.
    #[inline]
    pub fn deadline_ms(&self) -> Option<i64> {
        if self.header().flags & FLAG_DEADLINE == 0 {
            return None;
        }
        // SAFETY: the flag says that a deadline follows the header; the block is aligned to 8.
        Some(unsafe { self.at(HEADER_BYTES).cast::<i64>().read() })
    }

    /// Writes a new deadline over the present one; the key must have one. O(1), nothing moves.
    #[inline]
    pub fn overwrite_deadline(&mut self, deadline_ms: i64) {
        assert!(self.header().flags & FLAG_DEADLINE != 0, "the entry has room for a deadline only if it has one");
        // SAFETY: the flag says that a deadline follows the header.
        unsafe { self.at(HEADER_BYTES).cast::<i64>().write(deadline_ms) }
    }

    /// The entry with another deadline. In place if it has one and is to have one; else the value moves to another block.
    pub fn with_deadline(mut self, deadline_ms: Option<i64>) -> Entry {
        if let (Some(_), Some(deadline_ms)) = (self.deadline_ms(), deadline_ms) {
            self.overwrite_deadline(deadline_ms);
            return self;
        }
        let mut entry = self.move_as(None, deadline_ms);
        entry.set_stamp(self.stamp());
        entry
    }

    /// This entry under another key. The value moves.
    pub fn renamed(mut self, key: &[u8]) -> Entry {
        let (deadline_ms, stamp) = (self.deadline_ms(), self.stamp());
        let mut entry = self.move_as(Some(key), deadline_ms);
        entry.set_stamp(stamp);
        entry
    }

    /// Moves the value to a new entry with a new block; what is left here is of no further use.
    fn move_as(&mut self, key: Option<&[u8]>, deadline_ms: Option<i64>) -> Entry {
        let raw_object = self.raw_object();
        if raw_object.is_some() {
            self.overwrite_with_zero();
        }
        // SAFETY: the entry has just given the object up.
        let object = raw_object.map(|(kind, ptr)| unsafe { Object::from_raw(kind, ptr) });
        let key = key.unwrap_or_else(|| self.key());
        let mut entry = match (object, self.string()) {
            (Some(object), _) => Entry::new(key, NewValue::Object(object), deadline_ms),
            (None, Some(string)) => Entry::new(key, again(&string), deadline_ms),
            (None, None) => unreachable!("a value is a string or a collection"),
        };
        let old = self.header();
        let header = entry.header_mut();
        header.flags |= old.flags & (FLAG_RAW | FLAG_MARK | FLAG_BLESSED);
        // The value is held as it was.
        header.length = old.length;
        entry
    }

    /// The entry with another value and deadline, its key kept. In place when the size class stays the same and the
    /// deadline's room does.
    #[inline]
    pub fn with_value(mut self, value: NewValue<'_>, deadline_ms: Option<i64>) -> Entry {
        let value = promote(value);
        let prefix_and_key = self.prefix() + self.key_bytes();
        let same_shape = self.deadline_ms().is_some() == deadline_ms.is_some();
        if !same_shape || size_class(prefix_and_key + stored_bytes(&value)) != self.block_bytes() {
            let mut entry = Entry::new(self.key(), value, deadline_ms);
            entry.set_stamp(self.stamp());
            entry.set_mark(self.mark());
            entry.set_blessed(self.is_blessed());
            return entry;
        }
        self.release();
        if let Some(deadline_ms) = deadline_ms {
            self.overwrite_deadline(deadline_ms);
        }
        self.header_mut().flags &= !FLAG_RAW;
        // SAFETY: the class is the same, so the block has room for this value; the old one was released.
        unsafe { self.write_value(value) };
        self
    }

    /// The entry with another value, its key, deadline and timer kept.
    pub fn with_value_only(self, value: NewValue<'_>) -> Entry {
        let (deadline_ms, exact) = (self.deadline_ms(), self.timer_exact());
        let mut entry = self.with_value(value, deadline_ms);
        entry.set_timer_exact(exact);
        entry
    }

    /// Writes an integer over the present one, in place. False, and nothing done, if the value is not held as one.
    #[inline]
    pub fn overwrite_int(&mut self, n: i64) -> bool {
        if self.header().kind != KIND_INT {
            return false;
        }
        // SAFETY: the kind says that the value's place holds eight bytes of an integer.
        unsafe { self.value_at().cast::<i64>().write_unaligned(n) };
        true
    }

    /// A copy of this entry under another key, sharing a long string. O(N) for a collection.
    pub fn copy_as(&self, key: &[u8]) -> Entry {
        let deadline_ms = self.deadline_ms();
        let mut entry = match (self.string(), self.object()) {
            (Some(string), _) => Entry::new(key, again(&string), deadline_ms),
            (None, Some(object)) => Entry::new(key, NewValue::Object(object.clone()), deadline_ms),
            (None, None) => unreachable!("a value is a string or a collection"),
        };
        entry.header_mut().flags |= self.header().flags & FLAG_RAW;
        entry
    }

    /// The bytes of a long value, to be changed in place. Copies them first if a reply still holds them.
    /// `None` for values that are not shared.
    pub fn shared_mut(&mut self) -> Option<SharedMut<'_>> {
        if self.header().kind != KIND_SHARED {
            return None;
        }
        // SAFETY: the kind says the place holds an `Arc`'s pointer. The count stays the entry's: `SharedMut` never drops it,
        // and writes a new pointer back as soon as there is one.
        let arc = unsafe { Arc::from_raw(self.value_at().cast::<*const Vec<u8>>().read_unaligned()) };
        Some(SharedMut { entry: self, arc: ManuallyDrop::new(arc) })
    }

    /// Lets a compressed bitmap be changed in place; it is copied first if anyone else holds it. `None`, and nothing called, for other
    /// values.
    pub fn edit_roaring<R>(&mut self, edit: impl FnOnce(&mut Roaring) -> R) -> Option<R> {
        if self.header().kind != KIND_ROARING {
            return None;
        }
        let place = self.value_at().cast::<*const Roaring>();
        // SAFETY: the kind says the place holds an `Arc`'s pointer. The count stays the entry's: the `Arc` is never dropped here, and
        // its pointer is written back before anything else can happen.
        let mut arc = ManuallyDrop::new(unsafe { Arc::from_raw(place.read_unaligned()) });
        Arc::make_mut(&mut arc);
        // SAFETY: as above; if it was copied, the count of the old one has been given up.
        unsafe { place.write_unaligned(Arc::as_ptr(&arc)) };
        Some(edit(Arc::make_mut(&mut arc)))
    }

    /// Lets the bytes of a string be changed in place, their number kept; a long value is copied first if a reply still
    /// holds it. `None`, and nothing called, for values that are not held as bytes.
    pub fn edit_bytes<R>(&mut self, edit: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        if let Some(mut shared) = self.shared_mut() {
            return Some(edit(shared.bytes()));
        }
        let header = self.header();
        if header.kind != KIND_INLINE {
            return None;
        }
        // SAFETY: the kind says that so many initialised bytes lie at the value's place, and `self` is exclusive.
        Some(edit(unsafe { std::slice::from_raw_parts_mut(self.value_at().as_ptr(), header.length as usize) }))
    }

    /// # Safety
    /// The block must have room for the value, and an old shared value must have been released.
    unsafe fn write_value(&mut self, value: NewValue<'_>) {
        let at = self.value_at();
        // SAFETY: the caller guarantees the room.
        unsafe {
            match value {
                NewValue::Int(n) => {
                    at.cast::<i64>().write_unaligned(n);
                    self.header_mut().kind = KIND_INT;
                }
                NewValue::Bytes(bytes) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), at.as_ptr(), bytes.len());
                    let header = self.header_mut();
                    header.kind = KIND_INLINE;
                    header.length = bytes.len() as u16;
                }
                NewValue::Shared(arc) => {
                    at.cast::<*const Vec<u8>>().write_unaligned(Arc::into_raw(arc));
                    self.header_mut().kind = KIND_SHARED;
                }
                NewValue::Roaring(arc) => {
                    debug_assert!(arc.len() > INLINE_BYTES_MAX, "short strings are bytes");
                    at.cast::<*const Roaring>().write_unaligned(Arc::into_raw(arc));
                    self.header_mut().kind = KIND_ROARING;
                }
                NewValue::Object(object) => {
                    let (kind, ptr) = object.into_raw();
                    at.cast::<NonNull<u8>>().write_unaligned(ptr);
                    self.header_mut().kind = kind;
                }
            }
        }
    }

    /// Drops what the value owns outside the block, whose place is overwritten or freed next.
    fn release(&mut self) {
        self.release_shared();
        if let Some((kind, ptr)) = self.raw_object() {
            // SAFETY: the entry owns the collection, and nobody asks for it again.
            drop(unsafe { Object::from_raw(kind, ptr) });
        }
    }

    fn release_shared(&mut self) {
        let at = self.value_at();
        // SAFETY: the entry owns one count of what the kind says; the place is overwritten or freed next.
        unsafe {
            match self.header().kind {
                KIND_SHARED => drop(Arc::from_raw(at.cast::<*const Vec<u8>>().read_unaligned())),
                KIND_ROARING => drop(Arc::from_raw(at.cast::<*const Roaring>().read_unaligned())),
                _ => {}
            }
        }
    }

    /// The bytes of a string, or the elements of a collection, without those that are out of sight as they are due. O(1).
    #[inline]
    pub(super) fn size(&self) -> usize {
        let header = self.header();
        match header.kind {
            KIND_INLINE => usize::from(header.length),
            KIND_INT | KIND_SHARED | KIND_ROARING => self.string().map_or(0, |string| string.len()),
            _ => self.object().map_or(0, |object| object.len()),
        }
    }

    /// As what the value is counted among the sizes of its database.
    #[inline]
    pub(super) fn counted(&self) -> Counted {
        let header = self.header();
        let [power, bytes_power] = match header.kind {
            KIND_INLINE => [power_of(header.length.into()), 0],
            _ => header.length.to_le_bytes(),
        };
        Counted { kind: types::type_of(header.kind), power, bytes_power }
    }

    /// Has the value be counted as one of a size, which is its own, and of the bytes that it takes if those are counted.
    #[inline]
    pub(super) fn count_as(&mut self, size: usize, counts_bytes: bool) -> Counted {
        if self.header().kind != KIND_INLINE {
            let bytes_power = if counts_bytes { self.bytes_power() } else { 0 };
            self.header_mut().length = u16::from_le_bytes([power_of(size), bytes_power]);
        }
        self.counted()
    }

    /// Has the bytes of the value be counted anew, if they are counted at all, which is counted as `old` so far.
    pub(super) fn count_bytes(&mut self, old: Counted, counts_bytes: bool) -> Counted {
        if self.header().kind < KIND_OBJECT {
            return old;
        }
        let bytes_power = if counts_bytes { self.bytes_power() } else { old.bytes_power };
        self.header_mut().length = u16::from_le_bytes([old.power, bytes_power]);
        self.counted()
    }

    /// Has a hash that shares the names of its fields with fewer than so many hold them itself.
    pub(super) fn unshare_names_of_few(&mut self, users: usize) {
        let is_rare =
            self.collection::<Hash>().is_some_and(|hash| hash.name_users().is_some_and(|count| count < users));
        if is_rare && let Some(mut hash) = self.detach::<Hash>() {
            hash.unshare_names();
            self.attach(hash);
        }
    }

    /// Has a hash share the names of its fields, if it is one that does.
    pub fn share_names(&mut self, sharing: &Sharing) {
        let shares = self.collection::<Hash>().is_some_and(|hash| hash.may_share_names(sharing));
        if shares && let Some(mut hash) = self.detach::<Hash>() {
            hash.share_names(sharing);
            self.attach(hash);
        }
    }

    /// As what the bytes of a collection are counted. Those of strings are not.
    #[cold]
    fn bytes_power(&self) -> u8 {
        self.object().map_or(0, |object| power_of(object.heap_bytes(SIZE_SAMPLES)))
    }

    /// Whether the key's timer node sits in the slot of its present deadline (see `timer::wheel`).
    pub fn timer_exact(&self) -> bool {
        self.header().flags & FLAG_TIMER_EXACT != 0
    }

    /// Records whether the key's timer node sits in the slot of its present deadline.
    pub fn set_timer_exact(&mut self, exact: bool) {
        let header = self.header_mut();
        header.flags = header.flags & !FLAG_TIMER_EXACT | if exact { FLAG_TIMER_EXACT } else { 0 };
    }

    /// The snapshot's mark, which tells whether the entry is in it yet (see `store::snapshot`). A new entry has none; whatever
    /// else becomes of an entry, the mark stays.
    #[inline]
    pub fn mark(&self) -> bool {
        self.header().flags & FLAG_MARK != 0
    }

    /// Sets the snapshot's mark, or takes it off.
    #[inline]
    pub fn set_mark(&mut self, mark: bool) {
        let header = self.header_mut();
        header.flags = header.flags & !FLAG_MARK | if mark { FLAG_MARK } else { 0 };
    }

    /// Whether the key is to stay whatever memory policy there is: see `store::blessed`. It is the key's, like a deadline: other values do
    /// not change it, and it goes along when the key gets another name. A copy does not have it.
    #[inline]
    pub fn is_blessed(&self) -> bool {
        self.header().flags & FLAG_BLESSED != 0
    }

    /// Says whether the key is to stay.
    #[inline]
    pub fn set_blessed(&mut self, is_blessed: bool) {
        let header = self.header_mut();
        header.flags = header.flags & !FLAG_BLESSED | if is_blessed { FLAG_BLESSED } else { 0 };
    }

    /// Marks a string that was changed in place; Redis reports such strings as `raw` however short.
    pub fn set_raw(&mut self) {
        self.header_mut().flags |= FLAG_RAW;
    }

    /// The type of the value.
    #[inline]
    pub fn type_of(&self) -> Type {
        types::type_of(self.header().kind)
    }

    /// Redis's name of the value's encoding.
    pub fn encoding(&self) -> &'static str {
        if let Some(object) = self.object() {
            return object.encoding();
        }
        match self.string() {
            Some(Value::Int(_)) => "int",
            Some(Value::Roaring(_)) => "roaring",
            Some(Value::Inline(bytes)) if bytes.len() <= EMBSTR_BYTES_MAX && self.header().flags & FLAG_RAW == 0 => {
                "embstr"
            }
            _ => "raw",
        }
    }

    /// What the entry remembers of its accesses.
    #[inline]
    pub fn stamp(&self) -> Stamp {
        let Header { flags, access: [a, b, c], .. } = self.header();
        Stamp::new(flags & FORM_MASK, u32::from_le_bytes([a, b, c, 0]))
    }

    /// Records an access.
    #[inline]
    pub fn set_stamp(&mut self, stamp: Stamp) {
        let [a, b, c, _] = stamp.value().to_le_bytes();
        let header = self.header_mut();
        header.access = [a, b, c];
        header.flags = header.flags & !FORM_MASK | stamp.form();
    }

    /// True if freeing the entry may take longer than handing it to another thread: it has many blocks. A string, however long,
    /// is one: the allocator keeps its pages for the next one (see `sys::alloc`), and while it waited to be freed elsewhere
    /// they would be taken twice.
    #[inline]
    pub fn is_costly_to_free(&self) -> bool {
        match self.header().kind {
            KIND_INLINE | KIND_INT | KIND_SHARED => false,
            KIND_ROARING => self.roaring().is_some_and(|roaring| roaring.blocks() >= COSTLY_BLOCKS_MIN),
            _ => self.object().is_some_and(|object| object.blocks() >= COSTLY_BLOCKS_MIN),
        }
    }

    /// Bytes this entry takes on the heap, a shared string's or collection's included: that estimated from a few elements where it
    /// has many. O(1).
    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes_sampled(SIZE_SAMPLES)
    }

    /// The same, estimated from about so many elements. O(samples).
    pub fn heap_bytes_sampled(&self, samples: usize) -> usize {
        let outside = match (self.string(), self.object()) {
            (Some(Value::Shared(shared)), _) => heap::shared_vec(&shared),
            (Some(Value::Roaring(roaring)), _) => roaring.heap_bytes(),
            (_, Some(object)) => object.heap_bytes(samples),
            _ => 0,
        };
        self.block_bytes() + outside
    }
}

impl<'t> table::Lent<'t, Entry> {
    /// The value, if it is a collection of this type, for as long as the table is borrowed.
    #[inline]
    pub fn into_collection<T: Collection>(self) -> Option<Ref<'t, T>> {
        let (kind, ptr) = self.raw_object().filter(|_| self.type_of() == T::TYPE)?;
        // SAFETY: the table's entry owns the collection, and the table stays borrowed; the kind's type is `T`'s.
        Some(unsafe { Ref::new(T::from_raw(kind % REPRS_MAX, ptr)) })
    }
}

/// A long value, open for change. The entry is whole at all times, even if this is leaked.
pub struct SharedMut<'e> {
    entry: &'e mut Entry,
    arc: ManuallyDrop<Arc<Vec<u8>>>,
}

impl SharedMut<'_> {
    /// Length in bytes.
    #[allow(clippy::len_without_is_empty, reason = "only long values are shared")]
    pub fn len(&self) -> usize {
        self.arc.len()
    }

    /// Moves to other heap blocks if they should, unless anyone else holds them.
    fn defragment(&mut self, mover: &mut dyn Mover) {
        let block = NonNull::from(&**self.arc).cast();
        if Arc::get_mut(&mut self.arc).is_none() {
            return;
        }
        let bytes = self.bytes();
        if let Some(text) = NonNull::new(bytes.as_mut_ptr())
            && mover.wants(text, size_class(bytes.capacity()))
        {
            let mut moved = Vec::with_capacity(bytes.capacity());
            moved.extend_from_slice(bytes);
            *bytes = moved;
        }
        if mover.wants(block, heap::shared_vec_head()) {
            let bytes = std::mem::take(self.bytes());
            *self.arc = Arc::new(bytes);
            self.bytes();
        }
    }

    /// The bytes, copied first if anyone else holds them.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        Arc::make_mut(&mut self.arc);
        let place = self.entry.value_at().cast::<*const Vec<u8>>();
        // SAFETY: the place has the kind of a shared value. If the bytes were copied, the count of the old ones has been
        // given up and the only one of the new is the entry's from here on.
        unsafe { place.write_unaligned(Arc::as_ptr(&self.arc)) };
        // Nobody else holds them by now, so this copies nothing.
        Arc::make_mut(&mut self.arc)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout = layout_for(self.prefix() + self.key_bytes() + self.stored());
        self.release();
        // SAFETY: the layout is computed from the header as at allocation (module invariant).
        unsafe { dealloc(self.0.as_ptr().cast(), layout) }
    }
}

#[cfg(test)]
#[path = "entry_tests.rs"]
mod tests;
