//! The inside of a stream's node: entries of neighbouring ids in one listpack, in Redis's format.
//!
//! # Layout
//! ```text
//! master:  | count | deleted | num-fields | field ... | 0 |
//! entry:   | flags | ms-diff | seq-diff | num-fields | field | value | ... | lp-count |
//! entry:   | flags | ms-diff | seq-diff | value | ... | lp-count |         (SAME_FIELDS: the master's)
//! ```
//! - `count` entries are live and `deleted` ones only marked so (DELETED).
//! - The differences are against the node's key, the id of its first entry; they wrap around.
//! - `lp-count` is how many elements the entry has before it, which leads backwards; the master's 0 ends the way.
//!
//! # Invariants
//! - Entries stand in the order of their ids, deleted ones too, and every id is at least the key.
//! - Numbers are numbers: packs that came from outside have passed [`check`].
//! - There is room for the counts to grow, so that entries can always be marked.
//!
//! Called by the stream. Knows nothing of other nodes, groups and limits.

use super::StreamId;
use crate::store::pack::listpack::{self, Items};
use crate::store::pack::{ENCODING_BYTES_MAX, Item, Listpack, Pos, Validated};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// A node from outside that takes more bytes than this is taken apart: 256 times as many as a node has by default.
const LOADED_BYTES_MAX: usize = 1 << 20;

/// By how much the two counts of a node may grow together. Whoever adds an entry leaves so much room: [`bytes_max_of`].
const NUMBERS_BYTES: usize = 2 * 9;

/// Elements of an entry that are there whatever its fields: flags and the two differences.
const HEAD: usize = 3;

/// The entry's fields, each with its value.
#[derive(Clone, Debug)]
pub struct Entry<'s> {
    /// The id.
    pub id: StreamId,
    pairs: usize,
    /// The master's fields, if the entry's are the same.
    names: Option<Items<'s>>,
    data: Items<'s>,
}

impl<'s> Entry<'s> {
    /// Number of fields, equal ones counted each.
    pub fn len(&self) -> usize {
        self.pairs
    }

    /// True if there is no field, which only a dump can bring about.
    pub fn is_empty(&self) -> bool {
        self.pairs == 0
    }

    /// The fields and their values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (Item<'s>, Item<'s>)> {
        let (mut names, mut data) = (self.names.clone(), self.data.clone());
        (0..self.pairs).map_while(move |_| {
            let name = match &mut names {
                Some(names) => names.next(),
                None => data.next(),
            };
            Some((name?, data.next()?))
        })
    }
}

fn int(items: &mut Items<'_>) -> i64 {
    items.next().and_then(Item::as_int).unwrap_or(0)
}

/// A node as its master entry describes it.
#[derive(Clone, Debug)]
pub(super) struct Node<'s> {
    key: StreamId,
    pack: &'s Listpack,
    /// Live entries.
    pub count: usize,
    fields: usize,
    names: Items<'s>,
    entries: Items<'s>,
}

/// An entry, deleted or not, and where it begins.
pub(super) struct Found<'s> {
    pub entry: Entry<'s>,
    pub deleted: bool,
    pub at: Pos,
}

impl<'s> Node<'s> {
    pub fn new(key: StreamId, pack: &'s Listpack) -> Node<'s> {
        let mut items = pack.iter();
        let [count, _deleted, fields] = [(); 3].map(|()| int(&mut items) as usize);
        let names = items.clone();
        items.pass(fields + 1);
        Node { key, pack, count, fields, names, entries: items }
    }

    /// The entry whose flags come next; leads `items` behind it.
    fn read(&self, items: &mut Items<'s>) -> Option<Found<'s>> {
        let at = items.pos()?;
        let [flags, ms, seq] = [(); HEAD].map(|()| int(items));
        let same = flags & SAME_FIELDS != 0;
        let pairs = if same { self.fields } else { int(items) as usize };
        let id = StreamId::new(self.key.ms.wrapping_add(ms as u64), self.key.seq.wrapping_add(seq as u64));
        let entry = Entry { id, pairs, names: same.then(|| self.names.clone()), data: items.clone() };
        items.pass(pairs * if same { 1 } else { 2 } + 1);
        Some(Found { entry, deleted: flags & DELETED != 0, at })
    }

    /// All entries, deleted ones too, in the order of their ids.
    pub fn forward(self) -> Forward<'s> {
        let items = self.entries.clone();
        Forward { node: self, items }
    }

    /// All entries, deleted ones too, backwards.
    pub fn backward(self) -> Backward<'s> {
        let last = self.pack.last();
        Backward { node: self, last }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Forward<'s> {
    node: Node<'s>,
    items: Items<'s>,
}

impl<'s> Iterator for Forward<'s> {
    type Item = Found<'s>;

