//! Streams beside a naive twin: a list of entries, and maps of what is pending.

use std::collections::{BTreeMap, BTreeSet};

use super::group::Consumer;
use super::parts::{Builder, Facts};
use super::*;
use crate::base::prng::Prng;
use crate::store::pack::Item;
use crate::store::pack::Validated;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What a stream is, said plainly.
#[derive(Default)]
struct Naive {
    entries: Vec<(StreamId, Fields)>,
    pending: BTreeMap<StreamId, (usize, u64)>,
    last_given: StreamId,
}

fn text(item: Item<'_>) -> Vec<u8> {
    item.to_vec()
}

fn shown(entry: &Entry<'_>) -> (StreamId, Fields) {
    assert_eq!(entry.pairs().count(), entry.len());
    (entry.id, entry.pairs().map(|(field, value)| (text(field), text(value))).collect())
}

fn flat(fields: &Fields) -> Vec<&[u8]> {
    fields.iter().flat_map(|(field, value)| [field.as_slice(), value.as_slice()]).collect()
}

fn add(stream: &mut Stream, id: StreamId, fields: &Fields, limits: NodeLimits) {
    stream.append(id, flat(fields).into_iter(), limits);
}

/// The parts of a stream: nodes, number of entries, ids, groups.
#[derive(Clone, Default)]
struct Parts {
    nodes: Vec<(StreamId, Listpack)>,
    len: u64,
    last_id: StreamId,
    first_id: Option<StreamId>,
    max_deleted_id: StreamId,
    entries_added: Option<u64>,
    groups: Vec<GroupParts>,
}

#[derive(Clone, Default)]
struct GroupParts {
    name: Vec<u8>,
    last_id: StreamId,
    entries_read: Option<Option<u64>>,
    pending: Vec<(StreamId, i64, u64)>,
    consumers: Vec<ConsumerParts>,
}

#[derive(Clone, Default)]
struct ConsumerParts {
    name: Vec<u8>,
    seen_ms: i64,
    active_ms: Option<i64>,
    pending: Vec<StreamId>,
}

impl Stream {
    fn from_parts(parts: Parts) -> Option<Stream> {
        let Parts { nodes, len, last_id, first_id, max_deleted_id, entries_added, groups } = parts;
        let mut builder = Builder::default();
        for (key, pack) in &nodes {
            builder.add_node(*key, Validated::of(pack))?;
        }
        builder.add_facts(&Facts { len, last_id, first_id, max_deleted_id, entries_added })?;
        for GroupParts { name, last_id, entries_read, pending, consumers } in groups {
            builder.begin_group(name, last_id, entries_read);
            pending.into_iter().try_for_each(|(id, at_ms, times)| builder.add_pending(id, at_ms, times))?;
            for ConsumerParts { name, seen_ms, active_ms, pending } in consumers {
                builder.begin_consumer(&name, seen_ms, active_ms.unwrap_or(-1))?;
                pending.into_iter().try_for_each(|id| builder.add_own(id))?;
            }
            builder.end_group()?;
        }
        Some(builder.finish())
    }
}

/// The parts of a stream, as a dump would hold them.
fn parts_of(stream: &Stream) -> Parts {
    let consumer = |consumer: &Consumer| ConsumerParts {
        name: consumer.name().to_vec(),
        seen_ms: consumer.seen_ms,
        active_ms: consumer.active_ms,
        pending: consumer.pending().iter().copied().collect(),
    };
    let group = |(name, group): (&[u8], &Group)| GroupParts {
        name: name.to_vec(),
        last_id: group.last_id,
        entries_read: Some(group.entries_read),
        pending: group
            .pending()
            .iter()
            .map(|(&id, pending)| (id, pending.delivered_ms(), pending.deliveries))
            .collect(),
        consumers: group.consumers().map(consumer).collect(),
    };
    Parts {
        nodes: stream.nodes().map(|(key, pack)| (key, pack.clone())).collect(),
        len: stream.len() as u64,
        last_id: stream.last_id(),
        first_id: Some(stream.first_id()),
        max_deleted_id: stream.max_deleted_id(),
        entries_added: Some(stream.entries_added()),
        groups: stream.groups().map(group).collect(),
    }
}

