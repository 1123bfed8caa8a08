//! The service manager's watchdog, answered for as long as the event loop makes progress.
//!
//! A manager that hears nothing for `WatchdogSec` kills the process and starts another one, without the keys that lived in
//! memory. That helps against a loop that is stuck, and against nothing else, so it must not happen to a loop that is
//! busy with one long command (`KEYS`, `SORT`, a transaction). Hence a thread answers, by what it sees of the loop's thread:
//!
//! - The loop marks that it turns ([`Watchdog::mark`]), and wakes up for it when it is idle: alive.
//! - It does not, but has used processor time since the last look: one command is taking long. Alive as well, and the
//!   manager is told how long it has been (`systemctl status` shows it).
//! - Neither: the loop waits for something that does not come. It is not reported alive, and the manager restarts the
//!   process once `WatchdogSec` have passed since the last time it was.
//!
//! What takes processor time without an end cannot be told from what takes long, so after [`TURN_MAX`] in one turn the
//! process is not reported alive either. That limit is far beyond any command that somebody waits for, because too early a
//! restart loses data, and a late one costs waiting only.
//!
//! `DEBUG SLEEP`, which sleeps on purpose, wakes up often enough to be seen to go on.
//!
//! The thread looks four times within `WatchdogSec`, and the loop marks twice between two looks, so that one delay on either
//! side is not taken for a hang. The thread has a descriptor table of its own, and takes no signals; it must not write to the
//! log, whose file is not in that table. Elsewhere than on Linux only marks count.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::notify::{Notifier, READY_STATUS, SOCKET_VARIABLE, watchdog_time};

/// How long one turn may use processor time before the process counts as stuck in an endless loop.
pub const TURN_MAX: Duration = Duration::from_secs(60 * 60);

/// Looks at the loop within the time that the manager allows.
const LOOKS: u32 = 4;
/// Marks of an idle loop between two looks.
const MARKS_PER_LOOK: u64 = 2;

/// The loop's end of the watchdog. Dropping it ends the thread that answers the manager.
#[derive(Debug)]
pub struct Watchdog {
    marks: Arc<AtomicU64>,
    look_ms: u64,
    due_ms: u64,
    /// Nothing is sent: the other end hears when it is dropped.
    _alive: SyncSender<()>,
}

impl Watchdog {
    /// Starts answering for the calling thread, from `now_ms` on, if the manager that `NOTIFY_SOCKET` names wants it
    /// (`WATCHDOG_USEC`, `WATCHDOG_PID`).
    ///
    /// # Errors
    /// The thread cannot be started, or the variable names no socket.
    pub fn from_env(now_ms: u64) -> io::Result<Option<Watchdog>> {
        let Some(allowed) = watchdog_time() else { return Ok(None) };
        let Some(address) = std::env::var_os(SOCKET_VARIABLE).filter(|address| !address.is_empty()) else {
            return Ok(None);
        };
        Watchdog::start(allowed, address, now_ms).map(Some)
    }

    fn start(allowed: Duration, address: OsString, now_ms: u64) -> io::Result<Watchdog> {
        let look = (allowed / LOOKS).max(Duration::from_millis(MARKS_PER_LOOK));
        let marks = Arc::new(AtomicU64::new(0));
        let (alive, ended) = sync_channel(0);
        let watched = Watched { marks: Arc::clone(&marks), processor: ProcessorClock::of_this_thread()? };
        // Fails here rather than in the thread, where nobody would hear of it.
        Notifier::to_address(Some(&address))?;
        std::thread::Builder::new().name("aleadb-watchdog".into()).spawn(move || {
            super::signal::leave_to_other_threads();
            super::limits::leave_descriptors(None);
            // Opened here, in the thread's own table.
            if let Ok(manager) = Notifier::to_address(Some(&address)) {
                answer(&manager, &watched, look, &ended);
            }
        })?;
        Ok(Watchdog { marks, look_ms: look.as_millis() as u64, due_ms: now_ms, _alive: alive })
    }

    /// When the loop has to have turned again, in milliseconds of the clock that [`Watchdog::mark`] is given.
    pub fn due_ms(&self) -> u64 {
        self.due_ms
    }

