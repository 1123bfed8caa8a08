//! Copies of large collections, made some elements at a time: what `clone` does at once.
//!
//! The place that a copy has come to is an index, a cursor, a rank or an id, so the collection may move in memory between two
//! pieces. It must not change.

use super::array::{Array, INDEX_MAX};
use super::hash::Hash;
use super::list::List;
use super::set::Set;
use super::stream::Stream;
use super::zset::{Gathering, Limits, Sorter, ZSet};
use super::{Collection, Object};

/// A copy under way.
#[derive(Debug)]
pub struct Copying {
    copy: Part,
    /// Where sets, hashes and arrays go on.
    place: u64,
}

#[derive(Debug)]
enum Part {
    List(List),
    Set(Set),
    ZSet(Gathering),
    /// A sorted set whose members are copied.
    Index(Sorter, Limits),
    /// A sorted set some of whose members have deadlines.
    Timed(ZSet),
    Hash(Hash),
    Stream(Stream),
    Array(Array),
}

impl Copying {
    /// Begins to copy a collection; `None` if it cannot be divided. O(1).
    pub fn begin(object: &Object) -> Option<Copying> {
        let copy = match object {
            Object::List(list) => Part::List(list.begin_copy()?),
            Object::Set(set) => Part::Set(set.begin_copy()?),
            Object::ZSet(zset) => match zset.begin_timed_copy() {
                Some(copy) => Part::Timed(copy),
                None => Part::ZSet(zset.begin_copy()?),
            },
            Object::Hash(hash) => Part::Hash(hash.begin_copy()?),
            Object::Stream(_) => Part::Stream(Stream::default()),
            Object::Array(_) => Part::Array(Array::default()),
        };
        Some(Copying { copy, place: 0 })
    }

    /// Copies what comes next of the same collection until `go_on` returns false, which is told how many elements of how many bytes
    /// were copied. True at the end.
    pub fn go_on(&mut self, object: &Object, mut go_on: impl FnMut(usize, usize) -> bool) -> bool {
        let Copying { copy, place } = self;
        match (&mut *copy, object) {
            (Part::List(copy), Object::List(list)) => copy.copy_on(list, go_on),
            (Part::Set(copy), Object::Set(set)) => {
                let next = copy.copy_on(set, *place, go_on);
                *place = next.unwrap_or(0);
                next.is_none()
            }
            (Part::Timed(copy), Object::ZSet(zset)) => {
                let next = copy.copy_on(zset, *place, go_on);
                *place = next.unwrap_or(0);
                next.is_none()
            }
            (Part::Hash(copy), Object::Hash(hash)) => {
                let next = copy.copy_on(hash, *place, go_on);
                *place = next.unwrap_or(0);
                next.is_none()
            }
            (Part::Stream(copy), Object::Stream(stream)) => copy.copy_on(stream, go_on),
            (Part::Array(copy), Object::Array(array)) => {
                for (index, text) in array.range(*place, INDEX_MAX) {
                    copy.set(index, text);
                    *place = index + 1;
                    if !go_on(1, text.len()) {
                        return false;
                    }
                }
                copy.seek(array.next());
                true
            }
            (Part::ZSet(copy), Object::ZSet(zset)) => {
                let mut digits = itoa::Buffer::new();
                for (member, score) in zset.iter(copy.len()..zset.len()) {
                    copy.push(member.text(&mut digits), score);
                    if !go_on(1, member.len()) {
                        break;
                    }
                }
                if copy.len() < zset.len() {
                    return false;
                }
                let hasher = copy.hasher();
                let gathered = std::mem::replace(copy, Gathering::new(hasher));
                // One that is no listpack stays none, however few members it has.
                *self = Copying {
                    copy: Part::Index(Sorter::sorted(gathered), Limits { entries: 0, value: 0, hasher }),
                    place: 0,
                };
                false
            }
            (Part::Index(copy, _), _) => copy.build(|added| go_on(added, 0)),
            _ => unreachable!("it is the same collection"),
        }
    }

