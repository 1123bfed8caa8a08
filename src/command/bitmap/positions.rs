//! BITRANGEINTARRAY: which bits of a string, or of part of it, are set or clear.
//!
//! They are counted before the first of them is answered, which costs little beside the answer: so it begins with its length, and one
//! that would be too long is refused.

use std::ops::Range;

use super::{Unit, bytes_of, integer, piece_of};
use crate::base::num;
use crate::command::long::{self, PlaceInText};
use crate::command::spec::Outcome;
use crate::command::string::string_in;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::entry::TextBuffer;
use crate::store::types::roaring::Text;

/// Offsets that are answered at most: some 170 MB. A string of 512 MB has 256 times as many bits.
const OFFSETS_MAX: u64 = 1 << 24;

const TOO_MANY: ReplyError = ReplyError::new("ERR more than 16777216 bits, use LIMIT");
const NO_LIMIT: ReplyError = ReplyError::new("ERR LIMIT must be positive");

/// What stands behind the ends of the range.
struct Options {
    unit: Unit,
    limit: u64,
    /// The value of the bits.
    wanted: bool,
}

impl Options {
    // COMPAT: the manual of Redis 8.12 does not say what stands twice, or whether there may be a limit of 0: as with ARSCAN.
    fn parse(args: Args<'_>) -> Result<Options, ReplyError> {
        let (mut unit, mut limit, mut zeros) = (None, None, None);
        let mut index = 4;
        while index < args.len() {
            let is_first = if args.is(index, "BYTE") {
                unit.replace(Unit::Byte).is_none()
            } else if args.is(index, "BIT") {
                unit.replace(Unit::Bit).is_none()
            } else if args.is(index, "ZEROS") {
                zeros.replace(()).is_none()
            } else if args.is(index, "LIMIT") && index + 1 < args.len() {
                index += 1;
                let number = num::parse_i64(args.at(index)).ok_or(ReplyError::NOT_AN_INTEGER)?;
                let positive = u64::try_from(number).ok().filter(|number| *number > 0);
                limit.replace(positive.ok_or(NO_LIMIT)?).is_none()
            } else {
                false
            };
            if !is_first {
                return Err(ReplyError::SYNTAX);
            }
            index += 1;
        }
        Ok(Options { unit: unit.unwrap_or(Unit::Byte), limit: limit.unwrap_or(u64::MAX), wanted: zeros.is_none() })
    }
}

pub(super) fn bitrangeintarray(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (start, end) = (integer(args, 2)?, integer(args, 3)?);
    let Options { unit, limit, wanted } = Options::parse(args)?;
    let (at, limits) = (ctx.at, ctx.job_limits());
    let Ctx { server, reply, db, .. } = ctx;
    let Some(entry) = server.dbs[*db].lookup_read(args.at(1), at) else {
        reply.array(0);
        return Ok(Next::Done);
    };
    let value = string_in(&entry)?;
    let mut buffer = TextBuffer::new();
    let text = value.held(&mut buffer);
    let bits = unit.counted_bits(start, end, text.len());
    let mut listing = Listing { left: bits.clone(), wanted, limit, state: State::Counting { bits, count: 0 } };
    // A look at the bits is cheaper than their answers: whether these are many shows when they have been counted.
    let is_long = limits.is_some_and(|limits| {
        limits.is_long_text(text.cost_bytes(bytes_of(&listing.left))) || {
            listing.count(text, |_| true);
            listing.counted().min(limit) > limits.long as u64
        }
    });
    if is_long {
        return long::read_text(ctx, args.at(1), listing);
    }
    listing.count(text, |_| true);
    listing.begin(reply)?;
    listing.answer(text, reply, |_, _| true);
    Ok(Next::Done)
}

/// Where BITRANGEINTARRAY goes on.
#[derive(Debug)]
struct Listing {
    /// Bits that have not been answered.
    left: Range<u64>,
    wanted: bool,
    /// How many of them are answered at most.
    limit: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// These have not been counted, so many have.
    Counting { bits: Range<u64>, count: u64 },
    /// So many are to be answered.
    Answering { count: u64 },
}

impl Listing {
    fn counted(&self) -> u64 {
        match self.state {
            State::Counting { count, .. } | State::Answering { count } => count,
        }
    }

    /// Counts the bits, until there are enough or `go_on`, which is told how many bytes were gone by, returns false. True at the end.
    fn count(&mut self, text: Text<'_>, mut go_on: impl FnMut(usize) -> bool) -> bool {
        let State::Counting { bits, count } = &mut self.state else { return true };
        while !bits.is_empty() && *count < self.limit {
            let piece = piece_of(bits);
            bits.start = piece.end;
            let (length, bytes) = (piece.end - piece.start, text.cost_bytes(bytes_of(&piece)));
            let set = text.count(piece);
            *count += if self.wanted { set } else { length - set };
            if !go_on(bytes) {
                return false;
            }
        }
        true
    }

    /// Begins the answer, when all are counted.
    fn begin(&mut self, reply: &mut Reply<'_>) -> Result<(), ReplyError> {
        if let State::Counting { count, .. } = self.state {
            let count = count.min(self.limit);
            if count > OFFSETS_MAX {
                return Err(TOO_MANY);
            }
            self.state = State::Answering { count };
            reply.array(count as usize);
        }
        Ok(())
    }

    /// Answers them until `go_on`, which is told of how many elements and bytes, returns false. True at the end.
    fn answer(&mut self, text: Text<'_>, reply: &mut Reply<'_>, mut go_on: impl FnMut(usize, usize) -> bool) -> bool {
        let State::Answering { count } = &mut self.state else { return false };
        while *count > 0 {
            let piece = piece_of(&self.left);
            self.left.start = piece.end;
            let bytes = text.cost_bytes(bytes_of(&piece));
            let stopped_at = text.visit(piece, self.wanted, |offset| {
                reply.unsigned(offset);
                *count -= 1;
                go_on(1, 0) && *count > 0
            });
            if let Some(next) = stopped_at {
                self.left.start = next;
                return *count == 0;
            }
            if !go_on(0, bytes) {
                return *count == 0;
            }
        }
        true
    }
}

impl PlaceInText for Listing {
    fn go_on(&mut self, text: Text<'_>, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        if !self.count(text, |bytes| slice.spend(1, bytes)) {
            return false;
        }
        if let Err(error) = self.begin(reply) {
            reply.error(&error);
            return true;
        }
        self.answer(text, reply, |elements, bytes| slice.spend(elements, bytes))
    }
}
