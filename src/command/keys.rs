//! Keys of any type: deleting, asking after, renaming, copying and moving them: the rows and the handlers below.

use super::database::{db_place, parse_i32};
use super::pieces::{self, Answer, Plan};
use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec};
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::{Ctx, Next};
use crate::server::jobs::{Job, Step, Work};
use crate::store::db::Moment;
use crate::store::entry::{Entry, NewValue};
use crate::store::types::copying::Copying;
use crate::store::types::{Object, Type};

const READ: Access = Access::RO;
const REMOVE: Access = Access::RM.with(Access::DELETE);
const TAKE: Access = Access::RW.with(Access::ACCESS).with(Access::DELETE);
const MANY_KEYS: &str = "key [key ...]";
/// Proxies split such a command by key and add the answers up.
const SPLIT_AND_SUM: &[&str] = &["request_policy:multi_shard", "response_policy:agg_sum"];

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::write("DEL", -2, del)
        .in_pieces()
        .keys(&[KeySpec::rest(REMOVE, 1, 1)])
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Deletes keys and returns how many there were.", "O(N) where N is the number of keys given.", MANY_KEYS)
        .tips(SPLIT_AND_SUM),
    Spec::write("UNLINK", -2, del)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::rest(REMOVE, 1, 1)])
        .group(Group::Generic, Category::KEYSPACE, "4.0.0")
        .doc(
            "Deletes keys and frees their values in the background.",
            "O(1) for each key. A helper thread frees values that take long to free.",
            MANY_KEYS,
        )
        .tips(SPLIT_AND_SUM),
    Spec::read("EXISTS", -2, exists)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::rest(READ, 1, 1)])
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc(
            "Counts how many of the named keys exist; a key named twice counts twice.",
            "O(N) where N is the number of keys to check.",
            MANY_KEYS,
        )
        .history(&[("3.0.3", "Accepts multiple `key` arguments.")])
        .tips(SPLIT_AND_SUM),
    Spec::read("TYPE", 2, type_of)
        .fast()
        .keys(&[KeySpec::one(READ, 1)])
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Names the type of a key's value.", "O(1)", "key"),
    Spec::read("TOUCH", -2, touch)
        .in_pieces()
        .fast()
        .keys(&[KeySpec::rest(READ, 1, 1)])
        .group(Group::Generic, Category::KEYSPACE, "3.2.1")
        .doc(
            "Counts which of the named keys exist and marks them as just accessed.",
            "O(N) where N is the number of keys that will be touched.",
            MANY_KEYS,
        )
        .tips(SPLIT_AND_SUM),
    Spec::write("RENAME", 3, rename)
        .keys(&[KeySpec::one(TAKE, 1), KeySpec::one(Access::OW.with(Access::UPDATE), 2)])
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Gives a key another name, over any key of that name.", "O(1)", "key newkey"),
    Spec::write("RENAMENX", 3, renamenx)
        .fast()
        .keys(&[KeySpec::one(TAKE, 1), KeySpec::one(Access::OW.with(Access::INSERT), 2)])
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Gives a key another name unless a key of that name exists.", "O(1)", "key newkey")
        .history(&[(
            "3.2.0",
            "The command no longer returns an error when source and destination names are the same.",
        )]),
    Spec::write("COPY", -3, copy)
        .denyoom()
        .keys(&[KeySpec::one(Access::RO.with(Access::ACCESS), 1), KeySpec::one(Access::OW.with(Access::UPDATE), 2)])
        .group(Group::Generic, Category::KEYSPACE, "6.2.0")
        .doc(
            "Copies a key's value and time to live to another key.",
            "O(N) for N elements of a collection. O(1) for strings, which share long values until one of them changes.",
            "source destination [DB destination-db] [REPLACE]",
        ),
    Spec::write("MOVE", 3, move_key)
        .fast()
        .keys(&[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::UPDATE), 1)])
        .group(Group::Generic, Category::KEYSPACE, "1.0.0")
        .doc("Moves a key to another database unless it exists there.", "O(1)", "key db"),
];

/// DEL and UNLINK: values that take long to free go to the helper thread either way.
fn del(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| Ok(delete_all(ctx, piece)));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    let deleted = delete_all(ctx, args);
    ctx.reply.integer(deleted);
    Ok(Next::Done)
}

