//! Compares what clients with caches are told: the same generated lines must have the same keys told of, whether a client has read
//! them before or has asked for all.

use aleadb::command;
use aleadb::command::spec::Flags;

use crate::differences;
use crate::generate::{Generator, Line};
use crate::pair::{Pair, ask};
use crate::resp::Client;
use crate::rows::full_name;
use crate::server::Server;
use crate::stream::quoted;
use crate::{number, tables, wanted};

/// What ends the messages of a line.
const MARK: &str = "__mark";
/// Commands that collect whatever due keys they come across, which no two servers do alike; one that would queue the marks; and
/// one of which Redis tells nobody, so that whoever has read a key of either database holds what it is not; and one for tests, that
/// changes a form and tells nobody of it.
const LEFT_OUT: &[&str] = &["randomkey", "scan", "multi", "swapdb", "pfdebug"];

/// What a client was told: the keys of each message, or that everything may have changed.
type Told = Vec<Option<Vec<String>>>;

/// A server with somebody who changes data, somebody who reads and is told of that, and somebody who is told of everything.
struct Side {
    writer: Client,
    reader: Client,
    listener: Client,
}

impl Side {
    fn new(server: &Server) -> Side {
        let mut writer = server.connect().expect("just started");
        ask(&mut writer, &["FLUSHALL"]);
        // Else the moment at which a due key leaves is chance.
        ask(&mut writer, &["DEBUG", "SET-ACTIVE-EXPIRE", "0"]);
        let told = |options: &[&str]| {
            let mut client = server.connect().expect("just started");
            ask(&mut client, &["HELLO", "3"]);
            ask(&mut client, &[&["CLIENT", "TRACKING", "ON"], options].concat());
            client.send_raw(&crate::resp::encode(&["SUBSCRIBE", MARK])).expect("still running");
            client.read_push().expect("a confirmation");
            client
        };
        Side { writer, reader: told(&[]), listener: told(&["BCAST"]) }
    }

    /// Runs a line: by the reader, if it only reads. What each is told.
    fn run(&mut self, line: &Line, reads: bool) -> [Told; 2] {
        let client = if reads { &mut self.reader } else { &mut self.writer };
        client.call(line).unwrap_or_else(|error| panic!("{}: {error}", quoted(line)));
        ask(&mut self.writer, &["PUBLISH", MARK, ""]);
        [until_mark(&mut self.reader), until_mark(&mut self.listener)]
    }
}

fn until_mark(client: &mut Client) -> Told {
    let mut told = Told::new();
    loop {
        let push = client.read_push().expect("the mark comes at last").value;
        match push.items() {
            Some([kind, ..]) if kind.text() == "message" => return told,
            Some([kind, keys]) if kind.text() == "invalidate" => {
                told.push(keys.items().map(|keys| keys.iter().map(|key| key.text()).collect()));
            }
            _ => panic!("no message: {push:?}"),
        }
    }
}

fn is_sort(line: &Line) -> bool {
    line.first().is_some_and(|name| name.to_ascii_lowercase().starts_with(b"sort"))
}

/// True for a line that changes nothing but the keys that are due.
fn only_reads(line: &Line) -> bool {
    let Some(command) = command::lookup(&line[0]) else { return false };
    let sub = line.get(1).and_then(|name| command.subcommand(name));
    sub.unwrap_or(command).spec.flags.has(Flags::READONLY)
}

#[test]
fn what_caches_are_told_matches_redis() {
    let Some(pair) = Pair::start(&["--enable-debug-command", "yes"]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let known = tables::known_commands(&pair.subject);
    let first = number("ALEADB_DIFF_SEED", 1);
    let mut some = [0; 2];
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 4) {
        let mut generator = Generator::new(seed, differences::is_barred, |name| {
            known.contains(name) && wanted(name) && !LEFT_OUT.contains(&name)
        });
        let (mut subject, mut oracle) = (Side::new(&pair.subject), Side::new(&pair.oracle));
        for _ in 0..number("ALEADB_DIFF_STEPS", 1_500) {
            let line = generator.line();
            if differences::events_differ(&full_name(&line), &line) {
                continue;
            }
            let reads = only_reads(&line);
            let (mut ours, mut theirs) = (subject.run(&line, reads), oracle.run(&line, reads));
            if is_sort(&line) {
                // It looks for the keys of its patterns in the order of the elements, and a set has none.
                ours.iter_mut().chain(&mut theirs).for_each(|told| told.sort());
            }
            for (count, told) in some.iter_mut().zip(&theirs) {
                *count += told.len();
            }
            assert_eq!(ours, theirs, "seed {seed}: {}", quoted(&line));
        }
    }
    assert!(some.iter().all(|count| *count > 50), "{some:?} messages");
}
