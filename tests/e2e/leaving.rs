//! Clients that go: while their commands wait, behind much that nobody has read yet, and with replies they never take.

use std::io::Write;
use std::net::{Shutdown, TcpStream};

use super::process::{DEADLINE, Process};
use super::resp::{Client, encode};
use super::server::wait_until;

/// More than the socket's buffers hold at first, and more than they ever hold.
const UNREAD_BYTES: [usize; 2] = [300_000, 16 << 20];

fn raw(process: &Process) -> TcpStream {
    let stream = TcpStream::connect(process.addr()).expect("the server accepts");
    stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream
}

/// So many bytes of commands, at least.
fn commands(bytes: usize) -> Vec<u8> {
    encode(&["ECHO", "x"]).repeat(bytes / encode(&["ECHO", "x"]).len() + 1)
}

fn info(client: &mut Client, section: &str, field: &str) -> u64 {
    let text = client.call(&["INFO", section]).expect("a reply").value.text();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("{field} is in {text}"))
}

/// Waits until the one client is the only one.
fn alone(client: &mut Client) -> bool {
    wait_until(DEADLINE, || info(client, "clients", "connected_clients") == 1)
}

/// A command that waits, what lets it go on, and what shows that nothing was taken.
type Wait<'a> = (&'a [&'a str], &'a [&'a str], &'a [&'a str], &'a [u8]);

const WAITS: [Wait; 12] = [
    (&["BLPOP", "k", "0"], &["RPUSH", "k", "job"], &["LLEN", "k"], b":1\r\n"),
    (&["BRPOP", "k", "0"], &["RPUSH", "k", "job"], &["LLEN", "k"], b":1\r\n"),
    (&["BLMOVE", "k", "to", "LEFT", "LEFT", "0"], &["RPUSH", "k", "job"], &["LLEN", "k"], b":1\r\n"),
    (&["BRPOPLPUSH", "k", "to", "0"], &["RPUSH", "k", "job"], &["LLEN", "k"], b":1\r\n"),
    (&["BLMPOP", "0", "1", "k", "LEFT"], &["RPUSH", "k", "job"], &["LLEN", "k"], b":1\r\n"),
    (&["BZPOPMIN", "k", "0"], &["ZADD", "k", "1", "job"], &["ZCARD", "k"], b":1\r\n"),
    (&["BZPOPMAX", "k", "0"], &["ZADD", "k", "1", "job"], &["ZCARD", "k"], b":1\r\n"),
    (&["BZMPOP", "0", "1", "k", "MIN"], &["ZADD", "k", "1", "job"], &["ZCARD", "k"], b":1\r\n"),
    (
        &["XREADGROUP", "GROUP", "g", "c", "BLOCK", "0", "STREAMS", "stream", ">"],
        &["XADD", "stream", "*", "f", "job"],
        &["XPENDING", "stream", "g"],
        b"*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n",
    ),
    (&["XREAD", "BLOCK", "0", "STREAMS", "other", "$"], &["XADD", "other", "*", "f", "v"], &["PING"], b"+PONG\r\n"),
    (&["SLEEP", "1000"], &["PING"], &["PING"], b"+PONG\r\n"),
    // Of an open transaction nothing runs either.
    (&["MULTI"], &["PING"], &["PING"], b"+PONG\r\n"),
];

#[test]
fn a_waiting_client_that_goes_behind_unread_input_takes_nothing_with_it() {
    let process = Process::serving(&[]);
    let mut other = process.connect();
    other.call(&["XGROUP", "CREATE", "stream", "g", "$", "MKSTREAM"]).expect("a reply");
    for (wait, push, look, untouched) in WAITS {
        for bytes in UNREAD_BYTES {
            for half in [false, true] {
                let mut waiter = raw(&process);
                waiter.write_all(&encode(wait)).expect("the server listens");
                let waits = || info(&mut other, "clients", "blocked_clients") == 1 || wait[0] == "MULTI";
                assert!(wait_until(DEADLINE, waits), "{wait:?}");
                waiter.write_all(&commands(bytes)).unwrap_or_else(|error| panic!("{wait:?} {bytes}: {error}"));
                if half {
                    waiter.shutdown(Shutdown::Write).expect("it is open");
                    assert!(alone(&mut other), "{wait:?} {bytes} bytes, half closed: the client stays");
                }
                drop(waiter);
                assert!(alone(&mut other), "{wait:?} {bytes} bytes: the client stays");
                other.call(push).expect("a reply");
                assert_eq!(other.call(look).expect("a reply").raw, untouched, "{wait:?} {bytes} bytes");
                other.call(&["DEL", "k"]).expect("a reply");
                other.call(&["XGROUP", "SETID", "stream", "g", "$"]).expect("a reply");
            }
        }
    }
}

#[test]
fn commands_that_a_pause_holds_back_do_not_run_once_their_client_has_gone() {
    let process = Process::serving(&[]);
    let mut other = process.connect();
    for bytes in UNREAD_BYTES {
        assert_eq!(other.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).expect("a reply").raw, b"+OK\r\n");
        let mut held = raw(&process);
        held.write_all(&[encode(&["SET", "k", "v"]), commands(bytes)].concat()).expect("the server reads on");
        drop(held);
        assert!(alone(&mut other), "{bytes} bytes: the client stays");
        assert_eq!(other.call(&["CLIENT", "UNPAUSE"]).expect("a reply").raw, b"+OK\r\n");
        assert_eq!(other.call(&["EXISTS", "k"]).expect("a reply").raw, b":0\r\n", "{bytes} bytes");
    }
}

#[test]
fn what_a_waiting_client_sent_runs_in_order_when_it_goes_on() {
    const ECHOES: usize = 100_000;
    let process = Process::serving(&[]);
    let (mut waiter, mut other) = (process.connect(), process.connect());
    waiter.send_raw(&encode(&["BLPOP", "k", "0"])).expect("the server listens");
    let value = "x".repeat(3_000_000);
    let mut request: Vec<u8> = (0..ECHOES).flat_map(|i| encode(&["ECHO", &i.to_string()])).collect();
    request.extend(encode(&["SET", "long", &value]));
    request.extend(encode(&["STRLEN", "long"]));
    request.extend(b"ECHO the-e");
    waiter.send_raw(&request).expect("the server reads on");
    let read = || {
        let lines = other.call(&["CLIENT", "LIST"]).expect("a reply").value.text();
        let ahead = request.len();
        lines.contains(&format!(" qbuf={ahead} "))
    };
    assert!(wait_until(DEADLINE, read), "all of it is read, and shown as not parsed yet");
    other.call(&["RPUSH", "k", "job"]).expect("a reply");
    assert_eq!(waiter.read_reply().expect("a reply").raw, b"*2\r\n$1\r\nk\r\n$3\r\njob\r\n");
    for i in 0..ECHOES {
        assert_eq!(waiter.read_reply().expect("a reply").value.text(), i.to_string());
    }
    assert_eq!(waiter.read_reply().expect("a reply").raw, b"+OK\r\n");
    assert_eq!(waiter.read_reply().expect("a reply").raw, b":3000000\r\n");
    waiter.send_raw(b"nd\r\n").expect("the server listens");
    assert_eq!(waiter.read_reply().expect("a reply").value.text(), "the-end");
}

#[test]
fn the_query_buffer_limit_binds_clients_that_wait() {
    let process = Process::serving(&["--client-query-buffer-limit", "1mb"]);
    let mut other = process.connect();
    other.call(&["CLIENT", "PAUSE", "100000", "WRITE"]).expect("a reply");
    for wait in [&["BLPOP", "k", "0"][..], &["SLEEP", "1000"], &["SET", "k", "v"]] {
        let mut waiter = raw(&process);
        // It is closed in the midst of this.
        let _ = waiter.write_all(&[encode(wait), commands(4 << 20)].concat());
        assert!(alone(&mut other), "{wait:?}: the client stays");
    }
    assert_eq!(info(&mut other, "stats", "client_query_buffer_limit_disconnections"), 3);
}

#[test]
fn a_half_closed_client_that_reads_nothing_is_closed_and_one_that_reads_gets_everything() {
    let process = Process::serving(&[]);
    let mut other = process.connect();
    other.call(&["SET", "big", &"x".repeat(1 << 20)]).expect("a reply");
    let mut silent = raw(&process);
    silent.write_all(&encode(&["GET", "big"]).repeat(64)).expect("the server listens");
    silent.shutdown(Shutdown::Write).expect("it is open");
    let mut reader = process.connect();
    reader.send_raw(&encode(&["GET", "big"]).repeat(64)).expect("the server listens");
    reader.finish_sending().expect("it is open");
    for _ in 0..64 {
        assert_eq!(reader.read_reply().expect("a reply").value.bytes().map(<[u8]>::len), Some(1 << 20));
    }
    assert_eq!(reader.fill().expect("an orderly end"), 0);
    assert!(alone(&mut other), "who reads nothing stays");
}
