//! Runs streams of generated lines against both servers and reports the first difference of each as a short script.
//!
//! Lines go out in pipelines, so that replies arrive as applications get them and the run is quick. When a reply differs,
//! the stream is run again from an empty database, line by line, and then cut down: parts are left out for as long as the
//! same command still differs.

use crate::compare::Transaction;
use crate::differences;
use crate::generate::{EVERYTHING, Generator, Line};
use crate::pair::{Pair, ask};
use crate::resp::{Client, Reply, Value, encode};
use crate::rng::Rng;
use crate::rows::full_name;
use crate::state;
use std::time::{Duration, Instant};

/// The state is compared after so many lines, and at the end.
const STATE_EVERY: usize = 500;

/// How long one failure may be cut down.
const SHRINK_S_MAX: u64 = 12;

/// Collections grow out of their compact forms after a few elements under these settings, the defaults otherwise.
const LIMITS: &[(&str, &str, &str)] = &[
    ("hll-sparse-max-bytes", "3000", "60"),
    ("hash-max-listpack-entries", "128", "6"),
    ("hash-max-listpack-value", "64", "20"),
    ("list-max-listpack-size", "-2", "5"),
    ("list-compress-depth", "0", "1"),
    ("set-max-intset-entries", "512", "6"),
    ("set-max-listpack-entries", "128", "8"),
    ("set-max-listpack-value", "64", "20"),
    ("zset-max-listpack-entries", "128", "6"),
    ("zset-max-listpack-value", "64", "20"),
    ("stream-node-max-entries", "100", "5"),
];

/// Sets when collections leave their compact forms: early, or as they do by default.
pub fn set_limits(client: &mut Client, tight: bool) {
    for (name, normal, early) in LIMITS {
        // A version that does not know the setting has nothing to make tight.
        ask(client, &["CONFIG", "SET", name, if tight { early } else { normal }]);
    }
}

/// How a stream is run.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Decides the lines and everything else that is drawn.
    pub seed: u64,
    /// How many lines.
    pub steps: usize,
    /// Version 2 or 3 of the protocol.
    pub protocol: u8,
    /// Whether pipelines have all sizes, or always 50 lines.
    pub any_pipeline: bool,
    /// Whether collections leave their compact forms early.
    pub tight: bool,
    /// What sends the lines.
    pub sender: Sender,
    /// The lines are those of commands that a Valkey has.
    pub is_for_valkey: bool,
}

/// What sends the lines of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The client itself.
    Client,
    /// A script, which each line runs anew.
    Script,
    /// A function.
    Function,
}

/// A function that runs the command that it is given.
const LIBRARY: &str = "#!lua name=sender\nredis.register_function('send', function(keys, args)
    redis.setresp(tonumber(table.remove(args, 1)))
    return redis.pcall(unpack(args))
end)";

impl Plan {
    /// A line as it is sent.
    fn sent(self, line: &Line) -> Vec<u8> {
        let around: [&str; 4] = match self.sender {
            Sender::Client => return encode(line),
            Sender::Script => {
                let script = "redis.setresp(tonumber(table.remove(ARGV, 1))) return redis.pcall(unpack(ARGV))";
                ["EVAL", script, "0", if self.protocol == 3 { "3" } else { "2" }]
            }
            Sender::Function => ["FCALL", "send", "0", if self.protocol == 3 { "3" } else { "2" }],
        };
        let words: Line = around.iter().map(|word| word.as_bytes().to_vec()).chain(line.iter().cloned()).collect();
        encode(&words)
    }
}

/// A difference between the two servers.
struct Mismatch {
    step: usize,
    /// The command whose reply differs, or what else does.
    what: String,
    detail: String,
}

/// What a stream that failed has to say.
pub struct Failure {
    /// The command whose reply differs, or `state` or `connection`.
    pub what: String,
    /// The seed, the step, both replies and a short script that still fails.
    pub report: String,
}

