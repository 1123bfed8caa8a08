//! A hashed timing wheel with lazy deletion: eight bytes a timer, O(1) to set, nothing to cancel.
//!
//! This is scheme 6 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987), unsorted lists in a
//! hashed wheel, with two changes: a node carries no deadline, and it is never cancelled.
//!
//! # What a node means
//!
//! A tick is one millisecond of the Unix epoch, and a tick's slot is `tick & (slots - 1)`. A node `{ payload, next }`
//! in a slot says only: *look at `payload` when a tick of this slot has come*. The payload's owner knows its deadline
//! (a key with a TTL stores it anyway, since every read checks it), so a copy in the node would be eight more bytes a
//! timer, and a stale one after every refresh. When the slot is visited the owner is asked and answers
//! [`Verdict::Drop`] or [`Verdict::Again`]. A timer further away than one revolution is therefore seen, and put back,
//! once a revolution.
//!
//! Cancelling would need a doubly linked list and a handle in the owner: twelve bytes more, and two cache misses on
//! every DEL, PERSIST, SET and refresh. Instead a node whose payload lost its deadline waits for its slot and is
//! dropped there. The commonest refresh, to a later deadline, does not touch the wheel at all.
//!
//! # How an owner uses it
//!
//! For each payload the owner keeps its deadline, if it has one, and one bit, `exact`: *a node of mine is in the slot
//! of my deadline*.
//!
//! - A first deadline, or an earlier one than before: `exact = wheel.insert(payload, deadline)`.
//! - A later deadline than before: keep the node, `exact = false`.
//! - No deadline any more, or the payload is gone: forget it; the node finds out.
//! - When [`Wheel::advance`] visits `(payload, tick)`, in this order:
//!   1. no such payload, or it has no deadline: `Drop`;
//!   2. `deadline <= tick`: it is due; fire it, `Drop`;
//!   3. `exact`, and [`Wheel::same_slot`] of `deadline` and `tick` is false: a stale node, for another one is in place:
//!      `Drop`;
//!   4. otherwise: `exact = true`, `Again(deadline)`.
//! - When [`Wheel::sweep`] visits: rules 1 and 3, otherwise `Keep`.
//!
//! Rule 2 compares with the *tick* given, not with the time: an early node then moves to its deadline's slot, which the
//! same `advance` reaches later, so timers fire in the order of their deadlines. A payload reused for another key is
//! harmless: the old node is one more stale node. An owner that may not fire now (a replica, say) answers `Again` of
//! some later time, and sets `exact = false`, since that slot is not its deadline's.
//!
//! ```
//! use aleadb::timer::{Verdict, Wheel};
//! let mut wheel = Wheel::new(1 << 12, 1_000);
//! wheel.insert(7, 1_250);
//! assert_eq!(wheel.next_tick(), Some(1_250));
//! let mut fired = Vec::new();
//! let mut budget = 100;
//! let progress = wheel.advance(1_260, &mut budget, |payload, tick| {
//!     fired.push((payload, tick));
//!     Verdict::Drop
//! });
//! assert!(progress.done && fired == [(7, 1_250)]);
//! ```
//!
//! # Costs
//!
//! - A timer: 8 bytes. The slots: 4 bytes and two bits each, from zeroed memory whose untouched pages cost nothing; 2^20
//!   slots are at most 4 MiB + 260 KiB.
//! - `insert`: a node off the free list (or off the end of the pool), a slot head and a bitmap word or two. No
//!   allocation but one of 512 KiB every 64 Ki nodes; growth never copies.
//! - A visit: one node read, and for `Again` the same writes as `insert`. Empty time costs a few word reads, however
//!   long.
//! - No call does work in proportion to the slots or the nodes, except within a budget. (Freeing the whole wheel, by
//!   [`Wheel::clear`] or drop, gives back one allocation per 64 Ki nodes.)
//!
//! Why 1 ms: deadlines are in milliseconds, so a slot's nodes are due at its tick, not up to a tick later, and nothing
//! needs rounding (with coarser ticks the slot would be `ceil(deadline / tick)`, so as never to be early). Why 2^20
//! slots for keys: a revolution is 1,048.576 s (17.5 min), so 10M keys with far deadlines cost 10M / 1,048.576 s =
//! 9,537 revisits a second, seven thousandths of a core with everything out of the cache; 2^16 slots would cost 152,588 a
//! second. A small wheel (client timeouts) has few timers and so can afford few slots.
//!
//! # Near and far
//!
//! Of 10M nodes with far deadlines, ten are in every slot: an owner that woke for each slot would do so a thousand times
//! a second, to put everything back. So a second bitmap marks the slots that are *near*: those where a node was put whose
//! deadline is the slot's next tick. [`Wheel::next_tick`] asks for these to the millisecond. For the others it asks once in
//! `FAR_TICKS` ticks (or once a revolution, if that is shorter), at the end of that stretch; `advance` then visits them slot
//! by slot as ever, so the order of ticks does not change. That is late for slots with only far nodes, but by less than a
//! revolution, and their deadlines are at least one revolution after the tick.
//!
//! More exactly: let `t` be the next tick of a slot that is not near. Each timer that hangs on a node there (its owner has
//! no other node that comes in time) has its deadline at `t + slots` or later. A node is put into a slot either with such a
//! deadline or with the mark; a deadline can move only to later without a new node; `take` ends the mark, and puts back
//! each node anew; and a rewind makes `t` only smaller, so a mark may then say too much but never too little. A mark that
//! says too much costs one wake.
//!
//! # Time
//!
//! `last` is the last tick whose slot was taken up. Between calls every node is in the list of a slot, whose next tick
//! is in `last + 1 ..= last + slots`, or in one of two lists of their own: `taken`, what is left of the slot being
//! visited, and `late`, inserted with a deadline that had already passed. Since the wheel compares no deadlines, its
//! time is only `last`:
//!
//! - Forward by more than a revolution: `last` skips to `now - slots`, so each slot is visited once, at its latest
//!   tick, in order of those ticks. Timers skipped over fire in that order too, rather than by deadline: the order of
//!   deadlines would take a pass over all nodes for each revolution skipped, or room to sort what is due.
//! - Backward: `advance` does nothing until time is at `last` again. [`Wheel::rewind`] sets `last` back instead, in
//!   O(1): a node in its deadline's slot is then visited at that deadline or revolutions before it, and never after,
//!   whatever `last` is.
//!
//! Invariants: a slot's bit is set exactly when its list is not empty, and only then may it be near; every node in use is
//! in exactly one list; a node in `taken` came out of the slot of `taken_tick`; `last` is at most `TICK_MAX`, so that a
//! revolution can be added to it.
//!
//! Not known here: what a payload is, what is due, what time it is.

