//! What a string is to be for a command to do something with it, the commands that only then delete it, and its digest.

use super::{delete, string_in};
use crate::base::xxh3::{self, Digester};
use crate::command::long::{self, PlaceInText};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::entry::{TextBuffer, Value};
use crate::store::types::roaring::Text;

const NOT_A_STRING: ReplyError = ReplyError::new("ERR Key should be of string type if conditions are specified");
const NO_CONDITION: ReplyError = ReplyError::new("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
const NOT_A_DIGEST: ReplyError = ReplyError::new("ERR must be exactly 16 hexadecimal characters");

/// What of a string is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aspect {
    /// All of it.
    Text,
    /// Its digest.
    Digest,
}

/// A comparison of a string with an argument.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison<'a> {
    aspect: Aspect,
    is_equality: bool,
    with: &'a [u8],
}

impl<'a> Comparison<'a> {
    /// The comparison that a word names.
    #[inline]
    fn named(args: Args<'a>, index: usize, with: &'a [u8]) -> Option<Comparison<'a>> {
        let (aspect, is_equality) = if args.is(index, "IFEQ") {
            (Aspect::Text, true)
        } else if args.is(index, "IFNE") {
            (Aspect::Text, false)
        } else if args.is(index, "IFDEQ") {
            (Aspect::Digest, true)
        } else if args.is(index, "IFDNE") {
            (Aspect::Digest, false)
        } else {
            return None;
        };
        Some(Comparison { aspect, is_equality, with })
    }

    /// The comparison at an index, if one is named there and an argument follows.
    #[inline]
    pub fn at(args: Args<'a>, index: usize) -> Option<Comparison<'a>> {
        Comparison::named(args, index, args.get(index + 1)?)
    }

    /// True if both compare the same in the same way, with whatever.
    pub fn is_like(&self, other: &Comparison<'_>) -> bool {
        (self.aspect, self.is_equality) == (other.aspect, other.is_equality)
    }

    /// True if a key that does not exist will do.
    #[inline]
    pub fn takes_none(&self) -> bool {
        !self.is_equality
    }

    /// Whether a string is as it should be. O(bytes) for a digest, which is looked at for its length and not for its digits, as in
    /// Redis.
    ///
    /// # Errors
    /// What is compared with cannot be a digest.
    #[inline]
    pub fn holds(&self, value: &Value<'_>) -> Result<bool, ReplyError> {
        let mut buffer = TextBuffer::new();
        let text = value.text(&mut buffer);
        let is_equal = match self.aspect {
            Aspect::Text => text == self.with,
            Aspect::Digest if self.with.len() != xxh3::DIGITS => return Err(NOT_A_DIGEST),
            Aspect::Digest => xxh3::digits(text).eq_ignore_ascii_case(self.with),
        };
        Ok(is_equal == self.is_equality)
    }
}

pub(super) fn delex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    let deleted = match args.len() {
        2 => delete(ctx, key),
        4 => match holds(ctx, args)? {
            true => delete(ctx, key),
            false => false,
        },
        _ => return Err(ReplyError::arity(&ctx.command.full_name)),
    };
    answer_deletion(ctx, key, deleted)
}

/// Whether there is a string that is as the line says.
fn holds(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<bool, ReplyError> {
    let at = ctx.at;
    // Only what there is gives Redis reason to look at the condition.
    let Some(entry) = ctx.db().lookup_read(args.at(1), at) else { return Ok(false) };
    let value = entry.string().ok_or(NOT_A_STRING)?;
    Comparison::at(args, 2).ok_or(NO_CONDITION)?.holds(&value)
}

pub(super) fn delifeq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at) = (args.at(1), ctx.at);
    let condition = Comparison { aspect: Aspect::Text, is_equality: true, with: args.at(2) };
    let is_equal = match ctx.db().lookup_uncounted(key, at) {
        Some(entry) => condition.holds(&string_in(&entry)?)?,
        None => false,
    };
    let deleted = is_equal && delete(ctx, key);
    answer_deletion(ctx, key, deleted)
}

/// Answers with 1 or 0. What is passed on is what was done, whatever it depended on.
fn answer_deletion(ctx: &mut Ctx<'_>, key: &[u8], deleted: bool) -> Outcome {
    if deleted {
        ctx.change(Change::new(EventClass::Generic, "del", key));
        ctx.propagate_as(|lines| lines.push([b"DEL".as_slice(), key]));
    }
    ctx.reply.integer(i64::from(deleted));
    Ok(Next::Done)
}

pub(super) fn digest(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(entry) = server.dbs[*db].lookup_read(args.at(1), *at) else {
        reply.null();
        return Ok(Next::Done);
    };
    let value = string_in(&entry)?;
    if limits.is_some_and(|limits| limits.is_long_text(value.len())) {
        return long::read_text(ctx, args.at(1), Digesting::default());
    }
    reply.bulk(&xxh3::digits(value.text(&mut TextBuffer::new())));
    Ok(Next::Done)
}

/// Bytes that are added at once: some microseconds.
const PIECE_BYTES: usize = 64 << 10;

/// Where DIGEST goes on.
#[derive(Debug, Default)]
struct Digesting {
    digester: Box<Digester>,
    done: usize,
}

impl PlaceInText for Digesting {
    fn go_on(&mut self, text: Text<'_>, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let mut buffer = Vec::new();
        while self.done < text.len() {
            let piece = text.part(self.done..text.len().min(self.done + PIECE_BYTES), &mut buffer);
            self.digester.add(piece);
            self.done += piece.len();
            if !slice.spend(1, piece.len()) && self.done < text.len() {
                return false;
            }
        }
        reply.bulk(&self.digester.digits());
        true
    }
}
