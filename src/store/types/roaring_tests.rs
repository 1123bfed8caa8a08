use super::*;
use crate::base::prng::Prng;
use crate::store::types::bitmap;

/// Bytes with holes, runs and noise, over some chunks.
fn some_bytes(prng: &mut Prng) -> Vec<u8> {
    let mut bytes = vec![0; 100 + prng.below(5 * CHUNK_BYTES as u64) as usize];
    for _ in 0..prng.below(6) {
        let at = prng.below(bytes.len() as u64) as usize;
        let end = bytes.len().min(at + 1 + prng.below(2 * CHUNK_BYTES as u64) as usize);
        let kind = prng.below(4);
        for byte in &mut bytes[at..end] {
            *byte = match kind {
                0 => 0xff,
                1 => prng.next_u64() as u8,
                2 => 0,
                _ if prng.chance(1, 60) => 1 << prng.below(8),
                _ => *byte,
            };
        }
    }
    bytes
}

fn some_range(prng: &mut Prng, end: u64) -> Range<u64> {
    let (a, b) = (prng.below(end + 1), prng.below(end + 1));
    a.min(b)..a.max(b)
}

fn compare(roaring: &Roaring, bytes: &[u8], prng: &mut Prng) {
    roaring.check();
    assert_eq!(roaring.len(), bytes.len());
    assert!(roaring.to_bytes().expect("little memory") == bytes);
    let bits = 8 * bytes.len() as u64;
    for round in 0..4 {
        let range = if round == 0 { 0..bits } else { some_range(prng, bits) };
        assert_eq!(roaring.count(range.clone()), bitmap::count(bytes, range.clone()));
        for value in [false, true] {
            assert_eq!(roaring.find(range.clone(), value), bitmap::find(bytes, range.clone(), value));
            let most = 1 + prng.below(3000) as usize;
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            let rest = roaring.visit(range.clone(), value, |offset| {
                found.push(offset);
                found.len() < most
            });
            let expected_rest = bitmap::visit(bytes, range.clone(), value, |offset| {
                expected.push(offset);
                expected.len() < most
            });
            assert!(found == expected && rest == expected_rest);
        }
        let part = (range.start / 8) as usize..(range.end / 8) as usize;
        assert!(Text::Roaring(roaring).part(part.clone(), &mut vec![1, 2]) == &bytes[part]);
        let offset = prng.below(bits + 100);
        assert_eq!(roaring.get(offset), bitmap::get(bytes, offset));
    }
}

#[test]
fn a_compressed_bitmap_answers_as_its_bytes_do() {
    let mut prng = Prng::seeded(31);
    for _ in 0..20 {
        let bytes = some_bytes(&mut prng);
        compare(&Roaring::from_bytes(&bytes), &bytes, &mut prng);
    }
}

#[test]
fn bits_that_are_set_and_cleared_are_those_of_the_bytes() {
    let mut prng = Prng::seeded(32);
    for round in 0..4 {
        let mut bytes = if round % 2 == 0 { vec![0; 3 * CHUNK_BYTES] } else { some_bytes(&mut prng) };
        let mut roaring = Roaring::from_bytes(&bytes);
        for _ in 0..6 {
            let (from, on) = (prng.below(8 * bytes.len() as u64), prng.chance(2, 3));
            let step = *prng.pick(&[1, 1, 2, 977]).expect("not empty");
            for n in 0..prng.below(9000) {
                let offset = (from + n * step) % (8 * bytes.len() as u64);
                roaring.set(offset, on);
                bitmap::set(&mut bytes, offset, on);
            }
            let field = Field { signed: prng.chance(1, 2), bits: 1 + prng.below(63) as u32 };
            let offset = prng.below(8 * bytes.len() as u64 - 70);
            for at in [offset, 8 * bytes.len() as u64 - 70] {
                let number = prng.next_u64() as i64;
                field.write(&mut bytes, at, number);
                roaring.set_field(field, at, number);
                assert_eq!(roaring.field(field, at), field.read(&bytes, at));
            }
            assert_eq!(
                roaring.field(field, 8 * bytes.len() as u64 - 3),
                field.read(&bytes, 8 * bytes.len() as u64 - 3)
            );
            if prng.chance(1, 3) {
                bytes.resize(bytes.len() + prng.below(9000) as usize, 0);
                roaring.extend(bytes.len());
            }
            compare(&roaring, &bytes, &mut prng);
        }
    }
}

