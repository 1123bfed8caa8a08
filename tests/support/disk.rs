//! A disk in memory that forgets at a crash what was not synced, and fails where it is told to.
//!
//! # What a crash leaves
//! - Of each write that was not synced: all of it, none of it, or some of its sectors of 512 bytes. A file that had become longer
//!   may stay so and read as zeros where the data was lost.
//! - Of what happened to the names of a directory since it was last synced: the first so many changes, in their order. A
//!   rename is one change. A directory whose own name is lost is gone with all that is in it.
//!
//! # What a failed sync leaves
//! What was written since the last one stays readable until the crash, and is lost then: a later sync that succeeds does not
//! write it, as on Linux, where the pages that could not be written count as clean afterwards.
//!
//! Every clone is the same disk. Handles of before a crash fail afterwards. Test binaries include this file with `#[path]`.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use aleadb::base::prng::Prng;
use aleadb::persist::storage::{Listed, Lock, Locked, ReadFile, Storage, WriteFile};

const SECTOR_BYTES: usize = 512;

/// What a disk without a capacity says is free.
const FREE_BYTES: u64 = 1 << 40;

/// The kinds of calls, for those that are to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Open,
    Read,
    Create,
    Append,
    Write,
    Sync,
    Truncate,
    SyncDir,
    Rename,
    Remove,
    List,
    CreateDir,
    Lock,
    FreeBytes,
}

/// All of them.
pub const CALLS: &[Call] = &[
    Call::Open,
    Call::Read,
    Call::Create,
    Call::Append,
    Call::Write,
    Call::Sync,
    Call::Truncate,
    Call::SyncDir,
    Call::Rename,
    Call::Remove,
    Call::List,
    Call::CreateDir,
    Call::Lock,
    Call::FreeBytes,
];

/// A disk.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    /// By their paths; the working directory has the empty one, and is always there.
    dirs: BTreeMap<PathBuf, Dir>,
    locked: BTreeSet<usize>,
    /// How often it has crashed: handles of another number are of no use any more.
    crashes: u64,
    capacity: Option<u64>,
    write_bytes_max: Option<usize>,
    faults: Vec<Fault>,
    made: BTreeMap<Call, u64>,
    /// Calls until the power goes.
    calls_left: Option<u64>,
}

/// A call that is to fail.
#[derive(Debug)]
struct Fault {
    /// `None` for calls of every kind.
    call: Option<Call>,
    /// How many of the kind succeed before.
    after: u64,
    /// How many fail then.
    times: u64,
    errno: i32,
}

#[derive(Debug, Default)]
struct File {
    /// What is read now.
    now: Vec<u8>,
    /// What is there after a crash in any case.
    synced: Vec<u8>,
    /// What has happened since, in order.
    unsynced: Vec<Change>,
    /// When it was last written, if a test has said so.
    modified_ms: Option<i64>,
}

#[derive(Clone, Debug)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate(usize),
}

#[derive(Debug, Default)]
struct Dir {
    now: Names,
    synced: Names,
    unsynced: Vec<NameChange>,
}

/// Files by their numbers; `None` is a directory.
type Names = BTreeMap<String, Option<usize>>;

#[derive(Clone, Debug)]
enum NameChange {
    Link(String, Option<usize>),
    Unlink(String),
    Rename(String, String, Option<usize>),
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Link(name, file) => _ = names.insert(name.clone(), *file),
            NameChange::Unlink(name) => _ = names.remove(name),
            NameChange::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes: written } => write_at(bytes, *at, written),
            Change::Truncate(length) => bytes.resize(*length, 0),
        }
    }

    /// What a crash makes of it.
    fn apply_in_part(&self, bytes: &mut Vec<u8>, prng: &mut Prng) {
        match (self, prng.below(4)) {
            (_, 0) => self.apply(bytes),
            (Change::Write { at, bytes: written }, 1) => {
                // The sectors of the file that the write touches, some of them.
                let end = at + written.len();
                let mut start = *at;
                while start < end {
                    let sector_end = ((start / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                    if prng.chance(1, 2) {
                        write_at(bytes, start, &written[start - at..sector_end - at]);
                    }
                    start = sector_end;
                }
            }
            (Change::Write { at, bytes: written }, 2) => {
                let end = at + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
            }
            _ => {}
        }
    }
}

fn write_at(bytes: &mut Vec<u8>, at: usize, written: &[u8]) {
    let end = at + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[at..end].copy_from_slice(written);
}

fn error(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

/// The directory and the name of a path, without what means nothing.
fn split(path: &Path) -> io::Result<(PathBuf, String)> {
    let path = plain(path);
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(|| error(libc::EISDIR))?;
    Ok((path.parent().map(Path::to_owned).unwrap_or_default(), name.to_owned()))
}

fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| !matches!(part, Component::CurDir)).collect()
}

