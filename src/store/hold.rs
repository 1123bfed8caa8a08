//! What long commands have under way in a database: keys that must not change until they are through, keys that nobody else is to
//! see until then, and walks over all keys.
//!
//! # Holds
//! A key that is held neither changes nor leaves. Whoever would change it has to ask first ([`Db::is_held`]); debug builds
//! check at the gate of changes that nobody has forgotten to. A held key that falls due is absent for everybody at once, as
//! any other, but it stays in the table, and so do the due fields of a held hash: the wheel drops the node that it came by,
//! and gets another one when the hold ends.
//!
//! # Groups
//! The keys that one command holds in the same way, however many they are: a set of their hashes, to which keys are added over
//! several turns and which ends at once, in the time that it takes to give new nodes to those of them that have lost theirs.
//! Two keys of one hash (one in 2^64 pairs) are held as one, which makes somebody wait for nothing. What the holder itself does
//! to its keys, it does while the database [acts for](Db::act_for) its group: then they are held by the others alone.
//!
//! # Walks
//! A walk ([`Db::begin_walk`]) visits the keys that were there when it began, each once, and holds none of them. It goes
//! through the table in the order of the hashes. A key that leaves before the walk has come to it is remembered by the walk, which
//! shows it with the next ones; a key that comes meanwhile, ahead of the walk, is remembered as born since, and passed over.
//! Keys behind the walk concern it no more. While there is none, a key that comes or leaves costs one test.
//!
//! # Invariants
//! - `born` has the hashes of keys that have come since the walk began, lie ahead of it and are in the table.
//! - A key of `left` was there when the walk began, and is not visited otherwise.
//! - Nothing is held for nobody: a key is in `keys` while its count is above zero, and no group is kept that has ended.
//!
//! Knows nothing of who holds a key, nor what for.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

use super::accounting::Due;
use super::db::Db;
use super::entry::Entry;
use super::hash::KeyHasher;
use super::table::position_of;

/// Keys born ahead of a walk that it remembers: 4 MiB of hashes. Beyond that it is [crowded](Db::is_walk_crowded).
const BORN_MAX: usize = 1 << 18;

/// How a key is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is read.
    Read,
    /// It is written when the holder is through, and read by whoever does so at once.
    Target,
    /// It is written piece by piece: nobody else reads or writes it.
    Exclusive,
}

/// Who holds a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// How many read it.
    pub readers: u32,
    /// How many will write it: one at most, as nobody may begin to read or write what another will write.
    pub targets: u32,
    /// How many are writing it: one at most, who has it alone.
    pub exclusive: u32,
}

impl Holders {
    fn count(&mut self, hold: Hold) -> &mut u32 {
        match hold {
            Hold::Read => &mut self.readers,
            Hold::Target => &mut self.targets,
            Hold::Exclusive => &mut self.exclusive,
        }
    }

    /// True if somebody holds it, in whatever way.
    pub fn are_some(&self) -> bool {
        *self != Holders::default()
    }

    /// True if somebody who is to hold it in this way has to wait.
    pub fn excludes(&self, hold: Hold) -> bool {
        match hold {
            Hold::Read | Hold::Target => self.targets + self.exclusive > 0,
            Hold::Exclusive => self.are_some(),
        }
    }
}

/// Names a group of held keys of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupId(u64);

/// Hashes a hash of a key, which is as good as random to everybody outside, by itself.
#[derive(Default)]
struct Itself(u64);

impl Hasher for Itself {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        debug_assert!(false, "only whole hashes are hashed, not {bytes:?}");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Keys that are held together.
#[derive(Debug)]
struct Group {
    id: GroupId,
    hold: Hold,
    hashes: HashSet<u64, BuildHasherDefault<Itself>>,
    /// Those of them that have lost their nodes of the wheel.
    untimed: Vec<Box<[u8]>>,
}

/// Names a walk of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkId(u64);

/// A walk over all keys.
#[derive(Debug)]
struct Walk {
    id: WalkId,
    /// The position in the table from which on keys have not been visited.
    at: u64,
    /// Keys whose deadlines had passed by then (Unix milliseconds) were not there.
    began_ms: i64,
    born: HashSet<u64>,
    left: Vec<Box<[u8]>>,
}

impl Walk {
    fn is_ahead(&self, hash: u64) -> bool {
        position_of(hash) >= self.at
    }
}

/// What is held of a database, and the walks over it.
#[derive(Debug)]
pub(super) struct Holds {
    keys: HashMap<Box<[u8]>, Holders>,
    groups: Vec<Group>,
    /// The group whose holder is at work: it is in nobody's own way.
    acting: Option<GroupId>,
    walks: Vec<Walk>,
    hasher: KeyHasher,
    /// The number of the last walk or group.
    begun: u64,
}

impl Holds {
    fn new(hasher: KeyHasher) -> Holds {
        let (keys, groups, walks) = (HashMap::new(), Vec::new(), Vec::new());
        Holds { keys, groups, acting: None, walks, hasher, begun: 0 }
    }

