//! Compares the events about keys and whether a change is counted: the same generated lines must cause the same events, in
//! the same order, and count as changes in both servers or in neither.

use crate::differences;
use crate::generate::{Generator, Line};
use crate::pair::{Pair, ask};
use crate::resp::{Client, Value, encode};
use crate::rows::full_name;
use crate::server::Server;
use crate::stream::quoted;
use crate::{number, tables, wanted};

/// Every class there is.
const EVERYTHING: &str = "KEAnmoc";
/// What ends the events of a line.
const MARK: &str = "__key_mark";
/// Commands that collect whatever due keys they come across, which no two servers do alike, and one that would queue the
/// marks.
const LEFT_OUT: &[&str] = &["randomkey", "scan", "multi"];
/// Lines sent together.
const BATCH: usize = 50;

/// The events of one line: channel and message.
type Events = Vec<(String, String)>;

/// A server with somebody who acts and somebody who listens.
struct Side {
    actor: Client,
    listener: Client,
}

impl Side {
    fn new(server: &Server) -> Side {
        let mut actor = server.connect().expect("just started");
        let mut listener = server.connect().expect("just started");
        ask(&mut actor, &["FLUSHALL"]);
        // Else the moment at which a due key leaves is chance.
        ask(&mut actor, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        ask(&mut actor, &["CONFIG", "SET", "notify-keyspace-events", EVERYTHING]);
        ask(&mut listener, &["HELLO", "3"]);
        listener.send_raw(&encode(&["PSUBSCRIBE", "__key*"])).expect("still running");
        listener.read_push().expect("a confirmation");
        Side { actor, listener }
    }

    /// Runs lines; the events of each, and how many changes it counts as.
    fn run(&mut self, lines: &[Line]) -> Vec<(Events, u64)> {
        let ends = [encode(&["PUBLISH", MARK, ""]), encode(&["INFO", "persistence"])].concat();
        let bytes: Vec<u8> = lines.iter().flat_map(|line| [encode(line), ends.clone()].concat()).collect();
        let mut before = changes(&ask(&mut self.actor, &["INFO", "persistence"]));
        self.actor.send_raw(&bytes).expect("still running");
        let mut counted = Vec::new();
        for line in lines {
            let mut reply =
                || self.actor.read_reply().unwrap_or_else(|error| panic!("{}: {error}", quoted(line))).value;
            let after = [reply(), reply(), reply()].last().map_or(0, changes);
            // FLUSHALL may end with saving, which begins to count anew.
            counted.push(after.saturating_sub(std::mem::replace(&mut before, after)));
        }
        counted.into_iter().map(|changes| (self.until_mark(), changes)).collect()
    }

    fn until_mark(&mut self) -> Events {
        let mut events = Vec::new();
        loop {
            let push = self.listener.read_push().expect("the mark comes at last").value;
            let words: Vec<String> = push.items().unwrap_or_default().iter().map(|word| word.text()).collect();
            match &words[..] {
                [_, _, channel, _] if channel == MARK => return events,
                [_, _, channel, message] => events.push((channel.clone(), message.clone())),
                _ => panic!("not a message: {push:?}"),
            }
        }
    }
}

/// How many changes were counted, as INFO says.
fn changes(info: &Value) -> u64 {
    let text = info.text();
    let count = text.lines().find_map(|line| line.strip_prefix("rdb_changes_since_last_save:"));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("INFO answered {text}"))
}

fn is_sort(line: &Line) -> bool {
    line.first().is_some_and(|name| name.to_ascii_lowercase().starts_with(b"sort"))
}

fn in_order(mut events: Events) -> Events {
    events.sort();
    events
}

#[test]
fn events_match_those_of_redis() {
    let Some(pair) = Pair::start(&["--enable-debug-command", "yes"]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let known = tables::known_commands(&pair.subject);
    let first = number("ALEADB_DIFF_SEED", 1);
    let mut some = 0;
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 8) {
        let mut generator = Generator::new(seed, differences::is_barred, |name| {
            known.contains(name) && wanted(name) && !LEFT_OUT.contains(&name)
        });
        let (mut subject, mut oracle) = (Side::new(&pair.subject), Side::new(&pair.oracle));
        for _ in 0..number("ALEADB_DIFF_STEPS", 4_000) as usize / BATCH {
            let mut lines: Vec<Line> = (0..BATCH).map(|_| generator.line()).collect();
            lines.retain(|line| !differences::events_differ(&full_name(line), line));
            let (ours, theirs) = (subject.run(&lines), oracle.run(&lines));
            for ((line, (ours, our_changes)), (theirs, their_changes)) in lines.iter().zip(ours).zip(theirs) {
                some += theirs.len();
                // Of several elements that change together Redis counts some each, which is not followed.
                assert_eq!(our_changes > 0, their_changes > 0, "a change, seed {seed}: {}", quoted(line));
                // SORT looks for the keys of its patterns in the order of the elements, and a set has none.
                let (ours, theirs) = if is_sort(line) { (in_order(ours), in_order(theirs)) } else { (ours, theirs) };
                assert_eq!(ours, theirs, "seed {seed}: {}", quoted(line));
            }
        }
    }
    assert!(some > 0, "not one event");
}
