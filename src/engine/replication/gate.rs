//! What a server refuses for the sake of replication.

use crate::command::Command;
use crate::command::spec::Flags;
use crate::config::ServerAddress;
use crate::engine::transaction;
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;
use crate::server::replication::following::LinkState;

/// What a replica answers to those who want to change something.
pub const READ_ONLY: ReplyError = ReplyError::new("READONLY You can't write against a read only replica.");
const STALE: ReplyError =
    ReplyError::new("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.");
const REPLACING: ReplyError = ReplyError::new("LOADING Redis is loading the dataset in memory");

/// Where a client that can be redirected is told to go with a command that writes or reads, if it is: to the primary. See CLIENT
/// CAPA and READONLY.
#[cold]
pub(in crate::engine) fn redirection(
    server: &Server,
    client: ClientId,
    command: &Command,
    args: Args<'_>,
) -> Option<ReplyError> {
    let session = &server.clients[client];
    if !session.redirects {
        return None;
    }
    let flags = transaction::flags(server, client, command, args);
    if !flags.has(Flags::WRITE) && (session.reads_here || !flags.has(Flags::READONLY)) {
        return None;
    }
    let ServerAddress { host, port } = &server.replication.following.as_ref()?.primary;
    Some(ReplyError::owned(format!("REDIRECT {host}:{port}")))
}

/// Why a command that changes data is refused, if it is.
#[cold]
pub(in crate::engine) fn refusal(
    server: &Server,
    client: ClientId,
    command: &Command,
    args: Args<'_>,
) -> Option<ReplyError> {
    let is_read_only = server.replication.is_following() && server.config.replica_read_only;
    (is_read_only && transaction::flags(server, client, command, args).has(Flags::WRITE)).then_some(READ_ONLY)
}

/// Why a command that sees data is refused, if it is: there is none, or it is old.
#[cold]
pub(in crate::engine) fn stale_refusal(server: &Server, command: &Command) -> Option<ReplyError> {
    let following = server.replication.following.as_ref()?;
    let flags = command.spec.flags;
    if following.state != LinkState::Connected && !server.config.replica_serve_stale_data && !flags.has(Flags::STALE) {
        return Some(STALE);
    }
    (following.is_without_data() && !flags.has(Flags::LOADING)).then_some(REPLACING)
}
