//! MIGRATE between processes, to targets that misbehave, and what others notice of it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{DEADLINE, Process};
use super::resp::Client;
use super::server::{free_port, wait_until};

/// A target of which each connection is served by a function, on a thread of its own.
fn target(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    port
}

fn text(client: &mut Client, line: &[&str]) -> String {
    client.call(line).expect("a reply").value.text()
}

fn raw(client: &mut Client, line: &[&str]) -> String {
    client.call(line).expect("a reply").raw.escape_ascii().to_string()
}

#[test]
fn keys_of_every_type_move_between_processes() {
    let (from, to) = (Process::serving(&[]), Process::serving(&["--requirepass", "secret"]));
    let (mut source, mut sink) = (from.connect(), to.connect());
    text(&mut sink, &["AUTH", "secret"]);
    let big = "x".repeat(20 << 20);
    let fillers: [&[&str]; 8] = [
        &["SET", "string", "v"],
        &["SET", "big", &big],
        &["RPUSH", "list", "a", "b"],
        &["SADD", "set", "a", "b"],
        &["ZADD", "zset", "1", "a"],
        &["HSET", "hash", "f", "v"],
        &["XADD", "stream", "1-1", "f", "v"],
        &["PFADD", "hll", "a", "b"],
    ];
    fillers.iter().for_each(|line| _ = text(&mut source, line));
    text(&mut source, &["PEXPIRE", "hash", "100000"]);
    let digest = |client: &mut Client| text(client, &["DEBUG", "DIGEST"]);
    let before = digest(&mut source);
    let port = to.port.to_string();
    let keys = ["string", "big", "list", "set", "zset", "hash", "stream", "hll"];
    let line = [&["MIGRATE", "localhost", &port, "", "0", "5000", "AUTH", "secret", "KEYS"][..], &keys].concat();
    assert_eq!(raw(&mut source, &line), r"+OK\r\n");
    assert_eq!(raw(&mut source, &["DBSIZE"]), r":0\r\n");
    assert_eq!(digest(&mut sink), before);
    // Without the password nothing goes.
    text(&mut sink, &["SET", "other", "v"]);
    text(&mut source, &["SET", "other", "w"]);
    let refused = raw(&mut source, &["MIGRATE", "127.0.0.1", &port, "other", "0", "5000", "REPLACE"]);
    assert_eq!(refused, r"-ERR Target instance replied with error: NOAUTH Authentication required.\r\n");
    // Back again, over what is there.
    let port = from.port.to_string();
    let line = [&["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "REPLACE", "KEYS", "other"][..], &keys].concat();
    assert_eq!(raw(&mut sink, &line), r"+OK\r\n");
    assert_eq!(raw(&mut sink, &["DBSIZE"]), r":0\r\n");
    assert_eq!(text(&mut source, &["GET", "other"]), "v");
    // To itself, in another database.
    assert_eq!(raw(&mut source, &["MIGRATE", "127.0.0.1", &port, "other", "3", "5000"]), r"+OK\r\n");
    assert_eq!(raw(&mut source, &["EXISTS", "other"]), r":0\r\n");
    text(&mut source, &["SELECT", "3"]);
    assert_eq!(text(&mut source, &["GET", "other"]), "v");
}

#[test]
fn who_cannot_be_reached_is_an_error_and_the_key_stays() {
    let process = Process::serving(&[]);
    let mut client = process.connect();
    text(&mut client, &["SET", "k", "v"]);
    let closed = free_port().expect("a port is free").to_string();
    let (connecting, writing, reading) = (
        r"-IOERR error or timeout connecting to the client\r\n",
        r"-IOERR error or timeout writing to target instance\r\n",
        r"-IOERR error or timeout reading to target instance\r\n",
    );
    let silent = target(|mut stream| while stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {});
    let leaving = target(|mut stream| _ = stream.read(&mut [0; 4096]));
    let babbling = target(|mut stream| _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    for (host, port, errors) in [
        ("nosuch.invalid", "6379", &[connecting][..]),
        ("", "6379", &[connecting]),
        ("127.0.0.1", "70000", &[connecting]),
        ("127.0.0.1", &closed, &[writing]),
        ("localhost", &closed, &[writing]),
        ("127.0.0.1", &silent, &[reading]),
        ("127.0.0.1", &leaving, &[reading]),
        // What is written may meet the end of the connection, or not.
        ("127.0.0.1", &babbling, &[reading, writing]),
    ] {
        let reply = raw(&mut client, &["MIGRATE", host, port, "k", "0", "200"]);
        assert!(errors.contains(&reply.as_str()), "{host}:{port}: {reply}");
        assert_eq!(text(&mut client, &["GET", "k"]), "v", "{host}:{port}");
    }
    assert!(wait_until(DEADLINE, || text(&mut client, &["CLIENT", "LIST"]).lines().count() == 1), "connections stay");
}

/// A target that does not read, and one that does not answer: who writes the keys waits, and nobody else.
#[test]
fn others_are_served_while_it_waits() {
    let process = Process::serving(&[]);
    let (mut mover, mut writer, mut other) = (process.connect(), process.connect(), process.connect());
    let value = "x".repeat(1 << 20);
    for n in 0..40 {
        text(&mut other, &["SET", &format!("k{n}"), &value]);
    }
    text(&mut other, &["CONFIG", "SET", "rdbcompression", "no"]);
    // It takes the greeting alone.
    let port = target(|mut stream| {
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"+OK\r\n");
        thread::park();
    });
    let keys: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let mut line = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "3000", "KEYS"];
    line.extend(keys.iter().map(String::as_str));
    let began = Instant::now();
    mover.send_raw(&super::resp::encode(&line)).expect("it listens");
    let is_listed = |other: &mut Client| text(other, &["CLIENT", "LIST"]).contains(&format!(":{port} "));
    assert!(wait_until(DEADLINE, || is_listed(&mut other)));
    writer.send_raw(&super::resp::encode(&["APPEND", "k39", "y"])).expect("it listens");
    let mut served = 0;
    while began.elapsed() < Duration::from_millis(1500) {
        assert_eq!(raw(&mut other, &["STRLEN", "k39"]), format!(r":{}\r\n", 1 << 20));
        served += 1;
    }
    assert!(served > 100, "{served}");
    // What the kernel holds of it has been read of the data, and not much more.
    let info = text(&mut other, &["CLIENT", "LIST"]);
    let link = info.lines().find(|line| line.contains(&format!(":{port} "))).expect("it is listed");
    let omem = link.split(" omem=").nth(1).and_then(|rest| rest.split(' ').next()).expect("a field");
    assert!(omem.parse::<u64>().expect("a number") < 4 << 20, "{link}");
    assert_eq!(mover.read_reply().expect("a reply").raw, b"-IOERR error or timeout writing to target instance\r\n");
    assert!(began.elapsed() >= Duration::from_secs(3));
    assert_eq!(writer.read_reply().expect("a reply").raw, format!(":{}\r\n", (1 << 20) + 1).as_bytes());
    assert_eq!(raw(&mut other, &["DBSIZE"]), r":40\r\n");
}

#[test]
fn a_key_that_was_taken_is_deleted_after_its_client_has_gone_or_was_killed() {
    let process = Process::serving(&["--appendonly", "yes"]);
    let mut other = process.connect();
    for is_killed in [false, true] {
        text(&mut other, &["SET", "k", "v"]);
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let told = std::sync::Arc::new(std::sync::Mutex::new(told));
        let port = target(move |mut stream| {
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"+OK\r\n");
            let _ = stream.read(&mut [0; 64]);
            let _ = told.lock().expect("nobody panics").recv();
            let _ = stream.write_all(b"+OK\r\n");
            let _ = stream.read(&mut [0; 64]);
        });
        let mut mover = process.connect();
        let id = mover.call(&["CLIENT", "ID"]).expect("a reply").value.integer().expect("a number").to_string();
        mover.send_raw(&super::resp::encode(&["MIGRATE", "127.0.0.1", &port, "k", "0", "20000"])).expect("it listens");
        let link = format!(":{port} ");
        let has_greeted = |other: &mut Client| {
            let list = text(other, &["CLIENT", "LIST"]);
            list.lines().any(|line| line.contains(&link) && !line.contains(" tot-net-in=0 "))
        };
        assert!(wait_until(DEADLINE, || has_greeted(&mut other)));
        match is_killed {
            true => assert_eq!(raw(&mut other, &["CLIENT", "KILL", "ID", &id]), r":1\r\n"),
            false => drop(mover),
        }
        let is_gone = |other: &mut Client| !text(other, &["CLIENT", "LIST"]).contains(&format!("id={id} "));
        assert!(wait_until(DEADLINE, || is_gone(&mut other)));
        assert_eq!(text(&mut other, &["GET", "k"]), "v");
        tell.send(()).expect("it waits");
        assert!(wait_until(DEADLINE, || raw(&mut other, &["EXISTS", "k"]) == r":0\r\n"));
    }
}
