//! The moment at which a database is used: the time, and what follows from who uses it.
//!
//! Made by callers once a command, and handed to every lookup. Asks no clock.

use super::entry::{ACCESS_CLOCK_MASK, Entry};
use super::hash::KeyHasher;
use crate::base::clock::Now;

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
    /// Due keys are absent to every lookup but stay where they are (`CLIENT PAUSE`): they are collected afterwards, unless
    /// another value takes their place.
    pub keep_due: bool,
    /// Deadlines are data, and nothing is due (a log is being loaded).
    loading: bool,
    /// A lookup that finds nothing is not noted.
    quiet: bool,
}

impl Moment {
    /// The moment a command runs at; `is_access` is false for clients that asked that theirs count as none
    /// (`CLIENT NO-TOUCH`).
    pub fn new(now: Now, is_access: bool) -> Moment {
        let access = is_access.then_some(now.unix_s() as u32 & ACCESS_CLOCK_MASK);
        Moment { unix_ms: now.unix_ms, access, keep_due: false, loading: false, quiet: false, hashed: (0, 0, 0) }
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
    pub fn without_access(self) -> Moment {
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
