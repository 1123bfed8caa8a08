//! Live queries: `X.WATCH` and `X.UNWATCH` for every command `X` that only reads keys, OBSERVE, which says more about how
//! such a command is to be watched, and what there is to know of queries. `X.WATCH` and `X.UNWATCH` have no rows: the rows of
//! those commands are what they are derived from.
//!
//! # Syntax
//! The options of OBSERVE stand before the name of the command that is watched. No command is called like an option, so no
//! key or argument can be taken for one, however odd.
//!
//! # Frames
//! The first answer and every later one are DiceDB's: the command's name, or the label in the first answer, the query's
//! fingerprint, and the result. To a connection that has sent `WATCH.MODE REVISIONS` they say as a fourth element which
//! version of the result it is. A query's versions are numbered one after the other, so a client sees what it has missed;
//! with SINCE it says which one it has, and the answer's fifth element whether it goes on from there: `continued`, or
//! `missed`.
//!
//! The engine decides when queries are evaluated; who watches what is `feature::reactive`'s.

use std::sync::Arc;

use super::acl::permission;
use super::run::{Call, run_apart};
use super::spec::{Access, Begin, Category, Flags, Group, KeySpec, KeyUse, Outcome, Spec};
use super::{Command, lookup, lookup_own, resolve};
use crate::base::clock::Now;
use crate::base::num;
use crate::feature::acl::log::Context;
use crate::feature::client_id::ClientId;
use crate::feature::reactive::{Line, Query, QueryId, WatchOptions, is_label, parse_fingerprint};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::out::Out;
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::ctx::{CallOrigin, Ctx, Next};

const WATCH: &str = ".WATCH";
const UNWATCH: &str = ".UNWATCH";
/// The version of AleaDB that brought them.
const SINCE: &str = "0.1.0";
/// The longest time for which changes are gathered: an hour.
const DEBOUNCE_MS_MAX: i64 = 3_600_000;
/// More than any error of a command that reads takes.
const ERROR_BYTES_MAX: u64 = 1 << 20;

// COMPAT: DiceDB's text, which has no code word.
const BAD_FINGERPRINT: ReplyError = ReplyError::new("invalid fingerprint");
const BAD_DEBOUNCE: ReplyError = ReplyError::new("ERR DEBOUNCE takes milliseconds, from 1 to 3600000");
const BAD_REVISION: ReplyError = ReplyError::new("ERR SINCE takes the revision of a frame");
const CONTRADICTION: ReplyError = ReplyError::new("ERR EVERY and DEBOUNCE exclude each other");
const NO_REVISIONS: ReplyError =
    ReplyError::new("ERR SINCE needs frames with revisions: send WATCH.MODE REVISIONS first");

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::new("OBSERVE", -3, ASK, observe)
        .keys(HIDDEN)
        .find_keys(observed_keys)
        .group(Group::Generic, Category::NONE, SINCE)
        .doc(
            "Answers as a command that only reads does, and again whenever a key it names changes.",
            "that of the command, and O(K) for K keys",
            "[EVERY | DEBOUNCE milliseconds] [SINCE revision] [LABEL label] command [arg [arg ...]]",
        ),
    Spec::new("UNOBSERVE", 2, END, unwatch).group(Group::Generic, Category::NONE, SINCE).doc(
        "Ends the watch of a query.",
        "O(1)",
        "fingerprint",
    ),
    Spec::new("WATCH.COUNT", -2, LOOK, count)
        .keys(&[KeySpec::rest(Access::RO, 1, 1)])
        .group(Group::Generic, Category::NONE, SINCE)
        .doc(
            "Counts the watches of queries that name a key.",
            "O(Q) for Q queries that name the keys",
            "key [key ...]",
        ),
    Spec::new("WATCH.LIST", 1, LOOK, list).group(Group::Generic, Category::NONE, SINCE).doc(
        "Lists the connection's watched queries.",
        "O(N log N) for N queries",
        "",
    ),
    Spec::new("WATCH.MODE", -1, LOOK.with(Flags::FAST), mode).group(Group::Generic, Category::NONE, SINCE).doc(
        "Tells or sets whether the connection's frames say which version of a result they bring.",
        "O(N) for N results that are held back",
        "[PLAIN | REVISIONS]",
    ),
    Spec::new("WATCH.STATS", 1, LOOK.with(Flags::FAST), stats).group(Group::Generic, Category::NONE, SINCE).doc(
        "Counts watched queries, those who watch them, and what was pushed.",
        "O(1)",
        "",
    ),
];

