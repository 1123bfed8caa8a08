//! Counters of the server, as INFO reports them.

use super::lag::Lags;
use crate::command::Command;

/// Counts of one command.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: u64,
    /// Nanoseconds spent in it.
    pub ns: u64,
    /// Times it was refused before it ran.
    pub rejected: u64,
    /// Times it ran and answered an error.
    pub failed: u64,
}

/// Samples of a counter that make a rate: Redis's 16 samples, one per 100 ms.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    last_count: u64,
    last_ms: u64,
    samples: [u64; 16],
    next: usize,
}

impl Rate {
    /// Takes a sample of a counter at a monotonic millisecond.
    pub fn sample(&mut self, count: u64, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.last_ms);
        let delta = count.saturating_sub(self.last_count);
        self.samples[self.next] = (delta * 1000).checked_div(elapsed_ms).unwrap_or(0);
        self.next = (self.next + 1) % self.samples.len();
        (self.last_count, self.last_ms) = (count, now_ms);
    }

    /// Mean of the samples, per second.
    pub fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / self.samples.len() as u64
    }
}

/// A command that ran, in one slice or as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// Which; `None` for none.
    pub command: Option<&'static Command>,
    /// Nanoseconds.
    pub ns: u64,
}

/// The server's counters.
#[derive(Debug, Default)]
pub struct Stats {
    /// Changes of data since the start (nothing is saved yet, so since the last save).
    pub dirty: u64,
    /// Commands run.
    pub commands: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Connections refused because of `maxclients` or protected mode.
    pub rejected_connections: u64,
    /// Bytes read from clients.
    pub net_in_bytes: u64,
    /// Bytes written to clients.
    pub net_out_bytes: u64,
    /// Times a client was disconnected because its input grew too long.
    pub query_limit_disconnections: u64,
    /// Times a client was disconnected because its output grew too long.
    pub output_limit_disconnections: u64,
    /// Error replies sent.
    pub error_replies: u64,
    /// Error replies to commands that nobody has sent, such as those of a log.
    pub unexpected_errors: u64,
    /// Error replies by code word.
    pub errors: std::collections::BTreeMap<Vec<u8>, u64>,
    /// Refusals by their reason.
    pub denied: Denials,
    /// Keys that had to go to free memory.
    pub evicted_keys: u64,
    /// Clients that were disconnected to free memory.
    pub evicted_clients: u64,
    /// Nanoseconds for which more memory was in use than allowed, until it last was not.
    pub eviction_exceeded_ns: u64,
    /// Scripts of EVAL that were forgotten for new ones.
    pub evicted_scripts: u64,
    /// Times input was read from a client.
    pub reads: u64,
    /// Times a client's input was looked through for commands.
    pub client_events: u64,
    /// Times at least one command was parsed.
    pub parsed_batches: u64,
    /// Commands that were parsed.
    pub parsed_commands: u64,
    /// Turns in which the input of any client was looked through.
    pub turns_with_clients: u64,
    /// `client_events` at the end of the last turn.
    client_events_before: u64,
    /// Times output was written to a client.
    pub writes: u64,
    /// Times expiry stopped at its budget with due keys left.
    pub expire_budgets_spent: u64,
    /// Keys expired per second.
    pub expired_rate: Rate,
    /// How late keys left in the last minute.
    pub lags: Lags,
    /// Milliseconds by which expiry was behind at its last turn; 0 while it keeps up.
    pub expire_behind_ms: u64,
    /// Times the wall clock was seen to jump.
    pub clock_jumps: u64,
    /// Turns of the loop.
    pub turns: u64,
    /// Nanoseconds the loop worked, waiting for events not counted.
    pub turn_ns: u64,
    /// Nanoseconds the loop spent in commands.
    pub command_ns: u64,
    /// The longest turn, in nanoseconds.
    pub turn_ns_max: u64,
    /// What ran longest in the longest turn.
    pub turn_max_ran: Ran,
    /// What has run longest in this turn.
    pub ran: Ran,
    /// Highest `used_memory` seen, in bytes.
    pub peak_allocated_bytes: usize,
    /// Unix second at which it was seen.
    pub peak_unix_s: i64,
    /// Commands per second.
    pub commands_rate: Rate,
    /// Input bytes per second.
    pub net_in_rate: Rate,
    /// Output bytes per second.
    pub net_out_rate: Rate,
    /// Bytes that came from the primary per second.
    pub net_primary_rate: Rate,
    /// Bytes sent to replicas per second.
    pub net_replica_rate: Rate,
    /// Turns per second.
    pub turns_rate: Rate,
    /// Nanoseconds worked per second.
    pub turn_ns_rate: Rate,
    /// Results of watched queries handed to their watchers' outputs.
    pub watch_frames: u64,
    /// Results that a slow reader was not sent, because a newer one of the same query had come.
    pub watch_frames_superseded: u64,
    /// Watches that went on from the version their client had.
    pub watch_resumed: u64,
    /// Watches whose client had a version from which they could not go on.
    pub watch_resumed_late: u64,
    /// Times a watched query was evaluated because of a change.
    pub watch_evaluations: u64,
    /// Counts by command id.
    pub by_command: Vec<CommandStats>,
    /// What was logged as slow.
    pub slow: SlowStats,
    /// The same by command id, of those of which any was.
    pub slow_by_command: std::collections::BTreeMap<usize, SlowStats>,
}

