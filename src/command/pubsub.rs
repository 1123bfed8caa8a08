//! Publish and subscribe: the rows and the handlers below. Who listens to what is `feature::pubsub`'s; how messages reach
//! their receivers is `server::outbox`'s.

use super::help;
use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec};
use crate::base::glob::Pattern;
use crate::feature::acl::ChannelUse;
use crate::feature::pubsub::Kind;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};

const LOOK: Flags = Flags::PUBSUB.with(Flags::LOADING).with(Flags::STALE);
const SUBSCRIBE: Flags = LOOK.with(Flags::NOSCRIPT).with(Flags::SUBSCRIBED);
const SEND: Flags = LOOK.with(Flags::FAST).with(Flags::MAY_REPLICATE);
const CHANNELS: &[KeySpec] = &[KeySpec::rest(Access::NOT_KEY, 1, 1)];

/// The rows.
pub const ROWS: &[Spec] = &[
    row("SUBSCRIBE", -2, SUBSCRIBE, "2.0.0", |ctx, args| subscribe(ctx, args, &CHANNEL)).channels(ChannelUse::All).doc(
        "Listens to channels.",
        "O(N) where N is the number of channels to subscribe to.",
        "channel [channel ...]",
    ),
    row("UNSUBSCRIBE", -1, SUBSCRIBE, "2.0.0", |ctx, args| unsubscribe(ctx, args, &CHANNEL)).doc(
        "Stops listening to channels, or to all of them.",
        "O(N) where N is the number of channels to unsubscribe.",
        "[channel [channel ...]]",
    ),
    row("PSUBSCRIBE", -2, SUBSCRIBE, "2.0.0", |ctx, args| subscribe(ctx, args, &PATTERN))
        .channels(ChannelUse::AllPatterns)
        .doc(
            "Listens to every channel that one of the patterns matches.",
            "O(N) where N is the number of patterns to subscribe to.",
            "pattern [pattern ...]",
        ),
    row("PUNSUBSCRIBE", -1, SUBSCRIBE, "2.0.0", |ctx, args| unsubscribe(ctx, args, &PATTERN)).doc(
        "Stops listening by patterns, or by all of them.",
        "O(N) where N is the number of patterns to unsubscribe.",
        "[pattern [pattern ...]]",
    ),
    row("SSUBSCRIBE", -2, SUBSCRIBE, "7.0.0", |ctx, args| subscribe(ctx, args, &SHARD))
        .keys(CHANNELS)
        .channels(ChannelUse::All)
        .doc(
            "Listens to shard channels.",
            "O(N) where N is the number of shard channels to subscribe to.",
            "shardchannel [shardchannel ...]",
        ),
    row("SUNSUBSCRIBE", -1, SUBSCRIBE, "7.0.0", |ctx, args| unsubscribe(ctx, args, &SHARD)).keys(CHANNELS).doc(
        "Stops listening to shard channels, or to all of them.",
        "O(N) where N is the number of shard channels to unsubscribe.",
        "[shardchannel [shardchannel ...]]",
    ),
    row("PUBLISH", 3, SEND, "2.0.0", publish).channels(ChannelUse::First).doc(
        "Sends a message to everybody who listens to a channel.",
        "O(N+M) for N receivers and M patterns whose literal beginning is the channel's.",
        "channel message",
    ),
    row("SPUBLISH", 3, SEND, "7.0.0", spublish)
        .keys(&[KeySpec::one(Access::NOT_KEY, 1)])
        .channels(ChannelUse::First)
        .doc(
            "Sends a message to everybody who listens to a shard channel.",
            "O(N) where N is the number of clients subscribed to the receiving shard channel.",
            "shardchannel message",
        ),
    Spec::container("PUBSUB", SUBCOMMANDS).group(Group::Pubsub, Category::NONE, "2.8.0").doc(
        "Looks at subscriptions.",
        "Depends on subcommand.",
        "",
    ),
];

