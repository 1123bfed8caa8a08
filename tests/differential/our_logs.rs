//! Our logs go elsewhere: what our server has written into its append-only directory, with a base of either kind or none, servers of
//! every version load to the same data.
//!
//! The data is compared key by key over the wire, and by the digest where the other's is ours.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::contents::{self, Contents};
use crate::differences;
use crate::disk::SimulatedDisk;
use crate::dump_files::{FILLERS, contents_of, plain, set_deadlines, sorted};
use crate::generate::{Generator, Line};
use crate::logs::{self, LONG, rewrite, without_reads};
use crate::pair::{Pair, ask};
use crate::resp::{Client, encode};
use crate::rng::Rng;
use crate::rows::full_name;
use crate::server::Server;
use crate::{number, stream, tables, wanted};

/// Commands of which no line is sent: what ends the data, or takes a server away from it.
const LEFT_OUT: &[&str] = &["flushall", "flushdb", "bgrewriteaof", "save", "bgsave"];

/// Lines of a stream.
const LINES: usize = 2_500;

/// How far the clocks may be apart that two servers run a line by, in milliseconds.
const CLOCKS_APART_MS: u64 = 60_000;

const DIR: &str = "appendonlydir";

/// Settings of all servers.
const SETTINGS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "no",
    "--auto-aof-rewrite-percentage",
    "0",
    "--enable-debug-command",
    "yes",
];

/// The files of a log.
struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    /// Those of a server, which stops.
    fn of(mut server: Server) -> Files {
        let mut client = server.connect().expect("still running");
        logs::wait_for_rewrite(&mut client);
        let stopped = client.call(&["SHUTDOWN", "NOSAVE"]);
        assert!(
            stopped.is_err() && server.wait_for_end(LONG),
            "it does not stop: {:?}",
            stopped.map(|reply| reply.value)
        );
        let dir = fs::read_dir(server.dir().join(DIR)).expect("it has a log");
        let files = dir.map(|entry| entry.expect("it can be read").path());
        Files(
            files
                .map(|path| (path.file_name().unwrap_or_default().into(), fs::read(&path).expect("readable")))
                .collect(),
        )
    }

    fn put(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir.join(DIR))?;
        self.0.iter().try_for_each(|(name, bytes)| fs::write(dir.join(DIR).join(name), bytes))
    }

    fn on_disk(&self) -> SimulatedDisk {
        let disk = SimulatedDisk::new();
        self.0.iter().for_each(|(name, bytes)| disk.put(Path::new(DIR).join(name), bytes));
        disk
    }

    fn has(&self, part: &str) -> bool {
        self.0.iter().any(|(name, _)| name.to_string_lossy().contains(part))
    }
}

/// Options that an older server does not know, and numbers that Valkey does not read: they are logged as they were given. Weights of
/// SORT among the latter: one that begins with a byte of zero is 0 to Redis, whose library stops there, and no number to Valkey.
pub fn is_newer(line: &Line) -> bool {
    let has = |word: &str| line.iter().any(|arg| arg.eq_ignore_ascii_case(word.as_bytes()));
    let is_bitop = full_name(line) == "bitop";
    let is_hex = |arg: &Vec<u8>| arg.len() > 2 && arg.windows(2).any(|pair| pair.eq_ignore_ascii_case(b"0x"));
    ["KEEPREF", "DELREF", "ACKED"].into_iter().any(has)
        || line.iter().any(is_hex)
        || has("BY") && has("STORE") && full_name(line) == "sort"
        || is_bitop && ["DIFF", "DIFF1", "ANDOR", "ONE"].into_iter().any(has)
}

pub fn send(client: &mut Client, lines: &[Line]) {
    for batch in lines.chunks(50) {
        let bytes: Vec<u8> = batch.iter().flat_map(|line| encode(line)).collect();
        client.send_raw(&bytes).expect("still running");
        for line in batch {
            client.read_reply().unwrap_or_else(|error| panic!("{}: {error}", stream::quoted(line)));
        }
    }
}

