//! Defragmentation that needs no allocator: a lot decides which blocks move.

use std::ptr::NonNull;

use aleadb::base::heap::Mover;
use aleadb::server::databases::Databases;
use aleadb::store::defrag::{Moved, Place};

use crate::rng::Rng;

/// Moves one block in two.
pub struct Lot {
    rng: Rng,
    /// Blocks moved so far.
    pub count: u64,
    /// Where it goes on in each database.
    places: Vec<Place>,
}

impl Lot {
    pub fn new(seed: u64) -> Lot {
        Lot { rng: Rng::new(seed), count: 0, places: Vec::new() }
    }

    /// Goes on for so many steps at most in every database.
    pub fn go_on(&mut self, dbs: &mut Databases, steps: usize) {
        let mut places = std::mem::take(&mut self.places);
        places.resize_with(dbs.places().len(), Place::default);
        for (at, place) in places.iter_mut().enumerate() {
            let mut left = 1 + self.rng.below(steps);
            let mut has_steps = || {
                left -= 1;
                left > 0
            };
            dbs[at].defragment(place, self, &mut Moved::default(), &mut has_steps);
        }
        self.places = places;
    }
}

impl Mover for Lot {
    fn wants(&mut self, _: NonNull<u8>, _: usize) -> bool {
        let wants = self.rng.below(2) == 0;
        self.count += u64::from(wants);
        wants
    }

    fn moved(&self) -> u64 {
        self.count
    }
}
