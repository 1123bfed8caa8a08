//! Who listens to what: channels, patterns and shard channels with their subscribers.
//!
//! # Invariants
//! - A topic exists while it has a subscriber, and no longer.
//! - A client's record of a topic holds its place among the topic's subscribers, and the other way round, so that to
//!   subscribe, to unsubscribe and to forget a client costs O(1) per subscription, however many others there are.
//! - Patterns are grouped by the beginning of their literal prefix: a message looks only at those whose prefix its channel
//!   begins with. A pattern holds its place in its group.
//!
//! Called by the server, which knows clients by their numbers among the members. Knows no protocol and delivers nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use slab::Slab;

use crate::base::glob::{self, KeptPattern};
use crate::base::heap::{self, size_class};

/// Bytes of a pattern's literal prefix by which it is found: as many lookups a message takes at most.
const PREFIX_BYTES_MAX: usize = 64;
/// Tables with room for more than this are given back when they are empty.
const ROOM_KEPT_MAX: usize = 1024;

/// One channel or pattern.
#[derive(Debug)]
struct Topic {
    name: Arc<[u8]>,
    /// Clients, in no particular order.
    subscribers: Vec<u32>,
}

/// Topics of one kind, and who subscribed to them.
#[derive(Debug, Default)]
pub struct Topics {
    topics: Slab<Topic>,
    by_name: HashMap<Arc<[u8]>, u32>,
    /// For each client with subscriptions: the topics, each with the client's place among the subscribers.
    clients: HashMap<u32, HashMap<u32, u32>>,
    /// The topics that are left of the client that is being forgotten.
    going: Vec<u32>,
    /// What the topics' names and subscribers and the clients' records have on the heap, in bytes.
    parts_bytes: usize,
}

impl Topics {
    /// Number of topics that somebody has subscribed to.
    pub fn len(&self) -> usize {
        self.topics.len()
    }

    /// True when nobody has subscribed to anything.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Bytes on the heap. O(1).
    fn heap_bytes(&self) -> usize {
        let tables = heap::slab(&self.topics) + heap::map(&self.by_name) + heap::map(&self.clients);
        tables + heap::vec(&self.going) + self.parts_bytes
    }

