//! The connection: greeting, authentication, and what concerns only the caller. The rows and the handlers below.

use memchr::memchr;

use super::acl;
use super::spec::{Category, Flags, Group, Outcome, Spec};
use crate::base::num;
use crate::feature::acl::DEFAULT_NAME;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Proto;
use crate::server::REDIS_VERSION;
use crate::server::ctx::{Ctx, Next};
use crate::server::session::{LateReply, ReplyMode};

/// Longest SLEEP: 68 years. Any later end would be as good, and its milliseconds always fit the clock.
const SLEEP_SECONDS_MAX: i64 = i32::MAX as i64;

const ANY_TIME: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const GREETING: Flags = ANY_TIME.with(Flags::FAST).with(Flags::NO_AUTH).with(Flags::ALLOW_BUSY);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("PING", -1, Flags::FAST.with(Flags::SUBSCRIBED), ping)
        .group(Group::Connection, Category::CONNECTION, "1.0.0")
        .doc("Answers PONG, or the message it was given.", "O(1)", "[message]")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    Spec::new("ECHO", 2, Flags::LOADING.with(Flags::STALE).with(Flags::FAST), echo)
        .group(Group::Connection, Category::CONNECTION, "1.0.0")
        .doc("Answers the message it was given.", "O(1)", "message"),
    Spec::new("HELLO", -1, GREETING, hello)
        .group(Group::Connection, Category::CONNECTION, "6.0.0")
        .doc(
            "Introduces client and server to each other: protocol, password, name.",
            "O(1)",
            "[protover [AUTH username password] [SETNAME clientname]]",
        )
        .secrets(names_and_passwords)
        .history(&[("6.2.0", "`protover` became optional; without it the reply describes the connection as it is.")]),
    Spec::new("AUTH", -2, GREETING, auth)
        .group(Group::Connection, Category::CONNECTION, "1.0.0")
        .doc(
            "Sends the password.",
            "O(N) where N is the number of passwords defined for the user",
            "[username] password",
        )
        .secrets(|line| (1..line.len()).collect())
        .history(&[("6.0.0", "Added the form with a user name.")]),
    Spec::new("QUIT", -1, GREETING.with(Flags::SUBSCRIBED).with(Flags::UNQUEUED), quit)
        .group(Group::Connection, Category::CONNECTION, "1.0.0")
        .doc("Closes the connection.", "O(1)", "")
        .deprecated("7.2.0", "just closing the connection"),
    Spec::new("RESET", 1, GREETING.with(Flags::SUBSCRIBED).with(Flags::UNQUEUED), reset)
        .group(Group::Connection, Category::CONNECTION, "6.2.0")
        .doc("Makes the connection as if it were new.", "O(1)", ""),
    Spec::new("SLEEP", 2, ANY_TIME.with(Flags::BLOCKING), sleep)
        .group(Group::Connection, Category::CONNECTION, "0.1.0")
        .doc("Answers OK after some seconds, which no other client notices.", "O(1)", "seconds"),
];

const NO_PASSWORD: ReplyError = ReplyError::new(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration \
     is correct?",
);
const BAD_PROTOVER: ReplyError = ReplyError::new("ERR Protocol version is not an integer or out of range");
const NO_PROTO: ReplyError = ReplyError::new("NOPROTO unsupported protocol version");
const NO_AUTH: ReplyError = ReplyError::new(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> \
     option can be used to authenticate the client and select the RESP protocol version at the same time",
);
const BAD_CLIENT_NAME: ReplyError =
    ReplyError::new("ERR Client names cannot contain spaces, newlines or special characters.");

fn ping(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    if args.len() > 2 {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    // A subscriber that knows no out-of-band messages takes every reply for one.
    if ctx.reply.proto() == Proto::Resp2 && ctx.session().subscribed {
        ctx.reply.push(2);
        ctx.reply.bulk(b"pong");
        ctx.reply.bulk(args.get(1).unwrap_or_default());
        return Ok(Next::Done);
    }
    match args.get(1) {
        Some(message) => ctx.reply.bulk(message),
        None => ctx.reply.simple("PONG"),
    }
    Ok(Next::Done)
}

fn echo(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.reply.bulk(args.at(1));
    Ok(Next::Done)
}

fn hello(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let asked = Hello::parse(args)?;
    if let Some((user, password)) = asked.credentials
        && !acl::authenticate(ctx, args, user, password)
    {
        return acl::refuse_password(ctx);
    }
    if ctx.server.needs_auth(ctx.client) {
        return Err(NO_AUTH);
    }
    if let Some(name) = asked.name {
        ctx.session().name = name.to_vec();
    }
    if let Some(proto) = asked.proto {
        let before = std::mem::replace(&mut ctx.session().proto, proto);
        if before != proto {
            ctx.server.renew_held(ctx.client);
        }
        ctx.reply.set_proto(proto);
    }
    let id = ctx.session().id;
    let proto = if ctx.reply.proto() == Proto::Resp2 { 2 } else { 3 };
    let reply = &mut ctx.reply;
    reply.map(7);
    // COMPAT: `redis`, because client libraries look at it.
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk_str(field);
        reply.bulk_str(value);
    }
    reply.bulk_str("proto");
    reply.integer(proto);
    reply.bulk_str("id");
    reply.integer(id as i64);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk_str(field);
        reply.bulk_str(value);
    }
    reply.bulk_str("modules");
    reply.array(0);
    Ok(Next::Done)
}

