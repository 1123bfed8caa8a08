//! MAXCOUNT and MAXSIZE: how much XREAD and XREADGROUP may answer, of all their streams together.

use crate::base::num;
use crate::resp::args::Args;
use crate::resp::error::ReplyError;
use crate::store::pack::Item;
use crate::store::types::stream::Entry;

const COUNT_NOT_POSITIVE: ReplyError = ReplyError::new("ERR MAXCOUNT must be a positive integer");
const SIZE_NOT_POSITIVE: ReplyError = ReplyError::new("ERR MAXSIZE must be a positive integer");
const BELOW_COUNT: ReplyError = ReplyError::new("ERR MAXCOUNT must not be smaller than COUNT");

/// What a reply has room for. Entries are taken in their order; once one had no room there is none for any that follows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    entries: usize,
    /// Bytes of entries as they are written; `usize::MAX` for as many as there are.
    bytes: usize,
    /// An entry was taken.
    is_begun: bool,
}

impl Room {
    /// Room for all there is.
    pub const ENDLESS: Room = Room { entries: usize::MAX, bytes: usize::MAX, is_begun: false };

    /// Reads the option at an index, which a word follows; false if it is none of these.
    pub fn option(&mut self, args: Args<'_>, index: usize) -> Result<bool, ReplyError> {
        let (field, refusal) = if args.is(index, "MAXCOUNT") {
            (&mut self.entries, COUNT_NOT_POSITIVE)
        } else if args.is(index, "MAXSIZE") {
            (&mut self.bytes, SIZE_NOT_POSITIVE)
        } else {
            return Ok(false);
        };
        let n = num::parse_i64(args.at(index + 1)).ok_or(ReplyError::NOT_AN_INTEGER)?;
        *field = usize::try_from(n).ok().filter(|&n| n > 0).ok_or(refusal)?;
        Ok(true)
    }

    /// Refuses fewer entries of all streams together than there may be of each; `count` is 0 for all.
    pub fn check(&self, count: usize) -> Result<(), ReplyError> {
        if self.entries < count { Err(BELOW_COUNT) } else { Ok(()) }
    }

    /// Entries there may be at most.
    pub fn entries(&self) -> usize {
        self.entries
    }

    /// Whether an entry would be taken.
    pub fn has_for(&self, entry: &Entry<'_>) -> bool {
        self.entries > 0 && (!self.is_begun || self.bytes == usize::MAX || bytes_of(entry) <= self.bytes)
    }

    /// Takes an entry, and the bytes that it is written in; false if it has no room, and neither has any other.
    pub fn take(&mut self, entry: &Entry<'_>) -> bool {
        if !self.has_for(entry) {
            self.entries = 0;
            return false;
        }
        if self.bytes < usize::MAX {
            // However long the first one is, it comes.
            self.bytes = self.bytes.saturating_sub(bytes_of(entry));
        }
        self.entries -= 1;
        self.is_begun = true;
        true
    }
}

/// The bytes of a number's digits.
fn digits(n: usize) -> usize {
    n.checked_ilog10().unwrap_or(0) as usize + 1
}

/// The bytes that a bulk string is written in: `$`, its length and the ends of two lines are beside its own.
fn bulk_bytes(len: usize) -> usize {
    1 + digits(len) + 2 + len + 2
}

/// The bytes that an entry is written in: an array of its id and of an array of its fields and values.
pub(super) fn bytes_of(entry: &Entry<'_>) -> usize {
    let item = |item: Item<'_>| match item {
        Item::Int(n) => bulk_bytes(itoa::Buffer::new().format(n).len()),
        Item::Bytes(bytes) => bulk_bytes(bytes.len()),
    };
    let items: usize = entry.pairs().map(|(field, value)| item(field) + item(value)).sum();
    b"*2\r\n".len() + bulk_bytes(entry.id.text().as_bytes().len()) + 1 + digits(2 * entry.len()) + 2 + items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::out::Out;
    use crate::resp::reply::{Proto, Reply};
    use crate::store::types::Stream;
    use crate::store::types::stream::{NodeLimits, StreamId};

    #[test]
    fn an_entry_takes_the_bytes_that_it_is_written_in() {
        let long = "x".repeat(1234);
        let mut stream = Stream::default();
        let entries: [&[&str]; 4] = [&["a", "1"], &["field", "-12345"], &["", &long], &["a", "b", "c", "d", "e", "f"]];
        for (n, flat) in (9..).zip(entries) {
            let flat = flat.iter().map(|text| text.as_bytes());
            stream.append(StreamId::new(n, 12), flat, NodeLimits { bytes: 0, entries: 100 });
        }
        for entry in stream.range(StreamId::MIN, StreamId::MAX) {
            let mut out = Out::default();
            super::super::write_entry(&mut Reply::new(&mut out, Proto::Resp2), &entry);
            assert_eq!(bytes_of(&entry), out.len());
        }
    }
}
