//! A walk over all keys that has to be made once, in slices: to count the bytes of collections once `key-memory-histograms` is switched on,
//! and after a load to give hashes their own names back whose template too few share.
//!
//! Keys that come or change on the way are as they should be already, so it is enough that every key that is there throughout is seen, as
//! by SCAN. Databases that exchange their contents (SWAPDB) have it begin anew.
//!
//! # Cost
//! A slice of `SLICE_NS` in each `PERIOD_MS`: two seconds or so for a million keys.

use super::Server;
use crate::base::clock::Now;

/// Nanoseconds of a slice.
const SLICE_NS: u64 = 100_000;
/// Buckets of a slice at most, should the clock stand still.
const SLICE_HOMES_MAX: usize = 1024;
/// Milliseconds from one slice to the next.
const PERIOD_MS: u64 = 1;

/// The walk that is under way.
#[derive(Debug, Default)]
pub struct Renewal {
    /// Bytes are counted.
    counts_bytes: bool,
    /// A hash that shares its names with fewer than this holds them itself.
    users: usize,
    place: usize,
    cursor: u64,
    next_ms: u64,
}

impl Server {
    /// Has the bytes of collections counted, or no longer, as `key-memory-histograms` says. O(databases made).
    pub fn renew_byte_counts(&mut self, now: Now) {
        if self.dbs.set_counts_bytes(self.config.key_memory_histograms) {
            self.begin_renewal(true, 0, now);
        }
    }

    /// True if the bytes of all collections have been counted.
    pub fn tells_byte_counts(&self) -> bool {
        self.config.key_memory_histograms && self.renewal.as_ref().is_none_or(|renewal| !renewal.counts_bytes)
    }

    /// Has hashes hold the names of their fields that share them with fewer than `users`.
    pub fn unshare_names_of_few(&mut self, users: usize, now: Now) {
        if users > 1 && self.dbs.templates().count() > 0 {
            self.begin_renewal(false, users, now);
        }
    }

    fn begin_renewal(&mut self, counts_bytes: bool, users: usize, now: Now) {
        let before = self.renewal.take().map(|renewal| *renewal).unwrap_or_default();
        let (counts_bytes, users) = (counts_bytes || before.counts_bytes, users.max(before.users));
        self.renewal = Some(Box::new(Renewal { counts_bytes, users, place: 0, cursor: 0, next_ms: now.mono_ms() }));
    }

    /// Two databases have exchanged their contents.
    pub(super) fn restart_renewal(&mut self) {
        if let Some(renewal) = &mut self.renewal {
            (renewal.place, renewal.cursor) = (0, 0);
        }
    }

    /// The monotonic millisecond of the next slice, while a walk is under way.
    pub fn renewal_due_ms(&self) -> Option<u64> {
        self.renewal.as_ref().map(|renewal| renewal.next_ms)
    }

    /// A slice of the walk, if it is time for one.
    #[inline]
    pub fn renew_keys(&mut self, now: Now) {
        if self.renewal.as_ref().is_some_and(|renewal| now.mono_ms() >= renewal.next_ms) {
            self.renew_slice(now);
        }
    }

    #[cold]
    fn renew_slice(&mut self, now: Now) {
        let Server { dbs, clock, renewal, .. } = self;
        let Some(walk) = renewal else { return };
        let (ends_ns, mut homes) = (clock.mono_ns() + SLICE_NS, SLICE_HOMES_MAX);
        let mut go_on = || {
            homes = homes.saturating_sub(1);
            homes > 0 && clock.mono_ns() < ends_ns
        };
        while dbs.places().contains(&walk.place) {
            match dbs[walk.place].renew(walk.cursor, walk.users, &mut go_on) {
                Some(cursor) => {
                    (walk.cursor, walk.next_ms) = (cursor, now.mono_ms() + PERIOD_MS);
                    return;
                }
                None => (walk.place, walk.cursor) = (walk.place + 1, 0),
            }
        }
        *renewal = None;
    }
}
