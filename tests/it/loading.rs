//! What a server makes of the files that it finds at its start: dump files, logs, both, damaged ones, another server's.

use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::base::prng::Prng;
use aleadb::config::{Access, Config, SavePoints};
use aleadb::engine::persistence::{loading, start};
use aleadb::persist::aof::batch::{BatchEnd, DURABLE_PREFIX};
use aleadb::server::Seeds;
use aleadb::server::background::Background;
use aleadb::server::persistence::loading::{FileKind, Purpose};

use super::disk::SimulatedDisk;
use super::memory::{Memory, START_MS};

pub const LOG: &str = "appendonlydir/appendonly.aof.1.incr.aof";
pub const MANIFEST: &str = "appendonlydir/appendonly.aof.manifest";

pub fn settings(appendonly: bool) -> Config {
    Config { appendonly, save: SavePoints::none(), enable_debug_command: Access::Yes, ..Config::default() }
}

/// A server on a disk that has not looked at it yet, `later_ms` after the others.
fn server(disk: &SimulatedDisk, config: Config, later_ms: u64) -> Memory {
    let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
    clock.advance_ms(later_ms);
    let seeds = Seeds { hash: [9; 16], prng: 9 };
    Memory::with_outside(config, seeds, clock, Background::inline(), Arc::new(disk.clone()))
}

/// Starts a server on a disk; the text with which it refuses to.
pub fn try_start(disk: &SimulatedDisk, config: Config, later_ms: u64) -> Result<Memory, String> {
    load(server(disk, config, later_ms))
}

/// Has a server load what is on its disk.
fn load(mut m: Memory) -> Result<Memory, String> {
    let now = m.clock.now();
    start::begin(&mut m.server, now)?;
    while m.server.is_loading() {
        m.turn();
    }
    match m.server.process.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(m),
    }
}

pub fn started(disk: &SimulatedDisk, appendonly: bool) -> Memory {
    try_start(disk, settings(appendonly), 0).unwrap_or_else(|failure| panic!("{failure}"))
}

pub fn refusal(disk: &SimulatedDisk, config: Config) -> String {
    match try_start(disk, config, 0) {
        Ok(_) => panic!("the server starts"),
        Err(failure) => failure,
    }
}

pub fn encoded(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        bytes.extend(format!("*{}\r\n", words.len()).bytes());
        words.iter().for_each(|word| bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes()));
    }
    bytes
}

pub fn batch(seq: u64, lines: &[&str]) -> Vec<u8> {
    let mut bytes = encoded(lines);
    BatchEnd::of(seq, &bytes.clone()).push(&mut bytes);
    bytes
}

/// A batch that tells which was the last one that was on the disk.
pub fn batch_after(seq: u64, durable: u64, lines: &[&str]) -> Vec<u8> {
    let mut bytes = [DURABLE_PREFIX, durable.to_string().as_bytes(), b"\r\n"].concat();
    bytes.extend(encoded(lines));
    BatchEnd::of(seq, &bytes.clone()).push(&mut bytes);
    bytes
}

/// The line that says that batches follow.
pub fn head(seq: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    BatchEnd { seq, bytes: 0, crc: 0 }.push(&mut bytes);
    bytes
}

/// A disk with a log of one increment.
pub fn disk_with_log(log: &[u8]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    disk.put(MANIFEST, b"file appendonly.aof.1.incr.aof seq 1 type i\n");
    disk.put(LOG, log);
    disk
}

fn disk_with_lines(lines: &[&str]) -> SimulatedDisk {
    disk_with_log(&encoded(lines))
}

/// A disk with a dump file of the data that these lines make.
pub fn disk_with_dump(lines: &[&str]) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let mut m = started(&disk, false);
    lines.iter().for_each(|line| drop(m.run(line)));
    assert_eq!(m.run("SAVE"), r"+OK\r\n");
    disk
}

#[test]
fn a_dump_file_comes_back_without_what_is_due() {
    let lines = ["SET a 1", "SET b 2 PX 1000", "RPUSH l x y", "SELECT 3", "HSET h f v", "SET due 1 PX 10"];
    let disk = disk_with_dump(&lines);
    let mut m = try_start(&disk, settings(false), 100).expect("a good dump file");
    m.expect(&[
        ("GET a", r"$1\r\n1\r\n"),
        ("PEXPIRETIME b", r":1700000001000\r\n"),
        ("LRANGE l 0 -1", r"*2\r\n$1\r\nx\r\n$1\r\ny\r\n"),
        ("SELECT 3", r"+OK\r\n"),
        ("HGET h f", r"$1\r\nv\r\n"),
        ("DBSIZE", r":1\r\n"),
    ]);
    let info = m.run("INFO persistence");
    for line in
        ["loading:0", "rdb_last_load_keys_expired:1", "rdb_last_load_keys_loaded:4", "rdb_changes_since_last_save:0"]
    {
        assert!(info.contains(&format!(r"\n{line}\r")), "{line} in {info}");
    }
    // The deadline that was read has its timer.
    m.run("SELECT 0");
    m.advance_ms(1000);
    m.expect(&[("DBSIZE", r":2\r\n")]);
}

