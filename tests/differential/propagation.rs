//! What every write command propagates: the commands that go to the append-only file and to replicas in its place.
//!
//! `propagation.txt` holds the facts: lines, and what Redis 8.6 appends to its file for each. It describes its own form.

use crate::aof::{self, Logged};
use crate::generate::{Generator, Line};
use crate::memory::START_MS;
use crate::ours::Ours;
use crate::pair::Pair;
use crate::resp::Value;
use crate::rows::full_name;
use crate::stream::quoted;
use crate::{differences, number, rows, wanted};
use aleadb::base::quote::split_args;
use aleadb::command::spec::syntax::{Arg, parse_command};
use std::collections::BTreeMap;

/// The facts, checked by hand.
const FACTS: &str = include_str!("propagation.txt");

/// The client of lines that name none, which never waits for others.
pub const FIRST: char = 'A';

/// A command that was propagated, or a `MULTI` or `EXEC` around several of one line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    /// The database it is meant for.
    pub db: usize,
    /// The command.
    pub words: Line,
}

/// What a line led to.
pub struct Outcome {
    /// The reply; none while the client waits.
    pub reply: Option<Value>,
    /// What was propagated before the reply, also for clients that the line served.
    pub sent: Vec<Sent>,
}

/// A server that tells what it propagates.
pub trait Recorder {
    /// Empties it, with no clients and the settings it began with. Due keys stay until something looks at them.
    fn reset(&mut self);
    /// Sends a line for the client of that letter and waits for the reply, or until the client waits.
    fn run(&mut self, client: char, line: &Line) -> Outcome;
    /// Lets time go by.
    fn pass_ms(&mut self, ms: u64) -> Vec<Sent>;
    /// Has due keys and fields collected.
    fn collect_due(&mut self) -> Vec<Sent>;
    /// The clock, in milliseconds since 1970.
    fn now_ms(&self) -> i64;
    /// By how much its clock may be off when a line runs.
    fn apart_ms(&self) -> i64;
}

/// What happens in a step of a scene.
enum Action {
    /// A client sends a line.
    Line(char, Line),
    /// A client adds so many members to a set.
    Members(Line),
    /// So many milliseconds go by.
    Pass(u64),
    /// Due keys and fields are collected.
    Collect,
}

struct Step {
    /// Number of its line in the file.
    number: usize,
    /// As it stands in the file, without what it propagates.
    text: &'static str,
    action: Action,
    /// What Redis propagates; none for a step that only prepares the next ones.
    expected: Option<&'static str>,
    /// What we propagate, if that is something else.
    ours: Option<&'static str>,
}

/// Who is asked for the facts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Redis,
    Ours,
}

struct Scene {
    title: &'static str,
    steps: Vec<Step>,
}

fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<Scene> = Vec::new();
    for (at, line) in FACTS.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        if let Some(title) = line.strip_prefix("== ") {
            scenes.push(Scene { title, steps: Vec::new() });
            continue;
        }
        let steps = &mut scenes.last_mut().expect("a title comes first").steps;
        if let Some(ours) = line.strip_prefix("ours (") {
            let (reason, ours) = ours.split_once("): ").expect("a reason");
            let known = differences::PROPAGATION_REASONS.iter().any(|(name, _)| *name == reason);
            assert!(known, "line {}: {reason} is not a reason", at + 1);
            steps.last_mut().expect("a fact comes first").ours = Some(ours);
            continue;
        }
        let (text, expected) = line.split_once(" => ").map_or((line, None), |(text, expected)| (text, Some(expected)));
        steps.push(Step { number: at + 1, text, action: action(text), expected, ours: None });
    }
    scenes
}

fn action(text: &'static str) -> Action {
    let words = |text: &str| split_args(text.as_bytes()).unwrap_or_else(|| panic!("open quotes: {text}"));
    let Some(what) = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')) else {
        let (client, text) = match text.split_once(": ") {
            Some((client, text)) if client.len() == 1 => (client.chars().next().unwrap_or(FIRST), text),
            _ => (FIRST, text),
        };
        return Action::Line(client, words(text));
    };
    match what.split(' ').collect::<Vec<_>>()[..] {
        ["expire"] => Action::Collect,
        ["pass", ms] => Action::Pass(ms.parse().expect("milliseconds")),
        ["members", key, count] => {
            let count: usize = count.parse().expect("a number");
            let members = (0..count).map(|index| format!("m{index}").into_bytes());
            Action::Members([b"SADD".to_vec(), key.into()].into_iter().chain(members).collect())
        }
        _ => panic!("no such step: {text}"),
    }
}

