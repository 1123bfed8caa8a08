//! A connection's output: bytes in order, in chunks of bounded length, with long values by reference. Knows nothing of
//! sockets: the connection hands slices of it to the kernel and says how many bytes went.
//!
//! No byte is moved once it has been written, however much a client leaves unread: what replies are appended to is sealed
//! as a chunk before it would grow beyond `CHUNK_BYTES`, and a chunk is freed when it has been sent.
//!
//! An output may have a limit. The write that would go beyond it cuts the output off: that write and all later ones are
//! dropped as they come, so that a single command, or a transaction, takes no more memory than the limit and a chunk. Whoever
//! owns the output disconnects the client then.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;

/// Bytes of a chunk: a size that the allocator hands out without a look at its arenas.
const CHUNK_BYTES: usize = 32 * 1024;
/// Bytes that are copied into a chunk of their own instead of what is left of the last one: no chunk wastes more than this.
const LARGE_BYTES_MIN: usize = CHUNK_BYTES / 4;
/// Values from this length on are sent by reference instead of being copied into the buffer.
const SHARE_BYTES_MIN: usize = 8 * 1024;
/// A buffer with more unused room than this is cut to its contents when it becomes a chunk.
const UNUSED_BYTES_MAX: usize = 1024;
/// Most slices handed to one vectored write; the kernel's own limit is 1,024.
const SLICES_MAX: usize = 64;
/// Most bytes handed to one write: the kernel copies them while everybody else waits, for some 100 us. More than is read
/// of a client in one turn, or the output of a reader who keeps up would grow.
const WRITE_BYTES_MAX: usize = 256 * 1024;

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
#[derive(Debug)]
pub struct Out {
    /// What replies append to, [`CHUNK_BYTES`] at most.
    tail: Vec<u8>,
    /// Finished chunks before the tail; empty for ordinary replies.
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk (or of the tail, if there is none) that have been sent: `0 <= sent < its length`, or 0.
    sent: usize,
    /// Bytes in `chunks`, sent ones included.
    chunk_bytes: usize,
    /// Bytes that may wait to be sent; `usize::MAX` for no limit.
    limit_bytes: usize,
    /// Bytes that were dropped because they went beyond the limit; once there are any, nothing more is kept.
    lost_bytes: usize,
}

impl Default for Out {
    fn default() -> Out {
        Out {
            tail: Vec::new(),
            chunks: VecDeque::new(),
            sent: 0,
            chunk_bytes: 0,
            limit_bytes: usize::MAX,
            lost_bytes: 0,
        }
    }
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

    /// An output of some bytes, without a limit.
    pub fn of(bytes: Vec<u8>) -> Out {
        let mut out = Out::default();
        out.push(&bytes);
        out
    }

    /// An empty output that is cut off beyond so many bytes; 0 for no limit.
    pub fn with_limit(limit_bytes: u64) -> Out {
        let mut out = Out::default();
        out.set_limit(limit_bytes);
        out
    }

    /// Bytes that may wait to be sent from now on; 0 for no limit.
    #[inline]
    pub fn set_limit(&mut self, limit_bytes: u64) {
        self.limit_bytes = match limit_bytes {
            0 => usize::MAX,
            limit_bytes => limit_bytes as usize,
        };
    }

    /// True once a write went beyond the limit: this output has lost bytes, and its client must not be sent any more of it.
    #[inline]
    pub fn is_cut(&self) -> bool {
        self.lost_bytes > 0
    }

    /// True when more bytes wait than the limit allows, whether or not any have been lost.
    pub fn is_over_limit(&self) -> bool {
        self.is_cut() || self.len() > self.limit_bytes
    }

    /// Bytes that were appended and not sent, lost ones included.
    pub fn written_bytes(&self) -> usize {
        self.len() + self.lost_bytes
    }

    /// Where the next byte comes: it moves by what is written, as long as nothing is sent. O(1).
    #[inline]
    pub fn end(&self) -> usize {
        self.chunk_bytes + self.tail.len()
    }

    /// The buffer to append up to so many bytes to, which are fewer than a chunk has.
    #[inline]
    pub(super) fn tail_for(&mut self, bytes: usize) -> &mut Vec<u8> {
        debug_assert!(bytes <= CHUNK_BYTES);
        if self.tail.len() + bytes > CHUNK_BYTES {
            self.seal(CHUNK_BYTES);
        }
        &mut self.tail
    }

