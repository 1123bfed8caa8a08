//! The two forms in which a snapshot is written: a dump file, and the commands that make the data.

use super::{Piece, Size};
use crate::persist::aof::base::{self, CommandWriter};
use crate::persist::rdb::file::{CannotHold, DumpWriter, Head, Options};
use crate::persist::rdb::slices::Slices;
use crate::store::entry::Entry;

/// What a snapshot is written as.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A dump file. The checksum is made where the file is written, whatever the options say of it.
    Dump(Options),
    /// Commands.
    Commands {
        /// The time is noted in Unix seconds.
        unix_s: Option<i64>,
    },
}

/// Writes keys in one of the forms.
#[derive(Debug)]
pub(super) enum KeyWriter {
    Dump(DumpWriter),
    Commands(CommandWriter),
}

/// What is left to be written of a value.
#[derive(Debug)]
pub(super) enum Rest {
    Dump(Slices),
    Commands(base::Rest),
}

impl KeyWriter {
    pub fn new(form: Form) -> KeyWriter {
        match form {
            Form::Dump(options) => KeyWriter::Dump(DumpWriter::new(Options { checksum: false, ..options })),
            Form::Commands { .. } => KeyWriter::Commands(CommandWriter::default()),
        }
    }

    /// Writes the beginning of the file.
    pub fn begin(&mut self, form: Form, head: &Head<'_>) {
        match (self, form) {
            (KeyWriter::Dump(writer), _) => writer.begin(head),
            (KeyWriter::Commands(writer), Form::Commands { unix_s: Some(unix_s) }) => writer.time(unix_s),
            (KeyWriter::Commands(_), _) => {}
        }
    }

    /// Writes the end of the file, and takes what was not taken.
    pub fn end(&mut self) -> Vec<u8> {
        match self {
            KeyWriter::Dump(writer) => {
                writer.end();
                writer.take()
            }
            KeyWriter::Commands(writer) => writer.take(),
        }
    }

    pub fn len(&self) -> usize {
        match self {
            KeyWriter::Dump(writer) => writer.len(),
            KeyWriter::Commands(writer) => writer.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what was written.
    pub fn take_piece(&mut self) -> Piece {
        match self {
            KeyWriter::Dump(writer) => Piece::Bytes(writer.take()),
            KeyWriter::Commands(writer) if writer.is_between_commands() => Piece::Commands(writer.take()),
            KeyWriter::Commands(writer) => Piece::Bytes(writer.take()),
        }
    }

    pub fn script(&mut self, body: &[u8]) {
        match self {
            KeyWriter::Dump(writer) => writer.script(body),
            KeyWriter::Commands(writer) => writer.script(body),
        }
    }

    pub fn function(&mut self, code: &[u8]) {
        match self {
            KeyWriter::Dump(writer) => writer.function(code),
            KeyWriter::Commands(writer) => writer.function(code),
        }
    }

    /// Says that the keys that follow are of a database, which had this size when the snapshot began.
    pub fn select(&mut self, number: usize, size: Size) {
        match self {
            KeyWriter::Dump(writer) => writer.select(number, size.keys, size.timed),
            KeyWriter::Commands(writer) => writer.select(number),
        }
    }

    pub fn forget_selected(&mut self) {
        match self {
            KeyWriter::Dump(writer) => writer.forget_selected(),
            KeyWriter::Commands(writer) => writer.forget_selected(),
        }
    }

    /// Writes a key with its value.
    pub fn entry(&mut self, entry: &Entry) -> Result<(), CannotHold> {
        match self {
            KeyWriter::Dump(writer) => writer.entry(entry),
            KeyWriter::Commands(writer) => {
                writer.entry(entry);
                Ok(())
            }
        }
    }

    /// Begins a key with a string of so many bytes, which is written elsewhere.
    pub fn begin_shared(&mut self, entry: &Entry, bytes: usize) -> Result<(), CannotHold> {
        match self {
            KeyWriter::Dump(writer) => writer.key(entry),
            KeyWriter::Commands(writer) => {
                writer.begin_string(entry, bytes);
                Ok(())
            }
        }
    }

    /// Ends it.
    pub fn end_shared(&mut self, entry: &Entry) {
        match self {
            KeyWriter::Dump(_) => {}
            KeyWriter::Commands(writer) => writer.end_string(entry),
        }
    }

    /// Begins a key that is written piece by piece.
    pub fn begin_key(&mut self, entry: &Entry) -> Result<Rest, CannotHold> {
        match self {
            KeyWriter::Dump(writer) => {
                writer.key(entry)?;
                Ok(Rest::Dump(Slices::begin(entry, writer.values())))
            }
            KeyWriter::Commands(writer) => Ok(Rest::Commands(writer.begin(entry))),
        }
    }

    /// Writes the next piece of it; true if it was the last.
    pub fn go_on(&mut self, entry: &Entry, rest: &mut Rest) -> bool {
        match (self, rest) {
            (KeyWriter::Dump(writer), Rest::Dump(slices)) => slices.go_on(entry, writer.values()),
            (KeyWriter::Commands(writer), Rest::Commands(rest)) => writer.go_on(entry, rest),
            _ => unreachable!("a snapshot is written in one form"),
        }
    }
}
