//! What looks for points around another: GEOSEARCH, GEORADIUS and their kin.

use super::options::{Form, Options, Order};
use super::{write_distance, write_point, zset};
use crate::base::partial_sort::sort_part;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::store::pack::Item;
use crate::store::types::ZSet;
use crate::store::types::geo::{Point, Search};
use crate::store::types::zset::{Limits, ScoreBound, ScoreRange, order};

/// A member inside of the area.
#[derive(Clone, Copy, Debug)]
struct Found<'z> {
    member: Item<'z>,
    score: f64,
    point: Point,
    /// In metres.
    distance: f64,
}

/// Passes the members of a range of scores, the upper end excluded, until `visit` wants no more. False if it did not.
fn visit_range<'z>(
    zset: &'z ZSet,
    flat: Option<&[(Item<'z>, f64)]>,
    scores: std::ops::Range<f64>,
    visit: impl FnMut((Item<'z>, f64)) -> bool,
) -> bool {
    if let Some(flat) = flat {
        let place = |end: f64| flat.partition_point(|&(_, score)| score < end);
        return flat[place(scores.start)..place(scores.end)].iter().copied().all(visit);
    }
    let max = ScoreBound { score: scores.end, exclusive: true };
    let ranks = zset.ranks_by_score(&ScoreRange { min: ScoreBound::inclusive(scores.start), max });
    zset.iter(ranks).all(visit)
}

/// The members inside of the area, square by square and in each by score; no more than `limit`.
fn inside<'z>(zset: &'z ZSet, search: &Search, limit: usize) -> Vec<Found<'z>> {
    let mut found = Vec::new();
    // A listpack is walked once instead of for each square.
    let flat: Option<Vec<_>> = zset.as_pack().map(|_| zset.iter(0..usize::MAX).collect());
    let mut visit = |(member, score)| {
        let point = Point::of_score(score);
        if let Some(distance) = search.distance(point) {
            found.push(Found { member, score, point, distance });
        }
        found.len() < limit
    };
    for scores in search.scores() {
        if !visit_range(zset, flat.as_deref(), scores, &mut visit) {
            break;
        }
    }
    found
}

/// The results in the order asked for, cut to the number asked for.
fn results<'z>(zset: &'z ZSet, search: &Search, options: &Options<'_>) -> Vec<Found<'z>> {
    let count = options.count.unwrap_or(usize::MAX);
    let mut found = inside(zset, search, if options.any { count } else { usize::MAX });
    // A limit without an order means the nearest.
    let limited = options.count.is_some() && !options.any;
    let order = options.order.or(limited.then_some(Order::Nearest));
    let compare = |a: &Found<'_>, b: &Found<'_>| a.distance.total_cmp(&b.distance);
    let compare = |a: &Found<'_>, b: &Found<'_>| match order {
        Some(Order::Farthest) => compare(b, a),
        _ => compare(a, b),
    };
    match order {
        None => {}
        Some(_) if count < found.len() => sort_part(&mut found, 0..count, compare),
        Some(_) => found.sort_by(compare),
    }
    found.truncate(count);
    found
}

fn write_found(reply: &mut Reply<'_>, found: &Found<'_>, options: &Options<'_>, unit: f64) {
    let extras = [options.distances, options.hashes, options.coordinates];
    let extras = extras.into_iter().filter(|&wanted| wanted).count();
    if extras > 0 {
        reply.array(1 + extras);
    }
    zset::write_member(reply, found.member);
    if options.distances {
        write_distance(reply, found.distance / unit);
    }
    if options.hashes {
        reply.integer(found.score as i64);
    }
    if options.coordinates {
        write_point(reply, found.point);
    }
}

/// The results as a sorted set.
fn stored(found: &[Found<'_>], options: &Options<'_>, unit: f64, limits: &Limits) -> ZSet {
    let score = |found: &Found<'_>| if options.store_distances { found.distance / unit } else { found.score };
    let mut entries: Vec<_> = found.iter().map(|found| (found.member, score(found))).collect();
    let (mut a_digits, mut b_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    entries.sort_unstable_by(|(a, a_score), (b, b_score)| {
        order(*a_score, *b_score).then_with(|| a.text(&mut a_digits).cmp(b.text(&mut b_digits)))
    });
    ZSet::from_sorted(entries.into_iter(), limits)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, form: Form) -> Outcome {
    let limits = zset::limits(ctx.server);
    let Ctx { server, reply, db, at, .. } = ctx;
    let source = server.dbs[*db].read::<ZSet>(args.at(form.source()), *at)?;
    let options = Options::parse(args, form, source.as_deref())?;
    let found = match (&source, options.search()) {
        (Some(zset), Some(search)) => results(zset, &search, &options),
        _ => Vec::new(),
    };
    let unit = options.unit();
    let Some(target) = options.store else {
        reply.array(found.len());
        found.iter().for_each(|found| write_found(reply, found, &options, unit));
        return Ok(Next::Done);
    };
    let result = stored(&found, &options, unit, &limits);
    let changes = found.len();
    drop(found);
    let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
    zset::store_result(ctx, target, result, event, changes);
    Ok(Next::Done)
}

pub(super) fn geosearch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    run(ctx, args, Form::Search)
}

pub(super) fn geosearchstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    run(ctx, args, Form::SearchStore)
}

pub(super) fn georadius(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    run(ctx, args, Form::Radius { stores: true })
}

pub(super) fn georadius_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    run(ctx, args, Form::Radius { stores: false })
}

pub(super) fn georadiusbymember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    run(ctx, args, Form::ByMember { stores: true })
}

pub(super) fn georadiusbymember_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    run(ctx, args, Form::ByMember { stores: false })
}
