//! The moment at which a database is used: the time, and what follows from who uses it.
//!
//! Made by callers once a command, and handed to every lookup. Asks no clock.

use super::access::{AccessClock, Stamp};
use super::entry::Entry;
use super::hash::KeyHasher;
use crate::base::clock::Now;

/// What a lookup writes into the entry that it finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touch {
    /// That it was accessed now.
    Stamp,
    /// That it was accessed once more.
    Count,
    /// Nothing.
    Nothing,
}

/// What lookups need to know besides the key: the time, and the hash of the one key that was hashed in advance.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Unix time in milliseconds.
    pub unix_ms: i64,
    /// What stamps are made by.
    pub(super) clock: AccessClock,
    /// What becomes of the stamps of keys that are looked up.
    pub(super) touch: Touch,
    /// Accesses are counted.
    is_counting: bool,
    /// Address, length and hash of the key that was hashed when its bucket was prefetched. The key lies in the input of
    /// the command being run, which does not change before the command, and with it this moment, is over.
    hashed: (usize, usize, u64),
    /// Due keys are absent to every lookup but stay where they are (`CLIENT PAUSE`): they are collected afterwards, unless
    /// another value takes their place.
    pub keep_due: bool,
    /// Deadlines are data, and nothing is due (a log is being loaded).
    loading: bool,
    /// A lookup that finds nothing is not noted.
    quiet: bool,
    /// Due elements of what is read leave at once: what follows from it is passed on to where they are still there.
    pub(super) purges: bool,
}

impl Moment {
    /// The moment a command runs at; `is_access` is false for clients that asked that theirs count as none
    /// (`CLIENT NO-TOUCH`).
    pub fn new(now: Now, is_access: bool) -> Moment {
        let touch = if is_access { Touch::Stamp } else { Touch::Nothing };
        let (clock, hashed) = (AccessClock::at(now), (0, 0, 0));
        let unix_ms = now.unix_ms;
        Moment {
            unix_ms,
            clock,
            touch,
            is_counting: false,
            keep_due: false,
            loading: false,
            quiet: false,
            purges: false,
            hashed,
        }
    }

    /// The same moment, with the hash of a key known.
    pub fn with_hash(self, key: &[u8], hash: u64) -> Moment {
        Moment { hashed: (key.as_ptr().addr(), key.len(), hash), ..self }
    }

    /// The same moment, with no hash known: for who goes on after the command's line is gone.
    pub fn without_hash(self) -> Moment {
        // No key is longer than there is memory.
        Moment { hashed: (0, usize::MAX, 0), ..self }
    }

    /// The hash of a key: as known, or computed.
    #[inline]
    pub fn hash(&self, hasher: KeyHasher, key: &[u8]) -> u64 {
        let (address, len, hash) = self.hashed;
        if key.as_ptr().addr() == address && key.len() == len { hash } else { hasher.hash(key) }
    }

    /// The same moment where accesses are counted instead of their times kept.
    pub fn counting(self) -> Moment {
        let touch = if self.touch == Touch::Nothing { Touch::Nothing } else { Touch::Count };
        Moment { touch, is_counting: true, ..self }
    }

    /// What a key that is new is stamped with.
    #[inline]
    pub(super) fn stamp(&self) -> Stamp {
        if self.is_counting { self.clock.first_counted() } else { self.clock.accessed() }
    }

    /// The same moment for a lookup that does not count as an access.
    pub fn without_access(self) -> Moment {
        Moment { touch: Touch::Nothing, ..self }
    }

    /// The same moment for a lookup that nobody is told of if it finds nothing.
    pub fn quietly(self) -> Moment {
        Moment { quiet: true, ..self }
    }

    /// The same moment for lookups that leave due keys in place, as while CLIENT PAUSE lasts: the data must not change.
    pub fn keeping_due(self) -> Moment {
        Moment { keep_due: true, ..self }
    }

    /// The same moment for a command that changes data.
    pub fn of_writer(self) -> Moment {
        Moment { purges: true, ..self }
    }

    /// The same moment for what a log holds: what had a deadline lives until the log says that it went, and a deadline that
    /// has passed is set as it is given.
    pub fn while_loading(self) -> Moment {
        Moment { loading: true, ..self }
    }

    /// The Unix millisecond up to which deadlines have passed: the time, unless nothing is due.
    #[inline]
    pub fn due_ms(&self) -> i64 {
        if self.loading { i64::MIN } else { self.unix_ms }
    }

    /// True if a lookup that finds nothing is not noted.
    pub(super) fn is_quiet(self) -> bool {
        self.quiet
    }

    pub(super) fn is_due(self, entry: &Entry) -> bool {
        entry.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= self.due_ms())
    }
}
