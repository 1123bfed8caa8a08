//! The log: lines in Redis's shape, to standard output or to a file that can be reopened after it was moved away, and to
//! the system's log as well if that is wanted.
//!
//! A line is `pid:M 22 Nov 2026 16:54:49.921 * text` (`S` on a replica), in local time as the people who read it expect; the mark
//! before the text is the level: `#` warning, `*` notice, `-` verbose, `.` debug. The level is the configuration's and may change at
//! any time, unless the environment variable `RUST_LOG` is set, which then decides for good.
//!
//! Whoever logs only puts the line into a queue of [`QUEUE_BYTES_MAX`] bytes. A thread of the log's own writes it, because
//! every way out can block: a pipe that nobody reads, a terminal that was stopped, a disk that hangs, a system log that is
//! busy. Making those descriptors nonblocking instead would change them for every process they are shared with, and does
//! nothing for files. Lines that find the queue full are dropped and counted, and the log says how many as soon as it moves
//! again. [`finish`] waits for what is queued, for as long as its caller can afford.
//!
//! The thread has a table of descriptors of its own, so that the loop's system calls need not count who uses theirs: it
//! opens and reopens the log file itself.
//!
//! The date comes from the C library, which knows the machine's time zone; `env_logger`'s own time stamps are in UTC, in
//! another shape, and would bring a date library along. From that crate comes the reading of `RUST_LOG`.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::alloc::Ledger;
use crate::base::clock::{Clock, SystemClock};

/// Bytes of lines that may wait to be written: some ten thousand lines, or a burst of a second or two.
pub const QUEUE_BYTES_MAX: usize = 1 << 20;

/// Bytes of a line's text; the rest of a longer one is cut off.
pub const TEXT_BYTES_MAX: usize = 16 << 10;

/// Bytes taken out of the queue and written at one time.
const BATCH_BYTES: usize = 32 << 10;

/// Room that an empty queue keeps.
const QUEUE_BYTES_KEPT: usize = 64 << 10;

/// How long a panic waits for the lines before it.
const PANIC_WAIT: Duration = Duration::from_millis(500);

/// Names the variable that overrides the configured level.
const OVERRIDE: &str = "RUST_LOG";

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The queue, and who waits for it to change.
static SHARED: Shared = Shared { queue: Mutex::new(Queue::new()), filled: Condvar::new(), emptied: Condvar::new() };

/// The process is a replica.
static IS_REPLICA: AtomicBool = AtomicBool::new(false);

/// Says whether the process is a replica, which lines tell.
pub fn set_replica(is_replica: bool) {
    IS_REPLICA.store(is_replica, Ordering::Relaxed);
}

/// Whether lines go to a file; set once, when the log is started.
static TO_FILE: OnceLock<bool> = OnceLock::new();

/// Whether `RUST_LOG` decides what is logged.
static OVERRIDDEN: AtomicBool = AtomicBool::new(false);

/// How the log is to be written.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is logged; `RUST_LOG`, if set, decides instead.
    pub level: LevelFilter,
    /// The log file; none means standard output.
    pub path: Option<PathBuf>,
    /// The system's log, if lines go there as well.
    pub syslog: Option<Syslog>,
}

/// How the system's log is to know the server.
#[derive(Clone, Debug)]
pub struct Syslog {
    /// The name its lines begin with. A NUL byte and what follows it are left out.
    pub ident: Vec<u8>,
    /// What kind of program it is, one of the `LOG_` numbers of the C library.
    pub facility: libc::c_int,
}

// --- The queue --------------------------------------------------------------------------------------------------------

struct Shared {
    queue: Mutex<Queue>,
    /// There is something to write.
    filled: Condvar,
    /// Everything has been written.
    emptied: Condvar,
}

impl Shared {
    /// The queue. Nothing panics while it is held.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, kind: Kind, prefix: &str, text: &str) {
        self.lock().push(kind, prefix, text);
        self.filled.notify_one();
    }
}

