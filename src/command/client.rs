//! CLIENT and its subcommands: the rows and the handlers below; which clients are meant is read in `filter`.

mod filter;
mod tracking;

use std::fmt::Write;

use super::connection::{is_plain, shown, valid_name};
use super::spec::{Category, Flags, Group, Outcome, Spec};
use filter::Filter;

use crate::base::clock::Now;
use crate::base::num;
use crate::feature::client_id::ClientId;
use crate::feature::pubsub::Kind;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Proto;
use crate::server::ctx::{Ctx, Next};
use crate::server::outgoing::LinkKind;
use crate::server::session::{Origin, ReplyMode, Session, UnblockedBy};
use crate::server::{Pause, Server};

const ANY_TIME: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];
const CHANGING: &[&str] = &["nondeterministic_output"];

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container("CLIENT", SUBCOMMANDS)
    .group(Group::Connection, Category::NONE, "2.4.0")
    .doc("Holds the commands about client connections.", "Depends on subcommand.", "")];

const SUBCOMMANDS: &[Spec] = &[
    own("CACHING", 3, "6.0.0", tracking::caching).doc(
        "Says whether the keys of the next command are tracked.",
        "O(1)",
        "<YES | NO>",
    ),
    own("CAPA", -3, "8.0.0", capa).doc(
        "Says what the client can do; `redirect`: go to the primary when a replica tells it to.",
        "O(1)",
        "capability [capability ...]",
    ),
    own("GETNAME", 2, "2.6.9", getname).doc("Answers the connection's name.", "O(1)", ""),
    own("GETREDIR", 2, "6.0.0", tracking::getredir).doc(
        "Answers the id of the client that tracking messages go to.",
        "O(1)",
        "",
    ),
    Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help)
        .group(Group::Connection, Category::CONNECTION, "5.0.0")
        .doc("Lists the subcommands.", "O(1)", ""),
    own("ID", 2, "5.0.0", id).doc("Answers the connection's id.", "O(1)", ""),
    own("IMPORT-SOURCE", 3, "8.1.0", import_source).doc(
        "Says that the connection brings data in: what is due is there for it, in import mode.",
        "O(1)",
        "<ON | OFF>",
    ),
    own("INFO", 2, "6.2.0", info).doc("Describes the connection.", "O(1)", "").tips(CHANGING),
    admin("KILL", -3, "2.4.0", kill)
        .doc(
            "Closes connections.",
            "O(N) where N is the number of client connections",
            "<ip:port | <[ID client-id] | [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | \
             [ADDR ip:port] | [LADDR ip:port] | [SKIPME <YES | NO>] | [MAXAGE maxage] ...>>",
        )
        .history(&[
            ("2.8.12", "Added the form with filters."),
            ("2.8.12", "`ID` option."),
            ("3.2.0", "Added `master` to the `TYPE` option."),
            ("5.0.0", "Added `replica` to the `TYPE` option; `slave` still means the same."),
            ("6.2.0", "`LADDR` option."),
            ("7.4.0", "`MAXAGE` option."),
        ]),
    admin("LIST", -2, "2.4.0", list)
        .doc(
            "Describes the connections.",
            "O(N) where N is the number of client connections",
            "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]",
        )
        .tips(CHANGING)
        .history(&[
            ("2.8.12", "Added the field `id`."),
            ("5.0.0", "Added the `TYPE` filter."),
            ("6.0.0", "Added the field `user`."),
            ("6.2.0", "Added the fields `argv-mem`, `tot-mem`, `laddr` and `redir`, and the `ID` filter."),
            ("7.0.0", "Added the fields `resp`, `multi-mem`, `rbs` and `rbp`."),
            ("7.0.3", "Added the field `ssub`."),
            ("7.2.0", "Added the fields `lib-name` and `lib-ver`."),
            ("7.4.0", "Added the field `watch`."),
            ("8.0.0", "Added the field `io-thread`."),
        ]),
    admin("NO-EVICT", 3, "7.0.0", no_evict).doc("Keeps the connection when clients are evicted.", "O(1)", "<ON | OFF>"),
    own("NO-TOUCH", 3, "7.2.0", no_touch).doc(
        "Lets the connection's commands leave the access times of keys alone.",
        "O(1)",
        "<ON | OFF>",
    ),
    admin("PAUSE", -3, "3.0.0", pause)
        .doc("Holds commands back for a while.", "O(1)", "timeout [WRITE | ALL]")
        .history(&[("6.2.0", "Added the mode `WRITE` with the `mode` option.")]),
    own("REPLY", 3, "3.2.0", reply).doc("Says which replies the connection wants.", "O(1)", "<ON | OFF | SKIP>"),
    own("SETINFO", 4, "7.2.0", setinfo)
        .doc("Tells which library the client uses.", "O(1)", "<LIB-NAME libname | LIB-VER libver>")
        .tips(EVERYWHERE),
    own("SETNAME", 3, "2.6.9", setname).doc("Names the connection.", "O(1)", "connection-name").tips(EVERYWHERE),
    own("TRACKING", -3, "6.0.0", tracking::tracking).doc(
        "Has the connection told of changes of keys, for its cache.",
        "O(1). Some options may introduce additional complexity.",
        "<ON | OFF> [REDIRECT client-id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]",
    ),
    own("TRACKINGINFO", 2, "6.2.0", tracking::trackinginfo).doc(
        "Answers what the connection is told of for its cache.",
        "O(1)",
        "",
    ),
    admin("UNBLOCK", -3, "5.0.0", unblock).doc(
        "Ends another client's wait.",
        "O(log N) where N is the number of client connections",
        "client-id [TIMEOUT | ERROR]",
    ),
    admin("UNPAUSE", 2, "6.2.0", unpause).doc("Ends the pause.", "O(N) Where N is the number of paused clients", ""),
];

