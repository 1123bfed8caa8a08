//! The differential test: our server and Redis get the same bytes and must give the same answers.
//!
//! - `acl`: users of random rules.
//! - `stream`, `generate`, `compare`, `state`: seeded streams of command lines, written from the commands' syntax.
//! - `protocol`: broken and unusual requests, byte by byte.
//! - `dumps`: what either dumps the other restores.
//! - `dump_files`: what either saves the other loads.
//! - `logs`: the append-only files of others.
//! - `our_logs`: ours, loaded by others.
//! - `events`: the events about keys that generated lines cause.
//! - `globs`: what patterns match.
//! - `migrate`: keys that move between servers.
//! - `tables`: what `COMMAND` says of the commands, and the keys found in generated lines.
//! - `propagation`, `aof`: what lines append to the append-only file.
//! - `tracking`: what clients with caches are told.
//! - `replicas`: other servers as replicas of ours.
//! - `replay`, `ours`: what is propagated, run by another server.
//! - `following`: ours as a replica of others.
//! - `scripts`: lines written by hand.
//! - `observed`: what is told of the commands that have run.
//! - `waitaof`: WAITAOF in every situation.
//! - `script_libraries`, `script_calls`: what scripts compute with `cjson`, `cmsgpack`, `struct` and `bit`.
//! - `lua`: scripts that servers run.
//! - `differences`: every difference that is let pass, with its reason.
//!
//! `ALEADB_DIFF_SEED` replays one seed or sets the first, `ALEADB_DIFF_SEEDS` says how many follow, `ALEADB_DIFF_STEPS` how
//! long each is; `ALEADB_DIFF_ONLY` and `ALEADB_DIFF_SKIP` take full command names separated by commas (`get,object|freq`).
//! A report that says it came `without` some commands is replayed with those in `ALEADB_DIFF_SKIP`. The programs compared are
//! chosen in `pair`.

mod acl;
mod aof;
mod compare;
#[path = "../support/contents.rs"]
mod contents;
mod differences;
#[path = "../support/disk.rs"]
mod disk;
mod dump_files;
mod dumps;
mod events;
mod following;
#[path = "../support/generate.rs"]
mod generate;
mod globs;
mod interleaved;
#[path = "../support/interpreter.rs"]
mod interpreter;
mod logs;
mod lua;
#[path = "../support/memory.rs"]
mod memory;
mod migrate;
mod observed;
mod our_logs;
mod ours;
mod pair;
mod propagation;
mod protocol;
#[path = "../support/recorded_calls.rs"]
mod recorded_calls;
mod replay;
mod replicas;
#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/rng.rs"]
mod rng;
#[path = "../support/rows.rs"]
mod rows;
mod script_calls;
mod script_libraries;
mod scripts;
#[path = "../support/server.rs"]
mod server;
mod state;
mod stream;
mod tables;
mod tracking;
mod waitaof;

use generate::Generator;
use pair::Pair;
use std::collections::BTreeMap;
use stream::{Plan, Sender};

fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}

/// Whether the environment lets this command take part.
fn wanted(full_name: &str) -> bool {
    let lists = |name: &str| std::env::var(name).ok().map(|list| list.split(',').any(|entry| entry == full_name));
    lists("ALEADB_DIFF_ONLY").unwrap_or(true) && !lists("ALEADB_DIFF_SKIP").unwrap_or(false)
}

/// How many different commands one seed reports before it counts as hopeless.
const REPORTS_PER_SEED_MAX: usize = 4;

/// Transactions are the affair of clients.
const OF_CLIENTS: &[&str] = &["multi", "exec", "discard", "watch", "unwatch"];

fn streams_match(protocol: u8, senders: &[Sender]) {
    let Some(pair) = Pair::start(&[]) else { return };
    let same_in_oracle = |name: &str| !differences::changed_since(pair.oracle_version, name);
    streams_match_in(&pair, false, protocol, senders, same_in_oracle);
}

/// Compares the commands that Valkey brought with a Valkey.
fn streams_match_valkey(protocol: u8) {
    let Some(pair) = Pair::start_valkey(&[]) else { return };
    let takes_part = |name: &str| rows::is_of_valkey(name) || differences::ALIKE_IN_VALKEY.contains(&name);
    streams_match_in(&pair, true, protocol, &[Sender::Client], takes_part);
}

