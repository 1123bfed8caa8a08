//! What removes members, by name or by range.

use super::range::By;
use crate::command::collection::remove_emptied;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::Collection;
use crate::store::types::zset::ZSet;

pub(super) fn zrem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let (mut removed, mut emptied) = (0, false);
    if let Some(mut zset) = ctx.db().write::<ZSet>(args.at(1), at)? {
        removed = args.iter_from(2).filter(|member| zset.remove(member).is_some()).count();
        emptied = zset.is_empty();
    }
    finish(ctx, args.at(1), removed, emptied, "zrem");
    Ok(Next::Done)
}

/// Tells of members removed, removes the key if none is left, and answers.
fn finish(ctx: &mut Ctx<'_>, key: &[u8], removed: usize, emptied: bool, event: &str) {
    if removed > 0 {
        ctx.change(Change::new(EventClass::SortedSet, event, key));
        if emptied {
            remove_emptied(ctx, key);
        }
    }
    ctx.reply.integer(removed as i64);
}

fn remove_range(ctx: &mut Ctx<'_>, args: Args<'_>, by: Result<By<'_>, ReplyError>, event: &str) -> Outcome {
    let (by, at, key) = (by?, ctx.at, args.at(1));
    let Some(mut zset) = ctx.db().write::<ZSet>(key, at)? else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    let ranks = by.ranks(&zset, false);
    let removed = ranks.len();
    // With its last member the key goes as it is: what was in it is freed elsewhere if that takes long.
    let emptied = removed == zset.len();
    let old = if emptied { None } else { zset.remove_ranks(ranks) };
    drop(zset);
    if let Some(old) = old {
        ctx.server.background.free(Box::new(old));
    }
    finish(ctx, key, removed, emptied, event);
    Ok(Next::Done)
}

pub(super) fn zremrangebyrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, By::ranks_of(args.at(2), args.at(3)), "zremrangebyrank")
}

pub(super) fn zremrangebyscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, By::scores_of(args.at(2), args.at(3)), "zremrangebyscore")
}

pub(super) fn zremrangebylex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    remove_range(ctx, args, By::members_of(args.at(2), args.at(3)), "zremrangebylex")
}
