//! HyperLogLogs. What is expected here was answered by Redis 8.2.3.

use aleadb::base::murmur;
use aleadb::config::Config;

use crate::memory::Memory;

#[test]
fn the_bytes_are_those_of_redis_step_by_step() {
    let mut m = Memory::new();
    m.expect(&[
        ("PFADD h a b c", r":1\r\n"),
        ("GET h", r"$27\r\nHYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80`\xf3\x80P\xb1\x84K\xfb\x80BZ\r\n"),
        ("PFADD h a b c", r":0\r\n"),
        ("PFCOUNT h", r":3\r\n"),
        ("GET h", r"$27\r\nHYLL\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00`\xf3\x80P\xb1\x84K\xfb\x80BZ\r\n"),
        ("PFADD h d", r":1\r\n"),
        ("GET h", r"$30\r\nHYLL\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x80\\{\x80Dv\x80P\xb1\x84K\xfb\x80BZ\r\n"),
        ("OBJECT ENCODING h", r"$3\r\nraw\r\n"),
        ("TYPE h", r"+string\r\n"),
        ("PFADD e", r":1\r\n"),
        ("GET e", r"$18\r\nHYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff\r\n"),
        ("PFADD e", r":0\r\n"),
        ("PFCOUNT e", r":0\r\n"),
        ("PFCOUNT nosuch", r":0\r\n"),
        ("PFCOUNT nosuch h e", r":4\r\n"),
        ("PFADD i a b x y z", r":1\r\n"),
        ("PFCOUNT h i", r":7\r\n"),
        ("PFMERGE u h i", r"+OK\r\n"),
        ("GET u", r"$38\r\nHYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\\{\x80Dv\x80@\x8f\x80P \x84H\xab\x88CN\x80BP\x84\x08\r\n"),
        ("PFCOUNT u", r":7\r\n"),
        ("PFMERGE v", r"+OK\r\n"),
        ("GET v", r"$18\r\nHYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff\r\n"),
        ("PFMERGE h", r"+OK\r\n"),
        ("GET h", r"$30\r\nHYLL\x01\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x80\\{\x80Dv\x80P\xb1\x84K\xfb\x80BZ\r\n"),
        ("PFDEBUG ENCODING h", r"+sparse\r\n"),
        ("PFDEBUG DECODE h", r"$57\r\nZ:7292 v:1,1 Z:1143 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:603\r\n"),
        ("PFDEBUG TODENSE h", r":1\r\n"),
        ("PFDEBUG TODENSE h", r":0\r\n"),
        ("PFDEBUG encoding h", r"+dense\r\n"),
        ("PFDEBUG DECODE h", r"-ERR HLL encoding is not sparse\r\n"),
        ("STRLEN h", r":12304\r\n"),
        ("PFCOUNT h", r":4\r\n"),
        ("PFADD h a", r":0\r\n"),
        ("PFADD h q", r":1\r\n"),
        ("PFMERGE i h", r"+OK\r\n"),
        ("PFDEBUG ENCODING i", r"+dense\r\n"),
        ("PFCOUNT i", r":8\r\n"),
        ("PFDEBUG ENCODING nosuch", r"-ERR The specified key does not exist\r\n"),
        ("PFDEBUG NOSUCH h", r"-ERR Unknown PFDEBUG subcommand \'NOSUCH\'\r\n"),
    ]);
}

