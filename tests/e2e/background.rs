//! What a process shows and writes beside its answers: the background, its pid file, its title, and a log that nobody reads.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::process::{DEADLINE, Dir, Process, binary, skip};
use super::resp::Client;
use super::server::{free_port, wait_until};

/// A process that is nobody's child; killed in the end if it still runs.
struct Orphan(u32);

impl Orphan {
    /// The process whose id a file tells, once it is there.
    fn of(pidfile: &Path) -> Orphan {
        let mut pid = None;
        let read = || fs::read_to_string(pidfile).ok().filter(|text| text.ends_with('\n'));
        wait_until(DEADLINE, || {
            pid = read().and_then(|text| text.trim().parse().ok());
            pid.is_some()
        });
        Orphan(pid.expect("the pid file tells the id"))
    }

    fn proc(&self, name: &str) -> PathBuf {
        Path::new("/proc").join(self.0.to_string()).join(name)
    }

    /// One of the fields of `/proc/pid/stat` behind the name, by its number in proc(5).
    fn stat(&self, number: usize) -> Option<String> {
        let text = fs::read_to_string(self.proc("stat")).ok()?;
        text.rsplit_once(')')?.1.split_ascii_whitespace().nth(number - 3).map(str::to_owned)
    }

    /// Whether it is gone: no such process, or one that only waits to be noticed.
    fn has_ended(&self) -> bool {
        self.stat(3).is_none_or(|state| state == "Z")
    }

    fn signal(&self, name: &str) {
        // It may have ended by itself.
        let _ = Command::new("kill").args([&format!("-{name}"), &self.0.to_string()]).stderr(Stdio::null()).status();
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.signal("KILL");
        }
    }
}

fn answers(client: &mut Client, args: &[&str]) -> String {
    client.call(args).expect("a reply").raw.escape_ascii().to_string()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn daemonize_serves_in_the_background_and_ends_cleanly() {
    let (dir, port) = (Dir::new(), free_port().expect("some port is free"));
    let args = ["--daemonize", "yes", "--dir", "{dir}", "--pidfile", "pid", "--logfile", "log", "--port"];
    let mut started = Process::spawn(dir, port, &[&args[..], &[&port.to_string()]].concat(), &[]);
    assert_eq!(started.exit_status(), Some(0), "{}", started.log());
    let server = Orphan::of(&started.dir.join("pid"));
    assert_ne!(server.0, started.pid());
    assert!(wait_until(DEADLINE, || Client::connect(loopback(port)).is_ok()), "{}", started.read("log"));
    let mut client = Client::connect(loopback(port)).expect("it serves");
    assert_eq!(answers(&mut client, &["CONFIG", "GET", "daemonize"]), r"*2\r\n$9\r\ndaemonize\r\n$3\r\nyes\r\n");
    // The leader of a session of its own, without a terminal, with nothing open that was its parent's.
    assert_eq!((server.stat(6), server.stat(7)), (Some(server.0.to_string()), Some("0".into())));
    for descriptor in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(fs::read_link(server.proc(descriptor)).expect("it is open"), Path::new("/dev/null"));
    }
    assert_eq!(started.log(), "", "the log is in its file");
    assert!(started.read("log").lines().next().is_some_and(|line| line.starts_with(&format!("{}:M ", server.0))));
    server.signal("TERM");
    assert!(wait_until(DEADLINE, || server.has_ended()), "{}", started.read("log"));
    assert!(!started.dir.join("pid").exists());
    assert!(started.read("log").ends_with("# AleaDB is now ready to exit, bye bye...\n"), "{}", started.read("log"));
}

#[test]
fn a_supervised_server_stays_in_the_foreground() {
    let dir = Dir::new();
    let _manager = UnixDatagram::bind(dir.join("notify")).expect("the directory is writable");
    for supervised in ["systemd", "auto"] {
        let env = [("NOTIFY_SOCKET", dir.join("notify").display().to_string())];
        let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let args = ["--daemonize", "yes", "--supervised", supervised];
        let mut process = Process::serving_in(Dir::new(), &args, &env);
        assert!(process.log().starts_with(&format!("{}:M ", process.pid())), "{supervised}: {}", process.log());
        process.signal("TERM");
        assert_eq!(process.exit_status(), Some(0), "{supervised}");
    }
}

