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
