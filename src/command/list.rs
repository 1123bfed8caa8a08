//! Lists: the rows of their commands, and what the handlers share.
//!
//! - `push`: adding at an end. `pop`: taking from an end, from the first of several keys too. `transfer`: from one list to another;
//!   `move_many`: several at once.
//! - `read`: reading. `edit`: changes in the middle. `wait`: the commands that wait for an element.
//!
//! Whoever adds calls `List::make_room` before and whoever removes or replaces calls `List::settle` after, where Redis
//! decides on the encoding.

mod edit;
mod move_many;
mod pop;
mod push;
mod read;
mod transfer;
mod wait;

use std::ops::Range;

use super::collection::remove_emptied;
use super::spec::{Access, Category, Flags, Group, KeySpec, Spec};
use crate::base::num;
use crate::config::EventClass;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::resp::reply::Reply;
use crate::server::Server;
use crate::server::change::Change;
use crate::server::ctx::Ctx;
use crate::store::pack::Item;
use crate::store::types::list::{Detached, Element, End, Fill, Removed};

const READ: Access = Access::RO.with(Access::ACCESS);
const TAKE: Access = Access::RW.with(Access::ACCESS).with(Access::DELETE);
const INSERT: Access = Access::RW.with(Access::INSERT);
const ADD_ONE: &[KeySpec] = &[KeySpec::one(INSERT, 1)];
const READ_ONE: &[KeySpec] = &[KeySpec::one(READ, 1)];
const TAKE_ONE: &[KeySpec] = &[KeySpec::one(TAKE, 1)];
const DELETE_ONE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::DELETE), 1)];
const TAKE_FIRST_OF: &[KeySpec] = &[KeySpec::until(TAKE, 1, -2, 1)];
const MOVE: &[KeySpec] = &[KeySpec::one(TAKE, 1), KeySpec::one(INSERT, 2)];

const PER_ELEMENT: &str = "O(N) for N elements added.";
const PER_KEY: &str = "O(N) for N keys.";
const MORE_ELEMENTS: &str = "Accepts multiple `element` arguments.";
const COUNT_ADDED: &[(&str, &str)] = &[("6.2.0", "Added the `count` argument.")];
const TIMEOUT_IS_DOUBLE: &[(&str, &str)] = &[("6.0.0", "`timeout` is interpreted as a double instead of an integer.")];

const fn row(spec: Spec, since: &'static str) -> Spec {
    spec.group(Group::List, Category::LIST, since)
}

