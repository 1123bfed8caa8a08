//! Reading a log file: from the file's bytes to commands that are known to be whole.
//!
//! # Units
//! What is handed out is a [`Unit`]: commands that took effect together, none of which is to be run without the others. Where
//! the file has lines that end batches (see [`super::batch`]), a unit is a batch whose checksum was found right. Where it has
//! none, as in a file of Redis's, a unit is one command or some, and a transaction from its MULTI to its EXEC lies in one
//! unit, so that one that has no end is never begun.
//!
//! A file has batches from the first such line on, which an empty batch at its beginning may be. From then on everything has
//! to be in a batch: what stands behind the last one is a tail that was not written in full. Without a line at the beginning,
//! `UNDECIDED_BYTES_MAX` are read in search of one before anything is handed out.
//!
//! # Grammar
//! An array of bulk strings for each command, as strictly as Redis reads it, and between them lines that begin with `#`.
//!
//! # Memory
//! The reader keeps the unit that it reads, and no more than `CHUNK_BYTES` beyond it. A length that promises more than the
//! file has left is an end in the midst, and nothing is allocated for it. So memory is bounded by twice the file's size and a
//! chunk.

use std::fmt;
use std::io;

use crc32c::crc32c_append;
use memchr::{memchr, memmem};

use super::batch::{self, BatchEnd};
use crate::base::num;
use crate::persist::storage::ReadFile;
use crate::resp::args::{Args, Span};
use crate::resp::parse::{Limits, Parsed, Parser};

/// Bytes that are read at once: little enough for the second-level cache, much enough to be few calls.
const CHUNK_BYTES: usize = 256 * 1024;

/// The longest line that is skipped, its end included: Redis's limit.
const ANNOTATION_BYTES_MAX: usize = 1024;

/// Bytes of commands at the beginning of a file without the end of a batch from which on it is read as one without batches.
const UNDECIDED_BYTES_MAX: usize = 1 << 20;

/// What may have been written and not be on the disk when the machine stops, where nothing tells: two seconds of a fast disk.
/// What is behind more than this was damaged.
const UNSYNCED_BYTES_MAX: u64 = 64 << 20;

/// Commands of a unit in a file without batches, unless a transaction has more: enough for their keys to be loaded together.
const COMMANDS_MAX: usize = 64;

/// An argument may be as long as the file.
const LIMITS: Limits = Limits { bulk_bytes_max: i64::MAX, authenticated: true };

/// Where a command lies in what was read.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Offset of its first byte from the unit's.
    start: usize,
    /// Behind its last byte.
    end: usize,
    /// Its spans.
    spans: (usize, usize),
}

/// Commands that took effect together.
#[derive(Debug)]
pub struct Unit<'r> {
    /// Where it begins in the file.
    pub offset: u64,
    bytes: &'r [u8],
    lines: &'r [Line],
    spans: &'r [Span],
}

impl<'r> Unit<'r> {
    /// How many commands there are; there may be none.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True if there is no command.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The command at an index, and where it begins in the file.
    pub fn command(&self, index: usize) -> (u64, Args<'r>) {
        let Line { start, end, spans } = self.lines[index];
        (self.offset + start as u64, Args::new(&self.bytes[start..end], &self.spans[spans.0..spans.1]))
    }
}

/// Why reading does not go on.
#[derive(Debug)]
pub enum Fault {
    /// The file ends in the midst of a unit.
    Truncated,
    /// What stands there is not what has to.
    Broken {
        /// Where in the file.
        at: u64,
        /// What was found, and what was expected.
        reason: String,
    },
    /// The disk's fault.
    Io(io::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Truncated => f.write_str("the file ends in the midst of it"),
            Fault::Broken { at, reason } => write!(f, "at offset {at}: {reason}"),
            Fault::Io(error) => write!(f, "{error}"),
        }
    }
}

/// The end of what can be read.
#[derive(Debug)]
pub struct Stop {
    /// Where the first unit begins that cannot be.
    pub offset: u64,
    /// Commands that were read in it before the fault was met.
    pub commands: usize,
    /// Why.
    pub fault: Fault,
}

