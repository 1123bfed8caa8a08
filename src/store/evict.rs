//! Keys that may have to go when memory is short: shown by lot, or the one that falls due first, and taken out.
//!
//! Keys that BLESS has named are never shown (`store::blessed`).
//!
//! # By lot
//! Keys lie in the order of their hashes, so those of any home bucket are as good a sample as any. One bucket is looked at at a
//! time: its entries are loaded together, while the bucket before is looked at, so a sample of seven costs hardly
//! more than one cache miss. Of keys with a deadline, where they are few, nodes of the wheel are drawn instead.
//!
//! Which of the keys shown goes is decided above (`server::eviction`), which names it by its hash and by the stamp that it had:
//! one that was accessed meanwhile stays.

use super::access::Stamp;
use super::accounting::{Cause, Due};
use super::db::Db;
use super::entry::Entry;
use super::hash::KeyHasher;
use super::nearest::{First, Nearest};
use super::table::Lent;
use crate::base::prng::Prng;

/// Home buckets that a sample looks at, at most, where most are empty.
const HOMES_MAX: usize = 64;

/// Databases of so few keys are looked at whole: in their one segment most buckets are empty.
const FEW_KEYS: usize = 48;

/// Items of keys that have gone that are passed over for one that is due first.
const STALE_MAX: usize = 64;

/// Keys drawn for one that may go.
const DRAWS_MAX: usize = 16;

/// The home buckets that the next samples look at, as hashes that lead there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// Its entries are being loaded.
    next: u64,
    /// Its bucket is being loaded.
    after: u64,
}

/// The key of a database that falls due first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstDue {
    /// The key of this hash, and its deadline in Unix milliseconds.
    Key {
        /// Its hash.
        hash: u64,
        /// Its deadline.
        deadline_ms: i64,
    },
    /// It has not been found yet: ask again.
    Unknown,
    /// There is none.
    None,
}

impl Db {
    /// Has the database know which keys fall due first, or lets it forget. O(1).
    pub fn set_ordered(&mut self, is_ordered: bool) {
        let Db { timers, accounting, .. } = self;
        if is_ordered != timers.nearest.is_some() {
            timers.nearest = is_ordered.then(|| Box::new(Nearest::new(accounting.timed.keys == 0)));
        }
    }

    /// The key that falls due first, if [`Db::set_ordered`] has said that this is to be known. O(log keys), and see
    /// `store::nearest`.
    pub fn first_due(&mut self) -> FirstDue {
        let Db { table, timers, accounting, .. } = self;
        let Some(nearest) = &mut timers.nearest else { return FirstDue::None };
        if accounting.timed.keys == accounting.blessed.timed {
            return FirstDue::None;
        }
        match nearest.first(table, STALE_MAX) {
            First::Key { hash, deadline_ms } => FirstDue::Key { hash, deadline_ms },
            First::Unknown => FirstDue::Unknown,
            First::None => FirstDue::None,
        }
    }

    /// Shows `count` keys by lot, or some more, or fewer where there are few: of all, or of those with a deadline. `show` is also
    /// given what hashes keys. O(count).
    pub fn sample(&mut self, is_timed: bool, count: usize, prng: &mut Prng, mut show: impl FnMut(&Entry, KeyHasher)) {
        let Db { table, timers, accounting, ahead, .. } = self;
        let (keys, timed, hasher) = (table.len(), accounting.timed.keys, table.hasher());
        if keys == 0 || (is_timed && timed == 0) {
            return;
        }
        let mut seen = 0;
        let mut look = |entry: &Entry| {
            if !entry.is_blessed() && (!is_timed || entry.deadline_ms().is_some()) {
                seen += 1;
                show(entry, hasher);
            }
            seen
        };
        if keys <= FEW_KEYS {
            table.for_each(|entry| {
                look(&entry);
            });
            return;
        }
        if let Some(wheel) =
            timers.wheel.as_deref().filter(|wheel| is_timed && wheel.density() * keys as f64 > timed as f64)
        {
            let draws = (count as f64 / wheel.density()).ceil().min(HOMES_MAX as f64) as usize;
            let mut prefixes = [0; HOMES_MAX];
            for prefix in &mut prefixes[..draws] {
                *prefix = wheel.draw_payload(|n| prng.below(n)).unwrap_or_default();
                table.prefetch_bucket(u64::from(*prefix) << 32);
            }
            prefixes[..draws].iter().for_each(|prefix| table.prefetch_entry(u64::from(*prefix) << 32));
            for prefix in &prefixes[..draws] {
                let visit = |entry: &mut Entry| {
                    look(entry);
                    true
                };
                table.retain_prefix(*prefix, visit, drop);
            }
            return;
        }
        for _ in 0..HOMES_MAX {
            let mut seen = 0;
            table.visit_home(ahead.next, |entry| seen = look(&entry));
            ahead.next = ahead.after;
            table.prefetch_home(ahead.next);
            ahead.after = table.pick_home(prng);
            table.prefetch_bucket(ahead.after);
            if seen >= count {
                break;
            }
        }
    }

