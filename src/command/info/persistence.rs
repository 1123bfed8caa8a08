//! The section Persistence of INFO: what is being loaded, snapshots, and the log.

use super::sections::Report;

pub(super) fn persistence(r: &mut Report<'_>) {
    loading(r);
    snapshots(r);
    log(r);
    r.field("backup_in_progress", u8::from(r.server.persistence.backup.is_in_progress()));
    r.zeroes(&["module_fork_in_progress", "module_fork_last_cow_size"]);
}

fn loading(r: &mut Report<'_>) {
    let now = r.now;
    r.field("loading", u8::from(r.server.is_loading()));
    r.field("async_loading", 0);
    let Some(loading) = &r.server.persistence.loading else { return };
    let (started_s, total, loaded) = (loading.started.unix_s(), loading.total_bytes, loading.loaded_bytes);
    let (percent, eta_s) = (loading.percent(), loading.eta_s(now));
    r.field("loading_start_time", started_s);
    r.field("loading_total_bytes", total);
    // Nobody has asked for a file from elsewhere, so none was measured before.
    r.field("loading_rdb_used_mem", 0);
    r.field("loading_loaded_bytes", loaded);
    r.field("loading_loaded_perc", format_args!("{percent:.2}"));
    r.field("loading_eta_seconds", eta_s);
}

/// Where Redis tells of the memory that a child copied, this is what waited for the disk: all that a snapshot takes.
fn snapshots(r: &mut Report<'_>) {
    let snapshots = &r.server.persistence.snapshots;
    let (progress, is_dumping) = (snapshots.progress(), snapshots.is_dumping());
    let (scheduled, failure) = (snapshots.scheduled, snapshots.failure.clone());
    let (saves, failures, took_s) = (snapshots.saves, snapshots.failures, snapshots.took_s);
    let (slice_us, waiting_max) = (snapshots.slice_ns_max / 1000, snapshots.waiting_bytes_max);
    let (file_bytes, changes) = (snapshots.file_bytes, r.server.stats.dirty - snapshots.saved_changes);
    // Before anything is saved Redis counts from its start.
    let saved_s = snapshots.saved_unix_s.unwrap_or(r.server.process.started_unix_s);
    let running = progress.unwrap_or_default();
    let running_s = (r.now.mono_ms().saturating_sub(running.began_ms) / 1000) as i64;
    let percent = 100.0 * running.keys_done as f64 / running.keys.max(1) as f64;
    r.field("current_cow_peak", if progress.is_some() { waiting_max } else { 0 });
    r.field("current_cow_size", running.waiting_bytes);
    r.zeroes(&["current_cow_size_age"]);
    r.field("current_fork_perc", format_args!("{percent:.2}"));
    r.field("current_save_keys_processed", running.keys_done);
    r.field("current_save_keys_total", running.keys);
    r.field("rdb_changes_since_last_save", changes);
    r.field("rdb_bgsave_in_progress", u8::from(is_dumping));
    r.field("rdb_last_save_time", saved_s);
    r.field("rdb_last_bgsave_status", if failure.is_some() { "err" } else { "ok" });
    r.field("rdb_last_bgsave_time_sec", took_s.map_or(-1, |s| s as i64));
    r.field("rdb_current_bgsave_time_sec", if is_dumping { running_s } else { -1 });
    r.field("rdb_saves", saves);
    r.field("rdb_saves_consecutive_failures", failures);
    r.field("rdb_last_cow_size", if progress.is_none() { waiting_max } else { 0 });
    r.field("snapshot_scheduled", u8::from(scheduled));
    r.field("snapshot_slice_us_max", slice_us);
    r.field("snapshot_waiting_bytes_max", waiting_max);
    r.field("snapshot_clients_on_hold", r.server.clients.held.len());
    r.field("rdb_last_file_bytes", file_bytes);
    if let Some(failure) = failure {
        r.field("rdb_last_error", failure.replace(['\r', '\n'], " "));
    }
    let found = r.server.persistence.found.clone();
    r.field("rdb_last_load_keys_expired", found.expired);
    r.field("rdb_last_load_keys_loaded", found.keys);
}

/// Nothing is copied for a rewrite either. Beside Redis's fields stand those of the batches.
fn log(r: &mut Report<'_>) {
    let log = &r.server.persistence.log;
    let rewrites = log.rewrites();
    let is_on = log.is_on();
    let number = |value: i64| value.to_string();
    let status = |is_failed: bool| if is_failed { "err" } else { "ok" }.to_owned();
    let mut fields: Vec<(&str, String)> = vec![
        ("aof_enabled", number(is_on.into())),
        ("aof_rewrite_in_progress", number(rewrites.is_running().into())),
        ("aof_rewrite_scheduled", number(rewrites.scheduled.into())),
        ("aof_last_rewrite_time_sec", number(rewrites.took_s.map_or(-1, |s| s as i64))),
        ("aof_current_rewrite_time_sec", number(rewrites.seconds(r.now).map_or(-1, |s| s as i64))),
        ("aof_last_bgrewrite_status", status(rewrites.has_failed)),
        ("aof_rewrites", number(rewrites.count as i64)),
        ("aof_rewrites_consecutive_failures", number(rewrites.failures as i64)),
        ("aof_last_write_status", status(log.is_failing())),
        ("aof_last_cow_size", number(0)),
    ];
    if is_on {
        let of_log = [
            ("aof_current_size", log.bytes() as i64),
            ("aof_base_size", log.base_bytes() as i64),
            ("aof_pending_rewrite", rewrites.is_pending().into()),
            ("aof_buffer_length", log.pending_bytes() as i64),
            ("aof_pending_bio_fsync", log.is_syncing().into()),
            ("aof_delayed_fsync", log.delayed as i64),
            ("aof_last_batch", log.batches() as i64),
            ("aof_unsynced_bytes", log.unsynced_bytes() as i64),
        ];
        fields.extend(of_log.map(|(name, value)| (name, number(value))));
    }
    let failure = log.failure_text();
    fields.iter().for_each(|(name, value)| r.field(name, value));
    if let Some(failure) = failure {
        r.field("aof_last_write_error", failure.replace(['\r', '\n'], " "));
    }
}
