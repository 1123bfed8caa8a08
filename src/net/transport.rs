//! What a connection's bytes travel over: the kernel's sockets, or whatever else can be read and written without blocking.
//!
//! Readiness is edge-triggered: a `Link` is told by events that it may be readable or writable, learns from the answers to
//! its reads and writes that it no longer is, and nothing is ever re-registered. This module knows no buffers and no clients.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};

use crate::resp::out::Out;
use crate::sys::socket;

/// A byte stream that never blocks: reads and writes answer `WouldBlock` instead, a read answers 0 at the end of the stream.
pub trait Transport: Read + Write + Debug {
    /// True if bytes are buffered on this side of the kernel that a read would return and of which no event will tell, as a
    /// layer of encryption may have after a read that filled the caller's buffer only in part.
    fn may_have_more(&self) -> bool;

    /// Small writes may be gathered for a while from now on, for fewer and larger packets.
    fn gather_writes(&mut self) {}
}

/// A stream socket of either kind.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl Transport for Stream {
    #[inline]
    fn may_have_more(&self) -> bool {
        false
    }

    fn gather_writes(&mut self) {
        if let Stream::Tcp(stream) = self {
            // It is no more than a wish.
            let _ = stream.set_nodelay(false);
        }
    }
}

impl Read for Stream {
    #[inline]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        socket::receive(self.as_fd(), buf)
    }
}

impl Write for Stream {
    #[inline]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        socket::send(self.as_fd(), buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => stream.write_vectored(bufs),
            Stream::Unix(stream) => stream.write_vectored(bufs),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Stream {
    #[inline]
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Stream::Tcp(stream) => stream.as_fd(),
            Stream::Unix(stream) => stream.as_fd(),
        }
    }
}

impl Stream {
    /// The socket as the poll takes it.
    pub fn source(&mut self) -> &mut dyn Source {
        match self {
            Stream::Tcp(stream) => stream,
            Stream::Unix(stream) => stream,
        }
    }

    /// The descriptor.
    pub fn fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

/// What an event says about a transport. Events may be spurious; what they say is a hint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// There may be bytes to read.
    pub readable: bool,
    /// There may be room to write.
    pub writable: bool,
    /// The peer sends no more, or nothing can be received any more.
    pub read_closed: bool,
    /// Nothing can be sent any more.
    pub write_closed: bool,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing at present.
    Nothing,
    /// The peer will send no more.
    End,
}

/// A transport with what is known of its readiness.
#[derive(Debug)]
pub(super) struct Link<T> {
    pub transport: T,
    /// A read may return bytes.
    pub readable: bool,
    /// A write may take bytes.
    pub writable: bool,
    /// The peer has closed its side, or the connection broke: read to the end instead of trusting a short read.
    pub hung_up: bool,
    /// Neither side can send any more.
    pub broken: bool,
}

impl<T: Transport> Link<T> {
    /// Takes over a transport. Bytes may have come with it, so the first read does not wait for an event.
    pub fn new(transport: T) -> Link<T> {
        Link { transport, readable: true, writable: true, hung_up: false, broken: false }
    }

    /// Reads once.
    ///
    /// # Errors
    /// A broken connection.
    #[inline]
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        match self.transport.read(buffer) {
            Ok(0) => Ok(Received::End),
            Ok(count) => {
                // A short read means there was no more: the next edge will tell. Unless the end is already there.
                self.readable = count == buffer.len() || self.hung_up || self.transport.may_have_more();
                Ok(Received::Bytes(count))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Received::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Received::Nothing),
            Err(error) => Err(error),
        }
    }

    /// Reads up to `limit` bytes onto a buffer, as many as there are.
    ///
    /// # Errors
    /// A broken connection.
    pub fn read_onto(&mut self, buffer: &mut Vec<u8>, limit: usize) -> io::Result<Received> {
        let before = buffer.len();
        let result = (&mut self.transport).take(limit as u64).read_to_end(buffer);
        let count = buffer.len() - before;
        match result {
            Ok(_) if count < limit => Ok(Received::End),
            Ok(_) => Ok(Received::Bytes(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(if count == 0 { Received::Nothing } else { Received::Bytes(count) })
            }
            Err(error) => Err(error),
        }
    }

    /// Sends what the transport takes of the first so many bytes of an output, in one write. Returns the bytes sent.
    ///
    /// # Errors
    /// A broken connection.
    pub fn send(&mut self, out: &mut Out, limit_bytes: usize) -> io::Result<usize> {
        let result = match out.as_slice() {
            Some(bytes) => self.transport.write(&bytes[..bytes.len().min(limit_bytes)]),
            None => self.transport.write_vectored(&out.slices(limit_bytes)),
        };
        match result {
            Ok(count) => {
                out.advance(count);
                Ok(count)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}
