//! Where the keys stand on a command's line: the key specifications of a row, as `COMMAND INFO` reports them, and the reading of
//! a line by them.
//!
//! A specification says where to begin and how to go on from there. Some lines cannot be read that way; then a row's own
//! finder decides ([`FindKeys`]), and a line whose number of keys is no proper number is read as leniently as Redis reads it.
//!
//! Called by the rows (which it makes), by COMMAND, and by whoever has to know a line's keys before its handler does. Knows
//! nothing of single commands, and does not judge whether a line is well formed beyond its keys.

use super::Access;
use crate::base::num;
use crate::feature::acl::{KeyAccess, KeyAsked};
use crate::resp::args::Args;

/// Where the arguments that hold keys begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At an index of the line.
    Index(usize),
    /// After a word, in any case.
    Keyword {
        /// The word.
        keyword: &'static str,
        /// Index at which the search begins; negative: counted from the end, and the search goes backwards.
        startfrom: isize,
    },
    /// The line does not tell, or not so simply.
    Unknown,
}

/// Which arguments are keys, from where they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// Every `step`th argument up to `last`.
    Range {
        /// Arguments from the first key to the last; negative: counted from the end of the line.
        last: isize,
        /// Arguments from one key to the next.
        step: usize,
        /// Only one in so many of the arguments that are left counts, if above 1. Goes with a `last` of -1.
        limit: usize,
    },
    /// As many as an argument says. Every offset counts from where the specification begins.
    Keynum {
        /// Offset of the argument that holds the number.
        number: usize,
        /// Offset of the first key.
        first: usize,
        /// Arguments from one key to the next.
        step: usize,
    },
    /// The line does not tell, or not so simply.
    Unknown,
}

/// One set of keys of a command: where they stand, and how they are used.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// How these keys are used.
    pub access: Access,
    /// Where they begin.
    pub begin: Begin,
    /// Which of the arguments from there on they are.
    pub find: Find,
    /// What the access alone does not say; usually nothing.
    pub notes: &'static str,
}

impl KeySpec {
    const fn at(access: Access, index: usize, find: Find) -> KeySpec {
        KeySpec { access, begin: Begin::Index(index), find, notes: "" }
    }

    /// One key.
    pub const fn one(access: Access, index: usize) -> KeySpec {
        KeySpec::at(access, index, Find::Range { last: 0, step: 1, limit: 0 })
    }

    /// Keys from `first` to the end, every `step` arguments.
    pub const fn rest(access: Access, first: usize, step: usize) -> KeySpec {
        KeySpec::until(access, first, -1, step)
    }

    /// Keys from `first` to `last`, all of them adjacent.
    pub const fn range(access: Access, first: usize, last: usize) -> KeySpec {
        KeySpec::until(access, first, last as isize - first as isize, 1)
    }

    /// Keys from `first` on, every `step` arguments; a negative `last` counts from the end, so that -2 leaves out the last
    /// argument (`BLPOP key [key ...] timeout`), any other from the first.
    pub const fn until(access: Access, first: usize, last: isize, step: usize) -> KeySpec {
        KeySpec::at(access, first, Find::Range { last, step, limit: 0 })
    }

    /// The number of keys at an index and the keys right after it (`LMPOP numkeys key [key ...]`).
    pub const fn keynum(access: Access, index: usize) -> KeySpec {
        KeySpec::keynum_every(access, index, 1)
    }

    /// The number of keys at an index and the keys after it, every `step` arguments (`MSETEX numkeys key value [key value ...]`).
    pub const fn keynum_every(access: Access, index: usize, step: usize) -> KeySpec {
        KeySpec::at(access, index, Find::Keynum { number: 0, first: 1, step })
    }

    /// One key after a word, which is looked for from `startfrom` on.
    pub const fn after(access: Access, keyword: &'static str, startfrom: isize) -> KeySpec {
        let begin = Begin::Keyword { keyword, startfrom };
        KeySpec { begin, ..KeySpec::one(access, 0) }
    }

