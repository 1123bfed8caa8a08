//! A snapshot on its way from the entries to the file: what is kept becomes bytes here ([`Collector`]), in pieces that a helper
//! thread writes (`file`). They are a dump file's, or commands (`form`).
//!
//! # The order of bytes
//! Entries come in any order: those that the walk passes, and in between those that are about to change. Where a large value is
//! written piece by piece, the others that are kept meanwhile wait behind it, in a stream of their own.
//!
//! # Memory
//! What has been written and not yet taken is counted ([`Collector::waiting_bytes`]); whoever owns the collector stops walking, and
//! then stops those who change data, before it is too much. Strings of some length are not copied: the piece shares them with
//! their entry, and the thread that writes it compresses them.
//!
//! Knows nothing of databases, clients and of when it is time to do what.

pub mod file;
mod form;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::rdb::file::{CannotHold, Head};
use super::rdb::slices;
use crate::store::entry::{Entry, Value};
use crate::store::snapshot::Keep;

pub use form::Form;

use form::{KeyWriter, Rest};

/// Strings from this length on are shared with the thread that writes them, and compressed there.
const SHARED_BYTES_MIN: usize = 16 << 10;
/// Bytes of the pieces that a helper thread gets.
const PIECE_BYTES: usize = 256 << 10;

/// A piece of the file.
#[derive(Debug)]
pub enum Piece {
    /// Bytes as they are.
    Bytes(Vec<u8>),
    /// The same, up to the end of a command: a batch may end behind them.
    Commands(Vec<u8>),
    /// A string, still to be written in the format, compressed or not.
    Text(Arc<Vec<u8>>),
    /// The end of the file; the last eight bytes of a dump file are the place of the checksum.
    End(Vec<u8>),
}

impl Piece {
    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Piece::Bytes(bytes) | Piece::Commands(bytes) | Piece::End(bytes) => bytes.len(),
            Piece::Text(text) => text.len(),
        }
    }
}

/// Keys of a database when the snapshot began, and how many of them had a deadline.
#[derive(Clone, Copy, Debug, Default)]
pub struct Size {
    /// Keys.
    pub keys: usize,
    /// Keys with a deadline.
    pub timed: usize,
}

/// A value that is being written piece by piece.
#[derive(Debug)]
struct Midway {
    number: usize,
    key: Box<[u8]>,
    rest: Rest,
    /// The entry, if it has left its database.
    adopted: Option<Entry>,
}

/// Pieces in order, and what comes behind them.
#[derive(Debug)]
struct Stream {
    writer: KeyWriter,
    pieces: VecDeque<Piece>,
    /// Bytes of `pieces`.
    piece_bytes: usize,
}

impl Stream {
    fn new(form: Form) -> Stream {
        Stream { writer: KeyWriter::new(form), pieces: VecDeque::new(), piece_bytes: 0 }
    }

    fn bytes(&self) -> usize {
        self.piece_bytes + self.writer.len()
    }

    fn push(&mut self, piece: Piece) {
        self.piece_bytes += piece.bytes();
        self.pieces.push_back(piece);
    }

    /// Ends the piece that is being written.
    fn cut(&mut self) {
        if !self.writer.is_empty() {
            let piece = self.writer.take_piece();
            self.push(piece);
        }
    }

    fn entry(&mut self, number: usize, size: Size, entry: &Entry) -> Result<(), CannotHold> {
        self.writer.select(number, size);
        match entry.string() {
            Some(Value::Shared(text)) if text.len() >= SHARED_BYTES_MIN => {
                self.writer.begin_shared(entry, text.len())?;
                self.cut();
                self.push(Piece::Text(Arc::clone(&text)));
                self.writer.end_shared(entry);
            }
            _ => self.writer.entry(entry)?,
        }
        if self.writer.len() >= PIECE_BYTES {
            self.cut();
        }
        Ok(())
    }

    /// Takes over what another stream holds.
    fn append(&mut self, mut other: Stream) {
        self.cut();
        other.cut();
        self.pieces.append(&mut other.pieces);
        self.piece_bytes += other.piece_bytes;
        // It has selected databases that this one knows nothing of.
        self.writer.forget_selected();
    }
}

/// Makes the bytes of a snapshot.
#[derive(Debug)]
pub struct Collector {
    form: Form,
    sizes: BTreeMap<usize, Size>,
    main: Stream,
    /// What is kept while a value is written piece by piece.
    aside: Option<Stream>,
    midway: Option<Midway>,
    /// An entry that was taken over and is of no further use.
    spent: Option<Entry>,
    /// Keys that have been kept.
    keys: usize,
    /// The snapshot will not be finished: nothing is written any more.
    is_quiet: bool,
    failure: Option<CannotHold>,
}

/// What stands in a file before the data.
#[derive(Debug, Default)]
pub struct Code<'a> {
    /// Scripts that EVALSHA is to know.
    pub scripts: Vec<&'a [u8]>,
    /// Libraries of functions.
    pub functions: Vec<&'a [u8]>,
}

