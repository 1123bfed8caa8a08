//! ACL: users and their permissions. The rows and the handlers below; whether a line is allowed is asked in [`permission`].
//!
//! Whoever changes users here also ends the queries that their clients may not watch any more.

pub mod permission;

use std::path::Path;

use super::spec::{Category, Flags, Group, Outcome, Spec};
use super::{catalog, help, lookup, reactive, resolve};
use crate::base::num;
use crate::config::Line;
use crate::config::file::{Files, RealFiles, write_atomically};
use crate::feature::acl::log::Context;
use crate::feature::acl::rules::has_spaces;
use crate::feature::acl::selector::Selector;
use crate::feature::acl::{DEFAULT_NAME, Reason, User, file};
use crate::feature::client_id::ClientId;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::ctx::{Ctx, Next};
use crate::server::session::LateReply;
use crate::sys::{error_text, limits};

/// Bits of a password that GENPASS makes unless told otherwise, and at the most.
const PASSWORD_BITS: i64 = 256;
const PASSWORD_BITS_MAX: i64 = 4096;
/// Entries that LOG shows unless told otherwise.
const LOG_ENTRIES: i64 = 10;
/// Bytes of an unknown category that its error repeats.
const ECHO_BYTES_MAX: usize = 128;

const ANY_TIME: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const FLAGS: Flags = ANY_TIME.with(Flags::ADMIN);

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container("ACL", SUBCOMMANDS).group(Group::Server, Category::NONE, "6.0.0").doc(
    "Holds the commands about users and their permissions.",
    "Depends on subcommand.",
    "",
)];

const SUBCOMMANDS: &[Spec] = &[
    row("CAT", -2, ANY_TIME, "6.0.0", cat).doc(
        "Lists the categories of commands, or the commands in one of them.",
        "O(1) since the categories and commands are a fixed set.",
        "[category]",
    ),
    row("DELUSER", -3, FLAGS, "6.0.0", deluser).secrets(about_users).tips(TO_ALL).doc(
        "Removes users, and disconnects their clients.",
        "O(1) amortized time considering the typical user.",
        "username [username ...]",
    ),
    row("DRYRUN", -4, FLAGS, "7.0.0", dryrun).doc(
        "Tells whether a user may run a command, without running it.",
        "O(1).",
        "username command [arg [arg ...]]",
    ),
    row("GENPASS", -2, ANY_TIME, "6.0.0", genpass).doc("Makes a password that nobody can guess.", "O(1)", "[bits]"),
    row("GETUSER", 3, FLAGS, "6.0.0", getuser)
        .secrets(about_users)
        .doc(
            "Describes a user.",
            "O(N). Where N is the number of password, command and pattern rules that the user has.",
            "username",
        )
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            (
                "7.0.0",
                "Added selectors and changed the format of key and channel patterns from a list to their rule \
                 representation.",
            ),
        ]),
    Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
        .group(Group::Server, Category::NONE, "6.0.0")
        .doc("Lists the subcommands.", "O(1)", ""),
    row("LIST", 2, FLAGS, "6.0.0", list).doc(
        "Describes all users as an ACL file does.",
        "O(N). Where N is the number of configured users.",
        "",
    ),
    row("LOAD", 2, FLAGS, "6.0.0", load).doc(
        "Reads the users from the ACL file.",
        "O(N). Where N is the number of configured users.",
        "",
    ),
    row("LOG", -2, FLAGS, "6.0.0", log)
        .doc("Shows what was refused lately.", "O(N) with N being the number of entries shown.", "[count | RESET]")
        .history(&[("7.2.0", "Added entry ID, timestamp created, and timestamp last updated.")]),
    row("SAVE", 2, FLAGS, "6.0.0", save).tips(TO_ALL).doc(
        "Writes the users to the ACL file.",
        "O(N). Where N is the number of configured users.",
        "",
    ),
    row("SETUSER", -3, FLAGS, "6.0.0", setuser)
        .secrets(about_users)
        .tips(TO_ALL)
        .doc(
            "Makes a user, or changes one, by rules.",
            "O(N). Where N is the number of rules provided.",
            "username [rule [rule ...]]",
        )
        .history(&[
            ("6.2.0", "Added Pub/Sub channel patterns."),
            ("7.0.0", "Added selectors and key based permissions."),
        ]),
    row("USERS", 2, FLAGS, "6.0.0", users).doc(
        "Lists the names of all users.",
        "O(N). Where N is the number of configured users.",
        "",
    ),
    row("WHOAMI", 2, ANY_TIME, "6.0.0", whoami).doc("Answers whose connection this is.", "O(1)", ""),
];

