//! Every command: its row and its handler, by family; and the way from a name to its row.
//!
//! To add a command, add a row and the handler under it in the family's file. Nothing else lists commands. The names of live
//! queries, `GET.WATCH` and the like, are derived from the rows of what can be watched.

pub mod admin;
pub mod bitmap;
mod blocking;
pub mod client;
pub mod cluster;
mod collection;
pub mod config;
pub mod connection;
pub mod database;
pub mod debug;
pub mod dump;
pub mod expire;
pub mod expiry;
pub mod geo;
pub mod hash;
mod help;
pub mod hyperloglog;
pub mod info;
pub mod introspect;
pub mod keyfind;
pub mod keys;
pub mod keyspec;
pub mod latency;
pub mod list;
mod lolwut;
pub mod memory;
pub mod module;
pub mod object;
pub mod pubsub;
pub mod reactive;
pub mod readme;
pub mod replication;
pub mod resolve;
pub mod scan;
pub mod set;
pub mod sort;
pub mod spec;
pub mod stream;
pub mod string;
pub mod syntax;
pub mod transaction;
pub mod zset;

use std::sync::OnceLock;

use spec::Spec;

/// The families, in the order of the README's table.
const FAMILIES: &[&[Spec]] = &[
    string::ROWS,
    list::ROWS,
    hash::ROWS,
    set::ROWS,
    bitmap::ROWS,
    hyperloglog::ROWS,
    zset::ROWS,
    stream::ROWS,
    geo::ROWS,
    keys::ROWS,
    scan::ROWS,
    expire::ROWS,
    object::ROWS,
    dump::ROWS,
    sort::ROWS,
    database::ROWS,
    pubsub::ROWS,
    transaction::ROWS,
    reactive::ROWS,
    connection::ROWS,
    client::ROWS,
    admin::ROWS,
    config::ROWS,
    info::ROWS,
    introspect::ROWS,
    memory::ROWS,
    latency::ROWS,
    module::ROWS,
    replication::ROWS,
    cluster::ROWS,
    expiry::ROWS,
    debug::ROWS,
];

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

/// The way from names to commands: open addressing over folded names.
struct Registry {
    /// Those of the rows, then those derived from them.
    commands: Vec<Command>,
    /// How many of them have a row.
    rows: usize,
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

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut count = 0;
        let mut number = || {
            count += 1;
            count - 1
        };
        let mut commands: Vec<Command> = FAMILIES
            .iter()
            .flat_map(|rows| rows.iter())
            .map(|spec| {
                let full_name = spec.name.to_ascii_lowercase();
                let id = number();
                let subcommands = spec
                    .subcommands
                    .iter()
                    .map(|sub| Command {
                        spec: sub,
                        id: number(),
                        full_name: format!("{full_name}|{}", sub.name.to_ascii_lowercase()),
                        subcommands: Vec::new(),
                    })
                    .collect();
                Command { spec, id, full_name, subcommands }
            })
            .collect();
        let rows = commands.len();
        let derived = FAMILIES.iter().flat_map(|rows| rows.iter()).filter_map(reactive::derived).flatten();
        commands.extend(derived.map(|spec| {
            let full_name = spec.name.to_ascii_lowercase();
            Command { spec, id: number(), full_name, subcommands: Vec::new() }
        }));
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
    })
}

/// The command of a name, in any case. O(1).
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let Registry { commands, slots, .. } = registry();
    let ends = Ends::of(name);
    let mut at = ends.hash() & (slots.len() - 1);
    loop {
        let slot = slots[at];
        let command = &commands[(slot.command as usize).checked_sub(1)?];
        if slot.ends == ends && (name.len() <= Ends::LETTERS || command.spec.name.as_bytes().eq_ignore_ascii_case(name))
        {
            return Some(command);
        }
        at = (at + 1) & (slots.len() - 1);
    }
}

/// The subcommand of a name, in any case.
pub fn lookup_subcommand(command: &'static Command, name: &[u8]) -> Option<&'static Command> {
    command.subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Every command that has a row, subcommands inside theirs.
pub fn all() -> &'static [Command] {
    let Registry { commands, rows, .. } = registry();
    &commands[..*rows]
}

/// Every command that is derived from another's row.
pub fn derived() -> &'static [Command] {
    let Registry { commands, rows, .. } = registry();
    &commands[*rows..]
}

/// How many commands and subcommands there are: one more than the highest `id`.
pub fn count() -> usize {
    registry().count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case_and_nothing_else_is() {
        for command in all() {
            let name = command.spec.name;
            for spelling in [name.to_string(), name.to_ascii_lowercase()] {
                assert_eq!(lookup(spelling.as_bytes()).map(|found| found.spec.name), Some(name));
            }
            assert!(lookup(format!("{name}_").as_bytes()).is_none());
        }
        for stranger in ["G\u{5}T", "GE\u{d4}", "\0", "GET\0", "SE\u{14}", "[ET", "Z@DD", "CONF-G", "MSETN\0"] {
            assert!(lookup(stranger.as_bytes()).is_none(), "{stranger:?}");
        }
        let folded = |byte: u8| lower_case(u64::from_le_bytes([b'A', byte, b'Z', 0, 255, byte, b'@', b'[']));
        for byte in 0..=u8::MAX {
            let low = byte.to_ascii_lowercase();
            assert_eq!(folded(byte).to_le_bytes(), [b'a', low, b'z', 0, 255, low, b'@', b'[']);
        }
        assert!(lookup(b"").is_none());
        assert!(lookup(&[0xff; 300]).is_none());
    }

    #[test]
    fn every_syntax_can_be_read() {
        for command in all() {
            for spec in std::iter::once(command.spec).chain(command.spec.subcommands) {
                let parsed = syntax::parse(spec.syntax);
                assert!(parsed.is_ok(), "{} {}: {parsed:?}", command.spec.name, spec.name);
            }
        }
    }
}