    #[inline]
    fn next(&mut self) -> Option<Found<'s>> {
        self.node.read(&mut self.items)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Backward<'s> {
    node: Node<'s>,
    /// The lp-count of the entry that comes next, or the master's 0.
    last: Option<Pos>,
}

impl<'s> Iterator for Backward<'s> {
    type Item = Found<'s>;

    fn next(&mut self) -> Option<Found<'s>> {
        let pack = self.node.pack;
        let last = self.last?;
        let elements = pack.at(last).as_int().filter(|&count| count > 0)?;
        let at = (0..elements).try_fold(last, |pos, _| pack.prev(pos))?;
        self.last = pack.prev(at);
        self.node.read(&mut pack.iter_from(at))
    }
}

/// Bytes at most that an entry of these elements (fields and values) adds to a pack, and that a new node takes. Twice the
/// fields never stand in it: a node's first entry has the master's. Room for the counts to grow is part of it.
pub(super) fn bytes_max_of(elements: usize, text_bytes: usize) -> usize {
    // No element takes ten bytes more than its text, and neither entry nor master have more than twelve numbers.
    text_bytes.saturating_add(elements.saturating_add(32).saturating_mul(ENCODING_BYTES_MAX))
}

/// The node that a first entry makes; `flat` are its fields and values in turn.
pub(super) fn create<'a>(flat: impl Iterator<Item = &'a [u8]> + Clone) -> Listpack {
    let mut pack = Listpack::new();
    let fields = flat.clone().step_by(2);
    pack.push_back_int(1);
    pack.push_back_int(0);
    pack.push_back_int(fields.clone().count() as i64);
    let count = fields.map(|field| pack.push_back(field)).count();
    pack.push_back_int(0);
    push_entry(&mut pack, StreamId::MIN, count, true, flat);
    pack
}

/// Adds an entry whose id is above all others to the node of this key.
pub(super) fn append<'a>(
    pack: &mut Listpack,
    key: StreamId,
    id: StreamId,
    flat: impl Iterator<Item = &'a [u8]> + Clone,
) {
    let mut items = pack.iter();
    let count = int(&mut items);
    items.pass(1);
    let master_fields = int(&mut items) as usize;
    let mut fields = flat.clone().step_by(2);
    let mut pairs = 0;
    let mut same = true;
    for field in fields.by_ref() {
        pairs += 1;
        if pairs > master_fields || !items.next().is_some_and(|name| name.eq_bytes(field)) {
            same = false;
            break;
        }
    }
    pairs += fields.count();
    same &= pairs == master_fields;
    set_number(pack, 0, count + 1);
    let diff = StreamId::new(id.ms.wrapping_sub(key.ms), id.seq.wrapping_sub(key.seq));
    push_entry(pack, diff, pairs, same, flat);
}

fn push_entry<'a>(pack: &mut Listpack, diff: StreamId, pairs: usize, same: bool, flat: impl Iterator<Item = &'a [u8]>) {
    pack.push_back_int(if same { SAME_FIELDS } else { 0 });
    pack.push_back_int(diff.ms as i64);
    pack.push_back_int(diff.seq as i64);
    let elements = if same {
        flat.skip(1).step_by(2).for_each(|value| _ = pack.push_back(value));
        HEAD + pairs
    } else {
        pack.push_back_int(pairs as i64);
        flat.for_each(|element| _ = pack.push_back(element));
        HEAD + 1 + 2 * pairs
    };
    pack.push_back_int(elements as i64);
}

/// Sets the number at an index of the master entry.
fn set_number(pack: &mut Listpack, index: i64, number: i64) {
    let pos = pack.seek(index).expect("a node has a master entry");
    pack.replace_int(pos, number);
}

/// Marks the entry that begins at `at` as deleted, without counting it.
fn mark(pack: &mut Listpack, at: Pos) {
    let flags = pack.at(at).as_int().unwrap_or(0) | DELETED;
    pack.replace_int(at, flags);
}

/// Marks entries as deleted that are not yet: where they begin, in order.
pub(super) fn delete(pack: &mut Listpack, at: &[Pos]) {
    // Backwards, and the counts last, for what is replaced may change its size and move all behind it.
    at.iter().rev().for_each(|&at| mark(pack, at));
    let mut items = pack.iter();
    let (count, deleted) = (int(&mut items), int(&mut items));
    set_number(pack, 1, deleted + at.len() as i64);
    set_number(pack, 0, count - at.len() as i64);
}

