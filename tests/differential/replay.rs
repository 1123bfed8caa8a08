//! What lines propagate, run by another server, makes it hold what the lines themselves do.

use crate::aof::{self, Logged};
use crate::contents::{Contents, contents, difference};
use crate::generate::{Generator, Line};
use crate::memory::START_MS;
use crate::ours::Ours;
use crate::pair::Pair;
use crate::propagation::{FIRST, Recorder};
use crate::resp::Value;
use crate::rng::Rng;
use crate::rows::full_name;
use crate::stream::quoted;
use crate::{differences, number, wanted};
use aleadb::server::Seeds;

/// Commands of which no generated stream has lines: whoever comes across due keys collects them, which no two servers do
/// alike; and no two pop the same members of a set.
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
    let mut generator = Generator::new(seed, differences::is_barred, |name| wanted(name) && !LEFT_OUT.contains(&name));
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

/// Lines of clients that wait for others, on keys of the generator's own.
const WAITING: &[&str] = &[
    "BLPOP k12 0",
    "BRPOP k12 k13 0",
    "BLMOVE k12 k13 LEFT RIGHT 0",
    "BRPOPLPUSH k13 k12 0",
    "BLMPOP 0 2 k12 k13 RIGHT COUNT 3",
    "BZPOPMIN k18 0",
    "BZPOPMAX k18 k19 0",
    "BZMPOP 0 2 k18 k19 MAX COUNT 2",
    "XREADGROUP GROUP g0 c1 BLOCK 0 STREAMS k24 >",
    "XREADGROUP GROUP g1 c2 BLOCK 0 NOACK STREAMS k24 >",
    "XREADGROUP GROUP g0 c0 COUNT 1 BLOCK 0 STREAMS k24 k26 > >",
];

/// Lines about time and chance, which the generator does not write.
const MORE: &[&str] = &[
    "PEXPIRE k0 3",
    "PEXPIRE k12 3",
    "PEXPIRE k15 3",
    "PEXPIRE k18 2",
    "PEXPIRE k24 3",
    "SET k1 v PX 2",
    "GETEX k2 PX 4",
    "HPEXPIRE k9 3 FIELDS 3 f1 f2 f3",
    "HPEXPIRE k10 2 FIELDS 2 f3 f4",
    "HSETEX k9 PX 3 FIELDS 2 f1 v f2 w",
    "HGETEX k9 PX 3 FIELDS 3 f1 f2 f3",
    "SPOP k15 2",
    "SPOP k16",
    "SADD k15 m1 m2 m3 m4 m5 m6 7 8 9",
    "SORT k15 BY nosort STORE k13",
    "XGROUP CREATE k26 g0 0 MKSTREAM",
    "XADD k26 * f v",
    "XADD k26 NOMKSTREAM MAXLEN ~ 4 * f v",
    "XADD k26 ACKED MAXLEN ~ 3 LIMIT 2 * f v",
    "XTRIM k26 MAXLEN ~ 5",
    "XTRIM k26 MAXLEN ~ 3 ACKED",
    "XTRIM k24 MINID ~ 8",
    "XTRIM k24 MINID ~ 8 ACKED",
    "XTRIM k24 MINID ~ 8 DELREF",
    "XADD k24 ACKED MINID ~ 6 9-* f v",
    "XREADGROUP GROUP g0 c1 COUNT 2 STREAMS k26 k24 > >",
    "XREADGROUP GROUP g0 c1 STREAMS k26 0",
    "XAUTOCLAIM k24 g0 c1 2 0 COUNT 2",
    "XAUTOCLAIM k26 g0 c2 0 0 JUSTID",
    "FLUSHDB",
];

/// Runs the lines of a seed on one server, for several clients, and what it propagates on another that hashes, draws and packs
/// in its own way; the first difference between them.
fn difference_of_two(seed: u64) -> Option<String> {
    let mut rng = Rng::new(seed);
    let mut generator = Generator::new(seed, differences::is_barred, wanted);
    let mut first = Ours::with_seeds(START_MS, Seeds { hash: [1; 16], prng: seed });
    let mut second = Ours::with_seeds(START_MS, Seeds { hash: [2; 16], prng: seed + 1 });
    for (server, entries) in [(&mut first, "3"), (&mut second, "7")] {
        server.send(FIRST, &words(&format!("CONFIG SET stream-node-max-entries {entries}")));
    }
    let mut is_queued = false;
    for step in 0..number("ALEADB_DIFF_STEPS", STEPS) {
        let (client, line) = match rng.below(10) {
            0 => (*rng.pick(&['B', 'C', 'D']), words(rng.pick::<&str>(WAITING))),
            1 | 2 => (*rng.pick(&[FIRST, 'E']), words(rng.pick::<&str>(MORE))),
            3 => (*rng.pick(&[FIRST, 'E']), generator.line()),
            _ => (FIRST, generator.line()),
        };
        if first.waits(client) {
            continue;
        }
        let sent = match client {
            FIRST | 'E' => {
                let reply = first.send_and_wait(client, &line);
                is_queued = if client == FIRST { reply == Value::Simple(b"QUEUED".to_vec()) } else { is_queued };
                first.take()
            }
            _ => first.run(client, &line).sent,
        };
        // The second runs everything before its time has come to where the first's is by then, or keys would be due too early.
        let mut refused = second.replay(&sent);
        let passed = match rng.below(20) {
            0 => first.pass_ms(rng.below(4) as u64),
            1 => first.collect_due(),
            _ => Vec::new(),
        };
        let behind_ms = first.now_ms() - second.now_ms();
        second.memory.clock.advance_ms(behind_ms.unsigned_abs());
        refused.extend(second.replay(&passed));
        if let Some(refused) = refused.first() {
            return Some(format!("seed {seed}, step {step}: {}\n    refused {refused}", quoted(&line)));
        }
        if !is_queued && step % COMPARE_EVERY == 0 {
            let ours = contents(&mut first.memory);
            // Who reads meets what is due.
            second.replay(&first.take());
            if let Some(found) = difference(&ours, &contents(&mut second.memory), 0) {
                return Some(format!("seed {seed}, up to step {step}: {}\n    {found}", quoted(&line)));
            }
        }
    }
    None
}

fn words(line: &str) -> Line {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

#[test]
fn what_we_propagate_makes_another_hold_the_same() {
    let first = number("ALEADB_DIFF_SEED", 1);
    let seeds = first..first + number("ALEADB_DIFF_SEEDS", 20);
    let found: Vec<String> = seeds.filter_map(difference_of_two).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}
