//! From the arguments to the loop, and from a signal to the exit status.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::process::Command;

use super::process::{DEADLINE, Dir, Process, binary, skip};
use super::resp::Client;
use super::server::{free_port, wait_until};

/// Runs the program to its end, which has to come by itself: exit status, standard output, standard error.
fn run(dir: Dir, args: &[&str]) -> (Option<i32>, String, String) {
    let mut process = Process::spawn(dir, 0, args, &[]);
    let status = process.exit_status();
    (status, process.read("stdout"), process.read("stderr"))
}

#[test]
fn sigterm_ends_with_status_0_and_removes_the_files() {
    let mut process =
        Process::serving(&["--dir", "{dir}", "--pidfile", "pid", "--unixsocket", "socket", "--unixsocketperm", "750"]);
    assert_eq!(process.read("pid"), format!("{}\n", process.pid()));
    let meta = fs::metadata(process.dir.join("socket")).expect("the socket file");
    assert!(meta.file_type().is_socket());
    assert_eq!(meta.permissions().mode() & 0o777, 0o750);
    process.signal("TERM");
    assert_eq!(process.exit_status(), Some(0));
    for name in ["pid", "socket"] {
        assert!(!process.dir.join(name).exists(), "{name} is left");
    }
    let log = process.log();
    for line in [
        "* oO0OoO0OoO0Oo AleaDB is starting oO0OoO0OoO0Oo",
        "* Configuration loaded",
        "* Running mode=standalone, port=",
        "* Server initialized",
        "* Ready to accept connections tcp",
        "* Ready to accept connections unix",
        "# Received SIGTERM scheduling shutdown...",
        "* User requested shutdown...",
        "* Removing the pid file.",
        "* Removing the unix socket file.",
        "# AleaDB is now ready to exit, bye bye...",
    ] {
        assert!(log.contains(line), "no line '{line}' in:\n{log}");
    }
}

#[test]
fn log_lines_have_redis_s_shape() {
    let process = Process::serving(&[]);
    let (log, pid) = (process.log(), process.pid());
    for line in log.lines() {
        // 4711:M 22 Nov 2026 16:54:49.921 * text
        let words: Vec<&str> = line.splitn(7, ' ').collect();
        let [process, day, month, year, time, mark, _text] = words[..] else { panic!("{line}") };
        assert_eq!(process, format!("{pid}:M"), "{line}");
        let day_fits = day.len() == 2 && day.parse::<u8>().is_ok_and(|day| (1..=31).contains(&day));
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        assert!(day_fits && months.contains(&month) && year.parse::<u16>().is_ok_and(|year| year > 2025), "{line}");
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "00:00:00.000", "{line}");
        assert!([".", "-", "*", "#"].contains(&mark), "{line}");
    }
}

#[test]
fn levels_choose_what_is_logged_and_rust_log_wins() {
    let quiet = Process::serving(&["--loglevel", "warning"]);
    assert!(!quiet.log().contains(" * "), "{}", quiet.log());
    let silent = Process::serving(&["--loglevel", "nothing"]);
    assert_eq!(silent.log(), "");
    let verbose = Process::serving(&["--loglevel", "verbose"]);
    assert!(wait_until(DEADLINE, || verbose.log().contains(" - Accepted 127.0.0.1:")), "{}", verbose.log());
    let mut command = Command::new("env");
    let port = free_port().expect("some port is free");
    command.arg("RUST_LOG=warn").arg(binary()).args(["--port", &port.to_string(), "--loglevel", "verbose"]);
    let overridden = Process::run(Dir::new(), port, command);
    assert!(wait_until(DEADLINE, || Client::connect(overridden.addr()).is_ok()));
    assert!(!overridden.log().contains(" * "), "{}", overridden.log());
}

#[test]
fn the_logo_appears_when_asked_for() {
    let process = Process::serving(&["--always-show-logo", "yes"]);
    assert!(process.log().contains(&format!("PID: {}", process.pid())), "{}", process.log());
    assert!(!process.log().contains("Running mode="));
}

