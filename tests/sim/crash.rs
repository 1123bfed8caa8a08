//! Crashes: a server with a log, or one with snapshots, over a disk that forgets what was not synced and now and then fails or is full,
//! is stopped at any call to the disk, and another one starts on what is left.
//!
//! # Properties
//! - It starts.
//! - It holds the data as of the end of some turn: a prefix of what was done, with no command in halves, and no script either, be it
//!   as long as it will. Libraries of functions and the scripts that are kept belong to the data.
//! - That turn is no earlier than the last one whose bytes an fsync had put on the disk.
//! - Under `appendfsync always` it has every write whose reply has come, and what clients were shown that read.
//! - It goes on, crashes again, and the same holds.
//! - As long as the disk works, everybody is answered, and a snapshot can be saved.
//!
//! Without a log, what comes back is the data as of the last snapshot that was reported as saved, or of a later one. A snapshot is of
//! the moment of a command, and states are noted at the ends of turns: so such servers get one command at a time. Their snapshots
//! go on over many turns, in slices of some entries.
//!
//! Threads are stepped: a job of theirs runs when the seed says so. The clock of a server that starts stands where that of
//! the first stood at first, so that nothing is due which was not due before.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::base::prng::Prng;
use aleadb::config::{AppendFsync, Config, MemoryLimit, MemoryPolicy, SavePoints};
use aleadb::engine::persistence::start;
use aleadb::net::turn::{Peer, Turn};
use aleadb::persist::digest::DataDigest;
use aleadb::server::background::Background;
use aleadb::server::databases::Databases;
use aleadb::server::eviction::Gauge;
use aleadb::server::jobs::Limits;
use aleadb::server::scripting::cache::{digest_of, hexadecimal};
use aleadb::server::session::Origin;
use aleadb::server::{Identity, Outside, Seeds, Server};

use crate::disk::{CALLS, Call, SimulatedDisk};
use crate::generate::{Generator, Line};
use crate::network::Socket;
use crate::resp;
use crate::rng::Rng;
use crate::workload::words;

const START_MS: i64 = 1_700_000_000_000;
const CLIENTS: usize = 4;
/// Servers of one seed, one after another.
const LIVES: usize = 3;
/// Turns after which a server that loads, or clients that wait while the disk works, wait for something that never comes.
const TURNS_MAX: usize = 5_000;

/// How often something happened.
pub type Reached = Vec<(&'static str, u64)>;

/// What a seed stands for.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    fsync: AppendFsync,
    /// Turns of a life at most.
    turns: usize,
    /// Calls to the disk after which the power goes, unless the turns are over before.
    calls: u64,
    /// In percent of turns: a job of a thread runs, as long as there is one.
    jobs_percent: usize,
    /// In percent of turns: the log is rewritten.
    rewrites_percent: usize,
    /// Some calls fail.
    faults: bool,
    /// There is no log: snapshots are saved.
    dumps: bool,
    /// Nanoseconds that pass with every look at the clock: what ends slices.
    look_ns: u64,
    /// Scripts that are kept come back.
    keeps_scripts: bool,
    /// Keys that there may be, and which of them go when there are more.
    room: Option<(u64, MemoryPolicy)>,
    /// Elements of a turn where every line of some arguments is done piece by piece; 0 for what is usual.
    slice_elements: usize,
}

/// What a key counts for, where there may be only so many.
pub const KEY_BYTES: u64 = 1000;

pub fn counted_bytes(dbs: &Databases) -> usize {
    dbs.iter().map(|db| db.len()).sum::<usize>() * KEY_BYTES as usize
}

