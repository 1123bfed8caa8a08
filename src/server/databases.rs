//! The databases: made when a client first chooses them, so that a server may offer very many.
//!
//! Clients name a database by its number. Everything inside the server (sessions, watches, waits, queries) names it by its
//! place, its index in the order in which databases were made: it is what `Server::dbs` is indexed by. A place stays what
//! it is for as long as the server runs, whatever is swapped or flushed. Number 0 is made at the start, at place 0.
//!
//! # Invariants
//! - `places[number]` is the place plus one of the database of that number, or 0; `numbers` is its inverse.
//! - Every database that has a wheel of deadlines is in `timed`; some that have none any more may be.
//! - `expired_untimed` is what the databases that are not in `timed` have counted as expired.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::store::access::Counting;
use crate::store::db::Db;
use crate::store::hash::KeyHasher;
use crate::store::notes::Noting;
use crate::store::types::hash::template::{Sharing, Templates};

/// Keys of a database up to which debug builds count their sizes anew after each command.
const RECOUNTED_KEYS_MAX: usize = 256;

/// The databases that have been chosen so far.
#[derive(Debug)]
pub struct Databases {
    /// By place.
    made: Vec<Made>,
    /// By number; as long as there are numbers. Pages of it that nobody asks for are never touched.
    places: Vec<u32>,
    /// Places of databases whose keys have deadlines.
    timed: Vec<u32>,
    expired_untimed: u64,
    /// The hasher of the keys.
    pub hasher: KeyHasher,
    /// What the databases note on their own.
    noting: Noting,
    /// How they count accesses, and whether they know which keys fall due first.
    usage: (Counting, bool),
    /// They count the bytes of collections.
    counts_bytes: bool,
    /// The names of fields that their hashes share.
    templates: Arc<Templates>,
    /// Which hashes share them; `None` for none.
    sharing: Option<Sharing>,
}

#[derive(Debug)]
struct Made {
    db: Db,
    number: u32,
    is_timed: bool,
}

impl Databases {
    /// So many databases, of which the first is made.
    pub fn new(count: u32, hasher: KeyHasher) -> Databases {
        let mut dbs = Databases {
            made: Vec::new(),
            places: vec![0; count as usize],
            timed: Vec::new(),
            expired_untimed: 0,
            hasher,
            noting: Noting::default(),
            usage: Default::default(),
            counts_bytes: false,
            templates: Arc::default(),
            sharing: None,
        };
        dbs.make(0);
        dbs
    }

    /// The place of the database of a number, if it has been made. O(1).
    pub fn find(&self, number: usize) -> Option<usize> {
        self.places.get(number)?.checked_sub(1).map(|place| place as usize)
    }

    /// The place of the database of a number, which is made if need be. `None` if there is no such number. O(1).
    pub fn make(&mut self, number: usize) -> Option<usize> {
        let place = self.places.get_mut(number)?;
        if *place == 0 {
            let mut db = Db::new(self.hasher);
            db.set_noting(self.noting);
            db.set_counting(self.usage.0);
            db.set_ordered(self.usage.1);
            db.set_counts_bytes(self.counts_bytes);
            db.set_sharing(self.sharing.clone());
            self.made.push(Made { db, number: number as u32, is_timed: false });
            *place = self.made.len() as u32;
        }
        Some(*place as usize - 1)
    }

    /// What the databases note on their own.
    pub fn noting(&self) -> Noting {
        self.noting
    }

    /// Says what the databases are to note from now on. O(databases made) if that makes a difference.
    pub fn set_noting(&mut self, noting: Noting) {
        if std::mem::replace(&mut self.noting, noting) != noting {
            self.iter_mut().for_each(|db| db.set_noting(noting));
        }
    }

    /// Says how the databases count accesses from now on, and whether they are to know which keys fall due first. O(databases
    /// made) if that makes a difference.
    pub fn set_usage(&mut self, counting: Counting, is_ordered: bool) {
        if std::mem::replace(&mut self.usage, (counting, is_ordered)) != (counting, is_ordered) {
            self.iter_mut().for_each(|db| {
                db.set_counting(counting);
                db.set_ordered(is_ordered);
            });
        }
    }

    /// Says whether the databases count the bytes of collections from now on. True if some that have keys did not before. O(databases
    /// made).
    pub fn set_counts_bytes(&mut self, counts_bytes: bool) -> bool {
        self.counts_bytes = counts_bytes;
        let mut any = false;
        for db in self.iter_mut().filter(|db| db.sizes().counts_bytes() != counts_bytes) {
            db.set_counts_bytes(counts_bytes);
            any |= counts_bytes && !db.is_empty();
        }
        any
    }