/// Deletes the keys of a line; how many there were.
fn delete_all(ctx: &mut Ctx<'_>, args: Args<'_>) -> i64 {
    let (at, mut deleted) = (ctx.at, 0);
    for key in args.iter_from(1) {
        if let Some(entry) = ctx.db().remove(key, at) {
            ctx.server.discard(entry);
            ctx.change(Change::new(EventClass::Generic, "del", key));
            deleted += 1;
        }
    }
    deleted
}

fn exists(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan =
        Plan::new(1, Answer::Sum, |ctx, piece, _| Ok(count_present(ctx, piece, ctx.at.without_access())));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    let found = count_present(ctx, args, ctx.at.without_access());
    ctx.reply.integer(found);
    Ok(Next::Done)
}

fn touch(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Sum, |ctx, piece, _| Ok(count_present(ctx, piece, ctx.at)));
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 1, &LONG);
    }
    let found = count_present(ctx, args, ctx.at);
    ctx.reply.integer(found);
    Ok(Next::Done)
}

/// How many of the keys of a line there are.
fn count_present(ctx: &mut Ctx<'_>, args: Args<'_>, at: Moment) -> i64 {
    args.iter_from(1).filter(|key| ctx.db().lookup_read(key, at).is_some()).count() as i64
}

fn type_of(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at.without_access();
    let name = ctx.db().lookup_read(args.at(1), at).map_or("none", |entry| entry.type_of().name());
    ctx.reply.simple(name);
    Ok(Next::Done)
}

fn rename(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    rename_key(ctx, args.at(1), args.at(2), true)?;
    ctx.reply.ok();
    Ok(Next::Done)
}

fn renamenx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let renamed = rename_key(ctx, args.at(1), args.at(2), false)?;
    ctx.reply.integer(i64::from(renamed));
    Ok(Next::Done)
}

/// Renames a key, over the target only if told so. Returns whether anything changed: a key's own name changes nothing.
fn rename_key(ctx: &mut Ctx<'_>, from: &[u8], to: &[u8], replace: bool) -> Result<bool, ReplyError> {
    let at = ctx.at;
    let db = ctx.db();
    if db.lookup_write(from, at).is_none() {
        return Err(ReplyError::NO_SUCH_KEY);
    }
    if from == to || (!replace && db.lookup_write(to, at).is_some()) {
        return Ok(false);
    }
    let Some(source) = db.remove(from, at) else { return Err(ReplyError::NO_SUCH_KEY) };
    let (type_of, replaced) = (source.type_of(), db.remove(to, at));
    db.insert(source.renamed(to), at);
    ctx.change(Change::new(EventClass::Generic, "rename_from", from).and_key(to));
    ctx.notify(EventClass::Generic, "rename_to", to);
    if let Some(entry) = replaced {
        discard_replaced(ctx, ctx.db, to, entry, type_of);
    }
    Ok(true)
}

/// Tells of the value that a key held before another took its place, and frees it.
pub(super) fn discard_replaced(ctx: &mut Ctx<'_>, db: usize, key: &[u8], old: Entry, new_type: Type) {
    let changed = old.type_of() != new_type;
    ctx.server.discard(old);
    ctx.notify_in(db, EventClass::Overwritten, "overwritten", key);
    if changed {
        ctx.notify_in(db, EventClass::TypeChanged, "type_changed", key);
    }
}

