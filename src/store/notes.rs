//! What happens to keys without a command having said so, noted for whoever publishes events, touches watches or
//! propagates. A database notes only what somebody wants to know.
//!
//! Written by the store, taken by `server` after each command. Knows nothing of who wants to know.

use std::sync::Arc;

use super::entry::{Entry, Value};
use super::types::Type;

/// What can happen to a key without a command having said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// The key was not there before.
    Created,
    /// Its deadline had passed.
    Expired,
    /// A new value took the place of the old one.
    Overwritten,
    /// The new value is of another type.
    TypeChanged,
    /// Somebody wanted to read it, and it was not there.
    Missed,
    /// The deadlines of some of its elements had passed: fields of a hash, members of a set or sorted set. Noted for the last of
    /// them as well, before `Emptied`.
    ElementsExpired,
    /// The deadlines of all its elements had passed, and with them it went.
    Emptied,
    /// It is the first of the database with a deadline. Always noted.
    Timed,
}

/// What is to be noted; nothing, until somebody wants to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "one switch for each variant of `Happened`, and one of its own")]
pub struct Noting {
    pub created: bool,
    pub expired: bool,
    pub overwritten: bool,
    pub type_changed: bool,
    pub missed: bool,
    pub elements_expired: bool,
    pub emptied: bool,
    /// `ElementsExpired` is noted in any case, and names the elements.
    pub element_names: bool,
    /// Bytes up to which the string that an expired key held is noted; 0 for no values.
    pub value_bytes_max: usize,
}

impl Noting {
    /// True if it is to be noted that something leaves because it is due.
    pub fn leaving(self) -> bool {
        self.expired || self.elements_expired || self.emptied || self.element_names
    }
}

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What.
    pub happened: Happened,
    /// To which key.
    pub key: Box<[u8]>,
    /// The type of the collection whose elements expired.
    pub of: Option<Type>,
    /// The elements that expired, if [`Noting::element_names`] was set.
    pub elements: Vec<Box<[u8]>>,
    /// The string that an expired key held, if [`Noting::value_bytes_max`] says that it is wanted.
    pub value: Option<Arc<Vec<u8>>>,
}

/// What a database has noted, and is to note.
#[derive(Debug, Default)]
pub(super) struct Notebook {
    pub wanted: Noting,
    notes: Vec<Note>,
}

impl Notebook {
    /// Notes something, if it is wanted; costs a test of a flag if not.
    #[inline]
    pub fn note(&mut self, happened: Happened, key: &[u8]) {
        let wanted = match happened {
            Happened::Created => self.wanted.created,
            Happened::Expired => self.wanted.expired,
            Happened::Overwritten => self.wanted.overwritten,
            Happened::TypeChanged => self.wanted.type_changed,
            Happened::Missed => self.wanted.missed,
            Happened::ElementsExpired => self.wanted.elements_expired || self.wanted.element_names,
            Happened::Emptied => self.wanted.emptied,
            Happened::Timed => true,
        };
        if wanted {
            self.notes.push(Note { happened, key: key.into(), of: None, elements: Vec::new(), value: None });
        }
    }

    /// Notes that elements of a collection of this type have expired: `elements` names them if their names are wanted.
    pub fn note_elements(&mut self, key: &[u8], of: Type, elements: Vec<Box<[u8]>>) {
        let before = self.notes.len();
        self.note(Happened::ElementsExpired, key);
        if let Some(note) = self.notes.get_mut(before) {
            (note.of, note.elements) = (Some(of), elements);
        }
    }

    /// Notes that a key has expired, with the string that it held if that is wanted.
    pub fn note_expired(&mut self, entry: &Entry) {
        let before = self.notes.len();
        self.note(Happened::Expired, entry.key());
        if self.wanted.value_bytes_max > 0
            && let Some(note) = self.notes.get_mut(before)
        {
            note.value = value_of(entry, self.wanted.value_bytes_max);
        }
    }

    /// True if something has been noted since the last time.
    #[inline]
    pub fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    /// What has been noted since the last time, in order.
    pub fn take(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }
}

/// The string that an entry holds, if it is one of so many bytes at most.
#[cold]
fn value_of(entry: &Entry, bytes_max: usize) -> Option<Arc<Vec<u8>>> {
    let value = match entry.string()? {
        Value::Int(n) => Arc::new(n.to_string().into_bytes()),
        Value::Inline(bytes) => Arc::new(bytes.to_vec()),
        Value::Shared(shared) => Arc::clone(&shared),
        Value::Roaring(roaring) if roaring.len() > bytes_max => return None,
        Value::Roaring(roaring) => Arc::new(roaring.expanded()),
    };
    (value.len() <= bytes_max).then_some(value)
}
