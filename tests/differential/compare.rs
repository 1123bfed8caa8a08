//! What it means for two replies to the same line to be the same.
//!
//! Equal bytes are always the same, and so are other digits of the same double. [`RULES`] is the complete list of commands
//! whose replies may differ otherwise, with the reason; a line of any other command must be answered to the byte. Inside
//! `EXEC` each reply follows the rule of its line.

use crate::differences::{RULES, Rule};
use crate::generate::{EVERYTHING, Line};
use crate::resp::{Reply, Value};
use crate::rows::full_name;

/// Whether both servers answered `line` the same way.
pub fn same(line: &Line, left: &Value, right: &Value) -> bool {
    if same_numbers(left, right) {
        return true;
    }
    let name = full_name(line);
    let Some((_, rule, _)) = RULES.iter().find(|(names, _, _)| names.contains(&name.as_str())) else { return false };
    match rule {
        Rule::Unordered => sorted(left) == sorted(right),
        Rule::UnorderedPairs => sorted_pairs(left) == sorted_pairs(right),
        Rule::Shape => shape(left) == shape(right),
        Rule::Near(distance) => near(left, right, *distance),
        Rule::Scan { pairs } => same_scan(line, left, right, *pairs),
        Rule::Sort => same_sort(line, left, right),
        Rule::TextEncoding => [left, right].iter().all(|value| matches!(value.bytes(), Some(b"embstr" | b"raw"))),
        Rule::Without(names) => without(left, names) == without(right, names),
        Rule::Help => same_help(left, right),
        Rule::WithoutColumn(column) => without_column(left, *column) == without_column(right, *column),
    }
}

/// Equal but for the digits of doubles: Redis prints them with Grisu2, which in about one case of a thousand gives a digit
/// too many or not the closest, and so other text for the same number.
fn same_numbers(left: &Value, right: &Value) -> bool {
    let all = |l: &[Value], r: &[Value]| l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same_numbers(l, r));
    match (left, right) {
        (Value::Bulk(l), Value::Bulk(r)) | (Value::Double(l), Value::Double(r)) => l == r || is_one_double(l, r),
        (Value::Array(l), Value::Array(r)) => all(l, r),
        (Value::Map(l), Value::Map(r)) => {
            l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same_numbers(&l.0, &r.0) && same_numbers(&l.1, &r.1))
        }
        _ => left == right,
    }
}

/// Whether two texts that are as long as only full digits are mean the same double.
fn is_one_double(left: &[u8], right: &[u8]) -> bool {
    const DIGITS_MIN: usize = 16;
    let number = |text: &[u8]| -> Option<f64> { std::str::from_utf8(text).ok()?.parse().ok() };
    left.len().min(right.len()) >= DIGITS_MIN && number(left).is_some() && number(left) == number(right)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) | Value::Set(items) => {
            let mut items = items.clone();
            items.sort();
            Value::Array(items)
        }
        other => other.clone(),
    }
}

fn sorted_pairs(value: &Value) -> Value {
    match value {
        Value::Map(pairs) => {
            let mut pairs = pairs.clone();
            pairs.sort();
            Value::Map(pairs)
        }
        Value::Array(items) => {
            let mut pairs: Vec<Value> = items.chunks(2).map(|pair| Value::Array(pair.to_vec())).collect();
            pairs.sort();
            Value::Array(pairs)
        }
        other => other.clone(),
    }
}

/// The value with all texts and numbers made equal. Errors stay as they are.
fn shape(value: &Value) -> Value {
    let each = |items: &[Value]| items.iter().map(shape).collect();
    match value {
        Value::Bulk(_) => Value::Bulk(Vec::new()),
        Value::Double(_) => Value::Double(Vec::new()),
        Value::Integer(_) => Value::Integer(0),
        Value::Array(items) => Value::Array(each(items)),
        Value::Set(items) => Value::Set(each(items)),
        Value::Map(pairs) => Value::Map(pairs.iter().map(|(k, v)| (shape(k), shape(v))).collect()),
        other => other.clone(),
    }
}

/// Equal but for positive numbers, which are points in time or times to live; the others are codes.
pub fn near(left: &Value, right: &Value, distance: i64) -> bool {
    match (left, right) {
        (Value::Integer(l), Value::Integer(r)) if *l > 0 && *r > 0 => l.abs_diff(*r) <= distance.unsigned_abs(),
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| near(l, r, distance)),
        _ => left == right,
    }
}

