//! BITFIELD and BITFIELD_RO: integers of any width inside a string.
//!
//! A line is read whole before anything happens. Writes make the string as long as the farthest of them needs, even if
//! they are then refused for overflow; reads see what earlier writes of the same line left.

use super::{bytes_up_to, checked_offset, compressed};
use crate::base::num;
use crate::command::spec::Outcome;
use crate::command::string::range;
use crate::command::string::string_in;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::entry::TextBuffer;
use crate::store::types::bitmap::{Field, Overflow};
use crate::store::types::roaring::{Roaring, Text};

const TYPE: ReplyError =
    ReplyError::new("ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
const OVERFLOW_TYPE: ReplyError = ReplyError::new("ERR Invalid OVERFLOW type specified");
const READ_ONLY: ReplyError = ReplyError::new("ERR BITFIELD_RO only supports the GET subcommand");

/// What is done with a field.
#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64, Overflow),
    Add(i64, Overflow),
}

/// The string that is written to, which is long enough.
enum Bits<'b> {
    Plain(&'b mut [u8]),
    Roaring(&'b mut Roaring),
}

/// One operation of a line.
struct Step {
    field: Field,
    offset: u64,
    action: Action,
}

impl Step {
    fn is_write(&self) -> bool {
        !matches!(self.action, Action::Get)
    }

    /// Does it and replies. True if it counts as a change: if it was not refused, and the bits or the string's length
    /// are not what they were.
    fn run(&self, bits: &mut Bits<'_>, reply: &mut Reply<'_>, grown: bool) -> bool {
        let old = match bits {
            Bits::Plain(bytes) => self.field.read(bytes, self.offset),
            Bits::Roaring(roaring) => roaring.field(self.field, self.offset),
        };
        let (new, answer) = match self.action {
            Action::Get => (None, Some(old)),
            Action::Set(number, overflow) => {
                let new = self.field.convert(number, overflow);
                (new, new.map(|_| old))
            }
            Action::Add(increment, overflow) => {
                let new = self.field.add(old, increment, overflow);
                (new, new)
            }
        };
        match answer {
            Some(answer) => reply.integer(answer),
            None => reply.null(),
        }
        let Some(new) = new else { return false };
        match bits {
            Bits::Plain(bytes) => self.field.write(bytes, self.offset, new),
            Bits::Roaring(roaring) => roaring.set_field(self.field, self.offset, new),
        }
        grown || new != old
    }
}

/// The keywords of BITFIELD and how many arguments follow each.
fn parse_keyword(args: &[&[u8]]) -> Option<Keyword> {
    let (word, rest) = args.split_first()?;
    let keywords = [
        ("GET", Keyword::Get, 2),
        ("SET", Keyword::Set, 3),
        ("INCRBY", Keyword::IncrBy, 3),
        ("OVERFLOW", Keyword::Overflow, 1),
    ];
    let (_, keyword, count) = keywords.into_iter().find(|(name, ..)| word.eq_ignore_ascii_case(name.as_bytes()))?;
    (rest.len() >= count).then_some(keyword)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Keyword {
    Get,
    Set,
    IncrBy,
    Overflow,
}

impl Keyword {
    /// Arguments from one keyword to the next.
    fn width(self) -> usize {
        match self {
            Keyword::Overflow => 2,
            Keyword::Get => 3,
            Keyword::Set | Keyword::IncrBy => 4,
        }
    }
}

fn parse(ctx: &Ctx<'_>, args: Args<'_>) -> Result<Vec<Step>, ReplyError> {
    let args: Vec<&[u8]> = args.iter_from(2).collect();
    let (mut steps, mut overflow, mut rest) = (Vec::new(), Overflow::Wrap, &args[..]);
    while !rest.is_empty() {
        let keyword = parse_keyword(rest).ok_or(ReplyError::SYNTAX)?;
        if keyword == Keyword::Overflow {
            overflow = parse_overflow(rest[1])?;
        } else {
            let field = parse_field(rest[1])?;
            let offset = parse_offset(ctx, rest[2], field)?;
            let number = || num::parse_i64(rest[3]).ok_or(ReplyError::NOT_AN_INTEGER);
            let action = match keyword {
                Keyword::Set => Action::Set(number()?, overflow),
                Keyword::IncrBy => Action::Add(number()?, overflow),
                Keyword::Get | Keyword::Overflow => Action::Get,
            };
            steps.push(Step { field, offset, action });
        }
        rest = &rest[keyword.width()..];
    }
    Ok(steps)
}

fn parse_overflow(word: &[u8]) -> Result<Overflow, ReplyError> {
    let kinds = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    let kind = kinds.into_iter().find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()));
    kind.map(|(_, kind)| kind).ok_or(OVERFLOW_TYPE)
}

