//! Replication, as a server without replicas sees it: it is a primary that nobody follows, and it cannot follow another.

use super::blocking::{parse_timeout_ms, timeouts_from_ms};
use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::num;
use crate::config::PrimaryAddress;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::server::persistence::log::Waiter;
use crate::server::waiting::NO_LOG;

const FOR_ADMINS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE);
const FOLLOWING: Flags = FOR_ADMINS.with(Flags::NO_ASYNC_LOADING);
const LEAST_OF_ALL: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("WAIT", 3, Flags::BLOCKING, wait)
        .group(Group::Generic, Category::CONNECTION, "3.0.0")
        .tips(LEAST_OF_ALL)
        .doc(
            "Waits until so many replicas have got the client's changes; there are none.",
            "O(1)",
            "numreplicas timeout",
        ),
    Spec::new("WAITAOF", 4, Flags::BLOCKING, wait_aof)
        .group(Group::Generic, Category::CONNECTION, "7.2.0")
        .tips(LEAST_OF_ALL)
        .doc(
            "Waits until the client's changes are on the disks of this server and of so many replicas.",
            "O(1)",
            "numlocal numreplicas timeout",
        ),
    Spec::new("ROLE", 1, Flags::LOADING.with(Flags::STALE).with(Flags::FAST).with(Flags::NOSCRIPT), role)
        .group(Group::Server, Category::ADMIN.with(Category::DANGEROUS), "2.8.12")
        .doc("Answers the server's role in replication.", "O(1)", ""),
    Spec::new("REPLICAOF", 3, FOLLOWING, replica_of).group(Group::Server, Category::NONE, "5.0.0").doc(
        "Makes the server a replica of another, or a primary.",
        "O(1)",
        "<host port | NO ONE>",
    ),
    Spec::new("SLAVEOF", 3, FOLLOWING, replica_of)
        .group(Group::Server, Category::NONE, "1.0.0")
        .doc("Makes the server a replica of another, or a primary.", "O(1)", "<host port | NO ONE>")
        .deprecated("5.0.0", "`REPLICAOF`"),
    Spec::new("FAILOVER", -1, FOR_ADMINS, failover).group(Group::Server, Category::NONE, "6.2.0").doc(
        "Hands the role of primary to a replica; there are none.",
        "O(1)",
        "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
    ),
];

const BAD_PORT: ReplyError = ReplyError::new("ERR Invalid master port");
const NO_REPLICAS: ReplyError = ReplyError::new("ERR FAILOVER requires connected replicas.");
const NO_FAILOVER: ReplyError = ReplyError::new("ERR No failover in progress.");
const FAILOVER_TIMEOUT: ReplyError = ReplyError::new("ERR FAILOVER timeout must be greater than 0");
const NUMLOCAL: ReplyError = ReplyError::new("ERR value is out of range, value must between 0 and 1");
const NUMREPLICAS: ReplyError = ReplyError::new("ERR value is out of range, must be positive");

fn wait(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let wanted = num::parse_i64(args.at(1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let timeout_ms = parse_timeout_ms(args.at(2), timeouts_from_ms(ctx))?;
    wait_for_replicas(ctx, wanted, timeout_ms, NullReply::NoReplica)
}

fn wait_aof(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let local = num::parse_i64(args.at(1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(NUMLOCAL);
    }
    let wanted = num::parse_i64(args.at(2)).filter(|&wanted| wanted >= 0).ok_or(NUMREPLICAS)?;
    let timeout_ms = parse_timeout_ms(args.at(3), timeouts_from_ms(ctx))?;
    if local > 0 && !ctx.server.persistence.log.is_on() {
        return Err(NO_LOG);
    }
    if wanted == 0 && (local == 0 || ctx.server.is_durable(ctx.client)) {
        ctx.reply.array(2);
        ctx.reply.integer(i64::from(ctx.server.is_durable(ctx.client)));
        ctx.reply.integer(0);
        return Ok(Next::Done);
    }
    if local > 0 && ctx.may_block() {
        ctx.server.persistence.log.add_waiting(Waiter { client: ctx.client, replicas: wanted });
    }
    wait_until_told(ctx, timeout_ms, NullReply::ServersAndReplicas { local: local > 0 })
}

/// Waits for replicas. No replica can come, so that only the time, or CLIENT UNBLOCK, ends it.
fn wait_for_replicas(ctx: &mut Ctx<'_>, wanted: i64, timeout_ms: u64, none: NullReply) -> Outcome {
    if wanted <= 0 {
        none.write(&mut ctx.reply, None);
        return Ok(Next::Done);
    }
    wait_until_told(ctx, timeout_ms, none)
}

/// Waits for no key: until the time is over, or somebody ends it.
fn wait_until_told(ctx: &mut Ctx<'_>, timeout_ms: u64, none: NullReply) -> Outcome {
    ctx.wait(Wait {
        keys: Vec::new(),
        on: WaitFor::List,
        timeout_ms,
        on_timeout: none,
        args: None,
        until_deleted: false,
    })
}

/// There is no replication yet, so the truth is always that of a primary without replicas and without history.
fn role(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.array(3);
    ctx.reply.bulk_str("master");
    ctx.reply.integer(0);
    ctx.reply.array(0);
    Ok(Next::Done)
}

fn replica_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (now, of) = (ctx.now, ctx.server.clients[ctx.client].id);
    if args.is(1, "NO") && args.is(2, "ONE") {
        if ctx.server.replication.is_following() {
            ctx.server.stop_following(now);
            log::info!("MASTER MODE enabled (user request from 'id={of}')");
        }
        ctx.reply.ok();
        return Ok(Next::Done);
    }
    let port = num::parse_i64(args.at(2)).and_then(|port| u16::try_from(port).ok()).ok_or(BAD_PORT)?;
    let primary = PrimaryAddress { host: String::from_utf8_lossy(args.at(1)).into_owned(), port };
    if ctx.server.replication.following.as_ref().is_some_and(|following| following.primary == primary) {
        log::info!(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation performed."
        );
        ctx.reply.simple("OK Already connected to specified master");
        return Ok(Next::Done);
    }
    log::info!("REPLICAOF {}:{} enabled (user request from 'id={of}')", primary.host, primary.port);
    ctx.server.follow(primary, now);
    ctx.reply.ok();
    Ok(Next::Done)
}

fn failover(_ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len() == 2 && args.is(1, "ABORT") {
        return Err(NO_FAILOVER);
    }
    let (mut to, mut force, mut timeout, mut i) = (false, false, false, 1);
    while i < args.len() {
        let more = args.len() - 1 - i;
        if args.is(i, "TIMEOUT") && more >= 1 && !timeout {
            let timeout_ms = num::parse_i64(args.at(i + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            if timeout_ms <= 0 {
                return Err(FAILOVER_TIMEOUT);
            }
            (timeout, i) = (true, i + 2);
        } else if args.is(i, "TO") && more >= 2 && !to {
            num::parse_i64(args.at(i + 2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            (to, i) = (true, i + 3);
        } else if args.is(i, "FORCE") && !force {
            (force, i) = (true, i + 1);
        } else {
            return Err(ReplyError::SYNTAX);
        }
    }
    Err(NO_REPLICAS)
}
