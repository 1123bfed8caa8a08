//! What can happen to a connection: halves, pieces, floods, neighbours.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::process::{DEADLINE, Process};
use super::resp::encode;

/// PINGs that a client must get through beside a flood.
const PINGS: usize = 100;

#[test]
fn a_half_closed_connection_gets_its_replies() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    client.send_raw(b"SET k v\r\nGET k\r\nPING\r\nGET ha").expect("the server listens");
    client.finish_sending().expect("half a close");
    for expected in [&b"+OK\r\n"[..], b"$1\r\nv\r\n", b"+PONG\r\n"] {
        assert_eq!(client.read_reply().expect("a reply").raw, expected);
    }
    assert_eq!(client.fill().expect("an orderly close"), 0);
}

#[test]
fn a_web_request_ends_the_connection_without_a_byte() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    client
        .send_raw(b"SET before yes\r\nPOST / HTTP/1.1\r\nHost: x\r\n\r\nSET after yes\r\n")
        .expect("the server listens");
    assert_eq!(client.fill().expect("an orderly close"), 0);
    let mut other = process.connect();
    assert_eq!(other.call(&["EXISTS", "before", "after"]).expect("a reply").raw, b":1\r\n");
}

#[test]
fn a_writer_of_single_bytes_is_understood() {
    let process = Process::serving(&[]);
    let (mut client, mut neighbour) = (process.connect(), process.connect());
    let value = "x".repeat(40);
    for command in [&["SET", "piece", &value][..], &["GET", "piece"], &["PING", "a\r\nb"]] {
        for byte in encode(command) {
            client.send_raw(&[byte]).expect("the server listens");
            // A turn of the loop has passed when a neighbour has its reply, so bytes do not arrive together.
            neighbour.call(&["PING"]).expect("a reply");
        }
    }
    client.send_raw(b"P").expect("the server listens");
    neighbour.call(&["PING"]).expect("a reply");
    client.send_raw(b"ING\r\n").expect("the server listens");
    assert_eq!(client.read_reply().expect("a reply").raw, b"+OK\r\n");
    assert_eq!(client.read_reply().expect("a reply").raw, format!("$40\r\n{value}\r\n").as_bytes());
    assert_eq!(client.read_reply().expect("a reply").raw, b"$4\r\na\r\nb\r\n");
    assert_eq!(client.read_reply().expect("a reply").raw, b"+PONG\r\n");
}

#[test]
fn ten_thousand_commands_in_one_write_are_answered_in_order() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let texts: Vec<String> = (0..10_000).map(|n| format!("value {n}")).collect();
    let request: Vec<u8> = texts.iter().flat_map(|text| encode(&["PING", text])).collect();
    client.send_raw(&request).expect("the server listens");
    for text in &texts {
        assert_eq!(client.read_reply().expect("a reply").value.text(), *text);
    }
    assert!(client.unread().is_empty());
}

#[test]
fn a_large_value_goes_in_and_out() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    let value: Vec<u8> = (0..20_000_000u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(client.call(&[b"SET", b"big", &value[..]]).expect("a reply").raw, b"+OK\r\n");
    assert!(client.call(&["GET", "big"]).expect("a reply").value.bytes() == Some(&value), "another value came back");
}

#[test]
fn an_endless_pipeline_does_not_starve_a_neighbour() {
    let process = Process::serving(&[]);
    let mut neighbour = process.connect();
    let mut sender = TcpStream::connect(process.addr()).expect("the server accepts");
    let mut receiver = sender.try_clone().expect("a second handle");
    for stream in [&sender, &receiver] {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
    }
    let enough = AtomicBool::new(false);
    let chunk = b"PING\r\n".repeat(10_000);
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut sent = 0;
            while !enough.load(Ordering::Relaxed) {
                sender.write_all(&chunk).expect("the server reads");
                sent += 10_000;
            }
            sender.shutdown(std::net::Shutdown::Write).expect("half a close");
            sent
        });
        let receiving = scope.spawn(|| {
            let mut count = 0;
            let mut buffer = vec![0; 1 << 16];
            loop {
                match receiver.read(&mut buffer).expect("the server answers") {
                    0 => return count,
                    bytes => count += bytes,
                }
            }
        });
        let answers: Vec<_> = (0..PINGS).map(|_| neighbour.call(&["PING"])).collect();
        enough.store(true, Ordering::Relaxed);
        assert!(answers.into_iter().all(|answer| answer.is_ok_and(|reply| reply.raw == b"+PONG\r\n")));
        let sent: usize = sending.join().expect("the sender ended");
        assert_eq!(receiving.join().expect("the receiver ended"), sent * b"+PONG\r\n".len());
    });
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let process = Process::serving(&["--maxclients", "20"]);
    for round in 0..10 {
        // Half of them in the middle of a command.
        for _ in 0..10 {
            let mut client = process.connect();
            client.send_raw(if round % 2 == 0 { b"PING\r\n" } else { b"*2\r\n$4\r\nPI" }).expect("the server listens");
        }
        let gone = super::server::wait_until(DEADLINE, || {
            let mut probe = process.connect();
            probe.call(&["PING"]).is_ok_and(|reply| reply.raw == b"+PONG\r\n")
        });
        assert!(gone, "round {round}");
    }
}

#[test]
fn a_half_closed_connection_gets_a_reply_larger_than_the_sockets_buffers() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    client.call(&["SETRANGE", "big", "99999999", "x"]).expect("a reply");
    client.send_raw(b"GET big\r\n").expect("the server listens");
    client.finish_sending().expect("half a close");
    // The server has noticed the end long before the reply is through: another client's reply proves a turn.
    process.connect().call(&["PING"]).expect("a reply");
    let reply = client.read_reply().expect("the whole reply");
    assert_eq!(reply.value.bytes().map(<[u8]>::len), Some(100_000_000));
    assert_eq!(client.fill().expect("an orderly close"), 0);
}

