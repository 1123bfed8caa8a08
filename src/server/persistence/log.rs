//! The log of writes (Redis's append-only file).

/// The log of a server.
#[derive(Debug, Default)]
pub struct Log {}