const LOOK: Flags = Flags::NOSCRIPT.with(Flags::LOADING).with(Flags::STALE);
const ASK: Flags = Flags::READONLY.with(Flags::NO_MULTI).with(Flags::NOSCRIPT);
/// Keys that depend on which command is watched.
const HIDDEN: &[KeySpec] = &[KeySpec::unknown(Access::RO.with(Access::ACCESS))];
const END: Flags = Flags::FAST.with(Flags::NOSCRIPT);

/// The rows of a command's `.WATCH` and `.UNWATCH`, if it can be watched: it only reads, and its line names every key that it
/// reads. Called once for each row, when the names are put in order; what is made lives as long as the process.
pub(super) fn derived(spec: &'static Spec) -> Option<[&'static Spec; 2]> {
    if why_not(spec).is_some() {
        return None;
    }
    let text = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let has_subcommands = !spec.subcommands.is_empty();
    // A subcommand stands before the key.
    let arity = if has_subcommands { 3 } else { spec.arity.abs() };
    let watch =
        Spec::new(text(format!("{}{WATCH}", spec.name)), -arity, ASK, watch).group(spec.group, spec.acl, SINCE).doc(
            text(format!("Answers as {} does, and again whenever a key it names changes.", spec.name)),
            spec.complexity,
            text(format!("{} [label]", if has_subcommands { "subcommand key" } else { spec.syntax })),
        );
    let watch = match spec.find_keys {
        _ if has_subcommands => watch.keys(HIDDEN).find_keys(keys_of_subcommand),
        Some(finder) => watch.keys(spec.keys).find_keys(finder),
        None => watch.keys(spec.keys),
    };
    let unwatch = Spec::new(text(format!("{}{UNWATCH}", spec.name)), 2, END, unwatch)
        .group(spec.group, spec.acl, SINCE)
        .doc("Ends the watch of a query.", "O(1)", "fingerprint");
    Some([Box::leak(Box::new(watch)), Box::leak(Box::new(unwatch))])
}

/// Why a command cannot be watched.
fn why_not(spec: &Spec) -> Option<&'static str> {
    if !spec.subcommands.is_empty() {
        let none = spec.subcommands.iter().all(|sub| why_not(sub).is_some());
        return none.then_some("has no subcommand that can be watched");
    }
    if !spec.flags.has(Flags::READONLY) || spec.flags.has(Flags::WRITE) {
        return Some("is not a read-only command");
    }
    if spec.flags.has(Flags::NO_MULTI) {
        return Some("watches already");
    }
    if !spec.has_keys() {
        return Some("is a command without keys, and only changes of keys are noticed");
    }
    let hidden = |keys: &KeySpec| keys.begin == Begin::Unknown || keys.access.has(Access::INCOMPLETE);
    let is_hidden = spec.flags.has(Flags::RUNS_SCRIPT) || spec.keys.iter().any(hidden);
    is_hidden.then_some("reads keys that its arguments do not name")
}

fn refuse(command: &Command) -> Option<ReplyError> {
    why_not(command.spec).map(|reason| ReplyError::owned(format!("ERR '{}' {reason}", command.full_name)))
}

/// The command whose `.WATCH` or `.UNWATCH` a name is.
fn watched_command(name: &[u8]) -> Option<&'static Command> {
    let ends_with = |suffix: &str| {
        let (stem, end) = name.split_at_checked(name.len().checked_sub(suffix.len())?)?;
        end.eq_ignore_ascii_case(suffix.as_bytes()).then_some(stem)
    };
    ends_with(WATCH).or_else(|| ends_with(UNWATCH)).and_then(lookup_own)
}

