//! The scripts of the workload, and what must hold while one of them holds the server.
//!
//! A script that changes data writes twins: the same text, its own, to two keys and twice to a list, with loops in between that may
//! last for many slices. Nobody may see one without the other, neither a client nor the log, unless force has ended the script in
//! between. Scripts that do not change data may have no end of their own.

use std::collections::BTreeSet;

use aleadb::command;
use aleadb::command::spec::Flags;
use aleadb::server::Server;
use aleadb::server::scripting::cache::{digest_of, hexadecimal};

use crate::generate::Line;
use crate::properties::{Property, Violation, ensure};
use crate::resp;
use crate::workload::words;

/// Both keys, as a reader asks for them.
pub const READ_TWINS: &str = "MGET twin:a twin:b";
/// What reads them all, piece by piece where commands are jobs.
pub const READ_ALL_TWINS: &str = "LRANGE twins 0 -1";
/// What takes twins from the list, each with its other.
pub const POP_TWINS: &[&str] =
    &["LMPOP 1 twins LEFT COUNT 2", "BLMPOP 0.3 1 twins LEFT COUNT 2", "BLMPOP 0 1 twins RIGHT COUNT 2"];

/// What twins are written by: the text, and the rounds of the loops.
const TWINS: &str = "
    local function spin(rounds) for i = 1, rounds do end end
    local function twins(text, before, between, after)
        spin(before)
        redis.call('SET', 'twin:a', text)
        redis.call('RPUSH', 'twins', text)
        spin(between)
        redis.call('RPUSH', 'twins', text)
        redis.call('SET', 'twin:b', text)
        spin(after)
        return text
    end";

/// Bodies of scripts that change nothing and never end.
const ENDLESS: &[&str] = &[
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end",
    "return ('a'):rep(200):find(('a?'):rep(200) .. 'b')",
    "while true do redis.pcall('PING') end",
    "while true do ('xyz'):rep(9):gsub('y', string.upper) end",
    "while true do table.sort({3, 1, 2, 5, 4}, function(a, b) return a > b end) end",
    "while true do cjson.decode(cjson.encode({1, 'two', {three = 4}})) end",
];

/// A script that changes something and then never ends.
const STUCK: &str = "redis.call('SET', 'twin:a', ARGV[1]) while true do end";

/// How a script is run.
#[derive(Clone, Copy, Debug)]
pub enum How {
    /// EVAL.
    Body,
    /// EVALSHA.
    Digest,
    /// FCALL.
    Function,
}

/// A script of the workload.
#[derive(Clone, Copy, Debug)]
pub enum Script {
    /// Writes twins, with loops of so many rounds before, between and after.
    Twins([usize; 3]),
    /// Changes nothing and never ends: one of some bodies.
    Endless(usize),
    /// Changes something and never ends.
    Stuck,
}

impl Script {
    /// A script without an end that changes nothing.
    pub fn endless(lot: usize) -> Script {
        Script::Endless(lot % ENDLESS.len())
    }

    /// The line that runs it, with a text of its own.
    pub fn line(self, how: How, text: &str) -> Line {
        let rounds = match self {
            Script::Twins(rounds) => rounds.map(|rounds| rounds.to_string()).to_vec(),
            _ => Vec::new(),
        };
        let body = match self {
            Script::Twins(_) => format!("{TWINS} return twins(ARGV[1], ARGV[2], ARGV[3], ARGV[4])"),
            Script::Endless(index) => ENDLESS[index].to_owned(),
            Script::Stuck => STUCK.to_owned(),
        };
        let first = match (how, self) {
            (How::Function, Script::Twins(_)) => ["FCALL".to_owned(), "twins".to_owned()],
            (How::Function, Script::Endless(_)) => ["FCALL".to_owned(), "endless".to_owned()],
            (How::Digest, _) => ["EVALSHA".to_owned(), hexadecimal(&digest_of(body.as_bytes())).to_string()],
            _ => ["EVAL".to_owned(), body],
        };
        let last = ["0", text].map(str::to_owned);
        first.into_iter().chain(last).chain(rounds).map(String::into_bytes).collect()
    }
}

/// The line that makes the functions known.
pub fn load_functions() -> Line {
    let code = format!(
        "#!lua name=simulated\n{TWINS}
        redis.register_function('twins', function(keys, arguments) return twins(unpack(arguments)) end)
        redis.register_function('endless', function() while true do pcall(function() while true do end end) end end)"
    );
    [&b"FUNCTION"[..], b"LOAD", b"REPLACE", code.as_bytes()].map(<[u8]>::to_vec).to_vec()
}

