//! Latency events, as LATENCY shows them: for each kind of event, one sample for each of the latest seconds in which one took as
//! long as `latency-monitor-threshold` asks, and the longest ever.
//!
//! Knows no threshold and no clock: whoever measures says what is to be kept. Names of events are constants of the program, so
//! their number is bounded; each takes 2.5 KiB from its first sample on.

use std::collections::BTreeMap;
use std::collections::VecDeque;

/// Seconds with a sample that are kept for an event, as in Redis.
pub const SAMPLES_MAX: usize = 160;

/// The longest that an event took in one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Unix second.
    pub unix_s: i64,
    /// Milliseconds.
    pub ms: u64,
}

/// What is known of one kind of event.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// The oldest first; seconds grow unless the wall clock is set back.
    samples: VecDeque<Sample>,
    /// The longest ever, in milliseconds.
    max_ms: u64,
}

impl Series {
    /// The samples, the oldest first.
    pub fn samples(&self) -> impl DoubleEndedIterator<Item = Sample> + ExactSizeIterator {
        self.samples.iter().copied()
    }

    /// The longest ever, in milliseconds.
    pub fn max_ms(&self) -> u64 {
        self.max_ms
    }

    /// Adds an event. One of the same second as the last stands beside it only if it took longer, and then in its place.
    fn add(&mut self, sample: Sample) {
        self.max_ms = self.max_ms.max(sample.ms);
        if let Some(last) = self.samples.back_mut().filter(|last| last.unix_s == sample.unix_s) {
            last.ms = last.ms.max(sample.ms);
            return;
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// All kinds of events that were seen.
#[derive(Debug, Default)]
pub struct LatencyEvents(BTreeMap<&'static str, Series>);

impl LatencyEvents {
    /// Notes an event that took so long. O(log n) for n kinds.
    pub fn add(&mut self, event: &'static str, ms: u64, unix_s: i64) {
        self.0.entry(event).or_default().add(Sample { unix_s, ms });
    }

    /// The events of a kind, if there were any.
    pub fn of(&self, event: &[u8]) -> Option<&Series> {
        self.0.get(std::str::from_utf8(event).ok()?)
    }

    /// All kinds with their events, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&'static str, &Series)> {
        self.0.iter().map(|(name, series)| (*name, series))
    }

    /// Forgets the events of a kind. True if there were any.
    pub fn forget(&mut self, event: &[u8]) -> bool {
        std::str::from_utf8(event).is_ok_and(|event| self.0.remove(event).is_some())
    }

    /// Forgets all; how many kinds these were.
    pub fn clear(&mut self) -> usize {
        std::mem::take(&mut self.0).len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_one_sample_and_the_latest_hundred_and_sixty_are_kept() {
        let mut events = LatencyEvents::default();
        for (ms, unix_s) in [(5, 100), (9, 100), (7, 100), (3, 101)] {
            events.add("command", ms, unix_s);
        }
        let samples = |events: &LatencyEvents| events.of(b"command").unwrap().samples().collect::<Vec<_>>();
        assert_eq!(samples(&events), [Sample { unix_s: 100, ms: 9 }, Sample { unix_s: 101, ms: 3 }]);
        (0..200).for_each(|s| events.add("command", 1, 200 + s));
        let kept = samples(&events);
        assert_eq!((kept.len(), kept[0].unix_s, kept[SAMPLES_MAX - 1].unix_s), (SAMPLES_MAX, 240, 399));
        assert_eq!(events.of(b"command").unwrap().max_ms(), 9, "the longest ever is known beyond its sample");
    }

    #[test]
    fn kinds_are_forgotten_one_by_one_or_all() {
        let mut events = LatencyEvents::default();
        ["command", "expire-cycle", "fast-command"].into_iter().for_each(|event| events.add(event, 1, 1));
        assert!(events.forget(b"expire-cycle") && !events.forget(b"expire-cycle") && !events.forget(b"\xff"));
        assert_eq!(events.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["command", "fast-command"]);
        assert_eq!(events.clear(), 2);
        assert!(events.of(b"command").is_none());
    }
}
