//! Glob patterns over bytes, as KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET read them.
//!
//! `*` is any run of bytes, `?` any byte, `[abc]`, `[a-z]`, `[^a]` one byte of a class, and a backslash takes the next byte
//! literally, inside classes too. Every byte sequence is a valid pattern: a class left open ends with the pattern, a
//! backslash at the end stands for itself.
//!
//! # How a pattern is matched
//! A pattern is compiled once: its stars part it into runs of elements, each of which matches one byte. The first run has to
//! stand at the beginning of the text and the last at its end. The runs between stars are looked for one after the other,
//! each at the first place where it is found: if a pattern matches at all it matches so, because what a star takes less
//! leaves more for the rest.
//!
//! # Costs
//! To compile is O(pattern), with two bytes for each of its bytes at most and 32 for each class. To match is O(text) for
//! patterns whose runs between stars are plain bytes, or short; see `find_mixed` for the others. However hostile the
//! pattern is, no byte of the text costs more than `RUN_LEN_MAX / 64` steps and a constant.
//!
//! # Limits
//! Patterns beyond `STARS_MAX`, `CLASSES_MAX` and `RUN_LEN_MAX` match nothing.
//!
//! Refuses to know what is being matched. KEYS and SCAN treat a pattern of exactly `*` as "all", the empty name
//! included, before they ask here.

use memchr::memmem;

use super::heap::{self, size_class};

/// More runs of `*` than this in a pattern match nothing, unless the last of them ends it: Redis's guard against abuse.
const STARS_MAX: usize = 1_000;
/// Classes of several bytes in a pattern at most; one that repeats the last one does not count.
const CLASSES_MAX: usize = (u16::MAX - FIRST_CLASS) as usize + 1;
/// Bytes between two stars that a pattern with `?` or classes among them may match at most: what bounds the time of a
/// search, which is some 300 ns for each byte of the text at this length. Redis takes as long for every two hundred of them.
const RUN_LEN_MAX: usize = 64 * 1024;

/// One element of a pattern in two bytes: up to 255 the byte that it matches, then up to 511 the lower-case letter that it
/// matches in either case, and then [`ANY`] byte, or a class by its number.
type Element = u16;

const FOLDED: Element = 256;
const ANY: Element = 512;
const FIRST_CLASS: Element = 513;

/// A set of bytes, a bit for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Class([u64; 4]);

impl Class {
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 == 1
    }

    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    /// Adds the bytes between two, whichever is smaller. Bytes compare as the signed characters they are in Redis on x86, and
    /// ignoring case folds the ends after they have been ordered.
    fn add_range(&mut self, first: u8, last: u8, nocase: bool) {
        let (low, high) = ((first as i8).min(last as i8), (first as i8).max(last as i8));
        if !nocase {
            return (low..=high).for_each(|byte| self.add(byte as u8));
        }
        let fold = |byte: u8| byte.to_ascii_lowercase() as i8;
        let folded = fold(low as u8)..=fold(high as u8);
        (0..=u8::MAX).filter(|byte| folded.contains(&fold(*byte))).for_each(|byte| self.add(byte));
    }

    /// The only byte in it, if there is just one.
    fn only(&self) -> Option<u8> {
        let count: u32 = self.0.iter().map(|word| word.count_ones()).sum();
        let word = self.0.iter().position(|word| *word != 0).filter(|_| count == 1)?;
        Some((word * 64) as u8 + self.0[word].trailing_zeros() as u8)
    }

    /// The class whose text begins after `[`, and the pattern after it.
    fn parse(text: &[u8], nocase: bool) -> (Class, &[u8]) {
        let (negated, mut text) = match text {
            [b'^', rest @ ..] => (true, rest),
            _ => (false, text),
        };
        let mut class = Class::default();
        loop {
            match text {
                [b'\\', literal, rest @ ..] => {
                    // COMPAT: an escaped letter stands for itself alone, whatever the case.
                    class.add(*literal);
                    text = rest;
                }
                [] => break,
                [b']', rest @ ..] => {
                    text = rest;
                    break;
                }
                [first, b'-', last, rest @ ..] => {
                    class.add_range(*first, *last, nocase);
                    text = rest;
                }
                [literal, rest @ ..] => {
                    class.add(*literal);
                    if nocase {
                        class.add(literal.to_ascii_lowercase());
                        class.add(literal.to_ascii_uppercase());
                    }
                    text = rest;
                }
            }
        }
        if negated {
            class.0 = class.0.map(|word| !word);
        }
        (class, text)
    }
}