impl Plan {
    fn of(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let fsync = *rng.pick(&[AppendFsync::Always, AppendFsync::Always, AppendFsync::EverySec, AppendFsync::No]);
        let dumps = rng.chance(40);
        Plan {
            seed,
            fsync,
            turns: 20 + rng.below(100),
            // A snapshot takes few, and a log's turns one each at least.
            calls: if dumps { rng.below(30) } else { 20 + rng.below(300) } as u64,
            jobs_percent: *rng.pick(&[20, 50, 80, 100]),
            // Without a log it would begin one, and no server starts without it then.
            rewrites_percent: if dumps { 0 } else { *rng.pick(&[0, 2, 10]) },
            faults: rng.chance(30),
            dumps,
            look_ns: *rng.pick(&[0, 30_000, 150_000]),
            keeps_scripts: rng.chance(75),
            // Of a snapshot it is not known which moment between the ends of turns it is of.
            room: (!dumps && rng.chance(40)).then(|| (*rng.pick(&[3, 6, 12]), *rng.pick(POLICIES))),
            slice_elements: *rng.pick(&[0, 0, 1, 3]),
        }
    }
}

/// Policies by which keys go.
pub const POLICIES: &[MemoryPolicy] = &[
    MemoryPolicy::AllkeysLru,
    MemoryPolicy::AllkeysLfu,
    MemoryPolicy::AllkeysRandom,
    MemoryPolicy::AllkeysLrm,
    MemoryPolicy::VolatileTtl,
    MemoryPolicy::VolatileLru,
];

/// A client that has some commands under way at most.
struct Client {
    id: aleadb::net::turn::ClientId,
    socket: Socket,
    sent: u64,
    received: u64,
    unread: Vec<u8>,
    /// The turn before which it sent the last of its commands.
    sent_turn: usize,
    /// When all its commands had been answered for the last time: that turn, and the log's position behind what it wrote.
    answered: Option<(usize, u64)>,
}

/// A digest of each value and its key's deadline, by database and key; and code, in a place that is no database's.
type Data = BTreeMap<(usize, String), (String, Option<i64>)>;

/// The data as of the end of a turn.
struct State {
    data: Data,
    /// What has been sent for the first time in the turn.
    sent: Vec<String>,
    /// The log's position.
    position: u64,
    /// Changes since the start.
    changes: u64,
    /// The data is that of before a script, but others had changed something in the turn in which it began: what the log has is not
    /// known.
    is_unknown: bool,
}

/// A server, from its start to its crash.
struct Life {
    plan: Plan,
    turn: Turn<Socket>,
    clock: Rc<ManualClock>,
    disk: SimulatedDisk,
    clients: Vec<Client>,
    states: Vec<State>,
    sent: Vec<String>,
    /// A snapshot could not be saved.
    has_failed_dumps: bool,
    /// Turns amid a snapshot that changed data.
    changes_in_dumps: u64,
    /// Turns at whose end a script, or a command that is done piece by piece, had changed something and was not through.
    half_scripts: u64,
    /// Those of them at whose end a snapshot was due.
    waiting_dumps: u64,
}

/// True if a script, or a command that is done piece by piece, has changed something and is not through.
fn is_half(server: &Server) -> bool {
    server.is_amid_changes() || server.jobs.are_amid_changes()
}

