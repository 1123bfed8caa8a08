//! Clients that wait, driven through the engine by commands that pop, and by one that reads for a group of consumers, which
//! is refused when its stream goes.

use std::rc::Rc;
use std::sync::Arc;

use crate::base::clock::{Clock, ManualClock};
use crate::command;
use crate::config::{Config, SavePoints};
use crate::engine::cron::Cron;
use crate::engine::dispatch::{Line, Ran, execute};
use crate::engine::{settle, wake};
use crate::feature::client_id::ClientId;
use crate::persist::storage::RealStorage;
use crate::resp::args::OwnedArgs;
use crate::resp::out::Out;
use crate::server::background::Background;
use crate::server::session::Origin;
use crate::server::{Identity, Outside, Seeds, Server};

/// A server without sockets, and its clients by number.
struct Bench {
    server: Server,
    clock: Rc<ManualClock>,
    cron: Cron,
    ids: Vec<ClientId>,
}

impl Bench {
    fn new(clients: usize) -> Bench {
        let clock = Rc::new(ManualClock::at_unix_ms(1_700_000_000_000));
        let seeds = Seeds { hash: [1; 16], prng: 1 };
        let (config, identity) = (Config { save: SavePoints::none(), ..Config::default() }, Identity::default());
        let (background, storage) = (Background::inline(), Arc::new(RealStorage));
        let outside = Outside { clock: clock.clone(), background, storage };
        let mut server = Server::new(config, Default::default(), identity, seeds, outside);
        let ids = (0..clients).map(|_| server.admit(Origin::Loopback, clock.now())).collect();
        Bench { server, clock, cron: Cron::default(), ids }
    }

    /// Sends a command; its own reply, escaped. A client that waits sends nothing.
    fn run(&mut self, client: usize, line: &str) -> String {
        assert!(!self.waits(client), "client {client} waits and cannot send {line}");
        let args = OwnedArgs::new(line.split(' ').map(str::as_bytes));
        let (mut out, now, mut started_ns) = (Out::default(), self.clock.now(), self.clock.mono_ns());
        let named = command::lookup(args.as_args().at(0));
        let line = Line { args: args.as_args(), named, hash: None, timed_with_next: false };
        if execute(&mut self.server, self.ids[client], line, &mut out, now, &mut started_ns) == Ran::Held {
            return String::from("held");
        }
        escaped(&out)
    }

    fn runs(&mut self, rows: &[(usize, &str, &str)]) {
        for (client, line, reply) in rows {
            assert_eq!(self.run(*client, line), *reply, "{line}");
        }
    }

    fn number(&self, client: ClientId) -> usize {
        self.ids.iter().position(|id| *id == client).expect("a client of ours")
    }

    fn waits(&self, client: usize) -> bool {
        self.server.clients[self.ids[client]].blocked.is_some()
    }

    /// The clients that were served since the last time, in order, each with its reply.
    fn served(&mut self) -> Vec<(usize, String)> {
        let resumed = std::mem::take(&mut self.server.clients.resumed);
        resumed
            .iter()
            .map(|client| {
                let number = self.number(*client);
                assert!(!self.waits(number));
                let mut out = Out::default();
                self.server.deliver_own(*client, 0, &mut out);
                (number, escaped(&out))
            })
            .collect()
    }

    /// Lets time pass as the loop would; the clients whose wait it ended, each with its reply.
    fn pass(&mut self, ms: u64) -> Vec<(usize, String)> {
        self.clock.advance_ms(ms);
        let now = self.clock.now();
        while self.cron.expire(&mut self.server, now) {}
        let (mut due, mut ended) = (Vec::new(), Vec::new());
        wake::due(&mut self.server, now, &mut due);
        for client in due {
            let mut out = Out::default();
            wake::wake(&mut self.server, client, &mut out, now);
            ended.push((self.number(client), escaped(&out)));
        }
        settle::serve(&mut self.server, now, &mut self.clock.mono_ns());
        ended
    }

    /// Nobody waits, and nothing is left of those who did.
    fn is_clean(&self) -> bool {
        self.server.watchers.waits.is_empty()
            && self.server.watchers.waits.clients() == 0
            && self.server.clients.iter().all(|(_, session)| session.waiting.is_none())
    }
}

