//! Packs against bytes that redis-server dumped, and against a naive vector of strings.

use std::collections::VecDeque;

use super::super::encoded_bytes;
use super::*;
use crate::base::prng::Prng;

fn pack_of(texts: &[&[u8]]) -> Listpack {
    let mut pack = Listpack::new();
    for text in texts {
        pack.push_back(text);
    }
    check_invariants(&pack);
    pack
}

fn texts<const ROOM: bool>(pack: &Pack<ROOM>) -> Vec<Vec<u8>> {
    pack.iter().map(Item::to_vec).collect()
}

fn check_invariants<const ROOM: bool>(pack: &Pack<ROOM>) {
    let count = Validated::new(pack.as_bytes()).expect("well-formed bytes").len();
    assert_eq!(pack.len(), count);
    assert_eq!(pack.is_empty(), count == 0);
    let (room, total) = (pack.start() - Pack::<ROOM>::START, pack.bytes());
    assert_eq!(pack.heap_bytes(), size_class(Pack::<ROOM>::START + room + total));
    // What the size class leaves, or a part of the pack: never more.
    let left = size_class(Pack::<ROOM>::START + total) - Pack::<ROOM>::START - total;
    assert!(room <= left.max(total / LEFT_ROOM_PART) && (ROOM || room == 0), "{room} bytes before {total}");
    let mut backwards: Vec<_> = pack.iter().rev().collect();
    backwards.reverse();
    assert!(pack.iter().eq(backwards));
}

/// The whole of a pack: header, entries as hexadecimal digits, end.
fn redis_bytes(count: u16, entries: &str) -> Vec<u8> {
    let digits: Vec<u8> = entries.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("digits");
    let entries: Vec<u8> = digits.chunks(2).map(byte).collect();
    let mut bytes = (entries.len() as u32 + 7).to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes.extend(entries);
    bytes.push(END);
    bytes
}

#[test]
fn a_pack_is_one_thin_pointer_and_an_empty_one_a_block_of_16_bytes() {
    const { assert!(size_of::<Option<Listpack>>() == 8 && size_of::<Option<Pos>>() == 4) };
    let pack = Listpack::new();
    assert_eq!((pack.bytes(), pack.heap_bytes(), pack.as_bytes()), (7, 16, &redis_bytes(0, "")[..]));
    assert!(pack.first().is_none() && pack.last().is_none() && pack.seek(0).is_none() && pack.seek(-1).is_none());
}

/// Each element of a list that redis-server 8.2.3 dumped after RPUSH of these texts, at every limit between encodings.
#[test]
fn bytes_are_those_that_redis_dumps() {
    let entries: [(&[u8], &str); 23] = [
        (b"a", "8161 02"),
        (b"1", "01 01"),
        (b"-1", "dfff 02"),
        (b"127", "7f 01"),
        (b"128", "c080 02"),
        (b"-4096", "d000 02"),
        (b"4095", "cfff 02"),
        (b"4096", "f10010 03"),
        (b"32767", "f1ff7f 03"),
        (b"-32768", "f10080 03"),
        (b"32768", "f2008000 04"),
        (b"8388607", "f2ffff7f 04"),
        (b"8388608", "f300008000 05"),
        (b"2147483647", "f3ffffff7f 05"),
        (b"-2147483649", "f4ffffff7fffffffff 09"),
        (b"9223372036854775807", "f4ffffffffffffff7f 09"),
        (b"-9223372036854775808", "f40000000000000080 09"),
        (b"9223372036854775808", "9339323233333732303336383534373735383038 14"),
        (b"", "80 01"),
        (b"01", "823031 03"),
        (b"-0", "822d30 03"),
        (b"+1", "822b31 03"),
        (b" 1", "822031 03"),
    ];
    let mut all = String::new();
    for (text, entry) in entries {
        let bytes = redis_bytes(1, entry);
        assert_eq!(pack_of(&[text]).as_bytes(), bytes, "{text:?}");
        assert_eq!(encoded_bytes(text), bytes.len() - 7, "{text:?}");
        assert_eq!(texts(&Listpack::from_validated(&bytes).expect("valid")), [text]);
        all.push_str(entry);
    }
    let pack = pack_of(&entries.map(|(text, _)| text));
    assert_eq!(pack.as_bytes(), redis_bytes(23, &all));
    assert_eq!(texts(&pack), entries.map(|(text, _)| text));
    // HSET h f1 v1 n 12.
    assert_eq!(pack_of(&[b"f1", b"v1", b"n", b"12"]).as_bytes(), redis_bytes(4, "82663103 82763103 816e02 0c01"));
}

