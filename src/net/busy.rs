//! When it pays to poll again and again for a moment instead of sleeping.
//!
//! To sleep, and to be woken, costs both the server and the client who waits for it: on a busy server the next request often
//! comes before the sleep would have begun. So the loop may look again for up to `busy-poll-us`, which is called an attempt
//! here. An attempt that brings nothing is processor time lost, and more than lost where the client needs the processor to send
//! its request. [`BusyPoll`] therefore keeps the share of attempts that brought something lately. While it is high, every wait
//! begins with an attempt; when it falls, attempts are made in ever fewer waits, down to one in [`SKIPPED_MAX`]; each that brings
//! something makes them more frequent again. Where connections become ready less than once a millisecond there are none.
//!
//! Knows no clock and no poll: it decides, and the loop does it. O(1) each, a few instructions.

/// Share of attempts that brought something, below which attempts become rare: in units of 1/65,536.
const SHARE_MIN: u32 = SHARE_ALL / 2;
const SHARE_ALL: u32 = 1 << 16;
/// The share follows the last eight attempts or so.
const SHARE_SHIFT: u32 = 3;
/// Waits without an attempt between two attempts at most: an attempt of 10 us that is never worth it then costs 10 ns a turn.
const SKIPPED_MAX: u32 = 1024;
/// Skipped waits are this many times fewer after an attempt that brought something.
const SKIPPED_LESS: u32 = 4;
/// After a wait longer than this no attempt is made: the next request is not expected so soon.
const WAIT_NS_MAX: u64 = 1_000_000;

/// The decision, and what it rests on.
#[derive(Debug)]
pub(super) struct BusyPoll {
    /// Share of attempts that brought something.
    share: u32,
    /// Waits without an attempt between two attempts; 0 while the share is high enough.
    skipped: u32,
    /// Of these, the ones still to come.
    left: u32,
}

impl Default for BusyPoll {
    /// No attempt is expected to bring anything until some have.
    fn default() -> BusyPoll {
        BusyPoll { share: 0, skipped: 1, left: 0 }
    }
}

impl BusyPoll {
    /// Whether the wait that begins should begin with an attempt, after one of so many nanoseconds that connections ended. To be
    /// followed by [`BusyPoll::attempted`] if so.
    #[inline]
    pub fn should_attempt(&mut self, waited_ns: u64) -> bool {
        if waited_ns > WAIT_NS_MAX {
            return false;
        }
        let skips = self.left > 0;
        self.left = self.left.saturating_sub(1);
        !skips
    }

    /// Learns whether an attempt brought something.
    #[inline]
    pub fn attempted(&mut self, found: bool) {
        self.share -= self.share >> SHARE_SHIFT;
        if found {
            self.share += SHARE_ALL >> SHARE_SHIFT;
            self.skipped /= SKIPPED_LESS;
        } else if self.share < SHARE_MIN {
            self.skipped = (self.skipped * 2).clamp(1, SKIPPED_MAX);
        }
        self.left = self.skipped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT_NS: u64 = 20_000;

    /// How many of so many waits begin with an attempt, each of which brings something if `finds` says so.
    fn attempts(busy: &mut BusyPoll, waits: u32, mut finds: impl FnMut(u32) -> bool) -> u32 {
        let mut count = 0;
        for _ in 0..waits {
            if busy.should_attempt(SHORT_NS) {
                busy.attempted(finds(count));
                count += 1;
            }
        }
        count
    }

    #[test]
    fn attempts_that_bring_something_are_made_in_every_wait() {
        let mut busy = BusyPoll::default();
        assert!(attempts(&mut busy, 1000, |_| true) > 990);
        assert_eq!(attempts(&mut busy, 1000, |attempt| attempt % 4 != 0), 1000, "three of four are enough");
    }

    #[test]
    fn attempts_that_bring_nothing_become_rare_and_come_back_when_they_do() {
        let mut busy = BusyPoll::default();
        attempts(&mut busy, 1000, |_| true);
        let lost = attempts(&mut busy, 100_000, |_| false);
        assert!(lost < 120, "{lost} attempts lost");
        assert!((95..=98).contains(&attempts(&mut busy, 100_000, |_| false)));
        // They are found again within a few rounds of the longest pause.
        attempts(&mut busy, 3 * SKIPPED_MAX, |_| true);
        assert_eq!(attempts(&mut busy, 1000, |_| true), 1000);
    }

    #[test]
    fn attempts_that_seldom_bring_something_stay_rare() {
        let mut busy = BusyPoll::default();
        assert!(attempts(&mut busy, 100_000, |attempt| attempt % 4 == 0) < 2000);
    }

    #[test]
    fn nothing_is_attempted_where_requests_are_few() {
        let mut busy = BusyPoll::default();
        attempts(&mut busy, 1000, |_| true);
        assert!((0..1000).all(|_| !busy.should_attempt(WAIT_NS_MAX + 1)));
    }
}
