//! Loading a dump file or a log, a part in each turn: what is to be read, how far it has come, and what was found.
//!
//! Here is what is known of it; `engine::persistence::loading` reads on. While something is being loaded no command that would
//! see the data is let through, nothing expires, and nobody is told of changes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use crate::base::clock::Now;
use crate::base::num;
use crate::persist::aof::manifest::Manifest;
use crate::persist::aof::read;
use crate::persist::rdb::file::DumpReader;
use crate::server::Server;
use crate::server::replication::history::{ID_CHARS, OFFSET_MAX};
use crate::store::db::Moment;
use crate::store::entry::Entry;
use crate::store::types::hash::template::{Sharing, TEMPLATE_FIELDS_MAX};

/// Why data is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The server starts.
    Start,
    /// A command asks for it, and waits.
    Command {
        /// A key that is there already is replaced, where it would be refused otherwise.
        replace: bool,
    },
}

/// What a command asks to have loaded, once it has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// The dump file (DEBUG RELOAD).
    Dump {
        /// It is written first.
        save: bool,
        /// What is there goes before.
        flush: bool,
        /// Keys that are there are replaced.
        replace: bool,
    },
    /// The log, in place of what is there (DEBUG LOADAOF).
    Log,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A dump file by itself: what was due in it is dropped.
    Dump,
    /// A part of a log: what was due in it stays until the log says that it went.
    Log {
        /// Nothing comes after it, so that its end may be missing.
        is_last: bool,
    },
}

/// A file that is to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
}

/// What is to be done once everything has been loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Adoption {
    /// Nothing.
    #[default]
    None,
    /// A dump file becomes the base of a log that was not there: it is copied, and stays where it is.
    Copy,
    /// A log of one file, as Redis had before version 7, becomes the base: it is moved.
    Move,
    /// What was loaded stays where it is: a log that is wanted begins anew, of what is in memory, in place of the one that is there.
    Replace,
}

/// A file that is being read.
#[derive(Debug)]
pub enum Open {
    /// As a dump file.
    Dump(Box<DumpReader>),
    /// As commands.
    Log(Box<read::Reader>),
}

/// What is being loaded.
#[derive(Debug)]
pub struct Loading {
    /// Why.
    pub purpose: Purpose,
    /// When it began.
    pub started: Now,
    /// Bytes of all files.
    pub total_bytes: u64,
    /// Bytes that have been loaded, of all files.
    pub loaded_bytes: u64,
    /// Files, and the place of the database of what comes next; taken out while the engine reads on.
    pub work: Option<Work>,
    /// The monotonic millisecond at which progress was last told.
    pub told_ms: u64,
}

/// What is left to be read.
#[derive(Debug)]
pub struct Work {
    /// Files, the first of which is open if `open` is there.
    pub files: VecDeque<File>,
    /// The one that is being read.
    pub open: Option<Open>,
    /// Bytes of the files before it.
    pub before_bytes: u64,
    /// The place of the database selected.
    pub db: usize,
    /// The number of the last batch of the files before.
    pub last_seq: Option<u64>,
    /// The log's manifest, if there is a log.
    pub manifest: Option<Manifest>,
    /// What the files become.
    pub adoption: Adoption,
    /// What was found.
    pub found: Found,
    /// Which history the data is of, as far as a dump file says.
    pub origin: LoadedOrigin,
    /// Which hashes share the names of their fields, if any do.
    pub sharing: Option<LoadedSharing>,
}

/// Templates that have come to be, from which on it is looked whether they are worth it, and after how many more again.
const TEMPLATES_LOOKED_AT: usize = 1000;
const TEMPLATES_LOOKED_EVERY: usize = 100;

/// Which hashes share the names of their fields when they are loaded.
#[derive(Debug)]
pub struct LoadedSharing {
    sharing: Sharing,
    /// Hashes that have to share names for them to stay shared; 0 if any may.
    threshold: usize,
    /// Templates that there were at the beginning, and at which it is looked next whether they are worth it.
    before: usize,
    next_look: usize,
}

impl LoadedSharing {
    /// Has a hash share the names of its fields, if it is one that does. Once half of very many templates have too few users, no more
    /// come to be.
    pub fn settle(&mut self, entry: &mut Entry) {
        entry.share_names(&self.sharing);
        let templates = &self.sharing.templates;
        if self.threshold == 0 || self.sharing.is_closed || templates.count() < self.next_look {
            return;
        }
        self.next_look = templates.count() + TEMPLATES_LOOKED_EVERY;
        self.sharing.is_closed = templates.count_with_fewer(self.threshold) * 2 > templates.count() - self.before;
    }

