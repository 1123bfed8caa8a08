//! Arrays: every command against a naive map, at once and piece by piece; what is refused; what ARGREP and AROP find; and that arrays
//! come back from wherever data is kept.

use std::collections::BTreeMap;
use std::path::Path;

use aleadb::config::{Access, Config};
use aleadb::engine::persistence::replay::accepts;
use aleadb::persist::check::check;
use aleadb::server::jobs::Limits;
use aleadb::store::hash::KeyHasher;

use crate::loading::{disk_with_dump, settings, try_start};
use crate::memory::Memory;
use crate::rng::Rng;

const NULL: &str = r"$-1\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const BAD_INDEX: &str = r"-ERR invalid array index\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const INDEX_MAX: u64 = u64::MAX - 1;

/// What an array is: its elements, and the index of the next insertion.
#[derive(Clone, Debug, Default)]
struct Model {
    elements: BTreeMap<u64, String>,
    next: u64,
}

fn integer(n: u64) -> String {
    format!(r":{n}\r\n")
}

fn bulk(text: &str) -> String {
    format!(r"${}\r\n{text}\r\n", text.len())
}

fn array(items: Vec<String>) -> String {
    format!(r"*{}\r\n{}", items.len(), items.concat())
}

fn pairs(found: Vec<(u64, String)>) -> String {
    array(found.into_iter().map(|(index, text)| array(vec![integer(index), bulk(&text)])).collect())
}

impl Model {
    fn len(&self) -> u64 {
        self.elements.last_key_value().map_or(0, |(index, _)| index + 1)
    }

    fn get(&self, index: u64) -> String {
        self.elements.get(&index).map_or(NULL.to_owned(), |text| bulk(text))
    }

    fn set(&mut self, index: u64, text: &str) -> u64 {
        u64::from(self.elements.insert(index, text.to_owned()).is_none())
    }

    /// The elements from one index to another, in that order.
    fn range(&self, first: u64, last: u64) -> Vec<(u64, String)> {
        let inside = self.elements.range(first.min(last)..=first.max(last));
        let mut found: Vec<_> = inside.map(|(index, text)| (*index, text.clone())).collect();
        if first > last {
            found.reverse();
        }
        found
    }

    /// The positions that were written last, the newest first.
    fn newest(&self, count: u64) -> Vec<u64> {
        let len = self.len();
        let newest = if self.next == 0 || self.next > len { len.wrapping_sub(1) } else { self.next - 1 };
        (0..count.min(len)).map(|back| (newest + len - back) % len).collect()
    }

    fn ring(&mut self, size: u64, values: &[String]) -> u64 {
        let len = self.len();
        if len > 0 && (size < len || (size > len && self.next != 0 && self.next < len)) {
            let anchor = if self.next == 0 { len - 1 } else { (self.next - 1) % len };
            let back = (0..size.min(len)).map(|back| (anchor + len - back) % len);
            let mut kept: Vec<String> = back.map_while(|index| self.elements.get(&index).cloned()).collect();
            kept.reverse();
            self.next = kept.len() as u64;
            self.elements = (0..).zip(kept).collect();
        }
        for value in values {
            let index = self.next % size;
            self.set(index, value);
            self.next = index + 1;
        }
        self.next - 1
    }

