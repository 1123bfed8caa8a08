//! Hashes: setting, reading and removing fields: the rows, and the handlers of the plain ones below.

mod fields;
mod import;
mod number;
mod random;

use super::collection::remove_emptied;
use super::lifetime;
use super::long::{self, Meter, Place};
use super::pieces::{self, Answer, Plan};
use super::scan::{self, Bucket, Scanned, Walk};
use super::spec::{Access, Category, Group, Handler, KeySpec, Outcome, Spec};
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::{OpenArray, Reply};
use crate::server::Server;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::Slice;
use crate::store::collections::Mut;
use crate::store::collections::WrongType;
use crate::store::db::Moment;
use crate::store::pack::Item;
use crate::store::types::Collection as _;
use crate::store::types::hash::{Hash, Limits};

const LOOK: &[KeySpec] = &[KeySpec::one(Access::RO, 1)];
const READ: &[KeySpec] = &[KeySpec::one(Access::RO.with(Access::ACCESS), 1)];
const UPDATE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::UPDATE), 1)];
const ADD: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::UPDATE), 1)];

const N_FIELDS: &str = "O(N) where N is the number of fields named.";
const ANY_ORDER: &[&str] = &["nondeterministic_output_order"];
const ANY_OUTPUT: &[&str] = &["nondeterministic_output"];
const NAMED_FIELDS: &str = "key FIELDS numfields field [field ...]";

/// A command that sets fields or adds to one.
const fn setter(name: &'static str, arity: i32, handler: Handler) -> Spec {
    Spec::write(name, arity, handler).denyoom().fast()
}

/// A command that looks a field up, or counts.
const fn getter(name: &'static str, arity: i32, handler: Handler) -> Spec {
    Spec::read(name, arity, handler).fast()
}

/// A command that answers a whole hash.
const fn lister(name: &'static str, handler: Handler) -> Spec {
    Spec::read(name, 2, handler).keys(READ).tips(ANY_ORDER).group(Group::Hash, Category::HASH, "2.0.0")
}

/// A command that lets fields expire.
const fn expirer(name: &'static str, handler: Handler) -> Spec {
    Spec::write(name, -6, handler).in_pieces().fast().keys(UPDATE).group(Group::Hash, Category::HASH, "7.4.0")
}

/// A command that asks when fields expire.
const fn clock(name: &'static str, handler: Handler) -> Spec {
    Spec::read(name, -5, handler).fast().keys(READ).group(Group::Hash, Category::HASH, "7.4.0")
}

