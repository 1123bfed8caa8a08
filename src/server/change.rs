//! What follows from a change of data: the one place that every change passes, whoever makes it.
//!
//! A handler describes what it changed as a [`Change`] and gives it to [`Ctx::change`](super::ctx::Ctx::change). From it come, in
//! this order:
//! 1. the count of changes (INFO's `rdb_changes_since_last_save`);
//! 2. the touch: transactions that watch the key fail, clients that wait for it may have their turn, queries that name it
//!    are evaluated;
//! 3. the keyspace event;
//! 4. when the command is over, its propagation: see [`super::propagation`].
//!
//! What happens to keys by time alone (their deadline, or their fields', has passed) the databases note on their own, as they
//! find it; [`Server::report`] makes the same of such notes.

use super::Server;
use crate::config::EventClass;
use crate::store::db::Moment;
use crate::store::notes::{Happened, Noting};
use crate::store::types::Type;

/// Who looks at a key after a change of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Touch {
    /// All who watch it or wait for it.
    All,
    /// Those who watch it: it holds nothing new for those who wait.
    Watchers,
    /// Nobody: what changed is beside the value, such as the state of a stream's groups.
    Nobody,
}

/// A change of data by a command.
#[derive(Clone, Copy, Debug)]
#[must_use = "a change is told of with `Ctx::change`"]
pub struct Change<'k> {
    /// The key; none for a change of whole databases.
    key: Option<&'k [u8]>,
    /// The place of its database, if it is not the one selected.
    db: Option<usize>,
    /// Another key that the same change modified, and the place of its database if that is not the one selected.
    also: Option<(&'k [u8], Option<usize>)>,
    event: Option<(EventClass, &'k str)>,
    count: usize,
    touch: Touch,
}

impl<'k> Change<'k> {
    /// A key of the selected database was modified, once, which is told of as an event of this name.
    #[inline]
    pub const fn new(class: EventClass, event: &'k str, key: &'k [u8]) -> Change<'k> {
        Change { key: Some(key), db: None, also: None, event: Some((class, event)), count: 1, touch: Touch::All }
    }

    /// A key was modified in a way that has no event.
    #[inline]
    pub const fn without_event(key: &'k [u8]) -> Change<'k> {
        Change { key: Some(key), db: None, also: None, event: None, count: 1, touch: Touch::All }
    }

    /// Databases changed as a whole, by so many keys: flushed, or swapped. Who watches what was in them is told by
    /// [`Server::flush_db`] and [`Server::swap_dbs`].
    pub const fn of_databases(keys: usize) -> Change<'k> {
        Change { key: None, db: None, also: None, event: None, count: keys, touch: Touch::Nobody }
    }

    /// The command made so many changes to the key, all told of as one.
    #[inline]
    pub const fn times(self, count: usize) -> Change<'k> {
        Change { count, ..self }
    }

    /// The key is of the database at this place.
    pub const fn in_db(self, db: usize) -> Change<'k> {
        Change { db: Some(db), ..self }
    }

    /// One more key was modified by the same change: renamed, or moved.
    pub const fn and_key(self, key: &'k [u8]) -> Change<'k> {
        Change { also: Some((key, None)), ..self }
    }

    /// The same for a key of the database at this place.
    pub const fn and_key_in(self, db: usize, key: &'k [u8]) -> Change<'k> {
        Change { also: Some((key, Some(db))), ..self }
    }

    /// Nobody who waits for the key is to look at it again: it was there, stays what it is, and holds nothing that is new.
    ///
    /// More than thrift: a command that waits for several streams is answered with an error when it is run again and one of
    /// the others has become a key of another type, which Redis does not notice before an entry is added.
    pub const fn in_place(self) -> Change<'k> {
        Change { touch: Touch::Watchers, ..self }
    }

    /// The key does not count as modified to anybody who watches it or waits for it.
    pub const fn beside_the_value(self) -> Change<'k> {
        Change { touch: Touch::Nobody, ..self }
    }
}

