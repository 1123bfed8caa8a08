//! Lines written by hand, for what the generator does not write or what only a certain state shows; and the shape of INFO.

use crate::differences;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value};
use std::collections::BTreeMap;

/// A pair of the version that we follow, and a client of each.
fn clients() -> Option<(Pair, Client, Client)> {
    let pair = Pair::start(&[])?;
    if !pair.is_target_version() {
        return None;
    }
    let [subject, oracle] = [&pair.subject, &pair.oracle].map(|server| server.connect().expect("just started"));
    Some((pair, subject, oracle))
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

/// Sends both servers the same lines; their replies must be the same to the byte.
fn compare<'l>(subject: &mut Client, oracle: &mut Client, lines: impl IntoIterator<Item = &'l str>) {
    let mut sent = Vec::new();
    for line in lines {
        let [ours, theirs] =
            [&mut *subject, &mut *oracle].map(|client| client.call(&words(line)).expect("still running"));
        assert_eq!(ours.raw.escape_ascii().to_string(), theirs.raw.escape_ascii().to_string(), "{line} after {sent:?}");
        sent.push(line);
    }
}

/// What a server without replicas, cluster and monitoring answers.
const STANDALONE: &[&str] = &[
    "WAIT 0 0",
    "WAIT 1 5",
    "WAIT -1 5",
    "WAIT x 0",
    "WAIT 1 x",
    "WAIT 0 -1",
    "WAIT 1 9223372036854775807",
    "WAITAOF 0 0 0",
    "WAITAOF 0 1 5",
    "WAITAOF 1 0 5",
    "WAITAOF 2 0 5",
    "WAITAOF x 0 0",
    "WAITAOF 0 -1 0",
    "WAITAOF 0 x 0",
    "WAITAOF 0 0 x",
    "WAITAOF 1 0 x",
    "WAITAOF 0 0 -1",
    "MODULE HELP",
    "MODULE LOAD /x.so",
    "MODULE LOADEX /x.so CONFIG a b",
    "MODULE UNLOAD x",
    "MODULE FOO",
    "CLUSTER",
    "CLUSTER FOO",
    "CLUSTER HELP",
    "CLUSTER INFO",
    "CLUSTER KEYSLOT foo",
    "CLUSTER KEYSLOT",
    "CLUSTER SLOTS",
    "READONLY",
    "READWRITE",
    "ASKING",
    "ASKING x",
    "REPLICAOF NO ONE",
    "SLAVEOF no one",
    "REPLICAOF 127.0.0.1 x",
    "REPLICAOF 127.0.0.1 65536",
    "REPLICAOF 127.0.0.1 -1",
    "REPLICAOF x",
    "FAILOVER",
    "FAILOVER ABORT",
    "FAILOVER ABORT FORCE",
    "FAILOVER ABORT ABORT",
    "FAILOVER ABORT TIMEOUT -1",
    "FAILOVER TO h 80 ABORT TIMEOUT x",
    "FAILOVER FORCE",
    "FAILOVER FORCE TIMEOUT x",
    "FAILOVER TO h 80 FORCE TIMEOUT 10",
    "FAILOVER TO h x",
    "FAILOVER TO h",
    "FAILOVER TO h 80 TO h 80",
    "FAILOVER TIMEOUT 0",
    "FAILOVER TIMEOUT",
    "FAILOVER TIMEOUT 1 TIMEOUT 1",
    "LATENCY LATEST",
    "LATENCY LATEST x",
    "LATENCY HISTORY command",
    "LATENCY RESET",
    "LATENCY RESET a b",
    "LATENCY GRAPH command",
    "LATENCY HISTOGRAM nosuch",
    "LATENCY HELP",
    "LATENCY FOO",
    "INFO cluster",
    "INFO hotkeys",
    "LOLWUT VERSION x",
    "LOLWUT VERSION 5 x",
    "LOLWUT VERSION 6 1 x",
    "FOO",
    "FOO a b",
];

#[test]
fn standalone_answers_match_redis() {
    let Some((_pair, mut subject, mut oracle)) = clients() else { return };
    compare(&mut subject, &mut oracle, STANDALONE.iter().copied());
    for client in [&mut subject, &mut oracle] {
        ask(client, &["HELLO", "3"]);
    }
    compare(&mut subject, &mut oracle, STANDALONE.iter().copied());
}

