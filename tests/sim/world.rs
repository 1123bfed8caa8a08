//! The simulated world: one server's turn over simulated connections, clients, and a clock that stands until a step moves it.

use std::collections::BTreeMap;
use std::rc::Rc;

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::config::Config;
use aleadb::net::transport::Readiness;
use aleadb::net::turn::{Peer, Turn};
use aleadb::server::background::Background;
use aleadb::server::session::Origin;
use aleadb::server::{Identity, Seeds, Server};

use crate::client::Client;
use crate::network::{Close, Socket};
use crate::properties::{Facts, Properties};
use crate::resp::Value;
use crate::workload::{Line, Step};

const START_MS: i64 = 1_700_000_000_000;
/// Milliseconds after which everything that waits for a time has had it: pauses, debounces, deadlines, short waits.
const SETTLED_MS: u64 = 10_000;
/// Bytes of output that an ordinary client may have.
const OUTPUT_BYTES_MAX: &str = "normal 65536 0 0 pubsub 65536 0 0";
/// Turns after which a server that says it has work left is thought never to be done.
const TURNS_MAX: usize = 10_000;

pub struct World {
    pub turn: Turn<Socket>,
    pub clock: Rc<ManualClock>,
    /// By the numbers that steps have for them. The last is told of every expiry, reads at once, and has no faults.
    pub clients: BTreeMap<usize, Client>,
    /// Clients that are gone, whose wires tell what they were sent.
    pub gone: Vec<Client>,
    pub facts: Facts,
}

/// The number of the client that is told of every expiry.
pub const LISTENER: usize = usize::MAX;
/// The number of the client that looks at the data in the end.
pub const AUDITOR: usize = usize::MAX - 1;

