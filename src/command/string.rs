//! Strings: the rows of their commands and the handlers that need no file of their own.
//!
//! - `set`: SET and everything else that stores a whole value or its lifetime; `lifetime`: the options for that; `msetex`: many
//!   values with one lifetime. `condition`: what a string has to be for that, and DELEX, DELIFEQ and DIGEST.
//! - `number`: strings that are numbers; `increx`: such within limits, and their lifetime. `range`: parts of strings. `lcs`: what two
//!   strings have in common.
//!
//! What a key holds is read through `string_in` alone, which is therefore the one place that refuses values of other
//! types. Reading a value, storing one (on whatever condition) and counting take one lookup per key; GETDEL, GETEX
//! and INCREX look a second time at a key they delete or whose deadline they change, and so do commands that delete on a condition.

mod condition;
mod increx;
mod lcs;
mod lifetime;
mod msetex;
mod number;
pub(super) mod range;
mod set;

use std::sync::Arc;

use super::pieces::{self, Answer, Plan};
use super::spec::{Access, Category, Flags, Group, KeySpec, Outcome, Spec, keyfind};
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::Db;
use crate::store::entry::{Entry, Value};

const READ: &[KeySpec] = &[KeySpec::one(Access::RO.with(Access::ACCESS), 1)];
const OVERWRITE: &[KeySpec] = &[KeySpec::one(Access::OW.with(Access::UPDATE), 1)];
const READ_UPDATE: Access = Access::RW.with(Access::ACCESS).with(Access::UPDATE);
const ADD: &[KeySpec] = &[KeySpec::one(READ_UPDATE, 1)];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::read("GET", 2, get).fast().keys(READ).group(Group::String, Category::STRING, "1.0.0").doc(
        "Returns the string that a key holds.",
        "O(1)",
        "key",
    ),
    Spec::write("SET", -3, set::set)
        .denyoom()
        .flags(Flags::BRIEF)
        .keys(&[KeySpec::one(READ_UPDATE.with(Access::VARIABLE), 1)
            .notes("RW and ACCESS due to the optional `GET` argument")])
        .find_keys(keyfind::set)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc(
            "Makes a key hold a string, whatever it held before.",
            "O(1), and O(N) for the digest of a string of N bytes.",
            "key value [NX | XX | IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest] [GET] \
             [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL] \
             [JITTER percent]",
        )
        .history(&[
            ("2.6.12", "Added the `EX`, `PX`, `NX` and `XX` options."),
            ("6.0.0", "Added the `KEEPTTL` option."),
            ("6.2.0", "Added the `GET`, `EXAT` and `PXAT` option."),
            ("7.0.0", "Allowed the `NX` and `GET` options to be used together."),
            ("8.4.0", "Added the `IFEQ`, `IFNE`, `IFDEQ` and `IFDNE` options."),
        ]),
    Spec::write("SETEX", 4, set::setex)
        .denyoom()
        .keys(OVERWRITE)
        .group(Group::String, Category::STRING, "2.0.0")
        .doc("Makes a key hold a string for a number of seconds.", "O(1)", "key seconds value")
        .deprecated("2.6.12", "`SET` with the `EX` argument"),
    Spec::write("PSETEX", 4, set::psetex)
        .denyoom()
        .keys(OVERWRITE)
        .group(Group::String, Category::STRING, "2.6.0")
        .doc("Makes a key hold a string for a number of milliseconds.", "O(1)", "key milliseconds value")
        .deprecated("2.6.12", "`SET` with the `PX` argument"),
    Spec::write("SETNX", 3, set::setnx)
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(Access::OW.with(Access::INSERT), 1)])
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Makes a key hold a string unless it exists already.", "O(1)", "key value")
        .deprecated("2.6.12", "`SET` with the `NX` argument"),
    Spec::write("GETSET", 3, set::getset)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Makes a key hold a string and returns the one it held.", "O(1)", "key value")
        .deprecated("6.2.0", "`SET` with the `!GET` argument"),
    Spec::write("GETDEL", 2, getdel)
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::DELETE), 1)])
        .group(Group::String, Category::STRING, "6.2.0")
        .doc("Returns the string that a key holds and deletes the key.", "O(1)", "key"),
    Spec::write("GETEX", -2, set::getex)
        .fast()
        .keys(&[KeySpec::one(READ_UPDATE, 1).notes("RW and UPDATE because it changes the TTL")])
        .group(Group::String, Category::STRING, "6.2.0")
        .doc(
            "Returns the string that a key holds and changes when the key expires.",
            "O(1)",
            "key [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST]",
        ),
    Spec::read("MGET", -2, mget)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::rest(Access::RO.with(Access::ACCESS), 1, 1)])
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Returns the strings that several keys hold.", "O(N) for N keys.", "key [key ...]")
        .tips(&["request_policy:multi_shard"]),
    Spec::write("MSET", -3, set::mset)
        .in_pieces()
        .denyoom()
        .keys(&[KeySpec::rest(Access::OW.with(Access::UPDATE), 1, 2)])
        .group(Group::String, Category::STRING, "1.0.1")
        .doc("Makes several keys hold strings, in one step.", "O(N) for N keys.", "key value [key value ...]")
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    Spec::write("MSETNX", -3, set::msetnx)
        .in_pieces()
        .denyoom()
        .keys(&[KeySpec::rest(Access::OW.with(Access::INSERT), 1, 2)])
        .group(Group::String, Category::STRING, "1.0.1")
        .doc(
            "Makes several keys hold strings, unless one of them exists.",
            "O(N) for N keys.",
            "key value [key value ...]",
        ),
    Spec::write("MSETEX", -4, msetex::msetex)
        .in_pieces()
        .denyoom()
        .keys(&[KeySpec::keynum_every(Access::OW.with(Access::UPDATE), 1, 2)])
        .group(Group::String, Category::STRING, "8.4.0")
        .doc(
            "Makes several keys hold strings for the same time, in one step.",
            "O(N) for N keys.",
            "numkeys key value [key value ...] [NX | XX] \
             [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | KEEPTTL]",
        )
        .tips(&["request_policy:multi_shard", "response_policy:all_succeeded"]),
    Spec::write("DELEX", -2, condition::delex)
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::DELETE).with(Access::VARIABLE), 1)])
        .find_keys(keyfind::delex)
        .group(Group::String, Category::STRING, "8.4.0")
        .doc(
            "Deletes a key if the string that it holds, or the digest of that, is as said.",
            "O(1), and O(N) for the digest of a string of N bytes.",
            "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
        ),
    Spec::write("DELIFEQ", 3, condition::delifeq)
        .fast()
        .keys(&[KeySpec::one(Access::RM.with(Access::DELETE), 1)])
        .group(Group::String, Category::STRING, "9.0.0")
        .doc("Deletes a key if it holds this string; from Valkey.", "O(1)", "key value"),
    Spec::read("DIGEST", 2, condition::digest).fast().keys(READ).group(Group::String, Category::STRING, "8.4.0").doc(
        "Returns the digest of the string that a key holds: its XXH3 in hexadecimal digits.",
        "O(N) for a string of N bytes.",
        "key",
    ),
    Spec::write("APPEND", 3, range::append)
        .denyoom()
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::INSERT), 1)])
        .group(Group::String, Category::STRING, "2.0.0")
        .doc(
            "Adds bytes at the end of a string, which is created if need be.",
            "O(N) for N bytes added, amortized.",
            "key value",
        ),
    Spec::read("STRLEN", 2, strlen)
        .fast()
        .keys(&[KeySpec::one(Access::RO, 1)])
        .group(Group::String, Category::STRING, "2.2.0")
        .doc("Returns the length of a string in bytes.", "O(1)", "key"),
    Spec::read("GETRANGE", 4, range::getrange).keys(READ).group(Group::String, Category::STRING, "2.4.0").doc(
        "Returns part of a string.",
        "O(N) for N bytes returned.",
        "key start end",
    ),
    Spec::read("SUBSTR", 4, range::getrange)
        .keys(READ)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Returns part of a string.", "O(N) for N bytes returned.", "key start end")
        .deprecated("2.0.0", "`GETRANGE`"),
    Spec::write("SETRANGE", 4, range::setrange)
        .denyoom()
        .keys(&[KeySpec::one(Access::RW.with(Access::UPDATE), 1)])
        .group(Group::String, Category::STRING, "2.2.0")
        .doc(
            "Overwrites part of a string, which grows or is created if need be.",
            "O(N) for N bytes written, those that fill a gap included.",
            "key offset value",
        ),
    Spec::write("INCR", 2, number::incr)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Adds one to an integer; a key that does not exist counts as 0.", "O(1)", "key"),
    Spec::write("DECR", 2, number::decr)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Subtracts one from an integer; a key that does not exist counts as 0.", "O(1)", "key"),
    Spec::write("INCRBY", 3, number::incrby)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Adds to an integer; a key that does not exist counts as 0.", "O(1)", "key increment"),
    Spec::write("DECRBY", 3, number::decrby)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Subtracts from an integer; a key that does not exist counts as 0.", "O(1)", "key decrement"),
    Spec::write("INCRBYFLOAT", 3, number::incrbyfloat)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "2.6.0")
        .doc("Adds to a decimal number; a key that does not exist counts as 0.", "O(1)", "key increment"),
    Spec::write("INCREX", -2, increx::increx)
        .denyoom()
        .fast()
        .keys(ADD)
        .group(Group::String, Category::STRING, "8.8.0")
        .doc(
            "Adds to a number within limits and changes when the key expires; one that does not exist counts as 0.",
            "O(1)",
            "key [BYFLOAT float | BYINT integer] [LBOUND lowerbound] [UBOUND upperbound] [SATURATE] \
             [EX seconds | PX milliseconds | EXAT unix-time-seconds | PXAT unix-time-milliseconds | PERSIST] [ENX]",
        ),
    Spec::read("LCS", -3, lcs::lcs)
        .keys(&[KeySpec::range(Access::RO.with(Access::ACCESS), 1, 2)])
        .group(Group::String, Category::STRING, "7.0.0")
        .doc(
            "Finds the longest sequence of bytes that two strings have in common, gaps allowed.",
            "O(N*M) for strings of N and M bytes.",
            "key1 key2 [LEN] [IDX] [MINMATCHLEN min-match-len] [WITHMATCHLEN]",
        ),
];