use super::nodes::{NONE, Nodes};
use super::occupied::Occupied;
use crate::base::heap;

/// Slots of the wheel that serves keys: a revolution of 17.5 minutes; see the module's "Costs".
pub const KEY_SLOTS: usize = 1 << 20;

/// The most slots a wheel may have (24 days of milliseconds).
const SLOTS_MAX: usize = 1 << 31;

/// The latest time the wheel believes, 292 million years from now: a revolution can be added to it without overflow.
const TICK_MAX: i64 = i64::MAX - SLOTS_MAX as i64;

/// Nodes of one slot that [`Wheel::sweep`] sorts at a time to find repeated payloads: 16 KiB of copied payloads.
const SWEEP_CHUNK: usize = 4096;

/// Nodes told of at once before they are visited: enough for the memory's latency to be hidden, few enough that what they
/// name is still in the first-level cache when its turn comes.
const AHEAD: usize = 16;

/// Ticks for whose far nodes [`Wheel::next_tick`] asks to be woken once, at the last of them; a power of two, so that the
/// wheels of several databases ask for the same ones.
const FAR_TICKS: i64 = 128;

/// What an owner answers when one of its nodes is visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The node has no more use: free it.
    Drop,
    /// Ask again at this deadline (Unix ms), or at the next tick if it is not later than the tick visited.
    Again(i64),
}

/// What an owner answers when [`Wheel::sweep`] comes past one of its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepVerdict {
    /// Leave it where it is.
    Keep,
    /// The node has no more use: free it.
    Drop,
    /// Move it to the slot of this deadline (Unix ms).
    Again(i64),
}

