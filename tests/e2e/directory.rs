//! What the data directory does to a start: another server in it, files that are damaged or none at all, links, a place where nothing
//! can be written. And what is there after a server was killed.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI64, Ordering};

use super::process::{DEADLINE, Dir, Process, binary, skip};
use super::server::{free_port, wait_until};

const INCREMENT: &str = "appendonlydir/appendonly.aof.1.incr.aof";
const LOGGED: &[&str] = &["--appendonly", "yes", "--appendfsync", "always"];

/// Starts a server on a directory that is not its own, and waits until it answers.
fn serving(data: &Path, args: &[&str]) -> Process {
    let data = data.to_str().expect("UTF-8");
    Process::serving(&[&["--dir", data, "--save", ""], args].concat())
}

/// The exit status, and what it printed, of a server that ends by itself.
fn refused(data: &Path, args: &[&str]) -> (Option<i32>, String) {
    let (port, data) = (free_port().expect("some port is free"), data.to_str().expect("UTF-8"));
    let mut process =
        Process::spawn(Dir::new(), port, &[&["--port", &port.to_string(), "--dir", data], args].concat(), &[]);
    (process.exit_status(), process.log())
}

fn call(process: &Process, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let reply = process.connect().call(&words).expect("it answers");
    reply.raw.escape_ascii().to_string()
}

fn kill(process: &mut Process) {
    process.signal("KILL");
    assert_eq!(process.exit_status(), None);
}

/// The contents of all files of a directory, but for the one that says whose it is.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if !path.ends_with("aleadb.lock") {
            all.insert(path.clone(), fs::read(path).expect("it can be read"));
        }
    }
    all
}