#[test]
fn sigint_and_shutdown_end_with_status_0() {
    let mut process = Process::serving(&[]);
    process.signal("INT");
    assert_eq!(process.exit_status(), Some(0));
    assert!(process.log().contains("# Received SIGINT scheduling shutdown..."));

    let mut process = Process::serving(&[]);
    let mut client = process.connect();
    client.send_raw(b"SHUTDOWN NOSAVE\r\n").expect("the server listens");
    assert_eq!(client.fill().expect("an orderly close"), 0, "{}", client.unread().escape_ascii());
    assert_eq!(process.exit_status(), Some(0));
    assert_eq!(process.log().matches("User requested shutdown...").count(), 1, "{}", process.log());
}

#[test]
fn sighup_reopens_the_log_file() {
    let process = Process::serving(&["--dir", "{dir}", "--logfile", "log"]);
    assert_eq!(process.log(), "", "everything goes to the file");
    assert!(process.read("log").contains("* Ready to accept connections tcp"));
    fs::rename(process.dir.join("log"), process.dir.join("log.1")).expect("the log is there");
    process.signal("HUP");
    assert!(wait_until(DEADLINE, || process.read("log").contains("* Log file reopened")));
    let rotated = process.read("log.1");
    process.signal("TERM");
    assert!(wait_until(DEADLINE, || process.read("log").contains("bye bye")));
    assert_eq!(process.read("log.1"), rotated, "the old file gets nothing more");
}

#[test]
fn a_port_in_use_is_said_clearly() {
    let holder = TcpListener::bind("127.0.0.1:0").expect("some port is free");
    let port = holder.local_addr().expect("an address").port();
    let bound = format!(
        "# Warning: Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use"
    );
    let failed = format!("Failed listening on port {port} (tcp), aborting.");
    let (status, out, err) = run(Dir::new(), &["--port", &port.to_string(), "--pidfile", "{dir}/pid"]);
    assert_eq!(status, Some(1));
    assert!(out.contains(&bound) && out.contains(&format!("# {failed}")), "{out}");
    assert_eq!(err, "", "standard output has it already");
    // With a log file, the terminal still tells why there is no server.
    let (status, out, err) = run(Dir::new(), &["--port", &port.to_string(), "--logfile", "{dir}/log"]);
    assert_eq!((status, out.as_str(), err), (Some(1), "", failed + "\n"));
}

#[test]
fn a_second_server_neither_takes_the_socket_nor_the_pid_file_of_the_first() {
    let first = Process::serving(&["--unixsocket", "{dir}/socket", "--pidfile", "{dir}/pid"]);
    let (socket, pid) = (first.dir.join("socket"), first.dir.join("pid"));
    let args =
        ["--port", "0", "--unixsocket", socket.to_str().expect("UTF-8"), "--pidfile", pid.to_str().expect("UTF-8")];
    let (status, out, _) = run(Dir::new(), &args);
    assert_eq!(status, Some(1));
    assert!(out.contains("# Failed opening Unix socket: bind: Address already in use"), "{out}");
    assert_eq!(first.read("pid"), format!("{}\n", first.pid()));
    UnixStream::connect(&socket).expect("the first one still listens there");
}

#[test]
fn a_socket_file_left_by_a_killed_server_is_replaced() {
    let mut first = Process::serving(&["--unixsocket", "{dir}/socket"]);
    first.signal("KILL");
    assert_eq!(first.exit_status(), None);
    let dir = std::mem::replace(&mut first.dir, Dir::new());
    assert!(dir.join("socket").exists());
    let second = Process::serving_in(dir, &["--unixsocket", "{dir}/socket"], &[]);
    ping_unix(&second);
}

#[test]
fn errors_of_the_configuration_go_to_standard_error() {
    let fatal = "\n*** FATAL CONFIG FILE ERROR (AleaDB ";
    let dir = Dir::new();
    let missing = dir.join("missing.conf").display().to_string();
    let (status, out, err) = run(dir, &[&missing]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.starts_with(fatal), "{err}");
    assert!(
        err.contains(&format!("Fatal error, can't open config file '{missing}': No such file or directory")),
        "{err}"
    );

    // Root may read everything, so an unreadable file is one that cannot be read by anybody: a directory.
    let (status, _, err) = run(Dir::new(), &["{dir}"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("can't open config file") && err.contains("Is a directory"), "{err}");

    let dir = Dir::new();
    let file = dir.join("bad.conf");
    fs::write(&file, "port 0\nhzz 10\n").expect("the directory is writable");
    let (status, _, err) = run(dir, &[file.to_str().expect("UTF-8")]);
    assert_eq!(status, Some(1));
    for text in ["at line 2 of", ">>> 'hzz 10'", "Bad directive or wrong number of arguments"] {
        assert!(err.contains(text), "no '{text}' in {err}");
    }
    let (status, _, err) = run(Dir::new(), &["--dir", "{dir}/missing"]);
    assert_eq!(status, Some(1));
    assert!(err.contains("No such file or directory"), "{err}");
}

#[test]
fn an_unwritable_log_and_nowhere_to_listen_are_errors() {
    let (status, out, err) = run(Dir::new(), &["--port", "0", "--logfile", "{dir}"]);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("Can't open the log file: ") && err.contains(": Is a directory"), "{err}");
    let (status, out, _) = run(Dir::new(), &["--port", "0"]);
    assert_eq!(status, Some(1));
    assert!(out.contains("# Configured to not listen anywhere, exiting."), "{out}");
}