impl Life {
    /// Starts on a disk; nothing has run yet.
    fn start(plan: Plan, disk: &SimulatedDisk, life: usize) -> Result<Life, String> {
        let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
        let config = Config {
            appendonly: !plan.dumps,
            appendfsync: plan.fsync,
            // Failures refuse writes, or do not.
            stop_writes_on_bgsave_error: plan.seed.is_multiple_of(2),
            save: SavePoints::none(),
            busy_reply_threshold: 2,
            script_persist: plan.keeps_scripts,
            auto_aof_rewrite_percentage: 0,
            ..Config::default()
        };
        let seeds =
            Seeds { hash: (u128::from(plan.seed) << 8 | life as u128).to_le_bytes(), prng: plan.seed + life as u64 };
        let identity = Identity { run_id: "0".repeat(40), ..Identity::default() };
        clock.set_tick_ns(plan.look_ns);
        let shared: Rc<dyn Clock> = Rc::<ManualClock>::clone(&clock);
        let outside = Outside { clock: shared, background: Background::stepped(), storage: Arc::new(disk.clone()) };
        let mut server = Server::new(config, Default::default(), identity, seeds, outside);
        if plan.slice_elements > 0 {
            server.jobs.limits = Limits { line: 4, slice_elements: plan.slice_elements, ..Limits::default() };
        }
        start::begin(&mut server, clock.now())?;
        let mut life = Life {
            plan,
            turn: Turn::new(server),
            clock,
            disk: disk.clone(),
            clients: Vec::new(),
            states: Vec::new(),
            sent: Vec::new(),
            has_failed_dumps: false,
            changes_in_dumps: 0,
            half_scripts: 0,
            waiting_dumps: 0,
        };
        for _ in 0..TURNS_MAX {
            if !life.turn.server.is_loading() {
                life.remember();
                return Ok(life);
            }
            life.run_turn(100)?;
            if let Some(failure) = life.turn.server.process.failure.take() {
                return Err(failure);
            }
        }
        Err("it loads without end".to_owned())
    }

    fn connect(&mut self) {
        let (socket, now) = (Socket::new(), self.turn.take_time());
        let peer = Peer { origin: Origin::Loopback, address: "127.0.0.1:5000".into(), local: String::new(), fd: 0 };
        let id = self.turn.admit(socket.clone(), peer, now).expect("there is room");
        self.clients.push(Client {
            id,
            socket,
            sent: 0,
            received: 0,
            unread: Vec::new(),
            sent_turn: 0,
            answered: None,
        });
    }

    fn run_turn(&mut self, jobs_percent: usize) -> Result<(), String> {
        for client in &self.clients {
            let mut wire = client.socket.wire_mut();
            wire.deliver();
            let edges = wire.edges();
            drop(wire);
            edges.into_iter().for_each(|edges| self.turn.note(client.id, edges));
        }
        let now = self.turn.take_time();
        let (was_dumping, changes) =
            (self.turn.server.persistence.snapshots.is_dumping(), self.turn.server.stats.dirty);
        self.turn.run(now, |_| {});
        let snapshots = &self.turn.server.persistence.snapshots;
        self.has_failed_dumps |= snapshots.failure.is_some();
        let has_changed = self.turn.server.stats.dirty > changes;
        self.changes_in_dumps += u64::from(was_dumping && snapshots.is_dumping() && has_changed);
        let mut rng = Rng::new(self.plan.seed ^ self.clock.mono_ns() ^ (self.states.len() as u64) << 32);
        while rng.chance(jobs_percent.min(95)) {
            let server = &mut self.turn.server;
            let ran = if rng.chance(50) { server.background.run_one() } else { server.persistence.log.run_job() };
            if !ran && !server.background.run_one() && !server.persistence.log.run_job() {
                break;
            }
        }
        self.turn.take_closed();
        Ok(())
    }

    /// Notes the state at the end of a turn.
    fn remember(&mut self) {
        let position = self.turn.server.propagation.position();
        let is_half = is_half(&self.turn.server);
        self.half_scripts += u64::from(is_half);
        self.waiting_dumps += u64::from(is_half && self.turn.server.persistence.snapshots.scheduled);
        let (data, changes, is_unknown) = match self.states.last().filter(|_| is_half) {
            // What a script has changed so far is part of no state.
            Some(state) => (state.data.clone(), state.changes, state.is_unknown || state.position < position),
            None => (data_of(&self.turn.server, START_MS), self.turn.server.stats.dirty, false),
        };
        self.states.push(State { data, sent: std::mem::take(&mut self.sent), position, changes, is_unknown });
    }

