//! What each section of INFO says. Names and order are those of Redis 8.6; a part of Redis that does not exist here
//! reports the zero or "no" that is true of it, and what is not measured is left out rather than made up.
//!
//! Beyond Redis: `aleadb_version` in Server, `live_query_...` in Clients, what parts of the server take in Memory (from
//! `mem_clients_pubsub` on), `turn_us_max`, the longest turn of the loop, in Stats, and the sections Expiry, Loop and Hotspots.

use std::fmt::{Display, Write};
use std::time::Duration;

use crate::base::clock::Now;
use crate::base::quote;
use crate::command::expiry::Outlook;
use crate::command::memory::{Account, excess, ratio};
use crate::command::{self, Command};
use crate::config::Supervised;
use crate::feature::durations::Durations;
use crate::feature::pubsub::Kind;
use crate::lua::vm::Purpose;
use crate::server::phases::Phase;
use crate::server::{REDIS_VERSION, Server};
use crate::store::db::Db;
use crate::store::types::Type;
use crate::sys::{alloc, limits};

use super::persistence::persistence;
use super::replication::replication;

/// When a section is shown without being named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// By a plain INFO.
    ByDefault,
    /// Only with `all` or `everything`.
    WithAll,
}

/// One section.
pub(super) struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What it may be asked for by, in lower case.
    pub names: &'static [&'static str],
    /// When it is shown.
    pub shown: Shown,
    /// Writes its lines.
    pub write: fn(&mut Report<'_>),
}

/// The sections, in order.
pub(super) const SECTIONS: &[Section] = &[
    section("Server", &["server"], Shown::ByDefault, server),
    section("Clients", &["clients"], Shown::ByDefault, clients),
    section("Memory", &["memory"], Shown::ByDefault, memory),
    section("Persistence", &["persistence"], Shown::ByDefault, persistence),
    section("Threads", &["threads"], Shown::ByDefault, threads),
    section("Stats", &["stats"], Shown::ByDefault, stats),
    section("Replication", &["replication"], Shown::ByDefault, replication),
    section("CPU", &["cpu"], Shown::ByDefault, cpu),
    section("Hotkeys", &["hotkeys"], Shown::ByDefault, hotkeys),
    section("Modules", &["modules", "module_list"], Shown::ByDefault, nothing),
    section("Commandstats", &["commandstats"], Shown::WithAll, commandstats),
    section("Errorstats", &["errorstats"], Shown::ByDefault, errorstats),
    section("Latencystats", &["latencystats"], Shown::WithAll, latencystats),
    section("Cluster", &["cluster"], Shown::ByDefault, cluster),
    section("Keyspace", &["keyspace"], Shown::ByDefault, keyspace),
    section("Keysizes", &["keysizes"], Shown::ByDefault, keysizes),
    section("Expiry", &["expiry"], Shown::WithAll, expiry),
    section("Loop", &["loop"], Shown::WithAll, loop_phases),
    section("Hotspots", &["hotspots"], Shown::WithAll, hotspots),
];

const fn section(
    title: &'static str,
    names: &'static [&'static str],
    shown: Shown,
    write: fn(&mut Report<'_>),
) -> Section {
    Section { title, names, shown, write }
}

/// The text being written, and what it is about.
pub(super) struct Report<'s> {
    pub server: &'s mut Server,
    pub now: Now,
    text: String,
}