/// A value that is large is no long turn: a slice of its elements is read in each, and clients are answered in between.
#[test]
fn a_large_value_is_loaded_a_slice_in_each_turn() {
    const ELEMENTS: usize = 600;
    let all = |line: &str, one: &dyn Fn(usize) -> String| {
        (0..ELEMENTS).fold(line.to_owned(), |line, n| format!("{line} {}", one(n)))
    };
    let lines = [
        all("HSET hash", &|n| format!("f{n} {n}")),
        all("SADD set", &|n| format!("m{n}")),
        all("ZADD zset", &|n| format!("{} m{n}", n % 50)),
        all("RPUSH list", &|n| format!("{n}{}", "x".repeat(100))),
        all("HSET timed", &|n| format!("f{n} {n}")),
        all(&format!("HPEXPIRE timed 100000 FIELDS {ELEMENTS}"), &|n| format!("f{n}")),
    ];
    for line in &lines {
        let key = line.split(' ').nth(1).unwrap_or_default();
        let lines: Vec<&str> =
            lines.iter().map(String::as_str).filter(|line| line.contains(&format!(" {key} "))).collect();
        let disk = disk_with_dump(&lines);
        let expected = started(&disk, false).run("DEBUG DIGEST");
        let mut m = server(&disk, settings(false), 0);
        m.server.jobs.limits.slice_elements = 1;
        let now = m.clock.now();
        start::begin(&mut m.server, now).expect("a good dump file");
        let mut turns = 0;
        while m.server.is_loading() {
            assert!(m.run("INFO persistence").contains("loading:1"));
            m.turn();
            turns += 1;
        }
        let pieces = if key == "list" { ELEMENTS * 100 / 8192 } else { ELEMENTS };
        assert!(turns > pieces, "{turns} turns for {key}");
        assert_eq!(m.run("DEBUG DIGEST"), expected, "{key}");
    }
}

/// A key whose deadline has passed is there until the log says that it went, and deadlines that have passed are set as given.
#[test]
fn nothing_is_due_while_a_log_is_loaded() {
    let past = "1600000000000";
    let lines = [
        &format!("SET a 1 PXAT {past}"),
        "APPEND a 2",
        "PERSIST a",
        &format!("SET b 1 PXAT {past}"),
        "INCR b",
        "RENAME b c",
        "PERSIST c",
        "HSET h f 1 g 1",
        &format!("HPEXPIREAT h {past} FIELDS 2 f g"),
        "HINCRBY h f 1",
        "HPERSIST h FIELDS 1 f",
        "SET d 1",
        &format!("PEXPIREAT d {past}"),
        "SET e 1",
        &format!("GETEX e PXAT {past}"),
        "PERSIST e",
        "SADD s x",
        &format!("PEXPIREAT s {past}"),
        "SADD s y",
        "PERSIST s",
        &format!("HSETEX i PXAT {past} FIELDS 1 f v"),
        "HPERSIST i FIELDS 1 f",
    ];
    let lines = lines.map(|line: &str| line);
    let mut m = started(&disk_with_lines(&lines), true);
    m.expect(&[
        ("GET a", r"$2\r\n12\r\n"),
        ("GET c", r"$1\r\n2\r\n"),
        ("HGET h f", r"$1\r\n2\r\n"),
        ("HGET h g", r"$-1\r\n"),
        ("GET d", r"$-1\r\n"),
        ("GET e", r"$1\r\n1\r\n"),
        ("SCARD s", r":2\r\n"),
        ("HGET i f", r"$1\r\nv\r\n"),
    ]);
    m.advance_ms(1);
    m.expect(&[("DBSIZE", r":6\r\n"), ("HLEN h", r":1\r\n")]);
}