    /// All topics with their subscribers, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u32])> {
        self.topics.iter().map(|(_, topic)| (&*topic.name, &*topic.subscribers))
    }

    /// The subscribers of a topic, in no particular order; some may have gone. O(1).
    pub fn subscribers(&self, name: &[u8]) -> &[u32] {
        self.by_name.get(name).map_or(&[], |&id| &self.topics[id as usize].subscribers)
    }

    /// How many topics a client has subscribed to. O(1).
    pub fn count_of(&self, client: usize) -> usize {
        self.clients.get(&(client as u32)).map_or(0, HashMap::len)
    }

    /// The names of a client's topics, sorted.
    pub fn names_of(&self, client: usize) -> Vec<Arc<[u8]>> {
        let topics = self.clients.get(&(client as u32));
        let mut names: Vec<_> =
            topics.into_iter().flatten().map(|(&id, _)| Arc::clone(&self.topics[id as usize].name)).collect();
        names.sort_unstable();
        names
    }

    /// Adds a subscription. The topic's number if the topic is new. O(1).
    fn subscribe(&mut self, client: usize, name: &[u8]) -> Option<u32> {
        let client = client as u32;
        let known = self.by_name.get(name).copied();
        let id = known.unwrap_or_else(|| {
            let name: Arc<[u8]> = name.into();
            self.parts_bytes += heap::arc(name.len());
            let id = self.topics.insert(Topic { name: Arc::clone(&name), subscribers: Vec::new() }) as u32;
            self.by_name.insert(name, id);
            id
        });
        let Topics { topics, clients, parts_bytes, .. } = self;
        let own = clients.entry(client).or_default();
        if !own.contains_key(&id) {
            let subscribers = &mut topics[id as usize].subscribers;
            let place = subscribers.len() as u32;
            heap::change(parts_bytes, subscribers, heap::vec, |subscribers| subscribers.push(client));
            heap::change(parts_bytes, own, heap::map, |own| own.insert(id, place));
        }
        known.is_none().then_some(id)
    }

    /// Ends a subscription, if there is one. The topic's number and name if that was its last. O(1).
    fn unsubscribe(&mut self, client: usize, name: &[u8]) -> Option<(u32, Arc<[u8]>)> {
        let id = *self.by_name.get(name)?;
        self.end(client as u32, id)
    }

    fn end(&mut self, client: u32, id: u32) -> Option<(u32, Arc<[u8]>)> {
        let own = self.clients.get_mut(&client)?;
        let place = heap::change(&mut self.parts_bytes, own, heap::map, |own| own.remove(&id))? as usize;
        if own.is_empty() {
            self.parts_bytes -= heap::map(own);
            self.clients.remove(&client);
        }
        let topic = &mut self.topics[id as usize];
        topic.subscribers.swap_remove(place);
        if let Some(moved) = topic.subscribers.get(place) {
            let places = self.clients.get_mut(moved).and_then(|topics| topics.get_mut(&id));
            *places.expect("a subscriber has a record of its topic") = place as u32;
        }
        if !topic.subscribers.is_empty() {
            return None;
        }
        let Topic { name, subscribers } = self.topics.remove(id as usize);
        self.parts_bytes -= heap::arc(name.len()) + heap::vec(&subscribers);
        self.by_name.remove(&name);
        if self.topics.is_empty() && self.topics.capacity() > ROOM_KEPT_MAX {
            *self = Topics::default();
        }
        Some((id, name))
    }

    /// Ends subscriptions of a client that has gone, and tells of each topic that has no other: as many as the budget allows.
    /// True if none is left. The same client has to be asked for until then.
    fn forget(&mut self, client: usize, budget: &mut usize, mut ended: impl FnMut(u32, &[u8])) -> bool {
        let client = client as u32;
        if self.going.is_empty() {
            self.going.extend(self.clients.get(&client).into_iter().flat_map(HashMap::keys));
        }
        while let Some(id) = self.going.pop() {
            if *budget == 0 {
                self.going.push(id);
                return false;
            }
            *budget -= 1;
            if let Some((id, name)) = self.end(client, id) {
                ended(id, &name);
            }
        }
        self.going = Vec::new();
        true
    }
}

/// A pattern in its group.
#[derive(Debug)]
struct Member {
    id: u32,
    pattern: KeptPattern,
}

/// Patterns by the first [`PREFIX_BYTES_MAX`] bytes of their literal prefixes.
#[derive(Debug, Default)]
struct Prefixes {
    patterns: HashMap<Box<[u8]>, Vec<Member>>,
    /// Where each pattern stands in its group, by its number.
    places: Vec<u32>,
    /// How many prefixes there are of each length.
    lengths: BTreeMap<usize, usize>,
    /// What the prefixes and their groups have on the heap, the patterns' own included, in bytes.
    parts_bytes: usize,
}

impl Prefixes {
    /// Bytes on the heap. O(1).
    fn heap_bytes(&self) -> usize {
        let lengths = heap::tree::<usize, usize>(self.lengths.len());
        heap::map(&self.patterns) + heap::vec(&self.places) + lengths + self.parts_bytes
    }

    fn of(name: &[u8]) -> &[u8] {
        let prefix = glob::literal_prefix(name);
        &prefix[..prefix.len().min(PREFIX_BYTES_MAX)]
    }

    /// O(pattern).
    fn add(&mut self, name: &[u8], id: u32) {
        let prefix = Self::of(name);
        if !self.patterns.contains_key(prefix) {
            self.parts_bytes += size_class(prefix.len());
            self.patterns.insert(prefix.into(), Vec::new());
            *self.lengths.entry(prefix.len()).or_default() += 1;
        }
        let group = self.patterns.get_mut(prefix).expect("it has just been made sure");
        if self.places.len() <= id as usize {
            self.places.resize(id as usize + 1, 0);
        }
        self.places[id as usize] = group.len() as u32;
        let pattern = KeptPattern::new(name);
        self.parts_bytes += pattern.heap_bytes();
        heap::change(&mut self.parts_bytes, group, heap::vec, |group| group.push(Member { id, pattern }));
    }

