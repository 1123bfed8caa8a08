//! One database: the table of its keys and the wheel of their deadlines.
//!
//! # Invariants
//! - A key whose deadline has passed does not exist for anyone, whatever the wheel has done: every lookup checks.
//! - Every key that is due some time (`Due::next_ms`: its own deadline or the first of its hash's fields) has a wheel node in
//!   the slot of that time or of an earlier tick (the owner's side of the protocol in `timer::wheel`);
//!   `Entry::timer_exact` says which.
//! - `timed` counts the keys with a deadline, and the hashes whose fields have any.
//! - The wheel has no more nodes than a small multiple of what `timed` counts, and a constant: `expire` frees what nobody needs
//!   within its budget, and beyond a second bound the commands that add nodes do. Nothing sweeps more than a few dozen at
//!   a time.
//!
//! Called by command handlers. Knows nothing of clients, replies or propagation, and asks no clock: a [`Moment`] is
//! handed in.

use std::cell::RefCell;
use std::fmt;

use super::entry::{ACCESS_CLOCK_MASK, Entry, NewValue};
use super::fields::{self, Books, Due, Overdue, Timed};
use super::forecast::Forecast;
use super::hash::KeyHasher;
use super::table::{Lent, Occupied, Table};
use crate::base::clock::Now;
use crate::base::prng::Prng;
use crate::timer::{KEY_SLOTS, Progress, SweepVerdict, Verdict, Visitor, Wheel};

/// Nodes of the wheel beyond twice the keys with a deadline that are left to their slots: 512 KiB of garbage. Tests allow
/// less, so that short histories meet the sweep.
const GARBAGE_NODES_MAX: usize = if cfg!(test) { 64 } else { 65_536 };

/// With this many times the garbage that is left to its slots, the commands that set deadlines sweep as well.
const GARBAGE_FACTOR_MAX: usize = 2;

/// Nodes that come before such a command sweeps, and nodes swept then: some 20 us. At least three of four nodes are garbage
/// by then, so a pass over them all frees more than the quarter of their number that comes meanwhile.
const RELIEF_NODES: usize = 32;
const RELIEF_SWEPT: usize = 4 * RELIEF_NODES;

/// Keys drawn for a random one that is not due, while due ones have to stay; Redis's number.
const RANDOM_TRIES_MAX: usize = 100;

/// What lookups need to know besides the key: the time, and the hash of the one key that was hashed in advance.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix time in milliseconds.
    pub unix_ms: i64,
    /// Seconds on the 24-bit access clock, or `None` to leave access times alone (`CLIENT NO-TOUCH`).
    pub access: Option<u32>,
    /// Address, length and hash of the key that was hashed when its bucket was prefetched. The key lies in the input of
    /// the command being run, which does not change before the command, and with it this moment, is over.
    hashed: (usize, usize, u64),
    /// Due keys are missing to lookups but stay where they are (`CLIENT PAUSE`).
    pub keep_due: bool,
    /// A lookup that finds nothing is not noted.
    quiet: bool,
}

impl Moment {
    /// The moment a command runs at; `touch` is false for clients that asked not to touch keys.
    pub fn new(now: Now, touch: bool) -> Moment {
        let access = touch.then_some(now.unix_s() as u32 & ACCESS_CLOCK_MASK);
        Moment { unix_ms: now.unix_ms, access, keep_due: false, quiet: false, hashed: (0, 0, 0) }
    }

    /// The same moment, with the hash of a key known.
    pub fn with_hash(self, key: &[u8], hash: u64) -> Moment {
        Moment { hashed: (key.as_ptr().addr(), key.len(), hash), ..self }
    }

    /// The hash of a key: as known, or computed.
    #[inline]
    pub fn hash(&self, hasher: KeyHasher, key: &[u8]) -> u64 {
        let (address, len, hash) = self.hashed;
        if key.as_ptr().addr() == address && key.len() == len { hash } else { hasher.hash(key) }
    }