    /// Hashes that have to share names for them to stay shared; 0 if any may.
    pub fn threshold(&self) -> usize {
        self.threshold
    }
}

/// Bytes of keys that were dropped while a dump file was loaded, beyond which they are not remembered.
pub const DROPPED_BYTES_MAX: usize = 1 << 20;

/// Which history of replication the data of a dump file is of.
#[derive(Clone, Debug, Default)]
pub struct LoadedOrigin {
    /// Its name.
    pub id: Option<String>,
    /// The offset that it had come to.
    pub offset: Option<u64>,
    /// The database that its stream had selected.
    pub stream_db: usize,
    /// Keys that were due and dropped, with the places of their databases: whoever goes on with that history has them.
    pub dropped: Vec<(usize, Box<[u8]>)>,
    /// Bytes of their names.
    pub dropped_bytes: usize,
}

impl LoadedOrigin {
    /// Takes note of what a file says of itself.
    pub fn note(&mut self, name: &[u8], value: &[u8]) {
        match name {
            b"repl-id" if value.len() == ID_CHARS && value.iter().all(u8::is_ascii_hexdigit) => {
                self.id = String::from_utf8(value.to_vec()).ok();
            }
            b"repl-offset" => self.offset = num::parse_u64(value).filter(|offset| *offset <= OFFSET_MAX),
            b"repl-stream-db" => self.stream_db = num::parse_u64(value).map_or(0, |number| number as usize),
            _ => {}
        }
    }

    /// Remembers a key that was dropped.
    pub fn note_dropped(&mut self, place: usize, key: &[u8]) {
        self.dropped_bytes += key.len();
        if self.dropped_bytes <= DROPPED_BYTES_MAX {
            self.dropped.push((place, key.into()));
        }
    }
}

/// What was found in what was loaded.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Keys of dump files.
    pub keys: u64,
    /// Keys of dump files that were due and dropped.
    pub expired: u64,
    /// Keys of dump files that held nothing and were dropped.
    pub empty: u64,
    /// Commands of logs.
    pub commands: u64,
    /// Commands of logs that answered with an error.
    pub failed: u64,
    /// Files were loaded whose end was missing, which was set aside.
    pub cut: bool,
}

/// A log that has been loaded, or is new.
#[derive(Clone, Debug, Default)]
pub struct LoadedLog {
    /// Its files; none if it is new.
    pub manifest: Option<Manifest>,
    /// The number of its last batch, if it has any.
    pub last_seq: Option<u64>,
    /// It is new, and takes the place of one that is there and was not loaded.
    pub replaces: bool,
}

impl Loading {
    /// The share that has been loaded, in percent.
    pub fn percent(&self) -> f64 {
        if self.total_bytes == 0 { 100.0 } else { 100.0 * self.loaded_bytes as f64 / self.total_bytes as f64 }
    }

    /// Seconds until everything has been loaded, if it goes on as it did. Redis says 1 as long as nothing can be said.
    pub fn eta_s(&self, now: Now) -> u64 {
        let elapsed_s = now.mono_ms().saturating_sub(self.started.mono_ms()) / 1000;
        if self.loaded_bytes == 0 || elapsed_s == 0 {
            return 1;
        }
        let left = self.total_bytes.saturating_sub(self.loaded_bytes);
        (u128::from(elapsed_s) * u128::from(left) / u128::from(self.loaded_bytes)) as u64
    }
}

impl Server {
    /// Which hashes share the names of their fields when they are loaded, as the settings have it; `None` for none.
    pub fn loaded_sharing(&self) -> Option<LoadedSharing> {
        let config = &self.config;
        let max = match config.hash_rdb_load_max_template_entries {
            0 => TEMPLATE_FIELDS_MAX,
            max => max as usize,
        };
        let (min, templates) = (config.hash_rdb_load_min_template_entries as usize, self.dbs.templates());
        let before = templates.count();
        (min > 0).then(|| LoadedSharing {
            sharing: Sharing { min, max, templates: Arc::clone(templates), is_closed: false },
            threshold: config.hash_rdb_load_template_disassembly_threshold as usize,
            before,
            next_look: before + TEMPLATES_LOOKED_AT,
        })
    }

    /// True while the data is not all there.
    #[inline]
    pub fn is_loading(&self) -> bool {
        self.persistence.loading.is_some()
    }

    /// Tells those who watch a key, or wait for it, that it was loaded. O(1).
    pub fn touch_loaded(&mut self, db: usize, key: &[u8], at: &Moment) {
        self.touch(db, key, at);
    }
}
