//! When snapshots begin, and how much of a turn they take.
//!
//! # What a snapshot costs a turn
//! A slice of [`SLICE_NS`], and never so much that the turn would take longer than [`TURN_NS_MAX`], but for a least part of
//! [`SLICE_NS_MIN`]. It is no longer in a turn that does nothing else: a client may come in its midst, and wait for it. While the
//! disk is slower than the walk there is nothing to do: the turn in which a piece was written goes on.

use crate::base::clock::Now;
use crate::server::Server;

/// Nanoseconds of a slice.
const SLICE_NS: u64 = 200_000;
/// Nanoseconds of a slice in a turn that is long without it.
const SLICE_NS_MIN: u64 = 50_000;
/// Nanoseconds that a turn should take at most.
const TURN_NS_MAX: u64 = 900_000;

/// Begins what is due and goes on with what is under way. True if it could go on at once.
pub(super) fn step(server: &mut Server, now: Now) -> bool {
    if server.persistence.snapshots.is_running() {
        let spent_ns = server.clock.mono_ns().saturating_sub(now.mono_ns);
        let slice_ns = SLICE_NS.min(TURN_NS_MAX.saturating_sub(spent_ns)).max(SLICE_NS_MIN);
        return server.walk_snapshot(slice_ns, now);
    }
    let is_backup_due = server.persistence.backup.is_due();
    if !server.persistence.snapshots.scheduled && !is_backup_due {
        return false;
    }
    if server.is_amid_unit() {
        // The data is not what it will be.
        server.jobs.is_whole_wanted = true;
        return false;
    }
    if is_backup_due {
        server.begin_backup_base(now);
        return true;
    }
    begin_scheduled(server, now)
}

fn begin_scheduled(server: &mut Server, now: Now) -> bool {
    if server.persistence.snapshots.is_backing_off(now) {
        return false;
    }
    if let Err(refused) = server.lock_directory() {
        log::error!("No snapshot can be saved: {refused}");
        server.persistence.snapshots.note_refused(refused.to_string(), now);
        return false;
    }
    server.begin_dump(now).is_ok()
}

/// Has a snapshot begin in this turn if a save point has been reached. To be called some times a second.
pub(in crate::engine) fn look_at_save_points(server: &mut Server, now: Now) {
    let snapshots = &server.persistence.snapshots;
    if server.config.save.is_empty()
        || server.is_loading()
        || snapshots.is_running()
        || snapshots.scheduled
        || snapshots.is_backing_off(now)
    {
        return;
    }
    let changes = server.stats.dirty - snapshots.saved_changes;
    let passed_s = now.unix_s() - snapshots.saved_unix_s.unwrap_or(server.process.started_unix_s);
    let is_reached = |point: &crate::config::SavePoint| {
        changes >= point.changes && u64::try_from(passed_s).is_ok_and(|passed_s| passed_s > point.seconds)
    };
    if let Some(point) = server.config.save.iter().find(is_reached) {
        log::info!("{} changes in {} seconds. Saving...", point.changes, point.seconds);
        server.persistence.snapshots.scheduled = true;
    }
}
