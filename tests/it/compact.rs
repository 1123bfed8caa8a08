//! Hashes that share the names of their fields: their replies are those of a server whose hashes do not.

use aleadb::base::clock::Clock;
use aleadb::config::{Access, Config};

use crate::disk::SimulatedDisk;
use crate::generate::Generator;
use crate::jobs::{is_barred, send};
use crate::loading::{disk_with_dump, settings, try_start};
use crate::memory::Memory;
use crate::mover::Lot;

const OK: &str = r"+OK\r\n";
const COMPACT: &str = r"$7\r\ncompact\r\n";
const LISTPACK: &str = r"$8\r\nlistpack\r\n";

/// A server whose hashes of 2 to 6 fields share their names.
fn sharing() -> Memory {
    with(Config { hash_min_template_entries: 2, hash_max_template_entries: 6, ..Config::default() })
}

/// A server whose data can be compared as a whole.
fn with(config: Config) -> Memory {
    Memory::with_config(Config { enable_debug_command: Access::Yes, ..config })
}

/// The digest of all data.
fn digest(m: &mut Memory) -> String {
    let digest = m.run("DEBUG DIGEST");
    assert!(digest.starts_with('+') || digest.starts_with('$'), "{digest}");
    digest
}

/// Templates, and hashes that use them.
fn counts(m: &mut Memory) -> (usize, usize) {
    let counts = m.server.dbs.templates().counts();
    let stats = m.run("INFO stats");
    for field in
        [format!(r"hash_templates:{}\r\n", counts.templates), format!(r"hash_template_keys:{}\r\n", counts.hashes)]
    {
        assert!(stats.contains(&field), "{field} in {stats}");
    }
    (counts.templates, counts.hashes)
}

#[test]
fn the_encoding_follows_the_number_of_fields_and_their_deadlines() {
    let mut m = sharing();
    m.expect(&[
        ("HSET k a 1", r":1\r\n"),
        ("OBJECT ENCODING k", LISTPACK),
        ("HSET k b 2", r":1\r\n"),
        ("OBJECT ENCODING k", COMPACT),
        ("HSET k a 30 b long", r":0\r\n"),
        ("HINCRBY k a 12", r":42\r\n"),
        ("HGETALL k", r"*4\r\n$1\r\na\r\n$2\r\n42\r\n$1\r\nb\r\n$4\r\nlong\r\n"),
        ("OBJECT ENCODING k", COMPACT),
        ("HSET k c 1 d 2 e 3 f 4", r":4\r\n"),
        ("OBJECT ENCODING k", COMPACT),
        ("HSET k g 1", r":1\r\n"),
        ("OBJECT ENCODING k", LISTPACK),
        ("HDEL k g", r":1\r\n"),
        ("OBJECT ENCODING k", COMPACT),
        ("HEXPIRE k 100 FIELDS 1 a", r"*1\r\n:1\r\n"),
        ("OBJECT ENCODING k", r"$10\r\nlistpackex\r\n"),
        ("HPERSIST k FIELDS 1 a", r"*1\r\n:1\r\n"),
        ("OBJECT ENCODING k", r"$10\r\nlistpackex\r\n"),
        ("HSET l a 1 b 2", r":2\r\n"),
        ("HDEL l a", r":1\r\n"),
        ("OBJECT ENCODING l", LISTPACK),
        ("HDEL l b", r":1\r\n"),
        ("EXISTS l", r":0\r\n"),
    ]);
    m.run(&format!("HSET v a 1 b {}", "x".repeat(64)));
    m.expect(&[("OBJECT ENCODING v", COMPACT)]);
    m.run(&format!("HSET v a {}", "x".repeat(65)));
    m.expect(&[("OBJECT ENCODING v", r"$9\r\nhashtable\r\n"), ("HSTRLEN v b", r":64\r\n")]);
    m.expect(&[
        ("HIMPORT PREPARE f x y", OK),
        ("HIMPORT SET w f 1 2", OK),
        ("OBJECT ENCODING w", COMPACT),
        // What is there changes with the setting when it is written.
        ("CONFIG SET hash-max-template-entries 0", OK),
        ("OBJECT ENCODING w", COMPACT),
        ("HSET w x 3", r":0\r\n"),
        ("OBJECT ENCODING w", LISTPACK),
    ]);
    assert_eq!(counts(&mut m), (0, 0));
}

#[test]
fn a_template_is_there_as_long_as_a_hash_uses_it() {
    let mut m = sharing();
    for n in 0..20 {
        m.run(&format!("HSET h{n} name n{n} age {n} city c"));
    }
    assert_eq!(counts(&mut m), (1, 20));
    let stats = m.run("MEMORY STATS");
    assert!(stats.contains(r"hash.templates\r\n:") && !stats.contains(r"hash.templates\r\n:0\r\n"), "{stats}");
    m.run("HSET other city c age 1 name n");
    m.run("COPY h1 copy");
    m.run("RENAME h2 renamed");
    m.run("MOVE h3 1");
    assert_eq!(counts(&mut m), (2, 22));
    m.run("SET h4 v");
    m.run("HDEL h5 name age city");
    m.run("UNLINK h6 copy");
    m.run("EXPIRE h7 1");
    m.advance_ms(2_000);
    assert_eq!(counts(&mut m), (2, 17));
    m.run("DEL other");
    assert_eq!(counts(&mut m), (1, 16));
    let digest = digest(&mut m);
    m.expect(&[("SAVE", OK), ("DEBUG RELOAD", OK), ("DEBUG DIGEST", &digest), ("OBJECT ENCODING h8", LISTPACK)]);
    assert_eq!(counts(&mut m), (0, 0));
    m.expect(&[("HSET h8 age 7", r":0\r\n"), ("OBJECT ENCODING h8", COMPACT), ("FLUSHALL ASYNC", OK)]);
    assert_eq!(counts(&mut m), (0, 0));
}

