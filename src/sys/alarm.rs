//! A timer that makes a file descriptor readable, so that the event loop can wait without a timeout: the kernel reads its
//! clock for every wait that has one, which shows when a loop turns a hundred thousand times a second.
//!
//! Owns one timer of the kernel, which stays set across waits and is only set anew when it has rung or has to ring earlier.
//! Where the kernel has no such timers (anything but Linux) the caller is told to wait with a timeout. Who calls: the event
//! loop. This module knows no clock; it is told the time.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// An alarm clock.
#[derive(Debug)]
pub struct Alarm {
    timer: Option<OwnedFd>,
    /// Monotonic millisecond at which it rings, or has rung.
    rings_ms: u64,
}

impl Alarm {
    /// An alarm that is not set.
    pub fn new() -> Alarm {
        Alarm { timer: new_timer(), rings_ms: 0 }
    }

    /// The descriptor that becomes readable when the alarm rings, to be watched for edges and never read. `None` where the
    /// kernel has none.
    pub fn as_raw_fd(&self) -> Option<RawFd> {
        self.timer.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// The timeout with which to wait so that the wait ends at monotonic millisecond `due_ms` at the latest: none if the
    /// alarm sees to it. It may ring earlier, when an earlier call wanted that. A system call if it has to be set.
    #[inline]
    pub fn wait_until(&mut self, due_ms: u64, now_ms: u64) -> Option<Duration> {
        let rest = Duration::from_millis(due_ms.saturating_sub(now_ms));
        let is_set = now_ms < self.rings_ms && self.rings_ms <= due_ms;
        if rest.is_zero() || !(is_set || self.set(due_ms, rest)) { Some(rest) } else { None }
    }

    fn set(&mut self, due_ms: u64, rest: Duration) -> bool {
        let done = self.timer.as_ref().is_some_and(|timer| set_timer(timer, rest));
        self.rings_ms = if done { due_ms } else { 0 };
        done
    }
}

impl Default for Alarm {
    fn default() -> Alarm {
        Alarm::new()
    }
}

#[cfg(target_os = "linux")]
fn new_timer() -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
    // SAFETY: a descriptor that was just made belongs to nobody else.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Has the timer ring once, so long from now. Whatever it was set to before is forgotten.
#[cfg(target_os = "linux")]
fn set_timer(timer: &OwnedFd, rest: Duration) -> bool {
    let seconds = libc::time_t::try_from(rest.as_secs()).unwrap_or(libc::time_t::MAX);
    let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    let value = libc::timespec { tv_sec: seconds, tv_nsec: libc::c_long::from(rest.subsec_nanos() as i32) };
    let new = libc::itimerspec { it_interval: never, it_value: value };
    // SAFETY: the descriptor is open, `new` is valid for the call, and the old value is not asked for.
    unsafe { libc::timerfd_settime(timer.as_raw_fd(), 0, &new, std::ptr::null_mut()) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn new_timer() -> Option<OwnedFd> {
    None
}

#[cfg(not(target_os = "linux"))]
fn set_timer(_: &OwnedFd, _: Duration) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{Clock, SystemClock};

    #[test]
    #[cfg(target_os = "linux")]
    fn it_ends_waits_without_a_timeout_and_never_too_late() {
        let (clock, mut alarm) = (SystemClock::start(), Alarm::new());
        let fd = alarm.as_raw_fd().expect("Linux has timers");
        let mut watched = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // A far one, one that is earlier, one that is later than the one set: they all end when asked, or before.
        for after_ms in [3_600_000, 20, 1, 1, 30, 5, 5] {
            let now_ms = clock.mono_ns() / 1_000_000;
            assert_eq!(alarm.wait_until(now_ms + after_ms, now_ms), None);
            if after_ms > 1000 {
                continue;
            }
            // SAFETY: one valid structure, and its length.
            assert_eq!(unsafe { libc::poll(&mut watched, 1, 60_000) }, 1, "it was the alarm");
            assert!(clock.mono_ns() / 1_000_000 >= now_ms + after_ms, "it was set to nothing earlier");
        }
        assert_eq!(alarm.wait_until(7, 7), Some(Duration::ZERO));
        assert_eq!(alarm.wait_until(6, 7), Some(Duration::ZERO));
    }

    #[test]
    fn without_a_timer_the_wait_has_the_timeout() {
        let mut alarm = Alarm { timer: None, rings_ms: 0 };
        for now_ms in [0, 5, 9] {
            assert_eq!(alarm.wait_until(10, now_ms), Some(Duration::from_millis(10 - now_ms)));
        }
    }
}