#[test]
fn what_ordinary_clients_may_not_send_is_taken_from_a_log() {
    let disk = disk_with_lines(&[
        "XADD x 1-1 f v",
        "XADD x MAXLEN = 1 LIMIT 1 2-1 f v",
        "PFADD counted a",
        "PFCOUNT counted",
        "XTRIM x MAXLEN = 1 LIMIT 1",
        "XSETID x 9-1 ENTRIESADDED 7 MAXDELETEDID 8-1",
        "SELECT 2",
        "SET k v",
        "SWAPDB 2 3",
    ]);
    let mut m = started(&disk, true);
    let info = m.run("XINFO STREAM x");
    assert!(info.contains(r"entries-added\r\n:7\r\n") && info.contains(r"length\r\n:1\r\n"), "{info}");
    assert_eq!(m.server.persistence.found.failed, 0);
    m.expect(&[("SELECT 3", r"+OK\r\n"), ("GET k", r"$1\r\nv\r\n")]);
}

#[test]
fn libraries_of_functions_are_in_the_log_and_in_dump_files() {
    let mut log = encoded(&["SELECT 0"]);
    let code =
        |name: &str, n: u8| format!("#!lua name={name}\nredis.register_function('{name}', function() return {n} end)");
    for (name, n) in [("one", 1), ("two", 2), ("one", 3)] {
        let code = code(name, n);
        log.extend(
            format!("*4\r\n$8\r\nFUNCTION\r\n$4\r\nLOAD\r\n$7\r\nREPLACE\r\n${}\r\n{code}\r\n", code.len()).bytes(),
        );
    }
    log.extend(encoded(&["FUNCTION DELETE two"]));
    let disk = disk_with_log(&log);
    let mut m = started(&disk, true);
    let rows = [("FCALL one 0", r":3\r\n"), ("FCALL two 0", r"-ERR Function not found\r\n")];
    m.expect(&rows);
    // And they come back from a dump file.
    m.run("SET k v");
    assert_eq!(m.run("DEBUG RELOAD"), r"+OK\r\n");
    m.expect(&rows);
}

#[test]
fn scripts_that_were_loaded_or_called_by_their_digest_are_there_after_a_restart() {
    let mut m = Memory::new();
    m.server.begin_propagation();
    m.expect(&[
        ("SCRIPT LOAD \"return 1\"", r"$40\r\ne0e1f9fabfc9d4800c877a703b823ac0578ff8db\r\n"),
        ("EVAL \"return 2\" 0", r":2\r\n"),
        ("EVAL \"return 3\" 0", r":3\r\n"),
        ("EVALSHA 7f923f79fe76194c868d7e1d0820de36700eb649 0", r":2\r\n"),
    ]);
    let known = "SCRIPT EXISTS e0e1f9fabfc9d4800c877a703b823ac0578ff8db 7f923f79fe76194c868d7e1d0820de36700eb649 \
                 09d3822de862f46d784e6a36848b4f0736dda47a";
    let after_restart = [(known, r"*3\r\n:1\r\n:1\r\n:0\r\n")];
    m.expect(&[(known, r"*3\r\n:1\r\n:1\r\n:1\r\n")]);
    // From a log, and then from the dump file that was made of it.
    let disk = disk_with_log(&m.server.propagation.take());
    let mut m = started(&disk, true);
    m.expect(&after_restart);
    m.expect(&[("SAVE", r"+OK\r\n")]);
    drop(m);
    let mut m = started(&disk, false);
    m.expect(&after_restart);
    m.expect(&[
        ("CONFIG SET script-persist no", r"+OK\r\n"),
        ("SAVE", r"+OK\r\n"),
        ("SCRIPT FLUSH", r"+OK\r\n"),
        (known, r"*3\r\n:0\r\n:0\r\n:0\r\n"),
    ]);
    drop(m);
    started(&disk, false).expect(&[(known, r"*3\r\n:0\r\n:0\r\n:0\r\n")]);
}

#[test]
fn a_library_that_cannot_be_loaded_stops_the_load_of_a_dump_file() {
    let disk = SimulatedDisk::new();
    let mut saving = started(&disk, false);
    saving.raw(&[b"FUNCTION", b"LOAD", b"#!lua name=one\nredis.register_function('one', function() return 1 end)"]);
    saving.expect(&[("CONFIG SET rdbcompression no", r"+OK\r\n"), ("SAVE", r"+OK\r\n")]);
    drop(saving);
    let path = std::path::Path::new("dump.rdb");
    let mut bytes = disk.contents(path).expect("it was saved");
    let at = bytes.windows(8).position(|window| window == b"return 1").expect("it is there as it is");
    bytes[at..at + 8].copy_from_slice(b"return +");
    let end = bytes.len() - 8;
    bytes[end..].fill(0);
    disk.put(path, &bytes);
    let text = refusal(&disk, settings(false));
    assert!(text.contains("a library of functions: ERR Error compiling function: user_function:2:"), "{text}");
}

