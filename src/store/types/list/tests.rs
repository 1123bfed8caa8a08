//! Lists against a deque of texts, and the places where the forms change.

use std::collections::VecDeque;

use super::*;
use crate::base::prng::Prng;

fn texts<'l>(elements: impl Iterator<Item = Element<'l>>) -> Vec<Vec<u8>> {
    elements.map(|element| element.to_vec()).collect()
}

fn check(list: &List, twin: &VecDeque<Vec<u8>>) {
    if let Form::Nodes(nodes) = &list.0 {
        nodes.check_invariants();
    }
    assert_eq!(list.len(), twin.len());
    assert!(texts(list.elements()).iter().eq(twin));
    assert!(texts(list.elements().rev()).iter().eq(twin.iter().rev()));
    assert_eq!(list.end(End::Head).map(|e| e.to_vec()).as_ref(), twin.front());
    assert_eq!(list.end(End::Tail).map(|e| e.to_vec()).as_ref(), twin.back());
}

fn check_ranges(list: &List, twin: &VecDeque<Vec<u8>>, prng: &mut Prng) {
    let index = prng.below(twin.len() as u64 + 2) as usize;
    assert_eq!(list.get(index).map(|e| e.to_vec()).as_ref(), twin.get(index));
    let from = index.min(twin.len());
    assert!(texts(list.elements_from(index)).iter().eq(twin.range(from..)));
    assert!(texts(list.elements_from(index).rev()).iter().eq(twin.range(from..).rev()));
    assert!(texts(list.elements_until(index)).iter().eq(twin.range(..from)));
    assert!(texts(list.elements_until(index).rev()).iter().eq(twin.range(..from).rev()));
}

fn some_text(prng: &mut Prng) -> Vec<u8> {
    match prng.below(12) {
        0 => Vec::new(),
        1..=5 => prng.below(6).to_string().into_bytes(),
        6 => (prng.below(u64::MAX) as i64).to_string().into_bytes(),
        7 => vec![b'x'; prng.below(3000) as usize],
        8 => vec![b'y'; 4000 + prng.below(300) as usize],
        9 => vec![b'z'; 8100 + prng.below(200) as usize],
        _ => vec![b'a' + prng.below(3) as u8; 1 + prng.below(3) as usize],
    }
}

/// One random change of both.
fn change(list: &mut List, twin: &mut VecDeque<Vec<u8>>, fill: Fill, prng: &mut Prng) {
    let text = some_text(prng);
    let end = if prng.below(2) == 0 { End::Head } else { End::Tail };
    let index = prng.below(twin.len().max(1) as u64) as usize;
    match prng.below(16) {
        0..=5 => {
            list.make_room(fill, text.len(), 1);
            list.push(end, &text);
            if end == End::Head { twin.push_front(text) } else { twin.push_back(text) }
        }
        6 => {
            list.remove_end(end);
            if end == End::Head {
                twin.pop_front()
            } else {
                twin.pop_back()
            };
            list.settle(fill);
        }
        7 => {
            // Moved from an end to the other or to the same.
            if let Some(moved) = list.end(end).map(|e| e.detach()) {
                list.remove_end(end);
                let text = if end == End::Head { twin.pop_front() } else { twin.pop_back() }.expect("not empty");
                list.make_room(fill, moved.counted_bytes(), 1);
                list.push_detached(End::Tail, &moved);
                twin.push_back(text);
                list.settle(fill);
            }
        }
        8..=11 if !twin.is_empty() => {
            let after = prng.below(2) == 0;
            let pivot = if prng.below(8) == 0 { text.clone() } else { twin[index].clone() };
            list.make_room(fill, text.len(), 1);
            let found = twin.iter().position(|other| *other == pivot);
            assert_eq!(list.insert_beside(&pivot, &text, after), found.is_some());
            if let Some(at) = found {
                twin.insert(at + usize::from(after), text);
            }
        }
        12 | 13 if !twin.is_empty() => {
            list.make_room(fill, text.len(), 1);
            list.replace(index, &text);
            twin[index] = text;
            list.settle(fill);
        }
        14 => {
            let limit = if prng.below(4) == 0 { twin.len() as u64 + 1 } else { 6 };
            let count = prng.below(limit) as usize;
            list.remove_range(index, count);
            if index < twin.len() {
                let end = (index + count).min(twin.len());
                twin.drain(index..end);
            }
            list.settle(fill);
        }
        _ => {
            let limit = [1, 2, usize::MAX][prng.below(3) as usize];
            let text = twin.get(index).filter(|text| text.len() > 3).cloned().unwrap_or(text);
            let removed = list.remove_equal(&text, limit, end);
            let mut equal: Vec<usize> = (0..twin.len()).filter(|&at| twin[at] == text).collect();
            if end == End::Tail {
                equal.reverse();
            }
            equal.truncate(limit);
            assert_eq!(removed, equal.len());
            equal.sort_unstable();
            equal.into_iter().rev().for_each(|at| drop(twin.remove(at)));
            list.settle(fill);
        }
    }
}

