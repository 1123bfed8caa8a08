//! Backups (BACKUP): a base of what is in memory, and beside it everything that is written until the backup is sealed.
//!
//! # The way of a backup
//! 1. START: the directory is empty. The helper makes it, and in it an increment; the backup is *pending*.
//! 2. In one turn, as soon as nothing is half done and no other snapshot is being made, a snapshot begins, and from exactly this moment on
//!    what is passed on is kept for the increment as well: *snapshotting*. The base comes into the directory as that of a log does.
//! 3. The base is on the disk: *incrementing*. The increment goes on growing, a batch now and then.
//! 4. SEAL: what was passed on up to here is the end of it. The helper appends the rest, puts the file on the disk and a manifest beside
//!    it, and only then the client is answered: *sealed*.
//!
//! The files are a log's: whoever loads a log loads them. They are the backup's own, whether there is a log or not: so neither its
//! rewrites nor its end touch them.
//!
//! # What ends one before it is sealed
//! ABORT; an error of the disk; a disk that is so slow that more than `PENDING_BYTES_MAX` wait for it; data that is replaced as a whole by
//! that of a primary, or loaded anew: what is kept says nothing of that. Then it has *failed*, for a reason that STATUS tells, and its
//! files are removed. Clients that write are neither refused nor held up. FLUSHALL and SWAPDB are passed on as any command.
//!
//! # What is removed
//! Files that a backup can have made, by their names, and no others: so CLEANUP also removes what a server left behind that has ended
//! meanwhile. The directory stays.
//!
//! All that waits for the disk is done by the helper thread that writes snapshots, one job at a time.

mod jobs;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::clock::Now;
use crate::base::heap;
use crate::feature::client_id::ClientId;
use crate::persist::aof::batch::HEAD;
use crate::persist::aof::manifest::{self, LogFile, Manifest};
use crate::persist::directory;
use crate::persist::snapshot::file::Frame;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::background::Completion;
use crate::server::persistence::snapshot::{Outcome, Purpose};
use crate::server::session::UnblockedBy;
use crate::sys::bg::JobId;
use crate::sys::error_text;

pub use jobs::Done;

use jobs::Increment;

/// Bytes that may wait for the disk: beyond that the backup is given up.
const PENDING_BYTES_MAX: usize = 256 << 20;
/// Bytes that are written as soon as they are there.
const BATCH_BYTES: usize = 256 << 10;
/// Milliseconds after which fewer are written.
const WRITE_MS: u64 = 100;

const IN_PROGRESS: ReplyError = ReplyError::new("ERR A backup is already in progress, ABORT it first");
const SEALED_EXISTS: ReplyError = ReplyError::new("ERR A sealed backup exists, CLEANUP it first");
const NOT_READY: ReplyError = ReplyError::new("ERR No backup ready to seal (must be in the incrementing state)");
const NO_BACKUP: ReplyError = ReplyError::new("ERR No backup in progress");
const RUNNING: ReplyError = ReplyError::new("ERR Backup is in progress");
const CLEARING: ReplyError = ReplyError::new("ERR The files of the last backup are still being removed");
const LOGS_DIRECTORY: ReplyError =
    ReplyError::new("ERR The backup directory is that of the append-only file: `backupdirname` has to be another");
const ABORTED: &str = "aborted by user";

/// How far a backup is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// There is none.
    #[default]
    Idle,
    /// It waits for its snapshot to begin.
    Pending,
    /// The base is being written.
    Snapshotting,
    /// The base is on the disk, and the increment grows.
    Incrementing,
    /// All of it is on the disk.
    Sealed,
    /// It was given up.
    Failed,
}

impl State {
    /// Its name in BACKUP STATUS.
    pub fn name(self) -> &'static str {
        match self {
            State::Idle => "idle",
            State::Pending => "pending",
            State::Snapshotting => "snapshotting",
            State::Incrementing => "incrementing",
            State::Sealed => "sealed",
            State::Failed => "failed",
        }
    }
}