/// A row about the caller's own connection.
const fn own(name: &'static str, arity: i32, since: &'static str, handler: super::spec::Handler) -> Spec {
    Spec::new(name, arity, ANY_TIME, handler).group(Group::Connection, Category::CONNECTION, since)
}

/// A row about other connections too.
const fn admin(name: &'static str, arity: i32, since: &'static str, handler: super::spec::Handler) -> Spec {
    own(name, arity, since, handler).flags(Flags::ADMIN)
}

const UNKNOWN_ID: ReplyError = ReplyError::new("ERR Invalid client ID");
const NO_SUCH_CLIENT: ReplyError = ReplyError::new("ERR No such client");
/// The error for a subcommand with too many arguments, which the arity does not exclude.
fn misused(subcommand: &[u8]) -> ReplyError {
    ReplyError::about("ERR unknown subcommand or wrong number of arguments for '", subcommand, "'. Try CLIENT HELP.")
}

/// ON or OFF.
fn switch(args: Args<'_>) -> Result<bool, ReplyError> {
    match (args.is(2, "ON"), args.is(2, "OFF")) {
        (true, _) => Ok(true),
        (_, true) => Ok(false),
        _ => Err(ReplyError::SYNTAX),
    }
}

fn done(ctx: &mut Ctx<'_>) -> Outcome {
    ctx.reply.ok();
    Ok(Next::Done)
}

fn id(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let id = ctx.session().id;
    ctx.reply.integer(id as i64);
    Ok(Next::Done)
}

fn getname(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, client, reply, .. } = ctx;
    match server.clients[*client].name.as_slice() {
        [] => reply.null(),
        name => reply.bulk(name),
    }
    Ok(Next::Done)
}

fn setname(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.session().name = valid_name(args.at(2))?.to_vec();
    done(ctx)
}

fn setinfo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (option, value) = (args.at(2), args.at(3));
    let version = args.is(2, "LIB-VER");
    if !version && !args.is(2, "LIB-NAME") {
        return Err(ReplyError::about("ERR Unrecognized option '", option, "'"));
    }
    if !is_plain(value) {
        return Err(ReplyError::about("ERR ", option, " cannot contain spaces, newlines or special characters."));
    }
    let session = ctx.session();
    *(if version { &mut session.lib_ver } else { &mut session.lib_name }) = value.to_vec();
    done(ctx)
}

/// COMPAT: words that mean nothing to it are accepted, as by Valkey.
fn capa(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.session().redirects |= (2..args.len()).any(|index| args.is(index, "redirect"));
    done(ctx)
}

fn import_source(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if !ctx.server.config.import_mode && !args.is(2, "OFF") {
        return Err(ReplyError::new("ERR Server is not in import mode"));
    }
    ctx.session().imports = switch(args)?;
    done(ctx)
}

fn no_touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.session().no_touch = switch(args)?;
    done(ctx)
}

fn no_evict(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.session().no_evict = switch(args)?;
    done(ctx)
}

