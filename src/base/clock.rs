//! The only place that reads time. One [`Now`] is taken per turn of the loop and passed down; everything below the loop is
//! told the time and never asks for it, so tests can drive any component with a [`ManualClock`].

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A moment, on both clocks that matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, milliseconds since the Unix epoch. Deadlines of keys are on this clock; it may jump.
    pub unix_ms: i64,
    /// Monotonic nanoseconds since the server started. Durations and timeouts are on this clock.
    pub mono_ns: u64,
}

impl Now {
    /// Monotonic milliseconds since the server started.
    pub fn mono_ms(self) -> u64 {
        self.mono_ns / 1_000_000
    }

    /// Wall clock, whole seconds since the Unix epoch.
    pub fn unix_s(self) -> i64 {
        self.unix_ms.div_euclid(1000)
    }
}

/// A source of time.
pub trait Clock: std::fmt::Debug {
    /// Both clocks, read now. O(1), tens of nanoseconds.
    fn now(&self) -> Now;
    /// The monotonic clock alone, nanoseconds since the server started.
    fn mono_ns(&self) -> u64;
    /// Wall clock, microseconds since the Unix epoch (for `TIME`).
    fn unix_us(&self) -> i64;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic zero is this moment.
    pub fn start() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { unix_ms: self.unix_us().div_euclid(1000), mono_ns: self.mono_ns() }
    }

    fn mono_ns(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    fn unix_us(&self) -> i64 {
        // A clock set before 1970 counts backwards from the epoch.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => since.as_micros() as i64,
            Err(before) => -(before.duration().as_micros() as i64),
        }
    }
}

/// Nanoseconds for which the wall clock is derived from the monotonic one before it is read again.
const WALL_HELD_NS: u64 = 10_000_000;

/// Takes the time of each turn with one reading: the wall clock is read every ten milliseconds, and in between it is as far
/// from the monotonic clock as it was. A wall clock that was set is noticed that much later.
#[derive(Debug)]
pub struct TurnClock {
    clock: Rc<dyn Clock>,
    /// Microseconds from the monotonic clock to the wall clock, when both were last read.
    wall_ahead_us: i64,
    /// Monotonic nanoseconds from which on the wall clock has to be read again.
    read_again_ns: u64,
}

impl TurnClock {
    /// Takes its time from another clock.
    pub fn new(clock: Rc<dyn Clock>) -> TurnClock {
        TurnClock { clock, wall_ahead_us: 0, read_again_ns: 0 }
    }

    /// The time, for the turn that begins.
    #[inline]
    pub fn now(&mut self) -> Now {
        let mut mono_ns = self.clock.mono_ns();
        if mono_ns >= self.read_again_ns {
            mono_ns = self.read_wall();
        }
        self.at(mono_ns)
    }

    /// Both clocks at a reading of the monotonic one that was taken in the present turn.
    #[inline]
    pub fn at(&self, mono_ns: u64) -> Now {
        Now { unix_ms: ((mono_ns / 1000) as i64 + self.wall_ahead_us).div_euclid(1000), mono_ns }
    }

    /// The monotonic clock alone, nanoseconds since the server started.
    #[inline]
    pub fn mono_ns(&self) -> u64 {
        self.clock.mono_ns()
    }

    /// Reads both clocks; returns the monotonic one.
    #[cold]
    fn read_wall(&mut self) -> u64 {
        // The wall clock comes first: should the thread be kept from running in between, it seems late for a while, and
        // no key is due early.
        let unix_us = self.clock.unix_us();
        let mono_ns = self.clock.mono_ns();
        self.wall_ahead_us = unix_us - (mono_ns / 1000) as i64;
        self.read_again_ns = mono_ns + WALL_HELD_NS;
        mono_ns
    }
}

/// A clock that stands still until it is told to move: for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    mono_ns: Cell<u64>,
    /// Microseconds from the monotonic clock to the wall clock.
    wall_ahead_us: Cell<i64>,
    tick_ns: Cell<u64>,
}

impl ManualClock {
    /// A clock standing at the given wall time, its monotonic side at zero.
    pub fn at_unix_ms(unix_ms: i64) -> ManualClock {
        ManualClock { wall_ahead_us: Cell::new(unix_ms * 1000), ..ManualClock::default() }
    }

    /// Moves both clocks forward.
    pub fn advance_ms(&self, ms: u64) {
        self.mono_ns.set(self.mono_ns.get() + ms * 1_000_000);
    }

    /// From now on both clocks move by so much each time that the monotonic one is looked at: for what runs until time has passed.
    pub fn set_tick_ns(&self, tick_ns: u64) {
        self.tick_ns.set(tick_ns);
    }

    /// Moves only the wall clock, as an administrator or NTP would.
    pub fn step_wall_ms(&self, ms: i64) {
        self.wall_ahead_us.set(self.wall_ahead_us.get() + ms * 1000);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Now {
        Now { unix_ms: self.unix_us().div_euclid(1000), mono_ns: self.mono_ns.get() }
    }

    fn mono_ns(&self) -> u64 {
        self.mono_ns.set(self.mono_ns.get() + self.tick_ns.get());
        self.mono_ns.get()
    }

    fn unix_us(&self) -> i64 {
        (self.mono_ns.get() / 1000) as i64 + self.wall_ahead_us.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_sees_the_wall_clock_pass_at_once_and_jump_within_ten_milliseconds() {
        let manual = Rc::new(ManualClock::at_unix_ms(1_000_000));
        let mut turns = TurnClock::new(Rc::<ManualClock>::clone(&manual));
        assert_eq!(turns.now(), manual.now());
        for ms in [1, 3, 5, 100, 9, 1] {
            manual.advance_ms(ms);
            assert_eq!(turns.now(), manual.now());
        }
        for jump_ms in [-5_000, 7, 3_600_000, -2_000_000] {
            manual.step_wall_ms(jump_ms);
            manual.advance_ms(10);
            assert_eq!(turns.now(), manual.now());
        }
    }
}
