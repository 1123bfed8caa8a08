//! What jobs in the background leave behind for the loop.

use std::io;

use super::persistence::snapshot::Done;
use crate::sys::bg;

/// The way to the helper thread, and the completions that come back.
pub type Background = bg::Background<Completion>;

/// What a job has done. The engine acts on it, in the turn that takes it.
#[derive(Debug)]
pub enum Completion {
    /// Unused memory was returned to the system, if the allocator was able to.
    Purged(io::Result<()>),
    /// A piece of a snapshot was written, or the last of it.
    Snapshot(Done),
}
