//! What Prometheus is shown: the figures of INFO under the names that `redis_exporter` gives them, so that dashboards made for Redis
//! find what they know; and ours, which begin with `aleadb_`: expiry, live queries, phases of the loop.
//!
//! Figures of INFO are read from its text, so there is one place where each is computed, and the table below only says how it is
//! called. A field that INFO leaves out (the log's, while there is none) is left out here. Names of commands and codes of errors are
//! the only words on the page; nothing of keys, values, clients or users is.
//!
//! # Cost
//! O(commands that have run + clients + databases). The page is as long as there are commands: some 1.5 KB for each that has run, for
//! its histogram.

use std::collections::HashMap;

use super::persistence::persistence;
use super::replication::replication;
use super::sections::{self, Report, TtlSample};
use crate::base::clock::Now;
use crate::base::openmetrics::{Format, Kind, Page};
use crate::command::expiry::{DEFAULT_ENDS_S, Outlook};
use crate::command::{self, Command};
use crate::feature::durations::Durations;
use crate::server::phases::Phase;
use crate::server::{REDIS_VERSION, Server};

/// Databases with keys that are shown, those with the lowest numbers: each has some hundred keys sampled.
const DATABASES_MAX: usize = 16;
/// Letters of an error's code that is shown by its name.
const CODE_LETTERS_MAX: usize = 24;
/// The ends of buckets, as powers of two of 1,024 ns: each up to 16 ms, every other up to 17 s. They are the same in each page, as
/// rates of buckets need it.
const OCTAVES: [u32; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18, 20, 22, 24];
const FIRST_OCTAVE_NS: u64 = 1024;
/// Bytes of a page before commands are counted, and for each of these: so that it is written without growing.
const PAGE_BYTES: usize = 32 * 1024;
const COMMAND_BYTES: usize = 2048;

/// How a field of INFO becomes a number.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// As it is.
    Number,
    /// Milliseconds, shown as seconds.
    Millis,
    /// Microseconds, shown as seconds.
    Micros,
    /// `ok` is 1, anything else 0.
    Status,
}

use Kind::{Counter, Gauge};
use Reads::{Micros, Millis, Number, Status};

