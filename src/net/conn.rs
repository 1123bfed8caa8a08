//! One connection: its socket, what has arrived and not been parsed, what has been answered and not been sent.
//!
//! Readiness is edge-triggered: `readable` and `writable` are set by events and cleared by the kernel's answers, and
//! nothing is ever re-registered. An idle connection holds no buffer: input is read into the loop's own buffer and only
//! a partial command is kept; an output buffer goes back to the loop's pool when it has been sent.
//!
//! A client whose commands wait is read all the same, or its going would not be noticed behind what it sent before: see
//! [`ReadAhead`]. Its input is bounded like any other's, by `client-query-buffer-limit`.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};

use crate::feature::client_id::ClientId;
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

/// Bytes of a chunk of input read ahead.
const AHEAD_CHUNK_BYTES: usize = 64 * 1024;

/// What has been read of a client whose commands wait. It goes on from here before the socket is read again.
///
/// Chunks instead of one buffer: no byte is moved again once its chunk is full, however many are gathered.
#[derive(Debug, Default)]
pub struct ReadAhead {
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have been taken.
    taken: usize,
    /// Bytes in the chunks that have not been taken.
    bytes: usize,
}

impl ReadAhead {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len();
        match self.chunks.back_mut() {
            Some(last) if last.len() + bytes.len() <= AHEAD_CHUNK_BYTES => last.extend_from_slice(bytes),
            _ => self.chunks.push_back(bytes.to_vec()),
        }
    }

    /// Moves as many bytes into `buffer` as there are and it takes.
    fn take(&mut self, mut buffer: &mut [u8]) -> usize {
        let room = buffer.len();
        while let Some(first) = self.chunks.front() {
            let rest = &first[self.taken..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            buffer = &mut buffer[count..];
            self.bytes -= count;
            self.taken += count;
            if self.taken < first.len() {
                break;
            }
            self.chunks.pop_front();
            self.taken = 0;
        }
        room - buffer.len()
    }
}

