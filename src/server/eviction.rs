//! Keys that go because memory is short: how much of it is in use, which key goes next, and what follows from that.
//!
//! # What counts
//! What the allocator has handed out, less what is only on its way to the disk (the log's buffers), less what the helper thread
//! has been given to free. The sizes of such values are estimated when they are handed over.
//!
//! # Which key goes
//! What is due goes first, whatever the policy. For recency, frequency and modification samples are shown by the databases
//! (`store::evict`), and the best candidates of all samples so far are kept: `CANDIDATES_MAX` of them, more than Redis's 16,
//! and one that was accessed since it was seen is passed over. So keys go very nearly in the order in which an exact list
//! would have them go, though only `maxmemory-samples` are looked at for each. `volatile-ttl` is exact (`store::nearest`).
//!
//! For frequency the count is Redis's, and OBJECT FREQ shows it. It falls with the minutes, which is nothing to a cache that turns
//! over within seconds: what was popular once would keep everything else out for ever. So for the choice it also falls with
//! the pace at which keys go (see `HALF_LIFE_TURNOVERS`; the idea is that of LRFU, Lee et al. 2001), which leaves a
//! popularity that lasts as good as it was. Of keys that count alike, the one goes that was used longest ago.
//!
//! Keys that BLESS has named stay, whatever the policy; where all that could go are such, memory is as short as with `noeviction`.
//!
//! # When
//! Before a command, while more is in use than allowed: `KEYS_PER_COMMAND` keys in any case, so that writers pay for what they
//! write, and more until the turn's time for it is over (`maxmemory-eviction-tenacity`). Then at the end of every turn, without
//! sleeping in between, until enough has gone. Commands that need memory are refused when there is no key that may go, or when
//! more than `behind_bytes` too much is in use.
//!
//! Each key that goes is a deletion to everybody: watchers, live queries, caches, clients that wait, the log, subscribers
//! of `evicted`.

use super::Server;
use super::databases::Databases;
use crate::base::clock::Now;
use crate::config::{EventClass, MemoryPolicy};
use crate::persist::rdb::slices;
use crate::store::access::{AccessClock, Counting, Stamp, log2_of_accesses};
use crate::store::db::Moment;
use crate::store::entry::Entry;
use crate::store::evict::FirstDue;
use crate::store::hash::KeyHasher;
use crate::sys::alloc;

/// Candidates that are kept: half as many again as Redis keeps. All of them are gone through for each that joins them, so 64 cost a
/// tenth of what a write at the limit takes, and hardly miss less.
const CANDIDATES_MAX: usize = 24;

/// Keys that go before one command at least, if so many have to.
const KEYS_PER_COMMAND: usize = 16;

/// Keys after which the clock is read again.
const KEYS_PER_LOOK: usize = 16;

/// Samples that show no key at all before the clock is read again.
const VAIN_SAMPLES_MAX: usize = 64;

/// Keys in a row that were accessed meanwhile, or have to stay, after which it is left for later.
const VAIN_MAX: usize = 512;

/// Due keys that leave at a time before a live one goes.
const DUE_PER_LOOK: usize = 64;

/// Writes are refused when this much more than the limit is in use: a sixteenth of it, and `BEHIND_BYTES_MIN` at least.
/// Until then they go on, and eviction goes on behind them.
const BEHIND_SHARE: u64 = 16;
/// The least of it.
const BEHIND_BYTES_MIN: u64 = 8 << 20;

/// Nanoseconds of eviction in a turn for each step of a tenacity up to 10.
const TENACITY_NS: u64 = 50_000;

/// Keys that go before the pace is taken again.
const KEYS_PER_PACE: u32 = 4096;

/// Turnovers after which a key that was not accessed counts for half, down to what it had with its second access, and those
/// after which it has lost that as well. Simulated on Zipf, scanned and shifting traces: what was popular once goes, and what
/// was asked for twice still stays before what a scan brings in.
const HALF_LIFE_TURNOVERS: u64 = 1;
const LAST_HALF_LIFE_TURNOVERS: u64 = 64;

/// The binary logarithm of what a key has with its second access, in units of 2^-16.
const ACCESSED_TWICE: i64 = 1 << 16;

/// How much may be in use beyond a limit of so many bytes before writes are refused, where keys can go.
pub fn behind_bytes(limit: u64) -> u64 {
    (limit / BEHIND_SHARE).max(BEHIND_BYTES_MIN)
}

