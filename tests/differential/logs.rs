//! Logs come from elsewhere: what a server of any version has written into its append-only directory, with all of it or a part in
//! the base, we load to the same data, and `--check` finds it good.
//!
//! The data is compared by the digest where that is ours, and by the number of keys and each key's dump of it otherwise.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::config::{Access, Config, SavePoints};
use aleadb::engine::persistence::{replay, start};
use aleadb::persist::check::check;
use aleadb::server::Seeds;
use aleadb::server::background::Background;
use aleadb::store::hash::KeyHasher;

use crate::contents::{self, Contents};
use crate::differences;
use crate::disk::SimulatedDisk;
use crate::dump_files::{FILLERS, contents_of, fill, plain, set_deadlines};
use crate::generate::Generator;
use crate::memory::Memory;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value};
use crate::rng::Rng;
use crate::server::{Server, wait_until};
use crate::{number, tables, wanted};

pub const LONG: Duration = Duration::from_secs(20);

/// The files of a server's log, on a disk of ours.
fn taken(server: &Server) -> SimulatedDisk {
    let disk = SimulatedDisk::new();
    let dir = server.dir().join("appendonlydir");
    for entry in fs::read_dir(dir).expect("it has a log") {
        let path = entry.expect("it can be read").path();
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        disk.put(Path::new("appendonlydir").join(name), &fs::read(&path).expect("it can be read"));
    }
    disk
}

pub fn load(disk: &SimulatedDisk) -> Memory {
    let config =
        Config { appendonly: true, save: SavePoints::none(), enable_debug_command: Access::Yes, ..Config::default() };
    // Times of delivery lie in the past, as they would: others are taken for the present.
    let clock = std::rc::Rc::new(ManualClock::at_unix_ms(unix_ms()));
    let storage = Arc::new(disk.clone());
    let mut m = Memory::with_outside(config, Seeds { hash: [5; 16], prng: 5 }, clock, Background::inline(), storage);
    let now = m.clock.now();
    start::begin(&mut m.server, now).unwrap_or_else(|failure| panic!("{failure}"));
    while m.server.is_loading() {
        m.turn();
    }
    assert_eq!(m.server.process.failure, None);
    assert_eq!(m.server.persistence.found.failed, 0, "no command of a log fails");
    m
}

/// Leaves out how many entries groups have read: Redis 7 and Valkey estimate it otherwise than Redis 8 does when a log says no more
/// than where a group is.
pub fn without_reads(mut contents: Contents) -> Contents {
    fn clear(value: &mut Value) {
        let Value::Array(items) = value else { return };
        for at in 0..items.len() {
            if at > 0 && items[at - 1].bytes() == Some(b"entries-read") {
                items[at] = Value::Integer(0);
            }
            clear(&mut items[at]);
        }
    }
    contents.iter_mut().for_each(|(_, answer)| clear(answer));
    contents
}

fn unix_ms() -> i64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    passed.as_millis() as i64
}

pub fn rewrite(client: &mut Client) {
    ask(client, &["BGREWRITEAOF"]);
    wait_for_rewrite(client);
}

/// Waits until no base is being written, as it is when a log begins.
pub fn wait_for_rewrite(client: &mut Client) {
    let mut info = String::new();
    let is_over = || {
        info = ask(client, &["INFO", "persistence"]).text();
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    };
    assert!(wait_until(LONG, is_over), "the rewrite does not end: {info}");
}

fn travel(variable: &str, same_digest: bool) {
    for preamble in ["yes", "no"] {
        let args = ["--enable-debug-command", "yes", "--appendonly", "yes", "--appendfsync", "no"];
        let more = [
            "--auto-aof-rewrite-percentage",
            "0",
            "--aof-timestamp-enabled",
            "yes",
            "--aof-use-rdb-preamble",
            preamble,
        ];
        let Some(server) = Pair::start_named(variable, &[&args[..], &more].concat()) else { return };
        let known = tables::known_commands(&server);
        let mut client = server.connect().expect("just started");
        let first = number("ALEADB_DIFF_SEED", 1);
        for seed in first..first + number("ALEADB_DIFF_SEEDS", 4) {
            ask(&mut client, &["FLUSHALL"]);
            let takes_part = |name: &str| FILLERS.contains(&name) && wanted(name) && known.contains(name);
            let mut generator = Generator::new(seed, differences::is_barred, takes_part);
            fill(&mut client, &mut generator);
            set_deadlines(&mut client, &mut Rng::new(seed), known.contains("hpexpireat"));
            if seed % 2 == 0 {
                rewrite(&mut client);
            }
            fill(&mut client, &mut generator);
            let disk = taken(&server);
            // Not all that a server holds is in its log, such as how often an entry was delivered again: what counts is what the
            // server itself makes of it.
            assert_eq!(ask(&mut client, &["DEBUG", "LOADAOF"]).text(), "OK");
            let (held, digest) = (contents_of(&mut client), ask(&mut client, &["DEBUG", "DIGEST"]).text());
            let at = format!("{variable}, preamble {preamble}, seed {seed}");
            let report = check(&disk, Path::new("."), (unix_ms(), KeyHasher::new([1; 16])), &replay::accepts);
            assert!(report.is_good, "{at}: {}", report.text);
            let mut m = load(&disk);
            let loaded = plain(contents::contents(&mut m));
            let (held, loaded) =
                if same_digest { (held, loaded) } else { (without_reads(held), without_reads(loaded)) };
            if let Some(found) = contents::difference(&held, &loaded, 0) {
                panic!("{at}:\n{found}");
            }
            if same_digest {
                assert_eq!(m.run("DEBUG DIGEST"), format!(r"+{digest}\r\n"), "{at}");
            }
        }
    }
}

#[test]
fn logs_of_redis_7_0_are_loaded() {
    travel("ALEADB_REDIS_7", false);
}

#[test]
fn logs_of_redis_8_2_are_loaded() {
    travel("ALEADB_REDIS_8", true);
}

#[test]
fn logs_of_redis_8_6_are_loaded() {
    travel("ALEADB_REDIS_8_6", true);
}

#[test]
fn logs_of_valkey_9_1_are_loaded() {
    travel("ALEADB_VALKEY_9", false);
}
