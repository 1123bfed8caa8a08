//! The simulator: the server's own turn, engine, timing wheels and store, over connections that break, a clock that is set by hand,
//! and a helper thread that is none. Many clients send what a seed makes them send; what must hold is checked all along.
//!
//! - `workload`: the steps of a seed. - `network`: connections and their faults. - `client`: a client and its bookkeeping.
//! - `world`: all of them together. - `properties`: what must hold. - `shrink`: fewer steps that fail in the same way.
//!
//! `ALEADB_SIM_SEED` replays one seed or sets the first, `ALEADB_SIM_SEEDS` says how many follow, `ALEADB_SIM_STEPS` how long each
//! is. `scripts/sim.sh` runs it for hours.

mod client;
#[path = "../support/generate.rs"]
mod generate;
mod network;
mod properties;
#[path = "../support/resp.rs"]
mod resp;
#[path = "../support/rng.rs"]
mod rng;
#[path = "../support/rows.rs"]
mod rows;
mod shrink;
mod workload;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use workload::Step;
use world::World;

fn number(name: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{name} is not a number: {text}"))
}

/// Runs steps; what failed, if anything did. A panic is a failure like any other.
fn run(seed: u64, steps: &[Step]) -> Option<String> {
    let run = || World::new(seed).run(steps).err();
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Some(format!("panic: {}", text.or(panic.downcast_ref::<&str>().map(|text| (*text).into())).unwrap_or_default()))
    })
}

/// The property that a failure names, without its particulars.
fn kind(failure: &str) -> &str {
    failure.split(": ").next().unwrap_or_default()
}

#[test]
fn whatever_happens_the_properties_hold() {
    let first = number("ALEADB_SIM_SEED", 0);
    let seeds = number("ALEADB_SIM_SEEDS", if std::env::var_os("ALEADB_SIM_SEED").is_some() { 1 } else { 500 });
    let count = number("ALEADB_SIM_STEPS", 200) as usize;
    for seed in first..first + seeds {
        let steps = workload::steps(seed, count);
        let Some(failure) = run(seed, &steps) else { continue };
        let few = shrink::shrink(steps, |fewer| run(seed, fewer).is_some_and(|other| kind(&other) == kind(&failure)));
        let last = run(seed, &few).unwrap_or_default();
        let list: Vec<String> = few.iter().map(|step| format!("  {step}")).collect();
        panic!("seed {seed}: {failure}\nin {} steps: {last}\n{}", few.len(), list.join("\n"));
    }
}
