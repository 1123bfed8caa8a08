//! The heaviest keys of a stream in bounded memory: the Space-Saving sketch (Metwally, Agrawal, El Abbadi 2005). A fixed number of
//! keys is counted; one that is new takes the place of the lightest, and its weight as the error that its own may have.
//!
//! A key whose weight is more than the whole stream's divided by the number of places is never missed. What is shown of a key is
//! its weight without the error: what it surely has.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Keys that are counted at one time.
pub const PLACES: usize = 1024;
/// Bytes of the longest key that is counted: all of them together take some 1 MiB at most.
pub const KEY_BYTES_MAX: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Weight {
    /// What the key has at most.
    upper: u64,
    /// What of it may have been another's.
    error: u64,
}

/// The sketch.
#[derive(Debug, Default)]
pub struct TopKeys {
    weights: HashMap<Arc<[u8]>, Weight>,
    /// The same keys by what they have at most, the lightest first.
    order: BTreeSet<(u64, Arc<[u8]>)>,
}

impl TopKeys {
    /// Adds to a key's weight. Keys longer than [`KEY_BYTES_MAX`] are left out. O(log [`PLACES`]).
    pub fn add(&mut self, key: &[u8], weight: u64) {
        if weight == 0 || key.len() > KEY_BYTES_MAX {
            return;
        }
        let (key, known) = match self.weights.get_key_value(key) {
            Some((key, known)) => (Arc::clone(key), *known),
            None => (Arc::from(key), self.take_place()),
        };
        self.order.remove(&(known.upper, Arc::clone(&key)));
        let upper = known.upper.saturating_add(weight);
        self.order.insert((upper, Arc::clone(&key)));
        self.weights.insert(key, Weight { upper, ..known });
    }

    /// Takes half of every key's weight away. Keys that have none left are forgotten. O([`PLACES`] log [`PLACES`]).
    pub fn halve(&mut self) {
        self.weights.retain(|_, weight| {
            *weight = Weight { upper: weight.upper / 2, error: weight.error / 2 };
            weight.upper > 0
        });
        self.order = self.weights.iter().map(|(key, weight)| (weight.upper, Arc::clone(key))).collect();
    }

    /// A place for a new key, and with it the weight of who had it.
    fn take_place(&mut self) -> Weight {
        if self.weights.len() < PLACES {
            return Weight { upper: 0, error: 0 };
        }
        let (upper, lightest) = self.order.pop_first().expect("as many as there are weights");
        self.weights.remove(&lightest);
        Weight { upper, error: upper }
    }

    /// The heaviest keys, with what each surely weighs, the heaviest first. O([`PLACES`] log [`PLACES`]).
    pub fn heaviest(&self, count: usize) -> Vec<(&[u8], u64)> {
        let mut all: Vec<(&[u8], u64)> =
            self.weights.iter().map(|(key, weight)| (&**key, weight.upper - weight.error)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(count);
        all.retain(|(_, weight)| *weight > 0);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut top = TopKeys::default();
        for i in 0..1000u64 {
            top.add(format!("k{}", i % 7).as_bytes(), i % 7);
        }
        top.add(&[b'x'; KEY_BYTES_MAX + 1], 1_000_000);
        assert_eq!(top.heaviest(2), [(b"k6".as_slice(), 6 * 142), (b"k5".as_slice(), 5 * 143)]);
        assert_eq!(top.heaviest(100).len(), 6, "a key without weight is none");
    }

    /// Beside a map that counts everything.
    #[test]
    fn heavy_keys_are_found_among_very_many_and_never_overstated() {
        let (mut top, mut exact, mut prng) = (TopKeys::default(), HashMap::new(), Prng::seeded(7));
        for _ in 0..200_000 {
            let hot = prng.below(4) == 0;
            let key = if hot { format!("hot{}", prng.below(5)) } else { format!("cold{}", prng.below(1_000_000)) };
            top.add(key.as_bytes(), 3);
            *exact.entry(key).or_insert(0u64) += 3;
        }
        let found = top.heaviest(5);
        assert!(found.iter().all(|(key, _)| key.starts_with(b"hot")), "{found:?}");
        for (key, weight) in top.heaviest(PLACES) {
            let exact = exact[std::str::from_utf8(key).unwrap()];
            assert!(weight <= exact, "{weight} of {exact}");
        }
        assert_eq!((top.weights.len(), top.order.len()), (PLACES, PLACES));
    }
}
