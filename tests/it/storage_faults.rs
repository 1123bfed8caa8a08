//! Every call to the disk that an operation makes fails once, or from there on: a run without faults says how many there are.
//!
//! Nothing may panic, every command is answered, what the disk refused is said, what was acknowledged is there after a crash, and
//! when the disk works again so does everything.

use std::path::Path;

use aleadb::base::clock::Clock;
use aleadb::config::AppendFsync;
use aleadb::engine::persistence::{replay, start};
use aleadb::persist::recover;
use aleadb::store::hash::KeyHasher;

use super::disk::SimulatedDisk;
use super::loading::{disk_with_dump, disk_with_log, encoded, refusal, settings, started};
use super::log::Rig;

/// More calls than an operation makes.
const CALLS_MAX: u64 = 400;

/// How the disk fails: the error, and how often in a row.
const FAULTS: &[(i32, u64)] = &[(libc::ENOSPC, 1), (libc::EIO, 1), (libc::EIO, 4)];

/// What a client knows.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    sent: i64,
    acknowledged: i64,
}

/// A server that has loaded what a disk has.
///
/// # Errors
/// Why it does not start.
fn start_on(disk: &SimulatedDisk) -> Result<Rig, String> {
    let mut rig = Rig::on(disk.clone(), AppendFsync::Always);
    let now = rig.clock.now();
    start::begin(&mut rig.turn.server, now)?;
    rig.settle();
    match rig.turn.server.process.failure.take() {
        Some(failure) => Err(failure),
        None => Ok(rig),
    }
}

/// Adds one to the counter.
fn count(rig: &mut Rig, client: usize, known: &mut Known) {
    known.sent += 1;
    rig.send(client, "INCR k");
    rig.settle();
    note(rig, client, known);
}

/// Takes note of the replies.
fn note(rig: &Rig, client: usize, known: &mut Known) -> String {
    let got = rig.got(client);
    let numbers = got.lines().filter_map(|line| line.strip_prefix(':')?.parse().ok());
    known.acknowledged = numbers.fold(known.acknowledged, i64::max);
    for line in got.lines().filter(|line| line.starts_with('-')) {
        let is_known = ["-MISCONF ", "-ERR "].iter().any(|kind| line.starts_with(kind));
        assert!(is_known && line.len() > 10, "{line}");
    }
    got
}

/// Every operation, with writes in between.
fn live(rig: &mut Rig, known: &mut Known) {
    let client = rig.connect();
    count(rig, client, known);
    // Databases change places and back while a base is written.
    for line in ["BGSAVE", "SAVE", "BGREWRITEAOF", "SWAPDB 0 1|SWAPDB 0 1", "BGREWRITEAOF|SWAPDB 0 1|SWAPDB 0 1"] {
        rig.send(client, line);
        count(rig, client, known);
        rig.pass(1_100);
        count(rig, client, known);
        note(rig, client, known);
    }
}

/// The disk works: everything does in the end, also what had failed.
fn resume(rig: &mut Rig, known: &mut Known, what: &str) {
    // Whatever waited to be tried again has been.
    rig.pass(70_000);
    rig.pass(70_000);
    let client = rig.connect();
    for line in ["BGREWRITEAOF", "BGSAVE"] {
        let reply = rig.ask(client, line);
        assert!(reply.starts_with("+Background"), "{what}: {line}: {reply}");
        rig.settle();
        rig.pass(2_000);
        rig.pass(2_000);
    }
    let before = known.acknowledged;
    count(rig, client, known);
    assert!(known.acknowledged > before, "{what}: writes are not taken again");
    for field in ["rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"] {
        assert_eq!(rig.info(client, field), "ok", "{what}: {field}");
    }
}

/// After a crash everything that was acknowledged is there, and nothing twice.
fn check_crash(rig: Rig, known: Known, what: &str) -> Rig {
    let disk = rig.disk.clone();
    drop(rig);
    disk.crash_hard();
    let mut rig = start_on(&disk).unwrap_or_else(|failure| panic!("{what}: {failure}"));
    let client = rig.connect();
    rig.send(client, "GET k");
    rig.settle();
    let got = rig.got(client);
    let found: i64 = got.lines().nth(1).map_or(0, |line| line.parse().expect("a number"));
    let Known { sent, acknowledged } = known;
    assert!((acknowledged..=sent).contains(&found), "{what}: {acknowledged} acknowledged, {found} found, {sent} sent");
    rig
}

/// What was being done, for messages.
fn described(call: u64, errno: i32, times: u64, write_bytes_max: Option<usize>) -> String {
    format!("from call {call} on {times} fail with error {errno}, writes of {write_bytes_max:?} bytes")
}

#[test]
fn whatever_call_fails_nothing_acknowledged_is_lost_and_everything_resumes() {
    for write_bytes_max in [None, Some(7)] {
        for &(errno, times) in FAULTS {
            let mut calls = 0;
            loop {
                assert!(calls < CALLS_MAX * 10, "there is no end to it");
                let what = described(calls, errno, times, write_bytes_max);
                let disk = SimulatedDisk::new();
                disk.set_write_bytes_max(write_bytes_max);
                disk.fail_any(calls, times, errno);
                let mut known = Known::default();
                let mut is_refused = false;
                let mut rig = start_on(&disk).unwrap_or_else(|failure| {
                    is_refused = true;
                    assert!(failure.contains("No space left") || failure.contains("Input/output"), "{what}: {failure}");
                    disk.heal();
                    start_on(&disk).unwrap_or_else(|failure| panic!("{what}: {failure}"))
                });
                live(&mut rig, &mut known);
                let made = disk.calls_of_all_kinds();
                disk.heal();
                if calls % 2 == 0 {
                    resume(&mut rig, &mut known, &what);
                }
                let mut rig = check_crash(rig, known, &what);
                known.sent += 1;
                resume(&mut rig, &mut known, &what);
                if made < calls && !is_refused {
                    break;
                }
                // Writes in small parts take many calls that are all the same.
                calls += if write_bytes_max.is_some() { 5 } else { 1 };
            }
            assert!(calls > 50, "{calls} calls");
        }
    }
}

