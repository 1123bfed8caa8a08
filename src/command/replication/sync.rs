//! What a replica says to its primary: REPLCONF, and PSYNC or SYNC, which make it one.
//!
//! A replica that asks for the bytes behind those that it has goes on with the stream, if both have the same history up to there and
//! the bytes are kept. Otherwise it begins with a snapshot.

use crate::base::num;
use crate::base::quote;
use crate::command::spec::Outcome;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::replication::following::LinkState;
use crate::server::replication::replica::LeftOut;

/// The longest address that a replica may want to be known by, as in Redis.
const HOST_BYTES_MAX: usize = 255;

const TO_A_PRIMARY: ReplyError = ReplyError::new("ERR PSYNC FAILOVER can't be sent to a master.");
const OTHER_HISTORY: ReplyError = ReplyError::new("ERR PSYNC FAILOVER replid must match my replid.");
const FAILING_OVER: ReplyError = ReplyError::new("NOMASTERLINK Can't SYNC while failing over");
const NO_LINK: ReplyError = ReplyError::new("NOMASTERLINK Can't SYNC while not connected with my master");
const PENDING: ReplyError = ReplyError::new("ERR SYNC and PSYNC are invalid with pending output");
const NO_EOF: ReplyError = ReplyError::new("ERR Filtered replica requires EOF capability");
const BEGAN_EMPTY: ReplyError = ReplyError::new(
    "NOMASTERLINK This primary has started without data and keeps none on disk: a full synchronisation would replace what the \
     replica holds by what was written since. Make the replica a primary (REPLICAOF NO ONE) to keep its data, or allow it here with \
     CONFIG SET replica-accept-empty-primary yes",
);
const NO_FILTERS: ReplyError = ReplyError::new("ERR Missing rdb-filter-only values");
const NOT_A_SWITCH: ReplyError = ReplyError::new("ERR value is out of range, value must between 0 and 1");