    /// A key of those that may go, chosen by lot: of all, or of those with a deadline. O(1).
    pub fn draw_key(&mut self, is_timed: bool, prng: &mut Prng) -> Option<(u64, Stamp)> {
        let hasher = self.table.hasher();
        if !is_timed {
            let mut draws = (0..DRAWS_MAX).map_while(|_| self.table.random(|n| prng.below(n)));
            let entry = draws.find(|entry| !entry.is_blessed())?;
            return Some((hasher.hash(entry.key()), entry.stamp()));
        }
        let (mut chosen, mut seen, mut lots) = (None, 0, Prng::seeded(prng.next_u64()));
        self.sample(true, 1, prng, |entry, hasher| {
            seen += 1;
            if lots.below(seen) == 0 {
                chosen = Some((hasher.hash(entry.key()), entry.stamp()));
            }
        });
        chosen
    }

    /// The entry of the key of a hash. O(1).
    pub fn peek_hashed(&self, hash: u64) -> Option<Lent<'_, Entry>> {
        self.table.lookup_hashed(hash)
    }

    /// Takes out the key of a hash. O(1).
    pub fn evict(&mut self, hash: u64) -> Option<Entry> {
        let Db { table, accounting, .. } = self;
        let mut slot = table.occupied_hashed(hash)?;
        debug_assert!(!slot.is_blessed(), "what is blessed stays");
        accounting.before_change(Cause::Asked, &mut slot);
        let entry = slot.remove();
        accounting.timed.leave(Due::of(&entry));
        accounting.sizes.remove(entry.counted());
        Some(entry)
    }

    /// True if a snapshot does not have this entry of the database yet.
    pub fn is_unsaved(&self, entry: &Entry) -> bool {
        self.accounting.snapshot.is_some() && entry.mark() != self.accounting.mark
    }

    /// Shows the keys of the home bucket in whose range a cursor is, due ones left out, and returns the cursor to go on from, as
    /// [`Db::scan`]; keeps the times of their accesses readable on the way.
    pub fn walk_home(
        &mut self,
        cursor: u64,
        at: super::moment::Moment,
        clock: super::access::AccessClock,
        mut visit: impl FnMut(&Entry),
    ) -> u64 {
        let counting = self.accounting.counting;
        let show = |entry: &mut Entry| {
            if let Some(stamp) = clock.aged(entry.stamp(), counting) {
                entry.set_stamp(stamp);
            }
            if !at.is_due(entry) {
                visit(entry);
            }
            true
        };
        self.table.walk(cursor, show, || false).unwrap_or(0)
    }

    /// Bytes that the database takes, estimated from a few entries. O(1).
    pub fn estimated_bytes(&mut self, prng: &mut Prng) -> usize {
        const SAMPLES: usize = 256;
        let (mut seen, mut bytes) = (0, 0);
        self.sample(false, SAMPLES, prng, |entry, _| {
            seen += 1;
            bytes += entry.heap_bytes();
        });
        let each = bytes as f64 / f64::from(seen.max(1));
        self.table.bytes() + self.wheel_bytes() + (each * self.len() as f64) as usize
    }
}

#[cfg(test)]
#[path = "evict_tests.rs"]
mod tests;
