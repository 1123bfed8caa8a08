//! A run: the server's turn with its clients, its network and its clock, and the steps that move them.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock, Now};
use aleadb::config::{Config, MemoryLimit};
use aleadb::net::transport::Readiness;
use aleadb::net::turn::{ClientId, Peer, Turn};
use aleadb::server::background::Background;
use aleadb::server::eviction::Gauge;
use aleadb::server::jobs::Limits;
use aleadb::server::session::{Blocked, Origin};
use aleadb::server::{Identity, Outside, Seeds, Server};

use crate::client::{Client, Owed};
use crate::crash::{KEY_BYTES, counted_bytes};
use crate::disk::SimulatedDisk;
use crate::generate::Line;
use crate::mover::Lot;
use crate::network::Socket;
use crate::properties::{Ledger, Property, Violation};
use crate::resp::{self, Value};
use crate::scripts::{self, Held};
use crate::workload::{CLIENTS, Cache, Plan, QUERIES, Request, Role, Step, Watch, words};

/// 2023-11-14 22:13:20 UTC.
const START_MS: i64 = 1_700_000_000_000;
/// Turns within which everything has to come to rest.
const TURNS_TO_REST_MAX: usize = 5_000;
/// Longer than any wait, any time to live and any debouncing of the workload, in milliseconds.
const LONGEST_WAIT_MS: u64 = 4_000;
/// Longer than queries live on without a watcher, in milliseconds.
const LINGER_MS: u64 = 61_000;
/// Steps by which keys and values are moved after a turn, at most.
const MOVES_MAX: usize = 30;
/// Turns after which a script that holds the server is ended when everything is to come to rest.
const TURNS_OF_A_SCRIPT_MAX: usize = 100;

/// Everything there is.
pub struct World {
    pub plan: Plan,
    pub turn: Turn<Socket>,
    clock: Rc<ManualClock>,
    /// Those in the places that steps name.
    pub places: [Option<Client>; CLIENTS],
    /// Those who were there before; the server may not know yet that they have gone.
    pub former: Vec<Client>,
    /// Hears of every key that expires.
    observer: Option<Client>,
    pub ledger: Ledger,
    /// Makes texts unique.
    serial: usize,
    /// Turns that were behind a script, one after the other.
    turns_held: usize,
    /// Moves keys and values.
    lot: Lot,
    /// How often something about scripts happened.
    reached: BTreeMap<&'static str, u64>,
}

/// Runs the steps of a seed, lets everything come to rest, and sends everybody away; what was found wrong first, or how often
/// happened what the workload is there for.
pub fn run(plan: Plan, steps: &[Step]) -> Result<Reached, Violation> {
    let mut world = World::new(plan)?;
    for step in steps {
        world.step(step)?;
    }
    if !world.has_stopped() {
        world.settle()?;
    }
    let reached = world.reached();
    // What a server that is shut down has under way is dropped with it.
    if world.has_stopped() {
        return Ok(reached);
    }
    world.check_at_rest()?;
    world.leave()?;
    world.check_empty()?;
    Ok(reached)
}