    fn read(&mut self) -> Result<(), String> {
        for client in &mut self.clients {
            let bytes = client.socket.wire_mut().take();
            client.unread.extend(bytes);
            let (values, used) = resp::decode_whole(&client.unread).map_err(|error| error.to_string())?;
            client.unread.drain(..used);
            client.received += values.len() as u64;
            if client.received > client.sent {
                return Err(format!("{} replies to {} commands", client.received, client.sent));
            }
            if client.received == client.sent
                && let Some(session) = self.turn.server.clients.get(client.id)
            {
                client.answered = Some((client.sent_turn, session.wrote_upto));
            }
        }
        Ok(())
    }

    fn send(&mut self, place: usize, line: &[Vec<u8>]) {
        self.sent.push(format!("{place}: {}", line.join(&b' ').escape_ascii()));
        let client = &mut self.clients[place];
        client.socket.wire_mut().send(&resp::encode(line));
        client.sent += 1;
        client.sent_turn = self.states.len();
    }

    /// Clients send, time passes, turns run, until the power goes.
    fn live(&mut self, generator: &mut Generator, rng: &mut Rng) -> Result<(), String> {
        (0..CLIENTS).for_each(|_| self.connect());
        if let Some((keys, policy)) = self.plan.room {
            let server = &mut self.turn.server;
            server.eviction.gauge = Gauge::Counted(counted_bytes);
            (server.config.maxmemory, server.config.maxmemory_policy) = (MemoryLimit::new(keys * KEY_BYTES), policy);
            server.renew_eviction();
        }
        if self.plan.dumps && !self.plan.seed.is_multiple_of(3) {
            self.send(0, &["CONFIG", "SET", "save", "1 10 3 1"].map(|word| word.as_bytes().to_vec()));
        }
        let is_amid_known_changes =
            |life: &Life| is_half(&life.turn.server) && life.states.last().is_some_and(|state| !state.is_unknown);
        for _ in 0..self.plan.turns {
            for place in 0..CLIENTS {
                let is_free = |client: &Client| client.sent == client.received;
                let may_send =
                    if self.plan.dumps { self.clients.iter().all(is_free) } else { is_free(&self.clients[place]) };
                if may_send && rng.chance(60) {
                    let count = if self.plan.dumps { 1 } else { 1 + rng.below(4) };
                    for _ in 0..count {
                        let line = next_line(generator, rng, self.plan);
                        self.send(place, &line);
                    }
                }
            }
            if self.plan.faults && rng.chance(5) {
                let usual = [Call::Write, Call::Sync, Call::Create, Call::Rename, Call::SyncDir, Call::Append];
                let call = *rng.pick(if self.plan.dumps { CALLS } else { &usual });
                let errno = *rng.pick(&[libc_errno::EIO, libc_errno::ENOSPC]);
                self.disk.fail(call, rng.below(3) as u64, 1 + rng.below(3) as u64, errno);
            }
            if self.plan.faults && rng.chance(5) {
                let full = self.disk.used_bytes() + rng.below(200) as u64;
                self.disk.set_capacity(rng.chance(50).then_some(full));
            }
            self.run_turn(self.plan.jobs_percent)?;
            self.remember();
            self.read()?;
            // A script makes no calls to the disk, after which the power could go.
            if self.disk.is_off() || is_amid_known_changes(self) && rng.chance(4) {
                return Ok(());
            }
            if rng.chance(40) {
                self.clock.advance_ms(rng.below(400) as u64);
            }
            // A save point is reached while a script is at work.
            if self.plan.dumps && is_half(&self.turn.server) && rng.chance(50) {
                self.clock.advance_ms(4_000);
            }
        }
        // With a disk that works again, all are answered.
        self.disk.heal();
        self.disk.set_capacity(None);
        let are_answered = |life: &Life| life.clients.iter().all(|client| client.sent == client.received);
        self.run_until("somebody is never answered", are_answered)?;
        if self.plan.dumps {
            let is_saved = |life: &Life| {
                let snapshots = &life.turn.server.persistence.snapshots;
                are_answered(life) && !snapshots.is_running() && !snapshots.scheduled && snapshots.failure.is_none()
            };
            let is_rested = |life: &Life| !life.turn.server.persistence.snapshots.is_running();
            self.run_until("a snapshot never ends", is_rested)?;
            // One that is in no transaction.
            self.connect();
            self.send(self.clients.len() - 1, &words("BGSAVE SCHEDULE"));
            self.run_until("a disk that works takes no snapshot", is_saved)?;
        }
        Ok(())
    }

