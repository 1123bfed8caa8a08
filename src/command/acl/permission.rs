//! May a client's user run this line? Asked at the gate of every command of a user who is restricted, again when EXEC runs
//! what was queued, for the command inside a query, and for every command of a script.
//!
//! A refusal is counted and noted in the log that ACL LOG shows.

use super::super::spec::{Access, Flags, KeyUse};
use super::super::{Command, client as clients};
use crate::feature::acl::log::{Context, Refusal};
use crate::feature::acl::{Asked, Denied, KeyAccess, KeyAsked, Reason, User};
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::Server;

/// Whether a client's user may run a line that fits the command's arity. O(keys of the line times the user's patterns).
///
/// # Errors
/// What it may not.
#[inline]
pub fn check(server: &Server, client: ClientId, command: &Command, args: Args<'_>) -> Result<(), Denied> {
    let session = &server.clients[client];
    if session.unlimited {
        return Ok(());
    }
    // Such as one that has just deleted its own user, in a transaction.
    if server.needs_auth(client) && !command.spec.flags.has(Flags::NO_AUTH) {
        return Err(Denied { reason: Reason::Command, place: 0 });
    }
    check_user(&server.acl.users[session.user], command, args)
}

/// Whether a user may run a line that fits the command's arity.
///
/// # Errors
/// What it may not.
#[inline]
pub fn check_user(user: &User, command: &Command, args: Args<'_>) -> Result<(), Denied> {
    with_asked(user, command, args, |asked| user.check(asked))
}

/// Whether a client's user may run a line and use every key in this way: what a command needs whose line does not tell its
/// keys.
pub fn may_use_all_keys(
    server: &Server,
    client: ClientId,
    command: &Command,
    args: Args<'_>,
    access: KeyAccess,
) -> bool {
    let session = &server.clients[client];
    let user = &server.acl.users[session.user];
    session.unlimited || with_asked(user, command, args, |asked| user.check_with_all_keys(asked, access))
}

/// Gives `judge` a line as selectors see it. Keys are only looked for if some selector cares.
#[inline]
fn with_asked<T>(user: &User, command: &Command, args: Args<'_>, judge: impl FnOnce(&Asked<'_>) -> T) -> T {
    let spec = command.spec;
    let is_subcommand = command.full_name.len() > spec.name.len();
    let asked = Asked {
        command: command.id,
        is_free: spec.flags.has(Flags::NO_AUTH),
        first_arg: if is_subcommand { 2 } else { 1 },
        args,
        keys: &[],
        channels: spec.channels,
    };
    // What does not fit the arity, which a script may ask about, has no keys.
    if spec.keys.is_empty() || !user.looks_at_keys() || !spec.takes(args.len()) {
        return judge(&asked);
    }
    if let Some(only) = spec.only_key() {
        return judge(&Asked { keys: &[asked_of(only)], ..asked });
    }
    let keys: Vec<KeyAsked> = spec.keys_of(args).into_iter().map(asked_of).collect();
    judge(&Asked { keys: &keys, ..asked })
}

#[inline]
fn asked_of(key: KeyUse) -> KeyAsked {
    const WRITES: Access = Access::INSERT.with(Access::DELETE).with(Access::UPDATE);
    let access = KeyAccess { read: key.access.has(Access::ACCESS), write: key.access.has(WRITES) };
    KeyAsked { place: key.index, access }
}

/// Notes a refusal, and tells what the client is answered.
#[cold]
pub fn refuse(
    server: &mut Server,
    client: ClientId,
    command: &Command,
    args: Args<'_>,
    denied: Denied,
    context: Context,
) -> ReplyError {
    note(server, client, command, args, denied, context);
    error(&server.acl.users[server.clients[client].user], command, denied)
}

/// Counts a refusal and puts it into the log.
pub fn note(
    server: &mut Server,
    client: ClientId,
    command: &Command,
    args: Args<'_>,
    denied: Denied,
    context: Context,
) {
    let object = match denied.reason {
        Reason::Command => command.full_name.as_bytes(),
        Reason::Key | Reason::Channel | Reason::Auth => args.get(denied.place).unwrap_or_default(),
    };
    let username = server.acl.users[server.clients[client].user].name().to_vec();
    note_object(server, client, (denied.reason, object), username, args.total_bytes(), context);
}

/// Counts a refused password, of whom `username` names, and puts it into the log.
pub fn note_failed_login(server: &mut Server, client: ClientId, username: &[u8], args: Args<'_>, context: Context) {
    note_object(server, client, (Reason::Auth, args.at(0)), username.to_vec(), args.total_bytes(), context);
}

fn note_object(
    server: &mut Server,
    client: ClientId,
    (reason, object): (Reason, &[u8]),
    username: Vec<u8>,
    argv_bytes: usize,
    context: Context,
) {
    let denied = &mut server.stats.denied;
    *match reason {
        Reason::Command => &mut denied.command,
        Reason::Key => &mut denied.key,
        Reason::Channel => &mut denied.channel,
        Reason::Auth => &mut denied.auth,
    } += 1;
    let now = server.clock.now();
    let client_info = clients::line_of(server, client, now, argv_bytes);
    let refusal = Refusal { reason, context, object: object.to_vec(), username, client_info };
    let most = usize::try_from(server.config.acllog_max_len).unwrap_or(usize::MAX);
    server.acl.log.note(refusal, now.unix_ms, most);
}

/// What a client is answered. Which key or channel it was is not said.
pub fn error(user: &User, command: &Command, denied: Denied) -> ReplyError {
    match denied.reason {
        Reason::Command | Reason::Auth => ReplyError::owned(
            [b"NOPERM ", &*no_permission(user), b"run the '", command.full_name.as_bytes(), b"' command"].concat(),
        ),
        Reason::Key => ReplyError::new("NOPERM No permissions to access a key"),
        Reason::Channel => ReplyError::new("NOPERM No permissions to access a channel"),
    }
}

/// The same in all detail, for who may ask what others are refused.
pub fn explanation(user: &User, command: &Command, args: Args<'_>, denied: Denied) -> Vec<u8> {
    let (verb, object, noun): (&[u8], &[u8], &[u8]) = match denied.reason {
        Reason::Command | Reason::Auth => (b"run the '", command.full_name.as_bytes(), b"' command"),
        Reason::Key => (b"access the '", args.at(denied.place), b"' key"),
        Reason::Channel => (b"access the '", args.at(denied.place), b"' channel"),
    };
    [&*no_permission(user), verb, object, noun].concat()
}

fn no_permission(user: &User) -> Vec<u8> {
    [b"User ", user.name(), b" has no permissions to "].concat()
}
