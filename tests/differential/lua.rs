//! Scripts of our own, which our server and Redis must answer alike, byte for byte, in both versions of the protocol.
//!
//! The files in `lua` hold them by subject. `== title` begins an entry: an empty server without scripts and functions, and new
//! clients. Then each line is a step, and its words are quoted as for redis-cli:
//!
//! - `? code` runs a script of one line, without keys.
//! - `= expressions` runs one that gives their values as text, types and all (`lua/show.lua`).
//! - Lines that begin with `>` are one script. `<script>` in the lines after it stands for it, `<sha>` for its digest; where no
//!   line names either before the next script, it is run without keys where it stands.
//! - `B: LINE` is sent by another client than the first. `B waits: LINE` is sent by one that is to wait, and `B gets` reads the
//!   reply that it then gets. `A starts: LINE` does not wait for anything, and `B is told that it is busy` tries until that is so.
//! - `own: LINE` has a reply that is each server's own. Only its kind is compared; `<reply>` in later lines stands for its bytes.
//! - `needs: COMMANDS`, the first line of an entry, names commands without which it says nothing: it is run where both servers know
//!   them.
//! - Any other line is a command. Lines that begin with `#` are comments.
//! - `ours (reason): REPLY` under a step is what we answer instead, escaped; the reasons are among the differences. There is one
//!   such line for each reply that we may give.

use crate::generate::Line;
use crate::pair::{Pair, ask};
use crate::resp::{Client, Reply, encode};
use crate::server::{Server, wait_until};
use crate::{differences, tables};
use aleadb::base::quote::split_args;
use sha1_smol::Sha1;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

/// The client of lines that name none.
const FIRST: char = 'A';

/// How long it may take until a client waits, or is told that a script runs.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// How many differences are told of.
const REPORTS_MAX: usize = 30;

/// How much of a reply a report shows.
const SHOWN_BYTES_MAX: usize = 700;

const SHOW: &str = include_str!("lua/show.lua");

enum Action {
    Send(Line),
    /// The same, and the client then waits.
    Wait(Line),
    /// The line is sent, and that is all.
    Start(Line),
    /// A script runs for so long that the client is told so.
    MeetBusy,
    /// The reply that a waiting client has got.
    Receive,
}

struct Step {
    /// Number of its line in the file.
    number: usize,
    text: &'static str,
    client: char,
    action: Action,
    /// Each server's reply is its own.
    is_own: bool,
    /// What we answer instead; nothing when it has to be the same.
    ours: Vec<&'static str>,
}

struct Entry {
    title: &'static str,
    /// Full names of the commands without which it says nothing.
    needs: Vec<&'static str>,
    steps: Vec<Step>,
}

/// A script of several lines.
#[derive(Default)]
struct Script {
    code: String,
    number: usize,
    /// At which step of its entry it stands.
    at: usize,
    is_named: bool,
}

impl Script {
    /// Puts its step where it stands, unless a line has named it.
    fn finish(self, entries: &mut [Entry]) {
        if let (Some(entry), false) = (entries.last_mut(), self.is_named || self.code.is_empty()) {
            let step = Step::send(self.number, "(the script)", eval(&self.code));
            entry.steps.insert(self.at, step);
        }
    }
}

fn eval(code: &str) -> Line {
    vec![b"EVAL".to_vec(), code.as_bytes().to_vec(), b"0".to_vec()]
}

/// A script of one line that gives the values of expressions as text.
fn eval_shown(expressions: &str) -> Line {
    let show: Vec<&str> = SHOW.lines().map(str::trim).filter(|line| !line.starts_with("--")).collect();
    eval(&format!("{} return show({expressions})", show.join(" ")))
}

impl Step {
    fn send(number: usize, text: &'static str, line: Line) -> Step {
        Step { number, text, client: FIRST, action: Action::Send(line), is_own: false, ours: Vec::new() }
    }

    fn parse(number: usize, text: &'static str, script: &mut Script) -> Step {
        if let Some(code) = text.strip_prefix("? ") {
            return Step::send(number, text, eval(code));
        }
        if let Some(expressions) = text.strip_prefix("= ") {
            return Step::send(number, text, eval_shown(expressions));
        }
        let (client, rest) = match text.chars().next() {
            Some(client @ 'A'..='Z') if text[1..].starts_with([':', ' ']) => (client, &text[1..]),
            _ => (FIRST, text),
        };
        let (action, is_own) = if rest == " gets" {
            (Action::Receive, false)
        } else if rest == " is told that it is busy" {
            (Action::MeetBusy, false)
        } else if let Some(line) = rest.strip_prefix(" starts: ") {
            (Action::Start(script.words(number, line)), false)
        } else if let Some(line) = rest.strip_prefix(" waits: ") {
            (Action::Wait(script.words(number, line)), false)
        } else if let Some(line) = rest.strip_prefix("own: ") {
            (Action::Send(script.words(number, line)), true)
        } else {
            (Action::Send(script.words(number, rest.strip_prefix(": ").unwrap_or(rest))), false)
        };
        Step { number, text, client, action, is_own, ours: Vec::new() }
    }
}

