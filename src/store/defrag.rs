//! Moves the blocks of keys and values to other places of the heap, piece by piece, so that pages become empty that hold little.
//!
//! Goes through the table by a cursor, and through values of more than `FEW_BLOCKS` blocks by a place in each, which is remembered
//! by the key: what is written, deleted or replaced meanwhile is at worst passed over. Which blocks move a [`Mover`] decides.
//! Nobody keeps a reference into an entry or a value from one turn to the next, so whatever is under way is none the wiser.
//!
//! Segments of tables, inner nodes of trees, consumer groups and timers stay: they share no pages with others, or are few.

use std::cell::Cell;

use super::db::Db;
use super::entry::Entry;
use crate::base::heap::Mover;

/// Values of more blocks are gone through in pieces.
const FEW_BLOCKS: usize = 64;

/// Where in a database it goes on.
#[derive(Debug, Default)]
pub struct Place {
    cursor: u64,
    /// Keys of values that the walk over the table has left for later, and the place in the last one.
    later: Vec<Box<[u8]>>,
    within: u128,
}

/// How many keys had something moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Keys that had.
    pub some: u64,
    /// Keys that had not.
    pub none: u64,
}

impl Moved {
    fn count(&mut self, has_moved: bool) {
        *(if has_moved { &mut self.some } else { &mut self.none }) += 1;
    }
}

impl Db {
    /// Moves blocks from a place on, until `go_on` returns false, which is asked after some. True at the end of the database, where
    /// the place is at its beginning again.
    pub fn defragment(
        &mut self,
        place: &mut Place,
        mover: &mut dyn Mover,
        keys: &mut Moved,
        go_on: &mut dyn FnMut() -> bool,
    ) -> bool {
        // Who has said no is not asked again: a value may have asked at its very end.
        let mut is_over = false;
        let go_on = &mut || {
            is_over = is_over || !go_on();
            !is_over
        };
        loop {
            while let Some(key) = place.later.last() {
                let hash = self.table.hasher().hash(key);
                let next = self.table.occupied(hash, key).and_then(|mut slot| {
                    slot.edit_object(|object| object.defragment(place.within, mover, go_on)).flatten()
                });
                place.within = next.unwrap_or(0);
                if next.is_some() {
                    return false;
                }
                place.later.pop();
                if !go_on() {
                    return false;
                }
            }
            if place.cursor == u64::MAX {
                *place = Place::default();
                return true;
            }
            let (later, has_long, mut has_time) = (&mut place.later, Cell::new(false), true);
            let visit = |entry: &mut Entry| {
                let before = mover.moved();
                entry.defragment(mover);
                let is_long = entry.edit_object(|object| {
                    let is_long = object.blocks() > FEW_BLOCKS;
                    is_long || object.defragment(0, mover, &mut || true).is_some()
                });
                if is_long == Some(true) {
                    later.push(entry.key().into());
                    has_long.set(true);
                }
                keys.count(mover.moved() > before);
            };
            let next = self.table.defragment(place.cursor, visit, || {
                has_time = go_on();
                has_time && !has_long.get()
            });
            place.cursor = next.unwrap_or(u64::MAX);
            if !has_time {
                return false;
            }
        }
    }
}
