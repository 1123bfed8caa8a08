//! What a server starts with: which files of its directory hold the data, and that nobody else is at work there.
//!
//! | `appendonly` | there is | what happens |
//! | --- | --- | --- |
//! | yes | a manifest | the files that it names are loaded |
//! | yes | no manifest, but a log of one file (Redis up to 6) | it is loaded, and becomes the base of a log of several |
//! | yes | neither, but a dump file | it is loaded, and a copy of it becomes the base: Redis would start empty, and lose it |
//! | yes | nothing | a new log begins |
//! | no | a dump file | it is loaded |
//! | no | a manifest whose files are newer than the dump file, or without one | the start is refused: data would be missing |
//!
//! With `preload-file` the files that it names are loaded instead, wherever they are, and stay as they are; a log that is wanted begins
//! anew in place of the one that is there.
//!
//! The directory is locked while a server that may write there runs, that is with a log or with save points.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::loading::{self, Failure};
use crate::base::clock::Now;
use crate::config::Preload;
use crate::persist::aof::manifest::{self, Manifest};
use crate::persist::directory::{self, bytes_of, copy, is_temporary, last_of, list, read_manifest};
use crate::persist::storage::{Listed, ReadFile, Storage};
use crate::server::Server;
use crate::server::background::Completion;
use crate::server::persistence::loading::{Adoption, File, FileKind, LoadedLog, Purpose, Work};
use crate::server::persistence::lock::Refused;
use crate::sys::error_text;

/// A log of no more bytes than this holds no data: the base of an empty server has about a hundred.
const EMPTY_LOG_BYTES_MAX: u64 = 256;

/// Begins to load what the directory holds. If there is nothing, the server may serve at once.
///
/// # Errors
/// The directory is another server's, or what it holds cannot be told or must not be passed over.
pub fn begin(server: &mut Server, now: Now) -> Result<(), Failure> {
    lock_at_start(server)?;
    if server.persistence.lock.is_some() {
        remove_temporary(server);
    }
    match choose(server)? {
        Some((work, bytes)) => loading::begin(server, Purpose::Start, work, bytes, now),
        None => {
            server.replication.began_empty = true;
            opened(server, LoadedLog::default());
        }
    }
    Ok(())
}

/// Removes what a server that was killed had not finished. Nobody else writes here, for the directory is ours.
fn remove_temporary(server: &Server) {
    let (storage, stem) = (&*server.persistence.storage, &server.config.appendfilename);
    for dir in [PathBuf::from("."), log_dir(server), PathBuf::from(&server.config.backupdirname)] {
        // Whoever needs the directory says what is wrong with it.
        let listed = list(storage, &dir).unwrap_or_default();
        for path in listed.iter().filter(|file| is_temporary(&file.name, stem)).map(|file| dir.join(&file.name)) {
            match storage.remove(&path) {
                Ok(()) => log::info!("{} was not finished, and has been removed", path.display()),
                Err(error) => {
                    log::warn!("Can't remove {}, which was not finished: {}", path.display(), error_text(&error))
                }
            }
        }
    }
}

/// What is to be loaded, and how many bytes it has: the table of the module's header.
fn choose(server: &Server) -> Result<Option<(Work, u64)>, Failure> {
    let storage = &*server.persistence.storage;
    let (dir, stem) = (log_dir(server), &server.config.appendfilename);
    let top = list_or_fail(storage, Path::new("."))?;
    let in_dir = list_or_fail(storage, &dir)?;
    let manifest = read_manifest(storage, &dir, stem)?;
    let dump = PathBuf::from(&server.config.dbfilename);
    let dump_bytes = match bytes_of(&top, &server.config.dbfilename) {
        // It may be there, and be no file: then it is refused when it is read.
        None => match storage.open(&dump) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(format!("Can't read {}: {}", dump.display(), error_text(&error))),
            Ok(_) => Some(0),
        },
        bytes => bytes,
    };
    if let Some(preload) = &server.config.preload_file
        && !is_own_log(server, preload)
    {
        return choose_preloaded(storage, preload).map(Some);
    }
    if !server.config.appendonly {
        if let Some(manifest) = &manifest {
            refuse_newer_log(server, manifest, &in_dir, dump_bytes.is_some())?;
        }
        return Ok(dump_bytes.map(|bytes| (dump_work(dump, FileKind::Dump), bytes)));
    }
    // Redis writes the manifest first and then moves the old log, which may have been interrupted.
    let old_bytes = bytes_of(&top, stem);
    let is_unmoved = |manifest: &Manifest| {
        manifest.increments().is_empty()
            && manifest.base().is_some_and(|base| base.name == *stem && bytes_of(&in_dir, &base.name).is_none())
    };
    match (manifest, old_bytes) {
        (Some(manifest), Some(bytes)) if is_unmoved(&manifest) => Ok(Some((old_log_work(stem), bytes))),
        (Some(manifest), old_bytes) => {
            let is_copied = manifest.base().is_some_and(|base| base.name == *stem);
            if is_copied && old_bytes.is_some() {
                let removed = remove_old_log(storage, stem);
                removed
                    .map_err(|error| format!("Can't remove {stem}, which has been copied: {}", error_text(&error)))?;
            }
            log_work(&*server.persistence.storage, manifest, &dir, &in_dir).map(Some)
        }
        (None, Some(bytes)) => {
            log::warn!(
                "{stem} is a log of one file, as Redis up to 6 has it: it is loaded, and moved into {}",
                dir.display()
            );
            Ok(Some((old_log_work(stem), bytes)))
        }
        (None, None) => Ok(dump_bytes.map(|bytes| {
            log::warn!(
                "`appendonly` is yes and there is no log yet: {} is loaded, and a copy of it becomes the log's base",
                dump.display()
            );
            let work = dump_work(dump, FileKind::Log { is_last: false });
            (Work { adoption: Adoption::Copy, ..work }, bytes)
        })),
    }
}

