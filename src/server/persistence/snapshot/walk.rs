//! The walk over the databases, slice by slice.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::jobs::{Shared, lock};
use super::{Outcome, Running, SLICE_STEPS_MAX, Sink, WALK_BYTES_MAX};
use crate::base::clock::{Clock, Now};
use crate::persist::snapshot::Collector;
use crate::server::Server;
use crate::server::background::Completion;
use crate::store::db::Db;

/// Jobs that wait for the helper thread at most: others need its queue, too.
const JOBS_MAX: usize = 64;

/// When a slice ends.
struct Slice {
    clock: Rc<dyn Clock>,
    ends_ns: u64,
    steps: Cell<usize>,
    /// Bytes that may wait for the disk.
    bytes_max: usize,
    /// Bytes that wait, apart from those that the collector has.
    job_bytes: usize,
}

impl Slice {
    /// True as long as there is time.
    fn has_time(&self) -> bool {
        let steps = self.steps.get();
        self.steps.set(steps.saturating_sub(1));
        // The first step is always taken: so there is an end to it, however short the slices are.
        steps == SLICE_STEPS_MAX || (steps > 0 && self.clock.mono_ns() < self.ends_ns)
    }

    /// True as long as the disk keeps up.
    fn has_room(&self, collected_bytes: usize) -> bool {
        self.job_bytes + collected_bytes <= self.bytes_max
    }
}

/// What became of a step.
#[derive(PartialEq, Eq)]
enum Step {
    /// Something was done.
    Done,
    /// Nothing can be done now: all is walked, or what is left is not here.
    Nothing,
}

impl Server {
    /// Goes on with the snapshot that is being made, for so many nanoseconds. True if it could go on at once.
    pub fn walk_snapshot(&mut self, slice_ns: u64, now: Now) -> bool {
        let Some(mut running) = self.persistence.snapshots.running.take() else { return false };
        let began_ns = self.clock.mono_ns();
        self.note_replica_outputs(&mut running);
        let more = !running.is_ended && self.walk_slice(&mut running, began_ns + slice_ns);
        let failure = lock(&running.collector).take_failure();
        if let Some(failure) = failure {
            self.give_up(&mut running, Outcome::Failed(failure.to_string()));
        }
        if !running.is_ended && !running.is_walking() {
            running.is_ended = true;
            self.persistence.snapshots.releases = true;
            if running.outcome.is_none() {
                lock(&running.collector).end();
            }
        }
        let snapshots = &mut self.persistence.snapshots;
        snapshots.waiting_bytes_max = snapshots.waiting_bytes_max.max(running.waiting_bytes());
        let file = match &running.sink {
            Sink::File(shared) => Some(Arc::clone(shared)),
            Sink::Replicas(_) => None,
        };
        match file {
            Some(file) => self.submit_pieces(&mut running, &file),
            None => self.send_pieces(&mut running, now),
        }
        let snapshots = &mut self.persistence.snapshots;
        snapshots.slice_ns_max = snapshots.slice_ns_max.max(self.clock.mono_ns() - began_ns);
        // Those on hold because of what waited for the disk look again whenever some has gone.
        snapshots.releases |= !self.clients.held.is_empty() && running.waiting_bytes() <= WALK_BYTES_MAX;
        // Whoever may try again does so at the beginning of a turn.
        let more = (more && !running.is_ended) || (snapshots.releases && !self.clients.held.is_empty());
        snapshots.running = Some(running);
        self.end_snapshot_if_over(now);
        more
    }

    /// Hands the pieces that are whole over to the helper thread.
    fn submit_pieces(&mut self, running: &mut Running, file: &Arc<Shared>) {
        let mut collector = lock(&running.collector);
        while let Some(piece) = collector.take_piece() {
            running.job_bytes += piece.bytes();
            file.push(piece);
            running.unsubmitted += 1;
        }
        while running.unsubmitted > 0 && running.jobs < JOBS_MAX {
            let shared = Arc::clone(file);
            // The next turn submits the others, also should the queue be full.
            if self.background.submit(move || Completion::Snapshot(shared.run())).is_none() {
                break;
            }
            running.unsubmitted -= 1;
            running.jobs += 1;
        }
    }