    /// Makes a chunk of the tail, and a new tail with room for so many bytes.
    #[cold]
    #[inline(never)]
    fn seal(&mut self, room: usize) {
        if self.is_over_limit() {
            self.lost_bytes += self.tail.len();
            return self.tail.clear();
        }
        self.keep_tail(room);
    }

    /// The same, whatever the limit says.
    fn keep_tail(&mut self, room: usize) {
        if self.tail.is_empty() {
            return;
        }
        self.chunk_bytes += self.tail.len();
        let mut chunk = std::mem::replace(&mut self.tail, Vec::with_capacity(room));
        if chunk.capacity() - chunk.len() > UNUSED_BYTES_MAX.max(chunk.len() / 4) {
            chunk.shrink_to_fit();
        }
        self.chunks.push_back(Chunk::Owned(chunk));
    }

    /// Appends a chunk, unless that would go beyond the limit.
    #[cold]
    fn push_chunk(&mut self, bytes: usize, chunk: impl FnOnce() -> Chunk) {
        if self.is_cut() || self.len() + bytes > self.limit_bytes {
            self.lost_bytes += bytes;
        }
        self.seal(0);
        if !self.is_cut() {
            self.chunk_bytes += bytes;
            self.chunks.push_back(chunk());
        }
    }

    /// True for bytes so many that they get a chunk of their own.
    #[inline]
    pub(super) fn is_large(bytes: usize) -> bool {
        bytes >= LARGE_BYTES_MIN
    }

    /// Appends bytes as they are.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        if Out::is_large(bytes.len()) {
            return self.push_chunk(bytes.len(), || Chunk::Owned(bytes.to_vec()));
        }
        self.tail_for(bytes.len()).extend_from_slice(bytes);
    }

    /// Appends a value that others hold too, by reference if it is long.
    pub fn push_shared(&mut self, value: &Arc<Vec<u8>>) {
        if value.len() < SHARE_BYTES_MIN {
            return self.push(value);
        }
        self.push_chunk(value.len(), || Chunk::Shared(Arc::clone(value)));
    }

    /// The same for what nobody is to be disconnected for: it does not count as going beyond the limit.
    pub fn push_shared_beyond_limit(&mut self, value: &Arc<Vec<u8>>) {
        let limit_bytes = std::mem::replace(&mut self.limit_bytes, usize::MAX);
        self.push_shared(value);
        self.limit_bytes = limit_bytes;
    }

    /// Where the next byte goes, for [`Out::replace`], once up to so many more have been appended in one piece.
    pub(super) fn place_for(&mut self, bytes: usize) -> Place {
        let at = self.tail_for(bytes).len();
        Place { chunk: self.chunks.len(), at }
    }

    /// Replaces so many bytes at a place, none of which has been sent. O(bytes of a chunk) if the length changes.
    pub(super) fn replace(&mut self, place: Place, bytes: usize, with: &[u8]) {
        if self.is_cut() {
            // The place may be gone, and nobody is sent it.
            return;
        }
        let range = place.at..place.at + bytes;
        match self.chunks.get_mut(place.chunk) {
            None => {
                self.tail.splice(range, with.iter().copied());
            }
            Some(Chunk::Owned(chunk)) => {
                self.chunk_bytes = self.chunk_bytes - range.len() + with.len();
                chunk.splice(range, with.iter().copied());
            }
            Some(Chunk::Shared(_)) => debug_assert!(false, "a tail that was written to becomes a chunk of its own"),
        }
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
        Mark { chunks: self.chunks.len(), tail: self.tail.len(), lost_bytes: self.lost_bytes }
    }

    /// A mark to cut back to in any case, even if what is appended until then goes beyond the limit: for bytes that are
    /// written only to be dropped.
    pub fn mark_before_dropped(&mut self) -> Mark {
        if !self.is_cut() {
            self.keep_tail(0);
        }
        self.mark()
    }

    /// Drops everything appended since the mark, of which nothing may have been sent.
    pub fn truncate(&mut self, mark: Mark) {
        if self.is_cut() {
            if mark.lost_bytes > 0 || mark.tail > 0 {
                return;
            }
            // All there was before the mark is in chunks, none of which was lost.
            self.lost_bytes = 0;
        }
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

    /// Drops everything, sent or not, and keeps the buffer.
    pub fn clear(&mut self) {
        if self.chunks.is_empty() {
            self.tail.clear();
            (self.sent, self.lost_bytes) = (0, 0);
            return;
        }
        let (mut tail, limit_bytes) = (std::mem::take(&mut self.tail), self.limit_bytes);
        tail.clear();
        *self = Out { tail, limit_bytes, ..Out::default() };
    }

    /// Takes out what was appended since the mark, of which nothing may have been sent. O(bytes since).
    pub fn split_off(&mut self, mark: Mark) -> Vec<u8> {
        if self.is_cut() {
            return Vec::new();
        }
        let mut taken = Vec::new();
        let mut from = mark.tail;
        for chunk in self.chunks.iter().skip(mark.chunks).map(Chunk::bytes).chain([self.tail.as_slice()]) {
            taken.extend_from_slice(&chunk[std::mem::take(&mut from)..]);
        }
        self.truncate(mark);
        taken
    }

    /// The bytes to send, if they all lie in one piece.
    #[inline]
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.chunks.is_empty().then(|| &self.tail[self.sent..])
    }

    /// The next bytes to send, as many as one write is to take and no more than `limit_bytes`: up to 256 KiB in up to 64 pieces.
    pub fn slices(&self, limit_bytes: usize) -> Vec<IoSlice<'_>> {
        let (mut sent, mut room) = (self.sent, WRITE_BYTES_MAX.min(limit_bytes));
        let chunks = self.chunks.iter().map(Chunk::bytes);
        chunks
            .chain(std::iter::once(self.tail.as_slice()))
            .take(SLICES_MAX)
            .map(|bytes| {
                let bytes = &bytes[std::mem::take(&mut sent)..];
                let piece = &bytes[..bytes.len().min(room)];
                room -= piece.len();
                IoSlice::new(piece)
            })
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

