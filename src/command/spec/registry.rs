//! The way from a name to its row: every command with its place among all of them, found in any case in constant time.
//!
//! Made once from the families' rows. Knows no family, and nothing of what a command does.

use super::Spec;

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
}

impl Command {
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
    /// At most half full.
    slots: Vec<Slot>,
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
            let subcommand = |sub: &'static Spec| Command {
                spec: sub,
                id: number(),
                full_name: format!("{full_name}|{}", sub.name.to_ascii_lowercase()),
                subcommands: Vec::new(),
            };
            let subcommands = spec.subcommands.iter().map(subcommand).collect();
            Command { spec, id, full_name, subcommands }
        };
        let mut commands: Vec<Command> = families.iter().copied().flatten().map(&mut numbered).collect();
        let rows = commands.len();
        commands.extend(families.iter().copied().flatten().filter_map(derive).flatten().map(numbered));
        let mut slots = vec![Slot::default(); (2 * commands.len()).next_power_of_two().max(1024)];
        for (index, command) in commands.iter().enumerate() {
            let ends = Ends::of(command.spec.name.as_bytes());
            let mut at = ends.hash() & (slots.len() - 1);
            while slots[at].command != 0 {
                at = (at + 1) & (slots.len() - 1);
            }
            slots[at] = Slot { ends, command: index as u32 + 1 };
        }
        Registry { commands, rows, count, slots }
    }

    /// The command of a name, in any case. O(1).
    #[inline]
    pub fn lookup(&self, name: &[u8]) -> Option<&Command> {
        let Registry { commands, slots, .. } = self;
        let ends = Ends::of(name);
        let mut at = ends.hash() & (slots.len() - 1);
        loop {
            let slot = slots[at];
            let command = &commands[(slot.command as usize).checked_sub(1)?];
            let told_apart = name.len() <= Ends::LETTERS;
            if slot.ends == ends && (told_apart || command.spec.name.as_bytes().eq_ignore_ascii_case(name)) {
                return Some(command);
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

    /// How many commands and subcommands there are: one more than the highest `id`.
    pub fn count(&self) -> usize {
        self.count
    }
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
