//! A connection's output: bytes in order, with long values by reference. Knows nothing of sockets: the connection hands
//! slices of it to the kernel and says how many bytes went.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Values from this length on are sent by reference instead of being copied into the buffer.
const SHARE_BYTES_MIN: usize = 8 * 1024;
/// Bytes that have been sent are cut off the buffer from this many on, if they are the greater part of it.
const SENT_BYTES_MAX: usize = 64 * 1024;
/// Most slices handed to one vectored write; the kernel's own limit is 1,024.
const SLICES_MAX: usize = 64;

#[derive(Debug)]
enum Chunk {
    Owned(Vec<u8>),
    Shared(Arc<Vec<u8>>),
}

impl Chunk {
    fn bytes(&self) -> &[u8] {
        match self {
            Chunk::Owned(bytes) => bytes,
            Chunk::Shared(bytes) => bytes,
        }
    }
}

/// Bytes waiting to be sent, in order: the chunks, then the tail.
#[derive(Debug, Default)]
pub struct Out {
    /// What replies append to.
    pub(super) tail: Vec<u8>,
    /// Finished chunks before the tail; empty for ordinary replies.
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk (or of the tail, if there is none) that have been sent: `0 <= sent < its length`, or 0.
    sent: usize,
    /// Bytes in `chunks`, sent ones included.
    chunk_bytes: usize,
}

impl Out {
    /// Lends an empty output a buffer that has been used before.
    pub fn give_buffer(&mut self, buffer: Vec<u8>) {
        debug_assert!(self.is_empty() && buffer.is_empty());
        self.tail = buffer;
    }

    /// Bytes still to be sent.
    #[inline]
    pub fn len(&self) -> usize {
        self.chunk_bytes + self.tail.len() - self.sent
    }

    /// True when everything has been sent.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of chunks that wait behind the buffer: what Redis calls the output list.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Memory held for this output, shared values included.
    pub fn heap_bytes(&self) -> usize {
        self.chunk_bytes + self.tail.capacity()
    }

    /// Appends bytes as they are.
    pub fn push(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
    }

    /// Appends a value that others hold too, by reference if it is long.
    pub fn push_shared(&mut self, value: &Arc<Vec<u8>>) {
        if value.len() < SHARE_BYTES_MIN {
            return self.push(value);
        }
        if !self.tail.is_empty() {
            self.chunk_bytes += self.tail.len();
            self.chunks.push_back(Chunk::Owned(std::mem::take(&mut self.tail)));
        }
        self.chunk_bytes += value.len();
        self.chunks.push_back(Chunk::Shared(Arc::clone(value)));
    }

    /// The bytes to send, in pieces, each as long as it was made. Nothing of them may have been sent.
    pub fn into_chunks(self) -> impl Iterator<Item = Arc<Vec<u8>>> {
        debug_assert_eq!(self.sent, 0);
        let tail = (!self.tail.is_empty()).then_some(Chunk::Owned(self.tail));
        self.chunks.into_iter().chain(tail).map(|chunk| match chunk {
            Chunk::Owned(bytes) => Arc::new(bytes),
            Chunk::Shared(bytes) => bytes,
        })
    }

    /// The bytes to send, in one piece. Nothing of them may have been sent.
    pub fn into_bytes(mut self) -> Vec<u8> {
        debug_assert_eq!(self.sent, 0);
        if self.chunks.is_empty() {
            return self.tail;
        }
        let mut bytes = Vec::with_capacity(self.len());
        self.chunks.drain(..).for_each(|chunk| bytes.extend_from_slice(chunk.bytes()));
        bytes.extend_from_slice(&self.tail);
        bytes
    }

    /// A mark to cut back to with [`Out::truncate`].
    pub fn mark(&self) -> Mark {
        Mark { chunks: self.chunks.len(), tail: self.tail.len() }
    }

    /// Drops everything appended since the mark, of which nothing may have been sent.
    pub fn truncate(&mut self, mark: Mark) {
        if self.chunks.len() == mark.chunks {
            return self.tail.truncate(mark.tail);
        }
        // The tail of then became a chunk meanwhile; if it was empty then, no chunk was made of it.
        self.tail.clear();
        while self.chunks.len() > mark.chunks {
            let Some(chunk) = self.chunks.pop_back() else { break };
            self.chunk_bytes -= chunk.bytes().len();
            if self.chunks.len() == mark.chunks
                && mark.tail > 0
                && let Chunk::Owned(mut bytes) = chunk
            {
                bytes.truncate(mark.tail);
                self.tail = bytes;
            }
        }
    }