/// The refusal of a name that would be a `.WATCH` or `.UNWATCH` of a command that cannot be watched. `None` if it is no such
/// name.
pub fn refusal(name: &[u8]) -> Option<ReplyError> {
    watched_command(name).and_then(refuse)
}

/// The row of a watched line: that of its subcommand, where it has one.
fn row_of(args: Args<'_>) -> &'static Command {
    let command = lookup_own(args.at(0)).expect("a query is a line of a command");
    let sub = || command.subcommand(args.at(1)).expect("the subcommand was found before");
    if command.subcommands.is_empty() { command } else { sub() }
}

/// The keys of a `.WATCH` of a command with subcommands.
fn keys_of_subcommand(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let watched = lookup(line.at(0)).and_then(|row| watched_command(row.spec.name.as_bytes()));
    let command = watched.and_then(|command| command.subcommand(line.at(1)));
    found.extend(command.into_iter().flat_map(|command| command.spec.keys_of(line)));
}

/// The keys of a line of OBSERVE: those of the command in it.
fn observed_keys(line: Args<'_>, found: &mut Vec<KeyUse>) {
    let Ok(Options { from, .. }) = Options::parse(line) else { return };
    let inner = line.tail(from);
    let Ok(command) = resolve(lookup(inner.at(0)), inner) else { return };
    if command.spec.takes(inner.len()) {
        found.extend(command.spec.keys_of(inner).iter().map(|key| KeyUse { index: key.index + from, ..*key }));
    }
}

/// What a client asks for.
#[derive(Debug)]
struct Asked<'a> {
    /// The row of the command, of its subcommand where it has one.
    command: &'static Command,
    /// The command's name, without its subcommand's.
    name: &'static str,
    /// The command line.
    args: Args<'a>,
    options: Options<'a>,
}

/// How a query is to be watched.
#[derive(Clone, Copy, Debug, Default)]
struct Options<'a> {
    options: WatchOptions,
    since: Option<u64>,
    label: Option<&'a [u8]>,
    /// Where the command begins.
    from: usize,
}

impl<'a> Options<'a> {
    fn parse(line: Args<'a>) -> Result<Options<'a>, ReplyError> {
        let mut options = Options { from: 1, ..Options::default() };
        loop {
            let at = options.from;
            if at >= line.len() {
                return Err(ReplyError::arity("observe"));
            }
            let value = line.get(at + 1).unwrap_or_default();
            let number = || num::parse_i64(value);
            let mut taken = 2;
            if line.is(at, "EVERY") {
                (options.options.every, taken) = (true, 1);
            } else if line.is(at, "DEBOUNCE") {
                let ms = number().filter(|ms| (1..=DEBOUNCE_MS_MAX).contains(ms)).ok_or(BAD_DEBOUNCE)?;
                options.options.debounce_ms = ms as u32;
            } else if line.is(at, "SINCE") {
                options.since = Some(number().and_then(|n| u64::try_from(n).ok()).ok_or(BAD_REVISION)?);
            } else if line.is(at, "LABEL") {
                options.label = Some(value);
            } else {
                break;
            }
            options.from += taken;
        }
        if options.options.every && options.options.debounce_ms > 0 { Err(CONTRADICTION) } else { Ok(options) }
    }
}

/// The arguments without the label, and the label: a UUID in the last place, if the command can do without it.
fn split_label<'a>(spec: &Spec, args: Args<'a>) -> (Args<'a>, Option<&'a [u8]>) {
    let last = args.len() - 1;
    if spec.takes(last) && is_label(args.at(last)) { (args.up_to(last), Some(args.at(last))) } else { (args, None) }
}

fn watch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let named = watched_command(ctx.command.spec.name.as_bytes());
    let name = named.expect("the row was derived from that command's").spec.name;
    let command = resolve(named, args)?;
    if let Some(refusal) = refuse(command) {
        return Err(refusal);
    }
    let (args, label) = split_label(command.spec, args);
    if !command.spec.takes(args.len()) {
        return Err(ReplyError::arity(&ctx.command.full_name));
    }
    begin(ctx, Asked { command, name, args, options: Options { label, ..Options::default() } })
}

