//! Reading values of any form that Redis 8.6 and Valkey 9.1 read, from bytes that nobody vouches for.
//!
//! # What is refused
//! Lengths beyond what is there, counts that could not be held by it, forms that are not known, packs that cannot be walked,
//! elements that are there twice or out of order, scores that are no number, empty collections, chunks of compressed bitmaps that are
//! no such, groups of streams whose
//! pending entries do not fit together.
//!
//! Bytes that merely end too early are told apart from what is broken: whoever can get more may try again, or go on in the midst of
//! a large value ([`Building`]).
//!
//! # Memory
//! A count is believed only as far as the bytes that follow could hold so many elements. A compressed string gets
//! its memory once the compressed bytes have been seen to stand for so much, which is at most 88 times theirs. What is built
//! is paid for from a [`Budget`] first.

mod pieces;
mod stream;

pub use pieces::Building;

use stream::Streaming;

use std::borrow::Cow;

use super::{Broken, Budget, Dialect, Shapes, Value, code, container, length, ziplist};
use crate::base::lzf;
use crate::base::num;
use crate::store::pack::{Intset, Item, Validated};
use crate::store::types::array::{Array, INDEX_MAX};
use crate::store::types::hash::DEADLINE_END;
use crate::store::types::list::{self, End};
use crate::store::types::roaring::{self, Roaring};
use crate::store::types::stream::StreamId;
use crate::store::types::zset::order;
use crate::store::types::{Collection, Hash, List, Object, Set, Stream, ZSet};

/// A compressed string is not longer than this, whatever it claims: 1 GiB.
const EXPANDED_BYTES_MAX: usize = 1 << 30;

/// What an element of a table takes beside its bytes, about: its block's header and rounding, its place in the table.
const ELEMENT_BYTES: usize = 32;
/// What a member of a sorted set takes more: its score, and its place in the tree.
const SCORED_BYTES: usize = 48;
/// What a node of a list or stream takes beside its bytes.
const NODE_BYTES: usize = 64;
/// What a group or consumer takes.
const GROUP_BYTES: usize = 256;
/// What a pending entry takes, in the group and at its consumer.
const PENDING_BYTES: usize = 96;

const TOO_LONG: Broken = Broken::Invalid("a length beyond all bounds");
const TWICE: Broken = Broken::Invalid("an element that is there twice");
const NO_SCORE: Broken = Broken::Invalid("a score that is no number");
const NO_BITMAP: Broken = Broken::Invalid("a compressed bitmap that contradicts itself");
const NO_DEADLINE: Broken = Broken::Invalid("a deadline of a field that no command can set");

/// A field with its value and its deadline.
type TimedField<'p> = (Cow<'p, [u8]>, Cow<'p, [u8]>, Option<i64>);

/// Bytes of a chunk of a compressed bitmap, at least: a compressed string.
const CHUNK_BYTES_MIN: usize = 4;

/// Bytes of an id, and of a time.
const ID_BYTES: usize = 16;
const TIME_BYTES: usize = 8;
/// Bytes of a member of a sorted set with its score and deadline at least.
const TIMED_MEMBER_BYTES: usize = 1 + 8 + TIME_BYTES;

/// What reads values from the front of some bytes.
#[derive(Debug)]
pub struct Reader<'p, 'b> {
    rest: &'p [u8],
    /// How many bytes may come behind those, for who can go on then: as far as they could hold so many elements a count is believed.
    beyond: u64,
    dialect: Dialect,
    budget: &'b mut Budget,
}

/// Where a reader is.
#[derive(Clone, Copy)]
struct Place<'p> {
    rest: &'p [u8],
    budget_left: usize,
}

impl<'p, 'b> Reader<'p, 'b> {
    /// Reads these bytes, taking no more memory than the budget allows.
    pub fn new(bytes: &'p [u8], dialect: Dialect, budget: &'b mut Budget) -> Reader<'p, 'b> {
        Reader { rest: bytes, beyond: 0, dialect, budget }
    }