/// A wheel's owner, as [`Wheel::advance_with`] asks it.
pub trait Visitor {
    /// These payloads are about to be visited, unless the budget ends before: a chance to load what they name into the
    /// cache, all of it at once.
    fn ahead(&mut self, payloads: &[u32]);
    /// One node, at this tick.
    fn visit(&mut self, payload: u32, tick: i64) -> Verdict;
}

/// An owner that is only a function.
struct Each<F>(F);

impl<F: FnMut(u32, i64) -> Verdict> Visitor for Each<F> {
    #[inline]
    fn ahead(&mut self, _payloads: &[u32]) {}
    #[inline]
    fn visit(&mut self, payload: u32, tick: i64) -> Verdict {
        (self.0)(payload, tick)
    }
}

/// How far [`Wheel::advance`] got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Milliseconds by which the tick being visited is behind the time given; 0 when `done`.
    pub lag_ms: u64,
    /// Whether all that could be visited at the time given was visited. If not, the budget is spent: call again soon.
    pub done: bool,
}

/// The wheel. See the module's header for how to use it.
#[derive(Debug)]
pub struct Wheel {
    /// First node of each slot's list; a power of two of them.
    heads: Vec<u32>,
    occupied: Occupied,
    /// The occupied slots where a node may be due at the slot's next tick.
    near: Occupied,
    nodes: Nodes,
    /// The last tick whose slot was taken up.
    last: i64,
    /// What is left to visit of the slot of `taken_tick`. When `taken_tick > last` (after a rewind), these nodes belong
    /// back in that slot.
    taken: u32,
    taken_tick: i64,
    /// Nodes whose deadline had passed when they were inserted.
    late: u32,
    /// Set while catching up over more than a revolution.
    skip: Option<Skip>,
    cursor: Cursor,
}

/// A catch-up over more than a revolution: the ticks in `from + 1 ..= to` are settled only when it ends.
#[derive(Clone, Copy, Debug)]
struct Skip {
    from: i64,
    to: i64,
}

/// Where the sweep goes on: in `slot`, behind node `after` (at its head when `NONE`). Lists change only at their heads,
/// or by being taken whole, so a node already swept stays in front of those that are not.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    slot: usize,
    after: u32,
}

impl Wheel {
    /// A wheel of `slots` slots of one millisecond, for which all ticks up to `now_ms` (Unix ms) are over.
    ///
    /// # Panics
    ///
    /// If `slots` is not a power of two up to 2^31: a mistake in the program, as no input decides it.
    pub fn new(slots: usize, now_ms: i64) -> Wheel {
        assert!(slots.is_power_of_two() && slots <= SLOTS_MAX, "{slots} slots");
        Wheel {
            heads: vec![NONE; slots],
            occupied: Occupied::new(slots),
            near: Occupied::new(slots),
            nodes: Nodes::default(),
            last: now_ms.min(TICK_MAX),
            taken: NONE,
            taken_tick: i64::MIN,
            late: NONE,
            skip: None,
            cursor: Cursor::default(),
        }
    }

    /// Whether two ticks (Unix ms) share a slot in a wheel of `slots` slots.
    #[inline]
    pub const fn same_slot(slots: usize, a: i64, b: i64) -> bool {
        (a ^ b) & (slots as i64 - 1) == 0
    }

    /// Asks for `payload` to be visited at `deadline_ms` (Unix ms), and possibly before, a whole number of revolutions
    /// earlier. O(1).
    ///
    /// Returns whether the node is in the slot of that deadline: the owner's `exact`. It is not if the deadline has
    /// passed: then the next `advance` visits it first of all. (Nor if 2^32 - 1 nodes, 32 GiB, exist already: then
    /// nothing is inserted, and only the owner's own check on access is left.)
    #[inline]
    pub fn insert(&mut self, payload: u32, deadline_ms: i64) -> bool {
        let Some(id) = self.nodes.allocate(payload) else {
            return false;
        };
        self.place(id, deadline_ms)
    }

