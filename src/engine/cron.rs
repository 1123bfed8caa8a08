//! What happens by the clock rather than by request: expiry within a budget, and the periodic housekeeping of `hz`.
//!
//! # What expiry costs a turn
//! Due keys are removed in chunks of `CHUNK_KEYS`, and the clock is read after each. A turn stops at the end of its slice
//! of time and the next one goes on there, without sleeping in between: `SLICE_NS` while keys leave on time,
//! growing to `SLICE_NS_MAX` as the lag does. A turn serves clients for half a millisecond at most, so expiry gets a
//! third of a busy server at first and half of it later, which is more than clients can spend on setting deadlines: it
//! always catches up. What a client waits longer for its reply because of expiry is one slice and one chunk. Timers that
//! nobody needs any more are freed in the same slices.
//!
//! # What expiry costs an idle server
//! The loop sleeps until the next tick of any database's wheel: the deadline of a key that is due in this revolution (17.5
//! minutes), or the end of a stretch of 128 ms in which keys of later ones are looked at.

use super::links;
use super::persistence::snapshot::look_at_save_points;
use super::persistence::start;
use super::purge::{self, Purging};
use crate::base::clock::Now;
use crate::server::Server;
use crate::server::background::Completion;
use crate::sys::alloc;
use crate::timer::Progress;

/// Keys removed between two looks at the clock: some 20 us, at worst (nothing cached, segments merging) a few times that.
const CHUNK_KEYS: usize = 64;
/// Bytes of their values that are published meanwhile at most, where that was asked for.
const CHUNK_VALUE_BYTES: usize = 256 << 10;
/// Nanoseconds of expiry in one turn while it keeps up.
const SLICE_NS: u64 = 200_000;
/// Nanoseconds of expiry in one turn when it is [`LAG_MS_MAX`] late.
const SLICE_NS_MAX: u64 = 450_000;
/// The lag at which the slice has grown to its full length.
const LAG_MS_MAX: u64 = 100;
/// Keys removed in one turn at most, should the clock stand still.
const KEYS_PER_TURN_MAX: usize = 8192;
/// Milliseconds between two samples of the rates, and between two looks at unused memory.
const SAMPLE_MS: u64 = purge::LOOK_MS;
/// The wall clock has jumped when it strays further than this from the monotonic clock between two turns.
const JUMP_MS: i64 = 1000;

/// Keys of a chunk, where values of so many bytes at most are published.
fn chunk_keys(value_bytes_max: usize) -> usize {
    let fit = CHUNK_VALUE_BYTES.checked_div(value_bytes_max).unwrap_or(CHUNK_KEYS);
    fit.clamp(1, CHUNK_KEYS)
}

/// CLIENT PAUSE promises that the data stands still, so nothing expires while it lasts; nor while a log is loaded, which says
/// itself what went; nor while a script is parked, for which time stands still; nor in import mode. A replica is told by its primary.
fn may_expire(server: &Server, now: Now) -> bool {
    server.active_expire
        && !server.replication.is_following()
        && !server.is_loading()
        && !server.scripting.is_parked()
        && !server.is_paused(true, now)
        && !server.config.import_mode
}

/// A time in which no key falls due, unless data changes or the wall clock goes back.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    /// `Stats::dirty` when it began.
    changes: u64,
    /// How many jobs had ended by then: keys that they held may be due.
    jobs_ended: u64,
    /// Unix time in milliseconds at which it began.
    since_ms: i64,
    /// Unix time in milliseconds at which it ends.
    until_ms: i64,
}

impl Quiet {
    fn covers(self, server: &Server, now: Now) -> bool {
        self.changes == server.stats.dirty
            && self.jobs_ended == server.jobs.ended
            && (self.since_ms..self.until_ms).contains(&now.unix_ms)
    }
}

/// The clock-driven work of one server, with its own memory of what is due.
#[derive(Debug)]
pub struct Cron {
    sampled_ms: u64,
    /// What is known of the time ahead, so that most turns need not ask every database.
    quiet: Option<Quiet>,
    purging: Purging,
    keys_per_turn_max: usize,
    /// Which of the databases with deadlines comes first: the one where the last turn stopped.
    first_db: usize,
    /// Milliseconds from the monotonic clock to the wall clock in the last turn.
    wall_ahead_ms: Option<i64>,
    /// Where the wall clock last jumped to. Keys that were skipped fell due then, not before.
    jumped_to_ms: i64,
}

