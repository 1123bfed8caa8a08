//! Reading lists.

use std::ops::Range;

use super::{clamp, index_in, parse_integer, parse_negatable, write_element};
use crate::base::num;
use crate::command::long::{self, Place};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Reply};
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::types::Collection;
use crate::store::types::list::{Elements, List, Needle};

const RANK_ZERO: ReplyError = ReplyError::new(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
     or use negative to start from the end of the list",
);
const COUNT_NEGATIVE: ReplyError = ReplyError::new("ERR COUNT can't be negative");
const MAXLEN_NEGATIVE: ReplyError = ReplyError::new("ERR MAXLEN can't be negative");

pub(super) fn llen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let length = ctx.db().read::<List>(args.at(1), at)?.map_or(0, |list| list.len());
    ctx.reply.integer(length as i64);
    Ok(Next::Done)
}

pub(super) fn lrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (start, stop) = (parse_integer(args, 2)?, parse_integer(args, 3)?);
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(list) = server.dbs[*db].read::<List>(args.at(1), *at)? else {
        reply.array(0);
        return Ok(Next::Done);
    };
    let range = clamp(start, stop, list.len());
    if may_become_job && server.jobs.limits.is_long(range.len(), &*list) {
        return long::read_key(ctx, args.at(1), Indexes { left: range, is_begun: false });
    }
    reply.array(range.len());
    if !range.is_empty() {
        let elements = list.elements_from(range.start).take(range.len());
        elements.for_each(|element| write_element(reply, &element));
    }
    Ok(Next::Done)
}

/// Where LRANGE goes on.
#[derive(Debug)]
struct Indexes {
    left: Range<usize>,
    is_begun: bool,
}

impl Place<List> for Indexes {
    fn go_on(&mut self, list: &List, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        if !std::mem::replace(&mut self.is_begun, true) {
            reply.array(self.left.len());
        }
        for element in list.elements_from(self.left.start).take(self.left.len()) {
            write_element(reply, &element);
            self.left.start += 1;
            if !slice.spend(1, element.copied_bytes()) {
                break;
            }
        }
        self.left.is_empty()
    }
}

pub(super) fn lindex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(list) = server.dbs[*db].read::<List>(args.at(1), *at)? else {
        reply.null();
        return Ok(Next::Done);
    };
    let index = index_in(parse_integer(args, 2)?, list.len());
    match index.and_then(|index| list.get(index)) {
        Some(element) => write_element(reply, &element),
        None => reply.null(),
    }
    Ok(Next::Done)
}

/// What LPOS looks for.
struct Search<'a> {
    needle: Needle<'a>,
    /// Which match is the first that counts.
    rank: u64,
    from_tail: bool,
    /// How many matches are wanted, as an array; 0 for all. None for one, alone.
    count: Option<u64>,
    /// How many elements are compared; 0 for all.
    maxlen: u64,
}