fn observe(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let options = Options::parse(args)?;
    let args = args.tail(options.from);
    let named = lookup(args.at(0));
    let command = resolve(named, args)?;
    if let Some(refusal) = refuse(command) {
        return Err(refusal);
    }
    if !command.spec.takes(args.len()) {
        return Err(ReplyError::arity(&command.full_name));
    }
    let name = named.map_or("", |command| command.spec.name);
    begin(ctx, Asked { command, name, args, options })
}

/// Answers a query and makes the client watch it, in one step.
fn begin(ctx: &mut Ctx<'_>, asked: Asked<'_>) -> Outcome {
    let Asked { command, name, args, options } = asked;
    // Who may watch may not see by that what it may not see by the command itself.
    if let Err(denied) = permission::check(ctx.server, ctx.client, command, args) {
        return Err(permission::refuse(ctx.server, ctx.client, command, args, denied, Context::Toplevel));
    }
    let keys: Vec<usize> = command.spec.keys_of(args).iter().map(|key| key.index).collect();
    if keys.is_empty() {
        // The line makes no sense to the command either, whose error is the answer: nothing could ever change it.
        return Err(error_of(ctx, command, args).unwrap_or(ReplyError::SYNTAX));
    }
    let line = Line::new(name, args, &keys);
    ctx.server.admit_watch(ctx.client, ctx.db, &line)?;
    let numbered = ctx.session().revisions;
    if options.since.is_some() && !numbered {
        return Err(NO_REVISIONS);
    }
    if numbered && answer_from_kept(ctx, &line, &asked) {
        return Ok(Next::Done);
    }
    let call = query_of(ctx, command, args);
    let result = answer(ctx.server, call, name, ctx.now);
    let reply = &mut ctx.reply;
    reply.array(3 + usize::from(numbered) + usize::from(options.since.is_some()));
    reply.bulk(options.label.unwrap_or(name.as_bytes()));
    reply.bulk_integer(i64::from(line.fingerprint()));
    reply.out().push(&result);
    let id = ctx.server.watch_query(ctx.client, ctx.db, line, options.options);
    ctx.renew_output_limit();
    if numbered {
        let revision = number_present(ctx, id, &result);
        ctx.reply.bulk_integer(revision as i64);
        if let Some(since) = options.since {
            end_resumption(ctx, since == revision);
        }
    }
    Ok(Next::Done)
}

/// The number of a query's present version, of which this is the result.
fn number_present(ctx: &mut Ctx<'_>, id: QueryId, result: &[u8]) -> u64 {
    let proto = ctx.reply.proto();
    let bounds = ctx.server.history_bounds();
    let now_us = u64::try_from(ctx.server.clock.unix_us()).unwrap_or_default();
    let reactive = &mut ctx.server.watchers.reactive;
    let revision = reactive.begin_history(id, now_us);
    if !reactive.has_present(id, proto) {
        let frame = frame(proto, reactive.query(id), result, Some(revision));
        reactive.keep(id, proto, Arc::new(frame), bounds);
    }
    revision
}

/// Answers a query with a version that is kept: the one the client has, if none has been lost since then, and those that came
/// after it follow; or else the present one. False if that is not kept.
fn answer_from_kept(ctx: &mut Ctx<'_>, line: &Line, asked: &Asked<'_>) -> bool {
    let Asked { name, options, .. } = *asked;
    let Some(id) = ctx.server.watchers.reactive.find(ctx.db, line, options.options.debounce_ms) else { return false };
    if ctx.server.watchers.reactive.is_pending(id) {
        // What was put off is told to all first: the newest version is what is there now.
        push_result(ctx.server, id, ctx.now);
    }
    let proto = ctx.reply.proto();
    let missed = options.since.and_then(|since| ctx.server.watchers.reactive.since(id, proto, since));
    let continued = missed.is_some();
    let Some(frames) = missed.or_else(|| present_version(ctx, id, asked)) else { return false };
    let reply = &mut ctx.reply;
    reply.array(4 + usize::from(options.since.is_some()));
    reply.bulk(options.label.unwrap_or(name.as_bytes()));
    reply.out().push(frames[0].get(head(proto, 4, name).len()..).unwrap_or_default());
    if options.since.is_some() {
        end_resumption(ctx, continued);
    }
    frames[1..].iter().for_each(|frame| ctx.reply.out().push_shared(frame));
    ctx.server.watch_query(ctx.client, ctx.db, line.clone(), options.options);
    ctx.renew_output_limit();
    true
}

