//! The file that the log is written to: opened at its end, and never left with a part of a batch behind it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::persist::storage::{Storage, WriteFile};

/// The file that is written to.
#[derive(Debug)]
pub(super) struct Tail {
    /// Where it is.
    pub path: PathBuf,
    file: Box<dyn WriteFile>,
    /// Its length: whole batches.
    pub bytes: u64,
    /// Every batch has its end; decided with the first one.
    pub has_ends: bool,
}

/// A write that failed.
#[derive(Debug)]
pub(super) struct WriteError {
    pub error: io::Error,
    /// A part of it is in the file and could not be taken back: nothing may be appended any more.
    pub is_torn: bool,
}

impl Tail {
    /// Opens a file, which is made if it is not there. Opening does not wait for the disk, as a rule: the name was looked up or
    /// made a moment before.
    ///
    /// # Errors
    /// The disk's.
    pub fn open(storage: &dyn Storage, path: &Path, has_ends: bool) -> io::Result<Tail> {
        let file = storage.append(path)?;
        let bytes = file.bytes()?;
        Ok(Tail { path: path.to_owned(), file, bytes, has_ends })
    }

    /// Appends a batch: all of it or nothing.
    ///
    /// # Errors
    /// The disk's. What had been written of it is cut off again, unless that fails as well.
    pub fn write(&mut self, batch: &[u8]) -> Result<(), WriteError> {
        let mut rest = batch;
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => return Err(self.take_back(rest.len() < batch.len(), ErrorKind::WriteZero.into())),
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // The system is asked for what it could not take: a short write alone does not say why.
                Err(error) => return Err(self.take_back(rest.len() < batch.len(), error)),
            }
        }
        self.bytes += batch.len() as u64;
        Ok(())
    }

    fn take_back(&mut self, has_part: bool, error: io::Error) -> WriteError {
        WriteError { error, is_torn: has_part && self.file.truncate(self.bytes).is_err() }
    }

    /// Puts on the disk what was written, from the thread that calls. Blocks.
    ///
    /// # Errors
    /// The disk's.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}