/// The rows.
pub const ROWS: &[Spec] = &[
    row(Spec::write("LPUSH", -3, push::lpush).in_pieces(), "1.0.0")
        .denyoom()
        .fast()
        .keys(ADD_ONE)
        .doc(
            "Adds elements at the head of a list, which is created if need be.",
            PER_ELEMENT,
            "key element [element ...]",
        )
        .history(&[("2.4.0", MORE_ELEMENTS)]),
    row(Spec::write("RPUSH", -3, push::rpush).in_pieces(), "1.0.0")
        .denyoom()
        .fast()
        .keys(ADD_ONE)
        .doc(
            "Adds elements at the tail of a list, which is created if need be.",
            PER_ELEMENT,
            "key element [element ...]",
        )
        .history(&[("2.4.0", MORE_ELEMENTS)]),
    row(Spec::write("LPUSHX", -3, push::lpushx).in_pieces(), "2.2.0")
        .denyoom()
        .fast()
        .keys(ADD_ONE)
        .doc("Adds elements at the head of a list if it exists.", PER_ELEMENT, "key element [element ...]")
        .history(&[("4.0.0", MORE_ELEMENTS)]),
    row(Spec::write("RPUSHX", -3, push::rpushx).in_pieces(), "2.2.0")
        .denyoom()
        .fast()
        .keys(ADD_ONE)
        .doc("Adds elements at the tail of a list if it exists.", PER_ELEMENT, "key element [element ...]")
        .history(&[("4.0.0", MORE_ELEMENTS)]),
    row(Spec::write("LPOP", -2, pop::lpop), "1.0.0")
        .fast()
        .keys(TAKE_ONE)
        .doc("Returns and removes the first elements of a list.", "O(N) for N elements returned.", "key [count]")
        .history(COUNT_ADDED),
    row(Spec::write("RPOP", -2, pop::rpop), "1.0.0")
        .fast()
        .keys(TAKE_ONE)
        .doc("Returns and removes the last elements of a list.", "O(N) for N elements returned.", "key [count]")
        .history(COUNT_ADDED),
    row(Spec::read("LLEN", 2, read::llen), "1.0.0").fast().keys(&[KeySpec::one(Access::RO, 1)]).doc(
        "Returns the number of elements of a list.",
        "O(1)",
        "key",
    ),
    row(Spec::read("LRANGE", 4, read::lrange), "1.0.0").keys(READ_ONE).doc(
        "Returns part of a list.",
        "O(S+N) for N elements returned, the first of which is S nodes from the nearer end.",
        "key start stop",
    ),
    row(Spec::read("LINDEX", 3, read::lindex), "1.0.0").keys(READ_ONE).doc(
        "Returns the element at an index of a list.",
        "O(N) for N nodes to the nearer end.",
        "key index",
    ),
    row(Spec::read("LPOS", -3, read::lpos), "6.0.6").keys(READ_ONE).doc(
        "Returns the indexes of elements that equal a given one.",
        "O(N) for N elements compared.",
        "key element [RANK rank] [COUNT num-matches] [MAXLEN len]",
    ),
    row(Spec::write("LSET", 4, edit::lset), "1.0.0")
        .denyoom()
        .keys(&[KeySpec::one(Access::RW.with(Access::UPDATE), 1)])
        .doc("Replaces the element at an index of a list.", "O(N) for N nodes to the nearer end.", "key index element"),
    row(Spec::write("LINSERT", 5, edit::linsert), "2.2.0").denyoom().keys(ADD_ONE).doc(
        "Adds an element next to the first that equals a given one.",
        "O(N) for N elements compared.",
        "key <BEFORE | AFTER> pivot element",
    ),
    row(Spec::write("LREM", 4, edit::lrem), "1.0.0").keys(DELETE_ONE).doc(
        "Removes elements that equal a given one.",
        "O(N) for N elements compared.",
        "key count element",
    ),
    row(Spec::write("LTRIM", 4, edit::ltrim), "1.0.0").keys(DELETE_ONE).doc(
        "Removes what is outside part of a list.",
        "O(N) for N nodes removed.",
        "key start stop",
    ),
    row(Spec::write("LMOVE", 5, transfer::lmove), "6.2.0").denyoom().keys(MOVE).doc(
        "Moves an element from an end of a list to an end of another, and returns it.",
        "O(1)",
        "source destination <LEFT | RIGHT> <LEFT | RIGHT>",
    ),
    row(Spec::write("LMOVEM", -5, move_many::lmovem), "8.10.0").denyoom().keys(MOVE).doc(
        "Moves elements from an end of a list to an end of another, and returns them.",
        "O(N) for N elements moved.",
        "source destination <LEFT | RIGHT> <LEFT | RIGHT> [<COUNT count | EXACTLY count> <OBO | BULK>]",
    ),
    row(Spec::write("RPOPLPUSH", 3, transfer::rpoplpush), "1.2.0")
        .denyoom()
        .keys(MOVE)
        .doc("Moves the last element of a list to the head of another, and returns it.", "O(1)", "source destination")
        .deprecated("6.2.0", "`LMOVE` with the `RIGHT` and `LEFT` arguments"),
    row(Spec::write("LMPOP", -4, pop::lmpop), "7.0.0").keys(&[KeySpec::keynum(TAKE, 1)]).doc(
        "Returns and removes elements from an end of the first list there is.",
        "O(N+M) for N keys and M elements returned.",
        "numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    ),
    row(Spec::write("BLPOP", -3, wait::blpop), "2.0.0")
        .flags(Flags::BLOCKING)
        .keys(TAKE_FIRST_OF)
        .doc(
            "Returns and removes the first element of the first list there is; waits for one if there is none.",
            PER_KEY,
            "key [key ...] timeout",
        )
        .history(TIMEOUT_IS_DOUBLE),
    row(Spec::write("BRPOP", -3, wait::brpop), "2.0.0")
        .flags(Flags::BLOCKING)
        .keys(TAKE_FIRST_OF)
        .doc(
            "Returns and removes the last element of the first list there is; waits for one if there is none.",
            PER_KEY,
            "key [key ...] timeout",
        )
        .history(TIMEOUT_IS_DOUBLE),
    row(Spec::write("BLMOVE", 6, wait::blmove), "6.2.0").denyoom().flags(Flags::BLOCKING).keys(MOVE).doc(
        "Moves an element from an end of a list to an end of another, and returns it; waits for one if there is none.",
        "O(1)",
        "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout",
    ),
    row(Spec::write("BLMOVEM", -6, move_many::blmovem), "8.10.0").denyoom().flags(Flags::BLOCKING).keys(MOVE).doc(
        "Moves elements from an end of a list to an end of another, and returns them; waits for them.",
        "O(N) for N elements moved.",
        "source destination <LEFT | RIGHT> <LEFT | RIGHT> timeout [<COUNT count | EXACTLY count> <OBO | BULK>]",
    ),
    row(Spec::write("BRPOPLPUSH", 4, wait::brpoplpush), "2.2.0")
        .denyoom()
        .flags(Flags::BLOCKING)
        .keys(MOVE)
        .doc(
            "Moves the last element of a list to the head of another, and returns it; waits for one if there is none.",
            "O(1)",
            "source destination timeout",
        )
        .deprecated("6.2.0", "`BLMOVE` with the `RIGHT` and `LEFT` arguments")
        .history(TIMEOUT_IS_DOUBLE),
    row(Spec::write("BLMPOP", -5, wait::blmpop), "7.0.0").flags(Flags::BLOCKING).keys(&[KeySpec::keynum(TAKE, 2)]).doc(
        "Returns and removes elements from an end of the first list there is; waits for one if there is none.",
        "O(N+M) for N keys and M elements returned.",
        "timeout numkeys key [key ...] <LEFT | RIGHT> [COUNT count]",
    ),
];

/// Removed nodes beyond this are freed by the helper thread: freeing so many takes longer than handing them over.
const REMOVED_NODES_MAX: usize = 64;

/// What `list-max-listpack-size` and `list-compress-depth` say at present.
#[inline]
pub(super) fn fill(server: &Server) -> Fill {
    // COMPAT: Redis holds the depth in 16 bits, and takes what is beyond for the most that fits.
    let depth = u16::try_from(server.config.list_compress_depth).unwrap_or(u16::MAX);
    Fill::new(server.config.list_max_listpack_size).with_depth(depth)
}

/// Writes an element that is in no list any more.
fn write_detached(reply: &mut Reply<'_>, element: &Detached) {
    match element {
        Detached::Int(n) => reply.bulk_integer(*n),
        Detached::Bytes(bytes) => reply.bulk(bytes),
        Detached::Big(bytes) => reply.bulk_shared(bytes),
    }
}

/// Writes an element.
#[inline]
fn write_element(reply: &mut Reply<'_>, element: &Element<'_>) {
    match element {
        Element::Packed(Item::Int(n)) => reply.bulk_integer(*n),
        Element::Packed(Item::Bytes(bytes)) => reply.bulk(bytes),
        Element::Expanded(element) => write_detached(reply, element),
        Element::Big(bytes) => reply.bulk_shared(bytes),
    }
}

/// The end that an argument names.
fn parse_end(arg: &[u8]) -> Result<End, ReplyError> {
    match arg {
        left if left.eq_ignore_ascii_case(b"LEFT") => Ok(End::Head),
        right if right.eq_ignore_ascii_case(b"RIGHT") => Ok(End::Tail),
        _ => Err(ReplyError::SYNTAX),
    }
}

/// The event of an element taken from an end.
fn pop_event(end: End) -> &'static str {
    match end {
        End::Head => "lpop",
        End::Tail => "rpop",
    }
}