    /// The names of fields that hashes share.
    pub fn templates(&self) -> &Arc<Templates> {
        &self.templates
    }

    /// Says how many fields a hash has, at least and at most, that shares their names: when it is changed next. None at all if the
    /// most is 0. O(databases made) if that makes a difference.
    pub fn share_names(&mut self, min: usize, max: usize) {
        let present = self.sharing.as_ref().map_or((0, 0), |sharing| (sharing.min, sharing.max));
        if present != (min, max) {
            let sharing = Sharing { min, max, templates: Arc::clone(&self.templates), is_closed: false };
            self.sharing = Some(sharing);
            for made in &mut self.made {
                made.db.set_sharing(self.sharing.clone());
            }
        }
    }

    /// Takes over how others count accesses and bytes, and whether they know which keys fall due first. To be called before there are
    /// keys.
    pub fn set_usage_as(&mut self, other: &Databases) {
        let (counting, is_ordered) = other.usage;
        self.set_usage(counting, is_ordered);
        self.set_counts_bytes(other.counts_bytes);
    }

    /// The number of the database at a place.
    pub fn number(&self, place: usize) -> usize {
        self.made[place].number as usize
    }

    /// How many numbers there are, made or not.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    /// The places.
    pub fn places(&self) -> std::ops::Range<usize> {
        0..self.made.len()
    }

