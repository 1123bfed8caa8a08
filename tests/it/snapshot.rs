//! Snapshots: what is in the file whatever is written meanwhile, who is put on hold, what the disk does to them, and when they
//! begin by themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::config::Config;
use aleadb::persist::payload;
use aleadb::persist::rdb::Shapes;
use aleadb::persist::rdb::file::{DumpReader, Item};
use aleadb::persist::storage::{Listed, Locked, ReadFile, Storage, WriteFile};
use aleadb::server::Seeds;
use aleadb::server::background::Background;
use aleadb::server::ctx::Next;
use aleadb::server::persistence::snapshot::{Outcome, Purpose};
use aleadb::store::types::{Object, hash, list, set, zset};

use crate::disk::{Call, SimulatedDisk};
use crate::generate::{Generator, Line};
use crate::memory::{Memory, START_MS};

/// A server whose disk is at hand.
fn server() -> (Memory, SimulatedDisk) {
    server_with(Config::default())
}

fn server_with(config: Config) -> (Memory, SimulatedDisk) {
    let (disk, clock) = (SimulatedDisk::new(), Rc::new(ManualClock::at_unix_ms(START_MS)));
    let seeds = Seeds { hash: [1; 16], prng: 1 };
    (Memory::with_outside(config, seeds, clock, Background::inline(), Arc::new(disk.clone())), disk)
}

/// What a dump file holds: by database and key the value and the deadline.
type Dump = BTreeMap<Key, Kept>;
type Key = (u64, Vec<u8>);
type Kept = (Vec<u8>, Option<i64>);

/// The files of a disk, but for the one that says whose it is.
fn files(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path != Path::new("aleadb.lock")).collect()
}

fn read_dump(m: &Memory, disk: &SimulatedDisk, path: &str) -> Dump {
    let hasher = m.server.dbs.hasher;
    let shapes = Shapes {
        list: list::Fill::default(),
        set: set::Policy { intset_entries: 512, listpack_entries: 128, listpack_value: 64, hasher },
        hash: hash::Limits { entries: 512, value: 64, hasher },
        zset: zset::Limits { entries: 128, value: 64, hasher },
    };
    let mut reader =
        DumpReader::new(disk.open(Path::new(path)).expect("there is a file"), shapes, true).expect("a length");
    let (mut dump, mut db) = (Dump::new(), 0);
    loop {
        match reader.next_item().unwrap_or_else(|error| panic!("{path}: {error:?}")) {
            Item::Select(number) => db = number,
            Item::Entry(loaded) => {
                let entry = loaded.entry;
                // Without the checksum. Elements of tables come in no order.
                let mut value = payload::dump(&entry, false);
                value.truncate(value.len() - 10);
                if matches!(entry.encoding(), "hashtable" | "skiplist") {
                    value.sort_unstable();
                }
                let old = dump.insert((db, entry.key().to_vec()), (value, entry.deadline_ms()));
                assert!(old.is_none(), "{entry:?} comes twice");
            }
            Item::End(_) => return dump,
            _ => {}
        }
    }
}

/// Makes a snapshot to its end, running `between` after each of its smallest steps.
fn finish(m: &mut Memory, mut between: impl FnMut(&mut Memory)) {
    for _ in 0..1_000_000 {
        let now = m.clock.now();
        m.server.walk_snapshot(0, now);
        between(m);
        m.turn_completions();
        if !m.server.persistence.snapshots.is_running() {
            return;
        }
    }
    panic!("the snapshot does not end");
}

/// So many of the smallest steps.
fn walk(m: &mut Memory, steps: usize) {
    let now = m.clock.now();
    for _ in 0..steps {
        m.server.walk_snapshot(0, now);
    }
}

fn run_line(m: &mut Memory, line: &[Vec<u8>]) {
    let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
    m.raw(&args);
    // One that is on hold goes on when the snapshot has its keys.
    for _ in 0..100_000 {
        if !m.is_waiting() {
            return;
        }
        let now = m.clock.now();
        m.server.walk_snapshot(0, now);
        m.turn_completions();
        m.clock.advance_ms(1);
        m.wake();
    }
    panic!("{line:?} waits for ever");
}