/// Nanoseconds of eviction in a turn at most, as Redis has them; `None` for no end.
fn tenacity_ns(tenacity: u32) -> Option<u64> {
    match tenacity {
        0..=10 => Some(u64::from(tenacity) * TENACITY_NS),
        11..=99 => Some((10.0 * TENACITY_NS as f64 * 1.15_f64.powi(tenacity as i32 - 10)) as u64),
        _ => None,
    }
}

/// How it is measured what is in use.
#[derive(Clone, Copy, Debug, Default)]
pub enum Gauge {
    /// By the allocator's books.
    #[default]
    Allocator,
    /// By what somebody counts who wants to get the same every time: for tests and simulations.
    Counted(fn(&Databases) -> usize),
}

/// A key that may go.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    /// The less, the sooner it goes.
    rank: i64,
    /// Its hash.
    hash: u64,
    /// The place of its database.
    place: u32,
    /// Another one tells that it was accessed since.
    stamp: Stamp,
}

/// What is known of keys that may go.
#[derive(Debug, Default)]
pub struct Eviction {
    /// How it is measured what is in use.
    pub gauge: Gauge,
    /// By rank, the first to go last.
    candidates: Vec<Candidate>,
    /// Keys that samples have shown beyond those asked for: the buckets of a table are looked at as wholes. They count for the keys
    /// that go next.
    surplus: usize,
    /// The policy that they were ranked by.
    ranked_by: Option<MemoryPolicy>,
    /// The database that is sampled next.
    place: usize,
    /// How fast keys go.
    pace: Pace,
    /// When the time for it in this turn is over, once it has begun; monotonic nanoseconds.
    ends_ns: Option<u64>,
    /// Keys went, and what follows from that has not been seen to.
    has_evicted: bool,
    /// Commands that need memory are refused.
    refuses: bool,
    /// Since when too much is in use, in monotonic nanoseconds.
    exceeded_since_ns: Option<u64>,
}

/// How fast keys go: in a *turnover* as many of them as there are.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    /// Keys that have gone since the pace was last taken.
    gone: u32,
    /// When that was, in monotonic nanoseconds.
    since_ns: u64,
    /// Milliseconds of a turnover; 0 as long as it is not known.
    turnover_ms: u64,
}

impl Pace {
    /// The binary logarithm of the accesses that a key counts for that was not accessed for so long, in units of 2^-16.
    fn faded(self, accesses: i64, idle_ms: u64) -> i64 {
        if self.turnover_ms == 0 {
            // Enough to tell keys apart that count alike.
            return accesses - (idle_ms >> 10).min(1 << 15) as i64;
        }
        let half_life_ms = self.turnover_ms * HALF_LIFE_TURNOVERS;
        let upper = (accesses - ACCESSED_TWICE).max(0);
        let lost = (idle_ms.min(1 << 40) << 16) / half_life_ms;
        if lost < upper as u64 {
            return accesses - lost as i64;
        }
        let left_ms = idle_ms - ((upper as u64 * half_life_ms) >> 16).min(idle_ms);
        let last = (left_ms.min(1 << 40) << 16) / (self.turnover_ms * LAST_HALF_LIFE_TURNOVERS);
        accesses - upper - last.min(64 << 16) as i64
    }

    /// One more key goes, of so many.
    fn count(&mut self, now: Now, keys: impl FnOnce() -> usize) {
        self.gone += 1;
        if self.gone >= KEYS_PER_PACE {
            let took_ms = now.mono_ns.saturating_sub(self.since_ns) / 1_000_000;
            self.turnover_ms = took_ms.saturating_mul(keys() as u64) / u64::from(KEYS_PER_PACE);
            (self.gone, self.since_ns) = (0, now.mono_ns);
        }
    }
}

impl Eviction {
    /// True if keys went, and what follows from that has not been seen to.
    #[inline]
    pub fn has_evicted(&self) -> bool {
        self.has_evicted
    }

    /// What follows from keys that went has been seen to.
    pub fn note_settled(&mut self) {
        self.has_evicted = false;
    }
}

/// What came of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is enough, or nothing may go now.
    Enough,
    /// There will be: keys can go, but the time for it is over.
    Behind,
    /// There is none: no key may go.
    None,
}

/// Where a key is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Key { place: usize, hash: u64, stamp: Option<Stamp> },
    Unknown,
    None,
}