impl Naive {
    fn check(&self, stream: &Stream, prng: &mut Prng) {
        let all: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| shown(&entry)).collect();
        assert_eq!(all, self.entries);
        assert_eq!(stream.len(), self.entries.len());
        assert_eq!(stream.first_id(), self.entries.first().map_or(StreamId::MIN, |entry| entry.0));
        assert_eq!(stream.first().map(|entry| entry.id), self.entries.first().map(|entry| entry.0));
        assert_eq!(stream.last().map(|entry| entry.id), self.entries.last().map(|entry| entry.0));
        let heap: usize = stream.nodes().map(|(_, pack)| pack.heap_bytes()).sum();
        assert_eq!(stream.0.node_bytes, heap);
        let mut end = || StreamId::new(prng.below(stream.last_id().ms + 2), prng.below(4));
        let (start, end) = (end(), end());
        let inside = |id: StreamId| (start..=end).contains(&id);
        let expected: Vec<StreamId> = self.entries.iter().map(|entry| entry.0).filter(|&id| inside(id)).collect();
        assert!(stream.range(start, end).map(|entry| entry.id).eq(expected.iter().copied()));
        assert!(stream.range_backward(start, end).map(|entry| entry.id).eq(expected.iter().rev().copied()));
        self.check_group(stream.group(b"g").expect("it is there"));
        for (key, pack) in stream.nodes() {
            assert!(node::check(key, Validated::of(pack)).is_some(), "{key}: {pack:?}");
        }
        // What a dump would hold makes the same stream again.
        let again = Stream::from_parts(parts_of(stream)).expect("its own parts fit");
        assert!(again.range(StreamId::MIN, StreamId::MAX).map(|entry| shown(&entry)).eq(self.entries.iter().cloned()));
        self.check_group(again.group(b"g").expect("it is there"));
    }

    fn check_group(&self, group: &Group) {
        assert_eq!(group.last_id, self.last_given);
        let names: Vec<_> = group.consumers().map(|consumer| consumer.name().to_vec()).collect();
        let pending = group.pending().iter().map(|(&id, pending)| {
            let name = group.owner_name(pending);
            (id, (names.iter().position(|known| known == name).expect("known"), pending.deliveries))
        });
        assert!(pending.eq(self.pending.iter().map(|(&id, &of)| (id, of))));
        for (index, consumer) in group.consumers().enumerate() {
            let own: BTreeSet<StreamId> =
                self.pending.iter().filter(|(_, of)| of.0 == index).map(|(&id, _)| id).collect();
            assert_eq!(*consumer.pending(), own);
        }
    }

    fn remove(&mut self, id: StreamId) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.0 != id);
        self.entries.len() < before
    }

    /// Trims exactly; how many went.
    fn trim(&mut self, trim: Trim, references: References) -> usize {
        let before = self.entries.len();
        let mut left = before;
        let (last_given, pending) = (self.last_given, self.pending.clone());
        let mut forgotten = Vec::new();
        self.entries.retain(|&(id, _)| {
            let too_many = match trim {
                Trim::Length(length) => left > length,
                Trim::Below(bound) => id < bound,
            };
            let held = references == References::Acknowledged && (id > last_given || pending.contains_key(&id));
            let goes = too_many && !held;
            left -= usize::from(goes);
            if goes && references == References::Delete {
                forgotten.push(id);
            }
            !goes
        });
        forgotten.iter().for_each(|id| _ = self.pending.remove(id));
        before - self.entries.len()
    }
}