/// Names of users are as secret as their passwords.
fn about_users(line: Args<'_>) -> Vec<usize> {
    (2..line.len()).collect()
}

const TO_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

const fn row(name: &'static str, arity: i32, flags: Flags, since: &'static str, handler: super::spec::Handler) -> Spec {
    Spec::new(name, arity, flags, handler).group(Group::Server, Category::NONE, since)
}

const NO_FILE: ReplyError = ReplyError::new(
    "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command \
     and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis \
     configuration.",
);
const NOT_SAVED: ReplyError = ReplyError::new(
    "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
);
const BAD_NAME: ReplyError = ReplyError::new("ERR Usernames can't contain spaces or null characters");
const DEFAULT_STAYS: ReplyError = ReplyError::new("ERR The 'default' user cannot be removed");
const BAD_BITS: ReplyError = ReplyError::new(
    "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
);

/// Too many arguments for a subcommand, whose name is repeated as the client wrote it.
fn misused(args: Args<'_>) -> ReplyError {
    ReplyError::about("ERR unknown subcommand or wrong number of arguments for '", args.at(1), "'. Try ACL HELP.")
}

// --- Whose connection it is -------------------------------------------------------------------------------------------

/// Makes a client the user's whose password it has given, if it has; a failure is counted and noted.
pub(super) fn authenticate(ctx: &mut Ctx<'_>, args: Args<'_>, name: &[u8], password: &[u8]) -> bool {
    let users = &ctx.server.acl.users;
    let (found, user) = match users.find(name) {
        Some(id) => (Some(id), &users[id]),
        // The default user's password is looked at in place of one that nobody has, so that the time does not tell which names
        // there are.
        None => (None, users.default_user()),
    };
    let accepted = user.accepts(password);
    match found.filter(|_| accepted) {
        Some(id) => {
            ctx.server.log_in(ctx.client, id);
            ctx.renew_output_limit();
            reactive::end_forbidden(ctx.server, ctx.client);
            true
        }
        None => {
            let context = if ctx.session().transaction.is_some() { Context::Multi } else { Context::Toplevel };
            permission::note_failed_login(ctx.server, ctx.client, name, args, context);
            false
        }
    }
}

/// Counts a wrong password for the address it comes from, and answers it: at once, or after `auth-failure-delay-ms`, those of
/// one address one after the other.
pub(super) fn refuse_password(ctx: &mut Ctx<'_>) -> Outcome {
    let may_wait = ctx.may_block();
    let delay_ms = ctx.server.config.auth_failure_delay_ms;
    let Server { acl, clients, .. } = &mut *ctx.server;
    let peer = &clients[ctx.client].peer;
    let address = peer.rsplit_once(':').map_or(&**peer, |(address, _)| address);
    let failed = acl.failures.note(address, ctx.now.mono_ms(), if may_wait { delay_ms } else { 0 });
    if failed.is_notable() {
        ::log::warn!(
            "{} wrong passwords have come from {address}; `auth-failure-delay-ms` has each wait for its answer",
            failed.count
        );
    }
    if delay_ms == 0 || !may_wait {
        return Err(ReplyError::WRONG_PASSWORD);
    }
    Ok(Next::Sleep { until_ms: failed.answered_ms, reply: LateReply::WrongPassword })
}