#[test]
fn a_list_is_a_deque_of_texts() {
    let (mut changed_form, mut compressed) = ([0; 2], 0);
    for seed in 0..60 {
        let prng = &mut Prng::seeded(seed);
        let fill =
            Fill::new([-2, -1, 3, 5, 1, 64, -5, 0][seed as usize % 8]).with_depth([0, 1, 0, 2, 3][seed as usize % 5]);
        let (mut list, mut twin) = (List::new(), VecDeque::new());
        for step in 0..400 {
            let before = list.encoding();
            change(&mut list, &mut twin, fill, prng);
            changed_form[usize::from(before == "listpack")] += usize::from(list.encoding() != before);
            check(&list, &twin);
            check_ranges(&list, &twin, prng);
            compressed += compressed_nodes(&list);
            if step % 50 == 0 {
                let (repr, ptr) = list.clone().into_raw();
                // SAFETY: it was given up in the line above.
                check(&unsafe { List::from_raw(repr, ptr) }, &twin);
                let again = rebuilt(&list, fill);
                check(&again, &twin);
                assert!(again.blocks() == list.blocks() || twin.is_empty());
            }
        }
    }
    assert!(changed_form.iter().all(|&times| times > 20), "{changed_form:?}");
    assert!(compressed > 1000, "{compressed}");
}

fn compressed_nodes(list: &List) -> usize {
    match &list.0 {
        Form::Pack(_) => 0,
        Form::Nodes(nodes) => nodes.compressed(),
    }
}

#[test]
fn nodes_far_from_both_ends_are_compressed() {
    let list = |depth, count| numbered(count, Fill::default().with_depth(depth));
    let plain = list(0, 100_000);
    for depth in [1, 2, 50] {
        let mut list = list(depth, 100_000);
        assert_eq!(compressed_nodes(&list), plain.blocks() - 2 * usize::from(depth));
        assert!(texts(list.elements()) == texts(plain.elements()));
        assert!(list.heap_bytes(8) < plain.heap_bytes(8) * 9 / 10 || depth == 50);
        // From the ends inwards nothing stays compressed.
        while list.len() > 900 {
            list.remove_end(if list.len() % 3 == 0 { End::Head } else { End::Tail });
        }
        assert_eq!((list.blocks() <= 3, compressed_nodes(&list)), (true, usize::from(list.blocks() > 2 && depth == 1)));
    }
    assert_eq!(compressed_nodes(&list(100, 10_000)), 0);
    // What does not become shorter stays as it is.
    let mut prng = Prng::seeded(1);
    let mut random = List::new();
    for _ in 0..2000 {
        let text: Vec<u8> = (0..50).map(|_| prng.below(256) as u8).collect();
        random.make_room(Fill::default().with_depth(1), text.len(), 1);
        random.push(End::Head, &text);
    }
    assert!(random.blocks() > 10 && compressed_nodes(&random) == 0);
}

/// The list that its parts make.
fn rebuilt(list: &List, fill: Fill) -> List {
    let mut builder = Builder::new(fill);
    for part in list.parts() {
        match part {
            Part::Pack(pack) => builder.add_pack(Validated::new(pack.as_bytes()).expect("well-formed")),
            Part::Big(bytes) => builder.add_big(bytes.to_vec()),
            Part::Compressed(node) => {
                let bytes = crate::base::lzf::decompress(node.lzf(), node.bytes()).expect("well-formed");
                if node.is_big() {
                    builder.add_big(bytes);
                } else {
                    builder.add_pack(Validated::new(&bytes).expect("well-formed"));
                }
            }
        }
    }
    builder.finish()
}

#[test]
fn a_pack_far_beyond_a_nodes_limit_becomes_nodes_within_it() {
    let texts: Vec<Vec<u8>> = (0..9000)
        .map(|n| if n % 1000 == 500 { vec![b'x'; 9000] } else { format!("element {n}").into_bytes() })
        .collect();
    let mut pack = DequePack::new();
    texts.iter().for_each(|text| _ = pack.push_back(text));
    assert!(pack.bytes() > LOADED_PACK_BYTES_MAX);
    for fill in [-2, 100].map(Fill::new) {
        let mut builder = Builder::new(fill);
        builder.add_pack(Validated::of(&pack));
        let list = builder.finish();
        check(&list, &texts.iter().cloned().collect());
        assert!(list.parts().all(|part| matches!(part, Part::Big(_)) || part_bytes(part) <= 8192));
    }
}

