//! LMOVEM and BLMOVEM: the order of what is moved by a naive model, at once and piece by piece, what is passed on, and who waits for how
//! much.

use aleadb::server::jobs::Limits;

use crate::memory::Memory;
use crate::rng::Rng;

const NULL: &str = r"*-1\r\n";
const SYNTAX: &str = r"-ERR syntax error\r\n";
const WRONG_TYPE: &str = r"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_POSITIVE: &str = r"-ERR count should be greater than 0\r\n";

fn array(elements: &[String]) -> String {
    let each = elements.iter().map(|element| format!(r"${}\r\n{element}\r\n", element.len()));
    format!(r"*{}\r\n{}", elements.len(), each.collect::<String>())
}

fn fill(m: &mut Memory, key: &str, elements: &[String]) {
    m.run(&format!("DEL {key}"));
    if !elements.is_empty() {
        m.run(&format!("RPUSH {key} {}", elements.join(" ")));
    }
}

/// What is moved between two lists, as the manual has it: one by one, or a block in its order.
fn model(
    source: &mut Vec<String>,
    destination: Option<&mut Vec<String>>,
    ends: [&str; 2],
    count: usize,
    order: &str,
) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(if ends[0] == "LEFT" { source.remove(0) } else { source.pop().expect("there are enough") });
    }
    if order == "BULK" && ends[0] == "RIGHT" {
        taken.reverse();
    }
    let one_by_one = order == "OBO" && ends[1] == "LEFT";
    if one_by_one {
        taken.reverse();
    }
    let destination = destination.unwrap_or(source);
    let place = if ends[1] == "LEFT" { 0 } else { destination.len() };
    destination.splice(place..place, taken.iter().cloned());
    taken
}

#[test]
fn the_order_is_that_of_a_naive_model_at_once_and_piece_by_piece() {
    let mut rng = Rng::new(7);
    for (slice, pack) in [(usize::MAX, 100), (1, 100), (3, 100), (1, 3), (5, 2)] {
        for _ in 0..120 {
            let mut m = Memory::new();
            m.server.config.list_max_listpack_size = pack;
            m.server.begin_propagation();
            if slice < usize::MAX {
                m.server.jobs.limits = Limits { long: 0, slice_elements: slice, ..Limits::default() };
            }
            let mut name = 0;
            let mut list = |rng: &mut Rng| -> Vec<String> {
                (0..rng.below(9))
                    .map(|_| {
                        name += 1;
                        format!("e{name}")
                    })
                    .collect()
            };
            let (mut source, mut destination) = (list(&mut rng), list(&mut rng));
            fill(&mut m, "s", &source);
            fill(&mut m, "d", &destination);
            let mut copy = Memory::new();
            copy.server.config.list_max_listpack_size = pack;
            fill(&mut copy, "s", &source);
            fill(&mut copy, "d", &destination);
            m.take_propagated();
            let [from, to] = [0, 1].map(|_| ["LEFT", "RIGHT"][rng.below(2)]);
            let (kind, order) = (["COUNT", "EXACTLY"][rng.below(2)], ["OBO", "BULK"][rng.below(2)]);
            let is_same = rng.below(3) == 0;
            let asked = 1 + rng.below(9);
            let target = if is_same { "s" } else { "d" };
            let line = format!("LMOVEM s {target} {from} {to} {kind} {asked} {order}");
            let count = asked.min(source.len());
            let is_none = count == 0 || (kind == "EXACTLY" && count < asked);
            let expected = if is_none {
                NULL.to_owned()
            } else {
                let to_other = (!is_same).then_some(&mut destination);
                array(&model(&mut source, to_other, [from, to], count, order))
            };
            let at = format!("{line}, slices of {slice}");
            assert_eq!(m.run(&line), expected, "{at}");
            assert_eq!(m.server.jobs.counts.begun > 0, slice < usize::MAX && !is_none, "{at}: a job");
            for (key, elements) in [("s", &source), ("d", &destination)] {
                assert_eq!(m.run(&format!("LRANGE {key} 0 -1")), array(elements), "{at}: {key}");
                assert_eq!(
                    m.run(&format!("EXISTS {key}")),
                    format!(r":{}\r\n", u8::from(!elements.is_empty())),
                    "{at}"
                );
            }
            for (_, words) in m.take_propagated().concat() {
                copy.raw(&words.iter().map(Vec::as_slice).collect::<Vec<_>>());
            }
            for key in ["s", "d"] {
                let line = format!("LRANGE {key} 0 -1");
                assert_eq!(copy.run(&line), m.run(&line), "{at}: what is passed on");
            }
        }
    }
}

