//! Compares what glob patterns match: keys with KEYS, and, whatever the case, names of commands with COMMAND LIST.

use std::collections::BTreeSet;

use crate::number;
use crate::pair::{Pair, ask};
use crate::resp::Client;
use crate::rng::Rng;

/// Pieces of patterns: what is special, alone and in every odd place, and what names are made of.
const PIECES: &[&[u8]] = &[
    b"*",
    b"*",
    b"?",
    b"[",
    b"]",
    b"^",
    b"-",
    b"\\",
    b"[^",
    b"[]",
    b"[^]",
    b"[a-c]",
    b"[c-a]",
    b"[^a-b]",
    b"[\\]",
    b"[a\\-z]",
    b"[a-",
    b"[\xff-a]",
    b"[A-b]",
    b"[-z]",
    b"\xff",
    b"\x80",
    b"a",
    b"b",
    b"A",
    b"B",
    b"ab",
    b"aab",
    b"z",
    b"\\*",
    b"\\a",
    b"**",
];
const NAME_PIECES: &[&[u8]] = &[
    b"a", b"a", b"b", b"A", b"B", b"ab", b"aab", b"z", b"-", b"[", b"]", b"^", b"\\", b"*", b"?", b"\xff", b"\x80",
    b"c", b"\x7f",
];
/// Pieces of patterns for names of commands.
const WORD_PIECES: &[&[u8]] = &[
    b"*", b"*", b"?", b"[a-G]", b"[^x]", b"[SG]", b"[\\S]", b"e", b"E", b"get", b"SET", b"s", b"Z", b"h", b"\\x",
    b"r[-z", b"|",
];

fn text(rng: &mut Rng, pieces: &[&[u8]], count_max: usize) -> Vec<u8> {
    (0..rng.below(count_max + 1)).flat_map(|_| rng.pick(pieces).to_vec()).collect()
}

fn names(client: &mut Client, args: &[&[u8]]) -> BTreeSet<String> {
    ask(client, args).items().unwrap_or_default().iter().map(|name| name.text()).collect()
}

#[test]
fn globs_match_what_they_do_in_redis() {
    let Some(pair) = Pair::start(&[]) else { return };
    let mut rng = Rng::new(number("ALEADB_DIFF_SEED", 1));
    let mut clients = [&pair.subject, &pair.oracle].map(|server| server.connect().expect("just started"));
    for _ in 0..400 {
        let name = text(&mut rng, NAME_PIECES, 6);
        clients.iter_mut().for_each(|client| _ = ask(client, &[b"SET".as_slice(), &name, b"v"]));
    }
    let mut hits = 0;
    for _ in 0..4_000 {
        let pattern = text(&mut rng, PIECES, 6);
        let [ours, theirs] = clients.each_mut().map(|client| names(client, &[b"KEYS".as_slice(), &pattern]));
        assert_eq!(ours, theirs, "KEYS {}", pattern.escape_ascii());
        hits += ours.len();
    }
    assert!(hits > 10_000, "the patterns should match something: {hits}");
    if !pair.is_target_version() {
        return;
    }
    let [ours, theirs] = clients.each_mut().map(|client| names(client, &[b"COMMAND", b"LIST"]));
    let common: BTreeSet<_> = ours.intersection(&theirs).cloned().collect();
    for _ in 0..1_000 {
        let pattern = text(&mut rng, WORD_PIECES, 5);
        let args = [b"COMMAND".as_slice(), b"LIST", b"FILTERBY", b"PATTERN", &pattern];
        let [ours, theirs] = clients.each_mut().map(|client| &names(client, &args) & &common);
        assert_eq!(ours, theirs, "{}", pattern.escape_ascii());
    }
}
