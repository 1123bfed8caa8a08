//! Large collections read piece by piece: what [`Reader::value`] makes of the same bytes at once, and refused where it refuses them.

use super::{Broken, NO_SCORE, Reader, TWICE, code};
use crate::persist::rdb::{Budget, Dialect, Shapes};
use crate::store::types::list;
use crate::store::types::zset::{Gathering, Sorter};
use crate::store::types::{Collection, Hash, Object, Set};

/// A collection in the making.
#[derive(Debug)]
pub struct Building {
    form: u8,
    dialect: Dialect,
    budget: Budget,
    /// Bytes that were read.
    at: usize,
    /// Elements, or nodes, that are still to be read.
    left: usize,
    part: Part,
}

#[derive(Debug)]
enum Part {
    List(list::Builder),
    Set(Set),
    ZSet(Gathering),
    /// A sorted set whose members are read.
    Index(Sorter),
    Hash(Hash),
    TimedHash {
        hash: Hash,
        first_ms: Option<i64>,
        /// They are set when all fields are there, from the last one on.
        deadlines: Vec<(Box<[u8]>, i64)>,
    },
}

impl Building {
    /// Begins to read a value; `None` if it is of a form that cannot be divided. O(1).
    ///
    /// # Errors
    /// If the bytes are no such value.
    pub fn begin(
        bytes: &[u8],
        dialect: Dialect,
        mut budget: Budget,
        shapes: &Shapes,
    ) -> Result<Option<Building>, Broken> {
        let mut reader = Reader::new(bytes, dialect, &mut budget);
        let [form] = reader.take()?;
        let (left, part) = match form {
            code::LIST_QUICKLIST | code::LIST_QUICKLIST_2 => {
                (reader.some(1)?, Part::List(list::Builder::new(shapes.list)))
            }
            code::SET => {
                let (count, mut set) = (reader.some(1)?, Set::ints());
                set.prepare(count, &shapes.set);
                (count, Part::Set(set))
            }
            code::ZSET | code::ZSET_2 => (reader.some(2)?, Part::ZSet(Gathering::new(shapes.zset.hasher))),
            code::HASH => {
                let (count, mut hash) = (reader.some(2)?, Hash::new());
                hash.expect_fields(count, &shapes.hash);
                (count, Part::Hash(hash))
            }
            code::HASH_METADATA => {
                let (first_ms, count, mut hash) = (Some(reader.time_ms()?), reader.some(3)?, Hash::new());
                hash.make_timed(shapes.hash.hasher);
                hash.expect_fields(count, &shapes.hash);
                (count, Part::TimedHash { hash, first_ms, deadlines: Vec::new() })
            }
            _ => return Ok(None),
        };
        let at = bytes.len() - reader.rest().len();
        Ok(Some(Building { form, dialect, budget, at, left, part }))
    }