impl Server {
    /// Does what follows from a change at once: counts, touches, tells. `selected` is the place of the database selected.
    #[inline]
    pub(super) fn apply(&mut self, change: &Change<'_>, selected: usize, at: &Moment) {
        self.stats.dirty += change.count as u64;
        let Some(key) = change.key else { return self.invalidate_all() };
        let db = change.db.unwrap_or(selected);
        if db != selected {
            self.report(db);
        }
        match change.touch {
            Touch::All => self.touch(db, key, at),
            Touch::Watchers => self.touch_watched(db, key, at),
            Touch::Nobody => {}
        }
        if let Some((other, other_db)) = change.also {
            let other_db = other_db.unwrap_or(selected);
            if other_db != selected {
                self.report(other_db);
            }
            self.touch(other_db, other, at);
        }
        if let Some((class, event)) = change.event {
            self.notify(class, event, db, key);
        }
    }

    /// Notes that a key changed, or came or went: transactions that watch it will fail, and clients that wait for it may
    /// have their turn, and queries that name it will be evaluated. Costs a test of three numbers when nobody does any of it.
    #[inline]
    pub(super) fn touch(&mut self, db: usize, key: &[u8], at: &Moment) {
        if !self.watchers.waits.is_empty() {
            self.touch_waiters(db, key);
        }
        self.touch_watched(db, key, at);
    }

    /// The same, but not for those who wait.
    #[inline]
    fn touch_watched(&mut self, db: usize, key: &[u8], at: &Moment) {
        if !self.watchers.watches.is_empty() {
            self.break_watches(db, key);
        }
        if !self.watchers.reactive.is_empty() {
            self.watchers.reactive.touch(db, key, at.hash(self.dbs.hasher, key));
        }
        if self.watchers.caches.is_on() {
            self.invalidate(key, at.hash(self.dbs.hasher, key), self.watchers.caches.author());
        }
    }

    /// The same, for those who wait alone.
    #[cold]
    pub(super) fn touch_waiters(&mut self, db: usize, key: &[u8]) {
        if let Some(key) = self.watchers.waits.find(db, key) {
            self.consider_ready(key);
        }
    }

    /// Tells the subscribers of keyspace events that something happened to a key. Costs one test of a flag when nobody
    /// asked for such events.
    #[inline]
    pub fn notify(&mut self, class: EventClass, event: &str, db: usize, key: &[u8]) {
        if self.config.notify_keyspace_events.has(class) {
            self.report(db);
            self.publish_event(event, db, key);
        }
    }

    fn publish_event(&mut self, event: &str, db: usize, key: &[u8]) {
        if !self.watchers.hub.has_listeners() || self.is_loading() {
            return;
        }
        if let Some(told) = &mut self.jobs.told {
            // One command, however many its pieces are.
            if told.iter().any(|(of, told)| told == event && **of == *key) {
                return;
            }
            told.push((key.into(), event.to_owned()));
        }
        let (events, number) = (self.config.notify_keyspace_events, self.dbs.number(db));
        if events.has(EventClass::Keyspace) {
            let channel = [format!("__keyspace@{number}__:").as_bytes(), key].concat();
            self.publish(&channel, event.as_bytes());
        }
        if events.has(EventClass::Keyevent) {
            self.publish(format!("__keyevent@{number}__:{event}").as_bytes(), key);
        }
    }

    /// Publishes what a database has noted on its own: keys that came, expired, were overwritten or missed. To be called for
    /// every database that a command may have changed.
    #[inline]
    pub fn report(&mut self, db: usize) {
        if self.dbs[db].has_notes() {
            self.report_notes(db);
        }
    }