#[test]
fn what_keeps_it_from_the_background_is_said_first() {
    for (args, text) in [
        (["--logfile", "{dir}"], "Can't open the log file: "),
        (["--dir", "{dir}/missing"], "No such file or directory"),
        (["--proc-title-template", "{nope}"], "template format is invalid or contains unknown variables"),
    ] {
        let mut process =
            Process::spawn(Dir::new(), 0, &[&["--daemonize", "yes", "--port", "0"], &args[..]].concat(), &[]);
        assert_eq!(process.exit_status(), Some(1), "{args:?}");
        assert!(process.read("stderr").contains(text), "{args:?}: {}", process.read("stderr"));
    }
}

/// What the list of processes shows.
fn shown(process: &Process) -> String {
    let output = Command::new("ps").args(["-o", "args=", "-p", &process.pid().to_string()]).output();
    String::from_utf8_lossy(&output.expect("ps runs").stdout).trim_end().to_owned()
}

#[test]
fn the_list_of_processes_shows_the_title() {
    if Command::new("ps").arg("--version").stdout(Stdio::null()).status().is_err() {
        return skip("the_list_of_processes_shows_the_title", "there is no ps");
    }
    let process = Process::serving(&["--bind", "127.0.0.1"]);
    let (program, port) = (binary().display(), process.port);
    assert_eq!(shown(&process), format!("{program} 127.0.0.1:{port}"));
    let mut client = process.connect();
    let title = "{title} {{on} {port}|{tls-port}|{unixsocket}|{config-file}|{server-mode}|";
    assert_eq!(answers(&mut client, &["CONFIG", "SET", "proc-title-template", title]), r"+OK\r\n");
    assert_eq!(shown(&process), format!("{program} {{on}} {port}|0||||"));
    // The title is as long as the arguments and the environment were, and no longer.
    let long = "x".repeat(1 << 20);
    assert_eq!(answers(&mut client, &["CONFIG", "SET", "proc-title-template", &long]), r"+OK\r\n");
    let text = shown(&process);
    assert!(text.len() > 100 && text.bytes().all(|byte| byte == b'x'), "{text}");
    let refused = answers(&mut client, &["CONFIG", "SET", "proc-title-template", "{nope}"]);
    assert!(refused.contains("template format is invalid or contains unknown variables"), "{refused}");

    let process = Process::serving(&["--set-proc-title", "no", "--timeout", "7"]);
    assert_eq!(shown(&process), format!("{program} --port {} --set-proc-title no --timeout 7", process.port));
}

/// The environment lies where the title is written, and still has to be readable afterwards.
#[test]
fn the_environment_survives_the_title() {
    let hour = || {
        let date = Command::new("date").arg("+%d %b %Y %H").env("TZ", "AAA-7:30").env("LC_ALL", "C").output();
        String::from_utf8(date.expect("date runs").stdout).expect("text").trim().to_owned()
    };
    let before = hour();
    let process = Process::serving_in(Dir::new(), &["--enable-debug-command", "yes"], &[("TZ", "AAA-7:30")]);
    assert_eq!(answers(&mut process.connect(), &["DEBUG", "LOG", "after the title"]), r"+OK\r\n");
    assert!(wait_until(DEADLINE, || process.log().contains("after the title")));
    let (log, after) = (process.log(), hour());
    let line = log.lines().last().expect("a line");
    assert!([before, after].iter().any(|hour| line.contains(hour)), "{line}");
}

/// A process whose log nobody reads; killed in the end.
struct Unread(Child);

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LINES: usize = 300;

/// Lets the server log more than the kernel and its queue hold, and asserts that it answers all the while.
fn flood(port: u16) {
    assert!(wait_until(DEADLINE, || Client::connect(loopback(port)).is_ok()), "the server does not start");
    let mut client = Client::connect(loopback(port)).expect("it serves");
    client.set_timeout(DEADLINE).expect("a timeout can be set");
    let text = "z".repeat(10_000);
    for line in 0..LINES {
        assert_eq!(answers(&mut client, &["DEBUG", "LOG", &format!("line {line} {text}")]), r"+OK\r\n");
    }
    assert_eq!(answers(&mut client, &["PING"]), r"+PONG\r\n");
}

