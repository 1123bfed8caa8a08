//! The manifest: which files the log has, in the order in which they are read.
//!
//! ```text
//! file appendonly.aof.2.base.rdb seq 2 type b
//! file appendonly.aof.1.incr.aof seq 1 type h
//! file appendonly.aof.2.incr.aof seq 2 type i startoffset 1024
//! ```
//! A line is a list of keys and values, in Redis's form and as strictly read: the file's name, its number among those of its
//! kind, and its kind: `b` the base, `h` one that a rewrite has replaced and that is to be removed, `i` an increment. Redis
//! 8 adds where in the stream of replication a file begins and, once it is full, where it ends. A name of other bytes than
//! printable ones stands in quotes. Lines that begin with `#` are skipped, as are keys of later versions.
//!
//! What is accepted: one base at most, increments whose numbers grow, no name twice, no name that leads out of the directory
//! or to the manifest itself. A gap between numbers is accepted, as Redis does. So is a history of any numbers.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use crate::base::{num, quote};
use crate::persist::storage::Storage;

/// The most of a line that is read, its end included: Redis's limit.
const LINE_BYTES_MAX: usize = 1024;

/// Files that a manifest may name: a million rewrites that failed, each of which has left an increment.
const FILES_MAX: usize = 1 << 20;

/// The greatest number of a file: there is always one after it that Redis can hold.
const SEQ_MAX: u64 = 1 << 62;

/// The longest name of a file on the file systems there are.
const NAME_BYTES_MAX: usize = 255;

/// What the manifest's own name adds to `appendfilename`.
const SUFFIX: &str = ".manifest";

/// What the names of bases end with that consist of commands.
const COMMAND_BASE_SUFFIX: &str = ".base.aof";

/// What comes before the name of a file that is being written.
pub const TEMP_PREFIX: &str = "temp-";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The data as of a moment.
    Base,
    /// It is no part of the data any more.
    History,
    /// What was done since.
    Increment,
}

impl Kind {
    fn letter(self) -> char {
        match self {
            Kind::Base => 'b',
            Kind::History => 'h',
            Kind::Increment => 'i',
        }
    }
}

/// A file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// Its name, without the directory.
    pub name: String,
    /// Its number, from 1 upwards, among the bases or the increments.
    pub seq: u64,
    /// What it is.
    pub kind: Kind,
    /// Where in the stream of replication it begins, if that is known.
    pub start_offset: Option<u64>,
    /// Where it ends there, if it is full and that is known.
    pub end_offset: Option<u64>,
}

impl LogFile {
    /// Appends its line.
    fn print(&self, text: &mut Vec<u8>) {
        text.extend_from_slice(b"file ");
        if self.name.bytes().all(is_plain) {
            text.extend_from_slice(self.name.as_bytes());
        } else {
            quote::repr(text, self.name.as_bytes());
        }
        // Writing to a vector cannot fail.
        let _ = write!(text, " seq {} type {}", self.seq, self.kind.letter());
        if let Some(start) = self.start_offset {
            let _ = write!(text, " startoffset {start}");
        }
        if let Some(end) = self.end_offset {
            let _ = write!(text, " endoffset {end}");
        }
        text.push(b'\n');
    }
}

/// The files of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    base: Option<LogFile>,
    history: Vec<LogFile>,
    increments: Vec<LogFile>,
}

/// Why a manifest was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The line, from 1 upwards; 0 if the file has none.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(self.reason),
            line => write!(f, "line {line}: {}", self.reason),
        }
    }
}

impl std::error::Error for ManifestError {}

/// True for the name of a base that consists of commands.
pub fn is_command_base(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.ends_with(COMMAND_BASE_SUFFIX))
}

/// The manifest's name, for logs of this `appendfilename`.
pub fn file_name(stem: &str) -> String {
    format!("{stem}{SUFFIX}")
}

/// The `appendfilename` of the log whose manifest has this name, if it is the name of one.
pub fn stem_of(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX).filter(|stem| !stem.is_empty())
}

