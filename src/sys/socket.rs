//! Reads and writes of sockets as bare system calls.
//!
//! The C library makes `recv` and `send` points at which a thread may be cancelled, and pays for that as soon as there is a
//! second thread, though nobody here cancels any: two hundredths of a small request. Its `syscall` does not.
//!
//! Owns nothing. Called by connections; knows nothing of readiness.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Reads what has arrived into a buffer: how many bytes, 0 at the end of the stream.
///
/// # Errors
/// The kernel's; `WouldBlock` when nothing has arrived and the socket does not block.
#[inline]
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes no more than the buffer's length to where the buffer is, and the descriptor is open as long as
    // it is borrowed. No address is asked for.
    let count = unsafe {
        #[cfg(target_os = "linux")]
        {
            let (address, length) = (std::ptr::null_mut::<u8>(), std::ptr::null_mut::<u8>());
            libc::syscall(
                libc::SYS_recvfrom,
                socket.as_raw_fd(),
                buffer.as_mut_ptr(),
                buffer.len(),
                0 as libc::c_int,
                address,
                length,
            )
        }
        #[cfg(not(target_os = "linux"))]
        libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Writes the beginning of some bytes: how many of them.
///
/// # Errors
/// The kernel's; `WouldBlock` when there is no room and the socket does not block, `BrokenPipe`, without a signal, when the
/// other side is gone.
#[inline]
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads no more than the slice's length from where the slice is, and the descriptor is open as long as
    // it is borrowed. No address is given.
    let count = unsafe {
        #[cfg(target_os = "linux")]
        {
            let (address, length) = (std::ptr::null::<u8>(), 0 as libc::c_int);
            libc::syscall(
                libc::SYS_sendto,
                socket.as_raw_fd(),
                bytes.as_ptr(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
                address,
                length,
            )
        }
        #[cfg(not(target_os = "linux"))]
        libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0)
    };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read, Write};
    use std::net::Shutdown;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    /// Beside the standard library's own reads and writes.
    #[test]
    fn bytes_errors_and_ends_are_those_of_the_standard_library() {
        let (mut theirs, ours) = UnixStream::pair().expect("a pair");
        ours.set_nonblocking(true).expect("a flag");
        let mut buffer = [0; 8];
        let empty = receive(ours.as_fd(), &mut buffer).expect_err("nothing there");
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
        theirs.write_all(b"request").expect("room");
        assert_eq!(receive(ours.as_fd(), &mut buffer[..3]).expect("bytes"), 3);
        assert_eq!((receive(ours.as_fd(), &mut buffer[3..]).expect("bytes"), &buffer[..7]), (4, &b"request"[..]));
        assert_eq!(send(ours.as_fd(), b"reply").expect("room"), 5);
        let mut reply = [0; 5];
        theirs.read_exact(&mut reply).expect("five bytes");
        assert_eq!(&reply, b"reply");
        theirs.shutdown(Shutdown::Write).expect("half a close");
        assert_eq!(receive(ours.as_fd(), &mut buffer).expect("the end"), 0);
        let full = std::iter::repeat_with(|| send(ours.as_fd(), &[0; 4096])).find_map(Result::err);
        assert_eq!(full.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
        drop(theirs);
        // The child of a test beside this one has a copy of the other end until it runs its program.
        let refused = || send(ours.as_fd(), b"x").expect_err("no room, and then nobody there").kind();
        let refusals = std::iter::repeat_with(refused).take(10_000_000);
        let gone = refusals.inspect(|_| std::thread::yield_now()).find(|kind| *kind != ErrorKind::WouldBlock);
        assert_eq!(gone, Some(ErrorKind::BrokenPipe));
    }
}
