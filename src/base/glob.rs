//! Glob patterns over bytes, as KEYS, SCAN MATCH, PSUBSCRIBE and CONFIG GET read them.
//!
//! `*` is any run of bytes, `?` any byte, `[abc]`, `[a-z]`, `[^a]` one byte of a class, and a backslash takes the next byte
//! literally, inside classes too. Every byte sequence is a valid pattern: a class left open ends with the pattern, a
//! backslash at the end stands for itself.
//!
//! Invariant: time is bounded by pattern length times text length, whatever the pattern, because only the latest `*` is ever
//! tried again: when what follows it cannot match anywhere in the rest of the text, neither can it after an earlier `*`
//! has taken more. No recursion, no allocation, no panic.
//!
//! Refuses to know what is being matched. KEYS and SCAN treat a pattern of exactly `*` as "all", the empty name
//! included, before they ask here.

/// More runs of `*` than this in a pattern match nothing, unless the last of them ends it: Redis's guard against abuse.
const STARS_MAX: usize = 1_000;

/// Whether the whole `text` matches `pattern`. With `nocase`, ASCII letters match in either case, except those escaped
/// within a class.
///
/// An empty text matches an empty pattern only: not even `*`, because Redis does not look at the pattern once there is no
/// text left to match.
pub fn matches(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut pattern, mut text) = (pattern, text);
    // What followed the latest star, and the text it was last tried on.
    let mut retry: Option<(&[u8], &[u8])> = None;
    let mut stars = 0;
    loop {
        if let [b'*', ..] = pattern {
            pattern = without_stars(pattern);
            if pattern.is_empty() {
                return true;
            }
            if text.is_empty() {
                return false;
            }
            stars += 1;
            if stars > STARS_MAX {
                return false;
            }
            retry = Some((pattern, text));
        } else if let [byte, rest_of_text @ ..] = text {
            if let Some(rest) = match_one(pattern, *byte, nocase) {
                (pattern, text) = (rest, rest_of_text);
                continue;
            }
            // The text that is left shrinks by one byte each time, and an empty rest has nothing to match.
            let Some((after_star, [_, shorter @ ..])) = retry else { return false };
            if shorter.is_empty() {
                return false;
            }
            retry = Some((after_star, shorter));
            (pattern, text) = (after_star, shorter);
        } else {
            // The text ran out before the pattern did, and a later start would only leave it shorter.
            return pattern.is_empty();
        }
    }
}

/// The longest prefix of `pattern` free of metacharacters: every text that matches begins with it (unless case is ignored). It
/// ends at the first backslash too, so that it can be a slice.
pub fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// Whether `pattern` has no metacharacter, so that (case respected) it matches itself and nothing else.
pub fn is_literal(pattern: &[u8]) -> bool {
    literal_prefix(pattern).len() == pattern.len()
}

fn without_stars(pattern: &[u8]) -> &[u8] {
    &pattern[pattern.iter().take_while(|&&byte| byte == b'*').count()..]
}

/// Matches one byte of text against the first element of a pattern that is not a star; gives the pattern's rest on success.
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', rest @ ..] => Some(rest),
        [b'[', rest @ ..] => {
            let (hit, rest) = match_class(rest, byte, nocase);
            hit.then_some(rest)
        }
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => {
            (*literal == byte || nocase && literal.eq_ignore_ascii_case(&byte)).then_some(rest)
        }
    }
}

/// Whether `byte` is in the class whose text begins after `[`, and the pattern after the class.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, &[u8]) {
    let (negated, mut class) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut hit = false;
    loop {
        match class {
            [b'\\', literal, rest @ ..] => {
                hit |= *literal == byte;
                class = rest;
            }
            [b']', rest @ ..] => return (hit != negated, rest),
            [first, b'-', last, rest @ ..] => {
                hit |= in_range(*first, *last, byte, nocase);
                class = rest;
            }
            [literal, rest @ ..] => {
                hit |= *literal == byte || nocase && literal.eq_ignore_ascii_case(&byte);
                class = rest;
            }
            [] => return (hit != negated, class),
        }
    }
}

