//! Values read piece by piece, also while their bytes are still to come: the same as is read at once, and refused likewise.
//!
//! A [`Building`] keeps what has been made of the bytes so far and how much is still to come, never the bytes themselves: it goes on
//! at the front of whatever reader it is given, and leaves that behind the last piece that was whole. A piece is an element, a node
//! of a list or stream, or some kilobytes of a string.
//!
//! What remains one piece: a pack that is the whole value, a compressed string, and every single element.

use super::stream::Streaming;
use super::{Broken, NO_SCORE, Reader, TIME_BYTES, TIMED_MEMBER_BYTES, TWICE, TimedField, code, finish_bitmap};
use crate::persist::rdb::{Dialect, Shapes, Value};
use crate::store::types::list::{self, End};
use crate::store::types::roaring::Roaring;
use crate::store::types::zset::{Gathering, Sorter};
use crate::store::types::{Array, Collection, Hash, List, Object, Set, ZSet};

/// Bytes from which on a string is read in pieces.
const STRING_BYTES_MIN: usize = 256 << 10;
/// Bytes of a piece of it.
const STRING_PIECE_BYTES: usize = 64 << 10;
/// Room for all elements that are announced is made once this part of them has come: so who only announces them costs nothing, and
/// little is moved.
const ANNOUNCED_PART: usize = 16;

/// A value in the making.
#[derive(Debug)]
pub struct Building {
    form: u8,
    /// Elements, nodes or bytes that were announced.
    count: usize,
    /// Those of them that are still to be read.
    left: usize,
    part: Part,
}

#[derive(Debug)]
enum Part {
    String(Vec<u8>),
    /// A list of single elements.
    Elements(List),
    List(list::Builder),
    Set(Set),
    ZSet(Gathering),
    /// A sorted set whose members are read.
    Index(Sorter),
    TimedZSet(ZSet),
    Hash(Hash),
    TimedHash {
        hash: Hash,
        deadline: Deadline,
        /// They are set when all fields are there: once a field is due, setting others might take it for one that is not there.
        deadlines: Vec<(Box<[u8]>, i64)>,
    },
    Stream(Box<Streaming>),
    Array(Array),
    Bitmap(Roaring),
}

/// How a field's deadline is written.
#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// Before the field, from the first of them on, or from 1970 on if that is not known.
    Before { first_ms: Option<i64> },
    /// Behind it, as Valkey does.
    Behind,
}

impl Building {
    /// Begins to read a value whose form has been told; `None` if it is one that cannot be divided, and nothing of it has been read.
    /// O(1).
    ///
    /// # Errors
    /// If the bytes are no such value.
    pub fn begin(form: u8, reader: &mut Reader<'_, '_>, shapes: &Shapes) -> Result<Option<Building>, Broken> {
        let (count, part) = match form {
            code::VALKEY_HASH_2 if reader.dialect() == Dialect::Valkey => {
                let count = reader.some(2 + TIME_BYTES)?;
                (count, Part::timed_hash(count, Deadline::Behind, shapes))
            }
            // From here on the same byte stands for other forms.
            code::VALKEY_HASH_2.. if reader.dialect() == Dialect::Valkey => return Ok(None),
            code::STRING => match reader.long_string(STRING_BYTES_MIN)? {
                Some(bytes) => (bytes, Part::String(Vec::new())),
                None => return Ok(None),
            },
            code::LIST => (reader.some(1)?, Part::Elements(List::new())),
            code::LIST_QUICKLIST | code::LIST_QUICKLIST_2 => {
                (reader.some(1)?, Part::List(list::Builder::new(shapes.list)))
            }
            code::SET | code::OWN_SET => {
                let bytes = if form == code::SET { 1 } else { 1 + TIME_BYTES };
                let (count, mut set) = (reader.some(bytes)?, Set::ints());
                set.prepare(count, &shapes.set);
                (count, Part::Set(set))
            }
            code::OWN_ZSET => (reader.some(TIMED_MEMBER_BYTES)?, Part::TimedZSet(ZSet::default())),
            code::ZSET | code::ZSET_2 => (reader.some(2)?, Part::ZSet(Gathering::new(shapes.zset.hasher))),
            code::HASH => {
                let (count, mut hash) = (reader.some(2)?, Hash::new());
                hash.expect_fields(count, &shapes.hash);
                (count, Part::Hash(hash))
            }
            code::HASH_METADATA | code::HASH_METADATA_PRE_GA => {
                let first_ms = if form == code::HASH_METADATA { Some(reader.time_ms()?) } else { None };
                let count = reader.some(3)?;
                (count, Part::timed_hash(count, Deadline::Before { first_ms }, shapes))
            }
            code::OWN_ARRAY => {
                let (count, array) = reader.array_head()?;
                (count, Part::Array(array))
            }
            code::OWN_ROARING => {
                let (count, roaring) = reader.bitmap_head()?;
                (count, Part::Bitmap(roaring))
            }
            _ if Streaming::is_form(form) => (1, Part::Stream(Box::new(Streaming::begin(reader)?))),
            _ => return Ok(None),
        };
        Ok(Some(Building { form, count, left: count, part }))
    }

