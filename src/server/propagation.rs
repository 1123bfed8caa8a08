//! What has to be told to a log or to replicas, so that they come to hold the same data: the commands that changed something.
//!
//! A command that changed data is passed on as it was given, unless it depends on the time, on chance or on what it waited for:
//! then its handler says which others have the same effect ([`Ctx::propagate_as`](super::ctx::Ctx::propagate_as)), by Redis's own
//! rules, so that a log can be read by Redis and a Redis can be a replica. Keys and fields that have expired are passed on
//! as DEL and HDEL, before the command that met them: whoever is told expires nothing on its own.
//!
//! What one client's command brought about, a transaction with all of its commands included, is one unit: it has its effect as a
//! whole or not at all. Nothing is kept until somebody is to be told ([`Server::begin_propagation`]): the log and the replicas
//! that this is for are not built yet.

use super::Server;
use crate::resp::args::{Args, OwnedArgs};

/// A command to be passed on.
#[derive(Clone, Debug)]
pub struct Propagated {
    /// The number of the database it is for.
    pub db: usize,
    /// Its line.
    pub args: OwnedArgs,
}

/// The commands to be passed on.
#[derive(Debug, Default)]
pub struct Propagation {
    wanted: bool,
    /// What is passed on in place of the command that is running; `None` for the command itself.
    instead: Option<Vec<OwnedArgs>>,
    /// Commands of the unit that is not over yet.
    open: Vec<Propagated>,
    /// Units that are.
    units: Vec<Vec<Propagated>>,
}

impl Propagation {
    /// True if somebody is told.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// The units since the last time, in order; each is one command, or several that belong together as between MULTI and EXEC.
    pub fn take(&mut self) -> Vec<Vec<Propagated>> {
        std::mem::take(&mut self.units)
    }

    /// True while a unit has begun and not ended.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Where the running command names others that are passed on in its place.
    pub(super) fn instead(&mut self) -> Lines<'_> {
        Lines(self.instead.get_or_insert_default())
    }

    /// Ends a unit: what comes next is another.
    #[inline]
    pub fn end_unit(&mut self) {
        if !self.open.is_empty() {
            self.units.push(std::mem::take(&mut self.open));
        }
    }
}

/// Writes the commands that are to be passed on in place of the one that was given.
#[derive(Debug)]
pub struct Lines<'l>(&'l mut Vec<OwnedArgs>);

impl Lines<'_> {
    /// One more command.
    pub fn push<'a>(&mut self, line: impl IntoIterator<Item = &'a [u8]>) {
        self.0.push(OwnedArgs::new(line));
    }
}

impl Server {
    /// Has commands kept for [`Propagation::take`] from now on. O(databases made).
    pub fn begin_propagation(&mut self) {
        self.propagation.wanted = true;
        self.note_wanted_events();
    }

    /// Passes on the commands that a command has named in its own place, or itself if it has named none and has changed
    /// something.
    #[cold]
    pub fn propagate(&mut self, db: usize, given: Args<'_>, changed: bool) {
        let db = self.dbs.number(db);
        let itself = || if changed { vec![OwnedArgs::copy(given)] } else { Vec::new() };
        let lines = self.propagation.instead.take().unwrap_or_else(itself);
        self.propagation.open.extend(lines.into_iter().map(|args| Propagated { db, args }));
    }

    /// Passes on a command that nobody has sent, if somebody is told.
    pub(super) fn propagate_own<'a>(&mut self, db: usize, line: impl IntoIterator<Item = &'a [u8]>) {
        if self.propagation.wanted {
            let db = self.dbs.number(db);
            self.propagation.open.push(Propagated { db, args: OwnedArgs::new(line) });
        }
    }
}
