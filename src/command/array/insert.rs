//! What puts elements where the array's own index points to: behind each other (ARINSERT), or round a ring (ARRING), whose size is
//! given each time. ARSEEK says where that index points to.
//!
//! # A ring that gets another size
//! The ring is what is below the array's extent. If it is to be smaller, or larger after it has gone round, what is kept of it is laid out
//! anew from index 0 on: the newest elements, as many as there are without a gap and as the new size holds, the oldest first. That may
//! be very many: it is done piece by piece, as is the rest of a long line.

use super::{BAD_INDEX, changed};
use crate::base::num;
use crate::command::pieces::{PIECE_ELEMENTS_MAX, extent};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::types::Collection;
use crate::store::types::array::{Array, INDEX_MAX};

const NO_INDEX_LEFT: ReplyError = ReplyError::new("ERR insert index overflow");
const BAD_SIZE: ReplyError = ReplyError::new("ERR invalid size");
const NO_SIZE: ReplyError = ReplyError::new("ERR size must be positive");

pub(super) fn arinsert(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    begin(ctx, args, Inserting { name: "ARINSERT", event: "arinsert", first: 2, ..Inserting::default() })
}

pub(super) fn arring(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let size = num::parse_i64(args.at(2)).ok_or(BAD_SIZE)?;
    let size = u64::try_from(size).ok().filter(|size| *size > 0).ok_or(NO_SIZE)?;
    begin(ctx, args, Inserting { name: "ARRING", event: "arring", first: 3, size: Some(size), ..Inserting::default() })
}

fn begin(ctx: &mut Ctx<'_>, args: Args<'_>, mut inserting: Inserting) -> Outcome {
    inserting.next = inserting.first;
    let at = ctx.at;
    let work = match ctx.server.dbs[ctx.db].reread::<Array>(args.at(1), at)? {
        Some(array) => inserting.check(&array, args)?,
        None => 0,
    };
    if ctx.is_long_line(args) || ctx.is_long(work) {
        return ctx.go_on_in_pieces(inserting);
    }
    while !inserting.step(ctx, args, usize::MAX)?.1 {}
    Ok(Next::Done)
}

/// Elements that are inserted.
#[derive(Debug, Default)]
struct Inserting {
    name: &'static str,
    event: &'static str,
    /// The argument that is the first value.
    first: usize,
    /// The argument at which the next piece begins.
    next: usize,
    /// Of the ring; `None` if there is none.
    size: Option<u64>,
    /// How far the ring has been laid out anew.
    layout: Layout,
    last: u64,
}

/// How far a ring has been laid out anew.
#[derive(Debug, Default)]
enum Layout {
    /// Not looked at.
    #[default]
    Unknown,
    /// It is counted how many of the newest elements are kept, up to a number: so many so far.
    Counting { keep: u64, kept: u64 },
    /// So many of them have been copied.
    Copying { kept: u64, copy: Array },
    /// It is as it should be.
    Done,
}

/// The index of the newest element of a ring of this extent but for so many.
fn newest(array: &Array, extent: u64, back: u64) -> u64 {
    let next = array.next().unwrap_or(INDEX_MAX + 1);
    let anchor = if next == 0 { extent - 1 } else { (next - 1) % extent };
    if back <= anchor { anchor - back } else { extent - (back - anchor) }
}

impl Inserting {
    /// How many elements have to be laid out anew, at most.
    fn check(&self, array: &Array, args: Args<'_>) -> Result<usize, ReplyError> {
        match self.size {
            None => {
                let next = array.next().ok_or(NO_INDEX_LEFT)?;
                let last = next.checked_add((args.len() - self.first - 1) as u64);
                last.filter(|last| *last <= INDEX_MAX).ok_or(NO_INDEX_LEFT)?;
                Ok(0)
            }
            Some(size) => Ok(Inserting::kept_of(array, size).map_or(0, |_| array.len())),
        }
    }

    /// How many elements of a ring are kept at most that is to have a size, if it has to be laid out anew.
    fn kept_of(array: &Array, size: u64) -> Option<u64> {
        let extent = array.extent();
        let has_gone_round = array.next().is_some_and(|next| next != 0 && next < extent);
        let is_changed = size < extent || (size > extent && has_gone_round);
        (extent > 0 && is_changed).then_some(size.min(extent))
    }