/// Runs one stream of the commands that `wanted` accepts.
pub fn check(pair: &Pair, plan: Plan, wanted: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let mut generator = match plan.is_for_valkey {
        true => Generator::for_valkey(plan.seed, differences::is_barred_in_valkey, wanted),
        false => Generator::new(plan.seed, differences::is_barred, wanted),
    };
    let lines: Vec<Line> = (0..plan.steps).map(|_| generator.line()).collect();
    let Some(found) = run(pair, plan, &lines, true) else { return Ok(()) };
    let kept = lines[..lines.len().min(found.step + 1)].to_vec();
    let again = run(pair, plan, &kept, false);
    let only_in_pipeline = again.is_none();
    let found = again.unwrap_or(found);
    let script = shrink(pair, plan, kept, &found.what, only_in_pipeline);
    let last = run(pair, plan, &script, only_in_pipeline);
    let report = report(plan, &found, &script, last.as_ref(), only_in_pipeline);
    Err(Failure { what: found.what, report })
}

fn report(plan: Plan, found: &Mismatch, script: &[Line], last: Option<&Mismatch>, only_in_pipeline: bool) -> String {
    let detail = last.map_or(&found.detail, |last| &last.detail);
    let mut text = format!(
        "{} differs: seed {}, step {}, protocol {}{}{}\n  {detail}\n  script of {} lines:\n",
        found.what,
        plan.seed,
        found.step,
        plan.protocol,
        if plan.tight { ", tight limits" } else { "" },
        if only_in_pipeline { ", only in pipelines" } else { "" },
        script.len()
    );
    for line in script {
        text.push_str(&format!("    {}\n", quoted(line)));
    }
    text
}

/// A line as `redis-cli` would take it.
pub fn quoted(line: &Line) -> String {
    let word = |word: &Vec<u8>| {
        let plain = !word.is_empty() && word.iter().all(|b| b.is_ascii_graphic() && !b"\"'\\".contains(b));
        match plain {
            true => String::from_utf8_lossy(word).into_owned(),
            false => {
                let escaped: String = word
                    .iter()
                    .map(|b| match b {
                        b'"' | b'\\' => format!("\\{}", char::from(*b)),
                        b' '..=b'~' => char::from(*b).to_string(),
                        _ => format!("\\x{b:02x}"),
                    })
                    .collect();
                format!("\"{escaped}\"")
            }
        }
    };
    line.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// An empty pair of databases under the plan's settings, and a connection to each.
fn prepare(pair: &Pair, plan: Plan) -> Result<(Client, Client), String> {
    let mut clients = Vec::new();
    for server in [&pair.subject, &pair.oracle] {
        let mut client = server.connect().map_err(|error| format!("cannot connect: {error}"))?;
        ask(&mut client, &["FLUSHALL"]);
        set_limits(&mut client, plan.tight);
        if plan.sender == Sender::Function {
            ask(&mut client, &["FUNCTION", "LOAD", "REPLACE", LIBRARY]);
        }
        if plan.protocol == 3 {
            ask(&mut client, &["HELLO", "3"]);
        }
        clients.push(client);
    }
    let oracle = clients.pop().ok_or("no oracle")?;
    let subject = clients.pop().ok_or("no subject")?;
    Ok((subject, oracle))
}

/// Runs the lines and returns the first difference, of a reply or of the state.
fn run(pair: &Pair, plan: Plan, lines: &[Line], pipelined: bool) -> Option<Mismatch> {
    let broken = |step: usize, detail: String| Some(Mismatch { step, what: "connection".to_owned(), detail });
    let (mut subject, mut oracle) = match prepare(pair, plan) {
        Ok(clients) => clients,
        Err(error) => return broken(0, error),
    };
    let mut sizes = Rng::new(plan.seed);
    let mut transaction = Transaction::default();
    let mut step = 0;
    while step < lines.len() {
        let size = match (pipelined, plan.any_pipeline) {
            (false, _) => 1,
            (true, false) => 50,
            (true, true) => 1 + sizes.below(100),
        };
        let until_check = STATE_EVERY - step % STATE_EVERY;
        let batch = &lines[step..lines.len().min(step + size.min(until_check))];
        let bytes: Vec<u8> = batch.iter().flat_map(|line| plan.sent(line)).collect();
        for (name, client) in [("subject", &mut subject), ("oracle", &mut oracle)] {
            if let Err(error) = client.send_raw(&bytes) {
                return broken(step, format!("{name}: {error}"));
            }
        }
        for line in batch {
            let (left, right) = match (subject.read_reply(), oracle.read_reply()) {
                (Ok(left), Ok(right)) => (left, right),
                (Err(error), _) => return broken(step, format!("subject: {error} at {}", quoted(line))),
                (_, Err(error)) => return broken(step, format!("oracle: {error} at {}", quoted(line))),
            };
            let (left, right) = match plan.sender {
                Sender::Client => (left, right),
                Sender::Script | Sender::Function => (from_tables(left), from_tables(right)),
            };
            if !transaction.same(line, &left, &right) {
                let detail = format!("{}\n    subject {:?}\n    oracle  {:?}", quoted(line), left.value, right.value);
                return Some(Mismatch { step, what: full_name(line), detail });
            }
            step += 1;
        }
        if (step % STATE_EVERY == 0 || step == lines.len())
            && !is_random_removal(&lines[step - 1])
            && let Some(detail) = state::difference(pair)
        {
            return Some(Mismatch { step: step - 1, what: "state".to_owned(), detail });
        }
    }
    None
}

/// A reply that has been a value of Lua's, with its maps and sets in order: tables have none.
fn from_tables(reply: Reply) -> Reply {
    fn ordered(value: Value) -> Value {
        let all = |items: Vec<Value>| -> Vec<Value> { items.into_iter().map(ordered).collect() };
        match value {
            Value::Array(items) => Value::Array(all(items)),
            Value::Set(items) => {
                let mut items = all(items);
                items.sort();
                Value::Set(items)
            }
            Value::Map(pairs) => {
                let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (ordered(key), ordered(value))).collect();
                pairs.sort();
                Value::Map(pairs)
            }
            other => other,
        }
    }
    Reply { value: ordered(reply.value), ..reply }
}

