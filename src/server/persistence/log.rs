//! The log of writes (Redis's append-only file): what a turn has passed on is appended to a file before its replies leave, and
//! put on the disk as `appendfsync` says.
//!
//! # Positions
//! All are counted in bytes of the stream that [`crate::server::propagation`] makes:
//! `synced <= written <= collected <= position of the stream`. What is collected and not written waits in `pending`.
//!
//! # Who waits for the disk
//! Nothing is written while an fsync is under way, which may hold a write up for as long as it takes: then the loop would stand
//! still. The fsyncs run on a helper thread of the log's own, one after the other.
//! - `everysec`: replies leave at once. Where an fsync takes longer than `DELAYED_MS`, as it does on a disk that is busy with
//!   something else, Redis stops until it is over. Here only those wait who want to write, as with CLIENT PAUSE WRITE
//!   ([`Log::is_behind`]): no more than two seconds of writes can be lost, and reads go on.
//! - `always`: the replies wait ([`Log::hold`]), nobody else does. What comes while an fsync is under way is written when it is
//!   over and shares the next one (group commit). The next one begins a little later if that many clients are about to
//!   come back (`gather`).
//!
//! Whatever the reason, writers also wait from `PENDING_BYTES_MAX` on.
//!
//! # When the disk fails
//! - A write that fails is taken back, so that the file ends with a whole batch, and tried again every second. Meanwhile commands
//!   that write are refused (`-MISCONF`), as are PINGs, so that whoever watches the server sees it. Under `always` Redis ends
//!   the process; here the replies of what could not be written are held until it could.
//! - After an fsync that fails nobody knows what of the file is on the disk, and a later fsync that succeeds says nothing about
//!   it. So the file is given up: a new base and a new file are made from memory, under names that the manifest does not have,
//!   and take the place of all there is with one manifest. Until then writes are refused, held replies stay held, and after
//!   a crash the old files are read, which hold everything that was acknowledged. It is tried again until it succeeds.
//!
//! # A rewrite
//! 1. The helper makes the next increment and a manifest that names it.
//! 2. In one turn what is pending goes to the old increment, the next one becomes the file that is written to, and a snapshot
//!    begins: the base, as of exactly this moment. What is written from now on is appended once the old increment is on the
//!    disk: so a crash leaves an increment torn only if the ones after it are empty.
//! 3. The snapshot is on the disk: the helper puts a manifest in place with the new base and the new increment alone.
//! 4. What they replace is removed.
//!
//! When the log is turned on while the server runs, or a file was given up, the increment of step 1 has a name that the
//! manifest does not know, and gets its own with step 3. Until step 2 nothing is written: the base has it. The same holds after
//! a try that failed, up to step 2 of the next one.
//!
//! The turn calls [`Server::log_turn`] before replies leave, and [`Server::log_turn_ends`] when they have.

mod gather;
mod jobs;
mod rewrite;
mod tail;

use std::io::Read;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::base::clock::Now;
use crate::base::heap;
use crate::config::{AppendFsync, Config};
use crate::feature::client_id::ClientId;
use crate::persist::aof::batch::{BatchEnd, DURABLE_PREFIX, HEAD, PREFIX};
use crate::persist::aof::manifest::Manifest;
use crate::persist::directory;
use crate::persist::storage::Storage;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::background::{Background, LogThread};
use crate::server::persistence::Persistence;
use crate::server::persistence::loading::LoadedLog;
use crate::server::persistence::snapshot::Purpose;
use crate::server::propagation::Propagation;
use crate::server::session::UnblockedBy;
use crate::sys::error_text;

pub use gather::Hold;
pub use jobs::{DiskError, Done};
pub use rewrite::{Rewrite, Rewrites};

use gather::Gathering;
use jobs::Handles;
use tail::Tail;

/// Milliseconds between two fsyncs under `everysec`.
const EVERYSEC_MS: u64 = 1000;
/// Milliseconds for which writes are put off for an fsync before those who write have to wait: what Redis puts them off for.
const DELAYED_MS: u64 = 2000;
/// Bytes that may wait to be written: from then on those who write have to wait.
const PENDING_BYTES_MAX: usize = 64 << 20;
/// Milliseconds between two tries to write to a disk that has failed.
const RETRY_MS: u64 = 1000;
/// Milliseconds between two lines about it.
const FAILURE_LOG_MS: u64 = 30_000;