/// The string that an entry holds, or the refusal of one that holds something else.
#[inline]
pub(super) fn string_in(entry: &Entry) -> Result<Value<'_>, ReplyError> {
    entry.string().ok_or(ReplyError::WRONG_TYPE)
}

/// Writes a string value.
#[inline]
pub(super) fn write_value(reply: &mut Reply<'_>, value: &Value<'_>) {
    match value {
        Value::Int(n) => reply.bulk_integer(*n),
        Value::Inline(bytes) => reply.bulk(bytes),
        Value::Shared(shared) => reply.bulk_shared(shared),
        Value::Roaring(roaring) => reply.bulk_shared(&Arc::new(roaring.expanded())),
    }
}

/// Keys of one command that are fetched into the cache together: as many loads as a core keeps in flight.
const GROUP: usize = 12;

/// Starts loading the first [`GROUP`] of some keys into the cache; their hashes.
#[inline]
fn prefetch<'k>(db: &Db, keys: impl Iterator<Item = &'k [u8]>) -> [u64; GROUP] {
    let mut hashes = [0; GROUP];
    let mut count = 0;
    for (hash, key) in hashes.iter_mut().zip(keys) {
        *hash = db.prefetch_bucket(key);
        count += 1;
    }
    // The first key's lookup follows at once: there is nothing to gain from fetching it when it is alone.
    if count > 1 {
        hashes[..count].iter().for_each(|&hash| db.prefetch_entry(hash));
    }
    hashes
}

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    match server.dbs[*db].lookup_read(args.at(1), *at) {
        Some(entry) => match &string_in(&entry)? {
            Value::Roaring(roaring) => {
                let length = roaring.len();
                return range::get_compressed(ctx, args.at(1), length);
            }
            plain => write_value(reply, plain),
        },
        None => reply.null(),
    }
    Ok(Next::Done)
}

