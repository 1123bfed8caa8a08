//! Everything that a server in memory holds, read by its own commands, to compare two servers by.
//!
//! What a replayed command cannot know is left out: when a consumer was last seen, and how entries of a stream are packed. Test
//! binaries include this file with `#[path]`, next to `memory.rs` and `resp.rs`.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use aleadb::base::num;

use super::memory::Memory;
use super::resp::{Value, decode_all};

/// How many databases there are by default.
const DATABASES: usize = 16;

/// No number that is not a time in milliseconds is as large: the year 2000.
const EARLIEST_MS: i64 = 946_684_800_000;

/// Parts of `XINFO STREAM` that are left out: what a replay does not bring back, and what only Redis 8.6 has.
const NOT_REPLAYED: &[&str] = &[
    "seen-time",
    "active-time",
    "idle",
    "inactive",
    "radix-tree-keys",
    "radix-tree-nodes",
    "idmp-duration",
    "idmp-maxsize",
    "pids-tracked",
    "iids-tracked",
    "iids-added",
    "nacked-count",
    "iids-duplicates",
];

/// Questions and answers, in an order that does not depend on the server.
pub type Contents = Vec<(String, Value)>;

/// Asks a server for all it holds, by a client of its own.
pub fn contents(memory: &mut Memory) -> Contents {
    let before = memory.client;
    memory.connect();
    let all = contents_of(&mut |line| decode_all(&memory.raw(line)).expect("a reply").pop().expect("one reply"));
    memory.leave(memory.client);
    memory.client = before;
    all
}

/// Asks whatever answers lines for all it holds.
pub fn contents_of(ask: &mut dyn FnMut(&[&[u8]]) -> Value) -> Contents {
    let mut ask = |line: &[&[u8]]| {
        let reply = ask(line);
        assert!(!reply.is_error() || line[0].ends_with(b"PEXPIRETIME"), "{reply:?}");
        reply
    };
    let mut all = Vec::new();
    for db in 0..DATABASES {
        ask(&[b"SELECT", db.to_string().as_bytes()]);
        let mut keys = bulk_strings(&ask(&[b"KEYS", b"*"]));
        keys.sort();
        for key in keys {
            for (question, answer) in key_contents(&mut ask, &key) {
                all.push((format!("[{db}] {question} {}", key.escape_ascii()), answer));
            }
        }
    }
    all
}

fn key_contents(ask: &mut dyn FnMut(&[&[u8]]) -> Value, key: &[u8]) -> Contents {
    let kind = ask(&[b"TYPE", key]);
    let mut facts = vec![("PEXPIRETIME".to_owned(), ask(&[b"PEXPIRETIME", key]))];
    let mut add = |question: &str, answer| facts.push((question.to_owned(), answer));
    match &*kind.text() {
        "string" => add("GET", ask(&[b"GET", key])),
        "list" => add("LRANGE", ask(&[b"LRANGE", key, b"0", b"-1"])),
        "zset" => {
            let mut flat = bulk_strings(&ask(&[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"]));
            let deadlines = deadlines(ask, &[b"ZPEXPIRETIME", key, b"MEMBERS"], flat.iter().step_by(2));
            add("ZPEXPIRETIME", deadlines);
            flat.iter_mut().skip(1).step_by(2).for_each(plain_score);
            add("ZRANGE", Value::Array(flat.into_iter().map(Value::Bulk).collect()));
        }
        "set" => {
            let mut members = bulk_strings(&ask(&[b"SMEMBERS", key]));
            members.sort();
            add("SPEXPIRETIME", deadlines(ask, &[b"SPEXPIRETIME", key, b"MEMBERS"], members.iter()));
            add("SMEMBERS", Value::Array(members.into_iter().map(Value::Bulk).collect()));
        }
        "hash" => {
            let flat = bulk_strings(&ask(&[b"HGETALL", key]));
            let mut fields: Vec<_> = flat.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
            fields.sort();
            for (field, value) in fields {
                let deadline = deadlines(ask, &[b"HPEXPIRETIME", key, b"FIELDS"], std::iter::once(&field));
                add(&format!("HGET {}", field.escape_ascii()), Value::Array(vec![Value::Bulk(value), deadline]));
            }
        }
        "array" => {
            add("ARSCAN", ask(&[b"ARSCAN", key, b"0", b"18446744073709551614"]));
            add("ARNEXT", ask(&[b"ARNEXT", key]));
        }
        "stream" => add("XINFO", replayed(ask(&[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"]))),
        other => panic!("{} is a {other}", key.escape_ascii()),
    }
    facts
}

/// The deadlines of elements; of a server that knows none, that there is none.
fn deadlines<'n>(
    ask: &mut dyn FnMut(&[&[u8]]) -> Value,
    question: &[&[u8]],
    names: impl Iterator<Item = &'n Vec<u8>>,
) -> Value {
    let names: Vec<&[u8]> = names.map(Vec::as_slice).collect();
    let count = names.len().to_string();
    let line = [question, &[count.as_bytes()], &names].concat();
    match ask(&line) {
        error if error.is_error() => Value::Array(vec![Value::Integer(-1); names.len()]),
        deadlines => deadlines,
    }
}

/// Writes a score with the fewest digits, which older servers do not, and without the sign of zero: the compact form of a
/// sorted set has none, and SORT, which reads, leaves the other form behind.
fn plain_score(text: &mut Vec<u8>) {
    let score = num::parse_f64(text).expect("a score");
    text.clear();
    num::write_f64(text, if score == 0.0 { 0.0 } else { score });
}

fn bulk_strings(reply: &Value) -> Vec<Vec<u8>> {
    let items = reply.items().unwrap_or_default().iter();
    items.map(|item| item.bytes().expect("a string").to_vec()).collect()
}

/// An answer without the names that are left out and the values after them.
fn replayed(answer: Value) -> Value {
    let Value::Array(items) = answer else { return answer };
    let mut kept = Vec::new();
    let mut items = items.into_iter();
    while let Some(item) = items.next() {
        if NOT_REPLAYED.iter().any(|name| item.bytes() == Some(name.as_bytes())) {
            items.next();
        } else {
            kept.push(replayed(item));
        }
    }
    Value::Array(kept)
}

/// The first answers that differ, where times may be `apart_ms` from each other.
pub fn difference(left: &Contents, right: &Contents, apart_ms: u64) -> Option<String> {
    let at = (left.iter().zip(right)).position(|(left, right)| left.0 != right.0 || !same(&left.1, &right.1, apart_ms));
    let at = at.unwrap_or_else(|| left.len().min(right.len()));
    let shown = |contents: &Contents| contents.get(at).map(|(question, answer)| format!("{question}: {answer:?}"));
    (at < left.len().max(right.len())).then(|| format!("{:?}\n    {:?}", shown(left), shown(right)))
}

fn same(left: &Value, right: &Value, apart_ms: u64) -> bool {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) if left.min(right) > &EARLIEST_MS => {
            left.abs_diff(*right) <= apart_ms
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right, apart_ms))
        }
        _ => left == right,
    }
}
