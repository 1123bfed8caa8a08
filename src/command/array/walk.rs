//! What goes by the used elements of a range, in its order: ARSCAN, ARGREP, AROP.
//!
//! Each is a [`Visit`] of elements, which a [`Walk`] shows one by one: at once, or as a job if there may be very many.

use std::fmt;

use super::grep::Grep;
use super::index;
use super::sum::Sum;
use crate::base::num;
use crate::command::long::{self, Place};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Reply};
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::types::array::Array;

const NO_LIMIT: ReplyError = ReplyError::new("ERR LIMIT must be positive");

/// What is done with each element.
pub(super) trait Visit: Send + fmt::Debug + 'static {
    /// What an element of so many bytes costs: as much as how many that are only answered, and of how many bytes.
    fn cost(&self, bytes: usize) -> (usize, usize) {
        (1, bytes)
    }

    /// Looks at a large element before it is seen. False if it wants to go on with that in the next slice: `go_on`, which is told what
    /// each part costs, has returned false.
    fn look(&mut self, _text: &[u8], _go_on: &mut dyn FnMut((usize, usize)) -> bool) -> bool {
        true
    }

    /// Sees an element. False if it wants to see no more.
    fn see(&mut self, index: u64, text: &[u8], reply: &mut Reply<'_>) -> bool;

    /// Answers when it has seen all.
    fn end(&mut self, reply: &mut Reply<'_>);
}

/// Goes by the elements of a range.
#[derive(Debug)]
struct Walk<V> {
    low: u64,
    high: u64,
    is_descending: bool,
    visit: V,
}

impl<V: Visit> Walk<V> {
    /// Goes on until `go_on` returns false, which is told what each element costs. True at the end, when it has been answered.
    fn go_on(&mut self, array: &Array, reply: &mut Reply<'_>, mut go_on: impl FnMut((usize, usize)) -> bool) -> bool {
        let mut elements = array.range(self.low, self.high);
        while let Some((index, text)) = if self.is_descending { elements.next_back() } else { elements.next() } {
            if !self.visit.look(text, &mut go_on) {
                return false;
            }
            let wants_more = self.visit.see(index, text, reply);
            let is_last = if self.is_descending { index == self.low } else { index == self.high };
            if !wants_more || is_last {
                break;
            }
            if self.is_descending {
                self.high = index - 1;
            } else {
                self.low = index + 1;
            }
            if !go_on(self.visit.cost(text.len())) {
                return false;
            }
        }
        self.visit.end(reply);
        true
    }
}

impl<V: Visit> Place<Array> for Walk<V> {
    fn go_on(&mut self, array: &Array, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        Walk::go_on(self, array, reply, |(elements, bytes)| slice.spend(elements, bytes))
    }
}

/// Walks from one index to another, which may be the lower one. Where there is no array nothing is seen.
fn walk<V: Visit>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    ends: impl FnOnce(&Array) -> (u64, u64),
    limit: usize,
    mut visit: V,
) -> Outcome {
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(array) = server.dbs[*db].read::<Array>(key, *at)? else {
        visit.end(reply);
        return Ok(Next::Done);
    };
    let (first, last) = ends(&array);
    let (low, high) = (first.min(last), first.max(last));
    let mut walk = Walk { low, high, is_descending: first > last, visit };
    // No more are counted than it takes to be long.
    let is_long = limits.is_some_and(|limits| {
        let elements = array.range(low, high).take(limits.long.saturating_add(1)).count();
        limits.is_long(elements.min(limit) * walk.visit.cost(0).0, &*array)
    });
    if is_long {
        return long::read_key(ctx, key, walk);
    }
    walk.go_on(&array, reply, |_| true);
    Ok(Next::Done)
}

/// Elements as they are answered: their indexes, perhaps with their texts.
#[derive(Debug)]
pub(super) struct Found {
    array: Option<OpenArray>,
    count: usize,
    limit: usize,
    has_texts: bool,
}

impl Found {
    /// Up to so many.
    pub fn new(limit: usize, has_texts: bool) -> Found {
        Found { array: None, count: 0, limit, has_texts }
    }

    /// The same with another end.
    pub fn up_to(self, limit: usize) -> Found {
        Found { limit, ..self }
    }

    /// Answers one. False if that was the last.
    pub fn write(&mut self, index: u64, text: &[u8], reply: &mut Reply<'_>) -> bool {
        if self.array.is_none() {
            self.array = Some(reply.open_array(0));
        }
        if self.has_texts {
            reply.array(2);
        }
        reply.unsigned(index);
        if self.has_texts {
            reply.bulk(text);
        }
        self.count += 1;
        self.count < self.limit
    }

    /// Ends the answer.
    pub fn end(&mut self, reply: &mut Reply<'_>) {
        match self.array.take() {
            Some(array) => reply.close_array(array, self.count),
            None => reply.array(0),
        }
    }
}

impl Visit for Found {
    fn see(&mut self, index: u64, text: &[u8], reply: &mut Reply<'_>) -> bool {
        self.write(index, text, reply)
    }

    fn end(&mut self, reply: &mut Reply<'_>) {
        Found::end(self, reply);
    }
}

/// How many are answered at most.
pub(super) fn parse_limit(text: &[u8]) -> Result<usize, ReplyError> {
    let limit = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    usize::try_from(limit).ok().filter(|limit| *limit > 0).ok_or(NO_LIMIT)
}

pub(super) fn arscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (first, last) = (index(args.at(2))?, index(args.at(3))?);
    let limit = match args.len() {
        4 => usize::MAX,
        6 if args.is(4, "LIMIT") => parse_limit(args.at(5))?,
        6 => return Err(ReplyError::SYNTAX),
        _ => return Err(ReplyError::arity(&ctx.command.full_name)),
    };
    walk(ctx, args.at(1), |_| (first, last), limit, Found::new(limit, true))
}

/// An end of the range that ARGREP looks at: `-` and `+` are those of the array.
fn grep_end(text: &[u8], array: &Array) -> Result<u64, ReplyError> {
    match text {
        b"-" => Ok(0),
        b"+" => Ok(array.extent().saturating_sub(1)),
        _ => index(text),
    }
}

pub(super) fn argrep(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let none = Array::default();
    grep_end(args.at(2), &none)?;
    grep_end(args.at(3), &none)?;
    let (grep, limit) = Grep::parse(args)?;
    let end = |array: &Array, at: usize| grep_end(args.at(at), array).unwrap_or(0);
    // Who finds little goes by all of it.
    walk(ctx, args.at(1), |array| (end(array, 2), end(array, 3)), usize::MAX, grep.up_to(limit))
}

pub(super) fn arop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (first, last) = (index(args.at(2))?, index(args.at(3))?);
    let sum = Sum::parse(ctx.command, args)?;
    walk(ctx, args.at(1), |_| (first, last), usize::MAX, sum)
}