fn random_fields(prng: &mut Prng) -> Fields {
    const NAMES: [&[u8]; 6] = [b"temperature", b"humidity", b"7", b"-129", b"", b"a"];
    let same = prng.below(2) == 0;
    let count = if same { 3 } else { 1 + prng.below(4) as usize };
    let value = |prng: &mut Prng| match prng.below(4) {
        0 => prng.below(100_000).to_string().into_bytes(),
        1 => vec![b'v'; prng.below(90) as usize],
        2 => format!("-{}", 1 + prng.below(1 << 40)).into_bytes(),
        _ => b"21.5".to_vec(),
    };
    (0..count).map(|index| (NAMES[if same { index } else { prng.below(6) as usize }].to_vec(), value(prng))).collect()
}

#[test]
fn random_changes_do_what_they_do_to_the_naive_twin() {
    for seed in 0..30 {
        let mut prng = Prng::seeded(seed);
        let limits = NodeLimits {
            bytes: [0, 200, 4096][prng.below(3) as usize],
            entries: [0, 1, 3, 100][prng.below(4) as usize],
        };
        let (mut stream, mut naive) = (Stream::default(), Naive::default());
        stream.add_group(b"g", Group::new(StreamId::MIN, Some(0)));
        let group = stream.group_mut(b"g").expect("it is there");
        let consumers = [b"a", b"b", b"c"].map(|name| group.add_consumer(name, 5));
        for step in 0..600 {
            let id = StreamId::new(prng.below(stream.last_id().ms + 3), prng.below(3));
            match prng.below(16) {
                0..6 => {
                    let id = if id > stream.last_id() { id } else { stream.next_id(0).expect("far from the end") };
                    let fields = random_fields(&mut prng);
                    add(&mut stream, id, &fields, limits);
                    naive.entries.push((id, fields));
                }
                6..8 => assert_eq!(stream.remove(id), naive.remove(id), "seed {seed}, step {step}"),
                8 => {
                    let references =
                        [References::Keep, References::Delete, References::Acknowledged][prng.below(3) as usize];
                    // By length, what has to stay keeps a trimming from going on in the next node, as in Redis.
                    let trim = if prng.below(2) == 0 && references != References::Acknowledged {
                        Trim::Length(naive.entries.len().saturating_sub(prng.below(10) as usize))
                    } else {
                        Trim::Below(StreamId::new(id.ms.saturating_sub(5), id.seq))
                    };
                    let trimmed = stream.trim(trim, false, 0, references).removed;
                    assert_eq!(
                        trimmed,
                        naive.trim(trim, references),
                        "seed {seed}, step {step}, {trim:?}, {references:?}"
                    );
                    if references == References::Delete {
                        // Of entries that were deleted before, those are forgotten that the trimming came across, which
                        // lie before the first one left.
                        let first = stream.first().map_or(StreamId::MAX, |entry| entry.id);
                        let still: Vec<StreamId> =
                            stream.groups().flat_map(|(_, group)| group.pending().keys().copied()).collect();
                        let Naive { entries, pending, .. } = &mut naive;
                        let is_there = |id: &StreamId| entries.iter().any(|(entry, _)| entry == id);
                        pending.retain(|id, _| still.contains(id) || *id >= first || is_there(id));
                    }
                }
                9 => {
                    // Whole nodes: what went is a beginning, and not more than exact trimming would take.
                    let length = naive.entries.len().saturating_sub(prng.below(20) as usize);
                    let removed = stream.trim(Trim::Length(length), true, 0, References::Keep).removed;
                    assert!(removed <= naive.entries.len() - length);
                    naive.entries.drain(..removed);
                }
                10..12 => {
                    let start = naive.last_given.next().expect("far from the end");
                    let given: Vec<StreamId> =
                        stream.range(start, StreamId::MAX).take(3).map(|entry| entry.id).collect();
                    let of = prng.below(3) as usize;
                    for id in given {
                        stream.advance(b"g", id);
                        stream.group_mut(b"g").expect("it is there").deliver(id, consumers[of], 7);
                        naive.pending.insert(id, (of, 1));
                        naive.last_given = id;
                    }
                }
                12..14 => {
                    let id = naive.pending.keys().copied().nth(prng.below(10) as usize).unwrap_or(id);
                    let acknowledged = stream.group_mut(b"g").expect("it is there").acknowledge(id);
                    assert_eq!(acknowledged, naive.pending.remove(&id).is_some());
                }
                14 => {
                    let of = prng.below(3) as usize;
                    let Some((&id, before)) = naive.pending.iter_mut().next_back() else { continue };
                    *before = (of, before.1 + 1);
                    stream.group_mut(b"g").expect("it is there").assign(id, consumers[of], 9, before.1);
                }
                _ => {
                    stream.forget(id);
                    naive.pending.remove(&id);
                }
            }
            if step % 7 == 0 {
                naive.check(&stream, &mut prng);
            }
        }
        naive.check(&stream, &mut prng);
        let group = stream.group_mut(b"g").expect("it is there");
        let removed = group.remove_consumer(consumers[1]);
        assert_eq!(removed, naive.pending.values().filter(|of| of.0 == 1).count());
        assert_eq!(group.pending().len(), naive.pending.len() - removed);
        assert!(group.find(b"b").is_none() && group.find(b"c").is_some());
    }
}