impl<'s> Report<'s> {
    /// An empty report.
    pub fn new(server: &'s mut Server, now: Now) -> Report<'s> {
        Report { server, now, text: String::new() }
    }

    /// Starts a section.
    pub fn section(&mut self, title: &str) {
        let gap = if self.text.is_empty() { "" } else { "\r\n" };
        self.text.push_str(&format!("{gap}# {title}\r\n"));
    }

    /// The finished text.
    pub fn finish(self) -> String {
        self.text
    }

    pub fn field(&mut self, name: impl Display, value: impl Display) {
        write!(self.text, "{name}:{value}\r\n").expect("a string takes any text");
    }

    pub fn zeroes(&mut self, names: &[&str]) {
        names.iter().for_each(|name| self.field(name, 0));
    }

    /// A size, and the same for people.
    fn size(&mut self, name: &str, bytes: usize) {
        self.field(name, bytes);
        self.field(format_args!("{name}_human"), human(bytes as u64));
    }
}

/// A size as Redis writes it for people: `1.50M`.
fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let (mut size, mut unit) = (bytes as f64 / 1024.0, "K");
    for larger in ["M", "G", "T", "P"] {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    format!("{size:.2}{unit}")
}

fn nothing(_: &mut Report<'_>) {}

pub(super) fn server(r: &mut Report<'_>) {
    let now = r.now;
    let uptime_s = now.mono_ms().saturating_sub(r.server.process.identity.started_ms) / 1000;
    r.field("redis_version", REDIS_VERSION);
    r.field("aleadb_version", env!("CARGO_PKG_VERSION"));
    r.field("redis_git_sha1", "00000000");
    r.field("redis_git_dirty", 0);
    r.field("redis_build_id", 0);
    r.field("redis_mode", "standalone");
    let os = r.server.process.identity.os.clone();
    r.field("os", os);
    r.field("arch_bits", usize::BITS);
    r.field("monotonic_clock", "POSIX clock_gettime");
    r.field("multiplexing_api", if cfg!(target_os = "linux") { "epoll" } else { "kqueue" });
    r.field("atomicvar_api", "rust-builtin");
    r.field("gcc_version", "0.0.0");
    r.field("process_id", std::process::id());
    r.field("process_supervised", supervised(r.server.config.supervised));
    let run_id = r.server.process.identity.run_id.clone();
    r.field("run_id", run_id);
    r.field("tcp_port", r.server.config.port);
    r.field("server_time_usec", now.unix_ms * 1000);
    r.field("uptime_in_seconds", uptime_s);
    r.field("uptime_in_days", uptime_s / 86_400);
    r.field("hz", r.server.config.hz);
    r.field("configured_hz", r.server.config.hz);
    r.field("lru_clock", now.unix_s() & 0xff_ffff);
    let executable = r.server.process.identity.executable.clone();
    r.field("executable", executable);
    let config_file = r.server.process.identity.config_file.as_ref().map(|path| path.display().to_string());
    r.field("config_file", config_file.unwrap_or_default());
    r.field("io_threads_active", 0);
    if let Some(ending) = r.server.process.ending {
        r.field("shutdown_in_milliseconds", ending.until_ms.saturating_sub(now.mono_ms()));
    }
    listeners(r);
}

/// Who hears of the start and the end: `auto` means systemd if it left its socket's name in the environment.
fn supervised(setting: Supervised) -> &'static str {
    let told = std::env::var_os("NOTIFY_SOCKET").is_some();
    if setting != Supervised::No && told { "systemd" } else { "no" }
}

fn listeners(r: &mut Report<'_>) {
    let config = &r.server.config;
    let mut lines = Vec::new();
    if config.port != 0 && !config.bind.is_empty() {
        let hosts: String = config
            .bind
            .iter()
            .map(|bind| format!(",bind={}{}", if bind.optional { "-" } else { "" }, bind.host))
            .collect();
        lines.push(format!("name=tcp{hosts},port={}", config.port));
    }
    if let Some(path) = &config.unixsocket {
        lines.push(format!("name=unix,bind={}", path.display()));
    }
    for (i, line) in lines.iter().enumerate() {
        r.field(format_args!("listener{i}"), line);
    }
}

/// For how long after its last input a client counts as active, as in Redis 8.8.
const ACTIVE_MS: u64 = 512;

pub(super) fn clients(r: &mut Report<'_>) {
    let sessions = || r.server.clients.iter().map(|(_, session)| session);
    // A replica is no client, as in Redis.
    let connected = sessions().filter(|session| !session.is_replica).count();
    let input = sessions().map(|session| session.buffers.query_bytes + session.buffers.query_free_bytes).max();
    let output = sessions().map(|session| session.buffers.out_heap_bytes).max();
    let subscribed = sessions().filter(|session| session.subscribed).count();
    let active_since_ms = r.now.mono_ms().saturating_sub(ACTIVE_MS);
    let active = sessions().filter(|session| !session.is_replica && session.active_ms > active_since_ms).count();
    let blocked = sessions().filter(|session| session.blocked.is_some()).count();
    let timed = sessions().filter_map(|session| session.blocked?.until_ms()).count();
    r.field("connected_clients", connected);
    r.field("cluster_connections", 0);
    r.field("maxclients", r.server.config.maxclients);
    r.field("client_recent_max_input_buffer", input.unwrap_or(0));
    r.field("client_recent_max_output_buffer", output.unwrap_or(0));
    r.field("active_clients", active);
    r.field("blocked_clients", blocked);
    r.field("tracking_clients", r.server.watchers.caches.clients());
    r.field("pubsub_clients", subscribed);
    r.field("watching_clients", r.server.watchers.watches.clients());
    r.field("clients_in_timeout_table", timed);
    r.field("total_watched_keys", r.server.watchers.watches.keys());
    r.field("live_query_clients", r.server.watchers.reactive.clients());
    r.field("live_query_watches", r.server.watchers.reactive.watches());
    r.field("live_queries", r.server.watchers.reactive.queries());
    r.field("live_query_keys", r.server.watchers.reactive.keys());
    r.field("live_query_frames", r.server.stats.watch_frames);
    r.field("live_query_frames_superseded", r.server.stats.watch_frames_superseded);
    r.field("total_blocking_keys", r.server.watchers.waits.keys());
    r.field("total_blocking_keys_on_nokey", r.server.watchers.waits.keys_until_deleted());
}

pub(super) fn memory(r: &mut Report<'_>) {
    let account = Account::take(r.server, r.now);
    r.size("used_memory", account.used);
    r.size("used_memory_rss", account.resident);
    r.size("used_memory_peak", account.peak);
    r.field("used_memory_peak_time", account.peak_unix_s);
    r.field("used_memory_peak_perc", format_args!("{:.2}%", account.peak_percent()));
    r.field("used_memory_overhead", account.overhead);
    r.field("used_memory_startup", account.startup);
    r.field("used_memory_dataset", account.dataset);
    r.field("used_memory_dataset_perc", format_args!("{:.2}%", account.dataset_percent()));
    r.field("allocator_allocated", account.allocator.allocated);
    r.field("allocator_active", account.allocator.active);
    r.field("allocator_resident", account.allocator.resident);
    r.field("allocator_muzzy", 0);
    r.size("total_system_memory", limits::total_system_memory());
    scripts(r);
    r.size("maxmemory", r.server.config.maxmemory.bytes as usize);
    let policy = r.server.config.text_of("maxmemory-policy").unwrap_or_default();
    r.field("maxmemory_policy", String::from_utf8_lossy(&policy));
    ratios(r, &account);
    r.field("mem_not_counted_for_evict", r.server.uncounted_bytes());
    r.field("mem_replication_backlog", account.parts.backlog);
    r.field("mem_total_replication_buffers", account.parts.backlog);
    r.field("mem_replica_full_sync_buffer", 0);
    r.field("mem_clients_slaves", account.parts.replicas);
    r.field("mem_clients_normal", account.clients());
    r.zeroes(&["mem_cluster_slot_migration_output_buffer", "mem_cluster_slot_migration_input_buffer"]);
    r.zeroes(&["mem_cluster_slot_migration_input_buffer_peak", "mem_cluster_links"]);
    r.field("mem_aof_buffer", account.parts.log);
    r.field("mem_allocator", alloc::name());
    r.field("mem_overhead_db_hashtable_rehashing", 0);
    r.field("active_defrag_running", r.server.defrag.percent());
    r.field("lazyfree_pending_objects", r.server.background.pending());
    r.field("lazyfreed_objects", r.server.background.freed());
    let parts = account.parts;
    r.field("mem_clients_pubsub", parts.subscribers);
    r.field("mem_pubsub_subscriptions", parts.subscriptions);
    r.field("mem_watched_keys", parts.watched_keys);
    r.field("mem_awaited_keys", parts.awaited_keys);
    r.field("mem_tracking", parts.tracking);
    r.field("used_memory_hash_templates", parts.hash_templates);
    r.field("mem_live_queries", parts.live_queries);
    r.field("mem_messages", parts.messages);
    r.field("mem_snapshot_buffer", parts.snapshot);
    r.field("mem_timers", account.timers);
    r.field("mem_command_stats", parts.durations);
}

/// What the interpreters of scripts and functions take, and what they know.
fn scripts(r: &mut Report<'_>) {
    let scripting = &r.server.scripting;
    let (eval_bytes, functions_bytes) = (scripting.vm_bytes(Purpose::Scripts), scripting.vm_bytes(Purpose::Functions));
    let (cached, scripts_bytes) = (scripting.cache.len(), scripting.cache.heap_bytes());
    let (libraries, functions) = (scripting.libraries.len(), scripting.libraries.function_count());
    let libraries_bytes = scripting.libraries.heap_bytes();
    r.field("used_memory_lua", eval_bytes);
    r.field("used_memory_vm_eval", eval_bytes);
    r.field("used_memory_lua_human", human(eval_bytes as u64));
    r.field("used_memory_scripts_eval", scripts_bytes);
    r.field("number_of_cached_scripts", cached);
    r.field("number_of_functions", functions);
    r.field("number_of_libraries", libraries);
    r.field("used_memory_vm_functions", functions_bytes);
    r.size("used_memory_vm_total", eval_bytes + functions_bytes);
    r.field("used_memory_functions", libraries_bytes);
    r.size("used_memory_scripts", scripts_bytes + libraries_bytes);
}

/// How the layers of memory compare, from the allocator's allocations up to the process's pages.
fn ratios(r: &mut Report<'_>, account: &Account) {
    let Account { allocator, used, resident, .. } = account;
    for (name, kind, larger, smaller) in [
        ("allocator_frag", "", allocator.active, allocator.allocated),
        ("allocator_rss", "", allocator.resident, allocator.active),
        ("rss_overhead", "", *resident, allocator.resident),
        ("mem", "_fragmentation", *resident, *used),
    ] {
        r.field(format_args!("{name}{kind}_ratio"), format_args!("{:.2}", ratio(larger, smaller)));
        r.field(format_args!("{name}{kind}_bytes"), excess(larger, smaller));
    }
}

fn threads(r: &mut Report<'_>) {
    let stats = &r.server.stats;
    let line = format!("clients={},reads={},writes={}", r.server.clients.len(), stats.reads, stats.writes);
    r.field("io_thread_0", line);
}

pub(super) fn stats(r: &mut Report<'_>) {
    let dbs = || r.server.dbs.iter().map(|db| db.stats());
    let expired_elements: u64 = dbs().map(|db| db.expired_elements).sum();
    let (hits, misses, expired): (u64, u64, u64) =
        (dbs().map(|db| db.hits).sum(), dbs().map(|db| db.misses).sum(), dbs().map(|db| db.expired).sum());
    r.field("total_connections_received", r.server.stats.connections);
    r.field("total_commands_processed", r.server.stats.commands);
    r.field("instantaneous_ops_per_sec", r.server.stats.commands_rate.per_second());
    r.field("total_net_input_bytes", r.server.stats.net_in_bytes);
    r.field("total_net_output_bytes", r.server.stats.net_out_bytes);
    let counts = r.server.replication.counts;
    r.field("total_net_repl_input_bytes", r.server.bytes_from_primary());
    r.field("total_net_repl_output_bytes", counts.out_bytes);
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    r.field("instantaneous_input_kbps", kilobytes(r.server.stats.net_in_rate.per_second()));
    r.field("instantaneous_output_kbps", kilobytes(r.server.stats.net_out_rate.per_second()));
    r.field("instantaneous_input_repl_kbps", kilobytes(r.server.stats.net_primary_rate.per_second()));
    r.field("instantaneous_output_repl_kbps", kilobytes(r.server.stats.net_replica_rate.per_second()));
    r.field("rejected_connections", r.server.stats.rejected_connections);
    r.field("sync_full", counts.full);
    r.field("sync_partial_ok", counts.partial);
    r.field("sync_partial_err", counts.refused);
    r.field("expired_subkeys", expired_elements);
    r.field("expired_keys", expired);
    let stale = stale_percent(r.server, r.now.unix_ms);
    r.field("expired_stale_perc", format_args!("{stale:.2}"));
    r.field("expired_time_cap_reached_count", r.server.stats.expire_budgets_spent);
    let expire_ns = r.server.phases.durations_of(Phase::Expire).map_or(0, Durations::sum_ns);
    r.field("expire_cycle_cpu_milliseconds", expire_ns / 1_000_000);
    r.field("evicted_keys", r.server.stats.evicted_keys);
    r.field("evicted_clients", r.server.stats.evicted_clients);
    r.field("evicted_scripts", r.server.stats.evicted_scripts);
    let (total_ms, current_ms) = r.server.exceeded_ms();
    r.field("total_eviction_exceeded_time", total_ms);
    r.field("current_eviction_exceeded_time", current_ms);
    r.field("keyspace_hits", hits);
    r.field("keyspace_misses", misses);
    for (name, kind) in
        [("pubsub_channels", Kind::Channel), ("pubsub_patterns", Kind::Pattern), ("pubsubshard_channels", Kind::Shard)]
    {
        r.field(name, r.server.watchers.hub.topics(kind).len());
    }
    r.zeroes(&["latest_fork_usec", "total_forks"]);
    r.zeroes(&["migrate_cached_sockets", "slave_expires_tracked_keys"]);
    defragmentation(r);
    let caches = &r.server.watchers.caches;
    let (keys, items, prefixes) = (caches.keys.keys(), caches.keys.items(), caches.prefixes.len());
    r.field("tracking_total_keys", keys);
    r.field("tracking_total_items", items);
    r.field("tracking_total_prefixes", prefixes);
    let names = r.server.dbs.templates().counts();
    r.field("hash_templates", names.templates);
    r.field("hash_template_keys", names.hashes);
    r.field("unexpected_error_replies", r.server.stats.unexpected_errors);
    r.field("total_error_replies", r.server.stats.error_replies);
    r.field("dump_payload_sanitizations", 0);
    r.field("total_reads_processed", r.server.stats.reads);
    r.field("total_writes_processed", r.server.stats.writes);
    r.zeroes(&["io_threaded_reads_processed", "io_threaded_writes_processed", "io_threaded_total_prefetch_batches"]);
    r.field("io_threaded_total_prefetch_entries", 0);
    r.field("client_query_buffer_limit_disconnections", r.server.stats.query_limit_disconnections);
    r.field("client_output_buffer_limit_disconnections", r.server.stats.output_limit_disconnections);
    r.zeroes(&["reply_buffer_shrinks", "reply_buffer_expands"]);
    loop_stats(r);
    let slow = r.server.stats.slow;
    r.field("slowlog_commands_count", slow.count);
    r.field("slowlog_commands_time_ms_sum", milliseconds(slow.us));
    r.field("slowlog_commands_time_ms_max", milliseconds(slow.us_max));
    let denied = r.server.stats.denied;
    r.field("acl_access_denied_auth", denied.auth);
    r.field("acl_access_denied_cmd", denied.command);
    r.field("acl_access_denied_key", denied.key);
    r.field("acl_access_denied_channel", denied.channel);
    r.field("acl_access_denied_tls_cert", 0);
}

/// Microseconds as milliseconds with two decimals.
fn milliseconds(us: u64) -> String {
    format!("{:.2}", us as f64 / 1000.0)
}

fn loop_stats(r: &mut Report<'_>) {
    let stats = &r.server.stats;
    let turns_per_s = stats.turns_rate.per_second();
    let turn_ns = stats.turn_ns_rate.per_second().checked_div(turns_per_s).unwrap_or(0);
    let (turns, turns_ns, commands_ns, longest_ns) = (stats.turns, stats.turn_ns, stats.command_ns, stats.turn_ns_max);
    let (with_clients, events) = (stats.turns_with_clients, stats.client_events);
    let (batches, commands) = (stats.parsed_batches, stats.parsed_commands);
    r.field("eventloop_cycles", turns);
    r.field("eventloop_cycles_with_clients_processing", with_clients);
    r.field("total_client_processing_events", events);
    r.field("commands_per_parse_batch_sum", commands);
    r.field("commands_per_parse_batch_cnt", batches);
    let mean = commands as f64 / batches.max(1) as f64;
    r.field("commands_per_parse_batch_avg", format_args!("{mean:.2}"));
    r.field("eventloop_duration_sum", turns_ns / 1000);
    r.field("eventloop_duration_cmd_sum", commands_ns / 1000);
    r.field("instantaneous_eventloop_cycles_per_sec", turns_per_s);
    r.field("instantaneous_eventloop_duration_usec", turn_ns / 1000);
    r.field("turn_us_max", longest_ns / 1000);
}

pub(super) fn cpu(r: &mut Report<'_>) {
    let usage = limits::cpu_usage();
    let mut time = |name: &str, time: Duration| {
        r.field(name, format_args!("{}.{:06}", time.as_secs(), time.subsec_micros()));
    };
    time("used_cpu_sys", usage.process.system);
    time("used_cpu_user", usage.process.user);
    time("used_cpu_sys_children", usage.children.system);
    time("used_cpu_user_children", usage.children.user);
    time("used_cpu_sys_main_thread", usage.thread.system);
    time("used_cpu_user_main_thread", usage.thread.user);
}

/// Nothing without a session, as in Redis.
fn hotkeys(r: &mut Report<'_>) {
    let is_active = r.server.active_hotkeys(r.now).is_some();
    let Some(spent_ns) = r.server.hotkeys.as_ref().map(|hotkeys| hotkeys.spent_ns) else { return };
    r.field("hotkeys-tracking-active", u8::from(is_active));
    r.field("hotkeys-cmd-cpu-time", spent_ns / 1_000_000);
}

fn commandstats(r: &mut Report<'_>) {
    for command in command::all().iter().chain(command::derived()) {
        command_line(r, command);
        command.subcommands.iter().for_each(|sub| command_line(r, sub));
    }
}

fn command_line(r: &mut Report<'_>, command: &Command) {
    let counts = r.server.stats.by_command[command.id];
    if counts.calls + counts.rejected + counts.failed == 0 {
        return;
    }
    let usec = counts.ns / 1000;
    let mean = if counts.calls == 0 { 0.0 } else { usec as f64 / counts.calls as f64 };
    let mut line = format!(
        "calls={},usec={usec},usec_per_call={mean:.2},rejected_calls={},failed_calls={}",
        counts.calls, counts.rejected, counts.failed
    );
    if let Some(slow) = r.server.stats.slow_by_command.get(&command.id) {
        let (count, sum, max) = (slow.count, milliseconds(slow.us), milliseconds(slow.us_max));
        // Writing to a `String` cannot fail.
        let _ = write!(line, ",slowlog_count={count},slowlog_time_ms_sum={sum},slowlog_time_ms_max={max}");
    }
    r.field(format_args!("cmdstat_{}", command.full_name), line);
}

/// Percentiles of how long each command took, in microseconds.
fn latencystats(r: &mut Report<'_>) {
    if !r.server.config.latency_tracking {
        return;
    }
    r.server.settle_durations();
    for command in command::all().iter().chain(command::derived()) {
        latency_line(r, command);
        command.subcommands.iter().for_each(|sub| latency_line(r, sub));
    }
}

fn latency_line(r: &mut Report<'_>, command: &Command) {
    let Some(durations) = r.server.observer.durations_of(command) else { return };
    let percentiles = &r.server.config.latency_tracking_info_percentiles;
    let shown: Vec<String> = percentiles
        .iter()
        .map(|percent| format!("p{percent}={:.3}", durations.percentile_ns(*percent) as f64 / 1000.0))
        .collect();
    r.field(format_args!("latency_percentiles_usec_{}", command.full_name), shown.join(","));
}

fn errorstats(r: &mut Report<'_>) {
    let Report { server, text, .. } = r;
    for (code, count) in &server.stats.errors {
        // A code may hold anything; what would end the name or the line is replaced.
        let code: Vec<u8> = code.iter().map(|&b| if b"#:\n\r".contains(&b) { b'_' } else { b }).collect();
        write!(text, "errorstat_{}:count={count}\r\n", String::from_utf8_lossy(&code))
            .expect("a string takes any text");
    }
}

pub(super) fn cluster(r: &mut Report<'_>) {
    r.field("cluster_enabled", 0);
}

fn keyspace(r: &mut Report<'_>) {
    let unix_ms = r.now.unix_ms;
    let line = |db: &Db| {
        let mean_ms = TtlSample::take(db, unix_ms).mean_ms();
        format!("keys={},expires={},avg_ttl={mean_ms},subexpiry={}", db.len(), db.timed(), db.timed_collections())
    };
    let lines = r.server.dbs.with_keys().into_iter().map(|(number, db)| (number, line(db)));
    for (number, line) in lines.collect::<Vec<_>>() {
        r.field(format_args!("db{number}"), line);
    }
}

fn expiry(r: &mut Report<'_>) {
    let outlook = Outlook::take(r.server);
    expiry_of(r, &outlook);
}

/// How punctual the timers of keys are. What is due is counted or estimated as EXPIRY FORECAST does.
pub(super) fn expiry_of(r: &mut Report<'_>, outlook: &Outlook) {
    let now = r.now;
    let due = outlook.between(i64::MIN, now.unix_ms);
    let stats = &r.server.stats;
    let lags = stats.lags.summary(now.mono_ms() / 1000);
    let (behind_ms, per_s) = (stats.expire_behind_ms, stats.expired_rate.per_second());
    let (over_budget, jumps) = (stats.expire_budgets_spent, stats.clock_jumps);
    r.field("expiry_timed_keys", outlook.timed);
    r.field("expiry_due_keys", due.keys.round());
    r.field("expiry_due_bytes", due.bytes.round());
    // -1: there is none, or too much is due for a look at what comes after it.
    r.field("expiry_next_ms", outlook.next_in_ms(now).unwrap_or(-1));
    r.field("expiry_lag_keys", lags.keys);
    r.field("expiry_lag_p50_ms", lags.p50_ms);
    r.field("expiry_lag_p99_ms", lags.p99_ms);
    r.field("expiry_lag_max_ms", lags.max_ms);
    r.field("expiry_behind_ms", behind_ms);
    r.field("expiry_keys_per_sec", per_s);
    r.field("expiry_turns_over_budget", over_budget);
    r.field("expiry_clock_jumps", jumps);
}

/// What turns of the loop spent their time on, in microseconds (what every turn does is measured in some of them); the longest
/// turn, and what ran longest in it; long commands.
fn loop_phases(r: &mut Report<'_>) {
    for (phase, name) in Phase::ALL {
        let Some(durations) = r.server.phases.durations_of(phase) else { continue };
        let us = |ns: u64| ns as f64 / 1000.0;
        let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percent| us(durations.percentile_ns(percent)));
        let line = format!(
            "turns={},p50={p50:.3},p99={p99:.3},p99.9={p999:.3},max={:.3}",
            durations.count(),
            us(durations.max_ns())
        );
        r.field(format_args!("loop_{name}_usec"), line);
    }
    let stats = &r.server.stats;
    let (longest_ns, ran) = (stats.turn_ns_max, stats.turn_max_ran);
    let name = ran.command.map_or("none", |command| command.full_name.as_str());
    r.field(
        "loop_longest_turn",
        format_args!("usec={},command={name},command_usec={}", longest_ns / 1000, ran.ns / 1000),
    );
    let (jobs, counts) = (&r.server.jobs, r.server.jobs.counts);
    let (running, waiting) = (jobs.running.len(), jobs.waiting.len());
    r.field("jobs_running", running);
    r.field("jobs_clients_on_hold", waiting);
    r.field("jobs_begun", counts.begun);
    r.field("jobs_cancelled", counts.cancelled);
    r.field("jobs_finished_at_once", counts.rushed);
    r.field("jobs_commands_held_back", counts.held_back);
    r.field("jobs_slice_usec_max", counts.slice_ns_max / 1000);
    r.field("long_commands_whole", counts.whole);
}