    /// Keys from a word to the end, or, with a `limit`, to the first one in so many of the arguments after it: 2 for
    /// `STREAMS key [key ...] id [id ...]`, 0 for all.
    pub const fn all_after(access: Access, keyword: &'static str, startfrom: isize, limit: usize) -> KeySpec {
        let find = Find::Range { last: -1, step: 1, limit };
        KeySpec { find, ..KeySpec::after(access, keyword, startfrom) }
    }

    /// Keys that no specification can find.
    pub const fn unknown(access: Access) -> KeySpec {
        KeySpec { access, begin: Begin::Unknown, find: Find::Unknown, notes: "" }
    }

    /// The key, if every line has just this one, in the same place and used in the same way.
    pub(super) fn always(&self) -> Option<KeyUse> {
        const DEPENDS: Access = Access::NOT_KEY.with(Access::INCOMPLETE).with(Access::VARIABLE);
        match (self.begin, self.find) {
            (Begin::Index(index), Find::Range { last: 0, .. }) if !self.access.has(DEPENDS) => {
                Some(KeyUse { index, access: self.access })
            }
            _ => None,
        }
    }

    /// Adds what the access alone does not say.
    pub const fn notes(self, notes: &'static str) -> KeySpec {
        KeySpec { notes, ..self }
    }

    /// First and last key and the step, if they stand at fixed places. A negative last key counts from the end.
    const fn fixed(&self) -> Option<(usize, isize, usize)> {
        match (self.begin, self.find) {
            (Begin::Index(first), Find::Range { last, step, .. }) => {
                Some((first, if last < 0 { last } else { first as isize + last }, step))
            }
            _ => None,
        }
    }

    /// Index of the argument after a word, if it stands where it is looked for.
    fn after_keyword(line: Args<'_>, keyword: &str, startfrom: isize) -> Option<usize> {
        // The very last argument cannot be the word, as nothing would follow it.
        let is_it = |place: &usize| line.is(*place, keyword);
        let place = match usize::try_from(startfrom) {
            Ok(start) => (start..line.len().saturating_sub(1)).find(is_it),
            Err(_) => (2..=line.len().saturating_add_signed(startfrom)).rev().find(is_it),
        };
        place.map(|place| place + 1)
    }

    /// Whether all arguments from a fixed place on are keys.
    fn is_rest(&self) -> bool {
        matches!((self.begin, self.find), (Begin::Index(_), Find::Range { last: -1, limit: 0, .. }))
    }

    /// Adds the keys of a line, or `None` if they are not where the specification says. There are none after a word that is
    /// not there.
    fn add(&self, line: Args<'_>, found: &mut Vec<KeyUse>) -> Option<()> {
        let count = line.len() as i64;
        let begin = match self.begin {
            Begin::Index(index) => index,
            Begin::Keyword { keyword, startfrom } => match KeySpec::after_keyword(line, keyword, startfrom) {
                Some(index) => index,
                None => return Some(()),
            },
            Begin::Unknown => return None,
        };
        let (first, last, step) = match self.find {
            Find::Range { last, step, .. } if last >= 0 => (begin, begin as i64 + last as i64, step),
            Find::Range { last, step, limit: 0 } => (begin, count + last as i64, step),
            Find::Range { last, step, limit } => {
                let left = (count - begin as i64) / limit as i64;
                (begin, begin as i64 + left + last as i64, step)
            }
            Find::Keynum { number, first, step } => {
                let keys = line.get(begin + number).and_then(num::parse_i64).filter(|&keys| keys >= 0)?;
                let first = begin + first;
                (first, (keys - 1).checked_mul(step as i64)?.checked_add(first as i64)?, step)
            }
            Find::Unknown => return None,
        };
        // What may come at the end of a line need not be there (`PFMERGE destkey [sourcekey ...]`).
        if self.is_rest() && first as i64 == count {
            return Some(());
        }
        if last >= count || last < first as i64 {
            return None;
        }
        found.extend((first..=last as usize).step_by(step).map(|index| KeyUse { index, access: self.access }));
        (!self.access.has(Access::INCOMPLETE)).then_some(())
    }
}

