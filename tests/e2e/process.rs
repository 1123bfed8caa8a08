//! A server process as a person or a service manager sees it: arguments, environment, printed text, signals, exit status.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::resp::Client;
use super::server::{free_port, wait_until};

/// How long anything that has to happen may take, on a busy machine.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// How often another process may take the port between its choice and its use.
const PORT_TRIES: usize = 5;

/// The program under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_aleadb"))
}

/// A directory that is removed in the end.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("aleadb-e2e-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary directory is writable");
        Dir(path)
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process and its directory, in which `stdout` and `stderr` are what it printed.
pub struct Process {
    child: Child,
    pub port: u16,
    pub dir: Dir,
}

impl Process {
    /// Starts a server with `args` on a port of its own and waits until it answers.
    pub fn serving(args: &[&str]) -> Process {
        Process::serving_in(Dir::new(), args, &[])
    }

    /// As [`Process::serving`], in a directory that exists and with environment variables. `{dir}` in an argument or
    /// value stands for the directory.
    pub fn serving_in(dir: Dir, args: &[&str], env: &[(&str, &str)]) -> Process {
        let mut dir = dir;
        for _ in 0..PORT_TRIES {
            let port = free_port().expect("some port is free");
            let mut process = Process::spawn(dir, port, &[&["--port", &port.to_string()], args].concat(), env);
            let answered = wait_until(DEADLINE, || process.answers_ping() || process.has_ended());
            if answered && !process.has_ended() {
                return process;
            }
            assert!(process.log().contains("in use"), "the server does not answer: {}", process.log());
            dir = std::mem::replace(&mut process.dir, Dir::new());
        }
        panic!("{PORT_TRIES} ports in a row were taken by others");
    }

    /// Starts the program with nothing but `args`; `port` is only remembered.
    pub fn spawn(dir: Dir, port: u16, args: &[&str], env: &[(&str, &str)]) -> Process {
        let mut command = Command::new(binary());
        let path = dir.0.display().to_string();
        command.args(args.iter().map(|arg| arg.replace("{dir}", &path)));
        command.envs(env.iter().map(|(name, value)| (*name, value.replace("{dir}", &path))));
        command.stdin(Stdio::null());
        Process::run(dir, port, command)
    }

    /// Starts a prepared command in the directory.
    pub fn run(dir: Dir, port: u16, mut command: Command) -> Process {
        let file = |name: &str| File::create(dir.join(name)).expect("the directory is writable");
        // The log level and the dates are the configuration's here, whatever the tests' own environment says.
        command.current_dir(&dir.0).env_remove("RUST_LOG").stdout(file("stdout")).stderr(file("stderr"));
        let child = command.spawn().expect("the program can be started");
        Process { child, port, dir }
    }

    fn answers_ping(&self) -> bool {
        let Ok(mut client) = Client::connect(self.addr()) else { return false };
        client.call(&["PING"]).is_ok_and(|reply| reply.raw == b"+PONG\r\n" || reply.raw.starts_with(b"-NOAUTH"))
    }

    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.addr()).expect("the server accepts connections")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed on standard output, which is the log unless there is a log file.
    pub fn log(&self) -> String {
        self.read("stdout") + &self.read("stderr")
    }

    /// A file of its directory, empty if there is none.
    pub fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(name)).unwrap_or_default()).into_owned()
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.expect("kill runs").success(), "the process is there to be signalled");
    }

    /// Waits for its end; the exit status, `None` if a signal ended it.
    pub fn exit_status(&mut self) -> Option<i32> {
        assert!(wait_until(DEADLINE, || self.has_ended()), "the process goes on: {}", self.log());
        self.child.wait().expect("it has ended").code()
    }

    /// Bytes of physical memory it uses.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a VmRSS line");
        let kib: u64 = line.split_ascii_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing useful can be done when either of these fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says that a test is skipped, past the test runner's capture; fails it where everything has to run.
pub fn skip(test: &str, why: &str) {
    use std::io::Write;
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} cannot run: {why}");
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// Whether a program can be started.
pub fn has_program(name: &str) -> bool {
    Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// A Python that has redis-py, to be given a script; `None` after saying that there is none.
pub fn python(test: &str) -> Option<Command> {
    named_by("ALEADB_PYTHON", test).map(Command::new)
}

/// A Node.js that has ioredis, to be given a script; `None` after saying that there is none.
pub fn node(test: &str) -> Option<Command> {
    let mut node = Command::new(named_by("ALEADB_NODE", test)?);
    node.env("NODE_PATH", named_by("ALEADB_NODE_PATH", test)?);
    Some(node)
}

fn named_by(variable: &str, test: &str) -> Option<OsString> {
    let path = std::env::var_os(variable).filter(|path| !path.is_empty());
    if path.is_none() {
        skip(test, &format!("{variable} is not set; scripts/test.sh sets it"));
    }
    path
}
