//! The network: connections in memory that lose no byte and keep their order, and are as slow and as rude as they are told.
//!
//! Bytes to the server are in transit, then in its receive buffer, which has a limit; the end of the stream comes behind all of
//! them. Bytes to the client lie in a window of limited size until the client takes them. What each side may do is told by
//! edges, as an edge-triggered poll tells them, and [`Wire::edges`] collects those that are due.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::rc::Rc;

use aleadb::net::transport::{Readiness, Transport};

/// Bytes in the server's receive buffer at most.
const RECEIVE_BYTES_MAX: usize = 2_000;

/// One connection.
#[derive(Debug)]
pub struct Wire {
    transit: VecDeque<u8>,
    received: VecDeque<u8>,
    /// What the server has sent and the client has not taken.
    window: Vec<u8>,
    /// Bytes of the window that were looked at and not taken.
    seen: usize,
    /// Bytes the window holds at most.
    pub window_bytes_max: usize,
    /// Bytes that leave transit at once.
    pub chunk_bytes: usize,
    /// A write found no room.
    wants_room: bool,
    /// The client sends no more.
    pub finishing: bool,
    /// Nobody is at the client's end: what is written to it is answered by a reset.
    pub is_deserted: bool,
    /// The server's side can read to the end.
    finished: bool,
    /// The connection broke.
    broken: bool,
    /// Edges of which the server has not been told.
    due: Readiness,
}

/// The server's end; the client's end is the same wire.
#[derive(Clone, Debug)]
pub struct Socket(Rc<RefCell<Wire>>);

impl Socket {
    pub fn new() -> Socket {
        Socket(Rc::new(RefCell::new(Wire {
            transit: VecDeque::new(),
            received: VecDeque::new(),
            window: Vec::new(),
            seen: 0,
            window_bytes_max: usize::MAX,
            chunk_bytes: usize::MAX,
            wants_room: false,
            finishing: false,
            is_deserted: false,
            finished: false,
            broken: false,
            due: Readiness::default(),
        })))
    }

    pub fn wire(&self) -> Ref<'_, Wire> {
        self.0.borrow()
    }

    pub fn wire_mut(&self) -> RefMut<'_, Wire> {
        self.0.borrow_mut()
    }

    pub fn is(&self, other: &Socket) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Wire {
    /// The client sends.
    pub fn send(&mut self, bytes: &[u8]) {
        if !self.finishing && !self.broken {
            self.transit.extend(bytes);
        }
    }

    /// The network goes on: a chunk arrives, if there is room, and behind the last one the end.
    pub fn deliver(&mut self) {
        let room = RECEIVE_BYTES_MAX - self.received.len();
        let count = self.transit.len().min(self.chunk_bytes).min(room);
        self.received.extend(self.transit.drain(..count));
        self.due.readable |= count > 0;
        if self.finishing && self.transit.is_empty() && !self.finished {
            self.finished = true;
            self.due.readable = true;
            self.due.read_closed = true;
        }
    }

    /// The client takes what has come.
    pub fn take(&mut self) -> Vec<u8> {
        self.make_room();
        std::mem::take(&mut self.window).split_off(std::mem::take(&mut self.seen))
    }

    /// What has come since this was last asked; it stays, and takes room.
    pub fn look(&mut self) -> Vec<u8> {
        let seen = std::mem::replace(&mut self.seen, self.window.len());
        self.window[seen..].to_vec()
    }

    /// What has come and was not taken.
    pub fn window(&self) -> &[u8] {
        &self.window
    }

    /// Tells the server, if it waits for room, that there is some.
    pub fn make_room(&mut self) {
        self.due.writable |= std::mem::take(&mut self.wants_room);
    }

    /// The connection breaks: what is in the server's buffer is lost, what the client has received is not.
    pub fn break_off(&mut self) {
        self.broken = true;
        self.transit.clear();
        self.received.clear();
        self.due = Readiness { readable: true, writable: true, read_closed: true, write_closed: true };
    }

    /// The edges since this was last asked; none if there was none.
    pub fn edges(&mut self) -> Option<Readiness> {
        let due = std::mem::take(&mut self.due);
        (due != Readiness::default()).then_some(due)
    }

    /// True if no more can arrive by itself: everything has, or the server leaves its buffer full.
    pub fn is_still(&self) -> bool {
        let is_full = self.received.len() >= RECEIVE_BYTES_MAX;
        self.broken || is_full || self.transit.is_empty() && self.finishing == self.finished
    }

    /// True if nobody is at the other end, or will send any more.
    pub fn has_ended(&self) -> bool {
        self.finishing || self.broken
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.broken {
            return Err(ErrorKind::ConnectionReset.into());
        }
        if wire.received.is_empty() && !wire.finished {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.received.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        if wire.broken {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let count = bytes.len().min(wire.window_bytes_max.saturating_sub(wire.window.len()));
        wire.window.extend_from_slice(&bytes[..count]);
        wire.wants_room |= count < bytes.len();
        if wire.is_deserted && wire.finished {
            wire.break_off();
        }
        if count == 0 && !bytes.is_empty() { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
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