    /// The same of bytes which so many others may follow, for a [`Building`].
    pub fn with_beyond(self, beyond: u64) -> Reader<'p, 'b> {
        Reader { beyond, ..self }
    }

    /// What has not been read. After an error it begins about where the fault is.
    pub fn rest(&self) -> &'p [u8] {
        self.rest
    }

    /// Whose forms the values have.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// A value: the byte that tells its form, and the value. O(N log N) in its elements at most.
    ///
    /// # Errors
    /// If the bytes are no such value.
    pub fn value(&mut self, shapes: &Shapes) -> Result<Value<'p>, Broken> {
        let [form] = self.take()?;
        self.value_of(form, shapes)
    }

    /// The value whose form this byte has told.
    ///
    /// # Errors
    /// If the bytes are no such value.
    pub fn value_of(&mut self, form: u8, shapes: &Shapes) -> Result<Value<'p>, Broken> {
        // All of it has to be there.
        self.beyond = 0;
        // From here on the same byte stands for other forms.
        if self.dialect == Dialect::Valkey && form >= code::VALKEY_HASH_2 {
            return match form {
                code::VALKEY_HASH_2 => self.valkey_hash(shapes).map(|hash| Value::Object(Object::Hash(hash))),
                _ => Err(Broken::Form(form)),
            };
        }
        let object = match form {
            code::STRING => return self.value_string().map(Value::String),
            code::LIST | code::LIST_ZIPLIST | code::LIST_QUICKLIST | code::LIST_QUICKLIST_2 => {
                Object::List(self.list(form, shapes)?)
            }
            code::SET | code::SET_INTSET | code::SET_LISTPACK | code::OWN_SET => Object::Set(self.set(form, shapes)?),
            code::ZSET | code::ZSET_2 => Object::ZSet(self.zset(form, shapes)?),
            code::OWN_ZSET => Object::ZSet(self.timed_zset(shapes)?),
            code::ZSET_ZIPLIST | code::ZSET_LISTPACK => {
                let limits = &shapes.zset;
                let (old, elements) = (form == code::ZSET_ZIPLIST, limits.entries.saturating_mul(2));
                Object::ZSet(self.only_pack(old, elements, |pack| ZSet::from_pack(pack, limits))?)
            }
            code::HASH => Object::Hash(self.hash(shapes)?),
            code::HASH_METADATA | code::HASH_METADATA_PRE_GA => Object::Hash(self.timed_hash(form, shapes)?),
            code::HASH_ZIPMAP
            | code::HASH_ZIPLIST
            | code::HASH_LISTPACK
            | code::HASH_LISTPACK_EX
            | code::HASH_LISTPACK_EX_PRE_GA => Object::Hash(self.packed_hash(form, shapes)?),
            _ if Streaming::is_form(form) => Object::Stream(self.stream(form)?),
            code::OWN_ARRAY => Object::Array(self.array()?),
            code::OWN_ROARING => return self.bitmap(),
            code::MODULE | code::MODULE_PRE_GA => return Err(Broken::Module(self.length()?)),
            _ => return Err(Broken::Form(form)),
        };
        Ok(Value::Object(object))
    }

    /// Where it is, for [`Reader::go_back`].
    fn place(&self) -> Place<'p> {
        Place { rest: self.rest, budget_left: self.budget.left }
    }

    /// Goes back to where it was: what has been read since is read once more.
    fn go_back(&mut self, place: Place<'p>) {
        (self.rest, self.budget.left) = (place.rest, place.budget_left);
    }

    /// Bytes that were read since.
    fn bytes_since(&self, place: Place<'_>) -> usize {
        place.rest.len() - self.rest.len()
    }

    /// The next bytes.
    ///
    /// # Errors
    /// If there are not so many.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let (bytes, rest) = self.rest.split_first_chunk::<N>().ok_or(Broken::RanOut(N - self.rest.len().min(N)))?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn slice(&mut self, length: u64) -> Result<&'p [u8], Broken> {
        let length = usize::try_from(length).map_err(|_| TOO_LONG)?;
        let Some((bytes, rest)) = self.rest.split_at_checked(length) else {
            return Err(Broken::RanOut(length - self.rest.len()));
        };
        self.rest = rest;
        Ok(bytes)
    }

    /// A length or another number.
    ///
    /// # Errors
    /// If the bytes do not begin with one.
    pub fn length(&mut self) -> Result<u64, Broken> {
        let [first] = self.take()?;
        self.length_after(first)
    }

    fn length_after(&mut self, first: u8) -> Result<u64, Broken> {
        match first {
            0..0x40 => Ok(u64::from(first)),
            0x40..0x80 => {
                let [low] = self.take()?;
                Ok(u64::from(first & !length::BITS_14) << 8 | u64::from(low))
            }
            length::BITS_32 => Ok(u64::from(u32::from_be_bytes(self.take()?))),
            length::BITS_64 => Ok(u64::from_be_bytes(self.take()?)),
            _ => Err(Broken::Invalid("a length that is none")),
        }
    }

    /// A number of elements, each of which takes `bytes` bytes at least.
    fn count(&mut self, bytes: usize) -> Result<usize, Broken> {
        let count = usize::try_from(self.length()?).map_err(|_| TOO_LONG)?;
        self.believe(count.checked_mul(bytes).ok_or(TOO_LONG)?)?;
        Ok(count)
    }

    /// Believes that so many bytes follow, as far as there can be so many.
    fn believe(&self, bytes: usize) -> Result<(), Broken> {
        let missing = bytes.saturating_sub(self.rest.len());
        if missing as u64 > self.beyond { Err(Broken::RanOut(missing)) } else { Ok(()) }
    }

    /// The same of a collection that must not be empty.
    fn some(&mut self, bytes: usize) -> Result<usize, Broken> {
        self.count(bytes).and_then(|count| if count == 0 { Err(Broken::Empty) } else { Ok(count) })
    }

    fn time_ms(&mut self) -> Result<i64, Broken> {
        self.take().map(i64::from_le_bytes)
    }

    /// A string. O(bytes).
    ///
    /// # Errors
    /// If the bytes do not begin with one.
    pub fn string(&mut self) -> Result<Cow<'p, [u8]>, Broken> {
        // What is decompressed is there until its copy is.
        self.text(2)
    }

    /// A string of which there are to be so many copies at once, if it is a compressed one.
    fn text(&mut self, copies: usize) -> Result<Cow<'p, [u8]>, Broken> {
        let [first] = self.take()?;
        let n = match first {
            length::INT_8 => i64::from(i8::from_le_bytes(self.take()?)),
            length::INT_16 => i64::from(i16::from_le_bytes(self.take()?)),
            length::INT_32 => i64::from(i32::from_le_bytes(self.take()?)),
            length::LZF => return self.compressed(copies).map(Cow::Owned),
            _ => {
                let length = self.length_after(first)?;
                return self.slice(length).map(Cow::Borrowed);
            }
        };
        Ok(Cow::Owned(itoa::Buffer::new().format(n).as_bytes().to_vec()))
    }

    fn compressed(&mut self, copies: usize) -> Result<Vec<u8>, Broken> {
        let (packed, length) = (self.length()?, self.length()?);
        let packed = self.slice(packed)?;
        let length = usize::try_from(length).ok().filter(|&length| length <= EXPANDED_BYTES_MAX).ok_or(TOO_LONG)?;
        self.budget.allows(copies * length)?;
        lzf::decompress(packed, length).ok_or(Broken::Invalid("a compressed string that is not of the stated length"))
    }

    /// The length of a string that comes next, if it is so long at least and its bytes follow as they are; else nothing has been
    /// read.
    fn long_string(&mut self, bytes_min: usize) -> Result<Option<usize>, Broken> {
        let place = self.place();
        let length = match self.take()? {
            [length::INT_8 | length::INT_16 | length::INT_32 | length::LZF] => 0,
            [first] => usize::try_from(self.length_after(first)?).map_err(|_| TOO_LONG)?,
        };
        if length < bytes_min {
            self.go_back(place);
            return Ok(None);
        }
        self.believe(length)?;
        Ok(Some(length))
    }

    /// The next bytes of a string: so many, or as many as there are.
    fn some_bytes(&mut self, bytes: usize) -> Result<&'p [u8], Broken> {
        if self.rest.is_empty() {
            return Err(Broken::RanOut(bytes));
        }
        let bytes = bytes.min(self.rest.len());
        self.budget.spend(bytes)?;
        self.slice(bytes as u64)
    }

    /// A string that is kept as it is. O(bytes).
    fn kept_string(&mut self) -> Result<Cow<'p, [u8]>, Broken> {
        let text = self.string()?;
        self.budget.spend(text.len())?;
        Ok(text)
    }

    /// A string that is the value, without a copy. O(bytes).
    fn value_string(&mut self) -> Result<Cow<'p, [u8]>, Broken> {
        let text = self.text(1)?;
        self.budget.spend(text.len())?;
        Ok(text)
    }

    /// An element that gets blocks of its own.
    fn element(&mut self) -> Result<Cow<'p, [u8]>, Broken> {
        self.budget.spend(ELEMENT_BYTES)?;
        self.kept_string()
    }

    /// What `make` makes of a pack that is the whole value.
    fn only_pack<T>(
        &mut self,
        old: bool,
        elements: usize,
        make: impl FnOnce(Validated<'_>) -> Option<T>,
    ) -> Result<T, Broken> {
        let mut empty = false;
        let made = self.pack(old, elements, |pack| {
            empty = pack.is_empty();
            make(pack)
        });
        if empty { Err(Broken::Empty) } else { made }
    }

    /// What `make` makes of a listpack, or of what a ziplist becomes. If there are more than `elements` in it, they are to
    /// get blocks of their own.
    fn pack<T>(
        &mut self,
        old: bool,
        elements: usize,
        make: impl FnOnce(Validated<'_>) -> Option<T>,
    ) -> Result<T, Broken> {
        let bytes = self.string()?;
        self.budget.spend(bytes.len())?;
        let converted = if old { Some(ziplist::from_ziplist(&bytes)?) } else { None };
        let pack = match &converted {
            Some(pack) => Validated::of(pack),
            None => Validated::new(&bytes).ok_or(Broken::Invalid("a listpack that contradicts itself"))?,
        };
        if pack.len() > elements {
            self.budget.spend(pack.len().saturating_mul(ELEMENT_BYTES))?;
        }
        make(pack).ok_or(Broken::Invalid("elements that are there twice, out of order, or not what the type holds"))
    }

    fn list(&mut self, form: u8, shapes: &Shapes) -> Result<List, Broken> {
        if form == code::LIST {
            let mut list = List::new();
            for _ in 0..self.some(1)? {
                let text = self.kept_string()?;
                list.make_room(shapes.list, text.len(), 1);
                list.push(End::Tail, &text);
            }
            return Ok(list);
        }
        let mut list = list::Builder::new(shapes.list);
        let count = if form == code::LIST_ZIPLIST { 1 } else { self.some(1)? };
        for _ in 0..count {
            self.list_part(form, &mut list)?;
        }
        let list = list.finish();
        if list.is_empty() { Err(Broken::Empty) } else { Ok(list) }
    }

    fn list_part(&mut self, form: u8, list: &mut list::Builder) -> Result<(), Broken> {
        self.budget.spend(NODE_BYTES)?;
        let old = form != code::LIST_QUICKLIST_2;
        match if old { container::PACKED } else { self.length()? } {
            container::PACKED => self.pack(old, usize::MAX, |pack| {
                list.add_pack(pack);
                Some(())
            }),
            // COMPAT: an empty element of its own is refused, as by Redis.
            container::PLAIN => match self.kept_string()?.into_owned() {
                text if text.is_empty() => Err(Broken::Invalid("an empty element in a node of its own")),
                text => {
                    list.add_big(text);
                    Ok(())
                }
            },
            _ => Err(Broken::Invalid("a node of a list that is neither plain nor packed")),
        }
    }

    fn set(&mut self, form: u8, shapes: &Shapes) -> Result<Set, Broken> {
        let policy = &shapes.set;
        match form {
            code::SET | code::OWN_SET => self.set_members(form, shapes),
            code::SET_INTSET => {
                let bytes = self.string()?;
                self.budget.spend(bytes.len())?;
                let ints = Intset::from_validated(&bytes);
                let ints = ints.ok_or(Broken::Invalid("a set of integers that contradicts itself"))?;
                if ints.is_empty() {
                    return Err(Broken::Empty);
                }
                if ints.len() > policy.intset_entries {
                    self.budget.spend(ints.len().saturating_mul(ELEMENT_BYTES))?;
                }
                let mut set = Set::from_intset(ints);
                set.prepare(set.len(), policy);
                Ok(set)
            }
            _ => self.only_pack(false, policy.listpack_entries, |pack| Set::from_pack(pack, policy)),
        }
    }

    fn set_members(&mut self, form: u8, shapes: &Shapes) -> Result<Set, Broken> {
        let count = self.some(if form == code::SET { 1 } else { 1 + TIME_BYTES })?;
        let mut set = Set::ints();
        set.prepare(count, &shapes.set);
        for _ in 0..count {
            self.set_member(&mut set, form, shapes)?;
        }
        Ok(set)
    }

    fn set_member(&mut self, set: &mut Set, form: u8, shapes: &Shapes) -> Result<(), Broken> {
        let member = self.element()?;
        let is_new = match form {
            code::OWN_SET => set.load(&member, self.deadline()?, shapes.set.hasher),
            _ => set.insert(&member, &shapes.set),
        };
        is_new.then_some(()).ok_or(TWICE)
    }

    /// The deadline of a member, in a form of this server's own.
    fn deadline(&mut self) -> Result<Option<i64>, Broken> {
        match self.time_ms()? {
            -1 => Ok(None),
            deadline_ms if (0..DEADLINE_END).contains(&deadline_ms) => Ok(Some(deadline_ms)),
            _ => Err(NO_DEADLINE),
        }
    }

    fn zset(&mut self, form: u8, shapes: &Shapes) -> Result<ZSet, Broken> {
        let count = self.some(2)?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(self.scored_member(form)?);
        }
        // The bytes decide in which order members came that are there twice.
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if entries.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(TWICE);
        }
        entries.sort_by(|(_, a), (_, b)| order(*a, *b));
        Ok(ZSet::from_sorted(entries.iter().map(|(member, score)| (Item::Bytes(member), *score)), &shapes.zset))
    }

    fn scored_member(&mut self, form: u8) -> Result<(Cow<'p, [u8]>, f64), Broken> {
        let member = self.element()?;
        self.budget.spend(SCORED_BYTES)?;
        let score = if form == code::ZSET_2 { f64::from_le_bytes(self.take()?) } else { self.score_text()? };
        if score.is_nan() { Err(NO_SCORE) } else { Ok((member, score)) }
    }

    fn timed_zset(&mut self, shapes: &Shapes) -> Result<ZSet, Broken> {
        let mut zset = ZSet::default();
        for _ in 0..self.some(TIMED_MEMBER_BYTES)? {
            self.timed_member(&mut zset, shapes)?;
        }
        Ok(zset)
    }

    /// A member of a sorted set with its score and its deadline, in a form of this server's own.
    fn timed_member(&mut self, zset: &mut ZSet, shapes: &Shapes) -> Result<(), Broken> {
        let (member, score) = self.scored_member(code::ZSET_2)?;
        let deadline_ms = self.deadline()?;
        zset.load(&member, score, deadline_ms, shapes.zset.hasher).then_some(()).ok_or(TWICE)
    }

    /// A score as text, after its length in a byte.
    fn score_text(&mut self) -> Result<f64, Broken> {
        match self.take()? {
            [255] => Ok(f64::NEG_INFINITY),
            [254] => Ok(f64::INFINITY),
            [253] => Err(NO_SCORE),
            [length] => num::parse_f64(self.slice(u64::from(length))?).ok_or(NO_SCORE),
        }
    }

    fn hash(&mut self, shapes: &Shapes) -> Result<Hash, Broken> {
        let count = self.some(2)?;
        let mut hash = Hash::new();
        hash.expect_fields(count, &shapes.hash);
        for _ in 0..count {
            self.hash_field(&mut hash, shapes)?;
        }
        Ok(hash)
    }

    fn hash_field(&mut self, hash: &mut Hash, shapes: &Shapes) -> Result<(), Broken> {
        let (name, value) = (self.element()?, self.kept_string()?);
        if hash.set(&name, &value, false, 0, &shapes.hash) { Err(TWICE) } else { Ok(()) }
    }

    /// A hash whose fields have deadlines, each counted from the first of them: one more, 0 for none.
    fn timed_hash(&mut self, form: u8, shapes: &Shapes) -> Result<Hash, Broken> {
        let first_ms = if form == code::HASH_METADATA { Some(self.time_ms()?) } else { None };
        let count = self.some(3)?;
        self.timed_fields(count, shapes, |reader| reader.timed_field(first_ms))
    }

    fn timed_field(&mut self, first_ms: Option<i64>) -> Result<TimedField<'p>, Broken> {
        let ttl = i64::try_from(self.length()?).map_err(|_| NO_DEADLINE)?;
        let (name, value) = (self.element()?, self.kept_string()?);
        if ttl == 0 {
            return Ok((name, value, None));
        }
        let deadline_ms = first_ms.map_or(Some(ttl), |first_ms| (ttl - 1).checked_add(first_ms));
        // COMPAT: Redis reads later deadlines than its commands can set; there are none here.
        let deadline_ms = deadline_ms.filter(|ms| (1..DEADLINE_END).contains(ms)).ok_or(NO_DEADLINE)?;
        Ok((name, value, Some(deadline_ms)))
    }

    /// A hash of Valkey's, every field of which is followed by its deadline, -1 for none.
    fn valkey_hash(&mut self, shapes: &Shapes) -> Result<Hash, Broken> {
        let count = self.some(2 + TIME_BYTES)?;
        self.timed_fields(count, shapes, Self::valkey_field)
    }

    fn valkey_field(&mut self) -> Result<TimedField<'p>, Broken> {
        const NONE: i64 = -1;
        let (name, value, deadline_ms) = (self.element()?, self.kept_string()?, self.time_ms()?);
        // COMPAT: Valkey's fields may live beyond what Redis knows, until after the year 4199; here they end then.
        let deadline_ms = Some(deadline_ms).filter(|&ms| ms != NONE).map(|ms| ms.min(DEADLINE_END - 1));
        if deadline_ms.is_some_and(|ms| ms < 1) { Err(NO_DEADLINE) } else { Ok((name, value, deadline_ms)) }
    }

    /// A hash of so many fields that `next` reads.
    fn timed_fields(
        &mut self,
        count: usize,
        shapes: &Shapes,
        mut next: impl FnMut(&mut Self) -> Result<TimedField<'p>, Broken>,
    ) -> Result<Hash, Broken> {
        let mut hash = Hash::new();
        hash.make_timed(shapes.hash.hasher);
        hash.expect_fields(count, &shapes.hash);
        let mut deadlines: Vec<(Cow<'p, [u8]>, i64)> = Vec::new();
        for _ in 0..count {
            let (name, value, deadline_ms) = next(self)?;
            if hash.set(&name, &value, false, i64::MIN, &shapes.hash) {
                return Err(TWICE);
            }
            deadlines.extend(deadline_ms.map(|deadline_ms| (name, deadline_ms)));
        }
        // Once a field is due, setting others might take it for one that is not there.
        deadlines.iter().for_each(|(name, deadline_ms)| hash.set_deadline(name, *deadline_ms, shapes.hash.hasher));
        Ok(hash)
    }

    fn packed_hash(&mut self, form: u8, shapes: &Shapes) -> Result<Hash, Broken> {
        if form == code::HASH_LISTPACK_EX {
            // The first deadline, which the pack tells as well.
            self.time_ms()?;
        }
        let limits = &shapes.hash;
        let timed = matches!(form, code::HASH_LISTPACK_EX | code::HASH_LISTPACK_EX_PRE_GA);
        if form != code::HASH_ZIPMAP {
            let elements = limits.entries.saturating_mul(if timed { 3 } else { 2 });
            return self.only_pack(form == code::HASH_ZIPLIST, elements, |pack| Hash::from_pack(pack, timed, limits));
        }
        let pack = ziplist::from_zipmap(&self.kept_string()?)?;
        if pack.is_empty() {
            return Err(Broken::Empty);
        }
        let mut hash = Hash::from_pack(Validated::of(&pack), false, limits).ok_or(TWICE)?;
        if pack.iter().any(|item| item.len() > limits.value) {
            hash.make_table(limits.hasher);
        }
        Ok(hash)
    }

    fn id(&mut self) -> Result<StreamId, Broken> {
        Ok(StreamId::new(self.length()?, self.length()?))
    }

    fn raw_id(&mut self) -> Result<StreamId, Broken> {
        self.take::<ID_BYTES>().map(StreamId::from_bytes)
    }

    /// What comes before the elements of an array: how many they are, and an array that knows where the next insertion goes.
    fn array_head(&mut self) -> Result<(usize, Array), Broken> {
        let (count, mut array) = (self.some(2)?, Array::default());
        array.seek(Some(self.length()?));
        Ok((count, array))
    }

    /// An element of an array, whose index is above those before it.
    fn array_element(&mut self, array: &mut Array) -> Result<(), Broken> {
        let index = self.length()?;
        if index > INDEX_MAX || index < array.extent() {
            return Err(Broken::Invalid("indexes of an array that do not ascend"));
        }
        let text = self.element()?;
        array.set(index, &text);
        Ok(())
    }

    fn array(&mut self) -> Result<Array, Broken> {
        let (count, mut array) = self.array_head()?;
        for _ in 0..count {
            self.array_element(&mut array)?;
        }
        Ok(array)
    }

    /// What comes before the chunks of a compressed bitmap: how many they are, and one of the same length without any.
    fn bitmap_head(&mut self) -> Result<(usize, Roaring), Broken> {
        let bytes = usize::try_from(self.length()?).ok().filter(|bytes| (1..=roaring::BYTES_MAX).contains(bytes));
        Ok((self.count(CHUNK_BYTES_MIN)?, Roaring::zeros(bytes.ok_or(NO_BITMAP)?)))
    }

    /// The next chunk of a compressed bitmap, which lies behind those before it.
    fn bitmap_chunk(&mut self, roaring: &mut Roaring) -> Result<(), Broken> {
        let bytes = self.kept_string()?;
        let before = roaring.heap_bytes();
        roaring.add_serialized(&bytes).ok_or(NO_BITMAP)?;
        self.budget.spend(roaring.heap_bytes() - before)
    }

    fn bitmap(&mut self) -> Result<Value<'p>, Broken> {
        let (count, mut roaring) = self.bitmap_head()?;
        for _ in 0..count {
            self.bitmap_chunk(&mut roaring)?;
        }
        Ok(finish_bitmap(roaring))
    }

    fn stream(&mut self, form: u8) -> Result<Stream, Broken> {
        let mut stream = Streaming::begin(self)?;
        while !stream.read_piece(form, self)? {}
        Ok(stream.finish())
    }
}

/// A compressed bitmap that has been read as a whole; one that would take less as bytes is such a string.
fn finish_bitmap(roaring: Roaring) -> Value<'static> {
    match roaring.len() < roaring::BYTES_MIN || roaring.is_wasteful() {
        true => Value::String(roaring.expanded().into()),
        false => Value::Roaring(roaring),
    }
}