/// Fields of INFO with the names they have here.
const FIELDS: &[(&str, &str, Kind, Reads)] = &[
    ("uptime_in_seconds", "redis_uptime_in_seconds", Gauge, Number),
    ("process_id", "redis_process_id", Gauge, Number),
    ("hz", "redis_hz", Gauge, Number),
    ("configured_hz", "redis_configured_hz", Gauge, Number),
    ("io_threads_active", "redis_io_threads_active", Gauge, Number),
    ("connected_clients", "redis_connected_clients", Gauge, Number),
    ("cluster_connections", "redis_cluster_connections", Gauge, Number),
    ("maxclients", "redis_max_clients", Gauge, Number),
    ("maxclients", "redis_config_maxclients", Gauge, Number),
    ("client_recent_max_input_buffer", "redis_client_recent_max_input_buffer_bytes", Gauge, Number),
    ("client_recent_max_output_buffer", "redis_client_recent_max_output_buffer_bytes", Gauge, Number),
    ("blocked_clients", "redis_blocked_clients", Gauge, Number),
    ("tracking_clients", "redis_tracking_clients", Gauge, Number),
    ("pubsub_clients", "redis_pubsub_clients", Gauge, Number),
    ("watching_clients", "redis_watching_clients", Gauge, Number),
    ("clients_in_timeout_table", "redis_clients_in_timeout_table", Gauge, Number),
    ("total_watched_keys", "redis_total_watched_keys", Gauge, Number),
    ("total_blocking_keys", "redis_total_blocking_keys", Gauge, Number),
    ("total_blocking_keys_on_nokey", "redis_total_blocking_keys_on_nokey", Gauge, Number),
    ("live_query_clients", "aleadb_live_query_clients", Gauge, Number),
    ("live_query_watches", "aleadb_live_query_watches", Gauge, Number),
    ("live_queries", "aleadb_live_queries", Gauge, Number),
    ("live_query_keys", "aleadb_live_query_keys", Gauge, Number),
    ("live_query_frames", "aleadb_live_query_frames_total", Counter, Number),
    ("live_query_frames_superseded", "aleadb_live_query_frames_superseded_total", Counter, Number),
    ("used_memory", "redis_memory_used_bytes", Gauge, Number),
    ("used_memory_rss", "redis_memory_used_rss_bytes", Gauge, Number),
    ("used_memory_peak", "redis_memory_used_peak_bytes", Gauge, Number),
    ("used_memory_overhead", "redis_memory_used_overhead_bytes", Gauge, Number),
    ("used_memory_startup", "redis_memory_used_startup_bytes", Gauge, Number),
    ("used_memory_dataset", "redis_memory_used_dataset_bytes", Gauge, Number),
    ("used_memory_lua", "redis_memory_used_lua_bytes", Gauge, Number),
    ("used_memory_vm_eval", "redis_memory_used_vm_eval_bytes", Gauge, Number),
    ("used_memory_vm_functions", "redis_memory_used_vm_functions_bytes", Gauge, Number),
    ("used_memory_vm_total", "redis_memory_used_vm_total", Gauge, Number),
    ("used_memory_functions", "redis_memory_used_functions_bytes", Gauge, Number),
    ("used_memory_scripts", "redis_memory_used_scripts_bytes", Gauge, Number),
    ("used_memory_scripts_eval", "redis_memory_used_scripts_eval_bytes", Gauge, Number),
    ("number_of_cached_scripts", "redis_number_of_cached_scripts", Gauge, Number),
    ("number_of_functions", "redis_number_of_functions", Gauge, Number),
    ("number_of_libraries", "redis_number_of_libraries", Gauge, Number),
    ("maxmemory", "redis_memory_max_bytes", Gauge, Number),
    ("maxmemory", "redis_config_maxmemory", Gauge, Number),
    ("total_system_memory", "redis_total_system_memory_bytes", Gauge, Number),
    ("allocator_allocated", "redis_allocator_allocated_bytes", Gauge, Number),
    ("allocator_active", "redis_allocator_active_bytes", Gauge, Number),
    ("allocator_resident", "redis_allocator_resident_bytes", Gauge, Number),
    ("allocator_muzzy", "redis_allocator_muzzy_bytes", Gauge, Number),
    ("allocator_frag_ratio", "redis_allocator_frag_ratio", Gauge, Number),
    ("allocator_frag_bytes", "redis_allocator_frag_bytes", Gauge, Number),
    ("allocator_rss_ratio", "redis_allocator_rss_ratio", Gauge, Number),
    ("allocator_rss_bytes", "redis_allocator_rss_bytes", Gauge, Number),
    ("mem_fragmentation_ratio", "redis_mem_fragmentation_ratio", Gauge, Number),
    ("mem_fragmentation_bytes", "redis_mem_fragmentation_bytes", Gauge, Number),
    ("mem_not_counted_for_evict", "redis_mem_not_counted_for_eviction_bytes", Gauge, Number),
    ("mem_replication_backlog", "redis_mem_replication_backlog_bytes", Gauge, Number),
    ("mem_total_replication_buffers", "redis_mem_total_replication_buffers_bytes", Gauge, Number),
    ("mem_clients_slaves", "redis_mem_clients_slaves", Gauge, Number),
    ("mem_clients_normal", "redis_mem_clients_normal", Gauge, Number),
    ("mem_cluster_links", "redis_mem_cluster_links_bytes", Gauge, Number),
    ("mem_aof_buffer", "redis_mem_aof_buffer_bytes", Gauge, Number),
    ("mem_overhead_db_hashtable_rehashing", "redis_mem_overhead_db_hashtable_rehashing_bytes", Gauge, Number),
    ("active_defrag_running", "redis_active_defrag_running", Gauge, Number),
    ("lazyfree_pending_objects", "redis_lazyfree_pending_objects", Gauge, Number),
    ("lazyfreed_objects", "redis_lazyfreed_objects", Gauge, Number),
    ("mem_clients_pubsub", "aleadb_mem_clients_pubsub_bytes", Gauge, Number),
    ("mem_pubsub_subscriptions", "aleadb_mem_pubsub_subscriptions_bytes", Gauge, Number),
    ("mem_watched_keys", "aleadb_mem_watched_keys_bytes", Gauge, Number),
    ("mem_awaited_keys", "aleadb_mem_awaited_keys_bytes", Gauge, Number),
    ("mem_tracking", "aleadb_mem_tracking_bytes", Gauge, Number),
    ("used_memory_hash_templates", "redis_memory_used_hash_templates_bytes", Gauge, Number),
    ("hash_templates", "redis_hash_templates", Gauge, Number),
    ("hash_template_keys", "redis_hash_template_keys", Gauge, Number),
    ("mem_live_queries", "aleadb_mem_live_queries_bytes", Gauge, Number),
    ("mem_messages", "aleadb_mem_messages_bytes", Gauge, Number),
    ("mem_snapshot_buffer", "aleadb_mem_snapshot_buffer_bytes", Gauge, Number),
    ("mem_timers", "aleadb_mem_timers_bytes", Gauge, Number),
    ("mem_command_stats", "aleadb_mem_command_stats_bytes", Gauge, Number),
    ("loading", "redis_loading_dump_file", Gauge, Number),
    ("async_loading", "redis_async_loading", Gauge, Number),
    ("loading_total_bytes", "aleadb_loading_total_bytes", Gauge, Number),
    ("loading_loaded_bytes", "aleadb_loading_loaded_bytes", Gauge, Number),
    ("rdb_changes_since_last_save", "redis_rdb_changes_since_last_save", Gauge, Number),
    ("rdb_bgsave_in_progress", "redis_rdb_bgsave_in_progress", Gauge, Number),
    ("rdb_last_save_time", "redis_rdb_last_save_timestamp_seconds", Gauge, Number),
    ("rdb_last_bgsave_status", "redis_rdb_last_bgsave_status", Gauge, Status),
    ("rdb_last_bgsave_time_sec", "redis_rdb_last_bgsave_duration_sec", Gauge, Number),
    ("rdb_current_bgsave_time_sec", "redis_rdb_current_bgsave_duration_sec", Gauge, Number),
    ("rdb_saves", "redis_rdb_saves_total", Counter, Number),
    ("rdb_last_cow_size", "redis_rdb_last_cow_size_bytes", Gauge, Number),
    ("rdb_last_load_keys_expired", "redis_rdb_last_load_expired_keys", Gauge, Number),
    ("rdb_last_load_keys_loaded", "redis_rdb_last_load_loaded_keys", Gauge, Number),
    ("snapshot_slice_us_max", "aleadb_snapshot_slice_seconds_max", Gauge, Micros),
    ("backup_in_progress", "redis_backup_in_progress", Gauge, Number),
    ("aof_enabled", "redis_aof_enabled", Gauge, Number),
    ("aof_rewrite_in_progress", "redis_aof_rewrite_in_progress", Gauge, Number),
    ("aof_rewrite_scheduled", "redis_aof_rewrite_scheduled", Gauge, Number),
    ("aof_last_rewrite_time_sec", "redis_aof_last_rewrite_duration_sec", Gauge, Number),
    ("aof_current_rewrite_time_sec", "redis_aof_current_rewrite_duration_sec", Gauge, Number),
    ("aof_last_bgrewrite_status", "redis_aof_last_bgrewrite_status", Gauge, Status),
    ("aof_last_write_status", "redis_aof_last_write_status", Gauge, Status),
    ("aof_last_cow_size", "redis_aof_last_cow_size_bytes", Gauge, Number),
    ("aof_current_size", "redis_aof_current_size_bytes", Gauge, Number),
    ("aof_base_size", "redis_aof_base_size_bytes", Gauge, Number),
    ("aof_pending_rewrite", "redis_aof_pending_rewrite", Gauge, Number),
    ("aof_buffer_length", "redis_aof_buffer_length", Gauge, Number),
    ("aof_pending_bio_fsync", "redis_aof_pending_bio_fsync", Gauge, Number),
    ("aof_delayed_fsync", "redis_aof_delayed_fsync", Gauge, Number),
    ("module_fork_in_progress", "redis_module_fork_in_progress", Gauge, Number),
    ("module_fork_last_cow_size", "redis_module_fork_last_cow_size", Gauge, Number),
    ("total_connections_received", "redis_connections_received_total", Counter, Number),
    ("rejected_connections", "redis_rejected_connections_total", Counter, Number),
    ("total_commands_processed", "redis_commands_processed_total", Counter, Number),
    ("total_net_input_bytes", "redis_net_input_bytes_total", Counter, Number),
    ("total_net_output_bytes", "redis_net_output_bytes_total", Counter, Number),
    ("total_net_repl_input_bytes", "redis_net_repl_input_bytes_total", Counter, Number),
    ("total_net_repl_output_bytes", "redis_net_repl_output_bytes_total", Counter, Number),
    ("total_reads_processed", "redis_total_reads_processed", Counter, Number),
    ("total_writes_processed", "redis_total_writes_processed", Counter, Number),
    ("io_threaded_reads_processed", "redis_io_threaded_reads_processed", Counter, Number),
    ("io_threaded_writes_processed", "redis_io_threaded_writes_processed", Counter, Number),
    ("keyspace_hits", "redis_keyspace_hits_total", Counter, Number),
    ("keyspace_misses", "redis_keyspace_misses_total", Counter, Number),
    ("expired_keys", "redis_expired_keys_total", Counter, Number),
    ("expired_subkeys", "redis_expired_subkeys_total", Counter, Number),
    ("expired_stale_perc", "redis_expired_stale_percentage", Gauge, Number),
    ("expired_time_cap_reached_count", "redis_expired_time_cap_reached_total", Counter, Number),
    ("expire_cycle_cpu_milliseconds", "redis_expire_cycle_cpu_time_ms_total", Counter, Number),
    ("evicted_keys", "redis_evicted_keys_total", Counter, Number),
    ("evicted_clients", "redis_evicted_clients_total", Counter, Number),
    ("evicted_scripts", "redis_evicted_scripts_total", Counter, Number),
    ("total_eviction_exceeded_time", "redis_eviction_exceeded_time_ms_total", Counter, Number),
    ("current_eviction_exceeded_time", "redis_current_eviction_exceeded_time_ms", Gauge, Number),
    ("pubsub_channels", "redis_pubsub_channels", Gauge, Number),
    ("pubsub_patterns", "redis_pubsub_patterns", Gauge, Number),
    ("pubsubshard_channels", "redis_pubsubshard_channels", Gauge, Number),
    ("latest_fork_usec", "redis_latest_fork_seconds", Gauge, Micros),
    ("migrate_cached_sockets", "redis_migrate_cached_sockets_total", Counter, Number),
    ("slave_expires_tracked_keys", "redis_slave_expires_tracked_keys", Gauge, Number),
    ("active_defrag_hits", "redis_defrag_hits", Gauge, Number),
    ("active_defrag_misses", "redis_defrag_misses", Gauge, Number),
    ("active_defrag_key_hits", "redis_defrag_key_hits", Gauge, Number),
    ("active_defrag_key_misses", "redis_defrag_key_misses", Gauge, Number),
    ("tracking_total_keys", "redis_tracking_total_keys", Gauge, Number),
    ("tracking_total_items", "redis_tracking_total_items", Gauge, Number),
    ("tracking_total_prefixes", "redis_tracking_total_prefixes", Gauge, Number),
    ("total_error_replies", "redis_total_error_replies", Counter, Number),
    ("unexpected_error_replies", "redis_unexpected_error_replies", Counter, Number),
    ("dump_payload_sanitizations", "redis_dump_payload_sanitizations", Counter, Number),
    ("reply_buffer_shrinks", "redis_reply_buffer_shrinks_total", Counter, Number),
    ("reply_buffer_expands", "redis_reply_buffer_expands_total", Counter, Number),
    (
        "client_query_buffer_limit_disconnections",
        "redis_client_query_buffer_limit_disconnections_total",
        Counter,
        Number,
    ),
    (
        "client_output_buffer_limit_disconnections",
        "redis_client_output_buffer_limit_disconnections_total",
        Counter,
        Number,
    ),
    ("eventloop_cycles", "redis_eventloop_cycles_total", Counter, Number),
    ("eventloop_duration_sum", "redis_eventloop_duration_sum_usec_total", Counter, Number),
    ("eventloop_duration_cmd_sum", "redis_eventloop_duration_cmd_sum_usec_total", Counter, Number),
    ("instantaneous_eventloop_cycles_per_sec", "redis_instantaneous_eventloop_cycles_per_sec", Gauge, Number),
    ("instantaneous_eventloop_duration_usec", "redis_instantaneous_eventloop_duration_usec", Gauge, Number),
    ("turn_us_max", "aleadb_turn_seconds_max", Gauge, Micros),
    ("slowlog_commands_count", "aleadb_slow_commands_total", Counter, Number),
    ("acl_access_denied_auth", "redis_acl_access_denied_auth_total", Counter, Number),
    ("acl_access_denied_cmd", "redis_acl_access_denied_cmd_total", Counter, Number),
    ("acl_access_denied_key", "redis_acl_access_denied_key_total", Counter, Number),
    ("acl_access_denied_channel", "redis_acl_access_denied_channel_total", Counter, Number),
    ("connected_slaves", "redis_connected_slaves", Gauge, Number),
    ("master_repl_offset", "redis_master_repl_offset", Gauge, Number),
    ("second_repl_offset", "redis_second_repl_offset", Gauge, Number),
    ("repl_backlog_active", "redis_repl_backlog_is_active", Gauge, Number),
    ("repl_backlog_size", "redis_replication_backlog_bytes", Gauge, Number),
    ("repl_backlog_first_byte_offset", "redis_repl_backlog_first_byte_offset", Gauge, Number),
    ("repl_backlog_histlen", "redis_repl_backlog_history_bytes", Gauge, Number),
    ("sync_full", "redis_replica_resyncs_full", Gauge, Number),
    ("sync_partial_ok", "redis_replica_partial_resync_accepted", Gauge, Number),
    ("sync_partial_err", "redis_replica_partial_resync_denied", Gauge, Number),
    ("used_cpu_sys", "redis_cpu_sys_seconds_total", Counter, Number),
    ("used_cpu_user", "redis_cpu_user_seconds_total", Counter, Number),
    ("used_cpu_sys_children", "redis_cpu_sys_children_seconds_total", Counter, Number),
    ("used_cpu_user_children", "redis_cpu_user_children_seconds_total", Counter, Number),
    ("used_cpu_sys_main_thread", "redis_cpu_sys_main_thread_seconds_total", Counter, Number),
    ("used_cpu_user_main_thread", "redis_cpu_user_main_thread_seconds_total", Counter, Number),
    ("cluster_enabled", "redis_cluster_enabled", Gauge, Number),
    ("expiry_timed_keys", "aleadb_expiry_timed_keys", Gauge, Number),
    ("expiry_due_keys", "aleadb_expiry_due_keys", Gauge, Number),
    ("expiry_due_bytes", "aleadb_expiry_due_bytes", Gauge, Number),
    ("expiry_lag_keys", "aleadb_expiry_lag_keys", Gauge, Number),
    ("expiry_lag_p50_ms", "aleadb_expiry_lag_p50_seconds", Gauge, Millis),
    ("expiry_lag_p99_ms", "aleadb_expiry_lag_p99_seconds", Gauge, Millis),
    ("expiry_lag_max_ms", "aleadb_expiry_lag_max_seconds", Gauge, Millis),
    ("expiry_behind_ms", "aleadb_expiry_behind_seconds", Gauge, Millis),
    ("expiry_clock_jumps", "aleadb_clock_jumps_total", Counter, Number),
];