    /// Walks until the slice is over; true if it ended for want of time.
    fn walk_slice(&mut self, running: &mut Running, ends_ns: u64) -> bool {
        let shared = Arc::clone(&running.collector);
        let mut collector = lock(&shared);
        let slice = Slice {
            clock: Rc::clone(&self.clock),
            ends_ns,
            steps: Cell::new(SLICE_STEPS_MAX),
            bytes_max: match &running.sink {
                _ if running.outcome.is_some() => usize::MAX,
                Sink::File(_) => WALK_BYTES_MAX,
                // What somebody waits for is taken however slowly replicas read.
                Sink::Replicas(_) if !running.wanted.is_empty() => usize::MAX,
                Sink::Replicas(_) => self.replica_walk_bytes(),
            },
            job_bytes: running.job_bytes,
        };
        loop {
            if !slice.has_time() {
                return true;
            }
            if !slice.has_room(collector.waiting_bytes()) {
                return false;
            }
            let step = if collector.midway().is_some() {
                self.go_on_midway(running, &mut collector, &slice)
            } else if let Some((place, key)) = running.wanted.pop_front() {
                self.take_wanted(place, &key, &mut collector);
                Step::Done
            } else {
                self.walk_part(running, &mut collector, &slice)
            };
            if step == Step::Nothing {
                return false;
            }
        }
    }

    /// Goes on with the value that is written piece by piece.
    fn go_on_midway(&mut self, running: &mut Running, collector: &mut Collector, slice: &Slice) -> Step {
        let Some((number, key)) = collector.midway().map(|(number, key)| (number, key.to_vec())) else {
            return Step::Nothing;
        };
        let is_it = |db: &Db| db.snapshot_number() == Some(number);
        let place = self.dbs.places().find(|&place| is_it(&self.dbs[place]));
        let db = match place {
            Some(place) => Some(&mut self.dbs[place]),
            None => running.retired.iter_mut().find(|db| is_it(db)),
        };
        let is_adopted = collector.is_adopted();
        let done = {
            let entry = db.as_ref().filter(|_| !is_adopted).and_then(|db| db.peek(&key));
            if !is_adopted && entry.is_none() {
                // Its database was emptied, and is still looked at for queries.
                return Step::Nothing;
            }
            loop {
                if collector.go_on(entry.as_deref()) {
                    break true;
                }
                if !slice.has_time() || !slice.has_room(collector.waiting_bytes()) {
                    break false;
                }
            }
        };
        if done {
            if let Some(db) = db.filter(|_| !is_adopted) {
                db.note_kept(&key);
            }
            collector.take_spent().into_iter().for_each(|entry| self.discard(entry));
            self.persistence.snapshots.releases = true;
        }
        Step::Done
    }

    /// Takes a key that somebody waits for.
    fn take_wanted(&mut self, place: usize, key: &[u8], collector: &mut Collector) {
        let db = &mut self.dbs[place];
        let kept = match (db.snapshot_number(), db.unsaved(key)) {
            (Some(number), Some(entry)) => collector.pass(number, &entry),
            _ => true,
        };
        if kept {
            db.note_kept(key);
            self.persistence.snapshots.releases = true;
        }
    }

    /// Goes on with a database that has not been walked to its end.
    fn walk_part(&mut self, running: &mut Running, collector: &mut Collector, slice: &Slice) -> Step {
        let place = self.dbs.places().find(|&place| self.dbs[place].snapshot_number().is_some());
        let db = match place {
            Some(place) => &mut self.dbs[place],
            None => match running.retired.last_mut() {
                Some(db) => db,
                None => return Step::Nothing,
            },
        };
        let Some(number) = db.snapshot_number() else { return Step::Nothing };
        let collected_bytes = Cell::new(0);
        let keep = |entry: &_| {
            let kept = collector.pass(number, entry);
            collected_bytes.set(collector.waiting_bytes());
            kept
        };
        if db.walk_snapshot(keep, || slice.has_room(collected_bytes.get()) && slice.has_time()) {
            running.parts_left -= 1;
            if place.is_none()
                && let Some(db) = running.retired.pop()
            {
                self.free_db(db);
            }
        }
        Step::Done
    }
}