impl Step {
    /// Runs it; what was propagated as the file would have it, and whether that is what is expected.
    fn run(&self, recorder: &mut impl Recorder, whose: Whose) -> (String, bool) {
        let mut reply = None;
        let mut sent = match &self.action {
            Action::Line(client, line) => {
                let outcome = recorder.run(*client, line);
                reply = outcome.reply;
                outcome.sent
            }
            Action::Members(line) => recorder.run(FIRST, line).sent,
            Action::Pass(ms) => recorder.pass_ms(*ms),
            Action::Collect => recorder.collect_due(),
        };
        let (now_ms, apart_ms) = (recorder.now_ms(), recorder.apart_ms());
        let other = self.ours.filter(|_| whose == Whose::Ours);
        let mut expected: Vec<&str> = other.or(self.expected).unwrap_or_default().split(" | ").collect();
        if matches!(self.action, Action::Collect) {
            // In any order, and together or not.
            sent.retain(|sent| sent.words.len() > 1);
            sent.sort();
            expected.sort_unstable();
        }
        let shown = if sent.is_empty() { vec![NOTHING.to_owned()] } else { sent.iter().map(Sent::shown).collect() };
        let mut members = Vec::new();
        let same = shown.len() == expected.len()
            && (expected.iter().zip(&shown)).all(|(expected, shown)| {
                let (expected, shown) = (split_words(expected), split_words(shown));
                let (fixed, any) = match expected.iter().position(|word| *word == MEMBERS) {
                    Some(at) => (at, shown.len() > at),
                    None => (expected.len(), shown.len() == expected.len()),
                };
                any && {
                    members.extend(shown[fixed..].iter().map(|word| (*word).to_owned()));
                    expected[..fixed]
                        .iter()
                        .zip(&shown)
                        .all(|(expected, shown)| word_fits(expected, shown, now_ms, apart_ms))
                }
            });
        let popped = reply.map(|reply| texts(&reply)).unwrap_or_default();
        members.sort();
        (shown.join(" | "), same && (members.is_empty() || members == popped))
    }
}

/// What stands for a line that propagates nothing.
const NOTHING: &str = "(nothing)";

/// What stands for the members that the line has popped.
const MEMBERS: &str = "<members>";

impl Sent {
    /// A mark around several commands of one line, which is for no database.
    pub fn mark(word: &str) -> Sent {
        Sent { db: 0, words: vec![word.into()] }
    }

    /// The commands of one line, with the marks around several.
    pub fn unit(commands: Vec<Sent>) -> Vec<Sent> {
        match commands.len() {
            0 | 1 => commands,
            _ => [Sent::mark("MULTI")].into_iter().chain(commands).chain([Sent::mark("EXEC")]).collect(),
        }
    }

    /// As the facts have it.
    fn shown(&self) -> String {
        let db = if self.db == 0 { String::new() } else { format!("[{}] ", self.db) };
        db + &quoted(&self.words)
    }
}

/// Words in quotes have no spaces that matter here: both sides are written alike.
fn split_words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

/// The strings of a reply, in order of their bytes.
fn texts(reply: &Value) -> Vec<String> {
    let mut texts: Vec<String> = match reply.items() {
        Some(items) => items.iter().flat_map(texts).collect(),
        None => reply.bytes().map(|bytes| quoted(&vec![bytes.to_vec()])).into_iter().collect(),
    };
    texts.sort();
    texts
}

/// Whether a word is the expected one, or is of the kind that the expected one describes.
fn word_fits(expected: &str, word: &str, now_ms: i64, apart_ms: i64) -> bool {
    let near =
        |text: &str, offset_ms: i64| text.parse::<i64>().is_ok_and(|ms| (ms - now_ms - offset_ms).abs() <= apart_ms);
    if expected == "<id>" {
        return word.split_once('-').is_some_and(|(ms, count)| near(ms, 0) && count.parse::<u64>().is_ok());
    }
    match expected.strip_prefix("<ms").and_then(|rest| rest.strip_suffix('>')) {
        Some("") => near(word, 0),
        Some(offset_ms) => near(word, offset_ms.parse().expect("a number with its sign")),
        None => expected == word,
    }
}