    /// The bytes to send, if they all lie in one piece.
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.chunks.is_empty().then(|| &self.tail[self.sent..])
    }

    /// The next bytes to send, in up to 64 pieces.
    pub fn slices(&self) -> Vec<IoSlice<'_>> {
        let chunks = self.chunks.iter().map(Chunk::bytes);
        chunks
            .chain(std::iter::once(self.tail.as_slice()))
            .take(SLICES_MAX)
            .enumerate()
            .map(|(i, bytes)| IoSlice::new(if i == 0 { &bytes[self.sent..] } else { bytes }))
            .filter(|slice| !slice.is_empty())
            .collect()
    }

    /// Records that the kernel took `count` more bytes.
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.sent += count;
        while let Some(first) = self.chunks.front() {
            let len = first.bytes().len();
            if self.sent < len {
                return;
            }
            self.sent -= len;
            self.chunk_bytes -= len;
            self.chunks.pop_front();
        }
        if self.sent == self.tail.len() {
            self.tail.clear();
            self.sent = 0;
        } else if self.sent > SENT_BYTES_MAX && self.sent > self.tail.len() / 2 {
            // A reader that never quite catches up: less is moved than was sent, so a byte moves once on average.
            self.tail.drain(..self.sent);
            self.tail.shrink_to(2 * self.tail.len());
            self.sent = 0;
        }
    }

    /// Takes the buffer of an output that has been sent, so that an idle connection holds none.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        debug_assert!(self.is_empty());
        if self.chunks.capacity() > 0 {
            self.chunks = VecDeque::new();
        }
        std::mem::take(&mut self.tail)
    }
}

/// A position in an output.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    chunks: usize,
    tail: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn a_reader_that_never_catches_up_does_not_make_the_buffer_grow() {
        let (mut out, mut sent, piece) = (Out::default(), 0usize, vec![b'x'; 1000]);
        (0..200).for_each(|_| out.push(&piece));
        for round in 0..100_000usize {
            out.push(&piece);
            out.tail[..].last_mut().into_iter().for_each(|last| *last = round as u8);
            out.advance(piece.len());
            sent += piece.len();
            assert_eq!(out.len(), 200 * piece.len());
        }
        assert_eq!(sent, 100_000_000);
        assert!(out.heap_bytes() < 2 << 20, "{} bytes", out.heap_bytes());
        let last: Vec<u8> = out.slices().iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(last.chunks(1000).zip(99_800usize..).all(|(piece, round)| piece[999] == round as u8));
    }

    #[test]
    fn what_goes_in_comes_out_in_order_whatever_the_kernel_takes() {
        let mut prng = Prng::seeded(4);
        for _ in 0..500 {
            let (mut out, mut model, mut taken) = (Out::default(), Vec::new(), Vec::new());
            for _ in 0..40 {
                match prng.below(4) {
                    0 => {
                        let bytes = vec![prng.next_u64() as u8; prng.below(300) as usize];
                        out.push(&bytes);
                        model.extend_from_slice(&bytes);
                    }
                    1 => {
                        let bytes = vec![prng.next_u64() as u8; SHARE_BYTES_MIN - 1 + prng.below(3) as usize];
                        out.push_shared(&Arc::new(bytes.clone()));
                        model.extend_from_slice(&bytes);
                    }
                    2 => {
                        let mark = out.mark();
                        out.push(b"never sent");
                        out.push_shared(&Arc::new(vec![0; SHARE_BYTES_MIN]));
                        out.push(b"nor this");
                        out.truncate(mark);
                    }
                    _ => {
                        let offered: Vec<u8> = out.slices().iter().flat_map(|slice| slice.to_vec()).collect();
                        if let Some(whole) = out.as_slice() {
                            assert_eq!(whole, offered);
                        }
                        let count = prng.below(offered.len() as u64 + 1) as usize;
                        taken.extend_from_slice(&offered[..count]);
                        out.advance(count);
                    }
                }
                assert_eq!(out.len(), model.len() - taken.len());
            }
            while !out.is_empty() {
                let offered: Vec<u8> = out.slices().iter().flat_map(|slice| slice.to_vec()).collect();
                taken.extend_from_slice(&offered);
                out.advance(offered.len());
            }
            assert_eq!(taken, model);
        }
    }
}
