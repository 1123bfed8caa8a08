//! Sorted sets: the rows of their commands, and what the handlers share.
//!
//! - `add`: ZADD, ZINCRBY and ZADDEX. `read`: single members, counts, random members. `walk`: ZSCAN.
//! - `range`: the reading of ranges, ZRANGE and its older kin, ZRANGESTORE. `remove`: what removes by name or range.
//! - `pop`: what takes from either end, and waits for something to take. `transfer`: from one sorted set to another.
//! - `combine`: unions, intersections and differences of sorted sets and sets, which `source` makes one kind of thing; `slices`: the
//!   same slice by slice, for large ones.
//!
//! Whatever gives out members goes through `write_member` and `write_entries`, which know how scores look in either protocol.

mod add;
mod combine;
mod pop;
mod range;
mod read;
mod remove;
pub(super) mod slices;
mod source;
mod transfer;
mod walk;

use super::lifetime;
use super::spec::{Access, Category, Flags, Group, Handler, KeySpec, Spec};
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{Proto, Reply};
use crate::server::Server;
use crate::server::change::Change;
use crate::server::ctx::Ctx;
use crate::store::collections::Mut;
use crate::store::pack::Item;
use crate::store::types::Object;
use crate::store::types::zset::{Limits, ZSet};

const fn row(spec: Spec, since: &'static str) -> Spec {
    spec.group(Group::SortedSet, Category::SORTEDSET, since)
}

const READ: Access = Access::RO.with(Access::ACCESS);
const TAKE: Access = Access::RW.with(Access::ACCESS).with(Access::DELETE);
const OVERWRITE: Access = Access::OW.with(Access::UPDATE);
const READ_ONE: &[KeySpec] = &[KeySpec::one(READ, 1)];
const SIZE_ONE: &[KeySpec] = &[KeySpec::one(Access::RO, 1)];
const UPDATE_ONE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::UPDATE), 1)];
const INCREMENT_ONE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::UPDATE), 1)];
const DELETE_ONE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::DELETE), 1)];
const TAKE_ONE: &[KeySpec] = &[KeySpec::one(TAKE, 1)];
const TAKE_MANY: &[KeySpec] = &[KeySpec::until(TAKE, 1, -2, 1)];
const MOVE: &[KeySpec] =
    &[KeySpec::one(TAKE, 1), KeySpec::one(Access::RW.with(Access::INSERT).with(Access::UPDATE), 2)];
const READ_COUNTED: &[KeySpec] = &[KeySpec::keynum(READ, 1)];
const STORE_COUNTED: &[KeySpec] = &[KeySpec::one(OVERWRITE, 1), KeySpec::keynum(READ, 2)];

const ONE_LOG: &str = "O(log(N)) for a sorted set of N members.";
const RANGE_LOG: &str = "O(log(N)+M) for a sorted set of N members, M of which are returned.";
const REMOVE_LOG: &str = "O(log(N)+M) for a sorted set of N members, M of which are removed.";
const POP_LOG: &str = "O(log(N)*M) for a sorted set of N members, M of which are taken.";
const MPOP_LOG: &str = "O(K) for K keys, and O(M*log(N)) for a sorted set of N members, M of which are taken.";
const MOVE_LOG: &str = "O(K*(log(N)+log(M))) for sorted sets of N and M members, K of which are moved.";
const UNION_COST: &str = "O(N)+O(M*log(M)) for N members in all the inputs and M in the result.";
const INTER_COST: &str = "O(N*K)+O(M*log(M)) at worst for N members in the smallest of K inputs and M in the result.";
const DIFF_COST: &str = "O(L+M*log(M)) at worst for L members in all the inputs together and M in the result.";

const N_MEMBERS: &str = "O(log(N)) for each member named, in a sorted set of N members.";
const NAMED_MEMBERS: &str = "key MEMBERS nummembers member [member ...]";
const RANDOM: &[&str] = &["nondeterministic_output"];
const SINCE: &str = "0.1.0";
const BEFORE_WITHSCORE: &[(&str, &str)] = &[("7.2.0", "Added the optional `WITHSCORE` argument.")];
const TIMEOUT_DOUBLE: &[(&str, &str)] = &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")];

const COUNT_SINCE: &[(&str, &str)] = &[("8.8.0", "Added `COUNT` as a way to aggregate.")];

/// A command that lets members expire.
const fn expirer(name: &'static str, handler: Handler) -> Spec {
    row(Spec::write(name, -6, handler).in_pieces(), SINCE).fast().keys(UPDATE_ONE)
}

