//! Active defragmentation (`activedefrag`): moves keys and values together, so that pages become empty and can go back.
//!
//! # When
//! The free places of the slabs in use are looked at every `LOOK_MS`. Where they are more than `active-defrag-ignore-bytes`, and
//! more than `active-defrag-threshold-lower` percent of what is allocated, a pass through all databases begins. It has between
//! `active-defrag-cycle-min` and `-max` percent of the time, the more the nearer the fragmentation is to
//! `active-defrag-threshold-upper`, in slices of `SLICE_NS` between which the loop sleeps or serves. A pass that has moved hardly
//! anything is followed by a rest: what is left over cannot be moved.
//!
//! # What
//! What moves and what stays `store::defrag` says, which blocks should `sys::slabs`. Data does not change: nobody is told.

use super::Server;
use crate::base::clock::Now;
use crate::store::defrag::{Moved, Place};
use crate::sys::slabs::{Slabs, Uncached};

/// Milliseconds between two looks at how full slabs are.
const LOOK_MS: u64 = 100;
/// Nanoseconds of a slice: Redis's, and what long commands have in a turn.
const SLICE_NS: u64 = 500_000;
/// Parts of a slice between which the clock is looked at: homes of a table, or blocks of a value. Some tens of microseconds.
const LOOK_EVERY: usize = 8;
/// Milliseconds of rest after a pass that moved no more than one block in [`FEW_PARTS`].
const REST_MS: u64 = 10_000;
/// See there.
const FEW_PARTS: u64 = 100;

/// A pass through all databases.
#[derive(Debug)]
struct Pass {
    slabs: Slabs,
    read_ms: u64,
    began_ms: u64,
    /// The database it is in, and where there.
    db: usize,
    place: Place,
    /// Percent of the time that it has.
    percent: u64,
    /// Blocks moved and kept so far.
    moved: u64,
    kept: u64,
}

/// What has been moved so far, and the pass under way.
#[derive(Debug, Default)]
pub struct Defrag {
    pass: Option<Box<Pass>>,
    /// Monotonic milliseconds before which there is nothing to do.
    next_ms: u64,
    /// Counters, which CONFIG RESETSTAT resets.
    pub counts: Counts,
}

/// What INFO says of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Blocks moved.
    pub hits: u64,
    /// Blocks looked at and kept.
    pub misses: u64,
    /// Keys of which something was moved, and others.
    pub keys: Moved,
    /// Nanoseconds of all slices.
    pub spent_ns: u64,
    /// Milliseconds for which passes were under way that are over.
    pub passes_ms: u64,
}

impl Defrag {
    /// Percent of the time that a pass under way has; 0 if there is none.
    pub fn percent(&self) -> u64 {
        self.pass.as_ref().map_or(0, |pass| pass.percent)
    }

    /// Milliseconds for which the pass under way has been so.
    pub fn current_ms(&self, now: Now) -> u64 {
        self.pass.as_ref().map_or(0, |pass| now.mono_ms().saturating_sub(pass.began_ms))
    }

    /// The monotonic millisecond of the next slice, while a pass is under way.
    pub fn next_due_ms(&self) -> Option<u64> {
        self.pass.as_ref().map(|_| self.next_ms)
    }

    fn end(&mut self, now_ms: u64) {
        if let Some(pass) = self.pass.take() {
            self.counts.passes_ms += now_ms.saturating_sub(pass.began_ms);
        }
    }
}

impl Server {
    /// A slice of defragmentation, if it is time for one.
    #[inline]
    pub fn defragment(&mut self, now: Now) {
        if (self.config.activedefrag || self.defrag.pass.is_some()) && now.mono_ms() >= self.defrag.next_ms {
            self.defragment_now(now.mono_ms());
        }
    }

