//! Backups: the states and what is refused in each, what is in a sealed one, and what the disk may do to it.

use std::path::{Path, PathBuf};

use aleadb::base::clock::Clock;
use aleadb::config::{Access, AppendFsync, Config, Preload};
use aleadb::engine::persistence::start;
use aleadb::persist::aof::manifest::Manifest;

use super::disk::SimulatedDisk;
use super::loading::{disk_with_dump, disk_with_log, encoded, refusal, settings, try_start};
use super::log::Rig;
use super::memory::Memory;

const STEM: &str = "appendonly.aof";
const OK: &str = "+OK\r\n";

fn rig(disk: &SimulatedDisk, appendonly: bool) -> Rig {
    let mut rig = Rig::on(disk.clone(), AppendFsync::Always);
    rig.turn.server.config.appendonly = appendonly;
    rig.turn.server.config.enable_debug_command = Access::Yes;
    rig.turn.server.persistence.loaded_log = Some(Default::default());
    rig.settle();
    rig
}

/// What a command is answered once everything has come to rest.
fn run(rig: &mut Rig, client: usize, line: &str) -> String {
    rig.send(client, line);
    rig.settle();
    rig.got(client)
}

fn state(rig: &mut Rig, client: usize) -> String {
    let status = run(rig, client, "BACKUP STATUS");
    status.lines().nth(4).unwrap_or_else(|| panic!("{status}")).to_owned()
}

fn error(rig: &mut Rig, client: usize) -> String {
    let status = run(rig, client, "BACKUP STATUS");
    status.lines().nth(8).unwrap_or_else(|| panic!("{status}")).to_owned()
}

fn backup_paths(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| path.starts_with("backupdir")).collect()
}

/// A disk that has nothing but the backup, somewhere else.
fn carried_off(disk: &SimulatedDisk) -> SimulatedDisk {
    let there = SimulatedDisk::new();
    for path in backup_paths(disk) {
        let name = path.file_name().expect("a name");
        there.put(Path::new("/restored").join(name), &disk.contents(&path).expect("it is there"));
    }
    there
}

fn preloading(appendonly: bool) -> Config {
    let manifest = PathBuf::from(format!("/restored/{STEM}.manifest"));
    Config { preload_file: Some(Preload::Log(manifest)), ..settings(appendonly) }
}

fn restored(disk: &SimulatedDisk) -> Memory {
    try_start(&carried_off(disk), preloading(false), 0).unwrap_or_else(|failure| panic!("{failure}"))
}

/// The digest of a sealed backup's data.
fn digest_of(disk: &SimulatedDisk) -> String {
    restored(disk).run("DEBUG DIGEST").replace(r"\r\n", "")
}

fn digest(rig: &mut Rig, client: usize) -> String {
    run(rig, client, "DEBUG DIGEST").trim_end().to_owned()
}

