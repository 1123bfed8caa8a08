//! What a client may not do: read too slowly, send too much, be one too many, be a stranger, sleep.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use super::process::{DEADLINE, Process, has_program, skip};
use super::resp::{Client, encode};
use super::server::wait_until;

const MIB: u64 = 1 << 20;

/// Receives until the server closes; everything that came.
fn drain(client: &mut Client) -> Vec<u8> {
    client.set_timeout(DEADLINE).expect("a timeout can be set");
    while client.fill().expect("the server closes the connection") > 0 {}
    client.unread().to_vec()
}

#[test]
fn a_reader_over_the_output_limit_is_closed_and_memory_stays_bounded() {
    let process = Process::serving(&["--client-output-buffer-limit", "normal 1mb 0 0"]);
    let mut other = process.connect();
    other.call(&["SET", "big", &"x".repeat(100_000)]).expect("a reply");
    let before = process.resident_bytes();
    // A gigabyte of replies is asked for and not read.
    let mut slow = TcpStream::connect(process.addr()).expect("the server accepts");
    slow.set_write_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let request = encode(&["GET", "big"]).repeat(10_000);
    match slow.write_all(&request) {
        Ok(()) => {}
        Err(error) => assert!(matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}"),
    }
    let closed = "closed for overcoming of output buffer limits";
    assert!(wait_until(DEADLINE, || process.log().contains(closed)), "{}", process.log());
    assert!(other.call(&["PING"]).is_ok(), "the others go on");
    let grown = process.resident_bytes().saturating_sub(before);
    // A batch of commands may be answered before the limit is looked at, and the rest is copies in flight.
    assert!(grown < 128 * MIB, "grown by {grown} bytes");
}

#[test]
fn no_single_command_and_no_transaction_takes_more_memory_than_the_output_limit() {
    let process =
        Process::serving(&["--client-output-buffer-limit", "normal 1mb 0 0", "--watch-result-bytes-max", "1mb"]);
    let mut other = process.connect();
    other.call(&["SADD", "s", &"m".repeat(100)]).expect("a reply");
    other.call(&["RPUSH", "l", &"x".repeat(100), &"y".repeat(8_000)]).expect("a reply");
    other.call(&["HSET", "h", "f", "v"]).expect("a reply");
    other.call(&["HSET", "wide", &"f".repeat(100), "v"]).expect("a reply");
    other.call(&["ZADD", "z", "1", "m"]).expect("a reply");
    let before = process.resident_bytes();
    let range = encode(&["LRANGE", "l", "0", "-1"]);
    let queue =
        |name: &str| [encode(&["MULTI"]), range.repeat(20_000), encode(&["INCR", name]), encode(&["EXEC"])].concat();
    let attacks = [
        encode(&["SRANDMEMBER", "s", "-100000000"]),
        encode(&["SRANDMEMBER.WATCH", "s", "-100000000"]),
        encode(&["HRANDFIELD", "h", "-100000000", "WITHVALUES"]),
        encode(&["HRANDFIELD", "wide", "-100000000"]),
        encode(&["ZRANDMEMBER", "z", "-100000000", "WITHSCORES"]),
        queue("after"),
        // Once it is a subscriber its own class counts, in the same transaction.
        [encode(&["HELLO", "3"]), encode(&["SUBSCRIBE", "news"]), encode(&["SRANDMEMBER", "s", "-100000000"])].concat(),
    ];
    for attack in attacks {
        let mut client = process.connect();
        client.set_timeout(DEADLINE).expect("a timeout can be set");
        client.send_raw(&attack).expect("the server listens");
        while client.fill().is_ok_and(|count| count > 0 && client.unread().len() < 4 << 20) {}
        let grown = process.resident_bytes().saturating_sub(before);
        assert!(grown < 64 * MIB, "grown by {grown} bytes after {}", attack[..40].escape_ascii());
    }
    assert_eq!(
        other.call(&["GET", "after"]).expect("a reply").raw,
        b"$1\r\n1\r\n",
        "the transaction is whole all the same"
    );
}

/// Subscribes a client that reads nothing any more after the confirmation.
fn sluggish_subscriber(process: &Process) -> Client {
    let mut client = process.connect();
    client.call(&["SUBSCRIBE", "news"]).expect("a confirmation");
    client
}