/// Whether there is a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Standing {
    /// No.
    #[default]
    Off,
    /// It is being begun: what has been written counts once the first base is on the disk. Replies are held until then if the
    /// server has not promised anybody less.
    Beginning { held: bool },
    /// Yes.
    On,
    /// An fsync has failed, and it is being begun anew.
    GivenUp,
}

/// An fsync that is under way.
#[derive(Clone, Copy, Debug)]
struct Syncing {
    /// The position it will reach.
    upto: u64,
    /// The number of the last batch that it takes along.
    batch: u64,
    began_ns: u64,
    /// How many of `older` it takes along.
    older: usize,
}

/// The disk has failed, and has not been seen to work since.
#[derive(Debug)]
struct Failure {
    /// Redis's words for the error, without more.
    text: String,
    /// What failed, where, and what is free.
    whole: String,
    /// Monotonic milliseconds from which on it is tried again.
    retry_ms: u64,
    logged_ms: u64,
}

/// A client that waits for what it wrote to be on the disk.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    /// Who.
    pub client: ClientId,
}

/// The log of a server.
#[derive(Debug)]
pub struct Log {
    thread: LogThread,
    handles: Handles,
    standing: Standing,
    manifest: Manifest,
    tail: Option<Tail>,
    /// Files before the present one that have bytes which are not on the disk yet: nothing is written until they are.
    older: Vec<PathBuf>,
    /// What was passed on and not written.
    pending: Vec<u8>,
    /// Monotonic milliseconds since which there has always been something pending.
    pending_since_ms: Option<u64>,
    /// That it is pending for too long has been counted.
    is_delay_counted: bool,
    collected: u64,
    written: u64,
    synced: u64,
    syncing: Option<Syncing>,
    /// Monotonic milliseconds of the last fsync's beginning.
    synced_ms: u64,
    gathering: Gathering,
    /// The number of the last batch, that of the last one that is on the disk, and the last one that the log says so of.
    batches: u64,
    synced_batch: u64,
    told_batch: u64,
    /// The second of the last note of the time.
    noted_unix_s: i64,
    rewrites: Rewrites,
    failure: Option<Failure>,
    /// Replies wait for the disk.
    holds: bool,
    is_behind: bool,
    /// Clients that wait for what they wrote to be on the disk (WAITAOF).
    waiting: Vec<Waiter>,
    /// Bytes of the base and the increments, but for the one that is written to.
    full_bytes: u64,
    /// Bytes of all of them after the last rewrite, or at the start.
    base_bytes: u64,
    /// How often a write was put off for too long.
    pub delayed: u64,
}

impl Log {
    /// No log, and the way to a thread for one.
    pub fn new(background: &Background) -> Log {
        let thread = background.beside().unwrap_or_else(|error| {
            log::warn!("No thread for the append-only file, fsyncs hold the loop: {}", error_text(&error));
            LogThread::inline()
        });
        Log {
            thread,
            handles: Handles::default(),
            standing: Standing::Off,
            manifest: Manifest::default(),
            tail: None,
            older: Vec::new(),
            pending: Vec::new(),
            pending_since_ms: None,
            is_delay_counted: false,
            collected: 0,
            written: 0,
            synced: 0,
            syncing: None,
            synced_ms: 0,
            gathering: Gathering::default(),
            batches: 0,
            synced_batch: 0,
            told_batch: 0,
            noted_unix_s: i64::MIN,
            rewrites: Rewrites::default(),
            failure: None,
            holds: false,
            is_behind: false,
            waiting: Vec::new(),
            full_bytes: 0,
            base_bytes: 0,
            delayed: 0,
        }
    }

    /// The descriptor that the end of a job makes readable; see [`crate::sys::bg::Background::as_raw_fd`].
    pub fn as_raw_fd(&self) -> Option<RawFd> {
        self.thread.as_raw_fd()
    }