/// How many keys have which size: the bytes of strings, the elements of collections, and the bytes of those if they are counted. Sizes
/// are the lower ends of powers of two.
fn keysizes(r: &mut Report<'_>) {
    // COMPAT: Redis does not count streams, and of strings no other bytes.
    const SIZES: [(Type, &str); 6] = [
        (Type::String, "strings_sizes"),
        (Type::List, "lists_items"),
        (Type::Set, "sets_items"),
        (Type::ZSet, "zsets_items"),
        (Type::Hash, "hashes_items"),
        (Type::Array, "arrays_items"),
    ];
    const BYTES: [(Type, &str); 5] = [
        (Type::List, "lists_sizes"),
        (Type::Set, "sets_sizes"),
        (Type::ZSet, "zsets_sizes"),
        (Type::Hash, "hashes_sizes"),
        (Type::Array, "arrays_sizes"),
    ];
    let tells_bytes = r.server.tells_byte_counts();
    let mut lines = Vec::new();
    for (number, db) in r.server.dbs.with_keys() {
        let sizes = SIZES.map(|(kind, name)| (name, db.sizes().of(kind)));
        let bytes = BYTES.map(|(kind, name)| (name, db.sizes().bytes_of(kind).filter(|_| tells_bytes)));
        for (name, powers) in sizes.into_iter().chain(bytes) {
            let counts = powers.into_iter().flatten().enumerate().filter(|(_, count)| **count > 0);
            let counts: Vec<String> = counts.map(|(power, count)| format!("{}={count}", lower_end(power))).collect();
            if !counts.is_empty() {
                lines.push((format!("db{number}_distrib_{name}"), counts.join(",")));
            }
        }
    }
    lines.into_iter().for_each(|(name, line)| r.field(name, line));
}