fn info(m: &mut Memory, field: &str) -> String {
    let text = m.run("INFO persistence");
    let line = text.split(r"\r\n").find_map(|line| line.strip_prefix(&format!("{field}:")));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}

fn is_barred(name: &str, line: &Line) -> bool {
    // What begins and ends snapshots itself, and what waits or tells of more than the data.
    let own = [
        "save", "bgsave", "backup", "shutdown", "abort", "debug", "sleep", "config", "client", "acl", "hello", "auth",
        "reset",
    ];
    let blocking =
        ["blpop", "brpop", "brpoplpush", "blmove", "blmpop", "bzpopmin", "bzpopmax", "bzmpop", "wait", "waitaof"];
    let first = name.split('|').next().unwrap_or(name);
    own.contains(&first) || blocking.contains(&first) || line.iter().any(|word| word.eq_ignore_ascii_case(b"BLOCK"))
}

/// A snapshot that is made in the smallest steps, with random commands in between, against one that was saved at once when it
/// began.
#[test]
fn a_snapshot_holds_what_there_was_when_it_began_whatever_commands_run_meanwhile() {
    let mut keys = 0;
    for seed in 0..12 {
        let (mut m, disk) = server();
        let mut lines = Generator::new(seed, is_barred, |_| true);
        for _ in 0..600 {
            run_line(&mut m, &lines.line());
        }
        m.run("DISCARD");
        let now = m.clock.now();
        m.server.save_now(now).expect("the disk takes it");
        let before = read_dump(&m, &disk, "dump.rdb");
        // As the base of a log: FLUSHALL gives up the other kind.
        m.server
            .begin_snapshot(Purpose::LogBase, m.server.dump_frame(), PathBuf::from("base.rdb"), now)
            .expect("none is running");
        finish(&mut m, |m| {
            for _ in 0..3 {
                let line = lines.line();
                let args: Vec<&[u8]> = line.iter().map(Vec::as_slice).collect();
                if !m.is_waiting() {
                    m.raw(&args);
                }
            }
            m.clock.advance_ms(1);
            m.advance_ms(1);
            m.wake();
        });
        assert!(matches!(m.server.persistence.snapshots.log_base.take(), Some(Outcome::Saved(_))), "seed {seed}");
        let (after, unix_ms) = (read_dump(&m, &disk, "base.rdb"), m.clock.now().unix_ms);
        let differs = |(key, value): &(&Key, &Kept)| {
            // What has expired meanwhile may be missing, for nobody would find it.
            let lives = value.1.is_none_or(|deadline_ms| deadline_ms > unix_ms);
            lives && after.get(key) != Some(value)
        };
        let differing: Vec<_> = before.iter().filter(differs).collect();
        assert!(
            differing.is_empty(),
            "seed {seed}: {differing:?}, but {:?}",
            differing.iter().map(|(k, _)| after.get(k))
        );
        let strange: Vec<_> = after.keys().filter(|key| !before.contains_key(key)).collect();
        assert!(strange.is_empty(), "seed {seed}: {strange:?}");
        keys += before.len();
    }
    assert!(keys > 120, "{keys} keys in all");
}

/// A value of each type that takes many pieces.
fn fill_large(m: &mut Memory) {
    let elements: Vec<String> = (0..4000).map(|n| format!("element:{n}")).collect();
    let all = elements.join(" ");
    m.run(&format!("RPUSH list {all}"));
    m.run(&format!("SADD set {all}"));
    m.run(&format!(
        "ZADD zset {}",
        elements.iter().enumerate().map(|(n, e)| format!("{n} {e}")).collect::<Vec<_>>().join(" ")
    ));
    m.run(&format!("HSET hash {}", elements.iter().map(|e| format!("{e} {e}")).collect::<Vec<_>>().join(" ")));
    for n in 1..4000 {
        m.run(&format!("XADD stream {n}-1 field value"));
    }
    m.run(&format!("ARINSERT array {all}"));
    m.run("XGROUP CREATE stream group 0");
    m.run("XREADGROUP GROUP group one COUNT 3000 STREAMS stream >");
    let big = vec![b'x'; 6 << 20];
    m.raw(&[b"SET", b"string", &big]);
}