/// The rows.
pub const ROWS: &[Spec] = &[
    setter("HSET", -4, hset)
        .in_pieces()
        .keys(UPDATE)
        .group(Group::Hash, Category::HASH, "2.0.0")
        .doc(
            "Sets fields of a hash and returns how many of them are new.",
            "O(1) for each field and value, so O(N) for N of them.",
            "key field value [field value ...]",
        )
        .history(&[("4.0.0", "Accepts multiple `field` and `value` arguments.")]),
    setter("HMSET", -4, hmset)
        .in_pieces()
        .keys(UPDATE)
        .group(Group::Hash, Category::HASH, "2.0.0")
        .doc(
            "Sets fields of a hash.",
            "O(N) where N is the number of fields being set.",
            "key field value [field value ...]",
        )
        .deprecated("4.0.0", "`HSET` with multiple field-value pairs"),
    setter("HSETNX", 4, hsetnx)
        .keys(&[KeySpec::one(Access::RW.with(Access::INSERT), 1)])
        .group(Group::Hash, Category::HASH, "2.0.0")
        .doc("Sets a field of a hash unless it is there already.", "O(1)", "key field value"),
    getter("HGET", 3, hget).keys(READ).group(Group::Hash, Category::HASH, "2.0.0").doc(
        "Returns the value of a field.",
        "O(1)",
        "key field",
    ),
    getter("HMGET", -3, hmget).in_pieces().keys(READ).group(Group::Hash, Category::HASH, "2.0.0").doc(
        "Returns the values of fields, a null for each that is not there.",
        N_FIELDS,
        "key field [field ...]",
    ),
    lister("HGETALL", hgetall).doc("Returns all fields with their values.", "O(N) for a hash of N fields.", "key"),
    lister("HKEYS", hkeys).doc("Returns the names of all fields.", "O(N) for a hash of N fields.", "key"),
    lister("HVALS", hvals).doc("Returns the values of all fields.", "O(N) for a hash of N fields.", "key"),
    getter("HLEN", 2, hlen).keys(LOOK).group(Group::Hash, Category::HASH, "2.0.0").doc(
        "Returns the number of fields.",
        "O(1)",
        "key",
    ),
    getter("HSTRLEN", 3, hstrlen).keys(LOOK).group(Group::Hash, Category::HASH, "3.2.0").doc(
        "Returns the length of a field's value in bytes.",
        "O(1)",
        "key field",
    ),
    getter("HEXISTS", 3, hexists).keys(LOOK).group(Group::Hash, Category::HASH, "2.0.0").doc(
        "Tells whether a field is there.",
        "O(1)",
        "key field",
    ),
    Spec::write("HDEL", -3, hdel)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::DELETE), 1)])
        .group(Group::Hash, Category::HASH, "2.0.0")
        .doc(
            "Removes fields and returns how many there were; a hash without fields goes.",
            N_FIELDS,
            "key field [field ...]",
        )
        .history(&[("2.4.0", "Accepts multiple `field` arguments.")]),
    setter("HINCRBY", 4, number::hincrby).keys(ADD).group(Group::Hash, Category::HASH, "2.0.0").doc(
        "Adds to the integer in a field; a field that is not there counts as 0.",
        "O(1)",
        "key field increment",
    ),
    setter("HINCRBYFLOAT", 4, number::hincrbyfloat).keys(ADD).group(Group::Hash, Category::HASH, "2.6.0").doc(
        "Adds to the decimal number in a field; a field that is not there counts as 0.",
        "O(1)",
        "key field increment",
    ),
    Spec::read("HRANDFIELD", -2, random::hrandfield)
        .keys(READ)
        .group(Group::Hash, Category::HASH, "6.2.0")
        .doc(
            "Returns fields chosen at random, different ones or, for a negative count, perhaps the same again.",
            "O(N) where N is the number of fields returned",
            "key [count [WITHVALUES]]",
        )
        .tips(ANY_OUTPUT),
    Spec::read("HSCAN", -3, hscan)
        .keys(READ)
        .group(Group::Hash, Category::HASH, "2.8.0")
        .doc(
            "Walks the fields of a hash with their values, some at a time.",
            "O(1) for every call. O(N) for a whole walk of N fields.",
            "key cursor [MATCH pattern] [COUNT count] [NOVALUES]",
        )
        .tips(ANY_OUTPUT),
    expirer("HEXPIRE", lifetime::expire::<Hash>).doc(
        "Lets fields expire after some seconds.",
        N_FIELDS,
        "key seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    expirer("HPEXPIRE", lifetime::expire::<Hash>).doc(
        "Lets fields expire after some milliseconds.",
        N_FIELDS,
        "key milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    expirer("HEXPIREAT", lifetime::expire::<Hash>).doc(
        "Lets fields expire at a Unix time in seconds.",
        N_FIELDS,
        "key unix-time-seconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    expirer("HPEXPIREAT", lifetime::expire::<Hash>).doc(
        "Lets fields expire at a Unix time in milliseconds.",
        N_FIELDS,
        "key unix-time-milliseconds [NX | XX | GT | LT] FIELDS numfields field [field ...]",
    ),
    clock("HTTL", lifetime::ttl::<Hash>)
        .doc("Returns the seconds that fields have left.", N_FIELDS, NAMED_FIELDS)
        .tips(ANY_OUTPUT),
    clock("HPTTL", lifetime::pttl::<Hash>)
        .doc("Returns the milliseconds that fields have left.", N_FIELDS, NAMED_FIELDS)
        .tips(ANY_OUTPUT),
    clock("HEXPIRETIME", lifetime::expiretime::<Hash>).doc(
        "Returns the Unix times in seconds at which fields expire.",
        N_FIELDS,
        NAMED_FIELDS,
    ),
    clock("HPEXPIRETIME", lifetime::pexpiretime::<Hash>).doc(
        "Returns the Unix times in milliseconds at which fields expire.",
        N_FIELDS,
        NAMED_FIELDS,
    ),
    Spec::write("HPERSIST", -5, lifetime::persist::<Hash>)
        .in_pieces()
        .fast()
        .keys(UPDATE)
        .group(Group::Hash, Category::HASH, "7.4.0")
        .doc("Keeps fields for good instead of letting them expire.", N_FIELDS, NAMED_FIELDS),
    Spec::write("HGETEX", -5, fields::hgetex)
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::UPDATE), 1)
            .notes("RW and UPDATE because it changes the TTL")])
        .group(Group::Hash, Category::HASH, "8.0.0")
        .doc(
            "Returns the values of fields, and lets them expire or keeps them for good.",
            N_FIELDS,
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] \
             FIELDS numfields field [field ...]",
        ),
    setter("HSETEX", -6, fields::hsetex).in_pieces().keys(UPDATE).group(Group::Hash, Category::HASH, "8.0.0").doc(
        "Sets fields, all or none of which have to be there, and lets them expire.",
        "O(N) where N is the number of fields being set.",
        "key [NX | XX] [FNX | FXX] \
         [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
         FIELDS numfields field value [field value ...]",
    ),
    Spec::write("HGETDEL", -5, fields::hgetdel)
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::DELETE), 1)])
        .group(Group::Hash, Category::HASH, "8.0.0")
        .doc("Returns the values of fields and removes them.", N_FIELDS, NAMED_FIELDS),
    import::ROW,
];

