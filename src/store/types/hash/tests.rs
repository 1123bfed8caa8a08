use std::collections::HashMap;
use std::sync::Arc;

use super::template::Templates;
use super::*;
use crate::base::prng::Prng;

const HASHER: [u8; 16] = [5; 16];

/// No limits.
fn wide() -> Limits {
    Limits { entries: usize::MAX, value: usize::MAX, hasher: KeyHasher::new(HASHER) }
}

/// A hash beside a map of the same fields.
struct Twin {
    hash: Hash,
    model: HashMap<Vec<u8>, (Vec<u8>, Option<i64>)>,
    limits: Limits,
    /// Takes none at first.
    sharing: Sharing,
    now_ms: i64,
}

impl Twin {
    fn new(entries: usize) -> Twin {
        let limits = Limits { entries, value: 20, hasher: KeyHasher::new(HASHER) };
        let sharing = Sharing { min: 0, max: 0, templates: Arc::new(Templates::default()), is_closed: false };
        Twin { hash: Hash::new(), model: HashMap::new(), limits, sharing, now_ms: 1_000_000 }
    }

    fn live(&self, name: &[u8]) -> Option<&(Vec<u8>, Option<i64>)> {
        self.model.get(name).filter(|(_, deadline_ms)| deadline_ms.is_none_or(|ms| ms > self.now_ms))
    }

    fn set(&mut self, name: &[u8], value: &[u8], keep: bool) {
        let old = self.live(name).cloned();
        let deadline_ms = old.as_ref().and_then(|(_, deadline_ms)| *deadline_ms).filter(|_| keep);
        assert_eq!(self.hash.set(name, value, keep, self.now_ms, &self.limits), old.is_some());
        self.model.insert(name.to_vec(), (value.to_vec(), deadline_ms));
        self.hash.settle(&self.sharing);
    }

    fn set_deadline(&mut self, name: &[u8], deadline_ms: Option<i64>) {
        if self.live(name).is_some() {
            match deadline_ms {
                Some(deadline_ms) => self.hash.set_deadline(name, deadline_ms, self.limits.hasher),
                None => self.hash.drop_deadline(name),
            }
            self.model.get_mut(name).expect("it is live").1 = deadline_ms;
            self.hash.settle(&self.sharing);
        }
    }

    fn remove(&mut self, name: &[u8]) {
        let was_there = self.live(name).is_some();
        assert_eq!(self.hash.remove(name, self.now_ms), was_there);
        if was_there {
            self.model.remove(name);
        }
        self.hash.settle(&self.sharing);
    }

    fn expire(&mut self) {
        let before = self.hash.len();
        let mut removed = 0;
        while self.hash.next_due_ms().is_some_and(|due_ms| due_ms <= self.now_ms) {
            removed += self.hash.expire(self.now_ms, 8, &mut |_| ());
        }
        self.model.retain(|_, (_, deadline_ms)| deadline_ms.is_none_or(|ms| ms > self.now_ms));
        assert_eq!((self.hash.len(), before - removed), (self.model.len(), self.model.len()));
    }

    fn check(&self) {
        let mut seen = HashMap::new();
        self.hash.visit(self.now_ms, |name, value, deadline_ms| {
            assert!(seen.insert(name.to_vec(), (value.to_vec(), deadline_ms)).is_none(), "visited twice");
        });
        let live: HashMap<_, _> = self.model.iter().filter(|(name, _)| self.live(name).is_some()).collect();
        assert_eq!(seen.len(), live.len());
        assert!(seen.iter().all(|(name, field)| live.get(name) == Some(&field)));
        assert_eq!(self.hash.live_len(self.now_ms), live.len());
        let first = self.model.values().filter_map(|(_, deadline_ms)| *deadline_ms).min();
        let next = self.hash.next_due_ms();
        assert_eq!(next.is_some(), first.is_some());
        assert!(next <= first, "{next:?} {first:?}");
        match &self.hash {
            Hash::Pairs(_) => {}
            Hash::Triples(pack) => {
                assert!(pack.is_empty() || Hash::from_pack(Validated::of(pack), true, &wide()).is_some())
            }
            Hash::Fields(fields) => fields.check(),
            Hash::Compact(compact) => {
                assert!(self.sharing.takes(compact.len()) && first.is_none());
                compact.check();
            }
        }
    }
}