    /// Visits what has come by `now_ms` (Unix ms): first the late nodes, then every occupied slot with a tick in `last
    /// + 1 ..= now_ms`, in the order of ticks (and in no order within a tick). `visit` is given the payload and the
    /// tick, never later than `now_ms`, at most once for each node and tick.
    ///
    /// Each node costs one unit of `budget`; when there is none left, the visit stops, within a slot too, and the next
    /// call goes on there. O(nodes visited).
    pub fn advance(&mut self, now_ms: i64, budget: &mut usize, visit: impl FnMut(u32, i64) -> Verdict) -> Progress {
        self.advance_with(now_ms, budget, &mut Each(visit))
    }

    /// The same as [`Wheel::advance`], for an owner that wants to know some nodes ahead which payloads come.
    pub fn advance_with(&mut self, now_ms: i64, budget: &mut usize, visitor: &mut impl Visitor) -> Progress {
        let now = now_ms.min(TICK_MAX);
        if now < self.last {
            return Progress { lag_ms: 0, done: true };
        }
        if !self.drain_late(budget, visitor) || !self.drain_taken(budget, visitor) {
            return self.behind(now);
        }
        self.skip_revolutions(now);
        while let Some(tick) = self.next_slot_tick().filter(|&tick| tick <= now) {
            self.take(tick);
            if !self.drain_taken(budget, visitor) {
                return self.behind(now);
            }
        }
        self.last = now;
        self.skip = self.skip.filter(|skip| now < skip.to);
        Progress { lag_ms: 0, done: true }
    }

    /// Tells the wheel that the clock went back to `now_ms` (Unix ms): ticks after it are to come again, so that
    /// deadlines set from now on fire on time, even those before ticks already visited. Timers already there keep their
    /// deadlines. Call it whenever the clock is seen to go backward; it does nothing unless that matters. O(1).
    ///
    /// What it has to look after: of the slot being visited, the nodes left go back into it (in the next `advance`,
    /// within its budget). Late nodes are asked about next and get an exact place if no longer due. A catch-up over
    /// more than a revolution begins anew, because the nodes it skipped are due at ticks that may now be a revolution
    /// away.
    pub fn rewind(&mut self, now_ms: i64) {
        if let Some(skip) = self.skip.take_if(|skip| now_ms < skip.to) {
            self.last = skip.from;
        }
        self.last = self.last.min(now_ms);
    }

    /// The tick (Unix ms) until which [`Wheel::advance`] need not be called: never later than the first deadline, earlier
    /// to look at nodes of later revolutions, many at a time, and at stale ones. `None` if the wheel is empty. At most
    /// four times seven words read.
    pub fn next_tick(&self) -> Option<i64> {
        if self.is_empty() {
            return None;
        }
        if self.taken != NONE || self.late != NONE {
            return Some(self.last);
        }
        let first = self.next_slot_tick()?;
        if self.skip.is_some() {
            // What was skipped may be due whatever its slot's bit says.
            return Some(first);
        }
        let together = first | (FAR_TICKS.min(self.heads.len() as i64) - 1);
        Some(self.next_tick_in(&self.near).map_or(together, |near| near.min(together)))
    }

    /// Shows the payloads of up to `limit` nodes in the order in which they will be visited, and changes nothing. Returns the
    /// tick up to which all nodes were shown, so that every timer due until then was among them: `i64::MAX` if there are no
    /// more nodes, `i64::MIN` if that cannot be said. O(limit).
    pub fn preview(&self, limit: usize, mut show: impl FnMut(u32)) -> i64 {
        let mut left = limit;
        let mut show_list = |mut id: u32| {
            while id != NONE {
                if left == 0 {
                    return false;
                }
                left -= 1;
                let node = self.nodes.node(id);
                show(node.payload);
                id = node.next;
            }
            true
        };
        if self.skip.is_some() || !show_list(self.late) || !show_list(self.taken) {
            return i64::MIN;
        }
        // The slots from the one after `last` to the end, then those before it.
        let first = self.slot(self.last + 1);
        for (mut from, end) in [(first, self.heads.len()), (0, first)] {
            while let Some(slot) = self.occupied.at_or_after(from).filter(|&slot| slot < end) {
                if !show_list(self.heads[slot]) {
                    return self.tick_of(slot) - 1;
                }
                from = slot + 1;
            }
        }
        i64::MAX
    }

