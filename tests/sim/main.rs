//! The simulator: the server's own turn, engine, wheel and store, over a network in memory and a clock that is set by hand.
//! Nothing in a run depends on the machine, so a seed that fails once fails always.
//!
//! - `workload`: the steps of a run, made from a seed: who connects, what is sent, what goes wrong; `scripts`: the scripts in it.
//! - `network`: connections in memory; `client`: what each client is owed, and what came; `world`: they and the server.
//! - `properties`: what must hold, after every turn, at rest and in the end.
//! - `crash`: servers over a disk that forgets, stopped at any moment, and what comes back.
//! - `replicas`: servers that follow each other, over links that break, and their crashes.
//! - `shrink`: cuts the steps of a seed that fails down to few.
//!
//! `ALEADB_SIM_SEED` replays one seed or sets the first, `ALEADB_SIM_SEEDS` says how many follow, `ALEADB_SIM_STEPS` how many steps
//! each has; those of a shorter run are the first of a longer one. `scripts/sim.sh` runs for hours.

mod client;
mod crash;
#[path = "../support/disk.rs"]
mod disk;
#[path = "../support/generate.rs"]
mod generate;
#[path = "../support/mover.rs"]
mod mover;
mod network;
mod properties;
mod replicas;
#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/rng.rs"]
mod rng;
#[path = "../support/rows.rs"]
mod rows;
mod scripts;
mod shrink;
mod workload;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often everything that is counted happens at least, in all seeds together.
const OFTEN_MIN: u64 = 30;
/// Failures after which the other seeds are left.
const FAILURES_MAX: usize = 3;
/// Without the environment's numbers: some seconds, in a debug build.
const SEEDS: u64 = 7_000;
const STEPS: u64 = 400;
const CRASH_SEEDS: u64 = 600;
const REPLICA_SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}")))
}

/// The first seed and the one after the last, as asked for or as many as these.
fn seeds(count: u64) -> (u64, u64) {
    let seed = number("ALEADB_SIM_SEED");
    let first = seed.unwrap_or(1);
    (first, first + number("ALEADB_SIM_SEEDS").unwrap_or(if seed.is_some() { 1 } else { count }))
}

/// Checks the seeds on all processors. How often everything happened that is counted.
fn check_all(
    (first, end): (u64, u64),
    check: impl Fn(u64) -> Result<Vec<(&'static str, u64)>, String> + Sync,
) -> BTreeMap<&'static str, u64> {
    let (next, failures) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let sums: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let work = || {
        while failures.lock().expect("no thread panics").len() < FAILURES_MAX {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            match check(seed) {
                Ok(reached) => {
                    let mut sums = sums.lock().expect("no thread panics");
                    reached.into_iter().for_each(|(what, count)| *sums.entry(what).or_insert(0) += count);
                }
                Err(failure) => failures.lock().expect("no thread panics").push(failure),
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().expect("no thread panics");
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
    sums.into_inner().expect("no thread panics")
}

#[test]
fn whatever_happens_the_properties_hold() {
    let (first, end) = seeds(SEEDS);
    let steps = number("ALEADB_SIM_STEPS").unwrap_or(STEPS) as usize;
    let sums = check_all((first, end), |seed| shrink::check(seed, steps));
    // A workload under which nothing of a kind happens would find nothing wrong with it.
    let is_short = end - first < SEEDS || steps < STEPS as usize;
    assert!(is_short || sums.values().all(|count| *count >= OFTEN_MIN), "hardly ever happened: {sums:?}");
}

#[test]
fn what_was_acknowledged_survives_any_crash() {
    let (first, end) = seeds(CRASH_SEEDS);
    let sums = check_all((first, end), crash::check);
    let is_short = end - first < CRASH_SEEDS;
    assert!(is_short || sums.values().all(|count| *count >= OFTEN_MIN), "hardly ever happened: {sums:?}");
}

#[test]
fn servers_that_follow_each_other_come_to_hold_the_same() {
    let (first, end) = seeds(REPLICA_SEEDS);
    let sums = check_all((first, end), replicas::check);
    let is_short = end - first < REPLICA_SEEDS;
    assert!(is_short || sums.values().all(|count| *count >= OFTEN_MIN), "hardly ever happened: {sums:?}");
}
