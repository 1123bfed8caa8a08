//! Snapshots: the one that is being made, and what is known of those that were.
//!
//! # The way of a snapshot
//! 1. [`Server::begin_snapshot`]: every database that has keys takes part in it from this moment on (see `store::snapshot`).
//! 2. [`Server::walk_snapshot`], once a turn: a slice of the keys becomes bytes, and pieces go to the helper thread, which writes
//!    them. Entries that are about to change come in between.
//! 3. When all databases have been walked the helper finishes the file, and [`Server::note_snapshot`] learns what became of it.
//!
//! One that is cancelled, or whose file could not be written, goes on walking without writing until every entry has its
//! database's mark again: only then can the next one begin. SAVE and SHUTDOWN do all of it at once, on the thread of the loop.
//!
//! # Memory
//! The walk rests while `WALK_BYTES_MAX` wait for the disk. Those who change data may force out more; from `HOLD_BYTES` on
//! clients that would change a key which the snapshot does not have are put on hold, and so are those who would change a large
//! value: the snapshot takes their keys next. See [`Server::is_held_by_snapshot`].

mod hold;
mod jobs;
mod replicas;
mod save;
mod walk;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::base::clock::Now;
use crate::persist::directory;
use crate::persist::rdb::file::{Accesses, Head, Options, Origin};
use crate::persist::rdb::write::Version;
use crate::persist::snapshot::file::{Frame, Plan};
use crate::persist::snapshot::{Code, Collector, Form, Size};
use crate::server::{REDIS_VERSION, Server};
use crate::store::access::AccessClock;
use crate::store::db::Db;
use crate::sys::alloc;
use crate::sys::bg::Load;

use jobs::{Shared, lock};
use replicas::Feed;

pub use jobs::{Done, Wrote};
pub use save::CANNOT_STOP;

/// Bytes that wait for the disk, or for the slowest replica, above which the walk rests.
pub const WALK_BYTES_MAX: usize = 16 << 20;
/// The same above which nobody may change a key that the snapshot does not have.
const HOLD_BYTES: usize = 48 << 20;
/// Bytes that one command may force out: more than that is kept by the walk before the command runs.
const COMMAND_BYTES_MAX: usize = 1 << 20;
/// Entries and pieces of values in one slice at most, should the clock stand still.
const SLICE_STEPS_MAX: usize = 8192;
/// Seconds after a failure before a save point is heeded again, as in Redis.
const RETRY_S: i64 = 5;

/// What a snapshot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The dump file (BGSAVE, save points).
    Dump,
    /// The base of a new log.
    LogBase,
    /// The base of a backup.
    Backup,
    /// Replicas, which are sent it as it comes: no file is made.
    Replicas,
}

/// What became of a snapshot.
#[derive(Debug)]
pub enum Outcome {
    /// It is on the disk, in so many bytes.
    Saved(u64),
    /// It could not be saved, and why.
    Failed(String),
    /// It was given up on request.
    Cancelled,
}

/// A snapshot cannot begin: another one is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Where the pieces of a snapshot go.
#[derive(Debug)]
enum Sink {
    /// To the helper thread, which writes a file.
    File(Arc<Shared>),
    /// To replicas.
    Replicas(Box<Feed>),
}

/// The snapshot that is being made.
#[derive(Debug)]
struct Running {
    purpose: Purpose,
    collector: Arc<Mutex<Collector>>,
    sink: Sink,
    /// Databases that have not been walked to their end.
    parts_left: usize,
    /// Those of them that were replaced by empty ones, to be freed when they have been walked.
    retired: Vec<Db>,
    /// Keys that somebody waits for, with the places of their databases: they come next.
    wanted: VecDeque<(usize, Box<[u8]>)>,
    /// Pieces handed over for which no job has been submitted. A job takes several if it finds them.
    unsubmitted: usize,
    /// Jobs that have not been completed, and the bytes of memory of their pieces.
    jobs: usize,
    job_bytes: usize,
    /// All has been walked, and the end of the file has been handed over unless it was given up.
    is_ended: bool,
    /// What will have become of it, once that is known.
    outcome: Option<Outcome>,
    began: Now,
    changes: u64,
    keys: usize,
}