pub fn words(text: &str) -> Line {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

impl World {
    pub fn new(seed: u64) -> World {
        let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
        let seeds = Seeds { hash: [seed as u8; 16], prng: seed };
        let (sources, identity, background) = (Default::default(), Identity::default(), Background::inline());
        let config = Config { watch_resume_seconds: 2, ..Config::default() };
        let server = Server::new(config, sources, identity, seeds, clock.clone(), background);
        let (turn, clients, gone) = (Turn::new(server), BTreeMap::new(), Vec::new());
        World { turn, clock, clients, gone, facts: Facts::default() }
    }

    /// Runs all steps, then lets everything come to rest, and checks what holds then.
    ///
    /// # Errors
    /// The property that was broken, and how.
    pub fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        self.connect(LISTENER);
        let mut set: Line = words("CONFIG SET client-output-buffer-limit");
        set.extend([OUTPUT_BYTES_MAX.into(), b"notify-keyspace-events".to_vec(), b"Ex".to_vec()]);
        self.ask(LISTENER, &set);
        self.ask(LISTENER, &words("PSUBSCRIBE __keyevent@*__:expired"));
        self.turns(2)?;
        for step in steps {
            self.step(step)?;
        }
        self.settle()?;
        Properties::at_rest(self)?;
        self.leave()
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Connect(client) => self.connect(*client),
            Step::Ask(client, lines) => lines.iter().for_each(|line| self.ask(*client, line)),
            Step::Deliver(client, bytes) => self.with(*client, |client| client.wire.borrow_mut().deliver(*bytes)),
            Step::Read(client, bytes) => self.read(*client, *bytes)?,
            Step::Limit(client, read_max, write_max, room) => self.with(*client, |client| {
                let mut wire = client.wire.borrow_mut();
                (wire.read_max, wire.write_max, wire.room) = (*read_max, *write_max, *room);
            }),
            Step::Close(client, how) => self.with(*client, |client| client.close(*how)),
            Step::Spurious(client) => {
                let id = self.clients.get(client).map(|client| client.id);
                let readiness = Readiness { readable: true, writable: true, ..Readiness::default() };
                id.into_iter().for_each(|id| self.turn.note(id, readiness));
            }
            Step::Pass(ms) => self.clock.advance_ms(*ms),
            Step::SetClock(ms) => self.clock.step_wall_ms(*ms),
            Step::Turn(count) => self.turns(*count)?,
        }
        Ok(())
    }

    fn with(&mut self, client: usize, act: impl FnOnce(&mut Client)) {
        if let Some(client) = self.clients.get_mut(&client) {
            act(client);
        }
    }

    /// Brings a client in that is not there; it speaks RESP3, in which messages cannot be taken for replies.
    pub fn connect(&mut self, number: usize) {
        if self.clients.contains_key(&number) {
            return;
        }
        let (socket, now) = (Socket::default(), self.turn.take_time());
        let peer =
            Peer { origin: Origin::Loopback, address: format!("client:{number}"), local: "sim:0".into(), fd: -1 };
        if let Some(id) = self.turn.admit(socket.clone(), peer, now) {
            self.clients.insert(number, Client::new(id, &socket));
            self.ask(number, &words("HELLO 3"));
        }
    }

    /// Has a client send a request, its placeholders filled in.
    pub fn ask(&mut self, number: usize, line: &Line) {
        let Some(client) = self.clients.get(&number) else { return };
        let own = client.id.serial();
        let fingerprint = client.watched.keys().next().copied().unwrap_or(1);
        let soon_ms = self.clock.now().unix_ms + (line.concat().len() as i64 * 37) % 400;
        let fill = |word: &Vec<u8>| -> Vec<u8> {
            match word.strip_prefix(b"%id").map(|digits| String::from_utf8_lossy(digits).parse()) {
                Some(Ok(other)) => {
                    let id = self.clients.get(&other).map_or(0, |other: &Client| u64::from(other.id.serial()));
                    id.to_string().into()
                }
                _ if word == b"%fp" => fingerprint.to_string().into(),
                _ if word == b"%soon" => soon_ms.to_string().into(),
                _ => match word.strip_prefix(b"%me:") {
                    Some(rest) => [own.to_string().as_bytes(), b":", rest].concat(),
                    None => word.clone(),
                },
            }
        };
        let line = line.iter().map(fill).collect();
        self.with(number, |client| client.ask(&line));
    }

    /// Has a client read, and draws the conclusions.
    fn read(&mut self, number: usize, bytes: usize) -> Result<(), String> {
        let now_ms = self.clock.now().unix_ms;
        let Some(client) = self.clients.get_mut(&number) else { return Ok(()) };
        client.read(bytes).map_err(|what| format!("replies in order, one a request: client {number}: {what}"))?;
        std::mem::take(&mut client.learned).into_iter().try_for_each(|learned| self.facts.learn(learned, now_ms))
    }

    /// The server runs turns. What happens on the wires before each is told to it, as events would.
    pub fn turns(&mut self, count: usize) -> Result<(), String> {
        for _ in 0..count {
            for client in self.clients.values_mut() {
                let mut wire = client.wire.borrow_mut();
                if wire.closed().is_some() {
                    wire.deliver(usize::MAX);
                }
                let event = wire.take_event();
                if event != Readiness::default() {
                    self.turn.note(client.id, event);
                }
            }
            self.with(LISTENER, |listener| listener.wire.borrow_mut().deliver(usize::MAX));
            let now = self.turn.take_time();
            self.turn.run(now, |_| {});
            self.turn.take_closed();
            self.remove_gone();
            self.read(LISTENER, usize::MAX)?;
            Properties::after_turn(self)?;
        }
        Ok(())
    }

    fn remove_gone(&mut self) {
        let gone = |client: &Client| self.turn.server.clients.get(client.id).is_none();
        let numbers: Vec<usize> = self.clients.iter().filter(|(_, client)| gone(client)).map(|(n, _)| *n).collect();
        for number in numbers {
            self.gone.extend(self.clients.remove(&number));
        }
    }

    /// Ends all faults, lets everything arrive and everybody read, and time pass, until nothing happens any more.
    fn settle(&mut self) -> Result<(), String> {
        for client in self.clients.values_mut() {
            let mut wire = client.wire.borrow_mut();
            (wire.read_max, wire.write_max, wire.room) = (usize::MAX, usize::MAX, usize::MAX);
        }
        let now = self.clock.now();
        let behind_ms = START_MS + now.mono_ms() as i64 - now.unix_ms;
        self.clock.step_wall_ms(behind_ms.max(0));
        let mut passed_ms = 0;
        while passed_ms < SETTLED_MS {
            self.rest()?;
            let ms = if passed_ms < 500 { 10 } else { 500 };
            passed_ms += ms;
            self.clock.advance_ms(ms);
        }
        self.rest()
    }

    /// Turns until the server has nothing to do at this time.
    pub fn rest(&mut self) -> Result<(), String> {
        for _ in 0..TURNS_MAX {
            let before: usize = self.clients.values().map(|client| client.wire.borrow().written.len()).sum();
            let numbers: Vec<usize> = self.clients.keys().copied().collect();
            for number in numbers {
                self.with(number, |client| client.wire.borrow_mut().deliver(usize::MAX));
                self.read(number, usize::MAX)?;
            }
            self.turns(1)?;
            let after: usize = self.clients.values().map(|client| client.wire.borrow().written.len()).sum();
            let quiet = self.clients.values().all(|client| client.wire.borrow().is_quiet());
            if before == after && quiet && !self.turn.has_work() {
                return Properties::at_rest_of_turns(self);
            }
        }
        Err("a server that has nothing to do says so".into())
    }

    /// What the data is, asked by a client of its own.
    pub fn query(&mut self, line: &Line) -> Result<Value, String> {
        self.connect(AUDITOR);
        self.rest()?;
        self.ask(AUDITOR, line);
        let mark = self.clients.get(&AUDITOR).map_or(0, |auditor| auditor.wire.borrow().written.len());
        self.rest()?;
        let auditor = self.clients.get(&AUDITOR).ok_or("the auditor was disconnected")?;
        let wire = auditor.wire.borrow();
        let parsed = crate::resp::parse_first(&wire.written[mark..]).map_err(|error| error.to_string())?;
        parsed.map(|(value, _)| value).ok_or_else(|| format!("no reply to {line:?}"))
    }

    /// Everybody leaves and the data goes; nothing may be left of either.
    fn leave(&mut self) -> Result<(), String> {
        self.query(&words("FLUSHALL"))?;
        self.clients.values_mut().for_each(|client| client.close(Close::Full));
        self.rest()?;
        // Queries linger for those who may come back.
        for _ in 0..10 {
            self.clock.advance_ms(1000);
            self.rest()?;
        }
        Properties::at_the_end(self)
    }
}
