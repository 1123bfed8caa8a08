//! Strings: the rows of their commands and the handlers below.

use super::spec::{Access, Category, Group, KeySpec, Outcome, Spec};
use crate::resp::args::Args;
use crate::resp::reply::Reply;
use crate::server::ctx::{Ctx, Next};
use crate::store::db::Ttl;
use crate::store::entry::{NewValue, Value};

const READ: Access = Access::RO.with(Access::ACCESS);

/// The rows.
pub const ROWS: &[Spec] = &[
    Spec::read("GET", 2, get)
        .fast()
        .keys(&[KeySpec::one(READ, 1)])
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Returns the string value of a key.", "O(1)", "key"),
    Spec::write("SET", -3, set)
        .denyoom()
        .keys(&[KeySpec::one(Access::RW.with(Access::ACCESS).with(Access::UPDATE).with(Access::VARIABLE), 1)])
        .group(Group::String, Category::STRING, "1.0.0")
        .doc("Sets the string value of a key.", "O(1)", "key value"),
];

/// Writes a string value.
#[inline]
pub(super) fn write_value(reply: &mut Reply<'_>, value: &Value<'_>) {
    match value {
        Value::Int(n) => reply.bulk_integer(*n),
        Value::Inline(bytes) => reply.bulk(bytes),
        Value::Shared(shared) => reply.bulk_shared(shared),
    }
}

fn get(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let Ctx { server, reply, db, at, .. } = ctx;
    match server.dbs[*db].lookup_read(args.at(1), *at) {
        Some(entry) => write_value(reply, &entry.value()),
        None => reply.null(),
    }
    Ok(Next::Done)
}

fn set(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    let at = ctx.at;
    ctx.db().set(args.at(1), NewValue::compact(args.at(2)), Ttl::Clear, at);
    ctx.changed(args.at(1));
    ctx.reply.ok();
    Ok(Next::Done)
}
