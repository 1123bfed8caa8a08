//! What a turn does to keep the data: each part in a file of its own.
//!
//! - `start`: which files a server starts with.
//! - `loading`: goes on with what is being loaded; `replay` runs what a log holds.
//! - `reload`: what DEBUG has loaded at once.
//! - `snapshot`: goes on with the snapshot that is being made, and begins those that are due.

pub mod loading;
pub(super) mod reload;
pub mod replay;
pub(super) mod snapshot;
pub mod start;

use crate::base::clock::Now;
use crate::server::Server;

/// A turn's part; to be called when its commands have run. True if there is more to do at once.
pub fn step(server: &mut Server, now: Now) -> bool {
    if server.is_loading() {
        return loading::step(server, now);
    }
    // Those that were not to begin to write may, unless it is wanted once more.
    let was_wanted = std::mem::take(&mut server.jobs.is_whole_wanted);
    snapshot::step(server, now) | (was_wanted && server.jobs.are_running())
}
