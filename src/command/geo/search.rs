//! What looks for points around another: GEOSEARCH, GEORADIUS and their kin.

use std::cmp::Ordering;
use std::ops::Range;

use super::options::{Form, Options, Order};
use super::slices::{Searching, Stored};
use super::{write_distance, write_point, zset};
use crate::base::partial_sort::sort_part;
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::store::pack::Item;
use crate::store::types::ZSet;
use crate::store::types::geo::{Point, Search};
use crate::store::types::zset::{Limits, ScoreBound, ScoreRange, order as order_of_scores};

/// A member inside of the area.
#[derive(Clone, Copy, Debug)]
struct Found<'z> {
    member: Item<'z>,
    score: f64,
    /// In metres.
    distance: f64,
}

/// The members that may be inside of the area, square by square and in each by score.
struct Near<'z> {
    zset: &'z ZSet,
    /// All members of a listpack, which is walked once instead of for each square.
    flat: Option<Vec<(Item<'z>, f64)>>,
    ranks: Vec<Range<usize>>,
}

impl<'z> Near<'z> {
    fn new(zset: &'z ZSet, search: &Search) -> Near<'z> {
        let flat: Option<Vec<_>> = zset.as_pack().map(|_| zset.iter(0..usize::MAX).collect());
        let ranks = search.scores().map(|scores| {
            if let Some(flat) = &flat {
                let place = |end: f64| flat.partition_point(|&(_, score)| score < end);
                return place(scores.start)..place(scores.end);
            }
            let max = ScoreBound { score: scores.end, exclusive: true };
            zset.ranks_by_score(&ScoreRange { min: ScoreBound::inclusive(scores.start), max })
        });
        let ranks = ranks.collect();
        Near { zset, flat, ranks }
    }

    fn len(&self) -> usize {
        self.ranks.iter().map(Range::len).sum()
    }

    /// Passes the members until `visit` wants no more.
    fn visit(&self, mut visit: impl FnMut((Item<'z>, f64)) -> bool) {
        for ranks in self.ranks.iter().cloned() {
            let goes_on = match &self.flat {
                Some(flat) => flat[ranks].iter().copied().all(&mut visit),
                None => self.zset.iter(ranks).all(&mut visit),
            };
            if !goes_on {
                break;
            }
        }
    }
}

/// How results stand to each other, in the order that is asked for; `None` if there is none.
pub(super) fn order(options: &Options<'_>) -> Option<Order> {
    // A limit without an order means the nearest.
    let limited = options.count.is_some() && !options.any;
    options.order.or(limited.then_some(Order::Nearest))
}

/// How two distances stand to each other in an order.
pub(super) fn compare(order: Order, a: f64, b: f64) -> Ordering {
    match order {
        Order::Farthest => b.total_cmp(&a),
        Order::Nearest => a.total_cmp(&b),
    }
}

/// The results in the order asked for, cut to the number asked for.
fn results<'z>(near: &Near<'z>, search: &Search, options: &Options<'_>) -> Vec<Found<'z>> {
    let count = options.count.unwrap_or(usize::MAX);
    let limit = if options.any { count } else { usize::MAX };
    let mut found = Vec::new();
    near.visit(|(member, score)| {
        if let Some(distance) = search.distance(Point::of_score(score)) {
            found.push(Found { member, score, distance });
        }
        found.len() < limit
    });
    match order(options) {
        None => {}
        Some(order) => {
            let compare = |a: &Found<'_>, b: &Found<'_>| compare(order, a.distance, b.distance);
            match count < found.len() {
                true => sort_part(&mut found, 0..count, compare),
                false => found.sort_by(compare),
            }
        }
    }
    found.truncate(count);
    found
}

/// What is answered of a result beside the member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    distances: bool,
    hashes: bool,
    coordinates: bool,
    /// Metres in the unit of the request.
    pub unit: f64,
}

impl Shown {
    fn of(options: &Options<'_>) -> Shown {
        let Options { distances, hashes, coordinates, .. } = *options;
        Shown { distances, hashes, coordinates, unit: options.unit() }
    }

    /// Writes a result: a member, its score and its distance in metres.
    pub fn write(&self, reply: &mut Reply<'_>, member: Item<'_>, score: f64, distance: f64) {
        let extras = [self.distances, self.hashes, self.coordinates];
        let extras = extras.into_iter().filter(|&wanted| wanted).count();
        if extras > 0 {
            reply.array(1 + extras);
        }
        zset::write_member(reply, member);
        if self.distances {
            write_distance(reply, distance / self.unit);
        }
        if self.hashes {
            reply.integer(score as i64);
        }
        if self.coordinates {
            write_point(reply, Point::of_score(score));
        }
    }
}

/// The results as a sorted set.
fn stored(found: &[Found<'_>], options: &Options<'_>, unit: f64, limits: &Limits) -> ZSet {
    let score = |found: &Found<'_>| if options.store_distances { found.distance / unit } else { found.score };
    let mut entries: Vec<_> = found.iter().map(|found| (found.member, score(found))).collect();
    let (mut a_digits, mut b_digits) = (itoa::Buffer::new(), itoa::Buffer::new());
    entries.sort_unstable_by(|(a, a_score), (b, b_score)| {
        order_of_scores(*a_score, *b_score).then_with(|| a.text(&mut a_digits).cmp(b.text(&mut b_digits)))
    });
    ZSet::from_sorted(entries.into_iter(), limits)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, form: Form) -> Outcome {
    let event = if form == Form::SearchStore { "geosearchstore" } else { "georadiusstore" };
    if let Some(stored) = ctx.gathered::<Stored>() {
        let Stored { target, result, found } = *stored;
        zset::store_result(ctx, &target, result, event, found);
        return Ok(Next::Done);
    }
    let (limits, long) = (zset::limits(ctx.server), ctx.job_limits().map(|limits| limits.long));
    let Ctx { server, reply, db, at, .. } = ctx;
    let source = server.dbs[*db].read::<ZSet>(args.at(form.source()), *at)?;
    let options = Options::parse(args, form, source.as_deref())?;
    let shown = Shown::of(&options);
    let found = match (&source, options.search()) {
        (Some(zset), Some(search)) => {
            let near = Near::new(zset, &search);
            if long.is_some_and(|long| near.len() > long) {
                let store = options.store.map(|target| (target.into(), options.store_distances));
                let job = Searching::new(args.at(form.source()), search, near.ranks, &options, shown, store, limits);
                return ctx.become_job(job);
            }
            results(&near, &search, &options)
        }
        _ => Vec::new(),
    };
    let Some(target) = options.store else {
        reply.array(found.len());
        found.iter().for_each(|found| shown.write(reply, found.member, found.score, found.distance));
        return Ok(Next::Done);
    };
    let result = stored(&found, &options, shown.unit, &limits);
    let changes = found.len();
    drop(found);
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