    /// Goes on with the bytes that follow until `go_on` returns false, which is told how many elements of how many bytes were read. The
    /// value at its end.
    ///
    /// # Errors
    /// If the bytes are no such value. If they only ran out, what has been read is kept, and the reader is at the piece that is
    /// not whole: it goes on there when there are more.
    pub fn go_on(
        &mut self,
        reader: &mut Reader<'_, '_>,
        shapes: &Shapes,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Option<Value<'static>>, Broken> {
        while self.left > 0 {
            let place = reader.place();
            if let Err(broken) = self.read_piece(reader, shapes) {
                if matches!(broken, Broken::RanOut(_)) {
                    reader.go_back(place);
                }
                return Err(broken);
            }
            if !go_on(1, reader.bytes_since(place)) && self.left > 0 {
                return Ok(None);
            }
        }
        self.finish(shapes, go_on)
    }

    /// Reads the next piece. If that fails nothing has changed.
    fn read_piece(&mut self, reader: &mut Reader<'_, '_>, shapes: &Shapes) -> Result<(), Broken> {
        let is_room_due = self.count - self.left == self.count / ANNOUNCED_PART;
        match &mut self.part {
            Part::String(text) => {
                let piece = reader.some_bytes(self.left.min(STRING_PIECE_BYTES))?;
                if text.capacity() - text.len() < piece.len() {
                    let is_believed = text.len() >= self.count / ANNOUNCED_PART;
                    let room = if is_believed { self.left } else { self.left.min(text.len().max(STRING_BYTES_MIN)) };
                    text.reserve_exact(room);
                }
                text.extend_from_slice(piece);
                self.left -= piece.len();
                return Ok(());
            }
            Part::Elements(list) => {
                let text = reader.kept_string()?;
                list.make_room(shapes.list, text.len(), 1);
                list.push(End::Tail, &text);
            }
            Part::List(list) => reader.list_part(self.form, list)?,
            Part::Set(set) => reader.set_member(set, self.form, shapes)?,
            Part::ZSet(members) => {
                let (member, score) = reader.scored_member(self.form)?;
                if is_room_due {
                    members.reserve(self.left);
                }
                let mut is_new = true;
                members.merge(&member, score, |known, _| {
                    is_new = false;
                    known
                });
                is_new.then_some(()).ok_or(TWICE)?;
            }
            Part::TimedZSet(zset) => reader.timed_member(zset, shapes)?,
            Part::Hash(hash) => reader.hash_field(hash, shapes)?,
            Part::TimedHash { hash, deadline, deadlines } => {
                let (name, value, deadline_ms): TimedField<'_> = match *deadline {
                    Deadline::Before { first_ms } => reader.timed_field(first_ms)?,
                    Deadline::Behind => reader.valkey_field()?,
                };
                if is_room_due {
                    deadlines.reserve(self.left);
                }
                if hash.set(&name, &value, false, i64::MIN, &shapes.hash) {
                    return Err(TWICE);
                }
                deadlines.extend(deadline_ms.map(|deadline_ms| (Box::from(&*name), deadline_ms)));
            }
            Part::Stream(stream) => {
                // How many pieces it has shows as they come.
                self.left = usize::from(!stream.read_piece(self.form, reader)?);
                return Ok(());
            }
            Part::Array(array) => reader.array_element(array)?,
            Part::Bitmap(roaring) => reader.bitmap_chunk(roaring)?,
            Part::Index(_) => return Err(NO_SCORE),
        }
        self.left -= 1;
        Ok(())
    }

    /// What is to be done when all pieces are there.
    fn finish(
        &mut self,
        shapes: &Shapes,
        mut go_on: impl FnMut(usize, usize) -> bool,
    ) -> Result<Option<Value<'static>>, Broken> {
        if let Part::ZSet(members) = &mut self.part {
            let members = std::mem::replace(members, Gathering::new(shapes.zset.hasher));
            self.part = Part::Index(Sorter::new(members));
        }
        let object = match &mut self.part {
            Part::String(text) => return Ok(Some(Value::String(std::mem::take(text).into()))),
            Part::Bitmap(roaring) => return Ok(Some(finish_bitmap(std::mem::take(roaring)))),
            Part::Elements(list) => Object::List(std::mem::take(list)),
            Part::List(list) => {
                let list = std::mem::replace(list, list::Builder::new(shapes.list)).finish();
                if list.is_empty() {
                    return Err(Broken::Empty);
                }
                Object::List(list)
            }
            Part::Set(set) => Object::Set(std::mem::replace(set, Set::ints())),
            Part::Hash(hash) => Object::Hash(std::mem::take(hash)),
            Part::TimedHash { hash, deadlines, .. } => {
                while let Some((name, deadline_ms)) = deadlines.pop() {
                    hash.set_deadline(&name, deadline_ms, shapes.hash.hasher);
                    if !go_on(1, 0) && !deadlines.is_empty() {
                        return Ok(None);
                    }
                }
                Object::Hash(std::mem::take(hash))
            }
            Part::Index(sorter) => {
                if !(sorter.sort(|moved| go_on(moved, 0)) && sorter.build(|added| go_on(added, 0))) {
                    return Ok(None);
                }
                Object::ZSet(sorter.take(&shapes.zset))
            }
            Part::TimedZSet(zset) => Object::ZSet(std::mem::take(zset)),
            Part::Stream(stream) => Object::Stream(stream.finish()),
            Part::Array(array) => Object::Array(std::mem::take(array)),
            Part::ZSet(_) => return Ok(None),
        };
        Ok(Some(Value::Object(object)))
    }
}

