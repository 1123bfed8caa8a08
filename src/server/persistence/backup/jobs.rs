//! What the helper thread does for a backup. Errors are words for people: STATUS shows them.
//!
//! An increment is opened for each batch, so that no open file is left to anybody: batches are few.

use std::io;
use std::path::{Path, PathBuf};

use crate::persist::aof::batch::BatchEnd;
use crate::persist::aof::manifest::{LogFile, Manifest};
use crate::persist::directory;
use crate::persist::storage::Storage;
use crate::sys::error_text;

use super::is_of_backup;

/// Bytes after which what was written is put on the disk, so that the end has little to do.
const SYNC_BYTES: u64 = 32 << 20;

/// What a job has done.
#[derive(Debug)]
pub enum Done {
    /// There is a directory with an increment.
    Prepared(Result<(), String>),
    /// A batch was appended to the increment, which is like this now.
    Written(Result<Increment, String>),
    /// All of it is on the disk.
    Sealed(Result<(), String>),
    /// The files are gone.
    Cleared(Result<(), String>),
}

/// The file that holds what was written since the base was begun.
#[derive(Clone, Debug)]
pub struct Increment {
    /// Its name.
    pub(super) name: String,
    seq: u64,
    /// Where it is.
    pub(super) path: PathBuf,
    /// Every batch has its end.
    has_ends: bool,
    /// Its batches.
    batches: u64,
    unsynced_bytes: u64,
}

/// What failed, to which file.
fn failed<'p>(doing: &'static str, path: &'p Path) -> impl FnOnce(io::Error) -> String + 'p {
    move |error| format!("Error {doing} {}: {}", path.display(), error_text(&error))
}

impl Increment {
    pub fn new(dir: &Path, file: &LogFile, has_ends: bool) -> Increment {
        let (name, seq) = (file.name.clone(), file.seq);
        Increment { path: dir.join(&name), name, seq, has_ends, batches: 0, unsynced_bytes: 0 }
    }

    /// Appends a batch.
    pub fn append(mut self, storage: &dyn Storage, batch: &[u8]) -> Result<Increment, String> {
        if batch.is_empty() {
            return Ok(self);
        }
        let mut file = storage.append(&self.path).map_err(failed("opening", &self.path))?;
        self.batches += 1;
        let mut end = Vec::new();
        if self.has_ends {
            BatchEnd::of(self.batches, batch).push(&mut end);
        }
        let written = file.write_all(batch).and_then(|()| file.write_all(&end));
        written.map_err(failed("writing to", &self.path))?;
        self.unsynced_bytes += batch.len() as u64;
        if self.unsynced_bytes >= SYNC_BYTES {
            file.sync().map_err(failed("fsyncing", &self.path))?;
            self.unsynced_bytes = 0;
        }
        Ok(self)
    }
}

/// Makes the directory, and the increment in it.
pub(super) fn prepare(storage: &dyn Storage, dir: &Path, path: &Path, head: &[u8]) -> Result<(), String> {
    storage.create_dir(dir).map_err(failed("making the directory", dir))?;
    // The directory's own name is on the disk once the one that it lies in is.
    let above = Path::new(".");
    storage.sync_dir(above).map_err(failed("fsyncing", above))?;
    let made = storage.create(path).and_then(|mut file| file.write_all(head).and_then(|()| file.sync()));
    made.map_err(failed("making", path))
}

/// Appends the last batch, puts all on the disk, and names it in a manifest.
pub(super) fn seal(
    storage: &dyn Storage,
    dir: &Path,
    stem: &str,
    base: LogFile,
    increment: Increment,
    batch: &[u8],
) -> Result<(), String> {
    let increment = increment.append(storage, batch)?;
    let synced = storage.append(&increment.path).and_then(|mut file| file.sync());
    synced.map_err(failed("fsyncing", &increment.path))?;
    // The names come to the disk before the manifest that names them.
    storage.sync_dir(dir).map_err(failed("fsyncing", dir))?;
    let mut manifest = Manifest::default();
    manifest.begin_increment(stem, increment.seq - 1);
    manifest.replace_base(base, increment.seq);
    manifest.store(storage, dir, stem).map_err(failed("writing the manifest in", dir))
}

/// Removes the files of backups.
pub(super) fn clear(storage: &dyn Storage, dir: &Path, stem: &str) -> Result<(), String> {
    let there = directory::list(storage, dir).map_err(failed("reading the directory", dir))?;
    let mut outcome = Ok(());
    let mut paths: Vec<PathBuf> =
        there.iter().filter(|file| is_of_backup(&file.name, stem)).map(|file| dir.join(&file.name)).collect();
    if paths.is_empty() {
        return Ok(());
    }
    // The manifest first: what is left after a crash is no backup.
    paths.sort_by_key(|path| path.extension().is_none_or(|extension| extension != "manifest"));
    for path in &paths {
        match storage.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => outcome = Err(failed("removing", path)(error)),
            _ => {}
        }
    }
    outcome.and(storage.sync_dir(dir).map_err(failed("fsyncing", dir)))
}
