//! The lock of the data directory: a server that writes there is alone.
//!
//! It is taken at the start by a server with a log or with save points, and by others when somebody asks them to save. It ends with
//! the process, whatever ends that; the file stays, and says who was the last.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::persist::storage::Locked;
use crate::server::Server;
use crate::sys::error_text;

/// The file that is locked. Who holds it has written who it is into it.
const FILE: &str = "aleadb.lock";

/// Why the directory cannot be locked, in words for people.
#[derive(Debug)]
pub enum Refused {
    /// Another server has it.
    Taken(String),
    /// The disk does not let us.
    Disk(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Refused::Taken(reason) | Refused::Disk(reason)) = self;
        f.write_str(reason)
    }
}

impl Server {
    /// Locks the data directory, unless it is ours already.
    ///
    /// # Errors
    /// Another server has it, or the disk fails.
    pub fn lock_directory(&mut self) -> Result<(), Refused> {
        if self.persistence.lock.is_some() {
            return Ok(());
        }
        let dir = self.config.dir.display().to_string();
        self.lock_present(&dir)
    }

    /// Goes on in another data directory, and returns its path from the root. A lock is changed for one there.
    ///
    /// # Errors
    /// Something is being saved or logged in the present one; the other cannot be entered, or another server has it. Then the
    /// server stays where it was.
    pub fn change_directory(&mut self, dir: &Path) -> Result<PathBuf, String> {
        let is_rewriting = self.persistence.log.rewrites().is_cleaning;
        if self.persistence.backup.has_files() {
            return Err("there is a backup in the present directory".to_owned());
        }
        if self.persistence.log.is_on() || self.persistence.snapshots.is_running() || is_rewriting {
            return Err("the append-only file or a snapshot is being written in the present directory".to_owned());
        }
        let here = self.persistence.storage.enter(Path::new(".")).map_err(|error| error_text(&error))?;
        let there = self.persistence.storage.enter(dir).map_err(|error| error_text(&error))?;
        if here == there {
            return Ok(there);
        }
        let Some(lock) = self.persistence.lock.take() else { return Ok(there) };
        self.lock_present(&there.display().to_string()).map_err(|refused| {
            self.persistence.lock = Some(lock);
            if let Err(error) = self.persistence.storage.enter(&here) {
                log::error!("Can't go back to {}: {}", here.display(), error_text(&error));
            }
            refused.to_string()
        })?;
        Ok(there)
    }

    /// Locks the directory in which names begin, whose path is shown in errors.
    fn lock_present(&mut self, dir: &str) -> Result<(), Refused> {
        let who = format!("pid {}, port {}\n", std::process::id(), self.config.port);
        match self.persistence.storage.lock(Path::new(FILE), who.as_bytes()) {
            Ok(Locked::Ours(lock)) => {
                self.persistence.lock = Some(lock);
                Ok(())
            }
            Ok(Locked::Taken(holder)) => {
                let holder = String::from_utf8_lossy(&holder).trim().escape_debug().to_string();
                Err(Refused::Taken(format!(
                    "The directory {dir} is in use by another server ({holder}): each needs a `dir` of its own"
                )))
            }
            Err(error) => {
                Err(Refused::Disk(format!("Can't lock the directory {dir}, with {FILE}: {}", error_text(&error))))
            }
        }
    }
}
