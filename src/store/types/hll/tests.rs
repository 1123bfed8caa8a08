use super::*;
use crate::base::prng::Prng;

const BYTES_MAX: usize = 3000;

fn parsed(bytes: &[u8]) -> Hll<'_> {
    Hll::parse(bytes).expect("a HyperLogLog")
}

fn registers_of(bytes: &[u8]) -> Vec<u8> {
    let mut all = Registers::default();
    all.merge(parsed(bytes)).expect("whole");
    all.iter().collect()
}

/// Where Redis 8.2.3 shows the first bytes of a text after PFADD: how many bytes, the register, its value.
const MARKS: [(usize, usize, u8); 21] = [
    (0, 5938, 2),
    (1, 2538, 1),
    (2, 10472, 2),
    (3, 7842, 1),
    (4, 7223, 1),
    (5, 15860, 2),
    (6, 4722, 1),
    (7, 13178, 1),
    (8, 1138, 1),
    (9, 13849, 3),
    (10, 10876, 1),
    (11, 15422, 1),
    (12, 7008, 1),
    (13, 1290, 1),
    (14, 1734, 2),
    (15, 1745, 5),
    (16, 16290, 2),
    (17, 10112, 8),
    (18, 9231, 2),
    (19, 13284, 1),
    (47, 7379, 1),
];

#[test]
fn elements_mark_the_registers_that_redis_marks() {
    let text = b"The quick brown fox jumps over the lazy dog \x00\xff\x80";
    for (length, register, value) in MARKS {
        assert_eq!(Mark::of(&text[..length]), Mark { register, value }, "{length}");
    }
}

/// The register's bits, one by one.
fn naive_get(packed: &[u8], register: usize) -> u8 {
    (0..6).map(|bit| register * 6 + bit).enumerate().map(|(bit, at)| (packed[at / 8] >> (at % 8) & 1) << bit).sum()
}

#[test]
fn packed_registers_are_six_bits_each() {
    let mut prng = Prng::seeded(1);
    let mut packed = vec![0; DENSE_BYTES - HEADER_BYTES];
    let values: Vec<u8> = (0..REGISTERS).map(|_| prng.below(64) as u8).collect();
    for (register, &value) in values.iter().enumerate() {
        registers::set(&mut packed, register, 63);
        registers::set(&mut packed, register, value);
    }
    for (register, &value) in values.iter().enumerate() {
        assert_eq!((naive_get(&packed, register), registers::get(&packed, register)), (value, value));
    }
    let mut dense = parsed(&empty()).to_dense().expect("whole");
    dense[HEADER_BYTES..].copy_from_slice(&packed);
    let mut all = Registers::default();
    all.merge(parsed(&dense)).expect("dense ones always are");
    assert!(all.iter().eq(values.iter().copied()));
    let mut again = vec![0xff; packed.len()];
    all.pack(&mut again);
    assert_eq!(again, packed);
}

#[test]
fn both_encodings_hold_what_an_array_of_registers_holds() {
    let mut prng = Prng::seeded(2);
    for round in 0..60 {
        let (bytes_max, around) = ([BYTES_MAX, 40, 0][round % 3], [REGISTERS as u64, 200, 20][round / 3 % 3]);
        let mut naive = vec![0; REGISTERS];
        let mut either = empty();
        let mut dense = parsed(&either).to_dense().expect("whole");
        for _ in 0..400 {
            // Few registers and few values, so that runs are split, joined and raised again.
            let register = ((REGISTERS as u64 - around) / 2 + prng.below(around)) as usize;
            let value = if prng.chance(1, 2_000) { 33 } else { 1 + prng.below(3) as u8 };
            let mark = Mark { register, value };
            let raises = naive[register] < value;
            naive[register] = value.max(naive[register]);
            assert_eq!(parsed(&either).is_raised_by(mark), Ok(raises));
            assert_eq!(raise(&mut either, mark, bytes_max), Ok(raises));
            assert_eq!(raise_dense(&mut dense, mark), raises);
            assert!(parsed(&either).encoding() == Encoding::Dense || either.len() <= bytes_max.max(HEADER_BYTES + 2));
        }
        assert_eq!(registers_of(&either), naive);
        assert_eq!(registers_of(&dense), naive);
        let mut histogram = [0; registers::VALUES];
        naive.iter().for_each(|&value| histogram[value as usize] += 1);
        let expected = registers::estimate(&histogram);
        assert_eq!((parsed(&either).count(), parsed(&dense).count()), (Ok(expected), Ok(expected)));
        let converted = parsed(&either).to_dense().expect("whole");
        assert_eq!(converted[HEADER_BYTES..], dense[HEADER_BYTES..]);
    }
}

