//! The arguments of one command, as slices into the bytes they arrived in.

/// Where one argument lies, relative to the first byte of its command, so that the command's bytes may move as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A command's arguments, its name first. Cheap to copy; borrows the connection's input.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    bytes: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// Arguments over the bytes of a command. The spans must lie within the bytes.
    pub fn new(bytes: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { bytes, spans }
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
        let span = self.spans[index];
        &self.bytes[span.start as usize..][..span.len as usize]
    }

    /// The argument at an index, if there is one.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        (index < self.len()).then(|| self.at(index))
    }

    /// The arguments from an index on.
    pub fn iter_from(self, index: usize) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator + Clone {
        let Args { bytes, spans } = self;
        spans[index.min(spans.len())..].iter().map(move |span| &bytes[span.start as usize..][..span.len as usize])
    }

    /// The arguments from an index on as a line of their own, which is empty from the end on.
    pub fn tail(self, index: usize) -> Args<'a> {
        Args { spans: &self.spans[index.min(self.spans.len())..], ..self }
    }

    /// The arguments before an index as a line of their own.
    pub fn up_to(self, index: usize) -> Args<'a> {
        Args { spans: &self.spans[..index.min(self.spans.len())], ..self }
    }

    /// Bytes from the beginning of the command to the end of its last argument, as they lie: all of a request but its last line
    /// end, or the arguments alone where they have storage of their own. O(1).
    #[inline]
    pub fn extent(&self) -> usize {
        self.spans.last().map_or(0, |last| last.start as usize + last.len as usize)
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
        let (mut bytes, mut spans) = (Vec::with_capacity(args.total_bytes()), Vec::with_capacity(args.len()));
        for arg in args.iter_from(0) {
            spans.push(Span { start: bytes.len() as u32, len: arg.len() as u32 });
            bytes.extend_from_slice(arg);
        }
        OwnedArgs { bytes, spans }
    }

    /// Drops the arguments, and keeps their memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Copies one more argument.
    #[inline]
    pub fn push(&mut self, arg: &[u8]) {
        self.spans.push(Span { start: self.bytes.len() as u32, len: arg.len() as u32 });
        self.bytes.extend_from_slice(arg);
    }

    /// Bytes of memory held.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.spans.capacity() * size_of::<Span>()
    }

    /// The arguments.
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.spans)
    }
}