impl Script {
    /// The words of a line, which may name this script.
    fn words(&mut self, number: usize, line: &str) -> Line {
        let words = split_args(line.as_bytes()).unwrap_or_else(|| panic!("line {number}: open quotes"));
        words
            .into_iter()
            .map(|word| {
                let stands_for = match &word[..] {
                    b"<script>" => self.code.clone(),
                    b"<sha>" => Sha1::from(&self.code).digest().to_string(),
                    _ => return word,
                };
                assert!(!self.code.is_empty(), "line {number}: no script comes before it");
                self.is_named = true;
                stands_for.into_bytes()
            })
            .collect()
    }
}

fn entries(text: &'static str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut script = Script::default();
    let mut in_script = false;
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line)) {
        if let Some(code) = line.strip_prefix('>') {
            if !std::mem::replace(&mut in_script, true) {
                std::mem::take(&mut script).finish(&mut entries);
                let at = entries.last().expect("a title comes first").steps.len();
                script = Script { number, at, ..Script::default() };
            } else {
                script.code.push('\n');
            }
            script.code.push_str(code.strip_prefix(' ').unwrap_or(code));
            continue;
        }
        in_script = false;
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line.strip_prefix("== ") {
            std::mem::take(&mut script).finish(&mut entries);
            entries.push(Entry { title, needs: Vec::new(), steps: Vec::new() });
        } else if let Some(names) = line.strip_prefix("needs: ") {
            entries.last_mut().expect("a title comes first").needs = names.split(' ').collect();
        } else if let Some(ours) = line.strip_prefix("ours (") {
            let (reason, ours) = ours.split_once("): ").expect("a reason");
            let is_known = differences::SCRIPT_REASONS.iter().any(|(name, _)| *name == reason);
            assert!(is_known, "line {number}: {reason} is not a reason");
            let steps = &mut entries.last_mut().expect("a title comes first").steps;
            steps.last_mut().expect("a step comes first").ours.push(ours);
        } else {
            let step = Step::parse(number, line, &mut script);
            entries.last_mut().expect("a title comes first").steps.push(step);
        }
    }
    script.finish(&mut entries);
    entries
}

/// One of the servers, with the clients of an entry.
struct Side<'s> {
    server: &'s Server,
    protocol: &'static str,
    clients: BTreeMap<char, Client>,
    /// The last reply that was its own.
    own: Vec<u8>,
}

impl<'s> Side<'s> {
    fn reset(server: &'s Server, protocol: &'static str) -> Side<'s> {
        let mut client = server.connect().expect("still running");
        for line in [&["FLUSHALL"][..], &["SCRIPT", "FLUSH"], &["FUNCTION", "FLUSH"]] {
            assert_eq!(ask(&mut client, line).bytes(), Some(&b"OK"[..]), "{line:?}");
        }
        Side { server, protocol, clients: BTreeMap::new(), own: Vec::new() }
    }

    fn client(&mut self, name: char) -> &mut Client {
        self.clients.entry(name).or_insert_with(|| {
            let mut client = self.server.connect().expect("still running");
            ask(&mut client, &["HELLO", self.protocol]);
            client
        })
    }

    /// What answers a step, or what is wrong with the answer. None when there is nothing to be read.
    fn run(&mut self, step: &Step) -> Option<Result<Vec<u8>, String>> {
        let client = self.client(step.client);
        let reply = match &step.action {
            Action::Receive => client.read_reply(),
            Action::Start(line) => {
                client.send_raw(&encode(line)).expect("still running");
                return None;
            }
            Action::MeetBusy => {
                let mut reply = None;
                wait_until(WAIT_MAX, || {
                    let latest = client.call(&["PING"]).expect("still running");
                    let is_busy = latest.raw.starts_with(b"-BUSY");
                    reply = Some(latest);
                    is_busy
                });
                Ok(reply.expect("asked at least once"))
            }
            Action::Send(line) => self.call(step, line),
            Action::Wait(line) => {
                client.send_raw(&encode(line)).expect("still running");
                let mut other = self.server.connect().expect("still running");
                let waits = wait_until(WAIT_MAX, || {
                    ask(&mut other, &["INFO", "clients"]).text().lines().any(|line| line == "blocked_clients:1")
                });
                return (!waits).then(|| Err("the client does not wait".to_owned()));
            }
        };
        Some(reply.map(|reply| reply.raw).map_err(|error| {
            // What follows on a broken connection would say nothing.
            self.clients.remove(&step.client);
            error.to_string()
        }))
    }

    fn call(&mut self, step: &Step, line: &Line) -> io::Result<Reply> {
        let own = self.own.clone();
        let line: Line = line.iter().map(|word| if word == b"<reply>" { own.clone() } else { word.clone() }).collect();
        let mut reply = self.client(step.client).call(&line)?;
        if step.is_own {
            self.own = reply.value.bytes().unwrap_or_default().to_vec();
            reply.raw.truncate(1);
        }
        Ok(reply)
    }
}