fn escaped(out: &Out) -> String {
    out.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect::<Vec<u8>>().escape_ascii().to_string()
}

/// What BLPOP answers of a list whose element is `1`.
fn took(client: usize, key: &str) -> (usize, String) {
    took_of(client, key, "1")
}

fn took_of(client: usize, key: &str, element: &str) -> (usize, String) {
    (client, format!(r"*2\r\n${}\r\n{key}\r\n$1\r\n{element}\r\n", key.len()))
}

/// What BLMOVE answers.
fn moved(client: usize) -> (usize, String) {
    (client, String::from(r"$1\r\n1\r\n"))
}

fn gone(client: usize) -> (usize, String) {
    (client, String::from(NO_GROUP))
}

const OK: &str = r"+OK\r\n";
const QUEUED: &str = r"+QUEUED\r\n";
const ONE: &str = r":1\r\n";
const NO_GROUP: &str = r"-NOGROUP No such key \'k\' or consumer group \'g\' in XREADGROUP with GROUP option\r\n";
const AWAIT_GONE: &str = "XREADGROUP GROUP g c BLOCK 0 STREAMS k >";
const MAKE: &str = "XGROUP CREATE k g $ MKSTREAM";

#[test]
fn a_command_that_finds_its_key_does_not_wait() {
    let mut b = Bench::new(1);
    b.runs(&[(0, "RPUSH a 1", ONE), (0, "BLPOP x a b 0", r"*2\r\n$1\r\na\r\n$1\r\n1\r\n"), (0, "EXISTS a", r":0\r\n")]);
    assert!(b.is_clean());
}

#[test]
fn clients_are_served_in_the_order_in_which_they_began_to_wait() {
    let mut b = Bench::new(4);
    for client in [2, 0, 3] {
        assert_eq!(b.run(client, "BLPOP k k 0"), "");
    }
    // Served before the next command of anybody, the one after it on the same connection included.
    b.runs(&[(1, "RPUSH k 1", ONE), (1, "EXISTS k", r":0\r\n")]);
    assert_eq!(b.served(), [took(2, "k")]);
    assert!(b.waits(0) && b.waits(3) && !b.waits(2));
    b.runs(&[(2, "BLPOP k 0", ""), (1, "RPUSH k 1", ONE), (1, "RPUSH k 1", ONE)]);
    assert_eq!(b.served(), [took(0, "k"), took(3, "k")]);
    b.runs(&[(1, "RPUSH k 1", ONE)]);
    assert_eq!(b.served(), [took(2, "k")]);
    assert!(b.is_clean());
}

#[test]
fn keys_are_served_in_the_order_in_which_they_became_ready() {
    let mut b = Bench::new(4);
    b.runs(&[(0, "BLPOP a b c 0", ""), (1, "BLPOP c b 0", ""), (2, "BLPOP a 0", "")]);
    b.runs(&[(3, "MULTI", OK), (3, "RPUSH b 1", QUEUED), (3, "RPUSH a 1", QUEUED), (3, "EXISTS a b", QUEUED)]);
    b.runs(&[(3, "DEL a", QUEUED), (3, "RPUSH a 2", QUEUED), (3, "RPUSH c 3", QUEUED)]);
    // Within the transaction nobody has taken anything. The first client names `a` first and so takes it, though `b`
    // became ready before; that leaves `b` to the second.
    assert_eq!(b.run(3, "EXEC"), r"*6\r\n:1\r\n:1\r\n:2\r\n:1\r\n:1\r\n:1\r\n");
    assert_eq!(b.served(), [took_of(0, "a", "2"), took_of(1, "c", "3")]);
    b.runs(&[(3, "EXISTS a b c", r":1\r\n"), (3, "RPUSH a 1", ONE)]);
    assert_eq!(b.served(), [took(2, "a")]);
    assert!(b.is_clean());
}

