//! Turns over transports in memory, on a clock that stands still.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use super::*;
use crate::base::clock::ManualClock;
use crate::config::{ClientsLimit, Config, SavePoints};
use crate::persist::storage::RealStorage;
use crate::server::background::Background;
use crate::server::session::{Blocked, Origin, UnblockedBy};
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
        // A ring would give but one of its two parts, as if there were no more.
        wire.to_server.make_contiguous();
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
    turn_on(Rc::new(ManualClock::at_unix_ms(1_000_000)), config)
}

fn turn_on(clock: Rc<ManualClock>, config: Config) -> Turn<Memory> {
    // Nothing is to be saved where the tests run.
    let config = Config { save: SavePoints::none(), ..config };
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
fn a_place_is_kept_for_clients_on_this_machine() {
    let config = Config { maxclients: 4, reserved_admin_connections: 2, protected_mode: false, ..Config::default() };
    let mut turn = turn_with(config);
    let now = turn.take_time();
    let mut is_admitted = |origin| turn.admit(Memory::default(), peer(origin), now).is_some();
    let remote = [Origin::Remote; 3].map(&mut is_admitted);
    let local = [Origin::Unix, Origin::Loopback, Origin::Loopback].map(&mut is_admitted);
    assert_eq!((remote, local), ([true, true, false], [true, true, false]));
    // A limit that leaves nothing but the reserve still lets one in.
    turn = turn_with(Config { maxclients: 1, protected_mode: false, ..Config::default() });
    assert!(turn.admit(Memory::default(), peer(Origin::Remote), now).is_some());
}

#[test]
fn sessions_need_no_connection() {
    let mut turn = turn_with(Config::default());
    let (wire, now) = (Memory::default(), turn.take_time());
    let alone = turn.server.admit(Origin::Unix, now);
    let id = turn.admit(wire.clone(), peer(Origin::Unix), now).expect("there is room");
    turn.server.clients.block(alone, Blocked::Unblocked { by: UnblockedBy::Reply, muted: false });
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

/// How often a command has run and its nanoseconds, and of its histogram the count and the longest.
fn told_of(turn: &mut Turn<Memory>, name: &str) -> (u64, u64, u64, u64) {
    turn.server.settle_durations();
    let command = crate::command::lookup(name.as_bytes()).expect("a command");
    let counts = turn.server.stats.by_command[command.id];
    let durations = turn.server.observer.durations_of(command).expect("it has run");
    (counts.calls, counts.ns, durations.count(), durations.percentile_ns(100.0))
}

#[test]
fn quick_commands_of_several_clients_share_the_time_of_their_turn() {
    let clock = Rc::new(ManualClock::at_unix_ms(1_000_000));
    let mut turn = turn_on(Rc::clone(&clock), Config::default());
    let (wires, now) = ([(); 3].map(|()| Memory::default()), turn.take_time());
    let ids =
        wires.each_ref().map(|wire| turn.admit(wire.clone(), peer(Origin::Loopback), now).expect("there is room"));
    run(&mut turn);
    clock.set_tick_ns(3_000);
    for (id, wire) in ids.iter().zip(&wires) {
        send(&mut turn, *id, wire, "PING\r\n");
    }
    run(&mut turn);
    assert!(wires.iter().all(|wire| taken(wire) == "+PONG\r\n"));
    assert_eq!(told_of(&mut turn, "PING"), (3, 3_000, 3, 1_003), "one of them is not counted with the time of all");
    assert!(ids.iter().all(|id| turn.server.clients[*id].commands == 1));
    // The first ends the second's connection, and what its own command was to be timed with does not run.
    let second = turn.server.clients[ids[1]].id;
    send(&mut turn, ids[0], &wires[0], &format!("CLIENT KILL ID {second}\r\nPING\r\n"));
    send(&mut turn, ids[1], &wires[1], "PING\r\n");
    send(&mut turn, ids[2], &wires[2], "ECHO x\r\n");
    run(&mut turn);
    assert_eq!((told_of(&mut turn, "PING"), told_of(&mut turn, "ECHO").0), ((4, 4_000, 4, 1_003), 1));
}

#[test]
fn a_quick_command_alone_in_its_turn_is_timed_in_some_turns_and_when_the_turn_is_slow() {
    let clock = Rc::new(ManualClock::at_unix_ms(1_000_000));
    let mut turn = turn_on(Rc::clone(&clock), Config::default());
    let (wire, now) = (Memory::default(), turn.take_time());
    let id = turn.admit(wire.clone(), peer(Origin::Loopback), now).expect("there is room");
    let ping = |turn: &mut Turn<Memory>, tick_ns: u64| {
        clock.set_tick_ns(tick_ns);
        send(turn, id, &wire, "PING\r\n");
        run(turn);
    };
    ping(&mut turn, 1_000);
    (0..10).for_each(|_| ping(&mut turn, 9_000));
    assert_eq!(
        told_of(&mut turn, "PING"),
        (11, 11_000, 11, 1_003),
        "those that are not timed take what the first took"
    );
    ping(&mut turn, 20_000_000);
    let before = told_of(&mut turn, "PING").1;
    assert!(before >= 20_011_000 && turn.server.observer.slow.len() == 1);
    ping(&mut turn, 9_000);
    assert_eq!(told_of(&mut turn, "PING").1, before + 4_000, "one that was held up does not stand for others");
    (0..64).for_each(|_| ping(&mut turn, 3_000));
    let before = told_of(&mut turn, "PING").1;
    ping(&mut turn, 9_000);
    assert_eq!(told_of(&mut turn, "PING").1, before + 3_000);
}

/// A command as clients send it.
fn encoded(args: &[&[u8]]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend(format!("${}\r\n", arg.len()).bytes());
        bytes.extend_from_slice(arg);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Large arguments come to buffers of their own, whatever arrives with them, and wherever their commands have to wait.
#[test]
fn large_arguments_arrive_whole_however_they_are_cut() {
    use crate::base::prng::Prng;
    use crate::net::body::BODY_BYTES_MIN;

    for seed in 0..12 {
        let prng = &mut Prng::seeded(seed);
        let (mut turn, wire, other) = (turn_with(Config::default()), Memory::default(), Memory::default());
        let now = turn.take_time();
        let [id, other_id] =
            [&wire, &other].map(|wire| turn.admit(wire.clone(), peer(Origin::Unix), now).expect("room"));
        let (mut sent, mut expected, mut waits) = (Vec::new(), std::collections::BTreeMap::new(), 0);
        let value = |prng: &mut Prng| {
            let len = match prng.below(4) {
                0 => prng.below(100),
                1 => BODY_BYTES_MIN as u64 - 2 + prng.below(4),
                _ => prng.below(3 * BODY_BYTES_MIN as u64),
            };
            let first = prng.below(250);
            (0..len).map(|at| ((at + first) % 251) as u8).collect::<Vec<u8>>()
        };
        for step in 0..12 {
            let names = [0, 1, 2].map(|n| format!("key:{step}:{n}").into_bytes());
            let values = [0, 1, 2].map(|_| value(prng));
            match prng.below(5) {
                0 => {
                    let [a, b, c] = [0, 1, 2].map(|n| (names[n].as_slice(), values[n].as_slice()));
                    sent.extend(encoded(&[b"MSET", a.0, a.1, b.0, b.1, c.0, c.1]));
                    expected.extend(names.into_iter().zip(values));
                    continue;
                }
                1 => {
                    sent.extend(encoded(&[b"BLPOP", b"list", b"0"]));
                    waits += 1;
                }
                2 => sent.extend(encoded(&[b"MULTI"])),
                _ => {}
            }
            let is_queued = sent.ends_with(b"MULTI\r\n");
            let [name, _, _] = names;
            let [value, _, _] = values;
            sent.extend(encoded(&[b"SET", &name, &value, b"EX", b"1000"]));
            if is_queued {
                sent.extend(encoded(&[b"APPEND", &name, b"tail"]));
                sent.extend(encoded(&[b"EXEC"]));
            }
            expected.insert(name, if is_queued { [value, b"tail".to_vec()].concat() } else { value });
        }
        let mut rest = sent.as_slice();
        while !rest.is_empty() {
            let most = [10, 1000, 100_000, 1_000_000][prng.below(4) as usize];
            let (piece, after) = rest.split_at(rest.len().min(1 + prng.below(most) as usize));
            rest = after;
            wire.0.borrow_mut().to_server.extend(piece);
            turn.note(id, Readiness { readable: true, ..Readiness::default() });
            (0..3).for_each(|_| run(&mut turn));
        }
        while waits > 0 || turn.has_work() {
            if waits > 0 {
                send(&mut turn, other_id, &other, "RPUSH list element\r\n");
                waits -= 1;
            }
            (0..20).for_each(|_| run(&mut turn));
        }
        for (name, value) in expected {
            other.0.borrow_mut().to_client.clear();
            let line = encoded(&[b"GET", &name]);
            other.0.borrow_mut().to_server.extend(line);
            turn.note(other_id, Readiness { readable: true, ..Readiness::default() });
            run(&mut turn);
            while turn.has_work() {
                run(&mut turn);
            }
            let reply = [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat();
            assert!(other.0.borrow().to_client == reply, "seed {seed}, {}", name.escape_ascii());
        }
        assert!(!taken(&wire).contains("-ERR"), "seed {seed}");
    }
}

#[test]
fn a_large_value_is_the_buffer_it_arrived_in() {
    let (mut turn, wire) = (turn_with(Config::default()), Memory::default());
    let now = turn.take_time();
    let id = turn.admit(wire.clone(), peer(Origin::Unix), now).expect("there is room");
    let value = "x".repeat(1_000_000);
    let line = String::from_utf8(encoded(&[b"SET", b"key", value.as_bytes()])).expect("text");
    let (head, body) = line.split_at(200_000);
    send(&mut turn, id, &wire, head);
    while turn.has_work() {
        run(&mut turn);
    }
    let arriving = turn.conns[id].input.heap_bytes();
    assert!((1_000_000..1_010_000).contains(&arriving), "room for all of it, once: {arriving}");
    send(&mut turn, id, &wire, body);
    while turn.has_work() {
        run(&mut turn);
    }
    assert_eq!(taken(&wire), "+OK\r\n");
    let entry = turn.server.dbs[0].peek(b"key").expect("it was set");
    // The allocator's class of a million bytes is a MiB.
    assert!((1 << 20..(1 << 20) + 200).contains(&entry.heap_bytes()), "{}", entry.heap_bytes());
    assert!(turn.conns[id].input.heap_bytes() < 1000);
}

/// What a client takes as long as it has nothing: its session, and what it was read into.
fn counted(turn: &Turn<Memory>) -> usize {
    turn.server.clients.counted_bytes()
}

#[test]
fn the_largest_clients_go_when_all_together_take_too_much() {
    let mut turn = turn_with(Config { maxmemory_clients: ClientsLimit::Bytes(1 << 20), ..Config::default() });
    let now = turn.take_time();
    let connect = |turn: &mut Turn<Memory>| {
        let wire = Memory::default();
        (turn.admit(wire.clone(), peer(Origin::Loopback), now).expect("there is room"), wire)
    };
    let (small, small_wire) = connect(&mut turn);
    let (large, large_wire) = connect(&mut turn);
    let (spared, spared_wire) = connect(&mut turn);
    send(&mut turn, spared, &spared_wire, "CLIENT NO-EVICT ON\r\n");
    run(&mut turn);
    // Each sends the most part of a value; one of them is not to go.
    let begun = |bytes: usize| format!("*2\r\n$4\r\nECHO\r\n${}\r\n{}", bytes + 100_000, "x".repeat(bytes));
    send(&mut turn, spared, &spared_wire, &begun(800_000));
    send(&mut turn, large, &large_wire, &begun(700_000));
    for _ in 0..40 {
        [large, spared].iter().for_each(|id| turn.note(*id, Readiness { readable: true, ..Readiness::default() }));
        run(&mut turn);
    }
    assert_eq!((turn.connections(), turn.server.stats.evicted_clients), (3, 0), "{} bytes", counted(&turn));
    assert!((700_000..1 << 20).contains(&counted(&turn)), "{}", counted(&turn));
    send(&mut turn, small, &small_wire, &begun(500_000));
    for _ in 0..40 {
        turn.note(small, Readiness { readable: true, ..Readiness::default() });
        run(&mut turn);
    }
    assert_eq!((turn.connections(), turn.server.stats.evicted_clients), (2, 1));
    assert!(turn.transport_mut(large).is_none() && turn.transport_mut(small).is_some());
    turn.server.check();
    // Without a limit nothing is counted.
    send(&mut turn, spared, &spared_wire, &format!("{}\r\nCONFIG SET maxmemory-clients 0\r\n", "x".repeat(100_000)));
    for _ in 0..40 {
        turn.note(spared, Readiness { readable: true, ..Readiness::default() });
        run(&mut turn);
    }
    assert_eq!(counted(&turn), 0);
    turn.server.check();
}

#[test]
fn turns_with_clients_and_their_batches_are_counted() {
    let (mut turn, wire) = (turn_with(Config::default()), Memory::default());
    let now = turn.take_time();
    let id = turn.admit(wire.clone(), peer(Origin::Loopback), now).expect("there is room");
    run(&mut turn);
    turn.server.stats.reset();
    let counts = |turn: &Turn<Memory>| {
        let stats = &turn.server.stats;
        (stats.turns_with_clients, stats.client_events, stats.parsed_batches, stats.parsed_commands)
    };
    run(&mut turn);
    assert_eq!(counts(&turn), (0, 0, 0, 0), "nobody had sent anything");
    send(&mut turn, id, &wire, "PING\r\nPING\r\nPI");
    run(&mut turn);
    assert_eq!(counts(&turn), (1, 1, 1, 2));
    send(&mut turn, id, &wire, "N");
    run(&mut turn);
    assert_eq!(counts(&turn), (2, 2, 1, 2), "no command was whole");
    send(&mut turn, id, &wire, &format!("G\r\n{}", "PING\r\n".repeat(2 * BATCH_MAX)));
    run(&mut turn);
    assert_eq!(counts(&turn), (3, 3, 4, 3 + 2 * BATCH_MAX as u64), "one reading, three batches");
}