fn getdel(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    let Some(entry) = server.dbs[*db].lookup_read(args.at(1), *at) else {
        reply.null();
        return Ok(Next::Done);
    };
    write_value(reply, &string_in(&entry)?);
    delete(ctx, args.at(1));
    ctx.change(Change::new(EventClass::Generic, "del", args.at(1)));
    ctx.propagate_as(|lines| lines.push([b"DEL".as_slice(), args.at(1)]));
    Ok(Next::Done)
}

/// Takes a key out of the database; the helper thread frees it if that takes long. False if there is no such key.
fn delete(ctx: &mut Ctx<'_>, key: &[u8]) -> bool {
    let at = ctx.at;
    let Some(entry) = ctx.db().remove(key, at) else { return false };
    if entry.is_costly_to_free() {
        ctx.server.background.free(Box::new(entry));
    }
    true
}

fn mget(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Array, |ctx, piece, _| {
        write_all(ctx, piece);
        Ok(0)
    });
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    ctx.reply.array(args.len() - 1);
    write_all(ctx, args);
    Ok(Next::Done)
}

/// Writes the values of the keys of a line.
fn write_all(ctx: &mut Ctx<'_>, args: Args<'_>) {
    let Ctx { server, reply, db, at, .. } = ctx;
    let db = &mut server.dbs[*db];
    for first in (1..args.len()).step_by(GROUP) {
        let keys = || args.iter_from(first).take(GROUP);
        for (hash, key) in prefetch(db, keys()).into_iter().zip(keys()) {
            let entry = db.lookup_read(key, at.with_hash(key, hash));
            // A value of another type is as good as none here.
            match entry.as_deref().map(string_in) {
                Some(Ok(value)) => write_value(reply, &value),
                Some(Err(_)) | None => reply.null(),
            }
        }
    }
}

fn strlen(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    let length = match ctx.db().lookup_read(args.at(1), at) {
        Some(entry) => string_in(&entry)?.len(),
        None => 0,
    };
    ctx.reply.integer(length as i64);
    Ok(Next::Done)
}
