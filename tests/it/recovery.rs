//! `aleadb --check` and `aleadb --recover` over directories of all kinds.

use std::path::Path;

use aleadb::config::Config;
use aleadb::engine::persistence::replay::accepts;
use aleadb::persist::check::{Report, check};
use aleadb::persist::recover::recover;
use aleadb::persist::storage::Storage;
use aleadb::store::hash::KeyHasher;

use super::disk::SimulatedDisk;
use super::loading::{
    LOG, MANIFEST, batch, batch_after, disk_with_dump, disk_with_log, encoded, head, refusal, settings, started,
    try_start,
};
use super::memory::START_MS;

fn context() -> (i64, KeyHasher) {
    (START_MS, KeyHasher::new([3; 16]))
}

fn checked(disk: &SimulatedDisk, path: &str) -> Report {
    check(disk, Path::new(path), context(), &accepts)
}

/// Recovers everything into `new`, and gives what was written there as a disk of its own.
fn recovered(disk: &SimulatedDisk) -> (String, SimulatedDisk) {
    let report = recover(disk, Path::new("."), Path::new("new"), context(), &accepts);
    assert!(report.is_good, "{}", report.text);
    let other = SimulatedDisk::new();
    for path in disk.paths() {
        if let Ok(inside) = path.strip_prefix("new") {
            other.put(inside, &disk.contents(&path).expect("it is listed"));
        }
    }
    (report.text, other)
}

#[test]
fn a_good_directory_is_said_to_be_good_with_what_is_in_it() {
    let disk = disk_with_dump(&["SET a 1", "RPUSH l x"]);
    disk.put(MANIFEST, b"file b seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n");
    disk.put("appendonlydir/b", &disk.contents("dump.rdb").expect("it was saved"));
    disk.put(LOG, &[head(4), batch(4, &["SET b 1", "SET c 1"]), batch_after(5, 4, &["SET d 1"])].concat());
    for path in [".", "appendonlydir", MANIFEST] {
        let report = checked(&disk, path);
        assert!(report.is_good, "{path}: {}", report.text);
        for text in ["string 1", "list 1", "3 commands", "batches up to number 5"] {
            let has_all = report.text.contains(text) || (text.contains("1") && path == LOG);
            assert!(has_all, "{path}: {text} in {}", report.text);
        }
    }
    assert!(checked(&disk, LOG).is_good);
    assert!(checked(&disk, "dump.rdb").is_good);
    assert!(!checked(&disk, "nothing").is_good);
}

#[test]
fn a_torn_end_is_good_and_damage_is_bad_and_both_are_located() {
    let whole = [head(1), batch_after(1, 0, &["SET a 1"]), batch_after(2, 1, &["SET b 1"])].concat();
    let second = head(1).len() + batch_after(1, 0, &["SET a 1"]).len();
    let report = checked(&disk_with_log(&whole[..whole.len() - 1]), ".");
    let says =
        report.text.contains(&format!("good but for its end, which a start sets aside; from offset {second} on"));
    assert!(report.is_good && says, "{}", report.text);
    let mut bytes = whole.clone();
    bytes[head(1).len() + 20] ^= 1;
    let report = checked(&disk_with_log(&bytes), ".");
    let says = report.text.contains(&format!("BAD, from offset {} on it is not whole", head(1).len()));
    assert!(!report.is_good && says, "{}", report.text);
    let report = checked(&disk_with_log(&encoded(&["SET a 1", "NOSUCH x"])), ".");
    assert!(
        !report.is_good && report.text.contains("the command 'NOSUCH' at offset 27: Unknown command"),
        "{}",
        report.text
    );
}

#[test]
fn what_was_recovered_is_what_came_before_the_damage_and_the_old_directory_stays() {
    let lines =
        [head(1), batch_after(1, 0, &["SET a 1"]), batch_after(2, 1, &["SET b 1"]), batch_after(3, 2, &["SET c 1"])];
    let mut log = lines.concat();
    let at = lines[..2].concat().len();
    log[at + 12] ^= 4;
    let disk = disk_with_dump(&["SET from dump"]);
    disk.put(MANIFEST, b"file b seq 3 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\nfile z seq 2 type i\n");
    disk.put("appendonlydir/b", &disk.contents("dump.rdb").expect("it was saved"));
    disk.put(LOG, &log);
    disk.put("appendonlydir/z", &batch(4, &["SET z 1"]));
    let before: Vec<_> = disk.paths().iter().map(|path| (path.clone(), disk.contents(path))).collect();
    refusal(&disk, settings(true));
    let (text, other) = recovered(&disk);
    assert!(
        text.contains(&format!("{at} bytes were taken")) && text.contains("the files after it were not taken"),
        "{text}"
    );
    let mut m = started(&other, true);
    m.expect(&[("DBSIZE", r":2\r\n"), ("GET from", r"$4\r\ndump\r\n"), ("GET a", r"$1\r\n1\r\n")]);
    drop(m);
    started(&other, false).expect(&[("GET from", r"$4\r\ndump\r\n")]);
    for (path, bytes) in before {
        assert_eq!(disk.contents(&path), bytes, "{}", path.display());
    }
    let again = recover(&disk, Path::new("."), Path::new("new"), context(), &accepts);
    assert!(again.is_good || again.text.contains("is not empty"), "{}", again.text);
}

#[test]
fn every_cut_and_every_changed_byte_leaves_something_that_starts() {
    let dump = disk_with_dump(&["SET a 1", "RPUSH l x y", "HSET h f v", "SADD s 1 2", "SELECT 3", "SET b 1"]);
    let dump = dump.contents("dump.rdb").expect("it was saved");
    let log = [head(1), batch_after(1, 0, &["SET x 1"]), batch_after(2, 1, &["SET y 1"])].concat();
    for (bytes, is_log) in [(&dump, false), (&log, true)] {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            if at % 2 == 0 {
                changed.truncate(at)
            } else {
                changed[at] ^= 0x20
            }
            let disk = if is_log { disk_with_log(&changed) } else { SimulatedDisk::new() };
            if !is_log {
                disk.put("dump.rdb", &changed);
            }
            let (text, other) = recovered(&disk);
            let config = Config { databases: 256, ..settings(is_log) };
            if let Err(failure) = try_start(&other, config, 0) {
                panic!("byte {at}: {failure}\n{text}");
            }
        }
    }
}

#[test]
fn a_command_that_no_log_can_hold_ends_what_is_recovered_before_its_transaction() {
    let disk = disk_with_log(&encoded(&["SET a 1", "MULTI", "SET b 1", "NOSUCH", "EXEC", "SET c 1"]));
    refusal(&disk, settings(true));
    let (_, other) = recovered(&disk);
    started(&other, true).expect(&[("KEYS *", r"*1\r\n$1\r\na\r\n")]);
}

#[test]
fn nothing_is_written_over_or_made_of_nothing() {
    let disk = SimulatedDisk::new();
    disk.create_dir(Path::new("empty")).expect("a new disk");
    let report = recover(&disk, Path::new("empty"), Path::new("new"), context(), &accepts);
    assert!(!report.is_good && report.text.contains("there is neither a log nor a dump file"), "{}", report.text);
    disk.put("dump.rdb", b"REDIS0011");
    disk.put("new/file", b"mine");
    let report = recover(&disk, Path::new("."), Path::new("new"), context(), &accepts);
    assert!(!report.is_good && report.text.contains("new is not empty"), "{}", report.text);
}
