//! What is noted of the commands that run: histograms of their durations, the slow log and those of large requests and replies,
//! latency events; and the clients of MONITOR, who are shown every command.
//!
//! # Commands that share their time
//! A look at the clock costs a tenth of a quick command, so quick commands of one name that follow each other have their time
//! taken together, whoever has sent them: those before the last are put into a row by [`Server::share_time`], and counted when the
//! clock is read for the last of them, all of them at the mean. A mean that is far above what this command usually takes tells of
//! one that was held up; then that one is counted, and logged, with what is left when the others have taken the usual time. Which
//! one it was cannot be known, and the last stands for it; a command with a long request or reply never lies before the last.
//!
//! # Commands that are estimated
//! A quick command that is the only one of its turn is timed in some turns ([`super::phases`]), and one that a script calls once in
//! `TIMED_EVERY`. In the others it is counted as taking what the last one took that was timed, unless its whole turn was slow
//! enough to be noted: then the clock is believed. One that was held up stands for itself alone.
//!
//! Nothing is shared or estimated while somebody wants each command by itself: MONITOR, HOTKEYS, a slow log for commands quicker than
//! `SHARED_NS_MIN`, or a log of requests or replies of less than [`SHARED_BYTES_MAX`].
//!
//! # Invariants
//! - `limits` follows from the settings, the clients of MONITOR and HOTKEYS: [`Server::renew_observation`] is called when one of
//!   these has changed.
//! - A client is in `monitors` exactly while its session's `is_monitor` is set.

use std::sync::Arc;

use super::Server;
use crate::base::{heap, quote};
use crate::command::Command;
use crate::command::spec::Flags;
use crate::config::Config;
use crate::feature::client_id::ClientId;
use crate::feature::command_log::{Bounds, CommandLog, Entry};
use crate::feature::durations::{Digits, Durations};
use crate::feature::latency::LatencyEvents;
use crate::resp::args::Args;
use crate::server::session::Origin;

/// Requests and replies of so many bytes end a row of commands that share their time: copying them would be most of it.
pub const SHARED_BYTES_MAX: usize = 4096;
/// Commands that end in no time whatever their keys hold, as long as they have few arguments.
pub const QUICK: Flags = Flags::FAST.with(Flags::BRIEF);
/// Arguments of a command that shares its time at most: each may be a member to look up.
pub const SHARED_ARGS_MAX: usize = 8;
/// Slow logs of commands quicker than this want each command's own time.
const SHARED_NS_MIN: u64 = 1_000_000;
/// A row whose mean is so many times the usual one has a command in it that was held up.
const HELD_UP_FACTOR: u64 = 4;
/// Quick commands that scripts call: from one that is timed to the next of the same name.
const TIMED_EVERY: u32 = 16;
/// What stands in the place of a secret.
const REDACTED: &[u8] = b"(redacted)";

/// A command that has run.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Whose command it is.
    pub client: ClientId,
    /// The command.
    pub command: &'static Command,
    /// Its arguments, the name included.
    pub args: Args<'a>,
    /// Bytes of its reply.
    pub reply_bytes: usize,
    /// MONITOR has shown it already, when it began to wait.
    pub is_shown: bool,
}

/// From when on something is more than a count.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// Nanoseconds of a command for the slow log or a latency event.
    ns: u64,
    /// Bytes of a request, and of a reply, that may have to be logged.
    bytes: usize,
    /// Bytes of a reply below which commands share their time; 0 while none do.
    shared_bytes: usize,
    /// Every command is looked at.
    all: bool,
}

/// A quick command that was timed last, and those of the same name since.
#[derive(Clone, Copy, Debug, Default)]
struct Estimate {
    /// Nanoseconds that it took; none was timed while this is 0.
    ns: u64,
    /// How many since are counted as taking the same, and are not in the histogram yet.
    since: u32,
}

/// Commands of one name that have run since the clock was read, and are not counted yet.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    /// Their id, where there are any.
    id: usize,
    /// How many they are.
    count: u64,
    /// How many of them the client has sent whose commands are run, and whose session does not count them yet.
    of_client: u64,
}

/// What is noted.
#[derive(Debug)]
pub struct Observer {
    /// Slow commands; amounts are microseconds.
    pub slow: CommandLog,
    /// Large requests, in bytes.
    pub requests: CommandLog,
    /// Large replies, in bytes.
    pub replies: CommandLog,
    /// Latency events.
    pub latency: LatencyEvents,
    /// By command id; of those that have run since they were last forgotten.
    durations: Vec<Option<Box<Durations>>>,
    /// Clients that are shown all commands.
    monitors: Vec<ClientId>,
    limits: Limits,
    /// By command id.
    estimates: Vec<Estimate>,
    row: Row,
    /// The time of the command that comes is taken together with what its turn did before it: it is the only one, and is to be
    /// estimated.
    is_rough: bool,
}