#[test]
fn a_log_without_batches_cut_anywhere_is_loaded_to_its_last_whole_command_and_the_rest_is_kept() {
    let lines = ["SELECT 0", "SET a 1", "MULTI", "SET b 1", "SET c 1", "EXEC", "SET d 1"];
    let ends: Vec<usize> = (0..=lines.len()).map(|count| encoded(&lines[..count]).len()).collect();
    let whole = encoded(&lines);
    let keys_after = [0, 0, 1, 1, 1, 1, 3, 4];
    for cut in 1..=whole.len() {
        let disk = disk_with_log(&whole[..cut]);
        let mut count = ends.iter().filter(|end| **end <= cut).count() - 1;
        if (3..6).contains(&count) {
            count = 2;
        }
        let mut m = started(&disk, true);
        assert_eq!(m.run("DBSIZE"), format!(r":{}\r\n", keys_after[count]), "cut at {cut}");
        assert_eq!(disk.contents(LOG).map(|bytes| bytes.len()), Some(ends[count]), "cut at {cut}");
        let aside = disk.contents(format!("{LOG}.torn-{}", ends[count]));
        assert_eq!(aside.unwrap_or_default(), whole[ends[count]..cut], "cut at {cut}");
        // What was cut is as good as any.
        let size = m.run("DBSIZE");
        drop(m);
        assert_eq!(started(&disk, true).run("DBSIZE"), size, "cut at {cut}");
    }
}

/// The batches of a file, and where each ends.
fn batches() -> (Vec<u8>, Vec<usize>) {
    let mut bytes = head(4);
    let mut ends = vec![bytes.len()];
    for (index, lines) in [["SET a 1", "SET b 1"], ["SET c 1", "SET d 1"], ["SET e 1", "SET f 1"]].iter().enumerate() {
        let seq = 4 + index as u64;
        bytes.extend(batch_after(seq, seq - 1, lines));
        ends.push(bytes.len());
    }
    (bytes, ends)
}

#[test]
fn a_log_with_batches_cut_anywhere_is_loaded_to_its_last_whole_batch() {
    let (whole, ends) = batches();
    for cut in ends[0]..=whole.len() {
        let disk = disk_with_log(&whole[..cut]);
        let count = ends.iter().filter(|end| **end <= cut).count() - 1;
        let mut m = started(&disk, true);
        assert_eq!(m.run("DBSIZE"), format!(r":{}\r\n", 2 * count), "cut at {cut}");
        assert_eq!(disk.contents(LOG).map(|bytes| bytes.len()), Some(ends[count]), "cut at {cut}");
    }
}

/// Every byte changed: in the last batch it is an end that was not written, before that it is damage, which stops the start.
#[test]
fn a_changed_byte_of_a_log_is_located_and_stops_the_start_if_batches_that_were_synced_later_follow() {
    let (whole, ends) = batches();
    for at in ends[0]..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        let disk = disk_with_log(&bytes);
        let broken = ends.iter().filter(|end| **end <= at).count() - 1;
        let outcome = try_start(&disk, settings(true), 0);
        if broken == 2 {
            let mut m = outcome.unwrap_or_else(|failure| panic!("byte {at}: {failure}"));
            assert_eq!(m.run("DBSIZE"), r":4\r\n", "byte {at}");
            continue;
        }
        // A batch whose line was damaged swallows the next one, so that none may be whole behind it.
        let Err(failure) = outcome else {
            assert!(broken == 1 && disk.contents(LOG).is_some_and(|log| log.len() == ends[1]), "byte {at}");
            continue;
        };
        assert!(
            failure.contains(LOG) && failure.contains(&format!("at offset {}", ends[broken])),
            "byte {at}: {failure}"
        );
        assert!(failure.contains("--recover"), "byte {at}: {failure}");
        assert_eq!(disk.contents(LOG), Some(bytes), "byte {at}");
    }
}

/// After a crash the disk may hold a later write and not an earlier one, if neither was synced.
#[test]
fn whole_batches_behind_one_that_was_not_synced_are_cut_off_with_it() {
    let mut log = head(1);
    log.extend(batch_after(1, 0, &["SET a 1"]));
    let good = log.len();
    let lost = batch_after(2, 1, &["SET b 1"]);
    log.extend(vec![0; lost.len()]);
    log.extend(batch(3, &["SET c 1"]));
    log.extend(batch_after(4, 1, &["SET d 1"]));
    let disk = disk_with_log(&log);
    let mut m = started(&disk, true);
    m.expect(&[("KEYS *", r"*1\r\n$1\r\na\r\n")]);
    assert_eq!(disk.contents(LOG).map(|bytes| bytes.len()), Some(good));
    assert_eq!(disk.contents(format!("{LOG}.torn-{good}")), Some(log[good..].to_vec()));
    // A later one knows that the second was on the disk: then it was damaged there.
    let mut log = log.clone();
    log.extend(batch_after(5, 2, &["SET e 1"]));
    let failure = refusal(&disk_with_log(&log), settings(true));
    assert!(failure.contains(&format!("the batch at offset {good} is damaged")), "{failure}");
}