/// Whether the file has lines that end batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Undecided,
    Batches,
    Plain,
}

/// What the file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FileKind {
    /// Its batches are numbered.
    Increment,
    /// Its batches are not numbered, and an empty one is behind the last.
    Base,
    /// The same, and that has been read.
    WholeBase,
}

/// What [`Reader::read_on`] has found.
enum Found {
    Command,
    /// The end of a batch, and where its line begins.
    BatchEnd(BatchEnd, usize),
    Annotation,
    End,
}

/// Reads one file of a log.
#[derive(Debug)]
pub struct Reader {
    file: Box<dyn ReadFile>,
    file_bytes: u64,
    /// What was read and is still needed: from `unit` on the unit that is read, before it the one that was handed out.
    window: Vec<u8>,
    /// Where the window begins in the file.
    window_offset: u64,
    /// Where the unit begins in the window.
    unit: usize,
    /// Where the next line begins, from `unit` on.
    at: usize,
    lines: Vec<Line>,
    spans: Vec<Span>,
    parser: Parser,
    /// A MULTI has begun and its EXEC is to come.
    in_transaction: bool,
    mode: Mode,
    /// The number of the last batch.
    last_seq: Option<u64>,
    kind: FileKind,
    /// The last Unix second that an annotation tells.
    unix_s: Option<i64>,
}

impl Reader {
    /// Reads a file from where it was read up to `window_offset` and `window` beyond; `last_seq` is the number of the last
    /// batch of the file before.
    ///
    /// # Errors
    /// The file's length cannot be told.
    pub fn new(
        file: Box<dyn ReadFile>,
        window: Vec<u8>,
        window_offset: u64,
        last_seq: Option<u64>,
    ) -> io::Result<Reader> {
        Ok(Reader {
            file_bytes: ReadFile::bytes(&*file)?,
            file,
            window,
            window_offset,
            unit: 0,
            at: 0,
            lines: Vec::new(),
            spans: Vec::new(),
            parser: Parser::default(),
            in_transaction: false,
            mode: Mode::Undecided,
            last_seq,
            kind: FileKind::Increment,
            unix_s: None,
        })
    }

    /// Where the next unit begins in the file: all before it has been handed out.
    pub fn offset(&self) -> u64 {
        self.window_offset + self.unit as u64
    }

    /// How many bytes the file has.
    pub fn file_bytes(&self) -> u64 {
        self.file_bytes
    }

    /// The number of the last batch, also of the files before.
    pub fn last_seq(&self) -> Option<u64> {
        self.last_seq
    }

    /// True if the file has lines that end batches.
    pub fn has_batches(&self) -> bool {
        self.mode == Mode::Batches
    }

    /// The file is the base of a log, of commands. If its batches have ends, all of it is good or it is damaged.
    #[must_use]
    pub fn of_base(self) -> Reader {
        Reader { kind: FileKind::Base, ..self }
    }

    /// True if the file is a base whose batches have ends.
    pub fn is_sealed_base(&self) -> bool {
        self.has_batches() && self.kind != FileKind::Increment
    }

    /// True if the file is such a base, and what has been handed out lacks the line that ends it.
    pub fn lacks_end(&self) -> bool {
        self.has_batches() && self.kind == FileKind::Base && self.offset() > 0
    }

    /// The last Unix second that a line of the file tells (`aof-timestamp-enabled`).
    pub fn unix_s(&self) -> Option<i64> {
        self.unix_s
    }

