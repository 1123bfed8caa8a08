//! One database: the table of its keys, and what is kept in step with it.
//!
//! # Parts
//! - `table`: the entries, found by key (`store::table`, `store::entry`).
//! - `timers`: the wheel of their deadlines (`store::expiry`).
//! - `accounting`: counters, notes, and the gate that changes pass (`store::accounting`, `store::notes`).
//!
//! Collections are opened by key in `store::collections`, hashes in `store::fields`; both begin with `live_slot`, as every
//! lookup does that touches, changes or collects a key.
//!
//! # Invariants
//! - A key whose deadline has passed does not exist for anyone, whatever the wheel has done: every lookup checks.
//! - Whatever changes entries tells `Accounting::before_change` first, and keeps timers and counts in step afterwards.
//!
//! Called by command handlers. Knows nothing of clients, replies or propagation, and asks no clock: a [`Moment`] is
//! handed in.

use super::access::{Counting, Stamp};
use super::accounting::{Accounting, Cause, Due};
use super::collections::without_due;
use super::entry::{Entry, NewValue};
use super::evict::Ahead;
use super::expiry::Timers;
use super::forecast::Forecast;
use super::hash::KeyHasher;
use super::notes::{Happened, Note, Noting};
use super::open::EntryMut;
use super::sizes::{Sizes, power_of};
use super::table::{Lent, Occupied, Table};
use super::types::hash::template::Sharing;
use super::types::{Stream, Type};
use crate::base::prng::Prng;
use crate::timer::Progress;

pub use super::accounting::DbStats;
pub use super::moment::Moment;
use super::moment::Touch;

/// Keys drawn for a random one that is not due, while due ones have to stay; Redis's number.
const RANDOM_TRIES_MAX: usize = 100;

/// What a write does to a key's time to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// The key will not expire.
    Clear,
    /// An existing deadline stays.
    Keep,
    /// The key expires at this Unix time in milliseconds.
    At(i64),
}

/// What became of a key whose deadline was to change.
#[derive(Debug)]
pub enum DeadlineChange {
    /// There is no such key.
    NoKey,
    /// The key's present deadline forbids the change; nothing changed.
    Refused,
    /// The deadline changed.
    Done,
    /// The new deadline has passed already, so the key is gone. This is what it was.
    Removed(Entry),
}

/// How a lookup that may write is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Not at all.
    Write,
    /// As one for reading: a hit or a miss.
    ReadWrite,
    /// As one for reading if there is something, which is compared: a hit, but no miss.
    Compare,
}

/// One database.
#[derive(Debug)]
pub struct Db {
    pub(super) table: Table<Entry>,
    pub(super) timers: Timers,
    pub(super) accounting: Accounting,
    /// Where keys that may have to go are looked for next.
    pub(super) ahead: Ahead,
    /// Some stream remembers its producers, or one did: set by who brings that about, as nothing else tells what version of a dump file
    /// holds all of it.
    pub knows_producers: bool,
}

/// The slot of a live key, as accessed at the moment; counts nothing. A due key is collected, unless due keys have to stay:
/// then it counts as absent all the same. The one place that decides whether a key is there. O(1).
#[inline(always)]
pub(super) fn live_slot<'d>(
    table: &'d mut Table<Entry>,
    accounting: &mut Accounting,
    hash: u64,
    key: &[u8],
    at: Moment,
) -> Option<Occupied<'d, Entry>> {
    let mut found = table.occupied(hash, key);
    if let Some(slot) = &mut found {
        if at.is_due(slot) {
            let due = found.take().filter(|_| !at.keep_due);
            due.into_iter().for_each(|slot| collect(accounting, slot));
        } else if at.touch == Touch::Stamp {
            slot.set_stamp(at.clock.accessed());
        } else if at.touch == Touch::Count {
            accounting.count_access(slot, at.clock);
        }
    }
    // Returned as it was found: a slot that is moved on the way costs every SET a dozen instructions.
    found
}