/// Heads and backward lengths of one-element lists of `x`, as redis-server 8.2.3 dumped them.
#[test]
fn lengths_of_strings_take_the_bytes_that_redis_gives_them() {
    let cases = [
        (63, "bf", "40"),
        (64, "e040", "42"),
        (125, "e07d", "7f"),
        (126, "e07e", "0180"),
        (4095, "efff", "2081"),
        (4096, "f000100000", "2085"),
        (16_377, "f0f93f0000", "7ffe"),
        // 16383 would fit two bytes, but Redis takes three.
        (16_378, "f0fa3f0000", "00ffff"),
        (16_379, "f0fb3f0000", "018080"),
        (2_097_145, "f0f9ff1f00", "7ffffe"),
        (2_097_146, "f0faff1f00", "00ffffff"),
    ];
    for (length, head, backlen) in cases {
        let text = vec![b'x'; length];
        let pack = pack_of(&[&text, b"z"]);
        let expected = redis_bytes(2, &format!("{head}{}{backlen}817a02", "78".repeat(length)));
        assert!(pack.as_bytes() == expected, "{length}");
        assert_eq!(pack.prev(pack.last().expect("z")), pack.first());
    }
}

#[test]
fn items_know_their_text_without_making_it() {
    for n in [0, 9, 10, -1, -10, 127, 99_999, i64::MAX, i64::MIN] {
        let text = n.to_string();
        let item = Item::of(text.as_bytes());
        assert_eq!((item, item.len(), item.as_int()), (Item::Int(n), text.len(), Some(n)));
        assert!(item.eq_bytes(text.as_bytes()) && !item.eq_bytes(format!("0{text}").as_bytes()));
    }
    let item = Item::of(b"");
    assert!(item.is_empty() && item.as_int().is_none() && item.eq_bytes(b"") && !item.eq_bytes(b"0"));
}

#[test]
fn find_compares_integers_as_numbers_and_jumps_over_values() {
    let pack = pack_of(&[b"f", b"12", b"12", b"f", b"g", b"h", b"07", b"h"]);
    let index_of = |needle: &[u8], skip| {
        let found = pack.find(None, needle, skip)?;
        Some(pack.iter_until(found).count())
    };
    assert_eq!((index_of(b"12", 0), index_of(b"12", 1)), (Some(1), Some(2)));
    assert_eq!((index_of(b"g", 1), index_of(b"h", 1), index_of(b"h", 2)), (Some(4), None, None));
    assert_eq!((index_of(b"07", 0), index_of(b"7", 0), index_of(b"012", 0)), (Some(6), None, None));
    let after = pack.seek(2).expect("there");
    assert_eq!(pack.find(Some(after), b"f", 0), pack.seek(3));
    // The jump may lead beyond the end.
    assert_eq!(index_of(b"none", 100), None);
}

#[test]
fn integers_kept_as_strings_by_others_are_found_too() {
    // "12" as a string, 5 as 64 bits, 300 as a 24-bit integer.
    let bytes = redis_bytes(3, "82313203 f4050000000000000009 f22c010004");
    let mut pack = Listpack::from_validated(&bytes).expect("Redis loads it as well");
    assert_eq!(texts(&pack), [b"12".to_vec(), b"5".to_vec(), b"300".to_vec()]);
    for (index, needle) in [b"12".as_slice(), b"5", b"300"].into_iter().enumerate() {
        assert_eq!(pack.find(None, needle, 0), pack.seek(index as i64));
    }
    assert_eq!(pack.item(0).and_then(Item::as_int), Some(12));
    let second = pack.seek(1).expect("there");
    pack.replace(second, b"6");
    assert_eq!(pack.as_bytes(), redis_bytes(3, "82313203 0601 f22c010004"));
}

#[test]
fn a_replacement_of_the_same_size_moves_nothing() {
    let mut pack = pack_of(&[b"a", b"1000", b"z"]);
    let block = pack.as_bytes().as_ptr();
    let pos = pack.seek(1).expect("there");
    assert_eq!(pack.replace(pos, b"2000"), pos);
    assert_eq!(pack.replace_int(pos, -3000), pos);
    assert_eq!(
        (pack.as_bytes().as_ptr(), texts(&pack)),
        (block, vec![b"a".to_vec(), b"-3000".to_vec(), b"z".to_vec()])
    );
    check_invariants(&pack);
}