impl Collector {
    /// The beginning of a file: its head, scripts, and libraries of functions.
    pub fn new(form: Form, head: &Head<'_>, code: &Code<'_>, sizes: BTreeMap<usize, Size>) -> Collector {
        let mut main = Stream::new(form);
        main.writer.begin(form, head);
        code.scripts.iter().for_each(|body| main.writer.script(body));
        code.functions.iter().for_each(|code| main.writer.function(code));
        Collector { form, sizes, main, aside: None, midway: None, spent: None, keys: 0, is_quiet: false, failure: None }
    }

    /// Keys that have been kept.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Bytes that have not been taken.
    pub fn waiting_bytes(&self) -> usize {
        self.main.bytes() + self.aside.as_ref().map_or(0, Stream::bytes)
    }

    /// Why the file cannot be written, if an entry was met that its version cannot hold.
    pub fn take_failure(&mut self) -> Option<CannotHold> {
        self.failure.take()
    }

    /// Drops what is there, and writes nothing more.
    pub fn be_quiet(&mut self) {
        self.is_quiet = true;
        self.spent = self.midway.take().and_then(|midway| midway.adopted);
        (self.aside, self.main) = (None, Stream::new(self.form));
    }

    /// Keeps an entry that the walk meets. False if it is large: then it has begun to be written, to be gone on with.
    pub fn pass(&mut self, number: usize, entry: &Entry) -> bool {
        if !self.is_quiet && self.failure.is_none() && slices::is_large(entry) {
            debug_assert!(self.midway.is_none(), "one value at a time is written piece by piece");
            self.begin_midway(number, entry);
            return false;
        }
        self.write(number, entry);
        true
    }

    fn begin_midway(&mut self, number: usize, entry: &Entry) {
        let size = self.sizes.get(&number).copied().unwrap_or_default();
        self.main.writer.select(number, size);
        match self.main.writer.begin_key(entry) {
            Ok(rest) => self.midway = Some(Midway { number, key: entry.key().into(), rest, adopted: None }),
            Err(failure) => self.fail(failure),
        }
    }

    /// Number of the database and key of the value that is being written piece by piece.
    pub fn midway(&self) -> Option<(usize, &[u8])> {
        self.midway.as_ref().map(|midway| (midway.number, &*midway.key))
    }

    /// Writes the next piece of it: of `entry`, unless it has been taken over. True if it was the last.
    pub fn go_on(&mut self, entry: Option<&Entry>) -> bool {
        let Some(midway) = &mut self.midway else { return true };
        let entry = midway.adopted.as_ref().or(entry).expect("an entry that leaves in the midst of it is taken over");
        let done = self.main.writer.go_on(entry, &mut midway.rest);
        if self.main.writer.len() >= PIECE_BYTES {
            self.main.cut();
        }
        if done {
            self.spent = self.midway.take().and_then(|midway| midway.adopted);
            self.keys += 1;
            if let Some(aside) = self.aside.take() {
                self.main.append(aside);
            }
        }
        done
    }

    /// Takes an entry that was taken over and has been written, to be freed where that does not hold the loop.
    pub fn take_spent(&mut self) -> Option<Entry> {
        self.spent.take()
    }

    /// The value that is being written piece by piece belongs to an entry that has left its database.
    pub fn is_adopted(&self) -> bool {
        self.midway.as_ref().is_some_and(|midway| midway.adopted.is_some())
    }

    fn write(&mut self, number: usize, entry: &Entry) {
        self.keys += 1;
        if self.is_quiet || self.failure.is_some() {
            return;
        }
        let size = self.sizes.get(&number).copied().unwrap_or_default();
        let stream = match self.midway {
            Some(_) => self.aside.get_or_insert_with(|| Stream::new(self.form)),
            None => &mut self.main,
        };
        if let Err(failure) = stream.entry(number, size, entry) {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: CannotHold) {
        self.failure = Some(failure);
    }

    /// Writes the end of the file.
    pub fn end(&mut self) {
        debug_assert!(self.midway.is_none(), "every value is written to its end");
        self.main.cut();
        let end = self.main.writer.end();
        self.main.push(Piece::End(end));
    }

    /// Takes the next piece that is whole.
    pub fn take_piece(&mut self) -> Option<Piece> {
        let piece = self.main.pieces.pop_front()?;
        self.main.piece_bytes -= piece.bytes();
        Some(piece)
    }
}

impl Keep for Collector {
    fn keep(&mut self, number: usize, entry: &Entry) {
        if self.is_midway(number, entry.key()) {
            while !self.go_on(Some(entry)) {}
        } else {
            self.write(number, entry);
        }
    }

    fn is_midway(&self, number: usize, key: &[u8]) -> bool {
        self.midway().is_some_and(|midway| midway == (number, key))
    }

    fn adopt(&mut self, number: usize, entry: Entry) {
        debug_assert!(self.is_midway(number, entry.key()));
        if let Some(midway) = &mut self.midway {
            midway.adopted = Some(entry);
        }
    }
}