#[test]
fn a_command_of_many_arguments_may_come_in_pieces_among_others() {
    let process = Process::serving(&[]);
    let (mut client, mut neighbour) = (process.connect(), process.connect());
    let names: Vec<String> = (0..20_000).map(|n| format!("key {n}")).collect();
    let args: Vec<&str> =
        std::iter::once("MSET").chain(names.iter().flat_map(|name| [name.as_str(), name.as_str()])).collect();
    let request = [&b"PING before\r\nPING\r\n"[..], &encode(&args), b"DBSIZE\r\nPI"].concat();
    for piece in request.chunks(4_000) {
        client.send_raw(piece).expect("the server listens");
        neighbour.call(&["PING", "a turn has passed"]).expect("a reply");
    }
    client.send_raw(b"NG after\r\n").expect("the server listens");
    for expected in [&b"$6\r\nbefore\r\n"[..], b"+PONG\r\n", b"+OK\r\n", b":20000\r\n", b"$5\r\nafter\r\n"] {
        assert_eq!(client.read_reply().expect("a reply").raw, expected);
    }
    for name in names.iter().step_by(999) {
        assert_eq!(neighbour.call(&["GET", name]).expect("a reply").value.text(), *name);
    }
}

#[test]
fn a_pipeline_of_slow_commands_lets_a_neighbour_in_between() {
    let process = Process::serving(&["--enable-debug-command", "yes"]);
    let (mut slow, mut neighbour) = (process.connect(), process.connect());
    slow.send_raw(&b"DEBUG SLEEP 0.01\r\n".repeat(100)).expect("the server listens");
    assert_eq!(neighbour.call(&["PING"]).expect("a reply").raw, b"+PONG\r\n");
    let counts = neighbour.call(&["INFO", "commandstats"]).expect("a reply").value.text();
    let calls = counts.lines().find_map(|line| line.strip_prefix("cmdstat_debug:calls="));
    let calls = calls.map_or(0, |rest| rest.split(',').next().and_then(|n| n.parse().ok()).expect("a number"));
    assert!(calls < 100, "the neighbour had to wait for all of them");
    for _ in 0..100 {
        assert_eq!(slow.read_reply().expect("a reply").raw, b"+OK\r\n");
    }
}

#[test]
fn a_client_that_was_killed_runs_nothing_more_even_in_the_same_turn() {
    let process = Process::serving(&["--enable-debug-command", "yes"]);
    let (mut third, mut killer, mut victim) = (process.connect(), process.connect(), process.connect());
    let id = victim.call(&["CLIENT", "ID"]).expect("a reply").value.integer().expect("a number");
    // While the server is busy with the third, the kill and after it the victim's command come in.
    third.send_raw(b"DEBUG SLEEP 0.2\r\n").expect("the server listens");
    killer.send_raw(format!("CLIENT KILL ID {id}\r\n").as_bytes()).expect("the server listens");
    // It may be closed already.
    let _ = victim.send_raw(b"SET k v\r\n");
    assert_eq!(killer.read_reply().expect("a reply").raw, b":1\r\n");
    assert_eq!(third.read_reply().expect("a reply").raw, b"+OK\r\n");
    // On a busy machine the victim's command may come in for an earlier turn than the kill: then it is answered.
    let was_answered = victim.read_reply().is_ok_and(|reply| reply.raw == b"+OK\r\n");
    let expected: &[u8] = if was_answered { b":1\r\n" } else { b":0\r\n" };
    assert_eq!(third.call(&["EXISTS", "k"]).expect("a reply").raw, expected);
}

/// Asks for three large echoes over and over, on a new connection each time; what comes back must be right as far as it
/// goes, since the connection may be killed.
fn echo_until(done: &AtomicBool, process: &Process) {
    let text = vec![b'v'; 70_000];
    let request = encode(&[b"PING", &text[..]]).repeat(3);
    let expected = [&b"$70000\r\n"[..], &text, b"\r\n"].concat().repeat(3);
    while !done.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(process.addr()) else { continue };
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        let mut got = vec![0; expected.len()];
        let mut count = 0;
        if stream.write_all(&request).is_err() {
            continue;
        }
        while count < got.len()
            && let Ok(more @ 1..) = stream.read(&mut got[count..])
        {
            count += more;
        }
        assert!(got[..count] == expected[..count], "the input was mixed up");
    }
}

#[test]
fn a_connection_in_the_place_of_one_killed_while_it_waited_is_read_in_order() {
    let process = Process::serving(&[]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| echo_until(&done, &process));
            // Long pipelines keep the turns full, so that connections wait for theirs.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let Ok(mut stream) = TcpStream::connect(process.addr()) else { continue };
                    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
                    let mut replies = [0; 1 << 14];
                    if stream.write_all(&b"PING\r\n".repeat(5_000)).is_ok() {
                        let mut more = true;
                        while more && !done.load(Ordering::Relaxed) {
                            more = stream.read(&mut replies).is_ok_and(|count| count > 0);
                        }
                    }
                }
            });
        }
        let mut killer = process.connect();
        let killed = (0..500).all(|_| killer.call(&["CLIENT", "KILL", "TYPE", "normal"]).is_ok());
        done.store(true, Ordering::Relaxed);
        // Whoever still waits for replies gets none any more.
        let _ = killer.call(&["CLIENT", "KILL", "TYPE", "normal"]);
        assert!(killed, "the server is gone: {}", process.log());
    });
    assert_eq!(process.connect().call(&["PING"]).expect("the server goes on").raw, b"+PONG\r\n");
}