    /// The next unit, or `None` at the end of the file. It is not to be called again after an error. O(bytes of the unit).
    ///
    /// # Errors
    /// What comes next is no whole unit.
    pub fn next_unit(&mut self) -> Result<Option<Unit<'_>>, Stop> {
        match self.find_unit() {
            Ok(None) => Ok(None),
            Ok(Some(end)) => {
                let (offset, start) = (self.offset(), self.unit);
                self.unit += end;
                self.at = 0;
                let bytes = &self.window[start..self.unit];
                Ok(Some(Unit { offset, bytes, lines: &self.lines, spans: &self.spans }))
            }
            Err(fault) => Err(Stop { offset: self.offset(), commands: self.lines.len(), fault }),
        }
    }

    /// Reads up to the end of the next unit; how far that is from its beginning.
    fn find_unit(&mut self) -> Result<Option<usize>, Fault> {
        self.lines.clear();
        self.spans.clear();
        self.parser.reset();
        self.in_transaction = false;
        // How far what was read could be handed out as it is: outside transactions.
        let (mut whole_lines, mut whole) = (0, 0);
        loop {
            match self.read_on() {
                Ok(Found::Command | Found::Annotation) => {
                    if !self.in_transaction {
                        (whole_lines, whole) = (self.lines.len(), self.at);
                    }
                    if self.mode == Mode::Undecided && whole > UNDECIDED_BYTES_MAX {
                        self.mode = Mode::Plain;
                    }
                    if self.mode == Mode::Plain && !self.in_transaction && whole_lines >= COMMANDS_MAX {
                        return Ok(Some(whole));
                    }
                }
                Ok(Found::BatchEnd(end, start)) => {
                    self.check_batch(end, start)?;
                    return Ok(Some(self.at));
                }
                // The line that ends it is missing.
                Ok(Found::End) if self.at == 0 && self.lacks_end() => {
                    return Err(Fault::Truncated);
                }
                Ok(Found::End) if self.at == 0 => return Ok(None),
                Ok(Found::End) if self.mode == Mode::Batches => return Err(Fault::Truncated),
                Err(fault) if self.mode == Mode::Batches || whole == 0 => return Err(fault),
                Ok(Found::End) if whole == 0 => return Err(Fault::Truncated),
                // What is whole is handed out first; the fault is met again.
                Ok(Found::End) | Err(_) => {
                    self.mode = Mode::Plain;
                    self.lines.truncate(whole_lines);
                    self.at = whole;
                    return Ok(Some(whole));
                }
            }
        }
    }

    /// Compares a batch with what its last line says, which begins at `line_start`.
    fn check_batch(&mut self, end: BatchEnd, line_start: usize) -> Result<(), Fault> {
        let is_first = self.mode != Mode::Batches;
        let mut batch = &self.window[self.unit..self.unit + line_start];
        let at = self.offset() + line_start as u64;
        let broken = |reason: &str| Err(Fault::Broken { at, reason: reason.to_owned() });
        if self.in_transaction {
            return broken("a batch ends inside a transaction");
        }
        if is_first && let Some(before) = (batch.len() as u64).checked_sub(end.bytes) {
            // What comes before was written by a server that writes no batches.
            batch = &batch[before as usize..];
        }
        let (bytes, crc) = (batch.len() as u64, batch::checksum(batch));
        if end.bytes != bytes {
            return broken(&format!("batch {} has {bytes} bytes, and its end says {}", end.seq, end.bytes));
        }
        if end.crc != crc {
            let (seq, said) = (end.seq, end.crc);
            return broken(&format!("the checksum of batch {seq} is {crc:08x}, and its end says {said:08x}"));
        }
        self.mode = Mode::Batches;
        match (self.kind, end.seq, end.bytes) {
            (FileKind::Increment, 0, 1..) => return broken("a batch has no number"),
            (FileKind::Base, 0, 0) if at > 0 => self.kind = FileKind::WholeBase,
            (FileKind::Base, 1.., _) => return broken("a batch of a base has a number"),
            (FileKind::WholeBase, ..) => return broken("something follows on the end of the base"),
            (FileKind::Increment | FileKind::Base, ..) => {}
        }
        if end.seq == 0 {
            return Ok(());
        }
        if let Some(last) = self.last_seq.filter(|last| last.checked_add(1) != Some(end.seq)) {
            return broken(&format!("batch {} follows on batch {last}", end.seq));
        }
        // An empty one only says that batches follow, and which comes first.
        self.last_seq = Some(if bytes == 0 { end.seq - 1 } else { end.seq });
        Ok(())
    }

    /// Reads one line on.
    fn read_on(&mut self) -> Result<Found, Fault> {
        loop {
            let start = self.unit + self.at;
            let known = self.window.len() - start;
            let wanted = match self.window.get(start) {
                None if self.is_at_end() => return Ok(Found::End),
                None => 1,
                Some(b'#') => match self.annotation()? {
                    Some(found) => return Ok(found),
                    None => known + 1,
                },
                Some(b'*') => match self.command()? {
                    None => return Ok(Found::Command),
                    Some(wanted) => wanted,
                },
                Some(&other) => {
                    return Err(self.broken(format!("expected '*' or '#', found {}", described(other))));
                }
            };
            self.fill(wanted)?;
        }
    }

    /// Whether the window reaches the end of the file.
    fn is_at_end(&self) -> bool {
        self.window_offset + self.window.len() as u64 >= self.file_bytes
    }

    fn broken(&self, reason: String) -> Fault {
        Fault::Broken { at: self.offset() + self.at as u64, reason }
    }

    /// A line that begins with `#`; `None` if its end is not there yet.
    fn annotation(&mut self) -> Result<Option<Found>, Fault> {
        let rest = &self.window[self.unit + self.at..];
        let known = &rest[..rest.len().min(ANNOTATION_BYTES_MAX)];
        let Some(len) = memchr(b'\n', known) else {
            return if rest.len() >= ANNOTATION_BYTES_MAX {
                Err(self.broken(format!("a line that begins with '#' is longer than {ANNOTATION_BYTES_MAX} bytes")))
            } else if self.is_at_end() {
                Err(Fault::Truncated)
            } else {
                Ok(None)
            };
        };
        let line = &rest[..len];
        let found = if line.starts_with(batch::PREFIX) {
            let text = line.strip_suffix(b"\r").unwrap_or(line);
            let end = BatchEnd::parse(text).map_err(|malformed| self.broken(malformed.to_string()))?;
            Found::BatchEnd(end, self.at)
        } else {
            if let Some(text) = line.strip_prefix(b"#TS:") {
                let text = text.strip_suffix(b"\r").unwrap_or(text);
                self.unix_s = num::parse_i64(text).or(self.unix_s);
            }
            Found::Annotation
        };
        self.at += len + 1;
        Ok(Some(found))
    }

    /// A command; how many bytes have to be there from its beginning on for it to be read on, `None` if it is whole.
    fn command(&mut self) -> Result<Option<usize>, Fault> {
        let start = self.unit + self.at;
        let known = &self.window[start..];
        let before = self.spans.len();
        // The parser goes on where it was, with the spans that it has found.
        let first = self.lines.last().map_or(0, |line| line.spans.1);
        debug_assert!(before >= first);
        match self.parser.parse(known, LIMITS, &mut self.spans) {
            Ok(Parsed::Command(taken)) => {
                let line = Line { start: self.at, end: self.at + taken, spans: (first, self.spans.len()) };
                self.at += taken;
                self.lines.push(line);
                self.note_transaction(line)?;
                Ok(None)
            }
            Ok(Parsed::Incomplete(needed)) => {
                let left = self.file_bytes - (self.window_offset + start as u64);
                if needed as u64 > left || self.is_at_end() {
                    return Err(Fault::Truncated);
                }
                Ok(Some(needed.max(known.len() + 1)))
            }
            Ok(Parsed::Empty(_)) => Err(self.broken("a command has no arguments".to_owned())),
            Ok(Parsed::Inline(..)) => Err(self.broken("expected '*'".to_owned())),
            Err(error) => {
                let text = error.text();
                let text = String::from_utf8_lossy(&text).into_owned();
                let text = text.strip_prefix("ERR Protocol error: ").unwrap_or(&text);
                Err(self.broken(format!("no command of the protocol: {text}")))
            }
        }
    }

    fn note_transaction(&mut self, line: Line) -> Result<(), Fault> {
        if line.spans.1 - line.spans.0 != 1 {
            return Ok(());
        }
        let span = self.spans[line.spans.0];
        let name = &self.window[self.unit + line.start + span.start as usize..][..span.len as usize];
        let (begins, ends) = (name.eq_ignore_ascii_case(b"MULTI"), name.eq_ignore_ascii_case(b"EXEC"));
        if (begins && self.in_transaction) || (ends && !self.in_transaction) {
            self.at = line.start;
            let what = if begins { "MULTI inside a transaction" } else { "EXEC without MULTI" };
            return Err(self.broken(what.to_owned()));
        }
        if begins || ends {
            self.in_transaction = begins;
        }
        Ok(())
    }

    /// Reads on until so many bytes are there from the next line on, or the file ends.
    fn fill(&mut self, wanted: usize) -> Result<(), Fault> {
        if self.unit > 0 {
            self.window.drain(..self.unit);
            self.window_offset += self.unit as u64;
            self.unit = 0;
        }
        while self.window.len() < self.at + wanted && !self.is_at_end() {
            let left = self.file_bytes - self.window_offset - self.window.len() as u64;
            let more = CHUNK_BYTES.max(self.at + wanted - self.window.len());
            let more = usize::try_from(left).map_or(more, |left| more.min(left));
            let known = self.window.len();
            self.window.resize(known + more, 0);
            let read = match self.file.read(&mut self.window[known..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
                // Somebody has cut the file meanwhile.
                Ok(0) => {
                    self.file_bytes = self.window_offset + known as u64;
                    Ok(0)
                }
                read => read,
            };
            self.window.truncate(known + *read.as_ref().unwrap_or(&0));
            read.map_err(Fault::Io)?;
        }
        Ok(())
    }

    /// What a fault is: the end of what was written before the machine or the process stopped, or damage. `is_last` if no other
    /// file follows. O(bytes to the end of the file).
    ///
    /// # Errors
    /// The disk's.
    pub fn judge(&mut self, stop: &Stop, is_last: bool) -> io::Result<Verdict> {
        // A base has its name once it is whole.
        if !is_last || self.is_sealed_base() {
            return Ok(Verdict::Damage);
        }
        if !self.has_batches() {
            let is_end = matches!(stop.fault, Fault::Truncated);
            return Ok(if is_end { Verdict::TornEnd } else { Verdict::Damage });
        }
        let (broken, left_bytes) =
            (self.last_seq.and_then(|last| last.checked_add(1)), self.file_bytes.saturating_sub(stop.offset));
        // A batch that was not on the disk yet may have whole ones behind it as well; then none of these says that it was.
        let is_damage = self.look_behind()?.is_some_and(|behind| match behind.durable {
            Some(durable) => durable >= broken.unwrap_or(behind.seq - 1),
            None => left_bytes > UNSYNCED_BYTES_MAX,
        });
        Ok(if is_damage { Verdict::Damage } else { Verdict::TornEnd })
    }

    /// After a fault: what whole batches there are behind it, if there are any. A batch that was not written in full when the
    /// machine stopped has some behind it only where the disk put later bytes down first. O(bytes to the end of the file);
    /// keeps a batch's line and two chunks of them.
    ///
    /// # Errors
    /// The disk's.
    fn look_behind(&mut self) -> io::Result<Option<Behind>> {
        let broken = self.last_seq.and_then(|last| last.checked_add(1));
        let mut search = Search::from(self.offset(), self.window.split_off(self.unit), broken);
        let mut piece = vec![0; CHUNK_BYTES];
        loop {
            search.go_on(false);
            match self.file.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => search.window.extend_from_slice(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        search.go_on(true);
        Ok(search.found)
    }
}

/// What a fault in a log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The end was not written in full, or not put on the disk in full: all that is missing was never safe.
    TornEnd,
    /// Something that was safe is not there any more.
    Damage,
}

/// The whole batches behind a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Where the line that ends the first of them begins in the file.
    pub at: u64,
    /// The number of the first.
    pub seq: u64,
    /// How many there are.
    pub batches: u64,
    /// The last batch that one of them says was on the disk when it was written.
    pub durable: Option<u64>,
}