fn reply(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let session = ctx.session();
    if args.is(2, "ON") {
        session.reply_mode = ReplyMode::On;
        return done(ctx);
    }
    if args.is(2, "OFF") {
        session.reply_mode = ReplyMode::Off;
    } else if !args.is(2, "SKIP") {
        return Err(ReplyError::SYNTAX);
    } else if session.reply_mode != ReplyMode::Off {
        session.reply_mode = ReplyMode::SkipNext;
    }
    Ok(Next::Done)
}

// --- Lists ---------------------------------------------------------------------------------------------------------

fn info(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let mut text = Vec::new();
    write_line(&mut text, ctx.server, ctx.client, ctx.now, args.total_bytes());
    ctx.reply.verbatim("txt", &text);
    Ok(Next::Done)
}

/// The client of the client whose id a number is, if there is one.
fn find(server: &Server, id: i64) -> Option<ClientId> {
    server.clients.find(u64::try_from(id).ok()?)
}

/// The ids of a line that names nothing else, in its order: Redis's own form, whose ids need not be those of clients.
fn listed_ids(args: Args<'_>) -> Result<Option<Vec<i64>>, ReplyError> {
    if args.len() < 4 || !args.is(2, "ID") {
        return Ok(None);
    }
    let ids: Vec<Option<i64>> = args.iter_from(3).map(num::parse_i64).collect();
    match ids.iter().position(Option::is_none) {
        None => Ok(Some(ids.into_iter().flatten().collect())),
        // Another option may follow the ids, with its value.
        Some(at) if at > 0 && at + 1 < ids.len() => Ok(None),
        Some(_) => Err(UNKNOWN_ID),
    }
}

fn list(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let server: &Server = ctx.server;
    let indices: Vec<ClientId> = if let Some(ids) = listed_ids(args)? {
        ids.into_iter().filter_map(|id| find(server, id)).collect()
    } else {
        let filter = Filter::parse(server, args)?;
        let skipped = filter.skip_me.unwrap_or(false).then_some(ctx.client);
        let all = server.clients.present().filter(|(client, _)| Some(*client) != skipped);
        all.filter(|(_, session)| filter.matches(server, session, ctx.now)).map(|(client, _)| client).collect()
    };
    let mut text = Vec::new();
    for client in indices {
        let argv_bytes = if client == ctx.client { args.total_bytes() } else { 0 };
        write_line(&mut text, ctx.server, client, ctx.now, argv_bytes);
    }
    ctx.reply.verbatim("txt", &text);
    Ok(Next::Done)
}

/// The line of a client, without its end, that is running a line of so many bytes.
pub fn line_of(server: &Server, client: ClientId, now: Now, argv_bytes: usize) -> Vec<u8> {
    let mut text = Vec::new();
    write_line(&mut text, server, client, now, argv_bytes);
    text.truncate(text.len() - 1);
    text
}

/// A client's line, its fields in Redis's order. There are no threads, so theirs is what Redis shows for a server without.
fn write_line(text: &mut Vec<u8>, server: &Server, client: ClientId, now: Now, argv_bytes: usize) {
    let session = &server.clients[client];
    let subscriptions = |kind: Kind| server.subscriptions(client, kind);
    let seconds_since = |then_ms: u64| now.mono_ms().saturating_sub(then_ms) / 1000;
    let buffers = session.buffers;
    let own = server.client_bytes(client);
    let total_bytes = own.total + argv_bytes;
    // The arguments of a command that runs lie in the input.
    let argv_bytes = argv_bytes + session.waiting.as_ref().map_or(0, |waiting| waiting.args.as_args().total_bytes());
    let mut line = format!("id={} addr={} laddr={} fd={} name=", session.id, session.peer, session.local, session.fd);
    text.append(&mut std::mem::take(&mut line).into_bytes());
    text.extend_from_slice(shown(&session.name));
    // Writing to a `String` cannot fail.
    let _ = write!(
        line,
        " age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={} qbuf-free={} argv-mem={} multi-mem={} \
         rbs={} rbp={} obl={} oll={} omem={} tot-mem={} events={} cmd={} user=",
        seconds_since(session.connected_ms),
        seconds_since(session.active_ms),
        flags(session),
        server.dbs.number(session.db),
        subscriptions(Kind::Channel),
        subscriptions(Kind::Pattern),
        subscriptions(Kind::Shard),
        session.transaction.as_ref().map_or(-1, |transaction| transaction.count as i64),
        server.clients.known_member(client).map_or(0, |member| server.watchers.watches.count_of(member)),
        buffers.query_bytes,
        buffers.query_free_bytes,
        argv_bytes,
        own.multi,
        buffers.out_heap_bytes,
        buffers.out_peak_bytes,
        buffers.out_bytes,
        buffers.out_chunks,
        buffers.out_heap_bytes,
        total_bytes,
        if buffers.out_bytes > 0 { "rw" } else { "r" },
        session.last_command.map_or("NULL", |command| &command.full_name),
    );
    text.append(&mut std::mem::take(&mut line).into_bytes());
    text.extend_from_slice(server.acl.users[session.user].name());
    let _ = write!(
        line,
        " redir={} resp={} lib-name=",
        tracking::redirection(session.tracking.as_deref()),
        if session.proto == Proto::Resp2 { 2 } else { 3 }
    );
    text.append(&mut std::mem::take(&mut line).into_bytes());
    text.extend_from_slice(shown(&session.lib_name));
    text.extend_from_slice(b" lib-ver=");
    text.extend_from_slice(shown(&session.lib_ver));
    let _ = writeln!(
        line,
        " io-thread=0 tot-net-in={} tot-net-out={} tot-cmds={}",
        session.net_in_bytes, session.net_out_bytes, session.commands
    );
    text.append(&mut line.into_bytes());
}

