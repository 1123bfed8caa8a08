//! What an entry remembers of its accesses: 24 bits in its header, in one of three forms, and the clock that they are read by.
//!
//! ```text
//! ticks     24 bits: when it was last accessed, in ticks of 2^23 ns (8.4 ms); wraps after 39 hours
//! seconds   24 bits: the same in seconds; wraps after 194 days, as Redis's own clock does
//! count     16 bits: the same in units of 2^30 ns (1.07 s), which wraps after 19 hours | 8 bits: a logarithmic count of accesses
//! ```
//! An access writes ticks: with Redis's whole seconds a cache whose contents turn over within a few of them cannot tell what was
//! used last. Before ticks come round again a walk over all keys ([`AccessClock::aged`], called by the census) turns old ones
//! into seconds. Counts are written instead while the memory policy asks for frequencies; their rules are Redis's, who keeps the
//! minute alone. What another policy has left behind is read for what it tells: a time as a key that is new to counting, a count as
//! its time.
//!
//! The clock is the monotonic one: a wall clock that is set makes no key look old, nor does a machine that slept.

use crate::base::clock::Now;
use crate::base::prng::Prng;

/// Bits of a stamp's value.
const VALUE_MASK: u32 = (1 << 24) - 1;

/// Nanoseconds of a tick, as a power of two: reading the clock is one shift.
const TICK_NS_LOG: u32 = 23;

/// Nanoseconds of the unit of a count's time, as a power of two.
const UNIT_NS_LOG: u32 = 30;

/// Units after which a count is better written anew, lowered by what it has lost until then: half the range, 9.8 hours.
const AGED_UNITS: u16 = 1 << 15;

/// Ticks after which a stamp is better kept in seconds: a quarter of the range, 9.8 hours. The walk has the other 29 hours to come
/// by, in which it sees 500 million keys.
const AGED_TICKS: u32 = 1 << 22;

/// More ticks than the walk ever lets pass: 36.7 hours. What seems to be older was accessed after the clock was read.
const PASSED_TICKS_MAX: u32 = VALUE_MASK / 16 * 15;

/// The same for the units of a count: 18.3 hours.
const PASSED_UNITS_MAX: u16 = u16::MAX / 16 * 15;

const MINUTE_NS: u64 = 60_000_000_000;

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

    fn counted(units: u16, count: u8) -> Stamp {
        Stamp::new(FORM_COUNT, u32::from(units) << 8 | u32::from(count))
    }

    /// True if it tells how often its entry was accessed, and not only when.
    pub(super) fn is_count(self) -> bool {
        self.form() == FORM_COUNT
    }

    /// The units and the count of a stamp that has them.
    fn parts(self) -> (u16, u8) {
        ((self.value() >> 8) as u16, self.value() as u8)
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    fn units(self) -> u16 {
        (self.mono_ns >> UNIT_NS_LOG) as u16
    }

    /// Units since an access; none if it came after the clock was read.
    fn passed_units(self, units: u16) -> u16 {
        let passed = self.units().wrapping_sub(units);
        if passed <= PASSED_UNITS_MAX { passed } else { 0 }
    }

    /// The stamp of an access now.
    #[inline]
    pub fn accessed(self) -> Stamp {
        Stamp::new(0, self.ticks())
    }

    /// The stamp of a key that is new now, where accesses are counted.
    pub fn first_counted(self) -> Stamp {
        Stamp::counted(self.units(), COUNT_INITIAL)
    }

    /// The stamp of a key with this count.
    pub fn with_count(self, count: u8) -> Stamp {
        Stamp::counted(self.units(), count)
    }

    /// The stamp of a key that was last accessed so many seconds ago; modulo 194 days.
    pub fn idle_for(self, seconds: u64) -> Stamp {
        let ticks = seconds.saturating_mul(1_000_000_000).div_ceil(1 << TICK_NS_LOG);
        match ticks < u64::from(AGED_TICKS) {
            true => Stamp::new(0, self.ticks().wrapping_sub(ticks as u32)),
            false => Stamp::new(FORM_SECONDS, self.seconds().wrapping_sub(seconds as u32)),
        }
    }

    /// Milliseconds since the access that a stamp tells of.
    pub fn idle_ms(self, stamp: Stamp) -> u64 {
        let value = stamp.value();
        match stamp.form() {
            FORM_COUNT => (u64::from(self.passed_units(stamp.parts().0)) << UNIT_NS_LOG) / 1_000_000,
            FORM_SECONDS => u64::from(self.seconds().wrapping_sub(value) & VALUE_MASK) * 1000,
            _ => (u64::from(self.passed_ticks(value)) << TICK_NS_LOG) / 1_000_000,
        }
    }

    /// When the access was that a stamp tells of, in nanoseconds of the clock, as finely as the form has it. The same for a stamp
    /// whenever it is asked for.
    pub fn accessed_ns(self, stamp: Stamp) -> i64 {
        let value = stamp.value();
        let (unit_ns, passed) = match stamp.form() {
            FORM_COUNT => (1 << UNIT_NS_LOG, u64::from(self.passed_units(stamp.parts().0))),
            FORM_SECONDS => (1_000_000_000, u64::from(self.seconds().wrapping_sub(value) & VALUE_MASK)),
            _ => (1 << TICK_NS_LOG, u64::from(self.passed_ticks(value))),
        };
        ((self.mono_ns / unit_ns) as i64 - passed as i64) * unit_ns as i64
    }

    /// The same in whole seconds. A tick more or less is unknown, and counts as passed, so that a key that was accessed a second
    /// ago is idle for one.
    pub fn idle_s(self, stamp: Stamp) -> u64 {
        let unknown_ms = if stamp.form() == 0 { (1 << TICK_NS_LOG) / 1_000_000 + 1 } else { 0 };
        (self.idle_ms(stamp) + unknown_ms) / 1000
    }

    /// The count that a stamp tells of, lowered by the minutes that have begun since; that of a new key if it tells of none.
    pub fn count(self, stamp: Stamp, counting: Counting) -> u8 {
        if !stamp.is_count() {
            return COUNT_INITIAL;
        }
        let (units, count) = stamp.parts();
        // The end of the unit, so that no minute counts that began within it.
        let unit = (self.mono_ns >> UNIT_NS_LOG).saturating_sub(self.passed_units(units).into());
        let accessed_ns = ((unit + 1) << UNIT_NS_LOG).min(self.mono_ns);
        let minutes = self.mono_ns / MINUTE_NS - accessed_ns / MINUTE_NS;
        let periods = minutes.checked_div(counting.decay_minutes.into()).unwrap_or(0);
        count.saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
    }

    /// The stamp of an entry that is accessed once more, where accesses are counted: the higher the count, the less likely it
    /// grows.
    pub fn counted_again(self, stamp: Stamp, counting: Counting, prng: &mut Prng) -> Stamp {
        let count = self.count(stamp, counting);
        let above = u64::from(count.saturating_sub(COUNT_INITIAL));
        let grows = count < u8::MAX && prng.below(above * u64::from(counting.log_factor) + 1) == 0;
        Stamp::counted(self.units(), count + u8::from(grows))
    }

    /// The same access in seconds, if its ticks are to come round again before long; or the count as it is by now, if its time is.
    #[inline]
    pub fn aged(self, stamp: Stamp, counting: Counting) -> Option<Stamp> {
        match stamp.form() {
            0 => {
                let ticks = self.passed_ticks(stamp.value());
                let accessed_ns = (self.mono_ns as i64).wrapping_sub((u64::from(ticks) << TICK_NS_LOG) as i64);
                (ticks >= AGED_TICKS).then(|| Stamp::new(FORM_SECONDS, accessed_ns.div_euclid(1_000_000_000) as u32))
            }
            FORM_COUNT => {
                let is_old = self.passed_units(stamp.parts().0) >= AGED_UNITS;
                is_old.then(|| Stamp::counted(self.units(), self.count(stamp, counting)))
            }
            _ => None,
        }
    }
}