    /// Runs the next job, where jobs run when told to: for tests. False if there is none.
    pub fn run_job(&mut self) -> bool {
        self.thread.run_one()
    }

    /// True if writes are logged, or will be once the first base is on the disk.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.standing != Standing::Off
    }

    /// True if what is written counts: a base is on the disk.
    pub fn is_established(&self) -> bool {
        self.standing == Standing::On
    }

    /// The position up to which what was passed on is on the disk.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// True if those who want to write have to wait until the disk has caught up.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Why a command that writes is refused at present, if it is.
    #[inline]
    pub fn refusal(&self) -> Option<ReplyError> {
        self.failure.as_ref().map(|failure| refusal(&failure.text))
    }

    /// True if commands that write are refused.
    #[inline]
    pub fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// What replies have to wait for; `None` if they do not.
    #[inline]
    pub fn hold(&self) -> Option<Hold> {
        let under_way = |syncing: Syncing| syncing.upto;
        let is_begun = !matches!(self.standing, Standing::Beginning { .. });
        let durable = if is_begun { self.synced } else { 0 };
        self.holds.then(|| Hold { durable, under_way: self.syncing.filter(|_| is_begun).map_or(durable, under_way) })
    }

    /// What failed, where, and how many bytes are free, if the disk has failed and has not been seen to work since.
    pub fn failure_text(&self) -> Option<String> {
        self.failure.as_ref().map(|failure| failure.whole.clone())
    }

    /// The number of the last batch.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// Bytes passed on that are not on the disk.
    pub fn unsynced_bytes(&self) -> u64 {
        self.collected - self.synced.min(self.collected)
    }

    /// Bytes on the heap of what waits to be written.
    pub fn heap_bytes(&self) -> usize {
        heap::vec(&self.pending)
    }

    /// Bytes that wait to be written.
    pub fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// True while an fsync is under way.
    pub fn is_syncing(&self) -> bool {
        self.syncing.is_some()
    }

    /// Bytes of the base and the increments.
    pub fn bytes(&self) -> u64 {
        self.full_bytes + self.tail.as_ref().map_or(0, |tail| tail.bytes)
    }

    /// The same after the last rewrite, or at the start.
    pub fn base_bytes(&self) -> u64 {
        self.base_bytes
    }

    /// The rewrites, for INFO.
    pub fn rewrites(&self) -> &Rewrites {
        &self.rewrites
    }

    /// The files.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Has a client told when what it wrote is on the disk.
    pub fn add_waiting(&mut self, waiter: Waiter) {
        self.waiting.push(waiter);
    }

    /// True if a turn has nothing to do here. Costs a few loads.
    #[inline]
    fn is_idle(&self) -> bool {
        self.standing == Standing::Off && self.rewrites.is_idle()
    }

    /// The monotonic millisecond at which a turn has something to do, if nothing happens before.
    pub fn next_due_ms(&self) -> Option<u64> {
        let retry = self.failure.as_ref().map(|failure| failure.retry_ms);
        let is_unsynced = self.written > self.synced && self.syncing.is_none() && self.standing != Standing::Off;
        let sync = is_unsynced.then_some(self.synced_ms + EVERYSEC_MS);
        let delayed = self.pending_since_ms.filter(|_| !self.is_delay_counted).map(|since_ms| since_ms + DELAYED_MS);
        retry.into_iter().chain(sync).chain(delayed).min()
    }

    /// Takes what was passed on since the last time, up to a position. Returns a buffer that is of no further use.
    pub(in crate::server) fn collect(&mut self, passed_on: Vec<u8>, position: u64, now: Now) -> Vec<u8> {
        self.collected = position;
        if self.pending.is_empty() {
            self.pending_since_ms = Some(now.mono_ms());
            return std::mem::replace(&mut self.pending, passed_on);
        }
        self.pending.extend_from_slice(&passed_on);
        passed_on
    }

    /// Forgets what is pending: a base that begins now, or later, has it.
    fn drop_pending(&mut self) {
        self.pending = Vec::new();
        (self.pending_since_ms, self.is_delay_counted) = (None, false);
    }

    /// Appends what is pending to the file, as one batch, unless that may have to wait.
    fn write_pending(&mut self, config: &Config, propagation: &mut Propagation, storage: &dyn Storage, now: Now) {
        if self.tail.is_none() {
            return self.drop_pending();
        }
        // What stands in a later file must not be there after a crash if something before it is not.
        if self.pending.is_empty() || !self.older.is_empty() {
            return;
        }
        if self.syncing.is_some() || self.failure.as_ref().is_some_and(|failure| now.mono_ms() < failure.retry_ms) {
            return;
        }
        let Some(tail) = &mut self.tail else { return };
        let (seq, mut before) = (self.batches + 1, Vec::new());
        if tail.has_ends && self.synced_batch > self.told_batch {
            before.extend_from_slice(DURABLE_PREFIX);
            before.extend_from_slice(format!("{}\r\n", self.synced_batch).as_bytes());
        }
        if config.aof_timestamp_enabled && now.unix_s() > self.noted_unix_s {
            before.extend_from_slice(format!("#TS:{}\r\n", now.unix_s()).as_bytes());
        }
        let (before_bytes, bytes) = (before.len(), self.pending.len());
        if before_bytes > 0 {
            self.pending.splice(0..0, before);
        }
        if tail.has_ends {
            BatchEnd::of(seq, &self.pending).push(&mut self.pending);
        }
        match tail.write(&self.pending) {
            Ok(()) => {
                if tail.has_ends {
                    (self.batches, self.told_batch) = (seq, self.synced_batch);
                }
                if config.aof_timestamp_enabled {
                    self.noted_unix_s = now.unix_s();
                }
                self.written = self.collected;
                let mut buffer = std::mem::take(&mut self.pending);
                buffer.clear();
                propagation.give_back(buffer);
                (self.pending_since_ms, self.is_delay_counted) = (None, false);
                if self.standing != Standing::GivenUp && self.failure.take().is_some() {
                    log::warn!("AOF write error looks solved. The server can write again.");
                }
            }
            Err(failed) => {
                self.pending.truncate(before_bytes + bytes);
                self.pending.drain(..before_bytes);
                let error = DiskError { doing: "writing to", path: tail.path.clone(), error: failed.error };
                self.fail(&error, storage, now);
                if failed.is_torn {
                    self.give_up("what was written of a batch could not be cut off again", now);
                }
            }
        }
    }

    /// Notes that the disk has failed.
    fn fail(&mut self, failed: &DiskError, storage: &dyn Storage, now: Now) {
        let DiskError { doing, path, error } = failed;
        let now_ms = now.mono_ms();
        let logged_ms = self.failure.as_ref().map(|failure| failure.logged_ms);
        let is_told = logged_ms.is_some_and(|logged_ms| now_ms < logged_ms + FAILURE_LOG_MS);
        let free = storage.free_bytes(path.parent().unwrap_or(Path::new(".")));
        let free = free.map_or_else(|_| String::new(), |bytes| format!("; {bytes} bytes are free on the disk"));
        let whole = format!("{doing} {}: {error}{free}", path.display());
        if !is_told {
            log::error!("The append-only file cannot be written. Error {whole}");
        }
        let logged_ms = logged_ms.filter(|_| is_told).unwrap_or(now_ms);
        self.failure = Some(Failure { text: error_text(error), whole, retry_ms: now_ms + RETRY_MS, logged_ms });
    }

    /// Nothing more is written to the present files: they are replaced from what is in memory.
    fn give_up(&mut self, reason: &str, now: Now) {
        if self.standing == Standing::On {
            self.standing = Standing::GivenUp;
        }
        log::error!("The append-only file is given up, because {reason}: a new one is made from what is in memory");
        if let Some(tail) = self.tail.take() {
            self.full_bytes += tail.bytes;
        }
        self.older.clear();
        self.rewrites.begin_anew(now);
    }

    /// Begins an fsync if it is time. True if it is put off for a moment: the next turn should follow at once.
    fn sync_if_due(&mut self, policy: AppendFsync, storage: &Arc<dyn Storage>, held: usize, now_ns: u64) -> bool {
        let Some(tail) = &self.tail else { return false };
        if self.syncing.is_some() || !self.is_unsynced() || self.rewrites.is_renaming() {
            return false;
        }
        let now_ms = now_ns / 1_000_000;
        if self.failure.as_ref().is_some_and(|failure| now_ms < failure.retry_ms) {
            return false;
        }
        match policy {
            _ if !self.older.is_empty() => {}
            AppendFsync::No => return false,
            AppendFsync::EverySec if now_ms < self.synced_ms + EVERYSEC_MS => return false,
            AppendFsync::Always if self.gathering.waits(held, now_ns) => return true,
            AppendFsync::EverySec | AppendFsync::Always => {}
        }
        let paths: Vec<PathBuf> = self.older.iter().chain([&tail.path]).cloned().collect();
        // Should the queue be full, the next turn tries again.
        if self.thread.submit(self.handles.sync(storage, paths, self.written)).is_some() {
            let (upto, batch, older) = (self.written, self.batches, self.older.len());
            self.syncing = Some(Syncing { upto, batch, began_ns: now_ns, older });
            self.synced_ms = now_ms;
            self.gathering.begun(held);
        }
        self.thread.has_completion()
    }

    /// True if an fsync would have something to do: also of a log whose base is not on the disk yet.
    fn is_unsynced(&self) -> bool {
        self.written > self.synced.max(self.rewrites.unestablished_synced()) || !self.older.is_empty()
    }

    /// Takes note of an fsync that is over. Returns how many nanoseconds it took, if it succeeded.
    fn note_synced(
        &mut self,
        upto: u64,
        outcome: Result<(), DiskError>,
        storage: &dyn Storage,
        now: Now,
        now_ns: u64,
    ) -> Option<u64> {
        let syncing = self.syncing.take()?;
        let took_ns = now_ns.saturating_sub(syncing.began_ns);
        match outcome {
            Ok(()) => {
                self.gathering.ended(took_ns, now_ns);
                self.older.drain(..syncing.older.min(self.older.len()));
                self.synced_batch = self.synced_batch.max(syncing.batch);
                if self.standing == Standing::On {
                    self.synced = self.synced.max(upto);
                } else {
                    self.rewrites.note_unestablished(upto);
                }
                return Some(took_ns);
            }
            Err(error) if self.tail.is_some() => {
                self.fail(&error, storage, now);
                self.give_up("an fsync of it failed, after which nobody knows what is on the disk", now);
            }
            // It was given up already.
            Err(_) => {}
        }
        None
    }

    /// Writers wait if the disk cannot keep up.
    fn note_lag(&mut self, now: Now) {
        let waited_ms = self.pending_since_ms.map_or(0, |since_ms| now.mono_ms().saturating_sub(since_ms));
        let is_delayed = waited_ms > DELAYED_MS && self.syncing.is_some();
        if is_delayed && !self.is_delay_counted {
            self.is_delay_counted = true;
            self.delayed += 1;
            log::warn!(
                "Asynchronous AOF fsync is taking too long (disk is busy?). Commands that write wait until it is done: they \
                 may be slow."
            );
        }
        self.is_behind = self.pending.len() > PENDING_BYTES_MAX || is_delayed;
    }

    /// Puts everything on the disk, at the end of the process. Blocks.
    ///
    /// # Errors
    /// What the disk says: then what was not acknowledged under `always` may be lost, and under `everysec` what was written in
    /// the last second.
    fn finish(
        &mut self,
        config: &Config,
        propagation: &mut Propagation,
        storage: &dyn Storage,
        now: Now,
    ) -> Result<(), DiskError> {
        if self.standing == Standing::Off {
            return Ok(());
        }
        // The helper may still be at work: two fsyncs at a time harm nobody.
        self.syncing = None;
        if let Some(failure) = &mut self.failure {
            failure.retry_ms = 0;
        }
        self.write_pending(config, propagation, storage, now);
        for path in &self.older {
            storage.append(path).and_then(|mut file| file.sync()).map_err(DiskError::of("fsyncing", path))?;
        }
        let Some(tail) = &mut self.tail else {
            let error = std::io::Error::other("the append-only file was given up and there is no new one yet");
            return Err(DiskError { doing: "ending", path: PathBuf::from(&config.appenddirname), error });
        };
        tail.sync().map_err(DiskError::of("fsyncing", &tail.path))?;
        if !self.pending.is_empty() {
            let error = std::io::Error::other("not all could be written");
            return Err(DiskError { doing: "ending", path: tail.path.clone(), error });
        }
        if self.standing == Standing::On {
            (self.synced, self.holds) = (self.written, false);
        }
        Ok(())
    }
}