/// What decides when a hash of this server becomes a table.
fn limits(server: &Server) -> Limits {
    Limits {
        entries: server.config.hash_max_listpack_entries as usize,
        value: server.config.hash_max_listpack_value as usize,
        hasher: server.dbs.hasher,
    }
}

/// The hash of a key, to be changed.
fn open<'c>(server: &'c mut Server, db: usize, key: &[u8], at: Moment) -> Result<Option<Mut<'c, Hash>>, WrongType> {
    server.dbs[db].write::<Hash>(key, at)
}

/// The hash of a key, to be changed, or a new one.
fn open_or_create<'c>(server: &'c mut Server, db: usize, key: &[u8], at: Moment) -> Result<Mut<'c, Hash>, WrongType> {
    server.dbs[db].write_or_create::<Hash>(key, at, Hash::new)
}

/// Writes a field or value.
#[inline]
fn write_item(reply: &mut Reply<'_>, item: Item<'_>) {
    match item {
        Item::Int(n) => reply.bulk_integer(n),
        Item::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// Writes the value of a field, a null if it is not there.
#[inline]
fn write_value(reply: &mut Reply<'_>, hash: Option<&Hash>, field: &[u8], now_ms: i64) -> bool {
    match hash.and_then(|hash| hash.get(field, now_ms)) {
        Some(found) => {
            write_item(reply, found.value());
            true
        }
        None => {
            reply.null();
            false
        }
    }
}

/// Refuses a field without a value.
fn check_pairs(ctx: &Ctx<'_>, args: Args<'_>) -> Result<(), ReplyError> {
    if args.len().is_multiple_of(2) { Ok(()) } else { Err(ReplyError::arity(&ctx.command.full_name)) }
}

/// Sets the fields and values from the third argument on, of a line that has so many of both together. Returns how many fields are
/// new.
fn set_all(ctx: &mut Ctx<'_>, args: Args<'_>, expected: usize) -> Result<i64, ReplyError> {
    let (key, at, limits) = (args.at(1), ctx.at, limits(ctx.server));
    let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
    hash.expect_fields(expected / 2, &limits);
    let mut added = 0;
    for i in (2..args.len()).step_by(2) {
        added += i64::from(!hash.set(args.at(i), args.at(i + 1), false, at.due_ms(), &limits));
    }
    drop(hash);
    ctx.change(Change::new(EventClass::Hash, "hset", key));
    ctx.notify_subkeys(EventClass::Hash, "hset", key, args.iter_from(2).step_by(2));
    Ok(added)
}

fn hset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Sum, |ctx, piece, part| set_all(ctx, piece, part.expected));
    check_pairs(ctx, args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let added = set_all(ctx, args, args.len() - 2)?;
    ctx.reply.integer(added);
    Ok(Next::Done)
}

fn hmset(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(2, Answer::Ok, |ctx, piece, part| set_all(ctx, piece, part.expected));
    check_pairs(ctx, args)?;
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    set_all(ctx, args, args.len() - 2)?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn hsetnx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, at, limits) = (args.at(1), ctx.at, limits(ctx.server));
    let mut hash = open_or_create(ctx.server, ctx.db, key, at)?;
    let is_new = hash.get(args.at(2), at.due_ms()).is_none();
    if is_new {
        hash.set(args.at(2), args.at(3), false, at.due_ms(), &limits);
    }
    drop(hash);
    if is_new {
        ctx.change(Change::new(EventClass::Hash, "hset", key));
        ctx.notify_subkeys(EventClass::Hash, "hset", key, std::iter::once(args.at(2)));
    }
    ctx.reply.integer(i64::from(is_new));
    Ok(Next::Done)
}