impl Running {
    /// True if entries are still to be walked.
    fn is_walking(&self) -> bool {
        self.parts_left > 0 || lock(&self.collector).midway().is_some()
    }

    /// True if there is nothing left to be done, and it is known what became of it.
    fn is_over(&self) -> bool {
        self.is_ended && self.outcome.is_some() && self.jobs == 0 && self.unsubmitted == 0
    }

    /// Bytes that wait for the disk, or for the slowest replica.
    fn waiting_bytes(&self) -> usize {
        self.job_bytes + lock(&self.collector).waiting_bytes()
    }

    /// True as long as there is somebody who is waited for: a replica that reads slowly holds nobody back.
    fn has_file(&self) -> bool {
        matches!(self.sink, Sink::File(_))
    }
}

/// Figures of the snapshot that is being made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Keys that have been kept.
    pub keys_done: usize,
    /// Keys there were when it began.
    pub keys: usize,
    /// Monotonic milliseconds at which it began.
    pub began_ms: u64,
    /// Bytes that wait for the disk.
    pub waiting_bytes: usize,
}

/// The snapshots of a server.
#[derive(Debug, Default)]
pub struct Snapshots {
    running: Option<Box<Running>>,
    /// One is to begin as soon as none is running.
    pub scheduled: bool,
    /// The dump file holds what FLUSHALL has removed since: it must not stay when the server ends.
    is_outlived: bool,
    /// Clients that a snapshot has put on hold may try again.
    pub releases: bool,
    /// What became of the last snapshot for a log, until the log takes it.
    pub log_base: Option<Outcome>,
    /// Unix seconds of the last dump file; `None` before the first.
    pub saved_unix_s: Option<i64>,
    /// `Stats::dirty` as of the last dump file.
    pub saved_changes: u64,
    /// Unix seconds at which one was last tried in the background.
    tried_unix_s: i64,
    /// Whether the last one could not be saved, and why.
    pub failure: Option<String>,
    /// How many in a row could not be saved.
    pub failures: u64,
    /// Seconds that the last one took.
    pub took_s: Option<u64>,
    /// How many have begun.
    pub saves: u64,
    /// Bytes of the last one.
    pub file_bytes: u64,
    /// Nanoseconds of the longest slice of the last one, or of the one that is being made.
    pub slice_ns_max: u64,
    /// Most bytes that have waited for the disk, in the last one or the one that is being made.
    pub waiting_bytes_max: usize,
    /// Makes the names of temporary files unique.
    serial: u64,
}

impl Snapshots {
    /// True from the beginning of a snapshot until the next one could begin.
    #[inline]
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// True while a dump file is being made.
    pub fn is_dumping(&self) -> bool {
        self.is_for(Purpose::Dump)
    }

    /// True while a snapshot for this purpose is being made, or given up.
    pub fn is_for(&self, purpose: Purpose) -> bool {
        self.running.as_ref().is_some_and(|running| running.purpose == purpose)
    }

    /// Figures of the one that is being made.
    pub fn progress(&self) -> Option<Progress> {
        self.running.as_ref().map(|running| {
            let keys_done = lock(&running.collector).keys();
            let (keys, began_ms) = (running.keys, running.began.mono_ms());
            Progress { keys_done, keys, began_ms, waiting_bytes: running.waiting_bytes() }
        })
    }

    /// Bytes that wait for the disk; 0 if no snapshot is being made.
    pub fn waiting_bytes(&self) -> usize {
        self.running.as_ref().map_or(0, |running| running.waiting_bytes())
    }

    /// The dump file could not even be begun.
    pub fn note_refused(&mut self, why: String, now: Now) {
        (self.scheduled, self.failure, self.tried_unix_s) = (false, Some(why), now.unix_s());
        self.failures += 1;
    }