/// Commands that were logged as slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowStats {
    /// How many.
    pub count: u64,
    /// Microseconds that they took.
    pub us: u64,
    /// Microseconds that the slowest took.
    pub us_max: u64,
}

impl SlowStats {
    /// Counts one that took so long.
    fn add(&mut self, us: u64) {
        (self.count, self.us, self.us_max) = (self.count + 1, self.us + us, self.us_max.max(us));
    }
}

/// What was refused, how often.
#[derive(Clone, Copy, Debug, Default)]
pub struct Denials {
    /// Passwords.
    pub auth: u64,
    /// Commands.
    pub command: u64,
    /// Keys.
    pub key: u64,
    /// Channels.
    pub channel: u64,
}

/// Different error code words kept; beyond them errors are only counted in total, as in Redis.
const ERROR_CODES_MAX: usize = 128;

impl Stats {
    /// Counters at zero, for this many commands.
    pub fn new(commands: usize) -> Stats {
        Stats { by_command: vec![CommandStats::default(); commands], ..Stats::default() }
    }

    /// Notes that a command has run for so long.
    #[inline]
    pub fn note_ran(&mut self, command: &'static Command, ns: u64) {
        if ns > self.ran.ns {
            self.ran = Ran { command: Some(command), ns };
        }
    }

    /// A turn has ended that took so long.
    #[inline]
    pub fn note_turn(&mut self, took_ns: u64) {
        let ran = std::mem::take(&mut self.ran);
        if took_ns > self.turn_ns_max {
            (self.turn_ns_max, self.turn_max_ran) = (took_ns, ran);
        }
        self.turns += 1;
        self.turn_ns += took_ns;
        self.turns_with_clients += u64::from(self.client_events != self.client_events_before);
        self.client_events_before = self.client_events;
    }

    /// Notes that so many commands were parsed at once out of a client's input.
    #[inline]
    pub fn note_parsed(&mut self, commands: usize) {
        self.parsed_batches += u64::from(commands > 0);
        self.parsed_commands += commands as u64;
    }

    /// Counts a command that was logged as slow, and took so many microseconds.
    pub fn count_slow(&mut self, id: usize, us: u64) {
        self.slow.add(us);
        self.slow_by_command.entry(id).or_default().add(us);
    }

    /// CONFIG RESETSTAT: everything to zero but the number of changes and the peak of memory.
    pub fn reset(&mut self) {
        let Stats { dirty, peak_allocated_bytes, peak_unix_s, .. } = *self;
        *self = Stats { dirty, peak_allocated_bytes, peak_unix_s, ..Stats::new(self.by_command.len()) };
    }

    /// Notes how much memory is in use, for the peak.
    pub fn note_allocated(&mut self, bytes: usize, unix_s: i64) {
        if bytes > self.peak_allocated_bytes {
            (self.peak_allocated_bytes, self.peak_unix_s) = (bytes, unix_s);
        }
    }

    /// Counts an error reply by its code word.
    pub fn count_error(&mut self, code: &[u8]) {
        self.count_errors(code, 1);
    }

    /// Counts so many errors of a code word.
    pub fn count_errors(&mut self, code: &[u8], times: u64) {
        self.error_replies += times;
        if let Some(count) = self.errors.get_mut(code) {
            *count += times;
        } else if self.errors.len() < ERROR_CODES_MAX {
            self.errors.insert(code.to_vec(), times);
        }
    }
}
