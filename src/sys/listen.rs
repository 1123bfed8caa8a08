//! Opens listening sockets: TCP on several addresses, and a Unix socket with its file mode; and takes over those that the
//! service manager opened. What is listened on is decided elsewhere; this only binds, and says exactly what could not be
//! bound.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error_text;
use super::limits::{set_permission, with_umask};
use super::notify::{ListenFd, ListenKind};

/// A listening socket of the standard library, non-blocking.
#[derive(Debug)]
pub enum Listening {
    /// TCP.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// A socket that listens, with its address for people.
#[derive(Debug)]
pub struct BoundSocket {
    /// The socket.
    pub socket: Listening,
    /// `ip:port`, or the path of a Unix socket.
    pub address: String,
}

impl BoundSocket {
    /// Takes over a socket that the service manager opened.
    ///
    /// # Errors
    /// The socket has no address, or its mode cannot be changed.
    pub fn passed(passed: ListenFd) -> io::Result<BoundSocket> {
        match passed.kind {
            ListenKind::Tcp => {
                let listener = TcpListener::from(passed.fd);
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?.to_string();
                Ok(BoundSocket { socket: Listening::Tcp(listener), address })
            }
            ListenKind::Unix => {
                let listener = UnixListener::from(passed.fd);
                listener.set_nonblocking(true)?;
                let address = listener.local_addr()?;
                let path = address.as_pathname().map_or(String::new(), |path| path.display().to_string());
                Ok(BoundSocket { socket: Listening::Unix(listener), address: path })
            }
        }
    }

    /// What kind of clients it accepts, as the log names it.
    pub fn kind(&self) -> &'static str {
        match self.socket {
            Listening::Tcp(_) => "tcp",
            Listening::Unix(_) => "unix",
        }
    }
}

/// An error with the step that failed before it, such as `bind: Address already in use`. Its kind is `Unsupported` when
/// the machine lacks the whole address family.
fn at_step(step: &'static str) -> impl Fn(io::Error) -> io::Error {
    const NO_FAMILY: [i32; 5] =
        [libc::EAFNOSUPPORT, libc::EPFNOSUPPORT, libc::EPROTONOSUPPORT, libc::ESOCKTNOSUPPORT, libc::ENOPROTOOPT];
    move |error| {
        let lacking = error.raw_os_error().is_some_and(|code| NO_FAMILY.contains(&code));
        let kind = if lacking { ErrorKind::Unsupported } else { error.kind() };
        io::Error::new(kind, format!("{step}: {}", error_text(&error)))
    }
}

/// Listens on a host (an address, a name, or `*` for all of IPv4, `::*` for all of IPv6) and port.
///
/// # Errors
/// The name does not resolve, or the address cannot be bound; the text names the step that failed.
pub fn tcp(host: &str, port: u16, backlog: u32) -> io::Result<BoundSocket> {
    let address = resolve(host, port)?;
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(at_step("socket"))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own, so `::` and `0.0.0.0` can be bound side by side.
        socket.set_only_v6(true).map_err(at_step("setsockopt"))?;
    }
    socket.set_reuse_address(true).map_err(at_step("setsockopt"))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).map_err(at_step("bind"))?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(at_step("listen"))?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?.to_string();
    Ok(BoundSocket { socket: Listening::Tcp(listener), address })
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        other => other,
    };
    let found = (host, port).to_socket_addrs().map_err(|error| {
        let text = error_text(&error);
        // The resolver's own words, without the standard library's before them.
        let text = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
        io::Error::new(error.kind(), text)
    })?;
    found.into_iter().next().ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the name has no address"))
}

/// Listens on every address of `bind`, each a host as [`tcp`] takes it and whether it may be missing from this machine.
/// All or nothing, except that an address of a family that the machine does not have is always left out.
///
/// # Errors
/// The text, one line, is Redis's.
pub fn tcp_all<'a>(
    bind: impl IntoIterator<Item = (&'a str, bool)>,
    port: u16,
    backlog: u32,
) -> io::Result<Vec<BoundSocket>> {
    let mut sockets = Vec::new();
    for (host, optional) in bind {
        match tcp(host, port, backlog) {
            Ok(socket) => sockets.push(socket),
            Err(error) if error.kind() == ErrorKind::Unsupported => {}
            Err(error) if optional && error.kind() == ErrorKind::AddrNotAvailable => {}
            Err(error) => {
                let text = format!("Could not create server TCP listening socket {host}:{port}: {error}");
                return Err(io::Error::new(error.kind(), text));
            }
        }
    }
    Ok(sockets)
}