#[test]
fn beyond_65534_elements_are_counted_by_walking() {
    let mut pack = Listpack::new();
    for n in 0..65_534 {
        pack.push_back_int(n);
    }
    assert_eq!(pack.known_count(), Some(65_534));
    pack.push_front(b"first");
    assert_eq!((pack.known_count(), pack.len()), (None, 65_535));
    assert_eq!(pack.item(-1), Some(Item::Int(65_533)));
    assert_eq!(pack.item(3), Some(Item::Int(2)));
    assert!(pack.seek(65_535).is_none() && pack.seek(-65_536).is_none());
    assert_eq!(pack.seek(-65_535), pack.first());
    let tail = pack.split_off(65_000);
    assert_eq!((pack.len(), tail.len(), tail.known_count()), (65_000, 535, Some(535)));
    check_invariants(&pack);
    check_invariants(&tail);
    // A pack of bytes from outside knows its count again.
    let reloaded = Listpack::from_validated(pack.as_bytes()).expect("valid");
    assert_eq!((pack.known_count(), reloaded.known_count()), (None, Some(65_000)));
    let mut merged = tail.clone();
    merged.append(&pack);
    assert_eq!((merged.known_count(), merged.len()), (None, 65_535));
}

#[test]
fn a_raw_pointer_is_the_pack_it_was() {
    let raw = pack_of(&[b"a", b"2"]).into_raw();
    // SAFETY: `raw` was given up on the line above, and is taken back once.
    let pack = unsafe { Listpack::from_raw(raw) };
    assert_eq!(texts(&pack), [b"a", b"2"]);
}

/// A queue: what comes at the one end leaves at the other. The bytes of all are moved seldom.
#[test]
fn a_deque_is_moved_once_for_many_elements_that_come_and_go() {
    for (head, count) in [(true, 50), (false, 50), (true, 400), (false, 400)] {
        let (mut pack, mut twin, mut moves) = (DequePack::new(), VecDeque::new(), 0);
        for n in 0..4000 {
            let text = format!("element {n}").into_bytes();
            let last = |pack: &DequePack| pack.as_bytes().as_ptr() as usize + pack.bytes();
            let before = last(&pack);
            if head {
                pack.push_front(&text);
                twin.push_front(text);
                // The entries have moved if the end has.
                moves += usize::from(last(&pack) != before && pack.len() > 1);
            } else {
                pack.push_back(&text);
                twin.push_back(text);
            }
            if twin.len() > count {
                let pos = if head { pack.last() } else { pack.first() };
                let start = last(&pack);
                pack.remove(pos.expect("not empty"));
                moves += usize::from(!head && last(&pack) != start);
                _ = if head { twin.pop_back() } else { twin.pop_front() };
            }
        }
        check_invariants(&pack);
        assert!(texts(&pack).iter().eq(&twin));
        assert!(moves < 1500, "{moves} moves, head: {head}, {count}");
    }
}

#[test]
fn a_large_element_at_the_front_needs_no_room() {
    let mut pack = DequePack::new();
    let mut naive = VecDeque::new();
    for bytes in [10, 65_529, 65_530, 65_535, 70_000, 200_000, 3, 65_520, 1] {
        let text = vec![b'x'; bytes];
        pack.push_front(&text);
        naive.push_front(text);
        check_invariants(&pack);
    }
    assert!(texts(&pack).iter().eq(&naive));
    while let Some(pos) = pack.first() {
        pack.remove(pos);
        naive.pop_front();
        check_invariants(&pack);
        assert!(texts(&pack).iter().eq(&naive));
    }
}

#[test]
fn fits_up_to_the_limit() {
    let pack = Listpack::new();
    assert!(pack.fits(BYTES_MAX - 7) && !pack.fits(BYTES_MAX - 6) && !pack.fits(usize::MAX));
    let full = pack_of(&[b"0123456789".as_slice(); 8]);
    limit_bytes(100);
    assert!(pack.fits(93) && !pack.fits(94) && full.bytes() == 103 && !full.fits(0));
    limit_bytes(usize::MAX);
    assert_eq!(bytes_max(), BYTES_MAX);
}

/// A text with every encoding likely: integers of all widths, short and long strings, near-integers.
fn any_text(prng: &mut Prng) -> Vec<u8> {
    match prng.below(10) {
        0..5 => (prng.next_u64() as i64 >> prng.below(64)).to_string().into_bytes(),
        5 => format!("0{}", prng.below(100)).into_bytes(),
        6 => vec![b'y'; 55 + prng.below(100) as usize],
        7 if prng.chance(1, 20) => vec![b'z'; 4000 + prng.below(13_000) as usize],
        _ => (0..prng.below(12)).map(|_| prng.next_u64() as u8).collect(),
    }
}

