//! The compact encodings of small collections: a few elements in one block, scanned rather than indexed.
//!
//! Both have Redis's byte formats exactly, so that DUMP, RESTORE and dump files exchange them with redis-server as they are.
//! - [`Listpack`]: a sequence of strings and integers; small hashes, sets and sorted sets, nodes of streams. [`DequePack`]: the
//!   same for lists, which grow and shrink at the front too.
//! - [`Intset`]: sorted distinct integers; small sets of integers.
//!
//! Used by the collection types of the store. Refuses to know what the elements mean (pairs, scores, deadlines) and when a
//! collection is no longer small.

mod codec;
pub mod intset;
pub mod listpack;
mod validated;

pub use codec::{ENCODING_BYTES_MAX, Encoding, Item, encoded_bytes, item, next_forward};
pub use intset::Intset;
pub use listpack::{DequePack, Listpack, Pos};
pub use validated::Validated;