#[test]
fn an_unwritable_pid_file_is_only_a_warning() {
    let process = Process::serving(&["--pidfile", "{dir}/missing/pid"]);
    assert!(process.log().contains("# Failed to write PID file: No such file or directory"), "{}", process.log());
}

#[test]
fn an_optional_address_may_be_missing_and_another_may_not() {
    // Of the block for documentation, so no machine has such an address.
    let process = Process::serving(&["--bind", "127.0.0.1 -203.0.113.77"]);
    process.connect();
    let port = free_port().expect("some port is free").to_string();
    let (status, out, _) = run(Dir::new(), &["--port", &port, "--bind", "127.0.0.1", "203.0.113.77"]);
    assert_eq!(status, Some(1));
    assert!(out.contains(&format!("203.0.113.77:{port}: bind: Cannot assign requested address")), "{out}");
}

#[test]
fn a_configuration_file_counts_and_options_override_it() {
    let dir = Dir::new();
    fs::write(dir.join("a.conf"), "maxclients 7\nport 1\n").expect("the directory is writable");
    let file = dir.join("a.conf").display().to_string();
    let port = free_port().expect("some port is free");
    let mut process = Process::spawn(dir, port, &[&file, "--port", &port.to_string()], &[]);
    let mut clients = Vec::new();
    assert!(wait_until(DEADLINE, || Client::connect(process.addr()).map(|client| clients.push(client)).is_ok()));
    clients.extend((1..7).map(|_| process.connect()));
    let mut eighth = process.connect();
    assert_eq!(eighth.read_reply().expect("a refusal").raw, b"-ERR max number of clients reached\r\n");
    assert!(!process.has_ended());
}

#[test]
fn a_unix_socket_serves_without_tcp() {
    let dir = Dir::new();
    let process = Process::spawn(dir, 0, &["--port", "0", "--unixsocket", "{dir}/socket"], &[]);
    assert!(wait_until(DEADLINE, || process.log().contains("Ready to accept connections unix")), "{}", process.log());
    assert!(!process.log().contains("Ready to accept connections tcp"));
    ping_unix(&process);
}

fn ping_unix(process: &Process) {
    let mut stream = UnixStream::connect(process.dir.join("socket")).expect("the socket accepts");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream.write_all(b"PING\r\n").expect("the server listens");
    let mut reply = [0u8; 7];
    stream.read_exact(&mut reply).expect("a reply");
    assert_eq!(&reply, b"+PONG\r\n");
}

#[test]
fn ipv6_is_served_beside_ipv4() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        return skip("ipv6_is_served_beside_ipv4", "this machine has no IPv6 loopback");
    }
    for bind in ["127.0.0.1 ::1", "* -::*"] {
        let process = Process::serving(&["--bind", bind]);
        let mut client = Client::connect(SocketAddr::from((Ipv6Addr::LOCALHOST, process.port))).expect("IPv6 accepts");
        assert_eq!(client.call(&["PING"]).expect("a reply").raw, b"+PONG\r\n");
        process.connect();
    }
}

#[test]
fn version_and_help_are_printed_and_nothing_is_started() {
    let (status, out, err) = run(Dir::new(), &["--version"]);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    assert!(out.starts_with("AleaDB server v="), "{out}");
    let (status, out, _) = run(Dir::new(), &["--help"]);
    assert!(status == Some(0) && out.starts_with("Usage: aleadb"), "{out}");
}
