//! What values are made of. One module for each type, which owns its encodings and knows nothing of keys, time to live,
//! clients or replies. `bitmap` and `hll` are functions on the bytes of strings, `roaring` is a string that is held as a compressed
//! bitmap, `geo` is arithmetic on scores; `copying` makes copies of large collections; the others are collections.
//!
//! An entry holds a collection as one pointer and one byte: the type and its representation (`Collection::into_raw`). A type
//! with several representations is an `enum` of pointers, so that changing the representation changes no entry's size.
#![allow(unsafe_code)]

pub mod array;
pub mod bitmap;
pub mod copying;
pub mod geo;
pub mod hash;
pub mod hll;
pub mod list;
pub mod roaring;
pub mod set;
pub mod stream;
pub mod zset;

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

pub use array::Array;
pub use hash::Hash;
pub use list::List;
pub use set::Set;
pub use stream::Stream;
pub use zset::ZSet;

use self::hash::template::Sharing;
use crate::base::heap::Mover;
use crate::store::pack::ENCODING_BYTES_MAX;

/// The type of a key's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the types' own names")]
pub enum Type {
    String,
    List,
    Set,
    ZSet,
    Hash,
    Stream,
    Array,
}

impl Type {
    /// All of them.
    pub const ALL: [Type; 7] = [Type::String, Type::List, Type::Set, Type::ZSet, Type::Hash, Type::Stream, Type::Array];

    /// Redis's name of the type.
    pub fn name(self) -> &'static str {
        match self {
            Type::String => "string",
            Type::List => "list",
            Type::Set => "set",
            Type::ZSet => "zset",
            Type::Hash => "hash",
            Type::Stream => "stream",
            Type::Array => "array",
        }
    }
}

/// A pack from outside that takes no more than this is not converted for its bytes: other servers' limits may be wider.
const LOADED_BYTES_MIN: usize = 64 << 10;

/// True if a pack from outside takes more than [`LOADED_BYTES_MIN`], and more than the limits would ever let it grow to: so
/// many `entries` of `width` elements of `value` bytes.
fn is_oversized(bytes: usize, entries: usize, width: usize, value: usize) -> bool {
    let element = value.saturating_add(ENCODING_BYTES_MAX);
    bytes > LOADED_BYTES_MIN.max(entries.saturating_mul(width).saturating_mul(element))
}

/// Representations a collection may have.
pub const REPRS_MAX: u8 = 8;

/// A collection that an entry can hold as one pointer.
///
/// # Safety
/// `into_raw` must give up ownership and return a representation below [`REPRS_MAX`] and a pointer; `from_raw` must restore
/// exactly what `into_raw` gave up, and a restored value that is never dropped must not have changed anything.
pub unsafe trait Collection: Sized + Send + Clone + fmt::Debug {
    /// The type.
    const TYPE: Type;

    /// Elements may have a deadline each.
    const EXPIRES: bool = false;

    /// Gives up ownership.
    fn into_raw(self) -> (u8, NonNull<u8>);

    /// Takes ownership back.
    ///
    /// # Safety
    /// The arguments must come from `into_raw` and not be used as an owner elsewhere.
    unsafe fn from_raw(repr: u8, ptr: NonNull<u8>) -> Self;

    /// Number of elements, as LLEN, SCARD, HLEN, ZCARD and XLEN count them. O(1).
    fn len(&self) -> usize;

    /// True when there is none, not even a due one.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Redis's name of the encoding.
    fn encoding(&self) -> &'static str;

    /// Bytes on the heap, in the allocator's size classes. Where there are more than so many elements, what they take on their own
    /// is estimated from about as many. O(samples).
    fn heap_bytes(&self, samples: usize) -> usize;

    /// Heap blocks that dropping this frees: what it costs. O(1).
    fn blocks(&self) -> usize;

    /// Shows blocks to the mover from a place on, 0 at first, and moves those that should be, until `go_on` returns false, which
    /// is asked after some. Returns the place to go on from; `None` at the end. What is added or removed meanwhile may be passed
    /// over or shown twice.
    fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128>;

    /// A time in Unix milliseconds before which no element falls due; `None` if none has a deadline. O(1). It may be earlier than
    /// the first deadline, until [`Collection::expire`] has been called at that time.
    #[inline]
    fn next_due_ms(&self) -> Option<i64> {
        None
    }

    /// Takes out elements whose deadline has come, earliest first, some `max` of them at most: a few hundred more where there are
    /// few. Names each to `gone`, and returns how many; [`Collection::next_due_ms`] says whether more are due. O(max).
    fn expire(&mut self, _now_ms: i64, _max: usize, _gone: &mut dyn FnMut(&[u8])) -> usize {
        0
    }

