//! A server in memory: commands go straight to the engine, time stands still until told otherwise, no sockets.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock, Now};
use aleadb::command;
use aleadb::config::Config;
use aleadb::engine::cron::Cron;
use aleadb::engine::dispatch::{Line, Ran, execute};
use aleadb::engine::{reactive, settle, wake};
use aleadb::feature::client_id::ClientId;
use aleadb::persist::storage::RealStorage;
use aleadb::resp::args::OwnedArgs;
use aleadb::resp::out::Out;
use aleadb::server::background::Background;
use aleadb::server::ctx::Next;
use aleadb::server::propagation::Propagated;
use aleadb::server::session::{Origin, Session};
use aleadb::server::{Identity, Outside, Seeds, Server};

/// Where the clock stands at first: 2023-11-14 22:13:20 UTC.
pub const START_MS: i64 = 1_700_000_000_000;

/// A server and one client of it.
pub struct Memory {
    pub server: Server,
    pub clock: Rc<ManualClock>,
    /// Number of the client that `raw` and `run` send for, in the order in which they connected, from 0.
    pub client: usize,
    ids: Vec<ClientId>,
    /// What the last command asked to happen next.
    pub next: Next,
    /// Bytes that a reply may have, 0 for any number.
    pub reply_bytes_max: u64,
    /// Bytes of the last reply, those included that went beyond the limit and were dropped.
    pub written_bytes: usize,
    cron: Cron,
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
        let (background, storage) = (Background::inline(), Arc::new(RealStorage));
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
            reply_bytes_max: 0,
            written_bytes: 0,
            cron: Cron::default(),
        }
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
        let owned = OwnedArgs::new(args.iter().copied());
        let mut out = Out::with_limit(self.reply_bytes_max);
        let (now, mut started_ns) = (self.clock.now(), self.clock.mono_ns());
        let named = command::lookup(args[0]);
        let line = Line { args: owned.as_args(), named, hash: None, timed_with_next: false };
        match execute(&mut self.server, self.ids[self.client], line, &mut out, now, &mut started_ns) {
            Ran::Now(next) => self.next = next,
            Ran::Held => assert!(out.is_empty(), "a command held back has no reply"),
        }
        self.server.check();
        self.written_bytes = out.written_bytes();
        out.into_bytes()
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
                wake::wake(&mut self.server, client, &mut out);
                let client = self.ids.iter().position(|id| *id == client).expect("a client of ours");
                (client, out.as_slice().expect("short").escape_ascii().to_string())
            })
            .collect()
    }

    /// What was passed on to a log or to replicas since the last time, once `server.begin_propagation` was called: units of
    /// commands, each with the number of its database.
    pub fn take_propagated(&mut self) -> Vec<Vec<(usize, Vec<Vec<u8>>)>> {
        let words = |one: &Propagated| one.args.as_args().iter_from(0).map(<[u8]>::to_vec).collect();
        let units = self.server.propagation.take();
        units.iter().map(|unit| unit.iter().map(|one| (one.db, words(one))).collect()).collect()
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