impl Observer {
    /// Bytes on the heap of the durations of commands. O(commands).
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.durations)
            + self.durations.iter().flatten().map(|durations| durations.heap_bytes()).sum::<usize>()
    }

    /// Nothing noted, for this many commands.
    pub fn new(config: &Config, commands: usize) -> Observer {
        let mut observer = Observer {
            slow: CommandLog::default(),
            requests: CommandLog::default(),
            replies: CommandLog::default(),
            latency: LatencyEvents::default(),
            durations: (0..commands).map(|_| None).collect(),
            monitors: Vec::new(),
            limits: Limits { ns: 0, bytes: 0, shared_bytes: 0, all: true },
            estimates: vec![Estimate::default(); commands],
            row: Row::default(),
            is_rough: false,
        };
        observer.renew(config, false);
        observer
    }

    fn renew(&mut self, config: &Config, counts_keys: bool) {
        let slow_ns = slow_us(config).map_or(u64::MAX, |us| us.saturating_mul(1000));
        let latency_ns = match config.latency_monitor_threshold {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        let request = logged_from(config.commandlog_request_larger_than, config.commandlog_large_request_max_len);
        let reply = logged_from(config.commandlog_reply_larger_than, config.commandlog_large_reply_max_len);
        let bytes = request.min(reply);
        let all = counts_keys || !self.monitors.is_empty();
        let each = all || slow_ns < SHARED_NS_MIN || bytes < SHARED_BYTES_MAX;
        let shared_bytes = if each { 0 } else { SHARED_BYTES_MAX };
        self.limits = Limits { ns: slow_ns.min(latency_ns), bytes, shared_bytes, all };
    }

    /// True if a command with so many bytes of reply may leave the clock to the next one, which is the same command.
    #[inline]
    pub fn may_share_time(&self, reply_bytes: usize) -> bool {
        reply_bytes < self.limits.shared_bytes
    }

    /// Has the next command, which is quick, estimated if one of its name was timed. False if it has to be timed.
    #[inline]
    pub fn estimate_next(&mut self, command: &Command) -> bool {
        self.is_rough = (self.estimates[command.id].ns > 0) & (self.limits.shared_bytes > 0);
        self.is_rough
    }

    /// True if the command that has run is to be estimated, as [`Observer::estimate_next`] said.
    #[inline]
    pub fn is_rough(&self) -> bool {
        self.is_rough
    }

    /// The next command is not to be estimated.
    #[inline]
    pub fn time_next(&mut self) {
        self.is_rough = false;
    }

    /// Counts a quick command that a script calls as taking what the last one took that was timed, and tells the nanoseconds. None
    /// if it has to be timed.
    #[inline]
    pub fn estimate_scripted(&mut self, command: &Command) -> Option<u64> {
        let estimate = &mut self.estimates[command.id];
        if estimate.ns == 0 || estimate.since + 1 >= TIMED_EVERY || self.limits.shared_bytes == 0 {
            return None;
        }
        estimate.since += 1;
        Some(estimate.ns)
    }

    /// True while a row has begun and its last command has not run.
    #[inline]
    pub fn is_in_row(&self) -> bool {
        self.row.count > 0
    }

    /// True if a command that took so long, with so many bytes of request and reply, is to be shown to [`Server::observe`].
    #[inline]
    pub fn is_wanted(&self, took_ns: u64, bytes: usize) -> bool {
        took_ns >= self.limits.ns || bytes >= self.limits.bytes || self.limits.all
    }

    /// True while a client sees all commands.
    #[inline]
    pub fn has_monitors(&self) -> bool {
        !self.monitors.is_empty()
    }

    /// The histogram of a command, if it has run.
    pub fn durations_of(&self, command: &Command) -> Option<&Durations> {
        self.durations[command.id].as_deref()
    }

    /// Forgets the histograms.
    pub fn reset_durations(&mut self) {
        self.estimates.fill(Estimate::default());
        self.durations.iter_mut().for_each(|durations| *durations = None);
    }

    #[inline]
    fn record(&mut self, id: usize, ns: u64, times: u64) {
        let durations = self.durations[id].get_or_insert_with(|| Box::new(Durations::new(Digits::Two)));
        durations.record(ns, times);
    }
}

