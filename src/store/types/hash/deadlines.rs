//! The deadlines of members that lie in a table: how many have one, and a queue that finds those whose deadline has come.
//!
//! # Invariants
//! - `timed` counts the members with a deadline; the queue is empty when there is none.
//! - The queue's own: every member with a deadline has an entry in it at that deadline or before.
//! - Of a renewal under way, the new queue has such an entry for every member whose address its cursor has passed.
//!
//! Used by big hashes, and by sorted sets whose members have deadlines. They own the members, and tell of every change
//! ([`Deadlines::note`]). Asks no clock.

use super::queue::{Place, Queue};
use crate::store::members::{Members, SMALL_MAX};
use crate::store::table::Entry;

/// Entries of the queue that nobody needs are let be up to this number and a quarter of the members.
const GARBAGE_ENTRIES_MAX: usize = 64;

/// Buckets of the table that a change of a deadline brings a renewal forward by: one or two microseconds of work, and far more
/// members than the one that changed.
const RENEWAL_STEP: usize = 4;

/// Places of a batch.
const BATCH: usize = 16;

/// Bits of a scan's cursor: the address of `store::table`.
#[cfg(test)]
const CURSOR_BITS: u32 = 48;

/// A member that may have a deadline.
pub trait HasDeadline: Entry {
    /// Unix time in milliseconds at which it expires.
    fn deadline_ms(&self) -> Option<i64>;
}

/// Count and queue.
#[derive(Clone, Debug, Default)]
pub struct Deadlines {
    queue: Queue,
    renewal: Option<Box<Renewal>>,
    timed: usize,
}

/// A queue on its way to take the place of one that is garbage for the most part.
#[derive(Clone, Debug, Default)]
struct Renewal {
    queue: Queue,
    /// The scan of the members that fills it.
    cursor: u64,
}

/// Places that are looked at together.
#[derive(Default)]
struct Batch {
    places: [Place; BATCH],
    len: usize,
}

