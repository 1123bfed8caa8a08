//! WAIT and WAITAOF: a client waits until replicas have what it wrote, or have it on their disks.

use crate::base::num;
use crate::command::blocking::{parse_timeout_ms, timeouts_from_ms};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next, NullReply, Wait, WaitFor};
use crate::server::persistence::log::Waiter;
use crate::server::replication::acks::AckWaiter;
use crate::server::waiting::NO_LOG;

const NUMLOCAL: ReplyError = ReplyError::new("ERR value is out of range, value must between 0 and 1");
const NUMREPLICAS: ReplyError = ReplyError::new("ERR value is out of range, must be positive");
const NOT_ON_REPLICAS: ReplyError = ReplyError::new(
    "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is configured to be \
     writable (which is not the default) writes to replicas are just local and are not propagated.",
);
const NO_AOF_ON_REPLICAS: ReplyError = ReplyError::new(
    "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just local and are not \
     propagated.",
);

pub(super) fn wait(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if ctx.server.replication.is_following() {
        return Err(NOT_ON_REPLICAS);
    }
    let wanted = num::parse_i64(args.at(1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let timeout_ms = parse_timeout_ms(args.at(2), timeouts_from_ms(ctx))?;
    let offset = ctx.server.offset_written_by(ctx.client);
    let answer = NullReply::Replicas { offset };
    if ctx.server.replicas_with(offset, false) as i64 >= wanted {
        answer.write(ctx.server, ctx.client, &mut ctx.reply);
        return Ok(Next::Done);
    }
    if ctx.may_block() {
        wait_for(ctx, AckWaiter { client: ctx.client, offset, replicas: wanted as u64, durable: false, local: false });
    }
    wait_until_told(ctx, timeout_ms, answer)
}

pub(super) fn wait_aof(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let local = num::parse_i64(args.at(1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    if !(0..=1).contains(&local) {
        return Err(NUMLOCAL);
    }
    let wanted = num::parse_i64(args.at(2)).filter(|&wanted| wanted >= 0).ok_or(NUMREPLICAS)?;
    let timeout_ms = parse_timeout_ms(args.at(3), timeouts_from_ms(ctx))?;
    let (server, client, local) = (&mut *ctx.server, ctx.client, local > 0);
    if server.replication.is_following() {
        return Err(NO_AOF_ON_REPLICAS);
    }
    if local && !server.persistence.log.is_on() {
        return Err(NO_LOG);
    }
    let offset = server.offset_written_by(client);
    let answer = NullReply::ServersAndReplicas { local, offset };
    if (!local || server.is_durable(client)) && server.replicas_with(offset, true) as i64 >= wanted {
        answer.write(server, client, &mut ctx.reply);
        return Ok(Next::Done);
    }
    if ctx.may_block() && wanted > 0 {
        wait_for(ctx, AckWaiter { client, offset, replicas: wanted as u64, durable: true, local });
    } else if ctx.may_block() {
        ctx.server.persistence.log.add_waiting(Waiter { client });
    }
    wait_until_told(ctx, timeout_ms, answer)
}

/// Has a client told when replicas have what it wrote, and replicas asked.
fn wait_for(ctx: &mut Ctx<'_>, waiter: AckWaiter) {
    ctx.server.wait_for_acks(waiter);
}

/// Waits for no key: until the time is over, or somebody ends it.
fn wait_until_told(ctx: &mut Ctx<'_>, timeout_ms: u64, on_timeout: NullReply) -> Outcome {
    ctx.wait(Wait {
        keys: Vec::new(),
        on: WaitFor::List,
        timeout_ms,
        on_timeout,
        args: None,
        until_deleted: false,
        look_ms: None,
    })
}
