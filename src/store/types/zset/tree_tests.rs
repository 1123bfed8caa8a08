use std::collections::BTreeSet;

use super::*;
use crate::base::prng::Prng;

/// Members for tests: numbers as text of a fixed width, kept by nobody.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Name([u8; 4]);

impl Handle for Name {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn name(n: u64) -> Name {
    Name((n as u32).to_be_bytes())
}

impl<H: Handle> Tree<H> {
    /// Checks what the module promises; returns how many nodes there are.
    fn check_invariants(&self) {
        let mut depths = BTreeSet::new();
        assert_eq!(check(&self.root, 0, &mut depths), self.len);
        assert!(depths.len() <= 1, "leaves at depths {depths:?}");
        if let Node::Inner(children) = &self.root {
            assert!(children.len() > 1, "an inner root has at least two children");
        }
    }
}

fn check<H: Handle>(node: &Node<H>, depth: usize, depths: &mut BTreeSet<usize>) -> usize {
    match node {
        Node::Leaf(entries) => {
            depths.insert(depth);
            assert!(entries.len() <= LEAF_MAX && entries.capacity() <= LEAF_MAX);
            assert!(entries.windows(2).all(|pair| pair[0].is_before(pair[1].score, pair[1].member.bytes())));
            entries.len()
        }
        Node::Inner(children) => {
            assert!((1..=INNER_MAX).contains(&children.len()) && children.capacity() <= INNER_MAX);
            for pair in children.windows(2) {
                assert!(pair[0].first.is_before(pair[1].first.score, pair[1].first.member.bytes()));
            }
            for child in children {
                let first = child.node.first();
                assert_eq!(first.order(child.first.score, child.first.member.bytes()), Ordering::Equal);
                assert_eq!(check(&child.node, depth + 1, depths), child.count);
                assert!(child.count > 0);
            }
            children.iter().map(|child| child.count).sum()
        }
    }
}

fn listed(tree: &Tree<Name>) -> Vec<(u64, Name)> {
    let mut all = Vec::new();
    while let Some((entries, at)) = tree.leaf(all.len()) {
        all.extend(entries[at..].iter().map(|entry| (entry.score as u64, entry.member)));
    }
    all
}

/// The twin: a sorted vector.
#[derive(Default)]
struct Twin(Vec<(u64, u64)>);

impl Twin {
    fn insert(&mut self, item: (u64, u64)) -> bool {
        self.0.binary_search(&item).map_err(|at| self.0.insert(at, item)).is_err()
    }

    fn named(&self) -> Vec<(u64, Name)> {
        self.0.iter().map(|&(score, n)| (score, name(n))).collect()
    }
}

fn agree(tree: &Tree<Name>, twin: &Twin) {
    tree.check_invariants();
    assert_eq!(listed(tree), twin.named());
    for (rank, &(score, n)) in twin.0.iter().enumerate().step_by(37) {
        assert_eq!(tree.rank(score as f64, name(n).bytes()), rank);
        let (entries, at) = tree.leaf(rank).expect("the rank is there");
        assert_eq!(entries[at].member, name(n));
        assert_eq!(
            tree.count_before(|entry| entry.score < score as f64),
            twin.0.partition_point(|&(other, _)| other < score)
        );
    }
    assert!(tree.leaf(twin.0.len()).is_none());
}

#[test]
fn a_tree_is_a_sorted_vector() {
    let mut prng = Prng::seeded(11);
    for (scores, names) in [(1u64, 3000u64), (50, 400), (100_000, 100_000), (7, 6000)] {
        let (mut tree, mut twin) = (Tree::new(), Twin::default());
        for step in 0..24_000u32 {
            let item = (prng.below(scores), prng.below(names));
            // Growing and shrinking in turn, so that nodes split and join.
            let grow = if (step / 6000).is_multiple_of(2) { 4 } else { 1 };
            if prng.chance(grow, 5) {
                if twin.insert(item) {
                    tree.insert(Entry { score: item.0 as f64, member: name(item.1) });
                }
            } else if let Some(&(score, n)) = prng.pick(&twin.0) {
                twin.0.remove(twin.0.binary_search(&(score, n)).expect("just picked"));
                assert!(tree.remove(score as f64, name(n).bytes()).is_some());
            }
            assert!(tree.remove(-1.0, b"none").is_none());
            if step.is_multiple_of(1500) {
                agree(&tree, &twin);
            }
        }
        agree(&tree, &twin);
    }
}

#[test]
fn entries_in_order_from_either_end_fill_the_leaves() {
    for descending in [false, true] {
        let mut tree = Tree::new();
        for n in 0..10_000u64 {
            let n = if descending { 10_000 - n } else { n };
            tree.insert(Entry { score: n as f64, member: name(n) });
        }
        tree.check_invariants();
        let mut rank = 0;
        while let Some((entries, _)) = tree.leaf(rank) {
            assert!(descending || entries.len() == LEAF_MAX || rank + entries.len() == tree.len());
            rank += entries.len();
        }
        while tree.len() > 0 {
            let (entries, at) = tree.leaf(tree.len() - 1).expect("the last");
            let entry = entries[at];
            assert!(tree.remove(entry.score, entry.member.bytes()).is_some());
            if tree.len().is_multiple_of(997) {
                tree.check_invariants();
            }
        }
        tree.check_invariants();
    }
}

#[test]
fn ranges_are_drained_in_order() {
    let mut prng = Prng::seeded(5);
    for len in [0u64, 1, 64, 65, 2000, 30_000] {
        let mut twin = Twin((0..len).map(|n| (n / 3, n)).collect());
        let entries = twin.0.iter().map(|&(score, n)| Entry { score: score as f64, member: name(n) });
        let mut tree = Tree::from_sorted(entries);
        agree(&tree, &twin);
        while !twin.0.is_empty() {
            let start = prng.below(twin.0.len() as u64) as usize;
            let most = 1 + twin.0.len() / 2;
            let end = (start + prng.below(most as u64) as usize + 1).min(twin.0.len());
            let mut drained = Vec::new();
            tree.drain(start..end + 5 * usize::from(end == twin.0.len()), |entry| drained.push(entry.member));
            let expected: Vec<Name> = twin.0.drain(start..end).map(|(_, n)| name(n)).collect();
            assert_eq!(drained, expected);
            agree(&tree, &twin);
        }
    }
}

#[test]
fn rescored_entries_move() {
    let mut prng = Prng::seeded(6);
    let mut scores: Vec<u64> = (0..3000).map(|n| n * 10).collect();
    let entries = scores.iter().enumerate().map(|(n, &score)| Entry { score: score as f64, member: name(n as u64) });
    let mut tree = Tree::from_sorted(entries);
    for step in 0..20_000 {
        let n = prng.below(3000);
        let old = scores[n as usize];
        let new = if prng.chance(1, 2) { old + prng.below(12) } else { prng.below(30_000) };
        tree.rescore(old as f64, new as f64, name(n).bytes());
        scores[n as usize] = new;
        if step % 2000 == 0 {
            let mut twin = Twin::default();
            for (n, &score) in scores.iter().enumerate() {
                twin.insert((score, n as u64));
            }
            agree(&tree, &twin);
        }
    }
}
