//! What a data directory holds, and the few things that are done to whole files: the log's manifest is read, a file's end is set
//! aside, a file is copied. Blocks on the disk.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::aof::batch::HEAD;
use super::aof::manifest::{self, Manifest};
use super::storage::{Listed, Storage, WriteFile};

/// What is copied at once.
const PIECE_BYTES: usize = 256 * 1024;

/// The longest manifest that is read: far more than the files that one may name.
const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What dump files begin with.
const DUMP_MAGIC: [&[u8]; 2] = [b"REDIS", b"VALKEY"];

/// The files of a directory; none if it is not there.
///
/// # Errors
/// The disk's.
pub fn list(storage: &dyn Storage, dir: &Path) -> io::Result<Vec<Listed>> {
    match storage.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

/// The bytes of a file of a directory, if it is there.
pub fn bytes_of(files: &[Listed], name: &str) -> Option<u64> {
    files.iter().find(|file| file.name == name).map(|file| file.bytes)
}

/// Which of a log's files may lack its end: the last that holds anything. A log goes on in its next file before the one before is
/// on the disk, but writes no more than its head into it until then.
pub fn last_of<'f>(
    storage: &dyn Storage,
    dir: &Path,
    names: impl DoubleEndedIterator<Item = &'f str>,
) -> Option<&'f str> {
    let holds_anything = |name: &&str| {
        let mut begin = Vec::new();
        let read =
            storage.open(&dir.join(name)).and_then(|file| file.take(HEAD.len() as u64 + 1).read_to_end(&mut begin));
        // What cannot be read is met again by whoever loads it.
        read.is_err() || !(begin.is_empty() || begin == HEAD)
    };
    names.rev().find(holds_anything)
}

/// True if a file begins as dump files do.
///
/// # Errors
/// The disk's.
pub fn is_dump(storage: &dyn Storage, path: &Path) -> io::Result<bool> {
    let mut first = Vec::new();
    storage.open(path)?.take(DUMP_MAGIC[1].len() as u64).read_to_end(&mut first)?;
    Ok(DUMP_MAGIC.iter().any(|magic| first.starts_with(magic)))
}

/// The manifest of a log, if there is one; `stem` is what its files' names begin with.
///
/// # Errors
/// It cannot be read, or is none: in words for people.
pub fn read_manifest(storage: &dyn Storage, dir: &Path, stem: &str) -> Result<Option<Manifest>, String> {
    let path = dir.join(manifest::file_name(stem));
    let shown = path.display();
    let file = match storage.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| format!("Can't read {shown}: {error}"))?,
    };
    let mut text = Vec::new();
    let read = file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut text);
    read.map_err(|error| format!("Can't read {shown}: {error}"))?;
    if text.len() as u64 > MANIFEST_BYTES_MAX {
        return Err(format!("{shown} is too long for a manifest"));
    }
    Manifest::parse(&text, stem).map(Some).map_err(|error| format!("{shown} is no manifest of a log: {error}"))
}

/// Copies a file, up to so many bytes; the copy has its name once all of it is on the disk. O(bytes).
///
/// # Errors
/// The disk's.
pub fn copy(storage: &dyn Storage, from: &Path, to: &Path, bytes: u64) -> io::Result<()> {
    let temporary = temporary_of(to);
    let mut written = storage.create(&temporary)?;
    pour(&mut *storage.open(from)?, 0, bytes, &mut *written)?;
    written.sync()?;
    drop(written);
    storage.rename(&temporary, to)?;
    storage.sync_dir(parent(to))
}

/// Where a file is written before it gets its name.
fn temporary_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{}{name}", manifest::TEMP_PREFIX))
}

/// The name under which a process writes a dump file or the base of a log.
pub fn temporary_of_process(path: &Path, process: u32, serial: u64) -> String {
    let suffix = if manifest::is_command_base(path) { "aof" } else { "rdb" };
    format!("{}{process}-{serial}.{suffix}", manifest::TEMP_PREFIX)
}

/// True for names that files have while they are written, by us: they are of no use once who wrote them has ended.
pub fn is_temporary(name: &str, stem: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = name.strip_prefix(manifest::TEMP_PREFIX) else { return false };
    let unmarked = rest.strip_suffix(".rdb").or_else(|| rest.strip_suffix(".aof"));
    let dump = unmarked.and_then(|rest| rest.split_once('-'));
    dump.is_some_and(|(process, serial)| is_number(process) && is_number(serial))
        || rest.strip_prefix(stem).is_some_and(|rest| rest.starts_with('.'))
}

/// The directory of a path.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes what a file has from one offset up to another.
fn pour(file: &mut (impl Read + ?Sized), from: u64, to: u64, out: &mut dyn WriteFile) -> io::Result<()> {
    io::copy(&mut file.take(from), &mut io::sink())?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut left = to.saturating_sub(from);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let count = match file.read(&mut piece[..most]) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        out.write_all(&piece[..count])?;
        left -= count as u64;
    }
    Ok(())
}

/// Cuts a file off at an offset; what was behind it is kept in a file of its own beside it, whose path is returned. The copy is on
/// the disk before anything is cut.
///
/// # Errors
/// The disk's; the file is as it was, unless it was the cut that failed.
pub fn set_aside(storage: &dyn Storage, path: &Path, offset: u64) -> io::Result<PathBuf> {
    let (dir, name) = (parent(path), path.file_name().unwrap_or_default().to_string_lossy());
    let there = storage.list(dir)?;
    let numbered = |number: u64| match number {
        1 => format!("{name}.torn-{offset}"),
        number => format!("{name}.torn-{offset}-{number}"),
    };
    let free = (1..).map(numbered).find(|name| bytes_of(&there, name).is_none()).unwrap_or_default();
    let aside = path.with_file_name(free);
    let mut written = storage.create(&aside)?;
    pour(&mut *storage.open(path)?, offset, u64::MAX, &mut *written)?;
    written.sync()?;
    drop(written);
    storage.sync_dir(dir)?;
    let mut file = storage.append(path)?;
    file.truncate(offset)?;
    file.sync()?;
    Ok(aside)
}