pub(super) fn replconf(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(ReplyError::SYNTAX);
    }
    let (mut at, client) = (1, ctx.client);
    while at < args.len() {
        let value = args.at(at + 1);
        if args.is(at, "ACK") {
            acknowledge(ctx, args, at);
            return Ok(Next::Done);
        } else if args.is(at, "GETACK") {
            // Meant for replicas, which answer on their link.
            return Ok(Next::Done);
        } else if args.is(at, "LISTENING-PORT") {
            let port = num::parse_i64(value).ok_or(ReplyError::NOT_AN_INTEGER)?;
            ctx.server.announced(client).port = u32::try_from(port).unwrap_or(0);
        } else if args.is(at, "IP-ADDRESS") {
            if value.len() >= HOST_BYTES_MAX {
                let bytes = value.len();
                return Err(ReplyError::owned(format!(
                    "ERR REPLCONF ip-address provided by replica instance is too long: {bytes} bytes"
                )));
            }
            let host = String::from_utf8_lossy(value).into_owned();
            ctx.server.announced(client).host = Some(host).filter(|host| !host.is_empty());
        } else if args.is(at, "CAPA") {
            let abilities = &mut ctx.server.announced(client).abilities;
            abilities.eof |= args.is(at + 1, "eof");
            abilities.psync2 |= args.is(at + 1, "psync2");
            abilities.rdb_channel |= args.is(at + 1, "rdb-channel-repl");
            abilities.own_forms |= args.is(at + 1, "aleadb-forms");
        } else if args.is(at, "VERSION") {
            let major = value.split(|byte| *byte == b'.').next().and_then(num::parse_u64);
            ctx.server.announced(client).abilities.valkey = major.and_then(|major| u32::try_from(major).ok());
        } else if args.is(at, "RDB-ONLY") {
            let only = num::parse_i64(value).ok_or(ReplyError::NOT_AN_INTEGER)?;
            if !(0..=1).contains(&only) {
                return Err(NOT_A_SWITCH);
            }
            ctx.server.announced(client).is_rdb_only = only == 1;
        } else if args.is(at, "RDB-FILTER-ONLY") {
            ctx.server.announced(client).left_out = filter(value)?;
        } else {
            return Err(ReplyError::about("ERR Unrecognized REPLCONF option: ", args.at(at), ""));
        }
        at += 2;
    }
    if ctx.session().is_replica {
        // Its output is the stream, in which a reply has no place.
        return Ok(Next::Close);
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

/// What a filter leaves out: all that it does not name.
fn filter(value: &[u8]) -> Result<LeftOut, ReplyError> {
    let words = quote::split_args(value).ok_or(NO_FILTERS)?;
    let mut left_out = LeftOut { data: true, functions: true };
    for word in words {
        if !word.eq_ignore_ascii_case(b"functions") {
            return Err(ReplyError::about("ERR Unsupported rdb-filter-only option: ", &word, ""));
        }
        left_out.functions = false;
    }
    Ok(left_out)
}

/// A replica says how far it is. It is not answered, nor is anybody else who says that.
fn acknowledge(ctx: &mut Ctx<'_>, args: Args<'_>, at: usize) {
    let Some(offset) = num::parse_u64(args.at(at + 1)) else { return };
    let durable = args.get(at + 3).filter(|_| args.is(at + 2, "FACK")).and_then(num::parse_u64);
    ctx.server.note_ack(ctx.client, offset, durable, ctx.now);
}

pub(super) fn sync(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    if !may_begin(ctx)? {
        return Ok(Next::Done);
    }
    log::info!("Replica {} asks for synchronization", ctx.server.replica_name(ctx.client));
    ctx.server.announced(ctx.client).is_old = true;
    ctx.server.attach_waiting(ctx.client, ctx.now);
    Ok(Next::Done)
}

pub(super) fn psync(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (id, offset) = (args.at(1), num::parse_i64(args.at(2)));
    if !ctx.session().is_replica && args.get(3).is_some_and(|word| word.eq_ignore_ascii_case(b"failover")) {
        take_over(ctx, id)?;
    }
    if !may_begin(ctx)? {
        return Ok(Next::Done);
    }
    let name = ctx.server.replica_name(ctx.client);
    log::info!("Replica {name} asks for synchronization");
    let Some(offset) = offset else {
        log::warn!("Replica {name} asks for synchronization but with a wrong offset");
        return Err(ReplyError::NOT_AN_INTEGER);
    };
    // What has been passed on in this turn is a part of the stream.
    ctx.server.distribute(ctx.now);
    let client = ctx.client;
    match may_go_on(ctx.server, id, offset) {
        Ok(next) => {
            if ctx.server.announced(client).abilities.psync2 {
                ctx.reply.simple(&format!("CONTINUE {}", ctx.server.replication.history.id));
            } else {
                ctx.reply.simple("CONTINUE");
            }
            ctx.server.attach_at(client, next, ctx.now);
            let bytes = ctx.server.replication.history.offset + 1 - next;
            log::info!(
                "Partial resynchronization request from {name} accepted. Sending {bytes} bytes of backlog starting from offset \
                 {next}."
            );
        }
        Err(refused) => {
            refused.tell(ctx.server, &name, id, offset);
            let is_unnamed = id.first() == Some(&b'?');
            let is_ahead = u64::try_from(offset).is_ok_and(|next| next > ctx.server.replication.history.offset + 1);
            if matches!(refused, Refused::History) && !is_unnamed && is_ahead && holds_less(ctx.server) {
                log::warn!(
                    "Refusing a full synchronisation to replica {name}: this server has started without data and keeps none on \
                     disk, and the replica holds data of another history, which would be lost. `REPLICAOF NO ONE` there keeps it; \
                     `CONFIG SET replica-accept-empty-primary yes` here gives it up"
                );
                return Err(BEGAN_EMPTY);
            }
            ctx.server.replication.counts.refused += u64::from(!is_unnamed);
            ctx.server.attach_waiting(client, ctx.now);
        }
    }
    Ok(Next::Done)
}

/// Why a replica cannot go on where it was.
enum Refused {
    /// It asks for no history.
    Unnamed,
    /// Its history is another, or parts from this one before that offset.
    History,
    /// The bytes are not kept.
    Backlog,
}

impl Refused {
    fn tell(&self, server: &Server, name: &str, id: &[u8], offset: i64) {
        let history = &server.replication.history;
        match self {
            Refused::Unnamed => log::info!("Full resync requested by replica {name}"),
            Refused::History => {
                let former = history.former.as_ref();
                let asked = server.shown_in_log(id);
                match former.filter(|former| former.id.as_bytes().eq_ignore_ascii_case(id)) {
                    Some(former) => log::info!(
                        "Partial resynchronization not accepted: Requested offset for second ID was {offset}, but I can reply up to {}",
                        former.upto
                    ),
                    None => log::info!(
                        "Partial resynchronization not accepted: Replication ID mismatch (Replica asked for '{asked}', my \
                         replication IDs are '{}' and '{}')",
                        history.id,
                        former.map_or_else(|| "0".repeat(40), |former| former.id.clone())
                    ),
                }
            }
            Refused::Backlog => {
                log::info!(
                    "Unable to partial resync with replica {name} for lack of backlog (Replica request was: {offset})."
                );
                if u64::try_from(offset).is_ok_and(|offset| offset > history.offset + 1) {
                    log::warn!(
                        "Warning: replica {name} tried to PSYNC with an offset that is greater than the master replication offset."
                    );
                }
            }
        }
    }
}

/// The offset of the next byte that a replica is to be sent, if it can go on with its history.
fn may_go_on(server: &Server, id: &[u8], offset: i64) -> Result<u64, Refused> {
    if id.first() == Some(&b'?') {
        return Err(Refused::Unnamed);
    }
    let replication = &server.replication;
    let next = u64::try_from(offset).map_err(|_| Refused::History)?;
    let history = &replication.history;
    if history.id.as_bytes().eq_ignore_ascii_case(id) || history.shares(id, next) {
        let has = replication.backlog.as_ref().is_some_and(|backlog| backlog.has_from(next));
        return if has { Ok(next) } else { Err(Refused::Backlog) };
    }
    Err(Refused::History)
}

/// True if what this server holds is no later state of anybody's data, and cannot be.
fn holds_less(server: &Server) -> bool {
    let config = &server.config;
    let keeps_none = config.save.is_empty() && !config.appendonly;
    server.replication.began_empty && keeps_none && !config.replica_accept_empty_primary
}

/// The primary that is followed asks this server to take its place.
fn take_over(ctx: &mut Ctx<'_>, id: &[u8]) -> Result<(), ReplyError> {
    let server = &mut *ctx.server;
    log::info!("Failover request received for replid {}.", server.shown_in_log(id));
    if !server.replication.is_following() {
        return Err(TO_A_PRIMARY);
    }
    if !server.replication.history.id.as_bytes().eq_ignore_ascii_case(id) {
        return Err(OTHER_HISTORY);
    }
    server.stop_following();
    log::info!("MASTER MODE enabled (failover request from '{}')", server.clients[ctx.client].peer);
    Ok(())
}

/// False for who is a replica already, and asks in vain.
///
/// # Errors
/// Nobody is synchronised at present, or not this client.
fn may_begin(ctx: &mut Ctx<'_>) -> Result<bool, ReplyError> {
    let (server, client): (&Server, ClientId) = (ctx.server, ctx.client);
    let session = &server.clients[client];
    if session.is_replica || session.is_monitor {
        return Ok(false);
    }
    if server.replication.failover.is_some() {
        return Err(FAILING_OVER);
    }
    if server.replication.following.as_ref().is_some_and(|following| following.state != LinkState::Connected) {
        return Err(NO_LINK);
    }
    let asked = session.replica.as_ref();
    if asked.is_some_and(|replica| replica.left_out.any() && !replica.abilities.eof) {
        return Err(NO_EOF);
    }
    if !ctx.reply.out().is_empty() {
        return Err(PENDING);
    }
    Ok(true)
}
