//! What the log's own helper thread does: fsyncs, the making of files and manifests, the removal of old files. Jobs run one
//! after the other, so that what one has put on the disk is there when the next one begins.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::persist::aof::manifest::Manifest;
use crate::persist::storage::{Storage, WriteFile};

/// What a job has done.
#[derive(Debug)]
pub enum Done {
    /// The log is on the disk up to this position of the stream, or is not.
    Synced(u64, Result<(), DiskError>),
    /// A new file to write to, and a manifest that names it if that was wanted, are on the disk.
    Prepared(Result<(), DiskError>),
    /// The manifest names the new base.
    Committed(Result<(), DiskError>),
    /// These files of the history are gone, and the manifest that no longer names them is on the disk.
    Cleaned(Vec<String>, Result<(), DiskError>),
    /// A file that nobody needs is gone.
    Removed(Result<(), DiskError>),
}

/// What the disk refused, and to which file.
#[derive(Debug)]
pub struct DiskError {
    /// What was being done, for a sentence: "writing", "fsyncing".
    pub doing: &'static str,
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    pub error: io::Error,
}

impl DiskError {
    /// To be mapped over a result.
    pub(super) fn of(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
        let path = path.to_owned();
        move |error| DiskError { doing, path, error }
    }
}

/// Files that are open on the helper thread, whose descriptors mean nothing elsewhere. Only jobs lock this.
#[derive(Clone, Debug, Default)]
pub(super) struct Handles(Arc<Mutex<Vec<OpenFile>>>);

/// A file with its name.
type OpenFile = (PathBuf, Box<dyn WriteFile>);

impl Handles {
    /// The job that puts files on the disk, in this order. The last one is kept open for the next time.
    pub fn sync(&self, storage: &Arc<dyn Storage>, paths: Vec<PathBuf>, upto: u64) -> impl FnOnce() -> Done + 'static {
        let (handles, storage) = (self.clone(), Arc::clone(storage));
        move || Done::Synced(upto, handles.sync_all(&*storage, &paths))
    }

    fn sync_all(&self, storage: &dyn Storage, paths: &[PathBuf]) -> Result<(), DiskError> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(path, _)| paths.contains(path));
        for path in paths {
            let index = match open.iter().position(|(name, _)| name == path) {
                Some(index) => index,
                None => {
                    let file = storage.append(path).map_err(DiskError::of("opening", path))?;
                    open.push((path.clone(), file));
                    open.len() - 1
                }
            };
            if let Err(error) = open[index].1.sync() {
                // What it said once it will not say again.
                open.clear();
                return Err(DiskError::of("fsyncing", path)(error));
            }
        }
        let last = paths.last();
        open.retain(|(path, _)| Some(path) == last);
        Ok(())
    }
}

/// Makes the directory and in it a file that holds no more than its `head`, and puts a manifest there if one is given.
pub(super) fn prepare(
    storage: &dyn Storage,
    dir: &Path,
    file: Option<&Path>,
    head: &[u8],
    manifest: Option<(&Manifest, &str)>,
) -> Result<(), DiskError> {
    storage.create_dir(dir).map_err(DiskError::of("making the directory", dir))?;
    // The directory's own name is on the disk once the one that it lies in is.
    let above = Path::new(".");
    storage.sync_dir(above).map_err(DiskError::of("fsyncing", above))?;
    if let Some(path) = file {
        let made = storage.create(path).and_then(|mut file| file.write_all(head).and_then(|()| file.sync()));
        made.map_err(DiskError::of("making", path))?;
    }
    if let Some((manifest, stem)) = manifest {
        manifest.store(storage, dir, stem).map_err(DiskError::of("writing the manifest in", dir))?;
    }
    Ok(())
}

/// Gives files their names and puts a manifest in place that names them.
pub(super) fn commit(
    storage: &dyn Storage,
    dir: &Path,
    moves: &[(PathBuf, PathBuf)],
    manifest: &Manifest,
    stem: &str,
) -> Result<(), DiskError> {
    for (from, to) in moves {
        storage.rename(from, to).map_err(DiskError::of("renaming", from))?;
    }
    // The names come to the disk before the manifest that names them: they are in one directory, which is synced twice.
    storage.sync_dir(dir).map_err(DiskError::of("fsyncing", dir))?;
    manifest.store(storage, dir, stem).map_err(DiskError::of("writing the manifest in", dir))
}

/// Removes what failed rewrites have left, and the files of the history, then the manifest's knowledge of those that are gone.
pub(super) fn clean(storage: &dyn Storage, dir: &Path, manifest: &Manifest, leftovers: &[PathBuf], stem: &str) -> Done {
    let (mut removed, mut outcome) = (Vec::new(), Ok(()));
    let is_named = |path: &&PathBuf| manifest.all().any(|file| Path::new(&file.name) == path.as_path());
    for path in leftovers.iter().filter(|path| !is_named(path)).map(|name| dir.join(name)) {
        match storage.remove(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                outcome = Err(DiskError::of("removing", &path)(error))
            }
            _ => {}
        }
    }
    if manifest.history().is_empty() {
        return Done::Cleaned(removed, outcome);
    }
    for file in manifest.history() {
        match storage.remove(&dir.join(&file.name)) {
            Ok(()) => removed.push(file.name.clone()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => removed.push(file.name.clone()),
            Err(error) => outcome = Err(DiskError::of("removing", &dir.join(&file.name))(error)),
        }
    }
    let mut shorter = manifest.clone();
    shorter.forget(|file| removed.contains(&file.name));
    let stored = shorter.store(storage, dir, stem).map_err(DiskError::of("writing the manifest in", dir));
    Done::Cleaned(removed, outcome.and(stored))
}