/// Microseconds from which on commands are logged as slow, if they are.
fn slow_us(config: &Config) -> Option<u64> {
    u64::try_from(config.slowlog_log_slower_than).ok().filter(|_| config.slowlog_max_len > 0)
}

/// Bytes from which on something is logged as large.
fn logged_from(larger_than: i64, entries_max: usize) -> usize {
    usize::try_from(larger_than).ok().filter(|_| entries_max > 0).unwrap_or(usize::MAX)
}

/// Bytes of a request as the protocol writes it.
pub(super) fn request_bytes(args: Args<'_>) -> usize {
    let head = |n: usize| 1 + n.checked_ilog10().unwrap_or(0) as usize + 1 + 2;
    head(args.len()) + args.iter_from(0).map(|arg| head(arg.len()) + arg.len() + 2).sum::<usize>()
}

impl Server {
    /// To be called when a setting has changed, or who is shown all commands, or a session of HOTKEYS begins or ends.
    pub fn renew_observation(&mut self) {
        let counts_keys = self.hotkeys.as_ref().is_some_and(|hotkeys| !hotkeys.has_ended());
        self.observer.renew(&self.config, counts_keys);
    }

    /// Puts a command that leaves the clock to the next one into the row that is counted with that.
    #[inline]
    pub fn share_time(&mut self, command: &Command) {
        if self.observer.row.id != command.id {
            self.end_row_early();
            self.observer.row.id = command.id;
        }
        self.observer.row.count += 1;
        self.observer.row.of_client += 1;
    }

    /// Adds a command to its histogram that has run, so many nanoseconds after the clock was last read, and counts those it shares
    /// them with. Returns the nanoseconds of this one.
    #[inline]
    pub fn note_duration(&mut self, command: &Command, took_ns: u64) -> u64 {
        if self.observer.row.count > 0 {
            return self.end_row(command, took_ns);
        }
        self.note_timed(command, took_ns);
        took_ns
    }

    /// Counts a command that [`Observer::is_rough`], and moves `time_ns` to the time at which it ended. False, and nothing is counted,
    /// if its turn was so slow that it has to be counted as the clock says.
    #[inline]
    pub fn count_estimated(&mut self, client: ClientId, command: &Command, time_ns: &mut u64) -> bool {
        let ended_ns = self.clock.mono_ns();
        let took_ns = ended_ns.saturating_sub(*time_ns);
        let Observer { estimates, limits, .. } = &mut self.observer;
        let estimate = &mut estimates[command.id];
        if took_ns >= limits.ns || estimate.since == u32::MAX {
            return false;
        }
        *time_ns = ended_ns;
        estimate.since += 1;
        self.clients[client].commands += 1;
        self.stats.commands += 1;
        self.stats.command_ns += took_ns;
        let counts = &mut self.stats.by_command[command.id];
        counts.calls += 1;
        counts.ns += estimate.ns;
        true
    }

    /// Adds a command to its histogram that was timed, and those before it that it stands for.
    #[inline]
    fn note_timed(&mut self, command: &Command, ns: u64) {
        let estimate = &mut self.observer.estimates[command.id];
        let before = *estimate;
        let is_held_up = before.ns > 0 && ns / HELD_UP_FACTOR > before.ns;
        *estimate = Estimate { ns: if is_held_up { before.ns * HELD_UP_FACTOR } else { ns.max(1) }, since: 0 };
        if self.config.latency_tracking {
            if before.since > 0 {
                self.observer.record(command.id, before.ns, before.since.into());
            }
            self.observer.record(command.id, ns, 1);
        }
    }

    /// Counts the commands of a row for the client that has sent them: another's may follow.
    #[inline]
    pub fn count_in_row(&mut self, client: ClientId) {
        let of_client = std::mem::take(&mut self.observer.row.of_client);
        if of_client > 0 {
            self.clients[client].commands += of_client;
        }
    }

    /// Adds a command to its histogram that a script has called. One that is quick stands for the next ones.
    pub fn note_scripted(&mut self, command: &Command, took_ns: u64, is_quick: bool) {
        if is_quick {
            self.note_timed(command, took_ns);
        } else if self.config.latency_tracking {
            self.observer.record(command.id, took_ns, 1);
        }
    }

    /// Adds all commands to their histograms that were estimated and are not there yet: to be called before these are read.
    /// O(commands).
    pub fn settle_durations(&mut self) {
        for id in 0..self.observer.estimates.len() {
            let estimate = &mut self.observer.estimates[id];
            let (ns, since) = (estimate.ns, std::mem::take(&mut estimate.since));
            if since > 0 && self.config.latency_tracking {
                self.observer.record(id, ns, since.into());
            }
        }
    }

