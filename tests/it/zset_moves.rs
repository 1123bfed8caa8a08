//! ZMOVE, BZMOVE and ZMOVEMEMBER: what is moved by a naive model, at once and piece by piece, what is passed on, and who waits.

use std::collections::BTreeMap;

use aleadb::server::jobs::Limits;

use crate::memory::Memory;
use crate::rng::Rng;

const NULL: &str = r"*-1\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_POSITIVE: &str = r"-ERR count should be greater than 0\r\n";

/// Members and their scores.
type Model = BTreeMap<String, i64>;

fn array(elements: &[String]) -> String {
    let each = elements.iter().map(|element| format!(r"${}\r\n{element}\r\n", element.len()));
    format!(r"*{}\r\n{}", elements.len(), each.collect::<String>())
}

fn in_order(model: &Model) -> Vec<(i64, String)> {
    let mut all: Vec<_> = model.iter().map(|(member, score)| (*score, member.clone())).collect();
    all.sort();
    all
}

/// What ZRANGE WITHSCORES answers of a model.
fn shown(model: &Model) -> String {
    let flat: Vec<String> =
        in_order(model).into_iter().flat_map(|(score, member)| [member, score.to_string()]).collect();
    array(&flat)
}

fn fill(m: &mut Memory, key: &str, model: &Model) {
    m.run(&format!("DEL {key}"));
    for (member, score) in model {
        m.run(&format!("ZADD {key} {score} {member}"));
    }
}

fn random(rng: &mut Rng) -> Model {
    (0..rng.below(12)).map(|_| (format!("m{}", rng.below(16)), rng.below(6) as i64)).collect()
}

/// A line, and the members that it is to move of a source to a destination.
fn line_and_moved(rng: &mut Rng, source: &Model, destination: &Model) -> (String, Vec<String>) {
    let mut ordered: Vec<(i64, String)> = in_order(source);
    let count = 1 + rng.below(9);
    let names = |moved: Vec<(i64, String)>| moved.into_iter().map(|(_, member)| member).collect::<Vec<_>>();
    match rng.below(5) {
        0 => (format!("ZMOVE s d MIN COUNT {count}"), names(ordered.into_iter().take(count).collect())),
        1 => {
            ordered.reverse();
            (format!("ZMOVE s d MAX COUNT {count}"), names(ordered.into_iter().take(count).collect()))
        }
        2 => {
            let (min, max) = (rng.below(6) as i64, rng.below(7) as i64);
            let limit = [usize::MAX, count][rng.below(2)];
            let option = if limit == usize::MAX { String::new() } else { format!(" COUNT {limit}") };
            ordered.retain(|(score, _)| *score >= min && *score < max);
            (format!("ZMOVE s d BYSCORE {min} ({max}{option}"), names(ordered.into_iter().take(limit).collect()))
        }
        _ => {
            let members: Vec<String> = (0..count).map(|_| format!("m{}", rng.below(16))).collect();
            let condition = ["", "NX ", "XX "][rng.below(3)];
            let mut moved: Vec<String> = Vec::new();
            for member in &members {
                let fits = condition.is_empty() || destination.contains_key(member) == (condition == "XX ");
                if source.contains_key(member) && fits && !moved.contains(member) {
                    moved.push(member.clone());
                }
            }
            (format!("ZMOVEMEMBER s d {condition}MEMBERS {count} {}", members.join(" ")), moved)
        }
    }
}