/// An entry that is to be read, with elements that are due taken out or out of sight.
#[cold]
fn shown<'d>(accounting: &mut Accounting, slot: Occupied<'d, Entry>, at: Moment) -> Option<Occupied<'d, Entry>> {
    let mut slot = if at.purges { without_due(accounting, slot, at)? } else { slot };
    accounting.look_at(&mut slot, at.due_ms());
    Some(slot)
}

/// Takes a due entry out, unless it is held.
#[cold]
fn collect(accounting: &mut Accounting, mut slot: Occupied<'_, Entry>) {
    if accounting.is_held(slot.key()) {
        return;
    }
    accounting.before_change(Cause::Expired, &mut slot);
    let entry = slot.remove();
    accounting.expired(&entry);
    accounting.let_go(entry);
}

impl Db {
    /// An empty database; allocates nothing until the first key.
    pub fn new(hasher: KeyHasher) -> Db {
        Db {
            table: Table::new(hasher),
            timers: Timers::default(),
            accounting: Accounting::default(),
            ahead: Ahead::default(),
            knows_producers: false,
        }
    }

    /// Takes all keys out and returns them as a database of their own. The counters stay, and so does what is to be noted:
    /// neither belongs to the keys. O(1).
    pub fn empty(&mut self) -> Db {
        if !self.is_empty() {
            self.accounting.before_emptying();
        }
        let mut empty = Db::new(self.table.hasher());
        empty.accounting.inherit(&self.accounting);
        empty.accounting.sizes = Sizes::none(self.accounting.sizes.counts_bytes());
        empty.set_ordered(self.timers.nearest.is_some());
        std::mem::replace(self, empty)
    }

    /// Goes on with the counters of another one, in whose place it comes, and notes what that was to note.
    pub fn go_on_for(&mut self, other: &Db) {
        self.accounting.inherit(&other.accounting);
        self.set_ordered(other.timers.nearest.is_some());
    }

    /// How often callers have changed the keys since [`Db::reset_mutations`]: keys that came or left, other values and
    /// deadlines, and values that were open for change and differ afterwards. What expired is no caller's change, and an
    /// access is none. Debug builds only: there it shows whether commands tell of what they change.
    #[cfg(debug_assertions)]
    pub fn mutations(&self) -> u64 {
        self.accounting.mutations
    }

    /// Begins to count anew.
    #[cfg(debug_assertions)]
    pub fn reset_mutations(&mut self) {
        self.accounting.mutations = 0;
    }

    /// Number of keys, due ones that have not been collected yet included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True when there is no key.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Number of keys with a deadline.
    pub fn timed(&self) -> usize {
        self.accounting.timed.keys
    }

    /// True if a key has elements that are due and may leave. O(1).
    pub fn has_due_elements(&self, key: &[u8], now_ms: i64) -> bool {
        let Some(entry) = self.peek(key) else { return false };
        let is_due = Due::of(&entry).elements_ms.is_some_and(|due_ms| due_ms <= now_ms);
        is_due && !self.accounting.keeps_elements(&entry)
    }

    /// Number of collections that have elements with a deadline.
    pub fn timed_collections(&self) -> usize {
        self.accounting.timed.collections
    }

    /// How many values are how large. O(1).
    pub fn sizes(&self) -> &Sizes {
        &self.accounting.sizes
    }

    /// Says whether the bytes of collections are counted from now on. Those that are there are counted by [`Db::renew`]. O(1).
    pub fn set_counts_bytes(&mut self, counts_bytes: bool) {
        self.accounting.sizes.set_counts_bytes(counts_bytes);
    }

    /// Goes over the entries from a cursor on, until `go_on`, which is asked now and then, returns false. Counts the bytes of collections
    /// anew, if they are counted, and has a hash that shares the names of its fields with fewer than `users` hold them itself. Returns the
    /// cursor to go on from; `None` at the end.
    pub fn renew(&mut self, cursor: u64, users: usize, go_on: impl FnMut() -> bool) -> Option<u64> {
        let Db { table, accounting, .. } = self;
        let visit = |entry: &mut Entry| {
            let old = entry.counted();
            if users > 0 {
                entry.unshare_names_of_few(users);
            }
            let new = entry.count_bytes(old, accounting.sizes.counts_bytes());
            accounting.sizes.change(old, new);
            true
        };
        table.walk(cursor, visit, go_on)
    }