/// The pack, and a naive vector that undergoes the same.
struct Twins<const ROOM: bool> {
    pack: Pack<ROOM>,
    naive: Vec<Vec<u8>>,
    prng: Prng,
}

impl<const ROOM: bool> Twins<ROOM> {
    fn check(&self) {
        check_invariants(&self.pack);
        assert_eq!(texts(&self.pack), self.naive);
    }

    /// An index that is there, and its position.
    fn spot(&mut self) -> Option<(usize, Pos)> {
        let index = self.prng.below(self.naive.len() as u64) as usize;
        let signed = if self.prng.chance(1, 2) { index as i64 } else { index as i64 - self.naive.len() as i64 };
        let pos = self.pack.seek(signed);
        assert_eq!(pos.is_some(), !self.naive.is_empty());
        Some((index, pos?))
    }

    fn check_at(&self, index: usize, pos: Option<Pos>) {
        let found = pos.map(|pos| self.pack.at(pos).to_vec());
        assert_eq!(found.as_ref(), self.naive.get(index));
        assert_eq!(pos, self.pack.seek(index as i64));
    }

    fn push(&mut self) {
        let text = any_text(&mut self.prng);
        let n = self.prng.next_u64() as i64 >> self.prng.below(64);
        let end = self.naive.len();
        let (index, pos, text) = match self.prng.below(4) {
            0 => (end, self.pack.push_back(&text), text),
            1 => (0, self.pack.push_front(&text), text),
            2 => (end, self.pack.push_back_int(n), n.to_string().into_bytes()),
            _ => (0, self.pack.push_front_int(n), n.to_string().into_bytes()),
        };
        self.naive.insert(index, text);
        self.check_at(index, Some(pos));
    }

    fn insert(&mut self) {
        let text = any_text(&mut self.prng);
        let n = self.prng.next_u64() as i64 >> self.prng.below(64);
        let Some((index, pos)) = self.spot() else { return };
        let (index, pos, text) = match self.prng.below(4) {
            0 => (index, self.pack.insert_before(pos, &text), text),
            1 => (index + 1, self.pack.insert_after(pos, &text), text),
            2 => (index, self.pack.insert_before_int(pos, n), n.to_string().into_bytes()),
            _ => (index + 1, self.pack.insert_after_int(pos, n), n.to_string().into_bytes()),
        };
        self.naive.insert(index, text);
        self.check_at(index, Some(pos));
    }

    fn replace(&mut self) {
        let text = any_text(&mut self.prng);
        let Some((index, pos)) = self.spot() else { return };
        assert_eq!(self.pack.replace(pos, &text), pos);
        self.naive[index] = text;
    }

    fn remove(&mut self) {
        let Some((index, pos)) = self.spot() else { return };
        let next = self.pack.remove(pos);
        self.naive.remove(index);
        self.check_at(index, next);
    }

    fn remove_some(&mut self) {
        let Some((index, pos)) = self.spot() else { return };
        let count = self.prng.below(6) as usize;
        let removed = self.naive.drain(index..self.naive.len().min(index + count)).count();
        if self.prng.chance(1, 2) {
            let next = self.pack.remove_range(pos, count);
            self.check_at(index, next);
        } else {
            assert_eq!(self.pack.remove_range_index(index as i64, count), removed);
        }
    }

    fn cut_and_join(&mut self) {
        let index = self.prng.below(self.naive.len() as u64 + 2) as usize;
        let tail = self.pack.split_off(index);
        let naive_tail = self.naive.split_off(index.min(self.naive.len()));
        check_invariants(&tail);
        assert_eq!(texts(&tail), naive_tail);
        self.check();
        if self.prng.chance(1, 2) {
            self.pack.append(&tail);
            self.naive.extend(naive_tail);
        } else {
            self.pack.prepend(&tail);
            self.naive.splice(0..0, naive_tail);
        }
    }

    fn find(&mut self) {
        let needle = match self.prng.pick(&self.naive) {
            Some(text) if self.prng.clone().chance(3, 4) => text.clone(),
            _ => any_text(&mut self.prng),
        };
        let skip = self.prng.below(3) as usize;
        let Some((from, pos)) = self.spot() else { return };
        let expected = (from..self.naive.len()).step_by(skip + 1).find(|&index| self.naive[index] == needle);
        let found = self.pack.find(Some(pos), &needle, skip);
        assert_eq!(found.map(|pos| self.pack.iter_until(pos).count()), expected);
        assert!(self.pack.iter_from(pos).map(Item::to_vec).eq(self.naive[from..].iter().cloned()));
    }

