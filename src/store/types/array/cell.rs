//! One place of an array: nothing, or a text.

use crate::base::heap::Mover;
use crate::store::blob::Blob;

/// Bytes of a text that needs no block of its own.
pub const SHORT_BYTES: usize = 14;

/// A place.
#[derive(Clone, Debug, Default)]
pub enum Cell {
    /// It is not used.
    #[default]
    Empty,
    /// A short text.
    Short(u8, [u8; SHORT_BYTES]),
    /// A longer one.
    Long(Blob),
}

const _: () = assert!(size_of::<Cell>() == 16, "two cells share the room of a pointer to a text and its block");

impl Cell {
    /// A used one.
    pub fn new(text: &[u8]) -> Cell {
        if text.len() > SHORT_BYTES {
            return Cell::Long(Blob::concat(&[text]));
        }
        let mut bytes = [0; SHORT_BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Cell::Short(text.len() as u8, bytes)
    }

    /// True if it is used.
    #[inline]
    pub fn is_used(&self) -> bool {
        !matches!(self, Cell::Empty)
    }

    /// The text; of an unused one an empty text.
    #[inline]
    pub fn text(&self) -> &[u8] {
        match self {
            Cell::Empty => b"",
            Cell::Short(len, bytes) => &bytes[..usize::from(*len)],
            Cell::Long(blob) => blob,
        }
    }

    /// Bytes of the block of its own.
    #[inline]
    pub fn heap_bytes(&self) -> usize {
        if let Cell::Long(blob) = self { blob.heap_bytes() } else { 0 }
    }

    /// Moves that block, if it should be moved.
    pub fn defragment(&mut self, mover: &mut dyn Mover) {
        if let Cell::Long(blob) = self {
            blob.defragment(mover);
        }
    }
}
