//! The service manager's side of a process's life: readiness, watchdog and socket activation, as systemd defines them.
//!
//! Owns nothing but an unbound datagram socket. Outside a service manager (no `NOTIFY_SOCKET`) every call succeeds and
//! does nothing. Sending never blocks: a manager that does not read its socket costs a lost message, not a stalled loop.
//!
//! What to send and how the variables are read is decided by functions that take values as parameters; only the
//! `from_env`-like entry points look at the environment. Who calls: the loop at its start, its reload and its end, and
//! `watchdog`, whose thread has a notifier of its own.
#![allow(unsafe_code)]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Names the manager's socket.
pub const SOCKET_VARIABLE: &str = "NOTIFY_SOCKET";

/// What [`Notifier::status`] tells of a server with nothing to remark.
pub const READY_STATUS: &str = "Ready to accept connections";

/// First descriptor passed by socket activation (`SD_LISTEN_FDS_START`).
const LISTEN_FDS_START: RawFd = 3;

/// Upper bound of descriptors accepted from `LISTEN_FDS`, so that a nonsense number cannot make start-up walk far.
const LISTEN_FDS_MAX: usize = 64;

/// Sends state changes to the service manager.
#[derive(Debug, Default)]
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
}

impl Notifier {
    /// The notifier for the manager named in `NOTIFY_SOCKET`, or a silent one when the variable is unset or empty.
    ///
    /// Fails when the variable names something that cannot be a socket address.
    pub fn from_env() -> io::Result<Notifier> {
        Notifier::to_address(std::env::var_os(SOCKET_VARIABLE).as_deref())
    }

    /// The notifier for an address as written in `NOTIFY_SOCKET`: an absolute path, or `@name` in the abstract space.
    pub fn to_address(address: Option<&OsStr>) -> io::Result<Notifier> {
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(Notifier::default());
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Notifier { target: Some((socket, parse_address(address)?)) })
    }

    /// Whether there is a manager to talk to.
    pub fn is_active(&self) -> bool {
        self.target.is_some()
    }

    /// Start-up is complete and connections are accepted.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1")
    }

    /// Shutdown has begun.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1")
    }

    /// The configuration or log files are being reopened; [`Notifier::ready`] must follow.
    pub fn reloading(&self) -> io::Result<()> {
        self.send(&reloading_text(monotonic_us()?))
    }

    /// One line describing what the process is doing, shown by `systemctl status`. Line ends become spaces.
    pub fn status(&self, text: &str) -> io::Result<()> {
        self.send(&status_text(text))
    }

    /// Data is being loaded, of which so many percent are there; the start may take so much longer from here on.
    pub fn loading(&self, percent: u32, extended: Duration) -> io::Result<()> {
        self.send(&loading_text(percent, extended))
    }

    /// The process is alive; to be sent more often than once per [`watchdog_time`].
    pub fn watchdog(&self) -> io::Result<()> {
        self.send("WATCHDOG=1")
    }

    fn send(&self, text: &str) -> io::Result<()> {
        let Some((socket, address)) = &self.target else { return Ok(()) };
        socket.send_to_addr(text.as_bytes(), address).map(|_| ())
    }
}

fn parse_address(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(address),
        [b'@', name @ ..] => abstract_address(name),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("NOTIFY_SOCKET must start with '/' or '@', not {address:?}"),
        )),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract socket names exist on Linux only"))
}

fn reloading_text(monotonic_us: u64) -> String {
    format!("RELOADING=1\nMONOTONIC_USEC={monotonic_us}")
}

fn loading_text(percent: u32, extended: Duration) -> String {
    format!("EXTEND_TIMEOUT_USEC={}\nSTATUS=Loading the data: {percent} %", extended.as_micros())
}

fn status_text(text: &str) -> String {
    format!("STATUS={}", text.replace(['\n', '\r'], " "))
}

/// The kernel's monotonic clock, which the reload message must carry so that the manager can order it against its own
/// events. A stamp of the protocol; the database's time comes from elsewhere.
fn monotonic_us() -> io::Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes for the length of the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}

/// How long the manager waits for [`Notifier::watchdog`] before it acts. `None` when it does not watch us.
pub fn watchdog_time() -> Option<Duration> {
    let (usec, pid) = (std::env::var_os("WATCHDOG_USEC"), std::env::var_os("WATCHDOG_PID"));
    watchdog_from(usec.as_deref(), pid.as_deref(), std::process::id())
}

/// [`watchdog_time`] over the two variables' values: the time in microseconds, and the process meant (any, if unset).
pub fn watchdog_from(usec: Option<&OsStr>, pid: Option<&OsStr>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| number(pid) != Some(u64::from(own_pid))) {
        return None;
    }
    let allowed = number(usec?)?;
    (allowed > 0).then(|| Duration::from_micros(allowed))
}

fn number(text: &OsStr) -> Option<u64> {
    text.to_str()?.parse().ok()
}