/// The last id, deleted entries included, if a pack from outside is a node of this key: all numbers are numbers and agree with
/// each other, the ids ascend from the key on. Costs a walk.
pub(super) fn check(key: StreamId, pack: Validated<'_>) -> Option<StreamId> {
    let mut items = pack.iter();
    let number = |items: &mut Items<'_>| items.next()?.as_int();
    let count = usize::try_from(number(&mut items)?).ok()?;
    let deleted = usize::try_from(number(&mut items)?).ok()?;
    let fields = usize::try_from(number(&mut items)?).ok()?;
    let all = pack.len();
    if fields > all {
        return None;
    }
    items.pass(fields);
    (number(&mut items)? == 0).then_some(())?;
    let (mut live, mut dead, mut last) = (0, 0, None);
    while items.pos().is_some() {
        let flags = number(&mut items)?;
        let (ms, seq) = (number(&mut items)?, number(&mut items)?);
        if !(0..4).contains(&flags) {
            return None;
        }
        let same = flags & SAME_FIELDS != 0;
        let pairs = if same { fields } else { usize::try_from(number(&mut items)?).ok()? };
        if pairs > all {
            return None;
        }
        let elements = if same { pairs } else { 1 + 2 * pairs };
        items.pass(elements - usize::from(!same));
        (number(&mut items)? == (HEAD + elements) as i64).then_some(())?;
        let id = StreamId::new(key.ms.wrapping_add(ms as u64), key.seq.wrapping_add(seq as u64));
        if id < key || last.is_some_and(|last| id <= last) {
            return None;
        }
        last = Some(id);
        *(if flags & DELETED != 0 { &mut dead } else { &mut live }) += 1;
    }
    if (live, dead) == (count, deleted) { last } else { None }
}

/// True if a node from outside is far larger than a node should be, or too full for its counts to grow.
pub(super) fn is_oversized(pack: Validated<'_>) -> bool {
    pack.bytes() > LOADED_BYTES_MAX.min(listpack::bytes_max().saturating_sub(NUMBERS_BYTES))
}

/// The live entries of a node that has passed [`check`] in nodes of no more than [`LOADED_BYTES_MAX`] bytes, as far as the
/// entries allow and the master's fields, which every node repeats, take no more than the entries. Linear.
pub(super) fn split(key: StreamId, pack: Validated<'_>) -> Vec<(StreamId, Listpack)> {
    let mut items = pack.iter();
    items.pass(2);
    let fields = int(&mut items) as usize;
    let names = items.clone().take(fields);
    items.pass(fields + 1);
    let names_bytes: usize = names.clone().map(|name| name.len() + ENCODING_BYTES_MAX).sum();
    let bytes_max = LOADED_BYTES_MAX.max(2 * names_bytes);
    let mut nodes: Vec<(StreamId, Listpack)> = Vec::new();
    let mut live = 0;
    while items.pos().is_some() {
        let [flags, ms, seq] = [(); HEAD].map(|()| int(&mut items));
        let pairs = if flags & SAME_FIELDS != 0 { fields } else { int(&mut items) as usize };
        let elements = if flags & SAME_FIELDS != 0 { pairs } else { 2 * pairs };
        let texts = items.clone().take(elements);
        items.pass(elements + 1);
        if flags & DELETED != 0 {
            continue;
        }
        let id = StreamId::new(key.ms.wrapping_add(ms as u64), key.seq.wrapping_add(seq as u64));
        let bytes = bytes_max_of(elements, texts.clone().map(Item::len).sum());
        let has_room = nodes.last().is_some_and(|(_, node)| node.bytes() + bytes <= bytes_max && node.fits(bytes));
        if !has_room {
            finish(&mut nodes, live);
            live = 0;
            let mut node = Listpack::new();
            [1, 0, fields as i64].into_iter().for_each(|number| _ = node.push_back_int(number));
            names.clone().for_each(|name| _ = node.push_back_item(name));
            node.push_back_int(0);
            nodes.push((id, node));
        }
        let Some((first, node)) = nodes.last_mut() else { break };
        node.push_back_int(flags);
        node.push_back_int(id.ms.wrapping_sub(first.ms) as i64);
        node.push_back_int(id.seq.wrapping_sub(first.seq) as i64);
        if flags & SAME_FIELDS == 0 {
            node.push_back_int(pairs as i64);
        }
        texts.for_each(|text| _ = node.push_back_item(text));
        node.push_back_int((HEAD + elements + usize::from(flags & SAME_FIELDS == 0)) as i64);
        live += 1;
    }
    finish(&mut nodes, live);
    nodes
}

/// Notes how many entries the last node has.
fn finish(nodes: &mut [(StreamId, Listpack)], live: i64) {
    if let Some((_, node)) = nodes.last_mut() {
        set_number(node, 0, live);
    }
}