fn hget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let hash = server.dbs[*db].read::<Hash>(args.at(1), *at)?;
    write_value(reply, hash.as_deref(), args.at(2), at.due_ms());
    Ok(Next::Done)
}

fn hmget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Array, |ctx, piece, _| {
        let Ctx { server, reply, db, at, .. } = ctx;
        let hash = server.dbs[*db].reread::<Hash>(piece.at(1), *at)?;
        for field in piece.iter_from(2) {
            write_value(reply, hash.as_deref(), field, at.due_ms());
        }
        Ok(0)
    })
    .checked(pieces::check_type::<Hash>);
    let is_long = ctx.is_long_line(args);
    let Ctx { server, reply, db, at, .. } = ctx;
    let hash = server.dbs[*db].read::<Hash>(args.at(1), *at)?;
    if is_long {
        return pieces::begin(ctx, 2, &LONG);
    }
    reply.array(args.len() - 2);
    for field in args.iter_from(2) {
        write_value(reply, hash.as_deref(), field, at.due_ms());
    }
    Ok(Next::Done)
}

fn hgetall(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(hash) = server.dbs[*db].read::<Hash>(args.at(1), *at)? else {
        reply.map(0);
        return Ok(Next::Done);
    };
    if may_become_job && server.jobs.limits.is_long(hash.len(), &*hash) {
        let place = AllFields::new(Parts::Both, at.due_ms());
        return long::read_key(ctx, args.at(1), place);
    }
    reply.map(hash.live_len(at.due_ms()));
    hash.visit(at.due_ms(), |field, value, _| {
        write_item(reply, field);
        write_item(reply, value);
    });
    Ok(Next::Done)
}

fn hkeys(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    list(ctx, args, Parts::Names)
}

fn hvals(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    list(ctx, args, Parts::Values)
}

/// Answers one part of every field.
fn list(ctx: &mut Ctx<'_>, args: Args<'_>, parts: Parts) -> Outcome {
    let may_become_job = ctx.may_become_job();
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(hash) = server.dbs[*db].read::<Hash>(args.at(1), *at)? else {
        reply.array(0);
        return Ok(Next::Done);
    };
    if may_become_job && server.jobs.limits.is_long(hash.len(), &*hash) {
        let place = AllFields::new(parts, at.due_ms());
        return long::read_key(ctx, args.at(1), place);
    }
    reply.array(hash.live_len(at.due_ms()));
    hash.visit(at.due_ms(), |field, value, _| parts.write(reply, field, value));
    Ok(Next::Done)
}

/// What is answered of every field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    Names,
    Values,
    Both,
}

impl Parts {
    #[inline]
    fn write(self, reply: &mut Reply<'_>, field: Item<'_>, value: Item<'_>) {
        if self != Parts::Values {
            write_item(reply, field);
        }
        if self != Parts::Names {
            write_item(reply, value);
        }
    }
}

/// Where HGETALL, HKEYS and HVALS go on.
#[derive(Debug)]
struct AllFields {
    parts: Parts,
    /// Fields that were due by then (Unix milliseconds) are not shown.
    began_ms: i64,
    cursor: u64,
    /// The array, once it has begun.
    array: Option<OpenArray>,
    shown: usize,
}

