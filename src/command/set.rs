//! Sets: the rows of their commands and the handlers for single sets. `algebra`: what several sets have in common or not; `slices`:
//! the same slice by slice, for large ones.

mod algebra;
mod slices;

use super::collection::{Drawing, random_count, remove_emptied};
use super::lifetime::{self, Adding, Changes, Timed};
use super::long::{self, Meter, Place};
use super::pieces::{self, Answer, PIECE_ELEMENTS_MAX, Plan, Within};
use super::scan::{self, Bucket, Scanned, Walk};
use super::spec::{Access, Category, Group, Handler, KeySpec, Outcome, Spec};
use crate::base::num;
use crate::base::prng::Prng;
use crate::config::{Config, EventClass};
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::server::pieces::{Pieces, Progress};
use crate::store::hash::KeyHasher;
use crate::store::pack::Item;
use crate::store::types::set::Policy;
use crate::store::types::{Collection, Set};

/// Members that one command names when what SPOP drew is passed on, as in Redis.
const PASSED_ON_MAX: usize = 1024;

/// SPOP takes what stays out of the set, not what goes, if more than this many times as many go.
const STAY_FACTOR: usize = 5;

const READ: Access = Access::RO.with(Access::ACCESS);
const DELETE: Access = Access::RW.with(Access::DELETE);
const SOURCES: &[KeySpec] = &[KeySpec::rest(READ, 1, 1)];
const STORE: &[KeySpec] = &[KeySpec::one(Access::OW.with(Access::UPDATE), 1), KeySpec::rest(READ, 2, 1)];
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const RANDOM: &[&str] = &["nondeterministic_output"];

const N_MEMBERS: &str = "O(N) where N is the number of members named.";
const NAMED_MEMBERS: &str = "key MEMBERS nummembers member [member ...]";
const READ_ONE: &[KeySpec] = &[KeySpec::one(READ, 1)];
const UPDATE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::UPDATE), 1)];

/// A command that lets members expire.
const fn expirer(name: &'static str, handler: Handler) -> Spec {
    Spec::write(name, -6, handler).in_pieces().fast().keys(UPDATE).group(Group::Set, Category::SET, "8.12.0")
}

