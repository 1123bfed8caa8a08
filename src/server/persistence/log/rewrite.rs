//! Rewrites: when one begins, how far it is, what becomes of it. The module above tells the whole way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::jobs::{self, DiskError, Done};
use super::tail::Tail;
use super::{Log, Standing};
use crate::base::clock::Now;
use crate::config::Config;
use crate::persist::aof::batch::HEAD;
use crate::persist::aof::manifest::{LogFile, Manifest, TEMP_PREFIX};
use crate::persist::directory;
use crate::persist::snapshot::file::Frame;
use crate::server::Server;
use crate::server::persistence::snapshot::{Outcome, Purpose};
use crate::sys::bg::JobId;
use crate::sys::error_text;

/// Failures in a row after which rewrites that nobody asked for wait, as in Redis.
const FAILURES_MAX: u64 = 3;
/// Minutes that they wait at first, and at most.
const DELAY_MINUTES: std::ops::RangeInclusive<u64> = 1..=60;
/// Milliseconds between two tries to begin a log, at first and at most; doubled each time.
const ANEW_RETRY_MS: std::ops::RangeInclusive<u64> = 1000..=60_000;

/// What became of the wish for a rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// It has begun.
    Started,
    /// It will begin when what is under way is over.
    Scheduled,
    /// One was under way already.
    Running,
}

/// A rewrite that has begun.
#[derive(Debug)]
struct Plan {
    /// What will be written from the moment of the base on; `None` if there is no log.
    increment: Option<Increment>,
    /// Its batches have ends.
    has_ends: bool,
    base: LogFile,
    /// What the base is: a dump file, or commands.
    frame: Frame,
    base_bytes: u64,
}

#[derive(Debug)]
enum Increment {
    /// An increment of the log that there is, and the manifest that names it.
    Next(LogFile, Box<Manifest>),
    /// The log begins anew: a file that no manifest names, and the position at which it begins.
    Anew(PathBuf, u64),
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// The helper makes the increment.
    Preparing(Plan),
    /// It is made. The snapshot begins with the next turn that leaves nothing to be written.
    Prepared(Plan),
    /// The snapshot is being made.
    Saving(Plan),
    /// The helper puts the manifest in place.
    Committing(Plan, Box<Manifest>),
}

/// The rewrites of a log.
#[derive(Debug, Default)]
pub struct Rewrites {
    stage: Stage,
    /// What the helper does for this stage, or has done for the last one.
    job: Option<JobId>,
    /// One is to begin as soon as no snapshot is being made.
    pub scheduled: bool,
    /// The log is to begin anew, from this monotonic millisecond on.
    anew_ms: Option<u64>,
    anew_tries: u32,
    /// Rewrites that have begun.
    pub count: u64,
    /// Those that have failed since the last one that did not.
    pub failures: u64,
    /// The last one has failed.
    pub has_failed: bool,
    /// Seconds that the last one took.
    pub took_s: Option<u64>,
    /// Monotonic milliseconds at which the present one began.
    pub began_ms: Option<u64>,
    delay_minutes: u64,
    delayed_until_ms: u64,
    /// The helper removes old files.
    pub(in crate::server) is_cleaning: bool,
    /// The base of a rewrite that was cancelled, whose snapshot is not over.
    abandoned: Option<PathBuf>,
    /// Files of rewrites that came to nothing. A manifest that names them may be on the disk, so they stay until another one is.
    leftovers: Vec<PathBuf>,
    /// The greatest numbers that files of rewrites have got, whatever became of those.
    base_used: u64,
    increment_used: u64,
    /// The position up to which a file is on the disk that has no base yet.
    unestablished: u64,
}

impl Rewrites {
    pub(super) fn is_idle(&self) -> bool {
        let rests = !self.scheduled && self.anew_ms.is_none() && !self.is_cleaning && self.abandoned.is_none();
        rests && matches!(self.stage, Stage::Idle)
    }

    /// True from the beginning of a rewrite to its end.
    pub fn is_running(&self) -> bool {
        !matches!(self.stage, Stage::Idle)
    }

    /// The log begins anew, at once.
    pub(super) fn begin_anew(&mut self, now: Now) {
        self.abandon();
        self.unestablished = 0;
        self.anew_ms = Some(now.mono_ms());
    }

    fn abandon(&mut self) {
        if let Stage::Saving(plan) = &self.stage {
            self.abandoned = Some(PathBuf::from(&plan.base.name));
        }
        self.leave_stage();
        self.began_ms = None;
    }