/// Lines that leave sessions as they are, but for the database.
fn lines_of(seed: u64, known: impl Fn(&str) -> bool) -> Vec<Line> {
    let mut generator = Generator::new(seed, differences::is_barred, |name| {
        let is_data = !LEFT_OUT.contains(&name) && !name.starts_with("debug");
        is_data && wanted(name) && known(name)
    });
    (0..LINES).map(|_| generator.line()).collect()
}

/// Loads our logs into the server that an environment variable names, whose dump files are of this version.
fn travel(variable: &str, version: &str, same_digest: bool) {
    let Some(path) = Pair::path_of(variable) else { return };
    let peer = Pair::start_named(variable, SETTINGS).expect("it is there");
    let known = tables::known_commands(&peer);
    drop(peer);
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 6) {
        let preamble = if seed % 2 == 0 { "yes" } else { "no" };
        let own = ["--rdb-format-version", version, "--aof-use-rdb-preamble", preamble];
        let more = ["--aof-timestamp-enabled", "yes", "--aof-batch-checksums", if seed % 4 < 3 { "yes" } else { "no" }];
        let server = Pair::start_subject(&[SETTINGS, &own, &more].concat());
        let ours = tables::known_commands(&server);
        let mut client = server.connect().expect("just started");
        stream::set_limits(&mut client, seed % 3 == 0);
        // Which form a count has is data, and depends on the settings of whoever runs the commands.
        ask(&mut client, &["CONFIG", "SET", "hll-sparse-max-bytes", "3000"]);
        let is_shared = |name: &str| known.contains(name) && ours.contains(name);
        let is_understood = |line: &Line| same_digest || !is_newer(line);
        let mut lines = lines_of(seed, is_shared);
        lines.retain(is_understood);
        send(&mut client, &lines);
        ask(&mut client, &["DISCARD"]);
        ask(&mut client, &["RESET"]);
        let takes_part = |name: &str| FILLERS.contains(&name) && wanted(name) && is_shared(name);
        let mut fillers = Generator::new(seed, differences::is_barred, takes_part);
        let mut fill = |client: &mut Client| {
            let lines: Vec<_> = (0..LINES).map(|_| fillers.line()).filter(is_understood).collect();
            send(client, &lines);
        };
        fill(&mut client);
        // Some logs have all in the increment, some in the base, some in both.
        if seed % 3 < 2 {
            rewrite(&mut client);
        }
        if seed % 3 == 0 {
            fill(&mut client);
        }
        persist_fields(&mut client, known.contains("hpexpireat"));
        set_deadlines(&mut client, &mut Rng::new(seed), known.contains("hpexpireat"));
        if seed % 3 == 1 {
            rewrite(&mut client);
        }
        let (held, digest) = (contents_of(&mut client), ask(&mut client, &["DEBUG", "DIGEST"]).text());
        let at = format!("{variable}, preamble {preamble}, seed {seed}");
        assert!(held.len() > 50, "{at}: hardly anything is logged");
        let files = Files::of(server);
        assert!(files.has(if preamble == "yes" { ".base.rdb" } else { ".base.aof" }), "{at}");
        let loaded = Server::start_in(&path, SETTINGS, &|dir| files.put(dir));
        let loaded = loaded.unwrap_or_else(|error| panic!("{at}: {error}"));
        let mut client = loaded.connect().expect("just started");
        let (held, found) = comparable(same_digest, plain(held), contents_of(&mut client));
        if let Some(found) = contents::difference(&held, &found, 0) {
            let printed = fs::read_to_string(loaded.dir().join("log")).unwrap_or_default();
            panic!("{at}, ours and theirs:\n{found}\nIt printed:\n{printed}");
        }
        if same_digest {
            assert_eq!(ask(&mut client, &["DEBUG", "DIGEST"]).text(), digest, "{at}");
        }
    }
}

pub fn comparable(same_reads: bool, ours: Contents, theirs: Contents) -> (Contents, Contents) {
    if same_reads { (ours, theirs) } else { (without_reads(ours), without_reads(theirs)) }
}

