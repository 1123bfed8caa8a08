//! The base of a log as commands: that it holds what the server held, and that one which is not whole is refused.

use std::path::Path;

use aleadb::base::clock::Clock;
use aleadb::config::Config;
use aleadb::engine::persistence::replay::accepts;
use aleadb::persist::aof::batch::HEAD;
use aleadb::persist::check::check;
use aleadb::persist::recover::recover;
use aleadb::store::hash::KeyHasher;

use super::contents::{self, Contents, contents};
use super::disk::{Call, SimulatedDisk};
use super::generate::{Generator, Line};
use super::loading::{encoded, refusal, settings, try_start};
use super::memory::{Memory, START_MS};

const BASE: &str = "appendonlydir/appendonly.aof.1.base.aof";

fn config() -> Config {
    Config { aof_use_rdb_preamble: false, ..settings(true) }
}

/// A server with a log, on an empty disk.
fn server(config: Config) -> (Memory, SimulatedDisk) {
    let disk = SimulatedDisk::new();
    let mut m = try_start(&disk, config, 0).unwrap_or_else(|failure| panic!("{failure}"));
    finish(&mut m, |_| {});
    (m, disk)
}

/// Runs turns until nothing is rewritten.
fn finish(m: &mut Memory, mut between: impl FnMut(&mut Memory)) {
    for _ in 0..200_000 {
        turn(m);
        let rewrites = m.server.persistence.log.rewrites();
        if !rewrites.is_running() && !rewrites.is_pending() && m.server.persistence.log.is_established() {
            m.clock.advance_ms(2_000);
            turn(m);
            turn(m);
            return;
        }
        between(m);
    }
    panic!("the rewrite has no end");
}

fn turn(m: &mut Memory) {
    m.clock.advance_ms(1);
    m.turn();
    let now = m.clock.now();
    m.server.log_turn(now);
    m.server.log_turn_ends(0);
}

fn rewrite(m: &mut Memory) {
    assert_eq!(m.run("BGREWRITEAOF"), r"+Background append only file rewriting started\r\n");
    finish(m, |_| {});
}

/// The base that the manifest of a disk names.
fn base(disk: &SimulatedDisk) -> (String, Vec<u8>) {
    let paths = disk.paths();
    let path = paths.iter().find(|path| path.to_string_lossy().contains(".base.")).expect("there is one base");
    (path.display().to_string(), disk.contents(path).expect("it is listed"))
}

/// What a disk has in a directory, on a disk of its own.
fn copied(disk: &SimulatedDisk, dir: &Path) -> SimulatedDisk {
    let other = SimulatedDisk::new();
    for path in disk.paths() {
        if let Ok(inside) = path.strip_prefix(dir) {
            other.put(inside, &disk.contents(&path).expect("it is listed"));
        }
    }
    other
}

/// Loads what is on a disk into a server that hashes otherwise, as long after the others as a server has lived.
fn loaded(disk: &SimulatedDisk, beside: &Memory) -> Memory {
    let later_ms = beside.clock.now().unix_ms - START_MS;
    // The other one has the lock.
    let m = try_start(&copied(disk, Path::new("")), config(), later_ms as u64)
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(m.server.persistence.found.failed, 0, "no command of a log fails");
    m
}

fn assert_same(m: &mut Memory, disk: &SimulatedDisk, at: &str) {
    let mut other = loaded(disk, m);
    let [held, found]: [Contents; 2] = [contents(m), contents(&mut other)];
    if let Some(difference) = contents::difference(&held, &found, 0) {
        panic!("{at}: {difference}");
    }
    assert_eq!(m.run("DEBUG DIGEST"), other.run("DEBUG DIGEST"), "{at}");
}

