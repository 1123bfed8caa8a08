//! Strings that are held as compressed bitmaps. What is expected of each command is what a server with plain strings answers.

use std::path::Path;

use aleadb::base::clock::Clock;
use aleadb::config::Config;
use aleadb::engine::persistence::replay::accepts;
use aleadb::persist::check::check;
use aleadb::server::jobs::Limits;
use aleadb::store::hash::KeyHasher;

use crate::disk::SimulatedDisk;
use crate::loading::{disk_with_dump, settings, try_start};
use crate::memory::Memory;
use crate::rng::Rng;

fn server(bitmap_default_roaring: bool) -> Memory {
    Memory::with_config(Config { bitmap_default_roaring, ..settings(false) })
}

#[test]
fn bits_far_behind_the_end_make_compressed_strings_and_dense_ones_become_plain() {
    let mut m = Memory::new();
    m.expect(&[
        ("CONFIG GET bitmap-default-roaring", r"*2\r\n$22\r\nbitmap-default-roaring\r\n$2\r\nno\r\n"),
        ("SETBIT plain 4294967 1", r":0\r\n"),
        ("OBJECT ENCODING plain", r"$3\r\nraw\r\n"),
        ("CONFIG SET bitmap-default-roaring yes", r"+OK\r\n"),
        ("SETBIT plain 4294968 1", r":0\r\n"),
        ("OBJECT ENCODING plain", r"$3\r\nraw\r\n"),
        ("SETBIT k 4294967295 1", r":0\r\n"),
        ("TYPE k", r"+string\r\n"),
        ("OBJECT ENCODING k", r"$7\r\nroaring\r\n"),
        ("STRLEN k", r":536870912\r\n"),
        ("SETBIT k 4294967295 0", r":1\r\n"),
        ("BITCOUNT k", r":0\r\n"),
        ("BITPOS k 1", r":-1\r\n"),
        ("GETRANGE k -2 -1", r"$2\r\n\x00\x00\r\n"),
        ("BITFIELD k SET u8 4294967288 255 GET u8 4294967284", r"*2\r\n:0\r\n:15\r\n"),
        ("BITCOUNT k", r":8\r\n"),
        ("BITOP NOT inverse k", r":536870912\r\n"),
        ("OBJECT ENCODING inverse", r"$7\r\nroaring\r\n"),
        ("BITPOS inverse 0", r":4294967288\r\n"),
        ("BITRANGEINTARRAY k -1 -1 LIMIT 2", r"*2\r\n:4294967288\r\n:4294967289\r\n"),
        ("SET short ab", r"+OK\r\n"),
        ("SETBIT short 1000000 1", r":0\r\n"),
        ("OBJECT ENCODING short", r"$7\r\nroaring\r\n"),
        ("GETRANGE short 0 2", r"$3\r\nab\x00\r\n"),
        // With the setting off what is compressed stays so, and nothing new is.
        ("CONFIG SET bitmap-default-roaring no", r"+OK\r\n"),
        ("SETBIT short 5 1", r":0\r\n"),
        ("OBJECT ENCODING short", r"$7\r\nroaring\r\n"),
        ("BITFIELD other SET u8 100000 1", r"*1\r\n:0\r\n"),
        ("OBJECT ENCODING other", r"$3\r\nraw\r\n"),
        ("BITOP OR united short other", r":125001\r\n"),
        ("OBJECT ENCODING united", r"$3\r\nraw\r\n"),
        ("COPY short copy", r":1\r\n"),
        ("SETBIT copy 6 1", r":0\r\n"),
        ("OBJECT ENCODING copy", r"$7\r\nroaring\r\n"),
        ("GETRANGE short 0 0", r"$1\r\ne\r\n"),
        // What is about bytes writes bytes.
        ("APPEND short x", r":125002\r\n"),
        ("OBJECT ENCODING short", r"$3\r\nraw\r\n"),
        ("SETRANGE copy 3 y", r":125001\r\n"),
        ("OBJECT ENCODING copy", r"$3\r\nraw\r\n"),
        ("INCR inverse", r"-ERR value is not an integer or out of range\r\n"),
        ("INCRBYFLOAT inverse 1", r"-ERR value is not a valid float\r\n"),
        ("PFADD inverse a", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("LPUSH k x", r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
    ]);
    let usage: usize = m.run("MEMORY USAGE k").trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("a number");
    assert!(usage < 1000, "{usage}");
    // Every fourth bit: no form of theirs is smaller than the bytes.
    m.run("CONFIG SET bitmap-default-roaring yes");
    m.run("SETBIT dense 32775 0");
    assert_eq!(m.run("OBJECT ENCODING dense"), r"$7\r\nroaring\r\n");
    (0..1030).for_each(|n| _ = m.run(&format!("SETBIT dense {} 1", 4 * n)));
    assert_eq!(m.run("OBJECT ENCODING dense"), r"$3\r\nraw\r\n");
    assert_eq!(m.run("BITCOUNT dense"), r":1030\r\n");
}

/// A bit offset: near another one, in a chunk of its own, or at the end of one.
fn offset(rng: &mut Rng) -> usize {
    match rng.below(4) {
        0 => rng.below(900_000),
        1 => rng.below(70_000),
        2 => 65_530 + rng.below(12),
        _ => 40_000 + rng.below(40),
    }
}

fn line(rng: &mut Rng) -> String {
    let key = |rng: &mut Rng| ["a", "b", "c", "d"][rng.below(4)];
    let (k, at) = (key(rng), offset(rng));
    let (from, to) = (offset(rng) as i64 / 8, offset(rng) as i64 / 8);
    let (from, to) = if rng.chance(33) { (-from, -to) } else { (from, to) };
    match rng.below(22) {
        0..6 => format!("SETBIT {k} {at} {}", u8::from(rng.chance(75))),
        6 => format!("GETBIT {k} {at}"),
        7 => format!("BITCOUNT {k} {from} {to}"),
        8 => format!("BITCOUNT {k} {from} {to} BIT"),
        9 => format!("BITPOS {k} {} {from} {to}", rng.below(2)),
        10 => format!("BITPOS {k} {}", rng.below(2)),
        11 => format!("BITRANGEINTARRAY {k} {from} {to} LIMIT 9{}", if rng.chance(50) { " ZEROS" } else { "" }),
        12 => format!("BITFIELD {k} SET i40 {at} {} INCRBY u9 {at} 77 GET u63 {}", rng.below(1 << 40), at + 3),
        13 => format!("BITFIELD_RO {k} GET i33 {at}"),
        14 | 15 => {
            let op = ["AND", "OR", "XOR", "DIFF", "DIFF1", "ANDOR", "ONE"][rng.below(7)];
            format!("BITOP {op} {} {} {} {}", key(rng), key(rng), key(rng), key(rng))
        }
        16 => format!("BITOP NOT {k} {}", key(rng)),
        17 => format!("GETRANGE {k} {from} {}", from + 40),
        18 => format!("BITFIELD {k} SET u8 {at} 255 SET u63 {} {}", at + 8, (1_u64 << 63) - 1),
        19 => format!("STRLEN {k}"),
        20 => [format!("COPY {k} {} REPLACE", key(rng)), format!("SETRANGE {k} 20 abc")][rng.below(2)].clone(),
        _ => [format!("DEL {k}"), format!("DIGEST {k}"), format!("SET {k} x IFEQ y")][rng.below(3)].clone(),
    }
}

#[test]
fn replies_and_bytes_are_those_of_plain_strings() {
    let (mut rng, mut compressed) = (Rng::new(11), 0);
    let (mut plain, mut other) = (server(false), server(true));
    for round in 0..600 {
        let line = line(&mut rng);
        let expected = plain.run(&line);
        assert_eq!(other.run(&line), expected, "{line}");
        if round % 100 == 0 {
            let line = "MGET a b c d";
            assert!(other.run(line) == plain.run(line), "after {round}");
            let line = "DEBUG DIGEST-VALUE a b c d";
            let digests = plain.run(line);
            assert!(digests.len() > 4 * 40 && other.run(line) == digests, "after {round}");
            for key in ["a", "b", "c", "d"] {
                compressed += usize::from(other.run(&format!("OBJECT ENCODING {key}")).contains("roaring"));
            }
        }
    }
    assert!(compressed > 5, "{compressed}");
}

const LINES: &[&str] = &[
    "CONFIG SET bitmap-default-roaring yes",
    "SETBIT far 4294967295 1",
    "BITOP NOT full far",
    "SETBIT a 9000000 1",
    "BITFIELD a SET u63 100 4611686018427387904 SET i20 70000 77",
    "PEXPIREAT a 4000000000000",
];

fn assert_there(m: &mut Memory, keys: &[&str]) {
    for key in keys {
        m.expect(&[(&format!("OBJECT ENCODING {key}"), r"$7\r\nroaring\r\n")]);
    }
    m.expect(&[
        ("BITRANGEINTARRAY a 0 -1", r"*6\r\n:100\r\n:70013\r\n:70016\r\n:70017\r\n:70019\r\n:9000000\r\n"),
        ("STRLEN a", r":1125001\r\n"),
        ("PEXPIRETIME a", r":4000000000000\r\n"),
    ]);
    if keys.contains(&"full") {
        m.expect(&[
            ("BITCOUNT full", r":4294967295\r\n"),
            ("BITPOS full 0", r":4294967295\r\n"),
            ("BITPOS far 1", r":4294967295\r\n"),
        ]);
    }
}

#[test]
fn compressed_bitmaps_come_back_from_dump_files_logs_and_payloads() {
    let disk = disk_with_dump(LINES);
    let mut m = try_start(&disk, settings(false), 100).expect("a good dump file");
    assert_there(&mut m, &["far", "full", "a"]);
    let found = check(&disk, Path::new("dump.rdb"), (0, KeyHasher::new([7; 16])), &accepts);
    assert!(found.is_good && found.text.contains("    string 3"), "{}", found.text);
    for line in ["SAVE", "DEBUG RELOAD", "DEL far full"] {
        m.run(line);
    }
    assert_there(&mut m, &["a"]);
    // A payload is that of a plain string, and so is what a version of Redis's holds.
    m.run("PERSIST a");
    let digest = m.run("DEBUG DIGEST-VALUE a");
    for limits in [Limits::default(), Limits { long: 0, slice_elements: 1, ..Limits::default() }] {
        m.server.jobs.limits = limits;
        let reply = m.raw(&[b"DUMP", b"a"]);
        let start = reply.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
        assert_eq!(reply[start], 0, "the form of a string");
        m.run("DEL b");
        assert_eq!(m.raw(&[b"RESTORE", b"b", b"0", &reply[start..reply.len() - 2]]), b"+OK\r\n");
        m.expect(&[("OBJECT ENCODING b", r"$3\r\nraw\r\n"), ("DEBUG DIGEST-VALUE b", &digest)]);
    }
    m.server.jobs.limits = Limits::default();
    m.expect(&[("CONFIG SET rdb-format-version 12", r"+OK\r\n"), ("SAVE", r"+OK\r\n")]);
    m.expect(&[("DEBUG RELOAD NOSAVE", r"+OK\r\n"), ("OBJECT ENCODING a", r"$3\r\nraw\r\n")]);
    m.expect(&[("DEBUG DIGEST-VALUE a", &digest)]);
}

#[test]
fn a_snapshot_has_the_bits_of_its_beginning() {
    let disk = SimulatedDisk::new();
    let config = Config { bitmap_default_roaring: true, ..settings(false) };
    let mut m = try_start(&disk, config, 0).expect("an empty directory");
    for chunk in 0..300 {
        m.run(&format!("SETBIT k {} 1", chunk * 70_000));
    }
    m.run("COPY k other");
    let digest = m.run("DEBUG DIGEST-VALUE k");
    m.run("BGSAVE");
    m.run("SETBIT k 3 1");
    m.run("SETBIT other 3 1");
    m.run("APPEND other x");
    for _ in 0..10_000 {
        let now = m.clock.now();
        m.server.walk_snapshot(0, now);
        m.turn_completions();
        if !m.server.persistence.snapshots.is_running() {
            break;
        }
    }
    assert!(!m.server.persistence.snapshots.is_running());
    m.expect(&[
        ("DEBUG RELOAD NOSAVE", r"+OK\r\n"),
        ("DEBUG DIGEST-VALUE k", &digest),
        ("DEBUG DIGEST-VALUE other", &digest),
    ]);
}