/// The backup of a server: the one that is being made, or what became of the last one.
#[derive(Debug, Default)]
pub struct Backup {
    state: State,
    /// Why the last one failed.
    error: String,
    started_unix_s: i64,
    sealed_unix_s: i64,
    sealed_ms: u64,
    /// How many have begun: their files have names of their own.
    count: u64,
    base: Option<LogFile>,
    frame: Option<Frame>,
    increment: Option<Increment>,
    /// The increment has been made.
    is_prepared: bool,
    /// What is passed on is kept for the increment.
    is_collecting: bool,
    /// What was kept and not handed over to be written.
    pending: Vec<u8>,
    /// Monotonic milliseconds at which some was handed over.
    written_ms: u64,
    /// What the helper does.
    job: Option<JobId>,
    /// All is kept that belongs to it: what is left is to put it on the disk.
    is_sealing: bool,
    /// Files are to be removed.
    is_clearing: bool,
    /// Why they could not be, the last time.
    clear_error: Option<String>,
    /// Clients that wait for the helper.
    waiting: Vec<ClientId>,
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// The backup is sealed.
    Seal,
    /// Files are removed.
    Clear,
}

impl Backup {
    /// How far it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why it failed; empty if it did not.
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Unix seconds at which it began; 0 if there is none.
    pub fn started_unix_s(&self) -> i64 {
        self.started_unix_s
    }

    /// Unix seconds at which it was sealed; 0 if it is not.
    pub fn sealed_unix_s(&self) -> i64 {
        self.sealed_unix_s
    }

    /// True from START until it is sealed or has failed.
    pub fn is_in_progress(&self) -> bool {
        matches!(self.state, State::Pending | State::Snapshotting | State::Incrementing)
    }

    /// True if its files are there, or may be.
    pub fn has_files(&self) -> bool {
        self.is_in_progress() || self.state == State::Sealed || self.is_clearing
    }

    /// True if what is passed on is to be kept for it.
    #[inline]
    pub fn is_collecting(&self) -> bool {
        self.is_collecting
    }

    /// True if a turn may have something to do for it.
    #[inline]
    pub(super) fn is_at_work(&self) -> bool {
        self.is_in_progress() || self.is_clearing || !self.waiting.is_empty()
    }

    /// True if its snapshot could begin.
    pub fn is_due(&self) -> bool {
        self.state == State::Pending && self.is_prepared
    }