/// Leaves out ever smaller parts of the script while `what` still differs.
fn shrink(pair: &Pair, plan: Plan, script: Vec<Line>, what: &str, pipelined: bool) -> Vec<Line> {
    let deadline = Instant::now() + Duration::from_secs(SHRINK_S_MAX);
    let mut script = script;
    let mut part = script.len().div_ceil(2);
    while part > 0 {
        let mut at = 0;
        let mut cut_any = false;
        while at < script.len() && Instant::now() < deadline {
            let end = script.len().min(at + part);
            let candidate: Vec<Line> = script[..at].iter().chain(&script[end..]).cloned().collect();
            // Pipelines are quicker; a difference that needs single steps is kept by not shrinking past it.
            let found =
                is_sound(&candidate).then(|| run(pair, plan, &candidate, pipelined || candidate.len() > 20)).flatten();
            match found {
                Some(found) if found.what == what => {
                    script = candidate;
                    script.truncate(found.step + 1);
                    cut_any = true;
                }
                _ => at = end,
            }
        }
        if part == 1 && !cut_any || Instant::now() >= deadline {
            break;
        }
        part = if part == 1 { 1 } else { part / 2 };
    }
    shorten(pair, plan, script, what, pipelined, deadline)
}

/// Leaves out words of long lines while `what` still differs.
fn shorten(pair: &Pair, plan: Plan, script: Vec<Line>, what: &str, pipelined: bool, deadline: Instant) -> Vec<Line> {
    let mut script = script;
    for index in 0..script.len() {
        for width in [16, 8, 4, 2, 1] {
            let mut end = script[index].len();
            while end > width && Instant::now() < deadline {
                let mut candidate = script.clone();
                candidate[index].drain(end - width..end);
                let found = is_sound(&candidate).then(|| run(pair, plan, &candidate, pipelined)).flatten();
                if found.is_some_and(|found| found.what == what) {
                    script = candidate;
                }
                end -= width;
            }
        }
    }
    script
}

/// Whether the line may leave two different sets behind.
fn is_random_removal(line: &Line) -> bool {
    let takes_all = line.get(2).is_some_and(|count| *count == EVERYTHING.to_string().into_bytes());
    full_name(line) == "spop" && line.len() > 1 && !takes_all
}

/// Whether each random removal is still followed by the removal of its key, without which the servers part for good.
fn is_sound(script: &[Line]) -> bool {
    script.iter().enumerate().all(|(index, line)| {
        let is_removed = |next: &Line| next[0] == b"DEL" && next.get(1) == line.get(1);
        !is_random_removal(line) || script.get(index + 1).is_none_or(is_removed)
    })
}