/// Trims that mind references. DELREF meets no entry that was deleted and has references, as Redis overlooks those.
#[test]
fn trims_with_references_match_redis() {
    let Some((_pair, mut subject, mut oracle)) = clients() else { return };
    for seed in 0..40_u32 {
        let mut lines: Vec<String> = ["FLUSHALL", "CONFIG SET stream-node-max-entries 4"].map(str::to_owned).to_vec();
        lines.extend((1..=14).map(|id| format!("XADD s {id}-1 f v")));
        lines.extend(["XGROUP CREATE s g 0", "XGROUP CREATE s h 3-1"].map(str::to_owned));
        lines.push(format!("XREADGROUP GROUP g c COUNT {} STREAMS s >", 1 + seed % 9));
        lines.push(format!("XREADGROUP GROUP h c COUNT {} STREAMS s >", 1 + seed % 5));
        lines.extend((1..=1 + seed % 4).map(|id| format!("XACK s g {id}-1")));
        let references = ["ACKED", "DELREF", "KEEPREF"][seed as usize / 2 % 3];
        for step in 0..5 {
            let (sign, keep) = (if seed % 3 == 0 { "=" } else { "~" }, 12 - 2 * step - seed % 3);
            let limit = if sign == "~" && seed % 4 == 1 { format!(" LIMIT {}", seed % 7) } else { String::new() };
            let threshold =
                if seed % 2 == 0 { format!("MAXLEN {sign} {keep}") } else { format!("MINID {sign} {}", 14 - keep) };
            lines.push(format!("XTRIM s {threshold}{limit} {references}"));
            lines.push(format!("XADD s {references} {threshold}{limit} {}-7 f v", 20 + step));
            lines.extend(["XRANGE s - +", "XPENDING s g", "XPENDING s h"].map(str::to_owned));
        }
        compare(&mut subject, &mut oracle, lines.iter().map(String::as_str));
    }
}

/// The picture that LOLWUT answers, without the line that names the server.
fn picture(client: &mut Client, line: &str) -> String {
    let text = ask(client, &words(line)).text();
    text.split_once("Redis ver.").map(|(picture, _)| picture.to_owned()).unwrap_or_else(|| panic!("{line}: {text}"))
}

/// Nothing is left to chance in the first two rows of squares.
#[test]
fn lolwut_squares_match_redis() {
    let Some((_pair, mut subject, mut oracle)) = clients() else { return };
    for columns in [-1, 1, 2, 3, 5, 7, 10, 20, 31, 40, 66, 99, 500, 2000] {
        for across in [0, 1, 2, 3, 5, 8, 13, 50, 300] {
            for down in [-5, 1, 2] {
                let line = format!("LOLWUT VERSION 5 {columns} {across} {down}");
                assert_eq!(picture(&mut subject, &line), picture(&mut oracle, &line), "{line}");
            }
        }
    }
}

#[test]
fn lolwut_pictures_have_the_size_of_redis_s() {
    let Some((_pair, mut subject, mut oracle)) = clients() else { return };
    let size = |picture: String| -> Vec<usize> {
        // The codes of colours are of different lengths.
        picture
            .lines()
            .map(|line| if line.starts_with('\x1b') { line.matches("m ").count() } else { line.chars().count() })
            .collect()
    };
    for line in ["5", "5 20", "5 40 4 30", "6", "6 30", "6 100 40", "6 0 0", "6 2000 2", "4", "7 1 2", "123456"] {
        let line = format!("LOLWUT VERSION {line}");
        assert_eq!(size(picture(&mut subject, &line)), size(picture(&mut oracle, &line)), "{line}");
    }
}

/// The names of the fields of each section of INFO.
fn sections(client: &mut Client) -> BTreeMap<String, Vec<String>> {
    let text = ask(client, &["INFO", "default"]).text();
    let mut sections: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut title = String::new();
    for line in text.lines() {
        match (line.strip_prefix("# "), line.split_once(':')) {
            (Some(name), _) => {
                title = name.to_owned();
                sections.entry(title.clone()).or_default();
            }
            (None, Some((name, _))) => sections.entry(title.clone()).or_default().push(name.to_owned()),
            (None, None) => {}
        }
    }
    sections
}

#[test]
fn info_has_the_fields_of_redis_in_its_order() {
    let Some((_pair, mut subject, mut oracle)) = clients() else { return };
    for client in [&mut subject, &mut oracle] {
        assert_eq!(ask(client, &["SET", "k", "v"]), Value::Simple(b"OK".to_vec()));
        ask(client, &["NOSUCH"]);
    }
    let (mut ours, mut theirs) = (sections(&mut subject), sections(&mut oracle));
    theirs.retain(|title, _| differences::INFO_NOT_BUILT.iter().all(|(name, _)| name != title));
    for fields in theirs.values_mut() {
        fields.retain(|field| differences::INFO_NOT_BUILT.iter().all(|(name, _)| name != field));
    }
    for (title, fields) in &mut ours {
        let known = theirs.get(title).cloned().unwrap_or_default();
        fields.retain(|field| known.contains(field) || !differences::INFO_OF_OURS.contains(&field.as_str()));
    }
    assert_eq!(ours, theirs);
}
