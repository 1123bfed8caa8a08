//! The file of a snapshot: written under another name, put on the disk, and only then given its own.
//!
//! All calls block: they are made by a helper thread, or by who waits for the file (SAVE, SHUTDOWN). An open file belongs to the
//! thread that has opened it, so all calls for one file come from one thread.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crc32c::crc32c_append;

use super::Piece;
use crate::persist::aof::batch::{BatchEnd, HEAD};
use crate::persist::rdb::RunningSum;
use crate::persist::rdb::write::{Version, Writer};
use crate::persist::storage::{Storage, WriteFile};

/// Bytes after which what was written is put on the disk: the last time has little to do then, and the system's memory is not
/// filled with what waits for the disk.
const SYNC_BYTES: usize = 32 << 20;

/// Bytes of the checksum at the end.
const SUM_BYTES: usize = 8;

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The disk.
    pub storage: Arc<dyn Storage>,
    /// The name while it is written.
    pub temporary: PathBuf,
    /// The name in the end.
    pub path: PathBuf,
    /// What is put around the pieces.
    pub frame: Frame,
    /// What was written is put on the disk every `SYNC_BYTES`.
    pub syncs_on_the_way: bool,
}

/// What a file has besides the bytes of the pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// That of a dump file.
    Dump {
        /// Long strings are compressed.
        compress: bool,
        /// The file ends with a checksum.
        checksum: bool,
    },
    /// That of a base of commands.
    Commands {
        /// There are lines that end batches; see `aof::batch`.
        has_ends: bool,
    },
}

/// Why a snapshot could not be saved.
#[derive(Debug)]
pub struct SaveError {
    /// What was being done.
    pub doing: &'static str,
    /// To which file.
    pub path: PathBuf,
    /// What the disk said.
    pub error: io::Error,
    /// Bytes that could still be written, as far as the disk tells.
    pub free_bytes: Option<u64>,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SaveError { doing, path, error, free_bytes } = self;
        write!(f, "{doing} {}: {error}", path.display())?;
        free_bytes.map_or(Ok(()), |bytes| write!(f, "; {bytes} bytes are free on the disk"))
    }
}

impl std::error::Error for SaveError {}

/// A snapshot's file that is being written.
#[derive(Debug)]
pub struct SnapshotFile {
    plan: Plan,
    file: Box<dyn WriteFile>,
    digest: Option<RunningSum>,
    /// Writes strings of dump files.
    texts: Writer,
    /// The batch that has begun, where batches have ends.
    batch: Option<BatchEnd>,
    unsynced_bytes: usize,
    bytes: u64,
}

impl SnapshotFile {
    /// Makes the file.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(plan: &Plan) -> Result<SnapshotFile, SaveError> {
        let file = plan.storage.create(&plan.temporary).map_err(|error| plan.error("creating", error))?;
        // The version makes no difference to strings.
        let texts = Writer::new(Version::Redis11, matches!(plan.frame, Frame::Dump { compress: true, .. }));
        let digest = matches!(plan.frame, Frame::Dump { checksum: true, .. }).then(RunningSum::new);
        let has_ends = matches!(plan.frame, Frame::Commands { has_ends: true });
        let mut made =
            SnapshotFile { plan: plan.clone(), file, digest, texts, batch: None, unsynced_bytes: 0, bytes: 0 };
        if has_ends {
            made.write_bytes(HEAD)?;
            made.batch = Some(BatchEnd::UNNUMBERED);
        }
        Ok(made)
    }

    /// Writes the next piece. O(bytes).
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&mut self, piece: Piece) -> Result<(), SaveError> {
        match piece {
            Piece::Bytes(bytes) => self.write_bytes(&bytes),
            Piece::Commands(bytes) => {
                self.write_bytes(&bytes)?;
                self.end_batch()
            }
            Piece::Text(text) if matches!(self.plan.frame, Frame::Commands { .. }) => self.write_bytes(&text),
            Piece::Text(text) => {
                self.texts.string(&text);
                // Who changes the string need not copy it any more.
                drop(text);
                let bytes = self.texts.take();
                self.write_bytes(&bytes)
            }
            Piece::End(mut bytes) => {
                let rest = bytes.len().saturating_sub(SUM_BYTES);
                if let Some(mut digest) = self.digest.take() {
                    digest.update(&bytes[..rest]);
                    bytes[rest..].copy_from_slice(&digest.finish().to_le_bytes());
                }
                self.write_bytes(&bytes)?;
                self.end_batch()?;
                if self.batch.take().is_some() { self.write_bytes(HEAD) } else { Ok(()) }
            }
        }
    }

    /// Ends the batch, if there is anything in it.
    fn end_batch(&mut self) -> Result<(), SaveError> {
        let mut line = Vec::new();
        match self.batch.take() {
            Some(end) if end.bytes > 0 => end.push(&mut line),
            batch => {
                self.batch = batch;
                return Ok(());
            }
        }
        self.write_bytes(&line)?;
        self.batch = Some(BatchEnd::UNNUMBERED);
        Ok(())
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), SaveError> {
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        if let Some(batch) = &mut self.batch {
            batch.bytes += bytes.len() as u64;
            batch.crc = crc32c_append(batch.crc, bytes);
        }
        self.file.write_all(bytes).map_err(|error| self.plan.error("writing", error))?;
        self.bytes += bytes.len() as u64;
        self.unsynced_bytes += bytes.len();
        if self.plan.syncs_on_the_way && self.unsynced_bytes >= SYNC_BYTES { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), SaveError> {
        self.unsynced_bytes = 0;
        self.file.sync().map_err(|error| self.plan.error("syncing", error))
    }

    /// Puts the file on the disk and gives it its name. Returns how many bytes it has.
    ///
    /// # Errors
    /// The disk's. The file that had the name before is there as it was, unless the directory could not be synced: then either.
    pub fn finish(mut self) -> Result<u64, SaveError> {
        let outcome = self.sync().and_then(|()| self.plan.rename());
        if outcome.is_err() {
            self.abandon();
            return outcome.map(|()| 0);
        }
        Ok(self.bytes)
    }

    /// Removes the file.
    pub fn abandon(self) {
        let SnapshotFile { plan, file, .. } = self;
        drop(file);
        // There is nothing to be done about a file that stays; the next start clears it away.
        let _ = plan.storage.remove(&plan.temporary);
    }
}

impl Plan {
    fn rename(&self) -> Result<(), SaveError> {
        let Plan { storage, temporary, path, .. } = self;
        storage.rename(temporary, path).map_err(|error| self.error("renaming", error))?;
        storage.sync_dir(self.dir()).map_err(|error| self.error("syncing the directory of", error))
    }

    fn dir(&self) -> &Path {
        self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    fn error(&self, doing: &'static str, error: io::Error) -> SaveError {
        let path = if doing == "renaming" { &self.path } else { &self.temporary };
        SaveError { doing, path: path.clone(), error, free_bytes: self.storage.free_bytes(self.dir()).ok() }
    }
}