    /// Does a random line, and says what is answered.
    fn step(&mut self, rng: &mut Rng) -> (String, String) {
        let near = [6, 40][rng.below(2)];
        let index = |rng: &mut Rng| [0, 0, 4090, 1 << 45][rng.below(4)] + rng.below(near) as u64;
        let (first, last) = (index(rng), index(rng));
        let values: Vec<String> = (0..1 + rng.below(6)).map(|_| format!("v{}", rng.below(30))).collect();
        let numbered: Vec<(u64, String)> = values.iter().map(|value| (index(rng), value.clone())).collect();
        let listed = values.join(" ");
        match rng.below(16) {
            0 => {
                let added = (first..).zip(&values).map(|(index, value)| self.set(index, value)).sum();
                (format!("ARSET a {first} {listed}"), integer(added))
            }
            1 => {
                let added = numbered.iter().map(|(index, value)| self.set(*index, value)).sum();
                let words: Vec<String> = numbered.iter().map(|(index, value)| format!("{index} {value}")).collect();
                (format!("ARMSET a {}", words.join(" ")), integer(added))
            }
            2 => (format!("ARGET a {first}"), self.get(first)),
            3 => {
                let found = numbered.iter().map(|(index, _)| self.get(*index)).collect();
                let words: Vec<String> = numbered.iter().map(|(index, _)| index.to_string()).collect();
                (format!("ARMGET a {}", words.join(" ")), array(found))
            }
            4 => {
                let last = first + rng.below(50) as u64;
                let found: Vec<String> = (first..=last).map(|index| self.get(index)).collect();
                if rng.below(2) == 0 {
                    return (format!("ARGETRANGE a {first} {last}"), array(found));
                }
                (format!("ARGETRANGE a {last} {first}"), array(found.into_iter().rev().collect()))
            }
            5 => (format!("ARSCAN a {first} {last}"), pairs(self.range(first, last))),
            6 => {
                let limit = 1 + rng.below(5);
                let found = self.range(first, last).into_iter().take(limit).collect();
                (format!("ARSCAN a {first} {last} LIMIT {limit}"), pairs(found))
            }
            7 => {
                let used = self.range(first, last).len() as u64;
                (format!("AROP a {first} {last} USED"), integer(used))
            }
            8 => {
                let found = self.range(0, INDEX_MAX).into_iter().filter(|(_, text)| text.contains('2'));
                let found = found.map(|(index, _)| integer(index)).collect();
                ("ARGREP a - + MATCH 2".to_owned(), array(found))
            }
            9 => (format!("ARDEL a {first} {last}"), {
                let gone = [first, last].iter().filter(|index| self.elements.remove(index).is_some()).count();
                integer(gone as u64)
            }),
            10 => {
                let other = first + rng.below(9) as u64;
                let before = self.elements.len();
                for (low, high) in [(first.min(last), first.max(last)), (first, other)] {
                    self.elements.retain(|index, _| !(low..=high).contains(index));
                }
                let gone = (before - self.elements.len()) as u64;
                (format!("ARDELRANGE a {last} {first} {first} {other}"), integer(gone))
            }
            11 => {
                for value in &values {
                    self.set(self.next, value);
                    self.next += 1;
                }
                (format!("ARINSERT a {listed}"), integer(self.next - 1))
            }
            12 => {
                let size = 1 + rng.below(12) as u64;
                let last = self.ring(size, &values);
                (format!("ARRING a {size} {listed}"), integer(last))
            }
            13 => {
                let is_there = !self.elements.is_empty();
                if is_there {
                    self.next = first;
                }
                (format!("ARSEEK a {first}"), integer(u64::from(is_there)))
            }
            14 => ("ARNEXT a".to_owned(), integer(self.next)),
            _ => {
                let count = 1 + rng.below(9) as u64;
                let mut found: Vec<String> = if self.len() > 500 {
                    return ("ARLEN a".to_owned(), integer(self.len()));
                } else {
                    self.newest(count).into_iter().map(|index| self.get(index)).collect()
                };
                if rng.below(2) == 0 {
                    return (format!("ARLASTITEMS a {count} REV"), array(found));
                }
                found.reverse();
                (format!("ARLASTITEMS a {count}"), array(found))
            }
        }
    }
}