const WRITES: &[&str] = &[
    "RPUSH list x",
    "SADD set x",
    "ZADD zset 1 x",
    "HSET hash x y",
    "XADD stream * f v",
    "ARSET array 7 x",
    "ARDELRANGE array 0 3000",
    "APPEND string x",
    "DEL set",
    "RENAME hash other",
    "PEXPIRE zset 100000",
    "COPY small list REPLACE",
    "SINTERSTORE set set",
];

#[test]
fn who_would_change_a_large_value_waits_until_the_snapshot_has_it_and_nobody_else_does() {
    for write in WRITES {
        let (mut m, disk) = server();
        fill_large(&mut m);
        m.run("SET small 1");
        let now = m.clock.now();
        m.server.save_now(now).expect("the disk takes it");
        let before = read_dump(&m, &disk, "dump.rdb");
        m.expect(&[("BGSAVE", r"+Background saving started\r\n"), (write, "")]);
        assert!(m.is_waiting(), "{write}");
        assert_eq!(info(&mut m, "snapshot_clients_on_hold"), "1");
        let other = m.connect();
        m.expect(&[("SET small 2", r"+OK\r\n"), ("LLEN list", r":4000\r\n"), ("SET new 3", r"+OK\r\n")]);
        m.expect(&[("MULTI", r"+OK\r\n"), (write, r"+QUEUED\r\n"), ("EXEC", "")]);
        assert!(m.is_waiting(), "EXEC is judged by its queue");
        finish(&mut m, |m| drop(m.wake()));
        m.wake();
        for client in [0, other] {
            m.client = client;
            assert!(!m.is_waiting(), "{write}");
        }
        m.client = 0;
        assert!(!m.run(write).is_empty(), "{write} runs in the end");
        assert!(read_dump(&m, &disk, "dump.rdb") == before, "{write}");
    }
}

#[test]
fn what_takes_the_value_away_in_the_midst_of_it_leaves_it_whole_in_the_file() {
    // The key falls due, or its database is emptied, while the snapshot is in the midst of its value.
    for (key, line) in [
        ("set", "GET set"),
        ("hash", "HLEN hash"),
        ("zset", "EXISTS zset"),
        ("list", "FLUSHDB"),
        ("stream", "SWAPDB 0 1"),
        ("array", "ARLEN array"),
    ] {
        let (mut m, disk) = server();
        fill_large(&mut m);
        m.run("DEL string");
        m.run(&format!("PEXPIREAT {key} {}", START_MS + 5));
        let now = m.clock.now();
        m.server.save_now(now).expect("the disk takes it");
        let before = read_dump(&m, &disk, "dump.rdb");
        m.run("BGSAVE");
        // A write to the key makes the snapshot take it first.
        m.run(&format!("DEL {key}"));
        assert!(m.is_waiting());
        walk(&mut m, 3);
        let other = m.connect();
        if !line.contains("DB") {
            m.clock.advance_ms(10);
        }
        m.run(line);
        m.advance_ms(1);
        finish(&mut m, |m| while m.go_on() {});
        m.leave(other);
        let after = read_dump(&m, &disk, "dump.rdb");
        let of = |dump: &Dump| dump.get(&(0, key.as_bytes().to_vec())).cloned();
        assert!(of(&after) == of(&before), "{key}");
        assert!(after.len() >= before.len() - 1, "{key}");
    }
}

#[test]
fn elements_that_fall_due_in_the_midst_of_their_collection_leave_when_the_snapshot_has_it() {
    for (key, expire, change, question) in [
        ("hash", "HPEXPIRE hash 5 FIELDS", "HSET hash x y", "HGET hash element:7"),
        ("zset", "ZPEXPIRE zset 5 MEMBERS", "ZADD zset 1 x", "ZSCORE zset element:7"),
    ] {
        let (mut m, disk) = server();
        fill_large(&mut m);
        m.run(&format!("{expire} 2 element:7 element:8"));
        m.run("BGSAVE");
        m.run(change);
        assert!(m.is_waiting());
        walk(&mut m, 3);
        m.clock.advance_ms(10);
        let now = m.clock.now();
        m.cron_once(now);
        m.connect();
        let count = |m: &Memory| {
            m.server.dbs[0].peek(key.as_bytes()).and_then(|entry| match entry.object().as_deref() {
                Some(Object::ZSet(zset)) => Some(zset.total()),
                other => other.map(Object::len),
            })
        };
        assert_eq!((m.run(question).as_str(), count(&m)), (r"$-1\r\n", Some(4000)));
        finish(&mut m, |_| ());
        m.advance_ms(1);
        assert_eq!(count(&m), Some(3998));
        assert!(read_dump(&m, &disk, "dump.rdb").contains_key(&(0, key.as_bytes().to_vec())));
    }
}

