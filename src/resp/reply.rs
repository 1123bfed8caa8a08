//! The reply writer: one method per RESP type, in the protocol version the client has chosen. RESP2 clients get the
//! nearest older form of what only RESP3 has (Redis's own mapping: a map is a flat array, a double a bulk string, ...).

use std::sync::Arc;

use super::error::ReplyError;
use super::out::{Out, Place};
use crate::base::num;

/// The longest header: its type, a sign, 19 digits, the line's end; rounded up.
const HEADER_BYTES_MAX: usize = 32;
/// The longest double with what goes around it: Rust's longest shortest form is 24 bytes, plain digits up to 330.
const DOUBLE_BYTES_MAX: usize = 512;

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proto {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, after `HELLO 3`.
    Resp3,
}

/// An array whose length is not known yet.
#[derive(Debug)]
#[must_use = "the reply is only whole when the array is closed"]
pub struct OpenArray {
    /// Where its header lies.
    place: Place,
    /// Bytes of the header.
    bytes: usize,
}

/// An out-of-band message of bulk strings, as bytes that several clients can be sent.
pub fn push_text(proto: Proto, parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Out::default();
    let mut reply = Reply::new(&mut out, proto);
    reply.push(parts.len());
    parts.iter().for_each(|part| reply.bulk(part));
    out.into_bytes()
}

/// Writes one client's replies. Every write is O(bytes) and cannot fail.
#[derive(Debug)]
pub struct Reply<'o> {
    out: &'o mut Out,
    proto: Proto,
}

impl<'o> Reply<'o> {
    /// A writer to an output.
    pub fn new(out: &'o mut Out, proto: Proto) -> Reply<'o> {
        Reply { out, proto }
    }

    /// The protocol in use.
    pub fn proto(&self) -> Proto {
        self.proto
    }

    /// Changes the protocol from the next reply on.
    pub fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
    }

    /// True once the output has been cut off: nobody will read what else is written, so whoever writes without end may stop.
    pub fn is_cut(&self) -> bool {
        self.out.is_cut()
    }

    /// The output written to.
    pub fn out(&mut self) -> &mut Out {
        self.out
    }

    #[inline]
    fn header(&mut self, kind: u8, n: i64) {
        write_header(self.out.tail_for(HEADER_BYTES_MAX), kind, n);
    }

    /// `+text`
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// `+text`, from bytes without line ends.
    pub fn simple_text(&mut self, text: &[u8]) {
        self.line(b'+', text);
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.fixed(b"+OK\r\n");
    }

    /// `-text`
    pub fn error(&mut self, error: &ReplyError) {
        self.error_text(error.text());
    }

    /// `-text`, from bytes without line ends.
    pub fn error_text(&mut self, text: &[u8]) {
        self.line(b'-', text);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.fixed(&[kind]);
        self.out.push(text);
        self.fixed(b"\r\n");
    }

    /// A few bytes as they are.
    #[inline]
    fn fixed(&mut self, bytes: &[u8]) {
        self.out.tail_for(bytes.len()).extend_from_slice(bytes);
    }

    /// `:n`
    #[inline]
    pub fn integer(&mut self, n: i64) {
        self.header(b':', n);
    }

    /// `:n`, of a number that may be beyond those with a sign.
    pub fn unsigned(&mut self, n: u64) {
        self.line(b':', itoa::Buffer::new().format(n).as_bytes());
    }

    /// So many times that nothing is there: as [`Reply::null`] each. O(bytes), in few pieces.
    pub fn nulls(&mut self, n: usize) {
        const PIECE: usize = 1024;
        let null: &[u8] = if self.proto == Proto::Resp2 { b"$-1\r\n" } else { b"_\r\n" };
        let piece = null.repeat(PIECE.min(n));
        let mut left = n;
        while left > 0 {
            let count = left.min(PIECE);
            self.out.push(&piece[..count * null.len()]);
            left -= count;
        }
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        if Out::is_large(bytes.len()) {
            return self.large_bulk(bytes);
        }
        // One reservation for the longest header, the bytes and the end.
        let room = bytes.len() + HEADER_BYTES_MAX + 2;
        let tail = self.out.tail_for(room);
        tail.reserve(room);
        write_header(tail, b'$', bytes.len() as i64);
        tail.extend_from_slice(bytes);
        tail.extend_from_slice(b"\r\n");
    }

