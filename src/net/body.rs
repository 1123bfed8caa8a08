//! The bytes of one large argument on their way in: apart from the command that they belong to, in the buffer that becomes the
//! value, so that nothing of them is ever copied or moved as a whole.
//!
//! The bytes of the command itself go on without them, as if the argument were empty: see [`super::input`].

use std::io;
use std::sync::Arc;

use super::transport::{Link, Received, Transport};

/// Arguments of fewer bytes lie in their command. More than fits the buffer that all connections share, so that a longer one has never
/// come whole when its length is read.
pub(super) const BODY_BYTES_MIN: usize = 128 * 1024;
/// Bytes read for one connection in one turn, in which everybody else waits: up to some 400 us, most of it for pages that are touched
/// for the first time.
pub(super) const READ_BYTES_MAX: usize = 256 * 1024;
/// Room for the whole of what was announced is taken once this part of it has arrived: a client that only announces
/// costs nothing, and no more than this part is ever copied to a larger buffer at once.
const ANNOUNCED_PART: usize = 16;

/// An argument that arrives, or has arrived, apart from its command.
#[derive(Debug)]
pub(super) struct Body {
    /// Where it belongs in the bytes of its connection.
    pub at: usize,
    /// How many bytes it has in all.
    len: usize,
    /// What has arrived, until that is all.
    arriving: Vec<u8>,
    /// All of it.
    whole: Option<Arc<Vec<u8>>>,
}

impl Body {
    /// An argument of `len` bytes of which these have arrived.
    pub fn new(at: usize, len: usize, arrived: &[u8]) -> Body {
        debug_assert!(arrived.len() < len && len >= BODY_BYTES_MIN);
        Body { at, len, arriving: arrived.to_vec(), whole: None }
    }

    /// All its bytes, once they have arrived.
    pub fn whole(&self) -> Option<&Arc<Vec<u8>>> {
        self.whole.as_ref()
    }

    /// Bytes that have arrived.
    pub fn bytes(&self) -> usize {
        self.whole.as_ref().map_or(self.arriving.len(), |whole| whole.len())
    }

    /// Memory held.
    pub fn heap_bytes(&self) -> usize {
        self.whole.as_ref().map_or(self.arriving.capacity(), |whole| whole.capacity())
    }

    /// Makes room for what is read next; how many bytes that may be.
    fn make_room(&mut self) -> usize {
        let (before, missing) = (self.arriving.len(), self.len - self.arriving.len());
        if self.arriving.capacity() - before < missing.min(READ_BYTES_MAX) {
            self.arriving.reserve_exact(room_for(before, missing));
        }
        missing.min(READ_BYTES_MAX).min(self.arriving.capacity() - before)
    }

    /// Reads once from a transport.
    ///
    /// # Errors
    /// A broken connection.
    pub fn read<T: Transport>(&mut self, link: &mut Link<T>) -> io::Result<Received> {
        let most = self.make_room();
        let received = link.read_onto(&mut self.arriving, most)?;
        self.note_arrival();
        Ok(received)
    }

    /// Takes what `take` writes into the room it is given, and says how many bytes that were.
    pub fn take(&mut self, take: impl FnOnce(&mut [u8]) -> usize) -> usize {
        let (before, most) = (self.arriving.len(), self.make_room());
        self.arriving.resize(before + most, 0);
        let count = take(&mut self.arriving[before..]);
        self.arriving.truncate(before + count);
        self.note_arrival();
        count
    }

    fn note_arrival(&mut self) {
        if self.arriving.len() == self.len {
            self.whole = Some(Arc::new(std::mem::take(&mut self.arriving)));
        }
    }
}

/// How much room to make behind `arrived` bytes of an argument, or a command, of which so many more are announced: in proportion to what
/// has come, until that is reason enough to believe the rest.
pub(super) fn room_for(arrived: usize, missing: usize) -> usize {
    if arrived >= (arrived + missing) / ANNOUNCED_PART { missing } else { missing.min(arrived.max(READ_BYTES_MAX)) }
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
                assert!(room <= ANNOUNCED && room <= (ANNOUNCED_PART * arrived).max(2 * READ_BYTES_MAX));
            }
            arrived += (room - arrived).min(READ_BYTES_MAX);
        }
        assert_eq!((arrived, room), (ANNOUNCED, ANNOUNCED), "exactly what was announced");
        assert!(moves < 12, "{moves} moves");
    }

    #[test]
    fn what_arrives_in_pieces_becomes_one_value_without_room_to_spare() {
        let sent: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
        let mut body = Body::new(7, sent.len(), &sent[..100]);
        while body.whole().is_none() {
            let from = body.bytes();
            let count = body.take(|room| {
                let count = room.len().min(100_001);
                room[..count].copy_from_slice(&sent[from..from + count]);
                count
            });
            assert!(count > 0 && count <= READ_BYTES_MAX);
        }
        let whole = body.whole().expect("it has arrived");
        assert!(**whole == sent && whole.capacity() == sent.len() && body.bytes() == sent.len());
    }
}