    fn is_idle(&self) -> bool {
        self.keys.is_empty() && self.groups.is_empty() && self.walks.is_empty()
    }

    /// True if a key is held, other than by who is at work.
    pub fn has(&self, key: &[u8]) -> bool {
        self.keys.contains_key(key) || self.groups_with(key).any(|group| Some(group.id) != self.acting)
    }

    /// The groups that a key is in.
    fn groups_with(&self, key: &[u8]) -> impl Iterator<Item = &Group> {
        let hash = if self.groups.is_empty() { 0 } else { self.hasher.hash(key) };
        self.groups.iter().filter(move |group| group.hashes.contains(&hash))
    }

    /// Takes note of a held key whose node of the wheel is dropped.
    #[cold]
    pub fn note_untimed(&mut self, key: &[u8]) {
        let hash = self.hasher.hash(key);
        let groups = self.groups.iter_mut().filter(|group| group.hashes.contains(&hash));
        groups.for_each(|group| group.untimed.push(key.into()));
    }

    /// Takes note of a key that comes.
    #[cold]
    pub fn note_born(&mut self, hash: u64) {
        for walk in &mut self.walks {
            if walk.is_ahead(hash) {
                walk.born.insert(hash);
            }
        }
    }

    /// Takes note of an entry that leaves.
    #[cold]
    pub fn note_left(&mut self, entry: &Entry) {
        if self.walks.is_empty() {
            return;
        }
        let hash = self.hasher.hash(entry.key());
        for walk in &mut self.walks {
            if walk.is_ahead(hash) && !walk.born.remove(&hash) && was_live(entry, walk.began_ms) {
                walk.left.push(entry.key().into());
            }
        }
    }
}

/// True if an entry that was there at a time was no due one. Deadlines that were set since lie behind that time, and a due key is
/// collected before it gets another one.
fn was_live(entry: &Entry, began_ms: i64) -> bool {
    entry.deadline_ms().is_none_or(|deadline_ms| deadline_ms > began_ms)
}

impl Db {
    /// Holds a key, which need not be there, once more. O(1).
    pub fn hold(&mut self, key: &[u8], hold: Hold) {
        let hasher = self.table.hasher();
        let holds = self.accounting.holds.get_or_insert_with(|| Box::new(Holds::new(hasher)));
        if !holds.keys.contains_key(key) {
            holds.keys.insert(key.into(), Holders::default());
        }
        if let Some(holders) = holds.keys.get_mut(key) {
            *holders.count(hold) += 1;
        }
    }

    /// Ends such a hold. What has fallen due meanwhile leaves at the next tick of the wheel, if nobody else holds the key. O(1).
    pub fn end_hold(&mut self, key: &[u8], hold: Hold) {
        let Some(holds) = &mut self.accounting.holds else { return };
        let Some(holders) = holds.keys.get_mut(key) else { return };
        let count = holders.count(hold);
        *count = count.saturating_sub(1);
        if *holders == Holders::default() {
            holds.keys.remove(key);
            self.drop_idle_holds();
            self.renew_timer(key);
        }
    }

    /// Gives a key that may have lost its node of the wheel a new one.
    fn renew_timer(&mut self, key: &[u8]) {
        let (Some(wheel), hash) = (self.timers.wheel.as_mut(), self.table.hasher().hash(key)) else { return };
        if let Some(mut slot) = self.table.occupied(hash, key)
            && let Some(due_ms) = Due::of(&slot).next_ms()
            && !slot.timer_exact()
        {
            let is_exact = wheel.insert((hash >> 32) as u32, due_ms);
            slot.set_timer_exact(is_exact);
        }
    }

    fn drop_idle_holds(&mut self) {
        if self.accounting.holds.as_ref().is_some_and(|holds| holds.is_idle()) {
            self.accounting.holds = None;
        }
    }

    /// True if a key must not change now, nor leave. O(1).
    #[inline]
    pub fn is_held(&self, key: &[u8]) -> bool {
        self.accounting.is_held(key)
    }

    /// Who holds a key. O(groups).
    pub fn holders_of(&self, key: &[u8]) -> Holders {
        let Some(holds) = &self.accounting.holds else { return Holders::default() };
        let mut holders = holds.keys.get(key).copied().unwrap_or_default();
        holds.groups_with(key).for_each(|group| *holders.count(group.hold) += 1);
        holders
    }

    /// Begins a group of keys that will be held in this way, and that has room for so many. O(1).
    pub fn begin_group(&mut self, hold: Hold, keys: usize) -> GroupId {
        let hasher = self.table.hasher();
        let holds = self.accounting.holds.get_or_insert_with(|| Box::new(Holds::new(hasher)));
        holds.begun += 1;
        let id = GroupId(holds.begun);
        let hashes = HashSet::with_capacity_and_hasher(keys, BuildHasherDefault::default());
        holds.groups.push(Group { id, hold, hashes, untimed: Vec::new() });
        id
    }