fn shown(reply: &Result<Vec<u8>, String>) -> String {
    match reply {
        Ok(raw) => raw.escape_ascii().to_string(),
        Err(error) => format!("({error})"),
    }
}

/// Two replies, cut to the part where they differ if they are long.
fn shown_apart(pair: [Option<Result<Vec<u8>, String>>; 2]) -> [String; 2] {
    let whole = pair.map(|reply| reply.as_ref().map(shown).unwrap_or_default());
    let same = whole[0].bytes().zip(whole[1].bytes()).take_while(|(ours, theirs)| ours == theirs).count();
    whole.map(|text| match text.len() {
        0..=SHOWN_BYTES_MAX => text,
        _ => {
            let from = same.saturating_sub(SHOWN_BYTES_MAX / 2);
            format!("...{}...", &text[from..text.len().min(from + SHOWN_BYTES_MAX)])
        }
    })
}

/// Runs all entries of a file on both servers.
fn compare(file: &str, text: &'static str) {
    let Some(pair) = Pair::start(&["--enable-debug-command", "yes"]) else { return };
    if !pair.is_target_version() {
        return;
    }
    let known = [&pair.subject, &pair.oracle].map(tables::known_commands);
    let is_known = |name: &&str| known.iter().all(|known| known.contains(*name));
    let mut reports = Vec::new();
    for entry in entries(text).into_iter().filter(|entry| entry.needs.iter().all(is_known)) {
        assert!(!entry.steps.is_empty(), "{file}: {} has no steps", entry.title);
        for protocol in ["2", "3"] {
            let [mut subject, mut oracle] = [&pair.subject, &pair.oracle].map(|server| Side::reset(server, protocol));
            for step in &entry.steps {
                let (ours, theirs) = (subject.run(step), oracle.run(step));
                let excused = ours.as_ref().is_some_and(|ours| step.ours.contains(&&*shown(ours)));
                if ours != theirs && !excused {
                    let [ours, theirs] = shown_apart([ours, theirs]);
                    reports.push(format!(
                        "{file}, line {} ({}), protocol {protocol}: {}\n    ours:  {ours}\n    redis: {theirs}",
                        step.number, entry.title, step.text
                    ));
                }
            }
        }
    }
    let count = reports.len();
    reports.truncate(REPORTS_MAX);
    assert!(count == 0, "{count} differences\n{}", reports.join("\n"));
}

#[test]
fn the_language_of_scripts_is_that_of_redis() {
    compare("language.txt", include_str!("lua/language.txt"));
}

#[test]
fn numbers_of_scripts_are_those_of_redis() {
    compare("numbers.txt", include_str!("lua/numbers.txt"));
}

#[test]
fn errors_of_scripts_are_those_of_redis() {
    compare("errors.txt", include_str!("lua/errors.txt"));
}

#[test]
fn strings_and_tables_of_scripts_are_those_of_redis() {
    compare("strings.txt", include_str!("lua/strings.txt"));
}

#[test]
fn the_sandbox_of_scripts_is_that_of_redis() {
    compare("sandbox.txt", include_str!("lua/sandbox.txt"));
}

#[test]
fn what_scripts_call_answers_as_in_redis() {
    compare("api.txt", include_str!("lua/api.txt"));
}

#[test]
fn values_and_replies_of_scripts_convert_as_in_redis() {
    compare("conversions.txt", include_str!("lua/conversions.txt"));
}

#[test]
fn libraries_of_scripts_give_what_those_of_redis_give() {
    compare("libraries.txt", include_str!("lua/libraries.txt"));
}

#[test]
fn commands_that_run_scripts_answer_as_in_redis() {
    compare("commands.txt", include_str!("lua/commands.txt"));
}

#[test]
fn functions_answer_as_in_redis() {
    compare("functions.txt", include_str!("lua/functions.txt"));
}

#[test]
fn scripts_of_applications_answer_as_in_redis() {
    compare("applications.txt", include_str!("lua/applications.txt"));
}

#[test]
fn busy_scripts_are_told_of_and_killed_as_in_redis() {
    compare("busy.txt", include_str!("lua/busy.txt"));
}