#[test]
fn a_subscriber_over_the_limits_of_its_class_is_closed() {
    let text = "x".repeat(50_000);
    for limits in ["pubsub 1mb 0 0", "pubsub 0 500kb 1"] {
        let process = Process::serving(&["--client-output-buffer-limit", limits]);
        let _slow = sluggish_subscriber(&process);
        let mut publisher = process.connect();
        let mut receivers = || publisher.call(&["PUBLISH", "news", &text]).expect("a reply").value.integer();
        assert_eq!(receivers(), Some(1));
        assert!(wait_until(DEADLINE, || receivers() == Some(0)), "{limits}: {}", process.log());
        let closed = || process.log().contains("closed for overcoming of output buffer limits");
        assert!(wait_until(DEADLINE, closed), "{}", process.log());
    }
}

#[test]
fn messages_and_replies_come_in_the_order_of_what_happened() {
    let process = Process::serving(&[]);
    let (mut listener, mut publisher) = (process.connect(), process.connect());
    listener.call(&["SUBSCRIBE", "news"]).expect("a confirmation");
    for round in 0..100 {
        let request = [encode(&["PUBLISH", "news", "a"]), encode(&["PUBLISH", "news", &round.to_string()])].concat();
        publisher.send_raw(&request).expect("the server listens");
        listener
            .send_raw(&[encode(&["UNSUBSCRIBE", "news"]), encode(&["SUBSCRIBE", "news"])].concat())
            .expect("as well");
        let receivers: i64 =
            (0..2).map(|_| publisher.read_reply().expect("a reply").value.integer().unwrap_or(0)).sum();
        let mut words = Vec::new();
        for _ in 0..receivers + 2 {
            let reply = listener.read_reply().expect("a reply").value;
            words.push(reply.items().expect("an array")[0].text());
        }
        // Between the two confirmations nobody listens.
        let left = words.iter().position(|word| word == "unsubscribe").expect("it comes");
        assert_eq!(words[left + 1], "subscribe", "{words:?}");
    }
}

#[test]
fn a_reader_within_the_limit_may_be_slow() {
    let process = Process::serving(&["--client-output-buffer-limit", "normal 64mb 0 0"]);
    let mut slow = process.connect();
    slow.call(&["SET", "big", &"x".repeat(1_000_000)]).expect("a reply");
    slow.send_raw(&encode(&["GET", "big"]).repeat(30)).expect("the server listens");
    // Another client's reply says that the server has had its turn with the first one's requests.
    process.connect().call(&["PING"]).expect("a reply");
    for _ in 0..30 {
        assert_eq!(slow.read_reply().expect("a reply").value.bytes().map(<[u8]>::len), Some(1_000_000));
    }
}

#[test]
fn input_over_the_query_buffer_limit_closes_the_connection() {
    let process = Process::serving(&["--client-query-buffer-limit", "1mb"]);
    let mut flooder = process.connect();
    flooder.send_raw(b"*2\r\n$3\r\nGET\r\n$400000000\r\n").expect("the server listens");
    let chunk = vec![b'x'; 64 * 1024];
    // 64 MiB are many times what the socket's buffers and the limit hold together.
    let refused = (0..1024).any(|_| flooder.send_raw(&chunk).is_err());
    assert!(refused, "the server took it all");
    assert!(wait_until(DEADLINE, || process.log().contains("reached max query buffer length")), "{}", process.log());
    assert_eq!(process.connect().call(&["PING"]).expect("a reply").raw, b"+PONG\r\n");
}

#[test]
fn what_is_only_announced_takes_no_memory() {
    let process = Process::serving(&[]);
    let mut other = process.connect();
    let announcers: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = process.connect();
            client.send_raw(b"*2\r\n$3\r\nGET\r\n$536870912\r\nabc").expect("the server listens");
            other.call(&["PING", "the announcement has been read"]).expect("a reply");
            client.send_raw(b"d").expect("the server listens");
            other.call(&["PING", "and so has the first of the rest"]).expect("a reply");
            client
        })
        .collect();
    let info = other.call(&["INFO", "memory"]).expect("a reply").value.text();
    let used = info.lines().find_map(|line| line.strip_prefix("used_memory:")).expect("the line is there");
    assert!(used.trim().parse::<u64>().expect("a number") < 128 * MIB, "{used} bytes for {}", announcers.len());
}