/// True if what is to be loaded is the log that would be loaded anyway.
fn is_own_log(server: &Server, preload: &Preload) -> bool {
    let config = &server.config;
    let own = || config.dir.join(&config.appenddirname).join(manifest::file_name(&config.appendfilename));
    config.appendonly && matches!(preload, Preload::Log(path) if *path == own())
}

/// What `preload-file` names, and how many bytes it has.
fn choose_preloaded(storage: &dyn Storage, preload: &Preload) -> Result<(Work, u64), Failure> {
    let (work, bytes) = match preload {
        Preload::Dump(path) => {
            let opened = storage.open(path).and_then(|file| ReadFile::bytes(&*file));
            let bytes = opened.map_err(|error| format!("Can't read {}: {}", path.display(), error_text(&error)))?;
            (dump_work(path.clone(), FileKind::Dump), bytes)
        }
        Preload::Log(path) => {
            let shown = path.display();
            let stem = path.file_name().and_then(|name| name.to_str()).and_then(manifest::stem_of);
            let stem = stem.ok_or_else(|| format!("Can't load {shown}: the name of a manifest ends with .manifest"))?;
            let dir = directory::parent(path);
            let manifest = read_manifest(storage, dir, stem)?;
            let manifest = manifest.ok_or_else(|| format!("Can't read {shown}: No such file or directory"))?;
            log_work(storage, manifest, dir, &list_or_fail(storage, dir)?)?
        }
    };
    Ok((Work { adoption: Adoption::Replace, ..work }, bytes))
}

fn list_or_fail(storage: &dyn Storage, dir: &Path) -> Result<Vec<Listed>, Failure> {
    list(storage, dir)
        .map_err(|error| format!("Can't tell what is in the directory {}: {}", dir.display(), error_text(&error)))
}

fn log_dir(server: &Server) -> PathBuf {
    PathBuf::from(&server.config.appenddirname)
}

/// One file.
pub fn dump_work(path: PathBuf, kind: FileKind) -> Work {
    Work { files: [File { path, kind }].into(), ..loading::empty_work() }
}

fn old_log_work(stem: &str) -> Work {
    Work { adoption: Adoption::Move, ..dump_work(PathBuf::from(stem), FileKind::Log { is_last: true }) }
}

/// The files of a log, and how many bytes they have.
///
/// # Errors
/// One of them is missing.
pub fn log_work(
    storage: &dyn Storage,
    manifest: Manifest,
    dir: &Path,
    in_dir: &[Listed],
) -> Result<(Work, u64), Failure> {
    let mut bytes = 0;
    let names: Vec<&str> = manifest.files().map(|file| &*file.name).collect();
    let last = last_of(storage, dir, names.into_iter()).map(str::to_owned);
    let mut work = loading::empty_work();
    for file in manifest.files() {
        let path = dir.join(&file.name);
        bytes += bytes_of(in_dir, &file.name).ok_or_else(|| {
            format!(
                "The log's manifest names {}, which is not there. Bring it back, or have `aleadb --recover DIR` write a new \
                 directory from what comes before it",
                path.display()
            )
        })?;
        work.files.push_back(File { path, kind: FileKind::Log { is_last: last.as_ref() == Some(&file.name) } });
    }
    work.manifest = Some(manifest);
    Ok((work, bytes))
}

