//! Clients that wait for keys, over real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::clock::SystemClock;
use crate::config::{Config, SavePoints};
use crate::persist::storage::RealStorage;
use crate::server::background::{Background, Completion};
use crate::server::persistence::loading::{Loading, Purpose};
use crate::server::{Identity, Outside, Seeds};
use crate::sys::listen;

/// A client, whose reads fail rather than wait for ever.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the loop listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout");
        Client(stream)
    }

    fn send(&mut self, lines: &str) {
        self.0.write_all(lines.as_bytes()).expect("the loop reads");
    }

    fn expect(&mut self, reply: &str) {
        let mut bytes = vec![0; reply.len()];
        self.0.read_exact(&mut bytes).unwrap_or_else(|error| panic!("{error} instead of {reply:?}"));
        assert_eq!(String::from_utf8_lossy(&bytes), reply);
    }

    fn ask(&mut self, line: &str, reply: &str) {
        self.send(line);
        self.expect(reply);
    }

    /// Asks until INFO says so.
    fn until(&mut self, field: &str) {
        for _ in 0..100_000 {
            self.send("INFO clients\r\n");
            let mut header = Vec::new();
            while !header.ends_with(b"\r\n") {
                let mut byte = [0];
                self.0.read_exact(&mut byte).expect("a header");
                header.push(byte[0]);
            }
            let len: usize = String::from_utf8_lossy(&header[1..header.len() - 2]).parse().expect("a length");
            let mut text = vec![0; len + 2];
            self.0.read_exact(&mut text).expect("the report");
            if String::from_utf8_lossy(&text).contains(&format!("{field}\r\n")) {
                return;
            }
        }
        panic!("{field} never came");
    }
}

/// A loop over an empty server.
fn reactor(sockets: Vec<BoundSocket>) -> Reactor {
    let (clock, background) = (Rc::new(SystemClock::start()), Background::new().expect("a pair of sockets"));
    let seeds = Seeds { hash: [1; 16], prng: 1 };
    let outside = Outside { clock, background, storage: Arc::new(RealStorage) };
    let server = Server::new(
        Config { save: SavePoints::none(), ..Config::default() },
        Default::default(),
        Identity::default(),
        seeds,
        outside,
    );
    Reactor::new(server, sockets, Signals::none().expect("a pair of sockets"), Notifier::default()).expect("a poll")
}

/// Runs a loop beside a test, and ends it after.
fn with_loop(test: impl FnOnce(&dyn Fn() -> Client)) {
    let socket = listen::tcp("127.0.0.1", 0, 16).expect("a free port");
    let address: SocketAddr = socket.address.parse().expect("an address");
    let looping = std::thread::spawn(move || reactor(vec![socket]).run(|| ()).expect("the poll works"));
    test(&|| Client::connect(address));
    Client::connect(address).ask("ABORT\r\n", "+OK\r\n");
    looping.join().expect("the loop does not panic");
}

#[test]
fn the_completion_of_a_job_wakes_a_loop_that_sleeps_and_is_taken_in_that_turn() {
    let mut reactor = reactor(Vec::new());
    reactor.turn.server.background.submit(|| Completion::Purged(Ok(()))).expect("there is room");
    // No turn has set the alarm, so nothing else ends these waits for long.
    while !reactor.events.iter().any(|event| event.token() == TOKEN_BACKGROUND) {
        reactor.poll.poll(&mut reactor.events, Some(Duration::from_secs(20))).expect("the poll works");
        assert!(!reactor.events.is_empty(), "nobody woke the loop");
    }
    reactor.turn().expect("the poll works");
    assert!(reactor.turn.server.background.next_completion().is_none());
}

