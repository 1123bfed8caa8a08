//! What `cjson`, `cmsgpack`, `struct` and `bit` answer: the recorded calls are what Redis answers, and calls by chance
//! answer alike.

use std::fmt::Write;

use crate::interpreter::Interpreter;
use crate::number;
use crate::pair::{Pair, ask};
use crate::recorded_calls::{self, Recorded};
use crate::resp::{Client, Value};
use crate::rng::Rng;
use crate::script_calls;

/// Memory that a script of ours may use.
const MEMORY_BYTES: usize = 64 << 20;

/// Scripts after which the oracle is made to forget them all.
const SCRIPTS_KEPT_MAX: usize = 5_000;

/// What the oracle makes of a script: its text, or its error.
fn results(oracle: &mut Client, script: &str) -> Vec<u8> {
    match ask(oracle, &["EVAL", script, "0"]) {
        Value::Bulk(text) | Value::Error(text) => text,
        other => panic!("{script} answers {other:?}"),
    }
}

#[test]
fn recorded_calls_are_what_redis_answers() {
    let Some(server) = Pair::start_oracle(&[]) else { return };
    let mut oracle = server.connect().expect("just started");
    if std::env::var_os("ALEADB_RECORD").is_some() {
        return record(&mut oracle);
    }
    for Recorded { call, results: recorded } in recorded_calls::all() {
        let live = results(&mut oracle, &recorded_calls::script(&call));
        assert_eq!(String::from_utf8_lossy(&live), recorded, "{call}");
    }
}

/// Writes the file again, with what the oracle answers.
fn record(oracle: &mut Client) {
    let old = std::fs::read_to_string(recorded_calls::path()).expect("the file is there");
    let mut new = String::new();
    for line in old.lines().filter(|line| !line.starts_with("= ")) {
        new.push_str(line);
        new.push('\n');
        if let Some(call) = line.strip_prefix("> ") {
            let live = results(oracle, &recorded_calls::script(call));
            // Cannot fail: writes to memory.
            let _ = writeln!(new, "= {}", String::from_utf8_lossy(&live));
        }
    }
    std::fs::write(recorded_calls::path(), new).expect("the file can be written");
}

#[test]
fn calls_by_chance_answer_as_in_redis() {
    let Some(server) = Pair::start_oracle(&[]) else { return };
    let mut oracle = server.connect().expect("just started");
    let mut interpreter = Interpreter::new(MEMORY_BYTES);
    let seed = number("ALEADB_DIFF_SEED", 1);
    let mut rng = Rng::new(seed);
    for step in 0..number("ALEADB_DIFF_STEPS", 4_000) as usize {
        if step % SCRIPTS_KEPT_MAX == SCRIPTS_KEPT_MAX - 1 {
            ask(&mut oracle, &["SCRIPT", "FLUSH"]);
        }
        let call = script_calls::call(&mut rng);
        let script = recorded_calls::script(&call);
        let theirs = results(&mut oracle, &script);
        let ours = match interpreter.run(script.as_bytes(), &[]) {
            Ok(reply) => bulk(&reply).to_vec(),
            Err(text) => text,
        };
        let [ours, theirs] = [ours, theirs].map(|bytes| bytes.escape_ascii().to_string());
        // A script that does not compile says so in other words here, where no command is answered.
        let is_refused = theirs.starts_with("ERR ") && !ours.starts_with("true") && !ours.starts_with("false");
        // Keys that are tables come in the order of their addresses.
        if is_refused || theirs.contains("}=") {
            continue;
        }
        assert_eq!(ours, theirs, "{call} at step {step} of seed {seed}");
    }
}

/// The text of a bulk reply.
fn bulk(reply: &[u8]) -> &[u8] {
    let head = reply.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    reply.get(head..).and_then(|rest| rest.strip_suffix(b"\r\n")).unwrap_or(reply)
}