impl Manifest {
    /// Reads a manifest, for logs of this `appendfilename`. O(bytes).
    ///
    /// # Errors
    /// The first line that is not as the module header says.
    pub fn parse(bytes: &[u8], stem: &str) -> Result<Manifest, ManifestError> {
        let mut manifest = Manifest::default();
        let mut names = BTreeSet::new();
        if bytes.is_empty() {
            return Err(ManifestError { line: 0, reason: "Found an empty AOF manifest" });
        }
        for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let refused = |reason| ManifestError { line: index + 1, reason };
            if line.first() == Some(&b'#') {
                continue;
            }
            if line.len() > LINE_BYTES_MAX {
                return Err(refused("The AOF manifest file contains too long line"));
            }
            let line = line.strip_suffix(b"\n").ok_or_else(|| refused("the line has no end: the file was cut off"))?;
            let file = parse_line(line).map_err(refused)?;
            if file.name == file_name(stem) {
                return Err(refused("the manifest names itself"));
            }
            if !names.insert(file.name.clone()) {
                return Err(refused("a file is named twice"));
            }
            if names.len() > FILES_MAX {
                return Err(refused("the manifest names too many files"));
            }
            manifest.add(file).map_err(refused)?;
        }
        Ok(manifest)
    }

    fn add(&mut self, file: LogFile) -> Result<(), &'static str> {
        match file.kind {
            Kind::Base if self.base.is_some() => return Err("Found duplicate base file information"),
            Kind::Base => self.base = Some(file),
            Kind::History => self.history.push(file),
            Kind::Increment => {
                if self.increments.last().is_some_and(|last| last.seq >= file.seq) {
                    return Err("Found a non-monotonic sequence number");
                }
                self.increments.push(file);
            }
        }
        Ok(())
    }

    /// The manifest's text. Redis reads no empty one.
    pub fn print(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for file in self.all() {
            file.print(&mut text);
        }
        text
    }

    /// Puts the manifest on the disk in place of the one that is there: whole, or not at all. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's. The one that was there stays, unless it was the sync of the directory that failed: then either may be found
    /// after a crash.
    pub fn store(&self, storage: &dyn Storage, dir: &Path, stem: &str) -> io::Result<()> {
        let name = file_name(stem);
        let (path, temporary) = (dir.join(&name), dir.join(format!("{TEMP_PREFIX}{name}")));
        let mut file = storage.create(&temporary)?;
        file.write_all(&self.print())?;
        file.sync()?;
        drop(file);
        storage.rename(&temporary, &path)?;
        storage.sync_dir(dir)
    }

    /// The data as of a moment, with which reading begins.
    pub fn base(&self) -> Option<&LogFile> {
        self.base.as_ref()
    }

    /// What was done since, in order.
    pub fn increments(&self) -> &[LogFile] {
        &self.increments
    }

    /// What may be removed.
    pub fn history(&self) -> &[LogFile] {
        &self.history
    }

    /// True if there is nothing to be read.
    pub fn is_empty(&self) -> bool {
        self.base.is_none() && self.increments.is_empty()
    }

    /// The files that are read, in order.
    pub fn files(&self) -> impl Iterator<Item = &LogFile> {
        self.base.iter().chain(&self.increments)
    }

    /// All files that are named, in the order of their lines.
    pub fn all(&self) -> impl Iterator<Item = &LogFile> {
        self.base.iter().chain(&self.history).chain(&self.increments)
    }

    /// Takes a new file in behind the last increment. Its number is after those of all there, the history included, and after
    /// `used`: a name that a rewrite which failed may have left behind must not come again.
    pub fn begin_increment(&mut self, stem: &str, used: u64) -> &LogFile {
        let seq = self.next_seq(".incr.", used);
        let name = format!("{stem}.{seq}.incr.aof");
        self.increments.push(LogFile { name, seq, kind: Kind::Increment, start_offset: None, end_offset: None });
        &self.increments[self.increments.len() - 1]
    }

    /// The name that the next base gets: RDB, or commands. Its number is found in the same way.
    pub fn next_base(&self, stem: &str, is_rdb: bool, used: u64) -> LogFile {
        let seq = self.next_seq(".base.", used);
        let format = if is_rdb { "rdb" } else { "aof" };
        let name = format!("{stem}.{seq}.base.{format}");
        LogFile { name, seq, kind: Kind::Base, start_offset: None, end_offset: None }
    }

    /// Takes a base in that holds all that was done before an increment: what was there before becomes history.
    pub fn replace_base(&mut self, base: LogFile, first_kept: u64) {
        debug_assert_eq!(base.kind, Kind::Base);
        let kept = self.increments.iter().position(|file| file.seq >= first_kept).unwrap_or(self.increments.len());
        let replaced = self.base.replace(base).into_iter().chain(self.increments.drain(..kept));
        self.history.extend(replaced.map(|file| LogFile { kind: Kind::History, ..file }));
    }

    /// Takes in a base as the only file, such as an older log of one file that is to become part of this one.
    pub fn adopt_base(&mut self, name: String) {
        self.base = Some(LogFile { name, seq: 1, kind: Kind::Base, start_offset: None, end_offset: None });
    }

    /// Forgets files of the history that have been removed.
    pub fn forget(&mut self, is_removed: impl Fn(&LogFile) -> bool) {
        self.history.retain(|file| !is_removed(file));
    }

    /// The number after all that files of a kind have. A name of the history must not come again before that file is removed.
    fn next_seq(&self, infix: &str, used: u64) -> u64 {
        let history = self.history.iter().filter(|file| file.name.contains(infix));
        let all = if infix == ".base." { self.base.as_slice() } else { &self.increments };
        all.iter().chain(history).map(|file| file.seq).fold(used, u64::max) + 1
    }
}