/// The letters of what is special about a client, `N` for nothing.
fn flags(session: &Session) -> String {
    let letters = [
        (session.is_replica, 'S'),
        (session.is_monitor, 'O'),
        (matches!(session.link, Some(LinkKind::Primary { .. })), 'M'),
        (session.subscribed, 'P'),
        (session.transaction.is_some(), 'x'),
        (session.blocked.is_some(), 'b'),
        (session.tracking.is_some(), 't'),
        (session.tracking.as_ref().is_some_and(|mode| mode.is_broken), 'R'),
        (session.tracking.as_ref().is_some_and(|mode| mode.broadcast), 'B'),
        (session.watch_broken, 'd'),
        (session.closing, 'c'),
        (session.origin == Origin::Unix, 'U'),
        (session.no_evict, 'e'),
        (session.imports, 'I'),
        (session.no_touch, 'T'),
    ];
    let flags: String = letters.into_iter().filter_map(|(set, letter)| set.then_some(letter)).collect();
    if flags.is_empty() { String::from("N") } else { flags }
}

// --- Kills ---------------------------------------------------------------------------------------------------------

fn kill(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let old_form = args.len() == 3;
    let server: &Server = ctx.server;
    let filter = if old_form { Filter::address(args.at(2)) } else { Filter::parse(server, args)? };
    // COMPAT: the old form kills its own client as well.
    let is_skipped = |client: ClientId| filter.skip_me.unwrap_or(!old_form) && client == ctx.client;
    let matching = server.clients.present().filter(|(_, session)| filter.matches(server, session, ctx.now));
    let victims: Vec<ClientId> = matching.map(|(client, _)| client).filter(|client| !is_skipped(*client)).collect();
    if old_form && victims.is_empty() {
        return Err(NO_SUCH_CLIENT);
    }
    // The caller itself gets its reply first.
    let suicide = victims.contains(&ctx.client);
    victims.iter().filter(|client| **client != ctx.client).for_each(|client| ctx.server.kill(*client));
    if old_form {
        ctx.reply.ok();
    } else {
        ctx.reply.integer(victims.len() as i64);
    }
    Ok(if suicide { Next::Close } else { Next::Done })
}

// --- Waits ---------------------------------------------------------------------------------------------------------

