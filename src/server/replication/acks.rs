//! Who waits for replicas (WAIT, WAITAOF), and up to which offset of the history what they wrote reaches.
//!
//! What a client wrote is known by its position in [`crate::server::propagation`]. The stream has more in it than that (PINGs, and
//! requests for acknowledgement), so the distance from a position to its offset grows now and then; it never shrinks while there
//! is a stream. The last few distances are kept. A position from before them gets the first of those that are known: an offset
//! that is too late, never one that is too early.

use std::collections::VecDeque;

use crate::feature::client_id::ClientId;

/// Distances that are kept.
const DISTANCES_MAX: usize = 64;

/// Which offset a position of what is passed on has in the history.
#[derive(Debug, Default)]
pub struct Offsets {
    /// Positions up to this one were passed on before there was a stream: replicas have them with their snapshot.
    before: u64,
    /// The offset at that time.
    began_at: u64,
    /// What was passed on up to this position was replaced by the data of another server: no replica will ever say that it has it.
    lost: u64,
    /// The position from which on each distance holds, in order.
    distances: VecDeque<(u64, u64)>,
}

impl Offsets {
    /// A stream begins: at this position, which is this offset.
    pub fn begin(&mut self, position: u64, offset: u64) {
        *self = Offsets { before: position, began_at: offset, lost: self.lost, distances: VecDeque::new() };
        self.note(position, offset);
    }

    /// The data up to this position was replaced as a whole.
    pub fn lose(&mut self, position: u64) {
        self.lost = position;
    }

    /// What is passed on behind this position comes behind this offset.
    pub fn note(&mut self, position: u64, offset: u64) {
        // The first position is 1, and offsets may begin at 0.
        let distance = (offset + 1).wrapping_sub(position);
        if self.distances.back().is_some_and(|&(_, last)| last == distance) {
            return;
        }
        if self.distances.len() == DISTANCES_MAX {
            self.distances.pop_front();
        }
        self.distances.push_back((position, distance));
    }

    /// The offset of what was passed on up to a position; never one that comes before it.
    pub fn of(&self, position: u64) -> u64 {
        if position == 0 {
            return 0;
        }
        if position <= self.lost {
            return u64::MAX;
        }
        if position <= self.before {
            return self.began_at;
        }
        let at = self.distances.partition_point(|&(from, _)| from < position);
        let Some(&(_, distance)) = self.distances.get(at.saturating_sub(1)) else { return self.began_at };
        position.wrapping_add(distance).wrapping_sub(1)
    }
}

/// A client that waits for replicas.
#[derive(Clone, Copy, Debug)]
pub struct AckWaiter {
    /// Who.
    pub client: ClientId,
    /// The offset that they are to have.
    pub offset: u64,
    /// How many of them.
    pub replicas: u64,
    /// They are to have it on their disks.
    pub durable: bool,
    /// This server is to have it on its own as well.
    pub local: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// The oracle: the offset that every position had when it was handed over.
    #[test]
    fn an_offset_is_never_too_early_and_right_for_what_was_passed_on_lately() {
        for seed in 0..50 {
            let mut prng = Prng::seeded(seed);
            let (mut position, mut offset) = (1 + prng.below(100), prng.below(100));
            let mut offsets = Offsets::default();
            offsets.begin(position, offset);
            assert!(offsets.of(0) == 0 && offsets.of(position) == offset && offsets.of(1) == offset);
            if seed % 5 == 0 {
                offsets.lose(position);
                assert!(offsets.of(0) == 0 && offsets.of(position) == u64::MAX && offsets.of(1) == u64::MAX);
            }
            let mut model = Vec::new();
            let mut inserted = Vec::new();
            for _ in 0..300 {
                if prng.below(4) == 0 {
                    offset += 14;
                    offsets.note(position, offset);
                    inserted.push(position);
                } else {
                    let bytes = 1 + prng.below(40);
                    (position, offset) = (position + bytes, offset + bytes);
                    assert_eq!(offsets.of(position), offset, "also before it is handed over");
                    model.push((position, offset));
                }
            }
            let recent = inserted.len().checked_sub(DISTANCES_MAX / 2).map_or(0, |at| inserted[at]);
            for (position, offset) in model {
                let said = offsets.of(position);
                assert!(
                    said >= offset,
                    "seed {seed}: position {position} is said to end at {said}, and does at {offset}"
                );
                assert!(position <= recent || said == offset, "seed {seed}: {said} for {offset}");
            }
        }
    }
}