    /// Bytes on the heap of what waits to be written.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.pending)
    }

    /// Keeps what was passed on.
    pub(in crate::server) fn collect(&mut self, bytes: &[u8]) {
        if self.is_collecting {
            self.pending.extend_from_slice(bytes);
        }
    }

    /// The names of the files that are whole.
    fn whole_files(&self, stem: &str) -> Vec<String> {
        let base = self.base.iter().map(|base| base.name.clone());
        match self.state {
            State::Incrementing => base.collect(),
            State::Sealed => {
                let increment = self.increment.iter().map(|increment| increment.name.clone());
                base.chain(increment).chain([manifest::file_name(stem)]).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What became of what a client waited for.
    ///
    /// # Errors
    /// It was not done.
    pub fn outcome_of(&self, awaited: Awaited) -> Result<(), ReplyError> {
        match awaited {
            // Where nobody may wait it is enough that it has begun.
            Awaited::Seal if self.state == State::Sealed || self.is_sealing => Ok(()),
            Awaited::Seal => Err(ReplyError::owned(format!("ERR The backup has failed: {}", self.error))),
            Awaited::Clear => match &self.clear_error {
                None => Ok(()),
                Some(error) => Err(ReplyError::owned(format!("ERR {error}"))),
            },
        }
    }
}

/// What commands ask for.
impl Server {
    /// Begins a backup.
    ///
    /// # Errors
    /// There is one, or its directory holds something, or is another server's.
    pub fn start_backup(&mut self, now: Now) -> Result<(), ReplyError> {
        match self.persistence.backup.state {
            State::Pending | State::Snapshotting | State::Incrementing => return Err(IN_PROGRESS),
            State::Sealed => return Err(SEALED_EXISTS),
            State::Idle | State::Failed => {}
        }
        if self.persistence.backup.is_clearing {
            return Err(CLEARING);
        }
        let refused = |reason: String| ReplyError::owned(format!("ERR {reason}"));
        let dir = self.backup_dir()?;
        self.lock_directory().map_err(|error| refused(error.to_string()))?;
        let storage = Arc::clone(&self.persistence.storage);
        let there = directory::list(&*storage, &dir);
        let there = there.map_err(|error| refused(format!("Can't read {}: {}", dir.display(), error_text(&error))))?;
        if !there.is_empty() {
            return Err(refused(format!("The backup directory '{}' is not empty", dir.display())));
        }
        let (stem, is_rdb) = (self.config.appendfilename.clone(), self.config.aof_use_rdb_preamble);
        let has_ends = self.config.aof_batch_checksums;
        let dump_frame = self.dump_frame();
        let backup = &mut self.persistence.backup;
        let mut named = Manifest::default();
        let base = named.next_base(&stem, is_rdb, backup.count);
        let increment = Increment::new(&dir, named.begin_increment(&stem, backup.count), has_ends);
        let (path, head) = (increment.path.clone(), if has_ends { HEAD } else { b"" });
        let job = move || Completion::Backup(Done::Prepared(jobs::prepare(&*storage, &dir, &path, head)));
        let Some(job) = self.background.submit(job) else {
            return Err(refused("Too much waits for the disk: try again later".to_owned()));
        };
        let (count, waiting) = (backup.count + 1, std::mem::take(&mut backup.waiting));
        *backup = Backup {
            state: State::Pending,
            started_unix_s: now.unix_s(),
            count,
            base: Some(base),
            frame: Some(if is_rdb { dump_frame } else { Frame::Commands { has_ends } }),
            increment: Some(increment),
            job: Some(job),
            waiting,
            ..Backup::default()
        };
        log::info!("Backup started");
        Ok(())
    }

    /// Ends what belongs to the backup; a client that may wait is to wait until it is on the disk.
    ///
    /// # Errors
    /// There is none of which the base is on the disk.
    pub fn seal_backup(&mut self, now: Now) -> Result<(), ReplyError> {
        let backup = &self.persistence.backup;
        if backup.state != State::Incrementing || backup.is_sealing {
            return Err(NOT_READY);
        }
        // What was passed on up to here belongs to it, and nothing after.
        self.distribute(now);
        let backup = &mut self.persistence.backup;
        (backup.is_sealing, backup.is_collecting) = (true, false);
        self.renew_propagation();
        Ok(())
    }

    /// Gives the backup up.
    ///
    /// # Errors
    /// There is none, or it is sealed.
    pub fn abort_backup(&mut self) -> Result<(), ReplyError> {
        if !self.persistence.backup.is_in_progress() {
            return Err(NO_BACKUP);
        }
        self.fail_backup(ABORTED);
        Ok(())
    }

    /// Has the files of the last backup removed, or those that are found.
    ///
    /// # Errors
    /// One is being made.
    pub fn clean_backup(&mut self) -> Result<(), ReplyError> {
        if self.persistence.backup.is_in_progress() {
            return Err(RUNNING);
        }
        self.backup_dir()?;
        let backup = &mut self.persistence.backup;
        let (count, job, waiting) = (backup.count, backup.job, std::mem::take(&mut backup.waiting));
        *backup = Backup { count, job, waiting, is_clearing: true, ..Backup::default() };
        Ok(())
    }

    /// The paths, from the root, of the files that are whole.
    pub fn backup_files(&self) -> Vec<PathBuf> {
        let dir = self.config.dir.join(&self.config.backupdirname);
        let names = self.persistence.backup.whole_files(&self.config.appendfilename);
        names.into_iter().map(|name| dir.join(name)).collect()
    }

    /// Has a client told what became of what it waits for.
    pub fn await_backup(&mut self, client: ClientId) {
        self.persistence.backup.waiting.push(client);
    }

    /// The directory, which must not be that of the log: files of backups are named as the log's.
    fn backup_dir(&self) -> Result<PathBuf, ReplyError> {
        if self.config.backupdirname == self.config.appenddirname {
            return Err(LOGS_DIRECTORY);
        }
        Ok(PathBuf::from(&self.config.backupdirname))
    }
}

/// What turns do.
impl Server {
    /// Begins the base, and the increment with it, of a backup that is due. No snapshot is being made, and nothing is half done.
    pub fn begin_backup_base(&mut self, now: Now) {
        let dir = PathBuf::from(&self.config.backupdirname);
        let backup = &self.persistence.backup;
        let (Some(base), Some(frame)) = (&backup.base, backup.frame) else { return };
        let path = dir.join(&base.name);
        // What was passed on before is in the base.
        self.distribute(now);
        self.persistence.backup.is_collecting = true;
        self.renew_propagation();
        self.propagation.forget_selected();
        if self.begin_snapshot(Purpose::Backup, frame, path, now).is_err() {
            return self.fail_backup("another snapshot is being made");
        }
        self.persistence.backup.state = State::Snapshotting;
    }

    /// Takes note of what became of the base.
    pub(super) fn backup_base_ended(&mut self, outcome: Outcome) {
        if self.persistence.backup.state != State::Snapshotting {
            return;
        }
        match outcome {
            Outcome::Saved(bytes) => {
                self.persistence.backup.state = State::Incrementing;
                log::info!("The base of the backup is on the disk: {bytes} bytes");
            }
            Outcome::Failed(reason) => self.fail_backup(&reason),
            Outcome::Cancelled => self.fail_backup("its snapshot was given up"),
        }
    }

    /// Gives up the backup that is being made, if one is, for a reason that STATUS tells.
    pub fn fail_backup(&mut self, reason: &str) {
        let backup = &mut self.persistence.backup;
        if !backup.is_in_progress() {
            return;
        }
        log::error!("The backup is given up: {reason}");
        (backup.state, backup.error) = (State::Failed, reason.to_owned());
        (backup.is_collecting, backup.is_sealing, backup.is_clearing) = (false, false, true);
        backup.pending = Vec::new();
        self.cancel_snapshot(Purpose::Backup);
        self.renew_propagation();
    }

    /// Removes a sealed backup that is older than `backup-sealed-ttl` allows. To be called now and then.
    pub fn expire_backup(&mut self, now: Now) {
        let (backup, ttl_ms) = (&self.persistence.backup, self.config.backup_sealed_ttl.saturating_mul(1000));
        let is_over = now.mono_ms() >= backup.sealed_ms.saturating_add(ttl_ms);
        if backup.state == State::Sealed && ttl_ms > 0 && is_over && self.clean_backup().is_ok() {
            log::info!("The sealed backup is removed: it was kept for as long as `backup-sealed-ttl` says");
        }
    }

    /// Takes note of what the helper has done.
    pub fn note_backup(&mut self, job: JobId, done: Done, now: Now) {
        let backup = &mut self.persistence.backup;
        if backup.job != Some(job) {
            return;
        }
        backup.job = None;
        let failed = match done {
            Done::Cleared(outcome) => {
                (backup.is_clearing, backup.clear_error) = (false, outcome.err());
                if let Some(error) = &backup.clear_error {
                    log::warn!("{error}");
                }
                return;
            }
            Done::Prepared(Ok(())) => {
                backup.is_prepared = true;
                return;
            }
            Done::Written(Ok(increment)) => {
                backup.increment = Some(increment);
                return;
            }
            Done::Sealed(Ok(())) if backup.is_sealing => {
                (backup.state, backup.is_sealing) = (State::Sealed, false);
                (backup.sealed_unix_s, backup.sealed_ms) = (now.unix_s(), now.mono_ms());
                log::info!("The backup is sealed");
                return;
            }
            Done::Sealed(Ok(())) => return,
            Done::Prepared(Err(error)) | Done::Written(Err(error)) | Done::Sealed(Err(error)) => error,
        };
        self.fail_backup(&failed);
    }

    /// Hands over what is to be written or removed. True if the next turn should follow at once.
    pub(super) fn backup_turn(&mut self, now: Now) -> bool {
        let backup = &self.persistence.backup;
        if backup.pending.len() > PENDING_BYTES_MAX {
            self.fail_backup("the disk is too slow for what is written meanwhile");
        } else if backup.job.is_none() && backup.is_clearing {
            self.clear_backup();
        } else if backup.job.is_none() && backup.is_sealing {
            self.submit_seal();
        } else if backup.job.is_none() && !backup.pending.is_empty() {
            let is_long_ago = now.mono_ms() >= backup.written_ms + WRITE_MS;
            if is_long_ago || backup.pending.len() >= BATCH_BYTES {
                self.submit_batch(now);
            }
        }
        self.wake_for_backup()
    }

    fn submit_batch(&mut self, now: Now) {
        let storage = Arc::clone(&self.persistence.storage);
        let backup = &mut self.persistence.backup;
        let Some(increment) = backup.increment.clone() else { return };
        // Shared for as long as it is not certain that the queue takes the job.
        let batch = Arc::new(std::mem::take(&mut backup.pending));
        let lent = Arc::clone(&batch);
        let job = move || Completion::Backup(Done::Written(increment.append(&*storage, &lent)));
        backup.job = self.background.submit(job);
        match backup.job {
            Some(_) => backup.written_ms = now.mono_ms(),
            // The next turn tries again.
            None => backup.pending = Arc::try_unwrap(batch).unwrap_or_default(),
        }
    }

    fn submit_seal(&mut self) {
        let (storage, stem) = (Arc::clone(&self.persistence.storage), self.config.appendfilename.clone());
        let dir = PathBuf::from(&self.config.backupdirname);
        let backup = &mut self.persistence.backup;
        let (Some(base), Some(increment)) = (backup.base.clone(), backup.increment.clone()) else { return };
        let batch = Arc::new(std::mem::take(&mut backup.pending));
        let lent = Arc::clone(&batch);
        let job = move || Completion::Backup(Done::Sealed(jobs::seal(&*storage, &dir, &stem, base, increment, &lent)));
        backup.job = self.background.submit(job);
        if backup.job.is_none() {
            backup.pending = Arc::try_unwrap(batch).unwrap_or_default();
        }
    }

    /// Has the files removed, once no snapshot makes any.
    fn clear_backup(&mut self) {
        if self.persistence.snapshots.is_for(Purpose::Backup) {
            return;
        }
        let (storage, stem) = (Arc::clone(&self.persistence.storage), self.config.appendfilename.clone());
        let dir = PathBuf::from(&self.config.backupdirname);
        let job = move || Completion::Backup(Done::Cleared(jobs::clear(&*storage, &dir, &stem)));
        self.persistence.backup.job = self.background.submit(job);
    }

    /// Ends the waits that are over. True if there are any.
    fn wake_for_backup(&mut self) -> bool {
        let backup = &mut self.persistence.backup;
        if backup.waiting.is_empty() || backup.is_sealing || backup.is_clearing {
            return false;
        }
        let mut any = false;
        for client in std::mem::take(&mut backup.waiting) {
            let is_waiting = self.clients.get(client).is_some_and(|session| session.waiting.is_some());
            any |= is_waiting && self.unblock(client, UnblockedBy::Reply);
        }
        any
    }
}

/// True for the names of files that a backup makes.
fn is_of_backup(name: &str, stem: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some(rest) = name.strip_prefix(stem).and_then(|rest| rest.strip_prefix('.')) else {
        return directory::is_temporary(name, stem);
    };
    let kinds = [".base.rdb", ".base.aof", ".incr.aof"];
    Path::new(name) == Path::new(&manifest::file_name(stem))
        || kinds.iter().any(|kind| rest.strip_suffix(kind).is_some_and(is_number))
}

#[cfg(test)]
mod tests {
    use super::is_of_backup;

    #[test]
    fn files_are_known_by_their_names() {
        let ours =
            ["a.aof.manifest", "a.aof.1.base.rdb", "a.aof.12.base.aof", "a.aof.3.incr.aof", "temp-a.aof.manifest"];
        ours.iter().chain(&["temp-12-3.rdb"]).for_each(|name| assert!(is_of_backup(name, "a.aof"), "{name}"));
        let others =
            ["a.aof", "a.aof.", "a.aof.1.base.rdb.old", "a.aof.x.base.rdb", "b.aof.1.base.rdb", "dump.rdb", "temp-x"];
        others.iter().for_each(|name| assert!(!is_of_backup(name, "a.aof"), "{name}"));
    }
}