#[test]
fn whatever_call_fails_a_log_is_turned_on_in_the_end() {
    for &(errno, times) in FAULTS {
        for calls in 0..CALLS_MAX {
            let what = described(calls, errno, times, None);
            let disk = SimulatedDisk::new();
            let mut rig = start_on(&disk).unwrap_or_else(|failure| panic!("{what}: {failure}"));
            let (client, mut known) = (rig.connect(), Known::default());
            let begun = disk.calls_of_all_kinds();
            disk.fail_any(calls, times, errno);
            for value in ["no", "yes", "no", "yes"] {
                rig.send(client, &format!("*4|$6|CONFIG|$3|SET|$10|appendonly|${}|{value}", value.len()));
                count(&mut rig, client, &mut known);
                rig.pass(1_500);
            }
            let made = disk.calls_of_all_kinds() - begun;
            disk.heal();
            rig.send(client, "CONFIG SET appendonly yes");
            rig.settle();
            rig.pass(70_000);
            resume(&mut rig, &mut known, &what);
            check_crash(rig, known, &what);
            if made < calls {
                break;
            }
            assert!(calls + 1 < CALLS_MAX, "it makes more calls than this test allows");
        }
    }
}

/// A start that is refused, or a crash of one that is not, changes nothing: the next one has everything.
#[test]
fn whatever_call_of_a_recovery_fails_the_next_start_has_all_data() {
    let torn = [encoded(&["SET a 1", "SET b 2"]), b"*3\r\n$3\r\nSET\r\n".to_vec()].concat();
    let disks: [&dyn Fn() -> SimulatedDisk; 3] =
        [&|| disk_with_log(&torn), &|| disk_with_dump(&["SET a 1", "SET b 2"]), &|| {
            let disk = SimulatedDisk::new();
            disk.put("appendonly.aof", &torn);
            disk
        }];
    for make in disks {
        for &(errno, times) in FAULTS {
            let mut refusals = 0;
            for calls in 0..CALLS_MAX {
                let disk = make();
                let before = disk.calls_of_all_kinds();
                disk.fail_any(calls, times, errno);
                match super::loading::try_start(&disk, settings(true), 0) {
                    Ok(mut m) => {
                        let reply = m.run("MGET a b");
                        assert_eq!(reply, r"*2\r\n$1\r\n1\r\n$1\r\n2\r\n", "{}", described(calls, errno, times, None));
                    }
                    Err(failure) => {
                        refusals += 1;
                        assert!(failure.contains("No space") || failure.contains("Input/output"), "{failure}");
                    }
                }
                let made = disk.calls_of_all_kinds() - before;
                disk.heal();
                disk.crash_hard();
                let reply = started(&disk, true).run("MGET a b");
                let what = described(calls, errno, times, None);
                assert_eq!(reply, r"*2\r\n$1\r\n1\r\n$1\r\n2\r\n", "{what}: {:?}", disk.paths());
                if made < calls {
                    break;
                }
                assert!(calls + 1 < CALLS_MAX, "it makes more calls than this test allows");
            }
            assert!(refusals > 5, "{refusals} refusals");
        }
    }
    // Without a disk that can be listed nothing may be begun.
    let disk = SimulatedDisk::new();
    disk.fail(super::disk::Call::List, 0, 9, libc::EIO);
    assert!(refusal(&disk, settings(true)).contains("Input/output error"));
}

#[test]
fn whatever_call_of_recover_fails_it_says_so_and_leaves_the_old_directory_as_it_was() {
    for &(errno, times) in FAULTS {
        for calls in 0..CALLS_MAX {
            let disk = disk_with_dump(&["SET from dump"]);
            let log = encoded(&["SET a 1"]);
            disk.put(super::loading::MANIFEST, b"file appendonly.aof.1.incr.aof seq 1 type i\n");
            disk.put(super::loading::LOG, &log);
            let old: Vec<_> = disk.paths().into_iter().map(|path| (disk.contents(&path), path)).collect();
            let before = disk.calls_of_all_kinds();
            disk.fail_any(calls, times, errno);
            let run = |into: &str| {
                let context = (super::memory::START_MS, KeyHasher::new([1; 16]));
                recover::recover(&disk, Path::new("."), Path::new(into), context, &replay::accepts)
            };
            let report = run("new");
            let made = disk.calls_of_all_kinds() - before;
            let what = described(calls, errno, times, None);
            disk.heal();
            for (contents, path) in &old {
                assert!(disk.contents(path) == *contents, "{what}: {} has changed", path.display());
            }
            let is_told = report.text.contains("error") || report.text.contains("No space");
            // A call of no consequence, such as one behind the end of a file, need not be told.
            let is_whole = disk.contents("new/dump.rdb") == disk.contents("dump.rdb")
                && disk.contents("new/appendonlydir/appendonly.aof.1.incr.aof").as_ref() == Some(&log);
            assert!((report.is_good && is_whole) || is_told, "{what}: {}", report.text);
            assert!(report.is_good || report.text.contains("NOTHING RECOVERED"), "{what}: {}", report.text);
            if made < calls {
                assert!(report.is_good);
                break;
            }
            assert!(run("again").is_good, "{what}");
            assert!(calls + 1 < CALLS_MAX, "it makes more calls than this test allows");
        }
    }
}