#[test]
fn a_client_on_hold_can_be_killed_and_is_not_unblocked_by_others() {
    let (mut m, _) = server();
    fill_large(&mut m);
    m.expect(&[("BGSAVE", r"+Background saving started\r\n"), ("DEL set", "")]);
    let id = m.session(0).id;
    m.connect();
    assert_eq!(m.run(&format!("CLIENT UNBLOCK {id}")), r":0\r\n");
    assert_eq!(m.run(&format!("CLIENT KILL ID {id}")), r":1\r\n");
    m.leave(0);
    finish(&mut m, |m| drop(m.wake()));
    m.expect(&[("EXISTS set", r":1\r\n")]);
}

#[test]
fn a_snapshot_that_is_cancelled_leaves_no_file_and_the_next_one_is_whole() {
    let (mut m, disk) = server();
    (0..30_000).for_each(|n| drop(m.run(&format!("SET key:{n} {n}"))));
    m.expect(&[("BGSAVE CANCEL", r"-ERR Background saving is currently not in progress or scheduled\r\n")]);
    for _ in 0..3 {
        m.expect(&[("BGSAVE", r"+Background saving started\r\n")]);
        walk(&mut m, 50);
        m.expect(&[
            ("BGSAVE", r"-ERR Background save already in progress\r\n"),
            ("SAVE", r"-ERR Background save already in progress\r\n"),
            ("SET key:1 changed", r"+OK\r\n"),
            ("BGSAVE CANCEL", r"+Background saving cancelled\r\n"),
            ("SET key:2 changed", r"+OK\r\n"),
        ]);
        finish(&mut m, |_| ());
        assert_eq!(files(&disk), Vec::<PathBuf>::new());
        assert_eq!(info(&mut m, "rdb_last_bgsave_status"), "ok");
    }
    m.expect(&[("BGSAVE", r"+Background saving started\r\n"), ("SET key:3 changed", r"+OK\r\n")]);
    finish(&mut m, |_| ());
    let dump = read_dump(&m, &disk, "dump.rdb");
    m.expect(&[("SET key:3 3", r"+OK\r\n"), ("SAVE", r"+OK\r\n")]);
    assert!(read_dump(&m, &disk, "dump.rdb") == dump && dump.len() == 30_000);
    assert_eq!(info(&mut m, "rdb_saves"), "5");
}

#[test]
fn flushall_gives_up_a_dump_and_saves_the_empty_data_set() {
    let (mut m, disk) = server();
    (0..3000).for_each(|n| drop(m.run(&format!("SET key:{n} {n}"))));
    m.expect(&[("SAVE", r"+OK\r\n"), ("BGSAVE", r"+Background saving started\r\n")]);
    let now = m.clock.now();
    m.server.walk_snapshot(0, now);
    m.expect(&[("FLUSHALL", r"+OK\r\n"), ("SET after 1", r"+OK\r\n")]);
    while m.turn() || info(&mut m, "rdb_bgsave_in_progress") == "1" || info(&mut m, "snapshot_scheduled") == "1" {}
    assert_eq!(read_dump(&m, &disk, "dump.rdb").len(), 1);
    assert_eq!(info(&mut m, "rdb_changes_since_last_save"), "0");
    // Without save points the file stays.
    m.expect(&[("CONFIG SET save \"\"", r"+OK\r\n"), ("FLUSHALL", r"+OK\r\n")]);
    while m.turn() {}
    assert_eq!(read_dump(&m, &disk, "dump.rdb").len(), 1);
}