#[test]
fn what_is_no_hyperloglog_or_a_broken_one_is_refused() {
    let mut m = Memory::new();
    m.expect(&[
        ("SET s hello", r"+OK\r\n"),
        ("SET n 12", r"+OK\r\n"),
        ("PFADD s a", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("PFADD n a", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("PFCOUNT s", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("PFCOUNT nosuch n", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("PFMERGE t s", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("EXISTS t", r":0\r\n"),
        ("PFMERGE s t", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("PFDEBUG ENCODING s", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        ("SET s HYLL", r"+OK\r\n"),
        ("PFCOUNT s", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        (r#"SET s "HYLL\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff""#, r"+OK\r\n"),
        ("PFCOUNT s", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        (r#"SET s "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x7f\xff""#, r"+OK\r\n"),
        ("PFCOUNT s", r"-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"),
        (r#"SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xfe""#, r"+OK\r\n"),
        ("PFCOUNT s", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ("PFCOUNT s nosuch", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ("PFMERGE t s", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ("PFMERGE s t", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ("PFADD s a b c d", r":1\r\n"),
        ("PFDEBUG TODENSE s", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ("PFDEBUG GETREG s", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        ("PFDEBUG DECODE s", r"$57\r\nZ:7292 v:1,1 Z:1143 v:1,1 Z:4274 v:2,1 Z:3068 v:1,1 Z:602\r\n"),
        (r#"SET s "HYLL\x01\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00""#, r"+OK\r\n"),
        ("PFCOUNT s", r":5\r\n"),
        ("PFADD s a", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
        (r#"SET s "HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x7f\xff\x00""#, r"+OK\r\n"),
        ("PFCOUNT s", r"-INVALIDOBJ Corrupted HLL object detected\r\n"),
    ]);
}

/// After so many elements, what Redis has: the string's length, its MurmurHash64A, the estimate.
type Stage = (usize, usize, u64, u64);

/// The stages by the longest sparse string allowed.
const GROWTH: [(u64, &[Stage]); 3] = [
    (
        3000,
        &[
            (20, 76, 0xe56e_da84_0186_8869, 20),
            (200, 505, 0xd332_24f4_be1f_e333, 200),
            (1_000, 1_897, 0x4781_30cd_88d6_a059, 997),
            (2_000, 12_304, 0x1376_a477_f371_46b5, 2_004),
            (50_000, 12_304, 0x4289_ae59_76a5_1600, 49_716),
        ],
    ),
    (64, &[(20, 12_304, 0x8811_ae19_b27f_e573, 20), (200, 12_304, 0x3f0e_8eb7_0439_b14b, 200)]),
    (0, &[(20, 12_304, 0x8811_ae19_b27f_e573, 20), (200, 12_304, 0x3f0e_8eb7_0439_b14b, 200)]),
];

#[test]
fn strings_grow_and_become_dense_when_those_of_redis_do() {
    for (bytes_max, stages) in GROWTH {
        let mut m = Memory::with_config(Config { hll_sparse_max_bytes: bytes_max, ..Config::default() });
        let mut added = 0;
        for &(elements, length, hash, estimate) in stages {
            for n in added..elements {
                m.raw(&[b"PFADD", b"h", format!("element:{n}").as_bytes()]);
            }
            added = elements;
            m.expect(&[("STRLEN h", &format!(":{length}\\r\\n"))]);
            let reply = m.raw(&[b"GET", b"h"]);
            let text = &reply[reply.len() - 2 - length..reply.len() - 2];
            assert_eq!(murmur::hash64a(text, 0), hash, "{bytes_max} {elements}");
            // The header keeps the estimate, or what is left of it, from here on.
            m.expect(&[("PFCOUNT h", &format!(":{estimate}\\r\\n"))]);
        }
    }
}

#[test]
fn counting_keeps_the_estimate_and_that_is_a_change_without_an_event() {
    let mut m = Memory::new();
    let rows = [
        ("PFADD h a b c", 4),
        ("PFADD h a b c", 0),
        ("PFADD h d e", 2),
        ("PFCOUNT h", 1),
        ("PFCOUNT h", 0),
        ("PFCOUNT h h", 0),
        ("PFMERGE u h", 1),
        ("PFMERGE u h", 1),
        ("PFDEBUG GETREG u", 1),
        ("PFDEBUG GETREG u", 0),
    ];
    for (line, changes) in rows {
        let before = m.server.stats.dirty;
        m.run(line);
        assert_eq!(m.server.stats.dirty - before, changes, "{line}");
    }
}

#[test]
fn adding_to_a_broken_one_changes_nothing() {
    let mut m = Memory::new();
    // The runs end after 8192 registers: there is one for `b`, and none for `a`.
    let broken = r#""HYLL\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x5f\xff""#;
    m.run(&format!("SET h {broken}"));
    let before = m.run("GET h");
    m.expect(&[("PFADD h b a", r"-INVALIDOBJ Corrupted HLL object detected\r\n"), ("GET h", &before)]);
}

#[test]
fn vector_instructions_are_not_switched() {
    let mut m = Memory::new();
    m.expect(&[
        ("PFDEBUG SIMD ON", r"+disabled\r\n"),
        ("PFDEBUG SIMD off", r"+disabled\r\n"),
        ("PFDEBUG SIMD x", r"-ERR Argument must be ON or OFF\r\n"),
    ]);
}

#[test]
fn the_self_test_passes() {
    Memory::new().expect(&[("PFSELFTEST", r"+OK\r\n")]);
}

#[test]
fn registers_are_listed_and_lifetimes_stay() {
    let mut m = Memory::new();
    m.run("PFADD h a b c d");
    m.run("PEXPIRE h 100000");
    let registers = m.run("PFDEBUG GETREG h");
    assert!(registers.starts_with(r"*16384\r\n:0\r\n"));
    assert_eq!([":0", ":1", ":2"].map(|value| registers.matches(&format!("{value}\\r")).count()), [16_380, 3, 1]);
    m.expect(&[("PFADD h e", r":1\r\n"), ("PFMERGE h h", r"+OK\r\n"), ("PTTL h", r":100000\r\n")]);
}