const SUBCOMMANDS: &[Spec] = &[
    row("CHANNELS", -2, LOOK, "2.8.0", |ctx, args| channels(ctx, args, Kind::Channel)).doc(
        "Lists the channels that somebody listens to.",
        "O(N) where N is the number of active channels, and assuming constant time pattern matching (relatively short \
         channels and patterns)",
        "[pattern]",
    ),
    Spec::new("HELP", 2, Flags::LOADING.with(Flags::STALE), help_text)
        .group(Group::Pubsub, Category::NONE, "6.2.0")
        .doc("Lists the subcommands.", "O(1)", ""),
    row("NUMPAT", 2, LOOK, "2.8.0", numpat).doc("Counts the patterns that somebody listens by.", "O(1)", ""),
    row("NUMSUB", -2, LOOK, "2.8.0", |ctx, args| numsub(ctx, args, Kind::Channel)).doc(
        "Counts the listeners of channels.",
        "O(N) for the NUMSUB subcommand, where N is the number of requested channels",
        "[channel [channel ...]]",
    ),
    row("SHARDCHANNELS", -2, LOOK, "7.0.0", |ctx, args| channels(ctx, args, Kind::Shard)).doc(
        "Lists the shard channels that somebody listens to.",
        "O(N) where N is the number of active shard channels, and assuming constant time pattern matching (relatively \
         short shard channels).",
        "[pattern]",
    ),
    row("SHARDNUMSUB", -2, LOOK, "7.0.0", |ctx, args| numsub(ctx, args, Kind::Shard)).doc(
        "Counts the listeners of shard channels.",
        "O(N) for the SHARDNUMSUB subcommand, where N is the number of requested shard channels",
        "[shardchannel [shardchannel ...]]",
    ),
];

const fn row(name: &'static str, arity: i32, flags: Flags, since: &'static str, handler: super::spec::Handler) -> Spec {
    Spec::new(name, arity, flags, handler).group(Group::Pubsub, Category::NONE, since)
}

/// A way to subscribe, with the words its messages begin with.
struct CallOrigin {
    kind: Kind,
    subscribed: &'static str,
    unsubscribed: &'static str,
}

const CHANNEL: CallOrigin = CallOrigin { kind: Kind::Channel, subscribed: "subscribe", unsubscribed: "unsubscribe" };
const PATTERN: CallOrigin = CallOrigin { kind: Kind::Pattern, subscribed: "psubscribe", unsubscribed: "punsubscribe" };
const SHARD: CallOrigin = CallOrigin { kind: Kind::Shard, subscribed: "ssubscribe", unsubscribed: "sunsubscribe" };

/// One confirmation for each channel.
fn subscribe(ctx: &mut Ctx<'_>, args: Args<'_>, way: &CallOrigin) -> Outcome {
    ctx.out_of_band = true;
    ctx.session().subscribed = true;
    ctx.renew_output_limit();
    let member = ctx.server.clients.member_of(ctx.client);
    for name in args.iter_from(1) {
        ctx.server.pay_for_gone(1);
        ctx.server.watchers.hub.subscribe(member, way.kind, name);
        confirm(ctx, way.subscribed, way.kind, Some(name));
    }
    Ok(Next::Done)
}

/// One confirmation for each channel that was named, subscribed to or not; without names, for each that was subscribed
/// to, or one of nothing.
fn unsubscribe(ctx: &mut Ctx<'_>, args: Args<'_>, way: &CallOrigin) -> Outcome {
    ctx.out_of_band = true;
    for name in args.iter_from(1) {
        leave(ctx, way, name);
    }
    if args.len() == 1 {
        let member = ctx.server.clients.known_member(ctx.client);
        let names = member.map(|member| ctx.server.watchers.hub.topics(way.kind).names_of(member)).unwrap_or_default();
        names.iter().for_each(|name| leave(ctx, way, name));
        if names.is_empty() {
            confirm(ctx, way.unsubscribed, way.kind, None);
        }
    }
    let left = count(ctx, Kind::Channel) + count(ctx, Kind::Shard);
    ctx.session().subscribed = left > 0;
    ctx.renew_output_limit();
    Ok(Next::Done)
}

