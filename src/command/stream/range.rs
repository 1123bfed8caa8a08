//! XLEN, XRANGE and XREVRANGE.

use super::{Outcome, ids, write_entries};
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::{Collection, Stream};

pub(super) fn xlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let len = ctx.db().read::<Stream>(args.at(1), at)?.map_or(0, |stream| stream.len());
    ctx.reply.integer(len as i64);
    Ok(Next::Done)
}

/// The value of COUNT, `None` if it is not given; negative ones are 0.
fn count(args: Args<'_>) -> Result<Option<usize>, ReplyError> {
    let mut count = None;
    for index in (4..args.len()).step_by(2) {
        if !args.is(index, "COUNT") || index + 1 == args.len() {
            return Err(ReplyError::SYNTAX);
        }
        let n = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        count = Some(usize::try_from(n).unwrap_or(0));
    }
    Ok(count)
}

pub(super) fn xrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    range(ctx, args, args.at(2), args.at(3), false)
}

pub(super) fn xrevrange(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    range(ctx, args, args.at(3), args.at(2), true)
}

fn range(ctx: &mut Ctx<'_>, args: Args<'_>, start: &[u8], end: &[u8], backward: bool) -> Outcome {
    let (start, end, count) = (ids::start(start)?, ids::end(end)?, count(args)?);
    let Ctx { server, reply, db, at, .. } = ctx;
    match (server.dbs[*db].read::<Stream>(args.at(1), *at)?, count) {
        (None, _) => reply.array(0),
        (Some(_), Some(0)) => reply.null_array(),
        (Some(stream), count) if backward => {
            write_entries(reply, stream.range_backward(start, end), count.unwrap_or(0), stream.len());
        }
        (Some(stream), count) => write_entries(reply, stream.range(start, end), count.unwrap_or(0), stream.len()),
    }
    Ok(Next::Done)
}
