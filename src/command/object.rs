//! OBJECT, what a key's value looks like from inside: the rows and the handlers below.

use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use crate::config::Config;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::access::AccessClock;
use crate::store::entry::Entry;

const KEY: &[KeySpec] = &[KeySpec::one(Access::RO, 2)];

/// A subcommand that looks at one key.
const fn inspect(name: &'static str, handler: super::spec::Handler) -> Spec {
    Spec::read(name, 3, handler).keys(KEY).tips(&["nondeterministic_output"])
}

/// The rows.
pub const ROWS: &[Spec] = &[Spec::container(
    "OBJECT",
    &[
        Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help)
            .group(Group::Generic, Category::KEYSPACE, "6.2.0")
            .doc("Explains the subcommands.", "O(1)", ""),
        inspect("REFCOUNT", refcount).group(Group::Generic, Category::KEYSPACE, "2.2.3").doc(
            "Returns how often a key's value is referred to.",
            "O(1)",
            "key",
        ),
        inspect("ENCODING", encoding).group(Group::Generic, Category::KEYSPACE, "2.2.3").doc(
            "Names the form in which a key's value is held.",
            "O(1)",
            "key",
        ),
        inspect("FREQ", freq).group(Group::Generic, Category::KEYSPACE, "4.0.0").doc(
            "Returns how often a key was accessed, on a logarithmic scale.",
            "O(1)",
            "key",
        ),
        inspect("IDLETIME", idletime).group(Group::Generic, Category::KEYSPACE, "2.2.3").doc(
            "Returns the seconds since a key was last accessed.",
            "O(1)",
            "key",
        ),
    ],
)
.group(Group::Generic, Category::NONE, "2.2.3")
.doc("Looks inside the values of keys.", "Depends on subcommand.", "")];

const NOT_COUNTED: ReplyError = ReplyError::new(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between \
     policies at runtime LRU and LFU data will take some time to adjust.",
);

const NOT_TIMED: ReplyError = ReplyError::new(
    "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching between policies at \
     runtime LRU and LFU data will take some time to adjust.",
);

const HELP: &[&str] = &[
    "OBJECT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "ENCODING <key>",
    "    Return the kind of internal representation used in order to store the value",
    "    associated with a <key>.",
    "FREQ <key>",
    "    Return the access frequency index of the <key>. The returned integer is",
    "    proportional to the logarithm of the recent access frequency of the key.",
    "IDLETIME <key>",
    "    Return the idle time of the <key>, that is the approximated number of",
    "    seconds elapsed since the last access to the key.",
    "REFCOUNT <key>",
    "    Return the number of references of the value associated with the specified",
    "    <key>.",
    "HELP",
    "    Print this help.",
];

fn help(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    ctx.reply.array(HELP.len());
    HELP.iter().for_each(|line| ctx.reply.simple(line));
    Ok(Next::Done)
}

/// What `ask` says of the key's entry. Looking is no access.
fn inspected<T>(ctx: &mut Ctx<'_>, args: Args<'_>, ask: impl FnOnce(&Entry) -> T) -> Option<T> {
    let at = ctx.at.without_access().quietly();
    ctx.db().lookup_read(args.at(2), at).map(|entry| ask(&entry))
}

/// Redis 8.2 keeps key and value in one object, which nothing else ever refers to; nor do our entries share their place.
fn refcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    match inspected(ctx, args, |_| ()) {
        Some(()) => ctx.reply.integer(1),
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

fn encoding(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    match inspected(ctx, args, |entry| entry.encoding()) {
        Some(name) => ctx.reply.bulk_str(name),
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

fn freq(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Config { maxmemory_policy, .. } = ctx.server.config;
    let (clock, counting) = (AccessClock::at(ctx.now), ctx.server.counting());
    match inspected(ctx, args, |entry| clock.count(entry.stamp(), counting)) {
        Some(_) if !maxmemory_policy.is_frequency() => return Err(NOT_COUNTED),
        Some(count) => ctx.reply.integer(i64::from(count)),
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}

fn idletime(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Config { maxmemory_policy, .. } = ctx.server.config;
    let clock = AccessClock::at(ctx.now);
    match inspected(ctx, args, |entry| clock.idle_s(entry.stamp())) {
        Some(_) if maxmemory_policy.is_frequency() => return Err(NOT_TIMED),
        Some(seconds) => ctx.reply.integer(seconds as i64),
        None => ctx.reply.null(),
    }
    Ok(Next::Done)
}
