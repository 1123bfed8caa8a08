//! Pseudo-random numbers: xoshiro256** seeded through SplitMix64.
//!
//! NOT cryptographic: a few outputs give away all others. Fit for sampling keys, for random members in replies and for tests;
//! never for secrets, tokens or keys of hash functions.
//!
//! Invariant: the same seed gives the same sequence on every machine and in every build, so that a failing test replays from
//! its seed. Refuses to know where seeds come from: entropy is the system layer's business.

/// A generator with 256 bits of state and a period of 2^256 - 1; a number costs about a nanosecond.
#[derive(Clone, Debug)]
pub struct Prng {
    state: [u64; 4],
}

impl Prng {
    /// A generator that depends on `seed` alone; every seed is fit, zero included.
    pub fn seeded(seed: u64) -> Self {
        let mut position = seed;
        Prng { state: std::array::from_fn(|_| splitmix64(&mut position)) }
    }

    /// The next 64 bits, uniform.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let [s0, s1, s2, s3] = &mut self.state;
        let result = s1.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = *s1 << 17;
        *s2 ^= *s0;
        *s3 ^= *s1;
        *s1 ^= *s2;
        *s0 ^= *s3;
        *s2 ^= shifted;
        *s3 = s3.rotate_left(45);
        result
    }

    /// A number in `0..n`, each equally likely; zero when `n` is zero, which asks for nothing.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        // Lemire's method: the high half of a widening product is uniform once the few low halves that would give some results
        // one chance more than others are drawn again. The division is paid only when a draw might be one of those.
        let mut product = u128::from(self.next_u64()) * u128::from(n);
        if (product as u64) < n {
            let threshold = n.wrapping_neg() % n;
            while (product as u64) < threshold {
                product = u128::from(self.next_u64()) * u128::from(n);
            }
        }
        (product >> 64) as u64
    }

    /// True `num` times in `den` on average: always when `num >= den`, never when `num` is zero.
    #[inline]
    pub fn chance(&mut self, num: u64, den: u64) -> bool {
        self.below(den) < num
    }

    /// One of the items, each equally likely; `None` when there are none.
    #[inline]
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len() as u64) as usize)
    }

    /// Puts the items in an order drawn uniformly from all orders (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

/// Steps `position` and hashes it: spreads even seeds that differ in one bit over the whole state.
fn splitmix64(position: &mut u64) -> u64 {
    *position = position.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *position;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The authors' published first outputs.
    #[test]
    fn outputs_match_the_reference_implementations() {
        let mut position = 1_234_567;
        let outputs: [u64; 5] = std::array::from_fn(|_| splitmix64(&mut position));
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(outputs, expected);

        let mut prng = Prng { state: [1, 2, 3, 4] };
        let outputs: [u64; 6] = std::array::from_fn(|_| prng.next_u64());
        let expected =
            [11_520, 0, 1_509_978_240, 1_215_971_899_390_074_240, 1_216_172_134_540_287_360, 607_988_272_756_665_600];
        assert_eq!(outputs, expected);
    }

    #[test]
    fn the_same_seed_replays_and_another_does_not() {
        let draw = |seed| {
            let mut prng = Prng::seeded(seed);
            [prng.next_u64(), prng.next_u64(), prng.next_u64()]
        };
        assert_eq!(draw(0), draw(0));
        assert_ne!(draw(0), draw(1));
    }

    /// Each of `n` results is expected 10,000 times; a deviation of 600 is six standard deviations.
    #[test]
    fn below_is_in_range_and_even() {
        let mut prng = Prng::seeded(1);
        for n in [1u64, 2, 3, 7, 10] {
            let mut counts = vec![0i64; n as usize];
            for _ in 0..n * 10_000 {
                counts[prng.below(n) as usize] += 1;
            }
            assert!(counts.iter().all(|count| (count - 10_000).abs() < 600), "{n}: {counts:?}");
        }
    }

    /// With `n` = 3 x 2^62 a draw reduced without rejection would land below 2^62 twice as often as it should.
    #[test]
    fn below_is_unbiased_for_large_bounds() {
        let mut prng = Prng::seeded(2);
        let n = 3u64 << 62;
        let mut thirds = [0i64; 3];
        for _ in 0..30_000 {
            let draw = prng.below(n);
            assert!(draw < n);
            thirds[(draw >> 62) as usize] += 1;
        }
        assert!(thirds.iter().all(|count| (count - 10_000).abs() < 600), "{thirds:?}");
        assert!((0..100).all(|_| prng.below(u64::MAX) < u64::MAX));
    }

    #[test]
    fn nothing_to_draw_from_is_no_error() {
        let mut prng = Prng::seeded(3);
        assert_eq!(prng.below(0), 0);
        assert_eq!(prng.pick::<u8>(&[]), None);
        prng.shuffle::<u8>(&mut []);
    }

    #[test]
    fn chance_follows_its_odds() {
        let mut prng = Prng::seeded(4);
        assert!((0..100).all(|_| prng.chance(1, 1) && !prng.chance(0, 1)));
        let hits = (0..10_000).filter(|_| prng.chance(1, 4)).count();
        assert!((2_250..2_750).contains(&hits), "{hits}");
    }

    #[test]
    fn shuffle_reaches_every_order_evenly() {
        let mut prng = Prng::seeded(5);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..24_000 {
            let mut items = [0, 1, 2, 3];
            prng.shuffle(&mut items);
            *counts.entry(items).or_insert(0i64) += 1;
        }
        assert_eq!(counts.len(), 24);
        assert!(counts.values().all(|count| (count - 1_000).abs() < 200), "{counts:?}");
    }

    #[test]
    fn pick_reaches_every_item() {
        let mut prng = Prng::seeded(6);
        let mut seen = [false; 5];
        for _ in 0..200 {
            seen[*prng.pick(&[0usize, 1, 2, 3, 4]).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
