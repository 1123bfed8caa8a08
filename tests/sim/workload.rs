//! What happens in a run: a list of steps, written from a seed before the run begins, so that it can be replayed and shrunk. Each
//! seed favours its own commands and faults, so that rare combinations are common somewhere.

use std::fmt;

use crate::generate::Generator;
use crate::network::Close;
use crate::rng::Rng;

/// The words of one command. `%id<n>` stands for the number that CLIENT ID answers client n, `%fp` for a query that the client
/// watches, `%soon` for a time that comes soon, `%me` for the number of the client itself.
pub type Line = Vec<Vec<u8>>;

/// How many clients there are at one time at most.
pub const CLIENTS: usize = 10;

/// Queries that are watched, and what is done to their keys.
pub const QUERIES: &[&[&str]] = &[
    &["GET", "w:s"],
    &["STRLEN", "w:s"],
    &["LRANGE", "w:l", "0", "-1"],
    &["HGETALL", "w:h"],
    &["SMEMBERS", "w:m"],
    &["ZRANGE", "w:z", "0", "-1"],
    &["MGET", "w:s", "w:n"],
    &["EXISTS", "w:l", "w:n"],
];
const CHANGES: &[&[&str]] = &[
    &["SET", "w:s", "%n"],
    &["APPEND", "w:s", "x"],
    &["DEL", "w:s", "w:n"],
    &["INCR", "w:n"],
    &["RPUSH", "w:l", "%n"],
    &["LTRIM", "w:l", "-3", "-1"],
    &["HSET", "w:h", "f", "%n", "g", "x"],
    &["HPEXPIRE", "w:h", "30", "FIELDS", "1", "f"],
    &["SADD", "w:m", "%n"],
    &["SPOP", "w:m"],
    &["ZADD", "w:z", "%n", "m"],
    &["PEXPIRE", "w:z", "20"],
    &["RENAME", "w:s", "w:n"],
    &["COPY", "w:n", "w:s", "REPLACE"],
];
const POPS: &[&[&str]] = &[
    &["LPOP", "q:0"],
    &["RPOP", "q:1", "2"],
    &["LMPOP", "2", "q:0", "q:1", "LEFT", "COUNT", "2"],
    &["BLPOP", "q:0", "q:1", "0"],
    &["BLPOP", "q:1", "0.05"],
    &["BRPOP", "q:0", "0"],
    &["BLMPOP", "0", "2", "q:1", "q:0", "RIGHT"],
];
const SETTINGS: &[&[&str]] = &[
    &["hz", "100"],
    &["watch-output-threshold", "200"],
    &["watch-output-threshold", "1mb"],
    &["watch-resume-versions", "2"],
    &["list-max-listpack-size", "2"],
    &["hash-max-listpack-entries", "1"],
    &["client-query-buffer-limit", "1mb"],
    &["proto-max-bulk-len", "1mb"],
];

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client comes, if it is not there.
    Connect(usize),
    /// It sends requests.
    Ask(usize, Vec<Line>),
    /// So many bytes arrive at the server.
    Deliver(usize, usize),
    /// The client reads so many.
    Read(usize, usize),
    /// What one read and one write of the server move at most, and how much the network holds for the client.
    Limit(usize, usize, usize, usize),
    Close(usize, Close),
    /// The server is told that a connection can be read and written, whether it can or not.
    Spurious(usize),
    /// Both clocks go on by so many milliseconds.
    Pass(u64),
    /// The wall clock is set.
    SetClock(i64),
    /// The server runs so many turns.
    Turn(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Step::Ask(client, lines) = self else { return write!(f, "{self:?}") };
        let text = |line: &Line| line.join(&b' ').escape_ascii().to_string();
        write!(f, "Ask({client}): {}", lines.iter().map(text).collect::<Vec<_>>().join(" | "))
    }
}

/// What a client does, most of the time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Lines from the commands' own syntax.
    Anything,
    /// Pushes, takes, waits; sets keys that expire; changes what is watched; publishes.
    Worker,
    /// Watches queries.
    Watcher,
    /// Subscribes.
    Subscriber,
    /// What concerns the server or other clients.
    Admin,
}