/// A command that asks when members expire.
const fn clock(name: &'static str, handler: Handler) -> Spec {
    Spec::read(name, -5, handler).fast().keys(READ_ONE).group(Group::Set, Category::SET, "8.12.0")
}

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::write("SADD", -3, sadd)
        .in_pieces()
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::INSERT), 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .doc("Adds members to a set, which is created if need be.", "O(N) for N members.", "key member [member ...]")
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
    Spec::read("SCARD", 2, scard)
        .fast()
        .keys(&[KeySpec::one(Access::RO, 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .doc("Counts the members of a set.", "O(1)", "key"),
    Spec::read("SUNIONCARD", -3, algebra::sunioncard)
        .keys(&[KeySpec::keynum(READ, 1)])
        .group(Group::Set, Category::SET, "8.10.0")
        .doc(
            "Counts the members that any of several sets has, or estimates their number.",
            "O(N) for N members of all sets.",
            "numkeys key [key ...] [APPROX] [LIMIT limit]",
        ),
    Spec::read("SDIFFCARD", -3, algebra::sdiffcard)
        .keys(&[KeySpec::keynum(READ, 1)])
        .group(Group::Set, Category::SET, "8.10.0")
        .doc(
            "Counts the members of the first set that no other set has.",
            "O(N*M) for M sets, the first of N members.",
            "numkeys key [key ...] [LIMIT limit]",
        ),
    Spec::read("SDIFF", -2, algebra::sdiff)
        .keys(SOURCES)
        .group(Group::Set, Category::SET, "1.0.0")
        .tips(UNORDERED)
        .doc(
            "Returns the members of the first set that no other set has.",
            "O(N) for N members of all sets.",
            "key [key ...]",
        ),
    Spec::write("SDIFFSTORE", -3, algebra::sdiffstore)
        .denyoom()
        .keys(STORE)
        .group(Group::Set, Category::SET, "1.0.0")
        .doc(
            "Stores the members of the first set that no other set has.",
            "O(N) for N members of all sets.",
            "destination key [key ...]",
        ),
    Spec::read("SINTER", -2, algebra::sinter)
        .keys(SOURCES)
        .group(Group::Set, Category::SET, "1.0.0")
        .tips(UNORDERED)
        .doc(
            "Returns the members that all sets have.",
            "O(N*M) for M sets, the smallest of N members.",
            "key [key ...]",
        ),
    Spec::read("SINTERCARD", -3, algebra::sintercard)
        .keys(&[KeySpec::keynum(READ, 1)])
        .group(Group::Set, Category::SET, "7.0.0")
        .doc(
            "Counts the members that all sets have.",
            "O(N*M) for M sets, the smallest of N members.",
            "numkeys key [key ...] [LIMIT limit]",
        ),
    Spec::write("SINTERSTORE", -3, algebra::sinterstore)
        .denyoom()
        .keys(STORE)
        .group(Group::Set, Category::SET, "1.0.0")
        .doc(
            "Stores the members that all sets have.",
            "O(N*M) for M sets, the smallest of N members.",
            "destination key [key ...]",
        ),
    Spec::read("SISMEMBER", 3, sismember)
        .fast()
        .keys(&[KeySpec::one(Access::RO, 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .doc("Tells whether a string is a member of a set.", "O(1)", "key member"),
    Spec::read("SMEMBERS", 2, smembers)
        .keys(&[KeySpec::one(READ, 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .tips(UNORDERED)
        .doc("Returns all members of a set.", "O(N) for N members.", "key"),
    Spec::read("SMISMEMBER", -3, smismember)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::one(READ, 1)])
        .group(Group::Set, Category::SET, "6.2.0")
        .doc("Tells which of several strings are members of a set.", "O(N) for N strings.", "key member [member ...]"),
    Spec::write("SMOVE", 4, smove)
        .fast()
        .keys(&[KeySpec::one(DELETE.with(Access::ACCESS), 1), KeySpec::one(Access::RW.with(Access::INSERT), 2)])
        .group(Group::Set, Category::SET, "1.0.0")
        .doc("Moves a member from one set to another.", "O(1)", "source destination member"),
    Spec::write("SPOP", -2, spop)
        .fast()
        .keys(&[KeySpec::one(DELETE.with(Access::ACCESS), 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .tips(RANDOM)
        .doc("Removes random members from a set and returns them.", "O(N) for N members removed.", "key [count]")
        .history(&[("3.2.0", "Added the `count` argument.")]),
    Spec::read("SRANDMEMBER", -2, srandmember)
        .keys(&[KeySpec::one(READ, 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .tips(RANDOM)
        .doc(
            "Returns random members of a set: different ones, or with repetitions if the count is negative.",
            "O(N) for a count of N, or for N members if the count is a large part of them.",
            "key [count]",
        )
        .history(&[("2.6.0", "Added the optional `count` argument.")]),
    Spec::write("SREM", -3, srem)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::one(DELETE, 1)])
        .group(Group::Set, Category::SET, "1.0.0")
        .doc("Removes members from a set.", "O(N) for N members.", "key member [member ...]")
        .history(&[("2.4.0", "Accepts multiple `member` arguments.")]),
    Spec::read("SSCAN", -3, sscan)
        .keys(&[KeySpec::one(READ, 1)])
        .group(Group::Set, Category::SET, "2.8.0")
        .tips(RANDOM)
        .doc(
            "Walks the members of a set, some at a time.",
            "O(1) for every call. O(N) for a whole walk, where N is the number of members.",
            "key cursor [MATCH pattern] [COUNT count]",
        ),
    Spec::read("SUNION", -2, algebra::sunion)
        .keys(SOURCES)
        .group(Group::Set, Category::SET, "1.0.0")
        .tips(UNORDERED)
        .doc("Returns the members that any of the sets has.", "O(N) for N members of all sets.", "key [key ...]"),
    Spec::write("SUNIONSTORE", -3, algebra::sunionstore)
        .denyoom()
        .keys(STORE)
        .group(Group::Set, Category::SET, "1.0.0")
        .doc(
            "Stores the members that any of the sets has.",
            "O(N) for N members of all sets.",
            "destination key [key ...]",
        ),
    expirer("SEXPIRE", lifetime::expire::<Set>).doc(
        "Lets members expire after some seconds.",
        N_MEMBERS,
        "key seconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    expirer("SPEXPIRE", lifetime::expire::<Set>).doc(
        "Lets members expire after some milliseconds.",
        N_MEMBERS,
        "key milliseconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    expirer("SEXPIREAT", lifetime::expire::<Set>).doc(
        "Lets members expire at a Unix time in seconds.",
        N_MEMBERS,
        "key unix-time-seconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    expirer("SPEXPIREAT", lifetime::expire::<Set>).doc(
        "Lets members expire at a Unix time in milliseconds.",
        N_MEMBERS,
        "key unix-time-milliseconds [NX | XX | GT | LT] MEMBERS nummembers member [member ...]",
    ),
    clock("STTL", lifetime::ttl::<Set>)
        .doc("Returns the seconds that members have left.", N_MEMBERS, NAMED_MEMBERS)
        .tips(RANDOM),
    clock("SPTTL", lifetime::pttl::<Set>)
        .doc("Returns the milliseconds that members have left.", N_MEMBERS, NAMED_MEMBERS)
        .tips(RANDOM),
    clock("SEXPIRETIME", lifetime::expiretime::<Set>).doc(
        "Returns the Unix times in seconds at which members expire.",
        N_MEMBERS,
        NAMED_MEMBERS,
    ),
    clock("SPEXPIRETIME", lifetime::pexpiretime::<Set>).doc(
        "Returns the Unix times in milliseconds at which members expire.",
        N_MEMBERS,
        NAMED_MEMBERS,
    ),
    Spec::write("SPERSIST", -5, lifetime::persist::<Set>)
        .in_pieces()
        .fast()
        .keys(UPDATE)
        .group(Group::Set, Category::SET, "8.12.0")
        .doc("Keeps members for good instead of letting them expire.", N_MEMBERS, NAMED_MEMBERS),
    Spec::write("SADDEX", -5, saddex)
        .in_pieces()
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::INSERT).with(Access::UPDATE), 1)])
        .group(Group::Set, Category::SET, "8.12.0")
        .doc(
            "Adds members, all or none of which have to be there, and lets them expire.",
            "O(N) where N is the number of members being added.",
            "key [MNX | MXX] \
             [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
             MEMBERS nummembers member [member ...]",
        ),
];

/// When sets change their representation, as the configuration says.
pub(super) fn policy(config: &Config, hasher: KeyHasher) -> Policy {
    Policy {
        intset_entries: config.set_max_intset_entries,
        listpack_entries: config.set_max_listpack_entries,
        listpack_value: config.set_max_listpack_value,
        hasher,
    }
}

/// Writes a member.
fn write_item(reply: &mut Reply<'_>, item: Item<'_>) {
    match item {
        Item::Int(n) => reply.bulk_integer(n),
        Item::Bytes(bytes) => reply.bulk(bytes),
    }
}

fn sadd(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, part| add_all(ctx, piece, part.expected));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let added = add_all(ctx, args, args.len() - 2)?;
    ctx.reply.integer(added);
    Ok(Next::Done)
}

/// Adds the members of a line, of which so many are expected in all; how many are new.
fn add_all(ctx: &mut Ctx<'_>, args: Args<'_>, expected: usize) -> Result<i64, ReplyError> {
    let (key, first) = (args.at(1), args.at(2));
    let Ctx { server, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let mut set = server.dbs[*db].write_or_create(key, *at, || Set::for_members(first, expected, &policy))?;
    set.prepare(expected, &policy);
    let added = args.iter_from(2).filter(|member| set.insert(member, &policy)).count();
    drop(set);
    if added > 0 {
        ctx.change(Change::new(EventClass::Set, "sadd", key));
    }
    Ok(added as i64)
}

fn saddex(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let key = args.at(1);
    const LONG: Within = Within {
        width: 1,
        is_array: false,
        check: |ctx, line, members| is_let_by(ctx, line.at(1), &Adding::parse(ctx, line, 1, Set::WORDS)?.of(members)),
        work: |ctx, line, members, expected| {
            add_timed(ctx, line, &Adding::parse(ctx, line, 1, Set::WORDS)?.of(members), expected)
        },
    };
    let adding = Adding::parse(ctx, args, 1, Set::WORDS)?;
    if ctx.is_long_line(args) {
        return pieces::begin_within(ctx, adding.range(), &LONG);
    }
    let is_let = is_let_by(ctx, key, &adding)?;
    if is_let {
        add_timed(ctx, args, &adding, adding.members.len())?;
    }
    ctx.reply.integer(i64::from(is_let));
    Ok(Next::Done)
}

/// Whether the members of a set that are there let these be added.
fn is_let_by(ctx: &mut Ctx<'_>, key: &[u8], adding: &Adding<'_>) -> Result<bool, ReplyError> {
    let at = ctx.at;
    let present = ctx.db().write::<Set>(key, at)?;
    Ok(adding.is_allowed(|name| present.as_ref().is_some_and(|set| set.contains(name))))
}

/// Adds members with their deadline.
fn add_timed(ctx: &mut Ctx<'_>, args: Args<'_>, adding: &Adding<'_>, expected: usize) -> Result<(), ReplyError> {
    let (key, at) = (args.at(1), ctx.at);
    let mut changes = Changes::new(ctx, Set::WORDS, false);
    let Ctx { server, db, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let first = adding.members.at(0);
    let mut set = server.dbs[*db].write_or_create(key, at, || Set::for_members(first, expected, &policy))?;
    if expected > 0 {
        set.prepare(expected, &policy);
    }
    let mut added = false;
    for name in adding.names() {
        let is_new = set.insert(name, &policy);
        added |= is_new;
        adding.apply(&mut changes, &mut *set, name, !is_new, at.due_ms(), policy.hasher);
    }
    changes.emptied = set.is_empty();
    drop(set);
    if added {
        ctx.change(Change::new(EventClass::Set, "sadd", key));
    }
    if added || changes.any() {
        adding.propagate(ctx, args, Set::WORDS);
    }
    changes.tell(ctx, key);
    Ok(())
}

fn srem(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| remove_all(ctx, piece));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let removed = remove_all(ctx, args)?;
    ctx.reply.integer(removed);
    Ok(Next::Done)
}

/// Removes the members of a line; how many there were.
fn remove_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let (key, at) = (args.at(1), ctx.at);
    let (mut removed, mut emptied) = (0, false);
    if let Some(mut set) = ctx.db().write::<Set>(key, at)? {
        for member in args.iter_from(2) {
            removed += i64::from(set.remove(member));
            emptied = set.is_empty();
            if emptied {
                break;
            }
        }
    }
    if removed > 0 {
        ctx.change(Change::new(EventClass::Set, "srem", key));
    }
    if emptied {
        remove_emptied(ctx, key);
    }
    Ok(removed)
}

fn smove(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (from, to, member, at) = (args.at(1), args.at(2), args.at(3), ctx.at);
    let policy = policy(&ctx.server.config, ctx.server.dbs.hasher);
    if ctx.db().lookup_write(from, at).is_none() {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    }
    // Both are looked at before either changes, and in this order, as both may be of another type.
    ctx.db().write::<Set>(from, at)?;
    ctx.db().write::<Set>(to, at)?;
    let (mut found, mut emptied) = (false, false);
    if let Some(mut source) = ctx.db().write::<Set>(from, at)? {
        found = if from == to { source.contains(member) } else { source.remove(member) };
        emptied = source.is_empty();
    }
    if found && from != to {
        ctx.change(Change::new(EventClass::Set, "srem", from));
        if emptied {
            remove_emptied(ctx, from);
        }
        let mut target = ctx.db().write_or_create(to, at, || Set::for_members(member, 1, &policy))?;
        let added = target.insert(member, &policy);
        drop(target);
        if added {
            ctx.change(Change::new(EventClass::Set, "sadd", to));
        }
    }
    ctx.reply.integer(i64::from(found));
    Ok(Next::Done)
}

fn scard(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let count = ctx.db().read::<Set>(args.at(1), at)?.map_or(0, |set| set.len());
    ctx.reply.integer(count as i64);
    Ok(Next::Done)
}

fn sismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let found = ctx.db().read::<Set>(args.at(1), at)?.is_some_and(|set| set.contains(args.at(2)));
    ctx.reply.integer(i64::from(found));
    Ok(Next::Done)
}

fn smismember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Array, |ctx, piece, _| {
        let Ctx { server, reply, db, at, .. } = ctx;
        write_presence(reply, server.dbs[*db].reread::<Set>(piece.at(1), *at)?.as_deref(), piece);
        Ok(0)
    })
    .checked(pieces::check_type::<Set>);
    let is_long = ctx.is_long_line(args);
    let Ctx { server, reply, db, at, .. } = ctx;
    let set = server.dbs[*db].read::<Set>(args.at(1), *at)?;
    if is_long {
        return pieces::begin(ctx, 2, &LONG);
    }
    reply.array(args.len() - 2);
    write_presence(reply, set.as_deref(), args);
    Ok(Next::Done)
}

/// Writes which members of a line a set has.
fn write_presence(reply: &mut Reply<'_>, set: Option<&Set>, args: Args<'_>) {
    for member in args.iter_from(2) {
        reply.integer(i64::from(set.is_some_and(|set| set.contains(member))));
    }
}

fn smembers(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    match server.dbs[*db].read::<Set>(args.at(1), *at)? {
        Some(set) if may_become_job && server.jobs.limits.is_long(set.len(), &*set) => {
            return long::read_key(ctx, args.at(1), AllMembers::default());
        }
        Some(set) => {
            reply.set(set.len());
            set.for_each(|item| write_item(reply, item));
        }
        None => reply.set(0),
    }
    Ok(Next::Done)
}

/// Where SMEMBERS goes on.
#[derive(Debug, Default)]
struct AllMembers {
    /// `None` before the first.
    place: Option<u64>,
}

impl Place<Set> for AllMembers {
    fn go_on(&mut self, set: &Set, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        if self.place.is_none() {
            reply.set(set.len());
        }
        let meter = Meter::default();
        let show = |item: Item<'_>| {
            write_item(reply, item);
            meter.count(item.len());
        };
        self.place = set.read_on(self.place.unwrap_or(0), show, || meter.spend(slice));
        self.place.is_none()
    }
}

fn sscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    scan::scan_key::<Set>(ctx, args, Walk::Members)
}

