//! The line that ends a batch: what one turn of the loop has appended to the log.
//!
//! ```text
//! *3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n      commands, whole; a MULTI with its EXEC
//! #B:7:27:1c291ca3\r\n                         number of the batch, bytes of the batch before this line, their CRC-32C
//! ```
//! A file begins with the line of an empty batch ([`HEAD`]): it says that there are batches before the first of them is whole. It
//! is on the disk before a manifest names the file, for whoever finds the first batch torn has to know. A batch may begin with a
//! line that tells which was the last one that a sync of the file had covered (`#D:6`). By it a batch that was damaged on the
//! disk is told from one that was not on the disk yet when the machine stopped, though the disk had put down later ones.
//!
//! A base that consists of commands has batches as well, of which the server reads all or none. They have no numbers, for they
//! come to be while others are appended elsewhere: that is, number 0. Behind the last one stands the line of an empty batch
//! again, so that one that is missing at the end is missed.
//!
//! Redis skips lines that begin with `#` between two commands, so that it reads such a file as any other. Batches are counted
//! from 1, and on from file to file of one data set. The checksum is that of iSCSI (RFC 3720, appendix B.4), for which
//! processors have an instruction: it costs a few nanoseconds for each kilobyte.
//!
//! Knows the line and nothing of what lies before it.

use std::fmt;

/// What the line begins with.
pub const PREFIX: &[u8] = b"#B:";

/// What a file begins with that has batches: an empty one without a number.
pub const HEAD: &[u8] = b"#B:0:0:00000000\r\n";

/// What a line begins with that tells the number of the last batch known to be on the disk. It stands in a batch as any line
/// that Redis skips; a batch begins with one where there is news.
pub const DURABLE_PREFIX: &[u8] = b"#D:";

/// The longest line, its end included: two numbers of 20 digits, the checksum's 8, and what stands between.
pub const LINE_BYTES_MAX: usize = 3 + 20 + 1 + 20 + 1 + 8 + 2;

/// What the line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchEnd {
    /// The batch's number, from 1 upwards; 0 in the head of a file, and in a base.
    pub seq: u64,
    /// How many bytes the batch has before the line.
    pub bytes: u64,
    /// Their CRC-32C.
    pub crc: u32,
}

impl BatchEnd {
    /// The end of an empty batch without a number.
    pub const UNNUMBERED: BatchEnd = BatchEnd { seq: 0, bytes: 0, crc: 0 };

    /// The end of a batch of these bytes. O(bytes).
    pub fn of(seq: u64, batch: &[u8]) -> BatchEnd {
        BatchEnd { seq, bytes: batch.len() as u64, crc: checksum(batch) }
    }

    /// True if these are the bytes that it speaks of. O(bytes).
    pub fn fits(&self, batch: &[u8]) -> bool {
        self.bytes == batch.len() as u64 && self.crc == checksum(batch)
    }

    /// Appends the line.
    pub fn push(&self, out: &mut Vec<u8>) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut digits = itoa::Buffer::new();
        out.extend_from_slice(PREFIX);
        out.extend_from_slice(digits.format(self.seq).as_bytes());
        out.push(b':');
        out.extend_from_slice(digits.format(self.bytes).as_bytes());
        out.push(b':');
        out.extend((0..8).map(|index| HEX[(self.crc >> (28 - 4 * index)) as usize & 15]));
        out.extend_from_slice(b"\r\n");
    }

    /// Reads a line, which comes without its `\r\n` and begins with [`PREFIX`].
    ///
    /// # Errors
    /// It is not as [`BatchEnd::push`] writes it, to the byte.
    pub fn parse(line: &[u8]) -> Result<BatchEnd, Malformed> {
        let text = line.strip_prefix(PREFIX).and_then(|rest| std::str::from_utf8(rest).ok()).ok_or(Malformed)?;
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or(Malformed);
        let (seq, bytes, crc) = (number(next()?)?, number(next()?)?, next()?);
        let is_checksum = crc.len() == 8 && crc.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        if parts.next().is_some() || !is_checksum {
            return Err(Malformed);
        }
        Ok(BatchEnd { seq, bytes, crc: u32::from_str_radix(crc, 16).map_err(|_| Malformed)? })
    }
}

/// The checksum of a batch's bytes.
pub fn checksum(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch)
}

/// A number in its one form: no sign, no zero before it.
fn number(text: &str) -> Result<u64, Malformed> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().map_err(|_| Malformed) } else { Err(Malformed) }
}

/// A line that begins like the end of a batch and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the line that ends a batch is not of the form #B:<number>:<bytes>:<checksum>")
    }
}

impl std::error::Error for Malformed {}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(end: BatchEnd) -> String {
        let mut out = Vec::new();
        end.push(&mut out);
        String::from_utf8(out).expect("ASCII")
    }

    /// CRC-32C of "123456789" is the check value of the catalogue of parametrised CRC algorithms, and that of 32 zero bytes is
    /// in RFC 3720.
    #[test]
    fn the_checksum_is_that_of_iscsi() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
        assert_eq!(checksum(&[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn a_line_reads_back_as_what_was_written() {
        for end in [
            BatchEnd::of(1, b"*1\r\n$4\r\nPING\r\n"),
            BatchEnd { seq: 1, bytes: 0, crc: 0 },
            BatchEnd { seq: u64::MAX, bytes: u64::MAX, crc: u32::MAX },
        ] {
            let text = line(end);
            assert!(text.len() <= LINE_BYTES_MAX);
            assert_eq!(BatchEnd::parse(text.trim_end().as_bytes()), Ok(end), "{text}");
        }
        assert_eq!(line(BatchEnd { seq: 12, bytes: 345, crc: 0x00ab_cdef }), "#B:12:345:00abcdef\r\n");
        assert_eq!(line(BatchEnd { seq: u64::MAX, bytes: u64::MAX, crc: 1 }).len(), LINE_BYTES_MAX);
    }

    #[test]
    fn it_fits_its_own_bytes_alone() {
        let batch = b"*1\r\n$4\r\nPING\r\n";
        let end = BatchEnd::of(3, batch);
        assert!(end.fits(batch));
        assert!(!end.fits(&batch[1..]));
        assert!(!end.fits(b"*1\r\n$4\r\nPINg\r\n"));
    }

    #[test]
    fn what_is_written_otherwise_is_refused() {
        let lines = [
            "",
            "#",
            "#B",
            "#B:",
            "#B::::",
            "#B:1:2",
            "#B:1:2:",
            "#B:1:2:0000000",
            "#B:1:2:000000000",
            "#B:01:2:00000000",
            "#B:1:02:00000000",
            "#B:+1:2:00000000",
            "#B:1:-2:00000000",
            "#B: 1:2:00000000",
            "#B:1:2:0000000G",
            "#B:1:2:0000000A",
            "#B:1:2:+0000000",
            "#B:1:2:00000000:",
            "#B:1:2:00000000 ",
            "#B:18446744073709551616:2:00000000",
            "#TS:1",
            "#b:1:2:00000000",
        ];
        for line in lines {
            assert_eq!(BatchEnd::parse(line.as_bytes()), Err(Malformed), "{line}");
        }
        assert_eq!(BatchEnd::parse(b"#B:1:2:000000\xff\xff"), Err(Malformed));
    }
}
