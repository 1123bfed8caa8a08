//! The way from a name to its row: every command with its place among all of them, found in any case in constant time.
//!
//! Made once from the families' rows. Knows no family, and nothing of what a command does.

use std::collections::BTreeMap;

use super::{Category, Spec};
use crate::feature::acl::{Catalog, ChannelUse, Entry, KeyAsked};

/// A row with its place among all commands, for statistics.
#[derive(Debug)]
pub struct Command {
    /// The row.
    pub spec: &'static Spec,
    /// Dense number among all commands and subcommands.
    pub id: usize,
    /// Lower-case name as statistics and errors write it: `get`, `client|list`.
    pub full_name: String,
    /// Subcommands, in the row's order.
    pub subcommands: Vec<Command>,
    /// The key, if every line has just this one and no channel: most of what restricted users send.
    pub only_key: Option<KeyAsked>,
}

impl Command {
    pub(in crate::command) fn new(
        spec: &'static Spec,
        id: usize,
        full_name: String,
        subcommands: Vec<Command>,
    ) -> Command {
        let only_key = spec.only_key().filter(|_| spec.channels == ChannelUse::None).map(KeyAsked::from);
        Command { spec, id, full_name, subcommands, only_key }
    }

    /// The subcommand of a name, in any case.
    pub fn subcommand(&self, name: &[u8]) -> Option<&Command> {
        self.subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// Every command, and the way from names to them: open addressing over folded names.
#[derive(Debug)]
pub struct Registry {
    /// Those of the rows, then those derived from them.
    commands: Vec<Command>,
    /// How many of them have a row.
    rows: usize,
    /// Commands and subcommands.
    count: usize,
    /// The way from the names that clients use. At most half full.
    slots: Slots,
    /// The way from the names of the rows, where some commands were given others.
    own_slots: Option<Slots>,
    /// The names that commands were given, by their index; an empty one for those that clients cannot reach.
    renamed: BTreeMap<usize, String>,
}

/// Places by the hashes of names; the number of them is a power of two.
type Slots = Vec<Slot>;

/// Another name for a command, or none, by which clients cannot reach it.
pub type Rename = (String, String);

/// Why a command cannot be renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameError {
    /// There is none of that name.
    NoSuchCommand,
    /// Another has the new name.
    Taken,
}

impl RenameError {
    /// Redis's text.
    pub fn text(self) -> &'static str {
        match self {
            RenameError::NoSuchCommand => "No such command in rename-command",
            RenameError::Taken => "Target command name already exists",
        }
    }
}

/// One place of the way from names to commands.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// The name there, as far as eight letters tell.
    ends: Ends,
    /// Index into `commands` + 1; 0 is empty.
    command: u32,
}

/// A name's length and its first and last four letters in lower case: all of it if it has eight letters at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    letters: u64,
    len: u32,
}

impl Ends {
    /// Letters that are told apart.
    const LETTERS: usize = 8;

    #[inline]
    fn of(name: &[u8]) -> Ends {
        // Overlapping loads of a fixed size, so that no length needs a copy loop.
        let half = |part: &[u8]| u64::from(u32::from_le_bytes([part[0], part[1], part[2], part[3]]));
        let letters = match *name {
            [] => 0,
            [a] => u64::from(a),
            [a, b] => u64::from(a) | u64::from(b) << 8,
            [a, b, c] => u64::from(a) | u64::from(b) << 8 | u64::from(c) << 16,
            _ => half(name) | half(&name[name.len() - 4..]) << 32,
        };
        Ends { letters: lower_case(letters), len: name.len() as u32 }
    }

    #[inline]
    fn hash(self) -> usize {
        let mixed = (self.letters ^ u64::from(self.len)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 40) as usize
    }
}

/// Eight letters in lower case at once; other bytes stay as they are.
#[inline]
fn lower_case(letters: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOP: u64 = 0x80 * ONES;
    // The top bit of each byte tells whether its low seven bits reach a bound; none carries into the next byte.
    let low = letters & !TOP;
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let beyond_z = low + (0x7f - b'Z' as u64) * ONES;
    let capitals = from_a & !beyond_z & !letters & TOP;
    letters | capitals >> 2
}

/// Makes the rows of the commands that follow from a command's own row, if any do.
pub type Derive = fn(&'static Spec) -> Option<[&'static Spec; 2]>;