    /// The payload of a node chosen by `draw(n)`, a number below `n`: of any node there ever was, one that is free now may
    /// be among them. `None` if there never was one. O(1).
    pub fn draw_payload(&self, draw: impl FnOnce(u64) -> u64) -> Option<u32> {
        let cut = u64::from(self.nodes.cut());
        (cut > 0).then(|| self.nodes.node(draw(cut) as u32 + 1).payload)
    }

    /// How many of the nodes there ever were are in use, from 0 to 1.
    pub fn density(&self) -> f64 {
        self.len() as f64 / f64::from(self.nodes.cut().max(1))
    }

    /// One step of a pass over all slots that frees garbage before its tick comes; for owners whose nodes greatly
    /// outnumber their timers. `visit` is given the payload and the next tick of its slot. A payload met again in one
    /// slot is freed without asking, as its nodes there are interchangeable (among each 4,096 nodes of a slot, or as
    /// many as the budget allows).
    ///
    /// Each node costs one unit of `budget`; the next call goes on where this one stopped. Returns true when the pass
    /// has come to the end of the wheel; the next call begins another. O(k log k) for k nodes.
    pub fn sweep(&mut self, budget: &mut usize, mut visit: impl FnMut(u32, i64) -> SweepVerdict) -> bool {
        let mut repeated = Repeated::default();
        while *budget > 0 {
            let Some(slot) = self.occupied.at_or_after(self.cursor.slot) else {
                self.cursor = Cursor::default();
                return true;
            };
            if slot != self.cursor.slot {
                self.cursor = Cursor { slot, after: NONE };
            }
            self.sweep_slot(budget, &mut repeated, &mut visit);
        }
        false
    }