impl Server {
    /// Bytes in use, as they are held against `maxmemory`. O(1).
    pub fn memory_in_use(&self) -> usize {
        match self.eviction.gauge {
            Gauge::Allocator => alloc::allocated_bytes()
                .saturating_sub(self.uncounted_bytes())
                .saturating_sub(self.background.pending_bytes()),
            Gauge::Counted(count) => count(&self.dbs),
        }
    }

    /// Bytes that are in use for a while only, as they are on their way to the disk or to replicas: what INFO calls
    /// `mem_not_counted_for_evict`.
    pub fn uncounted_bytes(&self) -> usize {
        let kept = self.config.repl_backlog_size as usize;
        let stream = self.replication.backlog_heap_bytes().saturating_sub(kept);
        // Of a snapshot several share the bytes.
        let outputs = self.replication.replicas.iter().map(|client| self.clients[*client].buffers.out_heap_bytes);
        let persistence = &self.persistence;
        let kept = self.propagation.heap_bytes() + persistence.log.heap_bytes() + persistence.backup.heap_bytes();
        kept + stream + outputs.max().unwrap_or(0)
    }

    /// True if more is in use than `maxmemory`. Where it is not, which is nearly always, four loads.
    #[inline]
    fn is_over_limit(&self) -> bool {
        let limit = self.config.maxmemory.bytes;
        let may_be = match self.eviction.gauge {
            // What is deducted is of interest only where there is too much.
            Gauge::Allocator => alloc::allocated_bytes() as u64 > limit,
            Gauge::Counted(_) => true,
        };
        limit != 0 && may_be && self.memory_in_use() as u64 > limit
    }

    /// True if memory was short when the last command came: commands that need more are refused.
    #[inline]
    pub fn is_short_of_memory(&self) -> bool {
        self.config.maxmemory.bytes != 0 && self.eviction.refuses
    }

    /// Makes room before a command, where there is a limit. True if one that needs memory is to be refused.
    #[inline]
    pub fn is_out_of_memory(&mut self, now: Now) -> bool {
        if self.is_over_limit() || self.eviction.exceeded_since_ns.is_some() {
            self.make_room_for_command(now);
        }
        self.eviction.refuses
    }

    #[cold]
    fn make_room_for_command(&mut self, now: Now) {
        let room = self.make_room(now, KEYS_PER_COMMAND);
        let limit = self.config.maxmemory.bytes;
        self.eviction.refuses = match room {
            Room::Enough => false,
            Room::Behind => self.memory_in_use() as u64 > limit.saturating_add(behind_bytes(limit)),
            Room::None => true,
        };
    }

    /// A turn's part of the keys that have to go. True if there is more to do at once.
    #[inline]
    pub fn evict_in_turn(&mut self, now: Now) -> bool {
        // The commands of the turn are over, and their time for it with them.
        self.eviction.ends_ns = None;
        if self.config.maxmemory.bytes == 0 {
            self.eviction.refuses = false;
            return false;
        }
        if !self.is_over_limit() && self.eviction.exceeded_since_ns.is_none() {
            return false;
        }
        let room = self.make_room(now, 1);
        self.eviction.ends_ns = None;
        room == Room::Behind
    }

    /// Makes room while a dump file is loaded that holds more than is allowed, instead of failing. What a log holds stays until all
    /// of it was read: the next command may add to any key.
    pub fn make_room_for_loaded(&mut self, now: Now) {
        if self.replication.is_following() && self.config.replica_ignore_maxmemory {
            return;
        }
        let mut vain = 0;
        while self.is_over_limit() && vain < VAIN_MAX {
            let Victim::Key { place, hash, stamp } = self.next_victim(now) else { break };
            vain = if self.evict_key(place, hash, stamp, now) { 0 } else { vain + 1 };
        }
    }

    /// True if keys may go now: a replica is told what goes, CLIENT PAUSE promises that the data stands still, a script that is parked
    /// has it as it is, and what is being loaded is not whole.
    fn may_evict(&self, now: Now) -> bool {
        let is_told = self.replication.is_following() && self.config.replica_ignore_maxmemory;
        !is_told
            && !self.is_loading()
            && !self.scripting.is_parked()
            && !self.is_paused(true, now)
            && !self.config.import_mode
    }

    /// True if a key has to stay, whatever the policy says: somebody is in the midst of its value.
    fn must_stay(&self, place: usize, entry: &Entry) -> bool {
        let db = &self.dbs[place];
        // To be kept by the snapshot before it goes, it would take too long.
        db.is_held(entry.key()) || (db.is_unsaved(entry) && slices::is_large(entry))
    }