/// Bytes that a name outside quotes may have.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\')
}

fn parse_line(line: &[u8]) -> Result<LogFile, &'static str> {
    const FORM: &str = "Invalid AOF manifest file format";
    if line.contains(&0) {
        return Err(FORM);
    }
    let words = quote::split_args(line).ok_or(FORM)?;
    if words.len() < 6 || !words.len().is_multiple_of(2) {
        return Err(FORM);
    }
    let (mut name, mut seq, mut kind, mut start_offset, mut end_offset) = (None, None, None, None, None);
    for pair in words.chunks_exact(2) {
        let (key, value) = (pair[0].to_ascii_lowercase(), &pair[1]);
        let was_there = match &*key {
            b"file" => name.replace(parse_name(value)?).is_some(),
            b"seq" => seq.replace(parse_seq(value)?).is_some(),
            b"type" => kind.replace(parse_kind(value)?).is_some(),
            b"startoffset" => start_offset.replace(number(value).ok_or("an offset is no number")?).is_some(),
            b"endoffset" => end_offset.replace(number(value).ok_or("an offset is no number")?).is_some(),
            _ => false,
        };
        if was_there {
            return Err("a key stands twice in the line");
        }
    }
    let (Some(name), Some(seq), Some(kind)) = (name, seq, kind) else { return Err(FORM) };
    let file = LogFile { name, seq, kind, start_offset, end_offset };
    // What is escaped takes more room than bytes that stand for themselves, which others may have written: the next manifest
    // has to be one that can be read as well.
    let mut printed = Vec::new();
    file.print(&mut printed);
    if printed.len() > LINE_BYTES_MAX {
        return Err("the name is too long with its bytes escaped");
    }
    Ok(file)
}

fn parse_name(value: &[u8]) -> Result<String, &'static str> {
    if value.contains(&b'/') || value == b"." || value == b".." {
        return Err("File can't be a path, just a filename");
    }
    if value.is_empty() || value.contains(&0) || value.len() > NAME_BYTES_MAX {
        return Err("the name is none that a file can have");
    }
    String::from_utf8(value.to_vec()).map_err(|_| "the file's name is not UTF-8")
}

fn parse_kind(value: &[u8]) -> Result<Kind, &'static str> {
    match value {
        b"b" => Ok(Kind::Base),
        b"h" => Ok(Kind::History),
        b"i" => Ok(Kind::Increment),
        _ => Err("Unknown AOF file type"),
    }
}

fn parse_seq(value: &[u8]) -> Result<u64, &'static str> {
    number(value).filter(|seq| (1..=SEQ_MAX).contains(seq)).ok_or("the sequence number is none")
}

/// A number that is not negative and that Redis can hold.
fn number(value: &[u8]) -> Option<u64> {
    num::parse_i64(value).and_then(|number| u64::try_from(number).ok())
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