#[test]
fn clients_that_wait_while_descriptors_run_out_are_served_when_there_are_some_again() {
    let test = "clients_that_wait_while_descriptors_run_out_are_served_when_there_are_some_again";
    if !has_program("prlimit") {
        return skip(test, "there is no prlimit");
    }
    let process = Process::serving(&[]);
    let limit = |files: &str| {
        let status = std::process::Command::new("prlimit")
            .args(["--pid", &process.pid().to_string(), &format!("--nofile={files}:")])
            .status();
        assert!(status.is_ok_and(|status| status.success()), "the limit can be set");
    };
    limit("1");
    let mut waiting = process.connect();
    waiting.send_raw(b"PING\r\n").expect("the kernel took the connection");
    assert!(wait_until(DEADLINE, || process.log().contains("Accepting client connection")), "{}", process.log());
    limit("1024");
    // Nobody else connects, so no event tells the server to look again.
    waiting.set_timeout(DEADLINE).expect("a timeout can be set");
    assert_eq!(waiting.read_reply().expect("a reply").raw, b"+PONG\r\n");
}

#[test]
fn a_slow_reader_is_not_idle() {
    let process = Process::serving(&["--timeout", "1"]);
    let mut reader = process.connect();
    reader.call(&["SETRANGE", "big", "99999999", "x"]).expect("a reply");
    let mut reader = TcpStream::connect(process.addr()).expect("the server accepts");
    reader.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    reader.write_all(b"GET big\r\n").expect("the server listens");
    let (mut count, mut piece) = (0, vec![0; 64 * 1024]);
    let mut read_on = || {
        let got = reader.read(&mut piece).expect("the connection stays");
        assert!(got > 0, "closed after {count} bytes");
        count += got;
        count >= 100_000_000
    };
    // Piece by piece for longer than the timeout and the second between two looks at the clients.
    let mut whole = wait_until(std::time::Duration::from_millis(2_500), &mut read_on);
    while !whole {
        whole = read_on();
    }
}

#[test]
fn one_client_too_many_is_told_so_and_a_place_that_becomes_free_is_given_away() {
    let process = Process::serving(&["--maxclients", "3"]);
    // The server has to have noticed that the connections which asked whether it is up are gone.
    let mut clients = Vec::new();
    let full = wait_until(DEADLINE, || {
        let mut client = process.connect();
        if client.call(&["PING"]).is_ok_and(|reply| reply.raw == b"+PONG\r\n") {
            clients.push(client);
        }
        clients.len() == 3
    });
    assert!(full);
    let mut fourth = process.connect();
    assert_eq!(drain(&mut fourth), b"-ERR max number of clients reached\r\n");
    clients.pop();
    let admitted =
        wait_until(DEADLINE, || process.connect().call(&["PING"]).is_ok_and(|reply| reply.raw == b"+PONG\r\n"));
    assert!(admitted, "the place stays taken");
}

#[test]
fn an_idle_client_is_disconnected_after_the_timeout_and_a_busy_one_is_not() {
    let process = Process::serving(&["--timeout", "1"]);
    let (mut idle, mut busy) = (process.connect(), process.connect());
    idle.set_timeout(std::time::Duration::from_millis(50)).expect("a timeout can be set");
    let closed = wait_until(DEADLINE, || {
        assert_eq!(busy.call(&["PING"]).expect("a busy client stays").raw, b"+PONG\r\n");
        matches!(idle.fill(), Ok(0))
    });
    assert!(closed, "the idle client is still connected");
}

#[test]
fn without_the_password_little_is_allowed() {
    let process = Process::serving(&["--requirepass", "secret"]);
    let mut client = process.connect();
    let mut says = |args: &[&str]| client.call(args).expect("a reply").raw.escape_ascii().to_string();
    assert_eq!(says(&["GET", "k"]), r"-NOAUTH Authentication required.\r\n");
    assert_eq!(says(&["AUTH", "wrong"]), r"-WRONGPASS invalid username-password pair or user is disabled.\r\n");
    assert_eq!(says(&["PING"]), r"-NOAUTH Authentication required.\r\n");
    assert_eq!(says(&["AUTH", "secret"]), r"+OK\r\n");
    assert_eq!(says(&["GET", "k"]), r"$-1\r\n");
}

