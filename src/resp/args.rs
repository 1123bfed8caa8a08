//! The arguments of one command, as slices into the bytes they arrived in. One of them may lie elsewhere: a large one, which
//! the value that is made of it can take over as it is.

use std::sync::Arc;

use crate::base::heap;

/// Where one argument lies, relative to the first byte of its command, so that the command's bytes may move as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// Where an argument begins that lies elsewhere.
const ELSEWHERE: u32 = u32::MAX;

/// A command's arguments, its name first. Cheap to copy; borrows the connection's input.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
    /// The argument that lies elsewhere.
    shared: Option<&'a Arc<Vec<u8>>>,
}

/// The bytes of an argument.
#[inline(always)]
fn slice<'a>(bytes: &'a [u8], span: Span, shared: Option<&'a Arc<Vec<u8>>>) -> &'a [u8] {
    if span.start == ELSEWHERE {
        return elsewhere(shared);
    }
    &bytes[span.start as usize..][..span.len as usize]
}

#[cold]
#[inline(never)]
fn elsewhere(shared: Option<&Arc<Vec<u8>>>) -> &[u8] {
    shared.expect("what lies elsewhere is known")
}

/// What ends the lines of a request.
const LINE_END: &[u8] = b"\r\n";

/// Digits of a number.
#[inline]
fn digits(number: usize) -> usize {
    if number < 10 { 1 } else { number.ilog10() as usize + 1 }
}

/// True if a request says that it has so many arguments.
#[inline]
fn has_count(bytes: &[u8], count: usize) -> bool {
    if count < 10 {
        return bytes.starts_with(&[b'*', b'0' + count as u8, b'\r', b'\n']);
    }
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(count).as_bytes();
    bytes.first() == Some(&b'*') && bytes[1..].starts_with(text) && bytes[1 + text.len()..].starts_with(LINE_END)
}

impl<'a> Args<'a> {
    /// Arguments over the bytes of a command. The spans must lie within the bytes.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans, shared: None }
    }

    /// Number of arguments, the command's name included.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "a command has at least its name")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The argument at an index; panics beyond the end, which arity checks exclude.
    #[inline]
    pub fn at(&self, index: usize) -> &'a [u8] {
        slice(self.bytes, self.spans[index], self.shared)
    }

    /// The argument at an index in a form that can be kept without a copy, if it is one that lies elsewhere.
    #[inline]
    pub fn shared(&self, index: usize) -> Option<&'a Arc<Vec<u8>>> {
        self.shared.filter(|_| self.spans[index].start == ELSEWHERE)
    }

    /// The argument at an index, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.at(index))
    }

    /// The arguments from an index on.
    pub fn iter_from(self, index: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone {
        let Args { bytes, spans, shared } = self;
        spans[index.min(spans.len())..].iter().map(move |span| slice(bytes, *span, shared))
    }

    /// The arguments from an index on as a line of their own, which is empty from the end on.
    pub fn tail(self, index: usize) -> Args<'a> {
        Args { spans: &self.spans[index.min(self.spans.len())..], ..self }
    }

    /// The arguments before an index as a line of their own.
    pub fn up_to(self, index: usize) -> Args<'a> {
        Args { spans: &self.spans[..index.min(self.spans.len())], ..self }
    }

    /// The first arguments of a line and some of the others, as a line of their own. `spans` is overwritten. O(arguments chosen).
    pub fn pick<'s>(self, head: usize, range: std::ops::Range<usize>, spans: &'s mut Vec<Span>) -> Args<'s>
    where
        'a: 's,
    {
        spans.clear();
        spans.extend_from_slice(&self.spans[..head]);
        spans.extend_from_slice(&self.spans[range]);
        Args { spans, ..self }
    }

    /// Bytes from the beginning of the command to the end of its last argument, as they lie: all of a request but its last line
    /// end, or the arguments alone where they have storage of their own. O(1).
    #[inline]
    pub fn extent(&self) -> usize {
        match (self.spans.last(), self.shared) {
            (None, _) => 0,
            (Some(last), None) => last.start as usize + last.len as usize,
            (Some(_), Some(shared)) => self.bytes.len() + shared.len(),
        }
    }

    /// The whole request as it came, if it came in the form that is written here: an array of strings with their lengths in as few
    /// digits as can be, and whole line ends, which a reader of requests passes over unseen. O(arguments).
    pub fn request(&self) -> Option<&'a [u8]> {
        let (bytes, end) = (self.bytes, self.extent() + LINE_END.len());
        if self.shared.is_some() || bytes.len() < end || !has_count(bytes, self.spans.len()) {
            return None;
        }
        let mut at = 1 + digits(self.spans.len()) + LINE_END.len();
        for Span { start, len } in self.spans {
            let (start, len) = (*start as usize, *len as usize);
            at += 1 + digits(len) + LINE_END.len();
            let ends = [start.checked_sub(LINE_END.len())?, start + len];
            if start != at || ends.into_iter().any(|at| &bytes[at..at + LINE_END.len()] != LINE_END) {
                return None;
            }
            at += len + LINE_END.len();
        }
        (at == end).then(|| &bytes[..end])
    }

    /// True if the argument equals a keyword, in any case.
    #[inline]
    pub fn is(&self, index: usize, keyword: &str) -> bool {
        self.at(index).eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// Bytes of all arguments together.
    pub fn total_bytes(&self) -> usize {
        self.spans.iter().map(|span| span.len as usize).sum()
    }
}

