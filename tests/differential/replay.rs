//! What lines propagate, run by another server, makes it hold what the lines themselves do.

use crate::aof::{self, Logged};
use crate::compare::full_name;
use crate::contents::{Contents, contents, difference};
use crate::generate::{Generator, Line};
use crate::ours::Ours;
use crate::pair::Pair;
use crate::propagation::{FIRST, Recorder};
use crate::resp::Value;
use crate::stream::quoted;
use crate::{differences, number, wanted};

/// Commands of which no generated stream has lines: whoever comes across due keys collects them, which no two servers do
/// alike; and Redis keeps the popped members of a set for itself.
const LEFT_OUT: &[&str] = &["randomkey", "scan", "spop"];

/// How many lines one stream has, unless told otherwise.
const STEPS: u64 = 2_000;

/// What the servers hold is compared after so many lines.
const COMPARE_EVERY: u64 = 20;

/// How far the clock of a server in memory may be behind that of the other, in milliseconds.
const APART_MS: u64 = 60_000;

/// Without consumers that hold nothing: Redis does not propagate that XREADGROUP, XCLAIM or XAUTOCLAIM made one and gave it
/// nothing.
fn without_idle_consumers(contents: Contents) -> Contents {
    fn without(value: Value) -> Value {
        let Value::Array(items) = value else { return value };
        let is_idle = |item: &Value| {
            let Value::Array(parts) = item else { return false };
            let named = |at: usize, name: &str| parts.get(at).is_some_and(|part| part.bytes() == Some(name.as_bytes()));
            named(0, "name") && named(2, "pel-count") && parts.get(3) == Some(&Value::Integer(0))
        };
        Value::Array(items.into_iter().filter(|item| !is_idle(item)).map(without).collect())
    }
    contents.into_iter().map(|(question, answer)| (question, without(answer))).collect()
}

/// Lines that Redis propagates in a way that changes the data.
fn is_unfaithful(line: &Line) -> bool {
    differences::propagates_otherwise(&full_name(line), line).is_some()
}

/// The first difference between a server that ran the lines of a seed and one that ran what Redis appended for them.
fn difference_of(redis: &mut Logged, seed: u64) -> Option<String> {
    let mut generator = Generator::new(seed, |name| wanted(name) && !LEFT_OUT.contains(&name));
    redis.reset();
    let [mut direct, mut loaded] = [(); 2].map(|()| Ours::at_ms(redis.now_ms()));
    for step in 0..number("ALEADB_DIFF_STEPS", STEPS) {
        let line = generator.line();
        if is_unfaithful(&line) {
            continue;
        }
        let sent = redis.run(FIRST, &line).sent;
        let reply = direct.send_and_wait(FIRST, &line);
        if let Some(refused) = loaded.replay(&sent).first() {
            return Some(format!("seed {seed}, step {step}: {}\n    refused {refused}", quoted(&line)));
        }
        let is_queued = reply == Value::Simple(b"QUEUED".to_vec());
        if !is_queued && step % COMPARE_EVERY == 0 {
            let [ours, theirs] =
                [&mut direct, &mut loaded].map(|server| without_idle_consumers(contents(&mut server.memory)));
            if let Some(found) = difference(&ours, &theirs, APART_MS) {
                return Some(format!("seed {seed}, up to step {step}: {}\n    {found}", quoted(&line)));
            }
        }
    }
    None
}

#[test]
fn what_redis_appends_makes_us_hold_what_the_lines_do() {
    let Some(server) = Pair::start_oracle(aof::SETTINGS) else { return };
    let mut redis = Logged::new(server);
    let first = number("ALEADB_DIFF_SEED", 1);
    let seeds = first..first + number("ALEADB_DIFF_SEEDS", 8);
    let found: Vec<String> = seeds.filter_map(|seed| difference_of(&mut redis, seed)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