/// The frame of a query's present version, if it is kept. What the command answers now, without a change that was told, is a
/// new version: the same number never stands for two results.
fn present_version(ctx: &mut Ctx<'_>, id: QueryId, asked: &Asked<'_>) -> Option<Vec<Arc<Vec<u8>>>> {
    let Asked { command, name, args, .. } = *asked;
    let proto = ctx.reply.proto();
    let kept =
        |server: &Server| server.watchers.reactive.since(id, proto, server.watchers.reactive.query(id).revision()?);
    let newest = kept(ctx.server)?;
    let call = query_of(ctx, command, args);
    let result = answer(ctx.server, call, name, ctx.now);
    let query = ctx.server.watchers.reactive.query(id);
    if *newest[0] == frame(proto, query, &result, query.revision()) {
        return Some(newest);
    }
    push_result(ctx.server, id, ctx.now);
    kept(ctx.server)
}

/// Says whether a client has seen everything from the version it had to the one it is answered with.
fn end_resumption(ctx: &mut Ctx<'_>, continued: bool) {
    let stats = &mut ctx.server.stats;
    *(if continued { &mut stats.watch_resumed } else { &mut stats.watch_resumed_late }) += 1;
    ctx.reply.bulk_str(if continued { "continued" } else { "missed" });
}

/// The beginning of a frame, with the name of its command.
fn head(proto: Proto, elements: usize, name: &str) -> Vec<u8> {
    let mut out = Out::default();
    let mut reply = Reply::new(&mut out, proto);
    reply.push(elements);
    reply.bulk_str(name);
    out.into_bytes()
}

/// A result as it is pushed.
fn frame(proto: Proto, query: &Query, result: &[u8], revision: Option<u64>) -> Vec<u8> {
    let mut out = Out::default();
    let mut reply = Reply::new(&mut out, proto);
    reply.push(3 + usize::from(revision.is_some()));
    reply.bulk(query.line().iter().next().unwrap_or_default());
    reply.bulk_integer(i64::from(query.fingerprint()));
    reply.out().push(result);
    if let Some(revision) = revision {
        reply.bulk_integer(revision as i64);
    }
    out.into_bytes()
}

/// Evaluates a query, once for each protocol that its watchers speak, and posts the result to all of them. Somebody who may
/// come back counts as a watcher.
pub fn push_result(server: &mut Server, id: QueryId, now: Now) {
    server.watchers.reactive.settle(id);
    let receivers = server.watchers.reactive.receivers(id);
    if receivers.iter().any(|client| server.clients[*client].revisions) {
        let now_us = u64::try_from(server.clock.unix_us()).unwrap_or_default();
        server.watchers.reactive.begin_history(id, now_us);
    }
    let mut pushed = Pushed { id, revision: server.watchers.reactive.advance_history(id), results: [None, None] };
    // The numbers of the frames' texts: without and with the version's number, in each protocol.
    let mut texts = [[None; 2]; 2];
    for client in receivers {
        let session = &server.clients[client];
        let (proto, numbered) = (session.proto, session.revisions);
        let text = *texts[usize::from(numbered)][proto as usize].get_or_insert_with(|| {
            let frame = pushed.write(server, client, proto, numbered, now);
            server.outbox.add_text(frame)
        });
        server.outbox.post_result(client, text, id);
    }
    let [_, numbered] = texts;
    for (proto, kept) in [Proto::Resp2, Proto::Resp3].into_iter().zip(server.watchers.reactive.kept_protos(id)) {
        if kept && numbered[proto as usize].is_none() {
            let nobody = server.clients.internal();
            pushed.write(server, nobody, proto, true, now);
        }
    }
    server.watchers.reactive.untouch(id);
}