fn whoami(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, client, reply, .. } = ctx;
    reply.bulk(server.acl.users[server.clients[*client].user].name());
    Ok(Next::Done)
}

// --- Users ------------------------------------------------------------------------------------------------------------

fn setuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let name = args.at(2);
    if has_spaces(name) {
        return Err(BAD_NAME);
    }
    let words: Vec<&[u8]> = args.iter_from(3).collect();
    let rules = ctx.server.rules();
    let users = &ctx.server.acl.users;
    let changed = match users.find(name) {
        Some(id) => users[id].changed(&words, rules),
        None => User::new(name, rules).changed(&words, rules),
    };
    let user = changed.map_err(|refused| ReplyError::owned([b"ERR ", &*refused.text()].concat()))?;
    let expels_caller = ctx.server.put_user(user, ctx.client);
    let id = ctx.server.acl.users.find(name);
    let clients = id.map(|id| ctx.server.clients_of(id)).unwrap_or_default();
    clients.into_iter().for_each(|client| reactive::end_forbidden(ctx.server, client));
    ctx.reply.ok();
    Ok(next(expels_caller))
}

fn deluser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.iter_from(2).any(|name| name == DEFAULT_NAME) {
        return Err(DEFAULT_STAYS);
    }
    let (removed, expels_caller) = ctx.server.remove_users(args.iter_from(2), ctx.client);
    reactive::end_forbidden(ctx.server, ctx.client);
    ctx.reply.integer(removed as i64);
    Ok(next(expels_caller))
}

/// A caller whose own user is gone gets its answer, and no more.
fn next(expels_caller: bool) -> Next {
    if expels_caller { Next::Close } else { Next::Done }
}

fn users(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let users = server.acl.users.iter();
    reply.array(users.len());
    users.for_each(|(_, user)| reply.bulk(user.name()));
    Ok(Next::Done)
}

fn list(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let users = server.acl.users.iter();
    reply.array(users.len());
    users.for_each(|(_, user)| reply.bulk(&user.line()));
    Ok(Next::Done)
}

fn getuser(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let Some(id) = server.acl.users.find(args.at(2)) else {
        reply.null();
        return Ok(Next::Done);
    };
    let user = &server.acl.users[id];
    reply.map(6);
    let flags = user.flags();
    reply.bulk_str("flags");
    reply.set(flags.len());
    flags.iter().for_each(|flag| reply.bulk_str(flag));
    reply.bulk_str("passwords");
    let passwords = user.passwords();
    reply.array(passwords.len());
    passwords.for_each(|digest| reply.bulk_str(&digest));
    let (root, others) = user.selectors().split_first().expect("every user has a selector");
    write_selector(reply, root);
    reply.bulk_str("selectors");
    reply.array(others.len());
    for selector in others {
        reply.map(3);
        write_selector(reply, selector);
    }
    Ok(Next::Done)
}

fn write_selector(reply: &mut Reply<'_>, selector: &Selector) {
    let rows = [
        ("commands", selector.commands_text().join(&b' ')),
        ("keys", selector.keys_text().join(&b' ')),
        ("channels", selector.channels_text().join(&b' ')),
    ];
    for (field, text) in rows {
        reply.bulk_str(field);
        reply.bulk(&text);
    }
}

fn cat(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let catalog = catalog();
    let names: Vec<&str> = match args.len() {
        2 => catalog.categories().collect(),
        3 => {
            let bit = catalog.category(args.at(2)).ok_or_else(|| unknown_category(args.at(2)))?;
            catalog.entries().filter(|(_, entry)| entry.categories & bit != 0).map(|(_, entry)| &*entry.name).collect()
        }
        _ => return Err(misused(args)),
    };
    ctx.reply.array(names.len());
    names.iter().for_each(|name| ctx.reply.bulk_str(name));
    Ok(Next::Done)
}

fn unknown_category(name: &[u8]) -> ReplyError {
    ReplyError::about("ERR Unknown category '", &name[..name.len().min(ECHO_BYTES_MAX)], "'")
}