    /// True if a save that failed was so short a time ago that no save point is heeded.
    pub fn is_backing_off(&self, now: Now) -> bool {
        self.failure.is_some() && now.unix_s() - self.tried_unix_s <= RETRY_S
    }
}

/// Beginning and ending.
impl Server {
    /// Begins a snapshot of what is in the databases now, to be written to a file. O(databases made).
    ///
    /// # Errors
    /// Another one is not over.
    pub fn begin_snapshot(&mut self, purpose: Purpose, frame: Frame, path: PathBuf, now: Now) -> Result<(), Busy> {
        if self.persistence.snapshots.is_running() {
            return Err(Busy);
        }
        let (collector, keys) = self.new_collector(purpose, frame, now);
        let sink = Sink::File(Arc::new(Shared::new(self.snapshot_plan(purpose, frame, path))));
        self.begin_walk(purpose, (collector, keys), sink, true, now);
        if purpose == Purpose::Dump {
            let snapshots = &mut self.persistence.snapshots;
            snapshots.saves += 1;
            snapshots.tried_unix_s = now.unix_s();
        }
        Ok(())
    }

    /// Has all databases take part in a snapshot of so many keys from now on, if it is to have data at all.
    fn begin_walk(
        &mut self,
        purpose: Purpose,
        (collector, keys): (Collector, usize),
        sink: Sink,
        has_data: bool,
        now: Now,
    ) {
        let collector = Arc::new(Mutex::new(collector));
        let mut parts_left = 0;
        for place in self.dbs.places() {
            if has_data && !self.dbs[place].is_empty() {
                let number = self.dbs.number(place);
                self.dbs[place].begin_snapshot(number, collector.clone());
                parts_left += 1;
            }
        }
        let running = Running {
            purpose,
            collector,
            sink,
            parts_left,
            retired: Vec::new(),
            wanted: VecDeque::new(),
            unsubmitted: 0,
            jobs: 0,
            job_bytes: 0,
            is_ended: false,
            outcome: None,
            began: now,
            changes: self.stats.dirty,
            keys,
        };
        let snapshots = &mut self.persistence.snapshots;
        (snapshots.slice_ns_max, snapshots.waiting_bytes_max) = (0, 0);
        snapshots.running = Some(Box::new(running));
    }

    /// Begins to save the dump file in the background.
    ///
    /// # Errors
    /// A snapshot is being made.
    pub fn begin_dump(&mut self, now: Now) -> Result<(), Busy> {
        self.begin_snapshot(Purpose::Dump, self.dump_frame(), PathBuf::from(&self.config.dbfilename), now)?;
        self.persistence.snapshots.scheduled = false;
        log::info!("Background saving started");
        Ok(())
    }

    /// What a dump file is put in, as the settings have it.
    pub fn dump_frame(&self) -> Frame {
        Frame::Dump { compress: self.config.rdbcompression, checksum: self.config.rdbchecksum }
    }

    fn snapshot_plan(&mut self, purpose: Purpose, frame: Frame, path: PathBuf) -> Plan {
        let snapshots = &mut self.persistence.snapshots;
        snapshots.serial += 1;
        let name = directory::temporary_of_process(&path, std::process::id(), snapshots.serial);
        Plan {
            storage: Arc::clone(&self.persistence.storage),
            // Beside the file that it will be: a name moves only within a file system.
            temporary: path.parent().unwrap_or(Path::new("")).join(name),
            path,
            frame,
            syncs_on_the_way: match purpose {
                Purpose::Dump | Purpose::Replicas => self.config.rdb_save_incremental_fsync,
                Purpose::LogBase | Purpose::Backup => self.config.aof_rewrite_incremental_fsync,
            },
        }
    }

