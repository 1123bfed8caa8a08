//! The disk, as everything that keeps data sees it: a few calls that a simulated disk can stand in for, one that forgets at a
//! crash what was not synced and fails where it is told to.
//!
//! # What a caller may rely on
//! - What was written is on the disk once `sync` of its file has returned without an error, and not before.
//! - A name that came, went or moved is on the disk once its directory has been synced.
//! - A rename is whole: after a crash the name leads to the old file or to the new one.
//! - After a failed `sync` nothing is known of what was written since the last one, and a later `sync` that succeeds does not
//!   mend that: the kernel drops the pages that it could not write.
//!
//! Paths are relative to the working directory, which is the data directory. All calls block; only what is bounded is called by
//! the loop, the rest by helper threads.

mod real;

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};

pub use real::RealStorage;

/// A place that keeps files.
pub trait Storage: Debug + Send + Sync {
    /// Opens a file to be read from its beginning.
    ///
    /// # Errors
    /// There is none of that name, or it may not be read.
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>>;

    /// Opens an empty file to be written, over one that is there.
    ///
    /// # Errors
    /// The disk's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a file to be written on at its end; it is made if it is not there.
    ///
    /// # Errors
    /// The disk's.
    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Puts the names in a directory on the disk.
    ///
    /// # Errors
    /// The disk's.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file another name, over one that is there.
    ///
    /// # Errors
    /// The disk's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// The disk's, that it is not there included.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The files of a directory with their bytes, in no order; not those of directories in it.
    ///
    /// # Errors
    /// The disk's.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// When a file was last written, in Unix milliseconds; `None` where nobody can tell.
    fn modified_ms(&self, path: &Path) -> Option<i64> {
        let _ = path;
        None
    }

    /// Makes a directory; nothing happens if it is there.
    ///
    /// # Errors
    /// The disk's.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Names that do not begin at the root begin in this directory from now on. Returns its path from the root.
    ///
    /// # Errors
    /// The disk's, and that of a storage that cannot.
    fn enter(&self, _dir: &Path) -> io::Result<PathBuf> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Takes a file for this process alone, until the lock is dropped or the process ends, and writes `contents` into it.
    ///
    /// # Errors
    /// The disk's.
    fn lock(&self, path: &Path, contents: &[u8]) -> io::Result<Locked>;

    /// Bytes that this user may still write on the disk of a directory.
    ///
    /// # Errors
    /// The disk's.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// A file that is read from its beginning to its end.
pub trait ReadFile: io::Read + Debug + Send {
    /// How many bytes it has.
    ///
    /// # Errors
    /// The disk's.
    fn bytes(&self) -> io::Result<u64>;
}

/// A file that is written. A short write is no error: what is left has to be written again.
pub trait WriteFile: io::Write + Debug + Send {
    /// How many bytes it has.
    ///
    /// # Errors
    /// The disk's.
    fn bytes(&self) -> io::Result<u64>;

    /// Puts what was written on the disk, and the file's length.
    ///
    /// # Errors
    /// The disk's. What was written since the last time may be lost then, whatever later calls say.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file off behind so many bytes; what is written next follows there.
    ///
    /// # Errors
    /// The disk's.
    fn truncate(&mut self, bytes: u64) -> io::Result<()>;
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, without the directory.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// What became of the wish to lock a file.
#[derive(Debug)]
pub enum Locked {
    /// It is ours until this is dropped.
    Ours(Box<dyn Lock>),
    /// Another process has it, which has written this into it.
    Taken(Vec<u8>),
}

/// A lock that is held.
pub trait Lock: Debug + Send {}
