//! What reads single members, counts and chooses at random.

use std::collections::HashSet;

use super::range::{By, Ranks};
use super::{open_entries, write_entry, write_member};
use crate::base::prng::Prng;
use crate::command::collection::{Drawing, random_count};
use crate::command::long::{self, Place};
use crate::command::pieces::{self, Answer, Plan};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::types::Collection;
use crate::store::types::zset::ZSet;

pub(super) fn zcard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let len = ctx.db().read::<ZSet>(args.at(1), at)?.map_or(0, |zset| zset.len());
    ctx.reply.integer(len as i64);
    Ok(Next::Done)
}

fn write_score(reply: &mut Reply<'_>, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

pub(super) fn zscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let zset = server.dbs[*db].read::<ZSet>(args.at(1), *at)?;
    write_score(reply, zset.and_then(|zset| zset.score(args.at(2))));
    Ok(Next::Done)
}

pub(super) fn zmscore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Array, |ctx, piece, _| {
        let Ctx { server, reply, db, at, .. } = ctx;
        write_scores(reply, server.dbs[*db].reread::<ZSet>(piece.at(1), *at)?.as_deref(), piece);
        Ok(0)
    })
    .checked(pieces::check_type::<ZSet>);
    let is_long = ctx.is_long_line(args);
    let Ctx { server, reply, db, at, .. } = ctx;
    let zset = server.dbs[*db].read::<ZSet>(args.at(1), *at)?;
    if is_long {
        return pieces::begin(ctx, 2, &LONG);
    }
    reply.array(args.len() - 2);
    write_scores(reply, zset.as_deref(), args);
    Ok(Next::Done)
}

/// Writes the scores that the members of a line have.
fn write_scores(reply: &mut Reply<'_>, zset: Option<&ZSet>, args: Args<'_>) {
    for member in args.iter_from(2) {
        write_score(reply, zset.and_then(|zset| zset.score(member)));
    }
}

pub(super) fn zrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    rank(ctx, args, false)
}

pub(super) fn zrevrank(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    rank(ctx, args, true)
}

fn rank(ctx: &mut Ctx<'_>, args: Args<'_>, reversed: bool) -> Outcome {
    let with_score = match args.len() {
        3 => false,
        4 if args.is(3, "WITHSCORE") => true,
        4 => return Err(ReplyError::SYNTAX),
        _ => return Err(ReplyError::arity(&ctx.command.full_name)),
    };
    let Ctx { server, reply, db, at, .. } = ctx;
    let zset = server.dbs[*db].read::<ZSet>(args.at(1), *at)?;
    let place = zset.and_then(|zset| {
        let (rank, score) = zset.rank(args.at(2))?;
        Some((if reversed { zset.len() - 1 - rank } else { rank }, score))
    });
    match place {
        Some((rank, score)) if with_score => {
            reply.array(2);
            reply.integer(rank as i64);
            reply.double(score);
        }
        Some((rank, _)) => reply.integer(rank as i64),
        None if with_score => reply.null_array(),
        None => reply.null(),
    }
    Ok(Next::Done)
}

fn count(ctx: &mut Ctx<'_>, args: Args<'_>, by: Result<By<'_>, ReplyError>) -> Outcome {
    let (by, at) = (by?, ctx.at);
    let zset = ctx.db().read::<ZSet>(args.at(1), at)?;
    let count = zset.map_or(0, |zset| by.ranks(&zset, false).len());
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

pub(super) fn zcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    count(ctx, args, By::scores_of(args.at(2), args.at(3)))
}

pub(super) fn zlexcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    count(ctx, args, By::members_of(args.at(2), args.at(3)))
}

pub(super) fn zrandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return random_members(ctx, args);
    }
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, .. } = &mut **server;
    match dbs[*db].read::<ZSet>(args.at(1), *at)? {
        Some(zset) => {
            let rank = prng.below(zset.len() as u64) as usize;
            let (member, _) = zset.get(rank).expect("the rank is below the number of members");
            write_member(reply, member);
        }
        None => reply.null(),
    }
    Ok(Next::Done)
}

/// The count of ZRANDMEMBER and whether scores are asked for.
fn random_options(args: Args<'_>) -> Result<(i64, bool), ReplyError> {
    let count = random_count(args.at(2))?;
    match args.len() {
        3 => Ok((count, false)),
        4 if args.is(3, "WITHSCORES") => {
            if count > i64::MAX / 2 {
                return Err(ReplyError::new("ERR value is out of range"));
            }
            Ok((count, true))
        }
        _ => Err(ReplyError::SYNTAX),
    }
}

/// Members of which a list is made to draw from with repetitions: 32 KiB.
const LISTED_MAX: usize = 1024;