    /// Runs turns and jobs until something holds, or the power is gone.
    fn run_until(&mut self, what_if_not: &str, holds: impl Fn(&Life) -> bool) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            if self.disk.is_off() || holds(self) {
                return Ok(());
            }
            self.run_turn(80)?;
            self.remember();
            self.read()?;
            self.clock.advance_ms(100);
        }
        Err(what_if_not.to_owned())
    }

    /// The first state that may be found after the crash.
    fn least(&self) -> usize {
        if self.plan.dumps {
            let saved = self.turn.server.persistence.snapshots.saved_changes;
            return self.states.iter().position(|state| state.changes >= saved).unwrap_or(0);
        }
        let log = &self.turn.server.persistence.log;
        let is_on_disk = |state: &State| log.is_established() && state.position <= log.synced();
        let on_disk = self.states.iter().rposition(is_on_disk).unwrap_or(0);
        if self.plan.fsync != AppendFsync::Always {
            return on_disk;
        }
        let told = |client: &Client| {
            let (sent_turn, upto) = client.answered?;
            let wrote = self.states.iter().position(|state| state.position >= upto).unwrap_or(usize::MAX);
            // What a command was shown is no older than the end of the turn before its own.
            Some(wrote.max(sent_turn.saturating_sub(1)))
        };
        self.clients.iter().filter_map(told).fold(on_disk, usize::max)
    }
}

mod libc_errno {
    pub const EIO: i32 = 5;
    pub const ENOSPC: i32 = 28;
}

fn next_line(generator: &mut Generator, rng: &mut Rng, plan: Plan) -> Line {
    if plan.dumps && rng.chance(20) {
        return words(rng.pick::<&str>(&[
            "BGSAVE",
            "BGSAVE",
            "BGSAVE SCHEDULE",
            "SAVE",
            "BGSAVE CANCEL",
            "FLUSHALL",
            "SWAPDB 0 1",
            "RENAME short:1 short:2",
        ]));
    }
    if rng.chance(plan.rewrites_percent) {
        return words("BGREWRITEAOF");
    }
    // One at a time they take few turns together.
    if rng.chance(if plan.dumps { 30 } else { 12 }) {
        return script_line(rng);
    }
    if rng.chance(5) {
        return words(&format!("SET short:{} value PX {}", rng.below(5), 1 + rng.below(500)));
    }
    generator.line()
}

/// Writes some keys one after the other, with loops in between that may last for slices.
const WRITES: &str = "local function spin(rounds) for i = 1, rounds do end end
    redis.call('SET', 'script:1', ARGV[1]) spin(ARGV[2])
    redis.call('RPUSH', 'script:2', ARGV[1]) redis.call('HSET', 'script:3', ARGV[1], ARGV[2]) spin(ARGV[2])
    redis.call('SELECT', 1) redis.call('SET', 'script:1', ARGV[1], 'PX', 300)
    redis.call('LTRIM', 'script:2', -2, -1) spin(ARGV[2]) redis.call('DEL', 'script:3')
    return redis.call('INCR', 'script:4')";