fn dryrun(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let users = &ctx.server.acl.users;
    let id = users.find(args.at(2)).ok_or_else(|| ReplyError::about("ERR User '", args.at(2), "' not found"))?;
    let line = args.tail(3);
    let not_found = || ReplyError::about("ERR Command '", line.at(0), "' not found");
    let command = lookup(line.at(0)).and_then(|named| resolve(Some(named), line).ok()).ok_or_else(not_found)?;
    if !command.spec.takes(line.len()) {
        return Err(ReplyError::arity(&command.full_name));
    }
    match permission::check_user(&users[id], command, line) {
        Ok(()) => ctx.reply.ok(),
        Err(denied) => ctx.reply.bulk(&permission::explanation(&users[id], command, line, denied)),
    }
    Ok(Next::Done)
}

fn genpass(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let bits = match args.len() {
        2 => PASSWORD_BITS,
        3 => num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?,
        _ => return Err(misused(args)),
    };
    if !(1..=PASSWORD_BITS_MAX).contains(&bits) {
        return Err(BAD_BITS);
    }
    let digits = (bits as usize).div_ceil(4);
    let mut text = String::new();
    while text.len() < digits {
        limits::entropy().iter().for_each(|byte| text.push_str(&format!("{byte:02x}")));
    }
    ctx.reply.bulk_str(&text[..digits]);
    Ok(Next::Done)
}

// --- What was refused -------------------------------------------------------------------------------------------------

fn log(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let most = match args.len() {
        2 => LOG_ENTRIES,
        3 if args.is(2, "RESET") => {
            ctx.server.acl.log.clear();
            ctx.reply.ok();
            return Ok(Next::Done);
        }
        3 => num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?,
        _ => return Err(misused(args)),
    };
    let Ctx { server, reply, now, .. } = ctx;
    let entries = server.acl.log.iter();
    let count = entries.len().min(usize::try_from(most).unwrap_or(0));
    reply.array(count);
    for entry in entries.take(count) {
        let refusal = &entry.refusal;
        reply.map(10);
        reply.bulk_str("count");
        reply.integer(entry.count as i64);
        let reason = match refusal.reason {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Channel => "channel",
            Reason::Auth => "auth",
        };
        for (field, text) in [
            ("reason", reason.as_bytes()),
            ("context", refusal.context.name().as_bytes()),
            ("object", &refusal.object),
            ("username", &refusal.username),
        ] {
            reply.bulk_str(field);
            reply.bulk(text);
        }
        reply.bulk_str("age-seconds");
        reply.double((now.unix_ms - entry.updated_ms) as f64 / 1000.0);
        reply.bulk_str("client-info");
        reply.bulk(&refusal.client_info);
        for (field, number) in [
            ("entry-id", entry.id as i64),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ] {
            reply.bulk_str(field);
            reply.integer(number);
        }
    }
    Ok(Next::Done)
}

// --- The file ---------------------------------------------------------------------------------------------------------

fn load(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let path = ctx.server.config.aclfile.clone().ok_or(NO_FILE)?;
    let users = read_file(ctx.server, &path).map_err(|text| ReplyError::owned([b"ERR ", &*text].concat()))?;
    let expels_caller = ctx.server.replace_users(users, ctx.client);
    end_all_forbidden(ctx.server);
    ctx.reply.ok();
    Ok(next(expels_caller))
}