/// What stands between two stars, before the first or after the last.
#[derive(Debug)]
enum Run {
    /// These bytes.
    Bytes(Box<[u8]>),
    /// Elements some of which match several bytes.
    Mixed(Box<[Element]>),
}

impl Run {
    fn heap_bytes(&self) -> usize {
        match self {
            Run::Bytes(bytes) => size_class(bytes.len()),
            Run::Mixed(elements) => size_class(size_of_val(&**elements)),
        }
    }

    fn new(elements: &[Element]) -> Run {
        if elements.iter().all(|element| *element < FOLDED) {
            Run::Bytes(elements.iter().map(|element| *element as u8).collect())
        } else {
            Run::Mixed(elements.into())
        }
    }

    /// How many bytes it matches.
    fn len(&self) -> usize {
        match self {
            Run::Bytes(bytes) => bytes.len(),
            Run::Mixed(elements) => elements.len(),
        }
    }
}

/// What follows the first star.
#[derive(Debug)]
struct Rest {
    middle: Box<[Run]>,
    tail: Run,
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    head: Run,
    /// `None` for a pattern without stars.
    rest: Option<Rest>,
    classes: Vec<Class>,
    /// Bytes of the shortest text that matches; `usize::MAX` if none does.
    len_min: usize,
}

impl Pattern {
    /// Bytes on the heap. O(runs between stars).
    fn heap_bytes(&self) -> usize {
        let rest = self.rest.as_ref().map_or(0, |rest| {
            let middle = rest.middle.iter().map(Run::heap_bytes).sum::<usize>();
            size_class(size_of_val(&*rest.middle)) + middle + rest.tail.heap_bytes()
        });
        self.head.heap_bytes() + rest + heap::vec(&self.classes)
    }

    /// Compiles a pattern. With `nocase`, ASCII letters match in either case, except those escaped within a class. O(pattern).
    pub fn new(mut pattern: &[u8], nocase: bool) -> Pattern {
        let (mut head, mut middle, mut classes) = (None, Vec::new(), Vec::new());
        let (mut elements, mut stars, mut excess) = (Vec::with_capacity(pattern.len()), 0, false);
        while let [first, rest @ ..] = pattern {
            pattern = rest;
            match (first, rest) {
                (b'*', _) => {
                    pattern = without_stars(rest);
                    stars += usize::from(!pattern.is_empty());
                    let run = Run::new(&elements);
                    elements.clear();
                    if head.is_none() {
                        head = Some(run);
                    } else {
                        excess |= matches!(&run, Run::Mixed(elements) if elements.len() > RUN_LEN_MAX);
                        middle.push(run);
                    }
                }
                (b'?', _) => elements.push(ANY),
                (b'[', _) => {
                    let (class, after) = Class::parse(rest, nocase);
                    pattern = after;
                    elements.push(match element_of(class, &mut classes) {
                        Some(element) => element,
                        None => {
                            excess = true;
                            break;
                        }
                    });
                }
                (b'\\', [literal, after @ ..]) => {
                    pattern = after;
                    elements.push(literal_of(*literal, nocase));
                }
                (literal, _) => elements.push(literal_of(*literal, nocase)),
            }
        }
        let last = Run::new(&elements);
        let (head, rest) = match head {
            None => (last, None),
            Some(head) => (head, Some(Rest { middle: middle.into(), tail: last })),
        };
        let runs = rest.iter().flat_map(|rest| rest.middle.iter().chain([&rest.tail]));
        let len_min = head.len() + runs.map(Run::len).sum::<usize>();
        let len_min = if excess || stars > STARS_MAX { usize::MAX } else { len_min };
        Pattern { head, rest, classes, len_min }
    }