#[test]
fn what_flushall_removed_is_not_there_again_after_an_end_that_does_not_save() {
    let (mut m, disk) = server();
    m.expect(&[("SET a 1", r"+OK\r\n"), ("SAVE", r"+OK\r\n"), ("FLUSHALL", r"+OK\r\n"), ("SHUTDOWN NOSAVE", "")]);
    assert_eq!((m.next, read_dump(&m, &disk, "dump.rdb").len()), (Next::Shutdown, 0));
}

#[test]
fn bgsave_within_a_transaction_begins_after_it() {
    let (mut m, disk) = server();
    m.expect(&[
        ("SET a 1", r"+OK\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("SET a 2", r"+QUEUED\r\n"),
        ("BGSAVE", r"+QUEUED\r\n"),
    ]);
    m.expect(&[("SET b 2", r"+QUEUED\r\n")]);
    let queued = r"*3\r\n+OK\r\n+Background saving scheduled\r\n+OK\r\n";
    m.expect(&[("EXEC", queued)]);
    while m.turn() {}
    m.turn();
    assert_eq!(read_dump(&m, &disk, "dump.rdb").len(), 2);
    m.expect(&[("BGSAVE SCHEDULE", r"+Background saving started\r\n"), ("BGSAVE NOW", r"-ERR syntax error\r\n")]);
}

#[test]
fn a_save_point_begins_a_snapshot_and_one_that_failed_is_tried_again_after_five_seconds() {
    let (mut m, disk) = server();
    m.expect(&[("CONFIG SET save \"10 3\"", r"+OK\r\n"), ("LASTSAVE", r":1700000000\r\n")]);
    let settle = |m: &mut Memory| while m.turn() || m.server.persistence.snapshots.is_running() {};
    m.expect(&[("MSET a 1 b 2", r"+OK\r\n")]);
    m.advance_ms(60_000);
    settle(&mut m);
    assert!(files(&disk).is_empty(), "two changes are not enough");
    m.expect(&[("SET c 3", r"+OK\r\n")]);
    disk.fail(Call::Sync, 0, 1, libc::ENOSPC);
    m.advance_ms(200);
    settle(&mut m);
    assert_eq!(info(&mut m, "rdb_last_bgsave_status"), "err");
    let error = info(&mut m, "rdb_last_error");
    assert!(error.contains("temp-") && error.contains("No space left") && error.contains("bytes are free"), "{error}");
    let misconf = m.run("SET d 4");
    assert!(misconf.starts_with("-MISCONF Redis is configured to save RDB snapshots, but"), "{misconf}");
    assert!(m.run("PING").starts_with("-MISCONF") && m.run("GET a") == r"$1\r\n1\r\n");
    m.advance_ms(4000);
    settle(&mut m);
    assert_eq!(info(&mut m, "rdb_saves"), "1");
    m.advance_ms(2000);
    settle(&mut m);
    settle(&mut m);
    assert_eq!((info(&mut m, "rdb_last_bgsave_status").as_str(), info(&mut m, "rdb_saves").as_str()), ("ok", "2"));
    m.expect(&[("SET d 4", r"+OK\r\n"), ("LASTSAVE", r":1700000066\r\n")]);
    assert_eq!(
        (info(&mut m, "rdb_changes_since_last_save").as_str(), read_dump(&m, &disk, "dump.rdb").len()),
        ("1", 3)
    );
}

#[test]
fn whatever_call_of_the_disk_fails_the_old_file_stays_and_the_next_snapshot_is_whole() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncDir] {
        for after in 0..3 {
            for at_once in [false, true] {
                let (mut m, disk) = server();
                m.expect(&[("CONFIG SET stop-writes-on-bgsave-error no", r"+OK\r\n")]);
                m.expect(&[("SET old 1", r"+OK\r\n"), ("SAVE", r"+OK\r\n")]);
                let random = aleadb::base::prng::Prng::seeded(1);
                let mut noise = random;
                for n in 0..40 {
                    let value: Vec<u8> = (0..64 << 10).map(|_| noise.next_u64() as u8).collect();
                    m.raw(&[b"SET", format!("key:{n}").as_bytes(), &value]);
                }
                disk.fail(call, after, 1, libc::EIO);
                let failed = match at_once {
                    true => m.run("SAVE").starts_with("-ERR"),
                    false => {
                        m.run("BGSAVE");
                        finish(&mut m, |_| ());
                        info(&mut m, "rdb_last_bgsave_status") == "err"
                    }
                };
                let keys = read_dump(&m, &disk, "dump.rdb").len();
                // The file may have its name although the directory could not be synced.
                let expected = if failed && call != Call::SyncDir { 1 } else { 41 };
                assert_eq!((keys, files(&disk)), (expected, vec![PathBuf::from("dump.rdb")]), "{call:?} after {after}");
                assert!(failed || after > 0, "{call:?}");
                disk.heal();
                m.run("BGSAVE");
                finish(&mut m, |_| ());
                assert_eq!(read_dump(&m, &disk, "dump.rdb").len(), 41, "{call:?} after {after}");
                assert_eq!(info(&mut m, "rdb_last_bgsave_status"), "ok");
            }
        }
    }
}