    /// Nothing is under way any more. What may be there of it is remembered.
    fn leave_stage(&mut self) {
        let (plan, manifest) = match std::mem::take(&mut self.stage) {
            Stage::Idle => return,
            Stage::Preparing(plan) | Stage::Prepared(plan) | Stage::Saving(plan) => (plan, None),
            Stage::Committing(plan, manifest) => (plan, Some(manifest)),
        };
        self.leftovers.push(PathBuf::from(plan.base.name));
        match plan.increment {
            None => {}
            Some(Increment::Next(file, _)) => self.leftovers.push(PathBuf::from(file.name)),
            Some(Increment::Anew(path, _)) => {
                self.leftovers.extend(path.file_name().map(PathBuf::from));
                // It may have its name already.
                let named = manifest.and_then(|manifest| manifest.increments().last().map(|file| file.name.clone()));
                self.leftovers.extend(named.map(PathBuf::from));
            }
        }
    }

    pub(super) fn cancel(&mut self) {
        self.abandon();
        (self.anew_ms, self.scheduled, self.unestablished) = (None, false, 0);
    }

    pub(super) fn unestablished_synced(&self) -> u64 {
        self.unestablished
    }

    pub(super) fn note_unestablished(&mut self, upto: u64) {
        self.unestablished = self.unestablished.max(upto);
    }

    /// True while a file that is written to gets another name: who would open it by the old one now, would make a new one.
    pub(super) fn is_renaming(&self) -> bool {
        matches!(&self.stage, Stage::Committing(Plan { increment: Some(Increment::Anew(..)), .. }, _))
    }

    /// True if rewrites have failed too often for another one that nobody asked for.
    fn is_limited(&mut self, now_ms: u64) -> bool {
        if self.failures < FAILURES_MAX {
            self.delay_minutes = 0;
            return false;
        }
        if self.delay_minutes == 0 || (now_ms >= self.delayed_until_ms && self.began_ms.is_some()) {
            let (first, last) = DELAY_MINUTES.into_inner();
            self.delay_minutes = (self.delay_minutes * 2).clamp(first, last);
            self.delayed_until_ms = now_ms + self.delay_minutes * 60_000;
            log::warn!(
                "Background AOF rewrite has repeatedly failed and triggered the limit, will retry in {} minutes",
                self.delay_minutes
            );
        }
        now_ms < self.delayed_until_ms
    }

    fn fail(&mut self, what: &str, now: Now) {
        log::error!("Background AOF rewrite failed: {what}");
        self.leave_stage();
        (self.has_failed, self.took_s) = (true, self.seconds(now));
        self.failures += 1;
        self.began_ms = None;
    }

    /// True if one is to begin as soon as that is possible.
    pub fn is_pending(&self) -> bool {
        self.scheduled || self.anew_ms.is_some()
    }

    /// Seconds since the present one began.
    pub fn seconds(&self, now: Now) -> Option<u64> {
        self.began_ms.map(|began_ms| now.mono_ms().saturating_sub(began_ms) / 1000)
    }
}

impl Log {
    /// True if the log has grown so much since the last rewrite that another one is due.
    fn is_rewrite_due(&self, config: &Config) -> bool {
        let percent = u64::from(config.auto_aof_rewrite_percentage);
        let (bytes, base) = (self.bytes(), self.base_bytes.max(1));
        percent > 0
            && self.standing == Standing::On
            && bytes > config.auto_aof_rewrite_min_size
            && u128::from(bytes) * 100 / u128::from(base) >= u128::from(100 + percent)
    }
}

impl Server {
    /// Begins a rewrite, as BGREWRITEAOF asks for; `later` if not now in any case.
    pub fn ask_for_rewrite(&mut self, later: bool, now: Now) -> Rewrite {
        let is_saving = self.persistence.snapshots.is_running();
        let rewrites = &mut self.persistence.log.rewrites;
        if rewrites.is_running() {
            return Rewrite::Running;
        }
        // Whoever asks for it gets it, however often it has failed.
        rewrites.failures = 0;
        if later || is_saving || rewrites.is_cleaning || rewrites.anew_ms.is_some() {
            rewrites.scheduled = true;
            return Rewrite::Scheduled;
        }
        self.begin_rewrite(now);
        Rewrite::Started
    }