#[test]
fn combining_is_that_of_the_bytes() {
    let mut prng = Prng::seeded(33);
    let ops = [Op::And, Op::Or, Op::Xor, Op::Not, Op::Diff, Op::Diff1, Op::AndOr, Op::One];
    for _ in 0..4 {
        let strings: Vec<Vec<u8>> = (0..1 + prng.below(4)).map(|_| some_bytes(&mut prng)).collect();
        let compressed: Vec<Roaring> = strings.iter().map(|bytes| Roaring::from_bytes(bytes)).collect();
        let mut sources: Vec<Text<'_>> = strings.iter().map(|bytes| Text::Plain(bytes)).collect();
        for (source, roaring) in sources.iter_mut().zip(&compressed) {
            if prng.chance(2, 3) {
                *source = Text::Roaring(roaring);
            }
        }
        for op in ops {
            let used = if op == Op::Not { 1 } else { strings.len() };
            let slices: Vec<&[u8]> = strings[..used].iter().map(Vec::as_slice).collect();
            let expected = bitmap::combine(op, &slices).expect("little memory");
            let mut combining = Combining::new(op, &sources[..used]);
            while combining.go_on(&sources[..used]) {}
            compare(&combining.take(), &expected, &mut prng);
        }
    }
}

#[test]
fn the_last_bits_of_the_longest_string_are_there() {
    let mut roaring = Roaring::zeros(BYTES_MAX);
    let last = u64::from(u32::MAX);
    for offset in [0, 65_535, 65_536, last - 65_536, last] {
        roaring.set(offset, true);
    }
    roaring.check();
    assert!(roaring.get(last) && !roaring.get(last - 1) && !roaring.get(last + 1));
    assert_eq!((roaring.count(0..last + 1), roaring.count(last..last + 1)), (5, 1));
    assert_eq!((roaring.find(1..last, true), roaring.find(0..last, false)), (Some(65_535), Some(1)));
    assert_eq!((roaring.find(last..last + 1, false), roaring.find(65_537..last, true)), (None, Some(last - 65_536)));
    let mut tail = [0; 3];
    roaring.copy_over_zeros(BYTES_MAX - 3, &mut tail);
    assert_eq!(tail, [0, 0, 1]);
    let mut combining = Combining::new(Op::Not, &[Text::Roaring(&roaring)]);
    while combining.go_on(&[Text::Roaring(&roaring)]) {}
    let inverse = combining.take();
    inverse.check();
    assert_eq!((inverse.count(0..last + 1), inverse.get(last), inverse.get(last - 1)), (last + 1 - 5, false, true));
    assert!(inverse.is_saving(), "{}", inverse.heap_bytes());
}

#[test]
fn runs_take_little_and_noise_is_found_to_be_wasteful() {
    let mut roaring = Roaring::zeros(1 << 20);
    (0..8 << 20).for_each(|offset| roaring.set(offset, true));
    assert!(roaring.heap_bytes() < 128 * 128, "{}", roaring.heap_bytes());
    let mut prng = Prng::seeded(34);
    let noise: Vec<u8> = (0..1 << 16).map(|_| prng.next_u64() as u8).collect();
    let roaring = Roaring::from_bytes(&noise);
    assert!(roaring.is_wasteful() && !roaring.is_saving());
    assert!(Roaring::suits(1 << 29, 1000) && !Roaring::suits((1 << 29) + 1, 0) && !Roaring::suits(5000, 4000));
}

#[test]
fn what_was_serialised_is_read_again_and_nothing_else() {
    let mut prng = Prng::seeded(35);
    for _ in 0..20 {
        let bytes = some_bytes(&mut prng);
        let roaring = Roaring::from_bytes(&bytes);
        let (mut read, mut key, mut serial) = (Roaring::zeros(bytes.len()), Some(0), Vec::new());
        while let Some(found) = key.and_then(|key| roaring.serialized_from(key, &mut serial)) {
            for _ in 0..20 {
                let mut broken = serial.clone();
                let at = prng.below(broken.len() as u64) as usize;
                match prng.below(3) {
                    0 => broken.truncate(at),
                    1 => broken.push(0),
                    _ => broken[at] = prng.next_u64() as u8,
                }
                let mut other = read.clone();
                _ = other.add_serialized(&broken);
                other.check();
            }
            assert_eq!(read.add_serialized(&serial), Some(()));
            assert_eq!(read.add_serialized(&serial), None, "it is there twice");
            key = found.checked_add(1);
        }
        compare(&read, &bytes, &mut prng);
        assert!(Roaring::zeros(0).add_serialized(&serial).is_none());
    }
}