#[test]
fn the_end_is_preceded_by_a_snapshot_if_there_are_save_points_and_refused_if_that_fails() {
    for (save, line, saved) in [
        ("60 1", "SHUTDOWN", true),
        ("60 1", "SHUTDOWN NOSAVE", false),
        ("", "SHUTDOWN", false),
        ("", "SHUTDOWN SAVE", true),
        ("60 1", "ABORT", false),
    ] {
        let (mut m, disk) = server();
        m.run(&format!("CONFIG SET save \"{save}\""));
        m.run("SET a 1");
        m.run("BGSAVE");
        m.run("SET b 2");
        m.run(line);
        assert_eq!(m.next, Next::Shutdown, "{line}");
        m.turn();
        assert_eq!(files(&disk).len(), usize::from(saved), "{line}");
        if saved {
            assert_eq!(read_dump(&m, &disk, "dump.rdb").len(), 2);
        }
    }
    let (mut m, disk) = server();
    m.run("SET a 1");
    disk.fail(Call::Write, 0, 2, libc::ENOSPC);
    m.expect(&[("SHUTDOWN", r"-ERR Errors trying to SHUTDOWN. Check logs.\r\n"), ("SET a 2", r"+OK\r\n")]);
    assert_eq!(m.next, Next::Done);
    m.run("SHUTDOWN FORCE");
    assert_eq!((m.next, files(&disk)), (Next::Shutdown, vec![]));
}

#[test]
fn a_version_that_cannot_hold_the_deadlines_of_fields_is_refused_by_name() {
    let (mut m, disk) = server();
    m.expect(&[("HSET h a 1 b 2", r":2\r\n"), ("HEXPIRE h 100 FIELDS 1 a", r"*1\r\n:1\r\n")]);
    m.expect(&[("CONFIG SET rdb-format-version 10", r"+OK\r\n")]);
    assert!(m.run("SAVE").starts_with(r"-ERR fields of the hash \'h\' expire"));
    m.run("BGSAVE");
    finish(&mut m, |_| ());
    assert!(info(&mut m, "rdb_last_error").starts_with(r"fields of the hash \'h\' expire") && files(&disk).is_empty());
    m.expect(&[("CONFIG SET rdb-format-version 0", r"+OK\r\n"), ("SAVE", r"+OK\r\n")]);
    assert_eq!(disk.contents("dump.rdb").expect("saved")[..9], *b"REDIS0012");
    m.expect(&[("DEL h", r":1\r\n"), ("SAVE", r"+OK\r\n")]);
    assert_eq!(disk.contents("dump.rdb").expect("saved")[..9], *b"REDIS0011");
}

