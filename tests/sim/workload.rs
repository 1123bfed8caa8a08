//! What happens in a run: a list of steps, made from a seed before anything runs, so that it can be run again and cut down.
//!
//! A step that finds nothing to do does nothing: so any part of a list is a list. What a request needs from the run (the
//! time, a client's number, a revision) is put in when it is sent. Each seed has its own weights.

use aleadb::config::MemoryPolicy;

use crate::crash::POLICIES;
use crate::generate::{Generator, Line};
use crate::rng::{Rng, mix, mix_text};
use crate::scripts::{self, How, POP_TWINS, READ_ALL_TWINS, READ_TWINS, Script};

/// Places for clients.
pub const CLIENTS: usize = 6;
/// The lists that are used as queues of jobs.
pub const QUEUES: usize = 3;

/// Queries that are watched: each answers the same whenever it is asked, if nothing has changed.
pub const QUERIES: &[&str] = &[
    "GET k0",
    "GET k1",
    "STRLEN k0",
    "MGET k0 k1 k2 w:0",
    "GET w:0",
    "EXISTS w:0 w:1 k9 k12",
    "TYPE k9",
    "HLEN k9",
    "HGET k9 f1",
    "LRANGE k12 0 -1",
    "LLEN jobs:0",
    "LRANGE jobs:1 0 -1",
    "SCARD k15",
    "ZRANGE k18 0 -1 WITHSCORES",
    "ZCARD k19",
    "XLEN k24",
    READ_TWINS,
];

/// What a client is for; it decides what it sends and what it may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends commands and is sent their replies, nothing else.
    Plain,
    /// Subscribes to channels.
    Subscriber,
    /// Watches queries; with or without revisions.
    Watcher { revisions: bool },
    /// Keeps the answers of queries until it is told of changes.
    Cacher(Cache),
}

/// How a client is told of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Of keys that it has read.
    Default,
    /// The same, but not of its own changes.
    NoLoop,
    /// Of keys that it has read after CLIENT CACHING YES.
    OptIn,
    /// Of all keys.
    Broadcast,
}

impl Cache {
    /// What it asks for.
    pub fn line(self) -> Line {
        words(match self {
            Cache::Default => "CLIENT TRACKING ON",
            Cache::NoLoop => "CLIENT TRACKING ON NOLOOP",
            Cache::OptIn => "CLIENT TRACKING ON OPTIN",
            Cache::Broadcast => "CLIENT TRACKING ON BCAST",
        })
    }
}

