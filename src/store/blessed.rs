//! Keys that BLESS has named: no memory policy lets them go.
//!
//! That is one bit of the entry, and nothing for a key that does not have it. How many there are is counted, so that who looks for a key
//! that may go knows when there is none.
//!
//! # Invariants
//! - [`Blessed`] counts the entries of the table that have the bit.
//! - Those that do not, and fall due first, are known to `store::nearest`.

use super::accounting::Cause;
use super::db::{Db, Moment, live_slot};
use super::entry::Entry;

/// How many entries never go for lack of memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Blessed {
    /// Keys.
    pub keys: usize,
    /// Of them with a deadline.
    pub timed: usize,
}

impl Blessed {
    /// An entry came, which counts as one without a deadline so far.
    #[inline]
    pub fn come(&mut self, entry: &Entry) {
        self.keys += usize::from(entry.is_blessed());
    }

    /// The deadline of an entry changed.
    #[inline]
    pub fn change_deadline(&mut self, entry: &Entry, old: Option<i64>, new: Option<i64>) {
        if entry.is_blessed() {
            self.timed = self.timed + usize::from(new.is_some()) - usize::from(old.is_some());
        }
    }

    /// An entry left.
    #[inline]
    pub fn leave(&mut self, entry: &Entry) {
        if entry.is_blessed() {
            self.keys -= 1;
            self.timed -= usize::from(entry.deadline_ms().is_some());
        }
    }
}

impl Db {
    /// Has a live key stay whatever the memory policy, or lets it go again. Whether that is new; `None` if there is no such key. O(1).
    pub fn bless(&mut self, key: &[u8], is_blessed: bool, at: Moment) -> Option<bool> {
        let hash = at.hash(self.table.hasher(), key);
        let Db { table, timers, accounting, .. } = self;
        let mut slot = live_slot(table, accounting, hash, key, at.without_access())?;
        if slot.is_blessed() == is_blessed {
            return Some(false);
        }
        accounting.before_change(Cause::Asked, &mut slot);
        accounting.blessed.leave(&slot);
        slot.set_blessed(is_blessed);
        accounting.blessed.come(&slot);
        accounting.blessed.change_deadline(&slot, None, slot.deadline_ms());
        if let (Some(nearest), Some(deadline_ms), false) = (&mut timers.nearest, slot.deadline_ms(), is_blessed) {
            nearest.note(deadline_ms, (hash >> 32) as u32);
        }
        Some(true)
    }

    /// Number of keys that stay whatever the memory policy.
    pub fn blessed(&self) -> usize {
        self.accounting.blessed.keys
    }

    /// True if there are keys that a memory policy may let go: of all, or of those with a deadline.
    #[inline]
    pub fn may_evict(&self, is_timed: bool) -> bool {
        let blessed = self.accounting.blessed;
        if is_timed { self.timed() > blessed.timed } else { self.len() > blessed.keys }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Now;
    use crate::base::prng::Prng;
    use crate::store::db::Ttl;
    use crate::store::entry::NewValue;
    use crate::store::evict::FirstDue;
    use crate::store::hash::KeyHasher;

    /// Random changes of a database: the counts are those of its entries, and what is shown by lot or falls due first is what may go.
    #[test]
    fn counts_agree_with_the_entries_and_only_others_are_shown() {
        for seed in 0..12 {
            let mut prng = Prng::seeded(seed);
            let mut db = Db::new(KeyHasher::new([5; 16]));
            db.set_ordered(true);
            let (mut unix_ms, keys) = (1_000, [8, 100][seed as usize % 2]);
            for step in 0..300 {
                let at = Moment::new(Now { mono_ns: 0, unix_ms }, true);
                let key = format!("key {}", prng.below(keys));
                let other = format!("key {}", prng.below(keys));
                let ttl = match prng.below(3) {
                    0 => Ttl::Clear,
                    1 => Ttl::Keep,
                    _ => Ttl::At(unix_ms + 1 + prng.below(300) as i64),
                };
                match prng.below(9) {
                    0 | 1 => db.set(key.as_bytes(), NewValue::Int(7), ttl, at),
                    2 => db.set(key.as_bytes(), NewValue::Bytes(&[b'x'; 900][..prng.below(900) as usize]), ttl, at),
                    3 | 4 => {
                        let was = db.peek_live(key.as_bytes(), at).map(|entry| entry.is_blessed());
                        let wanted = prng.chance(2, 3);
                        assert_eq!(db.bless(key.as_bytes(), wanted, at), was.map(|was| was != wanted));
                    }
                    5 => {
                        let deadline_ms = prng.chance(1, 2).then(|| unix_ms - 2 + prng.below(300) as i64);
                        db.set_deadline(key.as_bytes(), deadline_ms, at);
                    }
                    6 if key != other => {
                        db.remove(other.as_bytes(), at);
                        if let Some(entry) = db.remove(key.as_bytes(), at) {
                            db.insert(entry.renamed(other.as_bytes()), at);
                        }
                    }
                    7 => {
                        unix_ms += prng.below(40) as i64;
                        db.expire(unix_ms, &mut usize::MAX.clone(), |_| ());
                    }
                    _ => drop(db.remove(key.as_bytes(), at)),
                }
                let mut counted = (Blessed::default(), None::<i64>);
                db.table.for_each(|entry| match entry.deadline_ms() {
                    deadline_ms if entry.is_blessed() => {
                        counted.0.keys += 1;
                        counted.0.timed += usize::from(deadline_ms.is_some());
                    }
                    Some(ms) => counted.1 = Some(counted.1.map_or(ms, |first| first.min(ms))),
                    None => {}
                });
                let text = format!("seed {seed}, step {step}");
                assert_eq!(db.accounting.blessed, counted.0, "{text}");
                let first = (0..1000).find_map(|_| match db.first_due() {
                    FirstDue::Unknown => None,
                    FirstDue::None => Some(None),
                    FirstDue::Key { deadline_ms, .. } => Some(Some(deadline_ms)),
                });
                assert_eq!(first, Some(counted.1), "{text}");
                assert_eq!(db.may_evict(true), counted.1.is_some(), "{text}");
                for is_timed in [false, true] {
                    db.sample(is_timed, 5, &mut prng, |entry, _| assert!(!entry.is_blessed(), "{text}"));
                    let drawn = db.draw_key(is_timed, &mut prng);
                    let drawn = drawn.and_then(|(hash, _)| db.peek_hashed(hash).map(|entry| entry.is_blessed()));
                    assert_ne!(drawn, Some(true), "{text}");
                }
            }
        }
    }
}
