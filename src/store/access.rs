//! What an entry remembers of its accesses: 24 bits in its header, in one of three forms, and the clock that they are read by.
//!
//! ```text
//! ticks     24 bits: when it was last accessed, in ticks of 2^23 ns (8.4 ms); wraps after 39 hours
//! seconds   24 bits: the same in seconds; wraps after 194 days, as Redis's own clock does
//! count     16 bits: minutes at which the count was last lowered | 8 bits: a logarithmic count of accesses
//! ```
//! An access writes ticks: with Redis's whole seconds a cache whose contents turn over within a few of them cannot tell what was
//! used last. Before ticks come round again a walk over all keys ([`AccessClock::aged`], called by the census) turns old ones
//! into seconds. Counts are written instead while the memory policy asks for frequencies; their rules are Redis's. What
//! another policy has left behind is read for what it tells: a time as a key that is new to counting, a count as its minutes.
//!
//! The clock is the monotonic one: a wall clock that is set makes no key look old, nor does a machine that slept.

use crate::base::clock::Now;
use crate::base::prng::Prng;

/// Bits of a stamp's value.
const VALUE_MASK: u32 = (1 << 24) - 1;

/// Nanoseconds of a tick, as a power of two: reading the clock is one shift.
const TICK_NS_LOG: u32 = 23;

/// Ticks after which a stamp is better kept in seconds: a quarter of the range, 9.8 hours. The walk has the other 29 hours to come
/// by, in which it sees 500 million keys.
const AGED_TICKS: u32 = 1 << 22;

/// More ticks than the walk ever lets pass: 36.7 hours. What seems to be older was accessed after the clock was read.
const PASSED_TICKS_MAX: u32 = VALUE_MASK / 16 * 15;

/// The same for minutes: 42 days.
const PASSED_MINUTES_MAX: u32 = u16::MAX as u32 / 16 * 15;

/// The bits of an entry's flags that name the form; see `store::entry`.
pub(super) const FORM_SECONDS: u8 = 32;
pub(super) const FORM_COUNT: u8 = 64;
pub(super) const FORM_MASK: u8 = FORM_SECONDS | FORM_COUNT;

/// What a key that is new begins with, so that it is not at once the one to go; Redis's number.
const COUNT_INITIAL: u8 = 5;

/// What an entry remembers: the form in the upper eight bits, as in its flags, and the value in the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp(u32);

impl Stamp {
    #[inline]
    pub(super) fn new(form: u8, value: u32) -> Stamp {
        Stamp(u32::from(form) << 24 | value & VALUE_MASK)
    }

    #[inline]
    pub(super) fn form(self) -> u8 {
        (self.0 >> 24) as u8
    }

    #[inline]
    pub(super) fn value(self) -> u32 {
        self.0 & VALUE_MASK
    }

    fn counted(minutes: u16, count: u8) -> Stamp {
        Stamp::new(FORM_COUNT, u32::from(minutes) << 8 | u32::from(count))
    }

    /// True if it tells how often its entry was accessed, and not when.
    pub(super) fn is_count(self) -> bool {
        self.form() == FORM_COUNT
    }

    fn count_at(self, minutes: u16, counting: Counting) -> u8 {
        if !self.is_count() {
            return COUNT_INITIAL;
        }
        let passed = u32::from(minutes.wrapping_sub((self.value() >> 8) as u16));
        let passed = if passed <= PASSED_MINUTES_MAX { passed } else { 0 };
        let periods = passed.checked_div(counting.decay_minutes).unwrap_or(0);
        (self.value() as u8).saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// The stamp of an entry that is accessed once more, where accesses are counted: the higher the count, the less likely it
    /// grows. `fresh` is that of a key that is new now.
    pub(super) fn counted_again(self, fresh: Stamp, counting: Counting, prng: &mut Prng) -> Stamp {
        let minutes = (fresh.value() >> 8) as u16;
        let count = self.count_at(minutes, counting);
        let above = u64::from(count.saturating_sub(COUNT_INITIAL));
        let grows = count < u8::MAX && prng.below(above * u64::from(counting.log_factor) + 1) == 0;
        Stamp::counted(minutes, count + u8::from(grows))
    }
}

/// How accesses are counted: `lfu-log-factor` and `lfu-decay-time`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counting {
    /// The greater, the more accesses it takes to raise the count.
    pub log_factor: u32,
    /// Minutes after which the count is lowered by one; 0 for never.
    pub decay_minutes: u32,
}

impl Default for Counting {
    fn default() -> Counting {
        Counting { log_factor: 10, decay_minutes: 1 }
    }
}

/// One reading of the clock that stamps are made and read by.
#[derive(Clone, Copy, Debug)]
pub struct AccessClock {
    mono_ns: u64,
}

impl AccessClock {
    /// The reading at this time.
    #[inline]
    pub fn at(now: Now) -> AccessClock {
        AccessClock { mono_ns: now.mono_ns }
    }

    #[inline]
    fn ticks(self) -> u32 {
        (self.mono_ns >> TICK_NS_LOG) as u32
    }

    /// Ticks since an access; none if it came after the clock was read, as it may while a snapshot is made.
    #[inline]
    fn passed_ticks(self, value: u32) -> u32 {
        let ticks = self.ticks().wrapping_sub(value) & VALUE_MASK;
        if ticks <= PASSED_TICKS_MAX { ticks } else { 0 }
    }

    fn seconds(self) -> u32 {
        (self.mono_ns / 1_000_000_000) as u32
    }

    fn minutes(self) -> u16 {
        (self.mono_ns / 60_000_000_000) as u16
    }

    /// The stamp of an access now.
    #[inline]
    pub fn accessed(self) -> Stamp {
        Stamp::new(0, self.ticks())
    }