/// What a client is told that wants to write while the log cannot be written.
fn refusal(text: &str) -> ReplyError {
    ReplyError::owned(format!("MISCONF Errors writing to the AOF file: {text}"))
}

/// The turn's part in it.
impl Server {
    /// Appends what this turn has passed on, before its replies leave, and takes note of what the helper thread has done. True
    /// if the next turn should follow at once. O(bytes passed on).
    #[inline]
    pub fn log_turn(&mut self, now: Now) -> bool {
        self.is_logging() && self.log_turn_on(now)
    }

    /// True if a turn may have something to do for the log, or for a backup.
    #[inline]
    pub fn is_logging(&self) -> bool {
        let Persistence { log, loaded_log, backup, .. } = &self.persistence;
        !log.is_idle() || loaded_log.is_some() || backup.is_at_work()
    }

    fn log_turn_on(&mut self, now: Now) -> bool {
        if let Some(loaded) = self.persistence.loaded_log.take() {
            self.start_log(loaded, now);
        }
        let more = self.take_log_completions(now);
        if self.persistence.log.is_on() || self.persistence.backup.is_collecting() {
            self.distribute(now);
        }
        let Server { config, propagation, persistence, .. } = self;
        let (storage, log) = (Arc::clone(&persistence.storage), &mut persistence.log);
        if log.is_on() {
            let (written, began_ns) =
                (log.written, (config.latency_monitor_threshold > 0).then(|| self.clock.mono_ns()));
            log.write_pending(config, propagation, &*storage, now);
            if let Some(began_ns) = began_ns.filter(|_| log.written != written) {
                self.note_log_write(began_ns);
            }
        }
        let more = self.rewrite_turn(now) | self.backup_turn(now) | more;
        let policy = self.sync_policy();
        let log = &mut self.persistence.log;
        log.holds = policy == AppendFsync::Always
            && matches!(log.standing, Standing::On | Standing::GivenUp | Standing::Beginning { held: true });
        let was_behind = log.is_behind;
        log.note_lag(now);
        let woken = self.wake_for_disk() | self.wake_for_replicas();
        let has_completion = self.persistence.log.thread.has_completion();
        more | woken | has_completion | (was_behind && !self.persistence.log.is_behind)
    }