    fn step(&mut self) {
        match self.prng.below(20) {
            0 => self.pack.give_back_room(),
            1..6 => self.push(),
            6..10 => self.insert(),
            10..13 => self.replace(),
            13..15 => self.remove(),
            15 => self.remove_some(),
            16 => self.cut_and_join(),
            17 if self.prng.chance(1, 10) => {
                let count = self.prng.below(30) as usize;
                self.pack.truncate(count);
                self.naive.truncate(count);
            }
            17 => self.pack = self.pack.clone(),
            _ => self.find(),
        }
    }
}

#[test]
fn matches_the_naive_vector() {
    compare_with_the_naive_vector::<false>();
}

#[test]
fn a_deque_matches_the_naive_vector() {
    compare_with_the_naive_vector::<true>();
}

fn compare_with_the_naive_vector<const ROOM: bool>() {
    for seed in 0..20 {
        let mut twins = Twins::<ROOM> { pack: Pack::new(), naive: Vec::new(), prng: Prng::seeded(seed) };
        for _ in 0..400 {
            twins.step();
            twins.check();
        }
        let (len, pack) = (twins.naive.len() as i64, &twins.pack);
        assert!((0..len).all(|index| pack.seek(index) == pack.seek(index - len)));
        assert!(pack.seek(len).is_none() && pack.seek(-len - 1).is_none());
        assert!(pack.seek(i64::MAX).is_none() && pack.seek(i64::MIN).is_none());
    }
}

#[test]
fn bytes_that_are_no_pack_are_refused() {
    let valid = redis_bytes(2, "816102 dfff02");
    assert!(Listpack::from_validated(&valid).is_some());
    for length in 0..valid.len() {
        assert!(Listpack::from_validated(&valid[..length]).is_none(), "{length}");
    }
    let refused = [
        (1, "816102 dfff02", "the count is wrong"),
        (1, "816103", "the backward length is wrong"),
        (1, "8161 0082", "the backward length is longer than need be"),
        (1, "ff", "an end within"),
        (1, "f50001", "no such encoding"),
        (1, "f0ffffffff6106", "a length beyond the end"),
        (1, "826102", "a text into the end"),
        (1, "81", "an entry without a backward length"),
    ];
    for (count, entries, why) in refused {
        assert!(Listpack::from_validated(&redis_bytes(count, entries)).is_none(), "{why}");
    }
    let mut no_end = valid.clone();
    no_end[12] = 0xFE;
    assert!(Listpack::from_validated(&no_end).is_none());
    assert!(Listpack::from_validated(&redis_bytes(0, "")).is_some());
}

/// Whatever is accepted can be walked both ways, changed and freed.
#[test]
fn damaged_bytes_are_refused_or_safe() {
    let mut prng = Prng::seeded(5);
    let mut accepted = 0;
    for _ in 0..300 {
        let mut pack = Listpack::new();
        for _ in 0..prng.below(8) {
            pack.push_back(&any_text(&mut prng));
        }
        for _ in 0..40 {
            let mut bytes = pack.as_bytes().to_vec();
            for _ in 0..=prng.below(2) {
                let at = prng.below(bytes.len() as u64) as usize;
                match prng.below(4) {
                    0 => bytes[at] ^= 1 << prng.below(8),
                    1 => bytes[at] = prng.next_u64() as u8,
                    2 => bytes.truncate(at.max(1)),
                    _ => bytes.insert(at, prng.next_u64() as u8),
                }
            }
            if prng.chance(3, 4) && bytes.len() >= 7 {
                let total = bytes.len() as u32;
                bytes[..4].copy_from_slice(&total.to_le_bytes());
                bytes[4..6].copy_from_slice(&[0xFF; 2]);
            }
            let Some(mut pack) = Listpack::from_validated(&bytes) else { continue };
            accepted += 1;
            check_invariants(&pack);
            while let Some(pos) = pack.last() {
                let text = pack.at(pos).to_vec();
                assert!(pack.find(None, &text, 0).is_some());
                pack.replace(pos, b"replaced");
                pack.remove(pos);
            }
            check_invariants(&pack);
        }
    }
    assert!(accepted > 500, "{accepted}");
}
