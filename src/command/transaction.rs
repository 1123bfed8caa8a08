//! Transactions: the rows and the handlers below. What is queued is `server::transaction`'s; the engine queues and runs it.

use super::reactive;
use super::spec::{Access, Category, Flags, Group, Handler, KeySpec, Outcome, Spec};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::transaction::Transaction;

const ANY_TIME: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const QUICK: Flags = ANY_TIME.with(Flags::FAST).with(Flags::ALLOW_BUSY);

/// The rows.
pub const ROWS: &[Spec] = &[
    row("MULTI", 1, QUICK.with(Flags::UNQUEUED), "1.2.0", multi).doc(
        "Begins a transaction: the commands that follow are queued.",
        "O(1)",
        "",
    ),
    row("EXEC", 1, ANY_TIME.with(Flags::SKIP_SLOWLOG).with(Flags::UNQUEUED), "1.2.0", exec).doc(
        "Runs the queued commands as one unit, unless a watched key has changed.",
        "Depends on commands in the transaction",
        "",
    ),
    row("DISCARD", 1, QUICK.with(Flags::UNQUEUED), "2.0.0", discard).doc(
        "Forgets the queued commands and the watched keys.",
        "O(N), when N is the number of queued commands",
        "",
    ),
    row("WATCH", -2, QUICK.with(Flags::UNQUEUED), "2.2.0", watch).keys(&[KeySpec::rest(Access::RO, 1, 1)]).doc(
        "Makes the next transaction fail if one of the keys changes before it runs.",
        "O(1) for every key.",
        "key [key ...]",
    ),
    // COMPAT: Redis takes no argument. With one it is DiceDB's command, which ends the watch of a query.
    row("UNWATCH", -1, QUICK, "2.2.0", unwatch).doc(
        "Forgets the watched keys, or ends the watch of a query.",
        "O(1)",
        "[fingerprint]",
    ),
];

const fn row(name: &'static str, arity: i32, flags: Flags, since: &'static str, handler: Handler) -> Spec {
    Spec::new(name, arity, flags, handler).group(Group::Transactions, Category::TRANSACTION, since)
}

const NESTED: ReplyError = ReplyError::new("ERR MULTI calls can not be nested");
const NO_EXEC: ReplyError = ReplyError::new("ERR EXEC without MULTI");
const NO_DISCARD: ReplyError = ReplyError::new("ERR DISCARD without MULTI");
const TOO_LATE: ReplyError = ReplyError::new("ERR WATCH inside MULTI is not allowed");
const ABORTED: ReplyError = ReplyError::new("EXECABORT Transaction discarded because of previous errors.");

fn done(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.reply.ok();
    Ok(Next::Done)
}

fn multi(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let session = ctx.session();
    if session.transaction.is_some() {
        return Err(NESTED);
    }
    session.transaction = Some(Box::new(Transaction::default()));
    done(ctx)
}

fn exec(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Some(broken) = ctx.session().transaction.as_ref().map(|transaction| transaction.broken) else {
        return Err(NO_EXEC);
    };
    if broken {
        ctx.server.discard_transaction(ctx.client);
        return Err(ABORTED);
    }
    if ctx.server.has_broken_watch(ctx.client, ctx.now) {
        ctx.server.discard_transaction(ctx.client);
        ctx.reply.null_array();
        return Ok(Next::Done);
    }
    ctx.server.unwatch(ctx.client);
    Ok(Next::RunQueue)
}

fn discard(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    if ctx.session().transaction.is_none() {
        return Err(NO_DISCARD);
    }
    ctx.server.discard_transaction(ctx.client);
    done(ctx)
}

fn watch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if ctx.session().transaction.is_some() {
        return Err(TOO_LATE);
    }
    // The transaction fails already: no further key can make a difference.
    if !ctx.session().watch_broken {
        args.iter_from(1).for_each(|key| ctx.server.watch(ctx.client, key, ctx.now));
    }
    done(ctx)
}

fn unwatch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    match args.len() {
        1 => {
            ctx.server.unwatch(ctx.client);
            done(ctx)
        }
        2 => reactive::unwatch(ctx, args),
        _ => Err(ReplyError::arity(&ctx.command.full_name)),
    }
}