/// The page. See the header for its cost.
pub fn page(server: &mut Server, now: Now, format: Format) -> String {
    let commands = ran(server);
    let mut page = Page::new(format, PAGE_BYTES + COMMAND_BYTES * commands.len());
    identity(&mut page, server);
    let outlook = Outlook::take(server);
    let report = report(server, now, &outlook);
    fields(&mut page, &report);
    forecast(&mut page, &outlook, now);
    databases(&mut page, server, now);
    counts(&mut page, server, &commands);
    errors(&mut page, server);
    slow_log(&mut page, server);
    durations(&mut page, server, &commands);
    phases(&mut page, server);
    page.finish()
}

/// Commands that have run or were refused.
fn ran(server: &Server) -> Vec<&'static Command> {
    let all = command::all().iter().chain(command::derived());
    let all = all.flat_map(|command| std::iter::once(command).chain(command.subcommands.iter()));
    all.filter(|command| {
        let counts = server.stats.by_command[command.id];
        counts.calls + counts.rejected + counts.failed > 0
    })
    .collect()
}

/// The sections of INFO whose fields are shown.
fn report(server: &mut Server, now: Now, outlook: &Outlook) -> String {
    let mut report = Report::new(server, now);
    let parts: [fn(&mut Report<'_>); 8] = [
        sections::server,
        sections::clients,
        sections::memory,
        persistence,
        sections::stats,
        replication,
        sections::cpu,
        sections::cluster,
    ];
    parts.iter().for_each(|write| write(&mut report));
    sections::expiry_of(&mut report, outlook);
    report.finish()
}

fn identity(page: &mut Page, server: &Server) {
    let (identity, config) = (&server.process.identity, &server.config);
    page.family("redis_up", Gauge, "1: the server answers.");
    page.sample("redis_up", &[], 1);
    page.family("redis_start_time_seconds", Gauge, "Unix time at which the server started.");
    page.sample("redis_start_time_seconds", &[], server.process.started_unix_s);
    let (process, port) = (std::process::id().to_string(), config.port.to_string());
    let policy = config.text_of("maxmemory-policy").unwrap_or_default();
    page.family("redis_instance_info", Kind::Info, "What the server is.");
    let labels = [
        ("redis_version", REDIS_VERSION),
        ("aleadb_version", env!("CARGO_PKG_VERSION")),
        ("redis_mode", "standalone"),
        ("role", "master"),
        ("os", &identity.os),
        ("process_id", &process),
        ("run_id", &identity.run_id),
        ("tcp_port", &port),
        ("maxmemory_policy", &String::from_utf8_lossy(&policy)),
    ];
    page.sample("redis_instance_info", &labels, 1);
}

fn fields(page: &mut Page, report: &str) {
    let found: HashMap<&str, &str> = report.lines().filter_map(|line| line.split_once(':')).collect();
    for (field, name, kind, reads) in FIELDS {
        let Some(text) = found.get(field) else { continue };
        let number = || text.parse::<f64>().unwrap_or(0.0);
        page.family(name, *kind, format_args!("INFO's field {field}."));
        match reads {
            Number => page.sample(name, &[], text),
            Millis => page.sample(name, &[], number() / 1e3),
            Micros => page.sample(name, &[], number() / 1e6),
            Status => page.sample(name, &[], u8::from(*text == "ok")),
        }
    }
}

/// What falls due, as EXPIRY FORECAST tells it without arguments.
fn forecast(page: &mut Page, outlook: &Outlook, now: Now) {
    let shares = DEFAULT_ENDS_S.iter().map(|end_s| {
        let share = outlook.between(i64::MIN, now.unix_ms.saturating_add(end_s * 1000));
        (end_s.to_string(), share)
    });
    let shares: Vec<_> = shares.collect();
    page.family("aleadb_expiry_forecast_keys", Gauge, "Keys that fall due within so many seconds.");
    for (end, share) in &shares {
        page.sample("aleadb_expiry_forecast_keys", &[("within_seconds", end)], share.keys.round());
    }
    page.family("aleadb_expiry_forecast_bytes", Gauge, "Bytes of keys that fall due within so many seconds.");
    for (end, share) in &shares {
        page.sample("aleadb_expiry_forecast_bytes", &[("within_seconds", end)], share.bytes.round());
    }
}

/// Databases with keys, and always the first, so that its series do not begin with the first key.
fn databases(page: &mut Page, server: &Server, now: Now) {
    let mut shown = server.dbs.with_keys();
    if shown.first().is_none_or(|(number, _)| *number != 0)
        && let Some(place) = server.dbs.find(0)
    {
        shown.insert(0, (0, &server.dbs[place]));
    }
    shown.truncate(DATABASES_MAX);
    let shown: Vec<_> = shown.into_iter().map(|(number, db)| (format!("db{number}"), db)).collect();
    page.family("redis_db_keys", Gauge, "Keys of a database.");
    for (name, db) in &shown {
        page.sample("redis_db_keys", &[("db", name)], db.len());
    }
    page.family("redis_db_keys_expiring", Gauge, "Keys of a database that have a deadline.");
    for (name, db) in &shown {
        page.sample("redis_db_keys_expiring", &[("db", name)], db.timed());
    }
    page.family("redis_db_avg_ttl_seconds", Gauge, "Mean time to live of keys that have a deadline, of a sample.");
    for (name, db) in &shown {
        let mean_ms = TtlSample::take(db, now.unix_ms).mean_ms();
        page.sample("redis_db_avg_ttl_seconds", &[("db", name)], mean_ms as f64 / 1e3);
    }
}

fn counts(page: &mut Page, server: &Server, commands: &[&'static Command]) {
    let mut family = |name: &str, help: &str, value: &dyn Fn(&Command) -> f64| {
        page.family(name, Counter, help);
        for command in commands {
            page.sample(name, &[("cmd", &command.full_name)], value(command));
        }
    };
    let of = |command: &Command| server.stats.by_command[command.id];
    family("redis_commands_total", "Times a command ran.", &|command| of(command).calls as f64);
    family("redis_commands_duration_seconds_total", "Time spent in a command.", &|command| of(command).ns as f64 / 1e9);
    family("redis_commands_rejected_calls_total", "Times a command was refused before it ran.", &|command| {
        of(command).rejected as f64
    });
    family("redis_commands_failed_calls_total", "Times a command ran and answered an error.", &|command| {
        of(command).failed as f64
    });
}

/// Errors by their code. A script can make up codes; those that do not look like one are counted together.
fn errors(page: &mut Page, server: &Server) {
    let is_code =
        |code: &[u8]| (1..=CODE_LETTERS_MAX).contains(&code.len()) && code.iter().all(|byte| byte.is_ascii_uppercase());
    let mut others = 0;
    page.family("redis_errors_total", Counter, "Error replies by their code.");
    for (code, count) in &server.stats.errors {
        match std::str::from_utf8(code).ok().filter(|_| is_code(code)) {
            Some(text) => page.sample("redis_errors_total", &[("err", text)], count),
            None => others += count,
        }
    }
    if others > 0 {
        page.sample("redis_errors_total", &[("err", "other")], others);
    }
}

fn slow_log(page: &mut Page, server: &Server) {
    let slow = &server.observer.slow;
    let last = slow.iter().next();
    page.family("redis_slowlog_length", Gauge, "Entries of the slow log.");
    page.sample("redis_slowlog_length", &[], slow.len());
    page.family("redis_slowlog_last_id", Gauge, "The number of its newest entry.");
    page.sample("redis_slowlog_last_id", &[], last.map_or(0, |entry| entry.id));
    page.family("redis_last_slow_execution_duration_seconds", Gauge, "How long that command took.");
    let took_us = last.map_or(0, |entry| entry.amount);
    page.sample("redis_last_slow_execution_duration_seconds", &[], took_us as f64 / 1e6);
}

/// Ends of buckets in nanoseconds, as they are asked for.
fn bounds_ns() -> impl Iterator<Item = u64> {
    OCTAVES.iter().map(|octave| FIRST_OCTAVE_NS << octave)
}

/// How long commands took, in buckets that end where those of LATENCY HISTOGRAM do.
fn durations(page: &mut Page, server: &mut Server, commands: &[&'static Command]) {
    const NAME: &str = "redis_commands_latencies_usec";
    if !server.config.latency_tracking {
        return;
    }
    server.settle_durations();
    page.family(NAME, Kind::Histogram, "How long a command took, in microseconds.");
    for command in commands {
        let Some(durations) = server.observer.durations_of(command) else { continue };
        let ends_us = bounds_ns().map(|bound_ns| durations.end_ns(bound_ns) / 1000);
        let sum_us = durations.sum_ns() as f64 / 1e3;
        histogram(page, NAME, ("cmd", &command.full_name), durations, ends_us, sum_us);
    }
}

/// What turns of the loop spend their time on: what every turn does is measured in some of them.
fn phases(page: &mut Page, server: &Server) {
    const NAME: &str = "aleadb_loop_phase_seconds";
    page.family(NAME, Kind::Histogram, "How long a phase of the turns that were measured took.");
    for (phase, name) in Phase::ALL {
        let Some(durations) = server.phases.durations_of(phase) else { continue };
        let ends_s = bounds_ns().map(|bound_ns| durations.end_ns(bound_ns) as f64 / 1e9);
        histogram(page, NAME, ("phase", name), durations, ends_s, durations.sum_ns() as f64 / 1e9);
    }
}

fn histogram<B: std::fmt::Display>(
    page: &mut Page,
    name: &str,
    label: (&str, &str),
    durations: &Durations,
    ends: impl Iterator<Item = B>,
    sum: f64,
) {
    let buckets = ends.zip(durations.upto(bounds_ns()));
    page.histogram(name, &[label], buckets, durations.count(), sum);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::rc::Rc;
    use std::sync::Arc;

    use super::*;
    use crate::base::clock::SystemClock;
    use crate::config::Config;
    use crate::persist::storage::RealStorage;
    use crate::server::background::Background;
    use crate::server::{Identity, Outside, Seeds};

    /// Fields that INFO has only while there is a log, or while something is loaded.
    const SOMETIMES: &[&str] = &[
        "loading_total_bytes",
        "loading_loaded_bytes",
        "aof_current_size",
        "aof_base_size",
        "aof_pending_rewrite",
        "aof_buffer_length",
        "aof_pending_bio_fsync",
        "aof_delayed_fsync",
    ];

    #[test]
    fn names_are_used_once_and_are_those_that_the_formats_allow() {
        let names: HashSet<&str> = FIELDS.iter().map(|(_, name, ..)| *name).collect();
        assert_eq!(names.len(), FIELDS.len());
        for name in names {
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            assert!(name.starts_with("redis_") || name.starts_with("aleadb_"), "{name}");
        }
        // A gauge whose name ends as a counter's does would be one to a reader.
        let wrong = FIELDS.iter().filter(|(_, name, kind, _)| name.ends_with("_total") && *kind != Counter);
        assert_eq!(wrong.map(|(_, name, ..)| *name).collect::<Vec<_>>(), ["redis_memory_used_vm_total"]);
    }

    fn server() -> Server {
        let (clock, background) = (Rc::new(SystemClock::start()), Background::new().expect("a pair of sockets"));
        let outside = Outside { clock, background, storage: Arc::new(RealStorage) };
        let seeds = Seeds { hash: [1; 16], prng: 1 };
        Server::new(Config::default(), Default::default(), Identity::default(), seeds, outside)
    }

    #[test]
    fn every_field_is_one_of_info() {
        let mut server = server();
        let (now, outlook) = (server.clock.now(), Outlook::take(&mut server));
        let report = report(&mut server, now, &outlook);
        let has =
            |field: &str| report.lines().any(|line| line.strip_prefix(field).is_some_and(|rest| rest.starts_with(':')));
        let missing = FIELDS.iter().map(|(field, ..)| *field).filter(|field| !has(field));
        assert_eq!(missing.collect::<Vec<_>>(), SOMETIMES);
    }

    #[test]
    fn errors_that_scripts_make_up_are_counted_together() {
        let mut server = server();
        for (code, times) in [(b"ERR".as_slice(), 2), (b"WRONGTYPE", 1), (b"SECRETkey", 3), (b"", 1), (&[b'A'; 100], 1)]
        {
            server.stats.count_errors(code, times);
        }
        let now = server.clock.now();
        let page = page(&mut server, now, Format::Text);
        let errors: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("redis_errors_total")).collect();
        assert_eq!(errors, ["{err=\"ERR\"} 2", "{err=\"WRONGTYPE\"} 1", "{err=\"other\"} 5"]);
    }
}