/// For tests.
impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no call panics")
    }

    /// Loses power and comes back. Every handle and lock is gone.
    pub fn crash(&self, prng: &mut Prng) {
        self.state().crash(prng);
    }

    /// Loses power, and everything that was not synced, and comes back.
    pub fn crash_hard(&self) {
        let mut state = self.state();
        state.files.iter_mut().for_each(|file| file.unsynced.clear());
        state.dirs.values_mut().for_each(|dir| dir.unsynced.clear());
        state.crash(&mut Prng::seeded(0));
    }

    /// The power goes after so many calls: every later one fails, until the disk has [crashed](SimulatedDisk::crash).
    pub fn power_off_after(&self, calls: u64) {
        self.state().calls_left = Some(calls);
    }

    /// Whether the power has gone.
    pub fn is_off(&self) -> bool {
        self.state().calls_left == Some(0)
    }

    /// Lets calls of a kind fail with this error: the first `after` of them still succeed, `times` fail then.
    pub fn fail(&self, call: Call, after: u64, times: u64, errno: i32) {
        self.state().faults.push(Fault { call: Some(call), after, times, errno });
    }

    /// As [`SimulatedDisk::fail`], with calls of every kind counted together.
    pub fn fail_any(&self, after: u64, times: u64, errno: i32) {
        self.state().faults.push(Fault { call: None, after, times, errno });
    }

    /// No call fails any more but by itself.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Holds so many bytes and no more; `None` for no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Writes so many bytes at once and no more; `None` for no limit.
    pub fn set_write_bytes_max(&self, bytes: Option<usize>) {
        self.state().write_bytes_max = bytes;
    }

    /// Bytes of the files that have a name.
    pub fn used_bytes(&self) -> u64 {
        self.state().used_bytes()
    }

    /// How many calls of a kind have been made, failed ones included.
    pub fn calls(&self, call: Call) -> u64 {
        self.state().made.get(&call).copied().unwrap_or(0)
    }

    /// How many calls have been made.
    pub fn calls_of_all_kinds(&self) -> u64 {
        self.state().made.values().sum()
    }

    /// What a file holds now.
    pub fn contents(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.find(path.as_ref()).ok()?;
        Some(state.files[file].now.clone())
    }

    /// Says when a file was last written; otherwise nobody can tell.
    pub fn set_modified_ms(&self, path: impl AsRef<Path>, unix_ms: i64) {
        let mut state = self.state();
        let file = state.find(path.as_ref()).expect("it is there");
        state.files[file].modified_ms = Some(unix_ms);
    }

    /// Puts a file on the disk, synced and with its name, and that of its directory.
    pub fn put(&self, path: impl AsRef<Path>, bytes: &[u8]) {
        let (dir, name) = split(path.as_ref()).expect("a file's path");
        let mut state = self.state();
        state.files.push(File { now: bytes.to_vec(), synced: bytes.to_vec(), unsynced: Vec::new(), modified_ms: None });
        let file = Some(state.files.len() - 1);
        if let Ok((above, name)) = split(&dir) {
            let above = state.dirs.entry(above).or_default();
            NameChange::Link(name.clone(), None).apply(&mut above.now);
            NameChange::Link(name, None).apply(&mut above.synced);
        }
        let dir = state.dirs.entry(dir).or_default();
        NameChange::Link(name.clone(), file).apply(&mut dir.now);
        NameChange::Link(name, file).apply(&mut dir.synced);
    }

    /// The paths of all files, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        let state = self.state();
        let files = state.dirs.iter().flat_map(|(dir, names)| {
            names.now.iter().filter(|(_, file)| file.is_some()).map(|(name, _)| dir.join(name))
        });
        files.collect()
    }
}

impl State {
    /// Counts a call, and fails it if it is to fail.
    fn begin(&mut self, call: Call) -> io::Result<()> {
        *self.made.entry(call).or_default() += 1;
        match &mut self.calls_left {
            Some(0) => return Err(error(libc::EIO)),
            Some(left) => *left -= 1,
            None => {}
        }
        let mut failed = None;
        for fault in self.faults.iter_mut().filter(|fault| fault.call.is_none_or(|failing| failing == call)) {
            if fault.after > 0 {
                fault.after -= 1;
            } else if failed.is_none() && fault.times > 0 {
                fault.times -= 1;
                failed = Some(fault.errno);
            }
        }
        failed.map_or(Ok(()), |errno| Err(error(errno)))
    }

