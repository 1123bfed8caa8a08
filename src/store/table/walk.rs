//! Walks over a table: all of it at once, from a cursor on, and to an entry drawn by lot.
//!
//! Reads the table's segments and slots as its own header describes them; moves no entry.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::base::prng::Prng;

use super::{
    ADDRESS_BITS, AbortOnUnwind, Entry, HOME_SLOTS, HOMES, Lent, Place, STASH_SLOTS, STASHES, Table, home_of,
    home_start, prefetch,
};

/// Entries whose blocks a walk over all has under way to the cache.
const AHEAD: usize = 12;
/// Home buckets whose entries a walk has under way to the cache: some 16 entries.
const HOMES_AHEAD: usize = 2;

impl<E: Entry> Table<E> {
    /// Walks the home bucket in whose range the cursor is: calls `visit` for every entry of it, and returns the cursor to go
    /// on from, 0 at the end. `cursor` 0 starts. Any number below 2^48 is a valid cursor; larger ones end the walk.
    ///
    /// Everything present from the first call to the last is visited at least once; what comes or goes meanwhile may or
    /// may not be. O(1) amortised.
    pub fn scan(&self, cursor: u64, mut visit: impl FnMut(Lent<'_, E>)) -> u64 {
        if cursor >> ADDRESS_BITS != 0 || self.cells.is_empty() {
            return 0;
        }
        let cell = self.cells[self.index(cursor << (64 - ADDRESS_BITS))];
        let (segment, depth) = (cell.segment(), cell.depth());
        let home = home_of(cursor, depth);
        // SAFETY: a live segment of the borrowed table, whose occupied slots are entries it owns.
        unsafe {
            for place in segment.as_ref().all_of(home) {
                visit(Lent::new(segment.as_ref().pointer(place)));
            }
        }
        let span = 1u64 << (ADDRESS_BITS - depth);
        let base = cursor & !(span - 1);
        let next = if home + 1 == HOMES { base + span } else { home_start(base, depth, home + 1) };
        if next >> ADDRESS_BITS != 0 { 0 } else { next }
    }

    /// Calls `visit` for every entry, in the order of a scan. Entries to come are on their way to the cache meanwhile, which
    /// makes this several times as fast as a scan where they are many. O(table).
    pub fn for_each(&self, mut visit: impl FnMut(Lent<'_, E>)) {
        let (mut index, mut pointers) = (0, Vec::new());
        while let Some(&cell) = self.cells.get(index) {
            let segment = cell.segment();
            pointers.clear();
            // SAFETY: a live segment of the borrowed table.
            unsafe { segment.as_ref() }.gather(&mut pointers);
            pointers.iter().take(AHEAD).for_each(|ptr| prefetch(ptr.as_ptr()));
            for (i, &ptr) in pointers.iter().enumerate() {
                if let Some(next) = pointers.get(i + AHEAD) {
                    prefetch(next.as_ptr());
                }
                // SAFETY: an occupied slot holds an entry that this table owns.
                visit(unsafe { Lent::new(ptr) });
            }
            index += 1 << (self.bits - cell.depth());
        }
    }

    /// Calls `visit` for the entries from a cursor on, home by home in the order of a scan, until `go_on`, which is asked after
    /// each home, or `visit` returns false. Returns the cursor to go on from, the home of an entry that `visit` refused; `None`
    /// at the end. What [`Table::scan`] guarantees holds. Entries to come are on their way to the cache meanwhile. O(entries).
    pub fn walk(
        &mut self,
        cursor: u64,
        mut visit: impl FnMut(&mut E) -> bool,
        go_on: impl FnMut() -> bool,
    ) -> Option<u64> {
        let visit = |ptr: NonNull<u8>| {
            // SAFETY: an occupied slot holds an entry that this table, which is borrowed for change, owns; `visit` gets the only
            // reference to it, and `ManuallyDrop` keeps this handle from freeing it.
            let mut entry = ManuallyDrop::new(unsafe { E::from_ptr(ptr) });
            visit(&mut entry)
        };
        self.walk_pointers(cursor, visit, go_on)
    }

    /// The same for who changes nothing, and refuses no entry.
    pub fn read_on(&self, cursor: u64, mut visit: impl FnMut(&E), go_on: impl FnMut() -> bool) -> Option<u64> {
        let visit = |ptr: NonNull<u8>| {
            // SAFETY: an occupied slot holds an entry that this table owns, which is borrowed.
            visit(&*unsafe { Lent::<E>::new(ptr) });
            true
        };
        self.walk_pointers(cursor, visit, go_on)
    }

    /// The walk of both, over the pointers in the slots.
    fn walk_pointers(
        &self,
        mut cursor: u64,
        mut visit: impl FnMut(NonNull<u8>) -> bool,
        mut go_on: impl FnMut() -> bool,
    ) -> Option<u64> {
        loop {
            let cell = *self.cells.get(self.index(cursor << (64 - ADDRESS_BITS)))?;
            let (segment, depth) = (cell.segment(), cell.depth());
            // SAFETY: a live segment of this table, which does not change while its entries are visited.
            let segment = unsafe { segment.as_ref() };
            let prefetch_home = |home: usize| {
                segment.slots_of(home).for_each(|place| prefetch(segment.pointer(place).as_ptr()));
            };
            let (span, mut home) = (1u64 << (ADDRESS_BITS - depth), home_of(cursor, depth));
            let base = cursor & !(span - 1);
            (home..HOMES.min(home + HOMES_AHEAD)).for_each(prefetch_home);
            while home < HOMES {
                if home + HOMES_AHEAD < HOMES {
                    prefetch_home(home + HOMES_AHEAD);
                }
                for place in segment.all_of(home) {
                    if !visit(segment.pointer(place)) {
                        return Some(cursor);
                    }
                }
                home += 1;
                cursor = if home == HOMES { base + span } else { home_start(base, depth, home) };
                if cursor >> ADDRESS_BITS != 0 {
                    return None;
                }
                if !go_on() {
                    return Some(cursor);
                }
            }
        }
    }

    /// Shows the entries from a cursor on to `visit`, which may give one another block; its key stays. As [`Table::walk`]
    /// otherwise.
    pub fn defragment(
        &mut self,
        mut cursor: u64,
        mut visit: impl FnMut(&mut E),
        mut go_on: impl FnMut() -> bool,
    ) -> Option<u64> {
        let mut places = Vec::with_capacity(HOME_SLOTS + STASH_SLOTS);
        loop {
            let cell = *self.cells.get(self.index(cursor << (64 - ADDRESS_BITS)))?;
            let (mut segment, depth) = (cell.segment(), cell.depth());
            let (span, mut home) = (1u64 << (ADDRESS_BITS - depth), home_of(cursor, depth));
            let base = cursor & !(span - 1);
            while home < HOMES {
                // SAFETY: a live segment of this table, which nobody else refers to while the table is borrowed for change.
                let segment = unsafe { segment.as_mut() };
                places.clear();
                places.extend(segment.all_of(home));
                for &place in &places {
                    let before = segment.pointer(place);
                    // SAFETY: an occupied slot holds an entry that this table owns. It gives it up here and takes it back, with the
                    // block that it has by then, below; should `visit` panic, the process ends.
                    let after = unsafe {
                        let guard = AbortOnUnwind;
                        let mut entry = E::from_ptr(before);
                        visit(&mut entry);
                        std::mem::forget(guard);
                        entry.into_ptr()
                    };
                    if after != before {
                        segment.set_pointer(place, after);
                    }
                }
                home += 1;
                cursor = if home == HOMES { base + span } else { home_start(base, depth, home) };
                if cursor >> ADDRESS_BITS != 0 {
                    return None;
                }
                if !go_on() {
                    return Some(cursor);
                }
            }
        }
    }

    /// A hash that leads to a home bucket chosen by lot: every segment has the same chance, and each of its homes. O(1).
    pub fn pick_home(&self, prng: &mut Prng) -> u64 {
        loop {
            let hash = prng.next_u64();
            let Some(cell) = self.cells.get(self.index(hash)) else { return hash };
            // As below: a segment that several cells name is accepted accordingly less often. The lower bits decide nothing else.
            if hash & ((1 << (self.bits - cell.depth()).min(15)) - 1) == 0 {
                return hash;
            }
        }
    }

    /// Calls `visit` for the entries of the home bucket that a hash leads to. O(1).
    pub fn visit_home(&self, hash: u64, mut visit: impl FnMut(Lent<'_, E>)) {
        if let Some((segment, home)) = self.locate(hash) {
            // SAFETY: a live segment of the borrowed table, whose occupied slots are entries it owns.
            unsafe {
                for place in segment.as_ref().all_of(home) {
                    visit(Lent::new(segment.as_ref().pointer(place)));
                }
            }
        }
    }

    /// Starts loading the entries of the home bucket that a hash leads to, but for those in the stash; reads the bucket. O(1).
    pub fn prefetch_home(&self, hash: u64) {
        if let Some((segment, home)) = self.locate(hash) {
            // SAFETY: a live segment of the borrowed table.
            let segment = unsafe { segment.as_ref() };
            segment.slots_of(home).for_each(|place| prefetch(segment.pointer(place).as_ptr()));
        }
    }

    /// A uniformly chosen entry: segments, buckets and slots are drawn evenly and empty draws are thrown away, so every
    /// entry has the same chance. `draw(n)` must return an unbiased number below `n`. O(1) expected, as tables shrink.
    pub fn random(&self, mut draw: impl FnMut(u64) -> u64) -> Option<Lent<'_, E>> {
        if self.len == 0 {
            return None;
        }
        loop {
            let cell = self.cells[draw(self.cells.len() as u64) as usize];
            // A segment of lesser depth is named by several cells: accept it accordingly less often.
            if draw(1 << (self.bits - cell.depth())) != 0 {
                continue;
            }
            let segment = cell.segment();
            // SAFETY: a live segment of the borrowed table.
            let segment = unsafe { segment.as_ref() };
            let pick = draw((HOMES * HOME_SLOTS + STASHES * STASH_SLOTS) as u64) as usize;
            let (place, tag) = if pick < HOMES * HOME_SLOTS {
                let (bucket, slot) = (pick / HOME_SLOTS, pick % HOME_SLOTS);
                (Place { bucket: bucket as u8, slot: slot as u8 }, segment.homes[bucket].0[slot])
            } else {
                let (stash, slot) =
                    ((pick - HOMES * HOME_SLOTS) / STASH_SLOTS, (pick - HOMES * HOME_SLOTS) % STASH_SLOTS);
                (Place { bucket: (HOMES + stash) as u8, slot: slot as u8 }, segment.stash[stash].0[slot])
            };
            if tag != 0 {
                // SAFETY: the slot is occupied, so it holds an entry of this table.
                return Some(unsafe { Lent::new(segment.pointer(place)) });
            }
        }
    }
}
