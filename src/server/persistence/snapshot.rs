//! Snapshots: the one that is being saved, and what is known of those that were.

/// The snapshots of a server.
#[derive(Debug, Default)]
pub struct Snapshots {}