/// What a record is, which says where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    /// Text as it is, for the log alone.
    Raw,
    /// Lines by their level.
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Kind {
    const ALL: [Kind; 6] = [Kind::Raw, Kind::Error, Kind::Warn, Kind::Info, Kind::Debug, Kind::Trace];

    fn of(level: Level) -> Kind {
        match level {
            Level::Error => Kind::Error,
            Level::Warn => Kind::Warn,
            Level::Info => Kind::Info,
            Level::Debug => Kind::Debug,
            Level::Trace => Kind::Trace,
        }
    }

    /// The system log's priority, as Redis maps its levels.
    fn priority(self) -> Option<libc::c_int> {
        match self {
            Kind::Raw => None,
            Kind::Error | Kind::Warn => Some(libc::LOG_WARNING),
            Kind::Info => Some(libc::LOG_NOTICE),
            Kind::Debug => Some(libc::LOG_INFO),
            Kind::Trace => Some(libc::LOG_DEBUG),
        }
    }
}

/// Lines that wait to be written, oldest first.
///
/// ```text
/// kind: 1 | bytes of the prefix: 1 | bytes of prefix and text: 4 | prefix | text with its line end
/// ```
struct Queue {
    /// At most [`QUEUE_BYTES_MAX`].
    bytes: VecDeque<u8>,
    /// Lines that found no room since the last batch was taken.
    dropped: u64,
    /// The log file is to be opened again.
    reopen: bool,
    /// The last batch taken is still being written.
    writing: bool,
}

/// Bytes before a record's prefix.
const HEAD_BYTES: usize = 6;

impl Queue {
    const fn new() -> Queue {
        Queue { bytes: VecDeque::new(), dropped: 0, reopen: false, writing: false }
    }