#[test]
fn what_a_served_client_does_may_serve_another() {
    let mut b = Bench::new(5);
    b.runs(&[
        (0, "BLPOP z 0", ""),
        (1, "BLMOVE y z LEFT RIGHT 0", ""),
        (2, "BLMOVE x y LEFT RIGHT 0", ""),
        (3, "BLMOVE x y LEFT RIGHT 0", ""),
    ]);
    b.runs(&[(4, "RPUSH x 1", ONE), (4, "EXISTS x y z", r":0\r\n")]);
    assert_eq!(b.served(), [moved(2), moved(1), took(0, "z")]);
    assert!(b.waits(3));
    b.runs(&[(4, "RPUSH x 1", ONE)]);
    assert_eq!(b.served(), [moved(3)]);
    b.runs(&[(4, "EXISTS x", r":0\r\n"), (4, "LPOP y", r"$1\r\n1\r\n")]);
}

#[test]
fn a_key_that_is_gone_when_the_transaction_is_over_serves_nobody() {
    let mut b = Bench::new(2);
    b.runs(&[(0, "BLPOP k 0", ""), (1, "MULTI", OK), (1, "RPUSH k 1", QUEUED), (1, "DEL k", QUEUED)]);
    b.runs(&[(1, "EXEC", r"*2\r\n:1\r\n:1\r\n")]);
    assert_eq!(b.served(), []);
    assert!(b.waits(0));
}

#[test]
fn a_key_may_come_from_elsewhere() {
    let mut b = Bench::new(3);
    let elsewhere = [
        ("RPUSH from 1", "RENAME from k", r"+OK\r\n"),
        ("RPUSH from 1", "RENAMENX from k", r":1\r\n"),
        ("RPUSH from 1", "COPY from k", r":1\r\n"),
        ("RPUSH k 1", "DEL from", r":1\r\n"),
    ];
    for (before, line, reply) in elsewhere {
        assert_eq!(b.run(0, "BLPOP k 0"), "");
        b.run(1, before);
        assert_eq!(b.run(1, line), reply, "{line}");
        assert_eq!(b.served(), [took(0, "k")], "{line}");
    }
    // From another database, alone or with all the others.
    b.runs(&[(1, "SELECT 1", OK)]);
    for (line, reply) in [("MOVE k 0", r":1\r\n"), ("COPY k k DB 0", r":1\r\n"), ("SWAPDB 0 1", OK)] {
        b.runs(&[(0, "BLPOP k 0", ""), (2, "BLPOP other 0", ""), (1, "RPUSH k 1", ONE), (1, line, reply)]);
        assert_eq!(b.served(), [took(0, "k")], "{line}");
        b.runs(&[(1, "FLUSHALL", OK), (1, "CLIENT UNBLOCK 3", r":1\r\n")]);
        assert_eq!(b.pass(0), [(2, String::from(r"*-1\r\n"))]);
    }
    assert!(b.is_clean());
}

#[test]
fn waits_are_for_keys_of_one_database() {
    let mut b = Bench::new(3);
    b.runs(&[(0, "SELECT 3", OK), (0, "BLPOP k 0", ""), (1, "RPUSH k 1", ONE)]);
    assert_eq!(b.served(), []);
    b.runs(&[(1, "SELECT 3", OK), (1, "RPUSH k 1", ONE)]);
    assert_eq!(b.served(), [took(0, "k")]);
}

#[test]
fn a_wait_ends_at_its_time() {
    let mut b = Bench::new(3);
    b.runs(&[(0, "BLPOP k 0.05", ""), (1, "HELLO 3 SETNAME x", &b_hello()), (1, "BLPOP k 100", "")]);
    assert_eq!(b.pass(49), []);
    assert_eq!(b.pass(1), [(0, String::from(r"*-1\r\n"))]);
    b.runs(&[(2, "RPUSH k 1", ONE)]);
    assert_eq!(b.served(), [took(1, "k")], "the one whose time is over is not served any more");
    b.runs(&[(1, "BLPOP k 100", "")]);
    assert_eq!(b.pass(99_999), []);
    assert_eq!(b.pass(1), [(1, String::from(r"_\r\n"))]);
    b.runs(&[(0, "BLPOP k 9223370336854600", ""), (1, "BLPOP k 0", "")]);
    assert_eq!(b.pass(1 << 40), []);
    assert!(b.waits(0) && b.waits(1));
}

fn b_hello() -> String {
    Bench::new(2).run(1, "HELLO 3 SETNAME x")
}

