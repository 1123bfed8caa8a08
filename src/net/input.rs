//! What has arrived on a connection and has not run: the beginning of a command that is not complete with what the parser
//! knows of it, or whole commands held back, and behind them what was read ahead.
//!
//! An idle connection holds no buffer: input is read into the buffer that all connections share and only a partial command
//! is kept. So bytes travel like this: [`Input::fill`], or [`Input::take_held`], gives a [`Source`]; the commands in it are
//! parsed, between [`Input::resume`] and [`Input::suspend`], and run; [`Input::keep`] takes back what is left. In between the
//! invariants of `check` do not hold.
//!
//! A client whose commands wait is read all the same, or its going would not be noticed behind what it sent before: see
//! [`ReadAhead`]. Its input is bounded like any other's, by `client-query-buffer-limit`.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use crate::resp::args::Span;
use crate::resp::error::ProtocolError;
use crate::resp::parse::{Limits, Parsed, Parser};

use super::transport::{Link, Received, Transport};

/// Bytes of a partial command that are moved before what follows them.
const KEPT_MOVED_MAX: usize = 16 * 1024;
/// A partial command that still lacks more than this many bytes is read straight into its own buffer.
const DIRECT_READ_MIN: usize = 16 * 1024;
/// Bytes read for one connection in one turn when reading directly.
const DIRECT_READ_MAX: usize = 1024 * 1024;
/// Room for the whole of an announced command is taken once this part of it has arrived: a client that only announces
/// costs nothing, and no more than this part is ever copied to a larger buffer at once.
const ANNOUNCED_PART: usize = 16;
/// A partial command with more arguments than this is resumed at the start of a batch, where that copies none of them.
pub(super) const RESUME_SPANS_MAX: usize = 256;

/// Bytes of a chunk of input read ahead.
const AHEAD_CHUNK_BYTES: usize = 64 * 1024;

/// What has been read of a client whose commands wait. It goes on from here before the transport is read again.
///
/// Chunks instead of one buffer: no byte is moved again once its chunk is full, however many are gathered.
#[derive(Debug, Default)]
struct ReadAhead {
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

/// Where the bytes to be parsed are.
#[derive(Debug)]
pub(super) enum Source {
    /// A part of the buffer that all connections share.
    Scratch(Range<usize>),
    /// The connection's own bytes, taken out of it.
    Own(Vec<u8>),
}

impl Source {
    #[inline]
    pub fn bytes<'b>(&'b self, scratch: &'b [u8]) -> &'b [u8] {
        match self {
            Source::Scratch(range) => &scratch[range.clone()],
            Source::Own(bytes) => bytes,
        }
    }
}

/// What filling brought.
#[derive(Debug)]
pub(super) enum Filled {
    /// So many more bytes, behind those that had been kept.
    Bytes(Source, usize),
    /// Nothing at present.
    Nothing,
    /// The peer will send no more.
    End,
}

/// The input of one connection.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// Bytes of a command that is not complete, or of commands held back.
    bytes: Vec<u8>,
    /// `bytes` is the beginning of a command, and nothing can run before more bytes have come. False when it holds commands
    /// that wait for their turn.
    is_partial: bool,
    /// State of the partial command at the start of `bytes`.
    parser: Parser,
    /// Arguments found so far of that command.
    spans: Vec<Span>,
    /// Bytes that the partial command is known to need in all; 0 if unknown.
    needed: usize,
    /// What was read while commands waited, behind `bytes`; never empty.
    ahead: Option<Box<ReadAhead>>,
}

impl Input {
    /// The invariants, in debug builds: only a partial command has parse state; its known arguments lie in the bytes kept; it
    /// needs more than is there; what was read ahead is not empty.
    fn check(&self) {
        debug_assert!(self.is_partial || (self.parser.is_at_start() && self.spans.is_empty() && self.needed == 0));
        debug_assert!(self.spans.last().is_none_or(|span| (span.start + span.len) as usize <= self.bytes.len()));
        debug_assert!(self.needed == 0 || self.needed > self.bytes.len());
        debug_assert!(self.ahead.as_ref().is_none_or(|ahead| ahead.bytes > 0));
    }

    /// Reads once: into `scratch` from `start` on, behind the bytes kept if those are few, else onto them. What was read ahead
    /// comes before what the transport has.
    ///
    /// # Errors
    /// A broken connection.
    pub fn fill<T: Transport>(&mut self, link: &mut Link<T>, scratch: &mut [u8], start: usize) -> io::Result<Filled> {
        self.check();
        let missing = self.needed.saturating_sub(self.bytes.len());
        if missing >= DIRECT_READ_MIN {
            return self.fill_directly(link, missing);
        }
        let room = &mut scratch[start..];
        // A short beginning of a command goes before what is read now: to move it is less than to move what follows it.
        let kept = if self.bytes.len() <= KEPT_MOVED_MAX.min(room.len() / 2) { self.bytes.len() } else { 0 };
        room[..kept].copy_from_slice(&self.bytes[..kept]);
        let count = if self.ahead.is_some() {
            self.take_ahead(&mut room[kept..])
        } else {
            match link.read(&mut room[kept..])? {
                Received::Nothing => return Ok(Filled::Nothing),
                Received::End => return Ok(Filled::End),
                Received::Bytes(count) => count,
            }
        };
        if kept == self.bytes.len() {
            self.bytes = Vec::new();
            return Ok(Filled::Bytes(Source::Scratch(start..start + kept + count), count));
        }
        self.bytes.extend_from_slice(&room[..count]);
        Ok(Filled::Bytes(self.take_held(), count))
    }