/// Ends those of a client's queries that its user may not ask any more, each with a frame that says so. O(its queries).
pub(super) fn end_forbidden(server: &mut Server, client: ClientId) {
    let session = &server.clients[client];
    let (proto, numbered) = (session.proto, session.revisions);
    let Some(watcher) = session.watcher.filter(|_| !session.unlimited) else { return };
    let user = &server.acl.users[session.user];
    let mut forbidden: Vec<(u32, Vec<u8>)> = Vec::new();
    for (query, _) in server.watchers.reactive.of(watcher) {
        let line = query.line().unpack();
        let command = row_of(line.as_args());
        if let Err(denied) = permission::check_user(user, command, line.as_args()) {
            let mut out = Out::default();
            Reply::new(&mut out, proto).error(&permission::error(user, command, denied));
            let revision = query.revision().filter(|_| numbered);
            forbidden.push((query.fingerprint(), frame(proto, query, &out.into_bytes(), revision)));
        }
    }
    for (fingerprint, frame) in forbidden {
        server.unwatch_query(client, fingerprint);
        let mut out = Out::default();
        out.push(&frame);
        server.outbox.reply(client, out);
    }
}

/// What has been written of one new result.
struct Pushed {
    id: QueryId,
    revision: Option<u64>,
    /// In each protocol.
    results: [Option<Vec<u8>>; 2],
}

impl Pushed {
    /// Writes a frame. A numbered one is kept for those who come back.
    fn write(&mut self, server: &mut Server, client: ClientId, proto: Proto, numbered: bool, now: Now) -> Arc<Vec<u8>> {
        let id = self.id;
        let result = self.results[proto as usize].get_or_insert_with(|| evaluate(server, id, client, proto, now));
        let revision = self.revision.filter(|_| numbered);
        let frame = Arc::new(frame(proto, server.watchers.reactive.query(id), result, revision));
        if numbered {
            let bounds = server.history_bounds();
            server.watchers.reactive.keep(id, proto, Arc::clone(&frame), bounds);
        }
        frame
    }
}

/// A query's present result.
fn evaluate(server: &mut Server, id: QueryId, client: ClientId, proto: Proto, now: Now) -> Vec<u8> {
    server.stats.watch_evaluations += 1;
    let query = server.watchers.reactive.query(id);
    let (db, line) = (query.db(), query.line().unpack());
    let args = line.as_args();
    let (command, named) = (row_of(args), lookup_own(args.at(0)));
    let call = Call { db, proto, ..Call::of(server, client, command, args, CallOrigin::Watched) };
    answer(server, call, named.map_or("", |named| named.spec.name), now)
}

/// A query of the client that runs a command, in the database and the protocol of that.
fn query_of<'a>(ctx: &Ctx<'_>, command: &'static Command, args: Args<'a>) -> Call<'a> {
    let (db, proto) = (ctx.db, ctx.reply.proto());
    Call { db, proto, ..Call::of(ctx.server, ctx.client, command, args, CallOrigin::Observed) }
}

/// Runs a query's command; what it answers, be it an error. An answer that is longer than `watch-result-bytes-max`, of which no
/// more than that is ever held, is replaced by an error which says how long it is, and what was asked.
fn answer(server: &mut Server, call: Call<'_>, name: &str, now: Now) -> Vec<u8> {
    let mut out = Out::with_limit(server.config.watch_result_bytes_max);
    run_apart(server, call, &mut out, now);
    if out.is_over_limit() {
        let Call { command, args, proto, .. } = call;
        let key = command.spec.keys_of(args).first().map_or(&b""[..], |key| args.at(key.index));
        let bytes = out.written_bytes();
        let before = format!("TOOLONG {bytes} bytes are more than watch-result-bytes-max allows: {name} ");
        out = Out::default();
        Reply::new(&mut out, proto).error(&ReplyError::about(&before, key, ""));
    }
    out.into_bytes()
}