    #[cold]
    fn report_notes(&mut self, db: usize) {
        for note in self.dbs[db].take_notes() {
            let (class, event) = match note.happened {
                Happened::Timed => {
                    self.dbs.note_timers(db);
                    continue;
                }
                Happened::Created => (EventClass::New, "new"),
                Happened::Expired => (EventClass::Expired, "expired"),
                Happened::Overwritten => (EventClass::Overwritten, "overwritten"),
                Happened::TypeChanged => (EventClass::TypeChanged, "type_changed"),
                Happened::Missed => (EventClass::KeyMiss, "keymiss"),
                Happened::ElementsExpired => match note.of {
                    Some(Type::Set) => (EventClass::Set, "sexpired"),
                    Some(Type::ZSet) => (EventClass::SortedSet, "zexpired"),
                    _ => (EventClass::Hash, "hexpired"),
                },
                Happened::Emptied => (EventClass::Generic, "del"),
            };
            match note.happened {
                Happened::Expired => {
                    self.propagate_expired(db, &note.key);
                    self.touch_waiters(db, &note.key);
                }
                // The key goes with the last of its elements, which have been passed on.
                Happened::Emptied => self.touch_waiters(db, &note.key),
                Happened::ElementsExpired => {
                    if self.propagation.is_wanted() && !note.elements.is_empty() {
                        let name: &[u8] = match note.of {
                            Some(Type::Set) => b"SREM",
                            Some(Type::ZSet) => b"ZREM",
                            _ => b"HDEL",
                        };
                        let elements = note.elements.iter().map(|element| &**element);
                        self.propagate_own(db, [name, &note.key].into_iter().chain(elements));
                    }
                    self.break_watches(db, &note.key);
                }
                _ => {}
            }
            if matches!(note.happened, Happened::Expired | Happened::Emptied | Happened::ElementsExpired) {
                let hash = self.dbs.hasher.hash(&note.key);
                self.watchers.reactive.touch(db, &note.key, hash);
                if self.watchers.caches.is_on() {
                    self.invalidate(&note.key, hash, None);
                }
            }
            if self.config.notify_keyspace_events.has(class) {
                self.publish_event(event, db, &note.key);
            }
            if let Some(value) = &note.value {
                self.publish_expired_value(db, &note.key, value);
            }
            if self.names_subkeys(class) {
                self.notify_subkeys(class, event, db, &note.key, note.elements.iter().map(|field| &**field));
            }
        }
    }

    /// Publishes the string that a key held until its time was over.
    #[cold]
    fn publish_expired_value(&mut self, db: usize, key: &[u8], value: &[u8]) {
        if self.watchers.hub.has_listeners() && !self.is_loading() {
            let number = self.dbs.number(db);
            self.publish(&[format!("__keyexpired@{number}__:").as_bytes(), key].concat(), value);
        }
    }

    /// Tells the databases what to note, after `notify-keyspace-events` has been set, or after the first client began to
    /// wait for a key to go away, or to watch one or a query, or the last one stopped. O(databases
    /// made) if that makes a difference.
    pub fn note_wanted_events(&mut self) {
        let events = self.config.notify_keyspace_events;
        let live = !self.watchers.reactive.is_empty() || self.watchers.caches.is_on();
        let going = self.watchers.waits.keys_until_deleted() > 0;
        let of_elements = [EventClass::Hash, EventClass::Set, EventClass::SortedSet];
        let wanted = Noting {
            created: events.has(EventClass::New),
            expired: events.has(EventClass::Expired) || going || live || self.propagation.is_wanted(),
            overwritten: events.has(EventClass::Overwritten),
            type_changed: events.has(EventClass::TypeChanged),
            missed: events.has(EventClass::KeyMiss),
            elements_expired: of_elements.into_iter().any(|class| events.has(class))
                || !self.watchers.watches.is_empty()
                || live,
            emptied: events.has(EventClass::Generic) || going || live,
            element_names: self.propagation.is_wanted()
                || of_elements.into_iter().any(|class| events.name_subkeys(class)),
            value_bytes_max: match self.config.notify_expired_value_max_bytes {
                bytes if events.has(EventClass::Expired) => bytes as usize,
                _ => 0,
            },
        };
        self.dbs.set_noting(wanted);
    }
}