/// Whether `byte` lies between `first` and `last`, whichever is smaller. Bytes compare as the signed characters they are in
/// Redis on x86, and ignoring case folds the ends after they have been ordered.
fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let fold = |byte: u8| (if nocase { byte.to_ascii_lowercase() } else { byte }) as i8;
    let (low, high) = if first as i8 > last as i8 { (last, first) } else { (first, last) };
    (fold(low)..=fold(high)).contains(&fold(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    /// One element of a pattern, as the twin sees it.
    enum Element {
        Star,
        One(Box<[bool; 256]>),
    }

    /// The twin's front half: turns the pattern into sets of bytes, by index rather than by slice.
    fn elements(pattern: &[u8], nocase: bool) -> Vec<Element> {
        let set = |member: &dyn Fn(u8) -> bool| Element::One(Box::new(std::array::from_fn(|byte| member(byte as u8))));
        let fold = |byte: u8| if nocase { byte.to_ascii_lowercase() } else { byte };
        let (mut found, mut at) = (Vec::new(), 0);
        while at < pattern.len() {
            match pattern[at] {
                b'*' => found.push(Element::Star),
                b'?' => found.push(set(&|_| true)),
                b'[' => {
                    at += 1;
                    let negated = pattern.get(at) == Some(&b'^');
                    at += usize::from(negated);
                    let mut members = [false; 256];
                    while at < pattern.len() && pattern[at] != b']' {
                        if pattern[at] == b'\\' && at + 1 < pattern.len() {
                            members[usize::from(pattern[at + 1])] = true;
                            at += 2;
                        } else if at + 2 < pattern.len() && pattern[at + 1] == b'-' {
                            let mut ends = [pattern[at] as i8, pattern[at + 2] as i8];
                            ends.sort();
                            let ends = ends.map(|end| fold(end as u8) as i8);
                            for byte in 0..=255u8 {
                                let folded = fold(byte) as i8;
                                members[usize::from(byte)] |= ends[0] <= folded && folded <= ends[1];
                            }
                            at += 3;
                        } else {
                            let literal = pattern[at];
                            (0..=255u8).for_each(|byte| members[usize::from(byte)] |= fold(byte) == fold(literal));
                            at += 1;
                        }
                    }
                    found.push(set(&|byte| members[usize::from(byte)] != negated));
                }
                byte => {
                    let escaped = byte == b'\\' && at + 1 < pattern.len();
                    at += usize::from(escaped);
                    let literal = pattern[at];
                    found.push(set(&|byte| fold(byte) == fold(literal)));
                }
            }
            at += 1;
        }
        found
    }

    /// The twin's back half: plain recursion over every way to spread the text over the stars.
    fn naive(elements: &[Element], text: &[u8]) -> bool {
        match elements {
            [] => text.is_empty(),
            [Element::Star, rest @ ..] => (0..=text.len()).any(|taken| naive(rest, &text[taken..])),
            [Element::One(set), rest @ ..] => {
                text.split_first().is_some_and(|(byte, after)| set[usize::from(*byte)] && naive(rest, after))
            }
        }
    }

    fn text_of(prng: &mut Prng, alphabet: &[u8], len_max: u64) -> Vec<u8> {
        (0..prng.below(len_max + 1)).map(|_| *prng.pick(alphabet).unwrap()).collect()
    }

    #[test]
    fn matches_naive() {
        let mut prng = Prng::seeded(1);
        let mut hits = 0;
        for round in 0..200_000u64 {
            let (pattern_bytes, text_bytes): (&[u8], &[u8]) = match round % 3 {
                0 => (b"ab*", b"ab"),
                1 => (b"aB*?[]^-\\", b"abAB-]"),
                _ => (b"[[a-z\\]^-\xff\x80A*", b"amzAMZ\xff\x80\x7f[-"),
            };
            let pattern = text_of(&mut prng, pattern_bytes, 8);
            let text = text_of(&mut prng, text_bytes, 7);
            let nocase = prng.chance(1, 2);
            let expected = if text.is_empty() { pattern.is_empty() } else { naive(&elements(&pattern, nocase), &text) };
            hits += u32::from(expected);
            assert_eq!(matches(&pattern, &text, nocase), expected, "{pattern:?} on {text:?}, nocase {nocase}");
        }
        assert!(hits > 10_000, "the alphabets should make matches common: {hits}");
    }

    /// Facts checked by hand, and on Redis 8.2 with KEYS.
    #[test]
    fn known_patterns() {
        let yes: &[(&[u8], &[u8])] = &[
            (b"", b""),
            (b"h?llo", b"hello"),
            (b"h*llo", b"hllo"),
            (b"h[ae]llo", b"hallo"),
            (b"h[^e]llo", b"hallo"),
            (b"h[a-b]llo", b"hbllo"),
            (b"h[b-a]llo", b"hallo"),
            (b"a\\*b", b"a*b"),
            (b"a\\", b"a\\"),
            (b"[\\]]", b"]"),
            (b"[abc", b"c"),
            (b"[^]", b"x"),
            (b"a***", b"a"),
            (b"*a*b*", b"xxaxxb"),
            (b"[\xff-a]", b"\xff"),
            (b"[\xff-a]", b"0"),
            (b"\xff*", b"\xff\xfe"),
        ];
        let no: &[(&[u8], &[u8])] = &[
            (b"*", b""),
            (b"", b"a"),
            (b"h?llo", b"hllo"),
            (b"h[^e]llo", b"hello"),
            (b"[]", b"]"),
            (b"[", b"["),
            (b"\\*", b"a"),
            (b"a?", b"a"),
            (b"*a", b"ab"),
            (b"A", b"a"),
            (b"[\xff-a]", b"\x80"),
        ];
        for (pattern, text) in yes {
            assert!(matches(pattern, text, false), "{pattern:?} {text:?}");
        }
        for (pattern, text) in no {
            assert!(!matches(pattern, text, false), "{pattern:?} {text:?}");
        }
        assert!(matches(b"MaxMem*", b"maxMEMory", true));
        assert!(matches(b"[A-C]x", b"bX", true));
        assert!(!matches(b"[\\A]", b"a", true));
    }

    #[test]
    fn more_than_a_thousand_stars_match_nothing() {
        let text = vec![b'a'; 3_000];
        for (stars, tail, expected) in [(1_000, "", true), (1_000, "*", true), (1_001, "", false), (1_001, "*", false)]
        {
            let pattern = "*a".repeat(stars) + tail;
            assert_eq!(matches(pattern.as_bytes(), &text, false), expected, "{stars} {tail}");
        }
    }

    /// Exponential matchers would not end on these within the age of the universe.
    #[test]
    fn hostile_patterns_are_cheap() {
        let text = vec![b'a'; 20_000];
        assert!(!matches(("a*".repeat(900) + "b").as_bytes(), &text, false));
        assert!(!matches(("*?".repeat(900) + "b").as_bytes(), &text, false));
        assert!(matches(&[b'*'; 20_000], &text, false));
        assert!(!matches(&[b'['; 20_000], &text, false));
    }

    #[test]
    fn literal_parts() {
        for (pattern, prefix) in
            [("", ""), ("abc", "abc"), ("a*c", "a"), ("user:?", "user:"), ("x[ab]", "x"), ("a\\*", "a"), ("*", "")]
        {
            assert_eq!(literal_prefix(pattern.as_bytes()), prefix.as_bytes());
            assert_eq!(is_literal(pattern.as_bytes()), pattern == prefix);
        }
        assert!(is_literal(b"a]^-b"));
    }

    #[test]
    fn every_match_begins_with_the_literal_prefix() {
        let mut prng = Prng::seeded(2);
        for _ in 0..50_000 {
            let pattern = text_of(&mut prng, b"aab*?[]\\", 6);
            let text = text_of(&mut prng, b"aab]", 6);
            if matches(&pattern, &text, false) {
                assert!(text.starts_with(literal_prefix(&pattern)), "{pattern:?} {text:?}");
            }
            if is_literal(&pattern) {
                assert_eq!(matches(&pattern, &text, false), pattern == text);
            }
        }
    }
}