    /// Seconds on the access clock: what a key that is created now starts from, whoever creates it.
    pub fn access_clock(self) -> u32 {
        self.unix_ms.div_euclid(1000) as u32 & ACCESS_CLOCK_MASK
    }

    /// The same moment for a lookup that does not count as an access.
    pub fn untouched(self) -> Moment {
        Moment { access: None, ..self }
    }

    /// The same moment for a lookup that nobody is told of if it finds nothing.
    pub fn quietly(self) -> Moment {
        Moment { quiet: true, ..self }
    }

    /// The same moment for lookups that leave due keys in place, as while CLIENT PAUSE lasts: the data must not change.
    pub fn keeping_due(self) -> Moment {
        Moment { keep_due: true, ..self }
    }

    pub(super) fn is_due(self, entry: &Entry) -> bool {
        entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= self.unix_ms)
    }
}

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

/// Counts of what lookups met.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbStats {
    /// Reading lookups that found a key.
    pub hits: u64,
    /// Reading lookups that found none.
    pub misses: u64,
    /// Keys that left because their deadline had passed.
    pub expired: u64,
    /// Fields of hashes that left because their deadline had passed.
    pub expired_fields: u64,
}

/// How a lookup that may write is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Not at all.
    Write,
    /// As one for reading: a hit or a miss.
    ReadWrite,
}

/// What can happen to a key without a command having said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The key was not there before.
    Created,
    /// Its deadline had passed.
    Expired,
    /// A new value took the place of the old one.
    Overwritten,
    /// The new value is of another type.
    TypeChanged,
    /// Somebody wanted to read it, and it was not there.
    Missed,
    /// The deadlines of some of its fields had passed.
    FieldsExpired,
    /// The deadlines of all its fields had passed, and with them it went.
    Emptied,
    /// It is the first of the database with a deadline. Always noted.
    Timed,
}

/// What is to be noted; nothing, until somebody wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "one switch for each variant of `Happened`")]
pub struct Noting {
    pub created: bool,
    pub expired: bool,
    pub overwritten: bool,
    pub type_changed: bool,
    pub missed: bool,
    pub fields_expired: bool,
    pub emptied: bool,
}

impl Noting {
    /// True if it is to be noted that something leaves because it is due.
    pub fn leaving(self) -> bool {
        self.expired || self.fields_expired || self.emptied
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub happened: Happened,
    /// To which key.
    pub key: Box<[u8]>,
}

#[derive(Debug, Default)]
pub(super) struct Notebook {
    wanted: Noting,
    notes: Vec<Note>,
}

impl Notebook {
    /// Notes something, if it is wanted; costs a test of a flag if not.
    #[inline]
    pub(super) fn note(&mut self, happened: Happened, key: &[u8]) {
        let wanted = match happened {
            Happened::Created => self.wanted.created,
            Happened::Expired => self.wanted.expired,
            Happened::Overwritten => self.wanted.overwritten,
            Happened::TypeChanged => self.wanted.type_changed,
            Happened::Missed => self.wanted.missed,
            Happened::FieldsExpired => self.wanted.fields_expired,
            Happened::Emptied => self.wanted.emptied,
            Happened::Timed => true,
        };
        if wanted {
            self.notes.push(Note { happened, key: key.into() });
        }
    }
}

/// One database.
#[derive(Debug)]
pub struct Db {
    pub(super) table: Table<Entry>,
    pub(super) wheel: Option<Box<Wheel>>,
    /// The wheel's nodes when it was last swept.
    nodes_swept: usize,
    pub(super) timed: Timed,
    pub(super) stats: DbStats,
    pub(super) notebook: Notebook,
    pub(super) garbage: Garbage,
    /// Hashes that were left with due fields, as one visit must not take too long.
    pub(super) overdue: Overdue,
}

/// Values that have left the database and would take long to free here.
#[derive(Default)]
pub(super) struct Garbage(Vec<Box<dyn Send>>);

impl fmt::Debug for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Garbage").field(&self.0.len()).finish()
    }
}