    /// Panics if the sizes are not counted as the values are. O(keys); for tests and debug builds.
    pub fn check_sizes(&self) {
        let mut sizes = self.accounting.sizes.empty();
        self.table.for_each(|entry| {
            let (counted, power) = (entry.counted(), power_of(entry.size()));
            // Elements that are due are out of sight for some, and counted nevertheless.
            let is_exact = Due::of(&entry).elements_ms.is_none();
            assert!(!is_exact || counted.power == power, "{entry:?} is counted as {counted:?}", entry = &*entry);
            sizes.add(counted);
        });
        assert!(self.is_empty() || sizes == self.accounting.sizes, "{sizes:?} and not {:?}", self.accounting.sizes);
        let counts = |kind| self.accounting.sizes.of(kind).map_or(0, |powers| powers.iter().sum::<usize>());
        assert_eq!(Type::ALL.into_iter().map(counts).sum::<usize>(), self.len());
    }

    /// The counters of this database.
    pub fn stats(&self) -> DbStats {
        self.accounting.stats
    }

    /// Says how accesses are counted from now on, where they are.
    pub fn set_counting(&mut self, counting: Counting) {
        self.accounting.counting = counting;
    }

    /// Says which hashes share the names of their fields from now on, when they are changed next.
    pub fn set_sharing(&mut self, sharing: Option<Sharing>) {
        self.accounting.sharing = sharing;
    }

    /// Which hashes share the names of their fields.
    pub fn sharing(&self) -> Option<&Sharing> {
        self.accounting.sharing.as_ref()
    }

    /// Says what is to be noted from now on. Notes that were made stay.
    pub fn set_noting(&mut self, wanted: Noting) {
        self.accounting.notebook.wanted = wanted;
    }

    /// True if something has been noted since the last time.
    #[inline]
    pub fn has_notes(&self) -> bool {
        self.accounting.notebook.has_notes()
    }