/// Runs all scenes; the steps that do not propagate what the facts say, as the file would have them.
fn wrong_facts(recorder: &mut impl Recorder, whose: Whose, takes_part: impl Fn(&Scene) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for scene in scenes().into_iter().filter(takes_part) {
        recorder.reset();
        for step in scene.steps {
            let (shown, right) = step.run(recorder, whose);
            if step.expected.is_some() && !right {
                wrong.push(format!("line {}, {}: {} => {shown}", step.number, scene.title, step.text));
            }
        }
    }
    wrong
}

/// The facts are Redis's.
#[test]
fn redis_appends_what_the_facts_say() {
    let Some(server) = Pair::start_oracle(aof::SETTINGS) else { return };
    let wrong = wrong_facts(&mut Logged::new(server), Whose::Redis, |_| true);
    assert!(wrong.is_empty(), "{} facts are otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// And those of the version before, but for what has changed since.
#[test]
fn redis_8_2_appends_what_the_facts_say() {
    let Some(server) = Pair::start_named("ALEADB_REDIS_8", aof::SETTINGS) else { return };
    let mut wrong = wrong_facts(&mut Logged::new(server), Whose::Redis, |_| true);
    wrong.retain(|fact| !differences::fact_is_newer_than_8_2(fact));
    assert!(wrong.is_empty(), "{} facts are otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

/// The words that a command's syntax knows.
fn tokens(args: &[Arg]) -> Vec<String> {
    args.iter().flat_map(|arg| arg.token.iter().cloned().chain(tokens(&arg.children))).collect()
}

/// Whoever adds a command that writes, or an option, says what it propagates.
#[test]
fn every_option_of_every_write_command_has_its_fact() {
    let lines: Vec<Line> = scenes()
        .into_iter()
        .flat_map(|scene| scene.steps)
        .filter(|step| step.expected.is_some())
        .filter_map(|step| match step.action {
            Action::Line(_, line) => Some(line.iter().map(|word| word.to_ascii_uppercase()).collect()),
            _ => None,
        })
        .collect();
    let mut missing = Vec::new();
    for row in rows::all() {
        let name = row.full_name();
        // What MIGRATE passes on depends on another server: `tests/it/migrate.rs` has it.
        if rows::is_ours(name) || !row.has_flag("write") || name == "migrate" {
            continue;
        }
        let names: Line = name.split('|').map(|word| word.to_ascii_uppercase().into_bytes()).collect();
        let own: Vec<&Line> = lines.iter().filter(|line| line.starts_with(&names)).collect();
        if own.is_empty() {
            missing.push(name.to_owned());
        }
        let args = parse_command(name, row.command.spec.syntax).expect("checked with the rows");
        for token in tokens(&args) {
            if !own.iter().any(|line| line.iter().any(|word| word == token.as_bytes())) {
                missing.push(format!("{name} {token}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in propagation.txt: {missing:#?}");
}

/// Commands of which no generated stream has lines: whoever comes across due keys collects them, which no two servers do
/// alike.
const LEFT_OUT: &[&str] = &["randomkey", "scan"];

/// How many lines one stream has, unless told otherwise.
const STEPS: u64 = 2_000;

/// How many differences are told of.
const REPORTS_MAX: usize = 40;

/// No number that is not a time in milliseconds is as large: the year 2000.
const EARLIEST_MS: i64 = 946_684_800_000;

/// Words that one of the servers leaves as they were spelt, and the other does not, as well as names of commands.
const KEYWORDS: &[&[u8]] = &[b"FIELDS", b"NX", b"XX", b"GT", b"LT"];

/// What two servers may differ in when they propagate the same line.
#[derive(Clone, Copy)]
struct Leeway {
    /// Our clock and theirs.
    clocks_ms: (i64, i64),
    /// How far times may be from each other, seen from these.
    apart_ms: u64,
    /// The line draws members of a set by lot.
    by_lot: bool,
}

/// The same as [`alike`] but for consumers that only we say were made, with the reason given in `differences`.
fn alike_but_for_consumers(ours: &[Sent], theirs: &[Sent], leeway: Leeway) -> bool {
    let is_mark = |sent: &Sent| [Sent::mark("MULTI"), Sent::mark("EXEC")].contains(sent);
    let only_ours =
        |sent: &Sent| sent.words.get(1).is_some_and(|word| word == b"CREATECONSUMER") && !theirs.contains(sent);
    let ours: Vec<Sent> = ours.iter().filter(|sent| !is_mark(sent) && !only_ours(sent)).cloned().collect();
    alike(&Sent::unit(ours), theirs, leeway)
}

/// Whether two servers propagate a line alike: the same times, or times as far from their clocks.
fn alike(ours: &[Sent], theirs: &[Sent], leeway: Leeway) -> bool {
    let Leeway { clocks_ms, apart_ms, by_lot } = leeway;
    let time = |word: &[u8]| {
        let ms: Option<i64> = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
        ms.filter(|ms| *ms > EARLIEST_MS)
    };
    let same_word = |at: usize, ours: &Vec<u8>, theirs: &Vec<u8>| {
        let near = |ours, theirs| i64::abs_diff(ours - clocks_ms.0, theirs - clocks_ms.1) <= apart_ms;
        let is_name = at == 0 || KEYWORDS.iter().any(|word| theirs.eq_ignore_ascii_case(word));
        is_name && ours.eq_ignore_ascii_case(theirs)
            || ours == theirs
            || time(ours).zip(time(theirs)).is_some_and(|(ours, theirs)| near(ours, theirs))
    };
    let same = |ours: &Sent, theirs: &Sent| {
        let fixed = if by_lot && theirs.words[0] == b"SREM" { 2 } else { theirs.words.len() };
        ours.db == theirs.db
            && ours.words.len() == theirs.words.len()
            && (0..fixed).all(|at| same_word(at, &ours.words[at], &theirs.words[at]))
    };
    ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
}

fn listed(sent: &[Sent]) -> String {
    let shown: Vec<String> = sent.iter().map(Sent::shown).collect();
    if shown.is_empty() { NOTHING.to_owned() } else { shown.join(" | ") }
}

/// Sends both recorders the streams of all seeds; what they propagate differently, once for each command, ours first.
fn differences_in_streams(ours: &mut impl Recorder, theirs: &mut impl Recorder) -> Vec<String> {
    let mut reports = BTreeMap::new();
    let (mut count, first) = (0, number("ALEADB_DIFF_SEED", 1));
    for seed in first..first + number("ALEADB_DIFF_SEEDS", 4) {
        let mut generator =
            Generator::new(seed, differences::is_barred, |name| wanted(name) && !LEFT_OUT.contains(&name));
        ours.reset();
        theirs.reset();
        let mut queued: Vec<Line> = Vec::new();
        for step in 0..number("ALEADB_DIFF_STEPS", STEPS) {
            let line = generator.line();
            let (our, their) = (ours.run(FIRST, &line), theirs.run(FIRST, &line));
            let is_queued = their.reply == Some(Value::Simple(b"QUEUED".to_vec()));
            // In a transaction a line that is refused at once neither ends it nor propagates.
            let is_refused =
                !queued.is_empty() && full_name(&line) != "exec" && their.reply.is_some_and(|r| r.is_error());
            queued.push(line);
            if (is_queued || is_refused) && our.sent.is_empty() {
                continue;
            }
            count += their.sent.len();
            let lines = std::mem::take(&mut queued);
            let leeway = Leeway {
                clocks_ms: (ours.now_ms(), theirs.now_ms()),
                apart_ms: (ours.apart_ms() + theirs.apart_ms()).unsigned_abs(),
                by_lot: lines.iter().any(|line| full_name(line) == "spop"),
            };
            let excused = lines.iter().any(|line| differences::propagates_otherwise(&full_name(line), line).is_some());
            let is_alike =
                alike(&our.sent, &their.sent, leeway) || alike_but_for_consumers(&our.sent, &their.sent, leeway);
            if !excused && !is_alike {
                let name = lines.last().map(|line| full_name(line)).unwrap_or_default();
                let lines: Vec<String> = lines.iter().map(quoted).collect();
                let (ours, theirs) = (listed(&our.sent), listed(&their.sent));
                let report = format!("seed {seed}, step {step}: {}\n    {ours}\n    {theirs}", lines.join("; "));
                reports.entry(name).or_insert(report);
            }
        }
    }
    assert!(count > 0, "nothing was propagated");
    reports.into_values().take(REPORTS_MAX).collect()
}

/// Scenes that show what is not built.
fn is_built(scene: &Scene) -> bool {
    differences::SCENES_NOT_BUILT.iter().all(|(title, _)| *title != scene.title)
}

#[test]
fn we_propagate_what_the_facts_say() {
    let wrong = wrong_facts(&mut Ours::at_ms(START_MS), Whose::Ours, is_built);
    assert!(wrong.is_empty(), "{} facts are otherwise:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn streams_propagate_as_in_redis() {
    let Some(server) = Pair::start_oracle(aof::SETTINGS) else { return };
    let mut redis = Logged::new(server);
    let found = differences_in_streams(&mut Ours::at_ms(redis.now_ms()), &mut redis);
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}
