//! The log: lines in Redis's shape through `log` and `env_logger`, to standard output or to a file that can be reopened
//! after it was moved away.
//!
//! A line is `pid:M 22 Nov 2026 16:54:49.921 * text`, in local time as the people who read it expect; the mark before the
//! text is the level: `#` warning, `*` notice, `-` verbose, `.` debug. The level is the configuration's and may change at
//! any time, unless the environment variable `RUST_LOG` is set, which then decides for good.
//!
//! The date comes from the C library, which knows the machine's time zone; `env_logger`'s own time stamps are in UTC, in
//! another shape, and would bring a date library along.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use log::LevelFilter;

use crate::base::clock::{Clock, SystemClock};

/// Names the variable that overrides the configured level.
const OVERRIDE: &str = "RUST_LOG";

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// The log file, if there is one.
static LOG_FILE: OnceLock<LogFile> = OnceLock::new();

/// Whether `RUST_LOG` decides what is logged.
static OVERRIDDEN: AtomicBool = AtomicBool::new(false);

#[derive(Debug)]
struct LogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(path)
    }
}

/// Writes to the log file, whichever is open at the time.
struct ToFile;

impl Write for ToFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match LOG_FILE.get().map(|log| log.file.lock()) {
            Some(Ok(mut file)) => file.write(buf),
            // Without a file there is nothing to write to; the line is dropped rather than the server.
            _ => Ok(buf.len()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging at a level; `RUST_LOG`, if set, decides instead. To a file if a path is given, else to standard output.
///
/// # Errors
/// The file cannot be opened.
pub fn start(level: LevelFilter, path: Option<&Path>) -> io::Result<()> {
    let mut builder = env_logger::Builder::new();
    let overridden = std::env::var_os(OVERRIDE).is_some_and(|value| !value.is_empty());
    OVERRIDDEN.store(overridden, Ordering::Relaxed);
    if overridden {
        builder.parse_default_env();
    } else {
        // The logger lets everything of ours through, so that `set_level` alone decides; libraries only when they warn.
        builder.filter_level(LevelFilter::Warn).filter_module("aleadb", LevelFilter::Trace);
    }
    match path {
        None => builder.target(env_logger::Target::Stdout),
        Some(path) => {
            let file = Mutex::new(LogFile::open(path)?);
            // A second start in one process keeps the first file; only tests could do that.
            let _ = LOG_FILE.set(LogFile { path: path.to_path_buf(), file });
            builder.target(env_logger::Target::Pipe(Box::new(ToFile)))
        }
    };
    let (pid, clock) = (std::process::id(), SystemClock::start());
    builder.format(move |out, record| {
        let mark = match record.level() {
            log::Level::Error | log::Level::Warn => '#',
            log::Level::Info => '*',
            log::Level::Debug => '-',
            log::Level::Trace => '.',
        };
        writeln!(out, "{pid}:M {} {mark} {}", date(clock.unix_us().div_euclid(1000)), record.args())
    });
    builder.init();
    set_level(level);
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
    LOG_FILE.get().is_some()
}

/// Writes text as it is, without level, date and process id, where lines go: for the logo. A failure is not reported,
/// for there is nowhere to report it.
pub fn raw(text: &str) {
    let _ = match is_to_file() {
        true => ToFile.write_all(text.as_bytes()),
        false => io::stdout().write_all(text.as_bytes()),
    };
}

/// Opens the log file again by its name, after it was rotated. The old one is kept if that fails.
pub fn reopen() {
    let Some(log) = LOG_FILE.get() else { return };
    match LogFile::open(&log.path) {
        Ok(file) => {
            if let Ok(mut current) = log.file.lock() {
                *current = file;
            }
            log::info!("Log file reopened");
        }
        Err(error) => {
            let error = super::error_text(&error);
            log::error!("Can't open the log file {}: {error}", log.path.display());
        }
    }
}

/// A moment as Redis's log writes it, in local time: `22 Nov 2026 16:54:49.921`.
fn date(unix_ms: i64) -> String {
    let seconds = unix_ms.div_euclid(1000) as libc::time_t;
    // SAFETY: all zeroes is a valid `tm`, and both pointers are valid for the length of the call. The call also reads the
    // environment (TZ), which this program never writes.
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
