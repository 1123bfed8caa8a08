//! The section Persistence of INFO: what is being loaded, snapshots, and the log.

use super::sections::Report;

pub(super) fn persistence(r: &mut Report<'_>) {
    loading(r);
    snapshots(r);
    log(r);
    r.zeroes(&["module_fork_in_progress", "module_fork_last_cow_size"]);
}

fn loading(r: &mut Report<'_>) {
    r.zeroes(&["loading", "async_loading"]);
}

fn snapshots(r: &mut Report<'_>) {
    let now = r.now;
    let started_s = now.unix_s() - (now.mono_ms().saturating_sub(r.server.process.identity.started_ms) / 1000) as i64;
    r.zeroes(&["current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    r.field("current_fork_perc", "0.00");
    r.zeroes(&["current_save_keys_processed", "current_save_keys_total"]);
    r.field("rdb_changes_since_last_save", r.server.stats.dirty);
    r.field("rdb_bgsave_in_progress", 0);
    // Nothing has been saved; Redis counts from its start then.
    r.field("rdb_last_save_time", started_s);
    r.field("rdb_last_bgsave_status", "ok");
    r.field("rdb_last_bgsave_time_sec", -1);
    r.field("rdb_current_bgsave_time_sec", -1);
    r.zeroes(&["rdb_saves", "rdb_saves_consecutive_failures", "rdb_last_cow_size"]);
    r.zeroes(&["rdb_last_load_keys_expired", "rdb_last_load_keys_loaded"]);
}

fn log(r: &mut Report<'_>) {
    r.zeroes(&["aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled"]);
    r.field("aof_last_rewrite_time_sec", -1);
    r.field("aof_current_rewrite_time_sec", -1);
    r.field("aof_last_bgrewrite_status", "ok");
    r.zeroes(&["aof_rewrites", "aof_rewrites_consecutive_failures"]);
    r.field("aof_last_write_status", "ok");
    r.zeroes(&["aof_last_cow_size"]);
}