    /// Moves a rewrite on. True if its snapshot has just begun.
    pub(super) fn rewrite_turn(&mut self, now: Now) -> bool {
        match &self.persistence.log.rewrites.stage {
            // The data is not what it will be, and a unit is not whole.
            Stage::Idle | Stage::Prepared(_) if self.scripting.is_parked() => {}
            Stage::Prepared(_) if self.jobs.are_amid_changes() => self.jobs.is_whole_wanted = true,
            Stage::Idle => self.begin_rewrite_if_due(now),
            Stage::Prepared(_) => {
                self.switch_if_possible(now);
                return self.persistence.snapshots.is_running();
            }
            Stage::Saving(_) => {
                if let Some(outcome) = self.persistence.snapshots.log_base.take() {
                    self.base_ended(outcome, now);
                }
            }
            Stage::Preparing(_) | Stage::Committing(..) => {}
        }
        false
    }

    fn begin_rewrite_if_due(&mut self, now: Now) {
        let (is_saving, now_ms) = (self.persistence.snapshots.is_running(), now.mono_ms());
        if let Some(outcome) = self.persistence.snapshots.log_base.take() {
            self.remove_abandoned(&outcome);
        }
        let log = &mut self.persistence.log;
        if is_saving || log.rewrites.is_cleaning {
            return;
        }
        if let Some(anew_ms) = log.rewrites.anew_ms {
            if now_ms >= anew_ms {
                self.begin_rewrite(now);
            }
        } else if log.rewrites.scheduled {
            if !log.rewrites.is_limited(now_ms) {
                self.begin_rewrite(now);
            }
        } else if log.is_rewrite_due(&self.config) && log.failure.is_none() && !log.rewrites.is_limited(now_ms) {
            let growth = u128::from(log.bytes()) * 100 / u128::from(log.base_bytes.max(1)) - 100;
            log::info!("Starting automatic rewriting of AOF on {growth}% growth");
            self.begin_rewrite(now);
        }
    }

    fn begin_rewrite(&mut self, now: Now) {
        if self.persistence.log.standing == Standing::Off {
            // Somebody may have been at work there, and names must not come twice.
            let (storage, dir) = (&self.persistence.storage, Path::new(&self.config.appenddirname));
            match directory::read_manifest(&**storage, dir, &self.config.appendfilename) {
                Ok(manifest) => self.persistence.log.manifest = manifest.unwrap_or_default(),
                Err(error) => return self.rewrite_failed(&error, now),
            }
        }
        let (storage, stem) = (Arc::clone(&self.persistence.storage), self.config.appendfilename.clone());
        let dump_frame = self.dump_frame();
        let (dir, log) = (PathBuf::from(&self.config.appenddirname), &mut self.persistence.log);
        let has_ends = self.config.aof_batch_checksums;
        let is_rdb = self.config.aof_use_rdb_preamble;
        let base = log.manifest.next_base(&stem, is_rdb, log.rewrites.base_used);
        log.rewrites.base_used = base.seq;
        let increment = match log.standing {
            Standing::Off => None,
            Standing::On => {
                let mut next = Box::new(log.manifest.clone());
                let file = next.begin_increment(&stem, log.rewrites.increment_used).clone();
                log.rewrites.increment_used = file.seq;
                Some(Increment::Next(file, next))
            }
            Standing::Beginning { .. } | Standing::GivenUp => {
                // Of another name each time: the helper may still have that of the last try open, to put it on the disk.
                let count = log.rewrites.count;
                Some(Increment::Anew(dir.join(format!("{TEMP_PREFIX}{stem}.{count}.incr")), 0))
            }
        };
        let (path, manifest) = match &increment {
            None => (None, None),
            Some(Increment::Next(file, manifest)) => (Some(dir.join(&file.name)), Some(manifest.clone())),
            Some(Increment::Anew(path, _)) => (Some(path.clone()), None),
        };
        let head = if has_ends { HEAD } else { b"" };
        let frame = if is_rdb { dump_frame } else { Frame::Commands { has_ends } };
        let job = move || {
            let manifest = manifest.as_ref().map(|manifest| (&**manifest, &*stem));
            Done::Prepared(jobs::prepare(&*storage, &dir, path.as_deref(), head, manifest))
        };
        let rewrites = &mut log.rewrites;
        rewrites.job = log.thread.submit(job);
        if rewrites.job.is_none() {
            // The next turn tries again.
            rewrites.scheduled = true;
            return;
        }
        rewrites.stage = Stage::Preparing(Plan { increment, has_ends, base, frame, base_bytes: 0 });
        (rewrites.scheduled, rewrites.began_ms) = (false, Some(now.mono_ms()));
        rewrites.count += 1;
        log::info!("Background append only file rewriting started");
    }