/// Listens on a Unix socket, replacing a stale file; `mode` 0 leaves what the umask gives.
///
/// The file never grants more than `mode`, and nobody can connect before it has exactly that.
///
/// # Errors
/// The path cannot be bound or its mode not be set, or another process listens there; the text names the step that failed.
pub fn unix(path: &Path, mode: u32, backlog: u32) -> io::Result<BoundSocket> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at_step("socket"))?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path).map_err(at_step("bind"))?;
    if mode == 0 {
        socket.bind(&address).map_err(at_step("bind"))?;
    } else {
        with_umask(!mode & 0o777, || socket.bind(&address)).map_err(at_step("bind"))?;
        // The mask can only take away, and not every system looks at it here.
        set_permission(path, mode).map_err(at_step("chmod"))?;
    }
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX)).map_err(at_step("listen"))?;
    Ok(BoundSocket { socket: Listening::Unix(UnixListener::from(socket)), address: path.display().to_string() })
}

/// Removes a socket file that a killed server left behind, for it would refuse the bind. Files of other kinds, and
/// sockets that somebody listens on, are left alone.
///
/// COMPAT: Redis removes whatever is there, and so takes a running server's clients away without a word.
fn remove_stale(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path).is_ok_and(|meta| meta.file_type().is_socket()) {
        return Ok(());
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(at_step("socket"))?;
    // A listener whose queue is full would make a blocking probe wait.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path).map_err(at_step("bind"))?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(at_step("unlink")),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Ok(()) => Err(at_step("bind")(io::Error::from_raw_os_error(libc::EADDRINUSE))),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(at_step("bind")(io::Error::from_raw_os_error(libc::EADDRINUSE)))
        }
        Err(error) => Err(at_step("connect")(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    struct TempDir(PathBuf);

    impl TempDir {
        fn new(test: &str) -> TempDir {
            let path = std::env::temp_dir().join(format!("aleadb-{test}-{}", std::process::id()));
            fs::create_dir_all(&path).expect("the temporary directory is writable");
            TempDir(path)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_port_in_use_is_reported_in_redis_s_words() {
        let holder = tcp("127.0.0.1", 0, 16).expect("some port is free");
        let port: u16 = holder.address.rsplit(':').next().expect("a port").parse().expect("a number");
        let error = tcp_all([("127.0.0.1", true)], port, 16).expect_err("the port is taken");
        let text =
            format!("Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use");
        assert_eq!(error.to_string(), text);
    }

    #[test]
    fn an_address_of_another_machine_is_skipped_if_optional() {
        // 203.0.113.0/24 is for documentation, so no machine has such an address.
        let missing = "203.0.113.77";
        assert!(tcp_all([(missing, true)], 0, 16).expect("nothing is wrong").is_empty());
        let error = tcp_all([(missing, false)], 0, 16).expect_err("not ours");
        assert!(error.to_string().ends_with("bind: Cannot assign requested address"), "{error}");
    }

    #[test]
    fn a_socket_file_is_replaced_only_if_nobody_listens_and_nothing_else_ever() {
        let dir = TempDir::new("listen");
        let path = dir.0.join("socket");
        let first = unix(&path, 0o600, 16).expect("bind");
        let error = unix(&path, 0o600, 16).expect_err("somebody listens");
        assert_eq!(error.to_string(), "bind: Address already in use");
        drop(first);
        let second = unix(&path, 0o640, 16).expect("the file is stale");
        assert_eq!(fs::metadata(&path).expect("the file").permissions().mode() & 0o777, 0o640);
        assert_eq!((second.kind(), second.address), ("unix", path.display().to_string()));
        let file = dir.0.join("file");
        fs::write(&file, b"precious").expect("the directory is writable");
        assert!(unix(&file, 0, 16).is_err());
        assert_eq!(fs::read(&file).expect("the file is still there"), b"precious");
    }
}
