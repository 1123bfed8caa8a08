//! INFO's section Replication: the role, the link to the primary, the replicas, the history and what is kept of its stream.

use std::fmt::Write;

use super::sections::Report;
use crate::server::replication::failover::Stage;
use crate::server::replication::following::{Following, LinkState};

pub(super) fn replication(r: &mut Report<'_>) {
    match &r.server.replication.following {
        None => r.field("role", "master"),
        Some(following) => {
            let heard_ms =
                following.link.and_then(|link| r.server.clients.get(link)).map_or(0, |session| session.active_ms);
            let lines = link_lines(following, heard_ms, r.now.mono_ms(), r.server.replication.history.offset);
            r.field("role", "slave");
            lines.into_iter().for_each(|(name, value)| r.field(name, value));
            let config = &r.server.config;
            let (priority, read_only, announced) =
                (config.replica_priority, config.replica_read_only, config.replica_announced);
            r.field("slave_priority", priority);
            r.field("slave_read_only", u8::from(read_only));
            r.field("replica_announced", u8::from(announced));
        }
    }
    replicas(r);
    let state = match r.server.replication.failover.as_ref().map(|failover| failover.stage) {
        None => "no-failover",
        Some(Stage::WaitingForSync) => "waiting-for-sync",
        Some(Stage::InProgress) => "failover-in-progress",
    };
    r.field("master_failover_state", state);
    let history = r.server.replication.history.clone();
    r.field("master_replid", history.id);
    let (former, upto) = history.former.map_or(("0".repeat(40), -1), |former| (former.id, former.upto as i64));
    r.field("master_replid2", former);
    r.field("master_repl_offset", history.offset);
    r.field("second_repl_offset", upto);
    let backlog = &r.server.replication.backlog;
    let is_active = u8::from(backlog.is_some());
    let (first, len) = backlog.as_ref().map_or((0, 0), |backlog| (backlog.first(), backlog.len()));
    r.field("repl_backlog_active", is_active);
    r.field("repl_backlog_size", r.server.config.repl_backlog_size);
    r.field("repl_backlog_first_byte_offset", first);
    r.field("repl_backlog_histlen", len);
}

/// What is told of the link to the primary.
fn link_lines(following: &Following, heard_ms: u64, now_ms: u64, offset: u64) -> Vec<(&'static str, String)> {
    let is_up = following.state == LinkState::Connected;
    let is_sync = following.state == LinkState::Sync;
    let seconds_since = |then_ms: u64| now_ms.saturating_sub(then_ms) / 1000;
    let silent_s = if is_up { seconds_since(heard_ms) as i64 } else { -1 };
    let mut lines = vec![
        ("master_host", following.primary.host.clone()),
        ("master_port", following.primary.port.to_string()),
        ("master_link_status", String::from(if is_up { "up" } else { "down" })),
        ("master_last_io_seconds_ago", silent_s.to_string()),
        ("master_sync_in_progress", u8::from(is_sync).to_string()),
        ("slave_read_repl_offset", offset.to_string()),
        ("slave_repl_offset", offset.to_string()),
        // The stream is never gathered beside a data set that comes in.
        ("replica_full_sync_buffer_size", String::from("0")),
        ("replica_full_sync_buffer_peak", String::from("0")),
    ];
    if is_sync {
        let (total, read) = following.sync_bytes();
        let total = total.unwrap_or(0);
        let percent = if total == 0 { 0.0 } else { 100.0 * read as f64 / total as f64 };
        lines.extend([
            ("master_sync_total_bytes", total.to_string()),
            ("master_sync_read_bytes", read.to_string()),
            ("master_sync_left_bytes", total.saturating_sub(read).to_string()),
            ("master_sync_perc", format!("{percent:.2}")),
            ("master_sync_last_io_seconds_ago", seconds_since(heard_ms).to_string()),
        ]);
    }
    let times = &following.times;
    let since = if times.is_up { "master_link_up_since_seconds" } else { "master_link_down_since_seconds" };
    lines.extend([
        ("master_current_sync_attempts", times.attempts.to_string()),
        ("master_total_sync_attempts", times.attempts_total.to_string()),
        (since, if times.was_up { seconds_since(times.since_ms).to_string() } else { String::from("-1") }),
        ("total_disconnect_time_sec", (times.down_total_ms(now_ms) / 1000).to_string()),
    ]);
    lines
}

fn replicas(r: &mut Report<'_>) {
    let now_ms = r.now.mono_ms();
    let server = &*r.server;
    let mut lines = Vec::new();
    for (client, replica) in server.replicas() {
        let mut line = format!("ip={},port={}", server.replica_host(client), replica.port);
        let lag_s = if replica.is_synchronised() { replica.lag_s(now_ms) } else { 0 };
        // Writing to a `String` cannot fail.
        let _ = write!(line, ",state={},offset={},lag={lag_s}", replica.state_name(), replica.acked);
        lines.push(line);
    }
    let (is_limited, good) = (
        server.config.min_replicas_to_write > 0 && server.config.min_replicas_max_lag > 0,
        server.good_replicas(r.now),
    );
    r.field("connected_slaves", lines.len());
    if is_limited {
        r.field("min_slaves_good_slaves", good);
    }
    lines.into_iter().enumerate().for_each(|(at, line)| r.field(format_args!("slave{at}"), line));
}