impl AllFields {
    fn new(parts: Parts, began_ms: i64) -> AllFields {
        AllFields { parts, began_ms, cursor: 0, array: None, shown: 0 }
    }
}

impl Place<Hash> for AllFields {
    fn go_on(&mut self, hash: &Hash, reply: &mut Reply<'_>, slice: &mut Slice<'_>) -> bool {
        // How many fields are not due is known in the end.
        let expected = if self.parts == Parts::Both { 2 * hash.len() } else { hash.len() };
        let array = self.array.take().unwrap_or_else(|| reply.open_array(expected));
        let (meter, parts, shown) = (Meter::default(), self.parts, &mut self.shown);
        let show = |field: Item<'_>, value: Item<'_>, _: Option<i64>| {
            parts.write(reply, field, value);
            meter.count(field.len() + value.len());
            *shown += 1;
        };
        let Some(cursor) = hash.read_on(self.cursor, self.began_ms, show, || meter.spend(slice)) else {
            match self.parts {
                Parts::Both => reply.close_map(array, self.shown),
                Parts::Names | Parts::Values => reply.close_array(array, self.shown),
            }
            return true;
        };
        (self.cursor, self.array) = (cursor, Some(array));
        false
    }
}

fn hlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let len = ctx.db().read::<Hash>(args.at(1), at)?.map_or(0, |hash| hash.live_len(at.due_ms()));
    ctx.reply.integer(len as i64);
    Ok(Next::Done)
}

fn hstrlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let hash = ctx.db().read::<Hash>(args.at(1), at)?;
    let len = hash.and_then(|hash| hash.get(args.at(2), at.due_ms()).map(|found| found.value().len()));
    ctx.reply.integer(len.unwrap_or(0) as i64);
    Ok(Next::Done)
}

fn hexists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let hash = ctx.db().read::<Hash>(args.at(1), at)?;
    let exists = hash.is_some_and(|hash| hash.get(args.at(2), at.due_ms()).is_some());
    ctx.reply.integer(i64::from(exists));
    Ok(Next::Done)
}

fn hdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| remove_all(ctx, piece));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, &LONG);
    }
    let deleted = remove_all(ctx, args)?;
    ctx.reply.integer(deleted);
    Ok(Next::Done)
}

/// Removes the fields of a line; how many there were.
fn remove_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<i64, ReplyError> {
    let (key, at, mut deleted, mut emptied) = (args.at(1), ctx.at, 0, false);
    let (is_naming, mut names) = (ctx.names_subkeys(EventClass::Hash), Vec::new());
    if let Some(mut hash) = open(ctx.server, ctx.db, key, at)? {
        for field in args.iter_from(2) {
            let was_there = hash.remove(field, at.due_ms());
            deleted += usize::from(was_there);
            if was_there && is_naming {
                names.push(field);
            }
        }
        emptied = is_emptied(&hash);
    }
    if deleted > 0 {
        ctx.change(Change::new(EventClass::Hash, "hdel", key));
        ctx.notify_subkeys(EventClass::Hash, "hdel", key, names.into_iter());
    }
    if emptied {
        remove_emptied(ctx, key);
    }
    Ok(deleted as i64)
}

/// True for a hash that has no field left, not even a due one.
fn is_emptied(hash: &Hash) -> bool {
    crate::store::types::Collection::is_empty(hash)
}

fn hscan(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    scan::scan_key::<Hash>(ctx, args, Walk::Fields)
}

impl Scanned for Hash {
    fn scan_bucket(&self, cursor: u64, options: &scan::Options<'_>, due_ms: i64, reply: &mut Reply<'_>) -> Bucket {
        let (mut bucket, mut digits) = (Bucket::default(), itoa::Buffer::new());
        bucket.next = self.scan(cursor, due_ms, |field, value, _| {
            (bucket.seen, bucket.bytes) = (bucket.seen + 1, bucket.bytes + field.len() + value.len());
            if !options.matches(field.text(&mut digits)) {
                return;
            }
            write_item(reply, field);
            if !options.names_only {
                write_item(reply, value);
            }
            bucket.found += if options.names_only { 1 } else { 2 };
        });
        bucket
    }
}
