//! What a turn does to keep the data: each part in a file of its own.
//!
//! - `snapshot`: goes on with the snapshot that is being made, and begins those that are due.

pub(super) mod snapshot;

use crate::base::clock::Now;
use crate::server::Server;

/// A turn's part; to be called when its commands have run. True if there is more to do at once.
pub fn step(server: &mut Server, now: Now) -> bool {
    snapshot::step(server, now)
}