/// What kind of clients a passed socket accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenKind {
    /// A listening TCP socket, IPv4 or IPv6.
    Tcp,
    /// A listening Unix stream socket.
    Unix,
}

/// A listening socket that was opened by the service manager.
#[derive(Debug)]
pub struct ListenFd {
    /// The socket, closed when dropped; close-on-exec is set.
    pub fd: OwnedFd,
    /// Its name in the socket unit (`FileDescriptorName=`), or `unknown`.
    pub name: String,
    /// What it listens on, as asked from the kernel.
    pub kind: ListenKind,
}

/// The sockets passed by socket activation, in their order; empty when there are none, and on every call but the first
/// (the descriptors have an owner from then on).
///
/// Fails when one of them is not a listening stream socket: serving half of what was configured would go unnoticed.
pub fn listen_fds() -> io::Result<Vec<ListenFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    let variable = |name: &str| std::env::var_os(name);
    let (pid, fds, names) = (variable("LISTEN_PID"), variable("LISTEN_FDS"), variable("LISTEN_FDNAMES"));
    let passed = passed_fds(pid, fds, names, std::process::id());
    passed.into_iter().enumerate().map(|(index, name)| take_fd(LISTEN_FDS_START + index as RawFd, name)).collect()
}

/// The names of the descriptors meant for this process, one per descriptor from 3 on; empty when the variables are
/// unset, malformed or meant for another process.
fn passed_fds(pid: Option<OsString>, fds: Option<OsString>, names: Option<OsString>, own_pid: u32) -> Vec<String> {
    if pid.as_deref().and_then(number) != Some(u64::from(own_pid)) {
        return Vec::new();
    }
    let count = fds.as_deref().and_then(number).unwrap_or(0).min(LISTEN_FDS_MAX as u64);
    let names = names.unwrap_or_default();
    let mut names = names.to_str().unwrap_or("").split(':').filter(|name| !name.is_empty());
    (0..count).map(|_| names.next().unwrap_or("unknown").to_owned()).collect()
}

/// Takes ownership of an inherited descriptor, marks it close-on-exec and asks the kernel what it is.
fn take_fd(number: RawFd, name: String) -> io::Result<ListenFd> {
    // SAFETY: `fcntl` with these commands only reads and writes the descriptor's flags, and fails on a closed one.
    let marked = unsafe {
        let flags = libc::fcntl(number, libc::F_GETFD);
        flags >= 0 && libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC) >= 0
    };
    if !marked {
        let cause = io::Error::last_os_error();
        return Err(io::Error::new(cause.kind(), format!("passed descriptor {number} ({name}): {cause}")));
    }
    // SAFETY: the descriptor is open, and the activation protocol makes this process its owner; `listen_fds` hands out
    // each number once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    match listen_kind(&fd) {
        Ok(kind) => Ok(ListenFd { fd, name, kind }),
        Err(cause) => Err(io::Error::new(cause.kind(), format!("passed descriptor {number} ({name}): {cause}"))),
    }
}