    fn fill_directly<T: Transport>(&mut self, link: &mut Link<T>, missing: usize) -> io::Result<Filled> {
        let before = self.bytes.len();
        if self.bytes.capacity() - before < missing.min(DIRECT_READ_MAX) {
            self.bytes.reserve_exact(room_for(before, missing));
        }
        let limit = missing.min(DIRECT_READ_MAX).min(self.bytes.capacity() - before);
        if self.ahead.is_some() {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize(before + limit, 0);
            let count = self.take_ahead(&mut bytes[before..]);
            bytes.truncate(before + count);
            return Ok(Filled::Bytes(Source::Own(bytes), count));
        }
        match link.read_onto(&mut self.bytes, limit)? {
            Received::Nothing => Ok(Filled::Nothing),
            Received::End => Ok(Filled::End),
            Received::Bytes(count) => Ok(Filled::Bytes(self.take_held(), count)),
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
    pub fn read_ahead<T: Transport>(&mut self, link: &mut Link<T>, scratch: &mut [u8]) -> io::Result<Received> {
        let received = link.read(scratch)?;
        if let Received::Bytes(count) = received {
            self.ahead.get_or_insert_default().push(&scratch[..count]);
        }
        self.check();
        Ok(received)
    }

    /// Forgets everything: of a client that is about to be closed.
    pub fn clear(&mut self) {
        *self = Input::default();
    }

    /// True if commands have been held back, which come before anything new.
    #[inline]
    pub fn has_held(&self) -> bool {
        !self.bytes.is_empty() && !self.is_partial
    }

    /// The bytes kept, to be parsed.
    pub fn take_held(&mut self) -> Source {
        Source::Own(std::mem::take(&mut self.bytes))
    }

    /// True if bytes are in memory that can be parsed.
    #[inline]
    pub fn has_more(&self) -> bool {
        self.ahead.is_some() || self.has_held()
    }

    /// True if nothing is kept but what was read ahead.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that have arrived and have not been parsed.
    #[inline]
    pub fn unparsed_bytes(&self) -> usize {
        self.bytes.len() + self.ahead.as_ref().map_or(0, |ahead| ahead.bytes)
    }

    /// Capacity beyond the bytes kept.
    #[inline]
    pub fn free_bytes(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// Memory held.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.ahead.as_ref().map_or(0, |ahead| ahead.bytes)
    }

    /// True if the next bytes come from what was read ahead, and have been counted already.
    #[inline]
    pub fn is_ahead(&self) -> bool {
        self.ahead.is_some()
    }

    /// True for a partial command of so many arguments that its parsing is to be resumed with no other arguments before them.
    #[inline]
    pub fn is_long_resume(&self) -> bool {
        self.spans.len() > RESUME_SPANS_MAX
    }

    /// Goes on parsing: a command that was partial goes on with the arguments it already has, which are added to `spans`. Many
    /// of them are moved, not copied, so that their number does not count for each piece that comes; neither way leaves the
    /// connection a buffer.
    #[inline]
    pub fn resume(&mut self, spans: &mut Vec<Span>) {
        self.needed = 0;
        if self.is_long_resume() && spans.is_empty() {
            *spans = std::mem::take(&mut self.spans);
        } else if !self.spans.is_empty() {
            spans.append(&mut std::mem::take(&mut self.spans));
        }
    }

    /// Parses one command; see [`Parser::parse`].
    ///
    /// # Errors
    /// A request that breaks the protocol or a limit.
    #[inline]
    pub fn parse(&mut self, bytes: &[u8], limits: Limits, spans: &mut Vec<Span>) -> Result<Parsed, ProtocolError> {
        self.parser.parse(bytes, limits, spans)
    }

    /// Stops at a command that is not complete: remembers its arguments, those in `spans` from `first` on, and how many bytes
    /// it needs.
    pub fn suspend(&mut self, needed: usize, spans: &mut Vec<Span>, first: usize) {
        self.needed = needed;
        if spans.len() > RESUME_SPANS_MAX && first == 0 {
            self.spans = std::mem::take(spans);
        } else if spans.len() > first {
            self.spans = spans.split_off(first);
        }
    }

    /// Takes back a source, and keeps its bytes from an offset on: the beginning of a command, as far as it has been parsed, or
    /// commands held back, which are parsed from their start again. A buffer that was large for what went before is not kept
    /// for what little is left.
    #[inline]
    pub fn keep(&mut self, source: Source, scratch: &[u8], from: usize, is_partial: bool) {
        self.is_partial = is_partial;
        if !is_partial {
            self.parser.reset();
            (self.spans, self.needed) = (Vec::new(), 0);
        }
        match source {
            Source::Scratch(range) if from < range.len() => self.bytes.extend_from_slice(&scratch[range][from..]),
            Source::Own(bytes) if from < bytes.len() => self.keep_own(bytes, from),
            Source::Scratch(_) | Source::Own(_) => {}
        }
        self.check();
    }

    fn keep_own(&mut self, mut bytes: Vec<u8>, from: usize) {
        let left = bytes.len() - from;
        if bytes.capacity() > DIRECT_READ_MIN && left < bytes.capacity() / 4 {
            self.bytes = bytes[from..].to_vec();
        } else {
            bytes.drain(..from);
            self.bytes = bytes;
        }
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