impl Garbage {
    /// Drops an entry, or keeps it for whoever takes the garbage.
    #[inline]
    pub(super) fn discard(&mut self, entry: Entry) {
        if entry.is_costly_to_free() {
            self.0.push(Box::new(entry));
        }
    }
}

impl Db {
    /// An empty database; allocates nothing until the first key.
    pub fn new(hasher: KeyHasher) -> Db {
        Db {
            table: Table::new(hasher),
            wheel: None,
            nodes_swept: 0,
            timed: Timed::default(),
            stats: DbStats::default(),
            notebook: Notebook::default(),
            garbage: Garbage::default(),
            overdue: Overdue::default(),
        }
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
        self.timed.keys
    }

    /// Number of hashes that have fields with a deadline.
    pub fn timed_hashes(&self) -> usize {
        self.timed.hashes
    }

    /// The counters of this database.
    pub fn stats(&self) -> DbStats {
        self.stats
    }

    /// Takes over another database's counters, and what it was told to note: neither belongs to the keys.
    pub fn inherit(&mut self, other: &Db) {
        self.stats = other.stats;
        self.notebook.wanted = other.notebook.wanted;
    }

    /// Says what is to be noted from now on. Notes that were made stay.
    pub fn set_noting(&mut self, wanted: Noting) {
        self.notebook.wanted = wanted;
    }

    /// True if something has been noted since the last time.
    #[inline]
    pub fn has_notes(&self) -> bool {
        !self.notebook.notes.is_empty()
    }

