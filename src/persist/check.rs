//! `aleadb --check`: whether what is on the disk could be loaded, and what is in it.
//!
//! `dump` looks through a dump file. Nothing is changed, nothing is kept of the values; every value is made once, so that what
//! is found good is what loading would find good. Called by `main`, which prints the [`Report`].

mod dump;

use std::path::Path;

use super::rdb::Shapes;
use super::storage::Storage;
use crate::store::hash::KeyHasher;
use crate::store::types::{hash, list, set, zset};

pub use dump::{Summary, dump};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines for people, the last of which says whether all is good.
    pub text: String,
    /// All of it could be loaded.
    pub is_good: bool,
}

/// Looks through a file; `now_ms` decides what has expired. O(bytes), with some 50 bytes of memory for each key.
pub fn check(storage: &dyn Storage, path: &Path, now_ms: i64, hasher: KeyHasher) -> Report {
    let name = path.display();
    match storage.open(path) {
        Ok(file) => {
            let (summary, outcome) = dump(file, now_ms, shapes(hasher));
            let mut text = format!("{name}: {summary}");
            let is_good = outcome.is_ok();
            text.push_str(&match outcome {
                Ok(_) => format!("{name}: good\n"),
                Err(error) => format!("{name}: BAD, {error}\n"),
            });
            Report { text, is_good }
        }
        Err(error) => Report { text: format!("{name}: BAD, it cannot be read: {error}\n"), is_good: false },
    }
}

/// The representations that values have by default.
fn shapes(hasher: KeyHasher) -> Shapes {
    Shapes {
        list: list::Fill::new(-2),
        set: set::Policy { intset_entries: 512, listpack_entries: 128, listpack_value: 64, hasher },
        hash: hash::Limits { entries: 512, value: 64, hasher },
        zset: zset::Limits { entries: 128, value: 64, hasher },
    }
}