/// The error that a query's command answers, if it does.
fn error_of(ctx: &mut Ctx<'_>, command: &'static Command, args: Args<'_>) -> Option<ReplyError> {
    // A reply that is none is of no use to anybody.
    let (call, mut out) = (query_of(ctx, command, args), Out::with_limit(ERROR_BYTES_MAX));
    run_apart(ctx.server, call, &mut out, ctx.now);
    let bytes = out.into_bytes();
    let text = bytes.strip_prefix(b"-")?.strip_suffix(b"\r\n")?;
    Some(ReplyError::owned(text.to_vec()))
}

/// Ends the client's watches of a query, by its fingerprint: the second argument.
pub(super) fn unwatch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let fingerprint = parse_fingerprint(args.at(1)).ok_or(BAD_FINGERPRINT)?;
    ctx.server.unwatch_query(ctx.client, fingerprint);
    ctx.renew_output_limit();
    ctx.reply.ok();
    Ok(Next::Done)
}

fn mode(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let revisions = match args.len() {
        1 => {
            let revisions = ctx.session().revisions;
            ctx.reply.bulk_str(if revisions { "revisions" } else { "plain" });
            return Ok(Next::Done);
        }
        2 if args.is(1, "PLAIN") => false,
        2 if args.is(1, "REVISIONS") => true,
        _ => return Err(ReplyError::SYNTAX),
    };
    if std::mem::replace(&mut ctx.session().revisions, revisions) != revisions {
        ctx.server.renew_held(ctx.client);
    }
    ctx.reply.ok();
    Ok(Next::Done)
}

fn count(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    ctx.reply.map(args.len() - 1);
    for key in args.iter_from(1) {
        let watchers = ctx.server.watchers.reactive.watchers_of(ctx.db, key);
        ctx.reply.bulk(key);
        ctx.reply.integer(watchers as i64);
    }
    Ok(Next::Done)
}

fn list(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, client, reply, .. } = ctx;
    let watcher = server.clients[*client].watcher;
    let mut queries: Vec<_> = watcher.into_iter().flat_map(|watcher| server.watchers.reactive.of(watcher)).collect();
    let number = |query: &Query| server.dbs.number(query.db());
    let words = |query: &Query| query.line().iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
    queries.sort_by_cached_key(|(query, _)| (number(query), words(query)));
    reply.array(queries.len());
    for (query, every) in queries {
        reply.map(7);
        reply.bulk_str("fingerprint");
        reply.bulk_integer(i64::from(query.fingerprint()));
        reply.bulk_str("line");
        reply.array(query.line().iter().count());
        query.line().iter().for_each(|arg| reply.bulk(arg));
        reply.bulk_str("db");
        reply.integer(number(query) as i64);
        reply.bulk_str("watchers");
        reply.integer(query.watchers() as i64);
        reply.bulk_str("every");
        reply.integer(i64::from(every));
        reply.bulk_str("debounce");
        reply.integer(i64::from(query.debounce_ms()));
        reply.bulk_str("revision");
        match query.revision() {
            Some(revision) => reply.bulk_integer(revision as i64),
            None => reply.null(),
        }
    }
    Ok(Next::Done)
}

fn stats(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    let (reactive, stats) = (&server.watchers.reactive, &server.stats);
    let rows = [
        ("clients", reactive.clients() as u64),
        ("watches", reactive.watches() as u64),
        ("queries", reactive.queries() as u64),
        ("keys", reactive.keys() as u64),
        ("evaluations", stats.watch_evaluations),
        ("frames", stats.watch_frames),
        ("frames_superseded", stats.watch_frames_superseded),
        ("resumable", reactive.resumable() as u64),
        ("resume_bytes", reactive.history_bytes()),
        ("resumed", stats.watch_resumed),
        ("resumed_late", stats.watch_resumed_late),
    ];
    reply.map(rows.len());
    for (name, count) in rows {
        reply.bulk_str(name);
        reply.integer(count as i64);
    }
    Ok(Next::Done)
}
