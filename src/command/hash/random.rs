//! Fields chosen at random.

use std::collections::HashSet;

use super::write_item;
use crate::base::prng::Prng;
use crate::command::collection::{Drawing, random_count};
use crate::command::long::{self, Meter, Place};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::pack::Item;
use crate::store::types::hash::Hash;

const PAIRS_RANGE: ReplyError = ReplyError::new("ERR value is out of range");

/// Fields asked for are drawn one by one while they are less than one in so many; beyond that, all fields are walked.
const DRAWN_PART: usize = 3;

pub(super) fn hrandfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return many(ctx, args);
    }
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, .. } = &mut **server;
    let hash = dbs[*db].read::<Hash>(args.at(1), *at)?;
    let draw = |n| prng.below(n);
    if !hash.is_some_and(|hash| hash.random(at.due_ms(), draw, |field, _| write_item(reply, field))) {
        reply.null();
    }
    Ok(Next::Done)
}

/// How many fields are asked for, and whether with their values.
fn parse(args: Args<'_>) -> Result<(i64, bool), ReplyError> {
    let count = random_count(args.at(2))?;
    match args.len() {
        3 => Ok((count, false)),
        4 if args.is(3, "WITHVALUES") => {
            if count <= i64::MAX / 2 {
                Ok((count, true))
            } else {
                Err(PAIRS_RANGE)
            }
        }
        _ => Err(ReplyError::SYNTAX),
    }
}

fn many(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let ((count, with_values), may_become_job) = (parse(args)?, ctx.may_become_job());
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, jobs, .. } = &mut **server;
    let hash = dbs[*db].read::<Hash>(args.at(1), *at)?;
    let live = hash.as_ref().map_or(0, |hash| hash.live_len(at.due_ms()));
    let wanted = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let Some(hash) = hash.filter(|_| live > 0 && wanted > 0) else {
        reply.array(0);
        return Ok(Next::Done);
    };
    if may_become_job {
        let drawing = Drawing::new(count, live);
        if jobs.limits.is_long(drawing.elements(), &*hash) {
            let (prng, due_ms) = (Prng::seeded(prng.next_u64()), at.due_ms());
            let place = Drawn { drawing, with_values, prng, due_ms, is_begun: false };
            return long::read_key(ctx, args.at(1), place);
        }
    }
    let answered = if count < 0 { wanted } else { wanted.min(live) };
    let mut answer = Answer { reply, with_values };
    answer.open(answered);
    if count < 0 {
        repeated(&hash, at.due_ms(), prng, answered, &mut answer);
    } else if answered < live / DRAWN_PART {
        drawn(&hash, at.due_ms(), prng, answered, &mut answer);
    } else {
        walked(&hash, at.due_ms(), prng, (answered, live), &mut answer);
    }
    Ok(Next::Done)
}

/// Where HRANDFIELD goes on.
#[derive(Debug)]
struct Drawn {
    drawing: Drawing,
    with_values: bool,
    prng: Prng,
    /// Fields that were due by then (Unix milliseconds) are not there.
    due_ms: i64,
    is_begun: bool,
}

impl Place<Hash> for Drawn {
    fn go_on(&mut self, hash: &Hash, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let Drawn { drawing, with_values, prng, due_ms, is_begun } = self;
        let mut answer = Answer { reply, with_values: *with_values };
        if !std::mem::replace(is_begun, true) {
            answer.open(drawing.answered());
        }
        match drawing {
            Drawing::Repeated { left } => {
                while *left > 0 && !answer.reply.is_cut() {
                    hash.random(*due_ms, |n| prng.below(n), |field, value| answer.add(field, value));
                    *left -= 1;
                    if !slice.spend(1, 0) {
                        break;
                    }
                }
                *left == 0
            }
            Drawing::Few { chosen, count } => {
                while chosen.len() < *count {
                    let add = |field: Item<'_>, value: Item<'_>| {
                        if chosen.insert(field.to_vec()) {
                            answer.add(field, value);
                        }
                    };
                    hash.random(*due_ms, |n| prng.below(n), add);
                    if !slice.spend(1, 0) {
                        break;
                    }
                }
                chosen.len() == *count
            }
            Drawing::Part { wanted, left, place } => {
                let meter = Meter::default();
                let show = |field: Item<'_>, value: Item<'_>, _: Option<i64>| {
                    meter.count(field.len() + value.len());
                    if prng.chance(*wanted as u64, *left as u64) {
                        answer.add(field, value);
                        *wanted -= 1;
                    }
                    *left -= 1;
                };
                let next = hash.read_on(*place, *due_ms, show, || meter.spend(slice));
                *place = next.unwrap_or(0);
                next.is_none()
            }
        }
    }
}

/// Where the chosen fields go.
struct Answer<'r, 'o> {
    reply: &'r mut Reply<'o>,
    with_values: bool,
}

impl Answer<'_, '_> {
    /// Starts an answer of so many fields.
    fn open(&mut self, fields: usize) {
        let flat = self.with_values && self.reply.proto() == Proto::Resp2;
        self.reply.array(if flat { 2 * fields } else { fields });
    }

    fn add(&mut self, field: Item<'_>, value: Item<'_>) {
        if self.with_values && self.reply.proto() == Proto::Resp3 {
            self.reply.array(2);
        }
        write_item(self.reply, field);
        if self.with_values {
            write_item(self.reply, value);
        }
    }
}

/// Any fields, perhaps some of them again.
fn repeated(hash: &Hash, now_ms: i64, prng: &mut Prng, count: usize, answer: &mut Answer<'_, '_>) {
    if let Some(fields) = hash.listed(now_ms) {
        for _ in 0..count {
            if answer.reply.is_cut() {
                return;
            }
            let (field, value) = fields[prng.below(fields.len() as u64) as usize];
            answer.add(field, value);
        }
        return;
    }
    for _ in 0..count {
        if answer.reply.is_cut() {
            return;
        }
        hash.random(now_ms, |n| prng.below(n), |field, value| answer.add(field, value));
    }
}

/// Different fields, few of many, in the order in which they are drawn.
fn drawn(hash: &Hash, now_ms: i64, prng: &mut Prng, count: usize, answer: &mut Answer<'_, '_>) {
    let mut chosen = HashSet::with_capacity(count);
    while chosen.len() < count {
        hash.random(
            now_ms,
            |n| prng.below(n),
            |field, value| {
                if chosen.insert(field.to_vec()) {
                    answer.add(field, value);
                }
            },
        );
    }
}

/// Different fields, in the order of the hash: each is taken with the chance that the number still wanted leaves it.
fn walked(
    hash: &Hash,
    now_ms: i64,
    prng: &mut Prng,
    (mut wanted, mut left): (usize, usize),
    answer: &mut Answer<'_, '_>,
) {
    hash.visit(now_ms, |field, value, _| {
        if prng.chance(wanted as u64, left as u64) {
            answer.add(field, value);
            wanted -= 1;
        }
        left -= 1;
    });
}