/// The command that takes from an end.
fn pop_name(end: End) -> &'static [u8] {
    match end {
        End::Head => b"LPOP",
        End::Tail => b"RPOP",
    }
}

/// The event of an element added at an end.
fn push_event(end: End) -> &'static str {
    match end {
        End::Head => "lpush",
        End::Tail => "rpush",
    }
}

/// The indexes from `start` to `stop`, both included and negative ones counted from the end, that there are.
fn clamp(start: i64, stop: i64, len: usize) -> Range<usize> {
    let signed_len = len as i64;
    let from_head = |index: i64| if index < 0 { index + signed_len } else { index };
    let start = from_head(start).max(0);
    let end = from_head(stop).min(signed_len - 1) + 1;
    if start < end { start as usize..end as usize } else { 0..0 }
}

/// The index of an element, a negative one counted from the end, if it lies in the list.
fn index_in(index: i64, len: usize) -> Option<usize> {
    let from_head = if index < 0 { index + len as i64 } else { index };
    usize::try_from(from_head).ok().filter(|&index| index < len)
}

fn parse_integer(args: Args<'_>, index: usize) -> Result<i64, ReplyError> {
    num::parse_i64(args.at(index)).ok_or(ReplyError::NOT_AN_INTEGER)
}

/// An integer that may not be the smallest of all, whose amount has no number.
fn parse_negatable(args: Args<'_>, index: usize) -> Result<i64, ReplyError> {
    const RANGE: ReplyError =
        ReplyError::new("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807");
    let value = parse_integer(args, index)?;
    if value == i64::MIN { Err(RANGE) } else { Ok(value) }
}

/// Records a change of so many elements of a key, and removes the key if it has none left.
fn changed(ctx: &mut Ctx<'_>, event: &str, key: &[u8], elements: usize, is_emptied: bool) {
    ctx.change(Change::new(EventClass::List, event, key).times(elements));
    if is_emptied {
        remove_emptied(ctx, key);
    }
}

/// Frees nodes that were removed, on the helper thread if that takes long.
fn free(ctx: &mut Ctx<'_>, removed: Removed) {
    if removed.blocks() > REMOVED_NODES_MAX {
        ctx.server.background.free(Box::new(removed));
    }
}