    /// Adds a record, or counts it as dropped. Neither text is longer than its length field can tell.
    fn push(&mut self, kind: Kind, prefix: &str, text: &str) {
        let (Ok(prefix_bytes), Ok(bytes)) = (u8::try_from(prefix.len()), u32::try_from(prefix.len() + text.len()))
        else {
            self.dropped += 1;
            return;
        };
        if self.bytes.len() + HEAD_BYTES + bytes as usize > QUEUE_BYTES_MAX {
            self.dropped += 1;
            return;
        }
        self.bytes.extend([kind as u8, prefix_bytes]);
        self.bytes.extend(bytes.to_le_bytes());
        self.bytes.extend(prefix.as_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.dropped == 0 && !self.reopen
    }

    /// Moves whole records into `batch`, up to [`BATCH_BYTES`] or one that is longer.
    fn take(&mut self, batch: &mut Vec<u8>) {
        batch.clear();
        let mut taken = 0;
        while let Some(bytes) = self.record_bytes(taken) {
            if taken > 0 && taken + bytes > BATCH_BYTES {
                break;
            }
            taken += bytes;
        }
        batch.extend(self.bytes.drain(..taken));
        if self.bytes.is_empty() && self.bytes.capacity() > QUEUE_BYTES_KEPT {
            self.bytes = VecDeque::new();
        }
    }

    /// The length of the record that begins at `at`, head included.
    fn record_bytes(&self, at: usize) -> Option<usize> {
        let byte = |offset: usize| self.bytes.get(at + offset).copied();
        let length = [byte(2)?, byte(3)?, byte(4)?, byte(5)?];
        Some(HEAD_BYTES + u32::from_le_bytes(length) as usize)
    }
}

/// A batch's records: kind, whole line, text without the prefix.
fn records(mut batch: &[u8]) -> impl Iterator<Item = (Kind, &[u8], &[u8])> {
    std::iter::from_fn(move || {
        let ([kind, prefix, length @ ..], rest) = batch.split_first_chunk::<HEAD_BYTES>()?;
        let (line, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        batch = rest;
        let kind = *Kind::ALL.get(usize::from(*kind))?;
        Some((kind, line, line.get(usize::from(*prefix)..)?))
    })
}

// --- The thread that writes -------------------------------------------------------------------------------------------

/// Where lines go.
struct Outlet {
    file: File,
    /// The log file's name; none for standard output.
    path: Option<PathBuf>,
    syslog: bool,
}

impl Outlet {
    /// Opens every way out, in the table of descriptors of the calling thread.
    fn open(options: Options) -> io::Result<Outlet> {
        let file = match &options.path {
            Some(path) => open_file(path)?,
            None => File::from(io::stdout().as_fd().try_clone_to_owned()?),
        };
        if let Some(syslog) = &options.syslog {
            open_syslog(syslog);
        }
        Ok(Outlet { file, path: options.path, syslog: options.syslog.is_some() })
    }

    /// Opens the log file again by its name, after it was rotated. The old one is kept if that fails.
    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open_file(path) {
            Ok(file) => {
                self.file = file;
                log::info!("Log file reopened");
            }
            Err(error) => log::error!("Can't open the log file {}: {}", path.display(), super::error_text(&error)),
        }
    }

    fn write(&mut self, batch: &[u8], text: &mut Vec<u8>) {
        text.clear();
        records(batch).for_each(|(_, line, _)| text.extend_from_slice(line));
        write_whole(&self.file, text);
        if self.syslog {
            records(batch).for_each(|(kind, _, text)| send_to_syslog(kind, text));
        }
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Writes all of it, however long that takes. What cannot be written at all is lost, for there is nowhere to say so.
fn write_whole(mut file: &File, mut text: &[u8]) {
    while !text.is_empty() {
        match file.write(text) {
            Ok(0) => return,
            Ok(count) => text = &text[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Whoever shares the descriptor has made it nonblocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait_for_room(file),
            Err(_) => return,
        }
    }
}

fn wait_for_room(file: &File) {
    let mut wanted = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `wanted` is one valid entry for the length of the call.
    unsafe { libc::poll(&mut wanted, 1, -1) };
}

/// Connects to the system's log as Redis does. It lives as long as the process, and so does the name.
fn open_syslog(syslog: &Syslog) {
    let name: Vec<u8> = syslog.ident.iter().copied().take_while(|byte| *byte != 0).collect();
    let name: &'static CString = Box::leak(Box::new(CString::new(name).unwrap_or_default()));
    let options = libc::LOG_PID | libc::LOG_NDELAY | libc::LOG_NOWAIT;
    // SAFETY: the C library keeps the pointer, and what it points to is never freed.
    unsafe { libc::openlog(name.as_ptr(), options, syslog.facility) };
}

fn send_to_syslog(kind: Kind, text: &[u8]) {
    let Some(priority) = kind.priority() else { return };
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line: Vec<u8> = line.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
    let Ok(line) = CString::new(line) else { return };
    // SAFETY: the format takes one text, and is given one that ends in a zero byte.
    unsafe { libc::syslog(priority, c"%s".as_ptr(), line.as_ptr()) };
}

/// Writes what is queued, for ever.
fn run(mut outlet: Outlet) {
    let mut ledger = Ledger::new();
    let (mut batch, mut text) = (Vec::with_capacity(BATCH_BYTES), Vec::with_capacity(BATCH_BYTES));
    loop {
        let (dropped, reopen) = {
            let mut queue = SHARED.lock();
            queue.writing = false;
            while queue.is_empty() {
                SHARED.emptied.notify_all();
                queue = SHARED.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.writing = true;
            queue.take(&mut batch);
            (std::mem::take(&mut queue.dropped), std::mem::take(&mut queue.reopen))
        };
        if reopen {
            outlet.reopen();
        }
        outlet.write(&batch, &mut text);
        if dropped > 0 {
            log::warn!("{dropped} lines of the log were dropped, because they came faster than it could be written");
        }
        ledger.publish();
    }
}

// --- What others see --------------------------------------------------------------------------------------------------

/// Formats lines and queues them.
struct Logger {
    /// Chooses by level and module; writes nothing.
    filter: env_logger::Logger,
    clock: SystemClock,
    pid: u32,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        let mark = match record.level() {
            Level::Error | Level::Warn => '#',
            Level::Info => '*',
            Level::Debug => '-',
            Level::Trace => '.',
        };
        // Formatted before the queue is locked: formatting may log.
        let role = if IS_REPLICA.load(Ordering::Relaxed) { 'S' } else { 'M' };
        let prefix = format!("{}:{role} {} {mark} ", self.pid, date(self.clock.unix_us().div_euclid(1000)));
        let mut text = record.args().to_string();
        if text.len() > TEXT_BYTES_MAX {
            let end = (0..=TEXT_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.push_str("...");
        }
        text.push('\n');
        SHARED.push(Kind::of(record.level()), &prefix, &text);
    }

    fn flush(&self) {}
}

/// Whether the log file can be opened; makes it if it is not there. For whoever has to know before the process goes to the
/// background.
pub fn check(path: &Path) -> io::Result<()> {
    open_file(path).map(drop)
}

/// Starts logging, and the thread that writes. To be called when the process will not fork any more.
///
/// # Errors
/// The file cannot be opened, or the thread not be started.
pub fn start(options: Options) -> io::Result<()> {
    let mut builder = env_logger::Builder::new();
    let overridden = std::env::var_os(OVERRIDE).is_some_and(|value| !value.is_empty());
    OVERRIDDEN.store(overridden, Ordering::Relaxed);
    if overridden {
        builder.parse_default_env();
    } else {
        // The logger lets everything of ours through, so that `set_level` alone decides; libraries only when they warn.
        builder.filter_level(LevelFilter::Warn).filter_module("aleadb", LevelFilter::Trace);
    }
    let filter = builder.build();
    let (level, is_to_file) = (options.level, options.path.is_some());
    let (opened, outcome) = mpsc::channel();
    std::thread::Builder::new().name("aleadb-log".into()).spawn(move || {
        super::signal::leave_to_other_threads();
        super::limits::leave_descriptors(None);
        match Outlet::open(options) {
            Ok(outlet) => {
                let _ = opened.send(Ok(()));
                run(outlet);
            }
            Err(error) => drop(opened.send(Err(error))),
        }
    })?;
    outcome.recv().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it has ended")))?;
    let _ = TO_FILE.set(is_to_file);
    log::set_max_level(filter.filter());
    let logger = Logger { filter, clock: SystemClock::start(), pid: std::process::id() };
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    set_level(level);
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The lines before it say what led there.
        finish(PANIC_WAIT);
        report(panic);
    }));
    Ok(())
}

/// Changes how much is logged from now on. Does nothing when `RUST_LOG` decides.
pub fn set_level(level: LevelFilter) {
    if !OVERRIDDEN.load(Ordering::Relaxed) {
        log::set_max_level(level);
    }
}

/// Whether lines go to a file rather than to standard output.
pub fn is_to_file() -> bool {
    TO_FILE.get().copied().unwrap_or(false)
}

/// Writes text as it is, without level, date and process id, where lines go: for the logo.
pub fn raw(text: &str) {
    SHARED.push(Kind::Raw, "", text);
}

/// Opens the log file again by its name, after it was rotated, before the next lines are written. The old one is kept if
/// that fails, and the log says so.
pub fn reopen() {
    SHARED.lock().reopen = true;
    SHARED.filled.notify_one();
}

/// Waits until everything logged so far is written, but no longer than `limit`: the end of a process must not hang on a
/// pipe that nobody reads.
pub fn finish(limit: Duration) {
    if TO_FILE.get().is_none() {
        return;
    }
    let is_busy = |queue: &mut Queue| queue.writing || !queue.is_empty();
    drop(SHARED.emptied.wait_timeout_while(SHARED.lock(), limit, is_busy));
}

/// A moment as Redis's log writes it, in local time: `22 Nov 2026 16:54:49.921`.
fn date(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000) as libc::time_t;
    // SAFETY: all zeroes is a valid `tm`, and both pointers are valid for the length of the call. The call also reads the
    // environment (TZ), which this program writes once, before it has a second thread (see `title`).
    let time: libc::tm = unsafe {
        let mut time = MaybeUninit::zeroed().assume_init();
        libc::localtime_r(&seconds, &mut time);
        time
    };
    text_of(&time, unix_ms.rem_euclid(1000))
}

fn text_of(time: &libc::tm, ms: i64) -> String {
    let month = usize::try_from(time.tm_mon).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"???");
    let (day, year) = (time.tm_mday, i64::from(time.tm_year) + 1900);
    format!("{day:02} {month} {year} {:02}:{:02}:{:02}.{ms:03}", time.tm_hour, time.tm_min, time.tm_sec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What a queue gives until it is empty.
    fn drained(queue: &mut Queue) -> Vec<(Kind, String, String)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
        let mut batch = Vec::new();
        let mut found = Vec::new();
        while !queue.bytes.is_empty() {
            queue.take(&mut batch);
            assert!(!batch.is_empty() && batch.len() <= BATCH_BYTES.max(HEAD_BYTES + 300 + TEXT_BYTES_MAX));
            found.extend(records(&batch).map(|(kind, line, rest)| (kind, text(line), text(rest))));
        }
        found
    }

