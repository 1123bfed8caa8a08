//! Databases as a whole: choosing, counting, swapping and emptying them: the rows and the handlers below.

use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};

const EVERYWHERE: &[&str] = &["request_policy:all_shards", "response_policy:all_succeeded"];
const FLUSH_MODES: &str = "[ASYNC | SYNC]";
const FLUSH_HISTORY: &[(&str, &str)] =
    &[("4.0.0", "Added the `ASYNC` flushing mode modifier."), ("6.2.0", "Added the `SYNC` flushing mode modifier.")];
const KEYSPACE_DANGEROUS: Category = Category::KEYSPACE.with(Category::DANGEROUS);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("SELECT", 2, Flags::LOADING.with(Flags::STALE), select)
        .fast()
        .group(Group::Connection, Category::CONNECTION, "1.0.0")
        .doc("Chooses the database that this connection works on.", "O(1)", "index"),
    Spec::read("DBSIZE", 1, dbsize)
        .fast()
        .group(Group::Server, Category::KEYSPACE, "1.0.0")
        .doc("Returns the number of keys in the selected database.", "O(1)", "")
        .tips(&["request_policy:all_shards", "response_policy:agg_sum"]),
    Spec::write("SWAPDB", 3, swapdb).fast().group(Group::Server, KEYSPACE_DANGEROUS, "4.0.0").doc(
        "Exchanges the contents of two databases.",
        "O(1)",
        "index1 index2",
    ),
    Spec::write("FLUSHDB", -1, flushdb)
        .group(Group::Server, KEYSPACE_DANGEROUS, "1.0.0")
        .doc("Deletes all keys of the selected database.", "O(1); a helper thread frees the keys.", FLUSH_MODES)
        .history(FLUSH_HISTORY)
        .tips(EVERYWHERE),
    Spec::write("FLUSHALL", -1, flushall)
        .group(Group::Server, KEYSPACE_DANGEROUS, "1.0.0")
        .doc(
            "Deletes all keys of all databases.",
            "O(D) for D databases in use; a helper thread frees the keys.",
            FLUSH_MODES,
        )
        .history(FLUSH_HISTORY)
        .tips(EVERYWHERE),
];

/// An argument of 32 bits, such as a database's index.
///
/// # Errors
///
/// Text that is no integer of 64 bits, and integers that do not fit 32, differ in their errors.
pub(super) fn parse_i32(text: &[u8]) -> Result<i32, ReplyError> {
    let wide = num::parse_i64(text).ok_or(ReplyError::NOT_AN_INTEGER)?;
    i32::try_from(wide).map_err(|_| ReplyError::NOT_AN_I32)
}

/// The place of the database of a number, if there is such a number.
pub(super) fn db_place(ctx: &mut Ctx<'_>, number: i32) -> Result<usize, ReplyError> {
    let dbs = &mut ctx.server.dbs;
    usize::try_from(number).ok().and_then(|number| dbs.make(number)).ok_or(ReplyError::DB_INDEX)
}

fn select(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let place = db_place(ctx, parse_i32(args.at(1))?)?;
    ctx.session().db = place;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn dbsize(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let keys = ctx.db().len();
    ctx.reply.integer(keys as i64);
    Ok(Next::Done)
}

fn swapdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let first = parse_i32(args.at(1)).map_err(|_| ReplyError::new("ERR invalid first DB index"))?;
    let second = parse_i32(args.at(2)).map_err(|_| ReplyError::new("ERR invalid second DB index"))?;
    let (first, second) = (db_place(ctx, first)?, db_place(ctx, second)?);
    ctx.server.swap_dbs(first, second, ctx.now);
    ctx.change(Change::of_databases(1));
    ctx.reply.ok();
    Ok(Next::Done)
}

fn flushdb(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    check_flush_mode(args)?;
    let keys = ctx.server.flush_db(ctx.db, ctx.now);
    ctx.change(Change::of_databases(keys));
    ctx.reply.ok();
    Ok(Next::Done)
}

fn flushall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    check_flush_mode(args)?;
    let keys = ctx.server.dbs.places().map(|place| ctx.server.flush_db(place, ctx.now)).sum();
    ctx.server.replace_dump();
    ctx.change(Change::of_databases(keys));
    ctx.reply.ok();
    Ok(Next::Done)
}

/// SYNC and ASYNC look the same from outside: the keys are gone with the reply, and nobody waits for their memory.
fn check_flush_mode(args: Args<'_>) -> Result<(), ReplyError> {
    let known = match args.len() {
        1 => true,
        2 => args.is(1, "ASYNC") || args.is(1, "SYNC"),
        _ => false,
    };
    known.then_some(()).ok_or(ReplyError::SYNTAX)
}