    /// Has elements be due, and so absent for who reads or changes the collection, whose deadlines have come by this time; those
    /// of hashes are told the time in each call instead. O(1), or O(due ones).
    #[inline]
    fn look_at(&mut self, _now_ms: i64) {}

    /// Has a collection that has been changed take the representation which goes with what it shares with others. O(1) for all but
    /// small hashes.
    #[inline]
    fn settle(&mut self, _sharing: &Sharing) {}
}

/// Elements of a collection from which its size is estimated where nobody asks for more.
pub const SIZE_SAMPLES: usize = 16;

/// A collection of any type.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the types' own names")]
pub enum Object {
    List(List),
    Set(Set),
    ZSet(ZSet),
    Hash(Hash),
    Stream(Stream),
    Array(Array),
}

/// Runs an expression on the collection inside an object.
macro_rules! each {
    ($object:expr, $collection:ident => $run:expr) => {
        match $object {
            Object::List($collection) => $run,
            Object::Set($collection) => $run,
            Object::ZSet($collection) => $run,
            Object::Hash($collection) => $run,
            Object::Stream($collection) => $run,
            Object::Array($collection) => $run,
        }
    };
}

/// Gives up a collection's ownership: its kind (type and representation, at least [`REPRS_MAX`]) and its pointer.
pub(super) fn into_raw<T: Collection>(collection: T) -> (u8, NonNull<u8>) {
    let (repr, ptr) = collection.into_raw();
    debug_assert!(repr < REPRS_MAX, "the representation fits its bits");
    (T::TYPE as u8 * REPRS_MAX + repr, ptr)
}

/// True for a kind of collection that has to be [looked at](Collection::look_at) before it is read.
#[inline]
pub(super) fn may_show_due(kind: u8) -> bool {
    const SET: u8 = Type::Set as u8 * REPRS_MAX + set::REPR_TIMED;
    const ZSET: u8 = Type::ZSet as u8 * REPRS_MAX + zset::REPR_TIMED;
    kind == SET || kind == ZSET
}

/// The type that a kind names.
pub(super) fn type_of(kind: u8) -> Type {
    Type::ALL[(kind / REPRS_MAX) as usize]
}

impl Object {
    /// The type.
    pub fn type_of(&self) -> Type {
        fn of<T: Collection>(_: &T) -> Type {
            T::TYPE
        }
        each!(self, collection => of(collection))
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        each!(self, collection => collection.len())
    }

    /// True when there is none, not even a due one.
    pub fn is_empty(&self) -> bool {
        each!(self, collection => collection.is_empty())
    }

    /// Redis's name of the encoding.
    pub fn encoding(&self) -> &'static str {
        each!(self, collection => collection.encoding())
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self, samples: usize) -> usize {
        each!(self, collection => collection.heap_bytes(samples))
    }

    /// Heap blocks that dropping this frees.
    pub fn blocks(&self) -> usize {
        each!(self, collection => collection.blocks())
    }

    /// Moves blocks: see [`Collection::defragment`].
    pub fn defragment(&mut self, from: u128, mover: &mut dyn Mover, go_on: &mut dyn FnMut() -> bool) -> Option<u128> {
        each!(self, collection => collection.defragment(from, mover, go_on))
    }

    /// Gives up ownership, as the function of that name does.
    pub(super) fn into_raw(self) -> (u8, NonNull<u8>) {
        each!(self, collection => into_raw(collection))
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// The arguments must come from `into_raw` of an object or collection, and not be used as an owner elsewhere.
    pub(super) unsafe fn from_raw(kind: u8, ptr: NonNull<u8>) -> Object {
        let repr = kind % REPRS_MAX;
        // SAFETY: the kind says which collection gave the pointer up.
        unsafe {
            match type_of(kind) {
                Type::String => unreachable!("strings are no objects"),
                Type::List => Object::List(List::from_raw(repr, ptr)),
                Type::Set => Object::Set(Set::from_raw(repr, ptr)),
                Type::ZSet => Object::ZSet(ZSet::from_raw(repr, ptr)),
                Type::Hash => Object::Hash(Hash::from_raw(repr, ptr)),
                Type::Stream => Object::Stream(Stream::from_raw(repr, ptr)),
                Type::Array => Object::Array(Array::from_raw(repr, ptr)),
            }
        }
    }
}

/// A collection that its entry keeps owning, lent for `'e`.
pub struct Ref<'e, T> {
    collection: ManuallyDrop<T>,
    entry: PhantomData<&'e ()>,
}

impl<T> Ref<'_, T> {
    /// # Safety
    /// The collection must stay owned, unchanged, by something that stays borrowed for the reference's lifetime.
    pub(super) unsafe fn new(collection: T) -> Self {
        Ref { collection: ManuallyDrop::new(collection), entry: PhantomData }
    }
}

impl<T> Deref for Ref<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.collection
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