    /// What has been noted since the last time, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.accounting.notebook.take()
    }

    /// Values that left the database under a caller's hands (overwritten, or found due) and are better freed elsewhere, one
    /// at a time, with the bytes that it takes.
    #[inline]
    pub fn take_garbage(&mut self) -> Option<(Box<dyn Send>, usize)> {
        self.accounting.garbage.take()
    }

    /// Zeroes the counters.
    pub fn reset_stats(&mut self) {
        self.accounting.stats = DbStats::default();
    }

    /// The key table, for figures about it.
    pub fn table(&self) -> &Table<Entry> {
        &self.table
    }

    /// Bytes of the wheel, and of what is known of the nearest deadlines.
    pub fn wheel_bytes(&self) -> usize {
        let nearest = self.timers.nearest.as_ref().map_or(0, |nearest| nearest.bytes());
        nearest + self.timers.wheel.as_ref().map_or(0, |wheel| wheel.bytes())
    }

    /// A key's entry, even if it is due. Counts nothing, changes nothing. O(1).
    #[inline(never)]
    pub fn peek(&self, key: &[u8]) -> Option<Lent<'_, Entry>> {
        self.table.lookup(self.table.hasher().hash(key), key)
    }

    /// A live key's entry. Counts nothing, changes nothing. O(1).
    pub fn peek_live(&self, key: &[u8], at: Moment) -> Option<Lent<'_, Entry>> {
        self.peek(key).filter(|entry| !at.is_due(entry))
    }

    /// The entry of a live key, to be changed in place. A due key is collected on the way. Counts nothing; touches the access
    /// time as told. O(1).
    #[inline]
    pub fn lookup_write(&mut self, key: &[u8], at: Moment) -> Option<EntryMut<'_>> {
        let hash = at.hash(self.table.hasher(), key);
        let slot = live_slot(&mut self.table, &mut self.accounting, hash, key, at)?;
        Some(EntryMut::new(slot, &mut self.accounting))
    }

    /// A live key's entry, to be looked at by who does not use it: counts nothing, collects a due key on the way. O(1).
    pub fn lookup_uncounted(&mut self, key: &[u8], at: Moment) -> Option<Lent<'_, Entry>> {
        let hash = at.hash(self.table.hasher(), key);
        live_slot(&mut self.table, &mut self.accounting, hash, key, at).map(Occupied::into_lent)
    }

    /// A live key's entry, counted as a hit or a miss. O(1).
    #[inline]
    pub fn lookup_read(&mut self, key: &[u8], at: Moment) -> Option<Lent<'_, Entry>> {
        let hash = at.hash(self.table.hasher(), key);
        let Db { table, accounting, .. } = self;
        let mut found = live_slot(table, accounting, hash, key, at);
        if found.as_ref().is_some_and(|slot| slot.may_show_due()) {
            found = found.and_then(|slot| shown(accounting, slot, at));
        }
        let Some(slot) = found else {
            accounting.missed(key, at.is_quiet());
            return None;
        };
        accounting.stats.hits += 1;
        Some(slot.into_lent())
    }

    /// Stores a value under a key, over whatever was there. O(1), plus the bytes copied.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: NewValue<'_>, ttl: Ttl, at: Moment) {
        self.set_if(key, value, ttl, at, Lookup::Write, |_| true);
    }

    /// Stores a value under a key if `allow` agrees, which is shown the live entry that is there. Returns whether it
    /// was stored. A due key that has to stay counts as absent, and is replaced by what is stored: without its deadline and
    /// without having expired. One lookup, which counts as one for reading too if told so; O(1), plus the bytes copied.
    #[inline]
    pub fn set_if(
        &mut self,
        key: &[u8],
        value: NewValue<'_>,
        ttl: Ttl,
        at: Moment,
        lookup: Lookup,
        allow: impl FnOnce(Option<&Entry>) -> bool,
    ) -> bool {
        let hash = at.hash(self.table.hasher(), key);
        let found = live_slot(&mut self.table, &mut self.accounting, hash, key, at);
        match (lookup, &found) {
            (Lookup::Write, _) | (Lookup::Compare, None) => {}
            (Lookup::ReadWrite | Lookup::Compare, Some(_)) => self.accounting.stats.hits += 1,
            (Lookup::ReadWrite, None) => self.accounting.missed(key, at.is_quiet()),
        }
        if !allow(found.as_deref()) {
            return false;
        }
        let Some(mut slot) = found else {
            self.insert_new(hash, key, value, ttl, at);
            return true;
        };
        self.accounting.before_change(Cause::Asked, &mut slot);
        self.accounting.notebook.note(Happened::Overwritten, key);
        if slot.type_of() != value.type_of() {
            self.accounting.notebook.note(Happened::TypeChanged, key);
        }
        let (old, was_exact, counted) = (Due::of(&slot), slot.timer_exact(), slot.counted());
        let new = match ttl {
            Ttl::Clear => None,
            Ttl::Keep => old.key_ms,
            Ttl::At(deadline_ms) => Some(deadline_ms),
        };
        self.accounting.garbage.keep_value_of(&mut slot);
        slot.map(|entry| entry.with_value(value, new));
        let size = slot.size();
        self.accounting.recount(counted, &mut slot, size);
        if new.is_some() || old.next_ms().is_some() {
            self.timers.reschedule(&mut self.accounting, &mut slot, hash, old, was_exact, at.unix_ms);
            self.relieve();
        }
        true
    }

    fn insert_new(&mut self, hash: u64, key: &[u8], value: NewValue<'_>, ttl: Ttl, at: Moment) {
        let deadline_ms = match ttl {
            Ttl::At(deadline_ms) => Some(deadline_ms),
            Ttl::Clear | Ttl::Keep => None,
        };
        let mut entry = Entry::new(key, value, deadline_ms);
        entry.set_stamp(at.stamp());
        self.insert_hashed(hash, entry, at);
    }

    /// Adds an entry whose key is not there (as a live key), as accessed just now; accesses that were counted of it stay
    /// counted. A due key that has had to stay is replaced. O(1).
    pub fn insert(&mut self, mut entry: Entry, at: Moment) {
        let stamp = at.stamp();
        if !(entry.stamp().is_count() && stamp.is_count()) {
            entry.set_stamp(stamp);
        }
        let hash = self.table.hasher().hash(entry.key());
        self.insert_hashed(hash, entry, at);
    }

    /// Says what is known of a live key's accesses. O(1).
    pub fn set_stamp(&mut self, key: &[u8], stamp: Stamp, at: Moment) {
        let hash = at.hash(self.table.hasher(), key);
        if let Some(mut slot) = live_slot(&mut self.table, &mut self.accounting, hash, key, at.without_access()) {
            slot.set_stamp(stamp);
        }
    }

    /// Adds an entry that was read from a dump file, with what is known of its accesses; `hash` is that of its key.
    /// Gives it back if the key is there. O(1).
    #[inline]
    pub fn load(&mut self, hash: u64, mut entry: Entry, stamp: Stamp, at: Moment) -> Result<(), Entry> {
        if self.table.lookup(hash, entry.key()).is_some() {
            return Err(entry);
        }
        entry.set_stamp(stamp);
        self.note_producers(&entry);
        self.insert_hashed(hash, entry, at);
        Ok(())
    }

    /// Notes that an entry which comes in is a stream that remembers its producers.
    pub fn note_producers(&mut self, entry: &Entry) {
        let stream = entry.collection::<Stream>();
        self.knows_producers |= stream.is_some_and(|stream| stream.producers().is_some());
    }

    fn insert_hashed(&mut self, hash: u64, mut entry: Entry, at: Moment) {
        if at.keep_due {
            self.remove_kept(hash, entry.key(), at);
        }
        self.accounting.before_insert(hash, &mut entry);
        self.accounting.notebook.note(Happened::Created, entry.key());
        entry.set_timer_exact(false);
        self.timers.reschedule(&mut self.accounting, &mut entry, hash, Due::default(), false, at.unix_ms);
        self.table.insert(hash, entry);
        self.relieve();
    }

    /// Makes room for a key whose due namesake has had to stay.
    #[cold]
    fn remove_kept(&mut self, hash: u64, key: &[u8], at: Moment) {
        let Some(mut slot) = self.table.occupied(hash, key) else { return };
        debug_assert!(at.is_due(&slot), "a live key is not to be inserted again");
        self.accounting.before_change(Cause::Asked, &mut slot);
        let entry = slot.remove();
        self.accounting.leave(&entry);
        self.accounting.garbage.discard(entry);
    }

    /// Takes a live key out. O(1).
    pub fn remove(&mut self, key: &[u8], at: Moment) -> Option<Entry> {
        let hash = at.hash(self.table.hasher(), key);
        let mut slot = live_slot(&mut self.table, &mut self.accounting, hash, key, at.without_access())?;
        self.accounting.before_change(Cause::Asked, &mut slot);
        let entry = slot.remove();
        self.accounting.leave(&entry);
        Some(entry)
    }

    /// Changes a live key's deadline, `None` to keep it for good. False if there is no such key. O(1).
    pub fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>, at: Moment) -> bool {
        !matches!(self.set_deadline_if(key, deadline_ms, at, |_| true), DeadlineChange::NoKey)
    }

    /// Changes a live key's deadline, `None` to keep it for good, if `allow` says so of the present one. A deadline that
    /// has passed takes the key out. A due key that has to stay is no key. O(1), one lookup; nothing is allocated or moved
    /// when the key has a deadline already.
    pub fn set_deadline_if(
        &mut self,
        key: &[u8],
        deadline_ms: Option<i64>,
        at: Moment,
        allow: impl FnOnce(Option<i64>) -> bool,
    ) -> DeadlineChange {
        let hash = at.hash(self.table.hasher(), key);
        let Some(mut slot) = live_slot(&mut self.table, &mut self.accounting, hash, key, at) else {
            return DeadlineChange::NoKey;
        };
        let (old, was_exact) = (Due::of(&slot), slot.timer_exact());
        if !allow(old.key_ms) {
            return DeadlineChange::Refused;
        }
        if (old.key_ms, deadline_ms) == (None, None) {
            return DeadlineChange::Done;
        }
        self.accounting.before_change(Cause::Asked, &mut slot);
        match (old.key_ms, deadline_ms) {
            (_, Some(new)) if new <= at.due_ms() => {
                let entry = slot.remove();
                self.accounting.leave(&entry);
                return DeadlineChange::Removed(entry);
            }
            (Some(_), Some(new)) => slot.overwrite_deadline(new),
            _ => slot.map(|entry| entry.with_deadline(deadline_ms)),
        }
        self.timers.reschedule(&mut self.accounting, &mut slot, hash, old, was_exact, at.unix_ms);
        self.relieve();
        DeadlineChange::Done
    }

    /// Walks part of the keys, due ones left out; see [`Table::scan`].
    pub fn scan(&self, cursor: u64, at: Moment, mut visit: impl FnMut(&Entry)) -> u64 {
        self.table.scan(cursor, |entry| {
            if !at.is_due(&entry) {
                visit(&entry);
            }
        })
    }

    /// A uniformly chosen live key. `draw(n)` returns an unbiased number below `n`.
    ///
    /// Due keys that are drawn are collected, so the loop ends even if all keys are due. If they have to stay, or are held, it
    /// ends after some of them.
    // COMPAT: the answer is then a key that no other command finds, as in Redis.
    pub fn random_key(&mut self, at: Moment, mut draw: impl FnMut(u64) -> u64) -> Option<Vec<u8>> {
        let mut tries = RANDOM_TRIES_MAX;
        loop {
            let entry = self.table.random(&mut draw)?;
            let key = entry.key().to_vec();
            tries -= usize::from(at.keep_due || self.is_held(&key));
            if !at.is_due(&entry) || tries == 0 {
                return Some(key);
            }
            self.lookup_write(&key, at);
        }
    }

    /// Collects due keys, in order of their deadlines, spending one unit of `budget` per timer looked at. Each collected
    /// entry is shown to `expired`, and becomes garbage if it takes long to free. What is left of the budget frees timers that
    /// nobody needs any more, if they have come to outnumber the keys with a deadline; then not being done means that more of
    /// them wait to be freed.
    ///
    /// To be called whenever time has passed or keys have changed; a clock that went back is noticed here.
    pub fn expire(&mut self, now_ms: i64, budget: &mut usize, expired: impl FnMut(&Entry)) -> Progress {
        self.timers.expire(&mut self.table, &mut self.accounting, now_ms, budget, expired)
    }

    /// Bounds the garbage of the wheel; to be called after each change that may have added a node.
    #[inline]
    pub(super) fn relieve(&mut self) {
        self.timers.relieve(&mut self.table, self.accounting.timed);
    }

    /// When the keys fall due; `None` if none ever had a deadline. O(1); see [`super::forecast`] for cost and exactness.
    pub fn forecast(&mut self, prng: &mut Prng) -> Option<Forecast> {
        self.timers.forecast(&mut self.table, self.accounting.timed, prng)
    }

    /// False as long as no key has ever had a deadline: then there is nothing for [`Db::expire`] to do.
    #[inline]
    pub fn has_timers(&self) -> bool {
        self.timers.wheel.is_some()
    }

    /// The tick at which the wheel next has something to look at, never later than the next deadline.
    pub fn next_tick_ms(&self) -> Option<i64> {
        self.timers.next_tick_ms()
    }
}

#[cfg(test)]
#[path = "db_tests.rs"]
mod tests;
