//! A snapshot of a database while it is in use: which entries are in it yet.
//!
//! # How it works
//! Every entry has a mark of one bit, and every database a mark of its own, which its entries bear (`Accounting::mark`). A
//! snapshot begins by flipping the database's: all entries there are differ from it now, and are to be kept as they are. Whoever
//! walks the database keeps one after the other and gives it the database's mark; an entry that is about to change, or to leave,
//! is kept first (`Accounting::before_change`); what comes has the mark from the start. So what is kept is the database as it
//! was in one moment, and no entry is kept twice, whatever happens meanwhile.
//!
//! A database that is replaced as a whole takes its part in the snapshot along: it is walked where it is, under the number it
//! had in the beginning, and freed afterwards.
//!
//! # Invariants
//! - Without a part in a snapshot all entries bear the database's mark.
//! - Entries before the cursor of the walk bear it, but for those that the walk was told to come back to.
//!
//! Knows nothing of what becomes of the entries: [`Keep`] is implemented above.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::accounting::Accounting;
use super::db::Db;
use super::entry::Entry;

/// Takes the entries of a snapshot.
pub trait Keep: Send {
    /// Keeps an entry of the database that had this number when the snapshot began, before it changes. All of it at once: in
    /// whose midst the snapshot is, that is finished.
    fn keep(&mut self, number: usize, entry: &Entry);

    /// True while the entry of a key has been kept in part, to be gone on with.
    fn is_midway(&self, number: usize, key: &[u8]) -> bool;

    /// Takes over an entry that has been kept in part, and has left the database.
    fn adopt(&mut self, number: usize, entry: Entry);
}

/// A database's part in a snapshot.
pub(super) struct Part {
    number: usize,
    keeper: Arc<Mutex<dyn Keep>>,
    /// Where the walk goes on.
    cursor: u64,
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").field("number", &self.number).field("cursor", &self.cursor).finish_non_exhaustive()
    }
}

impl Part {
    /// Nobody else has it while a database changes: one thread does both.
    fn keeper(&self) -> MutexGuard<'_, dyn Keep + 'static> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn keep(&self, entry: &Entry) {
        self.keeper().keep(self.number, entry);
    }

    pub fn is_midway(&self, entry: &Entry) -> bool {
        self.keeper().is_midway(self.number, entry.key())
    }

    pub fn adopt(&self, entry: Entry) {
        self.keeper().adopt(self.number, entry);
    }
}

impl Db {
    /// Makes what is in the database now part of a snapshot: it will be walked, and every entry kept before it changes. It must
    /// not be part of another one. O(1).
    pub fn begin_snapshot(&mut self, number: usize, keeper: Arc<Mutex<dyn Keep>>) {
        let Accounting { mark, snapshot, .. } = &mut self.accounting;
        assert!(snapshot.is_none(), "a database is part of one snapshot at a time");
        *mark = !*mark;
        *snapshot = Some(Box::new(Part { number, keeper, cursor: 0 }));
    }

    /// The number that the database had when the snapshot began that it is part of.
    pub fn snapshot_number(&self) -> Option<usize> {
        self.accounting.snapshot.as_ref().map(|part| part.number)
    }

    /// Goes on with the walk, as long as `go_on` says: shows the entries that are not in the snapshot to `keep`, which returns
    /// false for one that it wants to come back to. The walk stops there, and passes it next time unless
    /// [`Db::note_kept`] was called. True at the end; the database is part of the snapshot no longer then. `keep` must not
    /// change the database. O(entries).
    pub fn walk_snapshot(&mut self, mut keep: impl FnMut(&Entry) -> bool, go_on: impl FnMut() -> bool) -> bool {
        let Db { table, accounting, .. } = self;
        let Accounting { mark, snapshot, .. } = accounting;
        let Some(part) = snapshot else { return true };
        let visit = |entry: &mut Entry| {
            if entry.mark() == *mark {
                return true;
            }
            let kept = keep(entry);
            if kept {
                entry.set_mark(*mark);
            }
            kept
        };
        match table.walk(part.cursor, visit, go_on) {
            Some(cursor) => part.cursor = cursor,
            None => *snapshot = None,
        }
        snapshot.is_none()
    }

    /// The entry of a key, even if it is due, if the snapshot does not have it yet. O(1).
    pub fn unsaved(&self, key: &[u8]) -> Option<impl Deref<Target = Entry> + '_> {
        self.accounting.snapshot.as_ref()?;
        self.peek(key).filter(|entry| entry.mark() != self.accounting.mark)
    }

    /// The entry of a key has been kept otherwise than by the walk. O(1).
    pub fn note_kept(&mut self, key: &[u8]) {
        let hash = self.table.hasher().hash(key);
        if let Some(mut slot) = self.table.occupied(hash, key) {
            slot.set_mark(self.accounting.mark);
        }
    }

    /// Panics if the marks are not as the module header says. O(entries); for tests.
    #[cfg(test)]
    pub(super) fn check_marks(&self) {
        if self.accounting.snapshot.is_none() {
            self.table.for_each(|entry| assert_eq!(entry.mark(), self.accounting.mark, "{entry:?}", entry = &*entry));
        }
    }
}

#[cfg(test)]
#[path = "snapshot_tests.rs"]
mod tests;
