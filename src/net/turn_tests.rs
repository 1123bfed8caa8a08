//! Turns over transports in memory, on a clock that stands still.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::base::clock::ManualClock;
use crate::config::{Config, SavePoints};
use crate::persist::storage::RealStorage;
use crate::server::background::Background;
use crate::server::session::{Blocked, Origin};
use crate::server::{Identity, Outside, Seeds};

/// Both directions of a connection, shared by its two ends.
#[derive(Debug, Default)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: Vec<u8>,
    /// The client sends no more.
    finished: bool,
}

/// The server's end.
#[derive(Clone, Debug, Default)]
struct Memory(Rc<RefCell<Wire>>);

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.to_server.is_empty() && !wire.finished {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.to_server.read(buffer)
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().to_client.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Memory {
    fn may_have_more(&self) -> bool {
        false
    }
}

fn turn_with(config: Config) -> Turn<Memory> {
    // Nothing is to be saved where the tests run.
    let config = Config { save: SavePoints::none(), ..config };
    let clock = Rc::new(ManualClock::at_unix_ms(1_000_000));
    let seeds = Seeds { hash: [1; 16], prng: 1 };
    let outside = Outside { clock, background: Background::inline(), storage: Arc::new(RealStorage) };
    Turn::new(Server::new(config, Default::default(), Identity::default(), seeds, outside))
}

fn peer(origin: Origin) -> Peer {
    Peer { origin, address: "192.0.2.1:5000".into(), local: "192.0.2.2:7379".into(), fd: 7 }
}

/// One turn, in which nothing is left for the driver to do.
fn run(turn: &mut Turn<Memory>) {
    let now = turn.take_time();
    turn.run(now, |_| {});
}

/// What the client has been sent since this was last asked.
fn taken(wire: &Memory) -> String {
    String::from_utf8(std::mem::take(&mut wire.0.borrow_mut().to_client)).expect("text")
}

/// Sends and tells the turn so.
fn send(turn: &mut Turn<Memory>, id: ClientId, wire: &Memory, bytes: &str) {
    wire.0.borrow_mut().to_server.extend(bytes.as_bytes());
    turn.note(id, Readiness { readable: true, ..Readiness::default() });
}

#[test]
fn a_turn_without_sockets_answers_what_it_is_sent_and_hands_back_what_it_closes() {
    let (mut turn, wire) = (turn_with(Config::default()), Memory::default());
    wire.0.borrow_mut().to_server.extend(b"PING\r\nECHO on");
    let now = turn.take_time();
    let id = turn.admit(wire.clone(), peer(Origin::Loopback), now).expect("there is room");
    run(&mut turn);
    assert_eq!(taken(&wire), "+PONG\r\n");
    // The bytes were fewer than asked for, so there is nothing to do until an event comes.
    assert!(!turn.has_work());
    assert!(turn.next_due_ms() > 0);
    send(&mut turn, id, &wire, "e\r\n");
    assert!(turn.has_work());
    run(&mut turn);
    assert_eq!(taken(&wire), "$3\r\none\r\n");
    assert!(turn.take_closed().is_empty());
    send(&mut turn, id, &wire, "QUIT\r\nPING\r\n");
    run(&mut turn);
    assert_eq!(taken(&wire), "+OK\r\n");
    assert!(Rc::ptr_eq(&turn.take_closed()[0].0, &wire.0) && turn.server.clients.is_empty());
    assert!(turn.transport_mut(id).is_none());
    // An event that comes late finds nobody, whoever has the slot now.
    let other = Memory::default();
    let other_id = turn.admit(other.clone(), peer(Origin::Loopback), now).expect("there is room");
    assert_ne!(other_id, id);
    turn.note(id, Readiness { read_closed: true, write_closed: true, ..Readiness::default() });
    send(&mut turn, other_id, &other, "PING\r\n");
    run(&mut turn);
    assert_eq!((taken(&other), taken(&wire)), ("+PONG\r\n".into(), String::new()));
}

#[test]
fn clients_who_may_not_come_in_are_told_why() {
    let mut turn = turn_with(Config { maxclients: 1, ..Config::default() });
    let (wire, now) = (Memory::default(), turn.take_time());
    assert_eq!(turn.admit(wire.clone(), peer(Origin::Remote), now), None);
    assert!(taken(&wire).starts_with("-DENIED Redis is running in protected mode"));
    turn.admit(Memory::default(), peer(Origin::Unix), now).expect("there is room for one");
    assert_eq!(turn.admit(wire.clone(), peer(Origin::Unix), now), None);
    assert_eq!(taken(&wire), "-ERR max number of clients reached\r\n");
    assert_eq!((turn.server.stats.rejected_connections, turn.server.stats.connections), (2, 1));
}

#[test]
fn sessions_need_no_connection() {
    let mut turn = turn_with(Config::default());
    let (wire, now) = (Memory::default(), turn.take_time());
    let alone = turn.server.admit(Origin::Unix, now);
    let id = turn.admit(wire.clone(), peer(Origin::Unix), now).expect("there is room");
    turn.server.clients.block(alone, Blocked::Unblocked { error: false, muted: false });
    let mut out = Out::default();
    out.push(b"+nobody\r\n");
    turn.server.outbox.reply(alone, out);
    turn.server.clients.resumed.push(alone);
    send(&mut turn, id, &wire, "PING\r\n");
    run(&mut turn);
    assert_eq!((taken(&wire).as_str(), turn.server.clients[alone].blocked), ("+PONG\r\n", None));
    turn.note(alone, Readiness { readable: true, ..Readiness::default() });
    turn.server.kill(alone);
    run(&mut turn);
    assert!(turn.server.clients.get(alone).is_none() && turn.take_closed().is_empty());
}
