//! One connection: its socket, what has arrived and not been parsed, what has been answered and not been sent.
//!
//! Readiness is edge-triggered: `readable` and `writable` are set by events and cleared by the kernel's answers, and
//! nothing is ever re-registered. An idle connection holds no buffer: input is read into the loop's own buffer and only
//! a partial command is kept; an output buffer goes back to the loop's pool when it has been sent.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::resp::args::Span;
use crate::resp::out::Out;
use crate::resp::parse::Parser;
use crate::sys::socket;

/// Bytes of a partial command that are moved before what follows them.
const KEPT_MOVED_MAX: usize = 16 * 1024;
/// A partial command that still lacks more than this many bytes is read straight into its own buffer.
const DIRECT_READ_MIN: usize = 16 * 1024;
/// Bytes read for one connection in one turn when reading directly.
const DIRECT_READ_MAX: usize = 1024 * 1024;
/// Room for the whole of an announced command is taken once this part of it has arrived: a client that only announces
/// costs nothing, and no more than this part is ever copied to a larger buffer at once.
const ANNOUNCED_PART: usize = 16;

/// A stream socket of either kind.
#[derive(Debug)]
pub enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
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

    fn write_vectored(&mut self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
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
    fn source(&mut self) -> &mut dyn Source {
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

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Bytes in the loop's buffer.
    Scratch {
        /// Those that had been kept before.
        kept: usize,
        /// Those that were read now, after them.
        count: usize,
    },
    /// Bytes appended to the connection's own input.
    Input(usize),
    /// Nothing now.
    Nothing,
    /// The peer will send no more.
    End,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    stream: Stream,
    /// The client's id, which tells this connection from an earlier one in the same slot.
    pub id: u64,
    /// Bytes of a command that is not complete, or of commands held back.
    pub input: Vec<u8>,
    /// State of the partial command at the start of `input`.
    pub parser: Parser,
    /// `input` is the beginning of a command, and nothing can run before more bytes have come. False when it holds
    /// commands that wait for their turn.
    pub partial: bool,
    /// Arguments found so far of that command.
    pub spans: Vec<Span>,
    /// Bytes that the partial command is known to need in all; 0 if unknown.
    pub needed: usize,
    /// Replies not sent yet.
    pub out: Out,
    /// The kernel may have bytes for us.
    pub readable: bool,
    /// The kernel may take bytes from us.
    pub writable: bool,
    /// The peer has closed its side, or the connection broke: read to the end instead of trusting a short read.
    pub hung_up: bool,
    /// Neither side can send any more.
    pub broken: bool,
    /// Waiting in the loop's ready list.
    pub queued: bool,
    /// Waiting in the loop's flush list.
    pub flushing: bool,
    /// Since when (monotonic ms) the output has been over the soft limit.
    pub soft_over_ms: Option<u64>,
}

impl Conn {
    /// Takes over a socket and registers it for good.
    ///
    /// # Errors
    /// When the poll cannot take it.
    pub fn register(mut stream: Stream, id: u64, registry: &Registry, token: Token) -> io::Result<Conn> {
        registry.register(stream.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Conn {
            stream,
            id,
            input: Vec::new(),
            parser: Parser::default(),
            partial: false,
            spans: Vec::new(),
            needed: 0,
            out: Out::default(),
            // Data may have come with the connection, so the first read does not wait for an event.
            readable: true,
            writable: true,
            hung_up: false,
            broken: false,
            queued: false,
            flushing: false,
            soft_over_ms: None,
        })
    }

    /// Reads once: into `scratch`, behind the input kept if that is short, else onto the input.
    ///
    /// # Errors
    /// A broken connection.
    pub fn fill(&mut self, scratch: &mut [u8]) -> io::Result<Filled> {
        let missing = self.needed.saturating_sub(self.input.len());
        if missing >= DIRECT_READ_MIN {
            return self.fill_directly(missing);
        }
        // A short beginning of a command goes before what is read now: to move it is less than to move what follows it.
        let kept = if self.input.len() <= KEPT_MOVED_MAX.min(scratch.len() / 2) { self.input.len() } else { 0 };
        scratch[..kept].copy_from_slice(&self.input[..kept]);
        let count = match self.stream.read(&mut scratch[kept..]) {
            Ok(0) => return Ok(Filled::End),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Ok(Filled::Nothing);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(Filled::Nothing),
            Err(error) => return Err(error),
        };
        // A short read means the kernel had no more: the next edge will tell. Unless the end is already there.
        self.readable = kept + count == scratch.len() || self.hung_up;
        if kept == self.input.len() {
            self.input = Vec::new();
            return Ok(Filled::Scratch { kept, count });
        }
        self.input.extend_from_slice(&scratch[..count]);
        Ok(Filled::Input(count))
    }

    fn fill_directly(&mut self, missing: usize) -> io::Result<Filled> {
        let before = self.input.len();
        if self.input.capacity() - before < missing.min(DIRECT_READ_MAX) {
            self.input.reserve_exact(room_for(before, missing));
        }
        let limit = missing.min(DIRECT_READ_MAX).min(self.input.capacity() - before) as u64;
        let result = (&mut self.stream).take(limit).read_to_end(&mut self.input);
        let count = self.input.len() - before;
        match result {
            Ok(_) if (count as u64) < limit => Ok(Filled::End),
            Ok(_) => Ok(Filled::Input(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(if count == 0 { Filled::Nothing } else { Filled::Input(count) })
            }
            Err(error) => Err(error),
        }
    }

    /// Gives up on going on with a partial command: its bytes are parsed from their start again, or never.
    pub fn forget_partial(&mut self) {
        self.parser.reset();
        self.spans = Vec::new();
        self.needed = 0;
    }

    /// Sends what the kernel takes, in one write. Returns the bytes sent.
    ///
    /// # Errors
    /// A broken connection.
    pub fn flush(&mut self) -> io::Result<usize> {
        let result = match self.out.as_slice() {
            Some(bytes) => self.stream.write(bytes),
            None => self.stream.write_vectored(&self.out.slices()),
        };
        match result {
            Ok(count) => {
                self.out.advance(count);
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

    /// Keeps the bytes of `input`, which was taken out, from an offset on. A buffer that was large for what went before is
    /// not kept for what little is left.
    pub fn keep_input(&mut self, mut input: Vec<u8>, from: usize) {
        let left = input.len() - from;
        if input.capacity() > DIRECT_READ_MIN && left < input.capacity() / 4 {
            self.input = input[from..].to_vec();
        } else {
            input.drain(..from);
            self.input = input;
        }
    }

    /// Takes the socket out of the poll; it closes when the connection is dropped.
    pub fn deregister(&mut self, registry: &Registry) {
        // Closing the descriptor removes it from the poll as well, so a failure changes nothing.
        let _ = registry.deregister(self.stream.source());
    }
}

/// How much room to make behind `arrived` bytes of a command of which so many more are announced: in proportion to what
/// has come, until that is reason enough to believe the rest.
fn room_for(arrived: usize, missing: usize) -> usize {
    if arrived >= (arrived + missing) / ANNOUNCED_PART { missing } else { missing.min(arrived.max(DIRECT_READ_MAX)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_made_for_what_has_come_and_not_for_what_is_announced() {
        const ANNOUNCED: usize = 512 << 20;
        let (mut arrived, mut room, mut moves) = (10, 10, 0);
        while arrived < ANNOUNCED {
            if room == arrived {
                room += room_for(arrived, ANNOUNCED - arrived);
                moves += 1;
                assert!(room <= ANNOUNCED && room <= (ANNOUNCED_PART * arrived).max(2 * DIRECT_READ_MAX));
            }
            arrived += (room - arrived).min(DIRECT_READ_MAX);
        }
        assert_eq!((arrived, room), (ANNOUNCED, ANNOUNCED), "exactly what was announced");
        assert!(moves < 10, "{moves} moves");
    }
}