/// Takes the deadlines of fields away that generated lines have set, and that may pass meanwhile.
pub fn persist_fields(client: &mut Client, fields: bool) {
    for db in (0..16).filter(|_| fields) {
        ask(client, &["SELECT", &db.to_string()]);
        for key in &sorted(&ask(client, &["KEYS", "*"])) {
            if ask(client, &[b"TYPE".as_slice(), key]).text() != "hash" {
                continue;
            }
            for name in &sorted(&ask(client, &[b"HKEYS".as_slice(), key])) {
                ask(client, &[b"HPERSIST".as_slice(), key, b"FIELDS", b"1", name]);
            }
        }
    }
    ask(client, &["SELECT", "0"]);
}

#[test]
fn redis_7_0_loads_our_logs() {
    travel("ALEADB_REDIS_7", "10", false);
}

#[test]
fn redis_8_2_loads_our_logs() {
    travel("ALEADB_REDIS_8", "0", true);
}

#[test]
fn redis_8_6_loads_our_logs() {
    travel("ALEADB_REDIS_8_6", "0", true);
}

#[test]
fn valkey_9_1_loads_our_logs() {
    travel("ALEADB_VALKEY_9", "80", false);
}

/// Lines that no two servers answer alike, or that a Redis does not log so that they can be run again.
fn is_alike(line: &Line) -> bool {
    let name = full_name(line);
    let by_lot = ["spop", "randomkey", "scan"].contains(&&*name);
    !by_lot && differences::propagates_otherwise(&name, line).is_none()
}

#[test]
fn what_one_stream_leaves_in_either_log_loads_to_one_digest() {
    let Some(path) = Pair::path_of("ALEADB_REDIS_8") else { return };
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 6) {
        let preamble = ["--aof-use-rdb-preamble", if seed % 2 == 0 { "yes" } else { "no" }];
        let args = [SETTINGS, &preamble].concat();
        let Some(redis) = Pair::start_named("ALEADB_REDIS_8", &args) else { return };
        let servers = [Pair::start_subject(&args), redis];
        let [ours, theirs] = servers.each_ref().map(tables::known_commands);
        let is_shared =
            |name: &str| ours.contains(name) && theirs.contains(name) && !differences::changed_since((8, 2, 0), name);
        let mut lines = lines_of(seed, is_shared);
        lines.retain(is_alike);
        let held = servers.each_ref().map(|server| {
            let mut client = server.connect().expect("just started");
            for (at, half) in lines.chunks(lines.len() / 2 + 1).enumerate() {
                send(&mut client, half);
                if at == 0 && seed % 3 == 0 {
                    // The stream may be in the midst of a transaction.
                    rewrite(&mut server.connect().expect("still running"));
                }
            }
            ask(&mut client, &["DISCARD"]);
            ask(&mut client, &["RESET"]);
            // What is due is dropped whenever its server likes to.
            persist_fields(&mut client, true);
            set_deadlines(&mut client, &mut Rng::new(seed), false);
            (plain(contents_of(&mut client)), ask(&mut client, &["DEBUG", "DIGEST"]).text())
        });
        let [(ours, digest), (theirs, their_digest)] = held;
        if let Some(found) = contents::difference(&ours, &theirs, CLOCKS_APART_MS) {
            panic!("seed {seed}, ours and theirs before anything is loaded:\n{found}");
        }
        assert_eq!(digest, their_digest, "seed {seed}: ours and theirs, before anything is loaded");
        for (server, whose) in servers.into_iter().zip(["our log", "Redis's log"]) {
            let (files, at) = (Files::of(server), format!("seed {seed}, {whose}"));
            let loaded = Server::start_in(&path, &args, &|dir| files.put(dir));
            let loaded = loaded.unwrap_or_else(|error| panic!("{at}: {error}"));
            let mut client = loaded.connect().expect("just started");
            assert_eq!(ask(&mut client, &["DEBUG", "DIGEST"]).text(), digest, "{at}, in Redis");
            let mut memory = logs::load(&files.on_disk());
            assert_eq!(memory.run("DEBUG DIGEST"), format!(r"+{}\r\n", digest), "{at}, in ours");
        }
    }
}
