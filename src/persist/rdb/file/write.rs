//! Writing a dump file, key by key.
//!
//! # Order
//! [`DumpWriter::begin`], then libraries of functions, then databases and keys as they come, then [`DumpWriter::end`].
//! What was written gathers until the caller [takes](DumpWriter::take) it; nothing else is kept of it but the checksum.
//!
//! Knows nothing of files and databases: whoever calls it walks over the keys and says where the bytes go.

use super::super::RunningSum;
use super::super::write::{Version, Writer};
use super::read::{BLESSED_FIELD, NO_EVICT, SCRIPT_FIELD};
use super::{magic, opcode};
use crate::store::access::{AccessClock, Counting};
use crate::store::entry::Entry;
use crate::store::types::Type;

/// How a dump file is written.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The version of the format.
    pub version: Version,
    /// Values that no Redis has may be written, in forms of our own.
    pub has_own_forms: bool,
    /// Compress long strings.
    pub compress: bool,
    /// Make a checksum.
    pub checksum: bool,
    /// What is told of each key's accesses, if anything is.
    pub accesses: Option<Accesses>,
}

/// What a file tells of the accesses of keys: what the memory policy goes by.
#[derive(Clone, Copy, Debug)]
pub enum Accesses {
    /// Seconds since the last one.
    Idle(AccessClock),
    /// How many there were, by the logarithmic count.
    Counts(AccessClock, Counting),
}

/// What the file says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Head<'h> {
    /// The version of Redis that the writer is compatible with.
    pub redis_version: &'h str,
    /// When the snapshot was taken, in Unix seconds.
    pub unix_s: u64,
    /// Bytes of memory that the data takes.
    pub used_bytes: u64,
    /// True if it is the base of an append-only file.
    pub is_aof_base: bool,
    /// Which history of replication the data is of, if any.
    pub origin: Option<Origin<'h>>,
}

/// Which history of replication data is of, and how far it had come.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'h> {
    /// The database that its stream had selected.
    pub stream_db: usize,
    /// Its name.
    pub id: &'h str,
    /// The offset of the last byte of its stream that the data has.
    pub offset: u64,
}

/// A key cannot be written: elements of its collection have deadlines, or it is of a type, that the version of the format does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotHold {
    /// The key.
    pub key: Vec<u8>,
    /// The version.
    pub version: u16,
    /// The type of its value.
    pub type_of: Type,
}

impl std::fmt::Display for CannotHold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (key, version) = (self.key.escape_ascii(), self.version);
        let (what, remedy) = match self.type_of {
            Type::Hash => ("fields of the hash", "to 0 or 12 (80 for Valkey), or HPERSIST the fields"),
            Type::Set => ("members of the set", "to 0, for a form that AleaDB alone reads, or SPERSIST the members"),
            Type::ZSet => {
                ("members of the sorted set", "to 0, for a form that AleaDB alone reads, or ZPERSIST the members")
            }
            other => {
                let kind = other.name();
                return write!(
                    f,
                    "the key '{key}' holds a value of the type {kind}, which version {version} of the format cannot hold: set \
                     rdb-format-version to 0, for a form that AleaDB alone reads, or delete the key"
                );
            }
        };
        write!(
            f,
            "{what} '{key}' expire, which version {version} of the format cannot hold: set rdb-format-version {remedy}"
        )
    }
}

impl std::error::Error for CannotHold {}

/// What writes a dump file.
#[derive(Debug)]
pub struct DumpWriter {
    writer: Writer,
    /// Of all that was taken; `None` if there is to be no checksum.
    digest: Option<RunningSum>,
    accesses: Option<Accesses>,
    /// The database that was selected last.
    selected: Option<usize>,
    /// The databases whose size was told.
    sized: Vec<usize>,
}

/// The file and its parts.
impl DumpWriter {
    /// Nothing is written yet.
    pub fn new(options: Options) -> DumpWriter {
        DumpWriter {
            writer: Writer::new(options.version, options.compress).with_own_forms(options.has_own_forms).with_bitmaps(),
            digest: options.checksum.then(RunningSum::new),
            accesses: options.accesses,
            selected: None,
            sized: Vec::new(),
        }
    }