impl Default for Cron {
    fn default() -> Cron {
        Cron::with_keys_per_turn(KEYS_PER_TURN_MAX)
    }
}

impl Cron {
    /// A cron that removes so many keys in one turn at most: for tests, whose clock may stand still.
    pub fn with_keys_per_turn(keys: usize) -> Cron {
        Cron {
            sampled_ms: 0,
            quiet: None,
            purging: Purging::default(),
            keys_per_turn_max: keys,
            first_db: 0,
            wall_ahead_ms: None,
            jumped_to_ms: i64::MIN,
        }
    }

    /// Removes due keys, within a budget that keeps the turn short. Returns true if work is left.
    pub fn expire(&mut self, server: &mut Server, now: Now) -> bool {
        self.notice_jump(server, now);
        if !may_expire(server, now) {
            server.jobs.note_expiry(false);
            return false;
        }
        if self.quiet.is_some_and(|quiet| quiet.covers(server, now)) {
            return false;
        }
        if server.dbs.timed().is_empty() {
            let (changes, jobs_ended) = (server.stats.dirty, server.jobs.ended);
            self.quiet = Some(Quiet { changes, jobs_ended, since_ms: now.unix_ms, until_ms: i64::MAX });
            server.stats.expire_behind_ms = 0;
            server.jobs.note_expiry(false);
            return false;
        }
        let (mut keys_left, mut ends_ns, mut checked_ns) = (self.keys_per_turn_max, None, now.mono_ns);
        let slice_ns = slice_ns(server.stats.expire_behind_ms);
        let chunk_keys = chunk_keys(server.dbs.noting().value_bytes_max);
        let count = server.dbs.timed().len();
        // Round by round, a chunk of each database that has any.
        let (mut turn, mut idle, mut behind_ms) = (if self.first_db < count { self.first_db } else { 0 }, 0, 0);
        while idle < count {
            let index = server.dbs.timed()[turn] as usize;
            // Not by division: this runs in every turn in which anything was written.
            turn = if turn + 1 == count { 0 } else { turn + 1 };
            let mut budget = chunk_keys.min(keys_left);
            let chunk = budget;
            let progress = self.expire_chunk(server, index, now, checked_ns, &mut budget);
            if server.dbs.noting().leaving() {
                server.report_due(index);
            }
            keys_left -= chunk - budget;
            if progress.done {
                idle += 1;
                continue;
            }
            (idle, behind_ms) = (0, progress.lag_ms);
            checked_ns = server.clock.mono_ns();
            // The first chunk is free: most turns have no more, and then never ask the clock.
            let ends_ns = *ends_ns.get_or_insert(checked_ns + slice_ns);
            if checked_ns >= ends_ns || keys_left == 0 {
                self.first_db = turn;
                break;
            }
        }
        server.pass_on_due();
        let behind = idle < count;
        server.jobs.note_expiry(behind);
        self.quiet = (!behind).then(|| Quiet {
            changes: server.stats.dirty,
            jobs_ended: server.jobs.ended,
            since_ms: now.unix_ms,
            until_ms: server.dbs.next_tick_ms().unwrap_or(i64::MAX),
        });
        server.stats.expire_behind_ms = if behind { behind_ms } else { 0 };
        server.stats.expire_budgets_spent += u64::from(behind);
        behind
    }

    fn expire_chunk(
        &self,
        server: &mut Server,
        index: usize,
        now: Now,
        checked_ns: u64,
        budget: &mut usize,
    ) -> Progress {
        let Server { dbs, stats, .. } = server;
        // The turn's time decides what is due; how late it is goes by the clock.
        let passed_ms = (checked_ns.saturating_sub(now.mono_ns) / 1_000_000) as i64;
        let (left_ms, now_s) = (now.unix_ms + passed_ms, checked_ns / 1_000_000_000);
        let fields_before = dbs[index].stats().expired_elements;
        let progress = dbs[index].expire(now.unix_ms, budget, |entry| {
            let due_ms = entry.deadline_ms().map_or(left_ms, |deadline_ms| deadline_ms.max(self.jumped_to_ms));
            stats.lags.record(left_ms.saturating_sub(due_ms).max(0) as u64, now_s);
            stats.dirty += 1;
        });
        stats.dirty += dbs[index].stats().expired_elements - fields_before;
        server.clear_garbage(index);
        progress
    }