    /// Nodes held: timers, and garbage whose slot has not come.
    pub fn len(&self) -> usize {
        self.nodes.used()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes reserved. Pages of it that were never touched are counted too.
    pub fn bytes(&self) -> usize {
        heap::vec(&self.heads) + self.occupied.bytes() + self.near.bytes() + self.nodes.bytes()
    }

    /// The last tick (Unix ms) taken up: deadlines up to here are late.
    pub fn last_tick(&self) -> i64 {
        self.last
    }

    /// Frees every node and gives the pool's memory back; time stays as it is. One deallocation per 64 Ki nodes ever
    /// used at once, which for 10M nodes can take the system milliseconds: an owner that may not pause for it puts a
    /// new wheel in place and drops the old one on another thread. Worth calling on an empty wheel too, as freed nodes
    /// are otherwise kept for reuse.
    pub fn clear(&mut self) {
        if !self.is_empty() {
            let slots = self.heads.len();
            self.heads = vec![NONE; slots];
            self.occupied = Occupied::new(slots);
            self.near = Occupied::new(slots);
        }
        self.nodes = Nodes::default();
        self.taken = NONE;
        self.late = NONE;
        self.skip = None;
        self.cursor = Cursor::default();
    }

    /// Links a node, in no list yet, by its deadline. Returns whether that is its deadline's slot.
    #[inline]
    fn place(&mut self, id: u32, deadline_ms: i64) -> bool {
        if deadline_ms > self.last {
            let slot = self.slot(deadline_ms);
            self.link(id, slot);
            self.mark_near(slot, deadline_ms);
            true
        } else {
            self.nodes.set_next(id, self.late);
            self.late = id;
            false
        }
    }

    #[inline]
    fn link(&mut self, id: u32, slot: usize) {
        self.nodes.set_next(id, self.heads[slot]);
        self.heads[slot] = id;
        self.occupied.set(slot);
    }

    /// Marks the slot of a deadline that falls on the slot's next tick.
    #[inline]
    fn mark_near(&mut self, slot: usize, deadline_ms: i64) {
        if deadline_ms <= self.last + self.heads.len() as i64 {
            self.near.set(slot);
        }
    }

    #[inline]
    fn slot(&self, tick: i64) -> usize {
        tick as usize & (self.heads.len() - 1)
    }

    /// The first tick after `last` that has `slot`.
    fn tick_of(&self, slot: usize) -> i64 {
        let first = self.last + 1;
        let distance = slot.wrapping_sub(self.slot(first)) & (self.heads.len() - 1);
        first + distance as i64
    }

    /// The first tick after `last` whose slot has nodes.
    fn next_slot_tick(&self) -> Option<i64> {
        self.next_tick_in(&self.occupied)
    }

    /// The first tick after `last` whose slot is a member.
    fn next_tick_in(&self, slots: &Occupied) -> Option<i64> {
        let first = self.slot(self.last + 1);
        let slot = slots.at_or_after(first).or_else(|| slots.at_or_after(0))?;
        Some(self.tick_of(slot))
    }

    /// With more than a revolution to go, goes on with the last one: each slot's latest tick up to `now`.
    fn skip_revolutions(&mut self, now: i64) {
        let start = now.saturating_sub(self.heads.len() as i64);
        if start > self.last {
            let from = self.skip.map_or(self.last, |skip| skip.from);
            self.skip = Some(Skip { from, to: now });
            self.last = start;
        }
    }

    /// Detaches the list of `tick`'s slot, so that nodes put back into the slot wait for its next revolution.
    fn take(&mut self, tick: i64) {
        let slot = self.slot(tick);
        self.taken = std::mem::replace(&mut self.heads[slot], NONE);
        self.taken_tick = tick;
        self.last = tick;
        self.skip = self.skip.filter(|skip| tick <= skip.to);
        self.occupied.clear(slot);
        self.near.clear(slot);
        if self.cursor.slot == slot {
            self.cursor.after = NONE;
        }
    }

    /// Visits the late nodes. False if the budget ran out first.
    fn drain_late(&mut self, budget: &mut usize, visitor: &mut impl Visitor) -> bool {
        while self.late != NONE {
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            let id = self.late;
            self.late = self.nodes.node(id).next;
            self.visit(id, visitor);
        }
        true
    }

    /// Visits what is left of the slot taken, or puts it back if its tick is to come again. False if the budget ran out
    /// first.
    fn drain_taken(&mut self, budget: &mut usize, visitor: &mut impl Visitor) -> bool {
        let rewound = self.taken_tick > self.last;
        let mut announced = 0;
        while self.taken != NONE {
            if *budget == 0 {
                return false;
            }
            if announced == 0 && !rewound {
                announced = self.announce(*budget, visitor);
            }
            announced = announced.saturating_sub(1);
            *budget -= 1;
            let id = self.taken;
            self.taken = self.nodes.node(id).next;
            if rewound {
                let slot = self.slot(self.taken_tick);
                self.link(id, slot);
                self.near.set(slot);
            } else {
                self.visit(id, visitor);
            }
        }
        true
    }

    /// Tells the owner which nodes of the slot taken come next; returns how many.
    #[inline]
    fn announce(&self, budget: usize, visitor: &mut impl Visitor) -> usize {
        let (mut payloads, mut count, mut id) = ([0; AHEAD], 0, self.taken);
        while id != NONE && count < AHEAD.min(budget) {
            let node = self.nodes.node(id);
            payloads[count] = node.payload;
            (count, id) = (count + 1, node.next);
        }
        visitor.ahead(&payloads[..count]);
        count
    }

    /// Asks the owner about a node, in no list, at tick `last`. `Again` of a tick not after it becomes the next tick:
    /// were it `late` instead, an owner that answers so would be asked for ever within one call.
    #[inline]
    fn visit(&mut self, id: u32, visitor: &mut impl Visitor) {
        match visitor.visit(self.nodes.node(id).payload, self.last) {
            Verdict::Drop => self.nodes.release(id),
            Verdict::Again(deadline_ms) => {
                self.place(id, deadline_ms.max(self.last + 1));
            }
        }
    }

    fn behind(&self, now: i64) -> Progress {
        Progress { lag_ms: now.abs_diff(self.last), done: false }
    }

    /// Sweeps one slot from the cursor on, as far as budget and chunk allow, and moves the cursor.
    fn sweep_slot(
        &mut self,
        budget: &mut usize,
        repeated: &mut Repeated,
        visit: &mut impl FnMut(u32, i64) -> SweepVerdict,
    ) {
        let Cursor { slot, after } = self.cursor;
        let tick = self.tick_of(slot);
        let count = SWEEP_CHUNK.min(*budget);
        let mut previous = after;
        let mut id = if after == NONE { self.heads[slot] } else { self.nodes.node(after).next };
        repeated.find(&self.nodes, id, count);
        for _ in 0..count {
            if id == NONE {
                break;
            }
            *budget -= 1;
            let node = self.nodes.node(id);
            let verdict = if repeated.met_again(node.payload) { SweepVerdict::Drop } else { visit(node.payload, tick) };
            match verdict {
                SweepVerdict::Drop => {
                    self.unlink(slot, previous, node.next);
                    self.nodes.release(id);
                }
                SweepVerdict::Again(deadline_ms) if deadline_ms <= self.last || self.slot(deadline_ms) != slot => {
                    self.unlink(slot, previous, node.next);
                    self.place(id, deadline_ms);
                }
                SweepVerdict::Again(deadline_ms) => {
                    // Of all its nodes the owner may keep only this one, which had been there for a later revolution.
                    self.mark_near(slot, deadline_ms);
                    previous = id;
                }
                SweepVerdict::Keep => previous = id,
            }
            id = node.next;
        }
        if self.heads[slot] == NONE {
            self.occupied.clear(slot);
            self.near.clear(slot);
        }
        self.cursor =
            if id == NONE { Cursor { slot: slot + 1, after: NONE } } else { Cursor { slot, after: previous } };
    }

    /// Takes the node behind `previous` (the head's when `NONE`) out of the slot's list, where `next` followed it.
    fn unlink(&mut self, slot: usize, previous: u32, next: u32) {
        if previous == NONE {
            self.heads[slot] = next;
        } else {
            self.nodes.set_next(previous, next);
        }
    }

    /// Panics unless the lists, the bitmap and the counts agree. O(slots + nodes).
    #[cfg(test)]
    pub(crate) fn check_invariants(&self) {
        let (free, total) = self.nodes.free_and_total();
        let mut seen = vec![false; total + 1];
        let mut walk = |head: u32| {
            let mut count = 0;
            let mut id = head;
            while id != NONE {
                assert!(!std::mem::replace(&mut seen[id as usize], true), "node {id} is linked twice");
                count += 1;
                id = self.nodes.node(id).next;
            }
            count
        };
        let mut linked = walk(self.taken) + walk(self.late);
        for (slot, &head) in self.heads.iter().enumerate() {
            assert_eq!(self.occupied.contains(slot), head != NONE, "bit of slot {slot}");
            assert!(!self.near.contains(slot) || head != NONE, "slot {slot} is near and empty");
            linked += walk(head);
        }
        assert_eq!(linked, self.len(), "nodes in use");
        assert_eq!(linked + walk(free), total, "nodes in all");
        assert!(self.last <= TICK_MAX);
        assert!(self.taken == NONE || self.taken_tick >= self.last);
        if let Some(skip) = self.skip {
            assert!(skip.from < self.last && self.last <= skip.to);
        }
        if self.cursor.after != NONE {
            let mut id = self.heads[self.cursor.slot];
            while id != self.cursor.after {
                assert_ne!(id, NONE, "the sweep's node is not in its slot");
                id = self.nodes.node(id).next;
            }
        }
    }
}

/// The payloads that occur more than once in a stretch of a list, and which of them were met.
#[derive(Default)]
struct Repeated {
    /// Sorted, distinct.
    payloads: Vec<u32>,
    met: Vec<bool>,
}

impl Repeated {
    /// Looks at up to `count` nodes from `first` on. O(count log count), O(1) for one node.
    fn find(&mut self, nodes: &Nodes, first: u32, count: usize) {
        self.payloads.clear();
        self.met.clear();
        let mut id = first;
        while id != NONE && self.payloads.len() < count {
            let node = nodes.node(id);
            self.payloads.push(node.payload);
            id = node.next;
        }
        self.payloads.sort_unstable();
        let mut kept = 0;
        for i in 1..self.payloads.len() {
            let payload = self.payloads[i];
            if payload == self.payloads[i - 1] && (kept == 0 || self.payloads[kept - 1] != payload) {
                self.payloads[kept] = payload;
                kept += 1;
            }
        }
        self.payloads.truncate(kept);
        self.met.resize(kept, false);
    }

    /// Whether this payload was asked about before.
    fn met_again(&mut self, payload: u32) -> bool {
        match self.payloads.binary_search(&payload) {
            Ok(index) => std::mem::replace(&mut self.met[index], true),
            Err(_) => false,
        }
    }
}