/// Without its log a server must not start where the log is newer than the dump file.
fn refuse_newer_log(server: &Server, manifest: &Manifest, in_dir: &[Listed], is_dump: bool) -> Result<(), Failure> {
    let (storage, dir) = (&server.persistence.storage, log_dir(server));
    let held: u64 = manifest.files().filter_map(|file| bytes_of(in_dir, &file.name)).sum();
    let newest = manifest.files().filter_map(|file| storage.modified_ms(&dir.join(&file.name))).max();
    let dumped = storage.modified_ms(Path::new(&server.config.dbfilename));
    let is_newer = if is_dump { newest.zip(dumped).is_some_and(|(log, dump)| log > dump) } else { true };
    if held <= EMPTY_LOG_BYTES_MAX || !is_newer {
        return Ok(());
    }
    let (dir, dump) = (dir.display(), &server.config.dbfilename);
    let beside =
        if is_dump { format!("was written to after {dump}") } else { format!("holds data, and there is no {dump}") };
    Err(format!(
        "`appendonly` is no, but the log in {dir} {beside}: without the log data would be missing. Start with `appendonly yes` to \
         load it (CONFIG SET appendonly no is safe then, after a SAVE), or move {dir} away to do without it"
    ))
}

/// What was loaded becomes the base of a log, if it has to; then the log may go on.
pub(super) fn adopt(server: &mut Server, manifest: Option<Manifest>, adoption: Adoption, last_seq: Option<u64>) {
    match adoption {
        Adoption::None => return opened(server, LoadedLog { manifest, last_seq, replaces: false }),
        Adoption::Replace => return opened(server, LoadedLog { replaces: true, ..LoadedLog::default() }),
        Adoption::Copy | Adoption::Move => {}
    }
    let storage = Arc::clone(&server.persistence.storage);
    let (dir, stem, dump) = (log_dir(server), server.config.appendfilename.clone(), server.config.dbfilename.clone());
    let job = move || {
        let adopted = match adoption {
            Adoption::Move => take_in(&*storage, &dir, &stem, Path::new(&stem), &stem)
                .and_then(|manifest| remove_old_log(&*storage, &stem).map(|()| manifest)),
            _ => {
                let name = Manifest::default().next_base(&stem, true, 0).name;
                take_in(&*storage, &dir, &stem, Path::new(&dump), &name)
            }
        };
        Completion::Adopted(adopted.map_err(|error| {
            format!("Can't make a log of what was loaded, in {}: {}", dir.display(), error_text(&error))
        }))
    };
    if server.background.submit(job).is_none() {
        loading::fail(server, "Can't make a log of what was loaded: no thread can be started for it".to_owned());
    }
}

/// Copies a file into the log's directory, as its base. The manifest comes last, so that after a crash in between the file is
/// loaded as before. It is a copy even of a log that need not stay where it is: that a name leaves one directory and comes
/// into another is two changes to a disk, of which a crash may leave the first.
fn take_in(storage: &dyn Storage, dir: &Path, stem: &str, file: &Path, name: &str) -> io::Result<Manifest> {
    let mut manifest = Manifest::default();
    storage.create_dir(dir)?;
    storage.sync_dir(Path::new("."))?;
    copy(storage, file, &dir.join(name), u64::MAX)?;
    manifest.adopt_base(name.to_owned());
    manifest.store(storage, dir, stem)?;
    Ok(manifest)
}

/// Removes a log of one file that has become part of another: a Redis before version 7 would load it, old as it is.
fn remove_old_log(storage: &dyn Storage, stem: &str) -> io::Result<()> {
    storage.remove(Path::new(stem))?;
    storage.sync_dir(Path::new("."))
}

/// The base is there, or not.
pub fn adopted(server: &mut Server, outcome: Result<Manifest, String>) {
    match outcome {
        Ok(manifest) => opened(server, LoadedLog { manifest: Some(manifest), ..LoadedLog::default() }),
        Err(failure) => loading::fail(server, failure),
    }
}

/// The data is there: clients may be served, and the log goes on.
fn opened(server: &mut Server, log: LoadedLog) {
    server.persistence.loading = None;
    server.persistence.loaded_log = Some(log);
}

/// Locks the directory if the server may write there by itself.
fn lock_at_start(server: &mut Server) -> Result<(), Failure> {
    let config = &server.config;
    let is_needed = config.appendonly;
    if !is_needed && config.save.is_empty() {
        return Ok(());
    }
    match server.lock_directory() {
        Err(Refused::Disk(reason)) if !is_needed => {
            log::warn!("{reason}; snapshots cannot be saved before that is mended");
            Ok(())
        }
        Err(Refused::Taken(reason) | Refused::Disk(reason)) => Err(reason),
        Ok(()) => Ok(()),
    }
}
