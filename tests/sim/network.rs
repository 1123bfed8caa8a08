//! The network between simulated clients and the server: bytes in order, in both directions, through buffers that are small,
//! so that a peer that does not read is soon felt by the other. Whatever happens to a connection happens here.
//!
//! The end of a stream comes behind all bytes sent before it. So the end of a client that has sent more than the buffers hold
//! cannot be seen before the server has read what lies in front.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use aleadb::net::transport::{Readiness, Transport};

/// Bytes on their way to the server that the kernel holds for one connection.
const TO_SERVER_MAX: usize = 2048;

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// It sends no more, and goes on reading.
    Half,
    /// It is gone: it reads no more either. What it has sent still arrives.
    Full,
    /// The connection breaks at once, in both directions.
    Reset,
}

/// One connection.
#[derive(Debug)]
pub struct Wire {
    /// Sent by the client, beyond what the kernel on the server's side holds.
    outgoing: VecDeque<u8>,
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Bytes that one read or one write of the server moves at most.
    pub read_max: usize,
    pub write_max: usize,
    /// Bytes for the client that the network holds.
    pub room: usize,
    closed: Option<Close>,
    /// What the server is to be told.
    event: Readiness,
    /// Everything the network took from the server.
    pub written: Vec<u8>,
}

impl Default for Wire {
    fn default() -> Wire {
        Wire {
            outgoing: VecDeque::new(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            read_max: usize::MAX,
            write_max: usize::MAX,
            room: usize::MAX,
            closed: None,
            event: Readiness::default(),
            written: Vec::new(),
        }
    }
}

impl Wire {
    /// The client sends bytes; nothing once it has closed.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.closed.is_none() {
            self.outgoing.extend(bytes);
        }
    }

    /// Up to so many bytes arrive at the server's side, as far as there is room; behind the last of them the end, if there is one.
    pub fn deliver(&mut self, bytes: usize) {
        let count = bytes.min(self.outgoing.len()).min(TO_SERVER_MAX - self.to_server.len().min(TO_SERVER_MAX));
        self.to_server.extend(self.outgoing.drain(..count));
        self.event.readable |= count > 0;
        if self.outgoing.is_empty() && self.closed.is_some() {
            self.event.readable = true;
            self.event.read_closed = true;
        }
    }

    /// The client takes up to so many bytes.
    pub fn take(&mut self, bytes: usize) -> Vec<u8> {
        let count = bytes.min(self.to_client.len());
        self.event.writable |= count > 0;
        self.to_client.drain(..count).collect()
    }

    /// The client leaves.
    pub fn close(&mut self, how: Close) {
        if self.closed.is_some_and(|before| before != Close::Half) {
            return;
        }
        self.closed = Some(how);
        if how == Close::Reset {
            self.outgoing.clear();
            self.to_server.clear();
            self.event.write_closed = true;
        }
        if how != Close::Half {
            // What was under way to it comes back as an error.
            let came_back = !self.to_client.is_empty();
            self.event.writable |= came_back;
            self.event.write_closed |= came_back;
            self.to_client.clear();
        }
        self.deliver(0);
    }

    pub fn closed(&self) -> Option<Close> {
        self.closed
    }

    /// True if nothing is on its way to the server.
    pub fn is_quiet(&self) -> bool {
        self.outgoing.is_empty() && self.event == Readiness::default()
    }

    /// What has happened since this was last asked, as an event would tell it.
    pub fn take_event(&mut self) -> Readiness {
        std::mem::take(&mut self.event)
    }

    fn is_reset(&self) -> bool {
        self.closed == Some(Close::Reset)
    }
}

/// The server's end of a connection.
#[derive(Clone, Debug, Default)]
pub struct Socket(pub Rc<RefCell<Wire>>);

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.is_reset() {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let most = wire.read_max.min(buffer.len());
        let count = wire.to_server.read(&mut buffer[..most])?;
        if count > 0 {
            // Room has become free for what waits on the other side. A read that was cut short has left bytes behind, and
            // so an event follows.
            wire.event.readable |= !wire.to_server.is_empty();
            return Ok(count);
        }
        let at_end = wire.closed.is_some() && wire.outgoing.is_empty();
        if at_end { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        match wire.closed {
            Some(Close::Reset) => return Err(ErrorKind::ConnectionReset.into()),
            Some(Close::Full) => return Err(ErrorKind::BrokenPipe.into()),
            Some(Close::Half) | None => {}
        }
        let room = wire.room.saturating_sub(wire.to_client.len()).min(wire.write_max);
        if room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(room);
        wire.to_client.extend(&bytes[..count]);
        wire.written.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn may_have_more(&self) -> bool {
        false
    }
}