/// What a socket listens on, by getsockopt and getsockname.
fn listen_kind(fd: &OwnedFd) -> io::Result<ListenKind> {
    let socket = socket2::SockRef::from(fd);
    let refuse = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if socket.r#type()? != socket2::Type::STREAM {
        return refuse("not a stream socket");
    }
    if !socket.is_listener()? {
        return refuse("not listening");
    }
    match socket.local_addr()?.domain() {
        socket2::Domain::IPV4 | socket2::Domain::IPV6 => Ok(ListenKind::Tcp),
        socket2::Domain::UNIX => Ok(ListenKind::Unix),
        _ => refuse("neither a TCP nor a Unix socket"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::{AsRawFd, IntoRawFd};
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    /// A directory of this test's own, removed at the end.
    struct TempDir(PathBuf);

    impl TempDir {
        fn new(test: &str) -> TempDir {
            let path = std::env::temp_dir().join(format!("aleadb-{test}-{}", std::process::id()));
            std::fs::create_dir_all(&path).expect("the temporary directory is writable");
            TempDir(path)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn received(manager: &UnixDatagram) -> String {
        manager.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout can be set");
        let mut buffer = [0u8; 512];
        let n = manager.recv(&mut buffer).expect("a message within five seconds");
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    #[test]
    fn every_state_reaches_a_socket_bound_to_a_path() {
        let dir = TempDir::new("notify");
        let path = dir.0.join("notify");
        let manager = UnixDatagram::bind(&path).expect("bind");
        let notifier = Notifier::to_address(Some(path.as_os_str())).expect("a path is an address");
        assert!(notifier.is_active());
        notifier.ready().expect("send");
        assert_eq!(received(&manager), "READY=1");
        notifier.status("2 clients\nREADY=0").expect("send");
        assert_eq!(received(&manager), "STATUS=2 clients READY=0");
        notifier.watchdog().expect("send");
        assert_eq!(received(&manager), "WATCHDOG=1");
        notifier.reloading().expect("send");
        let text = received(&manager);
        let stamp = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("the reload message carries a stamp");
        assert!(stamp.parse::<u64>().expect("a number") > 0);
        notifier.stopping().expect("send");
        assert_eq!(received(&manager), "STOPPING=1");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_abstract_name_is_reached_too() {
        let name = format!("aleadb-notify-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&abstract_address(name.as_bytes()).expect("address")).expect("bind");
        let address = OsString::from(format!("@{name}"));
        Notifier::to_address(Some(&address)).expect("address").ready().expect("send");
        assert_eq!(received(&manager), "READY=1");
    }

    #[test]
    fn without_a_manager_every_call_succeeds_and_a_bad_address_is_refused() {
        for absent in [None, Some(OsStr::new(""))] {
            let notifier = Notifier::to_address(absent).expect("silence is fine");
            assert!(!notifier.is_active());
            notifier.ready().expect("nothing to do");
        }
        let refused = Notifier::to_address(Some(OsStr::new("relative"))).expect_err("not an address");
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_manager_that_does_not_read_costs_an_error_and_no_wait() {
        let dir = TempDir::new("notify-full");
        let path = dir.0.join("notify");
        let _manager = UnixDatagram::bind(&path).expect("bind");
        let notifier = Notifier::to_address(Some(path.as_os_str())).expect("address");
        let failed = (0..100_000).find_map(|_| notifier.watchdog().err()).expect("the queue is bounded");
        assert_eq!(failed.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn the_watchdog_s_time_is_what_is_allowed_to_this_process() {
        let os = |text: &'static str| Some(OsStr::new(text));
        assert_eq!(watchdog_from(os("3000000"), None, 7), Some(Duration::from_secs(3)));
        assert_eq!(watchdog_from(os("3000000"), os("7"), 7), Some(Duration::from_secs(3)));
        for (usec, pid) in [(None, None), (os("0"), None), (os("x"), None), (os("-5"), None)] {
            assert_eq!(watchdog_from(usec, pid, 7), None, "{usec:?}");
        }
        assert_eq!(watchdog_from(os("3000000"), os("8"), 7), None);
        assert_eq!(watchdog_from(os("3000000"), os("?"), 7), None);
    }

    #[test]
    fn passed_descriptors_are_named_and_counted() {
        let os = |text: &str| Some(OsString::from(text));
        assert_eq!(passed_fds(os("7"), os("2"), os("tcp:unix"), 7), ["tcp", "unix"]);
        assert_eq!(passed_fds(os("7"), os("2"), os("tcp"), 7), ["tcp", "unknown"]);
        assert_eq!(passed_fds(os("7"), os("1"), None, 7), ["unknown"]);
        assert_eq!(passed_fds(os("7"), os("99999999999"), None, 7).len(), LISTEN_FDS_MAX);
        let none: [String; 0] = [];
        for (pid, fds) in [(None, os("1")), (os("8"), os("1")), (os("7"), None), (os("7"), os("-1"))] {
            assert_eq!(passed_fds(pid, fds, None, 7), none);
        }
    }

    #[test]
    fn a_tcp_listener_handed_over_still_accepts_and_is_close_on_exec() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let number = listener.into_raw_fd();
        // SAFETY: clears a flag of a descriptor this test owns.
        assert_eq!(unsafe { libc::fcntl(number, libc::F_SETFD, 0) }, 0);
        let passed = take_fd(number, "tcp".into()).expect("a listener is accepted");
        assert_eq!((passed.kind, passed.name.as_str()), (ListenKind::Tcp, "tcp"));
        // SAFETY: reads a flag of an open descriptor.
        assert_eq!(unsafe { libc::fcntl(passed.fd.as_raw_fd(), libc::F_GETFD) }, libc::FD_CLOEXEC);
        let listener = TcpListener::from(passed.fd);
        let client = TcpStream::connect(address).expect("connect");
        let (_, peer) = listener.accept().expect("accept");
        assert_eq!(peer, client.local_addr().expect("address"));
    }

    #[test]
    fn a_unix_listener_is_recognised_and_other_descriptors_are_refused() {
        let dir = TempDir::new("activation");
        let listener = UnixListener::bind(dir.0.join("listen")).expect("bind");
        assert_eq!(take_fd(listener.into_raw_fd(), "u".into()).expect("accepted").kind, ListenKind::Unix);

        let udp = UdpSocket::bind("127.0.0.1:0").expect("bind");
        let text = take_fd(udp.into_raw_fd(), "u".into()).expect_err("refused").to_string();
        assert!(text.ends_with("not a stream socket"), "{text}");
        let pair = std::os::unix::net::UnixStream::pair().expect("pair");
        let text = take_fd(pair.0.into_raw_fd(), "u".into()).expect_err("refused").to_string();
        assert!(text.ends_with("not listening"), "{text}");
        let file = std::fs::File::open("/dev/null").expect("open");
        take_fd(file.into_raw_fd(), "u".into()).expect_err("a file is no socket");
        take_fd(1_000_000, "closed".into()).expect_err("a closed descriptor");
    }
}