/// A line about scripts, of which it is known that the one that runs may be ended by force, or not.
pub fn about_scripts(lot: usize, forces: bool) -> Line {
    match lot % 16 {
        0..4 => words("SCRIPT KILL"),
        4..7 => words("FUNCTION KILL"),
        7 | 8 if forces => words("SCRIPT KILL FORCE"),
        9 => words("SCRIPT FLUSH"),
        10 => words("SCRIPT FLUSH SYNC"),
        11 => words("FUNCTION FLUSH"),
        12 => words("FUNCTION STATS"),
        13 => words("FUNCTION DELETE simulated"),
        _ => load_functions(),
    }
}

/// What must stand still while one script holds the server through a whole turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// When the script began.
    started_ns: u64,
    keys_expired: u64,
    queries_evaluated: u64,
    /// Runs of commands that others are not allowed meanwhile, and that no script of the workload calls.
    calls: u64,
    /// The log's position.
    position: u64,
}

impl Held {
    /// Of the script that holds the server, if one does.
    pub fn of(server: &Server) -> Option<Held> {
        let running = server.scripting.running.as_ref().filter(|_| server.scripting.is_parked())?;
        Some(Held {
            started_ns: running.started_ns,
            keys_expired: server.dbs.expired(),
            queries_evaluated: server.stats.watch_evaluations,
            calls: calls(server),
            position: server.propagation.position(),
        })
    }

    /// What must hold behind a turn before which the server was held like this.
    pub fn check(before: Option<Held>, server: &Server) -> Result<(), Violation> {
        let after = Held::of(server);
        let is_same = before.zip(after).is_some_and(|(before, after)| before.started_ns == after.started_ns);
        ensure(!is_same || before == after, Property::NothingBehindAScript, || {
            format!("a script held the server, and {before:?} became {after:?}")
        })?;
        // What was asked for has come in the same turn.
        let killed = server.scripting.running.as_ref().and_then(|running| running.killed);
        ensure(killed.is_none(), Property::KilledAtOnce, || format!("a script that was killed goes on: {killed:?}"))
    }
}

/// Commands that waited before may end their wait.
const OTHERS: Flags = Flags::ALLOW_BUSY.with(Flags::BLOCKING);

fn calls(server: &Server) -> u64 {
    let rows = command::all().iter().flat_map(|row| std::iter::once(row).chain(&row.subcommands));
    let is_counted = |row: &&command::Command| {
        !row.spec.flags.has(OTHERS) && !["SET", "RPUSH", "PING", "SLEEP"].contains(&row.spec.name)
    };
    rows.filter(is_counted).map(|row| server.stats.by_command[row.id].calls).sum()
}

/// What the log would hold, and what clients were told of their scripts.
#[derive(Debug, Default)]
pub struct Log {
    /// The texts of the twins that it has.
    written: BTreeSet<String>,
    /// Those of which a client was told that its script has run.
    told: BTreeSet<String>,
    /// Those of which a client was told that its script has failed.
    failed: BTreeSet<String>,
}

impl Log {
    /// A client was told that its script has run, or not.
    pub fn note(&mut self, text: String, has_run: bool) {
        if has_run { &mut self.told } else { &mut self.failed }.insert(text);
    }

    /// How often twins were written, and how often a script ended without.
    pub fn reached(&self) -> [(&'static str, u64); 2] {
        [("twins written", self.written.len() as u64), ("scripts that wrote nothing", self.failed.len() as u64)]
    }

    /// Takes what a turn has passed on: of twins all or nothing is in one unit.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        let fail = |what: String| Err(Violation::new(Property::ScriptsWhole, what));
        let Ok((lines, used)) = resp::decode_whole(bytes) else { return fail("the log is not RESP".to_owned()) };
        if used < bytes.len() {
            return fail("the log ends within a command".to_owned());
        }
        let (mut unit, mut is_open) = (Vec::new(), false);
        for line in &lines {
            let words: Vec<String> = line.items().unwrap_or_default().iter().map(resp::Value::text).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match &*words {
                ["MULTI"] => is_open = true,
                ["EXEC"] => is_open = false,
                ["SET", "twin:a" | "twin:b", text] | ["RPUSH", "twins", text] => unit.push((*text).to_owned()),
                _ => {}
            }
            if !is_open {
                for text in std::mem::take(&mut unit).chunks(4) {
                    if text.len() != 4 || text.iter().any(|other| *other != text[0]) {
                        return fail(format!("a unit of the log has {text:?} of twins"));
                    }
                    self.written.insert(text[0].clone());
                }
            }
        }
        Ok(())
    }

    /// What was told is true.
    pub fn check(&self) -> Result<(), Violation> {
        let lost: Vec<_> = self.told.difference(&self.written).collect();
        ensure(lost.is_empty(), Property::ScriptsWhole, || format!("{lost:?} ran and are not in the log"))?;
        let halves: Vec<_> = self.failed.intersection(&self.written).collect();
        ensure(halves.is_empty(), Property::ScriptsWhole, || format!("{halves:?} failed and are in the log"))
    }
}
