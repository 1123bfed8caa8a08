//! The versions of queries whose watchers want to know which one they have, so that those who come back can go on.
//!
//! A query's versions are numbered one after the other. The first number is the time in microseconds at which it became
//! known, or more if that was given to any query before: so no number stands for two results, not even after a restart,
//! unless the wall clock is set back by more than the server was down.
//!
//! The newest frames of each query are kept, in each protocol somebody asked for; all frames together are bounded, and the
//! oldest of all goes first. A query that its last watcher leaves lingers for a while, so that its versions go on.
//!
//! # Invariants
//! - A ring holds the frames of consecutive versions, of which the last is the present one, unless it is empty.
//! - `bytes` and `versions` count what all rings hold; `order` names every one of those frames once, the oldest first, and
//!   some that are gone.
//!
//! Called by [`super::Reactive`] alone.

use std::collections::VecDeque;
use std::sync::Arc;

use super::index::{Index, Query, QueryId};
use crate::resp::reply::Proto;

/// Queries that linger without a watcher at most; beyond, the one that was left first goes.
pub const LINGERING_MAX: usize = 10_000;
/// Names of frames that are gone are cleared away when there are this many more of them than of the others.
const STALE_MAX: usize = 1024;

type Ring = VecDeque<Arc<Vec<u8>>>;

/// One query's versions.
#[derive(Debug)]
pub(super) struct History {
    revision: u64,
    /// Frames in each protocol, oldest first.
    rings: [Option<Ring>; 2],
    /// Monotonic millisecond at which it is forgotten if nobody watches it; 0 if somebody does.
    lingers_until_ms: u64,
}

impl History {
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn ring(&self, proto: Proto) -> Option<&Ring> {
        self.rings[proto as usize].as_ref()
    }

    /// The frames from a version on.
    fn since(&self, proto: Proto, revision: u64) -> Option<Vec<Arc<Vec<u8>>>> {
        let ring = self.ring(proto)?;
        let age = usize::try_from(self.revision.checked_sub(revision)?).ok()?;
        let from = ring.len().checked_sub(age + 1)?;
        Some(ring.range(from..).map(Arc::clone).collect())
    }

    fn oldest(&self, proto: Proto) -> Option<u64> {
        let len = self.ring(proto)?.len() as u64;
        (len > 0).then(|| self.revision + 1 - len)
    }
}

/// The place of one frame.
#[derive(Clone, Copy, Debug)]
struct Kept {
    query: QueryId,
    proto: Proto,
    revision: u64,
}

impl Kept {
    /// True if the frame is still there, which makes it the oldest of its ring: rings lose their oldest frames first.
    fn is_there(self, index: &Index) -> bool {
        let history = index.get(self.query).and_then(Query::history);
        history.and_then(|history| history.oldest(self.proto)).is_some_and(|oldest| oldest <= self.revision)
    }
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of all frames together.
    pub bytes: u64,
    /// Frames of each query, in each protocol.
    pub versions: usize,
}

/// What is common to all histories.
#[derive(Debug, Default)]
pub(super) struct Histories {
    /// The highest number given so far.
    last: u64,
    order: VecDeque<Kept>,
    versions: usize,
    bytes: u64,
    count: usize,
    /// Queries that were left by their last watcher, with the time until which each lingers, and some that do not any more.
    lingering: VecDeque<(QueryId, u64)>,
    /// How many linger.
    left: usize,
}

impl Histories {
    /// Queries that have a history.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Bytes of all frames.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives a query a history, if it has none; the number of its present version.
    pub fn begin(&mut self, query: &mut Query, now_us: u64) -> u64 {
        let history = &mut query.extra_mut().history;
        let history = history.get_or_insert_with(|| {
            self.last = now_us.max(self.last + 1);
            self.count += 1;
            History { revision: self.last, rings: [None, None], lingers_until_ms: 0 }
        });
        history.revision
    }

    /// Counts a new version of a query that has a history; its number.
    pub fn advance(&mut self, query: &mut Query) -> Option<u64> {
        let history = query.extra.as_mut()?.history.as_mut()?;
        history.revision += 1;
        self.last = self.last.max(history.revision);
        Some(history.revision)
    }