#[test]
fn a_hash_is_a_map_whose_fields_end_in_every_encoding() {
    let mut prng = Prng::seeded(11);
    for (entries, names) in [(1000, 60), (20, 60), (0, 5), (0, 200), (0, 3000)] {
        let mut twin = Twin::new(entries);
        for step in 0..12_000 {
            let name = match prng.below(names) {
                n if n % 3 == 0 => n.to_string().into_bytes(),
                n => format!("field:{n}").into_bytes(),
            };
            let deadline_ms = twin.now_ms + prng.below(400) as i64;
            match prng.below(20) {
                0..=6 => twin.set(&name, format!("{}", prng.below(1 << 40)).as_bytes(), prng.chance(1, 2)),
                7..=12 => twin.set_deadline(&name, Some(deadline_ms)),
                13 => twin.set_deadline(&name, None),
                14..=15 => twin.remove(&name),
                16 => twin.now_ms += prng.below(30) as i64,
                17 => twin.expire(),
                _ => {
                    let (expected, found) = (twin.live(&name), twin.hash.get(&name, twin.now_ms));
                    let found = found.map(|found| (found.value().to_vec(), found.deadline_ms()));
                    assert_eq!(found.as_ref(), expected);
                }
            }
            if step % 500 == 0 {
                twin.check();
                let sharing = twin.sharing.clone();
                let copy = Twin { hash: twin.hash.clone(), model: twin.model.clone(), sharing, ..twin };
                copy.check();
            }
        }
        twin.now_ms += 1000;
        twin.expire();
        twin.check();
    }
}

#[test]
fn a_hash_that_shares_its_names_is_a_map_all_the_same() {
    let mut prng = Prng::seeded(29);
    let (mut compact, mut others) = (0, 0);
    for (min, max, entries) in [(0, 6, 1000), (3, 8, 1000), (4, 40, 20), (1, 1, 5)] {
        let mut twin = Twin::new(entries);
        (twin.sharing.min, twin.sharing.max) = (min, max);
        for step in 0..12_000 {
            let name = match prng.below(10) {
                n if n % 3 == 0 => n.to_string().into_bytes(),
                n => format!("field:{n}").into_bytes(),
            };
            let value = match prng.below(5) {
                0 => prng.below(1 << 40).to_string(),
                1 => prng.below(200).to_string(),
                2 => String::new(),
                3 if prng.chance(1, 25) => "v".repeat(prng.below(30) as usize),
                _ => "v".repeat(prng.below(15) as usize),
            };
            match prng.below(16) {
                0..=6 => twin.set(&name, value.as_bytes(), false),
                7..=11 => twin.remove(&name),
                12 if prng.chance(1, 40) => twin.set_deadline(&name, Some(twin.now_ms + 5)),
                13 if twin.hash.timed() > 0 || prng.chance(1, 50) => {
                    // A hash whose fields have deadlines never shares names again, nor does a table.
                    (twin.hash, twin.model) = (Hash::new(), HashMap::new());
                }
                _ => {
                    let (expected, found) = (twin.live(&name), twin.hash.get(&name, twin.now_ms));
                    assert_eq!(found.map(|found| found.value().to_vec()).as_ref(), expected.map(|(value, _)| value));
                    let listed = twin.hash.listed(twin.now_ms).map_or(twin.model.len(), |listed| listed.len());
                    assert_eq!(listed, twin.model.len());
                }
            }
            let is_compact = matches!(twin.hash, Hash::Compact(_));
            let count = if is_compact { &mut compact } else { &mut others };
            *count += 1;
            assert_eq!(twin.sharing.templates.counts().hashes, usize::from(is_compact));
            if step % 20 == 0 {
                twin.check();
                // What DUMP shows is the listpack of the same fields in the same order.
                if let Some((pack, false)) = twin.hash.as_pack() {
                    let mut plain = Hash::Pairs(pack.into_owned());
                    let listed = |hash: &Hash| {
                        let fields = hash.listed(0).expect("a small one");
                        fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect::<Vec<_>>()
                    };
                    assert_eq!(listed(&plain), listed(&twin.hash));
                    let copy = twin.hash.clone();
                    plain.settle(&twin.sharing);
                    assert_eq!((copy.encoding(), listed(&copy)), (plain.encoding(), listed(&plain)));
                }
            }
        }
        drop(twin.hash);
        assert_eq!(twin.sharing.templates.counts().templates, 0);
    }
    assert!(compact > 10_000 && others > 5_000, "{compact} {others}");
}

#[test]
fn values_that_share_names_take_half_of_a_listpack() {
    let sharing = Sharing { min: 1, max: 16, templates: Arc::new(Templates::default()), is_closed: false };
    let names: Vec<String> = (0..10).map(|n| format!("field:{n}")).collect();
    let fields = || names.iter().map(|name| (name.as_bytes(), b"12345.78".as_slice()));
    let [plain, compact] = [None, Some(&sharing)].map(|sharing| Hash::of_distinct(fields(), &wide(), sharing));
    assert_eq!((plain.encoding(), plain.heap_bytes(8)), ("listpack", 224));
    assert_eq!((compact.encoding(), compact.heap_bytes(8)), ("compact", 112));
    assert_eq!(plain.listed(0), compact.listed(0));
}