/// Lines that change no more than the data, and wait for nobody.
fn is_barred(name: &str, line: &Line) -> bool {
    let other =
        ["save", "bgsave", "backup", "bgrewriteaof", "shutdown", "abort", "debug", "sleep", "config", "client", "acl"];
    let more = ["hello", "auth", "reset", "wait", "waitaof", "multi", "exec", "failover", "replicaof", "slaveof"];
    let blocking =
        ["blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "subscribe", "monitor"];
    let first = name.split('|').next().unwrap_or(name);
    [&other[..], &more, &blocking].iter().any(|names| names.contains(&first))
        || first.ends_with("subscribe")
        || line.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
}

fn raw(m: &mut Memory, line: &Line) {
    let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    m.raw(&args);
}

/// Values of each type that take several commands, and several pieces.
fn fill_large(m: &mut Memory) {
    let elements: Vec<String> = (0..3_000).map(|n| format!("element:{n}")).collect();
    m.run("SELECT 7");
    for (command, of) in [
        ("RPUSH list", (|_, e| e) as fn(usize, String) -> String),
        ("SADD set", |_, e| e),
        ("SADD ints", |n, _| (n * 7).to_string()),
        ("ZADD zset", |n, e| format!("{} {e}", n as f64 / 3.0 - 500.0)),
        ("HSET hash", |_, e| format!("{e} v:{e}")),
    ] {
        let args: Vec<String> = elements.iter().cloned().enumerate().map(|(n, e)| of(n, e)).collect();
        m.run(&format!("{command} {}", args.join(" ")));
    }
    m.run("HPEXPIREAT hash 4000000000000 FIELDS 2 element:1 element:2999");
    m.run("CONFIG SET bitmap-default-roaring yes");
    m.run("SETBIT bitmap 400000 1");
    m.run("BITFIELD bitmap SET u32 7 77777 SET u32 130007 77777");
    assert_eq!(m.run("OBJECT ENCODING bitmap"), r"$7\r\nroaring\r\n");
    m.run("SUNIONSTORE leaving set");
    m.run("SPEXPIREAT leaving 4000000000000 MEMBERS 2 element:1 element:2999");
    m.run("ZRANGESTORE ranked zset 0 -1");
    m.run("ZPEXPIREAT ranked 4000000000000 MEMBERS 2 element:1 element:2999");
    m.run(&format!("ARMSET array {}", (0..3_000).map(|n| format!("{} {n}", n * n)).collect::<Vec<_>>().join(" ")));
    m.run("ARSEEK array 77");
    m.run("ZADD scores inf a -inf b -0 c 1e300 d 0.1 e 3 f");
    for n in 1..3_000 {
        m.run(&format!("XADD stream {n}-1 field {n} other {n}"));
    }
    m.run("XGROUP CREATE stream group 0");
    m.run("XREADGROUP GROUP group one COUNT 2000 STREAMS stream >");
    m.run("PEXPIREAT zset 4000000000000");
    for (key, bytes) in [("shared", 20_000), ("pieces", 6 << 20), ("short", 70)] {
        m.raw(&[b"SET", key.as_bytes(), &vec![b'x'; bytes], b"PXAT", b"4000000000001"]);
    }
    let long = vec![b'l'; 100_000];
    m.raw(&[b"RPUSH", b"list", &long, &long]);
    m.run("SELECT 0");
}

#[test]
fn a_base_of_commands_loads_to_the_same_data() {
    for seed in 0..8 {
        let (mut m, disk) = server(Config { aof_batch_checksums: seed % 2 == 0, ..config() });
        let mut lines = Generator::new(seed, is_barred, |_| true);
        (0..1_500).for_each(|_| raw(&mut m, &lines.line()));
        fill_large(&mut m);
        rewrite(&mut m);
        let (name, bytes) = base(&disk);
        assert!(name.ends_with(".base.aof"), "{name}");
        assert_eq!(bytes.starts_with(HEAD) && bytes.ends_with(HEAD), seed % 2 == 0);
        assert_same(&mut m, &disk, &format!("seed {seed}"));
        let report = check(&disk, Path::new("."), (START_MS, KeyHasher::new([3; 16])), &accepts);
        assert!(report.is_good, "{}", report.text);
        assert_eq!(report.text.contains(" batches of a base"), seed % 2 == 0, "{}", report.text);
    }
}

/// Who writes meanwhile is put on hold for large values, and everybody else goes on.
#[test]
fn a_base_of_commands_is_of_one_moment_whatever_is_written_meanwhile() {
    for seed in 0..6 {
        let (mut m, disk) = server(config());
        let mut lines = Generator::new(seed, is_barred, |_| true);
        (0..800).for_each(|_| raw(&mut m, &lines.line()));
        fill_large(&mut m);
        assert_eq!(m.run("BGREWRITEAOF"), r"+Background append only file rewriting started\r\n");
        let mut count = 0;
        finish(&mut m, |m| {
            for _ in 0..3 {
                let line = lines.line();
                if !m.is_waiting() {
                    raw(m, &line);
                    count += 1;
                }
            }
            m.run("XADD {stream} * a b");
            m.wake();
        });
        assert!(count > 0);
        assert_same(&mut m, &disk, &format!("seed {seed}"));
    }
}

/// Redis drops what is pending and deleted, for XCLAIM takes no entry that is not there.
#[test]
fn pending_entries_that_are_gone_are_still_pending_after_a_rewrite() {
    let fill: &[&[&str]] = &[
        // All is gone: trimmed, deleted, both.
        &[
            "XADD s 1 a 1",
            "XADD s 2 a 2",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XTRIM s MAXLEN 0",
        ],
        &["XADD s 1 a 1", "XADD s 2 a 2", "XGROUP CREATE s g 0", "XREADGROUP GROUP g c STREAMS s >", "XDEL s 1 2"],
        // Some before, between and behind those that are there.
        &[
            "XADD s 1 a 1",
            "XADD s 2 a 2",
            "XADD s 3 a 3",
            "XADD s 4 a 4",
            "XADD s 5 a 5",
            "XADD s 6 a 6",
            "XGROUP CREATE s g 0",
            "XGROUP CREATE s h 0",
            "XREADGROUP GROUP g c COUNT 2 STREAMS s >",
            "XREADGROUP GROUP g d STREAMS s >",
            "XREADGROUP GROUP h e COUNT 4 STREAMS s >",
            "XTRIM s MINID 2",
            "XDEL s 4 6",
        ],
        // The stream's last id is before them.
        &[
            "XADD s 1 a 1",
            "XADD s 9 a 2",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XTRIM s MAXLEN 0",
            "XSETID s 5 ENTRIESADDED 1",
        ],
        // Nothing was ever there.
        &["XGROUP CREATE s g $ MKSTREAM", "XGROUP CREATECONSUMER s g sleeper", "XGROUP CREATE s h 7-7 ENTRIESREAD 3"],
        // Some were released, in another order than that of their ids, and are there or not.
        &[
            "XADD s 1 a 1",
            "XADD s 2 a 2",
            "XADD s 3 a 3",
            "XGROUP CREATE s g 0",
            "XREADGROUP GROUP g c STREAMS s >",
            "XNACK s g FATAL IDS 3 3 1 2",
            "XCLAIM s g c 0 2",
            "XDEL s 1",
        ],
        // Producers' ids are known, of entries that are there and gone.
        &["XADD s IDMP p i * a 1", "XADD s IDMP q i * a 2", "XADD s MAXLEN 1 * a 3"],
        &["XADD s * a 1", "XCFGSET s IDMP-MAXSIZE 3", "XADD s IDMP p j * b 1"],
        // Nothing is there, and nothing is pending.
        &["XADD s 5-5 a b", "XTRIM s MAXLEN 0"],
    ];
    for lines in fill {
        let (mut m, disk) = server(config());
        for line in *lines {
            assert!(!m.run(line).starts_with('-'), "{line}");
        }
        rewrite(&mut m);
        assert_same(&mut m, &disk, &lines.join(" | "));
    }
    // Far more than one piece takes, in gaps of all lengths.
    let (mut m, disk) = server(config());
    m.run("XGROUP CREATE s g $ MKSTREAM");
    m.run("XGROUP CREATE s h $");
    for n in 1..=2_500 {
        m.run(&format!("XADD s {n} a {n}"));
    }
    m.run("XREADGROUP GROUP g c STREAMS s >");
    m.run("XREADGROUP GROUP h c COUNT 1700 STREAMS s >");
    for n in (1..=2_500).filter(|n| n % 7 < 3 || (500..1_500).contains(n)) {
        m.run(&format!("XDEL s {n}"));
    }
    m.run("XTRIM s MINID 300");
    rewrite(&mut m);
    assert_same(&mut m, &disk, "many");
}

#[test]
fn the_kind_of_the_base_is_chosen_anew_for_each_rewrite() {
    let (mut m, disk) = server(config());
    m.run("SET k 1");
    for (preamble, suffix) in [("yes", ".base.rdb"), ("no", ".base.aof"), ("yes", ".base.rdb")] {
        m.run(&format!("CONFIG SET aof-use-rdb-preamble {preamble}"));
        m.run("INCR k");
        rewrite(&mut m);
        assert!(base(&disk).0.ends_with(suffix), "{:?}", disk.paths());
        assert_same(&mut m, &disk, suffix);
    }
}

#[test]
fn a_base_tells_its_time_and_keeps_libraries_of_functions() {
    let (mut m, disk) = server(Config { aof_timestamp_enabled: true, aof_batch_checksums: false, ..config() });
    let code = "#!lua name=l\nredis.register_function('f', function() return 7 end)";
    m.raw(&[b"FUNCTION", b"LOAD", code.as_bytes()]);
    m.raw(&[b"SCRIPT", b"LOAD", b"return 1"]);
    rewrite(&mut m);
    let text = String::from_utf8(base(&disk).1).expect("text");
    let library = r"*3|$8|FUNCTION|$4|LOAD|$66|#!lua name=l".replace('|', "\r\n");
    assert!(text.starts_with("#TS:17000000") && text.contains(&library), "{text}");
    loaded(&disk, &m)
        .expect(&[("FCALL f 0", r":7\r\n"), ("EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0", r":1\r\n")]);
}

/// A directory with a base of some batches, and nothing after it.
fn whole() -> Vec<u8> {
    let (mut m, disk) = server(config());
    for line in ["SET a 1", "RPUSH l x y z", "SELECT 3", "HSET h f v"] {
        m.run(line);
    }
    rewrite(&mut m);
    base(&disk).1
}

fn disk_with_base(bytes: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.put("appendonlydir/appendonly.aof.manifest", b"file appendonly.aof.1.base.aof seq 1 type b\n");
    disk.put(BASE, bytes);
    disk
}

#[test]
fn a_base_that_is_not_whole_is_refused_and_what_is_good_of_it_can_be_recovered() {
    let whole = whole();
    try_start(&disk_with_base(&whole), config(), 0).unwrap_or_else(|failure| panic!("{failure}"));
    let context = || (START_MS, KeyHasher::new([3; 16]));
    for at in HEAD.len()..whole.len() {
        for cut in [true, false] {
            let mut changed = whole.clone();
            if cut {
                changed.truncate(at);
            } else {
                changed[at] ^= 0x20;
            }
            let disk = disk_with_base(&changed);
            let refused = refusal(&disk, config());
            assert!(refused.contains("the base is damaged"), "byte {at}, {cut}: {refused}");
            let report = check(&disk, Path::new("."), context(), &accepts);
            assert!(!report.is_good, "byte {at}: {}", report.text);
            let report = recover(&disk, Path::new("."), Path::new("new"), context(), &accepts);
            assert!(report.is_good, "byte {at}: {}", report.text);
            let other = copied(&disk, Path::new("new"));
            try_start(&other, config(), 0).unwrap_or_else(|failure| panic!("byte {at}, {cut}: {failure}"));
        }
    }
}

#[test]
fn what_does_not_belong_into_a_base_is_refused() {
    let whole = whole();
    let numbered = super::loading::batch(1, &["SET b 1"]);
    let disk = disk_with_base(&[&whole[..], &numbered].concat());
    let report = recover(&disk, Path::new("."), Path::new("new"), (START_MS, KeyHasher::new([3; 16])), &accepts);
    assert!(report.is_good, "{}", report.text);
    assert_eq!(base(&copied(&disk, Path::new("new"))).1, whole);
    let behind = refusal(&disk, config());
    assert!(behind.contains("something follows on the end of the base"), "{behind}");
    let inside = [&whole[..whole.len() - HEAD.len()], &numbered, HEAD].concat();
    let inside = refusal(&disk_with_base(&inside), config());
    assert!(inside.contains("a batch of a base has a number"), "{inside}");
    // In an increment it is an end that was not written in full, as anything else is that no server writes.
    let disk = super::loading::disk_with_log(&whole);
    let mut m = try_start(&disk, config(), 0).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(m.run("DBSIZE"), r":0\r\n");
    assert!(disk.paths().iter().any(|path| path.to_string_lossy().contains(".torn-")), "{:?}", disk.paths());
}

/// Redis's own bases have no batches.
#[test]
fn a_base_without_batches_is_read_as_redis_reads_it() {
    let disk = disk_with_base(&encoded(&["SELECT 3", "SET a 1", "PEXPIREAT a 4000000000000"]));
    let mut m = try_start(&disk, config(), 0).unwrap_or_else(|failure| panic!("{failure}"));
    m.expect(&[("SELECT 3", r"+OK\r\n"), ("PEXPIRETIME a", r":4000000000000\r\n")]);
}

/// Redis's default, by which the last sync has little to do; without it the file is synced once.
#[test]
fn a_snapshot_is_put_on_the_disk_on_the_way_unless_a_setting_says_otherwise() {
    let counts = [true, false].map(|incremental| {
        let config = Config {
            rdbcompression: false,
            rdb_save_incremental_fsync: incremental,
            aof_rewrite_incremental_fsync: incremental,
            ..config()
        };
        let (mut m, disk) = server(config);
        for key in 0..35 {
            m.raw(&[b"SET", format!("k{key}").as_bytes(), &vec![b'x'; 1 << 20]]);
        }
        turn(&mut m);
        turn(&mut m);
        let before = disk.calls(Call::Sync);
        m.run("SAVE");
        let saved = disk.calls(Call::Sync);
        rewrite(&mut m);
        (saved - before, disk.calls(Call::Sync) - saved)
    });
    let [(save_on_the_way, rewrite_on_the_way), (save, rewrite)] = counts;
    assert_eq!((save_on_the_way, save), (2, 1));
    // A rewrite syncs more files than the base.
    assert_eq!(rewrite_on_the_way, rewrite + 1);
}
