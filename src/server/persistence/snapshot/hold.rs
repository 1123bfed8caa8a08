//! Clients that a snapshot puts on hold: those whose command would change what takes long to be kept first.

use super::{COMMAND_BYTES_MAX, HOLD_BYTES};
use crate::base::num;
use crate::command::Command;
use crate::command::spec::Access;
use crate::feature::client_id::ClientId;
use crate::persist::rdb::slices;
use crate::resp::args::Args;
use crate::server::Server;
use crate::server::databases::Databases;
use crate::server::transaction::Queued;

/// Keys that a command may change and that the snapshot does not have.
#[derive(Default)]
struct Unsaved {
    keys: Vec<(usize, Box<[u8]>)>,
    bytes: usize,
    is_large: bool,
}

impl Unsaved {
    fn add(&mut self, dbs: &Databases, place: usize, command: &Command, args: Args<'_>) {
        for used in command.spec.keys_of(args) {
            if used.access.has(Access::RO) {
                continue;
            }
            let key = args.at(used.index);
            if let Some(entry) = dbs[place].unsaved(key) {
                self.is_large |= slices::is_large(&entry);
                self.bytes += entry.heap_bytes();
                self.keys.push((place, key.into()));
            }
        }
    }

    /// The commands of a queue, which may choose other databases on the way.
    fn add_queue(&mut self, dbs: &Databases, mut place: usize, queue: &[Queued]) {
        for Queued { command, args } in queue {
            let args = args.as_args();
            if command.spec.name == "SELECT" {
                let number = args.get(1).and_then(num::parse_i64).and_then(|number| usize::try_from(number).ok());
                place = number.and_then(|number| dbs.find(number)).unwrap_or(place);
            } else {
                self.add(dbs, place, command, args);
            }
        }
    }
}

impl Server {
    /// True if a command that may change data has to wait for the snapshot: it would change a large value that the snapshot does
    /// not have, or very many smaller ones, or any while too much waits for the disk. The snapshot takes their keys next. Of
    /// EXEC the whole queue is looked at. O(arguments). Replicas that read slowly hold nobody up.
    ///
    /// What changes without a command of its own (what a waiting client is served, what a command changes in another database
    /// than its own) is kept at once instead, however long that takes.
    pub fn is_held_by_snapshot(&mut self, client: ClientId, command: &Command, args: Args<'_>) -> bool {
        if self.persistence.snapshots.running.is_none() {
            return false;
        }
        let session = &self.clients[client];
        let mut unsaved = Unsaved::default();
        match &session.transaction {
            Some(transaction) => unsaved.add_queue(&self.dbs, session.db, &transaction.queue),
            None => unsaved.add(&self.dbs, session.db, command, args),
        }
        self.must_wait_for(unsaved)
    }

    /// The same for a piece of a command, in the database at this place.
    pub fn snapshot_lacks(&mut self, db: usize, command: &Command, piece: Args<'_>) -> bool {
        if self.persistence.snapshots.running.is_none() {
            return false;
        }
        let mut unsaved = Unsaved::default();
        unsaved.add(&self.dbs, db, command, piece);
        self.must_wait_for(unsaved)
    }

    /// True if what is not saved is too much to be kept at once. The snapshot takes it next.
    fn must_wait_for(&mut self, unsaved: Unsaved) -> bool {
        let Some(running) = &mut self.persistence.snapshots.running else { return false };
        if running.is_ended || running.outcome.is_some() || unsaved.keys.is_empty() {
            return false;
        }
        let is_held = unsaved.is_large
            || unsaved.bytes > COMMAND_BYTES_MAX
            || (running.has_file() && running.waiting_bytes() > HOLD_BYTES);
        if is_held {
            running.wanted.extend(unsaved.keys);
        }
        is_held
    }
}
