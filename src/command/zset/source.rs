//! The inputs of unions, intersections and differences: sorted sets, and sets, whose members count as having the score 1.

use crate::resp::error::ReplyError;
use crate::store::db::{Db, Moment};
use crate::store::pack::Item;
use crate::store::types::zset::ZSet;
use crate::store::types::{Collection, Ref, Set, Type};

/// Score of a set's members.
const SET_SCORE: f64 = 1.0;

/// What one key brings.
pub(super) enum Source<'d> {
    SortedSet(Ref<'d, ZSet>),
    Set(Ref<'d, Set>),
    /// There is no such key.
    Nothing,
}

impl Source<'_> {
    /// Number of members. O(1).
    pub fn len(&self) -> usize {
        match self {
            Source::SortedSet(zset) => zset.len(),
            Source::Set(set) => set.len(),
            Source::Nothing => 0,
        }
    }

    /// The score of a member. O(1), or a scan of a listpack.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::SortedSet(zset) => zset.score(member),
            Source::Set(set) => set.contains(member).then_some(SET_SCORE),
            Source::Nothing => None,
        }
    }

    /// Calls `visit` for every member, with its text and its score, in no order.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], f64)) {
        let mut digits = itoa::Buffer::new();
        let mut shown = |member: Item<'_>, score| visit(member.text(&mut digits), score);
        match self {
            Source::SortedSet(zset) => zset.for_each(shown),
            Source::Set(set) => set.for_each(|member| shown(member, SET_SCORE)),
            Source::Nothing => {}
        }
    }

    /// Calls `visit` for the members from a place on, 0 at first, in no order, until `go_on`, which is asked after some of them,
    /// returns false. Returns the place to go on from, or `None` at the end.
    pub fn read_on(&self, place: u64, mut visit: impl FnMut(&[u8], f64), go_on: impl FnMut() -> bool) -> Option<u64> {
        let mut digits = itoa::Buffer::new();
        let mut shown = |member: Item<'_>, score| visit(member.text(&mut digits), score);
        match self {
            Source::SortedSet(zset) => zset.read_on(place, shown, go_on),
            Source::Set(set) => set.read_on(place, |member| shown(member, SET_SCORE), go_on),
            Source::Nothing => None,
        }
    }
}

/// What keys bring that are held, each of which is there; `None` if one of them is not any more.
pub(super) fn held<'d, 'k>(db: &'d Db, keys: impl Iterator<Item = &'k [u8]>) -> Option<Vec<Source<'d>>> {
    let source = |key| match db.peek(key)?.type_of() {
        Type::ZSet => Some(Source::SortedSet(db.peek(key)?.into_collection()?)),
        _ => Some(Source::Set(db.peek(key)?.into_collection()?)),
    };
    keys.map(source).collect()
}

/// Looks keys up, in order: each counts as read, and a key of another type is refused.
pub(super) fn all<'d, 'k>(
    db: &'d mut Db,
    keys: impl Iterator<Item = &'k [u8]> + Clone,
    at: Moment,
) -> Result<Vec<Source<'d>>, ReplyError> {
    // First what may remove keys whose time is over, then what borrows them all together.
    let mut types = Vec::new();
    for key in keys.clone() {
        let found = db.lookup_read(key, at).map(|entry| entry.type_of());
        if found.is_some_and(|found| !matches!(found, Type::ZSet | Type::Set)) {
            return Err(ReplyError::WRONG_TYPE);
        }
        types.push(found);
    }
    let db = &*db;
    let sources = keys.zip(types).map(|(key, found)| {
        let source = match found? {
            Type::ZSet => Source::SortedSet(db.peek(key)?.into_collection()?),
            _ => Source::Set(db.peek(key)?.into_collection()?),
        };
        Some(source)
    });
    Ok(sources.map(|source| source.unwrap_or(Source::Nothing)).collect())
}
