//! What happens by the clock rather than by request: expiry within a budget, and the periodic housekeeping of `hz`.

use crate::base::clock::Now;
use crate::config::EventClass;
use crate::server::Server;
use crate::sys::alloc;

/// Keys looked at per turn while expiry keeps up: about 0.2 ms of work.
const EXPIRE_BUDGET: usize = 512;
/// Milliseconds between two samples of the rates.
const SAMPLE_MS: u64 = 100;

/// CLIENT PAUSE promises that the data stands still, so nothing expires while it lasts.
fn may_expire(server: &Server, now: Now) -> bool {
    server.active_expire && !server.is_paused(true, now)
}

/// The clock-driven work of one server, with its own memory of what is due.
#[derive(Debug, Default)]
pub struct Cron {
    sampled_ms: u64,
}

impl Cron {
    /// Removes due keys, within a budget that keeps the turn short. Returns true if work is left.
    pub fn expire(&mut self, server: &mut Server, now: Now) -> bool {
        if !may_expire(server, now) {
            return false;
        }
        let mut budget = EXPIRE_BUDGET;
        let Server { dbs, background, stats, .. } = server;
        let mut done = true;
        for db in dbs.iter_mut() {
            let progress = db.expire(now.unix_ms, &mut budget, |entry| {
                stats.dirty += 1;
                if entry.is_costly_to_free() {
                    background.free(Box::new(entry));
                }
            });
            done &= progress.done;
        }
        stats.expire_budgets_spent += u64::from(!done);
        if server.config.notify_keyspace_events.has(EventClass::Expired) {
            (0..server.dbs.len()).for_each(|db| server.report(db));
        }
        !done
    }

    /// Periodic housekeeping. Returns the monotonic millisecond at which it wants to be called again.
    pub fn run(&mut self, server: &mut Server, now: Now) -> u64 {
        let now_ms = now.mono_ms();
        if now_ms >= self.sampled_ms + SAMPLE_MS {
            self.sampled_ms = now_ms;
            let stats = &mut server.stats;
            stats.commands_rate.sample(stats.commands, now_ms);
            stats.net_in_rate.sample(stats.net_in_bytes, now_ms);
            stats.net_out_rate.sample(stats.net_out_bytes, now_ms);
            stats.turns_rate.sample(stats.turns, now_ms);
            stats.turn_ns_rate.sample(stats.turn_ns, now_ms);
            stats.note_allocated(alloc::allocated_bytes(), now.unix_s());
        }
        self.sampled_ms + SAMPLE_MS
    }

    /// The monotonic millisecond of the next timer of any kind: a key's deadline or a client's timeout.
    pub fn next_due_ms(&self, server: &Server, now: Now) -> Option<u64> {
        let keys = server.dbs.iter().filter(|_| may_expire(server, now)).filter_map(|db| db.next_tick_ms()).min();
        let keys = keys.map(|tick| now.mono_ms() + (tick - now.unix_ms).max(0) as u64);
        let clients = server.client_timers.next_tick().map(|tick| tick.max(0) as u64);
        keys.into_iter().chain(clients).min()
    }
}