    /// Notices a wall clock that was set. Forward, what is due expires as soon as the budgets allow; backward, keys that
    /// are gone stay gone, and those that are there wait until the clock has come to their deadlines.
    fn notice_jump(&mut self, server: &mut Server, now: Now) {
        let ahead_ms = now.unix_ms.saturating_sub(now.mono_ms() as i64);
        let jump_ms = self.wall_ahead_ms.replace(ahead_ms).map_or(0, |before_ms| ahead_ms.saturating_sub(before_ms));
        if now.unix_ms < self.jumped_to_ms {
            self.jumped_to_ms = i64::MIN;
        }
        if jump_ms.abs() > JUMP_MS {
            self.note_jump(server, now, jump_ms);
        }
    }

    #[cold]
    fn note_jump(&mut self, server: &mut Server, now: Now, jump_ms: i64) {
        server.stats.clock_jumps += 1;
        if jump_ms > 0 {
            self.jumped_to_ms = now.unix_ms;
            log::warn!("The wall clock jumped forward by {jump_ms} ms: keys due in between expire now");
        } else {
            log::warn!("The wall clock went back by {} ms: keys live that much longer", -jump_ms);
        }
    }

    /// Acts on what jobs in the background have done, and does the periodic housekeeping when it is time. Returns the monotonic
    /// millisecond at which it wants to be called again.
    pub fn run(&mut self, server: &mut Server, now: Now) -> u64 {
        while let Some((job, completion)) = server.background.next_completion() {
            match completion {
                Completion::Purged(outcome) => self.purging.completed(job, outcome),
                Completion::Snapshot(done) => server.note_snapshot(done),
                Completion::Backup(done) => server.note_backup(job, done, now),
                Completion::Adopted(outcome) => start::adopted(server, outcome),
            }
        }
        let now_ms = now.mono_ms();
        if now_ms >= self.sampled_ms + SAMPLE_MS {
            let passed_ms = now_ms - std::mem::replace(&mut self.sampled_ms, now_ms);
            server.dbs.forget_untimed();
            let expired = server.dbs.expired();
            let from_primary = server.bytes_from_primary();
            let stats = &mut server.stats;
            stats.expired_rate.sample(expired, now_ms);
            stats.commands_rate.sample(stats.commands, now_ms);
            stats.net_in_rate.sample(stats.net_in_bytes, now_ms);
            stats.net_out_rate.sample(stats.net_out_bytes, now_ms);
            stats.net_primary_rate.sample(from_primary, now_ms);
            stats.net_replica_rate.sample(server.replication.counts.out_bytes, now_ms);
            stats.turns_rate.sample(stats.turns, now_ms);
            stats.turn_ns_rate.sample(stats.turn_ns, now_ms);
            stats.note_allocated(alloc::allocated_bytes(), now.unix_s());
            server.forget_left_queries(now);
            server.busy_keys.fade(now_ms);
            if !server.is_loading() && !server.scripting.is_parked() {
                server.walk_census(now, passed_ms);
            }
            look_at_save_points(server, now);
            server.expire_backup(now);
            self.purging.look(&mut server.background, now_ms);
        }
        server.defragment(now);
        server.renew_keys(now);
        self.sampled_ms + SAMPLE_MS
    }

    /// The monotonic millisecond of the next timer of any kind: a key's deadline, a client's timeout, or the end of the time
    /// for which a query's changes are gathered.
    pub fn next_due_ms(&self, server: &Server, now: Now) -> Option<u64> {
        let keys = match self.quiet.filter(|quiet| quiet.covers(server, now)) {
            _ if !may_expire(server, now) => None,
            Some(quiet) => (quiet.until_ms < i64::MAX).then_some(quiet.until_ms),
            None => server.dbs.next_tick_ms(),
        };
        let keys = keys.map(|tick| now.mono_ms() + (tick - now.unix_ms).max(0) as u64);
        let clients = server.clients.timers.next_tick().map(|tick| tick.max(0) as u64);
        let queries = server.watchers.reactive.next_due_ms();
        let log = server.persistence.log.next_due_ms();
        let defrag = server.defrag.next_due_ms();
        let (links, renewal) = (links::next_due_ms(server, now.mono_ms()), server.renewal_due_ms());
        keys.into_iter().chain(clients).chain(queries).chain(log).chain(defrag).chain(links).chain(renewal).min()
    }
}

/// Nanoseconds of expiry in a turn, at this lag.
fn slice_ns(lag_ms: u64) -> u64 {
    SLICE_NS + (SLICE_NS_MAX - SLICE_NS) * lag_ms.min(LAG_MS_MAX) / LAG_MS_MAX
}