    /// What has been noted since the last time, in order.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notebook.notes)
    }

    /// Values that left the database under a caller's hands (overwritten, or found due) and are better freed elsewhere, one
    /// at a time.
    #[inline]
    pub fn take_garbage(&mut self) -> Option<Box<dyn Send>> {
        self.garbage.0.pop()
    }

    /// Zeroes the counters.
    pub fn reset_stats(&mut self) {
        self.stats = DbStats::default();
    }

    /// The key table, for figures about it.
    pub fn table(&self) -> &Table<Entry> {
        &self.table
    }

    /// Bytes of the wheel.
    pub fn wheel_bytes(&self) -> usize {
        self.wheel.as_ref().map_or(0, |wheel| wheel.bytes())
    }

    /// A key's entry, even if it is due. Counts nothing, changes nothing. O(1).
    #[inline(never)]
    pub fn peek(&self, key: &[u8]) -> Option<Lent<'_, Entry>> {
        self.table.lookup(self.table.hasher().hash(key), key)
    }

    /// Starts loading a key's bucket into the cache.
    #[inline]
    pub fn prefetch_bucket(&self, key: &[u8]) -> u64 {
        let hash = self.table.hasher().hash(key);
        self.table.prefetch_bucket(hash);
        hash
    }

    /// Starts loading the entry of a key of this hash.
    #[inline]
    pub fn prefetch_entry(&self, hash: u64) {
        self.table.prefetch_entry(hash);
    }

    /// The slot of a live key. A due key is collected on the way. Counts nothing; touches the access time as told. O(1).
    #[inline]
    pub fn lookup_write(&mut self, key: &[u8], at: Moment) -> Option<Occupied<'_, Entry>> {
        let hash = at.hash(self.table.hasher(), key);
        let mut slot = self.table.occupied(hash, key)?;
        if at.is_due(&slot) {
            if !at.keep_due {
                collect_due(&mut self.timed, &mut self.stats, &mut self.notebook, &mut self.garbage, slot.remove());
            }
            return None;
        }
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        Some(slot)
    }

    /// A live key's entry, counted as a hit or a miss. O(1).
    #[inline]
    pub fn lookup_read(&mut self, key: &[u8], at: Moment) -> Option<Lent<'_, Entry>> {
        let hash = at.hash(self.table.hasher(), key);
        let Some(mut slot) = self.table.occupied(hash, key) else {
            self.stats.misses += 1;
            if !at.quiet {
                self.notebook.note(Happened::Missed, key);
            }
            return None;
        };
        if at.is_due(&slot) {
            if !at.keep_due {
                collect_due(&mut self.timed, &mut self.stats, &mut self.notebook, &mut self.garbage, slot.remove());
            }
            self.stats.misses += 1;
            if !at.quiet {
                self.notebook.note(Happened::Missed, key);
            }
            return None;
        }
        self.stats.hits += 1;
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        Some(slot.into_lent())
    }

    /// Stores a value under a key, over whatever was there. O(1), plus the bytes copied.
    #[inline]
    pub fn set(&mut self, key: &[u8], value: NewValue<'_>, ttl: Ttl, at: Moment) {
        self.set_if(key, value, ttl, at, Lookup::Write, |_| true);
    }

    /// Stores a value under a key if `allow` agrees, which is shown the live entry that is there. Returns whether it
    /// was stored. One lookup, which counts as one for reading too if told so; O(1), plus the bytes copied.
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
        let found = match self.table.occupied(hash, key) {
            Some(slot) if at.is_due(&slot) => {
                collect_due(&mut self.timed, &mut self.stats, &mut self.notebook, &mut self.garbage, slot.remove());
                None
            }
            found => found,
        };
        if lookup == Lookup::ReadWrite {
            self.stats.hits += u64::from(found.is_some());
            self.stats.misses += u64::from(found.is_none());
            if found.is_none() {
                self.notebook.note(Happened::Missed, key);
            }
        }
        if !allow(found.as_deref()) {
            return false;
        }
        let Some(mut slot) = found else {
            self.insert_new(hash, key, value, ttl, at);
            return true;
        };
        self.notebook.note(Happened::Overwritten, key);
        if slot.type_of() != value.type_of() {
            self.notebook.note(Happened::TypeChanged, key);
        }
        let (old, was_exact) = (Due::of(&slot), slot.timer_exact());
        let new = match ttl {
            Ttl::Clear => None,
            Ttl::Keep => old.key_ms,
            Ttl::At(deadline_ms) => Some(deadline_ms),
        };
        if slot.is_costly_to_free() {
            self.garbage.0.extend(slot.detach_payload());
        }
        slot.map(|entry| entry.with_value(value, new));
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        if new.is_some() || old.next_ms().is_some() {
            let (wheel, timed) = (&mut self.wheel, &mut self.timed);
            reschedule(wheel, timed, &mut self.notebook, &mut slot, hash, old, was_exact, at);
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
        entry.set_access(at.access_clock());
        self.insert_hashed(hash, entry, at);
    }

    /// Adds an entry whose key is not there (as a live key), as accessed just now. O(1).
    pub fn insert(&mut self, mut entry: Entry, at: Moment) {
        entry.set_access(at.access_clock());
        let hash = self.table.hasher().hash(entry.key());
        debug_assert!(self.table.lookup(hash, entry.key()).is_none(), "the key is already there");
        self.insert_hashed(hash, entry, at);
    }

    fn insert_hashed(&mut self, hash: u64, mut entry: Entry, at: Moment) {
        self.notebook.note(Happened::Created, entry.key());
        entry.set_timer_exact(false);
        let Db { wheel, timed, notebook, .. } = self;
        reschedule(wheel, timed, notebook, &mut entry, hash, Due::default(), false, at);
        self.table.insert(hash, entry);
        self.relieve();
    }

    /// Takes a live key out. O(1).
    pub fn remove(&mut self, key: &[u8], at: Moment) -> Option<Entry> {
        let slot = self.lookup_write(key, at.untouched())?;
        let entry = slot.remove();
        self.timed.leave(Due::of(&entry));
        Some(entry)
    }

    /// Changes a live key's deadline, `None` to keep it for good. False if there is no such key. O(1).
    pub fn set_deadline(&mut self, key: &[u8], deadline_ms: Option<i64>, at: Moment) -> bool {
        !matches!(self.set_deadline_if(key, deadline_ms, at, |_| true), DeadlineChange::NoKey)
    }

    /// Changes a live key's deadline, `None` to keep it for good, if `allow` says so of the present one. A deadline that
    /// has passed takes the key out. O(1), one lookup; nothing is allocated or moved when the key has a deadline already.
    pub fn set_deadline_if(
        &mut self,
        key: &[u8],
        deadline_ms: Option<i64>,
        at: Moment,
        allow: impl FnOnce(Option<i64>) -> bool,
    ) -> DeadlineChange {
        let hash = at.hash(self.table.hasher(), key);
        let Some(mut slot) = self.table.occupied(hash, key) else { return DeadlineChange::NoKey };
        if at.is_due(&slot) {
            collect_due(&mut self.timed, &mut self.stats, &mut self.notebook, &mut self.garbage, slot.remove());
            return DeadlineChange::NoKey;
        }
        if let Some(seconds) = at.access {
            slot.set_access(seconds);
        }
        let (old, was_exact) = (Due::of(&slot), slot.timer_exact());
        if !allow(old.key_ms) {
            return DeadlineChange::Refused;
        }
        match (old.key_ms, deadline_ms) {
            (_, Some(new)) if new <= at.unix_ms => {
                self.timed.leave(old);
                return DeadlineChange::Removed(slot.remove());
            }
            (Some(_), Some(new)) => slot.overwrite_deadline(new),
            (None, None) => return DeadlineChange::Done,
            _ => slot.map(|entry| entry.with_deadline(deadline_ms)),
        }
        reschedule(&mut self.wheel, &mut self.timed, &mut self.notebook, &mut slot, hash, old, was_exact, at);
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
    /// Due keys that are drawn are collected, so the loop ends even if all keys are due. If they have to stay, it ends
    /// after some of them.
    // COMPAT: the answer is then a key that no other command finds, as in Redis.
    pub fn random_key(&mut self, at: Moment, mut draw: impl FnMut(u64) -> u64) -> Option<Vec<u8>> {
        let mut tries = RANDOM_TRIES_MAX;
        loop {
            let entry = self.table.random(&mut draw)?;
            let key = entry.key().to_vec();
            tries -= usize::from(at.keep_due);
            if !at.is_due(&entry) || tries == 0 {
                return Some(key);
            }
            self.lookup_write(&key, at);
        }
    }

    /// Collects due keys, in order of their deadlines, spending one unit of `budget` per timer looked at. Each collected
    /// entry is handed to `expired`. What is left of the budget frees timers that nobody needs any more, if they have
    /// come to outnumber the keys with a deadline; then not being done means that more of them wait to be freed.
    ///
    /// To be called whenever time has passed or keys have changed; a clock that went back is noticed here.
    pub fn expire(&mut self, now_ms: i64, budget: &mut usize, expired: impl FnMut(Entry)) -> Progress {
        let Some(wheel) = self.wheel.as_mut() else { return Progress { lag_ms: 0, done: true } };
        wheel.rewind(now_ms);
        let progress = self.collect(now_ms, budget, expired);
        let swept = self.sweep_garbage(budget);
        Progress { done: progress.done && swept, ..progress }
    }

    fn collect(&mut self, now_ms: i64, budget: &mut usize, expired: impl FnMut(Entry)) -> Progress {
        let Db { table, wheel: Some(wheel), timed, stats, notebook, overdue, .. } = self else {
            return Progress { lag_ms: 0, done: true };
        };
        let books = RefCell::new(Books { timed, stats, notebook });
        let mut collector = Collector { table, books, overdue, expired };
        let lag_ms = collector.catch_up(wheel, now_ms, budget);
        if !collector.overdue.is_empty() {
            return Progress { lag_ms, done: false };
        }
        let progress = wheel.advance_with(now_ms, budget, &mut collector);
        Progress { done: progress.done && collector.overdue.is_empty(), ..progress }
    }

    /// Frees nodes whose key has gone or has another node, while they greatly outnumber the keys with a deadline: until
    /// their slots come round, keys that are set and deleted again and again would leave any number of them. O(budget).
    /// True if that was enough.
    fn sweep_garbage(&mut self, budget: &mut usize) -> bool {
        let bound = self.nodes_wanted_max();
        let Some(wheel) = self.wheel.as_mut() else { return true };
        if wheel.len() > bound {
            let (table, last) = (&mut self.table, wheel.last_tick());
            wheel.sweep(budget, |prefix, tick| sweep_verdict(table, prefix, tick, last));
        }
        self.nodes_swept = wheel.len();
        wheel.len() <= bound
    }

    /// Nodes of the wheel, garbage included, that call for no sweep.
    fn nodes_wanted_max(&self) -> usize {
        2 * (self.timed.keys + self.timed.hashes) + GARBAGE_NODES_MAX
    }

    /// Bounds the garbage whatever is done within a turn, and however little of it is left for [`Db::expire`]: beyond a
    /// second bound, who adds nodes sweeps. O(1), and nearly always a comparison.
    #[inline]
    pub(super) fn relieve(&mut self) {
        let nodes = self.wheel.as_ref().map_or(0, |wheel| wheel.len());
        if nodes >= self.nodes_swept + RELIEF_NODES && nodes > GARBAGE_FACTOR_MAX * self.nodes_wanted_max() {
            self.sweep_garbage(&mut { RELIEF_SWEPT });
        }
    }

    /// When the keys fall due; `None` if none ever had a deadline. O(1); see [`super::forecast`] for cost and exactness.
    pub fn forecast(&mut self, prng: &mut Prng) -> Option<Forecast> {
        let wheel = self.wheel.as_deref()?;
        Some(Forecast::take(&mut self.table, wheel, self.timed.keys, prng))
    }

    /// False as long as no key has ever had a deadline: then there is nothing for [`Db::expire`] to do.
    #[inline]
    pub fn has_timers(&self) -> bool {
        self.wheel.is_some()
    }

    /// The tick at which the wheel next has something to look at, never later than the next deadline.
    pub fn next_tick_ms(&self) -> Option<i64> {
        self.wheel.as_ref().and_then(|wheel| wheel.next_tick())
    }
}

