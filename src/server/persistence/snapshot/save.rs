//! Saving at once, on the thread of the loop: SAVE, and the last snapshot before the end.

use std::path::PathBuf;

use super::{Outcome, Purpose, Sink};
use crate::base::clock::Now;
use crate::config::ShutdownOn;
use crate::persist::snapshot::Collector;
use crate::persist::snapshot::file::{Plan, SnapshotFile};
use crate::resp::error::ReplyError;
use crate::server::Server;

/// What SHUTDOWN is answered where the server cannot end.
pub const CANNOT_STOP: ReplyError = ReplyError::new("ERR Errors trying to SHUTDOWN. Check logs.");

impl Server {
    /// Saves the dump file, and returns when it is on the disk. Nobody is served meanwhile. O(data).
    ///
    /// # Errors
    /// What the disk said, or that the version of the format cannot hold the data, in words.
    pub fn save_now(&mut self, now: Now) -> Result<(), String> {
        let plan = self.snapshot_plan(Purpose::Dump, self.dump_frame(), PathBuf::from(&self.config.dbfilename));
        self.persistence.snapshots.saves += 1;
        let locked = self.lock_directory().map_err(|refused| refused.to_string());
        let saved = locked.and_then(|()| self.write_dump(&plan, now));
        let snapshots = &mut self.persistence.snapshots;
        match &saved {
            Ok(bytes) => {
                (snapshots.saved_unix_s, snapshots.saved_changes) = (Some(now.unix_s()), self.stats.dirty);
                (snapshots.failure, snapshots.failures, snapshots.file_bytes) = (None, 0, *bytes);
                snapshots.is_outlived = false;
                log::info!("DB saved on disk: {bytes} bytes");
            }
            Err(why) => log::error!("Error saving the DB on disk: {why}"),
        }
        saved.map(drop)
    }

    fn write_dump(&mut self, plan: &Plan, now: Now) -> Result<u64, String> {
        let (mut collector, _) = self.new_collector(Purpose::Dump, plan.frame, now);
        let mut file = SnapshotFile::create(plan).map_err(|error| error.to_string())?;
        let mut failure = None;
        for (number, db) in self.dbs.with_keys() {
            db.table().for_each(|entry| {
                if failure.is_some() {
                    return;
                }
                if !collector.pass(number, &entry) {
                    while failure.is_none() && !collector.go_on(Some(&entry)) {
                        failure = drain(&mut collector, &mut file).err();
                    }
                }
                failure = failure.take().or_else(|| drain(&mut collector, &mut file).err());
            });
        }
        if failure.is_none() {
            collector.end();
            failure = drain(&mut collector, &mut file).err();
        }
        match failure {
            None => file.finish().map_err(|error| error.to_string()),
            Some(why) => {
                file.abandon();
                Err(why)
            }
        }
    }

    /// What comes before the end of the process: the last snapshot, if there are save points or `how` asks for one. It is saved in
    /// any case if FLUSHALL has not replaced the dump file yet: what was flushed would be back at the next start.
    ///
    /// # Errors
    /// It could not be saved, and the end is not to be forced.
    pub fn prepare_shutdown(&mut self, how: ShutdownOn, now: Now) -> Result<(), ReplyError> {
        log::info!("User requested shutdown...");
        if self.is_loading() {
            // What has been loaded is not the data, and nothing has been changed.
            return Ok(());
        }
        let is_amid_changes = self.is_amid_changes();
        if is_amid_changes && how.save != Some(false) {
            log::warn!(
                "A script that has changed data is running: the server ends when it is through. SCRIPT KILL FORCE ends it before, \
                 SHUTDOWN NOSAVE gives up what it has changed."
            );
            self.scripting.shutdown = Some(how);
            return Err(CANNOT_STOP);
        }
        if self.persistence.log.is_on() && !self.persistence.log.is_established() {
            // What it has written so far is worth nothing without its base.
            if !how.force {
                log::warn!("Writing initial AOF, can't exit.");
                return Err(CANNOT_STOP);
            }
            log::warn!("Writing initial AOF. Exit anyway.");
        }
        if let Some(mut running) = self.persistence.snapshots.running.take() {
            log::warn!("A snapshot is being made, which is given up");
            self.give_up(&mut running, Outcome::Cancelled);
            if let Sink::File(shared) = &running.sink {
                // It must not take the name of the last one.
                shared.wait();
            }
            self.persistence.snapshots.running = Some(running);
        }
        if is_amid_changes {
            // Not the half of it.
            self.propagation.drop_unit();
            return Ok(());
        }
        let wanted = how.save.unwrap_or(!self.config.save.is_empty());
        if !wanted && !self.persistence.snapshots.is_outlived {
            return Ok(());
        }
        log::info!("Saving the final RDB snapshot before exiting.");
        match self.save_now(now) {
            Err(_) if how.force => log::error!("Error trying to save the DB. Exit anyway."),
            Err(_) => {
                log::error!("Error trying to save the DB, can't exit.");
                return Err(CANNOT_STOP);
            }
            Ok(()) => {}
        }
        Ok(())
    }
}

/// Writes the pieces that are whole.
fn drain(collector: &mut Collector, file: &mut SnapshotFile) -> Result<(), String> {
    if let Some(failure) = collector.take_failure() {
        return Err(failure.to_string());
    }
    while let Some(piece) = collector.take_piece() {
        file.write(piece).map_err(|error| error.to_string())?;
    }
    Ok(())
}
