//! Small hashes: pairs of field and value, or triples with the deadline, in a listpack.
//!
//! Used by `hash`, which describes the order of triples. Asks no clock.

use super::DEADLINE_END;
use crate::store::pack::listpack::Items;
use crate::store::pack::{Item, Listpack, Pos};

/// The fields and values of a pack of pairs.
pub fn pairs(pack: &Listpack) -> impl Iterator<Item = (Item<'_>, Item<'_>)> {
    let mut items = pack.iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?)))
}

/// The fields, values and deadlines of a pack of triples.
pub fn triples(pack: &Listpack) -> impl Iterator<Item = (Item<'_>, Item<'_>, Option<i64>)> {
    let mut items = pack.iter();
    std::iter::from_fn(move || Some((items.next()?, items.next()?, deadline(items.next()?))))
}

/// A deadline as a triple holds it.
pub fn deadline(item: Item<'_>) -> Option<i64> {
    item.as_int().filter(|&deadline_ms| deadline_ms != 0)
}

/// The deadline that follows a value.
#[inline]
pub fn deadline_after(pack: &Listpack, value: Pos) -> Option<i64> {
    deadline(pack.at(pack.next(value)?))
}

/// The earliest deadline: the first field has it.
#[inline]
pub fn first_deadline(pack: &Listpack) -> Option<i64> {
    deadline_after(pack, pack.next(pack.first()?)?)
}

/// The triples of these pairs, none of which has a deadline.
pub fn with_deadlines(pack: &Listpack) -> Listpack {
    let mut triples = Listpack::new();
    for (name, value) in pairs(pack) {
        triples.push_back_item(name);
        triples.push_back_item(value);
        triples.push_back_int(0);
    }
    triples
}

/// True if every third element is a deadline, or 0 for none, in the order of triples.
pub fn deadlines_ascend(items: Items<'_>) -> bool {
    let mut last_ms = 0;
    items.skip(2).step_by(3).all(|item| {
        let Some(deadline_ms) = item.as_int() else { return false };
        let in_order = deadline_ms == 0 || (last_ms..DEADLINE_END).contains(&deadline_ms);
        last_ms = if deadline_ms == 0 { DEADLINE_END } else { deadline_ms };
        in_order
    })
}

/// Sets a field of a pack of pairs. True if it was there.
#[inline]
pub fn set_pair(pack: &mut Listpack, name: &[u8], value: &[u8]) -> bool {
    match pack.find(None, name, 1).and_then(|at| pack.next(at)) {
        Some(at) => {
            pack.replace(at, value);
            true
        }
        None => {
            pack.push_back(name);
            pack.push_back(value);
            false
        }
    }
}

/// Sets a field of a pack of triples; `kept` says whether a deadline stays. True if the field was there and not due.
pub fn set_triple(pack: &mut Listpack, name: &[u8], value: &[u8], now_ms: i64, kept: impl FnOnce(i64) -> bool) -> bool {
    let Some(at) = pack.find(None, name, 2) else {
        append(pack, name, value);
        return false;
    };
    let old = pack.next(at).and_then(|value| deadline_after(pack, value));
    if old.is_none_or(kept) {
        if let Some(at) = pack.next(at) {
            pack.replace(at, value);
        }
    } else {
        pack.remove_range(at, 3);
        append(pack, name, value);
    }
    old.is_none_or(|old| old > now_ms)
}

/// Adds a field without a deadline: those come last, in the order in which they came.
fn append(pack: &mut Listpack, name: &[u8], value: &[u8]) {
    pack.push_back(name);
    pack.push_back(value);
    pack.push_back_int(0);
}

/// Sets or drops the deadline of a field of a pack of triples, if it is there, and moves it to where it belongs.
pub fn set_deadline(pack: &mut Listpack, name: &[u8], deadline_ms: Option<i64>) {
    let Some(at) = pack.find(None, name, 2) else { return };
    let Some(value_at) = pack.next(at) else { return };
    if deadline_ms.is_none() && deadline_after(pack, value_at).is_none() {
        return;
    }
    let value = pack.at(value_at).to_vec();
    pack.remove_range(at, 3);
    let Some(deadline_ms) = deadline_ms else { return append(pack, name, &value) };
    match place_of(pack, deadline_ms) {
        Some(at) => {
            let at = pack.insert_before(at, name);
            let at = pack.insert_after(at, &value);
            pack.insert_after_int(at, deadline_ms);
        }
        None => {
            pack.push_back(name);
            pack.push_back(&value);
            pack.push_back_int(deadline_ms);
        }
    }
}

/// The first field whose deadline is not before this one; `None` if that is the end.
fn place_of(pack: &Listpack, deadline_ms: i64) -> Option<Pos> {
    let mut at = pack.first();
    while let Some(name) = at {
        let value = pack.next(name)?;
        match deadline_after(pack, value) {
            Some(other_ms) if other_ms < deadline_ms => at = pack.next(pack.next(value)?),
            _ => break,
        }
    }
    at
}

/// Takes out a field of a pack of triples, unless it is due. True if it did.
pub fn remove_triple(pack: &mut Listpack, name: &[u8], now_ms: i64) -> bool {
    let Some(at) = pack.find(None, name, 2) else { return false };
    let deadline_ms = pack.next(at).and_then(|value| deadline_after(pack, value));
    if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
        return false;
    }
    pack.remove_range(at, 3);
    true
}

/// Takes out every due field of a pack of triples, and names each to `gone`. Returns how many.
pub fn expire(pack: &mut Listpack, now_ms: i64, gone: &mut dyn FnMut(&[u8])) -> usize {
    let (mut due, mut digits) = (0, itoa::Buffer::new());
    for (name, ..) in triples(pack).take_while(|(.., deadline_ms)| deadline_ms.is_some_and(|ms| ms <= now_ms)) {
        gone(name.text(&mut digits));
        due += 1;
    }
    if let Some(first) = pack.first().filter(|_| due > 0) {
        pack.remove_range(first, 3 * due);
    }
    due
}