/// A line that runs a script or a function, has one kept, has one forgotten, or ends one.
fn script_line(rng: &mut Rng) -> Line {
    let (number, rounds) = (rng.below(4).to_string(), rng.pick(&["0", "40", "400", "1000"]).to_string());
    let sha = hexadecimal(&digest_of(WRITES.as_bytes())).to_string();
    let library = format!(
        "#!lua name=l{number}
        redis.register_function('f{number}', function(keys, ARGV) {WRITES} end) -- {rounds}"
    );
    let kept = format!("return {}", rng.below(9));
    let function = format!("f{number}");
    let line: &[&str] = match rng.below(14) {
        0..5 => &["EVAL", WRITES, "0", &number, &rounds],
        5 => &["EVALSHA", &sha, "0", &number, &rounds],
        6 | 7 => &["FCALL", &function, "0", &number, &rounds],
        8 | 9 => &["FUNCTION", "LOAD", "REPLACE", &library],
        10 => &["SCRIPT", "LOAD", &kept],
        11 => &[["SCRIPT", "FUNCTION"][rng.below(2)], "FLUSH"],
        12 => &["FUNCTION", "DELETE", "l1"],
        _ => match rng.below(3) {
            0 => &["SCRIPT", "KILL"],
            1 => &["SCRIPT", "KILL", "FORCE"],
            _ => &["FUNCTION", "KILL"],
        },
    };
    line.iter().map(|word| word.as_bytes().to_vec()).collect()
}

/// All data, with the code that is kept.
fn data_of(server: &Server, unix_ms: i64) -> Data {
    let mut data = Data::new();
    let code = server.scripting.code_to_keep(server.config.script_persist);
    for (kind, texts) in [("script", &code.scripts), ("library", &code.functions)] {
        for text in texts {
            data.insert((usize::MAX, format!("{kind}: {}", text.escape_ascii())), (String::new(), None));
        }
    }
    for (number, db) in server.dbs.with_keys() {
        db.table().for_each(|entry| {
            let value = DataDigest::of_value(&entry, unix_ms).to_string();
            data.insert((number, entry.key().escape_ascii().to_string()), (value, entry.deadline_ms()));
        });
    }
    data
}

/// The keys that two states have differently.
fn differences(one: &Data, other: &Data) -> Vec<String> {
    let keys: BTreeSet<_> = one.keys().chain(other.keys()).collect();
    let differing = keys.into_iter().filter(|key| one.get(key) != other.get(key));
    differing.map(|key| format!("{key:?}: {:?} / {:?}", one.get(key), other.get(key))).collect()
}