    /// O(1).
    fn remove(&mut self, name: &[u8], id: u32) {
        let prefix = Self::of(name);
        let Some(group) = self.patterns.get_mut(prefix) else { return };
        let place = self.places[id as usize];
        self.parts_bytes -= group.swap_remove(place as usize).pattern.heap_bytes();
        if let Some(moved) = group.get(place as usize) {
            self.places[moved.id as usize] = place;
        }
        if !group.is_empty() {
            return;
        }
        self.parts_bytes -= size_class(prefix.len()) + heap::vec(group);
        self.patterns.remove(prefix);
        let count = self.lengths.get_mut(&prefix.len()).expect("every prefix's length is counted");
        *count -= 1;
        if *count == 0 {
            self.lengths.remove(&prefix.len());
        }
        if self.patterns.is_empty() && self.places.capacity() > ROOM_KEPT_MAX {
            *self = Prefixes::default();
        }
    }

    /// Patterns whose prefix a text begins with. One lookup for each length that a prefix has.
    fn candidates<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = &'a Member> + 'a {
        let lengths = self.lengths.range(..=text.len()).map(|(&length, _)| length);
        lengths.filter_map(|length| self.patterns.get(&text[..length])).flatten()
    }
}

/// What a subscription is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A channel, by name.
    Channel,
    /// Every channel that a glob matches.
    Pattern,
    /// A shard channel, by name: a world of its own.
    Shard,
}

/// All subscriptions.
#[derive(Debug, Default)]
pub struct Hub {
    channels: Topics,
    patterns: Topics,
    shards: Topics,
    prefixes: Prefixes,
}