impl Scanned for Set {
    fn scan_bucket(&self, cursor: u64, options: &scan::Options<'_>, _due_ms: i64, reply: &mut Reply<'_>) -> Bucket {
        let mut bucket = Bucket::default();
        bucket.next = self.scan(cursor, |item| {
            (bucket.seen, bucket.bytes) = (bucket.seen + 1, bucket.bytes + item.len());
            if options.matches(item.text(&mut itoa::Buffer::new())) {
                write_item(reply, item);
                bucket.found += 1;
            }
        });
        bucket
    }
}

fn spop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    match args.len() {
        2 => spop_one(ctx, args.at(1)),
        3 => spop_many(ctx, args.at(1), args.at(2)),
        _ => Err(ReplyError::SYNTAX),
    }
}

fn spop_one(ctx: &mut Ctx<'_>, key: &[u8]) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, .. } = &mut **server;
    let Some(mut set) = dbs[*db].write::<Set>(key, *at)? else {
        reply.null();
        return Ok(Next::Done);
    };
    let member = set.random(|n| prng.below(n), |item| item.to_vec()).unwrap_or_default();
    set.remove(&member);
    let emptied = set.is_empty();
    drop(set);
    reply.bulk(&member);
    ctx.change(Change::new(EventClass::Set, "spop", key));
    ctx.propagate_as(|lines| lines.push([b"SREM", key, &member]));
    if emptied {
        remove_emptied(ctx, key);
    }
    Ok(Next::Done)
}