    /// Notes how long it took to write a batch of the log.
    #[cold]
    fn note_log_write(&mut self, began_ns: u64) {
        let took_ns = self.clock.mono_ns().saturating_sub(began_ns);
        let is_saving = self.persistence.snapshots.is_running();
        self.note_latency("aof-write", took_ns);
        // COMPAT: a snapshot is taken in the process itself, where Redis has a child; the event has its name. Nothing is written
        // while an fsync lasts, so there is no aof-write-pending-fsync, and files are renamed by the helper thread.
        self.note_latency(if is_saving { "aof-write-active-child" } else { "aof-write-alone" }, took_ns);
    }

    /// Begins an fsync if it is time, after the replies that may leave have left. `held` is how many connections wait for one.
    /// True if the next turn should follow at once.
    #[inline]
    pub fn log_turn_ends(&mut self, held: usize) -> bool {
        let log = &mut self.persistence.log;
        log.gathering.note_left(held);
        if log.tail.is_none() || log.syncing.is_some() || !log.is_unsynced() {
            return false;
        }
        let (policy, now_ns) = (self.sync_policy(), self.clock.mono_ns());
        let storage = Arc::clone(&self.persistence.storage);
        self.persistence.log.sync_if_due(policy, &storage, held, now_ns)
    }

    /// When the log is put on the disk, at present.
    fn sync_policy(&self) -> AppendFsync {
        let is_saving = self.persistence.snapshots.is_running();
        if self.config.no_appendfsync_on_rewrite && is_saving { AppendFsync::No } else { self.config.appendfsync }
    }