fn small(entries: &[(u64, u64, &[&str])], limits: NodeLimits) -> Stream {
    let mut stream = Stream::default();
    for &(ms, seq, flat) in entries {
        stream.append(StreamId::new(ms, seq), flat.iter().map(|text| text.as_bytes()), limits);
    }
    stream
}

const UNLIMITED: NodeLimits = NodeLimits { bytes: 0, entries: 0 };

#[test]
fn a_node_has_the_bytes_that_redis_writes() {
    let entries: [(u64, u64, &[&str]); 3] =
        [(1000, 5, &["f", "v", "g", "7"]), (1002, 0, &["f", "x", "g", "-1"]), (1002, 3, &["h", "y"])];
    let mut stream = small(&entries, UNLIMITED);
    assert!(stream.remove(StreamId::new(1002, 0)));
    let (key, pack) = stream.nodes().next().expect("one node");
    assert_eq!(key, StreamId::new(1000, 5));
    let texts: Vec<String> = pack.iter().map(|item| String::from_utf8(text(item)).expect("ASCII")).collect();
    let master = "2 1 2 f g 0";
    let live = "2 0 0 v 7 5";
    let deleted = "3 2 -5 x -1 5";
    let other = "0 2 -2 1 h y 6";
    assert_eq!(texts.join(" "), [master, live, deleted, other].join(" "));
}

#[test]
fn nodes_are_full_at_their_limits_deleted_entries_counted() {
    let entries: Vec<(u64, u64, &[&str])> = (1..=10).map(|ms| (ms, 0, ["f", "v"].as_slice())).collect();
    let keys = |stream: &Stream| stream.nodes().map(|(key, _)| key.ms).collect::<Vec<_>>();
    assert_eq!(keys(&small(&entries, NodeLimits { bytes: 0, entries: 4 })), [1, 5, 9]);
    assert_eq!(keys(&small(&entries, NodeLimits { bytes: 1, entries: 0 })), (1..=10).collect::<Vec<_>>());
    let mut stream = small(&entries[..3], NodeLimits { bytes: 0, entries: 4 });
    stream.remove(StreamId::new(2, 0));
    for ms in 4..=6 {
        stream.append(StreamId::new(ms, 0), [b"f" as &[u8], b"v"].into_iter(), NodeLimits { bytes: 0, entries: 4 });
    }
    assert_eq!(keys(&stream), [1, 5]);
}

#[test]
fn the_radix_tree_has_a_node_for_each_fork_run_and_end() {
    let key = |ms: u64, seq: u64| StreamId::new(ms, seq).to_bytes();
    let count = |keys: &[[u8; 16]]| range::radix_nodes(keys.iter().copied());
    // Hand-counted, and the same in XINFO STREAM of redis-server.
    assert_eq!(count(&[]), 1);
    assert_eq!(count(&[key(1, 1)]), 2);
    assert_eq!(count(&[key(1, 1), key(3, 1)]), 6);
    assert_eq!(count(&[key(3, 1), key(7, u64::MAX - 8), key(u64::MAX, u64::MAX)]), 9);
    assert_eq!(count(&[key(1, 1), key(1, 2)]), 4);
    assert_eq!(count(&[key(1, 1), key(1, 2), key(1, 3)]), 5);
}