fn spop_many(ctx: &mut Ctx<'_>, key: &[u8], count: &[u8]) -> Outcome {
    let count = num::parse_i64(count).and_then(|count| usize::try_from(count).ok());
    let count = count.ok_or(ReplyError::new("ERR value is out of range, must be positive"))?;
    if ctx.is_long(count) {
        let at = ctx.at;
        let set = ctx.server.dbs[ctx.db].reread::<Set>(key, at)?;
        if set.is_some_and(|set| ctx.server.jobs.limits.is_long(count.min(set.len()), &*set)) {
            return ctx.go_on_in_pieces(Popping { count, left: None });
        }
    }
    let Ctx { server, reply, db, at, .. } = ctx;
    let policy = policy(&server.config, server.dbs.hasher);
    let Server { dbs, prng, background, propagation, .. } = &mut **server;
    let Some(mut set) = dbs[*db].write::<Set>(key, *at)?.filter(|_| count > 0) else {
        reply.set(0);
        return Ok(Next::Done);
    };
    let (len, count) = (set.len(), count.min(set.len()));
    // A command that draws by lot is passed on as what it drew.
    let (mut drawn, is_propagated) = (Vec::new(), propagation.is_wanted() && count < len);
    reply.set(count);
    if count == len {
        set.for_each(|item| write_item(reply, item));
    } else if (len - count) * STAY_FACTOR > count {
        let mut popped = Vec::with_capacity(count);
        set.sample(count, |n| prng.below(n), |item| popped.push(item.to_vec()));
        for member in &popped {
            set.remove(member);
            reply.bulk(member);
        }
        if is_propagated {
            drawn = popped;
        }
    } else {
        // What stays is so little that it moves to a set of its own, and the rest is gone by once.
        let mut rest = if set.as_intset().is_some() { Set::ints() } else { Set::packed() };
        set.sample(len - count, |n| prng.below(n), |item| _ = rest.insert_item(item, &policy));
        set.for_each(|item| {
            if !rest.contains_item(item) {
                if is_propagated {
                    drawn.push(item.to_vec());
                }
                write_item(reply, item);
            }
        });
        background.free(Box::new(std::mem::replace(&mut *set, rest)));
    }
    drop(set);
    ctx.change(Change::new(EventClass::Set, "spop", key));
    ctx.propagate_as(|lines| {
        if count == len {
            lines.push([b"DEL".as_slice(), key]);
        }
        for some in drawn.chunks(PASSED_ON_MAX) {
            lines.push([b"SREM".as_slice(), key].into_iter().chain(some.iter().map(Vec::as_slice)));
        }
    });
    if count == len {
        remove_emptied(ctx, key);
    }
    Ok(Next::Done)
}