/// What follows the word AUTH of a HELLO. A name that a client gives itself is not that word.
fn names_and_passwords(line: Args<'_>) -> Vec<usize> {
    let (mut secrets, mut at) = (Vec::new(), 2);
    while at < line.len() {
        if line.is(at, "AUTH") {
            secrets.extend(at + 1..line.len().min(at + 3));
            at += 2;
        } else if line.is(at, "SETNAME") {
            at += 1;
        }
        at += 1;
    }
    secrets
}

/// What a HELLO asks for.
#[derive(Default)]
struct Hello<'a> {
    proto: Option<Proto>,
    credentials: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    fn parse(args: Args<'a>) -> Result<Hello<'a>, ReplyError> {
        let mut asked = Hello::default();
        let Some(version) = args.get(1) else { return Ok(asked) };
        asked.proto = match num::parse_i64(version).ok_or(BAD_PROTOVER)? {
            2 => Some(Proto::Resp2),
            3 => Some(Proto::Resp3),
            _ => return Err(NO_PROTO),
        };
        let mut at = 2;
        while at < args.len() {
            let more = args.len() - at - 1;
            if args.is(at, "AUTH") && more >= 2 {
                asked.credentials = Some((args.at(at + 1), args.at(at + 2)));
                at += 3;
            } else if args.is(at, "SETNAME") && more >= 1 {
                asked.name = Some(valid_name(args.at(at + 1))?);
                at += 2;
            } else {
                return Err(ReplyError::about("ERR Syntax error in HELLO option '", args.at(at), "'"));
            }
        }
        Ok(asked)
    }
}

fn auth(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (user, password) = match args.len() {
        2 if ctx.server.acl.users.default_user().needs_no_password() => return Err(NO_PASSWORD),
        2 => (DEFAULT_NAME, args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(ReplyError::SYNTAX),
    };
    if !acl::authenticate(ctx, args, user, password) {
        return acl::refuse_password(ctx);
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

fn quit(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.ok();
    Ok(Next::Close)
}

fn reset(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.server.leave(ctx.client);
    ctx.server.forget_queries(ctx.client);
    ctx.server.discard_transaction(ctx.client);
    ctx.server.log_out(ctx.client);
    let session = ctx.session();
    // COMPAT: what SETINFO told about the library stays.
    session.db = 0;
    session.proto = Proto::Resp2;
    session.name = Vec::new();
    session.reply_mode = ReplyMode::On;
    session.reads_here = false;
    session.imports = false;
    session.no_touch = false;
    session.no_evict = false;
    session.revisions = false;
    session.fieldsets = None;
    ctx.reply.set_proto(Proto::Resp2);
    ctx.renew_output_limit();
    ctx.reply.simple("RESET");
    Ok(Next::Done)
}

fn sleep(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    match num::parse_i64(args.at(1)) {
        Some(seconds @ 1..=SLEEP_SECONDS_MAX) if ctx.may_block() => {
            Ok(Next::Sleep { until_ms: ctx.now.mono_ms() + seconds as u64 * 1000, reply: LateReply::Ok })
        }
        Some(0..=SLEEP_SECONDS_MAX) => {
            ctx.reply.ok();
            Ok(Next::Done)
        }
        _ => Err(ReplyError::NOT_AN_INTEGER),
    }
}

/// What a line of CLIENT LIST shows of a name or version: everything before its first NUL byte.
// COMPAT: Redis checks and prints these as C strings, so anything may follow the NUL byte.
pub(super) fn shown(text: &[u8]) -> &[u8] {
    &text[..memchr(0, text).unwrap_or(text.len())]
}

/// True if a name or version fits a line of CLIENT LIST: printable ASCII without spaces, as far as it is shown.
pub(super) fn is_plain(text: &[u8]) -> bool {
    shown(text).iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// A client's name, if it may have it.
pub(super) fn valid_name(name: &[u8]) -> Result<&[u8], ReplyError> {
    if is_plain(name) { Ok(name) } else { Err(BAD_CLIENT_NAME) }
}
