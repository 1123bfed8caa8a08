//! Sorted sets in a listpack: member, score, member, score in ascending order, exactly as Redis packs them.
//!
//! A score without a fraction is held as an integer if it is well within 64 bits (so that -0 becomes 0), another one as the
//! text that replies show.
//!
//! Used by `ZSet` while there are few members. Knows nothing of when they are many.

use std::cmp::Ordering;

use super::tree::order;
use crate::base::num;
use crate::store::pack::listpack::Items;
use crate::store::pack::{Item, Listpack, Pos};

/// Beyond this magnitude a whole number is text, as in Redis: half of the largest 64-bit integer.
const INTEGER_MAX: f64 = (i64::MAX / 2) as f64;

/// A score as it is held, and its text if it is not an integer.
enum Held {
    Int(i64),
    Text(Vec<u8>),
}

fn held(score: f64) -> Held {
    if score.abs() <= INTEGER_MAX && score == score.trunc() {
        return Held::Int(score as i64);
    }
    let mut text = Vec::with_capacity(24);
    num::write_f64(&mut text, score);
    Held::Text(text)
}

/// A held score.
#[inline]
fn score_of(item: Item<'_>) -> f64 {
    match item {
        Item::Int(n) => n as f64,
        // `ascends` has let no other text in.
        Item::Bytes(text) => num::parse_score_bound(text).unwrap_or(0.0),
    }
}

/// Number of members.
pub(super) fn len(pack: &Listpack) -> usize {
    pack.len() / 2
}

/// Where a member is, and its score.
#[inline]
pub(super) fn find(pack: &Listpack, member: &[u8]) -> Option<(Pos, f64)> {
    let pos = pack.find(None, member, 1)?;
    Some((pos, score_of(pack.at(pack.next(pos)?))))
}

/// Adds a member that is not there. O(N).
pub(super) fn insert(pack: &mut Listpack, member: &[u8], score: f64) {
    let mut digits = itoa::Buffer::new();
    let mut next = pack.first();
    while let Some(pos) = next {
        let Some(score_pos) = pack.next(pos) else { break };
        let place = order(score_of(pack.at(score_pos)), score).then_with(|| pack.at(pos).text(&mut digits).cmp(member));
        if place == Ordering::Greater {
            let pos = pack.insert_before(pos, member);
            match held(score) {
                Held::Int(n) => pack.insert_after_int(pos, n),
                Held::Text(text) => pack.insert_after(pos, &text),
            };
            return;
        }
        next = pack.next(score_pos);
    }
    push(pack, Item::of(member), score);
}

/// Adds a member that comes after all others.
pub(super) fn push(pack: &mut Listpack, member: Item<'_>, score: f64) {
    match member {
        Item::Bytes(text) => pack.push_back(text),
        int => pack.push_back_item(int),
    };
    match held(score) {
        Held::Int(n) => pack.push_back_int(n),
        Held::Text(text) => pack.push_back(&text),
    };
}

/// Takes the member at `pos` out.
pub(super) fn remove(pack: &mut Listpack, pos: Pos) {
    pack.remove_range(pos, 2);
}

/// True if these elements are members and scores in ascending order, the scores being numbers. Linear.
pub(super) fn ascends(mut items: Items<'_>) -> bool {
    let mut before: Option<(f64, Item<'_>)> = None;
    let (mut lower, mut upper) = (itoa::Buffer::new(), itoa::Buffer::new());
    while let (Some(member), Some(score)) = (items.next(), items.next()) {
        let score = match score {
            Item::Int(n) => Some(n as f64),
            Item::Bytes(text) => num::parse_score_bound(text).filter(|_| !text.is_empty()),
        };
        let Some(score) = score else { return false };
        let place = before.map(|(least, other)| {
            order(least, score).then_with(|| other.text(&mut lower).cmp(member.text(&mut upper)))
        });
        if place.is_some_and(|place| place != Ordering::Less) {
            return false;
        }
        before = Some((score, member));
    }
    true
}

/// Members and scores, from either end.
#[derive(Clone, Debug)]
pub(super) struct Pairs<'p>(Items<'p>);

impl<'p> Pairs<'p> {
    /// Those that these elements are in turn.
    pub fn of(items: Items<'p>) -> Pairs<'p> {
        Pairs(items)
    }

    /// All but the first `skip` and the last `skip_back`. A walk over those.
    pub fn new(pack: &'p Listpack, skip: usize, skip_back: usize) -> Pairs<'p> {
        let mut items = pack.iter();
        if skip > 0 {
            items.nth(2 * skip - 1);
        }
        if skip_back > 0 {
            items.nth_back(2 * skip_back - 1);
        }
        Pairs(items)
    }
}

impl<'p> Iterator for Pairs<'p> {
    type Item = (Item<'p>, f64);

    #[inline]
    fn next(&mut self) -> Option<(Item<'p>, f64)> {
        Some((self.0.next()?, score_of(self.0.next()?)))
    }
}

impl DoubleEndedIterator for Pairs<'_> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        let score = score_of(self.0.next_back()?);
        Some((self.0.next_back()?, score))
    }
}