    /// The stamp of a key that is new now, where accesses are counted.
    pub fn first_counted(self) -> Stamp {
        Stamp::counted(self.minutes(), COUNT_INITIAL)
    }

    /// The stamp of a key with this count.
    pub fn with_count(self, count: u8) -> Stamp {
        Stamp::counted(self.minutes(), count)
    }

    /// The stamp of a key that was last accessed so many seconds ago; modulo 194 days.
    pub fn idle_for(self, seconds: u64) -> Stamp {
        let ticks = seconds.saturating_mul(1_000_000_000).div_ceil(1 << TICK_NS_LOG);
        match ticks < u64::from(AGED_TICKS) {
            true => Stamp::new(0, self.ticks().wrapping_sub(ticks as u32)),
            false => Stamp::new(FORM_SECONDS, self.seconds().wrapping_sub(seconds as u32)),
        }
    }

    /// Milliseconds since the access that a stamp tells of; of a count, since it was last lowered.
    pub fn idle_ms(self, stamp: Stamp) -> u64 {
        let value = stamp.value();
        match stamp.form() {
            FORM_COUNT => u64::from(self.minutes().wrapping_sub((value >> 8) as u16)) * 60_000,
            FORM_SECONDS => u64::from(self.seconds().wrapping_sub(value) & VALUE_MASK) * 1000,
            _ => (u64::from(self.passed_ticks(value)) << TICK_NS_LOG) / 1_000_000,
        }
    }

    /// The count that a stamp tells of, lowered by what time has passed since; that of a new key if it tells of none.
    pub fn count(self, stamp: Stamp, counting: Counting) -> u8 {
        stamp.count_at(self.minutes(), counting)
    }

    /// The same access in seconds, if its ticks are to come round again before long.
    #[inline]
    pub fn aged(self, stamp: Stamp) -> Option<Stamp> {
        let ticks = self.passed_ticks(stamp.value());
        if stamp.form() != 0 || ticks < AGED_TICKS {
            return None;
        }
        let passed_ns = u64::from(ticks) << TICK_NS_LOG;
        Some(Stamp::new(FORM_SECONDS, (self.mono_ns.wrapping_sub(passed_ns) as i64).div_euclid(1_000_000_000) as u32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_S: u64 = 3600;

    fn at_s(seconds: u64) -> AccessClock {
        AccessClock { mono_ns: seconds * 1_000_000_000 }
    }

    #[test]
    fn idle_times_are_right_to_the_second_up_to_the_range_of_redis_if_the_walk_comes_by() {
        let (start_s, mut stamp) = (100, at_s(100).accessed());
        let end_s = (1 << 24) - 10;
        let (mut idle_s, mut step_s) = (0, 1);
        while idle_s < end_s {
            let clock = at_s(start_s + idle_s);
            let read_s = clock.idle_ms(stamp) / 1000;
            assert!(read_s == idle_s || read_s == idle_s + 1, "{read_s} for {idle_s}");
            stamp = clock.aged(stamp).unwrap_or(stamp);
            // The walk sees a key once in some hours at the least.
            step_s = (step_s * 2).min(20 * HOUR_S);
            idle_s += step_s;
        }
        assert_eq!(stamp.form(), FORM_SECONDS);
    }

    #[test]
    fn idle_times_that_are_given_are_read_back() {
        for seconds in [0, 1, 59, 1000, 9 * HOUR_S, 10 * HOUR_S, 100 * HOUR_S, (1 << 24) - 1] {
            let clock = at_s(7);
            assert_eq!(clock.idle_ms(clock.idle_for(seconds)) / 1000, seconds);
        }
        assert_eq!(at_s(7).idle_ms(at_s(7).idle_for(1 << 24)), 0);
    }

    #[test]
    fn accesses_within_a_second_are_told_apart() {
        let older = AccessClock { mono_ns: 1_000_000_000 }.accessed();
        let newer = AccessClock { mono_ns: 1_020_000_000 }.accessed();
        let clock = at_s(2);
        assert!(clock.idle_ms(older) > clock.idle_ms(newer) + 10);
    }

    #[test]
    fn counts_grow_with_accesses_and_fall_with_time() {
        let (counting, mut prng) = (Counting::default(), Prng::seeded(3));
        let clock = at_s(60);
        let mut stamp = clock.first_counted();
        assert_eq!(clock.count(stamp, counting), 5);
        let mut reached = Vec::new();
        for accesses in 1..=100_000 {
            stamp = stamp.counted_again(clock.first_counted(), counting, &mut prng);
            if [1, 100, 1000, 100_000].contains(&accesses) {
                reached.push(clock.count(stamp, counting));
            }
        }
        // Redis's own table for a factor of 10: 10 after 100 hits, 18 after 1,000, 142 after 100,000.
        assert_eq!(reached[0], 6, "the first access after the initial count always counts");
        assert!((8..=12).contains(&reached[1]) && (15..=24).contains(&reached[2]), "{reached:?}");
        assert!((120..=165).contains(&reached[3]), "{reached:?}");
        assert_eq!(at_s(0).count(stamp, counting), reached[3], "accessed after the clock was read");
        let later = at_s(60 * 11);
        assert_eq!(later.count(stamp, counting), reached[3] - 10);
        assert_eq!(later.count(stamp, Counting { decay_minutes: 0, ..counting }), reached[3]);
        assert_eq!(at_s(60 * 2000).count(stamp, counting), 0);
    }

    #[test]
    fn what_another_policy_has_left_behind_is_read_for_what_it_tells() {
        let clock = at_s(600);
        assert_eq!(clock.count(clock.idle_for(100), Counting::default()), COUNT_INITIAL);
        assert_eq!(at_s(660).idle_ms(clock.with_count(77)), 60_000);
    }
}