/// The least size that is counted with a power of two, as Redis writes it: 0, 1, 2, 4 ... 512, 1K.
fn lower_end(power: usize) -> String {
    let Some(log) = power.checked_sub(1) else { return "0".into() };
    format!("{}{}", 1 << (log % 10), ["", "K", "M", "G", "T", "P", "E"][log / 10])
}

/// Lines of each kind in Hotspots.
const HOTSPOTS: usize = 8;
/// Milliseconds of the span in which keys that expire are counted together.
const CROWD_MS: i64 = 1_000;
/// Watched keys, and queries of them, that are looked at for the most watched ones: some ms.
const WATCHES_COUNTED_MAX: usize = 16_384;

/// The keys that are asked for most, those that take the most memory, those that most queries' watchers depend on, and when most keys
/// expire.
fn hotspots(r: &mut Report<'_>) {
    let now = r.now;
    let busy = r.server.busy_keys.busiest(HOTSPOTS);
    let busy: Vec<String> =
        busy.iter().map(|(db, key, share)| format!("db={db},share={:.2}%,key={}", share * 100.0, shown(key))).collect();
    let big = r.server.big_keys(now);
    let big = big.iter().take(HOTSPOTS).map(|(big, kind)| {
        let (db, kind) = (r.server.dbs.number(big.place), kind.name());
        format!("db={db},type={kind},bytes={},key={}", big.bytes, shown(&big.key))
    });
    let big: Vec<String> = big.collect();
    let reactive = &r.server.watchers.reactive;
    let mut watched = reactive.watches_by_key(WATCHES_COUNTED_MAX);
    watched.sort_by(|a, b| b.2.cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    watched.truncate(HOTSPOTS);
    let watched: Vec<String> = watched
        .iter()
        .filter(|(.., watches)| *watches > 0)
        .map(|(place, key, watches)| format!("db={},watches={watches},key={}", r.server.dbs.number(*place), shown(key)))
        .collect();
    let crowds = Outlook::take(r.server).crowds(CROWD_MS, HOTSPOTS);
    let crowds: Vec<String> = crowds
        .iter()
        .map(|(end_ms, keys)| format!("in_ms={},keys={}", end_ms.saturating_sub(now.unix_ms), keys.round()))
        .collect();
    for (name, lines) in [("busy_key", busy), ("big_key", big), ("watched_key", watched), ("mass_expiry", crowds)] {
        for (index, line) in lines.iter().enumerate() {
            r.field(format_args!("{name}_{index}"), line);
        }
    }
}

/// A key in quotes, in one line.
fn shown(key: &[u8]) -> String {
    let mut text = Vec::new();
    quote::repr(&mut text, key);
    String::from_utf8_lossy(&text).into_owned()
}

/// Buckets and keys with a deadline that are looked at for the mean time to live.
const TTL_SAMPLE_BUCKETS: usize = 4096;
const TTL_SAMPLE_KEYS: usize = 256;

/// Some of the keys with a deadline: those at the beginning of the table, where keys lie in the order of their hashes, so
/// that they are as good as any. All of them in small databases.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TtlSample {
    /// Keys whose deadline is to come.
    live: usize,
    /// Keys whose deadline has passed, but which have not been collected yet.
    due: usize,
    /// Time to live of the live ones together.
    sum_ms: i128,
}

