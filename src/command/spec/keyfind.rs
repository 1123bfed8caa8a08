//! The keys of the commands whose key specifications do not tell them: one finder for each such command, named by its row.
//!
//! A finder reads the options as far as it takes to find the keys and leaves errors to the handler. Where a line is broken it
//! answers as Redis does, byte for byte, because proxies compare.
//!
//! Called through the rows. Knows nothing of handlers or data.

use super::{Access, KeyUse};
use crate::resp::args::Args;

const READ: Access = Access::RO.with(Access::ACCESS);
const OVERWRITE: Access = Access::OW.with(Access::UPDATE);
const CHANGE: Access = Access::RW.with(Access::ACCESS).with(Access::UPDATE);
const TAKE: Access = Access::RW.with(Access::ACCESS).with(Access::DELETE);

/// The number of arguments that belong to an option, or `None` for a word that is none of the options.
fn taken_by(line: Args<'_>, index: usize, options: &[(&str, usize)]) -> Option<usize> {
    options.iter().find(|(name, _)| line.is(index, name)).map(|(_, takes)| *takes)
}

/// The conditions that compare a string with an argument.
const COMPARISONS: &[(&str, usize)] = &[("IFEQ", 1), ("IFNE", 1), ("IFDEQ", 1), ("IFDNE", 1)];

/// SET: only reads the old value if asked for it, or to compare it, which tells nothing of it.
pub fn set(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let has = |options| (3..line.len()).any(|index| taken_by(line, index, options).is_some());
    let access = match has(&[("GET", 0)]) {
        true => CHANGE,
        false if has(COMPARISONS) => Access::RW.with(Access::UPDATE),
        false => OVERWRITE,
    };
    found.push(KeyUse { index: 1, access });
}

/// DELEX: only reads what it compares.
pub fn delex(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let compares = (2..line.len()).any(|index| taken_by(line, index, COMPARISONS).is_some());
    let access = if compares { Access::RW } else { Access::RM };
    found.push(KeyUse { index: 1, access: access.with(Access::DELETE) });
}

/// BITFIELD: only reads if it only gets.
pub fn bitfield(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let mut index = 2;
    let mut access = READ;
    while index < line.len() {
        let takes = match taken_by(line, index, &[("GET", 2), ("OVERFLOW", 1)]) {
            Some(takes) if line.len() - index > takes => takes,
            _ => {
                access = CHANGE;
                break;
            }
        };
        index += 1 + takes;
    }
    found.push(KeyUse { index: 1, access });
}

/// SORT: the list, and the last key to store at.
pub fn sort(line: Args<'_>, found: &mut Vec<KeyUse>) {
    sort_ro(line, found);
    let mut stored_at = None;
    let mut index = 2;
    while index < line.len() {
        match taken_by(line, index, &[("LIMIT", 2), ("GET", 1), ("BY", 1)]) {
            Some(takes) => index += takes,
            None if line.is(index, "STORE") && index + 1 < line.len() => stored_at = Some(index + 1),
            None => {}
        }
        index += 1;
    }
    found.extend(stored_at.map(|index| KeyUse { index, access: OVERWRITE }));
}

/// SORT_RO: the list alone. What the patterns lead to cannot be told from the line.
pub fn sort_ro(_line: Args<'_>, found: &mut Vec<KeyUse>) {
    found.push(KeyUse { index: 1, access: READ });
}

/// MIGRATE: the one key, or those after KEYS if the one is the empty word.
pub fn migrate(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let mut keys = 3..4;
    let mut index = 6;
    while index < line.len() {
        if line.is(index, "KEYS") && index + 1 < line.len() {
            // Both the one key and others: an error, so no key at all.
            keys = if line.at(3).is_empty() { index + 1..line.len() } else { 0..0 };
            break;
        }
        index += 1 + taken_by(line, index, &[("AUTH", 1), ("AUTH2", 2)]).unwrap_or(0);
    }
    found.extend(keys.map(|index| KeyUse { index, access: TAKE }));
}

/// GEORADIUS: the sorted set, and where to store. Of several places the last counts; the others are named as well, as the key
/// specifications name them.
pub fn georadius(line: Args<'_>, found: &mut Vec<KeyUse>) {
    around(line, 6, found);
}

/// GEORADIUSBYMEMBER: the same, one argument earlier.
pub fn georadiusbymember(line: Args<'_>, found: &mut Vec<KeyUse>) {
    around(line, 5, found);
}

fn around(line: Args<'_>, first_option: usize, found: &mut Vec<KeyUse>) {
    found.push(KeyUse { index: 1, access: READ });
    let is_store = |index: usize| line.is(index, "STORE") || line.is(index, "STOREDIST");
    let (mut last, mut index) = (None, first_option);
    while index + 1 < line.len() {
        if is_store(index) {
            index += 1;
            last = Some(index);
        }
        index += 1;
    }
    let words = first_option..line.len().saturating_sub(1);
    let named =
        ["STORE", "STOREDIST"].map(|word| words.clone().find(|index| line.is(*index, word)).map(|index| index + 1));
    let used = last.filter(|last| !named.contains(&Some(*last)));
    found.extend(named.into_iter().chain([used]).flatten().map(|index| KeyUse { index, access: OVERWRITE }));
}

/// XREADGROUP: the keys after the word STREAMS that is no value of another option. Before it there is GROUP with its two names.
pub fn xreadgroup(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let mut index = 1;
    while index < line.len() && !line.is(index, "STREAMS") {
        index += 1 + taken_by(line, index, &[("GROUP", 2), ("COUNT", 1), ("BLOCK", 1)]).unwrap_or(0);
    }
    let first = index + 1;
    let keys = if index < 4 { 0 } else { line.len().saturating_sub(first) / 2 };
    found.extend((first..first + keys).map(|index| KeyUse { index, access: READ }));
}