#[test]
fn a_backup_goes_from_state_to_state_and_each_refuses_what_has_no_place_there() {
    let disk = SimulatedDisk::new();
    let mut rig = rig(&disk, false);
    let client = rig.connect();
    let status = "*8\r\n$5\r\nstate\r\n$4\r\nidle\r\n$5\r\nerror\r\n$0\r\n\r\n$10\r\nstart_time\r\n:0\r\n$8\r\nend_time\r\n:0\r\n";
    assert_eq!(run(&mut rig, client, "BACKUP STATUS"), status);
    assert_eq!(run(&mut rig, client, "BACKUP LIST"), "*0\r\n");
    assert_eq!(run(&mut rig, client, "BACKUP ABORT"), "-ERR No backup in progress\r\n");
    assert_eq!(run(&mut rig, client, "BACKUP CLEANUP"), OK);
    let not_ready = "-ERR No backup ready to seal (must be in the incrementing state)\r\n";
    assert_eq!(run(&mut rig, client, "BACKUP SEAL"), not_ready);
    run(&mut rig, client, "SET a 1");

    // The helper has done nothing yet.
    assert_eq!(rig.ask(client, "BACKUP START"), OK);
    assert!(rig.ask(client, "BACKUP STATUS").contains("$7\r\npending\r\n"));
    assert_eq!(rig.ask(client, "BACKUP SEAL"), not_ready);
    let started = "-ERR A backup is already in progress, ABORT it first\r\n";
    assert_eq!(rig.ask(client, "BACKUP START"), started);
    assert_eq!(rig.info(client, "backup_in_progress"), "1");
    assert!(rig.turn.server.background.run_one(), "the directory");
    rig.ask(client, "PING");
    assert!(rig.ask(client, "BACKUP STATUS").contains("$12\r\nsnapshotting\r\n"));
    assert_eq!(rig.ask(client, "BACKUP CLEANUP"), "-ERR Backup is in progress\r\n");
    assert!(rig.ask(client, "BGSAVE").starts_with("-ERR Another child process"));
    rig.settle();
    assert_eq!(state(&mut rig, client), "incrementing");
    let list = run(&mut rig, client, "BACKUP LIST");
    assert!(list.starts_with("*1\r\n") && list.contains("backupdir/appendonly.aof.1.base.rdb\r\n"), "{list}");
    run(&mut rig, client, "SET b 2");
    assert_eq!(rig.ask(client, "BACKUP SEAL"), "", "it is answered when it is on the disk");
    rig.settle();
    assert_eq!(rig.got(client), OK);
    assert_eq!((&*state(&mut rig, client), &*rig.info(client, "backup_in_progress")), ("sealed", "0"));
    let list = run(&mut rig, client, "BACKUP LIST");
    assert!(list.starts_with("*3\r\n") && list.contains("appendonly.aof.manifest") && list.contains(".1.incr.aof"));
    assert_eq!(run(&mut rig, client, "BACKUP START"), "-ERR A sealed backup exists, CLEANUP it first\r\n");
    assert_eq!(run(&mut rig, client, "BACKUP ABORT"), "-ERR No backup in progress\r\n");
    assert!(!rig.turn.server.propagation.is_wanted(), "nobody is told any more");

    // After a restart it is there, and nobody knows of it.
    drop(rig);
    let mut rig = self::rig(&disk, false);
    let client = rig.connect();
    let not_empty = "-ERR The backup directory 'backupdir' is not empty\r\n";
    assert_eq!(run(&mut rig, client, "BACKUP START"), not_empty);
    disk.put("backupdir/mine", b"x");
    assert_eq!(run(&mut rig, client, "BACKUP CLEANUP"), OK);
    assert_eq!(backup_paths(&disk), [PathBuf::from("backupdir/mine")]);
    assert_eq!(run(&mut rig, client, "BACKUP START"), not_empty);
}

#[test]
fn what_is_written_between_start_and_seal_is_in_it_and_what_comes_after_is_not() {
    let during = [
        "SET b 2",
        "MULTI|INCR n|RPUSH l x y z|EXEC",
        "SELECT 3|SADD s 1 2|SELECT 0",
        "SWAPDB 0 3",
        "FLUSHALL",
        "SET c 3",
        "SET volatile x PX 50000",
        "HSET h f v|HPEXPIRE h 60000 FIELDS 1 f",
        "CONFIG SET appendonly no|SET d 4",
        "CONFIG SET appendonly yes|SET e 5",
        "BGREWRITEAOF",
        "EVAL \"return redis.call('set','script','1')\" 0",
        "SELECT 5|SET five 5",
        "BGSAVE",
    ];
    for appendonly in [false, true] {
        // Either of them comes while the base is written.
        for at_once in 0..during.len() {
            let disk = SimulatedDisk::new();
            let mut rig = rig(&disk, appendonly);
            let (client, other) = (rig.connect(), rig.connect());
            (0..40).for_each(|i| drop(run(&mut rig, client, &format!("SET k{i} {i}"))));
            rig.ask(other, "BACKUP START");
            rig.turn.server.background.run_one();
            rig.turn.server.persistence.log.run_job();
            rig.ask(other, "BACKUP STATUS");
            for (i, line) in during.iter().enumerate() {
                rig.ask(client, &line.replace("EVAL \"return redis.call('set','script','1')\" 0", "SET script 1"));
                if i >= at_once {
                    rig.settle();
                }
            }
            rig.settle();
            assert_eq!(state(&mut rig, other), "incrementing", "{}", error(&mut rig, other));
            // What comes behind SEAL in the same turn does not belong to it.
            run(&mut rig, client, "SET last 1");
            let wanted = digest(&mut rig, client);
            let reply = run(&mut rig, client, "BACKUP SEAL|SET after 1|DEL last");
            assert_eq!(reply, "+OK\r\n+OK\r\n:1\r\n");
            assert_ne!(digest(&mut rig, client), wanted);
            assert_eq!(digest_of(&disk), wanted, "appendonly {appendonly}, {at_once}");
        }
    }
}

