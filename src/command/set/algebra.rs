//! Intersection, union and difference of sets, answered or stored.

use super::{policy, write_item};
use crate::base::num;
use crate::command::spec::Outcome;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::{Db, Moment};
use crate::store::pack::Item;
use crate::store::types::set::Policy;
use crate::store::types::{Collection, Object, Ref, Set};

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
    let Ctx { server, reply, db, at, .. } = ctx;
    let sets = sources(&mut server.dbs[*db], args.iter_from(1), *at)?;
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
    let Ctx { server, reply, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(1), *at)?;
    let all = unite(&sets, &policy);
    reply.set(all.len());
    all.for_each(|item| write_item(reply, item));
    Ok(Next::Done)
}

pub(super) fn sdiff(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let sets = sources(&mut server.dbs[*db], args.iter_from(1), *at)?;
    let (array, mut found) = (reply.open_array(0), 0);
    subtract(&sets, |item| {
        write_item(reply, item);
        found += 1;
    });
    reply.close_set(array, found);
    Ok(Next::Done)
}

pub(super) fn sinterstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2), *at)?;
    let smallest = sets.iter().flatten().min_by_key(|set| set.len());
    let of_ints = smallest.is_some_and(|set| set.as_intset().is_some());
    let mut result = if of_ints { Set::ints() } else { Set::packed() };
    intersect(sets, |item| result.insert_item(item, &policy));
    result.shrink_to_ints(&policy);
    store(ctx, args.at(1), result, "sinterstore")
}

pub(super) fn sunionstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2), *at)?;
    let result = unite(&sets, &policy);
    store(ctx, args.at(1), result, "sunionstore")
}

pub(super) fn sdiffstore(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let sets = sources(&mut server.dbs[*db], args.iter_from(2), *at)?;
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
    let count = num::parse_i64(args.at(1)).filter(|&count| count > 0);
    let count = count.ok_or(ReplyError::new("ERR numkeys should be greater than 0"))?;
    let count = usize::try_from(count).ok().filter(|&count| count <= args.len() - 2);
    let count = count.ok_or(ReplyError::new("ERR Number of keys can't be greater than number of args"))?;
    let limit = limit(args, 2 + count)?;
    let Ctx { server, reply, db, at, .. } = ctx;
    let sets = sources(&mut server.dbs[*db], args.iter_from(2).take(count), *at)?;
    let mut found = 0;
    intersect(sets, |_| {
        found += 1;
        found != limit
    });
    reply.integer(found);
    Ok(Next::Done)
}

/// LIMIT, 0 for none.
fn limit(args: Args<'_>, first: usize) -> Result<i64, ReplyError> {
    let (mut limit, mut i) = (0, first);
    while i < args.len() {
        let Some(value) = args.get(i + 1).filter(|_| args.is(i, "LIMIT")) else { return Err(ReplyError::SYNTAX) };
        limit = num::parse_i64(value).filter(|&n| n >= 0).ok_or(ReplyError::new("ERR LIMIT can't be negative"))?;
        i += 2;
    }
    Ok(limit)
}