    /// Whether the whole `text` matches.
    ///
    /// An empty text matches an empty pattern only: not even `*`, because Redis does not look at the pattern once there is no
    /// text left to match.
    pub fn matches(&self, text: &[u8]) -> bool {
        if text.len() < self.len_min {
            return false;
        }
        let Some(Rest { middle, tail }) = &self.rest else {
            return text.len() == self.head.len() && self.is_here(&self.head, text);
        };
        let end = text.len() - tail.len();
        if text.is_empty() || !self.is_here(&self.head, text) || !self.is_here(tail, &text[end..]) {
            return false;
        }
        let mut between = &text[self.head.len()..end];
        for run in middle {
            let found = match run {
                Run::Bytes(bytes) => memmem::find(between, bytes).map(|at| at + bytes.len()),
                Run::Mixed(elements) => find_mixed(elements, &self.classes, between),
            };
            let Some(found) = found else { return false };
            between = &between[found..];
        }
        true
    }

    /// Whether a text that is long enough begins with a run.
    fn is_here(&self, run: &Run, text: &[u8]) -> bool {
        match run {
            Run::Bytes(bytes) => text.starts_with(bytes),
            Run::Mixed(elements) => count_matching(elements, &self.classes, text) == elements.len(),
        }
    }
}

/// A pattern that is kept for long beside its text: what of it has to be compiled. Most patterns in use have one star and
/// otherwise literal bytes, and their text says it all.
#[derive(Debug)]
pub enum KeptPattern {
    /// The only byte that is not literal is a star, here.
    OneStar(u32),
    /// Any other.
    Compiled(Box<Pattern>),
}

impl KeptPattern {
    /// Looks at a pattern, case counting. O(pattern).
    pub fn new(pattern: &[u8]) -> KeptPattern {
        let star = literal_prefix(pattern).len();
        match pattern.get(star..) {
            Some([b'*', rest @ ..]) if literal_prefix(rest).len() == rest.len() && u32::try_from(star).is_ok() => {
                KeptPattern::OneStar(star as u32)
            }
            _ => KeptPattern::Compiled(Box::new(Pattern::new(pattern, false))),
        }
    }

    /// Bytes on the heap. O(runs between stars).
    pub fn heap_bytes(&self) -> usize {
        match self {
            KeptPattern::OneStar(_) => 0,
            KeptPattern::Compiled(pattern) => size_class(size_of::<Pattern>()) + pattern.heap_bytes(),
        }
    }

    /// Whether the whole `text` matches the pattern, whose text is given again.
    #[inline]
    pub fn matches(&self, pattern: &[u8], text: &[u8]) -> bool {
        match self {
            KeptPattern::Compiled(compiled) => compiled.matches(text),
            KeptPattern::OneStar(star) => {
                let (head, tail) = (&pattern[..*star as usize], &pattern[*star as usize + 1..]);
                // No text at all matches an empty pattern only.
                let is_long_enough = text.len() >= (head.len() + tail.len()).max(1);
                is_long_enough && text.starts_with(head) && (tail.is_empty() || text.ends_with(tail))
            }
        }
    }
}

/// Whether the whole `text` matches `pattern`, for patterns that are needed once; see [`Pattern::new`].
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    Pattern::new(pattern, nocase).matches(text)
}

/// The longest prefix of `pattern` free of metacharacters: every text that matches begins with it (unless case is ignored). It
/// ends at the first backslash too, so that it can be a slice.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