impl Hub {
    /// The topics of a kind.
    pub fn topics(&self, kind: Kind) -> &Topics {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    /// Bytes on the heap. O(1).
    pub fn heap_bytes(&self) -> usize {
        let topics = [&self.channels, &self.patterns, &self.shards].into_iter().map(Topics::heap_bytes);
        topics.sum::<usize>() + self.prefixes.heap_bytes()
    }

    /// True if a message to any ordinary channel could have a receiver.
    pub fn has_listeners(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    /// Subscribes a client; once is as good as twice. O(1).
    pub fn subscribe(&mut self, client: usize, kind: Kind, name: &[u8]) {
        match kind {
            Kind::Channel => _ = self.channels.subscribe(client, name),
            Kind::Shard => _ = self.shards.subscribe(client, name),
            Kind::Pattern => {
                if let Some(id) = self.patterns.subscribe(client, name) {
                    self.prefixes.add(name, id);
                }
            }
        }
    }

    /// Ends a subscription, if there is one. O(1).
    pub fn unsubscribe(&mut self, client: usize, kind: Kind, name: &[u8]) {
        match kind {
            Kind::Channel => _ = self.channels.unsubscribe(client, name),
            Kind::Shard => _ = self.shards.unsubscribe(client, name),
            Kind::Pattern => {
                if let Some((id, _)) = self.patterns.unsubscribe(client, name) {
                    self.prefixes.remove(name, id);
                }
            }
        }
    }

    /// Ends subscriptions of a client that has gone, as many as the budget allows. True if none is left. The same client has to
    /// be asked for until then. O(1) for each; O(all of them) at the beginning, some nanoseconds each.
    pub fn forget(&mut self, client: usize, budget: &mut usize) -> bool {
        let Hub { channels, patterns, shards, prefixes } = self;
        channels.forget(client, budget, |_, _| {})
            && shards.forget(client, budget, |_, _| {})
            && patterns.forget(client, budget, |id, name| prefixes.remove(name, id))
    }

    /// Visits the patterns that match a channel, each with its subscribers; none twice.
    pub fn matching(&self, channel: &[u8], mut visit: impl FnMut(&[u8], &[u32])) {
        for Member { id, pattern } in self.prefixes.candidates(channel) {
            let topic = &self.patterns.topics[*id as usize];
            if pattern.matches(&topic.name, channel) {
                visit(&topic.name, &topic.subscribers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::prng::Prng;

    const KINDS: [Kind; 3] = [Kind::Channel, Kind::Pattern, Kind::Shard];

    fn sorted(clients: &[u32]) -> Vec<u32> {
        let mut clients = clients.to_vec();
        clients.sort_unstable();
        clients
    }

    fn matching(hub: &Hub, channel: &[u8]) -> Vec<(Vec<u8>, Vec<u32>)> {
        let mut found = Vec::new();
        hub.matching(channel, |pattern, clients| found.push((pattern.to_vec(), sorted(clients))));
        found.sort();
        found
    }

    #[test]
    fn topics_come_and_go_with_their_subscribers() {
        let mut hub = Hub::default();
        assert!(!hub.has_listeners());
        hub.subscribe(3, Kind::Channel, b"news");
        hub.subscribe(3, Kind::Channel, b"news");
        hub.subscribe(4, Kind::Channel, b"news");
        hub.subscribe(4, Kind::Shard, b"news");
        assert_eq!(sorted(hub.topics(Kind::Channel).subscribers(b"news")), [3, 4]);
        assert_eq!(hub.topics(Kind::Shard).subscribers(b"news"), [4]);
        assert_eq!((hub.topics(Kind::Channel).len(), hub.topics(Kind::Channel).count_of(3)), (1, 1));
        hub.unsubscribe(3, Kind::Channel, b"other");
        hub.unsubscribe(3, Kind::Channel, b"news");
        hub.unsubscribe(3, Kind::Channel, b"news");
        assert_eq!(hub.topics(Kind::Channel).subscribers(b"news"), [4]);
        assert!(hub.forget(4, &mut { usize::MAX }));
        assert!(KINDS.iter().all(|&kind| hub.topics(kind).is_empty()));
        assert!(!hub.has_listeners());
    }

    #[test]
    fn patterns_match_as_globs_do() {
        let mut hub = Hub::default();
        for pattern in ["*", "a*", "ab?", "a[bc]d", "abc", "\\a*", "b*", ""] {
            hub.subscribe(0, Kind::Pattern, pattern.as_bytes());
        }
        let names = |channel: &[u8]| -> Vec<String> {
            matching(&hub, channel).into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect()
        };
        assert_eq!(names(b"abc"), ["*", "\\a*", "a*", "ab?", "abc"]);
        assert_eq!(names(b"abd"), ["*", "\\a*", "a*", "a[bc]d", "ab?"]);
        assert_eq!(names(b"b"), ["*", "b*"]);
        assert_eq!(names(b""), [""]);
    }

    #[test]
    fn patterns_that_cannot_match_are_not_looked_at() {
        let mut hub = Hub::default();
        for i in 0..5000 {
            hub.subscribe(i % 7, Kind::Pattern, format!("topic:{i:04}:*").as_bytes());
        }
        assert_eq!(hub.prefixes.candidates(b"topic:0042:x").count(), 1);
        assert_eq!(hub.prefixes.candidates(b"other").count(), 0);
        assert_eq!(hub.prefixes.lengths.len(), 1);
    }

    /// The groups of the patterns are as large as they can be, and each pattern has its own place.
    #[test]
    fn patterns_of_one_prefix_go_one_by_one_without_a_search() {
        let mut hub = Hub::default();
        let name = |i: usize| format!("p*{i}").into_bytes();
        (0..200_000).for_each(|i| hub.subscribe(i % 3, Kind::Pattern, &name(i)));
        // Clients 1 and 2 go in pieces; those of client 0 end one by one.
        for client in 1..3 {
            let pieces = (0..).take_while(|_| !hub.forget(client, &mut 1000)).count();
            assert_eq!(pieces, 66, "as many as the budget allows, each time");
        }
        assert_eq!(hub.prefixes.candidates(b"p").count(), 66_667);
        for i in (0..200_000).step_by(3) {
            hub.unsubscribe(0, Kind::Pattern, &name(i));
            let next = name(i + 3);
            let found = (i % 30_000 == 0).then(|| matching(&hub, &next[..]).into_iter().filter(|row| row.0 == next));
            assert!(found.is_none_or(|mut found| found.next() == Some((next.clone(), vec![0]))));
        }
        assert!(!hub.has_listeners() && hub.prefixes.patterns.is_empty() && hub.prefixes.lengths.is_empty());
        assert!(hub.prefixes.places.capacity() == 0 && hub.patterns.topics.capacity() == 0, "memory is given back");
    }

    /// However many lengths the prefixes of patterns have, a message takes few lookups.
    #[test]
    fn long_prefixes_are_grouped_by_their_beginnings() {
        let mut hub = Hub::default();
        for len in 0..1000 {
            hub.subscribe(0, Kind::Pattern, ["b".repeat(len).as_bytes(), b"*"].concat().as_slice());
        }
        assert_eq!(hub.prefixes.lengths.len(), PREFIX_BYTES_MAX + 1);
        assert_eq!(matching(&hub, "b".repeat(500).as_bytes()).len(), 501);
        assert_eq!(hub.prefixes.candidates("a".repeat(5000).as_bytes()).count(), 1);
        for len in 0..1000 {
            hub.unsubscribe(0, Kind::Pattern, ["b".repeat(len).as_bytes(), b"*"].concat().as_slice());
        }
        assert!(hub.prefixes.lengths.is_empty() && hub.prefixes.patterns.is_empty());
    }

    /// The twin is a set of subscriptions, searched from end to end.
    #[test]
    fn any_history_leaves_what_a_set_would_hold() {
        let names: Vec<&[u8]> =
            vec![b"", b"a", b"ab", b"abc", b"b", b"*", b"a*", b"ab*", b"a?c", b"[ab]", b"\\*", b"*c", b"b*b"];
        for seed in 0..20 {
            let mut prng = Prng::seeded(seed);
            let (mut hub, mut twin) = (Hub::default(), BTreeSet::new());
            for _ in 0..600 {
                let mut below = |n: usize| prng.below(n as u64) as usize;
                let (client, kind, name) = (below(6), below(3), names[below(names.len())]);
                match below(9) {
                    0..=4 => {
                        hub.subscribe(client, KINDS[kind], name);
                        twin.insert((kind, name, client as u32));
                    }
                    5..=7 => {
                        hub.unsubscribe(client, KINDS[kind], name);
                        twin.remove(&(kind, name, client as u32));
                    }
                    _ => {
                        // In pieces, each of which leaves what it has not come to.
                        while !hub.forget(client, &mut 1) {}
                        twin.retain(|(_, _, other)| *other != client as u32);
                    }
                }
                let of = |kind: usize, name: &[u8]| -> Vec<u32> {
                    twin.iter().filter(|(k, n, _)| (*k, *n) == (kind, name)).map(|(_, _, client)| *client).collect()
                };
                let prefixes: usize = hub.prefixes.patterns.keys().map(|prefix| size_class(prefix.len())).sum();
                let groups: usize = hub.prefixes.patterns.values().map(heap::vec).sum();
                let members = hub.prefixes.patterns.values().flatten();
                let patterns: usize = members.map(|member| member.pattern.heap_bytes()).sum();
                assert_eq!(hub.prefixes.parts_bytes, prefixes + groups + patterns, "seed {seed}");
                for (k, kind) in KINDS.into_iter().enumerate() {
                    let topics = hub.topics(kind);
                    let own = topics
                        .topics
                        .iter()
                        .map(|(_, topic)| heap::arc(topic.name.len()) + heap::vec(&topic.subscribers));
                    let records: usize = topics.clients.values().map(heap::map).sum();
                    assert_eq!(topics.parts_bytes, own.sum::<usize>() + records, "seed {seed}");
                    let mut live: Vec<_> = topics.iter().map(|(name, _)| name).collect();
                    live.sort_unstable();
                    let expected: BTreeSet<_> = twin.iter().filter(|row| row.0 == k).map(|row| row.1).collect();
                    assert_eq!(live, Vec::from_iter(expected), "seed {seed}");
                    assert!(names.iter().all(|name| sorted(topics.subscribers(name)) == of(k, name)), "seed {seed}");
                    let count = twin.iter().filter(|row| row.0 == k && row.2 == client as u32).count();
                    assert_eq!((topics.count_of(client), topics.names_of(client).len()), (count, count));
                }
                let channel = names[below(names.len())];
                let mut expected: Vec<_> = names
                    .iter()
                    .filter(|name| glob::matches(name, channel, false))
                    .map(|name| (name.to_vec(), of(1, name)))
                    .filter(|(_, clients)| !clients.is_empty())
                    .collect();
                expected.sort();
                assert_eq!(matching(&hub, channel), expected, "seed {seed}");
            }
        }
    }
}