    #[test]
    fn queued_lines_come_out_whole_and_in_order() {
        let mut queue = Queue::new();
        let long = "x".repeat(TEXT_BYTES_MAX);
        let mut expected = Vec::new();
        for round in 0..200 {
            let (kind, text) = (Kind::ALL[round % Kind::ALL.len()], format!("{round}\n"));
            let text = if round % 50 == 7 { long.clone() } else { text };
            queue.push(kind, "1:M now ", &text);
            expected.push((kind, format!("1:M now {text}"), text));
        }
        assert_eq!(drained(&mut queue), expected);
        assert!(queue.is_empty());
        assert!(queue.bytes.capacity() <= QUEUE_BYTES_KEPT);
    }

    #[test]
    fn a_full_queue_drops_and_counts() {
        let mut queue = Queue::new();
        let line = "y".repeat(1000);
        for _ in 0..2000 {
            queue.push(Kind::Info, "", &line);
            assert!(queue.bytes.len() <= QUEUE_BYTES_MAX);
        }
        let kept = drained(&mut queue).len();
        assert_eq!(kept, QUEUE_BYTES_MAX / (HEAD_BYTES + line.len()));
        assert_eq!(kept as u64 + queue.dropped, 2000);
        // A prefix beyond its length field is nothing a caller makes, and still no panic.
        queue.push(Kind::Info, &line, "text");
        assert!(queue.bytes.is_empty());
    }

    #[test]
    fn dates_are_those_of_the_system_s_own_tool() {
        // The edges of a leap day, of a year and of the epoch, and two ordinary moments half a year apart.
        for (unix_ms, ms) in [
            (0, 0),
            (951_782_399_999, 999),
            (951_782_400_000, 0),
            (1_700_000_000_123, 123),
            (1_720_000_000_007, 7),
            (-1, 999),
        ] {
            let seconds = i64::div_euclid(unix_ms, 1000);
            let date_tool = Command::new("date")
                .args([format!("-d@{seconds}"), "+%d %b %Y %H:%M:%S".into()])
                .env("LC_ALL", "C")
                .output();
            let expected = String::from_utf8(date_tool.expect("date runs").stdout).expect("ASCII");
            assert_eq!(date(unix_ms), format!("{}.{ms:03}", expected.trim()));
        }
    }

    #[test]
    fn a_month_that_does_not_exist_does_not_panic() {
        // SAFETY: all zeroes is a valid `tm`.
        let mut time: libc::tm = unsafe { MaybeUninit::zeroed().assume_init() };
        time.tm_mon = 12;
        assert_eq!(text_of(&time, 1), "00 ??? 1900 00:00:00.001");
    }
}