    /// Lets keys go until there is room: `least` of them, and more until the turn's time for it is over.
    fn make_room(&mut self, now: Now, least: usize) -> Room {
        let started_ns = (self.config.latency_monitor_threshold > 0).then(|| self.clock.mono_ns());
        let room = self.free_memory(now, least);
        if let Some(started_ns) = started_ns {
            self.note_latency("eviction-cycle", self.clock.mono_ns().saturating_sub(started_ns));
        }
        if room == Room::Enough {
            self.eviction.refuses = false;
            if let Some(since_ns) = self.eviction.exceeded_since_ns.take() {
                self.stats.eviction_exceeded_ns += self.clock.mono_ns().saturating_sub(since_ns);
            }
        } else if self.eviction.exceeded_since_ns.is_none() {
            self.eviction.exceeded_since_ns = Some(self.clock.mono_ns());
        }
        room
    }

    fn free_memory(&mut self, now: Now, least: usize) -> Room {
        if !self.is_over_limit() || !self.may_evict(now) {
            return Room::Enough;
        }
        if self.config.maxmemory_policy == MemoryPolicy::NoEviction {
            return Room::None;
        }
        let (mut gone, mut looks, mut vain, mut has_due) = (0, 0, 0, true);
        loop {
            let mut may_stop = gone >= least;
            let due = if has_due { self.expire_for_room(now) } else { 0 };
            (has_due, gone) = (due > 0, gone + due);
            if !has_due {
                match self.next_victim(now) {
                    Victim::Key { place, hash, stamp } => match self.evict_key(place, hash, stamp, now) {
                        true => (gone, vain) = (gone + 1, 0),
                        // The one that is to go has to stay for now.
                        false if stamp.is_none() => return Room::Behind,
                        false => vain += 1,
                    },
                    // To find one out takes as long as to let many go.
                    Victim::Unknown => (looks, may_stop) = (looks + KEYS_PER_LOOK, true),
                    Victim::None => return Room::None,
                }
            }
            if !self.is_over_limit() {
                return Room::Enough;
            }
            if vain >= VAIN_MAX {
                return Room::Behind;
            }
            looks += 1;
            if may_stop && looks >= KEYS_PER_LOOK {
                looks = 0;
                if self.is_eviction_time_over() {
                    return Room::Behind;
                }
            }
        }
    }

    /// True if keys have had to go in this turn for as long as they may keep it busy. The first look begins that time.
    fn is_eviction_time_over(&mut self) -> bool {
        let Some(for_ns) = tenacity_ns(self.config.maxmemory_eviction_tenacity) else { return false };
        let now_ns = self.clock.mono_ns();
        let ends_ns = *self.eviction.ends_ns.get_or_insert_with(|| now_ns.saturating_add(for_ns));
        now_ns >= ends_ns
    }

    /// Takes out some keys that are due, which go before any live one. How many.
    fn expire_for_room(&mut self, now: Now) -> usize {
        if !self.active_expire || self.dbs.next_tick_ms().is_none_or(|tick_ms| tick_ms > now.unix_ms) {
            return 0;
        }
        let mut gone = 0;
        for at in 0..self.dbs.timed().len() {
            let place = self.dbs.timed()[at] as usize;
            self.dbs[place].expire(now.unix_ms, &mut { DUE_PER_LOOK }, |_| gone += 1);
            self.clear_garbage(place);
            if self.dbs.noting().leaving() {
                self.report_due(place);
                self.pass_on_due();
            }
        }
        self.stats.dirty += gone as u64;
        gone
    }

    /// Which key goes next, by the policy.
    fn next_victim(&mut self, now: Now) -> Victim {
        let policy = self.config.maxmemory_policy;
        if self.eviction.ranked_by != Some(policy) {
            self.eviction.candidates.clear();
            self.eviction.surplus = 0;
            self.eviction.ranked_by = Some(policy);
        }
        match policy {
            MemoryPolicy::NoEviction => Victim::None,
            MemoryPolicy::VolatileTtl => self.first_due(),
            MemoryPolicy::AllkeysRandom | MemoryPolicy::VolatileRandom => self.draw(policy.is_volatile()),
            _ => self.best_candidate(policy, now),
        }
    }