#[test]
fn an_id_beyond_the_last_is_not_made_up() {
    let mut stream = Stream::default();
    assert_eq!(stream.next_id(0), Some(StreamId::new(0, 1)));
    stream.set_last_id(StreamId::new(5, u64::MAX), None, None);
    assert_eq!(stream.next_id(5), Some(StreamId::new(6, 0)));
    stream.set_last_id(StreamId::MAX, None, None);
    assert_eq!(stream.next_id(u64::MAX), None);
}

/// A node with the given elements, read as numbers where they are.
fn pack(elements: &str) -> Listpack {
    let mut pack = Listpack::new();
    elements.split(' ').for_each(|element| _ = pack.push_back(element.as_bytes()));
    pack
}

fn restored(elements: &str, len: u64) -> Option<Stream> {
    let nodes = vec![(StreamId::new(10, 0), pack(elements))];
    Stream::from_parts(Parts { nodes, len, last_id: StreamId::new(20, 0), ..Parts::default() })
}

#[test]
fn nodes_that_lie_are_refused() {
    let good = "1 1 1 f 0 2 0 0 v 4 1 1 0 1 g w 6";
    assert_eq!(restored(good, 1).map(|stream| stream.first_id()), Some(StreamId::new(10, 0)));
    assert!(restored(good, 2).is_none(), "another length");
    for (bad, why) in [
        ("2 1 1 f 0 2 0 0 v 4 1 1 0 1 g w 6", "a count too high"),
        ("1 0 1 f 0 2 0 0 v 4 1 1 0 1 g w 6", "deleted ones not counted"),
        ("-1 1 1 f 0 2 0 0 v 4 1 1 0 1 g w 6", "a negative count"),
        ("1 1 x f 0 2 0 0 v 4 1 1 0 1 g w 6", "fields that are no number"),
        ("1 1 99999999 f 0 2 0 0 v 4 1 1 0 1 g w 6", "more fields than elements"),
        ("1 1 1 f 7 2 0 0 v 4 1 1 0 1 g w 6", "a master without its end"),
        ("1 1 1 f 0 8 0 0 v 4 1 1 0 1 g w 6", "an unknown flag"),
        ("1 1 1 f 0 2 0 0 v 5 1 1 0 1 g w 6", "a wrong way back"),
        ("1 1 1 f 0 2 0 0 v 4 1 1 0 9223372036854775807 g w 6", "more pairs than elements"),
        ("1 1 1 f 0 2 0 0 v 4 1 1 0 1 g w", "an end that is missing"),
        ("1 1 1 f 0 2 5 0 v 4 1 1 0 1 g w 6", "ids that descend"),
        ("1 1 1 f 0 2 0 0 v 4 1 0 0 1 g w 6", "the same id twice"),
        ("1 1 1 f 0 2 -1 0 v 4 1 1 0 1 g w 6", "an id below the key"),
        ("1 1 1 f 0 2 0 0 v 4 1 11 0 1 g w 6", "an id above the last one"),
        ("1 1", "hardly a master"),
    ] {
        for len in 0..3 {
            assert!(restored(bad, len).is_none(), "{why}");
        }
    }
    let mut empty = Parts { nodes: vec![(StreamId::new(1, 0), Listpack::new())], ..Parts::default() };
    assert!(Stream::from_parts(empty.clone()).is_none(), "an empty pack");
    empty.nodes.clear();
    assert!(Stream::from_parts(empty).is_some_and(|stream| stream.is_empty()));
}

