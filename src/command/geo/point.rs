//! Single points: GEOADD, GEODIST, GEOHASH, GEOPOS.

use super::{point, unit, write_distance, write_point, zset};
use crate::command::pieces::{self, Answer, Plan};
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::types::ZSet;
use crate::store::types::geo::Point;

/// The options of GEOADD, and where the points begin.
struct Options {
    only_new: bool,
    only_old: bool,
    count_changed: bool,
    first: usize,
}

impl Options {
    fn parse(args: Args<'_>) -> Result<Options, ReplyError> {
        let mut options = Options { only_new: false, only_old: false, count_changed: false, first: 2 };
        while options.first < args.len() {
            let flag = match () {
                () if args.is(options.first, "NX") => &mut options.only_new,
                () if args.is(options.first, "XX") => &mut options.only_old,
                () if args.is(options.first, "CH") => &mut options.count_changed,
                () => break,
            };
            *flag = true;
            options.first += 1;
        }
        let left = args.len() - options.first;
        if left == 0 || !left.is_multiple_of(3) || (options.only_new && options.only_old) {
            return Err(ReplyError::SYNTAX);
        }
        Ok(options)
    }
}

pub(super) fn geoadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(3, Answer::Sum, |ctx, piece, part| {
        // A longitude is no option, so it is clear where the points begin.
        add_all(ctx, piece, &Options::parse(piece)?, part.expected / 3)
    })
    .checked(|_, piece, part| {
        (part.head..piece.len()).step_by(3).try_for_each(|at| point(piece, at).map(drop))?;
        Ok(None)
    });
    let options = Options::parse(args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, options.first, &LONG);
    }
    let done = add_all(ctx, args, &options, (args.len() - options.first) / 3)?;
    ctx.reply.integer(done);
    Ok(Next::Done)
}

/// Adds the points of a line, of which so many are expected; what is answered.
fn add_all(ctx: &mut Ctx<'_>, args: Args<'_>, options: &Options, expected: usize) -> Result<i64, ReplyError> {
    let places = (options.first..args.len()).step_by(3);
    let scores = places.clone().map(|at| Ok(point(args, at)?.score())).collect::<Result<Vec<_>, ReplyError>>()?;
    let (mut added, mut rescored) = (0, 0);
    if let Some((zset, limits)) = &mut zset::target(ctx, args, options.first + 2, expected, options.only_old)? {
        for (at, &score) in places.zip(&scores) {
            let update = zset.update(args.at(at + 2), limits, |old| {
                let kept = if old.is_some() { options.only_new } else { options.only_old };
                (!kept).then_some(score)
            });
            added += usize::from(update.added());
            rescored += usize::from(update.rescored());
        }
    }
    if added + rescored > 0 {
        ctx.change(Change::new(EventClass::SortedSet, "zadd", args.at(1)).times(added + rescored));
    }
    Ok(if options.count_changed { added + rescored } else { added } as i64)
}

pub(super) fn geodist(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let unit = match args.len() {
        4 => 1.0,
        5 => unit(args.at(4))?,
        _ => return Err(ReplyError::SYNTAX),
    };
    let at = ctx.at;
    let zset = ctx.db().read::<ZSet>(args.at(1), at)?;
    let place = |member: usize| Some(Point::of_score(zset.as_ref()?.score(args.at(member))?));
    match place(2).zip(place(3)) {
        Some((a, b)) => write_distance(&mut ctx.reply, a.distance(b) / unit),
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

/// Answers what `write` makes of each member's point, or of its absence.
fn each(ctx: &mut Ctx<'_>, args: Args<'_>, write: impl Fn(&mut Reply<'_>, Option<Point>)) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let zset = server.dbs[*db].read::<ZSet>(args.at(1), *at)?;
    reply.array(args.len() - 2);
    for member in args.iter_from(2) {
        let score = zset.as_ref().and_then(|zset| zset.score(member));
        write(reply, score.map(Point::of_score));
    }
    Ok(Next::Done)
}

pub(super) fn geohash(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    each(ctx, args, |reply, point| match point {
        Some(point) => reply.bulk(&point.geohash()),
        None => reply.null(),
    })
}

pub(super) fn geopos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    each(ctx, args, |reply, point| match point {
        Some(point) => write_point(reply, point),
        None => reply.null_array(),
    })
}