impl Batch {
    fn places(&self) -> &[Place] {
        &self.places[..self.len]
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl Deadlines {
    /// Number of members with a deadline.
    #[inline]
    pub fn timed(&self) -> usize {
        self.timed
    }

    /// The earliest deadline, or one before it that was someone's. `None` if no member has one. O(1).
    #[inline]
    pub fn next_ms(&self) -> Option<i64> {
        self.queue.next_ms()
    }

    /// Keeps count and queue in step with a member whose deadline was `old` and is now `new`. O(1) amortised.
    #[inline]
    pub fn note<E: HasDeadline>(&mut self, members: &Members<E>, key: &[u8], old: Option<i64>, new: Option<i64>) {
        if old == new {
            return;
        }
        self.timed = self.timed + usize::from(new.is_some()) - usize::from(old.is_some());
        // A member that lives longer is looked at when it would have expired, and queued again then.
        if let Some(deadline_ms) = new.filter(|&new| old.is_none_or(|old| new < old)) {
            self.enqueue(deadline_ms, Place::of(members.hasher().hash(key)));
        }
        self.tidy(members);
    }

    /// Keeps count and queue in step with the loss of so many members that had a deadline. O(1).
    pub fn note_removed<E: HasDeadline>(&mut self, members: &Members<E>, count: usize) {
        if count > 0 {
            self.timed -= count;
            self.tidy(members);
        }
    }

    fn enqueue(&mut self, deadline_ms: i64, place: Place) {
        self.queue.push(deadline_ms, place);
        if let Some(renewal) = &mut self.renewal {
            renewal.queue.push(deadline_ms, place);
        }
    }

    /// Frees the queue when nothing expires any more, and renews it, step by step, when most of it is garbage. O(1).
    fn tidy<E: HasDeadline>(&mut self, members: &Members<E>) {
        if self.timed == 0 {
            self.forget();
        } else if self.renewal.is_some() {
            self.renew(members);
        } else if self.queue.len() > 2 * self.timed + members.len() / 4 + GARBAGE_ENTRIES_MAX {
            self.renewal = Some(Box::default());
            self.renew(members);
        }
    }

    fn forget(&mut self) {
        self.queue.clear();
        self.renewal = None;
    }

    /// Brings a renewal forward by a step.
    fn renew<E: HasDeadline>(&mut self, members: &Members<E>) {
        let Some(renewal) = &mut self.renewal else { return };
        let hasher = members.hasher();
        for _ in 0..RENEWAL_STEP {
            let Renewal { queue, cursor } = &mut **renewal;
            *cursor = members.scan(*cursor, |member| {
                if let Some(deadline_ms) = member.deadline_ms() {
                    queue.push(deadline_ms, Place::of(hasher.hash(member.key())));
                }
            });
            if *cursor == 0 {
                self.queue = std::mem::take(queue);
                self.renewal = None;
                return;
            }
        }
    }

    /// Takes out members whose deadline has come, earliest first, some `max` of them at most: a few more if they lie together.
    /// Hands each to `gone`, and returns how many; [`Deadlines::next_ms`] says whether more are due. O(max), and O(log n) for
    /// each entry of the queue that is of no use any more, `max` of which end the work as well.
    pub fn expire<E: HasDeadline>(
        &mut self,
        members: &mut Members<E>,
        now_ms: i64,
        max: usize,
        gone: &mut dyn FnMut(E),
    ) -> usize {
        if members.len() <= SMALL_MAX {
            let is_due = self.next_ms().is_some_and(|due_ms| due_ms <= now_ms);
            return if is_due { self.expire_all(members, now_ms, gone) } else { 0 };
        }
        let (mut removed, mut looks) = (0, 0);
        // Two cache misses lead to a member, its bucket's and its own: each is waited for while another batch is worked on.
        let (mut with_buckets, mut with_members) = (Batch::default(), Batch::default());
        loop {
            let next = self.pop_batch(now_ms, if removed < max { max - looks } else { 0 });
            looks += next.places().len();
            next.places().iter().for_each(|place| members.prefetch_part(place.part()));
            with_buckets.places().iter().for_each(|place| members.prefetch_part_entries(place.part()));
            for &place in with_members.places() {
                removed += self.expire_place(members, place, now_ms, gone);
            }
            (with_members, with_buckets) = (with_buckets, next);
            if with_members.is_empty() && with_buckets.is_empty() {
                break;
            }
        }
        if self.timed == 0 {
            self.forget();
        }
        removed
    }

    /// Takes the places of due entries from the queue, `max` at most.
    fn pop_batch(&mut self, now_ms: i64, max: usize) -> Batch {
        let mut batch = Batch::default();
        while batch.len < BATCH.min(max)
            && let Some(place) = self.queue.pop_due(now_ms)
        {
            batch.places[batch.len] = place;
            batch.len += 1;
        }
        batch
    }

    /// Takes out every due member, and queues the others anew. O(N).
    fn expire_all<E: HasDeadline>(&mut self, members: &mut Members<E>, now_ms: i64, gone: &mut dyn FnMut(E)) -> usize {
        self.forget();
        let (mut due, hasher) = (Vec::new(), members.hasher());
        members.for_each(|member| match member.deadline_ms() {
            Some(deadline_ms) if deadline_ms <= now_ms => due.push(member.key().to_vec()),
            Some(deadline_ms) => self.queue.push(deadline_ms, Place::of(hasher.hash(member.key()))),
            None => {}
        });
        due.iter().filter_map(|key| members.remove(key)).for_each(gone);
        self.timed -= due.len();
        due.len()
    }

    /// Takes out the due members of a place, and queues it again for the others. O(members of the place and their neighbours).
    fn expire_place<E: HasDeadline>(
        &mut self,
        members: &mut Members<E>,
        place: Place,
        now_ms: i64,
        gone: &mut dyn FnMut(E),
    ) -> usize {
        let (mut removed, mut next_ms, hasher) = (0, i64::MAX, members.hasher());
        let stays = |member: &E| match member.deadline_ms() {
            Some(deadline_ms) if deadline_ms <= now_ms => false,
            Some(deadline_ms) => {
                if deadline_ms < next_ms && Place::of(hasher.hash(member.key())) == place {
                    next_ms = deadline_ms;
                }
                true
            }
            None => true,
        };
        members.retain_part(place.part(), stays, |member| {
            removed += 1;
            gone(member);
        });
        self.timed -= removed;
        if next_ms < i64::MAX {
            self.enqueue(next_ms, place);
        }
        removed
    }

    /// Calls `visit` for all members whose deadline has come, for some perhaps more than once, in no order; the queue stays as
    /// it is. O(entries of the queue that are due, and members of their places), O(N) where there are few.
    pub fn visit_due<E: HasDeadline>(&self, members: &Members<E>, now_ms: i64, mut visit: impl FnMut(&E)) {
        let mut show = |member: &E| {
            if is_due(member, now_ms) {
                visit(member);
            }
        };
        if members.len() <= SMALL_MAX {
            return members.for_each(show);
        }
        let mut places = Vec::new();
        self.queue.visit_due(now_ms, |place| places.push(place));
        places.sort_unstable();
        places.dedup();
        for batch in places.chunks(BATCH) {
            batch.iter().for_each(|place| members.prefetch_part(place.part()));
            batch.iter().for_each(|place| members.prefetch_part_entries(place.part()));
            batch.iter().for_each(|place| members.visit_part(place.part(), &mut show));
        }
    }

    /// Bytes on the heap. O(1).
    pub fn bytes(&self) -> usize {
        self.queue.bytes() + self.renewal.as_ref().map_or(0, |renewal| renewal.queue.bytes())
    }

    /// Heap blocks that dropping this frees.
    pub fn blocks(&self) -> usize {
        self.queue.blocks() + self.renewal.as_ref().map_or(0, |renewal| renewal.queue.blocks())
    }

    /// Checks the invariants. O(N).
    #[cfg(test)]
    pub fn check<E: HasDeadline>(&self, members: &Members<E>) {
        let mut timed = 0;
        members.for_each(|member| timed += usize::from(member.deadline_ms().is_some()));
        assert_eq!(timed, self.timed);
        assert!(self.timed > 0 || (self.queue.len() == 0 && self.renewal.is_none()));
        check_queue(&self.queue, members, 1 << CURSOR_BITS);
        if let Some(renewal) = &self.renewal {
            check_queue(&renewal.queue, members, renewal.cursor);
        }
    }

    /// True while the queue is being renewed.
    #[cfg(test)]
    pub fn is_renewing(&self) -> bool {
        self.renewal.is_some()
    }
}

/// True for a member whose deadline has come.
#[inline]
pub fn is_due(member: &impl HasDeadline, now_ms: i64) -> bool {
    member.deadline_ms().is_some_and(|deadline_ms| deadline_ms <= now_ms)
}

/// Checks that a queue has what it needs for the members of all addresses below one.
#[cfg(test)]
fn check_queue<E: HasDeadline>(queue: &Queue, members: &Members<E>, end: u64) {
    let mut queue = queue.clone();
    let mut entries = std::collections::HashMap::new();
    while let Some(due_ms) = queue.next_ms() {
        let place = queue.pop_due(i64::MAX).expect("there is one");
        entries.entry(place).or_insert(due_ms);
    }
    members.for_each(|member| {
        let Some(deadline_ms) = member.deadline_ms() else { return };
        let hash = members.hasher().hash(member.key());
        if hash >> (u64::BITS - CURSOR_BITS) >= end {
            return;
        }
        let is_queued = entries.get(&Place::of(hash)).is_some_and(|&queued_ms| queued_ms <= deadline_ms);
        assert!(is_queued, "queued in time");
    });
}