/// Accounts for a due key that a lookup met and took out.
#[cold]
pub(super) fn collect_due(
    timed: &mut Timed,
    stats: &mut DbStats,
    notebook: &mut Notebook,
    garbage: &mut Garbage,
    entry: Entry,
) {
    timed.leave(Due::of(&entry));
    stats.expired += 1;
    notebook.note(Happened::Expired, entry.key());
    garbage.discard(entry);
}

/// The keys, as the wheel's visits meet them.
pub(super) struct Collector<'t, F> {
    pub(super) table: &'t mut Table<Entry>,
    /// Shared by what judges entries and what takes those that leave.
    pub(super) books: RefCell<Books<'t>>,
    pub(super) overdue: &'t mut Overdue,
    pub(super) expired: F,
}

impl<F: FnMut(Entry)> Visitor for Collector<'_, F> {
    /// A due key is two or three cache misses. Started together, those of a group cost little more than one.
    #[inline]
    fn ahead(&mut self, prefixes: &[u32]) {
        if prefixes.len() > 1 {
            prefixes.iter().for_each(|&prefix| self.table.prefetch_bucket(u64::from(prefix) << 32));
            prefixes.iter().for_each(|&prefix| self.table.prefetch_entry(u64::from(prefix) << 32));
        }
    }

    fn visit(&mut self, prefix: u32, tick: i64) -> Verdict {
        let Collector { table, books, overdue, expired } = self;
        let (mut next, mut live, mut stale, mut late) = (i64::MAX, 0, false, false);
        let judge = |entry: &mut Entry| {
            let mut due = Due::of(entry);
            if due.key_ms.is_some_and(|deadline_ms| deadline_ms <= tick) {
                return false;
            }
            if due.fields_ms.is_some_and(|due_ms| due_ms <= tick) {
                // What was exact until now was so for these fields: this node serves those that come next.
                books.borrow_mut().expire_fields(entry, tick, fields::PER_VISIT);
                if fields::is_emptied(entry) {
                    return false;
                }
                entry.set_timer_exact(false);
                due = Due::of(entry);
                late |= due.fields_ms.is_some_and(|due_ms| due_ms <= tick);
            }
            let Some(due_ms) = due.next_ms() else { return true };
            let in_its_slot = Wheel::same_slot(KEY_SLOTS, due_ms, tick);
            stale = entry.timer_exact() && !in_its_slot;
            entry.set_timer_exact(due_ms > tick);
            next = next.min(due_ms);
            live += 1;
            true
        };
        table.retain_prefix(prefix, judge, |entry| {
            books.borrow_mut().left(&entry);
            expired(entry);
        });
        if late {
            overdue.add(prefix);
        }
        if live > 1 {
            // Keys whose hashes share 32 bits cannot tell whose node this is: it stays, for the first of them to fall due,
            // and none of them counts as exact.
            let unsettle = |entry: &mut Entry| {
                entry.set_timer_exact(false);
                true
            };
            table.retain_prefix(prefix, unsettle, drop);
            return Verdict::Again(next);
        }
        if live == 0 || stale { Verdict::Drop } else { Verdict::Again(next) }
    }
}

