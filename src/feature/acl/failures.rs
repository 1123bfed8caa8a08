//! How long wrong passwords wait for their answers: those of one address are answered one after the other, however many
//! connections they come by, so that guessing takes its time.
//!
//! Whoever sends the right password is answered at once.

use std::collections::BTreeMap;

/// Addresses that are told apart. Beyond them all others share one.
const ADDRESSES_MAX: usize = 4096;
/// The longest wait of an answer, in milliseconds: somebody else's failures must not keep a client out for long.
pub const WAIT_MS_MAX: u64 = 60_000;

/// When the last wrong password of each address is answered.
#[derive(Debug, Default)]
pub struct Failures {
    /// Monotonic milliseconds.
    answered_ms: BTreeMap<Box<str>, u64>,
}

impl Failures {
    /// Takes note of a failure; the monotonic millisecond at which to answer it, `delay_ms` after the one before. O(log n) for n
    /// addresses, and O(n) now and then.
    pub fn answer_at(&mut self, address: &str, now_ms: u64, delay_ms: u64) -> u64 {
        if self.answered_ms.len() >= ADDRESSES_MAX && !self.answered_ms.contains_key(address) {
            self.answered_ms.retain(|_, answered_ms| *answered_ms > now_ms);
        }
        let is_full = self.answered_ms.len() >= ADDRESSES_MAX && !self.answered_ms.contains_key(address);
        let last_ms = self.answered_ms.entry(if is_full { "".into() } else { address.into() }).or_default();
        *last_ms = (now_ms.max(*last_ms) + delay_ms).min(now_ms + WAIT_MS_MAX);
        *last_ms
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.answered_ms.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.answered_ms.is_empty()
    }
}
