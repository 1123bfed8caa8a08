//! Registers as runs of equal ones, for HyperLogLogs with few elements.
//!
//! ```text
//! 00nnnnnn            n + 1 zeros
//! 01nnnnnn nnnnnnnn   n + 1 zeros, the high bits first
//! 1vvvvvnn            n + 1 registers of value v + 1
//! ```
//! The runs of a whole string cover every register once, in order. How neighbouring runs are split is part of the bytes that
//! Redis writes, so what a raised register does to them is followed step by step rather than written in the shortest way.

use super::{Corrupt, HEADER_BYTES, Mark, REGISTERS};

/// The highest value that fits a run.
const VALUE_MAX: u8 = 32;
/// The most registers in a run of values.
const VALUES_MAX: usize = 4;
/// The most registers in a run of zeros of one byte.
const SHORT_ZEROS_MAX: usize = 64;

/// Runs looked at for a chance to join two, from the one before the change on.
const JOIN_LOOKS: usize = 5;

/// Registers of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// So many zeros, up to 16384.
    Zeros(usize),
    /// Registers of 1 to 32, up to 4 of them.
    Values {
        /// The value.
        value: u8,
        /// How many.
        count: usize,
    },
}

impl Run {
    /// The run that begins the bytes, and its length in bytes; `None` at their end.
    // COMPAT: the second byte of a run of zeros that is cut off counts as 0, as the NUL that Redis has after every string. Where
    // such a run is split, ours is whole afterwards, while the string of Redis is one byte too short once more.
    fn read(bytes: &[u8]) -> Option<(Run, usize)> {
        let (&first, rest) = bytes.split_first()?;
        let low = usize::from(first & 0x3f);
        Some(match first >> 6 {
            0 => (Run::Zeros(low + 1), 1),
            1 => (Run::Zeros((low << 8 | usize::from(rest.first().copied().unwrap_or(0))) + 1), 2),
            _ => (Run::Values { value: (first >> 2 & 0x1f) + 1, count: usize::from(first & 3) + 1 }, 1),
        })
    }

    /// Appends the run's bytes.
    pub fn write(self, bytes: &mut Vec<u8>) {
        match self {
            Run::Zeros(count) if count <= SHORT_ZEROS_MAX => bytes.push(count as u8 - 1),
            Run::Zeros(count) => bytes.extend_from_slice(&(0x4000 | (count as u16 - 1)).to_be_bytes()),
            Run::Values { value, count } => bytes.push(0x80 | (value - 1) << 2 | (count as u8 - 1)),
        }
    }

    fn count(self) -> usize {
        match self {
            Run::Zeros(count) | Run::Values { count, .. } => count,
        }
    }

    fn value(self) -> u8 {
        match self {
            Run::Zeros(_) => 0,
            Run::Values { value, .. } => value,
        }
    }

    /// The same value, another number of times.
    fn times(self, count: usize) -> Run {
        match self {
            Run::Zeros(_) => Run::Zeros(count),
            Run::Values { value, .. } => Run::Values { value, count },
        }
    }
}

/// Hands every run to `visit`, with the index of its first register.
///
/// # Errors
///
/// [`Corrupt`] if the runs do not cover every register once; those before that was noticed have been visited, none of
/// which goes beyond the last register.
pub fn each_run(body: &[u8], mut visit: impl FnMut(usize, Run)) -> Result<(), Corrupt> {
    let (mut rest, mut first) = (body, 0);
    while let Some((run, width)) = Run::read(rest) {
        if first + run.count() > REGISTERS {
            return Err(Corrupt);
        }
        visit(first, run);
        first += run.count();
        rest = rest.get(width..).unwrap_or_default();
    }
    if first == REGISTERS { Ok(()) } else { Err(Corrupt) }
}