impl<'a> Search<'a> {
    fn parse(args: Args<'a>) -> Result<Search<'a>, ReplyError> {
        let natural = |index: usize| num::parse_i64(args.at(index)).and_then(|n| u64::try_from(n).ok());
        let (mut rank, mut count, mut maxlen) = (1, None, 0);
        for index in (3..args.len()).step_by(2) {
            let value = index + 1;
            if value == args.len() {
                return Err(ReplyError::SYNTAX);
            } else if args.is(index, "RANK") {
                rank = parse_negatable(args, value)?;
                if rank == 0 {
                    return Err(RANK_ZERO);
                }
            } else if args.is(index, "COUNT") {
                count = Some(natural(value).ok_or(COUNT_NEGATIVE)?);
            } else if args.is(index, "MAXLEN") {
                maxlen = natural(value).ok_or(MAXLEN_NEGATIVE)?;
            } else {
                return Err(ReplyError::SYNTAX);
            }
        }
        let needle = Needle::new(args.at(2));
        Ok(Search { needle, rank: rank.unsigned_abs(), from_tail: rank < 0, count, maxlen })
    }

    /// Calls `found` with the index of each match, until as many are found as are wanted. Returns how many those were.
    fn run(&self, list: &List, mut found: impl FnMut(usize)) -> usize {
        let length = list.len();
        let compared = if self.maxlen == 0 { usize::MAX } else { usize::try_from(self.maxlen).unwrap_or(usize::MAX) };
        let skipped = usize::try_from(self.rank - 1).unwrap_or(usize::MAX);
        let wanted = match self.count {
            None => 1,
            Some(0) => usize::MAX,
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
        };
        let is_match = |(_, element): &(usize, _)| self.needle.is(element);
        let mut count = 0;
        let mut tell = |distance: usize| {
            count += 1;
            found(if self.from_tail { length - 1 - distance } else { distance });
        };
        // Two loops, so that the direction is not decided anew for every element.
        let elements: Elements<'_> = list.elements();
        if self.from_tail {
            let matches = elements.rev().take(compared).enumerate().filter(is_match);
            matches.skip(skipped).take(wanted).for_each(|(distance, _)| tell(distance));
        } else {
            let matches = elements.take(compared).enumerate().filter(is_match);
            matches.skip(skipped).take(wanted).for_each(|(distance, _)| tell(distance));
        }
        count
    }
}

/// Where LPOS goes on in a long list.
#[derive(Debug)]
struct Searching {
    text: Box<[u8]>,
    from_tail: bool,
    /// Elements that were compared, and how many are to be.
    compared: usize,
    compared_max: usize,
    /// Matches that are still to be passed over.
    skipped: usize,
    /// Matches that are still wanted, and whether as an array.
    wanted: usize,
    is_array: bool,
    array: Option<OpenArray>,
    found: usize,
}

impl Searching {
    fn new(text: &[u8], search: &Search<'_>, compared_max: usize) -> Searching {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Searching {
            text: text.into(),
            from_tail: search.from_tail,
            compared: 0,
            compared_max,
            skipped: number(search.rank - 1),
            wanted: search.count.map_or(1, |count| if count == 0 { usize::MAX } else { number(count) }),
            is_array: search.count.is_some(),
            array: None,
            found: 0,
        }
    }
}

impl Place<List> for Searching {
    fn go_on(&mut self, list: &List, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let (needle, length, mut goes_on) = (Needle::new(&self.text), list.len(), true);
        if self.is_array && self.array.is_none() {
            self.array = Some(reply.open_array(self.wanted.min(length)));
        }
        let mut elements = match self.from_tail {
            true => list.elements_until(length - self.compared),
            false => list.elements_from(self.compared),
        };
        while goes_on && self.wanted > 0 && self.compared < self.compared_max {
            let Some(element) = (if self.from_tail { elements.next_back() } else { elements.next() }) else { break };
            if needle.is(&element) {
                if self.skipped > 0 {
                    self.skipped -= 1;
                } else {
                    let index = if self.from_tail { length - 1 - self.compared } else { self.compared };
                    reply.integer(index as i64);
                    (self.wanted, self.found) = (self.wanted - 1, self.found + 1);
                }
            }
            self.compared += 1;
            goes_on = slice.spend(1, 0);
        }
        if self.wanted > 0 && self.compared < self.compared_max {
            return false;
        }
        match self.array.take() {
            Some(array) => reply.close_array(array, self.found),
            None if self.found == 0 => reply.null(),
            None => {}
        }
        true
    }
}

pub(super) fn lpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (search, limits) = (Search::parse(args)?, ctx.job_limits());
    let Ctx { server, reply, db, at, .. } = ctx;
    let list = server.dbs[*db].read::<List>(args.at(1), *at)?;
    if let (Some(list), Some(limits)) = (&list, limits) {
        let compared = Some(search.maxlen).filter(|&maxlen| maxlen > 0).and_then(|maxlen| usize::try_from(maxlen).ok());
        let compared = list.len().min(compared.unwrap_or(usize::MAX));
        if limits.is_long(compared, &**list) {
            let place = Searching::new(args.at(2), &search, compared);
            return long::read_key(ctx, args.at(1), place);
        }
    }
    match (list, search.count) {
        (None, None) => reply.null(),
        (None, Some(_)) => reply.array(0),
        (Some(list), None) => {
            if search.run(&list, |index| reply.integer(index as i64)) == 0 {
                reply.null();
            }
        }
        (Some(list), Some(count)) => {
            let array = reply.open_array(usize::try_from(count).unwrap_or(usize::MAX).min(list.len()));
            let found = search.run(&list, |index| reply.integer(index as i64));
            reply.close_array(array, found);
        }
    }
    Ok(Next::Done)
}