fn same_scan(line: &Line, left: &Value, right: &Value, pairs: bool) -> bool {
    let (Some([_, left_items]), Some([_, right_items])) = (left.items(), right.items()) else { return false };
    let cursor = line.get(if full_name(line) == "scan" { 1 } else { 2 });
    let last_count = line.iter().rposition(|word| word.eq_ignore_ascii_case(b"COUNT")).and_then(|at| line.get(at + 1));
    let whole = cursor.is_some_and(|cursor| cursor == b"0")
        && last_count.is_some_and(|count| *count == EVERYTHING.to_string().into_bytes());
    if !whole {
        return left_items.items().is_some() && right_items.items().is_some();
    }
    let is_without_second =
        |word: &Vec<u8>| [&b"NOVALUES"[..], b"NOSCORES"].iter().any(|w| word.eq_ignore_ascii_case(w));
    let pairs = pairs && !line.iter().any(is_without_second);
    let order = if pairs { sorted_pairs } else { sorted };
    order(left_items) == order(right_items)
}

fn same_sort(line: &Line, left: &Value, right: &Value) -> bool {
    let after_by = line.iter().position(|word| word.eq_ignore_ascii_case(b"BY")).and_then(|at| line.get(at + 1));
    let by_text = line.iter().any(|word| word.eq_ignore_ascii_case(b"ALPHA"));
    // Texts are compared up to their first zero byte.
    let is_cut_short = |value: &Value| {
        value.items().unwrap_or_default().iter().any(|item| item.bytes().is_some_and(|bytes| bytes.contains(&0)))
    };
    let cut_short = || is_cut_short(left) || is_cut_short(right);
    let has_order = match after_by {
        None => !(by_text && cut_short()),
        // Missing texts are equal to each other; missing numbers are told apart by the element itself.
        Some(pattern) => pattern.contains(&b'*') && !by_text,
    };
    if has_order {
        return false;
    }
    let chosen = [&b"LIMIT"[..], b"GET"].iter().any(|word| line.iter().any(|arg| arg.eq_ignore_ascii_case(word)));
    if chosen { shape_of_list(left) == shape_of_list(right) } else { sorted(left) == sorted(right) }
}

fn shape_of_list(value: &Value) -> Option<usize> {
    value.items().map(<[Value]>::len)
}

fn same_help(left: &Value, right: &Value) -> bool {
    let frame = |help: &Value| match help.items() {
        Some([head, .., name, text]) => Some([head.clone(), name.clone(), text.clone()]),
        _ => None,
    };
    frame(left).is_some() && frame(left) == frame(right)
}

fn without(value: &Value, names: &[&str]) -> Value {
    let is_left_out = |key: &Value| names.iter().any(|name| key.bytes() == Some(name.as_bytes()));
    match value {
        Value::Map(pairs) => Value::Map(
            pairs
                .iter()
                .filter(|(key, _)| !is_left_out(key))
                .map(|(key, v)| (key.clone(), without(v, names)))
                .collect(),
        ),
        Value::Array(items) => {
            let mut kept = Vec::new();
            let mut skip = false;
            for item in items {
                if std::mem::take(&mut skip) {
                    continue;
                }
                skip = is_left_out(item);
                if !skip {
                    kept.push(without(item, names));
                }
            }
            Value::Array(kept)
        }
        other => other.clone(),
    }
}

fn without_column(value: &Value, column: usize) -> Value {
    let Value::Array(rows) = value else { return value.clone() };
    let blank = |row: &Value| match row {
        Value::Array(cells) if cells.len() == 4 && cells[column].integer().is_some() => {
            let mut cells = cells.clone();
            cells[column] = Value::Null;
            Value::Array(cells)
        }
        other => other.clone(),
    };
    Value::Array(rows.iter().map(blank).collect())
}

/// Follows one connection's transactions, to know which line each reply inside `EXEC` belongs to.
#[derive(Default)]
pub struct Transaction {
    queued: Option<Vec<Line>>,
}

impl Transaction {
    /// Whether both servers answered `line` the same way, the replies of a whole transaction included.
    pub fn same(&mut self, line: &Line, subject: &Reply, oracle: &Reply) -> bool {
        let finished = self.follow(line, &oracle.value);
        if subject.raw == oracle.raw {
            return true;
        }
        let Some(lines) = finished else { return same(line, &subject.value, &oracle.value) };
        let (Value::Array(left), Value::Array(right)) = (&subject.value, &oracle.value) else { return false };
        left.len() == right.len()
            && right.len() == lines.len()
            && lines.iter().zip(left.iter().zip(right)).all(|(line, (left, right))| same(line, left, right))
    }

