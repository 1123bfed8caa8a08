//! The commands and categories that rules name, handed in by whoever has the commands.
//!
//! A command is known by a dense number, which is its bit in a selector. The numbers of a container's subcommands follow its
//! own.

use std::collections::HashMap;
use std::ops::Range;

/// A command or subcommand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full name in lower case: `get`, `config|get`.
    pub name: String,
    /// The categories it is in, by their bits.
    pub categories: u32,
    /// The numbers of its subcommands.
    pub subcommands: Range<usize>,
}

/// All commands, and the names of the categories.
#[derive(Debug)]
pub struct Catalog {
    entries: Vec<Entry>,
    by_name: HashMap<String, usize>,
    categories: Vec<(u32, &'static str)>,
}

impl Catalog {
    /// The commands in the order of their numbers, and the categories by their bits.
    pub fn new(entries: Vec<Entry>, categories: Vec<(u32, &'static str)>) -> Catalog {
        let by_name = entries.iter().enumerate().map(|(id, entry)| (entry.name.clone(), id)).collect();
        Catalog { entries, by_name, categories }
    }

    /// How many commands and subcommands there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of a command, or of a subcommand after a `|`, in any case. O(1).
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        let name = std::str::from_utf8(name).ok()?;
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// What there is to know of a command.
    pub fn entry(&self, id: usize) -> &Entry {
        &self.entries[id]
    }

    /// All commands with their numbers.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.entries.iter().enumerate()
    }

    /// The names of the categories, in Redis's order.
    pub fn categories(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.categories.iter().map(|(_, name)| *name)
    }

    /// The bit of a category's name, in any case.
    pub fn category(&self, name: &[u8]) -> Option<u32> {
        self.categories.iter().find(|(_, known)| known.as_bytes().eq_ignore_ascii_case(name)).map(|(bit, _)| *bit)
    }
}
