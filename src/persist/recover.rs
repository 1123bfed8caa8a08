//! `aleadb --recover`: a new directory from what is good of an old one, which stays as it is.
//!
//! What is written is a prefix of what there was: of a log everything up to the first damage, of a dump file the keys before it.
//! Nothing is guessed, and nothing behind the damage is taken: it may depend on what is missing.
//!
//! Called by `main`, which prints the report.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::aof::batch::HEAD as BASE_END;
use super::aof::manifest::Manifest;
use super::check::{self, Accepts, LOG_DIR, Report};
use super::directory::{self, bytes_of, copy, list};
use super::rdb::file::{DumpReader, DumpWriter, Head, Item, Options};
use super::rdb::write::Version;
use super::storage::Storage;
use crate::store::hash::KeyHasher;

/// Bytes of a dump file that are gathered before they are written.
const PIECE_BYTES: usize = 256 * 1024;

/// What the new files of a log begin with.
const STEM: &str = "appendonly.aof";

/// The version that a dump file of keys before a damage says it is of.
const HEAD: Head<'static> = Head { redis_version: "8.2.3", unix_s: 0, used_bytes: 0, is_aof_base: false, origin: None };

struct Recovery<'r> {
    storage: &'r dyn Storage,
    now_ms: i64,
    hasher: KeyHasher,
    accepts: Accepts<'r>,
    text: String,
}

/// Writes what is good of the data directory (or the log's directory) `from` into the directory `into`, which is made, and in
/// which there is nothing yet. O(bytes).
pub fn recover(
    storage: &dyn Storage,
    from: &Path,
    into: &Path,
    (now_ms, hasher): (i64, KeyHasher),
    accepts: Accepts<'_>,
) -> Report {
    let mut recovery = Recovery { storage, now_ms, hasher, accepts, text: String::new() };
    let outcome = recovery.run(from, into);
    let is_good = outcome.is_ok();
    let _ = match outcome {
        Ok(()) => writeln!(recovery.text, "{} is ready: start a server with it as its `dir`", into.display()),
        Err(reason) => writeln!(recovery.text, "NOTHING RECOVERED: {reason}"),
    };
    Report { text: recovery.text, is_good }
}

fn disk(path: &Path) -> impl Fn(io::Error) -> String + '_ {
    move |error| format!("{}: {error}", path.display())
}