    /// Counts the commands of a row but its last, which took so long together with it, and adds all to the histogram. Returns the
    /// nanoseconds of the last.
    fn end_row(&mut self, command: &Command, took_ns: u64) -> u64 {
        if self.observer.row.id != command.id {
            // One that was to follow does not run.
            self.end_row_early();
            self.note_timed(command, took_ns);
            return took_ns;
        }
        let before = std::mem::take(&mut self.observer.row.count);
        let usual_ns = self.usual_ns(command.id).unwrap_or(u64::MAX);
        let mean_ns = took_ns / (before + 1);
        if mean_ns / HELD_UP_FACTOR > usual_ns {
            let own_ns = took_ns - usual_ns * before;
            self.count_row(command.id, before, usual_ns, before);
            self.note_timed(command, own_ns);
            return own_ns;
        }
        self.count_row(command.id, before, mean_ns, before + 1);
        took_ns - mean_ns * before
    }

    /// Nanoseconds that a command takes on average, if it has run.
    fn usual_ns(&self, id: usize) -> Option<u64> {
        let counts = self.stats.by_command[id];
        counts.ns.checked_div(counts.calls)
    }

    /// Counts commands that took so long each, and adds some to the histogram.
    fn count_row(&mut self, id: usize, count: u64, each_ns: u64, recorded: u64) {
        self.stats.commands += count;
        let counts = &mut self.stats.by_command[id];
        counts.calls += count;
        counts.ns += each_ns * count;
        if self.config.latency_tracking {
            self.observer.record(id, each_ns, recorded);
        }
    }

    /// Counts the commands of a row, if there is one, whose last does not come to run: as what they usually take.
    #[cold]
    pub fn end_row_early(&mut self) {
        let Row { id, count, .. } = self.observer.row;
        if std::mem::take(&mut self.observer.row.count) > 0 {
            let each_ns = self.usual_ns(id).unwrap_or(0);
            self.count_row(id, count, each_ns, count);
        }
    }

    /// Looks at a command that [`Observer::is_wanted`]: logs it, notes a latency event, shows it to the clients of MONITOR.
    #[cold]
    pub fn observe(&mut self, seen: Seen<'_>, took_ns: u64) {
        let Seen { command, args, reply_bytes, .. } = seen;
        let flags = command.spec.flags;
        let took_us = took_ns / 1000;
        if !flags.has(Flags::SKIP_SLOWLOG) && slow_us(&self.config).is_some_and(|slow_us| took_us >= slow_us) {
            let entry = self.log_entry(seen, took_us);
            self.observer.slow.push(entry, self.config.slowlog_max_len);
            self.stats.count_slow(command.id, took_us);
        }
        let config = &self.config;
        let (request, reply) = (
            logged_from(config.commandlog_request_larger_than, config.commandlog_large_request_max_len),
            logged_from(config.commandlog_reply_larger_than, config.commandlog_large_reply_max_len),
        );
        if request < usize::MAX && !flags.has(Flags::SKIP_SLOWLOG) && request_bytes(args) >= request {
            let entry = self.log_entry(seen, request_bytes(args) as u64);
            self.observer.requests.push(entry, self.config.commandlog_large_request_max_len);
        }
        if reply_bytes >= reply && !flags.has(Flags::SKIP_SLOWLOG) {
            let entry = self.log_entry(seen, reply_bytes as u64);
            self.observer.replies.push(entry, self.config.commandlog_large_reply_max_len);
        }
        self.note_latency(if flags.has(Flags::FAST) { "fast-command" } else { "command" }, took_ns);
        self.count_hot_keys(seen, took_ns);
        if !seen.is_shown {
            self.show_to_monitors(seen);
        }
    }

    /// Notes an event that took so many nanoseconds, if that is as long as `latency-monitor-threshold` asks.
    #[inline]
    pub fn note_latency(&mut self, event: &'static str, took_ns: u64) {
        let (took_ms, threshold_ms) = (took_ns / 1_000_000, self.config.latency_monitor_threshold);
        if threshold_ms > 0 && took_ms >= threshold_ms {
            let unix_s = self.clock.now().unix_s();
            self.observer.latency.add(event, took_ms, unix_s);
        }
    }

