//! Every command: its row and its handler, by family; and the way from a name to its row.
//!
//! To add a command, add a row and the handler under it in the family's file. Nothing else lists commands.

pub mod admin;
pub mod client;
mod collection;
pub mod config;
pub mod connection;
pub mod database;
pub mod debug;
pub mod expire;
pub mod expiry;
pub mod hash;
mod help;
pub mod info;
pub mod introspect;
pub mod keyfind;
pub mod keys;
pub mod keyspec;
pub mod memory;
pub mod object;
#[cfg(test)]
mod probe;
pub mod pubsub;
pub mod readme;
pub mod scan;
pub mod set;
pub mod spec;
pub mod string;
pub mod syntax;
pub mod transaction;

use std::sync::OnceLock;

use spec::Spec;

/// The families, in the order of the README's table.
const FAMILIES: &[&[Spec]] = &[
    string::ROWS,
    hash::ROWS,
    set::ROWS,
    keys::ROWS,
    scan::ROWS,
    expire::ROWS,
    object::ROWS,
    database::ROWS,
    pubsub::ROWS,
    transaction::ROWS,
    connection::ROWS,
    client::ROWS,
    admin::ROWS,
    config::ROWS,
    info::ROWS,
    introspect::ROWS,
    memory::ROWS,
    expiry::ROWS,
    debug::ROWS,
    #[cfg(test)]
    probe::ROWS,
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
    commands: Vec<Command>,
    count: usize,
    /// Index into `commands` + 1; 0 is empty. At most half full.
    slots: Vec<u16>,
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let mut count = 0;
        let mut number = || {
            count += 1;
            count - 1
        };
        let commands: Vec<Command> = FAMILIES
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
        let mut slots = vec![0u16; (2 * commands.len()).next_power_of_two().max(1024)];
        for (index, command) in commands.iter().enumerate() {
            let mut slot = fold_hash(command.spec.name.as_bytes()) & (slots.len() - 1);
            while slots[slot] != 0 {
                slot = (slot + 1) & (slots.len() - 1);
            }
            slots[slot] = index as u16 + 1;
        }
        Registry { commands, count, slots }
    })
}

/// A hash of a name's length and of its first and last four letters, their case bit left out.
fn fold_hash(name: &[u8]) -> usize {
    const CASE: u64 = 0x2020_2020_2020_2020;
    // Overlapping loads of a fixed size, so that no length needs a copy loop.
    let half = |part: &[u8]| u64::from(u32::from_le_bytes([part[0], part[1], part[2], part[3]]));
    let (head, tail) = match *name {
        [] => (0, 0),
        [a] => (u64::from(a), 0),
        [a, .., z] if name.len() < 4 => (u64::from(a), u64::from(name[1]) | u64::from(z) << 8),
        _ => (half(name), half(&name[name.len() - 4..])),
    };
    let (head, tail) = (head | CASE, tail | CASE);
    let mixed = (head ^ tail.rotate_left(23) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as usize
}

/// The command of a name, in any case. O(1).
#[inline]
pub fn lookup(name: &[u8]) -> Option<&'static Command> {
    let Registry { commands, slots, .. } = registry();
    let mut slot = fold_hash(name) & (slots.len() - 1);
    loop {
        let command = &commands[(slots[slot] as usize).checked_sub(1)?];
        if command.spec.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(command);
        }
        slot = (slot + 1) & (slots.len() - 1);
    }
}

/// The subcommand of a name, in any case.
pub fn lookup_subcommand(command: &'static Command, name: &[u8]) -> Option<&'static Command> {
    command.subcommands.iter().find(|sub| sub.spec.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Every command, subcommands inside theirs.
pub fn all() -> &'static [Command] {
    &registry().commands
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
            assert!(lookup(format!("{name}X").as_bytes()).is_none());
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