#[test]
fn a_client_that_cannot_be_served_keeps_its_place_and_its_time() {
    let mut b = Bench::new(4);
    b.runs(&[(3, MAKE, OK), (3, "XGROUP CREATE k other $", OK)]);
    for client in 0..3 {
        assert_eq!(b.run(client, "XREADGROUP GROUP g c BLOCK 100 STREAMS k >"), "");
        assert_eq!(b.pass(10), []);
    }
    // All look whether it was theirs.
    b.runs(&[(3, "XGROUP DESTROY k other", ONE)]);
    assert_eq!(b.served(), []);
    assert_eq!(b.server.stats.by_command[command::lookup(b"XREADGROUP").expect("a row").id].calls, 0);
    assert_eq!(b.pass(70), [(0, String::from(r"*-1\r\n"))]);
    b.runs(&[(3, "DEL k", r":1\r\n")]);
    assert_eq!(b.served(), [gone(1), gone(2)]);
    let counts = b.server.stats.by_command[command::lookup(b"XREADGROUP").expect("a row").id];
    assert_eq!((counts.calls, counts.failed), (3, 2), "a command that waits counts once, when it is over");
    assert!(b.is_clean());
}

#[test]
fn the_end_of_a_key_is_noticed_however_it_comes() {
    let mut b = Bench::new(3);
    let gone = [gone(0)];
    for line in ["DEL k", "FLUSHDB", "FLUSHALL", "SWAPDB 0 1", "RENAME k j", "MOVE k 1", "UNLINK k", "PEXPIRE k -1"] {
        b.runs(&[(1, "FLUSHALL", OK), (1, MAKE, OK), (0, AWAIT_GONE, "")]);
        assert_eq!(b.server.watchers.waits.keys_until_deleted(), 1);
        b.run(1, line);
        assert_eq!(b.served(), gone, "{line}");
    }
    // By its deadline: collected in the background, or by whoever looks for it first.
    b.runs(&[(1, MAKE, OK), (1, "PEXPIRE k 10", ONE), (0, AWAIT_GONE, "")]);
    assert_eq!(b.pass(10), []);
    assert_eq!(b.served(), gone);
    b.runs(&[(1, MAKE, OK), (1, "PEXPIRE k 10", ONE), (0, AWAIT_GONE, "")]);
    b.clock.advance_ms(10);
    b.runs(&[(1, "XLEN k", r":0\r\n")]);
    assert_eq!(b.served(), gone);
    assert!(b.is_clean());
    assert_eq!(b.server.dbs.noting(), Default::default(), "nothing is noted when nobody wants to know");
}