#[test]
fn what_stops_a_load_is_named_with_its_place_and_a_way_on() {
    let start = encoded(&["SELECT 0", "SET a 1"]);
    let at = start.len();
    let behind = |bytes: &[u8]| [&start, bytes].concat();
    let rows: [(Vec<u8>, &str); 8] = [
        (
            behind(&encoded(&["NOSUCH x"])),
            "the command 'NOSUCH' at offset 50: Unknown command reading the append only file",
        ),
        (behind(&encoded(&["SHUTDOWN NOSAVE"])), "the command 'SHUTDOWN' at offset 50: it changes no data"),
        (behind(&encoded(&["SET a"])), "the command 'SET' at offset 50: wrong number of arguments"),
        (behind(&encoded(&["SELECT 16"])), "database 16, and there are 16: set `databases` to 17"),
        (behind(&encoded(&["SELECT x"])), "the command 'SELECT' at offset 50: it names no database"),
        (behind(b"garbage\r\n"), "bad file format, at offset 50: expected '*' or '#', found 'g'"),
        (behind(b"*1\r\n$4\r\nEXEC\r\n"), "bad file format, at offset 50: EXEC without MULTI"),
        (behind(b"*3\r\n$x\r\n"), "bad file format, at offset 50: no command of the protocol: invalid bulk length"),
    ];
    assert_eq!(at, 50);
    for (log, reason) in rows {
        let disk = disk_with_log(&log);
        let failure = refusal(&disk, settings(true));
        assert!(failure.contains(reason) && failure.contains(LOG), "{failure}");
        assert_eq!(disk.contents(LOG), Some(log));
    }
    // The end may be missing only in the last file, and only where that is allowed.
    let cut = &start[..at - 1];
    let config = Config { aof_load_truncated: false, ..settings(true) };
    let failure = refusal(&disk_with_log(cut), config);
    assert!(failure.contains("from offset 23 on it is not whole"), "{failure}");
    let disk = disk_with_log(cut);
    disk.put(MANIFEST, b"file appendonly.aof.1.incr.aof seq 1 type i\nfile b seq 2 type i\n");
    disk.put("appendonlydir/b", b"");
    // A file without anything is none that follows.
    started(&disk, true).expect(&[("DBSIZE", r":0\r\n")]);
    disk.put(LOG, cut);
    disk.put("appendonlydir/b", &encoded(&["SET b 1"]));
    let failure = refusal(&disk, settings(true));
    assert!(failure.contains("from offset 23 on it is not whole, and other files follow"), "{failure}");
}

#[test]
fn an_error_that_a_command_of_a_log_answers_is_counted_and_the_load_goes_on() {
    let mut m = started(&disk_with_lines(&["SET a x", "INCR a", "LPUSH a y", "SET b 1"]), true);
    m.expect(&[("GET a", r"$1\r\nx\r\n"), ("GET b", r"$1\r\n1\r\n")]);
    assert!(m.run("INFO stats").contains(r"unexpected_error_replies:2\r\n"));
}

#[test]
fn batches_go_on_from_file_to_file_and_a_missing_one_is_noticed() {
    let manifest = b"file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n";
    let second = "appendonlydir/appendonly.aof.2.incr.aof";
    let disk = disk_with_log(&batch(7, &["SET a 1"]));
    disk.put(MANIFEST, manifest);
    disk.put(second, &batch(8, &["SET b 1"]));
    let mut m = started(&disk, true);
    m.expect(&[("DBSIZE", r":2\r\n")]);
    assert_eq!(m.server.persistence.loaded_log.as_ref().and_then(|log| log.last_seq), Some(8));
    drop(m);
    disk.put(second, &[head(9), batch_after(9, 8, &["SET b 1"])].concat());
    let failure = refusal(&disk, settings(true));
    assert!(failure.contains(second) && failure.contains("batch 9 follows on batch 7"), "{failure}");
}

