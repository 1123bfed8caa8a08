//! What keeps the data beyond the process: the disk, snapshots in dump files, the log of writes, and loading both at the start.
//!
//! Parts, each in a file of its own: [`snapshot`], [`log`], [`loading`]. The engine moves them on in every turn; commands
//! start and end them. Nothing here blocks the loop: what waits for the disk is done by helper threads.

pub mod loading;
pub mod log;
pub mod snapshot;

use std::sync::Arc;

use crate::persist::storage::Storage;

use loading::Loading;
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
    /// What is being loaded, until it has been.
    pub loading: Option<Box<Loading>>,
    /// Libraries of functions that a dump file or a log held, as they were: kept for the next one.
    pub functions: Vec<Vec<u8>>,
}

impl Persistence {
    /// Of a server that has loaded and saved nothing yet.
    pub fn new(storage: Arc<dyn Storage>) -> Persistence {
        Persistence {
            storage,
            snapshots: Snapshots::default(),
            log: Log::default(),
            loading: None,
            functions: Vec::new(),
        }
    }
}