    fn take_log_completions(&mut self, now: Now) -> bool {
        let mut any = false;
        while let Some((job, done)) = self.persistence.log.thread.next_completion() {
            any = true;
            match done {
                Done::Synced(upto, outcome) => {
                    let (storage, now_ns) = (Arc::clone(&self.persistence.storage), self.clock.mono_ns());
                    let took_ns = self.persistence.log.note_synced(upto, outcome, &*storage, now, now_ns);
                    if self.persistence.log.holds {
                        self.note_latency("aof-fsync-always", took_ns.unwrap_or(0));
                    }
                }
                other => self.note_rewrite(job, other, now),
            }
        }
        any
    }

    /// Ends the waits for the disk that are over. True if there are any.
    fn wake_for_disk(&mut self) -> bool {
        if self.persistence.log.waiting.is_empty() {
            return false;
        }
        let mut waiting = std::mem::take(&mut self.persistence.log.waiting);
        let mut any = false;
        waiting.retain(|&Waiter { client }| {
            let is_waiting = self.clients.get(client).is_some_and(|session| session.waiting.is_some());
            let is_over = is_waiting && (self.is_durable(client) || !self.persistence.log.is_on());
            if is_over {
                any |= self.unblock(client, UnblockedBy::Reply);
            }
            is_waiting && !is_over
        });
        self.persistence.log.waiting = waiting;
        any
    }