    /// Keeps the frame of the present version, which no ring of its protocol holds yet.
    pub fn keep(&mut self, index: &mut Index, id: QueryId, proto: Proto, frame: Arc<Vec<u8>>, bounds: Bounds) {
        let Some(history) = index.get_mut(id).and_then(|query| query.extra.as_mut()?.history.as_mut()) else { return };
        let (revision, ring) = (history.revision, history.rings[proto as usize].get_or_insert_default());
        self.bytes += frame.len() as u64;
        self.versions += 1;
        ring.push_back(frame);
        self.order.push_back(Kept { query: id, proto, revision });
        let surplus = ring.len().saturating_sub(bounds.versions);
        (0..surplus).for_each(|_| self.drop_oldest(index, id, proto));
        while self.bytes > bounds.bytes {
            let Some(kept) = self.order.pop_front() else { break };
            if kept.is_there(index) {
                self.drop_oldest(index, kept.query, kept.proto);
            }
        }
        if self.order.len() > 2 * self.versions + STALE_MAX {
            self.order.retain(|kept| kept.is_there(index));
        }
    }

    fn drop_oldest(&mut self, index: &mut Index, id: QueryId, proto: Proto) {
        let history = index.get_mut(id).and_then(|query| query.extra.as_mut()?.history.as_mut());
        let frame = history.and_then(|history| history.rings[proto as usize].as_mut()?.pop_front());
        self.uncount(frame.iter());
    }

    fn uncount<'a>(&mut self, frames: impl Iterator<Item = &'a Arc<Vec<u8>>>) {
        frames.for_each(|frame| {
            self.bytes -= frame.len() as u64;
            self.versions -= 1;
        });
    }

    /// Forgets what is kept of a query that is gone.
    pub fn forget(&mut self, query: &Query) {
        let Some(history) = query.history() else { return };
        self.count -= 1;
        self.left -= usize::from(history.lingers_until_ms > 0);
        self.uncount(history.rings.iter().flatten().flatten());
        if self.count == 0 {
            (self.order, self.lingering) = Default::default();
        }
    }

    /// True if the frame of the present version is kept in a protocol.
    pub fn has_present(query: &Query, proto: Proto) -> bool {
        query.history().and_then(|history| history.ring(proto)).is_some_and(|ring| !ring.is_empty())
    }

    /// The protocols in which frames of a query are kept.
    pub fn protos(query: &Query) -> [bool; 2] {
        query.history().map_or([false; 2], |history| [0, 1].map(|proto| history.rings[proto].is_some()))
    }

    /// The frames of a query from a version on, if none of them is missing.
    pub fn since(query: &Query, proto: Proto, revision: u64) -> Option<Vec<Arc<Vec<u8>>>> {
        query.history()?.since(proto, revision)
    }

    /// Has a query that nobody watches linger until a time above 0. False if it has no history: it may go at once.
    pub fn linger(&mut self, id: QueryId, query: &mut Query, until_ms: u64) -> bool {
        let Some(history) = query.extra.as_mut().and_then(|extra| extra.history.as_mut()) else { return false };
        history.lingers_until_ms = until_ms;
        self.lingering.push_back((id, until_ms));
        self.left += 1;
        true
    }

    /// Notes that a query is watched again.
    pub fn resume(&mut self, query: &mut Query) {
        if let Some(history) = query.extra.as_mut().and_then(|extra| extra.history.as_mut()) {
            self.left -= usize::from(std::mem::take(&mut history.lingers_until_ms) > 0);
        }
    }

    /// The next query that has lingered long enough at a time.
    pub fn take_left(&mut self, index: &Index, now_ms: u64) -> Option<QueryId> {
        let lingers = |(id, until_ms): &(QueryId, u64)| {
            let history = index.get(*id).and_then(Query::history);
            history.is_some_and(|history| history.lingers_until_ms == *until_ms)
        };
        if self.lingering.len() > 2 * self.left + STALE_MAX {
            self.lingering.retain(lingers);
        }
        while let Some(first) = self.lingering.front().copied() {
            if first.1 > now_ms && self.left <= LINGERING_MAX {
                return None;
            }
            self.lingering.pop_front();
            if lingers(&first) {
                return Some(first.0);
            }
        }
        None
    }
}
