//! How long something took, each time it happened: a histogram of nanoseconds in bounded memory, of which LATENCY HISTOGRAM shows
//! octaves and INFO percentiles.
//!
//! An HDR histogram (Gil Tene) keeps each value with so many significant digits; the shape with two of them, from 1,024 ns up in
//! octaves, is the one that Redis shows.

use hdrhistogram::Histogram;

use crate::base::heap::size_class;

/// Longest time that is told from longer ones, in nanoseconds: a minute.
const NS_MAX: u64 = 60_000_000_000;
/// The end of the first octave that is shown, in nanoseconds.
const FIRST_OCTAVE_NS: u64 = 1024;

/// Significant digits of a histogram.
#[derive(Clone, Copy, Debug)]
pub enum Digits {
    /// 12 % apart, in 4 KiB.
    One = 1,
    /// 1 % apart, in 30 KiB: Redis's.
    Two = 2,
}

/// One histogram.
#[derive(Debug)]
pub struct Durations {
    histogram: Histogram<u64>,
    sum_ns: u64,
}

impl Durations {
    /// An empty one.
    pub fn new(digits: Digits) -> Durations {
        let histogram = Histogram::new_with_bounds(1, NS_MAX, digits as u8).expect("these bounds are in order");
        Durations { histogram, sum_ns: 0 }
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        size_class(size_of::<Durations>()) + size_class(self.histogram.distinct_values() * size_of::<u64>())
    }

    /// Counts something that took so many nanoseconds as often as this. O(1).
    #[inline]
    pub fn record(&mut self, ns: u64, times: u64) {
        self.histogram.saturating_record_n(ns.clamp(1, NS_MAX), times);
        self.sum_ns = self.sum_ns.wrapping_add(ns.wrapping_mul(times));
    }

    /// How often it happened.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// All of them together, in nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// The longest, in nanoseconds, rounded up as the histogram keeps it.
    pub fn max_ns(&self) -> u64 {
        self.histogram.max()
    }

    /// Nanoseconds that so many percent did not exceed. O(memory).
    pub fn percentile_ns(&self, percent: f64) -> u64 {
        self.histogram.value_at_percentile(percent)
    }

    /// How often it took no longer than each of these nanoseconds, which ascend; a step of the histogram is counted with the bound
    /// that lies in it, and ends at [`Durations::end_ns`]. O(memory) together.
    pub fn upto(&self, bounds_ns: impl Iterator<Item = u64>) -> impl Iterator<Item = u64> {
        let (mut counted, mut from_ns) = (0, 0);
        bounds_ns.map(move |bound_ns| {
            if counted < self.histogram.len() {
                counted += self.histogram.count_between(from_ns, bound_ns);
                from_ns = self.histogram.next_non_equivalent(bound_ns);
            }
            counted
        })
    }

    /// The end of the step in which so many nanoseconds lie. O(1).
    pub fn end_ns(&self, ns: u64) -> u64 {
        self.histogram.highest_equivalent(ns)
    }

    /// Ends of octaves in microseconds, each with how often it took no longer, where that is more than in the octave before.
    /// O(memory).
    pub fn octaves(&self) -> Vec<(u64, u64)> {
        let (mut octaves, mut counted, mut end_ns) = (Vec::new(), 0, FIRST_OCTAVE_NS);
        while counted < self.histogram.len() {
            let upto = self.histogram.count_between(0, end_ns);
            if upto > counted {
                octaves.push((self.histogram.highest_equivalent(end_ns) / 1000, upto));
            }
            counted = upto;
            end_ns *= 2;
        }
        octaves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ends are those of a running Redis 8.2: 1, 2, 4, 8, 16, 33, 66, 132 and so on.
    #[test]
    fn octaves_end_where_those_of_redis_do() {
        let mut durations = Durations::new(Digits::Two);
        for k in 0..26 {
            durations.record(1000 << k, 1 + k % 2);
        }
        let ends: Vec<u64> = durations.octaves().iter().map(|(us, _)| *us).collect();
        assert_eq!(ends[..13], [1, 2, 4, 8, 16, 33, 66, 132, 264, 528, 1056, 2113, 4227]);
        assert_eq!(durations.octaves().last(), Some(&(34_628_173, durations.count())));
        assert_eq!(durations.octaves()[1].1, 3, "counts add up");
    }

    #[test]
    fn counts_up_to_bounds_are_those_of_octaves() {
        let mut durations = Durations::new(Digits::Two);
        for k in 0..20_000u64 {
            durations.record(k * k * 3 + 7, 1 + k % 3);
        }
        let bounds: Vec<u64> = (0..26).map(|k| FIRST_OCTAVE_NS << k).collect();
        let upto: Vec<u64> = durations.upto(bounds.iter().copied()).collect();
        for (end_us, count) in durations.octaves() {
            let place = bounds.iter().position(|bound| durations.end_ns(*bound) / 1000 == end_us).expect("a bound");
            assert_eq!(upto[place], count, "up to {end_us} us");
        }
        assert_eq!(upto.last(), Some(&durations.count()));
        let sum: u64 = (0..20_000u64).map(|k| (k * k * 3 + 7) * (1 + k % 3)).sum();
        assert_eq!(durations.sum_ns(), sum);
    }

    /// `p50=56.063` of one command that took 56 us, and `p0=2.992` of one of 3: facts of a running Redis 8.6.
    #[test]
    fn percentiles_are_the_ends_of_steps() {
        let mut durations = Durations::new(Digits::Two);
        durations.record(3_000, 1);
        durations.record(56_000, 1);
        assert_eq!([0.0, 50.0, 99.9].map(|p| durations.percentile_ns(p)), [2_992, 3_007, 56_063]);
        durations.record(0, 1);
        durations.record(u64::MAX, 1);
        assert_eq!(durations.count(), 4);
        assert!(durations.max_ns() >= NS_MAX);
    }

    /// Beside a sorted list.
    #[test]
    fn percentiles_are_no_further_off_than_the_digits_say() {
        for (digits, percent) in [(Digits::One, 13), (Digits::Two, 1)] {
            let mut durations = Durations::new(digits);
            let mut all: Vec<u64> = (1..5_000u64).map(|i| i * i * 7 % 900_000_007 + 500).collect();
            all.iter().for_each(|ns| durations.record(*ns, 1));
            all.sort_unstable();
            for p in [1.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
                let rank = ((all.len() as f64 * p / 100.0).ceil() as usize).max(1);
                let (true_ns, shown_ns) = (all[rank - 1], durations.percentile_ns(p));
                assert!(
                    true_ns <= shown_ns && shown_ns <= true_ns + true_ns * percent / 100 + 1,
                    "p{p}: {shown_ns} for {true_ns}"
                );
            }
        }
    }
}