    /// What makes the bytes of a snapshot of what there is now, and how many keys that are. What was passed on up to now comes
    /// before it in the stream.
    fn new_collector(&mut self, purpose: Purpose, frame: Frame, now: Now) -> (Collector, usize) {
        self.distribute(now);
        let form = match frame {
            Frame::Dump { compress, checksum } => {
                let has_element_deadlines = self.dbs.iter().any(|db| db.timed_collections() > 0);
                let forced = Version::of_number(self.config.rdb_format_version.into());
                let has_producers = self.dbs.iter().any(|db| db.knows_producers);
                let version = forced.unwrap_or(Version::lowest(has_element_deadlines, has_producers));
                let (has_own_forms, accesses) = (forced.is_none(), self.accesses_told(now));
                Form::Dump(Options { version, has_own_forms, compress, checksum, accesses })
            }
            Frame::Commands { .. } => {
                Form::Commands { unix_s: self.config.aof_timestamp_enabled.then_some(now.unix_s()) }
            }
        };
        let code = self.scripting.code_to_keep(self.config.script_persist);
        self.collector_of(form, purpose, &code, true, now)
    }

    /// What is told of the accesses of keys.
    fn accesses_told(&self, now: Now) -> Option<Accesses> {
        let (clock, policy) = (AccessClock::at(now), self.config.maxmemory_policy);
        if policy.is_frequency() {
            Some(Accesses::Counts(clock, self.counting()))
        } else {
            (policy.is_recency() || policy.is_modification()).then_some(Accesses::Idle(clock))
        }
    }

    fn collector_of(
        &self,
        form: Form,
        purpose: Purpose,
        code: &Code<'_>,
        has_data: bool,
        now: Now,
    ) -> (Collector, usize) {
        let head = Head {
            redis_version: REDIS_VERSION,
            unix_s: now.unix_s().max(0) as u64,
            used_bytes: alloc::allocated_bytes() as u64,
            is_aof_base: matches!(purpose, Purpose::LogBase | Purpose::Backup),
            origin: self.origin_of_data(),
        };
        let size = |db: &Db| Size { keys: db.len(), timed: db.timed() };
        let with_keys = self.dbs.with_keys().into_iter().filter(|_| has_data);
        let sizes: BTreeMap<usize, Size> = with_keys.map(|(number, db)| (number, size(db))).collect();
        let keys = sizes.values().map(|size| size.keys).sum();
        (Collector::new(form, &head, code, sizes), keys)
    }

