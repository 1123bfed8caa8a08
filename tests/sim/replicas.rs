//! Several servers that follow each other, over links that are slow, break, or carry nothing for a while; servers that crash, in the
//! midst of a full synchronisation as well, and come back empty; and others that take over.
//!
//! Whoever takes over is the replica that is furthest, as Sentinel has it. After every turn:
//! - offsets of a history never go back;
//! - no replica shows a value whose time is over, or an event of its own that it expired;
//! - what WAIT has said to be on so many replicas is on some server as long as fewer have crashed.
//!
//! In the end links are whole again, and all servers come to hold the same.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use aleadb::base::clock::{Clock, ManualClock};
use aleadb::config::Config;
use aleadb::net::transport::Readiness;
use aleadb::net::turn::{ClientId, Peer, Turn};
use aleadb::server::background::Background;
use aleadb::server::jobs::Limits;
use aleadb::server::replication::following::LinkState;
use aleadb::server::session::Origin;
use aleadb::server::{Identity, Outside, Seeds, Server};

use crate::disk::SimulatedDisk;
use crate::network::Socket;
use crate::resp::{self, Value};
use crate::rng::Rng;

/// 2023-11-14 22:13:20 UTC.
const START_MS: i64 = 1_700_000_000_000;
/// How many servers there are.
const NODES: usize = 3;
/// Steps of a run.
const STEPS: usize = 600;
/// Rounds within which all servers come to hold the same, once links are whole.
const ROUNDS_TO_REST_MAX: usize = 20_000;
/// Ports of the servers: this one, and the next ones.
const FIRST_PORT: u16 = 7_000;

/// A client of a server, which sends one line after the other.
struct Client {
    id: ClientId,
    socket: Socket,
    bytes: Vec<u8>,
    /// What was sent and not answered.
    owed: Vec<Owed>,
}

enum Owed {
    Anything,
    /// A key with the moment at which it ends.
    Timed(i64),
    /// WAIT behind the write of this number.
    Wait(usize),
}

struct Node {
    turn: Turn<Socket>,
    writer: Client,
    reader: Client,
    listener: Client,
    /// The furthest that each history has come here.
    offsets: BTreeMap<String, u64>,
    /// Expired keys that were told of.
    expired: usize,
}

/// A connection between two servers: who made it comes first.
struct Link {
    ends: [(usize, ClientId, Socket); 2],
}

/// A write that WAIT has answered for.
struct Write {
    key: String,
    /// Servers that have it at least.
    copies: usize,
    /// Servers that had lost something when it was sent.
    losses: usize,
}

struct World {
    rng: Rng,
    clock: Rc<ManualClock>,
    nodes: Vec<Node>,
    links: Vec<Link>,
    /// Pairs of servers between which nothing passes.
    cut: Vec<[usize; 2]>,
    primary: usize,
    serial: usize,
    writes: Vec<Write>,
    slices: usize,
    /// How often a server lost what it alone may have had.
    losses: usize,
    reached: BTreeMap<&'static str, u64>,
}

/// Runs a seed; how often everything happened that is counted.
pub fn check(seed: u64) -> Result<Vec<(&'static str, u64)>, String> {
    let mut world = World::new(seed);
    let run = (0..STEPS).try_for_each(|_| world.step()).and_then(|()| world.settle());
    run.map_err(|what| format!("seed {seed}: {what}"))?;
    Ok(world.reached.into_iter().collect())
}

fn new_turn(clock: &Rc<ManualClock>, number: usize, seed: u64, slices: usize) -> Turn<Socket> {
    let identity = Identity { run_id: "0".repeat(40), ..Identity::default() };
    let seeds = Seeds { hash: (u128::from(seed) << 8 | number as u128).to_le_bytes(), prng: seed };
    let shared: Rc<dyn Clock> = Rc::<ManualClock>::clone(clock);
    let outside = Outside { clock: shared, background: Background::inline(), storage: Arc::new(SimulatedDisk::new()) };
    let mut config =
        Config { repl_diskless_sync_delay: 0, repl_timeout: 5, repl_ping_replica_period: 1, ..Config::default() };
    config.port = FIRST_PORT + number as u16;
    config.repl_backlog_size = 2_000;
    let mut server = Server::new(config, Default::default(), identity, seeds, outside);
    if slices > 0 {
        server.jobs.limits = Limits { long: 0, line: 0, slice_elements: slices, ..Limits::default() };
    }
    Turn::new(server)
}

fn peer() -> Peer {
    Peer { origin: Origin::Loopback, address: "10.0.0.9:5000".into(), local: String::new(), fd: 0 }
}