#[test]
fn one_that_is_given_up_leaves_nothing_behind_and_tells_why() {
    let disk = SimulatedDisk::new();
    let mut rig = rig(&disk, true);
    let client = rig.connect();
    run(&mut rig, client, "SET a 1");
    for jobs in 0..4 {
        assert_eq!(rig.ask(client, "BACKUP START"), OK);
        (0..jobs).for_each(|_| {
            rig.turn.server.background.run_one();
            rig.ask(client, "BACKUP STATUS");
        });
        assert_eq!(run(&mut rig, client, "BACKUP ABORT"), OK, "{jobs} jobs");
        assert_eq!((&*state(&mut rig, client), &*error(&mut rig, client)), ("failed", "aborted by user"));
        assert_eq!(backup_paths(&disk), [] as [PathBuf; 0], "{jobs} jobs");
        assert_eq!(rig.info(client, "backup_in_progress"), "0");
    }
    for (line, reason) in
        [("DEBUG RELOAD", "the data was loaded anew"), ("PING", "the data was replaced by that of the primary")]
    {
        assert_eq!(run(&mut rig, client, "BACKUP START"), OK);
        run(&mut rig, client, line);
        if line == "PING" {
            let now = rig.clock.now();
            rig.turn.server.replace_log(now);
        }
        assert_eq!((&*state(&mut rig, client), &*error(&mut rig, client)), ("failed", reason));
    }
    assert_eq!(run(&mut rig, client, "BACKUP CLEANUP"), OK);
    assert_eq!((&*state(&mut rig, client), &*error(&mut rig, client)), ("idle", ""));
}

#[test]
fn a_sealed_one_goes_when_its_time_has_come_and_holds_the_server_in_its_directory() {
    let disk = SimulatedDisk::new();
    let mut rig = rig(&disk, false);
    let client = rig.connect();
    run(&mut rig, client, "CONFIG SET backup-sealed-ttl 10");
    run(&mut rig, client, "BACKUP START");
    run(&mut rig, client, "BACKUP SEAL");
    rig.pass(9_000);
    assert_eq!((&*state(&mut rig, client), backup_paths(&disk).len()), ("sealed", 3));
    rig.turn.server.config.enable_protected_configs = Access::Yes;
    assert!(run(&mut rig, client, "CONFIG SET dir /").contains("there is a backup in the present directory"));
    rig.pass(2_000);
    assert_eq!((&*state(&mut rig, client), backup_paths(&disk).len()), ("idle", 0));
    rig.turn.server.config.backupdirname = "appendonlydir".to_owned();
    for line in ["BACKUP START", "BACKUP CLEANUP"] {
        assert!(run(&mut rig, client, line).starts_with("-ERR The backup directory is that of the append-only file"));
    }
}

