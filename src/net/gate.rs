//! Which bytes of an output may leave, where replies have to wait until what they tell of is on the disk.
//!
//! The bytes of one turn wait for the last write that had been passed on when they were appended: their own, or one that they
//! may have read. Two marks are enough for any number of turns. What waits for the fsync that is under way leaves together when
//! it is over, and what waits for more than that leaves together after the next one, which takes all that is there when it begins.
//!
//! ```text
//! | free | wait for the fsync under way | wait for the next one |
//! 0      free                           first.end               second.end = all bytes of the output
//! ```
//! Bytes leave in their order: one that would have nothing to wait for stays behind one that has.

use crate::server::persistence::log::Hold;

/// Bytes that wait.
#[derive(Clone, Copy, Debug)]
struct Mark {
    /// Where they end, from the first byte that has not been sent.
    end: usize,
    /// What has to be on the disk.
    position: u64,
}

/// The gate of one output.
#[derive(Debug, Default)]
pub(super) struct Gate {
    /// Bytes that may leave.
    free: usize,
    first: Option<Mark>,
    /// Only behind a first one.
    second: Option<Mark>,
}

impl Gate {
    /// Nothing waits any more.
    #[inline]
    pub fn open(&mut self) {
        *self = Gate::default();
    }

    /// True if bytes wait for the disk.
    #[inline]
    pub fn is_shut(&self) -> bool {
        self.first.is_some()
    }

    /// How many bytes of an output of so many may leave. Those that are new wait for `seen` to be on the disk.
    pub fn pass(&mut self, bytes: usize, seen: u64, hold: Hold) -> usize {
        while let Some(mark) = self.first.filter(|mark| mark.position <= hold.durable) {
            self.free = mark.end;
            self.first = self.second.take();
        }
        let last = self.second.as_mut().or(self.first.as_mut());
        match last {
            None if bytes <= self.free => {}
            None if seen <= hold.durable => self.free = bytes,
            None => self.first = Some(Mark { end: bytes, position: seen }),
            Some(mark) if bytes <= mark.end => {}
            Some(mark) => {
                let is_of_next = mark.position <= hold.under_way && seen > hold.under_way;
                if is_of_next {
                    debug_assert!(self.second.is_none(), "the second mark waits for more than is under way");
                    self.second = Some(Mark { end: bytes, position: seen });
                } else {
                    *mark = Mark { end: bytes, position: mark.position.max(seen) };
                }
            }
        }
        self.free
    }

    /// So many bytes have left.
    pub fn sent(&mut self, bytes: usize) {
        self.free = self.free.saturating_sub(bytes);
        for mark in self.first.iter_mut().chain(&mut self.second) {
            mark.end = mark.end.saturating_sub(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn hold(durable: u64, under_way: u64) -> Hold {
        Hold { durable, under_way }
    }

    #[test]
    fn what_saw_nothing_unsynced_leaves_at_once() {
        let mut gate = Gate::default();
        assert_eq!(gate.pass(10, 5, hold(5, 5)), 10);
        gate.sent(10);
        assert_eq!(gate.pass(7, 4, hold(5, 9)), 7);
        assert!(!gate.is_shut());
    }

    #[test]
    fn what_waits_leaves_with_the_fsync_that_takes_it() {
        let mut gate = Gate::default();
        assert_eq!(gate.pass(10, 6, hold(5, 8)), 0);
        assert_eq!(gate.pass(20, 8, hold(5, 8)), 0);
        assert_eq!(gate.pass(30, 9, hold(5, 8)), 0);
        assert_eq!(gate.pass(40, 12, hold(5, 8)), 0);
        assert_eq!(gate.pass(40, 12, hold(8, 12)), 20);
        gate.sent(20);
        assert_eq!(gate.pass(25, 13, hold(8, 12)), 0);
        assert_eq!(gate.pass(25, 13, hold(12, 12)), 20);
        gate.sent(5);
        assert_eq!((gate.free, gate.is_shut()), (15, true));
        assert_eq!(gate.pass(20, 13, hold(13, 13)), 20);
        assert!(!gate.is_shut());
    }

    #[test]
    fn bytes_keep_their_order() {
        let mut gate = Gate::default();
        assert_eq!(gate.pass(10, 6, hold(5, 5)), 0);
        assert_eq!(gate.pass(20, 5, hold(5, 5)), 0, "it saw nothing, but stands behind one that did");
        assert_eq!(gate.pass(20, 5, hold(6, 6)), 20);
    }

    /// The oracle: every byte with the position that it waits for.
    #[test]
    fn two_marks_do_what_one_for_every_byte_does_or_wait_until_the_next_fsync() {
        for seed in 0..300 {
            let mut prng = Prng::seeded(seed);
            let (mut gate, mut model): (Gate, Vec<u64>) = (Gate::default(), Vec::new());
            let (mut durable, mut under_way, mut seen) = (0, 0, 0);
            for _ in 0..200 {
                seen += prng.below(3);
                let new = prng.below(4) as usize;
                model.extend(std::iter::repeat_n(seen, new));
                match prng.below(4) {
                    0 => durable = under_way,
                    1 if durable == under_way => under_way = seen,
                    _ => {}
                }
                let allowed = gate.pass(model.len(), seen, hold(durable, under_way));
                let ready = model.iter().take_while(|position| **position <= durable).count();
                assert!(allowed <= ready, "a byte leaves before its time");
                if durable >= seen {
                    assert_eq!(allowed, model.len(), "nothing is left to wait for");
                }
                assert!(model.get(allowed).is_none_or(|_| gate.is_shut()));
                let sent = prng.below(allowed as u64 + 1) as usize;
                gate.sent(sent);
                model.drain(..sent);
            }
        }
    }
}