fn connect(turn: &mut Turn<Socket>, first: &str) -> Client {
    let (socket, now) = (Socket::new(), turn.take_time());
    let id = turn.admit(socket.clone(), peer(), now).expect("there is room");
    let mut client = Client { id, socket, bytes: Vec::new(), owed: Vec::new() };
    client.send(first, Owed::Anything);
    client
}

impl Client {
    fn send(&mut self, line: &str, owed: Owed) {
        let words: Vec<&str> = line.split(' ').collect();
        self.socket.wire_mut().send(&resp::encode(&words));
        self.owed.push(owed);
    }
}

impl Node {
    fn new(mut turn: Turn<Socket>) -> Node {
        let writer = connect(&mut turn, "PING");
        let reader = connect(&mut turn, "CONFIG SET notify-keyspace-events Ex enable-debug-command yes");
        let listener = connect(&mut turn, "PSUBSCRIBE __keyevent@*__:expired");
        Node { turn, writer, reader, listener, offsets: BTreeMap::new(), expired: 0 }
    }

    fn offset(&self) -> u64 {
        self.turn.server.replication.history.offset
    }

    fn is_replica(&self) -> bool {
        self.turn.server.replication.is_following()
    }

    fn state(&self) -> Option<LinkState> {
        self.turn.server.replication.following.as_ref().map(|following| following.state)
    }
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let clock = Rc::new(ManualClock::at_unix_ms(START_MS));
        clock.set_tick_ns(rng.below(2_000) as u64);
        let slices = *rng.pick(&[0, 0, 1, 3]);
        let nodes = (0..NODES).map(|number| Node::new(new_turn(&clock, number, seed * 100 + number as u64, slices)));
        let nodes = nodes.collect();
        let mut world = World {
            rng,
            clock,
            nodes,
            links: Vec::new(),
            cut: Vec::new(),
            primary: 0,
            serial: 0,
            writes: Vec::new(),
            slices,
            losses: 0,
            reached: BTreeMap::new(),
        };
        (1..NODES).for_each(|number| world.follow(number, 0));
        world
    }

    fn count(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// Has a server follow another.
    fn follow(&mut self, number: usize, primary: usize) {
        let line = format!("REPLICAOF 10.0.0.1 {}", FIRST_PORT as usize + primary);
        self.nodes[number].reader.send(&line, Owed::Anything);
    }

    fn step(&mut self) -> Result<(), String> {
        match self.rng.below(100) {
            0..=34 => self.write(),
            35..=44 => {
                let number = self.rng.below(NODES);
                let (key, now_ms) = (self.rng.below(20), self.clock.now().unix_ms);
                // Its deadline is the value.
                self.nodes[number].reader.send(&format!("GET t:{key}"), Owed::Timed(now_ms));
            }
            45..=59 => self.clock.advance_ms(*self.rng.pick(&[1, 1, 5, 20, 200, 1_000])),
            60 => {
                let pair = [self.rng.below(NODES), self.rng.below(NODES)];
                self.cut.push(pair);
                self.count("links that carried nothing for a while");
            }
            61..=62 => self.cut.clear(),
            63 if !self.links.is_empty() => {
                let index = self.rng.below(self.links.len());
                self.links[index].ends.iter().for_each(|(_, _, socket)| socket.wire_mut().break_off());
                self.count("links broken");
            }
            64 => self.crash(),
            65 => self.hand_over(),
            66 if !self.links.is_empty() => {
                // Slow from now on.
                let (chunk, window) = (1 + self.rng.below(200), 100 + self.rng.below(2_000));
                let index = self.rng.below(self.links.len());
                for (_, _, socket) in &self.links[index].ends {
                    let mut wire = socket.wire_mut();
                    (wire.chunk_bytes, wire.window_bytes_max) = (chunk, window);
                }
            }
            _ => {}
        }
        self.round()
    }

    /// Something is written, mostly where it belongs.
    fn write(&mut self) {
        self.serial += 1;
        let serial = self.serial;
        let number = if self.rng.chance(95) { self.primary } else { self.rng.below(NODES) };
        let (key, until_ms) = (self.rng.below(8), self.clock.now().unix_ms + 1 + self.rng.below(3_000) as i64);
        let timed = self.rng.below(20);
        let lines: Vec<String> = match self.rng.below(16) {
            0 | 1 => vec![format!("SET t:{timed} {until_ms} PXAT {until_ms}")],
            2 => vec![format!("INCR n:{key}")],
            3 => vec![format!("APPEND s:{key} x")],
            4 => vec![format!("RPUSH l:{key} {serial} b c")],
            5 => vec![format!("LPOP l:{key}"), format!("SPOP set:{key}")],
            6 => vec![format!("SADD set:{key} {serial} {} m", serial + 1)],
            7 => vec![format!("ZADD z:{key} {serial} m{serial} 1 one")],
            8 => vec![format!("HSET h:{key} f{serial} v g w"), format!("HPEXPIRE h:{key} 700 FIELDS 1 g")],
            9 => vec![format!("PEXPIRE l:{key} 900")],
            10 => vec![
                "MULTI".into(),
                format!("INCR n:{key}"),
                format!("SELECT {}", key % 3),
                format!("RPUSH l:{key} t"),
                "EXEC".into(),
            ],
            11 => vec![format!("EVAL redis.call('incr',KEYS[1])redis.call('rpush',KEYS[2],KEYS[1]) 2 n:{key} l:{key}")],
            12 => vec![format!("SUNIONSTORE set:{key} set:1 set:2"), format!("MSET n:1 {serial} s:2 {serial} s:3 x")],
            13 => vec![format!("XADD x:{key} * f {serial}"), format!("XTRIM x:{key} MAXLEN 5")],
            _ => {
                let copies = 1 + self.rng.below(2);
                let writer = &mut self.nodes[number].writer;
                writer.send("SELECT 0", Owed::Anything);
                writer.send(&format!("SET w:{serial} {}", "v".repeat(1 + serial % 300)), Owed::Anything);
                self.writes.push(Write { key: format!("w:{serial}"), copies: 0, losses: self.losses });
                writer.send(&format!("WAIT {copies} 300"), Owed::Wait(self.writes.len() - 1));
                return;
            }
        };
        lines.iter().for_each(|line| self.nodes[number].writer.send(line, Owed::Anything));
    }

    /// A server ends without a word, and comes back without its data. If it was the primary, another one takes over.
    fn crash(&mut self) {
        let is_syncing = |number: &usize| self.nodes[*number].state() == Some(LinkState::Sync);
        let syncing = (0..NODES).find(is_syncing).filter(|_| self.rng.chance(50));
        let number = syncing.unwrap_or_else(|| self.rng.below(NODES));
        if self.nodes[number].state() == Some(LinkState::Sync) {
            self.count("crashes in the midst of a full synchronisation");
        }
        self.count(if number == self.primary { "crashes of a primary" } else { "crashes of a replica" });
        self.serial += 1;
        let history = self.nodes[number].turn.server.replication.history.id.clone();
        let turn = new_turn(&self.clock, number, self.serial as u64 * 1_000 + number as u64, self.slices);
        self.nodes[number] = Node::new(turn);
        self.links.retain(|link| {
            let is_of = link.ends.iter().any(|(end, ..)| *end == number);
            if is_of {
                link.ends.iter().for_each(|(_, _, socket)| socket.wire_mut().break_off());
            }
            !is_of
        });
        self.lose_one();
        if number == self.primary {
            self.promote(number, &history);
        } else {
            self.follow(number, self.primary);
        }
    }

    /// A server loses what it alone may have.
    fn lose_one(&mut self) {
        self.losses += 1;
        self.writes.iter_mut().for_each(|write| write.copies = write.copies.saturating_sub(1));
    }

    /// The primary is replaced while it lives: what it has written and not passed on is lost with its role.
    fn hand_over(&mut self) {
        // Only a replica that takes the stream may be ahead of the others.
        let is_up = |node: &Node| node.state() == Some(LinkState::Connected);
        if self.nodes.iter().any(is_up) {
            self.count("primaries replaced");
            self.lose_one();
            let history = self.nodes[self.primary].turn.server.replication.history.id.clone();
            self.promote(self.primary, &history);
        }
    }

    /// The replica that is furthest takes over, of those that have come to take the primary's stream.
    fn promote(&mut self, former: usize, history: &str) {
        let others = (0..NODES).filter(|number| *number != former);
        let is_of = |node: &Node| node.turn.server.replication.history.id == history;
        let of_it = others.clone().filter(|number| is_of(&self.nodes[*number]));
        let Some(next) = of_it.max_by_key(|number| self.nodes[*number].offset()).or_else(|| {
            // Nobody has what it has: all of it may be lost.
            self.writes.iter_mut().for_each(|write| write.copies = 0);
            others.max_by_key(|number| self.nodes[*number].offset())
        }) else {
            return;
        };
        self.nodes[next].reader.send("REPLICAOF NO ONE", Owed::Anything);
        self.primary = next;
        (0..NODES).filter(|number| *number != next).for_each(|number| self.follow(number, next));
    }

    /// The network goes on, and every server has a turn.
    fn round(&mut self) -> Result<(), String> {
        for link in &self.links {
            let [first, second] = &link.ends;
            if self.cut.iter().any(|pair| pair.contains(&first.0) && pair.contains(&second.0) && first.0 != second.0) {
                continue;
            }
            for (from, to) in [(first, second), (second, first)] {
                let bytes = from.2.wire_mut().take();
                to.2.wire_mut().send(&bytes);
                if from.2.wire().has_ended() && !to.2.wire().has_ended() {
                    to.2.wire_mut().finishing = true;
                }
            }
        }
        (0..NODES).try_for_each(|number| self.turn(number))
    }

    fn turn(&mut self, number: usize) -> Result<(), String> {
        let mut edges: Vec<(ClientId, Readiness)> = Vec::new();
        let node = &self.nodes[number];
        let ends = self.links.iter().flat_map(|link| &link.ends).filter(|end| end.0 == number);
        let sockets = ends.map(|(_, id, socket)| (*id, socket));
        let clients = [&node.writer, &node.reader, &node.listener].map(|client| (client.id, &client.socket));
        for (id, socket) in sockets.chain(clients) {
            let mut wire = socket.wire_mut();
            wire.deliver();
            edges.extend(wire.edges().map(|edges| (id, edges)));
        }
        let node = &mut self.nodes[number];
        edges.into_iter().for_each(|(id, readiness)| node.turn.note(id, readiness));
        let was_replica = node.is_replica();
        let now = node.turn.take_time();
        node.turn.run(now, |_| {});
        let mut wanted = Vec::new();
        while let Some(next) = node.turn.take_wanted() {
            wanted.push(next);
        }
        for next in wanted {
            self.make_link(number, next.address, next.kind);
        }
        let closed = self.nodes[number].turn.take_closed();
        if closed.iter().any(|socket| socket.is(&self.nodes[number].writer.socket)) {
            // It waited when the role changed.
            self.count("waits ended by a change of roles");
            let node = &mut self.nodes[number];
            node.writer = connect(&mut node.turn, "PING");
        }
        self.links.retain(|link| {
            let is_closed = link.ends.iter().any(|(_, _, socket)| closed.iter().any(|closed| closed.is(socket)));
            if is_closed {
                link.ends.iter().for_each(|(_, _, socket)| socket.wire_mut().break_off());
            }
            !is_closed || link.ends.iter().any(|(end, _, socket)| *end != number && !socket.wire().has_ended())
        });
        self.check_turn(number, was_replica)
    }

    /// Makes a connection that a server wants, unless nothing passes there.
    fn make_link(&mut self, number: usize, address: SocketAddr, kind: aleadb::server::outgoing::LinkKind) {
        let other = (address.port() - FIRST_PORT) as usize;
        let sockets = [Socket::new(), Socket::new()];
        let is_cut = self.cut.iter().any(|pair| pair.contains(&number) && pair.contains(&other) && number != other);
        if is_cut {
            let error = std::io::ErrorKind::ConnectionRefused.into();
            return self.nodes[number].turn.connect_failed(kind, &error);
        }
        let now = self.nodes[number].turn.take_time();
        let Some(own) = self.nodes[number].turn.admit_outgoing(sockets[0].clone(), kind, peer(), now) else { return };
        let now = self.nodes[other].turn.take_time();
        let theirs = self.nodes[other].turn.admit(sockets[1].clone(), peer(), now).expect("there is room");
        let [first, second] = sockets;
        self.nodes[number].turn.note(own, Readiness { writable: true, ..Readiness::default() });
        self.links.push(Link { ends: [(number, own, first), (other, theirs, second)] });
        self.count("links made");
    }

    fn check_turn(&mut self, number: usize, was_replica: bool) -> Result<(), String> {
        let node = &mut self.nodes[number];
        let history = &node.turn.server.replication.history;
        let furthest = node.offsets.entry(history.id.clone()).or_default();
        if history.offset < *furthest {
            return Err(format!(
                "server {number}: the offset of {} went back from {furthest} to {}",
                history.id, history.offset
            ));
        }
        *furthest = history.offset;
        let is_replica = was_replica && node.is_replica();
        let mut told = Vec::new();
        for client in [&mut node.writer, &mut node.reader, &mut node.listener] {
            client.bytes.extend(client.socket.wire_mut().take());
            let (values, taken) = resp::decode_whole(&client.bytes).map_err(|error| error.to_string())?;
            client.bytes.drain(..taken);
            told.push(values);
        }
        let [written, read, events] = <[Vec<Value>; 3]>::try_from(told).expect("three clients");
        let expired = events.iter().filter(|event| event.items().is_some_and(|items| items.len() == 4)).count();
        node.expired += expired;
        if is_replica && expired > 0 {
            return Err(format!("server {number}: a replica tells that a key expired: {events:?}"));
        }
        for value in read {
            let owed = node.reader.owed.remove(0);
            if let (Owed::Timed(asked_ms), Some(deadline_ms)) = (owed, value.bytes().filter(|_| !value.is_error()))
                && let Ok(deadline_ms) = String::from_utf8_lossy(deadline_ms).parse::<i64>()
                && deadline_ms <= asked_ms
            {
                return Err(format!("server {number} shows at {asked_ms} what ended at {deadline_ms}"));
            }
        }
        let mut answered = Vec::new();
        for value in written {
            if let Owed::Wait(write) = self.nodes[number].writer.owed.remove(0) {
                answered.push((write, value.integer().unwrap_or(0)));
            }
        }
        for (write, replicas) in answered {
            if replicas > 0 && number == self.primary {
                // Who has acknowledged it may have crashed since.
                let lost = self.losses - self.writes[write].losses;
                self.writes[write].copies = (1 + replicas as usize).saturating_sub(lost);
                self.count("writes that WAIT has answered for");
            }
        }
        self.check_writes()
    }

    /// What so many servers have is not lost as long as fewer have crashed.
    fn check_writes(&self) -> Result<(), String> {
        for write in self.writes.iter().filter(|write| write.copies > 0) {
            let has = |node: &Node| node.turn.server.dbs[0].peek(write.key.as_bytes()).is_some();
            if !self.nodes.iter().any(has) {
                return Err(format!("{} is lost, though {} servers should have it", write.key, write.copies));
            }
        }
        Ok(())
    }

    /// Links are whole again, and everybody comes to rest with the same data.
    fn settle(&mut self) -> Result<(), String> {
        self.cut.clear();
        for round in 0..ROUNDS_TO_REST_MAX {
            if round % 20 == 0 {
                self.clock.advance_ms(50);
            }
            for (_, _, socket) in self.links.iter().flat_map(|link| &link.ends) {
                let mut wire = socket.wire_mut();
                (wire.chunk_bytes, wire.window_bytes_max) = (usize::MAX, usize::MAX);
                wire.make_room();
            }
            self.round()?;
            if round > 200 && self.are_equal() {
                return self.compare();
            }
        }
        let states: Vec<String> =
            self.nodes.iter().map(|node| format!("{:?} at {}", node.state(), node.offset())).collect();
        Err(format!("no rest: primary {}, {}", self.primary, states.join("; ")))
    }

    fn are_equal(&self) -> bool {
        let primary = &self.nodes[self.primary];
        let history = &primary.turn.server.replication.history;
        let is_level = |(number, node): (usize, &Node)| {
            let own = &node.turn.server.replication.history;
            let is_up = number == self.primary || node.state() == Some(LinkState::Connected);
            is_up && own.id == history.id && own.offset == history.offset
        };
        !primary.is_replica() && self.nodes.iter().enumerate().all(is_level)
    }

    fn compare(&mut self) -> Result<(), String> {
        let digests: Vec<String> = (0..NODES).map(|number| self.digest(number)).collect();
        if digests.iter().any(|digest| *digest != digests[0]) {
            return Err(format!("what they hold differs: {digests:?}"));
        }
        for node in &self.nodes {
            node.turn.server.check();
        }
        self.count("servers that came to hold the same");
        let counts = self.nodes.iter().map(|node| node.turn.server.replication.counts);
        let (full, partial) =
            counts.fold((0, 0), |(full, partial), counts| (full + counts.full, partial + counts.partial));
        self.reached.insert("full synchronisations", full);
        self.reached.insert("streams that went on where they were", partial);
        Ok(())
    }

    fn digest(&mut self, number: usize) -> String {
        let node = &mut self.nodes[number];
        let owed = node.reader.owed.len();
        node.reader.send("DEBUG DIGEST", Owed::Anything);
        let mut values = Vec::new();
        for _ in 0..100 {
            let wire = node.reader.socket.wire_mut().edges();
            wire.into_iter().for_each(|readiness| node.turn.note(node.reader.id, readiness));
            node.reader.socket.wire_mut().deliver();
            let now = node.turn.take_time();
            node.turn.run(now, |_| {});
            node.reader.bytes.extend(node.reader.socket.wire_mut().take());
            let (more, taken) = resp::decode_whole(&node.reader.bytes).expect("replies");
            node.reader.bytes.drain(..taken);
            values.extend(more);
            if values.len() > owed {
                break;
            }
        }
        node.reader.owed.clear();
        values.last().map(Value::text).unwrap_or_default()
    }
}
