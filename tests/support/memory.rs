//! A server in memory: commands go straight to the engine, time stands still until told otherwise, no sockets.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock, Now};
use aleadb::command;
use aleadb::config::{Config, OutputLimit};
use aleadb::engine::cron::Cron;
use aleadb::engine::dispatch::{Line, Ran, execute};
use aleadb::engine::{jobs, links, persistence, reactive, scripting, settle, wake};
use aleadb::feature::client_id::ClientId;
use aleadb::persist::storage::Storage;
use aleadb::resp::args::OwnedArgs;
use aleadb::resp::out::Out;
use aleadb::server::background::Background;
use aleadb::server::ctx::Next;
use aleadb::server::session::{Blocked, Origin, Session};
use aleadb::server::{Identity, Outside, Seeds, Server};

use super::disk::SimulatedDisk;

/// Where the clock stands at first: 2023-11-14 22:13:20 UTC.
pub const START_MS: i64 = 1_700_000_000_000;

/// What the server on the other end of a connection that this one has made answers to a command.
pub type Target = Box<dyn FnMut(&[Vec<u8>]) -> Vec<u8>>;

/// A server and one client of it.
pub struct Memory {
    pub server: Server,
    pub clock: Rc<ManualClock>,
    /// Number of the client that `raw` and `run` send for, in the order in which they connected, from 0.
    pub client: usize,
    ids: Vec<ClientId>,
    /// What the last command asked to happen next.
    pub next: Next,
    /// Nanoseconds that commands seem to take.
    pub took_ns: u64,
    /// Bytes that a reply may have, 0 for any number.
    pub reply_bytes_max: u64,
    /// A command that becomes a job is left to [`Memory::turn`]; else its reply is waited for.
    pub leaves_jobs: bool,
    /// Bytes of the last reply, those included that went beyond the limit and were dropped.
    pub written_bytes: usize,
    cron: Cron,
    /// The database that the last command passed on was for.
    propagated_db: usize,
    /// Who answers where keys are moved to.
    pub target: Target,
    /// Connections there.
    links: Vec<ClientId>,
}

impl Memory {
    /// A server with default settings.
    pub fn new() -> Memory {
        Memory::with_config(Config::default())
    }

    pub fn with_config(config: Config) -> Memory {
        Memory::with_seeds(config, Seeds { hash: [1; 16], prng: 1 })
    }

    /// A server that hashes and draws by lot in its own way.
    pub fn with_seeds(config: Config, seeds: Seeds) -> Memory {
        let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
        Memory::with_outside(config, seeds, clock, Background::inline(), Arc::new(SimulatedDisk::new()))
    }

    /// A server with helpers and a disk of the caller's.
    pub fn with_outside(
        config: Config,
        seeds: Seeds,
        clock: Rc<ManualClock>,
        background: Background,
        storage: Arc<dyn Storage>,
    ) -> Memory {
        let outside = Outside { clock: clock.clone(), background, storage };
        let identity = Identity { run_id: "0".repeat(40), ..Identity::default() };
        let mut server = Server::new(config, Default::default(), identity, seeds, outside);
        let ids = vec![connect(&mut server)];
        Memory {
            server,
            clock,
            client: 0,
            ids,
            next: Next::Done,
            took_ns: 0,
            reply_bytes_max: 0,
            leaves_jobs: false,
            written_bytes: 0,
            cron: Cron::default(),
            propagated_db: 0,
            target: Box::new(|_| b"+OK\r\n".to_vec()),
            links: Vec::new(),
        }
    }

    /// The time.
    pub fn clock_now(&self) -> Now {
        self.clock.now()
    }

    /// The monotonic millisecond.
    pub fn clock_ms(&self) -> u64 {
        self.clock.now().mono_ms()
    }

    /// Adds a client and makes it the one that `raw` and `run` send for. Returns its number.
    pub fn connect(&mut self) -> usize {
        self.ids.push(connect(&mut self.server));
        self.client = self.ids.len() - 1;
        self.client
    }