#[test]
fn parts_that_do_not_fit_together_are_refused() {
    let mut stream =
        small(&[(1, 0, &["f", "v"]), (2, 0, &["f", "v"]), (3, 0, &["g", "v"])], NodeLimits { bytes: 1, entries: 0 });
    stream.add_group(b"g", Group::new(StreamId::new(2, 0), Some(2)));
    let group = stream.group_mut(b"g").expect("it is there");
    let consumer = group.add_consumer(b"c", 1);
    group.deliver(StreamId::new(1, 0), consumer, 2);
    let good = parts_of(&stream);
    assert!(Stream::from_parts(good.clone()).is_some());
    type Lie = (&'static str, fn(&mut Parts));
    let lies: [Lie; 10] = [
        ("nodes out of order", |parts| parts.nodes.swap(0, 1)),
        ("a node twice", |parts| parts.nodes.push(parts.nodes[2].clone())),
        ("a node at 0-0", |parts| parts.nodes[0].0 = StreamId::MIN),
        ("a last id below an entry", |parts| parts.last_id = StreamId::new(2, 0)),
        ("another first id", |parts| parts.first_id = Some(StreamId::new(2, 0))),
        ("a group twice", |parts| parts.groups.push(parts.groups[0].clone())),
        ("pending without a consumer", |parts| parts.groups[0].pending.push((StreamId::new(2, 0), 1, 1))),
        ("a consumer's that is not pending", |parts| parts.groups[0].consumers[0].pending.push(StreamId::new(2, 0))),
        ("a consumer's twice", |parts| parts.groups[0].consumers[0].pending.push(StreamId::new(1, 0))),
        ("a consumer twice", |parts| {
            let again = ConsumerParts { pending: Vec::new(), ..parts.groups[0].consumers[0].clone() };
            parts.groups[0].consumers.push(again);
        }),
    ];
    for (what, lie) in lies {
        let mut parts = good.clone();
        lie(&mut parts);
        assert!(Stream::from_parts(parts).is_none(), "{what}");
    }
}

#[test]
fn damaged_nodes_never_panic() {
    let mut prng = Prng::seeded(3);
    let stream =
        small(&[(1, 0, &["f", "v", "g", "300"]), (2, 7, &["f", "v", "g", "w"]), (3, 0, &["h", "v"])], UNLIMITED);
    let (key, good) = stream.nodes().next().expect("one node");
    for _ in 0..20_000 {
        let mut bytes = good.as_bytes().to_vec();
        for _ in 0..=prng.below(3) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.below(256) as u8;
        }
        let Some(pack) = Listpack::from_validated(&bytes) else { continue };
        for len in 0..=4 {
            let parts = Parts { nodes: vec![(key, pack.clone())], len, last_id: StreamId::MAX, ..Parts::default() };
            let Some(mut stream) = Stream::from_parts(parts) else { continue };
            assert_eq!(stream.range(StreamId::MIN, StreamId::MAX).count() as u64, len);
            assert_eq!(stream.range_backward(StreamId::MIN, StreamId::MAX).count() as u64, len);
            let ids: Vec<_> = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| shown(&entry).0).collect();
            assert!(ids.into_iter().all(|id| stream.remove(id)));
            assert!(stream.is_empty());
        }
    }
}

#[test]
fn counters_that_a_payload_brought_to_their_end_go_on_as_in_redis() {
    let mut stream = small(&[(1, 0, &["f", "v"]), (2, 0, &["f", "v"])], UNLIMITED);
    stream.set_last_id(StreamId::new(2, 0), Some(u64::MAX), None);
    stream.add_group(b"g", Group::new(StreamId::new(1, 0), Some(u64::MAX - 1)));
    let read = |stream: &Stream| stream.groups().next().and_then(|(_, group)| group.entries_read);
    stream.advance(b"g", StreamId::new(2, 0));
    assert_eq!(read(&stream), None, "all ones mean that the count is unknown");
    stream.append(StreamId::new(3, 0), [b"f" as &[u8], b"v"].into_iter(), UNLIMITED);
    assert_eq!(stream.entries_added(), 0);
}
