//! Active defragmentation: what is moved stays what it was, whatever is sent in between. Which blocks move a lot decides here;
//! that memory goes back is tested with the process (`e2e::memory`).

use aleadb::config::{Access, Config};

use crate::generate::Generator;
use crate::jobs::{fill, is_barred, send};
use crate::memory::Memory;
use crate::mover::Lot;

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
    m.run("ZUNIONSTORE leaving 1 big");
    m.run("ZEXPIRE leaving 1000 MEMBERS 3 member:1 member:2 member:3");
    m.run("SADDEX present EX 1000 MEMBERS 3 a b c");
    m.run("PFADD sketch a b c");
    m.run("SETRANGE huge 100000 x");
    m.run("XGROUP CREATE stream group 0");
    m.run("XREADGROUP GROUP group reader COUNT 20 STREAMS stream >");
}

#[test]
fn what_is_moved_while_others_write_stays_what_it_was() {
    let mut moved = 0;
    for seed in 0..6 {
        let server = || Memory::with_config(Config { enable_debug_command: Access::Yes, ..Config::default() });
        let (mut still, mut shaken) = (server(), server());
        let mut lot = Lot::new(seed);
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
            lot.go_on(&mut shaken.server.dbs, 200);
        }
        let digest = still.run("DEBUG DIGEST");
        assert!(digest.starts_with('+'), "{digest}");
        assert_eq!(shaken.run("DEBUG DIGEST"), digest, "seed {seed}");
        moved += lot.count;
    }
    assert!(moved > 10_000, "only {moved} moved");
}

/// Orders and ranks are found by members' bytes, which were moved.
#[test]
fn a_sorted_set_whose_members_were_moved_is_in_order() {
    let mut m = Memory::new();
    fill_large(&mut m);
    let before = [m.run("ZRANGE big 0 -1 WITHSCORES"), m.run("ZRANK big member:1234"), m.run("DUMP big")];
    let mut lot = Lot::new(1);
    while lot.count < 100_000 {
        lot.go_on(&mut m.server.dbs, 10_000);
    }
    assert_eq!([m.run("ZRANGE big 0 -1 WITHSCORES"), m.run("ZRANK big member:1234"), m.run("DUMP big")], before);
    for n in 0..2000 {
        assert_eq!(m.run(&format!("ZREM big member:{n}")), r":1\r\n");
    }
    assert_eq!(m.run("EXISTS big"), r":0\r\n");
}