/// Each file of the log counts, and a log that holds nothing does not.
#[test]
fn a_log_that_was_written_after_the_dump_file_is_not_passed_over() {
    let long = "x".repeat(300);
    let second = "appendonlydir/appendonly.aof.2.incr.aof";
    let disk_of = |first_ms: i64, second_ms: i64, dump_ms: i64, value: &str| {
        let disk = disk_with_dump(&["SET from dump"]);
        let manifest = b"file appendonly.aof.1.incr.aof seq 1 type i\nfile appendonly.aof.2.incr.aof seq 2 type i\n";
        disk.put(MANIFEST, manifest);
        disk.put(LOG, &encoded(&[&format!("SET from {value}")]));
        disk.put(second, &encoded(&["SET a 1"]));
        for (path, unix_ms) in [(LOG, first_ms), (second, second_ms), ("dump.rdb", dump_ms)] {
            disk.set_modified_ms(path, unix_ms);
        }
        disk
    };
    for (first_ms, second_ms) in [(2_001, 1), (1, 2_001)] {
        let failure = refusal(&disk_of(first_ms, second_ms, 2_000, &long), settings(false));
        assert!(
            failure.contains(
                "the log in appendonlydir was written to after dump.rdb: without the log data would be missing"
            ),
            "{failure}"
        );
        // As the refusal says.
        let mut m = started(&disk_of(first_ms, second_ms, 2_000, &long), true);
        m.expect(&[("GET a", r"$1\r\n1\r\n")]);
    }
    // A dump file of the same moment or later holds what the log does.
    for dump_ms in [2_001, 2_002] {
        started(&disk_of(2_001, 1, dump_ms, &long), false).expect(&[("GET from", r"$4\r\ndump\r\n")]);
    }
    started(&disk_of(2_001, 1, 2_000, "log"), false).expect(&[("GET from", r"$4\r\ndump\r\n")]);
    // What no manifest names, such as a file that a rewrite has replaced, is no part of the log.
    let disk = disk_of(1, 1, 2_000, &long);
    disk.put("appendonlydir/appendonly.aof.9.incr.aof", &encoded(&["SET a 2"]));
    disk.set_modified_ms("appendonlydir/appendonly.aof.9.incr.aof", 3_000);
    started(&disk, false).expect(&[("GET from", r"$4\r\ndump\r\n")]);
}

/// The table of `engine::persistence::start`.
#[test]
fn a_server_starts_with_what_holds_the_data() {
    // A log of several files, whatever dump file lies beside it.
    let disk = disk_with_dump(&["SET from dump"]);
    disk.put(MANIFEST, b"file appendonly.aof.1.incr.aof seq 1 type i\n");
    disk.put(LOG, &encoded(&["SET from log"]));
    started(&disk, true).expect(&[("GET from", r"$3\r\nlog\r\n")]);
    // The disk cannot tell what is newer, so it is as with Redis.
    started(&disk, false).expect(&[("GET from", r"$4\r\ndump\r\n")]);
    // A log of one file becomes the base.
    let disk = SimulatedDisk::new();
    disk.put("appendonly.aof", &encoded(&["SET from old"]));
    started(&disk, true).expect(&[("GET from", r"$3\r\nold\r\n")]);
    assert_eq!(disk.contents("appendonly.aof"), None);
    started(&disk, true).expect(&[("GET from", r"$3\r\nold\r\n")]);
    // A dump file alone becomes the base, and stays.
    let disk = disk_with_dump(&["SET from dump"]);
    started(&disk, true).expect(&[("GET from", r"$4\r\ndump\r\n")]);
    assert!(disk.contents("dump.rdb").is_some());
    assert_eq!(disk.contents("appendonlydir/appendonly.aof.1.base.rdb"), disk.contents("dump.rdb"));
    started(&disk, true).expect(&[("GET from", r"$4\r\ndump\r\n")]);
    // Nothing is nothing.
    let disk = SimulatedDisk::new();
    started(&disk, true).expect(&[("DBSIZE", r":0\r\n")]);
    started(&disk, false).expect(&[("DBSIZE", r":0\r\n")]);
    // Without the log its data would be missing.
    let long = "x".repeat(300);
    let disk = disk_with_lines(&[&format!("SET a {long}")]);
    let failure = refusal(&disk, settings(false));
    assert!(
        failure.contains("`appendonly` is no, but the log in appendonlydir holds data, and there is no dump.rdb"),
        "{failure}"
    );
    // A file that is not there.
    let disk = SimulatedDisk::new();
    disk.put(MANIFEST, b"file appendonly.aof.1.incr.aof seq 1 type i\n");
    let failure = refusal(&disk, settings(true));
    assert!(
        failure.contains("The log's manifest names appendonlydir/appendonly.aof.1.incr.aof, which is not there"),
        "{failure}"
    );
    disk.put(MANIFEST, b"file ../dump.rdb seq 1 type b\n");
    let failure = refusal(&disk, settings(true));
    assert!(failure.contains("line 1: File can't be a path, just a filename"), "{failure}");
}