/// A command that asks when members expire.
const fn clock(name: &'static str, handler: Handler) -> Spec {
    row(Spec::read(name, -5, handler), SINCE).fast().keys(READ_ONE)
}

/// The rows.
pub const ROWS: &[Spec] = &[
    row(Spec::write("ZADD", -4, add::zadd).in_pieces(), "1.2.0")
        .member(3)
        .denyoom()
        .fast()
        .keys(UPDATE_ONE)
        .doc(
            "Adds members to a sorted set, which is created if need be, or changes their scores.",
            "O(log(N)) for each member, in a sorted set of N members.",
            "key [NX | XX] [GT | LT] [CH] [INCR] score member [score member ...]",
        )
        .history(&[
            ("2.4.0", "Accepts multiple elements."),
            ("3.0.2", "Added the `XX`, `NX`, `CH` and `INCR` options."),
            ("6.2.0", "Added the `GT` and `LT` options."),
        ]),
    row(Spec::write("ZINCRBY", 4, add::zincrby), "1.2.0").member(3).denyoom().fast().keys(INCREMENT_ONE).doc(
        "Adds to the score of a member, which counts as 0 if the member is not there.",
        ONE_LOG,
        "key increment member",
    ),
    row(Spec::read("ZCARD", 2, read::zcard), "1.2.0").fast().keys(SIZE_ONE).doc(
        "Returns the number of members of a sorted set.",
        "O(1)",
        "key",
    ),
    row(Spec::read("ZSCORE", 3, read::zscore), "1.2.0").member(2).fast().keys(READ_ONE).doc(
        "Returns the score of a member.",
        "O(1)",
        "key member",
    ),
    row(Spec::read("ZMSCORE", -3, read::zmscore).in_pieces(), "6.2.0").member(2).fast().keys(READ_ONE).doc(
        "Returns the scores of several members.",
        "O(N) for N members asked for.",
        "key member [member ...]",
    ),
    row(Spec::read("ZRANK", -3, read::zrank), "2.0.0")
        .member(2)
        .fast()
        .keys(READ_ONE)
        .doc("Returns how many members come before one, in ascending order.", "O(log(N))", "key member [WITHSCORE]")
        .history(BEFORE_WITHSCORE),
    row(Spec::read("ZREVRANK", -3, read::zrevrank), "2.0.0")
        .member(2)
        .fast()
        .keys(READ_ONE)
        .doc("Returns how many members come before one, in descending order.", "O(log(N))", "key member [WITHSCORE]")
        .history(BEFORE_WITHSCORE),
    row(Spec::read("ZCOUNT", 4, read::zcount), "2.0.0").fast().keys(READ_ONE).doc(
        "Counts the members whose scores are in a range.",
        ONE_LOG,
        "key min max",
    ),
    row(Spec::read("ZLEXCOUNT", 4, read::zlexcount), "2.8.9").fast().keys(READ_ONE).doc(
        "Counts the members that are in a range, where all have the same score.",
        ONE_LOG,
        "key min max",
    ),
    row(Spec::read("ZRANGE", -4, range::zrange), "1.2.0")
        .keys(READ_ONE)
        .doc(
            "Returns the members in a range of ranks, scores or members.",
            RANGE_LOG,
            "key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES]",
        )
        .history(&[("6.2.0", "Added the `REV`, `BYSCORE`, `BYLEX` and `LIMIT` options.")]),
    row(Spec::write("ZRANGESTORE", -5, range::zrangestore), "6.2.0")
        .denyoom()
        .keys(&[KeySpec::one(OVERWRITE, 1), KeySpec::one(READ, 2)])
        .doc(
            "Stores the members in a range of ranks, scores or members in another key.",
            "O(log(N)+M) for a sorted set of N members, M of which are stored.",
            "dst src min max [BYSCORE | BYLEX] [REV] [LIMIT offset count]",
        ),
    row(Spec::read("ZRANGEBYSCORE", -4, range::zrangebyscore), "1.0.5")
        .keys(READ_ONE)
        .doc(
            "Returns the members whose scores are in a range.",
            RANGE_LOG,
            "key min max [WITHSCORES] [LIMIT offset count]",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `BYSCORE` argument")
        .history(&[("2.0.0", "Added the `WITHSCORES` modifier.")]),
    row(Spec::read("ZREVRANGEBYSCORE", -4, range::zrevrangebyscore), "2.2.0")
        .keys(READ_ONE)
        .doc(
            "Returns the members whose scores are in a range, in descending order.",
            RANGE_LOG,
            "key max min [WITHSCORES] [LIMIT offset count]",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYSCORE` arguments")
        .history(&[("2.1.6", "`min` and `max` can be exclusive.")]),
    row(Spec::read("ZRANGEBYLEX", -4, range::zrangebylex), "2.8.9")
        .keys(READ_ONE)
        .doc(
            "Returns the members that are in a range, where all have the same score.",
            RANGE_LOG,
            "key min max [LIMIT offset count]",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `BYLEX` argument"),
    row(Spec::read("ZREVRANGEBYLEX", -4, range::zrevrangebylex), "2.8.9")
        .keys(READ_ONE)
        .doc(
            "Returns the members that are in a range, in descending order, where all have the same score.",
            RANGE_LOG,
            "key max min [LIMIT offset count]",
        )
        .deprecated("6.2.0", "`ZRANGE` with the `REV` and `BYLEX` arguments"),
    row(Spec::read("ZREVRANGE", -4, range::zrevrange), "1.2.0")
        .keys(READ_ONE)
        .doc("Returns the members in a range of ranks, in descending order.", RANGE_LOG, "key start stop [WITHSCORES]")
        .deprecated("6.2.0", "`ZRANGE` with the `REV` argument"),
    row(Spec::write("ZREM", -3, remove::zrem).in_pieces(), "1.2.0")
        .member(2)
        .fast()
        .keys(DELETE_ONE)
        .doc(
            "Removes members; the key goes with the last one.",
            "O(M*log(N)) for a sorted set of N members and M to be removed.",
            "key member [member ...]",
        )
        .history(&[("2.4.0", "Accepts multiple elements.")]),
    row(Spec::write("ZREMRANGEBYRANK", 4, remove::zremrangebyrank), "2.0.0").keys(DELETE_ONE).doc(
        "Removes the members in a range of ranks; the key goes with the last one.",
        REMOVE_LOG,
        "key start stop",
    ),
    row(Spec::write("ZREMRANGEBYSCORE", 4, remove::zremrangebyscore), "1.2.0").keys(DELETE_ONE).doc(
        "Removes the members whose scores are in a range; the key goes with the last one.",
        REMOVE_LOG,
        "key min max",
    ),
    row(Spec::write("ZREMRANGEBYLEX", 4, remove::zremrangebylex), "2.8.9").keys(DELETE_ONE).doc(
        "Removes the members in a range, where all have the same score; the key goes with the last.",
        REMOVE_LOG,
        "key min max",
    ),
    row(Spec::write("ZPOPMIN", -2, pop::zpopmin), "5.0.0").fast().keys(TAKE_ONE).doc(
        "Takes the members with the lowest scores; the key goes with the last one.",
        POP_LOG,
        "key [count]",
    ),
    row(Spec::write("ZPOPMAX", -2, pop::zpopmax), "5.0.0").fast().keys(TAKE_ONE).doc(
        "Takes the members with the highest scores; the key goes with the last one.",
        POP_LOG,
        "key [count]",
    ),
    row(Spec::write("ZMPOP", -4, pop::zmpop), "7.0.0").keys(&[KeySpec::keynum(TAKE, 1)]).doc(
        "Takes the members with the lowest or highest scores of the first sorted set there is.",
        MPOP_LOG,
        "numkeys key [key ...] <MIN | MAX> [COUNT count]",
    ),
    row(Spec::write("BZPOPMIN", -3, pop::bzpopmin), "5.0.0")
        .flags(Flags::BLOCKING)
        .fast()
        .keys(TAKE_MANY)
        .doc(
            "Takes the member with the lowest score of the first sorted set there is, or waits for one.",
            ONE_LOG,
            "key [key ...] timeout",
        )
        .history(TIMEOUT_DOUBLE),
    row(Spec::write("BZPOPMAX", -3, pop::bzpopmax), "5.0.0")
        .flags(Flags::BLOCKING)
        .fast()
        .keys(TAKE_MANY)
        .doc(
            "Takes the member with the highest score of the first sorted set there is, or waits for one.",
            ONE_LOG,
            "key [key ...] timeout",
        )
        .history(TIMEOUT_DOUBLE),
    row(Spec::write("BZMPOP", -5, pop::bzmpop), "7.0.0").flags(Flags::BLOCKING).keys(&[KeySpec::keynum(TAKE, 2)]).doc(
        "Takes the lowest or highest members of the first sorted set there is, or waits for one.",
        MPOP_LOG,
        "timeout numkeys key [key ...] <MIN | MAX> [COUNT count]",
    ),
    row(Spec::write("ZMOVE", -4, transfer::zmove), "8.12.0").denyoom().keys(MOVE).doc(
        "Moves members with their scores to another sorted set, and returns the members without scores.",
        MOVE_LOG,
        "source destination <MIN | MAX | BYSCORE score-min score-max> [COUNT count]",
    ),
    row(Spec::write("BZMOVE", -5, transfer::bzmove), "8.12.0").denyoom().flags(Flags::BLOCKING).keys(MOVE).doc(
        "Moves members with their scores to another sorted set, and returns them without; waits for them.",
        MOVE_LOG,
        "source destination <MIN | MAX> timeout [COUNT count]",
    ),
    row(Spec::write("ZMOVEMEMBER", -6, transfer::zmovemember).in_pieces(), "8.12.0").denyoom().keys(MOVE).doc(
        "Moves named members with their scores to another sorted set, and returns those that were moved.",
        MOVE_LOG,
        "source destination [NX | XX] MEMBERS nummembers member [member ...]",
    ),
    row(Spec::read("ZUNION", -3, combine::zunion), "6.2.0")
        .keys(READ_COUNTED)
        .doc(
            "Returns the members that any of several sorted sets has.",
            UNION_COST,
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]",
        )
        .history(COUNT_SINCE),
    row(Spec::read("ZINTER", -3, combine::zinter), "6.2.0")
        .keys(READ_COUNTED)
        .doc(
            "Returns the members that all of several sorted sets have.",
            INTER_COST,
            "numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>] [WITHSCORES]",
        )
        .history(COUNT_SINCE),
    row(Spec::read("ZDIFF", -3, combine::zdiff), "6.2.0").keys(READ_COUNTED).doc(
        "Returns the members of the first sorted set that no other has.",
        DIFF_COST,
        "numkeys key [key ...] [WITHSCORES]",
    ),
    row(Spec::write("ZUNIONSTORE", -4, combine::zunionstore), "2.0.0")
        .denyoom()
        .keys(STORE_COUNTED)
        .doc(
            "Stores the members that any of several sorted sets has.",
            UNION_COST,
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]",
        )
        .history(COUNT_SINCE),
    row(Spec::write("ZINTERSTORE", -4, combine::zinterstore), "2.0.0")
        .denyoom()
        .keys(STORE_COUNTED)
        .doc(
            "Stores the members that all of several sorted sets have.",
            INTER_COST,
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]] [AGGREGATE <SUM | MIN | MAX | COUNT>]",
        )
        .history(COUNT_SINCE),
    row(Spec::write("ZDIFFSTORE", -4, combine::zdiffstore), "6.2.0").denyoom().keys(STORE_COUNTED).doc(
        "Stores the members of the first sorted set that no other has.",
        DIFF_COST,
        "destination numkeys key [key ...]",
    ),
    row(Spec::read("ZINTERCARD", -3, combine::zintercard), "7.0.0").keys(READ_COUNTED).doc(
        "Counts the members that all of several sorted sets have, up to a limit.",
        "O(N*K) at worst for N members in the smallest of K inputs.",
        "numkeys key [key ...] [LIMIT limit]",
    ),
    row(Spec::read("ZRANDMEMBER", -2, read::zrandmember), "6.2.0")
        .keys(READ_ONE)
        .doc("Returns members chosen at random.", "O(N) for N members returned.", "key [count [WITHSCORES]]")
        .tips(RANDOM),
    row(Spec::read("ZSCAN", -3, walk::zscan), "2.8.0")
        .keys(READ_ONE)
        .doc(
            "Walks the members and their scores, some at a time.",
            "O(1) for every call. O(N) for a whole walk, where N is the number of members.",
            "key cursor [MATCH pattern] [COUNT count] [NOSCORES]",
        )
        .tips(RANDOM),
    expirer("ZEXPIRE", lifetime::expire::<ZSet>).doc(
        "Lets members expire after some seconds.",
        N_MEMBERS,
        "key seconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    expirer("ZPEXPIRE", lifetime::expire::<ZSet>).doc(
        "Lets members expire after some milliseconds.",
        N_MEMBERS,
        "key milliseconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    expirer("ZEXPIREAT", lifetime::expire::<ZSet>).doc(
        "Lets members expire at a Unix time in seconds.",
        N_MEMBERS,
        "key unix-time-seconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    expirer("ZPEXPIREAT", lifetime::expire::<ZSet>).doc(
        "Lets members expire at a Unix time in milliseconds.",
        N_MEMBERS,
        "key unix-time-milliseconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    clock("ZTTL", lifetime::ttl::<ZSet>)
        .doc("Returns the seconds that members have left.", N_MEMBERS, NAMED_MEMBERS)
        .tips(RANDOM),
    clock("ZPTTL", lifetime::pttl::<ZSet>)
        .doc("Returns the milliseconds that members have left.", N_MEMBERS, NAMED_MEMBERS)
        .tips(RANDOM),
    clock("ZEXPIRETIME", lifetime::expiretime::<ZSet>).doc(
        "Returns the Unix times in seconds at which members expire.",
        N_MEMBERS,
        NAMED_MEMBERS,
    ),
    clock("ZPEXPIRETIME", lifetime::pexpiretime::<ZSet>).doc(
        "Returns the Unix times in milliseconds at which members expire.",
        N_MEMBERS,
        NAMED_MEMBERS,
    ),
    row(Spec::write("ZPERSIST", -5, lifetime::persist::<ZSet>).in_pieces(), SINCE).fast().keys(UPDATE_ONE).doc(
        "Keeps members for good instead of letting them expire.",
        N_MEMBERS,
        NAMED_MEMBERS,
    ),
    row(Spec::write("ZADDEX", -6, add::zaddex).in_pieces(), SINCE).denyoom().fast().keys(UPDATE_ONE).doc(
        "Adds members with their scores, all or none of which have to be there, and lets them expire.",
        "O(log(N)) for each member, in a sorted set of N members.",
        "key [MNX | MXX] \
         [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
         MEMBERS nummembers score member [score member ...]",
    ),
];

const NOT_A_SCORE_RANGE: ReplyError = ReplyError::new("ERR min or max is not a float");
const NOT_A_LEX_RANGE: ReplyError = ReplyError::new("ERR min or max not valid string range item");

/// Up to where sorted sets are listpacks, as configured.
pub(super) fn limits(server: &Server) -> Limits {
    Limits {
        entries: usize::try_from(server.config.zset_max_listpack_entries).unwrap_or(usize::MAX),
        value: usize::try_from(server.config.zset_max_listpack_value).unwrap_or(usize::MAX),
        hasher: server.dbs.hasher,
    }
}

/// The sorted set of the line's key, to be given so many members, the first of them at an index; it is created unless only
/// present members are to change.
pub(super) fn target<'c>(
    ctx: &'c mut Ctx<'_>,
    args: Args<'_>,
    first: usize,
    members: usize,
    only_old: bool,
) -> Result<Option<(Mut<'c, ZSet>, Limits)>, ReplyError> {
    let limits = limits(ctx.server);
    let (at, key) = (ctx.at, args.at(1));
    let mut zset = if only_old {
        let Some(found) = ctx.db().write::<ZSet>(key, at)? else { return Ok(None) };
        found
    } else {
        let longest = args.at(first).len();
        ctx.db().write_or_create(key, at, || ZSet::sized(members, longest, &limits))?
    };
    zset.expect(members, &limits);
    Ok(Some((zset, limits)))
}

/// Writes a member.
#[inline]
pub(super) fn write_member(reply: &mut Reply<'_>, member: Item<'_>) {
    match member {
        Item::Int(n) => reply.bulk_integer(n),
        Item::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Starts an array of `n` members, perhaps with their scores: pairs in RESP3, one flat array in RESP2.
fn open_entries(reply: &mut Reply<'_>, n: usize, scores: bool) {
    let flat = scores && reply.proto() == Proto::Resp2;
    reply.array(if flat { 2 * n } else { n });
}

/// Writes one member of such an array.
#[inline]
fn write_entry(reply: &mut Reply<'_>, (member, score): (Item<'_>, f64), scores: bool) {
    if scores && reply.proto() == Proto::Resp3 {
        reply.array(2);
    }
    write_member(reply, member);
    if scores {
        reply.double(score);
    }
}

/// Writes members, perhaps with their scores.
fn write_entries<'z>(reply: &mut Reply<'_>, entries: impl ExactSizeIterator<Item = (Item<'z>, f64)>, scores: bool) {
    open_entries(reply, entries.len(), scores);
    entries.for_each(|entry| write_entry(reply, entry, scores));
}

/// Replies with the size of a result and stores it under a key over whatever is there; an empty result removes the key.
/// It counts as so many changes.
pub(super) fn store_result(ctx: &mut Ctx<'_>, key: &[u8], result: ZSet, event: &str, changes: usize) {
    use crate::store::types::Collection as _;
    let (at, len) = (ctx.at, result.len());
    if len > 0 {
        ctx.db().set_object(key, Object::ZSet(result), at);
        ctx.change(Change::new(EventClass::SortedSet, event, key).times(changes));
    } else if let Some(entry) = ctx.db().remove(key, at) {
        ctx.server.discard(entry);
        ctx.change(Change::new(EventClass::Generic, "del", key));
    }
    ctx.reply.integer(len as i64);
}