fn pause(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let all = match args.len() {
        3 => true,
        4 if args.is(3, "WRITE") => false,
        4 if args.is(3, "ALL") => true,
        4 => return Err(ReplyError::new("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        _ => return Err(misused(args.at(1))),
    };
    let timeout_ms = num::parse_i64(args.at(2));
    let timeout_ms = timeout_ms.ok_or(ReplyError::new("ERR timeout is not an integer or out of range"))?;
    if timeout_ms < 0 {
        return Err(ReplyError::new("ERR timeout is negative"));
    }
    if timeout_ms.checked_add(ctx.now.unix_ms).is_none() {
        return Err(ReplyError::new("ERR timeout is out of range"));
    }
    let asked = Pause { until_ms: ctx.now.mono_ms().saturating_add(timeout_ms as u64), all };
    let current = ctx.server.pause.filter(|pause| ctx.now.mono_ms() < pause.until_ms);
    // A second pause can only make the first longer and stricter.
    let merged = current
        .map_or(asked, |pause| Pause { until_ms: pause.until_ms.max(asked.until_ms), all: pause.all || asked.all });
    ctx.server.pause = Some(merged);
    done(ctx)
}

fn unpause(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.pause = None;
    done(ctx)
}

fn unblock(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let by = match args.len() {
        3 => UnblockedBy::Reply,
        4 if args.is(3, "TIMEOUT") => UnblockedBy::Reply,
        4 if args.is(3, "ERROR") => UnblockedBy::Error,
        4 => return Err(ReplyError::new("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")),
        _ => return Err(misused(args.at(1))),
    };
    let id = num::parse_i64(args.at(2)).ok_or(ReplyError::NOT_AN_INTEGER)?;
    let client = find(ctx.server, id);
    let unblocked = client.is_some_and(|client| ctx.server.unblock(client, by));
    ctx.reply.integer(i64::from(unblocked));
    Ok(Next::Done)
}

// --- Help ----------------------------------------------------------------------------------------------------------

fn help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.array(HELP.len());
    HELP.iter().for_each(|line| ctx.reply.simple(line));
    Ok(Next::Done)
}

const HELP: &[&str] = &[
    "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CACHING (YES|NO)",
    "    Say whether the keys of the next command are tracked, with OPTIN or OPTOUT.",
    "CAPA <capability> [<capability> [...]]",
    "    Say what the client can do:",
    "    * redirect: replicas answer its commands with -REDIRECT <host>:<port>.",
    "GETNAME",
    "    Answer the name of this connection.",
    "GETREDIR",
    "    Answer the id of the client that messages go to, 0 for this one, -1 without tracking.",
    "ID",
    "    Answer the id of this connection.",
    "IMPORT-SOURCE (ON|OFF)",
    "    Say that this connection brings data in, which import-mode has to allow.",
    "INFO",
    "    Describe this connection.",
    "KILL <ip:port>",
    "    Close the connection that comes from <ip:port>.",
    "KILL <option> <value> [<option> <value> [...]]",
    "    Close the connections that meet every condition:",
    "    * ADDR (<ip:port>|<unixsocket>:0)",
    "      It comes from this address.",
    "    * LADDR (<ip:port>|<unixsocket>:0)",
    "      It was made to this local address.",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      It is of this type.",
    "    * USER <username>",
    "      It is this user's.",
    "    * SKIPME (YES|NO)",
    "      With yes, the default, this connection stays.",
    "    * ID <client-id>",
    "      It has this id.",
    "    * MAXAGE <maxage>",
    "      It is at least so many seconds old.",
    "    * IDLE <seconds>",
    "      It has neither sent nor been sent anything for so long.",
    "    * NAME <name>, LIB-NAME <name>, LIB-VER <version>, IP <address>, DB <number>, FLAGS <letters>",
    "      It has these.",
    "    * NOT-<option> <value>",
    "      It does not meet the condition.",
    "LIST [options ...]",
    "    Describe the connections. Options:",
    "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
    "      Only those of this type.",
    "    * ID <client-id> [<client-id> ...]",
    "      Only those with these ids.",
    "    * any other option of KILL; SKIPME is no by default",
    "NO-EVICT (ON|OFF)",
    "    Keep this connection when clients are evicted.",
    "NO-TOUCH (ON|OFF)",
    "    Leave the access times of keys alone.",
    "PAUSE <timeout> [WRITE|ALL]",
    "    Hold back all commands, or those that write, for <timeout> milliseconds.",
    "REPLY (ON|OFF|SKIP)",
    "    Choose which replies this connection gets.",
    "SETINFO <option> <value>",
    "    Tell about the client. Options are:",
    "    * LIB-NAME: the name of its library.",
    "    * LIB-VER: the version of its library.",
    "SETNAME <name>",
    "    Name this connection.",
    "TRACKING (ON|OFF) [REDIRECT <id>] [BCAST] [PREFIX <prefix> [...]] [OPTIN] [OPTOUT] [NOLOOP]",
    "    Be told when keys change that this connection has read, or that begin with something.",
    "TRACKINGINFO",
    "    Describe what this connection is told of.",
    "UNBLOCK <clientid> [TIMEOUT|ERROR]",
    "    End a client's wait.",
    "UNPAUSE",
    "    End the pause.",
    "HELP",
    "    Print this help.",
];
