//! Intersection, union and difference of sets, answered or stored.

use super::slices::{Combining, Purpose};
use super::{policy, write_item};
use crate::base::num;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Limits;
use crate::store::db::{Db, Moment};
use crate::store::pack::Item;
use crate::store::types::hll::{Mark, Registers};
use crate::store::types::set::Policy;
use crate::store::types::{Collection, Object, Ref, Set};

/// How sets are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Inter,
    Union,
    Diff,
}

/// A combination as a job, if it goes by many members and may be one.
fn as_job<'a>(
    limits: Option<Limits>,
    keys: impl Iterator<Item = &'a [u8]>,
    sets: &[Option<Ref<'_, Set>>],
    operation: Operation,
    purpose: Purpose,
    policy: Policy,
) -> Option<Combining> {
    let limits = limits?;
    let lens = || sets.iter().flatten().map(|set| set.len());
    let elements = match operation {
        Operation::Inter if sets.iter().any(Option::is_none) => return None,
        Operation::Inter => lens().min()?.saturating_mul(sets.len()),
        Operation::Union => lens().sum(),
        Operation::Diff => sets.first()?.as_ref()?.len().saturating_mul(sets.len()),
    };
    if elements <= limits.long {
        return None;
    }
    // Nothing comes of a set that is not there, but for an intersection and what is taken off it.
    let mut there: Vec<_> = keys.zip(sets).filter_map(|(key, set)| Some((key, set.as_deref()?))).collect();
    if operation == Operation::Inter {
        there.sort_by_key(|(_, set)| set.len());
    }
    let of_ints = there.first().is_some_and(|(_, set)| set.as_intset().is_some());
    let result = if operation == Operation::Inter && !of_ints { Set::packed() } else { Set::ints() };
    let keys = there.into_iter().map(|(key, _)| Box::from(key)).collect();
    Some(Combining::new(operation, purpose, policy, keys, result))
}

/// Looks at every source once: counts it, touches it, collects it if it is due, refuses what is no set.
fn check<'a>(db: &mut Db, keys: impl Iterator<Item = &'a [u8]>, at: Moment) -> Result<(), ReplyError> {
    for key in keys {
        db.read::<Set>(key, at)?;
    }
    Ok(())
}

/// The sources, those that do not exist being `None`.
fn sources<'d, 'a>(
    db: &'d mut Db,
    keys: impl Iterator<Item = &'a [u8]> + Clone,
    at: Moment,
) -> Result<Vec<Option<Ref<'d, Set>>>, ReplyError> {
    check(db, keys.clone(), at)?;
    let db: &'d Db = db;
    keys.map(|key| Ok(db.reread::<Set>(key, at)?)).collect()
}

/// Shows every member that all sets have to `visit`, until it returns false. O(N*M) for M sets, the smallest of N members.
fn intersect(mut sets: Vec<Option<Ref<'_, Set>>>, mut visit: impl FnMut(Item<'_>) -> bool) {
    if sets.iter().any(Option::is_none) {
        return;
    }
    sets.sort_by_key(|set| set.as_ref().map_or(0, |set| set.len()));
    let sets: Vec<&Set> = sets.iter().flatten().map(|set| &**set).collect();
    let Some((smallest, others)) = sets.split_first() else { return };
    let mut wanted = true;
    smallest.for_each(|item| {
        if wanted && others.iter().all(|set| set.contains_item(item)) {
            wanted = visit(item);
        }
    });
}

/// The members that any of the sets has. O(N) for N members of all sets.
fn unite(sets: &[Option<Ref<'_, Set>>], policy: &Policy) -> Set {
    let mut all = Set::ints();
    for set in sets.iter().flatten() {
        set.for_each(|item| _ = all.insert_item(item, policy));
    }
    all
}

/// Shows every member of the first set that no other set has to `visit`. O(N*M) for M sets, the first of N members.
fn subtract(sets: &[Option<Ref<'_, Set>>], mut visit: impl FnMut(Item<'_>)) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    first.for_each(|item| {
        if !others.iter().flatten().any(|set| set.contains_item(item)) {
            visit(item);
        }
    });
}

pub(super) fn sinter(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(1), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(1), &sets, Operation::Inter, Purpose::Answer, policy) {
        drop(sets);
        return ctx.become_job(job);
    }
    let (array, mut found) = (reply.open_array(0), 0);
    intersect(sets, |item| {
        write_item(reply, item);
        found += 1;
        true
    });
    reply.close_set(array, found);
    Ok(Next::Done)
}

pub(super) fn sunion(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(1), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(1), &sets, Operation::Union, Purpose::Answer, policy) {
        drop(sets);
        return ctx.become_job(job);
    }
    let all = unite(&sets, &policy);
    reply.set(all.len());
    all.for_each(|item| write_item(reply, item));
    Ok(Next::Done)
}