    #[cold]
    fn large_bulk(&mut self, bytes: &[u8]) {
        self.header(b'$', bytes.len() as i64);
        self.out.push(bytes);
        self.fixed(b"\r\n");
    }

    /// A bulk string of text.
    pub fn bulk_str(&mut self, text: &str) {
        self.bulk(text.as_bytes());
    }

    /// A bulk string that holds an integer's text.
    pub fn bulk_integer(&mut self, n: i64) {
        self.bulk(itoa::Buffer::new().format(n).as_bytes());
    }

    /// A bulk string shared with the key space, sent by reference if it is long.
    pub fn bulk_shared(&mut self, bytes: &Arc<Vec<u8>>) {
        self.header(b'$', bytes.len() as i64);
        self.out.push_shared(bytes);
        self.fixed(b"\r\n");
    }

    /// Begins a bulk string of so many bytes, which follow in [parts](Reply::bulk_part) until it is [closed](Reply::close_bulk).
    pub fn open_bulk(&mut self, bytes: usize) {
        self.header(b'$', bytes as i64);
    }

    /// A part of a bulk string.
    pub fn bulk_part(&mut self, bytes: &[u8]) {
        self.out.push(bytes);
    }

    /// Ends a bulk string.
    pub fn close_bulk(&mut self) {
        self.fixed(b"\r\n");
    }

    /// A bulk string that consists of such pieces.
    pub fn bulk_pieces(&mut self, pieces: &[Arc<Vec<u8>>]) {
        self.header(b'$', pieces.iter().map(|piece| piece.len() as i64).sum());
        pieces.iter().for_each(|piece| self.out.push_shared(piece));
        self.fixed(b"\r\n");
    }

    /// The absence of a value.
    #[inline]
    pub fn null(&mut self) {
        self.fixed(if self.proto == Proto::Resp2 { b"$-1\r\n" } else { b"_\r\n" });
    }

    /// The absence of an array.
    pub fn null_array(&mut self) {
        self.fixed(if self.proto == Proto::Resp2 { b"*-1\r\n" } else { b"_\r\n" });
    }

    /// Starts an array of `n` replies.
    #[inline]
    pub fn array(&mut self, n: usize) {
        self.header(b'*', n as i64);
    }

    /// Starts an array whose length is known only once its elements have been written. To close it costs nothing if its
    /// length has as many digits as `expected`, else a move of the bytes that share its chunk.
    pub fn open_array(&mut self, expected: usize) -> OpenArray {
        let place = self.out.place_for(HEADER_BYTES_MAX);
        let before = self.out.len();
        self.array(expected);
        OpenArray { place, bytes: self.out.len() - before }
    }

    /// Ends such an array of `n` replies.
    pub fn close_array(&mut self, array: OpenArray, n: usize) {
        let mut header = Vec::with_capacity(24);
        push_array_header(&mut header, n);
        self.replace_header(array, header);
    }

    /// Ends such an array that has as many replies as were expected.
    pub fn keep_array(&mut self, _array: OpenArray) {}

    /// Ends such an array as the second half of what SCAN and its kin answer; the cursor goes before it.
    pub fn close_scan(&mut self, array: OpenArray, cursor: u64, n: usize) {
        let mut digits = itoa::Buffer::new();
        self.close_array_after(array, 2, digits.format(cursor).as_bytes(), n);
    }

    /// Ends such an array of `n` replies as the second element of another, whose first is a bulk string.
    pub fn close_array_after(&mut self, array: OpenArray, outer: usize, first: &[u8], n: usize) {
        let mut header = Vec::with_capacity(96);
        push_array_header(&mut header, outer);
        header.push(b'$');
        num::write_i64(&mut header, first.len() as i64);
        header.extend_from_slice(b"\r\n");
        header.extend_from_slice(first);
        header.extend_from_slice(b"\r\n");
        push_array_header(&mut header, n);
        self.replace_header(array, header);
    }

