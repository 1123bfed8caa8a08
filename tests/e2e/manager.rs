//! A service manager played by the test: notifications, the watchdog, socket activation.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process::{DEADLINE, Dir, Process, binary};
use super::resp::encode;
use super::server::wait_until;

/// Receives messages until one that begins with `wanted`; gives all of them.
fn receive_until(manager: &UnixDatagram, wanted: &str) -> Vec<String> {
    let mut messages = Vec::<String>::new();
    let mut buffer = [0u8; 4096];
    while messages.last().is_none_or(|last| !last.starts_with(wanted)) {
        let count = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("no {wanted} after {messages:?}: {error}"));
        messages.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
    }
    messages
}

#[test]
fn the_manager_hears_of_readiness_life_reload_and_end() {
    let dir = Dir::new();
    let manager = UnixDatagram::bind(dir.join("notify")).expect("the directory is writable");
    manager.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let env = [("NOTIFY_SOCKET", "{dir}/notify"), ("WATCHDOG_USEC", "100000")];
    let mut process = Process::serving_in(dir, &["--supervised", "systemd"], &env);
    assert_eq!(receive_until(&manager, "READY=1"), ["STATUS=Ready to accept connections", "READY=1"]);
    // The loop sleeps between two pings, so two of them show that it wakes up for them.
    receive_until(&manager, "WATCHDOG=1");
    receive_until(&manager, "WATCHDOG=1");
    process.signal("HUP");
    let messages = receive_until(&manager, "READY=1");
    let reloading = messages.iter().position(|text| text.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(reloading.is_some(), "{messages:?}");
    process.signal("TERM");
    receive_until(&manager, "STOPPING=1");
    assert_eq!(process.exit_status(), Some(0));
}

#[test]
fn the_manager_hears_how_far_loading_is_and_of_readiness_when_it_is_over() {
    const KEYS: usize = 400_000;
    let dir = Dir::new();
    let log: Vec<u8> = (0..KEYS).flat_map(|n| encode(&["SET", &format!("key:{n}"), "value"])).collect();
    std::fs::write(dir.join("appendonly.aof"), log).expect("the directory is writable");
    let manager = UnixDatagram::bind(dir.join("notify")).expect("the directory is writable");
    manager.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let env = [("NOTIFY_SOCKET", "{dir}/notify")];
    let process = Process::serving_in(dir, &["--supervised", "systemd", "--appendonly", "yes"], &env);
    let messages = receive_until(&manager, "READY=1");
    let (loading, ready) = messages.split_at(messages.len() - 2);
    assert_eq!(ready, ["STATUS=Ready to accept connections", "READY=1"]);
    assert!(!loading.is_empty(), "{messages:?}");
    for message in loading {
        let percent = message.strip_prefix("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=Loading the data: ");
        let percent = percent.and_then(|rest| rest.strip_suffix(" %")).and_then(|percent| percent.parse::<u32>().ok());
        assert!(percent.is_some_and(|percent| percent <= 100), "{message}");
    }
    assert_eq!(process.connect().call(&["DBSIZE"]).expect("a reply").value.integer(), Some(KEYS as i64));
}

/// A server that is watched, has announced itself and then been sent `command`, and the manager that it reports to.
fn watched_while_it_runs(command: &[u8]) -> (Process, UnixDatagram) {
    let dir = Dir::new();
    let manager = UnixDatagram::bind(dir.join("notify")).expect("the directory is writable");
    manager.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    let env = [("NOTIFY_SOCKET", "{dir}/notify"), ("WATCHDOG_USEC", "200000")];
    let args = ["--supervised", "systemd", "--enable-debug-command", "yes"];
    let process = Process::serving_in(dir, &args, &env);
    receive_until(&manager, "READY=1");
    let mut client = process.connect();
    client.send_raw(command).expect("it is sent");
    // From here on it is that command: a server without work turns often enough.
    receive_until(&manager, "STATUS=Busy with one turn of the event loop for 1 s");
    (process, manager)
}

#[test]
fn a_command_that_takes_many_times_the_watchdog_s_time_is_no_hang() {
    let string = encode(&["SETRANGE", "k", "67108863", "x"]);
    let counts = [encode(&["MULTI"]), encode(&["BITCOUNT", "k"]).repeat(5000), encode(&["EXEC"])].concat();
    for command in [encode(&["DEBUG", "SLEEP", "1000"]), [string, counts].concat()] {
        let (mut process, manager) = watched_while_it_runs(&command);
        for _ in 0..5 {
            receive_until(&manager, "WATCHDOG=1");
        }
        assert!(!process.has_ended());
    }
}

#[test]
fn a_long_command_leaves_a_line_in_the_log_and_the_status_as_it_was() {
    let (process, manager) = watched_while_it_runs(&encode(&["DEBUG", "SLEEP", "4"]));
    receive_until(&manager, "STATUS=Ready to accept connections");
    let line = "# One turn of the event loop took more than ";
    assert!(wait_until(DEADLINE, || process.log().contains(line)), "{}", process.log());
}

#[test]
fn auto_tells_a_manager_that_is_there_and_no_tells_nobody() {
    for (supervised, hears) in [("auto", true), ("no", false)] {
        let dir = Dir::new();
        let manager = UnixDatagram::bind(dir.join("notify")).expect("the directory is writable");
        let env = [("NOTIFY_SOCKET", "{dir}/notify")];
        let mut process = Process::serving_in(dir, &["--supervised", supervised], &env);
        process.signal("TERM");
        assert_eq!(process.exit_status(), Some(0));
        // Whatever was sent has arrived, now that the sender is gone.
        manager.set_nonblocking(true).expect("a flag can be set");
        assert_eq!(manager.recv(&mut [0u8; 64]).is_ok(), hears, "{supervised}");
    }
    let process = Process::serving(&["--supervised", "systemd"]);
    assert!(process.log().contains("# systemd supervision requested, but NOTIFY_SOCKET not found!"));
}

/// Starts the program with a socket as descriptor 3, as the service manager does.
fn activated(dir: Dir, port: u16, socket: OwnedFd, args: &[&str]) -> Process {
    let mut command = Command::new("bash");
    command
        .args(["-c", "exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"", "bash"])
        .arg(binary())
        .args(args.iter().map(|arg| arg.replace("{dir}", dir.0.to_str().expect("UTF-8"))))
        .stdin(Stdio::from(socket));
    Process::run(dir, port, command)
}

#[test]
fn a_passed_tcp_socket_replaces_bind_and_port() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let address = listener.local_addr().expect("an address");
    // A client from before the start waits in the socket's queue and is served then. The configured port is taken, which
    // nobody may notice.
    let port = address.port().to_string();
    let mut early = super::resp::Client::connect(address).expect("the socket listens");
    let process = activated(Dir::new(), address.port(), OwnedFd::from(listener), &["--port", &port]);
    assert_eq!(early.call(&["PING"]).expect("a reply").raw, b"+PONG\r\n");
    assert!(process.log().contains(&format!("passed by the service manager: 127.0.0.1:{port}")), "{}", process.log());
    process.connect();
}

#[test]
fn a_passed_unix_socket_serves_and_its_file_stays() {
    let dir = Dir::new();
    let path = dir.join("socket");
    let listener = UnixListener::bind(&path).expect("the directory is writable");
    let mut process = activated(dir, 0, OwnedFd::from(listener), &["--unixsocket", "{dir}/other"]);
    let mut client = UnixStream::connect(&path).expect("the socket listens");
    client.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    client.write_all(b"PING\r\n").expect("the socket takes bytes");
    let mut reply = [0u8; 7];
    std::io::Read::read_exact(&mut client, &mut reply).expect("a reply");
    assert_eq!(&reply, b"+PONG\r\n");
    assert!(!process.dir.join("other").exists());
    process.signal("TERM");
    assert_eq!(process.exit_status(), Some(0));
    assert!(path.exists(), "the file is the manager's");
}

#[test]
fn a_passed_descriptor_that_does_not_listen_is_an_error() {
    let file = OwnedFd::from(File::open("/dev/null").expect("a device"));
    let mut process = activated(Dir::new(), 0, file, &["--port", "0"]);
    assert_eq!(process.exit_status(), Some(1));
    assert!(
        process.log().contains("# Failed taking over a socket: passed descriptor 3 (unknown): "),
        "{}",
        process.log()
    );
}

#[test]
fn variables_meant_for_another_process_are_ignored() {
    let env = [("LISTEN_PID", "1"), ("LISTEN_FDS", "1"), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let process = Process::serving_in(Dir::new(), &[], &env);
    assert!(!process.log().contains("passed by the service manager"));
    assert!(!wait_until(Duration::ZERO, || process.log().contains("Failed")));
}