/// Commands that are never drawn by chance: they have steps of their own, or answer something else than one reply.
const OWN: &[&str] = &[
    "reset",
    "hello",
    "auth",
    "select",
    "swapdb",
    "flushall",
    "flushdb",
    "move",
    "abort",
    "sleep",
    "config|set",
    "client|unblock",
];

/// The words of a line.
fn line(words: &[&str]) -> Line {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// The steps of a seed.
pub fn steps(seed: u64, count: usize) -> Vec<Step> {
    let mut workload = Workload::new(seed);
    (0..count).flat_map(|_| workload.next()).collect()
}

struct Workload {
    rng: Rng,
    roles: Vec<Role>,
    generators: Vec<Generator>,
    /// The next unique element, message and key.
    number: u64,
    fault_percent: usize,
    swap_percent: usize,
    blocking: bool,
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let mut rng = Rng::new(seed);
        let all = [Role::Anything, Role::Worker, Role::Worker, Role::Watcher, Role::Subscriber, Role::Admin];
        let roles = (0..CLIENTS).map(|_| *rng.pick(&all)).collect();
        let wanted = |name: &str| !OWN.contains(&name);
        let generators = (0..CLIENTS).map(|n| Generator::new(seed ^ (n as u64) << 32, |_, _| false, wanted)).collect();
        let fault_percent = *rng.pick(&[0, 5, 20]);
        let swap_percent = *rng.pick(&[0, 0, 2, 10]);
        let blocking = rng.chance(80);
        Workload { rng, roles, generators, number: 0, fault_percent, swap_percent, blocking }
    }

    fn change(&mut self) -> &'static [&'static str] {
        CHANGES[self.rng.below(CHANGES.len())]
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn next(&mut self) -> Vec<Step> {
        let client = self.rng.below(CLIENTS);
        if self.rng.chance(self.fault_percent) {
            return vec![self.fault(client)];
        }
        match self.rng.below(20) {
            0..=7 => {
                let count = 1 + self.rng.below(4);
                let lines = (0..count).flat_map(|_| self.lines(client)).collect();
                vec![
                    Step::Connect(client),
                    Step::Ask(client, lines),
                    Step::Deliver(client, *self.rng.pick(&[1, 50, 10_000])),
                ]
            }
            8 | 9 => vec![Step::Deliver(client, *self.rng.pick(&[1, 20, 100_000]))],
            10 | 11 => vec![Step::Read(client, *self.rng.pick(&[1, 100, 1_000_000]))],
            12 => vec![Step::Pass(*self.rng.pick(&[1, 5, 60, 1200]))],
            _ => vec![Step::Turn(1 + self.rng.below(3))],
        }
    }

    fn fault(&mut self, client: usize) -> Step {
        match self.rng.below(8) {
            0 | 1 => {
                let most = |rng: &mut Rng| *rng.pick(&[1, 7, 1000, usize::MAX]);
                let (read, write) = (most(&mut self.rng), most(&mut self.rng));
                Step::Limit(client, read, write, *self.rng.pick(&[16, 4096, usize::MAX]))
            }
            2 => Step::Close(client, Close::Half),
            3 => Step::Close(client, Close::Full),
            4 => Step::Close(client, Close::Reset),
            5 => Step::SetClock(*self.rng.pick(&[-3000, -20, 20, 3000])),
            _ => Step::Spurious(client),
        }
    }

    fn lines(&mut self, client: usize) -> Vec<Line> {
        let n = self.next_number().to_string();
        let echo = line(&["ECHO", &format!("echo {n}")]);
        if self.rng.chance(30) {
            return vec![echo];
        }
        match self.roles[client] {
            Role::Anything => vec![self.generators[client].line()],
            Role::Worker => self.work(client, &n),
            Role::Watcher => vec![self.watch(&n), echo],
            Role::Subscriber => {
                let name = *self.rng.pick(&["SUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE"]);
                vec![line(&[name, *self.rng.pick(&["c:0", "c:1"])]), echo]
            }
            Role::Admin => vec![self.administer()],
        }
    }

    fn work(&mut self, client: usize, n: &str) -> Vec<Line> {
        let fill =
            |words: &[&str]| line(&words.iter().map(|word| if *word == "%n" { n } else { word }).collect::<Vec<_>>());
        match self.rng.below(12) {
            0..=2 => {
                let element = |k: usize| format!("<e{n}.{k}>");
                let list = *self.rng.pick(&["q:0", "q:1"]);
                vec![line(&[*self.rng.pick(&["RPUSH", "LPUSH"]), list, &element(0), &element(1)])]
            }
            3..=5 => {
                let pop = *self.rng.pick(POPS);
                let pop = if self.blocking || !pop[0].starts_with('B') { pop } else { POPS[0] };
                // What comes behind a command that waits may be more than all buffers on the way hold.
                let behind = if self.rng.chance(20) { vec![line(&["ECHO", &"x".repeat(3000)])] } else { Vec::new() };
                [vec![line(pop)], behind].concat()
            }
            6 => {
                let deadline_ms = "%soon".to_owned();
                vec![line(&["SET", &format!("t:{n}"), "v", "PXAT", &deadline_ms])]
            }
            7 | 8 => vec![fill(self.change())],
            9 => vec![line(&["PUBLISH", &format!("c:{}", client % 2), &format!("%me:{n}")])],
            10 => vec![line(&["MULTI"]), fill(self.change()), fill(self.change()), line(&["EXEC"])],
            _ => {
                let how = *self.rng.pick(&["OFF", "SKIP"]);
                let echo = |k: usize| line(&["ECHO", &format!("muted {n}.{k}")]);
                vec![line(&["CLIENT", "REPLY", how]), echo(0), echo(1), line(&["CLIENT", "REPLY", "ON"]), echo(2)]
            }
        }
    }

    fn watch(&mut self, n: &str) -> Line {
        let query = *self.rng.pick(QUERIES);
        match self.rng.below(8) {
            0 | 1 => {
                let mut watch = line(query);
                watch[0].extend_from_slice(b".WATCH");
                watch
            }
            2 => line(&["UNOBSERVE", "%fp"]),
            3 => line(&["WATCH.MODE", *self.rng.pick(&["REVISIONS", "PLAIN"])]),
            _ => {
                let label = format!("label {n}");
                let options: &[&str] = match self.rng.below(6) {
                    0 => &["EVERY"],
                    1 => &["DEBOUNCE", "5"],
                    2 => &["DEBOUNCE", "300"],
                    3 => &["SINCE", "1"],
                    4 => &["LABEL", &label],
                    _ => &[],
                };
                line(&[&["OBSERVE"], options, query].concat())
            }
        }
    }

    fn administer(&mut self) -> Line {
        if self.rng.chance(self.swap_percent) {
            let all: [&[&str]; 3] = [&["FLUSHALL"], &["FLUSHDB", "ASYNC"], &["SWAPDB", "0", "1"]];
            return line(all[self.rng.below(all.len())]);
        }
        let other = format!("%id{}", self.rng.below(CLIENTS));
        match self.rng.below(8) {
            0 => line(&["CLIENT", "KILL", "ID", &other]),
            1 => line(&["CLIENT", "UNBLOCK", &other, *self.rng.pick(&["TIMEOUT", "ERROR"])]),
            2 => line(&["CLIENT", "PAUSE", *self.rng.pick(&["1", "40"]), *self.rng.pick(&["ALL", "WRITE"])]),
            3 => line(&[&["CONFIG", "SET"][..], *self.rng.pick(SETTINGS)].concat()),
            4 => line(&["SLEEP", "0"]),
            5 => line(&["CLIENT", "LIST"]),
            6 => line(&["INFO"]),
            _ => line(&["CLIENT", "NO-TOUCH", "ON"]),
        }
    }
}
