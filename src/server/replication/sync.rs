//! A data set on its way in: what of it has been read, and the databases that it goes into, which nobody sees before it is whole.

use crate::persist::rdb::file::DumpReader;
use crate::server::databases::Databases;
use crate::server::persistence::loading::LoadedSharing;

/// Bytes of the mark that ends a data set whose length nobody knows.
pub const MARK_BYTES: usize = 40;

/// How the end is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// So many bytes are still to come.
    After(u64),
    /// By these bytes; the last that came may be their beginning, and are kept.
    Mark {
        /// The mark.
        mark: [u8; MARK_BYTES],
        /// The last bytes that came, no more than the mark has.
        last: Vec<u8>,
    },
}

/// A data set that is coming in.
#[derive(Debug)]
pub struct Sync {
    /// The history that it is of.
    pub id: String,
    /// Up to which offset.
    pub offset: u64,
    /// How its end is found, once that is known.
    pub end: Option<End>,
    /// All its bytes, if their number is known.
    pub total_bytes: Option<u64>,
    /// Bytes that have come.
    pub read_bytes: u64,
    /// What reads them.
    pub reader: DumpReader,
    /// Where the keys go.
    pub dbs: Databases,
    /// Which hashes share the names of their fields, if any do.
    pub sharing: Option<LoadedSharing>,
    /// Place there of the database that the next key is of.
    pub db: usize,
    /// Libraries of functions.
    pub functions: Vec<Vec<u8>>,
    /// Number of the database that the stream begins in.
    pub stream_db: usize,
    /// Keys so far.
    pub keys: u64,
    /// There is more to read of what has come: the next turn goes on with it, before more is taken.
    pub has_more: bool,
    /// Its last bytes have come.
    pub is_last: bool,
    /// The data that was there has gone, for there is no memory for both.
    pub is_in_place: bool,
    /// All has been read; it takes the place of what is there as soon as nothing is in the way.
    pub is_whole: bool,
    /// Monotonic milliseconds at which it began.
    pub began_ms: u64,
}