/// Very many random members that are taken, one drawn after the other: any choice of so many is as likely as any other.
#[derive(Debug)]
struct Popping {
    count: usize,
    /// How many are still to be taken; `None` before the first.
    left: Option<usize>,
}

impl Pieces for Popping {
    fn go_on(&mut self, ctx: &mut Ctx<'_>, args: Args<'_>, slice: &mut Slice<'_>) -> Result<Progress, ReplyError> {
        let (key, at) = (args.at(1), ctx.at);
        let mut left = match self.left {
            Some(left) => left,
            None => {
                let len = ctx.db().write::<Set>(key, at)?.map_or(0, |set| set.len());
                ctx.reply.set(self.count.min(len));
                self.count.min(len)
            }
        };
        while left > 0 {
            let count = slice.left().clamp(1, PIECE_ELEMENTS_MAX).min(left);
            let Ctx { server, reply, db, .. } = &mut *ctx;
            let Server { dbs, prng, .. } = &mut **server;
            let Some(mut set) = dbs[*db].write::<Set>(key, at)? else { break };
            let mut drawn: Vec<Vec<u8>> = Vec::with_capacity(count);
            for _ in 0..count {
                let member = set.random(|n| prng.below(n), |item| item.to_vec()).unwrap_or_default();
                set.remove(&member);
                reply.bulk(&member);
                drawn.push(member);
            }
            let emptied = set.is_empty();
            drop(set);
            ctx.change(Change::new(EventClass::Set, "spop", key));
            ctx.propagate_as(|lines| {
                lines.push([b"SREM".as_slice(), key].into_iter().chain(drawn.iter().map(Vec::as_slice)));
            });
            if emptied {
                remove_emptied(ctx, key);
            }
            left -= count;
            self.left = Some(left);
            // To draw one, to answer with it and to take it out costs as much as some elements.
            if !slice.spend(2 * count, 0) && left > 0 {
                return Ok(Progress::More);
            }
        }
        Ok(Progress::Through)
    }
}