#[test]
fn client_unblock_ends_a_wait() {
    let mut b = Bench::new(3);
    b.runs(&[(0, "BLPOP k 0", ""), (1, "BLPOP k 1000", "")]);
    b.runs(&[
        (2, "CLIENT UNBLOCK 1", r":1\r\n"),
        (2, "CLIENT UNBLOCK 1", r":0\r\n"),
        (2, "CLIENT UNBLOCK 2 ERROR", r":1\r\n"),
    ]);
    b.runs(&[(2, "RPUSH k 1", ONE), (2, "EXISTS k", r":1\r\n")]);
    let error = String::from(r"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    assert_eq!(b.pass(0), [(0, String::from(r"*-1\r\n")), (1, error)]);
    assert!(b.is_clean());
    assert_eq!(b.pass(5000), []);
}

#[test]
fn nothing_is_taken_for_a_client_that_goes() {
    let mut b = Bench::new(4);
    b.runs(&[(0, "BLPOP k 0", ""), (1, "BLPOP k 0", ""), (2, "BLPOP j k 0", "")]);
    b.runs(&[(3, "CLIENT KILL ID 1", r":1\r\n")]);
    b.server.forget(b.ids[1]);
    b.runs(&[(3, "RPUSH k 1", ONE)]);
    assert_eq!(b.served(), [took(2, "k")]);
    b.server.forget(b.ids[0]);
    assert!(b.is_clean());
}

#[test]
fn replies_that_nobody_wants_are_dropped() {
    let mut b = Bench::new(3);
    b.runs(&[(0, "CLIENT REPLY SKIP", ""), (0, "BLPOP k 0", ""), (1, "CLIENT REPLY OFF", ""), (1, "BLPOP k 0.01", "")]);
    b.runs(&[(2, "RPUSH k 1", ONE), (2, "EXISTS k", r":0\r\n")]);
    assert_eq!(b.served(), [(0, String::new())]);
    b.runs(&[(0, "ECHO x", r"$1\r\nx\r\n")]);
    assert_eq!(b.pass(10), [(1, String::new())]);
}

#[test]
fn a_pause_holds_served_writes_back() {
    let mut b = Bench::new(3);
    b.runs(&[(0, "BLPOP k 0", ""), (1, AWAIT_GONE, NO_GROUP)]);
    b.runs(&[(2, "MULTI", OK), (2, "RPUSH k 1", QUEUED), (2, "CLIENT PAUSE 100 WRITE", QUEUED)]);
    b.runs(&[(2, "EXEC", r"*2\r\n:1\r\n+OK\r\n"), (2, "EXISTS k", r":1\r\n")]);
    assert_eq!(b.served(), []);
    assert_eq!(b.pass(99), []);
    b.runs(&[(2, "EXISTS k", r":1\r\n")]);
    assert_eq!(b.pass(1), []);
    assert_eq!(b.served(), [took(0, "k")]);
    b.runs(&[(0, "BLPOP k 0", ""), (2, "MULTI", OK), (2, "RPUSH k 1", QUEUED), (2, "CLIENT PAUSE 100 WRITE", QUEUED)]);
    b.runs(&[(2, "EXEC", r"*2\r\n:1\r\n+OK\r\n"), (2, "CLIENT UNPAUSE", OK)]);
    assert_eq!(b.served(), [took(0, "k")]);
}

#[test]
fn nothing_waits_inside_a_transaction() {
    let mut b = Bench::new(2);
    b.runs(&[
        (0, "MULTI", OK),
        (0, "BLPOP k 0", QUEUED),
        (0, "XREAD BLOCK 0 STREAMS j $", QUEUED),
        (0, "SLEEP 5", QUEUED),
    ]);
    b.runs(&[(1, "XADD j 1-1 f v", r"$3\r\n1-1\r\n"), (0, "EXEC", r"*3\r\n*-1\r\n*-1\r\n+OK\r\n")]);
    assert!(!b.waits(0) && b.is_clean());
}

#[test]
fn a_waiting_client_shows() {
    let mut b = Bench::new(2);
    b.runs(&[(1, MAKE, OK), (0, "BLPOP a b a 0", "")]);
    let info = b.run(1, "INFO clients");
    for field in
        ["blocked_clients:1", "clients_in_timeout_table:0", "total_blocking_keys:2", "total_blocking_keys_on_nokey:0"]
    {
        assert!(info.contains(field), "{field} in {info}");
    }
    let list = b.run(1, "CLIENT LIST ID 1");
    assert!(list.contains(" flags=b ") && list.contains(" argv-mem=9 ") && list.contains(" cmd=blpop "), "{list}");
    b.runs(&[(1, "RPUSH b 1", ONE)]);
    assert_eq!(b.served(), [took(0, "b")]);
    assert_eq!(b.run(0, "XREADGROUP GROUP g c BLOCK 5 STREAMS k >"), "");
    let info = b.run(1, "INFO clients");
    assert!(info.contains("total_blocking_keys_on_nokey:1") && info.contains("clients_in_timeout_table:1"), "{info}");
}

#[test]
fn events_of_serving_come_before_the_next_reply() {
    let mut b = Bench::new(2);
    b.run(1, "CONFIG SET notify-keyspace-events Egl");
    b.run(1, "HELLO 3");
    b.run(1, "PSUBSCRIBE __keyevent*");
    b.runs(&[(0, "BLPOP k 0", "")]);
    let event = |name: &str| {
        let channel = format!("__keyevent@0__:{name}");
        let len = channel.len();
        format!(r">4\r\n$8\r\npmessage\r\n$11\r\n__keyevent*\r\n${len}\r\n{channel}\r\n$1\r\nk\r\n")
    };
    assert_eq!(b.run(1, "RPUSH k 1"), format!("{ONE}{}{}{}", event("rpush"), event("lpop"), event("del")));
    assert_eq!(b.served(), [took(0, "k")]);
}