/// Looks for whole batches in bytes of which not all can be trusted: stretches between two lines that end batches, if they
/// are as the second line says.
struct Search {
    window: Vec<u8>,
    /// Where the window begins in the file.
    offset: u64,
    /// Where the stretch begins in the file, and how much of it is in the checksum.
    begin: u64,
    summed: u64,
    sum: u32,
    /// What the stretch says was durable.
    durable: Option<u64>,
    found: Option<Behind>,
    is_at_start: bool,
    /// The number of the batch that is not whole, if it is known: what has no higher one is not behind it.
    broken: Option<u64>,
}

impl Search {
    fn from(offset: u64, window: Vec<u8>, broken: Option<u64>) -> Search {
        Search {
            window,
            offset,
            begin: offset,
            summed: 0,
            sum: 0,
            durable: None,
            found: None,
            is_at_start: true,
            broken,
        }
    }

    /// Looks through the window, and lets go of what is not needed any more.
    fn go_on(&mut self, is_over: bool) {
        const FENCE: &[u8] = b"\r\n#";
        let mut done = 0;
        loop {
            // A stretch may begin with a line, which nothing comes before.
            let line = if std::mem::take(&mut self.is_at_start) && self.window.first() == Some(&b'#') {
                0
            } else if let Some(found) = memmem::find(&self.window[done..], FENCE) {
                done + found + 2
            } else {
                break;
            };
            let room = &self.window[line..self.window.len().min(line + batch::LINE_BYTES_MAX)];
            let Some(len) = memchr(b'\n', room) else {
                if room.len() < batch::LINE_BYTES_MAX && !is_over {
                    break;
                }
                done = line;
                continue;
            };
            let text = room[..len].strip_suffix(b"\r").unwrap_or(&room[..len]);
            done = line;
            if let Some(number) = text.strip_prefix(batch::DURABLE_PREFIX) {
                self.durable = num::parse_u64(number).or(self.durable);
            } else if let Ok(end) = BatchEnd::parse(text) {
                self.meet(end, line);
                // The end of this line may be the fence of the next.
                done = line + len - 1;
                (self.begin, self.summed, self.sum) = (self.offset + (line + len + 1) as u64, 0, 0);
                self.durable = None;
            }
        }
        let keep = self.window.len().saturating_sub(batch::LINE_BYTES_MAX + FENCE.len()).max(done);
        let keep = keep.min(self.window.len());
        let from = self.unsummed().min(self.window.len());
        if keep > from {
            self.sum = crc32c_append(self.sum, &self.window[from..keep]);
            self.summed += (keep - from) as u64;
        }
        self.window.drain(..keep);
        self.offset += keep as u64;
    }

    /// Where in the window the part of the stretch begins that is not in the checksum.
    fn unsummed(&self) -> usize {
        (self.begin + self.summed).saturating_sub(self.offset) as usize
    }

    /// Compares the stretch up to a line with what that says.
    fn meet(&mut self, end: BatchEnd, line: usize) {
        let at = self.offset + line as u64;
        let Some(rest) = self.window.get(self.unsummed()..line) else { return };
        let is_behind = self.broken.is_none_or(|broken| end.seq > broken);
        if !is_behind || end.bytes == 0 || end.bytes != at - self.begin || end.crc != crc32c_append(self.sum, rest) {
            return;
        }
        let behind = self.found.get_or_insert(Behind { at, seq: end.seq, batches: 0, durable: None });
        behind.batches += 1;
        behind.durable = behind.durable.max(self.durable);
    }
}

/// A byte as people read it.
fn described(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("'{}'", byte as char) } else { format!("byte 0x{byte:02x}") }
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