    /// Takes note of what the helper thread has done for a rewrite.
    pub(super) fn note_rewrite(&mut self, job: JobId, done: Done, now: Now) {
        let log = &mut self.persistence.log;
        let is_stage = matches!(done, Done::Prepared(_) | Done::Committed(_));
        if is_stage && log.rewrites.job != Some(job) {
            // It was for a rewrite that was cancelled meanwhile.
            return;
        }
        match (done, std::mem::take(&mut log.rewrites.stage)) {
            (Done::Cleaned(removed, outcome), stage) => {
                let is_gone = |file: &LogFile| removed.contains(&file.name);
                log.manifest.forget(is_gone);
                (log.rewrites.stage, log.rewrites.is_cleaning) = (stage, false);
                if let Err(DiskError { doing, path, error }) = outcome {
                    log::warn!("Error {doing} {}: {error}; it is tried again after the next rewrite", path.display());
                }
            }
            (Done::Prepared(Ok(())), Stage::Preparing(plan)) => log.rewrites.stage = Stage::Prepared(plan),
            (Done::Committed(Ok(())), Stage::Committing(plan, manifest)) => self.rewrite_ended(plan, *manifest, now),
            (Done::Prepared(Err(error)), stage @ Stage::Preparing(_))
            | (Done::Committed(Err(error)), stage @ Stage::Committing(..)) => {
                log.rewrites.stage = stage;
                self.rewrite_failed(&format!("{} {}: {}", error.doing, error.path.display(), error.error), now);
            }
            (Done::Removed(outcome), stage) => {
                log.rewrites.stage = stage;
                if let Err(DiskError { doing, path, error }) = outcome {
                    log::warn!("Error {doing} {}: {error}", path.display());
                }
            }
            // It was cancelled meanwhile.
            (_, stage) => log.rewrites.stage = stage,
        }
    }

    /// In one moment the next increment becomes the file that is written to, and the base is begun.
    fn switch_if_possible(&mut self, now: Now) {
        if self.persistence.snapshots.is_running() {
            return;
        }
        let storage = Arc::clone(&self.persistence.storage);
        let (dir, log) = (PathBuf::from(&self.config.appenddirname), &mut self.persistence.log);
        let Stage::Prepared(plan) = &log.rewrites.stage else { return };
        let path = match &plan.increment {
            None => None,
            // What is pending belongs to the file before, and an fsync may keep it from being written yet.
            Some(Increment::Next(..)) if !log.pending.is_empty() => return,
            Some(Increment::Next(file, _)) => Some(dir.join(&file.name)),
            Some(Increment::Anew(path, _)) => Some(path.clone()),
        };
        let tail =
            path.as_deref().map(|path| Tail::open(&*storage, path, plan.has_ends).map_err(|error| (error, path)));
        let tail = match tail.transpose() {
            Ok(tail) => tail,
            Err((error, path)) => {
                let what = format!("opening {}: {}", path.display(), error_text(&error));
                return self.rewrite_failed(&what, now);
            }
        };
        let Stage::Prepared(mut plan) = std::mem::take(&mut log.rewrites.stage) else { return };
        match &mut plan.increment {
            None => {}
            Some(Increment::Next(_, manifest)) => {
                log.manifest = std::mem::take(manifest);
                if let Some(old) = std::mem::replace(&mut log.tail, tail) {
                    log.full_bytes += old.bytes;
                    if log.written > log.synced {
                        log.older.push(old.path);
                    }
                }
            }
            Some(Increment::Anew(_, position)) => {
                // All that is pending is in the base.
                log.drop_pending();
                (log.written, *position) = (log.collected, log.collected);
                log.rewrites.unestablished = log.collected;
                (log.tail, log.rewrites.anew_ms) = (tail, None);
            }
        }
        self.propagation.forget_selected();
        let (path, frame) = (dir.join(&plan.base.name), plan.frame);
        self.persistence.log.rewrites.stage = Stage::Saving(plan);
        if self.begin_snapshot(Purpose::LogBase, frame, path, now).is_err() {
            self.rewrite_failed("another snapshot is being made", now);
        }
    }