    /// Which history the data is of, if that is worth knowing: somebody may go on with it.
    fn origin_of_data(&self) -> Option<Origin<'_>> {
        let replication = &self.replication;
        let is_kept = replication.backlog.is_some() || replication.is_following();
        is_kept.then(|| Origin {
            stream_db: match &replication.following {
                Some(following) => self.dbs.number(following.db),
                None => self.propagation.selected().unwrap_or(0),
            },
            id: &replication.history.id,
            offset: replication.history.offset,
        })
    }

    /// Gives up the snapshot for this purpose. False if none is being made.
    pub fn cancel_snapshot(&mut self, purpose: Purpose) -> bool {
        match self.persistence.snapshots.running.take_if(|running| running.purpose == purpose) {
            Some(mut running) => {
                self.give_up(&mut running, Outcome::Cancelled);
                self.persistence.snapshots.running = Some(running);
                true
            }
            None => false,
        }
    }

    /// All databases were emptied: a dump file that is being made would bring back what is gone, so it is given up, and if there
    /// are save points the empty data set is saved in its place. The snapshot for a log goes on: the log says what came after.
    // COMPAT: Redis saves before it answers. Here that begins within the turn, for the loop does not wait for the disk.
    pub fn replace_dump(&mut self) {
        self.cancel_snapshot(Purpose::Dump);
        if !self.config.save.is_empty() && !self.is_loading() {
            (self.persistence.snapshots.scheduled, self.persistence.snapshots.is_outlived) = (true, true);
        }
    }

    /// Has a snapshot go on without writing, until the next one can begin.
    fn give_up(&mut self, running: &mut Running, outcome: Outcome) {
        if running.outcome.is_some() {
            return;
        }
        running.outcome = Some(outcome);
        let spent = {
            let mut collector = lock(&running.collector);
            collector.be_quiet();
            collector.take_spent()
        };
        spent.into_iter().for_each(|entry| self.discard(entry));
        if let Sink::File(shared) = &running.sink {
            shared.cancel();
            // A job that finds it cancelled removes the file.
            running.unsubmitted += 1;
        }
        running.wanted.clear();
        self.persistence.snapshots.releases = true;
        // Their entries need no marks any more.
        running.parts_left -= running.retired.len();
        let retired = std::mem::take(&mut running.retired);
        retired.into_iter().for_each(|db| self.free_db(db));
    }

    /// Has the helper thread free a database, which counts as its keys.
    pub(super) fn free_db(&mut self, mut db: Db) {
        // Only where there is a limit does it matter how much is going to be free.
        let bytes = if self.config.maxmemory.bytes == 0 { 0 } else { db.estimated_bytes(&mut self.prng) };
        let objects = db.len();
        self.background.free_load(Box::new(db), Load { objects, bytes });
    }

    /// Frees a database that has been replaced by an empty one: when the snapshot has walked it, if it is part of one.
    pub fn retire_db(&mut self, db: Db) {
        match &mut self.persistence.snapshots.running {
            Some(running) if db.snapshot_number().is_some() => {
                if running.outcome.is_none() {
                    return running.retired.push(db);
                }
                running.parts_left -= 1;
            }
            _ => {}
        }
        self.free_db(db);
    }

    /// Takes note of what a job has done.
    pub fn note_snapshot(&mut self, done: Done) {
        let Some(mut running) = self.persistence.snapshots.running.take() else { return };
        running.jobs -= 1;
        running.job_bytes -= done.piece_bytes;
        match done.wrote {
            Wrote::More => {}
            // Also if it was cancelled too late.
            Wrote::Finished(bytes) => running.outcome = Some(Outcome::Saved(bytes)),
            Wrote::Failed(error) => self.give_up(&mut running, Outcome::Failed(error.to_string())),
        }
        self.persistence.snapshots.running = Some(running);
    }

    /// Ends the snapshot if nothing of it is left to be done.
    fn end_snapshot_if_over(&mut self, now: Now) {
        let snapshots = &mut self.persistence.snapshots;
        if !snapshots.running.as_ref().is_some_and(|running| running.is_over()) {
            return;
        }
        let Some(running) = snapshots.running.take() else { return };
        snapshots.releases = true;
        let outcome = running.outcome.expect("it is over, so it is known what became of it");
        match running.purpose {
            Purpose::Dump => self.note_dump(outcome, running.changes, running.began, now),
            Purpose::LogBase => snapshots.log_base = Some(outcome),
            Purpose::Backup => self.backup_base_ended(outcome),
            Purpose::Replicas => self.note_replica_snapshot(outcome),
        }
    }

    /// Takes note of what became of a dump file.
    fn note_dump(&mut self, outcome: Outcome, changes: u64, began: Now, now: Now) {
        let snapshots = &mut self.persistence.snapshots;
        let took_s = now.mono_ms().saturating_sub(began.mono_ms()) / 1000;
        match outcome {
            Outcome::Saved(bytes) => {
                (snapshots.saved_unix_s, snapshots.saved_changes) = (Some(now.unix_s()), changes);
                (snapshots.failure, snapshots.failures) = (None, 0);
                // One that was too late to be given up is older than the flush, after which the next one has not begun.
                snapshots.is_outlived &= snapshots.scheduled;
                (snapshots.took_s, snapshots.file_bytes) = (Some(took_s), bytes);
                log::info!("Background saving terminated with success: {bytes} bytes");
            }
            Outcome::Failed(why) => {
                log::error!("Background saving error: {why}");
                (snapshots.failure, snapshots.took_s) = (Some(why), Some(took_s));
                snapshots.failures += 1;
            }
            Outcome::Cancelled => log::warn!("Background saving cancelled"),
        }
    }
}