/// One key of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// Index of the argument.
    pub index: usize,
    /// How this very line uses it.
    pub access: Access,
}

impl From<KeyUse> for KeyAsked {
    fn from(key: KeyUse) -> KeyAsked {
        const WRITES: Access = Access::INSERT.with(Access::DELETE).with(Access::UPDATE);
        let access = KeyAccess { read: key.access.has(Access::ACCESS), write: key.access.has(WRITES) };
        KeyAsked { place: key.index, access }
    }
}

/// Finds the keys of a line, which fits the arity, where the specifications do not: because a part of them is unknown, because
/// options change how a key is used, or because a line may mean others than they name. Adds what it finds and costs no more
/// than one pass.
pub type FindKeys = fn(line: Args<'_>, found: &mut Vec<KeyUse>);

/// The keys of a line that fits the arity, none if it has none. `finder` is the row's own.
pub(super) fn find(specs: &[KeySpec], finder: Option<FindKeys>, line: Args<'_>) -> Vec<KeyUse> {
    let mut found = Vec::new();
    if let Some(finder) = finder {
        finder(line, &mut found);
        return found;
    }
    let mut real = specs.iter().filter(|spec| !spec.access.has(Access::NOT_KEY));
    if !real.all(|spec| spec.add(line, &mut found).is_some()) {
        found.clear();
        add_leniently(specs, line, &mut found);
    }
    found
}

/// Reads a line with a number of keys that is not a proper number, `2x` or `+2`. Redis then takes its leading digits, puts the
/// key to store at behind the others, and does not know how any of them is used.
fn add_leniently(specs: &[KeySpec], line: Args<'_>, found: &mut Vec<KeyUse>) {
    let keynum = specs.iter().find_map(|spec| match (spec.begin, spec.find) {
        (Begin::Index(begin), Find::Keynum { number, first, step }) => Some((begin + number, begin + first, step)),
        _ => None,
    });
    let Some((number, first, step)) = keynum else { return };
    let keys = line.get(number).map_or(0, leading_int);
    let room = line.len().saturating_sub(first) / step;
    let Some(keys) = usize::try_from(keys).ok().filter(|keys| (1..=room).contains(keys)) else { return };
    let stored_at = specs.iter().filter_map(KeySpec::fixed).map(|(first, ..)| first);
    let indices = (first..).step_by(step).take(keys).chain(stored_at);
    found.extend(indices.map(|index| KeyUse { index, access: Access::NONE }));
}

/// The number that a text begins with, as C's `atoi` takes it: white space and a sign may come first, and only the low 32 bits
/// of a number that fits 64 remain.
fn leading_int(text: &[u8]) -> i32 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let sign = if negative { -1 } else { 1 };
    let number = digits
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0i64, |value, byte| value.saturating_mul(10).saturating_add(sign * i64::from(byte - b'0')));
    number as i32
}

/// What clients of before key specifications read of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) struct Legacy {
    /// Index of the first key; 0 without keys at fixed places.
    pub first: usize,
    /// Index of the last key; negative counts from the end.
    pub last: isize,
    /// Arguments from one key to the next.
    pub step: usize,
    /// The range does not tell all keys: what is called movable keys.
    pub movable: bool,
}

/// The one range, or the ranges that follow each other with step 1.
pub(in crate::command) const fn legacy(specs: &[KeySpec]) -> Legacy {
    let mut all = Legacy { first: 0, last: 0, step: 0, movable: false };
    if let [only] = specs
        && let Some((first, last, step)) = only.fixed()
    {
        return Legacy { first, last, step, movable: only.access.has(Access::INCOMPLETE) };
    }
    let mut index = 0;
    while index < specs.len() {
        match specs[index].fixed() {
            Some((first, last, 1)) if all.first == 0 || all.last == first as isize - 1 => {
                if all.first == 0 {
                    all.first = first;
                }
                all = Legacy { last, step: 1, ..all };
                if specs[index].access.has(Access::INCOMPLETE) {
                    all.movable = true;
                }
            }
            _ => all.movable = true,
        }
        index += 1;
    }
    all
}

#[cfg(test)]
mod tests;