/// One request, as far as it is known before the run.
#[derive(Clone, Debug)]
pub enum Request {
    /// A line with one reply.
    Line(Line),
    /// A line whose reply CLIENT REPLY drops.
    Silent(Line),
    /// ECHO of a text of its own.
    Echo,
    /// A job for a queue.
    Push(usize),
    /// A line that takes jobs.
    Pop(&'static str),
    /// A script with a text of its own.
    Script(Script, How),
    /// A line that reads or takes twins.
    Twins(&'static str),
    /// A message of its own to a channel, with this command.
    Publish(&'static str, usize),
    /// A key of its own that lives so many milliseconds from when it is sent.
    Timed(i64),
    /// A line about channels: so many confirmations.
    Topics(Line, usize),
    /// Watches a query.
    Watch { query: usize, how: Watch },
    /// Ends the watch of a query.
    Unwatch(usize),
    /// A query whose answer may be cached.
    Cached(usize),
    /// A text of its own for a key.
    OwnWrite(&'static str),
    /// CLIENT KILL of the client in a place.
    Kill(usize),
    /// CLIENT UNBLOCK of the client in a place.
    Unblock { client: usize, error: bool },
}

/// The options of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Watch {
    /// X.WATCH.
    Dotted,
    Plain,
    Every,
    Debounce(u32),
    /// From the last revision that anybody has seen.
    Since,
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    Connect {
        client: usize,
        role: Role,
        version: u8,
    },
    Send {
        client: usize,
        requests: Vec<Request>,
    },
    /// Much input that means nothing, behind whatever was sent.
    Flood {
        client: usize,
        bytes: usize,
    },
    /// The client stops reading, or goes on.
    Reads {
        client: usize,
        on: bool,
    },
    /// How many unread bytes the network holds for the client.
    Window {
        client: usize,
        bytes: usize,
    },
    /// How many bytes the network delivers at once.
    Chunk {
        client: usize,
        bytes: usize,
    },
    /// The client sends no more, and goes on reading.
    HalfClose(usize),
    /// The client is gone; what it sent before arrives.
    Close(usize),
    /// The connection breaks.
    Reset(usize),
    /// An event of which nothing is true.
    Spurious {
        client: usize,
        writable: bool,
    },
    Advance(u64),
    SetClock(i64),
    /// Some turns of the loop.
    Turns(usize),
}

/// What differs from seed to seed beside the steps.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// Whole databases are emptied, so nobody knows which keys are left.
    pub flushes: bool,
    /// Hard limit of an ordinary client's output, in bytes.
    pub output_bytes_max: u64,
    /// Nanoseconds that pass with every look at the clock: what ends a script's slices. With none, a script is through at once.
    pub look_ns: u64,
    /// `busy-reply-threshold` and `script-auto-kill-ms`.
    pub busy_ms: u64,
    pub auto_kill_ms: u64,
    /// Scripts that have changed something are ended all the same.
    pub forces: bool,
    /// The server is shut down.
    pub shuts: bool,
    /// Elements that jobs do in a turn, where every command that can be is one; 0 for what is usual.
    pub slice_elements: usize,
    /// Keys that there may be, where they may go without anybody's doing, and which of them go when there are more.
    pub room: Option<(u64, MemoryPolicy)>,
    /// Keys and values are moved about in memory between the turns.
    pub moves: bool,
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let bits = mix(seed);
        let output_bytes_max = [0, 2_000, 30_000, 1_000_000][(bits >> 8) as usize % 4];
        let any = |shift: u32, choices: [u64; 4]| choices[(bits >> shift) as usize % 4];
        let flushes = bits.is_multiple_of(4);
        let room = (any(40, [0, 3, 10, 20]), POLICIES[(bits >> 44) as usize % POLICIES.len()]);
        Plan {
            seed,
            flushes,
            output_bytes_max,
            look_ns: any(16, [0, 30_000, 100_000, 100_000]),
            busy_ms: any(20, [1, 2, 5, 5]),
            auto_kill_ms: any(24, [0, 0, 2, 20]),
            forces: any(28, [0, 0, 0, 1]) == 1,
            shuts: any(32, [0, 0, 0, 1]) == 1,
            slice_elements: any(36, [0, 1, 1, 3]) as usize,
            moves: any(48, [0, 0, 0, 1]) == 1,
            room: (flushes && room.0 > 0).then_some(room),
        }
    }
}

/// Rows that steps of their own stand for, or that would change what the properties know.
const BY_HAND: &[&str] = &["multi", "exec", "discard", "wait", "waitaof"];
const FLUSHES: &[&str] = &["flushall", "flushdb"];

/// The steps of a seed.
pub fn steps(plan: Plan, count: usize) -> Vec<Step> {
    let wanted = |name: &str| !BY_HAND.contains(&name) && (plan.flushes || !FLUSHES.contains(&name));
    let mut workload = Workload {
        plan,
        rng: Rng::new(plan.seed),
        generator: Generator::new(plan.seed, |_, _| false, wanted),
        roles: [Role::Plain; CLIENTS],
        has_left: [false; CLIENTS],
    };
    let mut steps: Vec<Step> = (0..CLIENTS).map(|client| workload.connect(client)).collect();
    while steps.len() < count {
        let step = workload.step();
        steps.push(step);
        if workload.rng.chance(70) {
            let turns = 1 + workload.rng.below(3);
            steps.push(Step::Turns(turns));
        }
    }
    steps
}

struct Workload {
    plan: Plan,
    rng: Rng,
    generator: Generator,
    roles: [Role; CLIENTS],
    /// Who has sent the last it will send.
    has_left: [bool; CLIENTS],
}

/// The words of a line without blanks in them.
pub fn words(line: &str) -> Line {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl Workload {
    /// One of some weighted things; each seed likes some of them much better.
    fn draw<T: Copy>(&mut self, choices: &[(&str, usize, T)]) -> T {
        let seed = self.plan.seed;
        let weight = |name: &str, weight: usize| match mix_text(seed, name) % 5 {
            0 => weight * 6,
            1 => weight.div_ceil(4),
            _ => weight,
        };
        let sum = choices.iter().map(|(name, lots, _)| weight(name, *lots)).sum();
        let mut at = self.rng.below(sum);
        for (name, lots, choice) in choices {
            let lots = weight(name, *lots);
            if at < lots {
                return *choice;
            }
            at -= lots;
        }
        unreachable!("the sum of the weights is not reached")
    }

    fn any(&mut self, lines: &[&'static str]) -> &'static str {
        lines[self.rng.below(lines.len())]
    }

    fn connect(&mut self, client: usize) -> Step {
        let revisions = self.rng.chance(50);
        let roles = [
            ("plain", 6, Role::Plain),
            ("subscriber", 2, Role::Subscriber),
            ("watcher", 3, Role::Watcher { revisions }),
            (
                "cacher",
                3,
                Role::Cacher(*self.rng.pick(&[Cache::Default, Cache::NoLoop, Cache::OptIn, Cache::Broadcast])),
            ),
        ];
        (self.roles[client], self.has_left[client]) = (self.draw(&roles), false);
        let is_told = matches!(self.roles[client], Role::Cacher(_));
        let version = if is_told || self.rng.chance(50) { 3 } else { 2 };
        Step::Connect { client, role: self.roles[client], version }
    }

    fn step(&mut self) -> Step {
        type Make = fn(&mut Workload, usize) -> Step;
        let client = self.rng.below(CLIENTS);
        if self.has_left[client] && self.rng.chance(60) {
            return self.connect(client);
        }
        let choices: [(&str, usize, Make); 13] = [
            ("send", 40, |it, client| Step::Send { client, requests: it.requests(client) }),
            ("connect", 2, |it, client| it.connect(client)),
            ("flood", 2, |it, client| Step::Flood { client, bytes: *it.rng.pick(&[500, 3_000, 9_000]) }),
            ("stop", 3, |it, client| Step::Reads { client, on: it.rng.chance(50) }),
            ("window", 2, |it, client| Step::Window { client, bytes: *it.rng.pick(&[1, 7, 100, 5_000, usize::MAX]) }),
            ("chunk", 2, |it, client| Step::Chunk { client, bytes: *it.rng.pick(&[1, 2, 30, usize::MAX]) }),
            ("half-close", 1, |_, client| Step::HalfClose(client)),
            ("close", 2, |_, client| Step::Close(client)),
            ("reset", 2, |_, client| Step::Reset(client)),
            ("spurious", 3, |it, client| Step::Spurious { client, writable: it.rng.chance(50) }),
            ("advance", 10, |it, _| Step::Advance(*it.rng.pick(&[1, 3, 10, 40, 300, 2_500]))),
            ("clock", 1, |it, _| Step::SetClock(*it.rng.pick(&[-3_600_000, -1_500, -1, 1, 900, 86_400_000]))),
            ("turns", 5, |it, _| Step::Turns(1 + it.rng.below(5))),
        ];
        let make = self.draw(&choices);
        let step = make(self, client);
        self.has_left[client] |= matches!(step, Step::HalfClose(_) | Step::Close(_) | Step::Reset(_));
        step
    }

    fn requests(&mut self, client: usize) -> Vec<Request> {
        let mut requests = match self.roles[client] {
            Role::Plain => self.plain(),
            Role::Subscriber => vec![self.topics()],
            Role::Watcher { revisions } => vec![self.watch(revisions)],
            Role::Cacher(_) => self.cached(),
        };
        if self.rng.chance(40) {
            requests.push(Request::Echo);
        }
        requests
    }

    fn plain(&mut self) -> Vec<Request> {
        type Make = fn(&mut Workload) -> Vec<Request>;
        // CLIENT REPLY may be refused behind a script: then nobody knows what is answered.
        let silence = if self.plan.look_ns == 0 { 3 } else { 0 };
        let choices: [(&str, usize, Make); 15] = [
            ("grammar", 30, |it| (0..1 + it.rng.below(4)).map(|_| Request::Line(it.generator.line())).collect()),
            ("pipeline", 2, |it| (0..30 + it.rng.below(60)).map(|_| Request::Line(it.generator.line())).collect()),
            ("transaction", 8, Workload::transaction),
            ("silence", silence, Workload::silence),
            ("push", 30, |it| (0..1 + it.rng.below(3)).map(|_| Request::Push(it.rng.below(QUEUES))).collect()),
            ("pop", 26, |it| vec![it.pop()]),
            ("timed", 10, |it| (0..1 + it.rng.below(5)).map(|_| Request::Timed(it.rng.between(1, 3_000))).collect()),
            ("watched", 12, |it| vec![Request::Line(it.watched())]),
            ("publish", 6, |it| {
                let command = *it.rng.pick(&["PUBLISH", "PUBLISH", "SPUBLISH"]);
                (0..1 + it.rng.below(3)).map(|_| Request::Publish(command, it.rng.below(3))).collect()
            }),
            ("much", 4, |it| vec![Request::Line(words(&format!("ECHO {}", "x".repeat(*it.rng.pick(&[300, 2_500])))))]),
            ("databases", 3, |it| vec![Request::Line(it.about_databases())]),
            ("clients", 20, |it| vec![it.about_clients()]),
            ("settings", 4, |it| vec![Request::Line(it.setting())]),
            ("scripts", 14, Workload::scripts),
            ("twins", 8, |it| vec![it.twins()]),
        ];
        let make = self.draw(&choices);
        make(self)
    }

    fn transaction(&mut self) -> Vec<Request> {
        let mut requests = vec![Request::Line(words("MULTI"))];
        for _ in 0..self.rng.below(6) {
            if self.rng.chance(12) {
                requests.push(self.script());
                continue;
            }
            let line = if self.rng.chance(40) { self.watched() } else { self.generator.line() };
            requests.push(Request::Line(line));
        }
        requests.push(Request::Line(words(if self.rng.chance(85) { "EXEC" } else { "DISCARD" })));
        requests
    }

    fn script(&mut self) -> Request {
        let how = *self.rng.pick(&[How::Body, How::Body, How::Digest, How::Function]);
        // Nothing would stop an endless one if no time passed.
        if self.plan.look_ns > 0 && self.rng.chance(30) {
            let is_stuck = self.plan.forces && self.rng.chance(20);
            let script = if is_stuck { Script::Stuck } else { Script::endless(self.rng.below(100)) };
            return Request::Script(script, how);
        }
        let rounds = [(); 3].map(|()| *self.rng.pick(&[0, 0, 30, 400]));
        Request::Script(Script::Twins(rounds), how)
    }

    /// A script, or something about those that there are; sometimes in a transaction that disconnects its own client.
    fn scripts(&mut self) -> Vec<Request> {
        match self.rng.below(12) {
            0..5 => vec![self.script()],
            5 if self.plan.shuts && self.rng.chance(10) => vec![Request::Line(words("SHUTDOWN NOSAVE"))],
            6 => {
                let kill = Request::Kill(self.rng.below(CLIENTS));
                vec![Request::Line(words("MULTI")), kill, self.script(), Request::Line(words("EXEC"))]
            }
            _ => vec![Request::Line(scripts::about_scripts(self.rng.below(16), self.plan.forces))],
        }
    }

    fn twins(&mut self) -> Request {
        Request::Twins(match self.rng.below(4) {
            0 => READ_TWINS,
            1 | 2 => READ_ALL_TWINS,
            _ => self.any(POP_TWINS),
        })
    }

    fn silence(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        if self.rng.chance(50) {
            requests.push(Request::Silent(words("CLIENT REPLY SKIP")));
            requests.push(Request::Silent(self.generator.line()));
        } else {
            requests.push(Request::Silent(words("CLIENT REPLY OFF")));
            for _ in 0..self.rng.below(4) {
                requests.push(Request::Silent(self.watched()));
            }
            requests.push(Request::Line(words("CLIENT REPLY ON")));
        }
        requests.push(Request::Echo);
        requests
    }

    fn pop(&mut self) -> Request {
        Request::Pop(self.any(&[
            "LPOP jobs:0",
            "RPOP jobs:1",
            "LPOP jobs:2 2",
            "LMPOP 2 jobs:1 jobs:0 LEFT",
            "BLPOP jobs:0 0",
            "BLPOP jobs:1 0.3",
            "BRPOP jobs:2 jobs:1 0",
            "BRPOP jobs:0 jobs:0 jobs:1 2",
            "BLMPOP 0 2 jobs:0 jobs:2 RIGHT COUNT 2",
            "BLMPOP 0.05 1 jobs:1 LEFT",
        ]))
    }

    /// A change of what queries look at.
    fn watched(&mut self) -> Line {
        let (number, ms) = (self.rng.below(100), self.rng.between(1, 900));
        let line = match self.rng.below(14) {
            0 => format!("SET k0 v{number}"),
            1 => format!("SET w:{} v{number} PX {ms}", self.rng.below(2)),
            2 => "INCR k1".to_owned(),
            3 => format!("HSET k9 f{} v{number}", self.rng.below(3)),
            4 => format!("HPEXPIRE k9 {ms} FIELDS 1 f{}", self.rng.below(3)),
            5 => format!("RPUSH k12 v{number}"),
            6 => format!("SADD k15 m{number}"),
            7 => format!("ZADD k18 {number} m{}", self.rng.below(9)),
            8 => "ZPOPMIN k18".to_owned(),
            9 => format!("PEXPIRE k{} {ms}", self.rng.pick(&[0, 9, 12, 15, 18, 24])),
            10 => "LMOVE jobs:0 jobs:1 LEFT RIGHT".to_owned(),
            11 => "BLMOVE jobs:1 jobs:2 RIGHT LEFT 0.2".to_owned(),
            12 => "XADD k24 * f v".to_owned(),
            _ => format!("DEL k{}", self.rng.pick(&[0, 9, 12, 15, 18, 24])),
        };
        words(&line)
    }

    fn about_clients(&mut self) -> Request {
        let client = self.rng.below(CLIENTS);
        match self.rng.below(9) {
            0 => Request::Kill(client),
            1..=4 => Request::Unblock { client, error: self.rng.chance(50) },
            5 => Request::Line(words("CLIENT PAUSE 30 ALL")),
            6 => Request::Line(words("CLIENT PAUSE 60 WRITE")),
            7 => Request::Line(words(self.any(&["HELLO 2", "HELLO 3", "CLIENT LIST", "SLEEP 1"]))),
            _ => Request::Line(words("CLIENT UNPAUSE")),
        }
    }

    fn about_databases(&mut self) -> Line {
        let line = match self.rng.below(8) {
            0 | 1 => "SELECT 1",
            2 | 3 => "SELECT 0",
            4 if self.plan.flushes => "FLUSHALL ASYNC",
            5 if self.plan.flushes => "FLUSHDB",
            _ => "SWAPDB 0 1",
        };
        words(line)
    }

    fn setting(&mut self) -> Line {
        words(self.any(&[
            "CONFIG SET hz 100",
            "CONFIG SET hash-max-listpack-entries 2",
            "CONFIG SET hash-max-listpack-entries 512",
            "CONFIG SET list-max-listpack-size 3",
            "CONFIG SET set-max-intset-entries 2",
            "CONFIG SET zset-max-listpack-entries 3",
            "CONFIG SET stream-node-max-entries 2",
            "CONFIG SET watch-output-threshold 100",
            "CONFIG SET watch-output-threshold 1000000",
            "CONFIG SET watch-max-per-client 3",
            "CONFIG SET watch-max-per-client 0",
            "CONFIG SET watch-resume-seconds 0",
            "CONFIG SET watch-resume-seconds 2",
            "CONFIG SET watch-resume-versions 2",
            "CONFIG SET tracking-table-max-keys 3",
            "CONFIG SET tracking-table-max-keys 0",
        ]))
    }

    fn topics(&mut self) -> Request {
        let (first, second) = (self.rng.below(3), self.rng.below(3));
        let (line, count) = match self.rng.below(7) {
            0 => (format!("SUBSCRIBE ch{first} ch{second}"), 2),
            1 => (format!("SUBSCRIBE ch{first}"), 1),
            2 => (format!("PSUBSCRIBE ch* c?{first}"), 2),
            3 => (format!("SSUBSCRIBE ch{first}"), 1),
            4 => (format!("UNSUBSCRIBE ch{first}"), 1),
            5 => ("PUNSUBSCRIBE ch*".to_owned(), 1),
            _ => (format!("SUNSUBSCRIBE ch{first}"), 1),
        };
        Request::Topics(words(&line), count)
    }

    fn cached(&mut self) -> Vec<Request> {
        let own = self.rng.chance(15).then(|| Request::OwnWrite(self.any(&["k0", "k1"])));
        // The last reads twins, of which it has no idea.
        let read = (0..1 + self.rng.below(4)).map(|_| Request::Cached(self.rng.below(QUERIES.len() - 1)));
        read.collect::<Vec<_>>().into_iter().chain(own).collect()
    }

    fn watch(&mut self, revisions: bool) -> Request {
        let query = self.rng.below(QUERIES.len());
        let ms = *self.rng.pick(&[1, 50, 700]);
        let how = match self.rng.below(8) {
            0 => return Request::Unwatch(query),
            1 | 2 => Watch::Dotted,
            3 => Watch::Every,
            4 => Watch::Debounce(ms),
            5 if revisions => Watch::Since,
            _ => Watch::Plain,
        };
        Request::Watch { query, how }
    }
}