impl Part {
    fn timed_hash(count: usize, deadline: Deadline, shapes: &Shapes) -> Part {
        let mut hash = Hash::new();
        hash.make_timed(shapes.hash.hasher);
        hash.expect_fields(count, &shapes.hash);
        Part::TimedHash { hash, deadline, deadlines: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::length;
    use super::*;
    use crate::base::prng::Prng;
    use crate::persist::rdb::Budget;
    use crate::persist::rdb::write::{Version, Writer};
    use crate::store::entry::{Entry, NewValue};
    use crate::store::hash::KeyHasher;
    use crate::store::types::list::{End, Fill};
    use crate::store::types::stream::{Group, NodeLimits, StreamId};
    use crate::store::types::{Stream, hash, set, zset};

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
        let (mut members, mut ranked, mut array) = (Set::ints(), ZSet::default(), Array::default());
        let (mut leaving, mut leaving_ranked) = (Set::ints(), ZSet::default());
        let (mut fields, mut timed, mut stream) = (Hash::new(), Hash::new(), Stream::default());
        for n in 0..count {
            let id = StreamId::new(1 + n as u64, 7);
            let pair = [b"field".as_slice(), b"value"].into_iter();
            stream.append(id, pair, NodeLimits { bytes: 4096, entries: 40 });
            let text = format!("element {n}").into_bytes();
            list.make_room(Fill::default(), text.len(), 1);
            list.push(End::Tail, &text);
            members.insert(&text, &shapes.set);
            array.set((n as u64) << 7, &text);
            let deadline_ms = (n % 3 == 0).then_some(n as i64);
            leaving.load(&text, deadline_ms, shapes.set.hasher);
            leaving_ranked.load(&text, prng.below(50) as f64, deadline_ms, shapes.zset.hasher);
            ranked.insert(&text, prng.below(50) as f64 / 3.0, &shapes.zset);
            fields.set(&text, &text, false, 0, &shapes.hash);
            timed.set(&text, &text, false, 0, &shapes.hash);
            if n % 3 == 0 {
                // Each another one: fields of one deadline come in any order.
                timed.set_deadline(&text, 1000 + (n as i64 * 7919) % 1009, shapes.hash.hasher);
            }
        }
        array.seek(None);
        for name in [b"first".as_slice(), b"second"] {
            let mut group = Group::new(StreamId::new(count as u64, 0), Some(1));
            let readers = [b"a".as_slice(), b"b", b"idle"].map(|reader| group.add_consumer(reader, 5));
            (1..count as u64).for_each(|ms| group.deliver(StreamId::new(ms, 7), readers[(ms % 2) as usize], 9));
            assert!(stream.add_group(name, group));
        }
        let objects = [
            Object::List(list),
            Object::Set(members),
            Object::ZSet(ranked),
            Object::Hash(fields),
            Object::Hash(timed),
            Object::Stream(stream),
            Object::Array(array),
            Object::Set(leaving),
            Object::ZSet(leaving_ranked),
        ];
        let written = objects.into_iter().map(|object| {
            let mut writer = Writer::new(Version::Redis12, true);
            writer.value(&Entry::new(b"key", NewValue::Object(object), None));
            writer.take()
        });
        let mut single = vec![code::LIST, count.min(63) as u8];
        (0..count.min(63)).for_each(|n| single.extend([2, b'x', n as u8]));
        let mut old = vec![code::STREAM_LISTPACKS, 0];
        // Entries, the last id, one group with one pending entry, which its consumer has.
        old.extend(
            [&[0, 9, 9, 1, 1, b'g', 9, 9, 1][..], &[1; 16], &[3; 8], &[1, 1, 1, b'c'], &[3; 8], &[1], &[1; 16]]
                .concat(),
        );
        let mut text = vec![code::STRING, length::BITS_32];
        text.extend(
            [&(STRING_BYTES_MIN as u32 + count as u32).to_be_bytes()[..], &vec![b't'; STRING_BYTES_MIN + count]]
                .concat(),
        );
        let mut roaring = Roaring::zeros(5000 * count);
        (0..count as u64).for_each(|n| roaring.set(n * 39_001, true));
        let mut writer = Writer::new(Version::Redis12, true).with_bitmaps();
        writer.value(&Entry::new(b"key", NewValue::Roaring(roaring.into()), None));
        let bitmap = writer.take();
        written.chain([single, old, text, bitmap]).collect()
    }

    fn at_once(bytes: &[u8], shapes: &Shapes, budget: usize) -> Result<Vec<u8>, Broken> {
        let mut budget = Budget::new(budget);
        Reader::new(bytes, Dialect::Redis, &mut budget).value(shapes).map(shown)
    }

    fn in_pieces(bytes: &[u8], shapes: &Shapes, budget: usize, step: usize) -> Result<Option<Vec<u8>>, Broken> {
        let mut budget = Budget::new(budget);
        let mut reader = Reader::new(bytes, Dialect::Redis, &mut budget);
        let [form] = reader.take()?;
        let Some(mut building) = Building::begin(form, &mut reader, shapes)? else { return Ok(None) };
        let (mut at, mut end) = (bytes.len() - reader.rest().len(), 0);
        loop {
            // No more than that many bytes more are there at a time.
            end = bytes.len().min(end.max(at) + step);
            let mut reader = Reader::new(&bytes[at..end], Dialect::Redis, &mut budget).with_beyond(bytes.len() as u64);
            match building.go_on(&mut reader, shapes, |_, _| false) {
                Ok(Some(value)) => return Ok(Some(shown(value))),
                Ok(None) => {}
                Err(Broken::RanOut(_)) if end < bytes.len() => {}
                Err(broken) => return Err(broken),
            }
            at = end - reader.rest().len();
        }
    }

    /// A value as it is written again.
    fn shown(mut value: Value<'_>) -> Vec<u8> {
        let entry = Entry::new(b"key", value.as_new(), None);
        let mut writer = Writer::new(Version::Redis12, false).with_bitmaps();
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
                if let Some(found) =
                    in_pieces(&bytes, &shapes, usize::MAX, 1 + prng.below(300) as usize).expect("nothing is broken")
                {
                    divided += 1;
                    assert!(whole == Ok(found), "{count} elements of {}", bytes[0]);
                }
                for _ in 0..if bytes.len() > STRING_BYTES_MIN { 10 } else { 200 } {
                    let mut broken = bytes.clone();
                    let at = prng.below(broken.len() as u64) as usize;
                    if prng.chance(1, 4) {
                        broken.truncate(at);
                    } else {
                        broken[at] = prng.next_u64() as u8;
                    }
                    let budget = if prng.chance(1, 4) { prng.below(20_000) as usize } else { usize::MAX };
                    let whole = at_once(&broken, &shapes, budget);
                    match in_pieces(&broken, &shapes, budget, 1 + prng.below(3000) as usize) {
                        Ok(None) => {}
                        Ok(Some(found)) => assert!(whole == Ok(found), "{count} elements of {}", broken[0]),
                        Err(_) => assert!(whole.is_err(), "{count} elements of {}", broken[0]),
                    }
                }
            }
        }
        assert!(divided > 42, "{divided}");
    }
}