#[test]
fn what_is_moved_is_that_of_a_naive_model_at_once_and_piece_by_piece() {
    let mut rng = Rng::new(11);
    let mut jobs = 0;
    for (slice, pack) in [(usize::MAX, 128), (1, 128), (3, 128), (1, 3), (5, 2)] {
        for _ in 0..150 {
            let (mut m, mut copy) = (Memory::new(), Memory::new());
            m.server.begin_propagation();
            if slice < usize::MAX {
                m.server.jobs.limits = Limits { long: 0, slice_elements: slice, ..Limits::default() };
            }
            let (mut source, mut destination) = (random(&mut rng), random(&mut rng));
            for memory in [&mut m, &mut copy] {
                memory.server.config.zset_max_listpack_entries = pack;
                fill(memory, "s", &source);
                fill(memory, "d", &destination);
            }
            m.take_propagated();
            let before = m.server.jobs.counts.begun;
            let (line, moved) = line_and_moved(&mut rng, &source, &destination);
            let at = format!("{line}, slices of {slice}, {source:?} {destination:?}");
            let expected = if moved.is_empty() { NULL.to_owned() } else { array(&moved) };
            assert_eq!(m.run(&line), expected, "{at}");
            jobs += m.server.jobs.counts.begun - before;
            for member in &moved {
                let score = source.remove(member).expect("it was there");
                destination.insert(member.clone(), score);
            }
            for (_, words) in m.take_propagated().concat() {
                copy.raw(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
            for (key, model) in [("s", &source), ("d", &destination)] {
                for memory in [&mut m, &mut copy] {
                    assert_eq!(memory.run(&format!("ZRANGE {key} 0 -1 WITHSCORES")), shown(model), "{at}: {key}");
                    let exists = format!(r":{}\r\n", u8::from(!model.is_empty()));
                    assert_eq!(memory.run(&format!("EXISTS {key}")), exists, "{at}: {key}");
                }
            }
        }
    }
    assert!(jobs > 200, "{jobs} of them were moved piece by piece");
}

#[test]
fn what_is_wrong_is_refused_and_moves_nothing() {
    Memory::new().expect(&[
        ("ZADD s 1 a 2 b 3 c", r":3\r\n"),
        ("ZADD d 9 a", r":1\r\n"),
        ("SET str v", r"+OK\r\n"),
        ("ZMOVE s d", r"-ERR wrong number of arguments for \'zmove\' command\r\n"),
        ("ZMOVE s d LEFT", SYNTAX),
        ("ZMOVE s d MIN 1", SYNTAX),
        ("ZMOVE s d MIN COUNT", SYNTAX),
        ("ZMOVE s d MIN COUNT 1 COUNT 1", SYNTAX),
        ("ZMOVE s d MAX COUNT 0", NOT_POSITIVE),
        ("ZMOVE s d MAX COUNT -1", NOT_POSITIVE),
        ("ZMOVE s d MAX COUNT 9223372036854775808", NOT_POSITIVE),
        ("ZMOVE s d BYSCORE", SYNTAX),
        ("ZMOVE s d BYSCORE 1", SYNTAX),
        ("ZMOVE s d BYSCORE 1 x", r"-ERR min or max is not a float\r\n"),
        ("ZMOVE s d BYSCORE 1 2 COUNT 0", NOT_POSITIVE),
        ("ZMOVE s d BYSCORE 2 1", NULL),
        ("ZMOVE str d MIN", WRONG_TYPE),
        ("ZMOVE s str MIN", WRONG_TYPE),
        ("ZMOVE nokey str MIN", NULL),
        ("ZMOVE s s MIN", NULL),
        ("ZMOVE str str MIN", NULL),
        ("BZMOVE s d BYSCORE 0 1 2", SYNTAX),
        ("BZMOVE s d MIN x", r"-ERR timeout is not a float or out of range\r\n"),
        ("BZMOVE s d MIN -1", r"-ERR timeout is negative\r\n"),
        ("BZMOVE s d MIN 0 COUNT 0", NOT_POSITIVE),
        ("BZMOVE s s MIN 0", NULL),
        ("BZMOVE no no MIN 0", NULL),
        ("BZMOVE s str MIN 0", WRONG_TYPE),
        ("ZMOVEMEMBER s d NX XX MEMBERS 1 a", SYNTAX),
        ("ZMOVEMEMBER s d GT MEMBERS 1 a", SYNTAX),
        ("ZMOVEMEMBER s d XX MEMBERS 1", r"-ERR The `nummembers` parameter must match the number of arguments\r\n"),
        ("ZMOVEMEMBER s d MEMBERS 0 a", r"-ERR Number of members must be a positive integer\r\n"),
        ("ZMOVEMEMBER s d MEMBERS -1 a", r"-ERR Number of members must be a positive integer\r\n"),
        ("ZMOVEMEMBER s d MEMBERS x a", r"-ERR Number of members must be a positive integer\r\n"),
        ("ZMOVEMEMBER s d MEMBERS 2 a", r"-ERR The `nummembers` parameter must match the number of arguments\r\n"),
        (
            "ZMOVEMEMBER s d MEMBERS 9223372036854775807 a",
            r"-ERR The `nummembers` parameter must match the number of arguments\r\n",
        ),
        ("ZMOVEMEMBER s str MEMBERS 1 a", WRONG_TYPE),
        ("ZMOVEMEMBER str d MEMBERS 1 a", WRONG_TYPE),
        ("ZMOVEMEMBER nokey str MEMBERS 1 a", NULL),
        ("ZMOVEMEMBER str str MEMBERS 1 a", NULL),
        ("ZMOVEMEMBER s d NX MEMBERS 2 a x", NULL),
        ("ZRANGE s 0 -1 WITHSCORES", r"*6\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n3\r\n"),
        ("ZRANGE d 0 -1 WITHSCORES", r"*2\r\n$1\r\na\r\n$1\r\n9\r\n"),
    ]);
}

#[test]
fn a_destination_keeps_its_deadline_and_a_new_one_has_none() {
    let mut m = Memory::new();
    m.run("HELLO 3");
    m.expect(&[
        ("ZADD s 1 a 2 b 3 c", r":3\r\n"),
        ("ZADD d 9 a", r":1\r\n"),
        ("EXPIRE s 100", r":1\r\n"),
        ("EXPIRE d 50", r":1\r\n"),
        ("zmove s d min", r"*1\r\n$1\r\na\r\n"),
        ("ZSCORE d a", r",1\r\n"),
        ("TTL d", r":50\r\n"),
        ("TTL s", r":100\r\n"),
        ("ZMOVE nokey new MAX", r"_\r\n"),
        ("zmovemember s new xx members 1 c", r"_\r\n"),
        ("zmovemember s new nx members 3 c x c", r"*1\r\n$1\r\nc\r\n"),
        ("TTL new", r":-1\r\n"),
        ("ZMOVE s new MAX COUNT 5", r"*1\r\n$1\r\nb\r\n"),
        ("EXISTS s", r":0\r\n"),
        ("ZSCORE new b", r",2\r\n"),
    ]);
}

#[test]
fn who_waits_is_served_by_the_source_alone() {
    let mut m = Memory::new();
    let (first, second) = (m.client, m.connect());
    m.client = first;
    m.server.begin_propagation();
    assert_eq!(m.run("BZMOVE s d MAX 0 COUNT 2"), "");
    m.client = second;
    m.run("ZADD d 1 x");
    assert_eq!(m.take_sent(first), "", "the destination wakes nobody");
    m.run("ZADD s 1 a 2 b 3 c");
    m.advance_ms(0);
    assert_eq!(m.take_sent(first), r"*2\r\n$1\r\nc\r\n$1\r\nb\r\n");
    let last = m.take_propagated().concat().pop().expect("something is passed on").1;
    assert_eq!(last, ["ZMOVE", "s", "d", "MAX", "COUNT", "2"].map(|word| word.as_bytes().to_vec()));
    m.client = first;
    m.expect(&[
        ("BZMOVE s d MIN 0", r"*1\r\n$1\r\na\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("BZMOVE s d MIN 0", r"+QUEUED\r\n"),
        ("EXEC", r"*1\r\n*-1\r\n"),
        ("BZMOVE s d MIN 0.05", ""),
    ]);
    m.clock.advance_ms(50);
    assert_eq!(m.wake(), [(first, NULL.to_owned())]);
    // Who waits for what arrives is woken by it.
    assert_eq!(m.run("BZPOPMIN e 0"), "");
    m.client = second;
    m.run("ZMOVE d e MIN");
    m.advance_ms(0);
    assert_eq!(m.take_sent(first), r"*3\r\n$1\r\ne\r\n$1\r\na\r\n$1\r\n1\r\n");
}