    /// The copy, once it is whole. What is left behind is of no more use. O(log N).
    pub fn take(&mut self) -> Object {
        let empty = Part::List(List::new());
        match std::mem::replace(&mut self.copy, empty) {
            Part::List(list) => Object::List(list),
            Part::Set(set) => Object::Set(set),
            Part::Timed(zset) => Object::ZSet(zset),
            Part::Hash(hash) => Object::Hash(hash),
            Part::Stream(stream) => Object::Stream(stream),
            Part::Array(array) => Object::Array(array),
            Part::Index(mut sorter, limits) => {
                let zset = sorter.take(&limits);
                self.copy = Part::Index(sorter, limits);
                Object::ZSet(zset)
            }
            Part::ZSet(_) => Object::ZSet(ZSet::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::store::hash::KeyHasher;
    use crate::store::types::list::{End, Fill};
    use crate::store::types::stream::{Group, NodeLimits, StreamId};
    use crate::store::types::{hash, set};

    fn objects(count: usize) -> Vec<Object> {
        let hasher = KeyHasher::new([5; 16]);
        let mut prng = Prng::seeded(count as u64);
        let policy = set::Policy { intset_entries: 4, listpack_entries: 4, listpack_value: 64, hasher };
        let (zlimits, hlimits) =
            (Limits { entries: 4, value: 64, hasher }, hash::Limits { entries: 4, value: 64, hasher });
        let (mut list, mut stream) = (List::new(), Stream::default());
        let (mut members, mut ranked, mut fields) = (Set::ints(), ZSet::default(), Hash::new());
        let (mut array, mut timed) = (Array::default(), ZSet::default());
        let mut group = Group::new(StreamId { ms: 5, seq: 0 }, Some(3));
        let consumer = group.add_consumer(b"one", 1);
        for n in 0..count {
            let text = format!("element {n}").into_bytes();
            list.make_room(Fill::default(), text.len(), 1);
            list.push(End::Tail, &text);
            members.insert(&text, &policy);
            array.set(prng.below(1 << 16) << prng.below(40), &text);
            ranked.insert(&text, prng.below(50) as f64, &zlimits);
            timed.load(&text, prng.below(50) as f64, (n % 3 == 0).then_some(n as i64), hasher);
            fields.set(&text, &text, false, 0, &hlimits);
            if n % 3 == 0 {
                fields.set_deadline(&text, 1000 + prng.below(1000) as i64, hasher);
            }
            let id = StreamId { ms: n as u64 + 1, seq: 7 };
            let limits = NodeLimits { bytes: 0, entries: 100 };
            stream.append(id, [&b"field"[..], b"value"].into_iter(), limits);
            group.deliver(id, consumer, n as i64);
        }
        array.seek(Some(count as u64));
        stream.add_group(b"group", group);
        stream.add_group(b"empty", Group::new(StreamId { ms: 0, seq: 0 }, None));
        vec![
            Object::List(list),
            Object::Set(members),
            Object::ZSet(ranked),
            Object::ZSet(timed),
            Object::Hash(fields),
            Object::Stream(stream),
            Object::Array(array),
        ]
    }

    /// All that a collection shows, in its order if it has one.
    fn shown(object: &Object) -> Vec<String> {
        let mut digits = itoa::Buffer::new();
        let mut shown: Vec<String> = Vec::new();
        match object {
            Object::List(list) => list.elements().for_each(|e| shown.push(format!("{:?}", e.text(&mut digits)))),
            Object::Set(set) => set.for_each(|member| shown.push(format!("{:?}", member.text(&mut digits)))),
            Object::ZSet(zset) => {
                zset.iter(0..zset.len())
                    .for_each(|(m, score)| shown.push(format!("{:?} {score}", m.text(&mut digits))));
                shown.push(format!("{} {:?}", zset.timed(), zset.next_due_ms()));
            }
            Object::Hash(hash) => hash.visit(0, |name, value, deadline| {
                let mut more = itoa::Buffer::new();
                shown.push(format!("{:?} {:?} {deadline:?}", name.text(&mut digits), value.text(&mut more)));
            }),
            Object::Array(array) => {
                shown.push(format!("{:?}", array.next()));
                array.range(0, INDEX_MAX).for_each(|(index, text)| shown.push(format!("{index} {text:?}")));
            }
            Object::Stream(stream) => {
                let all = format!("{stream:?}");
                // How much room is left for more is no part of it.
                let without_room = |part: &str| part.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
                shown.extend(all.split("cap: ").map(without_room));
            }
        }
        if !matches!(object, Object::List(_) | Object::ZSet(_)) {
            shown.sort();
        }
        shown
    }

    #[test]
    fn a_copy_in_pieces_is_what_the_collection_is() {
        for count in [0, 5, 300, 2000] {
            for object in objects(count) {
                let Some(mut copying) = Copying::begin(&object) else {
                    assert!(count <= 5 || object.type_of().name() == "list", "{object:?}");
                    continue;
                };
                let mut calls = 1;
                while !copying.go_on(&object, |_, _| false) {
                    calls += 1;
                }
                let copy = copying.take();
                assert_eq!((copy.len(), copy.encoding()), (object.len(), object.encoding()));
                assert_eq!(shown(&copy), shown(&object));
                assert!(calls > 1 || count < 2000, "{object:?}");
                if let (Object::Hash(copy), Object::Hash(object)) = (copy, object) {
                    assert_eq!((copy.timed(), copy.next_due_ms()), (object.timed(), object.next_due_ms()));
                }
            }
        }
    }
}