fn save(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let path = ctx.server.config.aclfile.clone().ok_or(NO_FILE)?;
    if let Err(error) = write_atomically(&path, &file::write(&ctx.server.acl.users)) {
        ::log::warn!("Saving the ACL file {}: {}", path.display(), error_text(&error));
        return Err(NOT_SAVED);
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

/// The users of the ACL file.
///
/// # Errors
/// It cannot be read, or something in it is wrong.
fn read_file(server: &Server, path: &Path) -> Result<Vec<User>, Vec<u8>> {
    let text = RealFiles.read(path);
    let text = text.map_err(|error| {
        format!("Error loading ACLs, opening file '{}': {}", path.display(), error_text(&error)).into_bytes()
    })?;
    file::read(&text, &path.display().to_string(), server.rules())
}

/// Ends every query that its watcher may not watch any more. O(queries watched by clients that are restricted).
fn end_all_forbidden(server: &mut Server) {
    let clients: Vec<ClientId> = server.clients.present().map(|(client, _)| client).collect();
    clients.into_iter().for_each(|client| reactive::end_forbidden(server, client));
}

/// The users that the configuration declares: those of its lines, or those of the ACL file. To be called once, before a client
/// can connect.
///
/// # Errors
/// Something is wrong with them, and nobody must be served.
pub fn load_at_start(server: &mut Server) -> Result<(), String> {
    let nobody = server.clients.internal();
    let lines = server.config_sources.users().to_vec();
    if !lines.is_empty() && server.config.aclfile.is_some() {
        return Err("Configuring AleaDB with users defined in the configuration file and at the same setting an ACL file path is \
                    invalid. This setup is very likely to lead to configuration errors and security holes, please define \
                    either an ACL file or declare users directly in your configuration file, but not both."
            .to_owned());
    }
    let rules = server.rules();
    for line in &lines {
        if has_spaces(&line.name) {
            return Err(line.error("Spaces not allowed in ACL usernames").to_string());
        }
        let words: Vec<&[u8]> = line.rules.iter().map(Vec::as_slice).collect();
        let user = User::new(&line.name, rules).changed(&words, rules);
        let user =
            user.map_err(|refused| line.error(&String::from_utf8_lossy(&refused.text_for_logs())).to_string())?;
        if !user.is_enabled() {
            ::log::warn!(
                "The user '{}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a \
                 configuration error.",
                line.name.escape_ascii()
            );
        }
        server.put_user(user, nobody);
    }
    if let Some(path) = server.config.aclfile.clone() {
        let users = read_file(server, &path).map_err(|errors| {
            format!("Aborting startup because of ACL errors: {}", String::from_utf8_lossy(&errors))
        })?;
        server.replace_users(users, nobody);
    }
    Ok(())
}

/// The lines that declare the users as they are in a configuration file, without the word `user`, and whether each has to be
/// there: that of a default user who is as `requirepass` alone makes it has not. There are none where an ACL file has them.
pub(super) fn config_lines(server: &Server) -> Vec<Line> {
    if server.config.aclfile.is_some() {
        return Vec::new();
    }
    let mut plain = User::unlimited(DEFAULT_NAME, catalog());
    plain.set_only_password(&server.config.requirepass);
    let line = |user: &User| (user.config_line(), user.line() != plain.line());
    server.acl.users.iter().map(|(_, user)| line(user)).collect()
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "ACL",
        &[
            "CAT [<category>]",
            "    List all commands that belong to <category>, or all command categories",
            "    when no category is specified.",
            "DELUSER <username> [<username> ...]",
            "    Delete a list of users.",
            "DRYRUN <username> <command> [<arg> ...]",
            "    Returns whether the user can execute the given command without executing the command.",
            "GETUSER <username>",
            "    Get the user's details.",
            "GENPASS [<bits>]",
            "    Generate a secure 256-bit user password. The optional `bits` argument can",
            "    be used to specify a different size.",
            "LIST",
            "    Show users details in config file format.",
            "LOAD",
            "    Reload users from the ACL file.",
            "LOG [<count> | RESET]",
            "    Show the ACL log entries.",
            "SAVE",
            "    Save the current config to the ACL file.",
            "SETUSER <username> <attribute> [<attribute> ...]",
            "    Create or modify a user with the specified attributes.",
            "USERS",
            "    List all the registered usernames.",
            "WHOAMI",
            "    Return the current connection username.",
        ],
    );
    Ok(Next::Done)
}