/// How often something happened.
pub type Reached = Vec<(&'static str, u64)>;

impl World {
    fn new(plan: Plan) -> Result<World, Violation> {
        let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
        let bits = (u128::from(plan.seed) << 64 | 1).to_le_bytes();
        let seeds = Seeds { hash: bits, prng: plan.seed };
        let identity = Identity { run_id: "0".repeat(40), ..Identity::default() };
        let shared: Rc<dyn Clock> = Rc::<ManualClock>::clone(&clock);
        let outside =
            Outside { clock: shared, background: Background::inline(), storage: Arc::new(SimulatedDisk::new()) };
        clock.set_tick_ns(plan.look_ns);
        let config =
            Config { busy_reply_threshold: plan.busy_ms, script_auto_kill_ms: plan.auto_kill_ms, ..Config::default() };
        let mut server = Server::new(config, Default::default(), identity, seeds, outside);
        if plan.slice_elements > 0 {
            server.jobs.limits = Limits { long: 0, line: 0, slice_elements: plan.slice_elements, ..Limits::default() };
        }
        if let Some((keys, policy)) = plan.room {
            server.eviction.gauge = Gauge::Counted(counted_bytes);
            (server.config.maxmemory, server.config.maxmemory_policy) = (MemoryLimit::new(keys * KEY_BYTES), policy);
            server.renew_eviction();
        }
        server.begin_propagation();
        let mut world = World {
            plan,
            turn: Turn::new(server),
            clock,
            places: Default::default(),
            former: Vec::new(),
            observer: None,
            ledger: Ledger::default(),
            serial: 0,
            turns_held: 0,
            lot: Lot::new(plan.seed),
            reached: BTreeMap::new(),
        };
        let limit = format!("normal {} 0 0", plan.output_bytes_max);
        let line: [&[u8]; 4] = [b"CONFIG", b"SET", b"client-output-buffer-limit", limit.as_bytes()];
        world.ask(2, &line.map(<[u8]>::to_vec))?;
        world.ask(2, &words("CONFIG SET notify-keyspace-events Ex"))?;
        world.ask(2, &scripts::load_functions())?;
        let mut observer = world.connect(Role::Subscriber, 3);
        observer.send(&words("PSUBSCRIBE __keyevent@*__:expired"));
        observer.owed.push_back(Owed::Topic { more: 0 });
        world.observer = Some(observer);
        Ok(world)
    }

    fn reached(&self) -> Reached {
        let stats = &self.turn.server.stats;
        let calls =
            |name: &[u8]| stats.by_command[aleadb::command::lookup(name).expect("there is such a command").id].calls;
        let kills = |container: &[u8]| {
            let kill = aleadb::command::lookup(container).and_then(|container| container.subcommand(b"KILL"));
            let counts = &stats.by_command[kill.expect("there is such a command").id];
            counts.calls - counts.failed
        };
        let errors = |code: &[u8]| stats.errors.get(code).copied().unwrap_or(0);
        [
            ("transactions", calls(b"EXEC")),
            ("transactions that failed", errors(b"EXECABORT")),
            ("databases exchanged", calls(b"SWAPDB")),
            ("databases emptied", calls(b"FLUSHALL") + calls(b"FLUSHDB")),
            ("jobs waited for", calls(b"BLPOP") + calls(b"BRPOP") + calls(b"BLMPOP")),
            ("waits ended by others", errors(b"UNBLOCKED")),
            ("results of queries", stats.watch_frames),
            ("results that others took the place of", stats.watch_frames_superseded),
            ("queries resumed", stats.watch_resumed),
            ("clients cut off", stats.output_limit_disconnections),
            ("caches told of changes", self.places.iter().flatten().map(|client| client.invalidations).sum()),
            ("answers in caches", self.places.iter().flatten().map(|client| client.cache.len() as u64).sum()),
            ("refused behind a script", errors(b"BUSY")),
            ("scripts not killed, for they had written", errors(b"UNKILLABLE")),
            ("scripts killed", kills(b"SCRIPT") + kills(b"FUNCTION")),
            ("long commands", self.turn.server.jobs.counts.begun),
            ("long commands cancelled", self.turn.server.jobs.counts.cancelled),
            ("keys that had to go", stats.evicted_keys),
            ("blocks moved", self.lot.count),
            ("held back by long commands", self.turn.server.jobs.counts.held_back),
        ]
        .into_iter()
        .chain(self.ledger.reached())
        .chain(self.ledger.scripts.reached())
        .chain(self.reached.iter().map(|(what, count)| (*what, *count)))
        .collect()
    }

    fn clients(&mut self) -> impl Iterator<Item = &mut Client> {
        self.places.iter_mut().flatten().chain(&mut self.former).chain(&mut self.observer)
    }

    fn mono_ms(&self) -> u64 {
        self.clock.mono_ns() / 1_000_000
    }

    fn connect(&mut self, role: Role, version: u8) -> Client {
        let (socket, now) = (Socket::new(), self.turn.take_time());
        let peer = Peer { origin: Origin::Loopback, address: "127.0.0.1:5000".into(), local: String::new(), fd: 0 };
        let id = self.turn.admit(socket.clone(), peer, now).expect("there is room for some clients");
        let mut client = Client::new(id, socket, role, version);
        client.sees_twins = !self.plan.forces && self.plan.room.is_none();
        client.send(&["HELLO".to_owned(), version.to_string()]);
        client.owed.push_back(Owed::Reply);
        if let Role::Cacher(how) = role {
            client.send(&how.line());
            client.owed.push_back(Owed::Tracking);
        }
        if role == (Role::Watcher { revisions: true }) {
            client.send(&words("WATCH.MODE REVISIONS"));
            client.owed.push_back(Owed::Reply);
        }
        client
    }

    /// A client's process ends; what it sent arrives all the same.
    fn close(&mut self, place: usize) {
        if let Some(mut client) = self.places[place].take() {
            client.leave();
            self.former.push(client);
        }
    }

    fn step(&mut self, step: &Step) -> Result<(), Violation> {
        match step {
            Step::Connect { client, role, version } => {
                self.close(*client);
                self.places[*client] = Some(self.connect(*role, *version));
            }
            Step::Send { client, requests } => requests.iter().for_each(|request| self.send(*client, request)),
            Step::Close(client) => self.close(*client),
            Step::Reset(client) => {
                if let Some(mut client) = self.places[*client].take() {
                    client.is_gone = true;
                    client.socket.wire_mut().break_off();
                    self.former.push(client);
                }
            }
            Step::Advance(ms) => self.clock.advance_ms(*ms),
            Step::SetClock(ms) => self.clock.step_wall_ms(*ms),
            Step::Turns(count) => {
                for _ in 0..*count {
                    self.run_turn()?;
                }
            }
            Step::Flood { client, .. }
            | Step::Reads { client, .. }
            | Step::Window { client, .. }
            | Step::Chunk { client, .. }
            | Step::HalfClose(client)
            | Step::Spurious { client, .. } => {
                if let Some(client) = &mut self.places[*client] {
                    disturb(&mut self.turn, client, step);
                }
            }
        }
        Ok(())
    }

    fn text(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{kind}{}", self.serial)
    }

    fn number_of(&self, place: usize) -> String {
        let session = self.places[place].as_ref().and_then(|client| self.turn.server.clients.get(client.id));
        session.map_or(0, |session| session.id).to_string()
    }

    fn send(&mut self, place: usize, request: &Request) {
        let Some(role) = self.places[place].as_ref().map(|client| client.role) else { return };
        if !fits(request, role) {
            return;
        }
        let mut owed = vec![Owed::Reply];
        let line: Line = match request {
            Request::Line(line) => line.clone(),
            Request::Silent(line) => {
                owed.clear();
                line.clone()
            }
            Request::Echo => {
                let text = self.text("echo:");
                owed = vec![Owed::Echo(text.clone())];
                words(&format!("ECHO {text}"))
            }
            Request::Push(queue) => {
                let job = self.text("job-");
                self.ledger.sent(&job);
                owed = vec![Owed::Push(job.clone())];
                words(&format!("RPUSH jobs:{queue} {job}"))
            }
            Request::Pop(line) => {
                owed = vec![Owed::Pop];
                words(line)
            }
            Request::Script(script, how) => {
                let text = self.text("twin-");
                owed = vec![Owed::Script(text.clone())];
                script.line(*how, &text)
            }
            Request::Twins(line) => {
                owed = vec![Owed::Twins];
                words(line)
            }
            Request::Publish(command, channel) => {
                self.serial += 1;
                let publisher = self.places[place].as_ref().map_or(0, |client| client.id.serial());
                words(&format!("{command} ch{channel} {publisher}:{}", self.serial))
            }
            Request::Timed(ms) => {
                let (key, deadline_ms) = (self.text("t:"), self.clock.now().unix_ms + ms);
                owed = vec![Owed::Timed(key.clone(), deadline_ms)];
                self.ledger.set(&key, deadline_ms);
                words(&format!("SET {key} value PXAT {deadline_ms}"))
            }
            Request::Topics(line, count) => {
                owed = (0..*count).rev().map(|more| Owed::Topic { more }).collect();
                line.clone()
            }
            Request::Watch { query, how } => {
                self.serial += 1;
                let label = format!("{:032x}", self.serial);
                let line = watch_line(*query, *how, &label, &self.ledger);
                owed = vec![Owed::Watch { query: *query, label }];
                line
            }
            Request::Unwatch(query) => {
                let client = self.places[place].as_ref().expect("seen above");
                let found = client.watched.iter().find(|(_, watched)| watched.query == *query);
                let Some(fingerprint) = found.map(|(fingerprint, _)| fingerprint.clone()) else { return };
                owed = vec![Owed::Unwatch(fingerprint.clone())];
                words(&format!("UNOBSERVE {fingerprint}"))
            }
            Request::Cached(query) => {
                if role == Role::Cacher(Cache::OptIn) {
                    let client = self.places[place].as_mut().expect("seen above");
                    client.send(&words("CLIENT CACHING YES"));
                    client.owed.push_back(Owed::Caching);
                }
                owed = vec![Owed::Cached(*query)];
                words(QUERIES[*query])
            }
            Request::OwnWrite(key) => {
                let text = self.text("own-");
                owed = vec![Owed::OwnWrite(key, text.clone())];
                words(&format!("SET {key} {text}"))
            }
            Request::Kill(other) => words(&format!("CLIENT KILL ID {}", self.number_of(*other))),
            Request::Unblock { client, error } => {
                let how = if *error { "ERROR" } else { "TIMEOUT" };
                words(&format!("CLIENT UNBLOCK {} {how}", self.number_of(*client)))
            }
        };
        let client = self.places[place].as_mut().expect("seen above");
        if client.socket.wire().has_ended() {
            return;
        }
        client.send(&line);
        client.owed.extend(owed);
    }

    /// The network delivers, the server has a turn, the clients read, and the properties are checked.
    fn run_turn(&mut self) -> Result<(), Violation> {
        let mut edges: Vec<(ClientId, Readiness)> = Vec::new();
        for client in self.clients() {
            let mut wire = client.socket.wire_mut();
            wire.deliver();
            edges.extend(wire.edges().map(|edges| (client.id, edges)));
        }
        edges.into_iter().for_each(|(id, readiness)| self.turn.note(id, readiness));
        let now = self.turn.take_time();
        if self.has_stopped() {
            return Ok(());
        }
        let held = Held::of(&self.turn.server);
        self.turn.run(now, |_| {});
        if self.plan.moves {
            self.lot.go_on(&mut self.turn.server.dbs, MOVES_MAX);
        }
        self.ledger.count_turn(now);
        self.note_scripts(held)?;
        for socket in self.turn.take_closed() {
            let client = self.clients().find(|client| client.socket.is(&socket)).expect("a client of ours");
            client.is_closed = true;
            let owes_jobs = client.owed.contains(&Owed::Pop);
            self.ledger.closed(owes_jobs);
        }
        self.read(now)?;
        self.check_turn()
    }

    /// What has become of scripts in a turn before which the server was held like this.
    fn note_scripts(&mut self, held: Option<Held>) -> Result<(), Violation> {
        let server = &mut self.turn.server;
        Held::check(held, server)?;
        let bytes = server.propagation.take();
        let taken = self.ledger.scripts.take(&bytes);
        server.propagation.give_back(bytes);
        if !self.plan.forces {
            taken?;
        }
        let Some(client) = server.scripting.parked.as_ref().map(|parked| parked.client) else {
            self.turns_held = 0;
            return Ok(());
        };
        self.turns_held += 1;
        *self.reached.entry("turns behind a script").or_default() += 1;
        if self.turn.transport_mut(client).is_none() {
            *self.reached.entry("turns behind a script of nobody").or_default() += 1;
        }
        Ok(())
    }

    /// True if the server has been shut down.
    fn has_stopped(&self) -> bool {
        self.turn.server.process.stop_requested
    }

    /// Somebody has the script end that holds the server, if it can be ended.
    fn end_script(&mut self) {
        let mut client = self.connect(Role::Plain, 2);
        let lines = ["SCRIPT KILL", "FUNCTION KILL", "SCRIPT KILL FORCE"];
        for line in &lines[..if self.plan.forces { 3 } else { 2 }] {
            client.send(&words(line));
            client.owed.push_back(Owed::Reply);
        }
        client.leave();
        self.former.push(client);
    }

    fn read(&mut self, now: Now) -> Result<(), Violation> {
        let mut all = Vec::new();
        for client in self.clients().filter(|client| client.reads || client.is_gone) {
            let (role, id) = (client.role, client.id);
            let news = client
                .read()
                .map_err(|what| Violation::new(Property::RepliesInOrder, format!("{role:?} client {id:?}: {what}")))?;
            all.extend(news);
        }
        all.into_iter().try_for_each(|news| self.ledger.take(news, now))
    }

    /// Runs turns until nothing goes on by itself.
    fn rest(&mut self) -> Result<(), Violation> {
        for _ in 0..TURNS_TO_REST_MAX {
            self.run_turn()?;
            if self.has_stopped() {
                return Ok(());
            }
            if self.turns_held > 0 && self.turns_held.is_multiple_of(TURNS_OF_A_SCRIPT_MAX) {
                self.end_script();
            }
            if !self.turn.has_work() && self.clients().all(|client| client.socket.wire().is_still()) {
                return Ok(());
            }
        }
        Err(Violation::new(Property::ComesToRest, format!("{TURNS_TO_REST_MAX} turns were not enough")))
    }

    /// Lets time pass as the loop would: from one moment it wants to be woken at to the next.
    fn pass(&mut self, ms: u64) -> Result<(), Violation> {
        let until_ms = self.mono_ms() + ms;
        self.rest()?;
        loop {
            // The clock goes on while it is read.
            let now_ms = self.mono_ms();
            if now_ms >= until_ms {
                return Ok(());
            }
            let pause_ms = self.turn.next_due_ms().clamp(now_ms + 1, until_ms) - now_ms;
            self.clock.advance_ms(pause_ms);
            self.rest()?;
        }
    }

    /// Everybody reads, nothing is slow any more, and all that was to happen some time has time to happen.
    fn settle(&mut self) -> Result<(), Violation> {
        for client in self.clients() {
            client.reads = true;
            let mut wire = client.socket.wire_mut();
            (wire.window_bytes_max, wire.chunk_bytes) = (usize::MAX, usize::MAX);
            // Whoever has stopped reading in between has room again.
            wire.make_room();
        }
        let behind_ms = self.ledger.last_deadline_ms() - self.clock.now().unix_ms;
        self.clock.step_wall_ms(behind_ms.max(0));
        // One wait may come behind another.
        while !self.has_stopped()
            && self.turn.server.clients.iter().any(|(_, session)| session.blocked.and_then(Blocked::until_ms).is_some())
        {
            self.pass(LONGEST_WAIT_MS)?;
        }
        self.pass(LONGEST_WAIT_MS)
    }

    /// Everybody goes, after all data has been deleted.
    fn leave(&mut self) -> Result<(), Violation> {
        self.ask(2, &words("FLUSHALL"))?;
        (0..CLIENTS).for_each(|place| self.close(place));
        self.rest()?;
        if let Some(observer) = &mut self.observer {
            observer.leave();
        }
        self.clock.advance_ms(LINGER_MS);
        self.pass(LONGEST_WAIT_MS)
    }

    /// What a client of its own is answered.
    pub fn ask(&mut self, version: u8, line: &[Vec<u8>]) -> Result<Value, Violation> {
        self.ask_script(version, &[line.to_vec()])
    }

    /// What a client of its own is answered to the last of some lines.
    pub fn ask_script(&mut self, version: u8, lines: &[Line]) -> Result<Value, Violation> {
        let mut client = self.connect(Role::Plain, version);
        lines.iter().for_each(|line| client.send(line));
        let (id, socket) = (client.id, client.socket.clone());
        for _ in 0..TURNS_TO_REST_MAX {
            let mut wire = socket.wire_mut();
            wire.deliver();
            let edges = wire.edges();
            drop(wire);
            edges.into_iter().for_each(|edges| self.turn.note(id, edges));
            self.run_turn()?;
            let (mut values, _) = resp::decode_whole(socket.wire().window()).unwrap_or_default();
            // The first answers HELLO.
            if values.len() > lines.len() {
                client.leave();
                client.owed.extend(lines.iter().map(|_| Owed::Reply));
                self.former.push(client);
                return Ok(values.remove(lines.len()));
            }
        }
        Err(Violation::new(Property::RepliesInOrder, format!("no reply to {}", lines[0].join(&b' ').escape_ascii())))
    }
}

/// Whether a client of this role sends such requests.
fn fits(request: &Request, role: Role) -> bool {
    match request {
        Request::Echo => true,
        Request::Topics(..) => role == Role::Subscriber,
        Request::Watch { .. } | Request::Unwatch(_) => matches!(role, Role::Watcher { .. }),
        Request::Cached(_) | Request::OwnWrite(_) => matches!(role, Role::Cacher(_)),
        _ => role == Role::Plain,
    }
}

fn watch_line(query: usize, how: Watch, label: &str, ledger: &Ledger) -> Line {
    let (text, (name, args)) = (QUERIES[query], QUERIES[query].split_once(' ').expect("every query names a key"));
    words(&match how {
        Watch::Dotted => format!("{name}.WATCH {args} {label}"),
        Watch::Plain => format!("OBSERVE LABEL {label} {text}"),
        Watch::Every => format!("OBSERVE EVERY LABEL {label} {text}"),
        Watch::Debounce(ms) => format!("OBSERVE DEBOUNCE {ms} LABEL {label} {text}"),
        Watch::Since => format!("OBSERVE SINCE {} LABEL {label} {text}", ledger.revision(query)),
    })
}

/// Faults of one client, or of the network on its way.
fn disturb(turn: &mut Turn<Socket>, client: &mut Client, step: &Step) {
    let mut wire = client.socket.wire_mut();
    match step {
        // Empty lines, which are no requests.
        Step::Flood { bytes, .. } => wire.send(&b"\r\n".repeat(bytes / 2)),
        Step::Reads { on, .. } => client.reads = *on,
        Step::Window { bytes, .. } => {
            wire.window_bytes_max = *bytes;
            wire.make_room();
        }
        Step::Chunk { bytes, .. } => wire.chunk_bytes = *bytes,
        Step::HalfClose(_) => wire.finishing = true,
        Step::Spurious { writable, .. } => {
            let readiness = Readiness { readable: !writable, writable: *writable, ..Readiness::default() };
            drop(wire);
            turn.note(client.id, readiness);
        }
        _ => {}
    }
}