    /// The loop turns. Cheap before [`Watchdog::due_ms`]. Writes to the log if the turn before took longer than the watchdog
    /// would have waited for its next look.
    pub fn mark(&mut self, now_ms: u64) {
        if now_ms < self.due_ms {
            return;
        }
        let late_ms = now_ms - self.due_ms;
        if late_ms > self.look_ms {
            log::warn!("One turn of the event loop took more than {late_ms} ms, and nobody was served meanwhile");
        }
        self.due_ms = now_ms + self.look_ms / MARKS_PER_LOOK;
        self.marks.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the thread can see of the loop.
struct Watched {
    marks: Arc<AtomicU64>,
    processor: ProcessorClock,
}

/// Looks at the loop and tells the manager, until the loop's end is dropped. A message that cannot be sent is repeated by
/// the next look.
fn answer(manager: &Notifier, watched: &Watched, look: Duration, ended: &Receiver<()>) {
    let mut judge = Judge::new(look, watched.marks.load(Ordering::Relaxed), watched.processor.now());
    let mut told = Seen::Turning;
    while ended.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
        let seen = judge.look(watched.marks.load(Ordering::Relaxed), watched.processor.now());
        if seen != told && manager.status(&seen.status()).is_ok() {
            told = seen;
        }
        if !matches!(seen, Seen::Stuck | Seen::Endless) {
            let _ = manager.watchdog();
        }
    }
}

/// What a look at the loop has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It turns.
    Turning,
    /// It has been in one turn for about so long, and uses the processor.
    Working(Duration),
    /// It neither turns nor uses the processor.
    Stuck,
    /// It has used the processor in one turn for longer than [`TURN_MAX`].
    Endless,
}

impl Seen {
    fn status(self) -> String {
        match self {
            Seen::Turning => READY_STATUS.to_owned(),
            Seen::Working(time) => format!("Busy with one turn of the event loop for {} s", time.as_secs()),
            Seen::Stuck => "The event loop stands still".to_owned(),
            Seen::Endless => format!("One turn of the event loop has taken more than {} s", TURN_MAX.as_secs()),
        }
    }
}

/// Compares each look with the one before.
struct Judge {
    look: Duration,
    marks: u64,
    processor: Duration,
    /// Time of the looks since the last mark.
    unmarked: Duration,
}

impl Judge {
    fn new(look: Duration, marks: u64, processor: Duration) -> Judge {
        Judge { look, marks, processor, unmarked: Duration::ZERO }
    }

    fn look(&mut self, marks: u64, processor: Duration) -> Seen {
        let (turned, worked) = (marks != self.marks, processor > self.processor);
        (self.marks, self.processor) = (marks, processor);
        self.unmarked = if turned { Duration::ZERO } else { self.unmarked + self.look };
        match (turned, worked) {
            (true, _) => Seen::Turning,
            (false, true) if self.unmarked > TURN_MAX => Seen::Endless,
            (false, true) => Seen::Working(self.unmarked),
            (false, false) => Seen::Stuck,
        }
    }
}

/// The processor time of one thread, readable by the others.
struct ProcessorClock {
    #[cfg(target_os = "linux")]
    id: libc::clockid_t,
}

#[cfg(target_os = "linux")]
impl ProcessorClock {
    fn of_this_thread() -> io::Result<ProcessorClock> {
        let mut id = 0;
        // SAFETY: the calling thread exists, and `id` is valid for writes for the length of the call.
        match unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &mut id) } {
            0 => Ok(ProcessorClock { id }),
            error => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Processor time that the thread has used, to the nanosecond; zero when there is no such thread any more.
    fn now(&self) -> Duration {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is valid for writes for the length of the call; the kernel refuses the clock of a thread that is gone.
        match unsafe { libc::clock_gettime(self.id, &mut time) } {
            0 => Duration::new(time.tv_sec as u64, time.tv_nsec as u32),
            _ => Duration::ZERO,
        }
    }
}