/// What becomes of a node met by the sweep: `tick` is the next of its slot, `last` the last one visited.
fn sweep_verdict(table: &mut Table<Entry>, prefix: u32, tick: i64, last: i64) -> SweepVerdict {
    let (mut live, mut verdict) = (0, SweepVerdict::Drop);
    let judge = |entry: &mut Entry| {
        let Some(due_ms) = Due::of(entry).next_ms() else { return true };
        live += 1;
        let in_its_slot = Wheel::same_slot(KEY_SLOTS, due_ms, tick);
        verdict = match entry.timer_exact() {
            true if in_its_slot => SweepVerdict::Keep,
            true => SweepVerdict::Drop,
            // The first node of this key that is met becomes the one in its slot, and the others garbage.
            false if due_ms > last => SweepVerdict::Again(due_ms),
            false => SweepVerdict::Keep,
        };
        true
    };
    table.retain_prefix(prefix, judge, drop);
    match (live, verdict) {
        (0, _) => SweepVerdict::Drop,
        (1, SweepVerdict::Again(due_ms)) => {
            table.retain_prefix(
                prefix,
                |entry| {
                    entry.set_timer_exact(Due::of(entry).next_ms().is_some());
                    true
                },
                drop,
            );
            SweepVerdict::Again(due_ms)
        }
        (1, verdict) => verdict,
        // Whose node this is, among keys whose hashes share 32 bits, cannot be told: its slot will come.
        _ => SweepVerdict::Keep,
    }
}

/// Keeps the wheel in step with an entry whose deadlines were `old` and are now the entry's own.
#[allow(clippy::too_many_arguments, reason = "three parts of a database, of which a fourth holds the entry")]
pub(super) fn reschedule(
    wheel: &mut Option<Box<Wheel>>,
    timed: &mut Timed,
    notebook: &mut Notebook,
    entry: &mut Entry,
    hash: u64,
    old: Due,
    was_exact: bool,
    at: Moment,
) {
    let new = Due::of(entry);
    timed.change(old, new);
    match (old.next_ms(), new.next_ms()) {
        (None, None) => {}
        (Some(_), None) => entry.set_timer_exact(false),
        // The present node comes first: its visit will move it to the new deadline.
        (Some(old), Some(new)) if new >= old => entry.set_timer_exact(was_exact && new == old),
        (_, Some(new)) => {
            let wheel = wheel.get_or_insert_with(|| {
                notebook.note(Happened::Timed, entry.key());
                Box::new(Wheel::new(KEY_SLOTS, at.unix_ms))
            });
            entry.set_timer_exact(wheel.insert((hash >> 32) as u32, new));
        }
    }
}

#[cfg(test)]
#[path = "db_tests.rs"]
mod tests;