/// The manifest comes before the move, and a crash in between is noticed at the next start.
#[test]
fn an_old_log_survives_a_crash_at_any_call_of_its_move() {
    for calls in 0..60 {
        let disk = SimulatedDisk::new();
        disk.put("appendonly.aof", &encoded(&["SET from old"]));
        disk.power_off_after(calls);
        drop(try_start(&disk, settings(true), 0));
        let was_off = disk.is_off();
        disk.crash(&mut Prng::seeded(calls));
        started(&disk, true).expect(&[("GET from", r"$3\r\nold\r\n")]);
        if !was_off {
            return;
        }
    }
    panic!("the move takes more calls than this test allows");
}

#[test]
fn a_dump_file_survives_a_crash_at_any_call_while_it_becomes_the_base_of_a_log() {
    for calls in 0..100 {
        let disk = disk_with_dump(&["SET from dump"]);
        disk.power_off_after(calls);
        drop(try_start(&disk, settings(true), 0));
        let was_off = disk.is_off();
        disk.crash(&mut Prng::seeded(calls));
        started(&disk, true).expect(&[("GET from", r"$4\r\ndump\r\n")]);
        if !was_off {
            return;
        }
    }
    panic!("the copy takes more calls than this test allows");
}

#[test]
fn who_comes_while_data_is_loaded_is_told_so() {
    let disk = disk_with_dump(&["SET a 1"]);
    let mut m = server(&disk, settings(false), 0);
    let now = m.clock.now();
    let work = start::dump_work("dump.rdb".into(), FileKind::Dump);
    loading::begin(&mut m.server, Purpose::Start, work, 1000, now);
    let refused = r"-LOADING Redis is loading the dataset in memory\r\n";
    m.expect(&[
        ("GET a", refused),
        ("SET a 2", refused),
        ("KEYS *", refused),
        ("BGSAVE", refused),
        ("PING", refused),
        ("HELLO", m_hello().as_str()),
        ("MULTI", r"+OK\r\n"),
        ("GET a", refused),
        ("EXEC", r"-EXECABORT Transaction discarded because of previous errors.\r\n"),
        ("DEBUG RELOAD", refused),
    ]);
    let info = m.run("INFO persistence");
    for line in ["loading:1", "loading_total_bytes:1000", "loading_loaded_perc:0.00", "loading_eta_seconds:1"] {
        assert!(info.contains(&format!(r"\n{line}\r")), "{line} in {info}");
    }
    while m.server.is_loading() {
        m.turn();
    }
    m.expect(&[("GET a", r"$1\r\n1\r\n"), ("PING", r"+PONG\r\n")]);
}

/// HELLO answers at any time; only that it does is of interest here.
fn m_hello() -> String {
    Memory::with_config(settings(false)).run("HELLO")
}

#[test]
fn a_second_server_in_a_directory_is_refused_and_told_who_is_there() {
    let disk = SimulatedDisk::new();
    let first = try_start(&disk, settings(true), 0).expect("nobody is there");
    let failure = refusal(&disk, settings(true));
    assert!(failure.contains("is in use by another server (pid ") && failure.contains(", port 7379)"), "{failure}");
    // One that never writes by itself may look, until it is asked to write.
    let mut reader = started(&disk, false);
    let refused = reader.run("SAVE");
    assert!(refused.contains("is in use by another server"), "{refused}");
    drop(first);
    reader.expect(&[("SAVE", r"+OK\r\n")]);
}