    /// Adds a key to a group, unless somebody else's holds exclude that; false then. O(groups).
    pub fn hold_in(&mut self, id: GroupId, key: &[u8]) -> bool {
        let Some(holds) = &mut self.accounting.holds else { return false };
        let hash = holds.hasher.hash(key);
        let mut holders = holds.keys.get(key).copied().unwrap_or_default();
        let mut own = None;
        for group in &mut holds.groups {
            if group.id == id {
                own = Some(group);
            } else if group.hashes.contains(&hash) {
                *holders.count(group.hold) += 1;
            }
        }
        let Some(own) = own.filter(|own| !holders.excludes(own.hold)) else { return false };
        own.hashes.insert(hash);
        true
    }

    /// True if a group has a key. O(groups).
    pub fn is_in_group(&self, id: GroupId, key: &[u8]) -> bool {
        self.accounting.holds.as_ref().is_some_and(|holds| holds.groups_with(key).any(|group| group.id == id))
    }

    /// Says whose holder is at work from now on. O(1).
    pub fn act_for(&mut self, id: Option<GroupId>) {
        if let Some(holds) = &mut self.accounting.holds {
            holds.acting = id;
        }
    }

    /// Ends a group; what is left of it may take long to free. O(1), and O(keys that have fallen due meanwhile).
    pub fn end_group(&mut self, id: GroupId) -> Option<Box<dyn Send>> {
        let holds = self.accounting.holds.as_mut()?;
        let index = holds.groups.iter().position(|group| group.id == id)?;
        let mut group = holds.groups.swap_remove(index);
        holds.acting = holds.acting.filter(|acting| *acting != id);
        self.drop_idle_holds();
        std::mem::take(&mut group.untimed).iter().for_each(|key| self.renew_timer(key));
        Some(Box::new(group.hashes))
    }

    /// True if some key is held, or a walk is under way.
    pub fn has_holds(&self) -> bool {
        self.accounting.holds.is_some()
    }

    /// Begins a walk over the keys that are there now and whose deadlines have not passed. O(1).
    pub fn begin_walk(&mut self, now_ms: i64) -> WalkId {
        let hasher = self.table.hasher();
        let holds = self.accounting.holds.get_or_insert_with(|| Box::new(Holds::new(hasher)));
        holds.begun += 1;
        let id = WalkId(holds.begun);
        holds.walks.push(Walk { id, at: 0, began_ms: now_ms, born: HashSet::new(), left: Vec::new() });
        id
    }

    /// Goes on with a walk as long as `go_on` says, which is asked at least after each dozen keys. True at its end; it still has to
    /// be [ended](Db::end_walk). O(keys visited).
    pub fn go_on_walking(&mut self, id: WalkId, mut visit: impl FnMut(&[u8]), mut go_on: impl FnMut() -> bool) -> bool {
        let Db { table, accounting, .. } = self;
        let Some(holds) = &mut accounting.holds else { return true };
        let hasher = holds.hasher;
        let Some(walk) = holds.walks.iter_mut().find(|walk| walk.id == id) else { return true };
        while let Some(key) = walk.left.pop() {
            visit(&key);
            if !go_on() {
                return false;
            }
        }
        if position_of(u64::MAX) < walk.at {
            return true;
        }
        // Since the last time buckets may have been merged, so that the first one has keys that were visited.
        let first = std::cell::Cell::new(true);
        let Walk { at, began_ms, born, .. } = walk;
        let (from, began_ms) = (*at, *began_ms);
        let show = |entry: &mut Entry| {
            let is_known = (first.get() || !born.is_empty()) && {
                let hash = hasher.hash(entry.key());
                position_of(hash) < from || born.remove(&hash)
            };
            if !is_known && was_live(entry, began_ms) {
                visit(entry.key());
            }
            true
        };
        let next = table.walk(from, show, || {
            first.set(false);
            go_on()
        });
        *at = next.unwrap_or(position_of(u64::MAX) + 1);
        next.is_none()
    }

    /// True if so many keys have come ahead of a walk that writers had better wait until it is through.
    pub fn is_walk_crowded(&self, id: WalkId) -> bool {
        let walks = self.accounting.holds.iter().flat_map(|holds| &holds.walks);
        walks.filter(|walk| walk.id == id).any(|walk| walk.born.len() > BORN_MAX)
    }

    /// Ends a walk, at its end or before. O(what it remembers).
    pub fn end_walk(&mut self, id: WalkId) {
        if let Some(holds) = &mut self.accounting.holds {
            holds.walks.retain(|walk| walk.id != id);
        }
        self.drop_idle_holds();
    }
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