fn parse_field(word: &[u8]) -> Result<Field, ReplyError> {
    let (signed, digits, bits_max) = match word {
        [b'i', digits @ ..] => (true, digits, 64),
        [b'u', digits @ ..] => (false, digits, 63),
        _ => return Err(TYPE),
    };
    // COMPAT: as in Redis, a NUL ends the word.
    let digits = digits.split(|&byte| byte == 0).next().unwrap_or_default();
    let bits = num::parse_i64(digits).filter(|bits| (1..=bits_max).contains(bits)).ok_or(TYPE)?;
    Ok(Field { signed, bits: bits as u32 })
}

/// An offset in bits, or after a `#` in fields.
// COMPAT: a product beyond 64 bits is refused; Redis takes what is left of it.
fn parse_offset(ctx: &Ctx<'_>, word: &[u8], field: Field) -> Result<u64, ReplyError> {
    let offset = match word {
        [b'#', index @ ..] => num::parse_i64(index).and_then(|index| index.checked_mul(i64::from(field.bits))),
        _ => num::parse_i64(word),
    };
    checked_offset(offset, ctx)
}

pub(super) fn bitfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let steps = parse(ctx, args)?;
    match steps.iter().filter(|step| step.is_write()).map(|step| step.offset + u64::from(step.field.bits) - 1).max() {
        Some(last_bit) => write(ctx, args.at(1), &steps, bytes_up_to(last_bit)?),
        None => read(ctx, args.at(1), &steps),
    }
}

pub(super) fn bitfield_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let steps = parse(ctx, args)?;
    if steps.iter().any(Step::is_write) {
        return Err(READ_ONLY);
    }
    read(ctx, args.at(1), &steps)
}

fn read(ctx: &mut Ctx<'_>, key: &[u8], steps: &[Step]) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let entry = server.dbs[*db].lookup_read(key, *at);
    let value = entry.as_deref().map(string_in).transpose()?;
    let mut buffer = TextBuffer::new();
    let text = value.as_ref().map_or(Text::Plain(b""), |value| value.held(&mut buffer));
    reply.array(steps.len());
    steps.iter().for_each(|step| reply.integer(text.field(step.field, step.offset)));
    Ok(Next::Done)
}

/// Runs a line that writes, on a string of at least `length` bytes.
fn write(ctx: &mut Ctx<'_>, key: &[u8], steps: &[Step], length: usize) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let compresses = server.config.bitmap_default_roaring;
    let db = &mut server.dbs[*db];
    let mut run = |mut bits: Bits<'_>, grown: bool| {
        reply.array(steps.len());
        let mut changes = 0;
        for step in steps {
            changes += usize::from(step.run(&mut bits, reply, grown));
        }
        changes
    };
    let (grown, written) = if let Some(mut slot) = db.lookup_write(key, *at) {
        let grown = length > string_in(&slot)?.len();
        let written = match compressed::prepare(&mut slot, length, compresses)? {
            true => slot.edit_roaring(|roaring| run(Bits::Roaring(roaring), grown)),
            false => slot.edit_bytes(|bytes| run(Bits::Plain(bytes), grown)),
        };
        compressed::settle(&mut slot)?;
        (grown, written.unwrap_or(0))
    } else if compresses && Roaring::suits(length, 0) {
        let mut roaring = Roaring::zeros(length);
        let changes = run(Bits::Roaring(&mut roaring), true);
        compressed::insert(db, key, roaring, *at);
        (true, changes)
    } else {
        let mut bytes = range::zeros(length)?;
        let changes = run(Bits::Plain(&mut bytes), true);
        range::insert_raw(db, key, bytes, *at);
        (true, changes)
    };
    // A string that grew or came to be has changed, even if every write was refused.
    let changes = written.max(usize::from(grown));
    if changes > 0 {
        ctx.change(Change::new(EventClass::String, "setbit", key).times(changes));
    }
    Ok(Next::Done)
}