fn srandmember(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let count = match args.len() {
        2 => None,
        3 => Some(random_count(args.at(2))?),
        _ => return Err(ReplyError::SYNTAX),
    };
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Server { dbs, prng, jobs, .. } = &mut **server;
    let set = dbs[*db].read::<Set>(args.at(1), *at)?;
    if let (Some(set), Some(count)) = (&set, count.filter(|_| may_become_job)) {
        let drawing = Drawing::new(count, set.len());
        if jobs.limits.is_long(drawing.elements(), &**set) {
            let place = Drawn { drawing, prng: Prng::seeded(prng.next_u64()), is_begun: false };
            return long::read_key(ctx, args.at(1), place);
        }
    }
    let mut draw = |n| prng.below(n);
    match (set, count) {
        (None, None) => reply.null(),
        (None, Some(_)) => reply.array(0),
        (Some(set), None) => _ = set.random(draw, |item| write_item(reply, item)),
        (Some(set), Some(count)) if count >= 0 => {
            let count = set.len().min(count as usize);
            reply.array(count);
            set.sample(count, draw, |item| write_item(reply, item));
        }
        (Some(set), Some(count)) => {
            reply.array(count.unsigned_abs() as usize);
            for _ in 0..count.unsigned_abs() {
                if reply.is_cut() {
                    break;
                }
                set.random(&mut draw, |item| write_item(reply, item));
            }
        }
    }
    Ok(Next::Done)
}

