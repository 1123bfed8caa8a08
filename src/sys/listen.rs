//! Opens listening sockets: TCP on several addresses, and a Unix socket with its file mode. What is listened on is
//! decided elsewhere; this only binds, and says exactly what could not be bound.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};

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

/// Listens on a host (an address, a name, or `*` for all of IPv4, `::*` for all of IPv6) and port.
///
/// # Errors
/// The name does not resolve, or the address cannot be bound.
pub fn tcp(host: &str, port: u16, backlog: u32) -> io::Result<BoundSocket> {
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        other => other,
    };
    let address: SocketAddr = (host, port)
        .to_socket_addrs()?
        .next()
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // IPv4 has sockets of its own, so `::` and `0.0.0.0` can be bound side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    let listener = TcpListener::from(socket);
    let address = listener.local_addr()?.to_string();
    Ok(BoundSocket { socket: Listening::Tcp(listener), address })
}

/// Listens on a Unix socket, replacing a stale file; `mode` 0 leaves what the umask gives.
///
/// # Errors
/// The path cannot be bound or its mode not be set.
pub fn unix(path: &Path, mode: u32, backlog: u32) -> io::Result<BoundSocket> {
    // A socket file left by a killed server would refuse the bind; other files are left alone.
    if std::fs::symlink_metadata(path).is_ok_and(|meta| std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type())) {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&socket2::SockAddr::unix(path)?)?;
    if mode != 0 {
        super::limits::set_permission(path, mode)?;
    }
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok(BoundSocket { socket: Listening::Unix(UnixListener::from(socket)), address: path.display().to_string() })
}
