//! What keeps the data beyond the process: the disk, snapshots in dump files, the log of writes, and loading both at the start.
//!
//! Parts, each in a file of its own: [`snapshot`], [`log`], [`backup`], [`loading`]. The engine moves them on in every turn; commands
//! start and end them. Nothing here blocks the loop: what waits for the disk is done by helper threads.

pub mod backup;
pub mod loading;
pub mod lock;
pub mod log;
pub mod snapshot;

use std::sync::Arc;

use crate::persist::storage::{Lock, Storage};
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::background::Background;

use backup::Backup;
use loading::{Found, LoadedLog, Loading};
use log::Log;
use snapshot::Snapshots;

/// What keeps the data.
#[derive(Debug)]
pub struct Persistence {
    /// The disk.
    pub storage: Arc<dyn Storage>,
    /// Snapshots.
    pub snapshots: Snapshots,
    /// The log of writes.
    pub log: Log,
    /// The backup.
    pub backup: Backup,
    /// What is being loaded, until it has been.
    pub loading: Option<Box<Loading>>,
    /// What the last load has found.
    pub found: Found,
    /// Where the log was when it had been loaded, for it to go on there.
    pub loaded_log: Option<LoadedLog>,
    /// The directory is ours as long as this is held.
    pub lock: Option<Box<dyn Lock>>,
}

const CANNOT_SAVE: ReplyError = ReplyError::new(
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands that may modify \
     the data set are disabled, because this instance is configured to report errors during writes if RDB snapshotting fails \
     (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.",
);

impl Persistence {
    /// Of a server that has loaded and saved nothing yet.
    pub fn new(storage: Arc<dyn Storage>, background: &Background) -> Persistence {
        Persistence {
            storage,
            snapshots: Snapshots::default(),
            log: Log::new(background),
            backup: Backup::default(),
            loading: None,
            found: Found::default(),
            loaded_log: None,
            lock: None,
        }
    }

    /// True if a command may have to wait for the sake of a snapshot or of the log.
    #[inline]
    pub fn may_hold(&self) -> bool {
        self.snapshots.is_running() || self.log.is_behind()
    }

    /// True if the last snapshot could not be saved, or the log cannot be written.
    #[inline]
    pub fn is_failing(&self) -> bool {
        self.snapshots.failure.is_some() || self.log.is_failing()
    }
}

impl Server {
    /// Why commands that change data are refused after a snapshot that could not be saved, or while the log cannot be written,
    /// if they are.
    pub fn unsaved_refusal(&self) -> Option<ReplyError> {
        if self.is_stopped_by_failed_snapshot() { Some(CANNOT_SAVE) } else { self.persistence.log.refusal() }
    }

    /// True if they are refused because of a snapshot.
    pub fn is_stopped_by_failed_snapshot(&self) -> bool {
        let is_strict = self.config.stop_writes_on_bgsave_error && !self.config.save.is_empty();
        is_strict && self.persistence.snapshots.failure.is_some()
    }
}