#[test]
fn without_the_password_requests_are_small() {
    let process = Process::serving(&["--requirepass", "secret"]);
    for (request, error) in [
        (&b"*11\r\n"[..], &b"-ERR Protocol error: unauthenticated multibulk length\r\n"[..]),
        (b"*2\r\n$4\r\nAUTH\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
    ] {
        let mut client = process.connect();
        client.send_raw(request).expect("the server listens");
        assert_eq!(drain(&mut client).escape_ascii().to_string(), error.escape_ascii().to_string());
    }
}

/// The limit is what Redis has for them in its client's own buffer.
#[test]
fn without_the_password_replies_are_few() {
    let process = Process::serving(&["--requirepass", "secret"]);
    let refusal = b"-NOAUTH Authentication required.\r\n";
    let mut client = process.connect();
    client.send_raw(&b"GET k\r\n".repeat(400)).expect("the server listens");
    for _ in 0..400 {
        assert_eq!(client.read_reply().expect("a reply").raw, refusal);
    }
    // Who logs in may have more, at once.
    let value = "v".repeat(100_000);
    client.send_raw(format!("AUTH secret\r\nSET k {value}\r\nGET k\r\nGET k\r\n").as_bytes()).expect("still there");
    let lengths: Vec<usize> = (0..4).map(|_| client.read_reply().expect("a reply").raw.len()).collect();
    assert_eq!(lengths, [5, 5, 100_011, 100_011]);
    // Who asks for refusals without reading one is disconnected.
    let mut client = process.connect();
    let request = b"GET k\r\n".repeat(100_000);
    // Three million replies are far more than the sockets' own buffers hold.
    let sent = (0..30).try_for_each(|_| client.send_raw(&request));
    let closed = "closed for overcoming of output buffer limits";
    assert!(wait_until(DEADLINE, || process.log().contains(closed)), "{sent:?}: {}", process.log());
}

#[test]
fn broken_requests_are_answered_and_closed() {
    let process = Process::serving(&[]);
    for (request, error) in [
        (&b"*1\r\n:4\r\n"[..], &b"-ERR Protocol error: expected '$', got ':'\r\n"[..]),
        (b"*x\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
        (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
        (b"SET \"a\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    ] {
        let mut client = process.connect();
        // What was asked before the mistake is still answered.
        client.send_raw(&[b"PING\r\n", request].concat()).expect("the server listens");
        let expected = [b"+PONG\r\n", error].concat();
        assert_eq!(drain(&mut client).escape_ascii().to_string(), expected.escape_ascii().to_string());
    }
}

/// An address of this machine that is not loopback, if it has one. Asking for the way to another network sends nothing.
fn own_outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    // Only an address that can be listened on is this machine's.
    (!address.is_loopback() && !address.is_unspecified() && TcpListener::bind((address, 0)).is_ok()).then_some(address)
}

#[test]
fn protected_mode_refuses_strangers_until_there_is_a_password() {
    let test = "protected_mode_refuses_strangers_until_there_is_a_password";
    let Some(outside) = own_outside_address() else {
        return skip(test, "this machine has no address but loopback");
    };
    let bind = format!("127.0.0.1 {outside}");
    for (args, refused) in
        [(&[][..], true), (&["--protected-mode", "no"], false), (&["--requirepass", "secret"], false)]
    {
        let process = Process::serving(&[&["--bind", &bind], args].concat());
        let address = SocketAddr::from((outside, process.port));
        let mut stranger = Client::connect(address).expect("the server accepts");
        if refused {
            let text = drain(&mut stranger);
            assert!(text.starts_with(b"-DENIED Redis is running in protected mode because protected mode is enabled"));
            assert!(text.ends_with(b"from the outside.\r\n"));
            assert_eq!(process.connect().call(&["PING"]).expect("a reply").raw, b"+PONG\r\n");
        } else {
            let reply = stranger.call(&["PING"]).expect("a reply").raw;
            assert!(reply == b"+PONG\r\n" || reply.starts_with(b"-NOAUTH"), "{}", reply.escape_ascii());
        }
    }
}