/// Where bytes of a command's reply lie, until any of it is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Index of the chunk; of the tail, if there is none yet.
    chunk: usize,
    /// Offset in it.
    at: usize,
}

/// A position in an output.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    chunks: usize,
    tail: usize,
    lost_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn bytes_of(out: &Out) -> Vec<u8> {
        out.chunks.iter().map(Chunk::bytes).chain([out.tail.as_slice()]).flatten().copied().skip(out.sent).collect()
    }

    #[test]
    fn a_reader_that_never_catches_up_does_not_make_the_buffer_grow() {
        let (mut out, mut sent, mut piece) = (Out::default(), 0usize, vec![b'x'; 1000]);
        (0..200).for_each(|_| out.push(&piece));
        for round in 0..100_000usize {
            piece[999] = round as u8;
            out.push(&piece);
            out.advance(piece.len());
            sent += piece.len();
            assert_eq!(out.len(), 200 * piece.len());
        }
        assert_eq!(sent, 100_000_000);
        assert!(out.heap_bytes() < 512 << 10, "{} bytes", out.heap_bytes());
        let last = bytes_of(&out);
        assert!(last.chunks(1000).zip(99_800usize..).all(|(piece, round)| piece[999] == round as u8));
    }

    #[test]
    fn bytes_that_nobody_reads_are_not_moved_and_waste_little() {
        let (mut out, mut prng, mut first) = (Out::default(), Prng::seeded(1), None);
        for i in 0..200_000usize {
            out.push(&vec![b'x'; prng.below(300) as usize]);
            if i == 1000 {
                first = out.chunks.front().map(|chunk| chunk.bytes().as_ptr());
            }
        }
        assert_eq!(out.chunks.front().map(|chunk| chunk.bytes().as_ptr()), first);
        let capacity: usize = out
            .chunks
            .iter()
            .map(|chunk| match chunk {
                Chunk::Owned(bytes) => bytes.capacity(),
                Chunk::Shared(_) => 0,
            })
            .sum();
        assert!(capacity < out.len() + out.len() / 50, "{capacity} bytes for {}", out.len());
        // Values that nearly fill a chunk do not leave the rest of it unused.
        let mut out = Out::default();
        (0..100).for_each(|_| out.push(&[b'x'; CHUNK_BYTES / 2 + 1]));
        assert!(out.chunks.iter().all(|chunk| matches!(chunk, Chunk::Owned(bytes) if bytes.capacity() == bytes.len())));
    }

    #[test]
    fn beyond_its_limit_an_output_keeps_nothing_and_says_how_much_there_was() {
        const LIMIT: usize = 1 << 20;
        for piece_bytes in [1, 100, LARGE_BYTES_MIN, 3 * CHUNK_BYTES, 2 * LIMIT] {
            let (mut out, piece) = (Out::with_limit(LIMIT as u64), vec![b'x'; piece_bytes]);
            let shared = Arc::new(piece.clone());
            let mut written = 0;
            while written <= 3 * LIMIT {
                let (mark, was_cut) = (out.mark(), out.is_cut());
                out.push(&piece);
                out.push_shared(&shared);
                written += 2 * piece_bytes;
                assert_eq!(out.written_bytes(), written);
                assert!(out.len() <= LIMIT + CHUNK_BYTES && out.heap_bytes() <= LIMIT + 2 * CHUNK_BYTES);
                assert!(!out.is_cut() || out.is_over_limit());
                if was_cut {
                    out.truncate(mark);
                    assert_eq!(out.written_bytes(), written, "what is lost does not come back");
                }
            }
            assert!(out.is_cut(), "{piece_bytes}");
        }
        let mut out = Out::with_limit(0);
        out.push(&vec![0; 8 << 20]);
        assert!(!out.is_over_limit());
    }

    #[test]
    fn one_write_is_offered_a_bounded_part_of_a_long_value() {
        let mut out = Out::default();
        out.push(b"$9000000\r\n");
        out.push_shared(&Arc::new((0..9_000_000u32).map(|at| at as u8).collect()));
        let (whole, mut taken) = (bytes_of(&out), Vec::new());
        while !out.is_empty() {
            let offered: Vec<u8> = out.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
            assert!(!offered.is_empty() && offered.len() <= WRITE_BYTES_MAX);
            out.advance(offered.len());
            taken.extend(offered);
        }
        assert!(taken == whole);
    }

    /// It may have gone a little over before anybody looked; what nobody wants is not what disconnects its reader.
    #[test]
    fn what_is_written_to_be_dropped_cuts_off_nothing_that_was_kept_over_the_limit() {
        let mut out = Out::with_limit(1000);
        out.push(&[b'x'; 1500]);
        assert!(out.is_over_limit() && !out.is_cut());
        let mark = out.mark_before_dropped();
        out.push(&[b'y'; 100_000]);
        out.truncate(mark);
        assert!(!out.is_cut() && bytes_of(&out) == [b'x'; 1500]);
    }

    #[test]
    fn what_is_written_to_be_dropped_does_not_count() {
        for (before, dropped) in [(0, 3 << 20), (100, 3 << 20), (100, 100), (500_000, 2 << 20)] {
            let (mut out, mut model) = (Out::with_limit(1 << 20), vec![b'x'; before]);
            out.push(&model);
            let mark = out.mark_before_dropped();
            (0..dropped / 100).for_each(|_| out.push(&[b'y'; 100]));
            out.push_shared(&Arc::new(vec![b'z'; dropped]));
            out.truncate(mark);
            out.push(b"end");
            model.extend_from_slice(b"end");
            assert!(!out.is_over_limit() && bytes_of(&out) == model);
        }
    }

    #[test]
    fn bytes_can_be_replaced_wherever_they_have_come_to_lie() {
        let mut prng = Prng::seeded(3);
        for _ in 0..300 {
            let (mut out, mut model) = (Out::default(), Vec::new());
            let put = |out: &mut Out, model: &mut Vec<u8>, prng: &mut Prng| {
                let most = *prng.pick(&[100, 5000, 10_000, 70_000]).expect("not empty");
                let bytes = vec![prng.next_u64() as u8; prng.below(most) as usize];
                out.push(&bytes);
                model.extend_from_slice(&bytes);
            };
            (0..prng.below(3)).for_each(|_| put(&mut out, &mut model, &mut prng));
            let place = out.place_for(32);
            let at = model.len();
            out.push(b"*0\r\n");
            model.extend_from_slice(b"*0\r\n");
            (0..prng.below(6)).for_each(|_| put(&mut out, &mut model, &mut prng));
            out.replace(place, 4, b"*12345\r\n");
            model.splice(at..at + 4, *b"*12345\r\n");
            put(&mut out, &mut model, &mut prng);
            assert_eq!((bytes_of(&out) == model, out.len()), (true, model.len()));
        }
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
                        let offered: Vec<u8> = out.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
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
                let offered: Vec<u8> = out.slices(usize::MAX).iter().flat_map(|slice| slice.to_vec()).collect();
                taken.extend_from_slice(&offered);
                out.advance(offered.len());
            }
            assert_eq!(taken, model);
        }
    }
}
