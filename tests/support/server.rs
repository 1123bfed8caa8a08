//! Starts server programs for tests, on ports of their own, in directories of their own.
//!
//! A [`Server`] is a running process that has answered `PING`; dropping it kills the process and removes its directory.
//! Works for any server that speaks Redis's protocol and takes Redis's command line, so it knows neither the subject nor
//! the oracle. Test binaries include this file with `#[path]`, next to `resp.rs`.
#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use super::resp::Client;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a server may take until it answers `PING`, on a busy machine.
const START_MS_MAX: u64 = 20_000;

/// How often another process may take the port between its choice and its use.
const PORT_TRIES: usize = 5;

/// A running server process.
pub struct Server {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Server {
    /// Starts `binary` with `args`, a free port, a fresh directory and nothing saved to disk. The error tells what
    /// the server printed.
    pub fn start(binary: &Path, args: &[&str]) -> Result<Server, String> {
        Server::start_in(binary, args, &|_| Ok(()))
    }

    /// The same in a directory that is prepared for it.
    pub fn start_in(binary: &Path, args: &[&str], prepare: &dyn Fn(&Path) -> io::Result<()>) -> Result<Server, String> {
        let mut last = String::new();
        for _ in 0..PORT_TRIES {
            match Server::start_once(binary, args, prepare) {
                Ok(server) => return Ok(server),
                Err(error) => last = error,
            }
            if !last.contains("in use") {
                break;
            }
        }
        Err(last)
    }

    fn start_once(binary: &Path, args: &[&str], prepare: &dyn Fn(&Path) -> io::Result<()>) -> Result<Server, String> {
        let port = free_port().map_err(|error| format!("no free port: {error}"))?;
        let dir = fresh_dir().map_err(|error| format!("no temporary directory: {error}"))?;
        prepare(&dir).map_err(|error| format!("the directory cannot be prepared: {error}"))?;
        let log = dir.join("log");
        let child = File::create(&log).and_then(|file| {
            Command::new(binary)
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .arg("--dir")
                .arg(&dir)
                .args(args)
                // Texts sort by the locale.
                .env("LC_ALL", "C")
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file)
                .spawn()
        });
        let child = child.map_err(|error| format!("{} does not start: {error}", binary.display()))?;
        let mut server = Server { child, port, dir };
        let ready = wait_until(Duration::from_millis(START_MS_MAX), || server.answers_ping() || server.has_ended());
        if ready && !server.has_ended() {
            return Ok(server);
        }
        let printed = fs::read_to_string(log).unwrap_or_default();
        Err(format!("{} on port {port} does not answer PING; it printed:\n{printed}", binary.display()))
    }

    fn answers_ping(&self) -> bool {
        let Ok(mut client) = self.connect() else { return false };
        // A password is an answer too.
        client.call(&["PING"]).is_ok_and(|reply| reply.raw == b"+PONG\r\n" || reply.raw.starts_with(b"-NOAUTH"))
    }

    /// Whether the process is gone.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until the process is gone, and says whether it is.
    pub fn wait_for_end(&mut self, limit: Duration) -> bool {
        wait_until(limit, || self.has_ended())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// Its working directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new connection.
    pub fn connect(&self) -> io::Result<Client> {
        Client::connect(self.addr())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing useful can be done when any of these fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A port that nobody listened on a moment ago.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Asks `condition` again and again until it holds or `limit` has passed, and says whether it held.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn fresh_dir() -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = std::env::temp_dir().join(format!("aleadb-test-{}-{count}", std::process::id()));
    fs::create_dir_all(&dir)?;
    Ok(dir)
}