fn leave(ctx: &mut Ctx<'_>, way: &CallOrigin, name: &[u8]) {
    if let Some(member) = ctx.server.clients.known_member(ctx.client) {
        ctx.server.watchers.hub.unsubscribe(member, way.kind, name);
    }
    confirm(ctx, way.unsubscribed, way.kind, Some(name));
}

fn confirm(ctx: &mut Ctx<'_>, word: &str, kind: Kind, name: Option<&[u8]>) {
    let left = count(ctx, kind);
    ctx.reply.push(3);
    ctx.reply.bulk_str(word);
    match name {
        Some(name) => ctx.reply.bulk(name),
        None => ctx.reply.null(),
    }
    ctx.reply.integer(left as i64);
}

/// The subscriptions that count together: channels and patterns do, shard channels are apart.
fn count(ctx: &Ctx<'_>, kind: Kind) -> usize {
    let of = |kind: Kind| ctx.server.subscriptions(ctx.client, kind);
    match kind {
        Kind::Channel | Kind::Pattern => of(Kind::Channel) + of(Kind::Pattern),
        Kind::Shard => of(Kind::Shard),
    }
}

fn publish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let receivers = ctx.server.publish(args.at(1), args.at(2));
    ctx.reply.integer(receivers as i64);
    Ok(Next::Done)
}

fn spublish(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let receivers = ctx.server.publish_shard(args.at(1), args.at(2));
    ctx.reply.integer(receivers as i64);
    Ok(Next::Done)
}

fn channels(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    if args.len() > 3 {
        return Err(ReplyError::about(
            "ERR unknown subcommand or wrong number of arguments for '",
            args.at(1),
            "'. Try PUBSUB HELP.",
        ));
    }
    let pattern = args.get(2).map(|text| Pattern::new(text, false));
    let Ctx { server, reply, .. } = ctx;
    let topics = server.watchers.hub.topics(kind);
    let array = reply.open_array(topics.len());
    let mut found = 0;
    let live = topics.iter().filter(|(_, subscribers)| server.count_present(subscribers) > 0).map(|(name, _)| name);
    for name in live.filter(|name| pattern.as_ref().is_none_or(|pattern| pattern.matches(name))) {
        reply.bulk(name);
        found += 1;
    }
    reply.close_array(array, found);
    Ok(Next::Done)
}

fn numsub(ctx: &mut Ctx<'_>, args: Args<'_>, kind: Kind) -> Outcome {
    let Ctx { server, reply, .. } = ctx;
    reply.array(2 * (args.len() - 2));
    for name in args.iter_from(2) {
        reply.bulk(name);
        let subscribers = server.watchers.hub.topics(kind).subscribers(name);
        reply.integer(server.count_present(subscribers) as i64);
    }
    Ok(Next::Done)
}

fn numpat(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    let patterns = ctx.server.watchers.hub.topics(Kind::Pattern).len();
    ctx.reply.integer(patterns as i64);
    Ok(Next::Done)
}

fn help_text(ctx: &mut Ctx<'_>, _args: Args<'_>) -> Outcome {
    help::write(
        &mut ctx.reply,
        "PUBSUB",
        &[
            "CHANNELS [<pattern>]",
            "    Return the currently active channels matching a <pattern> (default: '*').",
            "NUMPAT",
            "    Return number of subscriptions to patterns.",
            "NUMSUB [<channel> ...]",
            "    Return the number of subscribers for the specified channels, excluding",
            "    pattern subscriptions(default: no channels).",
            "SHARDCHANNELS [<pattern>]",
            "    Return the currently active shard level channels matching a <pattern> (default: '*').",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Return the number of subscribers for the specified shard level channel(s)",
        ],
    );
    Ok(Next::Done)
}