    fn dir(&mut self, path: &Path) -> io::Result<&mut Dir> {
        if path.as_os_str().is_empty() {
            return Ok(self.dirs.entry(PathBuf::new()).or_default());
        }
        self.dirs.get_mut(path).ok_or_else(|| error(libc::ENOENT))
    }

    fn change_name(&mut self, dir: &Path, change: NameChange) -> io::Result<()> {
        let dir = self.dir(dir)?;
        change.apply(&mut dir.now);
        dir.unsynced.push(change);
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        let (dir, name) = split(path)?;
        match self.dirs.get(&dir).and_then(|dir| dir.now.get(&name)) {
            Some(Some(file)) => Ok(*file),
            Some(None) => Err(error(libc::EISDIR)),
            None => Err(error(libc::ENOENT)),
        }
    }

    fn find_or_make(&mut self, path: &Path) -> io::Result<usize> {
        match self.find(path) {
            Err(missing) if missing.raw_os_error() == Some(libc::ENOENT) => {}
            found => return found,
        }
        let (dir, name) = split(path)?;
        self.dir(&dir)?;
        self.files.push(File::default());
        let file = self.files.len() - 1;
        self.change_name(&dir, NameChange::Link(name, Some(file)))?;
        Ok(file)
    }

    fn change(&mut self, file: usize, change: Change) {
        let file = &mut self.files[file];
        change.apply(&mut file.now);
        file.unsynced.push(change);
    }

    /// Bytes of the files that have a name.
    fn used_bytes(&self) -> u64 {
        let named = self.dirs.values().flat_map(|dir| dir.now.values().flatten());
        named.map(|&file| self.files[file].now.len() as u64).sum()
    }

    fn free_bytes(&self) -> u64 {
        self.capacity.map_or(FREE_BYTES, |capacity| capacity.saturating_sub(self.used_bytes()))
    }

    fn write(&mut self, file: usize, at: usize, bytes: &[u8]) -> io::Result<usize> {
        let grows = (at + bytes.len()).saturating_sub(self.files[file].now.len());
        let missing = (grows as u64).saturating_sub(self.free_bytes()) as usize;
        let count = (bytes.len() - missing).min(self.write_bytes_max.unwrap_or(usize::MAX));
        if count == 0 && !bytes.is_empty() {
            return Err(error(libc::ENOSPC));
        }
        self.change(file, Change::Write { at, bytes: bytes[..count].to_vec() });
        Ok(count)
    }

    fn sync(&mut self, file: usize, outcome: io::Result<()>) -> io::Result<()> {
        let file = &mut self.files[file];
        let changes = std::mem::take(&mut file.unsynced);
        if outcome.is_ok() {
            changes.iter().for_each(|change| change.apply(&mut file.synced));
        }
        outcome
    }

    fn crash(&mut self, prng: &mut Prng) {
        for file in &mut self.files {
            let changes = std::mem::take(&mut file.unsynced);
            changes.iter().for_each(|change| change.apply_in_part(&mut file.synced, prng));
            file.now.clone_from(&file.synced);
        }
        for dir in self.dirs.values_mut() {
            let changes = std::mem::take(&mut dir.unsynced);
            let kept = prng.below(changes.len() as u64 + 1) as usize;
            changes[..kept].iter().for_each(|change| change.apply(&mut dir.synced));
            dir.now.clone_from(&dir.synced);
        }
        self.forget_lost_dirs();
        self.locked.clear();
        self.faults.clear();
        self.calls_left = None;
        self.crashes += 1;
    }

    /// Removes directories that no directory names, and what is in them.
    fn forget_lost_dirs(&mut self) {
        let is_named = |dirs: &BTreeMap<PathBuf, Dir>, path: &Path| {
            let Ok((parent, name)) = split(path) else { return true };
            dirs.get(&parent).is_some_and(|parent| parent.now.get(&name) == Some(&None))
        };
        // Directories come after those they are in.
        let paths: Vec<PathBuf> = self.dirs.keys().cloned().collect();
        for path in paths {
            if !is_named(&self.dirs, &path) {
                self.dirs.remove(&path);
            }
        }
    }
}

/// A file that was opened.
#[derive(Debug)]
struct Handle {
    disk: SimulatedDisk,
    file: usize,
    at: usize,
    appends: bool,
    crashes: u64,
}

impl Handle {
    /// Begins a call through this handle.
    fn begin(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.disk.state();
        if state.crashes != self.crashes {
            return Err(error(libc::EBADF));
        }
        state.begin(call)?;
        Ok(state)
    }

    fn length(&self) -> io::Result<u64> {
        let state = self.disk.state();
        if state.crashes == self.crashes {
            Ok(state.files[self.file].now.len() as u64)
        } else {
            Err(error(libc::EBADF))
        }
    }
}