/// Reads until the lines written and those the log says it dropped are all.
fn assert_that_lines_are_counted(mut log: impl Read + Send + 'static) {
    let read = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&read);
    std::thread::spawn(move || {
        let mut piece = vec![0; 1 << 16];
        while let Ok(count @ 1..) = log.read(&mut piece) {
            sink.lock().expect("nobody panics while holding it").extend_from_slice(&piece[..count]);
        }
    });
    let notice = " lines of the log were dropped, because they came faster than it could be written";
    let mut counts = (0, 0);
    let all = wait_until(DEADLINE, || {
        let text = String::from_utf8_lossy(&read.lock().expect("nobody panics while holding it")).into_owned();
        let told = text.lines().filter_map(|line| line.strip_suffix(notice));
        let dropped = told.filter_map(|line| line.rsplit(' ').next()?.parse::<usize>().ok()).sum();
        let written = (0..LINES).filter(|line| text.contains(&format!("DEBUG LOG: line {line} z"))).count();
        counts = (written, dropped);
        written + dropped == LINES
    });
    assert!(all && counts.1 > 0, "{counts:?}");
}

#[test]
fn a_standard_output_that_nobody_reads_does_not_hold_the_loop() {
    let port = free_port().expect("some port is free");
    let start = || {
        let mut command = Command::new(binary());
        command.args(["--port", &port.to_string(), "--enable-debug-command", "yes"]).env_remove("RUST_LOG");
        Unread(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program can be started"))
    };
    let mut process = start();
    flood(port);
    assert_that_lines_are_counted(process.0.stdout.take().expect("a pipe"));
    drop(process);

    // Nor does it hold the end.
    let mut process = start();
    flood(port);
    let status = Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status();
    assert!(status.expect("kill runs").success());
    assert!(wait_until(DEADLINE, || !matches!(process.0.try_wait(), Ok(None))), "the process goes on");
    assert_eq!(process.0.wait().expect("it has ended").code(), Some(0));
}

#[test]
fn a_log_file_that_takes_nothing_does_not_hold_the_loop() {
    let (dir, port) = (Dir::new(), free_port().expect("some port is free"));
    let path = dir.join("log");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo runs").success());
    // For reading and writing, so that opening does not wait for the server.
    let log: File = OpenOptions::new().read(true).write(true).open(&path).expect("it is there");
    let args = ["--port", &port.to_string(), "--enable-debug-command", "yes", "--logfile", "{dir}/log"];
    let _process = Process::spawn(dir, port, &args, &[]);
    flood(port);
    assert_that_lines_are_counted(log);
}

/// The system's log, played by the test: where the C library looks for it. `None` if somebody else plays it.
struct SystemLog(UnixDatagram);

impl SystemLog {
    const PATH: &str = "/dev/log";

    fn open() -> Option<SystemLog> {
        let mut socket = None;
        wait_until(DEADLINE, || {
            socket = UnixDatagram::bind(Self::PATH).ok();
            // Another run of this test may be under way, or have been killed.
            let is_socket = fs::symlink_metadata(Self::PATH).is_ok_and(|meta| meta.file_type().is_socket());
            let is_left = || UnixDatagram::unbound().is_ok_and(|probe| probe.connect(Self::PATH).is_err());
            if socket.is_none() && is_socket && is_left() {
                let _ = fs::remove_file(Self::PATH);
            }
            socket.is_some() || !Path::new(Self::PATH).exists()
        });
        let socket = socket?;
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
        Some(SystemLog(socket))
    }

    /// Receives until a message contains `wanted`.
    fn receive_until(&self, wanted: &str) -> String {
        let mut buffer = [0; 32 << 10];
        loop {
            let count = self.0.recv(&mut buffer).unwrap_or_else(|error| panic!("no '{wanted}': {error}"));
            let message = String::from_utf8_lossy(&buffer[..count]).into_owned();
            if message.contains(wanted) {
                return message;
            }
        }
    }
}

impl Drop for SystemLog {
    fn drop(&mut self) {
        let _ = fs::remove_file(Self::PATH);
    }
}

#[test]
fn lines_go_to_the_system_s_log_and_never_hold_the_loop() {
    let Some(system) = SystemLog::open() else {
        // A machine that has a system log of its own cannot run this, not even where everything else has to run.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED lines_go_to_the_system_s_log_and_never_hold_the_loop: /dev/log is taken"
        );
        return;
    };
    let args = ["--syslog-enabled", "yes", "--syslog-ident", "my alea", "--syslog-facility", "local3"];
    let process = Process::serving(&[&args[..], &["--enable-debug-command", "yes", "--loglevel", "verbose"]].concat());
    // Priorities are eight to a facility, of which local3 is the 19th: 5 is a notice, 4 a warning, 6 information.
    let tag = format!("my alea[{}]: ", process.pid());
    for (wanted, priority) in [("Server initialized", 5), ("Accepted 127.0.0.1", 6)] {
        let message = system.receive_until(wanted);
        assert!(message.starts_with(&format!("<{}>", 19 * 8 + priority)) && message.contains(&tag), "{message}");
        assert!(!message.contains(":M "), "the system's log has dates of its own: {message}");
    }
    let mut client = process.connect();
    assert_eq!(answers(&mut client, &["DEBUG", "LOG", "100%s \u{e4}"]), r"+OK\r\n");
    let message = system.receive_until("DEBUG LOG");
    assert!(message.starts_with("<156>") && message.ends_with("]: DEBUG LOG: 100%s \u{e4}"), "{message}");
    assert!(wait_until(DEADLINE, || process.log().contains("# DEBUG LOG: 100%s")), "standard output has the lines too");
    // Nobody receives any more, and the socket takes only so much.
    flood(process.port);
}

