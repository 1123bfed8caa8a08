//! When the next fsync begins under `always`: at once, or a moment later, so that those whom the last one has let go come along.
//!
//! Clients that wait for their reply before they write again, as most do, would otherwise split into two groups that take
//! turns: the smaller one is just written when an fsync is over, and the larger one is just told. Both wait for every other
//! fsync then. So it is worth waiting until as many wait as there were, if they come within a part of what an fsync takes.

/// The most that is waited, in nanoseconds.
const WAIT_NS_MAX: u64 = 500_000;
/// Fsyncs for which nothing is waited after it was in vain; doubled each time, up to the second.
const SKIPPED_MIN: u32 = 1;
const SKIPPED_MAX: u32 = 64;

/// What replies wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What was passed on up to here is on the disk.
    pub durable: u64,
    /// The fsync that is under way, if there is one, reaches up to here.
    pub under_way: u64,
}

/// What is known of the clients' rhythm.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Connections that waited when the last fsync began.
    group: usize,
    /// Nanoseconds that an fsync takes: a moving mean.
    sync_ns: u64,
    /// When the last one was over.
    ended_ns: u64,
    /// How many waited for the next one then; `None` until that is known.
    left: Option<usize>,
    /// Fsyncs for which nothing is waited.
    skip: u32,
    skipped: u32,
}

impl Gathering {
    /// True if the next fsync should not begin yet. `held` connections wait for it.
    pub fn waits(&mut self, held: usize, now_ns: u64) -> bool {
        let left = self.left.unwrap_or(held);
        let (came, gone) = (held.saturating_sub(left), self.group);
        if self.skip > 0 || came >= gone {
            return false;
        }
        if now_ns < self.ended_ns.saturating_add((self.sync_ns / 2).min(WAIT_NS_MAX)) {
            return true;
        }
        if came * 2 < gone {
            // They have something else to do: it is not worth it for a while.
            self.skipped = (self.skipped * 2).clamp(SKIPPED_MIN, SKIPPED_MAX);
            self.skip = self.skipped;
        } else {
            self.skipped = 0;
        }
        false
    }

    /// A turn is over, at whose end so many connections wait: the first one after an fsync says how many that has left.
    #[inline]
    pub fn note_left(&mut self, held: usize) {
        if self.left.is_none() {
            self.left = Some(held);
        }
    }

    /// An fsync has begun, for which so many wait.
    pub fn begun(&mut self, held: usize) {
        self.skip = self.skip.saturating_sub(1);
        self.group = held;
    }

    /// An fsync is over, after so many nanoseconds.
    pub fn ended(&mut self, took_ns: u64, now_ns: u64) {
        self.sync_ns = if self.sync_ns == 0 { took_ns } else { (7 * self.sync_ns + took_ns) / 8 };
        (self.ended_ns, self.left) = (now_ns, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_fsync_waits_for_those_whom_the_last_one_let_go() {
        let mut g = Gathering::default();
        assert!(!g.waits(1, 0), "there was none before");
        g.begun(30);
        g.ended(200_000, 1_000_000);
        g.note_left(20);
        g.note_left(25);
        assert!(g.waits(20, 1_000_001) && g.waits(49, 1_050_000));
        assert!(!g.waits(50, 1_050_000), "all are back");
        assert!(!g.waits(40, 1_100_000), "half of an fsync's time has passed");
    }

    #[test]
    fn who_does_not_come_back_is_waited_for_ever_more_rarely() {
        let mut g = Gathering::default();
        let (mut now_ns, mut waited) = (0, 0);
        for _ in 0..1000 {
            g.begun(10);
            now_ns += 200_000;
            g.ended(200_000, now_ns);
            g.note_left(3);
            let waits = g.waits(5, now_ns);
            waited += u32::from(waits);
            assert!(!waits || !g.waits(5, now_ns + 100_000));
        }
        assert!((10..30).contains(&waited), "{waited} of 1000");
    }
}