/// How runs are split is part of the bytes, so a shorter way to the same registers must leave the same ones.
#[test]
fn raising_in_order_leaves_the_bytes_that_raising_one_by_one_leaves() {
    let mut prng = Prng::seeded(5);
    for round in 0..200 {
        let bytes_max = [BYTES_MAX, 300][round % 2];
        let (mut union, mut bytes) = (Registers::default(), empty());
        for _ in 0..2 {
            let mut part = empty();
            let around = [REGISTERS as u64, 300, 12][round % 3];
            for _ in 0..prng.below(400) {
                let mark = Mark { register: prng.below(around) as usize, value: 1 + prng.below(3) as u8 };
                raise(&mut part, mark, BYTES_MAX).expect("whole");
            }
            union.merge(parsed(&part)).expect("whole");
            bytes = part;
        }
        let mut one_by_one = bytes.clone();
        for (register, value) in union.iter().enumerate().filter(|&(_, value)| value > 0) {
            raise(&mut one_by_one, Mark { register, value }, bytes_max).expect("whole");
        }
        raise_to(&mut bytes, &union, bytes_max).expect("whole");
        assert_eq!(bytes, one_by_one);
    }
}

#[test]
fn a_union_has_the_higher_of_each_register() {
    let mut prng = Prng::seeded(3);
    let mut union = Registers::default();
    let mut naive = vec![0; REGISTERS];
    for elements in [10, 300, 5_000, 40_000] {
        let mut bytes = empty();
        for _ in 0..elements {
            raise(&mut bytes, Mark::of(&prng.next_u64().to_le_bytes()), BYTES_MAX).expect("whole");
        }
        union.merge(parsed(&bytes)).expect("whole");
        naive.iter_mut().zip(registers_of(&bytes)).for_each(|(a, b)| *a = b.max(*a));
        assert!(union.iter().eq(naive.iter().copied()));
    }
}

#[test]
fn the_estimate_is_kept_until_a_register_is_raised() {
    let mut bytes = empty();
    assert_eq!(parsed(&bytes).cached(), Some(0));
    assert_eq!(raise(&mut bytes, Mark::of(b"a"), BYTES_MAX), Ok(true));
    assert_eq!(parsed(&bytes).cached(), None);
    set_estimate(&mut bytes, 1);
    assert_eq!(raise(&mut bytes, Mark::of(b"a"), BYTES_MAX), Ok(false));
    assert_eq!(parsed(&bytes).cached(), Some(1));
}

/// The standard error of the estimate is 1.04 / sqrt(registers), 0.81 %. Measured over 100 seeds it must come out near
/// that where registers are full, and well below it where most are empty; and no estimate may be biased.
#[test]
fn estimates_err_as_much_as_theory_says() {
    let theory = 1.04 / (REGISTERS as f64).sqrt();
    let checkpoints = [(1_000, 0.3, 0.75), (10_000, 0.5, 0.95), (100_000, 0.75, 1.25)];
    let mut squares = [0.0; 3];
    let mut sums = [0.0; 3];
    const SEEDS: u64 = 100;
    for seed in 0..SEEDS {
        let mut prng = Prng::seeded(seed);
        let mut dense = parsed(&empty()).to_dense().expect("whole");
        let mut added = 0;
        for (index, &(elements, ..)) in checkpoints.iter().enumerate() {
            for _ in added..elements {
                raise_dense(&mut dense, Mark::of(&prng.next_u64().to_le_bytes()));
            }
            added = elements;
            let error = parsed(&dense).count().expect("dense") as f64 / elements as f64 - 1.0;
            squares[index] += error * error;
            sums[index] += error;
        }
    }
    for (index, (elements, low, high)) in checkpoints.into_iter().enumerate() {
        let measured = (squares[index] / SEEDS as f64).sqrt() / theory;
        let bias = sums[index] / SEEDS as f64 / theory;
        assert!((low..high).contains(&measured), "{elements}: {measured} standard errors");
        assert!(bias.abs() < 0.3, "{elements}: {bias} standard errors off on average");
    }
}

#[test]
fn any_bytes_are_refused_or_dealt_with() {
    let mut prng = Prng::seeded(4);
    for _ in 0..5_000 {
        let mut bytes = empty();
        for _ in 0..prng.below(30) {
            raise(&mut bytes, Mark::of(&prng.next_u64().to_le_bytes()), BYTES_MAX).expect("whole");
        }
        for _ in 0..prng.below(6) {
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next_u64() as u8;
        }
        bytes.truncate(prng.below(2 * bytes.len() as u64) as usize);
        let Some(hll) = Hll::parse(&bytes) else { continue };
        let (is_whole, length) = (hll.count().is_ok(), hll.decode().map(|text| text.len()));
        assert!(length.is_some());
        assert_eq!(hll.to_dense().is_ok(), is_whole);
        assert_eq!(Registers::default().merge(hll).is_ok(), is_whole);
        let mark = Mark { register: prng.below(REGISTERS as u64) as usize, value: 1 + prng.below(40) as u8 };
        let (mut changed, would) = (bytes.clone(), hll.is_raised_by(mark));
        let raised = raise(&mut changed, mark, BYTES_MAX);
        assert!(raised == would || raised == Err(Corrupt) && mark.value > 32, "{raised:?} {would:?}");
        if raised != Ok(true) {
            assert_eq!(changed, bytes);
        } else if is_whole {
            assert_eq!(registers_of(&changed)[mark.register], mark.value);
        }
    }
    let too_high = vec![0xff; DENSE_BYTES - HEADER_BYTES];
    let mut dense = parsed(&empty()).to_dense().expect("whole");
    dense[HEADER_BYTES..].copy_from_slice(&too_high);
    assert_eq!(parsed(&dense).count(), Ok(i64::MAX as u64));
}
