//! Adding elements at an end.

use super::{changed, fill, push_event};
use crate::command::pieces::{self, Answer, Plan};
use crate::command::spec::Outcome;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::server::ctx::{Ctx, Next};
use crate::store::collections::WrongType;
use crate::store::db::Moment;
use crate::store::entry::{Entry, NewValue};
use crate::store::types::list::{End, Fill, List};
use crate::store::types::{Collection, Object};

pub(super) fn lpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Last, |ctx, piece, _| push(ctx, piece, End::Head, true));
    run(ctx, args, End::Head, true, &LONG)
}

pub(super) fn rpush(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Last, |ctx, piece, _| push(ctx, piece, End::Tail, true));
    run(ctx, args, End::Tail, true, &LONG)
}

pub(super) fn lpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Last, |ctx, piece, _| push(ctx, piece, End::Head, false));
    run(ctx, args, End::Head, false, &LONG)
}

pub(super) fn rpushx(ctx: &mut Ctx<'_>, args: Args<'_>) -> Outcome {
    const LONG: Plan = Plan::new(1, Answer::Last, |ctx, piece, _| push(ctx, piece, End::Tail, false));
    run(ctx, args, End::Tail, false, &LONG)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, end: End, may_create: bool, long: &'static Plan) -> Outcome {
    if ctx.is_long_line(args) {
        return pieces::begin(ctx, 2, long);
    }
    let length = push(ctx, args, end, may_create)?;
    ctx.reply.integer(length);
    Ok(Next::Done)
}

/// Adds a line's elements at an end; the length then, 0 if there is no list and none is made.
fn push(ctx: &mut Ctx<'_>, args: Args<'_>, end: End, may_create: bool) -> Result<i64, ReplyError> {
    let (key, at, fill) = (args.at(1), ctx.at, fill(ctx.server));
    let length = change_or_create(ctx, key, at, may_create, |list| add(list, args, end, fill))?;
    let Some(length) = length else { return Ok(0) };
    changed(ctx, push_event(end), key, args.len() - 2, false);
    Ok(length as i64)
}

/// Adds a line's elements at an end; the length then.
fn add(list: &mut List, args: Args<'_>, end: End, fill: Fill) -> usize {
    let elements = args.iter_from(2);
    list.make_room(fill, elements.clone().map(<[u8]>::len).sum(), elements.len());
    elements.for_each(|element| list.push(end, element));
    list.len()
}

/// Adds to the list of a key, or to a new one unless only an existing one will do.
pub(super) fn change_or_create<T>(
    ctx: &mut Ctx<'_>,
    key: &[u8],
    at: Moment,
    may_create: bool,
    add: impl FnOnce(&mut List) -> T,
) -> Result<Option<T>, WrongType> {
    let db = ctx.db();
    if let Some(mut list) = db.write::<List>(key, at)? {
        return Ok(Some(add(&mut list)));
    }
    if !may_create {
        return Ok(None);
    }
    let mut list = List::new();
    let added = add(&mut list);
    db.insert(Entry::new(key, NewValue::Object(Object::List(list)), None), at);
    Ok(Some(added))
}