    fn log_entry(&self, seen: Seen<'_>, amount: u64) -> Entry {
        let Config { slowlog_entry_max_argc, slowlog_entry_max_string_len, .. } = self.config;
        let bounds = Bounds { args: slowlog_entry_max_argc, arg_bytes: slowlog_entry_max_string_len };
        let session = &self.clients[seen.client];
        let shown = shown_args(seen.command, seen.args);
        Entry {
            id: 0,
            unix_s: self.clock.now().unix_s(),
            amount,
            args: bounds.keep(shown.into_iter()),
            args_count: seen.args.len(),
            peer: session.peer.clone(),
            name: session.name.clone(),
        }
    }

    /// Makes a client one of those that are shown all commands. False if it is one already.
    pub fn monitor(&mut self, client: ClientId) -> bool {
        if std::mem::replace(&mut self.clients[client].is_monitor, true) {
            return false;
        }
        self.observer.monitors.push(client);
        self.renew_observation();
        true
    }

    /// Shows a client no more commands. O(clients that are shown commands) if it is one of them.
    #[inline]
    pub fn end_monitor(&mut self, client: ClientId) {
        if std::mem::take(&mut self.clients[client].is_monitor) {
            self.observer.monitors.retain(|monitor| *monitor != client);
            self.renew_observation();
        }
    }

    /// Shows a command that has run, or has begun to wait, to the clients of MONITOR: `1339518083.107412 [0 127.0.0.1:60866]
    /// "GET" "key"`. O(bytes of the command + such clients).
    // COMPAT: what only administrators may send is not shown, and secrets are not either.
    #[cold]
    pub fn show_to_monitors(&mut self, seen: Seen<'_>) {
        if !seen.command.spec.flags.has(Flags::ADMIN.with(Flags::SKIP_MONITOR)) {
            self.post_to_monitors(seen);
        }
    }

    /// Shows a command that runs a script, before it runs: those of the script follow it.
    #[cold]
    pub fn show_script(&mut self, client: ClientId, command: &'static Command, args: Args<'_>) {
        if command.spec.flags.has(Flags::RUNS_SCRIPT) {
            self.post_to_monitors(Seen { client, command, args, reply_bytes: 0, is_shown: false });
        }
    }

    fn post_to_monitors(&mut self, seen: Seen<'_>) {
        if self.observer.monitors.is_empty() {
            return;
        }
        let session = &self.clients[seen.client];
        let (unix_us, db) = (self.clock.unix_us(), self.dbs.number(session.db));
        let (kind, peer) = match session.origin {
            Origin::Unix => ("unix:", session.peer.trim_end_matches(":0")),
            // Only scripts run commands in a session without a client.
            Origin::Internal => ("", "lua"),
            Origin::Loopback | Origin::Remote => ("", &*session.peer),
        };
        let (s, us) = (unix_us.div_euclid(1_000_000), unix_us.rem_euclid(1_000_000));
        let mut text = format!("+{s}.{us:06} [{db} {kind}{peer}]").into_bytes();
        for arg in shown_args(seen.command, seen.args) {
            text.push(b' ');
            quote::repr(&mut text, arg);
        }
        text.extend_from_slice(b"\r\n");
        let limit_bytes = self.config.monitor_output_limit;
        self.outbox.post_to(&mut self.clients, limit_bytes, &self.observer.monitors, Arc::new(text));
    }

    /// Panics if what is known in two places does not agree. O(clients).
    pub(super) fn check_observer(&self) {
        let monitors = self.clients.iter().filter(|(_, session)| session.is_monitor).count();
        assert_eq!(monitors, self.observer.monitors.len(), "clients that are shown all commands");
        assert!(self.observer.monitors.iter().all(|client| self.clients[*client].is_monitor));
    }
}

/// The arguments of a command as people may see them.
fn shown_args<'a>(command: &Command, args: Args<'a>) -> Vec<&'a [u8]> {
    let mut shown: Vec<&[u8]> = args.iter_from(0).collect();
    if let Some(secrets) = command.spec.secrets {
        for index in secrets(args) {
            shown[index] = REDACTED;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::args::OwnedArgs;

    #[test]
    fn requests_are_measured_as_they_are_written() {
        for words in [vec!["PING"], vec!["SET", "k", "0123456789"], vec!["SET", "", &"x".repeat(1000)]] {
            let mut text = format!("*{}\r\n", words.len());
            words.iter().for_each(|word| text.push_str(&format!("${}\r\n{word}\r\n", word.len())));
            let args = OwnedArgs::new(words.iter().map(|word| word.as_bytes()));
            assert_eq!(request_bytes(args.as_args()), text.len(), "{words:?}");
        }
    }
}