    /// The snapshot is over: the manifest names it.
    fn base_ended(&mut self, outcome: Outcome, now: Now) {
        let base_bytes = match outcome {
            Outcome::Saved(bytes) => bytes,
            Outcome::Failed(reason) => return self.rewrite_failed(&reason, now),
            Outcome::Cancelled => return self.rewrite_failed("it was cancelled", now),
        };
        let (storage, stem) = (Arc::clone(&self.persistence.storage), self.config.appendfilename.clone());
        let (dir, log) = (PathBuf::from(&self.config.appenddirname), &mut self.persistence.log);
        let Stage::Saving(plan) = std::mem::take(&mut log.rewrites.stage) else { return };
        let (mut manifest, mut moves) = (log.manifest.clone(), Vec::new());
        let first_kept = match &plan.increment {
            None => u64::MAX,
            Some(Increment::Next(file, _)) => file.seq,
            Some(Increment::Anew(path, _)) => {
                let file = manifest.begin_increment(&stem, log.rewrites.increment_used);
                log.rewrites.increment_used = file.seq;
                moves.push((path.clone(), dir.join(&file.name)));
                file.seq
            }
        };
        manifest.replace_base(plan.base.clone(), first_kept);
        let manifest = Box::new(manifest);
        let named = manifest.clone();
        let job = move || Done::Committed(jobs::commit(&*storage, &dir, &moves, &named, &stem));
        log.rewrites.job = log.thread.submit(job);
        if log.rewrites.job.is_some() {
            log.rewrites.stage = Stage::Committing(Plan { base_bytes, ..plan }, manifest);
        } else {
            log.rewrites.stage = Stage::Saving(plan);
            self.rewrite_failed("too much waits for the disk", now);
        }
    }

    fn rewrite_ended(&mut self, plan: Plan, manifest: Manifest, now: Now) {
        let dir = PathBuf::from(&self.config.appenddirname);
        let log = &mut self.persistence.log;
        log.manifest = manifest;
        if let Some(Increment::Anew(_, position)) = plan.increment {
            if let (Some(tail), Some(file)) = (&mut log.tail, log.manifest.increments().last()) {
                tail.path = dir.join(&file.name);
            }
            log.synced = position.max(log.rewrites.unestablished);
            log.rewrites.anew_tries = 0;
            if log.failure.take().is_some() {
                log::warn!("The append-only file has been made anew. The server can write again.");
            }
            log.standing = Standing::On;
        }
        log.full_bytes = plan.base_bytes;
        log.base_bytes = log.bytes();
        let rewrites = &mut log.rewrites;
        (rewrites.took_s, rewrites.has_failed, rewrites.failures) = (rewrites.seconds(now), false, 0);
        rewrites.began_ms = None;
        log::info!("Background AOF rewrite finished successfully");
        self.clean_history();
    }

    /// Has the files removed that the log no longer needs.
    pub fn clean_history(&mut self) {
        let (storage, stem) = (Arc::clone(&self.persistence.storage), self.config.appendfilename.clone());
        let (dir, log) = (PathBuf::from(&self.config.appenddirname), &mut self.persistence.log);
        let nothing = log.manifest.history().is_empty() && log.rewrites.leftovers.is_empty();
        if nothing || log.rewrites.is_running() || log.rewrites.is_cleaning {
            return;
        }
        let (manifest, leftovers) = (log.manifest.clone(), std::mem::take(&mut log.rewrites.leftovers));
        let job = move || jobs::clean(&*storage, &dir, &manifest, &leftovers, &stem);
        // Should the queue be full, they are removed after the next rewrite.
        log.rewrites.is_cleaning = log.thread.submit(job).is_some();
    }

    fn rewrite_failed(&mut self, what: &str, now: Now) {
        let log = &mut self.persistence.log;
        log.rewrites.fail(what, now);
        if matches!(log.standing, Standing::Beginning { .. } | Standing::GivenUp) {
            let (first, last) = ANEW_RETRY_MS.into_inner();
            let wait_ms = (first << log.rewrites.anew_tries.min(16)).min(last);
            log.rewrites.anew_tries += 1;
            log.rewrites.anew_ms = Some(now.mono_ms() + wait_ms);
            // What is written from here on will be in the base of the next try.
            log.tail = None;
            log.drop_pending();
        }
    }

    /// Removes the base of a rewrite that was cancelled.
    fn remove_abandoned(&mut self, outcome: &Outcome) {
        let log = &mut self.persistence.log;
        let Some(name) = log.rewrites.abandoned.take() else { return };
        if let Outcome::Saved(_) = outcome {
            let (storage, path) =
                (Arc::clone(&self.persistence.storage), Path::new(&self.config.appenddirname).join(name));
            log.thread.submit(move || {
                let removed = storage.remove(&path).map_err(DiskError::of("removing", &path));
                Done::Removed(removed)
            });
        }
    }
}
