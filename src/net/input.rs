//! What has arrived on a connection and has not run: the beginning of a command that is not complete with what the parser
//! knows of it, or whole commands held back, and behind them what was read ahead.
//!
//! An idle connection holds no buffer: input is read into the buffer that all connections share and only a partial command
//! is kept. So bytes travel like this: [`Input::fill`], or [`Input::take_held`], gives a [`Source`]; the commands in it are
//! parsed, between [`Input::resume`] and [`Input::suspend`], and run; [`Input::keep`] takes back what is left. In between the
//! invariants of `check` do not hold.
//!
//! A large argument does not come to the other bytes of its command, but to a [`Body`]: once its length is known and it has not come
//! whole, what follows is read straight into the buffer that becomes the value, and the command's bytes go on behind it. A
//! command has one such argument at most, the first of that size, and it is looked for again where the command is parsed anew.
//!
//! A client whose commands wait is read all the same, or its going would not be noticed behind what it sent before: see
//! [`ReadAhead`]. Its input is bounded like any other's, by `client-query-buffer-limit`.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use crate::resp::args::Span;
use crate::resp::error::ProtocolError;
use crate::resp::parse::{Limits, Parsed, Parser};

use super::body::{BODY_BYTES_MIN, Body, READ_BYTES_MAX, room_for};
use super::transport::{Link, Received, Transport};

/// Bytes of a partial command that are moved before what follows them.
const KEPT_MOVED_MAX: usize = 16 * 1024;
/// A partial command that still lacks more than this many bytes is read straight into its own buffer.
const DIRECT_READ_MIN: usize = 16 * 1024;
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
    /// The argument of one of the commands in `bytes` that lies apart from them.
    body: Option<Box<Body>>,
    /// Which argument that is of the command that is being parsed.
    body_index: Option<usize>,
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
        if let Some(body) = self.body.as_mut().filter(|body| body.whole().is_none()) {
            let count = match &mut self.ahead {
                Some(ahead) => body.take(|room| ahead.take(room)),
                None => match body.read(link)? {
                    Received::Nothing => return Ok(Filled::Nothing),
                    Received::End => return Ok(Filled::End),
                    Received::Bytes(count) => count,
                },
            };
            self.forget_taken();
            return Ok(Filled::Bytes(self.take_held(), count));
        }
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
        if self.bytes.capacity() - before < missing.min(READ_BYTES_MAX) {
            self.bytes.reserve_exact(room_for(before, missing));
        }
        let limit = missing.min(READ_BYTES_MAX).min(self.bytes.capacity() - before);
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
        self.forget_taken();
        count
    }

    /// Nothing is kept of what was read ahead once all of it has been taken.
    fn forget_taken(&mut self) {
        if self.ahead.as_ref().is_some_and(|ahead| ahead.bytes == 0) {
            self.ahead = None;
        }
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

    /// Bytes that have come and are to be parsed later. O(bytes).
    pub fn push_ahead(&mut self, bytes: &[u8]) {
        self.ahead.get_or_insert_default().push(bytes);
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
        let elsewhere = self.body.as_ref().map_or(0, |body| body.bytes());
        self.bytes.len() + elsewhere + self.ahead.as_ref().map_or(0, |ahead| ahead.bytes)
    }

    /// Capacity beyond the bytes kept.
    #[inline]
    pub fn free_bytes(&self) -> usize {
        let elsewhere = self.body.as_ref().map_or(0, |body| body.heap_bytes() - body.bytes());
        self.bytes.capacity() - self.bytes.len() + elsewhere
    }

    /// Memory held.
    pub fn heap_bytes(&self) -> usize {
        let elsewhere = self.body.as_ref().map_or(0, |body| body.heap_bytes());
        self.bytes.capacity() + elsewhere + self.ahead.as_ref().map_or(0, |ahead| ahead.bytes)
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

    /// Parses the command that begins at `at`; see [`Parser::parse`]. Its spans go behind the first so many.
    ///
    /// # Errors
    /// A request that breaks the protocol or a limit.
    #[inline]
    pub fn parse(
        &mut self,
        bytes: &[u8],
        at: usize,
        limits: Limits,
        spans: &mut Vec<Span>,
        first: usize,
    ) -> Result<Parsed, ProtocolError> {
        let parsed = self.parser.parse(&bytes[at..], limits, spans);
        match parsed {
            Ok(Parsed::Incomplete(_)) if self.body.is_some() => self.parse_past_body(bytes, at, limits, spans, first),
            parsed => parsed,
        }
    }

    /// Goes on with a command that is not complete without what lies apart, if that is of this command.
    #[cold]
    fn parse_past_body(
        &mut self,
        bytes: &[u8],
        at: usize,
        limits: Limits,
        spans: &mut Vec<Span>,
        first: usize,
    ) -> Result<Parsed, ProtocolError> {
        let body_at = self.body.as_ref().map(|body| body.at);
        if let Some((bulk_at, _)) = self.parser.pending_bulk()
            && body_at == Some(at + bulk_at)
            && self.body_index.is_none()
        {
            self.body_index = Some(spans.len() - first);
            self.parser.divert_bulk();
        }
        self.parser.parse(&bytes[at..], limits, spans)
    }

    /// The argument that lies apart, of the command that has just been parsed: which of them it is, and its bytes.
    #[inline]
    pub fn take_body(&mut self) -> Option<(usize, &Arc<Vec<u8>>)> {
        let index = self.body_index.take()?;
        Some((index, self.body.as_ref()?.whole()?))
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
            (self.spans, self.needed, self.body_index) = (Vec::new(), 0, None);
        }
        if let Some(body) = &mut self.body {
            match body.at.checked_sub(from) {
                Some(at) => body.at = at,
                None => self.body = None,
            }
        }
        match source {
            Source::Scratch(range) if from < range.len() => self.bytes.extend_from_slice(&scratch[range][from..]),
            Source::Own(bytes) if from < bytes.len() => self.keep_own(bytes, from),
            Source::Scratch(_) | Source::Own(_) => {}
        }
        if is_partial && self.body.is_none() {
            self.set_apart();
        }
        self.check();
    }

    /// Has a large argument whose bytes have begun to arrive come to a buffer of its own.
    #[inline]
    fn set_apart(&mut self) {
        if let Some((at, len)) = self.parser.pending_bulk().filter(|&(_, len)| len >= BODY_BYTES_MIN)
            // Not of what is known to the last bytes: more of them would be copied than read.
            && self.bytes.len() - at < len / 2
        {
            self.body = Some(Box::new(Body::new(at, len, &self.bytes[at..])));
            self.body_index = Some(self.spans.len());
            self.bytes.truncate(at);
            self.bytes.shrink_to_fit();
            self.needed = 0;
            self.parser.divert_bulk();
        }
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
}