    fn first_due(&mut self) -> Victim {
        let mut first: Option<(i64, usize, u64)> = None;
        for place in self.dbs.places() {
            match self.dbs[place].first_due() {
                FirstDue::Unknown => return Victim::Unknown,
                FirstDue::Key { hash, deadline_ms } if first.is_none_or(|(ms, ..)| deadline_ms < ms) => {
                    first = Some((deadline_ms, place, hash));
                }
                FirstDue::Key { .. } | FirstDue::None => {}
            }
        }
        first.map_or(Victim::None, |(_, place, hash)| Victim::Key { place, hash, stamp: None })
    }

    fn draw(&mut self, is_volatile: bool) -> Victim {
        for _ in 0..VAIN_SAMPLES_MAX {
            let Some(place) = self.next_place(is_volatile) else { return Victim::None };
            if let Some((hash, stamp)) = self.dbs[place].draw_key(is_volatile, &mut self.prng) {
                return Victim::Key { place, hash, stamp: Some(stamp) };
            }
        }
        Victim::Unknown
    }

    /// The next database that has keys which may go, in turn; `None` if there is none. O(databases made) at worst, O(1) where they
    /// have keys.
    fn next_place(&mut self, is_volatile: bool) -> Option<usize> {
        let Server { dbs, eviction, .. } = self;
        let count = dbs.places().len();
        let places = (eviction.place..count).chain(0..eviction.place.min(count));
        let found = places.into_iter().find(|&place| {
            let db = &dbs[place];
            db.may_evict(is_volatile)
        });
        eviction.place = found.map_or(0, |place| place + 1);
        found
    }

    /// Looks at some more keys, and takes the best of those that are known.
    fn best_candidate(&mut self, policy: MemoryPolicy, now: Now) -> Victim {
        let (clock, counting) = (AccessClock::at(now), self.counting());
        for _ in 0..VAIN_SAMPLES_MAX {
            let Some(place) = self.next_place(policy.is_volatile()) else { return Victim::None };
            let Server { dbs, eviction, prng, config, .. } = self;
            let Eviction { candidates, pace, surplus, .. } = eviction;
            let asked = config.maxmemory_samples;
            let mut shown = 0;
            let mut show = |entry: &Entry, hasher: KeyHasher| {
                shown += 1;
                let stamp = entry.stamp();
                let rank = match policy.is_frequency() {
                    true => {
                        let accesses = log2_of_accesses(clock.count(stamp, counting), counting);
                        pace.faded(accesses, clock.idle_ms(stamp))
                    }
                    false => clock.accessed_ns(stamp),
                };
                if candidates.len() >= CANDIDATES_MAX && candidates[0].rank <= rank {
                    return;
                }
                let hash = hasher.hash(entry.key());
                candidates.retain(|other| (other.hash, other.place) != (hash, place as u32));
                if candidates.len() >= CANDIDATES_MAX {
                    candidates.remove(0);
                }
                let at = candidates.partition_point(|other| other.rank > rank);
                candidates.insert(at, Candidate { rank, hash, place: place as u32, stamp });
            };
            if *surplus < asked {
                dbs[place].sample(policy.is_volatile(), asked - *surplus, prng, &mut show);
            }
            *surplus = (*surplus + shown).saturating_sub(asked);
            if let Some(best) = eviction.candidates.pop() {
                return Victim::Key { place: best.place as usize, hash: best.hash, stamp: Some(best.stamp) };
            }
        }
        Victim::Unknown
    }

    /// Lets a key go, unless it has gone, was accessed since it was seen, or has to stay. True if it went.
    fn evict_key(&mut self, place: usize, hash: u64, stamp: Option<Stamp>, now: Now) -> bool {
        let started_ns = if self.config.latency_monitor_threshold > 0 { self.clock.mono_ns() } else { 0 };
        let is_volatile = self.config.maxmemory_policy.is_volatile();
        let stays = |server: &Server, entry: &Entry| {
            stamp.is_some_and(|stamp| entry.stamp() != stamp)
                || (is_volatile && entry.deadline_ms().is_none())
                || entry.is_blessed()
                || server.must_stay(place, entry)
        };
        if place >= self.dbs.places().len() || self.dbs[place].peek_hashed(hash).is_none_or(|entry| stays(self, &entry))
        {
            return false;
        }
        let Some(entry) = self.dbs[place].evict(hash) else { return false };
        self.stats.dirty += 1;
        self.stats.evicted_keys += 1;
        self.eviction.has_evicted = true;
        let Server { dbs, eviction, .. } = self;
        eviction.pace.count(now, || dbs.iter().map(|db| db.len()).sum());
        let key = entry.key();
        self.touch(place, key, &Moment::new(now, false).with_hash(key, hash));
        self.notify(EventClass::Evicted, "evicted", place, key);
        let name: &[u8] = if self.config.lazyfree_lazy_eviction { b"UNLINK" } else { b"DEL" };
        self.propagate_apart(place, [name, key]);
        self.discard(entry);
        if started_ns > 0 {
            self.note_latency("eviction-del", self.clock.mono_ns().saturating_sub(started_ns));
        }
        true
    }

