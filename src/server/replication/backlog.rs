//! The last bytes of the stream, kept for replicas: those that come back after a cut, and those that have not been sent them yet.
//!
//! # Layout
//! ```text
//! | block | block | large block | block, not full |
//! first                                           next
//! ```
//! Blocks of `BLOCK_BYTES` are filled one after the other; bytes that come together and are as many as that get a block of their
//! own. A byte is known by its offset in the history, and moves no more once it is there: every replica holds the offset of the next
//! byte that it is to be sent, and is sent slices of the blocks. So the stream is there once, however many replicas there are.
//!
//! Blocks leave at the front, whole, as soon as what is behind them is enough ([`Backlog::trim`]). To append costs O(bytes), to find
//! an offset O(log blocks).

use std::collections::VecDeque;
use std::io::IoSlice;

use crate::base::heap;

/// Bytes of a block.
const BLOCK_BYTES: usize = 16 * 1024;
/// Most slices handed to one vectored write.
const SLICES_MAX: usize = 64;

#[derive(Debug)]
struct Block {
    /// The offset of its first byte.
    start: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// How many more bytes fit.
    fn room(&self) -> usize {
        BLOCK_BYTES.saturating_sub(self.bytes.len())
    }
}

/// The last bytes of the stream.
#[derive(Debug)]
pub struct Backlog {
    blocks: VecDeque<Block>,
    /// The offset of the next byte that will be appended.
    next: u64,
    /// Capacity of the blocks.
    heap_bytes: usize,
}

impl Backlog {
    /// An empty one, whose first byte will have this offset.
    pub fn new(next: u64) -> Backlog {
        Backlog { blocks: VecDeque::new(), next, heap_bytes: 0 }
    }

    /// The offset of the first byte that is there; of the next one, if there is none.
    pub fn first(&self) -> u64 {
        self.blocks.front().map_or(self.next, |block| block.start)
    }

    /// The offset of the next byte that will be appended.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes that are there.
    pub fn len(&self) -> u64 {
        self.next - self.first()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.heap_bytes + heap::deque(&self.blocks)
    }

    /// True if all bytes from this offset on are there: also if it is that of the next one.
    pub fn has_from(&self, offset: u64) -> bool {
        (self.first()..=self.next).contains(&offset)
    }

    /// Appends bytes. O(bytes).
    pub fn push(&mut self, mut bytes: &[u8]) {
        if bytes.len() < BLOCK_BYTES
            && let Some(last) = self.blocks.back_mut()
            && last.room() > 0
        {
            let (fits, rest) = bytes.split_at(bytes.len().min(last.room()));
            last.bytes.extend_from_slice(fits);
            self.next += fits.len() as u64;
            bytes = rest;
        }
        if bytes.is_empty() {
            return;
        }
        let mut block = Vec::with_capacity(bytes.len().max(BLOCK_BYTES));
        block.extend_from_slice(bytes);
        self.heap_bytes += block.capacity();
        self.blocks.push_back(Block { start: self.next, bytes: block });
        self.next += bytes.len() as u64;
    }

    /// Drops blocks at the front, as many as leave `keep_bytes` at least, and none with a byte from the offset `needed` on.
    pub fn trim(&mut self, keep_bytes: u64, needed: u64) {
        while let Some(front) = self.blocks.front() {
            if front.end() > needed || self.next - front.end() < keep_bytes {
                return;
            }
            self.heap_bytes -= front.bytes.capacity();
            self.blocks.pop_front();
        }
    }

    /// The bytes from an offset on that is there, up to `limit_bytes` of them in slices for one write.
    pub fn slices(&self, from: u64, limit_bytes: usize) -> Vec<IoSlice<'_>> {
        debug_assert!(self.has_from(from), "{from} is not there");
        let at = self.blocks.partition_point(|block| block.end() <= from);
        let mut room = limit_bytes;
        let mut slices = Vec::new();
        for block in self.blocks.range(at..).take(SLICES_MAX) {
            let skipped = from.saturating_sub(block.start) as usize;
            let piece = &block.bytes[skipped..];
            let piece = &piece[..piece.len().min(room)];
            if piece.is_empty() {
                break;
            }
            room -= piece.len();
            slices.push(IoSlice::new(piece));
        }
        slices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// All bytes from an offset on, read piece by piece as a replica is sent them.
    fn read(backlog: &Backlog, mut from: u64, prng: &mut Prng) -> Vec<u8> {
        let mut bytes = Vec::new();
        while from < backlog.next() {
            let limit = 1 + prng.below(40_000) as usize;
            let piece: Vec<u8> = backlog.slices(from, limit).iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(!piece.is_empty() && piece.len() <= limit);
            from += piece.len() as u64;
            bytes.extend(piece);
        }
        bytes
    }

    /// The oracle: every byte there ever was, in one vector.
    #[test]
    fn any_offset_that_is_there_reads_as_from_a_plain_vector_and_no_more_is_dropped_than_may_be() {
        for seed in 0..20 {
            let mut prng = Prng::seeded(seed);
            let first = 1 + prng.below(1000);
            let keep_bytes = 1 + prng.below(100_000);
            let (mut backlog, mut all) = (Backlog::new(first), Vec::new());
            for _ in 0..80 {
                let most = [8, 300, 20_000, 70_000][prng.below(4) as usize];
                let bytes: Vec<u8> = (0..prng.below(most)).map(|_| prng.below(256) as u8).collect();
                backlog.push(&bytes);
                all.extend_from_slice(&bytes);
                let next = first + all.len() as u64;
                let needed = next - prng.below(150_000).min(all.len() as u64);
                let before = backlog.first();
                backlog.trim(keep_bytes, needed);
                assert_eq!((backlog.next(), backlog.len()), (next, next - backlog.first()));
                assert!(backlog.first() <= needed.max(before), "a byte is gone that is needed");
                assert!(backlog.first() == before || backlog.len() >= keep_bytes, "more is gone than may be");
                let dropped = |backlog: &Backlog| backlog.blocks.front().map_or(0, |block| block.bytes.len() as u64);
                assert!(
                    backlog.first() + dropped(&backlog) > needed || backlog.len() - dropped(&backlog) < keep_bytes,
                    "a block is kept for nothing"
                );
                let from = backlog.first() + prng.below(backlog.len() + 1);
                assert_eq!(read(&backlog, from, &mut prng), all[(from - first) as usize..]);
                assert!(backlog.has_from(from) && !backlog.has_from(next + 1));
                assert!(backlog.first() == first || !backlog.has_from(backlog.first() - 1));
            }
            let heap_bytes: usize = backlog.blocks.iter().map(|block| block.bytes.capacity()).sum();
            assert_eq!(backlog.heap_bytes, heap_bytes);
        }
    }

    #[test]
    fn small_pieces_fill_blocks_and_large_ones_have_their_own() {
        let mut backlog = Backlog::new(1);
        (0..1000).for_each(|_| backlog.push(&[b'x'; 100]));
        assert_eq!(backlog.blocks.len(), 100_000usize.div_ceil(BLOCK_BYTES));
        backlog.push(&vec![b'y'; 1 << 20]);
        assert_eq!(backlog.blocks.len(), 100_000usize.div_ceil(BLOCK_BYTES) + 1);
        assert_eq!(backlog.len(), 100_000 + (1 << 20));
        backlog.trim(1, backlog.next());
        assert_eq!((backlog.blocks.len(), backlog.len()), (1, 1 << 20), "what one command added is kept whole");
    }
}
