//! What an entry holds, as it is read and as it is stored.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::Arc;

use super::{Entry, INLINE_BYTES_MAX};
use crate::base::num;
use crate::store::types::roaring::{Roaring, Text};
use crate::store::types::{Object, Type};

/// A string as the entry holds it.
#[derive(Debug)]
pub enum Value<'e> {
    /// A string that is the canonical text of an integer.
    Int(i64),
    /// A short string, in the entry itself.
    Inline(&'e [u8]),
    /// A long string, shared with replies in flight.
    Shared(SharedRef<'e>),
    /// A long string held as a compressed bitmap.
    Roaring(SharedRef<'e, Roaring>),
}

/// Where the text of a value is made that is not held as one.
pub struct TextBuffer {
    digits: itoa::Buffer,
    bytes: Vec<u8>,
}

impl TextBuffer {
    /// An empty one. O(1), without memory.
    #[inline]
    #[allow(clippy::new_without_default, reason = "as the buffer of digits that it mostly is")]
    pub fn new() -> TextBuffer {
        TextBuffer { digits: itoa::Buffer::new(), bytes: Vec::new() }
    }
}

/// What an entry owns a count of: derefs to the `Arc`, whose clone outlives the entry.
#[derive(Debug)]
pub struct SharedRef<'e, T = Vec<u8>> {
    arc: ManuallyDrop<Arc<T>>,
    entry: PhantomData<&'e Entry>,
}

impl<T> SharedRef<'_, T> {
    /// One whose count is given back by nobody: the entry keeps it.
    pub(super) fn new(arc: Arc<T>) -> Self {
        SharedRef { arc: ManuallyDrop::new(arc), entry: PhantomData }
    }
}

impl<T> Deref for SharedRef<'_, T> {
    type Target = Arc<T>;
    fn deref(&self) -> &Arc<T> {
        &self.arc
    }
}

impl<'e> Value<'e> {
    /// The value's text, in the buffer if it is not held as one. O(1), and O(bytes) for a compressed bitmap.
    pub fn text<'t>(&'t self, buffer: &'t mut TextBuffer) -> &'t [u8] {
        match self {
            Value::Int(n) => buffer.digits.format(*n).as_bytes(),
            Value::Inline(bytes) => bytes,
            Value::Shared(shared) => shared,
            Value::Roaring(roaring) => {
                buffer.bytes = roaring.expanded();
                &buffer.bytes
            }
        }
    }

    /// The text as it is held: not made, if it is a compressed bitmap. O(1).
    #[inline]
    pub fn held<'t>(&'t self, buffer: &'t mut TextBuffer) -> Text<'t> {
        match self {
            Value::Roaring(roaring) => Text::Roaring(roaring),
            plain => Text::Plain(plain.text(buffer)),
        }
    }

    /// Length of the value's text in bytes.
    pub fn len(&self) -> usize {
        match self {
            Value::Int(n) => n.unsigned_abs().checked_ilog10().unwrap_or(0) as usize + 1 + usize::from(*n < 0),
            Value::Inline(bytes) => bytes.len(),
            Value::Shared(shared) => shared.len(),
            Value::Roaring(roaring) => roaring.len(),
        }
    }

    /// True for the empty string.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value as an integer, if its text is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Inline(bytes) => num::parse_i64(bytes),
            Value::Shared(_) | Value::Roaring(_) => None,
        }
    }
}

/// A value to be stored.
#[derive(Debug)]
pub enum NewValue<'v> {
    /// An integer.
    Int(i64),
    /// Bytes to be copied as they are, even if they read as an integer.
    Bytes(&'v [u8]),
    /// Bytes already on the heap.
    Shared(Arc<Vec<u8>>),
    /// A compressed bitmap, longer than [`INLINE_BYTES_MAX`].
    Roaring(Arc<Roaring>),
    /// A collection.
    Object(Object),
}

impl<'v> NewValue<'v> {
    /// The most compact form of a string: an integer if it is the canonical text of one, else its bytes.
    #[inline]
    pub fn compact(text: &'v [u8]) -> NewValue<'v> {
        match num::parse_i64(text) {
            Some(n) => NewValue::Int(n),
            None => NewValue::Bytes(text),
        }
    }

    /// The type of the value.
    #[inline]
    pub fn type_of(&self) -> Type {
        match self {
            NewValue::Int(_) | NewValue::Bytes(_) | NewValue::Shared(_) | NewValue::Roaring(_) => Type::String,
            NewValue::Object(object) => object.type_of(),
        }
    }

    /// The form of a string that was built on the heap: copied into the entry if it is short.
    pub fn owned(bytes: &'v mut Vec<u8>) -> NewValue<'v> {
        if bytes.len() <= INLINE_BYTES_MAX {
            NewValue::Bytes(bytes)
        } else {
            NewValue::Shared(Arc::new(std::mem::take(bytes)))
        }
    }
}

/// A string, to be stored once more.
pub(super) fn again<'v>(string: &Value<'v>) -> NewValue<'v> {
    match string {
        Value::Int(n) => NewValue::Int(*n),
        Value::Inline(bytes) => NewValue::Bytes(bytes),
        Value::Shared(shared) => NewValue::Shared(Arc::clone(shared)),
        Value::Roaring(roaring) => NewValue::Roaring(Arc::clone(roaring)),
    }
}

/// Long bytes go to the heap; everything else stays what it is.
#[inline]
pub(super) fn promote(value: NewValue<'_>) -> NewValue<'_> {
    match value {
        NewValue::Bytes(bytes) if bytes.len() > INLINE_BYTES_MAX => NewValue::Shared(Arc::new(bytes.to_vec())),
        other => other,
    }
}
