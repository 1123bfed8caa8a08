//! Replication: the rows. What a replica says to its primary is in `sync`, who waits for replicas in `wait`, how one of them takes over
//! in `failover`.

mod failover;
mod sync;
mod wait;

use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::num;
use crate::config::{ServerAddress, checked_host};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::replication::following::LinkState;
use crate::server::replication::replica::Standing;

const FOR_ADMINS: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::STALE);
const SYNCING: Flags = Flags::ADMIN.with(Flags::NOSCRIPT).with(Flags::NO_ASYNC_LOADING).with(Flags::NO_MULTI);
const TELLING: Flags = FOR_ADMINS.with(Flags::LOADING).with(Flags::ALLOW_BUSY);
const FOLLOWING: Flags = FOR_ADMINS.with(Flags::NO_ASYNC_LOADING);
const LEAST_OF_ALL: &[&str] = &["request_policy:all_shards", "response_policy:agg_min"];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("WAIT", 3, Flags::BLOCKING, wait::wait)
        .group(Group::Generic, Category::CONNECTION, "3.0.0")
        .tips(LEAST_OF_ALL)
        .doc("Waits until so many replicas have got the client's changes.", "O(1)", "numreplicas timeout"),
    Spec::new("WAITAOF", 4, Flags::BLOCKING, wait::wait_aof)
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
    Spec::new("FAILOVER", -1, FOR_ADMINS, failover::failover).group(Group::Server, Category::NONE, "6.2.0").doc(
        "Hands the role of primary to a replica.",
        "O(1)",
        "[TO host port [FORCE]] [ABORT] [TIMEOUT milliseconds]",
    ),
    Spec::new("REPLCONF", -1, TELLING.with(Flags::SYSTEM), sync::replconf)
        .group(Group::Server, Category::NONE, "3.0.0")
        .doc("Tells a primary about its replica.", "O(1)", ""),
    Spec::new("PSYNC", -3, SYNCING, sync::psync).group(Group::Server, Category::NONE, "2.8.0").doc(
        "Makes the connection a replica, which goes on with a history where it can.",
        "",
        "replicationid offset",
    ),
    Spec::new("SYNC", 1, SYNCING, sync::sync).group(Group::Server, Category::NONE, "1.0.0").doc(
        "Makes the connection a replica that begins anew.",
        "",
        "",
    ),
];

const BAD_HOST: ReplyError = ReplyError::new("ERR Invalid master host");
const BAD_PORT: ReplyError = ReplyError::new("ERR Invalid master port");

fn role(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let offset = server.replication.history.offset;
    if let Some(following) = &server.replication.following {
        reply.array(5);
        reply.bulk_str("slave");
        reply.bulk_str(&following.primary.host);
        reply.integer(i64::from(following.primary.port));
        reply.bulk_str(following.state.name());
        reply.integer(if following.state == LinkState::Connected { offset as i64 } else { -1 });
        return Ok(Next::Done);
    }
    let online: Vec<_> = server.replicas().filter(|(_, replica)| replica.standing == Standing::Online).collect();
    reply.array(3);
    reply.bulk_str("master");
    reply.integer(offset as i64);
    reply.array(online.len());
    for (client, replica) in online {
        reply.array(3);
        reply.bulk_str(server.replica_host(client));
        reply.bulk_integer(i64::from(replica.port));
        reply.bulk_integer(replica.acked as i64);
    }
    Ok(Next::Done)
}

fn replica_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let of = ctx.server.clients[ctx.client].id;
    if args.is(1, "NO") && args.is(2, "ONE") {
        if ctx.server.replication.is_following() {
            ctx.server.stop_following();
            log::info!("MASTER MODE enabled (user request from 'id={of}')");
        }
        ctx.reply.ok();
        return Ok(Next::Done);
    }
    let port = num::parse_i64(args.at(2)).and_then(|port| u16::try_from(port).ok()).ok_or(BAD_PORT)?;
    let host = checked_host(args.at(1)).map_err(|_| BAD_HOST)?;
    let primary = ServerAddress { host: host.to_owned(), port };
    if ctx.server.replication.following.as_ref().is_some_and(|following| following.primary == primary) {
        log::info!(
            "REPLICAOF would result into synchronization with the master we are already connected with. No operation performed."
        );
        ctx.reply.simple("OK Already connected to specified master");
        return Ok(Next::Done);
    }
    log::info!("REPLICAOF {}:{} enabled (user request from 'id={of}')", primary.host, primary.port);
    ctx.server.follow(primary);
    ctx.reply.ok();
    Ok(Next::Done)
}