fn streams_match_in(
    pair: &Pair,
    is_for_valkey: bool,
    protocol: u8,
    senders: &[Sender],
    same_in_oracle: impl Fn(&str) -> bool,
) {
    let first = number("ALEADB_DIFF_SEED", 1);
    let seeds = number("ALEADB_DIFF_SEEDS", 8);
    let steps = number("ALEADB_DIFF_STEPS", 4_000) as usize;
    let [ours, theirs] = [&pair.subject, &pair.oracle].map(tables::known_commands);
    let known = |name: &str| ours.contains(name) && theirs.contains(name);
    let mut reports = Vec::new();
    // A command known to differ would hide all others, so later rounds do without it.
    let mut found: Vec<String> = Vec::new();
    for seed in first..first + seeds {
        let sender = senders[seed as usize % senders.len()];
        let plan =
            Plan { seed, steps, protocol, any_pipeline: seed % 4 >= 2, tight: seed % 2 == 1, sender, is_for_valkey };
        for _ in 0..REPORTS_PER_SEED_MAX {
            let sendable = |name: &str| sender == Sender::Client || !OF_CLIENTS.contains(&name);
            let takes_part = |name: &str| {
                wanted(name)
                    && known(name)
                    && same_in_oracle(name)
                    && sendable(name)
                    && !found.iter().any(|f| f == name)
            };
            let Err(failure) = stream::check(pair, plan, takes_part) else { break };
            reports.push(format!("{}  without: {}\n", failure.report, found.join(",")));
            // Only a command can be left out of the next round.
            if !known(&failure.what) {
                break;
            }
            found.push(failure.what);
        }
    }
    assert!(reports.is_empty(), "{} differences in {seeds} seeds\n\n{}", reports.len(), reports.join("\n"));
}

/// A generator whose lines are mostly refused compares error texts only.
#[test]
fn generated_lines_reach_every_command_and_mostly_work() {
    let Some(pair) = Pair::start(&[]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let mut accepted: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for seed in 1..=12 {
        let mut generator = Generator::new(seed, differences::is_barred, |_| true);
        let mut client = pair.oracle.connect().expect("just started");
        client.call(&["FLUSHALL"]).expect("still running");
        let lines: Vec<_> = (0..4_000).map(|_| generator.line()).collect();
        for batch in lines.chunks(50) {
            let bytes: Vec<u8> = batch.iter().flat_map(|line| resp::encode(line)).collect();
            client.send_raw(&bytes).expect("still running");
            for line in batch {
                let reply = client.read_reply().expect("one reply for each line");
                let counts = accepted.entry(rows::full_name(line)).or_default();
                counts.0 += usize::from(!reply.value.is_error());
                counts.1 += 1;
            }
        }
    }
    let (worked, all) = accepted.values().fold((0, 0), |sum, counts| (sum.0 + counts.0, sum.1 + counts.1));
    assert!(worked * 100 > all * 60, "only {worked} of {all} lines are accepted");
    let hopeless: Vec<_> = rows::all()
        .iter()
        .map(rows::Row::full_name)
        .filter(|name| rows::left_out(name).is_none() && !differences::is_always_refused(name))
        .filter(|name| accepted.get(*name).is_none_or(|counts| counts.0 == 0))
        .collect();
    assert!(hopeless.is_empty(), "no line accepted of {hopeless:?}");
}

#[test]
fn streams_of_scripts_and_functions_match_redis_in_resp2() {
    streams_match(2, &[Sender::Script, Sender::Function]);
}

#[test]
fn streams_of_scripts_and_functions_match_redis_in_resp3() {
    streams_match(3, &[Sender::Script, Sender::Function]);
}

#[test]
fn streams_match_redis_in_resp2() {
    streams_match(2, &[Sender::Client]);
}

#[test]
fn streams_match_redis_in_resp3() {
    streams_match(3, &[Sender::Client]);
}

#[test]
fn streams_of_commands_from_valkey_match_it_in_resp2() {
    streams_match_valkey(2);
}

#[test]
fn streams_of_commands_from_valkey_match_it_in_resp3() {
    streams_match_valkey(3);
}