fn copy(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (from, to, at) = (args.at(1), args.at(2), ctx.at);
    let (target, replace) = copy_options(ctx, args)?;
    if target == ctx.db && from == to {
        return Err(ReplyError::SAME_OBJECT);
    }
    let copied = if let Some(copied) = ctx.gathered::<Copied>() {
        let Copied { object, deadline_ms } = *copied;
        Some(Entry::new(to, NewValue::Object(object), deadline_ms))
    } else if let Some(job) = long_copy(ctx, from, to, target, replace) {
        return ctx.become_job(job);
    } else {
        ctx.db().lookup_read(from, at).map(|source| source.copy_as(to))
    };
    let db = &mut ctx.server.dbs[target];
    let copied = copied.filter(|_| replace || db.lookup_write(to, at).is_none());
    // A key that had expired there has gone, whatever comes of the copy.
    ctx.server.report(target);
    let Some(mut entry) = copied else {
        ctx.reply.integer(0);
        return Ok(Next::Done);
    };
    let db = &mut ctx.server.dbs[target];
    let (type_of, replaced) = (entry.type_of(), db.remove(to, at));
    // As with RESTORE: what BLESS has said is the key's, and not its value's.
    entry.set_blessed(replaced.as_ref().is_some_and(Entry::is_blessed));
    db.insert(entry, at);
    ctx.change(Change::new(EventClass::Generic, "copy_to", to).in_db(target));
    ctx.server.report(target);
    if let Some(entry) = replaced {
        discard_replaced(ctx, target, to, entry, type_of);
    }
    ctx.reply.integer(1);
    Ok(Next::Done)
}

/// A copy that is made slice by slice, if it takes long, and nothing stands in its way. In another database the target would not be
/// held, so there it is made at once.
fn long_copy(ctx: &mut Ctx<'_>, from: &[u8], to: &[u8], target: usize, replace: bool) -> Option<CopyingKey> {
    let (at, limits) = (ctx.at, ctx.job_limits().filter(|_| target == ctx.db)?);
    let db = ctx.db();
    let entry = db.peek_live(from, at)?;
    let object = entry.object().filter(|object| limits.is_long_object(object))?;
    let copying = Copying::begin(&object).filter(|_| replace || db.peek_live(to, at).is_none())?;
    // It counts as a lookup to read.
    db.lookup_read(from, at)?;
    Some(CopyingKey { key: from.into(), copying })
}

/// A value being copied.
#[derive(Debug)]
struct CopyingKey {
    key: Box<[u8]>,
    copying: Copying,
}

/// A value that was copied, and when its key expires.
#[derive(Debug)]
struct Copied {
    object: Object,
    deadline_ms: Option<i64>,
}

impl Job for CopyingKey {
    fn step(&mut self, work: &mut Work<'_>) -> Step {
        let Work { server, slice, db, .. } = work;
        let Some(entry) = server.dbs[*db].peek(&self.key) else { return Step::Lost };
        let Some(object) = entry.object() else { return Step::Lost };
        while slice.left() > 0 {
            if self.copying.go_on(&object, |elements, bytes| slice.spend(elements, bytes)) {
                let copied = Copied { object: self.copying.take(), deadline_ms: entry.deadline_ms() };
                return Step::Gathered(Box::new(copied));
            }
        }
        Step::More
    }
}

/// The database copied to, and whether a key there is replaced.
fn copy_options(ctx: &mut Ctx<'_>, args: Args<'_>) -> Result<(usize, bool), ReplyError> {
    let (mut target, mut replace, mut i) = (ctx.db, false, 3);
    while i < args.len() {
        if args.is(i, "REPLACE") {
            replace = true;
        } else if args.is(i, "DB") && i + 1 < args.len() {
            i += 1;
            target = db_place(ctx, parse_i32(args.at(i))?)?;
        } else {
            return Err(ReplyError::SYNTAX);
        }
        i += 1;
    }
    Ok((target, replace))
}

fn move_key(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let (key, source, at) = (args.at(1), ctx.db, ctx.at);
    let target = db_place(ctx, parse_i32(args.at(2))?)?;
    if target == source {
        return Err(ReplyError::SAME_OBJECT);
    }
    let dbs = &mut ctx.server.dbs;
    let moves = dbs[source].lookup_write(key, at).is_some() && dbs[target].lookup_write(key, at).is_none();
    let entry = if moves { dbs[source].remove(key, at) } else { None };
    ctx.server.report(target);
    let moved = entry.is_some();
    if let Some(entry) = entry {
        ctx.server.dbs[target].insert(entry, at);
        // The new key there comes before the events of the move.
        ctx.server.report(target);
        ctx.change(Change::new(EventClass::Generic, "move_from", key).and_key_in(target, key));
        ctx.notify_in(target, EventClass::Generic, "move_to", key);
    }
    ctx.reply.integer(i64::from(moved));
    Ok(Next::Done)
}
