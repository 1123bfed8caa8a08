//! The log: lines in Redis's shape through `log` and `env_logger`, to standard output or to a file that can be reopened
//! after it was moved away.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use log::LevelFilter;

/// The log file, if there is one.
static LOG_FILE: OnceLock<LogFile> = OnceLock::new();

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
    builder.filter_level(level).parse_default_env();
    match path {
        None => builder.target(env_logger::Target::Stdout),
        Some(path) => {
            let file = Mutex::new(LogFile::open(path)?);
            // A second start in one process keeps the first file; only tests could do that.
            let _ = LOG_FILE.set(LogFile { path: path.to_path_buf(), file });
            builder.target(env_logger::Target::Pipe(Box::new(ToFile)))
        }
    };
    let pid = std::process::id();
    builder.format(move |out, record| {
        let mark = match record.level() {
            log::Level::Error | log::Level::Warn => '#',
            log::Level::Info => '*',
            log::Level::Debug => '-',
            log::Level::Trace => '.',
        };
        writeln!(out, "{pid}:M {} {mark} {}", out.timestamp_millis(), record.args())
    });
    builder.init();
    Ok(())
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
        Err(error) => log::error!("Can't open the log file {}: {error}", log.path.display()),
    }
}
