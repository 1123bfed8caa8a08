//! Backups by the real program: what was acknowledged before SEAL is in the files, and another server and Redis start from them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::process::{DEADLINE, Dir, Process, has_program, skip};
use super::resp::Client;
use super::server::{Server, wait_until};

fn ask(client: &mut Client, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    client.call(&words).expect("it answers").raw.escape_ascii().to_string()
}

fn is_in(client: &mut Client, state: &str) -> bool {
    ask(client, "BACKUP STATUS").contains(&format!(r"\r\n{state}\r\n"))
}

/// The paths that BACKUP LIST shows.
fn files(client: &mut Client) -> Vec<PathBuf> {
    ask(client, "BACKUP LIST").split(r"\r\n").filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

/// Counts the key `n` up for as long as it is to; `acknowledged` is what was answered last.
fn count_up(
    process: &Process,
    acknowledged: &Arc<AtomicU64>,
    goes_on: &Arc<AtomicBool>,
) -> std::thread::JoinHandle<()> {
    let (mut client, acknowledged, goes_on) = (process.connect(), acknowledged.clone(), goes_on.clone());
    std::thread::spawn(move || {
        while goes_on.load(Ordering::SeqCst) {
            let reply = client.call(&["INCR", "n"]).expect("it answers").raw;
            let number = String::from_utf8_lossy(&reply[1..]).trim().parse().expect("a number");
            acknowledged.store(number, Ordering::SeqCst);
        }
    })
}

fn back_up_under_writes(appendonly: &str) {
    let process = Process::serving(&[
        "--dir",
        "{dir}",
        "--save",
        "",
        "--appendonly",
        appendonly,
        "--enable-debug-command",
        "yes",
        "--rdb-format-version",
        "10",
    ]);
    let mut client = process.connect();
    for n in 0..300 {
        ask(&mut client, &format!("HSET h{n} field {n} other value"));
        ask(&mut client, &format!("SADD s{} {n}", n % 100));
    }
    let (acknowledged, goes_on) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
    let writer = count_up(&process, &acknowledged, &goes_on);
    assert_eq!(ask(&mut client, "BACKUP START"), r"+OK\r\n");
    assert!(wait_until(DEADLINE, || is_in(&mut client, "incrementing")), "{}", process.log());
    ask(&mut client, "DEL s1 h1");
    let during = acknowledged.load(Ordering::SeqCst);
    assert!(wait_until(DEADLINE, || acknowledged.load(Ordering::SeqCst) > during + 100));
    let before = acknowledged.load(Ordering::SeqCst);
    assert_eq!(ask(&mut client, "BACKUP SEAL"), r"+OK\r\n");
    goes_on.store(false, Ordering::SeqCst);
    writer.join().expect("it counts");
    let after = acknowledged.load(Ordering::SeqCst);
    let sealed = files(&mut client);
    assert_eq!(sealed.len(), 3, "{sealed:?}");

    let preload = format!("aof:{}", sealed[2].display());
    let again = Process::serving(&["--dir", "{dir}", "--preload-file", &preload, "--enable-debug-command", "yes"]);
    let mut restored = again.connect();
    let n: u64 = ask(&mut restored, "GET n").split(r"\r\n").nth(1).and_then(|n| n.parse().ok()).expect("a number");
    assert!((before..=after).contains(&n), "{before} were acknowledged before SEAL, {after} after it, {n} are there");
    // The rest of the data is the same at both.
    ask(&mut client, &format!("SET n {n}"));
    let digest = ask(&mut client, "DEBUG DIGEST");
    assert_eq!(ask(&mut restored, "DEBUG DIGEST"), digest);

    let redis = std::env::var("ALEADB_REDIS_8").unwrap_or_else(|_| "redis-server".to_owned());
    if !has_program(&redis) {
        return skip("what_was_acknowledged_before_seal_is_in_the_backup", "there is no redis-server");
    }
    let dir = Dir::new();
    std::fs::create_dir(dir.join("appendonlydir")).expect("it can be made");
    for path in &sealed {
        let to = dir.join("appendonlydir").join(path.file_name().expect("a name"));
        std::fs::copy(path, to).expect("it can be copied");
    }
    let place = dir.0.display().to_string();
    let redis =
        Server::start(Path::new(&redis), &["--dir", &place, "--appendonly", "yes", "--enable-debug-command", "yes"]);
    let redis = redis.expect("Redis starts with it");
    assert_eq!(ask(&mut redis.connect().expect("it listens"), "DEBUG DIGEST"), digest);
    assert_eq!(ask(&mut client, "BACKUP CLEANUP"), r"+OK\r\n");
    assert!(sealed.iter().all(|path| !path.exists()));
}

#[test]
fn what_was_acknowledged_before_seal_is_in_the_backup() {
    back_up_under_writes("no");
    back_up_under_writes("yes");
}