fn run(plan: Plan) -> Result<Reached, String> {
    let (disk, mut prng, mut rng) = (SimulatedDisk::new(), Prng::seeded(plan.seed), Rng::new(plan.seed));
    let wanted = |name: &str| !LEFT_OUT.contains(&name);
    let mut generator = Generator::new(plan.seed, |_, line| is_barred(line), wanted);
    let (mut found_last, mut found_earlier, mut crashes_at_work, mut failed_calls) = (0, 0, 0, 0);
    let (mut failed_dumps, mut crashes_in_dumps, mut changes_in_dumps) = (0, 0, 0);
    let (mut half_scripts, mut crashes_in_scripts, mut kept_code, mut found_unknown) = (0, 0, 0, 0);
    let (mut waiting_dumps, mut crashes_in_pieces) = (0, 0);
    let mut life = Life::start(plan, &disk, 0)?;
    for number in 1..=LIVES {
        disk.power_off_after(plan.calls + rng.below(50) as u64);
        life.live(&mut generator, &mut rng)?;
        crashes_at_work += u64::from(disk.is_off());
        failed_calls += u64::from(life.turn.server.persistence.log.failure_text().is_some());
        failed_dumps += u64::from(life.has_failed_dumps);
        crashes_in_dumps += u64::from(life.turn.server.persistence.snapshots.is_dumping());
        changes_in_dumps += life.changes_in_dumps;
        half_scripts += life.half_scripts;
        waiting_dumps += life.waiting_dumps;
        crashes_in_scripts += u64::from(life.turn.server.is_amid_changes());
        crashes_in_pieces += u64::from(life.turn.server.jobs.are_amid_changes());
        let (least, crashed_ms) = (life.least(), life.clock.now().unix_ms);
        let states = std::mem::take(&mut life.states);
        drop(life);
        disk.crash(&mut prng);
        disk.heal();
        disk.set_capacity(None);
        life = Life::start(plan, &disk, number).map_err(|why| format!("life {number} does not start: {why}"))?;
        // What was due at the crash may have gone before.
        let live = |data: &Data| -> Data {
            let is_live = |value: &(String, Option<i64>)| value.1.is_none_or(|deadline_ms| deadline_ms > crashed_ms);
            data.iter().filter(|(_, value)| is_live(value)).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        let data = &live(&life.states.first().expect("noted at the start").data);
        kept_code += data.keys().filter(|(place, _)| *place == usize::MAX).count() as u64;
        let states: Vec<State> = states.into_iter().map(|state| State { data: live(&state.data), ..state }).collect();
        let found = states.iter().rposition(|state| state.data == *data);
        let is_unknown = states[least..].iter().any(|state| state.is_unknown);
        match found {
            _ if is_unknown => found_unknown += 1,
            None => {
                let (nearest, different) = states
                    .iter()
                    .map(|state| differences(&state.data, data))
                    .enumerate()
                    .min_by_key(|(_, different)| different.len())
                    .expect("there is a state");
                let sent = |index: usize| states.get(index).map(|state| &state.sent);
                let around = [sent(nearest), sent(nearest + 1)];
                return Err(format!(
                    "life {number} found what never was; nearest is turn {nearest} of {}, but for {different:#?}, where {around:#?}",
                    states.len()
                ));
            }
            Some(found) if found < least => {
                let different = differences(&states[found].data, &states[least].data);
                let sent: Vec<_> = states[found + 1..=least].iter().map(|state| &state.sent).collect();
                return Err(format!(
                    "life {number} found turn {found} of {}, and not {least}: {different:#?}, of {sent:#?}",
                    states.len()
                ));
            }
            Some(found) if found + 1 == states.len() => found_last += 1,
            Some(_) => found_earlier += 1,
        }
    }
    Ok(vec![
        ("crashes in the midst", crashes_at_work),
        ("everything found", found_last),
        ("a prefix found", found_earlier),
        ("crashes of a server that could not write", failed_calls),
        ("lives with a snapshot that could not be saved", failed_dumps),
        ("turns amid a snapshot that changed data", changes_in_dumps),
        ("crashes amid a snapshot", crashes_in_dumps),
        ("turns amid something half done", half_scripts),
        ("crashes amid such a script", crashes_in_scripts),
        ("crashes amid a command that is done piece by piece", crashes_in_pieces),
        ("turns in which a snapshot waited for such a script", waiting_dumps),
        ("code that came back", kept_code),
        ("lives of which it is not known what the log has", found_unknown),
    ])
}

/// True if a line may wait, and is then counted otherwise, or has a zero with a sign, which large sorted sets keep and small ones do
/// not, so that who loads what he has saved may have lost it.
fn is_barred(line: &Line) -> bool {
    line.iter().any(|word| word.eq_ignore_ascii_case(b"block") || word.starts_with(b"-0"))
}

/// Rows that would hold the simulation, or end it.
const LEFT_OUT: &[&str] = &[
    "blpop",
    "brpop",
    "blmove",
    "blmpop",
    "brpoplpush",
    "bzpopmin",
    "bzpopmax",
    "bzmpop",
    "wait",
    "waitaof",
    "shutdown",
    "sleep",
    "abort",
    "client|pause",
    "client|reply",
    "client|kill",
    "subscribe",
    "psubscribe",
    "ssubscribe",
    "monitor",
    "quit",
    "observe",
    "reset",
    "hello",
];

/// Runs a seed.
///
/// # Errors
/// What was violated.
pub fn check(seed: u64) -> Result<Reached, String> {
    let plan = Plan::of(seed);
    let outcome = catch_unwind(AssertUnwindSafe(|| run(plan))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default())
    });
    outcome.map_err(|what| format!("seed {seed}: {what}\n  {plan:?}"))
}
