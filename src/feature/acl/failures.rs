//! Wrong passwords by the address they come from: how many there were, and how long they wait for their answers. Those of one
//! address are answered one after the other, however many connections they come by, so that guessing takes its time.
//!
//! Whoever sends the right password is answered at once.

use std::collections::BTreeMap;

/// Addresses that are told apart. Beyond them all others share one.
const ADDRESSES_MAX: usize = 4096;
/// The longest wait of an answer, in milliseconds: somebody else's failures must not keep a client out for long.
pub const WAIT_MS_MAX: u64 = 60_000;

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failed {
    /// Wrong passwords that came from it.
    pub count: u64,
    /// The monotonic millisecond at which the last of them is answered.
    pub answered_ms: u64,
}

impl Failed {
    /// True if so many failures are worth a line of the log: the tenth, the hundredth, the thousandth and so on.
    pub fn is_notable(self) -> bool {
        self.count >= 10 && self.count == 10u64.pow(self.count.ilog10())
    }
}

/// The addresses that wrong passwords came from.
#[derive(Debug, Default)]
pub struct Failures {
    by_address: BTreeMap<Box<str>, Failed>,
}

impl Failures {
    /// Takes note of a failure, to be answered `delay_ms` after the one before. O(log n) for n addresses, and O(n) now and then:
    /// when there are too many, those whose failures have all been answered are forgotten.
    pub fn note(&mut self, address: &str, now_ms: u64, delay_ms: u64) -> Failed {
        if self.is_full_for(address) {
            self.by_address.retain(|_, failed| failed.answered_ms > now_ms);
        }
        let name = if self.is_full_for(address) { "" } else { address };
        let failed = self.by_address.entry(name.into()).or_default();
        failed.count += 1;
        failed.answered_ms = (now_ms.max(failed.answered_ms) + delay_ms).min(now_ms + WAIT_MS_MAX);
        *failed
    }

    fn is_full_for(&self, address: &str) -> bool {
        self.by_address.len() >= ADDRESSES_MAX && !self.by_address.contains_key(address)
    }

    /// What is known of an address.
    pub fn of(&self, address: &str) -> Option<Failed> {
        self.by_address.get(address).copied()
    }

    /// How many addresses are known.
    pub fn len(&self) -> usize {
        self.by_address.len()
    }

    /// True if none is.
    pub fn is_empty(&self) -> bool {
        self.by_address.is_empty()
    }
}