    /// Does the next piece, of so many elements at most: what it has cost, and whether it was the last.
    fn step(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, left: usize) -> Result<((usize, usize), bool), ReplyError> {
        let (key, at) = (args.at(1), ctx.at);
        if let (Some(size), false) = (self.size, matches!(self.layout, Layout::Done)) {
            let cost = self.lay_out(ctx, key, size, left.min(PIECE_ELEMENTS_MAX))?;
            if !matches!(self.layout, Layout::Done) {
                return Ok(((cost, 0), false));
            }
            // What has just been laid out anew is told of with the elements that follow.
        }
        let (end, bytes) = extent(args, self.next, 1, left);
        let values = args.iter_from(self.next).take(end - self.next);
        let mut array = ctx.db().write_or_create(key, at, Array::default)?;
        if self.next == self.first {
            self.check(&array, args)?;
        }
        for text in values.clone() {
            let next = array.next().unwrap_or(INDEX_MAX + 1);
            let index = self.size.map_or(next, |size| next % size);
            array.set(index, text);
            array.seek(Some(index + 1));
            self.last = index;
        }
        drop(array);
        let count = end - self.next;
        changed(ctx, self.event, key, count);
        let (name, size) = (self.name.as_bytes(), self.size);
        self.next = end;
        let is_last = end == args.len();
        ctx.propagate_as(|lines| match size {
            None => lines.push([name, key].into_iter().chain(values)),
            // Once the ring has its size a part of the line would do something else: the whole line stands for all pieces.
            Some(_) if is_last => lines.push(std::iter::once(name).chain(args.iter_from(1))),
            Some(_) => {}
        });
        if is_last {
            ctx.reply.unsigned(self.last);
        }
        Ok(((count, bytes), is_last))
    }

    /// Lays a part of the ring out anew, if that is to be done: how many elements it went by.
    fn lay_out(&mut self, ctx: &mut Ctx<'_>, key: &[u8], size: u64, left: usize) -> Result<usize, ReplyError> {
        let at = ctx.at;
        let Some(mut array) = ctx.db().write::<Array>(key, at)? else {
            self.layout = Layout::Done;
            return Ok(1);
        };
        let extent = array.extent();
        match &mut self.layout {
            Layout::Unknown => {
                let keep = Inserting::kept_of(&array, size);
                self.layout = keep.map_or(Layout::Done, |keep| Layout::Counting { keep, kept: 0 });
                Ok(1)
            }
            Layout::Counting { keep, kept } => {
                let mut seen = 0;
                while seen < left && *kept < *keep && array.get(newest(&array, extent, *kept)).is_some() {
                    (seen, *kept) = (seen + 1, *kept + 1);
                }
                if seen < left {
                    self.layout = Layout::Copying { kept: *kept, copy: Array::default() };
                }
                Ok(seen.max(1))
            }
            Layout::Copying { kept, copy } => {
                let from = copy.extent();
                let to = (*kept).min(from + left as u64);
                for index in from..to {
                    let text = array.get(newest(&array, extent, *kept - 1 - index));
                    copy.set(index, text.expect("it was counted"));
                }
                if to == *kept {
                    copy.seek(Some(*kept));
                    let old = std::mem::replace(&mut *array, std::mem::take(copy));
                    drop(array);
                    ctx.server.background.free(Box::new(old));
                    self.layout = Layout::Done;
                }
                Ok((to - from) as usize + 1)
            }
            Layout::Done => Ok(1),
        }
    }
}

impl Pieces for Inserting {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        loop {
            let ((elements, bytes), is_last) = self.step(ctx, args, slice.left().max(1))?;
            if is_last {
                return Ok(Progress::Through);
            }
            if !slice.spend(elements, bytes) {
                return Ok(Progress::More);
            }
        }
    }
}

pub(super) fn arseek(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (next, at, key) = (num::parse_u64(args.at(2)).ok_or(BAD_INDEX)?, ctx.at, args.at(1));
    let is_there = match ctx.db().write::<Array>(key, at)? {
        Some(mut array) => {
            array.seek(Some(next));
            true
        }
        None => false,
    };
    if is_there {
        changed(ctx, "arseek", key, 1);
    }
    ctx.reply.integer(i64::from(is_there));
    Ok(Next::Done)
}