/// What looking at a connection brought whose client waits, or is about to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// So many bytes.
    Read(usize),
    /// Nothing now.
    Nothing,
    /// The peer will send no more.
    End,
}

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
    /// Whose it is.
    pub client: ClientId,
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
    /// What was read while commands waited, behind `input`; never empty.
    ahead: Option<Box<ReadAhead>>,
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
    pub fn register(mut stream: Stream, client: ClientId, registry: &Registry, token: Token) -> io::Result<Conn> {
        registry.register(stream.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Conn {
            stream,
            client,
            input: Vec::new(),
            parser: Parser::default(),
            partial: false,
            spans: Vec::new(),
            needed: 0,
            ahead: None,
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

    /// Reads once: into `scratch`, behind the input kept if that is short, else onto the input. What was read ahead comes
    /// before what the kernel has.
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
        let count = if self.ahead.is_some() {
            self.take_ahead(&mut scratch[kept..])
        } else {
            match self.read(&mut scratch[kept..])? {
                Looked::Nothing => return Ok(Filled::Nothing),
                Looked::End => return Ok(Filled::End),
                Looked::Read(count) => count,
            }
        };
        if kept == self.input.len() {
            self.input = Vec::new();
            return Ok(Filled::Scratch { kept, count });
        }
        self.input.extend_from_slice(&scratch[..count]);
        Ok(Filled::Input(count))
    }

    /// Reads once from the kernel.
    #[inline]
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<Looked> {
        match self.stream.read(buffer) {
            Ok(0) => Ok(Looked::End),
            Ok(count) => {
                // A short read means the kernel had no more: the next edge will tell. Unless the end is already there.
                self.readable = count == buffer.len() || self.hung_up;
                Ok(Looked::Read(count))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                Ok(Looked::Nothing)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Looked::Nothing),
            Err(error) => Err(error),
        }
    }

    fn fill_directly(&mut self, missing: usize) -> io::Result<Filled> {
        let before = self.input.len();
        if self.input.capacity() - before < missing.min(DIRECT_READ_MAX) {
            self.input.reserve_exact(room_for(before, missing));
        }
        let limit = missing.min(DIRECT_READ_MAX).min(self.input.capacity() - before);
        if self.ahead.is_some() {
            self.input.resize(before + limit, 0);
            let mut input = std::mem::take(&mut self.input);
            let count = self.take_ahead(&mut input[before..]);
            input.truncate(before + count);
            self.input = input;
            return Ok(Filled::Input(count));
        }
        let limit = limit as u64;
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

    #[cold]
    fn take_ahead(&mut self, buffer: &mut [u8]) -> usize {
        let Some(ahead) = &mut self.ahead else { return 0 };
        let count = ahead.take(buffer);
        if ahead.bytes == 0 {
            self.ahead = None;
        }
        count
    }

    /// Reads once, of a client whose commands wait, and keeps what came behind its input. `scratch` is room to read into.
    ///
    /// # Errors
    /// A broken connection.
    pub fn read_ahead(&mut self, scratch: &mut [u8]) -> io::Result<Looked> {
        let looked = self.read(scratch)?;
        if let Looked::Read(count) = looked {
            self.ahead.get_or_insert_default().push(&scratch[..count]);
        }
        Ok(looked)
    }

    /// Reads once, of a client that is about to be closed, and drops what came.
    ///
    /// # Errors
    /// A broken connection.
    pub fn discard(&mut self, scratch: &mut [u8]) -> io::Result<Looked> {
        (self.input, self.spans, self.ahead) = (Vec::new(), Vec::new(), None);
        self.read(scratch)
    }

    /// True if bytes have come that have not been parsed, or may have: in memory, or in the kernel.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.readable || self.ahead.is_some() || (!self.input.is_empty() && !self.partial)
    }

    /// Bytes that have arrived and have not been parsed.
    pub fn unparsed_bytes(&self) -> usize {
        self.input.len() + self.ahead.as_ref().map_or(0, |ahead| ahead.bytes)
    }

    /// True if the next bytes come from what was read ahead, and have been counted already.
    #[inline]
    pub fn is_ahead(&self) -> bool {
        self.ahead.is_some()
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

    /// Takes out what the connection holds besides its socket, and says how many bytes that is.
    pub fn take_buffers(&mut self) -> (usize, impl Send + use<>) {
        let ahead_bytes = self.ahead.as_ref().map_or(0, |ahead| ahead.bytes);
        let bytes = self.input.capacity() + ahead_bytes + self.out.heap_bytes();
        (bytes, (std::mem::take(&mut self.input), self.ahead.take(), std::mem::take(&mut self.out)))
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
    use crate::base::prng::Prng;

    #[test]
    fn what_was_read_ahead_comes_out_in_order_and_lies_in_bounded_chunks() {
        let (mut ahead, mut prng) = (ReadAhead::default(), Prng::seeded(7));
        let (mut pushed, mut taken) = (Vec::new(), Vec::new());
        for _ in 0..2000 {
            if prng.below(2) == 0 {
                let most = *prng.pick(&[10, 5000, 65_536]).expect("not empty");
                let bytes: Vec<u8> = (0..1 + prng.below(most)).map(|_| prng.next_u64() as u8).collect();
                ahead.push(&bytes);
                pushed.extend_from_slice(&bytes);
            } else {
                let mut buffer = vec![0; prng.below(100_000) as usize];
                let count = ahead.take(&mut buffer);
                assert_eq!(count, buffer.len().min(pushed.len() - taken.len()), "all there is, or all that was asked");
                taken.extend_from_slice(&buffer[..count]);
            }
            assert_eq!(ahead.bytes, pushed.len() - taken.len());
            assert!(ahead.chunks.iter().all(|chunk| chunk.len() <= AHEAD_CHUNK_BYTES));
        }
        assert!(taken == pushed[..taken.len()]);
    }

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
