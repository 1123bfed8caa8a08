//! Which keys are asked for most: a count that is always on, as it looks at one command in `TURNS` turns of the loop.
//!
//! A command that is looked at stands for all that its turn had parsed with it. What was counted loses half of its weight each
//! `HALF_LIFE_MS`, so that what is shown is of the last minutes.

use crate::feature::top_keys::TopKeys;

/// Turns from one whose key is counted to the next.
const TURNS: u64 = 64;
/// Milliseconds in which what was counted loses half of its weight.
const HALF_LIFE_MS: u64 = 60_000;
/// Weight of one command, so that halves of it count as well.
const UNIT: u64 = 1 << 16;

/// The count.
#[derive(Debug, Default)]
pub struct BusyKeys {
    /// By the number of the database, in four bytes, and the key.
    top: TopKeys,
    /// Weight of all keys.
    total: u64,
    halved_ms: u64,
    /// The name under which a key is counted: kept for its room.
    name: Vec<u8>,
}

impl BusyKeys {
    /// Which of the commands of a turn is to be counted, if any is.
    #[inline]
    pub fn choose(turn: u64, commands: usize) -> Option<usize> {
        if !turn.is_multiple_of(TURNS) || commands == 0 {
            return None;
        }
        // Any of them, so that no rhythm of the clients hides a key.
        let mixed = (turn / TURNS).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
        Some(mixed as usize % commands)
    }

    /// Counts a key that stands for so many commands. O(log keys).
    pub fn add(&mut self, db: usize, key: &[u8], commands: usize) {
        self.name.clear();
        self.name.extend_from_slice(&(db as u32).to_be_bytes());
        self.name.extend_from_slice(key);
        let weight = commands as u64 * UNIT;
        self.top.add(&self.name, weight);
        self.total = self.total.saturating_add(weight);
    }

    /// Halves what was counted if it is time. O(keys) each minute.
    pub fn fade(&mut self, now_ms: u64) {
        if now_ms >= self.halved_ms + HALF_LIFE_MS {
            self.halved_ms = now_ms;
            self.total /= 2;
            self.top.halve();
        }
    }

    /// The busiest keys with the number of their database and their part of all that were counted, the busiest first.
    pub fn busiest(&self, count: usize) -> Vec<(usize, &[u8], f64)> {
        let heaviest = self.top.heaviest(count).into_iter().filter_map(|(name, weight)| {
            let (db, key) = name.split_first_chunk()?;
            Some((u32::from_be_bytes(*db) as usize, key, weight as f64 / self.total.max(1) as f64))
        });
        heaviest.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_in_so_many_counts_one_of_its_commands_for_all() {
        let (mut busy, commands) = (BusyKeys::default(), 10);
        for turn in 0..TURNS * 1000 {
            if let Some(chosen) = BusyKeys::choose(turn, commands) {
                // Three of ten commands name the same key.
                let key = if chosen < 3 { "hot".to_owned() } else { format!("cold {turn}") };
                busy.add(5, key.as_bytes(), commands);
            }
        }
        assert_eq!(BusyKeys::choose(0, 0), None);
        let shown = busy.busiest(1);
        let (db, key, share) = shown[0];
        assert_eq!((db, key), (5, b"hot".as_slice()));
        assert!((0.25..0.35).contains(&share), "{share}");
        busy.fade(HALF_LIFE_MS);
        assert!((busy.busiest(1)[0].2 - share).abs() < 0.01, "all keys fade alike");
        (2..40).for_each(|minute| busy.fade(minute * HALF_LIFE_MS));
        assert!(busy.busiest(1).is_empty());
    }
}
