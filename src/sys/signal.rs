//! Signals as a readable file descriptor.
//!
//! Owns the process's signal dispositions and one socket pair. A handler records the signal in an atomic bit set and
//! writes one byte to the pair; the event loop registers [`Signals::as_raw_fd`] and calls [`Signals::drain`] when it is
//! readable. Because the bits, not the bytes, carry the meaning, a full socket buffer can never lose a signal.
//!
//! Invariant: the handler touches only lock-free atomics, `write` and `_exit`, all async-signal-safe, and leaves `errno`
//! as it found it. The descriptors it writes to are never closed, so it can run at any moment until the process ends.
//!
//! This module refuses to know what shutting down or reopening a log means.
#![allow(unsafe_code)]

use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// What the process was asked to do from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: shut down in order.
    Terminate,
    /// SIGINT: shut down in order; a second one has already ended the process.
    Interrupt,
    /// SIGHUP: reopen the log file.
    Hangup,
}

/// Every signal that is caught, with its bit in `PENDING`. Shutdown comes first, so it is also delivered first.
const CAUGHT: [(libc::c_int, u32, Signal); 3] =
    [(libc::SIGTERM, 1, Signal::Terminate), (libc::SIGINT, 2, Signal::Interrupt), (libc::SIGHUP, 4, Signal::Hangup)];

/// Set once by the first `install`; dispositions belong to the process, so there can be only one owner.
static INSTALLED: AtomicBool = AtomicBool::new(false);
/// Write end of the pair, -1 before `install`.
static WAKE_FD: AtomicI32 = AtomicI32::new(-1);
/// Signals received and not yet drained.
static PENDING: AtomicU32 = AtomicU32::new(0);
/// Whether a shutdown has been asked for, drained or not: the next SIGINT then exits at once.
static SHUTDOWN_ASKED: AtomicBool = AtomicBool::new(false);

/// The process's caught signals. One per process.
#[derive(Debug)]
pub struct Signals {
    wake: UnixStream,
}

impl Signals {
    /// Catches SIGTERM, SIGINT and SIGHUP, ignores SIGPIPE, and leaves every other signal (SIGUSR1 among them, which
    /// therefore ends the process, as it does Redis) at its default.
    ///
    /// Fails with `AlreadyExists` when called twice in one process.
    pub fn install() -> io::Result<Signals> {
        if INSTALLED.swap(true, Ordering::SeqCst) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "signals are already installed"));
        }
        let (wake, write_end) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        write_end.set_nonblocking(true)?;
        WAKE_FD.store(write_end.into_raw_fd(), Ordering::SeqCst);
        set_disposition(libc::SIGPIPE, libc::SIG_IGN)?;
        let handler: extern "C" fn(libc::c_int) = on_signal;
        for (number, _, _) in CAUGHT {
            set_disposition(number, handler as *const () as libc::sighandler_t)?;
        }
        Ok(Signals { wake })
    }

    /// Signals that never come, for tests that run a loop beside the others in their process.
    #[cfg(test)]
    pub(crate) fn none() -> io::Result<Signals> {
        let (wake, _) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        Ok(Signals { wake })
    }

    /// The descriptor that becomes readable when a signal has arrived.
    pub fn as_raw_fd(&self) -> RawFd {
        self.wake.as_raw_fd()
    }

    /// Takes every signal received since the last call, each at most once, and makes the descriptor unreadable.
    pub fn drain(&mut self) -> impl Iterator<Item = Signal> + use<> {
        // The bytes go first: a signal landing between the two steps then leaves a byte behind and is only reported
        // early, whereas the other order could leave a bit set with nothing to wake the loop for it.
        let mut bytes = [0u8; 64];
        while matches!(self.wake.read(&mut bytes), Ok(n) if n > 0) {}
        let taken = PENDING.swap(0, Ordering::SeqCst);
        CAUGHT.into_iter().filter(move |(_, bit, _)| taken & bit != 0).map(|(_, _, signal)| signal)
    }

    /// Forgets that a shutdown was asked for, because it was refused: the next SIGINT asks again instead of exiting.
    pub fn shutdown_refused(&mut self) {
        SHUTDOWN_ASKED.store(false, Ordering::SeqCst);
    }
}