#[test]
fn a_long_value_or_one_field_too_many_makes_a_table() {
    let mut twin = Twin::new(3);
    for name in [b"a", b"b", b"c"] {
        twin.set(name, b"v", false);
        assert_eq!(twin.hash.encoding(), "listpack");
    }
    twin.set_deadline(b"b", Some(5_000_000));
    assert_eq!(twin.hash.encoding(), "listpackex");
    twin.set(b"d", b"v", false);
    assert_eq!((twin.hash.encoding(), twin.hash.timed()), ("hashtable", 1));
    twin.check();
    let mut twin = Twin::new(3);
    twin.set(b"a", &[b'v'; 21], false);
    assert_eq!(twin.hash.encoding(), "hashtable");
}

#[test]
fn triples_are_in_the_order_that_redis_gives_them() {
    let mut twin = Twin::new(100);
    for name in [b"a", b"b", b"c"] {
        twin.set(name, b"1", false);
    }
    let order = |hash: &Hash| {
        let mut names = Vec::new();
        hash.visit(0, |name, _, _| names.extend(name.to_vec()));
        String::from_utf8(names).expect("ASCII")
    };
    // What HGETALL of redis-server 8.2.3 answers after the same commands.
    twin.set_deadline(b"b", Some(2_000_000));
    twin.set_deadline(b"c", Some(3_000_000));
    twin.set_deadline(b"a", Some(2_000_000));
    assert_eq!(order(&twin.hash), "abc");
    twin.set_deadline(b"a", None);
    assert_eq!(order(&twin.hash), "bca");
    twin.set(b"b", b"2", false);
    assert_eq!(order(&twin.hash), "cab");
    twin.set(b"c", b"2", true);
    assert_eq!(order(&twin.hash), "cab");
}

#[test]
fn packs_from_outside_are_looked_at() {
    let pack = |items: &[&str]| {
        let mut pack = Listpack::new();
        for item in items {
            pack.push_back(item.as_bytes());
        }
        pack
    };
    let good: [(&[&str], bool); 4] = [
        (&["a", "1"], false),
        (&["a", "1", "5"], true),
        (&["a", "1", "5", "b", "2", "0"], true),
        (&["a", "1", "0"], true),
    ];
    let read = |items: &[&str], timed, entries| {
        let limits = Limits { entries, value: 20, hasher: KeyHasher::new(HASHER) };
        Hash::from_pack(Validated::of(&pack(items)), timed, &limits)
    };
    for (items, timed) in good {
        let [small, table] = [10, 0].map(|entries| read(items, timed, entries).expect("well-formed"));
        assert!(small.encoding().starts_with("listpack") && table.encoding() == "hashtable", "{items:?}");
        assert_eq!((small.len(), small.timed()), (table.len(), table.timed()));
    }
    let bad: [(&[&str], bool); 8] = [
        (&[], false),
        (&["a"], false),
        (&["a", "1", "a", "2"], false),
        (&["a", "1", "0", "b", "2", "5"], true),
        (&["a", "1", "6", "b", "2", "5"], true),
        (&["a", "1", "x"], true),
        (&["a", "1", "-1"], true),
        (&["a", "1", "70368744177664"], true),
    ];
    for (items, timed) in bad {
        assert!([10, 0].into_iter().all(|entries| read(items, timed, entries).is_none()), "{items:?}");
    }
}

#[test]
fn the_queue_is_cleaned_of_what_nobody_needs() {
    let mut twin = Twin::new(0);
    for n in 0..1000 {
        twin.set(format!("{n}").as_bytes(), b"v", false);
    }
    for round in 0..200 {
        for n in 0..50 {
            twin.set_deadline(format!("{n}").as_bytes(), Some(9_000_000 - round));
        }
    }
    let Hash::Fields(fields) = &twin.hash else { panic!("a table") };
    assert!(fields.heap_bytes(8) < 1000 * 64, "{}", fields.heap_bytes(8));
    fields.check();
}

#[test]
fn deadlines_change_fields_leave_and_the_table_grows_while_the_queue_is_renewed() {
    let mut prng = Prng::seeded(23);
    let mut twin = Twin::new(0);
    for n in 0..3000u64 {
        twin.set(format!("{n}").as_bytes(), b"v", false);
        twin.set_deadline(format!("{n}").as_bytes(), Some(twin.now_ms + 5_000 + n as i64));
    }
    let (mut renewed, mut was_renewing) = (0, false);
    for step in 0..40_000u64 {
        let name = format!("{}", prng.below(3000 + step / 10)).into_bytes();
        match prng.below(40) {
            0..=18 => twin.set(&name, b"w", false),
            19..=37 => twin.set_deadline(&name, Some(twin.now_ms + prng.below(20_000) as i64)),
            38 => twin.remove(&name),
            _ => {
                twin.now_ms += 10;
                twin.expire();
            }
        }
        let Hash::Fields(fields) = &twin.hash else { panic!("a table") };
        renewed += usize::from(was_renewing && !fields.is_renewing());
        was_renewing = fields.is_renewing();
        if step % 1000 == 0 || (was_renewing && step % 50 == 0) {
            twin.check();
        }
    }
    assert!(renewed > 1, "{renewed}");
}
