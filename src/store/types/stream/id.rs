//! The ids of a stream's entries.

use std::fmt;

/// An entry's id: a Unix time in milliseconds, and the entry's place among those of the same millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds.
    pub ms: u64,
    /// Place within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// `0-0`, which no entry has.
    pub const MIN: StreamId = StreamId::new(0, 0);
    /// The last id there can be.
    pub const MAX: StreamId = StreamId::new(u64::MAX, u64::MAX);

    /// The id of these parts.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The id after this one, if there is one.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId::new(self.ms, seq)),
            None => self.ms.checked_add(1).map(|ms| StreamId::new(ms, 0)),
        }
    }

    /// The id before this one, if there is one.
    pub fn prev(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId::new(self.ms, seq)),
            None => self.ms.checked_sub(1).map(|ms| StreamId::new(ms, u64::MAX)),
        }
    }

    /// The 16 bytes that stand for the id in dumps: big endian, so that they sort as ids do.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The id that these bytes stand for.
    pub fn from_bytes(bytes: [u8; 16]) -> StreamId {
        let bits = u128::from_be_bytes(bytes);
        StreamId::new((bits >> 64) as u64, bits as u64)
    }

    /// The id's text, without a heap block.
    pub fn text(self) -> IdText {
        let (mut ms, mut seq) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (ms, seq) = (ms.format(self.ms).as_bytes(), seq.format(self.seq).as_bytes());
        let mut text = IdText { bytes: [b'-'; IdText::MAX], len: ms.len() + 1 + seq.len() };
        text.bytes[..ms.len()].copy_from_slice(ms);
        text.bytes[ms.len() + 1..text.len].copy_from_slice(seq);
        text
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// An id as text: `ms-seq`.
#[derive(Clone, Copy)]
pub struct IdText {
    bytes: [u8; IdText::MAX],
    len: usize,
}

impl IdText {
    /// Two numbers of up to twenty digits, and the dash.
    const MAX: usize = 41;

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_carry_over_and_end_at_both_ends() {
        assert_eq!(StreamId::new(1, 2).next(), Some(StreamId::new(1, 3)));
        assert_eq!(StreamId::new(1, u64::MAX).next(), Some(StreamId::new(2, 0)));
        assert_eq!(StreamId::MAX.next(), None);
        assert_eq!(StreamId::new(1, 2).prev(), Some(StreamId::new(1, 1)));
        assert_eq!(StreamId::new(2, 0).prev(), Some(StreamId::new(1, u64::MAX)));
        assert_eq!(StreamId::MIN.prev(), None);
    }

    #[test]
    fn text_and_bytes_say_the_same_as_the_parts() {
        for id in [StreamId::MIN, StreamId::new(1_526_919_030_474, 55), StreamId::MAX] {
            assert_eq!(id.text().as_bytes(), id.to_string().as_bytes());
            assert_eq!(StreamId::from_bytes(id.to_bytes()), id);
        }
        assert_eq!(StreamId::new(1, 2).to_bytes(), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert!(StreamId::new(1, u64::MAX).to_bytes() < StreamId::new(2, 0).to_bytes());
    }
}