    /// Ends such an array of `n` pairs, each an array in RESP2; in RESP3 it becomes a map.
    pub fn close_pairs(&mut self, array: OpenArray, n: usize) {
        let mut header = Vec::with_capacity(24);
        push_array_header(&mut header, n);
        if self.proto == Proto::Resp3 {
            header[0] = b'%';
        }
        self.replace_header(array, header);
    }

    /// Ends such an array as a map of `n` pairs.
    pub fn close_map(&mut self, array: OpenArray, n: usize) {
        let mut header = Vec::with_capacity(24);
        match self.proto {
            Proto::Resp2 => push_array_header(&mut header, 2 * n),
            Proto::Resp3 => {
                push_array_header(&mut header, n);
                header[0] = b'%';
            }
        }
        self.replace_header(array, header);
    }

    /// Ends such an array of `n` replies as a set, which it is in RESP3.
    pub fn close_set(&mut self, array: OpenArray, n: usize) {
        let mut header = Vec::with_capacity(24);
        push_array_header(&mut header, n);
        if self.proto == Proto::Resp3 {
            header[0] = b'~';
        }
        self.replace_header(array, header);
    }

    fn replace_header(&mut self, array: OpenArray, header: Vec<u8>) {
        self.out.replace(array.place, array.bytes, &header);
    }

    /// Starts a map of `n` pairs.
    pub fn map(&mut self, n: usize) {
        match self.proto {
            Proto::Resp2 => self.header(b'*', 2 * n as i64),
            Proto::Resp3 => self.header(b'%', n as i64),
        }
    }

    /// Starts a set of `n` replies.
    pub fn set(&mut self, n: usize) {
        self.header(if self.proto == Proto::Resp2 { b'*' } else { b'~' }, n as i64);
    }

    /// Starts an out-of-band message of `n` replies.
    pub fn push(&mut self, n: usize) {
        self.header(if self.proto == Proto::Resp2 { b'*' } else { b'>' }, n as i64);
    }

    /// Starts an attribute of `n` pairs in front of the next reply. RESP3 only.
    pub fn attribute(&mut self, n: usize) {
        debug_assert_eq!(self.proto, Proto::Resp3);
        self.header(b'|', n as i64);
    }

    /// A double; in RESP2 its text as a bulk string.
    pub fn double(&mut self, value: f64) {
        match self.proto {
            Proto::Resp2 => {
                // The text goes where it stays but for its header, whose length follows from the text's: one or two digits.
                let tail = self.out.tail_for(DOUBLE_BYTES_MAX);
                let start = tail.len();
                num::write_f64(tail, value);
                let length = tail.len() - start;
                let header_bytes = if length < 10 { 4 } else { 5 };
                tail.resize(start + header_bytes + length, 0);
                tail.copy_within(start..start + length, start + header_bytes);
                let mut digits = itoa::Buffer::new();
                let header = &mut tail[start..start + header_bytes];
                header[0] = b'$';
                header[1..header_bytes - 2].copy_from_slice(digits.format(length).as_bytes());
                header[header_bytes - 2..].copy_from_slice(b"\r\n");
                tail.extend_from_slice(b"\r\n");
            }
            Proto::Resp3 => {
                let tail = self.out.tail_for(DOUBLE_BYTES_MAX);
                tail.push(b',');
                num::write_f64(tail, value);
                tail.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A number as its decimal digits, which may be more than a double has; in RESP2 a bulk string.
    pub fn decimal(&mut self, digits: &[u8]) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits),
            Proto::Resp3 => self.line(b',', digits),
        }
    }

    /// A truth value; in RESP2 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        match self.proto {
            Proto::Resp2 => self.integer(i64::from(value)),
            Proto::Resp3 => self.fixed(if value { b"#t\r\n" } else { b"#f\r\n" }),
        }
    }

    /// An integer beyond 64 bits, as decimal digits; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: &str) {
        match self.proto {
            Proto::Resp2 => self.bulk(digits.as_bytes()),
            Proto::Resp3 => self.line(b'(', digits.as_bytes()),
        }
    }

    /// Text for people, with its three-letter format (`txt`, `mkd`); in RESP2 a bulk string.
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        self.verbatim_bytes(format.as_bytes(), text);
    }

    /// The same, with a format that need not be text.
    pub fn verbatim_bytes(&mut self, format: &[u8], text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        match self.proto {
            Proto::Resp2 => self.bulk(text),
            Proto::Resp3 => {
                self.header(b'=', text.len() as i64 + 4);
                self.fixed(format);
                self.fixed(b":");
                self.out.push(text);
                self.fixed(b"\r\n");
            }
        }
    }
}