/// The runs in the words of PFDEBUG DECODE.
pub fn decode(body: &[u8]) -> String {
    let (mut rest, mut words) = (body, Vec::new());
    while let Some((run, width)) = Run::read(rest) {
        words.push(match (run, width) {
            (Run::Zeros(count), 1) => format!("z:{count}"),
            (Run::Zeros(count), _) => format!("Z:{count}"),
            (Run::Values { value, count }, _) => format!("v:{value},{count}"),
        });
        rest = rest.get(width..).unwrap_or_default();
    }
    words.join(" ")
}

/// Where a run begins.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cursor {
    /// Its place in the body.
    at: usize,
    /// The place of the run before it, or its own if it is the first.
    previous: usize,
    /// Index of its first register.
    first: usize,
}

/// The run that covers a register.
struct Place {
    run: Run,
    /// Its length in bytes.
    width: usize,
    here: Cursor,
    /// A run that still begins there after this one was split and joined with its neighbours: the one before it, or if the
    /// search began too late to know that one whole, the first.
    resume: Cursor,
}

/// Finds the run of a register that is not before the cursor.
fn find(body: &[u8], register: usize, from: Cursor) -> Result<Place, Corrupt> {
    let (mut here, mut resume) = (from, Cursor::default());
    while let Some((run, width)) = Run::read(body.get(here.at..).unwrap_or_default()) {
        if register < here.first + run.count() {
            return Ok(Place { run, width, here, resume });
        }
        resume = here;
        here = Cursor { at: here.at + width, previous: here.at, first: here.first + run.count() };
    }
    Err(Corrupt)
}

/// Whether a mark would raise its register. O(runs).
pub fn is_raised_by(body: &[u8], mark: Mark) -> Result<bool, Corrupt> {
    // No run has such a value, so there is no need to look.
    if mark.value > VALUE_MAX {
        return Ok(true);
    }
    Ok(find(body, mark.register, Cursor::default())?.run.value() < mark.value)
}

/// What became of a register that was to be raised.
pub enum Raised {
    /// It was high enough.
    No,
    /// It has the new value.
    Yes,
    /// Nothing changed: the value does not fit a run, or the string would become too long.
    NeedsDense,
}

/// Raises a register of a whole string, header included. The search starts at the cursor, which must be the default one or
/// come from a register that is not after this one, and leaves it for the next. O(bytes).
pub fn raise(bytes: &mut Vec<u8>, mark: Mark, bytes_max: usize, cursor: &mut Cursor) -> Result<Raised, Corrupt> {
    if mark.value > VALUE_MAX {
        return Ok(Raised::NeedsDense);
    }
    let Place { run, width, here, resume } = find(&bytes[HEADER_BYTES..], mark.register, *cursor)?;
    let Cursor { at, previous, first } = here;
    *cursor = resume;
    if run.value() >= mark.value {
        return Ok(Raised::No);
    }
    let mut replacement = Vec::with_capacity(5);
    let (before, after) = (mark.register - first, first + run.count() - 1 - mark.register);
    if before > 0 {
        run.times(before).write(&mut replacement);
    }
    Run::Values { value: mark.value, count: 1 }.write(&mut replacement);
    if after > 0 {
        run.times(after).write(&mut replacement);
    }
    if replacement.len() > width && bytes.len() + replacement.len() - width > bytes_max {
        return Ok(Raised::NeedsDense);
    }
    let at = HEADER_BYTES + at;
    let end = bytes.len().min(at + width);
    bytes.splice(at..end, replacement);
    join(bytes, HEADER_BYTES + previous);
    Ok(Raised::Yes)
}

/// Joins neighbouring runs of the same value, as far as they fit one run, from the run at `at` on.
fn join(bytes: &mut Vec<u8>, mut at: usize) {
    for _ in 0..JOIN_LOOKS {
        let Some((run, width)) = Run::read(bytes.get(at..).unwrap_or_default()) else { return };
        if let Run::Values { value, count } = run
            && let Some((Run::Values { value: next_value, count: next_count }, _)) = Run::read(&bytes[at + 1..])
            && value == next_value
            && count + next_count <= VALUES_MAX
        {
            bytes.remove(at);
            bytes[at] += count as u8;
            continue;
        }
        at += width;
    }
}