#[test]
fn members_with_deadlines_are_saved_in_a_form_of_our_own_unless_a_version_is_asked_for() {
    let lines = ["SADDEX k PX 5000 MEMBERS 2 a b", "ZADDEX k PX 5000 MEMBERS 2 1 a 2 b"];
    for (line, what, keep) in [(lines[0], "set", "SPERSIST"), (lines[1], "sorted set", "ZPERSIST")] {
        let (mut m, disk) = server();
        m.run(line);
        m.expect(&[("CONFIG SET rdb-format-version 12", r"+OK\r\n")]);
        let reply = m.run("SAVE");
        assert!(reply.starts_with(&format!(r"-ERR members of the {what} \'k\' expire")), "{reply}");
        assert!(reply.contains(keep) && files(&disk).is_empty(), "{reply}");
        m.expect(&[("CONFIG SET rdb-format-version 0", r"+OK\r\n"), ("SAVE", r"+OK\r\n")]);
        let mut loaded = read_dump(&m, &disk, "dump.rdb");
        let value = loaded.remove(&(0, b"k".to_vec())).expect("it was saved");
        m.run("CONFIG SET rdb-format-version 12");
        m.expect(&[(&format!("{keep} k MEMBERS 2 a b"), r"*2\r\n:1\r\n:1\r\n"), ("SAVE", r"+OK\r\n")]);
        assert!(read_dump(&m, &disk, "dump.rdb").remove(&(0, b"k".to_vec())).expect("saved") != value);
    }
}

/// A disk whose writes wait until it is opened.
#[derive(Clone, Debug)]
struct SlowDisk(SimulatedDisk, Arc<(Mutex<bool>, Condvar)>);

#[derive(Debug)]
struct SlowFile(Box<dyn WriteFile>, Arc<(Mutex<bool>, Condvar)>);

impl SlowDisk {
    fn new() -> SlowDisk {
        SlowDisk(SimulatedDisk::new(), Arc::default())
    }

    fn open_up(&self) {
        *self.1.0.lock().expect("no panic") = true;
        self.1.1.notify_all();
    }
}

impl Write for SlowFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let open = self.1.0.lock().expect("no panic");
        drop(self.1.1.wait_while(open, |open| !*open).expect("no panic"));
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl WriteFile for SlowFile {
    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }
}

impl Storage for SlowDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadFile>> {
        self.0.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        Ok(Box::new(SlowFile(self.0.create(path)?, Arc::clone(&self.1))))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.0.append(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        self.0.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir(dir)
    }

    fn lock(&self, path: &Path, contents: &[u8]) -> io::Result<Locked> {
        self.0.lock(path, contents)
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.0.free_bytes(dir)
    }
}

#[test]
fn a_disk_that_does_not_keep_up_holds_writers_back_before_much_memory_waits_for_it() {
    const KEYS: usize = 1000;
    let (disk, clock) = (SlowDisk::new(), Rc::new(ManualClock::at_unix_ms(START_MS)));
    let background = Background::new().expect("a pair of sockets");
    let seeds = Seeds { hash: [1; 16], prng: 1 };
    let mut m = Memory::with_outside(Config::default(), seeds, clock, background, Arc::new(disk.clone()));
    m.run("CONFIG SET rdbcompression no");
    let value = vec![b'v'; 200 << 10];
    (0..KEYS).for_each(|n| drop(m.raw(&[b"SET", format!("key:{n}").as_bytes(), &value])));
    m.run("BGSAVE");
    let mut on_hold = BTreeSet::new();
    for n in 0..KEYS {
        while m.turn() {}
        m.connect();
        m.run(&format!("SET key:{n} changed"));
        if m.is_waiting() {
            on_hold.insert(m.client);
        }
    }
    assert!(on_hold.len() > KEYS / 2, "{} are on hold", on_hold.len());
    let waiting: usize = info(&mut m, "snapshot_waiting_bytes_max").parse().expect("a number");
    assert!((48 << 20..=50 << 20).contains(&waiting), "{waiting} bytes");
    // Who changes what the snapshot has, or what came later, goes on.
    m.connect();
    m.expect(&[("SET key:0 again", r"+OK\r\n"), ("SET new 1", r"+OK\r\n")]);
    disk.open_up();
    let deadline = std::time::Duration::from_secs(60);
    assert!(wait_until(deadline, || {
        m.turn();
        !m.server.persistence.snapshots.is_running()
    }));
    m.turn();
    for client in on_hold {
        m.client = client;
        assert!(!m.is_waiting());
    }
    let dump = read_dump(&m, &disk.0, "dump.rdb");
    assert!(dump.len() == KEYS && dump.values().all(|(value, _)| value.len() > 200 << 10));
}

/// Asks again and again until it holds, for so long at most.
fn wait_until(limit: std::time::Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = std::time::Instant::now() + limit;
    while !condition() {
        if std::time::Instant::now() >= deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}