    /// Goes on with the same bytes until `go_on` returns false, which is told how many elements of how many bytes were read. The
    /// collection at its end.
    ///
    /// # Errors
    /// If the bytes are no such value.
    pub fn go_on(
        &mut self,
        bytes: &[u8],
        shapes: &Shapes,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Option<Object>, Broken> {
        while self.left > 0 {
            let mut reader = Reader::new(&bytes[self.at..], self.dialect, &mut self.budget);
            match &mut self.part {
                Part::List(list) => reader.list_part(self.form, list)?,
                Part::Set(set) => reader.set_member(set, shapes)?,
                Part::ZSet(members) => {
                    let (member, score) = reader.scored_member(self.form)?;
                    let mut is_new = true;
                    members.merge(&member, score, |known, _| {
                        is_new = false;
                        known
                    });
                    is_new.then_some(()).ok_or(TWICE)?;
                }
                Part::Hash(hash) => reader.hash_field(hash, shapes)?,
                Part::TimedHash { hash, first_ms, deadlines } => {
                    let (name, value, deadline_ms) = reader.timed_field(*first_ms)?;
                    if hash.set(&name, &value, false, i64::MIN, &shapes.hash) {
                        return Err(TWICE);
                    }
                    deadlines.extend(deadline_ms.map(|deadline_ms| (Box::from(&*name), deadline_ms)));
                }
                Part::Index(_) => return Err(NO_SCORE),
            }
            let read = bytes.len() - self.at - reader.rest().len();
            (self.at, self.left) = (self.at + read, self.left - 1);
            if !go_on(1, read) && self.left > 0 {
                return Ok(None);
            }
        }
        self.finish(shapes, go_on)
    }

    /// What is to be done when all elements are there.
    fn finish(
        &mut self,
        shapes: &Shapes,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Option<Object>, Broken> {
        if let Part::ZSet(members) = &mut self.part {
            let members = std::mem::replace(members, Gathering::new(shapes.zset.hasher));
            self.part = Part::Index(Sorter::new(members));
        }
        Ok(match &mut self.part {
            Part::List(list) => {
                let list = std::mem::replace(list, list::Builder::new(shapes.list)).finish();
                if list.is_empty() {
                    return Err(Broken::Empty);
                }
                Some(Object::List(list))
            }
            Part::Set(set) => Some(Object::Set(std::mem::replace(set, Set::ints()))),
            Part::Hash(hash) => Some(Object::Hash(std::mem::take(hash))),
            Part::TimedHash { hash, deadlines, .. } => {
                while let Some((name, deadline_ms)) = deadlines.pop() {
                    hash.set_deadline(&name, deadline_ms, shapes.hash.hasher);
                    if !go_on(1, 0) && !deadlines.is_empty() {
                        return Ok(None);
                    }
                }
                Some(Object::Hash(std::mem::take(hash)))
            }
            Part::Index(sorter) => {
                let is_built = sorter.sort(|moved| go_on(moved, 0)) && sorter.build(|added| go_on(added, 0));
                is_built.then(|| Object::ZSet(sorter.take(&shapes.zset)))
            }
            Part::ZSet(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::persist::rdb::Value;
    use crate::persist::rdb::write::{Version, Writer};
    use crate::store::entry::{Entry, NewValue};
    use crate::store::hash::KeyHasher;
    use crate::store::types::list::{End, Fill};
    use crate::store::types::{List, ZSet, hash, set, zset};

    fn shapes(entries: usize) -> Shapes {
        let hasher = KeyHasher::new([5; 16]);
        Shapes {
            list: Fill::default(),
            set: set::Policy { intset_entries: entries, listpack_entries: entries, listpack_value: 64, hasher },
            hash: hash::Limits { entries, value: 64, hasher },
            zset: zset::Limits { entries, value: 64, hasher },
        }
    }

    fn written(count: usize) -> Vec<Vec<u8>> {
        let shapes = shapes(4);
        let (mut list, mut prng) = (List::new(), Prng::seeded(1));
        let (mut members, mut ranked) = (Set::ints(), ZSet::default());
        let (mut fields, mut timed) = (Hash::new(), Hash::new());
        for n in 0..count {
            let text = format!("element {n}").into_bytes();
            list.make_room(Fill::default(), text.len(), 1);
            list.push(End::Tail, &text);
            members.insert(&text, &shapes.set);
            ranked.insert(&text, prng.below(50) as f64 / 3.0, &shapes.zset);
            fields.set(&text, &text, false, 0, &shapes.hash);
            timed.set(&text, &text, false, 0, &shapes.hash);
            if n % 3 == 0 {
                timed.set_deadline(&text, 1000 + prng.below(1000) as i64, shapes.hash.hasher);
            }
        }
        let objects =
            [Object::List(list), Object::Set(members), Object::ZSet(ranked), Object::Hash(fields), Object::Hash(timed)];
        let written = objects.into_iter().map(|object| {
            let mut writer = Writer::new(Version::Redis12, true);
            writer.value(&Entry::new(b"key", NewValue::Object(object), None));
            writer.take()
        });
        written.collect()
    }

    fn at_once(bytes: &[u8], shapes: &Shapes, budget: usize) -> Result<Vec<u8>, Broken> {
        let mut budget = Budget::new(budget);
        Reader::new(bytes, Dialect::Redis, &mut budget).value(shapes).map(shown)
    }

    fn in_pieces(bytes: &[u8], shapes: &Shapes, budget: usize) -> Result<Option<Vec<u8>>, Broken> {
        let building = Building::begin(bytes, Dialect::Redis, Budget::new(budget), shapes)?;
        let Some(mut building) = building else { return Ok(None) };
        loop {
            if let Some(object) = building.go_on(bytes, shapes, |_, _| false)? {
                return Ok(Some(shown(Value::Object(object))));
            }
        }
    }

    /// A value as it is written again.
    fn shown(mut value: Value<'_>) -> Vec<u8> {
        let entry = Entry::new(b"key", value.as_new(), None);
        let mut writer = Writer::new(Version::Redis12, false);
        writer.value(&entry);
        writer.take()
    }

    #[test]
    fn what_is_read_in_pieces_is_what_is_read_at_once_and_refused_likewise() {
        let mut prng = Prng::seeded(7);
        let mut divided = 0;
        for (count, entries) in [(3, 128), (60, 4), (60, 128), (600, 4), (600, 128)] {
            let shapes = shapes(entries);
            for bytes in written(count) {
                let whole = at_once(&bytes, &shapes, usize::MAX);
                assert!(whole.is_ok());
                if let Some(found) = in_pieces(&bytes, &shapes, usize::MAX).expect("nothing is broken") {
                    divided += 1;
                    assert!(whole == Ok(found), "{count} elements of {}", bytes[0]);
                }
                for _ in 0..200 {
                    let mut broken = bytes.clone();
                    let at = prng.below(broken.len() as u64) as usize;
                    if prng.chance(1, 4) {
                        broken.truncate(at);
                    } else {
                        broken[at] = prng.next_u64() as u8;
                    }
                    let budget = if prng.chance(1, 4) { prng.below(20_000) as usize } else { usize::MAX };
                    let whole = at_once(&broken, &shapes, budget);
                    match in_pieces(&broken, &shapes, budget) {
                        Ok(None) => {}
                        Ok(Some(found)) => assert!(whole == Ok(found), "{count} elements of {}", broken[0]),
                        Err(_) => assert!(whole.is_err(), "{count} elements of {}", broken[0]),
                    }
                }
            }
        }
        assert!(divided > 12, "{divided}");
    }
}
