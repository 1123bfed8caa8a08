//! What is left in the databases, and whether two servers are left with the same.
//!
//! The state is a list of facts, each a command that reads something with its reply in an order of its own: for every
//! database its keys, and for every key its type, encoding, expiry and whole value. Reads over a connection of its own, so
//! a transaction open elsewhere does not matter.

use crate::compare::{near, same};
use crate::generate::Line;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value};

/// How many databases a server has unless told otherwise.
const DATABASES: usize = 16;

/// How far apart two expiries may be: the line that set them ran at different moments.
const APART_MS: i64 = 10_000;

/// The first difference between what both servers hold, as text; none if they hold the same.
pub fn difference(pair: &Pair) -> Option<String> {
    let connect = |server: &crate::server::Server| server.connect().map_err(|error| format!("server gone: {error}"));
    let (mut subject, mut oracle) = match (connect(&pair.subject), connect(&pair.oracle)) {
        (Ok(subject), Ok(oracle)) => (subject, oracle),
        (Err(error), _) | (_, Err(error)) => return Some(error),
    };
    for db in 0..DATABASES {
        let select = line(&["SELECT", &db.to_string()]);
        ask(&mut subject, &select);
        ask(&mut oracle, &select);
        let keys = line(&["KEYS", "*"]);
        if let Some(found) = fact(&mut subject, &mut oracle, &keys) {
            return Some(format!("database {db}: {found}"));
        }
        let names = ask(&mut oracle, &keys);
        for key in names.items().unwrap_or_default() {
            if let Some(found) = key_difference(pair, &mut subject, &mut oracle, key.bytes().unwrap_or_default()) {
                return Some(format!("database {db}: {found}"));
            }
        }
    }
    None
}

fn line(words: &[&str]) -> Line {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn line_with_key(before: &[&str], key: &[u8], after: &[&str]) -> Line {
    let mut all = line(before);
    all.push(key.to_vec());
    all.extend(line(after));
    all
}

/// Compares one reading of both.
fn fact(subject: &mut Client, oracle: &mut Client, question: &Line) -> Option<String> {
    let (left, right) = (ask(subject, question), ask(oracle, question));
    let is_time = question[0] == b"PEXPIRETIME" || question[0] == b"HPEXPIRETIME";
    let equal = if is_time { near(&left, &right, APART_MS) } else { same(question, &left, &right) };
    (!equal).then(|| format!("{}: subject {left:?}, oracle {right:?}", crate::stream::quoted(question)))
}

fn key_difference(pair: &Pair, subject: &mut Client, oracle: &mut Client, key: &[u8]) -> Option<String> {
    let type_line = line_with_key(&["TYPE"], key, &[]);
    let kind = ask(oracle, &type_line).text();
    let mut questions =
        vec![type_line, line_with_key(&["OBJECT", "ENCODING"], key, &[]), line_with_key(&["PEXPIRETIME"], key, &[])];
    match kind.as_str() {
        "string" => questions.push(line_with_key(&["GET"], key, &[])),
        "list" => questions.push(line_with_key(&["LRANGE"], key, &["0", "-1"])),
        "set" => questions.push(line_with_key(&["SMEMBERS"], key, &[])),
        "zset" => questions.push(line_with_key(&["ZRANGE"], key, &["0", "-1", "WITHSCORES"])),
        "hash" => {
            questions.push(line_with_key(&["HGETALL"], key, &[]));
            questions.extend(field_expiry(pair, oracle, key));
        }
        "stream" => {
            questions.push(line_with_key(&["XRANGE"], key, &["-", "+"]));
            questions.push(line_with_key(&["XINFO", "STREAM"], key, &[]));
            questions.extend(group_questions(oracle, key));
        }
        _ => {}
    }
    questions.iter().find_map(|question| fact(subject, oracle, question))
}

/// The question for the expiry of all fields, where fields can expire.
fn field_expiry(pair: &Pair, oracle: &mut Client, key: &[u8]) -> Option<Line> {
    if pair.oracle_version < (7, 4, 0) {
        return None;
    }
    let fields = ask(oracle, &line_with_key(&["HKEYS"], key, &[]));
    let fields: Vec<&[u8]> = fields.items()?.iter().filter_map(Value::bytes).collect();
    let mut question = line_with_key(&["HPEXPIRETIME"], key, &["FIELDS", &fields.len().to_string()]);
    question.extend(fields.iter().map(|field| field.to_vec()));
    Some(question)
}

fn group_questions(oracle: &mut Client, key: &[u8]) -> Vec<Line> {
    let mut questions = vec![line_with_key(&["XINFO", "GROUPS"], key, &[])];
    let groups = ask(oracle, &questions[0]);
    for group in groups.items().unwrap_or_default() {
        let name = group.field("name").map(Value::text).unwrap_or_default();
        questions.push(line_with_key(&["XPENDING"], key, &[&name]));
        questions.push(line_with_key(&["XPENDING"], key, &[&name, "-", "+", "100000"]));
    }
    questions
}