#[test]
fn of_two_servers_on_a_directory_the_second_ends_with_status_1_and_says_who_is_there() {
    let data = Dir::new();
    let mut first = serving(&data.0, LOGGED);
    assert_eq!(call(&first, "SET a 1"), r"+OK\r\n");
    let holder = format!("is in use by another server (pid {}, port {}): each needs a `dir`", first.pid(), first.port);
    for args in [LOGGED, &["--save", "3600 1"]] {
        let (status, log) = refused(&data.0, args);
        assert_eq!(status, Some(1), "{log}");
        assert!(log.contains(&holder) && log.contains(data.0.to_str().expect("UTF-8")), "{log}");
    }
    // One that keeps nothing by itself may look on, until somebody asks it to save.
    let onlooker = serving(&data.join("."), &["--appendfilename", "other"]);
    let reply = call(&onlooker, "SAVE");
    assert!(reply.starts_with("-ERR") && reply.contains(&holder), "{reply}");
    assert_eq!(call(&first, "SET b 2"), r"+OK\r\n");
    // The lock goes with the process, whatever ended it.
    kill(&mut first);
    let second = serving(&data.0, LOGGED);
    assert_eq!(call(&second, "MGET a b"), r"*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
}

#[test]
fn who_may_changes_directory_and_file_while_the_server_runs() {
    let (first, second, taken) = (Dir::new(), Dir::new(), Dir::new());
    let text = |dir: &Dir| dir.0.to_str().expect("UTF-8").to_owned();
    let process = serving(&first.0, &["--enable-protected-configs", "local"]);
    assert_eq!(call(&process, "SET a 1"), r"+OK\r\n");
    assert_eq!(call(&process, "SAVE"), r"+OK\r\n");
    let change = format!("CONFIG SET dir {} dbfilename other.rdb", text(&second));
    assert_eq!(call(&process, &change), r"+OK\r\n");
    assert_eq!(call(&process, "SAVE"), r"+OK\r\n");
    let names = |dir: &Dir| contents(&dir.0).into_keys().map(|path| path.display().to_string()).collect::<Vec<_>>();
    assert_eq!(
        (names(&first), names(&second)),
        (vec![first.join("dump.rdb").display().to_string()], vec![second.join("other.rdb").display().to_string()],)
    );
    // The place that was left is free, and one that somebody has is not entered; nor does another setting's failure move anything.
    let other = serving(&taken.0, LOGGED);
    let in_use = call(&process, &format!("CONFIG SET dir {}", text(&taken)));
    assert!(
        in_use.contains("possibly related to argument \\'dir\\'") && in_use.contains("in use by another server"),
        "{in_use}"
    );
    let failed = call(&process, &format!("CONFIG SET dir {} port {}", text(&first), other.port));
    assert!(failed.contains("possibly related to argument \\'port\\'"), "{failed}");
    assert!(call(&process, "CONFIG GET dir").contains(&text(&second)));
    let returned = serving(&first.0, &["--save", "3600 1"]);
    assert_eq!(call(&returned, "GET a"), r"$1\r\n1\r\n");
    let locked = call(&process, &format!("CONFIG SET dir {}", text(&first)));
    assert!(locked.contains("in use by another server"), "{locked}");
    let blocked = Dir::new();
    fs::write(blocked.join("appendonlydir"), "no directory").expect("the directory is writable");
    let failed = call(&process, &format!("CONFIG SET dir {} appendonly yes", text(&blocked)));
    assert!(failed.contains("possibly related to argument \\'appendonly\\'"), "{failed}");
    assert_eq!(call(&process, "SAVE"), r"+OK\r\n");
    assert!(!blocked.join("other.rdb").exists(), "it has gone to a directory that it does not show");
    // A log stays where it began.
    assert_eq!(call(&process, "CONFIG SET appendonly yes"), r"+OK\r\n");
    let logged = call(&process, "CONFIG SET dir /");
    assert!(logged.contains("the append-only file or a snapshot is being written"), "{logged}");
    assert!(wait_until(DEADLINE, || names(&second).iter().any(|name| name.ends_with(".manifest"))));
    assert!(call(&serving(&Dir::new().0, &[]), "CONFIG SET dir /").contains("can\\'t set protected config"));
}

#[test]
fn what_stops_a_start_is_said_with_status_1_and_the_files_stay_as_they_are() {
    let good = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus/rdb/redis_8_2");
    type Prepare<'a> = &'a dyn Fn(&Dir);
    let put = |path: PathBuf, bytes: &[u8]| fs::write(path, bytes).expect("the directory is writable");
    let make = |path: PathBuf| fs::create_dir_all(path).expect("the directory is writable");
    let log = |data: &Dir| {
        let mut process = serving(&data.0, LOGGED);
        for n in 0..5 {
            assert_eq!(call(&process, &format!("SET key:{n} {n}")), r"+OK\r\n");
        }
        kill(&mut process);
    };
    let cases: &[(&str, Prepare, &[&str], &[&str])] = &[
        (
            "a log that is damaged in its midst",
            &|data| {
                log(data);
                let mut bytes = fs::read(data.join(INCREMENT)).expect("it was written to");
                let at = bytes.windows(5).position(|part| part == b"key:1").expect("it was logged");
                bytes[at] ^= 1;
                put(data.join(INCREMENT), &bytes);
            },
            LOGGED,
            &["Can't load appendonlydir/appendonly.aof.1.incr.aof: the batch at offset ", "`aleadb --recover DIR`"],
        ),
        (
            "a log without its base",
            &|data| {
                log(data);
                fs::remove_file(data.join("appendonlydir/appendonly.aof.1.base.rdb")).expect("it is there");
            },
            LOGGED,
            &["The log's manifest names appendonlydir/appendonly.aof.1.base.rdb, which is not there. Bring it back"],
        ),
        (
            "a damaged dump file",
            &|data| {
                let mut bytes = fs::read(good).expect("the corpus is there");
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0xff;
                put(data.join("dump.rdb"), &bytes);
            },
            &[],
            &["Can't load dump.rdb: ", "`aleadb --check` says more"],
        ),
        (
            "a dump file that was cut off",
            &|data| {
                let bytes = fs::read(good).expect("the corpus is there");
                put(data.join("dump.rdb"), &bytes[..bytes.len() / 2]);
            },
            &[],
            &["Can't load dump.rdb: ", "The file was left as it is"],
        ),
        ("no dump file", &|data| make(data.join("dump.rdb")), &[], &["Can't load dump.rdb: ", "Is a directory"]),
        (
            "no directory for the log",
            &|data| put(data.join("appendonlydir"), b"text"),
            LOGGED,
            &["Can't tell what is in the directory appendonlydir: Not a directory"],
        ),
        (
            "no manifest",
            &|data| make(data.join("appendonlydir/appendonly.aof.manifest")),
            LOGGED,
            &["Can't read appendonlydir/appendonly.aof.manifest: Is a directory"],
        ),
        ("no lock file", &|data| make(data.join("aleadb.lock")), LOGGED, &["with aleadb.lock: Is a directory"]),
    ];
    for (what, prepare, args, expected) in cases {
        let data = Dir::new();
        prepare(&data);
        let before = contents(&data.0);
        let (status, log) = refused(&data.0, args);
        assert_eq!(status, Some(1), "{what}: {log}");
        for text in *expected {
            assert!(log.contains(text), "{what}: no '{text}' in {log}");
        }
        assert!(contents(&data.0) == before, "{what}: the files have changed");
    }
    // What is no directory is a fault of the configuration.
    let data = Dir::new();
    put(data.join("file"), b"");
    for (name, text) in [("missing", "No such file or directory"), ("file", "Not a directory")] {
        let (status, log) = refused(&data.join(name), LOGGED);
        assert_eq!(status, Some(1), "{log}");
        assert!(log.contains("'dir \"") && log.contains(text), "{log}");
    }
}

/// A process that may not write into a directory whose owner may not, as root may otherwise.
fn without_privileges(dir: Dir, args: &[&str]) -> Process {
    let port = free_port().expect("some port is free");
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search"]).arg(binary());
    command.args(["--port", &port.to_string()]).args(args).stdin(Stdio::null());
    Process::run(dir, port, command)
}

#[test]
fn a_directory_that_cannot_be_written_stops_who_logs_and_lets_others_serve() {
    let data = Dir::new();
    fs::set_permissions(&data.0, Permissions::from_mode(0o555)).expect("it is ours");
    let path = data.0.to_str().expect("UTF-8");
    let touch = ["--bounding-set", "-dac_override,-dac_read_search", "touch"];
    let touched = Command::new("setpriv").args(touch).arg(data.join("file")).stderr(Stdio::null()).status();
    if !touched.is_ok_and(|status| status.code() == Some(1)) {
        return skip("a_directory_that_cannot_be_written", "privileges cannot be given up with setpriv");
    }
    let mut refused = without_privileges(Dir::new(), &["--dir", path, "--appendonly", "yes"]);
    assert_eq!(refused.exit_status(), Some(1));
    let reason = format!("Can't lock the directory {path}, with aleadb.lock: Permission denied");
    assert!(refused.log().contains(&reason), "{}", refused.log());
    let mut serving = without_privileges(Dir::new(), &["--dir", path, "--save", "3600 1"]);
    let is_ready = || serving.log().contains("Ready to accept connections");
    assert!(wait_until(DEADLINE, is_ready), "{}", serving.log());
    assert!(serving.log().contains(&format!("{reason}; snapshots cannot be saved")), "{}", serving.log());
    assert_eq!(call(&serving, "SET a 1"), r"+OK\r\n");
    for line in ["SAVE", "BGSAVE"] {
        let reply = call(&serving, line);
        assert!(reply.starts_with("-ERR") && reply.contains("Permission denied"), "{line}: {reply}");
    }
    let reply = call(&serving, "CONFIG SET appendonly yes");
    assert!(reply.contains("Unable to turn on AOF. Check server logs."), "{reply}");
    assert_eq!(call(&serving, "CONFIG GET appendonly"), r"*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n");
    assert!(call(&serving, "SHUTDOWN").starts_with("-ERR Errors trying to SHUTDOWN"), "{}", serving.log());
    serving.connect().send_raw(b"SHUTDOWN NOSAVE\r\n").expect("it listens");
    assert_eq!(serving.exit_status(), Some(0));
}

#[test]
fn files_behind_links_are_loaded_as_if_they_were_there() {
    let (data, elsewhere) = (Dir::new(), Dir::new());
    let mut process = serving(&elsewhere.0, LOGGED);
    assert_eq!(call(&process, "SET a 1") + &call(&process, "SAVE"), r"+OK\r\n+OK\r\n");
    kill(&mut process);
    symlink(elsewhere.join("dump.rdb"), data.join("dump.rdb")).expect("the directory is writable");
    let dump = serving(&data.0, &[]);
    assert_eq!(call(&dump, "GET a"), r"$1\r\n1\r\n");
    fs::create_dir(data.join("appendonlydir")).expect("the directory is writable");
    for entry in fs::read_dir(elsewhere.join("appendonlydir")).expect("it was written to") {
        let entry = entry.expect("it can be listed");
        symlink(entry.path(), data.join("appendonlydir").join(entry.file_name())).expect("the directory is writable");
    }
    let log = serving(&data.0, LOGGED);
    assert_eq!(call(&log, "GET a"), r"$1\r\n1\r\n");
}

#[test]
fn what_a_killed_server_had_not_finished_is_gone_after_the_next_start_and_nothing_else() {
    let data = Dir::new();
    fs::create_dir(data.join("appendonlydir")).expect("the directory is writable");
    let ours = ["temp-123-4.rdb", "appendonlydir/temp-5-6.rdb", "appendonlydir/temp-appendonly.aof.manifest"];
    let others = ["temp-123.rdb", "temp-my-notes.rdb", "temp-appendonly.aof2", "appendonlydir/temp-other.aof.manifest"];
    for name in ours.iter().chain(&others) {
        fs::write(data.join(name), "x").expect("the directory is writable");
    }
    // A server that does not own the directory leaves them: they may be somebody's who is at work.
    let mut onlooker = serving(&data.0, &[]);
    assert!(ours.iter().all(|name| data.join(name).exists()));
    kill(&mut onlooker);
    let process = serving(&data.0, LOGGED);
    assert!(wait_until(DEADLINE, || ours.iter().all(|name| !data.join(name).exists())), "{}", process.log());
    assert!(others.iter().all(|name| data.join(name).exists()));
}

/// A short form of `scripts/crash-test.sh`.
#[test]
fn no_kill_under_load_loses_what_always_has_acknowledged() {
    const KILLS: i64 = 12;
    const CLIENTS: usize = 4;
    let data = Dir::new();
    let acknowledged: Vec<AtomicI64> = (0..CLIENTS).map(|_| AtomicI64::new(0)).collect();
    for kills in 0..=KILLS {
        let mut process = serving(&data.0, LOGGED);
        for (number, count) in acknowledged.iter().enumerate() {
            let key = format!("list:{number}");
            let found = process.connect().call(&["LLEN", &key]).expect("it answers").value.integer().expect("a number");
            let least = count.load(Ordering::SeqCst);
            assert!((least..=least + 1).contains(&found), "after {kills} kills {least} were there, and {found} are");
            let last = process.connect().call(&["LINDEX", &key, "-1"]).expect("it answers");
            assert_eq!(last.value.text().parse().unwrap_or(0), found);
            count.store(found, Ordering::SeqCst);
        }
        let sum = || acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).sum::<i64>();
        let before = sum();
        std::thread::scope(|scope| {
            for (number, count) in acknowledged.iter().enumerate() {
                let mut client = process.connect();
                scope.spawn(move || {
                    let key = format!("list:{number}");
                    loop {
                        let next = count.load(Ordering::SeqCst) + 1;
                        match client.call(&["RPUSH", &key, &next.to_string()]) {
                            Ok(reply) => assert_eq!(reply.value.integer(), Some(next)),
                            // It has been killed.
                            Err(_) => return,
                        }
                        count.store(next, Ordering::SeqCst);
                    }
                });
            }
            let busy = [None, Some("BGREWRITEAOF"), Some("BGSAVE")][kills as usize % 3];
            if let Some(line) = busy {
                assert!(call(&process, line).starts_with("+Background"));
            }
            assert!(wait_until(DEADLINE, || sum() > before + 50 * (1 + kills % 5)), "nothing is acknowledged");
            kill(&mut process);
        });
    }
}