fn part_bytes(part: Part<'_>) -> usize {
    match part {
        Part::Pack(pack) => pack.bytes(),
        Part::Big(bytes) => bytes.len(),
        Part::Compressed(node) => node.bytes(),
    }
}

/// Pushing a million elements at either end makes nodes that take as much memory, and the front's is not moved for each.
#[test]
fn lists_pushed_at_the_head_take_what_those_pushed_at_the_tail_do() {
    for (count, width) in [(8, 5), (100, 12), (1000, 12), (100_000, 12), (20_000, 100)] {
        let [head, tail] = [End::Head, End::Tail].map(|end| {
            let mut list = List::new();
            for n in 0..count {
                let text = format!("{n:0width$}x");
                list.make_room(Fill::default(), text.len(), 1);
                list.push(end, text.as_bytes());
            }
            list.parts().map(|part| if let Part::Pack(pack) = part { pack.heap_bytes() } else { 0 }).sum::<usize>()
        });
        assert!(head * 100 <= tail * 108 && count < 10_000 || head * 1000 <= tail * 1003, "{count}: {head} {tail}");
    }
}

fn numbered(count: usize, fill: Fill) -> List {
    let mut list = List::new();
    for n in 0..count {
        list.make_room(fill, 8, 1);
        list.push(End::Tail, format!("e{n:07}").as_bytes());
    }
    list
}

fn counts(list: &List) -> Vec<usize> {
    match &list.0 {
        Form::Pack(pack) => vec![pack.len()],
        Form::Nodes(nodes) => nodes.counts(),
    }
}

#[test]
fn the_form_changes_where_a_limit_is_passed_and_back_at_half_of_it() {
    // A pack of n elements of 8 bytes has 7 + 10 n bytes; one more is estimated at its 8 bytes.
    let fill = Fill::default();
    let mut list = numbered(818, fill);
    assert_eq!((list.encoding(), list.len()), ("listpack", 818));
    list.make_room(fill, 8, 1);
    assert_eq!(list.encoding(), "quicklist");
    list.remove_range(0, 818 - 409);
    list.settle(fill);
    assert_eq!(list.encoding(), "quicklist", "409 elements have 4,097 bytes");
    list.remove_end(End::Head);
    list.settle(fill);
    assert_eq!(list.encoding(), "listpack");

    let fill = Fill::new(5);
    let mut list = numbered(6, fill);
    assert_eq!((list.encoding(), counts(&list)), ("quicklist", vec![5, 1]));
    list.remove_end(End::Tail);
    list.remove_range(2, 2);
    list.settle(fill);
    assert_eq!((list.encoding(), list.len()), ("quicklist", 3));
    list.remove_end(End::Tail);
    list.settle(fill);
    assert_eq!((list.encoding(), list.len()), ("listpack", 2));
}

#[test]
fn nodes_split_and_merge_as_redis_does() {
    let fill = Fill::new(4);
    let mut list = numbered(12, fill);
    assert_eq!(counts(&list), [4, 4, 4]);
    // Into the middle of a full node: two halves, of which neither fits a neighbour.
    assert!(list.insert_beside(b"e0000005", b"in", true));
    assert_eq!(counts(&list), [4, 2, 3, 4]);
    // At the edge of a full node: the neighbour takes it.
    assert!(list.insert_beside(b"e0000003", b"edge", true));
    assert_eq!(counts(&list), [4, 3, 3, 4]);
    assert!(list.insert_beside(b"e0000000", b"first", false));
    assert_eq!(counts(&list), [1, 4, 3, 3, 4]);
    // A large element replaces one in the middle; what followed it joins the next node.
    list.replace(6, &[b'x'; 9000]);
    assert_eq!(counts(&list), [1, 4, 1, 1, 4, 4]);
    // A small one replaces it, in a node of its own as the next is full.
    list.replace(6, b"small");
    assert_eq!(counts(&list), [1, 4, 1, 1, 4, 4]);
    assert_eq!(list.len(), 15);
}

#[test]
fn a_million_short_elements_stay_below_14_6_bytes_each() {
    let mut list = List::new();
    for n in 0..200_000 {
        list.make_room(Fill::default(), 12, 1);
        list.push(End::Tail, format!("elem:{n:07}").as_bytes());
    }
    let each = list.heap_bytes(8) as f64 / list.len() as f64;
    assert!(each < 14.6, "{each}");
}

#[test]
fn removed_nodes_are_handed_out() {
    let mut list = numbered(10_000, Fill::default());
    let blocks = list.blocks();
    let removed = list.remove_range(100, 9_000);
    assert!(removed.blocks() >= 10 && removed.blocks() + list.blocks() == blocks);
    assert_eq!(list.len(), 1_000);
}