#[test]
fn what_is_wrong_is_refused_and_moves_nothing() {
    Memory::new().expect(&[
        ("RPUSH s a b c", r":3\r\n"),
        ("SET str v", r"+OK\r\n"),
        ("LMOVEM s d LEFT RIGHT", r"*1\r\n$1\r\na\r\n"),
        ("LMOVEM s d UP RIGHT", SYNTAX),
        ("LMOVEM s d LEFT RIGHT COUNT 2", SYNTAX),
        ("LMOVEM s d LEFT RIGHT BULK", SYNTAX),
        ("LMOVEM s d LEFT RIGHT BULK COUNT 2", SYNTAX),
        ("LMOVEM s d LEFT RIGHT COUNT 2 BULK x", SYNTAX),
        ("LMOVEM s d LEFT RIGHT COUNT 0 BULK", NOT_POSITIVE),
        ("LMOVEM s d LEFT RIGHT EXACTLY -1 OBO", NOT_POSITIVE),
        ("LMOVEM s d LEFT RIGHT COUNT 9223372036854775808 OBO", NOT_POSITIVE),
        ("LMOVEM s d LEFT RIGHT EXACTLY 3 OBO", NULL),
        ("LMOVEM str d LEFT RIGHT", WRONG_TYPE),
        ("LMOVEM s str LEFT RIGHT COUNT 2 BULK", WRONG_TYPE),
        ("LMOVEM nokey str LEFT RIGHT COUNT 2 BULK", NULL),
        ("LRANGE s 0 -1", r"*2\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("BLMOVEM s d LEFT RIGHT x", r"-ERR timeout is not a float or out of range\r\n"),
        ("BLMOVEM s d LEFT RIGHT 0 COUNT", SYNTAX),
        ("BLMOVEM str d LEFT RIGHT 0", WRONG_TYPE),
        ("BLMOVEM s d LEFT RIGHT 0 COUNT 9 bulk", r"*2\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("LRANGE d 0 -1", r"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n"),
        ("EXISTS s", r":0\r\n"),
        ("MULTI", r"+OK\r\n"),
        ("BLMOVEM s d LEFT RIGHT 0", r"+QUEUED\r\n"),
        ("EXEC", r"*1\r\n*-1\r\n"),
    ]);
}

#[test]
fn who_waits_is_served_once_there_is_enough() {
    let mut m = Memory::new();
    let (first, second) = (m.client, m.connect());
    m.client = first;
    assert_eq!(m.run("BLMOVEM s d LEFT LEFT 0 EXACTLY 3 BULK"), "");
    m.client = second;
    for _ in 0..2 {
        m.run("RPUSH s x");
        assert_eq!(m.take_sent(first), "", "there are too few");
    }
    m.run("RPUSH s y z");
    m.advance_ms(0);
    assert_eq!(m.take_sent(first), r"*3\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\ny\r\n");
    m.expect(&[
        ("LRANGE d 0 -1", r"*3\r\n$1\r\nx\r\n$1\r\nx\r\n$1\r\ny\r\n"),
        ("LRANGE s 0 -1", r"*1\r\n$1\r\nz\r\n"),
        ("DEL s", r":1\r\n"),
    ]);
    m.client = first;
    assert_eq!(m.run("BLMOVEM s d RIGHT RIGHT 0 COUNT 5 OBO"), "");
    m.client = second;
    m.run("RPUSH s 1 2");
    m.advance_ms(0);
    assert_eq!(m.take_sent(first), r"*2\r\n$1\r\n2\r\n$1\r\n1\r\n");
    m.client = first;
    assert_eq!(m.run("BLMOVEM s d RIGHT RIGHT 0.05"), "");
    m.clock.advance_ms(50);
    assert_eq!(m.wake(), [(first, NULL.to_owned())]);
}