impl TtlSample {
    pub fn take(db: &Db, unix_ms: i64) -> TtlSample {
        let (mut sample, mut cursor) = (TtlSample::default(), 0);
        if db.timed() == 0 {
            return sample;
        }
        for _ in 0..TTL_SAMPLE_BUCKETS {
            cursor = db.table().scan(cursor, |entry| match entry.deadline_ms() {
                None => {}
                Some(deadline_ms) if deadline_ms <= unix_ms => sample.due += 1,
                Some(deadline_ms) => {
                    sample.live += 1;
                    sample.sum_ms += i128::from(deadline_ms) - i128::from(unix_ms);
                }
            });
            if cursor == 0 || sample.live + sample.due >= TTL_SAMPLE_KEYS {
                break;
            }
        }
        sample
    }

    pub fn mean_ms(self) -> i128 {
        self.sum_ms.checked_div(self.live as i128).unwrap_or(0)
    }
}

fn defragmentation(r: &mut Report<'_>) {
    let (counts, current_ms) = (r.server.defrag.counts, r.server.defrag.current_ms(r.now));
    r.field("active_defrag_hits", counts.hits);
    r.field("active_defrag_misses", counts.misses);
    r.field("active_defrag_key_hits", counts.keys.some);
    r.field("active_defrag_key_misses", counts.keys.none);
    r.field("total_active_defrag_time", counts.passes_ms + current_ms);
    r.field("current_active_defrag_time", current_ms);
}

/// What share of the keys with a deadline wait to be collected, in percent.
fn stale_percent(server: &Server, unix_ms: i64) -> f64 {
    let samples = || server.dbs.iter().map(|db| TtlSample::take(db, unix_ms));
    let (due, all) = samples().fold((0, 0), |(due, all), sample| (due + sample.due, all + sample.due + sample.live));
    100.0 * ratio(due, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_in_redis() {
        // Facts from a running Redis: 677.74K for 694008 and so on.
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (694_008, "677.74K"),
            (8_278_016, "7.89M"),
            (25_276_510_208, "23.54G"),
            (1 << 50, "1.00P"),
            (u64::MAX, "16384.00P"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