/// There is none: time stands still.
#[cfg(not(target_os = "linux"))]
impl ProcessorClock {
    fn of_this_thread() -> io::Result<ProcessorClock> {
        Ok(ProcessorClock {})
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;
    use std::sync::mpsc::channel;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_loop_is_alive_while_it_turns_or_works() {
        let mut judge = Judge::new(s(30), 0, s(0));
        // Marks, processor time, what is to be seen.
        let looks = [
            (1, s(1), Seen::Turning),
            (2, s(1), Seen::Turning),
            (2, s(31), Seen::Working(s(30))),
            (2, s(61), Seen::Working(s(60))),
            (2, s(61), Seen::Stuck),
            (2, s(62), Seen::Working(s(120))),
            (3, s(62), Seen::Turning),
            (3, s(62), Seen::Stuck),
        ];
        for (marks, processor, seen) in looks {
            assert_eq!(judge.look(marks, processor), seen, "{marks} {processor:?}");
        }
    }

    #[test]
    fn one_turn_may_work_for_so_long_and_no_longer() {
        let mut judge = Judge::new(s(30), 0, s(0));
        for second in (30..=TURN_MAX.as_secs()).step_by(30) {
            assert_eq!(judge.look(0, s(second)), Seen::Working(s(second)));
        }
        assert_eq!(judge.look(0, TURN_MAX + s(30)), Seen::Endless);
        assert_eq!(judge.look(0, TURN_MAX + s(60)), Seen::Endless);
        assert_eq!(judge.look(1, TURN_MAX + s(60)), Seen::Turning);
    }

    #[test]
    fn marks_are_due_twice_a_look_and_cost_nothing_before() {
        let name = format!("aleadb-watchdog-due-{}", std::process::id());
        let mut watchdog = Watchdog::start(s(40), format!("@{name}").into(), 1000).expect("a thread");
        assert_eq!(watchdog.due_ms(), 1000);
        watchdog.mark(1000);
        assert_eq!(watchdog.due_ms(), 6000);
        watchdog.mark(5999);
        assert_eq!((watchdog.due_ms(), watchdog.marks.load(Ordering::Relaxed)), (6000, 1));
        watchdog.mark(6001);
        assert_eq!((watchdog.due_ms(), watchdog.marks.load(Ordering::Relaxed)), (11_001, 2));
    }

    /// Receives messages until one that begins with `wanted`; the number of pings before it.
    #[cfg(target_os = "linux")]
    fn pings_until(manager: &UnixDatagram, wanted: &str) -> usize {
        let mut pings = 0;
        let mut buffer = [0u8; 512];
        loop {
            let count = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted}: {error}"));
            match std::str::from_utf8(&buffer[..count]).expect("text") {
                text if text.starts_with(wanted) => return pings,
                "WATCHDOG=1" => pings += 1,
                _ => {}
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_working_thread_is_reported_alive_and_a_blocked_one_is_not() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("aleadb-watchdog-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("a name");
        let manager = UnixDatagram::bind_addr(&address).expect("the name is free");
        manager.set_read_timeout(Some(s(20))).expect("a timeout can be set");
        let (work, orders) = channel::<bool>();
        let watched = std::thread::spawn(move || {
            let mut watchdog =
                Watchdog::start(Duration::from_millis(80), format!("@{name}").into(), 0).expect("a thread");
            let mut busy = true;
            // Never marks while it works, as in one long command; waits for orders as a stuck loop would.
            loop {
                match if busy { orders.try_recv().ok() } else { orders.recv().ok() } {
                    Some(order) => busy = order,
                    None if busy => continue,
                    None => break,
                }
            }
            watchdog.mark(0);
        });
        pings_until(&manager, "STATUS=Busy with one turn of the event loop for 0 s");
        for _ in 0..5 {
            pings_until(&manager, "WATCHDOG=1");
        }
        work.send(false).expect("it listens");
        pings_until(&manager, "STATUS=The event loop stands still");
        work.send(true).expect("it listens");
        assert_eq!(pings_until(&manager, "STATUS=Busy"), 0, "nothing is alive that stands still");
        pings_until(&manager, "WATCHDOG=1");
        work.send(false).expect("it listens");
        drop(work);
        watched.join().expect("no panic");
    }
}
