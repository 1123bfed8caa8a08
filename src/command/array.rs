//! Arrays: the rows of their commands, and what the handlers share.
//!
//! - `write`: what sets and deletes elements. `insert`: what puts them where the array's own index points to, or wherever that is to point.
//! - `read`: elements by their indexes, and what is known of an array. `walk`: what goes by the used elements of a range: ARSCAN, ARGREP
//!   with the predicates of `grep`, and AROP with the sums of `sum`.
//!
//! Indexes are integers of 64 bits without a sign, up to 2^64-2. What is wrong with one is told before the key is looked at.
// COMPAT: no server that has arrays was at hand: replies, texts and events are those that its documentation and its clients' tests have.

mod grep;
mod insert;
mod read;
mod sum;
mod walk;
mod write;

use super::spec::{Access, Category, Group, KeySpec, Spec};
use crate::base::num;
use crate::config::EventClass;
use crate::resp::error::ReplyError;
use crate::server::change::Change;
use crate::server::ctx::Ctx;
use crate::store::types::array::INDEX_MAX;

const fn row(spec: Spec) -> Spec {
    spec.group(Group::Array, Category::ARRAY, "8.8.0")
}

const READ: &[KeySpec] = &[KeySpec::one(Access::RO.with(Access::ACCESS), 1)];
const SIZE: &[KeySpec] = &[KeySpec::one(Access::RO, 1)];
const UPDATE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::UPDATE), 1)];
const DELETE: &[KeySpec] = &[KeySpec::one(Access::RW.with(Access::DELETE), 1)];

const PER_VALUE: &str = "O(N) for N values.";
const PER_INDEX: &str = "O(N) for N indexes.";
const PER_USED: &str = "O(N) for N elements in the range, however long it is.";

/// The rows.
pub const ROWS: &[Spec] = &[
    row(Spec::write("ARSET", -4, write::arset).in_pieces()).denyoom().fast().keys(UPDATE).doc(
        "Sets elements of an array from an index on. Returns how many of them were not there.",
        PER_VALUE,
        "key index value [value ...]",
    ),
    row(Spec::write("ARMSET", -4, write::armset).in_pieces()).denyoom().fast().keys(UPDATE).doc(
        "Sets elements of an array by their indexes. Returns how many of them were not there.",
        PER_VALUE,
        "key index value [index value ...]",
    ),
    row(Spec::read("ARGET", 3, read::arget)).fast().keys(READ).doc(
        "Returns an element of an array.",
        "O(log(N)) for an array of N elements.",
        "key index",
    ),
    row(Spec::read("ARMGET", -3, read::armget).in_pieces()).fast().keys(READ).doc(
        "Returns several elements of an array.",
        PER_INDEX,
        "key index [index ...]",
    ),
    row(Spec::read("ARGETRANGE", 4, read::argetrange)).keys(READ).doc(
        "Returns what is at each index of a range, up to a million of them.",
        "O(N) for N indexes in the range.",
        "key start end",
    ),
    row(Spec::read("ARSCAN", -4, walk::arscan)).keys(READ).doc(
        "Returns the elements in a range with their indexes.",
        PER_USED,
        "key start end [LIMIT count]",
    ),
    row(Spec::read("ARGREP", -6, walk::argrep)).keys(READ).doc(
        "Returns the indexes of the elements in a range that hold, or look like, something.",
        "O(N*M) for N elements in the range and M predicates.",
        "key start end <EXACT string | MATCH string | GLOB pattern | RE pattern> \
         [<EXACT string | MATCH string | GLOB pattern | RE pattern> ...] [AND | OR] [LIMIT count] [WITHVALUES] [NOCASE]",
    ),
    row(Spec::read("AROP", -5, walk::arop)).keys(READ).doc(
        "Returns one number for all elements in a range.",
        PER_USED,
        "key start end <SUM | MIN | MAX | AND | OR | XOR | USED | MATCH value>",
    ),
    row(Spec::read("ARLEN", 2, read::arlen)).fast().keys(SIZE).doc(
        "Returns one more than the highest index that has an element.",
        "O(1)",
        "key",
    ),
    row(Spec::read("ARCOUNT", 2, read::arcount)).fast().keys(SIZE).doc(
        "Returns the number of elements of an array.",
        "O(1)",
        "key",
    ),
    row(Spec::write("ARDEL", -3, write::ardel).in_pieces()).fast().keys(DELETE).doc(
        "Deletes elements of an array; the key goes with the last one.",
        PER_INDEX,
        "key index [index ...]",
    ),
    row(Spec::write("ARDELRANGE", -4, write::ardelrange)).keys(DELETE).doc(
        "Deletes the elements in ranges; the key goes with the last one.",
        "O(N) for N elements in the ranges, however long they are.",
        "key start end [start end ...]",
    ),
    row(Spec::write("ARINSERT", -3, insert::arinsert).in_pieces()).denyoom().fast().keys(UPDATE).doc(
        "Sets elements behind the one inserted last, and returns the last index.",
        PER_VALUE,
        "key value [value ...]",
    ),
    row(Spec::write("ARRING", -4, insert::arring).in_pieces()).denyoom().keys(UPDATE).doc(
        "Inserts elements into a ring of a size, in which the newest take the place of the oldest.",
        "O(M) for M values, O(N+M) if the ring of N elements gets another size.",
        "key size value [value ...]",
    ),
    row(Spec::read("ARNEXT", 2, read::arnext)).fast().keys(SIZE).doc(
        "Returns the index that the next inserted element gets.",
        "O(1)",
        "key",
    ),
    row(Spec::write("ARSEEK", 3, insert::arseek)).fast().keys(UPDATE).doc(
        "Says which index the next inserted element gets.",
        "O(1)",
        "key index",
    ),
    row(Spec::read("ARLASTITEMS", -3, read::arlastitems)).keys(READ).doc(
        "Returns what was inserted last, the oldest first.",
        "O(N) for N elements returned.",
        "key count [REV]",
    ),
    row(Spec::read("ARINFO", -2, read::arinfo)).keys(SIZE).doc(
        "Returns what an array is made of.",
        "O(1), or O(N) for N slices with `FULL`.",
        "key [FULL]",
    ),
];

const BAD_INDEX: ReplyError = ReplyError::new("ERR invalid array index");

/// Elements that are answered without regard to whether they are there, at most.
const POSITIONS_MAX: u64 = 1_000_000;
const TOO_MANY: ReplyError = ReplyError::new("ERR range exceeds maximum of 1000000 items");

/// An index.
fn index(text: &[u8]) -> Result<u64, ReplyError> {
    num::parse_u64(text).filter(|index| *index <= INDEX_MAX).ok_or(BAD_INDEX)
}

/// Tells that elements of an array were changed.
fn changed(ctx: &mut Ctx<'_>, event: &str, key: &[u8], count: usize) {
    ctx.change(Change::new(EventClass::Array, event, key).times(count));
}