/// Where SRANDMEMBER goes on.
#[derive(Debug)]
struct Drawn {
    drawing: Drawing,
    prng: Prng,
    is_begun: bool,
}

impl Place<Set> for Drawn {
    fn go_on(&mut self, set: &Set, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        let Drawn { drawing, prng, is_begun } = self;
        if !std::mem::replace(is_begun, true) {
            reply.array(drawing.answered());
        }
        match drawing {
            Drawing::Repeated { left } => {
                while *left > 0 && !reply.is_cut() {
                    let bytes = set.random(
                        |n| prng.below(n),
                        |item| {
                            write_item(reply, item);
                            item.len()
                        },
                    );
                    *left -= 1;
                    if !slice.spend(1, bytes.unwrap_or(0)) {
                        break;
                    }
                }
                *left == 0
            }
            Drawing::Few { chosen, count } => {
                while chosen.len() < *count {
                    set.random(
                        |n| prng.below(n),
                        |item| {
                            if chosen.insert(item.to_vec()) {
                                write_item(reply, item);
                            }
                        },
                    );
                    if !slice.spend(1, 0) {
                        break;
                    }
                }
                chosen.len() == *count
            }
            Drawing::Part { wanted, left, place } => {
                let meter = Meter::default();
                let show = |item: Item<'_>| {
                    meter.count(item.len());
                    if prng.chance(*wanted as u64, *left as u64) {
                        write_item(reply, item);
                        *wanted -= 1;
                    }
                    *left -= 1;
                };
                let next = set.read_on(*place, show, || meter.spend(slice));
                *place = next.unwrap_or(0);
                next.is_none()
            }
        }
    }
}