/// Has the process's signals go to its other threads: for a thread with a descriptor table of its own, in which the handler
/// would write to whatever has the number of the descriptor that wakes the loop.
pub fn leave_to_other_threads() {
    // SAFETY: all zeroes is a valid `sigset_t`; it is valid for both calls, and only the calling thread's mask changes. The
    // calls cannot fail with these arguments.
    unsafe {
        let mut all: libc::sigset_t = MaybeUninit::zeroed().assume_init();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

fn set_disposition(number: libc::c_int, action: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: `sigaction` is a plain C structure for which all zeroes is a valid value; `action` is SIG_IGN or the
    // address of a handler with the signature the system calls, and both pointers are valid for the call.
    let result = unsafe {
        let mut new: libc::sigaction = MaybeUninit::zeroed().assume_init();
        new.sa_sigaction = action;
        // Interrupted system calls restart, so no blocking call elsewhere has to expect EINTR because of us.
        new.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&mut new.sa_mask);
        libc::sigaction(number, &new, std::ptr::null_mut())
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

extern "C" fn on_signal(number: libc::c_int) {
    let shutdown = number == libc::SIGTERM || number == libc::SIGINT;
    if shutdown && SHUTDOWN_ASKED.swap(true, Ordering::SeqCst) && number == libc::SIGINT {
        exit_now();
    }
    for (caught, bit, _) in CAUGHT {
        if caught == number {
            PENDING.fetch_or(bit, Ordering::SeqCst);
        }
    }
    // SAFETY: `errno_location` is this thread's own `errno`; `write` gets a descriptor that is never closed and one
    // readable byte. A full buffer fails with EAGAIN, and then the loop has a byte to wake for already.
    unsafe {
        let errno = errno_location();
        let saved = *errno;
        libc::write(WAKE_FD.load(Ordering::SeqCst), c"!".as_ptr().cast(), 1);
        *errno = saved;
    }
}

/// The user insists (a second SIGINT during a shutdown): leave without unwinding, flushing or running exit handlers,
/// with status 1 because this is no clean end.
fn exit_now() -> ! {
    let text = b"You insist... exiting now.\n";
    // SAFETY: `write` gets a valid buffer and its length; `_exit` does not return. Both may be called in a handler.
    unsafe {
        libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        libc::_exit(1)
    }
}

#[cfg(any(target_os = "linux", target_os = "emscripten"))]
fn errno_location() -> *mut libc::c_int {
    // SAFETY: takes nothing, returns the address of the calling thread's `errno`.
    unsafe { libc::__errno_location() }
}

#[cfg(not(any(target_os = "linux", target_os = "emscripten")))]
fn errno_location() -> *mut libc::c_int {
    // SAFETY: takes nothing, returns the address of the calling thread's `errno`.
    unsafe { libc::__error() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Names the step the re-executed test binary has to play.
    const ROLE: &str = "ALEADB_SIGNAL_TEST_ROLE";

    /// Runs `signal_child` alone in a process of its own, since dispositions are shared by all tests of a process.
    fn child(role: &str) -> (Option<i32>, String) {
        let out = Command::new(std::env::current_exe().expect("the test binary has a path"))
            .args(["--exact", "sys::signal::tests::signal_child", "--nocapture"])
            .env(ROLE, role)
            .output()
            .expect("the test binary can be started again");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    }

    fn raise(number: libc::c_int) {
        // SAFETY: sends a signal to the calling thread; the handler installed above, or SIG_IGN, receives it.
        assert_eq!(unsafe { libc::raise(number) }, 0);
    }

    fn readable(signals: &Signals) -> bool {
        let mut poll = libc::pollfd { fd: signals.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid `pollfd`, no waiting.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }

    #[test]
    fn signal_child() {
        let Ok(role) = std::env::var(ROLE) else { return };
        let mut signals = Signals::install().expect("first install");
        match role.as_str() {
            "drain" => {
                assert!(!readable(&signals));
                assert_eq!(signals.drain().count(), 0);
                raise(libc::SIGPIPE);
                for _ in 0..100_000 {
                    raise(libc::SIGHUP); // more than the socket buffer holds
                }
                raise(libc::SIGTERM);
                assert!(readable(&signals));
                assert_eq!(signals.drain().collect::<Vec<_>>(), [Signal::Terminate, Signal::Hangup]);
                assert!(!readable(&signals));
                assert_eq!(signals.drain().count(), 0);
                raise(libc::SIGTERM);
                assert_eq!(signals.drain().collect::<Vec<_>>(), [Signal::Terminate], "SIGTERM never insists");
                assert_eq!(Signals::install().expect_err("second install").kind(), io::ErrorKind::AlreadyExists);
            }
            "refused" => {
                raise(libc::SIGINT);
                assert_eq!(signals.drain().collect::<Vec<_>>(), [Signal::Interrupt]);
                signals.shutdown_refused();
                raise(libc::SIGINT);
                assert_eq!(signals.drain().collect::<Vec<_>>(), [Signal::Interrupt]);
            }
            "insist" => {
                raise(libc::SIGTERM);
                assert_eq!(signals.drain().collect::<Vec<_>>(), [Signal::Terminate]);
                raise(libc::SIGINT);
                std::process::exit(7);
            }
            other => panic!("unknown role {other}"),
        }
    }

    #[test]
    fn signals_are_collected_and_drained_once() {
        let (code, text) = child("drain");
        assert_eq!(code, Some(0), "{text}");
    }

    #[test]
    fn a_refused_shutdown_lets_sigint_ask_again() {
        let (code, text) = child("refused");
        assert_eq!(code, Some(0), "{text}");
    }

    #[test]
    fn sigint_after_a_shutdown_request_exits_at_once_with_status_1() {
        let (code, text) = child("insist");
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("You insist... exiting now."), "{text}");
    }
}
