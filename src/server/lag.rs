//! How late keys leave: the milliseconds between a key's deadline and its removal by the timers, over the last minute.
//!
//! One histogram a second, in a ring of sixty. A histogram counts lags exactly up to 7 ms and in four steps an octave above,
//! so a percentile read from it is at most 25 % too high and never too low; the maximum is kept as it is. The ring takes
//! 25 KiB from the first key on, and recording is a few instructions.
//!
//! Written by `engine::cron`, read by INFO and EXPIRY. It is told the time and knows nothing of keys. Keys that a client met
//! before the timers did are not in it: nobody saw them late.

use std::ops::RangeInclusive;

/// Seconds that are looked back on.
pub const WINDOW_S: u64 = 60;

/// Lags below this are counted by the millisecond; above it there are four steps an octave.
const EXACT_MS: u64 = 8;
/// Two to this power milliseconds, 4.6 hours, end the last octave; what is later still is counted in it.
const LAST_OCTAVE: u32 = 24;
const BUCKETS: usize = EXACT_MS as usize + 4 * (LAST_OCTAVE as usize - 3);

#[derive(Clone, Copy, Debug)]
struct Second {
    /// Monotonic second that is counted here.
    second: u64,
    max_ms: u64,
    counts: [u32; BUCKETS],
}

const EMPTY: Second = Second { second: 0, max_ms: 0, counts: [0; BUCKETS] };

/// What is known of the last minute's lags. All zero if no key expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Keys counted.
    pub keys: u64,
    /// Milliseconds that half of the keys did not exceed.
    pub p50_ms: u64,
    /// Milliseconds that 99 % did not exceed.
    pub p99_ms: u64,
    /// The longest lag, in milliseconds.
    pub max_ms: u64,
}

/// The lags of the last minute.
#[derive(Debug, Default)]
pub struct Lags {
    /// Nothing is allocated before the first key expires.
    ring: Option<Box<[Second; WINDOW_S as usize]>>,
}

fn bucket_of(lag_ms: u64) -> usize {
    if lag_ms < EXACT_MS {
        return lag_ms as usize;
    }
    let octave = lag_ms.ilog2();
    let step = (lag_ms >> (octave - 2)) & 3;
    (EXACT_MS as usize + 4 * (octave as usize - 3) + step as usize).min(BUCKETS - 1)
}

/// The highest lag that is counted in a bucket.
fn top_of(bucket: usize) -> u64 {
    match bucket.checked_sub(EXACT_MS as usize) {
        None => bucket as u64,
        Some(above) => ((5 + above as u64 % 4) << (above / 4 + 1)) - 1,
    }
}

impl Lags {
    /// Counts keys that all left at this monotonic second, so many milliseconds after their deadline. O(1).
    #[inline]
    pub fn record(&mut self, lag_ms: u64, now_s: u64) {
        let ring = self.ring.get_or_insert_with(|| Box::new([EMPTY; WINDOW_S as usize]));
        let second = &mut ring[(now_s % WINDOW_S) as usize];
        if second.second != now_s {
            *second = Second { second: now_s, ..EMPTY };
        }
        second.max_ms = second.max_ms.max(lag_ms);
        let count = &mut second.counts[bucket_of(lag_ms)];
        *count = count.saturating_add(1);
    }

    /// The lags of the minute that ends with this monotonic second. O(1): some 6,000 counts are added up.
    pub fn summary(&self, now_s: u64) -> Summary {
        let window: RangeInclusive<u64> = now_s.saturating_sub(WINDOW_S - 1)..=now_s;
        let mut counts = [0u64; BUCKETS];
        let mut max_ms = 0;
        for second in self.ring.iter().flat_map(|ring| ring.iter()).filter(|second| window.contains(&second.second)) {
            max_ms = max_ms.max(second.max_ms);
            counts.iter_mut().zip(&second.counts).for_each(|(sum, &count)| *sum += u64::from(count));
        }
        let keys: u64 = counts.iter().sum();
        let percentile = |percent: u64| {
            let rank = (keys * percent).div_ceil(100);
            let mut below = 0u64;
            let reached = counts.iter().position(|&count| {
                below += count;
                below >= rank
            });
            // A bucket's top may lie above everything that is in it.
            reached.map_or(0, top_of).min(max_ms)
        };
        Summary { keys, p50_ms: percentile(50), p99_ms: percentile(99), max_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lag_is_in_a_bucket_whose_top_is_at_most_a_quarter_above_it() {
        for lag_ms in (0..5_000).chain([1 << 20, (1 << 23) + 12_345, (1 << 24) - 1]) {
            let bucket = bucket_of(lag_ms);
            let top = top_of(bucket);
            assert!(lag_ms <= top && top <= lag_ms + lag_ms / 4, "{lag_ms} is in a bucket up to {top}");
            assert!(bucket == 0 || top_of(bucket - 1) < lag_ms);
        }
        assert_eq!((bucket_of(u64::MAX), top_of(BUCKETS - 1)), (BUCKETS - 1, (1 << LAST_OCTAVE) - 1));
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list_as_far_as_buckets_tell() {
        let mut lags = Lags::default();
        assert_eq!(lags.summary(100), Summary::default());
        // Skewed: many short ones, a long tail.
        let mut all: Vec<u64> = (0..10_000u64).map(|i| (i * i * i) / 20_000_000).collect();
        all.iter().enumerate().for_each(|(i, &lag)| lags.record(lag, 100 + i as u64 % 50));
        all.sort_unstable();
        let summary = lags.summary(149);
        assert_eq!((summary.keys, summary.max_ms), (10_000, all[9_999]));
        for (percentile, true_ms) in [(summary.p50_ms, all[4_999]), (summary.p99_ms, all[9_899])] {
            assert!(true_ms <= percentile && percentile <= true_ms + true_ms / 4, "{percentile} for {true_ms}");
        }
    }

    #[test]
    fn a_second_is_forgotten_after_a_minute() {
        let mut lags = Lags::default();
        lags.record(500, 0);
        lags.record(3, 59);
        assert_eq!(lags.summary(59), Summary { keys: 2, p50_ms: 3, p99_ms: 500, max_ms: 500 });
        assert_eq!(lags.summary(60), Summary { keys: 1, p50_ms: 3, p99_ms: 3, max_ms: 3 });
        lags.record(7, 60);
        assert_eq!(lags.summary(60), Summary { keys: 2, p50_ms: 3, p99_ms: 7, max_ms: 7 });
        assert_eq!(lags.summary(1_000).keys, 0);
    }
}