/// Lines of Debian's redis.conf that are rightly refused, each with its reason. Persistence would be the reason for `save`
/// and `appendonly yes`, but the file leaves `save` to the server's default and says `appendonly no`.
const REFUSED: &[(&str, &str)] = &[];

#[test]
fn debian_s_redis_conf_starts_the_server() {
    let (test, shipped) = ("debian_s_redis_conf_starts_the_server", "/etc/redis/redis.conf");
    let Ok(text) = fs::read_to_string(shipped) else {
        return skip(test, &format!("{shipped} cannot be read; apt-get install redis-server brings it"));
    };
    let (dir, port) = (Dir::new(), free_port().expect("some port is free"));
    let kept = text.lines().filter(|line| !REFUSED.iter().any(|(refused, _)| line.starts_with(refused)));
    // The file's directories and its port belong to the server it was shipped for.
    let own = |line: &str| match line.split(' ').next() {
        Some(name @ "dir") => format!("{name} {}", dir.0.display()),
        Some(name @ ("pidfile" | "logfile")) => format!("{name} {}", dir.join(name).display()),
        Some(name @ "port") => format!("{name} {port}"),
        _ => line.to_owned(),
    };
    fs::write(dir.join("redis.conf"), kept.map(own).collect::<Vec<_>>().join("\n")).expect("the directory is writable");
    let mut started = Process::spawn(dir, port, &["{dir}/redis.conf"], &[]);
    assert_eq!(started.exit_status(), Some(0), "{}", started.log());
    let server = Orphan::of(&started.dir.join("pidfile"));
    assert!(wait_until(DEADLINE, || Client::connect(loopback(port)).is_ok()), "{}", started.read("logfile"));
    let mut client = Client::connect(loopback(port)).expect("it serves");
    // What each line says is what CONFIG GET shows, in its form.
    let said = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut compared = 0;
    for line in said.filter(|line| !line.starts_with("client-output-buffer-limit")) {
        let (name, value) = line.split_once(' ').expect("a value");
        if ["dir", "pidfile", "logfile", "port"].contains(&name) {
            continue;
        }
        let value = if value == "64mb" { "67108864" } else { value.trim_matches('"') };
        let shown = answers(&mut client, &["CONFIG", "GET", name]);
        assert!(shown.ends_with(&format!(r"\r\n{value}\r\n")), "{line}: {shown}");
        compared += 1;
    }
    assert!(compared > 60, "{compared}");
    server.signal("TERM");
    assert!(wait_until(DEADLINE, || server.has_ended()), "{}", started.read("logfile"));
}

#[test]
fn an_empty_configuration_file_is_said_in_the_log() {
    let dir = Dir::new();
    fs::write(dir.join("a.conf"), "# port 1\n\n").expect("the directory is writable");
    let file = dir.join("a.conf").display().to_string();
    let port = free_port().expect("some port is free");
    let process = Process::spawn(dir, port, &[&file, "--port", &port.to_string()], &[]);
    let said = format!("# Warning: the configuration file {file} sets nothing: every line is empty or a comment.");
    assert!(wait_until(DEADLINE, || process.log().contains(&said)), "{}", process.log());
}

#[test]
fn a_unix_socket_of_a_process_in_the_background_is_removed() {
    let dir = Dir::new();
    let args = ["--daemonize", "yes", "--port", "0", "--unixsocket", "{dir}/socket", "--pidfile", "{dir}/pid"];
    let mut started = Process::spawn(dir, 0, &args, &[]);
    assert_eq!(started.exit_status(), Some(0), "{}", started.log());
    let server = Orphan::of(&started.dir.join("pid"));
    let socket = started.dir.join("socket");
    assert!(socket.exists(), "the sockets are there before the pid file is");
    server.signal("INT");
    assert!(wait_until(DEADLINE, || server.has_ended() && !socket.exists()));
}