/// A type byte, a number and the line's end.
#[inline]
fn write_header(tail: &mut Vec<u8>, kind: u8, n: i64) {
    if let 0..10 = n {
        // One write of a fixed length: most lengths and most integers have one digit.
        return tail.extend_from_slice(&[kind, b'0' + n as u8, b'\r', b'\n']);
    }
    tail.push(kind);
    num::write_i64(tail, n);
    tail.extend_from_slice(b"\r\n");
}

fn push_array_header(header: &mut Vec<u8>, n: usize) {
    header.push(b'*');
    num::write_i64(header, n as i64);
    header.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(proto: Proto, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Out::default();
        write(&mut Reply::new(&mut out, proto));
        String::from_utf8(out.as_slice().expect("short").to_vec()).expect("ASCII")
    }

    #[test]
    fn an_open_array_gets_its_length_in_the_end() {
        for (expected, n) in [(0, 0), (3, 3), (3, 0), (100, 3), (1, 12)] {
            let text = written(Proto::Resp2, |reply| {
                reply.integer(1);
                let array = reply.open_array(expected);
                (0..n).for_each(|_| reply.bulk(b"x"));
                reply.close_array(array, n);
                reply.ok();
            });
            let scan = written(Proto::Resp3, |reply| {
                reply.integer(1);
                let array = reply.open_array(expected);
                (0..n).for_each(|_| reply.bulk(b"x"));
                reply.close_scan(array, u64::MAX, n);
                reply.ok();
            });
            let elements = "$1\r\nx\r\n".repeat(n);
            assert_eq!(scan, format!(":1\r\n*2\r\n$20\r\n18446744073709551615\r\n*{n}\r\n{elements}+OK\r\n"));
            assert_eq!(text, format!(":1\r\n*{n}\r\n{elements}+OK\r\n"));
        }
    }

    #[test]
    fn every_type_has_its_form_in_both_protocols() {
        type Write = fn(&mut Reply<'_>);
        let rows: [(Write, &str, &str); 17] = [
            (|r| r.simple("PONG"), "+PONG\r\n", "+PONG\r\n"),
            (|r| r.ok(), "+OK\r\n", "+OK\r\n"),
            (|r| r.error(&ReplyError::SYNTAX), "-ERR syntax error\r\n", "-ERR syntax error\r\n"),
            (|r| r.error(&ReplyError::owned("ERR a\r\nb")), "-ERR a  b\r\n", "-ERR a  b\r\n"),
            (|r| r.integer(-7), ":-7\r\n", ":-7\r\n"),
            (|r| r.bulk(b""), "$0\r\n\r\n", "$0\r\n\r\n"),
            (|r| r.bulk_integer(i64::MIN), "$20\r\n-9223372036854775808\r\n", "$20\r\n-9223372036854775808\r\n"),
            (|r| r.null(), "$-1\r\n", "_\r\n"),
            (|r| r.null_array(), "*-1\r\n", "_\r\n"),
            (|r| r.array(0), "*0\r\n", "*0\r\n"),
            (|r| r.map(2), "*4\r\n", "%2\r\n"),
            (|r| r.set(3), "*3\r\n", "~3\r\n"),
            (|r| r.push(3), "*3\r\n", ">3\r\n"),
            (|r| r.double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (|r| r.boolean(true), ":1\r\n", "#t\r\n"),
            (|r| r.big_number("123"), "$3\r\n123\r\n", "(123\r\n"),
            (|r| r.verbatim("txt", b"hi"), "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"),
        ];
        for (write, resp2, resp3) in rows {
            assert_eq!((written(Proto::Resp2, write), written(Proto::Resp3, write)), (resp2.into(), resp3.into()));
        }
    }
}
