//! What jobs in the background leave behind for the loop.

use std::io;

use super::persistence::{backup, log, snapshot};
use crate::persist::aof::manifest::Manifest;
use crate::sys::bg;

/// The way to the helper thread, and the completions that come back.
pub type Background = bg::Background<Completion>;

/// The way to the thread of the log, and the completions that come back.
pub type LogThread = bg::Background<log::Done>;

/// What a job has done. The engine acts on it, in the turn that takes it.
#[derive(Debug)]
pub enum Completion {
    /// Unused memory was returned to the system, if the allocator was able to.
    Purged(io::Result<()>),
    /// A piece of a snapshot was written, or the last of it.
    Snapshot(snapshot::Done),
    /// Something was written for a backup, or removed.
    Backup(backup::Done),
    /// What was loaded has become the base of a log, whose manifest this is; or why it has not.
    Adopted(Result<Manifest, String>),
}