impl Recovery<'_> {
    fn run(&mut self, from: &Path, into: &Path) -> Result<(), String> {
        let there = list(self.storage, into).map_err(disk(into))?;
        if !there.is_empty() {
            return Err(format!("{} is not empty", into.display()));
        }
        let files = self.storage.list(from).map_err(disk(from))?;
        let (log_dir, log) = match check::find_manifest(self.storage, from)? {
            Some(manifest) => (from.to_owned(), Some(manifest)),
            None => {
                let dir = from.join(LOG_DIR);
                let manifest = check::find_manifest(self.storage, &dir)?;
                (dir, manifest)
            }
        };
        let old_log = bytes_of(&files, STEM).map(|_| from.join(STEM)).filter(|_| log.is_none());
        let dump = bytes_of(&files, check::DUMP).map(|_| from.join(check::DUMP));
        if log.is_none() && old_log.is_none() && dump.is_none() {
            return Err(format!("in {} there is neither a log nor a dump file", from.display()));
        }
        self.storage.create_dir(into).map_err(disk(into))?;
        if let Some(manifest) = log {
            let files: Vec<PathBuf> = manifest.files().map(|file| log_dir.join(&file.name)).collect();
            let has_base = manifest.base().is_some();
            self.log(&files, has_base, &into.join(LOG_DIR))?;
        } else if let Some(old_log) = old_log {
            self.log(&[old_log], true, &into.join(LOG_DIR))?;
        }
        if let Some(dump) = dump {
            self.dump(&dump, &into.join(check::DUMP))?;
        }
        self.storage.sync_dir(into).map_err(disk(into))?;
        self.storage.sync_dir(directory::parent(into)).map_err(disk(into))
    }

    /// Copies the files of a log up to the first damage.
    fn log(&mut self, files: &[PathBuf], has_base: bool, into: &Path) -> Result<(), String> {
        self.storage.create_dir(into).map_err(disk(into))?;
        let (mut manifest, mut last_seq) = (Manifest::default(), None);
        for (index, path) in files.iter().enumerate() {
            let shown = path.display().to_string();
            let is_last = index + 1 == files.len();
            let context = (self.now_ms, self.hasher);
            let walked = match check::walk(self.storage, path, is_last, last_seq, context, self.accepts) {
                Ok(walked) => walked,
                Err(error) => {
                    self.say(&format!("{shown}: it cannot be read ({error}); nothing from here on was taken"));
                    break;
                }
            };
            last_seq = walked.last_seq;
            let is_dump = directory::is_dump(self.storage, path).map_err(disk(path))?;
            let name = if has_base && index == 0 {
                let name = manifest.next_base(STEM, is_dump, 0).name;
                manifest.adopt_base(name.clone());
                name
            } else {
                manifest.begin_increment(STEM, 0).name.clone()
            };
            let target = into.join(&name);
            if is_dump && walked.good_bytes == 0 {
                let damage = walked.fault.map(|(fault, _)| fault).unwrap_or_default();
                self.keys_before_damage(path, &target, &damage)?;
                break;
            }
            copy(self.storage, path, &target, walked.good_bytes).map_err(disk(&target))?;
            if walked.lacks_end {
                // What is left of a base is the whole of the new one.
                let ended = self
                    .storage
                    .append(&target)
                    .and_then(|mut file| file.write_all(BASE_END).and_then(|()| file.sync()));
                ended.map_err(disk(&target))?;
            }
            match walked.fault {
                None => self.say(&format!("{shown}: all of it, {} bytes", walked.good_bytes)),
                Some((fault, _)) => {
                    self.say(&format!("{shown}: {} bytes were taken; {fault}", walked.good_bytes));
                    if !is_last {
                        self.say("the files after it were not taken");
                    }
                    break;
                }
            }
        }
        if manifest.is_empty() {
            manifest.begin_increment(STEM, 0);
            let name = into.join(&manifest.increments()[0].name);
            self.storage.create(&name).map_err(disk(&name))?;
        }
        manifest.store(self.storage, into, STEM).map_err(disk(into))
    }

    fn dump(&mut self, path: &Path, target: &Path) -> Result<(), String> {
        let file = self.storage.open(path).map_err(disk(path))?;
        match check::dump(file, self.now_ms, check::shapes(self.hasher)).1 {
            Ok(_) => {
                copy(self.storage, path, target, u64::MAX).map_err(disk(target))?;
                self.say(&format!("{}: all of it", path.display()));
                Ok(())
            }
            Err(damage) => self.keys_before_damage(path, target, &damage.to_string()),
        }
    }

    /// Writes a dump file of the keys of another up to what is wrong with that. `damage` is what a check said, which also finds what
    /// a load does not stop at, such as a key that is there twice.
    fn keys_before_damage(&mut self, path: &Path, target: &Path, damage: &str) -> Result<(), String> {
        let file = self.storage.open(path).map_err(disk(path))?;
        let reader = DumpReader::new(file, check::shapes(self.hasher), false);
        let mut reader = reader.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut out = self.storage.create(target).map_err(disk(target))?;
        // Fields with a deadline are in files of version 12 and above, and what streams remember in those of 13.
        let mut first = Some(reader.next_item());
        let version = Version::lowest(reader.version() >= 12, reader.version() == 13);
        let options = Options { version, has_own_forms: true, compress: true, checksum: true, accesses: None };
        let mut writer = DumpWriter::new(options);
        writer.begin(&HEAD);
        let (mut number, mut keys, mut reason) = (0, 0_u64, String::new());
        loop {
            match first.take().unwrap_or_else(|| reader.next_item()) {
                Ok(Item::Select(selected)) => number = usize::try_from(selected).unwrap_or(usize::MAX),
                Ok(Item::Script(body)) => writer.script(&body),
                Ok(Item::Function(code)) => writer.function(&code),
                Ok(Item::Entry(loaded)) => {
                    writer.select(number, 0, 0);
                    writer.entry(&loaded.entry).map_err(|error| error.to_string())?;
                    keys += 1;
                }
                Ok(Item::Aux { .. } | Item::Resize { .. } | Item::Passed(_)) => {}
                Ok(Item::End(_)) => break,
                Err(error) => {
                    reason = error.to_string();
                    break;
                }
            }
            if writer.len() >= PIECE_BYTES {
                out.write_all(&writer.take()).map_err(disk(target))?;
            }
        }
        writer.end();
        out.write_all(&writer.take()).map_err(disk(target))?;
        out.sync().map_err(disk(target))?;
        self.storage.sync_dir(directory::parent(target)).map_err(disk(target))?;
        let what = if reason.is_empty() { damage } else { &reason };
        self.say(&format!("{}: {keys} keys were taken; {what}", path.display()));
        Ok(())
    }

    fn say(&mut self, line: &str) {
        let _ = writeln!(self.text, "{line}");
    }
}