    /// The databases that have been made, by place.
    pub fn iter(&self) -> impl Iterator<Item = &Db> {
        self.made.iter().map(|made| &made.db)
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Db> {
        self.made.iter_mut().map(|made| &mut made.db)
    }

    /// Those that have keys, with their numbers and in the order of these. O(databases made).
    pub fn with_keys(&self) -> Vec<(usize, &Db)> {
        let with_keys = self.made.iter().filter(|made| !made.db.is_empty());
        let mut with_keys: Vec<_> = with_keys.map(|made| (made.number as usize, &made.db)).collect();
        with_keys.sort_unstable_by_key(|(number, _)| *number);
        with_keys
    }

    /// Exchanges what two places hold.
    pub fn swap(&mut self, first: usize, second: usize) {
        if let Ok([a, b]) = self.made.get_disjoint_mut([first, second]) {
            // Their counters go along, which `expired_untimed` must not miss.
            std::mem::swap(&mut a.db, &mut b.db);
            if a.is_timed != b.is_timed {
                let (now_untimed, now_timed) = if a.is_timed { (b, a) } else { (a, b) };
                self.expired_untimed += now_untimed.db.stats().expired;
                self.expired_untimed -= now_timed.db.stats().expired;
            }
            [first, second].into_iter().for_each(|place| self.note_timers(place));
        }
    }

    /// Replaces the database at a place with an empty one, which goes on with its counters; returns what it was.
    pub fn empty(&mut self, place: usize) -> Db {
        self[place].empty()
    }

    /// Takes the database at a place out, which is empty then.
    pub fn take(&mut self, place: usize) -> Db {
        let empty = Db::new(self.hasher);
        std::mem::replace(&mut self[place], empty)
    }

    /// Puts a database in the place of an empty one, and has it go on with that one's counters.
    pub fn put(&mut self, place: usize, mut db: Db) {
        debug_assert!(self[place].is_empty(), "what was there has gone");
        db.go_on_for(&self[place]);
        self[place] = db;
        self.note_timers(place);
    }

    /// To be called when a database may have got its wheel of deadlines.
    pub fn note_timers(&mut self, place: usize) {
        let made = &mut self.made[place];
        if made.db.has_timers() && !made.is_timed {
            made.is_timed = true;
            self.expired_untimed -= made.db.stats().expired;
            self.timed.push(place as u32);
        }
    }

    /// Places of all databases whose keys have deadlines, and perhaps of some whose keys had.
    #[inline]
    pub fn timed(&self) -> &[u32] {
        &self.timed
    }

    /// Drops those from [`Databases::timed`] that have no wheel any more. O(those there).
    pub fn forget_untimed(&mut self) {
        let Databases { made, timed, expired_untimed, .. } = self;
        timed.retain(|&place| {
            let made = &mut made[place as usize];
            made.is_timed = made.db.has_timers();
            *expired_untimed += if made.is_timed { 0 } else { made.db.stats().expired };
            made.is_timed
        });
        self.check();
    }

    /// The Unix millisecond at which the wheel of any database next has something to look at. O(databases with deadlines).
    pub fn next_tick_ms(&self) -> Option<i64> {
        self.timed.iter().filter_map(|&place| self[place as usize].next_tick_ms()).min()
    }

    /// Keys of all databases that have expired. O(databases with deadlines).
    pub fn expired(&self) -> u64 {
        let timed: u64 = self.timed.iter().map(|&place| self[place as usize].stats().expired).sum();
        self.expired_untimed + timed
    }

    /// Sets the counters of all databases to zero. O(databases made).
    pub fn reset_stats(&mut self) {
        self.iter_mut().for_each(Db::reset_stats);
        self.expired_untimed = 0;
    }

    /// Debug builds make sure that the invariants hold.
    pub(super) fn check(&self) {
        debug_assert!(self.made.iter().all(|made| made.is_timed || !made.db.has_timers()), "keys would not expire");
        if cfg!(debug_assertions) {
            self.iter().filter(|db| db.len() <= RECOUNTED_KEYS_MAX).for_each(Db::check_sizes);
        }
        debug_assert_eq!(self.expired(), self.iter().map(|db| db.stats().expired).sum::<u64>());
    }
}

impl Index<usize> for Databases {
    type Output = Db;
    #[inline]
    fn index(&self, place: usize) -> &Db {
        &self.made[place].db
    }
}

impl IndexMut<usize> for Databases {
    #[inline]
    fn index_mut(&mut self, place: usize) -> &mut Db {
        &mut self.made[place].db
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Now;
    use crate::base::prng::Prng;
    use crate::store::db::{Moment, Ttl};
    use crate::store::entry::NewValue;

    const COUNT: u32 = 12;

    /// Numbers, places and counters under random use, against a list of what each number holds.
    #[test]
    fn numbers_and_counters_stay_right_under_random_use() {
        for seed in 0..30 {
            let mut prng = Prng::seeded(seed);
            let mut dbs = Databases::new(COUNT, KeyHasher::new([3; 16]));
            // Keys that are live, and keys with a deadline of one millisecond, by number.
            let mut twin = [(0_usize, 0_usize); COUNT as usize];
            let (mut expired, mut unix_ms, mut key) = (0, 1_000, 0_u64);
            for _ in 0..400 {
                let number = prng.below(u64::from(COUNT)) as usize;
                let place = dbs.make(number).expect("there is such a number");
                assert_eq!((dbs.number(place), dbs.find(number)), (number, Some(place)));
                let at = Moment::new(Now { mono_ns: 0, unix_ms }, true);
                key += 1;
                match prng.below(6) {
                    0 | 1 => {
                        dbs[place].set(&key.to_le_bytes(), NewValue::Int(1), Ttl::Clear, at);
                        twin[number].0 += 1;
                    }
                    2 => {
                        dbs[place].set(&key.to_le_bytes(), NewValue::Int(1), Ttl::At(unix_ms + 1), at);
                        dbs.note_timers(place);
                        twin[number].1 += 1;
                    }
                    3 => {
                        let other = prng.below(u64::from(COUNT)) as usize;
                        let other_place = dbs.make(other).expect("there is such a number");
                        dbs.swap(place, other_place);
                        twin.swap(number, other);
                    }
                    4 => {
                        dbs.empty(place);
                        twin[number] = (0, 0);
                    }
                    _ => {
                        unix_ms += 2;
                        for timed in dbs.timed().to_vec() {
                            dbs[timed as usize].expire(unix_ms, &mut usize::MAX.clone(), |_| expired += 1);
                        }
                        twin.iter_mut().for_each(|(_, due)| *due = 0);
                        dbs.forget_untimed();
                    }
                }
                assert_eq!(dbs.expired(), expired, "seed {seed}");
                let held = twin.iter().enumerate().filter(|(_, (live, due))| live + due > 0);
                let held: Vec<_> = held.map(|(number, (live, due))| (number, live + due)).collect();
                let found: Vec<_> = dbs.with_keys().into_iter().map(|(number, db)| (number, db.len())).collect();
                assert_eq!(found, held, "seed {seed}");
            }
        }
    }

    #[test]
    fn there_are_only_so_many_numbers() {
        let mut dbs = Databases::new(COUNT, KeyHasher::new([3; 16]));
        assert_eq!((dbs.count(), dbs.iter().count()), (COUNT as usize, 1));
        assert_eq!((dbs.make(COUNT as usize), dbs.find(5)), (None, None));
        assert_eq!(dbs.make(11), Some(1));
    }
}
