//! Runs a seed and, if it fails, cuts its steps down to few that still violate the same property.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::properties::{Property, Violation};
use crate::workload::{Plan, Request, Step, steps};
use crate::world::{self, Reached};

/// How long one failure may be cut down.
const SHRINK_S_MAX: u64 = 20;

/// Runs steps; an assertion of the server that fails is a violation as well.
fn run(plan: Plan, steps: &[Step]) -> Result<Reached, Violation> {
    match catch_unwind(AssertUnwindSafe(|| world::run(plan, steps))) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Err(Violation::new(Property::NoPanic, text.unwrap_or_default()))
        }
    }
}

/// Runs a seed; how often things happened in it, or, if it fails, what was violated and the history that does it.
pub fn check(seed: u64, count: usize) -> Result<Reached, String> {
    let plan = Plan::of(seed);
    let mut history = steps(plan, count);
    let mut found = match run(plan, &history) {
        Ok(reached) => return Ok(reached),
        Err(found) => found,
    };
    let (property, until) = (found.property, Instant::now() + Duration::from_secs(SHRINK_S_MAX));
    let mut chunk = history.len() / 2;
    while chunk > 0 && Instant::now() < until {
        let (mut at, before) = (0, history.len());
        while at < history.len() && Instant::now() < until {
            let end = (at + chunk).min(history.len());
            let rest: Vec<Step> = history[..at].iter().chain(&history[end..]).cloned().collect();
            match run(plan, &rest).err().filter(|other| other.property == property) {
                Some(other) => (found, history) = (other, rest),
                None => at = end,
            }
        }
        // Single steps are tried until none of them can go.
        chunk = if chunk == 1 && history.len() < before { 1 } else { chunk / 2 };
    }
    let list: String = history.iter().map(|step| format!("    {}\n", shown(step))).collect();
    Err(format!("seed {seed}, of {count} steps: {:?}: {}\n  {plan:?}\n{list}", found.property, found.what))
}

/// A step as one line, its bytes as text.
fn shown(step: &Step) -> String {
    let Step::Send { client, requests } = step else { return format!("{step:?}") };
    let one = |request: &Request| {
        let text = |line: &[Vec<u8>]| line.join(&b' ').escape_ascii().to_string();
        match request {
            Request::Line(line) => text(line),
            Request::Silent(line) => format!("{} (silent)", text(line)),
            Request::Topics(line, _) => text(line),
            other => format!("{other:?}"),
        }
    };
    format!("Send {client}: {}", requests.iter().map(one).collect::<Vec<_>>().join("; "))
}