#[test]
fn a_served_client_goes_on_with_its_input() {
    with_loop(|connect| {
        let (mut waiter, mut other) = (connect(), connect());
        waiter.send("BLPOP k 0\r\nECHO one\r\nBLPOP j 0\r\nECHO two\r\nECHO th");
        other.until("blocked_clients:1");
        other.ask("RPUSH k 1\r\nEXISTS k\r\n", ":1\r\n:0\r\n");
        waiter.expect("*2\r\n$1\r\nk\r\n$1\r\n1\r\n$3\r\none\r\n");
        other.until("total_blocking_keys:1");
        other.ask("RPUSH j 1\r\n", ":1\r\n");
        waiter.expect("*2\r\n$1\r\nj\r\n$1\r\n1\r\n$3\r\ntwo\r\n");
        waiter.ask("ree\r\n", "$5\r\nthree\r\n");
        // One client's pipeline may make another wait and serve it.
        waiter.send("BLPOP k 0\r\n");
        other.until("blocked_clients:1");
        other.ask("RPUSH k 1\r\nBLPOP k 0\r\n", ":1\r\n");
        waiter.expect("*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
        waiter.ask("RPUSH k 2\r\nECHO x\r\n", ":1\r\n$1\r\nx\r\n");
        other.ask("ECHO y\r\n", "*2\r\n$1\r\nk\r\n$1\r\n2\r\n$1\r\ny\r\n");
    });
}

#[test]
fn a_wait_ends_by_its_time_and_the_client_goes_on() {
    with_loop(|connect| {
        let mut client = connect();
        client.ask("BLPOP k 0.02\r\nECHO x\r\n", "*-1\r\n$1\r\nx\r\n");
        client.ask("MULTI\r\nBLPOP k 0\r\nEXEC\r\n", "+OK\r\n+QUEUED\r\n*1\r\n*-1\r\n");
    });
}

#[test]
fn nothing_is_taken_for_a_client_that_has_gone() {
    with_loop(|connect| {
        let (mut waiter, mut other) = (connect(), connect());
        waiter.send("BLPOP k 0\r\n");
        other.until("blocked_clients:1");
        drop(waiter);
        other.until("connected_clients:1");
        // Its last bytes and its end come together.
        let mut waiter = connect();
        waiter.send("BLPOP k 0\r\n");
        waiter.0.shutdown(Shutdown::Write).expect("it was open");
        assert_eq!(waiter.0.read(&mut [0; 8]).expect("an orderly end"), 0);
        other.until("connected_clients:1");
        other.ask("RPUSH k 1\r\nEXISTS k\r\n", ":1\r\n:1\r\n");
        other.until("total_blocking_keys:0");
    });
}

#[test]
fn a_client_held_back_by_a_pause_is_served_when_it_ends() {
    with_loop(|connect| {
        let (mut waiter, mut other) = (connect(), connect());
        waiter.send("BLPOP k 0\r\n");
        other.until("blocked_clients:1");
        other.ask(
            "MULTI\r\nRPUSH k 1\r\nCLIENT PAUSE 50 WRITE\r\nEXEC\r\n",
            "+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n+OK\r\n",
        );
        waiter.expect("*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    });
}

#[test]
fn a_loop_that_polls_for_long_serves_and_keeps_time_as_any_other() {
    with_loop(|connect| {
        let (mut client, mut other) = (connect(), connect());
        client.ask("CONFIG SET busy-poll-us 1000\r\n", "+OK\r\n");
        for _ in 0..2000 {
            client.ask("ECHO one\r\n", "$3\r\none\r\n");
        }
        for _ in 0..20 {
            client.ask("BLPOP k 0.003\r\n", "*-1\r\n");
        }
        other.ask("CONFIG SET busy-poll-us 0\r\nECHO two\r\n", "+OK\r\n$3\r\ntwo\r\n");
    });
}

#[test]
fn a_queue_counts_as_input() {
    with_loop(|connect| {
        let (mut client, mut other) = (connect(), connect());
        other.ask("CONFIG SET client-query-buffer-limit 1mb\r\n", "+OK\r\n");
        client.ask("MULTI\r\n", "+OK\r\n");
        let command = format!("*2\r\n$4\r\nECHO\r\n$300000\r\n{}\r\n", "x".repeat(300_000));
        for _ in 0..3 {
            client.ask(&command, "+QUEUED\r\n");
        }
        client.send(&command);
        let mut rest = Vec::new();
        // Closed with bytes on their way, or in good order.
        let _ = client.0.read_to_end(&mut rest);
        other.until("connected_clients:1");
        other.ask("ECHO x\r\n", "$1\r\nx\r\n");
    });
}

#[test]
fn a_probe_is_told_that_the_server_is_not_ready_while_it_loads() {
    let mut reactor = reactor(Vec::new());
    let socket = listen::tcp("127.0.0.1", 0, 16).expect("a free port");
    let address: SocketAddr = socket.address.parse().expect("an address");
    reactor.turn.server.process.metrics_port.next = Some(vec![socket]);
    let started = reactor.turn.take_time();
    let loading =
        Loading { purpose: Purpose::Start, started, total_bytes: 1000, loaded_bytes: 10, work: None, told_ms: 0 };
    reactor.turn.server.persistence.loading = Some(Box::new(loading));
    let mut probe = Client::connect(address);
    probe.0.set_nonblocking(true).expect("a flag");
    let mut ask = |reactor: &mut Reactor, path: &str| {
        probe.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let mut answer = Vec::new();
        for _ in 0..1000 {
            reactor.turn().expect("the poll works");
            let mut bytes = [0; 4096];
            if let Ok(count) = probe.0.read(&mut bytes) {
                answer.extend_from_slice(&bytes[..count]);
            }
            if answer.ends_with(b"\n") && answer.windows(4).any(|four| four == b"\r\n\r\n") {
                return String::from_utf8_lossy(&answer).into_owned();
            }
        }
        panic!("no answer: {answer:?}");
    };
    assert!(ask(&mut reactor, "/healthz").starts_with("HTTP/1.1 200 OK\r\n"));
    let answer = ask(&mut reactor, "/readyz");
    assert!(
        answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n") && answer.ends_with("\r\n\r\nloading\n"),
        "{answer}"
    );
    reactor.turn.server.persistence.loading = None;
    assert!(ask(&mut reactor, "/readyz").starts_with("HTTP/1.1 200 OK\r\n"));
}