    /// Milliseconds for which too much has been in use so far, and those up to now since it last began.
    pub fn exceeded_ms(&self) -> (u64, u64) {
        let since_ns = self.eviction.exceeded_since_ns;
        let current_ns = since_ns.map_or(0, |since_ns| self.clock.mono_ns().saturating_sub(since_ns));
        ((self.stats.eviction_exceeded_ns + current_ns) / 1_000_000, current_ns / 1_000_000)
    }

    /// How accesses are counted, where they are.
    pub fn counting(&self) -> Counting {
        Counting { log_factor: self.config.lfu_log_factor, decay_minutes: self.config.lfu_decay_time }
    }

    /// What a key that is new now is stamped with.
    pub fn fresh_stamp(&self, now: Now) -> Stamp {
        let clock = AccessClock::at(now);
        if self.config.maxmemory_policy.is_frequency() { clock.first_counted() } else { clock.accessed() }
    }

    /// The stamp of a key of which a file or a client tells how long it was idle or how often it was used; `None` if nothing is told
    /// that the policy asks for.
    pub fn stamp_of(&self, idle_s: Option<u64>, frequency: Option<u8>, now: Now) -> Option<Stamp> {
        let clock = AccessClock::at(now);
        match self.config.maxmemory_policy.is_frequency() {
            true => frequency.map(|count| clock.with_count(count)),
            false => idle_s.map(|seconds| clock.idle_for(seconds)),
        }
    }

    /// Brings about what the settings of memory ask for, at the start and after CONFIG SET. O(clients), and O(databases made) if
    /// that makes a difference.
    pub fn renew_eviction(&mut self) {
        let (counting, is_ordered) = (self.counting(), self.config.maxmemory_policy == MemoryPolicy::VolatileTtl);
        self.dbs.set_usage(counting, is_ordered);
        self.recount_clients();
    }

    /// Warns of a limit that is below what is in use already; to be called when one was set.
    pub fn warn_of_low_limit(&self) {
        let (limit, used) = (self.config.maxmemory.bytes, self.memory_in_use());
        if limit != 0 && used as u64 > limit {
            log::warn!(
                "WARNING: the new maxmemory value set via CONFIG SET ({limit}) is smaller than the current memory usage ({used}). \
                 This will result in key eviction and/or the inability to accept new write commands depending on the \
                 maxmemory-policy."
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_accessed_fades_at_once_to_a_second_access_and_then_slowly() {
        let pace = Pace { turnover_ms: 1_000, ..Pace::default() };
        let bit = 1 << 16;
        assert_eq!(pace.faded(5 * bit, 0), 5 * bit);
        assert_eq!(pace.faded(5 * bit, 2_000), 3 * bit);
        assert_eq!(pace.faded(5 * bit, 4_000), bit);
        assert_eq!(pace.faded(5 * bit, 4_000 + 64_000), 0);
        assert_eq!((pace.faded(bit, 64_000), pace.faded(0, 64_000)), (0, -bit));
        assert!(pace.faded(0, u64::MAX) >= -(64 << 16) && pace.faded(i64::from(i32::MAX), u64::MAX) < bit);
        // With no pace known, counts decide, and times between those that count alike.
        let unknown = Pace::default();
        assert!(
            unknown.faded(bit, u64::MAX) > unknown.faded(0, 0) && unknown.faded(bit, 5_000) < unknown.faded(bit, 0)
        );
    }

    #[test]
    fn tenacity_is_redis_s() {
        assert_eq!([0, 1, 10, 100].map(tenacity_ns), [Some(0), Some(50_000), Some(500_000), None]);
        assert!(tenacity_ns(99).is_some_and(|ns| (100_000_000_000..200_000_000_000).contains(&ns)));
    }
}