#[test]
fn debug_reload_and_loadaof_bring_the_data_back() {
    let disk = disk_with_lines(&["SET a log"]);
    let mut m = started(&disk, true);
    m.expect(&[
        ("SET a dump", r"+OK\r\n"),
        ("RPUSH l x", r":1\r\n"),
        ("DEBUG RELOAD", r"+OK\r\n"),
        ("GET a", r"$4\r\ndump\r\n"),
        ("SET a other", r"+OK\r\n"),
        ("SET b 1", r"+OK\r\n"),
        ("DEBUG RELOAD NOSAVE", r"+OK\r\n"),
        ("GET a", r"$4\r\ndump\r\n"),
        ("EXISTS b", r":0\r\n"),
        ("SET a other", r"+OK\r\n"),
        ("SET b 1", r"+OK\r\n"),
        ("DEBUG RELOAD NOSAVE NOFLUSH", r"-ERR Error trying to load the RDB dump, check server logs.\r\n"),
        ("DEBUG RELOAD NOSAVE NOFLUSH MERGE", r"+OK\r\n"),
        ("GET a", r"$4\r\ndump\r\n"),
        ("EXISTS b", r":1\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("DEBUG RELOAD", r"+QUEUED\r\n"),
        ("EXEC", r"*1\r\n-ERR DEBUG RELOAD and LOADAOF are not possible inside a transaction\r\n"),
        ("DEBUG LOADAOF", r"+OK\r\n"),
        ("GET a", r"$3\r\nlog\r\n"),
        ("DBSIZE", r":1\r\n"),
    ]);
}

#[test]
fn a_dump_file_with_a_key_twice_is_refused() {
    // The only database's only key, twice.
    let one = disk_with_dump(&["SET a 1"]).contents("dump.rdb").expect("it was saved");
    let key = [0, 1, b'a', 0xC0, 1];
    let at = one.windows(key.len()).position(|bytes| bytes == key).expect("the key is there");
    let mut twice = [&one[..at], &key, &one[at..one.len() - 8], &[0; 8]].concat();
    let disk = SimulatedDisk::new();
    disk.put("dump.rdb", &twice);
    let failure = refusal(&disk, settings(false));
    assert!(failure.contains("Can't load dump.rdb: the key 'a' is there twice in database 0"), "{failure}");
    twice.truncate(at);
    disk.put("dump.rdb", &twice);
    let failure = refusal(&disk, settings(false));
    assert!(failure.contains("the file ends early"), "{failure}");
}

/// Random changes of logs and dump files are refused or loaded, and never more than that.
#[test]
fn damaged_files_of_any_kind_never_end_the_process() {
    let mut prng = Prng::seeded(5);
    let dump = disk_with_dump(&["SET a 1", "RPUSH l a b c", "HSET h f v", "ZADD z 1 a", "XADD x 1-1 f v"]);
    let dump = dump.contents("dump.rdb").expect("it was saved");
    let (log, _) = batches();
    let base = [&*dump, &encoded(&["SET behind 1"])].concat();
    for _ in 0..1500 {
        let disk = SimulatedDisk::new();
        disk.put(MANIFEST, b"file b seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n");
        let damaged = |bytes: &[u8], prng: &mut Prng| {
            let mut bytes = bytes.to_vec();
            for _ in 0..prng.below(4) {
                let at = prng.below(bytes.len() as u64) as usize;
                match prng.below(4) {
                    0 => bytes[at] ^= 1 << prng.below(8),
                    1 => bytes[at] = prng.below(256) as u8,
                    2 => bytes.truncate(at.max(1)),
                    _ => drop(bytes.splice(at..at, [0xff; 9])),
                }
            }
            bytes
        };
        disk.put("appendonlydir/b", &damaged(&base, &mut prng));
        disk.put(LOG, &damaged(&log, &mut prng));
        disk.put("dump.rdb", &damaged(&dump, &mut prng));
        let config = Config { rdbchecksum: prng.chance(1, 2), ..settings(prng.chance(2, 3)) };
        if let Err(failure) = try_start(&disk, config, 0) {
            assert!(failure.len() > 20, "{failure}");
        }
    }
}

/// A machine that is busy when a server starts takes longer for what was loaded in time when it was acknowledged.
#[test]
fn what_was_acknowledged_is_loaded_however_long_its_code_runs_and_whatever_it_allocates() {
    const LIBRARY: &str = "#!lua name=slow
        local all = {}
        for i = 1, 1e5 do all[i] = {i} end
        redis.register_function('f', function() return #all end)";
    let script = format!("return {}1", "1 + ".repeat(1000));
    let line = |words: &[&str]| {
        let words: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
        format!("*3\r\n{words}").into_bytes()
    };
    let log = [line(&["FUNCTION", "LOAD", LIBRARY]), line(&["SCRIPT", "LOAD", &script])].concat();
    let disk = disk_with_log(&log);
    let mut m = started(&disk, true);
    let sha = m.run(&format!("SCRIPT LOAD \"{script}\"")).split(r"\r\n").nth(1).expect("a digest").to_owned();
    m.expect(&[("SAVE", r"+OK\r\n")]);
    drop(m);
    for appendonly in [true, false] {
        let slow = server(&disk, Config { script_memory_limit: 100_000, ..settings(appendonly) }, 0);
        slow.clock.set_tick_ns(1_000_000_000);
        let mut m = load(slow).unwrap_or_else(|failure| panic!("{failure}"));
        m.clock.set_tick_ns(0);
        m.run("CONFIG SET script-memory-limit 0");
        m.expect(&[("FCALL f 0", r":100000\r\n"), (&format!("EVALSHA {sha} 0"), r":1001\r\n")]);
    }
}