    /// What the server knows a client by.
    pub fn id(&self, client: usize) -> ClientId {
        self.ids[client]
    }

    /// A client goes.
    pub fn leave(&mut self, client: usize) {
        self.server.forget(self.ids[client]);
    }

    /// True until a client goes.
    pub fn is_connected(&self, client: usize) -> bool {
        self.server.clients.get(self.ids[client]).is_some()
    }

    /// A client's session.
    pub fn session(&mut self, client: usize) -> &mut Session {
        &mut self.server.clients[self.ids[client]]
    }

    /// Sends one command; the reply's bytes.
    pub fn raw(&mut self, args: &[&[u8]]) -> Vec<u8> {
        self.send(args, false)
    }

    /// Sends a line whose time is taken with that of the next one, as the loop does in a pipeline of quick commands.
    pub fn run_timed_with_next(&mut self, line: &str) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        self.send(&args, true).escape_ascii().to_string()
    }

    fn send(&mut self, args: &[&[u8]], timed_with_next: bool) -> Vec<u8> {
        let owned = OwnedArgs::new(args.iter().copied());
        if self.reply_bytes_max > 0 {
            // A job has an output of its own.
            self.server.config.client_output_buffer_limit.normal = OutputLimit::new(self.reply_bytes_max, 0, 0);
        }
        let mut out = Out::with_limit(self.reply_bytes_max);
        let (now, mut started_ns) = (self.clock.now(), self.clock.mono_ns().saturating_sub(self.took_ns));
        let named = command::lookup(args[0]);
        let line = Line { args: owned.as_args(), named, hash: None, timed_with_next };
        match execute(&mut self.server, self.ids[self.client], line, &mut out, now, &mut started_ns) {
            Ran::Now(Next::Job) => assert!(out.is_empty(), "a command held back has no reply"),
            Ran::Now(next) => self.next = next,
            Ran::Held => assert!(out.is_empty(), "a command held back has no reply"),
        }
        self.server.count_in_row(self.ids[self.client]);
        self.server.check();
        let client = self.ids[self.client];
        let has_job = |m: &Memory| m.server.clients[client].blocked == Some(Blocked::Job);
        while !self.leaves_jobs && has_job(self) {
            self.step_jobs();
            self.serve_links();
            self.server.deliver_own(client, 0, &mut out);
        }
        self.written_bytes = out.written_bytes();
        out.into_bytes()
    }

    /// Makes the connections that are wanted, has the target answer what was sent, and takes its answers. How many connections
    /// there are.
    pub fn serve_links(&mut self) -> usize {
        let now = self.clock.now();
        links::step(&mut self.server, now);
        while let Some(wanted) = self.server.outgoing.take_wanted() {
            let link = self.server.admit(Origin::Remote, now);
            let mut out = Out::default();
            match links::begin(&mut self.server, wanted.kind, link, &mut out) {
                true => {
                    self.server.outbox.reply(link, out);
                    self.links.push(link);
                }
                false => self.server.forget(link),
            }
        }
        for link in self.links.clone() {
            let mut out = Out::default();
            self.server.deliver_own(link, 0, &mut out);
            let sent = out.into_bytes();
            self.server.clients[link].net_out_bytes += sent.len() as u64;
            let mut rest = &*sent;
            while !rest.is_empty() && !self.server.clients[link].killed {
                let answer = (self.target)(&take_command(&mut rest));
                self.receive(link, &answer);
            }
        }
        self.close_links();
        self.links.len()
    }

    /// Bytes come over the last connection that the server has made.
    pub fn receive_from_target(&mut self, bytes: &[u8]) {
        let link = *self.links.last().expect("there is a connection");
        self.receive(link, bytes);
        self.close_links();
    }

    /// Makes the last connection that the server has made the one that `raw` and `run` send for: commands come over it. Its number.
    pub fn become_primary(&mut self) -> usize {
        self.ids.push(*self.links.last().expect("there is a connection"));
        self.client = self.ids.len() - 1;
        self.client
    }

    fn receive(&mut self, link: ClientId, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.server.clients[link].net_in_bytes += bytes.len() as u64;
            let mut out = Out::default();
            links::receive(&mut self.server, link, bytes, &mut out, self.clock.now());
            self.server.outbox.reply(link, out);
        }
    }

    /// The other end closes the last connection that the server has made.
    pub fn close_target(&mut self) {
        let link = *self.links.last().expect("there is a connection");
        links::closed(&mut self.server, link, None);
        self.close_links();
    }

    fn close_links(&mut self) {
        let (gone, left) = self.links.iter().partition(|link| self.server.clients[**link].killed);
        self.links = left;
        let gone: Vec<ClientId> = gone;
        gone.into_iter().for_each(|link| self.server.forget(link));
    }

    /// One turn's part of the jobs, with what follows. True if there is more to do at once.
    pub fn step_jobs(&mut self) -> bool {
        let now = self.clock.now();
        let more = jobs::step(&mut self.server, now);
        if self.server.is_unsettled() {
            settle::serve(&mut self.server, now, &mut self.clock.mono_ns());
        }
        self.server.check();
        more
    }

    /// The messages published to a client since the last time, escaped; the loop would have sent them.
    pub fn take_sent(&mut self, client: usize) -> String {
        let mut out = Out::default();
        self.server.deliver_own(self.ids[client], 0, &mut out);
        out.into_bytes().escape_ascii().to_string()
    }

    /// True while the client that `raw` and `run` send for waits; a loop would give its next command later.
    pub fn is_waiting(&self) -> bool {
        self.server.clients[self.ids[self.client]].blocked.is_some()
    }

    /// Ends the waits that are over, as the loop does once a turn: each client with its reply, escaped.
    pub fn wake(&mut self) -> Vec<(usize, String)> {
        let (now, mut due) = (self.clock.now(), Vec::new());
        wake::due(&mut self.server, now, &mut due);
        due.into_iter()
            .map(|client| {
                let mut out = Out::default();
                wake::wake(&mut self.server, client, &mut out, now);
                let client = self.ids.iter().position(|id| *id == client).expect("a client of ours");
                (client, out.as_slice().expect("short").escape_ascii().to_string())
            })
            .collect()
    }

    /// What a turn does for itself when its commands have run: completions are acted on, snapshots go on, and who waited for
    /// them may try again. True if there is more to do at once.
    pub fn turn(&mut self) -> bool {
        let now = self.clock.now();
        if self.server.scripting.is_parked() {
            scripting::step(&mut self.server, now);
            if self.server.is_unsettled() {
                settle::serve(&mut self.server, now, &mut self.clock.mono_ns());
            }
        }
        let jobs_left = self.step_jobs();
        self.cron.run(&mut self.server, now);
        let more = persistence::step(&mut self.server, now);
        self.wake();
        more | jobs_left
    }

    /// Acts on what jobs in the background have done, and on nothing else.
    pub fn turn_completions(&mut self) {
        let now = self.clock.now();
        self.cron.run(&mut self.server, now);
    }

    /// Lets no more keys and elements expire in a turn.
    pub fn limit_expiry(&mut self, keys_per_turn: usize) {
        self.cron = Cron::with_keys_per_turn(keys_per_turn);
    }

    /// One turn's part of the keys and fields that are due.
    pub fn cron_once(&mut self, now: Now) {
        self.cron.expire(&mut self.server, now);
    }

    /// One turn's part of the keys that have to go as memory is short. True if there is more to do.
    pub fn evict_once(&mut self) -> bool {
        let now = self.clock.now();
        let more = self.server.evict_in_turn(now);
        settle::serve(&mut self.server, now, &mut self.clock.mono_ns());
        self.server.eviction.note_settled();
        more
    }

    /// One turn's part of what takes several.
    pub fn go_on(&mut self) -> bool {
        self.server.go_on()
    }

    /// What was passed on to a log or to replicas since the last time, once `server.begin_propagation` was called: units of
    /// commands, each with the number of its database.
    pub fn take_propagated(&mut self) -> Vec<Vec<(usize, Vec<Vec<u8>>)>> {
        let bytes = self.server.propagation.take();
        let (mut rest, mut units, mut unit) = (&*bytes, Vec::new(), None);
        while !rest.is_empty() {
            let words = take_command(&mut rest);
            match &*words[0] {
                b"SELECT" => self.propagated_db = String::from_utf8_lossy(&words[1]).parse().expect("a number"),
                b"MULTI" => unit = Some(Vec::new()),
                b"EXEC" => units.push(unit.take().expect("it began")),
                _ => match &mut unit {
                    Some(unit) => unit.push((self.propagated_db, words)),
                    None => units.push(vec![(self.propagated_db, words)]),
                },
            }
        }
        assert!(unit.is_none(), "a unit that began has ended");
        units
    }

    /// Sends a command line split at spaces (`""` is an empty argument); the reply with `\r\n` and bytes escaped.
    pub fn run(&mut self, line: &str) -> String {
        let args = aleadb::base::quote::split_args(line.as_bytes()).expect("balanced quotes");
        let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        self.raw(&args).escape_ascii().to_string()
    }

    /// Sends lines and compares each reply: `("GET k", "$1\\r\\nv\\r\\n")`.
    pub fn expect(&mut self, rows: &[(&str, &str)]) {
        for (line, reply) in rows {
            assert_eq!(self.run(line), *reply, "{line}");
        }
    }

    /// The same for rows of several clients, each by its index.
    pub fn expect_of(&mut self, rows: &[(usize, &str, &str)]) {
        for (client, line, reply) in rows {
            self.client = *client;
            assert_eq!(self.run(line), *reply, "{line}");
        }
    }

    /// Moves both clocks, lets due keys leave, serves those who waited for that, and has live queries evaluated that are due.
    pub fn advance_ms(&mut self, ms: u64) {
        self.clock.advance_ms(ms);
        let now = self.clock.now();
        while self.cron.expire(&mut self.server, now) {}
        self.server.dbs.forget_untimed();
        reactive::evaluate_due(&mut self.server, now);
        self.server.forget_left_queries(now);
        loop {
            let more = self.server.go_on();
            settle::serve(&mut self.server, now, &mut self.clock.mono_ns());
            if !more && !self.server.watchers.reactive.has_touched() {
                break;
            }
        }
    }
}

fn connect(server: &mut Server) -> ClientId {
    let client = server.admit(Origin::Loopback, Now { mono_ns: 0, unix_ms: START_MS });
    let session = &mut server.clients[client];
    session.peer = format!("127.0.0.1:{}", 40_000 + session.id);
    session.local = String::from("127.0.0.1:7379");
    client
}

/// Takes a command off the bytes that it is encoded in.
fn take_command(rest: &mut &[u8]) -> Vec<Vec<u8>> {
    let count = take_number(rest, b'*');
    let word = |_| {
        let len = take_number(rest, b'$');
        let word = rest[..len].to_vec();
        assert_eq!(&rest[len..len + 2], b"\r\n");
        *rest = &rest[len + 2..];
        word
    };
    (0..count).map(word).collect()
}

fn take_number(rest: &mut &[u8], kind: u8) -> usize {
    let end = rest.iter().position(|byte| *byte == b'\r').expect("a line ends");
    assert_eq!((rest[0], rest[end + 1]), (kind, b'\n'));
    let number = std::str::from_utf8(&rest[1..end]).expect("digits").parse().expect("a number");
    *rest = &rest[end + 2..];
    number
}
