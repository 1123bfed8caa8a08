//! FAILOVER: the primary hands its role to a replica.

use crate::base::num;
use crate::command::spec::Outcome;
use crate::config::ServerAddress;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::server::replication::failover::{Failover, Stage};
use crate::server::replication::replica::Standing;

const NO_REPLICAS: ReplyError = ReplyError::new("ERR FAILOVER requires connected replicas.");
const NO_FAILOVER: ReplyError = ReplyError::new("ERR No failover in progress.");
const TIMEOUT: ReplyError = ReplyError::new("ERR FAILOVER timeout must be greater than 0");
const IN_PROGRESS: ReplyError = ReplyError::new("ERR FAILOVER already in progress.");
const A_REPLICA: ReplyError = ReplyError::new("ERR FAILOVER is not valid when server is a replica.");
const NO_FORCE: ReplyError =
    ReplyError::new("ERR FAILOVER with force option requires both a timeout and target HOST and IP.");
const NO_SUCH_REPLICA: ReplyError = ReplyError::new("ERR FAILOVER target HOST and PORT is not a replica.");
const NOT_ONLINE: ReplyError = ReplyError::new("ERR FAILOVER target replica is not online.");

pub(super) fn failover(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len() == 2 && args.is(1, "ABORT") {
        if ctx.server.replication.failover.is_none() {
            return Err(NO_FAILOVER);
        }
        ctx.server.abort_failover("Failover manually aborted");
        ctx.reply.ok();
        return Ok(Next::Done);
    }
    let (mut to, mut is_forced, mut timeout_ms, mut i) = (None, false, None, 1);
    while i < args.len() {
        let more = args.len() - 1 - i;
        if args.is(i, "TIMEOUT") && more >= 1 && timeout_ms.is_none() {
            let wanted = num::parse_i64(args.at(i + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            timeout_ms = Some(u64::try_from(wanted).ok().filter(|ms| *ms > 0).ok_or(TIMEOUT)?);
            i += 2;
        } else if args.is(i, "TO") && more >= 2 && to.is_none() {
            let port = num::parse_i64(args.at(i + 2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
            to = Some((args.at(i + 1), port));
            i += 3;
        } else if args.is(i, "FORCE") && !is_forced {
            (is_forced, i) = (true, i + 1);
        } else {
            return Err(ReplyError::SYNTAX);
        }
    }
    let server = &mut *ctx.server;
    if server.replication.failover.is_some() {
        return Err(IN_PROGRESS);
    }
    if server.replication.is_following() {
        return Err(A_REPLICA);
    }
    if server.replication.replicas.is_empty() {
        return Err(NO_REPLICAS);
    }
    if is_forced && (timeout_ms.is_none() || to.is_none()) {
        return Err(NO_FORCE);
    }
    let target = match to {
        None => None,
        Some((host, port)) => {
            let replica = server.find_replica(host, port).ok_or(NO_SUCH_REPLICA)?;
            let is_online = |client| {
                server.clients[client].replica.as_ref().is_some_and(|known| known.standing == Standing::Online)
            };
            let port = u16::try_from(port).ok().filter(|_| is_online(replica)).ok_or(NOT_ONLINE)?;
            Some(ServerAddress { host: String::from_utf8_lossy(host).into_owned(), port })
        }
    };
    let until_ms = timeout_ms.map(|ms| ctx.now.mono_ms().saturating_add(ms));
    server.begin_failover(Failover { stage: Stage::WaitingForSync, target, until_ms, is_forced });
    ctx.reply.ok();
    Ok(Next::Done)
}
