//! `aleadb --check`: whether what is on the disk could be loaded, and what is in it.
//!
//! `dump` looks through a dump file, `log` through those of a log. Nothing is changed, nothing is kept of the values; every value
//! is made once, so that what is found good is what loading would find good. Called by `main`, which prints the [`Report`].

mod dump;
mod log;

use std::io::Read;
use std::path::Path;

use super::aof::manifest::{Manifest, TEMP_PREFIX};
use super::directory::{bytes_of, list, parent, read_manifest};
use super::rdb::Shapes;
use super::storage::Storage;
use crate::resp::args::Args;
use crate::store::hash::KeyHasher;
use crate::store::types::{hash, list, set, zset};

pub use dump::{Summary, dump};
pub(super) use log::walk;

/// Whether a log may hold a command, and if not, why.
pub type Accepts<'a> = &'a dyn Fn(Args<'_>) -> Result<(), String>;

/// Where a data directory has its log, and the name of its dump file, unless the configuration says otherwise.
pub(super) const LOG_DIR: &str = "appendonlydir";
pub(super) const DUMP: &str = "dump.rdb";

/// What the name of a manifest ends with.
const MANIFEST: &str = ".manifest";

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines for people, the last of which says whether all is good.
    pub text: String,
    /// All of it could be loaded.
    pub is_good: bool,
}

/// Looks through a file or a directory; `now_ms` decides what has expired. O(bytes), with some 50 bytes of memory for each key.
///
/// A directory is that of a log, with its manifest, or one with a dump file and the directory of a log in it. A file may be a dump
/// file, the manifest of a log, or one of the log's files.
pub fn check(storage: &dyn Storage, path: &Path, (now_ms, hasher): (i64, KeyHasher), accepts: Accepts<'_>) -> Report {
    let context = (now_ms, hasher);
    let name = path.to_string_lossy();
    if let Some(stem) = name.strip_suffix(MANIFEST) {
        let (dir, stem) = (parent(path), Path::new(stem).file_name().unwrap_or_default().to_string_lossy());
        return check_log(storage, dir, read_manifest(storage, dir, &stem), context, accepts)
            .unwrap_or_else(nothing(path));
    }
    if let Ok(files) = storage.list(path) {
        let log = check_log(storage, path, find_manifest(storage, path), context, accepts).or_else(|| {
            let dir = path.join(LOG_DIR);
            check_log(storage, &dir, find_manifest(storage, &dir), context, accepts)
        });
        let dump = bytes_of(&files, DUMP).map(|_| check_dump(storage, &path.join(DUMP), context));
        let reports = dump.into_iter().chain(log);
        return reports.reduce(Report::and).unwrap_or_else(nothing(path));
    }
    let mut first = Vec::new();
    match storage.open(path).and_then(|file| file.take(1).read_to_end(&mut first)) {
        Ok(_) if matches!(&*first, b"*" | b"#") || name.ends_with(".aof") => {
            check_log_file(storage, path, context, accepts)
        }
        Ok(_) => check_dump(storage, path, context),
        Err(error) => Report { text: format!("{name}: BAD, it cannot be read: {error}\n"), is_good: false },
    }
}

impl Report {
    fn and(self, other: Report) -> Report {
        Report { text: self.text + &other.text, is_good: self.is_good && other.is_good }
    }
}

fn nothing(path: &Path) -> impl FnOnce() -> Report + '_ {
    move || Report { text: format!("{}: BAD, there is no data in it\n", path.display()), is_good: false }
}

/// The manifest of a log that is in a directory, if there is one.
pub(super) fn find_manifest(storage: &dyn Storage, dir: &Path) -> Result<Option<Manifest>, String> {
    let files = list(storage, dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let mut stems = files.iter().filter(|file| !file.name.starts_with(TEMP_PREFIX));
    match stems.find_map(|file| file.name.strip_suffix(MANIFEST)) {
        Some(stem) => read_manifest(storage, dir, stem),
        None => Ok(None),
    }
}

fn check_log(
    storage: &dyn Storage,
    dir: &Path,
    manifest: Result<Option<Manifest>, String>,
    context: (i64, KeyHasher),
    accepts: Accepts<'_>,
) -> Option<Report> {
    match manifest {
        Ok(None) => None,
        Ok(Some(manifest)) => {
            let (text, is_good) = log::directory(storage, dir, &manifest, context, accepts);
            Some(Report { text, is_good })
        }
        Err(reason) => Some(Report { text: format!("{}: BAD, {reason}\n", dir.display()), is_good: false }),
    }
}

fn check_log_file(storage: &dyn Storage, path: &Path, context: (i64, KeyHasher), accepts: Accepts<'_>) -> Report {
    let name = path.display();
    match walk(storage, path, true, None, context, accepts) {
        Ok(walked) => {
            let is_good = walked.is_loadable();
            let verdict = match &walked.fault {
                None => "good".to_owned(),
                Some((fault, _)) if is_good => format!("good but for its end, which a start sets aside; {fault}"),
                Some((fault, _)) => format!("BAD, {fault}"),
            };
            Report { text: format!("{name}:\n{}{name}: {verdict}\n", walked.text), is_good }
        }
        Err(error) => Report { text: format!("{name}: BAD, it cannot be read: {error}\n"), is_good: false },
    }
}

fn check_dump(storage: &dyn Storage, path: &Path, (now_ms, hasher): (i64, KeyHasher)) -> Report {
    let name = path.display();
    match storage.open(path) {
        Ok(file) => {
            let (summary, outcome) = dump(file, now_ms, shapes(hasher));
            let mut text = format!("{name}: {summary}");
            let is_good = outcome.is_ok();
            text.push_str(&match outcome {
                Ok(_) => format!("{name}: good\n"),
                Err(error) => format!("{name}: BAD, {error}\n"),
            });
            Report { text, is_good }
        }
        Err(error) => Report { text: format!("{name}: BAD, it cannot be read: {error}\n"), is_good: false },
    }
}

/// The representations that values have by default.
pub(super) fn shapes(hasher: KeyHasher) -> Shapes {
    Shapes {
        list: list::Fill::new(-2),
        set: set::Policy { intset_entries: 512, listpack_entries: 128, listpack_value: 64, hasher },
        hash: hash::Limits { entries: 512, value: 64, hasher },
        zset: zset::Limits { entries: 128, value: 64, hasher },
    }
}