    /// True if all that a client wrote is on the disk.
    pub fn is_durable(&self, client: ClientId) -> bool {
        self.persistence.log.is_established() && self.persistence.log.synced >= self.clients[client].wrote_upto
    }

    /// What was there has been loaded: the log goes on, or begins, if there is to be one.
    fn start_log(&mut self, loaded: LoadedLog, now: Now) {
        if !self.config.appendonly {
            return;
        }
        let LoadedLog { manifest, last_seq, replaces } = loaded;
        let Some(manifest) = manifest else {
            // Of a log that was not loaded no name may come again before its file has been removed.
            let (storage, dir) = (&self.persistence.storage, Path::new(&self.config.appenddirname));
            let there = match replaces {
                true => directory::read_manifest(&**storage, dir, &self.config.appendfilename),
                false => Ok(None),
            };
            return match there {
                Ok(manifest) => self.begin_log(manifest.unwrap_or_default(), true, now),
                Err(error) => (self.process.failure, self.process.stop_requested) = (Some(error), true),
            };
        };
        if let Err(DiskError { doing, path, error }) = self.resume_log(manifest, last_seq.unwrap_or(0)) {
            self.process.failure =
                Some(format!("The append-only file cannot go on: error {doing} {}: {error}", path.display()));
            self.process.stop_requested = true;
        }
    }

    /// Goes on with a log that was loaded, whose last batch has this number, 0 if there is none. Blocks, for moments.
    ///
    /// # Errors
    /// Its last file cannot be opened, or a new one cannot be made.
    fn resume_log(&mut self, mut manifest: Manifest, batches: u64) -> Result<(), DiskError> {
        let (storage, stem) = (Arc::clone(&self.persistence.storage), self.config.appendfilename.clone());
        let dir = PathBuf::from(&self.config.appenddirname);
        // A file of batches has them from its beginning to its end, and one of Redis's has none.
        let last = manifest.increments().last().map(|file| dir.join(&file.name));
        let has_ends = self.config.aof_batch_checksums;
        let suits = |path: &PathBuf| {
            let mut begin = Vec::new();
            storage.open(path)?.take(PREFIX.len() as u64).read_to_end(&mut begin)?;
            Ok((begin == PREFIX) == has_ends)
        };
        let last = match last {
            Some(last) if suits(&last).map_err(DiskError::of("reading", &last))? => last,
            _ => {
                let path = dir.join(&manifest.begin_increment(&stem, 0).name);
                let head = if has_ends { HEAD } else { b"" };
                jobs::prepare(&*storage, &dir, Some(&path), head, Some((&manifest, &stem)))?;
                path
            }
        };
        let tail = Tail::open(&*storage, &last, has_ends).map_err(DiskError::of("opening", &last))?;
        let listed = storage.list(&dir).map_err(DiskError::of("listing", &dir))?;
        let is_named = |name: &str| manifest.files().any(|file| file.name == name);
        let bytes: u64 = listed.iter().filter(|file| is_named(&file.name)).map(|file| file.bytes).sum();
        self.begin_propagation();
        let (position, log) = (self.propagation.position(), &mut self.persistence.log);
        (log.collected, log.written, log.synced) = (position, position, position);
        (log.manifest, log.batches, log.standing) = (manifest, batches, Standing::On);
        (log.full_bytes, log.base_bytes) = (bytes.saturating_sub(tail.bytes), bytes);
        // What was loaded may not be on the disk yet, where only the process had ended before.
        log.older = vec![tail.path.clone()];
        log.tail = Some(tail);
        self.clean_history();
        Ok(())
    }