impl Read for Handle {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let state = self.begin(Call::Read)?;
        let rest = state.files[self.file].now.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        drop(state);
        self.at += count;
        Ok(count)
    }
}

impl Write for Handle {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.begin(Call::Write)?;
        let at = if self.appends { state.files[self.file].now.len() } else { self.at };
        let count = state.write(self.file, at, bytes)?;
        drop(state);
        self.at = at + count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ReadFile for Handle {
    fn bytes(&self) -> io::Result<u64> {
        self.length()
    }
}

impl WriteFile for Handle {
    fn bytes(&self) -> io::Result<u64> {
        self.length()
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        if state.crashes != self.crashes {
            return Err(error(libc::EBADF));
        }
        let is_off = state.calls_left == Some(0);
        let outcome = state.begin(Call::Sync);
        // Without power nothing happens at all.
        if is_off { outcome } else { state.sync(self.file, outcome) }
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut state = self.begin(Call::Truncate)?;
        state.change(self.file, Change::Truncate(bytes as usize));
        drop(state);
        self.at = bytes as usize;
        Ok(())
    }
}

/// A lock that is held until it is dropped.
#[derive(Debug)]
struct Held(Handle);

impl Lock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        // A panic that is on its way may hold the disk.
        let Ok(mut state) = self.0.disk.0.lock() else { return };
        if state.crashes == self.0.crashes {
            state.locked.remove(&self.0.file);
        }
    }
}

impl SimulatedDisk {
    fn begin(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.begin(call)?;
        Ok(state)
    }

    fn handle(&self, file: usize, appends: bool, crashes: u64) -> Box<Handle> {
        Box::new(Handle { disk: self.clone(), file, at: 0, appends, crashes })
    }
}

impl Storage for SimulatedDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        let state = self.begin(Call::Open)?;
        Ok(self.handle(state.find(path)?, false, state.crashes))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.begin(Call::Create)?;
        let file = state.find_or_make(path)?;
        if !state.files[file].now.is_empty() {
            state.change(file, Change::Truncate(0));
        }
        Ok(self.handle(file, false, state.crashes))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let mut state = self.begin(Call::Append)?;
        let file = state.find_or_make(path)?;
        Ok(self.handle(file, true, state.crashes))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.begin(Call::SyncDir)?;
        let dir = state.dir(&plain(dir))?;
        dir.unsynced.clear();
        dir.synced.clone_from(&dir.now);
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.begin(Call::Rename)?;
        let file = Some(state.find(from)?);
        let ((from_dir, from), (to_dir, to)) = (split(from)?, split(to)?);
        if from_dir == to_dir {
            return if from == to { Ok(()) } else { state.change_name(&to_dir, NameChange::Rename(from, to, file)) };
        }
        state.change_name(&to_dir, NameChange::Link(to, file))?;
        state.change_name(&from_dir, NameChange::Unlink(from))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.begin(Call::Remove)?;
        state.find(path)?;
        let (dir, name) = split(path)?;
        state.change_name(&dir, NameChange::Unlink(name))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        let mut state = self.begin(Call::List)?;
        let names = state.dir(&plain(dir))?.now.clone();
        let listed = names.into_iter().filter_map(|(name, file)| {
            let bytes = state.files[file?].now.len() as u64;
            Some(Listed { name, bytes })
        });
        Ok(listed.collect())
    }

    fn modified_ms(&self, path: &Path) -> Option<i64> {
        let state = self.state();
        state.find(path).ok().and_then(|file| state.files[file].modified_ms)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.begin(Call::CreateDir)?;
        let dir = plain(dir);
        if state.dirs.contains_key(&dir) || dir.as_os_str().is_empty() {
            return Ok(());
        }
        let (parent, name) = split(&dir)?;
        if state.dir(&parent)?.now.contains_key(&name) {
            return Err(error(libc::EEXIST));
        }
        state.change_name(&parent, NameChange::Link(name, None))?;
        state.dirs.insert(dir, Dir::default());
        Ok(())
    }

    fn lock(&self, path: &Path, contents: &[u8]) -> io::Result<Locked> {
        let mut state = self.begin(Call::Lock)?;
        let file = state.find_or_make(path)?;
        if !state.locked.insert(file) {
            return Ok(Locked::Taken(state.files[file].now.clone()));
        }
        state.change(file, Change::Truncate(0));
        state.change(file, Change::Write { at: 0, bytes: contents.to_vec() });
        Ok(Locked::Ours(Box::new(Held(*self.handle(file, false, state.crashes)))))
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.begin(Call::FreeBytes)?.free_bytes())
    }
}