pub(super) fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(1), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(1), &sets, Operation::Diff, Purpose::Answer, policy) {
        drop(sets);
        return ctx.become_job(job);
    }
    let (array, mut found) = (reply.open_array(0), 0);
    subtract(&sets, |item| {
        write_item(reply, item);
        found += 1;
    });
    reply.close_set(array, found);
    Ok(Next::Done)
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(mut result) = ctx.gathered::<Set>() {
        let policy = policy(&ctx.server.config, ctx.server.dbs.hasher);
        result.shrink_to_ints(&policy);
        return store(ctx, args.at(1), *result, "sinterstore");
    }
    let limits = ctx.job_limits();
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(2), &sets, Operation::Inter, Purpose::Store, policy) {
        drop(sets);
        return ctx.become_job(job);
    }
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let of_ints = smallest.is_some_and(|set| set.as_intset().is_some());
    let mut result = if of_ints { Set::ints() } else { Set::packed() };
    intersect(sets, |item| result.insert_item(item, &policy));
    result.shrink_to_ints(&policy);
    store(ctx, args.at(1), result, "sinterstore")
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(result) = ctx.gathered::<Set>() {
        return store(ctx, args.at(1), *result, "sunionstore");
    }
    let limits = ctx.job_limits();
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(2), &sets, Operation::Union, Purpose::Store, policy) {
        drop(sets);
        return ctx.become_job(job);
    }
    let result = unite(&sets, &policy);
    store(ctx, args.at(1), result, "sunionstore")
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if let Some(result) = ctx.gathered::<Set>() {
        return store(ctx, args.at(1), *result, "sdiffstore");
    }
    let limits = ctx.job_limits();
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(2), &sets, Operation::Diff, Purpose::Store, policy) {
        drop(sets);
        return ctx.become_job(job);
    }
    let mut result = Set::ints();
    subtract(&sets, |item| _ = result.insert_item(item, &policy));
    store(ctx, args.at(1), result, "sdiffstore")
}

/// Stores a result over whatever the key held; an empty one deletes the key.
fn store(ctx: &mut Ctx<'_>, key: &[u8], result: Set, event: &str) -> Outcome {
    let (at, count) = (ctx.at, result.len());
    if count > 0 {
        ctx.db().set_object(key, Object::Set(result), at);
        ctx.change(Change::new(EventClass::Set, event, key));
    } else if let Some(entry) = ctx.db().remove(key, at) {
        ctx.server.discard(entry);
        ctx.change(Change::new(EventClass::Generic, "del", key));
    }
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

pub(super) fn sintercard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    count(ctx, args, Operation::Inter)
}

pub(super) fn sunioncard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    count(ctx, args, Operation::Union)
}

pub(super) fn sdiffcard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    count(ctx, args, Operation::Diff)
}

/// Counts the members of a combination, up to a limit, or estimates their number.
fn count(ctx: &mut Ctx<'_>, args: Args<'_>, operation: Operation) -> Outcome {
    let keys = num::parse_i64(args.at(1)).filter(|&keys| keys > 0);
    let keys = keys.ok_or(ReplyError::new("ERR numkeys should be greater than 0"))?;
    let keys = usize::try_from(keys).ok().filter(|&keys| keys <= args.len() - 2);
    let keys = keys.ok_or(ReplyError::new("ERR Number of keys can't be greater than number of args"))?;
    let counting = Counting::parse(args, 2 + keys, operation)?;
    let limits = ctx.job_limits();
    let Ctx { server, reply, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2).take(keys), *at)?;
    if let Some(job) = as_job(limits, args.iter_from(2).take(keys), &sets, operation, Purpose::Count(counting), policy)
    {
        drop(sets);
        return ctx.become_job(job);
    }
    let mut found = 0;
    match operation {
        Operation::Inter => intersect(sets, |_| {
            found += 1;
            found < counting.limit
        }),
        Operation::Diff => subtract(&sets, |_| found += 1),
        Operation::Union if counting.is_estimate => {
            let (mut registers, mut digits) = (Registers::default(), itoa::Buffer::new());
            let members = |set: &Ref<'_, Set>| set.for_each(|item| registers.raise(Mark::of(item.text(&mut digits))));
            sets.iter().flatten().for_each(members);
            found = registers.count() as usize;
        }
        Operation::Union => found = unite(&sets, &policy).len(),
    }
    reply.integer(found.min(counting.limit) as i64);
    Ok(Next::Done)
}

/// How members are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counting {
    /// Members from which on it does not matter how many there are.
    pub limit: usize,
    /// Their number is estimated.
    pub is_estimate: bool,
}

impl Counting {
    fn parse(args: Args<'_>, first: usize, operation: Operation) -> Result<Counting, ReplyError> {
        let (mut counting, mut i) = (Counting { limit: usize::MAX, is_estimate: false }, first);
        while i < args.len() {
            if operation == Operation::Union && args.is(i, "APPROX") {
                counting.is_estimate = true;
                i += 1;
                continue;
            }
            let Some(value) = args.get(i + 1).filter(|_| args.is(i, "LIMIT")) else { return Err(ReplyError::SYNTAX) };
            let limit = num::parse_i64(value).and_then(|limit| usize::try_from(limit).ok());
            let limit = limit.ok_or(ReplyError::new("ERR LIMIT can't be negative"))?;
            counting.limit = if limit == 0 { usize::MAX } else { limit };
            i += 2;
        }
        Ok(counting)
    }
}