    /// Has a log begin, of what is in memory now, because it was turned on.
    ///
    /// # Errors
    /// The directory is another server's, or what is there of an earlier log cannot be read, in words.
    pub fn turn_log_on(&mut self, now: Now) -> Result<(), String> {
        if self.persistence.log.standing != Standing::Off {
            return Ok(());
        }
        self.lock_directory().map_err(|refused| refused.to_string())?;
        let (storage, dir) = (&self.persistence.storage, Path::new(&self.config.appenddirname));
        let manifest = directory::read_manifest(&**storage, dir, &self.config.appendfilename)?;
        self.begin_log(manifest.unwrap_or_default(), false, now);
        Ok(())
    }

    /// Begins a log of what is in memory now, in place of the files of a manifest. With `held` its promises are kept from the
    /// first reply on (at the start of the server); otherwise once its base is on the disk. O(databases made).
    fn begin_log(&mut self, replaced: Manifest, held: bool, now: Now) {
        self.begin_propagation();
        let (position, log) = (self.propagation.position(), &mut self.persistence.log);
        (log.standing, log.manifest) = (Standing::Beginning { held }, replaced);
        (log.collected, log.written, log.synced) = (position, position, position);
        log.rewrites.begin_anew(now);
    }

    /// The data was replaced as a whole: a new log begins in the place of the old one, which counts until its base is on the disk.
    pub fn replace_log(&mut self, now: Now) {
        self.fail_backup("the data was replaced by that of the primary");
        let log = &mut self.persistence.log;
        if log.standing == Standing::Off {
            return;
        }
        if log.standing == Standing::On {
            log.standing = Standing::GivenUp;
        }
        if let Some(tail) = log.tail.take() {
            log.full_bytes += tail.bytes;
        }
        log.older.clear();
        self.cancel_snapshot(Purpose::LogBase);
        self.persistence.log.rewrites.begin_anew(now);
    }

    /// Ends the log: what was written comes to the disk, and nothing more is written. Blocks until it has.
    pub fn end_log(&mut self, now: Now) {
        if let Err(error) = self.finish_log(now) {
            log::warn!("Error {} the append-only file {}: {}", error.doing, error.path.display(), error.error);
        }
        let log = &mut self.persistence.log;
        (log.standing, log.failure, log.holds, log.is_behind) = (Standing::Off, None, false, false);
        log.drop_pending();
        log.syncing = None;
        log.older.clear();
        log.full_bytes = log.bytes();
        log.tail = None;
        log.rewrites.cancel();
        self.cancel_snapshot(Purpose::LogBase);
        self.renew_propagation();
        self.wake_for_disk();
        self.wake_for_replicas();
    }

    /// Puts everything that was written on the disk. Blocks.
    ///
    /// # Errors
    /// What the disk says.
    pub fn finish_log(&mut self, now: Now) -> Result<(), DiskError> {
        if self.persistence.log.is_on() {
            self.distribute(now);
        }
        let Server { config, propagation, persistence, .. } = self;
        let storage = Arc::clone(&persistence.storage);
        persistence.log.finish(config, propagation, &*storage, now)
    }
}