    /// Writes the file's beginning.
    pub fn begin(&mut self, head: &Head<'_>) {
        let version = self.writer.version();
        let magic = match version {
            Version::Valkey80 => format!("VALKEY{:03}", version.number()),
            _ => format!("REDIS{:04}", version.number()),
        };
        debug_assert!(self.writer.is_empty() && magic.len() == magic::BYTES);
        self.writer.raw(magic.as_bytes());
        let mut digits = itoa::Buffer::new();
        self.aux(b"redis-ver", head.redis_version.as_bytes());
        self.aux(b"redis-bits", digits.format(usize::BITS).as_bytes());
        self.aux(b"ctime", digits.format(head.unix_s).as_bytes());
        self.aux(b"used-mem", digits.format(head.used_bytes).as_bytes());
        if let Some(origin) = &head.origin {
            self.aux(b"repl-stream-db", digits.format(origin.stream_db).as_bytes());
            self.aux(b"repl-id", origin.id.as_bytes());
            self.aux(b"repl-offset", digits.format(origin.offset).as_bytes());
        }
        self.aux(b"aof-base", digits.format(u8::from(head.is_aof_base)).as_bytes());
    }

    /// Writes an auxiliary field, which readers may ignore.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) {
        self.writer.byte(opcode::AUX);
        self.writer.string(name);
        self.writer.string(value);
    }

    /// Writes a script that EVALSHA is to know.
    pub fn script(&mut self, body: &[u8]) {
        self.aux(SCRIPT_FIELD, body);
    }

    /// Writes a library of functions.
    pub fn function(&mut self, code: &[u8]) {
        self.writer.byte(opcode::FUNCTION);
        self.writer.string(code);
    }

    /// Says that the keys that follow are of this database, unless that has been said, and the first time how many keys it has
    /// and how many of them have a deadline.
    pub fn select(&mut self, db: usize, keys: usize, timed: usize) {
        if self.selected == Some(db) {
            return;
        }
        self.selected = Some(db);
        self.writer.byte(opcode::SELECT_DB);
        self.writer.count(db);
        if !self.sized.contains(&db) {
            self.sized.push(db);
            self.writer.byte(opcode::RESIZE_DB);
            self.writer.count(keys);
            self.writer.count(timed);
        }
    }

    /// Bytes of another writer follow: whatever comes next has to select its database.
    pub fn forget_selected(&mut self) {
        self.selected = None;
    }

    /// Writes a key with its deadline and its value. O(bytes).
    ///
    /// # Errors
    /// If the version cannot hold it; nothing is written then.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), CannotHold> {
        self.key(entry)?;
        self.writer.body(entry);
        Ok(())
    }

    /// Writes a key with its deadline and the form of its value, whose body has to follow through [`DumpWriter::values`].
    ///
    /// # Errors
    /// If the version cannot hold it; nothing is written then.
    pub fn key(&mut self, entry: &Entry) -> Result<(), CannotHold> {
        debug_assert!(self.selected.is_some(), "a key is some database's");
        if !self.writer.can_hold(entry) {
            let (key, version) = (entry.key().to_vec(), self.writer.version().number());
            return Err(CannotHold { key, version, type_of: entry.type_of() });
        }
        if entry.is_blessed() {
            self.aux(BLESSED_FIELD, NO_EVICT);
        }
        if let Some(deadline_ms) = entry.deadline_ms() {
            self.writer.byte(opcode::EXPIRE_MS);
            self.writer.time_ms(deadline_ms);
        }
        match self.accesses {
            None => {}
            Some(Accesses::Idle(clock)) => {
                self.writer.byte(opcode::IDLE);
                self.writer.count(clock.idle_s(entry.stamp()) as usize);
            }
            Some(Accesses::Counts(clock, counting)) => {
                self.writer.byte(opcode::FREQ);
                self.writer.byte(clock.count(entry.stamp(), counting));
            }
        }
        self.writer.byte(self.writer.form(entry));
        self.writer.string(entry.key());
        Ok(())
    }

    /// What writes the building blocks of values.
    pub fn values(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Writes the end and the checksum.
    pub fn end(&mut self) {
        self.writer.byte(opcode::END);
        let sum = match self.digest.take() {
            Some(mut digest) => {
                digest.update(self.writer.bytes());
                digest.finish()
            }
            None => 0,
        };
        self.writer.raw(&sum.to_le_bytes());
    }
}

/// What was written.
impl DumpWriter {
    /// Bytes that wait to be taken.
    pub fn len(&self) -> usize {
        self.writer.len()
    }

    /// True if no bytes wait to be taken.
    pub fn is_empty(&self) -> bool {
        self.writer.is_empty()
    }

    /// Takes the bytes that wait. O(bytes), for the checksum.
    pub fn take(&mut self) -> Vec<u8> {
        if let Some(digest) = &mut self.digest {
            digest.update(self.writer.bytes());
        }
        self.writer.take()
    }
}