impl Registry {
    /// The commands of these rows, by family, and behind them those derived from them.
    pub fn new(families: &'static [&'static [Spec]], derive: Derive) -> Registry {
        let mut count = 0;
        let mut number = || {
            count += 1;
            count - 1
        };
        let mut numbered = |spec: &'static Spec| {
            let full_name = spec.name.to_ascii_lowercase();
            let id = number();
            let subcommand = |sub: &'static Spec| {
                let full_name = format!("{full_name}|{}", sub.name.to_ascii_lowercase());
                Command::new(sub, number(), full_name, Vec::new())
            };
            let subcommands = spec.subcommands.iter().map(subcommand).collect();
            Command::new(spec, id, full_name, subcommands)
        };
        let mut commands: Vec<Command> = families.iter().copied().flatten().map(&mut numbered).collect();
        let rows = commands.len();
        commands.extend(families.iter().copied().flatten().filter_map(derive).flatten().map(numbered));
        let slots = slots_of(&commands, &BTreeMap::new());
        Registry { commands, rows, count, slots, own_slots: None, renamed: BTreeMap::new() }
    }

    /// Gives commands other names, one after the other, or none by which clients can reach them. What is derived from a command
    /// goes with it. To be called once.
    ///
    /// # Errors
    /// The place of the first that cannot be, and why. Nothing has changed then.
    pub fn rename(&mut self, renames: &[Rename]) -> Result<(), (usize, RenameError)> {
        let mut indices: BTreeMap<String, usize> = BTreeMap::new();
        indices.extend(self.commands.iter().enumerate().map(|(index, command)| (command.full_name.clone(), index)));
        let mut renamed = BTreeMap::new();
        for (place, (from, to)) in renames.iter().enumerate() {
            let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
            if !indices.contains_key(&from) {
                return Err((place, RenameError::NoSuchCommand));
            }
            for suffix in ["", ".watch", ".unwatch"] {
                let Some(index) = indices.remove(&format!("{from}{suffix}")) else { continue };
                let name = if to.is_empty() { String::new() } else { format!("{to}{suffix}") };
                if !name.is_empty() && indices.insert(name.clone(), index).is_some() {
                    return Err((place, RenameError::Taken));
                }
                renamed.insert(index, name);
            }
        }
        self.own_slots = Some(std::mem::replace(&mut self.slots, slots_of(&self.commands, &renamed)));
        self.renamed = renamed;
        Ok(())
    }

    /// True if clients can reach the command.
    pub fn is_reachable(&self, command: &Command) -> bool {
        let is_it = |index: &usize| std::ptr::eq(&self.commands[*index], command);
        !self.renamed.iter().any(|(index, name)| name.is_empty() && is_it(index))
    }

    /// True if some command has another name than its row's.
    #[inline]
    pub fn has_renamed(&self) -> bool {
        !self.renamed.is_empty()
    }

    /// The command that clients know by a name, in any case. O(1).
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<&Command> {
        self.lookup_in(&self.slots, name, |index| {
            let given = if self.renamed.is_empty() { None } else { self.renamed.get(&index) };
            given.map_or(self.commands[index].spec.name, String::as_str)
        })
    }

    /// The command whose row has a name, in any case, whatever clients know it by. O(1).
    pub fn lookup_own(&self, name: &[u8]) -> Option<&Command> {
        let slots = self.own_slots.as_ref().unwrap_or(&self.slots);
        self.lookup_in(slots, name, |index| self.commands[index].spec.name)
    }

    #[inline(always)]
    fn lookup_in<'a>(&'a self, slots: &[Slot], name: &[u8], name_of: impl Fn(usize) -> &'a str) -> Option<&'a Command> {
        let ends = Ends::of(name);
        let mut at = ends.hash() & (slots.len() - 1);
        loop {
            let slot = slots[at];
            let index = (slot.command as usize).checked_sub(1)?;
            let told_apart = name.len() <= Ends::LETTERS;
            if slot.ends == ends && (told_apart || name_of(index).as_bytes().eq_ignore_ascii_case(name)) {
                return Some(&self.commands[index]);
            }
            at = (at + 1) & (slots.len() - 1);
        }
    }

    /// Every command that has a row, subcommands inside theirs.
    pub fn all(&self) -> &[Command] {
        &self.commands[..self.rows]
    }

    /// Every command that is derived from another's row.
    pub fn derived(&self) -> &[Command] {
        &self.commands[self.rows..]
    }

    /// The commands as the rules of users name them.
    pub fn catalog(&self) -> Catalog {
        let mut entries = Vec::with_capacity(self.count);
        let entry = |command: &Command| Entry {
            name: command.full_name.clone(),
            categories: command.spec.categories().bits(),
            subcommands: command.id + 1..command.id + 1 + command.subcommands.len(),
        };
        for command in self.commands.iter().flat_map(|command| std::iter::once(command).chain(&command.subcommands)) {
            debug_assert_eq!(command.id, entries.len(), "subcommands are numbered behind their container");
            entries.push(entry(command));
        }
        Catalog::new(entries, Category::named_bits().map(|(bit, name)| (bit.bits(), name)).collect())
    }

    /// How many commands and subcommands there are: one more than the highest `id`.
    pub fn count(&self) -> usize {
        self.count
    }
}

/// The way to commands from their names, but for those that have another, or none.
fn slots_of(commands: &[Command], renamed: &BTreeMap<usize, String>) -> Slots {
    let mut slots = vec![Slot::default(); (2 * commands.len()).next_power_of_two().max(1024)];
    for (index, command) in commands.iter().enumerate() {
        let name = renamed.get(&index).map_or(command.spec.name, String::as_str);
        if name.is_empty() {
            continue;
        }
        let ends = Ends::of(name.as_bytes());
        let mut at = ends.hash() & (slots.len() - 1);
        while slots[at].command != 0 {
            at = (at + 1) & (slots.len() - 1);
        }
        slots[at] = Slot { ends, command: index as u32 + 1 };
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capitals_alone_are_folded() {
        let folded = |byte: u8| lower_case(u64::from_le_bytes([b'A', byte, b'Z', 0, 255, byte, b'@', b'[']));
        for byte in 0..=u8::MAX {
            let low = byte.to_ascii_lowercase();
            assert_eq!(folded(byte).to_le_bytes(), [b'a', low, b'z', 0, 255, low, b'@', b'[']);
        }
    }
}