fn random_members(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let ((count, scores), may_become_job) = (random_options(args)?, ctx.may_become_job());
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, jobs, .. } = &mut **server;
    let Some(zset) = dbs[*db].read::<ZSet>(args.at(1), *at)? else {
        reply.array(0);
        return Ok(Next::Done);
    };
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if may_become_job {
        let drawing = Drawing::new(count, zset.len());
        if jobs.limits.is_long(drawing.elements(), &*zset) {
            let is_all = count > 0 && wanted >= zset.len();
            let all = Ranks::new(0..zset.len(), true, scores);
            let place = Drawn { drawing, scores, prng: Prng::seeded(prng.next_u64()), is_begun: false };
            let key = args.at(1);
            return if is_all { long::read_key(ctx, key, all) } else { long::read_key(ctx, key, place) };
        }
    }
    if count < 0 {
        open_entries(reply, wanted, scores);
        // To find a rank is a walk or a descent each time: a few members are listed first.
        let is_listed = wanted > zset.len() && zset.len() <= LISTED_MAX;
        let listed: Vec<_> = if is_listed { zset.iter(0..usize::MAX).collect() } else { Vec::new() };
        for _ in 0..wanted {
            if reply.is_cut() {
                break;
            }
            let rank = prng.below(zset.len() as u64) as usize;
            match listed.get(rank) {
                Some(entry) => write_entry(reply, *entry, scores),
                None => write_ranked(reply, &zset, rank, scores),
            }
        }
    } else if wanted >= zset.len() {
        super::write_entries(reply, zset.iter(0..usize::MAX).rev(), scores);
    } else {
        open_entries(reply, wanted, scores);
        for rank in distinct(prng, zset.len(), wanted) {
            write_ranked(reply, &zset, rank, scores);
        }
    }
    Ok(Next::Done)
}

/// Where ZRANDMEMBER goes on.
#[derive(Debug)]
struct Drawn {
    drawing: Drawing,
    scores: bool,
    prng: Prng,
    is_begun: bool,
}

impl Place<ZSet> for Drawn {
    fn go_on(&mut self, zset: &ZSet, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let Drawn { drawing, scores, prng, is_begun } = self;
        if !std::mem::replace(is_begun, true) {
            open_entries(reply, drawing.answered(), *scores);
        }
        match drawing {
            Drawing::Repeated { left } => {
                while *left > 0 && !reply.is_cut() {
                    write_ranked(reply, zset, prng.below(zset.len() as u64) as usize, *scores);
                    *left -= 1;
                    if !slice.spend(1, 0) {
                        break;
                    }
                }
                *left == 0
            }
            Drawing::Few { chosen, count } => {
                while chosen.len() < *count {
                    let drawn = zset.get(prng.below(zset.len() as u64) as usize);
                    if let Some(entry) = drawn.filter(|(member, _)| chosen.insert(member.to_vec())) {
                        write_entry(reply, entry, *scores);
                    }
                    if !slice.spend(1, 0) {
                        break;
                    }
                }
                chosen.len() == *count
            }
            Drawing::Part { wanted, left, .. } => {
                let first = zset.len() - *left;
                for entry in zset.iter(first..zset.len()) {
                    if prng.chance(*wanted as u64, *left as u64) {
                        write_entry(reply, entry, *scores);
                        *wanted -= 1;
                    }
                    *left -= 1;
                    if !slice.spend(1, entry.0.len()) {
                        break;
                    }
                }
                *left == 0
            }
        }
    }
}

fn write_ranked(reply: &mut Reply<'_>, zset: &ZSet, rank: usize, scores: bool) {
    let entry = zset.get(rank).expect("the rank is below the number of members");
    write_entry(reply, entry, scores);
}

/// `count` different numbers below `len`, each such choice as likely as any other. O(count). (R. W. Floyd's algorithm, in
/// Bentley, "Programming Pearls: a sample of brilliance", 1987.)
fn distinct(prng: &mut Prng, len: usize, count: usize) -> Vec<usize> {
    let mut seen = HashSet::with_capacity(count);
    let mut chosen = Vec::with_capacity(count);
    for next in len - count..len {
        let drawn = prng.below(next as u64 + 1) as usize;
        let number = if seen.insert(drawn) { drawn } else { next };
        seen.insert(number);
        chosen.push(number);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chi-square of how often each of `cells` things happened in `draws`, against the same for all.
    fn chi_square(counts: &[u64], draws: u64) -> f64 {
        let expected = draws as f64 / counts.len() as f64;
        counts.iter().map(|&count| (count as f64 - expected).powi(2) / expected).sum()
    }

    #[test]
    fn every_choice_of_different_numbers_is_equally_likely() {
        let mut prng = Prng::seeded(33);
        // All 3-subsets of 7: 35 of them, 34 degrees of freedom; 66.6 is exceeded once in a thousand.
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..35_000 {
            let mut chosen = distinct(&mut prng, 7, 3);
            chosen.sort_unstable();
            assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]) && chosen[2] < 7);
            *counts.entry(chosen).or_insert(0u64) += 1;
        }
        let counts: Vec<u64> = counts.into_values().collect();
        assert_eq!(counts.len(), 35);
        assert!(chi_square(&counts, 35_000) < 66.6);
        assert_eq!(distinct(&mut prng, 5, 0), []);
    }
}