/// Arguments with storage of their own: for commands that outlive their input, and for tests.
#[derive(Clone, Debug, Default)]
pub struct OwnedArgs {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    shared: Option<Arc<Vec<u8>>>,
}

impl OwnedArgs {
    /// Copies arguments.
    pub fn new<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> OwnedArgs {
        let mut owned = OwnedArgs::default();
        for arg in args {
            owned.spans.push(Span { start: owned.bytes.len() as u32, len: arg.len() as u32 });
            owned.bytes.extend_from_slice(arg);
        }
        owned
    }

    /// Copies the arguments of a command, into exactly the room they need.
    pub fn copy(args: Args<'_>) -> OwnedArgs {
        let elsewhere = args.shared.map_or(0, |shared| shared.len());
        let mut owned = OwnedArgs {
            bytes: Vec::with_capacity(args.total_bytes() - elsewhere),
            spans: Vec::with_capacity(args.len()),
            shared: None,
        };
        for index in 0..args.len() {
            match args.shared(index) {
                Some(shared) => owned.push_shared(Arc::clone(shared)),
                None => owned.push(args.at(index)),
            }
        }
        owned
    }

    /// Copies the arguments of a command of which one, empty so far, lies elsewhere.
    pub fn with_shared(args: Args<'_>, index: usize, shared: &Arc<Vec<u8>>) -> OwnedArgs {
        let spans = args.spans.iter().enumerate();
        let spans = spans.map(|(at, span)| if at == index { span_of(shared) } else { *span }).collect();
        OwnedArgs { bytes: args.bytes.to_vec(), spans, shared: Some(Arc::clone(shared)) }
    }

    /// Drops the arguments, and keeps their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
        self.shared = None;
    }

    /// Copies one more argument.
    #[inline]
    pub fn push(&mut self, arg: &[u8]) {
        self.spans.push(Span { start: self.bytes.len() as u32, len: arg.len() as u32 });
        self.bytes.extend_from_slice(arg);
    }

    /// Adds one more argument as it is, the only one of its kind.
    fn push_shared(&mut self, arg: Arc<Vec<u8>>) {
        debug_assert!(self.shared.is_none(), "one argument lies elsewhere");
        self.spans.push(span_of(&arg));
        self.shared = Some(arg);
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        let elsewhere = self.shared.as_ref().map_or(0, |shared| heap::shared_vec(shared));
        heap::vec(&self.bytes) + heap::vec(&self.spans) + elsewhere
    }

    /// The arguments.
    pub fn as_args(&self) -> Args<'_> {
        Args { shared: self.shared.as_ref(), ..Args::new(&self.bytes, &self.spans) }
    }
}

fn span_of(shared: &Arc<Vec<u8>>) -> Span {
    Span { start: ELSEWHERE, len: shared.len() as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::resp::parse::{Limits, Parsed, Parser};

    fn encoded<'a>(words: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            text.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            text.extend_from_slice(word);
            text.extend_from_slice(b"\r\n");
        }
        text
    }

    /// Whatever part of a request in whatever form: what is said to be its bytes is what would be written for it.
    #[test]
    fn a_request_is_taken_as_it_came_only_in_the_form_that_is_written() {
        let (mut prng, mut taken) = (Prng::seeded(3), 0);
        for round in 0..3_000 {
            let count = 1 + prng.below(if round % 10 == 0 { 120 } else { 6 }) as usize;
            let words: Vec<Vec<u8>> = (0..count)
                .map(|_| {
                    let most = *prng.pick(&[2, 12, 120]).expect("not empty");
                    (0..prng.below(most)).map(|_| *prng.pick(b"ab*$1\r\n").expect("not empty")).collect()
                })
                .collect();
            let plain = encoded(words.iter().map(Vec::as_slice));
            // Another form of the same: zeros before a number.
            let bytes = match prng.below(4) {
                0 => [&b"*0"[..], &plain[1..]].concat(),
                // A reader looks at the first byte of a line end alone.
                2 => {
                    let ends = plain.windows(2).enumerate().filter(|(_, pair)| pair == b"\r\n").map(|(at, _)| at + 1);
                    let ends: Vec<usize> = ends.collect();
                    let mut other = plain.clone();
                    other[*prng.pick(&ends).expect("there are some")] = b'x';
                    other
                }
                1 => {
                    let at = plain.iter().position(|byte| *byte == b'$').expect("an argument");
                    [&plain[..=at], b"0", &plain[at + 1..]].concat()
                }
                _ => plain.clone(),
            };
            let bytes = [&bytes[..], b"*1\r\n$4\r\nPING\r\n"].concat();
            let limits = Limits { bulk_bytes_max: 1 << 20, authenticated: true };
            let mut spans = Vec::new();
            let Ok(Parsed::Command(_)) = Parser::default().parse(&bytes, limits, &mut spans) else { continue };
            let args = Args::new(&bytes, &spans);
            let mut picked = Vec::new();
            let some = prng.below(count as u64) as usize;
            let owned = OwnedArgs::copy(args);
            for part in
                [args, args.tail(some), args.up_to(some + 1), args.pick(1, some..count, &mut picked), owned.as_args()]
            {
                let written = encoded(part.iter_from(0));
                assert!(
                    part.request().is_none_or(|request| request == written),
                    "{:?}",
                    bytes.escape_ascii().to_string()
                );
                taken += usize::from(part.request().is_some());
            }
            assert!(bytes[..plain.len()] != plain[..] || args.request() == Some(&plain[..]));
        }
        assert!(taken > 500, "{taken}");
    }
}