/// Blocks move meanwhile, and what is dumped is what a server without templates dumps.
#[test]
fn replies_and_payloads_are_those_of_a_server_that_shares_nothing() {
    let (mut seen, mut moved) = (0, 0);
    for seed in 0..4 {
        let (mut plain, mut shared) = (with(Config::default()), sharing());
        plain.server.begin_propagation();
        shared.server.begin_propagation();
        let mut lot = Lot::new(seed);
        let others = ["copy", "rename", "del", "move", "type", "sort", "exists"];
        let mut lines = Generator::new(seed, is_barred, |name| {
            (name.starts_with('h') && name != "hello") || others.contains(&name)
        });
        for step in 0..2_500 {
            let line = lines.line();
            let (expected, found) = (send(&mut plain, &line), send(&mut shared, &line));
            let shown = || line.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>();
            assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{seed}: {:?}", shown());
            plain.advance_ms(1);
            shared.advance_ms(1);
            lot.go_on(&mut shared.server.dbs, 20);
            seen += shared.server.dbs.templates().counts().hashes;
            if step % 250 == 0 {
                let keys = plain.raw(&[b"KEYS", b"*"]);
                let keys: Vec<&[u8]> = keys.split(|byte| *byte == b'\n').map(|key| key.trim_ascii_end()).collect();
                for key in keys {
                    assert_eq!(
                        plain.raw(&[b"DUMP", key]),
                        shared.raw(&[b"DUMP", key]),
                        "{seed}: {}",
                        key.escape_ascii()
                    );
                }
                assert_eq!(digest(&mut plain), digest(&mut shared), "{seed}");
            }
        }
        assert_eq!(plain.take_propagated(), shared.take_propagated(), "{seed}");
        moved += lot.count;
    }
    assert!(seen > 2_000 && moved > 2_000, "{seen} hashes with a template, {moved} blocks moved");
}

#[test]
fn a_snapshot_has_what_there_was_when_it_began() {
    let mut m = sharing();
    for n in 0..50 {
        m.run(&format!("HSET h{n} a {n} b x"));
    }
    let digest = digest(&mut m);
    m.run("BGSAVE");
    for n in 0..50 {
        m.run(&format!("HSET h{n} a changed c new"));
    }
    while m.server.persistence.snapshots.is_running() {
        let now = m.clock.now();
        m.server.walk_snapshot(0, now);
        m.turn_completions();
    }
    m.expect(&[("DEBUG RELOAD NOSAVE", OK), ("DEBUG DIGEST", &digest)]);
}

fn loading(min: u64, max: u64, threshold: u64) -> Config {
    Config {
        hash_rdb_load_min_template_entries: min,
        hash_rdb_load_max_template_entries: max,
        hash_rdb_load_template_disassembly_threshold: threshold,
        ..settings(false)
    }
}

fn started(disk: &SimulatedDisk, config: Config) -> Memory {
    try_start(disk, config, 0).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn hashes_of_a_dump_file_share_their_names_if_there_are_enough_of_them() {
    let mut lines: Vec<String> = (0..10).map(|n| format!("HSET k{n} a {n} b 2 c 3")).collect();
    lines.extend((0..2).map(|n| format!("HSET other{n} x {n} y 2 z 3")));
    lines.push("HSET small a 1".to_owned());
    lines.push("HSET wide a 1 b 2 c 3 d 4 e 5".to_owned());
    lines.push("HSET timed a 1 b 2 c 3".to_owned());
    lines.push("HPEXPIRE timed 100000 FIELDS 1 a".to_owned());
    lines.push(format!("HSET long a {} b 2 c 3", "x".repeat(100)));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let disk = disk_with_dump(&lines);
    let mut plain = started(&disk, settings(false));
    assert_eq!(counts(&mut plain), (0, 0));
    for (config, expected) in [
        (loading(0, 0, 0), (0, 0)),
        (loading(0, 4, 0), (0, 0)),
        (loading(1, 0, 0), (4, 14)),
        (loading(2, 0, 0), (3, 13)),
        (loading(2, 4, 0), (2, 12)),
        (loading(2, 4, 2), (2, 12)),
        (loading(2, 4, 3), (1, 10)),
        (loading(2, 4, 11), (0, 0)),
    ] {
        let what = format!("{config:?}");
        let mut m = started(&disk, config);
        while m.server.renewal.is_some() {
            m.advance_ms(1);
            m.turn();
        }
        assert_eq!(counts(&mut m), expected, "{what}");
        assert_eq!(digest(&mut m), digest(&mut plain));
        m.server.dbs[0].check_sizes();
    }
    // DEBUG RELOAD loads as well.
    plain.run("CONFIG SET hash-rdb-load-min-template-entries 3 hash-rdb-load-template-disassembly-threshold 5");
    assert_eq!(plain.run("DEBUG RELOAD"), OK);
    plain.advance_ms(1);
    plain.turn();
    assert_eq!(counts(&mut plain), (1, 10));
}

#[test]
fn no_more_names_are_shared_where_hardly_any_are_worth_it() {
    let mut lines: Vec<String> = (0..2000).map(|n| format!("HSET k{n} a{n} 1 b{n} 2")).collect();
    lines.extend((0..5).map(|n| format!("HSET same{n} a 1 b 2")));
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let disk = disk_with_dump(&lines);
    let mut m = started(&disk, loading(2, 0, 0));
    assert_eq!(counts(&mut m).0, 2001);
    let mut m = started(&disk, loading(2, 0, 2));
    let (templates, hashes) = counts(&mut m);
    assert!((1000..1100).contains(&templates) && hashes <= templates + 4, "{templates}, {hashes}");
}