#[test]
fn arrays_do_what_a_naive_map_does_at_once_and_piece_by_piece() {
    let mut rng = Rng::new(5);
    for slice in [usize::MAX, 1, 3, 7] {
        let (mut m, mut copy, mut model) = (Memory::new(), Memory::new(), Model::default());
        m.server.begin_propagation();
        if slice < usize::MAX {
            m.server.jobs.limits = Limits { long: 0, line: 0, slice_elements: slice, ..Limits::default() };
        }
        for step in 0..3000 {
            if step % 150 == 0 {
                model = Model::default();
                m.run("DEL a");
            }
            let before = model.clone();
            let (line, expected) = model.step(&mut rng);
            let at = format!("{line}, slices of {slice}, {before:?}");
            assert_eq!(m.run(&line), expected, "{at}");
            if model.elements.is_empty() {
                model.next = 0;
            }
            assert_eq!(m.run("ARCOUNT a"), integer(model.elements.len() as u64), "{at}");
            assert_eq!(m.run("EXISTS a"), integer(u64::from(!model.elements.is_empty())), "{at}");
            for (_, words) in m.take_propagated().concat() {
                copy.raw(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
            assert_eq!(copy.run(&format!("ARSCAN a 0 {INDEX_MAX}")), pairs(model.range(0, INDEX_MAX)), "{at}");
            assert_eq!(copy.run("ARNEXT a"), m.run("ARNEXT a"), "{at}");
        }
        assert_eq!(m.server.jobs.counts.begun > 0, slice < usize::MAX);
    }
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let mut m = Memory::new();
    let arity = |name: &str| format!(r"-ERR wrong number of arguments for \'{name}\' command\r\n");
    m.expect(&[
        ("SET s v", r"+OK\r\n"),
        ("ARSET a 0 x", r":1\r\n"),
        ("ARSET a -1 x", BAD_INDEX),
        ("ARSET a x y", BAD_INDEX),
        ("ARSET a 01 y", BAD_INDEX),
        ("ARSET a 1.0 y", BAD_INDEX),
        ("ARSET a 18446744073709551615 y", BAD_INDEX),
        ("ARSET a 18446744073709551616 y", BAD_INDEX),
        ("ARSET a 18446744073709551614 y z", BAD_INDEX),
        ("ARMSET a 1 y 2", &arity("armset")),
        ("ARMSET a 1 y x z", BAD_INDEX),
        ("ARGET nokey -1", BAD_INDEX),
        ("ARMGET nokey 1 x", BAD_INDEX),
        ("ARDEL nokey 1 x", BAD_INDEX),
        ("ARDELRANGE nokey 1 x", BAD_INDEX),
        ("ARDELRANGE a 1 2 3", &arity("ardelrange")),
        ("ARGETRANGE a 0 1000000", r"-ERR range exceeds maximum of 1000000 items\r\n"),
        ("ARGETRANGE nokey 18446744073709551614 0", r"-ERR range exceeds maximum of 1000000 items\r\n"),
        ("ARGETRANGE nokey 3 1", r"*3\r\n$-1\r\n$-1\r\n$-1\r\n"),
        ("ARSCAN a 0 1 LIMIT 0", r"-ERR LIMIT must be positive\r\n"),
        ("ARSCAN a 0 1 LIMIT x", r"-ERR value is not an integer or out of range\r\n"),
        ("ARSCAN a 0 1 COUNT 1", SYNTAX),
        ("ARSCAN a 0 1 LIMIT", &arity("arscan")),
        ("ARSCAN nokey 0 1", r"*0\r\n"),
        ("AROP a 0 1 MEAN", r"-ERR unknown operation\r\n"),
        ("AROP a 0 1 MATCH", r"-ERR MATCH requires a value argument\r\n"),
        ("AROP a 0 1 SUM x", &arity("arop")),
        ("AROP nokey 0 1 SUM", NULL),
        ("AROP nokey 0 1 AND", NULL),
        ("AROP nokey 0 1 USED", r":0\r\n"),
        ("AROP nokey 0 1 MATCH x", r":0\r\n"),
        ("ARGREP a 0 x EXACT y", BAD_INDEX),
        ("ARGREP a - + LIMIT 3", SYNTAX),
        ("ARGREP a - + EXACT", &arity("argrep")),
        ("ARGREP a - + EXACT x MATCH", SYNTAX),
        ("ARGREP a - + EXACT x NOTHING", SYNTAX),
        ("ARGREP a - + EXACT x LIMIT -1", r"-ERR LIMIT must be positive\r\n"),
        ("ARGREP a - + RE \"\"", r"-ERR regular expression is empty\r\n"),
        ("ARGREP a - + RE (x", r"-ERR invalid regular expression: unclosed group\r\n"),
        ("ARGREP a - + RE (x)\\1", r"-ERR invalid regular expression: backreferences are not supported\r\n"),
        (
            "ARGREP a - + RE (((((a{100}){100}){100}){100}){100})",
            r"-ERR invalid regular expression: it is too large\r\n",
        ),
        ("ARRING a 0 x", r"-ERR size must be positive\r\n"),
        ("ARRING a x x", r"-ERR invalid size\r\n"),
        ("ARSEEK a -1", BAD_INDEX),
        ("ARSEEK nokey 7", r":0\r\n"),
        ("ARLASTITEMS a x", r"-ERR invalid COUNT\r\n"),
        ("ARLASTITEMS a -1", r"*0\r\n"),
        ("ARLASTITEMS a 1 BACK", SYNTAX),
        ("ARINFO nokey", r"-ERR no such key\r\n"),
        ("ARINFO a ALL", SYNTAX),
        ("ARSCAN a 0 18446744073709551614", r"*1\r\n*2\r\n:0\r\n$1\r\nx\r\n"),
    ]);
    // What one expression may take up a line's many may not, all together.
    let large = " RE (a{500}){20}";
    assert_eq!(m.run(&format!("ARGREP a - +{large}")), r"*0\r\n");
    assert_eq!(
        m.run(&format!("ARGREP a - +{}", large.repeat(250))),
        r"-ERR invalid regular expression: it is too large\r\n"
    );
    assert_eq!(m.run(&format!("ARGREP a - +{}", " RE ^user:[0-9]+(:[a-z]*)?$".repeat(250))), r"*0\r\n");
    let long = format!("ARGREP a - + RE {}", "x".repeat(2049));
    assert_eq!(m.run(&long), r"-ERR regular expression is too long, maximum is 2048 bytes\r\n");
    assert_eq!(
        m.run(&format!("ARGREP a - +{}", " EXACT x".repeat(251))),
        r"-ERR too many predicates, maximum is 250\r\n"
    );
    for line in [
        "ARSET s 0 x",
        "ARMSET s 0 x",
        "ARGET s 0",
        "ARMGET s 0",
        "ARGETRANGE s 0 1",
        "ARSCAN s 0 1",
        "ARGREP s - + EXACT x",
        "AROP s 0 1 SUM",
        "ARLEN s",
        "ARCOUNT s",
        "ARDEL s 0",
        "ARDELRANGE s 0 1",
        "ARINSERT s x",
        "ARRING s 3 x",
        "ARNEXT s",
        "ARSEEK s 3",
        "ARLASTITEMS s 1",
        "ARINFO s",
        "GET a",
        "LPUSH a x",
    ] {
        assert_eq!(m.run(line), WRONG_TYPE, "{line}");
    }
}

#[test]
fn the_last_index_is_reached_and_not_passed() {
    Memory::new().expect(&[
        ("ARSET a 18446744073709551614 last", r":1\r\n"),
        ("ARLEN a", r":18446744073709551615\r\n"),
        ("ARSEEK a 18446744073709551614", r":1\r\n"),
        ("ARINSERT a x y", r"-ERR insert index overflow\r\n"),
        ("ARNEXT a", r":18446744073709551614\r\n"),
        ("ARINSERT a x", r":18446744073709551614\r\n"),
        ("ARNEXT a", NULL),
        ("ARINSERT a x", r"-ERR insert index overflow\r\n"),
        ("ARSEEK a 18446744073709551615", r":1\r\n"),
        ("ARNEXT a", NULL),
        ("ARSCAN a 18446744073709551614 0", r"*1\r\n*2\r\n:18446744073709551614\r\n$1\r\nx\r\n"),
        ("ARGREP a + - EXACT x", r"*1\r\n:18446744073709551614\r\n"),
        ("ARDELRANGE a 0 18446744073709551614", r":1\r\n"),
        ("EXISTS a", r":0\r\n"),
        ("ARNEXT a", r":0\r\n"),
    ]);
}

#[test]
fn the_array_of_the_manual_goes_round_its_ring() {
    Memory::new().expect(&[
        ("ARRING r 3 v0", r":0\r\n"),
        ("ARRING r 3 v1 v2", r":2\r\n"),
        ("ARRING r 3 v3", r":0\r\n"),
        ("ARGET r 0", r"$2\r\nv3\r\n"),
        ("ARCOUNT r", r":3\r\n"),
        ("ARLASTITEMS r 3", r"*3\r\n$2\r\nv1\r\n$2\r\nv2\r\n$2\r\nv3\r\n"),
        ("ARLASTITEMS r 2 REV", r"*2\r\n$2\r\nv3\r\n$2\r\nv2\r\n"),
        ("ARRING r 2 v4", r":0\r\n"),
        ("ARSCAN r 0 9", r"*2\r\n*2\r\n:0\r\n$2\r\nv4\r\n*2\r\n:1\r\n$2\r\nv3\r\n"),
        ("ARRING r 4 v5", r":2\r\n"),
        ("ARLASTITEMS r 9", r"*3\r\n$2\r\nv3\r\n$2\r\nv4\r\n$2\r\nv5\r\n"),
        ("TYPE r", r"+array\r\n"),
        ("OBJECT ENCODING r", r"$12\r\nsliced-array\r\n"),
        ("SCAN 0 TYPE array", r"*2\r\n$1\r\n0\r\n*1\r\n$1\r\nr\r\n"),
        ("SCAN 0 TYPE list", r"*2\r\n$1\r\n0\r\n*0\r\n"),
    ]);
}

#[test]
fn what_is_looked_for_is_found_in_the_order_of_the_range() {
    let mut m = Memory::new();
    m.run("ARSET a 10 Error warning error:disk info \"\" ERROR axb a+b");
    m.expect(&[
        ("ARGREP a - + EXACT info", r"*1\r\n:13\r\n"),
        ("ARGREP a - + EXACT error NOCASE", r"*2\r\n:10\r\n:15\r\n"),
        ("ARGREP a - + MATCH rro", r"*2\r\n:10\r\n:12\r\n"),
        ("ARGREP a - + match RRO nocase limit 2", r"*2\r\n:10\r\n:12\r\n"),
        ("ARGREP a + - MATCH RRO NOCASE LIMIT 2", r"*2\r\n:15\r\n:12\r\n"),
        ("ARGREP a 11 13 MATCH r", r"*2\r\n:11\r\n:12\r\n"),
        ("ARGREP a - + MATCH \"\" LIMIT 1", r"*1\r\n:10\r\n"),
        ("ARGREP a - + GLOB error:*", r"*1\r\n:12\r\n"),
        ("ARGREP a - + GLOB ?rror NOCASE", r"*2\r\n:10\r\n:15\r\n"),
        ("ARGREP a - + RE ^a.b$", r"*2\r\n:16\r\n:17\r\n"),
        ("ARGREP a - + RE a\\+b", r"*1\r\n:17\r\n"),
        ("ARGREP a - + RE ^e NOCASE", r"*3\r\n:10\r\n:12\r\n:15\r\n"),
        ("ARGREP a - + MATCH i MATCH n", r"*3\r\n:11\r\n:12\r\n:13\r\n"),
        ("ARGREP a - + MATCH i MATCH n AND", r"*2\r\n:11\r\n:13\r\n"),
        (
            "ARGREP a - + AND MATCH i OR MATCH f WITHVALUES",
            r"*3\r\n*2\r\n:11\r\n$7\r\nwarning\r\n*2\r\n:12\r\n$10\r\nerror:disk\r\n*2\r\n:13\r\n$4\r\ninfo\r\n",
        ),
        ("ARGREP a - + EXACT nothing", r"*0\r\n"),
        ("ARGREP nokey - + EXACT x", r"*0\r\n"),
    ]);
    m.raw(&[b"ARSET", b"bytes", b"0", b"\xff\x00A", b"\xc3\xa9"]);
    m.expect(&[
        (r#"ARGREP bytes - + RE "\\xff\\x00a" NOCASE"#, r"*1\r\n:0\r\n"),
        ("ARGREP bytes - + RE ^..$", r"*1\r\n:1\r\n"),
    ]);
}

#[test]
fn numbers_are_made_of_what_is_one() {
    let mut m = Memory::new();
    m.run("ARMSET a 3 5 9 -2.5 10 text 4097 12 1000000 7");
    m.expect(&[
        ("AROP a 0 2000000 SUM", r"$4\r\n21.5\r\n"),
        ("AROP a 2000000 0 MIN", r"$4\r\n-2.5\r\n"),
        ("AROP a 0 2000000 MAX", r"$2\r\n12\r\n"),
        ("AROP a 4 11 SUM", r"$4\r\n-2.5\r\n"),
        ("AROP a 10 10 SUM", NULL),
        ("AROP a 10 10 OR", NULL),
        ("AROP a 3 9 AND", r":4\r\n"),
        ("AROP a 3 9 OR", r":-1\r\n"),
        ("AROP a 4097 1000000 XOR", r":11\r\n"),
        ("AROP a 0 2000000 USED", r":5\r\n"),
        ("AROP a 0 2000000 MATCH text", r":1\r\n"),
        ("ARSET f 0 1e3 -0.9 inf 1e40", r":4\r\n"),
        ("AROP f 0 3 XOR", r":1000\r\n"),
        ("AROP f 0 2 SUM", r"$3\r\ninf\r\n"),
        ("ARSET f 2 inf -inf", r":0\r\n"),
        ("AROP f 0 3 SUM", r"$3\r\nnan\r\n"),
    ]);
}

#[test]
fn what_an_array_is_made_of_is_told_in_both_protocols() {
    let mut m = Memory::new();
    let values: Vec<String> = (0..100).map(|n| format!("v{n}")).collect();
    m.run(&format!("ARINSERT a {}", values.join(" ")));
    m.run("ARSET a 1000000 far");
    let numbers = [
        ("count", "101"),
        ("len", "1000001"),
        ("next-insert-index", "100"),
        ("slices", "2"),
        ("directory-size", "2"),
        ("super-dir-entries", "0"),
        ("slice-size", "4096"),
    ];
    let shown: String = numbers.iter().map(|(name, number)| bulk(name) + &format!(r":{number}\r\n")).collect();
    assert_eq!(m.run("ARINFO a"), format!(r"*14\r\n{shown}"));
    let full = m.run("ARINFO a FULL");
    m.run("HELLO 3");
    assert_eq!(m.run("ARINFO a"), format!(r"%7\r\n{shown}"));
    let more = r"$12\r\ndense-slices\r\n:1\r\n$13\r\nsparse-slices\r\n:1\r\n$14\r\navg-dense-size\r\n,100\r\n$14\r\navg-dense-fill\r\n,1\r\n$15\r\navg-sparse-size\r\n,1\r\n";
    assert_eq!(m.run("ARINFO a FULL"), format!(r"%12\r\n{shown}{more}"));
    assert!(full.starts_with(r"*24\r\n"));
    m.server.jobs.limits = Limits { long: 0, slice_elements: 1, ..Limits::default() };
    assert_eq!(m.run("ARINFO a FULL"), format!(r"%12\r\n{shown}{more}"), "slice by slice");
    m.expect(&[
        ("ARGET a 5000", r"_\r\n"),
        ("ARMGET a 0 5000", r"*2\r\n$2\r\nv0\r\n_\r\n"),
        ("ARSCAN a 99 1000000", r"*2\r\n*2\r\n:99\r\n$3\r\nv99\r\n*2\r\n:1000000\r\n$3\r\nfar\r\n"),
        ("ARGETRANGE nokey 0 1", r"*2\r\n_\r\n_\r\n"),
        ("AROP a 0 9 SUM", r"_\r\n"),
    ]);
}

const LINES: &[&str] = &[
    "ARMSET a 0 zero 5 five 4096 x 18446744073709551614 last",
    "ARSEEK a 77",
    "ARSET b 3 only",
    "PEXPIREAT b 4000000000000",
];

fn assert_there(m: &mut Memory) {
    m.expect(&[
        ("ARSCAN a 0 18446744073709551614", r"*4\r\n*2\r\n:0\r\n$4\r\nzero\r\n*2\r\n:5\r\n$4\r\nfive\r\n*2\r\n:4096\r\n$1\r\nx\r\n*2\r\n:18446744073709551614\r\n$4\r\nlast\r\n"),
        ("ARNEXT a", r":77\r\n"),
        ("ARGET b 3", r"$4\r\nonly\r\n"),
        ("ARNEXT b", r":0\r\n"),
        ("PEXPIRETIME b", r":4000000000000\r\n"),
    ]);
}

#[test]
fn arrays_come_back_from_dump_files_logs_and_payloads() {
    let disk = disk_with_dump(LINES);
    let mut m = try_start(&disk, settings(false), 100).expect("a good dump file");
    assert_there(&mut m);
    let found = check(&disk, Path::new("dump.rdb"), (0, KeyHasher::new([7; 16])), &accepts);
    assert!(found.is_good && found.text.contains("    array 2"), "{}", found.text);
    for _ in 0..2 {
        for line in ["COPY a c", "RENAME c d", "DEL a", "COPY d a"] {
            m.run(line);
        }
        assert_there(&mut m);
        let reply = m.raw(&[b"DUMP", b"a"]);
        let start = reply.iter().position(|byte| *byte == b'\n').expect("a head") + 1;
        m.run("DEL a d");
        assert_eq!(m.raw(&[b"RESTORE", b"a", b"0", &reply[start..reply.len() - 2]]), b"+OK\r\n");
        assert_there(&mut m);
        // The same piece by piece.
        m.server.jobs.limits = Limits { long: 0, slice_elements: 1, ..Limits::default() };
    }
    m.server.jobs.limits = Limits::default();
    m.expect(&[("CONFIG SET rdb-format-version 12", r"+OK\r\n")]);
    let refused = m.run("SAVE");
    assert!(refused.starts_with("-ERR the key ") && refused.contains("holds a value of the type array"), "{refused}");
    m.expect(&[("CONFIG SET rdb-format-version 0", r"+OK\r\n"), ("SAVE", r"+OK\r\n"), ("DEBUG RELOAD", r"+OK\r\n")]);
    assert_there(&mut m);
}

#[test]
fn an_array_takes_as_much_memory_as_is_said_and_gives_it_back() {
    let mut m = Memory::with_config(Config { enable_debug_command: Access::Yes, ..Config::default() });
    for n in 0..200 {
        m.run(&format!("ARSET a {} {}", n * 100, "x".repeat(1 + n % 40)));
    }
    let usage = m.run("MEMORY USAGE a");
    let bytes: usize = usage.trim_start_matches(':').trim_end_matches(r"\r\n").parse().expect("a number");
    assert!((200 * 16..200 * 16 + 14_000).contains(&bytes), "{bytes}");
    let digest = m.run("DEBUG DIGEST-VALUE a");
    m.run("COPY a b");
    assert_eq!(m.run("DEBUG DIGEST-VALUE b"), digest);
    m.run("ARSET b 0 changed");
    assert_ne!(m.run("DEBUG DIGEST-VALUE b"), digest);
    m.expect(&[("ARDELRANGE a 0 19900", r":200\r\n"), ("EXISTS a", r":0\r\n"), ("UNLINK b", r":1\r\n")]);
    assert!(m.server.dbs.iter().all(|db| db.is_empty()));
}