fn without_stars(pattern: &[u8]) -> &[u8] {
    &pattern[pattern.iter().take_while(|&&byte| byte == b'*').count()..]
}

fn literal_of(literal: u8, nocase: bool) -> Element {
    if nocase && literal.is_ascii_alphabetic() {
        FOLDED + Element::from(literal.to_ascii_lowercase())
    } else {
        Element::from(literal)
    }
}

/// The element of a class, which is added to the others if it has several bytes; `None` if there are too many.
fn element_of(class: Class, classes: &mut Vec<Class>) -> Option<Element> {
    if let Some(only) = class.only() {
        return Some(Element::from(only));
    }
    if classes.last() != Some(&class) {
        if classes.len() == CLASSES_MAX {
            return None;
        }
        classes.push(class);
    }
    Some(FIRST_CLASS + (classes.len() - 1) as Element)
}

#[inline]
fn matches_one(element: Element, classes: &[Class], byte: u8) -> bool {
    match element {
        0..FOLDED => element == Element::from(byte),
        FOLDED..ANY => element - FOLDED == Element::from(byte.to_ascii_lowercase()),
        ANY => true,
        FIRST_CLASS.. => classes[usize::from(element - FIRST_CLASS)].has(byte),
    }
}

/// How many elements, from the first, match what a text begins with.
#[inline]
fn count_matching(elements: &[Element], classes: &[Class], text: &[u8]) -> usize {
    elements.iter().zip(text).take_while(|(element, byte)| matches_one(**element, classes, **byte)).count()
}

/// Where the first place of a text ends at which a run stands.
///
/// It is tried at one place after the other, which takes a step or two at each unless pattern and text are made for it. Where
/// it takes many, the rest is searched in parallel. Thus the steps are O(text) as long as a run has no more elements than a
/// word has bits, and O(text * elements / 64) in any case.
fn find_mixed(elements: &[Element], classes: &[Class], text: &[u8]) -> Option<usize> {
    let mut steps = 0;
    for from in 0..=text.len().checked_sub(elements.len())? {
        let count = count_matching(elements, classes, &text[from..]);
        if count == elements.len() {
            return Some(from + count);
        }
        steps += count + 1;
        if steps > 16 * (from + 1) + PREPARATION_STEPS * elements.len() {
            return find_in_parallel(elements, classes, &text[from + 1..]).map(|end| from + 1 + end);
        }
    }
    None
}

/// What [`find_in_parallel`] costs for each element before it begins.
const PREPARATION_STEPS: usize = 256;

/// The same, with all places at once: bit n of the state says that the first n + 1 elements match what was read last (the
/// shift-and algorithm of Baeza-Yates and Gonnet, "A new approach to text searching", 1992). O((text + 256) * words), with
/// 256 words of memory for each 64 elements.
fn find_in_parallel(elements: &[Element], classes: &[Class], text: &[u8]) -> Option<usize> {
    let words = elements.len().div_ceil(64);
    // For each byte, the elements that it matches.
    let mut masks = vec![0u64; 256 * words];
    for (at, element) in elements.iter().enumerate() {
        let mut add = |byte: u8| masks[usize::from(byte) * words + at / 64] |= 1 << (at % 64);
        match *element {
            byte @ 0..FOLDED => add(byte as u8),
            element => (0..=u8::MAX).filter(|byte| matches_one(element, classes, *byte)).for_each(&mut add),
        }
    }
    let mut state = vec![0u64; words];
    let last = 1 << ((elements.len() - 1) % 64);
    for (at, byte) in text.iter().enumerate() {
        let mask = &masks[usize::from(*byte) * words..][..words];
        let mut carried = 1;
        for (word, mask) in state.iter_mut().zip(mask) {
            let carries = *word >> 63;
            *word = (*word << 1 | carried) & mask;
            carried = carries;
        }
        if state[words - 1] & last != 0 {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests;