    #[cold]
    fn defragment_now(&mut self, now_ms: u64) {
        if !self.config.activedefrag {
            self.defrag.end(now_ms);
            return;
        }
        // What is being loaded comes in order, and a script that is parked goes on soon.
        if self.is_loading() || self.scripting.is_parked() {
            self.defrag.next_ms = now_ms + LOOK_MS;
            return;
        }
        let Some(mut pass) = self.defrag.pass.take().or_else(|| self.begin_pass(now_ms)) else {
            self.defrag.next_ms = now_ms + LOOK_MS;
            return;
        };
        if now_ms >= pass.read_ms + LOOK_MS
            && let Some(slabs) = Slabs::read()
        {
            pass.percent = self.defrag_percent(&slabs).unwrap_or(pass.percent);
            (pass.slabs, pass.read_ms) = (slabs, now_ms);
        }
        let began_ns = self.clock.mono_ns();
        let is_over = self.defragment_slice(&mut pass, began_ns + SLICE_NS);
        let took_ns = self.clock.mono_ns().saturating_sub(began_ns);
        self.defrag.counts.spent_ns += took_ns;
        self.note_latency("active-defrag-cycle", took_ns);
        let pause_ns = took_ns * (100 - pass.percent) / pass.percent.max(1);
        self.defrag.next_ms = now_ms + (pause_ns / 1_000_000).max(1);
        let is_vain = pass.moved * FEW_PARTS <= pass.moved + pass.kept;
        self.defrag.pass = Some(pass);
        if is_over {
            self.defrag.end(now_ms);
            if is_vain {
                self.defrag.next_ms = now_ms + REST_MS;
            }
        }
    }

    /// A pass, if one should begin.
    fn begin_pass(&self, now_ms: u64) -> Option<Box<Pass>> {
        let slabs = Slabs::read()?;
        let percent = self.defrag_percent(&slabs)?;
        let (db, place) = (0, Place::default());
        Some(Box::new(Pass { slabs, read_ms: now_ms, began_ms: now_ms, db, place, percent, moved: 0, kept: 0 }))
    }

    /// Percent of the time that a pass may have, by how full the slabs are; `None` if none should begin.
    fn defrag_percent(&self, slabs: &Slabs) -> Option<u64> {
        let config = &self.config;
        let (lower, upper) = (config.active_defrag_threshold_lower, config.active_defrag_threshold_upper);
        let (least, most) =
            (config.active_defrag_cycle_min, config.active_defrag_cycle_max.max(config.active_defrag_cycle_min));
        let fragmented = (slabs.free_bytes * 100 / slabs.allocated_bytes.max(1)) as u64;
        if (slabs.free_bytes as u64) < config.active_defrag_ignore_bytes || fragmented < lower {
            return None;
        }
        let way = (fragmented - lower).min(upper.saturating_sub(lower));
        Some(least + (most - least) * way / upper.saturating_sub(lower).max(1))
    }

    /// Goes on until a time. True if all databases have been gone through.
    fn defragment_slice(&mut self, pass: &mut Pass, ends_ns: u64) -> bool {
        let Server { dbs, clock, defrag, .. } = self;
        let _uncached = Uncached::begin();
        let mut until_look = LOOK_EVERY;
        let mut go_on = || {
            until_look -= 1;
            if until_look > 0 {
                return true;
            }
            until_look = LOOK_EVERY;
            clock.mono_ns() < ends_ns
        };
        while pass.db < dbs.places().len() {
            let is_through =
                dbs[pass.db].defragment(&mut pass.place, &mut pass.slabs, &mut defrag.counts.keys, &mut go_on);
            let (hits, misses) = (std::mem::take(&mut pass.slabs.hits), std::mem::take(&mut pass.slabs.misses));
            (pass.moved, pass.kept) = (pass.moved + hits, pass.kept + misses);
            defrag.counts.hits += hits;
            defrag.counts.misses += misses;
            if !is_through {
                return false;
            }
            pass.db += 1;
        }
        true
    }
}