/// A call of the disk fails at each place in turn. Nobody who writes notices, and what is sealed is whole.
#[test]
fn whatever_call_fails_writes_go_on_and_what_says_that_it_is_sealed_is_whole() {
    for errno in [libc::ENOSPC, libc::EIO] {
        let (mut sealed, mut failed) = (0, 0);
        for calls in 0..60 {
            let disk = SimulatedDisk::new();
            let mut rig = rig(&disk, false);
            let client = rig.connect();
            run(&mut rig, client, "SET a 1");
            disk.fail_any(calls, 1, errno);
            let reply = run(&mut rig, client, "BACKUP START");
            assert!(reply == OK || reply.starts_with("-ERR Can't"), "{reply}");
            for i in 0..3 {
                assert_eq!(run(&mut rig, client, &format!("SET k{i} {i}")), OK);
                rig.pass(150);
            }
            let wanted = digest(&mut rig, client);
            let reply = run(&mut rig, client, "BACKUP SEAL");
            let state = state(&mut rig, client);
            assert_eq!(reply == OK, state == "sealed", "call {calls}: {reply}, {state}");
            if reply == OK {
                sealed += 1;
                disk.crash_hard();
                assert_eq!(digest_of(&disk), wanted, "call {calls}");
            } else {
                failed += 1;
                let error = error(&mut rig, client);
                assert!(
                    state == "idle" || error.contains("No space left") || error.contains("Input/output"),
                    "{error}"
                );
                assert_eq!(run(&mut rig, client, "BACKUP CLEANUP"), OK);
                for line in ["BACKUP START", "BACKUP SEAL"] {
                    assert_eq!(run(&mut rig, client, line), OK, "call {calls}");
                }
                assert_eq!(digest_of(&disk), wanted, "call {calls}");
            }
        }
        assert!(sealed > 5 && failed > 10, "{sealed} sealed, {failed} failed");
    }
}

#[test]
fn a_log_begins_anew_from_what_was_loaded_and_replaces_the_one_that_is_there() {
    let disk = SimulatedDisk::new();
    let mut source = rig(&disk, false);
    let client = source.connect();
    run(&mut source, client, "SET a 1");
    run(&mut source, client, "BACKUP START");
    run(&mut source, client, "SET b 2");
    run(&mut source, client, "BACKUP SEAL");
    let there = carried_off(&disk);
    let local = disk_with_log(&encoded(&["SET local 1"]));
    local.paths().iter().for_each(|path| there.put(path, &local.contents(path).expect("it is there")));
    let mut rig = Rig::on(there.clone(), AppendFsync::Always);
    rig.turn.server.config = Config { appendfsync: AppendFsync::Always, ..preloading(true) };
    let now = rig.clock.now();
    start::begin(&mut rig.turn.server, now).unwrap_or_else(|failure| panic!("{failure}"));
    rig.settle();
    let client = rig.connect();
    assert_eq!(run(&mut rig, client, "DBSIZE"), ":2\r\n");
    assert_eq!(run(&mut rig, client, "SET c 3"), OK);
    assert!(!there.paths().contains(&PathBuf::from(super::loading::LOG)), "the old log is gone");
    drop(rig);
    there.crash_hard();
    let mut m = try_start(&there, settings(true), 0).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(m.run("MGET a b c local"), r"*4\r\n$1\r\n1\r\n$1\r\n2\r\n$1\r\n3\r\n$-1\r\n");
    let manifest = there.contents(format!("/restored/{STEM}.manifest")).expect("it stays");
    assert!(Manifest::parse(&manifest, STEM).is_ok());
}

#[test]
fn what_is_preloaded_is_there_or_the_server_does_not_start() {
    let disk = disk_with_dump(&["SET dumped 1"]);
    let dump = disk.contents("dump.rdb").expect("a dump file");
    let there = disk_with_dump(&["SET local 1"]);
    there.put("/restored/other.rdb", &dump);
    let config = |path: &str| {
        let path = PathBuf::from(path);
        let preload =
            if path.extension().is_some_and(|e| e == "rdb") { Preload::Dump(path) } else { Preload::Log(path) };
        Config { preload_file: Some(preload), ..settings(false) }
    };
    let mut m = try_start(&there, config("/restored/other.rdb"), 0).unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(m.run("MGET dumped local"), r"*2\r\n$1\r\n1\r\n$-1\r\n");
    drop(m);
    let missing = "Can't read /restored/none.rdb: No such file or directory";
    assert_eq!(refusal(&there, config("/restored/none.rdb")), missing);
    let missing = "Can't read /restored/none.manifest: No such file or directory";
    assert_eq!(refusal(&there, config("/restored/none.manifest")), missing);
    let unnamed = "Can't load /restored/x.aof: the name of a manifest ends with .manifest";
    assert_eq!(refusal(&there, config("/restored/x.aof")), unnamed);
}