/// The binary logarithm of how many accesses a count stands for, in units of 2^-16: what an average key needs to reach it. Below
/// the count of a new key, one less for each.
pub fn log2_of_accesses(count: u8, counting: Counting) -> i64 {
    let above = i64::from(count) - i64::from(COUNT_INITIAL);
    if above <= 0 {
        return above << 16;
    }
    let tries = (above * (above - 1) / 2) as f64 * f64::from(counting.log_factor) + above as f64;
    ((1.0 + tries).log2() * 65_536.0) as i64
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
            let read_s = clock.idle_s(stamp);
            assert!(read_s == idle_s || read_s == idle_s + 1, "{read_s} for {idle_s}");
            stamp = clock.aged(stamp, Counting::default()).unwrap_or(stamp);
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
            assert_eq!(clock.idle_s(clock.idle_for(seconds)), seconds);
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
            stamp = clock.counted_again(stamp, counting, &mut prng);
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
        assert_eq!(at_s(60 * 1000).count(stamp, counting), 0);
    }

    #[test]
    fn old_counts_are_written_anew_as_they_are() {
        let slow = Counting { decay_minutes: 60, ..Counting::default() };
        let (stamp, later) = (at_s(0).with_count(100), at_s(12 * HOUR_S));
        let aged = later.aged(stamp, slow).expect("it is old");
        assert_eq!((later.count(stamp, slow), later.count(aged, slow)), (88, 88));
        assert_eq!(at_s(22 * HOUR_S).count(aged, slow), 78);
        assert_eq!(at_s(HOUR_S).aged(stamp, slow), None);
    }

    #[test]
    fn counts_stand_for_ever_more_accesses() {
        let logs: Vec<i64> = (0..=255).map(|count| log2_of_accesses(count, Counting::default())).collect();
        assert!(logs.is_sorted_by(|a, b| a < b));
        assert_eq!((logs[5], logs[6], logs[4]), (0, 65_536, -65_536));
    }

    #[test]
    fn what_another_policy_has_left_behind_is_read_for_what_it_tells() {
        let clock = at_s(600);
        assert_eq!(clock.count(clock.idle_for(100), Counting::default()), COUNT_INITIAL);
        assert!((59..=61).contains(&at_s(660).idle_s(clock.with_count(77))));
    }
}
