//! May a client's user run this line? Asked at the gate of every command of a user who is restricted, again when EXEC runs
//! what was queued, for the command inside a query, and for every command of a script.
//!
//! A refusal is counted and noted in the log that ACL LOG shows.

use super::super::spec::Flags;
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

/// True if it takes no more than a look to see that a client's user may run a line that fits the command's arity: one with one
/// key, allowed whatever else it says. Most lines are. O(the user's patterns).
#[inline]
pub fn is_plain(server: &Server, client: ClientId, command: &Command, args: Args<'_>) -> bool {
    let session = &server.clients[client];
    session.authenticated
        && command.only_key.is_some_and(|only| {
            let key = args.get(only.place).unwrap_or_default();
            server.acl.users[session.user].allows_on_key(command.id, key, only.access)
        })
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
    if let Some(only) = command.only_key {
        return judge(&Asked { keys: &[only], ..asked });
    }
    let keys: Vec<KeyAsked> = spec.keys_of(args).into_iter().map(KeyAsked::from).collect();
    judge(&Asked { keys: &keys, ..asked })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command;
    use crate::feature::acl::Rules;
    use crate::resp::args::OwnedArgs;

    /// Lines of as many words as the arity asks for, all of them the key.
    #[test]
    fn a_look_allows_nothing_that_the_whole_check_refuses() {
        let catalog = command::catalog();
        let rules = Rules { catalog, all_channels: false };
        let (mut plain, mut only_by_others) = (0, 0);
        for words in [
            "~k* +@all",
            "%R~k* +@all",
            "%W~k +@all -set +get",
            "allkeys +@read",
            "~x* +@all (%R~k* +@write) (%W~*1 +@string)",
            "~k1 -@all +get|k1 (~k2 +set)",
        ] {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            let user = User::new(b"u", rules).changed(&words, rules).expect("valid rules");
            for command in
                command::all().iter().flat_map(|command| std::iter::once(command).chain(&command.subcommands))
            {
                for key in ["k", "k1", "x", "other"] {
                    let count = command.spec.arity.unsigned_abs() as usize;
                    let line = OwnedArgs::new(std::iter::repeat_n(key.as_bytes(), count));
                    let is_plain = command
                        .only_key
                        .is_some_and(|only| user.allows_on_key(command.id, line.as_args().at(only.place), only.access));
                    let is_allowed = check_user(&user, command, line.as_args()).is_ok();
                    assert!(is_allowed || !is_plain, "{} {key}", command.full_name);
                    plain += usize::from(is_plain);
                    only_by_others += usize::from(is_allowed && !is_plain && command.only_key.is_some());
                }
            }
        }
        assert!(plain > 100 && only_by_others > 0, "{plain} {only_by_others}");
    }
}