    /// Takes note of a reply; gives the lines of a transaction that has just run.
    fn follow(&mut self, line: &Line, reply: &Value) -> Option<Vec<Line>> {
        if let Some(queued) = &mut self.queued {
            if *reply == Value::Simple(b"QUEUED".to_vec()) {
                queued.push(line.clone());
                return None;
            }
            let name = full_name(line);
            if name == "exec" && line.len() == 1 {
                return self.queued.take();
            }
            if name == "discard" && !reply.is_error() {
                self.queued = None;
            }
        } else if full_name(line) == "multi" && !reply.is_error() {
            self.queued = Some(Vec::new());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Line {
        text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
    }

    fn bulks(words: &[&str]) -> Value {
        Value::Array(words.iter().map(|word| Value::Bulk(word.as_bytes().to_vec())).collect())
    }

    #[test]
    fn order_is_forgiven_only_where_there_is_none() {
        let (left, right) = (bulks(&["a", "b"]), bulks(&["b", "a"]));
        assert!(same(&line("SMEMBERS k"), &left, &right));
        assert!(same(&line("smembers k"), &left, &right));
        assert!(!same(&line("LRANGE k 0 -1"), &left, &right));
        assert!(!same(&line("SMEMBERS k"), &left, &bulks(&["a", "c"])));
    }

    #[test]
    fn digits_of_one_double_are_forgiven() {
        let position = |lon| Value::Array(vec![bulks(&[lon, "15.39650085282129"])]);
        let left = position("-140.3266015648842");
        assert!(same(&line("GEOPOS k m"), &left, &position("-140.32660156488419")));
        assert!(!same(&line("GEOPOS k m"), &left, &position("-140.32660156488417")));
        assert!(!same(&line("ZSCORE k m"), &bulks(&["1.0"]), &bulks(&["1"])));
    }

    #[test]
    fn pairs_stay_together() {
        let left = bulks(&["f", "1", "g", "2"]);
        assert!(same(&line("HGETALL k"), &left, &bulks(&["g", "2", "f", "1"])));
        assert!(!same(&line("HGETALL k"), &left, &bulks(&["g", "1", "f", "2"])));
    }

    #[test]
    fn codes_of_times_are_exact() {
        let reply = |n| Value::Integer(n);
        assert!(same(&line("PTTL k"), &reply(5_000), &reply(5_003)));
        assert!(!same(&line("PTTL k"), &reply(-1), &reply(-2)));
        assert!(!same(&line("PTTL k"), &reply(-1), &reply(1)));
        assert!(!same(&line("STRLEN k"), &reply(5_000), &reply(5_003)));
    }

    #[test]
    fn random_members_keep_count_and_errors() {
        let error = |text: &str| Value::Error(text.as_bytes().to_vec());
        assert!(same(&line("SRANDMEMBER k 2"), &bulks(&["a", "b"]), &bulks(&["c", "d"])));
        assert!(!same(&line("SRANDMEMBER k 2"), &bulks(&["a", "b"]), &bulks(&["c"])));
        assert!(!same(&line("SRANDMEMBER k 2"), &error("ERR x"), &error("ERR y")));
    }

    #[test]
    fn replies_of_a_transaction_follow_their_own_lines() {
        let reply = |value: Value| Reply { raw: format!("{value:?}").into_bytes(), value };
        let queued = || reply(Value::Simple(b"QUEUED".to_vec()));
        for (second, equal) in [("SMEMBERS k", true), ("LRANGE k 0 -1", false)] {
            let mut transaction = Transaction::default();
            let ok = || reply(Value::Simple(b"OK".to_vec()));
            assert!(transaction.same(&line("MULTI"), &ok(), &ok()));
            assert!(transaction.same(&line("PING"), &queued(), &queued()));
            assert!(transaction.same(&line(second), &queued(), &queued()));
            let all = |members| reply(Value::Array(vec![Value::Simple(b"PONG".to_vec()), members]));
            assert_eq!(transaction.same(&line("EXEC"), &all(bulks(&["a", "b"])), &all(bulks(&["b", "a"]))), equal);
        }
    }
}
