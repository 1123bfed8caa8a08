//! Active defragmentation: what is moved stays what it was, whatever is sent in between. Which blocks move a lot decides here;
//! that memory goes back is tested with the process (`e2e::memory`).

use std::ptr::NonNull;

use aleadb::base::heap::Mover;
use aleadb::store::defrag::{Moved, Place};

use crate::generate::Generator;
use crate::jobs::{fill, is_barred, send};
use crate::memory::Memory;
use crate::rng::Rng;

/// Moves one block in two.
struct Lot {
    rng: Rng,
    moved: u64,
}

impl Mover for Lot {
    fn wants(&mut self, _: NonNull<u8>, _: usize) -> bool {
        let wants = self.rng.below(2) == 0;
        self.moved += u64::from(wants);
        wants
    }

    fn moved(&self) -> u64 {
        self.moved
    }
}

/// Goes on for some steps in every database.
fn defragment(m: &mut Memory, places: &mut Vec<Place>, lot: &mut Lot, steps: usize) {
    let count = m.server.dbs.places().len();
    places.resize_with(count, Place::default);
    for (at, place) in places.iter_mut().enumerate() {
        let mut left = 1 + lot.rng.below(steps);
        let mut go_on = || {
            left -= 1;
            left > 0
        };
        m.server.dbs[at].defragment(place, lot, &mut Moved::default(), &mut go_on);
    }
}

/// A large value of each type, with members that were changed since.
fn fill_large(m: &mut Memory) {
    fill(m);
    for n in 0..2000 {
        m.run(&format!("ZADD big {} member:{n}", n * 7919 % 2003));
        m.run(&format!("HSET wide field:{n} {}", "x".repeat(n % 50)));
        m.run(&format!("RPUSH long {}", "x".repeat(n % 300)));
        m.run(&format!("SET text:{n} {}", "x".repeat(n)));
    }
    m.run("HEXPIRE wide 1000 FIELDS 3 field:1 field:2 field:3");
    m.run("PFADD sketch a b c");
    m.run("SETRANGE huge 100000 x");
    m.run("XGROUP CREATE stream group 0");
    m.run("XREADGROUP GROUP group reader COUNT 20 STREAMS stream >");
}

#[test]
fn what_is_moved_while_others_write_stays_what_it_was() {
    let mut moved = 0;
    for seed in 0..6 {
        let (mut still, mut shaken) = (Memory::new(), Memory::new());
        let mut lot = Lot { rng: Rng::new(seed), moved: 0 };
        let mut places = Vec::new();
        for m in [&mut still, &mut shaken] {
            fill_large(m);
        }
        let mut lines = Generator::new(seed, is_barred, |_| true);
        for _ in 0..1500 {
            let line = lines.line();
            let (expected, found) = (send(&mut still, &line), send(&mut shaken, &line));
            assert_eq!(
                found.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "seed {seed}: {:?}",
                line.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>()
            );
            still.advance_ms(1);
            shaken.advance_ms(1);
            defragment(&mut shaken, &mut places, &mut lot, 200);
        }
        assert_eq!(shaken.run("DEBUG DIGEST"), still.run("DEBUG DIGEST"), "seed {seed}");
        moved += lot.moved;
    }
    assert!(moved > 10_000, "only {moved} moved");
}

/// Orders and ranks are found by members' bytes, which were moved.
#[test]
fn a_sorted_set_whose_members_were_moved_is_in_order() {
    let mut m = Memory::new();
    fill_large(&mut m);
    let before = [m.run("ZRANGE big 0 -1 WITHSCORES"), m.run("ZRANK big member:1234"), m.run("DUMP big")];
    let mut lot = Lot { rng: Rng::new(1), moved: 0 };
    let mut place = Place::default();
    for _ in 0..3 {
        assert!(m.server.dbs[0].defragment(&mut place, &mut lot, &mut Moved::default(), &mut || true));
    }
    assert_eq!([m.run("ZRANGE big 0 -1 WITHSCORES"), m.run("ZRANK big member:1234"), m.run("DUMP big")], before);
    for n in 0..2000 {
        assert_eq!(m.run(&format!("ZREM big member:{n}")), r":1\r\n");
    }
    assert_eq!(m.run("EXISTS big"), r":0\r\n");
}
