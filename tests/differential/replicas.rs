//! Our server as the primary of others: what generated lines make of the data is the same there, whether it came with the snapshot or
//! with the stream, and after a connection was cut.
//!
//! The data is compared by the digest where the other's is ours, else key by key over the wire.

use std::time::Duration;

use crate::contents;
use crate::dump_files::{contents_of, plain, sorted};
use crate::generate::{Generator, Line};
use crate::our_logs::{comparable, is_newer, persist_fields, send};
use crate::pair::{Pair, ask};
use crate::resp::Client;
use crate::server::{Server, wait_until};
use crate::{differences, number, stream, tables, wanted};

/// Commands of which no line is sent: what ends the data, or takes a server away from it.
const LEFT_OUT: &[&str] = &["bgrewriteaof", "save", "bgsave", "failover"];

/// Lines of each half of a stream.
const LINES: usize = 1_500;

/// How long a replica may take, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn field(client: &mut Client, name: &str) -> String {
    let text = ask(client, &["INFO", "replication"]).text();
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap_or_default().to_owned()
}

fn wait_for(primary: &mut Client, replica: &mut Client, at: &str) {
    let agree = || {
        field(replica, "master_link_status") == "up"
            && field(replica, "slave_repl_offset") == field(primary, "master_repl_offset")
    };
    assert!(wait_until(LIMIT, agree), "{at}: the replica does not catch up");
}

/// The keys whose values have other digests.
fn unlike(left: &mut Client, right: &mut Client) -> String {
    let mut found = String::new();
    for db in 0..16 {
        [&mut *left, &mut *right].into_iter().for_each(|client| _ = ask(client, &["SELECT", &db.to_string()]));
        for key in sorted(&ask(left, &["KEYS", "*"])) {
            let line = [b"DEBUG".as_slice(), b"DIGEST-VALUE", &key];
            if ask(left, &line) != ask(right, &line) {
                let kind = ask(left, &[b"TYPE".as_slice(), &key]).text();
                found.push_str(&format!("[{db}] {} {kind}; ", key.escape_ascii()));
            }
        }
    }
    found
}

/// Runs streams with a replica that an environment variable names.
fn follow(variable: &str, same_digest: bool) {
    let Some(path) = Pair::path_of(variable) else { return };
    let first = number("ALEADB_DIFF_SEED", 1);
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 4) {
        let at = format!("{variable}, seed {seed}");
        let server = Pair::start_subject(&["--repl-diskless-sync-delay", "0", "--enable-debug-command", "yes"]);
        let replica = Server::start(&path, &["--enable-debug-command", "yes"]).expect("the replica starts");
        let (ours, known) = (tables::known_commands(&server), tables::known_commands(&replica));
        let mut client = server.connect().expect("just started");
        let mut generator = Generator::new(seed, differences::is_barred, |name| {
            let is_data = !LEFT_OUT.contains(&name) && !name.starts_with("debug");
            is_data && wanted(name) && known.contains(name) && ours.contains(name)
        });
        let mut lines = || -> Vec<Line> {
            let lines = (0..LINES).map(|_| generator.line());
            lines.filter(|line| same_digest || !is_newer(line)).collect()
        };
        let mut on_replica = replica.connect().expect("just started");
        for client in [&mut client, &mut on_replica] {
            // A small sorted set of Redis keeps no sign of a zero, a large one does: what is small is to be the same there.
            stream::set_limits(client, seed % 3 == 0);
            // Which form a count has is data.
            ask(client, &["CONFIG", "SET", "hll-sparse-max-bytes", "3000"]);
        }
        send(&mut client, &lines());
        ask(&mut on_replica, &["REPLICAOF", "127.0.0.1", &server.addr().port().to_string()]);
        // Some lines come while the snapshot is made and taken in.
        send(&mut client, &lines());
        let mut other = server.connect().expect("it runs");
        wait_for(&mut other, &mut on_replica, &at);
        ask(&mut other, &["CLIENT", "KILL", "TYPE", "replica"]);
        send(&mut client, &lines());
        ask(&mut client, &["DISCARD"]);
        ask(&mut client, &["RESET"]);
        persist_fields(&mut client, known.contains("hpexpireat"));
        wait_for(&mut other, &mut on_replica, &at);
        let (held, found) = (plain(contents_of(&mut client)), contents_of(&mut on_replica));
        let passed_on: u64 = field(&mut other, "master_repl_offset").parse().expect("a number");
        assert!(passed_on > 10_000, "{at}: hardly anything was passed on");
        let (held, found) = comparable(same_digest, held, found);
        if let Some(found) = contents::difference(&held, &found, 0) {
            panic!("{at}, ours and theirs:\n{found}");
        }
        if same_digest && ask(&mut other, &["DEBUG", "DIGEST"]) != ask(&mut on_replica, &["DEBUG", "DIGEST"]) {
            panic!("{at}: the digests of these keys differ: {}", unlike(&mut other, &mut on_replica));
        }
    }
}

#[test]
fn redis_7_0_follows_us() {
    follow("ALEADB_REDIS_7", false);
}

#[test]
fn redis_8_2_follows_us() {
    follow("ALEADB_REDIS_8", true);
}

#[test]
fn redis_8_6_follows_us() {
    follow("ALEADB_REDIS_8_6", true);
}

#[test]
fn valkey_9_1_follows_us() {
    follow("ALEADB_VALKEY_9", false);
}
